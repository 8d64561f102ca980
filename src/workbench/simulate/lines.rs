//! The modem lines: DTR says that the agent has its port open, RTS that it holds services.
//!
//! The driver raises both lines when a port is opened and drops them when the last descriptor is closed
//! (HUPCL), so DTR follows the agent's process: it stays up while the agent is stopped, and drops when the
//! agent or its box dies.

use crosswire::health::Lines;
use crosswire::pair::{PathId, PathKind, Side};
use crosswire::quorum::Event;
use crosswire::time::Span;

use super::fault::LineFault;
use super::setup::Wiring;
use super::world::World;

/// How often flapping lines change.
const FLAP_EVERY: Span = Span::from_ms(7);

impl World {
    /// What the lines at a side's end of a path show.
    pub(super) fn lines(&self, side: Side, path: PathId) -> Option<Lines> {
        let own = self.raised_by(side);
        let shown = match self.setup.wirings[path.index()] {
            Wiring::None => return None,
            Wiring::Three => OFF,
            Wiring::Looped => own,
            Wiring::Full => self.carried_to(side, path),
        };
        let end = &self.links[path.index()].line_ends[side.index()];
        if self.now < end.flaps_until && (self.now.as_us() / FLAP_EVERY.as_us()).is_multiple_of(2) {
            return Some(OFF);
        }
        Some(match end.fault {
            LineFault::Good => shown,
            LineFault::StuckOn => Lines { peer_runs: true, peer_holds: true },
            LineFault::StuckOff => OFF,
            LineFault::HoldsOn => Lines { peer_holds: true, ..shown },
        })
    }

    fn carried_to(&self, side: Side, path: PathId) -> Lines {
        let link = &self.links[path.index()];
        if link.is_looped[side.index()] {
            return self.raised_by(side);
        }
        let is_pulled = link.directions.iter().all(|direction| direction.is_cut);
        let is_other_plugged = link.is_up[side.peer().index()] && !link.is_looped[side.peer().index()];
        if is_pulled || !is_other_plugged { OFF } else { self.raised_by(side.peer()) }
    }

    /// A stopped agent keeps its port open, and a frozen box its lines as they are.
    fn raised_by(&self, side: Side) -> Lines {
        let gateway = &self.boxes[side.index()];
        let peer_runs = gateway.is_powered && gateway.agent.is_some();
        Lines { peer_runs, peer_holds: peer_runs && gateway.is_showing_holding }
    }

    /// The agent looks at the lines of all its open ports, as it does on every turn.
    pub(super) fn poll_lines(&mut self, side: Side) {
        for path in self.setup.policy.path_ids() {
            let is_open = self.links[path.index()].is_up[side.index()];
            if self.kind(path) != PathKind::Serial
                || !is_open
                || self.setup.wirings[path.index()] == Wiring::None
            {
                continue;
            }
            let lines = self.lines(side, path);
            self.note_lines(side, path, lines);
            self.step(side, Event::Lines(path, lines));
        }
    }

    /// The lines come and go for a while; the agent of that side is woken by nothing, it polls.
    pub(super) fn flap(&mut self, path: PathId, side: Side, span: Span) {
        self.links[path.index()].line_ends[side.index()].flaps_until = self.now + span;
    }
}

const OFF: Lines = Lines { peer_runs: false, peer_holds: false };
