//! What a station hears before what, and what it records.

use std::vec::Vec;

use super::*;
use crate::config::{CARRIER_DELAY, GroupPolicy, InJeopardy, PathPolicy, Speed};
use crate::frame::Key;
use crate::pair::{GroupId, PathKind};
use crate::quorum::record::Record;
use crate::recorder::{Recorder, Spoilt, repeat};
use crate::resource::{Order, Outcome, ReleaseOrder};
use crate::time::Span;

const LAN: PathId = PathId(0);
const GATEWAY: GroupId = GroupId(0);
const KEY: [u8; 16] = *b"never be written";

type Recorded = Station<Recorder<Vec<u8>>>;

/// Two that are recorded in so many bytes each, and serve what they decide to.
struct Pair {
    now: Instant,
    stations: [Recorded; 2],
    /// What waits for each.
    waiting: [Vec<Body>; 2],
    taken: usize,
}

fn keys() -> Keyring {
    Keyring::new("pair", &[Key { id: 1, bytes: KEY.into_iter().collect() }])
}

fn station(me: Side, room_bytes: usize, now: Instant) -> Recorded {
    let policy = Policy {
        paths: [PathPolicy::new(PathKind::Lan, Speed::Normal.timing())].into_iter().collect(),
        groups: [GroupPolicy::addresses_only(1, Some(Side::A)).on([LAN])].into_iter().collect(),
        lease: Span::from_s(3),
        cold_start: Span::from_s(60),
        carrier_delay: CARRIER_DELAY,
        in_jeopardy: InJeopardy::Hold,
        witnesses: 0,
        has_vote: false,
        digest: [0; 4],
    };
    let fill = u8::try_from(me.index()).unwrap_or(0) + 0x51;
    let entropy = Entropy { incarnation: [fill; 8], secret: [fill; 16] };
    let station = Station::new("pair", policy, me, keys(), entropy, now);
    station.recorded_by(Recorder::new(std::vec![0; room_bytes]))
}

impl Pair {
    fn new(room_bytes: usize) -> Self {
        let now = Instant::from_us(60_000_000);
        let stations = [Side::A, Side::B].map(|me| station(me, room_bytes, now));
        let mut pair = Self { now, stations, waiting: [Vec::new(), Vec::new()], taken: 0 };
        for index in 0..2 {
            pair.step(index, Event::PathOpened(LAN));
            pair.step(index, Event::Carrier(GATEWAY, true));
        }
        pair
    }

    fn step(&mut self, index: usize, event: Event<'_>) {
        let mut effects = Effects::new();
        self.stations[index].step(self.now, event, &mut effects);
        self.carry_out(index, &effects);
    }

    fn carry_out(&mut self, index: usize, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Send(_, body) => self.waiting[1 - index].push(body.clone()),
                Effect::Order(ticket) => {
                    let outcome = match ticket.order {
                        Order::Acquire { .. } => Outcome::Serving,
                        Order::Renew { .. } => Outcome::Renewed,
                        Order::Release { .. } => Outcome::Released,
                        Order::Probe { .. } => Outcome::Probed { at: self.now },
                        Order::Fence { .. } | Order::Announce { .. } => continue,
                    };
                    self.taken += usize::from(matches!(ticket.order, Order::Acquire { .. }));
                    self.step(index, Event::Done(ticket.token, outcome));
                }
                _ => {}
            }
        }
    }

    /// One turn of each whose box has power.
    fn turn(&mut self, has_power: [bool; 2]) {
        self.now = self.now + Span::from_ms(50);
        for index in (0..2).filter(|index| has_power[*index]) {
            for body in std::mem::take(&mut self.waiting[index]) {
                let mut effects = Effects::new();
                self.stations[index].hear(self.now, LAN, &body, &mut effects);
                self.carry_out(index, &effects);
            }
            self.step(index, Event::GuardAlive);
            self.step(index, Event::Tick);
        }
    }

    fn halves(&self, index: usize) -> [&[u8]; 2] {
        self.stations[index].tape().halves()
    }
}

/// Steps, records, and steps that came out otherwise, of a recording.
fn repeated(halves: [&[u8]; 2]) -> Result<(u32, Vec<Record>, usize), Spoilt> {
    let (mut steps, mut records, mut others) = (0, Vec::new(), 0);
    for half in halves.into_iter().filter(|half| !half.is_empty()) {
        steps += repeat(half, |step| {
            others += usize::from(!step.is_same);
            records.extend(step.effects.iter().filter_map(|effect| match effect {
                Effect::Record(record) => Some(*record),
                _ => None,
            }));
        })?;
    }
    Ok((steps, records, others))
}

