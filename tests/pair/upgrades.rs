//! Row 36: the daemon is executed anew in its place while the pair serves.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};

use crate::builds::{Place, bytes};
use crate::lab::clock::now;
use crate::lab::executable::copy_executable;
use crate::lab::gap::{Answer, Gap};
use crate::lab::process::writes_journal;
use crate::lab::setup::{GROUP, PREFIX, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Said, Scene, ms, run, shipped};
use crate::scripts::Service;

/// Less than any takeover takes. The catalogue allows 5 ms, to which the node keeps: what a client waits for
/// longer, and does not ask for, is the laboratory's, where a busy machine runs neither its switch nor it.
const MOST: Span = Span::from_ms(200);

fn often() -> Setup {
    Setup { ping_step: ms(1), ..Setup::default() }
}

/// What the command says; again where a busy machine has refused it for its rehearsal, which touches nothing.
fn upgrade(scene: &Scene, side: Side, file: Option<&Path>) -> Said {
    let hangs = file.is_some_and(|file| file.ends_with("hangs"));
    let file = file.map(|file| file.to_str().expect("text"));
    let words: Vec<&str> = ["upgrade"].into_iter().chain(file).collect();
    let mut all = std::iter::repeat_with(|| scene.say(side, &words)).take(20);
    let told = all.find(|said| hangs || !said.text.contains("the rehearsal takes longer"));
    told.expect("a machine that has time for a rehearsal")
}

fn guard(scene: &mut Scene, side: Side) -> i32 {
    scene.guard(side).expect("a guard").as_raw()
}

/// What must be so after each refusal: every file is there as it was, the same guard and agent go on.
fn assert_untouched(
    scene: &mut Scene,
    place: &Place,
    files: &BTreeMap<OsString, Vec<u8>>,
    before: (i32, serde_json::Value),
) {
    assert!(place.files() == *files, "{:?} instead of {:?}", place.files().keys(), files.keys());
    assert_eq!((guard(scene, Side::A), scene.status(Side::A)["incarnation"].clone()), before);
}

/// What the client saw since some instant, and the longest that an answer took, without the time for which
/// the machine did not run the laboratory's switch.
struct Turn {
    gap: Gap,
    answered_within: Span,
}

impl Turn {
    fn since(scene: &Scene, since: Instant) -> Self {
        let (answers, stalls) = (scene.ping().answers(), scene.switch().stalls_since(since));
        let took = |answer: &Answer| {
            let in_switch = |(came, taken): &(Instant, Instant)| {
                (*taken).min(answer.received).since((*came).max(answer.sent))
            };
            let stalled = stalls.iter().map(in_switch).fold(Span::ZERO, |sum, stall| sum + stall);
            answer.received.since(answer.sent).saturating_sub(stalled)
        };
        let answered_within = answers.iter().filter(|answer| answer.sent > since).map(took).max();
        Self {
            gap: scene.ping().longest_gap_since(since),
            answered_within: answered_within.expect("an answer"),
        }
    }
}

/// Median and longest of all turns.
fn figures(turns: &[Turn]) -> String {
    let figure = |of: fn(&Turn) -> Span| {
        let mut spans: Vec<Span> = turns.iter().map(of).collect();
        spans.sort_unstable();
        format!("median {}, longest {} us", spans[spans.len() / 2], spans[spans.len() - 1].as_us())
    };
    format!(
        "without an answer to a request: {}\n  of that by the node: {}\n  without a request: {}",
        figure(|turn| turn.gap.unserved),
        figure(|turn| turn.answered_within),
        figure(|turn| turn.gap.unasked)
    )
}

