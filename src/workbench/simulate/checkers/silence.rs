//! What a takeover on silence has to wait for: the lines that show a power loss, the lease, the fence.

use crosswire::config::{InJeopardy, PathTiming, SafetyRule};
use crosswire::health::path::BRIEFLY_BROKEN;
use crosswire::health::{Lines, outlived_for};
use crosswire::pair::{GroupId, PathId, PathKind, Side};
use crosswire::quorum::timing;
use crosswire::reasons::TakeReason;
use crosswire::time::{Instant, Span};

use super::super::world::World;

/// What the modem lines of one path may be believed to say, from what its agent was shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineEvidence {
    is_on: bool,
    /// Since when beats have come in with the lines on.
    on_since: Option<Instant>,
    is_learned: bool,
    is_contradicted: bool,
    dropped_at: Option<Instant>,
}

impl LineEvidence {
    fn show(&mut self, now: Instant, lines: Option<Lines>) {
        let was_on = std::mem::replace(&mut self.is_on, lines.is_some_and(|lines| lines.peer_runs));
        if self.is_on {
            self.dropped_at = None;
        } else {
            self.on_since = None;
            if was_on && self.is_learned {
                self.dropped_at = Some(now);
            }
        }
    }

    /// A beat came in on the path.
    pub fn hear(&mut self, now: Instant, interval: Span, dead_after: Span) {
        if self.is_on {
            let since = *self.on_since.get_or_insert(now);
            self.is_learned |= now.since(since) >= dead_after;
        } else if self.dropped_at.is_none_or(|at| now.since(at) > interval) {
            self.is_contradicted |= self.is_learned;
        }
    }

    /// Whether they dropped after they had been believed.
    pub fn has_dropped(&self) -> bool {
        self.dropped_at.is_some()
    }

    fn is_believed(&self) -> bool {
        self.is_learned && !self.is_contradicted
    }
}

impl World {
    /// The agent is shown the lines of one path.
    pub(in super::super) fn note_lines(&mut self, side: Side, path: PathId, lines: Option<Lines>) {
        let local = self.boxes[side.index()].clock.local(self.now);
        self.watch.hearing[side.index()].lines[path.index()].show(local, lines);
    }

    /// A beat of the peer that was read on a cable, with the lines as they are.
    pub(super) fn note_lines_heard(&mut self, side: Side, path: PathId) {
        let local = self.boxes[side.index()].clock.local(self.now);
        let timing = self.timing(side, path);
        self.watch.hearing[side.index()].lines[path.index()].hear(local, timing.interval, timing.dead_after);
    }

    /// The lines of some cable say that the peer's box has power.
    fn are_lines_on(&self, side: Side) -> bool {
        let open = self.watch.open_paths[side.index()];
        let lines = &self.watch.hearing[side.index()].lines;
        lines.iter().zip(open).any(|(lines, is_open)| is_open && lines.is_believed() && lines.is_on)
    }

    /// The lines dropped in the middle of the beats of a cable, every other cable fell silent at the latest,
    /// and every LAN is late: what a power loss looks like.
    pub(super) fn is_power_loss_shown(&self, side: Side) -> bool {
        let ids = |kind| self.policy().path_ids().filter(move |path| self.kind(*path) == kind);
        let age = |path: PathId| self.age_of(side, path);
        let is_silent = |path: PathId| age(path).is_some_and(|age| age >= self.timing(side, path).dead_after);
        ids(PathKind::Serial).any(|path| self.is_cut_short(side, path))
            && ids(PathKind::Serial).all(|path| self.is_cut_short(side, path) || is_silent(path))
            && ids(PathKind::Lan).next().is_some()
            && ids(PathKind::Lan).all(|path| age(path).is_some_and(|age| self.is_failing(side, path, age)))
    }

    /// By the file that the side runs: a box that was started again may run another one than before.
    fn timing(&self, side: Side, path: PathId) -> PathTiming {
        self.file(side).paths[path.index()].timing
    }

    /// A LAN is late, or silent, or has been broken for a short while.
    fn is_failing(&self, side: Side, path: PathId, age: Span) -> bool {
        let dead_after = self.timing(side, path).dead_after;
        let newest = self.newest_age(side).unwrap_or_default();
        let is_common = age.saturating_sub(newest) <= dead_after;
        age >= self.timing(side, path).late_after && (is_common || age < dead_after + BRIEFLY_BROKEN)
    }

    /// How long ago the peer was heard on a path, by the box's own clock; `None` if not since it was opened.
    fn age_of(&self, side: Side, path: PathId) -> Option<Span> {
        let clock = self.boxes[side.index()].clock;
        let hearing = &self.watch.hearing[side.index()];
        let (read, opened) = (hearing.read_at[path.index()]?, hearing.opened_at[path.index()]?);
        let is_open = self.watch.open_paths[side.index()][path.index()];
        (is_open && read >= opened).then(|| clock.local(self.now).since(clock.local(read)))
    }

    fn newest_age(&self, side: Side) -> Option<Span> {
        self.policy().path_ids().filter_map(|path| self.age_of(side, path)).min()
    }

