//! How the daemon ends: as the operator wishes, as the agent says, or because one of them is gone.

use super::event::{Cause, Effect, Effects, Lapse, Note};
use super::{Custody, emit};
use crate::time::{Instant, Span};

/// How long the agent may take to hand over and say goodbye, beside the scripts.
const STOP_WITHIN: Span = Span::from_s(30);
/// How long it may take to exit after its farewell, or to die of SIGKILL.
const EXIT_WITHIN: Span = Span::from_s(3);

/// How far the daemon's end has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The agent decides.
    Running,
    /// It was told to stop, and has this long to do so.
    Stopping {
        /// Until when.
        until: Instant,
    },
    /// It said farewell, and has this long to exit.
    Farewell {
        /// Until when.
        until: Instant,
    },
    /// It is gone, or was killed and has this long to die. Everything is let go, then the daemon ends.
    Leaving {
        /// Until when.
        until: Instant,
        /// As planned, with nothing held.
        is_well: bool,
    },
}

impl Custody {
    /// The operator wants the daemon to stop. The first time the agent hands over, the second time everything
    /// ends at once.
    pub(super) fn hear_operator(&mut self, now: Instant, effects: &mut Effects) {
        match self.phase {
            Phase::Running if !self.is_listening => self.leave(now, Cause::StoppedWithoutAgent, effects),
            Phase::Running => {
                emit(effects, Effect::Note(Note::Stopping));
                self.phase = Phase::Stopping { until: now + STOP_WITHIN + self.plan.scripts_stop_within };
                emit(effects, Effect::TellStop);
            }
            Phase::Stopping { .. } => self.leave(now, Cause::StoppedTwice, effects),
            Phase::Farewell { .. } | Phase::Leaving { .. } => {}
        }
    }

    /// The agent says that it has released everything and said goodbye. Only the operator ends the daemon.
    pub(super) fn hear_farewell(&mut self, now: Instant, effects: &mut Effects) {
        match self.phase {
            Phase::Running => self.lose_agent(now, Lapse::UnaskedFarewell, effects),
            Phase::Stopping { .. } => self.phase = Phase::Farewell { until: now + EXIT_WITHIN },
            Phase::Farewell { .. } | Phase::Leaving { .. } => {}
        }
    }

    /// The agent is gone or about to be. That is planned if it said farewell and holds nothing.
    pub(super) fn end_of_agent(&mut self, now: Instant, effects: &mut Effects) {
        let cause = match self.phase {
            Phase::Leaving { .. } => return,
            Phase::Farewell { .. } if self.is_everything_free() => Cause::Farewell,
            Phase::Farewell { .. } => Cause::LeftHolding,
            Phase::Running | Phase::Stopping { .. } => Cause::AgentGone,
        };
        self.leave(now, cause, effects);
    }

    /// Listens to the agent no longer, ends it, and lets everything go: addresses first, then scripts.
    pub(super) fn leave(&mut self, now: Instant, cause: Cause, effects: &mut Effects) {
        if matches!(self.phase, Phase::Leaving { .. }) {
            return;
        }
        let is_well = match cause {
            Cause::Farewell => true,
            Cause::StoppedWithoutAgent => self.is_everything_free(),
            Cause::LeftHolding | Cause::AgentGone | Cause::NotInTime | Cause::StoppedTwice => false,
        };
        emit(effects, Effect::Note(Note::Leaving(cause)));
        self.dismiss(effects);
        emit(effects, Effect::GiveUpFence);
        self.phase = Phase::Leaving { until: now + EXIT_WITHIN, is_well };
        self.release_all(now, effects);
    }

    /// Whether the daemon may end, which is so when nothing is held and the agent was reaped, or cannot be;
    /// and whether it ends as planned.
    pub fn exit(&self) -> Option<bool> {
        let Phase::Leaving { is_well, .. } = self.phase else { return None };
        (self.is_everything_free() && !self.is_agent_there).then_some(is_well)
    }

    /// When the phase ends.
    pub(super) fn ending_due_at(&self) -> Instant {
        match self.phase {
            Phase::Stopping { until } | Phase::Farewell { until } => until,
            Phase::Leaving { until, .. } if self.is_agent_there => until,
            Phase::Running | Phase::Leaving { .. } => Instant::NEVER,
        }
    }

    pub(super) fn pass_ending_deadline(&mut self, now: Instant, effects: &mut Effects) {
        match self.phase {
            Phase::Stopping { until } if now >= until => self.leave(now, Cause::NotInTime, effects),
            Phase::Farewell { until } if now >= until => self.end_of_agent(now, effects),
            Phase::Leaving { until, .. } if self.is_agent_there && now >= until => {
                emit(effects, Effect::Note(Note::AgentUnkillable));
                self.is_agent_there = false;
            }
            Phase::Running | Phase::Stopping { .. } | Phase::Farewell { .. } | Phase::Leaving { .. } => {}
        }
    }
}
