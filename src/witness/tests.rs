//! Key files and the registry, without a process.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use crosswire::vote::claimant::Claimant;
use crosswire::vote::grants::Office;
use crosswire::vote::keys::{WitnessKey, WitnessSecret};
use crosswire::vote::wire::{QUESTION_BYTES, Reply};
use crosswire::vote::{QUIET, WAIT};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use proptest::prelude::*;

use super::key_files::{KeySet, Label, PairKeys};
use super::registry::{GREETINGS_IN_1_S, Incoming, Refused, Registry};

const LENGTH: Span = Span::from_ms(1_500);
const LEASE: Span = Span::from_s(3);

fn office(number: u8) -> Office {
    Office { run: [number; 8], secret: [number; 16] }
}

fn label(text: &str) -> Label {
    Label::try_from(text).expect("short")
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).expect("its mode");
    directory
}

fn write(directory: &Path, name: &str, text: &str, mode: u32) {
    let file = directory.join(name);
    fs::write(&file, text).expect("written");
    fs::set_permissions(&file, Permissions::from_mode(mode)).expect("its mode");
}

fn line(id: u8, byte: u8) -> String {
    format!("{id} {}\n", format!("{byte:02x}").repeat(16))
}

fn labels(set: &KeySet) -> Vec<&str> {
    set.pairs.iter().map(|pair| pair.label.as_str()).collect()
}

/// What is good, and what was said of the rest, with the directory called `DIR`.
fn read(directory: &Path) -> (KeySet, Vec<String>) {
    let (set, errors) = KeySet::read(directory);
    let name = directory.display().to_string();
    (set, errors.iter().map(|error| error.to_string().replace(&name, "DIR")).collect())
}

#[test]
fn a_directory_of_good_files_is_read_in_their_order() {
    let place = directory();
    write(place.path(), "north", &(line(3, 1) + &line(0, 2)), 0o600);
    write(place.path(), "gateway", &line(0, 3), 0o400);
    write(place.path(), ".gateway.swp", "anything", 0o644);
    let (set, said) = read(place.path());
    assert_eq!(said, [""; 0]);
    assert_eq!(labels(&set), ["gateway", "north"]);
    assert_eq!(set.pairs[1].keys, [(3, [1; 16]), (0, [2; 16])]);
}

/// Whatever lies in the directory: it is named, nothing is waited for, and the other pairs are there.
#[test]
fn everything_else_is_named_and_left_out() {
    let place = directory();
    let how = "make it on a node of that pair with `crosswire keygen --witness FILE`";
    write(place.path(), "good", &line(0, 3), 0o600);
    write(place.path(), "open", &line(0, 4), 0o640);
    write(place.path(), "empty", "", 0o600);
    write(place.path(), "long", &"#".repeat(9_000), 0o600);
    write(place.path(), "own", &format!("5 {}\n", "77".repeat(32)), 0o600);
    write(place.path(), "typo", &(line(0, 5) + "1 xyz\n"), 0o600);
    write(place.path(), "with\x1b[2J", &line(0, 6), 0o600);
    write(place.path(), &"n".repeat(65), &line(0, 7), 0o600);
    mkfifo(&place.path().join("pipe"), Mode::from_bits_truncate(0o600)).expect("made");
    fs::create_dir(place.path().join("folder")).expect("made");
    symlink("nowhere", place.path().join("lost")).expect("made");
    symlink("/dev/zero", place.path().join("zero")).expect("made");
    let huge = fs::File::create(place.path().join("huge")).expect("made");
    huge.set_len(1 << 40).expect("a sparse file");
    huge.set_permissions(Permissions::from_mode(0o600)).expect("its mode");
    let (set, said) = read(place.path());
    assert_eq!(labels(&set), ["good"]);
    let expected = [
        "DIR/empty: holds no key; {how}",
        "DIR/folder: is not a file; ",
        "DIR/huge: is too long for a key file; keep it below 8192 bytes",
        "DIR/long: is too long for a key file; keep it below 8192 bytes",
        "DIR/lost: the key file cannot be read (No such file or directory (os error 2)); {how}",
        "DIR/nnnn",
        "DIR/open: the key file has mode 0640: others may get at the key; chmod 600 DIR/open",
        "DIR/own: key 5 has 32 bytes, and a witness's has 16; if it is the pair's own, remove it: a witness \
            must not have that one; {how}",
        "DIR/pipe: is not a file; ",
        "DIR/typo:2: key 1 is not hexadecimal; ",
        "DIR/with\\u{1b}[2J: its name is no text of at most 64 bytes; call the file like its pair",
        "DIR/zero: is not a file; ",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(&expected.replace("{how}", how)), "{said}\n{expected}");
        assert!(!said.contains("7777") && !said.chars().any(char::is_control), "{said}");
    }
}

