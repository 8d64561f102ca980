//! Why a frame was refused: one counter each, in the order in which frames are checked.

use serde::{Deserialize, Serialize};

/// Why a frame was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// Shorter than a hello or longer than any message.
    Length,
    /// The CRC does not match: line noise.
    Crc,
    /// A protocol version that we do not speak.
    Version,
    /// Another pair's id.
    Pair,
    /// Our own frame coming back: a loopback plug or a straight cable.
    Looped,
    /// Another box claims to be this node.
    SameNode,
    /// It was sent on another path than the one it came in on: two cables are swapped.
    Path,
    /// It does not echo the session value that we gave its sender: stale, or recorded.
    Session,
    /// It was made with a key id that we do not have.
    UnknownKey,
    /// The authenticator does not match: the two nodes' keys differ.
    Authenticator,
    /// Its number is not above the last one of that sender on that path: a duplicate or a replay.
    Number,
    /// A frame without an echo came too soon after the last one.
    TooOften,
    /// The payload does not decode, or decodes to something impossible.
    Decode,
}

/// Number of kinds of refusal.
pub const REFUSALS: usize = 13;

impl Refusal {
    /// All kinds, in checking order.
    pub const ALL: [Self; REFUSALS] = [
        Self::Length,
        Self::Crc,
        Self::Version,
        Self::Pair,
        Self::Looped,
        Self::SameNode,
        Self::Path,
        Self::Session,
        Self::UnknownKey,
        Self::Authenticator,
        Self::Number,
        Self::TooOften,
        Self::Decode,
    ];

    /// Index into a table of counters.
    #[expect(clippy::as_conversions, reason = "no trait gives the place of a variant")]
    pub fn index(self) -> usize {
        usize::from(self as u8)
    }

    /// What the refused bytes say of the far end of a serial cable.
    pub const fn reading(self) -> Reading {
        match self {
            Self::Length | Self::Crc => Reading::Noise,
            Self::Looped => Reading::Echo,
            Self::Version
            | Self::Pair
            | Self::SameNode
            | Self::Path
            | Self::UnknownKey
            | Self::Authenticator
            | Self::Decode => Reading::Stranger,
            Self::TooOften | Self::Session | Self::Number => Reading::Stale,
        }
    }
}

/// What refused bytes say of the far end of a serial cable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Bytes that are no frame.
    Noise,
    /// Ourselves.
    Echo,
    /// Somebody lives there whom we do not understand.
    Stranger,
    /// Our peer, but an old or repeated frame, or one from before the handshake; it proves nothing.
    Stale,
}

/// One counter per kind of refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Refusals {
    counts: [u32; REFUSALS],
}

impl Refusals {
    /// Counts one.
    pub fn count(&mut self, refusal: Refusal) {
        if let Some(count) = self.counts.get_mut(refusal.index()) {
            *count = count.saturating_add(1);
        }
    }

    /// How many of this kind there were.
    pub fn of(&self, refusal: Refusal) -> u32 {
        self.counts.get(refusal.index()).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_kind_at_its_own_index() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal.index(), index);
        }
    }
}
