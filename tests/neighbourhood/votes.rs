//! The voting witness: one node of two is granted the right to serve alone.

use crosswire::reasons::{Block, ReleaseReason, TakeReason};

use super::granted_groups::{SECOND, two_groups};
use super::simulate::story::Line;
use super::*;

pub const VOTER: WitnessId = WitnessId(0);

/// A pair whose witness is reached over an interface of its own.
pub fn with_voter() -> Setup {
    Setup::reference().with_vote(Place::Own)
}

/// The pair at rest, and the witness counts for both nodes.
pub fn voting_pair(setup: Setup) -> World {
    let mut world = pair(setup);
    world.run_for(Span::from_s(2));
    for side in [Side::A, Side::B] {
        assert!(does_count(&world, side), "{side:?} counts on the witness");
    }
    world
}

fn does_count(world: &World, side: Side) -> bool {
    let now = world.gateway(side).clock.local(world.now());
    let status = world.node(side).expect("an agent").status(now);
    status.vote.is_some_and(|vote| vote.does_count)
}

pub fn cut_both(world: &mut World) {
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.befall(Fault::Cut(LAN, Way::Both));
}

pub fn mend_both(world: &mut World) {
    world.befall(Fault::Mend(SERIAL));
    world.befall(Fault::Mend(LAN));
}

/// Why a node does not take the group.
pub fn block(world: &World, side: Side) -> Option<Block> {
    let now = world.gateway(side).clock.local(world.now());
    world.node(side).expect("an agent").status(now).groups[0].block
}

/// For how long nobody has served the group, as far as a node knows.
fn unserved(world: &World, side: Side) -> Option<Span> {
    let now = world.gateway(side).clock.local(world.now());
    world.node(side).expect("an agent").status(now).groups[0].unserved
}

pub fn records(world: &World, wanted: impl Fn(&Record) -> bool) -> usize {
    let story = world.story.as_ref().expect("a story");
    let is_wanted = |line: &Line| matches!(line, Line::Recorded(_, record) if wanted(record));
    story.lines.iter().filter(|(_, line)| is_wanted(line)).count()
}

#[test]
fn both_paths_cut_and_the_active_node_serves_on_by_its_grant() {
    for safety in [SafetyRule::Probe, SafetyRule::Lease] {
        let mut world = voting_pair(with_safety(with_voter(), safety));
        cut_both(&mut world);
        world.run_for(Span::from_s(60));
        assert_eq!(world.holders(GATEWAY), [Side::A]);
        assert_eq!(block(&world, Side::B), Some(Block::GrantedToPeer), "and the witness is named");
        assert_eq!(unserved(&world, Side::B), None, "A asks, so it serves as far as can be known");
        mend_both(&mut world);
        world.run_for(Span::from_s(10));
        assert_eq!(world.holders(GATEWAY), [Side::A]);
        assert_no_overlap(&world);
    }
}

#[test]
fn both_paths_cut_and_only_the_side_that_sees_the_witness_serves() {
    for safety in [SafetyRule::Probe, SafetyRule::Lease] {
        for blind in [Side::A, Side::B] {
            let mut world = voting_pair(with_safety(with_voter(), safety));
            world.befall(Fault::WitnessCut(VOTER, blind));
            cut_both(&mut world);
            world.run_for(Span::from_s(10));
            assert_eq!(world.holders(GATEWAY), [blind.peer()], "{safety:?}, {blind:?} does not see it");
            assert_no_overlap(&world);
            mend_both(&mut world);
            world.run_for(Span::from_s(10));
            assert_eq!(world.holders(GATEWAY), [blind.peer()]);
            assert_no_overlap(&world);
        }
    }
}

#[test]
fn a_dead_peer_is_taken_over_from_as_fast_as_without_a_witness() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::PowerCut(Side::A));
    let took = takeover_takes(&mut world).expect("B serves");
    assert!(took <= ms(620), "{took}");
    let is_granted = |record: &Record| matches!(record, Record::Taking { reason: TakeReason::Granted, .. });
    assert_eq!(records(&world, is_granted), 1);
}

