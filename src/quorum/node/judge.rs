//! From what was heard to a verdict: path states, the verdict, jeopardy, and how both nodes stand.

use heapless::Vec;

use super::{Node, Path, emit};
use crate::config::MAX_PATHS;
use crate::health::{PathState, RAILS_APART};
use crate::pair::{PathId, PathKind};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::facts::Standby;
use crate::quorum::probe::Aging;
use crate::quorum::record::Record;
use crate::quorum::timing;
use crate::quorum::verdict::{Testimony, is_jeopardy, is_power_loss, verdict};
use crate::time::{Instant, Span};

impl Node {
    /// Brings path states, verdict and jeopardy up to date.
    pub(super) fn judge(&mut self, now: Instant, effects: &mut Effects) {
        let paths = self.testimonies(now);
        for ((id, path), testimony) in self.policy.path_ids().zip(&mut self.paths).zip(&paths) {
            path.note(id, testimony, effects);
        }
        self.is_power_loss = is_power_loss(&paths);
        self.is_cut_short = paths.iter().any(|path| path.is_cut_short);
        self.age_answers();
        self.verdict_by_silence = verdict(&paths, false);
        let to = verdict(&paths, self.peer.has_left());
        let from = core::mem::replace(&mut self.verdict, to).told();
        if to.told() != from {
            emit(effects, Effect::Record(Record::Verdict { from, to: to.told() }));
        }
        // Before the peer was ever heard no path can have failed.
        let is_expected = self.was_ever_heard && !self.peer.has_left();
        let jeopardy = is_expected && is_jeopardy(&paths, |index| self.is_unheard_on(index));
        self.note_jeopardy(now, jeopardy, effects);
        self.note_standing(now);
        self.note_peers_trouble(now, effects);
    }

    /// Tells the probes how long answers count. Lines drop before the power is gone, and a kernel that is
    /// about to lose it answers once more. As long as a box may outlive its lines, such an answer says no
    /// more than a beat would have, and counts for as long.
    pub(super) fn age_answers(&mut self) {
        let lasts = timing::takeover_after(self.times.longest_late_after);
        let dropped_at = self.lines_dropped_at().filter(|_| self.is_power_loss);
        let aging = dropped_at.map(|at| Aging { early: at + RAILS_APART, lasts });
        self.groups.iter_mut().for_each(|group| group.probe.age(aging));
    }

    /// When the lines of some cable were last seen to have dropped.
    pub(super) fn lines_dropped_at(&self) -> Option<Instant> {
        self.paths.iter().filter_map(|path| path.detector.lines_dropped_at()).max()
    }

    /// Records jeopardy. Its beginning is said at once, but for a run of the peer that has just been heard:
    /// one path always hears it before the others do. Its end is said only while the peer is there: if the
    /// peer is off, every silent path testifies, and text on its line would end jeopardy and begin it again
    /// without end. If jeopardy has come back lately, its end counts once it has lasted.
    fn note_jeopardy(&mut self, now: Instant, is_jeopardy: bool, effects: &mut Effects) {
        let is_within = |at: Option<Instant>, span: Span| at.is_some_and(|at| now.since(at) < span);
        match (self.jeopardy_since.is_some(), is_jeopardy) {
            (false, true) if is_within(self.jeopardy_ended_at, COMES_BACK) => {
                self.jeopardy_came_back_at = Some(now)
            }
            (true, false) if self.has_said_jeopardy => self.jeopardy_ended_at = Some(now),
            (false, true) | (true, false) | (false, false) | (true, true) => {}
        }
        self.jeopardy_since = is_jeopardy.then(|| self.jeopardy_since.unwrap_or(now));
        let has_to_last = is_within(self.jeopardy_came_back_at, COMES_BACK);
        let has_lasted = !has_to_last || !is_within(self.jeopardy_ended_at, OVER_AFTER);
        let is_over = !is_jeopardy && self.verdict.is_somebody() && has_lasted;
        let is_just_met = is_within(self.peer.returned_at(), self.times.longest_late_after);
        let is_news = if self.has_said_jeopardy { is_over } else { is_jeopardy && !is_just_met };
        if is_news {
            self.has_said_jeopardy = is_jeopardy;
            emit(effects, Effect::Record(Record::Jeopardy(is_jeopardy)));
        }
    }

    /// Notes since when we have been well and wanted, and since when the peer has seen more than we do.
    fn note_standing(&mut self, now: Instant) {
        let has_carrier = self.groups.iter().all(|group| group.has_carrier);
        let is_there = self.verdict.is_somebody() && self.restraint.standby == Standby::No;
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

    /// Whether the lines of this cable dropped in the middle of the peer's beats. Every LAN that may confirm
    /// it must have heard the peer in this agent's own life. Beats do not say what late_after is: only where
    /// the configurations agree is ours the peer's too.
    fn is_cut_short_on(&self, path: &Path) -> bool {
        let mut lans = self.paths.iter().filter(|path| path.detector.kind() == PathKind::Lan);
        let is_borne_out = lans.all(|lan| lan.detector.is_first_hand());
        path.detector.is_cut_short(self.newest_frame_at())
            && is_borne_out
            && !self.is_digest_different
            && timing::is_haste_in_time(&self.policy)
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

/// Jeopardy that comes back this soon after its end comes and goes; it is treated so for as long.
const COMES_BACK: Span = Span::from_s(60);
/// If jeopardy comes and goes, its end has to last this long before it is said; `status` knows earlier.
const OVER_AFTER: Span = Span::from_s(10);
