//! A limit for what others can cause. The first few events of a kind are reported one by one; a flood becomes
//! one line and a count at the end of each minute. Memory is bounded, and only lines are lost: every event is
//! counted, and the newest one that was held back is kept, so that the last line about a state is always
//! true.

use heapless::Vec;

use crate::time::{Instant, Span};

/// How long events of a kind are counted together.
pub const WINDOW: Span = Span::from_s(60);

/// What is known of one kind.
#[derive(Clone, Debug)]
struct Slot<K, T> {
    kind: K,
    since: Instant,
    /// How many were reported in this window.
    said: u16,
    most: u16,
    /// How many were not.
    held_back: u32,
    newest: Option<T>,
}

/// Events of up to `N` kinds at a time.
#[derive(Clone, Debug)]
pub struct Limiter<K, T, const N: usize> {
    slots: Vec<Slot<K, T>, N>,
}

/// What was held back, at the end of its window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldBack<T> {
    /// The newest event.
    pub newest: T,
    /// How many like it there were beside it.
    pub more: u32,
}

impl<K, T, const N: usize> Default for Limiter<K, T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, T, const N: usize> Limiter<K, T, N> {
    /// Nothing has happened yet.
    pub const fn new() -> Self {
        Self { slots: Vec::new() }
    }
}

impl<K: PartialEq, T, const N: usize> Limiter<K, T, N> {
    /// Something has happened. Returns the event if it is to be reported now, and counts and keeps it
    /// otherwise. `most` of a kind are reported in a window; in a flood none, until a window had at most
    /// `most`.
    pub fn admit(&mut self, now: Instant, kind: K, most: u16, event: T) -> Option<T> {
        self.slots.retain(|slot| slot.held_back > 0 || now.since(slot.since) < WINDOW);
        let Some(slot) = self.slot(now, kind, most) else { return Some(event) };
        if slot.said < slot.most {
            slot.said = slot.said.saturating_add(1);
            return Some(event);
        }
        slot.held_back = slot.held_back.saturating_add(1);
        slot.newest = Some(event);
        None
    }

    /// The slot of a kind. If no slot is free, the kind that has been quiet for longest makes room; if every
    /// kind is a flood, the newest one also counts for all later kinds.
    fn slot(&mut self, now: Instant, kind: K, most: u16) -> Option<&mut Slot<K, T>> {
        let mut index = self.slots.iter().position(|slot| slot.kind == kind);
        if index.is_none() && self.slots.is_full() {
            let quiet = self.slots.iter().enumerate().filter(|(_, slot)| slot.held_back == 0);
            match quiet.min_by_key(|(_, slot)| slot.since).map(|(at, _)| at) {
                Some(at) => drop(self.slots.swap_remove(at)),
                None => index = self.slots.len().checked_sub(1),
            }
        }
        let index = index.unwrap_or_else(|| {
            let slot = Slot { kind, since: now, said: 0, most, held_back: 0, newest: None };
            let _ = self.slots.push(slot);
            self.slots.len().saturating_sub(1)
        });
        self.slots.get_mut(index)
    }

    /// When the next count is due.
    pub fn due_at(&self) -> Instant {
        let flooded = self.slots.iter().filter(|slot| slot.held_back > 0);
        flooded.map(|slot| slot.since + WINDOW).min().unwrap_or(Instant::NEVER)
    }

