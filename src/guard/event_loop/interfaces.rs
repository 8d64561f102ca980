//! What the kernel says of interfaces and addresses, and who has to know it.

use std::net::IpAddr;

use crosswire::custody::HeldGroup;
use crosswire::pair::{GroupId, PathId};
use crosswire::resource::Fault;
use crosswire::time::Span;
use log::warn;

use super::notes::said;
use super::state::Guard;
use crate::clock::now;
use crate::guard::kernel::ethernet::Listener;
use crate::guard::kernel::links::LinkEvent;
use crate::guard::kernel::probe;
use crate::guard::serial::ports::has_own_address;
use crate::ipc::FromGuard;
use crate::settings::neighbours::takes;
use crate::settings::{GroupSettings, PathDevice, PathSettings, VirtualAddress};

/// How often the guard looks which addresses the kernel would refuse.
const LOOK_EVERY: Span = Span::from_s(5);

/// How long after a change of a macvlan it is looked at: the change may be one of ours that goes wrong.
const SETTLES: Span = Span::from_ms(300);

impl Guard<'_> {
    pub(super) fn hear_links(&mut self) {
        let mut events = Vec::new();
        if let Err(errno) = self.links.read_events(&mut events) {
            warn!("the kernel does not say how the interfaces are: {}", errno.desc());
        }
        self.take_link_events(&events);
    }

    pub(super) fn take_link_events(&mut self, events: &[LinkEvent]) {
        for event in events {
            match *event {
                LinkEvent::CameUp(interface) => self.open_listeners(interface),
                LinkEvent::Carrier(interface, up) => {
                    self.tell(&FromGuard::Carrier { interface, up }, None);
                    let name = self.settings.interfaces.get(usize::from(interface));
                    self.open_lans(|_, on| Some(on) == name);
                }
                LinkEvent::Macvlan => self.look_from = self.look_from.min(now() + SETTLES),
                LinkEvent::AddressThere(seen) => {
                    let to_renew = self.addresses.note_seen(seen);
                    to_renew.into_iter().for_each(|first| self.tell_missing(|ip| ip == first));
                    let is_put = self.addresses.is_put(seen.place);
                    self.owe_look(|address, is_held| address.ip == seen.place.ip && !(is_held && is_put));
                    self.open_lans(|ip, _| ip == seen.place.ip);
                }
                LinkEvent::AddressGone(seen) => {
                    self.addresses.note_gone(seen.place);
                    self.look_from = now();
                    self.tell_missing(|ip| ip == seen.place.ip);
                    self.look_at_lans(|ip| ip == seen.place.ip, |_| true);
                }
                LinkEvent::Missed => {
                    self.look_from = now();
                    self.tell_missing(|_| true);
                    self.owe_look(|_, _| true);
                    self.look_at_lans(|_| true, |path| !has_own_address(path));
                }
            }
            if let LinkEvent::CameUp(interface) = *event {
                // The interface may have had another name.
                let name = self.settings.interfaces.get(usize::from(interface));
                self.owe_look(|address, is_held| !is_held && Some(&address.interface) == name);
                self.doubt_refusals(name);
            }
            if let LinkEvent::CameUp(interface) | LinkEvent::Carrier(interface, true) = *event {
                self.look_from = now();
                self.announce_again(interface);
            }
        }
    }

    /// Tells the agent that addresses have gone, which may be an accident: what is held comes back.
    fn tell_missing(&mut self, is_meant: impl Fn(IpAddr) -> bool) {
        for (group, settings) in (0u8..).map(GroupId).zip(&self.settings.groups) {
            let is_held = self.custody.group(group).is_some_and(HeldGroup::is_held);
            let is_held = is_held && !self.settings.is_shadow();
            if is_held && settings.addresses.iter().any(|address| is_meant(address.ip)) {
                self.tell(&FromGuard::Missing { group }, None);
            }
        }
    }

    /// Opens the LAN paths that wait for what is there now: their address, or that their interface is
    /// switched on. Either may come last. One that cannot be opened yet keeps its turn.
    fn open_lans(&mut self, is_meant: impl Fn(IpAddr, &String) -> bool) {
        for (id, path) in (0u8..).map(PathId).zip(&self.settings.paths) {
            let PathDevice::Lan { local, interface, .. } = &path.device else { continue };
            if is_meant(*local, interface) && self.unopened.has(id) && has_own_address(path) {
                self.reopen(id);
            }
        }
    }

    /// Looks at the LAN paths. If our own address on one has gone, its path is blind until it is back.
    fn look_at_lans(&mut self, is_meant: impl Fn(IpAddr) -> bool, is_gone: impl Fn(&PathSettings) -> bool) {
        for (id, path) in (0u8..).map(PathId).zip(&self.settings.paths) {
            let is_one = matches!(path.device, PathDevice::Lan { local, .. } if is_meant(local));
            let is_away = self.unopened.has(id);
            if is_one && is_gone(path) != is_away {
                self.reopen(id);
            }
        }
    }

    /// Tells the agent which addresses the kernel would refuse: a node that could not take a group says so
    /// before it has to. No event tells all of that, so the kernel is asked now and then.
    pub(super) fn tell_what_is_refused(&mut self) {
        self.look_from = now() + LOOK_EVERY;
        for (id, group) in (0u8..).map(GroupId).zip(&self.settings.groups) {
            let is_held = self.custody.group(id).is_some_and(HeldGroup::is_held);
            let vmacs = if self.settings.is_shadow() {
                Ok(())
            } else {
                self.addresses.keep_vmacs(&group.addresses, is_held)
            };
            let lacks_vmac = |at: u8| matches!(vmacs, Err(Fault::Refused(index, _)) if index == at);
            let all = (0u8..).zip(&group.addresses);
            let mut refused =
                all.filter(|(index, address)| lacks_vmac(*index) || !takes(&address.interface, address.ip));
            let first = refused.next().filter(|(_, address)| self.addresses.is_up(&address.interface));
            let index = first.map(|(index, _)| index);
            let Some(own) = self.resources.get_mut(usize::from(id.0)) else { continue };
            let before = std::mem::replace(&mut own.refused, index);
            if let Some((_, address)) = first.filter(|_| before != index) {
                let (name, ip, interface) = (&group.name, address.ip, &address.interface);
                let why = match vmacs {
                    Err(fault) => {
                        let rival = address.vmac.and_then(|vmac| vmac.rival("", interface));
                        let has_it = |rival| format!(": {rival} is up and has its hardware address");
                        said(fault, group) + &rival.map(has_it).unwrap_or_default()
                    }
                    Ok(()) => format!(
                        "the kernel takes no address like {ip} on {interface}: see disable_ipv6, and the MTU"
                    ),
                };
                warn!("group {name}: {why}");
            }
            if before.is_some() || index.is_some() {
                self.tell(&FromGuard::Refuses { group: id, address: index }, None);
            }
        }
    }

    /// What the kernel refused while an interface was not there is told anew.
    fn doubt_refusals(&mut self, name: Option<&String>) {
        for (group, own) in self.settings.groups.iter().zip(&mut self.resources) {
            if group.addresses.iter().any(|address| Some(&address.interface) == name) {
                own.refused.get_or_insert(u8::MAX);
            }
        }
    }

    /// Removes the macvlans of the old groups that none of the new ones has.
    pub(super) fn remove_vmacs(&mut self, old: &[GroupSettings], new: &[GroupSettings]) {
        for address in old.iter().flat_map(|group| &group.addresses) {
            let is_same = |kept: &VirtualAddress| kept.vmac == address.vmac;
            let is_kept = new.iter().any(|group| group.addresses.iter().any(is_same));
            if let Some(vmac) = address.vmac.filter(|_| !is_kept && !self.settings.is_shadow()) {
                self.addresses.remove_vmac(vmac.name());
            }
        }
    }

    fn open_listeners(&mut self, interface: u8) {
        let Some(name) = self.settings.interfaces.get(usize::from(interface)) else { return };
        for (is_v6, listener) in probe::listeners(self.settings, name) {
            match listener {
                Ok(Listener { socket, mac }) => {
                    self.tell(&FromGuard::Listener { interface, mac, is_v6 }, Some(socket))
                }
                Err(errno) => warn!("{name}: probes cannot hear answers here: {}", errno.desc()),
            }
        }
        let counts = self.settings.policy.counts_on(usize::from(interface));
        for (is_v6, lookout) in probe::lookouts(self.settings, name).into_iter().filter(|_| counts) {
            match lookout {
                Ok(Listener { socket, mac }) => {
                    self.tell(&FromGuard::Neighbours { interface, mac, is_v6 }, Some(socket))
                }
                Err(errno) => warn!("{name}: no neighbour can be heard here: {}", errno.desc()),
            }
        }
    }

    /// Announces again: a link that has just come up knows nothing of us.
    fn announce_again(&mut self, interface: u8) {
        let name = self.settings.interfaces.get(usize::from(interface));
        for (own, group) in self.resources.iter_mut().zip(&self.settings.groups) {
            if group.addresses.iter().any(|address| Some(&address.interface) == name) {
                own.announce_from(now());
            }
        }
    }
}
