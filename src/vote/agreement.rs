//! Whether the voting witness counts. Both nodes have to go by the same rules, and learn of each other over
//! paths that may be cut at any instant.
//!
//! Each node says in its beats whether it counts on the witness. What follows for it:
//!
//! | its own word | the peer's last word | the witness |
//! |---|---|---|
//! | not acknowledged yet | any | is disputed |
//! | acknowledged: counts | counts | counts |
//! | acknowledged: counts | does not count | does not count |
//! | acknowledged: does not count | any | does not count |
//! | any | none in this run | counts |
//!
//! Where it is disputed, a group is served alone, and taken from a silent peer, only if a grant and the rules
//! of a pair without a witness both allow it. So whatever the other node goes by, this one is within it.
//!
//! Never does the witness count for one node and not for the other. Let it count for A: then B has heard A's
//! word 'counts', and no later one, and A has heard the same of B. If B has said anything else since, A has
//! not acknowledged it, and for B the witness is disputed. A node that has heard nobody since it was started
//! knows nothing of what was agreed before: it goes by the witness, which is more careful than a start
//! without one.

use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// By which rules a node serves alone, and takes from a silent peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counting {
    /// By a grant of the witness.
    Yes,
    /// By a grant, and by the rules of a pair without a witness.
    Disputed,
    /// By the rules of a pair without a witness.
    No,
}

/// What both nodes have said of the witness.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Agreement {
    /// What our beats say.
    does_count: bool,
    /// They have said so since then.
    since: Instant,
    /// The peer has acknowledged a beat that says so.
    is_acknowledged: bool,
    /// What the peer's newest beat says; `None`: it was not heard in this run.
    peer_counts: Option<bool>,
    /// The operator has said that the peer is off, and the witness was silent.
    is_overruled: bool,
}

impl Agreement {
    /// Nothing was said yet.
    pub const fn new(now: Instant) -> Self {
        Self { does_count: false, since: now, is_acknowledged: false, peer_counts: None, is_overruled: false }
    }

    /// Neither node has counted on it: it is new in the file.
    pub const fn of_neither(now: Instant) -> Self {
        Self { is_acknowledged: true, peer_counts: Some(false), ..Self::new(now) }
    }

    /// What our beats have to say.
    pub const fn does_count(&self) -> bool {
        self.does_count
    }

    /// From the beat that leaves now on we say this. Returns whether it is something else than before.
    pub fn say(&mut self, now: Instant, does_count: bool) -> bool {
        let is_new = self.does_count != does_count;
        if is_new {
            self.does_count = does_count;
            self.tell_anew(now);
        }
        is_new
    }

    /// The peer has to hear our word again: it is another run, which has forgotten it.
    pub fn tell_anew(&mut self, now: Instant) {
        (self.since, self.is_acknowledged) = (now, false);
    }

    /// Another agent goes on in the place of this one, with the same word. What the peer has acknowledged, it
    /// has heard.
    pub fn go_on(&mut self, now: Instant) {
        self.since = now;
    }

    /// The peer has acknowledged what we sent at `at`. A beat of the very instant at which the word changed
    /// may have said the old one.
    pub fn note_acknowledged(&mut self, at: Option<Instant>) {
        self.is_acknowledged |= at.is_some_and(|at| at > self.since);
    }

    /// The peer's newest beat says this. It is not off.
    pub fn hear(&mut self, peer_counts: bool) {
        (self.peer_counts, self.is_overruled) = (Some(peer_counts), false);
    }

    /// The operator has said that the peer is off, and the witness says nothing.
    pub fn overrule(&mut self) {
        self.is_overruled = true;
    }

    /// The peer was not heard in this run, so nobody waits for our word.
    pub const fn is_peer_unheard(&self) -> bool {
        self.peer_counts.is_none()
    }

    /// Both nodes have said that it counts, and know that of each other.
    pub const fn is_agreed(&self) -> bool {
        !self.is_peer_unheard() && matches!(self.counting(), Counting::Yes)
    }

