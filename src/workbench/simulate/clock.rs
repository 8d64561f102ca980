//! A box's own clock: it runs at its own rate and was started at its own time.

use crosswire::time::{Instant, Span};

/// When the world begins.
pub const BEGINNING: Instant = Instant::from_us(1_000_000);

/// The rate of a perfect clock, in its microseconds per million true ones.
pub const TRUE_RATE: u64 = 1_000_000;
/// How far a clock may be off, either way (1 %).
pub const MAX_OFF: u64 = 10_000;

/// Turns true time into what the box believes, and back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    rate: u64,
    offset_us: u64,
}

impl Clock {
    /// A clock that showed `offset_us` at the beginning of the world.
    pub fn new(rate: u64, offset_us: u64) -> Self {
        Self { rate, offset_us }
    }

    /// What the clock shows at `true_time`.
    pub fn local(&self, true_time: Instant) -> Instant {
        Instant::from_us(self.offset_us + true_time.as_us().saturating_mul(self.rate) / TRUE_RATE)
    }

    /// The first true instant at which the clock shows `local` or more.
    pub fn true_time(&self, local: Instant) -> Instant {
        if local == Instant::NEVER {
            return Instant::NEVER;
        }
        let us = local.as_us().saturating_sub(self.offset_us);
        Instant::from_us(us.saturating_mul(TRUE_RATE).div_ceil(self.rate))
    }

    /// How long `local` lasts in true time.
    pub fn true_span(&self, local: Span) -> Span {
        Span::from_us(local.as_us().saturating_mul(TRUE_RATE).div_ceil(self.rate))
    }
}
