//! From what was heard to a verdict, and to the situation of each group.

use heapless::Vec;

use super::{GuardState, Leaving, Node, Path, emit};
use crate::config::{Failback, MAX_DEAD_AFTER, MAX_PATHS, SafetyRule};
use crate::frame::message::{Incarnation, PathReport};
use crate::health::{LineReading, PathState, RAILS_APART, WitnessView, outlived_for};
use crate::pair::{GroupId, PathId, PathKind, Role, Side, Trouble, Word};
use crate::quorum::decide::{Claim, Situation, Standby, Tie, Wish};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::group::Group;
use crate::quorum::probe::Finding;
use crate::quorum::record::Record;
use crate::quorum::timers::Timer;
use crate::quorum::verdict::{Testimony, is_jeopardy, is_power_loss, verdict};
use crate::quorum::{probe, timing};
use crate::reasons::Verdict;
use crate::resource::Condition;
use crate::time::{Instant, Span};

impl Node {
    /// Brings path states, verdict and jeopardy up to date.
    pub(super) fn judge(&mut self, now: Instant, effects: &mut Effects) {
        let paths = self.testimonies(now);
        for ((id, path), testimony) in self.policy.path_ids().zip(&mut self.paths).zip(&paths) {
            path.note(id, testimony, effects);
        }
        self.is_power_loss = is_power_loss(&paths);
        self.age_answers(now);
        self.verdict_by_silence = verdict(&paths, false);
        let to = verdict(&paths, self.peer.has_left());
        if to != self.verdict {
            emit(effects, Effect::Record(Record::Verdict { from: self.verdict, to }));
            self.verdict = to;
        }
        // Before the peer was ever heard no path can have failed.
        let is_expected = self.was_ever_heard && !self.peer.has_left();
        let jeopardy = is_expected && is_jeopardy(&paths, |index| self.is_unheard_on(index));
        self.note_jeopardy(now, jeopardy, effects);
        self.note_standing(now);
        self.note_peers_trouble(now, effects);
    }

    /// Lines drop before the power is gone, and a kernel that is about to lose it answers once more: as long
    /// as a box may outlive its lines that says no more than a beat would have, and counts for as long.
    fn age_answers(&mut self, now: Instant) {
        let Some(dropped_at) = self.lines_dropped_at().filter(|_| self.is_power_loss) else { return };
        for group in &mut self.groups {
            group.probe.age(
                now,
                dropped_at + RAILS_APART,
                timing::takeover_after(self.policy.longest_late_after()),
            );
        }
    }

    /// When the lines of some cable were last seen to have dropped.
    fn lines_dropped_at(&self) -> Option<Instant> {
        self.paths.iter().filter_map(|path| path.detector.lines_dropped_at()).max()
    }

    /// When the newest answer to a probe counts no more, after a power loss.
    pub(super) fn answer_ages_at(&self, group: &Group) -> Instant {
        let answered_at = group.probe.answered_at().filter(|_| self.is_power_loss);
        answered_at.map_or(Instant::NEVER, |at| at + timing::takeover_after(self.policy.longest_late_after()))
    }

    /// Jeopardy is said at once. That it is over is said only while the peer is there: of one that is off
    /// every silent path testifies, and text on its line would end it and begin it again without end. If it
    /// has come back lately, its end counts once it has lasted.
    fn note_jeopardy(&mut self, now: Instant, is_jeopardy: bool, effects: &mut Effects) {
        let is_within = |at: Option<Instant>, span: Span| at.is_some_and(|at| now.since(at) < span);
        match (self.jeopardy_since.is_some(), is_jeopardy) {
            (false, true) if is_within(self.jeopardy_ended_at, COMES_BACK) => {
                self.jeopardy_came_back_at = Some(now)
            }
            (true, false) => self.jeopardy_ended_at = Some(now),
            (false, true) | (false, false) | (true, true) => {}
        }
        self.jeopardy_since = is_jeopardy.then(|| self.jeopardy_since.unwrap_or(now));
        let has_to_last = is_within(self.jeopardy_came_back_at, COMES_BACK);
        let has_lasted = !has_to_last || !is_within(self.jeopardy_ended_at, OVER_AFTER);
        let is_over = !is_jeopardy && self.verdict == Verdict::Present && has_lasted;
        let is_news = if self.has_said_jeopardy { is_over } else { is_jeopardy };
        if is_news {
            self.has_said_jeopardy = is_jeopardy;
            emit(effects, Effect::Record(Record::Jeopardy(is_jeopardy)));
        }
    }

