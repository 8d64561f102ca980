//! Third parties on our LANs: the agent hears them, remembers who has answered, and asks them when the node
//! wants to know whether an interface leads anywhere.
//!
//! Whatever they say comes from strangers. A frame costs a look at its addresses; a flood costs no more than
//! what the small buffer of a socket holds, once an interval. At rest the sockets wake nobody.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crosswire::config::{MAX_INTERFACES, interface_bit};
use crosswire::quorum::Event;
use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{MsgFlags, send};

use super::Agent;
use super::probe_replies::{self, ProbeReply};
use crate::clock;
use crate::gather::{Gather, sort_by_key};
use crate::guard::kernel::packets::{Mac, query};
use crate::settings::neighbours::{addresses_of_box, hardware_address, is_link_local, known_to_kernel};

/// Most neighbours that are asked in one round.
const MAX_ASKED: usize = 8;
/// Most that are remembered: those who have answered, and some who were only heard.
const MAX_KNOWN: usize = 12;
/// Most questions on an interface whose answers may still come.
const MAX_UNANSWERED: usize = 64;
/// Most hardware addresses that are known to be the peer's, or this box's.
const MAX_OTHERS: usize = 32;
/// How long an answer may take. One that takes longer is only somebody who was heard.
const ANSWERS_WITHIN: Span = Span::from_s(1);
/// How often the kernel is asked whom it knows, where nobody else is known.
const LEARNS_EVERY: Span = Span::from_s(5);
/// Most frames in a turn.
const MAX_FRAMES: usize = 32;

/// By interface: since when a neighbour must have been heard there.
type Heard = heapless::Vec<(u8, Instant), MAX_INTERFACES>;

/// A socket on which every ARP or neighbour discovery frame of an interface arrives.
struct Lookout {
    interface: u8,
    mac: Mac,
    is_v6: bool,
    /// From where neighbours are asked over IPv6.
    local: Option<Ipv6Addr>,
    socket: OwnedFd,
    /// Everything that had arrived by then was read.
    read_at: Instant,
}

/// Somebody on an interface.
#[derive(Clone, Copy)]
struct Known {
    interface: u8,
    ip: IpAddr,
    mac: Mac,
    /// When the newest question that it answered left.
    answered_at: Option<Instant>,
    /// When it was heard, while it might have been the peer.
    untold_at: Option<Instant>,
}

/// A question that may still be answered.
#[derive(Clone, Copy)]
struct Question {
    interface: u8,
    ip: IpAddr,
    at: Instant,
}

/// The third parties on all interfaces.
pub struct Neighbourhood {
    lookouts: Vec<Lookout>,
    known: Vec<Known>,
    questions: Vec<Question>,
    /// Hardware addresses of the peer and of this box.
    others: Vec<Mac>,
    /// By interface, a bit where the peer lives whose hardware address is not known yet: what it says there
    /// cannot be told from what a third party says.
    unmet: u32,
    /// When the kernel may be asked again whom it knows.
    learn_at: Instant,
    /// When the sockets are read next although nobody was asked.
    look_at: Instant,
}

impl Neighbourhood {
    /// Hears nobody until it is given sockets.
    pub const fn new() -> Self {
        Self {
            lookouts: Vec::new(),
            known: Vec::new(),
            questions: Vec::new(),
            others: Vec::new(),
            unmet: 0,
            learn_at: Instant::ORIGIN,
            look_at: Instant::ORIGIN,
        }
    }

    /// Takes over a socket. There is one for each protocol of an interface, on which the peer may have an
    /// address of its own.
    pub fn become_lookout(
        &mut self,
        interface: u8,
        (name, peer): (&str, Option<IpAddr>),
        (is_v6, mac): (bool, Mac),
        socket: OwnedFd,
    ) {
        self.lookouts.retain(|known| known.interface != interface || known.is_v6 != is_v6);
        let own = addresses_of_box();
        let local = own.iter().find_map(|(on, ip, _)| match ip {
            IpAddr::V6(ip) if on == name && is_link_local(IpAddr::V6(*ip)) => Some(*ip),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        });
        let read_at = clock::now();
        self.lookouts.push(Lookout { interface, mac, is_v6, local, socket, read_at });
        let all = getifaddrs();
        let macs = all.map(|all| all.filter_map(|found| found.address?.as_link_addr()?.addr()).gather());
        macs.unwrap_or_default().into_iter().for_each(|mac| self.is_no_neighbour(mac));
        if let Some(peer) = peer {
            self.unmet |= bit(interface);
            let known = hardware_address(name, peer);
            known.into_iter().for_each(|mac| self.meet_peer(interface, mac));
        }
    }

