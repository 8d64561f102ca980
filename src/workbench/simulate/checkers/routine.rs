//! A turn without a tick hides nothing.

use crosswire::pair::Side;
use crosswire::quorum::record::Record;
use crosswire::quorum::{Effect, Effects, Event};

use super::super::gateway::Brain;
use super::super::world::World;

impl World {
    /// The turn of an agent is over without a tick. A tick would have had no effect, and would not have made
    /// the deadline earlier.
    pub(in super::super) fn check_routine(&mut self, side: Side) {
        let gateway = &self.boxes[side.index()];
        let Some(Brain::Core(station)) = &gateway.agent else { return };
        let local = gateway.clock.local(self.now);
        let (mut twin, mut effects) = (station.clone(), Box::new(Effects::new()));
        twin.step(local, Event::Tick, &mut effects);
        // The test of the peer's address may happen on any tick.
        let is_self_test =
            |effect: &&Effect| matches!(effect, Effect::AskForPeer | Effect::Record(Record::Deaf { .. }));
        if let Some(effect) = effects.iter().find(|effect| !is_self_test(effect)) {
            self.complain("routine", format!("{side:?} has not judged, and would ask for {effect:?}"));
        } else if twin.due_at(local) < station.due_at(local) {
            self.complain("routine", format!("{side:?} has not judged, and wakes later than it has to"));
        }
    }
}
