//! Every decision and non-decision as a value: what the logs, `status` and `why` are made of.

use core::mem::{Discriminant, discriminant};

use serde::{Deserialize, Serialize};

use super::facts::{Claim, Situation};
use super::probe::Finding;
use crate::config::MAX_PATHS;
use crate::frame::Refusal;
use crate::health::{LineReading, NeighbourView, PathState, WitnessView};
use crate::pair::{GroupId, Inability, PathId, Role, Trouble};
use crate::reasons::{Block, ReleaseReason, TakeReason, Verdict};
use crate::resource::{Condition, Fault};
use crate::time::Span;
use crate::vote::VoteView;

/// What was known when a decision was made, as far as it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// What each path said; those beyond the last one are blind.
    pub paths: [PathState; MAX_PATHS],
    /// What all paths together said of the peer.
    pub verdict: Verdict,
    /// What the peer said of the group.
    pub claim: Claim,
    /// What the wire said of its addresses.
    pub finding: Finding,
    /// What the witnesses said.
    pub witness: WitnessView,
    /// What the neighbours on its interfaces said.
    pub neighbours: NeighbourView,
    /// What the voting witness granted.
    pub vote: VoteView,
    /// All interfaces of the group had carrier, but for those that were dark on both nodes.
    pub has_carrier: bool,
    /// Our loop had just been late.
    pub is_stalled: bool,
    /// The peer had been silent for dead_after and the allowance for drift.
    pub has_drift_passed: bool,
    /// Every release mechanism of the peer's must have fired.
    pub must_have_released: bool,
    /// Our release for the ack deadline had to start.
    pub is_deadline_due: bool,
    /// What we held was not renewed in time.
    pub has_lease_lapsed: bool,
    /// The peer's lines said that its box has power.
    pub are_lines_on: bool,
    /// The peer had said that it cannot serve.
    pub is_peer_troubled: bool,
}

impl Evidence {
    /// What is told of a situation, and of these paths.
    pub fn of(paths: [PathState; MAX_PATHS], s: &Situation) -> Self {
        Self {
            paths,
            verdict: s.peer.verdict,
            claim: s.peer.claim,
            finding: s.wire.finding,
            witness: s.wire.witness,
            neighbours: s.wire.neighbours,
            vote: s.wire.vote,
            has_carrier: s.own.has_carrier,
            is_stalled: !s.clock.is_past(s.clock.judged_at),
            has_drift_passed: s.clock.is_past(s.clock.silent_at),
            must_have_released: s.clock.is_past(s.clock.released_at),
            is_deadline_due: s.clock.is_past(s.clock.deadline_at),
            has_lease_lapsed: s.clock.is_past(s.clock.lease_until),
            are_lines_on: s.peer.are_lines_on,
            is_peer_troubled: s.peer.is_troubled,
        }
    }
}

/// Two nodes that served one group at once, as one of them saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// Which group.
    pub group: GroupId,
    /// We kept it.
    pub is_kept: bool,
    /// How long ago both can have begun to serve: since the later of our own beginning and the last sign of
    /// the peer before the silence. The other node knows its own half.
    pub began: Span,
    /// How long it took from the first frame that told us until one had let go.
    pub settled_in: Span,
    /// How long no path had heard the peer; `None` if it was heard all the while.
    pub unheard: Option<Span>,
}

