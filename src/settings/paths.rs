//! The paths: what `[serial]` and `[lan]` say, with what the nodes say of their own boxes.

use std::net::IpAddr;
use std::path::PathBuf;

use crosswire::config::{MAX_PATHS, PathPolicy};
use crosswire::pair::{PathKind, Side};
use crosswire::quorum::timing::line_time;
use crosswire::time::Span;

use super::PathDevice;
use super::error::{Report, quote};
use super::line::{BAUDS, RARE_BAUDS};
use super::nodes::{Node, check_interfaces};
use super::table::{At, Table};
use super::times::{Times, check_load};
use super::values::is_full_path;
use crate::gather::Gather;

const DEFAULT_BAUD: u32 = 19_200;
/// The port of Linux-HA's heartbeat, assigned by IANA as ha-cluster.
const DEFAULT_PORT: u32 = 694;
const MAX_PORT: u32 = 65_535;
/// How far from the pair's port that of its shadow is.
const SHADOW_PORTS: u32 = 10_000;
/// Longest device path.
const MAX_DEVICE_BYTES: usize = 255;
const SERIAL_KEYS: [&str; 5] = ["device", "baud", "interval", "late_after", "dead_after"];
const LAN_KEYS: [&str; 6] = ["interface", "port", "link", "interval", "late_after", "dead_after"];
const LINKS: [(&str, bool); 2] = [("switched", false), ("crossover", true)];

/// One `[serial]` or `[lan]`, or what stands for it if only the nodes speak of it.
#[derive(Clone)]
struct Section<'t> {
    /// The device, or the interface.
    device: Option<At<&'t str>>,
    /// Whether nothing was wrong with it: only then does a missing device count.
    is_sound: bool,
    /// The baud, or the port.
    rate: At<u32>,
    is_crossover: bool,
    times: Times,
}

/// One path as both nodes see it.
pub(super) struct Link<'t> {
    kind: PathKind,
    /// `serial`, `lan2`
    pub(super) name: String,
    rate: At<u32>,
    /// A LAN that is a cable from box to box.
    is_crossover: bool,
    /// Its times, and where they were set.
    pub(super) times: Times,
    /// What each node has at its end, by [`Side::index`].
    ends: [End<'t>; 2],
}

struct End<'t> {
    device: Option<At<&'t str>>,
    address: Option<At<IpAddr>>,
}

/// Reads all paths, serial ones first. Without the nodes only the sections are checked. A shadow pair has
/// only some of them.
pub(super) fn read<'t>(
    root: &Table<'t>,
    nodes: Option<&[Node<'t>; 2]>,
    (times, is_shadow): (Times, bool),
    report: &mut Report<'_>,
) -> Vec<Link<'t>> {
    let serial = read_sections(root, PathKind::Serial, times, report);
    let lan = read_sections(root, PathKind::Lan, times, report);
    let Some(nodes) = nodes else { return Vec::new() };
    let mut links = join(PathKind::Serial, &serial, nodes, times, report);
    links.extend(join(PathKind::Lan, &lan, nodes, times, report));
    check_count(&links, root, report);
    check_devices(&links, report);
    check_families(&links, report);
    if is_shadow {
        keep_to_shadow(&mut links, root, report);
    }
    links
}

/// Leaves a shadow pair its LANs alone, each with a port of its own: serial ports and the usual ports belong
/// to the cluster that serves.
fn keep_to_shadow(links: &mut Vec<Link<'_>>, root: &Table<'_>, report: &mut Report<'_>) {
    let had_any = !links.is_empty();
    links.retain(Link::is_lan);
    if links.is_empty() && had_any {
        report.add(
            root.place_of("shadow"),
            "shadow = true, but there is no LAN, and a shadow leaves serial ports alone",
            "add [lan] with its interface, or remove shadow",
        );
    }
    for link in links {
        link.rate.value = shadow_port(link.rate.value);
    }
}

/// The port of a shadow pair: that of the pair and 10,000, or without 10,000 where there is no such port.
const fn shadow_port(port: u32) -> u32 {
    if port > MAX_PORT - SHADOW_PORTS { port - SHADOW_PORTS } else { port + SHADOW_PORTS }
}

fn read_sections<'t>(
    root: &Table<'t>,
    kind: PathKind,
    times: Times,
    report: &mut Report<'_>,
) -> Vec<Section<'t>> {
    let tables = root.tables(key_of(kind), report);
    tables.iter().map(|table| read_section(table, kind, times, report)).gather()
}

