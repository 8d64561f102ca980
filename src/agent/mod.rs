//! The unprivileged process: it hears, decides and asks; only the guard acts.
//!
//! One loop. A turn waits for something to happen or for the node's next deadline, hands in everything that has arrived,
//! ends with a tick, and carries out what the node asks for. Nothing in a turn waits.

pub mod answers;
mod control;
mod guard_end;
mod journal;
mod ports;
#[cfg(test)]
mod tests;
mod witness;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crosswire::config::{PathId, PathPolicy};
use crosswire::frame::session::Entropy;
use crosswire::frame::{Key, Keyring, heartbeat_bytes};
use crosswire::quorum::event::Request;
use crosswire::quorum::record::{Denial, Record};
use crosswire::quorum::succession::{self, Succession};
use crosswire::quorum::timing::lifetime_bound;
use crosswire::quorum::{Effect, Effects, Event, Node};
use crosswire::time::{Instant, Span};
use log::{info, log, warn};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::clock;
use crate::control::{Answer, Demand, History, Question, Report};
use crate::guard::Inheritance;
use crate::guard::wire::{FromGuard, ToGuard};
use crate::settings::{GroupSettings, PathDevice, Settings, VirtualAddress};
use crate::words::{self, Names};
use control::Control;
use guard_end::{FromGuardEnd, GuardEnd};
use journal::Journal;
use ports::{Port, Read};
use witness::Asker;

/// A packet socket on which holders of addresses show themselves.
struct Listener {
    interface: u8,
    mac: [u8; 6],
    descriptor: OwnedFd,
}

/// Everything that the agent keeps.
struct Agent<'a> {
    settings: &'a Settings,
    node: Node,
    effects: Box<Effects>,
    /// Changes places with `effects` while those are carried out: they are many, and are never moved.
    spare: Option<Box<Effects>>,
    ports: Vec<Port>,
    listeners: Vec<Listener>,
    guard: GuardEnd,
    control: Control,
    /// Whether each interface of the settings has carrier; none before the guard has said so.
    carriers: Vec<Option<bool>>,
    names: Names,
    journal: Journal,
    asker: Asker,
    /// The guard is gone: the kernel has let go of everything by then.
    end_at: Instant,
    /// What the last operator's request came to.
    reply: Option<Answer>,
    is_done: bool,
}

/// The agent's whole life after it has dropped its privileges; returns its exit code. Ends after a goodbye, or some time after
/// its guard did. With an inheritance it goes on in the place of one that died.
pub fn run(
    settings: &Settings,
    keys: &[Key],
    entropy: Entropy,
    guard: OwnedFd,
    control: OwnedFd,
    inheritance: Option<Inheritance>,
) -> u8 {
    let mut agent = Agent::new(settings, keys, entropy, guard, control);
    if let Some(inheritance) = inheritance {
        agent.succeed(&inheritance);
    }
    while !agent.is_done {
        agent.turn();
    }
    u8::from(agent.end_at != Instant::NEVER)
}

impl<'a> Agent<'a> {
    fn new(settings: &'a Settings, keys: &[Key], entropy: Entropy, guard: OwnedFd, control: OwnedFd) -> Self {
        let policy = settings.policy.clone();
        let frame_bytes = heartbeat_bytes(policy.paths.len(), policy.groups.len());
        let max_queued_bytes = usize::try_from(frame_bytes).unwrap_or(usize::MAX);
        let port = |(id, path): (_, &PathPolicy)| Port::new(id, path.kind, max_queued_bytes);
        Self {
            ports: policy.path_ids().zip(&policy.paths).map(port).collect(),
            node: Node::new(
                &settings.pair,
                policy,
                settings.me,
                Keyring::new(&settings.pair, keys),
                entropy,
                clock::now(),
            ),
            effects: Box::default(),
            spare: Some(Box::default()),
            listeners: Vec::new(),
            guard: GuardEnd::new(guard),
            control: Control::new(control),
            carriers: vec![None; settings.interfaces.len()],
            names: Names {
                peer: settings.peer_name().to_string(),
                paths: settings.paths.iter().map(|path| path.name.clone()).collect(),
                groups: settings.groups.iter().map(|group| group.name.clone()).collect(),
                key_file: settings.key_file.display().to_string(),
            },
            journal: Journal::new(),
            asker: Asker::new(settings.witnesses.clone(), entropy.secret),
            end_at: Instant::NEVER,
            reply: None,
            is_done: false,
            settings,
        }
    }

