//! The facts of a group, gathered from everything that the node knows.

use super::{GuardState, Leaving, Node, Path};
use crate::config::{Failback, SafetyRule};
use crate::frame::message::{Incarnation, PathReport};
use crate::health::{LineReading, WitnessView};
use crate::pair::{GroupId, Role, Side, Trouble, Word};
use crate::quorum::facts::{Claim, Clock, GroupRule, OwnFacts, PeerFacts, Situation, Tie, WireFacts, Wish};
use crate::quorum::group::Group;
use crate::quorum::probe::{self, Finding};
use crate::quorum::timers::Timer;
use crate::quorum::timing;
use crate::reasons::Verdict;
use crate::resource::{Condition, Fault};
use crate::time::{Instant, Span};

impl Node {
    /// Everything that bears on one group.
    pub(super) fn situation(&self, now: Instant, id: GroupId, group: &Group) -> Situation {
        let policy = self.policy.groups.get(id.index());
        let peer = self.peer_facts(now, id, group);
        let wire = WireFacts {
            finding: self.finding(now, id, group),
            witness: self.witness_view(now, group.role),
            neighbours: self.neighbour_view(id, group),
            vote: self.vote_view(now, id),
        };
        let rule = GroupRule {
            safety: policy.map_or(SafetyRule::Lease, |policy| policy.safety),
            is_exclusive: policy.is_some_and(|policy| policy.is_exclusive),
            has_scripts: policy.is_none_or(|policy| policy.stop_timeout != Span::ZERO),
            in_jeopardy: self.policy.in_jeopardy,
        };
        Situation { peer, own: self.own_facts(now, id, group), wire, clock: self.clock(now, id, group), rule }
    }

    fn peer_facts(&self, now: Instant, id: GroupId, group: &Group) -> PeerFacts {
        let is_on_time = self.is_on_time(now);
        let claim = if is_on_time || self.is_heard(now) { self.claim(now, id) } else { Claim::Unknown };
        let has_power = |path: &Path| matches!(path.detector.lines(), LineReading::Running { .. });
        PeerFacts {
            verdict: self.verdict_for(now, group.role),
            was_ever_heard: self.was_ever_heard,
            was_known: self.predecessors_peer.is_some(),
            is_on_time,
            is_heard_since_stall: self.peer.beat_at().is_some_and(|at| at >= self.stalled_at),
            is_cut_short: self.is_cut_short,
            is_deaf: is_on_time && self.is_peer_deaf(self.is_in_haste()),
            claim,
            does_want: self.does_peer_want(id),
            is_able: self.is_peer_able(id),
            tie: self.tie(id, group, claim),
            is_troubled: self.peer.troubled_since().is_some(),
            is_estranged: self.estranged_at().is_some(),
            are_lines_on: self.paths.iter().any(has_power),
            is_off: group.timers.is_set(Timer::PeerOff),
            is_file_different: self.is_digest_different,
            // Not by the newest frame: a pause of this node shifts that instant, and not the grant's.
            was_granted_since: self.peer_granted_at(id) > self.peer.beat_at(),
            fence: group.fence,
        }
    }

    fn own_facts(&self, now: Instant, id: GroupId, group: &Group) -> OwnFacts {
        let is_claim_heard = |since: Instant| self.peer.acked_at() >= Some(since);
        OwnFacts {
            has_carrier: group.has_carrier,
            is_able: self.guard == GuardState::Fine,
            is_stopping: self.leaving != Leaving::No,
            standby: self.restraint.standby,
            wish: self.wish(id, group),
            is_address_refused: group.is_refused(),
            is_address_gone: group.fault == Some(Fault::AddressGone),
            is_cut_off: self.is_cut_off(now, id),
            is_unfit: matches!(group.condition, Condition::Unfit(_)),
            is_ready: group.is_ready(),
            is_stuck: matches!(group.condition, Condition::Stuck(_)),
            is_given_away: group.is_given_away,
            goes_first: self.goes_first(id),
            is_claim_heard: group.claims_since.is_some_and(is_claim_heard),
            keeps_addresses: group.keeps_addresses(),
        }
    }