    fn is_cut_short(&self, side: Side, path: PathId) -> bool {
        let clock = self.boxes[side.index()].clock;
        let lines = &self.watch.hearing[side.index()].lines[path.index()];
        let read = self.watch.hearing[side.index()].read_at[path.index()].map(|at| clock.local(at));
        let (Some(dropped), Some(read), true) = (lines.dropped_at, read, lines.is_believed()) else {
            return false;
        };
        let timing = self.timing(side, path);
        let newest = self.watch.hearing[side.index()].heard_at.map(|at| clock.local(at));
        let is_alive =
            newest.max(Some(read)).is_some_and(|newest| newest > dropped + outlived_for(timing.interval));
        !lines.is_on && dropped.since(read) < timing.dead_after && !is_alive
    }

    /// How long the silence of a box whose lines have dropped has to last: it may have been heard since the
    /// drop.
    fn power_loss_wait(&self, side: Side) -> Span {
        let clock = self.boxes[side.index()].clock;
        let hearing = &self.watch.hearing[side.index()];
        let dropped = self.lines_dropped_at(side);
        let interval = self.file(side).longest_interval();
        let newest = hearing.heard_at.map(|at| clock.local(at));
        let outlived = newest.zip(dropped).map(|(newest, dropped)| newest.since(dropped + interval));
        self.longest_late_after(side) + outlived.unwrap_or_default()
    }

    /// When the lines of a cable that are down now dropped, by the box's own clock.
    pub(super) fn lines_dropped_at(&self, side: Side) -> Option<Instant> {
        self.watch.hearing[side.index()].lines.iter().filter_map(|lines| lines.dropped_at).max()
    }

    /// A silence shorter than either node's dead_after does not count.
    fn check_drift(&mut self, side: Side, reason: TakeReason) {
        let clock = self.boxes[side.index()].clock;
        let hearing = &self.watch.hearing[side.index()];
        let Some(told_at) = hearing.told_at.max(hearing.heard_at).filter(|_| hearing.told_at.is_some())
        else {
            return;
        };
        let dead_after = self.known_dead_afters(side).1;
        let shown = self.is_power_loss_shown(side).then(|| self.power_loss_wait(side));
        let wait = timing::takeover_after(shown.unwrap_or(dead_after).min(dead_after));
        let is_early = clock.local(self.now) < clock.local(told_at) + wait;
        let is_by_age = matches!(reason, TakeReason::Dead | TakeReason::Granted | TakeReason::Jeopardy);
        if is_by_age && is_early {
            self.complain(
                "drift",
                format!(
                    "{side:?} took over ({reason:?}) before both would call the peer \
                silent"
                ),
            );
        }
    }

    /// Checks what the rules of a group ask for before it is taken from a silent peer.
    pub(super) fn check_waits(&mut self, side: Side, group: GroupId, reason: TakeReason) {
        self.check_drift(side, reason);
        let is_by_silence = is_by_silence(reason);
        if is_by_silence && self.needs_proof(side, group) && !self.was_dark_since_heard(side) {
            self.complain(
                "fence",
                format!(
                    "{side:?} took {group:?} ({reason:?}) from a peer that was not \
                off since"
                ),
            );
        }
        if reason == TakeReason::Jeopardy && self.file(side).in_jeopardy == InJeopardy::Hold {
            self.complain("jeopardy", format!("{side:?} took {group:?} from a doubtful peer"));
        }
        let may_hold_on =
            self.are_lines_on(side) || self.watch.hearing[side.index()].troubled_since.is_some();
        let was_granted_since = self.peer_granted_since(side, group, reason).is_some();
        let waits = match self.group_policy(side, group).safety {
            SafetyRule::Probe | SafetyRule::Lease if was_granted_since => true,
            SafetyRule::Probe => may_hold_on && !self.is_shown_gone(side, group),
            SafetyRule::Lease => true,
            // A box that was fenced holds nothing, however long it may have said that it would.
            SafetyRule::Fence => !self.was_dark_since_heard(side),
        };
        if waits
            && matches!(reason, TakeReason::Dead | TakeReason::Granted | TakeReason::Jeopardy)
            && !self.has_lease_passed(side, group, reason)
        {
            let text = format!("{side:?} took {group:?} ({reason:?}) before the peer must have let go");
            self.complain("lease-wait", text);
        }
    }

    /// The peer's kernel, which can be asked, has let the addresses go, and nothing but addresses matters.
    fn is_shown_gone(&self, side: Side, group: GroupId) -> bool {
        let has_scripts = self.group_policy(side, group).stop_timeout != Span::ZERO;
        self.watch.can_know_gone[side.index()][group.index()] && !has_scripts
    }

