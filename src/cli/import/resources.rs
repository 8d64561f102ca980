//! haresources: a node that is preferred, and what it serves, one line for each group.

use std::net::IpAddr;
use std::path::Path;

use super::draft::{Draft, Group};
use super::places::Routes;
use super::report::{Fate, Wrong};
use crate::settings::{is_interface, is_name};

/// Resource scripts that set an address, which the daemon does itself.
const ADDRESSES: [&str; 3] = ["IPaddr", "IPaddr2", "IPv6addr"];
/// Announces an address, which the daemon does itself.
const ANNOUNCER: &str = "SendArp";

/// Where to look things up.
pub struct Around<'a> {
    /// Heartbeat's directory.
    pub directory: &'a Path,
    /// This box's routes.
    pub routes: &'a Routes,
}

/// Reads one line: its words are the node and its resources.
pub fn read(draft: &mut Draft, words: &[&str], around: &Around<'_>) -> Result<Fate, Wrong> {
    let [node, resources @ ..] = words else { return Err(("an empty line".to_string(), "remove it")) };
    let prefer = draft.nodes.iter().find(|known| known.eq_ignore_ascii_case(node)).cloned();
    let prefer = prefer.ok_or_else(|| (format!("\"{node}\" is no node of ha.cf"), "correct the name"))?;
    let count = draft.groups.iter().filter(|group| group.prefer == prefer).count();
    let name = if count == 0 { prefer.clone() } else { format!("{prefer}-{}", count + 1) };
    let mut group = Group { name, place: draft.place, prefer, addresses: Vec::new(), scripts: Vec::new() };
    let mut notes = Vec::new();
    for resource in resources {
        notes.extend(take(&mut group, resource, around)?);
    }
    if group.addresses.is_empty() && group.scripts.is_empty() {
        return Err((format!("\"{node}\" serves nothing"), "add a resource, or remove the line"));
    }
    let mut said = format!("[group.\"{}\"]", group.name);
    for note in notes {
        said.push_str("; ");
        said.push_str(&note);
    }
    draft.groups.push(group);
    Ok(Fate::Taken(said))
}

/// Adds one resource to the group; something to be said about it, if there is.
fn take(group: &mut Group, resource: &str, around: &Around<'_>) -> Result<Option<String>, Wrong> {
    let (name, arguments) = resource.split_once("::").unwrap_or((resource, ""));
    if name.starts_with(|c: char| c.is_ascii_digit()) && name.contains('.') {
        return add_address(group, resource, around.routes);
    }
    if ADDRESSES.contains(&name) {
        return add_address(group, arguments, around.routes);
    }
    if name == ANNOUNCER {
        return Ok(Some(format!("{resource} left out: the daemon announces its addresses")));
    }
    if !is_name(name) || resource.contains(['\'', '"']) {
        return Err((format!("\"{resource}\" is no resource script"), "write NAME::ARGUMENT::ARGUMENT"));
    }
    let is_ours = around.directory.join("resource.d").join(name).exists();
    let standard = if is_ours || !arguments.is_empty() { "ha" } else { "lsb" };
    group.scripts.push(format!("{standard}:{resource}"));
    Ok(None)
}

/// `IP`, `IP/PREFIX`, `IP/PREFIX/INTERFACE`, and each with a broadcast address at the end.
fn add_address(group: &mut Group, text: &str, routes: &Routes) -> Result<Option<String>, Wrong> {
    let bad = |what: &str| (format!("\"{text}\" {what}"), "write IP/PREFIX/INTERFACE, as in 10.0.0.100/24/eth0");
    let mut parts = text.split('/');
    let ip: IpAddr = parts.next().and_then(|ip| ip.parse().ok()).ok_or_else(|| bad("is not an IP address"))?;
    let found = routes.find(ip);
    let prefix = match parts.next() {
        None | Some("") => found.as_ref().map(|(_, prefix)| *prefix),
        Some(mask) => {
            let prefix = prefix_of(mask).filter(|prefix| ip.is_ipv6() || *prefix <= 32);
            Some(prefix.ok_or_else(|| bad("has a prefix length that cannot be"))?)
        }
    };
    let named = parts.next().filter(|part| !part.is_empty() && part.parse::<IpAddr>().is_err());
    let named = named.map(|name| name.split(':').next().unwrap_or(name));
    if named.is_some_and(|name| !is_interface(name)) {
        return Err(bad("names an interface that cannot be"));
    }
    let interface = named.map(str::to_string).or(found.map(|(interface, _)| interface));
    let (Some(prefix), Some(interface)) = (prefix, interface) else {
        return Err(bad("does not say where it belongs, and no interface of this box has its network"));
    };
    group.addresses.push(format!("{ip}/{prefix}@{interface}"));
    let is_late = !group.scripts.is_empty();
    Ok(is_late.then(|| format!("{ip} comes before all scripts, not after {}", group.scripts.join(" "))))
}

/// `24` of `24` or of `255.255.255.0`.
fn prefix_of(mask: &str) -> Option<u8> {
    match mask.parse::<std::net::Ipv4Addr>() {
        Ok(mask) => {
            let bits = mask.to_bits();
            let prefix = bits.leading_ones();
            (prefix + bits.trailing_zeros() == 32).then(|| u8::try_from(prefix).unwrap_or(32))
        }
        Err(_) => mask.parse().ok().filter(|prefix| (1..=128).contains(prefix)),
    }
}
