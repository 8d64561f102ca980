//! Turns in which several things have arrived at once, or in the middle of which the processor did something
//! else; and a wire on which nobody can answer.

use super::*;

/// A beat waits in the buffer of a backup that is held up anywhere in its turn, and for that long only,
/// across the instant at which the peer would be silent.
#[test]
fn silence_is_judged_only_when_everything_was_read_wherever_the_agent_was_held_up() {
    let mut taken = 0;
    for begins_ms in (380..500).step_by(15) {
        let mut world = pair(Setup::reference());
        for path in [SERIAL, LAN] {
            world.befall(Fault::Cut(path, Way::Both));
        }
        world.run_for(ms(begins_ms));
        for steps in 0..10 {
            let mut world = world.clone();
            world.befall(Fault::HoldUp(Side::B, steps, ms(130)));
            world.befall(Fault::Mend(SERIAL));
            world.run_for(Span::from_s(1));
            taken += u32::from(world.holders(GATEWAY) == [Side::B]);
            assert_eq!(
                world.watch.violation, None,
                "held up {begins_ms} ms after the cut, {steps} steps later"
            );
        }
    }
    assert!(taken < 80, "the beats come in time");
}

/// The cable is put back, and the first thing that wakes the agent is a whole frame on it: the lines rose
/// before that frame was sent. They are believed as before, so that the next power cut is seen at once.
#[test]
fn lines_that_rise_with_a_frame_are_believed() {
    let mut setup = with_lines();
    setup.bauds[0] = 115_200;
    for path in &mut setup.policy.paths {
        path.timing = Speed::Normal.timing();
    }
    let before = pair(setup);
    for back_ms in (0..250).step_by(5) {
        let mut world = before.clone();
        world.befall(Fault::Cut(LAN, Way::From(Side::A)));
        world.befall(Fault::Cut(SERIAL, Way::Both));
        world.run_for(ms(290 + back_ms));
        world.befall(Fault::Mend(SERIAL));
        world.run_for(ms(300));
        world.befall(Fault::Mend(LAN));
        world.run_for(Span::from_s(5));
        assert_eq!(world.holders(GATEWAY), [Side::A], "back after {back_ms} ms");
        world.befall(Fault::PowerCut(Side::A));
        let took = takeover_takes(&mut world).expect("B takes over");
        assert!(took <= ms(800), "back after {back_ms} ms: {took}");
    }
}

/// B's probes hear nobody, and B has found that out.
fn deaf_backup() -> World {
    let mut setup = Setup::reference();
    setup.is_filtered = [false, true];
    let mut world = pair(setup);
    world.run_for(Span::from_s(30));
    world
}

/// A's kernel goes on with the addresses for a lease, and answers for them; B, who cannot hear it, knows
/// that.
#[test]
fn silence_on_a_wire_that_is_known_to_be_deaf_is_no_clear_probe() {
    let mut world = deaf_backup();
    world.befall(Fault::Kill(Side::A));
    world.run_for(Span::from_s(30));
    assert_eq!(world.holders(GATEWAY), []);
    assert_no_overlap(&world);
    world.befall(Fault::FilterOff(LAN, Side::B));
    world.befall(Fault::Start(Side::A));
    world.run_for(Span::from_s(10));
    assert_eq!(world.holders(GATEWAY).len(), 1, "with A heard again nobody needs a probe");
    world.run_for(Span::from_s(10));
    let active = world.holders(GATEWAY)[0];
    world.befall(Fault::PowerCut(active));
    world.run_for(Span::from_s(3));
    assert_eq!(world.holders(GATEWAY), [active.peer()], "and probes are believed again");
    assert_no_overlap(&world);
}

#[test]
fn an_agent_in_the_place_of_another_knows_that_the_wire_is_deaf() {
    for later_ms in [700, 5_000, 15_000] {
        let mut world = deaf_backup();
        world.befall(Fault::KillAgent(Side::B));
        world.run_for(ms(later_ms));
        world.befall(Fault::Kill(Side::A));
        world.run_for(Span::from_s(5));
        assert_eq!(world.holders(GATEWAY), [], "{later_ms}");
        assert_no_overlap(&world);
    }
}
