//! When does a backup take a group over? And if it does not: why not, and until when?
//!
//! Read from the top: `take` asks the questions in their order, what is unsafe first, and each function
//! below answers one of them. A rule that says no ends the reading with what is done instead: a
//! [`Wait`] with its reason and its end, or a fence.

use super::facts::{Claim, Decision, Fence, PeerFacts, Release, Situation, Standby, Wait, WireFacts};
use super::moves;
use super::probe::Finding;
use crate::config::{InJeopardy, SafetyRule};
use crate::health::{NeighbourView, WitnessView};
use crate::pair::Role;
use crate::reasons::{Block, ReleaseReason, TakeReason, Verdict};
use crate::resource::ReleaseOrder;
use crate::time::Instant;
use crate::vote::VoteView;

/// What a backup does.
pub fn backup(s: &Situation) -> Decision {
    match take(s) {
        Ok(reason) => Decision::Take(reason),
        Err(instead) => instead,
    }
}

/// The reason to take the group; or what is done instead.
fn take(s: &Situation) -> Result<TakeReason, Decision> {
    nothing_here_forbids_it(s)?;
    if !s.peer.is_off {
        s.clock.reach(s.clock.peer_maintained_until, Block::PeerMaintenance)?;
    }
    let reason = match s.peer.verdict {
        Verdict::Present => beside_peer(s)?,
        Verdict::Unintelligible if s.peer.is_off => wire_is_clear_of_peer(s, TakeReason::PeerIsOff)?,
        Verdict::Unintelligible => return Err(Decision::wait(Block::Refused)),
        Verdict::Departed => after_goodbye(s)?,
        Verdict::Dead | Verdict::Doubtful if !s.peer.was_ever_heard => never_heard(s)?,
        Verdict::Dead | Verdict::Doubtful if s.peer.is_off => {
            wire_is_clear_of_peer(s, TakeReason::PeerIsOff)?
        }
        Verdict::Dead => from_dead_peer(s)?,
        Verdict::Doubtful => from_doubtful_peer(s)?,
    };
    nothing_would_make_a_holder_let_go(s)?;
    Ok(reason)
}

/// What forbids us to take anything, whatever the peer does.
fn nothing_here_forbids_it(s: &Situation) -> Result<(), Decision> {
    if s.own.is_stopping {
        return Err(Decision::wait(Block::Stopping));
    }
    if !s.own.is_able {
        return Err(Decision::wait(Block::GuardLost));
    }
    if !s.own.has_carrier {
        return Err(Decision::wait(Block::NoCarrier));
    }
    s.clock.reach(s.clock.judged_at, Block::Stalled)?;
    s.clock.reach(s.clock.maintained_until, Block::Maintenance)?;
    match s.own.standby {
        Standby::No => Ok(()),
        Standby::Asked | Standby::Forced => Err(Decision::wait(Block::Standby)),
    }
}

/// A goodbye: the peer released everything and left. Its word costs no time.
fn after_goodbye(s: &Situation) -> Result<TakeReason, Decision> {
    if s.wire.finding == Finding::VipAnswers {
        return Err(Decision::wait(Block::VipAnswers));
    }
    s.clock.reach(s.clock.unsteady_until, Block::Unsteady)?;
    Ok(TakeReason::Departed)
}

/// A dead peer: the safety rule of the group decides. Where a witness is configured, we have to see it.
fn from_dead_peer(s: &Situation) -> Result<TakeReason, Decision> {
    let reason = by_vote(s)?.unwrap_or(TakeReason::Dead);
    if s.wire.witness == WitnessView::Unseen {
        return Err(Decision::wait(Block::WitnessUnseen));
    }
    it_is_not_we_who_are_cut_off(s)?;
    by_safety_rule(s, reason)
}

