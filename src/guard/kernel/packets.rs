//! The bytes that the guard puts on an Ethernet: announcements of our addresses, and queries for others'.
//!
//! Nothing is parsed here; answers go to the agent (`agent/probe_replies.rs`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A hardware address.
pub type Mac = [u8; 6];

/// A whole Ethernet frame without its checksum.
pub type Frame = Vec<u8>;

/// Where a frame that is for everybody goes.
const BROADCAST: Mac = [0xff; 6];
const NO_MAC: Mac = [0; 6];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// Hardware addresses of Ethernet, six bytes; protocol addresses of IPv4, four (RFC 826).
const ETHERNET_AND_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_REQUEST: [u8; 2] = [0, 1];
const ARP_REPLY: [u8; 2] = [0, 2];
/// Every node of the link (RFC 4291 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The next header of an IPv6 packet (RFC 4443 1).
const ICMPV6: u8 = 58;
/// The hop limit without which neighbour discovery is not believed: no router has passed it on (RFC 4861
/// 7.1).
const HOP_LIMIT: u8 = 255;
// RFC 4861 4.3, 4.4 and 4.6.1.
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const IS_ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;
const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;

/// Tells the link that `ip` is at `mac` now.
///
/// IPv4: a gratuitous ARP in both forms, since some stacks listen only to requests and some only to replies
/// (RFC 5227 section 3, RFC 2002 section 4.6). IPv6: an unsolicited neighbour advertisement with override to
/// all nodes (RFC 4861 7.2.6). It says whether we are a router: if a router said that it is none, hosts would
/// send through it no longer (7.2.5).
pub fn announcement(ip: IpAddr, mac: Mac, is_router: bool) -> Vec<Frame> {
    match ip {
        IpAddr::V4(ip) => {
            let request = arp(ARP_REQUEST, (mac, ip), (NO_MAC, ip));
            let reply = arp(ARP_REPLY, (mac, ip), (BROADCAST, ip));
            vec![request, reply]
        }
        IpAddr::V6(ip) => {
            let flags = if is_router { OVERRIDE | IS_ROUTER } else { OVERRIDE };
            let advert = [NEIGHBOUR_ADVERTISEMENT, flags];
            vec![neighbour_discovery(mac, (ip, ALL_NODES), advert, ip, Some(TARGET_LINK_ADDRESS))]
        }
    }
}

/// Asks who holds `ip`.
///
/// Without `sender` the question claims nothing: an ARP probe with sender address zero (RFC 5227 2.1.1), or a
/// solicitation in the form of duplicate address detection (RFC 4862 5.4.2), answered to all nodes. With an
/// IPv6 `sender` it is an ordinary solicitation, which does no harm to a peer that is just bringing that
/// address up; ARP needs no such care and always asks with zero.
pub fn query(ip: IpAddr, sender: Option<Ipv6Addr>, mac: Mac) -> Frame {
    match ip {
        IpAddr::V4(ip) => arp(ARP_REQUEST, (mac, Ipv4Addr::UNSPECIFIED), (NO_MAC, ip)),
        IpAddr::V6(ip) => {
            let from_to = (sender.unwrap_or(Ipv6Addr::UNSPECIFIED), solicited_node(ip));
            let told = sender.map(|_| SOURCE_LINK_ADDRESS);
            neighbour_discovery(mac, from_to, [NEIGHBOUR_SOLICITATION, 0], ip, told)
        }
    }
}

/// Asks who holds `ip` so that the answer comes to everybody. If the peer has our own hardware address, a
/// switch would send an answer to us back where it came from. None for IPv6, where the answer to [`query`]
/// comes to everybody anyway.
///
/// Linux answers to whatever hardware address the question names (arp_process in net/ipv4/arp.c); others may
/// not answer at all.
pub fn open_query(ip: IpAddr, mac: Mac) -> Option<Frame> {
    let IpAddr::V4(ip) = ip else { return None };
    let mut frame = arp(ARP_REQUEST, (BROADCAST, Ipv4Addr::UNSPECIFIED), (NO_MAC, ip));
    frame.get_mut(6..12)?.copy_from_slice(&mac);
    Some(frame)
}

