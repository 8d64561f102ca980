//! Whether a probe can be believed: while the peer is heard on a LAN, its own address has to answer there.
//!
//! A probe that nobody answers says 'clear' only where answers could come in. Filters and switched-off ARP
//! swallow them without a word, on either box; so each LAN is tried every minute, long before it matters.

use serde::{Deserialize, Serialize};

use crate::time::{Instant, Span};

/// How often a LAN that answers is tried.
const EVERY: Span = Span::from_s(60);
/// How long an answer may take; and how often a LAN that did not answer is tried.
const PATIENCE: Span = Span::from_s(2);
/// This many questions in a row without an answer are no accident: on a LAN that loses 40 % of all frames
/// both ways, they happen in one round in a hundred.
const MAX_UNANSWERED: u8 = 10;

/// The test of one LAN.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SelfTest {
    due: Instant,
    is_waiting: bool,
    unanswered: u8,
}

/// What a look at the test came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass {
    /// Nothing is due.
    Nothing,
    /// The peer has to be asked for.
    Ask,
    /// It has to be asked for, and has not answered for so long that probes are not believed any more.
    AskTheDeaf,
}

impl SelfTest {
    /// Probes are believed until the first test, some seconds after the start.
    pub fn new(now: Instant) -> Self {
        Self { due: now + PATIENCE, is_waiting: false, unanswered: 0 }
    }

    /// Goes on where another agent ended, with this many unanswered questions.
    pub fn succeed(&mut self, unanswered: u8) {
        self.unanswered = unanswered.min(MAX_UNANSWERED);
    }

    /// How many questions have stayed unanswered in a row, for a successor.
    pub fn unanswered(&self) -> u8 {
        self.unanswered
    }

    /// Says whether the peer has to be asked for now. `is_well`: it is heard on this LAN, and says that it
    /// hears us; on any other LAN its silence would prove nothing.
    pub fn pass(&mut self, now: Instant, is_well: bool) -> Pass {
        if now < self.due {
            return Pass::Nothing;
        }
        self.due = now + PATIENCE;
        let was_waiting = core::mem::replace(&mut self.is_waiting, is_well);
        if !is_well {
            return Pass::Nothing;
        }
        if was_waiting && !self.is_deaf() {
            self.unanswered = self.unanswered.saturating_add(1);
            if self.is_deaf() {
                return Pass::AskTheDeaf;
            }
        }
        Pass::Ask
    }

    /// The peer's own address has answered here. True if probes are believed again.
    pub fn answered(&mut self, now: Instant) -> bool {
        if !self.is_waiting {
            return false;
        }
        let was_deaf = self.is_deaf();
        *self = Self { due: now + EVERY, is_waiting: false, unanswered: 0 };
        was_deaf
    }

    /// Whether a probe's silence proves nothing here.
    pub fn is_deaf(&self) -> bool {
        self.unanswered >= MAX_UNANSWERED
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_us(5_000_000) + Span::from_s(s)
    }

    #[test]
    fn a_peer_that_answers_is_asked_every_minute() {
        let mut test = SelfTest::new(at(0));
        let mut asked_at = Vec::new();
        for s in 0..200 {
            if test.pass(at(s), true) == Pass::Ask {
                asked_at.push(s);
                assert!(!test.answered(at(s)));
            }
        }
        assert_eq!(asked_at, [2, 62, 122, 182]);
    }

    #[test]
    fn ten_questions_without_an_answer_are_deafness_and_one_answer_ends_it() {
        let mut test = SelfTest::new(at(0));
        for s in (2..22).step_by(2) {
            assert_eq!(test.pass(at(s), true), Pass::Ask, "{s}");
            assert!(!test.is_deaf(), "{s}");
        }
        assert_eq!(test.pass(at(22), true), Pass::AskTheDeaf);
        assert!(test.is_deaf());
        assert_eq!(test.pass(at(24), true), Pass::Ask, "once is enough to say it");
        assert!(test.answered(at(25)));
        assert!(!test.is_deaf());
        assert_eq!([84, 85].map(|s| test.pass(at(s), true)), [Pass::Nothing, Pass::Ask]);
    }

    #[test]
    fn a_lan_on_which_the_peer_is_not_heard_both_ways_proves_nothing() {
        let mut test = SelfTest::new(at(0));
        for s in 0..100 {
            assert_eq!(test.pass(at(s), false), Pass::Nothing);
        }
        for s in 100..130 {
            test.pass(at(s), true);
        }
        for s in 130..200 {
            test.pass(at(s), false);
        }
        assert!(test.is_deaf(), "what was found stands until the peer answers");
    }

    #[test]
    fn a_successor_goes_on_counting() {
        let mut first = SelfTest::new(at(0));
        for s in 2..20 {
            first.pass(at(s), true);
        }
        let mut second = SelfTest::new(at(20));
        second.succeed(first.unanswered());
        assert!(!second.is_deaf());
        for s in 20..27 {
            second.pass(at(s), true);
        }
        assert!(second.is_deaf());
        let mut third = SelfTest::new(at(30));
        third.succeed(second.unanswered());
        assert!(third.is_deaf());
    }
}
