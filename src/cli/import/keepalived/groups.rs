//! Turns virtual routers into groups: which move together, which node is preferred, what each group has.

use std::net::IpAddr;

use crosswire::config::MAX_GROUPS;
use crosswire::frame::seal::group_tag;
use crosswire::time::Span;

use super::ledger::{Key, Ledger};
use super::model::{Instance, Node, SyncGroup};
use super::people::twin;
use crate::cli::import::compose::quoted;
use crate::settings::{MAX_ADDRESSES, MAX_SCRIPTS, exact, is_name};

/// A virtual router as both files have it.
pub struct Router<'n> {
    /// By file; one of them at least.
    pub by: [Option<&'n Instance>; 2],
}

impl<'n> Router<'n> {
    /// The router of the first file, else that of the second.
    pub fn any(&self) -> &'n Instance {
        let [a, b] = self.by;
        a.or(b).expect("a router is in one file at least")
    }

    /// All that there are, with the number of their file.
    pub fn each(&self) -> impl Iterator<Item = (usize, &'n Instance)> + use<'n> {
        let by = self.by;
        (0..2).filter_map(move |side| Some((side, by[side]?)))
    }
}

/// What moves together.
pub struct Together<'n> {
    /// The virtual routers.
    pub routers: Vec<Router<'n>>,
    /// The sync groups that say so, with the number of their file.
    pub groups: Vec<(usize, &'n SyncGroup)>,
}

/// Everything that moves together, in the order of the files.
pub fn all_together(nodes: &[Option<Node>; 2]) -> Vec<Together<'_>> {
    let instances = |side: usize| nodes[side].iter().flat_map(|node| &node.instances);
    let mut routers: Vec<Router<'_>> =
        instances(0).map(|one| Router { by: [Some(one), twin(nodes, one)] }).collect();
    let is_known = |routers: &[Router<'_>], one: &Instance| {
        routers.iter().any(|router| router.by[1].is_some_and(|known| std::ptr::eq(known, one)))
    };
    for one in instances(1) {
        if !is_known(&routers, one) {
            routers.push(Router { by: [None, Some(one)] });
        }
    }
    let mut all_together: Vec<Together<'_>> =
        routers.into_iter().map(|router| Together { routers: vec![router], groups: Vec::new() }).collect();
    for (side, node) in nodes.iter().enumerate() {
        let Some(node) = node else { continue };
        for group in &node.groups {
            let is_member = |together: &Together<'_>| {
                let named = together.routers.iter().filter_map(|router| router.by[side]);
                named.into_iter().any(|one| node.is_member(&one.name, group))
            };
            join(&mut all_together, is_member, (side, group));
        }
    }
    all_together
}

