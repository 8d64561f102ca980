//! How good a path is while it works: how evenly beats arrive, how soon ours are answered, how often frames
//! break.

use serde::{Deserialize, Serialize};

use crate::config::PathTiming;
use crate::time::{Instant, Span};

/// Bins of the gaps between beats; see [`Quality::gaps`].
pub const GAP_BINS: usize = 5;

/// What was measured of one path since the agent started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Quality {
    last_at: Option<Instant>,
    /// A frame broke, and none has come since.
    is_lost: bool,
    /// How many gaps between two beats were below 1.5 intervals, below 2, below late_after, below dead_after,
    /// and above that: an outage.
    pub gaps: [u32; GAP_BINS],
    /// The longest gap that was no outage.
    pub worst_gap: Span,
    /// By how much beats come later than an interval after the last, smoothed over 16 beats.
    pub jitter: Span,
    /// The soonest that a beat of ours was acknowledged in a beat: there and back, and the peer's wait for
    /// its own beat.
    pub best_answer: Option<Span>,
    /// How often a frame was found again after broken ones.
    pub resyncs: u32,
    /// How long after its first arrival on any path the newest beat came.
    pub lag: Span,
}

impl Quality {
    /// A beat came in.
    pub fn hear(&mut self, now: Instant, timing: PathTiming) {
        if core::mem::take(&mut self.is_lost) {
            self.resyncs = self.resyncs.saturating_add(1);
        }
        let Some(last_at) = self.last_at.replace(now) else { return };
        let gap = now.since(last_at);
        let limits = [
            timing.interval.fraction(3, 2),
            timing.interval.fraction(2, 1),
            timing.late_after,
            timing.dead_after,
        ];
        let bin = limits.iter().take_while(|limit| gap >= **limit).count();
        if let Some(count) = self.gaps.get_mut(bin) {
            *count = count.saturating_add(1);
        }
        if gap < timing.dead_after {
            self.worst_gap = self.worst_gap.max(gap);
            let late = gap.saturating_sub(timing.interval);
            self.jitter = self.jitter.saturating_sub(self.jitter.fraction(1, 16)) + late.fraction(1, 16);
        }
    }

    /// A beat acknowledged one of ours that left this long ago.
    pub fn answer(&mut self, after: Span) {
        self.best_answer = Some(self.best_answer.map_or(after, |best| best.min(after)));
    }

    /// Bytes came in that are no frame.
    pub fn lose(&mut self) {
        self.is_lost = true;
    }

    /// The next gap is not the path's doing: it was opened anew, or the peer's agent started anew.
    pub fn pause(&mut self) {
        self.last_at = None;
    }

    /// A stall of our own is not the path's doing.
    pub fn shift(&mut self, gap: Span) {
        self.last_at = self.last_at.map(|at| at + gap);
    }

    /// How many tenths of the longest gap fit into `dead_after`; `None` before there was a gap.
    pub fn margin_tenths(&self, dead_after: Span) -> Option<u64> {
        dead_after.as_us().saturating_mul(10).checked_div(self.worst_gap.as_us())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Span {
        Span::from_ms(ms)
    }

    fn timing() -> PathTiming {
        PathTiming { interval: ms(100), late_after: ms(300), dead_after: ms(500) }
    }

    #[test]
    fn gaps_fall_into_their_bins_and_an_outage_is_no_jitter() {
        let mut quality = Quality::default();
        let mut now = Instant::from_us(1_000_000);
        quality.hear(now, timing());
        for gap in [100, 149, 150, 199, 200, 299, 300, 499, 500, 9_000] {
            now = now + ms(gap);
            quality.hear(now, timing());
        }
        assert_eq!(quality.gaps, [2, 2, 2, 2, 2]);
        assert_eq!(quality.worst_gap, ms(499));
        assert_eq!(quality.margin_tenths(ms(500)), Some(10));
        assert!(quality.jitter < ms(100), "{}", quality.jitter);
    }

    #[test]
    fn stalls_and_new_openings_are_no_gaps() {
        let mut quality = Quality::default();
        let start = Instant::from_us(1_000_000);
        quality.hear(start, timing());
        quality.shift(ms(10_000));
        quality.hear(start + ms(10_100), timing());
        quality.pause();
        quality.hear(start + ms(20_000), timing());
        assert_eq!((quality.gaps, quality.worst_gap), ([1, 0, 0, 0, 0], ms(100)));
        assert_eq!(Quality::default().margin_tenths(ms(500)), None);
    }

    #[test]
    fn a_resync_is_a_good_frame_after_broken_ones() {
        let mut quality = Quality::default();
        quality.lose();
        quality.lose();
        assert_eq!(quality.resyncs, 0);
        quality.hear(Instant::from_us(1), timing());
        quality.hear(Instant::from_us(2), timing());
        assert_eq!(quality.resyncs, 1);
        quality.answer(ms(9));
        quality.answer(ms(12));
        assert_eq!(quality.best_answer, Some(ms(9)));
    }
}