    /// Since when we have been well and wanted, and since when the peer has seen more than we do.
    fn note_standing(&mut self, now: Instant) {
        let has_carrier = self.groups.iter().all(|group| group.has_carrier);
        let is_there = self.verdict == Verdict::Present && self.restraint.standby == Standby::No;
        let is_well = is_there && self.jeopardy_since.is_none() && has_carrier;
        self.well_since = is_well.then(|| self.well_since.unwrap_or(now));
        let do_tell = self.is_on_time(now) && !self.is_digest_different;
        let is_outseen = do_tell && self.witnesses.is_peer_better(now, self.sight_window());
        self.outseen_since = is_outseen.then(|| self.outseen_since.unwrap_or(now));
        let does_miss = do_tell && self.witnesses.each().any(|(_, is_seen_there)| !is_seen_there);
        self.peer_misses_since = does_miss.then(|| self.peer_misses_since.unwrap_or(now));
    }

    /// What every path testifies now.
    pub(super) fn testimonies(&self, now: Instant) -> Vec<Testimony, MAX_PATHS> {
        let testimony = |(index, path): (usize, &Path)| {
            let others = self.paths.iter().enumerate().filter(|(other, _)| *other != index);
            let elsewhere = others.filter_map(|(_, other)| other.detector.heard_at()).max();
            let detector = &path.detector;
            Testimony {
                kind: detector.kind(),
                state: detector.state(now, elsewhere),
                lines: detector.lines(),
                is_cut_short: self.is_cut_short_on(path),
                is_broken_briefly: detector.is_broken_briefly(now),
            }
        };
        self.paths.iter().enumerate().map(testimony).collect()
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
        let Some((report, path)) = report.zip(self.paths.get(index)) else { return false };
        report.age().is_none_or(|age| age >= path.detector.dead_after())
    }

    /// What the peer's goodbye is worth to who would take what it held: after dead_after it is silence like
    /// any other, since the peer may be back.
    fn verdict_for(&self, now: Instant, role: Role) -> Verdict {
        let is_fresh = self.peer.beat_at().is_some_and(|at| now < at + self.slowest_dead_after());
        match self.verdict {
            Verdict::Departed if !is_fresh && !role.is_holding() => self.verdict_by_silence,
            verdict => verdict,
        }
    }

    /// The longer of both nodes' intervals: how often one hears what the other says.
    pub(super) fn pace(&self) -> Span {
        self.policy.interval().max(self.peer.interval())
    }

    /// The longest dead_after of any path, by the slower of both files.
    pub(super) fn slowest_dead_after(&self) -> Span {
        self.paths.iter().map(|path| path.detector.dead_after()).max().unwrap_or_default()
    }

    /// The dead_after with which we reckon as a holder. Of each path the slower file's, since the peer waits
    /// for that; unless it has not shown yet that it knows ours: then the shortest of what it may go by.
    pub(super) fn holds_by(&self) -> Span {
        let all = self.paths.iter().map(|path| &path.detector);
        if self.peer.does_know_us() {
            return all.map(|path| path.dead_after()).min().unwrap_or_default();
        }
        let own = all.clone().map(|path| path.timing().dead_after);
        let promised = self.promise.map(|promise| promise.hold);
        own.chain(all.filter_map(|path| path.peers_dead_after())).chain(promised).min().unwrap_or_default()
    }

    /// The dead_after with which we reckon before we take. Until the peer has shown that it knows ours it
    /// relies on what another run of ours announced: that of our predecessor, or one of which nothing is
    /// known.
    pub(super) fn takes_by(&self) -> Span {
        let promised = self.promise.map_or(MAX_DEAD_AFTER, |promise| promise.take);
        let slowest = self.slowest_dead_after();
        if self.peer.does_know_us() { slowest } else { slowest.max(promised) }
    }

    /// The peer is known to have heard us on no path for as long as counts as deaf; half of late_after, if
    /// `is_hasty`.
    fn is_peer_deaf(&self, is_hasty: bool) -> bool {
        let limit = |path: &Path| {
            let timing = path.detector.agreed();
            if is_hasty { timing.late_after.fraction(1, 2) } else { PathReport::deaf_after(timing) }
        };
        self.peer.is_deaf(self.paths.iter().map(limit))
    }