/// Joins all members into one.
fn join<'n>(
    all_together: &mut Vec<Together<'n>>,
    is_member: impl Fn(&Together<'n>) -> bool,
    by: (usize, &'n SyncGroup),
) {
    let Some(first) = all_together.iter().position(&is_member) else { return };
    while let Some(next) = all_together.iter().skip(first + 1).position(&is_member) {
        let Together { routers, groups } = all_together.remove(first + 1 + next);
        all_together[first].routers.extend(routers);
        all_together[first].groups.extend(groups);
    }
    all_together[first].groups.push(by);
}

/// One address of a group.
#[derive(Clone, Debug)]
pub struct Vip {
    /// The statement.
    pub at: Key,
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// Its interface.
    pub interface: String,
    /// Its label, if that is allowed.
    pub label: Option<String>,
    /// The other end.
    pub peer: Option<IpAddr>,
    /// Its interface need not have carrier.
    pub is_untracked: bool,
    /// The hardware address that both nodes share.
    pub vmac: Option<String>,
}

impl Vip {
    /// In our notation.
    pub fn text(&self) -> String {
        let plain = quoted(&format!("{}/{}@{}", self.ip, self.prefix, self.interface));
        let mut more = String::new();
        if let Some(label) = &self.label {
            more += &format!(", label = {}", quoted(label));
        }
        if let Some(peer) = self.peer {
            more += &format!(", peer = \"{peer}\"");
        }
        if self.is_untracked {
            more += ", carrier = \"ignore\"";
        }
        if let Some(vmac) = &self.vmac {
            more += &format!(", vmac = {}", quoted(vmac));
        }
        if more.is_empty() { plain } else { format!("{{ address = {plain}{more} }}") }
    }
}

/// What is written of a group.
#[derive(Clone, Debug)]
pub struct Group {
    /// What it is called.
    pub name: String,
    /// The statement that asks for it.
    pub at: Key,
    /// The number of the preferred node.
    pub prefer: Option<usize>,
    /// When it goes back.
    pub failback: String,
    /// Its addresses.
    pub addresses: Vec<Vip>,
    /// Interfaces that count without an address.
    pub tracked: Vec<(Key, String)>,
    /// What the second node calls an interface that the first one calls otherwise.
    pub renamed: Vec<[String; 2]>,
    /// Its routes, in our notation.
    pub routes: Vec<(Key, String)>,
    /// Its policy rules, in our notation.
    pub rules: Vec<(Key, String)>,
    /// Its scripts, in our notation.
    pub scripts: Vec<(Key, String)>,
    /// One of them mounts something, as far as their names say.
    pub is_mounting: bool,
}

/// A name that no other group has, nor one that looks the same in beats.
pub fn free_name(wanted: &str, groups: &[Group]) -> String {
    let plain: String = wanted
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .collect();
    let plain: String = plain.trim_start_matches(['.', '_', '-']).chars().take(40).collect();
    let plain = if is_name(&plain) { plain } else { "group".to_string() };
    let is_free = |name: &String| groups.iter().all(|group| group_tag(&group.name) != group_tag(name));
    let numbered = (2..1_000).map(|number| format!("{plain}-{number}"));
    std::iter::once(plain.clone()).chain(numbered).find(is_free).unwrap_or_default()
}

/// Which node is preferred and when it takes the group back; also notes the fate of the lines that say so.
pub fn preference(
    together: &Together<'_>,
    names: &[String; 2],
    has_both: bool,
    ledger: &mut Ledger,
) -> (Option<usize>, String) {
    let prefer = preferred(together, has_both);
    let failback = failback(together, prefer, has_both, ledger);
    for router in &together.routers {
        for (side, one) in router.each() {
            if let Some((rank, at)) = one.priority {
                let other = router.by[1 - side].map(Instance::rank);
                match (prefer, other) {
                    (Some(node), Some(other)) => {
                        ledger.taken(at, format!("prefer = \"{}\": {rank} against {other}", names[node]));
                    }
                    (Some(node), None) if has_both => {
                        ledger.taken(at, format!("prefer = \"{}\": only its file has it", names[node]));
                    }
                    (Some(node), None) => {
                        let why =
                            if one.is_owner() { "it owns the addresses" } else { "its state is MASTER" };
                        ledger.taken(at, format!("prefer = \"{}\": {why}", names[node]));
                    }
                    (None, Some(other)) if other == rank => {
                        ledger.replaced(at, format!("no preference: both have {rank}"));
                    }
                    (None, Some(_)) => ledger.lost(
                        at,
                        "the instances of its group prefer different nodes: \
                        it has no preference",
                    ),
                    (None, None) => ledger.lost(
                        at,
                        format!(
                            "one file does not tell who is preferred: give the other one with --peer, or add \
                                prefer = \"NODE\" and failback = \"{}\"",
                            own_failback(one)
                        ),
                    ),
                }
            }
            if let Some((is_master, at)) = one.is_master {
                let by = match (prefer, is_master) {
                    (Some(node), _) => format!("prefer = \"{}\", failback = \"{failback}\"", names[node]),
                    (None, true) => "whoever hears nobody for cold_start serves".to_string(),
                    (None, false) => "every node begins as the backup".to_string(),
                };
                ledger.replaced(at, by);
            }
        }
    }
    (prefer, failback)
}

/// When the node of that file alone would come back, if it is the preferred one.
fn own_failback(one: &Instance) -> String {
    let delay = one.preempt_delay.map_or(Span::ZERO, |(delay, _)| delay);
    match is_manual(one) {
        true => "manual".to_string(),
        false if delay == Span::ZERO || one.is_master() => "immediate".to_string(),
        false => exact(delay),
    }
}

/// Whether `nopreempt` counts: it does not for an owner, nor with the state MASTER.
fn is_manual(one: &Instance) -> bool {
    one.nopreempt.is_some() && !one.is_master() && !one.is_owner()
}

fn preferred(together: &Together<'_>, has_both: bool) -> Option<usize> {
    let mut all = together.routers.iter().map(|router| match router.by {
        [Some(a), Some(b)] => match a.rank().cmp(&b.rank()) {
            std::cmp::Ordering::Greater => Some(0),
            std::cmp::Ordering::Less => Some(1),
            std::cmp::Ordering::Equal => None,
        },
        [Some(one), None] if !has_both => one.is_master().then_some(0),
        [Some(_), None] => Some(0),
        [None, _] => Some(1),
    });
    let first = all.next()?;
    if all.all(|other| other == first) { first } else { None }
}

fn failback(together: &Together<'_>, prefer: Option<usize>, has_both: bool, ledger: &mut Ledger) -> String {
    let instances = || together.routers.iter().flat_map(Router::each);
    let is_of = |side: usize| prefer.is_none_or(|prefer| prefer == side);
    let is_never = prefer.is_none() || instances().any(|(side, one)| is_of(side) && is_manual(one));
    let delays = || {
        let heeded = instances().filter(|(side, one)| is_of(*side) && !one.is_master());
        heeded.filter_map(|(_, one)| Some(one.preempt_delay?.0))
    };
    let delay = delays().max().unwrap_or(Span::ZERO);
    let failback = match (is_never, delay) {
        (true, _) => "manual".to_string(),
        (false, Span::ZERO) => "immediate".to_string(),
        (false, delay) => exact(delay),
    };
    for (side, one) in instances() {
        if let Some(((), at)) = one.nopreempt {
            if !is_manual(one) {
                ledger
                    .meaningless(at, "keepalived heeds it neither in the state MASTER nor with priority 255");
            } else if is_of(side) {
                ledger.taken(at, format!("failback = \"{failback}\""));
            } else {
                ledger.meaningless(at, "only the preferred node comes back");
            }
        }
        if let Some((_, at)) = one.preempt_delay {
            if one.is_master() {
                ledger.meaningless(at, "keepalived does not heed it where the state is MASTER");
            } else if !has_both && prefer.is_none() {
                ledger.lost(at, "one file does not tell who is preferred: see priority");
            } else if is_never {
                ledger.meaningless(at, "failback = \"manual\": it does not come back by itself");
            } else if is_of(side) {
                ledger.taken(at, format!("failback = \"{failback}\": so long it has to be well first"));
            } else {
                ledger.meaningless(at, "only the preferred node comes back");
            }
        }
    }
    failback
}

/// Splits groups that have more addresses than there is room for: the rest becomes further groups, with the
/// routes that their addresses reach.
pub fn split(groups: &mut Vec<Group>, ledger: &mut Ledger) {
    let mut index = 0;
    while index < groups.len() {
        if groups[index].addresses.len() > MAX_ADDRESSES {
            let rest = groups[index].addresses.split_off(MAX_ADDRESSES);
            let name = free_name(&groups[index].name, groups);
            let is_of_rest = |route: &(Key, String)| rest.iter().any(|vip| reaches(vip, &route.1));
            let group = &mut groups[index];
            let kept: Vec<_> = group.addresses.clone();
            let is_kept = |route: &(Key, String)| kept.iter().any(|vip| reaches(vip, &route.1));
            let (away, stay) = std::mem::take(&mut group.routes)
                .into_iter()
                .partition(|route| !is_kept(route) && is_of_rest(route));
            group.routes = stay;
            let note = format!(
                "a group has room for {MAX_ADDRESSES} addresses: those from {} on are in [group.\"{name}\"], \
                    which is preferred \
                 by the same node, but moves by itself",
                rest[0].ip
            );
            ledger.lost(group.at, note);
            let new = Group {
                name,
                addresses: rest,
                routes: away,
                rules: Vec::new(),
                scripts: Vec::new(),
                is_mounting: false,
                ..group.clone()
            };
            groups.insert(index + 1, new);
        }
        index += 1;
    }
}

/// Whether the gateway of a route is in the network of an address.
pub fn reaches(vip: &Vip, route: &str) -> bool {
    let via =
        route.split_once(" via ").and_then(|(_, rest)| rest.split(' ').next()).and_then(|ip| ip.parse().ok());
    via.is_some_and(|via| is_in(via, vip))
}

/// Whether an address is in the network of another one.
pub fn is_in(ip: IpAddr, vip: &Vip) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let host = u128::MAX.checked_shr(u32::from(vip.prefix)).unwrap_or(0);
    ip.is_ipv4() == vip.ip.is_ipv4() && bits(ip) & !host == bits(vip.ip) & !host
}

