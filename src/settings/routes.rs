//! The routes and policy rules of a group: what only the node that serves may have, or only the one that does
//! not, and the service address that goes out as their source.

use std::fmt;
use std::net::IpAddr;

use super::error::{Report, quote};
use super::table::{At, Element};
use super::values::{is_interface, is_unicast};
use crate::gather::Gather;

/// Most routes of one group, and most rules.
pub(super) const MAX_ROUTES: usize = 16;
/// `RT_TABLE_MAIN`
const MAIN: u32 = 254;
/// The routing tables that have names.
pub const TABLES: [(&str, u32); 3] = [("main", MAIN), ("local", 255), ("default", 253)];
/// Of a rule that names none: before the table `main`, behind what an operator puts first.
pub const USUAL_PRIORITY: u32 = 19_400;
const MIXED: &str = "mixes IPv4 and IPv6";

/// What is said of a route or of a rule, in this order.
#[derive(Clone, Copy)]
pub enum Part {
    /// The network from which packets come.
    From,
    /// The network to which they go; every one if nothing is said.
    To,
    /// The gateway.
    Via,
    /// The source address of packets that choose no other: a service address.
    Src,
    /// Their mark, and the bits of it that count.
    Mark,
    /// Which route comes first, or which rule.
    Metric,
    /// Where a route stands, and to where a rule leads.
    Table,
}

/// The attribute of each part in linux/rtnetlink.h, which is the one in linux/fib_rules.h.
pub const PARTS: [u16; 7] = [2, 1, 5, 7, 10, 6, 15];

/// What is said of one part.
#[derive(Clone, Copy, Debug)]
pub enum PartValue {
    /// An address.
    Ip(IpAddr),
    /// A network and its prefix length.
    Network(IpAddr, u8),
    /// A number.
    Number(u32),
    /// A mark and its mask.
    Mark(u32, u32),
}

impl fmt::Display for PartValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Network(ip, prefix) => write!(f, "{ip}/{prefix}"),
            Self::Number(number) => number.fmt(f),
            Self::Mark(mark, mask) => write!(f, "{mark:#x}/{mask:#x}"),
        }
    }
}

/// The address in it.
fn ip_of(value: &PartValue) -> Option<IpAddr> {
    match value {
        PartValue::Ip(ip) | PartValue::Network(ip, _) => Some(*ip),
        PartValue::Number(_) | PartValue::Mark(..) => None,
    }
}

type Read = fn(&str) -> Result<PartValue, &'static str>;

/// How routes are written, or rules.
pub(super) struct Grammar {
    /// The key of a group that lists them.
    pub(super) key: &'static str,
    /// The key of one that is written as a table.
    one: &'static str,
    is_rule: bool,
    /// The word for an interface.
    interface: &'static str,
    words: &'static [(&'static str, Part, Read)],
    form: &'static str,
}

pub(super) static ROUTES: Grammar = Grammar {
    key: "routes",
    one: "route",
    is_rule: false,
    interface: "dev",
    words: &[
        ("via", Part::Via, read_gateway),
        ("src", Part::Src, read_ip),
        ("metric", Part::Metric, read_number),
        ("table", Part::Table, read_table),
    ],
    form: "write \"DESTINATION/PREFIX via GATEWAY\", or default for the destination; `dev INTERFACE`, \
           `src ADDRESS`, `metric NUMBER` and `table NUMBER` may follow",
};

pub(super) static RULES: Grammar = Grammar {
    key: "rules",
    one: "rule",
    is_rule: true,
    interface: "iif",
    words: &[
        ("from", Part::From, read_network),
        ("to", Part::To, read_network),
        ("fwmark", Part::Mark, read_mark),
        ("priority", Part::Metric, read_number),
        ("pref", Part::Metric, read_number),
        ("table", Part::Table, read_table),
    ],
    form: "write \"from ADDRESS/PREFIX table NUMBER\", or with to, iif, fwmark or priority, and inet6 in \
           front",
};

/// Which node has it: the one that does not serve the group, or the one that does.
const WHEN: [(&str, bool); 2] = [("backup", true), ("active", false)];

