//! When a node has to be woken if nothing happens, and for what.
//!
//! What is set and stopped is a [`Timer`] of its group. Everything else is reckoned anew each time, and has
//! one line in the tables here. The next deadline is the earliest of both.

use super::Node;
use crate::pair::{GroupId, Role};
use crate::quorum::group::Group;
use crate::quorum::timers::Timer;
use crate::reasons::Block;
use crate::time::Instant;

/// What the next deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// Nothing: no path is open and nothing is held.
    Nothing,
    /// The next beat.
    Beat,
    /// The next deposit with the guard, where no beat is due.
    Deposit,
    /// A path becomes late or silent.
    Path,
    /// The end of a stall's amnesty: silence is judged again.
    Judging,
    /// The guard has given no sign of life for too long.
    Guard,
    /// Silence may be believed: both clocks may have drifted so far.
    Drift,
    /// A peer's release mechanisms must have fired.
    PeerReleased,
    /// Our maintenance ends, or the peer's.
    Maintenance,
    /// Cold start ends.
    ColdStart,
    /// A release for the ack deadline has to start.
    AckDeadline,
    /// No witness has been seen for as long as a holder may serve without one.
    Sight,
    /// A lease has lapsed.
    Lease,
    /// A probe is due.
    Probe,
    /// A probe that nobody answered counts.
    ProbeClear,
    /// An answer to a probe counts no more.
    AnswerAges,
    /// The wait of the second node ends.
    Second,
    /// The peer has heard that we would take what nobody holds.
    Claimed,
    /// The watchdog of the peer's box must have fired.
    PeerReset,
    /// The preferred node asks for its group back.
    Failback,
    /// We have no carrier, and the peer has had it for long enough.
    Dark,
    /// The peer has seen more witnesses than we do for long enough.
    Outseen,
    /// A neighbour is asked, or the questions to one are judged.
    Neighbours,
    /// A neighbour was heard again, and the peer knows by now if it was cut off since.
    Back,
    /// The voting witness is asked.
    Vote,
    /// A grant of the voting witness ends, or is needed from now on.
    Grant,
    /// A timer of some group.
    Group(Timer),
}

/// The earliest instant after `now`, and its reason.
struct Earliest {
    now: Instant,
    at: Instant,
    why: Waiting,
}

impl Earliest {
    fn after(now: Instant) -> Self {
        Self { now, at: Instant::NEVER, why: Waiting::Nothing }
    }

    fn note(&mut self, at: Instant, why: Waiting) {
        if at > self.now && at < self.at {
            (self.at, self.why) = (at, why);
        }
    }
}

impl Node {
    /// When the next tick is due at the latest: at the instant that the last tick has named. An instant that
    /// came while its effects were carried out lies in the past by then, and is due at once.
    pub fn due_at(&self, now: Instant) -> Instant {
        if self.expected_by == Instant::NEVER { self.next_deadline(now).0 } else { self.expected_by }
    }

    /// The first instant after `now` at which something has to be done, and what.
    pub fn next_deadline(&self, now: Instant) -> (Instant, Waiting) {
        let mut earliest = self.next_routine(now);
        let (at, why) = self.next_judgement(now);
        earliest.note(at, why);
        (earliest.at, earliest.why)
    }

    /// The first instant after `now` at which something is due that needs no judgement.
    fn next_routine(&self, now: Instant) -> Earliest {
        let mut earliest = Earliest::after(now);
        for path in self.paths.iter().filter(|path| path.detector.is_open()) {
            earliest.note(path.beat_at, Waiting::Beat);
        }
        for group in &self.groups {
            earliest.note(group.timers.at(Timer::Renewal), Waiting::Group(Timer::Renewal));
        }
        earliest.note(self.deposit_at, Waiting::Deposit);
        earliest
    }

    /// The first instant after `now` at which there is more to do than to send a beat or to renew a lease,
    /// and what.
    pub(super) fn next_judgement(&self, now: Instant) -> (Instant, Waiting) {
        let mut earliest = Earliest::after(now);
        for path in self.paths.iter().filter(|path| path.detector.is_open()) {
            for at in path.detector.turning_points() {
                earliest.note(at, Waiting::Path);
            }
        }
        earliest.note(self.neighbours_due_at(now), Waiting::Neighbours);
        earliest.note(self.vote_due_at(), Waiting::Vote);
        for (at, why) in &self.own_deadlines() {
            earliest.note(*at, *why);
        }
        for (id, group) in self.policy.group_ids().zip(&self.groups) {
            for (at, why) in &self.deadlines_of(id, group) {
                earliest.note(*at, *why);
            }
            for (timer, at) in group.timers.each().filter(|(timer, _)| *timer != Timer::Renewal) {
                earliest.note(at, Waiting::Group(timer));
            }
        }
        (earliest.at, earliest.why)
    }

