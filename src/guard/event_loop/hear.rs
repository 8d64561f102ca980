//! What the agent says, for custody.

use crosswire::custody::{Event, Lapse, Word};

use super::state::Guard;
use crate::guard::agent_process::link::Received;
use crate::ipc::ToGuard;

/// How many messages of the agent one turn reads.
pub(super) const MAX_BATCH: usize = 64;
/// How many messages are read of an agent that has ended. All that it said counts, which is as much as its
/// socket holds: some 280 datagrams of a dozen messages.
pub(super) const MAX_LAST_WORDS: usize = 4_096;

impl Guard<'_> {
    /// Reads so many messages of what the agent has sent.
    pub(super) fn hear_agent(&mut self, limit: usize) {
        for _ in 0..limit {
            let Some(received) = self.agent.receive() else { return };
            match received {
                Received::Nothing => break,
                Received::Gone => return self.hand_in(Event::AgentLost(Lapse::ClosedItsEnd)),
                Received::Garbage => return self.hand_in(Event::AgentLost(Lapse::Garbage)),
                Received::Message(message) => self.hear_message(message),
            }
        }
        self.hand_in(Event::AllSaid);
    }

    fn hear_message(&mut self, message: ToGuard) {
        let word = match message {
            ToGuard::Order(ticket) => Word::Order(ticket),
            ToGuard::Deposit => Word::Deposit,
            ToGuard::Farewell => Word::Farewell,
            ToGuard::Answered(group) => Word::Answered(group),
            ToGuard::Maintenance(is_on) => Word::HandsOff(is_on),
            ToGuard::Reopen(path) => Word::Reopen(path),
            ToGuard::AskForPeer => Word::AskForPeer,
            ToGuard::Notice(notice) => {
                self.notifier.heard = Some(notice);
                Word::Notice
            }
        };
        self.hand_in(Event::Said(word));
    }
}
