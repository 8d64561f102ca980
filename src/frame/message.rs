//! What is said: hello, session, beat.
//!
//! Values mean something here; [`encode_beat`] and [`decode_beat`] turn a beat into its compact form and back. Everything that
//! arrives is checked against the bounds of [`crate::config`] while it is decoded.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::aside::{Aside, Ask, Tell};
use crate::config::{MAX_GROUPS, MAX_PATHS, PathTiming};
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

/// Payload of a session message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Give {
    /// The incarnation that it is for.
    pub to: Incarnation,
    /// What that incarnation has to echo from now on.
    pub value: SessionValue,
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
    /// May hold an address in this role.
    pub const fn is_holding(self) -> bool {
        match self {
            Self::Acquiring | Self::Active | Self::Releasing => true,
            Self::Backup | Self::Faulty => false,
        }
    }
}

/// The heartbeat: everything the peer has to know of us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beat {
    /// Newest of the receiver's numbers that the sender heard on any path; 0 before the first.
    pub ack: u32,
    /// The sender's shortest interval.
    pub interval: Span,
    /// Per path, what the sender hears on it.
    pub paths: Vec<PathReport, MAX_PATHS>,
    /// Per group, what the sender is for it.
    pub groups: Vec<GroupReport, MAX_GROUPS>,
    /// How the sender stands.
    pub standing: Standing,
    /// What lets go of the sender's addresses if it cannot any more.
    pub release: Mechanisms,
    /// Checksum of the configuration that both must share.
    pub digest: [u8; 4],
}

/// What the sender of a beat hears on one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathReport {
    /// Its dead_after for the path, whole milliseconds.
    pub dead_after: Span,
    /// How long ago it heard the receiver, in sixteenths of `dead_after`; [`NEVER_HEARD`] if never.
    pub age_sixteenths: u8,
}

/// [`PathReport::age_sixteenths`] of a path that was never heard.
pub const NEVER_HEARD: u8 = u8::MAX;

impl PathReport {
    /// By how much two neighbouring ages differ, rounded up, where the sender goes by this `dead_after`.
    pub fn step(dead_after: Span) -> Span {
        Span::from_us((dead_after + Span::from_ms(1)).as_us().div_ceil(16))
    }

    /// How long ago the sender heard us here, rounded down; `None` if never.
    pub fn age(&self) -> Option<Span> {
        (self.age_sixteenths != NEVER_HEARD).then(|| self.dead_after.fraction(u64::from(self.age_sixteenths), 16))
    }

    /// The longest that it may be, `None` if never: an age is rounded down to a sixteenth, and its dead_after to a millisecond.
    pub fn longest_age(&self) -> Option<Span> {
        let next = u64::from(self.age_sixteenths).saturating_add(1);
        self.age().map(|_| Self::step(self.dead_after).fraction(next, 1))
    }

    /// From which age on a report says that we are not heard: late_after, and never an age that the steps of a report cannot
    /// tell from that of a peer whom every beat of ours reaches.
    pub fn deaf_after(timing: PathTiming) -> Span {
        timing.late_after.max(timing.interval + Self::step(timing.dead_after))
    }

    /// Ages are rounded down and stop growing just below 16 times dead_after.
    pub fn sixteenths(age: Option<Span>, dead_after: Span) -> u8 {
        let sixteenths = |age: Span| age.as_us().saturating_mul(16) / dead_after.as_us().max(1);
        age.map_or(NEVER_HEARD, |age| u8::try_from(sixteenths(age)).unwrap_or(u8::MAX).min(NEVER_HEARD - 1))
    }
}

/// What the sender of a beat is for one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    /// 'I could not serve this group now': an interface of it has no carrier here, somebody answers for an address of it, or
    /// our guard does not ask the wire.
    Unable,
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
    /// Its operator wants nothing moved.
    pub maintenance: bool,
    /// The modem lines at its end of a cable show that ours dropped.
    pub lines_dropped: bool,
    /// It cannot serve, and why.
    pub trouble: Trouble,
    /// Which witnesses it sees, bit by bit; four at most.
    pub witnesses: u8,
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

