//! Interfaces and addresses as the kernel reports their changes: carrier for the decision, interfaces that
//! appear for the guard's own sockets, and addresses that come or go although nobody here wanted it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crosswire::time::{Instant, Span};
use log::info;
use netlink_packet_core::NlasIterator;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, SockFlag, recv};

use crate::clock::now;
use crate::gather::Gather;
use crate::guard::kernel::addresses::{RTM_DELADDR, RTM_NEWADDR, Seen, parse as parse_address};
use crate::guard::kernel::netlink::{Netlink, Request, attribute, for_each_message, open_socket};
use crate::guard::kernel::packets::Mac;
use crate::settings::NAME_BEGINS;

// linux/rtnetlink.h, linux/if_link.h
pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
pub(super) const IFLA_LINK: u16 = 5;
pub(super) const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;
pub(super) const IFLA_MACVLAN_MODE: u16 = 1;
/// `struct ifinfomsg`; all zero in a request that goes by the name.
const LINK_HEADER_BYTES: usize = 16;
/// Room for one datagram of events; the kernel's are shorter.
const EVENT_BYTES: usize = 8_192;
/// Events are read until none is left, but the loop goes on after this many datagrams.
const MAX_READS: usize = 64;

/// How long after the last time everything is asked for again at the earliest.
const MAKE_UP_EVERY: Span = Span::from_s(1);

/// Something happened to an interface, named by its index in `Settings::interfaces`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkEvent {
    /// It was switched on, has appeared, or has another hardware address: packet sockets opened before that
    /// are dead or mistaken.
    CameUp(u8),
    /// Its carrier is there or not. Absent and switched off count as not.
    Carrier(u8, bool),
    /// Something has happened to an interface that is called as macvlans of ours are.
    Macvlan,
    /// An address of the box has come, or has other properties.
    AddressThere(Seen),
    /// An address of the box has gone.
    AddressGone(Seen),
    /// More has happened than the kernel could report: nothing is known of the addresses.
    Missed,
}

/// The interfaces of the configuration.
pub struct Links {
    events: OwnedFd,
    links: Vec<Link>,
    /// The kernel had to drop events, and nobody has asked for everything since.
    has_missed: bool,
    /// When everything was last asked for.
    made_up_at: Instant,
    /// Where events are read to.
    room: Vec<u8>,
}

struct Link {
    name: String,
    number: u8,
    state: State,
    is_reported: bool,
}

/// What the kernel last said of an interface; the default is that of an absent one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct State {
    pub index: u32,
    pub is_up: bool,
    has_carrier: bool,
    pub mac: Option<Mac>,
}

/// A link message, as far as it is read.
#[derive(Default)]
pub(super) struct Report {
    name: Option<String>,
    pub state: State,
    pub mtu: u32,
    /// The index of the interface below.
    pub below: u32,
    /// The mode of a macvlan; none of another kind has one.
    pub macvlan_mode: Option<u32>,
}