/// A route or a policy rule. It never outlives its address, or its guard: see `guard/kernel/routes.rs`.
#[derive(Clone, Debug)]
pub struct Route {
    /// It is a rule.
    pub is_rule: bool,
    /// Only a node that does not serve the group has it; otherwise only the one that does.
    pub is_backup: bool,
    /// It is one of IPv4.
    pub is_v4: bool,
    /// What is said of it, by [`Part`].
    pub parts: [Option<PartValue>; PARTS.len()],
    /// The interface that reaches the gateway; of a rule: by which packets come in, empty for any.
    pub interface: String,
    /// How the file, which both boxes read, calls the interface of a rule.
    pub iif: String,
}

/// Of which the same is said: to compare all parts would cost more bytes.
impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.interface == other.interface && self.to_string() == other.to_string()
    }
}

impl Route {
    /// The address that is said for a part, if one is.
    pub(super) fn ip(&self, part: Part) -> Option<IpAddr> {
        self.parts[part as usize].as_ref().and_then(ip_of)
    }
}

/// As in the file, with defaults filled in; without the interface of a route, which may differ on each box.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.is_rule, self.is_v4, self.parts[Part::To as usize]) {
            (true, true, _) => "rule",
            (true, false, _) => "rule inet6",
            (false, _, None) => "route default",
            (false, _, Some(_)) => "route",
        })?;
        let grammar = if self.is_rule { &RULES } else { &ROUTES };
        for (index, value) in self.parts.iter().enumerate() {
            let is_table = !self.is_rule && index == Part::Table as usize;
            let is_usual = is_table && matches!(value, Some(PartValue::Number(MAIN)));
            let word = grammar.words.iter().find(|(_, part, _)| *part as usize == index);
            let (word, gap) = word.map_or(("", ""), |(word, ..)| (*word, " "));
            if let Some(value) = value.filter(|_| !is_usual) {
                write!(f, " {word}{gap}{value}")?;
            }
        }
        if !self.iif.is_empty() {
            write!(f, " iif {}", self.iif)?;
        }
        f.write_str(if self.is_backup { " when backup" } else { "" })
    }
}

/// An address of the group, as far as a route needs it.
#[derive(Clone, Copy)]
pub(super) struct Anchor<'t> {
    pub(super) ip: IpAddr,
    pub(super) prefix: u8,
    pub(super) interface: Option<&'t str>,
}

/// A route whose interface on this box is not settled yet.
#[derive(Clone)]
pub(super) struct Draft<'t> {
    route: Route,
    /// The interface in the file; `None`: that of the only LAN.
    interface: Option<&'t str>,
}

/// Reads one route or rule of a group with these addresses.
pub(super) fn read<'t>(
    element: Element<'t>,
    grammar: &Grammar,
    addresses: &[Anchor<'t>],
    report: &mut Report<'_>,
) -> Option<At<Draft<'t>>> {
    let (text, is_backup) = match element {
        Element::Text(text) => (text, false),
        Element::Table(table) => {
            table.refuse_unknown(&[grammar.one, "when"], report);
            if !table.has(grammar.one) {
                report.add(table.at, format_args!("a {} is missing", grammar.one), grammar.form);
            }
            let when = table.choice("when", &WHEN, report);
            (table.text(grammar.one, report)?, when.is_some_and(|when| when.value))
        }
    };
    let found = parse(text.value, grammar, is_backup).map_err(|why| (why, grammar.form));
    let found = found.and_then(|draft| draft.placed(addresses));
    found
        .map_err(|(why, remedy)| report.add(text.at, format_args!("{} {why}", quote(text.value)), remedy))
        .ok()
        .map(|draft| At { at: text.at, value: draft })
}

