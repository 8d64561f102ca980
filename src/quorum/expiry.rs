//! Whether the peer's kernel has let a group's addresses go, as the wire shows it.
//!
//! A kernel that has an address answers whoever asks for it, whatever its processes do. So an address that
//! has answered, and is silent while the same kernel answers for another address on the same LAN, is gone
//! from that kernel. One question may be lost, or its answer; three in a row, each between two that were
//! answered, are taken for proof. Nobody there puts the address back: whoever is not acknowledged any more,
//! or said that it cannot serve, renews only what is there ([`crate::resource::Order::Renew`]).

use serde::{Deserialize, Serialize};

use crate::pair::PathId;
use crate::time::{Instant, Span};

/// So many questions in a row, each between two answered ones.
const QUESTIONS: u8 = 3;
/// How soon the next question follows while it looks as if the addresses were gone.
pub const SOON: Span = Span::from_ms(20);

/// What the wire has shown of one group's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Expiry {
    /// From then on nobody puts back what has gone from the peer's kernel.
    since: Option<Instant>,
    /// How many addresses there are; zero if they cannot be watched.
    count: u8,
    /// Those that have answered since, by place in the group's list, as bits.
    seen: u64,
    /// The LAN paths on whose interfaces they lie, as bits.
    lans: u8,
    /// Since the newest question: on which paths the peer's own address has answered, as bits.
    answered: u8,
    /// Since the newest question: an address of the group has answered, or nothing is known.
    is_spoilt: bool,
    /// How many questions in a row, before the newest, the peer's own addresses have answered and no address
    /// of the group has.
    rounds: u8,
    /// They are gone.
    is_certain: bool,
}

fn bit(number: u8) -> u64 {
    1_u64.checked_shl(number.into()).unwrap_or(0)
}

fn path_bit(path: PathId) -> u8 {
    1_u8.checked_shl(path.0.into()).unwrap_or(0)
}

impl Expiry {
    /// Watches `count` addresses, none of which is put back once it has gone later than `since`.
    pub fn watch(&mut self, since: Option<Instant>, count: u8) {
        if (self.since, self.count) != (since, count) {
            *self = Self { since, count, is_spoilt: true, ..Self::default() };
        }
    }

    /// The addresses of the group are asked for, then the peer's own.
    pub fn ask(&mut self) {
        self.rounds = if self.is_silent() { self.rounds.saturating_add(1).min(QUESTIONS) } else { 0 };
        (self.answered, self.is_spoilt) = (0, false);
    }

    /// Somebody answered for an address of the group, or the last question may have reached nobody.
    pub fn doubt(&mut self) {
        (self.rounds, self.is_spoilt, self.is_certain) = (0, true, false);
    }

    /// The peer's kernel answered for an address of the group, at that place in its list, on the interface of
    /// that path, when it was asked at `asked_at`.
    pub fn see(&mut self, address: u8, path: PathId, asked_at: Option<Instant>) {
        if self.since.is_some() && asked_at > self.since {
            self.seen |= bit(address);
            self.lans |= path_bit(path);
        }
    }

    /// The peer's own address answered on the interface of that path.
    pub fn peer_answered(&mut self, path: PathId) {
        self.answered |= path_bit(path);
        self.is_certain |= self.is_silent() && self.rounds >= QUESTIONS;
    }

    /// Every address has answered; the newest question was answered by the peer's own addresses alone.
    fn is_silent(&self) -> bool {
        let all = bit(self.count).wrapping_sub(1);
        let is_watched = (1..64).contains(&self.count) && self.seen & all == all;
        is_watched && !self.is_spoilt && self.answered & self.lans == self.lans
    }

    /// It looks as if they were gone, and is not certain yet: the next question should follow soon.
    pub fn is_near(&self) -> bool {
        self.is_silent() && !self.is_certain
    }

    /// All of them are gone from the peer's kernel. It stays certain until somebody answers for one.
    pub fn is_certain(&self) -> bool {
        self.is_certain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAN: PathId = PathId(1);
    const OTHER: PathId = PathId(2);

    fn at(ms: u64) -> Instant {
        Instant::from_us(1_000_000) + Span::from_ms(ms)
    }

    /// Two addresses that have answered since the peer fell silent.
    fn seen() -> Expiry {
        let mut expiry = Expiry::default();
        expiry.watch(Some(at(0)), 2);
        expiry.ask();
        for address in 0..2 {
            expiry.doubt();
            expiry.see(address, LAN, Some(at(1)));
        }
        expiry.peer_answered(LAN);
        expiry
    }

    fn ask(expiry: &mut Expiry, times: u8) {
        for _ in 0..times {
            expiry.ask();
            expiry.peer_answered(LAN);
        }
    }

    #[test]
    fn three_questions_between_answered_ones_are_certain_and_fewer_are_not() {
        let mut expiry = seen();
        assert!(!expiry.is_near(), "they have just answered");
        ask(&mut expiry, 3);
        assert!(expiry.is_near() && !expiry.is_certain());
        expiry.ask();
        assert!(!expiry.is_certain(), "the last one has to be followed by an answered one");
        expiry.peer_answered(LAN);
        assert!(expiry.is_certain() && !expiry.is_near());
    }

    #[test]
    fn an_answer_or_a_question_that_the_peer_itself_left_unanswered_begins_anew() {
        for spoil in [Expiry::doubt as fn(&mut Expiry), Expiry::ask] {
            let mut expiry = seen();
            ask(&mut expiry, 3);
            spoil(&mut expiry);
            ask(&mut expiry, 3);
            assert!(!expiry.is_certain());
            ask(&mut expiry, 1);
            assert!(expiry.is_certain());
        }
    }

    #[test]
    fn an_address_that_never_answered_or_answered_earlier_is_waited_for() {
        let mut expiry = Expiry::default();
        expiry.watch(Some(at(0)), 2);
        expiry.see(0, LAN, Some(at(1)));
        for asked_at in [None, Some(at(0))] {
            expiry.see(1, LAN, asked_at);
        }
        ask(&mut expiry, 9);
        assert!(!expiry.is_certain());
        let mut later = seen();
        later.watch(Some(at(2)), 2);
        ask(&mut later, 9);
        assert!(!later.is_certain(), "the peer was heard since");
    }

    #[test]
    fn each_lan_has_to_vouch_for_its_own() {
        let mut expiry = seen();
        expiry.see(1, OTHER, Some(at(1)));
        ask(&mut expiry, 9);
        assert!(!expiry.is_certain());
        for _ in 0..5 {
            expiry.ask();
            expiry.peer_answered(LAN);
            expiry.peer_answered(OTHER);
        }
        assert!(expiry.is_certain());
    }

    #[test]
    fn what_cannot_be_watched_never_expires() {
        let mut expiry = Expiry::default();
        for (since, count) in [(Some(at(0)), 0), (Some(at(0)), 64), (Some(at(0)), 200), (None, 1)] {
            expiry.watch(since, count);
            expiry.see(0, LAN, Some(at(1)));
            ask(&mut expiry, 9);
            assert!(!expiry.is_certain(), "{since:?} {count}");
        }
    }
}
