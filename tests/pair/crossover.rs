//! A LAN path that is a cable from box to box: its carrier goes with the peer's power.

use std::thread;

use crosswire::pair::Side;

use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

/// Heartbeats go by eth1, without a switch; the service address lives on eth0.
fn pair_by_cable(link: &str) -> Scene {
    let mut scene = Scene::new(Setup { second_lan: true, ..Setup::default() });
    for side in [Side::A, Side::B] {
        scene.rewrite(side, "lan = \"10.77.0.1\"", "lan = \"10.78.0.1\"");
        scene.rewrite(side, "lan = \"10.77.0.2\"", "lan = \"10.78.0.2\"");
        scene.rewrite(side, "[lan]\ninterface = \"eth0\"\n", &format!("[lan]\ninterface = \"eth1\"\n{link}"));
    }
    scene.begin(Side::A);
    scene.begin(Side::B);
    scene.settle(Side::A);
    scene
}

fn set_cable(scene: &Scene, side: Side, is_there: bool) {
    scene.switch().set_carrier(scene.port(side, 1), is_there).expect("a carrier");
}

/// Fault: the active node loses power, and with it the carrier at the other end of the cable.
/// Required: with `link = "crossover"` taken over as after any power loss; overlap 0.
#[test]
fn a_power_loss_that_takes_the_carrier_along_is_taken_over() {
    testing::in_fair_lab(|| {
        let mut scene = pair_by_cable("link = \"crossover\"\n");
        let cut = scene.power_cut(Side::A).expect("its processes die");
        set_cable(&scene, Side::B, false);
        scene.wait_for_service_by(Side::B);
        scene.assert_outage_below(at_most(550), cut);
        scene.assert_never_both();
    });
}

/// Fault: the cable between the boxes is pulled, so that both lose the carrier, and put back; then our own
/// end is switched off. Required: the serial cable says that the peer lives; nothing moves. Pulled, the path
/// is no longer heard; switched off it is blind.
#[test]
fn a_pulled_cable_from_box_to_box_moves_nothing() {
    testing::in_fair_lab(|| {
        let scene = pair_by_cable("link = \"crossover\"\n");
        let both = [Side::A, Side::B];
        both.iter().for_each(|side| set_cable(&scene, *side, false));
        scene.expect_soon("a path that is not heard", PATIENCE, |scene| {
            both.iter().all(|side| scene.path_state(*side, 1) == "broken")
        });
        thread::sleep(ms(2_000));
        both.iter().for_each(|side| set_cable(&scene, *side, true));
        scene.settle(Side::A);
        let end = scene.switch().node_interface(scene.port(Side::A, 1));
        scene.namespace(Side::A).rtnl().set_up(end, false).expect("switched off");
        scene.expect_soon("a blind path", PATIENCE, |scene| scene.path_state(Side::A, 1) == "blind");
        assert_eq!(scene.holds().len(), 1, "{:?}", scene.holds());
        scene.assert_never_both();
    });
}
