//! A planned release whose scripts take long, while the right to serve ends: the addresses go at once. And
//! what a node waited for is waited for by the next agent too.

use super::votes::{cut_both, voting_pair};
use super::*;

/// A group whose only script takes this long to stop.
fn with_a_slow_stop(mut setup: Setup) -> Setup {
    setup.policy.groups[0].stop_timeout = Span::from_s(20);
    setup.policy.groups[0].safety = SafetyRule::Probe;
    setup.scripts = vec![1];
    setup
}

/// A serves, and its script takes 15 s to stop.
fn begins_to_stop(mut world: World, planned: Fault) -> World {
    world.befall(Fault::SlowScripts(Side::A, Span::from_s(15)));
    world.befall(planned);
    world.run_for(Span::from_s(2));
    assert_eq!(world.holders(GATEWAY), [Side::A], "its addresses are served while the script stops");
    world
}

const PLANNED: [Fault; 3] =
    [Fault::ForceStandby(Side::A), Fault::Handover(Side::A, GATEWAY), Fault::Stop(Side::A)];

#[test]
fn behind_a_cut_the_addresses_go_or_the_grant_stays() {
    for planned in PLANNED {
        let setup = with_a_slow_stop(Setup::reference()).with_vote(Place::Own);
        let mut world = begins_to_stop(voting_pair(setup), planned);
        cut_both(&mut world);
        world.run_for(Span::from_s(40));
        assert_no_overlap(&world);
        assert_eq!(world.holders(GATEWAY), [Side::B], "{planned:?}: B is granted what A has let go");
    }
}

/// In doubt, nothing moves until somebody says so, however often the agent is replaced.
#[test]
fn a_new_agent_ends_no_doubt() {
    for is_reload in [false, true] {
        let mut world = pair(Setup::reference());
        world.befall(Fault::Cut(SERIAL, Way::Both));
        world.run_for(Span::from_s(12));
        world.befall(Fault::Cut(LAN, Way::Both));
        world.run_for(Span::from_s(5));
        for _ in 0..2 {
            world.befall(if is_reload { Fault::Reload(Side::B) } else { Fault::KillAgent(Side::B) });
            world.run_for(Span::from_s(90));
        }
        assert_eq!(world.holders(GATEWAY), [Side::A], "reload: {is_reload}");
        assert_no_overlap(&world);
    }
}

/// What is certain stays certain: both paths testified when the peer and then the agent died.
#[test]
fn a_new_agent_takes_from_a_peer_that_is_dead() {
    let mut world = pair(Setup::reference());
    world.befall(Fault::PowerCut(Side::A));
    world.run_for(ms(100));
    world.befall(Fault::KillAgent(Side::B));
    assert!(world.run_until(Span::from_s(70), |world| world.holds(Side::B, GATEWAY)).is_some());
}

#[test]
fn a_node_that_is_cut_off_from_everybody_lets_its_addresses_go_while_its_script_stops() {
    let mut pinged = with_witness();
    pinged.witnesses = vec![Place::Own];
    for setup in [pinged, Setup::reference().among([true, true])] {
        for planned in PLANNED {
            let mut world = begins_to_stop(pair(with_a_slow_stop(setup.clone())), planned);
            world.befall(Fault::Cut(SERIAL, Way::Both));
            world.befall(Fault::Isolate(LAN, Side::A));
            world.befall(Fault::WitnessCut(WitnessId(0), Side::A));
            world.run_for(Span::from_s(40));
            assert_no_overlap(&world);
            assert_eq!(world.holders(GATEWAY), [Side::B], "{planned:?}");
        }
    }
}

/// Lets the group go to a node, within `limit`; the longest that nobody served meanwhile.
fn longest_vacancy(world: &mut World, to: Side, limit: Span) -> Span {
    let (began_at, mut vacant_since, mut longest) = (world.now(), None, Span::ZERO);
    let serves = |world: &World| {
        let local = world.gateway(to).clock.local(world.now());
        let role = world.node(to).map(|node| node.status(local).groups[0].role);
        role == Some(Role::Active) && world.holders(GATEWAY) == [to]
    };
    while !serves(world) || vacant_since.is_some() {
        assert!(world.now().since(began_at) < limit, "{to:?} does not serve within {limit}");
        world.run_for(ms(1));
        let now = world.now();
        vacant_since = world.holders(GATEWAY).is_empty().then(|| vacant_since.unwrap_or(now));
        longest = longest.max(vacant_since.map_or(Span::ZERO, |since| now.since(since)));
    }
    longest
}

/// An operator moves a group to and fro, at once or with pauses, and then has it leave the node on which it
/// is. However often that was, a move leaves nobody serving for no longer than the first one did.
#[test]
fn however_often_a_group_was_moved_the_next_planned_move_leaves_nobody_unserved() {
    for last in [Fault::Standby(Side::A), Fault::Stop(Side::A), Fault::Handover(Side::A, GATEWAY)] {
        for pause in [ms(0), ms(300), Span::from_s(2)] {
            let mut world = pair(Setup::reference());
            for round in 0..8 {
                for (order, to) in [
                    (Fault::Handover(Side::A, GATEWAY), Side::B),
                    (Fault::Takeover(Side::A, GATEWAY), Side::A),
                ] {
                    world.befall(order);
                    let vacancy = longest_vacancy(&mut world, to, Span::from_s(8));
                    assert!(vacancy < ms(50), "round {round}, to {to:?}: nobody served for {vacancy}");
                }
                world.run_for(pause);
            }
            world.befall(last);
            let vacancy = longest_vacancy(&mut world, Side::B, Span::from_s(8));
            assert!(vacancy < ms(150), "{last:?} after {pause}: nobody served for {vacancy}");
        }
    }
}

/// The preferred node, which takes its group back at once, is restarted in good order again and again.
#[test]
fn a_preferred_node_that_is_restarted_again_and_again_leaves_nobody_unserved() {
    let mut setup = Setup::reference();
    setup.policy.groups[0].failback = Failback::After(Span::ZERO);
    let mut world = pair(setup);
    for round in 0..8 {
        world.befall(Fault::Stop(Side::A));
        let vacancy = longest_vacancy(&mut world, Side::B, Span::from_s(2));
        assert!(vacancy < ms(150), "round {round}: nobody served for {vacancy}");
        world.run_for(ms(300));
        world.befall(Fault::Start(Side::A));
        let vacancy = longest_vacancy(&mut world, Side::A, Span::from_s(30));
        assert!(vacancy < ms(50), "round {round}, back: nobody served for {vacancy}");
        world.run_for(ms(200));
    }
}
