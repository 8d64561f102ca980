//! Row 18, and what makes one node better off than the other: carriers and witnesses.

use std::thread;

use crosswire::pair::Side;

use crate::lab::clock::now;
use crate::lab::setup::{CLIENT, Setup};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

const BOTH: [Side; 2] = [Side::A, Side::B];
/// From the loss of carrier until the peer serves.
const HANDED_OVER_MS: u64 = 200;
/// Four times dead_after and lease.
const WATCHED_MS: u64 = 4_000;

fn why(scene: &Scene, side: Side) -> String {
    scene.say(side, &["why"]).text
}

/// Fault: the interface of the service address loses its carrier on the active node, which is the LAN path
/// too. Required: handed over by cable within 200 ms of the carrier event; nothing moves when the carrier is
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
        assert!(why(&scene, Side::A).contains("gw2 is better off"), "{}", why(&scene, Side::A));
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
        assert!(why(&scene, Side::A).contains("gw2 is better off"), "{}", why(&scene, Side::A));
        scene.assert_never_both();
    });
}
