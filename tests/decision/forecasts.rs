//! What `status` promises of one more fault is what the pair then does: each forecast of either node, in each
//! of many states, is put to the test in a world of its own.

use crosswire::config::InJeopardy;
use crosswire::quorum::forecast::{Forecast, NextFault, Prospect};

use super::simulate::fault::WitnessId;
use super::simulate::setup::Place;
use super::*;

const OTHER: GroupId = GroupId(1);

/// What was done to a pair before it is asked.
type State = (&'static str, fn() -> Setup, &'static [Fault]);

const STATES: &[State] = &[
    ("at rest", Setup::reference, &[]),
    ("at rest, with a witness", witnessed, &[]),
    ("at rest, with scripts", scripted, &[]),
    ("the cable is cut", Setup::reference, &[Fault::Cut(SERIAL, Way::Both)]),
    ("the LAN is cut", Setup::reference, &[Fault::Cut(LAN, Way::Both)]),
    ("the LAN is cut, with a witness", witnessed, &[Fault::Cut(LAN, Way::Both)]),
    ("the cable is cut, takeover in jeopardy", bold, &[Fault::Cut(SERIAL, Way::Both)]),
    ("the cable is cut, with scripts", scripted, &[Fault::Cut(SERIAL, Way::Both)]),
    ("the active is not heard on the LAN", Setup::reference, &[Fault::Cut(LAN, Way::From(Side::A))]),
    ("the standby is not heard on the cable", Setup::reference, &[Fault::Cut(SERIAL, Way::From(Side::B))]),
    ("nobody sees the witness", witnessed, &[Fault::WitnessDown(WitnessId(0))]),
    ("the active does not see the witness", witnessed, &[Fault::WitnessCut(WitnessId(0), Side::A)]),
    ("the standby does not see the witness", witnessed, &[Fault::WitnessCut(WitnessId(0), Side::B)]),
    ("standby", Setup::reference, &[Fault::Standby(Side::B)]),
    ("maintenance on the active", Setup::reference, &[Fault::Maintenance(Side::A, Span::from_s(600))]),
    ("maintenance on the standby", Setup::reference, &[Fault::Maintenance(Side::B, Span::from_s(600))]),
    ("the guard of the standby hangs", Setup::reference, &[Fault::HangGuard(Side::B)]),
    ("the standby is off", Setup::reference, &[Fault::PowerCut(Side::B)]),
    ("the standby is off, with a witness", witnessed, &[Fault::PowerCut(Side::B)]),
    ("the standby has said goodbye", Setup::reference, &[Fault::Stop(Side::B)]),
    ("the standby's port is gone", Setup::reference, &[Fault::PortLost(SERIAL, Side::B)]),
    ("the standby's carrier is gone", Setup::reference, &[Fault::LinkDown(LAN, Side::B)]),
    ("the standby cannot probe", filtered, &[]),
    (
        "the last neighbour has left",
        neighbourly,
        &[Fault::NeighboursGo(Side::A), Fault::NeighboursGo(Side::B)],
    ),
    ("among neighbours", neighbourly, &[]),
    ("a check fails on the standby", Setup::reference, &[Fault::Unready(Side::B, GATEWAY)]),
    ("the active's other group is dark", two_groups, &[Fault::CarrierDown(Side::A, OTHER)]),
    ("the standby's other group is dark", two_groups, &[Fault::CarrierDown(Side::B, OTHER)]),
    ("moved by hand", Setup::reference, &[Fault::Handover(Side::A, GATEWAY)]),
];

fn witnessed() -> Setup {
    let mut setup = Setup::reference();
    (setup.policy.witnesses, setup.policy.in_jeopardy) = (1, InJeopardy::Witness);
    setup.witnesses = vec![Place::Own];
    setup
}

fn neighbourly() -> Setup {
    Setup::reference().among([true, true])
}

fn bold() -> Setup {
    let mut setup = Setup::reference();
    setup.policy.in_jeopardy = InJeopardy::Takeover;
    setup
}

fn filtered() -> Setup {
    Setup { is_filtered: [false, true], ..Setup::reference() }
}

/// The second group is at home on the other node, and has an interface of its own there and here.
fn two_groups() -> Setup {
    let mut setup = Setup::reference();
    let other = GroupPolicy { tag: 2, prefer: Some(Side::B), ..setup.policy.groups[0] };
    setup.policy.groups.push(other).expect("room");
    setup = Setup::of(setup.policy);
    setup.own_links = vec![false, true];
    setup
}

fn scripted() -> Setup {
    let mut setup = Setup::reference();
    for group in &mut setup.policy.groups {
        (group.safety, group.stop_timeout) = (SafetyRule::Lease, Span::from_s(2));
    }
    Setup::of(setup.policy)
}

/// A pair at rest to which that was done a while ago.
fn world(state: &State) -> World {
    let (_, setup, faults) = state;
    let mut world = World::new(setup(), 7);
    world.befall(Fault::PowerOn(Side::A));
    world.run_for(ms(37));
    world.befall(Fault::PowerOn(Side::B));
    world.run_for(Span::from_s(10));
    for fault in *faults {
        world.befall(*fault);
    }
    // Neighbours are asked once in half a minute, those who are not there too.
    world.run_for(if world.setup.neighbours.is_some() { Span::from_s(40) } else { Span::from_s(12) });
    world
}

fn forecasts(world: &World, side: Side) -> Vec<Forecast> {
    let now = world.gateway(side).clock.local(world.now());
    world.node(side).map(|node| node.forecasts(now).into_iter().collect()).unwrap_or_default()
}

