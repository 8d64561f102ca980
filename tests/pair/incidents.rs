//! What an operator who is woken up sees: the first line of `status` and of `why` on both nodes and the exit
//! code, incident by incident, with every time masked. A line that changes here changes what somebody reads
//! at three in the morning: it has to name the right state and the right cause.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::signal::{Signal, kill};

use crate::lab::clock::now;
use crate::lab::modem::Wiring;
use crate::lab::setup::{CLIENT, NODE_NAMES, PREFIX, Setup, VIP};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms, run};
use crate::scripts::{HANG, Service};

const BOTH: [Side; 2] = [Side::A, Side::B];

/// `3.2 s` and `512 ms` as `TIME`.
fn masked(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let is_unit = ["ms", "s", "m", "h", "us"].contains(&word.trim_end_matches([')', ',', ';', ':', '.']));
        let is_number = |word: &str| word.trim_start_matches('(').parse::<f64>().is_ok();
        if is_unit && words.last().is_some_and(|last| is_number(last)) {
            let last = words.pop().unwrap_or_default();
            words.push(match (last.starts_with('('), word.ends_with(';'), word.ends_with(',')) {
                (true, ..) => "(TIME",
                (false, true, _) => "TIME;",
                (false, _, true) => "TIME,",
                (false, false, false) => "TIME",
            });
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
        scene.block_lan_beats(true);
        let (line, why) = (degraded("lan", "serial"), "DEGRADED: lan is broken (TIME ago)");
        expect(&scene, "the LAN is cut", [(4, line.as_str(), why); 2]);
        mended(&scene);
        scene.say(Side::B, &["standby", "--reason", "new disk"]);
        let line = "gw2 is in standby; gw1 serves gateway";
        let why =
            "gw2 does not take gateway: this node is in standby; `crosswire online` ends that (TIME ago)";
        expect(&scene, "standby", [(4, line, "gw2 is in standby"), (4, line, why)]);
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
            "gw2 cannot serve: its guard does not answer (TIME ago)",
            "gw2 does not take gateway: the guard cannot act (TIME ago)",
        ];
        expect(&scene, "the guard of the standby is stopped", whys.map(|why| (4, line, why)));
        kill(guard, Signal::SIGCONT).expect("it lives");
        mended(&scene);
        scene.signal_all(Side::A, Signal::SIGSTOP).expect("both stop");
        let hangs = hung_daemon(&scene, Side::A);
        let line = "gw2 serves gateway; gw1 is off, hangs or is cut off: nobody could take over";
        let why = "gw2 took gateway: gw1's box lives, its daemon does not: its kernel let the address go \
            when the lease was over (TIME ago)";
        expect(&scene, "a frozen daemon behind a full cable", [(6, &hangs, &hangs), (4, line, why)]);
        scene.signal_all(Side::A, Signal::SIGCONT).expect("both go on");
        scene.assert_never_both();
    });
}

/// How long a pair serves until each node has learned who answers for what.
const ACQUAINTED: Duration = ms(2_500);
const MAC_OF_CLIENT: &str = "02:77:00:00:00:02";

/// Fault: no beat passes on either path, and ARP does; then nothing passes at all, which is the documented
/// split; then all is mended.
/// Required: that each node does not hear the other, and who answers; in the end, that both have served.
#[test]
fn both_paths_are_cut() {
    testing::in_fair_lab(|| {
        let quorum = "neighbours = false\n".to_owned();
        let scene = Scene::serving_with(Setup { quorum, ..Setup::default() }).may_split();
        thread::sleep(ACQUAINTED);
        scene.cable().cut();
        scene.block_lan_beats(true);
        let unheard = "gw2 is off, hangs or is cut off: nobody could take over";
        let line = format!("gw1 serves gateway; {unheard}");
        let there =
            "gw1 is heard on no path, and its box still answers for what it served: nobody could take over";
        expect(&scene, "no beat passes", [(4, line.as_str(), unheard), (4, there, there)]);
        mended(&scene);
        scene.cable().cut();
        scene.set_lan(Side::A, PortRules::silent());
        let lines = [&line, "gw2 serves gateway; gw1 is off, hangs or is cut off: nobody could take over"];
        let took = "gw2 took gateway: gw1 is off or hangs: every path that testifies is silent (TIME ago)";
        expect(&scene, "nothing passes", [(4, lines[0], unheard), (4, lines[1], took)]);
        scene.heal().expect("healed");
        let incident = |peer: &str, who: &str| {
            format!(
                "group gateway: INCIDENT: both nodes served it, for TIME at most; no path had heard {peer} \
                    for TIME; {who} let it go TIME after the first frame (TIME ago)"
            )
        };
        let whys = [incident("gw2", "this node"), incident("gw1", "gw1")];
        let line = "gw2 serves gateway; gw1 could take over";
        expect(&scene, "healed", [(0, line, &whys[0]), (0, line, &whys[1])]);
    });
}

