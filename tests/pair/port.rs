//! What other programs do to a serial port that the daemon has open.

use std::thread;

use crosswire::pair::Side;
use nix::libc::TIOCM_RTS;

use crate::lab::clock::now;
use crate::lab::modem::Wiring;
use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms, unwrapped};

/// A pair with all lines whose ports mind each other's speed; a look at a port is much shorter than
/// dead_after.
fn wired() -> Scene {
    let setup =
        Setup { late_after_ms: 1_000, dead_after_ms: 2_000, lines: Some(Wiring::Full), ..Setup::default() };
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
    scene
        .log_of(side)
        .lines()
        .filter(|line| line.contains("another program has set the port otherwise"))
        .count()
}

/// Fault: another program sets the running port's speed, its flow control, and everything to what a terminal
/// has; once more and again for a while. Required: each time the port is as it was before the path is silent;
/// it is said, and not each time; nothing moves.
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
        // On a busy machine a guard may have put another agent in the place of one that was late.
        let agents = 1 + scene.log_of(Side::B).matches("another one goes on in its place").count();
        assert!((1..=2 * agents).contains(&told(&scene, Side::B)), "{}", scene.log_of(Side::B));
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

/// What `status` says to people.
fn screen(scene: &Scene, side: Side) -> String {
    unwrapped(&scene.say(side, &["status"]).text)
}

/// Situation: the port is not there.
/// Required: `status` says why the path is blind, and when it is tried again.
#[test]
fn a_blind_path_says_why_and_when_it_is_tried_again() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::new(Setup::default());
        let device = scene.cable().device(Side::B).display().to_string();
        scene.rewrite(Side::B, &device, "/dev/ttyUSB99");
        scene.begin(Side::B);
        let is_told = |s: &Scene| screen(s, Side::B).contains("No such file or directory: tried again ");
        scene.expect_soon("the reason", PATIENCE, is_told);
        let away = scene.status(Side::B)["paths"][0]["away"].to_string();
        assert!(away.contains("No such file or directory"), "{away}");
    });
}

/// Fault: the peer is off, and its BIOS or kernel prints on a cable of three wires without end.
/// Required: `status` says that somebody prints, and what to do; that does it.
#[test]
fn a_dead_box_that_prints_is_named_and_an_operator_can_take_over_from_it() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        scene.power_cut(Side::A).expect("its processes die");
        // More than a frame may have each time: text is noise once that much of it has come.
        let text = b"\r\nPress F1 to continue, DEL to enter SETUP".repeat(5);
        let print = |s: &Scene| s.cable().inject(Side::B, &text).map(|_| ());
        let is_told = |s: &Scene| {
            let told = screen(s, Side::B);
            told.contains("somebody prints on the cable") && told.contains("takeover GROUP --peer-is-off")
        };
        scene.expect_soon("word of it", PATIENCE, |s| print(s).is_ok() && is_told(s));
        print(&scene).expect("the port takes bytes");
        // On a busy machine the text may have begun so late that the silence before it was proof enough.
        if scene.holder().expect("the observer").is_none() {
            let said = scene.say(Side::B, &["takeover", "gateway", "--peer-is-off"]);
            println!("taken over by hand: {said:?}");
        }
        scene.wait_for_service_by(Side::B);
    });
}

/// Fault: our own frames come back on the cable beside the peer's.
/// Required: `status` says so although the path is on time.
#[test]
fn an_own_echo_beside_a_live_peer_is_shown() {
    testing::in_fair_lab(|| {
        let scene = wired();
        let is_shown = |s: &Scene| {
            let sent = s.cable().recorded(Side::B);
            let tail = sent.get(sent.len().saturating_sub(300)..).unwrap_or_default();
            s.cable().inject(Side::B, tail).expect("the port takes bytes");
            screen(s, Side::B).contains("our own frames come back")
        };
        scene.expect_soon("word of it", PATIENCE, is_shown);
        assert_eq!(scene.path_state(Side::B, 0), "on time");
        assert!(scene.log_of(Side::B).contains("our own frames come back"), "{}", scene.log_of(Side::B));
    });
}

/// Fault: a getty on the standby's port is started again every two seconds: it opens the port, makes it a
/// terminal's, and prints. Required: no move; a few lines at either node; the cable is on time in the end.
#[test]
fn a_getty_that_is_started_again_and_again_on_the_port_is_some_lines() {
    testing::in_fair_lab(|| {
        let scene = wired();
        let start = now();
        let count = |s: &Scene| [Side::A, Side::B].map(|side| s.log_of(side).lines().count());
        let before = count(&scene);
        for _ in 0..8 {
            scene.modem().open_beside(Side::B);
            assert_eq!(stty(&scene, Side::B, "sane").code, Some(0));
            scene
                .cable()
                .inject(Side::A, b"\r\nDebian GNU/Linux gw2 ttyS0\r\n\r\ngw2 login: ")
                .expect("room");
            thread::sleep(ms(2_000));
        }
        let after = count(&scene);
        println!("a getty, 8 times: {:?} lines", [after[0] - before[0], after[1] - before[1]]);
        for side in [Side::A, Side::B] {
            let lines = after[side.index()] - before[side.index()];
            assert!(lines <= 16, "{lines} lines:\n{}", scene.log_of(side));
        }
        scene.expect_soon("a cable on time", PATIENCE, |s| s.path_state(Side::A, 0) == "on time");
        scene.assert_nothing_moved(Side::A, start);
        scene.assert_never_both();
    });
}
