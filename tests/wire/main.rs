//! The exact bytes of every message, in each version of the protocol that this build speaks.
//!
//! These bytes are spoken by boxes in the field. If a row fails, the change that made it fail is wrong: a new
//! layout is a new protocol version, which is spoken beside this one.

mod exchange;
mod notes;
mod votes;

use crosswire::config::{MAX_GROUPS, MAX_INTERFACES, MAX_PATHS};
use crosswire::frame::aside::{Aside, Ask, Subject, Tell};
use crosswire::frame::delimit::{Collector, Gathered, wrap};
use crosswire::frame::message::{
    Ack, Beat, Build, Give, GroupReport, Incarnation, MAX_TERM, Message, NEVER_HEARD, NO_END, PathReport,
    SessionValue, Standing,
};
use crosswire::frame::seal::{Header, crc32, open, pair_id, seal};
use crosswire::frame::{Key, Keyring, MAX_BODY_BYTES, Refusal, Version, heartbeat_bytes};
use crosswire::pair::{Interface, Mechanisms, PathId, Role, Side, Trouble, Word};
use crosswire::time::Span;

fn keys() -> Keyring {
    let bytes = (0..16).collect();
    Keyring::new("gateway", &[Key { id: 3, bytes }])
}

fn header(version: Version, sender: Side, path: u8) -> Header {
    Header {
        version,
        pair: pair_id("gateway"),
        sender,
        path: PathId(path),
        incarnation: Incarnation([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]),
        echo: SessionValue([0xaa, 0xbb, 0xcc, 0xdd]),
        number: 0x0102_0304,
    }
}

fn beat(version: Version) -> Beat {
    let is_new = version > Version::One;
    let interfaces = [
        Interface::Dark,
        Interface::Proven,
        Interface::Unknown,
        Interface::CutOff,
        Interface::Unknown,
        Interface::Dark,
    ];
    let path = |dead_after_ms, age_sixteenths| PathReport {
        dead_after: Span::from_ms(dead_after_ms),
        age_sixteenths,
    };
    let group = |tag, role, term, word| GroupReport { tag, role, term, word };
    Beat {
        ack: if is_new { Ack::Low(0x0c0d) } else { Ack::Whole(0x0a0b_0c0d) },
        interval: Span::from_ms(100),
        paths: [path(500, 3), path(1_500, NEVER_HEARD)].into_iter().collect(),
        groups: [group(0x5a, Role::Active, 7, Word::None), group(0xa5, Role::Backup, 300, Word::Offered)]
            .into_iter()
            .collect(),
        interfaces: interfaces.into_iter().filter(|_| is_new).collect(),
        standing: Standing {
            cold_start: true,
            no_carrier: true,
            maintenance: is_new.then_some(Span::from_s(100)),
            still_held: is_new,
            trouble: Trouble::GuardSilent,
            witnesses: 0b1010,
            ..Standing::default()
        },
        release: Mechanisms { lease_s: 1, watchdog_s: 0, stop_s: 300 },
        digest: [0xde, 0xad, 0xbe, 0xef],
    }
}

