//! What the operator has told this node not to do, kept on disk: standby and maintenance outlive the daemon
//! and the box.
//!
//! The command writes the file after the daemon has agreed, so that a disk that hangs holds up nobody but the
//! operator; an agent that begins reads it while it still may. There is a file only while something is in
//! force. It does not rely on the clock of day: the end of a maintenance is an instant since the boot, and
//! the file names the boot by its id. After another boot nobody knows how long the box was off, so the whole
//! time runs anew from that boot.
//!
//! A second copy is in the run directory, for agents that replace others; it works even if the disk takes
//! nothing. A link that root made beside the copy tells the command where the file is. An agent does not: it
//! may have been taken over by an attacker.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use crosswire::quorum::facts::Standby;
use crosswire::quorum::succession::Restraint;
use crosswire::time::{Instant, Span};
use nix::libc;

use crate::{plain, private};

pub use crosswire::quorum::succession::LONGEST_MAINTENANCE;

/// How long a file that cannot be read means maintenance. There would be no file if nothing were in force.
const IN_DOUBT: Span = Span::from_s(3_600);
/// Far more than the longest reason that comes over the control socket.
const MAX_FILE_BYTES: u64 = 1_024;

/// In the run directory: root's link to the file, and the copy for this run.
const LINK: &str = "kept";
const OF_RUN: &str = "restraint";

/// Most characters of a reason.
pub const MAX_REASON: usize = 200;

/// What is in force.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SavedRestraint {
    /// What is passed to the node.
    pub restraint: Restraint,
    /// How long the maintenance was to last when the operator asked for it.
    pub lasts: Span,
    /// The reason, in the operator's words, or what is wrong with the file.
    pub reason: Option<String>,
}

/// The path of the file.
pub fn file(state: &Path, pair: &str, node: &str) -> PathBuf {
    state.join(format!("{pair}.{node}.restraint"))
}

/// Begins a run of the daemon, which goes by `file`.
///
/// # Errors
/// What the file system says.
pub fn begin(run_dir: &Path, file: &Path) -> io::Result<()> {
    for old in [LINK, OF_RUN] {
        private::remove(&run_dir.join(old))?;
    }
    symlink(file, run_dir.join(LINK))
}

/// Reads what is in force in this run of the daemon.
pub fn of_run(run_dir: &Path, now: Instant) -> SavedRestraint {
    let copy = run_dir.join(OF_RUN);
    load(&if copy.exists() { copy } else { run_dir.join(LINK) }, now)
}

/// Changes what is in force in this run of the daemon, and in later ones.
///
/// # Errors
/// The file that could not be changed, and what the file system says. The change may still be in force for
/// this run.
pub fn change(
    run_dir: &Path,
    now: Instant,
    change: impl FnOnce(&mut SavedRestraint),
) -> Result<(), (PathBuf, io::Error)> {
    let copy = run_dir.join(OF_RUN);
    let link = run_dir.join(LINK);
    let file = fs::read_link(&link).map_err(|error| (link, error))?;
    let mut kept = of_run(run_dir, now);
    change(&mut kept);
    let copied = write(&copy, &kept);
    let saved = save(&file, &kept).map_err(|error| (file, error));
    match copied {
        Ok(()) => saved,
        // The old copy must not outvote what was saved. If nothing was saved either, everything stays as it
        // was.
        Err(_) => saved.and_then(|()| private::remove(&copy).map_err(|error| (copy, error))),
    }
}

