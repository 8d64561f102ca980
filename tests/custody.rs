//! What is held, and what runs, on two boxes: scripts, agents that die, daemons that are killed and started
//! again at once, and guards that hang. Stories in virtual time, with the decision and the custody that ship.
//!
//! Times are those of the failure catalogue: interval 100 ms, late_after 300 ms, dead_after 500 ms, lease 1
//! s.

#[path = "../src/workbench/simulate/mod.rs"]
#[expect(dead_code, reason = "the stories use a part of the simulator")]
mod simulate;

use crosswire::config::SafetyRule;
use crosswire::pair::{GroupId, PathId, Role, Side};
use crosswire::time::Span;
use simulate::fault::{Fault, Way};
use simulate::setup::Setup;
use simulate::world::World;

const GATEWAY: GroupId = GroupId(0);

fn ms(ms: u64) -> Span {
    Span::from_ms(ms)
}

/// Two scripts, of which each has a second to stop.
fn with_scripts(safety: SafetyRule) -> Setup {
    let mut setup = Setup::reference();
    setup.policy.groups[0].safety = safety;
    setup.policy.groups[0].stop_timeout = Span::from_s(2);
    setup.scripts = vec![2];
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
    world
}

fn role(world: &World, side: Side) -> Role {
    let now = world.gateway(side).clock.local(world.now());
    world.node(side).expect("an agent").status(now).groups[0].role
}

fn assert_never_wrong(world: &World) {
    assert_eq!(world.watch.violation, None);
}

fn runs_on(world: &World, side: Side) -> bool {
    !world.gateway(side).services[0].is_empty()
}

/// A's scripts do not stop at a handover.
fn stuck() -> World {
    let mut world = pair(with_scripts(SafetyRule::Lease));
    world.befall(Fault::BadStops(Side::A));
    world.befall(Fault::Handover(Side::A, GATEWAY));
    world.run_for(Span::from_s(3));
    assert_eq!((role(&world, Side::A), runs_on(&world, Side::A)), (Role::Releasing, true));
    world
}

fn assert_released_once_it_stops(mut world: World) {
    world.run_for(Span::from_s(25));
    let roles = [Side::A, Side::B].map(|side| role(&world, side));
    assert_eq!(roles, [Role::Releasing, Role::Backup], "it still runs on A");
    assert!(!runs_on(&world, Side::B));
    world.befall(Fault::GoodScripts(Side::A));
    let served = world.run_until(Span::from_s(30), |world| world.holds(Side::B, GATEWAY));
    assert!(served.is_some(), "the stop is tried again and again");
    assert!(!runs_on(&world, Side::A) && runs_on(&world, Side::B));
    assert_never_wrong(&world);
}

#[test]
fn what_does_not_stop_is_known_to_the_next_agent_and_to_the_peer() {
    let mut world = stuck();
    world.befall(Fault::KillAgent(Side::A));
    assert_released_once_it_stops(world);
}

#[test]
fn it_is_known_after_the_third_death_of_an_agent_too() {
    let mut world = stuck();
    for _ in 0..3 {
        world.befall(Fault::KillAgent(Side::A));
        world.run_for(ms(200));
    }
    assert_released_once_it_stops(world);
}

#[test]
fn and_after_a_reload() {
    let mut world = stuck();
    world.befall(Fault::Reload(Side::A));
    assert_released_once_it_stops(world);
}

#[test]
fn and_after_both_processes_were_killed_and_started_again_at_once() {
    let mut world = stuck();
    world.befall(Fault::Respawn(Side::A));
    assert_released_once_it_stops(world);
}

#[test]
fn what_a_killed_daemon_had_started_is_stopped_before_anybody_starts_it_again() {
    for safety in [SafetyRule::Probe, SafetyRule::Lease, SafetyRule::Fence] {
        for after in [0, 40, 100, 200] {
            let mut world = pair(with_scripts(safety));
            world.befall(Fault::SlowScripts(Side::A, ms(700)));
            world.befall(Fault::Respawn(Side::A));
            world.run_for(ms(after));
            assert_eq!(role(&world, Side::A), Role::Releasing, "{safety:?}");
            world.befall(Fault::Respawn(Side::A));
            let is_one = |world: &World| {
                world.holders(GATEWAY).len() == 1 && runs_on(world, world.holders(GATEWAY)[0])
            };
            assert!(world.run_until(Span::from_s(60), is_one).is_some(), "{safety:?}");
            world.run_for(Span::from_s(5));
            assert!(runs_on(&world, Side::A) != runs_on(&world, Side::B));
            assert_never_wrong(&world);
        }
    }
}

/// A has been killed and started again, and lets go of what it had started; then nothing of it is heard any
/// more. B, which could have the group, has whatever makes certain that A's scripts have ended to wait for:
/// that is the rule's business.
fn cut_off_as_it_lets_go_after_a_respawn(mut setup: Setup) -> World {
    // More than the kernel takes to let go of addresses.
    setup.policy.groups[0].stop_timeout = Span::from_s(6);
    let mut world = pair(setup);
    world.befall(Fault::SlowScripts(Side::A, ms(2_900)));
    world.befall(Fault::Respawn(Side::A));
    world.run_for(ms(500));
    assert_eq!((role(&world, Side::A), role(&world, Side::B)), (Role::Releasing, Role::Backup));
    // Without a link A does not take it in its turn.
    world.befall(Fault::LinkDown(PathId(1), Side::A));
    world.befall(Fault::Cut(PathId(0), Way::Both));
    assert_eq!(world.holders(GATEWAY), []);
    world
}

