//! Packet sockets (packet(7)): one to send frames from any interface, and those on which the agent hears
//! answers.
//!
//! The sender is bound to nothing. So it hears nothing, never stands for an interface that has gone, and need
//! not be closed after a frame: to close it takes some 12 ms (packet_release waits for every processor),
//! which a probe or an announcement would add to a takeover.
//!
//! A listener is bound to one protocol, so that the kernel never shows it what leaves this box, and never
//! copies forwarded traffic for it. Its filter wakes the agent only for packets that name one of the
//! addresses asked for.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, sendto, socket};

use crate::gather::Gather;
use crate::guard::kernel::interface;
use crate::guard::kernel::packets::{Frame, Mac};
use crate::sys::sockets::{attach_filter, link_address, lock_filter};

/// The most addresses of a filter: a classic BPF jump reaches this many instructions.
const MAX_ADDRESSES: usize = 100;
/// What a filter returns for a packet that it lets through: how much of it.
const WHOLE_PACKET: u32 = 2_048;

/// Which of the two protocols a listener hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hears {
    /// ARP packets whose sender address is asked for.
    Arp,
    /// IPv6 neighbour advertisements for, and solicitations from, an address asked for.
    NeighbourDiscovery,
    /// All ARP packets.
    AnyArp,
    /// All IPv6 neighbour advertisements and solicitations.
    AnyNeighbourDiscovery,
}

/// Sends frames; opened once.
pub struct Sender {
    socket: OwnedFd,
}

/// An Ethernet from which frames can leave, as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outlet {
    index: u32,
    /// The interface's own hardware address.
    pub mac: Mac,
}

impl Sender {
    /// Opens a socket that hears nothing.
    pub fn open() -> nix::Result<Self> {
        packet_socket().map(|socket| Self { socket })
    }

    /// Looks for an interface. `ENODEV` if there is none, `EAFNOSUPPORT` if it is no Ethernet.
    pub fn outlet(&self, interface: &str) -> nix::Result<Outlet> {
        outlet(&self.socket, interface)
    }

    /// Queues a frame without waiting.
    pub fn send(&self, outlet: &Outlet, frame: &Frame) -> nix::Result<()> {
        let ethertype =
            frame.get(12..14).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u16::from_be_bytes);
        let to = link_address(outlet.index, ethertype)?;
        sendto(self.socket.as_raw_fd(), frame, &to, MsgFlags::MSG_DONTWAIT).map(drop)
    }
}

/// A socket on which whole Ethernet frames arrive that name an address asked for.
pub struct Listener {
    /// Non-blocking.
    pub socket: OwnedFd,
    /// The hardware address of its interface when it was opened.
    pub mac: Mac,
}

impl Listener {
    /// Opens a listener on `interface` for `addresses`; those of the other protocol are left out.
    pub fn open(interface: &str, hears: Hears, addresses: &[IpAddr]) -> nix::Result<Self> {
        let ethertype = match hears {
            Hears::Arp | Hears::AnyArp => libc::ETH_P_ARP,
            Hears::NeighbourDiscovery | Hears::AnyNeighbourDiscovery => libc::ETH_P_IPV6,
        };
        let ethertype = u16::try_from(ethertype).map_err(|_| Errno::EINVAL)?;
        let socket = packet_socket()?;
        let Outlet { index, mac } = outlet(&socket, interface)?;
        // Before the first packet can come.
        attach_filter(&socket, &filter(hears, addresses))?;
        lock_filter(&socket)?;
        bind(socket.as_raw_fd(), &link_address(index, ethertype)?)?;
        Ok(Self { socket, mac })
    }
}

/// A packet socket of no protocol: nothing arrives on it.
fn packet_socket() -> nix::Result<OwnedFd> {
    socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)
}

fn outlet(socket: &OwnedFd, name: &str) -> nix::Result<Outlet> {
    Ok(Outlet { index: interface::index(socket, name)?, mac: interface::mac(socket, name)? })
}

// Offsets into an Ethernet frame.
const ARP_SENDER: u32 = 14 + 14;
const IPV6_NEXT_HEADER: u32 = 14 + 6;
const IPV6_SOURCE_TAIL: u32 = 14 + 8 + 12;
const ICMPV6_TYPE: u32 = 14 + 40;
const ICMPV6_TARGET_TAIL: u32 = 14 + 40 + 8 + 12;

const NEXT_HEADER_ICMPV6: u32 = 58;
const NEIGHBOUR_SOLICITATION: u32 = 135;
const NEIGHBOUR_ADVERTISEMENT: u32 = 136;

