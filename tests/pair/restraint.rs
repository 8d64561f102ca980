//! What the operator told a node not to do outlives its daemon and the box, expires, and says why.

use std::fs;
use std::path::PathBuf;
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::signal::{Signal, kill};

use crate::lab::clock::now;
use crate::lab::setup::GROUP;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms};

/// Longer than dead_after, lease and everything else that could make a node serve.
const WATCHED_MS: u64 = 3_000;
const WEEK_MS: u64 = 7 * 24 * 3_600_000;

/// Where the node keeps it.
fn file(scene: &Scene, side: Side) -> PathBuf {
    let node = if side == Side::A { "gw1" } else { "gw2" };
    scene.directory(side).join("state").join(format!("lab.{node}.restraint"))
}

/// Ends guard and agent, does something to the box, and starts them again.
fn restart(scene: &mut Scene, side: Side, meanwhile: impl FnOnce(&Scene)) {
    scene.power_cut(side).expect("guard and agent are killed");
    meanwhile(scene);
    scene.power_on(side).expect("the box is back");
    scene.begin(side);
    scene.expect_soon("a daemon that answers", PATIENCE, |scene| scene.try_status(side).is_some());
}

/// What is left of the maintenance, if there is one.
fn maintenance_ms(scene: &Scene, side: Side) -> Option<u64> {
    scene.status(side)["maintenance_ms"].as_u64()
}

/// Milliseconds since the boot of this machine, which is that of both nodes.
fn uptime_ms() -> u64 {
    let text = fs::read_to_string("/proc/uptime").expect("/proc");
    let seconds = text.split(['.', ' ']).next().and_then(|s| s.parse::<u64>().ok()).expect("a number");
    seconds * 1_000
}

/// Operator: `maintenance on` on the standby; its daemon is killed and started again; then the active node
/// dies. Required: the maintenance goes on with what is left of it and its reason; nothing moves before
/// `maintenance off`, and no later start remembers it. After a boot, the whole time runs anew, from that
/// boot.
#[test]
fn maintenance_outlives_the_daemon_and_the_box() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let said = scene.say(Side::B, &["maintenance", "on", "--for", "168h", "--reason", "new disk"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        restart(&mut scene, Side::B, |_| {});
        let left = maintenance_ms(&scene, Side::B).expect("it is on");
        assert!(left > WEEK_MS - 600_000 && left < WEEK_MS, "{left} ms are left");
        let status = scene.say(Side::B, &["status"]).text;
        assert!(
            status.contains("gw2 is in MAINTENANCE for 1") && status.contains("\n            new disk\n"),
            "{status}"
        );
        assert!(scene.log_of(Side::B).contains("as was said before this start: new disk"));
        // Another boot.
        restart(&mut scene, Side::B, |scene| {
            let text = fs::read_to_string(file(scene, Side::B)).expect("it is kept");
            let rest = text.split_once('\n').expect("lines").1;
            fs::write(file(scene, Side::B), format!("boot another\n{rest}")).expect("written");
        });
        let expected = WEEK_MS.saturating_sub(uptime_ms());
        let left = maintenance_ms(&scene, Side::B).unwrap_or(0);
        assert!(
            left <= expected + 2_000 && left + 60_000 >= expected,
            "{left} ms are left, not about {expected}"
        );
        let said = scene.say(Side::B, &["maintenance", "on", "--reason", "new disk"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::A);
        scene.expect_soon("both know it", PATIENCE, |scene| {
            scene.status(Side::A)["peer"]["maintenance"] == true
        });
        scene.power_cut(Side::A).expect("cut");
        thread::sleep(ms(WATCHED_MS));
        assert!(
            scene.holds().iter().all(|hold| hold.side == Side::A),
            "nothing is taken: {:?}",
            scene.holds()
        );
        assert_eq!(scene.say(Side::B, &["maintenance", "off"]).code, Some(0));
        assert!(!file(&scene, Side::B).exists(), "nothing is in force");
        scene.wait_for_service_by(Side::B);
        scene.assert_never_both();
    });
}

