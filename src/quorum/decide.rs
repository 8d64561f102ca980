//! What a node does about one group: from (role, situation) to a decision.
//!
//! The rules stand in three files, each read from its top: [`takeover`], when a backup takes
//! a group, and if not, why not and until when; [`holding`], when a holder lets go at once,
//! and when it renews; [`moves`], what goes over in good order.

use super::facts::{Decision, Situation, Wait};
use super::{holding, moves, takeover};
use crate::pair::Role;
use crate::reasons::Block;

/// The decision for one group.
pub fn decide(role: Role, s: &Situation) -> Decision {
    match role {
        Role::Backup => takeover::backup(s),
        Role::Acquiring => holding::let_go(s).unwrap_or_else(|| holding::hold_on(s)),
        Role::Active => {
            holding::let_go(s).or_else(|| moves::hand_over(s)).unwrap_or_else(|| holding::hold_on(s))
        }
        Role::Releasing => holding::go_on_releasing(s),
        Role::Faulty => Decision::Wait(Wait { block: Block::Faulty, until: s.clock.retry_at }),
    }
}
