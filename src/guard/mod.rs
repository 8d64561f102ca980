//! The privileged process.

mod addresses;
mod announce;
mod ethernet;
mod links;
mod netlink;
pub mod packets;
mod probe;
#[cfg(test)]
mod testing;
pub mod wire;
