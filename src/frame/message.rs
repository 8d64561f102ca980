//! The messages: hello, session, beat, aside, whatever the version of the protocol.
//!
//! The types here hold meaning; `beat1` and `beat2` turn a beat into bytes and back, `payload` the rest.
//! Everything that arrives is checked against the bounds of [`crate::config`] while it is decoded.

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

use super::aside::Aside;
use crate::config::{MAX_GROUPS, MAX_INTERFACES, MAX_PATHS, PathTiming};
use crate::pair::{Interface, Mechanisms, Role, Trouble, Word};
use crate::time::Span;

/// Random id of one run of the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Incarnation(pub [u8; 8]);

/// A session value: given to one incarnation, echoed in all its frames. Zero stands for 'none'.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SessionValue(pub [u8; 4]);

impl SessionValue {
    /// No value was given yet.
    pub const NONE: Self = Self([0; 4]);
}

/// A message with its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// 'Is anybody there?' Proves nothing, changes nothing; answered by a session.
    Hello,
    /// Gives a session value to one incarnation of the peer.
    Session(Give),
    /// The heartbeat.
    Beat(Beat),
    /// The lifeline.
    Aside(Aside),
}

/// Most bytes of the name of a build on the wire.
pub const MAX_BUILD_BYTES: usize = 24;

/// Which build somebody runs, in printable ASCII; empty where the protocol does not say.
pub type Build = String<MAX_BUILD_BYTES>;

/// Payload of a session message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Give {
    /// The incarnation that it is for.
    pub to: Incarnation,
    /// What that incarnation has to echo from now on.
    pub value: SessionValue,
    /// The build of the sender.
    pub build: Build,
}

/// The heartbeat: everything the peer has to know of us.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Beat {
    /// Newest of the receiver's numbers that the sender heard on any path.
    pub ack: Ack,
    /// The sender's shortest interval.
    pub interval: Span,
    /// Per path, what the sender hears on it.
    pub paths: Vec<PathReport, MAX_PATHS>,
    /// Per group, what the sender is for it.
    pub groups: Vec<GroupReport, MAX_GROUPS>,
    /// How the sender's interfaces are, in the order of the configuration. Nothing is known of those that are
    /// left out.
    pub interfaces: Vec<Interface, MAX_INTERFACES>,
    /// How the sender stands.
    pub standing: Standing,
    /// What lets go of the sender's addresses if it cannot any more.
    pub release: Mechanisms,
    /// Checksum of the configuration that both must share.
    pub digest: [u8; 4],
}

/// An acknowledgement: the number of a beat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ack {
    /// The whole number; 0: none.
    Whole(u32),
    /// Its low 16 bits; 0: none, since no number ends in 16 zero bits. The sender heard the beat within
    /// [`ACK_LASTS`].
    Low(u16),
}

/// How long a node acknowledges a beat after it heard it: longer than an acknowledgement matters, and too
/// short for the sender to use 65,536 numbers.
pub const ACK_LASTS: Span = Span::from_s(33);

impl Ack {
    /// The low 16 bits.
    pub fn low(self) -> u16 {
        match self {
            Self::Whole(number) => low_16(number),
            Self::Low(low) => low,
        }
    }

    /// Acknowledges the beat of this number.
    pub fn is_of(self, number: u32) -> bool {
        match self {
            Self::Whole(whole) => whole == number,
            Self::Low(low) => low == low_16(number),
        }
    }
}

/// The low 16 bits of a number.
pub(crate) fn low_16(number: u32) -> u16 {
    let [low, high, ..] = number.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// What the sender of a beat hears on one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PathReport {
    /// Its dead_after for the path, whole milliseconds.
    pub dead_after: Span,
    /// How long ago it heard the receiver, in sixteenths of `dead_after`; [`NEVER_HEARD`] if never.
    pub age_sixteenths: u8,
}

/// [`PathReport::age_sixteenths`] of a path that was never heard.
pub const NEVER_HEARD: u8 = u8::MAX;

impl PathReport {
    /// The difference between two neighbouring ages, rounded up, for a sender with this `dead_after`.
    pub fn step(dead_after: Span) -> Span {
        Span::from_us((dead_after + Span::from_ms(1)).as_us().div_ceil(16))
    }

    /// How long ago the sender heard us here, rounded down; `None` if never.
    pub fn age(&self) -> Option<Span> {
        (self.age_sixteenths != NEVER_HEARD)
            .then(|| self.dead_after.fraction(u64::from(self.age_sixteenths), 16))
    }

    /// The longest that the age may be; `None` if never. The age was rounded down to a sixteenth, and its
    /// dead_after to a millisecond.
    pub fn longest_age(&self) -> Option<Span> {
        let next = u64::from(self.age_sixteenths).saturating_add(1);
        self.age().map(|_| Self::step(self.dead_after).fraction(next, 1))
    }