/// Fault: the witness answers nobody; a stranger claims the service address, and has it when the node that
/// serves loses its power.
/// Required: which witness, and whose address it is; nobody serves, and why.
#[test]
fn a_witness_is_lost_and_a_stranger_comes() {
    testing::in_fair_lab(|| {
        let quorum = format!("witness = [\"{CLIENT}\"]\n");
        let mut scene = Scene::serving_with(Setup { quorum, ..Setup::default() });
        thread::sleep(ACQUAINTED);
        scene.switch().set(scene.client_port(0), PortRules::silent());
        let whys = ["gw1", "gw2"].map(|name| format!("{name} has not seen witness {CLIENT} for TIME"));
        let lines = [0, 1].map(|index| format!("gw1 serves gateway; {}", whys[index]));
        expect(
            &scene,
            "the witness is lost",
            [0, 1].map(|index| (4, lines[index].as_str(), whys[index].as_str())),
        );
        mended(&scene);
        let index = scene.switch().node_interface(scene.client_port(0));
        scene.client().rtnl().add_address(index, VIP, PREFIX, None).expect("the stranger has it");
        let mut claim = Command::new("/bin/busybox");
        claim.args(["arping", "-A", "-c", "1", "-I", "eth0", &VIP.to_string()]);
        scene.client().command_in(&mut claim).expect("the stranger's namespace");
        run(claim);
        let line = "gw1 serves gateway; somebody else CLAIMS an address of gateway";
        let why = format!(
            "group gateway: {MAC_OF_CLIENT} claims an address of it, which is served here: announcing ours \
                again (TIME ago)"
        );
        let there = "somebody else CLAIMS an address of gateway";
        expect(&scene, "a stranger claims it", [(4, line, &why), (4, line, there)]);
        scene.power_cut(Side::A).expect("its processes die");
        let line = format!("NOBODY SERVES gateway: {MAC_OF_CLIENT} answers for an address of it");
        let none = no_daemon(&scene, Side::A);
        expect(&scene, "a stranger has it", [(3, &none, &none), (5, &line, &line)]);
    });
}

fn hung_daemon(scene: &Scene, side: Side) -> String {
    let run_dir = scene.directory(side).join("run");
    format!(
        "the daemon in {} does not answer: it hangs. Its init script ends it: force-stop, then start",
        run_dir.display()
    )
}

fn no_daemon(scene: &Scene, side: Side) -> String {
    let run_dir = scene.directory(side).join("run");
    format!("no daemon runs in {}: start it with its init script or `crosswire run`", run_dir.display())
}

/// Fault: the agent of the active node is killed three times within a minute.
/// Required: the other one serves, and both say why.
#[test]
fn an_agent_dies_again_and_again() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        for _ in 0..3 {
            let agent = scene.agent(Side::A).expect("an agent");
            kill(agent, Signal::SIGKILL).expect("it lives");
            scene.expect_soon("another one", PATIENCE, |scene| scene.try_status(Side::A).is_some());
        }
        let why = "gw1 could not take over: its agent died or hung again and again";
        let line = format!("gw2 serves gateway; {why}");
        let there = "gw2 serves gateway; gw1 could not take over: a group failed there";
        let took = "gw2 took gateway: gw1 fell silent, and came back without it: its agent died or hung \
            (TIME ago)";
        expect(&scene, "an agent dies three times", [(4, &line, why), (4, there, took)]);
        scene.assert_never_both();
    });
}

