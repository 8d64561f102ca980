//! Who holds an address, as its own packets show: ARP, neighbour advertisements and solicitations.
//!
//! These bytes come from strangers. Parsing is total: any frame gives an answer or none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet,
    IpProtocol, Ipv6Packet, NdiscOption, NdiscOptionType,
};

/// Somebody holds an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeReply {
    /// The address.
    pub ip: IpAddr,
    /// The hardware address that claims it. It is ours if we have said so ourselves, or if another box has
    /// the same one.
    pub mac: [u8; 6],
    /// It may answer a question of ours. An ARP packet that was sent to everybody does not; an advertisement
    /// may, since a question without a sender is answered to everybody.
    pub is_answer: bool,
}

/// The hop limit that a neighbour discovery message has if no router has touched it; with any other it proves
/// nothing (RFC 4861 7.1).
const UNROUTED: u8 = 255;

/// What a received Ethernet frame says about who holds an address; none if it says nothing.
///
/// Any ARP packet names its sender (RFC 826), probes with sender zero name nobody (RFC 5227). An
/// advertisement names the holder of its target, a solicitation that of its source (RFC 4861).
pub fn parse(frame: &[u8], own_mac: [u8; 6]) -> Option<ProbeReply> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let source_mac = frame.src_addr().0;
    let answer = match frame.ethertype() {
        EthernetProtocol::Arp => parse_arp(frame.payload(), own_mac),
        EthernetProtocol::Ipv6 => parse_neighbour_discovery(frame.payload(), source_mac),
        EthernetProtocol::Ipv4 | EthernetProtocol::Unknown(_) => None,
    };
    answer
        .map(|answer| ProbeReply { mac: if source_mac == own_mac { own_mac } else { answer.mac }, ..answer })
}

fn parse_arp(payload: &[u8], own_mac: [u8; 6]) -> Option<ProbeReply> {
    let packet = ArpPacket::new_checked(payload).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: mac,
        source_protocol_addr: ip,
        target_hardware_addr,
        ..
    } = ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    let is_answer = operation == ArpOperation::Reply && target_hardware_addr.0 == own_mac;
    (ip != Ipv4Addr::UNSPECIFIED).then_some(ProbeReply { ip: IpAddr::V4(ip), mac: mac.0, is_answer })
}

fn parse_neighbour_discovery(payload: &[u8], source_mac: [u8; 6]) -> Option<ProbeReply> {
    let packet = Ipv6Packet::new_checked(payload).ok()?;
    if packet.next_header() != IpProtocol::Icmpv6 || packet.hop_limit() != UNROUTED {
        return None;
    }
    let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
    if message.msg_code() != 0 || !message.verify_checksum(&packet.src_addr(), &packet.dst_addr()) {
        return None;
    }
    let (ip, option) = match message.msg_type() {
        Icmpv6Message::NeighborAdvert => (message.target_addr(), NdiscOptionType::TargetLinkLayerAddr),
        Icmpv6Message::NeighborSolicit => (packet.src_addr(), NdiscOptionType::SourceLinkLayerAddr),
        _ => return None,
    };
    let mac = link_layer_address(message.payload(), option).unwrap_or(source_mac);
    let is_answer = message.msg_type() == Icmpv6Message::NeighborAdvert;
    (ip != Ipv6Addr::UNSPECIFIED).then_some(ProbeReply { ip: IpAddr::V6(ip), mac, is_answer })
}

