//! What a daemon in maintenance answers to the test of a cable at the other end.
//!
//! It leaves its port as it is: the outputs say what they always say, and the speed stays. Beats come first:
//! an answer leaves as an aside does, when the line will have carried it before the next beat is due. Each
//! question is answered once, and only the newest one waits.

use crosswire::frame::Body;
use crosswire::frame::delimit::{Collector, Gathered};
use crosswire::time::Instant;
use nix::libc::c_int;

use super::Agent;
use crate::tty::test_protocol::{DAEMON, Message, decode, encode};

/// The test at the other end of one serial port.
#[derive(Default)]
pub struct Tester {
    collector: Collector,
    /// An answer that waits until the line has time for it; empty if there is none.
    pub owed: Body,
}

impl Tester {
    /// Takes in what has come to a port. It answers a test that has heard nobody yet, or that calls a daemon;
    /// it never answers another daemon.
    pub fn hear(&mut self, bytes: &[u8], inputs: impl Fn() -> c_int) {
        for byte in bytes {
            if let Some(Gathered::Body(body)) = self.collector.push(*byte)
                && let Some((mut message, tester, DAEMON)) = decode(body)
                && tester != DAEMON
                && become_answer(&mut message, &inputs)
            {
                self.owed = encode(DAEMON, tester, &message);
            }
        }
    }
}

/// Makes the answer of a question; false if there is none.
fn become_answer(message: &mut Message, inputs: impl Fn() -> c_int) -> bool {
    match message {
        Message::Hello | Message::Echo(_) => {}
        Message::Drive(_) => *message = Message::Seen(inputs().cast_unsigned(), 0),
        Message::Wires(_) | Message::Speed(_) | Message::Done => *message = Message::Yes,
        // At another speed than the pair's, its beats would end.
        Message::Go(_) | Message::Seen(..) | Message::Yes => return false,
    }
    true
}

impl Agent<'_> {
    /// Gives the answers that wait, in the time that the beats of this turn have left. A test that was not
    /// answered before the maintenance was over is not answered any more.
    pub(super) fn answer_tests(&mut self, now: Instant) {
        for index in 0..self.ports.len() {
            let Some(port) = self.ports.get(index).filter(|port| !port.tester.owed.is_empty()) else {
                continue;
            };
            let is_over = !self.station.is_in_maintenance();
            let room = self.aside_room(now, port.id);
            match self.ports.get_mut(index) {
                Some(port) if is_over => port.tester.owed.clear(),
                Some(port) => port.answer_test(room),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crosswire::frame::delimit::wrap;
    use proptest::prelude::*;

    use super::*;
    use crate::tty::test_protocol::{ECHO_BYTES, Nonce, Speed, Wires};

    const TEST: Nonce = [1, 2, 3, 4];
    const INPUTS: c_int = 0x160;

    fn hear(tester: &mut Tester, bytes: &[u8]) {
        tester.hear(bytes, || INPUTS);
    }

    /// What is answered to a question of this test.
    fn answer(from: Nonce, to: Nonce, question: &Message) -> Option<Message> {
        let mut tester = Tester::default();
        hear(&mut tester, &wrap(&encode(from, to, question)));
        let (answer, sender, receiver) = decode(&tester.owed)?;
        assert_eq!((sender, receiver), (DAEMON, from));
        Some(answer)
    }

    #[test]
    fn every_question_has_its_answer() {
        let echo = Message::Echo((0..ECHO_BYTES).map(|i| i as u8).collect());
        let rows = [
            (Message::Hello, Some(Message::Hello)),
            (Message::Drive(6), Some(Message::Seen(INPUTS.cast_unsigned(), 0))),
            (Message::Go(9_600), None),
            (echo.clone(), Some(echo)),
            (Message::Wires(Wires::default()), Some(Message::Yes)),
            (Message::Speed(Speed::default()), Some(Message::Yes)),
            (Message::Done, Some(Message::Yes)),
            (Message::Yes, None),
            (Message::Seen(1, 2), None),
        ];
        for (question, expected) in rows {
            assert_eq!(answer(TEST, DAEMON, &question), expected, "{question:?}");
            assert_eq!(answer(TEST, TEST, &question), None, "{question:?} to somebody else");
            assert_eq!(
                answer(DAEMON, DAEMON, &question),
                None,
                "{question:?} of a daemon: two would never end"
            );
        }
    }

    #[test]
    fn only_the_newest_question_waits() {
        let mut tester = Tester::default();
        hear(&mut tester, &wrap(&encode(TEST, DAEMON, &Message::Hello)));
        hear(&mut tester, &wrap(&encode([9; 4], DAEMON, &Message::Drive(0))));
        hear(&mut tester, &wrap(&encode(TEST, DAEMON, &Message::Yes)));
        assert_eq!(decode(&tester.owed), Some((Message::Seen(INPUTS.cast_unsigned(), 0), DAEMON, [9; 4])));
    }

    #[test]
    fn no_truncation_of_a_question_is_answered_and_the_next_one_is() {
        let line = wrap(&encode(TEST, DAEMON, &Message::Drive(6)));
        for length in 0..line.len() - 1 {
            let mut tester = Tester::default();
            hear(&mut tester, &line[..length]);
            assert!(tester.owed.is_empty(), "{length} bytes");
            hear(&mut tester, &wrap(&encode(TEST, DAEMON, &Message::Hello)));
            assert_eq!(decode(&tester.owed), Some((Message::Hello, DAEMON, TEST)), "after {length} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_unanswered(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            let mut tester = Tester::default();
            hear(&mut tester, &bytes);
            prop_assert!(tester.owed.is_empty());
            hear(&mut tester, &wrap(&encode(TEST, DAEMON, &Message::Hello)));
            prop_assert_eq!(decode(&tester.owed), Some((Message::Hello, DAEMON, TEST)));
        }

        #[test]
        fn a_damaged_question_is_not_answered(at in 0usize..20, bit in 0u8..8) {
            let mut line = wrap(&encode(TEST, DAEMON, &Message::Drive(6)));
            let at = at % line.len();
            line[at] ^= 1 << bit;
            let mut tester = Tester::default();
            hear(&mut tester, &line);
            // The delimiter in front may be anything: nothing came before it.
            prop_assert!(at == 0 || tester.owed.is_empty());
        }
    }
}
