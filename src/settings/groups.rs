//! The groups: addresses, scripts, and who prefers to hold them.

use std::net::IpAddr;
use std::path::PathBuf;

use crosswire::config::{Failback, GroupPolicy, MAX_GROUPS, SafetyRule};
use crosswire::frame::seal::group_tag;
use crosswire::pair::Side;
use crosswire::time::Span;

use super::error::{Report, quote};
use super::neighbours::is_link_local;
use super::nodes::{Node, check_interfaces};
use super::paths::Link;
use super::routes::{self, MAX_ROUTES};
use super::script::{self, Patience};
use super::table::{At, Element, Table};
use super::values::{MAX_NAME_BYTES, is_host_in, is_interface, is_name, is_unicast, parse_span};
use super::witness::OwnAddress;
use super::{GroupSettings, INTERRUPT_GRACE, StopFailure, VirtualAddress};

/// Most addresses of one group.
pub const MAX_ADDRESSES: usize = 64;
/// Most scripts of one group.
pub const MAX_SCRIPTS: usize = 16;
const KEYS: [&str; 16] = [
    "prefer",
    "failback",
    "track",
    "before",
    "addresses",
    "routes",
    "scripts",
    "safety",
    "exclusive",
    "start_timeout",
    "stop_timeout",
    "monitor",
    "monitor_timeout",
    "failures",
    "restarts",
    "on_stop_failure",
];
/// Longest wait of a failback.
const MAX_FAILBACK: Span = Span::from_s(24 * 3_600);
pub(super) const SAFETY: [(&str, SafetyRule); 3] =
    [("probe", SafetyRule::Probe), ("lease", SafetyRule::Lease), ("fence", SafetyRule::Fence)];
pub(super) const ON_STOP_FAILURE: [(&str, StopFailure); 2] =
    [("hold", StopFailure::Hold), ("self-fence", StopFailure::SelfFence)];
const ADDRESS_KEYS: [&str; 4] = ["address", "carrier", "label", "peer"];
const CARRIER: [(&str, bool); 2] = [("ignore", false), ("need", true)];
/// With its final zero a label takes as much room as the name of an interface.
const MAX_LABEL_BYTES: usize = 15;
const ADDRESS_FORM: &str = "write IP/PREFIX@INTERFACE, as in \"10.0.0.100/24@eth0\"";

/// One group as both nodes see it.
pub(super) struct Plan<'t> {
    pub(super) name: At<&'t str>,
    prefer: Option<Side>,
    failback: Failback,
    pub(super) safety: SafetyRule,
    /// Where the rule stands, or the group.
    pub(super) safety_at: usize,
    is_exclusive: bool,
    pub(super) on_stop_failure: At<StopFailure>,
    addresses: Vec<At<Vip<'t>>>,
    track: Vec<At<&'t str>>,
    routes: Vec<At<routes::Draft<'t>>>,
    /// Those that come before the addresses, then the others.
    scripts: Vec<script::Draft<'t>>,
    before: usize,
}

/// An address.
#[derive(Clone, Copy)]
struct Vip<'t> {
    ip: IpAddr,
    prefix: u8,
    /// Without one it lives on the only LAN.
    interface: Option<&'t str>,
    label: Option<&'t str>,
    peer: Option<IpAddr>,
    needs_carrier: bool,
}

/// Reads all groups in the order of their names. `lans` is how many LANs there are, if that is known.
pub(super) fn read<'t>(
    root: &Table<'t>,
    nodes: Option<&[Node<'t>; 2]>,
    lans: Option<usize>,
    report: &mut Report<'_>,
) -> Vec<Plan<'t>> {
    let tables = root.named_tables("group", report);
    if tables.is_empty() {
        report.add(
            root.place_of("group"),
            "there is no group",
            "add [group.NAME] with its addresses: what the pair shall serve",
        );
    }
    if let Some(surplus) = tables.get(MAX_GROUPS) {
        let what = format!("there are {} groups", tables.len());
        report.add(surplus.at, what, format_args!("keep at most {MAX_GROUPS}"));
    }
    let plans: Vec<Plan<'t>> = tables.into_iter().map(|table| read_one(table, nodes, lans, report)).collect();
    check_script_repeats(&plans, report);
    let all = plans.iter().flat_map(|plan| plan.routes.iter().map(|route| (route, plan.name.value)));
    routes::check_repeats(all, report);
    plans
}