fn read_section<'t>(table: &Table<'t>, kind: PathKind, times: Times, report: &mut Report<'_>) -> Section<'t> {
    let found_before = report.count();
    let (device, rate) = match kind {
        PathKind::Serial => {
            table.refuse_unknown(&SERIAL_KEYS, report);
            (table.text("device", report), read_baud(table, report))
        }
        PathKind::Lan => {
            table.refuse_unknown(&LAN_KEYS, report);
            let interface = table.text("interface", report);
            check_interfaces(interface.as_slice(), report);
            (interface, table.number("port", 1..=MAX_PORT, report))
        }
    };
    let rate = rate.unwrap_or(At { at: table.at, value: default_rate(kind) });
    let is_crossover =
        kind == PathKind::Lan && table.choice("link", &LINKS, report).is_some_and(|link| link.value);
    let times = times.overridden_by(table, report);
    Section { device, is_sound: report.count() == found_before, rate, is_crossover, times }
}

fn read_baud(table: &Table<'_>, report: &mut Report<'_>) -> Option<At<u32>> {
    let baud = table.number("baud", 1..=u32::MAX, report)?;
    if BAUDS.contains(&baud.value) || RARE_BAUDS.contains(&baud.value) {
        return Some(baud);
    }
    let known = BAUDS.map(|baud| baud.to_string()).join(", ");
    report.add(
        baud.at,
        format_args!("{} baud is not a usual speed", baud.value),
        format_args!("use one of {known}"),
    );
    None
}

const fn key_of(kind: PathKind) -> &'static str {
    match kind {
        PathKind::Serial => "serial",
        PathKind::Lan => "lan",
    }
}

const fn default_rate(kind: PathKind) -> u32 {
    match kind {
        PathKind::Serial => DEFAULT_BAUD,
        PathKind::Lan => DEFAULT_PORT,
    }
}

/// Joins the sections of one kind with what the nodes say. A kind needs no section if the nodes say
/// everything.
fn join<'t>(
    kind: PathKind,
    sections: &[Section<'t>],
    nodes: &[Node<'t>; 2],
    times: Times,
    report: &mut Report<'_>,
) -> Vec<Link<'t>> {
    let spoken_of = nodes.iter().map(|node| places(kind, node).len()).max().unwrap_or(0);
    let count = if sections.is_empty() { spoken_of } else { sections.len() };
    for node in nodes {
        refuse_surplus(kind, node, count, report);
    }
    let link = |index: usize| {
        let at = nodes.iter().find_map(|node| places(kind, node).get(index).copied()).unwrap_or(0);
        let rate = At { at, value: default_rate(kind) };
        let implied = Section { device: None, is_sound: true, rate, is_crossover: false, times };
        let section = sections.get(index).unwrap_or(&implied);
        let name =
            if index == 0 { key_of(kind).to_string() } else { format!("{}{}", key_of(kind), index + 1) };
        let ends = [&nodes[0], &nodes[1]].map(|node| read_end(kind, &name, index, section, node, report));
        Link {
            kind,
            name,
            rate: section.rate,
            is_crossover: section.is_crossover,
            times: section.times,
            ends,
        }
    };
    (0..count).map(link).gather()
}

/// Where a node names its paths of this kind, in order.
fn places(kind: PathKind, node: &Node<'_>) -> Vec<usize> {
    match kind {
        PathKind::Serial => node.serial.iter().map(|device| device.at).gather(),
        PathKind::Lan => node.lan.iter().map(|address| address.at).gather(),
    }
}

fn refuse_surplus(kind: PathKind, node: &Node<'_>, count: usize, report: &mut Report<'_>) {
    let key = key_of(kind);
    let mut refuse = |at: Option<usize>, what: &str| {
        let Some(at) = at else { return };
        let what = format!("node {} has more {what} than there are paths", quote(node.name.value));
        report.add(at, what, format_args!("write one [[{key}]] for each path, or remove it"));
    };
    refuse(
        places(kind, node).get(count).copied(),
        if kind == PathKind::Serial { "devices" } else { "addresses" },
    );
    if kind == PathKind::Lan {
        refuse(node.interface.get(count).map(|interface| interface.at), "interfaces");
    }
}

fn read_end<'t>(
    kind: PathKind,
    name: &str,
    index: usize,
    section: &Section<'t>,
    node: &Node<'t>,
    report: &mut Report<'_>,
) -> End<'t> {
    let node_name = quote(node.name.value);
    let (own, key) = match kind {
        PathKind::Serial => (node.serial.get(index), "device"),
        PathKind::Lan => (node.interface.get(index), "interface"),
    };
    let device = own.copied().or(section.device);
    if device.is_none() && section.is_sound {
        let (table, own_key) = (key_of(kind), if kind == PathKind::Serial { "serial" } else { "interface" });
        let remedy = format!("set {key} in [{table}], or {own_key} in both nodes where they differ");
        report.add(section.rate.at, format!("there is no {key} for {name}"), remedy);
    }
    let address = match (kind, node.lan.get(index)) {
        (PathKind::Serial, _) => None,
        (PathKind::Lan, Some(address)) => address.value.map(|ip| At { at: address.at, value: ip }),
        (PathKind::Lan, None) => {
            let what = format!("node {node_name} has no address on {name}");
            report.add(node.name.at, what, "add its own address there, as in lan = \"10.0.0.1\"");
            None
        }
    };
    End { device, address }
}

