//! What goes over the cable beside beats, several cables at once, and the test of a cable.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crosswire::frame::delimit::{Collector, Gathered};
use crosswire::frame::seal::open;
use crosswire::pair::Side;
use crosswire::time::Span;
use serde_json::Value;

use crate::beats::Beats;
use crate::lab::cable::{Cable, LineRule};
use crate::lab::clock::{now, span};
use crate::lab::modem::{Modem, Wiring};
use crate::lab::setup::Setup;
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Said, Scene, ms, run};

/// 9600 baud with 250 ms beats: a quarter of the line.
fn slow() -> Setup {
    Setup { baud: 9_600, interval_ms: 250, late_after_ms: 750, dead_after_ms: 1_500, ..Setup::default() }
}

/// How long the lifeline is used; `CROSSWIRE_TALK_S=600 cargo test ... -- --nocapture` for a measurement.
fn talk() -> Duration {
    let seconds = std::env::var("CROSSWIRE_TALK_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

/// Situation: the LAN is dead; 9600 baud, 250 ms beats, a line as slow as a real one. Required: each node's
/// `peer status`, `peer why` and `peer log` come whole over the cable, again and again, and no beat is
/// skipped or takes the path out of time.
#[test]
fn the_lifeline_never_holds_up_a_beat() {
    testing::in_long_fair_lab(talk() + Duration::from_secs(240), || {
        let scene = Scene::serving_with(slow());
        scene.set_lan(Side::B, PortRules::silent());
        scene.expect_soon("a dead LAN", PATIENCE, |s| s.path_state(Side::B, 1) == "broken");
        let (start, sent_before) = (now(), scene.cable().delivered_bytes(Side::A));
        let mut readings = 0;
        while now().since(start) < span(talk()) || readings < 3 {
            for (what, told) in
                [("status", "this is gw1"), ("why", "taking it as term"), ("log", "gateway: active")]
            {
                let said = scene.say(Side::B, &["peer", what]);
                assert!(said.code == Some(0) && said.text.contains(told), "{what}: {said:?}");
                readings += 1;
            }
        }
        let took = now().since(start);
        let bytes = scene.cable().delivered_bytes(Side::A) - sent_before;
        println!(
            "{readings} readings in {took}; gw1 sent {bytes} bytes, {} permille of the line",
            bytes * 10_000_000_000 / 9_600 / took.as_us()
        );
        for side in [Side::A, Side::B] {
            let status = scene.status(side);
            let path = &status["paths"][0];
            println!("{side:?}: {}", path["quality"]);
            assert_eq!(path["skipped"], 0, "no beat was skipped");
            assert_eq!(path["quality"]["gaps"][4], 0, "{path}");
            assert_eq!(path["state"], "on time");
        }
        scene.assert_never_both();
    });
}

/// Situation: the LAN is dead and the cable slow; a command that asks the peer is killed before it has its
/// answer. Required: the next one is served, as if there had been none.
#[test]
fn a_killed_question_to_the_peer_is_in_nobodys_way() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving_with(slow());
        scene.set_lan(Side::B, PortRules::silent());
        scene.expect_soon("a dead LAN", PATIENCE, |s| s.path_state(Side::B, 1) == "broken");
        for _ in 0..2 {
            let mut command = scene.command(Side::B, &["peer", "log"]).expect("a command");
            let mut asker = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
            // Long enough to have asked, and far from long enough for an answer at 9600 baud.
            thread::sleep(ms(400));
            asker.kill().expect("killed");
            asker.wait().expect("it has ended");
        }
        let said = scene.say(Side::B, &["peer", "status"]);
        assert!(said.code == Some(0) && said.text.contains("this is gw1"), "{said:?}");
        scene.assert_never_both();
    });
}

/// Situation: the peer is heard on no path.
/// Required: one line that says so, and exit code 1.
#[test]
fn a_peer_that_is_not_heard_cannot_be_asked() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::new(Setup::default());
        scene.begin(Side::A);
        scene.expect_soon("a daemon", PATIENCE, |s| s.try_status(Side::A).is_some());
        let said = scene.say(Side::A, &["peer", "status"]);
        assert_eq!(said.code, Some(1));
        assert!(said.text.contains("the peer is not heard there"), "{}", said.text);
        assert_eq!(scene.say(Side::A, &["peer", "nonsense"]).code, Some(2));
    });
}

