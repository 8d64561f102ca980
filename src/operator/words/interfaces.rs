//! What is wrong with an interface of this box.

use super::mac;
use crate::settings::neighbours;

/// An interface has the same hardware address as one of another box, which is taken to be the peer.
pub fn twin(interface: &str, hardware: [u8; 6], peer: &str) -> String {
    format!(
        "{interface}: another box on it (is it {peer}?) has its hardware address, {}: switches send what is \
            for one of them to \
         the other; give each its own",
        mac(hardware)
    )
}

/// A sentence for each of these interfaces in whose LAN another interface of this box answers ARP for all
/// addresses of the box.
pub fn answering_beside(interfaces: &[String]) -> impl Iterator<Item = String> {
    interfaces.iter().filter_map(|name| {
        let other = neighbours::answers_beside(name)?;
        Some(format!(
            "{other} is in the LAN of {name} too, and answers ARP for the addresses of either (arp_ignore is \
                0): what others send \
             comes in at the wrong one; sysctl -w net.ipv4.conf.all.arp_ignore=1 \
             net.ipv4.conf.all.arp_announce=2"
        ))
    })
}