/// What is said, and its bytes.
fn rows() -> Vec<(Header, Message, &'static str)> {
    let of = |(version, bytes): (Version, [&'static str; 5])| messages(version).into_iter().zip(bytes);
    let rows = [(Version::One, ONE), (Version::Two, TWO)].into_iter().flat_map(of);
    rows.map(|((header, message), bytes)| (header, message, bytes)).collect()
}

fn messages(version: Version) -> [(Header, Message); 5] {
    let to = Incarnation([0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00]);
    let build = if version > Version::One { Build::try_from("0.2.0").expect("short") } else { Build::new() };
    let give = Give { to, value: SessionValue([1, 2, 3, 4]), build };
    let ask = Ask { subject: Subject::Why, reading: 7, offset: 300 };
    let tell =
        Tell { reading: 7, offset: 300, total: 1_200, bytes: b"gw1 serves\n".iter().copied().collect() };
    let header = |sender, path| header(version, sender, path);
    [
        (Header { echo: SessionValue::NONE, ..header(Side::A, 0) }, Message::Hello),
        (header(Side::B, 1), Message::Session(give)),
        (header(Side::A, 1), Message::Beat(beat(version))),
        (header(Side::B, 0), Message::Aside(Aside::Ask(ask))),
        (header(Side::A, 0), Message::Aside(Aside::Tell(tell))),
    ]
}

// Hello, session, beat, ask, tell: version and kind, pair, sender with path and key id, incarnation, echo,
// number; payload, authenticator, CRC-32. Reckoned by a second implementation, written from the description
// and not from the code.
const ONE: [&str; 5] = [
    "11 7fdd 03 1122334455667788 00000000 04030201
     275b3f4190d96c47 82ffa41d",
    "12 7fdd 93 1122334455667788 aabbccdd 04030201
     99aabbccddeeff0001020304 1dec6c1fc128c40b 3c51eb57",
    "13 7fdd 13 1122334455667788 aabbccdd 04030201
     0d0c0b0a6402f40303dc0bff025a72a5c52505a2deadbeef0100ac02 796ae2cba48b0979 9c3aa1db",
    "14 7fdd 83 1122334455667788 aabbccdd 04030201
     0107ac02 db14831b149b14d9 fa9baaa1",
    "15 7fdd 03 1122334455667788 aabbccdd 04030201
     07ac02b0090b677731207365727665730a 7a3b7037fbdec2e2 3910361d",
];
const TWO: [&str; 5] = [
    "21 7fdd 03 1122334455667788 00000000 04030201
     bd9f06575c007435 5c7d50f8",
    "22 7fdd 93 1122334455667788 aabbccdd 04030201
     99aabbccddeeff000102030405302e322e30 28a66e5ed6562ef6 b03b0a92",
    "23 7fdd 13 1122334455667788 aabbccdd 04030201
     0d0c64002502a23901002c01deadbeef22f40103dc05ff5a72000000a5c51200008732 784dda82bc98fe3e 477c90b6",
    "24 7fdd 83 1122334455667788 aabbccdd 04030201
     01072c01 ea4c6aeb7ba742f2 120b8277",
    "25 7fdd 03 1122334455667788 aabbccdd 04030201
     072c01b0040b677731207365727665730a ecb65753ffe7ce49 8c19b2fb",
];

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

/// The message as it is after the way over the wire.
fn over_the_wire(version: Version, message: &Message) -> Message {
    let body = seal(&header(version, Side::A, 1), message, &keys());
    open(&body).and_then(|opened| opened.decode()).expect("a message")
}

#[test]
fn each_flag_of_a_beat_comes_back_by_itself() {
    let none = Standing::default();
    let old = [
        Standing { cold_start: true, ..none },
        Standing { leaving: true, ..none },
        Standing { no_carrier: true, ..none },
        Standing { lines_dropped: true, ..none },
        Standing { standby: true, ..none },
        Standing { maintenance: Some(NO_END), ..none },
    ];
    let new = [
        Standing { vote_counts: true, ..none },
        Standing { still_held: true, ..none },
        Standing { shadow: true, ..none },
        Standing { trouble: Trouble::Other, ..none },
        Standing { maintenance: Some(Span::from_s(30)), ..none },
    ];
    let one = old.iter().map(|standing| (Version::One, standing));
    for (version, standing) in one.chain(old.iter().chain(&new).map(|standing| (Version::Two, standing))) {
        let message = Message::Beat(Beat { standing: *standing, ..beat(version) });
        assert_eq!(over_the_wire(version, &message), message);
    }
}

/// What the old version has no word for is left out, or said with the nearest that is as careful.
#[test]
fn a_peer_that_speaks_the_old_version_hears_nothing_that_it_cannot_read() {
    let group = |word| GroupReport { tag: 1, role: Role::Backup, term: 1, word };
    let standing = Standing {
        maintenance: Some(Span::from_s(30)),
        vote_counts: true,
        still_held: true,
        shadow: true,
        trouble: Trouble::Other,
        ..Standing::default()
    };
    let new = Beat { standing, groups: [group(Word::Unready)].into_iter().collect(), ..beat(Version::One) };
    let standing =
        Standing { maintenance: Some(NO_END), trouble: Trouble::GuardSilent, ..Standing::default() };
    let old = Beat { standing, groups: [group(Word::Unable)].into_iter().collect(), ..beat(Version::One) };
    assert_eq!(over_the_wire(Version::One, &Message::Beat(new)), Message::Beat(old));
}

/// A body of the newest version with another payload, sealed anew.
fn with_payload(kind: u8, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (header, message, _) = &rows()[usize::from(kind) + 4];
    let sealed = seal(header, message, &keys());
    let mut payload = sealed[20..sealed.len() - 12].to_vec();
    change(&mut payload);
    let mut body = [&sealed[..20], &payload].concat();
    body.extend(keys().seal(header.sender, &body));
    body.extend(crc32(&body).to_le_bytes());
    body
}

#[test]
fn what_a_later_build_adds_is_left_out_and_refuses_nothing() {
    for kind in 1..=5 {
        let body = with_payload(kind, |payload| payload.extend([0xff; 7]));
        let opened = open(&body).expect("opens");
        assert_eq!(opened.verify(&keys()), Ok(()));
        assert_eq!(opened.decode().as_ref(), Ok(&rows()[usize::from(kind) + 4].1), "kind {kind}");
    }
    let beat_with = |at: usize, bits: u8| match open(&with_payload(3, |payload| payload[at] |= bits))
        .and_then(|opened| opened.decode())
    {
        Ok(Message::Beat(beat)) => beat,
        other => panic!("{other:?}"),
    };
    assert_eq!(beat_with(4, 0xc0), beat(Version::Two), "unknown flags");
    assert_eq!(beat_with(5, 0xf8), beat(Version::Two), "unknown flags of the second byte");
    assert_eq!(beat_with(6, 0x0c).standing.trouble, Trouble::Other);
    let unknown = GroupReport { tag: 0x5a, role: Role::Backup, term: 7, word: Word::Unable };
    assert_eq!(beat_with(24, 0x0e).groups[0], unknown, "an unknown role");
    let ask = open(&with_payload(4, |payload| payload[0] = 77)).and_then(|opened| opened.decode());
    assert!(matches!(ask, Ok(Message::Aside(Aside::Ask(Ask { subject: Subject::Unknown, .. })))), "{ask:?}");
}

#[test]
fn a_payload_that_ends_too_early_is_no_message() {
    for kind in 2..=5 {
        let whole = with_payload(kind, |_| {});
        for cut in 1..=whole.len() - 32 {
            let body = with_payload(kind, |payload| payload.truncate(payload.len() - cut));
            assert_eq!(
                open(&body).and_then(|opened| opened.decode()).err(),
                Some(Refusal::Decode),
                "{kind} {cut}"
            );
        }
    }
    for counts in [0x09, 0x0f, 0x90, 0xf0] {
        let body = with_payload(3, |payload| {
            payload[16] = counts;
            payload.extend([0; 90]);
        });
        let refused = open(&body[..body.len().min(MAX_BODY_BYTES)]).and_then(|opened| opened.decode());
        assert!(refused.is_err(), "{counts:02x}");
    }
}

/// Everything at its greatest, or with all bits set.
fn extreme(paths: usize, groups: usize, interfaces: usize) -> Beat {
    let path = PathReport { dead_after: Span::from_ms(u64::from(u16::MAX)), age_sixteenths: NEVER_HEARD };
    let group = GroupReport { tag: u8::MAX, role: Role::Backup, term: MAX_TERM, word: Word::Unready };
    Beat {
        ack: Ack::Whole(u32::MAX),
        interval: Span::from_us(u64::MAX),
        paths: std::iter::repeat_n(path, paths).collect(),
        groups: std::iter::repeat_n(group, groups).collect(),
        interfaces: std::iter::repeat_n(Interface::Dark, interfaces).collect(),
        standing: Standing {
            cold_start: true,
            leaving: true,
            no_carrier: true,
            standby: true,
            maintenance: Some(NO_END),
            lines_dropped: true,
            vote_counts: true,
            still_held: true,
            shadow: true,
            trouble: Trouble::Other,
            witnesses: 0b1111,
        },
        release: Mechanisms { lease_s: u8::MAX, watchdog_s: u8::MAX, stop_s: u16::MAX },
        digest: [u8::MAX; 4],
    }
}

/// Paths, groups, interfaces, and the bytes of a heartbeat on the serial line: `00 COBS(body) 00`.
const SIZES: [(usize, usize, usize, u64); 8] = [
    (2, 1, 1, 64),
    (2, 1, 3, 64),
    (2, 1, 4, 65),
    (2, 2, 3, 69),
    (3, 1, 3, 67),
    (4, 4, 6, 86),
    (8, 8, 12, 120),
    (MAX_PATHS, MAX_GROUPS, MAX_INTERFACES, 127),
];

#[test]
fn a_heartbeat_has_the_bytes_that_are_reckoned_with_whatever_it_says() {
    for (paths, groups, interfaces, bytes) in SIZES {
        assert_eq!(heartbeat_bytes(paths, groups, interfaces), bytes, "{paths} {groups} {interfaces}");
        for beat in [extreme(paths, groups, interfaces), Beat::largest(paths, groups, interfaces)] {
            let header = Header { number: u32::MAX, ..header(Version::Two, Side::B, 7) };
            let line = wrap(&seal(&header, &Message::Beat(beat), &keys()));
            assert_eq!(line.len() as u64, bytes, "{paths} {groups} {interfaces}");
        }
    }
    assert!(heartbeat_bytes(2, 1, 3) <= 64, "one cable, one LAN, one group");
}

#[test]
fn no_heartbeat_of_the_old_version_outgrows_a_body() {
    let beat = extreme(MAX_PATHS, MAX_GROUPS, MAX_INTERFACES);
    assert!(seal(&header(Version::One, Side::B, 7), &Message::Beat(beat), &keys()).len() < MAX_BODY_BYTES);
    let usual = seal(&header(Version::One, Side::B, 7), &Message::Beat(Beat::largest(2, 1, 3)), &keys());
    assert!(wrap(&usual).len() as u64 <= heartbeat_bytes(2, 1, 3), "the line carries either");
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
    let (header, message, _) = rows().swap_remove(7);
    let body = seal(&header, &message, &keys());
    let covered = body.len() - 4;
    for index in 0..covered {
        let mut bytes = body.to_vec();
        bytes[index] ^= 0x40;
        let crc = crc32(&bytes[..covered]).to_le_bytes();
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
