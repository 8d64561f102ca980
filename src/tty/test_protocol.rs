//! What the two ends of a cable test say to each other. It is not the pair's protocol: a daemon at the other
//! end takes it for a stranger's and changes nothing; only a daemon in maintenance answers.
//!
//! Frames go over the line as the pair's do: `00 COBS(body) 00`, body = `ct` · from 4 · to 4 · message ·
//! CRC-32. The message is in postcard. Lines are bits, as the kernel numbers them.

use crosswire::decode::from_bytes;
use crosswire::frame::seal::crc32;
use crosswire::frame::{Body, CRC_BYTES};
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 2] = *b"ct";
/// Magic, sender, receiver.
const HEAD_BYTES: usize = 10;
/// Longest text of an echo: a frame of it is as long as a heartbeat.
pub const ECHO_BYTES: usize = 40;
/// Longest message: an echo, its number and its length.
const MAX_MESSAGE_BYTES: usize = ECHO_BYTES + 2;

/// Tells one run of the test from any other.
pub type Nonce = [u8; 4];

/// The nonce of a daemon that answers. It is lower than any test's, so that the test leads. A test that has
/// heard nobody yet calls it.
pub const DAEMON: Nonce = [0; 4];

/// What is said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// 'Here I am'; addressed to whom we hear.
    Hello,
    /// 'Drive these lines, and say what you see.'
    Drive(u32),
    /// The lines that the answering side sees, and those that follow its own.
    Seen(u32, u32),
    /// 'Go to this speed when you have answered.'
    Go(u32),
    /// The answer to whatever needs no other one.
    Yes,
    /// To be sent back.
    Echo(heapless::Vec<u8, ECHO_BYTES>),
    /// What was found of the lines, as the asking side sees it.
    Wires(Wires),
    /// What was found of a speed.
    Speed(Speed),
    /// The test is over.
    Done,
}

/// Which lines arrive where: for each output the inputs that follow it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Wires {
    /// Inputs of the far end that follow our DTR, and our RTS.
    pub out: [u32; 2],
    /// Inputs of ours that follow the far end's DTR, and its RTS.
    pub back: [u32; 2],
    /// Inputs that follow the outputs of their own side: here, there.
    pub bridged: [u32; 2],
}

impl Wires {
    /// The same, seen from the other end.
    pub fn turned(self) -> Self {
        let [here, there] = self.bridged;
        Self { out: self.back, back: self.out, bridged: [there, here] }
    }
}

/// What was found of one speed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Speed {
    /// Bits a second.
    pub baud: u32,
    /// Frames of a heartbeat's length that were sent, to come back; zero: the far end was not heard at all.
    pub sent: u32,
    /// How many of them did not come back whole.
    pub lost: u32,
    /// The quickest, the mean and the slowest round trip, in microseconds.
    pub trip_us: [u32; 3],
}

impl Speed {
    /// Whether every frame came back.
    pub const fn is_clean(&self) -> bool {
        self.sent > 0 && self.lost == 0
    }
}

/// The body of a message from `from` to `to`.
pub fn encode(from: Nonce, to: Nonce, message: &Message) -> Body {
    let mut body = Body::new();
    let mut room = [0; MAX_MESSAGE_BYTES];
    // There is room for the longest message, and in a body for more.
    let text = postcard::to_slice(message, &mut room).unwrap_or_default();
    for part in [&MAGIC[..], &from, &to, text] {
        let _ = body.extend_from_slice(part);
    }
    let crc = crc32(&body).to_le_bytes();
    let _ = body.extend_from_slice(&crc);
    body
}

