//! What a node says in its beats, where no decision shows it.

use super::*;
use crate::config::{GroupPolicy, InJeopardy, PathId, PathKind, PathPolicy, Speed};
use crate::frame::message::{ACK_LASTS, Ack, MAX_TERM};
use crate::frame::{Body, Key};
use crate::quorum::succession::Promise;
use crate::quorum::timing;

const LAN: PathId = PathId(0);
const BOTH: [Side; 2] = [Side::A, Side::B];

fn node(me: Side, run: u8, now: Instant) -> Node {
    let path = PathPolicy { kind: PathKind::Lan, timing: Speed::Normal.timing() };
    let policy = Policy {
        paths: [path].into_iter().collect(),
        groups: [GroupPolicy::addresses_only(1, None)].into_iter().collect(),
        lease: Span::from_s(3),
        cold_start: Span::from_s(60),
        in_jeopardy: InJeopardy::Hold,
        witnesses: 0,
        digest: [0; 4],
    };
    let keys = Keyring::new("pair", &[Key { id: 1, bytes: [7; 16].into_iter().collect() }]);
    Node::new("pair", policy, me, keys, Entropy { incarnation: [run; 8], secret: [run; 16] }, now)
}

/// Ticks both every 50 ms for so long, and carries what the nodes send whose side `is_heard` names; their records.
fn run(nodes: &mut [Node; 2], now: &mut Instant, lasts: Span, is_heard: [bool; 2]) -> std::vec::Vec<Record> {
    let mut records = std::vec::Vec::new();
    let end = *now + lasts;
    while *now < end {
        *now = *now + Span::from_ms(50);
        let mut queue: std::vec::Vec<(Side, Option<Body>)> = BOTH.map(|side| (side, None)).into();
        while let Some((side, body)) = queue.pop() {
            let mut effects = Effects::new();
            let event: Event<'_> = body.as_ref().map_or(Event::Tick, |body| Event::Datagram(LAN, body));
            nodes[side.index()].step(*now, event, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Send(_, body) if is_heard[side.index()] => queue.push((side.peer(), Some(body))),
                    Effect::Record(record) => records.push(record),
                    _ => {}
                }
            }
        }
    }
    records
}

fn acquainted() -> ([Node; 2], Instant) {
    let mut now = Instant::from_us(1_000_000);
    let mut nodes = [node(Side::A, 1, now), node(Side::B, 2, now)];
    for node in &mut nodes {
        node.step(now, Event::PathOpened(LAN), &mut Effects::new());
    }
    run(&mut nodes, &mut now, Span::from_s(3), [true; 2]);
    (nodes, now)
}

#[test]
fn an_acknowledgement_is_not_said_for_ever() {
    let (mut nodes, mut now) = acquainted();
    assert_ne!(nodes[1].acknowledgement(now), Ack::Whole(0), "just heard");
    let newest = nodes[1].acknowledgement(now);
    run(&mut nodes, &mut now, ACK_LASTS.saturating_sub(Span::from_s(1)), [false, true]);
    assert_eq!(nodes[1].acknowledgement(now), newest, "the same, still");
    run(&mut nodes, &mut now, Span::from_s(1), [false, true]);
    assert_eq!(nodes[1].acknowledgement(now), Ack::Whole(0), "some day another number would have its low bits");
    run(&mut nodes, &mut now, Span::from_s(1), [true; 2]);
    assert_ne!(nodes[1].acknowledgement(now), Ack::Whole(0));
}

#[test]
fn terms_that_are_used_up_are_said_once() {
    let (mut nodes, mut now) = acquainted();
    nodes[0].groups[0].term = MAX_TERM;
    let said = run(&mut nodes, &mut now, Span::from_s(5), [true; 2]);
    let used_up = said.iter().filter(|record| matches!(record, Record::TermsUsedUp(_)));
    assert_eq!(used_up.count(), 1, "by the one that hears of it");
    assert_eq!(nodes[1].groups[0].term, MAX_TERM);
}

/// The peer holds by what it was told last, and that may be of another run.
#[test]
fn what_another_run_announced_binds_until_the_peer_knows_this_one() {
    let (nodes, now) = acquainted();
    let own = nodes[1].slowest_dead_after();
    assert_eq!(nodes[1].takes_by(), own, "the peer has acknowledged this run");
    let mut next = node(Side::B, 3, now);
    assert_eq!(next.takes_by(), crate::config::MAX_DEAD_AFTER, "nobody knows what was announced");
    next.promise = Some(Promise { hold: own, take: own + own });
    assert_eq!(next.takes_by(), own + own);
}

/// By faster times the peer takes no sooner than it can have heard of them.
#[test]
fn who_has_read_faster_times_holds_by_the_old_ones_until_it_has_said_something() {
    let (nodes, now) = acquainted();
    let (own, old) = (nodes[1].slowest_dead_after(), Span::from_s(9));
    let mut next = node(Side::B, 3, now);
    next.peer.succeed(Some(now), None, None);
    next.promise = Some(Promise { hold: old, take: old });
    assert_eq!(next.forced_release_at(), now + timing::release_start(old), "nobody has heard of this run");
    let told_at = now + own;
    next.spoke_at = Some(told_at);
    assert_eq!(next.forced_release_at(), told_at + timing::release_start(own));
    next.spoke_at = Some(now + old);
    assert_eq!(next.forced_release_at(), now + timing::release_start(old), "the old promise has an end");
}
