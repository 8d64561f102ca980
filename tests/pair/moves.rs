//! Row 21: planned moves.

use std::fs;
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::setup::{GROUP, PREFIX, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Said, Scene, at_most, ms, run};

const BOTH: [Side; 2] = [Side::A, Side::B];

/// A daemon without scripts has to end within this.
const STOP_WAIT: Duration = Duration::from_secs(15);
/// The planned outage of a group of addresses.
const PLANNED_MS: u64 = 15;

/// Gives both nodes a command at once.
fn at_once(scene: &Scene, commands: [&[&str]; 2]) -> [Said; 2] {
    let [a, b] = [(Side::A, commands[0]), (Side::B, commands[1])]
        .map(|(side, arguments)| scene.command(side, arguments).expect("a command"));
    thread::scope(|scope| {
        let other = scope.spawn(|| run(b));
        let first = run(a);
        [first, other.join().expect("it ran")]
    })
}

/// The node's daemon has gone without a trace: no process, no address, no pid file, no socket that answers.
fn assert_nothing_is_left_of(scene: &Scene, side: Side) {
    assert_eq!(scene.processes(side).expect("/proc"), [], "a process is left");
    let left: Vec<_> =
        fs::read_dir(scene.directory(side).join("run")).expect("a run directory").flatten().collect();
    let names: Vec<_> = left.iter().map(|entry| entry.file_name().into_string().expect("a name")).collect();
    assert!(!names.iter().any(|name| name.ends_with(".pid")), "{names:?}");
    assert_eq!(scene.say(side, &["status"]).code, Some(3), "no daemon");
}

fn assert_planned_outage(what: &str, scene: &Scene, since: Instant) {
    let outage = scene.assert_outage_below(at_most(PLANNED_MS), since);
    println!("row 21, {what}: outage {outage}");
    scene.assert_never_both();
}

/// Operator: `handover` on the active node. Required: the peer serves; planned outage at the client; the
/// command says so and ends with 0; `takeover` on the old holder brings it back as smoothly.
#[test]
fn row_21_handover_and_takeover() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.text.starts_with("done: gw2 serves group gateway ("), "{said:?}");
        scene.settle(Side::B);
        assert_planned_outage("handover", &scene, start);
        let start = now();
        let said = scene.say(Side::A, &["takeover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.text.starts_with("done: gw1 serves group gateway ("), "{said:?}");
        scene.settle(Side::A);
        assert_planned_outage("takeover", &scene, start);
        thread::sleep(ms(1_000));
        assert_eq!(scene.holds().len(), 3, "and there it stays: {:?}", scene.holds());
    });
}

/// Operator: `handover` on the node that does not serve, `takeover` on the one that does, a group that does
/// not exist, and `--peer-is-off` while the peer is heard. Required: refused, with the reason and what to do
/// instead; nothing moves.
#[test]
fn row_21_requests_that_make_no_sense() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        let cases: [(Side, &[&str], &str); 5] = [
            (
                Side::B,
                &["handover", GROUP],
                "refused: group gateway: this node does not serve it: ask on the node that does, or say \
                    `takeover` here\n",
            ),
            (Side::A, &["takeover", GROUP], "refused: group gateway: this node serves it already\n"),
            (
                Side::A,
                &["handover", "nonsense"],
                "refused: group nonsense: there is no such group; `crosswire status` lists them\n",
            ),
            (
                Side::B,
                &["takeover", "--peer-is-off", GROUP],
                "refused: group gateway: gw1 is heard, so it is not off: say `takeover` without \
                    --peer-is-off\n",
            ),
            (
                Side::A,
                &["takeover", "--peer-is-off", GROUP],
                "refused: group gateway: this node serves it already\n",
            ),
        ];
        for (side, arguments, expected) in cases {
            let said = scene.say(side, arguments);
            assert_eq!((said.code, said.text.as_str()), (Some(1), expected), "{arguments:?} on {side:?}");
        }
        scene.assert_nothing_moved(Side::A, start);
    });
}

