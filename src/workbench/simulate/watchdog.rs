//! The hardware watchdog of a box: it resets the box when nobody has petted it for its timeout, whatever the
//! processes and the kernel do.

use crosswire::custody::{Effects, Event};
use crosswire::pair::Side;
use crosswire::quorum::timing;
use crosswire::time::Instant;

use super::fault::Fault;
use super::guard::Told;
use super::world::{What, World};

impl World {
    /// The guard arms it, as its first deed, and says so.
    pub(super) fn arm_watchdog(&mut self, side: Side) {
        let Some(timeout) = self.setup.watchdog else { return };
        self.pet(side);
        let local = self.boxes[side.index()].clock.local(self.now);
        if let Some(guard) = &mut self.boxes[side.index()].guard {
            guard.custody.step(local, Event::WatchdogArmed(timeout), &mut Effects::new());
        }
        self.tell_watchdog(side);
    }

    /// Every agent is told what the peer can count on, before anything else.
    pub(super) fn tell_watchdog(&mut self, side: Side) {
        let started_with = self.boxes[side.index()].started_with.2;
        if let Some(timeout) = self.setup.watchdog {
            let bound = timing::watchdog_announced(timeout, self.setup.file(started_with).interval());
            let bound_s = u8::try_from(bound.as_s_ceil()).unwrap_or(u8::MAX);
            self.boxes[side.index()].inbox.told.push_back(Told::Watchdog(bound_s));
        }
    }

    /// The reset is put off by a timeout.
    pub(super) fn pet(&mut self, side: Side) {
        let Some(timeout) = self.setup.watchdog else { return };
        let gateway = &mut self.boxes[side.index()];
        let span = gateway.clock.true_span(timeout);
        gateway.resets_at = self.now + span;
        self.schedule_for_any(span, side, What::WatchdogFires);
    }

    /// If nobody has petted it, the box begins anew, like one that had no power for a moment.
    pub(super) fn watchdog_fires(&mut self, side: Side) {
        if self.boxes[side.index()].resets_at <= self.now {
            self.check_reset(side);
            self.befall_aloud(Fault::PowerCut(side));
            self.befall_aloud(Fault::PowerOn(side));
        }
    }

    /// No box is reset whose two processes have worked all the while and whose scripts have all stopped.
    fn check_reset(&mut self, side: Side) {
        let Some(timeout) = self.setup.watchdog else { return };
        let gateway = &self.boxes[side.index()];
        let window = timeout + timeout;
        let have_worked =
            gateway.works.is_good_for(self.now, window) && gateway.guards.is_good_for(self.now, window);
        let has_to = gateway.guard.as_ref().is_none_or(|guard| guard.custody.must_watchdog_fire());
        if have_worked && !has_to {
            self.complain("reset", format!("{side:?} is reset by its own watchdog, and nothing hangs there"));
        }
    }

    /// A guard that has let everything go stops it, unless it has to do its work.
    pub(super) fn stop_watchdog(&mut self, side: Side) {
        let gateway = &mut self.boxes[side.index()];
        if gateway.guard.as_ref().is_some_and(|guard| !guard.custody.must_watchdog_fire()) {
            gateway.resets_at = Instant::NEVER;
        }
    }
}
