//! The lists of an instance or a sync group: addresses, routes, rules, and what is tracked.

use std::net::IpAddr;

use super::model::{Address, Instance, Route, SyncGroup, Track, Tracked};
use super::source::Sources;
use super::tree::{Statement, each};
use super::values::interface;
use crate::cli::import::report::{Fate, Wrong};
use crate::guard::kernel::addresses::broadcast_of;
use crate::settings::{is_unicast, shorten};

/// Most addresses, routes or rules of one instance.
const MAX_ELEMENTS: usize = 256;
/// What is said of an IPv6 address.
pub const NOTHING_LEAVES: &str =
    "the box sends nothing of its own accord from an IPv6 address that is served";
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

    fn checks(&mut self) -> &mut Vec<Tracked> {
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
            let is_excluded = word == "virtual_ipaddress_excluded";
            instance.addresses.push(Address { is_excluded, ..address(inner)? });
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
            let (weight, is_reverse) = weight(inner)?.unzip();
            into.tracks().push(Track {
                at: inner.at,
                interface,
                weight,
                is_reverse: is_reverse.unwrap_or(false),
            });
            Ok(())
        }
        ("track_script", into) => {
            let weight = weight(inner)?;
            let (is_weighted, is_reverse) =
                (Some(weight.is_some()), weight.is_some_and(|(_, is_reverse)| is_reverse));
            let is_weighted = is_weighted.filter(|_| inner.words.len() > 1);
            into.checks().push(Tracked {
                at: inner.at,
                name: inner.words[0].clone(),
                is_weighted,
                is_reverse,
            });
            Ok(())
        }
        (word, _) => {
            sources.ledger.lost(inner.at, if word.ends_with("file") { TRACK_FILE } else { TRACK_PROCESS });
            Ok(())
        }
    })
}

/// Of `NAME [weight NUMBER [reverse]]`: a weight that is not 0, and whether it counts the other way round.
fn weight(statement: &Statement) -> Result<Option<(i16, bool)>, Wrong> {
    let words: Vec<&str> = statement.words.iter().skip(1).map(String::as_str).collect();
    let (number, is_reverse) = match words[..] {
        [] => return Ok(None),
        ["weight", number] => (number.parse().ok(), false),
        ["weight", number, way @ ("reverse" | "noreverse")] => (number.parse().ok(), way == "reverse"),
        _ => (None, false),
    };
    let number: i16 = number.ok_or_else(|| {
        let [name, more] = [&statement.words[0], &words.join(" ")].map(|text| shorten(text));
        (
            format!("behind \"{name}\" stands \"{more}\""),
            "write each name on a line of its own; weight NUMBER may follow",
        )
    })?;
    Ok(Some((number, is_reverse)).filter(|_| number != 0))
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
    let (ip, mut prefix) = network(first).map_err(bad)?;
    if !is_unicast(ip) {
        return Err(bad("is not the address of one box"));
    }
    let (mut device, mut notes) = (None, Vec::new());
    let (mut label, mut peer, mut is_untracked, mut has_vmac) = (None, None, false, false);
    while let Some(word) = words.next() {
        let mut value =
            || words.next().ok_or_else(|| bad(&format!("ends with {word}, which lacks its value")));
        match word {
            "dev" => device = Some(interface(value()?)?),
            "label" => label = Some(value()?.to_string()),
            "brd" | "broadcast" => notes.push(broadcast(value()?, ip, prefix)),
            "scope" => notes.push(scope(value()?, ip)),
            "preferred_lft" => notes.push(preferred(value()?, ip)),
            // keepalived takes no prefix beside it: there is one address at each end.
            "peer" => {
                let (other, longest) = network(value()?).map_err(bad)?;
                if prefix != longest {
                    let note = format!("/{prefix} is left out: with a peer keepalived has /{longest}");
                    notes.push(Fate::Meaningless(note));
                    prefix = longest;
                }
                peer = Some(other);
            }
            "no_track" => is_untracked = true,
            "use_vmac" => has_vmac = true,
            "-nodad" | "nodad" => {
                notes.push(Fate::Meaningless(format!("{word}: it is probed before it is taken")));
            }
            "noprefixroute" => {
                let why = "noprefixroute is left out: the network of an address gets its route";
                notes.push(Fate::Lost(why.to_string()));
            }
            "home" | "mngtmpaddr" | "autojoin" => notes.push(Fate::Lost(format!("{word} is left out"))),
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
        is_excluded: false,
        is_untracked,
        has_vmac,
        notes,
    })
}

/// Every IPv4 address gets the broadcast address of its network.
fn broadcast(value: &str, ip: IpAddr, prefix: u8) -> Fate {
    let own = match ip {
        IpAddr::V4(ip) => broadcast_of(ip, prefix),
        IpAddr::V6(_) => None,
    };
    if own.is_some_and(|own| value == "+" || value.parse() == Ok(own)) {
        return Fate::Taken(format!("broadcast {value}: every address has the one of its network"));
    }
    let value = shorten(value);
    Fate::Lost(format!("broadcast {value} is left out: every address has the one of its network, if any"))
}

fn scope(value: &str, ip: IpAddr) -> Fate {
    let value = shorten(value);
    match (ip, value.as_str()) {
        (IpAddr::V4(_), "global" | "universe" | "0") => Fate::Taken(format!("scope {value}")),
        (IpAddr::V4(_), _) => {
            Fate::Lost(format!("scope {value} is left out: an address has scope global here"))
        }
        (IpAddr::V6(_), _) => Fate::Meaningless(format!("scope {value}: the kernel knows it by the address")),
    }
}

/// An IPv6 address is deprecated from the start; for an IPv4 address the kernel does not ask.
fn preferred(value: &str, ip: IpAddr) -> Fate {
    let value = shorten(value);
    match (ip, value.as_str()) {
        (IpAddr::V6(_), "0") => Fate::Taken(format!("preferred_lft 0: {NOTHING_LEAVES}")),
        (IpAddr::V6(_), _) => Fate::Lost(format!("preferred_lft {value} is left out: {NOTHING_LEAVES}")),
        (IpAddr::V4(_), _) => Fate::Meaningless(format!("preferred_lft {value}: IPv4 does not heed it")),
    }
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