impl<'t> Draft<'t> {
    /// The route with the interface that reaches the gateway, and a source; a rule needs neither.
    fn placed(mut self, addresses: &[Anchor<'t>]) -> Result<Self, (&'static str, &'static str)> {
        let (is_backup, dev) = (self.route.is_backup, self.interface);
        let (Some(via), src) = (self.route.ip(Part::Via), self.route.ip(Part::Src)) else { return Ok(self) };
        let named = addresses.iter().find(|address| Some(address.ip) == src);
        if src.is_some() && (named.is_none() || is_backup) {
            let why = "has a src that does not come with it";
            return Err((why, "use an address of this group, or none of a node that does not serve it"));
        }
        let is_there = |address: &&Anchor<'t>| dev.is_none_or(|dev| address.interface == Some(dev));
        // Who does not serve may go through who does.
        let others = || named.into_iter().chain(addresses).filter(|address| is_backup || address.ip != via);
        let all = || others().filter(is_there);
        let anchor = all().find(|address| {
            let network = |ip: IpAddr| (ip.is_ipv4(), network_of(ip, address.prefix));
            network(via) == network(address.ip)
        });
        let anchor = anchor.or_else(|| all().find(|address| may_reach(via, address)));
        match anchor {
            Some(anchor) => {
                self.interface = anchor.interface;
                let src = src.unwrap_or(anchor.ip);
                self.route.parts[Part::Src as usize] = (!is_backup).then_some(PartValue::Ip(src));
            }
            // By an address of the box's own.
            None if is_backup && dev.is_some() => {}
            None => {
                let why = "has a gateway that no address of this group reaches";
                return Err((why, "add an address of that network to the group, or correct the gateway"));
            }
        }
        Ok(self)
    }

    /// The route as the guard needs it; `lan` is this node's interface for addresses that name none, `local`
    /// its names for the others.
    pub(super) fn settings(&self, lan: Option<&str>, local: impl Fn(&str) -> String) -> Option<Route> {
        let mut route = self.route.clone();
        let named = self.interface.map(local);
        route.interface = if route.is_rule {
            route.iif.extend(self.interface);
            named.unwrap_or_default()
        } else {
            named.or_else(|| lan.map(str::to_string))?
        };
        Some(route)
    }

    /// Whether one of them stands in the way of the other: the kernel has room for only one such route, and
    /// takes a rule away by what is said of it, which may be said of another one too.
    fn clashes(&self, other: &Self) -> bool {
        (self.route.is_rule, self.route.is_v4) == (other.route.is_rule, other.route.is_v4)
            && (self.says_part_of(other) || other.says_part_of(self))
    }

    /// Whether all that is said of this one is said of the other too. The addresses of a route, its gateway
    /// and its source, do not count, nor does its interface.
    fn says_part_of(&self, other: &Self) -> bool {
        let is_rule = self.route.is_rule;
        let mut parts = self.route.parts.iter().zip(&other.route.parts);
        parts.all(|(own, other)| match own {
            None if is_rule => true,
            Some(PartValue::Ip(_)) => true,
            own => is_same(own, other),
        }) && (!is_rule || self.interface.is_none() || self.interface == other.interface)
    }
}

/// Whether the same is said of one part.
fn is_same(one: &Option<PartValue>, other: &Option<PartValue>) -> bool {
    one.map(|value| value.to_string()) == other.map(|value| value.to_string())
}

/// Whether a gateway may be reached through an address. A link-local gateway is reached through any address
/// of the link; an address without a network may reach any gateway.
fn may_reach(via: IpAddr, address: &Anchor<'_>) -> bool {
    let is_alone = address.prefix == longest_prefix(address.ip);
    let is_of_link = matches!(via, IpAddr::V6(via) if via.is_unicast_link_local());
    address.ip.is_ipv4() == via.is_ipv4() && (is_alone || is_of_link)
}

fn parse<'t>(text: &'t str, grammar: &Grammar, is_backup: bool) -> Result<Draft<'t>, &'static str> {
    let (is_rule, mut parts, mut interface) = (grammar.is_rule, [None; PARTS.len()], None);
    let mut words = text.split_ascii_whitespace();
    let first = words.clone().next().filter(|word| !is_rule || matches!(*word, "inet" | "inet6"));
    if first.is_some() {
        words.next();
    }
    while let Some(word) = words.next() {
        let known = grammar.words.iter().find(|(known, ..)| *known == word);
        let known =
            if word == grammar.interface { None } else { Some(known.ok_or("has a word that is not read")?) };
        let value = words.next().ok_or("ends with a word that lacks its value")?;
        let is_again = match known {
            Some((_, part, read)) => parts[*part as usize].replace(read(value)?).is_some(),
            None => interface.replace(value).is_some(),
        };
        if is_again {
            return Err("says the same thing twice");
        }
    }
    if interface.is_some_and(|name| !is_interface(name)) {
        return Err("names an interface that cannot be");
    }
    let mut is_v4 = first.filter(|_| is_rule).map(|family| family == "inet");
    let (needed, usual, why) = if is_rule {
        (Part::Table, (Part::Metric, USUAL_PRIORITY), "has no table")
    } else {
        if let Some(destination) = first.filter(|first| *first != "default") {
            parts[Part::To as usize] = Some(read_network(destination)?);
        }
        (Part::Via, (Part::Table, MAIN), "has no gateway")
    };
    parts[needed as usize].ok_or(why)?;
    for ip in parts.iter().flatten().filter_map(ip_of) {
        if *is_v4.get_or_insert(ip.is_ipv4()) != ip.is_ipv4() {
            return Err(MIXED);
        }
    }
    // What is said of all is said of none.
    for part in &mut parts {
        part.take_if(|part| matches!(part, PartValue::Network(_, 0) | PartValue::Number(0)));
    }
    parts[usual.0 as usize].get_or_insert(PartValue::Number(usual.1));
    let is_v4 = is_v4.unwrap_or(true);
    let route = Route { is_rule, is_backup, is_v4, parts, interface: String::new(), iif: String::new() };
    Ok(Draft { route, interface })
}