/// The pair meets, the first one serves, loses its power, and the second one takes over.
fn failed_over(room_bytes: usize) -> Pair {
    let mut pair = Pair::new(room_bytes);
    (0..200).for_each(|_| pair.turn([true; 2]));
    assert_eq!(pair.taken, 1, "the first one serves");
    (0..600).for_each(|_| pair.turn([false, true]));
    assert_eq!(pair.taken, 2, "the second one has taken over");
    pair
}

#[test]
fn what_was_recorded_is_decided_again() {
    let pair = failed_over(512 * 1024);
    let (steps, records, others) = repeated(pair.halves(1)).expect("whole");
    assert!(steps > 1_600, "{steps}");
    assert_eq!(others, 0);
    assert!(records.iter().any(|record| matches!(record, Record::Taking { .. })), "{records:?}");
}

#[test]
fn a_recording_is_bounded_and_each_half_begins_with_a_node_that_goes_on() {
    const ROOM: usize = 16 * 1024;
    let pair = failed_over(ROOM);
    let halves = pair.halves(1);
    assert!(halves.iter().all(|half| !half.is_empty() && half.len() <= ROOM / 2));
    assert!(halves[0].len() > ROOM / 2 - 1_024, "the older one is full");
    let (steps, _, others) = repeated(halves).expect("whole");
    assert!(steps > 50, "{steps}");
    assert_eq!(others, 0);
}

#[test]
fn a_room_that_is_too_small_for_a_node_records_nothing() {
    let pair = failed_over(1_024);
    assert!(pair.halves(1).iter().all(|half| half.is_empty()));
}

#[test]
fn another_decision_and_a_spoilt_recording_are_found_out() {
    let pair = failed_over(512 * 1024);
    let half = pair.halves(1)[1].to_vec();
    assert!(repeat(&half[..half.len() - 1], |_| ()).is_err(), "cut");
    assert!(repeat(&half[..3], |_| ()).is_err());
    // The checksum of the last step that decided anything.
    let mut spoilt = half.clone();
    let last = spoilt.len() - 1;
    spoilt[last] ^= 1;
    assert_ne!(repeated([&[], &spoilt]).map(|(_, _, others)| others), Ok(0));
}

#[test]
fn no_key_material_is_recorded() {
    let pair = failed_over(512 * 1024);
    let recorded: Vec<u8> = [0, 1].iter().flat_map(|index| pair.halves(*index).concat()).collect();
    let has = |bytes: &[u8]| recorded.windows(bytes.len()).any(|window| window == bytes);
    assert!(!has(&KEY[..8]) && !has(&KEY[8..]), "the key");
    assert!(!has(&[0x51; 9]) && !has(&[0x52; 9]), "the secret of a run; its number has eight bytes");
    for side in [Side::A, Side::B] {
        let derived = keys().derived(side);
        assert!(!derived.is_empty());
        assert!(derived.iter().all(|key| !has(&key[..8]) && !has(&key[8..])), "a derived key");
    }
}

/// A holder whose ack deadline is over lets go before it hears of the beat that waited in a buffer.
#[test]
fn what_has_lapsed_is_let_go_before_a_frame_that_waited_is_looked_at() {
    let mut pair = Pair::new(1_024);
    (0..200).for_each(|_| pair.turn([true; 2]));
    pair.now = pair.now + Speed::Normal.timing().interval;
    pair.waiting[0].clear();
    pair.step(1, Event::GuardAlive);
    pair.step(1, Event::Tick);
    let body = pair.waiting[0].first().cloned().expect("a beat is due");
    pair.now = pair.now + Span::from_s(30);
    let mut effects = Effects::new();
    pair.stations[0].hear(pair.now, LAN, &body, &mut effects);
    let release = Order::Release { group: GATEWAY, first: ReleaseOrder::AddressesFirst };
    let is_release = |effect: &Effect| matches!(effect, Effect::Order(ticket) if ticket.order == release);
    assert!(effects.iter().any(is_release), "{effects:?}");
    assert_eq!(pair.stations[0].status(pair.now).paths[0].heard, Some(Span::ZERO), "and then it is heard");
}
