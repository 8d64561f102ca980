//! What is seen of a world from outside: its story, what its clients see, and broken invariants.

use crosswire::config::Policy;
use crosswire::pair::{GroupId, Side};
use crosswire::quorum::record::Record;

use super::checkers::Violation;
use super::fault::Fault;
use super::service::Seen;
use super::story::{Line, Story};
use super::world::{SIDES, World};

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

    /// Brings the times of what clients see up to date.
    pub fn note_service(&mut self) {
        let Some(home) = self.home() else { return };
        let link = &self.links[home.index()];
        let is_linked = |side: &Side| link.has_carrier(*side) && !link.is_isolated[side.index()];
        let is_reachable = |side: &Side| self.holds(*side, GroupId(0)) && is_linked(side);
        let seen = match SIDES.iter().filter(|side| is_reachable(side)).count() {
            _ if link.is_switch_off => Seen::NoLan,
            0 => Seen::Nobody,
            1 => Seen::Served,
            _ => Seen::Two,
        };
        let now = self.now;
        self.watch.service.note(now, seen);
    }

    /// Notes a violation, if it is the first.
    pub(super) fn complain(&mut self, rule: &'static str, text: String) {
        if !self.watch.is_off && self.watch.violation.is_none() {
            self.watch.violation = Some(Violation { at: self.now, rule, text });
        }
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.setup.policy
    }
}
