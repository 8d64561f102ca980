//! The instants from which something is certain, as they follow from the peer's last word and from ours. The
//! arithmetic itself is in [`timing`].

use super::Node;
use crate::config::{MAX_DEAD_AFTER, SafetyRule};
use crate::health::outlived_for;
use crate::pair::GroupId;
use crate::quorum::group::Group;
use crate::quorum::timing;
use crate::time::{Instant, Span};

impl Node {
    /// The longer of both nodes' intervals: how often one hears what the other says.
    pub(super) fn pace(&self) -> Span {
        self.times.interval.max(self.peer.interval())
    }

    /// How long what one says may take until the other one's answer is heard.
    pub(super) fn two_beats(&self) -> Span {
        self.pace() + self.pace()
    }

    /// The longest dead_after of any path, by the slower of both files.
    pub(super) fn slowest_dead_after(&self) -> Span {
        self.paths.iter().map(|path| path.detector.dead_after()).max().unwrap_or_default()
    }

    /// The dead_after with which we reckon as a holder. Of each path it is the slower file's, since the peer
    /// waits for that. If the peer has not shown yet that it knows our file, it is the shortest that the peer
    /// may go by.
    pub(super) fn holds_by(&self) -> Span {
        let all = self.paths.iter().map(|path| &path.detector);
        if self.peer.does_know_us() {
            return all.map(|path| path.dead_after()).min().unwrap_or_default();
        }
        let own = all.clone().map(|path| path.timing().dead_after);
        let promised = self.promise.map(|promise| promise.hold);
        own.chain(all.filter_map(|path| path.peers_dead_after())).chain(promised).min().unwrap_or_default()
    }

    /// The dead_after with which we reckon before we take. Until the peer has shown that it knows our file,
    /// it relies on what another run of ours announced: our predecessor, or a run of which nothing is known.
    pub(super) fn takes_by(&self) -> Span {
        let promised = self.promise.map_or(MAX_DEAD_AFTER, |promise| promise.take);
        let slowest = self.slowest_dead_after();
        if self.peer.does_know_us() { slowest } else { slowest.max(promised) }
    }

    /// How much longer the second node waits.
    pub(super) fn second_waits(&self) -> Span {
        self.pace() + self.slowest_dead_after()
    }

    /// When the second node may take what nobody holds.
    pub(super) fn second_at(&self, group: &Group) -> Instant {
        group.vacant_since.map_or(Instant::NEVER, |since| since + self.second_waits())
    }

    /// When the peer has heard that we would take what nobody holds.
    pub(super) fn claimed_at(&self, group: &Group) -> Instant {
        group.claims_since.map_or(Instant::NEVER, |since| since + self.two_beats())
    }

    /// When the peer's watchdog must have fired, for an exclusive group; never for any other.
    pub(super) fn reset_at(&self, id: GroupId) -> Instant {
        let is_exclusive = self.policy.groups.get(id.index()).is_some_and(|policy| policy.is_exclusive);
        if is_exclusive { self.peer_reset_at(id) } else { Instant::NEVER }
    }

    /// When a node that never heard its peer may serve. What the voting witness has granted the peer since
    /// the start counts like somebody who was not understood.
    pub(super) fn cold_start_ends(&self, id: GroupId) -> Instant {
        let granted_at = self.peer_granted_at(id).unwrap_or(Instant::ORIGIN);
        self.listens_from().max(granted_at) + self.listens_for(id)
    }

    /// From when on it asks for the group. It does not wait for a peer that is granted other groups: what the
    /// peer was granted of this one is known only once it is granted here.
    pub(super) fn listening_asks_at(&self, id: GroupId) -> Instant {
        let lead = self.probe_wait() + self.probe_wait().max(self.times.interval);
        self.listens_from() + self.listens_for(id) - lead
    }

    /// It listens anew after somebody who was not understood.
    fn listens_from(&self) -> Instant {
        let somebody_at = self.paths.iter().filter_map(|path| path.detector.somebody_at()).max();
        self.estranged_at().max(somebody_at).map_or(self.started_at, |at| at.max(self.started_at))
    }