    /// Goes on with what another agent has left. A deposit that cannot be read is none.
    fn succeed(&mut self, inheritance: &Inheritance) {
        let succession = Succession {
            deposit: succession::decode(&inheritance.deposit),
            holdings: inheritance.holdings.iter().copied().collect(),
            last_token: inheritance.last_token,
        };
        let now = clock::now();
        self.node.succeed(now, &succession);
        if succession.deposit.is_some() {
            self.record(Record::Succeeded);
        }
    }

    fn record(&mut self, record: Record) {
        let (level, line) = words::sentence(&record, &self.names);
        log!(level, "{line}");
        self.journal.note(clock::now(), record);
    }

    /// One turn: wait, hand in, tick.
    fn turn(&mut self) {
        self.wait();
        // A lapsed lease goes before anything that waited in a buffer is looked at; every step sees to that.
        self.hear_guard();
        self.hear_paths();
        self.hear_listeners();
        self.hear_witnesses();
        self.hear_operators();
        let now = clock::now();
        self.step(now, Event::Tick);
        self.reopen(now);
        if now >= self.end_at {
            warn!("the guard is gone and the lease is over: the agent ends");
            self.is_done = true;
        }
    }

    /// Waits for something to read, or for the next deadline.
    fn wait(&self) {
        let now = clock::now();
        let retries = self.ports.iter().map(Port::retry_at);
        let deadline = retries.chain([self.node.next_deadline(now).0, self.end_at]).min().unwrap_or(now);
        let timeout = deadline.since(now);
        let timeout = TimeSpec::from(std::time::Duration::from_micros(timeout.as_us().min(MAX_WAIT.as_us())));
        let guard = (self.end_at == Instant::NEVER).then(|| self.guard.descriptor());
        let ports = self.ports.iter().filter_map(Port::descriptor);
        let listeners = self.listeners.iter().map(|listener| listener.descriptor.as_fd());
        let all = guard
            .into_iter()
            .chain(ports)
            .chain(listeners)
            .chain(self.asker.descriptors())
            .chain(self.control.descriptors());
        let mut fds: heapless::Vec<PollFd<'_>, MAX_DESCRIPTORS> = all.take(MAX_DESCRIPTORS).map(poll_in).collect();
        // An error (EINTR) is as good as a wake-up: everything is looked at anyway.
        let _ = ppoll(&mut fds, Some(timeout), None);
    }

    fn hear_guard(&mut self) {
        while self.end_at == Instant::NEVER {
            match self.guard.receive() {
                FromGuardEnd::Message(message, descriptor) => self.hear_guard_message(message, descriptor),
                FromGuardEnd::Nothing => return,
                FromGuardEnd::Gone => {
                    let now = clock::now();
                    self.end_at = now + lifetime_bound(self.settings.policy.interval(), self.settings.policy.lease);
                    self.step(now, Event::GuardLost);
                }
            }
        }
    }

    fn hear_guard_message(&mut self, message: FromGuard, descriptor: Option<OwnedFd>) {
        let now = clock::now();
        match (message, descriptor) {
            (FromGuard::Done { token, outcome }, _) => self.step(now, Event::Done(token, outcome)),
            (FromGuard::Carrier { interface, up }, _) => self.note_carrier(now, interface, up),
            (FromGuard::Path { path, .. }, Some(descriptor)) => {
                if let Some(port) = self.ports.get_mut(path.index()) {
                    port.become_open(descriptor);
                    let event = if port.is_usable() { Event::PathOpened(path) } else { Event::PathLost(path) };
                    self.step(now, event);
                }
            }
            (FromGuard::Path { path, errno }, None) => self.path_is_away(now, path, Errno::from_raw(errno)),
            (FromGuard::Listener { interface, mac }, Some(descriptor)) => {
                self.listeners.push(Listener { interface, mac, descriptor });
            }
            (FromGuard::Listener { .. }, None) => {}
            (FromGuard::Witnesses { is_v6 }, Some(socket)) => self.asker.become_able(is_v6, socket),
            (FromGuard::Witnesses { .. }, None) => {}
            (FromGuard::LifetimeIgnored, _) => self.step(now, Event::LifetimeIgnored),
            (FromGuard::Stop, _) => self.step(now, Event::Stop),
        }
    }

    fn path_is_away(&mut self, now: Instant, path: PathId, errno: Errno) {
        let Some(port) = self.ports.get_mut(path.index()) else { return };
        port.become_closed(now);
        if port.tell_away() {
            let name = self.settings.path_name(path);
            warn!("path {name}: the port is away ({}); it is tried again until it is back", errno.desc());
        }
        self.step(now, Event::PathLost(path));
    }

