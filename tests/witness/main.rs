//! The daemon of the voting witness on real sockets: the shipped binary on loopback, and nodes that ask it
//! with what the library gives a node.
#![cfg(feature = "witness")]

mod addresses;
mod daemon;
mod grants;
mod hostile;
mod keys;
mod strangers;