/// Something that happened or was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record {
    /// A path changed.
    Path {
        /// Which.
        path: PathId,
        /// What it said before.
        from: PathState,
        /// What it says now.
        to: PathState,
    },
    /// The first refusal of its kind on a path since the path was last well.
    Refused {
        /// Which path.
        path: PathId,
        /// Why.
        refusal: Refusal,
    },
    /// The verdict changed.
    Verdict {
        /// Before.
        from: Verdict,
        /// Now.
        to: Verdict,
    },
    /// Jeopardy came or went.
    Jeopardy(bool),
    /// A new incarnation of the peer is heard.
    PeerStarted,
    /// The peer's configuration differs from ours, or agrees again.
    DigestDiffers(bool),
    /// The term of a group is the highest that there is, and will not grow any more.
    TermsUsedUp(GroupId),
    /// A group is being acquired.
    Taking {
        /// Which.
        group: GroupId,
        /// The new term.
        term: u32,
        /// The rule that fired.
        reason: TakeReason,
        /// What was known.
        evidence: Evidence,
    },
    /// A group is being released.
    Releasing {
        /// Which.
        group: GroupId,
        /// The rule that fired.
        reason: ReleaseReason,
        /// What was known.
        evidence: Evidence,
    },
    /// A role changed.
    Role {
        /// Of which group.
        group: GroupId,
        /// Before.
        from: Role,
        /// Now.
        to: Role,
    },
    /// A backup does not act although the peer is not simply serving. Said once for each reason.
    Blocked {
        /// Which group.
        group: GroupId,
        /// The rule that blocked.
        block: Block,
        /// How long it blocks at most; `None` where time alone does not end it.
        wait: Option<Span>,
        /// What was known.
        evidence: Evidence,
    },
    /// An order failed.
    Fault {
        /// Of which group.
        group: GroupId,
        /// Why.
        fault: Fault,
    },
    /// The scripts of a group that is served here are not as they were.
    Scripts {
        /// Of which group.
        group: GroupId,
        /// How they are.
        condition: Condition,
    },
    /// A fence was ordered, or is confirmed (`Some(true)`) or has failed.
    Fence {
        /// For which group.
        group: GroupId,
        /// What became of it; `None` while it is tried.
        confirmed: Option<bool>,
    },
    /// The lines of a serial path say something new.
    Lines {
        /// Which path.
        path: PathId,
        /// What they say.
        reading: LineReading,
    },
    /// Whether the silence of a probe proves nothing on a LAN: not even the peer answers, although it is
    /// heard there.
    Deaf {
        /// Which path.
        path: PathId,
        /// Whether it does not.
        is_deaf: bool,
    },
    /// Nobody answers on an interface on which somebody was heard before, or somebody is heard again.
    CutOff {
        /// Its place in the order that both nodes have in common.
        interface: u8,
        /// Whether nobody answers.
        is_cut_off: bool,
    },
    /// Whether both nodes count on the voting witness from now on.
    Vote {
        /// They do.
        does_count: bool,
    },
    /// Somebody answers for an address of a group that we do not hold.
    VipAnswered {
        /// Which group.
        group: GroupId,
        /// Its MAC.
        mac: [u8; 6],
    },
    /// Somebody else claims an address of a group that we serve.
    VipContested {
        /// Which group.
        group: GroupId,
        /// Its MAC.
        mac: [u8; 6],
    },
    /// A script of a group begins to start or to stop.
    Script {
        /// Which group.
        group: GroupId,
        /// Which of its scripts.
        script: u8,
        /// It is started, else stopped.
        is_start: bool,
    },
    /// The loop was late by this much.
    Stall(Span),
    /// The agent died, and this one goes on in its place.
    Succeeded,
    /// The configuration was read anew, and this agent goes on with it in the place of another.
    Reloaded,
    /// The guard is gone.
    GuardLost,
    /// The guard gives no sign of life, or does again.
    GuardSilent(bool),
    /// The peer says why it cannot serve, or that it can again.
    PeerTrouble(Trouble),
    /// The operator put this node into standby, or back online.
    Standby(bool),
    /// Both nodes were in standby: the one with the lower name, this one, is back online.
    StandbyYielded,
    /// The operator put this node into maintenance for so long; `None`: it is over.
    Maintenance(Option<Span>),
    /// Both nodes serve a group, and have not settled it within the time that this takes.
    BothServe(GroupId),
    /// Both nodes served a group at once, and one of them lets it go. Recorded by both when it is over.
    Incident(Incident),
    /// Everything is released; leaving.
    Leaving,
    /// The peer is heard and could not take over what is served here; or it could again.
    PeerUnable {
        /// Which group.
        group: GroupId,
        /// Why it could not.
        inability: Inability,
    },
    /// The daemon was executed anew in its place, and this agent goes on: from which version, to which.
    Upgraded([u8; 3], [u8; 3]),
}

