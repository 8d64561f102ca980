//! Row 21, for a group with scripts: what the operator sees of a planned move, and what becomes of one that
//! fails.

use std::fs::{self, File};
use std::io::Read;
use std::process::Stdio;
use std::thread;

use crosswire::pair::Side;
use nix::pty::openpty;
use tempfile::TempDir;

use crate::lab::executable::write_executable;
use crate::lab::setup::{GROUP, Setup};
use crate::lab::testing;
use crate::scene::{Scene, ms};

/// Two scripts that note what they are asked, and take a second or fail where a file says so.
const BODY: &str = "echo \"$CROSSWIRE_NODE ${0##*/} $1\" >>story\n[ ! -e \"$CROSSWIRE_NODE-$1-takes\" ] || \
    sleep 1\n\
                    [ ! -e \"$CROSSWIRE_NODE-$1-fails\" ]\n";

struct Services(TempDir);

impl Services {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!("#!/bin/sh\ncd {}\n{BODY}", directory.path().display());
        for name in ["first", "second"] {
            write_executable(&directory.path().join(name), &text);
        }
        Self(directory)
    }

    fn serving(&self) -> Scene {
        let script = |name: &str| format!("exec:{}", self.0.path().join(name).display());
        Scene::serving_with(Setup {
            prefer: Some(Side::A),
            scripts: vec![script("first"), script("second")],
            more: "safety = \"probe\"".into(),
            ..Setup::default()
        })
    }

    fn story(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.path().join("story")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Runs a command whose errors go to a terminal; what it wrote there and elsewhere, and its exit code.
fn on_a_terminal(scene: &Scene, side: Side, arguments: &[&str]) -> (String, String, Option<i32>) {
    let pty = openpty(None, None).expect("a terminal");
    let mut command = scene.command(side, arguments).expect("a command");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(pty.slave);
    let child = command.spawn().expect("the binary can be run");
    // Our copy of the slave goes, or the reading would never end.
    drop(command);
    let mut master = File::from(pty.master);
    let reader = thread::spawn(move || {
        let (mut text, mut room) = (Vec::new(), [0; 4_096]);
        // A terminal without another end is an error.
        while let Ok(length @ 1..) = master.read(&mut room) {
            text.extend_from_slice(&room[..length]);
        }
        String::from_utf8_lossy(&text).replace('\r', "")
    });
    let output = child.wait_with_output().expect("it ends");
    (reader.join().expect("read"), String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

/// The lines stand in the text in this order, others between them.
fn assert_in_order(text: &str, lines: &[&str]) {
    let mut rest = text.lines();
    for line in lines {
        assert!(
            rest.any(|found| found.trim_start().starts_with(line)),
            "{line:?} is not in its place in\n{text}"
        );
    }
}

/// Operator: `handover` on a terminal. Required: each script shows as it stops here and starts there, then
/// that the peer serves; the outcome and its exit code; without a terminal, the outcome alone.
#[test]
fn row_21_progress_on_the_terminal() {
    testing::in_fair_lab(|| {
        let services = Services::new();
        let scene = services.serving();
        let script = |name: &str, what: &str| {
            format!("gw1: group {GROUP}: exec:{} {what}", services.0.path().join(name).display())
        };
        let (shown, said, code) = on_a_terminal(&scene, Side::A, &["handover", GROUP]);
        assert!(code == Some(0) && said.starts_with("done: gw2 serves group gateway ("), "{code:?} {said:?}");
        let [second, first] = ["second", "first"].map(|name| script(name, "stops"));
        let releasing = format!("gw1: group {GROUP}: releasing (was active)");
        assert_in_order(&shown, &[&releasing, &second, &first]);
        let started = |name: &str| script(name, "starts").replace("gw1", "gw2");
        let active = format!("gw2: group {GROUP}: active (was acquiring)");
        assert_in_order(&shown, &[&releasing, &started("first"), &started("second"), &active]);
        scene.settle(Side::B);
        let (shown, said, code) = on_a_terminal(&scene, Side::A, &["takeover", GROUP]);
        assert!(code == Some(0) && said.starts_with("done: gw1 serves group gateway ("), "{code:?} {said:?}");
        let [first, second] = ["first", "second"].map(|name| script(name, "starts"));
        assert_in_order(&shown, &[&first, &second, &format!("gw1: group {GROUP}: active (was acquiring)")]);
        scene.settle(Side::A);
        let said = scene.say(Side::B, &["takeover", GROUP]);
        assert_eq!((said.code, said.text.lines().count()), (Some(0), 1), "{said:?}");
        scene.assert_never_both();
    });
}

/// Operator: `standby`, and the peer takes its time to start.
/// Required: it is done only when the peer serves.
#[test]
fn row_21_standby_is_done_when_the_peer_serves() {
    testing::in_fair_lab(|| {
        let services = Services::new();
        let scene = services.serving();
        fs::write(services.0.path().join("gw2-start-takes"), "").expect("written");
        let said = scene.say(Side::A, &["standby"]);
        assert!(said.code == Some(0) && said.text.starts_with("done: gw1 holds nothing ("), "{said:?}");
        let started =
            services.story().iter().filter(|line| line.starts_with("gw2") && line.ends_with("start")).count();
        assert_eq!(started, 2, "{:?}", services.story());
        assert_eq!(scene.role(Side::B), "active");
        scene.assert_never_both();
    });
}

/// Operator: `standby`, and a script does not start on the peer; then `standby --force`. Required: the
/// command says which group nobody serves, with exit code 1; with `--force` it is enough that nothing is
/// held.
#[test]
fn row_21_standby_says_what_nobody_serves() {
    testing::in_fair_lab(|| {
        let services = Services::new();
        let scene = services.serving();
        fs::write(services.0.path().join("gw2-start-fails"), "").expect("written");
        let said = scene.say(Side::A, &["standby"]);
        let expected = "failed: nothing is held here, and the peer does not serve gateway: nobody does;";
        assert!(said.code == Some(1) && said.text.starts_with(expected), "{said:?}");
        let said = scene.say(Side::A, &["standby", "--force"]);
        assert!(said.code == Some(0) && said.text.starts_with("done: gw1 holds nothing ("), "{said:?}");
        scene.assert_never_both();
    });
}

/// Operator: `handover` to a peer on which a script does not start; then `takeover` on it. Required: the peer
/// stops what it has started, and the old node serves again; the command says so, with exit code 1.
#[test]
fn row_21_a_peer_that_cannot_start_gives_it_back() {
    testing::in_fair_lab(|| {
        let services = Services::new();
        let scene = services.serving();
        fs::write(services.0.path().join("gw2-start-fails"), "").expect("written");
        let before = services.story().len();
        let said = scene.say(Side::A, &["handover", GROUP]);
        let expected = "failed: group gateway: it failed on gw2; gw1 serves it (";
        assert!(said.code == Some(1) && said.text.starts_with(expected), "{said:?}");
        assert!(scene.is_at_rest(Side::A, "active"), "{}", scene.status(Side::A));
        let story = services.story().split_off(before);
        let back = [
            "gw1 second stop",
            "gw1 first stop",
            "gw2 first start",
            "gw2 first stop",
            "gw1 first start",
            "gw1 second start",
        ];
        assert_eq!(story, back);
        fs::remove_file(services.0.path().join("gw2-start-fails")).expect("removed");
        scene.expect_soon("the peer is well again", crate::scene::PATIENCE, |scene| {
            scene.is_at_rest(Side::B, "backup")
        });
        let said = scene.say(Side::B, &["takeover", GROUP]);
        assert!(said.code == Some(0) && said.text.starts_with("done: gw2 serves"), "{said:?}");
        thread::sleep(ms(1_000));
        scene.assert_never_both();
    });
}
