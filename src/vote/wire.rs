//! Questions and replies as bytes, of fixed width and little-endian.
//!
//! | question | | reply | |
//! |---|---|---|---|
//! | version, kind | 1 | version, kind | 1 |
//! | name of the key | 8 | name of the key | 8 |
//! | sender: 0 or 1 | 1 | receiver: 0 or 1 | 1 |
//! | run | 8 | run of the receiver | 8 |
//! | echo | 8 | number of the question | 4 |
//! | number | 4 | run of the witness | 8 |
//! | stamp of the newest reply heard | 8 | session value | 8 |
//! | length, milliseconds | 2 | stamp | 8 |
//! | lease, seconds | 1 | flags: counted, quiet, waiting | 1 |
//! | groups claimed | 1 | groups granted now | 1 |
//! | groups returned | 1 | groups that stand | 1 |
//! | groups shown | 1 | groups held | 1 |
//! | groups that were granted with them | 1 | groups that the other holds | 1 |
//! | the run that granted them | 8 | groups that the other claims | 1 |
//! | its stamp | 8 | age of the other's last renewal, ms | 4 |
//! | its seal | 8 | seal of the groups granted now | 8 |
//! | authenticator | 8 | authenticator | 8 |

use serde::{Deserialize, Serialize};

use super::GroupBits;
use super::keys::{MAC_BYTES, PairName, WitnessKey, is_same};
use crate::pair::Side;
use crate::time::Span;

/// Bytes of a question.
pub const QUESTION_BYTES: usize = 77;
/// Bytes of a reply: no more than those of a question.
pub const REPLY_BYTES: usize = 72;
const _: () = assert!(REPLY_BYTES <= QUESTION_BYTES);

const VERSION: u8 = 1 << 4;
const QUESTION: u8 = VERSION | 1;
const REPLY: u8 = VERSION | 2;

const COUNTED: u8 = 1;
const QUIET: u8 = 2;
const WAITING: u8 = 4;

/// One run of a node, or of a witness: random.
pub type Run = [u8; 8];

/// A grant that its holder shows to a witness that was restarted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shown {
    /// The groups that are still worth something; none: nothing is shown.
    pub groups: GroupBits,
    /// All groups that were granted with that stamp, which is what the seal covers.
    pub granted: GroupBits,
    /// Which run of the witness granted it.
    pub by: Run,
    /// The stamp of the reply that granted it.
    pub stamp: u64,
    /// Its seal.
    pub seal: [u8; MAC_BYTES],
}

/// What a node asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// Who asks.
    pub sender: Side,
    /// Which run of it.
    pub run: Run,
    /// The session value that the witness gave to that run; zero before it gave one.
    pub echo: u64,
    /// Counts up over the questions of a run.
    pub number: u32,
    /// The stamp of the newest reply that the sender has heard; zero: none.
    pub confirmed: u64,
    /// For how long the groups are claimed.
    pub length: Span,
    /// The sender's lease.
    pub lease: Span,
    /// What the sender serves, or would take now.
    pub claims: GroupBits,
    /// What the sender has let go of, confirmed by its kernel.
    pub returns: GroupBits,
    /// What an earlier run of the witness granted.
    pub shown: Shown,
}

/// What the witness answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// Who is answered.
    pub receiver: Side,
    /// Which run of it.
    pub receiver_run: Run,
    /// Which question.
    pub number: u32,
    /// The run of the witness.
    pub run: Run,
    /// What a question has to echo to count.
    pub value: u64,
    /// When it was said, by the witness's clock: each reply to a pair has a later one.
    pub stamp: u64,
    /// Whether the question counted. One that did not has changed nothing, and nothing below means anything.
    pub is_counted: bool,
    /// Whether the other node has asked nothing for its lease and [`QUIET`](super::QUIET).
    pub is_other_quiet: bool,
    /// Whether the witness begins no grant yet.
    pub is_waiting: bool,
    /// The groups that are granted for the length of the question from now on.
    pub granted: GroupBits,
    /// Those that the receiver may serve without the witness.
    pub standing: GroupBits,
    /// All that are kept for the receiver.
    pub held: GroupBits,
    /// Those that are kept for the other node.
    pub other_holds: GroupBits,
    /// Those that the other node claims.
    pub other_claims: GroupBits,
    /// How long ago the other node was last granted something, or asked while a grant of it stood; `None`:
    /// never by this run.
    pub other_renewed_ago: Option<Span>,
    /// The seal of what is granted.
    pub seal: [u8; MAC_BYTES],
}

/// Takes fields off the front of a message; past its end there are zeroes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk::<N>().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *field
    }

    fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn side(&mut self) -> Side {
        if self.byte() & 1 == 0 { Side::A } else { Side::B }
    }
}

/// Writes fields one after the other.
struct Room<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Room<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }

    fn put(&mut self, field: &[u8]) {
        let end = self.at.saturating_add(field.len());
        let room = self.bytes.get_mut(self.at..end);
        debug_assert!(room.is_some(), "a message has room for its fields");
        if let Some(room) = room {
            room.copy_from_slice(field);
        }
        self.at = end;
    }

    fn written(&self) -> &[u8] {
        self.bytes.get(..self.at).unwrap_or_default()
    }
}

/// The name of the key with which a message wants to be checked; `None` if it is no question.
pub fn name_in_question(bytes: &[u8]) -> Option<PairName> {
    let mut fields = Fields(bytes);
    (bytes.len() == QUESTION_BYTES && fields.byte() == QUESTION).then(|| fields.take())
}