fn check_count(links: &[Link<'_>], root: &Table<'_>, report: &mut Report<'_>) {
    if let Some(link) = links.get(MAX_PATHS) {
        let what = format!("there are {} paths", links.len());
        report.add(link.rate.at, what, format_args!("keep at most {MAX_PATHS}"));
    }
    let at = root.place_of("node");
    if links.is_empty() {
        report.add(
            at,
            "there is no path between the nodes",
            "add [serial] with its device, or [lan] with its interface",
        );
    }
}

/// Reports impossible devices, and those that one node uses twice.
fn check_devices(links: &[Link<'_>], report: &mut Report<'_>) {
    for side in [Side::A, Side::B] {
        let mut seen: Vec<&str> = Vec::new();
        for (link, device) in links.iter().filter_map(|link| Some((link, link.device(side)?))) {
            let At { at, value } = device;
            if link.kind == PathKind::Serial && !is_device(value) {
                report.add(
                    at,
                    format_args!("{} is not a device", quote(value)),
                    "write its full path, as in \"/dev/ttyS0\"",
                );
            } else if seen.contains(&value) {
                let what = format!("{} is used for two paths", quote(value));
                report.add(at, what, "give each path a device or interface of its own");
            }
            seen.push(value);
        }
    }
}

fn is_device(path: &str) -> bool {
    is_full_path(path) && path.len() <= MAX_DEVICE_BYTES
}

fn check_families(links: &[Link<'_>], report: &mut Report<'_>) {
    for link in links {
        if let [Some(a), Some(b)] = [link.ends[0].address, link.ends[1].address]
            && a.value.is_ipv4() != b.value.is_ipv4()
        {
            let what = format!("{} and {} on {} are of different families", a.value, b.value, link.name);
            report.add(a.at.max(b.at), what, "use IPv4 addresses on both nodes, or IPv6 on both");
        }
    }
}

impl Link<'_> {
    /// How long a beat of `bytes` occupies it; zero on a LAN.
    pub(super) fn beat(&self, bytes: u64) -> Span {
        match self.kind {
            PathKind::Serial => line_time(bytes, self.rate.value),
            PathKind::Lan => Span::ZERO,
        }
    }

    /// Checks all its times; false if any is out of bounds.
    pub(super) fn check_times(&self, bytes: u64, report: &mut Report<'_>) -> bool {
        let beat = self.beat(bytes);
        self.times.check_interval(report)
            && check_load(self.rate, self.times.interval.value, beat, bytes, report)
            && self.times.check(beat, report)
    }

    /// The path as the decision needs it.
    pub(super) fn policy(&self) -> PathPolicy {
        PathPolicy::new(self.kind, self.times.timing())
    }

    /// Addresses of the nodes on it, lower name first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (Side, At<IpAddr>)> + '_ {
        [Side::A, Side::B].into_iter().filter_map(|side| Some((side, self.ends[side.index()].address?)))
    }

    /// Where the device or interface of one node was set, and its name.
    pub(super) fn device(&self, side: Side) -> Option<At<&str>> {
        self.ends[side.index()].device
    }

    /// How `side` opens it; `None` if it could not be read.
    pub(super) fn open_by(&self, side: Side) -> Option<PathDevice> {
        let device = self.device(side)?.value;
        match self.kind {
            PathKind::Serial => {
                Some(PathDevice::Serial { device: PathBuf::from(device), baud: self.rate.value })
            }
            PathKind::Lan => Some(PathDevice::Lan {
                interface: device.to_string(),
                local: self.ends[side.index()].address?.value,
                peer: self.ends[side.peer().index()].address?.value,
                port: u16::try_from(self.rate.value).ok()?,
                is_crossover: self.is_crossover,
            }),
        }
    }

    /// Whether it is a cable from box to box.
    pub(super) fn is_crossover(&self) -> bool {
        self.is_crossover
    }

    /// Whether it is a cable from box to box on one of these interfaces, by the node that owns the name.
    pub(super) fn is_crossover_on(&self, interfaces: [&str; 2]) -> bool {
        let is_there = |(end, name): (&End<'_>, &str)| end.device.is_some_and(|device| device.value == name);
        self.is_crossover && self.ends.iter().zip(interfaces).any(is_there)
    }

    /// Whether it is a LAN.
    pub(super) fn is_lan(&self) -> bool {
        self.kind == PathKind::Lan
    }
}
