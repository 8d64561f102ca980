//! The unprivileged process: it hears, decides and asks; only the guard acts.
//!
//! It is one loop. A turn waits for something to happen or for the node's next deadline, hands in everything
//! that has arrived, ends with a tick unless that was only routine, and carries out what the node asks for.
//! Nothing else in a turn waits.

#[cfg(feature = "cable-test")]
mod cable_test;
mod claims;
mod control;
mod drops;
mod effects;
mod guard_end;
mod hear;
mod journal;
mod journal_end;
pub mod lifeline;
mod neighbours;
mod operators;
mod peer_report;
mod ports;
pub mod probe_replies;
mod recording;
#[cfg(test)]
mod tests;
pub mod vote;
mod wait;
pub mod witness;

use std::os::fd::OwnedFd;

use crosswire::config::{MAX_GROUPS, MAX_PATHS, PathPolicy};
use crosswire::frame::session::Entropy;
use crosswire::frame::{Key, Keyring, VERSION, heartbeat_bytes};
use crosswire::limit::Limiter;
use crosswire::pair::GroupId;
use crosswire::quorum::facts::Standby;
use crosswire::quorum::record::{Kind, Record};
use crosswire::quorum::succession::{Deposit, MAX_DEPOSIT_BYTES, Restraint, Succession, encode};
use crosswire::quorum::{Effects, Event};
use crosswire::recorder::Recorder;
use crosswire::station::Station;
use crosswire::time::Instant;
use crosswire::turn::{Step, Turn};
use log::warn;

use crate::clock;
use crate::guard::Inheritance;
use crate::guard::scheduling::Idleness;
use crate::ipc::OpaqueDeposit;
use crate::logger;
use crate::operator::control::{Answer, WatchdogReport};
use crate::operator::restraint::SavedRestraint;
use crate::operator::words::Names;
use crate::settings::neighbours::KernelTables;
use crate::settings::{GroupSettings, PathDevice, PathSettings, Settings};
use control::Control;
use drops::Drops;
use guard_end::GuardEnd;
use journal::Journal;
use journal_end::JournalEnd;
use lifeline::Lifeline;
use neighbours::Neighbourhood;
use peer_report::PeerReport;
use ports::Port;
use vote::Voter;
use witness::Asker;

/// How many kinds of records can be told apart at a time. A whole incident with two paths has about twenty.
const MAX_KINDS: usize = 48;

/// A packet socket on which holders of addresses show themselves.
struct Listener {
    interface: u8,
    mac: [u8; 6],
    is_v6: bool,
    descriptor: OwnedFd,
}

/// Everything that the agent keeps.
struct Agent<'a> {
    settings: &'a Settings,
    station: Station<Recorder<Box<[u8]>>>,
    /// A recording that is being fetched.
    recording: Vec<u8>,
    /// The number of that recording.
    recording_number: u32,
    effects: Box<Effects>,
    /// Takes the place of `effects` while those are carried out: they are large, and are never moved.
    spare: Option<Box<Effects>>,
    ports: Vec<Port>,
    listeners: Vec<Listener>,
    neighbourhood: Neighbourhood,
    /// By path, the hardware address with which the peer's own address answered last.
    peer_macs: [Option<[u8; 6]>; MAX_PATHS],
    /// Interfaces whose hardware address another box has too, as far as that was said.
    twins: Vec<u8>,
    guard: GuardEnd,
    control: Control,
    /// Whether each interface of the settings has carrier; none before the guard has said so.
    carriers: Vec<Option<bool>>,
    names: Names,
    /// Scripts that failed: of which group, which one and whether it was stopped, and how
    /// ([`crate::operator::words::ScriptEnd`]); the newest last.
    failures: Vec<(GroupId, (u8, bool), u32)>,
    journal: Journal,
    journal_end: JournalEnd,
    peer_report: PeerReport,
    drops: Drops,
    /// Makes one line and a count of what others can cause.
    limiter: Limiter<Kind, Record, MAX_KINDS>,
    asker: Asker,
    voter: Option<Voter>,
    /// By group, whether the guard wants to know who answers for an address of it.
    is_asking: [bool; MAX_GROUPS],
    /// How many notices had no room in the guard's socket since the log was told.
    lost_notices: u32,
    /// A bit for each witness of which the operator's program knows that it is seen.
    seen_witnesses: u32,
    /// When they are looked at next for its sake.
    witnesses_due_at: Instant,
    /// The reason that the operator gave last, to this run or an earlier one.
    reason: Option<String>,
    /// Whether it goes on in the place of one that died or hung.
    is_replaced: bool,
    /// What the guard says of the watchdog.
    watchdog: Option<WatchdogReport>,
    lifeline: Lifeline,
    /// In which order all of that happens.
    turn: Turn,
    idleness: Idleness,
    /// Until then more pieces of what an operator has asked, here or there, may come by a cable.
    asides_until: Instant,
    /// When the agent ends, if its guard is gone: the kernel has let go of everything by then.
    end_at: Instant,
    /// The answer to the operator's last request.
    reply: Option<Answer>,
    is_done: bool,
}

