//! Finds frame bodies in a stream of any bytes.
//!
//! On the serial line a body travels as `00 COBS(body) 00` (Cheshire, Baker: "Consistent Overhead Byte
//! Stuffing", 1999): a zero byte occurs nowhere else, so the next zero ends whatever was broken. Nothing that
//! arrives can make the collector keep more than one body's worth of bytes.

use heapless::Vec;

use super::{Body, MAX_BODY_BYTES, MAX_LINE_BYTES};

/// A body as it goes over the serial line.
pub type Line = Vec<u8, MAX_LINE_BYTES>;

/// COBS adds one byte to anything shorter than 254 bytes.
const MAX_STUFFED_BYTES: usize = MAX_BODY_BYTES + 1;

/// Wraps a body for the serial line. The delimiter in front ends whatever noise came before.
pub fn wrap(body: &Body) -> Line {
    let mut line = Line::new();
    put(&mut line, 0);
    let mut code_at = line.len();
    put(&mut line, 1);
    for byte in body {
        if *byte == 0 {
            code_at = line.len();
            put(&mut line, 1);
        } else {
            put(&mut line, *byte);
            // The code before a run of bytes that are not zero says how far the next zero is.
            line.get_mut(code_at).into_iter().for_each(|code| *code = code.wrapping_add(1));
        }
    }
    put(&mut line, 0);
    line
}

/// The byte always fits: [`MAX_LINE_BYTES`] is a body, two delimiters, and what COBS adds.
fn put(line: &mut Line, byte: u8) {
    let has_room = line.push(byte).is_ok();
    debug_assert!(has_room, "a line has room for every body");
}

const _: () = assert!(MAX_BODY_BYTES < 254, "a longer run would need a code of its own");

/// What the collector made of the bytes up to a delimiter.
#[derive(PartialEq, Eq, Debug)]
pub enum Gathered<'a> {
    /// Something that unstuffs to a length that a body may have; its CRC is not checked yet.
    Body(&'a [u8]),
    /// Bytes that cannot be a body: too long, or wrongly stuffed.
    Noise,
}

/// Collects the bytes of one serial path.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    /// The stuffed bytes since the last delimiter; after a delimiter, what was handed out.
    bytes: Vec<u8, MAX_STUFFED_BYTES>,
    /// The bytes in `bytes` were handed out: the next one starts afresh.
    is_done: bool,
    is_overlong: bool,
    zeros: u8,
}

/// Zeros in a row that are no noise: one ends a frame, one starts the next.
const QUIET_ZEROS: u8 = 2;

