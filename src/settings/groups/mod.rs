//! The groups: addresses, scripts, and who prefers to hold them.

mod addresses;
mod checks;

use std::net::IpAddr;
use std::path::PathBuf;

use crosswire::config::{Failback, GroupPolicy, MAX_GROUPS, SafetyRule};
use crosswire::frame::seal::group_tag;
use crosswire::pair::Side;
use crosswire::time::Span;

use super::error::{Report, quote};
use super::needs::Thing;
use super::nodes::{Node, check_interfaces};
use super::routes::{self, MAX_ROUTES, Part, ROUTES, RULES};
use super::script::{self, Patience};
use super::table::{At, Element, Table};
use super::values::{MAX_NAME_BYTES, is_name, parse_span};
use super::{GroupSettings, INTERRUPT_GRACE, StopFailure, VirtualAddress, Vmac};
use crate::gather::Gather;
use addresses::{Vip, read_address};
pub(super) use checks::{check_links, check_repeats, check_self_fences, check_tags};
use checks::{check_script_repeats, check_vmac_repeats};

/// Most addresses of one group.
pub const MAX_ADDRESSES: usize = 64;
/// Most scripts of one group.
pub const MAX_SCRIPTS: usize = 16;
const KEYS: [&str; 18] = [
    "prefer",
    "failback",
    "track",
    "before",
    "addresses",
    "routes",
    "rules",
    "scripts",
    "ready",
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

/// One group as both nodes see it.
pub(super) struct Plan<'t> {
    pub(super) name: At<&'t str>,
    prefer: Option<Side>,
    failback: Failback,
    pub(super) safety: SafetyRule,
    /// Where the safety rule stands, else the group.
    pub(super) safety_at: usize,
    is_exclusive: bool,
    pub(super) on_stop_failure: At<StopFailure>,
    addresses: Vec<At<Vip<'t>>>,
    track: Vec<At<&'t str>>,
    /// The routes, then the rules that lead to them.
    routes: Vec<At<routes::Draft<'t>>>,
    /// The scripts that start before the addresses, then the others.
    scripts: Vec<script::Draft<'t>>,
    before: usize,
    /// What shows whether a node that does not hold it is ready for it.
    ready: Vec<script::Draft<'t>>,
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
    let plans: Vec<Plan<'t>> = tables.into_iter().map(|table| read_one(table, nodes, lans, report)).gather();
    check_script_repeats(&plans, report);
    check_vmac_repeats(&plans, report);
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
    check_count(name, "addresses", &addresses.iter().map(Element::at).gather(), MAX_ADDRESSES, report);
    check_count(name, "scripts", &scripts.iter().map(Element::at).gather(), MAX_SCRIPTS, report);
    let addresses: Vec<_> = addresses.into_iter().filter_map(|one| read_address(one, lans, report)).gather();
    let anchor = |At { value: Vip { ip, prefix, interface, .. }, .. }: &At<Vip<'t>>| routes::Anchor {
        ip: *ip,
        prefix: *prefix,
        interface: *interface,
    };
    let anchors: Vec<_> = addresses.iter().map(anchor).gather();
    let track = table.texts("track", report);
    check_interfaces(&track, report);
    // An error of an address is not reported again for a route.
    let is_sound = report.count() == found_before;
    let mut routes = Vec::new();
    for grammar in [&ROUTES, &RULES] {
        let elements = table.elements(grammar.key, report);
        check_count(name, grammar.key, &elements.iter().map(Element::at).gather(), MAX_ROUTES, report);
        for element in elements.into_iter().filter(|_| is_sound) {
            routes.extend(routes::read(element, grammar, &anchors, report));
        }
    }
    let usual = if scripts.is_empty() { SafetyRule::Probe } else { SafetyRule::Lease };
    let scripts: Vec<_> =
        scripts.into_iter().filter_map(|one| script::Draft::read(one, patience, report)).gather();
    let ready = table.elements("ready", report);
    check_count(name, "checks", &ready.iter().map(Element::at).gather(), MAX_SCRIPTS, report);
    let ready = ready.into_iter().filter_map(|one| script::Draft::read_ready(one, report)).gather();
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
        ready,
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