/// Reads a file. A file that cannot be read means maintenance for an hour, with that as its reason: something
/// was in force.
pub fn load(file: &Path, now: Instant) -> SavedRestraint {
    let doubt = |what: &str| SavedRestraint {
        restraint: Restraint { maintenance_until: Some(now + IN_DOUBT), ..Restraint::default() },
        lasts: IN_DOUBT,
        reason: Some(format!("{} {what}: say again what is to be", file.display())),
    };
    match read(file) {
        Ok(text) => parse(&text, &boot_id(), now).unwrap_or_else(|| doubt("is damaged")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => SavedRestraint::default(),
        Err(error) => doubt(&format!("cannot be read ({error})")),
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(file)?;
    opened.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes the file, whole or not at all; removes it if nothing is in force.
///
/// # Errors
/// What the file system says.
fn save(file: &Path, kept: &SavedRestraint) -> io::Result<()> {
    if kept.restraint == Restraint::default() {
        return match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) => Ok(()),
            Ok(()) => sync(file),
        };
    }
    write(file, kept)
}

fn write(file: &Path, kept: &SavedRestraint) -> io::Result<()> {
    private::directory(file.parent().unwrap_or(Path::new("/")))?;
    let (mut written, new) = private::create_beside(file, 0o600)?;
    written.write_all(text(kept, &boot_id()).as_bytes())?;
    written.sync_all()?;
    fs::rename(&new, file)?;
    sync(file)
}

/// Makes a change of the file's directory durable.
fn sync(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// The id of this boot. It is empty if the kernel does not say; an empty id never equals one in a file.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The words for the states of standby in the file.
const STANDBY: [(&str, Standby); 2] = [("asked", Standby::Asked), ("forced", Standby::Forced)];

fn text(kept: &SavedRestraint, boot: &str) -> String {
    let mut text = format!("boot {boot}\n");
    // Writing into a String cannot fail.
    for (word, _) in STANDBY.iter().filter(|(_, standby)| *standby == kept.restraint.standby) {
        let _ = writeln!(text, "standby {word}");
    }
    if let Some(until) = kept.restraint.maintenance_until {
        let _ = writeln!(text, "maintenance {} {}", until.as_us(), kept.lasts.as_us());
    }
    if let Some(reason) = &kept.reason {
        let _ = writeln!(text, "reason {}", plain::line(reason, MAX_REASON));
    }
    text + "end\n"
}

/// Reads what [`text`] writes; `None` if any line is something else.
fn parse(text: &str, boot: &str, now: Instant) -> Option<SavedRestraint> {
    let mut kept = SavedRestraint::default();
    let mut is_same_boot = false;
    let lines = text.strip_suffix("\nend\n")?.lines();
    for line in lines {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "boot" => is_same_boot = rest == boot && !boot.is_empty(),
            "standby" => kept.restraint.standby = STANDBY.iter().find(|(word, _)| *word == rest)?.1,
            "maintenance" => {
                let (until, lasts) = rest.split_once(' ')?;
                let until = Instant::from_us(until.parse().ok()?);
                kept.lasts = Span::from_us(lasts.parse().ok()?).min(LONGEST_MAINTENANCE);
                let until =
                    if is_same_boot { until.min(now + kept.lasts) } else { Instant::ORIGIN + kept.lasts };
                kept.restraint.maintenance_until = Some(until).filter(|until| *until > now);
            }
            "reason" => kept.reason = Some(plain::line(rest, MAX_REASON)),
            _ => return None,
        }
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_us(50_000_000);

    fn kept() -> SavedRestraint {
        let restraint =
            Restraint { standby: Standby::Forced, maintenance_until: Some(NOW + Span::from_s(40)) };
        SavedRestraint {
            restraint,
            lasts: Span::from_s(90),
            reason: Some("new disk, see the board".to_owned()),
        }
    }

    #[test]
    fn what_is_kept_comes_back_on_the_same_boot() {
        assert_eq!(parse(&text(&kept(), "a-b"), "a-b", NOW), Some(kept()));
        let over = parse(&text(&kept(), "a-b"), "a-b", NOW + Span::from_s(41)).expect("it is sound");
        assert_eq!(over.restraint.maintenance_until, None, "it has expired");
        assert_eq!(over.restraint.standby, Standby::Forced, "which standby does not");
    }

    #[test]
    fn after_another_boot_the_whole_time_runs_from_that_boot() {
        for boot in ["c-d", ""] {
            let again = parse(&text(&kept(), "a-b"), boot, NOW).expect("it is sound");
            assert_eq!(again.restraint.maintenance_until, Some(Instant::ORIGIN + Span::from_s(90)));
        }
        let late = parse(&text(&kept(), "a-b"), "c-d", NOW + Span::from_s(41)).expect("it is sound");
        assert_eq!(late.restraint.maintenance_until, None);
        assert_eq!(
            parse(&text(&kept(), ""), "", NOW).expect("it is sound").restraint.maintenance_until,
            Some(Instant::ORIGIN + Span::from_s(90))
        );
    }

    #[test]
    fn no_file_can_stop_a_node_for_longer_than_an_operator_could() {
        let long = "boot a\nmaintenance 18446744073709551615 18446744073709551615\nend\n";
        let kept = parse(long, "a", NOW).expect("it is sound");
        assert_eq!(kept.restraint.maintenance_until, Some(NOW + LONGEST_MAINTENANCE));
    }

    #[test]
    fn a_run_goes_by_its_own_copy_where_the_disk_takes_nothing_and_by_no_agent_s_word_for_where_it_lies() {
        let (run, disk) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let file = file(disk.path(), "gateway", "gw1");
        save(&file, &kept()).expect("written");
        begin(run.path(), &file).expect("it begins");
        assert_eq!(of_run(run.path(), NOW).restraint.standby, Standby::Forced, "as the last run was told");
        change(run.path(), NOW, |kept| *kept = SavedRestraint::default()).expect("changed");
        assert_eq!((of_run(run.path(), NOW), file.exists()), (SavedRestraint::default(), false));
        // A file takes the place of the directory.
        fs::remove_dir_all(disk.path()).and_then(|()| fs::write(disk.path(), "")).expect("no directory");
        let ask = |kept: &mut SavedRestraint| kept.restraint.standby = Standby::Asked;
        let (which, _) = change(run.path(), NOW, ask).expect_err("the disk takes nothing");
        assert_eq!((which, of_run(run.path(), NOW).restraint.standby), (file.clone(), Standby::Asked));
        begin(run.path(), &file).expect("another run");
        assert_ne!(of_run(run.path(), NOW).restraint.standby, Standby::Asked, "that ended with its run");
    }

    #[test]
    fn an_old_copy_of_a_run_does_not_outvote_what_was_saved_since() {
        let (run, disk) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        begin(run.path(), &file(disk.path(), "gateway", "gw1")).expect("it begins");
        change(run.path(), NOW, |kept| *kept = SavedRestraint::default()).expect("changed");
        // No new copy can be written, as in a full run directory.
        fs::create_dir(run.path().join("restraint.new")).expect("in its place");
        change(run.path(), NOW, |kept| kept.restraint.standby = Standby::Asked).expect("saved");
        assert_eq!(of_run(run.path(), NOW).restraint.standby, Standby::Asked);
    }

    #[test]
    fn a_damaged_file_is_maintenance_for_an_hour_and_says_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = file(directory.path(), "gateway", "gw1");
        assert_eq!(load(&file, NOW), SavedRestraint::default(), "no file, nothing in force");
        let whole = text(&kept(), "a");
        for bad in
            ["", "\n", "end\n", "boot a\nstandby perhaps\nend\n", "\0\0\0\0", "boot a\nmaintenance 5\nend\n"]
                .into_iter()
                .chain((1..whole.len()).map(|length| &whole[..length]))
        {
            fs::write(&file, bad).expect("written");
            let kept = load(&file, NOW);
            assert_eq!(kept.restraint.maintenance_until, Some(NOW + IN_DOUBT), "{bad:?}");
            assert!(
                kept.reason.is_some_and(|reason| reason.contains("gateway.gw1.restraint is damaged")),
                "{bad:?}"
            );
        }
        fs::write(&file, [0xff; 5_000]).expect("written");
        assert_eq!(load(&file, NOW).restraint.maintenance_until, Some(NOW + IN_DOUBT));
        save(&file, &SavedRestraint::default()).expect("over");
        assert_eq!(load(&file, NOW), SavedRestraint::default());
    }

    #[test]
    fn a_file_is_written_whole_and_goes_when_nothing_is_in_force() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = file(&directory.path().join("state"), "gateway", "gw1");
        save(&file, &SavedRestraint::default()).expect("nothing to do");
        let now = crate::clock::now();
        let restraint =
            Restraint { standby: Standby::Asked, maintenance_until: Some(now + Span::from_s(60)) };
        let kept =
            SavedRestraint { restraint, lasts: Span::from_s(60), reason: Some("a\nb\u{1b}".to_owned()) };
        save(&file, &kept).expect("written");
        assert_eq!(load(&file, now), SavedRestraint { reason: Some("a?b?".to_owned()), ..kept });
        save(&file, &SavedRestraint::default()).expect("removed");
        assert_eq!(fs::read_dir(directory.path().join("state")).expect("a directory").count(), 0);
        assert!(
            save(Path::new("/proc/crosswire/x"), &SavedRestraint { restraint, ..SavedRestraint::default() })
                .is_err()
        );
    }
}
