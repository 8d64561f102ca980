//! From what was heard to a verdict, and to the situation of each group.

use heapless::Vec;

use super::{GuardState, Leaving, Node, emit};
use crate::config::{GroupId, MAX_PATHS, PathKind, Side};
use crate::frame::message::{Role, Trouble, Word};
use crate::health::PathState;
use crate::quorum::decide::{Claim, Situation, Tie, Wish};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::group::Group;
use crate::quorum::record::Record;
use crate::quorum::verdict::{is_jeopardy, verdict};
use crate::quorum::{probe, timing};
use crate::time::{Instant, Span};

impl Node {
    /// Brings path states, verdict and jeopardy up to date.
    pub(super) fn judge(&mut self, now: Instant, effects: &mut Effects) {
        let states = self.states(now);
        for ((id, path), (_, to)) in self.policy.path_ids().zip(&mut self.paths).zip(&states) {
            if path.state != *to {
                emit(effects, Effect::Record(Record::Path { path: id, from: path.state, to: *to }));
                path.state = *to;
                if *to == PathState::OnTime {
                    path.said = Default::default();
                }
            }
        }
        let to = verdict(&states, self.peer.has_left());
        if to != self.verdict {
            emit(effects, Effect::Record(Record::Verdict { from: self.verdict, to }));
            self.verdict = to;
        }
        let jeopardy = !self.peer.has_left() && is_jeopardy(&states, |index| self.is_unheard_on(index));
        if jeopardy != self.is_jeopardy {
            emit(effects, Effect::Record(Record::Jeopardy(jeopardy)));
            self.is_jeopardy = jeopardy;
        }
    }

    /// What every path says now.
    pub(super) fn states(&self, now: Instant) -> Vec<(PathKind, PathState), MAX_PATHS> {
        let state = |(index, path): (usize, &super::Path)| {
            let others = self.paths.iter().enumerate().filter(|(other, _)| *other != index);
            let elsewhere = others.filter_map(|(_, other)| other.detector.heard_at()).max();
            (path.detector.kind(), path.detector.state(now, elsewhere))
        };
        self.paths.iter().enumerate().map(state).collect()
    }

    /// Some path hears the peer.
    pub(super) fn is_heard(&self, now: Instant) -> bool {
        self.paths.iter().any(|path| path.detector.state(now, None).is_heard())
    }

    /// Some path hears the peer on time.
    pub(super) fn is_on_time(&self, now: Instant) -> bool {
        self.paths.iter().any(|path| path.detector.state(now, None) == PathState::OnTime)
    }

    /// The peer reports that it does not hear us on that path.
    pub(super) fn is_unheard_on(&self, index: usize) -> bool {
        let report = self.peer.beat().and_then(|beat| beat.paths.get(index));
        report.is_some_and(|report| report.age().is_none_or(|age| age >= report.dead_after))
    }

    /// Everything that bears on one group.
    pub(super) fn situation(&self, now: Instant, id: GroupId, group: &Group) -> Situation {
        let is_heard = self.is_heard(now);
        let claim = if is_heard { self.claim(id) } else { Claim::Unknown };
        let policy = self.policy.groups.get(id.index());
        Situation {
            verdict: self.verdict,
            is_refused: !is_heard && self.paths.iter().any(|path| path.state == PathState::Refused),
            claim,
            finding: group.probe.finding(now, self.policy.interval(), self.probe_wait()),
            has_carrier: group.has_carrier,
            is_able: self.guard == GuardState::Fine,
            is_stopping: self.leaving != Leaving::No,
            is_stalled: now < self.judge_from,
            was_ever_heard: self.was_ever_heard,
            has_listened: now >= self.cold_start_ends(id),
            is_our_turn: self.is_our_turn(now, id, group),
            has_offered: group.offered_until.is_some(),
            has_drift_passed: now >= self.drift_passes(),
            must_have_released: now >= self.peer_released_at(),
            is_peer_off: group.peer_is_off_until.is_some(),
            safety: policy.map_or(crate::config::SafetyRule::Lease, |policy| policy.safety),
            in_jeopardy: self.policy.in_jeopardy,
            has_lease_lapsed: now >= group.lease_until,
            is_deadline_due: now >= self.forced_release_at(),
            is_peer_deaf: self.is_on_time(now) && self.peer.is_deaf(&self.policy),
            can_offer: self.is_on_time(now) && claim == Claim::Free && self.is_peer_able(id),
            tie: self.tie(id, group, claim),
            wish: self.wish(id, group),
        }
    }

    fn claim(&self, id: GroupId) -> Claim {
        match self.peer.group(id, &self.policy) {
            None => Claim::Unknown,
            Some(report) => match report.role {
                Role::Acquiring | Role::Active => Claim::Serves,
                Role::Releasing => Claim::Releases,
                Role::Backup | Role::Faulty if report.word == Word::Offered => Claim::Offers,
                Role::Backup | Role::Faulty => Claim::Free,
            },
        }
    }

