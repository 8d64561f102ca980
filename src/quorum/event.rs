//! What a node is told, and what it asks for.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::config::{MAX_GROUPS, MAX_PATHS};
use crate::frame::aside::Aside;
use crate::frame::message::Incarnation;
use crate::frame::{Beat, Body, Refusal, Version};
use crate::health::Lines;
use crate::pair::{GroupId, PathId};
use crate::reasons::Denial;
use crate::resource::{Condition, Outcome, Ticket, Token};
use crate::time::{Instant, Span};
use crate::vote::wire::{Question, Reply};

/// Something happened.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Event<'a> {
    /// Everything that had arrived was handed in: judge, decide, send. Silence is judged on a tick and
    /// nowhere else.
    Tick,
    /// A frame came in on a path, or bytes that were none.
    Heard(PathId, Said<'a>),
    /// A path was opened.
    PathOpened(PathId),
    /// A path was lost by our own fault.
    PathLost(PathId),
    /// Whether all interfaces of a group have carrier, if not all of them have a place in the order that both
    /// nodes have in common.
    Carrier(GroupId, bool),
    /// Whether an interface of the configuration has carrier, by its place in that order.
    Interface(u8, bool),
    /// What became of an order.
    Done(Token, Outcome),
    /// The condition of the scripts of a group that is served here, or of the checks of one that is not.
    Scripts(GroupId, Condition),
    /// Which address of a group that is not held here our kernel would refuse (index in the group's list), if
    /// any.
    AddressRefused(GroupId, Option<u8>),
    /// An address of a group that is held here has gone from our kernel.
    AddressMissing(GroupId),
    /// Somebody with this MAC says that it has an address of a group. If that answers a question or is not
    /// the peer, and the address lies on the interface of a LAN path: its place in the group's list, and the
    /// path.
    VipAnswered(GroupId, [u8; 6], Option<(u8, PathId)>),
    /// The peer's own address answered, with this MAC: on the interface of that path, or elsewhere.
    PeerAnswered(Option<PathId>, [u8; 6]),
    /// A witness answered a request that was sent at this instant.
    WitnessAnswered(u8, Instant),
    /// The voting witness has replied; the reply is authentic.
    VoteAnswered(Reply),
    /// A neighbour was heard on an interface of the configuration, at this instant or later: somebody who is
    /// neither this node nor its peer.
    NeighbourHeard(u8, Instant),
    /// The modem lines of a serial path; `None` if its port has none.
    Lines(PathId, Option<Lines>),
    /// The operator asks; answered by exactly one [`Effect::Reply`].
    Operator(Demand),
    /// Our watchdog is armed: it has reset this box at the latest so many seconds after our last sign of
    /// life. Zero: it is not armed.
    Watchdog(u8),
    /// Hand over, say goodbye, exit.
    Stop,
    /// This kernel does not end the life of an address by itself.
    LifetimeIgnored,
    /// The guard is gone.
    GuardLost,
    /// The guard gives its sign of life.
    GuardAlive,
}

/// What came in on a path, after every check.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Said<'a> {
    /// A fresh beat and its number. A recording keeps the beat apart.
    Beat(#[serde(skip, default = "no_beat")] &'a Beat, u32),
    /// From now on this run of the peer counts, and no other.
    Adopted {
        /// Which one.
        run: Incarnation,
        /// The newest number heard of it on any path.
        newest: u32,
    },
    /// Something genuine that says nothing of the peer: a step of the handshake, or an aside.
    Other {
        /// The newest number heard of the peer on any path; zero while there is none.
        newest: u32,
    },
    /// It was refused, and counted.
    Refused(Refusal),
}

fn no_beat<'a>() -> &'a Beat {
    const NONE: &Beat = &Beat::NONE;
    NONE
}

/// What an operator can ask of a running node. The node knows groups by their ids, a person by their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Demand<Group = GroupId> {
    /// Let the peer serve a group that we serve.
    Handover(Group),
    /// Serve a group that the peer serves, in good order.
    Takeover(Group),
    /// Serve a group although evidence is missing: the operator has seen that the peer is off.
    TakeoverPeerIsOff(Group),
    /// Hold nothing from now on.
    Standby {
        /// Even if the peer cannot serve instead.
        force: bool,
    },
    /// The end of standby.
    Online,
    /// Move nothing for so long; zero ends it.
    Maintenance(Span),
}

