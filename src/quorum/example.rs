//! The situation that tables and tests begin with.

use super::decide::{Claim, Fence, Situation, Standby, Tie, Wish};
use super::probe::Finding;
use crate::config::{InJeopardy, SafetyRule};
use crate::health::WitnessView;
use crate::reasons::Verdict;

impl Situation {
    /// A backup beside a dead peer, everything in order for a takeover under the rule `probe`.
    pub const BESIDE_A_DEAD_PEER: Self = Self {
        verdict: Verdict::Dead,
        is_refused: false,
        claim: Claim::Unknown,
        finding: Finding::Clear,
        has_carrier: true,
        is_able: true,
        is_stopping: false,
        standby: Standby::No,
        is_in_maintenance: false,
        is_peer_in_maintenance: false,
        is_stalled: false,
        was_ever_heard: true,
        has_listened: true,
        is_our_turn: true,
        has_offered: false,
        is_unsteady: false,
        has_drift_passed: true,
        must_have_released: false,
        must_have_reset: false,
        is_estranged: false,
        is_peer_troubled: false,
        are_lines_on: false,
        witness: WitnessView::None,
        fence: Fence::Untried,
        is_peer_off: false,
        safety: SafetyRule::Probe,
        is_exclusive: false,
        in_jeopardy: InJeopardy::Hold,
        has_lease_lapsed: false,
        is_deadline_due: false,
        is_peer_deaf: false,
        has_served_alone: false,
        is_unfit: false,
        is_stuck: false,
        is_address_refused: false,
        is_peer_better_off: false,
        can_offer: false,
        is_offer_unused: false,
        tie: Tie::None,
        wish: Wish::None,
    };
}
