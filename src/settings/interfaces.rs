//! Which interfaces matter, in an order that both nodes have in common, and what lives on each.

use crosswire::config::{MAX_INTERFACES, interface_bit};
use crosswire::pair::Side;

use super::nodes::Node;
use super::paths::Link;
use super::{GroupSettings, PathDevice, PathSettings, Settings, VirtualAddress, groups};
use crate::gather::{Gather, sort_by_key};

/// Tells the policy which LAN paths have an interface with addresses of each group.
pub(super) fn place_groups(settings: &mut Settings) {
    let Settings { groups, paths, policy, .. } = settings;
    let ids: Vec<_> = policy.path_ids().gather();
    for (group, policy) in groups.iter().zip(&mut policy.groups) {
        let has_address_on = |name: &String| group.addresses.iter().any(|address| address.interface == *name);
        let is_on = |device: &PathDevice| match device {
            PathDevice::Lan { interface, .. } => has_address_on(interface),
            PathDevice::Serial { .. } => false,
        };
        let found = ids.iter().zip(paths.iter()).filter(|(_, path)| is_on(&path.device));
        *policy = policy.on(found.map(|(id, _)| *id));
        let is_beside_peer = |address: &VirtualAddress| {
            paths.iter().any(|path| {
                matches!(&path.device, PathDevice::Lan { interface, .. } if *interface == address.interface)
            })
        };
        let count = u8::try_from(group.addresses.len()).unwrap_or(0);
        policy.vips_beside_peer = if group.addresses.iter().all(is_beside_peer) { count } else { 0 };
    }
}

/// Notes on which interfaces neighbours are witnesses: those of LAN paths through a switch, and those of
/// addresses that need carrier. And for each group which interfaces have to have carrier.
pub(super) fn place_interfaces(settings: &mut Settings) {
    let Settings { groups, paths, policy, interfaces, .. } = settings;
    let crossover = |name: &str| {
        paths.iter().any(|path| {
            matches!(&path.device, PathDevice::Lan { interface, is_crossover: true, .. } if interface == name)
        })
    };
    let any_place = |name: &str| {
        let index = interfaces.iter().position(|known| known == name);
        index.filter(|index| *index < MAX_INTERFACES)
    };
    let place = |name: &str| any_place(name).filter(|_| !crossover(name));
    for (path, policy) in paths.iter().zip(&mut policy.paths) {
        policy.interface = match &path.device {
            PathDevice::Lan { interface, .. } => place(interface).and_then(|index| u8::try_from(index).ok()),
            PathDevice::Serial { .. } => None,
        };
    }
    for (group, policy) in groups.iter().zip(&mut policy.groups) {
        let counted = group.addresses.iter().filter(|address| address.needs_carrier);
        let bits = counted.filter_map(|address| place(&address.interface));
        policy.interfaces = bits.fold(0, |all, index| all | interface_bit(index));
        let carriers: Option<u32> =
            group.watched().try_fold(0, |all, name| Some(all | interface_bit(any_place(name)?)));
        policy.carriers = carriers.unwrap_or(0);
    }
}

/// Every interface that matters, once: first those of service addresses, then those that are tracked, then
/// those of the LAN paths.
pub(super) fn interfaces_of(groups: &[GroupSettings], paths: &[PathSettings]) -> Vec<String> {
    let vips = groups.iter().flat_map(|group| &group.addresses).map(|address| &address.interface);
    let tracked = groups.iter().flat_map(|group| &group.tracked);
    let lans = paths.iter().filter_map(|path| match &path.device {
        PathDevice::Lan { interface, .. } => Some(interface),
        PathDevice::Serial { .. } => None,
    });
    let mut interfaces: Vec<String> = Vec::new();
    for interface in vips.chain(tracked).chain(lans) {
        if !interfaces.contains(interface) {
            interfaces.push(interface.clone());
        }
    }
    interfaces
}

/// How many interfaces a beat reports, on the box that has more of them.
pub(super) fn interface_count(
    groups: &[groups::Plan<'_>],
    links: &[Link<'_>],
    nodes: &[Node<'_>; 2],
) -> usize {
    let on = |side: Side| {
        let node = &nodes[side.index()];
        let vips = groups.iter().flat_map(|group| group.interfaces(node)).map(|interface| interface.value);
        let lans = links.iter().filter(|link| link.is_lan()).filter_map(|link| link.device(side));
        let mut names: Vec<&str> = vips.chain(lans.map(|device| device.value)).gather();
        sort_by_key(&mut names, |name| *name);
        names.dedup();
        names.len()
    };
    on(Side::A).max(on(Side::B))
}
