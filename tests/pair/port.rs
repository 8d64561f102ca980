//! What other programs do to a serial port that the daemon has open.

use std::thread;

use crosswire::config::Side;
use nix::libc::TIOCM_RTS;

use crate::lab::clock::now;
use crate::lab::modem::Wiring;
use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms};

/// A pair with all lines whose ports mind each other's speed; a look at a port is much shorter than dead_after.
fn wired() -> Scene {
    let setup = Setup { late_after_ms: 1_000, dead_after_ms: 2_000, lines: Some(Wiring::Full), ..Setup::default() };
    let mut scene = Scene::new(setup);
    scene.cable().mind_speeds();
    scene.begin(Side::A);
    scene.begin(Side::B);
    scene.settle(Side::A);
    scene
}

/// How a node's port is set.
fn settings(scene: &Scene, side: Side) -> String {
    stty(scene, side, "-g").text
}

fn stty(scene: &Scene, side: Side, what: &str) -> crate::scene::Said {
    let mut command = std::process::Command::new("/bin/busybox");
    command.arg("stty").arg("-F").arg(scene.cable().device(side)).args(what.split(' '));
    crate::scene::run(command)
}

fn told(scene: &Scene, side: Side) -> usize {
    scene.log_of(side).lines().filter(|line| line.contains("another program has set the port otherwise")).count()
}

/// Fault: another program sets the running port's speed, its flow control, and everything to what a terminal has; once more
/// and again for a while.
/// Required: each time the port is as it was before the path is silent; it is said, and not each time; nothing moves.
#[test]
fn what_another_program_sets_on_a_running_port_is_put_right() {
    testing::in_fair_lab(|| {
        let scene = wired();
        let start = now();
        let before = settings(&scene, Side::B);
        assert_eq!(told(&scene, Side::B), 0);
        for what in ["9600", "ixon", "sane", "crtscts", "icanon echo"] {
            let said = stty(&scene, Side::B, what);
            assert_eq!(said.code, Some(0), "{said:?}");
            scene.expect_soon(what, PATIENCE, |s| settings(s, Side::B) == before);
        }
        for _ in 0..10 {
            assert_eq!(stty(&scene, Side::B, "9600").code, Some(0));
            thread::sleep(ms(300));
        }
        scene.expect_soon("the old settings", PATIENCE, |s| settings(s, Side::B) == before);
        assert!((1..=2).contains(&told(&scene, Side::B)), "{}", scene.log_of(Side::B));
        scene.expect_soon("a cable on time", PATIENCE, |s| s.path_state(Side::A, 0) == "on time");
        scene.assert_nothing_moved(Side::A, start);
        scene.assert_never_both();
    });
}

/// Fault: another program opens the backup's port, for which the kernel raises both outputs.
/// Required: RTS is down again, and the peer sees nobody who holds services.
#[test]
fn lines_that_an_open_by_another_program_raises_are_dropped_again() {
    testing::in_fair_lab(|| {
        let scene = wired();
        let lines = |s: &Scene| s.status(Side::A)["paths"][0]["lines"].clone();
        scene.expect_soon("lines that are believed", PATIENCE, |s| lines(s) == "running");
        for _ in 0..5 {
            scene.modem().open_beside(Side::B);
            let is_down = |s: &Scene| s.modem().shown_at(Side::B) & TIOCM_RTS == 0;
            scene.expect_soon("RTS that says what is true", PATIENCE, is_down);
        }
        scene.expect_soon("the peer's view", PATIENCE, |s| lines(s) == "running");
    });
}
