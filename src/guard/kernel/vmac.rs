//! The interfaces with the hardware addresses that both nodes share: macvlans, up only while their group is
//! held.
//!
//! A macvlan that is down is deaf and dumb: no switch learns its address from it. One that is up without an
//! address has nothing to say either, as long as it has no IPv6: the kernel would take leave of each IPv6
//! address at the routers. So IPv6 is switched off there before the peer hears that the addresses are gone;
//! to take the macvlan down lasts some 10 ms, and comes after that. Where a guard is killed, the kernel takes
//! that leave when the lease is over, and at once: the peer serves only after it has seen the address gone.
//!
//! The mode is bridge. A private one keeps what comes from its own hardware address from the interface below,
//! and that is what the peer says of itself: this node would not hear that both serve.
//!
//! All of it goes by the name. The kernel refuses to change another kind of interface into a macvlan, so one
//! of somebody else's that has the name is never touched.

use crosswire::resource::Fault;
use log::info;
use netlink_packet_core::NLM_F_CREATE;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;

use crate::guard::kernel::addresses::Addresses;
use crate::guard::kernel::interface::set_switch;
use crate::guard::kernel::links::{
    self, IFLA_ADDRESS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINK, IFLA_LINKINFO,
    IFLA_MACVLAN_MODE, IFLA_MTU, RTM_DELLINK, RTM_NEWLINK, Report,
};
use crate::guard::kernel::netlink::{Request, attribute};
use crate::settings::neighbours::takes;
use crate::settings::{GroupSettings, VirtualAddress, Vmac};

// linux/if_link.h
const MACVLAN_MODE_BRIDGE: u32 = 4;

/// `struct ifinfomsg` in words. The third is flags, and the fourth which of them change.
const AS_IT_IS: [u32; 4] = [0; 4];
/// `IFF_UP`
const UP: u32 = 1;

/// By family, what a macvlan is set to. It answers for its own addresses alone, and asks in the name of none
/// but those. What comes to it may go back through the interface below.
const OF_MACVLAN: [(&str, &str, &str); 3] =
    [("ipv4", "arp_ignore", "1"), ("ipv4", "arp_announce", "2"), ("ipv4", "rp_filter", "2")];
/// The same where it is up for IPv6 addresses: it has no others, and tells routers at once what they are to
/// be told.
const WITH_V6: [(&str, &str, &str); 4] = [
    ("ipv6", "addr_gen_mode", "1"),
    ("ipv6", "accept_ra", "0"),
    ("ipv6", "mldv2_unsolicited_report_interval", "1"),
    ("ipv6", "disable_ipv6", "0"),
];
/// What the interface below is set to at least: it neither answers for an address of the macvlan nor asks in
/// its name, since the clients would take its hardware address for that of the service.
const OF_INTERFACE: [(&str, &str, &str); 2] = [("ipv4", "arp_ignore", "1"), ("ipv4", "arp_announce", "2")];

