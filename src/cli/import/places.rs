//! Looks up what Heartbeat looks up on the box and our configuration has to say: addresses of nodes and
//! names, networks of interfaces.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::report::Place;
use crate::guard::scripts::spawn::ask;
use crate::settings::{is_unicast, neighbours};

/// A LAN between the nodes.
#[derive(Clone, Debug)]
pub struct Lan {
    /// Its interface.
    pub interface: String,
    /// The nodes' addresses on it, as far as ucast names them.
    pub ips: Vec<IpAddr>,
    /// UDP port, if it is not the usual one, and the line that gives it.
    pub port: Option<(u16, usize)>,
    /// The line that asks for it.
    pub place: Place,
}

/// Networks that this box is on, from the kernel's table (proc(5), /proc/net/route).
#[derive(Default)]
pub struct Routes {
    all: Vec<(String, u32, u32)>,
}

impl Routes {
    /// Reads the table; a box without one is on no network.
    pub fn load(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_default();
        Self { all: text.lines().filter_map(parse_route).collect() }
    }

    /// Interface and prefix length of the smallest network that holds `ip`, on that interface if one is
    /// named.
    pub fn find(&self, ip: IpAddr, interface: Option<&str>) -> Option<(String, u8)> {
        let IpAddr::V4(ip) = ip else { return None };
        let is_there = |name: &str| interface.is_none_or(|wanted| wanted == name);
        let holds =
            |(name, network, mask): &&(String, u32, u32)| ip.to_bits() & mask == *network && is_there(name);
        let (name, _, mask) = self.all.iter().filter(holds).max_by_key(|(_, _, mask)| *mask)?;
        Some((name.clone(), u8::try_from(mask.leading_ones()).ok()?))
    }
}

/// A network that is reached without a gateway. The figures are in the byte order of the wire.
fn parse_route(line: &str) -> Option<(String, u32, u32)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let figure = |index: usize| {
        let bytes = u32::from_str_radix(words.get(index)?, 16).ok()?.to_ne_bytes();
        Some(Ipv4Addr::from(bytes).to_bits())
    };
    let (network, gateway, mask) = (figure(1)?, figure(2)?, figure(7)?);
    (gateway == 0 && mask != 0).then(|| (words[0].to_string(), network, mask))
}

/// The box on which the files are read.
#[derive(Clone, Default, Debug)]
pub struct OwnBox {
    /// Its `uname -n`, in small letters.
    pub name: String,
    /// Its addresses, each with its interface, and its network's mask.
    pub addresses: Vec<(String, IpAddr, IpAddr)>,
}

impl OwnBox {
    /// Looks up the name and the addresses of this box.
    pub fn look() -> Self {
        let name = nix::unistd::gethostname().unwrap_or_default();
        Self { name: name.to_string_lossy().to_ascii_lowercase(), addresses: neighbours::addresses_of_box() }
    }
}

/// Who says that an address is a node's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// `--addresses`
    Told,
    /// This box has it.
    Box,
    /// `/etc/hosts`
    Hosts,
    /// The other one of two addresses is the other node's.
    Rest,
}

impl Source {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Told => "by --addresses",
            Self::Box => "this box has it",
            Self::Hosts => "by /etc/hosts",
            Self::Rest => "the other is the other node's",
        }
    }
}

/// A node's address, and who says so.
pub type Found = (IpAddr, Source);

/// Asks the box's resolver.
pub type Resolve = fn(&str) -> Vec<IpAddr>;

/// Every address of a name, in the order of the box's resolver; empty if it knows none. The box's own
/// `getent` asks, as Heartbeat's library did: a static binary's resolver does not read nsswitch.conf, and
/// takes 12 KB.
pub fn resolve(name: &str) -> Vec<IpAddr> {
    let said = ask(&[c"/usr/bin/getent".to_owned(), c"/bin/getent".to_owned()], &["getent", "ahosts", name]);
    let said = String::from_utf8_lossy(&said);
    said.lines().filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok()).collect()
}

/// Addresses of names: what the operator says, what the box has, then its hosts file and its resolver.
#[derive(Clone, Debug)]
pub struct Names {
    told: Vec<(String, IpAddr)>,
    hosts: Vec<(String, IpAddr)>,
    own: OwnBox,
    resolve: Resolve,
}

impl Names {
    /// `told` is `NODE=IP,NODE=IP`; the first part of them that is none is returned as an error.
    pub fn load(told: &str, hosts: &Path, own: OwnBox, resolve: Resolve) -> Result<Self, String> {
        let pair = |word: &str| {
            let (name, ip) = word.split_once('=')?;
            Some((name.to_string(), ip.parse().ok()?))
        };
        let told = told
            .split(',')
            .filter(|word| !word.is_empty())
            .map(|word| pair(word).ok_or_else(|| word.to_string()))
            .collect::<Result<_, _>>()?;
        let text = fs::read(hosts).unwrap_or_default();
        let hosts = String::from_utf8_lossy(&text).lines().flat_map(parse_host).collect();
        Ok(Self { told, hosts, own, resolve })
    }