    /// The peer lives there on an interface.
    pub fn meet_peer(&mut self, interface: u8, mac: Mac) {
        self.unmet &= !bit(interface);
        self.is_no_neighbour(mac);
    }

    /// This hardware address is the peer's, or this box's.
    pub fn is_no_neighbour(&mut self, mac: Mac) {
        if mac == [0; 6] || self.others.contains(&mac) {
            return;
        }
        if self.others.len() == MAX_OTHERS {
            self.others.remove(0);
        }
        self.others.push(mac);
        self.known.retain(|known| known.mac != mac);
    }

    /// What to poll: nothing, unless somebody was asked.
    pub fn descriptors(&self, now: Instant) -> impl Iterator<Item = BorrowedFd<'_>> {
        let is_asked = move |lookout: &&Lookout| {
            let mut questions = self.questions.iter();
            questions.any(|question| question.interface == lookout.interface && is_open(question, now))
        };
        self.lookouts.iter().filter(is_asked).map(|lookout| lookout.socket.as_fd())
    }

    /// Whether it is time to look who was heard.
    fn is_due(&self, now: Instant) -> bool {
        now >= self.look_at && !self.lookouts.is_empty()
    }

    /// Asks neighbours on an interface. The first question of a series goes to the one who answered last; if
    /// nobody has answered it by the next, all are asked.
    fn ask(&mut self, now: Instant, interface: u8, name: &str) {
        // What was heard before the question proves nothing; whoever was heard is remembered.
        self.listen(now);
        self.questions.retain(|question| is_open(question, now));
        if !self.known.iter().any(|known| known.interface == interface) && now >= self.learn_at {
            self.learn_at = now + LEARNS_EVERY;
            self.learn(interface, name);
        }
        let is_urgent = self.questions.iter().any(|question| question.interface == interface);
        let mut asked = self.known.iter().filter(|known| known.interface == interface).copied().gather();
        sort_by_key(&mut asked, |known| core::cmp::Reverse(known.answered_at));
        for known in asked.iter().take(if is_urgent { MAX_ASKED } else { 1 }) {
            let of_protocol =
                |lookout: &&Lookout| lookout.interface == interface && lookout.is_v6 == known.ip.is_ipv6();
            let Some(lookout) = self.lookouts.iter().find(of_protocol) else { continue };
            let frame = query(known.ip, lookout.local, lookout.mac);
            let has_left = send(lookout.socket.as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT).is_ok();
            if has_left && self.questions.len() < MAX_UNANSWERED {
                self.questions.push(Question { interface, ip: known.ip, at: now });
            }
        }
    }

    /// Whom the kernel knows on an interface, its gateway first: for an agent that has heard nobody yet.
    fn learn(&mut self, interface: u8, name: &str) {
        for ip in known_to_kernel(name).into_iter().take(MAX_ASKED) {
            self.remember(Known { interface, ip, mac: [0; 6], answered_at: None, untold_at: None });
        }
    }

    /// Remembers somebody. Who has answered takes the place of who was only heard, never the other way round.
    fn remember(&mut self, new: Known) {
        if let Some(known) =
            self.known.iter_mut().find(|known| (known.interface, known.ip) == (new.interface, new.ip))
        {
            *known = Known { answered_at: known.answered_at.max(new.answered_at), ..new };
            return;
        }
        let here = |known: &Known| known.interface == new.interface;
        if self.known.iter().filter(|known| here(known)).count() >= MAX_KNOWN {
            let oldest = self.known.iter().enumerate().filter(|(_, known)| here(known));
            let Some((index, oldest)) = oldest.min_by_key(|(_, known)| known.answered_at) else { return };
            if oldest.answered_at > new.answered_at
                || (oldest.answered_at.is_some() && new.answered_at.is_none())
            {
                return;
            }
            self.known.remove(index);
        }
        self.known.push(new);
    }

    /// Reads what has arrived. By interface: since when a neighbour must have been heard there.
    fn listen(&mut self, now: Instant) -> Heard {
        let mut heard = Heard::new();
        let mut found: heapless::Vec<(u8, ProbeReply, Instant), MAX_FRAMES> = heapless::Vec::new();
        let mut room = [0; 256];
        self.lookouts.retain_mut(|lookout| {
            while !found.is_full() {
                match nix::unistd::read(&lookout.socket, &mut room) {
                    Ok(length) => {
                        let frame = room.get(..length).unwrap_or_default();
                        let said = probe_replies::parse(frame, lookout.mac);
                        let said = said.filter(|said| said.mac != lookout.mac);
                        found.extend(said.map(|said| (lookout.interface, said, lookout.read_at)));
                    }
                    Err(Errno::EAGAIN) => {
                        lookout.read_at = now;
                        return true;
                    }
                    Err(Errno::EINTR) => {}
                    Err(_) => return false,
                }
            }
            true
        });
        found.retain(|(_, said, _)| !self.others.contains(&said.mac));
        for (interface, said, since) in found {
            let ProbeReply { ip, mac, .. } = said;
            if self.unmet & bit(interface) != 0 {
                self.remember(Known { interface, ip, mac, answered_at: None, untold_at: Some(since) });
                continue;
            }
            let answered_at = self.answered(now, interface, ip);
            self.remember(Known { interface, ip, mac, answered_at, untold_at: None });
            note(&mut heard, interface, answered_at.max(Some(since)).unwrap_or(since));
        }
        for known in self.known.iter_mut().filter(|known| self.unmet & bit(known.interface) == 0) {
            known.untold_at.take().into_iter().for_each(|at| note(&mut heard, known.interface, at));
        }
        heard
    }

    /// The question that somebody may have answered: the oldest, since the answer to an older one may have
    /// been late.
    fn answered(&mut self, now: Instant, interface: u8, ip: IpAddr) -> Option<Instant> {
        self.questions.retain(|question| is_open(question, now));
        let is_it = |question: &Question| (question.interface, question.ip) == (interface, ip);
        let index = self.questions.iter().position(is_it)?;
        Some(self.questions.remove(index).at)
    }
}

