//! An agent that died or hangs, and another one in its place: what the shipped guard does (`guard/office.rs`), in virtual
//! time. What it decides is the shipped table.

#[path = "../../guard/tenure.rs"]
pub mod tenure;

use crosswire::config::{GroupId, Side};
use crosswire::frame::session::Entropy;
use crosswire::quorum::Event;
use crosswire::quorum::succession::{self, Holding, MAX_DEPOSIT_BYTES, Succession};
use crosswire::resource::ReleaseOrder;
use crosswire::time::{Instant, Span};
use crosswire::turn::Turn;
use tenure::{Loss, Next};

use super::gateway::{Brain, Inbox};
use super::guard::{Guard, Phase, Told};
use super::world::{What, World};

/// From the death of an agent to the first turn of another, at least and at most.
const FORK_TAKES: (Span, Span) = (Span::from_ms(3), Span::from_ms(30));
/// How often a guard that cannot start an agent yet looks again.
const LOOK_AGAIN: Span = Span::from_ms(20);

impl World {
    /// The agent leaves with its guard what a successor has to know.
    pub(super) fn deposit(&mut self, side: Side) {
        let now = self.now;
        let local = self.boxes[side.index()].clock.local(now);
        let Some(Brain::Core(node)) = &self.boxes[side.index()].agent else { return };
        let mut room = [0; MAX_DEPOSIT_BYTES];
        let bytes = succession::encode(&node.deposit(local), &mut room).expect("there is room for any").to_vec();
        if let Some(guard) = &mut self.boxes[side.index()].guard {
            guard.tenure.deposit = bytes;
            guard.tenure.note_word();
            guard.agent_heard = now;
        }
    }

    /// The agent is gone, or has to go, while it should decide. Its last words were read.
    pub(super) fn lose_agent(&mut self, side: Side, loss: Loss) {
        let was_core = !matches!(self.boxes[side.index()].agent, Some(Brain::Rival(_)));
        self.boxes[side.index()].agent = None;
        let now = self.now;
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        if guard.is_stopped || guard.phase == Phase::Leaving || guard.is_office_vacant {
            return;
        }
        let run = guard.run;
        // Only the shipped core leaves something behind.
        let next = if was_core { guard.tenure.lose(now, loss) } else { Next::End };
        match next {
            Next::End => self.guard_leaves(side),
            Next::EmptyHanded(at) => {
                guard.is_office_vacant = true;
                self.release_all(side);
                self.schedule(at.since(now), side, run, What::AgentBegins);
            }
            Next::InPlace => {
                guard.is_office_vacant = true;
                let (least, most) = FORK_TAKES;
                let more = Span::from_us(self.chance.below(most.saturating_sub(least).as_us() + 1));
                self.schedule(least + more, side, run, What::AgentBegins);
                for group in self.setup.policy.group_ids() {
                    self.put_on_trial(side, group);
                }
            }
        }
        self.note_marks();
    }

    fn release_all(&mut self, side: Side) {
        for group in self.setup.policy.group_ids() {
            self.guard_releases(side, group, None, ReleaseOrder::AddressesFirst);
        }
    }

    fn put_on_trial(&mut self, side: Side, group: GroupId) {
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        if guard.groups[group.index()].is_held() {
            guard.is_on_trial[group.index()] = true;
            let (wait, run) = (guard.held_until[group.index()].since(self.now), guard.run);
            self.schedule(wait, side, run, What::Lapse(group));
        }
    }

    /// What nobody has renewed within the lease is let go, and so is everything else.
    pub(super) fn lapse(&mut self, side: Side, group: GroupId) {
        let now = self.now;
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        let is_tried = guard.is_on_trial[group.index()] && guard.groups[group.index()].is_held();
        if !is_tried || guard.phase == Phase::Leaving {
            return;
        }
        let left = guard.held_until[group.index()].since(now);
        if guard.is_stopped || left > Span::ZERO {
            let run = guard.run;
            return self.schedule(left.max(LOOK_AGAIN), side, run, What::Lapse(group));
        }
        guard.is_on_trial.fill(false);
        if guard.is_office_vacant {
            guard.tenure.deposit.clear();
            self.release_all(side);
        } else {
            self.lose_agent(side, Loss::NotServing);
        }
    }