    /// Everything that bears on one group.
    pub(super) fn situation(&self, now: Instant, id: GroupId, group: &Group) -> Situation {
        let is_heard = self.is_heard(now);
        let claim = if is_heard { self.claim(now, id) } else { Claim::Unknown };
        let policy = self.policy.groups.get(id.index());
        Situation {
            verdict: self.verdict_for(now, group.role),
            is_refused: !is_heard && self.paths.iter().any(|path| path.state == PathState::Refused),
            claim,
            finding: self.finding(now, id, group),
            has_carrier: group.has_carrier,
            is_able: self.guard == GuardState::Fine,
            is_stopping: self.leaving != Leaving::No,
            standby: self.restraint.standby,
            is_in_maintenance: self.is_in_maintenance(),
            is_peer_in_maintenance: self.peer.is_in_maintenance(now),
            is_stalled: now < self.judge_from,
            was_ever_heard: self.was_ever_heard,
            has_listened: now >= self.cold_start_ends(id),
            is_our_turn: self.is_our_turn(now, id, group),
            has_offered: group.timers.is_set(Timer::Offer),
            is_unsteady: group.timers.get(Timer::Unsteady).is_some_and(|until| now < until),
            has_drift_passed: now >= self.drift_passes(),
            must_have_released: now >= self.peer_released_at(),
            must_have_reset: now >= self.peer_reset_at(),
            is_estranged: self.estranged_at().is_some(),
            is_peer_troubled: self.peer.troubled_since().is_some(),
            are_lines_on: self
                .paths
                .iter()
                .any(|p| matches!(p.detector.lines(), LineReading::Running { .. })),
            witness: self.witness_view(now, group.role),
            fence: group.fence,
            is_peer_off: group.timers.is_set(Timer::PeerOff),
            safety: policy.map_or(SafetyRule::Lease, |policy| policy.safety),
            is_exclusive: policy.is_some_and(|policy| policy.is_exclusive),
            in_jeopardy: self.policy.in_jeopardy,
            has_lease_lapsed: now >= group.lease_until,
            is_deadline_due: now >= self.forced_release_at(),
            is_peer_deaf: self.is_on_time(now) && self.is_peer_deaf(self.is_in_haste()),
            has_served_alone: now >= self.usual_release_at() + self.policy.lease,
            is_unfit: matches!(group.condition, Condition::Unfit(_)),
            is_stuck: matches!(group.condition, Condition::Stuck(_)),
            is_address_refused: group.is_refused(),
            is_peer_better_off: !group.has_carrier || self.is_outseen(now, group),
            can_offer: self.is_on_time(now)
                && matches!(claim, Claim::Free | Claim::Offers)
                && self.is_peer_able(id),
            is_offer_unused: group.timers.is_set(Timer::NextOffer),
            tie: self.tie(id, group, claim),
            wish: self.wish(id, group),
        }
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

    /// The peer has said that it cannot serve for so long that the kernel has let go of the group for it,
    /// whatever role it still reports. That ends addresses; where more has to be certain, it takes a fence.
    /// What has lapsed is never renewed under that term.
    fn has_lapsed_there(&self, now: Instant, id: GroupId) -> bool {
        let policy = self.policy.groups.get(id.index());
        let is_enough =
            policy.is_some_and(|policy| policy.safety != SafetyRule::Fence && !policy.is_exclusive);
        is_enough && self.is_lease_over_there(now, id)
    }

    /// Whether the kernel has taken the addresses of a group from a peer that cannot serve.
    pub(super) fn is_lease_over_there(&self, now: Instant, id: GroupId) -> bool {
        let is_troubled = self.peer.troubled_since().is_some();
        let lapsed = self.groups.get(id.index()).and_then(|group| group.lapsed_there);
        let has_lapsed_before = lapsed.is_some() && lapsed == self.tenure_there(id);
        is_troubled && (has_lapsed_before || now >= self.peer_released_at())
    }

    /// Which run of the peer's speaks of the group, and under which term.
    fn tenure_there(&self, id: GroupId) -> Option<(Incarnation, u32)> {
        self.session.peer().zip(self.peer.group(id, &self.policy).map(|report| report.term))
    }

    /// Remembers that the peer's lease of a group is over.
    pub(super) fn note_lapse(&mut self, now: Instant, id: GroupId) {
        let is_held = self.peer.group(id, &self.policy).is_some_and(|report| report.role.is_holding());
        let lapsed = self.tenure_there(id).filter(|_| is_held && self.has_lapsed_there(now, id));
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
            // It has something else to say of this group; that some group of its lacks carrier is all we
            // know.
            Word::Offered | Word::Yielded => !standing.no_carrier,
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
            // It knows that we serve, and asks for what it knows to be served. While our guard fails, it
            // claims what it takes for vacant.
            Wish::PeerWants
        } else {
            Wish::None
        }
    }

