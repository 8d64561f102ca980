//! Losing an agent, and putting another one in its place.

use super::event::{Cause, Effect, Effects, Lapse, Note};
use super::plan::Plan;
use super::restart_policy::Next;
use super::{Custody, Phase, emit};
use crate::time::{Instant, Span};

/// How long a new agent may take before its first word.
const FIRST_WORD_WITHIN: Span = Span::from_s(2);
/// How long after an agent could not be started it is tried again.
pub(super) const START_AGAIN_AFTER: Span = Span::from_ms(100);

impl Custody {
    pub(super) fn agent_started(&mut self, now: Instant) {
        (self.is_listening, self.is_agent_there, self.is_reloading) = (true, true, false);
        (self.agent_heard, self.start_at) = (now + FIRST_WORD_WITHIN, Instant::NEVER);
    }

    pub(super) fn agent_reaped(&mut self, now: Instant, effects: &mut Effects) {
        self.is_agent_there = false;
        match self.phase {
            Phase::Running => self.lose_agent(now, Lapse::Died, effects),
            Phase::Stopping { .. } | Phase::Farewell { .. } | Phase::Leaving { .. } => {
                self.end_of_agent(now, effects)
            }
        }
    }

    /// The agent is lost while it should decide. Whatever it held is passed on, or let go.
    pub(super) fn lose_agent(&mut self, now: Instant, lapse: Lapse, effects: &mut Effects) {
        if !self.is_listening {
            return;
        }
        if self.phase != Phase::Running {
            return self.end_of_agent(now, effects);
        }
        let next = self.restarts.lose(now, lapse.loss());
        emit(effects, Effect::Note(Note::AgentLost(lapse, next)));
        match next {
            Next::End => self.leave(now, Cause::AgentGone, effects),
            Next::EmptyHanded(at) => {
                self.dismiss(effects);
                self.start_at = at;
                self.release_all(now, effects);
            }
            Next::InPlace => self.put_another_in_its_place(now, effects),
        }
    }

    /// Another agent goes on in the place of one that did nothing wrong.
    pub(super) fn reloaded(&mut self, now: Instant, plan: &Plan, effects: &mut Effects) {
        self.plan = plan.clone();
        for (group, plan) in self.groups.iter_mut().zip(&plan.groups) {
            (group.is_exclusive, group.may_fence) = (plan.is_exclusive, plan.may_fence);
        }
        self.is_reloading = true;
        self.put_another_in_its_place(now, effects);
    }

    fn put_another_in_its_place(&mut self, now: Instant, effects: &mut Effects) {
        self.dismiss(effects);
        self.start_at = now;
        for group in &mut self.groups {
            group.is_on_trial = group.held.is_held();
        }
    }

    /// Listens to the agent no longer, and ends it. Renewals that it had ordered are not carried out.
    pub(super) fn dismiss(&mut self, effects: &mut Effects) {
        self.is_listening = false;
        self.renewals.fill(None);
        self.budgets.forget_paths();
        emit(effects, Effect::DismissAgent);
    }

    /// When a silent agent is taken for hung: it leaves a deposit at every beat. Time that the loop itself,
    /// and perhaps the whole box, slept through does not count against the agent.
    pub fn agent_due_at(&self) -> Instant {
        let is_judged = self.is_listening && matches!(self.phase, Phase::Running | Phase::Stopping { .. });
        let due = self.agent_heard.max(self.on_time_since) + self.plan.hang_after;
        if is_judged { due } else { Instant::NEVER }
    }

    /// When the loop looks at the agent again. It wakes in between, so that its own delays are measured while
    /// it judges the agent's silence.
    pub(super) fn agent_looked_at(&self, now: Instant) -> Instant {
        match self.agent_due_at() {
            Instant::NEVER => Instant::NEVER,
            due => due.min(now + self.plan.hang_after.fraction(1, 2)),
        }
    }

    pub(super) fn judge_agent(&mut self, now: Instant, effects: &mut Effects) {
        if now >= self.agent_due_at() {
            self.lose_agent(now, Lapse::Silent, effects);
        }
    }

    /// When the agent has to be given a sign of life if nothing wakes the loop before. The loop mostly wakes
    /// at every beat.
    pub(super) fn alive_due_at(&self) -> Instant {
        let interval = self.plan.interval;
        if self.is_listening {
            self.told_alive_at + interval + interval.fraction(1, 2)
        } else {
            Instant::NEVER
        }
    }

    /// Gives the agent a sign of life once an interval, whether anything is held or not: an agent that hears
    /// nothing says that this node cannot serve.
    pub(super) fn tell_alive(&mut self, now: Instant, effects: &mut Effects) {
        if self.is_listening && now >= self.told_alive_at + self.plan.interval.fraction(1, 2) {
            self.told_alive_at = now;
            emit(effects, Effect::TellAlive);
        }
    }

    fn is_agent_wanted(&self) -> bool {
        self.phase == Phase::Running
            && !self.is_listening
            && !self.is_agent_there
            && (self.restarts.has_deposit() || self.is_everything_free())
    }

    /// When an agent has to be started, or what is on trial has to be let go.
    pub(super) fn agents_due_at(&self) -> Instant {
        let tried = self.groups.iter().filter(|group| group.is_tried()).map(|group| group.held_until);
        let lapses_at = tried.min().filter(|_| self.phase == Phase::Running).unwrap_or(Instant::NEVER);
        lapses_at.min(if self.is_agent_wanted() { self.start_at } else { Instant::NEVER })
    }

    /// Lets go of what no agent has renewed in time, and starts the agent that is due.
    pub(super) fn pass_agents_deadlines(&mut self, now: Instant, effects: &mut Effects) {
        let is_lapsed = self.groups.iter().any(|group| group.is_tried() && now >= group.held_until);
        if self.phase == Phase::Running && is_lapsed {
            self.lapse(now, effects);
        }
        if self.is_agent_wanted() && now >= self.start_at {
            let (is_in_place, is_reload) = (self.restarts.has_deposit(), self.is_reloading);
            self.start_at = Instant::NEVER;
            emit(effects, Effect::StartAgent { is_in_place, is_reload });
        }
    }

    /// The lease is over, and no agent serves again. The kernel has let go, and so does custody.
    fn lapse(&mut self, now: Instant, effects: &mut Effects) {
        for group in &mut self.groups {
            group.is_on_trial = false;
        }
        if self.is_listening {
            return self.lose_agent(now, Lapse::NotRenewed, effects);
        }
        emit(effects, Effect::Note(Note::NobodyRenewed));
        self.restarts.forget_deposit();
        self.release_all(now, effects);
    }
}
