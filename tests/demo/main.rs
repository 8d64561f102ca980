//! `crosswire demo` as a new user runs it: the shipped binary, to its end and interrupted, and what is left
//! afterwards.
#![cfg(feature = "workbench")]

#[path = "../../src/workbench/lab/executable.rs"]
mod executable;
#[path = "../../src/workbench/lab/fair.rs"]
mod fair;
mod terminal;

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use executable::copy_executable;
use fair::{Dog, HANGS_AFTER};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;
use tempfile::TempDir;

/// The user and group number without rights on every Linux.
const NOBODY: u32 = 65_534;
/// Longest until a demo that was not interrupted must have ended by itself.
const WHOLE: Duration = Duration::from_secs(180);
/// Longest until something short must have happened on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// A standstill of the machine that lasts so long may be the cause of a move.
const LONG_STALL: Duration = Duration::from_millis(150);

/// One demo at a time: two would measure each other's load.
static TURN: Mutex<()> = Mutex::new(());

/// With the longest time that a test with all its tries may take.
fn take_turn() -> (MutexGuard<'static, ()>, Dog) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (turn, Dog::watch(HANGS_AFTER * 5))
}

/// A demo with a directory of its own for whatever it needs, so that what it leaves behind can be told from
/// others'.
struct Demo {
    place: TempDir,
    child: Child,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // For a test that fails; else it has ended already. The kernel then kills its daemons.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_crosswire"));
        Self::start_as(command, tempfile::tempdir().unwrap(), arguments)
    }

    fn start_as(mut command: Command, place: TempDir, arguments: &[&str]) -> Self {
        command.arg("demo").args(arguments).env("TMPDIR", place.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { place, child }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    fn interrupt(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        panic!("the demo has not ended within {limit:?}");
    }

    /// How it ended, and what it said: little enough for a pipe to hold.
    fn finish(&mut self, limit: Duration) -> (ExitStatus, String, String) {
        let status = self.wait_for_end(limit);
        let read = |from: &mut dyn std::io::Read| {
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            text
        };
        let (stdout, stderr) =
            (read(self.child.stdout.as_mut().unwrap()), read(self.child.stderr.as_mut().unwrap()));
        (status, stdout, stderr)
    }

    /// What it says until it has said `last`.
    fn read_until(&mut self, last: &str) -> String {
        let stdout = self.child.stdout.as_mut().unwrap();
        let deadline = Instant::now() + SOON;
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains(last) {
            assert!(Instant::now() < deadline, "{last:?} is not said");
            if poll(&mut [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)], 100u8) == Ok(1) {
                let mut room = [0; 4_096];
                let length = stdout.read(&mut room).unwrap();
                assert!(length > 0, "it ended without saying {last:?}");
                said.extend_from_slice(&room[..length]);
            }
        }
        String::from_utf8(said).unwrap()
    }

    /// Waits until both daemons run, guard and agent each.
    fn wait_for_daemons(&self) {
        let deadline = Instant::now() + SOON;
        while daemons_of(self.place.path()).len() < 4 {
            assert!(
                Instant::now() < deadline,
                "the daemons do not start: {:?}",
                daemons_of(self.place.path())
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(daemons_of(self.place.path()), Vec::<String>::new(), "processes");
        let files: Vec<_> =
            fs::read_dir(self.place.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files, Vec::<std::path::PathBuf>::new(), "files");
    }
}

/// Command lines of all processes that were started with files below `place`.
fn daemons_of(place: &Path) -> Vec<String> {
    let place = place.display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&place) && line.contains("--run-dir")).collect()
}

fn is_move(row: &Value) -> bool {
    matches!(row["fault"].as_str(), Some("handover" | "power cut"))
}

/// One node held the address before, one after, and it moved only where it had to.
fn assert_holder_as_required(row: &Value, active: &Value) {
    let after = row["holders_after"].as_array().unwrap();
    if row["active_before"] != *active || after.len() != 1 || (after[0] != *active) != is_move(row) {
        fair::excused_only_by(LONG_STALL);
        panic!("the address is not where it has to be: {row:#}");
    }
}

/// Every act was as required, by the figures and not only by the demo's own word.
fn assert_as_required(document: &Value) {
    let rows = document["rows"].as_array().unwrap();
    if document["overlap_ms"] != 0.0 {
        fair::never_excused();
        panic!("both held the address: {document:#}");
    }
    let faults: Vec<&str> = rows.iter().map(|row| row["fault"].as_str().unwrap()).collect();
    assert_eq!(
        faults,
        ["LAN cut", "LAN healed", "cable cut", "cable healed", "handover", "power cut"],
        "{document:#}"
    );
    let mut active = document["rows"][0]["active_before"].clone();
    for row in rows {
        assert_holder_as_required(row, &active);
        assert_eq!(row["as_required"], true, "{row:#}");
        assert_eq!(row["overlap_ms"], 0.0, "{row:#}");
        let outage_ms = row["outage_ms"].as_f64().unwrap();
        assert!(outage_ms <= row["outage_passes_up_to_ms"].as_f64().unwrap(), "{row:#}");
        assert_eq!(row["reaction_ms"].is_f64(), !is_move(row), "{row:#}");
        active = row["holders_after"][0].clone();
    }
    let outage_of = |index: usize| rows[index]["outage_ms"].as_f64().unwrap();
    // Noticed when dead_after has passed since the last beat, which is about an interval old at most.
    assert!(
        (200.0..=1_650.0).contains(&outage_of(5)),
        "{} ms: the client did not see the power cut",
        outage_of(5)
    );
    assert_eq!(document["as_required"], true);
    assert_eq!(document["error"], Value::Null);
    assert!(document["took_ms"].as_u64().unwrap() < 30_000, "{document:#}");
}