/// Operator: `maintenance on --for 2s` on the standby; the active node dies at once. Required: nothing is
/// taken for 2 s; then, without a word of the operator's, the standby serves. A later start remembers
/// nothing.
#[test]
fn maintenance_expires_by_itself() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let asked = now();
        let said = scene.say(Side::B, &["maintenance", "on", "--for", "2s"]);
        assert!(said.code == Some(0) && said.text == "done: nothing is moved for 2 s\n", "{said:?}");
        scene.power_cut(Side::A).expect("cut");
        scene.wait_for_service_by(Side::B);
        let taken =
            scene.holds().iter().find(|hold| hold.side == Side::B).map(|hold| hold.from).expect("it serves");
        assert!(taken.since(asked) >= Span::from_s(2), "taken {} after it was asked for", taken.since(asked));
        assert_eq!(maintenance_ms(&scene, Side::B), None);
        restart(&mut scene, Side::B, |_| {});
        assert_eq!(maintenance_ms(&scene, Side::B), None);
        scene.assert_never_both();
    });
}

/// Operator: `standby` on the active node, whose daemon is killed and started again; the file is damaged; it
/// cannot be written. Required: it holds nothing before `online`. A damaged file is said, and moves nothing
/// for an hour; one that cannot be written is said at once.
#[test]
fn standby_outlives_the_daemon_and_a_damaged_file_is_said() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let said = scene.say(Side::A, &["standby", "--reason", "fan"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::B);
        restart(&mut scene, Side::A, |_| {});
        assert_eq!(scene.status(Side::A)["standby"], true);
        assert_eq!(scene.status(Side::A)["reason"], "fan");
        scene.settle(Side::B);
        let said = scene.say(Side::A, &["takeover", GROUP]);
        assert!(said.code == Some(1) && said.text.starts_with("refused: "), "{said:?}");
        assert_eq!(scene.say(Side::A, &["online"]).code, Some(0));
        restart(&mut scene, Side::A, |scene| {
            assert!(!file(scene, Side::A).exists());
            fs::write(file(scene, Side::A), "boot x\nstandby maybe").expect("written");
        });
        let status = scene.status(Side::A);
        assert!(status["maintenance_ms"].as_u64().is_some_and(|left| left <= 3_600_000), "{status}");
        assert!(
            status["reason"].as_str().is_some_and(|reason| reason.contains("is damaged: say again")),
            "{status}"
        );
        assert!(scene.log_of(Side::A).contains("is damaged: say again what is to be"));
        scene.settle(Side::B);
        assert_eq!(scene.say(Side::A, &["maintenance", "off"]).code, Some(0));
        // A directory that is none, as on a disk that is full or read-only.
        let state = scene.directory(Side::A).join("state");
        fs::remove_dir_all(&state).and_then(|()| fs::write(&state, "")).expect("a file instead");
        let said = scene.say(Side::A, &["maintenance", "on"]);
        assert!(said.code == Some(0) && said.text.contains("this ends when the daemon does: "), "{said:?}");
        assert_eq!(scene.say(Side::A, &["maintenance", "off"]).code, Some(0));
        let said = scene.say(Side::A, &["takeover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::A);
        scene.assert_never_both();
    });
}

/// Another agent in the place of the one that is killed.
fn replace_agent(scene: &mut Scene, side: Side) {
    let agent = scene.agent(side).expect("there is one");
    kill(agent, Signal::SIGKILL).expect("killed");
    let give_up = now() + Span::from_s(10);
    while scene.agent(side).is_ok_and(|pid| pid == agent) || scene.try_status(side).is_none() {
        assert!(now() < give_up, "no other agent");
        thread::sleep(ms(10));
    }
}

/// Operator: `standby` on the standby, whose disk takes nothing; its agent is killed. Then what was kept is
/// taken away, and its agent is killed again. Required: what an operator has said counts for the next agent
/// too, and what only an agent has left does not: nobody can tell whether it was in its right mind.
#[test]
fn what_the_operator_said_outlives_an_agent_and_what_an_agent_left_is_not_enough() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let state = scene.directory(Side::B).join("state");
        fs::write(&state, "").expect("a file in its place");
        let said = scene.say(Side::B, &["standby", "--reason", "fan"]);
        assert!(said.text.contains("this ends when the daemon does"), "{said:?}");
        replace_agent(&mut scene, Side::B);
        let status = scene.status(Side::B);
        assert!(status["standby"] == true && status["reason"] == "fan", "{status}");
        let copy = scene.directory(Side::B).join("run/restraint");
        fs::remove_file(&copy).expect("it is there");
        fs::remove_file(&state).expect("nothing is kept");
        thread::sleep(ms(1_000));
        replace_agent(&mut scene, Side::B);
        assert_eq!(scene.status(Side::B)["standby"], false);
        scene.assert_never_both();
    });
}
