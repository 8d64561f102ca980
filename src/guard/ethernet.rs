//! Packet sockets (packet(7)): one to send frames from an interface, one on which the agent hears answers.
//!
//! A listener is bound to one protocol, so that the kernel never shows it what leaves this box and never copies
//! forwarded traffic for it, and its filter wakes the agent only for packets that name one of the addresses asked for.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, send, socket};

use super::packets::{Frame, Mac};

/// Hardware type of an Ethernet (linux/if_arp.h).
const ARPHRD_ETHER: u16 = 1;
/// A classic BPF jump reaches this many instructions, and so does the list of addresses.
const MAX_ADDRESSES: usize = 100;
/// A filter that lets a packet through says how much of it.
const WHOLE_PACKET: u32 = 2_048;

/// Which of the two protocols a listener hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hears {
    /// ARP packets whose sender address is asked for.
    Arp,
    /// IPv6 neighbour advertisements for, and solicitations from, an address asked for.
    NeighbourDiscovery,
}

/// Sends frames from one interface; opened when needed, so that it never holds a stale interface.
pub struct Sender {
    socket: OwnedFd,
    /// The interface's own hardware address.
    pub mac: Mac,
}

impl Sender {
    /// Opens one on `interface`. `ENODEV` if there is no such interface, `EAFNOSUPPORT` if it is no Ethernet.
    pub fn open(interface: &str) -> nix::Result<Self> {
        let socket = bound_socket(interface, 0, None)?;
        let mac = mac_of(&socket)?;
        Ok(Self { socket, mac })
    }

    /// Queues a frame without waiting.
    pub fn send(&self, frame: &Frame) -> nix::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT).map(drop)
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
    /// Opens one on `interface` for `addresses`; those of the other protocol are passed over.
    pub fn open(interface: &str, hears: Hears, addresses: &[IpAddr]) -> nix::Result<Self> {
        let ethertype = match hears {
            Hears::Arp => libc::ETH_P_ARP,
            Hears::NeighbourDiscovery => libc::ETH_P_IPV6,
        };
        let ethertype = u16::try_from(ethertype).map_err(|_| Errno::EINVAL)?;
        let socket = bound_socket(interface, ethertype, Some(&filter(hears, addresses)))?;
        let mac = mac_of(&socket)?;
        Ok(Self { socket, mac })
    }
}

/// Opens a packet socket, attaches the filter before the first packet can come, and binds it.
fn bound_socket(interface: &str, ethertype: u16, filter: Option<&[libc::sock_filter]>) -> nix::Result<OwnedFd> {
    let index = if_nametoindex(interface)?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    if let Some(filter) = filter {
        attach(&fd, filter)?;
    }
    bind(fd.as_raw_fd(), &link_address(index, ethertype)?)?;
    Ok(fd)
}

fn link_address(index: u32, ethertype: u16) -> nix::Result<LinkAddr> {
    // SAFETY: sockaddr_ll is plain numbers, for which all zeroes is a value.
    let mut raw: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    raw.sll_family = u16::try_from(libc::AF_PACKET).map_err(|_| Errno::EINVAL)?;
    raw.sll_protocol = ethertype.to_be();
    raw.sll_ifindex = i32::try_from(index).map_err(|_| Errno::ENODEV)?;
    // SAFETY: the pointer is to a whole sockaddr_ll with its family set, which is what is copied from it.
    unsafe { LinkAddr::from_raw((&raw const raw).cast(), None) }.ok_or(Errno::EINVAL)
}

/// Hardware address of the Ethernet to which a packet socket is bound.
fn mac_of(fd: &OwnedFd) -> nix::Result<Mac> {
    // SAFETY: sockaddr_ll is plain numbers, for which all zeroes is a value.
    let mut raw: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&raw)).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel writes at most `length` bytes, which is the size of `raw`. (nix insists that it fills all
    // of them; for a packet socket it leaves the end of the hardware address out.)
    let done = unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut raw).cast(), &raw mut length) };
    Errno::result(done)?;
    if raw.sll_hatype != ARPHRD_ETHER {
        return Err(Errno::EAFNOSUPPORT);
    }
    raw.sll_addr.first_chunk().copied().ok_or(Errno::EINVAL)
}