    /// A group needs carrier on all its interfaces; a LAN path without carrier is blind.
    fn note_carrier(&mut self, now: Instant, interface: u8, is_up: bool) {
        let Some(name) = self.settings.interfaces.get(usize::from(interface)) else { return };
        if let Some(carrier) = self.carriers.get_mut(usize::from(interface)) {
            *carrier = Some(is_up);
        }
        for (id, group) in self.settings.policy.group_ids().zip(&self.settings.groups) {
            let has = |wanted: &String| {
                let index = self.settings.interfaces.iter().position(|known| known == wanted);
                index.and_then(|index| self.carriers.get(index)).copied().flatten()
            };
            // As long as one of them is unknown, so is the whole.
            let all = || group.addresses.iter().map(|address| has(&address.interface));
            if all().all(|has| has.is_some()) {
                let has_carrier = all().all(|has| has == Some(true));
                self.node.step(now, Event::Carrier(id, has_carrier), &mut self.effects);
            }
        }
        for (port, path) in self.ports.iter_mut().zip(&self.settings.paths) {
            if !matches!(&path.device, PathDevice::Lan { interface, .. } if interface == name) {
                continue;
            }
            let was_usable = port.is_usable();
            port.set_carrier(is_up);
            let event = match (was_usable, port.is_usable()) {
                (false, true) => Event::PathOpened(port.id),
                (true, false) => Event::PathLost(port.id),
                (false, false) | (true, true) => continue,
            };
            self.node.step(now, event, &mut self.effects);
        }
        self.carry_out();
    }

    /// Everything that has arrived is handed in before silence is judged, however much it is.
    fn hear_paths(&mut self) {
        let mut room = [0; READ_BYTES];
        for index in 0..self.ports.len() {
            for _ in 0..MAX_READS {
                let Some(port) = self.ports.get(index) else { break };
                match port.read(&mut room) {
                    Read::Bytes(length) => {
                        let event = port.event(room.get(..length).unwrap_or_default());
                        self.node.step(clock::now(), event, &mut self.effects);
                        self.carry_out();
                    }
                    Read::Skip => {}
                    Read::Empty => break,
                    Read::Lost(errno) => {
                        self.path_is_away(clock::now(), port.id, errno);
                        break;
                    }
                }
            }
        }
    }

    fn hear_listeners(&mut self) {
        let mut room = [0; 256];
        let mut found: heapless::Vec<(u8, answers::Answer), MAX_ANSWERS> = heapless::Vec::new();
        self.listeners.retain(|listener| {
            for _ in 0..MAX_PACKETS {
                if found.is_full() {
                    break;
                }
                match nix::unistd::read(&listener.descriptor, &mut room) {
                    Ok(length) => {
                        let frame = room.get(..length).unwrap_or_default();
                        found.extend(answers::parse(frame, listener.mac).map(|answer| (listener.interface, answer)));
                    }
                    Err(Errno::EAGAIN | Errno::EINTR) => return true,
                    Err(_) => return false,
                }
            }
            true
        });
        let now = clock::now();
        for (interface, answer) in found {
            self.note_answer(now, interface, &answer);
        }
    }

    fn hear_witnesses(&mut self) {
        for (index, asked_at) in self.asker.answers() {
            self.step(clock::now(), Event::WitnessAnswered(index, asked_at));
        }
    }

    /// Who answers may hold a VIP of ours, or be the peer.
    fn note_answer(&mut self, now: Instant, interface: u8, answer: &answers::Answer) {
        let on = self.settings.interfaces.get(usize::from(interface));
        for (id, group) in self.settings.policy.group_ids().zip(&self.settings.groups) {
            let is_vip = |vip: &VirtualAddress| vip.ip == answer.ip && Some(&vip.interface) == on;
            if group.addresses.iter().any(is_vip) {
                self.node.step(now, Event::VipAnswered(id, answer.mac), &mut self.effects);
            }
        }
        let is_peer = |device: &PathDevice| matches!(device, PathDevice::Lan { peer, .. } if *peer == answer.ip);
        if self.settings.paths.iter().any(|path| is_peer(&path.device)) {
            self.node.step(now, Event::PeerAnswered, &mut self.effects);
        }
        self.carry_out();
    }

    fn hear_operators(&mut self) {
        while let Some((client, question)) = self.control.next_question() {
            let answer = self.answer(&question);
            control::reply(&client, &answer);
        }
    }

    fn answer(&mut self, question: &Question) -> Answer {
        let now = clock::now();
        match question {
            Question::Status => Answer::Status(Box::new(self.report(now))),
            Question::Why(count) => Answer::History(Box::new(self.history(now, usize::from(*count)))),
            Question::Demand { what, reason } => {
                let Some(request) = self.request(what) else { return Answer::Denied(Denial::NoSuchGroup) };
                info!(
                    "an operator asks: {what:?}{}",
                    reason.as_ref().map(|why| format!(", since {why:?}")).unwrap_or_default()
                );
                self.step(now, Event::Operator(request));
                self.reply.take().unwrap_or(Answer::Denied(Denial::Unable))
            }
        }
    }

