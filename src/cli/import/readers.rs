//! One reader for each directive that is taken over or needs a closer look.

use std::net::IpAddr;

use crosswire::config::MAX_PATHS;
use crosswire::time::Span;

use super::draft::{Draft, Fence, set};
use super::report::{Fate, Named, Reading, Time, Wrong};
use crate::settings::{is_interface, is_name, is_unicast, parse_span, shorten};

/// Speeds that Heartbeat takes and a UART of ours does too.
const BAUDS: [u32; 7] = [9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800];
const PORTS: &str = "write a port from 1 to 65535";
const INTERFACE: &str = "name an interface as `ip link` shows it";
/// Programs that Heartbeat starts beside itself, and what does their work here.
const CLIENTS: [(&str, &str); 6] = [
    ("ipfail", "built in: a node that sees fewer witnesses, or whose link is down, hands over by cable"),
    ("pingd", "built in: a node that sees fewer witnesses, or whose link is down, hands over by cable"),
    ("dopd", "a fence: DRBD asks for one by its own handlers, and waits for it"),
    ("ccm", "built in: two nodes need no membership service"),
    ("apphbd", "two processes that watch each other, and the watchdog"),
    ("hbagent", "`crosswire status --json`"),
];

fn wrong<T>(what: &str, value: &str, remedy: &'static str) -> Result<T, Wrong> {
    Err((format!("{what} \"{}\"", shorten(value)), remedy))
}

/// The last of several values, which is the one that Heartbeat keeps.
fn one<'w>(words: &[&'w str]) -> Result<&'w str, Wrong> {
    words
        .last()
        .copied()
        .ok_or_else(|| ("a directive without a value".to_string(), "add it, or remove the line"))
}

fn all<'s, 'w>(words: &'s [&'w str]) -> Result<&'s [&'w str], Wrong> {
    one(words).map(|_| words)
}

/// Heartbeat's times: seconds, unless a unit follows, whose first letters count.
fn span(words: &[&str]) -> Result<Span, Wrong> {
    let word = one(words)?;
    let at = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
    let (number, unit) = word.split_at(at);
    let unit = unit.to_ascii_lowercase();
    let units = [("ms", "ms", 1), ("us", "ms", 1_000), ("s", "s", 1), ("m", "m", 1), ("h", "h", 1)];
    let known = units.iter().find(|(start, ..)| unit.starts_with(start));
    let (unit, part) = match known {
        Some((_, unit, part)) => (*unit, *part),
        None => (if unit.is_empty() { "s" } else { "" }, 1),
    };
    match parse_span(&format!("0{number}{unit}")) {
        Some(span) if span > Span::ZERO => Ok(span.fraction(1, part)),
        Some(_) | None => {
            wrong("not a length of time:", word, "write seconds, or a number with ms, as in 500ms")
        }
    }
}

pub fn keepalive(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    Ok(set(draft, Time::Interval, span(words)?))
}

pub fn warntime(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    Ok(set(draft, Time::LateAfter, span(words)?))
}

pub fn deadtime(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    Ok(set(draft, Time::DeadAfter, span(words)?))
}

pub fn initdead(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    Ok(set(draft, Time::ColdStart, span(words)?))
}

/// Heartbeat folds node names to small letters.
pub fn node(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let mut said = Vec::new();
    for name in all(words)? {
        if !is_name(name) {
            return wrong("not the name of a node:", name, "use its `uname -n`");
        }
        let folded = name.to_ascii_lowercase();
        said.push(format!("[node.\"{folded}\"]{}", if folded == *name { "" } else { " in small letters" }));
        if draft.nodes.contains(&folded) {
            continue;
        }
        if draft.nodes.len() == 2 {
            return wrong(
                "one node too many:",
                name,
                "a pair has two: leave the other ones out, or keep Heartbeat",
            );
        }
        draft.nodes.push(folded);
    }
    Ok(Fate::Taken(said.join(", ")).into())
}

pub fn autojoin(_: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    Ok(Reading::Known(match one(words)? {
        "none" => Fate::Taken("exactly two nodes".to_string()),
        _ => Fate::Lost("a pair has two nodes, both by name".to_string()),
    }))
}

pub fn cluster(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let name = one(words)?;
    if !is_name(name) {
        return wrong("not a name:", name, "use letters, digits, dot, dash");
    }
    draft.pair = Some(name.to_string());
    draft.setting = Some("cluster".to_string());
    Ok(Fate::Taken(format!("pair = \"{name}\"")).into())
}

