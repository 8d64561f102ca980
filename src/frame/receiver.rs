//! The bytes of a path to messages: delimiting, the session, and a count of what is refused.
//!
//! Nothing behind the receiver decodes bytes. What it accepts has passed every check; what it refuses has a
//! reason.

use heapless::Vec;

use super::Refusal;
use super::delimit::{Collector, Gathered};
use super::refusal::{REFUSALS, Refusals};
use super::session::{Accepted, Session};
use crate::config::{MAX_PATHS, Policy};
use crate::pair::{PathId, PathKind};
use crate::time::Instant;

/// The outcome of one frame, or of bytes that are no frame.
pub type Received = Result<Accepted, Refusal>;

/// What arrives on one path.
#[derive(Clone)]
struct Inlet {
    kind: PathKind,
    collector: Collector,
    refusals: Refusals,
}

/// What arrives on all paths of a node.
#[derive(Clone)]
pub struct Receiver {
    session: Session,
    inlets: Vec<Inlet, MAX_PATHS>,
}

impl Receiver {
    /// A receiver for the paths of a policy.
    pub fn new(policy: &Policy, session: Session) -> Self {
        let inlet = |kind| Inlet { kind, collector: Collector::default(), refusals: Refusals::default() };
        Self { session, inlets: policy.paths.iter().map(|path| inlet(path.kind)).collect() }
    }

    /// The conversation that its frames belong to.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The conversation, to seal our own frames.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// A path was opened: an unfinished frame from before is dropped.
    pub fn path_opened(&mut self, path: PathId) {
        if let Some(inlet) = self.inlets.get_mut(path.index()) {
            inlet.collector = Collector::default();
        }
    }

    /// Whether bytes arrive on a path without boundaries; `None` for a path that is not there.
    pub fn is_stream(&self, path: PathId) -> Option<bool> {
        self.inlets.get(path.index()).map(|inlet| inlet.kind == PathKind::Serial)
    }

    /// Takes bytes of a stream off `rest`, up to the next that has completed something; says what that is.
    /// `None` if it is nothing.
    pub fn bytes(&mut self, now: Instant, path: PathId, rest: &mut &[u8]) -> Option<Received> {
        let Some(inlet) = self.inlets.get_mut(path.index()) else {
            *rest = &[];
            return None;
        };
        let received = match inlet.collector.take(rest)? {
            Gathered::Body(body) => self.session.receive(now, path, inlet.kind, body),
            Gathered::Noise => Err(Refusal::Length),
        };
        Some(inlet.counted(received))
    }

    /// Takes in one datagram; `None` if the path is not there.
    pub fn datagram(&mut self, now: Instant, path: PathId, body: &[u8]) -> Option<Received> {
        let inlet = self.inlets.get_mut(path.index())?;
        Some(inlet.counted(self.session.receive(now, path, inlet.kind, body)))
    }

    /// How often what arrived on a path was refused, by [`Refusal::index`].
    pub fn refused(&self, path: PathId) -> [u32; REFUSALS] {
        let refusals = self.inlets.get(path.index()).map(|inlet| inlet.refusals).unwrap_or_default();
        Refusal::ALL.map(|refusal| refusals.of(refusal))
    }
}

impl Inlet {
    fn counted(&mut self, received: Received) -> Received {
        received.inspect_err(|refusal| self.refusals.count(*refusal))
    }
}
