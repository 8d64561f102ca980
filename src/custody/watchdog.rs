//! When the hardware watchdog of the box is petted, and when it is petted no more.
//!
//! It resets a box whose guard or kernel hangs. It is petted only while the guard's loop is on time and, if
//! something is served, while the agent's newest word is fresh. So an agent or guard that is gone, hung or
//! stopped takes the box along.

use super::event::{Effect, Effects, Note};
use super::{Custody, emit};
use crate::pair::GroupId;
use crate::quorum::timing::pets_for;
use crate::time::{Instant, Span};

/// How often it is petted within its timeout.
const PETS_A_TIMEOUT: u64 = 5;
/// How soon a late agent or a late loop is looked at again.
const RETRY_AFTER: Span = Span::from_ms(100);
/// A loop that wakes up later than this is not on time.
const STALL: Span = Span::from_ms(500);

/// The watchdog of this box, as far as a rule depends on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Watchdog {
    /// What its driver really set; none while it is not armed.
    timeout: Option<Span>,
    /// How old the agent's newest word may be. A reload does not change it: the peer was told.
    fresh_for: Span,
    next_pet: Instant,
    is_loop_on_time: bool,
    /// It is petted no more, since it has to reset the box.
    is_to_fire: bool,
}

impl Watchdog {
    /// Not armed yet; `interval` is that of the beats.
    pub(super) fn new(interval: Span) -> Self {
        Self {
            timeout: None,
            fresh_for: pets_for(interval),
            next_pet: Instant::NEVER,
            is_loop_on_time: true,
            is_to_fire: false,
        }
    }

    pub(super) fn note_waking(&mut self, now: Instant, wanted: Instant) {
        self.is_loop_on_time = now.since(wanted) <= STALL;
    }

    pub(super) fn become_armed(&mut self, now: Instant, timeout: Span) {
        (self.timeout, self.next_pet) = (Some(timeout), now);
    }

    pub(super) fn due_at(&self) -> Instant {
        if self.is_to_fire { Instant::NEVER } else { self.next_pet }
    }

    /// An agent that has yet to say its first word is not fresh.
    fn is_fresh(&self, now: Instant, heard_at: Instant) -> bool {
        heard_at <= now && now.since(heard_at) <= self.fresh_for
    }
}

impl Custody {
    /// Pets the watchdog if that is due; but not if the loop was late, or if something is served for an agent
    /// that orders it no more. While something is let go nobody orders it: the scripts have their own time.
    pub(super) fn pet(&mut self, now: Instant, effects: &mut Effects) {
        let Some(timeout) = self.watchdog.timeout.filter(|_| now >= self.watchdog.due_at()) else { return };
        let is_served = self.groups.iter().any(|group| group.held.is_serving());
        let is_fresh = !is_served || self.watchdog.is_fresh(now, self.agent_heard);
        if self.watchdog.is_loop_on_time && is_fresh {
            self.watchdog.next_pet = now + timeout.fraction(1, PETS_A_TIMEOUT);
            emit(effects, Effect::Pet);
        } else {
            self.watchdog.next_pet = now + RETRY_AFTER;
        }
    }

    /// A script of this group could not be stopped. If the peer has to be certain of that, the box has to go
    /// before the peer takes the group.
    pub(super) fn let_watchdog_fire(&mut self, id: GroupId, effects: &mut Effects) {
        let must_end = self.plan.groups.get(id.index()).is_some_and(|group| group.must_end_with_box);
        if self.watchdog.timeout.is_some() && must_end && !self.watchdog.is_to_fire {
            self.watchdog.is_to_fire = true;
            emit(effects, Effect::Note(Note::WatchdogFires));
        }
    }

    /// The watchdog must not be stopped: it has to reset this box.
    pub fn must_watchdog_fire(&self) -> bool {
        self.watchdog.is_to_fire
    }
}
