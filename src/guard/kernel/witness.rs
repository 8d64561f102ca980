//! The raw sockets on which the agent asks the witnesses, filtered so that only echo replies arrive.

use std::os::fd::OwnedFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::settings::Witness;
use crate::sys::sockets::{filter_icmp, filter_icmpv6};

/// The filter that drops everything but echo replies (type 0).
const ONLY_ECHO_REPLIES: u32 = !1;
/// Echo reply (RFC 4443 4.2).
const V6_ECHO_REPLY: usize = 129;

/// Opens a raw ICMP or ICMPv6 socket, non-blocking.
///
/// # Errors
/// What the kernel says; without `CAP_NET_RAW` in the network namespace, EPERM.
pub fn open(is_v6: bool) -> nix::Result<OwnedFd> {
    let (family, protocol) = if is_v6 {
        (AddressFamily::Inet6, SockProtocol::IcmpV6)
    } else {
        (AddressFamily::Inet, SockProtocol::Icmp)
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Raw, flags, protocol)?;
    if is_v6 {
        let mut kept_out = [u32::MAX; 8];
        if let Some(word) = kept_out.get_mut(V6_ECHO_REPLY / 32) {
            *word &= !(1 << (V6_ECHO_REPLY % 32));
        }
        filter_icmpv6(&socket, kept_out)?;
    } else {
        filter_icmp(&socket, ONLY_ECHO_REPLIES)?;
    }
    Ok(socket)
}

/// Which of the two protocols the witnesses speak: ICMP first.
pub fn protocols(witnesses: &[Witness]) -> impl Iterator<Item = bool> {
    [false, true].into_iter().filter(|is_v6| witnesses.iter().any(|witness| witness.ip.is_ipv6() == *is_v6))
}