/// Operator: `standby` on the active node, then `online`; then `standby` on both at once. Required: as
/// `handover`, and nothing comes back by itself; of both, one serves: never both, never none for ever.
#[test]
fn row_21_standby() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        let said = scene.say(Side::A, &["standby", "--reason", "new disk"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.text.starts_with("done: gw1 holds nothing ("), "{said:?}");
        scene.settle(Side::B);
        assert_planned_outage("standby", &scene, start);
        assert!(scene.log_of(Side::A).contains("new disk"), "the reason is in the log");
        let status = scene.say(Side::A, &["status"]).text;
        assert!(status.contains("gw1 is in STANDBY"), "{status}");
        let said = scene.say(Side::B, &["standby"]);
        assert!(said.code == Some(1) && said.text.starts_with("refused: gw1 is in standby"), "{said:?}");
        assert_eq!(scene.say(Side::A, &["online"]).code, Some(0));
        thread::scope(|scope| {
            for side in BOTH {
                let scene = &scene;
                scope.spawn(move || scene.say(side, &["standby"]));
            }
        });
        scene.expect_soon("one that serves", PATIENCE, |scene| {
            BOTH.iter().filter(|side| scene.status(**side)["groups"][0]["role"] == "active").count() == 1
        });
        scene.assert_never_both();
    });
}

/// Operator: `maintenance on` on the standby, then the active node dies; then `maintenance off`.
/// Required: nothing moves until it is over.
#[test]
fn row_21_maintenance() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let said = scene.say(Side::B, &["maintenance", "on", "--for", "2h"]);
        assert_eq!(
            (said.code, said.text.as_str()),
            (Some(0), "done: nothing is moved for 120 m\n"),
            "{said:?}"
        );
        scene.expect_soon("word of it", PATIENCE, |scene| {
            scene.status(Side::A)["peer"]["maintenance"] == true
        });
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert!(said.code == Some(1) && said.text.starts_with("refused: "), "{said:?}");
        scene.power_cut(Side::A).expect("cut");
        thread::sleep(ms(2_000));
        assert_eq!(scene.holds().len(), 1, "nothing is taken: {:?}", scene.holds());
        assert_eq!(scene.status(Side::B)["verdict"], "dead");
        assert_eq!(scene.say(Side::B, &["maintenance", "off"]).code, Some(0));
        scene.wait_for_service_by(Side::B);
        scene.assert_never_both();
    });
}

/// Operator: SIGTERM to the active node. Required: it hands over with the planned outage, says goodbye, and
/// exits with 0 in bounded time; nothing is left of it. Its peer is in no doubt about it, and nothing happens
/// when it starts again.
#[test]
fn row_21_sigterm_of_the_active() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let start = now();
        let ended = scene.stop(Side::A, STOP_WAIT).expect("it ends");
        println!("row 21, SIGTERM: ended after {}", now().since(start));
        assert_eq!(ended.code(), Some(0));
        scene.wait_for_service_by(Side::B);
        assert_planned_outage("SIGTERM", &scene, start);
        assert_nothing_is_left_of(&scene, Side::A);
        let status = scene.status(Side::B);
        assert_eq!(status["verdict"], "departed");
        assert_eq!(status["peer"]["left"], true);
        scene.begin(Side::A);
        scene.settle(Side::B);
        assert_eq!(scene.holds().len(), 2, "it does not take back: {:?}", scene.holds());
        assert_planned_outage("return", &scene, start);
    });
}

/// Operator: SIGTERM to the standby, then to the node that is left.
/// Required: the first moves nothing; the second lets everything go; both exit with 0.
#[test]
fn row_21_sigterm_of_the_standby_and_then_of_the_last() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let start = now();
        assert_eq!(scene.stop(Side::B, STOP_WAIT).expect("it ends").code(), Some(0));
        assert_nothing_is_left_of(&scene, Side::B);
        thread::sleep(ms(1_500));
        scene.assert_nothing_moved(Side::A, start);
        assert_eq!(scene.stop(Side::A, STOP_WAIT).expect("it ends").code(), Some(0));
        assert_nothing_is_left_of(&scene, Side::A);
        scene.wait_for(Wanted::Nobody, ms(100)).expect("nobody holds it");
        scene.assert_never_both();
    });
}

