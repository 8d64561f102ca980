//! What a node does about one group: the rules, from (role, situation) to a decision.
//!
//! A situation is everything that is known, boiled down to answers; how they are found is the node's
//! business. The order of the questions is the order of the rules: what is unsafe is asked first.

use serde::{Deserialize, Serialize};

use super::probe::Finding;
use crate::config::{InJeopardy, SafetyRule};
use crate::health::WitnessView;
use crate::pair::Role;
use crate::reasons::{Block, ReleaseReason, TakeReason, Verdict};
use crate::resource::ReleaseOrder;

/// What the peer says that it is for the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Claim {
    /// It has said nothing yet in this incarnation, or is not heard; or it held nothing when it was last
    /// heard on time.
    Unknown,
    /// It serves, or is about to.
    Serves,
    /// It is letting go.
    Releases,
    /// It holds nothing and let the group go for us.
    Offers,
    /// It holds nothing.
    Free,
}

/// How two holders compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Tie {
    /// The peer does not claim the group.
    None,
    /// Both claim it and we keep it.
    WeWin,
    /// Both claim it and we let it go.
    TheyWin,
}

/// How far the fence of a group is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Fence {
    /// Not tried since the peer fell silent.
    Untried,
    /// On its way.
    Pending,
    /// It is certain that the peer holds nothing.
    Confirmed,
    /// It could not be confirmed.
    Failed,
}

/// What an operator asks of the node that serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Wish {
    /// Nothing.
    None,
    /// Hand over, asked for here.
    Handover,
    /// Hand over, asked for on the peer.
    PeerWants,
}

/// Whether the operator wants the node to hold nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash, Serialize, Deserialize)]
pub enum Standby {
    /// No.
    #[default]
    No,
    /// Yes, if the peer serves instead.
    Asked,
    /// Yes, whoever serves then.
    Forced,
}

/// Everything that bears on one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Situation {
    /// What the paths say of the peer.
    pub verdict: Verdict,
    /// Nobody is heard, but somebody unintelligible is on the cable.
    pub is_refused: bool,
    /// What the peer says of the group.
    pub claim: Claim,
    /// What the wire says of the group's addresses.
    pub finding: Finding,
    /// All interfaces of the group have carrier.
    pub has_carrier: bool,
    /// The guard carries out orders.
    pub is_able: bool,
    /// We were told to stop.
    pub is_stopping: bool,
    /// Our operator wants us to hold nothing.
    pub standby: Standby,
    /// Our operator wants nothing moved.
    pub is_in_maintenance: bool,
    /// The peer's operator wanted nothing moved when the peer was last heard.
    pub is_peer_in_maintenance: bool,
    /// Our loop was late; silence must not be judged yet.
    pub is_stalled: bool,
    /// The peer was heard in this run.
    pub was_ever_heard: bool,
    /// Cold start is over, and so is the wait of the node that goes second.
    pub has_listened: bool,
    /// Of two nodes that could acquire a vacant group, we go now.
    pub is_our_turn: bool,
    /// We let it go for the peer, which has not answered yet.
    pub has_offered: bool,
    /// The peer's word has cost us the group again and again, and just now.
    pub is_unsteady: bool,
    /// dead_after and the allowance for drift have passed since the peer's newest beat.
    pub has_drift_passed: bool,
    /// Every release mechanism that the peer announced, at least one, must have fired.
    pub must_have_released: bool,
    /// The peer's watchdog, if it has one, must have fired: nothing runs there any more.
    pub must_have_reset: bool,
    /// Somebody who was not understood was the last one on the cable.
    pub is_estranged: bool,
    /// When it was last heard, the peer said that it cannot serve: nobody there lets go by the ack deadline,
    /// only its kernel.
    pub is_peer_troubled: bool,
    /// The peer's lines say that its box has power.
    pub are_lines_on: bool,
    /// What the witnesses say, given answers to requests after the peer's last frame, or after our newest
    /// acknowledged beat.
    pub witness: WitnessView,
    /// How far the fence is.
    pub fence: Fence,
    /// The operator said that the peer is off.
    pub is_peer_off: bool,
    /// The group's safety rule.
    pub safety: SafetyRule,
    /// Never taken from a peer whose scripts may still run.
    pub is_exclusive: bool,
    /// What to do with a doubtful peer.
    pub in_jeopardy: InJeopardy,
    /// The kernel lifetime of what we hold was not renewed in time.
    pub has_lease_lapsed: bool,
    /// The release for the ack deadline has to start.
    pub is_deadline_due: bool,
    /// The peer is on time and says that it hears us on no path.
    pub is_peer_deaf: bool,
    /// We have served alone for a full lease since the ack deadline.
    pub has_served_alone: bool,
    /// The peer is better off: it has carrier where we have none, or has long seen more witnesses.
    pub is_peer_better_off: bool,
    /// Its scripts fail more often than they may be started again here.
    pub is_unfit: bool,
    /// One of its scripts could not be stopped, and the guard has let the addresses go.
    pub is_stuck: bool,
    /// Our kernel refuses one of its addresses.
    pub is_address_refused: bool,
    /// The peer is on time, able and has carrier.
    pub can_offer: bool,
    /// The peer did not take what we last let go for it: nothing is let go again yet but by our own operator.
    pub is_offer_unused: bool,
    /// How we compare with a peer that claims the group too.
    pub tie: Tie,
    /// What an operator asks.
    pub wish: Wish,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Stay without the group, because of this.
    Wait(Block),
    /// Acquire it.
    Take(TakeReason),
    /// Make certain that the peer holds nothing.
    Fence,
    /// Keep what we have.
    Keep,
    /// Let it go.
    Release(Release),
}

