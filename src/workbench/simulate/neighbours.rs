//! Third parties on the groups' LAN: who hears them, who is answered, and how late.
//!
//! The LAN has two halves, one around each box. A cut between them leaves each box its own half; a silent
//! switch port takes a box away from both.

use crosswire::pair::Side;
use crosswire::quorum::Event;
use crosswire::time::{Instant, Span};

use super::gateway::SOCKET_DATAGRAMS;
use super::world::{LAN_TAKES, SIDES, What, World};

/// A neighbour says something by itself in one of so many intervals.
const CHATS_EVERY: u64 = 8;
/// Most that a neighbour takes to answer.
const ANSWERS_WITHIN: Span = Span::from_ms(4);

impl World {
    /// Whether a third party is there that a box can hear and ask.
    pub(super) fn has_neighbour(&self, side: Side) -> bool {
        let Some(home) = self.home().map(|home| &self.links[home.index()]) else { return false };
        SIDES.into_iter().any(|half| self.neighbours[half.index()] && home.reaches_half(side, half))
    }

    /// The agent asks them. A question or its answer may be lost.
    pub(super) fn ask_neighbours(&mut self, side: Side) {
        self.asked_neighbours += 1;
        let gateway = &self.boxes[side.index()];
        let (asked_at, run) = (gateway.clock.local(self.now), gateway.run);
        if !self.has_neighbour(side) || self.is_neighbours_frame_lost(side) {
            return;
        }
        let takes = LAN_TAKES + LAN_TAKES + Span::from_us(self.chance.below(ANSWERS_WITHIN.as_us()));
        self.schedule(takes, side, run, What::Neighbour(asked_at));
    }

    fn is_neighbours_frame_lost(&mut self, side: Side) -> bool {
        let loss =
            self.home().map_or(0, |home| self.links[home.index()].directions[side.index()].loss_permille);
        loss > 0 && self.chance.below(1_000) < loss
    }

    /// An answer reaches the agent's socket, if it got through to the end.
    pub(super) fn meet_neighbour(&mut self, side: Side, asked_at: Instant) {
        let is_there = self.has_neighbour(side);
        let gateway = &mut self.boxes[side.index()];
        if is_there && gateway.agent.is_some() && gateway.inbox.neighbours.len() < SOCKET_DATAGRAMS {
            gateway.inbox.neighbours.push_back(asked_at);
            self.rouse(side);
        }
    }

    /// The agent reads an answer.
    pub(super) fn hear_neighbour(&mut self, side: Side, at: Instant) {
        self.watch.knows_neighbours[side.index()] = true;
        self.step(side, Event::NeighbourHeard(0, at));
    }

    /// Once an interval the agent looks whether somebody was heard since it looked last.
    pub(super) fn overhear(&mut self, side: Side) {
        if self.setup.neighbours.is_none() || self.node(side).is_none() {
            return;
        }
        let interval = self.file(side).interval();
        let gateway = &mut self.boxes[side.index()];
        let local = gateway.clock.local(self.now);
        if local < gateway.overheard_at + interval {
            return;
        }
        let since = std::mem::replace(&mut gateway.overheard_at, local);
        if self.chance.below(CHATS_EVERY) == 0 && self.has_neighbour(side) {
            self.hear_neighbour(side, since);
        }
    }
}
