//! Rate limits for frames that cost us an answer before their sender has proved to be there.

use super::Refusal;
use crate::config::MAX_PATHS;
use crate::pair::PathId;
use crate::time::{Instant, Span};

/// Rations for each kind, on each path. Nobody else can know which of them an incarnation spends, and that
/// changes with each generation: whoever replays the greetings of an earlier run hardly ever keeps a later
/// run out for longer than a generation.
const SLOTS: usize = 8;

/// What is let in, or answered, once in a while. Only an authentic frame spends a ration, and a recorded
/// frame of one run hardly ever spends that of another run ([`SLOTS`]).
#[derive(Clone, Copy)]
pub(super) enum Rationed {
    Hello,
    UnechoedSession,
    RepeatedAnswer,
}

impl Rationed {
    const fn index(self) -> usize {
        match self {
            Self::Hello => 0,
            Self::UnechoedSession => 1,
            Self::RepeatedAnswer => 2,
        }
    }
}

/// What each sender has left.
#[derive(Clone)]
pub(super) struct Rations {
    /// When the last frame of each [`Rationed`] kind was let in, per path.
    let_in_at: [[[Option<Instant>; SLOTS]; 3]; MAX_PATHS],
    /// Least time between two of a kind.
    gap: Span,
}

impl Rations {
    pub(super) fn new(gap: Span) -> Self {
        Self { let_in_at: [[[None; SLOTS]; 3]; MAX_PATHS], gap }
    }

    /// Spends a ration. `sender` is a byte that belongs to an incarnation for a while, and that nobody else
    /// can know. Fails with [`Refusal::TooOften`], or [`Refusal::Path`] if the path is not there.
    pub(super) fn spend(
        &mut self,
        now: Instant,
        path: PathId,
        kind: Rationed,
        sender: u8,
    ) -> Result<(), Refusal> {
        let slots = self.let_in_at.get_mut(path.index()).and_then(|kinds| kinds.get_mut(kind.index()));
        let slot = slots.and_then(|slots| slots.get_mut(usize::from(sender) % SLOTS)).ok_or(Refusal::Path)?;
        if slot.is_some_and(|at| now.since(at) < self.gap) {
            return Err(Refusal::TooOften);
        }
        *slot = Some(now);
        Ok(())
    }
}
