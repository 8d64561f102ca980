//! When our own beats left, so that an acknowledgement can be turned into an instant.

use crate::config::MAX_DEAD_AFTER_INTERVALS;
use crate::time::Instant;

/// Enough for every frame that may still be acknowledged: dead_after is at most 100 intervals, and a few frames of the
/// handshake take numbers too.
const SLOTS: usize = 128;
const _: () = assert!(SLOTS as u64 > MAX_DEAD_AFTER_INTERVALS, "every beat within dead_after has a slot");

/// The send times of our newest frames, by number.
#[derive(Clone, Debug)]
pub struct SendTimes {
    slots: [(u32, Instant); SLOTS],
}

impl Default for SendTimes {
    fn default() -> Self {
        Self { slots: [(0, Instant::ORIGIN); SLOTS] }
    }
}

impl SendTimes {
    /// Beat `number` left at `now`.
    pub fn note(&mut self, number: u32, now: Instant) {
        if let Some(slot) = self.slots.get_mut(index(number)) {
            *slot = (number, now);
        }
    }

    /// When beat `number` left; `None` if it never did or that was too long ago to matter.
    pub fn of(&self, number: u32) -> Option<Instant> {
        let (stored, at) = *self.slots.get(index(number))?;
        (stored == number && number != 0).then_some(at)
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(0) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_left_and_is_recent_has_a_time() {
        let mut times = SendTimes::default();
        assert_eq!(times.of(0), None);
        assert_eq!(times.of(1), None);
        times.note(1, Instant::from_us(10));
        assert_eq!(times.of(1), Some(Instant::from_us(10)));
        times.note(129, Instant::from_us(90));
        assert_eq!(times.of(1), None, "overwritten, and long dead");
    }
}