impl Addresses {
    /// Sees to it that there is a macvlan for each of these addresses that has a hardware address of its own,
    /// and that it is up or down. One that is down has to be able to be up.
    ///
    /// # Errors
    /// The first address for which that is not so, and why. The others are seen to all the same.
    pub fn keep_vmacs(&mut self, addresses: &[VirtualAddress], is_up: bool) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for (index, address) in (0u8..).zip(addresses) {
            let Some(vmac) = &address.vmac else { continue };
            let is_v6 = |other: &VirtualAddress| other.ip.is_ipv6() && other.vmac == address.vmac;
            let has_v6 = is_up && addresses.iter().any(is_v6);
            if let Err(errno) = self.keep_vmac(vmac, address, has_v6, is_up) {
                outcome = outcome.and(Err(Fault::Refused(index, errno as i32)));
            }
        }
        outcome
    }

    fn keep_vmac(
        &mut self,
        vmac: &Vmac,
        address: &VirtualAddress,
        has_v6: bool,
        is_up: bool,
    ) -> nix::Result<()> {
        let below = links::ask(&mut self.netlink, &address.interface)?;
        let own = links::ask(&mut self.netlink, vmac.name()).unwrap_or_default();
        let is_placed = (own.below, own.macvlan_mode) == (below.state.index, Some(MACVLAN_MODE_BRIDGE));
        let is_same = (own.state.mac, own.mtu, own.state.is_up) == (Some(vmac.mac), below.mtu, is_up);
        if !is_placed {
            // The kernel moves none to another interface: two may have swapped their names.
            self.remove_vmac(vmac.name());
        }
        if !is_placed || !is_same || (is_up && !takes(vmac.name(), address.ip)) {
            self.set_vmac(vmac, (&address.interface, &below), has_v6, is_up)?;
        }
        let has_rival = !is_up && vmac.rival("", &address.interface).is_some();
        if has_rival { Err(Errno::EADDRINUSE) } else { Ok(()) }
    }

    fn set_vmac(
        &mut self,
        vmac: &Vmac,
        (name, below): (&str, &Report),
        has_v6: bool,
        is_up: bool,
    ) -> nix::Result<()> {
        self.run_one(macvlan(vmac, below))?;
        if !has_v6 {
            hush(vmac.name());
        }
        let more = if has_v6 { &WITH_V6[..] } else { &[] };
        set_switches(vmac.name(), more);
        keep_apart(vmac, name);
        self.run_one(link(RTM_NEWLINK, 0, vmac.name(), [0, 0, u32::from(is_up), UP]))
    }

    /// Removes a macvlan, if it is there. Another kind of interface of that name stays.
    pub fn remove_vmac(&mut self, name: &str) {
        if links::ask(&mut self.netlink, name).is_ok_and(|found| found.macvlan_mode.is_some()) {
            hush(name);
            // One that stays does no harm, and is found by the next run.
            let _ = self.run_one(link(RTM_DELLINK, 0, name, AS_IT_IS));
        }
    }

    /// Removes every macvlan with a name as ours have that none of these groups has: an earlier run was
    /// killed, and had another file.
    pub fn remove_other_vmacs(&mut self, groups: &[GroupSettings]) {
        let is_kept = |name: &str| groups.iter().flat_map(GroupSettings::vmacs).any(|own| own.name() == name);
        for found in getifaddrs().into_iter().flatten() {
            let name = found.interface_name;
            if Vmac::is_name(&name) && !is_kept(&name) {
                info!("{name}: left by an earlier run, and no group has it: it goes");
                self.remove_vmac(&name);
            }
        }
    }

    fn run_one(&mut self, request: Request) -> nix::Result<()> {
        self.netlink.run(&[request]).pop().unwrap_or(Err(Errno::ETIMEDOUT))
    }
}

/// Leaves a macvlan nothing to say, whether it is up or down.
pub fn hush(name: &str) {
    set_switch("ipv6", name, "disable_ipv6", "1", |said, value| said != value);
}

/// Sees to it that the interface below says nothing in the name of the macvlan, nor that in the name of
/// others, whatever somebody has set.
pub fn keep_apart(vmac: &Vmac, below: &str) {
    set_switches(vmac.name(), &OF_MACVLAN);
    for (family, switch, value) in OF_INTERFACE {
        if set_switch(family, below, switch, value, |said, value| said < value) {
            info!("{below}: {switch} is now {value}, so that its hardware address is not taken for a vmac");
        }
    }
}

fn set_switches(name: &str, switches: &[(&str, &str, &str)]) {
    for (family, switch, value) in switches {
        set_switch(family, name, switch, value, |said, value| said != value);
    }
}

/// A request about the interface of that name.
fn link(kind: u16, flags: u16, name: &str, header: [u32; 4]) -> Request {
    let mut body = header.map(u32::to_ne_bytes).as_flattened().to_vec();
    attribute(&mut body, IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
    Request { kind, flags, body }
}

/// The request that there be such a macvlan. The kernel lowers its MTU with that of the interface below, and
/// raises it with none.
fn macvlan(vmac: &Vmac, below: &Report) -> Request {
    let (mut info, mut data) = (Vec::new(), Vec::new());
    attribute(&mut data, IFLA_MACVLAN_MODE, &MACVLAN_MODE_BRIDGE.to_ne_bytes());
    attribute(&mut info, IFLA_INFO_KIND, b"macvlan");
    attribute(&mut info, IFLA_INFO_DATA, &data);
    let mut request = link(RTM_NEWLINK, NLM_F_CREATE, vmac.name(), AS_IT_IS);
    attribute(&mut request.body, IFLA_LINK, &below.state.index.to_ne_bytes());
    attribute(&mut request.body, IFLA_MTU, &below.mtu.to_ne_bytes());
    attribute(&mut request.body, IFLA_ADDRESS, &vmac.mac);
    attribute(&mut request.body, IFLA_LINKINFO, &info);
    request
}

#[cfg(test)]
#[path = "vmac_tests.rs"]
mod tests;
