//! Requests to the kernel's routing socket: everything that the `ip` command would be needed for.
//!
//! A routing socket belongs to the namespace of the thread that opened it, for ever; so whoever holds an
//! [`Rtnl`] can arrange that namespace from any thread.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Mutex;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::sys::socket::{
    AddressFamily as Family, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Longest wait for an answer; the kernel answers within the call, so only a bug gets here.
const ANSWER_WAIT_S: i64 = 5;
/// Larger than any answer: a dump datagram is at most 32 KB.
const BUFFER_BYTES: usize = 65_536;

/// A routing socket of one namespace.
pub struct Rtnl {
    socket: Mutex<OwnedFd>,
}

/// One end of a virtual Ethernet cable.
#[derive(Clone, Debug)]
pub struct VethEnd {
    /// Interface name.
    pub name: String,
    /// Interface index, fixed so that the two ends never have the same one: the kernel reports a carrier
    /// change of a veth at once only if its index differs from its peer's, otherwise up to a second late
    /// (net/core/link_watch.c).
    pub index: u32,
    /// Hardware address.
    pub mac: [u8; 6],
}

/// What a link says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkState {
    /// Set up by its administrator (IFF_UP).
    pub up: bool,
    /// Up and with carrier (IFF_RUNNING).
    pub running: bool,
    /// The other end is there (IFF_LOWER_UP).
    pub lower_up: bool,
}

/// An address on an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Interface index.
    pub interface: u32,
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// Seconds until the kernel removes it; `None` is for ever.
    pub valid_s: Option<u32>,
}

