//! Ioctls of network interfaces (netdevice(7)). Any socket will do to ask.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;

mod ioctl {
    use nix::libc;

    nix::ioctl_read_bad!(siocgifindex, libc::SIOCGIFINDEX, libc::ifreq);
    nix::ioctl_read_bad!(siocgifhwaddr, libc::SIOCGIFHWADDR, libc::ifreq);
    nix::ioctl_read_bad!(siocgifflags, libc::SIOCGIFFLAGS, libc::ifreq);
}

/// The index of an interface.
///
/// # Errors
/// `ENODEV` if there is no such interface.
pub fn index(socket: &impl AsFd, interface: &str) -> nix::Result<libc::c_int> {
    let mut asked = request(interface)?;
    // SAFETY: the kernel reads and writes one ifreq, which `asked` is.
    unsafe { ioctl::siocgifindex(socket.as_fd().as_raw_fd(), &raw mut asked) }?;
    // SAFETY: the kernel has just written the index.
    Ok(unsafe { asked.ifr_ifru.ifru_ifindex })
}

/// The hardware address of an interface, of any kind.
///
/// # Errors
/// `ENODEV` if there is no such interface.
pub fn hardware_address(socket: &impl AsFd, interface: &str) -> nix::Result<libc::sockaddr> {
    let mut asked = request(interface)?;
    // SAFETY: the kernel reads and writes one ifreq, which `asked` is.
    unsafe { ioctl::siocgifhwaddr(socket.as_fd().as_raw_fd(), &raw mut asked) }?;
    // SAFETY: the kernel has just written the hardware address.
    Ok(unsafe { asked.ifr_ifru.ifru_hwaddr })
}

/// The flags of an interface, in bits of `IFF_*`.
///
/// # Errors
/// `ENODEV` if there is no such interface.
pub fn flags(socket: &impl AsFd, interface: &str) -> nix::Result<libc::c_int> {
    let mut asked = request(interface)?;
    // SAFETY: the kernel reads and writes one ifreq, which `asked` is.
    unsafe { ioctl::siocgifflags(socket.as_fd().as_raw_fd(), &raw mut asked) }?;
    // SAFETY: the kernel has just written the flags.
    Ok(libc::c_int::from(unsafe { asked.ifr_ifru.ifru_flags }))
}

fn request(interface: &str) -> nix::Result<libc::ifreq> {
    // SAFETY: ifreq is plain numbers, for which all zeroes is a value.
    let mut asked: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    if interface.len() >= asked.ifr_name.len() {
        return Err(Errno::ENODEV);
    }
    asked
        .ifr_name
        .iter_mut()
        .zip(interface.bytes())
        .for_each(|(to, from)| *to = libc::c_char::from_ne_bytes([from]));
    Ok(asked)
}