/// Operator: `peer --cable`, with cable and LAN in order, then without the cable. Required: an answer over
/// the cable; then none, since others can read along on the LAN, where the peer is heard.
#[test]
fn peer_asks_over_the_cable_alone_where_told_to() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        for more in [&["status"][..], &["--cable", "status"]] {
            let said = scene.say(Side::B, &[&["peer"], more].concat());
            assert!(said.code == Some(0) && said.text.contains("this is gw1"), "{said:?}");
        }
        scene.cable().cut();
        scene.expect_soon("a dead cable", PATIENCE, |s| s.path_state(Side::B, 0) == "broken");
        let said = scene.say(Side::B, &["peer", "--cable", "status"]);
        assert!(said.code == Some(1) && said.text.contains("the peer is not heard there"), "{said:?}");
        assert_eq!(scene.say(Side::B, &["peer", "status"]).code, Some(0));
    });
}

/// Situation: two cables and two LANs; then one of each fails, then the other cable, then the other LAN.
/// Required: four paths on time; no move while any of them is heard; jeopardy shows.
#[test]
fn two_cables_and_two_lans_at_once() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::new(Setup { second_lan: true, ..Setup::default() });
        let second = Cable::new(2).expect("a second cable");
        for side in [Side::A, Side::B] {
            let device = |cable: &Cable, side| cable.device(side).display().to_string();
            let (a, b) = (device(scene.cable(), Side::A), device(scene.cable(), Side::B));
            let (a2, b2) = (device(&second, Side::A), device(&second, Side::B));
            scene.rewrite(side, &format!("serial = {b:?}"), &format!("serial = [{b:?}, {b2:?}]"));
            scene.rewrite(
                side,
                "[serial]",
                &format!("[[serial]]\ndevice = {a2:?}\nbaud = 19200\n\n[[serial]]"),
            );
            scene.rewrite(side, &format!("device = {a2:?}"), &format!("device = {a:?}"));
            scene.rewrite(
                side,
                &format!("[[serial]]\ndevice = {a:?}\nbaud = 19200\n\n[lan]"),
                &format!("[[serial]]\ndevice = {a2:?}\nbaud = 19200\n\n[[lan]]"),
            );
            scene.rewrite(side, "port = 694\n", "port = 694\n\n[[lan]]\ninterface = \"eth1\"\nport = 694\n");
            scene.rewrite(side, "lan = \"10.77.0.1\"", "lan = [\"10.77.0.1\", \"10.78.0.1\"]");
            scene.rewrite(side, "lan = \"10.77.0.2\"", "lan = [\"10.77.0.2\", \"10.78.0.2\"]");
        }
        scene.begin(Side::A);
        scene.begin(Side::B);
        let on_time = |s: &Scene, side| {
            let status = s.try_status(side).unwrap_or_default();
            status["paths"]
                .as_array()
                .map_or(0, |all| all.iter().filter(|path| path["state"] == "on time").count())
        };
        scene.expect_soon("four paths", PATIENCE, |s| {
            [Side::A, Side::B].iter().all(|side| on_time(s, *side) == 4)
        });
        scene.expect_soon("a holder", PATIENCE, |s| s.holder().is_ok_and(|holder| holder == Some(Side::A)));
        scene.cable().cut();
        scene.set_lan(Side::A, PortRules::silent());
        scene.expect_soon("two paths", PATIENCE, |s| {
            [Side::A, Side::B].iter().all(|side| on_time(s, *side) == 2)
        });
        second.set(Side::A, LineRule { cut: true, ..LineRule::default() });
        thread::sleep(ms(1_500));
        assert!(scene.is_in_jeopardy(Side::B));
        assert_eq!(scene.status(Side::B)["verdict"], "present");
        assert_eq!(
            scene.holder().expect("the observer"),
            Some(Side::A),
            "nothing moves while one path is heard"
        );
        scene.assert_never_both();
    });
}

/// Runs the test of a cable on the ports of these nodes at once.
fn test_cable(cable: &Cable, modem: &Modem, sides: &[Side], more: &[&str]) -> Vec<(Value, Said)> {
    let ends: Vec<_> = sides.iter().map(|side| (*side, more)).collect();
    test_ends(cable, modem, &ends)
}

