//! Interfaces by their names, as they are now (`netdevice(7)`). Any socket will do to ask.

use std::os::fd::AsFd;

use log::warn;
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

/// Sets a switch of an interface where what it says calls for that. Returns whether it was changed. A switch
/// that this kernel does not have stays as it is.
pub fn set_switch(
    family: &str,
    interface: &str,
    switch: &str,
    value: &str,
    is_due: fn(&[u8], &[u8]) -> bool,
) -> bool {
    let file = format!("/proc/sys/net/{family}/conf/{interface}/{switch}");
    let is_due = std::fs::read(&file).is_ok_and(|said| is_due(said.trim_ascii(), value.as_bytes()));
    let set = if is_due { std::fs::write(&file, value) } else { Ok(()) };
    if let Err(error) = &set {
        warn!("{file} cannot be set to {value}: {error}");
    }
    is_due && set.is_ok()
}
