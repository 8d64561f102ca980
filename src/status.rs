//! What a node knows, as plain values: the one source of `status`, its JSON, and all else that shows a node's
//! state.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::config::{MAX_GROUPS, MAX_INTERFACES, MAX_PATHS, MAX_WITNESSES};
use crate::frame::message::{Build, GroupReport};
use crate::frame::refusal::REFUSALS;
use crate::health::{LineReading, PathState, Quality};
use crate::pair::{Interface, Role, Side, Trouble};
use crate::reasons::{Block, Verdict};
use crate::resource::{Condition, Fault};
use crate::time::Span;
use crate::vote::GroupBits;

/// The state of one node and what it knows of its peer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Which node.
    pub me: Side,
    /// How long its agent has run.
    pub up: Span,
    /// Random id of this run.
    pub incarnation: [u8; 8],
    /// What the evidence says of the peer.
    pub verdict: Verdict,
    /// For how long fewer paths have testified than are configured.
    pub jeopardy: Option<Span>,
    /// The peer's configuration differs.
    pub is_digest_different: bool,
    /// This kernel keeps an address for ever, whatever its lifetime.
    pub is_lifetime_ignored: bool,
    /// Why this node cannot serve.
    pub trouble: Trouble,
    /// Told to stop.
    pub is_stopping: bool,
    /// The operator wants it to hold nothing.
    pub is_standby: bool,
    /// The operator wants nothing moved, for so much longer.
    pub maintenance: Option<Span>,
    /// Its paths.
    pub paths: Vec<PathStatus, MAX_PATHS>,
    /// Its groups.
    pub groups: Vec<GroupStatus, MAX_GROUPS>,
    /// Its witnesses.
    pub witnesses: Vec<WitnessStatus, MAX_WITNESSES>,
    /// The interfaces whose neighbours are witnesses.
    pub neighbours: Vec<NeighbourStatus, MAX_INTERFACES>,
    /// The voting witness, where one is configured.
    pub vote: Option<VoteStatus>,
    /// The peer, if it was ever heard.
    pub peer: Option<PeerStatus>,
    /// The longest stall of the loop in this run.
    pub worst_stall: Span,
    /// How long ago that was.
    pub stalled: Span,
}

/// One path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PathStatus {
    /// What it says.
    pub state: PathState,
    /// How long ago the peer was heard on it.
    pub heard: Option<Span>,
    /// How long ago the peer heard us on it, by its own newest report; `None`: never, or no report.
    pub heard_by_peer: Option<Span>,
    /// Fresh beats heard in this run.
    pub beats_heard: u32,
    /// Beats sent in this run.
    pub beats_sent: u32,
    /// How well it works.
    pub quality: Quality,
    /// Its dead_after.
    pub dead_after: Span,
    /// What its modem lines say.
    pub lines: LineReading,
    /// Our own frames come back.
    pub is_looped: bool,
    /// The peer is heard there and answers no probe: the silence of one proves nothing (LAN).
    pub is_deaf: bool,
    /// Refused frames by kind ([`crate::frame::Refusal::ALL`]).
    pub refusals: [u32; REFUSALS],
}

/// One group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupStatus {
    /// What this node is for it.
    pub role: Role,
    /// The term under which it is held, else the newest known.
    pub term: u32,
    /// All its interfaces have carrier. Where one is dark on both nodes, the rest is served all the same.
    pub has_carrier: bool,
    /// How its scripts are, while it is served here.
    pub condition: Condition,
    /// Why it could not be held here, or is held in part only.
    pub fault: Option<Fault>,
    /// Why this node does not take it, if it does not hold it.
    pub block: Option<Block>,
    /// How much longer the block lasts at most, if time alone ends it.
    pub wait: Option<Span>,
    /// The peer serves it too, and for how long that has been known.
    pub both_serve: Option<Span>,
    /// For how long this node has been unable to serve or to keep it.
    pub unable: Option<Span>,
    /// For how long the peer has been unable to serve it, by what it says.
    pub peer_unable: Option<Span>,
    /// For how long nobody has served it, as far as this node knows.
    pub unserved: Option<Span>,
    /// For how long nobody has served it while no node was taking or releasing it.
    pub idle: Option<Span>,
    /// The box whose answer for an address of it keeps this node from taking it, or which claims an address
    /// that is served here or there and is neither node.
    pub foreign_mac: Option<[u8; 6]>,
    /// The hardware address of the peer is not known: it may be the peer's.
    pub is_foreign_mac_doubtful: bool,
}

/// One witness.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WitnessStatus {
    /// How long ago the newest request that it answered was sent; `None`: none in this run.
    pub answered: Option<Span>,
    /// For how long the peer has not seen it, or another one.
    pub peer_misses: Option<Span>,
}

/// The voting witness.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VoteStatus {
    /// How long ago the newest question left that it answered; `None`: none in this run.
    pub answered: Option<Span>,
    /// It answers, and both nodes count on it.
    pub does_count: bool,
    /// Without a grant nothing is served alone or taken, as far as this node knows: so it is too before the
    /// peer was heard, and when a witness on which both count is lost together with the peer.
    pub is_needed: bool,
    /// Both nodes have said that it counts.
    pub is_agreed: bool,
    /// For how long that has been so, or not.
    pub lasts: Span,
    /// It was restarted, and grants nothing new yet.
    pub is_waiting: bool,
    /// The groups that it grants to this node now, as bits.
    pub granted: GroupBits,
    /// Those that it keeps for the peer, as it said last.
    pub granted_to_peer: GroupBits,
    /// The peer has asked it nothing lately.
    pub is_peer_quiet: bool,
}

/// The neighbours on one interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NeighbourStatus {
    /// Its place in the order that both nodes have in common.
    pub interface: u8,
    /// What is known of it here.
    pub state: Interface,
    /// How long ago a neighbour was heard there; `None`: not in this run.
    pub heard: Option<Span>,
    /// What the peer says of its own.
    pub peer: Option<Interface>,
}

/// The peer, by its newest beat.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerStatus {
    /// How long ago that beat arrived.
    pub age: Span,
    /// The version of the protocol in which we speak to it.
    pub protocol: u8,
    /// The name of its build; empty if it does not say.
    pub build: Build,
    /// It is in cold start.
    pub is_cold_start: bool,
    /// It said goodbye.
    pub has_left: bool,
    /// Its operator wants it to hold nothing.
    pub is_standby: bool,
    /// Its operator wants nothing moved.
    pub is_maintenance: bool,
    /// An interface of one of its groups has no carrier.
    pub has_no_carrier: bool,
    /// Why it cannot serve.
    pub trouble: Trouble,
    /// What it says of each group of ours; `None` if it does not know the group.
    pub groups: Vec<Option<GroupReport>, MAX_GROUPS>,
}
