//! What the two nodes have agreed on, as far as the decision needs to know it.
//!
//! These are plain types with checked bounds and no text: devices, addresses and scripts live in the binary,
//! where a path or a group is known by the index that it has here. Both nodes list paths and groups in the
//! same order.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::pair::{GroupId, PathId, PathKind, Side};
use crate::time::Span;

/// Most paths a pair may have (three bits on the wire).
pub const MAX_PATHS: usize = 8;
/// Most groups a pair may have.
pub const MAX_GROUPS: usize = 8;
/// Most interfaces whose state a node tells its peer.
pub const MAX_INTERFACES: usize = 32;
/// Most witnesses a pair may ask (four bits on the wire).
pub const MAX_WITNESSES: usize = 4;
/// `dead_after` is at most this many intervals, so that the send times of all beats that may still be
/// acknowledged fit a ring.
pub const MAX_DEAD_AFTER_INTERVALS: u64 = 100;
/// Longest `dead_after`: what two varint bytes of milliseconds carry on the wire.
pub const MAX_DEAD_AFTER: Span = Span::from_ms(16_383);
/// Longest interval, for the same reason.
pub const MAX_INTERVAL: Span = Span::from_ms(5_000);
/// Shortest interval: one tick of the slowest scheduler that is in use (100 Hz).
pub const MIN_INTERVAL: Span = Span::from_ms(10);

/// When beats leave on a path, and when their absence means something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PathTiming {
    /// Time between two beats.
    pub interval: Span,
    /// Without a beat for this long the path is late: a warning, and the time to probe.
    pub late_after: Span,
    /// Without a beat for this long the path is silent.
    pub dead_after: Span,
}

impl PathTiming {
    /// The shortest late_after and dead_after for this interval with which a node that is not heard hears so
    /// in time ([`timing::path_margin`](crate::quorum::timing::path_margin)), and a power loss that the modem
    /// lines show needs no more than late_after
    /// ([`timing::is_haste_in_time`](crate::quorum::timing::is_haste_in_time)): 2.5 and 5 intervals.
    pub const fn shortest(interval: Span) -> Self {
        Self { interval, late_after: interval.fraction(5, 2), dead_after: interval.fraction(5, 1) }
    }
}

/// One path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PathPolicy {
    /// Serial or LAN.
    pub kind: PathKind,
    /// Its beats.
    pub timing: PathTiming,
    /// The interface of a LAN path, by its place in the order that both nodes have in common; `None` where
    /// its neighbours are no witnesses.
    pub interface: Option<u8>,
}

impl PathPolicy {
    /// A path whose neighbours are no witnesses.
    pub const fn new(kind: PathKind, timing: PathTiming) -> Self {
        Self { kind, timing, interface: None }
    }
}

/// How long carrier may differ between two boxes whose common switch is lost or comes back, unless the file
/// says otherwise.
pub const CARRIER_DELAY: Span = Span::from_ms(300);

/// What must be certain before a group is taken from a dead peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum SafetyRule {
    /// The probe finds nobody at the group's addresses.
    Probe,
    /// Also: the slowest release mechanism of the peer that applies to the group must have fired.
    Lease,
    /// Also: a fence was confirmed.
    Fence,
}

/// What to do with a doubtful peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum InJeopardy {
    /// Change nothing: silence proves nothing while fewer paths testify than are configured.
    Hold,
    /// Take over only if we see a witness.
    Witness,
    /// Take over only if a neighbour answers us on an interface of the group.
    Neighbours,
    /// Take over all the same (the probe must still be clear).
    Takeover,
}

/// One group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupPolicy {
    /// Low eight bits of the CRC-32 of its name: tells groups apart in beats of a node whose configuration
    /// differs.
    pub tag: u8,
    /// The node that serves when both could.
    pub prefer: Option<Side>,
    /// What must be certain before a takeover.
    pub safety: SafetyRule,
    /// Sum of the stop timeouts of its scripts; zero without scripts.
    pub stop_timeout: Span,
    /// Longest time of the scripts that start before any address comes; zero without such.
    pub before: Span,
    /// Never taken from a peer whose scripts may still run (a shared disk): time alone does not stop a
    /// script.
    pub is_exclusive: bool,
    /// When the preferred node asks for it back.
    pub failback: Failback,
    /// The LAN paths on whose interfaces it has addresses: a bit for each path's number.
    pub lans: u8,
    /// How many addresses it has, if each of them is on such an interface: then the wire can show that the
    /// peer's kernel has let all of them go. Else zero.
    pub vips_beside_peer: u8,
    /// The interfaces of its addresses whose neighbours are witnesses: a bit for each place in the order that
    /// both nodes have in common.
    pub interfaces: u32,
    /// The interfaces that have to have carrier, as such bits; zero if one of them has no such place.
    pub carriers: u32,
}

/// When the preferred node asks for a group that the other serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Failback {
    /// Only when an operator says so.
    Manual,
    /// After it has been well for this long.
    After(Span),
}

