//! Interfaces by their names, as they are now (`netdevice(7)`). Any socket will do to ask.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::libc;

use crate::guard::kernel::packets::Mac;
use crate::sys;

/// Hardware type of an Ethernet (linux/if_arp.h).
const ARPHRD_ETHER: u16 = 1;

/// Its index. `ENODEV` if there is no such interface.
pub fn index(socket: &impl AsFd, interface: &str) -> nix::Result<u32> {
    sys::interface::index(socket, interface).map(i32::cast_unsigned)
}

/// Its hardware address. `EAFNOSUPPORT` if it is no Ethernet.
pub fn mac(socket: &impl AsFd, interface: &str) -> nix::Result<Mac> {
    let address = sys::interface::hardware_address(socket, interface)?;
    if address.sa_family != ARPHRD_ETHER {
        return Err(Errno::EAFNOSUPPORT);
    }
    let mut mac = Mac::default();
    mac.iter_mut().zip(address.sa_data).for_each(|(to, from)| *to = from.to_ne_bytes()[0]);
    Ok(mac)
}

/// Whether it is there and switched on, with or without a carrier.
pub fn is_up(socket: &impl AsFd, interface: &str) -> bool {
    sys::interface::flags(socket, interface).is_ok_and(|flags| flags & libc::IFF_UP != 0)
}
