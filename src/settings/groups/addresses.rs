//! The addresses of a group, as they are written.

use std::net::IpAddr;

use super::super::error::{Report, quote};
use super::super::table::{At, Element, Table};
use super::super::values::{is_host_in, is_interface, is_unicast};
use super::super::vmac;

const ADDRESS_KEYS: [&str; 5] = ["address", "carrier", "label", "peer", "vmac"];

const CARRIER: [(&str, bool); 2] = [("ignore", false), ("need", true)];

/// With its final zero a label takes as much room as the name of an interface.
const MAX_LABEL_BYTES: usize = 15;

const ADDRESS_FORM: &str = "write IP/PREFIX@INTERFACE, as in \"10.0.0.100/24@eth0\"";

/// An address.
#[derive(Clone, Copy)]
pub(super) struct Vip<'t> {
    pub(super) ip: IpAddr,
    pub(super) prefix: u8,
    /// Its interface; `None`: that of the only LAN.
    pub(super) interface: Option<&'t str>,
    pub(super) label: Option<&'t str>,
    pub(super) peer: Option<IpAddr>,
    pub(super) needs_carrier: bool,
    /// Its hardware address is one that both nodes share; that one, if it is written.
    pub(super) vmac: Option<Option<[u8; 6]>>,
}

pub(super) fn read_address<'t>(
    one: Element<'t>,
    lans: Option<usize>,
    report: &mut Report<'_>,
) -> Option<At<Vip<'t>>> {
    let (text, table) = match one {
        Element::Text(text) => (text, None),
        Element::Table(table) => {
            table.refuse_unknown(&ADDRESS_KEYS, report);
            if !table.has("address") {
                report.add(table.at, "an address is missing", "add address = \"IP/PREFIX@INTERFACE\"");
            }
            (table.text("address", report)?, Some(table))
        }
    };
    match parse_vip(text.value) {
        Ok(mut vip) => {
            table.into_iter().for_each(|table| read_more(&mut vip, &table, report));
            if vip.interface.is_none() && lans.is_some_and(|count| count != 1) {
                let what = format!("{} does not say on which interface", quote(text.value));
                report.add(text.at, what, format_args!("there is not exactly one LAN: {ADDRESS_FORM}"));
            }
            Some(text.map(|_| vip))
        }
        Err(why) => {
            report.add(text.at, format!("{} {why}", quote(text.value)), ADDRESS_FORM);
            None
        }
    }
}

/// Reads what only a table can say of an address.
fn read_more<'t>(vip: &mut Vip<'t>, table: &Table<'t>, report: &mut Report<'_>) {
    vip.needs_carrier = table.choice("carrier", &CARRIER, report).is_none_or(|choice| choice.value);
    if let Some(At { at, value }) = table.text("peer", report) {
        let is_other = |ip: &IpAddr| is_unicast(*ip) && ip.is_ipv4() == vip.ip.is_ipv4() && *ip != vip.ip;
        vip.peer = value.parse().ok().filter(is_other);
        if vip.peer.is_none() {
            let remedy = "write the address of the other end without prefix, as in \"10.8.0.2\"";
            report.add(at, format!("{} cannot be the other end of {}", quote(value), vip.ip), remedy);
        }
    }
    if let Some(At { at, value }) = table.text("label", report) {
        let rest = vip.interface.and_then(|interface| value.strip_prefix(interface));
        let is_good = value.len() <= MAX_LABEL_BYTES && rest.is_some_and(|rest| rest.starts_with(':'));
        vip.label = rest.filter(|_| is_good && vip.ip.is_ipv4());
        if vip.label.is_none() {
            let remedy = "write the interface of an IPv4 address, a colon and a word, as in \"eth0:1\"";
            report.add(at, format!("{} cannot be the label of {}", quote(value), vip.ip), remedy);
        }
    }
    vip.vmac = read_vmac(table, report);
    if vip.vmac.is_some() && vip.label.is_some() {
        report.add(table.place_of("label"), "an address with a vmac has no label", "remove one of them");
    }
}

/// Reads the hardware address that both nodes share: written, or derived where it is only wanted.
fn read_vmac(table: &Table<'_>, report: &mut Report<'_>) -> Option<Option<[u8; 6]>> {
    let Some(At { at, value }) = table.text_or_flag("vmac", report)? else { return Some(None) };
    let mac = vmac::parse(value);
    if mac.is_none() {
        let remedy = "write true, or one of a single box, as in \"02:00:5e:00:01:33\"";
        report.add(at, format!("{} cannot be a hardware address to share", quote(value)), remedy);
    }
    Some(mac)
}

fn parse_vip(text: &str) -> Result<Vip<'_>, &'static str> {
    let (network, interface) = match text.split_once('@') {
        Some((network, interface)) => (network, Some(interface)),
        None => (text, None),
    };
    let (ip, prefix) = network.split_once('/').ok_or("has no prefix length")?;
    let ip: IpAddr = ip.parse().map_err(|_| "is not an IP address")?;
    let ip = ip.to_canonical();
    let is_plain = prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse().ok().filter(|prefix| is_plain && (1..=longest).contains(prefix));
    let prefix = prefix.ok_or("has a prefix length that cannot be")?;
    if !is_unicast(ip) || ip.is_loopback() {
        return Err("is not an address that a box can serve");
    }
    if !is_host_in(ip, prefix) {
        return Err("is the network's own address or its broadcast address, not a host's");
    }
    match interface {
        Some(interface) if !is_interface(interface) => Err("names an interface that cannot be"),
        interface => {
            Ok(Vip { ip, prefix, interface, label: None, peer: None, needs_carrier: true, vmac: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_an_interface() {
        let vip = parse_vip("192.0.2.10/29@eth1").ok().unwrap();
        assert_eq!((vip.ip, vip.prefix, vip.interface), ("192.0.2.10".parse().unwrap(), 29, Some("eth1")));
        let vip = parse_vip("fd00::1/64").ok().unwrap();
        assert_eq!((vip.ip, vip.prefix, vip.interface), ("fd00::1".parse().unwrap(), 64, None));
        // an IPv4 address in IPv6 clothes is the IPv4 address, with its prefix
        assert_eq!(parse_vip("::ffff:10.0.0.1/24").ok().unwrap().ip, "10.0.0.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn addresses_that_cannot_be_are_refused() {
        let bad = [
            "10.0.0.1",
            "10.0.0.1/",
            "10.0.0.1/0",
            "10.0.0.1/33",
            "10.0.0.1/+4",
            "10.0.0/24",
            "10.0.0.0/24@eth0",
            "10.0.0.255/24",
            "0.0.0.0/8",
            "224.0.0.1/24",
            "127.0.0.1/8",
            "::1/128",
            "ff02::1/64",
            "fd00::1/129",
            "10.0.0.1/24@",
            "10.0.0.1/24@a b",
            "10.0.0.1/24@eth0:1",
            "@eth0",
            "/",
            "",
        ];
        for text in bad {
            assert!(parse_vip(text).is_err(), "{text}");
        }
    }
}
