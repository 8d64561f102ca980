//! What one more fault would lead to, as far as is known now. It is only shown, nothing is decided by it: it
//! asks the decision itself.
//!
//! After a loss one node, or both, hear nothing. The situation of each is the present one with what that
//! silence changes. [`decide`] then says what the node would do, and what it would wait for. Where the
//! present evidence is not enough, nothing is promised.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::decide::decide;
use super::facts::{Claim, Clock, Decision, OwnFacts, PeerFacts, Situation, Tie, Wait, Wish};
use super::verdict::Testimony;
use crate::config::{MAX_GROUPS, MAX_PATHS};
use crate::health::{LineReading, PathState};
use crate::pair::{PathId, Role, Side};
use crate::reasons::{Block, ReleaseReason};
use crate::time::{Instant, Span};

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
    /// The node that serves it goes on.
    ServedOn,
    /// The other node serves its addresses after so long at most.
    TakenOver(Span),
    /// The other node takes it once a fence is confirmed.
    TakenOnceFenced,
    /// The other node does not take it by itself, because of this.
    NotTaken(Block),
    /// The other node is away, or says that it could not serve it.
    NotAble,
    /// The node that serves it lets it go, and the other one does not take it.
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

/// Silence, release mechanisms, watchdog, and the decision after them.
const MOST_WAITS: usize = 4;

/// How long after the last frame of a silent peer each of these is certain.
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

/// A situation with what follows from silence alone: the ack deadline has passed, and nothing that the peer
/// said counts any more.
pub(super) fn in_silence(s: Situation) -> Situation {
    Situation {
        peer: PeerFacts {
            claim: Claim::Unknown,
            is_on_time: false,
            is_deaf: false,
            tie: Tie::None,
            is_estranged: false,
            are_lines_on: false,
            is_off: false,
            ..s.peer
        },
        own: OwnFacts { wish: Wish::None, ..s.own },
        clock: Clock {
            judged_at: Instant::ORIGIN,
            lease_until: Instant::NEVER,
            deadline_at: Instant::ORIGIN,
            grant_needed_at: Instant::ORIGIN,
            ..s.clock
        },
        ..s
    }
}

/// What a node that stands by does in this situation, which begins with the peer's last frame. It waits for
/// what silence makes certain in time, as the decision says. Whatever else keeps it has nothing to do with
/// the fault.
pub(super) fn taken(mut s: Situation, waits: Waits) -> Prospect {
    let began = s.clock.now;
    let never = |wait: Option<Span>| wait.map_or(Instant::NEVER, |wait| began + wait);
    (s.clock.silent_at, s.clock.released_at) = (began + waits.silent, never(waits.released));
    s.clock.reset_at = never(waits.reset);
    for _ in 0..MOST_WAITS {
        match decide(Role::Backup, &s) {
            Decision::Take(_) => return Prospect::TakenOver(s.clock.now.since(began)),
            Decision::Fence => return Prospect::TakenOnceFenced,
            Decision::Wait(Wait { block: Block::Drift | Block::Lease | Block::Exclusive, until })
                if until < Instant::NEVER =>
            {
                s.clock.now = until;
            }
            Decision::Wait(wait) => return Prospect::NotTaken(wait.block),
            Decision::Keep | Decision::Renew | Decision::Hurry | Decision::Release(_) => break,
        }
    }
    Prospect::Unknown
}

/// What a node that serves does in this situation.
pub(super) fn kept(situation: Situation) -> Prospect {
    match decide(Role::Active, &situation) {
        Decision::Release(release) => Prospect::LetGo(release.reason),
        Decision::Wait(_)
        | Decision::Take(_)
        | Decision::Fence
        | Decision::Keep
        | Decision::Renew
        | Decision::Hurry => Prospect::ServedOn,
    }
}

/// What becomes of a group while both nodes live and neither hears the other. The holder answers a probe,
/// unless the wire that is probed is the one that failed.
pub(super) fn parted(kept: Prospect, taken: Prospect) -> Prospect {
    match (kept, taken) {
        (Prospect::LetGo(_), Prospect::TakenOver(after)) => Prospect::TakenOver(after),
        (Prospect::ServedOn, Prospect::TakenOver(_)) => Prospect::MayBeServedTwice,
        (_, Prospect::TakenOnceFenced) => Prospect::TakenOnceFenced,
        (kept, _) => kept,
    }
}