#[test]
fn who_lets_go_after_a_respawn_is_waited_for_by_the_rule_of_the_group() {
    let mut world = cut_off_as_it_lets_go_after_a_respawn(with_scripts(SafetyRule::Lease));
    let took =
        world.run_until(Span::from_s(20), |world| runs_on(world, Side::B)).expect("when A has had its time");
    assert!(took >= Span::from_s(6), "{took}");
    assert!(!runs_on(&world, Side::A), "it has used that time");
    assert_never_wrong(&world);
}

#[test]
fn and_by_a_fence_or_never_where_the_rule_says_so() {
    let mut exclusive = with_scripts(SafetyRule::Lease);
    exclusive.policy.groups[0].is_exclusive = true;
    for setup in [with_scripts(SafetyRule::Fence), exclusive] {
        let mut world = cut_off_as_it_lets_go_after_a_respawn(setup);
        assert_eq!(world.run_until(Span::from_s(60), |world| runs_on(world, Side::B)), None);
        assert_never_wrong(&world);
    }
    let fenced = Setup { fence: Some(ms(500)), ..with_scripts(SafetyRule::Fence) };
    let mut world = cut_off_as_it_lets_go_after_a_respawn(fenced);
    assert!(
        world.run_until(Span::from_s(20), |world| runs_on(world, Side::B)).is_some(),
        "A has no power then"
    );
    assert!(!world.gateway(Side::A).is_powered);
    assert_never_wrong(&world);
}

#[test]
fn a_boot_forgets_what_ran_before_it() {
    let mut world = pair(with_scripts(SafetyRule::Lease));
    world.befall(Fault::PowerCut(Side::A));
    world.befall(Fault::PowerOn(Side::A));
    world.run_for(ms(350));
    assert_eq!(role(&world, Side::A), Role::Backup);
    world.run_for(Span::from_s(20));
    assert_eq!(world.holders(GATEWAY).len(), 1);
    assert_never_wrong(&world);
}

/// The socket of a guard that hangs fills up; what is ordered then does not get into it.
#[test]
fn an_order_to_let_go_is_repeated_until_a_guard_that_hung_has_it() {
    let mut setup = Setup::reference();
    setup.policy.lease = Span::from_s(60);
    let mut world = pair(setup);
    world.befall(Fault::HangGuard(Side::A));
    world.run_for(Span::from_s(22));
    world.befall(Fault::Handover(Side::A, GATEWAY));
    world.run_for(Span::from_s(3));
    assert_eq!((role(&world, Side::A), world.holders(GATEWAY)), (Role::Releasing, vec![Side::A]));
    world.befall(Fault::Continue(Side::A));
    let took =
        world.run_until(Span::from_s(30), |world| world.holders(GATEWAY) == [Side::B]).expect("it lets go");
    assert!(took <= ms(1_100), "{took}");
    assert_never_wrong(&world);
}

#[test]
fn a_program_that_is_executed_in_place_serves_on_and_its_peer_takes_over_when_it_dies() {
    let mut world = pair(with_scripts(SafetyRule::Probe));
    for side in [Side::A, Side::B] {
        let (agent, executed_at) = (world.gateway(side).agent_run, world.now());
        world.befall(Fault::Upgrade(side));
        while world.now().since(executed_at) < Span::from_s(2) {
            world.run_for(ms(1));
            assert_eq!((world.holders(GATEWAY), runs_on(&world, Side::A)), (vec![Side::A], true));
            assert!(!runs_on(&world, Side::B));
        }
        assert_eq!(world.gateway(side).agent_run, agent + 1, "another agent goes on");
    }
    world.befall(Fault::PowerCut(Side::A));
    assert!(world.run_until(Span::from_s(5), |world| world.holds(Side::B, GATEWAY)).is_some());
    assert_never_wrong(&world);
}

/// It leaves its group, its scripts and its addresses as a daemon that is killed at any other time.
#[test]
fn a_program_that_dies_while_it_is_executed_in_place_is_replaced() {
    for after in [0, 1, 5, 20, 60, 150] {
        let mut world = pair(with_scripts(SafetyRule::Lease));
        world.befall(Fault::Upgrade(Side::A));
        world.run_for(ms(after));
        world.befall(Fault::Kill(Side::A));
        let is_taken = |world: &World| world.holders(GATEWAY) == [Side::B] && runs_on(world, Side::B);
        assert!(world.run_until(Span::from_s(10), is_taken).is_some(), "{after} ms");
        assert_never_wrong(&world);
    }
}

#[test]
fn nothing_is_executed_while_a_script_cannot_be_stopped() {
    let mut world = stuck();
    let agent = world.gateway(Side::A).agent_run;
    world.befall(Fault::Upgrade(Side::A));
    world.run_for(Span::from_s(1));
    assert_eq!(world.gateway(Side::A).agent_run, agent);
    assert_released_once_it_stops(world);
}