    /// How long the peer needs to let go is what the same configuration makes us announce, if the peer did
    /// not announce anything to us.
    fn listens_for(&self, id: GroupId) -> Span {
        let extra = if self.goes_first(id) { Span::ZERO } else { self.second_waits() };
        let safety = self.policy.groups.get(id.index()).map_or(SafetyRule::Lease, |policy| policy.safety);
        let armed =
            self.peer.mechanisms().unwrap_or_else(|| timing::mechanisms(&self.policy, self.watchdog_s));
        timing::listens_for(&self.policy, safety, armed) + extra
    }

    /// When dead_after and the allowance for drift have passed since the peer's newest beat on any path.
    /// After a power loss that the lines showed it is late_after instead, and what a living peer needs to see
    /// the drop and let go. A peer that was heard long after its lines had dropped looks less like that: it
    /// has to be silent for longer by as much.
    ///
    /// Where a voting witness counts there is no such shortcut. One end of a cable may lose its lines alone,
    /// by a plug that is half out or a loopback plug on the other end. A holder that sees no drop lets go by
    /// dead_after.
    pub(super) fn drift_passes(&self) -> Instant {
        let passes =
            |wait| self.newest_frame_at().map_or(Instant::ORIGIN, |at| at + timing::takeover_after(wait));
        if !self.is_power_loss || self.is_vote_counted() {
            return passes(self.takes_by());
        }
        let late_after = self.times.longest_late_after;
        let dropped_at = self.lines_dropped_at().unwrap_or(Instant::ORIGIN);
        let noticed_at = dropped_at + self.times.longest_interval;
        let outlived = self.newest_frame_at().map_or(Span::ZERO, |at| at.since(noticed_at));
        let let_go = timing::hasty_release(self.times.interval, late_after);
        passes((late_after + outlived).min(self.takes_by())).max(dropped_at + let_go)
    }

    pub(super) fn newest_frame_at(&self) -> Option<Instant> {
        self.paths.iter().filter_map(|path| path.detector.heard_at()).max()
    }

    /// When somebody who is not understood was last on a cable, if the peer has not been heard since. Most
    /// likely it is the peer with another key, and its kernel may still hold what it held.
    pub(super) fn estranged_at(&self) -> Option<Instant> {
        let refused_at = self.paths.iter().filter_map(|path| path.detector.refused_at()).max();
        refused_at.filter(|at| self.newest_frame_at().is_none_or(|newest| *at > newest))
    }

    /// From when on the peer has to let go of a group: its last sign of life. If the voting witness has
    /// granted it the group since, it may have gone on with it. What it was granted of other groups says
    /// nothing of this one: each ends by its own orders.
    fn last_sign_at(&self, id: GroupId) -> Option<Instant> {
        self.estranged_at().or_else(|| self.newest_frame_at()).max(self.peer_granted_at(id))
    }

    /// Since when nobody puts back an address that has gone from the peer's kernel: it has said that it
    /// cannot serve, or nobody acknowledges it since. A peer that was not understood knows no such deadline.
    pub(super) fn nothing_is_put_back_since(&self) -> Option<Instant> {
        let since = self.peer.troubled_since().or_else(|| self.newest_frame_at());
        since.filter(|_| self.estranged_at().is_none())
    }

    /// When every release mechanism of a group that the peer announced must have fired; never, if it
    /// announced none. They are reckoned from when it began to say that it cannot serve. Otherwise from its
    /// last frame: then it may have gone on until its ack deadline.
    pub(super) fn peer_released_at(&self, id: GroupId) -> Instant {
        let dead_after = self.slowest_dead_after();
        let (last_sign_at, goes_on_for) = match self.peer.troubled_since() {
            Some(since) if self.estranged_at().is_none() && self.peer_granted_at(id) < Some(since) => {
                (Some(since), self.pace())
            }
            Some(_) | None => (self.last_sign_at(id), dead_after),
        };
        let (Some(last_sign_at), Some(armed)) = (last_sign_at, self.peer.mechanisms()) else {
            return Instant::NEVER;
        };
        if armed.lease_s == 0 && armed.watchdog_s == 0 {
            return Instant::NEVER;
        }
        last_sign_at + timing::with_drift(timing::released_after(goes_on_for, dead_after, armed))
    }