#[test]
fn a_link_to_a_good_file_is_as_good() {
    let (place, elsewhere) = (directory(), directory());
    write(elsewhere.path(), "k", &line(0, 3), 0o600);
    symlink(elsewhere.path().join("k"), place.path().join("gateway")).expect("made");
    let (set, said) = read(place.path());
    assert_eq!((labels(&set), said.len()), (vec!["gateway"], 0));
}

#[test]
fn a_directory_that_others_can_change_or_that_is_none_is_refused() {
    let place = directory();
    let remedy = "mkdir -m 700 it, with a file for each pair, or name another with --keys";
    let missing = "the directory of keys cannot be read (No such file or directory (os error 2))";
    assert_eq!(read(&place.path().join("no")).1, [format!("DIR: {missing}; {remedy}")]);
    assert!(read(place.path()).1[0].starts_with("DIR: holds no key file; make it on a node"));
    write(place.path(), "gateway", &line(0, 3), 0o600);
    assert!(read(&place.path().join("gateway")).1[0].contains("is not a directory"));
    fs::set_permissions(place.path(), Permissions::from_mode(0o770)).expect("changed");
    let (set, said) = read(place.path());
    assert_eq!((set.pairs.len(), said.len()), (0, 1));
    assert!(said[0].contains("others may change this directory"), "{said:?}");
}

/// Two places for one pair would be two witnesses that do not know of each other.
#[test]
fn no_pair_gets_two_places() {
    let place = directory();
    write(place.path(), "gateway", &(line(0, 3) + &line(1, 4)), 0o600);
    write(place.path(), "gateway.old", &line(0, 3), 0o600);
    write(place.path(), "north", &(line(0, 5) + &line(1, 5)), 0o600);
    let (set, said) = read(place.path());
    let remedy = "keep one file for each pair, and each key once";
    assert_eq!(labels(&set), ["gateway"]);
    let twins = [
        format!("DIR/gateway.old: key 0 is key 0 of gateway; {remedy}"),
        format!("DIR/north: key 1 is key 0 of north; {remedy}"),
    ];
    assert!(said.len() == 2 && twins.iter().all(|twin| said.contains(twin)), "{said:?}");
    let of = |label_text: &str, keys: &[u8]| PairKeys {
        label: label(label_text),
        keys: keys.iter().map(|byte| (0, [*byte; 16])).collect(),
    };
    let before = KeySet { pairs: vec![of("gateway", &[3, 4])] };
    let split = KeySet { pairs: vec![of("a", &[9]), of("gateway", &[3]), of("new", &[4])] };
    let said: Vec<_> = split.split_since(&before, Path::new("DIR")).iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("is of the same pair as a key in"), "{said:?}");
    let renamed = KeySet { pairs: vec![of("west", &[3, 4, 5]), of("x", &[6])] };
    assert_eq!(renamed.split_since(&before, Path::new("DIR")).len(), 0);
}

/// A witness without a socket, and the two nodes of each pair.
struct Room {
    now: Instant,
    registry: Registry,
}

impl Room {
    /// Pairs by label, each with the secrets that repeat these bytes.
    fn new(number: u8, pairs: &[(&str, &[u8])]) -> Self {
        let mut room = Self { now: Instant::from_us(1_000_000), registry: Registry::default() };
        room.reload(number, pairs);
        room
    }