    /// Before a turn: the peer's kernel has let the addresses of a group go, and could be asked since,
    /// whatever has become of the LAN or of its power afterwards.
    pub(in super::super) fn note_gone(&mut self, side: Side) {
        let peer = side.peer();
        let is_asked = self.boxes[peer.index()].is_up()
            && self.home().is_some_and(|home| {
                let home = &self.links[home.index()];
                home.carries(side) && home.carries(peer) && !home.is_filtered[side.index()]
            });
        for group in self.setup.policy.group_ids() {
            let is_gone = !self.holds(peer, group);
            let can_know = &mut self.watch.can_know_gone[side.index()][group.index()];
            *can_know = is_gone && (*can_know || is_asked);
        }
    }

    /// The node has found out that nobody answers its probes, or that somebody does again.
    pub(super) fn note_deafness(&mut self, side: Side, path: PathId, is_deaf: bool) {
        if self.home() == Some(path) {
            self.watch.is_known_deaf[side.index()] = is_deaf;
        }
    }

    /// Nobody takes a group on the silence of a wire that is known to be deaf, whichever agent has found that
    /// out.
    pub(super) fn check_deafness(&mut self, side: Side, group: GroupId, reason: TakeReason) {
        let is_filtered = self.home().is_some_and(|home| self.links[home.index()].is_filtered[side.index()]);
        let is_by_probe = matches!(reason, TakeReason::Dead | TakeReason::Granted | TakeReason::Jeopardy);
        let is_deaf = is_filtered && self.watch.is_known_deaf[side.index()];
        if is_by_probe && is_deaf && !self.was_dark_since_heard(side) {
            self.complain(
                "deaf",
                format!("{side:?} took {group:?} ({reason:?}) although nobody can answer its probes"),
            );
        }
    }

    /// Whether silence is no proof for this group: its rule asks for a fence, or only one box may run it. A
    /// watchdog proves that a hung box runs nothing any more. Only a peer that lives behind the cut pets its
    /// watchdog and serves on: that split is left.
    pub(super) fn needs_proof(&self, taker: Side, group: GroupId) -> bool {
        let policy = &self.policy().groups[group.index()];
        let holder = taker.peer().index();
        // It may be on its way out, and its scripts still stop.
        let serves_on = self.watch.roles[holder][group.index()].is_holding();
        let runs_nothing = self.boxes[holder].services[group.index()].is_empty();
        let is_left_to_watchdog = self.setup.watchdog.is_some() && (serves_on || runs_nothing);
        policy.safety == SafetyRule::Fence || (policy.is_exclusive && !is_left_to_watchdog)
    }

    /// Whether the peer's box had no power at some instant since it was last heard: nothing from before runs
    /// there.
    fn was_dark_since_heard(&self, side: Side) -> bool {
        let hearing = &self.watch.hearing[side.index()];
        let dark_until = self.boxes[side.peer().index()].powers.bad_until(self.now);
        dark_until >= hearing.heard_at.unwrap_or(hearing.started_at)
    }

    /// When the voting witness last granted the group to the peer of a node that takes it by a grant, if that
    /// was after the peer was last heard. What the peer was granted of other groups says nothing of this one.
    fn peer_granted_since(&self, side: Side, group: GroupId, reason: TakeReason) -> Option<Instant> {
        let granted_at = self.watch.granted_at[side.peer().index()][group.index()];
        let is_known = reason == TakeReason::Granted && self.setup.other.is_none();
        granted_at.filter(|at| is_known && Some(*at) > self.watch.hearing[side.index()].heard_at)
    }

    /// Whether all release mechanisms have had their time since the peer's last beat, or since it said that
    /// it cannot serve; or since it was granted the group after that.
    fn has_lease_passed(&self, side: Side, group: GroupId, reason: TakeReason) -> bool {
        let clock = self.boxes[side.index()].clock;
        let hearing = &self.watch.hearing[side.index()];
        let (policy, peer) = (self.file(side), self.known_file_of_peer(side));
        let (since, goes_on_for) = match hearing.troubled_since {
            Some(since) => (Some(since), policy.interval().max(peer.interval())),
            None => (hearing.heard_at, self.known_dead_afters(side).1),
        };
        let granted_at = self.peer_granted_since(side, group, reason);
        let (since, goes_on_for) = match granted_at.filter(|at| Some(*at) > since) {
            Some(at) => (Some(at), self.known_dead_afters(side).1),
            None => (since, goes_on_for),
        };
        let Some(since) = since else { return true };
        let stop = peer.groups.iter().map(|group| group.stop_timeout).max().unwrap_or_default();
        let by_kernel = timing::lifetime_bound(goes_on_for, peer.lease);
        let by_agent = timing::scripts_bound(self.known_dead_afters(side).1, stop);
        clock.local(self.now).since(clock.local(since)) >= by_kernel.max(by_agent).fraction(101, 100)
    }
}

/// Whether the takeover rests on silence: the peer itself has said nothing that allows it.
pub(super) fn is_by_silence(reason: TakeReason) -> bool {
    match reason {
        TakeReason::Dead | TakeReason::Granted | TakeReason::Jeopardy | TakeReason::ColdStart => true,
        TakeReason::Offered | TakeReason::Departed | TakeReason::Vacant | TakeReason::PeerIsOff => false,
    }
}
