//! The handshake told as stories between two halves.

use super::super::candidate::GENERATION;
use super::*;
use crate::frame::Key;
use crate::frame::message::{Ack, Standing};
use crate::pair::Mechanisms;
use std::vec::Vec;

const LAN: PathId = PathId(1);
const SERIAL: PathId = PathId(0);

fn half(me: Side, run: u8) -> Session {
    half_with_key(me, run, 7)
}

fn half_with_key(me: Side, run: u8, fill: u8) -> Session {
    let key = Key { id: 1, bytes: core::iter::repeat_n(fill, 16).collect() };
    let entropy = Entropy { incarnation: [run; 8], secret: [run ^ 0x55; 16] };
    Session::new("pair", me, Keyring::new("pair", &[key]), entropy, Span::from_ms(50), Instant::ORIGIN)
}

fn at(ms: u64) -> Instant {
    Instant::ORIGIN + Span::from_ms(ms)
}

fn beat() -> Beat {
    Beat {
        ack: Ack::Whole(0),
        interval: Span::from_ms(100),
        paths: heapless::Vec::new(),
        groups: heapless::Vec::new(),
        interfaces: heapless::Vec::new(),
        standing: Standing::default(),
        release: Mechanisms::default(),
        digest: [0; 4],
    }
}

fn hear(half: &mut Session, now: Instant, body: &Body) -> Result<Accepted, Refusal> {
    half.receive(now, LAN, PathKind::Lan, body)
}

/// Runs the handshake from a hello of `y` to its end; returns every frame that `y` sent.
fn shake(x: &mut Session, y: &mut Session, now: Instant) -> Vec<Body> {
    shake_in(Version::NEWEST, x, y, now)
}

fn shake_in(version: Version, x: &mut Session, y: &mut Session, now: Instant) -> Vec<Body> {
    let mut sent = std::vec![y.seal_hello(version, LAN)];
    let mut to_x = sent.first().cloned();
    while let Some(frame) = to_x.take() {
        let Ok(Accepted::Asked(answer) | Accepted::Adopted(answer)) = hear(x, now, &frame) else { break };
        let reply = x.seal_answer(LAN, answer);
        let Ok(Accepted::Asked(answer) | Accepted::Adopted(answer)) = hear(y, now, &reply) else { break };
        let next = y.seal_answer(LAN, answer);
        sent.push(next.clone());
        to_x = Some(next);
    }
    sent
}

fn beat_from(half: &mut Session, path: PathId) -> Body {
    let number = half.next_number();
    half.seal_beat(path, number, &beat()).expect("has a peer")
}

#[test]
fn two_round_trips_make_both_heard() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    shake(&mut x, &mut y, at(0));
    assert_eq!(x.peer(), Some(y.incarnation()));
    assert_eq!(y.peer(), Some(x.incarnation()));
    let from_y = beat_from(&mut y, LAN);
    assert!(matches!(hear(&mut x, at(1), &from_y), Ok(Accepted::Beat(..))));
    let from_x = beat_from(&mut x, LAN);
    assert!(matches!(hear(&mut y, at(1), &from_x), Ok(Accepted::Beat(..))));
}

#[test]
fn both_may_say_hello_at_once_again_and_again() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    let (mut to_x, mut to_y) =
        (std::vec![y.seal_hello(Version::NEWEST, LAN)], std::vec![x.seal_hello(Version::NEWEST, LAN)]);
    for _ in 0..6 {
        let mut next_y = Vec::new();
        for frame in to_x.drain(..) {
            if let Ok(Accepted::Asked(answer) | Accepted::Adopted(answer)) = hear(&mut x, at(0), &frame) {
                next_y.push(x.seal_answer(LAN, answer));
            }
        }
        for frame in to_y.drain(..) {
            if let Ok(Accepted::Asked(answer) | Accepted::Adopted(answer)) = hear(&mut y, at(0), &frame) {
                to_x.push(y.seal_answer(LAN, answer));
            }
        }
        to_y = next_y;
    }
    assert!(to_x.is_empty() && to_y.is_empty(), "the handshake ends");
    assert_eq!((x.peer(), y.peer()), (Some(y.incarnation()), Some(x.incarnation())));
}