/// Operator: `upgrade FILE`, ten times, or as often as `CROSSWIRE_UPGRADES` says, on the node that serves.
/// Required: the client, which asks every millisecond, is left by none of them for as long as by a takeover;
/// nothing moves; the process stays the same, the agent is another one each time. The figures are printed,
/// beside those of times as long without an upgrade.
#[test]
fn row_36_an_upgrade_while_it_serves_is_noticed_by_nobody() {
    testing::in_fair_lab(|| {
        let place = Place::new();
        let mut scene = place.scene(often());
        let process = guard(&mut scene, Side::A);
        let often = std::env::var("CROSSWIRE_UPGRADES").ok().and_then(|count| count.parse().ok());
        let count: u32 = often.unwrap_or(10);
        let (sent, answered) = (scene.ping().sent(), scene.ping().answers().len() as u64);
        let (since, mut turns, mut quiet_turns) = (now(), Vec::new(), Vec::new());
        for turn in 0..count {
            let began = now();
            let agent = scene.status(Side::A)["incarnation"].clone();
            let said = upgrade(&scene, Side::A, (turn % 2 == 0).then(|| place.file("other")).as_deref());
            let version = env!("CARGO_PKG_VERSION");
            let expected = format!("version {version} goes on in the place of {version}\ndone\n");
            assert_eq!((said.code, said.text), (Some(0), expected), "{}", scene.log_of(Side::A));
            assert_ne!(scene.status(Side::A)["incarnation"], agent, "another agent");
            scene.settle(Side::A);
            turns.push(Turn::since(&scene, began));
            let over = now();
            thread::sleep(Duration::from_micros(over.since(began).as_us()));
            quiet_turns.push(Turn::since(&scene, over));
        }
        println!("row 36, {count} upgrades:\n  {}", figures(&turns));
        println!("and as long without:\n  {}", figures(&quiet_turns));
        let sent = scene.ping().sent() - sent;
        let answered = scene.ping().answers().len() as u64 - answered;
        println!("requests: {sent}, answers: {answered}");
        scene.assert_nothing_moved(Side::A, since);
        for turn in turns {
            assert!(turn.gap.worst() <= MOST, "the client was not served for {}", turn.gap);
        }
        assert_eq!(guard(&mut scene, Side::A), process, "the same process");
        let name = fs::read_to_string(format!("/proc/{process}/comm")).expect("it runs");
        assert_eq!(name, "crosswire\n");
        assert_eq!(scene.processes(Side::A).expect("processes").len(), 2, "guard and agent, and no remains");
        let why = scene.say(Side::A, &["why"]).text;
        assert!(why.contains("upgraded in place"), "{why}");
        assert_eq!(scene.say(Side::A, &["handover", GROUP]).code, Some(0));
        scene.settle(Side::B);
        scene.assert_never_both();
    });
}

/// Operator: upgrades the node that stands by. Required: nothing moves, and it takes over afterwards.
#[test]
fn the_node_that_stands_by_is_upgraded() {
    testing::in_fair_lab(|| {
        let place = Place::new();
        let mut scene = place.scene(often());
        let since = now();
        let said = upgrade(&scene, Side::B, Some(&place.file("other")));
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, since);
        scene.power_cut(Side::A).expect("cut");
        scene.wait_for_service_by(Side::B);
        scene.assert_never_both();
    });
}