    /// What time brings about. A wait that is not set is over already; what nothing will bring about is
    /// never.
    fn clock(&self, now: Instant, id: GroupId, group: &Group) -> Clock {
        let over = |at: Option<Instant>| at.unwrap_or(Instant::ORIGIN);
        let if_cold = |at: Instant| if self.was_ever_heard { Instant::ORIGIN } else { at };
        Clock {
            now,
            judged_at: self.judge_from,
            maintained_until: over(self.restraint.maintenance_until),
            peer_maintained_until: over(self.peer.maintenance_until()),
            listened_at: if_cold(self.cold_start_ends(id)),
            listening_asks_at: if_cold(self.listening_asks_at(id)),
            silent_at: self.drift_passes(),
            released_at: self.peer_released_at(id),
            reset_at: self.reset_at(id),
            fence_again_at: group.timers.at(Timer::FenceAgain),
            offered_until: over(group.timers.get(Timer::Offer)),
            unsteady_until: over(group.timers.get(Timer::Unsteady)),
            second_at: self.second_at(group),
            claimed_at: self.claimed_at(group),
            retry_at: group.timers.at(Timer::Retry),
            lease_until: group.lease_until,
            renew_at: self.renews_at(now, group),
            deadline_at: self.forced_release_at(),
            grant_needed_at: self.grant_needed_at(),
            alone_at: self.alone_at(),
            dark_at: self.dark_at(group),
            outseen_at: self.outseen_at(group),
            cut_off_at: self.hands_over_at(now, id),
            back_at: self.neighbours_back_at(id),
            offer_unused_until: over(group.timers.get(Timer::NextOffer)),
            failback_at: self.failback_at(id, group),
        }
    }

    /// When the lease of a holder is renewed. One waking serves both: a renewal that would be due before the
    /// next beat goes with this one.
    pub(super) fn renews_at(&self, now: Instant, group: &Group) -> Instant {
        let at = group.timers.at(Timer::Renewal);
        if group.role.is_holding() && self.is_beat_due(now) {
            // A little less than an interval: that the last one was sent a moment late does not count.
            return at - self.times.interval.fraction(9, 10);
        }
        if group.role.is_holding() { at } else { Instant::NEVER }
    }

    /// When a group leaves a node that has lost carrier: once the peer could have served it for long enough
    /// since, and has said so when asked after that. Two boxes on one switch lose carrier, and have it back,
    /// at slightly different times.
    fn dark_at(&self, group: &Group) -> Instant {
        let asked_at = group.dark_for(self.policy.carrier_delay);
        if self.peer.acked_at() >= Some(asked_at) { asked_at } else { Instant::NEVER }
    }

    /// When the peer has seen more witnesses than we do for so long that a lost answer does not explain it.
    /// The wait is longer each time that the group has moved before.
    pub(super) fn outseen_at(&self, group: &Group) -> Instant {
        let twice = self.two_beats();
        let wait = if group.flaps == 0 { twice } else { group.failback_wait(twice) };
        self.outseen_since.map_or(Instant::NEVER, |since| since + wait)
    }

    /// When the preferred node has been well for as long as the configuration asks. Each unplanned loss
    /// doubles that. Never for a group that does not go back by itself.
    pub(super) fn failback_at(&self, id: GroupId, group: &Group) -> Instant {
        let policy = self.policy.groups.get(id.index()).filter(|policy| policy.prefer == Some(self.me));
        match (policy.map(|policy| policy.failback), self.well_since) {
            (Some(Failback::After(wait)), Some(since)) => since + group.failback_wait(wait),
            (Some(Failback::After(_)), None) | (Some(Failback::Manual) | None, _) => Instant::NEVER,
        }
    }

    /// Whether the peer is known to have heard us on no path for as long as counts as deaf; for half of
    /// late_after if `is_hasty`.
    fn is_peer_deaf(&self, is_hasty: bool) -> bool {
        let limit = |path: &Path| {
            let timing = path.detector.agreed();
            if is_hasty { timing.late_after.fraction(1, 2) } else { PathReport::deaf_after(timing) }
        };
        self.peer.is_deaf(self.paths.iter().map(limit))
    }

