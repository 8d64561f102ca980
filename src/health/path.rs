//! One detector per path: what the path says of the peer, and whether its silence proves anything.

use serde::{Deserialize, Serialize};

use crate::config::PathTiming;
use crate::frame::refusal::Reading;
use crate::health::lines::{LineReading, LineWatch, Lines, outlived_for};
use crate::health::quality::Quality;
use crate::health::self_test::SelfTest;
use crate::pair::PathKind;
use crate::time::{Instant, Span};

/// What a path says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum PathState {
    /// Nothing accepted since the agent started, or since the path was opened again.
    Unproven,
    /// Heard within late_after.
    OnTime,
    /// Heard within dead_after.
    Late,
    /// dead_after passed.
    Silent,
    /// Silent, and another path heard the peer after this one had fallen silent, or never showed it at all:
    /// the fault is the path's own. It stays so until it hears the peer, however often it is opened again.
    Broken,
    /// Bytes arrive, none of them frames (serial).
    Noisy,
    /// Somebody frames, but with another key, pair, version or name (serial).
    Refused,
    /// Our own fault: the port is gone.
    Blind,
}

impl PathState {
    /// Every state, in the order of the tables.
    pub const ALL: [Self; 8] = [
        Self::Unproven,
        Self::OnTime,
        Self::Late,
        Self::Silent,
        Self::Broken,
        Self::Noisy,
        Self::Refused,
        Self::Blind,
    ];

    /// The peer is heard here.
    pub const fn is_heard(self) -> bool {
        match self {
            Self::OnTime | Self::Late => true,
            Self::Unproven | Self::Silent | Self::Broken | Self::Noisy | Self::Refused | Self::Blind => false,
        }
    }
}

/// A LAN that has been broken for longer than this may have hidden the peer's death; a cable that is pulled
/// then looks the same as a power loss.
pub const BRIEFLY_BROKEN: Span = Span::from_s(5);

/// What a successor of this agent has to know of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PathDeposit {
    /// The peer was heard on it, on time or late.
    pub is_heard: bool,
    /// Since when it has been open; `None` while blind.
    pub open_since: Option<Instant>,
    /// When the peer was last heard on it.
    pub heard_at: Option<Instant>,
    /// How often in a row the peer's own address has not answered there ([`SelfTest`]).
    pub unanswered: u8,
    /// The dead_after that the peer last announced for it; zero before.
    pub peers_dead_after: Span,
}

/// Watches one path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detector {
    kind: PathKind,
    timing: PathTiming,
    /// The dead_after that the peer last announced, in whichever incarnation; zero before.
    peers_dead_after: Span,
    /// The times by which silence is judged: see [`Detector::dead_after`].
    agreed: PathTiming,
    /// Since when it might have shown the peer, if it never has: the start of the agent. Before everything
    /// else, if an agent before this one has not heard the peer there either.
    watched_since: Instant,
    /// Since when we have been able to hear; `None` while blind.
    open_since: Option<Instant>,
    /// How long an unproven path stays unproven.
    patience: Span,
    heard_at: Option<Instant>,
    noise_at: Option<Instant>,
    stranger_at: Option<Instant>,
    /// When a frame made with our key last came while the peer was not heard.
    somebody_at: Option<Instant>,
    /// Last time that anything framed: it makes noise harmless.
    framed_at: Option<Instant>,
    looped_at: Option<Instant>,
    lines: LineWatch,
    /// How well it works.
    pub quality: Quality,
    /// Whether a probe can be believed there (LAN).
    pub self_test: SelfTest,
    /// This agent itself has heard the peer since the path was opened: what a predecessor left is hearsay.
    is_first_hand: bool,
}

impl Detector {
    /// A path that is not open yet. It may stay unproven for `cold_start` after it first opens.
    pub fn new(kind: PathKind, timing: PathTiming, cold_start: Span, now: Instant) -> Self {
        Self {
            kind,
            timing,
            peers_dead_after: Span::ZERO,
            agreed: timing,
            watched_since: now,
            open_since: None,
            patience: cold_start,
            heard_at: None,
            noise_at: None,
            stranger_at: None,
            somebody_at: None,
            framed_at: None,
            looped_at: None,
            lines: LineWatch::default(),
            quality: Quality::default(),
            self_test: SelfTest::new(now),
            is_first_hand: false,
        }
    }

    /// Serial or LAN.
    pub fn kind(&self) -> PathKind {
        self.kind
    }

    /// The path's times as our own file has them: our beats leave by them, and we announce them.
    pub fn timing(&self) -> PathTiming {
        self.timing
    }

    /// The peer announces its dead_after for this path.
    pub fn note_peers(&mut self, dead_after: Span) {
        let PathTiming { interval, late_after, dead_after: ours } = self.timing;
        self.peers_dead_after = dead_after;
        let dead_after = dead_after.max(ours);
        self.agreed = PathTiming {
            interval,
            late_after: late_after.fraction(dead_after.as_us(), ours.as_us()),
            dead_after,
        };
    }

