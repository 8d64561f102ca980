//! Third parties: which answer, to whom, how late, and what the agent is told.

use crosswire::pair::Side;
use crosswire::time::Span;

use super::fault::WitnessId;
use super::gateway::SOCKET_DATAGRAMS;
use super::setup::Place;
use super::wire::Witness;
use super::world::{LAN_TAKES, What, World};

impl World {
    /// The agent asks all of them. An answer says when its request left, by the asking box's clock.
    pub(super) fn ask_witnesses(&mut self, side: Side) {
        let gateway = &self.boxes[side.index()];
        let (asked_at, run) = (gateway.clock.local(self.now), gateway.run);
        for index in 0..self.setup.witnesses.len() {
            let is_lost = !self.does_see(side, index) || self.is_answer_lost(index);
            if !is_lost {
                let delay = self.witnesses[index].delay;
                let takes = LAN_TAKES + LAN_TAKES + Span::from_us(self.chance.below(delay.as_us() + 1));
                let witness = WitnessId(u8::try_from(index).unwrap_or(u8::MAX));
                self.schedule(takes, side, run, What::Sighting(witness, asked_at));
            }
        }
    }

    pub(super) fn is_answer_lost(&mut self, index: usize) -> bool {
        let loss = self.witnesses[index].loss_permille;
        loss > 0 && self.chance.below(1_000) < loss
    }

    /// Whether a question of this side would be answered, but for loss.
    pub(super) fn does_see(&self, side: Side, index: usize) -> bool {
        let witness = &self.witnesses[index];
        let is_reached = match witness.place {
            Place::Own => true,
            Place::Lan => self.home().is_none_or(|home| self.links[home.index()].has_carrier(side)),
        };
        witness.is_up && witness.is_in_sight[side.index()] && is_reached
    }

    /// An answer reaches the agent's socket, if it got through to the end.
    pub(super) fn sight(&mut self, side: Side, witness: WitnessId, asked_at: crosswire::time::Instant) {
        let is_seen = self.does_see(side, witness.index());
        let gateway = &mut self.boxes[side.index()];
        if is_seen && gateway.agent.is_some() && gateway.inbox.sightings.len() < SOCKET_DATAGRAMS {
            gateway.inbox.sightings.push_back((witness, asked_at));
            self.rouse(side);
        }
    }

    /// Every witness on the LAN is out of a side's sight.
    pub(super) fn hide_witnesses(&mut self, side: Side) {
        for witness in self.witnesses.iter_mut().filter(|witness| witness.place == Place::Lan) {
            witness.is_in_sight[side.index()] = false;
        }
    }

    /// Everybody sees all of them again.
    pub(super) fn mend_witnesses(&mut self) {
        for index in 0..self.witnesses.len() {
            self.mend_witness(index);
        }
    }

    /// Everybody sees this one again. The voting witness was started again if it was down.
    pub(super) fn mend_witness(&mut self, index: usize) {
        let witness = &mut self.witnesses[index];
        let was_down = !witness.is_up;
        *witness = Witness::new(witness.place);
        if was_down && index == self.setup.witnesses.len() {
            self.voting.restart();
        }
    }
}