#[test]
fn a_lost_last_answer_is_given_again() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    let hello = y.seal_hello(Version::NEWEST, LAN);
    let Ok(Accepted::Asked(answer)) = hear(&mut x, at(0), &hello) else { panic!("a hello is answered") };
    let reply = x.seal_answer(LAN, answer);
    let Ok(Accepted::Asked(answer)) = hear(&mut y, at(0), &reply) else { panic!("so is a session") };
    let echo = y.seal_answer(LAN, answer);
    assert!(matches!(hear(&mut x, at(0), &echo), Ok(Accepted::Adopted(_))), "the answer to this is lost");
    assert_eq!(y.peer(), None);
    shake(&mut x, &mut y, at(100));
    assert_eq!(y.peer(), Some(x.incarnation()), "the next hello makes up for it");
}

/// What is sent in answer to this, on the path on which it came.
fn answered(by: &mut Session, now: Instant, path: PathId, body: &Body) -> Option<Body> {
    let kind = if path == SERIAL { PathKind::Serial } else { PathKind::Lan };
    match by.receive(now, path, kind, body) {
        Ok(Accepted::Asked(answer) | Accepted::Adopted(answer)) => Some(by.seal_answer(path, answer)),
        Ok(Accepted::Nothing) => None,
        other => panic!("{other:?}"),
    }
}

/// Y hangs in the middle of a handshake. What it gives has changed when it reads on, the cable first. Returns
/// what it then says on the cable and on the LAN.
fn hang_in_a_handshake(x: &mut Session, y: &mut Session, later: Instant) -> (Body, Body) {
    let hello = y.seal_hello(Version::NEWEST, LAN);
    let reply = answered(x, at(0), LAN, &hello).expect("an answer");
    let echo = answered(y, at(0), LAN, &reply).expect("an answer");
    let last = answered(x, at(0), LAN, &echo).expect("X has adopted Y");
    let hello = y.seal_hello(Version::NEWEST, SERIAL);
    let slow = answered(x, at(0), SERIAL, &hello).expect("an answer");
    let outdated = answered(y, later, SERIAL, &slow).expect("an answer");
    let newest = answered(y, later, LAN, &last).expect("Y has adopted X, by what it gave first");
    (outdated, newest)
}

#[test]
fn a_greeting_that_comes_late_by_a_slower_path_takes_nothing_back() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    let later = at(1_000) + GENERATION;
    let (outdated, newest) = hang_in_a_handshake(&mut x, &mut y, later);
    answered(&mut x, later, LAN, &newest);
    answered(&mut x, later, SERIAL, &outdated);
    let [of_x, of_y] = [&x, &y].map(|half| half.peer.expect("adopted"));
    assert_eq!(of_x.gives, of_y.expects, "the answer that was sent last counts");
    let beat = beat_from(&mut x, LAN);
    assert!(matches!(hear(&mut y, later, &beat), Ok(Accepted::Beat(..))));
}

#[test]
fn whatever_it_was_given_last_before_its_adoption_counts_as_its_echo() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    let later = at(1_000) + GENERATION;
    let (given_last, _lost) = hang_in_a_handshake(&mut x, &mut y, later);
    answered(&mut x, later, SERIAL, &given_last);
    let beat = beat_from(&mut x, LAN);
    assert!(matches!(hear(&mut y, later, &beat), Ok(Accepted::Beat(..))));
    assert_eq!(hear(&mut y, later, &beat), Err(Refusal::Number), "and only once");
    let recorded = beat_from(&mut x, LAN);
    let mut successor = half(Side::A, 3);
    shake(&mut successor, &mut y, later + GENERATION);
    assert_eq!(hear(&mut y, later + GENERATION, &recorded), Err(Refusal::Session), "not after the next run");
}

#[test]
fn a_recorded_beat_counts_once() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    shake(&mut x, &mut y, at(0));
    let frame = beat_from(&mut y, LAN);
    assert!(hear(&mut x, at(1), &frame).is_ok());
    assert_eq!(hear(&mut x, at(2), &frame), Err(Refusal::Number));
    assert_eq!(x.receive(at(2), SERIAL, PathKind::Serial, &frame), Err(Refusal::Path), "nor on another path");
}

