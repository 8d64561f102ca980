//! Row 24: a box that runs out of something. Whatever cannot be had, heartbeats and the service address go
//! on.

use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::beats::Beats;
use crate::lab::clock::now;
use crate::lab::executable::write_executable;
use crate::lab::setup::{GROUP, Setup};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms, shipped};

/// A beat is on time until `late_after`.
const LATE_AFTER: Span = Span::from_ms(300);
/// How long is watched that everything goes on.
const WATCHED_MS: u64 = 3_000;
/// What makes a box of its own out of mounts.
const NEEDED: [&str; 3] = ["/usr/bin/unshare", "/usr/bin/mount", "/dev/full"];
/// The daemon of gw1 on a root that is read-only but for its run directory; what it writes in the foreground
/// goes to a full disk, and the syslog that it sees is read by nobody.
const BOX: &str = r#"#!/bin/sh -e
cd "$(dirname "$0")"
here=$PWD
case " $* " in *" run "*" gw1 "*) ;; *) exec REAL "$@" ;; esac
if [ -z "$IN_BOX" ]; then
    IN_BOX=1 exec unshare --mount --propagation private "$here/box" "$@"
fi
unset IN_BOX
for word; do
    [ "$before" != --run-dir ] || run=$word
    before=$word
done
for device in null full urandom random; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
done
mkdir -p dev/pts "$run"
mount --rbind /dev/pts dev/pts
# The laboratory's files may lie there.
[ ! -d /dev/shm ] || { mkdir dev/shm; mount --rbind /dev/shm dev/shm; }
mount --rbind dev /dev
mount --bind "$run" "$run"
mount --bind / / 2>/dev/null || :
mount -o remount,bind,ro /
if (echo >"$here/writable") 2>/dev/null; then echo "the root can be written"; exit 1; fi
exec REAL "$@" >/dev/full 2>/dev/full
"#;

fn watch(scene: &Scene) -> [Beats; 2] {
    [Side::A, Side::B].map(|side| Beats::of(scene, side))
}

fn assert_on_time(what: &str, beats: [Beats; 2]) {
    let gaps = beats.map(Beats::largest_gap);
    println!("row 24, {what}: longest gap between beats {} and {}", gaps[0], gaps[1]);
    assert!(gaps.iter().all(|gap| *gap < LATE_AFTER), "{what}: gaps between beats {gaps:?}");
}

/// A syslog whose queue is full, since nobody reads it.
fn stuck_log(path: &Path) -> UnixDatagram {
    let log = UnixDatagram::bind(path).expect("a log");
    let writer = UnixDatagram::unbound().expect("a socket");
    writer.set_nonblocking(true).expect("set");
    while writer.send_to(b"full", path).is_ok() {}
    log
}

/// Fault: the disk is full, the root is read-only, and nobody reads what is written to `/dev/log`, all on one
/// node. Required: it takes part as any other: it serves, hands over, takes over; beats are on time.
#[test]
fn row_24_full_disk_read_only_root_and_a_stuck_log() {
    if !testing::has_tools(&NEEDED) {
        return;
    }
    testing::in_fair_lab(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("dev")).expect("a directory");
        let _log = stuck_log(&at("dev/log"));
        write_executable(&at("box"), &BOX.replace("REAL", env!("CARGO_BIN_EXE_crosswire")));
        let mut scene = Scene::with_binary(&at("box"), Setup { prefer: Some(Side::A), ..Setup::default() });
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        let (start, beats) = (now(), watch(&scene));
        thread::sleep(ms(WATCHED_MS));
        scene.assert_nothing_moved(Side::A, start);
        for (command, holder) in [("handover", Side::B), ("takeover", Side::A)] {
            let said = scene.say(Side::A, &[command, GROUP]);
            assert_eq!(said.code, Some(0), "{said:?}");
            scene.settle(holder);
        }
        assert_eq!(scene.log_of(Side::A), "", "its disk is full");
        assert_on_time("full disk, read-only root, stuck log", beats);
        scene.assert_never_both();
    });
}

