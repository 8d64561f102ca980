//! What clients see: whether nobody, one box or two hold the first group's addresses within their reach.

use crosswire::time::{Instant, Span};

use super::clock::BEGINNING;

/// What clients on the groups' LAN see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Seen {
    /// One box answers.
    #[default]
    Served,
    /// Nobody does.
    Nobody,
    /// Two do.
    Two,
    /// There is no LAN: not the pair's fault.
    NoLan,
}

/// Times by what was seen.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    seen: Seen,
    since: Instant,
    /// Time in which nobody answered although the LAN worked.
    pub nobody: Span,
    /// Time in which two answered.
    pub two: Span,
    /// How often two began to answer.
    pub doubles: u64,
}

impl Default for Service {
    fn default() -> Self {
        Self { seen: Seen::Nobody, since: BEGINNING, nobody: Span::ZERO, two: Span::ZERO, doubles: 0 }
    }
}

impl Service {
    /// What is seen at present.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// The present state goes on for this long.
    pub fn pass(&mut self, span: Span) {
        match self.seen {
            Seen::Served | Seen::NoLan => {}
            Seen::Nobody => self.nobody = self.nobody + span,
            Seen::Two => self.two = self.two + span,
        }
    }

    /// From now on this is seen.
    pub fn note(&mut self, now: Instant, seen: Seen) {
        let span = now.since(self.since);
        self.pass(span);
        self.since = now;
        self.doubles += u64::from(seen == Seen::Two && self.seen != Seen::Two);
        self.seen = seen;
    }
}
