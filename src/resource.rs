//! What has to be done, as values: the orders that only the privileged guard can carry out, and what became
//! of them.
//!
//! An order on which a later decision depends carries a [`Token`] and comes back as an [`Outcome`]. Nothing
//! is believed to be held or released before its outcome says so.

use serde::{Deserialize, Serialize};

use crate::pair::GroupId;
use crate::time::Instant;

/// Ties an outcome to its order. Tokens of one agent run never repeat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Token(pub u32);

/// In which order a group lets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ReleaseOrder {
    /// Planned: scripts stop in reverse, then the addresses go.
    ScriptsFirst,
    /// Forced: the addresses go at once, then the scripts stop.
    AddressesFirst,
}

/// Something that only the guard can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Add the group's addresses for one lease, announce them, start the scripts left to right.
    /// Ends in [`Outcome::Serving`] or [`Outcome::Failed`]. Where scripts come before the addresses they are
    /// started, and the order ends in [`Outcome::Prepared`]; a second one under the same term goes on.
    Acquire {
        /// The group.
        group: GroupId,
        /// The reign under which it is held; handed to scripts as a fencing token.
        term: u32,
    },
    /// Set the lifetime of the group's addresses to one lease again. It never revives a group that the guard
    /// does not hold, so a renewal cannot undo a release that it crosses on the way. Ends in
    /// [`Outcome::Renewed`] or [`Outcome::Failed`].
    Renew {
        /// The group.
        group: GroupId,
        /// Any address that is missing is put back. Otherwise the order fails as [`Fault::AddressGone`]: the
        /// peer may have seen that it is gone, and count on it.
        puts_back: bool,
    },
    /// Let the group go. Ends in [`Outcome::Released`] or [`Outcome::Failed`]; a forced release of a group
    /// with scripts also reports [`Outcome::AddressesGone`] on the way.
    Release {
        /// The group.
        group: GroupId,
        /// What goes first.
        first: ReleaseOrder,
    },
    /// Make certain that the peer holds nothing. Ends in [`Outcome::Fenced`] or [`Outcome::Failed`].
    Fence {
        /// The group that asks for it.
        group: GroupId,
    },
    /// Announce the addresses of a held group again. Has no outcome.
    Announce {
        /// The group.
        group: GroupId,
    },
    /// Ask the wire who answers for the group's addresses and for the peer's own. Ends in [`Outcome::Probed`]
    /// once the queries have left, or [`Outcome::Failed`]; answers arrive as packets.
    Probe {
        /// The group.
        group: GroupId,
    },
}

/// An order with its token and its last moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ticket {
    /// Comes back with the outcome.
    pub token: Token,
    /// Checked right before each system call that adds or renews: a later order is discarded
    /// ([`Fault::TooLate`]). Releases have no last moment.
    pub valid_until: Instant,
    /// What to do.
    pub order: Order,
}

/// What became of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// The kernel has the addresses, read back, and the scripts run.
    Serving,
    /// The kernel has the addresses for another lease.
    Renewed,
    /// The kernel confirmed that the addresses are gone; scripts are still stopping.
    AddressesGone,
    /// The addresses are gone and the scripts have stopped.
    Released,
    /// The probe's queries left at this instant.
    Probed {
        /// When the last query left.
        at: Instant,
    },
    /// It is certain that the peer holds nothing.
    Fenced,
    /// The scripts that come before the addresses run. Nothing goes on before another `Acquire`.
    Prepared,
    /// It could not be done. A failed `Acquire` leaves nothing behind; a failed `Release` leaves what the
    /// fault says.
    Failed(Fault),
}

impl Outcome {
    /// Why it could not be done, if it could not.
    pub const fn fault(self) -> Option<Fault> {
        if let Self::Failed(fault) = self { Some(fault) } else { None }
    }
}

/// How the scripts of a group are, as the guard finds them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Condition {
    /// Nothing is known to be wrong.
    #[default]
    Well,
    /// The monitor of this script (index in the group's list) failed: it is started again here, and has not
    /// been seen to run since.
    Restarting(u8),
    /// It failed more often than it may be started again here: the peer shall have the group, if it can.
    /// Until then starting goes on here, and the addresses stay.
    Unfit(u8),
    /// It could not be stopped to be started again. The guard has taken the addresses away.
    Stuck(u8),
    /// The group is not held here, and this check of whether the node is ready for it fails (index in the
    /// group's list, where the checks follow the scripts).
    Unready(u8),
}

/// Why an order could not be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Fault {
    /// It came after its last moment.
    TooLate,
    /// It names a group that is not configured, or makes no sense now (such as renewing a group that is not
    /// held).
    OutOfOrder,
    /// An interface of the group does not exist.
    NoInterface,
    /// The kernel could not do it, or did not answer; its errno.
    Kernel(i32),
    /// An address of the group has gone, and the order was only to renew what is there.
    AddressGone,
    /// An address of the group is still there after its removal was confirmed.
    StillThere,
    /// No fence is configured, or none could be confirmed.
    NoFence,
    /// A watchdog is configured and cannot be armed.
    NoWatchdog,
    /// The queries of a probe leave, but not even a peer that is heard on that LAN answers them.
    ProbeUnanswered,
    /// A script failed to start, or did not in time (index in the group's list).
    ScriptStart(u8),
    /// A script failed to stop, or did not in time; the addresses are gone.
    ScriptStop(u8),
    /// The kernel refused an address (index in the group's list, errno). Where that was a renewal, the others
    /// were renewed.
    Refused(u8, i32),
}

impl Fault {
    /// The kernel does not want an address.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Refused(..))
    }
}
