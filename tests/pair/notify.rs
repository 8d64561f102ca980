//! The operator's program: told of every change, and never waited for.

use std::fs;

use crosswire::pair::Side;
use nix::sys::signal::{Signal, kill};
use tempfile::TempDir;

use crate::beats::Beats;
use crate::lab::executable::write_executable;
use crate::lab::setup::{CLIENT, GROUP, Setup};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};
use crate::scripts::assert_on_time;

/// A pair that tells a program with this body; nothing has begun yet.
fn telling(body: &str) -> (TempDir, Scene) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("notify");
    write_executable(&program, &format!("#!/bin/sh\ncd {}\n{body}\n", directory.path().display()));
    let quorum = format!("witness = [\"{CLIENT}\"]\n");
    let scene = Scene::new(Setup { prefer: Some(Side::A), quorum, ..Setup::default() });
    for side in [Side::A, Side::B] {
        scene.rewrite(
            side,
            "pair = \"lab\"",
            &format!("pair = \"lab\"\nnotify = {:?}", program.display().to_string()),
        );
    }
    (directory, scene)
}

fn story(directory: &TempDir) -> String {
    fs::read_to_string(directory.path().join("story")).unwrap_or_default()
}

/// Fault: the beats of the LAN are lost, and come again; the witness is lost, and the guard of the standby
/// stands still for a while; a handover; one node stops. Required: the program of each node is told of its
/// roles, the verdict, the path, jeopardy, the witness and whether its peer is ready, each with its facts, to
/// the last.
#[test]
fn section_8_a_program_is_told_of_every_change() {
    testing::in_fair_lab(|| {
        let (directory, mut scene) = telling(
            "about=$CROSSWIRE_PATH$CROSSWIRE_GROUP$CROSSWIRE_WITNESS\n\
             echo \"$CROSSWIRE_NODE $1 $about: $CROSSWIRE_WAS > $CROSSWIRE_NOW\" \
                >>story",
        );
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        // An agent that a busy machine has replaced says it of its own start too.
        let jeopardies = || story(&directory).matches("gw1 jeopardy : no > yes").count();
        let before = jeopardies();
        scene.block_lan_beats(true);
        scene.expect_soon("jeopardy", PATIENCE, |_| jeopardies() > before);
        scene.block_lan_beats(false);
        scene.settle(Side::A);
        let guard = scene.guard(Side::B).expect("a guard");
        kill(guard, Signal::SIGSTOP).expect("it lives");
        scene.switch().set(scene.client_port(0), PortRules::silent());
        let is_told = |line: &str| story(&directory).contains(line);
        scene.expect_soon("a peer that is not ready, and no witness", PATIENCE, |_| {
            is_told("gw1 readiness : able > unable")
                && is_told(&format!("gw1 witness {CLIENT}: seen > unseen"))
        });
        kill(guard, Signal::SIGCONT).expect("it lives");
        scene.heal().expect("healed");
        scene.expect_soon("all of it again", PATIENCE, |_| {
            is_told("gw1 readiness : unable > able")
                && story(&directory).matches(&format!("witness {CLIENT}: unseen > seen")).count() > 2
        });
        scene.settle(Side::A);
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::B);
        scene.stop(Side::A, PATIENCE).expect("stopped");
        scene.expect_soon("the end of the story", PATIENCE, |_| {
            story(&directory).contains("gw2 verdict : present > departed")
        });
        let told = story(&directory);
        for line in [
            "gw1 role gateway: backup > acquiring",
            "gw1 role gateway: acquiring > active",
            "gw2 verdict : doubtful > present",
            "gw1 jeopardy : yes > no",
            "> broken",
            "gw1 role gateway: active > releasing",
            "gw2 role gateway: acquiring > active",
        ] {
            assert!(told.contains(line), "{line:?} is not in\n{told}");
        }
    });
}

/// Fault: the program forks, floods its output, hears no TERM and never ends. Required: beats are on time,
/// the group moves; the rest waits, is dropped and counted; a node stops in bounded time.
#[test]
fn section_8_a_program_that_hangs_holds_up_nothing() {
    testing::in_fair_lab(|| {
        let (directory, mut scene) = telling(
            "trap '' TERM\necho x >>story\n(trap '' TERM; while :; do echo one line of a flood; sleep 0.001; \
                done) &\n\
             while :; do sleep 1; done",
        );
        let beats = [Side::A, Side::B].map(|side| Beats::of(&scene, side));
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        for (side, holder) in [(Side::A, Side::B), (Side::B, Side::A)].into_iter().cycle().take(6) {
            scene.expect_soon("a handover", PATIENCE, |scene| {
                scene.say(side, &["handover", GROUP]).code == Some(0)
            });
            scene.settle(holder);
        }
        assert_on_time("notify hangs", beats);
        assert_eq!(story(&directory).lines().count(), 2, "one of each node runs");
        scene.stop(Side::A, PATIENCE).expect("stopped");
        scene
            .expect_soon("the end", PATIENCE, |scene| scene.log_of(Side::A).contains("notices are given up"));
        scene.assert_never_both();
    });
}
