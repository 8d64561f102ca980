//! What a node says in its beats, where no decision shows it.

use super::*;
use crate::config::{CARRIER_DELAY, GroupPolicy, InJeopardy, PathPolicy, Speed};
use crate::frame::message::{ACK_LASTS, Ack, MAX_TERM};
use crate::frame::session::Entropy;
use crate::frame::{Body, Key, Keyring};
use crate::health::Lines;
use crate::pair::{GroupId, PathId, PathKind, Role};
use crate::quorum::facts::Standby;
use crate::quorum::forecast::{Forecast, NextFault, Prospect};
use crate::quorum::group::{CLAIM_SHOWN, DEFEND_EVERY, RETRY_AFTER};
use crate::quorum::probe::{Finding, Probe};
use crate::quorum::succession::Promise;
use crate::quorum::timers::Timer;
use crate::quorum::timing;
use crate::reasons::Block;
use crate::resource::{Condition, Fault, Token};
use crate::station::Station;

const LAN: PathId = PathId(0);
const CABLE: PathId = PathId(1);
const BOTH: [Side; 2] = [Side::A, Side::B];

fn node(me: Side, run: u8, now: Instant) -> Station {
    node_on(&[PathPolicy::new(PathKind::Lan, Speed::Normal.timing())], me, run, now)
}

fn node_on(paths: &[PathPolicy], me: Side, run: u8, now: Instant) -> Station {
    let policy = Policy {
        paths: paths.iter().copied().collect(),
        groups: [GroupPolicy::addresses_only(1, None).on([LAN])].into_iter().collect(),
        lease: Span::from_s(3),
        cold_start: Span::from_s(60),
        carrier_delay: CARRIER_DELAY,
        in_jeopardy: InJeopardy::Hold,
        witnesses: 0,
        has_vote: false,
        digest: [0; 4],
    };
    let keys = Keyring::new("pair", &[Key { id: 1, bytes: [7; 16].into_iter().collect() }]);
    Station::new("pair", policy, me, keys, Entropy { incarnation: [run; 8], secret: [run; 16] }, now)
}

