//! The decision, told as stories in virtual time: two nodes of the shipped core, a cable, a LAN, two kernels.
//!
//! Times are those of the failure catalogue: interval 100 ms, late_after 300 ms, dead_after 500 ms, lease 1
//! s.

#[path = "../src/workbench/simulate/mod.rs"]
#[expect(dead_code, reason = "the stories use a part of the simulator")]
mod simulate;

#[path = "decision/forecasts.rs"]
mod forecasts;

use crosswire::config::{GroupPolicy, SafetyRule};
use crosswire::frame::session::Entropy;
use crosswire::frame::{Key, Keyring};
use crosswire::health::PathState;
use crosswire::pair::{GroupId, PathId, Side, Trouble};
use crosswire::quorum::event::Demand;
use crosswire::quorum::record::{Incident, Record};
use crosswire::quorum::succession::{Deposit, Holding, Stage, Succession};
use crosswire::quorum::{Effect, Effects, Event};
use crosswire::reasons::{Block, ReleaseReason, Verdict};
use crosswire::resource::{Order, Outcome, ReleaseOrder, Token};
use crosswire::station::Station;
use crosswire::time::{Instant, Span};
use simulate::fault::{Fault, Noise, Way};
use simulate::setup::Setup;
use simulate::world::World;

const SERIAL: PathId = PathId(0);
const LAN: PathId = PathId(1);
const GATEWAY: GroupId = GroupId(0);

fn ms(ms: u64) -> Span {
    Span::from_ms(ms)
}

/// Both boxes up, A active.
fn pair(seed: u64) -> World {
    let mut world = World::new(Setup::reference(), seed);
    world.befall(Fault::PowerOn(Side::A));
    world.run_for(ms(37));
    world.befall(Fault::PowerOn(Side::B));
    // 300 ms of boot
    let took = world.run_until(Span::from_s(5), |w| w.holders(GATEWAY) == [Side::A]);
    assert!(took.is_some_and(|took| took <= ms(1_300)), "one active within a second: {took:?}");
    world.run_for(Span::from_s(2));
    world.begin_story();
    world
}

fn is_jeopardy(world: &World, side: Side) -> bool {
    let now = world.gateway(side).clock.local(world.now());
    world.node(side).expect("runs").status(now).jeopardy.is_some()
}

fn assert_no_overlap(world: &World) {
    assert_eq!(world.watch.past_overlaps, [], "two holders; story: {:#?}", world.story);
    assert_eq!(world.watch.violation, None, "story: {:#?}", world.story);
}

#[test]
fn power_cut_of_the_active_is_taken_over_after_dead_after() {
    let mut world = pair(1);
    world.befall(Fault::PowerCut(Side::A));
    let took = world.run_until(Span::from_s(5), |w| w.holds(Side::B, GATEWAY)).expect("B takes over");
    assert!(took <= ms(550), "{took}");
    assert_no_overlap(&world);
}

#[test]
fn killed_daemons_leave_the_address_for_a_lease_and_no_longer() {
    let mut world = pair(2);
    world.befall(Fault::Kill(Side::A));
    let took = world.run_until(Span::from_s(5), |w| w.holds(Side::B, GATEWAY)).expect("B takes over");
    assert!(took >= ms(900) && took <= ms(1_400), "{took}");
    assert_no_overlap(&world);
}

#[test]
fn one_path_cut_alone_moves_nothing() {
    for path in [SERIAL, LAN] {
        let mut world = pair(3);
        world.befall(Fault::Cut(path, Way::Both));
        world.run_for(ms(600));
        for side in [Side::A, Side::B] {
            assert!(is_jeopardy(&world, side), "jeopardy within 600 ms");
        }
        world.run_for(Span::from_s(60));
        assert_eq!(world.holders(GATEWAY), [Side::A]);
        world.befall(Fault::Mend(path));
        world.run_for(ms(300));
        assert!(!is_jeopardy(&world, Side::B), "cleared by repair");
        assert_no_overlap(&world);
    }
}

/// Somebody without a key passes the beats of the LAN on, and holds them back for less than dead_after, or
/// for much longer.
#[test]
fn a_lan_on_which_beats_are_held_back_speaks_for_nobody_who_has_died_since() {
    for seed in 0..10 {
        let mut world = pair(seed);
        world.befall(Fault::Delay(LAN, ms(450)));
        world.run_for(Span::from_s(3));
        world.befall(Fault::PowerCut(Side::A));
        let took = world.run_until(Span::from_s(5), |w| w.holds(Side::B, GATEWAY)).expect("B takes over");
        assert!(took <= ms(550), "as if nobody were there: {took}");
        assert_no_overlap(&world);

        let mut world = pair(seed);
        world.befall(Fault::Delay(LAN, Span::from_s(30)));
        let said = world.run_until(Span::from_s(5), |w| is_jeopardy(w, Side::B));
        assert!(said.is_some(), "such a path is none, and that is said while both live");
        world.run_for(Span::from_s(1));
        world.befall(Fault::PowerCut(Side::A));
        let cable = |w: &World| {
            let now = w.gateway(Side::B).clock.local(w.now());
            w.node(Side::B).expect("runs").status(now).paths[SERIAL.index()].state
        };
        let broken = world.run_until(Span::from_s(20), |w| cable(w) == PathState::Broken);
        assert_eq!(broken, None, "the cable is not broken by what it had brought before");
        assert_no_overlap(&world);
    }
}

