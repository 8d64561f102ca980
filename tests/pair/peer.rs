//! Beside a peer that follows `firmware-notes/protocol.md` alone, in another language (`tests/peer`): what
//! the notes say is what the daemon does, in both versions of the protocol.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crosswire::pair::Side;
use serde_json::json;

use crate::lab::address_log::Wanted;
use crate::lab::setup::{GROUP, LAN_PORT, NODE_NAMES, Setup, VIP, node_address};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};

const PYTHON: &str = "/usr/bin/python3";

/// The foreign node, in the place of gw2.
pub struct Foreign {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            self.said.extend(self.lines.try_iter());
            eprintln!("--- the foreign peer ---\n{}", self.said.join("\n"));
        }
    }
}

impl Foreign {
    /// Starts a program of `tests/peer`.
    pub fn begin(scene: &Scene, program: &str, version: u8) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer").join(program);
        let file = scene.directory(Side::B).join("peer.json");
        fs::write(&file, told(scene, version).to_string()).expect("written");
        let mut command = Command::new(PYTHON);
        command.arg("-B").arg(program).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        scene.namespace(Side::B).command_in(&mut command).expect("the node's namespace");
        let mut child = scene.spawn(command).expect("python runs");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, said: Vec::new() }
    }

    /// Says a word to it.
    pub fn order(&mut self, word: &str) {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{word}").expect("it listens");
    }

    /// Waits for a line that begins so.
    pub fn wait_for(&mut self, beginning: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("no {beginning:?}: {e}"));
            self.said.push(line.clone());
            if line.starts_with(beginning) {
                return line;
            }
        }
    }
}

/// The same facts as in the daemon's file, line by line as the notes say.
fn told(scene: &Scene, version: u8) -> serde_json::Value {
    let Setup { interval_ms, late_after_ms, dead_after_ms, lease_ms, baud, keys, .. } = scene.setup();
    let times = format!("{interval_ms}000 {late_after_ms}000 {dead_after_ms}000");
    let [a, b] = [Side::A, Side::B].map(|side| node_address(side, 0));
    json!({
        "pair": "lab", "side": 1, "version": version, "key": keys[1], "key_id": 1, "group": GROUP,
        "device": scene.cable().device(Side::B), "local": b, "remote": a, "port": LAN_PORT,
        "interval_ms": interval_ms, "dead_after_ms": dead_after_ms,
        "address": format!("{VIP}/24"), "interface": "eth0",
        "facts": [
            "pair lab".to_owned(),
            format!("nodes {} {}", NODE_NAMES[0], NODE_NAMES[1]),
            format!("serial {baud} {times}"),
            format!("lan {a} {b} {LAN_PORT} {times}"),
            format!("lease {lease_ms}000 cold_start 60000000 in_jeopardy hold"),
            format!("group {GROUP} prefer none failback manual safety probe"),
            format!("address {VIP}/24"),
        ],
    })
}

/// A daemon that serves on gw1, and such a peer, which knows it; nothing where there is no Python.
pub fn serving_beside(program: &str, version: u8) -> Option<(Scene, Foreign)> {
    if !testing::has_tools(&[PYTHON, "/sbin/ip"]) {
        return None;
    }
    let mut scene = Scene::new(Setup::default());
    scene.begin(Side::A);
    let mut foreign = Foreign::begin(&scene, program, version);
    for path in ["lan", "serial"] {
        foreign.wait_for(&format!("heard {path} in {version}"));
    }
    foreign.wait_for("peer active");
    scene.expect_soon("both paths on time", PATIENCE, |scene| scene.is_at_rest(Side::A, "active"));
    Some((scene, foreign))
}

/// Handshake on both paths, the group handed over both ways at the wish of either side, goodbye of either
/// side.
fn lives_beside(version: u8) {
    let Some((mut scene, mut foreign)) = serving_beside("peer.py", version) else { return };
    assert_eq!(
        scene.status(Side::A)["configurations_differ"],
        false,
        "the digest of the notes is the daemon's"
    );

    foreign.order("want");
    foreign.wait_for("role active");
    scene.wait_for(Wanted::Only(Side::B), PATIENCE).expect("handed over at the peer's wish");
    let said = scene.say(Side::A, &["takeover", GROUP]);
    assert_eq!(said.code, Some(0), "{said:?}");
    foreign.wait_for("peer active");
    scene.wait_for(Wanted::Only(Side::A), PATIENCE).expect("and back at the daemon's");
    let said = scene.say(Side::A, &["handover", GROUP]);
    assert_eq!(said.code, Some(0), "{said:?}");
    foreign.wait_for("role active");

    foreign.order("leave");
    foreign.wait_for("left");
    scene.wait_for(Wanted::Only(Side::A), PATIENCE).expect("what was let go for it is taken");
    scene
        .expect_soon("the goodbye is heard", PATIENCE, |scene| scene.status(Side::A)["peer"]["left"] == true);

    let mut foreign = Foreign::begin(&scene, "peer.py", version);
    foreign.wait_for("peer active");
    scene.expect_soon("both paths on time", PATIENCE, |scene| scene.is_at_rest(Side::A, "active"));
    scene.stop(Side::A, PATIENCE).expect("it ends");
    foreign.wait_for("role active");
    let line = foreign.wait_for("peer backup");
    assert!(line.ends_with("leaves") || foreign.wait_for("peer backup").ends_with("leaves"), "{line}");
    scene.assert_never_both();
}

#[test]
fn a_peer_made_from_the_notes_lives_beside_a_daemon() {
    testing::in_fair_lab(|| lives_beside(2));
}

#[test]
fn a_peer_that_speaks_the_old_version_lives_beside_a_daemon() {
    testing::in_fair_lab(|| lives_beside(1));
}