    /// The address of a name that is no node: by the hosts file, then by whatever else the box asks.
    pub fn of(&self, name: &str) -> Option<IpAddr> {
        let known = named(&self.hosts, name).next();
        known.or_else(|| (self.resolve)(name).into_iter().find(|ip| is_unicast(*ip) && !ip.is_loopback()))
    }

    /// The nodes that were told, in their order.
    pub fn told_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &self.told {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// Whether that was told of a node.
    #[cfg(feature = "keepalived")]
    pub fn is_told(&self, node: &str, ip: IpAddr) -> bool {
        named(&self.told, node).any(|known| known == ip)
    }

    /// Whether this box has it.
    pub fn is_own(&self, ip: IpAddr) -> bool {
        self.own.addresses.iter().any(|(_, own, _)| *own == ip)
    }

    /// The addresses of both nodes on the LAN of this number; `None` if nothing decides. Addresses in
    /// `served` are the groups'.
    pub fn on_lan(
        &self,
        lan: &Lan,
        number: usize,
        nodes: &[String],
        served: &[IpAddr],
    ) -> Vec<Option<Found>> {
        let told = |node: &String| named(&self.told, node).nth(number).map(|ip| (ip, Source::Told));
        let own = |node: &String| self.own(lan, node, served).map(|ip| (ip, Source::Box));
        let mut found: Vec<_> = nodes.iter().map(|node| told(node).or_else(|| own(node))).collect();
        let hosts: Vec<Vec<IpAddr>> = nodes.iter().map(|node| named(&self.hosts, node).collect()).collect();
        fill(&mut found, |index, other| {
            let ip = hosts[index].iter().find(|ip| lan.ips.contains(ip) && other != Some(**ip))?;
            Some((*ip, Source::Hosts))
        });
        fill(&mut found, |_, other| {
            let mut rest = lan.ips.iter().filter(|ip| Some(**ip) != other);
            let (first, second) = (rest.next()?, rest.next());
            (other.is_some() && second.is_none()).then_some((*first, Source::Rest))
        });
        let is_usual = number == 0 && lan.ips.len() != 2;
        fill(&mut found, |index, other| {
            let ip = hosts[index].iter().find(|ip| other != Some(**ip)).filter(|_| is_usual)?;
            Some((*ip, Source::Hosts))
        });
        found
    }

    /// What this box has on the LAN, if it is that node and there is no choice.
    fn own(&self, lan: &Lan, node: &str, served: &[IpAddr]) -> Option<IpAddr> {
        if self.own.name != node {
            return None;
        }
        let of_family = |ip: IpAddr| lan.ips.first().is_none_or(|first| first.is_ipv4() == ip.is_ipv4());
        let is_own = |ip: IpAddr| of_family(ip) && !served.contains(&ip) && !neighbours::is_link_local(ip);
        let here = self.own.addresses.iter().filter(|(name, ..)| *name == lan.interface);
        let all: Vec<IpAddr> = here.map(|(_, ip, _)| *ip).filter(|ip| is_own(*ip)).collect();
        let listed = all.iter().find(|ip| lan.ips.contains(ip));
        let by_name = named(&self.hosts, node).find(|ip| all.contains(ip));
        let only = all.first().filter(|_| all.len() == 1 && lan.ips.len() != 2);
        listed.copied().or(by_name).or(only.copied())
    }
}

/// Looks for each address that is not known yet, given the other node's.
fn fill(found: &mut [Option<Found>], look: impl Fn(usize, Option<IpAddr>) -> Option<Found>) {
    for index in 0..found.len() {
        let others = found.iter().enumerate().filter(|(other, _)| *other != index);
        let other = others.filter_map(|(_, found)| found.map(|(ip, _)| ip)).next();
        if found[index].is_none() {
            found[index] = look(index, other);
        }
    }
}

fn named(pairs: &[(String, IpAddr)], name: &str) -> impl Iterator<Item = IpAddr> {
    pairs.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, ip)| *ip)
}

/// Every name of a line of hosts(5) that does not stand for the box itself.
fn parse_host(line: &str) -> Vec<(String, IpAddr)> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    let ip = words.next().and_then(|word| word.parse::<IpAddr>().ok()).filter(|ip| !ip.is_loopback());
    ip.map(|ip| words.map(|name| (name.to_string(), ip)).collect()).unwrap_or_default()
}
