//! Row 19: scripts that fail, hang, flood and leave something behind. Whatever they do, heartbeats go on.

use std::fs;
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;
use tempfile::TempDir;

use crate::beats::Beats;
use crate::lab::address_log::Wanted;
use crate::lab::executable::write_executable;
use crate::lab::setup::{GROUP, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms};

/// Hears no TERM, and never ends.
pub const HANG: &str = "trap '' TERM\nwhile :; do sleep 1; done";
/// A beat is on time until `late_after`.
const LATE_AFTER: Span = Span::from_ms(300);
const HEADER: &str = "echo \"$CROSSWIRE_NODE $1 $CROSSWIRE_TERM\" >>story
what=./$CROSSWIRE_NODE-$1
[ ! -f $what ] || . $what
exit 0
";

/// A service whose script does what a file called NODE-ACTION says, and otherwise what it should.
pub struct Service {
    directory: TempDir,
}

impl Service {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!("#!/bin/sh\ncd {}\n{HEADER}", directory.path().display());
        write_executable(&directory.path().join("service"), &text);
        Self { directory }
    }

    /// Scripts have a second; taken over from a silent peer as a group of addresses is.
    pub fn setup(&self) -> Setup {
        Setup {
            prefer: Some(Side::A),
            scripts: vec![self.label()],
            more: "safety = \"probe\"\nstart_timeout = \"1s\"\nstop_timeout = \"1s\"".into(),
            ..Setup::default()
        }
    }

    /// As a configuration names it.
    pub fn label(&self) -> String {
        format!("exec:{}", self.directory.path().join("service").display())
    }

    pub fn does(&self, what: &str, line: &str) {
        fs::write(self.directory.path().join(what), line).expect("written");
    }

    pub fn works(&self, what: &str) {
        fs::remove_file(self.directory.path().join(what)).expect("removed");
    }

    pub fn story(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join("story")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Both nodes begin; returns what is listened to.
pub fn begin(service: &Service) -> (Scene, [Beats; 2]) {
    begin_with(service.setup())
}

/// The same, told otherwise.
pub fn begin_with(setup: Setup) -> (Scene, [Beats; 2]) {
    let mut scene = Scene::new(setup);
    let beats = [Side::A, Side::B].map(|side| Beats::of(&scene, side));
    scene.begin(Side::A);
    scene.begin(Side::B);
    (scene, beats)
}

pub fn assert_on_time(what: &str, beats: [Beats; 2]) {
    let [a, b] = beats.map(Beats::largest_gap);
    println!("row 19, {what}: largest gap between beats {a} of gw1, {b} of gw2");
    assert!(a < LATE_AFTER && b < LATE_AFTER, "beats {a} and {b} apart");
}

/// How the script failed stands in `status`, in `why` and in the log of the node where it did.
fn expect_told(scene: &Scene, how: &str, (key, value): (&str, u64)) {
    let said = format!("service did not start: {how}");
    for words in [&["status"][..], &["why"]] {
        let shown = scene.say(Side::A, words).text;
        // A screen breaks its lines.
        let whole = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(whole.contains(&said), "{words:?}: {shown}");
    }
    assert!(scene.log_of(Side::A).contains(&said), "{}", scene.log_of(Side::A));
    let group = &scene.status(Side::A)["groups"][0];
    assert_eq!((&group["script_end"], &group["script_end_value"]), (&key.into(), &value.into()), "{group}");
}

/// Fault: the script's start fails on the preferred node.
/// Required: what was started is stopped, the node is faulty, and its peer serves.
#[test]
fn row_19_start_fails() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        service.does("gw1-start", "exit 3");
        let (scene, beats) = begin(&service);
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        scene.expect_service_by(Side::B);
        assert_eq!(service.story(), ["gw1 start 1", "gw1 stop 1", "gw2 start 2"]);
        expect_told(&scene, "exit code 3", ("exit_code", 3));
        thread::sleep(ms(2_000));
        assert_on_time("start fails", beats);
        scene.assert_never_both();
    });
}

/// Fault: the script's start hangs on the preferred node, and does not hear TERM.
/// Required: it is killed with its group; then as if it had failed.
#[test]
fn row_19_start_hangs() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        service.does("gw1-start", HANG);
        let (scene, beats) = begin(&service);
        scene.expect_service_by(Side::B);
        assert_eq!(service.story(), ["gw1 start 1", "gw1 stop 1", "gw2 start 2"]);
        expect_told(&scene, "not done in 1 s", ("time_limit_ms", 1_000));
        let left = scene.processes(Side::A).expect("/proc");
        assert!(left.iter().all(|process| process.name == "crosswire"), "something is left: {left:?}");
        assert_on_time("start hangs", beats);
        scene.assert_never_both();
    });
}