/// How and why a group is let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// What goes first.
    pub first: ReleaseOrder,
    /// Why.
    pub reason: ReleaseReason,
    /// Whether for the peer.
    pub offer: bool,
}

/// The decision for one group.
pub fn decide(role: Role, situation: &Situation) -> Decision {
    match role {
        Role::Backup => backup(situation),
        Role::Acquiring => holder(situation).unwrap_or(Decision::Keep),
        Role::Active => holder(situation).or_else(|| planned(situation)).unwrap_or(Decision::Keep),
        Role::Releasing => Decision::Keep,
        Role::Faulty => Decision::Wait(Block::Faulty),
    }
}

/// What becomes of a group whose first scripts were started before its addresses came: whatever allowed to
/// take it is asked again, since they may take long; `is_ready` says that they run, `is_overdue` that nobody
/// waits any longer. `s` is what a backup sees.
pub fn judge_again(s: &Situation, is_ready: bool, is_overdue: bool) -> Decision {
    let (first, reason) = (ReleaseOrder::ScriptsFirst, ReleaseReason::Overtaken);
    match backup(&Situation { is_our_turn: true, ..*s }) {
        Decision::Take(reason) if is_ready => Decision::Take(reason),
        _ if is_overdue => Decision::Release(Release { first, reason, offer: false }),
        Decision::Wait(block) if is_ready => Decision::Wait(block),
        Decision::Wait(_) | Decision::Take(_) | Decision::Fence | Decision::Keep | Decision::Release(_) => {
            Decision::Keep
        }
    }
}

fn backup(s: &Situation) -> Decision {
    let block = own_block(s);
    match block.map_or_else(|| by_verdict(s), Decision::Wait) {
        Decision::Take(reason) => let_go_at_once(s).map_or(Decision::Take(reason), Decision::Wait),
        other => other,
    }
}

/// What makes a holder let go by the ack deadline must not let a backup take: it would go to and fro.
fn let_go_at_once(s: &Situation) -> Option<Block> {
    if s.is_deadline_due && s.is_peer_deaf {
        Some(Block::Unheard)
    } else if s.is_deadline_due && is_witness_missed(s) {
        Some(Block::WitnessUnseen)
    } else {
        None
    }
}

/// It may be we who are cut off, and we have not served alone for long. A peer that said goodbye is not cut
/// off from us.
fn is_witness_missed(s: &Situation) -> bool {
    s.witness == WitnessView::Unseen && !s.has_served_alone && s.verdict != Verdict::Departed
}

fn by_verdict(s: &Situation) -> Decision {
    if s.is_peer_in_maintenance && !s.is_peer_off {
        return Decision::Wait(Block::PeerMaintenance);
    }
    match s.verdict {
        Verdict::Present if s.is_refused && s.is_peer_off => apart(s, TakeReason::PeerIsOff),
        Verdict::Present if s.is_refused => Decision::Wait(Block::Refused),
        Verdict::Present => beside_peer(s),
        Verdict::Departed if s.finding == Finding::VipAnswers => Decision::Wait(Block::VipAnswers),
        Verdict::Departed if s.is_unsteady => Decision::Wait(Block::Unsteady),
        Verdict::Departed => Decision::Take(TakeReason::Departed),
        Verdict::Dead | Verdict::Doubtful if !s.was_ever_heard => cold_start(s),
        Verdict::Dead | Verdict::Doubtful if s.is_peer_off => apart(s, TakeReason::PeerIsOff),
        Verdict::Dead if s.witness == WitnessView::Unseen => Decision::Wait(Block::WitnessUnseen),
        Verdict::Dead => by_safety_rule(s, TakeReason::Dead),
        Verdict::Doubtful => match (s.in_jeopardy, s.witness) {
            (InJeopardy::Takeover, WitnessView::None | WitnessView::Seen)
            | (InJeopardy::Witness, WitnessView::Seen) => by_safety_rule(s, TakeReason::Jeopardy),
            (InJeopardy::Takeover | InJeopardy::Witness, WitnessView::Unseen) => {
                Decision::Wait(Block::WitnessUnseen)
            }
            (InJeopardy::Witness, WitnessView::None) | (InJeopardy::Hold, _) => {
                Decision::Wait(Block::Jeopardy)
            }
        },
    }
}

