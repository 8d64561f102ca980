//! The last resorts, for custody: the fence of the peer, and the reset of this box.

use crosswire::custody::Event;
use crosswire::pair::GroupId;
use crosswire::resource::Fault;
use crosswire::time::Instant;

use super::state::Guard;
use crate::clock::now;
use crate::guard::scripts::run::Ended;

impl Guard<'_> {
    /// Starts a fence, if it is not too late. Returns the event that says that there is none.
    pub(super) fn fence(&mut self, valid_until: Instant) -> Option<Event<'static>> {
        let now = now();
        if now > valid_until {
            return Some(Event::FenceEnded(Err(Fault::TooLate)));
        }
        let is_started = self.fence.start(self.settings, now);
        (!is_started).then_some(Event::FenceEnded(Err(Fault::NoFence)))
    }

    /// The fence has ended, or is given up.
    pub(super) fn fence_ended(&mut self, how: Option<Ended>) {
        if let Some(is_confirmed) = self.fence.end(how) {
            self.hand_in(Event::FenceEnded(if is_confirmed { Ok(()) } else { Err(Fault::NoFence) }));
        }
    }

    /// Resets this box, if the group asks for that: a script of it does not stop.
    pub(super) fn fence_self_if_needed(&mut self, id: GroupId) {
        if let Some(group) = self.settings.groups.get(id.index()) {
            self.self_fence.begin_if_asked(self.settings, group);
        }
    }
}
