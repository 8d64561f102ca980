//! The raw sockets on which the agent asks the witnesses, filtered so that only echo replies arrive.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use crate::settings::Witness;

/// `ICMP_FILTER` of linux/icmp.h, at level `SOL_RAW`: a mask of the types that are kept out.
const ICMP_FILTER: libc::c_int = 1;
/// Everything but echo replies (type 0).
const ONLY_ECHO_REPLIES: u32 = !1;
/// `ICMPV6_FILTER` of linux/icmpv6.h: 256 bits of the types that are kept out.
const ICMPV6_FILTER: libc::c_int = 1;
/// Echo reply (RFC 4443 4.2).
const V6_ECHO_REPLY: usize = 129;

/// Opens a raw ICMP or ICMPv6 socket, non-blocking.
///
/// # Errors
/// What the kernel says; without `CAP_NET_RAW` in the network namespace, EPERM.
pub fn open(is_v6: bool) -> nix::Result<OwnedFd> {
    let (family, protocol) =
        if is_v6 { (libc::AF_INET6, libc::IPPROTO_ICMPV6) } else { (libc::AF_INET, libc::IPPROTO_ICMP) };
    let flags = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes no pointers.
    let socket = Errno::result(unsafe { libc::socket(family, flags, protocol) })?;
    // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    if is_v6 {
        let mut filter = [u32::MAX; 8];
        if let Some(word) = filter.get_mut(V6_ECHO_REPLY / 32) {
            *word &= !(1 << (V6_ECHO_REPLY % 32));
        }
        set_filter(&socket, (libc::IPPROTO_ICMPV6, ICMPV6_FILTER), &filter)?;
    } else {
        set_filter(&socket, (libc::SOL_RAW, ICMP_FILTER), &[ONLY_ECHO_REPLIES])?;
    }
    Ok(socket)
}

fn set_filter(
    socket: &OwnedFd,
    (level, name): (libc::c_int, libc::c_int),
    filter: &[u32],
) -> nix::Result<()> {
    let bytes = libc::socklen_t::try_from(size_of_val(filter)).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel reads `bytes` bytes, which is how long `filter` is.
    Errno::result(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, filter.as_ptr().cast(), bytes)
    })?;
    Ok(())
}

/// Which of the two protocols the witnesses speak: ICMP first.
pub fn protocols(witnesses: &[Witness]) -> impl Iterator<Item = bool> {
    [false, true].into_iter().filter(|is_v6| witnesses.iter().any(|witness| witness.ip.is_ipv6() == *is_v6))
}
