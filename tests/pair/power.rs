//! Row 1: power.

use crosswire::pair::Side;

use crate::lab::testing;
use crate::scene::{Scene, at_most};

/// Fault: the active node loses power; cable, links and kernel are silent at once.
/// Required: the peer serves the client within dead_after + 50 ms; overlap 0.
#[test]
fn row_1_power_cut_of_the_active() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let cut = scene.power_cut(Side::A).expect("its processes die");
        scene.wait_for_service_by(Side::B);
        let outage = scene.assert_outage_below(at_most(550), cut);
        println!("row 1: outage {outage}");
        scene.assert_never_both();
    });
}

/// Fault: a node that lost power comes back while its peer serves.
/// Required: nothing moves (failback is manual); overlap 0.
#[test]
fn row_1_power_back_is_no_reason_to_move() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        scene.power_cut(Side::A).expect("its processes die");
        let (_, served) = scene.wait_for_service_by(Side::B);
        scene.power_on(Side::A).expect("power");
        scene.begin(Side::A);
        scene.settle(Side::B);
        scene.assert_outage_below(at_most(50), served);
        scene.assert_never_both();
    });
}
