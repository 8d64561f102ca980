//! What asks for no judgement before the next deadline.
//!
//! At rest most of what a node hears only puts deadlines off: a beat that says what the last one said, lines
//! that are as they were, a guard that lives, a lease that was renewed. A turn that brought nothing else ends
//! without a tick ([`crate::turn`]). The deadline that the last tick has named stays: it is too early at
//! worst. Whatever is not named here stirs the node, and its turn ends with a tick. For the same reason a
//! tick that comes for a beat or a lease alone, while nothing stirs the node and nothing is to be judged yet,
//! sends the beat, renews the lease, and does no more.

use super::vote::Vote;
use super::{Leaving, Node};
use crate::frame::Beat;
use crate::frame::message::{GroupReport, Standing};
use crate::health::{Before, Neighbours, PathState};
use crate::pair::{GroupId, PathId, PathKind, Role, Trouble, Word};
use crate::quorum::event::{Effects, Event, Said};
use crate::quorum::group::Group;
use crate::quorum::succession::Restraint;
use crate::time::Instant;
use crate::turn::PROMPT;

impl Node {
    /// This turn has to end with a tick: the pair was not at rest at the last one, or something was heard
    /// since that is no routine.
    pub fn is_stirred(&self) -> bool {
        self.is_stirred
    }

    /// Until when what this path brings may wait for another waking: a cable that has brought the last beat
    /// later than another path may wait until the next one is due and has not come there. What is urgent
    /// comes by that path too, and nothing is judged before everything that waits was read.
    pub fn waits_until(&self, path: PathId) -> Instant {
        let is_behind = |path: &super::Path| {
            path.detector.kind() == PathKind::Serial && path.detector.quality.lag > PROMPT
        };
        if self.is_stirred || !self.paths.get(path.index()).is_some_and(is_behind) {
            return Instant::ORIGIN;
        }
        self.newest_frame_at().map_or(Instant::ORIGIN, |at| at + self.pace().fraction(11, 10))
    }

    /// A tick now has more to do than to send beats and to renew leases. What is to be judged before the next
    /// beat is judged now. It mostly has been put off since it was named, so it is named anew first.
    pub(super) fn is_judgement_due(&mut self, now: Instant) -> bool {
        let is_named = now >= self.judge_at || now >= self.look_at;
        // After a stall the peer may have taken over.
        if self.is_stirred || is_named || now < self.judge_from || self.is_question_due(now) {
            return true;
        }
        let next_beat_at = now + self.times.interval;
        if next_beat_at >= self.judge_at {
            self.judge_at = self.next_judgement(now).0;
        }
        next_beat_at >= self.judge_at
    }

    /// Renews the leases of a node at rest. It serves as it did at the last whole tick, nothing has stirred
    /// it since, and no instant has passed at which it might have to let go.
    pub(super) fn renew_what_is_due(&mut self, now: Instant, effects: &mut Effects) {
        for id in self.policy.group_ids() {
            let Some(group) = self.groups.get(id.index()) else { return };
            if group.role == Role::Active && now >= self.renews_at(now, group) {
                self.renew(now, id, effects);
            }
        }
    }

    /// The next tick is a whole one.
    pub fn stir(&mut self) {
        self.is_stirred = true;
    }

    /// Whether an event may be routine. Those that may are looked at more closely where they are taken in.
    pub(super) fn can_be_routine(event: &Event<'_>) -> bool {
        match event {
            Event::Heard(_, said) => match said {
                Said::Beat(..) => true,
                Said::Adopted { .. } | Said::Other { .. } | Said::Refused(_) => false,
            },
            Event::NeighbourHeard(..)
            | Event::Lines(..)
            | Event::Done(..)
            | Event::GuardAlive
            | Event::Tick => true,
            Event::PathOpened(_)
            | Event::PathLost(_)
            | Event::Carrier(..)
            | Event::Interface(..)
            | Event::Scripts(..)
            | Event::AddressRefused(..)
            | Event::AddressMissing(_)
            | Event::VipAnswered(..)
            | Event::PeerAnswered(..)
            | Event::WitnessAnswered(..)
            | Event::VoteAnswered(_)
            | Event::Operator(_)
            | Event::Watchdog(_)
            | Event::Stop
            | Event::LifetimeIgnored
            | Event::GuardLost => false,
        }
    }

