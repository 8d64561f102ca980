//! The unprivileged process: it hears, decides and asks; only the guard acts.
//!
//! One loop. A turn waits for something to happen or for the node's next deadline, hands in everything that has arrived,
//! ends with a tick, and carries out what the node asks for. Nothing in a turn waits.

pub mod answers;
mod control;
mod guard_end;
mod journal;
pub mod lifeline;
mod ports;
mod self_test;
#[cfg(test)]
mod tests;
mod wait;
mod witness;

use std::os::fd::OwnedFd;

use crosswire::config::{MAX_GROUPS, PathId, PathKind, PathPolicy};
use crosswire::frame::aside::{Aside, Subject};
use crosswire::frame::session::Entropy;
use crosswire::frame::{Key, Keyring, heartbeat_bytes};
use crosswire::health::PathState;
use crosswire::quorum::decide::Standby;
use crosswire::quorum::event::Request;
use crosswire::quorum::record::{Denial, Record};
use crosswire::quorum::succession::{self, Restraint, Succession};
use crosswire::quorum::timing::lifetime_bound;
use crosswire::quorum::{Effect, Effects, Event, Node};
use crosswire::resource::{Fault, Order, Outcome, Ticket, Token};
use crosswire::time::{Instant, Span};
use log::{info, log, warn};
use nix::errno::Errno;

