//! What arrives, handed to the node event by event.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use crosswire::pair::{GroupId, PathId};
use crosswire::quorum::Event;
use crosswire::quorum::record::Record;
use crosswire::quorum::timing::goes_on_without_guard;
use crosswire::resource::{Condition, Fault};
use crosswire::time::Instant;
use crosswire::turn::Source;
use log::warn;
use nix::errno::Errno;

use super::guard_end::FromGuardEnd;
use super::ports::Read;
use super::probe_replies::{self, ProbeReply};
use super::vote::Voter;
use super::{Agent, Listener};
use crate::clock;
use crate::gather::Gather;
use crate::ipc::{FromGuard, ToGuard};
use crate::logger;
use crate::operator::control::{LostKind, WatchdogReport};
use crate::operator::words;
use crate::settings::{GroupSettings, PathDevice, VirtualAddress};

impl Agent<'_> {
    /// Hands in all that has arrived there. A lapsed lease is released before anything that waited in a
    /// buffer is looked at; every step sees to that.
    pub(super) fn read(&mut self, source: Source) {
        match source {
            Source::Confirmations => self.hear_confirmations(),
            Source::Guard => self.hear_guard(),
            Source::Lines => self.look_at_lines(),
            Source::Path(path) => self.hear_path(path),
            Source::Wire => {
                self.hear_listeners();
                self.hear_neighbours();
            }
            Source::Witnesses => self.hear_witnesses(),
            Source::Operators => self.hear_operators(),
        }
    }

    /// Reads signs of life of the guard, and what it renewed. They wake nobody: they are read when something
    /// else does.
    fn hear_confirmations(&mut self) {
        while let Some(message) = self.guard.confirmation() {
            self.hear_guard_message(message, None);
        }
    }

    pub(super) fn hear_guard(&mut self) {
        while self.end_at == Instant::NEVER {
            match self.guard.receive() {
                FromGuardEnd::Message(message, descriptor) => self.hear_guard_message(message, descriptor),
                FromGuardEnd::Nothing => return,
                FromGuardEnd::Gone => {
                    let now = clock::now();
                    self.end_at = now + goes_on_without_guard(&self.settings.policy);
                    self.step(now, Event::GuardLost);
                }
            }
        }
    }

    pub(super) fn hear_guard_message(&mut self, message: FromGuard, descriptor: Option<OwnedFd>) {
        let now = clock::now();
        match (message, descriptor) {
            (FromGuard::Done { token, outcome }, _) => {
                self.step(now, Event::Done(token, outcome));
            }
            (FromGuard::Carrier { interface, up }, _) => self.note_carrier(now, interface, up),
            (FromGuard::Path { path, .. }, Some(descriptor)) => {
                if let Some(port) = self.ports.get_mut(path.index()) {
                    port.become_open(now, descriptor);
                    let device = self.settings.paths.get(path.index()).map(|path| &path.device);
                    if let Some(PathDevice::Lan { interface, is_crossover: true, .. }) = device {
                        port.set_carrier(port.is_switched_on(interface));
                    }
                    let event =
                        if port.is_usable() { Event::PathOpened(path) } else { Event::PathLost(path) };
                    self.step(now, event);
                }
            }
            (FromGuard::Path { path, errno }, None) => self.path_is_away(now, path, Errno::from_raw(errno)),
            (FromGuard::Listener { interface, mac, is_v6 }, Some(descriptor)) => {
                self.become_listener(Listener { interface, mac, is_v6, descriptor });
            }
            (FromGuard::Neighbours { interface, mac, is_v6 }, Some(socket)) => {
                let name = self.settings.interfaces.get(usize::from(interface)).map_or("", String::as_str);
                let peer = self.lan_on(interface).map(|(_, peer)| peer);
                let here = |vip: &&VirtualAddress| vip.interface == name;
                let all = self.settings.groups.iter().flat_map(|group| &group.addresses);
                let served: Vec<_> = all.filter(here).map(|vip| vip.ip).gather();
                self.neighbourhood.become_lookout(interface, (name, peer, &served), (is_v6, mac), socket);
                let vmacs = self.settings.groups.iter().flat_map(GroupSettings::vmacs);
                vmacs.for_each(|vmac| self.neighbourhood.share(vmac.mac));
            }
            (FromGuard::Listener { .. } | FromGuard::Neighbours { .. }, None) => {}
            (FromGuard::Witnesses { is_v6 }, Some(socket)) => self.asker.become_able(is_v6, socket),
            (FromGuard::Witnesses { .. }, None) => {}
            (FromGuard::Asking { group }, _) => {
                self.is_asking.get_mut(group.index()).into_iter().for_each(|is_asking| *is_asking = true);
            }
            (FromGuard::Missing { group }, _) => self.step(now, Event::AddressMissing(group)),
            (FromGuard::Refuses { group, address }, _) => {
                self.step(now, Event::AddressRefused(group, address))
            }
            (FromGuard::Scripts { group, condition }, _) => self.step(now, Event::Scripts(group, condition)),
            (FromGuard::Confirmations, socket) => self.guard.listen_to(socket),
            (FromGuard::Alive, _) => self.step(now, Event::GuardAlive),
            (FromGuard::LifetimeIgnored, _) => self.step(now, Event::LifetimeIgnored),
            (FromGuard::Watchdog { timeout_s, bound_s, boot_status }, _) => {
                self.watchdog = Some(WatchdogReport { timeout_s, boot_status });
                self.step(now, Event::Watchdog(bound_s));
            }
            // The guard's own log line says more.
            (FromGuard::Script { group, script, is_start }, _) => {
                self.keep(now, Record::Script { group, script, is_start }, 0, 0);
            }
            (FromGuard::ScriptFailed { group, script, is_stop, end }, _) => {
                if self.failures.len() == MAX_FAILURES {
                    self.failures.remove(0);
                }
                self.failures.push((group, (script, is_stop), end));
            }
            (FromGuard::Journal { trouble }, socket) => self.hear_of_journal(now, trouble, socket),
            (FromGuard::Dropped { notices, lines }, _) => {
                self.drops.note_of_guard(now, LostKind::Notices, notices);
                self.drops.note_of_guard(now, LostKind::Lines, lines);
            }
            (FromGuard::Stop, _) => self.step(now, Event::Stop),
            (FromGuard::Log, socket) => socket.into_iter().for_each(logger::take),
        }
    }

    /// How the script failed that a fault or a condition of a group names; zero where that is not known.
    pub(super) fn end(&self, group: GroupId, fault: Option<Fault>, condition: Condition) -> u32 {
        let Some(which) = words::failed(fault, condition) else { return 0 };
        let mut newest = self.failures.iter().rev();
        newest.find(|failure| (failure.0, failure.1) == (group, which)).map_or(0, |failure| failure.2)
    }

    pub(super) fn path_is_away(&mut self, now: Instant, path: PathId, errno: Errno) {
        let Some(port) = self.ports.get_mut(path.index()) else { return };
        port.become_closed(now, errno);
        if port.tell_away() {
            let name = self.settings.path_name(path);
            warn!("path {name}: the port is away ({}); it is tried again until it is back", errno.desc());
        }
        self.step(now, Event::PathLost(path));
    }

    /// Notes the carrier of an interface. A group needs carrier on all its interfaces that count: the node
    /// reads that off them, unless one of them has no place among those that it knows. A LAN path without
    /// carrier is blind, unless it is a cable from box to box: there the peer is gone, as long as our own end
    /// is switched on.
    pub(super) fn note_carrier(&mut self, now: Instant, interface: u8, is_up: bool) {
        let Some(name) = self.settings.interfaces.get(usize::from(interface)) else { return };
        if let Some(carrier) = self.carriers.get_mut(usize::from(interface)) {
            *carrier = Some(is_up);
        }
        self.station.step(now, Event::Interface(interface, is_up), &mut self.effects);
        let policies = self.settings.policy.groups.iter();
        let groups = self.settings.policy.group_ids().zip(policies.zip(&self.settings.groups));
        for (id, (_, group)) in groups.filter(|(_, (policy, _))| policy.carriers == 0) {
            let has = |wanted: &String| {
                let index = self.settings.interfaces.iter().position(|known| known == wanted);
                index.and_then(|index| self.carriers.get(index)).copied().flatten()
            };
            // As long as one of them is unknown, the carrier of the group is unknown.
            let all = || group.watched().map(has);
            if all().all(|has| has.is_some()) {
                let has_carrier = all().all(|has| has == Some(true));
                self.station.step(now, Event::Carrier(id, has_carrier), &mut self.effects);
            }
        }
        for (port, path) in self.ports.iter_mut().zip(&self.settings.paths) {
            let PathDevice::Lan { interface, is_crossover, .. } = &path.device else { continue };
            if interface != name {
                continue;
            }
            let was_usable = port.is_usable();
            port.set_carrier(is_up || (*is_crossover && port.is_switched_on(interface)));
            match (was_usable, port.is_usable()) {
                // It may be another interface of that name, while a socket stays with the one to which it was
                // bound.
                (false, true) => {
                    port.become_closed(now, Errno::ENETDOWN);
                    port.retry_now(now);
                }
                (true, false) => self.station.step(now, Event::PathLost(port.id), &mut self.effects),
                (false, false) | (true, true) => {}
            }
        }
        self.carry_out();
    }

    /// Everything that has arrived is handed in before silence is judged, however much it is.
    fn hear_path(&mut self, path: PathId) {
        let mut room = [0; READ_BYTES];
        for _ in 0..MAX_READS {
            let Some(port) = self.ports.get_mut(path.index()) else { return };
            match port.read(&mut room) {
                Read::Bytes(length) => {
                    let bytes = room.get(..length).unwrap_or_default();
                    #[cfg(feature = "cable-test")]
                    if port.is_stream() && self.station.is_in_maintenance() {
                        port.hear_test(bytes);
                    }
                    self.station.hear(clock::now(), path, bytes, &mut self.effects);
                    let is_all = port.is_stream() && length < READ_BYTES;
                    self.carry_out();
                    if is_all {
                        return;
                    }
                }
                Read::Skip => {}
                Read::Empty => return,
                Read::Lost(errno) => return self.path_is_away(clock::now(), path, errno),
            }
        }
    }

    /// Looks at the modem lines. A change of them wakes nobody, so it is seen up to an interval later.
    fn look_at_lines(&mut self) {
        let now = clock::now();
        for port in &mut self.ports {
            if let Some(lines) = port.look_at_lines() {
                self.station.step(now, Event::Lines(port.id, lines), &mut self.effects);
            }
            if let Some(baud) = port.put_right(now) {
                let name = self.settings.path_name(port.id);
                warn!(
                    "path {name}: another program has set the port otherwise (it was at {baud} baud): it is \
                        put right; \
                     `fuser -v` names who has it open"
                );
            }
        }
        self.carry_out();
    }

    /// Takes over a listener. There is one for each protocol of an interface. A listener from before the
    /// interface had another hardware address would take our own frames for somebody else's.
    fn become_listener(&mut self, new: Listener) {
        self.listeners.retain(|known| {
            known.interface != new.interface || known.mac == new.mac && known.is_v6 != new.is_v6
        });
        self.listeners.push(new);
    }

    fn hear_listeners(&mut self) {
        let mut room = [0; 256];
        let mut found: heapless::Vec<(u8, ProbeReply, bool), MAX_ANSWERS> = heapless::Vec::new();
        self.listeners.retain(|listener| {
            for _ in 0..MAX_PACKETS {
                if found.is_full() {
                    break;
                }
                match nix::unistd::read(&listener.descriptor, &mut room) {
                    Ok(length) => {
                        let frame = room.get(..length).unwrap_or_default();
                        let answer = probe_replies::parse(frame, listener.mac);
                        let own = |answer: &ProbeReply| answer.mac == listener.mac;
                        found.extend(answer.map(|answer| (listener.interface, answer, own(&answer))));
                    }
                    Err(Errno::EAGAIN | Errno::EINTR) => return true,
                    Err(_) => return false,
                }
            }
            true
        });
        let now = clock::now();
        // Its room is large, and mostly empty: it is not moved.
        for (interface, answer, is_own_mac) in &found {
            self.note_answer(now, *interface, answer, *is_own_mac);
        }
    }

    fn hear_witnesses(&mut self) {
        for (index, asked_at) in self.asker.answers() {
            self.step(clock::now(), Event::WitnessAnswered(index, asked_at));
        }
        for _ in 0..MAX_PACKETS {
            let Some(read) = self.voter.as_ref().and_then(Voter::read) else { break };
            read.into_iter().for_each(|reply| self.step(clock::now(), Event::VoteAnswered(reply)));
        }
    }

    /// Tells the guard of an answer: it has asked for an address before it adds it.
    fn tell_of_answer(&mut self, id: GroupId) {
        if self.is_asking.get_mut(id.index()).is_some_and(std::mem::take) {
            self.guard.tell(&ToGuard::Answered(id));
        }
    }

    /// The LAN path on an interface, if there is one, and the peer's own address there.
    fn lan_on(&self, interface: u8) -> Option<(PathId, IpAddr)> {
        let on = self.settings.interfaces.get(usize::from(interface));
        let mut paths = self.settings.policy.path_ids().zip(&self.settings.paths);
        paths.find_map(|(id, path)| match &path.device {
            PathDevice::Lan { interface, peer, .. } if Some(interface) == on => Some((id, *peer)),
            PathDevice::Lan { .. } | PathDevice::Serial { .. } => None,
        })
    }

    /// The hardware address of the peer's own, on that path if it is known there. One that both nodes share
    /// is the peer's if our own kernel does not have it, and tells of the same box.
    fn mac_of_peer(&self, path: Option<PathId>) -> Option<[u8; 6]> {
        let here = path.and_then(|path| self.peer_macs.get(path.index()).copied().flatten());
        here.or_else(|| self.peer_macs.iter().copied().flatten().next())
    }

    /// Notes an answer. Its sender may hold a VIP of ours, or be the peer. If it has the hardware address of
    /// our own interface, it is another box with the same one; unless it claims an address of ours, which may
    /// be what we have said ourselves.
    fn note_answer(&mut self, now: Instant, index: u8, answer: &ProbeReply, is_own_mac: bool) {
        let mut is_twin = false;
        let on = self.settings.interfaces.get(usize::from(index));
        let path = self.lan_on(index).map(|(path, _)| path);
        for (id, group) in self.settings.policy.group_ids().zip(&self.settings.groups) {
            let is_vip = |vip: &VirtualAddress| vip.ip == answer.ip && Some(&vip.interface) == on;
            let place = group.addresses.iter().position(is_vip);
            let is_holding = self.station.is_holding(id);
            let is_shared = group.vmacs().any(|vmac| vmac.mac == answer.mac);
            // What was not asked for may be what we have said ourselves.
            let is_ours = is_own_mac || is_shared && !answer.is_answer;
            if let Some(place) = place.filter(|_| !(is_ours && is_holding)) {
                let mac = if is_shared { self.mac_of_peer(path) } else { None }.unwrap_or(answer.mac);
                // Of a claim that answers nobody only that of a stranger is told apart.
                let is_stranger = |path: &PathId| {
                    let peers = self.peer_macs.get(path.index()).copied().flatten();
                    let is_known = peers.is_some_and(|peers| peers != mac);
                    is_known && !is_own_mac && !self.neighbourhood.is_peer(index, mac)
                };
                let on = path.filter(|path| answer.is_answer || is_stranger(path));
                let shown = u8::try_from(place).ok().zip(on);
                is_twin = is_own_mac;
                if path.is_none() && !is_holding {
                    // Nobody else shows the peer there. While this node serves, it is not the peer.
                    self.neighbourhood.meet_peer(now, index, answer.mac, true);
                }
                self.tell_of_answer(id);
                self.station.step(now, Event::VipAnswered(id, mac, shown), &mut self.effects);
            }
        }
        for (id, path) in self.settings.policy.path_ids().zip(&self.settings.paths) {
            let PathDevice::Lan { interface, peer, .. } = &path.device else { continue };
            if *peer == answer.ip {
                is_twin = is_own_mac;
                let path = (Some(interface) == on).then_some(id);
                if let Some(path) = path {
                    self.neighbourhood.meet_peer(now, index, answer.mac, false);
                    let known = self.peer_macs.get_mut(path.index());
                    known.into_iter().for_each(|known| *known = Some(answer.mac));
                }
                self.station.step(now, Event::PeerAnswered(path, answer.mac), &mut self.effects);
            }
        }
        if is_twin && !self.twins.contains(&index) {
            self.twins.push(index);
            warn!("{}", words::twin(on.map_or("?", String::as_str), answer.mac, self.settings.peer_name()));
        }
        self.carry_out();
    }
}

/// The most failures of scripts that are remembered.
const MAX_FAILURES: usize = 16;
/// How much is read at once.
const READ_BYTES: usize = 512;
/// The most reads of one path in a turn: more than a socket's buffer holds (about 250 datagrams), so that
/// whatever waited in it is read before silence is judged; and few enough that a flood on one path cannot
/// starve the others.
const MAX_READS: usize = 512;
/// Most answers in a turn; the rest waits in its socket.
const MAX_ANSWERS: usize = 64;
/// Most packets of one listener in a turn.
const MAX_PACKETS: usize = 64;
