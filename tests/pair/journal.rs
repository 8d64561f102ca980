//! The journal on disk: what `why` knows after a new agent, a restart and a power cut, of both nodes; and
//! that nobody waits for a disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;

use crosswire::pair::Side;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::beats::Beats;
use crate::lab::executable::write_executable;
use crate::lab::process::writes_journal;
use crate::lab::setup::{GROUP, NODE_NAMES, Setup};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms, unwrapped};
use crate::scripts::assert_on_time;

fn directory(scene: &Scene, side: Side) -> PathBuf {
    scene.directory(side).join("journal")
}

fn file(scene: &Scene, side: Side) -> PathBuf {
    directory(scene, side).join(format!("lab.{}.journal.0", NODE_NAMES[side.index()]))
}

/// A pair that keeps journals; nothing has begun yet.
fn keeping(setup: Setup) -> Scene {
    let scene = Scene::new(setup);
    for side in [Side::A, Side::B] {
        let key = format!("pair = \"lab\"\njournal = {:?}", directory(&scene, side).display().to_string());
        scene.rewrite(side, "pair = \"lab\"", &key);
    }
    scene
}

/// The same at work.
fn serving() -> Scene {
    let mut scene = keeping(Setup::default());
    scene.begin(Side::A);
    scene.begin(Side::B);
    scene.settle(Side::A);
    scene
}

fn why(scene: &Scene, side: Side) -> String {
    scene.say(side, &["why", "--last", "500"]).text
}

/// The entries of `why --json`.
fn entries(scene: &Scene, side: Side) -> Vec<Value> {
    let text = scene.say(side, &["why", "--json", "--last", "500"]).text;
    let told = text.lines().find(|line| line.contains("\"entries\"")).unwrap_or_else(|| panic!("{text}"));
    let told: Value = serde_json::from_str(told).expect("JSON");
    told["entries"].as_array().expect("entries").clone()
}

/// The process that writes a node's journal: the child of the guard that is not its agent.
fn writer(scene: &mut Scene, side: Side) -> Option<Pid> {
    let guard = scene.guard(side).ok()?;
    let processes = scene.processes(side).ok()?;
    processes.iter().filter(|one| one.parent == guard).map(|one| one.pid).find(|pid| writes_journal(*pid))
}

fn wait_for_writer(scene: &mut Scene, side: Side, other_than: Option<Pid>) -> Pid {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(pid) = writer(scene, side).filter(|pid| Some(*pid) != other_than) {
            return pid;
        }
        assert!(std::time::Instant::now() < until, "no process writes the journal");
        thread::sleep(ms(20));
    }
}

/// Waits until what has happened is on disk.
fn wait_for_entry(scene: &Scene, side: Side, what: &str) {
    let path = file(scene, side);
    let name = path.to_str().expect("a plain name");
    scene.expect_soon("an entry on disk", PATIENCE, |scene| {
        scene.say(side, &["why", "--journal", name, "--last", "500"]).text.contains(what)
    });
}

