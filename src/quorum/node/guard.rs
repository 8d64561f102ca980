//! Whether our own guard, and the peer's, carry out what is ordered.
//!
//! A guard gives a sign of life every interval, whether anything is held or not: a backup whose guard hangs
//! could not take over, and its peer is alone. A node that says that it cannot serve orders no renewal any
//! more. So what it holds ends with the last lease, and the peer waits for that before it takes anything.
//! Once the guard is heard again, the peer is told in the same turn.

use super::{GuardState, Node, emit};
use crate::config::Policy;
use crate::quorum::event::{Effect, Effects};
use crate::quorum::record::Record;
use crate::time::{Instant, Span};

/// How long a guard may be silent: late_after, but no less than three intervals, since one sign may be late,
/// and no less than two thirds of the longest dead_after, so that a peer that hears us by the slowest path
/// alone misses no recovery between two failures.
pub(super) fn guard_patience(policy: &Policy) -> Span {
    let by_late_after = policy.longest_late_after().max(policy.interval().fraction(3, 1));
    by_late_after.max(policy.longest_dead_after().fraction(2, 3))
}

impl Node {
    /// The guard has said something.
    pub(super) fn guard_heard(&mut self, now: Instant, effects: &mut Effects) {
        self.guard_heard_at = now;
        if self.guard == GuardState::Silent {
            self.fit_since = now;
            self.note_guard(GuardState::Fine, Record::GuardSilent(false), effects);
        }
    }

    /// It gives signs of life.
    pub fn is_guard_heard(&self) -> bool {
        self.guard == GuardState::Fine
    }

    /// Nobody here can touch an address any more. The kernel lets go of what is held when the lease ends;
    /// until then we say that we hold it and cannot serve.
    pub(super) fn guard_lost(&mut self, effects: &mut Effects) {
        if self.guard != GuardState::Lost {
            self.note_guard(GuardState::Lost, Record::GuardLost, effects);
        }
    }

    /// When the guard has been silent for too long.
    pub(super) fn guard_silent_at(&self) -> Instant {
        let patience = self.times.guard_patience;
        let is_expected = self.guard == GuardState::Fine;
        if is_expected { (self.guard_heard_at + patience).max(self.judge_from) } else { Instant::NEVER }
    }

    /// After everything that it has said was read.
    pub(super) fn judge_guard(&mut self, now: Instant, effects: &mut Effects) {
        if now >= self.guard_silent_at() {
            self.note_guard(GuardState::Silent, Record::GuardSilent(true), effects);
        }
    }

    /// Notes how the guard is. The peer has to know at once.
    fn note_guard(&mut self, guard: GuardState, record: Record, effects: &mut Effects) {
        (self.guard, self.is_urgent) = (guard, true);
        emit(effects, Effect::Record(record));
    }

    /// Notes that the peer says that it cannot serve, or that it can again: whether we are alone.
    pub(super) fn note_peers_trouble(&mut self, now: Instant, effects: &mut Effects) {
        let Some(trouble) = self.peer.beat().filter(|_| self.is_heard(now)).map(|beat| beat.standing.trouble)
        else {
            return;
        };
        if core::mem::replace(&mut self.said_trouble, trouble) != trouble {
            emit(effects, Effect::Record(Record::PeerTrouble(trouble)));
        }
    }
}