/// Operator: files that are no upgrade. Required: each is refused with its cause, every file is as it was,
/// the same processes go on, and nothing moves.
#[test]
fn row_36_what_cannot_go_on_is_refused_and_the_old_file_is_back() {
    testing::in_fair_lab(|| {
        let place = Place::new();
        let mut scene = place.scene(often());
        let since = now();
        let before = (guard(&mut scene, Side::A), scene.status(Side::A)["incarnation"].clone());
        let mut foreign = bytes(&place.file("other"));
        foreign[18] ^= 0xff;
        fs::write(place.file("foreign"), foreign).expect("written");
        fs::write(place.file("text"), "#!/bin/sh\necho Version: 1\n").expect("written");
        let mut cut = bytes(&place.file("other"));
        cut.truncate(4_096);
        fs::write(place.file("cut"), cut).expect("written");
        for name in ["foreign", "text", "cut"] {
            fs::set_permissions(place.file(name), fs::Permissions::from_mode(0o755)).expect("set");
        }
        copy_executable(&shipped(), &place.file("open"));
        fs::set_permissions(place.file("open"), fs::Permissions::from_mode(0o777)).expect("set");
        std::os::unix::fs::symlink(place.file("other"), place.file("link")).expect("a link");
        let crashes = place.pretender("crashes", "abort();");
        let hangs = place.pretender("hangs", "for (;;) pause();");
        let does = "fprintf(stderr, \"no such state\\n\"); return 1;";
        let [mute, old, new] =
            ["mute", "crosswire.old", "crosswire.new"].map(|name| place.pretender(name, does));
        let files = place.files();
        for (file, why) in [
            (place.file("foreign"), "is no crosswire for this machine"),
            (place.file("text"), "is no crosswire for this machine"),
            (place.file("cut"), "is no crosswire for this machine"),
            ("/bin/busybox".into(), "is no crosswire for this machine"),
            (place.file("open"), "is not root's alone"),
            // glibc: "Too many levels of symbolic links"; musl: "Symbolic link loop".
            (place.file("link"), "ymbolic link"),
            (place.file("absent"), "No such file"),
            (crashes, "the rehearsal failed"),
            (hangs, "the rehearsal takes longer than 200 ms"),
            (mute, "the rehearsal failed: no such state"),
            (old, "the rehearsal failed: no such state"),
            (new, "the rehearsal failed: no such state"),
        ] {
            let said = upgrade(&scene, Side::A, Some(&file));
            assert!(said.code == Some(1) && said.text.contains(why), "{}: {said:?}", file.display());
            assert!(said.text.contains("nothing is changed"), "{said:?}");
            assert_untouched(&mut scene, &place, &files, before.clone());
        }
        scene.assert_nothing_moved(Side::A, since);
        let said = upgrade(&scene, Side::A, Some(&place.file("other")));
        assert_eq!(said.code, Some(0), "{said:?}");
        let [program, kept] = [place.program(), place.file("crosswire.old")].map(|path| bytes(&path));
        assert!(program == bytes(&place.file("other")) && kept == bytes(&shipped()), "both are kept");
        // The way back, by which the two change places.
        let said = upgrade(&scene, Side::A, Some(&place.file("crosswire.old")));
        assert_eq!(said.code, Some(0), "{said:?}");
        let [program, kept] = [place.program(), place.file("crosswire.old")].map(|path| bytes(&path));
        assert!(program == bytes(&shipped()) && kept == bytes(&place.file("other")), "both are kept");
        assert_eq!(place.files().len(), files.len(), "and nothing else");
    });
}