    /// The peer could serve the group if we let it go.
    pub(super) fn is_peer_able(&self, id: GroupId) -> bool {
        let is_backup = self.peer.group(id, &self.policy).is_some_and(|report| report.role == Role::Backup);
        let standing = self.peer.beat().map(|beat| beat.standing).unwrap_or_default();
        is_backup && standing.trouble == Trouble::None && !standing.leaving && !standing.no_carrier
    }

    /// Higher term wins, then the preferred node, then the lower name.
    fn tie(&self, id: GroupId, group: &Group, claim: Claim) -> Tie {
        let is_claiming = matches!(group.role, Role::Acquiring | Role::Active);
        let Some(theirs) = self.peer.group(id, &self.policy).filter(|_| is_claiming && claim == Claim::Serves) else {
            return Tie::None;
        };
        match group.held_term.cmp(&theirs.term) {
            core::cmp::Ordering::Greater => Tie::WeWin,
            core::cmp::Ordering::Less => Tie::TheyWin,
            core::cmp::Ordering::Equal if self.goes_first(id) => Tie::WeWin,
            core::cmp::Ordering::Equal => Tie::TheyWin,
        }
    }

    fn wish(&self, id: GroupId, group: &Group) -> Wish {
        if self.is_digest_different {
            Wish::None
        } else if group.handover_until.is_some() {
            Wish::Handover
        } else if self.peer.group(id, &self.policy).is_some_and(|report| report.word == Word::Wanted) {
            Wish::PeerWants
        } else {
            Wish::None
        }
    }

    /// The preferred node goes first, else the lower name.
    pub(super) fn goes_first(&self, id: GroupId) -> bool {
        let preferred = self.policy.groups.get(id.index()).and_then(|policy| policy.prefer);
        preferred.unwrap_or(Side::A) == self.me
    }

    fn is_our_turn(&self, now: Instant, id: GroupId, group: &Group) -> bool {
        let waited = group.vacant_since.is_some_and(|since| now >= since + self.second_waits());
        // A switch that comes back gives carrier to both at once: the peer's report that it has none may be on its way out.
        let interval = self.policy.interval();
        let is_report_newer = now >= group.carrier_since + interval + interval;
        self.goes_first(id) || waited || (!self.is_peer_able(id) && is_report_newer)
    }

    /// How much longer the node waits that goes second.
    pub(super) fn second_waits(&self) -> Span {
        self.policy.interval() + self.peer.largest_dead_after(&self.policy)
    }

    /// When a node that never heard its peer may serve.
    pub(super) fn cold_start_ends(&self, id: GroupId) -> Instant {
        let extra = if self.goes_first(id) { Span::ZERO } else { self.second_waits() };
        self.started_at + self.policy.cold_start + extra
    }

    /// When dead_after and the allowance for drift have passed since the peer's newest beat on any path.
    pub(super) fn drift_passes(&self) -> Instant {
        let newest = self.paths.iter().filter_map(|path| path.detector.heard_at()).max();
        let wait = timing::takeover_after(self.peer.largest_dead_after(&self.policy));
        newest.map_or(Instant::ORIGIN, |at| at + wait)
    }

    /// When every release mechanism that the peer announced must have fired; never, if it announced none.
    pub(super) fn peer_released_at(&self) -> Instant {
        let newest = self.paths.iter().filter_map(|path| path.detector.heard_at()).max();
        let (Some(last_frame_at), Some(armed)) = (newest, self.peer.mechanisms()) else { return Instant::NEVER };
        if armed.lease_s == 0 && armed.watchdog_s == 0 {
            return Instant::NEVER;
        }
        let interval = self.policy.interval();
        let scripts =
            timing::scripts_bound(self.peer.largest_dead_after(&self.policy), Span::from_s(u64::from(armed.stop_s)));
        let addresses = timing::lifetime_bound(interval, Span::from_s(u64::from(armed.lease_s)));
        let watchdog = Span::from_s(u64::from(armed.watchdog_s)) + interval;
        last_frame_at + timing::with_drift(scripts.max(addresses).max(watchdog))
    }

    /// When a holder whom nobody acknowledges has to start its release, if it must.
    pub(super) fn forced_release_at(&self) -> Instant {
        let dead_after = self.peer.smallest_dead_after(&self.policy);
        self.peer.acknowledged().map_or(Instant::NEVER, |at| at + timing::release_start(dead_after))
    }

    /// How long a probe waits for answers.
    pub(super) fn probe_wait(&self) -> Span {
        let waits = self.policy.paths.iter().map(|p| probe::wait(p.timing.late_after, p.timing.dead_after));
        waits.min().unwrap_or_default()
    }
}