    /// The dead_after that the peer last announced; `None` before it did.
    pub fn peers_dead_after(&self) -> Option<Span> {
        Some(self.peers_dead_after).filter(|span| *span > Span::ZERO)
    }

    /// The path's times as both nodes together have them.
    pub fn agreed(&self) -> PathTiming {
        self.agreed
    }

    /// How long silence proves nothing. Where the two files differ, the longer time counts: the peer's beats
    /// may leave by it.
    pub fn dead_after(&self) -> Span {
        self.agreed.dead_after
    }

    /// How long after the last beat the path is late. Nobody announces late_after, so it grows with
    /// dead_after where the files differ.
    pub fn late_after(&self) -> Span {
        self.agreed.late_after
    }

    /// What a successor has to know.
    pub fn deposit(&self, now: Instant) -> PathDeposit {
        let is_heard = self.state(now, None).is_heard();
        let (open_since, heard_at, peers_dead_after) =
            (self.open_since, self.heard_at, self.peers_dead_after);
        let unanswered = self.self_test.unanswered();
        PathDeposit { is_heard, open_since, heard_at, unanswered, peers_dead_after }
    }

    /// Goes on with what another agent left, as if the port had been open all the time: a path that was
    /// broken stays so until it hears the peer again. If the peer was heard, nobody knows until when; it may
    /// have been until now.
    pub fn succeed(&mut self, now: Instant, left: &PathDeposit) {
        self.open_since = left.open_since;
        self.self_test.succeed(left.unanswered);
        self.note_peers(left.peers_dead_after);
        self.heard_at = if left.is_heard { Some(now) } else { left.heard_at };
        self.watched_since = Instant::ORIGIN;
        if self.heard_at.is_some() {
            self.patience = self.dead_after();
        }
    }

    /// The path was opened: a fresh window starts, in which its silence says nothing yet.
    pub fn become_open(&mut self, now: Instant) {
        if self.heard_at.is_some() {
            self.patience = self.dead_after();
        }
        self.open_since = Some(now);
        self.is_first_hand = false;
        self.lines.reset();
        self.quality.pause();
    }

    /// The path was lost by our own fault.
    pub fn become_blind(&mut self) {
        self.open_since = None;
        self.lines.reset();
    }

    /// Whether frames can leave here.
    pub fn is_open(&self) -> bool {
        self.open_since.is_some()
    }

    /// A fresh beat of the peer arrived that shows it alive at `as_of`: earlier than now, if another path
    /// brought it sooner.
    pub fn hear(&mut self, now: Instant, as_of: Instant) {
        self.heard_at = self.heard_at.max(Some(as_of));
        self.quality.hear(now, self.timing);
        self.quality.lag = now.since(as_of);
        self.framed_at = Some(now);
        self.is_first_hand = true;
        self.lines.hear(now, self.timing.interval, self.timing.dead_after);
    }

    /// The port's modem lines; `None` if it has none.
    pub fn note_lines(&mut self, now: Instant, lines: Option<Lines>) {
        self.lines.note(now, lines, self.timing.interval);
    }

    /// The lines were noted like this a moment ago.
    pub fn knows_lines(&self, now: Instant, lines: Option<Lines>) -> bool {
        self.lines.knows(now, lines, self.timing.interval)
    }

    /// What the modem lines say.
    pub fn lines(&self) -> LineReading {
        self.lines.reading()
    }

    /// This agent itself has heard the peer here since the path was opened.
    pub fn is_first_hand(&self) -> bool {
        self.is_first_hand
    }

    /// When the modem lines were seen to have dropped, if that may be believed.
    pub fn lines_dropped_at(&self) -> Option<Instant> {
        self.lines.found_off_at()
    }

    /// The lines dropped within dead_after of the last beat, and no path has heard the peer since; `newest`
    /// is when any path last did. A peer that is heard elsewhere long after the drop has power, and the cable
    /// was pulled. A stranger that framed since has power too: the box was started again with another key.
    pub fn is_cut_short(&self, newest: Option<Instant>) -> bool {
        let (Some(dropped_at), Some(heard_at)) = (self.lines.dropped_at(), self.heard_in_window()) else {
            return false;
        };
        if self.stranger_at.is_some_and(|at| at > heard_at) {
            return false;
        }
        let newest = newest.unwrap_or(heard_at).max(heard_at);
        dropped_at.since(heard_at) < self.timing.dead_after
            && newest <= dropped_at + outlived_for(self.timing.interval)
    }

    /// The path has heard the peer since it was opened, and fell silent less than [`BRIEFLY_BROKEN`] ago. A
    /// path that never heard the peer may always have been broken.
    pub fn is_broken_briefly(&self, now: Instant) -> bool {
        self.heard_in_window().is_some() && now.since(self.silent_at()) < BRIEFLY_BROKEN
    }