/// At rest the LAN brings every beat first, and the cable is read when something else wakes the node. A beat
/// that the LAN does not bring in time is read from the cable as soon as it is there.
#[test]
fn a_cable_waits_for_the_lan_and_for_no_beat_that_the_lan_has_lost() {
    let mut world = pair(3);
    let local = |w: &World| w.gateway(Side::B).clock.local(w.now());
    let waits_until = |w: &World| w.node(Side::B).expect("runs").waits_until(SERIAL);
    let waits = world.run_until(ms(200), |w| waits_until(w) > local(w));
    assert!(waits.is_some(), "the LAN is ahead");
    assert_eq!(
        world.node(Side::B).expect("runs").waits_until(LAN),
        Instant::ORIGIN,
        "what is urgent comes by it"
    );
    world.befall(Fault::Cut(LAN, Way::Both));
    world.run_for(ms(250));
    for _ in 0..1_000 {
        world.run_for(ms(1));
        assert!(waits_until(&world) <= local(&world), "nothing is left to wait for");
        let heard = world.node(Side::B).expect("runs").status(local(&world)).paths[SERIAL.index()].heard;
        assert!(
            heard.is_some_and(|age| age <= ms(115)),
            "read when it came, not at the next beat: {heard:?}"
        );
    }
}

/// How often jeopardy was said to begin, or to be over, since the story began.
fn jeopardy_said(world: &World, side: Side, is_on: bool) -> usize {
    world.recorded().filter(|(who, record)| *who == side && **record == Record::Jeopardy(is_on)).count()
}

/// One path hears the other node before the other path does: neither a start nor a restart is a reason to
/// warn. A path that is dead from the start is.
#[test]
fn a_start_is_no_jeopardy() {
    for seed in 0..20 {
        let mut world = pair(seed);
        world.befall(Fault::Kill(Side::B));
        world.run_for(Span::from_s(5));
        world.befall(Fault::Start(Side::B));
        world.run_for(Span::from_s(5));
        assert_eq!(jeopardy_said(&world, Side::B, true), 0, "seed {seed}");
        world.befall(Fault::Cut(SERIAL, Way::Both));
        world.befall(Fault::Kill(Side::B));
        world.run_for(Span::from_s(5));
        world.befall(Fault::Start(Side::B));
        world.run_for(Span::from_s(5));
        assert_eq!(jeopardy_said(&world, Side::B, true), 1, "seed {seed}");
    }
}

/// A kernel that goes down, a BIOS or a getty prints on the cable while the peer is off: jeopardy is not
/// over, and over again, because nobody is there.
#[test]
fn jeopardy_is_not_over_beside_a_peer_that_is_off() {
    let mut world = pair(60);
    world.befall(Fault::PowerCut(Side::A));
    world.run_until(Span::from_s(5), |w| w.holds(Side::B, GATEWAY)).expect("B takes over");
    for _ in 0..14 {
        world.befall(Fault::Noise(SERIAL, Side::B, Noise::Text, ms(50)));
        world.run_for(ms(2_200));
    }
    assert_eq!(jeopardy_said(&world, Side::B, false), 0, "nobody is there");
    assert!(jeopardy_said(&world, Side::B, true) <= 1);
    assert_no_overlap(&world);
}

/// A path that comes and goes: the end of jeopardy is said at once the first time, then when it has lasted.
#[test]
fn jeopardy_that_comes_and_goes_is_over_when_that_has_lasted() {
    let mut world = pair(61);
    for _ in 0..15 {
        world.befall(Fault::Cut(LAN, Way::Both));
        world.run_for(Span::from_s(2));
        world.befall(Fault::Mend(LAN));
        world.run_for(Span::from_s(2));
        assert!(!is_jeopardy(&world, Side::B), "`status` knows at once");
    }
    assert_eq!([true, false].map(|is_on| jeopardy_said(&world, Side::B, is_on)), [2, 1]);
    world.run_for(Span::from_s(10));
    assert_eq!(jeopardy_said(&world, Side::B, false), 2, "it has lasted");
    assert_no_overlap(&world);
}

#[test]
fn serial_dead_for_long_and_then_the_lan_cut_is_doubtful() {
    let mut world = pair(4);
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.run_for(Span::from_s(10));
    world.befall(Fault::Cut(LAN, Way::Both));
    world.run_for(Span::from_s(60));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

#[test]
fn both_cut_at_once_is_the_documented_split_and_heals_at_the_first_frame() {
    let mut world = pair(5);
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.befall(Fault::Cut(LAN, Way::Both));
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY), [Side::A, Side::B]);
    world.befall(Fault::Mend(LAN));
    let took = world.run_until(Span::from_s(5), |w| w.holders(GATEWAY).len() == 1).expect("one yields");
    assert!(took <= ms(200), "{took}");
    assert_eq!(world.holders(GATEWAY), [Side::B], "the higher term wins");
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY), [Side::B]);
    for (side, is_kept) in [(Side::A, false), (Side::B, true)] {
        let [incident] = incidents(&world, side)[..] else { panic!("one incident: {:?}", world.story) };
        assert_eq!((incident.group, incident.is_kept), (GATEWAY, is_kept));
        assert!(incident.began >= ms(9_400) && incident.began <= ms(10_400), "{incident:?}");
        assert!(incident.settled_in <= ms(300), "{incident:?}");
        assert!(incident.unheard.is_some_and(|span| span >= ms(9_900) && span <= ms(10_400)), "{incident:?}");
    }
}

