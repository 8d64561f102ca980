//! What follows from the configuration alone, reckoned once: it is asked for many times at every step.

use serde::{Deserialize, Serialize};

use super::guard::guard_patience;
use crate::config::Policy;
use crate::quorum::timing;
use crate::time::Span;

/// Times of the configuration.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Times {
    /// [`Policy::interval`]
    pub interval: Span,
    /// [`Policy::longest_interval`]
    pub longest_interval: Span,
    /// [`Policy::shortest_late_after`]
    pub shortest_late_after: Span,
    /// [`Policy::longest_late_after`]
    pub longest_late_after: Span,
    /// [`timing::renewal_every`]
    pub renewal_every: Span,
    /// [`guard_patience`]
    pub guard_patience: Span,
    /// Where the loop is late by more, it may have slept through beats: half the shortest late_after.
    pub stalled_after: Span,
    /// A node at rest that nothing asks to judge does it all the same so often: with every tenth beat.
    pub look_every: Span,
}

impl Times {
    pub fn of(policy: &Policy) -> Self {
        let shortest_late_after = policy.shortest_late_after();
        Self {
            interval: policy.interval(),
            longest_interval: policy.longest_interval(),
            shortest_late_after,
            longest_late_after: policy.longest_late_after(),
            renewal_every: timing::renewal_every(policy),
            guard_patience: guard_patience(policy),
            stalled_after: shortest_late_after.fraction(1, 2),
            look_every: policy.interval().fraction(10, 1),
        }
    }
}