    /// By the table above.
    pub const fn counting(&self) -> Counting {
        match (self.is_overruled, self.is_acknowledged, self.does_count, self.peer_counts) {
            (true, _, _, _) | (false, true, true, Some(false)) | (false, true, false, Some(_)) => {
                Counting::No
            }
            (false, _, _, None) | (false, true, true, Some(true)) => Counting::Yes,
            (false, false, _, Some(_)) => Counting::Disputed,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Span;

    /// Two nodes, the beats on their way, and what each has acknowledged.
    struct Pair {
        now: Instant,
        nodes: [Agreement; 2],
        /// By receiver: when each beat left, what it says, and which beat of the receiver it acknowledges.
        beats: [std::vec::Vec<(Instant, bool, Option<Instant>)>; 2],
        heard: [Option<Instant>; 2],
    }

    impl Pair {
        fn new() -> Self {
            let now = Instant::from_us(1_000);
            Self { now, nodes: [Agreement::new(now); 2], beats: Default::default(), heard: [None; 2] }
        }

        fn send(&mut self, side: usize) {
            let beat = (self.now, self.nodes[side].does_count(), self.heard[side]);
            self.beats[1 - side].push(beat);
        }

        /// The oldest beat on its way arrives; a beat that was overtaken is no news.
        fn hear(&mut self, side: usize) {
            if self.beats[side].is_empty() {
                return;
            }
            let (sent_at, does_count, acked) = self.beats[side].remove(0);
            self.heard[side] = Some(sent_at);
            self.nodes[side].hear(does_count);
            self.nodes[side].note_acknowledged(acked);
        }
    }

    #[test]
    fn two_that_hear_each_other_agree_within_three_beats() {
        let mut pair = Pair::new();
        for word in [true, false, true] {
            for side in [0, 1] {
                let now = pair.now;
                pair.nodes[side].say(now, word);
            }
            for _ in 0..3 {
                pair.now = pair.now + Span::from_ms(100);
                [0, 1].into_iter().for_each(|side| pair.send(side));
                [0, 1].into_iter().for_each(|side| pair.hear(side));
            }
            let expected = if word { Counting::Yes } else { Counting::No };
            assert_eq!(pair.nodes.map(|node| node.counting()), [expected; 2]);
            assert_eq!(pair.nodes.map(|node| node.is_agreed()), [word; 2]);
        }
    }

    #[test]
    fn who_was_started_anew_goes_by_the_witness_and_the_operator_overrules_it() {
        let mut fresh = Agreement::new(Instant::from_us(5));
        assert_eq!((fresh.counting(), fresh.is_agreed()), (Counting::Yes, false));
        fresh.overrule();
        assert_eq!(fresh.counting(), Counting::No);
        fresh.hear(true);
        assert_eq!(fresh.counting(), Counting::Disputed, "the peer is not off after all");
    }

    proptest! {
        /// Whatever is said, lost, late or cut: where both have heard of each other, it never counts for one
        /// node while it does not count for the other.
        #[test]
        fn it_never_counts_for_one_node_alone(
            steps in proptest::collection::vec((0..5_u8, 0..2_usize), 0..120),
        ) {
            let mut pair = Pair::new();
            for side in [0, 1] {
                pair.send(side);
            }
            [0, 1].into_iter().for_each(|side| pair.hear(side));
            for (step, side) in steps {
                pair.now = pair.now + Span::from_ms(1);
                let now = pair.now;
                match step {
                    0 => drop(pair.nodes[side].say(now, true)),
                    1 => drop(pair.nodes[side].say(now, false)),
                    2 => pair.send(side),
                    3 => pair.hear(side),
                    _ => drop(pair.beats[side].pop()),
                }
                let [a, b] = pair.nodes.map(|node| node.counting());
                prop_assert!(!matches!(
                    (a, b),
                    (Counting::Yes, Counting::No) | (Counting::No, Counting::Yes)
                ));
            }
        }
    }
}
