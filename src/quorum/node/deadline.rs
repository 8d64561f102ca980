//! When a node has to be woken if nothing happens, and what for.

use super::Node;
use crate::frame::message::Role;
use crate::quorum::group::Group;
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
    /// Silence may be believed: drift, the end of a stall's amnesty, or the guard's.
    Silence,
    /// A peer's release mechanisms must have fired.
    PeerReleased,
    /// A release for the ack deadline has to start.
    AckDeadline,
    /// A lease has to be renewed, or has lapsed.
    Lease,
    /// A probe is due, or its answer.
    Probe,
    /// Cold start or the wait of the second node ends.
    Turn,
    /// An offer, a request or a fault lapses.
    Lapse,
}

/// The earliest instant after `now`, and its reason.
struct Earliest {
    now: Instant,
    at: Instant,
    why: Waiting,
}

impl Earliest {
    fn note(&mut self, at: Instant, why: Waiting) {
        if at > self.now && at < self.at {
            (self.at, self.why) = (at, why);
        }
    }
}

impl Node {
    /// When the next tick is due at the latest: what the last one has named. What came due while its effects
    /// were carried out lies in the past by then, and is due at once.
    pub fn due_at(&self, now: Instant) -> Instant {
        if self.expected_by == Instant::NEVER { self.next_deadline(now).0 } else { self.expected_by }
    }

    /// The first instant after `now` at which something has to be done, and what.
    pub fn next_deadline(&self, now: Instant) -> (Instant, Waiting) {
        let mut earliest = Earliest { now, at: Instant::NEVER, why: Waiting::Nothing };
        for path in self.paths.iter().filter(|path| path.detector.is_open()) {
            earliest.note(path.beat_at, Waiting::Beat);
            for at in path.detector.turning_points() {
                earliest.note(at, Waiting::Path);
            }
        }
        earliest.note(self.deposit_at, Waiting::Deposit);
        earliest.note(self.judge_from, Waiting::Silence);
        earliest.note(self.guard_silent_at(), Waiting::Silence);
        earliest.note(self.drift_passes(), Waiting::Silence);
        earliest.note(self.peer_released_at(), Waiting::PeerReleased);
        earliest.note(self.restraint.maintenance_until.unwrap_or(Instant::NEVER), Waiting::Lapse);
        earliest.note(self.peer.maintenance_until().unwrap_or(Instant::NEVER), Waiting::Lapse);
        for (id, group) in self.policy.group_ids().zip(&self.groups) {
            earliest.note(self.cold_start_ends(id), Waiting::Turn);
            self.note_group(group, &mut earliest);
        }
        (earliest.at, earliest.why)
    }

    fn note_group(&self, group: &Group, earliest: &mut Earliest) {
        if matches!(group.role, Role::Acquiring | Role::Active) {
            earliest.note(self.forced_release_at(), Waiting::AckDeadline);
            earliest.note(self.sight_ends(), Waiting::AckDeadline);
            earliest.note(group.lease_until, Waiting::Lease);
        }
        earliest.note(group.renew_at, Waiting::Lease);
        earliest.note(group.unsteady_until, Waiting::Turn);
        if group.probe.is_running() {
            earliest.note(group.probe.due_at(self.policy.interval(), self.probe_wait()), Waiting::Probe);
            earliest.note(group.probe.clear_at(self.probe_wait()), Waiting::Probe);
            earliest.note(self.answer_ages_at(group), Waiting::Probe);
        }
        if let Some(since) = group.vacant_since {
            earliest.note(since + self.second_waits(), Waiting::Turn);
        }
        let lapses = [
            group.offered_until,
            group.offers_from,
            group.yielded_until,
            group.wanted_until,
            group.handover_until,
            group.peer_is_off_until,
            group.retry_at,
            group.release_again_at,
            group.repeat_at,
            group.fence_again_at,
        ];
        for at in lapses.into_iter().flatten() {
            earliest.note(at, Waiting::Lapse);
        }
    }
}