/// To everybody (RFC 826).
fn arp(operation: [u8; 2], sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Frame {
    let (sender_ip, target_ip) = (sender.1.octets(), target.1.octets());
    let parts: [&[u8]; 9] = [
        &BROADCAST,
        &sender.0,
        &ARP,
        &ETHERNET_AND_IPV4,
        &operation,
        &sender.0,
        &sender_ip,
        &target.0,
        &target_ip,
    ];
    parts.concat()
}

/// A message of neighbour discovery about `target`, with our hardware address as the option `told` (RFC 4861
/// 4), in IPv6 (RFC 8200 3).
fn neighbour_discovery(
    mac: Mac,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    [kind, flags]: [u8; 2],
    target: Ipv6Addr,
    told: Option<u8>,
) -> Frame {
    let mut message = [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &target.octets()].concat();
    if let Some(option) = told {
        // Its length counts in eight bytes.
        message.extend([option, 1]);
        message.extend(mac);
    }
    let length = u8::try_from(message.len()).unwrap_or(u8::MAX);
    let addresses = [source.octets(), destination.octets()].concat();
    let sum = checksum(&[&addresses[..], &[0, 0, 0, length, 0, 0, 0, ICMPV6], &message].concat());
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let parts: [&[u8]; 6] = [
        &multicast_mac(destination),
        &mac,
        &IPV6,
        &[0x60, 0, 0, 0, 0, length, ICMPV6, HOP_LIMIT],
        &addresses,
        &message,
    ];
    parts.concat()
}

/// The complement of the sum of all pairs of bytes in ones' complement (RFC 1071 1).
fn checksum(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = pairs.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

/// `ff02::1:ffXX:XXXX`, to which every holder of `ip` listens (RFC 4291 2.7.1).
fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// `33:33:` and the last four bytes of the group (RFC 2464 section 7).
fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn gratuitous_arp_leaves_as_request_and_as_reply() {
        let frames: Vec<_> =
            announcement("10.0.0.100".parse().unwrap(), MAC, false).iter().map(|f| hex(f)).collect();
        let ethernet = "ffffffffffff".to_owned() + "021122334455" + "0806" + "0001" + "0800" + "06" + "04";
        let request = ethernet.clone() + "0001" + "021122334455" + "0a000064" + "000000000000" + "0a000064";
        let reply = ethernet + "0002" + "021122334455" + "0a000064" + "ffffffffffff" + "0a000064";
        assert_eq!(frames, [request, reply]);
    }

    #[test]
    fn an_unsolicited_advertisement_overrides_and_goes_to_all_nodes() {
        let frames = announcement("fd00::100".parse().unwrap(), MAC, false);
        assert_eq!(frames.len(), 1);
        let ip = "fd000000000000000000000000000100";
        let expected = "333300000001".to_owned()
            + "021122334455"
            + "86dd"
            + "60000000"
            + "0020"
            + "3a"
            + "ff"
            + ip
            + "ff020000000000000000000000000001"
            + "88"
            + "00"
            + "CSUM"
            + "20000000"
            + ip
            + "02"
            + "01"
            + "021122334455";
        let actual = hex(&frames[0]);
        let (before, after) = expected.split_once("CSUM").unwrap();
        assert!(actual.starts_with(before) && actual.ends_with(after), "{actual}");
        assert!(is_checksum_right(&frames[0]));
    }

    #[test]
    fn a_router_says_in_its_advertisement_that_it_is_one() {
        let frame = announcement("fd00::100".parse().unwrap(), MAC, true).remove(0);
        assert_eq!(frame[14 + 40 + 4], 0xa0, "router and override");
        assert!(is_checksum_right(&frame));
    }

    /// The sum over pseudo header and message, checksum included, is all ones (RFC 4443 2.3).
    fn is_checksum_right(frame: &[u8]) -> bool {
        let (addresses, message) = (&frame[14 + 8..14 + 40], &frame[14 + 40..]);
        let mut sum = u32::try_from(message.len()).unwrap() + 58;
        for pair in addresses.chunks(2).chain(message.chunks(2)) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair[1]);
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum == 0xffff
    }

    #[test]
    fn a_query_claims_nothing() {
        let arp = hex(&query("10.0.0.100".parse().unwrap(), None, MAC));
        assert!(
            arp.ends_with(&("0001".to_owned() + "021122334455" + "00000000" + "000000000000" + "0a000064")),
            "{arp}"
        );
        let frame = query("fd00::1234:5678".parse().unwrap(), None, MAC);
        let target = "fd000000000000000000000012345678";
        let solicit = hex(&frame);
        assert!(solicit.starts_with("3333ff345678021122334455"), "{solicit}");
        assert!(solicit.contains(&("00".repeat(16) + "ff0200000000000000000001ff345678")), "{solicit}");
        assert!(
            solicit.ends_with(&("00000000".to_owned() + target)),
            "no source link-layer option: {solicit}"
        );
        assert!(is_checksum_right(&frame));
    }

    #[test]
    fn an_open_query_is_answered_to_everybody() {
        let arp = hex(&open_query("10.0.0.100".parse().unwrap(), MAC).unwrap());
        let expected =
            "ffffffffffff".to_owned() + "021122334455" + "0806" + "0001" + "0800" + "0604" + "0001";
        assert_eq!(arp, expected + "ffffffffffff" + "00000000" + "000000000000" + "0a000064");
    }

    #[test]
    fn the_peers_own_address_is_asked_for_by_name() {
        let frame = query("fd00::2".parse().unwrap(), Some("fd00::1".parse().unwrap()), MAC);
        assert!(hex(&frame).ends_with("0101021122334455"));
        assert_eq!(&frame[14 + 8..14 + 24], "fd00::1".parse::<Ipv6Addr>().unwrap().octets());
        assert!(is_checksum_right(&frame));
    }
}
