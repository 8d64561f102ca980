//! Session values for candidates. A node keeps nothing for any of them.
//!
//! A value is a keyed hash of the candidate's incarnation under a secret of this run and a generation that
//! changes with every adoption and every [`GENERATION`].

use siphasher::sip::SipHasher24;

use super::message::{Incarnation, SessionValue};
use crate::time::{Instant, Span};

/// How long a value that was given to a candidate stays good at least, and three times this at most; an
/// adoption ends it at once.
pub const GENERATION: Span = Span::from_s(10);

/// Gives values to candidates, and recognizes them.
#[derive(Clone)]
pub(super) struct Candidates {
    secret: [u8; 16],
    generation: u32,
    generation_since: Instant,
    /// The generation before this one is still accepted.
    is_previous_good: bool,
}

impl Candidates {
    pub(super) fn new(secret: [u8; 16], now: Instant) -> Self {
        Self { secret, generation: 0, generation_since: now, is_previous_good: false }
    }

    /// Begins a new generation when the present one is old enough.
    pub(super) fn turn_generation(&mut self, now: Instant) {
        let age = now.since(self.generation_since);
        if age >= GENERATION {
            self.generation = self.generation.wrapping_add(1);
            self.generation_since = now;
            self.is_previous_good = age < GENERATION + GENERATION;
        }
    }

    /// Voids all values given so far.
    pub(super) fn forget(&mut self) {
        self.generation = self.generation.wrapping_add(2);
        self.is_previous_good = false;
    }

    /// The value that this incarnation is given now.
    pub(super) fn value(&self, of: Incarnation) -> SessionValue {
        self.value_in(of, self.generation)
    }

    /// Whether this incarnation was given this value in the present or the previous generation.
    pub(super) fn is_value(&self, of: Incarnation, echo: SessionValue) -> bool {
        let previous = self.generation.wrapping_sub(1);
        echo == self.value(of) || (self.is_previous_good && echo == self.value_in(of, previous))
    }

    /// The incarnation that follows `run` when the numbers of `run` are used up.
    pub(super) fn next_run(&self, run: Incarnation) -> Incarnation {
        Incarnation(SipHasher24::new_with_key(&self.secret).hash(&run.0).to_le_bytes())
    }

    fn value_in(&self, of: Incarnation, generation: u32) -> SessionValue {
        let [i0, i1, i2, i3, i4, i5, i6, i7] = of.0;
        let [g0, g1, g2, g3] = generation.to_le_bytes();
        let input = [i0, i1, i2, i3, i4, i5, i6, i7, g0, g1, g2, g3];
        let [a, b, c, d, ..] = SipHasher24::new_with_key(&self.secret).hash(&input).to_le_bytes();
        // Zero means 'none'.
        if [a, b, c, d] == [0; 4] { SessionValue([1, 0, 0, 0]) } else { SessionValue([a, b, c, d]) }
    }
}
