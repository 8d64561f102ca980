//! Routes and policy rules in our notation.

use std::net::IpAddr;

use super::groups::{Vip, is_in};
use super::lists::network;
use super::model::Route;
use crate::settings::shorten;

/// The route in our notation, as `default via 10.0.0.254 metric 5`, or why it cannot be written.
pub fn convert(route: &Route, addresses: &[Vip]) -> Result<String, String> {
    let (mut to, mut via, mut src, mut metric, mut device, mut table) = (None, None, None, None, None, None);
    let mut words = route.words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} lacks its value"));
        match word {
            "to" => to = Some(value()?),
            "via" | "gw" | "gateway" => via = Some(value()?),
            "src" | "from" => src = Some(value()?),
            "dev" | "oif" => device = Some(value()?),
            "metric" | "priority" | "preference" => metric = Some(value()?),
            "table" => table = Some(value()?).filter(|table| !matches!(*table, "main" | "254")),
            "blackhole" | "unreachable" | "prohibit" | "throw" => {
                return Err(format!("there are no {word} routes here"));
            }
            "scope" | "proto" | "protocol" => drop(value()?),
            "inet" | "inet6" | "no_track" => {}
            word if to.is_none() => to = Some(word),
            word => return Err(format!("routes have no {} here", shorten(word))),
        }
    }
    let to = to.ok_or("it names no network")?;
    let via = via.ok_or("a route needs a gateway here")?;
    let is_all = matches!(to, "default" | "default6" | "0.0.0.0/0" | "::/0" | "0/0");
    let to = match is_all {
        true => "default".to_string(),
        false => network(to)
            .map(|(ip, prefix)| format!("{ip}/{prefix}"))
            .map_err(|why| format!("{} {why}", shorten(to)))?,
    };
    let gateway: IpAddr = via.parse().map_err(|_| format!("{} is not an IP address", shorten(via)))?;
    if let Some(device) = device {
        let by = addresses.iter().filter(|vip| is_in(gateway, vip) || vip.prefix == longest(vip.ip));
        if by.clone().next().is_some() && by.clone().all(|vip| vip.interface != device) {
            return Err(format!("its gateway is reached by another interface than {}", shorten(device)));
        }
    }
    let more = [("src", src), ("metric", metric), ("table", table)]
        .into_iter()
        .filter_map(|(word, value)| Some(format!(" {word} {}", value?)));
    Ok(format!("{to} via {via}{}", more.collect::<String>()))
}

/// The rule in our notation, as `from 10.0.0.1/32 priority 5 table 7`, or why it cannot be written.
pub fn convert_rule(rule: &Route) -> Result<String, String> {
    let mut text = String::new();
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
            "iif" | "dev" => "iif",
            "fwmark" => "fwmark",
            "priority" | "preference" | "pref" | "order" => "priority",
            "table" | "lookup" => "table",
            "protocol" | "proto" => {
                value()?;
                continue;
            }
            "inet" | "inet6" => {
                text.insert_str(0, &format!("{word} "));
                continue;
            }
            "no_track" => continue,
            word => return Err(format!("rules have no {} here", shorten(word))),
        };
        text += &format!("{ours} {} ", value()?);
    }
    Ok(text.trim_end().to_string())
}

fn longest(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// What to do about a route that cannot be written, or about a rule.
pub fn lost_route(why: &str, command: &str) -> String {
    let add = if command == "rule" { "add" } else { "replace" };
    format!(
        "{why}: put `ip {command} {add}` and `ip {command} del` with it into a script, scripts = \
         [\"exec:/PATH\"], called with start and stop"
    )
}