#[test]
fn a_cable_that_has_been_broken_for_days_costs_no_time() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.run_for(Span::from_s(600));
    world.befall(Fault::PowerCut(Side::A));
    let took = takeover_takes(&mut world).expect("B serves");
    assert!(took <= ms(620), "{took}");
}

#[test]
fn without_the_witness_the_rules_of_a_pair_without_one_count_once_both_know() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::WitnessDown(VOTER));
    world.run_for(Span::from_s(10));
    assert!(!does_count(&world, Side::A) && !does_count(&world, Side::B));
    world.befall(Fault::PowerCut(Side::A));
    let took = takeover_takes(&mut world).expect("B serves");
    assert!(took <= ms(620), "{took}");
}

#[test]
fn a_witness_that_one_node_has_lost_counts_for_neither() {
    for blind in [Side::A, Side::B] {
        let mut world = voting_pair(with_voter());
        world.befall(Fault::WitnessCut(VOTER, blind));
        world.run_for(Span::from_s(10));
        assert!(!does_count(&world, Side::A) && !does_count(&world, Side::B));
        world.befall(Fault::PowerCut(Side::A));
        let took = takeover_takes(&mut world).expect("B serves, whether it sees the witness or not");
        assert!(took <= ms(620), "{took}");
        world.befall(Fault::WitnessMend(VOTER));
        world.befall(Fault::PowerOn(Side::A));
        world.run_for(Span::from_s(20));
        assert!(does_count(&world, Side::A) && does_count(&world, Side::B), "and counts again");
    }
}

#[test]
fn a_witness_and_a_peer_that_die_within_a_beat_leave_nobody_serving_until_it_is_back() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::WitnessCut(VOTER, Side::B));
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(Span::from_s(20));
    assert_eq!(world.holders(GATEWAY), [], "it may be we who are cut off");
    assert_eq!(block(&world, Side::B), Some(Block::NotGranted));
    world.befall(Fault::WitnessMend(VOTER));
    let took = takeover_takes(&mut world).expect("B serves");
    assert!(took <= Span::from_s(1), "{took}");
}

#[test]
fn the_operator_overrules_a_witness_that_is_silent_and_none_that_names_the_peer() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::WitnessCut(VOTER, Side::B));
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(Span::from_s(20));
    world.befall(Fault::PeerIsOff(Side::B, GATEWAY));
    takeover_takes(&mut world).expect("B serves");
    world.run_for(Span::from_s(30));
    assert_eq!(world.holders(GATEWAY), [Side::B], "and goes on");

    for is_restarted in [false, true] {
        let mut world = voting_pair(with_voter());
        world.befall(Fault::WitnessCut(VOTER, Side::B));
        cut_both(&mut world);
        world.run_for(Span::from_s(30));
        assert_eq!(world.holders(GATEWAY), [Side::A], "by a grant that stands");
        world.befall(Fault::PowerCut(Side::A));
        if is_restarted {
            world.befall(Fault::PowerCut(Side::B));
            world.befall(Fault::PowerOn(Side::B));
            world.run_for(Span::from_s(5));
        }
        world.befall(Fault::WitnessMend(VOTER));
        world.run_for(Span::from_s(2));
        world.befall(Fault::PeerIsOff(Side::B, GATEWAY));
        world.run_for(Span::from_s(20));
        assert_eq!(world.holders(GATEWAY), [], "restarted: {is_restarted}");
        assert!(unserved(&world, Side::B).is_some(), "A asks no more: it may be off");
    }
}

#[test]
fn a_restart_of_the_witness_costs_a_holder_no_service() {
    let mut world = voting_pair(with_voter());
    cut_both(&mut world);
    world.run_for(Span::from_s(5));
    for _ in 0..5 {
        world.befall(Fault::WitnessDown(VOTER));
        world.run_for(ms(10));
        world.befall(Fault::WitnessUp(VOTER));
        for _ in 0..500 {
            world.run_for(ms(20));
            assert_eq!(world.holders(GATEWAY), [Side::A]);
        }
    }
    assert_no_overlap(&world);
}

#[test]
fn a_restart_of_the_witness_at_rest_moves_nothing_and_it_counts_again() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::WitnessDown(VOTER));
    world.run_for(ms(500));
    world.befall(Fault::WitnessUp(VOTER));
    world.run_for(Span::from_s(20));
    assert!(!does_count(&world, Side::A), "it grants nothing yet");
    world.run_for(Span::from_s(30));
    assert!(does_count(&world, Side::A) && does_count(&world, Side::B));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
}

