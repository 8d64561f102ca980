//! What the kernel is told and asked about the network: addresses and routes with a lifetime, interfaces,
//! announcements, probes.
//!
//! `netlink.rs` carries requests and answers, and `addresses.rs`, `routes.rs`, `vmac.rs` and `links.rs` stand
//! on it.
//! `ethernet.rs` sends and receives the frames that `packets.rs` writes, for `announcements.rs` and
//! `probe.rs`. `interface.rs` asks for what one interface is, `witness.rs` opens the sockets on which
//! witnesses are asked.

pub mod addresses;
pub mod announcements;
pub mod ethernet;
pub mod interface;
pub mod links;
pub mod netlink;
pub mod packets;
pub mod probe;
pub mod routes;
pub mod vmac;
pub mod witness;