/// Fault: no daemon runs; one node starts alone; the other one starts with another key.
/// Required: each of that, on both nodes.
#[test]
fn a_node_is_alone() {
    testing::in_fair_lab(|| {
        let keys = [Setup::default().keys[0].clone(), "ffeeddccbbaa99887766554433221100".to_owned()];
        let mut scene = Scene::new(Setup { cold_start_ms: Some(2_500), keys, ..Setup::default() });
        let none = BOTH.map(|side| no_daemon(&scene, side));
        expect(&scene, "no daemon", [(3, &none[0], &none[0]), (3, &none[1], &none[1])]);
        scene.begin(Side::A);
        let line = "PERHAPS NOBODY SERVES gateway: cold start: listening for gw2, TIME more";
        let why = "gw1 does not take gateway: cold start: listening for gw2 (TIME ago)";
        expect(&scene, "cold start", [(5, line, why), (3, &none[1], &none[1])]);
        let why = "gw2 has not been heard since the start: nobody could take over";
        let line = format!("gw1 serves gateway; {why}");
        expect(&scene, "alone", [(4, &line, why), (3, &none[1], &none[1])]);
        expect_screens(&scene, "one-box-alone.txt", &BOTH[..1]);
        scene.begin(Side::B);
        let [here, there] =
            ["gw2", "gw1"].map(|peer| format!("{peer} answers, but is not understood: not with our key"));
        let line = format!("gw1 serves gateway; {here}");
        expect(&scene, "the keys differ", [(4, &line, &here), (4, &there, &there)]);
    });
}

/// Fault: the files differ; then the guard of the active node is stopped.
/// Required: both say so; the other node has taken over, and knows why.
#[test]
fn files_differ_and_a_guard_hangs() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving_with_two_files();
        let differ = "the CONFIGURATIONS DIFFER";
        let line = format!("gw1 serves gateway; {differ}");
        let why = "gw1 runs with another configuration: compare the two files (`crosswire check --peer` \
            names the keys); until then nothing is handed over on request (TIME ago)";
        expect(&scene, "the files differ", [(4, &line, differ), (4, &line, why)]);
        let guard = scene.guard(Side::A).expect("a guard");
        kill(guard, Signal::SIGSTOP).expect("it lives");
        let hangs = "gw1 CANNOT SERVE what it holds: its guard does not answer";
        let line = format!("{hangs}; gw2 serves gateway");
        let took = "gw2 took gateway: gw1 could not serve any more, and its kernel has let the addresses go \
            (TIME ago)";
        let whys = ["gw1 let gateway go: its lease was not renewed in time (TIME ago)", took];
        let there = format!("gw2 serves gateway; {differ}");
        expect(&scene, "a guard hangs", [(5, &line, whys[0]), (4, &there, whys[1])]);
        kill(guard, Signal::SIGCONT).expect("it lives");
        scene.assert_never_both();
    });
}

/// The parts of a screen that show neither how busy the machine is nor how often a group has moved.
fn steady(screen: &str) -> String {
    let is_steady = |part: &&str| part.starts_with("groups\n") || part.starts_with("if this fails now\n");
    let without_term = |line: &str| {
        let masked = masked(line);
        let mut parts = masked.split("(term ");
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = |part: &str| format!("(term N{}", part.trim_start_matches(|c: char| c.is_ascii_digit()));
        parts.map(rest).fold(first, |line, part| line + &part) + "\n"
    };
    screen.split("\n\n").filter(is_steady).flat_map(str::lines).map(without_term).collect()
}