pub fn baud(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let word = one(words)?;
    let baud = word.parse().ok().filter(|baud| BAUDS.contains(baud));
    let Some(baud) = baud else { return wrong("not a speed:", word, "write 9600, 19200, 38400 or more") };
    if draft.serials.is_empty() {
        draft.baud = Some((baud, draft.place.line));
    }
    Ok(Reading::Baud(baud))
}

pub fn serial(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    for device in all(words)? {
        if !device.starts_with('/') {
            return wrong("not a serial port:", device, "write its full path, as in /dev/ttyS0");
        }
        if !draft.serials.iter().any(|known| known == device) {
            draft.serials.push((*device).to_string());
        }
    }
    room(draft)?;
    Ok(Fate::Taken("[serial]".to_string()).into())
}

fn room(draft: &Draft) -> Result<(), Wrong> {
    if draft.serials.len() + draft.lans.len() > MAX_PATHS {
        return Err((
            format!("more than {MAX_PATHS} paths"),
            "keep the best: one cable and one LAN are enough",
        ));
    }
    Ok(())
}

fn port(word: &str) -> Result<u16, Wrong> {
    match word.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => wrong("not a UDP port:", word, PORTS),
    }
}

pub fn udpport(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let port = port(one(words)?)?;
    draft.port = Some((port, draft.place.line));
    Ok(Reading::Port(port))
}

fn checked_interface(word: &str) -> Result<&str, Wrong> {
    if is_interface(word) { Ok(word) } else { wrong("not an interface:", word, INTERFACE) }
}

pub fn bcast(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let mut lans = Vec::new();
    for word in all(words)? {
        lans.push(draft.lan(checked_interface(word)?, "bcast", None));
    }
    room(draft)?;
    Ok(Reading::Media(lans, "the rest of the LAN need not hear it"))
}

pub fn mcast(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let Some((interface, more)) = words.split_first() else {
        return one(words).map(|_| Reading::Media(Vec::new(), ""));
    };
    let own = more.get(1).map(|word| port(word)).transpose()?;
    let lan = draft.lan(checked_interface(interface)?, "mcast", own);
    room(draft)?;
    Ok(Reading::Media(vec![lan], "no switch needs to know a group"))
}

pub fn ucast(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let [interface, word, ..] = words else {
        return Err(("ucast needs an interface and an address".to_string(), "write ucast eth0 10.0.0.2"));
    };
    let named = address(draft, word)?;
    let kind = if named.ip.is_ipv4() { "ucast" } else { "ucast6" };
    let number = draft.lan(checked_interface(interface)?, kind, None);
    let lan = &mut draft.lans[number];
    if !lan.ips.contains(&named.ip) {
        lan.ips.push(named.ip);
    }
    room(draft)?;
    Ok(Reading::Unicast(number, named))
}

/// An address in figures, or what a name resolves to now.
fn address(draft: &Draft, word: &str) -> Result<Named, Wrong> {
    const REMEDY: &str = "write it in figures, as in 10.0.0.254";
    if let Ok(ip) = word.parse::<IpAddr>() {
        return if is_unicast(ip) {
            Ok(Named { ip, name: None })
        } else {
            wrong("not the address of one box:", word, REMEDY)
        };
    }
    match draft.names.of(word).filter(|_| is_name(word)) {
        Some(ip) => Ok(Named { ip, name: Some(word.to_string()) }),
        None => wrong("neither an address nor a name that this box can resolve:", word, REMEDY),
    }
}