/// Where a voting witness counts, it has to grant the group. Then it does not matter how certain the silence
/// is: the peer lets go of what it is not granted. Who answers for an address of the group is named first.
fn by_vote(s: &Situation) -> Result<Option<TakeReason>, Decision> {
    match s.wire.vote {
        VoteView::NotNeeded => Ok(None),
        VoteView::Granted => Ok(Some(TakeReason::Granted)),
        VoteView::Missing | VoteView::Elsewhere if s.wire.finding == Finding::VipAnswers => {
            Err(Decision::wait(Block::VipAnswers))
        }
        VoteView::Missing => Err(Decision::wait(Block::NotGranted)),
        VoteView::Elsewhere => Err(Decision::wait(Block::GrantedToPeer)),
    }
}

/// The operator's word replaces a witness that is silent, and no witness that says that the peer serves.
fn it_is_not_granted_to_peer(s: &Situation) -> Result<(), Decision> {
    match s.wire.vote {
        VoteView::NotNeeded | VoteView::Granted | VoteView::Missing => Ok(()),
        VoteView::Elsewhere => Err(Decision::wait(Block::GrantedToPeer)),
    }
}

/// Where neighbours were ever heard on the group's interfaces, one of them has answered since the peer fell
/// silent. Who answers for an address of the group is no neighbour, and is named first.
fn it_is_not_we_who_are_cut_off(s: &Situation) -> Result<(), Decision> {
    if s.wire.finding == Finding::VipAnswers {
        return Err(Decision::wait(Block::VipAnswers));
    }
    match s.wire.neighbours {
        NeighbourView::Unknown => Ok(()),
        NeighbourView::Proven => s.clock.reach(s.clock.back_at, Block::CutOff),
        NeighbourView::Unproven | NeighbourView::CutOff => Err(Decision::wait(Block::CutOff)),
    }
}

/// A doubtful peer: the voting witness has to grant the group; where none counts, `in_jeopardy` has to allow
/// it.
fn from_doubtful_peer(s: &Situation) -> Result<TakeReason, Decision> {
    if by_vote(s)?.is_some() {
        return from_dead_peer(s);
    }
    doubt_is_allowed(s)?;
    it_is_not_we_who_are_cut_off(s)?;
    by_safety_rule(s, TakeReason::Jeopardy)
}

/// `in_jeopardy` allows to take from a peer whose silence proves nothing.
fn doubt_is_allowed(s: &Situation) -> Result<(), Decision> {
    match (s.rule.in_jeopardy, s.wire.witness) {
        (InJeopardy::Hold, _) | (InJeopardy::Witness, WitnessView::None) => {
            Err(Decision::wait(Block::Jeopardy))
        }
        (InJeopardy::Takeover | InJeopardy::Witness | InJeopardy::Neighbours, WitnessView::Unseen) => {
            Err(Decision::wait(Block::WitnessUnseen))
        }
        (InJeopardy::Neighbours, WitnessView::None | WitnessView::Seen)
            if s.wire.neighbours == NeighbourView::Unknown =>
        {
            Err(Decision::wait(Block::Jeopardy))
        }
        (InJeopardy::Takeover | InJeopardy::Neighbours, WitnessView::None | WitnessView::Seen)
        | (InJeopardy::Witness, WitnessView::Seen) => Ok(()),
    }
}

/// A silent peer, with the safety rule of the group. A peer whose box has power may hold on, whatever the
/// rule. So may one whose last frames could not be understood, one that last said that its guard fails, and
/// one that the voting witness has granted something since.
fn by_safety_rule(s: &Situation, reason: TakeReason) -> Result<TakeReason, Decision> {
    s.clock.reach(s.clock.silent_at, Block::Drift)?;
    fence_is_done(s)?;
    // What the wire shows of addresses outweighs what the peer has said, and its lines. Of scripts it shows
    // nothing.
    let is_shown_gone = s.wire.finding == Finding::VipLetGo && !s.rule.has_scripts;
    let is_unsure = s.peer.is_estranged || s.peer.was_granted_since;
    let may_hold_on = is_unsure || !is_shown_gone && (s.peer.are_lines_on || s.peer.is_troubled);
    let waits_for_lease = may_hold_on || s.rule.safety != SafetyRule::Probe;
    if waits_for_lease {
        peer_has_let_go(s, Block::Lease)?;
    }
    no_script_runs_there(s)?;
    wire_is_clear_of_peer(s, reason)
}

