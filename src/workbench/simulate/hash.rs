//! A running hash over all effects: two runs with the same hash did the same.

use crosswire::pair::Side;
use crosswire::quorum::Effect;
use crosswire::time::Instant;

/// FNV-1a, 64 bits, over words instead of bytes where they come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    /// The hash so far.
    pub fn value(self) -> u64 {
        self.0
    }

    /// One effect of one side at its own time.
    pub fn effect(&mut self, side: Side, local: Instant, effect: &Effect) {
        let mut room = [0; 256];
        self.word(side.index() as u64);
        self.word(local.as_us());
        match effect {
            Effect::Send(path, body) => {
                self.word(u64::from(path.0));
                for chunk in body.chunks(8) {
                    self.word(chunk.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
                }
            }
            Effect::Order(ticket) => self.bytes(2, postcard::to_slice(ticket, &mut room)),
            Effect::Record(record) => self.bytes(3, postcard::to_slice(record, &mut room)),
            Effect::Reply(reply) => self.bytes(4, postcard::to_slice(reply, &mut room)),
            Effect::Exit => self.word(5),
            Effect::AskWitnesses => self.word(6),
            Effect::AskVote(question) => self.word(600 + u64::from(question.claims)),
            Effect::AskForPeer => {}
            Effect::AskNeighbours(interfaces) => self.word(20 + u64::from(*interfaces)),
            Effect::Aside(path, _) => self.word(9 + u64::from(path.0)),
            // What is deposited follows from everything else.
            Effect::Deposit => {}
            Effect::ShowHolding(holds) => self.word(7 + u64::from(*holds)),
        }
    }

    fn bytes(&mut self, kind: u64, bytes: postcard::Result<&mut [u8]>) {
        self.word(kind);
        for byte in bytes.into_iter().flatten() {
            self.word(u64::from(*byte));
        }
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    }
}
