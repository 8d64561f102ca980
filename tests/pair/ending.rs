//! How long the end of a daemon takes where nobody can be told of it.

use std::time::Duration;

use crosswire::pair::Side;

use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};

/// Far below what an agent that says goodbye may take.
const SOON: Duration = Duration::from_secs(10);

/// Situation: no path of gw1 can carry anything (its port is gone, its link is dark); the operator ends the
/// daemon. Required: it lets go and ends at once, as told: nothing can be said to anybody.
#[test]
fn a_daemon_whose_paths_are_all_blind_ends_at_once_and_well() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::new(Setup::default());
        let device = scene.cable().device(Side::A).display().to_string();
        scene.rewrite(Side::A, &device, "/dev/no-such-tty");
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.expect_service_by(Side::A);
        scene.set_carrier(Side::A, false).expect("no carrier");
        scene.expect_soon("no path", PATIENCE, |scene| {
            (0..2).all(|path| scene.path_state(Side::A, path) == "blind")
        });
        let ended = scene.stop(Side::A, SOON).expect("it ends soon");
        assert_eq!(ended.code(), Some(0), "{}", scene.log_of(Side::A));
        scene.assert_never_both();
    });
}