    /// The preferred node goes first, else the lower name. Which one is preferred the two may not agree on:
    /// then, and as long as nobody has been heard, the name alone decides.
    pub(super) fn goes_first(&self, id: GroupId) -> bool {
        let do_agree = self.was_ever_heard && !self.is_digest_different;
        let preferred = self.policy.groups.get(id.index()).and_then(|policy| policy.prefer);
        preferred.filter(|_| do_agree).unwrap_or(Side::A) == self.me
    }

    /// Of two that could take what nobody holds. The peer has heard that we would, and has not taken it: what
    /// it said with its acknowledgement is what it knew then, and from then on it does not go before us
    /// unless it is the first. If both would, the first one goes; which one that is both know by what each
    /// has heard of the other's file. No clock decides this: that the second one waits for two beats more is
    /// for a first one that becomes able at the same time.
    fn is_our_turn(&self, now: Instant, id: GroupId, group: &Group) -> bool {
        let Some(since) = group.claims_since.filter(|since| self.peer.acked_at() >= Some(*since)) else {
            return false;
        };
        let has_waited = now >= since + self.pace() + self.pace();
        self.is_next(now, id, group) && (self.goes_first(id) || (has_waited && !self.does_peer_want(id)))
    }

    fn does_peer_want(&self, id: GroupId) -> bool {
        self.peer.group(id, &self.policy).is_some_and(|report| report.word == Word::Wanted)
    }

    /// Nobody goes before us.
    pub(super) fn is_next(&self, now: Instant, id: GroupId, group: &Group) -> bool {
        let waited = group.vacant_since.is_some_and(|since| now >= since + self.second_waits());
        self.goes_first(id) || waited || !self.is_peer_able(id)
    }

    /// How much longer the node waits that goes second.
    pub(super) fn second_waits(&self) -> Span {
        self.pace() + self.slowest_dead_after()
    }

    /// When a node that never heard its peer may serve: it listens anew after somebody who was not
    /// understood. What the peer needs to let go is what the same configuration makes us announce, if no run
    /// of ours was told.
    pub(super) fn cold_start_ends(&self, id: GroupId) -> Instant {
        let extra = if self.goes_first(id) { Span::ZERO } else { self.second_waits() };
        let somebody_at = self.paths.iter().filter_map(|path| path.detector.somebody_at()).max();
        let listens_from =
            self.estranged_at().max(somebody_at).map_or(self.started_at, |at| at.max(self.started_at));
        let safety = self.policy.groups.get(id.index()).map_or(SafetyRule::Lease, |policy| policy.safety);
        let armed =
            self.peer.mechanisms().unwrap_or_else(|| timing::mechanisms(&self.policy, self.watchdog_s));
        listens_from + timing::listens_for(&self.policy, safety, armed) + extra
    }

    /// When dead_after and the allowance for drift have passed since the peer's newest beat on any path;
    /// after a power loss that the lines showed, late_after, and what a peer that lives needs to see the drop
    /// and let go. Whoever was heard long after its lines had dropped looks less like that: it has to be
    /// silent for longer by as much.
    pub(super) fn drift_passes(&self) -> Instant {
        let passes =
            |wait| self.newest_frame_at().map_or(Instant::ORIGIN, |at| at + timing::takeover_after(wait));
        if !self.is_power_loss {
            return passes(self.takes_by());
        }
        let late_after = self.policy.longest_late_after();
        let dropped_at = self.lines_dropped_at().unwrap_or(Instant::ORIGIN);
        let noticed_at = dropped_at + self.policy.longest_interval();
        let outlived = self.newest_frame_at().map_or(Span::ZERO, |at| at.since(noticed_at));
        let let_go = timing::hasty_release(self.policy.interval(), late_after);
        passes((late_after + outlived).min(self.takes_by())).max(dropped_at + let_go)
    }

    pub(super) fn newest_frame_at(&self) -> Option<Instant> {
        self.paths.iter().filter_map(|path| path.detector.heard_at()).max()
    }

