//! What happened in a world, told in its order: faults, what the nodes recorded, who held what.

use crosswire::pair::Side;
use crosswire::quorum::record::Record;
use crosswire::time::{Instant, Span};

use super::fault::Fault;
use super::world::{BEGINNING, SIDES, World};

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
    holders: Vec<[bool; 2]>,
}

impl Story {
    fn add(&mut self, now: Instant, line: Line) {
        self.lines.push((now.since(BEGINNING), line));
    }
}

impl World {
    /// From now on everything is told.
    pub fn begin_story(&mut self) {
        self.story = Some(Story::default());
    }

    /// What the nodes have recorded since the story began, in order.
    pub fn recorded(&self) -> impl Iterator<Item = (Side, &Record)> {
        let lines = self.story.iter().flat_map(|story| &story.lines);
        lines.filter_map(|(_, line)| match line {
            Line::Recorded(side, record) => Some((*side, record)),
            Line::Happened(_) | Line::Healed | Line::Holders(_) => None,
        })
    }

    /// Something befalls the pair, and is told.
    pub fn befall_aloud(&mut self, fault: Fault) {
        self.narrate(Line::Happened(fault));
        self.befall(fault);
    }

    pub(super) fn narrate(&mut self, line: Line) {
        if let Some(story) = &mut self.story {
            story.add(self.now, line);
        }
    }

    /// Who holds what may have changed.
    pub(super) fn narrate_holders(&mut self) {
        if self.story.is_none() {
            return;
        }
        let groups = self.setup.policy.group_ids();
        let holders: Vec<_> = groups.map(|group| SIDES.map(|side| self.holds(side, group))).collect();
        if let Some(story) = &mut self.story
            && story.holders != holders
        {
            story.holders.clone_from(&holders);
            story.add(self.now, Line::Holders(holders));
        }
    }
}