impl Links {
    /// Begins to listen, so that no change after this moment is missed. Nothing is known before
    /// [`Links::refresh`].
    pub fn open(interfaces: &[String]) -> nix::Result<Self> {
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        let groups = u32::try_from(groups).map_err(|_| Errno::EINVAL)?;
        let events = open_socket(groups, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
        Ok(Self::over(events, interfaces))
    }

    /// The same over a socket that is open already.
    pub fn over(events: OwnedFd, interfaces: &[String]) -> Self {
        let numbered = (0u8..).zip(interfaces);
        let links = numbered.map(|(number, name)| Link {
            name: name.clone(),
            number,
            state: State::default(),
            is_reported: false,
        });
        Self {
            events,
            links: links.gather(),
            has_missed: false,
            made_up_at: Instant::ORIGIN,
            room: vec![0; EVENT_BYTES],
        }
    }

    /// Asks for every interface, and reports each for the first time or as it has changed.
    pub fn refresh(&mut self) -> nix::Result<Vec<LinkEvent>> {
        let mut netlink = Netlink::open()?;
        let mut events = Vec::new();
        for link in &mut self.links {
            let state = match ask(&mut netlink, &link.name) {
                Ok(report) => report.state,
                // If no answer came in time, nothing is known of it.
                Err(Errno::ETIMEDOUT) => return Err(Errno::ETIMEDOUT),
                // An interface that is not there is absent.
                Err(_) => State::default(),
            };
            link.become_state(state, &mut events);
        }
        Ok(events)
    }

    /// Notes that events may be missing: this one takes the place of another, whose last events nobody has
    /// read.
    pub fn note_gap(&mut self) {
        self.has_missed = true;
    }

    /// What is known of every interface, as if it had just happened: for an agent that was not there when it
    /// did.
    pub fn all(&self) -> Vec<LinkEvent> {
        let carriers = self.links.iter().map(|link| LinkEvent::Carrier(link.number, link.state.has_carrier));
        carriers.chain(self.came_up()).gather()
    }

    /// The event, for every interface that is up, that it came up.
    fn came_up(&self) -> impl Iterator<Item = LinkEvent> {
        self.links.iter().filter(|link| link.state.is_up).map(|link| LinkEvent::CameUp(link.number))
    }

    /// Reads what has happened. If the kernel had to drop events, those that it kept are older than the
    /// dropped ones: they are read first, then everything is asked for again, until that works.
    ///
    /// # Errors
    /// Why no more is known than the events that were added until then.
    pub fn read_events(&mut self, events: &mut Vec<LinkEvent>) -> nix::Result<()> {
        let mut room = std::mem::take(&mut self.room);
        let result = self.read_through(&mut room, events);
        self.room = room;
        result
    }

    fn read_through(&mut self, datagram: &mut [u8], events: &mut Vec<LinkEvent>) -> nix::Result<()> {
        for _ in 0..MAX_READS {
            match recv(self.events.as_raw_fd(), datagram, MsgFlags::empty()) {
                Ok(length) => {
                    for_each_message(datagram.get(..length).unwrap_or_default(), |header, payload| {
                        let address = || parse_address(payload);
                        match header.kind {
                            RTM_NEWLINK | RTM_DELLINK => {
                                let report = parse(payload);
                                report
                                    .iter()
                                    .for_each(|report| self.take(header.kind == RTM_DELLINK, report, events));
                            }
                            RTM_NEWADDR => events.extend(address().map(LinkEvent::AddressThere)),
                            RTM_DELADDR => events.extend(address().map(LinkEvent::AddressGone)),
                            _ => {}
                        }
                    })
                }
                Err(Errno::EAGAIN) if self.has_missed => return self.make_up(events),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => self.has_missed = true,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Learns what the dropped events would have said; not more often than is good in a storm of them. An
    /// interface that is as it was may have been away meanwhile.
    fn make_up(&mut self, events: &mut Vec<LinkEvent>) -> nix::Result<()> {
        if now() < self.made_up_at + MAKE_UP_EVERY {
            return Ok(());
        }
        self.made_up_at = now();
        events.extend(self.refresh()?);
        let untold: Vec<_> = self.came_up().filter(|event| !events.contains(event)).gather();
        events.extend(untold);
        events.push(LinkEvent::Missed);
        self.has_missed = false;
        Ok(())
    }

    fn take(&mut self, is_gone: bool, report: &Report, events: &mut Vec<LinkEvent>) {
        if report.name.as_ref().is_some_and(|name| name.starts_with(NAME_BEGINS)) {
            events.push(LinkEvent::Macvlan);
        }
        for link in &mut self.links {
            let is_named = report.name.as_ref() == Some(&link.name);
            // An interface that is renamed away is as good as gone.
            let was_it = link.state.index == report.state.index;
            match (is_named, was_it) {
                (true, _) if !is_gone => link.become_state(report.state, events),
                (_, true) => link.become_state(State::default(), events),
                (true | false, false) => {}
            }
        }
    }
}

impl AsFd for Links {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

impl Link {
    fn become_state(&mut self, state: State, events: &mut Vec<LinkEvent>) {
        let before = std::mem::replace(&mut self.state, state);
        if state.is_up && (!before.is_up || before.index != state.index || before.mac != state.mac) {
            events.push(LinkEvent::CameUp(self.number));
        }
        let is_news = before.has_carrier != state.has_carrier || !self.is_reported;
        if is_news {
            self.is_reported = true;
            info!("{}: {}", self.name, if state.has_carrier { "carrier" } else { "no carrier" });
        }
        // Even without a carrier it matters whether it is switched on: on a cable from box to box.
        if is_news || before.is_up != state.is_up {
            events.push(LinkEvent::Carrier(self.number, state.has_carrier));
        }
    }
}

/// What the kernel says of the interface of that name now.
pub(super) fn ask(netlink: &mut Netlink, name: &str) -> nix::Result<Report> {
    let mut body = vec![0; LINK_HEADER_BYTES];
    attribute(&mut body, IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
    let mut report = None;
    let request = Request { kind: RTM_GETLINK, flags: 0, body };
    let mut answers =
        netlink.ask(&[request], &mut |payload| report = parse(payload).or_else(|| report.take()));
    answers.pop().unwrap_or(Err(Errno::ETIMEDOUT))?;
    report.ok_or(Errno::ENODEV)
}

/// Reads a link message; none for the messages that a bridge or a radio sends about its own business.
fn parse(payload: &[u8]) -> Option<Report> {
    let header = LinkHeader::parse(payload).ok()?;
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let is_up = header.flags.contains(LinkFlags::Up);
    let has_carrier = is_up && header.flags.contains(LinkFlags::LowerUp | LinkFlags::Running);
    let state = State { index: header.index, is_up, has_carrier, mac: None };
    let mut report = Report { state, ..Report::default() };
    for_each_attribute(payload.get(LINK_HEADER_BYTES..)?, &mut |kind, value| match kind {
        IFLA_IFNAME => {
            let name = String::from_utf8(value.to_vec()).ok();
            report.name = name.map(|name| name.trim_end_matches('\0').to_owned());
        }
        IFLA_ADDRESS => report.state.mac = value.first_chunk().copied(),
        IFLA_MTU => report.mtu = number(value),
        IFLA_LINK => report.below = number(value),
        IFLA_LINKINFO => report.macvlan_mode = macvlan_mode(value),
        _ => {}
    });
    Some(report)
}

/// The mode in what the kernel says of the kind, if that is a macvlan.
fn macvlan_mode(info: &[u8]) -> Option<u32> {
    let (mut is_macvlan, mut mode) = (false, 0);
    for_each_attribute(info, &mut |kind, value| match kind {
        IFLA_INFO_KIND => is_macvlan = value.starts_with(b"macvlan"),
        IFLA_INFO_DATA => for_each_attribute(value, &mut |kind, value| {
            if kind == IFLA_MACVLAN_MODE {
                mode = number(value);
            }
        }),
        _ => {}
    });
    is_macvlan.then_some(mode)
}

fn for_each_attribute(bytes: &[u8], each: &mut dyn FnMut(u16, &[u8])) {
    NlasIterator::new(bytes).flatten().for_each(|found| each(found.kind(), found.value()));
}

fn number(value: &[u8]) -> u32 {
    value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::socket::{setsockopt, sockopt};

    use super::*;
    use crate::guard::testing::{Veth, in_namespace, set_up};

    fn links() -> Links {
        Links::open(&["near".to_owned(), "absent".to_owned()]).expect("a socket")
    }

    /// Events until `last` has come.
    fn events_until(links: &mut Links, last: LinkEvent) -> Vec<LinkEvent> {
        let mut events = Vec::new();
        let give_up = now() + Span::from_s(30);
        while !events.contains(&last) {
            assert!(now() < give_up, "{events:?}");
            std::thread::sleep(Duration::from_millis(5));
            links.read_events(&mut events).expect("events");
        }
        events.retain(|event| matches!(event, LinkEvent::CameUp(_) | LinkEvent::Carrier(..)));
        events
    }

    #[test]
    fn every_interface_is_reported_at_start_and_an_absent_one_is_down() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut links = links();
            let first = links.refresh().expect("a dump");
            use LinkEvent::{CameUp, Carrier};
            assert_eq!(first, [CameUp(0), Carrier(0, true), Carrier(1, false)]);
            assert_eq!(links.refresh(), Ok(vec![]), "nothing has changed");
        });
    }

    #[test]
    fn carrier_and_the_interface_itself_go_and_come_back() {
        in_namespace(|| {
            let veth = Veth::up("near", "far");
            let mut links = links();
            links.refresh().expect("a dump");
            veth.pull();
            let down = events_until(&mut links, LinkEvent::Carrier(0, false));
            assert_eq!(down, [LinkEvent::Carrier(0, false)]);
            veth.plug();
            let up = events_until(&mut links, LinkEvent::Carrier(0, true));
            assert_eq!(up, [LinkEvent::Carrier(0, true)], "it was never switched off");
            veth.remove();
            events_until(&mut links, LinkEvent::Carrier(0, false));
            let _veth = Veth::up("near", "far");
            let back = events_until(&mut links, LinkEvent::Carrier(0, true));
            assert!(back.contains(&LinkEvent::CameUp(0)), "{back:?}");
        });
    }

    #[test]
    fn after_an_overrun_what_is_true_now_counts_and_not_what_was_kept() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut links = links();
            links.refresh().expect("a dump");
            setsockopt(&links.events, sockopt::RcvBuf, &0).expect("room for hardly more than one event");
            for _ in 0..8 {
                set_up("near", false);
                set_up("near", true);
            }
            let give_up = now() + Span::from_s(30);
            while !super::tests::links().refresh().expect("a dump").contains(&LinkEvent::Carrier(0, true)) {
                assert!(now() < give_up, "no carrier");
                std::thread::sleep(Duration::from_millis(5));
            }
            let events = events_until(&mut links, LinkEvent::Missed);
            let last = |wanted: fn(&LinkEvent) -> bool| events.iter().rfind(|event| wanted(event)).copied();
            assert_eq!(
                last(|event| matches!(event, LinkEvent::Carrier(0, _))),
                Some(LinkEvent::Carrier(0, true))
            );
            assert!(events.contains(&LinkEvent::CameUp(0)), "packet sockets have died: {events:?}");
        });
    }
}