    /// The age from which on a report means that the peer does not hear us: late_after, but at least an
    /// interval and a step, which a peer that hears every beat may report.
    pub fn deaf_after(timing: PathTiming) -> Span {
        timing.late_after.max(timing.interval + Self::step(timing.dead_after))
    }

    /// An age in sixteenths of `dead_after`, rounded down; it stops growing just below 16 times `dead_after`.
    pub fn sixteenths(age: Option<Span>, dead_after: Span) -> u8 {
        let sixteenths = |age: Span| age.as_us().saturating_mul(16) / dead_after.as_us().max(1);
        age.map_or(NEVER_HEARD, |age| u8::try_from(sixteenths(age)).unwrap_or(u8::MAX).min(NEVER_HEARD - 1))
    }
}

/// What the sender of a beat is for one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupReport {
    /// Tells groups apart where the two configurations differ ([`crate::config::GroupPolicy::tag`]).
    pub tag: u8,
    /// Its role.
    pub role: Role,
    /// The term under which it holds the group, else the newest that it knows.
    pub term: u32,
    /// What it says to us about the group.
    pub word: Word,
}

/// Highest term that fits a beat.
pub const MAX_TERM: u32 = u32::MAX >> TERM_SHIFT;

/// Flags and reasons of the sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// It is in cold start: it has not heard us in this run.
    pub cold_start: bool,
    /// It released everything and leaves.
    pub leaving: bool,
    /// An interface of one of its groups has no carrier.
    pub no_carrier: bool,
    /// Its operator wants it to hold nothing.
    pub standby: bool,
    /// Its operator wants nothing moved for this much longer; [`NO_END`] if the beat does not say how long.
    pub maintenance: Option<Span>,
    /// The modem lines at its end of a cable show that ours dropped.
    pub lines_dropped: bool,
    /// The voting witness counts: it will be asked before a group is served alone.
    pub vote_counts: bool,
    /// The receiver still answers for an address of a group that the sender serves.
    pub still_held: bool,
    /// It decides and reports, and never acts.
    pub shadow: bool,
    /// It cannot serve, and why.
    pub trouble: Trouble,
    /// Which witnesses it sees, bit by bit; four at most.
    pub witnesses: u8,
}

/// A maintenance whose end is not said.
pub const NO_END: Span = Span::from_us(u64::MAX);

impl Beat {
    /// One that says nothing.
    pub(crate) const NONE: Self = Self {
        ack: Ack::Whole(0),
        interval: Span::ZERO,
        paths: Vec::new(),
        groups: Vec::new(),
        interfaces: Vec::new(),
        standing: Standing {
            cold_start: false,
            leaving: false,
            no_carrier: false,
            standby: false,
            maintenance: None,
            lines_dropped: false,
            vote_counts: false,
            still_held: false,
            shadow: false,
            trouble: Trouble::None,
            witnesses: 0,
        },
        release: Mechanisms { lease_s: 0, watchdog_s: 0, stop_s: 0 },
        digest: [0; 4],
    };

    /// A beat of a pair with this many paths, groups and interfaces, and large numbers in it. Counts above
    /// the bounds of [`crate::config`] are cut.
    pub fn largest(paths: usize, groups: usize, interfaces: usize) -> Self {
        let path = PathReport { dead_after: crate::config::MAX_DEAD_AFTER, age_sixteenths: 1 };
        let group =
            GroupReport { tag: 0xff, role: Role::Active, term: u32::from(u16::MAX), word: Word::None };
        Self {
            ack: Ack::Whole(u32::MAX),
            interval: crate::config::MAX_INTERVAL,
            paths: core::iter::repeat_n(path, paths.min(MAX_PATHS)).collect(),
            groups: core::iter::repeat_n(group, groups.min(MAX_GROUPS)).collect(),
            interfaces: core::iter::repeat_n(Interface::Dark, interfaces.min(MAX_INTERFACES)).collect(),
            standing: Standing::default(),
            release: Mechanisms { lease_s: 60, watchdog_s: 60, stop_s: 9_999 },
            digest: [0xff; 4],
        }
    }
}

const TERM_SHIFT: u32 = 4;
const ROLE_MASK: u32 = 0b1111;
// Flags: never renumber.
const COLD_START: u8 = 0b00_0001;
const LEAVING: u8 = 0b00_0010;
const NO_CARRIER: u8 = 0b00_0100;
const LINES_DROPPED: u8 = 0b00_1000;
const STANDBY: u8 = 0b01_0000;
const MAINTENANCE: u8 = 0b10_0000;
// Flags of the second byte.
const VOTE_COUNTS: u8 = 0b001;
const STILL_HELD: u8 = 0b010;
const SHADOW: u8 = 0b100;