fn read_one<'t>(
    found: At<(&'t str, Table<'t>)>,
    nodes: Option<&[Node<'t>; 2]>,
    lans: Option<usize>,
    report: &mut Report<'_>,
) -> Plan<'t> {
    let At { at, value: (name, table) } = found;
    let found_before = report.count();
    table.refuse_unknown(&KEYS, report);
    if !is_name(name) {
        let remedy = format!("use letters, digits, dot, dash, at most {MAX_NAME_BYTES} characters");
        report.add(at, format!("{} cannot be the name of a group", quote(name)), remedy);
    }
    let (addresses, mut scripts) = (table.elements("addresses", report), table.elements("before", report));
    let before = scripts.len();
    scripts.extend(table.elements("scripts", report));
    let patience = Patience::read(&table, Patience::default(), report);
    if addresses.is_empty() && scripts.is_empty() && report.count() == found_before {
        let what = format!("group {} holds nothing", quote(name));
        report.add(at, what, "add addresses = [\"IP/PREFIX@INTERFACE\"] or scripts = [\"lsb:NAME\"]");
    }
    check_count(
        name,
        "addresses",
        &addresses.iter().map(Element::at).collect::<Vec<_>>(),
        MAX_ADDRESSES,
        report,
    );
    check_count(name, "scripts", &scripts.iter().map(Element::at).collect::<Vec<_>>(), MAX_SCRIPTS, report);
    let texts = table.texts("routes", report);
    check_count(name, "routes", &texts.iter().map(|text| text.at).collect::<Vec<_>>(), MAX_ROUTES, report);
    let addresses: Vec<_> = addresses.into_iter().filter_map(|one| read_address(one, lans, report)).collect();
    let anchor = |At { value: Vip { ip, prefix, interface, .. }, .. }: &At<Vip<'t>>| routes::Anchor {
        ip: *ip,
        prefix: *prefix,
        interface: *interface,
    };
    let anchors: Vec<_> = addresses.iter().map(anchor).collect();
    let track = table.texts("track", report);
    check_interfaces(&track, report);
    // What is wrong with an address is not said of a route once more.
    let is_sound = report.count() == found_before;
    let routes = texts
        .into_iter()
        .filter(|_| is_sound)
        .filter_map(|text| routes::read(text, &anchors, report))
        .collect();
    let usual = if scripts.is_empty() { SafetyRule::Probe } else { SafetyRule::Lease };
    let scripts: Vec<_> =
        scripts.into_iter().filter_map(|one| script::Draft::read(one, patience, report)).collect();
    let held = At { at, value: StopFailure::Hold };
    Plan {
        name: At { at, value: name },
        prefer: read_preference(&table, nodes, report),
        failback: read_failback(&table, report),
        safety: table.choice("safety", &SAFETY, report).map_or(usual, |safety| safety.value),
        safety_at: table.place_of("safety"),
        is_exclusive: table.flag("exclusive", false, report),
        on_stop_failure: table.choice("on_stop_failure", &ON_STOP_FAILURE, report).unwrap_or(held),
        addresses,
        track,
        routes,
        scripts,
        before,
    }
}

fn check_count(name: &str, what: &str, places: &[usize], max: usize, report: &mut Report<'_>) {
    if let Some(surplus) = places.get(max) {
        let what = format!("group {} has {} {what}", quote(name), places.len());
        report.add(*surplus, what, format_args!("keep at most {max}, or split the group"));
    }
}