impl Plan<'_> {
    /// The group as the decision needs it.
    pub(super) fn policy(&self) -> GroupPolicy {
        let interrupt = if self.scripts.is_empty() { Span::ZERO } else { INTERRUPT_GRACE };
        GroupPolicy {
            tag: group_tag(self.name.value),
            prefer: self.prefer,
            safety: self.safety,
            // A stop first has to cut short a script that is starting.
            stop_timeout: self.scripts.iter().fold(interrupt, |sum, script| sum + script.stop_timeout()),
            before: self
                .scripts
                .iter()
                .take(self.before)
                .fold(Span::ZERO, |sum, script| sum + script.start_timeout()),
            is_exclusive: self.is_exclusive,
            failback: self.failback,
            // They depend on the node, and are set later.
            lans: 0,
            vips_beside_peer: 0,
            interfaces: 0,
            carriers: 0,
        }
    }

    /// The group as the guard of this node needs it; `lan` is its interface for addresses that name none.
    pub(super) fn settings(&self, pair: &str, lan: Option<&str>, node: &Node<'_>) -> Option<GroupSettings> {
        let local = |name: &str| node.local(name).to_string();
        let address = |At { value: vip, .. }: &At<Vip<'_>>| {
            let interface = vip.interface.map(local).or_else(|| lan.map(str::to_string))?;
            let label = vip.label.map(|rest| format!("{interface}{rest}"));
            let (peer, needs_carrier) = (vip.peer, vip.needs_carrier);
            let vmac = vip.vmac.map(|written| Vmac::new(written, pair, self.name.value, &interface));
            Some(VirtualAddress {
                label,
                peer,
                needs_carrier,
                vmac,
                ..VirtualAddress::plain(vip.ip, vip.prefix, interface)
            })
        };
        let addresses: Vec<_> = self.addresses.iter().map(address).gather_all()?;
        let mut routes: Vec<_> =
            self.routes.iter().map(|route| route.value.settings(lan, local)).gather_all()?;
        for route in &mut routes {
            // A gateway is reached as the address is that reaches it.
            let source = route.ip(Part::Src);
            let is_source = |address: &&VirtualAddress| {
                Some(address.ip) == source && address.interface == route.interface
            };
            if let Some(address) = addresses.iter().find(is_source) {
                route.interface = address.device().to_owned();
            }
        }
        Some(GroupSettings {
            name: self.name.value.to_string(),
            addresses,
            tracked: self.track.iter().map(|name| local(name.value)).gather(),
            routes,
            scripts: self.scripts.iter().map(script::Draft::settings).gather(),
            ready: self.ready.iter().map(script::Draft::settings).gather(),
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

    /// Where each address stands, and what this box must have for it; `lan` is the interface of addresses
    /// that name none.
    pub(super) fn places(&self, pair: &str, lan: Option<&str>, node: &Node<'_>) -> Vec<At<Thing>> {
        let place = |vip: &At<Vip<'_>>| {
            let interface = vip.value.interface.map(|name| node.local(name)).or(lan)?;
            let vmac = vip.value.vmac.map(|written| Vmac::new(written, pair, self.name.value, interface));
            Some(At { at: vip.at, value: Thing::Family(interface.to_string(), vip.value.ip, vmac) })
        };
        self.addresses.iter().filter_map(place).gather()
    }

    /// Its addresses.
    pub(super) fn served(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().map(|vip| vip.value.ip)
    }

    /// Where each script and check stands, and where its program is looked for.
    pub(super) fn programs(&self) -> impl Iterator<Item = At<Vec<PathBuf>>> {
        self.scripts.iter().chain(&self.ready).map(script::Draft::programs)
    }
}
