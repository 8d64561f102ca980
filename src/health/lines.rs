//! The modem lines of a serial path, as far as they may be believed.
//!
//! On a full null-modem cable the peer's DTR is our DSR and DCD and says 'my agent runs'; its RTS is our CTS
//! and says 'I hold services'. Many cables have no such wires, or loop them back in the plug. So the lines
//! are learned: they count only after they stayed on for dead_after while the peer was heard. Once a beat
//! comes in while they are off, they count no more until the port is opened again.

use serde::{Deserialize, Serialize};

use crate::time::{Instant, Span};

/// The lines as the port shows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Lines {
    /// DSR and DCD: the peer's agent runs.
    pub peer_runs: bool,
    /// CTS: the peer holds services.
    pub peer_holds: bool,
}

/// What the lines say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum LineReading {
    /// Nothing that may be believed: no lines, not learned yet, or contradicted.
    Unknown,
    /// The peer's box has power and its agent has its port open.
    Running {
        /// It still claims its services.
        holds: bool,
    },
    /// The lines dropped: the agent's port was closed, its box lost power, or the cable was pulled.
    Dropped,
}

/// The rails of a supply do not fall together: a box may send for so long after its lines have dropped.
pub const RAILS_APART: Span = Span::from_ms(300);

/// How long a peer that lost its power may still be heard elsewhere after its lines dropped. Lines are looked
/// at once an `interval`, and a frame may have been on its way.
pub fn outlived_for(interval: Span) -> Span {
    interval.max(RAILS_APART)
}

/// Watches the lines of one path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LineWatch {
    lines: Option<Lines>,
    /// Since when they have been on while the peer was heard.
    on_since: Option<Instant>,
    is_learned: bool,
    is_contradicted: bool,
    /// When the lines were last looked at.
    seen_at: Option<Instant>,
    /// When they were first seen off after they had been learned.
    dropped_at: Option<Instant>,
    /// They were seen on shortly before `dropped_at`: a drop in a stall of our own may be of any age.
    is_dated: bool,
}

impl LineWatch {
    /// The port was opened or lost: a new cable may be in it.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// What the port shows now; `None` if it has no lines. They are looked at every `interval` at least.
    pub fn note(&mut self, now: Instant, lines: Option<Lines>, interval: Span) {
        let was_on = self.lines.is_some_and(|lines| lines.peer_runs);
        let was_seen_lately = self.seen_at.is_some_and(|at| now.since(at) <= interval + interval);
        self.lines = lines;
        self.seen_at = Some(now);
        match lines {
            None => self.reset(),
            Some(Lines { peer_runs: true, .. }) => self.dropped_at = None,
            Some(Lines { peer_runs: false, .. }) => {
                self.on_since = None;
                if was_on && self.is_learned {
                    self.dropped_at = Some(now);
                    self.is_dated = was_seen_lately;
                }
            }
        }
    }

    /// They were noted like this less than half an interval ago: noting them again would add nothing.
    pub fn knows(&self, now: Instant, lines: Option<Lines>, interval: Span) -> bool {
        let is_fresh = self.seen_at.is_some_and(|at| now.since(at) < interval.fraction(1, 2));
        self.lines == lines && is_fresh
    }

    /// A beat came in on the path.
    pub fn hear(&mut self, now: Instant, interval: Span, dead_after: Span) {
        let Some(lines) = self.lines else { return };
        if lines.peer_runs {
            let since = *self.on_since.get_or_insert(now);
            self.is_learned |= now.since(since) >= dead_after;
        } else if self.dropped_at.is_none_or(|at| now.since(at) > interval) {
            // A beat that was on its way when the lines dropped is no contradiction; a later one is.
            self.is_contradicted |= self.is_learned;
        }
    }

    /// What they say.
    pub fn reading(&self) -> LineReading {
        match self.lines {
            Some(lines) if self.is_learned && !self.is_contradicted => {
                if lines.peer_runs {
                    LineReading::Running { holds: lines.peer_holds }
                } else {
                    LineReading::Dropped
                }
            }
            Some(_) | None => LineReading::Unknown,
        }
    }

    /// When they were seen to have dropped, if that may be believed.
    pub fn found_off_at(&self) -> Option<Instant> {
        self.dropped_at.filter(|_| self.reading() == LineReading::Dropped)
    }

    /// When they dropped, give or take two intervals, if that may be believed.
    pub fn dropped_at(&self) -> Option<Instant> {
        self.found_off_at().filter(|_| self.is_dated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: Option<Lines> = Some(Lines { peer_runs: true, peer_holds: true });
    const OFF: Option<Lines> = Some(Lines { peer_runs: false, peer_holds: false });
    const INTERVAL: Span = Span::from_ms(100);
    const DEAD_AFTER: Span = Span::from_ms(500);

    fn at(ms: u64) -> Instant {
        Instant::from_us(1_000_000) + Span::from_ms(ms)
    }

    /// Lines on and a beat every 100 ms from 0 to `until_ms`.
    fn learned(until_ms: u64) -> LineWatch {
        let mut watch = LineWatch::default();
        for ms in (0..=until_ms).step_by(100) {
            watch.note(at(ms), ON, INTERVAL);
            watch.hear(at(ms), INTERVAL, DEAD_AFTER);
        }
        watch
    }

    #[test]
    fn lines_count_only_after_they_followed_a_heard_peer() {
        assert_eq!(learned(400).reading(), LineReading::Unknown);
        assert_eq!(learned(500).reading(), LineReading::Running { holds: true });
        let mut early = learned(400);
        early.note(at(450), OFF, INTERVAL);
        assert_eq!((early.reading(), early.dropped_at()), (LineReading::Unknown, None));
    }

    #[test]
    fn a_drop_is_dated_and_taken_back() {
        let mut watch = learned(600);
        watch.note(at(650), OFF, INTERVAL);
        watch.note(at(700), OFF, INTERVAL);
        assert_eq!(watch.dropped_at(), Some(at(650)));
        watch.note(at(800), ON, INTERVAL);
        assert_eq!((watch.reading(), watch.dropped_at()), (LineReading::Running { holds: true }, None));
    }

    #[test]
    fn lines_that_drop_while_the_peer_is_heard_are_never_believed_again() {
        let mut watch = learned(600);
        watch.note(at(650), OFF, INTERVAL);
        watch.hear(at(700), INTERVAL, DEAD_AFTER);
        assert_eq!(watch.reading(), LineReading::Dropped, "a beat that was on its way");
        watch.hear(at(800), INTERVAL, DEAD_AFTER);
        assert_eq!(watch.reading(), LineReading::Unknown);
        watch.note(at(900), ON, INTERVAL);
        watch.hear(at(2_000), INTERVAL, DEAD_AFTER);
        assert_eq!(watch.reading(), LineReading::Unknown);
        watch.reset();
        assert!(!watch.is_contradicted, "until the port is opened anew");
    }

    #[test]
    fn a_drop_that_nobody_watched_has_no_date() {
        let mut watch = learned(600);
        watch.note(at(801), OFF, INTERVAL);
        assert_eq!(watch.reading(), LineReading::Dropped);
        assert_eq!((watch.found_off_at(), watch.dropped_at()), (Some(at(801)), None));
    }

    #[test]
    fn a_cable_without_lines_says_nothing() {
        let mut watch = learned(600);
        watch.note(at(700), None, INTERVAL);
        assert_eq!(watch.reading(), LineReading::Unknown);
    }
}
