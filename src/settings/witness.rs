//! The witnesses, and which addresses cannot be one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crosswire::config::MAX_WITNESSES;
use crosswire::vote::PORT;

use super::error::{Report, quote};
use super::table::{At, Table};
use super::values::{is_host_in, is_interface, is_unicast};

/// The second half of a sentence about a link-local IPv6 address without an interface.
pub const EVERY_LINK: &str = "is an address that every link may have";
pub(super) const REMEDY: &str =
    "write the address of a box that both nodes can ping, such as the upstream router";

const VOTE_REMEDY: &str = "write \"vote:IP\" or \"vote:IP:PORT\", with the address of the box that runs \
    `crosswire witness`; an IPv6 address with a port in brackets";

/// A third party whose answers show who is cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witness {
    /// Its address.
    pub ip: IpAddr,
    /// The interface of a link-local address, which every link may have.
    pub interface: Option<String>,
}

/// As the file names it.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ip)?;
        self.interface.iter().try_for_each(|interface| write!(f, "%{interface}"))
    }
}

/// An address of the pair itself, which cannot be a witness.
#[derive(Clone, Debug)]
pub struct OwnAddress {
    /// The address.
    pub ip: IpAddr,
    /// The prefix length of a service address.
    pub prefix: Option<u8>,
    /// `the address of node "gw1"`
    pub what: String,
}

/// Why an answer of `ip` says nothing of who is cut off, as the second half of a sentence about it; `None`
/// where it does.
///
/// A node that asked itself, or the peer, would always get the same answer, wherever the fault is. Then
/// nobody serves, or both do.
pub fn why_no_witness(ip: IpAddr, own: &[OwnAddress]) -> Option<String> {
    let ip = ip.to_canonical();
    if !is_unicast(ip) {
        return Some("is not an IP address of one box".to_string());
    }
    if ip.is_loopback() || matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0) {
        return Some("is answered by whichever box asks it".to_string());
    }
    if let Some(own) = own.iter().find(|own| own.ip == ip) {
        return Some(format!("is {}: it says nothing of who is cut off", own.what));
    }
    let network =
        own.iter().find(|own| own.prefix.is_some_and(|prefix| is_no_host_beside(ip, own.ip, prefix)))?;
    Some(format!("is every box in the network of {}, not one", network.ip))
}