impl Beat {
    /// The longest beat of a pair with this many paths and groups, while terms stay below 65,536. Counts above the
    /// bounds of [`crate::config`] are cut.
    pub fn largest(paths: usize, groups: usize) -> Self {
        let path = PathReport { dead_after: crate::config::MAX_DEAD_AFTER, age_sixteenths: 1 };
        let group = GroupReport { tag: 0xff, role: Role::Active, term: u32::from(u16::MAX), word: Word::None };
        Self {
            ack: u32::MAX,
            interval: crate::config::MAX_INTERVAL,
            paths: core::iter::repeat_n(path, paths.min(MAX_PATHS)).collect(),
            groups: core::iter::repeat_n(group, groups.min(MAX_GROUPS)).collect(),
            standing: Standing::default(),
            release: Mechanisms { lease_s: 60, watchdog_s: 60, stop_s: 9_999 },
            digest: [0xff; 4],
        }
    }
}

/// The compact form of a beat, as postcard sees it.
#[derive(Serialize, Deserialize)]
struct Compact {
    ack: [u8; 4],
    interval_ms: u16,
    /// dead_after in milliseconds, age.
    paths: Vec<(u16, u8), MAX_PATHS>,
    /// Tag; role and word in bits 0-3, term above.
    groups: Vec<(u8, u32), MAX_GROUPS>,
    flags: u8,
    /// Trouble in bits 0-3, witnesses in bits 4-7.
    trouble: u8,
    digest: [u8; 4],
    release: Mechanisms,
}

const TERM_SHIFT: u32 = 4;
const ROLE_MASK: u32 = 0b1111;
const COLD_START: u8 = 0b00_0001;
const LEAVING: u8 = 0b00_0010;
const NO_CARRIER: u8 = 0b00_0100;
const LINES_DROPPED: u8 = 0b00_1000;
const STANDBY: u8 = 0b01_0000;
const MAINTENANCE: u8 = 0b10_0000;

/// Numbers of the roles, and of what a backup says, on the wire: never renumber.
const ROLES: [(Role, Word, u32); 9] = [
    (Role::Backup, Word::None, 0),
    (Role::Acquiring, Word::None, 1),
    (Role::Active, Word::None, 2),
    (Role::Releasing, Word::None, 3),
    (Role::Faulty, Word::None, 4),
    (Role::Backup, Word::Offered, 5),
    (Role::Backup, Word::Wanted, 6),
    (Role::Backup, Word::Yielded, 7),
    (Role::Backup, Word::Unable, 8),
];
/// Numbers of the troubles on the wire: never renumber.
const TROUBLES: [(Trouble, u8); 3] = [(Trouble::None, 0), (Trouble::GuardLost, 1), (Trouble::GuardSilent, 2)];

/// Writes the payload of a beat.
///
/// # Errors
/// None within the bounds of [`crate::config`]; `Err` if `room` is too small.
pub fn encode_beat<'a>(beat: &Beat, room: &'a mut [u8]) -> Result<&'a mut [u8], postcard::Error> {
    let ms = |span: Span| u16::try_from(span.as_ms()).unwrap_or(u16::MAX);
    let compact = Compact {
        ack: beat.ack.to_le_bytes(),
        interval_ms: ms(beat.interval),
        paths: beat.paths.iter().map(|p| (ms(p.dead_after), p.age_sixteenths)).collect(),
        groups: beat.groups.iter().map(pack_group).collect(),
        flags: pack_flags(beat.standing),
        trouble: pack_trouble(beat.standing),
        digest: beat.digest,
        release: beat.release,
    };
    postcard::to_slice(&compact, room)
}

/// Reads the payload of a beat: all of it, and nothing behind it.
pub fn decode_beat(payload: &[u8]) -> Option<Beat> {
    let compact: Compact = decode_all(payload)?;
    let path = |(ms, age_sixteenths): &(u16, u8)| PathReport {
        dead_after: Span::from_ms(u64::from(*ms)),
        age_sixteenths: *age_sixteenths,
    };
    Some(Beat {
        ack: u32::from_le_bytes(compact.ack),
        interval: Span::from_ms(u64::from(compact.interval_ms)),
        paths: compact.paths.iter().map(path).collect(),
        groups: compact.groups.iter().map(|packed| unpack_group(*packed)).collect::<Option<_>>()?,
        standing: unpack_standing(compact.flags, compact.trouble)?,
        release: compact.release,
        digest: compact.digest,
    })
}