/// Nobody was ever heard: there is no beat from which a lease could be reckoned, only time and the wire.
/// Neither ends a script, and a node that was restarted while it is cut off hears nobody either: what asks
/// for a fence asks for it here. An agent in the place of another knows by its paths whether that one was in
/// doubt of the peer, and then waiting ends no doubt.
fn never_heard(s: &Situation) -> Result<TakeReason, Decision> {
    if s.peer.is_off {
        it_is_not_granted_to_peer(s)?;
        return wire_is_clear(s, TakeReason::PeerIsOff);
    }
    s.clock.reach(s.clock.listened_at, Block::ColdStart)?;
    let is_granted = by_vote(s)?.is_some();
    if s.peer.was_known && s.peer.verdict == Verdict::Doubtful && !is_granted {
        doubt_is_allowed(s)?;
    }
    if s.wire.witness == WitnessView::Unseen {
        return Err(Decision::wait(Block::WitnessUnseen));
    }
    it_is_not_we_who_are_cut_off(s)?;
    fence_is_done(s)?;
    no_script_runs_there(s)?;
    wire_is_clear(s, TakeReason::ColdStart)
}

/// A peer that is heard, and what it says of the group.
fn beside_peer(s: &Situation) -> Result<TakeReason, Decision> {
    match s.peer.claim {
        Claim::Unknown => return Err(Decision::wait(Block::NoReport)),
        Claim::Serves => return Err(Decision::wait(Block::PeerServes)),
        Claim::Releases => return Err(Decision::wait(Block::PeerReleases)),
        Claim::Offers | Claim::Free => {}
    }
    // It takes us for dead, or soon will, and would not hear that we serve: what makes a holder let go must
    // not let it take again.
    if s.peer.is_deaf {
        return Err(Decision::wait(Block::Unheard));
    }
    s.clock.reach(s.clock.unsteady_until, Block::Unsteady)?;
    // Its offer is older than ours, which it has not heard yet.
    s.clock.reach(s.clock.offered_until, Block::JustOffered)?;
    if s.peer.claim == Claim::Offers {
        return Ok(TakeReason::Offered);
    }
    // A stranger answers, and the peer could not take the group either: the stranger is named instead of a
    // turn that never comes.
    if s.wire.finding == Finding::VipAnswers && !s.could_peer_take() {
        return Err(Decision::wait(Block::VipAnswers));
    }
    moves::our_turn_has_come(s)?;
    wire_is_clear(s, TakeReason::Vacant)
}

/// The fence is confirmed, where the group asks for one.
fn fence_is_done(s: &Situation) -> Result<(), Decision> {
    match (s.rule.safety, s.peer.fence) {
        (SafetyRule::Probe | SafetyRule::Lease, _) | (SafetyRule::Fence, Fence::Confirmed) => Ok(()),
        (SafetyRule::Fence, Fence::Untried) => Err(Decision::Fence),
        (SafetyRule::Fence, Fence::Pending) => Err(Decision::wait(Block::FencePending)),
        (SafetyRule::Fence, Fence::Failed) => {
            Err(Decision::Wait(Wait { block: Block::FenceFailed, until: s.clock.fence_again_at }))
        }
    }
}

/// The peer holds nothing any more: a fence has made certain of that, or its time is over.
fn peer_has_let_go(s: &Situation, block: Block) -> Result<(), Decision> {
    if s.peer.fence == Fence::Confirmed { Ok(()) } else { s.clock.reach(s.clock.released_at, block) }
}

/// Where the group is exclusive: nothing of the peer's runs any more, scripts included.
fn no_script_runs_there(s: &Situation) -> Result<(), Decision> {
    if !s.rule.is_exclusive || s.peer.fence == Fence::Confirmed {
        return Ok(());
    }
    s.clock.reach(s.clock.reset_at, Block::Exclusive)
}