/// Notes that a neighbour was heard on an interface.
fn note(heard: &mut Heard, interface: u8, at: Instant) {
    match heard.iter_mut().find(|(known, _)| *known == interface) {
        Some((_, newest)) => *newest = at.max(*newest),
        // There is room for every interface.
        None => drop(heard.push((interface, at))),
    }
}

/// The bit of an interface.
fn bit(interface: u8) -> u32 {
    interface_bit(usize::from(interface))
}

/// It may still be answered.
fn is_open(question: &Question, now: Instant) -> bool {
    now.since(question.at) < ANSWERS_WITHIN
}

impl Agent<'_> {
    /// Asks the neighbours on these interfaces, a bit for each.
    pub(super) fn ask_neighbours(&mut self, interfaces: u32) {
        let now = clock::now();
        for (interface, name) in (0_u8..).zip(&self.settings.interfaces) {
            if interfaces & bit(interface) != 0 {
                self.neighbourhood.ask(now, interface, name);
            }
        }
    }

    /// Hands in who was heard, and who has answered.
    pub(super) fn hear_neighbours(&mut self) {
        let now = clock::now();
        self.neighbourhood.look_at = now + self.settings.policy.interval();
        for (interface, at) in self.neighbourhood.listen(now) {
            self.step(now, Event::NeighbourHeard(interface, at));
        }
    }

    /// Looks once an interval who was heard, although nobody was asked.
    pub(super) fn overhear_neighbours(&mut self, now: Instant) {
        if self.neighbourhood.is_due(now) {
            self.hear_neighbours();
        }
    }
}

#[cfg(test)]
#[path = "neighbours_tests.rs"]
mod tests;