/// What comes before the addresses has run before any of them is there, and is stopped when all are gone.
#[test]
fn what_comes_before_the_addresses_never_sees_them() {
    testing::in_fair_lab(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let (script, story) = (directory.path().join("first"), directory.path().join("story"));
        let text = format!(
            "#!/bin/sh\nwhere=gone\n! ip -o address | grep -q '{VIP}/' || where=there\n\
             echo \"$CROSSWIRE_NODE $1 $where\" >>{}\n",
            story.display()
        );
        write_executable(&script, &text);
        let more = format!("before = [\"exec:{}\"]\nsafety = \"probe\"", script.display());
        let mut scene = Scene::new(Setup { prefer: Some(Side::A), more, ..Setup::default() });
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::B);
        let told = fs::read_to_string(&story).expect("a story");
        let told: Vec<&str> = told.lines().collect();
        assert_eq!(told, ["gw1 start gone", "gw1 stop gone", "gw2 start gone"]);
        scene.assert_never_both();
    });
}

/// Fault: the script's stop hangs when the group is handed over; later it works again. Required: the address
/// goes all the same, and the peer does not start before the script has stopped. It is tried again.
#[test]
fn row_19_stop_hangs() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let (scene, beats) = begin(&service);
        scene.settle(Side::A);
        service.does("gw1-stop", HANG);
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_ne!(said.code, Some(0), "{said:?}");
        scene.wait_for(Wanted::Nobody, PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        scene.expect_soon("the stop is given up", PATIENCE, |scene| {
            scene.log_of(Side::A).contains("did not stop")
        });
        thread::sleep(ms(2_000));
        assert_eq!((scene.role(Side::A), scene.role(Side::B)), ("releasing".to_owned(), "backup".to_owned()));
        assert!(!service.story().iter().any(|line| line.starts_with("gw2")), "{:?}", service.story());
        service.works("gw1-stop");
        scene.expect_service_by(Side::B);
        let story = service.story();
        assert_eq!(story.last().map(String::as_str), Some("gw2 start 2"), "{story:?}");
        assert!(story.iter().filter(|line| *line == "gw1 stop 1").count() > 1, "{story:?}");
        assert_on_time("stop hangs", beats);
        scene.assert_never_both();
    });
}

/// Fault: the script's start hangs on the preferred node, and so does its stop, as those of a disk do that
/// answers nothing; later the stop works. Required: nobody knows what the start has done, so the peer does
/// not start the group before the stop has worked.
#[test]
fn row_19_start_and_stop_hang() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        service.does("gw1-start", HANG);
        service.does("gw1-stop", HANG);
        let (scene, beats) = begin(&service);
        scene.expect_soon("the stop is given up", PATIENCE, |scene| {
            scene.log_of(Side::A).contains("did not stop")
        });
        thread::sleep(ms(2_000));
        assert_eq!((scene.role(Side::A), scene.role(Side::B)), ("releasing".to_owned(), "backup".to_owned()));
        assert!(!service.story().iter().any(|line| line.starts_with("gw2")), "{:?}", service.story());
        service.works("gw1-stop");
        scene.expect_service_by(Side::B);
        let story = service.story();
        assert_eq!(story.last().map(String::as_str), Some("gw2 start 2"), "{story:?}");
        assert_on_time("start and stop hang", beats);
        scene.assert_never_both();
    });
}

/// Fault: the script leaves a child behind that keeps the pipe and floods it.
/// Required: the group is served at once, the log stays short, and the child lives until the script stops it.
#[test]
fn row_19_child_keeps_the_pipe_and_floods_it() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        service.does(
            "gw1-start",
            "(while :; do echo one line of a flood that never ends; done) &\necho $! >child\nexit 0",
        );
        service.does("gw1-stop", "kill $(cat child)");
        let (scene, beats) = begin(&service);
        scene.settle(Side::A);
        thread::sleep(ms(3_000));
        let lines = scene.log_of(Side::A).matches("one line of a flood").count();
        assert!((1..=60).contains(&lines), "{lines} lines of the flood are in the log");
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::B);
        assert_eq!(service.story(), ["gw1 start 1", "gw1 stop 1", "gw2 start 2"]);
        assert_on_time("child floods the pipe", beats);
        scene.assert_never_both();
    });
}

/// Fault: the script's stop hangs when the group is handed over, and the group asks for a box that resets
/// itself. Required: the address goes first, then the box resets itself; the peer serves once it is silent,
/// and not before.
#[test]
fn row_19_stop_hangs_and_the_box_resets_itself() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let reset = service.directory.path().join("reset");
        fs::write(&reset, "").expect("written");
        let setup = service.setup();
        let more = format!(
            "{}\non_stop_failure = \"self-fence\"\n[system]\nreset = {:?}",
            setup.more,
            reset.display().to_string()
        );
        let (mut scene, beats) = begin_with(Setup { more, ..setup });
        scene.settle(Side::A);
        service.does("gw1-stop", HANG);
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_ne!(said.code, Some(0), "{said:?}");
        scene
            .expect_soon("the reset", PATIENCE, |_| fs::read_to_string(&reset).is_ok_and(|text| text == "b"));
        assert_eq!(scene.holder().expect("the observer lost nothing"), None, "the address goes first");
        assert!(!service.story().iter().any(|line| line.starts_with("gw2")), "{:?}", service.story());
        assert_on_time("stop hangs, self-fence", beats);
        scene.power_cut(Side::A).expect("the power is cut");
        scene.expect_service_by(Side::B);
        scene.assert_never_both();
    });
}