    /// A beat that comes on time and says what the last one said.
    pub(super) fn is_routine_beat(&self, now: Instant, path: PathId, beat: &Beat, before: Before) -> bool {
        let here = self.paths.get(path.index());
        let is_on_time = here.is_some_and(|path| path.detector.state(now, None) == PathState::OnTime);
        let is_heard_there = beat
            .paths
            .iter()
            .zip(&self.paths)
            .all(|(report, path)| report.age().is_some_and(|age| age + age < path.detector.late_after()));
        before == Before::Beat
            && is_on_time
            && is_heard_there
            && self.peer.beat().is_some_and(|last| last.says_the_same(beat))
    }

    /// Nothing is under way here, and nothing is wrong. Else every turn ends with a tick: what goes wrong has
    /// instants that no deadline names.
    pub(super) fn is_at_rest(&self, now: Instant) -> bool {
        // A request for a group that has lapsed is made anew on the next tick.
        let asks_back =
            |(id, group): (GroupId, &Group)| group.role == Role::Backup && now >= self.failback_at(id, group);
        // A deadline that is over would lie ahead again once the peer acknowledges the next beat.
        let does_serve = self.groups.iter().any(|group| group.role == Role::Active);
        self.paths.iter().all(|path| path.state == PathState::OnTime)
            && self.well_since.is_some()
            && !self.has_said_jeopardy
            && self.outseen_since.is_none()
            && self.peer_misses_since.is_none()
            && self.neighbours.iter().all(Neighbours::is_at_rest)
            && self.vote.as_ref().is_none_or(Vote::is_at_rest)
            && self.leaving == Leaving::No
            && self.is_guard_heard()
            && self.peer.does_know_us()
            && self.restraint == Restraint::default()
            && self.groups.iter().all(Group::is_at_rest)
            && !self.policy.group_ids().zip(&self.groups).any(asks_back)
            && (!does_serve || now < self.forced_release_at())
            && self.peer.beat().is_some_and(Beat::is_at_rest)
    }
}

impl Group {
    /// It is served here or there, and nothing about it is under way.
    fn is_at_rest(&self) -> bool {
        matches!(self.role, Role::Backup | Role::Active)
            && self.pending.is_none()
            && self.tied.is_none()
            && self.fault.is_none()
            && self.unserved_since.is_none()
            && self.vacant_since.is_none()
            && self.claims_since.is_none()
            && !self.is_hindered
            && !self.probe.is_running()
    }
}

impl GroupReport {
    /// The peer serves it or does not, and wants nothing of us.
    fn is_at_rest(&self) -> bool {
        matches!(self.role, Role::Backup | Role::Active) && self.word == Word::None
    }
}

impl Beat {
    /// The peer can serve and wants nothing of us.
    fn is_at_rest(&self) -> bool {
        let Standing { cold_start, leaving, maintenance, still_held, trouble, .. } = self.standing;
        !cold_start
            && !leaving
            && maintenance.is_none()
            && !still_held
            && trouble == Trouble::None
            && self.groups.iter().all(GroupReport::is_at_rest)
    }

    /// Both differ in nothing but what is acknowledged and how old it is.
    fn says_the_same(&self, other: &Self) -> bool {
        let Self { ack: _, interval, paths, groups, interfaces, standing, release, digest } = other;
        let have_same_times = || self.paths.iter().zip(paths).all(|(a, b)| a.dead_after == b.dead_after);
        self.interval == *interval
            && self.paths.len() == paths.len()
            && have_same_times()
            && self.groups == *groups
            && self.interfaces == *interfaces
            && self.standing == *standing
            && self.release == *release
            && self.digest == *digest
    }
}
