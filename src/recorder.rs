//! The flight recorder: what the node was told last, with a state from which it can be replayed.
//!
//! The room has two halves. Each holds the node as it was when the half began, and the events since then with
//! the decisions that followed. When a half is full the older one begins anew. The node owns no key and is
//! told decoded messages, so no key material can come into a recording.
//!
//! ```text
//! half    node's length 4 | instant, node | entry | entry ...
//! entry   length 2 | time since the last one, event, its beat where it is new, number, decisions
//! ```
//!
//! All but the lengths is postcard. Decisions are a checksum of what the node asked for, without what it
//! sends: a replay has no key to seal that with.

use crate::encode::to_slice;
use serde::{Deserialize, Serialize};

use crate::frame::{Beat, Body, Version};
use crate::pair::PathId;
use crate::quorum::Node;
use crate::quorum::event::{Effect, Effects, Event, Said, Voice};
use crate::time::{Instant, Span};

/// Most bytes of an entry, with its length.
const MAX_ENTRY_BYTES: usize = 512;
/// Bytes of the length of a node, and of an entry.
const NODE_LENGTH_BYTES: usize = 4;
const ENTRY_LENGTH_BYTES: usize = 2;

/// Takes note of every step of a node.
pub trait Tape {
    /// A step follows.
    fn before(&mut self, now: Instant, node: &Node);

    /// The step that this event made: `number` is the number that it took for its frames, or 0.
    fn after(&mut self, now: Instant, event: &Event<'_>, number: u32, effects: &[Effect]);
}

/// Nothing is recorded.
impl Tape for () {
    fn before(&mut self, _: Instant, _: &Node) {}

    fn after(&mut self, _: Instant, _: &Event<'_>, _: u32, _: &[Effect]) {}
}

/// One step.
#[derive(Serialize, Deserialize)]
struct Entry<E, B> {
    after: Span,
    event: E,
    /// The beat of [`Said::Beat`], where it is another one than the last.
    beat: Option<B>,
    number: u32,
    decisions: u32,
}

/// Records into a room of any size, without allocating.
#[derive(Clone)]
pub struct Recorder<Room> {
    room: Room,
    /// How much of each half is used.
    used: [usize; 2],
    /// The half that is being written; `None` before the first step.
    current: Option<usize>,
    last_at: Instant,
    beat: Option<Beat>,
}

impl<Room: AsRef<[u8]> + AsMut<[u8]>> Recorder<Room> {
    /// Nothing recorded yet.
    pub fn new(room: Room) -> Self {
        Self { room, used: [0; 2], current: None, last_at: Instant::ORIGIN, beat: None }
    }

    /// What was recorded, the older half first. A half that has not begun is empty.
    pub fn halves(&self) -> [&[u8]; 2] {
        let newer = self.current.unwrap_or(0);
        [1 - newer.min(1), newer].map(|half| {
            let begin = half * self.half_bytes();
            let used = self.used.get(half).copied().unwrap_or(0);
            self.room.as_ref().get(begin..begin + used).unwrap_or_default()
        })
    }

    fn half_bytes(&self) -> usize {
        self.room.as_ref().len() / 2
    }

    /// The free rest of a half.
    fn free(&mut self, half: usize) -> &mut [u8] {
        let (begin, bytes) = (half * self.half_bytes(), self.half_bytes());
        let used = self.used.get(half).copied().unwrap_or(bytes);
        self.room.as_mut().get_mut(begin + used..begin + bytes).unwrap_or_default()
    }

    /// Begins a half anew. A node that does not fit leaves it empty, and nothing is recorded.
    fn begin(&mut self, half: usize, now: Instant, node: &Node) {
        self.current = Some(half);
        (self.last_at, self.beat) = (now, None);
        self.set_used(half, 0);
        let written = self.free(half).split_at_mut_checked(NODE_LENGTH_BYTES).and_then(|(length, rest)| {
            let bytes = to_slice(&(now, node), rest)?.len();
            length.copy_from_slice(&u32::try_from(bytes).ok()?.to_le_bytes());
            Some(NODE_LENGTH_BYTES + bytes)
        });
        self.set_used(half, written.unwrap_or(0));
    }

    fn set_used(&mut self, half: usize, used: usize) {
        if let Some(here) = self.used.get_mut(half) {
            *here = used;
        }
    }
}

impl<Room: AsRef<[u8]> + AsMut<[u8]>> Tape for Recorder<Room> {
    fn before(&mut self, now: Instant, node: &Node) {
        if !cfg!(feature = "recorder") {
            return;
        }
        let current = self.current;
        match current {
            None => self.begin(0, now, node),
            Some(half) if self.free(half).len() < MAX_ENTRY_BYTES => self.begin(1 - half.min(1), now, node),
            Some(_) => {}
        }
    }