fn read_preference(
    table: &Table<'_>,
    nodes: Option<&[Node<'_>; 2]>,
    report: &mut Report<'_>,
) -> Option<Side> {
    let prefer = table.text("prefer", report)?;
    let [a, b] = nodes?;
    match prefer.value {
        name if name == a.name.value => Some(Side::A),
        name if name == b.name.value => Some(Side::B),
        name => {
            let remedy = format!("use {} or {}", quote(a.name.value), quote(b.name.value));
            report.add(prefer.at, format!("there is no node {} to prefer", quote(name)), remedy);
            None
        }
    }
}

/// `manual`, `immediate`, or how long the preferred node has to be well first.
fn read_failback(table: &Table<'_>, report: &mut Report<'_>) -> Failback {
    let Some(At { at, value }) = table.text("failback", report) else { return Failback::Manual };
    let failback = match value {
        "manual" => Some(Failback::Manual),
        "immediate" => Some(Failback::After(Span::ZERO)),
        text => parse_span(text).filter(|span| *span <= MAX_FAILBACK).map(Failback::After),
    };
    if failback.is_none() {
        let remedy = "use \"manual\", \"immediate\", or a time up to 24h such as \"10m\"";
        report.add(at, format!("failback is {}", quote(value)), remedy);
    } else if failback != Some(Failback::Manual) && !table.has("prefer") {
        report.add(at, "failback needs a node to go back to", "add prefer = \"NODE\", or remove it");
    }
    failback.unwrap_or(Failback::Manual)
}

fn read_address<'t>(one: Element<'t>, lans: Option<usize>, report: &mut Report<'_>) -> Option<At<Vip<'t>>> {
    let (text, table) = match one {
        Element::Text(text) => (text, None),
        Element::Table(table) => {
            table.refuse_unknown(&ADDRESS_KEYS, report);
            if !table.has("address") {
                report.add(table.at, "an address is missing", "add address = \"IP/PREFIX@INTERFACE\"");
            }
            (table.text("address", report)?, Some(table))
        }
    };
    match parse_vip(text.value) {
        Ok(mut vip) => {
            table.into_iter().for_each(|table| read_more(&mut vip, &table, report));
            if vip.interface.is_none() && lans.is_some_and(|count| count != 1) {
                let what = format!("{} does not say on which interface", quote(text.value));
                report.add(text.at, what, format_args!("there is not exactly one LAN: {ADDRESS_FORM}"));
            }
            Some(text.map(|_| vip))
        }
        Err(why) => {
            report.add(text.at, format!("{} {why}", quote(text.value)), ADDRESS_FORM);
            None
        }
    }
}

/// What only the table of an address can say.
fn read_more<'t>(vip: &mut Vip<'t>, table: &Table<'t>, report: &mut Report<'_>) {
    vip.needs_carrier = table.choice("carrier", &CARRIER, report).is_none_or(|choice| choice.value);
    if let Some(At { at, value }) = table.text("peer", report) {
        let is_other = |ip: &IpAddr| is_unicast(*ip) && ip.is_ipv4() == vip.ip.is_ipv4() && *ip != vip.ip;
        vip.peer = value.parse().ok().filter(is_other);
        if vip.peer.is_none() {
            let remedy = "write the address of the other end without prefix, as in \"10.8.0.2\"";
            report.add(at, format!("{} cannot be the other end of {}", quote(value), vip.ip), remedy);
        }
    }
    if let Some(At { at, value }) = table.text("label", report) {
        let rest = vip.interface.and_then(|interface| value.strip_prefix(interface));
        let is_good = value.len() <= MAX_LABEL_BYTES && rest.is_some_and(|rest| rest.starts_with(':'));
        vip.label = rest.filter(|_| is_good && vip.ip.is_ipv4());
        if vip.label.is_none() {
            let remedy = "write the interface of an IPv4 address, a colon and a word, as in \"eth0:1\"";
            report.add(at, format!("{} cannot be the label of {}", quote(value), vip.ip), remedy);
        }
    }
}