/// The message of a body, its sender and its receiver; `None` if it is no test's, or damaged.
pub fn decode(body: &[u8]) -> Option<(Message, Nonce, Nonce)> {
    let (covered, crc) = body.split_last_chunk::<CRC_BYTES>()?;
    let (head, text) = covered.split_first_chunk::<HEAD_BYTES>()?;
    let [c, t, f0, f1, f2, f3, t0, t1, t2, t3] = *head;
    if [c, t] != MAGIC || crc32(covered).to_le_bytes() != *crc {
        return None;
    }
    from_bytes(text).map(|message| (message, [f0, f1, f2, f3], [t0, t1, t2, t3]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEST: Nonce = [9, 8, 7, 6];

    fn messages() -> Vec<Message> {
        let wires = Wires { out: [0x140, 0x20], back: [0x100, 0], bridged: [0x20, 0] };
        let speed = Speed { baud: 19_200, sent: 40, lost: 1, trip_us: [1, 70_000, u32::MAX] };
        vec![
            Message::Hello,
            Message::Drive(6),
            Message::Seen(0x140, 0x20),
            Message::Go(115_200),
            Message::Yes,
            Message::Echo((0..ECHO_BYTES).map(|i| i as u8).collect()),
            Message::Wires(wires),
            Message::Speed(speed),
            Message::Done,
        ]
    }

    /// Frozen: a row that fails means that the change is wrong, since boxes of another version stand at the
    /// other end.
    #[test]
    fn the_bytes_of_every_message_stay() {
        let texts: Vec<String> = messages()
            .iter()
            .map(|message| {
                let body = encode(TEST, DAEMON, message);
                let text = body.get(HEAD_BYTES..body.len() - CRC_BYTES).unwrap_or_default();
                text.iter().map(|byte| format!("{byte:02x}")).collect()
            })
            .collect();
        let echo: String = (0..ECHO_BYTES).map(|i| format!("{i:02x}")).collect();
        let expected = [
            "00".to_owned(),
            "0106".to_owned(),
            "02c00220".to_owned(),
            "03808407".to_owned(),
            "04".to_owned(),
            format!("0528{echo}"),
            "06c0022080020020".to_owned() + "00",
            "07809601280101f0a204ffffffff0f".to_owned(),
            "08".to_owned(),
        ];
        assert_eq!(texts, expected);
        let hello = encode(TEST, DAEMON, &Message::Hello);
        assert_eq!(hello[..11], *b"ct\x09\x08\x07\x06\0\0\0\0\0");
    }

    #[test]
    fn every_message_comes_as_it_was_sent_and_no_truncation_of_it_means_anything() {
        for message in messages() {
            let body = encode(TEST, DAEMON, &message);
            assert_eq!(decode(&body), Some((message, TEST, DAEMON)));
            for length in 0..body.len() {
                assert_eq!(decode(&body[..length]), None, "{length} bytes of {body:?}");
            }
            // A correct checksum over too few or too many bytes.
            let covered = body.len() - CRC_BYTES;
            for length in 0..covered {
                let mut short: Vec<u8> = body[..length].to_vec();
                short.extend(crc32(&short).to_le_bytes());
                assert_eq!(decode(&short), None, "{length} bytes of {body:?}");
            }
            let mut long: Vec<u8> = body[..covered].to_vec();
            long.push(0);
            long.extend(crc32(&long).to_le_bytes());
            assert_eq!(decode(&long), None, "{body:?}");
        }
    }

    #[test]
    fn the_far_end_sees_the_same_cable() {
        let wires = Wires { out: [0x140, 0], back: [0, 0x20], bridged: [0x20, 0] };
        assert_eq!(wires.turned(), Wires { out: [0, 0x20], back: [0x140, 0], bridged: [0, 0x20] });
        assert_eq!(wires.turned().turned(), wires);
    }

    proptest! {
        #[test]
        fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
            prop_assert_eq!(decode(&bytes), None);
            let mut checked = MAGIC.to_vec();
            checked.extend(&bytes);
            checked.truncate(156);
            checked.extend(crc32(&checked).to_le_bytes());
            if let Some((message, from, to)) = decode(&checked) {
                prop_assert_eq!(decode(&encode(from, to, &message)), Some((message, from, to)));
            }
        }
    }
}