#[test]
fn the_demo_shows_every_row_as_required_and_leaves_nothing() {
    let _turn = take_turn();
    fair::when_the_machine_has_time(|| {
        let drawn = tempfile::NamedTempFile::new().unwrap();
        let mut demo = Demo::start(&["--json", "--svg", drawn.path().to_str().unwrap()]);
        demo.wait_for_daemons();
        let (status, stdout, stderr) = demo.finish(WHOLE);
        println!("{stdout}");
        demo.assert_nothing_is_left();
        let drawn = fs::read_to_string(drawn.path()).unwrap();
        assert!(drawn.contains(">active<") && drawn.contains(">dead<"), "the power cut is drawn: {drawn}");
        let document: Value = serde_json::from_str(&stdout).expect("one JSON document and nothing else");
        assert_as_required(&document);
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    });
}

/// As a user without rights, from a copy that this user may read. Elsewhere the test above already runs as
/// such a user.
#[test]
fn without_root_it_does_the_same_or_says_how_to_go_on() {
    if !geteuid().is_root() {
        return;
    }
    let _turn = take_turn();
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = home.path().join("crosswire");
    copy_executable(Path::new(env!("CARGO_BIN_EXE_crosswire")), &program);
    fair::when_the_machine_has_time(|| {
        let place = tempfile::tempdir().unwrap();
        chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let mut command = Command::new(&program);
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
        let mut demo = Demo::start_as(command, place, &["--json"]);
        let (status, stdout, stderr) = demo.finish(WHOLE);
        println!("{stdout}");
        demo.assert_nothing_is_left();
        let document: Value = serde_json::from_str(&stdout).expect("one JSON document and nothing else");
        if stderr.contains("this needs network namespaces") {
            assert_refusal(status, &document, &stderr);
        } else {
            assert_as_required(&document);
            assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
        }
    });
}

fn assert_refusal(status: ExitStatus, document: &Value, stderr: &str) {
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("run it as root, or"), "{stderr}");
    assert_eq!(document["as_required"], false);
    assert!(document["error"].as_str().unwrap().contains("run it as root"), "{document:#}");
}

/// In a user namespace that may not hold a single network namespace.
#[test]
fn where_namespaces_are_forbidden_it_says_how_to_go_on() {
    let _turn = take_turn();
    let mut command = Command::new("unshare");
    let script = "echo 0 > /proc/sys/user/max_net_namespaces && exec \"$0\" \"$@\"";
    command.args(["--user", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_crosswire")]);
    let is_possible = Command::new("unshare").args(["--user", "--map-root-user", "true"]).status();
    if !is_possible.is_ok_and(|status| status.success()) {
        // No unshare(1), or user namespaces are forbidden anyway: then the test above has seen the refusal.
        return;
    }
    let mut demo = Demo::start_as(command, tempfile::tempdir().unwrap(), &["--json"]);
    let (status, stdout, stderr) = demo.finish(SOON);
    assert_refusal(status, &serde_json::from_str(&stdout).unwrap(), &stderr);
    assert!(stderr.contains("sysctl user.max_net_namespaces=1000"), "{stderr}");
    demo.assert_nothing_is_left();
}

#[test]
fn interrupted_midway_it_leaves_nothing() {
    let _turn = take_turn();
    for (signal, wait_ms) in [(Signal::SIGINT, 3_000), (Signal::SIGTERM, 0)] {
        let mut demo = Demo::start(&["--json"]);
        demo.wait_for_daemons();
        thread::sleep(Duration::from_millis(wait_ms));
        demo.interrupt(signal);
        let (status, stdout, stderr) = demo.finish(SOON);
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("interrupted"), "{stderr}");
        let document: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(document["as_required"], false);
        assert!(document["rows"].as_array().unwrap().len() < 6);
        demo.assert_nothing_is_left();
    }
}

#[test]
fn a_pipe_gets_one_plain_line_a_step() {
    let _turn = take_turn();
    let mut demo = Demo::start(&[]);
    demo.wait_for_daemons();
    let mut stdout = demo.read_until("serves after");
    demo.interrupt(Signal::SIGINT);
    stdout += &demo.finish(SOON).1;
    assert!(stdout.is_ascii() && !stdout.contains('\x1b'), "{stdout:?}");
    assert!(stdout.starts_with("two gateways on this machine"), "{stdout}");
    let started =
        stdout.lines().filter(|line| line.contains("start both nodes") && line.contains("serves after"));
    assert_eq!(started.count(), 1, "{stdout}");
    demo.assert_nothing_is_left();
}
