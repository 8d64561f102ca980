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
use super::claims::Claims;
use super::probe_replies::{self, ProbeReply};
use crate::clock;
use crate::gather::{Gather, sort_by_key};
use crate::guard::kernel::packets::{Mac, query};
use crate::settings::neighbours::{KernelTables, addresses_of_box, is_link_local};

/// Most neighbours that are asked in one round.
const MAX_ASKED: usize = 8;
/// Most that are remembered: those who have answered, and some who were only heard.
const MAX_KNOWN: usize = 12;
/// Most questions on an interface whose answers may still come.
const MAX_UNANSWERED: usize = 64;
/// How long an answer may take. One that takes longer is only somebody who was heard.
const ANSWERS_WITHIN: Span = Span::from_s(1);
/// How often the kernel is asked for the gateway, and whom it knows where nobody else is known.
const LEARNS_EVERY: Span = Span::from_s(5);
/// A question so soon after one that nobody has answered belongs to the same series: a cut-off interface is
/// tried once a second.
const SERIES: Span = Span::from_s(2);
/// More microseconds than a box is up.
const NEVER_ANSWERED: u64 = 1 << 56;
/// Most frames in a turn.
const MAX_FRAMES: usize = 32;

/// By interface: since when a neighbour must have been heard there.
type Heard = heapless::Vec<(u8, Instant), MAX_INTERFACES>;

/// A socket on which every ARP or neighbour discovery frame of an interface arrives.
struct Lookout {
    interface: u8,
    mac: Mac,
    is_v6: bool,
    /// The service addresses there, and the peer's own, if it has one.
    ours: Vec<IpAddr>,
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
    heard_at: Instant,
    /// When it was asked last.
    asked_at: Option<Instant>,
    /// When the newest question that it answered left.
    answered_at: Option<Instant>,
    /// When it was heard, while it might have been the peer.
    untold_at: Option<Instant>,
}

impl Known {
    /// Somebody who was heard now.
    const fn new(now: Instant, interface: u8, ip: IpAddr, mac: Mac) -> Self {
        Self { interface, ip, mac, heard_at: now, asked_at: None, answered_at: None, untold_at: None }
    }

    /// Who has answered comes before who was only heard, and the newest first.
    fn order(&self) -> u64 {
        self.answered_at.map_or(2 * NEVER_ANSWERED - us(self.heard_at), |at| NEVER_ANSWERED - us(at))
    }
}

/// A question that may still be answered.
#[derive(Clone, Copy)]
struct Question {
    interface: u8,
    ip: IpAddr,
    at: Instant,
}

/// What is known of an interface as a whole.
struct Place {
    gateway: Option<IpAddr>,
    /// When the kernel may be asked again.
    learn_at: Instant,
    /// When the newest questions left, as long as nobody has answered.
    unanswered_at: Option<Instant>,
}

/// The third parties on all interfaces.
pub struct Neighbourhood {
    lookouts: Vec<Lookout>,
    known: Vec<Known>,
    questions: Vec<Question>,
    /// By interface.
    places: Vec<Place>,
    /// Hardware addresses of this box.
    own: Vec<Mac>,
    claims: Claims,
    tables: KernelTables,
    /// By interface, a bit where the peer has an address of its own. Until its hardware address has become
    /// known once, what it says there cannot be told from what a third party says.
    expected: u32,
    /// By interface, a bit where that has happened, however often the interface came anew since.
    met: u32,
    /// Who was heard, and was not handed in yet.
    heard: Heard,
    /// When the sockets are read next although nobody was asked.
    look_at: Instant,
}

impl Neighbourhood {
    /// Hears nobody until it is given sockets. `tables` says whom the kernel knows.
    pub const fn new(tables: KernelTables) -> Self {
        Self {
            lookouts: Vec::new(),
            known: Vec::new(),
            questions: Vec::new(),
            places: Vec::new(),
            own: Vec::new(),
            claims: Claims::new(),
            tables,
            expected: 0,
            met: 0,
            heard: Heard::new(),
            look_at: Instant::ORIGIN,
        }
    }

    /// Takes over a socket. There is one for each protocol of an interface, on which the peer may have an
    /// address of its own.
    pub fn become_lookout(
        &mut self,
        interface: u8,
        (name, peer, served): (&str, Option<IpAddr>, &[IpAddr]),
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
        let ours = served.iter().copied().chain(peer).gather();
        self.lookouts.push(Lookout { interface, mac, is_v6, ours, local, socket, read_at });
        let all = getifaddrs();
        let macs = all.map(|all| all.filter_map(|found| found.address?.as_link_addr()?.addr()).gather());
        self.own = macs.unwrap_or_default();
        if let Some(peer) = peer {
            self.expected |= bit(interface);
            let known = self.tables.hardware_address(name, peer);
            known.into_iter().for_each(|mac| self.meet_peer(read_at, interface, mac, false));
        }
    }