/// Fault: a handover; the agent of a node is killed; both daemons are killed and start again. Required: `why`
/// tells of the handover all the while, also while no daemon runs, and in which order and run it was.
#[test]
fn what_why_tells_outlives_the_agent_and_the_daemon() {
    testing::in_lab(|| {
        let mut scene = serving();
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::B);
        let let_go = "gateway: releasing it";
        wait_for_entry(&scene, Side::A, let_go);
        let agent = scene.agent(Side::A).expect("an agent");
        kill(agent, Signal::SIGKILL).expect("it lived");
        scene.expect_soon("another agent", PATIENCE, |scene| {
            scene.try_status(Side::A).is_some_and(|status| status["agent_replaced"] == true)
        });
        let (other, writer) = (scene.agent(Side::A).expect("an agent"), writer(&mut scene, Side::A));
        assert!(other != agent && Some(other) != writer, "the laboratory takes {other} for the agent");
        // What the new agent begins with is on its way to the disk.
        let mark = "--  the agent started again";
        scene.expect_soon("the mark of another agent", PATIENCE, |scene| why(scene, Side::A).contains(mark));
        let told = why(&scene, Side::A);
        assert!(told.contains(let_go), "{told}");
        let again = told.find(mark).unwrap_or_else(|| panic!("no mark: {told}"));
        assert!(told.find(let_go) < Some(again), "{told}");

        scene.kill(Side::A).expect("killed");
        let said = scene.say(Side::A, &["why", "--last", "500"]);
        assert_eq!(said.code, Some(3), "{said:?}");
        assert!(said.text.starts_with("no daemon runs in "), "{said:?}");
        assert!(said.text.contains(let_go) && said.text.contains("gw2"), "{said:?}");
        let told = entries(&scene, Side::A);
        let events: Vec<&str> = told.iter().filter_map(|entry| entry["event"].as_str()).collect();
        assert!(events.contains(&"releasing") && events.contains(&"role"), "{events:?}");

        scene.begin(Side::A);
        scene.settle(Side::B);
        let told = entries(&scene, Side::A);
        let run_of = |event: &str| {
            let found = told.iter().find(|entry| entry["event"] == event && entry["node"] == "gw1");
            found.unwrap_or_else(|| panic!("no {event} in {told:?}"))["agent_run"].as_u64().expect("a number")
        };
        let newest = told.last().expect("an entry")["agent_run"].as_u64().expect("a number");
        assert!(run_of("releasing") < newest, "{told:?}");
        let ages: Vec<u64> = told.iter().filter_map(|entry| entry["age_ms"].as_u64()).collect();
        assert!(ages.is_sorted_by(|older, newer| older >= newer), "{ages:?}");
        // Nothing is told twice, by the agent and by the file.
        let mut texts: Vec<String> =
            told.iter().map(|entry| format!("{}{}", entry["age_ms"], entry)).collect();
        let count = texts.len();
        texts.dedup();
        assert_eq!(texts.len(), count);
        let far = scene.say(Side::A, &["why", "--at", "100h"]);
        assert!(!far.text.contains(let_go), "{far:?}");
        let none = scene.say(Side::A, &["why", "--journal", "/nowhere/lab.gw1.journal.0"]);
        assert_eq!(none.code, Some(1), "{none:?}");
        assert!(none.text.contains("no journal of this version"), "{none:?}");
    });
}

/// Fault: power cuts, each of which ends the file of the journal at another byte. Required: the daemon
/// starts, all that is whole is told, and what happens next is told too.
#[test]
fn a_journal_that_ends_anywhere_is_continued() {
    testing::in_lab(|| {
        let mut scene = keeping(Setup { cold_start_ms: Some(2_000), ..Setup::default() });
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        scene.stop(Side::B, PATIENCE).expect("stopped");
        scene.stop(Side::A, PATIENCE).expect("stopped");
        let path = file(&scene, Side::A);
        let whole = fs::read(&path).expect("written");
        let name = path.to_str().expect("a plain name").to_owned();
        let shown = |scene: &Scene| scene.say(Side::A, &["why", "--journal", &name, "--last", "500"]).text;
        let before = shown(&scene);
        let count = before.matches(" ago  ").count();
        assert!(count >= 8 && before.contains("taking it as term 1"), "{before}");
        assert!(before.contains("everything is released: saying goodbye"), "{before}");
        for cut in [3, 17] {
            let mut left = whole[..whole.len() - cut].to_vec();
            left.extend_from_slice(&[0x55; 9][..cut % 10]);
            fs::write(&path, left).expect("cut");
            scene.begin(Side::A);
            scene.expect_service_by(Side::A);
            wait_for_entry(&scene, Side::A, "cold start");
            let told = shown(&scene);
            assert!(told.contains("taking it as term 1") && told.contains("agent started again"), "{told}");
            scene.kill(Side::A).expect("killed");
        }
    });
}

