//! Fences: one at a time, rationed, and only for a group that asks for one and that this node does not hold.
//!
//! The guard cannot know whether the peer is healthy, since the agent hears it. It knows that nobody needs a
//! fence for what this node serves, for a group under another safety rule, or while the daemon ends.

use super::budget::Request;
use super::event::{Effect, Effects};
use super::orders::refuse;
use super::{Custody, emit};
use crate::pair::GroupId;
use crate::resource::{Fault, Outcome, Ticket};
use crate::time::Instant;

impl Custody {
    /// Takes the order to fence. A fence that is ordered again was only not answered yet. An agent that asks
    /// while the peer is being fenced gets the same answer.
    pub(super) fn fence(&mut self, now: Instant, id: GroupId, ticket: Ticket, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if group.newest_fence.replace(ticket.token) == Some(ticket.token) {
            return;
        }
        if let Some(older) = group.awaited_fence.take() {
            refuse(older, Fault::OutOfOrder, effects);
        }
        let may_fence = group.may_fence && (self.is_fencing || self.may_have(now, Request::Fence, effects));
        if !may_fence {
            return refuse(ticket.token, Fault::NoFence, effects);
        }
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.awaited_fence = Some(ticket.token);
        }
        if !core::mem::replace(&mut self.is_fencing, true) {
            emit(effects, Effect::Fence(ticket.valid_until));
        }
    }

    /// Everybody who waits gets the answer.
    pub(super) fn fence_ended(&mut self, outcome: Result<(), Fault>, effects: &mut Effects) {
        self.is_fencing = false;
        for token in self.groups.iter_mut().filter_map(|group| group.awaited_fence.take()) {
            emit(effects, Effect::Answer(token, outcome.map_or_else(Outcome::Failed, |()| Outcome::Fenced)));
        }
    }
}