impl Rtnl {
    /// Opens a socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// Whatever socket(2) says.
    pub fn open() -> io::Result<Self> {
        let fd = socket(Family::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_WAIT_S))?;
        Ok(Self { socket: Mutex::new(fd) })
    }

    /// Makes a virtual cable with `here` in this namespace and `there` in another; both ends down.
    ///
    /// # Errors
    /// The kernel's: EEXIST if a name or index is taken, EOPNOTSUPP without the veth driver.
    pub fn add_veth(&self, here: &VethEnd, there: &VethEnd, other: impl AsFd) -> io::Result<()> {
        let mut peer = link_named(there);
        peer.attributes.push(LinkAttribute::NetNsFd(other.as_fd().as_raw_fd()));
        let mut link = link_named(here);
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Deletes an interface (and the other end of a veth).
    ///
    /// # Errors
    /// The kernel's: ENODEV if there is none.
    pub fn delete_link(&self, index: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        self.change(RouteNetlinkMessage::DelLink(link), 0)
    }

    /// Sets an interface up or down. Taking one end of a veth down takes the carrier from the other.
    ///
    /// # Errors
    /// The kernel's: ENODEV if there is none.
    pub fn set_up(&self, index: u32, up: bool) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.change_mask = LinkFlags::Up;
        link.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        self.change(RouteNetlinkMessage::SetLink(link), 0)
    }

    /// Keeps the kernel from giving an interface an IPv6 address of its own accord.
    ///
    /// # Errors
    /// The kernel's: EAFNOSUPPORT without IPv6.
    pub fn without_ipv6_autoconfiguration(&self, index: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        link.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]));
        self.change(RouteNetlinkMessage::SetLink(link), 0)
    }

    /// Adds an address, or sets the lifetime of one that is there; IPv6 without duplicate detection.
    /// `valid_s` is the kernel lifetime in seconds; `None` is for ever.
    ///
    /// # Errors
    /// The kernel's: ENODEV if there is no such interface, EINVAL for a lifetime of 0.
    pub fn add_address(
        &self,
        interface: u32,
        ip: IpAddr,
        prefix: u8,
        valid_s: Option<u32>,
    ) -> io::Result<()> {
        let mut message = address_message(interface, ip, prefix);
        if let Some(seconds) = valid_s {
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_valid = seconds;
            lifetime.ifa_preferred = seconds;
            message.attributes.push(AddressAttribute::CacheInfo(lifetime));
        }
        if ip.is_ipv6() {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Removes an address.
    ///
    /// # Errors
    /// The kernel's: EADDRNOTAVAIL if it is not there.
    pub fn delete_address(&self, interface: u32, ip: IpAddr, prefix: u8) -> io::Result<()> {
        self.change(RouteNetlinkMessage::DelAddress(address_message(interface, ip, prefix)), 0)
    }

    /// The flags of an interface now.
    ///
    /// # Errors
    /// The kernel's: ENODEV if there is none.
    pub fn link_state(&self, index: u32) -> io::Result<LinkState> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        for answer in self.exchange(RouteNetlinkMessage::GetLink(link), NLM_F_ACK)? {
            if let RouteNetlinkMessage::NewLink(link) = answer {
                let flags = link.header.flags;
                return Ok(LinkState {
                    up: flags.contains(LinkFlags::Up),
                    running: flags.contains(LinkFlags::Running),
                    lower_up: flags.contains(LinkFlags::LowerUp),
                });
            }
        }
        Err(io::Error::other(format!("the kernel said nothing of interface {index}")))
    }

    /// All addresses of this namespace.
    ///
    /// # Errors
    /// The kernel's.
    pub fn addresses(&self) -> io::Result<Vec<Held>> {
        let answers =
            self.exchange(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP)?;
        let held = answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) => held_in(message),
            _ => None,
        });
        Ok(held.collect())
    }

    /// Gives another namespace a number under which this one hears of it.
    ///
    /// # Errors
    /// The kernel's: EEXIST if either is taken.
    pub fn number_namespace(&self, other: impl AsFd, number: i32) -> io::Result<()> {
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Id(number));
        message
            .attributes
            .push(NsidAttribute::Fd(u32::try_from(other.as_fd().as_raw_fd()).unwrap_or(u32::MAX)));
        self.change(RouteNetlinkMessage::NewNsId(message), 0)
    }

    /// A request that only succeeds or fails.
    fn change(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.exchange(message, NLM_F_ACK | flags).map(drop)
    }

    /// Sends one request and collects its answers up to the acknowledgement or the end of the dump.
    fn exchange(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let socket = self.socket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        send(socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            for message in messages_in(&buffer[..length])? {
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Error(e) if e.code.is_some() => return Err(e.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {}
                }
            }
        }
    }
}

/// All messages of one datagram.
///
/// # Errors
/// `InvalidData` if the kernel sent what netlink-packet-route cannot read.
pub fn messages_in(datagram: &[u8]) -> io::Result<Vec<NetlinkMessage<RouteNetlinkMessage>>> {
    let mut messages = Vec::new();
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(|e| {
            io::Error::new(io::ErrorKind::InvalidData, format!("unreadable netlink message: {e}"))
        })?;
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
        messages.push(message);
        rest = rest.get(length..).unwrap_or(&[]);
    }
    Ok(messages)
}

/// The address that a message is about: the local one where it is given (IPv4), else the only one.
pub fn held_in(message: &AddressMessage) -> Option<Held> {
    let mut address = None;
    let mut local = None;
    let mut valid_s = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::CacheInfo(info) if info.ifa_valid != u32::MAX => valid_s = Some(info.ifa_valid),
            _ => {}
        }
    }
    let ip = local.or(address)?;
    Some(Held { interface: message.header.index, ip, prefix: message.header.prefix_len, valid_s })
}

fn link_named(end: &VethEnd) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = end.index;
    link.attributes.push(LinkAttribute::IfName(end.name.clone()));
    link.attributes.push(LinkAttribute::Address(end.mac.to_vec()));
    link
}

fn address_message(interface: u32, ip: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.index = interface;
    message.header.prefix_len = prefix;
    message.attributes.push(AddressAttribute::Local(ip));
    message.attributes.push(AddressAttribute::Address(ip));
    message
}
