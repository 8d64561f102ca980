//! The journal on disk: decisions as checked lines, in files that a power cut may end at any byte.
//!
//! A line is `00 COBS(body) 00`, as a frame on the serial line is: no byte of a body is zero, so the next
//! zero ends whatever was damaged, and one damaged byte costs the line that it is in and no other. A body is
//!
//! | bytes | what |
//! |---|---|
//! | 1 | [`LAYOUT`], of the payload too |
//! | 1 | [`Kind`] |
//! | 4 | its number: one more than that of the line before it, through both files |
//! | 4 | which boot of the box: the CRC-32 of the kernel's id of that boot |
//! | 4 | clock of day, seconds since 1970; 0 where the kernel gives none. It may be wrong by decades |
//! | any | payload |
//! | 4 | CRC-32 of all before it |
//!
//! Numbers have their lowest byte first. The payload is not looked at here.

use heapless::Vec;

use crate::frame::seal::crc32;

/// Grows when the payload of an older build cannot be read any more. Lines of another layout are passed over.
pub const LAYOUT: u8 = 1;
/// Longest payload.
pub const MAX_PAYLOAD_BYTES: usize = 4_000;
/// Longest line in a file: a body, the bytes that COBS adds, and both delimiters.
pub const MAX_LINE_BYTES: usize = MAX_STUFFED_BYTES + 2;
const HEAD_BYTES: usize = 14;
const CRC_BYTES: usize = 4;
const MAX_BODY_BYTES: usize = HEAD_BYTES + MAX_PAYLOAD_BYTES + CRC_BYTES;
/// COBS adds a byte, and another one for each run of 254.
const MAX_STUFFED_BYTES: usize = MAX_BODY_BYTES + MAX_BODY_BYTES / 254 + 1;

/// What a line tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An agent begins: the names that its entries are told with.
    Run,
    /// Something happened or was decided.
    Entry,
    /// Something that the peer told of itself.
    Peer,
    /// What a later build writes.
    Unknown,
}

impl Kind {
    /// Its number in a line.
    pub const fn number(self) -> u8 {
        match self {
            Self::Run => 0,
            Self::Entry => 1,
            Self::Peer => 2,
            Self::Unknown => u8::MAX,
        }
    }

    /// The kind of that number.
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Run,
            1 => Self::Entry,
            2 => Self::Peer,
            _ => Self::Unknown,
        }
    }
}

/// What a line says beside its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// What the payload is.
    pub kind: Kind,
    /// One more than that of the line before.
    pub number: u32,
    /// Which boot of the box.
    pub boot: u32,
    /// The clock of day, seconds since 1970, for what it is worth; 0 if there was none.
    pub wall_s: u32,
}

/// The line for that payload, as it goes into a file; `None` if it is too long.
pub fn line<'a>(head: Head, payload: &[u8], room: &'a mut [u8; MAX_LINE_BYTES]) -> Option<&'a [u8]> {
    let mut body: Vec<u8, MAX_BODY_BYTES> = Vec::new();
    body.extend_from_slice(&[LAYOUT, head.kind.number()]).ok()?;
    for word in [head.number, head.boot, head.wall_s] {
        body.extend_from_slice(&word.to_le_bytes()).ok()?;
    }
    body.extend_from_slice(payload).ok()?;
    let crc = crc32(&body);
    body.extend_from_slice(&crc.to_le_bytes()).ok()?;
    let [first, stuffed @ ..] = room;
    *first = 0;
    let length = cobs::try_encode(&body, stuffed).ok()?;
    *stuffed.get_mut(length)? = 0;
    room.get(..length.saturating_add(2))
}

/// Finds lines in the bytes of a file, whatever those are.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    bytes: Vec<u8, MAX_STUFFED_BYTES>,
    /// The bytes were handed out, or are more than any line has.
    is_done: bool,
    is_overlong: bool,
}

impl Reader {
    /// Takes in one byte; gives the line that it ends, if that is sound.
    pub fn push(&mut self, byte: u8) -> Option<(Head, &[u8])> {
        if core::mem::take(&mut self.is_done) {
            self.bytes.clear();
        }
        if byte != 0 {
            self.is_overlong |= self.bytes.push(byte).is_err();
            return None;
        }
        self.is_done = true;
        if core::mem::take(&mut self.is_overlong) {
            return None;
        }
        let length = cobs::decode_in_place(&mut self.bytes).ok()?;
        parse(self.bytes.get(..length)?)
    }
}

