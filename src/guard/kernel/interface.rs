//! Interfaces by their names, as they are now (`netdevice(7)`). Any socket will do to ask.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;

use crate::guard::kernel::packets::Mac;

mod ioctl {
    //! `netdevice(7)`

    use nix::libc;

    nix::ioctl_read_bad!(siocgifindex, libc::SIOCGIFINDEX, libc::ifreq);
    nix::ioctl_read_bad!(siocgifhwaddr, libc::SIOCGIFHWADDR, libc::ifreq);
    nix::ioctl_read_bad!(siocgifflags, libc::SIOCGIFFLAGS, libc::ifreq);
}

/// Hardware type of an Ethernet (linux/if_arp.h).
const ARPHRD_ETHER: u16 = 1;

/// Its index. `ENODEV` if there is no such interface.
pub fn index(socket: &impl AsFd, interface: &str) -> nix::Result<u32> {
    let mut asked = request(interface)?;
    // SAFETY: the kernel reads and writes one ifreq, which `asked` is.
    unsafe { ioctl::siocgifindex(socket.as_fd().as_raw_fd(), &raw mut asked) }?;
    // SAFETY: the kernel has just written the index.
    Ok(unsafe { asked.ifr_ifru.ifru_ifindex }.cast_unsigned())
}

/// Its hardware address. `EAFNOSUPPORT` if it is no Ethernet.
pub fn mac(socket: &impl AsFd, interface: &str) -> nix::Result<Mac> {
    let mut asked = request(interface)?;
    // SAFETY: the kernel reads and writes one ifreq, which `asked` is.
    unsafe { ioctl::siocgifhwaddr(socket.as_fd().as_raw_fd(), &raw mut asked) }?;
    // SAFETY: the kernel has just written the hardware address.
    let address = unsafe { asked.ifr_ifru.ifru_hwaddr };
    if address.sa_family != ARPHRD_ETHER {
        return Err(Errno::EAFNOSUPPORT);
    }
    let mut mac = Mac::default();
    mac.iter_mut().zip(address.sa_data).for_each(|(to, from)| *to = from.to_ne_bytes()[0]);
    Ok(mac)
}

/// Whether it is there and switched on, be there a carrier or not.
pub fn is_up(socket: &impl AsFd, interface: &str) -> bool {
    let Ok(mut asked) = request(interface) else { return false };
    // SAFETY: the kernel reads and writes one ifreq, which `asked` is.
    let is_there = unsafe { ioctl::siocgifflags(socket.as_fd().as_raw_fd(), &raw mut asked) }.is_ok();
    // SAFETY: the kernel has just written the flags.
    let flags = unsafe { asked.ifr_ifru.ifru_flags };
    is_there && libc::c_int::from(flags) & libc::IFF_UP != 0
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
