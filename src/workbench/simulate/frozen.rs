//! What becomes of what reaches a frozen box.

use crosswire::pair::{PathKind, Side};
use crosswire::time::Span;

use super::world::{What, World};

impl World {
    /// Something reaches a frozen box: its own events wait until it goes on; a LAN card keeps some frames, a
    /// UART none.
    pub(super) fn meet_frozen(&mut self, side: Side, run: u32, what: What) {
        match what {
            What::Arrive(frame) => {
                let is_serial = self.kind(frame.path) == PathKind::Serial;
                let gateway = &mut self.boxes[side.index()];
                if !is_serial && gateway.agent.is_some() {
                    gateway.inbox.keep(frame, false);
                }
            }
            What::Packet(_)
            | What::Sighting(..)
            | What::Question(_)
            | What::Reply(_)
            | What::Neighbour(_) => {}
            What::Expire(_) => self.schedule(Span::from_ms(100), side, run, what),
            What::Wake
            | What::Roused
            | What::GoOn(_)
            | What::GuardTurn
            | What::Told(..)
            | What::ScriptEnds(..)
            | What::FenceEnds
            | What::GuardWakes
            | What::WatchdogFires
            | What::StallEnds(_)
            | What::AgentEnds
            | What::AgentBegins(..)
            | What::Boot => {
                let is_wake = matches!(what, What::Wake);
                self.schedule(Span::from_ms(20), side, run, what);
                if is_wake {
                    self.boxes[side.index()].wake = self.seq;
                }
            }
        }
    }
}
