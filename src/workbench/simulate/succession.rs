//! The replacement of an agent: what passes from the old one to the new one.

use super::gateway::Brain;
use super::guard::Told;
use super::rival::Rule;
use super::world::{GUARD_TAKES, What, World};
use crosswire::config::MAX_GROUPS;
use crosswire::custody::{self, HeldGroup, Phase, ScriptSet, Word};
use crosswire::frame::session::Entropy;
use crosswire::pair::{GroupId, Side};
use crosswire::quorum::Event;
use crosswire::quorum::succession::{self, Holding, MAX_DEPOSIT_BYTES, Stage, Succession};
use crosswire::time::{Instant, Span};

/// From the death of an agent to the first turn of another, at least and at most.
const FORK_TAKES: (Span, Span) = (Span::from_ms(3), Span::from_ms(30));

/// Messages that the socket between agent and guard keeps for a guard that does not read.
const SOCKET_MESSAGES: usize = 150;

impl World {
    /// The agent leaves with its guard what a successor has to know.
    pub(super) fn deposit(&mut self, side: Side) {
        let local = self.boxes[side.index()].clock.local(self.now);
        let Some(Brain::Core(node)) = &self.boxes[side.index()].agent else { return };
        let mut room = [0; MAX_DEPOSIT_BYTES];
        let bytes =
            succession::encode(&node.deposit(local), &mut room).expect("there is room for any").to_vec();
        self.say_to_guard(side, Word::Deposit, bytes);
        self.wake_guard_after(side, GUARD_TAKES);
    }

    /// The agent says something to its guard, which reads it when it wakes. A socket that is full takes
    /// nothing more.
    pub(super) fn say_to_guard(&mut self, side: Side, word: Word, deposit: Vec<u8>) {
        if let Some(guard) =
            self.boxes[side.index()].guard.as_mut().filter(|guard| guard.said.len() < SOCKET_MESSAGES)
        {
            guard.said.push_back((word, deposit));
        }
    }

    /// An earlier run has started scripts that the present file of the box does not have: the daemon does not
    /// start.
    pub(super) fn has_strange_marks(&self, side: Side) -> bool {
        let gateway = &self.boxes[side.index()];
        let mut marks = self.setup.policy.group_ids().zip(&gateway.marks);
        let is_strange =
            |group, scripts: &ScriptSet| !scripts.is_empty() && !self.setup.has_group(gateway.digest, group);
        self.rule == Rule::Crosswire && marks.any(|(group, (scripts, _))| is_strange(group, scripts))
    }

    /// The operator stops by hand what the present file does not have, and removes what was written down of
    /// it.
    pub(super) fn stop_strangers(&mut self, side: Side) {
        for group in self.setup.policy.group_ids() {
            if !self.setup.has_group(self.boxes[side.index()].digest, group) {
                let gateway = &mut self.boxes[side.index()];
                gateway.services[group.index()] = ScriptSet::EMPTY;
                gateway.marks[group.index()] = (ScriptSet::EMPTY, 0);
                gateway.running[group.index()] = None;
            }
        }
    }

    /// Stops first what an earlier run of the daemon has started and nobody has stopped, and ends what it was
    /// about to start or stop. The first agent is told.
    pub(super) fn inherit_scripts(&mut self, side: Side) {
        let local = self.boxes[side.index()].clock.local(self.now);
        self.boxes[side.index()].running.fill(None);
        if self.rule != Rule::Crosswire {
            self.boxes[side.index()].marks.fill((ScriptSet::EMPTY, 0));
        }
        for group in self.setup.policy.group_ids() {
            let (started, term) = self.boxes[side.index()].marks[group.index()];
            self.guard_hears(side, custody::Event::Inherited(group, started, term));
        }
        let holdings = self.holdings_of(side);
        if let Some(Brain::Core(node)) = &mut self.boxes[side.index()].agent {
            node.resume(local, &holdings);
        }
        let status = self.node(side).map(|node| node.status(local));
        for (local, group) in
            self.file(side).clone().group_ids().zip(status.iter().flat_map(|status| &status.groups))
        {
            let index = self.group_of(side, local).index();
            self.watch.note_role(side, index, group.role, self.now);
        }
        self.guard_hears(side, custody::Event::AgentStarted);
        self.schedule_guard(side);
    }