/// What forbids us to take anything, whatever the peer does.
fn own_block(s: &Situation) -> Option<Block> {
    let blocks = [
        (s.is_stopping, Block::Stopping),
        (!s.is_able, Block::GuardLost),
        (!s.has_carrier, Block::NoCarrier),
        (s.is_stalled, Block::Stalled),
        (s.is_in_maintenance, Block::Maintenance),
        (s.standby != Standby::No, Block::Standby),
    ];
    blocks.into_iter().find(|(applies, _)| *applies).map(|(_, block)| block)
}

fn beside_peer(s: &Situation) -> Decision {
    match s.claim {
        Claim::Unknown => Decision::Wait(Block::NoReport),
        Claim::Serves => Decision::Wait(Block::PeerServes),
        Claim::Releases => Decision::Wait(Block::PeerReleases),
        // It takes us for dead, or soon will, and would not hear that we serve: what makes a holder let go
        // must not let it take again.
        Claim::Offers | Claim::Free if s.is_peer_deaf => Decision::Wait(Block::Unheard),
        Claim::Offers | Claim::Free if s.is_unsteady => Decision::Wait(Block::Unsteady),
        // Its offer is older than ours, which it has not heard yet.
        Claim::Offers | Claim::Free if s.has_offered => Decision::Wait(Block::JustOffered),
        Claim::Offers => Decision::Take(TakeReason::Offered),
        // Neither of the two claims it, so nobody's turn comes.
        Claim::Free if s.finding == Finding::VipAnswers && !s.can_offer => Decision::Wait(Block::VipAnswers),
        Claim::Free if !s.is_our_turn => Decision::Wait(Block::PeersTurn),
        Claim::Free => beside_answering_peer(s, TakeReason::Vacant),
    }
}

/// Nobody was ever heard: there is no beat from which a lease could be reckoned, only time and the wire.
/// Neither ends scripts, and a node that was restarted while it is cut off hears nobody either: what asks for
/// a fence asks for it here.
fn cold_start(s: &Situation) -> Decision {
    if s.is_peer_off {
        beside_answering_peer(s, TakeReason::PeerIsOff)
    } else if !s.has_listened {
        Decision::Wait(Block::ColdStart)
    } else if s.witness == WitnessView::Unseen {
        Decision::Wait(Block::WitnessUnseen)
    } else if let Some(decision) = by_fence(s) {
        decision
    } else if s.is_exclusive && !is_script_gone(s) {
        Decision::Wait(Block::Exclusive)
    } else {
        beside_answering_peer(s, TakeReason::ColdStart)
    }
}

/// Nothing of the peer's runs any more, scripts included.
fn is_script_gone(s: &Situation) -> bool {
    s.must_have_reset || s.fence == Fence::Confirmed
}

/// The peer's kernel may well answer for its own address; only the VIPs count.
fn beside_answering_peer(s: &Situation, reason: TakeReason) -> Decision {
    match s.finding {
        Finding::Unknown => Decision::Wait(Block::ProbePending),
        Finding::VipAnswers => Decision::Wait(Block::VipAnswers),
        Finding::Impossible if !may_go_unprobed(s) => Decision::Wait(Block::ProbeImpossible),
        Finding::Impossible | Finding::VipLetGo | Finding::PeerAnswers | Finding::Clear => {
            Decision::Take(reason)
        }
    }
}

/// Who else vouches that the peer does not hold the group, where the wire cannot be asked.
fn may_go_unprobed(s: &Situation) -> bool {
    s.is_peer_off || s.fence == Fence::Confirmed || (s.verdict == Verdict::Present && !s.is_refused)
}

