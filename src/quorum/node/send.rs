//! What goes out.

use super::{Leaving, Node, emit};
use crate::frame::message::{ACK_LASTS, Ack, Beat, PathReport, Standing};
use crate::pair::{Mechanisms, PathId, Trouble};
use crate::quorum::event::{Effect, Effects, Voice};
use crate::quorum::facts::Standby;
use crate::quorum::timing;
use crate::time::Instant;

impl Node {
    /// Sends what is due: the same beat on every due path, and hellos while there is no peer or none is
    /// heard.
    pub(super) fn send(&mut self, now: Instant, voice: &mut dyn Voice, effects: &mut Effects) {
        let is_urgent = core::mem::take(&mut self.is_urgent);
        let is_due = |path: &super::Path| path.detector.is_open() && (is_urgent || now >= path.beat_at);
        if !self.paths.iter().any(is_due) {
            return;
        }
        if self.witnesses.count() > 0 {
            emit(effects, Effect::AskWitnesses);
        }
        let number = voice.next_number();
        let beat = self.beat(now);
        self.sent.note(number, now);
        self.spoke_at = self.spoke_at.or(Some(now));
        let is_heard = self.is_heard(now);
        let hello = voice.next_hello(now, is_heard);
        for id in self.policy.path_ids() {
            let Some(path) = self.paths.get_mut(id.index()).filter(|path| is_due(path)) else { continue };
            let interval = path.detector.timing().interval;
            // Keep the rhythm, but never try to catch up.
            let next = path.beat_at + interval;
            path.beat_at = if is_urgent || next <= now { now + interval } else { next };
            if let Some(body) = voice.seal_beat(id, number, &beat) {
                path.beats_sent = path.beats_sent.saturating_add(1);
                emit(effects, Effect::Send(id, body));
            } else {
                // A node that has used up its numbers is a new run, which nobody knows.
                (self.peers_run, self.newest_number) = (None, 0);
            }
            if let Some(version) = hello {
                let body = voice.seal_hello(version, id);
                emit(effects, Effect::Send(id, body));
            }
        }
        self.count_goodbye(effects);
    }

    /// Whether a beat leaves on any path at the end of this turn.
    pub(super) fn is_beat_due(&self, now: Instant) -> bool {
        self.paths.iter().any(|path| path.detector.is_open() && (self.is_urgent || now >= path.beat_at))
    }

    /// When the next regular beat leaves on `path`; never, while it is blind.
    pub fn next_beat_at(&self, path: PathId) -> Instant {
        let open = self.paths.get(path.index()).filter(|path| path.detector.is_open());
        open.map_or(Instant::NEVER, |path| path.beat_at)
    }

    fn count_goodbye(&mut self, effects: &mut Effects) {
        if let Leaving::Goodbyes(left) = self.leaving {
            self.leaving = if left > 1 { Leaving::Goodbyes(left.saturating_sub(1)) } else { Leaving::Left };
            if self.leaving == Leaving::Left {
                emit(effects, Effect::Exit);
            }
        }
    }

    fn beat(&self, now: Instant) -> Beat {
        let report = |path: &super::Path| {
            let dead_after = path.detector.timing().dead_after;
            let age = path.detector.heard_at().map(|at| now.since(at));
            PathReport { dead_after, age_sixteenths: PathReport::sixteenths(age, dead_after) }
        };
        let groups = self.groups.iter().zip(&self.policy.groups);
        Beat {
            ack: self.acknowledgement(now),
            interval: self.times.interval,
            paths: self.paths.iter().map(report).collect(),
            groups: groups.map(|(group, policy)| group.report(policy.tag)).collect(),
            interfaces: self.interface_states(),
            standing: Standing {
                witnesses: self.witnesses.seen_bits(now, self.sight_window()),
                ..self.standing(now)
            },
            release: self.mechanisms(now),
            digest: self.policy.digest,
        }
    }

    /// The acknowledgement of what we heard last. An old number is left out: its low 16 bits would be those
    /// of a new number some day.
    pub(super) fn acknowledgement(&self, now: Instant) -> Ack {
        let is_recent = self.newest_frame_at().is_some_and(|at| now.since(at) < ACK_LASTS);
        Ack::Whole(if is_recent { self.newest_number } else { 0 })
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        Standing {
            cold_start: !self.was_ever_heard,
            leaving: matches!(self.leaving, Leaving::Goodbyes(_) | Leaving::Left),
            no_carrier: self.groups.iter().any(|group| !group.has_carrier),
            standby: self.restraint.standby != Standby::No,
            maintenance: self.restraint.maintenance_until.map(|until| until.since(now)),
            trouble: match self.guard {
                super::GuardState::Fine => Trouble::None,
                super::GuardState::Silent => Trouble::GuardSilent,
                super::GuardState::Lost => Trouble::GuardLost,
            },
            lines_dropped: self.paths.iter().any(|path| path.detector.lines_dropped_at().is_some()),
            vote_counts: self.does_vote_count(),
            still_held: self.groups.iter().any(|group| group.is_still_held(now)),
            shadow: false,
            witnesses: 0,
        }
    }

    /// The release mechanisms that we announce. A reload may have shortened the lease: what is held keeps the
    /// old one until it is renewed.
    pub(super) fn mechanisms(&self, now: Instant) -> Mechanisms {
        let armed = timing::mechanisms(&self.policy, self.watchdog_s);
        let held =
            self.groups.iter().filter(|group| group.role.is_holding() && group.lease_until < Instant::NEVER);
        let left_s = held.map(|group| group.lease_until.since(now).as_s_ceil()).max().unwrap_or(0);
        let lease_s = u8::try_from(left_s).unwrap_or(u8::MAX).max(armed.lease_s);
        Mechanisms { lease_s: if self.is_lifetime_ignored { 0 } else { lease_s }, ..armed }
    }
}