/// Ticks both, whose guards live, every 50 ms for so long, and carries what the nodes send whose side
/// `is_heard` names; their records.
fn run(
    nodes: &mut [Station; 2],
    now: &mut Instant,
    lasts: Span,
    is_heard: [bool; 2],
) -> std::vec::Vec<Record> {
    let mut records = std::vec::Vec::new();
    let end = *now + lasts;
    while *now < end {
        *now = *now + Span::from_ms(50);
        let mut queue: std::vec::Vec<(Side, Option<Body>)> = BOTH.map(|side| (side, None)).into();
        while let Some((side, body)) = queue.pop() {
            let mut effects = Effects::new();
            nodes[side.index()].step(*now, Event::GuardAlive, &mut effects);
            match body {
                Some(body) => nodes[side.index()].hear(*now, LAN, &body, &mut effects),
                None => nodes[side.index()].step(*now, Event::Tick, &mut effects),
            }
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

fn acquainted() -> ([Station; 2], Instant) {
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
    assert_eq!(
        nodes[1].acknowledgement(now),
        Ack::Whole(0),
        "some day another number would have its low bits"
    );
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

const GATEWAY: GroupId = GroupId(0);
const ONLY: usize = 0;
/// Of a kernel, and of another box.
const EACCES: i32 = 13;
const PEER: [u8; 6] = [2; 6];
const STRANGER: [u8; 6] = [4; 6];

/// A pair that is well: A serves and B stands by.
fn at_work() -> ([Station; 2], Instant) {
    let (mut nodes, mut now) = acquainted();
    for node in &mut nodes {
        node.step(now, Event::Carrier(GATEWAY, true), &mut Effects::new());
    }
    let group = &mut nodes[0].groups[ONLY];
    (group.role, group.active_since, group.term, group.held_term) = (Role::Active, Some(now), 1, 1);
    run(&mut nodes, &mut now, Span::from_s(3), [true; 2]);
    (nodes, now)
}

/// For whole seconds: what a node says that it could not do, the peer neither, and nobody does.
fn told(node: &Station, now: Instant) -> [Option<u64>; 3] {
    let status = node.status(now);
    let group = &status.groups[ONLY];
    [group.unable, group.peer_unable, group.unserved]
        .map(|span| span.map(|span| span.as_ms().div_ceil(1_000)))
}

#[test]
fn what_keeps_a_node_from_serving_is_told_by_both() {
    type Cause = fn(&mut Station, Instant);
    let carrier: Cause = |node, now| node.step(now, Event::Carrier(GATEWAY, false), &mut Effects::new());
    let refused: Cause = |node, _| node.groups[ONLY].fault = Some(Fault::Refused(0, EACCES));
    let guard: Cause = |node, now| node.step(now, Event::GuardLost, &mut Effects::new());
    let unfit: Cause = |node, _| node.groups[ONLY].condition = Condition::Unfit(0);
    let faulty: Cause = |node, _| node.groups[ONLY].role = Role::Faulty;
    let restarting: Cause = |node, _| node.groups[ONLY].condition = Condition::Restarting(0);
    let standby: Cause = |node, _| node.restraint.standby = Standby::Forced;
    let (none, long) = ([None; 3], Some(2));
    // Who, what, and for how many seconds who tells it and its peer say: I could not, you could not, nobody
    // serves.
    for (index, (side, cause, ours, theirs)) in [
        (Side::A, restarting, none, none),
        (Side::B, carrier, [long, None, None], [None, long, None]),
        (Side::B, refused, [long, None, None], [None, long, None]),
        (Side::B, guard, [long, None, None], [None, long, None]),
        (Side::B, faulty, [long, None, None], [None, long, None]),
        // What people ask for is told apart.
        (Side::B, standby, none, none),
        (Side::A, guard, [long, None, long], [None, long, None]),
        (Side::A, carrier, [long, None, long], [None, long, None]),
        (Side::A, unfit, [long, None, long], none),
        (Side::A, refused, [long, None, long], none),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut nodes, mut now) = at_work();
        assert_eq!(BOTH.map(|side| told(&nodes[side.index()], now)), [none; 2]);
        if side == Side::A {
            // Else it would hand over.
            standby(&mut nodes[1], now);
            run(&mut nodes, &mut now, Span::from_s(1), [true; 2]);
        }
        cause(&mut nodes[side.index()], now);
        // Some of them are no event.
        nodes[side.index()].stir();
        run(&mut nodes, &mut now, Span::from_s(2), [true; 2]);
        let said = [side, side.peer()].map(|side| told(&nodes[side.index()], now));
        assert_eq!(said, [ours, theirs], "case {index}");
    }
}

/// Nothing happens, and no deadline comes: what only the clock changes is seen all the same.
#[test]
fn a_node_at_rest_looks_at_everything_with_every_tenth_beat() {
    let (mut nodes, mut now) = at_work();
    let backup = Side::B.index();
    assert!(!nodes[backup].is_stirred());
    let Times { interval, look_every, .. } = nodes[backup].times;
    for _ in 0..5 {
        let look_at = nodes[backup].look_at;
        assert!(look_at > now && look_at <= now + look_every);
        run(&mut nodes, &mut now, look_every + interval, [true; 2]);
        assert!(nodes[backup].look_at > look_at);
    }
}

/// The peer may have taken over meanwhile.
#[test]
fn after_a_stall_nothing_is_renewed_before_the_peer_was_heard() {
    let (mut nodes, mut now) = at_work();
    let serving = &mut nodes[0];
    let is_renewed = |node: &mut Station, now| {
        node.groups[ONLY].timers.set(Timer::Renewal, now);
        let mut effects = Effects::new();
        node.step(now, Event::Tick, &mut effects);
        let is_renewal = |effect: &Effect| match effect {
            Effect::Order(ticket) => matches!(ticket.order, Order::Renew { .. }),
            _ => false,
        };
        effects.iter().any(is_renewal)
    };
    assert!(is_renewed(serving, now));
    let Times { interval, stalled_after, .. } = serving.times;
    now = serving.due_at(now) + stalled_after + Span::from_ms(1);
    for part in 0..4 {
        let at = now + interval.fraction(part, 4);
        assert!(!is_renewed(serving, at), "{part} quarters of an interval after it");
    }
    run(&mut nodes, &mut now, interval + interval, [true; 2]);
    assert!(is_renewed(&mut nodes[0], now));
}

/// A peer that is not heard serves, as far as a node can tell that may not take over itself, if its box
/// answers for the address. Where the MAC of that box is not known, a stranger may be the one that answers.
#[test]
fn an_answer_on_the_wire_tells_who_serves_where_nobody_is_heard() {
    let restraints: [fn(Instant) -> Restraint; 3] = [
        |_| Restraint::default(),
        |_| Restraint { standby: Standby::Asked, ..Restraint::default() },
        |now| Restraint { maintenance_until: Some(now + Span::from_s(99)), ..Restraint::default() },
    ];
    for is_known in [false, true] {
        for (mac, is_served) in [(None, false), (Some(PEER), is_known), (Some(STRANGER), false)] {
            for restraint in restraints {
                let (mut nodes, mut now) = at_work();
                if is_known {
                    nodes[1].step(now, Event::PeerAnswered(Some(LAN), PEER), &mut Effects::new());
                }
                nodes[1].restraint = restraint(now);
                for _ in 0..100 {
                    run(&mut nodes, &mut now, Span::from_ms(50), [false, true]);
                    if let Some(mac) = mac {
                        nodes[1].step(now, Event::VipAnswered(GATEWAY, mac, None), &mut Effects::new());
                    }
                }
                assert_eq!(nodes[1].verdict, Verdict::Dead);
                let [_, _, unserved] = told(&nodes[1], now);
                assert_eq!(
                    unserved.is_none(),
                    is_served,
                    "{mac:?}, known: {is_known}, {:?}",
                    nodes[1].restraint
                );
            }
        }
    }
}

/// Who has let go claims nothing any more. Of a frame that was on its way then nothing is said either; of a
/// later one it is.
#[test]
fn what_a_rival_claimed_is_settled_when_it_has_let_go() {
    let (mut nodes, mut now) = at_work();
    let claimed = |node: &Station, now| node.status(now).groups[ONLY].foreign_mac;
    let claim = |node: &mut Station, now| {
        node.step(now, Event::VipAnswered(GATEWAY, PEER, None), &mut Effects::new())
    };
    claim(&mut nodes[0], now);
    assert_eq!(claimed(&nodes[0], now), Some(PEER));
    nodes[0].note_tie(now, GATEWAY);
    run(&mut nodes, &mut now, Span::from_ms(200), [true; 2]);
    assert!(nodes[0].groups[ONLY].tied.is_none(), "gw2 does not serve");
    assert_eq!(claimed(&nodes[0], now), None);
    claim(&mut nodes[0], now);
    assert_eq!(claimed(&nodes[0], now), None);
    run(&mut nodes, &mut now, DEFEND_EVERY, [true; 2]);
    claim(&mut nodes[0], now);
    assert_eq!(claimed(&nodes[0], now), Some(PEER));
}

/// What a node says would become of the group if the box that serves it lost its power now.
fn prospect(node: &Station, now: Instant) -> Prospect {
    let all = node.forecasts(now);
    let of = |forecast: &&Forecast| forecast.loss == NextFault::Power(Side::A);
    all.iter().find(of).expect("a forecast").groups[ONLY]
}

/// A box that is neither node claims what is served: whoever would have to take it next would wait for it.
/// Both say so, for as long as the claim is shown.
#[test]
fn a_stranger_at_the_address_is_told_of_before_a_takeover_fails() {
    for (mac, on, is_told) in [
        (STRANGER, Some((0, LAN)), [true, true]),
        (STRANGER, None, [true, false]),
        (PEER, Some((0, LAN)), [false, false]),
    ] {
        let (mut nodes, mut now) = at_work();
        for node in &mut nodes {
            node.step(now, Event::PeerAnswered(Some(LAN), PEER), &mut Effects::new());
            assert!(matches!(prospect(node, now), Prospect::TakenOver(_)));
            node.step(now, Event::VipAnswered(GATEWAY, mac, on), &mut Effects::new());
        }
        let blocked = Prospect::NotTaken(Block::VipAnswers);
        let tell = |nodes: &[Station; 2], now| [0, 1].map(|index| prospect(&nodes[index], now) == blocked);
        assert_eq!(tell(&nodes, now), is_told, "{mac:?} {on:?}");
        let shown = nodes[1].status(now).groups[ONLY].foreign_mac;
        assert_eq!(shown, Some(STRANGER).filter(|_| is_told[1]));
        run(&mut nodes, &mut now, CLAIM_SHOWN + DEFEND_EVERY, [true; 2]);
        assert_eq!(tell(&nodes, now), [false; 2]);
        assert_eq!(nodes[1].status(now).groups[ONLY].foreign_mac, None);
    }
}

/// Another network card of the peer claims the address before it has said whose it is.
#[test]
fn a_claim_of_the_peers_new_card_is_no_strangers() {
    let (mut nodes, now) = at_work();
    let node = &mut nodes[1];
    for event in [
        Event::PeerAnswered(Some(LAN), PEER),
        Event::VipAnswered(GATEWAY, STRANGER, Some((0, LAN))),
        Event::PeerAnswered(Some(LAN), STRANGER),
    ] {
        node.step(now, event, &mut Effects::new());
    }
    assert_eq!(node.status(now).groups[ONLY].foreign_mac, None);
}

/// What has failed for an address that the kernel did not take waits no longer than that is so.
#[test]
fn what_the_kernel_refused_is_tried_again_when_it_takes_it() {
    const ENODEV: i32 = 19;
    for (role, fault, is_over) in [
        (Role::Backup, Fault::Refused(0, ENODEV), true),
        (Role::Faulty, Fault::Refused(0, ENODEV), true),
        (Role::Faulty, Fault::ScriptStart(0), false),
    ] {
        let (mut nodes, mut now) = at_work();
        let group = &mut nodes[1].groups[ONLY];
        (group.role, group.fault) = (role, Some(fault));
        group.timers.set(Timer::Retry, now + RETRY_AFTER);
        nodes[1].step(now, Event::AddressRefused(GATEWAY, None), &mut Effects::new());
        run(&mut nodes, &mut now, Span::from_ms(500), [true; 2]);
        let group = &nodes[1].groups[ONLY];
        let is_well = (group.role, group.fault) == (Role::Backup, None);
        assert_eq!(is_well, is_over, "{role:?} {fault:?}");
    }
}

/// A node on a cable slower than its LAN, and when the lines of the cable dropped.
fn cut_off_behind_a_slow_cable() -> (Station, Instant) {
    let mut now = Instant::from_us(1_000_000);
    let fast = PathPolicy::new(PathKind::Lan, Speed::Normal.timing());
    let slow = PathPolicy::new(PathKind::Serial, Speed::Gentle.timing());
    let mut node = node_on(&[fast, slow], Side::A, 1, now);
    node.step(now, Event::PathOpened(CABLE), &mut Effects::new());
    let lines = |is_on| Some(Lines { peer_runs: is_on, peer_holds: is_on });
    let cable = &mut node.paths[CABLE.index()].detector;
    for _ in 0..10 {
        now = now + slow.timing.interval;
        cable.note_lines(now, lines(true));
        cable.hear(now, now);
    }
    cable.note_lines(now, lines(false));
    assert_eq!(node.lines_dropped_at(), Some(now));
    (node, now)
}

#[test]
fn a_holder_whose_lines_dropped_hastens_by_its_slowest_path() {
    let (mut node, dropped_at) = cut_off_behind_a_slow_cable();
    // The peer looks at its lines once an interval of the cable, and may hear us elsewhere until then.
    node.peer.succeed(Some(dropped_at + Span::from_ms(1_900)), None, None);
    assert!(node.is_in_haste());
    node.peer.succeed(Some(dropped_at + Span::from_ms(2_100)), None, None);
    assert!(!node.is_in_haste(), "the peer has heard us long after the drop");
}

#[test]
fn an_answer_long_after_the_lines_dropped_counts_however_slow_the_cable_is() {
    let (mut node, dropped_at) = cut_off_behind_a_slow_cable();
    node.is_power_loss = true;
    let late = dropped_at + Span::from_s(20);
    for (answered_at, counts) in [(Span::from_ms(200), false), (Span::from_ms(400), true)] {
        let mut probe = Probe::default();
        probe.peer_answered(dropped_at + answered_at, None);
        for asked_at in [late, late + Span::from_ms(200)] {
            probe.ask(asked_at, Token(1));
            probe.sent(asked_at, Span::from_s(1));
        }
        node.groups[ONLY].probe = probe;
        node.age_answers();
        let [interval, wait] = [Span::from_ms(200), Span::from_ms(100)];
        let found = node.groups[ONLY].probe.finding(late + Span::from_ms(300), interval, wait, Span::ZERO);
        assert_eq!(found == Finding::PeerAnswers, counts, "{answered_at:?}: {found:?}");
    }
}