/// What is under the authenticator, and whether that is right.
fn open<'a>(bytes: &'a [u8], mac_of: impl Fn(&[u8]) -> [u8; MAC_BYTES]) -> Option<Fields<'a>> {
    let (said, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
    is_same(mac, &mac_of(said)).then_some(Fields(said))
}

impl Question {
    /// As bytes.
    pub fn seal(&self, key: &WitnessKey) -> [u8; QUESTION_BYTES] {
        let lease_s = u8::try_from(self.lease.as_s_ceil()).unwrap_or(u8::MAX);
        let mut room = Room::<QUESTION_BYTES>::new();
        room.put(&[QUESTION]);
        room.put(&key.name());
        room.put(&[number_of(self.sender)]);
        room.put(&self.run);
        room.put(&self.echo.to_le_bytes());
        room.put(&self.number.to_le_bytes());
        room.put(&self.confirmed.to_le_bytes());
        room.put(&self.length.as_ms_u16().to_le_bytes());
        room.put(&[lease_s, self.claims, self.returns, self.shown.groups, self.shown.granted]);
        room.put(&self.shown.by);
        room.put(&self.shown.stamp.to_le_bytes());
        room.put(&self.shown.seal);
        let mac = key.of_node(self.sender, room.written());
        room.put(&mac);
        room.bytes
    }

    /// From any bytes; `None` unless it is an authentic question.
    pub fn open(bytes: &[u8], key: &WitnessKey) -> Option<Self> {
        if name_in_question(bytes)? != key.name() {
            return None;
        }
        let sender = Fields(bytes.get(9..)?).side();
        let mut fields = open(bytes, |said| key.of_node(sender, said))?;
        let (_, _) = (fields.byte(), fields.number());
        Some(Self {
            sender: fields.side(),
            run: fields.take(),
            echo: fields.number(),
            number: u32::from_le_bytes(fields.take()),
            confirmed: fields.number(),
            length: Span::from_ms(u64::from(u16::from_le_bytes(fields.take()))),
            lease: Span::from_s(u64::from(fields.byte())),
            claims: fields.byte(),
            returns: fields.byte(),
            shown: read_shown(&mut fields),
        })
    }
}

fn read_shown(fields: &mut Fields<'_>) -> Shown {
    Shown {
        groups: fields.byte(),
        granted: fields.byte(),
        by: fields.take(),
        stamp: fields.number(),
        seal: fields.take(),
    }
}

impl Reply {
    /// As bytes.
    pub fn seal(&self, key: &WitnessKey) -> [u8; REPLY_BYTES] {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let flags = flag(self.is_counted, COUNTED)
            | flag(self.is_other_quiet, QUIET)
            | flag(self.is_waiting, WAITING);
        let ago_ms = self.other_renewed_ago.map(|ago| u32::try_from(ago.as_ms()).unwrap_or(u32::MAX - 1));
        let mut room = Room::<REPLY_BYTES>::new();
        room.put(&[REPLY]);
        room.put(&key.name());
        room.put(&[number_of(self.receiver)]);
        room.put(&self.receiver_run);
        room.put(&self.number.to_le_bytes());
        room.put(&self.run);
        room.put(&self.value.to_le_bytes());
        room.put(&self.stamp.to_le_bytes());
        room.put(&[flags, self.granted, self.standing, self.held, self.other_holds, self.other_claims]);
        room.put(&ago_ms.unwrap_or(u32::MAX).to_le_bytes());
        room.put(&self.seal);
        let mac = key.of_witness(room.written());
        room.put(&mac);
        room.bytes
    }

    /// From any bytes; `None` unless it is an authentic reply.
    pub fn open(bytes: &[u8], key: &WitnessKey) -> Option<Self> {
        let mut fields = Fields(bytes);
        let is_reply = bytes.len() == REPLY_BYTES && fields.byte() == REPLY && fields.take() == key.name();
        if !is_reply {
            return None;
        }
        let mut fields = open(bytes, |said| key.of_witness(said))?;
        let (_, _) = (fields.byte(), fields.number());
        let (receiver, receiver_run) = (fields.side(), fields.take());
        let number = u32::from_le_bytes(fields.take());
        let (run, value, stamp, flags) = (fields.take(), fields.number(), fields.number(), fields.byte());
        Some(Self {
            receiver,
            receiver_run,
            number,
            run,
            value,
            stamp,
            is_counted: flags & COUNTED != 0,
            is_other_quiet: flags & QUIET != 0,
            is_waiting: flags & WAITING != 0,
            granted: fields.byte(),
            standing: fields.byte(),
            held: fields.byte(),
            other_holds: fields.byte(),
            other_claims: fields.byte(),
            other_renewed_ago: ago(u32::from_le_bytes(fields.take())),
            seal: fields.take(),
        })
    }
}

fn ago(ms: u32) -> Option<Span> {
    (ms != u32::MAX).then(|| Span::from_ms(u64::from(ms)))
}

const fn number_of(side: Side) -> u8 {
    match side {
        Side::A => 0,
        Side::B => 1,
    }
}

/// What the seal of a grant covers.
pub fn sealed_bytes(holder: Side, granted: GroupBits, run: Run, stamp: u64) -> [u8; 18] {
    let mut room = Room::<18>::new();
    room.put(&[number_of(holder), granted]);
    room.put(&run);
    room.put(&stamp.to_le_bytes());
    room.bytes
}