/// Whether `ip` is the network's own address (to which routers of an IPv6 network answer), or its broadcast
/// address.
fn is_no_host_beside(ip: IpAddr, known: IpAddr, prefix: u8) -> bool {
    match (ip, known) {
        (IpAddr::V4(ip), IpAddr::V4(known)) => {
            let apart = ip.to_bits() ^ known.to_bits();
            apart.leading_zeros() >= u32::from(prefix) && !is_host_in(IpAddr::V4(ip), prefix)
        }
        (IpAddr::V6(ip), IpAddr::V6(known)) => {
            let host = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            host > 1 && ip.to_bits() == known.to_bits() & !host
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Reads `witness`: those that are pinged, each address once and no more than there is room for, and the one
/// that votes.
pub(super) fn read(table: &Table<'_>, report: &mut Report<'_>) -> (Vec<At<Witness>>, Option<At<SocketAddr>>) {
    let (mut witnesses, mut vote): (Vec<At<Witness>>, Option<At<SocketAddr>>) = (Vec::new(), None);
    for text in table.texts("witness", report) {
        if let Some(to) = text.value.strip_prefix("vote:") {
            match parse_vote(to) {
                Err(what) => report.add(text.at, format_args!("{} {what}", quote(text.value)), VOTE_REMEDY),
                Ok(_) if vote.is_some() => {
                    report.add(text.at, "one witness of a pair may vote, not two", "keep one \"vote:\"");
                }
                Ok(to) => vote = Some(text.map(|_| to)),
            }
            continue;
        }
        match parse(text.value) {
            Err((what, remedy)) => report.add(text.at, format_args!("{} {what}", quote(text.value)), remedy),
            Ok(witness) if witnesses.iter().any(|known| known.value == witness) => {
                report.add(text.at, format!("{witness} is a witness twice"), "remove one")
            }
            Ok(_) if witnesses.len() == MAX_WITNESSES => {
                let what = format!("{} is one witness too many", quote(text.value));
                report.add(text.at, what, format!("keep {MAX_WITNESSES} at most"));
            }
            Ok(witness) => witnesses.push(text.map(|_| witness)),
        }
    }
    (witnesses, vote)
}

/// `IP` or `IP:PORT`, an IPv6 address with a port in brackets.
fn parse_vote(text: &str) -> Result<SocketAddr, &'static str> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let to = match (bare.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(ip), _) => SocketAddr::new(ip, PORT),
        (Err(_), Ok(to)) => to,
        (Err(_), Err(_)) => return Err("is not the address of a voting witness"),
    };
    match (is_on_every_link(to.ip()), to.port()) {
        (true, _) => Err(EVERY_LINK),
        (false, 0) => Err("has no port"),
        (false, port) => Ok(SocketAddr::new(to.ip().to_canonical(), port)),
    }
}

fn parse(text: &str) -> Result<Witness, (&'static str, &'static str)> {
    let (ip, interface) = text.split_once('%').map_or((text, None), |(ip, interface)| (ip, Some(interface)));
    let ip = ip.parse::<IpAddr>().map_err(|_| ("is not an IP address of one box", REMEDY))?.to_canonical();
    match interface {
        None if is_on_every_link(ip) => {
            Err((EVERY_LINK, "write the interface behind it, as in \"fe80::9%eth0\""))
        }
        Some(interface) if !is_on_every_link(ip) || !is_interface(interface) => {
            Err(("names an interface that cannot be, or needs none", REMEDY))
        }
        interface => Ok(Witness { ip, interface: interface.map(str::to_owned) }),
    }
}

/// Whether the address means nothing without its interface.
pub fn is_on_every_link(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Reports addresses that cannot be a witness.
pub(super) fn check(
    witnesses: &[At<Witness>],
    vote: Option<&At<SocketAddr>>,
    own: &[OwnAddress],
    report: &mut Report<'_>,
) {
    let pinged = witnesses.iter().map(|At { at, value }| (*at, value.ip, REMEDY));
    let voting = vote.map(|At { at, value }| (*at, value.ip(), VOTE_REMEDY));
    for (at, ip, remedy) in pinged.chain(voting) {
        if let Some(why) = why_no_witness(ip, own) {
            report.add(at, format_args!("{ip} {why}"), remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(ip: &str, prefix: Option<u8>) -> OwnAddress {
        OwnAddress { ip: ip.parse().unwrap(), prefix, what: "an address of group \"g\"".to_string() }
    }

    #[test]
    fn a_link_local_witness_has_an_interface_and_no_other_one_has() {
        for (text, is_good) in [
            ("fe80::9%eth0", true),
            ("10.0.0.254", true),
            ("fd00::9", true),
            ("fe80::9", false),
            ("fe80::9%", false),
            ("fe80::9%a/b", false),
            ("fd00::9%eth0", false),
            ("10.0.0.254%eth0", false),
            ("169.254.0.9", true),
            ("169.254.0.9%eth0", false),
            ("%eth0", false),
        ] {
            let read = parse(text);
            assert_eq!(read.is_ok(), is_good, "{text}: {read:?}");
            read.iter().for_each(|witness| assert_eq!(witness.to_string(), text));
        }
    }

    #[test]
    fn a_voting_witness_has_an_address_and_a_port() {
        for (text, expected) in [
            ("10.0.0.254", Some("10.0.0.254:1694")),
            ("10.0.0.254:99", Some("10.0.0.254:99")),
            ("2001:db8::1", Some("[2001:db8::1]:1694")),
            ("[2001:db8::1]", Some("[2001:db8::1]:1694")),
            ("[2001:db8::1]:99", Some("[2001:db8::1]:99")),
            ("[::ffff:10.0.0.254]:99", Some("10.0.0.254:99")),
            ("10.0.0.254:0", None),
            ("10.0.0.254:65536", None),
            ("10.0.0.254:", None),
            ("fe80::9", None),
            ("[fe80::9%2]:99", None),
            ("witness.example.org", None),
            ("", None),
        ] {
            assert_eq!(parse_vote(text).ok().map(|to| to.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn nothing_that_answers_for_the_pair_or_for_everybody_is_a_witness() {
        let own = [own("10.0.0.1", None), own("10.0.0.100", Some(24)), own("fd00:1::7", Some(64))];
        for (ip, expected) in [
            ("10.0.0.254", None),
            ("10.0.1.255", None),
            ("fd00:1::1", None),
            ("192.0.2.1", None),
            ("10.0.0.1", Some("says nothing of who is cut off")),
            ("::ffff:10.0.0.100", Some("says nothing of who is cut off")),
            ("fd00:1::7", Some("says nothing of who is cut off")),
            ("10.0.0.255", Some("is every box in the network of 10.0.0.100")),
            ("10.0.0.0", Some("is every box in the network of 10.0.0.100")),
            ("fd00:1::", Some("is every box in the network of fd00:1::7")),
            ("127.0.1.1", Some("is answered by whichever box asks it")),
            ("::1", Some("is answered by whichever box asks it")),
            ("::ffff:127.0.0.1", Some("is answered by whichever box asks it")),
            ("0.0.0.1", Some("is answered by whichever box asks it")),
            ("0.0.0.0", Some("not an IP address of one box")),
            ("::", Some("not an IP address of one box")),
            ("255.255.255.255", Some("not an IP address of one box")),
            ("ff02::1", Some("not an IP address of one box")),
            ("224.0.0.18", Some("not an IP address of one box")),
        ] {
            let why = why_no_witness(ip.parse().unwrap(), &own);
            match expected {
                None => assert_eq!(why, None, "{ip}"),
                Some(part) => assert!(why.as_ref().is_some_and(|why| why.contains(part)), "{ip}: {why:?}"),
            }
        }
    }
}
