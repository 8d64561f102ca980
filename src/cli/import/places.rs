//! What Heartbeat looks up on the box and a configuration of ours says: addresses of nodes, networks of interfaces.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::draft::Lan;

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

    /// Interface and prefix length of the smallest network that holds `ip`.
    pub fn find(&self, ip: IpAddr) -> Option<(String, u8)> {
        let IpAddr::V4(ip) = ip else { return None };
        let holds = |(_, network, mask): &&(String, u32, u32)| ip.to_bits() & mask == *network;
        let (interface, _, mask) = self.all.iter().filter(holds).max_by_key(|(_, _, mask)| *mask)?;
        Some((interface.clone(), u8::try_from(mask.leading_ones()).ok()?))
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

/// Addresses of names: what the operator says, then the hosts file.
#[derive(Default)]
pub struct Names {
    told: Vec<(String, IpAddr)>,
    hosts: Vec<(String, IpAddr)>,
}

impl Names {
    /// `told` is `NODE=IP,NODE=IP`; the first part of them that is none is returned as an error.
    pub fn load(told: &str, hosts: &Path) -> Result<Self, String> {
        let pair = |word: &str| {
            let (name, ip) = word.split_once('=')?;
            Some((name.to_string(), ip.parse().ok()?))
        };
        let told = told
            .split(',')
            .filter(|word| !word.is_empty())
            .map(|word| pair(word).ok_or_else(|| word.to_string()))
            .collect::<Result<_, _>>()?;
        let text = fs::read_to_string(hosts).unwrap_or_default();
        Ok(Self { told, hosts: text.lines().flat_map(parse_host).collect() })
    }

    /// The addresses of both nodes on the LAN of this number; none where it cannot be told.
    pub fn on_lan(&self, lan: &Lan, number: usize, nodes: &[String]) -> Vec<Option<IpAddr>> {
        let mut found: Vec<_> = nodes.iter().map(|node| self.known(lan, number, node)).collect();
        for index in 0..found.len() {
            let taken = found.clone();
            // Of two addresses of a LAN each belongs to one of the nodes, in their order if nothing else is known.
            let mut free = lan.ips.iter().filter(|ip| !taken.contains(&Some(**ip)));
            let is_sure = lan.ips.len() == 2;
            if let Some(place) = found.get_mut(index).filter(|place| place.is_none() && is_sure) {
                *place = free.next().copied();
            }
        }
        found
    }

    fn known(&self, lan: &Lan, number: usize, node: &str) -> Option<IpAddr> {
        let of = |pairs: &[(String, IpAddr)]| {
            let mine = pairs.iter().filter(|(name, _)| name.eq_ignore_ascii_case(node)).map(|(_, ip)| *ip);
            mine.collect::<Vec<_>>()
        };
        let (told, hosts) = (of(&self.told), of(&self.hosts));
        let named = hosts.iter().find(|ip| lan.ips.contains(ip));
        let usual = hosts.first().filter(|_| number == 0 && lan.ips.len() != 2);
        told.get(number).or(named).or(usual).copied()
    }
}

/// Every name of a line of hosts(5) that does not stand for the box itself.
fn parse_host(line: &str) -> Vec<(String, IpAddr)> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    let ip = words.next().and_then(|word| word.parse::<IpAddr>().ok()).filter(|ip| !ip.is_loopback());
    ip.map(|ip| words.map(|name| (name.to_string(), ip)).collect()).unwrap_or_default()
}