/// Numbers of the roles, and of a backup's words, on the wire: never renumber. A new number may only be a
/// word of a node that does not hold the group, since an older build reads it as [`Word::Unable`].
const ROLES: [(Role, Word, u32); 10] = [
    (Role::Backup, Word::None, 0),
    (Role::Acquiring, Word::None, 1),
    (Role::Active, Word::None, 2),
    (Role::Releasing, Word::None, 3),
    (Role::Faulty, Word::None, 4),
    (Role::Backup, Word::Offered, 5),
    (Role::Backup, Word::Wanted, 6),
    (Role::Backup, Word::Yielded, 7),
    (Role::Backup, Word::Unable, 8),
    (Role::Backup, Word::Unready, 9),
];
/// Numbers of the troubles on the wire: never renumber.
const TROUBLES: [(Trouble, u8); 4] =
    [(Trouble::None, 0), (Trouble::GuardLost, 1), (Trouble::GuardSilent, 2), (Trouble::Other, 15)];

/// Decodes a value that fills its bytes exactly. Postcard ignores trailing bytes; this refuses them.
pub fn decode_all<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) => Some(value),
        Ok(_) | Err(_) => None,
    }
}

/// Tag, and role under term. A word that goes with no role is left out: only a backup has something to say.
pub(super) fn pack_group(group: &GroupReport) -> (u8, u32) {
    let spoken = ROLES.iter().find(|(role, word, _)| (*role, *word) == (group.role, group.word));
    let plain = ROLES.iter().find(|(role, word, _)| (*role, *word) == (group.role, Word::None));
    let number = spoken.or(plain).map_or(0, |(_, _, number)| *number);
    (group.tag, (group.term.min(MAX_TERM) << TERM_SHIFT) | number)
}

/// What a group's bytes say, and whether the number of the role is known. If it is not, the group reads as a
/// backup that cannot serve.
pub(super) fn unpack_group(tag: u8, packed: u32) -> (GroupReport, bool) {
    let known = ROLES.iter().find(|(_, _, number)| *number == packed & ROLE_MASK);
    let (role, word) = known.map_or((Role::Backup, Word::Unable), |(role, word, _)| (*role, *word));
    (GroupReport { tag, role, term: packed >> TERM_SHIFT, word }, known.is_some())
}

pub(super) fn pack_flags(standing: &Standing) -> u8 {
    let bits = [
        (standing.cold_start, COLD_START),
        (standing.leaving, LEAVING),
        (standing.no_carrier, NO_CARRIER),
        (standing.standby, STANDBY),
        (standing.maintenance.is_some(), MAINTENANCE),
        (standing.lines_dropped, LINES_DROPPED),
    ];
    fold(&bits)
}

pub(super) fn pack_more_flags(standing: &Standing) -> u8 {
    fold(&[(standing.vote_counts, VOTE_COUNTS), (standing.still_held, STILL_HELD), (standing.shadow, SHADOW)])
}

fn fold(bits: &[(bool, u8)]) -> u8 {
    bits.iter().filter(|(is_set, _)| *is_set).fold(0, |flags, (_, bit)| flags | bit)
}

/// What the first byte of flags says; all other fields have their defaults.
pub(super) fn unpack_flags(flags: u8) -> Standing {
    Standing {
        cold_start: flags & COLD_START != 0,
        leaving: flags & LEAVING != 0,
        no_carrier: flags & NO_CARRIER != 0,
        standby: flags & STANDBY != 0,
        maintenance: (flags & MAINTENANCE != 0).then_some(NO_END),
        lines_dropped: flags & LINES_DROPPED != 0,
        ..Standing::default()
    }
}

pub(super) fn unpack_more_flags(flags: u8, standing: &mut Standing) {
    standing.vote_counts = flags & VOTE_COUNTS != 0;
    standing.still_held = flags & STILL_HELD != 0;
    standing.shadow = flags & SHADOW != 0;
}

/// Trouble in bits 0-3, witnesses in bits 4-7.
pub(super) fn pack_trouble(trouble: Trouble, witnesses: u8) -> u8 {
    let number = TROUBLES.iter().find(|(known, _)| *known == trouble).map_or(0, |(_, number)| *number);
    (witnesses << 4) | number
}

/// `None` for a trouble whose number is not known.
pub(super) fn unpack_trouble(packed: u8) -> (Option<Trouble>, u8) {
    let trouble = TROUBLES.iter().find(|(_, number)| *number == packed & 0x0f).map(|(trouble, _)| *trouble);
    (trouble, packed >> 4)
}
