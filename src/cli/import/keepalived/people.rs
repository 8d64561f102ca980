//! Finds out who the two nodes are, and where they hear each other.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crosswire::config::MAX_PATHS;

use super::model::{Instance, Node};
use super::source::Sources;
use crate::cli::import::places::{self, Found, Names, Source};
use crate::cli::import::report::Place;
use crate::settings::{is_name, is_on_every_link};

/// The names of the nodes, the first file's first; or what is missing.
pub fn names(
    told: &Names,
    ids: &BTreeSet<String>,
    router_ids: [Option<&str>; 2],
) -> Result<[String; 2], String> {
    let told = told.told_names();
    if !told.is_empty() && told.len() != 2 {
        return Err(format!("--addresses names {} nodes", told.len()));
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let named: Vec<&str> = router_ids.into_iter().flatten().filter(|name| is_name(name)).collect();
    let all = [told, ids.clone(), named];
    let names = all.into_iter().find_map(|names| match names[..] {
        [a, b] if a != b => Some([a.to_string(), b.to_string()]),
        _ => None,
    });
    let names = names.ok_or("the files do not say how the two boxes are called (`uname -n`)")?;
    // Lines for a name that is neither node's would be lost silently.
    let is_of = |name: &str, id: &str| name == id || name.split('.').next() == Some(id);
    let count = names.iter().filter(|name| ids.iter().any(|id| is_of(name, id))).count();
    if count < ids.len().min(2) {
        let other = ids.iter().find(|id| names.iter().all(|name| !is_of(name, id))).unwrap_or(&"");
        return Err(format!("@{other} is neither {} nor {}", names[0], names[1]));
    }
    Ok(names)
}

/// A LAN on which both nodes are.
#[derive(Debug)]
pub struct Lan {
    /// What each node calls it.
    pub interfaces: [String; 2],
    /// Their own addresses.
    pub ips: [IpAddr; 2],
    /// Who says so.
    whence: [&'static str; 2],
}

impl Lan {
    /// Who has which address on it.
    pub fn who(&self, names: &[String; 2]) -> String {
        let one = |side: usize| format!("{} {}, {}", names[side], self.ips[side], self.whence[side]);
        format!("{}; {}", one(0), one(1))
    }
}

/// The LANs of the pair: wherever VRRP runs and both addresses are known. If there is none, the first one's
/// error says what is missing.
pub fn lans(nodes: &[Option<Node>; 2], names: &[String; 2], told: &Names, sources: &mut Sources) -> Vec<Lan> {
    let all_instances = || nodes.iter().flatten().flat_map(|node| &node.instances);
    let served: Vec<IpAddr> = all_instances().flat_map(|one| &one.addresses).map(|one| one.ip).collect();
    let mut seen: Vec<[&str; 2]> = Vec::new();
    let mut all: Vec<Lan> = Vec::new();
    let mut missing = None;
    for instance in nodes[0].iter().flat_map(|node| &node.instances) {
        let Some((interface, at)) = &instance.interface else { continue };
        let twin = twin(nodes, instance);
        let other =
            twin.and_then(|twin| twin.interface.as_ref()).map_or(interface, |(interface, _)| interface);
        let interfaces = [interface.as_str(), other.as_str()];
        let number = seen.iter().position(|known| *known == interfaces).unwrap_or_else(|| {
            seen.push(interfaces);
            seen.len() - 1
        });
        if all.iter().any(|lan| lan.interfaces == interfaces) {
            continue;
        }
        match addresses(instance, twin, look_up(told, interfaces, number, names, &served)) {
            [Some((a, by_a)), Some((b, by_b))] if a != b => {
                let interfaces = interfaces.map(str::to_string);
                all.push(Lan { interfaces, ips: [a, b], whence: [by_a, by_b] });
            }
            [Some((ip, _)), Some(_)] => {
                let what = format!("both nodes would have the address {ip} on {}", interfaces[0]);
                sources.fail(*at, (what, "give --addresses NODE=IP,NODE=IP, the nodes' own ones there"));
                return Vec::new();
            }
            [a, _] => {
                let side = usize::from(a.is_some());
                missing = missing.or_else(|| Some((*at, &names[side], interfaces[side].to_string())));
            }
        }
    }
    if let (true, Some((at, node, interface))) = (all.is_empty(), missing) {
        let remedy = "give --addresses NODE=IP,NODE=IP, the nodes' own ones there, this file's node first";
        sources.fail(at, (format!("nothing says which address {node} has on {interface}"), remedy));
    }
    all.truncate(MAX_PATHS);
    all
}

/// Both nodes' addresses: `--addresses` counts before the files, and the files before what else is known.
fn addresses(
    one: &Instance,
    twin: Option<&Instance>,
    looked_up: [Option<Found>; 2],
) -> [Option<(IpAddr, &'static str)>; 2] {
    let own = |instance: &Instance| instance.source.map(|(ip, _)| ip).filter(|ip| !is_on_every_link(*ip));
    let peer =
        |instance: &Instance| instance.peers.first().map(|(ip, _)| *ip).filter(|ip| !is_on_every_link(*ip));
    let said = [(own(one), twin.and_then(peer)), (twin.and_then(own), peer(one))];
    std::array::from_fn(|side| {
        let looked = looked_up[side];
        let told = looked.filter(|(_, source)| *source == Source::Told);
        let by_file = said[side].0.map(|ip| (ip, "as its file says"));
        let by_other = said[side].1.map(|ip| (ip, "as the other one's file says"));
        let plain = |(ip, source): Found| (ip, source.words());
        told.map(plain).or(by_file).or(by_other).or(looked.map(plain))
    })
}

/// The other node's instance of the same virtual router.
pub fn twin<'n>(nodes: &'n [Option<Node>; 2], instance: &Instance) -> Option<&'n Instance> {
    nodes[1].as_ref()?.instances.iter().find(|one| one.is_same(instance))
}

fn look_up(
    told: &Names,
    interfaces: [&str; 2],
    number: usize,
    names: &[String; 2],
    served: &[IpAddr],
) -> [Option<Found>; 2] {
    let on = |interface: &str| {
        let place = Place { file: "keepalived.conf", line: 0 };
        let lan = places::Lan { interface: interface.to_string(), ips: Vec::new(), port: None, place };
        told.on_lan(&lan, number, names, served)
    };
    [on(interfaces[0]).first().copied().flatten(), on(interfaces[1]).get(1).copied().flatten()]
}
