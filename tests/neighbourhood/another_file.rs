//! Another file that is read while the nodes do not hear each other: what was agreed and known goes on.

use super::simulate::files::{OTHER_DIGEST, OtherFile};
use super::votes::{VOTER, cut_both, mend_both, voting_pair, with_voter};
use super::*;

/// A pair with a voting witness whose other file names none.
fn with_a_file_without_voter() -> Setup {
    let mut setup = with_voter();
    let mut other = OtherFile::same(&setup.policy);
    other.policy.has_vote = false;
    setup.other = Some(other);
    setup
}

/// What both nodes had agreed binds them until they hear each other, whatever is read meanwhile.
#[test]
fn a_file_without_the_witness_unbinds_nobody_behind_a_cut() {
    for (reloads, holders) in [(Side::B, vec![Side::A]), (Side::A, vec![Side::B])] {
        let mut world = voting_pair(with_a_file_without_voter());
        cut_both(&mut world);
        world.run_for(Span::from_s(2));
        for _ in 0..2 {
            world.befall(Fault::ReloadTo(reloads, OTHER_DIGEST));
            world.run_for(Span::from_s(90));
            world.befall(Fault::KillAgent(reloads));
            world.run_for(Span::from_s(90));
        }
        assert_eq!(world.holders(GATEWAY), holders, "{reloads:?}");
        assert_no_overlap(&world);
        mend_both(&mut world);
        world.run_for(Span::from_s(5));
        cut_both(&mut world);
        world.befall(Fault::PowerCut(holders[0]));
        assert!(takeover_by(&mut world, holders[0].peer()), "they have met, and neither counts on it");
    }
}

fn takeover_by(world: &mut World, side: Side) -> bool {
    world.run_until(Span::from_s(20), |world| world.holds(side, GATEWAY)).is_some()
}

/// A witness that comes into the file of a node that serves alone ends no service, whether it answers or not.
#[test]
fn a_new_witness_in_the_file_ends_no_service() {
    for is_there in [false, true] {
        let mut setup = with_voter();
        let mut other = OtherFile::same(&setup.policy);
        (setup.policy.has_vote, other.policy.has_vote) = (false, true);
        setup.other = Some(other);
        let mut world = pair(setup);
        if !is_there {
            world.befall(Fault::WitnessDown(VOTER));
        }
        world.befall(Fault::PowerCut(Side::B));
        world.run_for(Span::from_s(30));
        world.befall(Fault::ReloadTo(Side::A, OTHER_DIGEST));
        for _ in 0..200 {
            world.run_for(ms(500));
            assert_eq!(world.holders(GATEWAY), [Side::A], "is there: {is_there}");
        }
    }
}

/// Another witness that is pinged takes nothing away from a grant.
#[test]
fn a_witness_that_is_pinged_as_well_ends_no_grant() {
    let mut setup = with_voter();
    let mut other = OtherFile::same(&setup.policy);
    setup.witnesses = vec![Place::Own];
    other.policy.witnesses = 1;
    setup.other = Some(other);
    let mut world = voting_pair(setup);
    cut_both(&mut world);
    world.run_for(Span::from_s(5));
    world.befall(Fault::ReloadTo(Side::A, OTHER_DIGEST));
    for _ in 0..40 {
        world.run_for(ms(500));
        assert_eq!(world.holders(GATEWAY), [Side::A]);
    }
}
