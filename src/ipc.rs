//! What agent and guard say to each other over their socket pair: postcard messages. Those of the agent may
//! share a datagram, one after the other; the guard's have one each.

use crosswire::health::PathState;
use crosswire::pair::{GroupId, PathId, Role};
use crosswire::quorum::succession::{self, Deposit, MAX_DEPOSIT_BYTES};
use crosswire::reasons::Verdict;
use crosswire::resource::{Condition, Fault, Outcome, Ticket, Token};
use crosswire::time::Span;
use serde::{Deserialize, Serialize};

/// Largest message either way, without the deposit.
pub const MAX_MESSAGE_BYTES: usize = 64;
/// Largest datagram that an agent sends.
pub const MAX_DATAGRAM_BYTES: usize = MAX_MESSAGE_BYTES + MAX_DEPOSIT_BYTES;

/// From the agent to the guard. Anything else that arrives ends the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ToGuard {
    /// Carry out an order.
    Order(Ticket),
    /// Open a path again; answered by [`FromGuard::Path`].
    Reopen(PathId),
    /// Ask for the peer's own address on every LAN. The answers are heard on the listeners.
    AskForPeer,
    /// Everything is released and the goodbye was sent: the agent is about to exit cleanly.
    Farewell,
    /// The operator wants nothing changed, or no longer wants that: monitors do not run meanwhile. It comes
    /// with each deposit.
    Maintenance(bool),
    /// Tell the operator's program.
    Notice(Notice),
    /// Somebody answers for an address of the group, after [`FromGuard::Asking`].
    Answered(GroupId),
    /// What a successor has to know. The encoded deposit makes up the rest of the datagram. The guard keeps
    /// the newest, and does not read it. It comes at every beat, which shows that the agent does not hang.
    Deposit,
}

/// What an agent has left for its successor, as it wrote it. The guard keeps it and hands it on. Only the
/// agent's half looks inside; `tests/tidy` makes sure of that.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OpaqueDeposit(Vec<u8>);

impl OpaqueDeposit {
    /// The bytes of an agent; `None` if there are none, or more than a deposit has.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut deposit = Self::default();
        deposit.replace(bytes).then_some(deposit)
    }

    /// Keeps these bytes of an agent instead. Returns false, and keeps what it has, if there are none, or
    /// more than a deposit has. From the longest one on it allocates no more.
    pub fn replace(&mut self, bytes: &[u8]) -> bool {
        let is_one = (1..=MAX_DEPOSIT_BYTES).contains(&bytes.len());
        if is_one {
            self.0.clear();
            self.0.extend_from_slice(bytes);
        }
        is_one
    }

    /// As the agent wrote it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What it says; `None` if it cannot be read.
    pub fn decode(&self) -> Option<Deposit> {
        succession::decode(&self.0)
    }
}

/// Something that has changed, for the operator's program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Notice {
    /// What this node is for a group.
    Role {
        /// Of which group.
        group: GroupId,
        /// Before, and now.
        change: (Role, Role),
        /// Its newest term.
        term: u32,
    },
    /// What the evidence says of the peer, before and now.
    Verdict(Verdict, Verdict),
    /// What a path says, before and now.
    Path(PathId, PathState, PathState),
    /// Whether fewer paths testify than are configured, from now on.
    Jeopardy(bool),
    /// Both nodes served a group at once, at most for so long, and that is over.
    Incident {
        /// Which group.
        group: GroupId,
        /// This node goes on with it.
        is_kept: bool,
        /// For how long at most.
        lasted: Span,
    },
    /// A group could not be held here.
    Fault {
        /// Which group.
        group: GroupId,
        /// Why.
        fault: Fault,
        /// How the script failed, if it is one ([`crate::operator::words::ScriptEnd`]).
        end: u32,
    },
    /// The peer is fenced; whether that is confirmed, where it is known.
    Fence(GroupId, Option<bool>),
    /// Whether the peer could take over that group, or anything.
    Readiness(Option<GroupId>, bool),
    /// Whether this node sees that witness.
    Witness(u8, bool),
}

