//! Row 18, and what makes one node better off than the other: carriers and witnesses.

use std::thread;

use crosswire::pair::Side;

use crate::lab::clock::now;
use crate::lab::setup::{CLIENT, Setup};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

const BOTH: [Side; 2] = [Side::A, Side::B];
/// From the loss of carrier until the peer serves: carrier_delay, and the move.
const HANDED_OVER_MS: u64 = 500;
/// Four times dead_after and lease.
const WATCHED_MS: u64 = 4_000;

fn why(scene: &Scene, side: Side) -> String {
    scene.say(side, &["why"]).text
}

/// Fault: the interface of the service address loses its carrier on the active node, which is the LAN path
/// too. Required: handed over by cable within 200 ms of carrier_delay after
/// the carrier event; nothing moves when the carrier is
/// back.
#[test]
fn row_18_carrier_lost_on_the_active() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let lost = now();
        scene.set_carrier(Side::A, false).expect("no carrier");
        let (held, served) = scene.wait_for_service_by(Side::B);
        println!(
            "row 18: held by the peer after {}, client served after {}",
            held.since(lost),
            served.since(lost)
        );
        assert!(held.since(lost) <= at_most(HANDED_OVER_MS), "handed over only after {}", held.since(lost));
        assert!(
            why(&scene, Side::A).contains("gw2 is better off: an interface of it has no carrier here"),
            "{}",
            why(&scene, Side::A)
        );
        scene.set_carrier(Side::A, true).expect("carrier");
        scene.settle(Side::B);
        assert_eq!(scene.holds().len(), 2, "and there it stays: {:?}", scene.holds());
        scene.assert_never_both();
    });
}

/// Fault: the standby loses its carrier, then the active node too; then the standby's comes back. Required:
/// never to a worse node, nor to one that is no better: nothing moves while both lack it; when only the
/// active node lacks it, handed over.
#[test]
fn row_18_never_to_a_worse_node() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        scene.set_carrier(Side::B, false).expect("no carrier");
        scene
            .expect_soon("word of it", PATIENCE, |scene| BOTH.iter().all(|side| scene.is_in_jeopardy(*side)));
        let said = scene.say(Side::A, &["handover", "gateway"]);
        assert!(said.code == Some(1) && said.text.starts_with("refused: "), "{said:?}");
        scene.set_carrier(Side::A, false).expect("no carrier");
        thread::sleep(ms(WATCHED_MS));
        assert_eq!(scene.holds().len(), 1, "{:?}", scene.holds());
        assert_eq!(scene.holder().expect("the observer lost nothing"), Some(Side::A));
        scene.set_carrier(Side::B, true).expect("carrier");
        scene.wait_for_service_by(Side::B);
        scene.set_carrier(Side::A, true).expect("carrier");
        scene.settle(Side::B);
        scene.assert_never_both();
    });
}

/// Fault: a switch restarts: both nodes lose carrier for 5 s, and have it back, one port after the other.
/// Required: nothing is stopped and nothing moves where the ports are no more than carrier_delay apart;
/// otherwise the group moves once. Overlap 0.
#[test]
fn row_32_carrier_of_both_lost_for_five_seconds() {
    let at_once: [(u64, [Side; 2]); 2] = [(0, BOTH), (100, BOTH)];
    let from_the_other = [(100, [Side::B, Side::A])];
    for (apart_ms, order) in at_once.into_iter().chain(from_the_other) {
        testing::in_fair_lab(move || {
            let scene = Scene::serving();
            let started = now();
            restart_switch(&scene, apart_ms, order, order);
            scene.settle(Side::A);
            thread::sleep(ms(1_000));
            let holds = scene.holds();
            assert!(matches!(holds[..], [ref one] if one.until.is_none()), "{apart_ms} ms apart: {holds:?}");
            println!("row 32, {apart_ms} ms apart: back after {}", now().since(started));
        });
    }
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        // The one that serves by then is back first.
        restart_switch(&scene, 1_000, BOTH, [Side::B, Side::A]);
        scene.settle(Side::B);
        assert_eq!(scene.holds().len(), 2, "one move: {:?}", scene.holds());
        scene.assert_never_both();
    });
}

/// The ports of a switch lose their carrier in one order, and have it back 5 s later in the other.
fn restart_switch(scene: &Scene, apart_ms: u64, down: [Side; 2], up: [Side; 2]) {
    for (is_up, [first, second]) in [(false, down), (true, up)] {
        scene.set_carrier(first, is_up).expect("done");
        thread::sleep(ms(apart_ms));
        scene.set_carrier(second, is_up).expect("done");
        thread::sleep(ms(if is_up { 0 } else { 5_000 }));
    }
}

/// Fault: the active node does not see the witness for less than two intervals, again and again; then neither
/// node does; then the standby alone does. Required: a short loss moves nothing, and neither does one that
/// both share; the last one is handed over by cable.
#[test]
fn a_witness_moves_nothing_by_a_short_loss_or_one_that_both_share() {
    testing::in_fair_lab(|| {
        let quorum = format!("witness = [\"{CLIENT}\"]\n");
        let scene = Scene::serving_with(Setup { quorum, ..Setup::default() });
        thread::sleep(ms(1_000));
        let start = now();
        for _ in 0..10 {
            scene.set_lan(Side::A, PortRules::silent());
            thread::sleep(ms(60));
            scene.set_lan(Side::A, PortRules::default());
            thread::sleep(ms(400));
        }
        assert_eq!(scene.holds().len(), 1, "a short loss: {:?}", scene.holds());
        for side in BOTH {
            scene.set_lan(side, PortRules::silent());
        }
        thread::sleep(ms(WATCHED_MS));
        assert_eq!(scene.holds().len(), 1, "both share it: {:?}", scene.holds());
        assert!(now().since(start) > at_most(HANDED_OVER_MS));
        for side in BOTH {
            scene.set_lan(side, PortRules::default());
        }
        scene.settle(Side::A);
        thread::sleep(ms(1_000));
        scene.set_lan(Side::A, PortRules::silent());
        scene.wait_for_service_by(Side::B);
        assert!(
            why(&scene, Side::A).contains("gw2 is better off: it sees more witnesses"),
            "{}",
            why(&scene, Side::A)
        );
        scene.assert_never_both();
    });
}