    /// A demand with the node's own ids; `None` if there is no such group.
    fn request(&self, demand: &Demand) -> Option<Request> {
        let id = |name: &String| {
            let mut groups = self.settings.policy.group_ids().zip(&self.settings.groups);
            groups.find(|(_, group)| group.name == *name).map(|(id, _)| id)
        };
        Some(match demand {
            Demand::Handover(name) => Request::Handover(id(name)?),
            Demand::Takeover(name) => Request::Takeover(id(name)?),
            Demand::TakeoverPeerIsOff(name) => Request::TakeoverPeerIsOff(id(name)?),
            Demand::Standby { force } => Request::Standby { force: *force },
            Demand::Online => Request::Online,
            Demand::Maintenance(lasts) => Request::Maintenance(*lasts),
        })
    }

    fn history(&self, now: Instant, count: usize) -> History {
        History {
            node: self.settings.my_name().to_string(),
            peer: self.names.peer.clone(),
            paths: self.names.paths.clone(),
            groups: self.names.groups.clone(),
            key_file: self.names.key_file.clone(),
            entries: self.journal.last(count).map(|(at, record)| (now.since(*at), *record)).collect(),
        }
    }

    fn report(&self, now: Instant) -> Report {
        let address = |vip: &VirtualAddress| format!("{}/{}@{}", vip.ip, vip.prefix, vip.interface);
        let contents = |group: &GroupSettings| {
            let addresses = group.addresses.iter().map(address);
            addresses.chain(group.scripts.iter().map(|script| script.label().to_owned())).collect()
        };
        let groups = self.settings.groups.iter().map(|group| (group.name.clone(), contents(group)));
        Report {
            pair: self.settings.pair.clone(),
            nodes: self.settings.names.clone(),
            paths: self.names.paths.clone(),
            skipped: self.ports.iter().map(Port::skipped).collect(),
            groups: groups.collect(),
            file: self.settings.file.display().to_string(),
            key_file: self.settings.key_file.display().to_string(),
            node: self.node.status(now),
        }
    }

    fn step(&mut self, now: Instant, event: Event<'_>) {
        self.node.step(now, event, &mut self.effects);
        self.carry_out();
    }

    /// Does what the node asked for, in its order.
    fn carry_out(&mut self) {
        if self.effects.is_empty() {
            return;
        }
        let Some(spare) = self.spare.take() else { return };
        let mut effects = std::mem::replace(&mut self.effects, spare);
        effects.iter().for_each(|effect| self.carry_out_one(effect));
        effects.clear();
        self.spare = Some(effects);
    }

    fn carry_out_one(&mut self, effect: &Effect) {
        match effect {
            Effect::Send(path, body) => {
                if let Some(port) = self.ports.get_mut(path.index()) {
                    port.send(body);
                }
            }
            Effect::AskWitnesses => self.asker.ask(clock::now()),
            // A pseudo-terminal has no lines; those of a real port are not read yet either.
            Effect::ShowHolding(_) => {}
            Effect::Order(ticket) => self.guard.send(&ToGuard::Order(*ticket)),
            Effect::Deposit => self.guard.deposit(&self.node.deposit(clock::now())),
            Effect::Record(record) => self.record(*record),
            Effect::Reply(Ok(())) => self.reply = Some(Answer::Accepted),
            Effect::Reply(Err(denial)) => self.reply = Some(Answer::Denied(*denial)),
            Effect::Exit => {
                self.guard.send(&ToGuard::Farewell);
                self.is_done = true;
            }
        }
    }

    fn reopen(&mut self, now: Instant) {
        for port in &mut self.ports {
            if now >= port.retry_at() {
                port.note_retry();
                self.guard.send(&ToGuard::Reopen(port.id));
            }
        }
    }
}

fn poll_in(descriptor: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(descriptor, PollFlags::POLLIN)
}

/// How much is read at once.
const READ_BYTES: usize = 512;
/// Most reads of one path in a turn: more than a socket's buffer holds (about 250 datagrams), so that whatever waited in it is
/// read before silence is judged, and few enough that a flood on one path cannot starve the others.
const MAX_READS: usize = 512;
/// Most descriptors that are waited for: eight paths, a few listeners for each, guard, control and its clients.
const MAX_DESCRIPTORS: usize = 48;
/// The loop turns at least this often.
const MAX_WAIT: Span = Span::from_s(60);
/// Most answers in a turn; the rest waits in its socket.
const MAX_ANSWERS: usize = 64;
/// Most packets of one listener in a turn.
const MAX_PACKETS: usize = 64;
