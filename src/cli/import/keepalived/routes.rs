//! Routes and policy rules in our notation.

use std::net::IpAddr;

use super::groups::{Vip, is_in};
use super::lists::network;
use super::model::Route;
use crate::cli::import::report::Fate;
use crate::settings::routes::{TABLES, USUAL_PRIORITY};
use crate::settings::shorten;

/// A route or a rule that can be written.
pub struct Converted {
    /// In our notation.
    pub text: String,
    /// What is said behind it.
    pub aside: String,
    /// What has to be said of what else it says.
    pub notes: Vec<Fate>,
}

/// The route in our notation, as `default via 10.0.0.254 metric 5`, or why it cannot be written. `renamed`
/// are interfaces as the first node calls them, and as this one does.
pub fn convert(route: &Route, addresses: &[Vip], renamed: &[[String; 2]]) -> Result<Converted, String> {
    let (mut to, mut via, mut src, mut metric, mut device, mut table) = (None, None, None, None, None, None);
    let mut notes = Vec::new();
    let mut words = route.words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} lacks its value"));
        match word {
            "to" => to = Some(value()?),
            "via" | "gw" => via = Some(value()?),
            "src" => src = Some(value()?),
            "dev" | "oif" => device = Some(first_name(value()?, renamed)),
            "metric" | "priority" | "preference" => metric = Some(value()?),
            "table" => table = Some(table_of(value()?)?).filter(|table| !matches!(*table, "main" | "254")),
            "blackhole" | "unreachable" | "prohibit" | "throw" => {
                return Err(format!("there are no {word} routes here"));
            }
            "scope" => match value()? {
                "global" | "universe" | "0" => {}
                other => return Err(format!("routes have no scope {} here", shorten(other))),
            },
            "proto" | "protocol" => notes.push(own_protocol(value()?)),
            "no_track" => notes.push(untracked()),
            "inet" | "inet6" | "unicast" => {}
            word if to.is_none() && (network(word).is_ok() || is_everything(word)) => to = Some(word),
            word => return Err(format!("routes have no {} here", shorten(word))),
        }
    }
    let to = to.ok_or("it names no network")?;
    let via = via.ok_or("a route needs a gateway here")?;
    let to = match is_everything(to) {
        true => "default".to_string(),
        false => network(to)
            .map(|(ip, prefix)| format!("{ip}/{prefix}"))
            .map_err(|why| format!("{} {why}", shorten(to)))?,
    };
    let gateway: IpAddr = via.parse().map_err(|_| format!("{} is not an IP address", shorten(via)))?;
    let is_there = |vip: &&Vip| device.is_none_or(|device| device == vip.interface);
    let anchor = addresses.iter().filter(is_there).find(|vip| is_in(gateway, vip)).map(|vip| vip.ip);
    // What is sent to the world does not come from a link-local address.
    let is_of_link = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let is_global = |ip: &IpAddr| ip.is_ipv6() && !is_of_link(*ip);
    let global = addresses.iter().filter(is_there).map(|vip| vip.ip).find(is_global);
    let usual = global.filter(|_| is_of_link(gateway)).map(|ip| ip.to_string());
    let from = usual.clone().or(anchor.map(|ip| ip.to_string())).filter(|_| src.is_none());
    let aside =
        from.map(|ip| format!("; what the box itself sends by it comes from {ip}")).unwrap_or_default();
    let src = src.or(usual.as_deref());
    // The interface tells only where several addresses might reach the gateway.
    let mut interfaces: Vec<&str> = addresses
        .iter()
        .filter(|vip| vip.ip.is_ipv4() == gateway.is_ipv4())
        .map(|vip| vip.interface.as_str())
        .collect();
    interfaces.sort_unstable();
    interfaces.dedup();
    let device = device.filter(|_| interfaces.len() > 1);
    let more = [("dev", device), ("src", src), ("metric", metric), ("table", table)]
        .into_iter()
        .filter_map(|(word, value)| Some(format!(" {word} {}", value?)));
    Ok(Converted { text: format!("{to} via {via}{}", more.collect::<String>()), aside, notes })
}

/// How the first node calls an interface.
fn first_name<'a>(name: &'a str, renamed: &'a [[String; 2]]) -> &'a str {
    renamed.iter().find(|[_, own]| own == name).map_or(name, |[first, _]| first)
}

fn is_everything(word: &str) -> bool {
    matches!(word, "default" | "default6" | "0.0.0.0/0" | "::/0" | "0/0")
}

fn own_protocol(value: &str) -> Fate {
    Fate::Meaningless(format!(
        "protocol {}: it has one of its own, by which it is known again",
        shorten(value)
    ))
}

fn untracked() -> Fate {
    Fate::Meaningless("no_track: no route or rule that is lost moves a group here".to_string())
}

/// A table as it can be written: other names stand in a file of this box.
fn table_of(name: &str) -> Result<&str, String> {
    if TABLES.iter().any(|(known, _)| *known == name) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(name);
    }
    Err(format!(
        "table {} is a name of /etc/iproute2/rt_tables, and only its number is read here",
        shorten(name)
    ))
}

/// The rule in our notation, as `from 10.0.0.1/32 priority 5 table 7`, or why it cannot be written.
pub fn convert_rule(rule: &Route, renamed: &[[String; 2]]) -> Result<Converted, String> {
    let (mut text, mut notes, mut has_priority) = (String::new(), Vec::new(), false);
    let mut words = rule.words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} lacks its value"));
        let ours = match word {
            "from" | "to" => {
                let place = value()?;
                if matches!(place, "all" | "any" | "default" | "0/0") {
                    continue;
                }
                let network = network(place).map_err(|why| format!("{} {why}", shorten(place)))?;
                text += &format!("{word} {}/{} ", network.0, network.1);
                continue;
            }
            "iif" | "dev" => {
                text += &format!("iif {} ", first_name(value()?, renamed));
                continue;
            }
            "fwmark" => "fwmark",
            "priority" | "preference" | "pref" | "order" => {
                has_priority = true;
                "priority"
            }
            "table" | "lookup" => {
                text += &format!("table {} ", table_of(value()?)?);
                continue;
            }
            "protocol" | "proto" => {
                notes.push(own_protocol(value()?));
                continue;
            }
            "inet" | "inet6" => {
                text.insert_str(0, &format!("{word} "));
                continue;
            }
            "no_track" => {
                notes.push(untracked());
                continue;
            }
            word => return Err(format!("rules have no {} here", shorten(word))),
        };
        text += &format!("{ours} {} ", value()?);
    }
    let aside = match has_priority {
        true => String::new(),
        false => format!(", of priority {USUAL_PRIORITY}: add one where the order of rules matters"),
    };
    Ok(Converted { text: text.trim_end().to_string(), aside, notes })
}

/// What to do about a route that cannot be written, or about a rule.
pub fn lost_route(why: &str, command: &str) -> String {
    let add = if command == "rule" { "add" } else { "replace" };
    format!(
        "{why}: put `ip {command} {add}` and `ip {command} del` with it into a script, scripts = \
         [\"exec:/PATH\"], called with start and stop"
    )
}
