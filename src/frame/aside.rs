//! The lifeline: what operators ask of the other node over the pair's own paths, when no other way leads
//! there.
//!
//! Asides prove nothing and change nothing: they are authenticated and fresh like a beat, and have numbers of
//! their own, so that no aside acknowledges, delays or replaces a beat. The node that asks drives: each
//! [`Ask`] names the first byte that it lacks, and is answered by one [`Tell`], which is as long as the line
//! has time for. So the node that is asked repeats nothing by itself; the other one asks again for what was
//! lost.

use heapless::Vec;
use serde::{Deserialize, Serialize};

/// Most bytes of text in one frame.
pub const MAX_CHUNK_BYTES: usize = 112;
/// Longest text: what is longer is cut, at its beginning unless its subject says otherwise.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;

/// What can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Subject {
    /// What `status` shows there.
    Status,
    /// What `why` shows there.
    Why,
    /// The last lines of the log there.
    Log,
    /// How many entries its journal has had, then the newest of them, a line each: for whoever follows a
    /// move.
    Progress,
    /// What both nodes must agree on, as it goes by it: the lines of the digest. Of a long text the
    /// beginning.
    Settings,
    /// A subject of a later build, which this one does not know. The answer is a text of no bytes.
    Unknown,
}

impl Subject {
    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Status => 0,
            Self::Why => 1,
            Self::Log => 2,
            Self::Progress => 3,
            Self::Settings => 4,
            Self::Unknown => u8::MAX,
        }
    }

    /// The subject of that number.
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Status,
            1 => Self::Why,
            2 => Self::Log,
            3 => Self::Progress,
            4 => Self::Settings,
            _ => Self::Unknown,
        }
    }
}

/// 'Tell me of this, from this byte on.'
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ask {
    /// What is asked for.
    pub subject: Subject,
    /// Tells one reading from the next: a new number asks for a new text.
    pub reading: u8,
    /// First byte of the text that is wanted.
    pub offset: u16,
}

/// A piece of the answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tell {
    /// The number of the reading.
    pub reading: u8,
    /// Where in the text the piece begins.
    pub offset: u16,
    /// Length of the whole text.
    pub total: u16,
    /// The piece.
    pub bytes: Vec<u8, MAX_CHUNK_BYTES>,
}

/// A message of the lifeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Aside {
    /// A question.
    Ask(Ask),
    /// A piece of an answer.
    Tell(Tell),
}