/// Operator: SIGTERM to both nodes at the same instant.
/// Required: both let go and exit with 0 in bounded time; never both.
#[test]
fn row_21_sigterm_of_both_at_once() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        for side in [Side::A, Side::B] {
            let signal = nix::sys::signal::Signal::SIGTERM;
            scene.process(side).expect("it runs").signal(signal).expect("it lives");
        }
        for side in [Side::A, Side::B] {
            let ended =
                scene.process(side).expect("it was started").wait_for_end(STOP_WAIT).expect("it ends");
            assert_eq!(ended.code(), Some(0), "{side:?}");
            assert_nothing_is_left_of(&scene, side);
        }
        scene.wait_for(Wanted::Nobody, ms(100)).expect("nobody holds it");
        scene.assert_never_both();
    });
}

/// Operator: both nodes are asked to serve, or both not to, or one to give and the other to take, at the same
/// instant. Required: never both, never none for ever.
#[test]
fn row_21_both_asked_at_once() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let handover: &[&str] = &["handover", GROUP];
        let takeover: &[&str] = &["takeover", GROUP];
        for commands in
            [[handover, takeover], [takeover, takeover], [handover, handover], [takeover, handover]]
        {
            let start = now();
            let said = at_once(&scene, commands);
            scene.wait_for(Wanted::One, PATIENCE).unwrap_or_else(|e| panic!("{e}"));
            let holder = scene.holder().expect("the observer lost nothing").expect("one of them");
            scene.settle(holder);
            let outage = scene.ping().longest_gap_since(start);
            println!("row 21, {commands:?}: outage {outage}, {holder:?} serves; {said:?}");
            scene.assert_never_both();
        }
    });
}

/// The outages that a drill tells of.
fn measured(said: &str) -> Vec<Span> {
    let outage = |line: &str| {
        let told = line.strip_suffix(" at most")?.rsplit_once(" for ")?.1;
        let (number, unit) = told.split_once(' ')?;
        let number: f64 = number.parse().ok()?;
        let us = number * if unit == "ms" { 1_000.0 } else { 1_000_000.0 };
        Some(Span::from_us(us as u64))
    };
    said.lines().filter_map(outage).collect()
}

/// A takeover that does not come about says why: the client has the address of the box that is off.
#[test]
fn a_takeover_that_does_not_come_says_why() {
    testing::in_lab(|| {
        let mut scene = Scene::serving();
        scene.power_cut(Side::A).expect("its processes die");
        let index = scene.switch().node_interface(scene.client_port(0));
        scene.client().rtnl().add_address(index, VIP, PREFIX, None).expect("the stranger has it");
        thread::sleep(ms(3_000));
        let said = scene.say(Side::B, &["takeover", GROUP, "--peer-is-off"]);
        let why = "has not moved within 30 s: somebody answers for an address of it";
        assert!(said.code == Some(1) && said.text.contains(why), "{said:?}");
    });
}

/// Operator: `drill` on either node. Required: refused where nobody says yes and while the pair is not well;
/// else the group goes over and comes back, and the longest outage that is told is the one that the client
/// sees.
#[test]
fn a_drill_goes_over_and_back_and_tells_the_outage_that_the_client_sees() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        let said = scene.say(Side::A, &["drill", GROUP]);
        assert_eq!((said.code, said.text.lines().count()), (Some(1), 1), "nobody was asked: {said:?}");
        scene.cable().cut();
        scene.expect_soon("jeopardy", PATIENCE, |scene| scene.is_in_jeopardy(Side::A));
        let said = scene.say(Side::A, &["drill", "--yes", GROUP]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.text.contains("DEGRADED: serial is down"), "{said:?}");
        scene.assert_nothing_moved(Side::A, start);
        scene.heal().expect("mended");
        scene.settle(Side::A);
        for side in BOTH {
            let start = now();
            let said = scene.say(side, &["drill", "--yes", GROUP]);
            assert_eq!(said.code, Some(0), "{said:?}");
            let [over, back] = measured(&said.text)[..] else { panic!("{said:?}") };
            assert!(said.text.starts_with("handed over: gw2 serves gateway after "), "{said:?}");
            assert!(said.text.contains("\nhanded back: gw1 serves gateway after "), "{said:?}");
            let client = scene.ping().longest_gap_since(start).worst();
            println!("drill on {side:?}: {over} and {back}, the client {client}");
            let longest = over.max(back);
            assert!(longest <= client + at_most(50) && client <= longest + at_most(50), "{said:?} {client}");
            scene.settle(Side::A);
        }
        scene.assert_never_both();
    });
}