/// The program (classic BPF) that lets through packets that name one of `addresses`. Of an IPv6 address it
/// compares the last four bytes; the agent compares the rest. A load past the end of a packet refuses it.
fn filter(hears: Hears, addresses: &[IpAddr]) -> Vec<libc::sock_filter> {
    let tails: Vec<u32> = addresses.iter().filter_map(|ip| tail_of(*ip, hears)).gather();
    let load = match hears {
        Hears::AnyArp => return vec![answer(WHOLE_PACKET)],
        Hears::AnyNeighbourDiscovery => {
            return vec![
                load_byte(IPV6_NEXT_HEADER),
                if_equal(NEXT_HEADER_ICMPV6, 0, 3),
                load_byte(ICMPV6_TYPE),
                if_equal(NEIGHBOUR_ADVERTISEMENT, 2, 0),
                if_equal(NEIGHBOUR_SOLICITATION, 1, 0),
                answer(0),
                answer(WHOLE_PACKET),
            ];
        }
        Hears::Arp => vec![load_word(ARP_SENDER)],
        Hears::NeighbourDiscovery => vec![
            load_byte(IPV6_NEXT_HEADER),
            if_equal(NEXT_HEADER_ICMPV6, 1, 0),
            answer(0),
            load_byte(ICMPV6_TYPE),
            if_equal(NEIGHBOUR_ADVERTISEMENT, 0, 2),
            load_word(ICMPV6_TARGET_TAIL),
            skip(3),
            if_equal(NEIGHBOUR_SOLICITATION, 1, 0),
            answer(0),
            load_word(IPV6_SOURCE_TAIL),
        ],
    };
    [load, accept_one_of(&tails)].concat()
}

/// Accepts the packet if the loaded word is one of `tails`; or any packet, if there are more than a jump can
/// pass over.
fn accept_one_of(tails: &[u32]) -> Vec<libc::sock_filter> {
    if tails.len() > MAX_ADDRESSES {
        return vec![answer(WHOLE_PACKET)];
    }
    let to_accept = (1u8..=100).take(tails.len()).rev();
    let compare = tails.iter().zip(to_accept).map(|(tail, distance)| if_equal(*tail, distance, 0));
    compare.chain([answer(0), answer(WHOLE_PACKET)]).gather()
}

/// The last four bytes of an address of the kind that is heard.
fn tail_of(ip: IpAddr, hears: Hears) -> Option<u32> {
    match (ip, hears) {
        (IpAddr::V4(ip), Hears::Arp) => Some(ip.to_bits()),
        (IpAddr::V6(ip), Hears::NeighbourDiscovery) => {
            ip.octets().last_chunk().map(|tail| u32::from_be_bytes(*tail))
        }
        (IpAddr::V4(_), Hears::NeighbourDiscovery)
        | (IpAddr::V6(_), Hears::Arp)
        | (_, Hears::AnyArp | Hears::AnyNeighbourDiscovery) => None,
    }
}

fn load_word(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

fn load_byte(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, offset)
}

fn if_equal(value: u32, skip_if: u8, skip_else: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, skip_if, skip_else, value)
}

fn skip(instructions: u32) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JA, 0, 0, instructions)
}

