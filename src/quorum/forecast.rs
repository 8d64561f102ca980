//! What one more fault would come to, by what is known now: for who asks. Nothing is decided by it; it asks
//! the decision.
//!
//! A loss leaves one node, or both, beside silence. Their situations are the present ones with what that
//! silence changes, and [`decide`] says what they would do. Where the present evidence
//! does not tell, nothing is promised.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::decide::{Claim, Decision, Situation, Tie, Wish, decide};
use super::verdict::Testimony;
use crate::config::{MAX_GROUPS, MAX_PATHS};
use crate::health::{LineReading, PathState};
use crate::pair::{PathId, Role, Side};
use crate::reasons::{Block, ReleaseReason};
use crate::time::Span;

/// As many as there can be: each path, each box, the witnesses.
pub const MAX_FORECASTS: usize = MAX_PATHS + 3;

/// One more fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NextFault {
    /// Nothing gets through on this path any more; link lights stay on.
    Path(PathId),
    /// The box of this side loses its power.
    Power(Side),
    /// No witness answers anybody any more.
    Witness,
}

/// What becomes of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Prospect {
    /// Who serves it goes on.
    ServedOn,
    /// The other node serves its addresses after so long at most.
    TakenOver(Span),
    /// The other node takes it once a fence is confirmed.
    TakenOnceFenced,
    /// The other node does not take it by itself, because of this.
    NotTaken(Block),
    /// The other node is away, or says that it could not serve it.
    NotAble,
    /// Who serves it lets it go, and the other one does not take it.
    LetGo(ReleaseReason),
    /// Both may serve it: neither can know of the other.
    MayBeServedTwice,
    /// What is known now does not tell.
    Unknown,
}

impl Prospect {
    /// Somebody serves it by itself, and nobody else does.
    pub const fn is_good(self) -> bool {
        match self {
            Self::ServedOn | Self::TakenOver(_) | Self::TakenOnceFenced => true,
            Self::NotTaken(_) | Self::NotAble | Self::LetGo(_) | Self::MayBeServedTwice | Self::Unknown => {
                false
            }
        }
    }
}

/// What a fault would come to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Forecast {
    /// The fault.
    pub loss: NextFault,
    /// By group, what becomes of it.
    pub groups: Vec<Prospect, MAX_GROUPS>,
    /// By group, what becomes of it when the box that serves it loses its power after that; none where the
    /// fault is such a loss, or the nodes do not hear each other after it.
    pub then: Vec<Prospect, MAX_GROUPS>,
}

/// How long after the last frame what is certain of a silent peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// Its silence may be believed.
    pub silent: Span,
    /// Its release mechanisms have fired, if it has any.
    pub released: Option<Span>,
    /// Its watchdog has fired, if it has one.
    pub reset: Option<Span>,
}

/// What a path says once nothing is heard on it, or on any.
pub(super) fn silenced(testimony: Testimony, is_lost_before: bool) -> Testimony {
    let was_heard = testimony.state.is_heard();
    let state = match testimony.state {
        PathState::OnTime | PathState::Late if is_lost_before => PathState::Broken,
        PathState::OnTime | PathState::Late => PathState::Silent,
        PathState::Silent => PathState::Broken,
        state @ (PathState::Unproven
        | PathState::Broken
        | PathState::Noisy
        | PathState::Refused
        | PathState::Blind) => state,
    };
    let has_lines = matches!(testimony.lines, LineReading::Running { .. });
    Testimony { state, is_cut_short: was_heard && has_lines && !is_lost_before, ..testimony }
}

/// A situation with what follows from silence alone.
pub(super) fn in_silence(situation: Situation) -> Situation {
    Situation {
        is_refused: false,
        claim: Claim::Unknown,
        is_stalled: false,
        has_drift_passed: true,
        is_estranged: false,
        are_lines_on: false,
        is_peer_off: false,
        has_lease_lapsed: false,
        is_deadline_due: true,
        is_peer_deaf: false,
        can_offer: false,
        tie: Tie::None,
        wish: Wish::None,
        ..situation
    }
}

/// What a node that stands by does in this situation, as time makes certain what it says.
pub(super) fn taken(situation: Situation, waits: Waits) -> Prospect {
    let steps =
        [(Some(waits.silent), false, false), (waits.released, true, false), (waits.reset, true, true)];
    let (mut longest, mut prospect) = (Span::ZERO, Prospect::Unknown);
    for (wait, must_have_released, must_have_reset) in steps {
        let Some(wait) = wait else { continue };
        longest = longest.max(wait);
        match decide(Role::Backup, &Situation { must_have_released, must_have_reset, ..situation }) {
            Decision::Take(_) => return Prospect::TakenOver(longest),
            Decision::Fence => return Prospect::TakenOnceFenced,
            Decision::Wait(block) => prospect = Prospect::NotTaken(block),
            Decision::Keep | Decision::Release(_) => {}
        }
    }
    prospect
}

/// What a node that serves does in this situation.
pub(super) fn kept(situation: Situation) -> Prospect {
    match decide(Role::Active, &situation) {
        Decision::Release(release) => Prospect::LetGo(release.reason),
        Decision::Wait(_) | Decision::Take(_) | Decision::Fence | Decision::Keep => Prospect::ServedOn,
    }
}

/// What both do comes to, where neither hears the other and both live. Who holds answers a probe, if the wire
/// that is probed is not the one that failed.
pub(super) fn parted(kept: Prospect, taken: Prospect) -> Prospect {
    match (kept, taken) {
        (Prospect::LetGo(_), Prospect::TakenOver(after)) => Prospect::TakenOver(after),
        (Prospect::ServedOn, Prospect::TakenOver(_)) => Prospect::MayBeServedTwice,
        (_, Prospect::TakenOnceFenced) => Prospect::TakenOnceFenced,
        (kept, _) => kept,
    }
}
