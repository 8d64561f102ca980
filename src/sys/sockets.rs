//! What sockets can do beyond bytes: filters, packet addresses, descriptors that ride along.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockaddrLike, accept4, recvmsg};

/// Takes a connection that waits at a listening socket.
///
/// # Errors
/// `EAGAIN` if none waits and the socket does not wait for one either.
pub fn accept(listener: &impl AsFd, flags: SockFlag) -> nix::Result<OwnedFd> {
    let accepted = accept4(listener.as_fd().as_raw_fd(), flags)?;
    // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
}

/// Receives a datagram: its length, and the first descriptor that rides along, which closes on exec.
/// `control` is room for as many as the sender may send.
///
/// # Errors
/// What the kernel says.
pub fn receive_with_descriptor(
    socket: &impl AsFd,
    room: &mut [u8],
    control: &mut [u8],
    flags: MsgFlags,
) -> nix::Result<(usize, Option<OwnedFd>)> {
    let mut parts = [IoSliceMut::new(room)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut parts, Some(control), flags)?;
    let first = |part| match part {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    };
    let descriptor = message.cmsgs().ok().and_then(|mut parts| parts.find_map(first));
    // SAFETY: the kernel made this descriptor for us with this message, and nobody else knows it.
    Ok((message.bytes, descriptor.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) })))
}

/// The address of a packet socket: an interface and an ethertype.
///
/// # Errors
/// `ENODEV` for an index that no interface can have.
pub fn link_address(index: u32, ethertype: u16) -> nix::Result<LinkAddr> {
    // SAFETY: sockaddr_ll is plain numbers, for which all zeroes is a value.
    let mut raw: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    raw.sll_family = u16::try_from(libc::AF_PACKET).map_err(|_| Errno::EINVAL)?;
    raw.sll_protocol = ethertype.to_be();
    raw.sll_ifindex = i32::try_from(index).map_err(|_| Errno::ENODEV)?;
    // SAFETY: the pointer is to a whole sockaddr_ll with its family set, which is what is copied from it.
    unsafe { LinkAddr::from_raw((&raw const raw).cast(), None) }.ok_or(Errno::EINVAL)
}

/// Gives a socket a classic BPF program, which says of each packet how much of it arrives.
///
/// # Errors
/// `E2BIG` for one that is too long, and what the kernel says.
pub fn attach_filter(socket: &impl AsFd, filter: &[libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?,
        filter: filter.as_ptr().cast_mut(),
    };
    let length = libc::socklen_t::try_from(size_of_val(&program)).map_err(|_| Errno::EINVAL)?;
    let (socket, program) = (socket.as_fd().as_raw_fd(), (&raw const program).cast());
    // SAFETY: the program and the instructions that it points to outlive the call, and the kernel only reads
    // them.
    let done = unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program, length) };
    Errno::result(done).map(drop)
}

/// Locks the filter of a socket, so that whoever gets the socket cannot remove it. Kernels before Linux 3.9
/// cannot do this, which is no error.
///
/// # Errors
/// What the kernel says, except `ENOPROTOOPT`.
pub fn lock_filter(socket: &impl AsFd) -> nix::Result<()> {
    match set_option(socket, (libc::SOL_SOCKET, libc::SO_LOCK_FILTER), &[1]) {
        Err(Errno::ENOPROTOOPT) => Ok(()),
        done => done,
    }
}

/// Keeps types out of a raw ICMP socket: those whose bit is set (`ICMP_FILTER` of linux/icmp.h).
///
/// # Errors
/// What the kernel says.
pub fn filter_icmp(socket: &impl AsFd, kept_out: u32) -> nix::Result<()> {
    const ICMP_FILTER: libc::c_int = 1;
    set_option(socket, (libc::SOL_RAW, ICMP_FILTER), &[kept_out])
}

/// Keeps types out of a raw ICMPv6 socket: those whose bit is set (`ICMPV6_FILTER` of linux/icmpv6.h).
///
/// # Errors
/// What the kernel says.
pub fn filter_icmpv6(socket: &impl AsFd, kept_out: [u32; 8]) -> nix::Result<()> {
    const ICMPV6_FILTER: libc::c_int = 1;
    set_option(socket, (libc::IPPROTO_ICMPV6, ICMPV6_FILTER), &kept_out)
}

/// Sets one of the options whose value is words without an address in them.
fn set_option(
    socket: &impl AsFd,
    (level, name): (libc::c_int, libc::c_int),
    words: &[u32],
) -> nix::Result<()> {
    let bytes = libc::socklen_t::try_from(size_of_val(words)).map_err(|_| Errno::EINVAL)?;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads at most `bytes` bytes, which is how long `words` is.
    let done = unsafe { libc::setsockopt(socket, level, name, words.as_ptr().cast(), bytes) };
    Errno::result(done).map(drop)
}
