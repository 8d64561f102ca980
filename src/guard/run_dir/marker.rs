//! Which scripts may run, written where the next run of the daemon finds it. Both processes may be killed at
//! any instant and started again at once; then only this file knows what still runs.
//!
//! It is one page in the run directory, written in place before each start and after each stop, so that a
//! full disk does not matter once it is there. It is void after a boot, which ends scripts too. Scripts are
//! known by what the configuration says of them, since the list may have changed meanwhile: a run does not
//! begin if its file lacks one of them. A script that is being started or stopped is also known by its
//! process group.

use std::fmt::Write;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crosswire::custody::ScriptSet;
use crosswire::pair::GroupId;
use log::{error, warn};
use nix::libc;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};

use crate::gather::Gather;
use crate::plain;
use crate::settings::{GroupSettings, Script};

/// In the run directory.
pub const FILE: &str = "started";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// First word of the file.
const HEAD: &str = "crosswire-started-1";
/// The size of the file. A group takes less than 300, and there are eight.
const BYTES: usize = 4_096;
/// How long a process group that was killed may take to be gone, in tries of 10 ms.
const MAX_WAITS: u32 = 100;

/// The file, and what it says.
#[derive(Default)]
pub struct Marker {
    path: PathBuf,
    file: Option<File>,
    boot: String,
    marks: Vec<Mark>,
}

#[derive(Clone, Default)]
struct Mark {
    group: u64,
    term: u32,
    scripts: Vec<u64>,
    /// The script that is being started or stopped: its process group, and when its first process was
    /// started.
    run: Option<(i32, u64)>,
}

/// What an earlier run has left behind of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Which group.
    pub group: GroupId,
    /// Which of its scripts may run.
    pub started: ScriptSet,
    /// For which term.
    pub term: u32,
}

/// What the file says when the daemon starts, read once.
pub struct LeftBehind {
    path: PathBuf,
    boot: String,
    marks: Vec<Mark>,
    /// What is wrong with it. There is no log yet when it is read.
    complaint: Option<String>,
}

impl LeftBehind {
    /// Reads what an earlier run of this boot has left.
    pub fn read(run_dir: &Path, groups: &[GroupSettings]) -> Self {
        let path = run_dir.join(FILE);
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let all =
            || groups.iter().map(|group| Mark::of(group, &group.scripts, ScriptSet::from_bits(u16::MAX), 0));
        let (marks, complaint) = match read(&path).map(|text| parse(&text, &boot)) {
            Ok(Ok(marks)) => (marks, None),
            Ok(Err(())) => {
                (all().gather(), Some("cannot be understood: every script is taken to run".to_owned()))
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
            Err(cause) => (Vec::new(), Some(format!("{cause}: not believed"))),
        };
        Self { path, boot, marks, complaint }
    }

    /// How many scripts were started that may still run, and that no group of this file has: nobody could
    /// stop them, or say that they run.
    pub fn strange(&self, groups: &[GroupSettings]) -> usize {
        let has = |group: &GroupSettings, hash| {
            group.scripts.iter().any(|script| script_hash(group, script) == hash)
        };
        let is_known = |hash: &u64| groups.iter().any(|group| has(group, *hash));
        self.marks.iter().flat_map(|mark| &mark.scripts).filter(|script| !is_known(script)).count()
    }
}

impl Marker {
    /// Ends what an earlier run was about to start or stop, and goes on with its file.
    pub fn open(left: LeftBehind, groups: &[GroupSettings]) -> (Self, Vec<Left>) {
        let LeftBehind { path, boot, marks, complaint } = left;
        complaint.iter().for_each(|complaint| error!("{}: {complaint}", path.display()));
        marks.iter().filter_map(|mark| mark.run).for_each(end_run);
        let left =
            (0u8..).map(GroupId).zip(groups).filter_map(|(id, group)| find(&marks, id, group)).gather();
        let own = |group: &GroupSettings| {
            let known = marks.iter().find(|mark| mark.group == hash(&[&group.name]));
            Mark { run: None, ..known.cloned().unwrap_or_else(|| Mark::of(group, &[], ScriptSet::EMPTY, 0)) }
        };
        let mut marker = Self { path, file: None, boot, marks: groups.iter().map(own).gather() };
        marker.file = marker.create().map_err(|cause| marker.complain(&cause)).ok();
        (marker, left)
    }

    /// Notes that these scripts of a group may run from now on, and no others.
    pub fn mark(
        &mut self,
        id: GroupId,
        group: &GroupSettings,
        scripts: &[Script],
        started: ScriptSet,
        term: u32,
    ) {
        if let Some(mark) = self.marks.get_mut(id.index()) {
            *mark = Mark { run: mark.run, ..Mark::of(group, scripts, started, term) };
            self.write();
        }
    }

    /// Notes the script of a group that is being started or stopped, or that there is none any more.
    pub fn note_run(&mut self, id: GroupId, pid: Option<Pid>) {
        let run = pid.map(|pid| (pid.as_raw(), started_at(pid).unwrap_or(0)));
        if let Some(mark) = self.marks.get_mut(id.index()).filter(|mark| mark.run != run) {
            mark.run = run;
            self.write();
        }
    }