fn attach(fd: &OwnedFd, filter: &[libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?,
        filter: filter.as_ptr().cast_mut(),
    };
    let length = libc::socklen_t::try_from(size_of_val(&program)).map_err(|_| Errno::EINVAL)?;
    let option = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: `program` and the instructions that it points to outlive the call, and the kernel only reads them.
    let done = unsafe { libc::setsockopt(fd.as_raw_fd(), option.0, option.1, (&raw const program).cast(), length) };
    Errno::result(done).map(drop)
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

/// The program (classic BPF) that lets through what names one of `addresses`. Of an IPv6 address it compares the
/// last four bytes; the agent compares the rest. A load past the end of a packet refuses it.
fn filter(hears: Hears, addresses: &[IpAddr]) -> Vec<libc::sock_filter> {
    let tails: Vec<u32> = addresses.iter().filter_map(|ip| tail_of(*ip, hears)).collect();
    let load = match hears {
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

/// Accepts the packet if the loaded word is one of `tails`; any, if there are more than a jump can pass over.
fn accept_one_of(tails: &[u32]) -> Vec<libc::sock_filter> {
    if tails.len() > MAX_ADDRESSES {
        return vec![answer(WHOLE_PACKET)];
    }
    let to_accept = (1u8..=100).take(tails.len()).rev();
    let compare = tails.iter().zip(to_accept).map(|(tail, distance)| if_equal(*tail, distance, 0));
    compare.chain([answer(0), answer(WHOLE_PACKET)]).collect()
}

/// The last four bytes of an address of the kind that is heard.
fn tail_of(ip: IpAddr, hears: Hears) -> Option<u32> {
    match (ip, hears) {
        (IpAddr::V4(ip), Hears::Arp) => Some(ip.to_bits()),
        (IpAddr::V6(ip), Hears::NeighbourDiscovery) => ip.octets().last_chunk().map(|tail| u32::from_be_bytes(*tail)),
        (IpAddr::V4(_), Hears::NeighbourDiscovery) | (IpAddr::V6(_), Hears::Arp) => None,
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
    use crate::agent::answers::{self, Answer};
    use crate::guard::packets::{announcement, query};
    use crate::guard::testing::{Veth, in_namespace};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// What has arrived a little after the frame number `count`, as the agent understands it.
    fn heard(listener: &Listener, count: usize) -> Vec<Option<Answer>> {
        let mut heard = Vec::new();
        let mut frame = [0; 2_048];
        loop {
            let wait_ms: u16 = if heard.len() < count { 30_000 } else { 100 };
            if poll(&mut [PollFd::new(listener.socket.as_fd(), PollFlags::POLLIN)], PollTimeout::from(wait_ms)) != Ok(1)
            {
                return heard;
            }
            let length = read(&listener.socket, &mut frame).expect("a frame");
            heard.push(answers::parse(&frame[..length], listener.mac));
        }
    }

    #[test]
    fn only_packets_that_name_an_address_asked_for_wake_the_agent() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let asked = [ip("10.9.0.100"), ip("fd00::100")];
            let arp = Listener::open("near", Hears::Arp, &asked).expect("a listener");
            let nd = Listener::open("near", Hears::NeighbourDiscovery, &asked).expect("a listener");
            let far = Sender::open("far").expect("a sender");
            let others = [ip("10.9.0.101"), ip("fd00::101")];
            for ip in asked.into_iter().chain(others) {
                announcement(ip, far.mac).iter().for_each(|frame| far.send(frame).expect("sent"));
                far.send(&query(ip, None, far.mac)).expect("sent");
            }
            let near = Sender::open("near").expect("a sender");
            announcement(asked[0], near.mac).iter().for_each(|frame| near.send(frame).expect("sent"));
            let answer = |ip| Some(Answer { ip, mac: far.mac });
            assert_eq!(
                heard(&arp, 2),
                [answer(asked[0]), answer(asked[0])],
                "request and reply, and nothing of our own"
            );
            assert_eq!(heard(&nd, 1), [answer(asked[1])]);
        });
    }

    #[test]
    fn a_solicitation_names_its_source() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let nd = Listener::open("near", Hears::NeighbourDiscovery, &[ip("fd00::2")]).expect("a listener");
            let far = Sender::open("far").expect("a sender");
            far.send(&query(ip("fd00::9"), "fd00::2".parse().ok(), far.mac)).expect("sent");
            far.send(&query(ip("fd00::2"), "fd00::3".parse().ok(), far.mac)).expect("sent");
            assert_eq!(heard(&nd, 1), [Some(Answer { ip: ip("fd00::2"), mac: far.mac })]);
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
                let arp = Listener::open("near", Hears::Arp, addresses).expect("the kernel accepts the filter");
                let far = Sender::open("far").expect("a sender");
                far.send(&announcement(many[1], far.mac)[0]).expect("sent");
                assert_eq!(heard(&arp, 1).len(), 1);
            }
        });
    }

    #[test]
    fn an_interface_that_is_absent_or_no_ethernet_is_refused() {
        in_namespace(|| {
            assert_eq!(Sender::open("absent").err(), Some(Errno::ENODEV));
            assert_eq!(Sender::open("lo").err(), Some(Errno::EAFNOSUPPORT));
            assert_eq!(Listener::open("absent", Hears::Arp, &[]).err(), Some(Errno::ENODEV));
        });
    }
}
