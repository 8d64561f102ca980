//! Decision to what is held.
//!
//! [`Custody::step`] is the only way in. It takes an instant and an event and hands out effects; it is total
//! and deterministic. The guard carries its effects out with netlink, fork and signals; the simulated world
//! with its own kernel, scripts and clock.
//!
//! # The calling contract
//!
//! * Carry out the effects in their order, and hand in what became of them in that order too, before anything
//!   else.
//! * When the loop wakes, say so ([`Event::Woke`]); hand in everything that has happened, the agent's words
//!   closed by [`Event::AllSaid`]; then [`Event::Tick`]. An agent's silence is judged on a tick and nowhere
//!   else: whatever it had sent has to be read before.
//! * Wake at [`Custody::due_at`] at the latest.
//! * When [`Custody::exit`] says so, nothing is held any more: end.
//!
//! # Its parts
//!
//! * [`held_group`]: one group's addresses and scripts, step by step
//! * [`monitors`]: when its scripts are looked at, and what a failure leads to
//! * [`orders`]: which orders are accepted in which state, and how they are carried out
//! * [`restart_policy`]: what is done when an agent is lost; `agents` does it
//! * [`legacy`]: what the next run of the guard goes on with, which is executed in the place of this one
//! * `newcomers`: asks first for addresses that a reload adds to a held group
//! * `budget`: how often an agent may ask for what; `fencing` for the fence
//! * [`shadow`]: what becomes of each effect where nothing may be touched
//! * `watchdog`: when the box's watchdog is petted
//! * `ending`: how the daemon ends

mod agents;
mod budget;
mod ending;
pub mod event;
mod fencing;
mod groups;
pub mod held_group;
#[cfg(test)]
mod hostile_tests;
pub mod legacy;
pub mod monitors;
mod newcomers;
pub mod orders;
pub mod plan;
mod readiness;
pub mod restart_policy;
#[cfg(test)]
mod rig;
pub mod script_set;
pub mod shadow;
#[cfg(test)]
mod tests;
mod watchdog;
#[cfg(test)]
mod watchdog_tests;

use heapless::Vec;

use crate::config::MAX_GROUPS;
use crate::pair::GroupId;
use crate::quorum::succession::Holding;
use crate::resource::{Condition, Ticket, Token};
use crate::time::{Instant, Span};
use budget::Budgets;
pub use ending::Phase;
pub use event::{Action, Cause, Effect, Effects, End, Event, Lapse, Note, Reason, Word};
use groups::GroupCustody;
pub use held_group::HeldGroup;
pub use monitors::MonitorPlan;
pub use plan::{GroupPlan, Plan, ScriptPlans};
pub use readiness::Readiness;
pub use restart_policy::{Loss, Next, RestartPolicy};
pub use script_set::ScriptSet;
pub use shadow::InShadow;
use watchdog::Watchdog;

/// Most scripts of one group.
pub const MAX_SCRIPTS: usize = 16;

/// Everything that the guard holds, and the agent for which it holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Custody {
    plan: Plan,
    groups: Vec<GroupCustody, MAX_GROUPS>,
    /// By group, the newest renewal that was ordered and not carried out yet.
    renewals: [Option<Ticket>; MAX_GROUPS],
    restarts: RestartPolicy,
    /// What the agent has asked for lately.
    budgets: Budgets,
    /// The peer is being fenced.
    is_fencing: bool,
    /// The newest token that any agent has used.
    last_token: Token,
    phase: Phase,
    /// There is an agent that is listened to.
    is_listening: bool,
    /// There is an agent that was not reaped yet.
    is_agent_there: bool,
    /// When the agent last said something, or was started and owes its first word.
    agent_heard: Instant,
    /// When the next agent may be started, while there is none.
    start_at: Instant,
    /// Since when the loop has been on time.
    on_time_since: Instant,
    /// When the agent last got a sign of life.
    told_alive_at: Instant,
    /// The agent is about to be replaced, since the configuration has changed.
    is_reloading: bool,
    /// The operator wants nothing changed: scripts are not looked at.
    is_hands_off: bool,
    watchdog: Watchdog,
}

impl Custody {
    /// Nothing is held, and there is no agent yet.
    pub fn new(plan: Plan, now: Instant) -> Self {
        let groups = plan.groups.iter().map(GroupCustody::new).collect();
        let watchdog = Watchdog::new(plan.interval);
        Self {
            plan,
            groups,
            renewals: [None; MAX_GROUPS],
            restarts: RestartPolicy::new(),
            budgets: Budgets::new(),
            is_fencing: false,
            last_token: Token(0),
            phase: Phase::Running,
            is_listening: false,
            is_agent_there: false,
            agent_heard: now,
            start_at: Instant::NEVER,
            on_time_since: now,
            told_alive_at: now,
            is_reloading: false,
            is_hands_off: false,
            watchdog,
        }
    }

