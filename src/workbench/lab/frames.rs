//! What the switch has to see of an Ethernet frame: its two hardware addresses, and the UDP ports of IPv4 and
//! IPv6.

/// A hardware address.
pub type Mac = [u8; 6];

const ETHERNET_HEADER_BYTES: usize = 14;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const PROTOCOL_UDP: u8 = 17;
const IPV6_HEADER_BYTES: usize = 40;

/// Where a frame goes; `None` if it is too short to be one.
pub fn destination(frame: &[u8]) -> Option<Mac> {
    frame.get(..6)?.try_into().ok()
}

/// Where it came from.
pub fn source(frame: &[u8]) -> Option<Mac> {
    frame.get(6..12)?.try_into().ok()
}

/// Whether all ports get it: broadcast and multicast have the lowest bit of the first byte set (IEEE
/// 802-2014, 8.2.2).
pub fn is_for_many(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

/// Whether the frame carries UDP from or to `port`. Fragments after the first and IPv6 extension headers are
/// not looked into: the daemons send neither.
pub fn is_udp_of(frame: &[u8], port: u16) -> bool {
    udp_ports(frame).is_some_and(|(from, to)| from == port || to == port)
}

fn udp_ports(frame: &[u8]) -> Option<(u16, u16)> {
    let packet = frame.get(ETHERNET_HEADER_BYTES..)?;
    let datagram = match be16(frame, 12)? {
        TYPE_IPV4 if *packet.get(9)? == PROTOCOL_UDP => {
            packet.get(usize::from(packet.first()? & 0x0f) * 4..)?
        }
        TYPE_IPV6 if *packet.get(6)? == PROTOCOL_UDP => packet.get(IPV6_HEADER_BYTES..)?,
        _ => return None,
    };
    Some((be16(datagram, 0)?, be16(datagram, 2)?))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4_udp(options_words: u8, from: u16, to: u16) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET_HEADER_BYTES];
        frame[12..].copy_from_slice(&TYPE_IPV4.to_be_bytes());
        let mut header = vec![0; usize::from(5 + options_words) * 4];
        header[0] = 0x45 + options_words;
        header[9] = PROTOCOL_UDP;
        frame.extend(header);
        frame.extend(from.to_be_bytes());
        frame.extend(to.to_be_bytes());
        frame
    }

    #[test]
    fn udp_ports_are_found_behind_ip_options_and_only_in_udp() {
        for options in 0..3 {
            assert!(is_udp_of(&ipv4_udp(options, 9, 694), 694));
            assert!(is_udp_of(&ipv4_udp(options, 694, 9), 694));
            assert!(!is_udp_of(&ipv4_udp(options, 9, 695), 694));
        }
        let mut tcp = ipv4_udp(0, 694, 694);
        tcp[ETHERNET_HEADER_BYTES + 9] = 6;
        assert!(!is_udp_of(&tcp, 694));
    }

    #[test]
    fn no_prefix_of_a_frame_is_trusted() {
        let frame = ipv4_udp(0, 694, 694);
        for length in 0..frame.len() {
            assert!(!is_udp_of(&frame[..length], 694), "{length} bytes");
        }
    }

    #[test]
    fn ipv6_udp_is_seen() {
        let mut frame = vec![0; ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES];
        frame[12..14].copy_from_slice(&TYPE_IPV6.to_be_bytes());
        frame[ETHERNET_HEADER_BYTES + 6] = PROTOCOL_UDP;
        frame.extend([0, 9, 2, 0xb6]);
        assert!(is_udp_of(&frame, 694));
    }
}