fn incidents(world: &World, by: Side) -> Vec<Incident> {
    let incident = |(side, record): (Side, &Record)| match record {
        Record::Incident(incident) if side == by => Some(*incident),
        _ => None,
    };
    world.recorded().filter_map(incident).collect()
}

#[test]
fn one_way_loss_never_makes_two_holders() {
    for deaf in [Side::A, Side::B] {
        let mut world = pair(6);
        for path in [SERIAL, LAN] {
            world.befall(Fault::Cut(path, Way::From(deaf.peer())));
        }
        world.run_for(Span::from_s(30));
        assert_no_overlap(&world);
        assert_eq!(world.holders(GATEWAY).len(), 1, "and never none: {deaf:?}");
    }
}

#[test]
fn a_planned_handover_is_quick_and_clean() {
    let mut world = pair(7);
    world.befall(Fault::Handover(Side::A, GATEWAY));
    let took = world.run_until(Span::from_s(5), |w| w.holds(Side::B, GATEWAY)).expect("B acquires");
    assert!(took <= ms(15), "{took}");
    world.run_for(Span::from_s(30));
    assert_eq!(world.holders(GATEWAY), [Side::B], "no failback by itself");
    world.befall(Fault::Takeover(Side::A, GATEWAY));
    let took = world.run_until(Span::from_s(5), |w| w.holds(Side::A, GATEWAY)).expect("A gets it back");
    assert!(took <= ms(15), "{took}");
    assert_no_overlap(&world);
}

#[test]
fn sigterm_hands_over_and_says_goodbye() {
    let mut world = pair(8);
    world.befall(Fault::Stop(Side::A));
    let took = world.run_until(Span::from_s(5), |w| w.holds(Side::B, GATEWAY)).expect("B acquires");
    assert!(took <= ms(15), "{took}");
    world.run_for(Span::from_s(1));
    assert!(world.gateway(Side::A).guard.is_none(), "in bounded time");
    world.run_for(Span::from_s(100));
    assert_eq!(world.holders(GATEWAY), [Side::B]);
    world.befall(Fault::Start(Side::A));
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY), [Side::B], "a returning node does not disturb");
    assert_no_overlap(&world);
}

#[test]
fn a_restarted_backup_is_heard_again_and_nothing_moves() {
    let mut world = pair(9);
    for _ in 0..5 {
        world.befall(Fault::Kill(Side::B));
        world.run_for(ms(130));
        world.befall(Fault::Start(Side::B));
        world.run_for(ms(900));
        assert_eq!(world.holders(GATEWAY), [Side::A]);
        assert!(!is_jeopardy(&world, Side::A));
    }
    assert_no_overlap(&world);
}

#[test]
fn alone_a_node_serves_after_cold_start() {
    let mut world = World::new(Setup::reference(), 10);
    world.befall(Fault::PowerOn(Side::B));
    let took = world.run_until(Span::from_s(90), |w| w.holds(Side::B, GATEWAY)).expect("B serves");
    assert!(took >= Span::from_s(60) && took <= Span::from_s(62), "{took}");
}

/// The backup had no power when the daemons of the other node were killed and the LAN was cut: only the
/// kernel holds the address there, for a lease that is longer than the cold start.
#[test]
fn a_cold_start_is_never_shorter_than_the_lease_that_a_group_waits_for() {
    let mut setup = Setup::reference();
    setup.policy.groups[0].safety = SafetyRule::Lease;
    setup.policy.lease = Span::from_s(30);
    setup.policy.cold_start = ms(1_600);
    let mut world = World::new(setup, 15);
    world.befall(Fault::PowerOn(Side::A));
    world.befall(Fault::PowerOn(Side::B));
    world.run_until(Span::from_s(5), |w| w.holders(GATEWAY) == [Side::A]).expect("A serves");
    world.befall(Fault::PowerCut(Side::B));
    world.run_for(Span::from_s(1));
    world.befall(Fault::Kill(Side::A));
    world.befall(Fault::Cut(LAN, Way::Both));
    world.befall(Fault::PowerOn(Side::B));
    let took = world.run_until(Span::from_s(90), |w| w.holds(Side::B, GATEWAY)).expect("B serves");
    assert!(took >= Span::from_s(31) && took <= Span::from_s(33), "{took}");
    assert_no_overlap(&world);
}

#[test]
fn a_node_that_can_say_goodbye_on_no_path_leaves_at_once() {
    let mut world = pair(16);
    world.befall(Fault::PortLost(SERIAL, Side::A));
    world.befall(Fault::LinkDown(LAN, Side::A));
    world.run_for(Span::from_s(3));
    world.befall(Fault::Stop(Side::A));
    let took = world.run_until(Span::from_s(5), |w| w.node(Side::A).is_none()).expect("it ends");
    assert!(took <= ms(200), "{took}");
    assert_no_overlap(&world);
}

#[test]
fn different_keys_never_make_two_holders() {
    let mut world = pair(11);
    world.befall(Fault::PowerCut(Side::B));
    world.run_for(Span::from_s(5));
    world.befall(Fault::Key(Side::B, 9));
    world.befall(Fault::PowerOn(Side::B));
    world.run_for(Span::from_s(200));
    assert_eq!(world.holders(GATEWAY), [Side::A], "the running one keeps serving");
    assert_no_overlap(&world);
}