/// What the agent is connected to from its first instant on.
pub struct Sockets {
    /// To its guard.
    pub guard: OwnedFd,
    /// On which root's commands ask.
    pub control: OwnedFd,
    /// On which members of the group ask, where there is one.
    pub members: Option<OwnedFd>,
}

/// The agent's whole life after it has dropped its privileges; returns its exit code. Ends after a goodbye,
/// or some time after its guard did. With an inheritance it goes on in the place of one that died.
pub fn run(
    settings: &Settings,
    keys: &[Key],
    entropy: Entropy,
    sockets: Sockets,
    inheritance: Option<Inheritance>,
    saved: SavedRestraint,
    tables: KernelTables,
) -> u8 {
    let mut agent = Agent::new(settings, keys, entropy, (sockets, tables));
    if inheritance.as_ref().is_some_and(|inheritance| agent.succeed(inheritance, saved.restraint)) {
        agent.reason = saved.reason;
    } else {
        agent.restrain(saved);
    }
    while !agent.is_done {
        agent.turn();
    }
    log::logger().flush();
    u8::from(agent.end_at != Instant::NEVER)
}

impl<'a> Agent<'a> {
    fn new(
        settings: &'a Settings,
        keys: &[Key],
        entropy: Entropy,
        (sockets, tables): (Sockets, KernelTables),
    ) -> Self {
        let policy = settings.policy.clone();
        let frame_bytes = heartbeat_bytes(policy.paths.len(), policy.groups.len(), settings.interfaces.len());
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
            turn: Turn::new(&policy),
            idleness: Idleness::begin(),
            ports: policy.path_ids().zip(&policy.paths).zip(&settings.paths).map(port).collect(),
            station: Station::new(
                &settings.pair,
                policy,
                settings.me,
                Keyring::new(&settings.pair, keys),
                entropy,
                clock::now(),
            )
            .recorded_by(Recorder::new(vec![0; recording::ROOM_BYTES].into_boxed_slice())),
            recording: Vec::new(),
            recording_number: 0,
            effects: Box::default(),
            spare: Some(Box::default()),
            listeners: Vec::new(),
            neighbourhood: Neighbourhood::new(tables),
            peer_macs: [None; MAX_PATHS],
            twins: Vec::new(),
            guard: GuardEnd::new(sockets.guard),
            control: Control::new(sockets.control, sockets.members),
            carriers: vec![None; settings.interfaces.len()],
            names: Names {
                peer: settings.peer_name().to_string(),
                paths: settings.paths.iter().map(|path| path.name.clone()).collect(),
                groups: settings.groups.iter().map(|group| group.name.clone()).collect(),
                interfaces: settings.interfaces.clone(),
                scripts: settings.groups.iter().map(GroupSettings::script_labels).collect(),
                key_file: settings.key_file.display().to_string(),
                is_shadow: settings.is_shadow(),
            },
            failures: Vec::new(),
            journal: Journal::new(),
            journal_end: JournalEnd::default(),
            peer_report: PeerReport::new(),
            drops: Drops::new(),
            limiter: Limiter::new(),
            asker: Asker::new(settings.witnesses.clone(), entropy.secret),
            voter: settings.vote.and_then(|to| Voter::new(to, &settings.pair, keys)),
            is_asking: [false; MAX_GROUPS],
            lost_notices: 0,
            seen_witnesses: 0,
            witnesses_due_at: Instant::ORIGIN,
            reason: None,
            is_replaced: false,
            watchdog: None,
            lifeline: Lifeline::default(),
            asides_until: Instant::ORIGIN,
            end_at: Instant::NEVER,
            reply: None,
            is_done: false,
            settings,
        }
    }

    /// What the operator has told an earlier run.
    fn restrain(&mut self, saved: SavedRestraint) {
        let SavedRestraint { restraint, reason, .. } = saved;
        self.station.restrain(restraint);
        if restraint != Restraint::default() {
            warn!(
                "as was said before this start{}",
                reason.iter().map(|why| format!(": {why}")).collect::<String>()
            );
        }
        self.reason = reason;
        if restraint.standby != Standby::No {
            self.record(Record::Standby(true));
        }
        if let Some(until) = restraint.maintenance_until {
            self.record(Record::Maintenance(Some(until.since(clock::now()))));
        }
    }

    /// Goes on with what another agent has left. Returns false if that is nothing; a deposit that cannot be
    /// read is nothing. `saved` is what an operator has told this run of the daemon.
    fn succeed(&mut self, inheritance: &Inheritance, saved: Restraint) -> bool {
        let succession = Succession {
            deposit: deposit_of(inheritance, saved),
            holdings: inheritance.holdings.iter().copied().collect(),
            last_token: inheritance.last_token,
        };
        let now = clock::now();
        if inheritance.is_first {
            self.station.resume(now, &succession.holdings);
        } else {
            self.station.succeed(now, &succession);
        }
        let is_holding = self.station.is_showing_holding();
        for port in &mut self.ports {
            port.show_holding(is_holding);
        }
        self.is_replaced = !inheritance.is_first && !inheritance.is_reload;
        if succession.deposit.is_some() {
            self.record(match inheritance.upgraded_from {
                Some(version) => Record::Upgraded(version, VERSION),
                None if inheritance.is_reload => Record::Reloaded,
                None => Record::Succeeded,
            });
        }
        succession.deposit.is_some()
    }

    /// One turn: waits, then does what [`Turn`] says, in its order.
    fn turn(&mut self) {
        let (began_at, waking, waiting) = self.wait();
        self.idleness.note(began_at, waking.woke_at);
        self.turn.begin(waking);
        self.turn.read_too(waiting);
        loop {
            match self.turn.next(clock::now, self.station.is_stirred()) {
                Step::Read(source) => self.read(source),
                Step::Tick(now) => self.step(now, Event::Tick),
                Step::Rest(now) => self.rest(now),
                Step::Wait => return,
            }
        }
    }

    /// Does what can wait until the beats have left.
    fn rest(&mut self, now: Instant) {
        self.talk(now);
        #[cfg(feature = "cable-test")]
        self.answer_tests(now);
        self.reopen(now);
        self.notify_of_witnesses(now);
        self.overhear_neighbours(now);
        self.tell_lost_notices();
        self.tell_floods(now);
        logger::turn(now);
        self.drops.note_lines(now, logger::lost());
        self.guard.flush();
        if now >= self.end_at {
            warn!("the guard is gone and the lease is over: the agent ends");
            self.is_done = true;
        }
    }
}

/// Whether this build can go on with what an agent of another one has left, and would leave the same. Only
/// for a process without privileges: that agent may have been taken over.
pub fn can_succeed(left: &OpaqueDeposit) -> bool {
    let mut room = [0; MAX_DEPOSIT_BYTES];
    let deposit = left.decode();
    let again = deposit.as_ref().and_then(|deposit| encode(deposit, &mut room));
    again.is_some_and(|bytes| OpaqueDeposit::new(bytes).as_ref() == Some(left))
}

/// What the last agent has left. It may restrain us no more than what the operator has had saved.
fn deposit_of(inheritance: &Inheritance, saved: Restraint) -> Option<Deposit> {
    let mut deposit = inheritance.deposit.decode()?;
    deposit.restraint = deposit.restraint.at_most(saved);
    deposit.adapt(&inheritance.differences);
    Some(deposit)
}
