//! What the neighbours are worth: nobody takes a group from a silent peer, or serves on unheard, while no
//! third party on the LAN could answer; and nobody takes itself for cut off while one could.

use crosswire::pair::Side;
use crosswire::quorum::timing;
use crosswire::reasons::TakeReason;
use crosswire::time::{Instant, Span};

use super::super::world::World;
use super::deadline::TOLERANCE;
use super::silence::is_by_silence;

impl World {
    /// Checks a takeover from a silent peer: since that was last heard, a neighbour could answer.
    pub(super) fn check_neighbours(&mut self, side: Side, reason: TakeReason) {
        let hearing = &self.watch.hearing[side.index()];
        let since = hearing.heard_at.unwrap_or(hearing.started_at);
        let is_alone = self.watch.neighbourless[side.index()].is_good_for(self.now, self.now.since(since));
        let has_lan = !self.watch.dark[side.index()][0];
        if is_by_silence(reason) && self.can_tell_that_it_is_cut_off(side) && is_alone && has_lan {
            self.complain("neighbours", format!("{side:?} took over ({reason:?}), and it is cut off itself"));
        }
    }

    /// This agent has heard a neighbour, or another one has left it that it is cut off: that lasts until the
    /// peer is heard there, and then this one does not know whom to ask.
    fn can_tell_that_it_is_cut_off(&self, side: Side) -> bool {
        self.watch.knows_neighbours[side.index()] || self.watch.is_left_cut_off[side.index()]
    }

    /// No neighbour could answer since the beat that the peer acknowledged last, or one interval after it,
    /// and this node has not served alone for long.
    pub(super) fn must_know_that_it_is_cut_off(&self, side: Side, local: Instant) -> bool {
        let clock = self.boxes[side.index()].clock;
        let hearing = &self.watch.hearing[side.index()];
        let interval = self.file(side).interval();
        // Each reading of what was acknowledged has to lead there.
        let readings = [hearing.acked_at, hearing.surely_acked_at].map(|at| at.max(hearing.returned_at));
        let is_late = |acked: Instant| {
            let alone_from =
                clock.local(acked) + timing::release_start(self.fastest_dead_after()) + self.file(side).lease;
            let lasts = self.now.since(acked + interval);
            self.watch.neighbourless[side.index()].is_good_for(self.now, lasts)
                && local > clock.local(acked) + self.dead_afters().0 + TOLERANCE
                && local + interval + interval < alone_from
        };
        // A peer that is heard by a slow path acknowledges slowly; beats tell which file is the slower one.
        let late_after = self.slowest_late_after() + interval;
        let is_heard = hearing.heard_at.is_some_and(|at| self.now.since(at) <= late_after);
        // After a stall the questions have to be asked anew.
        let has_run = self.boxes[side.index()].works.is_good_for(self.now, self.dead_afters().0 + RESTARTS);
        // Where the LAN has no carrier, nobody can be asked, and the rules of carriers apply.
        self.can_tell_that_it_is_cut_off(side)
            && !self.watch.dark[side.index()][0]
            && !hearing.has_peer_left
            && !is_heard
            && has_run
            && readings.into_iter().all(|acked| acked.is_some_and(is_late))
    }

    /// A node says that it is cut off. No neighbour has answered it everything for so long.
    pub(super) fn check_cut_off(&mut self, side: Side) {
        let window = ANSWERED_WITHIN + self.setup.held_up.fraction(2, 1);
        let is_sure = self.home().is_some_and(|home| {
            self.links[home.index()].directions[side.index()].sure.is_good_for(self.now, window)
        });
        let could_answer = self.watch.neighbourless[side.index()].bad_for(self.now) >= window;
        let has_run = self.boxes[side.index()].works.is_good_for(self.now, window);
        if could_answer && has_run && is_sure {
            self.complain("cut-off", format!("{side:?} takes itself for cut off, and a neighbour answers"));
        }
    }
}

/// A round in which an answer comes is never further away than this.
const ANSWERED_WITHIN: Span = Span::from_ms(250);
/// An agent in the place of another waits so long before it judges.
const RESTARTS: Span = Span::from_s(1);