    /// When somebody who is not understood was last on a cable, if the peer has not been heard since: most
    /// likely it is the peer, with another key, and what it held then its kernel may hold still.
    fn estranged_at(&self) -> Option<Instant> {
        let refused_at = self.paths.iter().filter_map(|path| path.detector.refused_at()).max();
        refused_at.filter(|at| self.newest_frame_at().is_none_or(|newest| *at > newest))
    }

    /// The peer's last sign of life.
    fn last_sign_at(&self) -> Option<Instant> {
        self.estranged_at().or_else(|| self.newest_frame_at())
    }

    /// When the peer's watchdog must have fired; never, if it announced none. A guard that works keeps it
    /// quiet for as long as its scripts may take to stop, and lets it fire where one does not.
    pub(super) fn peer_reset_at(&self) -> Instant {
        let (Some(last_sign_at), Some(armed)) = (self.last_sign_at(), self.peer.mechanisms()) else {
            return Instant::NEVER;
        };
        let stopped = timing::scripts_bound(self.slowest_dead_after(), Span::from_s(u64::from(armed.stop_s)));
        let watchdog = Span::from_s(u64::from(armed.watchdog_s));
        let fires_at = last_sign_at + timing::with_drift(stopped + watchdog + self.pace());
        if armed.watchdog_s == 0 { Instant::NEVER } else { fires_at }
    }

    /// A backup wants answers to requests after the peer's last frame, a holder after its newest acknowledged
    /// beat. A request that left right after that may have been answered right before the cut that silenced
    /// the peer, so it has to be later by late_after; and it has to be recent, since what answered once may
    /// be out of sight by now.
    fn witness_view(&self, now: Instant, role: Role) -> WitnessView {
        let late_after = self.policy.shortest_late_after();
        let (since, wait, window) = if !role.is_holding() {
            (self.newest_frame_at(), late_after, self.sight_window())
        } else if self.is_in_haste() && now < self.usual_release_at() {
            // A deadline of late_after leaves room for half of that.
            (self.peer.acknowledged(), late_after.fraction(1, 2), self.holders_sight_window())
        } else {
            let wait = timing::sight_wait(late_after, self.policy.interval(), self.holds_by());
            (self.peer.acknowledged(), wait, self.holders_sight_window())
        };
        let earliest = since.map_or(Instant::ORIGIN, |at| at + wait);
        self.witnesses.view(earliest.max(now - window))
    }

