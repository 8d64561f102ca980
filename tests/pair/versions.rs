//! A pair of which one node runs the build before: a rolling upgrade, step by step, on real processes.
//!
//! `CROSSWIRE_OLD_BINARY` names a daemon that speaks protocol 1 only; `.ci/run` builds one where git has it.
//! Without it the peer of `tests/peer` stands for it ([`crate::peer`]).

use std::path::{Path, PathBuf};

use crosswire::pair::Side;

use crate::lab::setup::{GROUP, Setup};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};

/// The build before, if there is one here.
fn old_binary() -> Option<PathBuf> {
    let old = std::env::var_os("CROSSWIRE_OLD_BINARY").map(PathBuf::from);
    testing::is_given("CROSSWIRE_OLD_BINARY", old.is_some()).then_some(old).flatten()
}

/// Hands the group over and back, each time by the command of the node that lets go.
fn there_and_back(scene: &Scene, from: Side) {
    for (from, to) in [(from, from.peer()), (from.peer(), from)] {
        // Refused as long as the other node still says that it has just let the group go.
        scene.expect_soon("a handover", PATIENCE, |scene| {
            scene.say(from, &["handover", GROUP]).code == Some(0)
        });
        scene.settle(to);
    }
    scene.assert_never_both();
}

/// Stops a node, which says goodbye, and starts another build in its place. The other one serves then.
fn replace(scene: &mut Scene, side: Side, binary: &Path) {
    scene.stop(side, PATIENCE).expect("it ends");
    scene.set_binary(side, binary);
    scene.begin(side);
    scene.settle(side.peer());
}

/// In which version each of them speaks to the other; nothing of an old one, which does not say.
fn spoken(scene: &Scene) -> [Option<u64>; 2] {
    [Side::A, Side::B].map(|side| scene.status(side)["peer"]["protocol"].as_u64())
}

/// Operator: stops the build before on one node and starts this one, then on the other; then goes back
/// likewise. Required: handed over both ways at each step, on both paths, with the file that both had; never
/// both.
#[test]
fn a_rolling_upgrade_and_back() {
    testing::in_fair_lab(|| {
        let Some(old) = old_binary() else { return };
        let new = Path::new(env!("CARGO_BIN_EXE_crosswire"));
        let mut scene = Scene::with_binary(&old, Setup::default());
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        let mut serves = Side::A;
        let steps = [
            (Side::B, new, [None, Some(1)]),
            (Side::A, new, [Some(2), Some(2)]),
            (Side::B, &old, [Some(1), None]),
            (Side::A, &old, [None, None]),
        ];
        for (side, binary, speak) in steps {
            if side == serves {
                serves = serves.peer();
            }
            replace(&mut scene, side, binary);
            there_and_back(&scene, serves);
            assert_eq!(spoken(&scene), speak);
        }
        scene.assert_never_both();
    });
}
