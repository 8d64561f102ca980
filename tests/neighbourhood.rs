//! The decision with what stands around a pair: modem lines, witnesses, a fence, other interfaces. Stories in
//! virtual time.
//!
//! Times are those of the failure catalogue: interval 100 ms, late_after 300 ms, dead_after 500 ms, lease 1
//! s.

#[path = "neighbourhood/another_file.rs"]
mod another_file;
#[path = "neighbourhood/expired.rs"]
mod expired;
#[path = "neighbourhood/fitness.rs"]
mod fitness;
#[path = "neighbourhood/granted_groups.rs"]
mod granted_groups;
#[path = "neighbourhood/lost_votes.rs"]
mod lost_votes;
#[path = "neighbourhood/neighbours.rs"]
mod neighbours;
#[path = "neighbourhood/planned.rs"]
mod planned;
#[path = "../src/workbench/simulate/mod.rs"]
#[expect(dead_code, reason = "the stories use a part of the simulator")]
mod simulate;
#[path = "neighbourhood/turns.rs"]
mod turns;
#[path = "neighbourhood/votes.rs"]
mod votes;
#[path = "neighbourhood/watchdog.rs"]
mod watchdog;

use crosswire::config::{Failback, InJeopardy, SafetyRule, Speed};
use crosswire::pair::{GroupId, Inability, PathId, Role, Side};
use crosswire::quorum::record::Record;
use crosswire::time::Span;
use simulate::fault::{Fault, LineFault, Way, WitnessId};
use simulate::setup::{Place, Setup, Wiring};
use simulate::world::World;

const SERIAL: PathId = PathId(0);
const LAN: PathId = PathId(1);
const GATEWAY: GroupId = GroupId(0);
const ROUTER: WitnessId = WitnessId(0);

fn ms(ms: u64) -> Span {
    Span::from_ms(ms)
}

fn with_lines() -> Setup {
    let mut setup = Setup::reference();
    setup.wirings[0] = Wiring::Full;
    setup
}

fn with_witness() -> Setup {
    let mut setup = Setup::reference();
    setup.witnesses = vec![Place::Lan];
    setup.policy.witnesses = 1;
    setup.policy.in_jeopardy = InJeopardy::Witness;
    setup
}

fn with_safety(mut setup: Setup, safety: SafetyRule) -> Setup {
    setup.policy.groups[0].safety = safety;
    setup
}

/// Both boxes up, A active, everything learned.
fn pair(setup: Setup) -> World {
    let mut world = World::new(setup, 1);
    world.befall(Fault::PowerOn(Side::A));
    world.run_for(ms(37));
    world.befall(Fault::PowerOn(Side::B));
    world.run_for(Span::from_s(4));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    world.begin_story();
    world
}

/// How long after now B holds the group, with nobody beside it at any time.
fn takeover_takes(world: &mut World) -> Option<Span> {
    let took = world.run_until(Span::from_s(30), |world| world.holds(Side::B, GATEWAY));
    assert_no_overlap(world);
    took
}

fn assert_no_overlap(world: &World) {
    assert_eq!(world.watch.past_overlaps, [], "two holders; story: {:#?}", world.story);
    assert_eq!(world.watch.violation, None, "story: {:#?}", world.story);
}

#[test]
fn a_power_cut_that_the_lines_show_is_taken_over_after_late_after() {
    let mut world = pair(with_lines());
    world.befall(Fault::PowerCut(Side::A));
    let took = takeover_takes(&mut world).expect("B takes over");
    assert!(took <= ms(350), "{took}");
}

/// The rails of a supply do not fall together: the lines are gone, and the kernel answers probes and sends on
/// the LAN for a while. What it answered then must not cost the wait for a kernel that lives on.
#[test]
fn lines_that_drop_before_the_power_is_gone_cost_no_more_than_late_after() {
    let normal = Speed::Normal.timing();
    for early_ms in [0, 20, 50, 100, 150, 200, 250, 300] {
        for phase_ms in [0, 60, 120, 180, 240] {
            let mut setup = with_lines();
            setup.policy.lease = Span::from_s(3);
            setup.policy.paths.iter_mut().for_each(|path| path.timing = normal);
            let mut world = pair(setup);
            world.run_for(ms(3_000 + phase_ms));
            world.befall(Fault::Cut(SERIAL, Way::Both));
            world.run_for(ms(early_ms));
            world.befall(Fault::PowerCut(Side::A));
            let took = takeover_takes(&mut world).expect("B takes over");
            assert!(took <= normal.late_after + ms(500), "{early_ms} ms early, {phase_ms}: {took}");
        }
    }
}

