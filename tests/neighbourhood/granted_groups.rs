//! Two groups beside a voting witness: what is granted of one says nothing of the other.

use crosswire::config::GroupPolicy;
use crosswire::reasons::TakeReason;

use super::votes::{VOTER, cut_both, mend_both, records, voting_pair, with_voter};
use super::*;

pub const SECOND: GroupId = GroupId(1);
/// What a lease and what goes before it take, from the last grant on.
const LET_GO: Span = Span::from_ms(3_000);

/// Two groups of one pair, which stay where they are.
pub fn two_groups(safety: SafetyRule) -> Setup {
    let mut setup = with_voter();
    let second = GroupPolicy { tag: 2, ..GroupPolicy::addresses_only(2, Some(Side::B)) };
    setup.policy.groups.push(second).expect("there is room");
    let mut setup = Setup::of(setup.policy).with_vote(Place::Own);
    for group in &mut setup.policy.groups {
        (group.failback, group.safety) = (Failback::Manual, safety);
    }
    setup
}

/// Both paths are cut, and A serves both groups by its grants.
fn parted(safety: SafetyRule) -> World {
    let mut setup = two_groups(safety);
    setup.policy.groups[1].prefer = Some(Side::A);
    setup.own_links[0] = true;
    let mut world = voting_pair(setup);
    world.run_until(Span::from_s(10), |world| world.holds(Side::A, SECOND)).expect("A serves both");
    cut_both(&mut world);
    world.run_for(Span::from_s(20));
    assert_eq!((world.holders(GATEWAY), world.holders(SECOND)), (vec![Side::A], vec![Side::A]));
    world
}

fn taking_takes(world: &mut World) -> Span {
    let took = world.run_until(Span::from_s(60), |world| world.holds(Side::B, GATEWAY));
    assert_no_overlap(world);
    took.expect("B serves what A cannot")
}

#[test]
fn what_a_holder_cannot_serve_any_more_moves_while_it_keeps_another_group() {
    for safety in [SafetyRule::Probe, SafetyRule::Lease] {
        let mut world = parted(safety);
        world.befall(Fault::CarrierDown(Side::A, GATEWAY));
        let took = taking_takes(&mut world);
        assert!(took <= LET_GO, "{safety:?}: {took}");
        world.run_for(Span::from_s(30));
        assert_eq!((world.holders(GATEWAY), world.holders(SECOND)), (vec![Side::B], vec![Side::A]));
        mend_both(&mut world);
        world.befall(Fault::CarrierUp(Side::A, GATEWAY));
        world.run_for(Span::from_s(10));
        assert_no_overlap(&world);
    }
}

/// Answers are lost, and the wait is not begun anew for ever.
#[test]
fn what_a_holder_cannot_serve_any_more_moves_where_a_third_of_the_answers_are_lost() {
    let mut world = parted(SafetyRule::Probe);
    world.befall(Fault::WitnessLoss(VOTER, 300));
    world.befall(Fault::CarrierDown(Side::A, GATEWAY));
    taking_takes(&mut world);
}

/// The witness forgets that A was granted anything, and B does not.
#[test]
fn what_a_holder_cannot_serve_any_more_moves_across_a_restart_of_the_witness() {
    let mut world = parted(SafetyRule::Probe);
    world.befall(Fault::CarrierDown(Side::A, GATEWAY));
    world.run_for(ms(600));
    world.befall(Fault::WitnessDown(VOTER));
    world.run_for(ms(10));
    world.befall(Fault::WitnessUp(VOTER));
    taking_takes(&mut world);
}

/// The agent that waits is another one, or its box was started anew: it listens first, then it is granted the
/// group, and waits from then on, once.
#[test]
fn what_a_holder_cannot_serve_any_more_moves_to_an_agent_that_has_forgotten_what_it_heard() {
    let replaced: &[Fault] = &[Fault::KillAgent(Side::B)];
    for faults in [replaced, &[Fault::PowerCut(Side::B), Fault::PowerOn(Side::B)]] {
        let mut world = parted(SafetyRule::Probe);
        world.befall(Fault::CarrierDown(Side::A, GATEWAY));
        world.run_for(ms(700));
        for fault in faults {
            world.befall(*fault);
            world.run_for(Span::from_s(1));
        }
        let took = world.run_until(Span::from_s(150), |world| world.holds(Side::B, GATEWAY));
        assert_no_overlap(&world);
        assert!(took.is_some(), "{faults:?}: it waits for ever");
    }
}

/// A and its guard hang, with their orders: B waits for the kernel of A, group by group, from the last grant
/// of each.
#[test]
fn what_was_granted_last_is_waited_for_where_the_holder_hangs() {
    for safety in [SafetyRule::Probe, SafetyRule::Lease] {
        for late in [ms(0), ms(40), ms(90)] {
            let mut world = parted(safety);
            world.run_for(late);
            world.befall(Fault::Hang(Side::A));
            world.befall(Fault::HangGuard(Side::A));
            let took = taking_takes(&mut world);
            assert!(took <= LET_GO, "{safety:?}: {took}");
            world.run_for(Span::from_s(5));
            assert_eq!((world.holders(GATEWAY), world.holders(SECOND)), (vec![Side::B], vec![Side::B]));
            assert_no_overlap(&world);
        }
    }
}

/// B was told to leave the group, and is granted it long after A has held it last: nobody waits twice.
#[test]
fn a_wait_begins_with_the_grant_and_ends() {
    let mut world = parted(SafetyRule::Probe);
    world.befall(Fault::CarrierDown(Side::B, GATEWAY));
    world.befall(Fault::CarrierDown(Side::A, GATEWAY));
    world.run_for(Span::from_s(20));
    assert_eq!((world.holders(GATEWAY), world.holders(SECOND)), (vec![], vec![Side::A]));
    world.befall(Fault::CarrierUp(Side::B, GATEWAY));
    let took = taking_takes(&mut world);
    assert!(took <= LET_GO, "{took}");
    let is_granted = |record: &Record| matches!(record, Record::Taking { reason: TakeReason::Granted, .. });
    assert_eq!(records(&world, is_granted), 1);
}
