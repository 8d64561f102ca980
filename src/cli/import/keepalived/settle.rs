//! Decides what shows only when both nodes are read, and what is written.

use std::net::IpAddr;

use crosswire::time::Span;

use super::addresses;
use super::groups::{self, Group, Router, Together};
use super::ledger::Key;
use super::model::{Instance, Node, SyncGroup, Track};
use super::notify;
use super::people::{self, Lan};
use super::routes::{Converted, convert, convert_rule, lost_route};
use super::source::Sources;
use crate::cli::import::draft::{Times, fit};
use crate::cli::import::places::Names;
use crate::settings::{OwnAddress, exact, shorten};

/// Time between two adverts where nothing is said.
const USUAL_ADVERT: Span = Span::from_s(1);
/// VRRP of an instance that names none.
const USUAL_VERSION: u8 = 2;
/// keepalived takes over after so many intervals and a part of one.
const USUAL_ADVERTS: u8 = 3;

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
        take_tracks(&together, &mut group, &names, sources);
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
                let is_there = node.instances.iter().any(|one| one.name == *name);
                match (is_there, node.is_member(name, group)) {
                    (true, true) => sources.ledger.taken(*at, "see its vrrp_instance"),
                    (true, false) => {
                        let why = "keepalived heeds only the first vrrp_sync_group of an instance";
                        sources.ledger.meaningless(*at, why);
                    }
                    (false, _) => sources.ledger.meaningless(*at, "there is no vrrp_instance of that name"),
                }
            }
        }
    }
}