/// The address in the first option of the wanted type.
fn link_layer_address(mut options: &[u8], wanted: NdiscOptionType) -> Option<[u8; 6]> {
    while let Ok(option) = NdiscOption::new_checked(options) {
        if option.option_type() == wanted {
            return option.link_layer_addr().as_bytes().first_chunk().copied();
        }
        options = options.get(usize::from(option.data_len()) * 8..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guard::kernel::packets::{Mac, announcement, query};

    const OURS: Mac = [2, 0, 0, 0, 0, 1];
    const THEIRS: Mac = [2, 0, 0, 0, 0, 2];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn shown(frame: &[u8], own_mac: Mac) -> Option<(IpAddr, Mac)> {
        parse(frame, own_mac).map(|reply| (reply.ip, reply.mac))
    }

    #[test]
    fn what_is_sent_to_everybody_answers_no_question_over_ipv4() {
        let is_answer = |frame: &[u8]| parse(frame, OURS).map(|reply| reply.is_answer);
        let announced = announcement(ip("10.0.0.100"), THEIRS, false);
        assert_eq!(announced.iter().map(|frame| is_answer(frame)).collect::<Vec<_>>(), [Some(false); 2]);
        // Who answers a question names who has asked.
        let mut answer = announced[1].clone();
        answer[14 + 18..14 + 24].copy_from_slice(&OURS);
        assert_eq!(is_answer(&answer), Some(true));
        answer[14 + 7] = 1;
        assert_eq!(is_answer(&answer), Some(false), "a request");
    }

    #[test]
    fn announcements_in_every_form_name_the_holder() {
        for address in [ip("10.0.0.100"), ip("fd00::100")] {
            for frame in announcement(address, THEIRS, false) {
                assert_eq!(shown(&frame, OURS), Some((address, THEIRS)));
            }
        }
    }

    #[test]
    fn packets_with_our_own_hardware_address_are_known_by_it() {
        let address = ip("10.0.0.100");
        for frame in announcement(address, OURS, false) {
            assert_eq!(shown(&frame, OURS), Some((address, OURS)));
            let mut relayed = frame.clone();
            relayed[6..12].copy_from_slice(&THEIRS);
            assert_eq!(shown(&relayed, OURS), Some((address, OURS)), "somebody repeats it");
        }
    }

    #[test]
    fn a_probe_names_nobody_and_an_ordinary_solicitation_its_sender() {
        assert_eq!(shown(&query(ip("10.0.0.100"), None, THEIRS), OURS), None);
        assert_eq!(shown(&query(ip("fd00::100"), None, THEIRS), OURS), None);
        let sender = "fd00::2".parse().unwrap();
        let frame = query(ip("fd00::100"), Some(sender), THEIRS);
        assert_eq!(shown(&frame, OURS), Some((IpAddr::V6(sender), THEIRS)));
    }

    #[test]
    fn an_advertisement_without_the_option_is_believed_by_its_frame() {
        let mut frame = announcement(ip("fd00::100"), THEIRS, false).remove(0);
        frame.truncate(frame.len() - 8);
        frame[14 + 5] -= 8;
        fix_checksum(&mut frame);
        assert_eq!(shown(&frame, OURS), Some(ProbeReply { ip: ip("fd00::100"), mac: THEIRS }));
    }

    fn fix_checksum(frame: &mut [u8]) {
        let packet = Ipv6Packet::new_unchecked(&frame[14..]);
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        Icmpv6Packet::new_unchecked(&mut frame[54..]).fill_checksum(&source, &destination);
    }

    #[test]
    fn routed_corrupt_and_foreign_packets_prove_nothing() {
        let good = announcement(ip("fd00::100"), THEIRS, false).remove(0);
        let broken = [
            (14 + 7, 64, "a router passed it on"),
            (14 + 6, 17, "not ICMPv6"),
            (70, 1, "the checksum is wrong"),
        ];
        for (offset, value, why) in broken {
            let mut frame = good.clone();
            frame[offset] = value;
            assert_eq!(shown(&frame, OURS), None, "{why}");
        }
        let mut arp = announcement(ip("10.0.0.100"), THEIRS, false).remove(0);
        arp[14 + 4] = 8;
        assert_eq!(shown(&arp, OURS), None, "hardware addresses of another length");
    }

    proptest! {
        #[test]
        fn parsing_is_total(frame in proptest::collection::vec(any::<u8>(), 0..150)) {
            parse(&frame, OURS);
        }

        #[test]
        fn damaged_packets_are_survived(
            v6: bool,
            length in 0usize..90,
            changes in proptest::collection::vec((0usize..90, any::<u8>()), 0..6),
        ) {
            let address = if v6 { ip("fd00::100") } else { ip("10.0.0.100") };
            let mut frame = announcement(address, THEIRS, false).remove(0);
            for (offset, value) in changes {
                if let Some(byte) = frame.get_mut(offset) { *byte = value; }
            }
            if v6 && frame.len() > 60 { fix_checksum(&mut frame); }
            frame.truncate(length);
            parse(&frame, OURS);
        }

        #[test]
        fn any_option_list_ends(options in proptest::collection::vec(any::<u8>(), 0..64)) {
            link_layer_address(&options, NdiscOptionType::TargetLinkLayerAddr);
        }
    }
}
