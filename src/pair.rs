//! What a pair consists of, and what its nodes say of themselves: sides, paths, groups, roles, words,
//! troubles, mechanisms. All parts of the program share these nouns.

use serde::{Deserialize, Serialize};

/// Which of the two nodes: `A` is the one whose name sorts first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The node with the lower name; it wins the last tie.
    A,
    /// The node with the higher name.
    B,
}

impl Side {
    /// The other node.
    pub const fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 for `A`, 1 for `B`.
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// Index of a path in [`Policy::paths`](crate::config::Policy::paths), the same on both nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub struct PathId(pub u8);

/// Index of a group in [`Policy::groups`](crate::config::Policy::groups), the same on both nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u8);

/// What a path is made of; paths of different kinds do not share a cause of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum PathKind {
    /// A null-modem cable between two serial ports.
    Serial,
    /// UDP over Ethernet.
    Lan,
}

impl PathId {
    /// As an index into the list of paths.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl GroupId {
    /// As an index into the list of groups.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Role of a node for one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Holds nothing, ready.
    Backup,
    /// Adding addresses, starting scripts.
    Acquiring,
    /// Serves.
    Active,
    /// Stopping scripts, removing addresses.
    Releasing,
    /// Could not serve; holds nothing.
    Faulty,
}

impl Role {
    /// Whether a node may hold an address in this role.
    pub const fn is_holding(self) -> bool {
        match self {
            Self::Acquiring | Self::Active | Self::Releasing => true,
            Self::Backup | Self::Faulty => false,
        }
    }
}

/// What a node that does not hold a group says to its peer about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
pub enum Word {
    /// Nothing.
    #[default]
    None,
    /// 'I have let this group go for you.'
    Offered,
    /// 'I ask for this group.'
    Wanted,
    /// 'I served this group until I heard that you do.'
    Yielded,
    /// 'I could not serve this group now': an interface of it has no carrier here, somebody answers for an
    /// address of it, or our guard does not ask the wire.
    Unable,
    /// 'I am not ready to serve this group': one of its checks fails here.
    Unready,
}

impl Word {
    /// Whether its node could not take the group now.
    pub const fn is_inability(self) -> bool {
        matches!(self, Self::Unable | Self::Unready)
    }
}

/// Why a node could not take a group, as far as its beats tell. In the journal of an earlier build the first
/// two stand for no and yes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Inability {
    /// It could.
    #[default]
    None,
    /// It does not say.
    Unsaid,
    /// The group failed there.
    Failed,
    /// A check of the group fails there.
    Unready,
    /// An interface of it has no carrier.
    NoCarrier,
}

/// Why a node cannot serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Trouble {
    /// It can.
    #[default]
    None,
    /// Its guard is gone: nobody there can touch an address.
    GuardLost,
    /// Its guard does not confirm orders.
    GuardSilent,
    /// For a reason that this build has no word for.
    Other,
}

/// What lets go of a node's addresses if its agent cannot any more, as it announces them. Zero: not armed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Mechanisms {
    /// Kernel lifetime of its addresses, seconds.
    pub lease_s: u8,
    /// Timeout of its watchdog, seconds.
    pub watchdog_s: u8,
    /// Sum of the stop timeouts of its scripts, seconds.
    pub stop_s: u16,
}

/// What the sender of a beat knows of one of its interfaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Interface {
    /// It has carrier, as far as is known; whether it leads anywhere is not.
    #[default]
    Unknown,
    /// A third party is heard on it.
    Proven,
    /// It has carrier, and nobody answers where somebody did before.
    CutOff,
    /// It has no carrier.
    Dark,
}

impl Interface {
    /// Its two bits on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Proven => 1,
            Self::CutOff => 2,
            Self::Dark => 3,
        }
    }

    /// From the two low bits; the others do not count.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::Unknown,
            1 => Self::Proven,
            2 => Self::CutOff,
            _ => Self::Dark,
        }
    }
}
