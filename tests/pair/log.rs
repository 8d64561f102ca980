//! Row 34: a syslogd that starts late, is restarted, hangs, or wants a stream; a real one of BusyBox, in a
//! mount namespace of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Instant;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::beats::Beats;
use crate::lab::clock::{now, wait_until};
use crate::lab::executable::write_executable;
use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

/// What makes a box of its own out of mounts, and its syslogd.
const NEEDED: [&str; 3] = ["/usr/bin/unshare", "/usr/bin/mount", "/bin/busybox"];
/// The daemon of gw1 sees this directory's `/dev`, and no service manager that the tests may run under.
const BOX: &str = r#"#!/bin/sh -e
cd "$(dirname "$0")"
here=$PWD
case " $* " in *" run "*" gw1 "*) ;; *) exec REAL "$@" ;; esac
if [ -z "$IN_BOX" ]; then
    IN_BOX=1 exec unshare --mount --propagation private "$here/box" "$@"
fi
unset IN_BOX JOURNAL_STREAM NOTIFY_SOCKET
mkdir -p dev/pts
for device in null urandom random; do
    : >>dev/$device
    mount --bind /dev/$device dev/$device
done
mount --rbind /dev/pts dev/pts
[ ! -d /dev/shm ] || { mkdir -p dev/shm; mount --rbind /dev/shm dev/shm; }
mount --rbind dev /dev
exec REAL "$@"
"#;
/// syslogd on the same `/dev/log`; its pid file goes nowhere.
const LOGD: &str = r#"#!/bin/sh -e
cd "$(dirname "$0")"
here=$PWD
if [ -z "$IN_BOX" ]; then
    IN_BOX=1 exec unshare --mount --propagation private "$here/logd"
fi
mount -t tmpfs none /run
mount --rbind dev /dev
exec /bin/busybox syslogd -n -S -O "$here/messages"
"#;
/// What stands in the log instead of what was lost.
const LOST: &str = "lost here: the log took no more";
/// A syslogd is found again within a second.
const FOUND_MS: u64 = 1_000;

/// gw1's box and its syslogd, which does not run yet.
struct LogBox {
    directory: TempDir,
    syslogd: Option<Child>,
}

impl Drop for LogBox {
    fn drop(&mut self) {
        self.stop();
    }
}

