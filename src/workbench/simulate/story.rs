//! What happened in a world, told in its order: faults, what the nodes recorded, who held what.

use crosswire::pair::Side;
use crosswire::quorum::record::Record;
use crosswire::time::{Instant, Span};

use super::clock::BEGINNING;
use super::fault::Fault;

/// One line of a story.
#[derive(Clone, PartialEq, Debug)]
pub enum Line {
    /// Something befell the pair.
    Happened(Fault),
    /// Everything was mended.
    Healed,
    /// A node recorded something.
    Recorded(Side, Record),
    /// Who holds the addresses of a group changed: by group, then by side.
    Holders(Vec<[bool; 2]>),
}

/// The lines so far, with their times from the beginning.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// In order.
    pub lines: Vec<(Span, Line)>,
    pub(super) holders: Vec<[bool; 2]>,
}

impl Story {
    /// One line more.
    pub fn add(&mut self, now: Instant, line: Line) {
        self.lines.push((now.since(BEGINNING), line));
    }
}
