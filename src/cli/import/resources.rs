//! haresources: a node that is preferred, and what it serves, one line for each group.

use std::net::IpAddr;
use std::path::Path;

use super::draft::{Draft, Group, Script};
use super::places::Routes;
use super::report::{Reading, Wrong};
use crate::plain;
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
pub fn read(draft: &mut Draft, words: &[&str], around: &Around<'_>) -> Result<Reading, Wrong> {
    let [node, resources @ ..] = words else { return Err(("an empty line".to_string(), "remove it")) };
    let prefer = draft.nodes.iter().find(|known| known.eq_ignore_ascii_case(node)).cloned();
    let prefer = prefer.ok_or_else(|| (format!("\"{node}\" is no node of ha.cf"), "correct the name"))?;
    let name = draft.name_for_group(&prefer);
    let lines = vec![draft.place.line];
    let mut group = Group { name, lines, prefer, addresses: Vec::new(), scripts: Vec::new() };
    let mut notes = Vec::new();
    for resource in resources {
        notes.extend(take(&mut group, resource, around)?);
    }
    if group.addresses.is_empty() && group.scripts.is_empty() {
        return Err((format!("\"{node}\" serves nothing"), "add a resource, or remove the line"));
    }
    draft.groups.push(group);
    Ok(Reading::Group(notes))
}

/// Adds one resource to the group; returns a remark about it, if there is one.
fn take(group: &mut Group, resource: &str, around: &Around<'_>) -> Result<Option<String>, Wrong> {
    let (name, arguments) = plain::cut(resource, "::").unwrap_or((resource, ""));
    if is_address(name) {
        return add_address(group, resource, around.routes);
    }
    if ADDRESSES.contains(&name) {
        return add_address(group, arguments, around.routes);
    }
    if name == ANNOUNCER {
        return Ok(Some(format!("{resource} left out: the daemon announces its addresses")));
    }
    if resource == "\\" {
        return Err(("\"\\\" does not end its line".to_string(), "remove what stands behind it, blanks too"));
    }
    if !is_name(name) || resource.contains(['\'', '"', '\\']) {
        return Err((format!("\"{resource}\" is no resource script"), "write NAME::ARGUMENT::ARGUMENT"));
    }
    let is_ours = around.directory.join("resource.d").join(name).exists();
    let standard = if is_ours || !arguments.is_empty() { "ha" } else { "lsb" };
    let line = group.lines.first().copied().unwrap_or_default();
    let script = Script { name: name.to_string(), text: format!("{standard}:{resource}"), line };
    if group.has(&script) {
        return Ok(Some(format!("{resource} stands there twice: it is called once")));
    }
    group.scripts.push(script);
    Ok(None)
}

/// Whether ResourceManager takes the name for an address (`[0-9]*.[0-9]*.[0-9]*.[0-9]*`), or it cannot be the
/// name of a script.
fn is_address(name: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    let dots = name.match_indices('.').filter(|(at, _)| name[at + 1..].starts_with(is_digit));
    name.starts_with(is_digit) && (dots.count() >= 3 || name.contains('/'))
}

/// The parts of an address as the script IPaddr has them: a prefix length or netmask, an interface with a
/// label, a broadcast address; any of them may be missing or empty.
#[derive(Default)]
struct Parts<'r> {
    prefix: Option<u8>,
    interface: Option<&'r str>,
    label: Option<&'r str>,
    broadcast: Option<&'r str>,
}

impl<'r> Parts<'r> {
    fn read(parts: impl Iterator<Item = &'r str>, ip: IpAddr) -> Result<Self, &'static str> {
        let mut all = Self::default();
        for part in parts.filter(|part| !part.is_empty()) {
            let is_figure = part.starts_with(|c: char| c.is_ascii_digit());
            if is_figure && all.prefix.is_none() && all.interface.is_none() {
                let prefix = prefix_of(part).filter(|prefix| ip.is_ipv6() || *prefix <= 32);
                all.prefix = Some(prefix.ok_or("has a prefix length that cannot be")?);
            } else if is_figure && all.broadcast.is_none() && part.parse::<IpAddr>().is_ok() {
                all.broadcast = Some(part);
            } else if !is_figure && all.interface.is_none() && all.broadcast.is_none() {
                let name = part.split(':').next().unwrap_or(part);
                all.interface = Some(name).filter(|name| is_interface(name));
                all.interface.ok_or("names an interface that cannot be")?;
                all.label = (name != part).then_some(part);
            } else {
                return Err("has a part too many");
            }
        }
        Ok(all)
    }
}

/// `IP/PREFIX/INTERFACE:LABEL/BROADCAST`, of which only the address has to be there.
fn add_address(group: &mut Group, text: &str, routes: &Routes) -> Result<Option<String>, Wrong> {
    let bad =
        |what: &str| (format!("\"{text}\" {what}"), "write IP/PREFIX/INTERFACE, as in 10.0.0.100/24/eth0");
    let mut parts = text.split('/');
    let ip: IpAddr =
        parts.next().and_then(|ip| ip.parse().ok()).ok_or_else(|| bad("is not an IP address"))?;
    let Parts { prefix, interface, label, broadcast } = Parts::read(parts, ip).map_err(bad)?;
    let found = routes.find(ip, interface);
    let prefix = prefix.or(found.as_ref().map(|(_, prefix)| *prefix));
    let interface = interface.map(str::to_string).or(found.map(|(interface, _)| interface));
    let (Some(prefix), Some(interface)) = (prefix, interface) else {
        return Err(bad("does not say where it belongs, and no interface of this box has its network"));
    };
    let late = group.scripts.iter().map(|script| script.text.as_str()).collect::<Vec<_>>().join(" ");
    let mut notes = Vec::new();
    notes.extend((!late.is_empty()).then(|| format!("{ip} comes before all scripts, not after {late}")));
    notes.extend(
        label.map(|label| format!("the label {label} of {ip} is left out: addresses have none here")),
    );
    notes.extend(
        broadcast.map(|broadcast| format!("the broadcast address {broadcast} is not set: nothing needs it")),
    );
    group.addresses.push((ip, format!("{ip}/{prefix}@{interface}")));
    Ok(Some(notes.join("; ")).filter(|notes| !notes.is_empty()))
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