    fn reload(&mut self, number: u8, pairs: &[(&str, &[u8])]) {
        let mut incoming = Incoming::new(office(number), pairs.len());
        for (name, keys) in pairs {
            let secrets: Vec<WitnessSecret> = keys.iter().map(|byte| [*byte; 16]).collect();
            incoming.push(label(name), &secrets);
        }
        self.registry.replace(incoming);
    }

    /// A node asks under a key, and is answered.
    fn ask(&mut self, node: &mut Claimant, key: u8, claims: u8) -> Reply {
        let key = WitnessKey::new(&[key; 16]);
        let question = node.ask(self.now, claims).seal(&key);
        let (reply, _) = self.registry.answer(self.now, &question).expect("an answer");
        let reply = Reply::open(&reply, &key).expect("a reply");
        assert!(node.hear(self.now, &reply));
        self.now = self.now + Span::from_ms(125);
        reply
    }

    /// A node that asks often enough and long enough is granted the first group.
    fn settle(&mut self, node: &mut Claimant, key: u8) {
        let until = self.now + WAIT + QUIET;
        while self.now < until {
            self.ask(node, key, 0);
            self.now = self.now + Span::from_s(1);
        }
        self.ask(node, key, 1);
        assert_eq!(self.ask(node, key, 1).granted, 1);
    }
}

fn node(side: Side, run: u8) -> Claimant {
    Claimant::new(side, [run; 8], LENGTH, LEASE)
}

/// While keys rotate, one node sends with the new key and the other with the old one.
#[test]
fn the_keys_of_a_pair_are_one_pair() {
    let mut room = Room::new(1, &[("gateway", &[1, 2])]);
    let (mut a, mut b) = (node(Side::A, 1), node(Side::B, 2));
    room.settle(&mut a, 1);
    for _ in 0..3 {
        let reply = room.ask(&mut b, 2, 1);
        assert_eq!((reply.granted, reply.other_holds & 1), (0, u8::from(reply.is_counted)));
    }
    assert_eq!(room.ask(&mut a, 2, 1).granted, 1, "the run goes on under the other key");
}

#[test]
fn what_is_kept_of_a_pair_that_stays_is_kept() {
    let mut room = Room::new(1, &[("gateway", &[1, 2]), ("north", &[7])]);
    let (mut a, mut b) = (node(Side::A, 1), node(Side::B, 2));
    room.settle(&mut a, 1);
    // Beside others, under another name, with a new key, with all keys new.
    let reloads = [
        (&[("a", &[5, 6][..]), ("gateway", &[2, 1]), ("z", &[8])][..], 1),
        (&[("west", &[1])], 1),
        (&[("north", &[7]), ("west", &[3, 1])], 3),
        (&[("west", &[4])], 4),
    ];
    for (number, (pairs, key)) in (2..).zip(reloads) {
        room.reload(number, pairs);
        let reply = room.ask(&mut a, key, 1);
        assert_eq!((reply.granted, reply.is_waiting, reply.run), (1, false, [1; 8]), "{pairs:?}");
        while !room.ask(&mut b, key, 1).is_counted {}
        assert_eq!(room.ask(&mut b, key, 1).granted, 0, "{pairs:?}");
    }
}

/// A pair that was taken away and comes back is told so by another run: its holder shows what it has.
#[test]
fn a_pair_that_comes_back_finds_another_run() {
    let mut room = Room::new(1, &[("gateway", &[1])]);
    let (mut a, mut b) = (node(Side::A, 1), node(Side::B, 2));
    room.settle(&mut a, 1);
    room.reload(2, &[("north", &[7])]);
    let key = WitnessKey::new(&[1; 16]);
    let question = a.ask(room.now, 1).seal(&key);
    assert!(matches!(room.registry.answer(room.now, &question), Err(Refused::UnknownKey(_))));
    room.reload(3, &[("gateway", &[1]), ("north", &[7])]);
    let first = room.ask(&mut a, 1, 1);
    assert_eq!((first.run, first.is_counted), ([3; 8], false));
    let shown = room.ask(&mut a, 1, 1);
    assert_eq!((shown.is_counted, shown.is_waiting, shown.granted), (true, true, 1));
    while !room.ask(&mut b, 1, 1).is_counted {}
    assert_eq!(room.ask(&mut b, 1, 1).granted, 0);
}

