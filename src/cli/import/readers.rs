//! One reader for each directive that is taken over or needs a closer look.

use std::net::IpAddr;

use crosswire::config::{MAX_PATHS, MAX_WITNESSES};
use crosswire::time::Span;

use super::draft::{Draft, Fence, set};
use super::report::{Fate, Time, Wrong};
use crate::settings::{is_interface, is_name, is_unicast, parse_span, shorten, why_no_witness};

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

fn one<'w>(words: &[&'w str]) -> Result<&'w str, Wrong> {
    match words {
        [] => Err(("a directive without a value".to_string(), "add it, or remove the line")),
        [word, ..] => Ok(word),
    }
}

fn all<'s, 'w>(words: &'s [&'w str]) -> Result<&'s [&'w str], Wrong> {
    one(words).map(|_| words)
}

/// Heartbeat's times: seconds, unless a unit follows.
fn span(words: &[&str]) -> Result<Span, Wrong> {
    let word = one(words)?;
    let at = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
    let (number, unit) = word.split_at(at);
    let (unit, part) = match unit {
        "" | "s" | "sec" => ("s", 1),
        "ms" | "msec" => ("ms", 1),
        "us" | "usec" => ("ms", 1_000),
        "m" | "min" => ("m", 1),
        _ => ("", 1),
    };
    match parse_span(&format!("{number}{unit}")) {
        Some(span) if span > Span::ZERO => Ok(span.fraction(1, part)),
        Some(_) | None => wrong("not a length of time:", word, "write seconds, or a number with ms, as in 500ms"),
    }
}

pub fn keepalive(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    Ok(set(draft, Time::Interval, span(words)?))
}

pub fn warntime(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    Ok(set(draft, Time::LateAfter, span(words)?))
}

pub fn deadtime(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    Ok(set(draft, Time::DeadAfter, span(words)?))
}

pub fn initdead(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    Ok(set(draft, Time::ColdStart, span(words)?))
}

pub fn node(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    for name in all(words)? {
        if !is_name(name) {
            return wrong("not the name of a node:", name, "use its `uname -n`");
        }
        if draft.nodes.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        if draft.nodes.len() == 2 {
            return wrong("one node too many:", name, "a pair has two: leave the other ones out, or keep Heartbeat");
        }
        draft.nodes.push((*name).to_string());
    }
    Ok(Fate::Taken("[node.NAME]".to_string()))
}

pub fn autojoin(_: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    Ok(match one(words)? {
        "none" => Fate::Taken("exactly two nodes".to_string()),
        _ => Fate::Lost("a pair has two nodes, both by name".to_string()),
    })
}

pub fn cluster(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let name = one(words)?;
    if !is_name(name) {
        return wrong("not a name:", name, "use letters, digits, dot, dash");
    }
    draft.pair = Some(name.to_string());
    Ok(Fate::Taken(format!("pair = \"{name}\"")))
}

pub fn baud(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let word = one(words)?;
    let baud = word.parse().ok().filter(|baud| BAUDS.contains(baud));
    let Some(baud) = baud else { return wrong("not a speed:", word, "write 9600, 19200, 38400 or more") };
    draft.baud = Some(baud);
    Ok(Fate::Taken(format!("baud = {baud}")))
}

pub fn serial(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    for device in all(words)? {
        if !device.starts_with('/') {
            return wrong("not a serial port:", device, "write its full path, as in /dev/ttyS0");
        }
        if !draft.serials.iter().any(|known| known == device) {
            draft.serials.push((*device).to_string());
        }
    }
    room(draft)?;
    Ok(Fate::Taken("[serial]".to_string()))
}

fn room(draft: &Draft) -> Result<(), Wrong> {
    if draft.serials.len() + draft.lans.len() > MAX_PATHS {
        return Err((format!("more than {MAX_PATHS} paths"), "keep the best: one cable and one LAN are enough"));
    }
    Ok(())
}

fn port(word: &str) -> Result<u16, Wrong> {
    match word.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => wrong("not a UDP port:", word, PORTS),
    }
}

pub fn udpport(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let port = port(one(words)?)?;
    draft.port = Some(port);
    Ok(Fate::Taken(format!("port = {port}")))
}

fn checked_interface(word: &str) -> Result<&str, Wrong> {
    if is_interface(word) { Ok(word) } else { wrong("not an interface:", word, INTERFACE) }
}

pub fn bcast(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let port = draft.port;
    for word in all(words)? {
        draft.lan(checked_interface(word)?, port);
    }
    room(draft)?;
    Ok(Fate::Replaced("[lan], from node to node: the rest of the LAN need not hear it".to_string()))
}

pub fn mcast(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let interface = checked_interface(one(words)?)?;
    let port = words.get(2).map(|word| port(word)).transpose()?.or(draft.port);
    draft.lan(interface, port);
    room(draft)?;
    Ok(Fate::Replaced("[lan], from node to node: no switch needs to know a group".to_string()))
}

pub fn ucast(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let [interface, ip, ..] = words else {
        return Err(("ucast needs an interface and an address".to_string(), "write ucast eth0 10.0.0.2"));
    };
    let ip = address(ip)?;
    let port = draft.port;
    let (lan, _) = draft.lan(checked_interface(interface)?, port);
    if !lan.ips.contains(&ip) {
        lan.ips.push(ip);
    }
    room(draft)?;
    Ok(Fate::Taken(format!("[lan] on {interface}, and {ip} for the node that has it")))
}

