//! The routes of a group: what only the node that serves may have, and the service address that goes out as
//! their source.

use std::fmt;
use std::net::IpAddr;

use super::error::{Report, quote};
use super::table::At;
use super::values::{is_unicast, parse_digits};
use crate::gather::Gather;

/// Most routes of one group.
pub(super) const MAX_ROUTES: usize = 16;
const FORM: &str = "write \"DESTINATION/PREFIX via GATEWAY\", or default for the destination; \
                    `dev INTERFACE`, `src ADDRESS` and `metric NUMBER` may follow";

/// A route. It never outlives its address: see `guard/kernel/routes.rs`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// The network.
    pub to: IpAddr,
    /// Its prefix length; zero for a default route.
    pub prefix: u8,
    /// The gateway.
    pub via: IpAddr,
    /// The source address of packets that choose no other: a service address.
    pub src: IpAddr,
    /// Zero for the kernel's default.
    pub metric: u32,
    /// The interface of the service address that reaches the gateway.
    pub interface: String,
}

/// As in the file, with defaults filled in; without the interface, which may differ on each box.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            0 => f.write_str("default")?,
            prefix => write!(f, "{}/{prefix}", self.to)?,
        }
        write!(f, " via {} src {}", self.via, self.src)?;
        if self.metric > 0 { write!(f, " metric {}", self.metric) } else { Ok(()) }
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
#[derive(Clone, Copy)]
pub(super) struct Draft<'t> {
    to: IpAddr,
    prefix: u8,
    via: IpAddr,
    src: Option<IpAddr>,
    metric: u32,
    dev: Option<&'t str>,
    anchor: Option<Anchor<'t>>,
}

/// Reads one route of a group with these addresses.
pub(super) fn read<'t>(
    text: At<&'t str>,
    addresses: &[Anchor<'t>],
    report: &mut Report<'_>,
) -> Option<At<Draft<'t>>> {
    let found = parse(text.value).map_err(|why| (why, FORM)).and_then(|draft| draft.placed(addresses));
    found
        .map_err(|(why, remedy)| report.add(text.at, format_args!("{} {why}", quote(text.value)), remedy))
        .ok()
        .map(|draft| At { at: text.at, value: draft })
}

impl<'t> Draft<'t> {
    /// The route with the address that reaches the gateway, and a source.
    fn placed(self, addresses: &[Anchor<'t>]) -> Result<Self, (&'static str, &'static str)> {
        let named = addresses.iter().find(|address| Some(address.ip) == self.src);
        if self.src.is_some() && named.is_none() {
            let why = "has a src that is not an address of this group";
            return Err((why, "use one of its addresses: the route goes when that address goes"));
        }
        let is_there = |address: &&Anchor<'t>| self.dev.is_none_or(|dev| address.interface == Some(dev));
        let others = || named.into_iter().chain(addresses).filter(|address| address.ip != self.via);
        let all = || others().filter(is_there);
        let anchor = all().find(|address| is_in(self.via, address.ip, address.prefix));
        let anchor = anchor.or_else(|| all().find(|address| self.may_reach(address)));
        let Some(anchor) = anchor else {
            let why = "has a gateway that no address of this group reaches";
            return Err((why, "add an address of that network to the group, or correct the gateway"));
        };
        Ok(Self { src: self.src.or(Some(anchor.ip)), anchor: Some(*anchor), ..self })
    }

    /// Whether the gateway may be reached through an address. A link-local gateway is reached through any
    /// address of the link; an address without a network may reach any gateway.
    fn may_reach(&self, address: &Anchor<'_>) -> bool {
        let is_alone = address.prefix == longest_prefix(address.ip);
        let is_of_link = matches!(self.via, IpAddr::V6(via) if via.is_unicast_link_local());
        address.ip.is_ipv4() == self.via.is_ipv4() && (is_alone || is_of_link)
    }

    /// The route as the guard needs it; `lan` is this node's interface for addresses that name none, `local`
    /// its names for the others.
    pub(super) fn settings(&self, lan: Option<&str>, local: impl Fn(&str) -> String) -> Option<Route> {
        let interface = self.anchor?.interface.map(local).or_else(|| lan.map(str::to_string))?;
        let Self { to, prefix, via, src, metric, .. } = *self;
        Some(Route { to, prefix, via, src: src?, metric, interface })
    }

    /// Whether the kernel has room for only one of them.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.to, self.prefix, self.metric) == (other.to, other.prefix, other.metric)
    }
}

fn parse(text: &str) -> Result<Draft<'_>, &'static str> {
    let mut words = text.split_ascii_whitespace();
    let destination = words.next().ok_or("is not a route")?;
    let (mut via, mut src, mut metric, mut dev) = (None, None, None, None);
    while let Some(word) = words.next() {
        let value = words.next().ok_or("ends with a word that lacks its value")?;
        let ip = || value.parse::<IpAddr>().map_err(|_| "has something else where an IP address belongs");
        let number = || {
            parse_digits(value, 9).and_then(|n| u32::try_from(n).ok()).ok_or("has a metric that cannot be")
        };
        let is_first = match word {
            "via" => via.replace(ip()?).is_none(),
            "src" => src.replace(ip()?).is_none(),
            "dev" => dev.replace(value).is_none(),
            "metric" => metric.replace(number()?).is_none(),
            _ => return Err("has a word that is not via, dev, src or metric"),
        };
        if !is_first {
            return Err("says the same thing twice");
        }
    }
    let via = via.ok_or("has no gateway")?;
    if !is_unicast(via) || via.is_loopback() {
        return Err("has a gateway that no box can be");
    }
    let (to, prefix) = parse_destination(destination, via).ok_or("does not begin with a network")?;
    if [Some(to), src].into_iter().flatten().any(|ip| ip.is_ipv4() != via.is_ipv4()) {
        return Err("mixes IPv4 and IPv6");
    }
    Ok(Draft { to, prefix, via, src, metric: metric.unwrap_or(0), dev, anchor: None })
}