    /// A count that is due; with `is_end` everything that was held back is due. Call it until it returns
    /// `None`.
    pub fn next_due(&mut self, now: Instant, is_end: bool) -> Option<HeldBack<T>> {
        let is_due =
            |slot: &&mut Slot<K, T>| slot.held_back > 0 && (is_end || now.since(slot.since) >= WINDOW);
        let slot = self.slots.iter_mut().find(is_due)?;
        let count = core::mem::take(&mut slot.held_back);
        slot.since = now;
        // A kind that has calmed down is reported one by one again.
        slot.said = if count > u32::from(slot.most) { slot.most } else { 0 };
        Some(HeldBack { newest: slot.newest.take()?, more: count.saturating_sub(1) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    type Small = Limiter<u8, u32, 3>;

    fn at(ms: u64) -> Instant {
        Instant::from_us(1_000_000) + Span::from_ms(ms)
    }

    fn due(limiter: &mut Small, ms: u64) -> Vec<HeldBack<u32>> {
        std::iter::from_fn(|| limiter.next_due(at(ms), false)).collect()
    }

    #[test]
    fn the_first_of_a_kind_are_said_and_a_flood_is_a_count() {
        let mut limiter = Small::new();
        let said: Vec<u32> = (0..28_000).filter_map(|n| limiter.admit(at(u64::from(n)), 1, 4, n)).collect();
        assert_eq!(said, [0, 1, 2, 3]);
        assert_eq!(limiter.admit(at(28_000), 2, 4, 7), Some(7), "another kind is not held back");
        assert_eq!(limiter.due_at(), at(60_000));
        assert_eq!(due(&mut limiter, 59_999), []);
        assert_eq!(due(&mut limiter, 60_000), [HeldBack { newest: 27_999, more: 27_995 }]);
        assert_eq!(limiter.due_at(), Instant::NEVER);
    }

    #[test]
    fn a_flood_that_lasts_is_a_count_a_minute_and_one_that_ends_is_over() {
        let mut limiter = Small::new();
        let mut lines = 0;
        for s in 0..600 {
            lines += usize::from(limiter.admit(at(s * 1_000), 1, 4, 0).is_some());
            lines += due(&mut limiter, s * 1_000).len();
        }
        assert_eq!(lines, 4 + 9);
        assert_eq!(due(&mut limiter, 660_000).len(), 1);
        // As many as before, but in two minutes: none is held back, but for those of the minute after the
        // flood.
        assert_eq!(due(&mut limiter, 720_000).len(), 0);
        assert_eq!(limiter.admit(at(721_000), 1, 4, 9), Some(9));
    }

    #[test]
    fn where_every_kind_is_a_flood_the_rest_is_counted_with_one_of_them() {
        let mut limiter = Small::new();
        for kind in 0..3 {
            assert_eq!((0..3).filter_map(|n| limiter.admit(at(0), kind, 1, n)).count(), 1);
        }
        assert_eq!(limiter.admit(at(1), 9, 1, 99), None);
        let counted: u32 = due(&mut limiter, 60_000).iter().map(|held| held.more + 1).sum();
        assert_eq!(counted, 7);
    }

    proptest! {
        /// Nothing is lost: what happened was said or is counted. Nothing is a flood of ours: each kind is
        /// said `most` times and counted once a window.
        #[test]
        fn every_event_is_said_or_counted(
            events in proptest::collection::vec((0u64..20_000, 0u8..6), 0..400),
        ) {
            let (mut limiter, mut now, mut accounted, mut lines) = (Small::new(), 0, 0, 0);
            for (gap, kind) in &events {
                now += gap;
                let said = u32::from(limiter.admit(at(now), *kind, 2, 0).is_some());
                let counts = due(&mut limiter, now);
                accounted += said + counts.iter().map(|held| held.more + 1).sum::<u32>();
                lines += u64::from(said) + counts.len() as u64;
            }
            let left = std::iter::from_fn(|| limiter.next_due(at(now), true));
            accounted += left.map(|held| held.more + 1).sum::<u32>();
            prop_assert_eq!(accounted as usize, events.len());
            // Six kinds that share three slots may each begin anew whenever another makes room: that is
            // bounded by time only where the kinds fit.
            if events.iter().all(|(_, kind)| *kind < 3) {
                prop_assert!(lines <= 3 * (2 + 1) * (now / 60_000 + 1) + 3);
            }
        }
    }
}