/// The peer was heard on the LAN long after its lines had dropped: it has power, whatever happens to the LAN
/// then.
#[test]
fn a_cable_that_was_pulled_is_no_power_loss_later() {
    let mut world = pair(with_lines());
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.run_for(Span::from_s(10));
    world.befall(Fault::Cut(LAN, Way::Both));
    world.run_for(Span::from_s(60));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

/// A holder that had not been heard for late_after when the cable was pulled sees its lines drop as late as
/// we do, and lets go only then.
#[test]
fn a_pulled_cable_of_a_peer_that_is_long_unheard_leaves_it_time_to_let_go() {
    let mut setup = with_lines();
    for path in &mut setup.policy.paths {
        path.timing = Speed::Normal.timing();
    }
    let mut world = pair(setup);
    world.befall(Fault::Cut(SERIAL, Way::From(Side::A)));
    world.befall(Fault::Cut(LAN, Way::From(Side::A)));
    world.run_for(ms(700));
    for _ in 0..70 {
        world.run_for(ms(10));
        let mut world = world.clone();
        world.befall(Fault::Cut(SERIAL, Way::Both));
        world.run_for(Span::from_s(5));
        assert_eq!(world.holders(GATEWAY), [Side::B]);
        assert_no_overlap(&world);
    }
}

/// Nobody may take what a stranger has. When it goes, both nodes have waited long since, and see it at the
/// same time.
#[test]
fn when_a_stranger_goes_one_of_both_takes_its_addresses() {
    for ahead_ms in 0..250 {
        let mut world = World::new(Setup::reference(), ahead_ms);
        world.befall(Fault::StrangerComes(GATEWAY));
        world.befall(Fault::PowerOn(Side::A));
        world.run_for(ms(37));
        world.befall(Fault::PowerOn(Side::B));
        world.run_for(Span::from_s(5) + ms(ahead_ms));
        assert_eq!(world.holders(GATEWAY), [], "it is the stranger's");
        world.befall(Fault::StrangerGoes(GATEWAY));
        world.run_until(Span::from_s(5), |world| world.holds(Side::A, GATEWAY)).expect("A takes it");
        world.run_for(Span::from_s(1));
        assert_eq!(world.holders(GATEWAY), [Side::A]);
        assert_no_overlap(&world);
    }
}

/// Who has just been handed a group may hand it straight back, before the other one's next beat.
#[test]
fn a_handover_is_undone_at_once() {
    let mut world = pair(Setup::reference());
    let is_active = |side: Side| {
        move |world: &World| {
            let now = world.gateway(side).clock.local(world.now());
            world.node(side).is_some_and(|node| node.status(now).groups[0].role == Role::Active)
        }
    };
    world.befall(Fault::Handover(Side::A, GATEWAY));
    world.run_until(ms(100), is_active(Side::B)).expect("handed over");
    world.befall(Fault::Handover(Side::B, GATEWAY));
    world.run_until(ms(100), is_active(Side::A)).expect("and back");
    assert_no_overlap(&world);
}

/// A witness behind a router that knows the way to the service address alone looks to the backup as it looks
/// to a node that is cut off: it takes nothing until an operator says that the peer is off.
#[test]
fn a_witness_that_answers_only_who_serves_is_in_the_way_of_a_takeover() {
    let mut setup = with_witness();
    setup.witnesses = vec![Place::Own];
    let mut world = pair(setup);
    world.befall(Fault::WitnessCut(ROUTER, Side::B));
    world.run_for(Span::from_s(60));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(Span::from_s(60));
    assert_eq!(world.holders(GATEWAY), []);
    world.befall(Fault::PeerIsOff(Side::B, GATEWAY));
    world.run_for(Span::from_s(1));
    assert_eq!(world.holders(GATEWAY), [Side::B]);
}

/// An answer that comes too late to be sight does not begin the probe anew: what nobody holds is taken in the
/// usual time.
#[test]
fn witnesses_that_answer_too_late_hold_up_no_probe() {
    let mut setup = with_witness();
    setup.witnesses = vec![Place::Lan; 4];
    setup.policy.witnesses = 4;
    let mut world = pair(setup);
    (0..4).for_each(|witness| world.befall(Fault::WitnessDelay(WitnessId(witness), Span::from_s(100))));
    world.run_for(Span::from_s(150));
    for _ in 0..5 {
        for side in [Side::A, Side::B] {
            world.befall(Fault::ForceStandby(side));
        }
        world.run_until(Span::from_s(1), |world| world.holders(GATEWAY).is_empty()).expect("both let go");
        for side in [Side::A, Side::B] {
            world.befall(Fault::Online(side));
        }
        world.run_until(Span::from_s(2), |world| !world.holders(GATEWAY).is_empty()).expect("one takes it");
        world.run_for(Span::from_s(10));
    }
    assert_no_overlap(&world);
}

/// Of what the peer serves the peer's own kernel answers: whoever asks because a cable was pulled is able as
/// before.
#[test]
fn a_pulled_cable_makes_nobody_unable() {
    let mut world = pair(Setup::reference());
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.run_for(Span::from_s(2));
    let is_unable = |record: &Record| matches!(record, Record::PeerUnable { .. });
    assert_eq!(world.recorded().filter(|(_, record)| is_unable(record)).count(), 0, "{:#?}", world.story);
}

/// A stranger that only one node sees is in that node's way alone.
#[test]
fn a_stranger_that_the_preferred_node_alone_sees_lets_the_other_one_serve() {
    let mut world = World::new(Setup::reference(), 1);
    world.befall(Fault::StrangerComes(GATEWAY));
    world.befall(Fault::PowerOn(Side::A));
    world.befall(Fault::PowerOn(Side::B));
    world.befall(Fault::Cut(LAN, Way::From(Side::B)));
    let took =
        world.run_until(Span::from_s(5), |world| world.holds(Side::B, GATEWAY)).expect("B does not see it");
    assert!(took <= ms(900), "A says so, and B does not wait for it: {took}");
    world.befall(Fault::StrangerGoes(GATEWAY));
    world.run_for(Span::from_s(3));
    assert_eq!(world.holders(GATEWAY), [Side::B]);
    assert_no_overlap(&world);
}

/// The same of a guard that does not ask: nobody waits until it counts as silent.
#[test]
fn a_guard_that_does_not_ask_the_wire_lets_the_other_node_serve() {
    let mut world = pair(Setup::reference());
    for side in [Side::A, Side::B] {
        world.befall(Fault::ForceStandby(side));
    }
    world.run_until(Span::from_s(1), |world| world.holders(GATEWAY).is_empty()).expect("both let go");
    world.run_for(Span::from_s(2));
    world.befall(Fault::HangGuard(Side::A));
    for side in [Side::A, Side::B] {
        world.befall(Fault::Online(side));
    }
    let took = world.run_until(Span::from_s(5), |world| world.holds(Side::B, GATEWAY)).expect("B takes it");
    assert!(took <= ms(250), "{took}");
    assert_no_overlap(&world);
}

/// What an operator said of a silent peer is refuted when it is heard, and does not count when it falls
/// silent again.
#[test]
fn a_peer_that_was_heard_since_is_not_off() {
    let mut setup = with_witness();
    setup.wirings[0] = Wiring::Full;
    let mut world = pair(setup);
    world.befall(Fault::Isolate(LAN, Side::B));
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(ms(500));
    world.befall(Fault::PeerIsOff(Side::B, GATEWAY));
    world.befall(Fault::PowerOn(Side::A));
    world.run_until(Span::from_s(5), |world| world.holds(Side::A, GATEWAY)).expect("A is back");
    world.run_for(Span::from_s(1));
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.run_for(Span::from_s(5));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

/// A peer with another key is there, and may hold what it held for as long as its kernel lets it after its
/// last sign.
#[test]
fn a_peer_that_is_not_understood_is_waited_for_when_it_falls_silent() {
    let mut world = pair(Setup::reference());
    world.befall(Fault::Kill(Side::B));
    world.befall(Fault::Key(Side::B, 9));
    world.befall(Fault::Start(Side::B));
    world.befall(Fault::Isolate(LAN, Side::B));
    world.run_for(Span::from_s(70));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    world.befall(Fault::HangAgent(Side::A));
    world.befall(Fault::HangGuard(Side::A));
    let took = takeover_takes(&mut world);
    assert_eq!(took, None, "cold start is 60 s");
    world.run_until(Span::from_s(60), |world| world.holds(Side::B, GATEWAY)).expect("it is over");
    assert_no_overlap(&world);
}

/// LAN and witness come back together: what nobody answered before that was asked of nobody.
#[test]
fn a_witness_that_comes_back_with_the_lan_does_not_vouch_for_an_old_probe() {
    let mut world = pair(with_witness());
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.befall(Fault::Cut(LAN, Way::Both));
    world.befall(Fault::WitnessCut(ROUTER, Side::B));
    world.run_for(Span::from_s(3));
    for _ in 0..50 {
        world.run_for(ms(2));
        let mut world = world.clone();
        world.befall(Fault::Mend(LAN));
        world.befall(Fault::WitnessMend(ROUTER));
        world.run_for(Span::from_s(1));
        assert_no_overlap(&world);
    }
}

/// A LAN that has never heard the peer may have been cut for ever: that it is late means nothing.
#[test]
fn a_lan_that_never_heard_the_peer_shows_no_power_loss() {
    let mut world = pair(with_lines());
    world.befall(Fault::Kill(Side::B));
    world.befall(Fault::Cut(LAN, Way::Both));
    world.run_for(Span::from_s(1));
    world.befall(Fault::Start(Side::B));
    world.run_for(Span::from_s(61));
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.run_for(Span::from_s(30));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

/// The active node's port is gone and its LAN carries one way: the backup sees the lines drop and may take
/// its shortcut. It says so, and the active node lets go in time.
#[test]
fn a_holder_is_told_that_its_lines_dropped() {
    for gap in [0, 50, 100, 150, 200, 250, 290] {
        let mut world = pair(with_lines());
        world.befall(Fault::Cut(LAN, Way::From(Side::A)));
        world.run_for(ms(gap));
        world.befall(Fault::PortLost(SERIAL, Side::A));
        world.run_for(Span::from_s(5));
        assert_eq!(world.holders(GATEWAY), [Side::B], "after {gap} ms");
        assert_no_overlap(&world);
    }
}

/// An agent that hangs keeps its port open: the box has power, and nothing is taken before its kernel must
/// have let go.
#[test]
fn lines_that_are_on_make_the_backup_wait_for_the_lease() {
    for wiring in [Wiring::Full, Wiring::Looped] {
        let mut setup = with_lines();
        setup.wirings[0] = wiring;
        let mut world = pair(setup);
        world.befall(Fault::Hang(Side::A));
        world.befall(Fault::Cut(LAN, Way::Both));
        let took = takeover_takes(&mut world).expect("B takes over");
        assert!(took >= ms(2_000), "{wiring:?}: {took}");
    }
}

/// Lines that lie are found out, or cost time; they never make two holders.
#[test]
fn lines_that_lie_move_nothing() {
    for fault in [LineFault::StuckOn, LineFault::StuckOff, LineFault::HoldsOn] {
        for side in [Side::A, Side::B] {
            let mut world = pair(with_lines());
            world.befall(Fault::Lines(SERIAL, side, fault));
            world.befall(Fault::Flap(SERIAL, side.peer(), Span::from_s(3)));
            world.run_for(Span::from_s(5));
            assert_eq!(world.holders(GATEWAY), [Side::A]);
            world.befall(Fault::PowerCut(Side::A));
            let took = takeover_takes(&mut world).expect("B takes over");
            assert!(took <= Span::from_s(4), "{fault:?}: {took}");
        }
    }
}

/// The backup's death drops its lines, and with them the active node's deadline: its witness has to count all
/// the same.
#[test]
fn the_death_of_the_backup_does_not_stop_a_pair_with_lines_and_a_witness() {
    let mut setup = with_witness();
    setup.wirings[0] = Wiring::Full;
    let mut world = pair(setup);
    world.befall(Fault::PowerCut(Side::B));
    let moved = world.run_until(Span::from_s(10), |world| !world.holds(Side::A, GATEWAY));
    assert_eq!(moved, None, "{:#?}", world.story);
}

#[test]
fn both_paths_cut_and_the_witness_on_one_side_leave_that_side_serving() {
    for cut_off in [Side::A, Side::B] {
        let mut world = pair(with_witness());
        world.befall(Fault::Cut(SERIAL, Way::Both));
        world.befall(Fault::Isolate(LAN, cut_off));
        world.run_for(Span::from_s(10));
        assert_eq!(world.holders(GATEWAY), [cut_off.peer()]);
        assert_no_overlap(&world);
    }
}

/// Where doubt lets a node take over, it still does not while its witness is out of sight: it would let go at
/// once.
#[test]
fn a_node_without_its_witness_takes_nothing_in_doubt() {
    let mut setup = with_witness();
    setup.policy.in_jeopardy = InJeopardy::Takeover;
    let mut world = pair(setup);
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.run_for(Span::from_s(5));
    world.befall(Fault::Isolate(LAN, Side::B));
    world.run_for(Span::from_s(30));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

#[test]
fn a_witness_that_dies_moves_nothing() {
    let mut world = pair(with_witness());
    world.befall(Fault::WitnessDown(ROUTER));
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    world.befall(Fault::PowerCut(Side::A));
    assert!(takeover_takes(&mut world).is_some_and(|took| took <= ms(600)), "it is left out");
}

/// A restarted node that is cut off hears nobody, like one whose peer is dead: time and a silent wire are not
/// enough for a group that asks for a fence.
#[test]
fn a_cold_start_asks_for_the_fence_too() {
    let mut setup = with_safety(Setup::reference(), SafetyRule::Fence);
    setup.fence = Some(ms(200));
    for is_good in [true, false] {
        let mut world = pair(setup.clone());
        if !is_good {
            world.befall(Fault::BadFence(Side::B));
        }
        world.befall(Fault::Cut(SERIAL, Way::Both));
        world.befall(Fault::Cut(LAN, Way::Both));
        world.befall(Fault::Kill(Side::B));
        world.befall(Fault::Start(Side::B));
        world.run_for(Span::from_s(120));
        assert_eq!(world.holders(GATEWAY), [if is_good { Side::B } else { Side::A }]);
        assert_no_overlap(&world);
    }
}

#[test]
fn a_fence_turns_the_documented_split_into_a_takeover() {
    let mut setup = with_safety(Setup::reference(), SafetyRule::Fence);
    setup.fence = Some(ms(200));
    let mut world = pair(setup);
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.befall(Fault::Cut(LAN, Way::Both));
    assert!(takeover_takes(&mut world).is_some());
    assert!(!world.gateway(Side::A).is_powered);
}

#[test]
fn the_preferred_node_gets_its_group_back_as_its_failback_says() {
    for (failback, holder) in [(Failback::Manual, Side::B), (Failback::After(ms(700)), Side::A)] {
        let mut setup = Setup::reference();
        setup.policy.groups[0].failback = failback;
        let mut world = pair(setup);
        world.befall(Fault::PowerCut(Side::A));
        world.run_for(Span::from_s(2));
        world.befall(Fault::PowerOn(Side::A));
        world.run_for(Span::from_s(5));
        assert_eq!(world.holders(GATEWAY), [holder], "{failback:?}");
        assert_no_overlap(&world);
    }
}

/// What was let go for a peer that cannot take it is taken back after a while: the peer may be able to at
/// that very moment, and know of the offer only.
#[test]
fn an_offer_that_lapses_is_not_taken_by_both() {
    let mut setup = Setup::reference();
    (setup.own_links, setup.scripts) = (vec![true], vec![1]);
    setup.policy.groups[0].stop_timeout = Span::from_s(1);
    let mut world = pair(setup);
    world.befall(Fault::SlowScripts(Side::A, ms(200)));
    world.befall(Fault::Handover(Side::A, GATEWAY));
    world.run_for(ms(100));
    world.befall(Fault::CarrierDown(Side::B, GATEWAY));
    let taken_back = {
        let mut world = world.clone();
        world.run_for(ms(150));
        assert_eq!(world.holders(GATEWAY), [], "let go for B, which cannot take it");
        world.run_until(Span::from_s(2), |world| world.holds(Side::A, GATEWAY)).expect("A takes it back");
        world.now()
    };
    world.run_to(taken_back - ms(600));
    for _ in 0..1_300 {
        world.run_for(Span::from_us(500));
        let mut world = world.clone();
        world.befall(Fault::CarrierUp(Side::B, GATEWAY));
        world.run_for(Span::from_s(3));
        assert_eq!(world.holders(GATEWAY).len(), 1);
        assert_no_overlap(&world);
    }
}

/// Nobody may undo what an operator does: the preferred node gives a group away on purpose, and asks for it
/// when it has been away.
#[test]
fn what_an_operator_has_moved_is_not_failed_back() {
    for moved in [Fault::Handover(Side::A, GATEWAY), Fault::Takeover(Side::B, GATEWAY)] {
        let mut setup = Setup::reference();
        setup.policy.groups[0].failback = Failback::After(Span::ZERO);
        let mut world = pair(setup);
        world.befall(moved);
        world.run_for(Span::from_s(60));
        assert_eq!(world.holders(GATEWAY), [Side::B], "{moved:?}");
        world.befall(Fault::KillAgent(Side::A));
        world.run_for(Span::from_s(5));
        assert_eq!(world.holders(GATEWAY), [Side::B], "{moved:?}: a successor of A's agent knows it too");
        world.befall(Fault::Stop(Side::A));
        world.run_for(Span::from_s(2));
        world.befall(Fault::Start(Side::A));
        world.run_for(Span::from_s(5));
        assert_eq!(world.holders(GATEWAY), [Side::A], "{moved:?}: A has been away");
        assert_no_overlap(&world);
    }
}

/// Standby is a way of being away: its end begins the wait.
#[test]
fn a_failback_waits_from_the_end_of_a_standby() {
    let mut setup = Setup::reference();
    setup.policy.groups[0].failback = Failback::After(Span::from_s(20));
    let mut world = pair(setup);
    world.run_for(Span::from_s(30));
    world.befall(Fault::Standby(Side::A));
    world.run_for(Span::from_s(30));
    world.befall(Fault::Online(Side::A));
    world.run_for(Span::from_s(19));
    assert_eq!(world.holders(GATEWAY), [Side::B], "not yet");
    world.run_for(Span::from_s(2));
    assert_eq!(world.holders(GATEWAY), [Side::A], "then it is");
    assert_no_overlap(&world);
}

#[test]
fn a_carrier_that_flaps_moves_a_group_less_and_less_often() {
    let mut setup = Setup::reference();
    setup.own_links = vec![true];
    setup.policy.groups[0].failback = Failback::After(Span::ZERO);
    let mut world = pair(setup);
    for at_least_s in [10, 20, 40] {
        world.befall(Fault::CarrierDown(Side::A, GATEWAY));
        world.run_for(Span::from_s(1));
        assert_eq!(world.holders(GATEWAY), [Side::B]);
        world.befall(Fault::CarrierUp(Side::A, GATEWAY));
        world.run_for(Span::from_s(at_least_s - 1));
        assert_eq!(world.holders(GATEWAY), [Side::B], "not before {at_least_s} s have passed");
        world.run_for(Span::from_s(3));
        assert_eq!(world.holders(GATEWAY), [Side::A], "then at once");
    }
    assert_no_overlap(&world);
}

#[test]
fn a_group_that_loses_its_other_interface_is_handed_over_by_itself() {
    let mut setup = Setup::reference();
    setup.own_links = vec![true];
    let mut world = pair(setup);
    world.befall(Fault::CarrierDown(Side::A, GATEWAY));
    // carrier_delay, the question whether the peer still has it, and the move.
    assert!(takeover_takes(&mut world).is_some_and(|took| took <= ms(500)));
}