/// From the guard to the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FromGuard {
    /// What became of an order.
    Done {
        /// Of that order.
        token: Token,
        /// What became of it.
        outcome: Outcome,
    },
    /// Carrier of an interface (index in `Settings::interfaces`), at start and at each change.
    Carrier {
        /// Index in `Settings::interfaces`.
        interface: u8,
        /// Up and running.
        up: bool,
    },
    /// A path was opened (its descriptor rides along) or could not be.
    Path {
        /// Which path.
        path: PathId,
        /// Zero when opened, else the errno.
        errno: i32,
    },
    /// The guard asks the wire for addresses that a reload has added to the group. If somebody answers, the
    /// agent says so once, with [`ToGuard::Answered`].
    Asking {
        /// Which group.
        group: GroupId,
    },
    /// An address of a group that is held has gone.
    Missing {
        /// Which group.
        group: GroupId,
    },
    /// Which address of a group that is not held the kernel would refuse (index in the group's list), if any.
    Refuses {
        /// Which group.
        group: GroupId,
        /// Which address.
        address: Option<u8>,
    },
    /// The condition of the scripts of a group that is held.
    Scripts {
        /// Which group.
        group: GroupId,
        /// How they are.
        condition: Condition,
    },
    /// A packet socket on which whole ARP or neighbour discovery frames of an interface arrive; its
    /// descriptor rides along. There is one for each of the two protocols that is in use, and new ones come
    /// after the interface was away. A socket that reports an error is dead: its interface went down or away.
    Listener {
        /// Index in `Settings::interfaces`.
        interface: u8,
        /// Hardware address of the interface: frames from it are our own.
        mac: [u8; 6],
        /// Of neighbour discovery, else of ARP.
        is_v6: bool,
    },
    /// A packet socket on which all ARP or neighbour discovery frames of an interface arrive, and on which
    /// its neighbours are asked; its descriptor rides along.
    Neighbours {
        /// Index in `Settings::interfaces`.
        interface: u8,
        /// Hardware address of the interface.
        mac: [u8; 6],
        /// Of neighbour discovery, else of ARP.
        is_v6: bool,
    },
    /// A raw ICMP socket on which witnesses are asked; its descriptor rides along.
    Witnesses {
        /// For those with IPv6 addresses.
        is_v6: bool,
    },
    /// The guard confirms renewals on the descriptor that rides along, by [`FromGuard::Done`], and gives
    /// signs of life there; the agent never waits for that socket. Without it they come here. Any other
    /// outcome of a renewal comes here too.
    Confirmations,
    /// The guard lives.
    Alive,
    /// The kernel ignores the lifetime of addresses: what nobody removes stays.
    LifetimeIgnored,
    /// The watchdog of this box is armed.
    Watchdog {
        /// What its driver really set, seconds.
        timeout_s: u8,
        /// The longest time from the last sign of life of agent and guard to the reset of the box, in
        /// seconds.
        bound_s: u8,
        /// Why the box was reset last (`WDIOC_GETBOOTSTATUS`).
        boot_status: u32,
    },
    /// A script of a group begins to start or to stop, for whoever follows the move.
    Script {
        /// Which group.
        group: GroupId,
        /// Which of its scripts.
        script: u8,
        /// True if it starts, false if it stops.
        is_start: bool,
    },
    /// A script of a group failed, and how. The consequence comes in a later message.
    ScriptFailed {
        /// Which group.
        group: GroupId,
        /// Which of its scripts.
        script: u8,
        /// True if it failed to stop, false if it failed to start or its monitor failed.
        is_stop: bool,
        /// How ([`crate::operator::words::ScriptEnd`]).
        end: u32,
    },
    /// What is to be written to the journal goes into the socket that rides along.
    Journal {
        /// Why it is not written, as the number of an error; 0 if nothing is wrong.
        trouble: u8,
    },
    /// So much was not told in all, or only in part, since the guard began.
    Dropped {
        /// Notices for the operator's program.
        notices: u32,
        /// Lines of the guard's log.
        lines: u32,
    },
    /// SIGTERM or SIGINT: hand over, say goodbye, exit.
    Stop,
    /// Another socket to syslogd rides along.
    Log,
}