/// The wire, beside a peer that should be gone: where its own address still answers, its box lives, and may
/// hold what does not answer.
fn wire_is_clear_of_peer(s: &Situation, reason: TakeReason) -> Result<TakeReason, Decision> {
    it_is_not_granted_to_peer(s)?;
    if s.wire.finding == Finding::PeerAnswers {
        peer_has_let_go(s, Block::PeerAnswers)?;
    }
    wire_is_clear(s, reason)
}

/// The wire. The peer's kernel may well answer for its own address; only the VIPs count.
fn wire_is_clear(s: &Situation, reason: TakeReason) -> Result<TakeReason, Decision> {
    match s.wire.finding {
        Finding::Unknown => Err(Decision::wait(Block::ProbePending)),
        Finding::VipAnswers => Err(Decision::wait(Block::VipAnswers)),
        Finding::Impossible if !may_go_unprobed(s) => Err(Decision::wait(Block::ProbeImpossible)),
        Finding::Impossible | Finding::VipLetGo | Finding::PeerAnswers | Finding::Clear => Ok(reason),
    }
}

/// Who else vouches that the peer does not hold the group, where the wire cannot be asked.
fn may_go_unprobed(s: &Situation) -> bool {
    s.peer.is_off || s.peer.fence == Fence::Confirmed || s.peer.verdict == Verdict::Present
}

/// What makes a holder let go by the ack deadline must not let a backup take: it would go to and fro.
fn nothing_would_make_a_holder_let_go(s: &Situation) -> Result<(), Decision> {
    if is_ungranted(s) && !s.peer.is_off {
        return Err(Decision::wait(Block::NotGranted));
    }
    if !s.clock.is_past(s.clock.deadline_at) {
        return Ok(());
    }
    if is_unheard(s) {
        return Err(Decision::wait(Block::Unheard));
    }
    if is_witness_missed(s) {
        return Err(Decision::wait(Block::WitnessUnseen));
    }
    if is_silenced(s) {
        return Err(Decision::wait(Block::CutOff));
    }
    Ok(())
}

/// The peer says that it hears us on no path, so it will take over; not from who has a grant.
pub(super) fn is_unheard(s: &Situation) -> bool {
    s.peer.is_deaf && s.wire.vote != VoteView::Granted
}

/// A grant is needed by now, and not there.
pub(super) fn is_ungranted(s: &Situation) -> bool {
    let is_missing = match s.wire.vote {
        VoteView::NotNeeded | VoteView::Granted => false,
        VoteView::Missing | VoteView::Elsewhere => true,
    };
    is_missing && s.clock.is_past(s.clock.grant_needed_at)
}

/// Whether a backup asks the voting witness for the group: from late_after of silence on, if it would take it
/// once it is granted, or waits for what is under way. Beside a peer that is on time, only what nobody holds
/// and a holder would need a grant for: acknowledgements come by a slow path, and the fast one is down.
pub fn claims_grant(role: Role, s: &Situation) -> bool {
    let is_cold = !s.peer.was_ever_heard;
    if role != Role::Backup || (is_cold && !s.clock.is_past(s.clock.listening_asks_at)) {
        return false;
    }
    if s.peer.is_on_time {
        let granted = Situation { wire: WireFacts { vote: VoteView::Granted, ..s.wire }, ..*s };
        return is_ungranted(s) && matches!(backup(&granted), Decision::Take(_));
    }
    // A path that is late only will be silent by the time that matters.
    let verdict = if s.peer.verdict == Verdict::Present { Verdict::Dead } else { s.peer.verdict };
    let granted = Situation {
        peer: PeerFacts { verdict, ..s.peer },
        wire: WireFacts { vote: VoteView::Granted, ..s.wire },
        ..*s
    };
    match backup(&granted) {
        Decision::Take(_) | Decision::Fence => true,
        Decision::Wait(wait) => match wait.block {
            Block::ProbePending | Block::FencePending => true,
            Block::Drift
            | Block::Lease
            | Block::Exclusive
            | Block::PeerAnswers
            | Block::Stalled
            | Block::ColdStart
            | Block::CutOff
            | Block::Unsteady => wait.until < Instant::NEVER,
            Block::PeerServes
            | Block::PeerReleases
            | Block::NoReport
            | Block::PeersTurn
            | Block::JustOffered
            | Block::Unheard
            | Block::Stopping
            | Block::GuardLost
            | Block::NoCarrier
            | Block::Refused
            | Block::Jeopardy
            | Block::VipAnswers
            | Block::ProbeImpossible
            | Block::WitnessUnseen
            | Block::NotGranted
            | Block::GrantedToPeer
            | Block::FenceFailed
            | Block::Faulty
            | Block::Standby
            | Block::Maintenance
            | Block::PeerMaintenance => false,
        },
        Decision::Keep | Decision::Renew | Decision::Hurry | Decision::Release(_) => false,
    }
}

