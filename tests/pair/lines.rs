//! Modem lines: what they shorten, and what they must not be taken for.

use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::signal::{Signal, kill};

use crate::lab::clock::now;
use crate::lab::modem::Wiring;
use crate::lab::setup::Setup;
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

/// A takeover by late_after stands out from one by dead_after.
const LATE_AFTER_MS: u32 = 600;
const DEAD_AFTER_MS: u32 = 2_000;
/// Between the two, on a machine that has time.
const CERTAINLY_EARLY: Span = Span::from_ms(1_500);

/// A pair at work on a cable whose lines are wired like that.
fn serving(wiring: Wiring) -> Scene {
    Scene::serving_with(Setup {
        late_after_ms: LATE_AFTER_MS,
        dead_after_ms: DEAD_AFTER_MS,
        lines: Some(wiring),
        ..Setup::default()
    })
}

/// Both nodes have learned that lines follow the peer.
fn learned(wiring: Wiring) -> Scene {
    let scene = serving(wiring);
    for (side, reading) in [(Side::A, "running"), (Side::B, "running and holding")] {
        scene.expect_soon("lines that are believed", PATIENCE, |s| lines_at(s, side) == reading);
    }
    scene
}

fn lines_at(scene: &Scene, side: Side) -> String {
    scene.status(side)["paths"][0]["lines"].as_str().unwrap_or_default().to_owned()
}

fn why(scene: &Scene, side: Side) -> String {
    scene.say(side, &["why", "--last", "60"]).text
}

/// Fault: the active node loses power, and its lines with it. Required: the peer serves within late_after +
/// 50 ms, long before dead_after; `why` names the dropped lines; overlap 0.
#[test]
fn row_1_power_cut_seen_on_the_lines() {
    testing::in_fair_lab(|| {
        let mut scene = learned(Wiring::Full);
        let cut = scene.power_cut(Side::A).expect("its processes die");
        scene.wait_for_service_by(Side::B);
        let outage = scene.assert_outage_below(CERTAINLY_EARLY, cut);
        println!("row 1, lines dropped: outage {outage}");
        let told = why(&scene, Side::B);
        assert!(told.contains("lines dropped") && told.contains("gw1 is dead"), "{told}");
        scene.assert_never_both();
    });
}

/// Fault: the same on a cable with three wires, and on one whose plugs are bridged.
/// Required: line evidence is off: nothing before dead_after; overlap 0.
#[test]
fn row_1_power_cut_without_lines_takes_dead_after() {
    for wiring in [Wiring::Three, Wiring::Bridged] {
        testing::in_fair_lab(move || {
            let mut scene = serving(wiring);
            thread::sleep(ms(u64::from(DEAD_AFTER_MS) + 500));
            for side in [Side::A, Side::B] {
                assert_eq!(lines_at(&scene, side), "unknown", "{wiring:?}");
            }
            let cut = scene.power_cut(Side::A).expect("its processes die");
            let (held, _) = scene.wait_for_service_by(Side::B);
            assert!(held.since(cut) >= Span::from_ms(1_800), "taken after {}", held.since(cut));
            scene.assert_outage_below(at_most(u64::from(DEAD_AFTER_MS) + 50), cut);
            scene.assert_never_both();
        });
    }
}

/// Fault: the cable is pulled, bytes and lines, while the LAN is well; after 3 s the LAN is cut too.
/// Required: no move when the cable goes, and none when the LAN goes: silence proves nothing then, and
/// dropped lines that a heard peer outlived are no power loss.
#[test]
fn a_pulled_cable_is_no_power_loss_then_or_later() {
    testing::in_fair_lab(|| {
        let scene = learned(Wiring::Full);
        let start = now();
        scene.unplug();
        scene.expect_soon("jeopardy", PATIENCE, |s| s.is_in_jeopardy(Side::B));
        thread::sleep(ms(3_000));
        assert_eq!(lines_at(&scene, Side::B), "dropped");
        scene.assert_nothing_moved(Side::A, start);
        scene.set_lan(Side::B, PortRules::silent());
        thread::sleep(ms(3_000));
        assert_eq!(scene.status(Side::B)["verdict"], "doubtful");
        scene.heal().expect("mended");
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, start);
        scene.assert_never_both();
    });
}

/// Fault: kill -9 of the active's agent, which drops its lines while its kernel lives on. Required: it is not
/// taken for a power loss: whoever serves then, it is never both, and the lines are believed again if it is
/// the same node.
#[test]
fn row_2_a_killed_agent_is_told_from_a_dead_box() {
    testing::in_fair_lab(|| {
        let mut scene = learned(Wiring::Full);
        let start = now();
        let agent = scene.agent(Side::A).expect("an agent");
        kill(agent, Signal::SIGKILL).expect("killed");
        thread::sleep(ms(u64::from(DEAD_AFTER_MS) + 500));
        scene.expect_soon("one holder", PATIENCE, |s| s.holder().is_ok_and(|holder| holder.is_some()));
        let moved = scene.holder().expect("the observer") == Some(Side::B);
        let told = why(&scene, Side::B);
        assert!(!moved || told.contains("box lives") || told.contains("answers for an address"), "{told}");
        println!("killed agent: moved {moved}, outage {}", scene.ping().longest_gap_since(start));
        scene.assert_never_both();
    });
}

/// Fault: lines reach one node only; the cable is pulled and everything that the active node sends on the LAN
/// is lost, so that the standby could take it for a power loss while the active node hears that it is
/// unheard. Required: the active node, which sees no lines itself, is told of the drop and lets go before the
/// standby takes: overlap 0.
#[test]
fn a_node_that_sees_no_lines_is_told_of_the_drop() {
    testing::in_fair_lab(|| {
        let scene = serving(Wiring::Only(Side::A));
        scene.expect_soon("lines that are believed", PATIENCE, |s| {
            lines_at(s, Side::B) == "running and holding"
        });
        thread::sleep(ms(1_000));
        assert_eq!(lines_at(&scene, Side::A), "unknown");
        let start = now();
        scene.unplug();
        let mut rules = PortRules::silent();
        rules.to_node = Default::default();
        scene.set_lan(Side::A, rules);
        let (held, _) = scene.wait_for_service_by(Side::B);
        println!("lines on one side: taken after {}", held.since(start));
        scene.assert_never_both();
    });
}

/// Fault: the same with lines that both see.
/// Required: both go by late_after: the active node lets go before the standby takes; overlap 0.
#[test]
fn a_node_whose_lines_dropped_lets_go_as_early_as_its_peer_takes() {
    testing::in_fair_lab(|| {
        let scene = learned(Wiring::Full);
        let start = now();
        scene.unplug();
        let mut rules = PortRules::silent();
        rules.to_node = Default::default();
        scene.set_lan(Side::A, rules);
        let (held, _) = scene.wait_for_service_by(Side::B);
        println!("cut off one way with lines dropped: taken after {}", held.since(start));
        scene.assert_never_both();
    });
}
