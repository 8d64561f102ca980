//! The LAN itself as a witness: third parties show which of two nodes is the one that is cut off.

use super::*;

fn among_neighbours() -> Setup {
    Setup::reference().among([true, true])
}

/// How long after now A has let go and B holds the group.
fn moves_to_b(world: &mut World, limit: Span) -> Option<Span> {
    world.run_until(limit, |world| world.holders(GATEWAY) == [Side::B])
}

#[test]
fn a_silent_switch_port_of_the_active_box_hands_over_by_the_cable() {
    let mut world = pair(among_neighbours());
    world.befall(Fault::Isolate(LAN, Side::A));
    let took = moves_to_b(&mut world, Span::from_s(10)).expect("B serves");
    assert!(took <= Span::from_s(2), "{took}");
    assert_no_overlap(&world);
    world.run_for(Span::from_s(60));
    assert_eq!(world.holders(GATEWAY), [Side::B], "and A does not want it back");
    world.befall(Fault::Mend(LAN));
    world.run_for(Span::from_s(10));
    assert_no_overlap(&world);
}

#[test]
fn a_silent_switch_port_of_the_backup_moves_nothing_and_is_said() {
    let mut world = pair(among_neighbours());
    world.befall(Fault::Isolate(LAN, Side::B));
    world.run_for(Span::from_s(30));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    let now = world.gateway(Side::A).clock.local(world.now());
    let status = world.node(Side::A).expect("an agent").status(now);
    assert!(status.groups[0].peer_unable.is_some(), "the backup could not serve");
    assert_no_overlap(&world);
}

#[test]
fn a_silent_port_and_a_cut_cable_leave_the_side_with_neighbours_serving() {
    for safety in [SafetyRule::Probe, SafetyRule::Lease] {
        let mut world = pair(with_safety(among_neighbours(), safety));
        world.befall(Fault::Isolate(LAN, Side::A));
        world.befall(Fault::Cut(SERIAL, Way::Both));
        let took = takeover_takes(&mut world).expect("B serves");
        assert!(took <= Span::from_s(5), "{took}");
        world.run_for(Span::from_s(30));
        assert_eq!(world.holders(GATEWAY), [Side::B]);
        assert_no_overlap(&world);
    }
}