fn answer(bytes: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, bytes)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::unistd::read;
    use std::os::fd::AsFd;

    use super::*;
    use crate::agent::probe_replies::{self, ProbeReply};
    use crate::guard::kernel::packets::{announcement, query};
    use crate::guard::testing::{Veth, in_namespace, set_up};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// What has arrived a little after the frame number `count`, as the agent understands it.
    fn heard(listener: &Listener, count: usize) -> Vec<Option<ProbeReply>> {
        let mut heard = Vec::new();
        let mut frame = [0; 2_048];
        loop {
            let wait_ms: u16 = if heard.len() < count { 30_000 } else { 100 };
            if poll(
                &mut [PollFd::new(listener.socket.as_fd(), PollFlags::POLLIN)],
                PollTimeout::from(wait_ms),
            ) != Ok(1)
            {
                return heard;
            }
            let length = read(&listener.socket, &mut frame).expect("a frame");
            heard.push(probe_replies::parse(&frame[..length], listener.mac));
        }
    }

    #[test]
    fn who_gets_a_listener_cannot_hear_more_with_it() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let listener = Listener::open("near", Hears::Arp, &[ip("10.9.0.100")]).expect("a listener");
            assert_eq!(attach_filter(&listener.socket, &[answer(WHOLE_PACKET)]), Err(Errno::EPERM));
        });
    }

    #[test]
    fn only_packets_that_name_an_address_asked_for_wake_the_agent() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let asked = [ip("10.9.0.100"), ip("fd00::100")];
            let arp = Listener::open("near", Hears::Arp, &asked).expect("a listener");
            let nd = Listener::open("near", Hears::NeighbourDiscovery, &asked).expect("a listener");
            let sender = Sender::open().expect("a sender");
            let [near, far] = ["near", "far"].map(|name| sender.outlet(name).expect("an Ethernet"));
            let others = [ip("10.9.0.101"), ip("fd00::101")];
            for ip in asked.into_iter().chain(others) {
                announcement(ip, far.mac, false)
                    .iter()
                    .for_each(|frame| sender.send(&far, frame).expect("sent"));
                sender.send(&far, &query(ip, None, far.mac)).expect("sent");
            }
            announcement(asked[0], near.mac, false)
                .iter()
                .for_each(|frame| sender.send(&near, frame).expect("sent"));
            let shown = |ip, is_answer| Some(ProbeReply { ip, mac: far.mac, is_answer });
            assert_eq!(
                heard(&arp, 2),
                [shown(asked[0], false), shown(asked[0], false)],
                "request and reply, and nothing of our own"
            );
            assert_eq!(heard(&nd, 1), [shown(asked[1], true)]);
        });
    }

    #[test]
    fn a_solicitation_names_its_source() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let nd = Listener::open("near", Hears::NeighbourDiscovery, &[ip("fd00::2")]).expect("a listener");
            let sender = Sender::open().expect("a sender");
            let far = sender.outlet("far").expect("an Ethernet");
            for (asked, source) in [("fd00::9", "fd00::2"), ("fd00::2", "fd00::3")] {
                sender.send(&far, &query(ip(asked), source.parse().ok(), far.mac)).expect("sent");
            }
            assert_eq!(
                heard(&nd, 1),
                [Some(ProbeReply { ip: ip("fd00::2"), mac: far.mac, is_answer: false })]
            );
        });
    }

    #[test]
    fn more_addresses_than_a_filter_can_hold_let_everything_through() {
        let many: Vec<_> = (0..=MAX_ADDRESSES).map(|n| IpAddr::from([10, 0, 0, n as u8])).collect();
        assert_eq!(filter(Hears::Arp, &many).len(), 2);
        assert_eq!(filter(Hears::Arp, &many[1..]).len(), MAX_ADDRESSES + 3);
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            for addresses in [&many[..], &many[1..]] {
                let arp =
                    Listener::open("near", Hears::Arp, addresses).expect("the kernel accepts the filter");
                let sender = Sender::open().expect("a sender");
                let far = sender.outlet("far").expect("an Ethernet");
                sender.send(&far, &announcement(many[1], far.mac, false)[0]).expect("sent");
                assert_eq!(heard(&arp, 1).len(), 1);
            }
        });
    }

    #[test]
    fn one_sender_outlives_its_interfaces_and_no_outage_of_theirs_costs_it_a_frame() {
        in_namespace(|| {
            let veth = Veth::up("near", "far");
            let sender = Sender::open().expect("a sender");
            let before = sender.outlet("far").expect("an Ethernet");
            let frame = |outlet: &Outlet| query(ip("10.9.0.1"), None, outlet.mac);
            sender.send(&before, &frame(&before)).expect("sent");
            set_up("far", false);
            assert_eq!(sender.send(&before, &frame(&before)), Err(Errno::ENETDOWN));
            set_up("far", true);
            assert_eq!(sender.send(&before, &frame(&before)), Ok(()), "nothing is left of the outage");
            veth.remove();
            assert_eq!(sender.outlet("far"), Err(Errno::ENODEV));
            assert_eq!(sender.send(&before, &frame(&before)), Err(Errno::ENXIO));
            let _veth = Veth::up("near", "far");
            let after = sender.outlet("far").expect("an Ethernet");
            assert_ne!(after.mac, before.mac);
            let near = Listener::open("near", Hears::Arp, &[ip("10.9.0.7")]).expect("a listener");
            sender.send(&after, &announcement(ip("10.9.0.7"), after.mac, false)[0]).expect("sent");
            assert_eq!(
                heard(&near, 1),
                [Some(ProbeReply { ip: ip("10.9.0.7"), mac: after.mac, is_answer: false })]
            );
        });
    }

    #[test]
    fn an_interface_that_is_absent_or_no_ethernet_is_refused() {
        in_namespace(|| {
            let sender = Sender::open().expect("a sender");
            assert_eq!(sender.outlet("absent"), Err(Errno::ENODEV));
            assert_eq!(sender.outlet("a-name-too-long-for-any"), Err(Errno::ENODEV));
            assert_eq!(sender.outlet("lo"), Err(Errno::EAFNOSUPPORT));
            assert_eq!(Listener::open("absent", Hears::Arp, &[]).err(), Some(Errno::ENODEV));
        });
    }
}