/// Merges groups while there are more than there is room for: first the smallest ones with the same
/// preference.
pub fn merge(groups: &mut Vec<Group>, ledger: &mut Ledger) {
    while groups.len() > MAX_GROUPS
        && let Some((first, second)) = pair_to_merge(groups)
    {
        let Group { name, at, addresses, tracked, renamed, routes, rules, scripts, is_mounting, .. } =
            groups.remove(second);
        let group = &mut groups[first];
        ledger.lost(
            at,
            format!(
                "{MAX_GROUPS} groups are the most: what {name} has is in [group.\"{}\"], and moves with it",
                group.name
            ),
        );
        group.addresses.extend(addresses);
        group.tracked.extend(tracked);
        group.renamed.extend(renamed);
        group.routes.extend(routes);
        group.rules.extend(rules);
        group.scripts.extend(scripts);
        group.is_mounting |= is_mounting;
    }
}

fn pair_to_merge(groups: &[Group]) -> Option<(usize, usize)> {
    let size = |group: &Group| group.addresses.len() + group.scripts.len();
    let fits = |(first, second): &(usize, usize)| {
        let (a, b) = (&groups[*first], &groups[*second]);
        (a.prefer, &a.failback, a.is_mounting) == (b.prefer, &b.failback, b.is_mounting)
            && a.addresses.len() + b.addresses.len() <= MAX_ADDRESSES
            && a.scripts.len() + b.scripts.len() <= MAX_SCRIPTS
    };
    let pairs =
        (0..groups.len()).flat_map(|first| (first + 1..groups.len()).map(move |second| (first, second)));
    pairs.filter(fits).min_by_key(|(first, second)| size(&groups[*first]) + size(&groups[*second]))
}
