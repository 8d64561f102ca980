//! The lists of an instance or a sync group: addresses, routes, rules, and what is tracked.

use std::net::IpAddr;

use super::ledger::Key;
use super::model::{Address, Instance, Route, SyncGroup, Track};
use super::source::Sources;
use super::tree::{Statement, each};
use super::values::interface;
use crate::cli::import::report::{Fate, Wrong};
use crate::settings::{is_unicast, shorten};

/// Most addresses, routes or rules of one instance.
const MAX_ELEMENTS: usize = 256;
/// What to do instead of watching a file.
pub const TRACK_FILE: &str =
    "no file is watched: what writes it can say `crosswire standby` and `crosswire online` instead";
/// What to do instead of watching a process.
pub const TRACK_PROCESS: &str = "no process is watched from outside: let the group start it, scripts = \
    [\"lsb:NAME\"] with monitor = \"10s\"";

/// Whose list it is.
pub enum Into<'a> {
    /// An instance's.
    Instance(&'a mut Instance),
    /// A sync group's.
    Group(&'a mut SyncGroup),
}

impl Into<'_> {
    fn tracks(&mut self) -> &mut Vec<Track> {
        match self {
            Self::Instance(instance) => &mut instance.tracks,
            Self::Group(group) => &mut group.tracks,
        }
    }

    fn checks(&mut self) -> &mut Vec<(String, Key)> {
        match self {
            Self::Instance(instance) => &mut instance.checks,
            Self::Group(group) => &mut group.checks,
        }
    }
}

/// Whether that is one of the lists.
pub fn is_list(word: &str) -> bool {
    word.starts_with("virtual_") && word != "virtual_router_id"
        || [
            "track_interface",
            "track_script",
            "track_file",
            "vrrp_track_file",
            "track_process",
            "vrrp_track_process",
        ]
        .contains(&word)
}

/// Reads one list.
pub fn read(statement: &Statement, sources: &mut Sources, into: &mut Into<'_>) -> Result<(), Wrong> {
    let word = statement.words[0].as_str();
    let head = match (word, &mut *into) {
        ("virtual_ipaddress", Into::Instance(_)) => "addresses, see each",
        ("virtual_ipaddress_excluded", Into::Instance(_)) => {
            "addresses like all others: no packet is too short for them"
        }
        ("virtual_routes", Into::Instance(_)) => "routes, see each",
        ("virtual_rules", Into::Instance(_)) => "rules, see each",
        ("track_interface" | "track_script" | "track_file" | "vrrp_track_file", _) => "see each",
        ("track_process" | "vrrp_track_process", _) => "see each",
        _ => {
            return Err((
                format!("\"{}\" is no keyword of keepalived 2.2 here", shorten(word)),
                "correct it, or remove it",
            ));
        }
    };
    match word {
        "track_file" | "vrrp_track_file" | "track_process" | "vrrp_track_process" => {
            sources.ledger.lost(statement.at, head);
        }
        _ => sources.ledger.taken(statement.at, head),
    }
    each(statement, sources, |inner, sources| match (word, &mut *into) {
        ("virtual_ipaddress" | "virtual_ipaddress_excluded", Into::Instance(instance)) => {
            bounded(instance.addresses.len(), word)?;
            instance.addresses.push(address(inner)?);
            Ok(())
        }
        ("virtual_routes", Into::Instance(instance)) => {
            bounded(instance.routes.len(), word)?;
            instance.routes.push(Route { at: inner.at, words: inner.words.clone() });
            Ok(())
        }
        ("virtual_rules", Into::Instance(instance)) => {
            bounded(instance.rules.len(), word)?;
            instance.rules.push(Route { at: inner.at, words: inner.words.clone() });
            Ok(())
        }
        ("track_interface", into) => {
            let interface = interface(&inner.words[0])?;
            let is_weighted = inner.words.iter().any(|word| word == "weight");
            into.tracks().push(Track { at: inner.at, interface, is_weighted });
            Ok(())
        }
        ("track_script", into) => {
            into.checks().push((inner.words[0].clone(), inner.at));
            Ok(())
        }
        (word, _) => {
            sources.ledger.lost(inner.at, if word.ends_with("file") { TRACK_FILE } else { TRACK_PROCESS });
            Ok(())
        }
    })
}

fn bounded(count: usize, word: &str) -> Result<(), Wrong> {
    if count == MAX_ELEMENTS {
        return Err((format!("more than {MAX_ELEMENTS} {word}"), "split the instance"));
    }
    Ok(())
}

/// `IP[/PREFIX] [dev IFACE] [label LABEL] [peer IP] ...`
fn address(statement: &Statement) -> Result<Address, Wrong> {
    let mut words = statement.words.iter().map(String::as_str);
    let first = words.next().unwrap_or_default();
    let bad = |what: &str| {
        (
            format!("\"{}\" {what}", shorten(first)),
            "write IP/PREFIX dev INTERFACE, as in 10.0.0.100/24 dev eth0",
        )
    };
    let (ip, prefix) = network(first).map_err(bad)?;
    if !is_unicast(ip) {
        return Err(bad("is not the address of one box"));
    }
    let (mut device, mut notes) = (None, Vec::new());
    let (mut label, mut peer, mut is_untracked, mut has_vmac) = (None, None, false, false);
    while let Some(word) = words.next() {
        let notes = std::cell::RefCell::new(&mut notes);
        let lost = |note: String| notes.borrow_mut().push(Fate::Lost(note));
        let idle = |note: String| notes.borrow_mut().push(Fate::Meaningless(note));
        let mut value =
            || words.next().ok_or_else(|| bad(&format!("ends with {word}, which lacks its value")));
        match word {
            "dev" => device = Some(interface(value()?)?),
            "label" => label = Some(value()?.to_string()),
            "brd" | "broadcast" => {
                idle(format!("broadcast {} is not set: nothing needs it", shorten(value()?)))
            }
            "scope" => {
                idle(format!("scope {} is left out: the kernel knows it by the address", shorten(value()?)))
            }
            "peer" => {
                let (other, _) = network(value()?).map_err(bad)?;
                peer = Some(other);
            }
            "track_group" | "preferred_lft" => lost(format!("{word} {} is left out", shorten(value()?))),
            "no_track" => is_untracked = true,
            "use_vmac" => has_vmac = true,
            "-nodad" | "nodad" => idle("nodad: it is probed before it is taken".to_string()),
            "noprefixroute" | "home" | "mngtmpaddr" => {
                idle(format!("{word} is left out: it is as the kernel has it"))
            }
            _ => return Err(bad(&format!("is followed by \"{}\", which is not read here", shorten(word)))),
        }
    }
    Ok(Address {
        at: statement.at,
        ip,
        prefix,
        interface: device,
        label,
        peer,
        is_untracked,
        has_vmac,
        notes,
    })
}

/// An address and its prefix length, which is that of a single one if nothing is said.
pub fn network(text: &str) -> Result<(IpAddr, u8), &'static str> {
    let (ip, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    let ip: IpAddr = ip.parse().map_err(|_| "is not an IP address")?;
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    match prefix {
        None => Ok((ip, longest)),
        Some(prefix) => {
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= longest);
            Ok((ip, prefix.ok_or("has a prefix length that cannot be")?))
        }
    }
}
