//! The two nodes of the pair, and which of them this box is.

use std::net::IpAddr;

use crosswire::pair::Side;

use super::error::{Report, quote};
use super::table::{At, Table};
use super::values::{MAX_NAME_BYTES, is_interface, is_name, is_unicast};
use crate::gather::Gather;

/// Most options of a fence, a node's own included.
const MAX_OPTIONS: usize = 32;

const KEYS: [&str; 5] = ["lan", "serial", "interface", "interface_names", "fence"];

/// One `[node.NAME]`: what differs on its box.
pub(super) struct Node<'t> {
    /// Its name, and where its table starts.
    pub(super) name: At<&'t str>,
    /// Its address on each LAN; `None` where it could not be read.
    pub(super) lan: Vec<At<Option<IpAddr>>>,
    /// Its serial devices, where they differ from `[serial]`.
    pub(super) serial: Vec<At<&'t str>>,
    /// Its interfaces, where they differ from `[lan]`.
    pub(super) interface: Vec<At<&'t str>>,
    /// What groups call an interface, and what it is called here.
    pub(super) interface_names: Vec<[At<&'t str>; 2]>,
    /// Options that a fence needs to fence this node.
    pub(super) fence: Vec<At<&'t str>>,
}

/// How this box is looked up.
pub(super) enum Wanted {
    /// `--node NAME`
    Asked(String),
    /// `uname -n`
    Host(String),
    /// Whichever node stands on this side: for a box that is neither.
    Side(Side),
}

/// Reads both nodes, the lower name first; `None` if there are not exactly two that can be read.
pub(super) fn read<'t>(root: &Table<'t>, report: &mut Report<'_>) -> Option<[Node<'t>; 2]> {
    let tables = root.named_tables("node", report);
    let count = tables.len();
    let place = tables.get(2).map_or_else(|| root.place_of("node"), |third| third.at);
    let nodes: Vec<Node<'t>> = tables.into_iter().map(|table| read_one(table, report)).gather();
    if let [a, b] = nodes.as_slice()
        && a.name.value.eq_ignore_ascii_case(b.name.value)
    {
        let what = format!("{} and {} are one name", quote(a.name.value), quote(b.name.value));
        report.add(
            a.name.at.max(b.name.at),
            what,
            "give each box a name of its own: capital letters make none",
        );
    }
    if count != 2 {
        let what = match count {
            0 => "there is no node".to_string(),
            1 => "there is one node".to_string(),
            _ => format!("there are {count} nodes"),
        };
        report.add(
            place,
            what,
            "write exactly two tables, [node.NAME] for each box, where NAME is its `uname -n`",
        );
    }
    let both: [Node<'t>; 2] = nodes.try_into().ok()?;
    Some(both)
}

fn read_one<'t>(found: At<(&'t str, Table<'t>)>, report: &mut Report<'_>) -> Node<'t> {
    let At { at, value: (name, table) } = found;
    table.refuse_unknown(&KEYS, report);
    if !is_name(name) {
        let remedy = format!(
            "use the box's `uname -n`: letters, digits, dot, dash, at most {MAX_NAME_BYTES} characters"
        );
        report.add(at, format!("{} cannot be the name of a node", quote(name)), remedy);
    }
    let interface = table.texts("interface", report);
    check_interfaces(&interface, report);
    let interface_names = read_interface_names(&table, report);
    let fence = table.texts("fence", report);
    check_options(&fence, report);
    Node {
        name: At { at, value: name },
        lan: table.texts("lan", report).into_iter().map(|text| read_address(text, report)).gather(),
        serial: table.texts("serial", report),
        interface,
        interface_names,
        fence,
    }
}

impl Node<'_> {
    /// This node's name for an interface that groups call `name`.
    pub(super) fn local<'n>(&'n self, name: &'n str) -> &'n str {
        let own = self.interface_names.iter().find(|[common, _]| common.value == name);
        own.map_or(name, |[_, own]| own.value)
    }
}

/// Reads `{ eth1 = "enp2s0" }`. Two names cannot become one interface.
fn read_interface_names<'t>(table: &Table<'t>, report: &mut Report<'_>) -> Vec<[At<&'t str>; 2]> {
    let names =
        table.table("interface_names", report).map(|names| names.all_texts(report)).unwrap_or_default();
    check_interfaces(names.as_flattened(), report);
    for (index, [_, own]) in names.iter().enumerate() {
        if names[..index].iter().any(|[_, other]| other.value == own.value) {
            report.add(
                own.at,
                format!("two interfaces are {} here", quote(own.value)),
                "give each a name of its own",
            );
        }
    }
    names
}

/// Reports every name that the kernel would not take for an interface.
pub(super) fn check_interfaces(interfaces: &[At<&str>], report: &mut Report<'_>) {
    for name in interfaces.iter().filter(|name| !is_interface(name.value)) {
        let what = format!("{} cannot be the name of an interface", quote(name.value));
        report.add(name.at, what, "use a name as `ip link` shows it, as in \"eth0\"");
    }
}

/// Checks that options are `KEY=VALUE`; the conventions pass them as lines or as variables.
pub(super) fn check_options(options: &[At<&str>], report: &mut Report<'_>) {
    for option in options {
        let is_key =
            |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let is_good = option.value.split_once('=').is_some_and(|(key, _)| is_key(key));
        if !is_good || option.value.contains(char::is_control) {
            // its value may be a password: not shown
            report.add(option.at, "an option of a fence is not KEY=VALUE", "write it as \"plug=3\"");
        }
    }
    if let Some(surplus) = options.get(MAX_OPTIONS) {
        report.add(surplus.at, "a fence with too many options", format_args!("keep at most {MAX_OPTIONS}"));
    }
}

fn read_address(text: At<&str>, report: &mut Report<'_>) -> At<Option<IpAddr>> {
    let address = text.value.parse().ok().filter(|ip: &IpAddr| is_unicast(*ip));
    if address.is_none() {
        let remedy = "write the box's own address on the LAN without prefix, as in \"10.0.0.1\"";
        report.add(text.at, format!("{} is not the address of a box", quote(text.value)), remedy);
    }
    text.map(|_| address.map(|ip| ip.to_canonical()))
}

/// Which of the two nodes this box is. Capital letters do not matter, as in all host names. If it is neither,
/// the error lists both names.
pub(super) fn choose(
    nodes: &[Node<'_>; 2],
    wanted: &Wanted,
    at: usize,
    report: &mut Report<'_>,
) -> Option<Side> {
    let [a, b] = nodes;
    let (name, what, key) = match wanted {
        Wanted::Side(side) => return Some(*side),
        Wanted::Asked(name) => (name, format!("--node {} is not in this file", quote(name)), "--node"),
        Wanted::Host(name) => {
            (name, format!("this box is called {} (`uname -n`)", quote(name)), "the name, or give --node")
        }
    };
    match name.as_str() {
        name if name.eq_ignore_ascii_case(a.name.value) => Some(Side::A),
        name if name.eq_ignore_ascii_case(b.name.value) => Some(Side::B),
        _ => {
            let known = format!("{} and {}", quote(a.name.value), quote(b.name.value));
            report.add(at, what, format_args!("the file knows {known}: correct {key}"));
            None
        }
    }
}