/// The same, each told otherwise.
fn test_ends(cable: &Cable, modem: &Modem, ends: &[(Side, &[&str])]) -> Vec<(Value, Said)> {
    let binary =
        std::env::var("CROSSWIRE_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_crosswire").to_owned());
    thread::scope(|scope| {
        let one = |(side, more): &(Side, &[&str])| {
            let mut command = Command::new(&binary);
            command.args(["cable-test", "--json"]).args(*more).arg(cable.device(*side));
            modem.attach(&mut command).expect("lines");
            scope.spawn(move || {
                let said = run(command);
                (serde_json::from_str(&said.text).unwrap_or_default(), said)
            })
        };
        let started: Vec<_> = ends.iter().map(one).collect();
        started.into_iter().map(|test| test.join().expect("a test of the cable")).collect()
    })
}

/// Of a cable on which nothing is lost. On a busy machine an answer may come too late, which counts as a
/// loss: not thrice.
fn test_good_cable(cable: &Cable, modem: &Modem, sides: &[Side], more: &[&str]) -> Vec<(Value, Said)> {
    let mut tried = 1;
    loop {
        let found = test_cable(cable, modem, sides, more);
        if tried == 3 || found.iter().all(|(_, said)| said.code == Some(0)) {
            return found;
        }
        tried += 1;
    }
}

fn cable_with(wiring: Wiring) -> (Cable, Modem) {
    let cable = Cable::new(3).expect("a cable");
    let modem = Modem::new(&cable, wiring).expect("line wires");
    (cable, modem)
}

const BOTH: [Side; 2] = [Side::A, Side::B];

/// Situation: a good cable with all lines, with three wires, with bridged plugs, with lines one way.
/// Required: both ends name it alike, say which lines work, recommend 115200 baud and a fitting interval, and
/// end with 0.
#[test]
fn a_good_cable_is_named_by_its_lines() {
    testing::in_fair_lab(|| {
        for (wiring, name, bridged) in [
            (Wiring::Full, "full", ""),
            (Wiring::Three, "three-wire", ""),
            (Wiring::Bridged, "three-wire", "DSR DCD CTS"),
            (Wiring::Only(Side::A), "partial", ""),
        ] {
            let (cable, modem) = cable_with(wiring);
            for (found, said) in test_good_cable(&cable, &modem, &BOTH, &[]) {
                assert_eq!(said.code, Some(0), "{wiring:?}: {said:?}");
                assert_eq!(found["wiring"], name, "{wiring:?}: {found}");
                assert_eq!(found["lines"]["bridged_here"], bridged, "{wiring:?}: {found}");
                assert_eq!(found["use_baud"], 115_200, "{found}");
                assert_eq!(found["use_interval_ms"], 20, "{found}");
                assert_eq!(found["speeds"].as_array().map(Vec::len), Some(5), "{found}");
                assert_eq!(found["uart"], "16550A");
            }
        }
    });
}

/// Situation: a cable that flips one bit in two thousand.
/// Required: no speed is called clean on either end; frames are counted as lost; the test ends, with 1.
#[test]
fn a_bad_cable_is_found_out() {
    testing::in_fair_lab(|| {
        let (cable, modem) = cable_with(Wiring::Full);
        for side in BOTH {
            cable.set(side, LineRule { bit_errors_per_million: 500, ..LineRule::default() });
        }
        for (found, said) in test_cable(&cable, &modem, &BOTH, &["--wait", "20", "--max-baud", "9600"]) {
            assert_eq!(said.code, Some(1), "{said:?}");
            assert!(found["hazards"].to_string().contains("lost"), "{found}");
            let verdict = found["verdict"].as_str().unwrap_or_default();
            assert!(
                verdict.starts_with("frames are lost at every speed that was tried: look for"),
                "{verdict}"
            );
        }
    });
}

/// Operator: `--max-baud` at one end, whichever of the two asks; a speed below the usual ones; one that the
/// port cannot make. Required: the slower end counts at both ends; each says what was not tried.
#[test]
fn the_slower_end_counts_and_what_was_not_tried_is_said() {
    testing::in_fair_lab(|| {
        let slow: &[&str] = &["--max-baud", "19200"];
        let (slower, fast): (&[&str], &[&str]) = (&["--max-baud", "4800"], &["--max-baud", "230400"]);
        for (ends, tried, untried) in [
            ([slow, &[]], &[9_600, 19_200][..], "not tried: 38400 57600 115200 baud"),
            ([&[], slow], &[9_600, 19_200], "not tried: 38400 57600 115200 baud"),
            ([slower, slower], &[4_800, 2_400, 1_200], "not tried: 9600 19200"),
            ([fast, fast], &[9_600, 19_200, 38_400, 57_600, 115_200], "not tried: 230400 baud"),
        ] {
            let (cable, modem) = cable_with(Wiring::Full);
            for (found, said) in test_ends(&cable, &modem, &[(Side::A, ends[0]), (Side::B, ends[1])]) {
                assert_eq!(said.code, Some(0), "{said:?}");
                let speeds: Vec<_> =
                    found["speeds"].as_array().into_iter().flatten().map(|one| &one["baud"]).collect();
                assert_eq!(speeds, tried, "{found}");
                assert_eq!(found["use_baud"].as_u64(), tried.iter().max().copied(), "{found}");
                assert!(found["hazards"].to_string().contains(untried), "{untried}: {found}");
            }
        }
    });
}