    /// A hardware address that both nodes share is no neighbour's, whichever of them has it.
    pub fn share(&mut self, vmac: Mac) {
        self.own.push(vmac);
    }

    /// The peer is said to live there on an interface: to have its own address there, or to serve. Whoever
    /// was heard under a link-local address may be the peer all the same. Who serves is always believed:
    /// where we know no address of the peer, it was heard as a third party before. So a lie about a service
    /// address takes a neighbour away there, until it lapses.
    pub fn meet_peer(&mut self, now: Instant, interface: u8, mac: Mac, is_serving: bool) {
        self.met |= bit(interface);
        if mac == [0; 6] || self.own.contains(&mac) {
            return;
        }
        let is_it = |known: &Known| (known.interface, known.mac) == (interface, mac);
        let is_third_party = self.known.iter().any(|known| is_it(known) && !is_link_local(known.ip));
        self.claims.note(now, interface, mac, is_third_party && !is_serving);
        if self.claims.is_peer(interface, mac) {
            self.known.retain(|known| !is_it(known));
        }
    }

    /// By interface, a bit where the peer cannot be told from third parties yet.
    fn unmet(&self) -> u32 {
        self.expected & !self.met
    }

    /// The peer lives at this hardware address, as far as is known.
    pub fn is_peer(&self, interface: u8, mac: Mac) -> bool {
        self.claims.is_peer(interface, mac)
    }

