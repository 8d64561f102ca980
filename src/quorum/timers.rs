//! The instants for which a group waits: one enum, one table.
//!
//! A new one is a variant here. The node wakes for whatever is set; what is reckoned anew at every look is in
//! [`Waiting`](super::node::Waiting).

use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// What is set to run out for a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// An order on which the role waits is given once more, under the same token: the guard may not have got
    /// it.
    Repeat,
    /// A failed release is ordered again.
    ReleaseAgain,
    /// The lease is renewed.
    Renewal,
    /// We let the group go for the peer; until then we do not take it back.
    Offer,
    /// Until then nothing is let go for the peer again that only the peer has asked for.
    NextOffer,
    /// We let it go because the peer served it too; until then we say so, lest it never learn of it.
    Yield,
    /// Until then we ask the peer for it.
    Wanted,
    /// The operator's request to hand it over lapses.
    Handover,
    /// The operator's word that the peer is off lapses.
    PeerOff,
    /// Lost again and again by what the peer said: until then it is not taken on the peer's word.
    Unsteady,
    /// A faulty node may try again, or the peer may count again on one whose kernel refused an address.
    Retry,
    /// A fence that failed is tried again.
    FenceAgain,
    /// Its addresses have still to come: until then its first scripts have to run, or what allows to take it
    /// has to be so again.
    Prepare,
}

impl Timer {
    /// All of them.
    pub const ALL: [Self; TIMERS] = [
        Self::Repeat,
        Self::ReleaseAgain,
        Self::Renewal,
        Self::Offer,
        Self::NextOffer,
        Self::Yield,
        Self::Wanted,
        Self::Handover,
        Self::PeerOff,
        Self::Unsteady,
        Self::Retry,
        Self::FenceAgain,
        Self::Prepare,
    ];

    /// What simply ends when its time has passed, without anything else to be done.
    const LAPSING: [Self; 5] = [Self::Offer, Self::NextOffer, Self::Yield, Self::Handover, Self::PeerOff];

    #[expect(clippy::as_conversions, reason = "no trait gives the place of a variant")]
    fn index(self) -> usize {
        usize::from(self as u8)
    }
}

/// Number of timers of a group.
pub const TIMERS: usize = 13;

/// The timers of one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Timers([Instant; TIMERS]);

impl Default for Timers {
    fn default() -> Self {
        Self([Instant::NEVER; TIMERS])
    }
}

impl Timers {
    /// When it runs out; [`Instant::NEVER`] if it is not set.
    pub fn at(&self, timer: Timer) -> Instant {
        self.0.get(timer.index()).copied().unwrap_or(Instant::NEVER)
    }

    /// The same; none if it is not set.
    pub fn get(&self, timer: Timer) -> Option<Instant> {
        Some(self.at(timer)).filter(|at| *at != Instant::NEVER)
    }

    /// Something waits for it; it may have run out already.
    pub fn is_set(&self, timer: Timer) -> bool {
        self.at(timer) != Instant::NEVER
    }

    /// It was set, and its time has come.
    pub fn is_due(&self, timer: Timer, now: Instant) -> bool {
        now >= self.at(timer)
    }

    /// It runs out at `at`, whatever was set before.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(place) = self.0.get_mut(timer.index()) {
            *place = at;
        }
    }

    /// The same; none stops it.
    pub fn set_to(&mut self, timer: Timer, at: Option<Instant>) {
        self.set(timer, at.unwrap_or(Instant::NEVER));
    }

    /// Nothing waits for it any more.
    pub fn stop(&mut self, timer: Timer) {
        self.set(timer, Instant::NEVER);
    }

    /// Stops what has only lapsed.
    pub fn forget_lapsed(&mut self, now: Instant) {
        for timer in Timer::LAPSING {
            if self.is_due(timer, now) {
                self.stop(timer);
            }
        }
    }

    /// Each with its instant; [`Instant::NEVER`] if it is not set.
    pub fn each(&self) -> impl Iterator<Item = (Timer, Instant)> {
        Timer::ALL.iter().copied().zip(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timer_has_a_place_of_its_own() {
        for (index, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer.index(), index);
            let mut timers = Timers::default();
            timers.set(timer, Instant::from_us(5));
            let set: std::vec::Vec<_> = timers.each().filter(|(_, at)| *at != Instant::NEVER).collect();
            assert_eq!(set, [(timer, Instant::from_us(5))]);
            assert_eq!(timers.get(timer), Some(Instant::from_us(5)));
            timers.stop(timer);
            assert_eq!(timers, Timers::default());
        }
    }

    #[test]
    fn what_lapses_is_forgotten_and_nothing_else() {
        let (now, mut timers) = (Instant::from_us(7), Timers::default());
        Timer::ALL.into_iter().for_each(|timer| timers.set(timer, now));
        timers.forget_lapsed(Instant::from_us(6));
        assert!(Timer::ALL.into_iter().all(|timer| timers.is_set(timer)), "not yet");
        timers.forget_lapsed(now);
        for timer in Timer::ALL {
            assert_eq!(timers.is_set(timer), !Timer::LAPSING.contains(&timer), "{timer:?}");
        }
    }
}