/// Situation: one wire is broken; nobody is at the other end; our own bytes come back.
/// Required: each is named, and the exit code is 1.
#[test]
fn what_is_no_cable_is_named() {
    testing::in_fair_lab(|| {
        let (cable, modem) = cable_with(Wiring::Full);
        let alone = test_cable(&cable, &modem, &[Side::A], &["--wait", "1"]);
        assert_eq!((&alone[0].0["wiring"], alone[0].1.code), (&Value::from("nothing"), Some(1)), "{alone:?}");
        cable.set(Side::A, LineRule { cut: true, ..LineRule::default() });
        let half = test_cable(&cable, &modem, &BOTH, &["--wait", "6"]);
        assert_eq!(half[0].0["wiring"], "one-way", "{half:?}");
        assert_eq!(half[1].0["wiring"], "nothing", "{half:?}");
        // Both were there, and stopped at the same time.
        assert!(half[1].0["verdict"].to_string().contains("a powered port is at the other end"), "{half:?}");
        assert!(half.iter().all(|(_, said)| said.code == Some(1)));
    });
}

/// A pair with all lines whose ports mind each other's speed.
fn wired(baud: u32) -> Scene {
    wired_as(Setup { baud, ..slow() })
}

fn wired_as(setup: Setup) -> Scene {
    let scene = Scene::new(Setup { lines: Some(Wiring::Full), ..setup });
    scene.cable().mind_speeds();
    scene
}

/// Situation: the daemon of a pair talks at the other end, at 9600 baud and at another speed. Required: it is
/// named by the id of its pair and by its speed, with what to say there, and the exit code is 1; the daemon
/// goes on, and takes nothing over meanwhile.
#[test]
fn a_daemon_at_the_other_end_is_named() {
    testing::in_fair_lab(|| {
        for (baud, wait) in [(9_600, "5"), (19_200, "8")] {
            let mut scene = wired(baud);
            scene.begin(Side::B);
            scene.expect_soon("a daemon", PATIENCE, |s| s.try_status(Side::B).is_some());
            let found = test_cable(scene.cable(), scene.modem(), &[Side::A], &["--wait", wait]);
            assert_eq!(
                (&found[0].0["wiring"], found[0].1.code),
                (&Value::from("daemon"), Some(1)),
                "{found:?}"
            );
            let verdict = found[0].0["verdict"].to_string();
            for part in ["pair with id", &format!("at {baud} baud"), "`crosswire maintenance on` there"] {
                assert!(verdict.contains(part), "{part} is not in {verdict}");
            }
            assert_eq!(scene.overlap().expect("the observer"), Span::ZERO);
            assert_eq!(
                scene.holder().expect("the observer"),
                None,
                "somebody is on the cable: not in cold start either"
            );
        }
    });
}

