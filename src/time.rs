//! Instants and spans on a monotonic clock that somebody else owns.
//!
//! The library never reads a clock: every instant is handed in. Both types count whole microseconds in 64
//! bits, and all arithmetic saturates, so that no sequence of inputs can wrap a deadline round to "long ago".

use core::fmt;
use core::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A point on the monotonic clock (microseconds since an arbitrary origin, usually the boot of the box).
///
/// Instants of two nodes, or of two boots, must never be compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub struct Instant {
    us: u64,
}

/// A length of time in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash, Serialize, Deserialize)]
pub struct Span {
    us: u64,
}

impl Instant {
    /// The origin of the clock: nothing happened before it.
    pub const ORIGIN: Self = Self { us: 0 };
    /// Later than anything that will ever happen: the deadline of what has none.
    pub const NEVER: Self = Self { us: u64::MAX };

    /// The instant `us` microseconds after the origin.
    pub const fn from_us(us: u64) -> Self {
        Self { us }
    }

    /// Microseconds since the origin.
    pub const fn as_us(self) -> u64 {
        self.us
    }

    /// Time from `earlier` to `self`; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Span {
        Span { us: self.us.saturating_sub(earlier.us) }
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self { us: 0 };

    /// A span of `us` microseconds.
    pub const fn from_us(us: u64) -> Self {
        Self { us }
    }

    /// A span of `ms` milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self { us: ms.saturating_mul(1_000) }
    }

    /// A span of `s` seconds.
    pub const fn from_s(s: u64) -> Self {
        Self { us: s.saturating_mul(1_000_000) }
    }

    /// The whole span in microseconds.
    pub const fn as_us(self) -> u64 {
        self.us
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.us / 1_000
    }

    /// Whole milliseconds, as far as two bytes go.
    pub fn as_ms_u16(self) -> u16 {
        u16::try_from(self.as_ms()).unwrap_or(u16::MAX)
    }

    /// Whole seconds, rounded up: the direction in which a kernel lifetime must err.
    pub const fn as_s_ceil(self) -> u64 {
        self.us.div_ceil(1_000_000)
    }

    /// `numerator`/`denominator` of this span, rounded down; a `denominator` of 0 counts as 1.
    pub const fn fraction(self, numerator: u64, denominator: u64) -> Self {
        let denominator = if denominator == 0 { 1 } else { denominator };
        // A processor of 32 bits divides by 64 bits in a loop, which no time below an hour needs.
        if let (Some(us), Some(times), Some(parts)) = (short(self.us), short(numerator), short(denominator))
            && let Some(product) = us.checked_mul(times)
        {
            return Self::from_short(product / parts);
        }
        Self { us: self.us.saturating_mul(numerator) / denominator }
    }

    #[expect(clippy::as_conversions, reason = "no trait converts at compile time")]
    const fn from_short(us: u32) -> Self {
        Self { us: us as u64 }
    }

    /// Difference, never below zero.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self { us: self.us.saturating_sub(other.us) }
    }
}

/// The value in 32 bits, if it fits.
#[expect(clippy::as_conversions, reason = "no trait converts at compile time")]
const fn short(value: u64) -> Option<u32> {
    if value >> 32 == 0 { Some(value as u32) } else { None }
}

impl Add<Span> for Instant {
    type Output = Self;
    /// Saturates at [`Instant::NEVER`].
    fn add(self, span: Span) -> Self {
        Self { us: self.us.saturating_add(span.us) }
    }
}

impl Sub<Span> for Instant {
    type Output = Self;
    /// Saturates at [`Instant::ORIGIN`].
    fn sub(self, span: Span) -> Self {
        Self { us: self.us.saturating_sub(span.us) }
    }
}

impl Add for Span {
    type Output = Self;
    /// Saturates.
    fn add(self, other: Self) -> Self {
        Self { us: self.us.saturating_add(other.us) }
    }
}

impl fmt::Display for Span {
    /// `120 m` (from ten minutes on), `1.5 s`, `250 ms`, `90 us`: the largest unit that keeps the value exact
    /// to a tenth.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.us {
            us if us >= 600_000_000 && us % 60_000_000 == 0 => write!(f, "{} m", us / 60_000_000),
            us if us >= 600_000_000 => write!(f, "{}.{} m", us / 60_000_000, (us % 60_000_000) / 6_000_000),
            us if us >= 1_000_000 && us % 1_000_000 == 0 => write!(f, "{} s", us / 1_000_000),
            us if us >= 1_000_000 => write!(f, "{}.{} s", us / 1_000_000, (us % 1_000_000) / 100_000),
            us if us >= 1_000 => write!(f, "{} ms", us / 1_000),
            us => write!(f, "{us} us"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::NEVER + Span::from_s(1), Instant::NEVER);
        assert_eq!(Instant::ORIGIN - Span::from_s(1), Instant::ORIGIN);
        assert_eq!(Instant::ORIGIN.since(Instant::NEVER), Span::ZERO);
        assert_eq!(Span::from_s(u64::MAX).as_us(), u64::MAX);
        assert_eq!(Span::from_ms(5).fraction(1, 0), Span::from_ms(5));
    }

    #[test]
    fn a_fraction_is_the_same_however_long_the_span_is() {
        for (us, numerator, denominator) in [
            (3_999_999, 2, 3),
            (u64::from(u32::MAX), 1, 2),
            (u64::from(u32::MAX), 2, 3),
            (1 << 40, 4, 5),
            (7, 1 << 33, 2),
        ] {
            let exact = u128::from(us) * u128::from(numerator) / u128::from(denominator);
            assert_eq!(u128::from(Span::from_us(us).fraction(numerator, denominator).as_us()), exact);
        }
    }

    #[test]
    fn lifetimes_round_up() {
        assert_eq!(Span::from_ms(1_001).as_s_ceil(), 2);
        assert_eq!(Span::from_s(1).as_s_ceil(), 1);
    }
}