    /// Something was refused here.
    pub fn refuse(&mut self, now: Instant, reading: Reading) {
        match reading {
            Reading::Noise => {
                self.noise_at = Some(now);
                self.quality.lose();
            }
            Reading::Echo => {
                self.looped_at = Some(now);
                self.framed_at = Some(now);
            }
            Reading::Stranger => {
                self.stranger_at = Some(now);
                self.framed_at = Some(now);
            }
            Reading::Stale => self.framed_at = Some(now),
        }
    }

    /// A frame was made with our key, and proves nothing but that somebody has it.
    pub fn note_somebody(&mut self, now: Instant) {
        self.somebody_at = Some(now);
    }

    /// When somebody with our key last framed on the cable; `None` on a LAN, where the frame may be a
    /// recorded one.
    pub fn somebody_at(&self) -> Option<Instant> {
        self.somebody_at.filter(|_| self.kind == PathKind::Serial)
    }

    /// When the peer was last heard here.
    pub fn heard_at(&self) -> Option<Instant> {
        self.heard_at
    }

    /// When a stranger last framed on the cable; `None` on a LAN, where anybody may.
    pub fn refused_at(&self) -> Option<Instant> {
        self.stranger_at.filter(|_| self.kind == PathKind::Serial)
    }

    /// Whether our own frames came back within dead_after: a loopback plug.
    pub fn is_looped(&self, now: Instant) -> bool {
        self.is_recent(now, self.looped_at)
    }

    /// What the path says at `now`. `heard_elsewhere` is when any other path last heard the peer.
    pub fn state(&self, now: Instant, heard_elsewhere: Option<Instant>) -> PathState {
        let is_serial = self.kind == PathKind::Serial;
        if self.open_since.is_none() {
            // Whoever was there a moment ago is not gone because our port is.
            let is_refused = is_serial && self.is_recent(now, self.stranger_at);
            return if is_refused { PathState::Refused } else { PathState::Blind };
        }
        let since_heard = self.heard_in_window().map(|at| now.since(at));
        match since_heard {
            Some(age) if age < self.late_after() => PathState::OnTime,
            Some(age) if age < self.dead_after() => PathState::Late,
            Some(_) | None if is_serial && self.is_recent(now, self.stranger_at) => PathState::Refused,
            Some(_) | None if is_serial && self.is_noise(now) => PathState::Noisy,
            Some(_) | None => self.unheard_state(now, heard_elsewhere),
        }
    }

    fn unheard_state(&self, now: Instant, heard_elsewhere: Option<Instant>) -> PathState {
        if now < self.silent_at() {
            PathState::Unproven
        } else if heard_elsewhere.is_some_and(|at| at > self.outlived_after()) {
            PathState::Broken
        } else {
            PathState::Silent
        }
    }

    /// The instants at which the state changes by itself.
    pub fn turning_points(&self) -> [Instant; 2] {
        let late_at = self.heard_in_window().map_or(Instant::NEVER, |at| at + self.late_after());
        [late_at, self.silent_at()]
    }

    /// Everything shifts by a stall of our own.
    pub fn shift(&mut self, gap: Span) {
        self.quality.shift(gap);
        self.watched_since = self.watched_since + gap;
        let marks = [
            &mut self.open_since,
            &mut self.heard_at,
            &mut self.noise_at,
            &mut self.stranger_at,
            &mut self.somebody_at,
            &mut self.framed_at,
            &mut self.looped_at,
        ];
        for mark in marks.into_iter().flatten() {
            *mark = *mark + gap;
        }
    }

    /// When the path falls silent if nothing more is heard.
    fn silent_at(&self) -> Instant {
        let Some(open_since) = self.open_since else { return Instant::NEVER };
        self.heard_in_window().map_or(open_since + self.patience, |at| at + self.dead_after())
    }

    /// If another path heard the peer after this instant, the peer was there while this path should have
    /// shown it. That it was opened again since mends nothing: who knows what is wrong beyond our own end?
    /// It holds also for a path that never heard anything, however long it may stay unproven.
    fn outlived_after(&self) -> Instant {
        self.heard_at.unwrap_or(self.watched_since) + self.dead_after()
    }

    /// What was heard before the path was last opened says nothing about it now.
    fn heard_in_window(&self) -> Option<Instant> {
        self.heard_at.filter(|at| self.open_since.is_some_and(|open| *at >= open))
    }

    fn is_noise(&self, now: Instant) -> bool {
        self.is_recent(now, self.noise_at) && !self.is_recent(now, self.framed_at)
    }

    fn is_recent(&self, now: Instant, mark: Option<Instant>) -> bool {
        mark.is_some_and(|at| now.since(at) < self.timing.dead_after)
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
