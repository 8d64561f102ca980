//! What goes from one node to the other in good order: a handover, what nobody holds, a failback, and the end
//! of a standby that both operators have asked for.

use super::facts::{Claim, Decision, OwnFacts, Release, Situation, Standby, Wish};
use crate::pair::Role;
use crate::reasons::{Block, ReleaseReason};
use crate::resource::ReleaseOrder;
use crate::time::{Instant, Span};

/// What makes a node that serves hand over in good order.
pub fn hand_over(s: &Situation) -> Option<Decision> {
    if s.is_in_maintenance() {
        return None;
    }
    let is_offer_unused = !s.clock.is_past(s.clock.offer_unused_until);
    let reason = match (s.own.standby, s.own.wish) {
        (Standby::Asked | Standby::Forced, _) => Some(ReleaseReason::Standby),
        (Standby::No, Wish::Handover) => Some(ReleaseReason::Handover),
        (Standby::No, Wish::PeerWants | Wish::None) if is_offer_unused => None,
        (Standby::No, Wish::PeerWants) => Some(ReleaseReason::PeerWants),
        (Standby::No, Wish::None) if s.own.is_unfit => Some(ReleaseReason::ScriptFailed),
        (Standby::No, Wish::None) if s.own.is_address_refused => Some(ReleaseReason::AddressRefused),
        (Standby::No, Wish::None) if s.clock.is_past(s.clock.cut_off_at) => Some(ReleaseReason::CutOff),
        (Standby::No, Wish::None) if s.clock.is_past(s.clock.dark_at) => Some(ReleaseReason::WorseOff),
        (Standby::No, Wish::None) => s.clock.is_past(s.clock.outseen_at).then_some(ReleaseReason::Outseen),
    };
    let (first, offer) = (ReleaseOrder::ScriptsFirst, s.could_peer_take());
    let may_go = offer || s.own.standby == Standby::Forced;
    reason.filter(|_| may_go).map(|reason| Decision::Release(Release { first, reason, offer }))
}

/// Whether we may take what nobody holds. Only a node may whose claim the peer has acknowledged: what the
/// peer said with that is what it knew then, and from then on it does not go before us unless it is the
/// first. If both claim the group, the first one takes it: the preferred node, else the one with the lower
/// name, and by name alone where the files differ. Time only gives the first one its turn; it makes nothing
/// safe. The second one claims the group when it has waited for the first, and takes it two beats later.
///
/// # Errors
///
/// The wait for our turn.
pub fn our_turn_has_come(s: &Situation) -> Result<(), Decision> {
    if !is_next(s) {
        return s.clock.reach(s.clock.second_at, Block::PeersTurn);
    }
    if !s.own.is_claim_heard {
        return Err(Decision::wait(Block::PeersTurn));
    }
    if s.own.goes_first {
        return Ok(());
    }
    if s.peer.does_want {
        return Err(Decision::wait(Block::PeersTurn));
    }
    // A peer that cannot serve claims nothing: it needs no time for its turn.
    if s.peer.is_troubled { Ok(()) } else { s.clock.reach(s.clock.claimed_at, Block::PeersTurn) }
}

/// Nobody goes before us.
fn is_next(s: &Situation) -> bool {
    s.own.goes_first || s.clock.is_past(s.clock.second_at) || !s.peer.is_able
}

/// The same situation, as if our turn had come.
pub(super) fn in_turn(s: Situation) -> Situation {
    Situation { own: OwnFacts { goes_first: true, is_claim_heard: true, ..s.own }, ..s }
}

/// Carrier and guard are there, and we are not about to stop.
pub(super) fn can_take_at_all(s: &Situation) -> bool {
    s.own.has_carrier && !s.own.is_stopping && s.own.is_able
}

/// Nobody holds the group, and nobody goes before us.
pub(super) fn is_free_for_us(s: &Situation) -> bool {
    s.peer.claim == Claim::Free
        && s.clock.is_past(s.clock.offered_until)
        && s.clock.is_past(s.clock.unsteady_until)
        && can_take_at_all(s)
        && !s.is_restrained()
        && is_next(s)
}

/// Whether we say that we would take what nobody holds. It is taken once the peer has heard that. A node that
/// could not hold it leaves it to a peer that could.
pub fn claims(role: Role, s: &Situation) -> bool {
    let is_better_there = s.own.is_address_refused || s.own.is_cut_off;
    // One that is not ready for it goes second, and serves what the peer does not take in its turn.
    let is_second = !s.own.is_ready && !s.clock.is_past(s.clock.second_at);
    let is_left_to_peer = (is_better_there || is_second) && s.peer.is_able;
    role == Role::Backup && is_free_for_us(s) && s.clock.is_past(s.clock.judged_at) && !is_left_to_peer
}

/// Whether the preferred node asks for its group back: when it has been well for long enough. A group that an
/// operator has moved stays where it is, until this node has been away or has it back. One that is not ready
/// tells the peer that instead.
pub fn asks_back(role: Role, s: &Situation) -> bool {
    role == Role::Backup
        && s.clock.is_past(s.clock.failback_at)
        && s.peer.claim == Claim::Serves
        && !s.own.is_given_away
        && !s.own.is_cut_off
        && !s.peer.is_file_different
        && !s.own.is_stopping
        && !s.is_restrained()
        && !s.is_peer_in_maintenance()
}

/// Two standbys, each asked for by the operator of its node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standbys {
    /// Ours.
    pub standby: Standby,
    /// We have the lower name.
    pub is_lower: bool,
    /// Some path hears the peer on time.
    pub is_on_time: bool,
    /// When ours was asked for, in this run.
    pub asked_at: Option<Instant>,
    /// Since when the peer has said that it is in standby.
    pub theirs_since: Option<Instant>,
    /// When the newest beat of ours left that the peer has acknowledged.
    pub acked_at: Option<Instant>,
    /// Two standbys that were asked for within this time of each other have crossed.
    pub late_after: Span,
}

/// Whether this node comes back from standby. If both nodes were put into standby at the same instant, the
/// one with the lower name comes back, since otherwise nobody would serve. A node that was forced stays: the
/// operator said so. And an operator who puts the second node into standby knowing of the first one means it.
pub fn yields_standby(s: &Standbys) -> bool {
    let (Some(ours), Some(theirs)) = (s.asked_at, s.theirs_since) else { return false };
    let did_know = s.acked_at.is_some_and(|acked| acked >= ours);
    let have_crossed = !did_know || theirs < ours + s.late_after;
    s.standby == Standby::Asked && s.is_lower && s.is_on_time && have_crossed
}