    /// When the peer's watchdog must have fired; never, if it announced none. A guard that works keeps it
    /// quiet for as long as its scripts may take to stop, and lets it fire if one does not.
    fn peer_reset_at(&self, id: GroupId) -> Instant {
        let (Some(last_sign_at), Some(armed)) = (self.last_sign_at(id), self.peer.mechanisms()) else {
            return Instant::NEVER;
        };
        let stopped = timing::scripts_bound(self.slowest_dead_after(), Span::from_s(u64::from(armed.stop_s)));
        let watchdog = Span::from_s(u64::from(armed.watchdog_s));
        // An interval may lie between what was heard and what its guard did last, and another one before it
        // looks again.
        let fires_at = last_sign_at + timing::with_drift(stopped + watchdog + self.two_beats());
        if armed.watchdog_s == 0 { Instant::NEVER } else { fires_at }
    }

    /// When a holder that is not acknowledged has to start its release, if it must.
    pub(super) fn forced_release_at(&self) -> Instant {
        if self.is_in_haste() {
            let late_after = self.times.shortest_late_after;
            self.peer.acknowledged().map_or(Instant::NEVER, |at| at + timing::release_start(late_after))
        } else {
            self.usual_release_at()
        }
    }

    /// The same without haste. The peer cannot go by other times than another run of ours had announced
    /// before it has heard them.
    pub(super) fn usual_release_at(&self) -> Instant {
        let by_ack =
            |hold| self.peer.acknowledged().map_or(Instant::NEVER, |at| at + timing::release_start(hold));
        let dead_after = self.holds_by();
        match self.promise.filter(|_| !self.peer.does_know_us()) {
            None => by_ack(dead_after),
            Some(promise) => {
                let told_at = self.spoke_at.unwrap_or(Instant::NEVER);
                by_ack(promise.hold).min(by_ack(dead_after).max(told_at + timing::release_start(dead_after)))
            }
        }
    }

    /// When a holder has served alone for a full lease since its ack deadline.
    pub(super) fn alone_at(&self) -> Instant {
        self.usual_release_at() + self.policy.lease
    }

    /// Whether the lines of some cable dropped, here or there, and the peer has not heard us since shortly
    /// after that. Then it may take the shortcut of a power loss, so our own deadline shrinks too. Each node
    /// looks at its lines once an interval.
    pub(super) fn is_in_haste(&self) -> bool {
        let Some(dropped_at) = self.lines_dropped_at().max(self.peer.lines_dropped_at()) else {
            return false;
        };
        // The peer reckons with the interval of the cable, which may be the longest.
        let interval = self.times.longest_interval;
        let outlived = outlived_for(interval) + interval;
        let is_late = self.peer.acknowledged().is_none_or(|acked| acked <= dropped_at + outlived);
        is_late && !self.is_shortcut_closed()
    }

    /// The peer takes no shortcut: its file is another one, and it has shown that it knows ours.
    fn is_shortcut_closed(&self) -> bool {
        self.is_digest_different && self.peer.does_know_us() && self.peer.acked_at().is_some()
    }

    /// How old the newest question that a witness has answered may be for a holder that serves
    /// unacknowledged: a cut may have come right after it, and the peer takes over dead_after later.
    pub(super) fn holders_sight_window(&self) -> Span {
        timing::release_start(self.holds_by())
    }

    /// When the last sight of a witness is too old for a holder.
    pub(super) fn sight_ends(&self) -> Instant {
        self.witnesses.newest_answered().map_or(Instant::NEVER, |at| at + self.holders_sight_window())
    }

    /// How long an answer of a witness counts as sight in our beats.
    pub(super) fn sight_window(&self) -> Span {
        self.slowest_dead_after()
    }

    /// When the newest answer to a probe counts no more, after a power loss.
    pub(super) fn answer_ages_at(&self, group: &Group) -> Instant {
        let answered_at = group.probe.answered_at().filter(|_| self.is_power_loss);
        answered_at.map_or(Instant::NEVER, |at| at + timing::takeover_after(self.times.longest_late_after))
    }
}