/// It may be we who are cut off, and we have not served alone for long. A peer that said goodbye is not cut
/// off from us.
pub(super) fn is_witness_missed(s: &Situation) -> bool {
    let has_served_alone = s.clock.is_past(s.clock.alone_at);
    s.wire.witness == WitnessView::Unseen && !has_served_alone && s.peer.verdict != Verdict::Departed
}

/// It is we who are cut off, and we have not served alone for long: no neighbour answers. A peer that is on
/// time and does not call itself deaf hears us, if by a slow path alone. After a stall the questions have to
/// be asked anew.
pub(super) fn is_silenced(s: &Situation) -> bool {
    let has_served_alone = s.clock.is_past(s.clock.alone_at);
    match s.wire.neighbours {
        NeighbourView::CutOff | NeighbourView::Unproven => {
            let is_unheard = !s.peer.is_on_time && s.peer.verdict != Verdict::Departed;
            s.clock.is_past(s.clock.judged_at) && is_unheard && !has_served_alone
        }
        NeighbourView::Unknown | NeighbourView::Proven => false,
    }
}

/// What becomes of a group whose first scripts were started before its addresses came: whatever allowed to
/// take it is asked again, since they may take long; `is_ready` says that they run, `is_overdue` that nobody
/// waits any longer. `s` is what a backup sees.
pub fn take_prepared(s: &Situation, is_ready: bool, is_overdue: bool) -> Decision {
    let (first, reason) = (ReleaseOrder::ScriptsFirst, ReleaseReason::Overtaken);
    match backup(&moves::in_turn(*s)) {
        Decision::Take(reason) if is_ready => Decision::Take(reason),
        _ if is_overdue => Decision::Release(Release { first, reason, offer: false }),
        Decision::Wait(wait) if is_ready => Decision::Wait(wait),
        Decision::Wait(_)
        | Decision::Take(_)
        | Decision::Fence
        | Decision::Keep
        | Decision::Renew
        | Decision::Hurry
        | Decision::Release(_) => Decision::Keep,
    }
}

/// Whether the wire is asked who holds the group: as soon as a takeover may come, so that the answer costs no
/// time. `is_preparing`: its first scripts run, and its addresses have still to come.
pub fn asks_the_wire(role: Role, s: &Situation, is_preparing: bool) -> bool {
    if is_preparing {
        return s.own.has_carrier && s.own.is_able;
    }
    if role != Role::Backup || !moves::can_take_at_all(s) {
        return false;
    }
    let was_heard = s.peer.was_ever_heard;
    let is_falling_silent = was_heard && (!s.peer.is_on_time || s.peer.is_cut_short);
    let is_unheard = s.peer.verdict == Verdict::Unintelligible || is_falling_silent;
    if s.is_restrained() {
        // Nothing is taken, but whoever asks for the status wants to know whether a peer that nobody hears
        // serves.
        return is_unheard || !was_heard;
    }
    moves::is_free_for_us(s)
        || is_unheard
        || (s.peer.is_troubled && matches!(s.peer.claim, Claim::Serves | Claim::Releases))
        || s.peer.is_off
        || (!was_heard && s.clock.is_past(s.clock.listening_asks_at))
}