#[test]
fn a_holder_whose_peer_has_long_been_quiet_outlives_the_witness() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::PowerCut(Side::B));
    world.run_for(Span::from_s(40));
    world.befall(Fault::WitnessCut(VOTER, Side::A));
    world.run_for(Span::from_s(60));
    assert_eq!(world.holders(GATEWAY), [Side::A], "its grant stands");
    // The peer comes back behind a cut: it is refused for as long as it takes.
    cut_both(&mut world);
    world.befall(Fault::PowerOn(Side::B));
    world.run_for(Span::from_s(120));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
    mend_both(&mut world);
    world.befall(Fault::WitnessMend(VOTER));
    world.run_for(Span::from_s(20));
    assert!(does_count(&world, Side::A) && does_count(&world, Side::B));
    world.befall(Fault::PowerCut(Side::A));
    takeover_takes(&mut world).expect("what stood stands no longer");
}

#[test]
fn replies_or_questions_that_are_lost_now_and_then_cost_nothing() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::WitnessLoss(VOTER, 300));
    cut_both(&mut world);
    world.run_for(Span::from_s(60));
    assert_eq!(world.watch.past_overlaps, []);
    assert_eq!(world.holders(GATEWAY).len(), 1);
    assert_no_overlap(&world);
}

#[test]
fn the_agent_of_a_holder_dies_behind_a_cut_and_its_successor_serves_on() {
    let mut world = voting_pair(with_voter());
    cut_both(&mut world);
    world.run_for(Span::from_s(20));
    world.befall(Fault::KillAgent(Side::A));
    for _ in 0..200 {
        world.run_for(ms(50));
        assert_eq!(world.holders(GATEWAY), [Side::A]);
    }
    assert_no_overlap(&world);
}

/// What the dead agent was granted is shown by its successor, under the seal of the witness's earlier run,
/// whether the grant runs or stands.
#[test]
fn the_agent_of_a_holder_dies_then_the_witness_is_restarted_and_nothing_moves() {
    for is_peer_off in [false, true] {
        let mut world = voting_pair(with_voter());
        cut_both(&mut world);
        if is_peer_off {
            world.befall(Fault::PowerCut(Side::B));
        }
        world.run_for(Span::from_s(30));
        world.befall(Fault::KillAgent(Side::A));
        world.befall(Fault::WitnessDown(VOTER));
        world.run_for(if is_peer_off { Span::from_s(6) } else { ms(10) });
        world.befall(Fault::WitnessUp(VOTER));
        for _ in 0..2_000 {
            world.run_for(ms(20));
            assert_eq!(world.holders(GATEWAY), [Side::A], "peer off: {is_peer_off}");
        }
        assert_no_overlap(&world);
    }
}

#[test]
fn a_holder_that_is_killed_behind_a_cut_is_succeeded_once_its_kernel_has_let_go() {
    let mut world = voting_pair(with_voter());
    cut_both(&mut world);
    world.run_for(Span::from_s(20));
    world.befall(Fault::Kill(Side::A));
    let took = takeover_takes(&mut world).expect("B serves");
    assert!(took <= Span::from_s(4), "{took}");
    assert_no_overlap(&world);
}

#[test]
fn a_holder_that_hangs_behind_a_cut_is_succeeded_and_takes_nothing_back_on_waking() {
    let mut world = voting_pair(with_voter());
    cut_both(&mut world);
    world.run_for(Span::from_s(20));
    world.befall(Fault::Hang(Side::A));
    world.befall(Fault::HangGuard(Side::A));
    takeover_takes(&mut world).expect("B serves");
    world.run_for(Span::from_s(10));
    world.befall(Fault::Continue(Side::A));
    world.run_for(Span::from_s(30));
    assert_eq!(world.holders(GATEWAY), [Side::B]);
    assert_no_overlap(&world);
}