/// Who serves what, and what one more fault would come to, as the fixture has it.
fn expect_screens(scene: &Scene, fixture: &str, sides: &[Side]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/incidents").join(fixture);
    let wanted = fs::read_to_string(&file).unwrap_or_default();
    let shown = || {
        let screen = |side: &Side| {
            let said = scene.say(*side, &["status"]);
            let (name, code) = (NODE_NAMES[side.index()], said.code.unwrap_or(-1));
            format!("{name} ends with {code}\n{}", steady(&said.text))
        };
        sides.iter().map(screen).collect::<Vec<_>>().join("\n")
    };
    let give_up = now() + PATIENCE_S;
    let mut last = shown();
    while last != wanted {
        assert!(now() < give_up, "{} is not what is shown:\n{last}", file.display());
        last = shown();
    }
}

/// Fault: the guard of the node that serves is stopped; then it goes on.
/// Required: it could not serve any more, and why; the other node has taken over, and knows why; then all is
/// well. The groups and forecasts of the screens too.
#[test]
fn the_guard_of_the_active_node_hangs() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let guard = scene.guard(Side::A).expect("a guard");
        kill(guard, Signal::SIGSTOP).expect("it lives");
        let line = "gw1 CANNOT SERVE what it holds: its guard does not answer; gw2 serves gateway";
        let why = "gw1 let gateway go: its lease was not renewed in time (TIME ago)";
        let there = "gw2 serves gateway; gw1 could not take over: its guard does not answer";
        let took = "gw2 took gateway: gw1 could not serve any more, and its kernel has let the addresses go \
            (TIME ago)";
        expect(&scene, "the guard of the active node is stopped", [(5, line, why), (4, there, took)]);
        expect_screens(&scene, "guard-of-the-active.txt", &BOTH);
        kill(guard, Signal::SIGCONT).expect("it lives");
        let well = |side| seen(&scene, side).1 == "gw2 serves gateway; gw1 could take over";
        scene.expect_soon("a pair that is well", PATIENCE, |_| BOTH.into_iter().all(well));
        scene.assert_never_both();
    });
}

/// Fault: the start script hangs on the preferred node.
/// Required: while it does, who takes the group; then, what did not start where, and that it was not done in
/// its time.
#[test]
fn a_start_script_hangs() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        service.does("gw1-start", HANG);
        let mut scene = Scene::new(service.setup());
        scene.begin(Side::A);
        scene.begin(Side::B);
        let took = "gw1 took gateway: nobody serves it and it is our turn (TIME ago)";
        let line = "on its way: gateway: gw1 takes it";
        let quiet = "gw2 has decided nothing that is on record here";
        expect(&scene, "a script hangs", [(4, line, took), (4, line, quiet)]);
        let why = format!("gw1 could not take over: {} did not start: not done in TIME", service.label());
        let line = format!("gw2 serves gateway; {why}");
        let there = "gw2 serves gateway; gw1 could not take over: a group failed there";
        let unable = "gw1 could not take over: a group failed there";
        expect(&scene, "a script has hung", [(4, &line, &why), (4, there, unable)]);
    });
}

/// Fault: the box of the active node freezes behind a full cable, whose modem lines stay on.
/// Required: that it has power and hangs, on the node that has taken over when it must have let go.
#[test]
fn a_box_freezes_behind_a_full_cable() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving_with(Setup { lines: Some(Wiring::Full), ..Setup::default() });
        scene.expect_soon("lines that are believed", PATIENCE, |scene| {
            scene.status(Side::B)["paths"][0]["lines"] == "running and holding"
        });
        scene.signal_all(Side::A, Signal::SIGSTOP).expect("both stop");
        scene.set_lan(Side::A, PortRules::silent());
        let hangs = hung_daemon(&scene, Side::A);
        let line = "gw2 serves gateway; gw1 has power and hangs (its modem lines are on): nobody could take \
            over";
        let why = "gw2 took gateway: gw1's box has power and hangs (its modem lines are on): it must have \
            let go by then (TIME ago)";
        expect(&scene, "a frozen box behind a full cable", [(6, &hangs, &hangs), (4, line, why)]);
        scene.signal_all(Side::A, Signal::SIGCONT).expect("both go on");
        scene.assert_never_both();
    });
}
