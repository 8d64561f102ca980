//! When the peer's beats first arrived, on whichever path: a beat that a path brings later than another one
//! says what was known then, and no more.
//!
//! Somebody on the LAN who can neither read the key nor make a frame can still hold frames back. If a beat
//! counted from when it comes, such a path would speak for a peer that has died since, after the cable has
//! fallen silent: the cable would pass for broken, and nobody would take over.

use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// Number of remembered beats. Only a beat that is the newest when it comes is remembered.
const SLOTS: usize = 64;

/// First arrivals of the beats of one run of the peer, by number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arrivals {
    #[serde(with = "crate::health::slots")]
    slots: [(u32, Instant); SLOTS],
    newest: u32,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { slots: [(0, Instant::ORIGIN); SLOTS], newest: 0 }
    }
}

impl Arrivals {
    /// Beat `number` arrived at `now`. Returns until when the beat proves its sender alive: the earliest
    /// arrival of it, or of a beat that was made after it.
    pub fn note(&mut self, number: u32, now: Instant) -> Instant {
        if number > self.newest {
            self.newest = number;
            if let Some(slot) = self.slots.get_mut(index(number)) {
                *slot = (number, now);
            }
            return now;
        }
        let oldest = self.newest.saturating_sub(OLDER);
        let arrived = |later: u32| self.slots.get(index(later)).filter(|(stored, _)| *stored == later);
        let first = (number.max(oldest)..=self.newest).find_map(arrived);
        first.map_or(now, |(_, at)| *at)
    }
}

/// How much older than the newest one a remembered beat can be.
const OLDER: u32 = 63;
#[expect(clippy::as_conversions, reason = "no trait converts at compile time")]
const _: () = assert!(OLDER as usize + 1 == SLOTS, "every number down to that has a slot of its own");

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(0) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_us(1_000 * ms)
    }

    #[test]
    fn a_beat_counts_from_its_first_arrival_and_no_later_than_one_made_after_it() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.note(5, at(100)), at(100));
        assert_eq!(arrivals.note(5, at(900)), at(100), "the same by another path");
        assert_eq!(arrivals.note(9, at(1_000)), at(1_000));
        assert_eq!(
            arrivals.note(7, at(1_500)),
            at(1_000),
            "nobody had it before, but the ninth was made later"
        );
        assert_eq!(arrivals.note(10, at(1_600)), at(1_600));
        assert_eq!(arrivals.note(3, at(1_700)), at(100));
    }

    #[test]
    fn what_is_older_than_all_that_is_remembered_counts_from_the_oldest_of_it() {
        let mut arrivals = Arrivals::default();
        for number in 1..=200 {
            arrivals.note(number, at(u64::from(number)));
        }
        assert_eq!(arrivals.note(1, at(900)), at(137));
        assert_eq!(arrivals.note(u32::MAX, at(901)), at(901));
        assert_eq!(arrivals.note(1, at(902)), at(901), "nothing between is known");
    }
}
