//! When our own beats left, so that an acknowledgement can be turned into an instant.

use serde::{Deserialize, Serialize};

use crate::config::MAX_DEAD_AFTER_INTERVALS;
use crate::frame::message::{Ack, low_16};
use crate::time::Instant;

/// Enough for every frame that may still be acknowledged: dead_after is at most 100 intervals, and a few
/// frames of the handshake take numbers too.
const SLOTS: usize = 128;
#[expect(clippy::as_conversions, reason = "no trait converts at compile time")]
const _: () = assert!(SLOTS as u64 > MAX_DEAD_AFTER_INTERVALS, "every beat within dead_after has a slot");
const _: () = assert!(SLOTS.is_power_of_two(), "the low bits of a number name its slot");

/// The send times of our newest frames, by number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendTimes {
    #[serde(with = "crate::health::slots")]
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

    /// When the acknowledged beat left; `None` if none is acknowledged, or if it left too long ago to matter.
    pub fn of(&self, ack: Ack) -> Option<Instant> {
        let (number, at) = *self.slots.get(usize::from(ack.low()) % SLOTS)?;
        (ack.is_of(number) && number != 0).then_some(at)
    }
}

fn index(number: u32) -> usize {
    usize::from(low_16(number)) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_left_and_is_recent_has_a_time() {
        let mut times = SendTimes::default();
        assert_eq!(times.of(Ack::Whole(0)), None);
        assert_eq!(times.of(Ack::Low(0)), None);
        assert_eq!(times.of(Ack::Whole(1)), None);
        times.note(1, Instant::from_us(10));
        assert_eq!(times.of(Ack::Whole(1)), Some(Instant::from_us(10)));
        assert_eq!(times.of(Ack::Low(1)), Some(Instant::from_us(10)));
        times.note(129, Instant::from_us(90));
        assert_eq!(times.of(Ack::Whole(1)), None, "overwritten, and long dead");
        assert_eq!(times.of(Ack::Low(1)), None);
        times.note(0x1_0001, Instant::from_us(100));
        assert_eq!(times.of(Ack::Low(1)), Some(Instant::from_us(100)));
        assert_eq!(times.of(Ack::Whole(1)), None, "65,536 numbers ago");
    }
}
