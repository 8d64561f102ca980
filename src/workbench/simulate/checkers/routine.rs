//! A turn without a tick hides nothing.

use crosswire::pair::Side;
use crosswire::quorum::record::Record;
use crosswire::quorum::{Effect, Effects, Event};

use crosswire::quorum::node::Waiting;
use crosswire::station::Station;
use crosswire::time::Instant;

use super::super::gateway::Brain;
use super::super::world::World;

impl World {
    /// The turn of an agent is over without a tick. A tick would have had no effect, and would not have made
    /// the deadline earlier.
    pub(in super::super) fn check_routine(&mut self, side: Side) {
        let gateway = &self.boxes[side.index()];
        let Some(Brain::Core(station)) = gateway.agent.as_ref().filter(|_| !self.watch.is_for_figures) else {
            return;
        };
        let local = gateway.clock.local(self.now);
        let (mut twin, mut effects) = (station.clone(), Box::new(Effects::new()));
        twin.step(local, Event::Tick, &mut effects);
        let does_ask = asks_for_vote(&effects);
        if let Some(effect) = effects.iter().find(|effect| !may_come_later(effect, does_ask)) {
            self.complain("routine", format!("{side:?} has not judged, and would ask for {effect:?}"));
        } else if twin.due_at(local) < station.due_at(local) && !is_only_missed(&twin, local) {
            self.complain("routine", format!("{side:?} has not judged, and wakes later than it has to"));
        }
    }

    /// A tick is about to come. If it only sends beats, a whole one would have no other effect, and would not
    /// make the deadline earlier.
    pub(in super::super) fn check_short_tick(&mut self, side: Side) {
        let gateway = &self.boxes[side.index()];
        let Some(Brain::Core(station)) = gateway.agent.as_ref().filter(|_| !self.watch.is_for_figures) else {
            return;
        };
        let local = gateway.clock.local(self.now);
        let (mut short, mut whole) = (station.clone(), station.clone());
        whole.stir();
        let effects = [&mut short, &mut whole].map(|twin| {
            let mut effects = Box::new(Effects::new());
            twin.step(local, Event::Tick, &mut effects);
            effects
        });
        let does_ask = asks_for_vote(&effects[1]);
        let effects = effects.map(|effects| {
            let is_told =
                |effect: &&Effect| !matches!(effect, Effect::Send(..)) && !may_come_later(effect, does_ask);
            effects.iter().filter(is_told).map(|effect| format!("{effect:?}")).collect::<Vec<_>>()
        });
        if effects[0] != effects[1] {
            let [short, whole] = effects;
            self.complain("routine", format!("{side:?} sends beats alone: {short:?}, and not {whole:?}"));
        } else if whole.due_at(local) < short.due_at(local) && !is_only_missed(&whole, local) {
            self.complain("routine", format!("{side:?} sends beats alone, and wakes later than it has to"));
        }
    }
}

/// Questions for the peer's address, to the neighbours and to the voting witness may leave on any tick.
/// Before one to the witness there is a deposit.
fn may_come_later(effect: &Effect, does_ask_for_vote: bool) -> bool {
    match effect {
        Effect::AskForPeer
        | Effect::AskNeighbours(_)
        | Effect::AskVote(_)
        | Effect::Record(Record::Deaf { .. }) => true,
        Effect::Deposit => does_ask_for_vote,
        _ => false,
    }
}

fn asks_for_vote(effects: &Effects) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::AskVote(_)))
}

/// It would wake for a beat that has only become late since the turn began: the next beat is early enough to
/// notice that.
fn is_only_missed(twin: &Station, local: Instant) -> bool {
    matches!(twin.next_deadline(local).1, Waiting::Neighbours | Waiting::Vote)
}
