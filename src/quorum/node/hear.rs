//! What comes in.

use super::{Node, emit};
use crate::frame::Beat;
use crate::frame::refusal::{Reading, Refusal};
use crate::health::{Arrivals, Before, Lines};
use crate::pair::PathId;
use crate::quorum::event::{Effect, Effects, Said};
use crate::quorum::record::Record;
use crate::quorum::timers::Timer;
use crate::time::Instant;

impl Node {
    pub(super) fn hear(&mut self, now: Instant, path: PathId, said: Said<'_>, effects: &mut Effects) {
        self.note_somebody(now, path, said);
        match said {
            Said::Beat(beat, number) => self.hear_beat(now, path, beat, number, effects),
            Said::Adopted { run, newest } => {
                for here in &mut self.paths {
                    here.detector.quality.pause();
                }
                (self.peers_run, self.newest_number) = (Some(run), newest);
                self.leave_former_vote(now);
                if self.predecessors_peer.take() == Some(run) {
                    self.peer.become_known_again()
                } else {
                    self.peer.become_adopted(now);
                    self.tell_vote_anew(now);
                }
                self.was_ever_heard = true;
                self.arrivals = Arrivals::default();
                self.note_heard(now, path, now);
                emit(effects, Effect::Record(Record::PeerStarted));
                self.is_urgent = true;
            }
            Said::Other { newest } => self.newest_number = newest,
            Said::Refused(refusal) => self.refuse(now, path, refusal, effects),
        }
    }

    /// Notes who says something. A node that has not heard the peer in this run cannot tell a replay from
    /// what the peer says now. But on a cable only somebody who lives at its other end says anything with our
    /// key.
    fn note_somebody(&mut self, now: Instant, path: PathId, said: Said<'_>) {
        let is_genuine = match said {
            Said::Beat(..) | Said::Adopted { .. } | Said::Other { .. } => true,
            Said::Refused(refusal) => refusal.reading() == Reading::Stale,
        };
        if let Some(here) = self.paths.get_mut(path.index()).filter(|_| is_genuine && !self.was_ever_heard) {
            here.detector.note_somebody(now);
        }
    }

    fn hear_beat(&mut self, now: Instant, path: PathId, beat: &Beat, number: u32, effects: &mut Effects) {
        // Another configuration is no other pair: the peer is heard, and the difference is named.
        self.note_digest(beat.digest != self.policy.digest, effects);
        self.newest_number = self.newest_number.max(number);
        let before = self.before_beat(now);
        self.is_stirred = self.is_stirred || !self.is_routine_beat(now, path, beat, before);
        let as_of = self.arrivals.note(number, now);
        self.note_heard(now, path, as_of);
        if let Some(here) = self.paths.get_mut(path.index()) {
            here.beats_heard = here.beats_heard.saturating_add(1);
            if let Some(sent_at) = self.sent.of(beat.ack) {
                here.detector.quality.answer(now.since(sent_at));
            }
        }
        for (path, report) in self.paths.iter_mut().zip(&beat.paths) {
            path.detector.note_peers(report.dead_after);
        }
        let seen_there = Some(beat.standing.witnesses).filter(|_| !self.is_digest_different);
        if self.peer.hear(now, beat, number, before, &self.sent) {
            self.witnesses.exchange(now, self.sight_window(), seen_there);
            self.note_peers_interfaces(now);
            self.note_peers_vote(now, beat.standing.vote_counts && !self.is_digest_different);
        }
        for (id, group) in self.policy.group_ids().zip(&mut self.groups) {
            let theirs = self.peer.group(id, &self.policy).map_or(0, |report| report.term);
            if group.note_term(theirs) {
                emit(effects, Effect::Record(Record::TermsUsedUp(id)));
            }
            // It is not off, whatever the operator said. If it falls silent now, that is another matter.
            group.timers.stop(Timer::PeerOff);
        }
    }

    /// What was known before a beat. If the peer's guard is silent, then heard, then silent again, that takes
    /// the peer at least its patience with its guard: two thirds of its longest dead_after. Half of that
    /// dead_after is more than one lost beat, on its slowest path too.
    fn before_beat(&self, now: Instant) -> Before {
        let dead_afters =
            self.peer.beat().into_iter().flat_map(|beat| beat.paths.iter().map(|path| path.dead_after));
        let hidden = dead_afters.max().unwrap_or_default().fraction(1, 2);
        let is_in_a_row = |at: Instant| at >= self.stalled_at && now.since(at) < hidden;
        match self.peer.beat_at() {
            _ if !self.is_heard(now) => Before::Silence,
            Some(at) if is_in_a_row(at) => Before::Beat,
            Some(_) | None => Before::Gap,
        }
    }

    fn note_heard(&mut self, now: Instant, path: PathId, as_of: Instant) {
        if let Some(last_at) = self.newest_frame_at().filter(|_| !self.is_heard(now)) {
            self.silence = Some((last_at, now));
        }
        if let Some(here) = self.paths.get_mut(path.index()) {
            let before = here.detector.lines();
            here.detector.hear(now, as_of);
            // Beats teach whether lines can be believed.
            self.is_stirred |= here.detector.lines() != before;
        }
        self.peer_heard_on_the_lan(path, as_of);
    }

    fn note_digest(&mut self, is_different: bool, effects: &mut Effects) {
        if self.is_digest_different != is_different {
            self.is_digest_different = is_different;
            emit(effects, Effect::Record(Record::DigestDiffers(is_different)));
        }
    }

    /// Notes a refusal, and records the first of its kind since the path was last well. Stale frames are
    /// part of every restart and of every replay: they are only counted.
    fn refuse(&mut self, now: Instant, path: PathId, refusal: Refusal, effects: &mut Effects) {
        let Some(here) = self.paths.get_mut(path.index()) else { return };
        here.detector.refuse(now, refusal.reading());
        let is_news = refusal.reading() != Reading::Stale;
        if let Some(said) = here.said.get_mut(refusal.index()).filter(|said| is_news && !**said) {
            *said = true;
            emit(effects, Effect::Record(Record::Refused { path, refusal }));
        }
    }

    /// Modem lines that were noted like that a moment ago are no event.
    pub fn knows_lines(&self, now: Instant, path: PathId, lines: Option<Lines>) -> bool {
        self.paths.get(path.index()).is_some_and(|here| here.detector.knows_lines(now, lines))
    }

    pub(super) fn note_lines(&mut self, now: Instant, path: PathId, lines: Option<Lines>) {
        if let Some(here) = self.paths.get_mut(path.index()) {
            let before = (here.detector.lines(), here.detector.lines_dropped_at());
            here.detector.note_lines(now, lines);
            let after = (here.detector.lines(), here.detector.lines_dropped_at());
            self.is_stirred |= after != before;
            // The peer has to know at once that we may take it for dead soon.
            self.is_urgent |= after.1 != before.1;
        }
    }

    pub(super) fn path_opened(&mut self, now: Instant, path: PathId) {
        if let Some(here) = self.paths.get_mut(path.index()) {
            // The path of a successor has been open all the time.
            if !here.detector.is_open() {
                here.detector.become_open(now);
            }
            here.beat_at = now;
        }
    }

    pub(super) fn path_lost(&mut self, path: PathId) {
        if let Some(here) = self.paths.get_mut(path.index()) {
            here.detector.become_blind();
        }
    }
}