fn parse_vip(text: &str) -> Result<Vip<'_>, &'static str> {
    let (network, interface) = match text.split_once('@') {
        Some((network, interface)) => (network, Some(interface)),
        None => (text, None),
    };
    let (ip, prefix) = network.split_once('/').ok_or("has no prefix length")?;
    let ip: IpAddr = ip.parse().map_err(|_| "is not an IP address")?;
    let ip = ip.to_canonical();
    let is_plain = prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse().ok().filter(|prefix| is_plain && (1..=longest).contains(prefix));
    let prefix = prefix.ok_or("has a prefix length that cannot be")?;
    if !is_unicast(ip) || ip.is_loopback() {
        return Err("is not an address that a box can serve");
    }
    if !is_host_in(ip, prefix) {
        return Err("is the network's own address or its broadcast address, not a host's");
    }
    match interface {
        Some(interface) if !is_interface(interface) => Err("names an interface that cannot be"),
        interface => Ok(Vip { ip, prefix, interface, label: None, peer: None, needs_carrier: true }),
    }
}

const SHARED: &str =
    "list it once, or if it keeps nothing running in both with { run = \"...\", shared = true }";

/// A script that two groups start would be stopped by one under the other's feet, unless both say that it
/// does not matter.
fn check_script_repeats(plans: &[Plan<'_>], report: &mut Report<'_>) {
    let mut all: Vec<(&script::Draft<'_>, &str)> =
        plans.iter().flat_map(|plan| plan.scripts.iter().map(|script| (script, plan.name.value))).collect();
    all.sort_by_key(|(script, _)| script.text.at);
    for (index, (script, _)) in all.iter().enumerate() {
        let is_allowed = |(earlier, group): &(&script::Draft<'_>, &str)| {
            script.is_shared && earlier.is_shared && *group != all[index].1
        };
        let collides = |other: &&(&script::Draft<'_>, &str)| other.0.is_same(script) && !is_allowed(other);
        if let Some((_, group)) = all[..index].iter().find(collides) {
            let what = format!("{} is already a script of group {}", quote(script.text.value), quote(group));
            let is_elsewhere = *group != all[index].1;
            let remedy = if is_elsewhere { SHARED } else { "list it once" };
            report.add(script.text.at, what, remedy);
        }
    }
}

/// A box that is to reset itself needs something to do it with.
pub(super) fn check_self_fences(plans: &[Plan<'_>], has_means: bool, report: &mut Report<'_>) {
    let asked =
        plans.iter().map(|plan| plan.on_stop_failure).filter(|found| found.value == StopFailure::SelfFence);
    for At { at, .. } in asked.filter(|_| !has_means) {
        let remedy = "add a [watchdog], or reset = \"/proc/sysrq-trigger\" in [system]; or use \"hold\"";
        report.add(at, "on_stop_failure = \"self-fence\", but nothing here can reset this box", remedy);
    }
}

/// Reports every service address that is listed twice or belongs to a node itself; returns all addresses of
/// the pair.
pub(super) fn check_repeats(
    plans: &[Plan<'_>],
    own: Vec<OwnAddress>,
    report: &mut Report<'_>,
) -> Vec<OwnAddress> {
    let mut all: Vec<_> = plans
        .iter()
        .flat_map(|plan| plan.addresses.iter().map(|vip| (vip.at, vip.value, plan.name.value)))
        .collect();
    all.sort_by_key(|(at, ..)| *at);
    let mut taken = own;
    let mut links: Vec<(IpAddr, Option<&str>)> = Vec::new();
    for (at, Vip { ip, prefix, interface, .. }, group) in all {
        // The same one may stand on every link (RFC 4291 2.5.6).
        let is_elsewhere = |other: &OwnAddress| {
            let mut known = links.iter().filter(|(known, _)| *known == ip);
            let is_apart = |(_, link): &(IpAddr, Option<&str>)| {
                link.is_some() && interface.is_some() && *link != interface
            };
            is_link_local(ip) && other.prefix.is_some() && known.all(is_apart)
        };
        if let Some(first) = taken.iter().find(|other| other.ip == ip && !is_elsewhere(other)) {
            report.add(
                at,
                format_args!("{ip} is already {}", first.what),
                "give each service an address of its own",
            );
        }
        let what = format!("an address of group {}", quote(group));
        taken.push(OwnAddress { ip, prefix: Some(prefix), what });
        links.push((ip, interface));
    }
    taken
}

/// Nobody but the peer is at the other end of a cable from box to box, and its carrier goes with the peer:
/// what lives there could never be taken from a peer that has lost its power.
pub(super) fn check_links(
    plans: &[Plan<'_>],
    links: &[Link<'_>],
    nodes: &[Node<'_>; 2],
    report: &mut Report<'_>,
) {
    let lans = || links.iter().filter(|link| link.is_lan());
    for vip in plans.iter().flat_map(|plan| &plan.addresses) {
        let crossover = lans().find(|link| match vip.value.interface {
            Some(interface) => link.is_crossover_on(nodes.each_ref().map(|node| node.local(interface))),
            None => link.is_crossover(),
        });
        if let Some(link) = crossover {
            let what = format!(
                "{} would live on {}, a cable to the peer alone (link = \"crossover\")",
                vip.value.ip, link.name
            );
            report.add(vip.at, what, "put it on the interface to its clients, as in \"10.0.0.100/24@eth1\"");
        }
    }
}

/// Most digits that are tried behind a name to find one with another tag.
const MAX_OTHER_NAMES: u32 = 99;

/// Beats name a group by eight bits of its name's checksum: two that have them in common could not be told
/// apart by a node whose file is another one.
pub(super) fn check_tags(plans: &[Plan<'_>], report: &mut Report<'_>) {
    let is_taken = |name: &str| plans.iter().any(|plan| group_tag(plan.name.value) == group_tag(name));
    for (index, plan) in plans.iter().enumerate() {
        let At { at, value: name } = plan.name;
        let twin = plans[..index]
            .iter()
            .map(|other| other.name.value)
            .find(|other| group_tag(other) == group_tag(name));
        let Some(twin) = twin else { continue };
        let what = format!("groups {} and {} cannot be told apart on the wire", quote(twin), quote(name));
        let other =
            (2..=MAX_OTHER_NAMES).map(|number| format!("{name}{number}")).find(|other| !is_taken(other));
        let other = other.map(|other| format!(", as in [group.{other}]")).unwrap_or_default();
        report.add(
            at,
            what,
            format_args!("rename one of them on both nodes{other}: their checksums are too much alike"),
        );
    }
}

impl Plan<'_> {
    /// As the decision wants it.
    pub(super) fn policy(&self) -> GroupPolicy {
        let interrupt = if self.scripts.is_empty() { Span::ZERO } else { INTERRUPT_GRACE };
        GroupPolicy {
            tag: group_tag(self.name.value),
            prefer: self.prefer,
            safety: self.safety,
            // A script that is starting is cut short first.
            stop_timeout: self.scripts.iter().fold(interrupt, |sum, script| sum + script.stop_timeout()),
            before: self
                .scripts
                .iter()
                .take(self.before)
                .fold(Span::ZERO, |sum, script| sum + script.start_timeout()),
            is_exclusive: self.is_exclusive,
            failback: self.failback,
            // Which they are depends on the node.
            lans: 0,
        }
    }

    /// As the guard of this node wants it; `lan` is its interface for addresses that name none.
    pub(super) fn settings(&self, lan: Option<&str>, node: &Node<'_>) -> Option<GroupSettings> {
        let local = |name: &str| node.local(name).to_string();
        let address = |At { value: vip, .. }: &At<Vip<'_>>| {
            let interface = vip.interface.map(local).or_else(|| lan.map(str::to_string))?;
            let label = vip.label.map(|rest| format!("{interface}{rest}"));
            let (peer, needs_carrier) = (vip.peer, vip.needs_carrier);
            Some(VirtualAddress {
                label,
                peer,
                needs_carrier,
                ..VirtualAddress::plain(vip.ip, vip.prefix, interface)
            })
        };
        Some(GroupSettings {
            name: self.name.value.to_string(),
            addresses: self.addresses.iter().map(address).collect::<Option<_>>()?,
            tracked: self.track.iter().map(|name| local(name.value)).collect(),
            routes: self
                .routes
                .iter()
                .map(|route| route.value.settings(lan, local))
                .collect::<Option<_>>()?,
            scripts: self.scripts.iter().map(script::Draft::settings).collect(),
            before: u8::try_from(self.before).unwrap_or(u8::MAX),
            on_stop_failure: self.on_stop_failure.value,
        })
    }

    /// Where each interface is named, by an address or by itself, and what this node calls it.
    pub(super) fn interfaces<'n>(&'n self, node: &'n Node<'_>) -> impl Iterator<Item = At<&'n str>> {
        let of_addresses =
            self.addresses.iter().filter_map(|vip| Some(At { at: vip.at, value: vip.value.interface? }));
        of_addresses.chain(self.track.iter().copied()).map(move |name| name.map(|name| node.local(name)))
    }

    /// Where each address stands, and on which interface it comes; `lan` is that of those that name none.
    pub(super) fn places(
        &self,
        lan: Option<&str>,
        node: &Node<'_>,
    ) -> impl Iterator<Item = At<(String, IpAddr)>> {
        self.addresses.iter().filter_map(move |vip| {
            let interface = vip.value.interface.map(|name| node.local(name)).or(lan)?.to_string();
            Some(At { at: vip.at, value: (interface, vip.value.ip) })
        })
    }

    /// Its addresses.
    pub(super) fn served(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().map(|vip| vip.value.ip)
    }

    /// Where each script stands, and where its program is looked for.
    pub(super) fn programs(&self) -> impl Iterator<Item = At<Vec<PathBuf>>> {
        self.scripts.iter().map(script::Draft::programs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_an_interface() {
        let vip = parse_vip("192.0.2.10/29@eth1").ok().unwrap();
        assert_eq!((vip.ip, vip.prefix, vip.interface), ("192.0.2.10".parse().unwrap(), 29, Some("eth1")));
        let vip = parse_vip("fd00::1/64").ok().unwrap();
        assert_eq!((vip.ip, vip.prefix, vip.interface), ("fd00::1".parse().unwrap(), 64, None));
        // an IPv4 address in IPv6 clothes is the IPv4 address, with its prefix
        assert_eq!(parse_vip("::ffff:10.0.0.1/24").ok().unwrap().ip, "10.0.0.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn addresses_that_cannot_be_are_refused() {
        let bad = [
            "10.0.0.1",
            "10.0.0.1/",
            "10.0.0.1/0",
            "10.0.0.1/33",
            "10.0.0.1/+4",
            "10.0.0/24",
            "10.0.0.0/24@eth0",
            "10.0.0.255/24",
            "0.0.0.0/8",
            "224.0.0.1/24",
            "127.0.0.1/8",
            "::1/128",
            "ff02::1/64",
            "fd00::1/129",
            "10.0.0.1/24@",
            "10.0.0.1/24@a b",
            "10.0.0.1/24@eth0:1",
            "@eth0",
            "/",
            "",
        ];
        for text in bad {
            assert!(parse_vip(text).is_err(), "{text}");
        }
    }
}
