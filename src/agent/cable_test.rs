//! What a daemon in maintenance answers to the test of a cable at the other end.
//!
//! It leaves its port as it is: its outputs say what they always say, and its speed is its own. Beats go before: an answer leaves
//! as an aside does, when the line will have carried it before the next beat is due. Each question is answered once, and only
//! the newest waits.

use crosswire::frame::Body;
use crosswire::frame::delimit::{Collector, Gathered};
use crosswire::time::Instant;

use super::Agent;
use crate::tty::exchange::{DAEMON, Message, Nonce, decode, encode};

/// The test at the other end of one serial port.
#[derive(Default)]
pub struct Tester {
    collector: Collector,
    /// A question that waits for the line to have time for its answer, and who asked.
    owed: Option<(Nonce, Message)>,
}

impl Tester {
    /// Takes in what has come. Who calls without having heard anybody, or calls a daemon, is answered; another daemon never.
    pub fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(Gathered::Body(body)) = self.collector.push(*byte)
                && let Some((question, from, DAEMON)) = decode(body)
                && from != DAEMON
            {
                self.owed = Some((from, question));
            }
        }
    }

    /// Whether an answer waits.
    pub fn is_owed(&self) -> bool {
        self.owed.is_some()
    }

    /// The answer of a port that runs at `baud` and sees these `inputs`. It is given once; one longer than `max_bytes` waits.
    pub fn answer(&mut self, baud: u32, inputs: u16, max_bytes: usize) -> Option<Body> {
        let (tester, question) = self.owed.as_ref()?;
        let body = answer_to(question, baud, inputs).map(|answer| encode(DAEMON, *tester, &answer));
        if body.as_ref().is_none_or(|body| body.len() <= max_bytes) {
            self.owed = None;
            return body;
        }
        None
    }
}

fn answer_to(question: &Message, baud: u32, inputs: u16) -> Option<Message> {
    match question {
        Message::Hello | Message::Echo(_) => Some(question.clone()),
        Message::Drive(_) => Some(Message::Seen(inputs, 0)),
        // Another speed than the pair's would be the end of its beats.
        Message::Go(asked) if *asked != baud => None,
        Message::Go(_) | Message::Wires(_) | Message::Speed(_) | Message::Done => Some(Message::Yes),
        Message::Seen(..) | Message::Yes => None,
    }
}

impl Agent<'_> {
    /// Answers what waits, in what time the beats of this turn have left. Whoever was not answered before the maintenance was
    /// over is not answered any more.
    pub(super) fn answer_tests(&mut self, now: Instant) {
        for index in 0..self.ports.len() {
            let Some(port) = self.ports.get(index).filter(|port| port.tester.is_owed()) else { continue };
            let is_allowed = self.node.is_in_maintenance();
            let room = self.aside_room(now, port.id);
            match self.ports.get_mut(index) {
                Some(port) if !is_allowed => port.tester = Tester::default(),
                Some(port) if room > 0 => port.answer_test(room),
                Some(_) | None => {}
            }
        }
    }
}
