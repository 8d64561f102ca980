//! What was dropped or cut short, and when last: for the status.

use crosswire::time::{Instant, Span};

use crate::gather::Gather;
use crate::operator::control::LostKind;

/// Counts of each kind, and when they last grew.
pub struct Drops {
    counts: [(u32, Instant); LostKind::ALL.len()],
    /// What the guard has told of itself.
    of_guard: [u32; LostKind::ALL.len()],
    /// What the log of this process has told.
    lines: u32,
}

impl Drops {
    pub fn new() -> Self {
        let none = (0, Instant::ORIGIN);
        Self { counts: [none; LostKind::ALL.len()], of_guard: [0; LostKind::ALL.len()], lines: 0 }
    }

    /// So many more were dropped.
    pub fn note(&mut self, now: Instant, what: LostKind, more: u32) {
        if more > 0
            && let Some((count, at)) = self.counts.get_mut(what as usize)
        {
            (*count, *at) = (count.saturating_add(more), now);
        }
    }

    /// The guard has dropped so many since it began.
    pub fn note_of_guard(&mut self, now: Instant, what: LostKind, in_all: u32) {
        if let Some(before) = self.of_guard.get_mut(what as usize) {
            let more = in_all.saturating_sub(std::mem::replace(before, in_all));
            self.note(now, what, more);
        }
    }

    /// The log of this process has lost so many lines since it began.
    pub fn note_lines(&mut self, now: Instant, in_all: u32) {
        let more = in_all.saturating_sub(std::mem::replace(&mut self.lines, in_all));
        self.note(now, LostKind::Lines, more);
    }

    /// How many, and how long ago the last of them.
    pub fn report(&self, now: Instant) -> Vec<(u32, Span)> {
        self.counts.iter().map(|(count, at)| (*count, now.since(*at))).gather()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guard_and_the_log_say_again_is_counted_once() {
        let (mut drops, at) = (Drops::new(), |s| Instant::from_us(1) + Span::from_s(s));
        drops.note(at(1), LostKind::Records, 0);
        drops.note_of_guard(at(2), LostKind::Lines, 3);
        drops.note_of_guard(at(3), LostKind::Lines, 3);
        drops.note_lines(at(4), 2);
        drops.note_lines(at(5), 2);
        drops.note(at(6), LostKind::Entries, 1);
        let counts: Vec<u32> = drops.report(at(9)).iter().map(|(count, _)| *count).collect();
        assert_eq!(counts, [0, 0, 5, 1]);
        assert_eq!(drops.report(at(9))[2].1, Span::from_s(5));
    }
}