/// The bit of an interface, by its place in the order that both nodes have in common; none for one that has
/// no place there.
pub fn interface_bit(interface: usize) -> u32 {
    u32::try_from(interface).ok().and_then(|shift| 1_u32.checked_shl(shift)).unwrap_or(0)
}

impl GroupPolicy {
    /// Whether it has an address on the interface of this path.
    pub fn is_on(&self, path: PathId) -> bool {
        self.lans.checked_shr(u32::from(path.0)).unwrap_or(0) & 1 == 1
    }

    /// The same group, with addresses on the interfaces of these paths.
    pub fn on(self, paths: impl IntoIterator<Item = PathId>) -> Self {
        let bit = |path: PathId| 1_u8.checked_shl(u32::from(path.0)).unwrap_or(0);
        Self { lans: paths.into_iter().fold(0, |bits, path| bits | bit(path)), ..self }
    }

    /// A group of addresses only, taken from a silent peer after a clear probe.
    pub const fn addresses_only(tag: u8, prefer: Option<Side>) -> Self {
        Self {
            tag,
            prefer,
            safety: SafetyRule::Probe,
            stop_timeout: Span::ZERO,
            before: Span::ZERO,
            is_exclusive: false,
            failback: Failback::Manual,
            lans: 0,
            vips_beside_peer: 0,
            interfaces: 0,
            carriers: 0,
        }
    }

    /// Whether the neighbours on this interface are witnesses for the group.
    pub fn counts_on(&self, interface: usize) -> bool {
        self.interfaces & interface_bit(interface) != 0
    }
}

/// Everything the decision needs to know of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// The paths, serial ones first, in the order of the configuration.
    pub paths: Vec<PathPolicy, MAX_PATHS>,
    /// The groups in the order of their names.
    pub groups: Vec<GroupPolicy, MAX_GROUPS>,
    /// Kernel lifetime of a held address, in whole seconds.
    pub lease: Span,
    /// How long a node that never heard its peer listens before it serves.
    pub cold_start: Span,
    /// How long the peer has to have had carrier, after ours was lost, before a group is handed over for
    /// that.
    pub carrier_delay: Span,
    /// What to do with a doubtful peer.
    pub in_jeopardy: InJeopardy,
    /// How many witnesses there are, at most [`MAX_WITNESSES`].
    pub witnesses: u8,
    /// Whether a voting witness is configured.
    pub has_vote: bool,
    /// Checksum over what both nodes must agree on.
    pub digest: [u8; 4],
}

impl Policy {
    /// The ids of all paths, in order.
    pub fn path_ids(&self) -> impl Iterator<Item = PathId> + use<> {
        (0u8..).take(self.paths.len()).map(PathId)
    }

    /// The ids of all groups, in order.
    pub fn group_ids(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0u8..).take(self.groups.len()).map(GroupId)
    }

    /// Whether neighbours on this interface are witnesses.
    pub fn counts_on(&self, interface: usize) -> bool {
        self.paths.iter().any(|path| path.interface.map(usize::from) == Some(interface))
            || self.groups.iter().any(|group| group.counts_on(interface))
    }

    /// The shortest interval of any path: the pace of the beats.
    pub fn interval(&self) -> Span {
        self.paths.iter().map(|p| p.timing.interval).min().unwrap_or(Speed::Normal.timing().interval)
    }

    /// The shortest late_after of any path.
    pub fn shortest_late_after(&self) -> Span {
        self.paths.iter().map(|path| path.timing.late_after).min().unwrap_or_default()
    }

    /// The longest late_after of any path.
    pub fn longest_late_after(&self) -> Span {
        self.paths.iter().map(|path| path.timing.late_after).max().unwrap_or_default()
    }

    /// The longest interval of any path.
    pub fn longest_interval(&self) -> Span {
        self.paths.iter().map(|path| path.timing.interval).max().unwrap_or_default()
    }

    /// The longest dead_after of any path.
    pub fn longest_dead_after(&self) -> Span {
        self.paths.iter().map(|path| path.timing.dead_after).max().unwrap_or_default()
    }
}

/// A preset for all four times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speed {
    /// 1 s / 3 s / 5 s / 10 s
    Gentle,
    /// 250 ms / 750 ms / 1.5 s / 3 s
    Normal,
    /// 50 ms / 150 ms / 250 ms / 1 s
    Fast,
}

impl Speed {
    /// Interval, late_after and dead_after of the preset.
    pub const fn timing(self) -> PathTiming {
        let (interval, late_after, dead_after) = match self {
            Self::Gentle => (1_000, 3_000, 5_000),
            Self::Normal => (250, 750, 1_500),
            Self::Fast => (50, 150, 250),
        };
        PathTiming {
            interval: Span::from_ms(interval),
            late_after: Span::from_ms(late_after),
            dead_after: Span::from_ms(dead_after),
        }
    }

    /// Lease of the preset.
    pub const fn lease(self) -> Span {
        match self {
            Self::Gentle => Span::from_s(10),
            Self::Normal => Span::from_s(3),
            Self::Fast => Span::from_s(1),
        }
    }
}