    /// The run ends as planned. What it knew is in the file, or no file is needed.
    pub fn close(&mut self) {
        if self.marks.iter().all(|mark| mark.scripts.is_empty()) {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Makes a new file in the place of whatever is there, with what is known.
    fn create(&self) -> io::Result<File> {
        let new = self.path.with_extension("new");
        let _ = fs::remove_file(&new);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&new)?;
        file.write_all_at(&self.page(), 0)?;
        fs::rename(&new, &self.path)?;
        Ok(file)
    }

    fn write(&mut self) {
        if let Some(file) = &self.file
            && let Err(cause) = file.write_all_at(&self.page(), 0)
        {
            self.complain(&cause);
            self.file = None;
        }
    }

    fn complain(&self, cause: &io::Error) {
        error!(
            "{}: {cause}: should both processes be killed, the next run will not know which scripts run",
            self.path.display()
        );
    }

    fn page(&self) -> Vec<u8> {
        let mut text = format!("{HEAD} {}\n", self.boot);
        for mark in self.marks.iter().filter(|mark| !mark.scripts.is_empty() || mark.run.is_some()) {
            let (pid, at) = mark.run.unwrap_or_default();
            let _ = write!(text, "{:016x} {} {pid} {at}", mark.group, mark.term);
            mark.scripts.iter().for_each(|script| text.extend([format!(" {script:016x}")]));
            text.push('\n');
        }
        let _ = writeln!(text, "end {:016x}", hash(&[&text]));
        let mut page = text.into_bytes();
        page.resize(BYTES, b'\n');
        page
    }
}

impl Mark {
    fn of(group: &GroupSettings, scripts: &[Script], started: ScriptSet, term: u32) -> Self {
        let started = (0u8..).zip(scripts).filter(|(index, _)| started.contains(*index));
        let scripts = started.map(|(_, script)| script_hash(group, script)).gather();
        Self { group: hash(&[&group.name]), term, scripts, run: None }
    }
}

fn script_hash(group: &GroupSettings, script: &Script) -> u64 {
    hash(&[&group.name, &script.text])
}

/// Reads the file only if it is ours, and nobody else could have written it.
fn read(path: &Path) -> io::Result<String> {
    let mut file =
        OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.uid() != geteuid().as_raw() || about.mode() & 0o022 != 0 {
        return Err(io::Error::other("somebody else could have written it"));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(BYTES as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What the file says; nothing, if it is of another boot. An error if it cannot be understood.
fn parse(text: &str, boot: &str) -> Result<Vec<Mark>, ()> {
    let (head, rest) = text.split_once('\n').ok_or(())?;
    let written_in = head.strip_prefix(HEAD).ok_or(())?.trim();
    if written_in != boot && !written_in.is_empty() && !boot.is_empty() {
        return Ok(Vec::new());
    }
    let (marks, sum) = plain::cut(rest, "end ").ok_or(())?;
    let told = text.get(..text.len() - sum.len() - "end ".len()).ok_or(())?;
    if u64::from_str_radix(sum.trim(), 16) != Ok(hash(&[told])) {
        return Err(());
    }
    marks.lines().map(parse_mark).gather_all().ok_or(())
}

fn parse_mark(line: &str) -> Option<Mark> {
    let mut words = line.split(' ');
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    let group = hex(words.next()?)?;
    let term = words.next()?.parse().ok()?;
    let pid = words.next()?.parse().ok()?;
    let at = words.next()?.parse().ok()?;
    let scripts = words.map(hex).gather_all()?;
    Some(Mark { group, term, scripts, run: (pid > 1).then_some((pid, at)) })
}

/// What is left of a group, by its present list of scripts.
fn find(marks: &[Mark], id: GroupId, group: &GroupSettings) -> Option<Left> {
    let mark = marks.iter().find(|mark| mark.group == hash(&[&group.name]))?;
    let mut started = ScriptSet::EMPTY;
    let known = |script: &Script| mark.scripts.contains(&script_hash(group, script));
    (0u8..)
        .zip(&group.scripts)
        .filter(|(_, script)| known(script))
        .for_each(|(index, _)| started.insert(index));
    (!started.is_empty()).then_some(Left { group: id, started, term: mark.term })
}

/// Ends what an earlier run was about to start or stop: it must not go on beside what this run does.
fn end_run((pid, at): (i32, u64)) {
    let group = Pid::from_raw(pid);
    let is_there = || killpg(group, None::<Signal>).is_ok();
    // A process of that number that was started at another time is somebody else.
    if !is_there() || started_at(group).is_some_and(|other| other != at) {
        return;
    }
    warn!(
        "a script that an earlier run was about to start or stop still runs: process group {pid} is killed"
    );
    let _ = killpg(group, Signal::SIGKILL);
    for _ in 0..MAX_WAITS {
        if !is_there() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// When a process was started, in the kernel's ticks since the boot (proc_pid_stat(5), field 22).
fn started_at(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// FNV-1a of these texts, each closed by a zero.
fn hash(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::settings;
    use crosswire::time::Span;

    fn groups(names: &[&str]) -> Vec<GroupSettings> {
        let mut settings = settings("near", &["10.9.0.100/24@near"]);
        for name in names {
            settings.groups[0].scripts.push(Script::lsb(name, "/bin/true".into(), Span::from_s(1)));
        }
        settings.groups
    }

    fn open(dir: &Path, groups: &[GroupSettings]) -> (Marker, Vec<Left>) {
        Marker::open(LeftBehind::read(dir, groups), groups)
    }

    fn strange(dir: &Path, groups: &[GroupSettings]) -> usize {
        LeftBehind::read(dir, groups).strange(groups)
    }

    fn left(dir: &Path, groups: &[GroupSettings]) -> Vec<(u16, u32)> {
        let (_, left) = open(dir, groups);
        left.into_iter().map(|left| (left.started.bits(), left.term)).collect()
    }

    #[test]
    fn what_was_marked_is_found_by_the_next_run_whatever_the_list_is_by_then() {
        let dir = tempfile::tempdir().expect("a directory");
        let old = groups(&["a", "b", "c"]);
        let (mut marker, found) = open(dir.path(), &old);
        assert_eq!(found, []);
        marker.mark(GroupId(0), &old[0], &old[0].scripts, ScriptSet::from_bits(0b101), 7);
        assert_eq!(left(dir.path(), &old), [(0b101, 7)]);
        assert_eq!(left(dir.path(), &old), [(0b101, 7)], "nobody has stopped them yet");
        assert_eq!(left(dir.path(), &groups(&["c", "x", "a"])), [(0b101, 7)]);
        assert_eq!(left(dir.path(), &groups(&["b", "c"])), [(0b10, 7)]);
        assert_eq!(strange(dir.path(), &groups(&["c", "x", "a"])), 0);
        assert_eq!(strange(dir.path(), &groups(&["b", "c"])), 1, "nobody there could stop the first one");
        assert_eq!(strange(dir.path(), &[]), 2, "nor any, where the group is in no file");
        let (mut marker, _) = open(dir.path(), &old);
        marker.mark(GroupId(0), &old[0], &old[0].scripts, ScriptSet::EMPTY, 7);
        assert_eq!(left(dir.path(), &old), []);
        marker.close();
        assert!(!dir.path().join(FILE).exists());
    }

    #[test]
    fn a_boot_makes_it_void_and_what_is_damaged_says_that_everything_may_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let groups = groups(&["a", "b"]);
        let (mut marker, _) = open(dir.path(), &groups);
        marker.mark(GroupId(0), &groups[0], &groups[0].scripts, ScriptSet::from_bits(1), 7);
        let file = dir.path().join(FILE);
        let text = fs::read_to_string(&file).expect("a file");
        let other_boot = text.replace(marker.boot.as_str(), "00000000-0000-0000-0000-000000000000");
        for (text, expected) in [
            (other_boot.as_str(), vec![]),
            (&text.replace(" 7 ", " 8 "), vec![(0b11, 0)]),
            (&text[..60], vec![(0b11, 0)]),
            ("", vec![(0b11, 0)]),
            (&text, vec![(1, 7)]),
        ] {
            fs::write(&file, text).expect("written");
            assert_eq!(left(dir.path(), &groups), expected, "{}", text.trim());
        }
    }

    #[test]
    fn what_somebody_else_could_have_written_is_not_believed_and_no_link_is_followed() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let groups = groups(&["a"]);
        let (mut marker, _) = open(dir.path(), &groups);
        marker.mark(GroupId(0), &groups[0], &groups[0].scripts, ScriptSet::from_bits(1), 7);
        let file = dir.path().join(FILE);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o622)).expect("set");
        assert_eq!(left(dir.path(), &groups), []);
        let precious = dir.path().join("precious");
        fs::write(&precious, "mine").expect("written");
        fs::remove_file(&file).expect("removed");
        std::os::unix::fs::symlink(&precious, &file).expect("a link");
        assert_eq!(left(dir.path(), &groups), []);
        assert_eq!(fs::read_to_string(&precious).expect("still there"), "mine");
        assert!(file.symlink_metadata().expect("there").is_file(), "the link is gone");
    }

    #[test]
    fn a_start_that_goes_on_is_ended_before_anything_is_stopped() {
        use std::os::unix::process::CommandExt;
        let dir = tempfile::tempdir().expect("a directory");
        let groups = groups(&["a"]);
        let mut child =
            std::process::Command::new("sleep").arg("60").process_group(0).spawn().expect("sleep");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        let (mut marker, _) = open(dir.path(), &groups);
        marker.mark(GroupId(0), &groups[0], &groups[0].scripts, ScriptSet::from_bits(1), 7);
        marker.note_run(GroupId(0), Some(pid));
        let reaper = std::thread::spawn(move || child.wait().expect("ended"));
        assert_eq!(left(dir.path(), &groups), [(1, 7)]);
        assert!(!reaper.join().expect("no panic").success(), "killed");
        assert_eq!(marker.marks.len(), 1);
    }
}