/// Fault: the process that writes is killed at any instant while entries come. Required: nothing is missing
/// on disk; another one goes on; neither the agent nor the peer notices.
#[test]
fn a_writer_that_is_killed_loses_nothing() {
    testing::in_fair_lab(|| {
        let mut scene = serving();
        let beats = [Side::A, Side::B].map(|side| Beats::of(&scene, side));
        let mut last = None;
        for round in 0..4_u64 {
            let pid = wait_for_writer(&mut scene, Side::A, last);
            scene.expect_soon("a move", PATIENCE, |scene| {
                scene.say(Side::A, &["handover", GROUP]).code == Some(0)
            });
            thread::sleep(ms(round * 70));
            kill(pid, Signal::SIGKILL).expect("it lived");
            last = Some(pid);
            scene.settle(Side::B);
            scene.expect_soon("and back", PATIENCE, |scene| {
                scene.say(Side::B, &["handover", GROUP]).code == Some(0)
            });
            scene.settle(Side::A);
        }
        wait_for_writer(&mut scene, Side::A, last);
        assert_on_time("the writer is killed", beats);
        let agents = entries(&scene, Side::A);
        let own = |told: &[Value]| -> Vec<String> {
            let own = told.iter().filter(|entry| entry["node"] == "gw1");
            own.map(|entry| entry["text"].to_string()).collect()
        };
        let path = file(&scene, Side::A);
        let name = path.to_str().expect("a plain name");
        let wanted = own(&agents);
        scene.expect_soon("all of it on disk, in its order", PATIENCE, |scene| {
            let text = scene.say(Side::A, &["why", "--journal", name, "--json", "--last", "999"]).text;
            let told: Value = serde_json::from_str(&text).expect("JSON");
            own(told["entries"].as_array().expect("entries")) == wanted
        });
        scene.assert_never_both();
    });
}

/// Fault: the journal's place is full, or a link stands there; then it is put right. Required: said once with
/// a remedy, in the log and in `status`; the daemon serves all the while; then it is written again, and what
/// happened meanwhile too.
#[test]
fn a_place_that_cannot_be_written_is_said_once_and_holds_up_nobody() {
    testing::in_fair_lab(|| {
        let mut scene = keeping(Setup::default());
        let place = directory(&scene, Side::A);
        fs::create_dir(&place).expect("made");
        let _full = Full::at(&place);
        fs::write(place.join("ballast"), vec![7; 64 * 1024]).expect_err("it is full now");
        fs::create_dir(directory(&scene, Side::B)).expect("made");
        symlink("/etc/passwd", file(&scene, Side::B)).expect("a link");
        let passwd = fs::read("/etc/passwd").expect("it is there");
        let beats = [Side::A, Side::B].map(|side| Beats::of(&scene, side));
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        for (side, what) in [(Side::A, "No space left on device"), (Side::B, "a link stands there")] {
            scene.expect_soon("said", PATIENCE, |scene| {
                let shown = unwrapped(&scene.say(side, &["status"]).text);
                shown.contains("is NOT WRITTEN: ") && shown.contains(what)
            });
            let status = scene.status(side);
            assert_eq!(status["journal"]["written"], false, "{status}");
        }
        thread::sleep(ms(3_500));
        for side in [Side::A, Side::B] {
            assert_eq!(scene.log_of(side).matches("is not written: ").count(), 1, "{}", scene.log_of(side));
        }
        assert_on_time("no journal", beats);
        fs::remove_file(place.join("ballast")).expect("room");
        fs::remove_file(file(&scene, Side::B)).expect("the link is gone");
        for side in [Side::A, Side::B] {
            scene.expect_soon("written again", PATIENCE, |scene| {
                scene.log_of(side).contains("is written again")
                    && scene.status(side)["journal"]["written"] == true
            });
        }
        wait_for_entry(&scene, Side::A, "taking it as term 1");
        assert_eq!(fs::read("/etc/passwd").expect("it is there"), passwd);
        scene.assert_never_both();
    });
}

/// A small disk.
struct Full<'a>(&'a Path);

impl<'a> Full<'a> {
    fn at(place: &'a Path) -> Self {
        mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), Some("size=32k,mode=755"))
            .expect("a small disk");
        Self(place)
    }
}