    pub(super) fn claim(&self, now: Instant, id: GroupId) -> Claim {
        match self.peer.group(id, &self.policy) {
            None => Claim::Unknown,
            Some(report) if report.role.is_holding() && self.has_lapsed_there(now, id) => Claim::Free,
            Some(report) => match report.role {
                Role::Acquiring | Role::Active => Claim::Serves,
                Role::Releasing => Claim::Releases,
                // It may have taken the group since: that it holds nothing has to be fresh.
                Role::Backup | Role::Faulty if !self.is_on_time(now) => Claim::Unknown,
                Role::Backup | Role::Faulty if report.word == Word::Offered => Claim::Offers,
                Role::Backup | Role::Faulty => Claim::Free,
            },
        }
    }

    /// Whether the peer has said that it cannot serve for so long that its kernel has let go of the group,
    /// whatever role it still reports. That ends addresses; where more has to be certain, it takes a fence. A
    /// lease that has lapsed is never renewed under that term.
    fn has_lapsed_there(&self, now: Instant, id: GroupId) -> bool {
        let policy = self.policy.groups.get(id.index());
        let is_enough =
            policy.is_some_and(|policy| policy.safety != SafetyRule::Fence && !policy.is_exclusive);
        is_enough && self.is_lease_over_there(now, id)
    }

    /// Whether the kernel has taken the addresses of a group from a peer that cannot serve.
    pub(super) fn is_lease_over_there(&self, now: Instant, id: GroupId) -> bool {
        let is_troubled = self.peer.troubled_since().is_some();
        let Some(group) = self.groups.get(id.index()) else { return false };
        let has_lapsed_before = group.lapsed_there.is_some() && group.lapsed_there == self.reign_there(id);
        let is_shown = || group.probe.is_expired() && self.has_addresses_only(id);
        is_troubled && (has_lapsed_before || is_shown() || now >= self.peer_released_at(id))
    }

    /// Nothing has to be certain of a group but that its addresses are gone.
    fn has_addresses_only(&self, id: GroupId) -> bool {
        let policy = self.policy.groups.get(id.index());
        policy.is_some_and(|group| group.stop_timeout == Span::ZERO && group.safety == SafetyRule::Probe)
    }

    /// How many addresses of a group can be watched in the peer's kernel.
    pub(super) fn watched_vips(&self, id: GroupId) -> u8 {
        self.policy.groups.get(id.index()).map_or(0, |policy| policy.vips_beside_peer)
    }

    /// The run of the peer that speaks of the group, and its term.
    fn reign_there(&self, id: GroupId) -> Option<(Incarnation, u32)> {
        self.peers_run.zip(self.peer.group(id, &self.policy).map(|report| report.term))
    }

