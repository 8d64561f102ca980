//! Addresses that have gone from a kernel whose box lives on, and a carrier that both boxes lose.

use super::*;

/// A question, which leaves once an interval, and four more soon after.
const SEEN: Span = Span::from_ms(250);
/// And, beside a peer that is heard, a claim and its acknowledgement.
const CLAIMED: Span = Span::from_ms(450);

/// How long nobody has the group, from when A's kernel lets it go until B has it.
fn gap(world: &mut World) -> Span {
    world.run_until(Span::from_s(10), |world| !world.holds(Side::A, GATEWAY)).expect("A's lease ends");
    let took = world.run_until(Span::from_s(30), |world| world.holds(Side::B, GATEWAY)).expect("B serves");
    assert_no_overlap(world);
    took
}

#[test]
fn a_killed_guard_costs_what_its_kernel_needs_and_no_more() {
    for phase_ms in 0..20 {
        for setup in [Setup::reference(), with_lines()] {
            let mut world = pair(setup);
            world.run_for(ms(phase_ms * 5));
            world.befall(Fault::KillGuard(Side::A));
            let gap = gap(&mut world);
            assert!(gap <= CLAIMED, "{phase_ms}: {gap}");
        }
    }
}

#[test]
fn a_box_that_is_up_and_stands_still_is_taken_over_from_when_its_kernel_has_let_go() {
    for fault in [Fault::Hang(Side::A), Fault::Kill(Side::A)] {
        let mut world = pair(with_lines());
        world.befall(fault);
        let gap = gap(&mut world);
        assert!(gap <= SEEN, "{fault:?}: {gap}");
    }
}

/// Scripts leave no trace on the wire, and so does an address of a peer that never answered.
#[test]
fn what_the_wire_cannot_show_is_waited_for() {
    let mut with_scripts = with_lines();
    with_scripts.policy.groups[0].stop_timeout = Span::from_s(1);
    let mut beside_nobody = with_lines();
    beside_nobody.policy.groups[0].vips_beside_peer = 0;
    for setup in [with_scripts, beside_nobody, with_safety(with_lines(), SafetyRule::Lease)] {
        let mut world = pair(setup);
        world.befall(Fault::Hang(Side::A));
        let took = takeover_takes(&mut world).expect("B takes over");
        assert!(took >= ms(2_500), "{took}");
    }
}

/// Somebody takes the address away while the guard hangs, and the peer takes it. The guard goes on at any
/// time: it puts nothing back.
#[test]
fn what_has_gone_while_a_guard_hung_is_not_put_back() {
    for after_ms in 0..80 {
        let mut world = pair(Setup::reference());
        world.befall(Fault::HangGuard(Side::A));
        world.run_for(ms(600));
        world.befall(Fault::AddressGone(Side::A, GATEWAY));
        world.run_for(ms(after_ms * 10));
        world.befall(Fault::Continue(Side::A));
        world.run_for(Span::from_s(3));
        assert_eq!(world.holders(GATEWAY).len(), 1, "after {after_ms}0 ms");
        assert_no_overlap(&world);
    }
}

/// The peer has heard this node a moment ago: nobody takes anything, and the address is back.
#[test]
fn what_somebody_takes_away_beside_a_peer_that_hears_us_comes_back() {
    for after_ms in 0..20 {
        let mut world = pair(Setup::reference());
        world.run_for(ms(after_ms * 7));
        world.befall(Fault::AddressGone(Side::A, GATEWAY));
        let back = world.run_until(Span::from_s(1), |world| world.holds(Side::A, GATEWAY)).expect("back");
        assert!(back <= ms(250), "{back}");
        world.run_for(Span::from_s(1));
        assert_eq!(world.holders(GATEWAY), [Side::A]);
    }
}

/// A node that serves alone lets go of what somebody took away, and takes it again once nobody answers.
#[test]
fn a_node_that_serves_alone_takes_anew_what_somebody_took_away() {
    let mut world = pair(Setup::reference());
    world.befall(Fault::PowerCut(Side::B));
    world.run_for(Span::from_s(5));
    world.befall(Fault::AddressGone(Side::A, GATEWAY));
    let back = world.run_until(Span::from_s(5), |world| world.holds(Side::A, GATEWAY)).expect("back");
    assert!(back <= ms(700), "{back}");
    let is_let_go = |record: &Record| matches!(record, Record::Releasing { .. });
    assert_eq!(world.recorded().filter(|(_, record)| is_let_go(record)).count(), 1, "{:#?}", world.story);
}

/// A switch restarts: both lose carrier and have it back, a moment apart. Nothing moves. If they are further
/// apart than carrier_delay, the group moves once.
#[test]
fn carrier_that_both_lose_moves_nothing_within_carrier_delay() {
    let other = |side: Side| side.peer();
    for (apart_ms, moves) in [(0, 0), (100, 0), (290, 0), (1_000, 1)] {
        for first in [Side::A, Side::B] {
            let mut world = pair(Setup::reference());
            world.befall(Fault::LinkDown(LAN, first));
            world.run_for(ms(apart_ms));
            world.befall(Fault::LinkDown(LAN, other(first)));
            world.run_for(Span::from_s(5));
            let holder = if moves == 1 && first == Side::A { Side::B } else { Side::A };
            assert_eq!(world.holders(GATEWAY), [holder], "{apart_ms} ms, {first:?} first");
            let order = if moves == 1 { [holder, other(holder)] } else { [first, other(first)] };
            world.befall(Fault::LinkUp(LAN, order[0]));
            world.run_for(ms(apart_ms));
            world.befall(Fault::LinkUp(LAN, order[1]));
            world.run_for(Span::from_s(3));
            assert_eq!(world.holders(GATEWAY), [holder], "{apart_ms} ms, {first:?} first");
            assert_no_overlap(&world);
        }
    }
}

/// Carrier that the active node alone loses moves the group once carrier_delay has passed; at once where
/// nobody acknowledges that node.
#[test]
fn carrier_that_one_node_loses_moves_the_group_after_carrier_delay() {
    let mut world = pair(Setup::reference());
    world.befall(Fault::LinkDown(LAN, Side::A));
    let took = world.run_until(Span::from_s(5), |world| world.holds(Side::B, GATEWAY)).expect("handed over");
    // Over a cable of 19200 baud alone a beat takes 36 ms, and three of them are waited for.
    assert!((ms(300)..=ms(550)).contains(&took), "{took}");
    assert_no_overlap(&world);
}