impl Drop for Full<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

/// Fault: the disk hangs: what writes to it stands still. The operator's program is killed at its work.
/// Required: beats are on time while the group moves; what the program was not told is counted, with its age,
/// in `status -v` and its JSON; all of it is on disk once the disk is back.
#[test]
fn a_disk_that_hangs_delays_nothing_and_what_was_cut_short_is_counted() {
    testing::in_fair_lab(|| {
        let mut scene = keeping(Setup::default());
        let program = scene.directory(Side::A).join("notify");
        write_executable(&program, "#!/bin/sh\necho $$ >\"${0%notify}at-work\"\nexec sleep 60\n");
        let key = format!("pair = \"lab\"\nnotify = {:?}", program.display().to_string());
        scene.rewrite(Side::A, "pair = \"lab\"", &key);
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        let pid = wait_for_writer(&mut scene, Side::A, None);
        kill(pid, Signal::SIGSTOP).expect("it lives");
        let beats = [Side::A, Side::B].map(|side| Beats::of(&scene, side));
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::B);
        thread::sleep(ms(3_000));
        assert_on_time("a disk hangs", beats);
        let at_work = fs::read_to_string(scene.directory(Side::A).join("at-work")).expect("it was started");
        kill(Pid::from_raw(at_work.trim().parse().expect("a pid")), Signal::SIGKILL).expect("it lived");
        let notices = |scene: &Scene| {
            let told = scene.status(Side::A)["dropped"].as_array().expect("a list").clone();
            let told = told.into_iter().find(|one| one["what"] == "notices").expect("it is told");
            told["age_ms"].as_u64().and(told["count"].as_u64())
        };
        scene.expect_soon("a count", PATIENCE, |scene| notices(scene) > Some(0));
        let shown = scene.say(Side::A, &["status", "-v"]).text;
        assert!(shown.contains("dropped or cut short") && shown.contains("  notices "), "{shown}");
        kill(pid, Signal::SIGCONT).expect("it lives");
        wait_for_entry(&scene, Side::A, "gateway: releasing it");
        scene.assert_never_both();
    });
}

/// Fault: one node hands over, then loses its power; the cable has 9600 baud. Required: the survivor tells
/// what the other one did last, by its name and in the order of time; no beat is late for it.
#[test]
fn the_survivor_knows_what_the_other_node_did_last() {
    testing::in_fair_lab(|| {
        let setup = Setup {
            baud: 9_600,
            interval_ms: 250,
            late_after_ms: 750,
            dead_after_ms: 1_500,
            lease_ms: 3_000,
            ..Setup::default()
        };
        let mut scene = keeping(setup);
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        thread::sleep(ms(1_500));
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let theirs = |told: &[Value], what: &str| {
            told.iter().any(|entry| {
                entry["node"] == "gw1" && entry["text"].as_str().is_some_and(|text| text.contains(what))
            })
        };
        scene.expect_soon("gw1's report", PATIENCE * 4, |scene| {
            theirs(&entries(scene, Side::B), "gateway: releasing")
        });
        for side in [Side::A, Side::B] {
            let path = &scene.status(side)["paths"][0];
            assert!(path["skipped"] == 0 && path["state"] == "on time", "{path}");
            assert_eq!(path["quality"]["gaps"][4], 0, "{path}");
        }
        scene.power_cut(Side::A).expect("its processes die");
        let told = why(&scene, Side::B);
        let at = |what: &str| told.find(what).unwrap_or_else(|| panic!("{what} is not in\n{told}"));
        let took = at("gw1: group gateway: taking it as term 1");
        assert!(took < at("  group gateway: taking it as term 2"), "{told}");
        assert_eq!(told.matches("  group gateway: taking it as term 2").count(), 1, "{told}");
        at("gw1: group gateway: releasing it");
        // It is on the survivor's disk too.
        scene.kill(Side::B).expect("killed");
        assert!(why(&scene, Side::B).contains("gw1: group gateway: releasing"));
    });
}
