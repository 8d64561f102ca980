//! A turn without a tick hides nothing.

use crosswire::pair::Side;
use crosswire::quorum::record::Record;
use crosswire::quorum::{Effect, Effects, Event};

use super::super::gateway::Brain;
use super::super::world::World;

impl World {
    /// The turn of an agent is over, and nothing was judged in it. Had it been, nothing would have been asked
    /// for, and the node would not have to be woken earlier.
    pub(in super::super) fn check_routine(&mut self, side: Side) {
        let gateway = &self.boxes[side.index()];
        let Some(Brain::Core(station)) = &gateway.agent else { return };
        let local = gateway.clock.local(self.now);
        let (mut twin, mut effects) = (station.clone(), Box::new(Effects::new()));
        twin.step(local, Event::Tick, &mut effects);
        // Whether the peer's address answers is asked, and found out, on whichever tick comes.
        let is_self_test =
            |effect: &&Effect| matches!(effect, Effect::AskForPeer | Effect::Record(Record::Deaf { .. }));
        if let Some(effect) = effects.iter().find(|effect| !is_self_test(effect)) {
            self.complain("routine", format!("{side:?} has not judged, and would ask for {effect:?}"));
        } else if twin.due_at(local) < station.due_at(local) {
            self.complain("routine", format!("{side:?} has not judged, and wakes later than it has to"));
        }
    }
}