fn befall(world: &mut World, loss: NextFault) {
    match loss {
        NextFault::Path(path) => world.befall(Fault::Cut(path, Way::Both)),
        NextFault::Power(side) => world.befall(Fault::PowerCut(side)),
        NextFault::Witness => world.befall(Fault::WitnessDown(WitnessId(0))),
    }
}

/// Whether the world does what was promised of the group that this side serves.
fn assert_kept(world: &mut World, server: Side, promise: Prospect, what: &str) {
    const WATCHED: Span = Span::from_s(20);
    let is = |holders: &'static [Side]| move |world: &World| world.holders(GATEWAY) == holders;
    let other: &[Side] = if server == Side::A { &[Side::B] } else { &[Side::A] };
    match promise {
        Prospect::ServedOn => {
            let gone = world.run_until(WATCHED, |world| world.holders(GATEWAY) != [server]);
            assert_eq!(gone, None, "{what}: {promise:?}");
        }
        Prospect::TakenOver(after) => {
            let took = world.run_until(WATCHED, |world| world.holders(GATEWAY) == other);
            assert!(took.is_some_and(|took| took <= after + ms(60)), "{what}: {promise:?}, took {took:?}");
            let gone = world.run_until(WATCHED, |world| world.holders(GATEWAY) != other);
            assert_eq!(gone, None, "{what}: {promise:?}, and for good");
        }
        Prospect::NotTaken(_) | Prospect::NotAble | Prospect::LetGo(_) => {
            world.run_for(Span::from_s(8));
            let taken = world.run_until(WATCHED, |world| !is(&[])(world));
            assert_eq!(taken, None, "{what}: {promise:?}");
        }
        Prospect::MayBeServedTwice => {
            let both = world.run_until(WATCHED, |world| world.holders(GATEWAY).len() == 2);
            assert!(both.is_some(), "{what}: {promise:?}");
        }
        Prospect::TakenOnceFenced | Prospect::Unknown => {}
    }
}

#[test]
fn what_is_promised_of_one_more_fault_is_what_the_pair_does() {
    let (mut kept, mut unknown) = (0, Vec::new());
    for state in STATES {
        let before = world(state);
        let [server] = before.holders(GATEWAY)[..] else { panic!("{}: one serves", state.0) };
        for side in [Side::A, Side::B] {
            for Forecast { loss, groups, then } in forecasts(&before, side) {
                let what = format!("{}, {side:?} on {loss:?}", state.0);
                let mut after = world(state);
                befall(&mut after, loss);
                assert_kept(&mut after, server, groups[0], &what);
                kept += usize::from(groups[0] != Prospect::Unknown);
                if groups[0] == Prospect::Unknown {
                    unknown.push(what.clone());
                }
                if let Some(promise) = then.first() {
                    let mut after = world(state);
                    befall(&mut after, loss);
                    after.run_for(Span::from_s(10));
                    after.befall(Fault::PowerCut(server));
                    assert_kept(&mut after, server, *promise, &format!("{what}, then power"));
                    kept += 1;
                }
            }
        }
    }
    println!("{kept} promises kept; nothing was promised of {unknown:#?}");
    assert!(kept > 200, "{kept}: a promise that is never made is always kept");
}

/// What is said of a pair at rest, word by word: of its times too.
#[test]
fn a_pair_at_rest_is_promised_a_takeover_within_dead_after() {
    let world = world(&STATES[0]);
    for side in [Side::A, Side::B] {
        let told = forecasts(&world, side);
        let of = |loss| {
            told.iter()
                .find(|told| told.loss == loss)
                .map(|told| (told.groups[0], told.then.first().copied()))
        };
        assert_eq!(of(NextFault::Power(Side::A)), Some((Prospect::TakenOver(ms(505)), None)));
        assert_eq!(of(NextFault::Power(Side::B)), Some((Prospect::ServedOn, None)));
        let degraded = (Prospect::ServedOn, Some(Prospect::NotTaken(Block::Jeopardy)));
        assert_eq!([of(NextFault::Path(SERIAL)), of(NextFault::Path(LAN))], [Some(degraded); 2]);
        assert_eq!(of(NextFault::Witness), None, "there is none");
    }
}

/// What a node promises of the group after that fault.
fn promised(world: &World, side: Side, loss: NextFault) -> Option<Prospect> {
    forecasts(world, side).into_iter().find(|told| told.loss == loss).map(|told| told.groups[0])
}

/// Nothing is handed to a node whose check fails. From a peer that is gone it takes over all the same.
#[test]
fn a_failing_check_keeps_nobody_from_taking_over_from_a_dead_peer() {
    let world = world(&("", Setup::reference, &[Fault::Unready(Side::B, GATEWAY)]));
    for side in [Side::A, Side::B] {
        let told = promised(&world, side, NextFault::Power(Side::A));
        assert!(matches!(told, Some(Prospect::TakenOver(_))), "{side:?}: {told:?}");
    }
}

#[test]
fn a_peer_that_lacks_carrier_for_one_group_serves_the_others_well() {
    let world = world(&("", two_groups, &[Fault::CarrierDown(Side::A, OTHER)]));
    let now = world.gateway(Side::B).clock.local(world.now());
    let status = world.node(Side::B).expect("it runs").status(now);
    assert_eq!(status.groups[0].peer_unable, None);
    assert_eq!(status.groups[0].unserved, None);
    assert!(status.groups[1].peer_unable.is_some());
    assert_eq!(promised(&world, Side::B, NextFault::Power(Side::B)), Some(Prospect::ServedOn));
}
