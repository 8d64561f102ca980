//! Decides what shows only when both nodes are read, and what is written.

use std::net::IpAddr;

use crosswire::time::Span;

use super::groups::{self, Group, Router, Together, Vip};
use super::ledger::Key;
use super::model::{Address, Instance, Node, SyncGroup, Track};
use super::notify;
use super::people::{self, Lan};
use super::routes::{convert, convert_rule, lost_route};
use super::source::Sources;
use crate::cli::import::draft::{Times, fit};
use crate::cli::import::places::Names;
use crate::settings::{OwnAddress, exact, shorten};

/// Time between two adverts where nothing is said.
const USUAL_ADVERT: Span = Span::from_s(1);
/// keepalived takes over after three adverts and a part of one.
const ADVERTS_TO_DEAD: u64 = 4;

/// Everything that is written.
pub struct Plan {
    /// The nodes.
    pub names: [String; 2],
    /// Where they hear each other.
    pub lans: Vec<Lan>,
    /// When.
    pub times: Times,
    /// Who else is asked.
    pub witnesses: Vec<IpAddr>,
    /// What is served.
    pub groups: Vec<Group>,
}

/// Decides all that; what nothing decides is an error of the sources.
pub fn settle(nodes: &[Option<Node>; 2], names: [String; 2], told: &Names, sources: &mut Sources) -> Plan {
    check(nodes, sources);
    tell_nodes(nodes, &names, sources);
    let lans = people::lans(nodes, &names, told, sources);
    let times = times(nodes, sources);
    let mut groups = Vec::new();
    for together in groups::all_together(nodes) {
        let mut group = group(&together, &names, &groups, nodes[1].is_some(), sources);
        take_tracks(&together, &mut group, sources);
        groups.push(group);
    }
    groups::split(&mut groups, &mut sources.ledger);
    groups::merge(&mut groups, &mut sources.ledger);
    let witnesses = notify::witnesses(nodes, &own(&lans, &names, &groups), &mut sources.ledger);
    tell_lans(nodes, &lans, &names, sources);
    tell_empty(nodes, sources);
    Plan { names, lans, times, witnesses, groups }
}

/// Refuses what keepalived itself would refuse.
fn check(nodes: &[Option<Node>; 2], sources: &mut Sources) {
    for node in nodes.iter().flatten() {
        for one in &node.instances {
            if one.interface.is_none() {
                sources.fail(
                    one.at,
                    (
                        format!("{} names no interface", shorten(&one.name)),
                        "add interface eth0, the LAN of both nodes",
                    ),
                );
            }
            if one.router.is_none() {
                sources.fail(
                    one.at,
                    (
                        format!("{} has no virtual_router_id", shorten(&one.name)),
                        "add the number that both nodes have",
                    ),
                );
            }
            if let [_, (ip, at), ..] = &one.peers[..] {
                sources.fail(
                    *at,
                    (
                        format!("a second peer: {ip}"),
                        "a pair has two nodes: leave the others out, or keep keepalived",
                    ),
                );
            }
        }
        for group in &node.groups {
            for (name, at) in &group.members {
                match node.instances.iter().any(|one| one.name == *name) {
                    true => sources.ledger.taken(*at, "see its vrrp_instance"),
                    false => sources.ledger.meaningless(*at, "there is no vrrp_instance of that name"),
                }
            }
        }
    }
}

/// keepalived leaves a sync group without virtual routers out, and all that it says with it.
fn tell_empty(nodes: &[Option<Node>; 2], sources: &mut Sources) {
    for node in nodes.iter().flatten() {
        let is_member = |name: &String| node.instances.iter().any(|one| one.name == *name);
        let is_empty = |group: &&SyncGroup| !group.members.iter().any(|(name, _)| is_member(name));
        for at in node.groups.iter().filter(is_empty).flat_map(SyncGroup::keys) {
            if sources.ledger.is_open(at) {
                sources.ledger.meaningless(at, "the group has no vrrp_instance: keepalived leaves it out");
            }
        }
    }
}