#[test]
fn a_frozen_active_takes_nothing_back_on_waking() {
    let mut world = pair(12);
    world.befall(Fault::Hang(Side::A));
    let took = world.run_until(Span::from_s(5), |w| w.holds(Side::B, GATEWAY)).expect("B serves");
    assert!(took <= ms(1_500), "{took}");
    world.run_for(Span::from_s(9));
    world.befall(Fault::Continue(Side::A));
    world.run_for(Span::from_s(30));
    assert_eq!(world.holders(GATEWAY), [Side::B]);
    assert_no_overlap(&world);
}

#[test]
fn a_stalled_standby_with_good_frames_buffered_does_not_take_over() {
    let mut world = pair(13);
    world.befall(Fault::Hang(Side::B));
    world.run_for(Span::from_s(20));
    world.befall(Fault::Continue(Side::B));
    world.run_for(Span::from_s(5));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

#[test]
fn heavy_loss_moves_nothing() {
    for seed in 0..20 {
        let mut world = pair(100 + seed);
        world.befall(Fault::Loss(LAN, 400));
        world.run_for(Span::from_s(60));
        world.befall(Fault::Loss(SERIAL, 200));
        world.befall(Fault::Loss(LAN, 200));
        world.run_for(Span::from_s(60));
        assert_eq!(world.holders(GATEWAY), [Side::A], "seed {seed}");
        assert_no_overlap(&world);
    }
}

#[test]
fn a_node_in_standby_holds_nothing_until_it_is_told_online() {
    let mut world = pair(18);
    world.ask(Side::A, Demand::Standby { force: false });
    let took = world.run_until(Span::from_s(5), |w| w.holds(Side::B, GATEWAY)).expect("B acquires");
    assert!(took <= ms(15), "{took}");
    world.befall(Fault::PowerCut(Side::B));
    world.run_for(Span::from_s(100));
    assert!(world.holders(GATEWAY).is_empty(), "nothing, also when the peer dies");
    world.ask(Side::A, Demand::Online);
    world.run_until(Span::from_s(5), |w| w.holds(Side::A, GATEWAY)).expect("A serves again");
    assert_no_overlap(&world);
}

#[test]
fn standby_needs_a_peer_that_can_serve_unless_it_is_forced() {
    let mut world = pair(19);
    world.befall(Fault::PowerCut(Side::B));
    world.run_for(Span::from_s(2));
    world.ask(Side::A, Demand::Standby { force: false });
    world.run_for(Span::from_s(2));
    assert_eq!(world.holders(GATEWAY), [Side::A], "refused");
    world.ask(Side::A, Demand::Standby { force: true });
    world.run_for(Span::from_s(100));
    assert!(world.holders(GATEWAY).is_empty());
    assert_no_overlap(&world);
}

#[test]
fn of_two_nodes_in_standby_the_lower_name_serves() {
    for first in [Side::A, Side::B] {
        let mut world = pair(20);
        world.ask(first, Demand::Standby { force: false });
        world.ask(first.peer(), Demand::Standby { force: false });
        world.run_for(Span::from_s(3));
        assert_eq!(world.holders(GATEWAY), [Side::A], "never none for ever, whoever was first: {first:?}");
        assert_no_overlap(&world);
    }
}

#[test]
fn maintenance_of_either_node_moves_nothing_until_it_expires() {
    for side in [Side::A, Side::B] {
        let mut world = pair(21);
        world.ask(side, Demand::Maintenance(Span::from_s(30)));
        world.run_for(Span::from_s(1));
        world.befall(Fault::Handover(Side::A, GATEWAY));
        world.befall(Fault::Takeover(Side::B, GATEWAY));
        world.run_for(Span::from_s(1));
        assert_eq!(world.holders(GATEWAY), [Side::A], "neither by hand");
        world.befall(Fault::PowerCut(Side::A));
        world.run_for(Span::from_s(20));
        assert!(world.holders(GATEWAY).is_empty(), "nor from the dead: {side:?}");
        // The dead node has said how long its maintenance would last.
        world.run_until(Span::from_s(15), |w| w.holds(Side::B, GATEWAY)).expect("it has expired");
        assert_no_overlap(&world);
    }
}

#[test]
fn two_actives_are_settled_in_maintenance_too() {
    let mut world = pair(22);
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.befall(Fault::Cut(LAN, Way::Both));
    world.run_for(Span::from_s(10));
    for side in [Side::A, Side::B] {
        world.ask(side, Demand::Maintenance(Span::from_s(600)));
    }
    world.befall(Fault::Mend(LAN));
    let took = world.run_until(Span::from_s(5), |w| w.holders(GATEWAY).len() == 1).expect("one yields");
    assert!(took <= ms(300), "{took}");
}

/// The checkers know the documented split from everything else.
#[test]
fn the_split_is_excused_only_while_nobody_could_know() {
    let mut world = pair(14);
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.befall(Fault::Cut(LAN, Way::Both));
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY).len(), 2);
    assert_eq!(world.watch.violation, None);
    world.befall(Fault::Mend(SERIAL));
    world.run_for(ms(300));
    assert_eq!(world.holders(GATEWAY).len(), 1);
    assert_eq!(world.watch.past_overlaps.len(), 1);
    assert_eq!(world.watch.violation, None);
}