/// keepalived leaves a sync group without virtual routers out, and all that it says with it.
fn tell_empty(nodes: &[Option<Node>; 2], sources: &mut Sources) {
    for node in nodes.iter().flatten() {
        let is_empty =
            |group: &&SyncGroup| !group.members.iter().any(|(name, _)| node.is_member(name, group));
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

/// The interval of an instance as keepalived keeps it: VRRP 2 has whole seconds, VRRP 3 has hundredths.
fn kept(node: &Node, one: &Instance, span: Span) -> Span {
    let version = one.version.or(node.version.filter(|_| one.is_v4()));
    let has_seconds = one.is_v4() && version.unwrap_or(USUAL_VERSION) == USUAL_VERSION;
    let unit_us = if has_seconds { 1_000_000 } else { 10_000 };
    Span::from_us(span.as_us().saturating_add(unit_us / 2) / unit_us * unit_us).max(Span::from_us(unit_us))
}

/// After how many intervals without an advert the node takes over, wherever it says so.
fn counts(node: &Node) -> Vec<(u8, Key)> {
    node.adverts.into_iter().chain(node.instances.iter().filter_map(|one| one.adverts)).collect()
}

/// The shortest interval of all counts.
fn times(nodes: &[Option<Node>; 2], sources: &mut Sources) -> Times {
    let mut all = Vec::new();
    for node in nodes.iter().flatten() {
        let said = node.instances.iter().filter_map(|one| Some((one, one.advert?)));
        all.extend(said.map(|(one, (span, at))| (span, kept(node, one, span), at)));
    }
    let is_silent = |node: &Node| node.instances.iter().any(|one| one.advert.is_none());
    let usual = nodes.iter().flatten().any(is_silent).then_some(USUAL_ADVERT);
    let advert = all.iter().map(|(_, kept, _)| *kept).chain(usual).min().unwrap_or(USUAL_ADVERT);
    let counts: Vec<(u8, Key)> = nodes.iter().flatten().flat_map(counts).collect();
    let count = counts.iter().map(|(count, _)| *count).max().unwrap_or(USUAL_ADVERTS).max(USUAL_ADVERTS);
    let wanted = advert.fraction(u64::from(count) + 1, 1);
    let times = fit([Some(advert), None, Some(wanted), None]);
    let [interval, _, dead, _] = times.all;
    for (own, at) in counts {
        let what = format!("dead_after = \"{}\"", exact(dead));
        match own == count && dead == wanted {
            true => sources.ledger.taken(at, format!("{what}: so many intervals and one more")),
            false if own < USUAL_ADVERTS => {
                sources.ledger.replaced(at, format!("{what}: four intervals are the least"));
            }
            false => sources.ledger.replaced(at, format!("{what}: the most that can be kept counts for all")),
        }
    }
    for (span, kept, at) in all {
        let what = format!("interval = \"{}\", dead_after = \"{}\"", exact(interval), exact(dead));
        match span == interval {
            true => sources.ledger.taken(at, format!("{what}: all paths have to be silent for so long")),
            false if kept == interval => {
                let why = "keepalived rounds to whole seconds in VRRP 2, and to hundredths in VRRP 3";
                sources.ledger.replaced(at, format!("{what}: {why}"));
            }
            false if kept == advert => {
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
            addresses::add((&mut addresses, &mut renamed), (side, one), router, names, &name, sources);
        }
    }
    let routes = converted(together, names, ("routes", "route"), sources, |side, one| {
        let own = if side == 0 { &[][..] } else { &renamed[..] };
        one.routes.iter().map(|route| (route.at, convert(route, &addresses, own))).collect()
    });
    let rules = converted(together, names, ("rules", "rule"), sources, |side, one| {
        let own = if side == 0 { &[][..] } else { &renamed[..] };
        one.rules.iter().map(|rule| (rule.at, convert_rule(rule, own))).collect()
    });
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

/// The routes of a group, or its rules. One file serves both nodes, so each has what either names.
fn converted<'n>(
    together: &Together<'n>,
    names: &[String; 2],
    (key, command): (&str, &str),
    sources: &mut Sources,
    convert: impl Fn(usize, &'n Instance) -> Vec<(Key, Result<Converted, String>)>,
) -> Vec<(Key, String)> {
    let mut all: Vec<(usize, Key, String)> = Vec::new();
    for (side, one) in together.routers.iter().flat_map(Router::each) {
        for (at, converted) in convert(side, one) {
            match converted {
                Ok(Converted { text, aside, notes }) => {
                    sources.ledger.taken(at, format!("{key}: \"{text}\"{aside}"));
                    notes.into_iter().for_each(|note| sources.ledger.say(at, note));
                    all.push((side, at, text));
                }
                Err(why) => sources.ledger.lost(at, lost_route(&why, command)),
            }
        }
    }
    for (side, at, text) in &all {
        let has_other = together.routers.iter().any(|router| router.by[1 - side].is_some());
        let is_lacking = all.iter().all(|(other, _, there)| other == side || there != text);
        if has_other && is_lacking {
            sources.ledger.lost(*at, format!("{} does not name it, and will have it too", names[1 - side]));
        }
    }
    all.into_iter().map(|(_, at, text)| (at, text)).collect()
}

/// How far the priorities of both nodes are apart.
fn gap(together: &Together<'_>, side: usize, one: &Instance) -> Option<u16> {
    let is_its = |router: &&Router<'_>| router.by[side].is_some_and(|own| std::ptr::eq(own, one));
    let other = together.routers.iter().find(is_its)?.by[1 - side]?;
    Some(u16::from(one.rank().abs_diff(other.rank())))
}

fn take_tracks(together: &Together<'_>, group: &mut Group, names: &[String; 2], sources: &mut Sources) {
    let routers = together.routers.iter().flat_map(Router::each);
    let of_instances =
        routers.flat_map(|(side, one)| one.tracks.iter().map(move |track| (side, Some(one), track)));
    let of_groups =
        together.groups.iter().flat_map(|(side, one)| one.tracks.iter().map(|track| (*side, None, track)));
    let all: Vec<(usize, Option<&Instance>, &Track)> = of_instances.chain(of_groups).collect();
    // An interface that the second node names differently is written by the first one's name.
    let renamed = group.renamed.clone();
    let written = |side: usize, name: &str| {
        let known = renamed.iter().find(|[_, own]| side == 1 && own == name);
        known.map_or(name, |[first, _]| first).to_string()
    };
    for (side, one, Track { at, interface, weight, is_reverse }) in &all {
        let own = one.and_then(|one| one.interface.as_ref());
        if own.is_some_and(|(own, _)| own == interface) {
            let why = "keepalived does not heed it: the instance's own interface counts anyway, unless \
                       dont_track_primary is there";
            sources.ledger.meaningless(*at, why);
            continue;
        }
        if weight.is_some() && one.is_some_and(Instance::is_owner) {
            sources.ledger.meaningless(*at, notify::NO_WEIGHTS);
            continue;
        }
        // A weight is none in a sync group: then the carrier counts as it does without.
        let own = together.groups.iter().find(|(by, group)| {
            *by == *side && one.is_some_and(|one| group.members.iter().any(|(name, _)| *name == one.name))
        });
        let is_level = own.is_some_and(|(_, group)| !group.has_weights);
        let weight = weight.filter(|_| !is_level);
        if *is_reverse && weight.is_some() {
            let why = "no carrier counts the other way round (reverse): let a script say `crosswire standby` \
                       and `crosswire online`";
            sources.ledger.lost(*at, why);
            continue;
        }
        let name = written(*side, interface);
        let is_served = group.addresses.iter().any(|vip| vip.interface == name && !vip.is_untracked);
        let gap = one.and_then(|one| gap(together, *side, one));
        match (is_served, weight) {
            (true, None) => sources
                .ledger
                .taken(*at, "the carrier of every interface with an address of the group counts"),
            (true, Some(_)) => sources
                .ledger
                .taken(*at, "its carrier counts, without a weight: so keepalived has it where an address is"),
            (false, None) => {
                sources.ledger.taken(*at, format!("track: its carrier counts for [group.\"{}\"]", group.name))
            }
            (false, Some(weight)) if gap.is_some_and(|gap| gap >= weight.unsigned_abs()) => {
                let why =
                    format!("keepalived moves nothing for it: the priorities are {} apart", gap.unwrap_or(0));
                sources.ledger.meaningless(*at, why);
                continue;
            }
            (false, Some(_)) => {
                sources
                    .ledger
                    .replaced(*at, "track: its carrier counts, without weights: who has lost it hands over");
            }
        }
        let has_other = together.routers.iter().any(|router| router.by[1 - side].is_some());
        let is_twin = |(other, _, track): &&(usize, Option<&Instance>, &Track)| {
            other != side && written(*other, &track.interface) == name
        };
        if !is_served && has_other && !all.iter().any(|other| is_twin(&other)) {
            let why = format!("{} does not name it, and it counts there too", names[1 - side]);
            sources.ledger.lost(*at, why);
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
                    None => format!(
                        "addresses that name none live on {interface}; no beats go there, as nothing says \
                         which addresses the nodes have on it: add them to --addresses for a further [[lan]]"
                    ),
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