fn tell_nodes(nodes: &[Option<Node>; 2], names: &[String; 2], sources: &mut Sources) {
    for (node, name) in nodes.iter().zip(names) {
        let Some((id, at)) = node.as_ref().and_then(|node| node.router_id.as_ref()) else { continue };
        match id == name {
            true => sources.ledger.taken(*at, format!("[node.\"{name}\"], which has to be its `uname -n`")),
            false => {
                sources.ledger.replaced(*at, format!("[node.\"{name}\"]: a node is called by its `uname -n`"))
            }
        }
    }
}

/// The shortest interval of all counts.
fn times(nodes: &[Option<Node>; 2], sources: &mut Sources) -> Times {
    let said = || nodes.iter().flatten().flat_map(|node| &node.instances).filter_map(|one| one.advert);
    let advert = said().map(|(span, _)| span).min().unwrap_or(USUAL_ADVERT);
    let times = fit([Some(advert), None, Some(advert.fraction(ADVERTS_TO_DEAD, 1)), None]);
    let [interval, _, dead, _] = times.all;
    for (span, at) in said() {
        let what = format!("interval = \"{}\", dead_after = \"{}\"", exact(interval), exact(dead));
        match span == interval {
            true => sources.ledger.taken(at, format!("{what}: all paths have to be silent for so long")),
            false if span == advert => {
                sources.ledger.replaced(at, format!("{what}: 20 ms to 5 s can be kept"))
            }
            false => sources.ledger.replaced(at, format!("{what}: the shortest one counts for all")),
        }
    }
    times
}

fn group(
    together: &Together<'_>,
    names: &[String; 2],
    others: &[Group],
    has_both: bool,
    sources: &mut Sources,
) -> Group {
    let first = together.routers[0].any();
    let (wanted, at) =
        together.groups.first().map_or((&first.name, first.at), |(_, group)| (&group.name, group.at));
    let name = groups::free_name(wanted, others);
    for (_, group) in &together.groups {
        sources.ledger.taken(group.at, format!("[group.\"{name}\"]"));
    }
    let mut addresses = Vec::new();
    let mut renamed: Vec<[String; 2]> = others.iter().flat_map(|other| other.renamed.clone()).collect();
    for router in &together.routers {
        tell_router(router, &name, names, has_both, sources);
        for (side, one) in router.each() {
            add_addresses((&mut addresses, &mut renamed), (side, one), router, names, &name, sources);
        }
    }
    let mut routes: Vec<(Key, String)> = Vec::new();
    for route in together.routers.iter().flat_map(Router::each).flat_map(|(_, one)| &one.routes) {
        match convert(route, &addresses) {
            Ok(text) => {
                sources.ledger.taken(route.at, format!("routes: \"{text}\""));
                routes.push((route.at, text));
            }
            Err(why) => sources.ledger.lost(route.at, lost_route(&why, "route")),
        }
    }
    let mut rules: Vec<(Key, String)> = Vec::new();
    for rule in together.routers.iter().flat_map(Router::each).flat_map(|(_, one)| &one.rules) {
        match convert_rule(rule) {
            Ok(text) => {
                sources.ledger.taken(rule.at, format!("rules: \"{text}\""));
                rules.push((rule.at, text));
            }
            Err(why) => sources.ledger.lost(rule.at, lost_route(&why, "rule")),
        }
    }
    let (prefer, failback) = groups::preference(together, names, has_both, &mut sources.ledger);
    let (scripts, is_mounting) = notify::scripts(together, names, &mut sources.ledger);
    let tracked = Vec::new();
    Group { name, at, prefer, failback, addresses, tracked, renamed, routes, rules, scripts, is_mounting }
}

fn tell_router(router: &Router<'_>, name: &str, names: &[String; 2], has_both: bool, sources: &mut Sources) {
    for (side, one) in router.each() {
        sources.ledger.taken(one.at, format!("[group.\"{name}\"]"));
        if has_both && router.by[1 - side].is_none() {
            let note = format!(
                "{} does not have it, and here both nodes serve every group: see that it can",
                names[1 - side]
            );
            sources.ledger.lost(one.at, note);
        }
    }
}