/// Fault: what stands in the daemon's place may be written by others, or its directory may.
/// Required: it is not executed.
#[test]
fn what_others_may_write_to_is_not_executed() {
    testing::in_fair_lab(|| {
        let place = Place::new();
        let mut scene = place.scene(Setup::default());
        let (before, files) =
            ((guard(&mut scene, Side::A), scene.status(Side::A)["incarnation"].clone()), place.files());
        for (path, mode) in [(place.program(), 0o775), (place.directory.path().to_owned(), 0o1777)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let said = upgrade(&scene, Side::A, None);
            assert!(said.code == Some(1) && said.text.contains("is not root's alone"), "{said:?}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
            assert_untouched(&mut scene, &place, &files, before.clone());
        }
    });
}

/// Operator: upgrades while a script starts.
/// Required: refused, and the script is neither ended nor run again.
#[test]
fn row_36_nothing_is_upgraded_while_a_script_is_pending() {
    testing::in_fair_lab(|| {
        let (place, service) = (Place::new(), Service::new());
        service.does("gw1-start", "sleep 20");
        let setup = service.setup();
        let setup =
            Setup { more: setup.more.replace("start_timeout = \"1s\"", "start_timeout = \"30s\""), ..setup };
        let mut scene = Scene::with_binary(&place.program(), setup);
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.expect_soon("a script that starts", PATIENCE, |_| !service.story().is_empty());
        let said = upgrade(&scene, Side::A, Some(&place.file("other")));
        assert!(said.code == Some(1) && said.text.contains("a script runs"), "{said:?}");
        assert_eq!(bytes(&place.program()), bytes(&shipped()));
        scene.expect_service_by(Side::A);
        assert_eq!(service.story(), ["gw1 start 1"]);
        let said = upgrade(&scene, Side::A, None);
        assert_eq!(said.code, Some(0), "{said:?}");
        thread::sleep(ms(1_500));
        assert_eq!(service.story(), ["gw1 start 1"], "no script is run");
        assert_eq!(scene.say(Side::A, &["handover", GROUP]).code, Some(0));
        scene.expect_service_by(Side::B);
        assert_eq!(service.story(), ["gw1 start 1", "gw1 stop 1", "gw2 start 2"]);
        scene.assert_never_both();
    });
}

/// Operator: adds groups, and changes the cable's speed, in both files; `upgrade` on one box after the
/// other. Required: nothing moves, the new groups are served, both paths are on time. A `reload` refuses it.
#[test]
fn a_group_and_a_path_change_without_an_outage() {
    testing::in_fair_lab(|| {
        let place = Place::new();
        let scene = place.scene(often());
        let since = now();
        // Groups are in the order of their names: one of these comes before the one that is served.
        let [second, third] = ["10.77.0.101", "10.77.0.102"];
        for side in [Side::A, Side::B] {
            let last = format!("[group.{GROUP}]\naddresses = [\"{VIP}/{PREFIX}@eth0\"]\n");
            let more = format!(
                "{last}[group.mail]\naddresses = [\"{second}/{PREFIX}@eth0\"]\n\
                [group.a]\naddresses = [\"{third}/{PREFIX}@eth0\"]\n"
            );
            scene.rewrite(side, &last, &more);
            scene.rewrite(side, "baud = 19200", "baud = 38400");
        }
        let said = scene.say(Side::A, &["reload"]);
        assert!(said.code == Some(1) && said.text.contains("this needs `crosswire upgrade`"), "{said:?}");
        for side in [Side::A, Side::B] {
            let said = upgrade(&scene, side, None);
            assert!(said.code == Some(0) && said.text.contains("group mail is added"), "{said:?}");
        }
        scene.expect_soon("all groups are served", PATIENCE, |scene| {
            let served = |side| {
                let status = scene.status(side);
                let groups = status["groups"].as_array().cloned().unwrap_or_default();
                groups.iter().filter(|group| group["role"] == "active").count()
            };
            served(Side::A) + served(Side::B) == 3
        });
        scene.assert_nothing_moved(Side::A, since);
        assert_eq!(scene.status(Side::A)["configurations_differ"], false);
        // A group leaves the file again: not while it is served here.
        let role = || {
            let status = scene.status(Side::A);
            let groups = status["groups"].as_array().cloned().unwrap_or_default();
            let mail = groups.into_iter().find(|group| group["name"] == "mail").expect("it is there");
            mail["role"].as_str().unwrap_or_default().to_owned()
        };
        if role() == "backup" {
            scene.expect_soon("a handover", PATIENCE, |scene| {
                scene.say(Side::B, &["handover", "mail"]).code == Some(0)
            });
        }
        let mail = format!("[group.mail]\naddresses = [\"{second}/{PREFIX}@eth0\"]\n");
        scene.rewrite(Side::A, &mail, "");
        let said = upgrade(&scene, Side::A, None);
        assert!(said.code == Some(1) && said.text.contains("hand it over first"), "{said:?}");
        scene.expect_soon("a handover", PATIENCE, |scene| {
            scene.say(Side::A, &["handover", "mail"]).code == Some(0)
        });
        let said = upgrade(&scene, Side::A, None);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.expect_service_by(Side::A);
        scene.assert_nothing_moved(Side::A, since);
    });
}

/// Operator: a file that is wrong, and one in which every path is another one. Required: refused whole.
#[test]
fn a_file_that_cannot_be_taken_is_refused_by_the_rehearsal() {
    testing::in_fair_lab(|| {
        let place = Place::new();
        let mut scene = place.scene(often());
        let since = now();
        let (before, files) =
            ((guard(&mut scene, Side::A), scene.status(Side::A)["incarnation"].clone()), place.files());
        for (from, to, why) in [
            ("addresses", "adresses", "did you mean"),
            ("pair = \"", "pair = \"x", "pair changed: this needs a restart"),
        ] {
            scene.rewrite(Side::A, from, to);
            let said = upgrade(&scene, Side::A, None);
            assert!(said.code == Some(1) && said.text.contains(why), "{said:?}");
            scene.rewrite(Side::A, to, from);
            assert_untouched(&mut scene, &place, &files, before.clone());
        }
        scene.assert_nothing_moved(Side::A, since);
    });
}

/// Fault: no daemon runs. Required: it is said, with its exit code, and no file is put anywhere.
#[test]
fn without_a_daemon_nothing_is_upgraded() {
    testing::in_fair_lab(|| {
        let place = Place::new();
        let scene = Scene::with_binary(&place.program(), Setup::default());
        let said = upgrade(&scene, Side::A, Some(&place.file("other")));
        assert!(said.code == Some(3) && said.text.contains("no daemon"), "{said:?}");
        assert!(!place.file("crosswire.old").exists());
    });
}

/// Fault: the new run's processes are killed right after the upgrade. Required: as after any such kill: the
/// kernel drops the address at the end of its lifetime, and the peer serves; never both.
#[test]
fn a_new_run_that_dies_at_once_is_replaced_by_the_peer() {
    testing::in_fair_lab(|| {
        let place = Place::new();
        let mut scene = place.scene(Setup::default());
        assert_eq!(upgrade(&scene, Side::A, None).code, Some(0));
        scene.kill(Side::A).expect("killed");
        scene.wait_for_service_by(Side::B);
        scene.assert_never_both();
        thread::sleep(Duration::from_millis(200));
    });
}

/// Situation: a script has left a process that writes, and the journal is on disk. Operator: `upgrade`.
/// Required: that process lives, its lines are still logged, the journal is written on by one process.
#[test]
fn what_a_daemon_of_a_script_writes_is_still_logged() {
    testing::in_fair_lab(|| {
        let (place, service) = (Place::new(), Service::new());
        service.does("gw1-start", "(trap '' HUP; while sleep 0.1; do echo still here $((n += 1)); done) &");
        let journal = place.file("journal");
        fs::create_dir(&journal).expect("a directory");
        let top = format!("journal = \"{}\"\n", journal.display());
        let mut scene = place.scene(Setup { top, ..service.setup() });
        let lines = |scene: &Scene| scene.log_of(Side::A).matches("still here").count();
        scene.expect_soon("its lines", PATIENCE, |scene| lines(scene) > 0);
        assert_eq!(upgrade(&scene, Side::A, None).code, Some(0));
        let before = lines(&scene);
        scene.expect_soon("more of its lines", PATIENCE, |scene| lines(scene) > before + 3);
        scene.expect_soon("one writer of the journal", PATIENCE, |scene| {
            let all = scene.processes(Side::A).expect("processes");
            all.iter().filter(|process| writes_journal(process.pid)).count() == 1
        });
        let zombies = format!("ps -o stat= --ppid {} | grep -c Z", guard(&mut scene, Side::A));
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &zombies]);
        assert_eq!(run(shell).text, "0\n", "nobody waits to be reaped");
    });
}

/// Operator: asks and asks, and tries to start a second daemon, while the daemon is upgraded.
/// Required: the lock is held throughout, and every question is answered.
#[test]
fn no_second_daemon_starts_and_every_question_is_answered() {
    testing::in_fair_lab(|| {
        let place = Place::new();
        let scene = place.scene(Setup::default());
        let directory = scene.directory(Side::A);
        let config = directory.join("crosswire.toml").display().to_string();
        let again = ["run", "--foreground", "--node", "gw1", "--config", &config];
        thread::scope(|threads| {
            let upgrades =
                threads.spawn(|| (0..5).map(|_| upgrade(&scene, Side::A, None).code).collect::<Vec<_>>());
            while !upgrades.is_finished() {
                let said = scene.say(Side::A, &again);
                assert!(said.code == Some(1) && said.text.contains("runs already"), "{said:?}");
                let said = scene.say(Side::A, &["status", "--json"]);
                assert!(said.text.contains("\"groups\""), "{said:?}");
            }
            assert_eq!(upgrades.join().expect("no panic"), [Some(0); 5]);
        });
        scene.settle(Side::A);
        scene.assert_never_both();
    });
}