#[test]
fn what_is_let_go_behind_a_cut_is_returned_and_taken_at_once() {
    let mut world = voting_pair(with_voter());
    cut_both(&mut world);
    world.run_for(Span::from_s(5));
    world.befall(Fault::Stop(Side::A));
    let took = takeover_takes(&mut world).expect("B serves");
    assert!(took <= Span::from_s(4), "{took}");
    assert_no_overlap(&world);

    // A grant that stands ends with that too.
    let mut world = voting_pair(with_voter());
    world.befall(Fault::WitnessCut(VOTER, Side::B));
    cut_both(&mut world);
    world.run_for(Span::from_s(30));
    world.befall(Fault::ForceStandby(Side::A));
    world.run_for(Span::from_s(5));
    world.befall(Fault::WitnessMend(VOTER));
    let took = takeover_takes(&mut world).expect("B serves");
    assert!(took <= Span::from_s(4), "{took}");
    assert_no_overlap(&world);
}

#[test]
fn each_group_of_an_active_active_pair_is_granted_alone() {
    let mut setup = two_groups(SafetyRule::Probe);
    setup.policy.groups[1].failback = Failback::After(Span::ZERO);
    let mut world = voting_pair(setup);
    world.run_for(Span::from_s(10));
    assert_eq!((world.holders(GATEWAY), world.holders(SECOND)), (vec![Side::A], vec![Side::B]));
    cut_both(&mut world);
    world.run_for(Span::from_s(30));
    assert_eq!((world.holders(GATEWAY), world.holders(SECOND)), (vec![Side::A], vec![Side::B]));
    world.befall(Fault::WitnessCut(VOTER, Side::B));
    world.run_for(Span::from_s(10));
    assert_eq!((world.holders(GATEWAY), world.holders(SECOND)), (vec![Side::A], vec![Side::A]));
    assert_no_overlap(&world);
}

#[test]
fn a_node_that_starts_behind_a_cut_takes_nothing_that_is_granted_elsewhere() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::PowerCut(Side::B));
    world.run_for(Span::from_s(5));
    cut_both(&mut world);
    world.befall(Fault::PowerOn(Side::B));
    world.run_for(Span::from_s(120));
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    assert_no_overlap(&world);
}

#[test]
fn a_node_that_is_alone_from_the_start_serves_once_it_is_granted() {
    let mut world = World::new(with_voter(), 1);
    world.begin_story();
    world.befall(Fault::PowerOn(Side::A));
    let took = world.run_until(Span::from_s(120), |world| world.holds(Side::A, GATEWAY)).expect("A serves");
    assert!(took <= Span::from_s(62), "{took}");
    // Nobody knows what a node goes by that was never heard: this one is granted the group all the same.
    world.befall(Fault::KillAgent(Side::A));
    world.run_for(Span::from_s(60));
    assert!(!does_count(&world, Side::A));
    assert_eq!(records(&world, |record| matches!(record, Record::Vote { .. })), 0);
    assert_eq!(world.holders(GATEWAY), [Side::A]);
    world.befall(Fault::WitnessDown(VOTER));
    world.run_for(Span::from_s(60));
    assert_eq!(world.holders(GATEWAY), [Side::A], "its grant stands");
}

#[test]
fn a_holder_that_loses_everybody_at_once_lets_go_and_says_why() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::WitnessCut(VOTER, Side::A));
    cut_both(&mut world);
    takeover_takes(&mut world).expect("B serves");
    let is_so =
        |record: &Record| matches!(record, Record::Releasing { reason: ReleaseReason::NotGranted, .. });
    assert_eq!(records(&world, is_so), 1);
}

#[test]
fn a_node_that_stood_still_knows_that_it_is_cut_off_whatever_it_is_granted() {
    for is_replaced in [false, true] {
        let mut world = voting_pair(with_voter().among([true, true]));
        world.befall(Fault::Isolate(LAN, Side::B));
        world.run_for(Span::from_s(1));
        if is_replaced {
            world.befall(Fault::KillAgent(Side::B));
        }
        world.run_for(Span::from_s(1));
        world.befall(Fault::Freeze(Side::B));
        world.run_for(Span::from_s(6));
        world.befall(Fault::PowerCut(Side::A));
        world.befall(Fault::Thaw(Side::B));
        world.run_for(Span::from_s(60));
        assert_eq!(world.holders(GATEWAY), [], "agent replaced: {is_replaced}");
    }
}
