//! What an operator who is woken up sees: the first line of `status` and of `why` on both nodes and the exit
//! code, incident by incident, with every time masked. A line that changes here changes what somebody reads
//! at three in the morning: it has to name the right state and the right cause.

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::signal::{Signal, kill};

use crate::lab::clock::now;
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};

const BOTH: [Side; 2] = [Side::A, Side::B];

/// `3.2 s` and `512 ms` as `TIME`.
fn masked(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let is_unit = ["ms", "s", "m", "h", "us"].contains(&word.trim_end_matches([')', ',', ';', ':', '.']));
        let is_number = |word: &str| word.trim_start_matches('(').parse::<f64>().is_ok();
        if is_unit && words.last().is_some_and(|last| is_number(last)) {
            let last = words.pop().unwrap_or_default();
            words.push(if last.starts_with('(') { "(TIME" } else { "TIME" });
        } else {
            words.push(word);
        }
    }
    words.join(" ")
}

/// The first paragraph of a screen: up to the line that says whose it is, or that is empty.
fn first(screen: &str) -> String {
    let lines = screen.lines().take_while(|line| !line.is_empty() && !line.starts_with("pair lab"));
    masked(&lines.collect::<Vec<_>>().join(" "))
}

/// Exit code and first line of `status`, first line of `why`.
type Seen = (i32, String, String);

fn seen(scene: &Scene, side: Side) -> Seen {
    let status = scene.say(side, &["status"]);
    let why = scene.say(side, &["why"]);
    (status.code.unwrap_or(-1), first(&status.text), first(&why.text))
}

/// Waits until a node shows that; of a node that is not asked, nothing.
fn expect(scene: &Scene, incident: &str, expected: [(i32, &str, &str); 2]) {
    for (side, (code, status, why)) in BOTH.into_iter().zip(expected) {
        let wanted = (code, status.to_owned(), why.to_owned());
        let give_up = now() + PATIENCE_S;
        let mut shown = seen(scene, side);
        while shown != wanted {
            assert!(now() < give_up, "{incident}, {side:?} shows\n{shown:?}\ninstead of\n{wanted:?}");
            shown = seen(scene, side);
        }
    }
}

const WELL: &str = "gw1 serves gateway; gw2 could take over";
const PATIENCE_S: Span = Span::from_s(30);

/// Mended, and seen to be well by both.
fn mended(scene: &Scene) {
    scene.heal().expect("mended");
    scene.settle(Side::A);
    let is_well = |scene: &Scene| BOTH.into_iter().all(|side| seen(scene, side).1 == WELL);
    scene.expect_soon("a pair that is well", PATIENCE, is_well);
}

/// Faults: cable cut, LAN cut, guard of the standby stopped, daemon of the active node frozen behind a cable
/// that works. Operators: standby and maintenance. One after the other, each mended before the next.
/// Required: these lines, on both nodes.
#[test]
fn the_first_lines_name_state_and_cause() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let degraded = |broken: &str, other: &str| {
            format!(
                "gw1 serves gateway; DEGRADED: {broken} is down. If {other} fails too, nobody takes over by \
                    itself. Repair {broken}."
            )
        };
        scene.cable().cut();
        let (line, why) = (degraded("serial", "lan"), "DEGRADED: serial is broken (TIME ago)");
        expect(&scene, "the cable is cut", [(4, line.as_str(), why); 2]);
        mended(&scene);
        scene.set_lan(Side::A, PortRules::silent());
        let (line, why) = (degraded("lan", "serial"), "DEGRADED: lan is broken (TIME ago)");
        expect(&scene, "the LAN is cut", [(4, line.as_str(), why); 2]);
        mended(&scene);
        let took = "gw1 took gateway: nobody serves it and it is our turn (TIME ago)";
        scene.say(Side::B, &["standby", "--reason", "new disk"]);
        let line = "gw2 is in standby; gw1 serves gateway";
        let why =
            "gw2 does not take gateway: this node is in standby; `crosswire online` ends that (TIME ago)";
        expect(&scene, "standby", [(4, line, took), (4, line, why)]);
        assert!(scene.say(Side::B, &["status"]).text.contains("new disk"), "its reason");
        scene.say(Side::B, &["online"]);
        mended(&scene);
        scene.say(Side::A, &["maintenance", "on", "--reason", "new kernel"]);
        let line = "gw1 is in maintenance; gw1 serves gateway";
        let whys = [
            "maintenance: nothing is moved for TIME (TIME ago)",
            "gw2 does not take gateway: gw1 was last heard in maintenance: nothing is moved until that is \
                over (TIME ago)",
        ];
        expect(&scene, "maintenance", whys.map(|why| (4, line, why)));
        assert!(scene.say(Side::A, &["status"]).text.contains("new kernel"), "its reason");
        scene.say(Side::A, &["maintenance", "off"]);
        mended(&scene);
        let guard = scene.guard(Side::B).expect("a guard");
        kill(guard, Signal::SIGSTOP).expect("it lives");
        let line = "gw1 serves gateway; gw2 could not take over: its guard does not answer";
        let whys = [
            "gw2 cannot serve: its guard does not answer; nobody takes over from this node (TIME ago)",
            "gw2 does not take gateway: the guard cannot act (TIME ago)",
        ];
        expect(&scene, "the guard of the standby is stopped", whys.map(|why| (4, line, why)));
        kill(guard, Signal::SIGCONT).expect("it lives");
        mended(&scene);
        scene.signal_all(Side::A, Signal::SIGSTOP).expect("both stop");
        let run_dir = scene.directory(Side::A).join("run");
        let hangs = format!(
            "the daemon in {} does not answer: it hangs. Its init script ends it: force-stop, then start",
            run_dir.display()
        );
        let line = "gw2 serves gateway; gw1 is off or hangs: nobody could take over";
        let why = "gw2 took gateway: gw1's box lives, its daemon does not: its kernel let the address go \
            when the lease was over (TIME ago)";
        expect(&scene, "a frozen daemon behind a full cable", [(6, &hangs, &hangs), (4, line, why)]);
        scene.signal_all(Side::A, Signal::SIGCONT).expect("both go on");
        scene.assert_never_both();
    });
}
