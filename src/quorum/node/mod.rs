//! One node of the pair: [`Node::step`] takes an instant and an event and hands out effects. Bytes are read
//! before it and sealed for it ([`crate::station`]).
//!
//! The calling contract, once:
//!
//! * Instants never go back.
//! * After waking, hand in everything that has arrived, event by event, then [`Event::Tick`]. Silence is
//!   judged, groups are taken and beats are sent on a tick and nowhere else; so a heartbeat that waited in a
//!   buffer is heard before its absence could be believed.
//! * Before it looks at any event, a step lets go of what may not be held any longer. So a lapsed lease is
//!   released before an old heartbeat could excuse it.
//! * Before [`Node::due_at`] a tick may be left out unless [`Node::is_stirred`]: what was handed in only puts
//!   deadlines off.
//! * Carry the effects out in their order before the next step.
//! * Say every interval that the guard lives ([`Event::GuardAlive`]), if it does. Every outcome of an order
//!   says so too.
//! * Wake at [`Node::due_at`] at the latest. Being later than that is noticed as a stall.

mod act;
mod claim;
mod deadline;
mod facts;
mod forecast;
mod guard;
mod hear;
mod instants;
mod judge;
mod keep;
mod neighbours;
mod operate;
mod orders;
mod outcome;
mod probing;
mod report;
mod restraint;
mod routine;
mod send;
mod service;
mod succeed;
mod times;
mod vote;

#[cfg(test)]
mod tests;

pub use deadline::Waiting;
use times::Times;
use vote::Vote;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::event::{Effect, Effects, Event, Voice};
use super::group::Group;
use super::record::Record;
use super::succession::{Promise, Restraint};
use crate::config::{MAX_GROUPS, MAX_INTERFACES, MAX_PATHS, Policy};
use crate::frame::message::Incarnation;
use crate::frame::refusal::REFUSALS;
use crate::health::ack::SendTimes;
use crate::health::{Arrivals, Detector, LineReading, Neighbours, PathState, Peer, Witnesses};
use crate::pair::{Side, Trouble};
use crate::reasons::Verdict;
use crate::resource::{Order, Ticket, Token};
use crate::time::{Instant, Span};

/// What a node keeps about one path.
#[derive(Clone, Serialize, Deserialize)]
struct Path {
    detector: Detector,
    /// Which kinds of refusal were recorded since the path was last well.
    said: [bool; REFUSALS],
    /// The state that was recorded last.
    state: PathState,
    /// What the lines were recorded to say last.
    lines: LineReading,
    /// When the next beat is due.
    beat_at: Instant,
    beats_heard: u32,
    beats_sent: u32,
    /// Of the interface on which the peer's own address answered here last.
    peer_mac: Option<[u8; 6]>,
}

/// Whether the guard carries out orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum GuardState {
    Fine,
    /// It gives no sign of life.
    Silent,
    Lost,
}

/// How far we are with leaving.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Leaving {
    No,
    /// Told to stop; groups are being released.
    Stopping,
    /// Everything is released; this many goodbyes are still to be sent.
    Goodbyes(u8),
    Left,
}