fn add_addresses(
    (all, renamed): (&mut Vec<Vip>, &mut Vec<[String; 2]>),
    (side, one): (usize, &Instance),
    router: &Router<'_>,
    names: &[String; 2],
    group: &str,
    sources: &mut Sources,
) {
    for address in &one.addresses {
        let usual = one.interface.as_ref().map(|(name, _)| name.as_str()).unwrap_or_default();
        let interface = address.interface.as_deref().unwrap_or(usual);
        let text = format!("{}/{}@{interface}", address.ip, address.prefix);
        let known = all.iter().find(|vip| vip.ip == address.ip && vip.at != address.at);
        let is_twin = side == 1 && router.by[0].is_some();
        match known {
            Some(vip) if vip.prefix == address.prefix && vip.interface == interface => {
                sources.ledger.taken(
                    address.at,
                    format!(
                        "\"{text}\" of [group.\"{group}\"], as said \
                    before"
                    ),
                );
            }
            Some(vip)
                if is_twin
                    && vip.prefix == address.prefix
                    && rename(renamed, [vip.interface.as_str(), interface]) =>
            {
                sources.ledger.taken(
                    address.at,
                    format!("interface_names: {} is called {interface} on {}", vip.interface, names[1]),
                );
            }
            Some(vip) if is_twin => sources.ledger.lost(
                address.at,
                format!(
                    "{} has it as {}/{}@{}, and one file serves both: give the interface one name on both \
                        boxes (systemd.link(5), \
                     udev), and one prefix",
                    names[0], vip.ip, vip.prefix, vip.interface
                ),
            ),
            Some(_) | None => {
                sources.ledger.taken(address.at, format!("\"{text}\" of [group.\"{group}\"]"));
                let is_lacking =
                    |other: &&Instance| other.addresses.iter().all(|there| there.ip != address.ip);
                if router.by[1 - side].as_ref().is_some_and(is_lacking) {
                    sources.ledger.lost(
                        address.at,
                        format!(
                            "{} does not name it, and will serve it \
                        too",
                            names[1 - side]
                        ),
                    );
                }
                if all.iter().all(|vip| vip.at != address.at) {
                    let is_untracked = address.is_untracked || one.is_untracked && interface == usual;
                    let label = label_of(address, interface, sources);
                    let (ip, prefix, interface) = (address.ip, address.prefix, interface.to_string());
                    let peer = address.peer.filter(|peer| peer.is_ipv4() == ip.is_ipv4() && *peer != ip);
                    let vmac = vmac_of(one, address, interface == usual);
                    if vmac.is_some() && label.is_some() {
                        sources.ledger.lost(address.at, "an address with a vmac has no label");
                    }
                    let label = label.filter(|_| vmac.is_none());
                    all.push(Vip { at: address.at, ip, prefix, interface, label, peer, is_untracked, vmac });
                }
            }
        }
        for note in &address.notes {
            sources.ledger.say(address.at, note.clone());
        }
    }
}

/// The hardware address of VRRP (RFC 9568 7.3), unless the instance names another one.
fn vmac_of(one: &Instance, address: &Address, is_on_own: bool) -> Option<String> {
    let written = one.vmac.as_ref().filter(|_| is_on_own);
    let family = if address.ip.is_ipv4() { 1 } else { 2 };
    let router = one.router.as_ref().map_or(0, |(router, _)| *router);
    let usual = || format!("00:00:5e:00:{family:02x}:{router:02x}");
    match written {
        Some((mac, _)) => Some(mac.clone().unwrap_or_else(usual)),
        None => address.has_vmac.then(usual),
    }
}

/// Whether the second node may call an interface of the first so: no two may be one.
fn rename(renamed: &mut Vec<[String; 2]>, [a, b]: [&str; 2]) -> bool {
    let is_same = |[known, other]: &[String; 2]| known == a && other == b;
    let is_free = renamed.iter().all(|[known, other]| known != a && other != b);
    let is_known = renamed.iter().any(is_same);
    if is_free {
        renamed.push([a.to_string(), b.to_string()]);
    }
    is_free || is_known
}

