//! Any bytes on the serial line: no panic, no allocation, and the first whole frame after any damage is
//! found.
//!
//! `CROSSWIRE_STREAMS=10000000 cargo test --release --test stream` tries ten million mutated streams; without
//! it a few thousand are tried. A failure names the seed of its stream: `CROSSWIRE_SEED`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crosswire::frame::aside::{Aside, Ask, Subject, Tell};
use crosswire::frame::delimit::{Collector, Gathered, wrap};
use crosswire::frame::message::{Beat, Build, Give, Incarnation, Message, SessionValue};
use crosswire::frame::seal::{Header, open, pair_id, seal};
use crosswire::frame::session::{Entropy, Session};
use crosswire::frame::{Key, Keyring, MAX_BODY_BYTES, Version};
use crosswire::pair::{PathId, PathKind, Side};
use crosswire::time::{Instant, Span};

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator; the counter is a plain number of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn keys() -> Keyring {
    Keyring::new("gateway", &[Key { id: 3, bytes: (0..16).collect() }])
}

fn session() -> Session {
    let entropy = Entropy { incarnation: [9; 8], secret: [7; 16] };
    Session::new("gateway", Side::B, keys(), entropy, Span::from_ms(50), Instant::from_us(1))
}

/// One frame of every kind, as they stand on the line; the one of `number` zero is the one that has to be
/// found.
fn frames() -> Vec<Vec<u8>> {
    [Version::One, Version::Two].into_iter().flat_map(frames_of).collect()
}

fn frames_of(version: Version) -> Vec<Vec<u8>> {
    let header = |number| Header {
        version,
        pair: pair_id("gateway"),
        sender: Side::A,
        path: PathId(0),
        incarnation: Incarnation([1; 8]),
        echo: SessionValue([5; 4]),
        number,
    };
    let give = Give { to: Incarnation([9; 8]), value: SessionValue([1, 2, 3, 4]), build: Build::new() };
    let tell = Tell { reading: 1, offset: 0, total: 300, bytes: (0..112).collect() };
    let messages = [
        Message::Hello,
        Message::Session(give),
        Message::Beat(Beat::largest(2, 1, 3)),
        Message::Beat(Beat::largest(8, 4, 8)),
        Message::Aside(Aside::Ask(Ask { subject: Subject::Why, reading: 1, offset: 77 })),
        Message::Aside(Aside::Tell(tell)),
    ];
    let line = |(number, message): (u32, &Message)| wrap(&seal(&header(number), message, &keys())).to_vec();
    (1..).zip(&messages).map(line).collect()
}

struct Dice(u64);

impl Dice {
    /// xorshift64* (Vigna, 2014)
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// A stream of a few frames with a few things wrong with it, then one whole frame. Returns where that one
/// begins.
fn mutate(dice: &mut Dice, frames: &[Vec<u8>], stream: &mut Vec<u8>) -> usize {
    stream.clear();
    for _ in 0..1 + dice.below(3) {
        stream.extend_from_slice(&frames[dice.below(frames.len())]);
    }
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(stream.len());
        let length = dice.below(stream.len() - at).min(dice.below(40));
        match dice.below(7) {
            0 => stream[at] ^= 1 << dice.below(8),
            1 => stream[at] = dice.next() as u8,
            2 => drop(stream.drain(at..at + length)),
            3 => stream.truncate(at + 1),
            4 => stream[at..at + length].fill(0),
            5 => stream[at..at + length].iter_mut().for_each(|byte| *byte = dice.next() as u8),
            _ => {
                let noise: [u8; 24] = std::array::from_fn(|_| dice.next() as u8);
                stream.splice(at..at, noise[..dice.below(24)].iter().copied());
            }
        }
        if stream.is_empty() {
            stream.push(0xff);
        }
    }
    let begins_at = stream.len();
    stream.extend_from_slice(&frames[dice.below(frames.len())]);
    begins_at
}

/// Whether the frame at `begins_at` comes out whole, byte for byte. Everything that comes out is put to a
/// session too.
fn finds_the_last(stream: &[u8], begins_at: usize, session: &mut Session) -> bool {
    let mut collector = Collector::default();
    let mut is_found = false;
    for (at, byte) in stream.iter().enumerate() {
        let Some(Gathered::Body(body)) = collector.push(*byte) else { continue };
        assert!(body.len() <= MAX_BODY_BYTES);
        let _ = session.receive(Instant::from_us(at as u64 + 1), PathId(0), PathKind::Serial, body);
        is_found =
            at + 1 == stream.len() && open(body).is_ok_and(|frame| frame.header.number > 0) && begins_at < at;
    }
    is_found
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn mutated_streams_resynchronise_within_one_frame_without_panic_or_allocation() {
    let (frames, mut session) = (frames(), session());
    let (count, first) =
        (from_environment("CROSSWIRE_STREAMS", 5_000), from_environment("CROSSWIRE_SEED", 1));
    let mut stream = Vec::with_capacity(4_096);
    for seed in first..first + count {
        let begins_at = mutate(&mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), &frames, &mut stream);
        let before = ALLOCATIONS.get();
        let is_found = finds_the_last(&stream, begins_at, &mut session);
        assert_eq!(ALLOCATIONS.get(), before, "seed {seed} allocates");
        assert!(is_found, "seed {seed}: the frame after the damage was lost: {stream:02x?}");
    }
}

#[test]
fn a_cut_at_every_offset_costs_no_frame_but_its_own() {
    let (frames, mut session) = (frames(), session());
    for first in &frames {
        for next in &frames {
            for cut in 0..=first.len() {
                for missing in [0, 1, first.len()] {
                    let mut stream = first[..cut].to_vec();
                    stream.extend_from_slice(first.get(cut + missing..).unwrap_or_default());
                    let begins_at = stream.len();
                    stream.extend_from_slice(next);
                    assert!(finds_the_last(&stream, begins_at, &mut session), "cut {cut}, {missing} missing");
                }
            }
        }
    }
}