    /// Remembers that the peer's lease of a group is over.
    pub(super) fn note_lapse(&mut self, now: Instant, id: GroupId) {
        let is_held = self.peer.group(id, &self.policy).is_some_and(|report| report.role.is_holding());
        let lapsed = self.reign_there(id).filter(|_| is_held && self.has_lapsed_there(now, id));
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.lapsed_there = lapsed.or(group.lapsed_there);
        }
    }

    /// The peer could serve the group if we let it go.
    pub(super) fn is_peer_able(&self, id: GroupId) -> bool {
        let Some(report) = self.peer.group(id, &self.policy).filter(|report| report.role == Role::Backup)
        else {
            return false;
        };
        let standing = self.peer.beat().map(|beat| beat.standing).unwrap_or_default();
        let could_serve = match report.word {
            Word::None | Word::Wanted => true,
            Word::Unable | Word::Unready => false,
            // It has something else to say of this group. All that we know is what it has carrier for.
            Word::Offered | Word::Yielded => !self.is_dark_there(id),
        };
        let is_free = !standing.leaving && !standing.standby && standing.maintenance.is_none();
        is_free && could_serve && standing.trouble == Trouble::None
    }

    /// Higher term wins, then the preferred node, then the lower name.
    fn tie(&self, id: GroupId, group: &Group, claim: Claim) -> Tie {
        let is_claiming = matches!(group.role, Role::Acquiring | Role::Active);
        let Some(theirs) =
            self.peer.group(id, &self.policy).filter(|_| is_claiming && claim == Claim::Serves)
        else {
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
        } else if group.timers.is_set(Timer::Handover) {
            Wish::Handover
        } else if self.guard == GuardState::Fine
            && self.does_peer_want(id)
            && self.peer.acked_at() >= group.active_since
        {
            // It knows that we serve, and asks for what it knows to be served. While our guard fails, it only
            // claims what it takes for vacant.
            Wish::PeerWants
        } else {
            Wish::None
        }
    }

    /// Whether this node goes first: the preferred one does, else the one with the lower name. The two may
    /// not agree on which one is preferred. Then, and as long as nobody has been heard, the name alone
    /// decides.
    pub(super) fn goes_first(&self, id: GroupId) -> bool {
        let do_agree = self.was_ever_heard && !self.is_digest_different;
        let preferred = self.policy.groups.get(id.index()).and_then(|policy| policy.prefer);
        preferred.filter(|_| do_agree).unwrap_or(Side::A) == self.me
    }

    fn does_peer_want(&self, id: GroupId) -> bool {
        self.peer.group(id, &self.policy).is_some_and(|report| report.word == Word::Wanted)
    }

    /// What the witnesses show. A backup wants answers to requests that left after the peer's last frame, a
    /// holder after its newest acknowledged beat. A request right after that may have been answered right
    /// before the cut that silenced the peer, so the request has to be later by late_after. And it has to be
    /// recent: a witness that answered once may be out of sight by now.
    fn witness_view(&self, now: Instant, role: Role) -> WitnessView {
        let late_after = self.times.shortest_late_after;
        let (since, wait, window) = if !role.is_holding() {
            (self.newest_frame_at(), late_after, self.sight_window())
        } else if self.is_in_haste() && now < self.usual_release_at() {
            // A deadline of late_after leaves room for half of that.
            (self.peer.acknowledged(), late_after.fraction(1, 2), self.holders_sight_window())
        } else {
            let wait = timing::sight_wait(late_after, self.times.interval, self.holds_by());
            (self.peer.acknowledged(), wait, self.holders_sight_window())
        };
        let earliest = since.map_or(Instant::ORIGIN, |at| at + wait);
        self.witnesses.view(earliest.max(now - window))
    }

    /// What the wire says of a group.
    pub(super) fn finding(&self, now: Instant, id: GroupId, group: &Group) -> Finding {
        group.probe.finding(now, self.times.interval, self.probe_wait(), self.probe_patience(id))
    }

    /// How long somebody who answered for a VIP and is silent since counts as there: for a while if it cannot
    /// be the peer, since then it is a stranger.
    fn probe_patience(&self, id: GroupId) -> Span {
        let is_vacant = self.verdict.is_somebody()
            && self.peer.troubled_since().is_none()
            && self.peer.group(id, &self.policy).is_some_and(|report| !report.role.is_holding());
        if is_vacant || !self.was_ever_heard { probe::STRANGERS_PATIENCE } else { Span::ZERO }
    }

    /// How long a probe waits for answers.
    pub(super) fn probe_wait(&self) -> Span {
        let waits = self.policy.paths.iter().map(|p| probe::wait(p.timing.late_after, p.timing.dead_after));
        waits.min().unwrap_or_default()
    }

    /// The verdict for a node in this role. To a node that would take what the peer held, its goodbye is
    /// worth no more than silence once dead_after has passed, since the peer may be back.
    fn verdict_for(&self, now: Instant, role: Role) -> Verdict {
        let is_fresh = self.peer.beat_at().is_some_and(|at| now < at + self.slowest_dead_after());
        let is_over = self.verdict == Verdict::Departed && !is_fresh && !role.is_holding();
        if is_over { self.verdict_by_silence } else { self.verdict }
    }
}