/// What a guard cannot have any more.
enum Want {
    /// Descriptors: without them there is no pipe and no socket pair for a child.
    Descriptors,
    /// Memory: not a page more than it has.
    Memory,
    /// Processes, by a control group: fork itself fails.
    Processes(ControlGroup),
}

impl Want {
    fn name(&self) -> &'static str {
        match self {
            Self::Descriptors => "no descriptors",
            Self::Memory => "no memory",
            Self::Processes(_) => "fork fails",
        }
    }

    /// Takes it away, or gives it back.
    fn set(&self, guard: Pid, is_scarce: bool) {
        match self {
            Self::Descriptors => {
                let used = fs::read_dir(format!("/proc/{guard}/fd")).expect("/proc").count();
                limit(guard, libc::RLIMIT_NOFILE, if is_scarce { used as u64 } else { 1_024 });
            }
            Self::Memory => {
                limit(guard, libc::RLIMIT_AS, if is_scarce { 4_096 } else { libc::RLIM_INFINITY });
            }
            Self::Processes(group) => group.set(guard, is_scarce),
        }
    }
}

/// Sets the soft limit of another process.
fn limit(process: Pid, resource: libc::__rlimit_resource_t, soft: u64) {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both point to a whole rlimit, or nowhere.
    let read = unsafe { libc::prlimit(process.as_raw(), resource, std::ptr::null(), &raw mut limits) };
    Errno::result(read).expect("its limits");
    limits.rlim_cur = soft.min(limits.rlim_max);
    // SAFETY: as above.
    let set = unsafe { libc::prlimit(process.as_raw(), resource, &raw const limits, std::ptr::null_mut()) };
    Errno::result(set).expect("its limits");
}

/// A group of processes whose number can be limited; it goes when it is dropped.
struct ControlGroup(PathBuf);