impl Collector {
    /// Takes bytes off `rest` up to the next one that may complete something; says what it has completed.
    pub fn take(&mut self, rest: &mut &[u8]) -> Option<Gathered<'_>> {
        let run = rest.iter().take_while(|byte| **byte != 0).count();
        let done = if self.is_done { 0 } else { self.bytes.len() };
        if let Some((run, others)) = rest.split_at_checked(run.min(MAX_STUFFED_BYTES.saturating_sub(done)))
            && !run.is_empty()
        {
            if core::mem::take(&mut self.is_done) {
                self.bytes.clear();
            }
            // It fits.
            let _ = self.bytes.extend_from_slice(run);
            (self.zeros, *rest) = (0, others);
        }
        let (byte, others) = rest.split_first()?;
        *rest = others;
        self.push(*byte)
    }

    /// Takes in one byte; says what a delimiter completed.
    pub fn push(&mut self, byte: u8) -> Option<Gathered<'_>> {
        if core::mem::take(&mut self.is_done) {
            self.bytes.clear();
        }
        if byte != 0 {
            self.zeros = 0;
            return self.put(byte);
        }
        self.zeros = self.zeros.saturating_add(1).min(QUIET_ZEROS + 1);
        if self.bytes.is_empty() {
            // A broken or powered-off transmitter can hold the line low: a flood of zeros frames nothing.
            return (self.zeros > QUIET_ZEROS).then_some(Gathered::Noise);
        }
        Some(self.end())
    }

    /// Bytes without a delimiter are noise as soon as they are longer than any body, and again after each
    /// such length: console text never has a delimiter.
    fn put(&mut self, byte: u8) -> Option<Gathered<'_>> {
        if self.bytes.push(byte).is_ok() {
            return None;
        }
        self.bytes.clear();
        // There is room now. The byte is kept so that the next delimiter ends this run, and not the frame
        // after it.
        let _ = self.bytes.push(byte);
        self.is_overlong = true;
        Some(Gathered::Noise)
    }

    /// How many bytes have come since the last delimiter.
    pub fn pending_bytes(&self) -> usize {
        if self.is_done { 0 } else { self.bytes.len() }
    }

    fn end(&mut self) -> Gathered<'_> {
        self.is_done = true;
        if core::mem::take(&mut self.is_overlong) {
            return Gathered::Noise;
        }
        match cobs::decode_in_place(&mut self.bytes) {
            Ok(body_bytes) => self.bytes.get(..body_bytes).map_or(Gathered::Noise, Gathered::Body),
            Err(_) => Gathered::Noise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bodies(stream: &[u8]) -> std::vec::Vec<std::vec::Vec<u8>> {
        let mut collector = Collector::default();
        let gathered = stream.iter().filter_map(|byte| match collector.push(*byte) {
            Some(Gathered::Body(body)) => Some(body.to_vec()),
            Some(Gathered::Noise) | None => None,
        });
        gathered.collect()
    }

    proptest! {
        #[test]
        fn a_body_survives_the_line(body in proptest::collection::vec(any::<u8>(), 1..=MAX_BODY_BYTES)) {
            let line = wrap(&Body::from_slice(&body).expect("within the limit"));
            prop_assert!(line.len() <= body.len() + 3);
            prop_assert_eq!(bodies(&line), [body]);
        }

        #[test]
        fn after_any_bytes_the_next_frame_is_found(
            noise in proptest::collection::vec(any::<u8>(), 0..600),
            body in proptest::collection::vec(any::<u8>(), 1..=MAX_BODY_BYTES),
        ) {
            let mut stream = noise;
            stream.extend_from_slice(&wrap(&Body::from_slice(&body).expect("within the limit")));
            let found = bodies(&stream);
            prop_assert_eq!(found.last(), Some(&body));
        }
    }

    proptest! {
        #[test]
        fn many_bytes_at_once_are_as_many_one_by_one(
            pieces in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![Just(0), 1..4_u8, any::<u8>()], 0..300), 1..6,
            ),
        ) {
            let (mut one_by_one, mut at_once) = (Collector::default(), Collector::default());
            for piece in pieces {
                let mut expected = std::vec::Vec::new();
                for byte in &piece {
                    expected.extend(one_by_one.push(*byte).map(|gathered| std::format!("{gathered:?}")));
                }
                let (mut rest, mut found) = (&piece[..], std::vec::Vec::new());
                while !rest.is_empty() {
                    found.extend(at_once.take(&mut rest).map(|gathered| std::format!("{gathered:?}")));
                }
                prop_assert_eq!(found, expected);
                prop_assert_eq!(at_once.pending_bytes(), one_by_one.pending_bytes());
            }
        }
    }

    #[test]
    fn the_tail_of_an_overlong_frame_is_not_a_frame() {
        let mut stream = std::vec![1u8; MAX_STUFFED_BYTES + 40];
        stream.push(0);
        assert_eq!(bodies(&stream), std::vec::Vec::<std::vec::Vec<u8>>::new());
    }

    #[test]
    fn text_without_any_delimiter_is_noise_again_and_again_and_ends_with_the_next_frame() {
        for surplus in 0..3 {
            let mut collector = Collector::default();
            let text = std::vec![b'x'; 4 * MAX_STUFFED_BYTES + surplus];
            let noises = text.iter().filter(|byte| collector.push(**byte) == Some(Gathered::Noise)).count();
            assert_eq!(noises, if surplus == 0 { 3 } else { 4 });
            let body = Body::from_slice(&[7, 0, 7]).expect("short");
            let ends = wrap(&body)
                .iter()
                .filter(|byte| matches!(collector.push(**byte), Some(Gathered::Body(_))))
                .count();
            assert_eq!(ends, 1);
        }
    }

    #[test]
    fn a_flood_of_zeros_is_noise_and_frame_delimiters_are_not() {
        let mut collector = Collector::default();
        let body = Body::from_slice(&[7, 0, 7]).expect("short");
        for byte in wrap(&body).iter().chain(wrap(&body).iter()) {
            assert_ne!(collector.push(*byte), Some(Gathered::Noise));
        }
        let noises = (0..100).filter(|_| collector.push(0) == Some(Gathered::Noise)).count();
        assert_eq!(noises, 99, "the last delimiter and one more zero are quiet");
    }
}