    /// What to poll: nothing, unless somebody was asked.
    pub fn descriptors(&self, now: Instant) -> impl Iterator<Item = BorrowedFd<'_>> {
        let is_asked = move |lookout: &&Lookout| {
            let mut questions = self.questions.iter();
            questions.any(|question| question.interface == lookout.interface && is_open(question, now))
        };
        self.lookouts.iter().filter(is_asked).map(|lookout| lookout.socket.as_fd())
    }

    /// Whether it is time to look who was heard, or somebody was who was not handed in.
    fn is_due(&self, now: Instant) -> bool {
        !self.heard.is_empty() || now >= self.look_at && !self.lookouts.is_empty()
    }

    /// Asks neighbours on these interfaces, a bit for each.
    fn ask(&mut self, now: Instant, interfaces: u32, names: &[String]) {
        // What was heard before the questions proves nothing of what they ask. One look comes before all of
        // them: a neighbour answers the first one before the last one has left.
        self.listen(now);
        self.questions.retain(|question| is_open(question, now));
        for (interface, name) in (0_u8..).zip(names) {
            if interfaces & bit(interface) != 0 {
                self.ask_on(now, interface, name);
            }
        }
    }

    /// Asks neighbours on an interface. The first question of a series goes to the one who answered last; if
    /// nobody has answered it by the next, several are asked, and in each round those who were not asked in
    /// this series yet: five rounds ask everybody who is known. The gateway of this box is among them in
    /// every one of these rounds, however many others were heard.
    fn ask_on(&mut self, now: Instant, interface: u8, name: &str) {
        for ip in self.whom_to_ask(now, interface, name) {
            let of_protocol =
                |lookout: &&Lookout| lookout.interface == interface && lookout.is_v6 == ip.is_ipv6();
            let Some(lookout) = self.lookouts.iter().find(of_protocol) else { continue };
            let frame = query(ip, lookout.local, lookout.mac);
            let has_left = send(lookout.socket.as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT).is_ok();
            if has_left && self.questions.len() < MAX_UNANSWERED {
                self.questions.push(Question { interface, ip, at: now });
            }
        }
    }

    /// Who is asked on an interface in the next round.
    fn whom_to_ask(&mut self, now: Instant, interface: u8, name: &str) -> Vec<IpAddr> {
        self.learn(now, interface, name);
        let mut all = Vec::new();
        let Some(place) = self.places.get_mut(usize::from(interface)) else { return all };
        let is_of_series = |at: &Instant| now.since(*at) < SERIES;
        let is_urgent = place.unanswered_at.replace(now).is_some_and(|at| is_of_series(&at));
        let mut asked = self.known.iter_mut().filter(|known| known.interface == interface).gather();
        if let Some(gateway) = place.gateway.filter(|_| is_urgent || asked.is_empty()) {
            all.push(gateway);
        }
        sort_by_key(&mut asked, |known| match known.asked_at.filter(is_of_series) {
            Some(at) => 2 * NEVER_ANSWERED + us(at),
            None if known.answered_at.is_none() && Some(known.ip) == place.gateway => NEVER_ANSWERED,
            None => known.order(),
        });
        let room = if is_urgent { MAX_ASKED } else { 1 };
        for known in asked {
            if all.len() < room && all.first() != Some(&known.ip) {
                known.asked_at = Some(now);
                all.push(known.ip);
            }
        }
        all
    }

    /// Asks the kernel for the gateway of an interface, and whom it knows there if we know nobody.
    fn learn(&mut self, now: Instant, interface: u8, name: &str) {
        while self.places.len() <= usize::from(interface) {
            self.places.push(Place { gateway: None, learn_at: now, unanswered_at: None });
        }
        let place = self.places.get_mut(usize::from(interface));
        let Some(place) = place.filter(|place| now >= place.learn_at) else { return };
        (place.gateway, place.learn_at) = (self.tables.gateway(name), now + LEARNS_EVERY);
        if self.known.iter().all(|known| known.interface != interface) {
            for ip in self.tables.known(name).into_iter().take(MAX_ASKED) {
                self.remember(Known::new(now, interface, ip, [0; 6]));
            }
        }
    }

    /// Remembers somebody. Who has answered takes the place of who was only heard, never the other way round.
    fn remember(&mut self, new: Known) {
        if let Some(known) =
            self.known.iter_mut().find(|known| (known.interface, known.ip) == (new.interface, new.ip))
        {
            // Who answers has the address, and not who claims it.
            let is_answer = new.answered_at.is_some() || known.answered_at.is_none();
            let mac = if is_answer { new.mac } else { known.mac };
            let answered_at = known.answered_at.max(new.answered_at);
            *known = Known { mac, answered_at, asked_at: known.asked_at, ..new };
            return;
        }
        let here = |known: &Known| known.interface == new.interface;
        if self.known.iter().filter(|known| here(known)).count() >= MAX_KNOWN {
            let worst = self.known.iter().enumerate().filter(|(_, known)| here(known));
            let Some((index, worst)) = worst.max_by_key(|(_, known)| known.order()) else { return };
            if new.order() > worst.order() {
                return;
            }
            self.known.remove(index);
        }
        self.known.push(new);
    }

    /// Reads what has arrived, and notes who was heard until that is handed in.
    fn listen(&mut self, now: Instant) {
        self.claims.lapse(now);
        let mut found: heapless::Vec<(u8, ProbeReply, Instant), MAX_FRAMES> = heapless::Vec::new();
        let mut room = [0; 256];
        self.lookouts.retain_mut(|lookout| {
            while !found.is_full() {
                match nix::unistd::read(&lookout.socket, &mut room) {
                    Ok(length) => {
                        let frame = room.get(..length).unwrap_or_default();
                        let said = probe_replies::parse(frame, lookout.mac);
                        // Whoever names an address of ours is the peer, or a stranger that has it and may
                        // soon have it no more: asked for it, it would not answer.
                        let said =
                            said.filter(|said| said.mac != lookout.mac && !lookout.ours.contains(&said.ip));
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
        found.retain(|(interface, said, _)| {
            !self.own.contains(&said.mac) && !self.claims.is_peer(*interface, said.mac)
        });
        let unmet = self.unmet();
        // Its room is large, and mostly empty: it is not moved.
        for &(interface, ProbeReply { ip, mac, .. }, since) in &found {
            let new = Known::new(now, interface, ip, mac);
            if unmet & bit(interface) != 0 {
                self.remember(Known { untold_at: Some(since), ..new });
                continue;
            }
            let answered_at = self.answered(now, interface, ip);
            self.remember(Known { answered_at, ..new });
            note(&mut self.heard, interface, answered_at.max(Some(since)).unwrap_or(since));
        }
        for known in self.known.iter_mut().filter(|known| unmet & bit(known.interface) == 0) {
            known.untold_at.take().into_iter().for_each(|at| note(&mut self.heard, known.interface, at));
        }
    }

    /// The question that somebody may have answered: the oldest, since the answer to an older one may have
    /// been late.
    fn answered(&mut self, now: Instant, interface: u8, ip: IpAddr) -> Option<Instant> {
        self.questions.retain(|question| is_open(question, now));
        let is_it = |question: &Question| (question.interface, question.ip) == (interface, ip);
        let index = self.questions.iter().position(is_it)?;
        self.places.get_mut(usize::from(interface))?.unanswered_at = None;
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

fn us(at: Instant) -> u64 {
    at.since(Instant::ORIGIN).as_us()
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
        self.neighbourhood.ask(clock::now(), interfaces, &self.settings.interfaces);
    }

    /// Hands in who was heard, and who has answered. A step may ask, and asking reads.
    pub(super) fn hear_neighbours(&mut self) {
        let now = clock::now();
        self.neighbourhood.look_at = now + self.settings.policy.interval();
        self.neighbourhood.listen(now);
        while let Some((interface, at)) = self.neighbourhood.heard.pop() {
            self.step(clock::now(), Event::NeighbourHeard(interface, at));
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