/// The label of an address, if old tools could show it.
fn label_of(address: &Address, interface: &str, sources: &mut Sources) -> Option<String> {
    let label = address.label.as_ref()?;
    let is_good = label.len() < 16 && label.strip_prefix(interface).is_some_and(|rest| rest.starts_with(':'));
    if is_good && address.ip.is_ipv4() {
        return Some(label.clone());
    }
    sources.ledger.lost(
        address.at,
        format!("the label {} is left out: it does not begin with {interface}:", shorten(label)),
    );
    None
}

fn take_tracks(together: &Together<'_>, group: &mut Group, sources: &mut Sources) {
    let of_instances = together.routers.iter().flat_map(Router::each).flat_map(|(_, one)| &one.tracks);
    let of_groups = together.groups.iter().flat_map(|(_, one)| &one.tracks);
    for Track { at, interface, is_weighted } in of_instances.chain(of_groups) {
        // An interface that the second node names differently is written by the first one's name.
        let name = group
            .renamed
            .iter()
            .find(|[_, own]| own == interface)
            .map_or(interface, |[name, _]| name)
            .clone();
        let is_served = group.addresses.iter().any(|vip| vip.interface == name && !vip.is_untracked);
        match (is_served, is_weighted) {
            (true, false) => sources
                .ledger
                .taken(*at, "the carrier of every interface with an address of the group counts"),
            (true, true) => sources
                .ledger
                .replaced(*at, "its carrier counts, without weights: who has lost it hands over"),
            (false, false) => {
                sources.ledger.taken(*at, format!("track: its carrier counts for [group.\"{}\"]", group.name))
            }
            (false, true) => {
                sources
                    .ledger
                    .replaced(*at, "track: its carrier counts, without weights: who has lost it hands over");
            }
        }
        if !is_served && group.tracked.iter().all(|(_, known)| *known != name) {
            group.tracked.push((*at, name));
        }
    }
}

fn tell_lans(nodes: &[Option<Node>; 2], lans: &[Lan], names: &[String; 2], sources: &mut Sources) {
    for (side, node) in nodes.iter().enumerate() {
        for one in node.iter().flat_map(|node| &node.instances) {
            let Some((interface, at)) = &one.interface else { continue };
            let lan = lans.iter().find(|lan| lan.interfaces[side] == *interface);
            sources.ledger.taken(
                *at,
                match lan {
                    Some(lan) => {
                        format!(
                            "[lan] on {interface} ({}), and addresses that name none live there",
                            lan.who(names)
                        )
                    }
                    None => format!("addresses that name none live on {interface}"),
                },
            );
            let mut said = one.source.into_iter().chain(one.peers.iter().copied()).collect::<Vec<_>>();
            said.dedup();
            for (ip, at) in said {
                match lan.and_then(|lan| lan.ips.iter().position(|own| *own == ip)) {
                    Some(node) => sources.ledger.taken(at, format!("[node.\"{}\"] lan", names[node])),
                    None => sources.ledger.meaningless(
                        at,
                        "beats go between the nodes' addresses on each [lan], see interface",
                    ),
                }
            }
        }
    }
}

/// The addresses of the pair itself.
fn own(lans: &[Lan], names: &[String; 2], groups: &[Group]) -> Vec<OwnAddress> {
    let nodes = lans.iter().flat_map(|lan| names.iter().zip(lan.ips));
    let nodes = nodes.map(|(node, ip)| OwnAddress { ip, prefix: None, what: format!("{node}'s own") });
    let vips = groups.iter().flat_map(|group| &group.addresses);
    let what = "what the pair serves";
    nodes
        .chain(vips.map(|vip| OwnAddress { ip: vip.ip, prefix: Some(vip.prefix), what: what.to_string() }))
        .collect()
}