/// One node of the pair.
#[derive(Clone, Serialize, Deserialize)]
pub struct Node {
    policy: Policy,
    times: Times,
    me: Side,
    /// The run of the peer whose frames count.
    peers_run: Option<Incarnation>,
    /// The newest number heard of it on any path.
    newest_number: u32,
    paths: Vec<Path, MAX_PATHS>,
    groups: Vec<Group, MAX_GROUPS>,
    peer: Peer,
    sent: SendTimes,
    /// When the peer's beats first came in.
    arrivals: Arrivals,
    witnesses: Witnesses,
    /// By interface, who was heard there.
    neighbours: Vec<Neighbours, MAX_INTERFACES>,
    /// The voting witness, where one is configured.
    vote: Option<Vote>,
    /// Which interfaces were last recorded to be cut off, as bits.
    said_cut_off: u32,
    started_at: Instant,
    /// Since when the peer has been present, no path in jeopardy and our carriers up.
    well_since: Option<Instant>,
    /// Since when the peer has seen more witnesses than we do.
    outseen_since: Option<Instant>,
    /// Since when there has been a witness that the peer does not see.
    peer_misses_since: Option<Instant>,
    is_showing_holding: bool,
    was_ever_heard: bool,
    /// The last time in which no path heard the peer: from its newest frame before to the first one after.
    silence: Option<(Instant, Instant)>,
    verdict: Verdict,
    /// The verdict as it would be if the peer had not said goodbye.
    verdict_by_silence: Verdict,
    /// At the last tick the lines said that the peer lost power.
    is_power_loss: bool,
    /// At the last tick the lines of some cable had dropped in the middle of the peer's beats.
    is_cut_short: bool,
    jeopardy_since: Option<Instant>,
    /// Of jeopardy: what was recorded last, when it ended last, and when it came back soon after that.
    has_said_jeopardy: bool,
    jeopardy_ended_at: Option<Instant>,
    jeopardy_came_back_at: Option<Instant>,
    is_digest_different: bool,
    is_lifetime_ignored: bool,
    guard: GuardState,
    /// Since when it has been fine, in this run.
    fit_since: Instant,
    /// When the guard last gave a sign of life.
    guard_heard_at: Instant,
    /// The reason that was recorded last for which the peer cannot serve.
    said_trouble: Trouble,
    /// What our watchdog needs, as beats announce it; zero while it is not armed.
    watchdog_s: u8,
    leaving: Leaving,
    restraint: Restraint,
    /// When the loop was last late, or this run began in the place of another.
    stalled_at: Instant,
    /// Silence is not judged before this instant.
    judge_from: Instant,
    /// The times by which the peer believes that we go, until it has acknowledged a beat of this run.
    promise: Option<Promise>,
    /// When this run first said anything.
    spoke_at: Option<Instant>,
    /// When our operator last asked for standby, in this run.
    standby_asked_at: Option<Instant>,
    /// The run of the peer that our predecessor knew, until we have adopted one.
    predecessors_peer: Option<Incarnation>,
    /// When the next deposit is due if no beat is due before.
    deposit_at: Instant,
    /// The deadline that we named at the end of the last tick.
    expected_by: Instant,
    /// Before this there is nothing to judge while nothing stirs us: a tick only sends beats.
    judge_at: Instant,
    /// The first tick from then on is a whole one: what only the clock does to a group has no deadline.
    look_at: Instant,
    /// Something changed that the peer has to know now.
    is_urgent: bool,
    /// The pair was not at rest at the last tick, or something was heard since that is no routine.
    is_stirred: bool,
    last_token: u32,
    /// The longest that the loop was late, and when that was.
    worst_stall: (Span, Instant),
}

impl Node {
    /// A node that starts now and knows nobody. Paths open and carriers come by events.
    pub fn new(policy: Policy, me: Side, now: Instant) -> Self {
        let paths = policy.paths.iter().map(|path| Path {
            detector: Detector::new(path.kind, path.timing, policy.cold_start, now),
            said: [false; REFUSALS],
            state: PathState::Blind,
            lines: LineReading::Unknown,
            beat_at: now,
            beats_heard: 0,
            beats_sent: 0,
            peer_mac: None,
        });
        let witnesses = Witnesses::new(usize::from(policy.witnesses));
        let vote = policy.has_vote.then(|| Vote::new(&policy, me, now));
        Self {
            paths: paths.collect(),
            groups: policy.groups.iter().map(|_| Group::default()).collect(),
            peers_run: None,
            newest_number: 0,
            times: Times::of(&policy),
            policy,
            me,
            peer: Peer::default(),
            sent: SendTimes::default(),
            arrivals: Arrivals::default(),
            witnesses,
            neighbours: Vec::new(),
            vote,
            said_cut_off: 0,
            started_at: now,
            well_since: None,
            outseen_since: None,
            peer_misses_since: None,
            is_showing_holding: false,
            was_ever_heard: false,
            silence: None,
            verdict: Verdict::Doubtful,
            verdict_by_silence: Verdict::Doubtful,
            is_power_loss: false,
            is_cut_short: false,
            jeopardy_since: None,
            has_said_jeopardy: false,
            jeopardy_ended_at: None,
            jeopardy_came_back_at: None,
            is_digest_different: false,
            is_lifetime_ignored: false,
            guard: GuardState::Fine,
            fit_since: now,
            guard_heard_at: now,
            said_trouble: Trouble::None,
            watchdog_s: 0,
            leaving: Leaving::No,
            restraint: Restraint::default(),
            stalled_at: now,
            judge_from: now,
            promise: None,
            spoke_at: None,
            standby_asked_at: None,
            predecessors_peer: None,
            deposit_at: now,
            expected_by: Instant::NEVER,
            judge_at: now,
            look_at: now,
            is_urgent: false,
            is_stirred: true,
            last_token: 0,
            worst_stall: (Span::ZERO, now),
        }
    }

