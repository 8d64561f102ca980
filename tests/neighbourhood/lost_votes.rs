//! A voting witness that is lost at rest, and a peer that dies then.

use crosswire::pair::Side;
use crosswire::quorum::forecast::{NextFault, Prospect};
use crosswire::vote::IDLE_GAP;
use crosswire::vote::agreement::Counting;

use super::votes::{VOTER, block, voting_pair, with_voter};
use super::*;

/// A question a second, dead_after without an answer, and what it takes to tell each other.
const KNOWN_WITHIN: Span = Span::from_ms(1_000 + 500 + 3 * 100);
const _: () = assert!(IDLE_GAP.as_ms() == 1_000);

/// How the witness is lost, and for whom.
const LOSSES: [Fault; 3] =
    [Fault::WitnessDown(VOTER), Fault::WitnessCut(VOTER, Side::A), Fault::WitnessCut(VOTER, Side::B)];

/// By the phase of the questions.
fn phases() -> impl Iterator<Item = Span> {
    (0..10).map(|phase| ms(phase * 110))
}

fn counts_for(world: &World, side: Side) -> Option<Counting> {
    world.node(side).expect("an agent").counting()
}

#[test]
fn the_loss_of_the_witness_at_rest_is_known_to_both_within_two_seconds() {
    let mut longest = Span::ZERO;
    for loss in LOSSES {
        for phase in phases() {
            let mut world = voting_pair(with_voter());
            world.run_for(Span::from_s(5) + phase);
            world.befall(loss);
            let is_known = |world: &World| {
                [Side::A, Side::B].into_iter().all(|side| counts_for(world, side) == Some(Counting::No))
            };
            let took = world.run_until(Span::from_s(20), is_known).expect("both know");
            longest = longest.max(took);
        }
    }
    println!("known to both after {longest} at most");
    assert!(longest <= KNOWN_WITHIN, "{longest}");
}

/// Whoever is left serves what it served, and takes what the other one served.
#[test]
fn a_peer_that_dies_after_the_loss_of_the_witness_is_known_costs_no_service() {
    for loss in LOSSES {
        for dead in [Side::A, Side::B] {
            for phase in phases() {
                let mut world = voting_pair(with_voter());
                world.run_for(Span::from_s(5) + phase);
                world.befall(loss);
                world.run_for(KNOWN_WITHIN);
                world.befall(Fault::PowerCut(dead));
                for _ in 0..100 {
                    world.run_for(ms(50));
                    let is_left = world.holds(Side::A, GATEWAY);
                    assert_eq!(is_left, dead == Side::B, "{loss:?}, {dead:?} dies, {phase}");
                }
                assert_eq!(world.holders(GATEWAY), [dead.peer()], "{loss:?}, {phase}");
                assert_no_overlap(&world);
            }
        }
    }
}

/// A single answer that is lost, or one in ten, is no loss of the witness.
#[test]
fn answers_that_are_lost_at_rest_now_and_then_are_asked_for_again() {
    let mut world = voting_pair(with_voter());
    world.befall(Fault::WitnessLoss(VOTER, 100));
    for _ in 0..600 {
        world.run_for(ms(100));
        for side in [Side::A, Side::B] {
            assert_eq!(counts_for(&world, side), Some(Counting::Yes));
        }
    }
}

/// What the peer's end would lead to, as the holder tells it.
fn told(world: &World) -> Prospect {
    let now = world.gateway(Side::A).clock.local(world.now());
    let forecasts = world.node(Side::A).expect("an agent").forecasts(now);
    let peers_end = forecasts.iter().find(|told| told.loss == NextFault::Power(Side::B)).expect("told");
    peers_end.groups[0]
}

#[test]
fn a_holder_says_beforehand_that_it_lets_go_with_its_peer_while_the_witness_is_silent() {
    for phase in phases() {
        let mut world = voting_pair(with_voter());
        world.run_for(Span::from_s(5) + phase);
        assert_eq!(told(&world), Prospect::ServedOn);
        world.befall(Fault::WitnessCut(VOTER, Side::A));
        let is_told = |world: &World| matches!(told(world), Prospect::LetGo(_));
        world.run_until(KNOWN_WITHIN, is_told).expect("it would let go");
        let mut befallen = world.clone();
        befallen.befall(Fault::PowerCut(Side::B));
        befallen.run_for(Span::from_s(5));
        assert_eq!(befallen.holders(GATEWAY), []);
        assert!(block(&befallen, Side::A).is_some());
        // Once both know, the witness is not needed.
        world.run_for(KNOWN_WITHIN);
        assert_eq!(told(&world), Prospect::ServedOn);
    }
}