impl ControlGroup {
    fn new() -> io::Result<Self> {
        let name = format!("crosswire-{}", std::process::id());
        let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(Path::new);
        let root = roots.into_iter().find(|root| root.join("cgroup.procs").exists());
        let path = root.ok_or(io::ErrorKind::NotFound)?.join(name);
        fs::create_dir(&path)?;
        let group = Self(path);
        if group.0.join("pids.max").exists() { Ok(group) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    fn set(&self, guard: Pid, is_scarce: bool) {
        fs::write(self.0.join("cgroup.procs"), guard.to_string()).expect("moved");
        fs::write(self.0.join("pids.max"), if is_scarce { "0" } else { "max" }).expect("set");
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let parent = self.0.parent().map(|parent| parent.join("cgroup.procs"));
        for pid in fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = parent.iter().try_for_each(|parent| fs::write(parent, pid));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// A group with a script, at work.
fn pair_with_script() -> (TempDir, Scene) {
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("service");
    write_executable(
        &script,
        &format!("#!/bin/sh\necho \"$CROSSWIRE_NODE $1\" >>{}/story\n", directory.path().display()),
    );
    let setup = Setup {
        prefer: Some(Side::A),
        scripts: vec![format!("exec:{}", script.display())],
        more: "safety = \"probe\"".into(),
        ..Setup::default()
    };
    (directory, Scene::serving_with(setup))
}

/// The guard of the active node lacks something; then the group is handed over, and then it has it again.
fn runs_out(want: &Want) {
    let (directory, mut scene) = pair_with_script();
    let guard = scene.guard(Side::A).expect("a guard");
    let story = || fs::read_to_string(directory.path().join("story")).unwrap_or_default();
    let (start, beats) = (now(), watch(&scene));
    want.set(guard, true);
    thread::sleep(ms(WATCHED_MS));
    scene.assert_nothing_moved(Side::A, start);
    assert!(scene.is_at_rest(Side::A, "active"), "{}", scene.status(Side::A));
    thread::scope(|scope| {
        let scene = &scene;
        let asked = scope.spawn(|| scene.say(Side::A, &["handover", GROUP]));
        scene.expect_soon("a stop that fails", PATIENCE, |scene| {
            scene.log_of(Side::A).contains("service did not stop")
        });
        thread::sleep(ms(1_000));
        assert_eq!(
            story(),
            "gw1 start\n",
            "{}: the peer starts nothing before the stop is certain",
            want.name()
        );
        want.set(guard, false);
        let said = asked.join().expect("it ran");
        assert!(said.code.is_some(), "{said:?}");
    });
    scene.expect_soon("the peer serves", PATIENCE, |scene| scene.is_at_rest(Side::B, "active"));
    assert_eq!(story(), "gw1 start\ngw1 stop\ngw2 start\n");
    assert_eq!(scene.guard(Side::A).expect("a guard"), guard, "it lives");
    assert_on_time(want.name(), beats);
    scene.assert_never_both();
}

/// Fault: the active node's guard can open nothing more, so that it has no pipe for a child. Required: beats
/// and address go on; what cannot be stopped is tried again, and the peer starts only after that.
#[test]
fn row_24_no_descriptors_for_the_guards_child() {
    testing::in_fair_lab(|| runs_out(&Want::Descriptors));
}

/// Fault: the active node's guard gets not a page of memory more.
/// Required: as above.
#[test]
fn row_24_no_memory_for_the_guards_child() {
    testing::in_fair_lab(|| runs_out(&Want::Memory));
}

/// Fault: fork fails on the active node.
/// Required: as above.
#[test]
fn row_24_fork_fails() {
    testing::in_fair_lab(|| match ControlGroup::new() {
        Ok(group) => runs_out(&Want::Processes(group)),
        Err(error) => eprintln!("NOT RUN: this machine limits no processes for us: {error}"),
    });
}

/// A daemon that may lock so many kilobytes, and cannot raise that.
const LOCKED: &str = "#!/bin/sh -e
ulimit -l KB || :
exec setpriv --bounding-set=-sys_resource REAL \"$@\"
";

/// Fault: the limit of locked memory is small, and nobody may raise it: there is hardly room for what there
/// is, or none. Another agent comes with each reload.
/// Required: all goes on. No process dies of its lock; what is not locked is said once, with the remedy.
#[test]
fn row_24_memory_that_cannot_be_locked() {
    if !testing::has_tools(&["/usr/bin/setpriv"]) {
        return;
    }
    for limit_kb in [64, 8_000, 8_192] {
        testing::in_fair_lab(|| {
            let directory = tempfile::tempdir().expect("a directory");
            let binary = directory.path().join("locked");
            let script = LOCKED.replace("KB", &limit_kb.to_string());
            write_executable(&binary, &script.replace("REAL", &shipped().display().to_string()));
            let more = "failback = \"20m\"".into();
            let setup = Setup { prefer: Some(Side::A), more, ..Setup::default() };
            let mut scene = Scene::with_binary(&binary, setup);
            scene.begin(Side::A);
            scene.begin(Side::B);
            scene.settle(Side::A);
            let since = now();
            for (from, to) in [("20m", "21m"), ("21m", "22m"), ("22m", "23m")] {
                scene.rewrite(Side::A, from, to);
                assert_eq!(scene.say(Side::A, &["reload"]).code, Some(0));
                for command in ["status", "why"] {
                    assert!(scene.say(Side::A, &[command]).code.is_some());
                }
                thread::sleep(ms(500));
            }
            scene.assert_nothing_moved(Side::A, since);
            for side in [Side::A, Side::B] {
                let log = scene.log_of(side);
                assert!(!log.contains("SIGSEGV"), "{limit_kb} kB: {log}");
                let said = log.matches("cannot be locked (raise the limit of locked memory to").count();
                assert!(said <= 2 && (limit_kb > 64 || said > 0), "{limit_kb} kB: {log}");
            }
            scene.assert_never_both();
        });
    }
}
