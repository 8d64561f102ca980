//! Two boxes whose files differ for a while, and operators who do not know of each other.

use std::thread;

use crosswire::config::Side;

use crate::lab::clock::now;
use crate::lab::setup::{CLIENT, Setup};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms};

const SLOW: &str = "interval = \"250ms\"\nlate_after = \"750ms\"\ndead_after = \"1500ms\"\nlease = \"3000ms\"\n";
const FAST: &str = "interval = \"100ms\"\nlate_after = \"300ms\"\ndead_after = \"500ms\"\nlease = \"1000ms\"\n";

/// Operator: shorter times in the file of the standby, which is reloaded, and seconds later in that of the active node; then
/// the same the other way round and with longer times. A witness is configured.
/// Required: nothing moves, and the standby takes over on time afterwards.
#[test]
fn a_rolling_change_of_times_moves_nothing() {
    testing::in_fair_lab(|| {
        let slow =
            Setup { interval_ms: 250, late_after_ms: 750, dead_after_ms: 1_500, lease_ms: 3_000, ..Setup::default() };
        let mut scene = Scene::serving_with(Setup { quorum: format!("witness = [\"{CLIENT}\"]\n"), ..slow });
        let since = now();
        for (sides, from, to) in [([Side::B, Side::A], SLOW, FAST), ([Side::A, Side::B], FAST, SLOW)] {
            for side in sides {
                scene.rewrite(side, from, to);
                let said = scene.say(side, &["reload"]);
                assert_eq!(said.code, Some(0), "{said:?}");
                thread::sleep(ms(5_000));
            }
        }
        scene.assert_nothing_moved(Side::A, since);
        scene.power_cut(Side::A).expect("cut");
        scene.wait_for_service_by(Side::B);
        scene.assert_never_both();
    });
}

/// Operators: `standby` on one node, and three seconds later `standby --force` on the other one; then the other way round.
/// Required: both stand by until one of them is told otherwise.
#[test]
fn a_forced_standby_cancels_no_other() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        for first in [Side::A, Side::B] {
            let said = scene.say(first, &["standby"]);
            assert_eq!(said.code, Some(0), "{said:?}");
            scene.settle(first.peer());
            thread::sleep(ms(3_000));
            let said = scene.say(first.peer(), &["standby", "--force"]);
            assert_eq!(said.code, Some(0), "{said:?}");
            scene.expect_soon("nobody serves", PATIENCE, |scene| scene.holds().iter().all(|hold| hold.until.is_some()));
            thread::sleep(ms(3_000));
            assert!(scene.holds().iter().all(|hold| hold.until.is_some()), "{:?}", scene.holds());
            for side in [Side::A, Side::B] {
                assert_eq!(scene.status(side)["standby"], true);
                assert_eq!(scene.say(side, &["online"]).code, Some(0));
            }
            scene.expect_soon("somebody serves", PATIENCE, |scene| scene.holder().is_ok_and(|side| side.is_some()));
        }
        scene.assert_never_both();
    });
}
