//! Why a node does what it does, and why it does not: the verdict about the peer, and what a decision gives
//! as its reason.

use serde::{Deserialize, Serialize};

/// What the evidence says of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Some path hears it.
    Present,
    /// It said goodbye: it released everything and left.
    Departed,
    /// Every path that testifies is silent, and enough of them do; or its lines say that it lost power.
    Dead,
    /// No path hears it, and that proves nothing.
    Doubtful,
    /// No path hears it, and somebody unintelligible is on the cable: most likely it is the peer, with
    /// another key, pair or version.
    Unintelligible,
}

impl Verdict {
    /// Whether somebody is there, understood or not.
    pub const fn is_somebody(self) -> bool {
        match self {
            Self::Present | Self::Unintelligible => true,
            Self::Departed | Self::Dead | Self::Doubtful => false,
        }
    }

    /// The verdict as people and programs are told: a peer that is not understood is present, on a path that
    /// is refused.
    #[must_use]
    pub const fn told(self) -> Self {
        if self.is_somebody() { Self::Present } else { self }
    }
}

/// Why a group is acquired.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum TakeReason {
    /// The peer let it go for us.
    Offered,
    /// The peer said goodbye.
    Departed,
    /// Every path that testifies is silent.
    Dead,
    /// Nobody holds it and it is our turn.
    Vacant,
    /// Nobody was heard during cold start.
    ColdStart,
    /// The peer is doubtful and `in_jeopardy = "takeover"`.
    Jeopardy,
    /// The operator said that the peer is off.
    PeerIsOff,
    /// The peer is silent, and the voting witness grants the group to this node.
    Granted,
}

/// Why a group is released.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum ReleaseReason {
    /// We were told to stop.
    Stopping,
    /// The operator asked for a handover here.
    Handover,
    /// The peer asked for the group: for its operator, or for its failback. It does not say which.
    PeerWants,
    /// The operator wants this node to hold nothing.
    Standby,
    /// An interface of the group has no carrier, and the peer's have.
    WorseOff,
    /// An interface of the group has no carrier and nobody acknowledged us in time.
    NoCarrier,
    /// The peer is heard but hears us on no path: it will take over.
    UnheardByPeer,
    /// The kernel lifetime of the addresses was not renewed in time.
    LeaseLapsed,
    /// Both were active and the peer wins.
    LostTie,
    /// No witness was seen, and nobody acknowledged us in time.
    WitnessUnseen,
    /// No neighbour answers us on an interface of the group: the peer, whose neighbours answer, serves
    /// instead, or nobody acknowledged us in time.
    CutOff,
    /// Nobody acknowledged us in time, and the voting witness does not grant us the group.
    NotGranted,
    /// One of its scripts does not run here, or could not be stopped.
    ScriptFailed,
    /// Our kernel refuses one of its addresses.
    AddressRefused,
    /// An address of it has gone from our kernel, and the peer, which does not acknowledge us, may have seen
    /// that.
    AddressGone,
    /// By the time the scripts before its addresses ran, the group might no longer be taken, or they took too
    /// long.
    Overtaken,
    /// The peer sees more witnesses.
    Outseen,
}

impl ReleaseReason {
    /// Whether nobody asked for it: the group was lost, not moved.
    pub const fn is_unplanned(self) -> bool {
        match self {
            Self::Stopping | Self::Handover | Self::PeerWants | Self::Standby => false,
            Self::WorseOff
            | Self::NoCarrier
            | Self::UnheardByPeer
            | Self::LeaseLapsed
            | Self::LostTie
            | Self::WitnessUnseen
            | Self::CutOff
            | Self::NotGranted
            | Self::ScriptFailed
            | Self::AddressRefused
            | Self::AddressGone
            | Self::Overtaken
            | Self::Outseen => true,
        }
    }
}

/// Why a backup does not acquire a group now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Block {
    /// The peer serves it.
    PeerServes,
    /// The peer is letting it go.
    PeerReleases,
    /// The peer is present but has not said yet what it holds.
    NoReport,
    /// Nobody serves it, and the peer goes first.
    PeersTurn,
    /// We just let it go for the peer.
    JustOffered,
    /// We lost the group to what the peer says again and again: it is left alone for a while.
    Unsteady,
    /// The peer hears us on no path: it would not know that we serve.
    Unheard,
    /// We are in cold start: listening.
    ColdStart,
    /// We are stopping.
    Stopping,
    /// The guard cannot act.
    GuardLost,
    /// An interface of the group has no carrier.
    NoCarrier,
    /// Our own loop was stalled: silence is judged again after two intervals.
    Stalled,
    /// Somebody whom we do not understand is on the cable.
    Refused,
    /// No path hears the peer, and that proves nothing.
    Jeopardy,
    /// The probe has not finished, or could not run.
    ProbePending,
    /// Somebody answers for an address of the group.
    VipAnswers,
    /// No probe can find out who holds the group.
    ProbeImpossible,
    /// The peer's own address answers: waiting until all its release mechanisms must have fired.
    PeerAnswers,
    /// The safety rule asks to wait until the peer's slowest release mechanism must have fired.
    Lease,
    /// The peer has not been silent for long enough yet, with the allowance for clock drift.
    Drift,
    /// No witness answers us: it may be we who are cut off.
    WitnessUnseen,
    /// No neighbour answers us: it may be we who are cut off.
    CutOff,
    /// The voting witness has not granted the group to this node.
    NotGranted,
    /// The voting witness keeps the group for the peer.
    GrantedToPeer,
    /// The fence has not been confirmed yet.
    FencePending,
    /// The fence could not be confirmed.
    FenceFailed,
    /// The group is exclusive and the peer's scripts may still run.
    Exclusive,
    /// It failed here; trying again later.
    Faulty,
    /// The operator wants this node to hold nothing.
    Standby,
    /// The operator wants nothing moved.
    Maintenance,
    /// The peer's operator wanted nothing moved when the peer was last heard.
    PeerMaintenance,
}

/// Why an operator's request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Denial {
    /// There is no such group.
    NoSuchGroup,
    /// This node does not serve it.
    NotActive,
    /// This node serves it already.
    AlreadyActive,
    /// The peer is not heard.
    PeerNotHeard,
    /// The peer is heard, so it is not off.
    PeerIsHeard,
    /// The peer cannot serve now.
    PeerUnable,
    /// The two configurations differ.
    ConfigurationsDiffer,
    /// This node cannot serve now.
    Unable,
    /// This node is in standby.
    Standby,
    /// The peer is in standby.
    PeerStandby,
    /// This node is in maintenance.
    Maintenance,
    /// The peer is in maintenance.
    PeerMaintenance,
}