impl LogBox {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("dev")).expect("a directory");
        write_executable(
            &directory.path().join("box"),
            &BOX.replace("REAL", env!("CARGO_BIN_EXE_crosswire")),
        );
        write_executable(&directory.path().join("logd"), LOGD);
        Self { directory, syslogd: None }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts syslogd; when it listened.
    fn start(&mut self) -> Instant {
        let mut command = Command::new(self.at("logd"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.syslogd = Some(command.spawn().expect("a syslogd"));
        let socket = self.at("dev/log");
        let listens = || UnixDatagram::unbound().and_then(|asker| asker.connect(&socket)).is_ok();
        wait_until("a syslogd that listens", PATIENCE, || Ok(listens())).expect("it listens")
    }

    fn signal(&self, signal: Signal) {
        let pid = self.syslogd.as_ref().map_or(0, Child::id);
        kill(Pid::from_raw(i32::try_from(pid).expect("a process")), signal).expect("it is there");
    }

    /// Stops it (SIGSTOP); when it has stopped, since until then it takes one more datagram out of its queue.
    fn suspend(&self) {
        self.signal(Signal::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.syslogd.as_ref().map_or(0, Child::id));
        let is_stopped = || Ok(fs::read_to_string(&stat)?.contains(") T "));
        wait_until("a syslogd that is stopped", PATIENCE, is_stopped).expect("it stops");
    }

    /// Kills it. Its socket stays behind, and nobody listens.
    fn stop(&mut self) {
        if let Some(mut child) = self.syslogd.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What it has written of us.
    fn messages(&self) -> Vec<String> {
        let text = fs::read(self.at("messages")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().filter(|line| line.contains(" crosswire[")).map(str::to_owned).collect()
    }

    fn has(&self, text: &str) -> bool {
        self.messages().iter().any(|line| line.contains(text))
    }

    /// What it was told by a process, after `before` lines.
    fn first_of(&self, before: usize, pid: Pid) -> Option<String> {
        let process = format!("crosswire[{pid}]: ");
        let messages = self.messages();
        messages
            .iter()
            .skip(before)
            .find_map(|line| line.split_once(&process))
            .map(|(_, text)| text.to_owned())
    }

    /// How many lines are missing, as it was told.
    fn lost(&self) -> usize {
        let count = |line: &String| {
            line.split_once("]: ")?.1.strip_suffix(LOST)?.split_once(' ')?.0.parse::<usize>().ok()
        };
        self.messages().iter().filter_map(count).sum::<usize>()
    }

    /// Everything that was written to standard error stands in the log, or is counted there.
    fn assert_complete(&self, scene: &Scene) {
        let said = |text: &str| text.lines().filter(|line| !line.contains(LOST)).count();
        let told = || self.messages().iter().filter(|line| !line.contains(LOST)).count() + self.lost();
        scene.expect_soon("a log that accounts for every line", PATIENCE, |s| {
            said(&s.log_of(Side::A)) == told()
        });
    }
}

/// A pair whose first node lives in that box.
fn serving(log: &LogBox) -> Scene {
    let mut scene = Scene::with_binary(&log.at("box"), Setup { prefer: Some(Side::A), ..Setup::default() });
    scene.begin(Side::A);
    scene.begin(Side::B);
    scene.settle(Side::A);
    scene
}

/// Something that the agent logs.
fn speak(scene: &Scene) {
    for arguments in [["maintenance", "on"], ["maintenance", "off"]] {
        let said = scene.say(Side::A, &arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

/// The first thing that each process tells is how much was lost, within a second.
fn assert_both_tell_what_was_lost(scene: &mut Scene, log: &LogBox, before: usize, since: Instant) {
    for pid in [scene.guard(Side::A).expect("runs"), scene.agent(Side::A).expect("runs")] {
        let told =
            scene.expect_soon("word of what was lost", PATIENCE, |_| log.first_of(before, pid).is_some());
        println!("row 34: process {pid} tells what was lost {} after the log is there", told.since(since));
        assert!(told.since(since) <= at_most(FOUND_MS), "only {} later", told.since(since));
        let first = log.first_of(before, pid).expect("just seen");
        assert!(first.ends_with(LOST), "the first line of process {pid} is {first:?}");
    }
}

/// Fault: syslogd is started when the pair is at work already; killed and started again at once; killed, and
/// started when something was said meanwhile. Required: it is found again within a second, by both processes;
/// the number of lost lines is the first thing that it is told; no line is missing that is not counted.
#[test]
fn row_34_a_syslogd_that_starts_late_and_is_restarted() {
    if !testing::has_tools(&NEEDED) {
        return;
    }
    testing::in_fair_lab(|| {
        let mut log = LogBox::new();
        let mut scene = serving(&log);
        let start = now();
        let since = log.start();
        assert_both_tell_what_was_lost(&mut scene, &log, 0, since);
        log.assert_complete(&scene);
        let lost = log.lost();
        assert!(lost > 5, "everything since the start: {lost}");

        // Whoever says nothing while it is away loses nothing.
        log.stop();
        log.start();
        thread::sleep(ms(FOUND_MS));
        speak(&scene);
        scene.expect_soon("both lines", PATIENCE, |_| log.has("maintenance is over"));
        log.assert_complete(&scene);
        assert_eq!(log.lost(), lost, "nothing was lost: {:?}", log.messages());

        log.stop();
        let before = log.messages().len();
        speak(&scene);
        let since = log.start();
        let agent = scene.agent(Side::A).expect("runs");
        let told = scene.expect_soon("the log again", PATIENCE, |_| log.first_of(before, agent).is_some());
        assert!(told.since(since) <= at_most(FOUND_MS), "only {} later", told.since(since));
        let first = log.first_of(before, agent).expect("just seen");
        assert!(first.ends_with(LOST), "{first}");
        log.assert_complete(&scene);
        assert!(log.lost() > lost, "what was said meanwhile is counted");
        scene.assert_nothing_moved(Side::A, start);
    });
}

/// Fills the queue of who listens there. A socket may have room for less than the queue has: then another one
/// goes on.
fn fill(path: &Path) {
    loop {
        let other = UnixDatagram::unbound().expect("a socket");
        other.set_nonblocking(true).expect("set");
        if other.send_to(b"<30>other: full", path).is_err() {
            return;
        }
        while other.send_to(b"<30>other: full", path).is_ok() {}
    }
}

/// Fault: syslogd is stopped (SIGSTOP) and its queue full. Required: beats are on time, nothing moves; once
/// it goes on, it is told within a second how much it missed.
#[test]
fn row_34_a_stuck_syslogd() {
    if !testing::has_tools(&NEEDED) {
        return;
    }
    testing::in_fair_lab(|| {
        let mut log = LogBox::new();
        log.start();
        let scene = serving(&log);
        let (start, beats) = (now(), Beats::of(&scene, Side::A));
        log.suspend();
        fill(&log.at("dev/log"));
        let before = log.messages().len();
        (0..3).for_each(|_| speak(&scene));
        thread::sleep(ms(1_500));
        assert_eq!(log.messages().len(), before, "it is stopped");
        log.signal(Signal::SIGCONT);
        let since = now();
        let told = scene.expect_soon("the log again", PATIENCE, |_| log.messages().len() > before);
        assert!(told.since(since) <= at_most(FOUND_MS), "only {} later", told.since(since));
        assert!(log.messages()[before].ends_with(LOST), "{:?}", log.messages());
        log.assert_complete(&scene);
        scene.assert_nothing_moved(Side::A, start);
        let gap = beats.largest_gap();
        assert!(gap.as_ms() < 300, "beats are on time: {gap}");
    });
}

/// A syslogd that takes a stream, and what it is told.
fn stream_log(path: &Path) -> impl Iterator<Item = String> + use<> {
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).expect("a log");
    listener.set_nonblocking(true).expect("set");
    let mut streams = Vec::new();
    let both = || {
        streams.extend(listener.accept().map(|(stream, _)| stream));
        Ok(streams.len() == 2)
    };
    wait_until("guard and agent", PATIENCE, both).expect("they find it");
    for stream in &streams {
        stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(PATIENCE))).expect("set");
    }
    streams.into_iter().flat_map(|stream| BufReader::new(stream).lines().map_while(Result::ok).take(1))
}

/// Fault: another syslogd comes, which takes a stream instead of datagrams.
/// Required: both processes find it, and tell it whole lines, what was lost first.
#[test]
fn row_34_a_syslogd_that_takes_a_stream() {
    if !testing::has_tools(&NEEDED) {
        return;
    }
    testing::in_fair_lab(|| {
        let mut log = LogBox::new();
        let mut scene = serving(&log);
        let pids = [scene.guard(Side::A).expect("runs"), scene.agent(Side::A).expect("runs")];
        assert!(fs::metadata(log.at("dev/log")).is_err());
        let socket = log.at("dev/log");
        let lines: Vec<String> = stream_log(&socket).collect();
        assert!(fs::metadata(&socket).is_ok_and(|found| found.file_type().is_socket()));
        for pid in pids {
            let ours = lines.iter().filter_map(|line| line.split_once(&format!("crosswire[{pid}]: ")));
            let texts: Vec<&str> = ours.map(|(_, text)| text).collect();
            assert!(matches!(texts[..], [first] if first.ends_with(LOST)), "{lines:?}");
        }
        // It goes, and one that takes datagrams comes.
        fs::remove_file(&socket).expect("removed");
        log.start();
        thread::sleep(ms(FOUND_MS));
        speak(&scene);
        scene.expect_soon("both lines", PATIENCE, |_| log.has("maintenance is over"));
        scene.assert_never_both();
    });
}