    /// What follows from an event. The effects are added to those that are there.
    pub fn step(&mut self, now: Instant, event: Event<'_>, effects: &mut Effects) {
        match event {
            Event::Woke(wanted) => self.woke(now, wanted),
            Event::Said(word) => self.hear(now, word, effects),
            Event::AllSaid => self.renew_all(now, effects),
            Event::WatchdogArmed(timeout) => self.watchdog.become_armed(now, timeout),
            Event::Added(group, outcome) => self.added(now, group, outcome, effects),
            Event::Routed(group, outcome) => self.routed(now, group, outcome, effects),
            Event::Renewed(group, token, outcome) => self.renewed(now, group, (token, outcome), effects),
            Event::Removed(group, outcome) => self.removed(now, group, outcome, effects),
            Event::ScriptEnded(group, end) => self.script_ended(now, group, end, effects),
            Event::Inherited(group, started, term) => self.inherit(now, group, (started, term), effects),
            Event::FenceEnded(outcome) => self.fence_ended(outcome, effects),
            Event::AgentStarted => self.agent_started(now),
            Event::AgentNotStarted => self.start_at = now + agents::START_AGAIN_AFTER,
            Event::AgentLost(lapse) => self.lose_agent(now, lapse, effects),
            Event::AgentReaped => self.agent_reaped(now, effects),
            Event::Stop => self.hear_operator(now, effects),
            Event::NewScripts(group, kept, scripts) => {
                self.change_scripts(now, group, kept, scripts, effects)
            }
            Event::NewAddresses(group) => self.note_newcomers(now, group),
            Event::Asked(group, has_left) => self.asked(group, has_left),
            Event::Reloaded(plan) => self.reloaded(now, plan, effects),
            Event::Tick => self.tick(now, effects),
        }
    }

    /// When the next [`Event::Tick`] is due.
    pub fn due_at(&self, now: Instant) -> Instant {
        let groups = self.groups.iter().map(GroupCustody::due_at).min().unwrap_or(Instant::NEVER);
        let others = self.awaited_at().min(self.ending_due_at()).min(self.watchdog.due_at());
        groups.min(self.agent_looked_at(now)).min(self.agents_due_at()).min(others).min(self.alive_due_at())
    }

    fn tick(&mut self, now: Instant, effects: &mut Effects) {
        for id in self.ids() {
            self.look_if_due(now, id, effects);
            self.ask_if_due(now, id, effects);
        }
        self.open_awaited(now, effects);
        self.judge_agent(now, effects);
        self.pass_agents_deadlines(now, effects);
        self.tell_alive(now, effects);
        self.pass_ending_deadline(now, effects);
        self.pet(now, effects);
    }

    /// A loop that was late has slept through what the agent may have said.
    fn woke(&mut self, now: Instant, wanted: Instant) {
        self.watchdog.note_waking(now, wanted);
        if now.since(wanted) > self.plan.hang_after.fraction(1, 4) {
            self.on_time_since = now;
        }
    }

    fn ids(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0u8..).map(GroupId).take(self.groups.len())
    }

    /// How far the daemon's end has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The agent can be replaced by one that goes on with another configuration.
    pub fn may_reload(&self) -> bool {
        self.phase == Phase::Running && self.is_listening && self.restarts.has_deposit()
    }

    /// Nothing is held and nothing runs.
    pub fn is_everything_free(&self) -> bool {
        self.groups.iter().all(|group| group.is_free())
    }

    /// The state of a group.
    pub fn group(&self, id: GroupId) -> Option<&HeldGroup> {
        self.groups.get(id.index()).map(|group| &group.held)
    }

    /// The reign for which a group was acquired last.
    pub fn term(&self, id: GroupId) -> u32 {
        self.groups.get(id.index()).map_or(0, |group| group.term)
    }

    /// Until when the kernel keeps the addresses of a group at least.
    pub fn held_until(&self, id: GroupId) -> Instant {
        self.groups.get(id.index()).map_or(Instant::ORIGIN, |group| group.held_until)
    }

    /// The operator wants nothing changed.
    pub fn is_hands_off(&self) -> bool {
        self.is_hands_off
    }

    /// How the scripts of a group are.
    pub fn condition(&self, id: GroupId) -> Condition {
        self.groups.get(id.index()).map_or(Condition::Well, |group| group.monitors.condition())
    }

    /// By group, what is in hand: for an agent that was not there when it was acquired.
    pub fn holdings(&self) -> Vec<Option<Holding>, MAX_GROUPS> {
        self.groups.iter().map(GroupCustody::holding).collect()
    }

    /// The newest token that any agent has used.
    pub fn last_token(&self) -> Token {
        self.last_token
    }

    /// How long an agent may be silent.
    pub fn hang_after(&self) -> Span {
        self.plan.hang_after
    }

    /// When the agent last said something, or was started and owes its first word.
    pub fn agent_heard(&self) -> Instant {
        self.agent_heard
    }
}

fn emit(effects: &mut Effects, effect: Effect) {
    let has_room = effects.push(effect).is_ok();
    debug_assert!(has_room, "effects never overflow: {effect:?}");
}