/// A silent peer, with the safety rule of the group. A peer whose box has power may hold on, whatever the
/// rule; so may one of whom we only know that it was there, and one whose guard had failed before.
fn by_safety_rule(s: &Situation, reason: TakeReason) -> Decision {
    if !s.has_drift_passed {
        return Decision::Wait(Block::Drift);
    }
    if let Some(decision) = by_fence(s) {
        return decision;
    }
    let may_hold_on = s.are_lines_on || s.is_estranged || s.is_peer_troubled;
    let waits_for_lease = may_hold_on || s.safety != SafetyRule::Probe;
    if waits_for_lease && !is_let_go(s) {
        Decision::Wait(Block::Lease)
    } else if s.is_exclusive && !is_script_gone(s) {
        Decision::Wait(Block::Exclusive)
    } else {
        apart(s, reason)
    }
}

/// Whatever the peer held, it holds no longer: time has made certain of that, or a fence.
fn is_let_go(s: &Situation) -> bool {
    s.must_have_released || s.fence == Fence::Confirmed
}

/// What the fence rule has to do or to wait for, if it applies and is not done.
fn by_fence(s: &Situation) -> Option<Decision> {
    match (s.safety, s.fence) {
        (SafetyRule::Probe | SafetyRule::Lease, _) | (SafetyRule::Fence, Fence::Confirmed) => None,
        (SafetyRule::Fence, Fence::Untried) => Some(Decision::Fence),
        (SafetyRule::Fence, Fence::Pending) => Some(Decision::Wait(Block::FencePending)),
        (SafetyRule::Fence, Fence::Failed) => Some(Decision::Wait(Block::FenceFailed)),
    }
}

/// A peer that should be gone: where its own address still answers, its box lives, and may hold what does not
/// answer.
fn apart(s: &Situation, reason: TakeReason) -> Decision {
    match s.finding {
        Finding::Unknown => Decision::Wait(Block::ProbePending),
        Finding::VipAnswers => Decision::Wait(Block::VipAnswers),
        Finding::PeerAnswers if !is_let_go(s) => Decision::Wait(Block::PeerAnswers),
        Finding::Impossible if !may_go_unprobed(s) => Decision::Wait(Block::ProbeImpossible),
        Finding::Impossible | Finding::PeerAnswers | Finding::VipLetGo | Finding::Clear => {
            Decision::Take(reason)
        }
    }
}

/// What makes a holder let go, whether it serves already or is about to.
fn holder(s: &Situation) -> Option<Decision> {
    let forced = |reason| {
        Some(Decision::Release(Release { first: ReleaseOrder::AddressesFirst, reason, offer: false }))
    };
    if s.has_lease_lapsed {
        return forced(ReleaseReason::LeaseLapsed);
    }
    if s.is_stuck {
        return forced(ReleaseReason::ScriptFailed);
    }
    if s.tie == Tie::TheyWin {
        return forced(ReleaseReason::LostTie);
    }
    if s.is_deadline_due && !s.has_carrier {
        return forced(ReleaseReason::NoCarrier);
    }
    if s.is_deadline_due && s.is_peer_deaf {
        return forced(ReleaseReason::UnheardByPeer);
    }
    if s.is_deadline_due && is_witness_missed(s) {
        return forced(ReleaseReason::WitnessUnseen);
    }
    let first = ReleaseOrder::ScriptsFirst;
    let stopping =
        Release { first, reason: ReleaseReason::Stopping, offer: s.can_offer && !s.is_in_maintenance };
    s.is_stopping.then_some(Decision::Release(stopping))
}

/// What makes a node that serves hand over in good order.
fn planned(s: &Situation) -> Option<Decision> {
    if s.is_in_maintenance {
        return None;
    }
    let reason = match (s.standby, s.wish) {
        (Standby::Asked | Standby::Forced, _) => Some(ReleaseReason::Standby),
        (Standby::No, Wish::Handover) => Some(ReleaseReason::Handover),
        (Standby::No, Wish::PeerWants | Wish::None) if s.is_offer_unused => None,
        (Standby::No, Wish::PeerWants) => Some(ReleaseReason::PeerWants),
        (Standby::No, Wish::None) if s.is_unfit => Some(ReleaseReason::ScriptFailed),
        (Standby::No, Wish::None) if s.is_address_refused => Some(ReleaseReason::AddressRefused),
        (Standby::No, Wish::None) => s.is_peer_better_off.then_some(ReleaseReason::WorseOff),
    };
    let first = ReleaseOrder::ScriptsFirst;
    let may_go = s.can_offer || s.standby == Standby::Forced;
    reason.filter(|_| may_go).map(|reason| Decision::Release(Release { first, reason, offer: s.can_offer }))
}