fn flag(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "on" | "yes" | "y" | "true" | "1" => Some(true),
        "off" | "no" | "n" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn fail_back(draft: &mut Draft, is_automatic: bool) -> Reading {
    draft.failback = if is_automatic { "immediate" } else { "manual" };
    draft.setting = Some("failback".to_string());
    Fate::Taken(format!("failback = \"{}\" of every group", draft.failback)).into()
}

pub fn auto_failback(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    match one(words)? {
        word if word.eq_ignore_ascii_case("legacy") => Ok(fail_back(draft, true)),
        word => match flag(word) {
            Some(is_automatic) => Ok(fail_back(draft, is_automatic)),
            None => wrong("not a way to fail back:", word, "write on, off or legacy"),
        },
    }
}

pub fn nice_failback(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let word = one(words)?;
    match flag(word) {
        Some(is_nice) => Ok(fail_back(draft, !is_nice)),
        None => wrong("not a way to fail back:", word, "write on or off"),
    }
}

fn witnesses(draft: &mut Draft, words: &[&str], is_group: bool) -> Result<Reading, Wrong> {
    let mut named = Vec::new();
    for word in all(words)? {
        named.push(address(draft, word)?);
    }
    for one in &named {
        if draft.witnesses.iter().all(|known| known.ip != one.ip) {
            draft.witnesses.push(one.clone());
        }
    }
    Ok(Reading::Witnesses(named, is_group))
}

pub fn ping(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    witnesses(draft, words, false)
}

pub fn ping_group(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    witnesses(draft, words.get(1..).unwrap_or_default(), true)
}

pub fn respawn(_: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let program =
        words.get(1).ok_or(("respawn needs a user and a program".to_string(), "complete the line"))?;
    let name = program.rsplit('/').next().unwrap_or_default();
    Ok(Reading::Known(match CLIENTS.iter().find(|(client, _)| *client == name) {
        Some((_, instead)) => Fate::Replaced((*instead).to_string()),
        None => Fate::Lost(
            "nothing is started beside the daemon: let init do it, or a group with \"exec:\"".to_string(),
        ),
    }))
}

/// With Pacemaker Heartbeat does not look at haresources.
pub fn pacemaker(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    if flag(one(words)?) == Some(false) {
        return Ok(Fate::Taken("haresources says what is served".to_string()).into());
    }
    draft.is_elsewhere = true;
    Err((
        "Pacemaker decides what is served, and keeps it in its own data, which cannot be read here"
            .to_string(),
        "write what `crm configure show` or `pcs config` lists into haresources, a line for each group, and \
            turn this off",
    ))
}

pub fn watchdog(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let device = one(words)?;
    if !device.starts_with('/') {
        return Err((format!("not a watchdog: \"{device}\""), "write its full path, as in /dev/watchdog"));
    }
    draft.watchdog = Some(device.to_string());
    draft.setting = Some("watchdog".to_string());
    Ok(Fate::Taken("[watchdog]; its driver, or softdog, must be loaded first".to_string()).into())
}

pub fn stonith(_: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    one(words)?;
    let why =
        "the device's parameters are in a file of its own: write them into [fence], and safety = \"fence\"";
    Ok(Fate::Lost(why.to_string()).into())
}

/// Most fences of a configuration; the others stay comments.
const MAX_FENCES: usize = 4;
/// Devices of cluster-glue that a fence agent of today knows too: the type, the agent, and what its
/// parameters are called there, in their order; one without a name is a password, or tells one outlet from
/// the other.
const AGENTS: [(&str, &str, &[&str]); 6] = [
    ("apcmaster", "fence_apc", &["ip", "username", ""]),
    ("apcmastersnmp", "fence_apc_snmp", &["ip", "udpport", ""]),
    ("drac3", "fence_drac", &["ip", "username", ""]),
    ("external/ipmi", "fence_ipmilan", &["", "ip", "username", ""]),
    ("external/rackpdu", "fence_apc_snmp", &["", "ip", ""]),
    ("wti_nps", "fence_wti", &["ip", ""]),
];

/// The parameters may hold a password, which is never written or shown.
pub fn stonith_host(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let [from, device, parameters @ ..] = words else {
        return Err(("stonith_host needs a node and a type of device".to_string(), "complete the line"));
    };
    let whence = format!("{device}, reached from {from}; its parameters are in {}", draft.place);
    let agent = AGENTS.iter().find(|(name, ..)| name == device);
    let named = agent.map(|(_, _, names)| names.iter().zip(parameters)).into_iter().flatten();
    let options =
        named.filter(|(name, _)| !name.is_empty()).map(|(name, value)| format!("{name}={value}")).collect();
    let last = "then set safety = \"fence\"";
    let plug = "its password, and [node.NAME] fence = [\"plug=N\"]";
    let (known, remark, said) = match (agent, device.strip_prefix("external/")) {
        (Some((_, agent, _)), _) => (
            Some(("exec", format!("/usr/sbin/{agent}"))),
            format!("A fence: {whence}. Add {plug}"),
            format!("[fence] by {agent}, without secrets: add {plug}, {last}"),
        ),
        (None, Some(plugin)) if is_name(plugin) => (
            Some(("stonith", format!("/usr/lib/stonith/plugins/external/{plugin}"))),
            format!("A fence: {whence}. Add them by name, see `crosswire fence --test`"),
            format!("[fence] by the same plugin: add its options by name, {last}"),
        ),
        (None, _) => (
            None,
            format!("A fence: {whence}"),
            format!("[fence], as a comment: name its program and options, {last}"),
        ),
    };
    let is_one_too_many = draft.fences.iter().filter(|fence| fence.known.is_some()).count() == MAX_FENCES;
    let known = known.filter(|_| !is_one_too_many);
    draft.fences.push(Fence { remark, known, options });
    Ok(Fate::Replaced(said).into())
}