#[test]
fn strangers_and_forgers_are_told_apart_and_get_nothing() {
    let mut room = Room::new(1, &[("gateway", &[1]), ("north", &[7])]);
    let mut a = node(Side::A, 1);
    let question = a.ask(room.now, 1).seal(&WitnessKey::new(&[9; 16]));
    let name = WitnessKey::new(&[9; 16]).name();
    assert_eq!(room.registry.answer(room.now, &question), Err(Refused::UnknownKey(name)));
    let mut question = a.ask(room.now, 1).seal(&WitnessKey::new(&[7; 16]));
    question[30] ^= 1;
    assert_eq!(room.registry.answer(room.now, &question), Err(Refused::Forged(1)));
    assert_eq!(room.registry.label(1), "north");
    room.ask(&mut a, 1, 0);
    let question = a.ask(room.now, 0).seal(&WitnessKey::new(&[1; 16]));
    assert!(room.registry.answer(room.now, &question).is_ok());
    assert_eq!(room.registry.answer(room.now, &question), Err(Refused::Repeated(0)));
}

/// First questions of more pairs than are answered in a tenth of a second: what counts is answered all the
/// same.
#[test]
fn first_questions_are_limited_and_others_are_not() {
    let pairs = 700;
    let mut incoming = Incoming::new(office(1), pairs);
    let secret = |pair: usize| {
        <WitnessSecret>::try_from(&[&pair.to_le_bytes()[..], &[5; 8]].concat()[..]).expect("16")
    };
    (0..pairs).for_each(|pair| incoming.push(label(&format!("{pair:05}")), &[secret(pair)]));
    let mut registry = Registry::default();
    registry.replace(incoming);
    let now = Instant::from_us(1_000_000);
    let mut known = node(Side::A, 1);
    let key = WitnessKey::new(&secret(0));
    let (reply, is_counted) = registry.answer(now, &known.ask(now, 0).seal(&key)).expect("an answer");
    assert!(!is_counted && known.hear(now, &Reply::open(&reply, &key).expect("a reply")));
    let mut answered = 1;
    for pair in 1..pairs {
        for side in [Side::A, Side::B] {
            let question = node(side, 1).ask(now, 0).seal(&WitnessKey::new(&secret(pair)));
            match registry.answer(now, &question) {
                Ok((_, false)) => answered += 1,
                Err(Refused::TooMany(refused)) => assert_eq!(refused, pair),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(answered, GREETINGS_IN_1_S / 10);
    assert!(matches!(registry.answer(now, &known.ask(now, 0).seal(&key)), Ok((_, true))));
    let later = now + Span::from_ms(100);
    let question = node(Side::B, 1).ask(later, 0).seal(&WitnessKey::new(&secret(pairs - 1)));
    assert!(matches!(registry.answer(later, &question), Ok((_, false))));
}

#[test]
fn a_pair_costs_a_kilobyte() {
    let bytes = std::hint::black_box(Registry::BYTES_OF_A_PAIR);
    assert!(bytes <= 1_024, "{bytes}");
}

proptest! {
    /// Any bytes at all, and any damage to a good question.
    #[test]
    fn no_bytes_are_answered_but_questions(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0..QUESTION_BYTES,
        bit in 0u8..8,
        cut in 0..QUESTION_BYTES,
    ) {
        let mut room = Room::new(1, &[("gateway", &[1])]);
        prop_assert_eq!(room.registry.answer(room.now, &bytes), Err(Refused::NoQuestion));
        let good = node(Side::A, 1).ask(room.now, 1).seal(&WitnessKey::new(&[1; 16]));
        let mut damaged = good;
        damaged[at] ^= 1 << bit;
        prop_assert!(room.registry.answer(room.now, &damaged).is_err());
        prop_assert_eq!(room.registry.answer(room.now, &good[..cut]), Err(Refused::NoQuestion));
        prop_assert!(room.registry.answer(room.now, &good).is_ok());
    }
}
