//! Whether a backup is fit: interfaces that are dark on both nodes, and checks that say that it is not ready.

use super::*;

/// A group on the LAN and on an interface of its own, which has no carrier on these nodes.
fn dark_on(sides: &[Side]) -> World {
    let mut setup = Setup::reference();
    setup.own_links = vec![true];
    let mut world = pair(setup);
    for side in sides {
        world.befall(Fault::CarrierDown(*side, GATEWAY));
    }
    world.run_for(Span::from_s(2));
    world
}

#[test]
fn what_is_dark_on_both_nodes_stops_nothing() {
    let mut world = dark_on(&[Side::B, Side::A]);
    assert_eq!(world.holders(GATEWAY), [Side::A], "B has no carrier either");
    world.befall(Fault::PowerCut(Side::A));
    assert!(takeover_takes(&mut world).is_some_and(|took| took <= ms(700)));
    world.run_for(Span::from_s(60));
    assert_eq!(world.holders(GATEWAY), [Side::B], "past its ack deadline, alone");
    world.befall(Fault::KillAgent(Side::B));
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY), [Side::B], "a successor of its agent knows what A had said");
    assert_no_overlap(&world);
}

/// Whoever serves alone, and has carrier on more than before, does not let go for that; nor where it is lost
/// again, as long as the peer had none there when it was last heard.
#[test]
fn what_comes_back_to_who_serves_alone_stops_nothing() {
    let mut world = dark_on(&[Side::B, Side::A]);
    world.befall(Fault::PowerCut(Side::A));
    assert!(takeover_takes(&mut world).is_some());
    world.run_for(Span::from_s(60));
    for change in [Fault::CarrierUp(Side::B, GATEWAY), Fault::CarrierDown(Side::B, GATEWAY)].repeat(3) {
        world.befall(change);
        world.run_for(Span::from_s(2));
        assert_eq!(world.holders(GATEWAY), [Side::B], "{change:?}");
    }
    assert!(!has_recorded(&world, |record| matches!(record, Record::Releasing { .. })));
    assert_no_overlap(&world);
}

#[test]
fn what_is_dark_on_one_node_only_counts() {
    let mut world = dark_on(&[Side::B]);
    world.befall(Fault::PowerCut(Side::A));
    assert_eq!(takeover_takes(&mut world), None, "A had carrier when it was last heard");
    let mut world = dark_on(&[Side::B, Side::A]);
    world.befall(Fault::CarrierUp(Side::B, GATEWAY));
    assert!(takeover_takes(&mut world).is_some_and(|took| took <= ms(700)), "B is better off now");
}

#[test]
fn the_one_that_has_carrier_again_gets_the_group() {
    let mut world = dark_on(&[Side::B, Side::A]);
    world.befall(Fault::PowerCut(Side::A));
    assert!(takeover_takes(&mut world).is_some());
    world.run_for(Span::from_s(20));
    world.befall(Fault::CarrierUp(Side::A, GATEWAY));
    world.befall(Fault::PowerOn(Side::A));
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

/// A group of which nothing is left is served by nobody.
#[test]
fn where_all_is_dark_nothing_is_taken() {
    let mut world = dark_on(&[Side::B, Side::A]);
    world.befall(Fault::LinkDown(LAN, Side::A));
    world.befall(Fault::LinkDown(LAN, Side::B));
    world.run_for(Span::from_s(2));
    assert_eq!(world.holders(GATEWAY), [Side::A], "while they hear each other, nothing is stopped");
    for side in [Side::A, Side::B] {
        world.befall(Fault::PowerCut(side));
        world.befall(Fault::PowerOn(side));
        world.befall(Fault::LinkDown(LAN, side));
        world.befall(Fault::CarrierDown(side, GATEWAY));
    }
    world.run_for(Span::from_s(90));
    assert_eq!(world.holders(GATEWAY), [], "neither takes what clients cannot reach on either");
    world.befall(Fault::LinkUp(LAN, Side::B));
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY), [Side::B], "the rest is lit here");
}

/// Both halves lose sight of each other just as the interface comes back on one: what is dark on this node
/// only makes it let go, and the other one holds in jeopardy.
#[test]
fn a_dark_interface_makes_no_split_that_a_lit_one_would_not() {
    for after_ms in 0..60 {
        let mut world = dark_on(&[Side::B, Side::A]);
        world.befall(Fault::Cut(SERIAL, Way::Both));
        world.run_for(Span::from_s(10));
        world.befall(Fault::CarrierUp(Side::B, GATEWAY));
        world.run_for(ms(after_ms * 10));
        world.befall(Fault::Cut(LAN, Way::Both));
        world.run_for(Span::from_s(30));
        assert!(world.holders(GATEWAY).len() <= 1, "{after_ms}");
        assert_no_overlap(&world);
    }
}

