//! The situation that tables and tests begin with.

use super::facts::{
    Claim, Clock, Fence, GroupRule, OwnFacts, PeerFacts, Situation, Standby, Tie, WireFacts, Wish,
};
use super::probe::Finding;
use crate::config::{InJeopardy, SafetyRule};
use crate::health::{NeighbourView, WitnessView};
use crate::reasons::Verdict;
use crate::time::Instant;
use crate::vote::VoteView;

impl Situation {
    /// A backup beside a dead peer, everything in order for a takeover under the rule `probe`.
    pub const BESIDE_A_DEAD_PEER: Self = Self {
        peer: PeerFacts {
            verdict: Verdict::Dead,
            was_ever_heard: true,
            was_known: false,
            is_on_time: false,
            is_heard_since_stall: false,
            is_cut_short: false,
            is_deaf: false,
            claim: Claim::Unknown,
            does_want: false,
            is_able: false,
            tie: Tie::None,
            is_troubled: false,
            is_estranged: false,
            are_lines_on: false,
            is_off: false,
            is_file_different: false,
            was_granted_since: false,
            fence: Fence::Untried,
        },
        own: OwnFacts {
            has_carrier: true,
            is_able: true,
            is_stopping: false,
            standby: Standby::No,
            wish: Wish::None,
            is_address_refused: false,
            is_address_gone: false,
            is_cut_off: false,
            is_ready: true,
            is_unfit: false,
            is_stuck: false,
            is_given_away: false,
            goes_first: true,
            is_claim_heard: true,
            keeps_addresses: false,
        },
        wire: WireFacts {
            finding: Finding::Clear,
            witness: WitnessView::None,
            neighbours: NeighbourView::Unknown,
            vote: VoteView::NotNeeded,
        },
        clock: Clock {
            now: Instant::from_us(1_000_000_000),
            judged_at: Instant::ORIGIN,
            maintained_until: Instant::ORIGIN,
            peer_maintained_until: Instant::ORIGIN,
            listened_at: Instant::ORIGIN,
            listening_asks_at: Instant::ORIGIN,
            silent_at: Instant::ORIGIN,
            released_at: Instant::NEVER,
            reset_at: Instant::NEVER,
            fence_again_at: Instant::NEVER,
            offered_until: Instant::ORIGIN,
            unsteady_until: Instant::ORIGIN,
            second_at: Instant::NEVER,
            claimed_at: Instant::ORIGIN,
            retry_at: Instant::NEVER,
            lease_until: Instant::NEVER,
            renew_at: Instant::NEVER,
            deadline_at: Instant::NEVER,
            grant_needed_at: Instant::NEVER,
            alone_at: Instant::NEVER,
            dark_at: Instant::NEVER,
            outseen_at: Instant::NEVER,
            cut_off_at: Instant::NEVER,
            back_at: Instant::ORIGIN,
            offer_unused_until: Instant::ORIGIN,
            failback_at: Instant::NEVER,
        },
        rule: GroupRule {
            safety: SafetyRule::Probe,
            is_exclusive: false,
            has_scripts: false,
            in_jeopardy: InJeopardy::Hold,
        },
    };
}
