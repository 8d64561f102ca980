//! What costs us an answer before its sender has proved to be there: let in once in a while.

use super::Refusal;
use crate::config::MAX_PATHS;
use crate::pair::PathId;
use crate::time::{Instant, Span};

/// Rations for each kind, on each path. Which one an incarnation spends nobody else can know, and it is
/// another one in each generation: who repeats the greetings of an earlier run keeps out no later one for
/// longer than that.
const SLOTS: usize = 8;

/// What is let in once in a while. Only what is authentic spends a ration, and what was recorded of one run
/// of the peer hardly ever another one's ([`SLOTS`]).
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

    /// Spends one. `sender` is a byte that an incarnation has for a while, and nobody else can know.
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