/// What records have in common that differ only in their details: a flood is of one kind. Two MACs that claim
/// the same address are of one kind; two states of a path are not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    what: Discriminant<Record>,
    about: About,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    Nothing,
    Group(GroupId),
    Blocked(GroupId, Block),
    Path(PathId, PathState),
    Refused(PathId, Refusal),
    Lines(PathId, LineReading),
    Deaf(PathId, bool),
    Verdict(Verdict),
    Interface(u8, bool),
    Is(bool),
}

/// Records that others can cause are said so often in [`WINDOW`](crate::limit::WINDOW), then counted.
const MOST_CAUSED: u16 = 4;
/// The same for decisions: more often than an operator or a real fault could cause them.
const MOST_DECIDED: u16 = 60;

impl Record {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        let about = match *self {
            Self::Path { path, to, .. } => About::Path(path, to),
            Self::Refused { path, refusal } => About::Refused(path, refusal),
            Self::Lines { path, reading } => About::Lines(path, reading),
            Self::Deaf { path, is_deaf } => About::Deaf(path, is_deaf),
            Self::CutOff { interface, is_cut_off } => About::Interface(interface, is_cut_off),
            Self::Vote { does_count } => About::Is(does_count),
            Self::Verdict { to, .. } => About::Verdict(to),
            Self::Blocked { group, block, .. } => About::Blocked(group, block),
            Self::Taking { group, .. }
            | Self::Releasing { group, .. }
            | Self::Role { group, .. }
            | Self::Fault { group, .. }
            | Self::Scripts { group, .. }
            | Self::Fence { group, .. }
            | Self::VipAnswered { group, .. }
            | Self::VipContested { group, .. }
            | Self::TermsUsedUp(group)
            | Self::BothServe(group)
            | Self::Script { group, .. }
            | Self::PeerUnable { group, .. }
            | Self::Incident(Incident { group, .. }) => About::Group(group),
            Self::Jeopardy(is) | Self::DigestDiffers(is) | Self::GuardSilent(is) | Self::Standby(is) => {
                About::Is(is)
            }
            Self::PeerTrouble(trouble) => About::Is(trouble != Trouble::None),
            Self::PeerStarted
            | Self::Stall(_)
            | Self::Succeeded
            | Self::Reloaded
            | Self::Upgraded(..)
            | Self::GuardLost
            | Self::StandbyYielded
            | Self::Maintenance(_)
            | Self::Leaving => About::Nothing,
        };
        Kind { what: discriminant(self), about }
    }

    /// How many of its kind are said in [`WINDOW`](crate::limit::WINDOW) before the rest is counted. A
    /// decision is held back only when no person and no fault could have caused so many.
    pub const fn most_said(&self) -> u16 {
        match self {
            Self::Path { .. }
            | Self::Refused { .. }
            | Self::Lines { .. }
            | Self::Deaf { .. }
            | Self::CutOff { .. }
            | Self::Vote { .. }
            | Self::Verdict { .. }
            | Self::Blocked { .. }
            | Self::VipAnswered { .. }
            | Self::VipContested { .. }
            | Self::Jeopardy(_)
            | Self::DigestDiffers(_)
            | Self::TermsUsedUp(_)
            | Self::PeerStarted
            | Self::PeerTrouble(_)
            | Self::PeerUnable { .. }
            | Self::Stall(_) => MOST_CAUSED,
            Self::Taking { .. }
            | Self::Releasing { .. }
            | Self::Role { .. }
            | Self::Fault { .. }
            | Self::Scripts { .. }
            | Self::Fence { .. }
            | Self::Script { .. }
            | Self::BothServe(_)
            | Self::Incident(_)
            | Self::GuardSilent(_)
            | Self::Standby(_)
            | Self::Succeeded
            | Self::Reloaded
            | Self::Upgraded(..)
            | Self::GuardLost
            | Self::StandbyYielded
            | Self::Maintenance(_)
            | Self::Leaving => MOST_DECIDED,
        }
    }
}