    /// A child that will be an agent: it is given what the guard has in hand now. If an upgrade is on its
    /// way, the program is executed instead.
    pub(super) fn start_agent(&mut self, side: Side, is_in_place: bool) -> Option<custody::Event<'static>> {
        if self.execute_upgrade(side) {
            return None;
        }
        let (least, most) = FORK_TAKES;
        let more = Span::from_us(self.chance.below(most.saturating_sub(least).as_us() + 1));
        let holdings = self.holdings_of(side);
        let gateway = &mut self.boxes[side.index()];
        gateway.link += 1;
        let link = gateway.link;
        gateway.inbox.told.clear();
        let guard = gateway.guard.as_mut()?;
        if !is_in_place {
            guard.deposit.clear();
        }
        guard.said.clear();
        (guard.is_forking, guard.is_agent_there) = (true, true);
        let free = |group: &GroupId| guard.custody.group(*group).is_some_and(HeldGroup::is_free);
        let held_by_nobody: Vec<GroupId> = self.setup.policy.group_ids().filter(free).collect();
        let run = guard.run;
        let mut deposit = succession::decode(&guard.deposit);
        deposit.iter_mut().for_each(|deposit| deposit.adapt(&guard.differences));
        let succession = Succession { deposit, holdings, last_token: guard.custody.last_token() };
        for group in held_by_nobody {
            self.set_held(side, group, None);
        }
        self.schedule(least + more, side, run, What::AgentBegins(link, Box::new(succession)));
        Some(custody::Event::AgentStarted)
    }

    /// The child has become an agent.
    pub(super) fn agent_begins(&mut self, side: Side, link: u32, succession: &Succession) {
        if self.boxes[side.index()].link != link {
            return;
        }
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        if !std::mem::take(&mut guard.is_forking) || matches!(guard.custody.phase(), Phase::Leaving { .. }) {
            return;
        }
        let byte = |chance: &mut super::chance::Chance| u8::try_from(chance.below(256)).unwrap_or(0);
        let incarnation = std::array::from_fn(|_| byte(&mut self.chance));
        let secret = std::array::from_fn(|_| byte(&mut self.chance));
        let local = self.boxes[side.index()].clock.local(self.now);
        let mut brain =
            self.boxes[side.index()].core(&self.setup, side, Entropy { incarnation, secret }, self.now);
        if let Brain::Core(node) = &mut brain {
            node.succeed(local, succession);
        }
        self.take_place(side, brain);
        self.watch_succession(side, local, succession);
        self.tell_all(side);
        self.agent_turn(side);
    }

    fn take_place(&mut self, side: Side, brain: Brain) {
        let gateway = &mut self.boxes[side.index()];
        gateway.agent_run += 1;
        gateway.agent = Some(brain);
        gateway.stall += 1;
        let told = std::mem::take(&mut gateway.inbox.told);
        gateway.begin_afresh(&self.setup);
        gateway.inbox.told = told;
        self.note_marks();
    }

    /// What custody holds, in the order in which the node's own file counts groups.
    fn holdings_of(&self, side: Side) -> heapless::Vec<Option<Holding>, MAX_GROUPS> {
        let guard = self.boxes[side.index()].guard.as_ref();
        let held = guard.map(|guard| guard.custody.holdings()).unwrap_or_default();
        let of = |local| held.get(self.group_of(side, local).index()).copied().flatten();
        self.file(side).group_ids().map(of).collect()
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
        let locals: Vec<_> =
            self.file(side).group_ids().map(|local| self.group_of(side, local).index()).collect();
        for (index, group) in locals.iter().zip(status.iter().flat_map(|status| &status.groups)) {
            self.watch.note_role(side, *index, group.role, self.now);
        }
        for (index, holding) in locals.iter().zip(&succession.holdings) {
            // A group whose addresses have still to come has no lease.
            let held = holding.filter(|holding| !matches!(holding.stage, Stage::Preparing(_)));
            self.watch.inherit_lease(side, *index, held.map(|holding| holding.lease_until));
        }
    }

    /// Ports and links, as the guard hands them to a new agent.
    fn tell_all(&mut self, side: Side) {
        for path in self.setup.policy.path_ids() {
            let is_up = self.links[path.index()].has_carrier(side);
            self.watch.open_paths[side.index()][path.index()] = false;
            if !is_up {
                self.step(side, Event::PathLost(path));
            }
        }
        self.tell_watchdog(side);
        self.boxes[side.index()].inbox.told.push_back(Told::Links);
    }
}