fn parse(body: &[u8]) -> Option<(Head, &[u8])> {
    let (covered, crc) = body.split_last_chunk::<CRC_BYTES>()?;
    let (head, payload) = covered.split_first_chunk::<HEAD_BYTES>()?;
    let [LAYOUT, kind, n0, n1, n2, n3, b0, b1, b2, b3, w0, w1, w2, w3] = *head else { return None };
    let head = Head {
        kind: Kind::from_number(kind),
        number: u32::from_le_bytes([n0, n1, n2, n3]),
        boot: u32::from_le_bytes([b0, b1, b2, b3]),
        wall_s: u32::from_le_bytes([w0, w1, w2, w3]),
    };
    (crc32(covered).to_le_bytes() == *crc).then_some((head, payload))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    type Lines = Vec<(Head, Vec<u8>)>;

    fn read(file: &[u8]) -> Lines {
        let mut reader = Reader::default();
        let mut lines = Vec::new();
        for byte in file {
            lines.extend(reader.push(*byte).map(|(head, payload)| (head, payload.to_vec())));
        }
        lines
    }

    fn head(number: u32) -> Head {
        Head { kind: Kind::from_number(number.to_le_bytes()[0] % 3), number, boot: 0, wall_s: 7 }
    }

    /// A file of these payloads, and where each of its lines ends.
    fn written(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>, Lines) {
        let (mut file, mut ends, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for (number, payload) in (0..).zip(payloads) {
            let mut room = [0xaa; MAX_LINE_BYTES];
            file.extend_from_slice(line(head(number), payload, &mut room).expect("short enough"));
            ends.push(file.len());
            lines.push((head(number), payload.clone()));
        }
        (file, ends, lines)
    }

    /// Payloads as they are in the field: short ones, zeros, no zeros, a run over 254 bytes.
    fn payloads() -> Vec<Vec<u8>> {
        let long = (0..600_u32).map(|byte| byte.to_le_bytes()[0] | 1).collect();
        Vec::from([Vec::new(), Vec::from([0; 9]), Vec::from([1, 0, 2]), long, Vec::from([0xff; 254])])
    }

    #[test]
    fn a_power_cut_at_any_byte_costs_the_last_line_at_most() {
        let (file, ends, lines) = written(&payloads());
        for cut in 0..=file.len() {
            // The last delimiter only tells that the line is over: the next start writes one too.
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(read(&file[..cut]), lines[..whole], "cut at {cut}");
            let mut grown = file[..cut].to_vec();
            let mut room = [0; MAX_LINE_BYTES];
            grown.extend_from_slice(line(head(99), b"after the cut", &mut room).expect("short"));
            let found = read(&grown);
            assert_eq!(found.last(), Some(&(head(99), b"after the cut".to_vec())), "cut at {cut}");
            assert_eq!(found[..whole], lines[..whole], "cut at {cut}");
        }
    }

    #[test]
    fn a_byte_that_is_damaged_costs_one_line_whatever_becomes_of_it() {
        let (file, ends, lines) = written(&payloads());
        for at in 0..file.len() {
            let damaged = ends.iter().filter(|end| **end <= at).count();
            let flipped = (0..8).map(|bit| file[at] ^ (1 << bit)).chain([0, u8::MAX, !file[at]]);
            for other in flipped.filter(|other| *other != file[at]) {
                let mut file = file.clone();
                file[at] = other;
                let mut expected = lines.clone();
                expected.remove(damaged);
                let found = read(&file);
                // One of two delimiters can be spared.
                assert!(found == expected || found == lines, "{other} at {at}: {found:?}");
                assert!(found == expected || file[at] != 0 || other == 0, "{other} at {at}");
            }
        }
    }

    /// A row that fails here means that journals in the field can no longer be read.
    #[test]
    fn a_line_is_the_same_bytes_for_ever() {
        let mut room = [0; MAX_LINE_BYTES];
        let head = Head { kind: Kind::Entry, number: 0x0102, boot: 0x0a0b_0c0d, wall_s: 0x6950_0000 };
        let line = line(head, b"why", &mut room).expect("short");
        let text: std::string::String = line.iter().map(|byte| std::format!("{byte:02x}")).collect();
        assert_eq!(text, "00050101020101050d0c0b0a010a5069776879b4f5ebbc00");
    }

    #[test]
    fn what_is_too_long_is_not_written() {
        let mut room = [0; MAX_LINE_BYTES];
        for (fits, byte) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
            let payload = std::vec![byte; MAX_PAYLOAD_BYTES + usize::from(!fits)];
            let line = line(head(1), &payload, &mut room).map(<[u8]>::to_vec);
            assert_eq!(line.is_some(), fits);
            assert_eq!(read(&line.unwrap_or_default()).len(), usize::from(fits));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm_and_what_follows_them_is_found(
            noise in proptest::collection::vec(any::<u8>(), 0..6_000),
            payload in proptest::collection::vec(any::<u8>(), 0..MAX_PAYLOAD_BYTES),
            number in any::<u32>(),
            boot in any::<u32>(),
            wall_s in any::<u32>(),
        ) {
            let head = Head { kind: Kind::Peer, number, boot, wall_s };
            let mut room = [0; MAX_LINE_BYTES];
            let mut file = noise;
            file.extend_from_slice(line(head, &payload, &mut room).expect("short enough"));
            let found = read(&file);
            prop_assert_eq!(found.last(), Some(&(head, payload)));
        }
    }
}
