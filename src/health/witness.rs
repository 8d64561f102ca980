//! Third parties that both nodes can ask about.
//!
//! *Seeing* a witness means that it answered a request that was sent after a certain instant: the peer's last
//! frame for a node that would take over, our newest acknowledged beat for a node that serves. One that
//! neither node saw when they last exchanged results proves nothing: the fault is its own.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::config::MAX_WITNESSES;
use crate::time::{Instant, Span};

/// What the witnesses say about whether we are the ones who are cut off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum WitnessView {
    /// None is configured, or none that is worth asking.
    None,
    /// At least one of them answers us.
    Seen,
    /// None of them answers us.
    Unseen,
}

/// The witnesses of a pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Witnesses {
    /// Per witness, when the newest request that it answered was sent.
    answered: Vec<Option<Instant>, MAX_WITNESSES>,
    /// Per witness, whether either node saw it when results were last exchanged; true before the first
    /// exchange.
    counts: Vec<bool, MAX_WITNESSES>,
    /// What the peer said that it sees.
    peer_sees: u8,
}

impl Witnesses {
    /// `count` of them, none seen yet.
    pub fn new(count: usize) -> Self {
        let count = count.min(MAX_WITNESSES);
        Self {
            answered: core::iter::repeat_n(None, count).collect(),
            counts: core::iter::repeat_n(true, count).collect(),
            peer_sees: 0,
        }
    }

    /// A witness answered a request that was sent at `asked_at`.
    pub fn answer(&mut self, index: usize, asked_at: Instant) {
        if let Some(newest) = self.answered.get_mut(index) {
            *newest = (*newest).max(Some(asked_at));
        }
    }

    /// What a successor of this agent has to know: when each answered, and which of them count, as bits.
    pub fn deposit(&self) -> (Vec<Option<Instant>, MAX_WITNESSES>, u8) {
        let counting = self.counts.iter().enumerate().filter(|(_, counts)| **counts);
        (self.answered.clone(), counting.fold(0, |bits, (index, _)| bits | bit(index)))
    }

    /// Goes on with what another agent left.
    pub fn succeed(&mut self, answered: &[Option<Instant>], counting: u8) {
        for (index, (here, left)) in self.answered.iter_mut().zip(answered).enumerate() {
            *here = *left;
            if let Some(counts) = self.counts.get_mut(index) {
                *counts = counting & bit(index) != 0;
            }
        }
    }

    /// The peer's beat says which ones it sees; ours say what we see within `window`. Where the
    /// configurations differ nobody knows which witnesses are meant (`None`): then each witness counts that
    /// we have ever seen ourselves. Bits of witnesses that we do not have are ignored.
    pub fn exchange(&mut self, now: Instant, window: Span, peer_sees: Option<u8>) {
        let known = (0..self.answered.len()).fold(0, |bits, index| bits | bit(index));
        self.peer_sees = peer_sees.unwrap_or(0) & known;
        let either = self.seen_bits(now, window) | self.peer_sees;
        for (index, (counts, answered)) in self.counts.iter_mut().zip(&self.answered).enumerate() {
            *counts = if peer_sees.is_some() { either & bit(index) != 0 } else { answered.is_some() };
        }
    }

    /// When the newest request that a counting witness answered was sent.
    pub fn newest_answered(&self) -> Option<Instant> {
        self.answered.iter().zip(&self.counts).filter(|(_, counts)| **counts).filter_map(|(at, _)| *at).max()
    }

    /// Which ones answered a request of the last `window`, as bits.
    pub fn seen_bits(&self, now: Instant, window: Span) -> u8 {
        let is_seen = |at: &Option<Instant>| at.is_some_and(|at| now.since(at) <= window);
        let seen = self.answered.iter().enumerate().filter(|(_, at)| is_seen(at));
        seen.fold(0, |bits, (index, _)| bits | bit(index))
    }

    /// What they say; only answers to requests after `since` count.
    pub fn view(&self, since: Instant) -> WitnessView {
        let mut asked = self.answered.iter().zip(&self.counts).filter(|(_, counts)| **counts).peekable();
        if asked.peek().is_none() {
            WitnessView::None
        } else if asked.any(|(answered, _)| answered.is_some_and(|at| at > since)) {
            WitnessView::Seen
        } else {
            WitnessView::Unseen
        }
    }

    /// Whether the peer sees more of them than we do.
    pub fn is_peer_better(&self, now: Instant, window: Span) -> bool {
        self.seen_bits(now, window).count_ones() < self.peer_sees.count_ones()
    }

    /// Per witness, when the newest request that it answered was sent, and whether the peer sees it.
    pub fn each(&self) -> impl Iterator<Item = (Option<Instant>, bool)> + '_ {
        self.answered.iter().enumerate().map(|(index, at)| (*at, self.peer_sees & bit(index) != 0))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.answered.len()
    }
}

fn bit(index: usize) -> u8 {
    u32::try_from(index).ok().and_then(|shift| 1u8.checked_shl(shift)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_us(1_000_000) + Span::from_ms(ms)
    }

    const WINDOW: Span = Span::from_ms(500);

    #[test]
    fn only_answers_to_later_requests_are_sight() {
        let mut witnesses = Witnesses::new(1);
        assert_eq!(witnesses.view(at(0)), WitnessView::Unseen);
        witnesses.answer(0, at(100));
        assert_eq!(witnesses.view(at(99)), WitnessView::Seen);
        assert_eq!(
            witnesses.view(at(100)),
            WitnessView::Unseen,
            "the request must be later than the peer's last frame"
        );
        witnesses.answer(0, at(50));
        assert_eq!(
            witnesses.view(at(99)),
            WitnessView::Seen,
            "a late answer to an early request takes nothing back"
        );
    }

    #[test]
    fn a_witness_that_neither_node_saw_is_left_out() {
        let mut witnesses = Witnesses::new(2);
        witnesses.answer(0, at(0));
        witnesses.exchange(at(100), WINDOW, Some(0b00));
        assert_eq!(witnesses.view(at(0)), WitnessView::Unseen, "the first counts, and was not seen since");
        witnesses.exchange(at(900), WINDOW, Some(0b00));
        assert_eq!(witnesses.view(at(0)), WitnessView::None);
        witnesses.exchange(at(900), WINDOW, Some(0b10));
        assert_eq!(witnesses.view(at(0)), WitnessView::Unseen, "the peer saw the second");
        assert!(witnesses.is_peer_better(at(900), WINDOW));
        witnesses.exchange(at(900), WINDOW, Some(0b1100));
        assert!(!witnesses.is_peer_better(at(900), WINDOW), "it sees what there is not");
    }
}