    /// Takes in one event. See the contract above. On a tick `voice` seals what is said.
    pub fn step(&mut self, now: Instant, event: Event<'_>, voice: &mut dyn Voice, effects: &mut Effects) {
        let before = effects.len();
        let is_heard = matches!(event, Event::Heard(..));
        self.is_stirred |= !Self::can_be_routine(&event);
        self.notice_stall(now, effects);
        self.release_what_is_due(now, effects);
        match event {
            Event::Tick if effects.len() > before || self.is_judgement_due(now) => {
                self.tick(now, voice, effects);
                self.judge_at = self.next_judgement(now).0;
                self.look_at = now + self.times.look_every;
                self.expected_by = self.next_tick(now);
                self.assert_awake_for_waits(now);
                self.is_stirred = !self.is_at_rest(now);
            }
            Event::Tick => {
                self.renew_what_is_due(now, effects);
                self.deposit_if_due(now, false, effects);
                self.send(now, voice, effects);
                self.expected_by = self.next_tick(now);
            }
            Event::Heard(path, said) => self.hear(now, path, said, effects),
            Event::PathOpened(path) => self.path_opened(now, path),
            Event::PathLost(path) => self.path_lost(path),
            Event::Carrier(group, up) => self.carrier(group, up),
            Event::Interface(index, up) => self.note_interface(usize::from(index), up),
            Event::Done(token, outcome) => self.done(now, token, outcome, effects),
            Event::Scripts(group, condition) => self.scripts(group, condition, effects),
            Event::AddressRefused(group, address) => self.address_refused(now, group, address),
            Event::AddressMissing(group) => self.address_missing(now, group),
            Event::VipAnswered(group, mac, shown) => self.vip_answered(now, group, (mac, shown), effects),
            Event::PeerAnswered(path, mac) => self.peer_answered(now, path, mac, effects),
            Event::WitnessAnswered(index, asked_at) => {
                self.witness_answered(now, usize::from(index), asked_at)
            }
            Event::VoteAnswered(reply) => self.vote_answered(now, &reply),
            Event::NeighbourHeard(index, at) => self.neighbour_heard(now, usize::from(index), at),
            Event::Lines(path, lines) => self.note_lines(now, path, lines),
            Event::Operator(request) => self.operate(now, request, effects),
            Event::Watchdog(seconds) => self.watchdog_s = seconds,
            Event::Stop => self.stop(),
            Event::LifetimeIgnored => self.is_lifetime_ignored = true,
            Event::GuardAlive => self.guard_heard(now, effects),
            Event::GuardLost => self.guard_lost(effects),
        }
        // What asks for something is no routine, and what is urgent leaves on a tick.
        self.is_stirred |= !matches!(event, Event::Tick)
            && (effects.len() > before || self.is_urgent || is_heard && self.is_question_due(now));
        if is_heard && !self.is_stirred && now < self.judge_at {
            self.put_off_judgement(now);
        }
        self.groups.iter().for_each(Group::assert_sound);
    }

    fn tick(&mut self, now: Instant, voice: &mut dyn Voice, effects: &mut Effects) {
        self.judge(now, effects);
        self.judge_guard(now, effects);
        self.ask_neighbours(now, effects);
        self.keep_vote(now, effects);
        self.keep_restraint(now, effects);
        self.release_what_is_due(now, effects);
        self.act(now, effects);
        self.leave(effects);
        // It is deposited before either leaves.
        let claims = self.vote_claims(now);
        let is_vote_due = self.is_vote_due(now, claims);
        self.deposit_if_due(now, is_vote_due, effects);
        self.ask_vote(now, (claims, is_vote_due), effects);
        self.send(now, voice, effects);
        self.test_probes(now, effects);
    }

    /// What a beat promises, and what a question confirms, has to outlive this agent.
    fn deposit_if_due(&mut self, now: Instant, is_vote_due: bool, effects: &mut Effects) {
        if self.is_beat_due(now) || now >= self.deposit_at || is_vote_due {
            self.deposit_at = now + self.times.interval;
            emit(effects, Effect::Deposit);
        }
    }

    /// Notices that the loop was late. By more than half the shortest late_after it may have slept through
    /// beats, so all clocks of the peer's silence shift by the gap. Our own right to serve does not.
    fn notice_stall(&mut self, now: Instant, effects: &mut Effects) {
        let gap = now.since(self.expected_by);
        if gap <= self.times.stalled_after {
            return;
        }
        for path in &mut self.paths {
            path.detector.shift(gap);
        }
        for group in &mut self.groups {
            group.probe.reset();
            group.vacant_since = None;
        }
        self.neighbours.iter_mut().for_each(Neighbours::forget_questions);
        let interval = self.times.interval;
        (self.stalled_at, self.judge_from) = (now, now + interval + interval);
        self.worst_stall = self.worst_stall.max((gap, now));
        // The next step of the same waking must not count the gap again.
        self.expected_by = now;
        emit(effects, Effect::Record(Record::Stall(gap)));
    }

    fn order(&mut self, valid_until: Instant, order: Order, effects: &mut Effects) -> Token {
        self.last_token = self.last_token.wrapping_add(1);
        let token = Token(self.last_token);
        emit(effects, Effect::Order(Ticket { token, valid_until, order }));
        token
    }
}

/// Adds an effect. There is room for everything that a turn can ask for. Should that ever be wrong, it is
/// safe to drop the newest: a beat is sent again, and an order on which a role waits is repeated. Any other
/// order is given anew or lapses.
pub(crate) fn emit(effects: &mut Effects, effect: Effect) {
    let has_room = effects.push(effect).is_ok();
    debug_assert!(has_room, "a turn asks for no more than effects have room for");
}