use crate::cli::{status, why};
use crate::clock;
use crate::control::{Answer, Demand, History, Question, Report, Unheard, WatchdogReport};
use crate::guard::Inheritance;
use crate::guard::wire::{FromGuard, Notice, ToGuard};
use crate::kept::{self, Kept};
use crate::settings::{GroupSettings, PathDevice, PathSettings, Settings, VirtualAddress};
use crate::words::{self, Names};
use control::Control;
use guard_end::{FromGuardEnd, GuardEnd};
use journal::Journal;
use lifeline::{Lifeline, Told};
use ports::{Port, Read};
use self_test::SelfTest;
use wait::Ready;
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
    /// Whether probes can be believed.
    self_test: SelfTest,
    /// The newest probe of each group.
    probes: [Option<Token>; MAX_GROUPS],
    /// What the operator said last, and an earlier run was told.
    reason: Option<String>,
    /// What the guard says of the watchdog.
    watchdog: Option<WatchdogReport>,
    lifeline: Lifeline,
    /// When the modem lines are looked at again.
    lines_at: Instant,
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
    kept: Kept,
) -> u8 {
    let mut agent = Agent::new(settings, keys, entropy, guard, control);
    if !inheritance.as_ref().is_some_and(|inheritance| agent.succeed(inheritance)) {
        agent.restrain(kept);
    } else {
        agent.reason = kept.reason;
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
        let me = settings.me;
        let port = |((id, path), settings): ((_, &PathPolicy), &PathSettings)| {
            let baud = match settings.device {
                PathDevice::Serial { baud, .. } => baud,
                PathDevice::Lan { .. } => 0,
            };
            Port::new(id, me, path.kind, baud, max_queued_bytes)
        };
        Self {
            ports: policy.path_ids().zip(&policy.paths).zip(&settings.paths).map(port).collect(),
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
                scripts: settings.groups.iter().map(scripts_of).collect(),
                key_file: settings.key_file.display().to_string(),
            },
            journal: Journal::new(),
            asker: Asker::new(settings.witnesses.clone(), entropy.secret),
            self_test: SelfTest::new(settings, clock::now()),
            probes: [None; MAX_GROUPS],
            reason: None,
            watchdog: None,
            lifeline: Lifeline::default(),
            lines_at: Instant::ORIGIN,
            end_at: Instant::NEVER,
            reply: None,
            is_done: false,
            settings,
        }
    }

    /// What the operator has told an earlier run.
    fn restrain(&mut self, kept: Kept) {
        let Kept { restraint, reason, .. } = kept;
        self.node.restrain(restraint);
        if restraint != Restraint::default() {
            warn!("as was said before this start{}", reason.iter().map(|why| format!(": {why}")).collect::<String>());
        }
        self.reason = reason;
        if restraint.standby != Standby::No {
            self.record(Record::Standby(true));
        }
        if let Some(until) = restraint.maintenance_until {
            self.record(Record::Maintenance(Some(until.since(clock::now()))));
        }
    }

    /// Goes on with what another agent has left; false if that is nothing. A deposit that cannot be read is none.
    fn succeed(&mut self, inheritance: &Inheritance) -> bool {
        let succession = Succession {
            deposit: succession::decode(&inheritance.deposit),
            holdings: inheritance.holdings.iter().copied().collect(),
            last_token: inheritance.last_token,
        };
        let now = clock::now();
        self.node.succeed(now, &succession);
        let is_holding = self.node.is_showing_holding();
        for port in &mut self.ports {
            port.show_holding(is_holding);
        }
        if succession.deposit.is_some() {
            self.record(if inheritance.is_reload { Record::Reloaded } else { Record::Succeeded });
        }
        succession.deposit.is_some()
    }

    fn record(&mut self, record: Record) {
        if let Record::Maintenance(lasts) = record {
            self.guard.send(&ToGuard::Maintenance(lasts.is_some()));
        }
        self.notify(&record);
        let (level, line) = words::sentence(&record, &self.names);
        log!(level, "{line}");
        self.journal.note(clock::now(), record);
    }

    /// Has the operator's program told, if there is one.
    fn notify(&self, record: &Record) {
        let notice = match *record {
            Record::Role { group, from, to } => {
                let groups = self.node.status(clock::now()).groups;
                let term = groups.get(group.index()).map_or(0, |group| group.term);
                Notice::Role { group, change: (from, to), term }
            }
            Record::Verdict { from, to } => Notice::Verdict(from, to),
            Record::Path { path, from, to } => Notice::Path(path, from, to),
            Record::Jeopardy(is_on) => Notice::Jeopardy(is_on),
            _ => return,
        };
        if self.settings.notify.is_some() {
            self.guard.send(&ToGuard::Notice(notice));
        }
    }

    /// One turn: wait, hand in, tick.
    fn turn(&mut self) {
        let waking = self.wait();
        let now = self.hear_everything(&waking);
        self.look_at_lines(now);
        self.step(now, Event::Tick);
        self.test_probes(now);
        self.talk(now);
        self.reopen(now);
        self.guard.flush();
        if now >= self.end_at {
            warn!("the guard is gone and the lease is over: the agent ends");
            self.is_done = true;
        }
    }

    /// Reads where something has arrived. A lapsed lease goes before anything that waited in a buffer is looked at; every step
    /// sees to that.
    fn hear(&mut self, ready: &Ready) {
        self.hear_confirmations();
        if ready.guard {
            self.hear_guard();
        }
        self.hear_paths(ready);
        if ready.listeners {
            self.hear_listeners();
        }
        if ready.witnesses {
            self.hear_witnesses();
        }
        if ready.operators {
            self.hear_operators();
        }
    }

    /// What the guard says of renewals wakes nobody: it is read when something else does.
    fn hear_confirmations(&mut self) {
        while let Some((token, outcome)) = self.guard.confirmation() {
            self.step(clock::now(), Event::Done(token, outcome));
        }
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
            (FromGuard::Done { token, outcome }, _) => {
                let outcome = self.believed(token, outcome);
                self.step(now, Event::Done(token, outcome));
            }
            (FromGuard::Carrier { interface, up }, _) => self.note_carrier(now, interface, up),
            (FromGuard::Path { path, .. }, Some(descriptor)) => {
                if let Some(port) = self.ports.get_mut(path.index()) {
                    port.become_open(now, descriptor);
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
            (FromGuard::Scripts { group, condition }, _) => self.step(now, Event::Scripts(group, condition)),
            (FromGuard::Confirmations, socket) => self.guard.listen_to(socket),
            (FromGuard::LifetimeIgnored, _) => self.step(now, Event::LifetimeIgnored),
            (FromGuard::Watchdog { timeout_s, bound_s, boot_status }, _) => {
                self.watchdog = Some(WatchdogReport { timeout_s, boot_status });
                self.step(now, Event::Watchdog(bound_s));
            }
            // The guard's own log line says more.
            (FromGuard::Script { group, script, is_start }, _) => {
                self.journal.note(now, Record::Script { group, script, is_start });
            }
            (FromGuard::Stop, _) => self.step(now, Event::Stop),
        }
    }

    /// A probe that left where not even the peer could be heard to answer was no probe.
    fn believed(&self, token: Token, outcome: Outcome) -> Outcome {
        let index = self.probes.iter().position(|probe| *probe == Some(token));
        let group = index.and_then(|index| self.settings.groups.get(index));
        let is_deaf = |vip: &VirtualAddress| self.self_test.deaf().any(|interface| interface == vip.interface);
        match outcome {
            Outcome::Probed { .. } if group.is_some_and(|group| group.addresses.iter().any(is_deaf)) => {
                Outcome::Failed(Fault::ProbeUnanswered)
            }
            believed => believed,
        }
    }

    fn test_probes(&mut self, now: Instant) {
        if now < self.self_test.deadline() {
            return;
        }
        let status = self.node.status(now);
        let is_well = |path: PathId| {
            let dead_after = self.settings.policy.paths.get(path.index()).map(|path| path.timing.dead_after);
            status.paths.get(path.index()).is_some_and(|path| {
                path.state == PathState::OnTime && path.heard_by_peer.is_some() && path.heard_by_peer <= dead_after
            })
        };
        if self.self_test.pass(now, is_well) {
            self.guard.send(&ToGuard::AskForPeer);
        }
    }

    fn give(&mut self, ticket: Ticket) {
        if let Order::Probe { group } = ticket.order
            && let Some(probe) = self.probes.get_mut(group.index())
        {
            *probe = Some(ticket.token);
        }
        self.guard.order(&ticket);
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
            match (was_usable, port.is_usable()) {
                // It may be another interface of that name, and a socket stays with the one that it was bound to.
                (false, true) => {
                    port.become_closed(now);
                    port.note_retry();
                    self.guard.send(&ToGuard::Reopen(port.id));
                }
                (true, false) => self.node.step(now, Event::PathLost(port.id), &mut self.effects),
                (false, false) | (true, true) => {}
            }
        }
        self.carry_out();
    }

    /// Everything that has arrived is handed in before silence is judged, however much it is.
    fn hear_paths(&mut self, ready: &Ready) {
        let mut room = [0; READ_BYTES];
        for index in (0..self.ports.len()).filter(|index| ready.path(*index)) {
            for _ in 0..MAX_READS {
                let Some(port) = self.ports.get_mut(index) else { break };
                match port.read(&mut room) {
                    Read::Bytes(length) => {
                        let event = port.event(room.get(..length).unwrap_or_default());
                        self.node.step(clock::now(), event, &mut self.effects);
                        let is_all = port.is_stream() && length < READ_BYTES;
                        self.carry_out();
                        if is_all {
                            break;
                        }
                    }
                    Read::Skip => {}
                    Read::Empty => break,
                    Read::Lost(errno) => {
                        let id = port.id;
                        self.path_is_away(clock::now(), id, errno);
                        break;
                    }
                }
            }
        }
    }

    /// After everything that had arrived was read: a beat that was sent before the lines dropped came in before. Every
    /// wake-up looks, but a flood of them not each time; a drop wakes nobody, so that it is seen an interval later at most.
    fn look_at_lines(&mut self, now: Instant) {
        if now < self.lines_at {
            return;
        }
        self.lines_at = now + LINES_EVERY;
        for port in &self.ports {
            if let Some(lines) = port.look_at_lines() {
                self.node.step(now, Event::Lines(port.id, lines), &mut self.effects);
            }
        }
        self.carry_out();
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
        if let Some(interface) = on {
            self.self_test.note_answer(now, interface, answer.ip);
        }
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
            match question {
                Question::Peer(subject) => self.ask_peer(client, subject),
                question => control::reply(&client, &self.answer(&question)),
            }
        }
    }

    fn answer(&mut self, question: &Question) -> Answer {
        let now = clock::now();
        match question {
            Question::Status => Answer::Status(Box::new(self.report(now))),
            Question::Why(count) => Answer::History(Box::new(self.history(now, usize::from(*count)))),
            Question::Peer(_) => Answer::PeerSays(Err(Unheard::Busy)),
            Question::Demand { what, reason } => {
                let Some(request) = self.request(what) else { return Answer::Denied(Denial::NoSuchGroup) };
                info!(
                    "an operator asks: {what}{}",
                    reason.as_ref().map(|why| format!(", since \"{why}\"")).unwrap_or_default()
                );
                self.step(now, Event::Operator(request));
                let is_ban = match what {
                    Demand::Standby { .. } => true,
                    Demand::Maintenance(lasts) => *lasts > Span::ZERO,
                    Demand::Handover(_) | Demand::Takeover(_) | Demand::TakeoverPeerIsOff(_) | Demand::Online => false,
                };
                if is_ban && self.reply == Some(Answer::Accepted) {
                    self.reason.clone_from(reason);
                }
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

    /// Our operator asks the peer: one at a time, and only where it is heard.
    fn ask_peer(&mut self, client: OwnedFd, subject: Subject) {
        let now = clock::now();
        let refused = match self.path_to_peer(now) {
            None => Some(Unheard::Nowhere),
            Some(_) if self.lifeline.is_asking() => Some(Unheard::Busy),
            Some(_) => None,
        };
        match refused {
            Some(why) => control::reply(&client, &Answer::PeerSays(Err(why))),
            None => self.lifeline.begin(now, client, subject),
        }
    }

    /// A LAN on which the peer is heard is faster than a cable.
    fn path_to_peer(&self, now: Instant) -> Option<PathId> {
        let status = self.node.status(now);
        let heard = self.settings.policy.path_ids().zip(&self.settings.policy.paths).zip(&status.paths);
        let heard = heard.filter(|(_, path)| path.state.is_heard()).map(|((id, policy), _)| (policy.kind, id));
        heard.max_by_key(|(kind, _)| *kind == PathKind::Lan).map(|(_, id)| id)
    }

    /// The lifeline, in what time the beats of this turn have left.
    fn talk(&mut self, now: Instant) {
        if let Some(told) = self.lifeline.give_up(now) {
            reply_told(told);
        }
        if let Some((path, ask, is_new)) = self.lifeline.owed() {
            let room = self.aside_room(now, path);
            if room > 0 {
                if is_new {
                    let text = self.text(now, ask.subject);
                    self.lifeline.prepare(ask, text);
                }
                if let Some(tell) = self.lifeline.tell(room) {
                    self.send_aside(path, Aside::Tell(tell));
                }
            }
        }
        let Some(ask) = self.lifeline.question(now) else { return };
        let Some(path) = self.path_to_peer(now).filter(|path| self.aside_room(now, *path) > 0) else { return };
        let interval = self.settings.policy.interval();
        self.lifeline.asked(now, interval.fraction(3, 1));
        self.send_aside(path, Aside::Ask(ask));
    }

    fn aside_room(&self, now: Instant, path: PathId) -> usize {
        let interval = self.settings.policy.paths.get(path.index()).map_or(Span::ZERO, |path| path.timing.interval);
        let next_beat_at = self.node.next_beat_at(path);
        self.ports.get(path.index()).map_or(0, |port| port.aside_room(now, next_beat_at, interval))
    }

    fn send_aside(&mut self, path: PathId, aside: Aside) {
        if let (Some(body), Some(port)) = (self.node.seal_aside(path, aside), self.ports.get_mut(path.index())) {
            port.send_aside(&body);
        }
    }

    /// What our own commands would show.
    fn text(&self, now: Instant, subject: Subject) -> String {
        match subject {
            Subject::Status => status::text(&self.report(now)),
            Subject::Why => why::text(&self.history(now, TOLD_DECISIONS), true),
            Subject::Log => why::text(&self.history(now, TOLD_LINES), false),
        }
    }

    fn history(&self, now: Instant, count: usize) -> History {
        History {
            node: self.settings.my_name().to_string(),
            peer: self.names.peer.clone(),
            paths: self.names.paths.clone(),
            groups: self.names.groups.clone(),
            scripts: self.names.scripts.clone(),
            key_file: self.names.key_file.clone(),
            count: self.journal.count(),
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
            ports: self.ports.iter().map(|port| port.report(now)).collect(),
            groups: groups.collect(),
            file: self.settings.file.display().to_string(),
            key_file: self.settings.key_file.display().to_string(),
            kept: (
                kept::file(&self.settings.state, &self.settings.pair, self.settings.my_name()).display().to_string(),
                self.reason.clone(),
            ),
            watchdog: self.watchdog,
            deaf: self.self_test.deaf().map(str::to_string).collect(),
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
            Effect::ShowHolding(is_holding) => {
                for port in &mut self.ports {
                    port.show_holding(*is_holding);
                }
            }
            Effect::Aside(path, Aside::Ask(ask)) => self.lifeline.owe(*path, *ask),
            Effect::Aside(_, Aside::Tell(tell)) => {
                if let Some(told) = self.lifeline.hear(clock::now(), tell) {
                    reply_told(told);
                }
            }
            Effect::Order(ticket) => self.give(*ticket),
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

fn scripts_of(group: &GroupSettings) -> String {
    group.scripts.iter().flat_map(|script| [script.label(), "\n"]).collect()
}

fn reply_told(told: Told) {
    control::reply(&told.client, &Answer::PeerSays(told.text.ok_or(Unheard::TooSlow)));
}

/// How much is read at once.
const READ_BYTES: usize = 512;
/// Most reads of one path in a turn: more than a socket's buffer holds (about 250 datagrams), so that whatever waited in it is
/// read before silence is judged, and few enough that a flood on one path cannot starve the others.
const MAX_READS: usize = 512;
/// How many entries of its journal a node tells its peer's operator, with their evidence: what 8 KB hold.
const TOLD_DECISIONS: usize = 20;
/// The same, without the evidence.
const TOLD_LINES: usize = 60;
/// The modem lines are looked at this often at most.
const LINES_EVERY: Span = Span::from_ms(5);
/// Most answers in a turn; the rest waits in its socket.
const MAX_ANSWERS: usize = 64;
/// Most packets of one listener in a turn.
const MAX_PACKETS: usize = 64;