    fn after(&mut self, now: Instant, event: &Event<'_>, number: u32, effects: &[Effect]) {
        if !cfg!(feature = "recorder") {
            return;
        }
        let Some(half) = self.current.filter(|half| self.used.get(*half).is_some_and(|used| *used > 0))
        else {
            return;
        };
        let heard = if let Event::Heard(_, Said::Beat(beat, _)) = event { Some(*beat) } else { None };
        let beat = heard.filter(|beat| self.beat.as_ref() != Some(*beat));
        let after = now.since(self.last_at);
        let entry = Entry { after, event, beat, number, decisions: decisions(effects) };
        let written = self.free(half).split_at_mut_checked(ENTRY_LENGTH_BYTES).and_then(|(length, rest)| {
            let bytes = to_slice(&entry, rest)?.len();
            length.copy_from_slice(&u16::try_from(bytes).ok()?.to_le_bytes());
            Some(ENTRY_LENGTH_BYTES + bytes)
        });
        debug_assert!(written.is_some(), "no entry is longer than its limit");
        if let Some(beat) = beat {
            self.beat = Some(beat.clone());
        }
        self.last_at = now;
        let used = self.used.get(half).copied().unwrap_or(0);
        self.set_used(half, used + written.unwrap_or(0));
    }
}

/// A checksum (FNV-1a) of what a step asked for; 0 if for nothing. It leaves out frames, questions to
/// witnesses and deposits.
pub fn decisions(effects: &[Effect]) -> u32 {
    let mut room = [0; 256];
    let mut hash = 0;
    for effect in effects {
        let written = match effect {
            Effect::Order(ticket) => to_slice(&(0u8, ticket), &mut room),
            Effect::Record(record) => to_slice(&(1u8, record), &mut room),
            Effect::Reply(reply) => to_slice(&(2u8, reply), &mut room),
            Effect::ShowHolding(is_holding) => to_slice(&(3u8, is_holding), &mut room),
            Effect::Exit => to_slice(&4u8, &mut room),
            Effect::AskForPeer => to_slice(&5u8, &mut room),
            Effect::AskNeighbours(interfaces) => to_slice(&(6u8, interfaces), &mut room),
            Effect::Send(..)
            | Effect::Aside(..)
            | Effect::AskWitnesses
            | Effect::AskVote(_)
            | Effect::Deposit => continue,
        };
        debug_assert!(written.is_some(), "no effect is longer than the room for it");
        for byte in written.into_iter().flatten() {
            let before = if hash == 0 { FNV_BASIS } else { hash };
            hash = (before ^ u32::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
    hash
}

const FNV_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// The bytes are no recording of this build.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spoilt;

/// One step that was replayed.
pub struct Repeated<'a> {
    /// When it was.
    pub at: Instant,
    /// What the node asked for now.
    pub effects: &'a [Effect],
    /// Whether it asked for the same when it was recorded.
    pub is_same: bool,
}

/// Replays a recorded half through the shipped node, and tells `told` of each step. Returns the number of
/// steps.
///
/// # Errors
/// [`Spoilt`] if it is cut short or of another build. `told` has heard of the steps until then.
pub fn repeat(half: &[u8], mut told: impl FnMut(&Repeated<'_>)) -> Result<u32, Spoilt> {
    let (length, rest) = half.split_first_chunk::<NODE_LENGTH_BYTES>().ok_or(Spoilt)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Spoilt)?;
    let (node, mut rest) = rest.split_at_checked(length).ok_or(Spoilt)?;
    let (mut now, mut node): (Instant, Node) = all_of(node)?;
    let (mut beat, mut steps, mut effects) = (None, 0, Effects::new());
    while let Some((length, behind)) = rest.split_first_chunk::<ENTRY_LENGTH_BYTES>() {
        let (entry, behind) =
            behind.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or(Spoilt)?;
        rest = behind;
        let mut entry: Entry<Event<'_>, Beat> = all_of(entry)?;
        now = now + entry.after;
        beat = entry.beat.take().or(beat);
        if let Event::Heard(_, Said::Beat(heard, _)) = &mut entry.event {
            *heard = beat.as_ref().ok_or(Spoilt)?;
        }
        effects.clear();
        node.step(now, entry.event, &mut Again(entry.number), &mut effects);
        steps += 1;
        told(&Repeated { at: now, effects: &effects, is_same: decisions(&effects) == entry.decisions });
    }
    if rest.is_empty() { Ok(steps) } else { Err(Spoilt) }
}

fn all_of<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Spoilt> {
    crate::frame::message::decode_all(bytes).ok_or(Spoilt)
}

/// A voice that takes the recorded number for its frames and seals nothing.
struct Again(u32);

impl Voice for Again {
    fn next_number(&mut self) -> u32 {
        self.0
    }

    fn next_hello(&mut self, _: Instant, _: bool) -> Option<Version> {
        None
    }

    fn seal_beat(&self, _: PathId, _: u32, _: &Beat) -> Option<Body> {
        Some(Body::new())
    }

    fn seal_hello(&mut self, _: Version, _: PathId) -> Body {
        Body::new()
    }
}
