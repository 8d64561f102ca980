//! What one run of the guard hands to the next, which is executed in its place: what is held, and the numbers
//! that go on.
//!
//! It is handed over at rest alone: no script starts, stops or is looked at, no order waits for its answer,
//! and an agent has left something with which another one can go on.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::{Custody, Phase};
use crate::config::MAX_GROUPS;
use crate::resource::{Condition, Token};
use crate::time::Instant;

/// What custody hands over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Legacy {
    last_token: Token,
    is_hands_off: bool,
    /// The groups, in their order.
    pub groups: Vec<GroupLegacy, MAX_GROUPS>,
}

/// One group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupLegacy {
    /// The reign for which it was acquired last.
    term: u32,
    /// Until when the kernel keeps its addresses at least, if it is held.
    pub held_until: Option<Instant>,
}

impl Custody {
    /// Nothing is on its way, so that another run of the guard can go on with what is held.
    pub fn is_at_rest(&self, now: Instant) -> bool {
        let is_agent_sound = self.may_reload() && self.agent_heard <= now;
        let may_hand_over = is_agent_sound && !self.is_fencing && self.renewals.iter().all(Option::is_none);
        may_hand_over
            && self.groups.iter().all(|group| {
                group.held.is_at_rest()
                    && group.adding.is_none()
                    && group.newcomers.is_none()
                    && !group.is_on_trial
                    && group.monitors.condition() == Condition::Well
            })
    }

    /// The shortest time for which the kernel keeps what is held; [`Instant::NEVER`] if nothing is.
    pub fn all_held_until(&self) -> Instant {
        let held = self.groups.iter().filter(|group| group.held.is_held());
        held.map(|group| group.held_until).min().unwrap_or(Instant::NEVER)
    }

    /// What is handed over.
    pub fn legacy(&self) -> Legacy {
        let group = |group: &super::GroupCustody| GroupLegacy {
            term: group.term,
            held_until: group.held.is_held().then_some(group.held_until),
        };
        Legacy {
            last_token: self.last_token,
            is_hands_off: self.is_hands_off,
            groups: self.groups.iter().map(group).collect(),
        }
    }

    /// Goes on with what another run has handed over. The plan is still the one of then; an agent is started
    /// by [`Event::Reloaded`](super::Event::Reloaded).
    pub fn take_over(&mut self, now: Instant, legacy: &Legacy) {
        debug_assert!(self.phase == Phase::Running && !self.is_agent_there, "a fresh one");
        (self.last_token, self.is_hands_off) = (legacy.last_token, legacy.is_hands_off);
        self.restarts.note_word();
        self.restarts.note_deposit();
        for (group, left) in self.groups.iter_mut().zip(&legacy.groups) {
            group.term = left.term;
            if let Some(until) = left.held_until {
                group.held_until = until;
                group.take_over(now);
            }
        }
    }
}