fn unready(sides: &[Side]) -> World {
    let mut world = pair(Setup::reference());
    for side in sides {
        world.befall(Fault::Unready(*side, GATEWAY));
    }
    world.run_for(Span::from_s(1));
    world
}

fn has_recorded(world: &World, wanted: fn(&Record) -> bool) -> bool {
    world.recorded().any(|(_, record)| wanted(record))
}

#[test]
fn nothing_is_handed_to_a_node_that_is_not_ready() {
    let mut world = unready(&[Side::B]);
    assert!(has_recorded(&world, |record| matches!(
        record,
        Record::PeerUnable { inability: Inability::Unready, .. }
    )));
    for asked in [Fault::Handover(Side::A, GATEWAY), Fault::Takeover(Side::B, GATEWAY)] {
        world.befall(asked);
        world.run_for(Span::from_s(5));
        assert_eq!(world.holders(GATEWAY), [Side::A], "{asked:?}");
    }
    world.befall(Fault::Ready(Side::B, GATEWAY));
    world.run_for(ms(300));
    world.befall(Fault::Handover(Side::A, GATEWAY));
    assert!(takeover_takes(&mut world).is_some_and(|took| took <= ms(300)));
    assert!(has_recorded(&world, |record| matches!(
        record,
        Record::PeerUnable { inability: Inability::None, .. }
    )));
}

/// A gateway that may not be ready is better than none.
#[test]
fn a_node_that_is_not_ready_takes_over_from_one_that_is_gone() {
    for fault in [Fault::PowerCut(Side::A), Fault::Stop(Side::A), Fault::KillGuard(Side::A)] {
        let mut world = unready(&[Side::B]);
        world.befall(fault);
        assert!(takeover_takes(&mut world).is_some_and(|took| took <= ms(1_900)), "{fault:?}");
    }
}

#[test]
fn of_two_that_start_the_ready_one_serves_and_if_none_is_the_preferred_one() {
    for (sides, server) in
        [(&[Side::A][..], Side::B), (&[Side::B], Side::A), (&[Side::A, Side::B], Side::A), (&[], Side::A)]
    {
        let mut world = World::new(Setup::reference(), 1);
        for side in sides {
            world.befall(Fault::Unready(*side, GATEWAY));
        }
        world.befall(Fault::PowerOn(Side::A));
        world.befall(Fault::PowerOn(Side::B));
        world.run_for(Span::from_s(10));
        assert_eq!(world.holders(GATEWAY), [server], "not ready: {sides:?}");
        assert_no_overlap(&world);
    }
}

#[test]
fn the_preferred_node_asks_for_its_group_once_it_is_ready() {
    let mut setup = Setup::reference();
    setup.policy.groups[0].failback = Failback::After(Span::from_s(1));
    let mut world = pair(setup);
    world.befall(Fault::PowerCut(Side::A));
    assert!(takeover_takes(&mut world).is_some());
    world.befall(Fault::Unready(Side::A, GATEWAY));
    world.befall(Fault::PowerOn(Side::A));
    world.run_for(Span::from_s(30));
    assert_eq!(world.holders(GATEWAY), [Side::B]);
    world.befall(Fault::Ready(Side::A, GATEWAY));
    world.run_for(Span::from_s(30));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

/// The check that fails is known to a successor of the agent, and is forgotten with the role.
#[test]
fn a_check_outlives_the_agent_and_not_a_reign() {
    let mut world = unready(&[Side::B]);
    world.befall(Fault::KillAgent(Side::B));
    world.run_for(Span::from_s(2));
    world.befall(Fault::Handover(Side::A, GATEWAY));
    world.run_for(Span::from_s(2));
    assert_eq!(world.holders(GATEWAY), [Side::A], "the new agent says so too");
    world.befall(Fault::PowerCut(Side::A));
    assert!(takeover_takes(&mut world).is_some());
    world.befall(Fault::PowerOn(Side::A));
    world.run_for(Span::from_s(10));
    world.befall(Fault::Handover(Side::B, GATEWAY));
    world.run_for(Span::from_s(2));
    assert_eq!(world.holders(GATEWAY), [Side::A], "B serves, whatever it was not ready for");
    assert_no_overlap(&world);
}