/// `default`, or a network without bits beyond its prefix.
fn parse_destination(text: &str, via: IpAddr) -> Option<(IpAddr, u8)> {
    if text == "default" {
        return Some((if via.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, 0));
    }
    let (ip, prefix) = text.split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    let prefix =
        u8::try_from(parse_digits(prefix, 3)?).ok().filter(|prefix| *prefix <= longest_prefix(ip))?;
    (network_of(ip, prefix) == network_bits(ip)).then_some((ip, prefix))
}

fn longest_prefix(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn is_in(ip: IpAddr, of: IpAddr, prefix: u8) -> bool {
    ip.is_ipv4() == of.is_ipv4() && network_of(ip, prefix) == network_of(of, prefix)
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

/// A kernel has room for one route of a metric to a network, and a node may serve all groups at once.
pub(super) fn check_repeats<'p, 't: 'p>(
    routes: impl Iterator<Item = (&'p At<Draft<'t>>, &'p str)>,
    report: &mut Report<'_>,
) {
    let all: Vec<_> = routes.gather();
    for (index, (route, _)) in all.iter().enumerate() {
        if let Some((_, group)) = all[..index].iter().find(|(other, _)| other.value.is_same(&route.value)) {
            let what = format_args!("group {} has a route there with the same metric already", quote(group));
            report.add(route.at, what, "give one of them another metric, or remove it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchors() -> [Anchor<'static>; 4] {
        let anchor = |ip: &str, prefix, interface| Anchor { ip: ip.parse().unwrap(), prefix, interface };
        [
            anchor("10.0.0.100", 24, None),
            anchor("192.0.2.10", 29, Some("eth1")),
            anchor("198.51.100.1", 32, Some("ppp0")),
            anchor("2001:db8::10", 64, Some("eth1")),
        ]
    }

    fn placed(text: &str) -> Result<(String, String), &'static str> {
        let draft = parse(text).and_then(|draft| draft.placed(&anchors()).map_err(|(why, _)| why))?;
        let route = draft.settings(Some("eth0"), str::to_string).unwrap();
        Ok((route.to_string(), route.interface))
    }

    #[test]
    fn what_is_left_out_comes_from_the_address_that_reaches_the_gateway() {
        for (text, whole, interface) in [
            ("default via 192.0.2.9", "default via 192.0.2.9 src 192.0.2.10", "eth1"),
            ("10.8.0.0/16 via 10.0.0.1", "10.8.0.0/16 via 10.0.0.1 src 10.0.0.100", "eth0"),
            (
                "default metric 5 src 10.0.0.100 via 192.0.2.9",
                "default via 192.0.2.9 src 10.0.0.100 metric 5",
                "eth1",
            ),
            (
                "10.9.9.9/32 via 203.0.113.1 src 198.51.100.1",
                "10.9.9.9/32 via 203.0.113.1 src 198.51.100.1",
                "ppp0",
            ),
            ("default via fe80::1", "default via fe80::1 src 2001:db8::10", "eth1"),
            ("default via fe80::1 dev eth1", "default via fe80::1 src 2001:db8::10", "eth1"),
            ("2001:db8:5::/48 via 2001:db8::1", "2001:db8:5::/48 via 2001:db8::1 src 2001:db8::10", "eth1"),
        ] {
            assert_eq!(placed(text), Ok((whole.to_string(), interface.to_string())), "{text}");
        }
    }

    #[test]
    fn routes_that_cannot_be_are_refused() {
        for (text, why) in [
            ("", "is not a route"),
            ("default", "has no gateway"),
            ("default via", "ends with a word that lacks its value"),
            ("default via eth1", "has something else where an IP address belongs"),
            ("default via 192.0.2.9 table 100", "has a word that is not via, dev, src or metric"),
            ("default via 192.0.2.9 via 192.0.2.9", "says the same thing twice"),
            ("default via 192.0.2.9 metric -1", "has a metric that cannot be"),
            ("default via 0.0.0.0", "has a gateway that no box can be"),
            ("10.8.0.0 via 10.0.0.1", "does not begin with a network"),
            ("10.8.0.1/16 via 10.0.0.1", "does not begin with a network"),
            ("10.8.0.0/33 via 10.0.0.1", "does not begin with a network"),
            ("fd00::/8 via 10.0.0.1", "mixes IPv4 and IPv6"),
            ("default via 192.0.2.9 src 10.0.0.1", "has a src that is not an address of this group"),
        ] {
            assert_eq!(placed(text), Err(why), "{text}");
        }
        let near = &anchors()[..2];
        let far = parse("default via 203.0.113.1").unwrap().placed(near).err().unwrap();
        assert_eq!(far.0, "has a gateway that no address of this group reaches");
        let elsewhere = parse("default via 192.0.2.9 dev eth7").unwrap().placed(&anchors()).err().unwrap();
        assert_eq!(elsewhere.0, "has a gateway that no address of this group reaches");
        let own = parse("default via 10.0.0.100").unwrap().placed(near).err().unwrap();
        assert_eq!(own.0, "has a gateway that no address of this group reaches");
    }
}
