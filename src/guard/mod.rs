//! The privileged process.

mod addresses;
mod announce;
mod consoles;
mod ethernet;
mod links;
pub mod lock;
mod netlink;
pub mod packets;
pub mod ports;
pub mod privileges;
mod probe;
#[cfg(test)]
mod testing;
pub mod wire;