#[test]
fn nothing_recorded_survives_a_restart_of_either_side() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    let mut recorded = shake(&mut x, &mut y, at(0));
    recorded.push(beat_from(&mut y, LAN));

    let mut restarted_y = half(Side::B, 3);
    shake(&mut x, &mut restarted_y, at(1_000));
    let mut restarted_x = half(Side::A, 4);
    for (step, frame) in (0u64..).zip(&recorded) {
        let now = at(2_000 + 100 * step);
        let result = hear(&mut x, now, frame);
        assert!(matches!(result, Err(_) | Ok(Accepted::Asked(_))), "{result:?}");
        assert_eq!(x.peer(), Some(restarted_y.incarnation()), "the living peer is not cut");
        let result = hear(&mut restarted_x, now, frame);
        assert!(matches!(result, Err(_) | Ok(Accepted::Asked(_))), "{result:?}");
        assert_eq!(restarted_x.peer(), None, "the dead one is not revived");
    }
}

#[test]
fn what_a_peer_said_to_our_last_run_counts_no_more_once_it_speaks_to_this_one() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    shake(&mut x, &mut y, at(0));
    let recorded = beat_from(&mut y, LAN);
    let mut restarted = half(Side::A, 4);
    shake(&mut restarted, &mut y, at(1_000));
    assert_eq!(restarted.peer(), Some(y.incarnation()));
    assert_eq!(hear(&mut restarted, at(1_100), &recorded), Err(Refusal::Session));
}

#[test]
fn a_frame_held_back_before_adoption_is_worthless_soon() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    let hello = y.seal_hello(Version::NEWEST, LAN);
    let Ok(Accepted::Asked(answer)) = hear(&mut x, at(0), &hello) else { panic!("a hello is answered") };
    let reply = x.seal_answer(LAN, answer);
    let Ok(Accepted::Asked(answer)) = hear(&mut y, at(0), &reply) else { panic!("so is a session") };
    let held_back = y.seal_answer(LAN, answer);
    let late = Instant::ORIGIN + GENERATION + GENERATION + GENERATION;
    assert_eq!(hear(&mut x, late, &held_back), Err(Refusal::Session));
}

#[test]
fn a_wrong_key_is_named_on_serial_and_costs_nothing_on_the_lan() {
    let (mut x, mut stranger) = (half(Side::A, 1), half_with_key(Side::B, 2, 9));
    let number = stranger.next_number();
    stranger.peer = Some(Adopted {
        incarnation: x.incarnation(),
        version: Version::One,
        expects: SessionValue::NONE,
        expects_too: SessionValue::NONE,
        gives: SessionValue([9; 4]),
        given_by: 0,
        is_mutual: true,
        newest: [0; MAX_PATHS],
        newest_aside: [0; MAX_PATHS],
    });
    let on_lan = stranger.seal_beat(LAN, number, &beat()).expect("has a peer");
    let on_serial = stranger.seal_beat(SERIAL, number, &beat()).expect("has a peer");
    assert_eq!(hear(&mut x, at(0), &on_lan), Err(Refusal::Session), "before the authenticator");
    assert_eq!(x.receive(at(0), SERIAL, PathKind::Serial, &on_serial), Err(Refusal::Authenticator));
}

#[test]
fn our_own_frames_and_our_double_are_told_apart() {
    let (mut x, mut double) = (half(Side::A, 1), half(Side::A, 2));
    let own = x.seal_hello(Version::NEWEST, SERIAL);
    assert_eq!(x.receive(at(0), SERIAL, PathKind::Serial, &own), Err(Refusal::Looped));
    let other = double.seal_hello(Version::NEWEST, SERIAL);
    assert_eq!(x.receive(at(0), SERIAL, PathKind::Serial, &other), Err(Refusal::SameNode));
}

#[test]
fn hellos_are_rate_limited() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    let answers =
        (0..1_000).filter(|_| hear(&mut x, at(0), &y.seal_hello(Version::NEWEST, LAN)).is_ok()).count();
    assert_eq!(answers, 1);
    assert!(hear(&mut x, at(50), &y.seal_hello(Version::NEWEST, LAN)).is_ok());
}