/// A stranger on the cable is somebody, also for a node that has never heard its peer and cannot ask the LAN.
#[test]
fn a_stranger_on_the_cable_keeps_a_cold_start_waiting() {
    let mut world = pair(15);
    world.befall(Fault::Cut(LAN, Way::Both));
    world.befall(Fault::PowerCut(Side::B));
    world.befall(Fault::Key(Side::B, 9));
    world.befall(Fault::PowerOn(Side::B));
    world.run_for(Span::from_s(200));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

fn is_peer_troubled(record: &Record) -> bool {
    matches!(record, Record::PeerTrouble(Trouble::GuardSilent))
}

/// Fault: the guard of the backup hangs; later the active node loses power; later the guard goes on.
/// Required: both nodes say within late_after that the backup could not serve (here: and two intervals, for
/// what wakes nobody), while nothing moves; nothing is taken meanwhile, and once the guard goes on the backup
/// serves.
#[test]
fn a_backup_whose_guard_hangs_says_so_and_so_does_its_peer() {
    let mut world = pair(16);
    world.befall(Fault::HangGuard(Side::B));
    let said = world.run_until(Span::from_s(5), |world| {
        world.recorded().any(|(side, record)| side == Side::A && is_peer_troubled(record))
    });
    assert!(said.is_some_and(|after| after <= ms(500)), "{said:?}");
    assert!(
        world.recorded().any(|(side, record)| side == Side::B && matches!(record, Record::GuardSilent(true)))
    );
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(Span::from_s(5));
    assert_eq!(world.holders(GATEWAY), []);
    world.befall(Fault::Continue(Side::B));
    let took = world.run_until(Span::from_s(5), |world| world.holders(GATEWAY) == [Side::B]);
    assert!(took.is_some_and(|after| after <= Span::from_s(1)), "{took:?}");
    assert_no_overlap(&world);
}

/// Fault: the guard of the active node hangs for less than a lease.
/// Required: both say so, and say when it is over; nothing moves.
#[test]
fn a_guard_that_hangs_for_less_than_a_lease_is_said_and_costs_nothing() {
    let mut world = pair(16);
    world.befall(Fault::HangGuard(Side::A));
    world.run_for(ms(700));
    assert!(world.recorded().any(|(side, record)| side == Side::B && is_peer_troubled(record)));
    world.befall(Fault::Continue(Side::A));
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    let is_over = |record: &Record| matches!(record, Record::PeerTrouble(Trouble::None));
    assert!(world.recorded().any(|(side, record)| side == Side::B && is_over(record)));
    assert!(!world.recorded().any(|(_, record)| matches!(record, Record::Releasing { .. })));
    assert_no_overlap(&world);
}

/// A guard that hangs asks nobody and adds nothing, however long the peer is silent.
#[test]
fn without_a_guard_that_answers_nothing_is_taken() {
    let mut world = pair(16);
    world.befall(Fault::HangGuard(Side::B));
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(Span::from_s(5));
    let now = world.gateway(Side::B).clock.local(world.now());
    let status = world.node(Side::B).expect("runs").status(now);
    assert_eq!((status.verdict, status.groups[0].block), (Verdict::Dead, Some(Block::GuardLost)));
    let has_taken = |record: &Record| matches!(record, Record::Taking { .. });
    assert!(!world.recorded().any(|(_, record)| has_taken(record)));
}

/// A box that answered for the address holds it until its kernel must have let go, even if it then falls
/// silent as well.
#[test]
fn who_answered_once_is_waited_for() {
    let mut world = pair(17);
    world.befall(Fault::Hang(Side::A));
    world.run_for(ms(700));
    world.befall(Fault::Cut(LAN, Way::Both));
    let took = world.run_until(Span::from_s(9), |w| w.holds(Side::B, GATEWAY)).expect("B serves");
    assert!(took >= ms(1_400), "interval, lease and slip after the last beat: {took}");
    assert_no_overlap(&world);
}

/// What waited in a buffer is heard before its absence is believed, whatever the clock says by then.
#[test]
fn a_beat_that_waited_is_heard_before_silence_is_judged() {
    let (mut nodes, mut now) = simulate::bench::acquaintances();
    let mut effects = Effects::new();
    now = now + ms(100);
    nodes[0].step(now, Event::Tick, &mut effects);
    let beat = effects.iter().find_map(|effect| match effect {
        Effect::Send(LAN, body) => Some(body.clone()),
        _ => None,
    });
    let beat = beat.expect("a beat is due");
    let silence = |node: &Station, now| node.status(now).paths.iter().filter_map(|path| path.heard).min();
    while silence(&nodes[1], now).is_some_and(|span| span < ms(499)) {
        now = now + ms(1);
        effects.clear();
        nodes[1].step(now, Event::Tick, &mut effects);
    }
    assert_eq!(nodes[1].status(now).verdict, Verdict::Present);
    effects.clear();
    now = now + ms(10);
    nodes[1].hear(now, LAN, &beat, &mut effects);
    nodes[1].step(now, Event::Tick, &mut effects);
    let is_verdict = |effect: &Effect| matches!(effect, Effect::Record(Record::Verdict { .. }));
    assert!(!effects.iter().any(is_verdict), "{effects:?}");
    assert_eq!(nodes[1].status(now).verdict, Verdict::Present);
}

/// A node alone that serves, and the orders that it has given since; all but renewals from `withheld_from` on
/// are confirmed.
fn alone(withheld_from: Instant, until: Instant) -> (Station, Vec<crosswire::resource::Ticket>) {
    let key = Key { id: 1, bytes: std::iter::repeat_n(7, 16).collect() };
    let entropy = Entropy { incarnation: [1; 8], secret: [1; 16] };
    let keys = Keyring::new("pair", &[key]);
    let mut now = Instant::from_us(1_000_000);
    let mut node = Station::new("pair", Setup::reference().policy, Side::A, keys, entropy, now);
    let mut effects = Effects::new();
    let mut withheld = Vec::new();
    for event in [Event::PathOpened(SERIAL), Event::PathOpened(LAN), Event::Carrier(GATEWAY, true)] {
        node.step(now, event, &mut effects);
    }
    while now < until {
        now = now + ms(10);
        node.step(now, Event::GuardAlive, &mut effects);
        node.step(now, Event::Tick, &mut effects);
        for effect in std::mem::take(&mut effects) {
            let Effect::Order(ticket) = effect else { continue };
            let outcome = match ticket.order {
                Order::Acquire { .. } => Outcome::Serving,
                Order::Renew { .. } if now >= withheld_from => {
                    withheld.push(ticket);
                    continue;
                }
                Order::Renew { .. } => Outcome::Renewed,
                Order::Release { .. } => Outcome::Released,
                Order::Probe { .. } => Outcome::Probed { at: now },
                Order::Fence { .. } | Order::Announce { .. } => continue,
            };
            node.step(now, Event::Done(ticket.token, outcome), &mut effects);
        }
    }
    (node, withheld)
}

/// A lapsed lease is released before anything that waited can excuse it: also the confirmation of a later
/// renewal.
#[test]
fn a_lapsed_lease_goes_before_what_waited_is_read() {
    let until = Instant::from_us(70_000_000);
    let (mut node, withheld) = alone(until - ms(300), until);
    let newest = withheld.last().expect("renewals go on");
    // The newest confirmed one left at least 300 ms before `until`; its lease of 1 s ends before this.
    let now = until + ms(740);
    let mut effects = Effects::new();
    node.step(now, Event::Done(newest.token, Outcome::Renewed), &mut effects);
    let is_lapsed = |effect: &Effect| {
        matches!(
            effect,
            Effect::Record(Record::Releasing { group: GATEWAY, reason: ReleaseReason::LeaseLapsed, .. })
        )
    };
    assert!(effects.iter().any(is_lapsed), "{effects:?}");
}

/// Every millisecond for `span`: the side holds the group.
fn assert_held_throughout(world: &mut World, side: Side, span: Span) {
    for _ in 0..span.as_ms() {
        world.run_for(ms(1));
        assert_eq!(world.holders(GATEWAY), [side], "at {:?}; story: {:#?}", world.now(), world.story);
    }
}

fn are_paths_on_time(world: &World, side: Side) -> bool {
    let now = world.gateway(side).clock.local(world.now());
    let status = world.node(side).map(|node| node.status(now));
    status.is_some_and(|s| s.paths.iter().all(|path| path.state == PathState::OnTime && path.beats_heard > 0))
}

#[test]
fn the_death_of_an_agent_moves_nothing_and_another_is_on_time_at_once() {
    for (seed, victim) in [(31, Side::A), (32, Side::B), (33, Side::A)] {
        let mut world = pair(seed);
        world.befall(Fault::KillAgent(victim));
        let took = world.run_until(Span::from_s(5), |w| are_paths_on_time(w, victim)).expect("it is back");
        assert!(took <= ms(300), "back and on time after {took}");
        assert_held_throughout(&mut world, Side::A, Span::from_s(5));
        assert!(are_paths_on_time(&world, victim.peer()));
        assert_no_overlap(&world);
    }
}

#[test]
fn the_death_of_both_agents_at_once_moves_nothing() {
    let mut world = pair(34);
    world.befall(Fault::KillAgent(Side::A));
    world.befall(Fault::KillAgent(Side::B));
    assert_held_throughout(&mut world, Side::A, Span::from_s(5));
    assert!(are_paths_on_time(&world, Side::A) && are_paths_on_time(&world, Side::B));
    assert_no_overlap(&world);
}

#[test]
fn an_agent_that_hangs_is_replaced_before_anything_moves() {
    for victim in [Side::A, Side::B] {
        let mut world = pair(35);
        world.befall(Fault::HangAgent(victim));
        assert_held_throughout(&mut world, Side::A, ms(800));
        assert!(are_paths_on_time(&world, victim));
        world.befall(Fault::Continue(victim));
        assert_held_throughout(&mut world, Side::A, Span::from_s(5));
        assert_no_overlap(&world);
    }
}

#[test]
fn an_agent_that_dies_for_the_third_time_costs_its_node_the_group() {
    let mut world = pair(36);
    for _ in 0..2 {
        world.befall(Fault::KillAgent(Side::A));
        assert_held_throughout(&mut world, Side::A, Span::from_s(2));
    }
    world.befall(Fault::KillAgent(Side::A));
    let took = world.run_until(Span::from_s(5), |w| w.holders(GATEWAY) == [Side::B]).expect("B takes over");
    assert!(took <= ms(1_700), "a second of back-off, and two intervals: {took}");
    assert_held_throughout(&mut world, Side::B, Span::from_s(10));
    assert_no_overlap(&world);
}

/// To a new agent the silence of a peer that it has not heard itself is no evidence: here it is its own
/// paths' fault.
#[test]
fn a_standby_whose_agent_is_new_takes_nothing_from_a_peer_that_it_has_not_heard() {
    let mut world = pair(37);
    for path in [SERIAL, LAN] {
        world.befall(Fault::Cut(path, Way::From(Side::A)));
    }
    world.befall(Fault::KillAgent(Side::B));
    assert_held_throughout(&mut world, Side::A, Span::from_s(10));
    assert_no_overlap(&world);
}

/// The dead agent's jeopardy is its successor's: a path that was broken does not begin to testify.
#[test]
fn a_path_that_was_broken_before_the_agent_died_stays_broken() {
    let mut world = pair(38);
    world.befall(Fault::Cut(LAN, Way::Both));
    world.run_for(Span::from_s(5));
    world.befall(Fault::KillAgent(Side::B));
    world.run_for(ms(250));
    world.befall(Fault::Cut(SERIAL, Way::Both));
    assert_held_throughout(&mut world, Side::A, Span::from_s(10));
    assert_no_overlap(&world);
}

/// What holds nothing but the old ack deadline lets go by it: it is handed over, and no new adoption prolongs
/// it.
#[test]
fn a_successor_is_bound_by_its_predecessor_s_deadline() {
    let mut setup = Setup::reference();
    setup.policy.witnesses = 1;
    let policy = setup.policy;
    let now = Instant::from_us(60_000_000);
    let keys = || Keyring::new("gateway", &[Key { id: 0, bytes: [7; 32].into_iter().collect() }]);
    let entropy = Entropy { incarnation: [1; 8], secret: [2; 16] };
    let holding = Holding { term: 3, lease_until: now + Span::from_s(1), stage: Stage::Serving };
    for (age, releases) in [(ms(440), false), (ms(450), true)] {
        let mut node = Station::new("gateway", policy.clone(), Side::A, keys(), entropy, now);
        let deposit = Deposit { acknowledged_at: Some(now - age), ..node.deposit(now) };
        let holdings = [Some(holding)].into_iter().collect();
        node.succeed(now, &Succession { deposit: Some(deposit), holdings, last_token: Token(41) });
        let mut effects = Effects::new();
        node.step(now, Event::Carrier(GATEWAY, true), &mut effects);
        let orders = effects.iter().filter_map(|effect| match effect {
            Effect::Order(ticket) => Some((ticket.token, ticket.order)),
            _ => None,
        });
        let release = Order::Release { group: GATEWAY, first: ReleaseOrder::AddressesFirst };
        let expected: &[_] = if releases { &[(Token(42), release)] } else { &[] };
        assert_eq!(orders.collect::<Vec<_>>(), expected, "{age} after the newest acknowledged beat");
    }
}

/// A path that was broken when an agent died is so for its successor: one more fault, and its silence proves
/// nothing.
#[test]
fn a_successor_knows_which_path_was_broken() {
    let mut world = pair(22);
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.run_for(Span::from_s(5));
    world.begin_story();
    world.befall(Fault::KillAgent(Side::B));
    world.run_for(Span::from_s(1));
    let is_news = |(side, record): (Side, &Record)| {
        side == Side::B && matches!(record, Record::Path { path: SERIAL, .. } | Record::Verdict { .. })
    };
    assert!(!world.recorded().any(is_news), "broken it was, and is: {:#?}", world.story);
    let status =
        world.node(Side::B).expect("a successor").status(world.gateway(Side::B).clock.local(world.now()));
    assert!(status.up <= Span::from_s(1), "{}", status.up);
    assert_eq!(status.paths[SERIAL.index()].state, PathState::Broken);
}

/// Fault: a backup sleeps while nothing can arrive, and wakes when everything works again.
/// Required: the time that it slept is not the peer's silence.
#[test]
fn who_slept_beside_dead_paths_believes_nobody_dead() {
    let mut world = pair(22);
    world.befall(Fault::Freeze(Side::B));
    for path in [SERIAL, LAN] {
        world.befall(Fault::Cut(path, Way::Both));
    }
    world.run_for(ms(5_050));
    for path in [SERIAL, LAN] {
        world.befall(Fault::Mend(path));
    }
    world.befall(Fault::Thaw(Side::B));
    world.run_for(Span::from_s(2));
    let is_dead =
        |record: &Record| matches!(record, Record::Verdict { to: Verdict::Dead | Verdict::Doubtful, .. });
    assert!(!world.recorded().any(|(side, record)| side == Side::B && is_dead(record)));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

/// A successor renews nothing before it has heard the peer or waited for late_after, and releases what has
/// lapsed meanwhile.
#[test]
fn a_successor_that_hears_nobody_renews_after_late_after_and_not_before() {
    let policy = Setup::reference().policy;
    let now = Instant::from_us(60_000_000);
    let keys = Keyring::new("gateway", &[Key { id: 0, bytes: [7; 32].into_iter().collect() }]);
    let mut node =
        Station::new("gateway", policy, Side::A, keys, Entropy { incarnation: [1; 8], secret: [2; 16] }, now);
    let holding = Holding { term: 3, lease_until: now + ms(600), stage: Stage::Serving };
    let deposit = node.deposit(now);
    let holdings = [Some(holding)].into_iter().collect();
    node.succeed(now, &Succession { deposit: Some(deposit), holdings, last_token: Token(41) });
    let mut ordered = Vec::new();
    for after in (0..=700).step_by(10).map(ms) {
        let mut effects = Effects::new();
        if after == Span::ZERO {
            node.step(now, Event::Carrier(GATEWAY, true), &mut effects);
        }
        node.step(now + after, Event::GuardAlive, &mut effects);
        node.step(now + after, Event::Tick, &mut effects);
        for effect in &effects {
            if let Effect::Order(ticket) = effect {
                ordered.push((after, ticket.order));
            }
        }
    }
    // Nobody acknowledges it: what has gone from its kernel stays away.
    let renew = Order::Renew { group: GATEWAY, puts_back: false };
    assert_eq!(ordered.first(), Some(&(ms(300), renew)), "{ordered:?}");
    let release = Order::Release { group: GATEWAY, first: ReleaseOrder::AddressesFirst };
    assert_eq!(ordered.last(), Some(&(ms(600), release)), "nobody confirmed: {ordered:?}");
}

#[test]
fn a_kernel_that_ignores_lifetimes_is_no_release_mechanism() {
    let (mut nodes, mut now) = simulate::bench::acquaintances();
    let mut effects = Effects::new();
    let mut told = |nodes: &mut [Station; 2], event: Option<Event<'_>>| {
        now = now + ms(100);
        event.into_iter().for_each(|event| nodes[0].step(now, event, &mut effects));
        effects.clear();
        nodes[0].step(now, Event::Tick, &mut effects);
        let beats = effects.iter().filter_map(|effect| match effect {
            Effect::Send(LAN, body) => Some(body.clone()),
            _ => None,
        });
        for body in beats.collect::<Vec<_>>() {
            nodes[1].hear(now, LAN, &body, &mut Effects::new());
        }
        (
            nodes[0].status(now).is_lifetime_ignored,
            nodes[1].deposit(now).mechanisms.map(|armed| armed.lease_s),
        )
    };
    let (is_ignored, lease_s) = told(&mut nodes, None);
    assert!(!is_ignored && lease_s.is_some_and(|lease_s| lease_s > 0), "{lease_s:?}");
    assert_eq!(told(&mut nodes, Some(Event::LifetimeIgnored)), (true, Some(0)));
}

/// Both boxes up, A active, and a group whose first of two scripts comes before its addresses; each takes
/// this long on B.
fn prepared_pair(takes: Span) -> World {
    let mut setup = Setup::reference();
    setup.policy.groups[0].stop_timeout = Span::from_s(20);
    setup.policy.groups[0].before = Span::from_s(10);
    (setup.scripts, setup.before) = (vec![2], vec![1]);
    let mut world = World::new(setup, 5);
    for side in [Side::A, Side::B] {
        world.befall(Fault::PowerOn(side));
        world.run_for(ms(300));
    }
    world.run_until(Span::from_s(5), |w| w.holders(GATEWAY) == [Side::A]).expect("A serves");
    world.run_for(Span::from_s(2));
    world.befall(Fault::SlowScripts(Side::B, takes));
    world.begin_story();
    world
}

#[test]
fn the_addresses_come_once_the_scripts_before_them_run() {
    let mut world = prepared_pair(Span::from_s(2));
    world.befall(Fault::PowerCut(Side::A));
    let took = world.run_until(Span::from_s(9), |w| w.holds(Side::B, GATEWAY)).expect("B takes over");
    // The wire was asked meanwhile, which costs no time.
    assert!((ms(2_300)..ms(2_900)).contains(&took), "{took:?}");
    assert_no_overlap(&world);
}

/// What allowed to take the group is no longer so when the scripts have run: the address does not come.
#[test]
fn who_was_silent_and_serves_again_keeps_the_address_from_coming_twice() {
    let mut world = prepared_pair(Span::from_s(3));
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.befall(Fault::Cut(LAN, Way::From(Side::A)));
    world.run_for(Span::from_s(1));
    world.befall(Fault::Mend(LAN));
    world.befall(Fault::Mend(SERIAL));
    world.run_for(Span::from_s(20));
    assert_no_overlap(&world);
    assert_eq!(world.holders(GATEWAY).len(), 1, "{:#?}", world.story);
}

/// Where the peer never lets go, what was prepared is let go again, and the peer is not asked for anything.
#[test]
fn a_stranger_who_answers_by_then_keeps_the_address_from_coming() {
    let mut world = prepared_pair(Span::from_s(2));
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(Span::from_s(1));
    world.befall(Fault::StrangerComes(GATEWAY));
    world.run_for(Span::from_s(18));
    assert!(!world.holds(Side::B, GATEWAY), "{:#?}", world.story);
    assert_eq!(world.watch.violation, None);
}

#[test]
fn an_agent_that_dies_while_scripts_run_before_the_addresses_leaves_none_running() {
    let mut world = prepared_pair(Span::from_s(2));
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(ms(1_500));
    world.befall(Fault::KillAgent(Side::B));
    // Its successor has heard nobody: it takes nothing before its cold start is over, and no script runs on.
    world.run_for(Span::from_s(25));
    assert!(
        !world.holds(Side::B, GATEWAY) && world.gateway(Side::B).services[0].is_empty(),
        "{:#?}",
        world.story
    );
    let took = world.run_until(Span::from_s(60), |w| w.holds(Side::B, GATEWAY));
    assert!(took.is_some(), "{:#?}", world.story);
    assert_no_overlap(&world);
}