    /// Another agent begins, with what is in hand or with nothing.
    pub(super) fn agent_begins(&mut self, side: Side) {
        let Some(guard) = &self.boxes[side.index()].guard else { return };
        if guard.phase == Phase::Leaving || !guard.is_office_vacant {
            return;
        }
        let run = guard.run;
        if guard.is_stopped || (guard.tenure.deposit.is_empty() && !guard.is_everything_free()) {
            return self.schedule(LOOK_AGAIN, side, run, What::AgentBegins);
        }
        for group in self.setup.policy.group_ids() {
            let is_free = |guard: &Guard| guard.groups[group.index()].is_free();
            if self.boxes[side.index()].guard.as_ref().is_some_and(is_free) {
                self.set_held(side, group, None);
            }
        }
        let byte = |chance: &mut super::chance::Chance| u8::try_from(chance.below(256)).unwrap_or(0);
        let incarnation = std::array::from_fn(|_| byte(&mut self.chance));
        let secret = std::array::from_fn(|_| byte(&mut self.chance));
        let local = self.boxes[side.index()].clock.local(self.now);
        let mut brain = self.boxes[side.index()].core(&self.setup, side, Entropy { incarnation, secret }, self.now);
        let succession = self.succession(side);
        if let (Brain::Core(node), Some(succession)) = (&mut brain, &succession) {
            node.succeed(local, succession);
        }
        self.take_office(side, brain);
        succession.iter().for_each(|succession| self.watch_succession(side, local, succession));
        self.tell_all(side);
        self.agent_turn(side);
    }

    fn take_office(&mut self, side: Side, brain: Brain) {
        let now = self.now;
        let paths = self.setup.policy.paths.len();
        let gateway = &mut self.boxes[side.index()];
        gateway.agent_run += 1;
        gateway.agent = Some(brain);
        gateway.is_agent_stopped = false;
        gateway.stall += 1;
        gateway.inbox = Inbox::empty(paths);
        gateway.turn = Turn::new(&self.setup.policy);
        if let Some(guard) = &mut gateway.guard {
            guard.is_office_vacant = false;
            guard.agent_heard = now;
            guard.orders.clear();
        }
        self.note_marks();
    }

    /// What the shipped guard hands over.
    fn succession(&self, side: Side) -> Option<Succession> {
        let gateway = &self.boxes[side.index()];
        let guard = gateway.guard.as_ref()?;
        let holding = |group: GroupId| {
            let index = group.index();
            let stage = guard.groups[index].stage()?;
            let lease_until = gateway.clock.local(guard.held_until[index]);
            Some(Holding { term: guard.terms[index], lease_until, stage })
        };
        Some(Succession {
            deposit: succession::decode(&guard.tenure.deposit),
            holdings: self.setup.policy.group_ids().map(holding).collect(),
            last_token: guard.tenure.last_token,
        })
    }

    /// The checkers forget what the dead agent heard, and know what the new one was given.
    fn watch_succession(&mut self, side: Side, local: Instant, succession: &Succession) {
        let status = self.node(side).map(|node| node.status(local));
        match &succession.deposit {
            Some(deposit) => {
                self.watch.become_succeeded(side, self.now, deposit);
                let clock = self.boxes[side.index()].clock;
                let acked_at = deposit.acknowledged_at.map(|at| clock.true_time(at));
                self.watch.hearing[side.index()].acked_at = acked_at;
                self.watch.hearing[side.index()].surely_acked_at = acked_at;
            }
            None => self.watch.become_started(side, self.now),
        }
        for (index, group) in status.iter().flat_map(|status| status.groups.iter().enumerate()) {
            self.watch.roles[side.index()][index] = group.role;
        }
        for (index, holding) in succession.holdings.iter().enumerate() {
            self.watch.inherit_lease(side, index, holding.map(|holding| holding.lease_until));
        }
    }

    /// Ports and link lights, as the guard hands them to an agent that was not there when they came.
    fn tell_all(&mut self, side: Side) {
        for path in self.setup.policy.path_ids() {
            let is_up = self.links[path.index()].has_carrier(side);
            self.watch.open_paths[side.index()][path.index()] = false;
            if !is_up {
                self.step(side, Event::PathLost(path));
            }
        }
        self.boxes[side.index()].inbox.told.push_back(Told::Links);
    }
}