/// A host on the LAN that has no key, and one that has recorded what earlier runs of the peer said.
#[test]
fn no_flood_of_greetings_keeps_a_peer_out_that_was_started_again() {
    let mut x = half(Side::A, 1);
    let mut blind = half_with_key(Side::B, 9, 8);
    let mut recorded = half(Side::B, 8);
    let greeting = recorded.seal_hello(Version::NEWEST, LAN);
    for run in 10..60 {
        let mut y = half(Side::B, run);
        let begun = u64::from(run) * 100_000;
        let mut adopted_at = None;
        for ms in begun..begun + 60_000 {
            let _ = hear(&mut x, at(ms), &blind.seal_hello(Version::NEWEST, LAN));
            let _ = hear(&mut x, at(ms), &greeting);
            if ms % 100 == 99 && adopted_at.is_none() {
                shake(&mut x, &mut y, at(ms));
                adopted_at = (x.peer() == Some(y.incarnation())).then_some(ms - begun);
            }
            if adopted_at.is_some() {
                break;
            }
        }
        let took = adopted_at.expect("it is heard again");
        assert!(took <= 3 * GENERATION.as_ms(), "run {run} waited {took} ms");
    }
    assert_eq!(
        hear(&mut x, at(9_000_000), &blind.seal_hello(Version::NEWEST, LAN)),
        Err(Refusal::Authenticator)
    );
}

#[test]
fn used_up_numbers_start_a_new_incarnation() {
    let mut x = half(Side::A, 1);
    let before = x.incarnation();
    x.number = u32::MAX;
    assert_eq!(x.next_number(), 1);
    assert_ne!(x.incarnation(), before);
}

fn version_of(body: &Body) -> u8 {
    body.first().map_or(0, |first| first >> 4)
}

#[test]
fn two_that_speak_the_newest_version_speak_it() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    for frame in shake(&mut x, &mut y, at(0)) {
        assert_eq!(version_of(&frame), 2);
    }
    assert_eq!(version_of(&beat_from(&mut x, LAN)), 2);
    assert_eq!((x.version(), y.version()), (Some(Version::Two), Some(Version::Two)));
    assert_eq!([x.peers_build().as_str(), y.peers_build()], [crate::frame::BUILD; 2]);
}

#[test]
fn a_peer_that_speaks_the_old_version_gets_it_and_is_asked_more_and_more_rarely() {
    let (mut x, mut old) = (half(Side::A, 1), half(Side::B, 2));
    for frame in shake_in(Version::One, &mut x, &mut old, at(0)) {
        assert_eq!(version_of(&frame), 1);
    }
    assert_eq!(version_of(&beat_from(&mut x, LAN)), 1);
    assert_eq!(x.peers_build(), "", "the old version does not say");
    let asked: Vec<u64> = (0..20_000).filter(|s| x.next_hello(at(s * 1_000), true).is_some()).collect();
    assert_eq!(asked[..5], [0, 10, 30, 70, 150]);
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] <= 3_600), "{asked:?}");
}

#[test]
fn hellos_try_every_version_in_turn_while_nobody_is_heard() {
    let mut x = half(Side::A, 1);
    let said: Vec<_> = (0..4).map(|round| x.next_hello(at(round * 100), false)).collect();
    assert_eq!(said, [Version::Two, Version::One, Version::Two, Version::One].map(Some));
}

#[test]
fn two_that_met_in_the_old_version_go_on_in_the_newest() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    shake_in(Version::One, &mut x, &mut y, at(0));
    assert_eq!(version_of(&beat_from(&mut x, LAN)), 1);
    let hello = x.next_hello(at(100), true).expect("it asks");
    let hello = x.seal_hello(hello, LAN);
    assert!(hear(&mut y, at(100), &hello).is_ok());
    let beat = beat_from(&mut y, LAN);
    assert_eq!(version_of(&beat), 2, "one authentic frame is enough");
    assert!(matches!(hear(&mut x, at(101), &beat), Ok(Accepted::Beat(..))));
    assert_eq!(version_of(&beat_from(&mut x, LAN)), 2);
    assert_eq!(x.next_hello(at(200), true), None);
}

#[test]
fn a_box_that_goes_back_to_the_old_build_is_spoken_to_in_the_old_version() {
    let (mut x, mut y) = (half(Side::A, 1), half(Side::B, 2));
    let recorded = shake(&mut x, &mut y, at(0));
    let mut old = half(Side::B, 3);
    shake_in(Version::One, &mut x, &mut old, at(1_000));
    assert_eq!((x.peer(), x.version()), (Some(old.incarnation()), Some(Version::One)));
    for (step, frame) in (0u64..).zip(&recorded) {
        let _ = hear(&mut x, at(2_000 + 100 * step), frame);
        assert_eq!(x.version(), Some(Version::One), "frames of the run before say nothing of this one");
    }
}

#[test]
fn no_number_acknowledges_as_none_does() {
    let mut x = half(Side::A, 1);
    x.number = 0xffff;
    assert_eq!(x.next_number(), 0x1_0001);
}