    /// How old the newest question may be that a witness has answered, for who serves unacknowledged: a cut
    /// may have come right after it, and the peer takes over dead_after later.
    fn holders_sight_window(&self) -> Span {
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

    /// The peer has seen more witnesses than we do, for so long that it is no lost echo; for ever longer,
    /// where the group has moved before.
    fn is_outseen(&self, now: Instant, group: &Group) -> bool {
        let twice = self.pace() + self.pace();
        let wait = if group.flaps == 0 { twice } else { group.failback_wait(twice) };
        self.outseen_since.is_some_and(|since| now >= since + wait)
    }

    /// The lines of some cable dropped, here or there, and the peer has not heard us for long after that: it
    /// may take the shortcut of a power loss, so our own deadline shrinks too. Each looks at its lines once
    /// an interval.
    fn is_in_haste(&self) -> bool {
        // The peer reckons with the interval of the cable, which may be the longest.
        let interval = self.policy.longest_interval();
        let dropped_at = self.lines_dropped_at().max(self.peer.lines_dropped_at());
        let outlived = outlived_for(interval) + interval;
        let is_late = |at: Instant| self.peer.acknowledged().is_none_or(|acked| acked <= at + outlived);
        !self.is_shortcut_closed() && dropped_at.is_some_and(is_late)
    }

    /// The peer takes no shortcut: its file is another one, and it has shown that it knows ours.
    fn is_shortcut_closed(&self) -> bool {
        self.is_digest_different && self.peer.does_know_us() && self.peer.acked_at().is_some()
    }

    /// The lines of some cable dropped in the middle of the peer's beats.
    pub(super) fn is_cut_short(&self) -> bool {
        self.paths.iter().any(|path| self.is_cut_short_on(path))
    }

    /// On this cable, and every LAN that may bear it out has heard the peer in this agent's own life. Beats
    /// do not say what late_after is: only where the configurations agree is ours the peer's too.
    fn is_cut_short_on(&self, path: &Path) -> bool {
        let mut lans = self.paths.iter().filter(|path| path.detector.kind() == PathKind::Lan);
        let is_borne_out = lans.all(|lan| lan.detector.is_first_hand());
        path.detector.is_cut_short(self.newest_frame_at())
            && is_borne_out
            && !self.is_digest_different
            && timing::is_haste_in_time(&self.policy)
    }

    /// The preferred node asks for its group back when it has been well for long enough; each unplanned loss
    /// doubles that. What an operator has moved stays where it is until this node has been away, or has it
    /// back.
    pub(super) fn is_failback_due(&self, now: Instant, id: GroupId, group: &Group) -> bool {
        let Some(policy) = self.policy.groups.get(id.index()) else { return false };
        let Failback::After(wait) = policy.failback else { return false };
        policy.prefer == Some(self.me)
            && group.role == Role::Backup
            && !group.is_given_away
            && !self.is_digest_different
            && self.leaving == Leaving::No
            && self.may_move(now)
            && self.claim(now, id) == Claim::Serves
            && self.well_since.is_some_and(|since| now >= since + group.failback_wait(wait))
    }

    /// When every release mechanism that the peer announced must have fired; never, if it announced none.
    /// They are reckoned from when it began to say that it cannot serve, or from its last frame: then it may
    /// have gone on until its ack deadline.
    pub(super) fn peer_released_at(&self) -> Instant {
        let dead_after = self.slowest_dead_after();
        let (last_sign_at, goes_on_for) = match self.peer.troubled_since() {
            Some(since) if self.estranged_at().is_none() => (Some(since), self.pace()),
            Some(_) | None => (self.last_sign_at(), dead_after),
        };
        let (Some(last_sign_at), Some(armed)) = (last_sign_at, self.peer.mechanisms()) else {
            return Instant::NEVER;
        };
        if armed.lease_s == 0 && armed.watchdog_s == 0 {
            return Instant::NEVER;
        }
        last_sign_at + timing::with_drift(timing::released_after(goes_on_for, dead_after, armed))
    }

    /// When a holder whom nobody acknowledges has to start its release, if it must.
    pub(super) fn forced_release_at(&self) -> Instant {
        if self.is_in_haste() {
            let late_after = self.policy.shortest_late_after();
            self.peer.acknowledged().map_or(Instant::NEVER, |at| at + timing::release_start(late_after))
        } else {
            self.usual_release_at()
        }
    }

    /// The same without haste. By other times than another run of ours had announced the peer cannot go
    /// before it has heard them.
    fn usual_release_at(&self) -> Instant {
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

    /// What the wire says of a group.
    pub(super) fn finding(&self, now: Instant, id: GroupId, group: &Group) -> Finding {
        group.probe.finding(now, self.policy.interval(), self.probe_wait(), self.probe_patience(id))
    }

    /// How long who answered for a VIP counts as there although it is silent: where it cannot be the peer, it
    /// is a stranger.
    fn probe_patience(&self, id: GroupId) -> Span {
        let is_vacant = self.verdict == Verdict::Present
            && self.peer.troubled_since().is_none()
            && self.peer.group(id, &self.policy).is_some_and(|report| !report.role.is_holding());
        if is_vacant || !self.was_ever_heard { probe::STRANGERS_PATIENCE } else { Span::ZERO }
    }

    /// How long a probe waits for answers.
    pub(super) fn probe_wait(&self) -> Span {
        let waits = self.policy.paths.iter().map(|p| probe::wait(p.timing.late_after, p.timing.dead_after));
        waits.min().unwrap_or_default()
    }
}

impl Path {
    /// Records what is new on a path.
    fn note(&mut self, id: PathId, testimony: &Testimony, effects: &mut Effects) {
        if self.state != testimony.state {
            let (from, to) = (self.state, testimony.state);
            emit(effects, Effect::Record(Record::Path { path: id, from, to }));
            self.state = to;
            if to == PathState::OnTime {
                self.said = Default::default();
            }
        }
        if self.lines != testimony.lines {
            self.lines = testimony.lines;
            emit(effects, Effect::Record(Record::Lines { path: id, reading: testimony.lines }));
        }
    }
}

/// Jeopardy that is back so soon after its end comes and goes, and does so for as long.
const COMES_BACK: Span = Span::from_s(60);
/// The end of one that comes and goes has to last so long before it is said; `status` knows earlier.
const OVER_AFTER: Span = Span::from_s(10);