fn read_ip(text: &str) -> Result<PartValue, &'static str> {
    text.parse().map(PartValue::Ip).map_err(|_| "has something else where an IP address belongs")
}

fn read_gateway(text: &str) -> Result<PartValue, &'static str> {
    let is_one = |value: &PartValue| ip_of(value).is_some_and(|via| is_unicast(via) && !via.is_loopback());
    read_ip(text).and_then(|value| Some(value).filter(is_one).ok_or("has a gateway that no box can be"))
}

/// A network without bits beyond its prefix, or a single address.
fn read_network(text: &str) -> Result<PartValue, &'static str> {
    let network = || {
        let (ip, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
        let ip: IpAddr = ip.parse().ok()?;
        let longest = longest_prefix(ip);
        let prefix = prefix.map_or(Some(longest.into()), number)?;
        let prefix = u8::try_from(prefix).ok().filter(|prefix| *prefix <= longest)?;
        (network_of(ip, prefix) == network_bits(ip)).then_some(PartValue::Network(ip, prefix))
    };
    network().ok_or("has something else where a network belongs")
}

/// In decimal digits, or in hexadecimal ones behind `0x`.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    u32::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'))
}

fn read_number(text: &str) -> Result<PartValue, &'static str> {
    number(text).map(PartValue::Number).ok_or("has a number that cannot be")
}

fn read_table(text: &str) -> Result<PartValue, &'static str> {
    let named = TABLES.iter().find(|(name, _)| *name == text);
    let table = named.map(|(_, table)| *table).or_else(|| number(text)).filter(|table| *table > 0);
    table.map(PartValue::Number).ok_or("has a number that cannot be")
}

/// `VALUE` or `VALUE/MASK`.
fn read_mark(text: &str) -> Result<PartValue, &'static str> {
    let (value, mask) =
        text.split_once('/').map_or((text, Some(u32::MAX)), |(value, mask)| (value, number(mask)));
    let mask = mask.filter(|mask| *mask > 0);
    number(value)
        .zip(mask)
        .map(|(value, mask)| PartValue::Mark(value, mask))
        .ok_or("has a mark that cannot be")
}

fn longest_prefix(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The bits of an address, left-aligned.
fn network_bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn network_of(ip: IpAddr, prefix: u8) -> u128 {
    network_bits(ip) & !u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0)
}

/// A kernel has room for one route of a metric to a network, and a node may serve all groups at once. What a
/// node has while it serves a group never meets what it has while it does not.
pub(super) fn check_repeats<'p, 't: 'p>(
    routes: impl Iterator<Item = (&'p At<Draft<'t>>, &'p str)>,
    report: &mut Report<'_>,
) {
    let all: Vec<_> = routes.gather();
    for (index, (route, own)) in all.iter().enumerate() {
        let meets = |(other, group): &&(&At<Draft<'t>>, &str)| {
            (group != own || other.value.route.is_backup == route.value.route.is_backup)
                && other.value.clashes(&route.value)
        };
        let Some((_, group)) = all[..index].iter().find(meets) else { continue };
        let what =
            format_args!("group {} has one there of the same metric or priority already", quote(group));
        report.add(route.at, what, "give one of them another metric or priority, or remove it");
    }
}

/// A route or a rule as [`Route`] says it, on this interface.
#[cfg(test)]
pub fn parsed(text: &str, interface: &str) -> Route {
    let (one, rest) = text.split_once(' ').expect("two words");
    let grammar = if one == RULES.one { &RULES } else { &ROUTES };
    Route { interface: interface.to_owned(), ..parse(rest, grammar, false).expect(text).route }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
