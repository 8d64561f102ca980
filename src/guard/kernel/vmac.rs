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

use crate::guard::kernel::addresses::Addresses;
use crate::guard::kernel::interface::{self, set_switch};
use crate::guard::kernel::links::{IFLA_ADDRESS, IFLA_IFNAME, RTM_DELLINK, RTM_NEWLINK};
use crate::guard::kernel::netlink::{Request, attribute};
use crate::settings::neighbours::takes;
use crate::settings::{VirtualAddress, Vmac};

// linux/if_link.h
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_MACVLAN_MODE: u16 = 1;
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
    /// and that it is up or down.
    ///
    /// # Errors
    /// The first address for which that is not so, and why. The others are seen to all the same.
    pub fn keep_vmacs(&mut self, addresses: &[VirtualAddress], is_up: bool) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for (index, address) in (0u8..).zip(addresses) {
            let Some(vmac) = &address.vmac else { continue };
            let is_mac = interface::mac(&self.netlink, vmac.name()) == Ok(vmac.mac);
            let is_so = is_mac && interface::is_up(&self.netlink, vmac.name()) == is_up;
            if is_so && (!is_up || takes(vmac.name(), address.ip)) {
                continue;
            }
            let is_v6 = |other: &VirtualAddress| other.ip.is_ipv6() && other.vmac == address.vmac;
            let has_v6 = is_up && addresses.iter().any(is_v6);
            if let Err(errno) = self.set_vmac(vmac, &address.interface, has_v6, is_up) {
                outcome = outcome.and(Err(Fault::Refused(index, errno as i32)));
            }
        }
        outcome
    }

    fn set_vmac(&mut self, vmac: &Vmac, below: &str, has_v6: bool, is_up: bool) -> nix::Result<()> {
        let index = interface::index(&self.netlink, below)?;
        self.run_one(macvlan(NLM_F_CREATE, vmac, index))?;
        if !has_v6 {
            hush(vmac);
        }
        let more = if has_v6 { &WITH_V6[..] } else { &[] };
        for (family, switch, value) in OF_MACVLAN.iter().chain(more) {
            set_switch(family, vmac.name(), switch, value, |said, value| said != value);
        }
        for (family, switch, value) in OF_INTERFACE {
            if set_switch(family, below, switch, value, |said, value| said < value) {
                info!(
                    "{below}: {switch} is now {value}, so that its hardware address is not taken for a vmac"
                );
            }
        }
        self.run_one(link(RTM_NEWLINK, 0, vmac, [0, 0, u32::from(is_up), UP]))
    }

    /// Removes a macvlan of ours, if it is there.
    pub fn remove_vmac(&mut self, vmac: &Vmac) {
        if self.run_one(macvlan(0, vmac, 0)).is_ok() {
            // One that stays does no harm, and is found by the next run.
            let _ = self.run_one(link(RTM_DELLINK, 0, vmac, AS_IT_IS));
        }
    }

    fn run_one(&mut self, request: Request) -> nix::Result<()> {
        self.netlink.run(&[request]).pop().unwrap_or(Err(Errno::ETIMEDOUT))
    }
}

/// Leaves a macvlan nothing to say, whether it is up or down.
pub fn hush(vmac: &Vmac) {
    set_switch("ipv6", vmac.name(), "disable_ipv6", "1", |said, value| said != value);
}

/// A request about the interface of that name.
fn link(kind: u16, flags: u16, vmac: &Vmac, header: [u32; 4]) -> Request {
    let mut body = header.map(u32::to_ne_bytes).as_flattened().to_vec();
    attribute(&mut body, IFLA_IFNAME, &[vmac.name().as_bytes(), &[0]].concat());
    Request { kind, flags, body }
}

/// The request that there be such a macvlan, or that what has its name be one.
fn macvlan(flags: u16, vmac: &Vmac, below: u32) -> Request {
    let (mut info, mut data) = (Vec::new(), Vec::new());
    attribute(&mut data, IFLA_MACVLAN_MODE, &MACVLAN_MODE_BRIDGE.to_ne_bytes());
    attribute(&mut info, IFLA_INFO_KIND, b"macvlan");
    attribute(&mut info, IFLA_INFO_DATA, &data);
    let mut request = link(RTM_NEWLINK, flags, vmac, AS_IT_IS);
    attribute(&mut request.body, IFLA_LINK, &below.to_ne_bytes());
    attribute(&mut request.body, IFLA_ADDRESS, &vmac.mac);
    attribute(&mut request.body, IFLA_LINKINFO, &info);
    request
}
