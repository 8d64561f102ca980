//! The exact bytes of every message of protocol version 1.
//!
//! These bytes are spoken by boxes in the field. If a row fails, the change that made it fail is wrong: a new layout is a new
//! protocol version, which accepts this one's heartbeat.

use crosswire::config::{PathId, Side};
use crosswire::frame::aside::{Aside, Ask, Subject, Tell};
use crosswire::frame::delimit::{Collector, Gathered, wrap};
use crosswire::frame::message::{
    Beat, Give, GroupReport, Incarnation, Mechanisms, Message, NEVER_HEARD, PathReport, Role, SessionValue, Standing,
    Trouble, Word,
};
use crosswire::frame::seal::{Header, open, pair_id, seal};
use crosswire::frame::{Key, Keyring, Refusal, heartbeat_bytes};
use crosswire::time::Span;

fn keys() -> Keyring {
    let bytes = (0..16).collect();
    Keyring::new("gateway", &[Key { id: 3, bytes }])
}

fn header(sender: Side, path: u8) -> Header {
    Header {
        pair: pair_id("gateway"),
        sender,
        path: PathId(path),
        incarnation: Incarnation([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]),
        echo: SessionValue([0xaa, 0xbb, 0xcc, 0xdd]),
        number: 0x0102_0304,
    }
}

fn beat() -> Beat {
    let path = |dead_after_ms, age_sixteenths| PathReport { dead_after: Span::from_ms(dead_after_ms), age_sixteenths };
    let group = |tag, role, term, word| GroupReport { tag, role, term, word };
    Beat {
        ack: 0x0a0b_0c0d,
        interval: Span::from_ms(100),
        paths: [path(500, 3), path(1_500, NEVER_HEARD)].into_iter().collect(),
        groups: [group(0x5a, Role::Active, 7, Word::None), group(0xa5, Role::Backup, 300, Word::Offered)]
            .into_iter()
            .collect(),
        standing: Standing {
            cold_start: true,
            leaving: false,
            no_carrier: true,
            lines_dropped: false,
            standby: false,
            maintenance: false,
            trouble: Trouble::GuardSilent,
            witnesses: 0b1010,
        },
        release: Mechanisms { lease_s: 1, watchdog_s: 0, stop_s: 300 },
        digest: [0xde, 0xad, 0xbe, 0xef],
    }
}

/// Side, path, message, and its bytes.
fn rows() -> [(Header, Message, &'static str); 5] {
    let to = Incarnation([0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00]);
    let give = Give { to, value: SessionValue([1, 2, 3, 4]) };
    let ask = Ask { subject: Subject::Why, reading: 7, offset: 300 };
    let tell = Tell { reading: 7, offset: 300, total: 1_200, bytes: b"gw1 serves\n".iter().copied().collect() };
    let hello = Header { echo: SessionValue::NONE, ..header(Side::A, 0) };
    [
        (hello, Message::Hello, HELLO),
        (header(Side::B, 1), Message::Session(give), SESSION),
        (header(Side::A, 1), Message::Beat(beat()), BEAT),
        (header(Side::B, 0), Message::Aside(Aside::Ask(ask)), ASK),
        (header(Side::A, 0), Message::Aside(Aside::Tell(tell)), TELL),
    ]
}

// Version and kind, pair, sender with path and key id, incarnation, echo, number; payload, authenticator, CRC-32. Reckoned by a
// second implementation, written from the description and not from the code.
const HELLO: &str = "11 7fdd 03 1122334455667788 00000000 04030201
     275b3f4190d96c47 82ffa41d";
const SESSION: &str = "12 7fdd 93 1122334455667788 aabbccdd 04030201
     99aabbccddeeff0001020304 1dec6c1fc128c40b 3c51eb57";
const BEAT: &str = "13 7fdd 13 1122334455667788 aabbccdd 04030201
     0d0c0b0a6402f40303dc0bff025a72a5c52505a2deadbeef0100ac02 796ae2cba48b0979 9c3aa1db";

const ASK: &str = "14 7fdd 83 1122334455667788 aabbccdd 04030201
     0107ac02 db14831b149b14d9 fa9baaa1";
const TELL: &str = "15 7fdd 03 1122334455667788 aabbccdd 04030201
     07ac02b0090b677731207365727665730a 7a3b7037fbdec2e2 3910361d";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_message_has_these_bytes() {
    for (header, message, expected) in rows() {
        assert_eq!(hex(&seal(&header, &message, &keys())), expected.replace([' ', '\n'], ""), "{message:?}");
    }
}

#[test]
fn every_message_comes_back_as_it_was() {
    for (header, message, _) in rows() {
        let line = wrap(&seal(&header, &message, &keys()));
        let mut collector = Collector::default();
        let mut bodies = line.iter().filter_map(|byte| match collector.push(*byte) {
            Some(Gathered::Body(body)) => Some(body.to_vec()),
            Some(Gathered::Noise) | None => None,
        });
        let body = bodies.next().expect("one frame");
        let opened = open(&body).expect("opens");
        assert_eq!(opened.header, header);
        assert_eq!(opened.verify(&keys()), Ok(()));
        assert_eq!(opened.decode(), Ok(message));
    }
}

#[test]
fn each_flag_of_a_beat_comes_back_by_itself() {
    let none = Standing { trouble: Trouble::None, witnesses: 0, ..Standing::default() };
    let flags = [
        Standing { cold_start: true, ..none },
        Standing { leaving: true, ..none },
        Standing { no_carrier: true, ..none },
        Standing { lines_dropped: true, ..none },
    ];
    for standing in flags {
        let message = Message::Beat(Beat { standing, ..beat() });
        let opened = open(&seal(&header(Side::A, 1), &message, &keys())).map(|opened| opened.decode());
        assert_eq!(opened, Ok(Ok(message)));
    }
}

#[test]
fn a_heartbeat_on_the_line_stays_within_64_bytes() {
    assert_eq!(heartbeat_bytes(2, 1), 63, "one cable, one LAN, one group, terms below 65,536");
}

#[test]
fn no_flipped_bit_is_accepted() {
    for (header, message, _) in rows() {
        let body = seal(&header, &message, &keys());
        for bit in 0..body.len() * 8 {
            let mut bytes = body.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&bytes).map(|_| ()), Err(Refusal::Crc), "bit {bit}");
        }
    }
}

#[test]
fn no_changed_byte_with_a_good_crc_is_accepted() {
    let (header, message, _) = rows()[2].clone();
    let body = seal(&header, &message, &keys());
    let covered = body.len() - 4;
    for index in 0..covered {
        let mut bytes = body.to_vec();
        bytes[index] ^= 0x40;
        let crc = crosswire::frame::seal::crc32(&bytes[..covered]).to_le_bytes();
        bytes[covered..].copy_from_slice(&crc);
        let refused = open(&bytes).and_then(|opened| opened.verify(&keys()));
        assert!(refused.is_err(), "byte {index}");
    }
}

#[test]
fn trailing_bytes_and_truncated_payloads_are_no_messages() {
    for (header, message, _) in rows() {
        let body = seal(&header, &message, &keys());
        for cut in 1..body.len() {
            assert!(open(&body[..cut]).is_err());
        }
    }
}