    /// The same as [`Self::next_deadline`], where the next judgement is known.
    pub(super) fn next_tick(&self, now: Instant) -> Instant {
        self.next_routine(now).at.min(self.judge_at)
    }

    /// What was heard is routine, and has put off what the next judgement was named for: if that would wake
    /// the node before the next beat, it is named anew.
    pub(super) fn put_off_judgement(&mut self, now: Instant) {
        if self.judge_at <= self.expected_by {
            self.judge_at = self.next_judgement(now).0;
            self.expected_by = self.next_tick(now);
        }
    }

    /// Checks on every tick that the node wakes when the wait of a decision ends. A claim that was taken back
    /// in the same tick has no end.
    pub(super) fn assert_awake_for_waits(&self, now: Instant) {
        let is_waiting = |group: &&Group| matches!(group.role, Role::Backup | Role::Faulty);
        for group in self.groups.iter().filter(is_waiting) {
            let Some(wait) = group.said else { continue };
            let is_taken_back = wait.block == Block::PeersTurn && group.claims_since.is_none();
            let is_awake = wait.until <= now || self.expected_by <= wait.until || is_taken_back;
            debug_assert!(is_awake, "nothing wakes the node when {:?} ends", wait.block);
        }
    }

    /// The deadlines of the node as a whole.
    fn own_deadlines(&self) -> [(Instant, Waiting); 6] {
        let if_any = |at: Option<Instant>| at.unwrap_or(Instant::NEVER);
        [
            (self.judge_from, Waiting::Judging),
            (self.guard_silent_at(), Waiting::Guard),
            (self.drift_passes(), Waiting::Drift),
            (if_any(self.restraint.maintenance_until), Waiting::Maintenance),
            (if_any(self.peer.maintenance_until()), Waiting::Maintenance),
            (self.claims_votes_from(), Waiting::Vote),
        ]
    }

    /// The deadlines of a group that are reckoned anew.
    fn deadlines_of(&self, id: GroupId, group: &Group) -> [(Instant, Waiting); 17] {
        let does_serve = matches!(group.role, Role::Acquiring | Role::Active) || group.keeps_addresses();
        let is_asking = group.probe.is_running();
        let (interval, wait) = (self.times.interval, self.probe_wait());
        [
            (self.cold_start_ends(id), Waiting::ColdStart),
            (self.peer_released_at(id), Waiting::PeerReleased),
            (only_if(does_serve, || self.forced_release_at()), Waiting::AckDeadline),
            (only_if(does_serve, || self.sight_ends()), Waiting::Sight),
            (only_if(does_serve, || group.lease_until), Waiting::Lease),
            (only_if(is_asking, || group.probe.due_at(interval, wait)), Waiting::Probe),
            (only_if(is_asking, || group.probe.clear_at(wait)), Waiting::ProbeClear),
            (only_if(is_asking, || self.answer_ages_at(group)), Waiting::AnswerAges),
            (self.second_at(group), Waiting::Second),
            (self.claimed_at(group), Waiting::Claimed),
            (self.reset_at(id), Waiting::PeerReset),
            (only_if(group.role == Role::Backup, || self.failback_at(id, group)), Waiting::Failback),
            (only_if(does_serve, || group.dark_for(self.policy.carrier_delay)), Waiting::Dark),
            (only_if(does_serve, || self.outseen_at(group)), Waiting::Outseen),
            (only_if(group.role == Role::Backup, || self.neighbours_back_at(id)), Waiting::Back),
            (only_if(does_serve, || self.grant_needed_at()), Waiting::Grant),
            (only_if(does_serve, || self.grant_ends_at(id)), Waiting::Grant),
        ]
    }
}

/// The deadline if `is_so`; else none.
fn only_if(is_so: bool, at: impl FnOnce() -> Instant) -> Instant {
    if is_so { at() } else { Instant::NEVER }
}