#[test]
fn a_backup_whose_port_is_silent_takes_nothing_when_the_cable_is_cut_too() {
    let mut world = pair(among_neighbours());
    world.befall(Fault::Isolate(LAN, Side::B));
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.run_for(Span::from_s(60));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

#[test]
fn a_backup_that_is_cut_off_when_the_active_box_dies_takes_over_once_it_is_not() {
    let mut setup = among_neighbours();
    setup.policy.in_jeopardy = InJeopardy::Neighbours;
    let mut world = pair(setup);
    world.befall(Fault::Isolate(LAN, Side::B));
    world.run_for(Span::from_s(5));
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(Span::from_s(20));
    assert_eq!(world.holders(GATEWAY), [], "it may be we who are cut off");
    world.befall(Fault::Mend(LAN));
    let took = takeover_takes(&mut world).expect("B serves");
    assert!(took <= Span::from_s(4), "{took}");
}

#[test]
fn neighbours_cost_a_takeover_no_time() {
    for setup in [Setup::reference(), among_neighbours()] {
        let mut world = pair(setup);
        world.befall(Fault::PowerCut(Side::A));
        let took = takeover_takes(&mut world).expect("B serves");
        assert!(took <= ms(620), "{took}");
    }
}

#[test]
fn a_lan_on_which_nobody_was_ever_heard_changes_nothing() {
    let mut world = pair(Setup::reference().among([false, false]));
    world.befall(Fault::PowerCut(Side::A));
    let took = takeover_takes(&mut world).expect("B serves");
    assert!(took <= ms(620), "{took}");
}

#[test]
fn a_lan_that_its_last_third_party_has_left_waits_for_the_first_one() {
    let mut world = pair(among_neighbours());
    for half in [Side::A, Side::B] {
        world.befall(Fault::NeighboursGo(half));
    }
    world.run_for(Span::from_s(120));
    assert_eq!(world.holders(GATEWAY), [Side::A], "the peer is heard there: nobody is cut off");
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(Span::from_s(20));
    assert_eq!(world.holders(GATEWAY), [], "the price");
    world.befall(Fault::NeighboursCome(Side::B));
    let took = takeover_takes(&mut world).expect("B serves");
    assert!(took <= Span::from_s(6), "{took}");
}

#[test]
fn a_node_that_has_long_served_alone_goes_on_when_the_last_neighbour_leaves() {
    let mut world = pair(among_neighbours());
    world.befall(Fault::PowerCut(Side::B));
    world.run_for(Span::from_s(30));
    for half in [Side::A, Side::B] {
        world.befall(Fault::NeighboursGo(half));
    }
    world.run_for(Span::from_s(120));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

#[test]
fn two_halves_that_both_have_neighbours_are_the_split_that_is_left() {
    let mut world = pair(among_neighbours());
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.befall(Fault::Cut(LAN, Way::Both));
    world.run_for(Span::from_s(5));
    assert_eq!(world.holders(GATEWAY), [Side::A, Side::B]);
    assert_eq!(world.watch.violation, None);
}

#[test]
fn a_half_without_neighbours_lets_go_whichever_it_is() {
    for (halves, holder) in [([true, false], Side::A), ([false, true], Side::B)] {
        let mut world = pair(Setup::reference().among(halves));
        world.befall(Fault::Cut(SERIAL, Way::Both));
        world.befall(Fault::Cut(LAN, Way::Both));
        world.run_for(Span::from_s(20));
        assert_eq!(world.holders(GATEWAY), [holder], "{halves:?}");
        assert_no_overlap(&world);
    }
}

#[test]
fn a_cable_that_has_been_dead_for_days_costs_nothing_where_neighbours_count_in_jeopardy() {
    for (in_jeopardy, expected) in [(InJeopardy::Hold, None), (InJeopardy::Neighbours, Some(ms(700)))] {
        let mut setup = among_neighbours();
        setup.policy.in_jeopardy = in_jeopardy;
        let mut world = pair(setup);
        world.befall(Fault::Cut(SERIAL, Way::Both));
        world.run_for(Span::from_s(600));
        world.befall(Fault::PowerCut(Side::A));
        let took = takeover_takes(&mut world);
        assert_eq!(took.is_some(), expected.is_some(), "{in_jeopardy:?}");
        assert!(took <= expected, "{took:?}");
    }
}

#[test]
fn an_agent_in_the_place_of_another_knows_that_it_is_cut_off() {
    let mut world = pair(among_neighbours());
    world.befall(Fault::Isolate(LAN, Side::B));
    world.run_for(Span::from_s(5));
    world.befall(Fault::KillAgent(Side::B));
    world.run_for(Span::from_s(2));
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(Span::from_s(60));
    assert_eq!(world.holders(GATEWAY), []);
    assert_no_overlap(&world);
}

#[test]
fn a_stalled_node_asks_anew_before_it_lets_go() {
    let mut world = pair(with_safety(among_neighbours(), SafetyRule::Lease));
    world.befall(Fault::Freeze(Side::A));
    world.run_for(ms(800));
    world.befall(Fault::Thaw(Side::A));
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY), [Side::A], "its peer waits for the lease, and hears it again");
    assert_no_overlap(&world);
}

#[test]
fn an_operator_who_has_seen_that_the_peer_is_off_needs_no_neighbour() {
    let mut world = pair(among_neighbours());
    world.befall(Fault::Isolate(LAN, Side::B));
    world.run_for(Span::from_s(5));
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(Span::from_s(20));
    assert_eq!(world.holders(GATEWAY), []);
    world.befall(Fault::PeerIsOff(Side::B, GATEWAY));
    takeover_takes(&mut world).expect("B serves");
}

#[test]
fn a_quiet_lan_is_asked_seldom() {
    let mut world = pair(among_neighbours());
    let before = world.asked_neighbours;
    world.run_for(Span::from_s(600));
    assert!(world.asked_neighbours - before <= 2 * 20, "{} questions", world.asked_neighbours - before);
}

#[test]
fn a_cut_that_moves_from_one_port_to_the_other_makes_nobody_serve_twice() {
    let mut setup = among_neighbours();
    setup.policy.in_jeopardy = InJeopardy::Neighbours;
    let mut world = pair(setup);
    world.befall(Fault::Isolate(LAN, Side::B));
    world.run_for(ms(100));
    world.befall(Fault::Cut(SERIAL, Way::Both));
    // A serves on alone, and has not done so for long.
    world.run_for(ms(900));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    world.befall(Fault::Mend(LAN));
    world.befall(Fault::Isolate(LAN, Side::A));
    world.run_for(Span::from_s(30));
    assert_no_overlap(&world);
    assert_eq!(world.holders(GATEWAY), [Side::B]);
}