/// Puts a node into maintenance, and stops its peer.
fn leave_alone_in_maintenance(scene: &mut Scene, side: Side) {
    let said = scene.say(side, &["maintenance", "on"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    scene.stop(side.peer(), PATIENCE).expect("it ends");
}

/// How many frames of the pair `from` has put on the cable, of those that are remembered.
fn frames_of_the_pair(cable: &Cable, from: Side) -> usize {
    let mut collector = Collector::default();
    let mut is_frame =
        |byte: &u8| matches!(collector.push(*byte), Some(Gathered::Body(body)) if open(body).is_ok());
    cable.recorded(from).iter().filter(|byte| is_frame(byte)).count()
}

/// Operator: `maintenance on` on the active node, the other daemon is stopped, and the cable tested from
/// there; the line takes its time, and the port says what waits in it. Beats fill a quarter of the line, then
/// half of it, and hellos go with them. Required: the daemon answers between its beats, of which none is left
/// out or late, and serves on; the result names the cable, with its own speed only, says so, and ends with 0.
#[test]
fn one_end_alone_tests_against_a_daemon_in_maintenance_that_serves() {
    let half = Setup { interval_ms: 140, late_after_ms: 420, dead_after_ms: 840, ..slow() };
    for setup in [slow(), half] {
        one_end_alone_tests(setup);
    }
}

fn one_end_alone_tests(setup: Setup) {
    testing::in_fair_lab(move || {
        let interval = u64::from(setup.interval_ms);
        let late_after = Span::from_ms(u64::from(setup.late_after_ms));
        let mut scene = wired_as(setup.clone());
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        leave_alone_in_maintenance(&mut scene, Side::A);
        let skipped = |scene: &Scene| scene.status(Side::A)["paths"][0]["skipped"].clone();
        let skipped_before = skipped(&scene);
        let (start, frames_before, beats) =
            (now(), frames_of_the_pair(scene.cable(), Side::A), Beats::of(&scene, Side::A));
        let (found, said) =
            test_good_cable(scene.cable(), scene.modem(), &[Side::B], &["--wait", "10"]).remove(0);
        let (took, gap) = (now().since(start), beats.largest_gap());
        let frames = frames_of_the_pair(scene.cable(), Side::A) - frames_before;
        println!("{took}, {frames} frames of the pair, longest gap {gap}: {found}");
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(
            (&found["wiring"], &found["one_end"], &found["complete"]),
            (&"full".into(), &true.into(), &true.into())
        );
        assert_eq!(
            (&found["lines"]["our_dtr_reaches"], &found["lines"]["our_rts_reaches"]),
            (&"DSR DCD".into(), &"CTS".into())
        );
        assert_eq!(
            (&found["lines"]["their_dtr_reaches"], &found["lines"]["their_rts_reaches"]),
            (&"DSR DCD".into(), &"CTS".into()),
            "it runs, and it serves"
        );
        let speeds = found["speeds"].as_array().expect("speeds");
        assert_eq!(
            (speeds.len(), &speeds[0]["sent"], &speeds[0]["lost"]),
            (1, &40.into(), &0.into()),
            "{found}"
        );
        assert_eq!(found["use_baud"], 9_600);
        assert!(found["hazards"].to_string().contains("at its own speed only"), "{found}");
        assert!(gap < late_after, "a gap of {gap} between beats");
        assert!(frames as u64 + 2 >= took.as_ms() / interval, "{frames} frames in {took}");
        println!("the cable as the daemon sees it: {}", scene.status(Side::A)["paths"][0]);
        assert_eq!(skipped(&scene), skipped_before, "no beat was skipped");
        scene.assert_nothing_moved(Side::A, start);
        scene.begin(Side::B);
        scene.settle(Side::A);
        scene.assert_never_both();
    });
}

/// Operator: the same with the backup in maintenance, at another speed; its peer hands over to nobody.
/// Required: it is found at its speed; it takes nothing over; the text says what was not seen of its lines.
#[test]
fn one_end_alone_tests_against_a_daemon_in_maintenance_that_stands_by() {
    testing::in_fair_lab(|| {
        let mut scene = wired(38_400);
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        leave_alone_in_maintenance(&mut scene, Side::B);
        let holds = scene.holds().len();
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswire"));
        command.args(["cable-test", "--wait", "20"]).arg(scene.cable().device(Side::A));
        scene.modem().attach(&mut command).expect("lines");
        let said = run(command);
        println!("{}", said.text);
        assert_eq!(said.code, Some(0), "{said:?}");
        for part in [
            "a full null modem",
            "DTR ------------> DSR DCD\n",
            "RTS ------------> CTS\n",
            "DSR DCD <------------ DTR\n",
            " -      ?        RTS\n",
            " 38400 baud:  0 of 40 frames lost",
            "at its own speed only",
            "Use baud = 38400;",
        ] {
            assert!(said.text.contains(part), "{part:?} is not in\n{}", said.text);
        }
        assert_eq!(
            (scene.role(Side::B), scene.holds().len()),
            ("backup".to_owned(), holds),
            "nothing is taken"
        );
        assert_eq!(scene.say(Side::B, &["maintenance", "off"]).code, Some(0));
        scene.wait_for_service_by(Side::B);
        scene.assert_never_both();
    });
}