impl<Group> Demand<Group> {
    /// The same demand, with its group as `rename` names it; `None` if `rename` does not know the group.
    pub fn with<Other>(self, rename: impl FnOnce(Group) -> Option<Other>) -> Option<Demand<Other>> {
        Some(match self {
            Self::Handover(group) => Demand::Handover(rename(group)?),
            Self::Takeover(group) => Demand::Takeover(rename(group)?),
            Self::TakeoverPeerIsOff(group) => Demand::TakeoverPeerIsOff(rename(group)?),
            Self::Standby { force } => Demand::Standby { force },
            Self::Online => Demand::Online,
            Self::Maintenance(lasts) => Demand::Maintenance(lasts),
        })
    }

    /// It keeps the node from doing something, until an operator ends it.
    pub fn is_ban(&self) -> bool {
        match self {
            Self::Standby { .. } => true,
            Self::Maintenance(lasts) => *lasts > Span::ZERO,
            Self::Handover(_) | Self::Takeover(_) | Self::TakeoverPeerIsOff(_) | Self::Online => false,
        }
    }
}

/// What numbers a node's frames and seals them, for the run of the peer that it has adopted.
pub trait Voice {
    /// The number for the next frame. It is above the number of every frame before.
    fn next_number(&mut self) -> u32;

    /// The version of the hello that is due with the beats of this interval; none if no hello is due.
    fn next_hello(&mut self, now: Instant, is_heard: bool) -> Option<Version>;

    /// A beat for `path`, or nothing where no peer could understand it.
    fn seal_beat(&self, path: PathId, number: u32, beat: &Beat) -> Option<Body>;

    /// A hello for `path`.
    fn seal_hello(&mut self, version: Version, path: PathId) -> Body;
}

/// Something that has to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a body on a path; skip it if the last one has not left yet.
    Send(PathId, Body),
    /// Ask every witness now.
    AskWitnesses,
    /// Put this question to the voting witness.
    AskVote(Question),
    /// Ask for the peer's own address on every LAN now.
    AskForPeer,
    /// Ask the neighbours on these interfaces now: a bit for each.
    AskNeighbours(u32),
    /// Raise or drop our own line 'I hold services' on every cable.
    ShowHolding(bool),
    /// Have the guard do something.
    Order(Ticket),
    /// Hand this on: an operator of the peer's asks something, or answers one of ours.
    Aside(PathId, Aside),
    /// Leave with the guard what [`crate::quorum::Node::deposit`] says: at every beat, and just as often
    /// while no beat is due. It is a sign of life too: the guard takes an agent that leaves nothing for one
    /// that hangs.
    Deposit,
    /// Tell the operator's logs.
    Record(Record),
    /// Answer the operator.
    Reply(Result<(), Denial>),
    /// Nothing is held, the goodbye was sent: end.
    Exit,
}

/// The most effects of one step for one path: a beat, a hello, its state, and its lines or its deafness.
pub const MOST_FOR_A_PATH: usize = 4;
/// The most effects of one step for one group. A faulty group that may try again, and is taken, needs the
/// most: its two roles, a release of leftovers, a probe before the decision and one after it, the taking with
/// its order, its term if that is the last one, the question who the peer is, and the line 'I hold services'.
pub const MOST_FOR_A_GROUP: usize = 10;
/// The most effects of one step for the node as a whole: its stall, verdict, jeopardy and guard, the peer's
/// trouble, the ends of maintenance and standby, its leaving, a deposit, an interface that is cut off,
/// whether the voting witness counts, questions to it, to witnesses, to neighbours and to the peer.
const MOST_FOR_THE_NODE: usize = 20;
const MAX_EFFECTS: usize = MOST_FOR_A_PATH * MAX_PATHS + MOST_FOR_A_GROUP * MAX_GROUPS + MOST_FOR_THE_NODE;

/// The effects of one or more steps, in the order in which they have to be carried out.
pub type Effects = Vec<Effect, MAX_EFFECTS>;