fn address(word: &str) -> Result<IpAddr, Wrong> {
    match word.parse::<IpAddr>() {
        Ok(ip) if is_unicast(ip) => Ok(ip),
        _ => wrong("not the address of one box:", word, "write it in figures, as in 10.0.0.254"),
    }
}

fn flag(word: &str) -> Option<bool> {
    match word {
        "on" | "yes" | "y" | "true" | "1" => Some(true),
        "off" | "no" | "n" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn fail_back(draft: &mut Draft, is_automatic: bool) -> Fate {
    draft.failback = if is_automatic { "immediate" } else { "manual" };
    Fate::Taken(format!("failback = \"{}\" of every group", draft.failback))
}

pub fn auto_failback(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    match one(words)? {
        "legacy" => Ok(fail_back(draft, true)),
        word => match flag(word) {
            Some(is_automatic) => Ok(fail_back(draft, is_automatic)),
            None => wrong("not a way to fail back:", word, "write on, off or legacy"),
        },
    }
}

pub fn nice_failback(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let word = one(words)?;
    match flag(word) {
        Some(is_nice) => Ok(fail_back(draft, !is_nice)),
        None => wrong("not a way to fail back:", word, "write on or off"),
    }
}

fn witness(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let mut left_out = Vec::new();
    for word in all(words)? {
        let ip = address(word)?;
        if let Some(why) = why_no_witness(ip, &[]) {
            return Err((format!("{ip} {why}"), "ping the address of a box that is neither of the two nodes"));
        }
        if draft.witnesses.contains(&ip) {
            continue;
        }
        if draft.witnesses.len() < MAX_WITNESSES { draft.witnesses.push(ip) } else { left_out.push(*word) }
    }
    Ok(match left_out.as_slice() {
        [] => Fate::Taken("witness; from now on it also decides when silence proves nothing".to_string()),
        words => Fate::Lost(format!("{MAX_WITNESSES} witnesses are the most; left out: {}", words.join(" "))),
    })
}

pub fn ping(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    witness(draft, words)
}

pub fn ping_group(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let (_, members) = words.split_first().unwrap_or((&"", &[]));
    witness(draft, members).map(|fate| match fate {
        Fate::Taken(_) => {
            Fate::Replaced("a witness for each member, and the node that sees more is better off".to_string())
        }
        other => other,
    })
}

pub fn respawn(_: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let program = words.get(1).ok_or(("respawn needs a user and a program".to_string(), "complete the line"))?;
    let name = program.rsplit('/').next().unwrap_or_default();
    Ok(match CLIENTS.iter().find(|(client, _)| *client == name) {
        Some((_, instead)) => Fate::Replaced((*instead).to_string()),
        None => {
            Fate::Lost("nothing is started beside the daemon: let init do it, or a group with \"exec:\"".to_string())
        }
    })
}

pub fn pacemaker(_: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    Ok(match flag(one(words)?) {
        Some(false) => Fate::Taken("haresources says what is served".to_string()),
        Some(true) | None => {
            Fate::Lost("Pacemaker's resources are not in these files; name them in haresources first".to_string())
        }
    })
}

pub fn watchdog(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let device = one(words)?;
    if !device.starts_with('/') {
        return Err((format!("not a watchdog: \"{device}\""), "write its full path, as in /dev/watchdog"));
    }
    draft.watchdog = Some(device.to_string());
    Ok(Fate::Taken("[watchdog]; its driver, or softdog, must be loaded first".to_string()))
}

pub fn stonith(_: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    one(words)?;
    Ok(Fate::Lost(
        "the device's parameters are in a file of its own: write them into [fence], and safety = \"fence\"".to_string(),
    ))
}

/// Most fences of a configuration; the others stay comments.
const MAX_FENCES: usize = 4;
/// Devices of cluster-glue that a fence agent of today knows too: the type, the agent, and what its parameters are called
/// there, in their order; one without a name is a password, or tells one outlet from the other.
const AGENTS: [(&str, &str, &[&str]); 6] = [
    ("apcmaster", "fence_apc", &["ip", "username", ""]),
    ("apcmastersnmp", "fence_apc_snmp", &["ip", "udpport", ""]),
    ("drac3", "fence_drac", &["ip", "username", ""]),
    ("external/ipmi", "fence_ipmilan", &["", "ip", "username", ""]),
    ("external/rackpdu", "fence_apc_snmp", &["", "ip", ""]),
    ("wti_nps", "fence_wti", &["ip", ""]),
];

/// Its parameters may hold a password: that goes nowhere.
pub fn stonith_host(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let [from, device, parameters @ ..] = words else {
        return Err(("stonith_host needs a node and a type of device".to_string(), "complete the line"));
    };
    let whence = format!("{device}, reached from {from}; its parameters are in {}", draft.place);
    let agent = AGENTS.iter().find(|(name, ..)| name == device);
    let named = agent.map(|(_, _, names)| names.iter().zip(parameters)).into_iter().flatten();
    let options = named.filter(|(name, _)| !name.is_empty()).map(|(name, value)| format!("{name}={value}")).collect();
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
        (None, _) => {
            (None, format!("A fence: {whence}"), format!("[fence], as a comment: name its program and options, {last}"))
        }
    };
    let is_one_too_many = draft.fences.iter().filter(|fence| fence.known.is_some()).count() == MAX_FENCES;
    let known = known.filter(|_| !is_one_too_many);
    draft.fences.push(Fence { remark, known, options });
    Ok(Fate::Replaced(said))
}
