//! The voting witness: a third box that grants the right to serve a group alone to one node of a pair at a
//! time.
//!
//! A node asks with a [`Question`](wire::Question), and the witness answers each with one
//! [`Reply`](wire::Reply), so that whoever forges an address gets no more bytes out of it than he puts in.
//! Both are of fixed width, and authenticated with a key that is derived from the pair's ([`keys`]) and can
//! make no beat. A question counts only when it echoes the session value that the witness gave to that run of
//! that node, and has a number above the last; a reply only when it names a question that is still open. So
//! what was recorded is worth nothing.
//!
//! [`Grants`](grants::Grants) is what the witness keeps of one pair, [`Claimant`](claimant::Claimant) what a
//! node keeps of its witness. Neither has a clock, a socket or a random source.
//!
//! What makes two holders impossible, whatever is lost, late or started anew:
//!
//! * A grant is worth something to its holder until its length after the *question* left; the witness keeps
//!   it from the other for that length, and a hundredth for the drift of clocks, after the question *came*.
//! * It is extended only for a node that has heard the witness within that length, and begun only for one
//!   that has within [`LONGEST`]. Who asks and hears nothing keeps nothing from the other for long.
//! * Where the other node has been quiet the grant *stands*: its holder serves on without the witness, and
//!   the witness refuses the other until the holder has confirmed a reply that says that it no longer stands.
//! * After its start a witness begins no grant of a pair before [`WAIT`] has passed since the pair's first
//!   question. Until then it goes on only with what a holder shows it under its own seal.
//!
//! What is left: a witness that was restarted knows nothing of a grant that stands before its holder has
//! reached it again. If the holder cannot for all of [`WAIT`], and the other node, which was quiet, comes
//! back meanwhile, the other node is granted what the holder still serves.

pub mod agreement;
pub mod claimant;
pub mod grants;
pub mod keys;
#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod tests;
pub mod wire;

use serde::{Deserialize, Serialize};

use crate::config::{MAX_DEAD_AFTER, MAX_GROUPS};
use crate::time::Span;

/// The UDP port of a witness.
pub const PORT: u16 = 1694;
/// The longest time for which a grant is given.
pub const LONGEST: Span = MAX_DEAD_AFTER;
/// How long a witness begins no grant of a pair, from that pair's first question on.
pub const WAIT: Span = Span::from_us(2 * LONGEST.as_us());
/// How often a node asks that claims nothing. So long, and for dead_after, may the loss of a witness stay
/// unknown: a peer that dies meanwhile leaves nobody who is granted anything.
pub const IDLE_GAP: Span = Span::from_s(1);
/// A node that asks nothing for this long, and for its lease, is quiet.
pub const QUIET: Span = Span::from_s(12);

/// Whether a grant of the witness allows a group to be served alone, or taken from a silent peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum VoteView {
    /// No grant is needed: no voting witness is configured, or it does not count. Where it is disputed, a
    /// grant is there.
    NotNeeded,
    /// It is granted to this node, and nothing else is needed.
    Granted,
    /// It is not granted.
    Missing,
    /// The witness keeps it for the other node.
    Elsewhere,
}

/// Groups as bits, the lowest bit for the first.
pub type GroupBits = u8;

const _: () = assert!(MAX_GROUPS <= 8 && QUIET.as_us() > 2 * IDLE_GAP.as_us());

/// The bit of a group.
pub fn group_bit(index: usize) -> GroupBits {
    u32::try_from(index).ok().and_then(|shift| 1_u8.checked_shl(shift)).unwrap_or(0)
}