/// Writes the payload of a session message.
///
/// # Errors
/// `Err` if `room` is too small.
pub fn encode_give<'a>(give: &Give, room: &'a mut [u8]) -> Result<&'a mut [u8], postcard::Error> {
    postcard::to_slice(give, room)
}

/// Reads the payload of a session message. The value zero means 'none' and cannot be given.
pub fn decode_give(payload: &[u8]) -> Option<Give> {
    decode_all(payload).filter(|give: &Give| give.value != SessionValue::NONE)
}

/// Writes the payload of an aside.
///
/// # Errors
/// `Err` if `room` is too small.
pub fn encode_aside<'a>(aside: &Aside, room: &'a mut [u8]) -> Result<&'a mut [u8], postcard::Error> {
    match aside {
        Aside::Ask(ask) => postcard::to_slice(ask, room),
        Aside::Tell(tell) => postcard::to_slice(tell, room),
    }
}

/// Reads the payload of a question.
pub fn decode_ask(payload: &[u8]) -> Option<Ask> {
    decode_all(payload)
}

/// Reads the payload of a piece of an answer.
pub fn decode_tell(payload: &[u8]) -> Option<Tell> {
    decode_all(payload)
}

/// A value that fills its bytes exactly: postcard ignores trailing ones, and what has any is not one of ours.
pub fn decode_all<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) => Some(value),
        Ok(_) | Err(_) => None,
    }
}

/// A word that goes with no role is left out: only a backup has something to say.
fn pack_group(group: &GroupReport) -> (u8, u32) {
    let spoken = ROLES.iter().find(|(role, word, _)| (*role, *word) == (group.role, group.word));
    let plain = ROLES.iter().find(|(role, word, _)| (*role, *word) == (group.role, Word::None));
    let number = spoken.or(plain).map_or(0, |(_, _, number)| *number);
    (group.tag, (group.term.min(MAX_TERM) << TERM_SHIFT) | number)
}

fn unpack_group((tag, packed): (u8, u32)) -> Option<GroupReport> {
    let (role, word, _) = *ROLES.iter().find(|(_, _, number)| *number == packed & ROLE_MASK)?;
    Some(GroupReport { tag, role, term: packed >> TERM_SHIFT, word })
}

fn pack_flags(standing: Standing) -> u8 {
    let bits = [
        (standing.cold_start, COLD_START),
        (standing.leaving, LEAVING),
        (standing.no_carrier, NO_CARRIER),
        (standing.standby, STANDBY),
        (standing.maintenance, MAINTENANCE),
        (standing.lines_dropped, LINES_DROPPED),
    ];
    bits.into_iter().filter(|(set, _)| *set).fold(0, |flags, (_, bit)| flags | bit)
}

fn pack_trouble(standing: Standing) -> u8 {
    let number = TROUBLES.iter().find(|(trouble, _)| *trouble == standing.trouble).map_or(0, |(_, number)| *number);
    (standing.witnesses << 4) | number
}

/// A flag that we do not know could mean anything: refuse the beat rather than guess.
fn unpack_standing(flags: u8, trouble: u8) -> Option<Standing> {
    let known = COLD_START | LEAVING | NO_CARRIER | LINES_DROPPED | STANDBY | MAINTENANCE;
    let witnesses = trouble >> 4;
    let trouble = TROUBLES.iter().find(|(_, n)| *n == trouble & 0x0f)?.0;
    (flags & !known == 0).then_some(Standing {
        cold_start: flags & COLD_START != 0,
        leaving: flags & LEAVING != 0,
        no_carrier: flags & NO_CARRIER != 0,
        standby: flags & STANDBY != 0,
        maintenance: flags & MAINTENANCE != 0,
        lines_dropped: flags & LINES_DROPPED != 0,
        trouble,
        witnesses,
    })
}
