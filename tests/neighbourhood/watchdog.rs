//! A watchdog in each box: what ends there when nobody else can end it.

use crosswire::pair::Side;
use crosswire::time::Span;

use super::simulate::fault::Fault;
use super::simulate::setup::Setup;
use super::simulate::world::World;
use super::{GATEWAY, assert_no_overlap, ms, pair};

/// One group with a script that only one box may ever run, and a watchdog that resets a box after a second.
fn with_watchdog() -> Setup {
    let mut setup = super::with_safety(Setup::reference(), crosswire::config::SafetyRule::Lease);
    (setup.policy.groups[0].is_exclusive, setup.policy.groups[0].stop_timeout) = (true, Span::from_s(2));
    setup.scripts = vec![1];
    setup.watchdog = Some(Span::from_s(1));
    setup
}

fn does_run(world: &World, side: Side) -> bool {
    !world.gateway(side).services[GATEWAY.index()].is_empty()
}

/// Whether some box runs the script again: the one that was reset may be back first.
fn is_served_again(world: &mut World) -> bool {
    let is_run = |world: &World| does_run(world, Side::A) || does_run(world, Side::B);
    world.run_until(Span::from_s(20), is_run).is_some()
}

/// Whatever stops on A, its watchdog ends the script there before anybody starts it again.
#[test]
fn a_box_that_hangs_is_reset_before_its_peer_starts_anything() {
    for fault in
        [Fault::HangGuard(Side::A), Fault::Hang(Side::A), Fault::Freeze(Side::A), Fault::KillGuard(Side::A)]
    {
        let mut world = pair(with_watchdog());
        world.befall(fault);
        let ended = world.run_until(Span::from_s(10), |world| !does_run(world, Side::A));
        assert!(ended.is_some_and(|took| took <= ms(1_300)), "{fault:?}: reset after {ended:?}");
        assert!(is_served_again(&mut world), "{fault:?}");
        assert_no_overlap(&world);
    }
}

#[test]
fn a_box_whose_exclusive_script_does_not_stop_is_left_to_its_watchdog() {
    let mut world = pair(with_watchdog());
    world.befall(Fault::BadStops(Side::A));
    world.befall(Fault::Handover(Side::A, GATEWAY));
    let reset = world.run_until(Span::from_s(10), |world| !does_run(world, Side::A));
    assert!(reset.is_some_and(|took| took <= ms(1_500)), "reset after {reset:?}");
    assert!(is_served_again(&mut world));
    assert_no_overlap(&world);
}

#[test]
fn a_node_that_cannot_have_its_routes_leaves_the_group_to_its_peer() {
    let mut world = pair(Setup::reference());
    world.befall(Fault::BadRoutes(Side::B));
    world.befall(Fault::Handover(Side::A, GATEWAY));
    world.run_for(Span::from_s(3));
    assert_eq!(world.holders(GATEWAY), [Side::A], "A has it back");
    assert_no_overlap(&world);
}
