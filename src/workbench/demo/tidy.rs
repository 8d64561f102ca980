//! Leaving nothing behind, however the demo ends.
//!
//! Ended by Ctrl-C, SIGTERM or SIGHUP it returns through its own steps, and the laboratory is dropped as
//! usual. A panic in the shipped build aborts without dropping anything, so a hook does by hand what dropping
//! would have done. Killed by SIGKILL, only the laboratory's directory stays: the kernel kills the guards,
//! and their agents end within the lease.

use std::io;
use std::panic;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

use super::terminal;
use crate::workbench::lab::process::{ProcessInfo, all_processes};
use crate::workbench::lab::setup::remove_all_scratch;

/// Exit code of a program that panicked, as Rust has it.
const PANICKED: i32 = 101;
/// Rounds of killing, one a step, before a process counts as unkillable.
const MAX_ROUNDS: u32 = 400;
const STEP: Duration = Duration::from_millis(5);

static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on signals that would end this process only set [`is_interrupted`], and a panic of any thread
/// leaves nothing behind.
///
/// # Errors
/// If the handler cannot be set.
pub(super) fn prepare() -> io::Result<()> {
    ctrlc::set_handler(|| IS_INTERRUPTED.store(true, Ordering::SeqCst)).map_err(io::Error::other)?;
    clean_up_on_panic()
}

/// Someone wants the demo to end.
pub(super) fn is_interrupted() -> bool {
    IS_INTERRUPTED.load(Ordering::SeqCst)
}

fn clean_up_on_panic() -> io::Result<()> {
    // Orphans of a dying guard become children of this process, so that it can find them.
    set_child_subreaper(true)?;
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        terminal::restore();
        tell(panic);
        kill_descendants();
        remove_all_scratch();
        process::exit(PANICKED);
    }));
    Ok(())
}

/// Kills all that this process has started, directly or not, and waits until it is gone.
fn kill_descendants() {
    for _ in 0..MAX_ROUNDS {
        let family = all_processes().map(|all| descendants(getpid(), &all)).unwrap_or_default();
        if family.is_empty() {
            return;
        }
        for pid in family {
            // ESRCH: it was faster.
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(STEP);
    }
}

fn descendants(of: Pid, all: &[ProcessInfo]) -> Vec<Pid> {
    let mut family = vec![of];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        let children =
            all.iter().filter(|process| process.parent == parent && !family.contains(&process.pid));
        let children: Vec<Pid> = children.map(|process| process.pid).collect();
        family.extend(children);
        next += 1;
    }
    family.split_off(1)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::process::{Command, Stdio};

    use crate::workbench::lab::clock::wait_until;
    use crate::workbench::lab::setup::Scratch;

    use super::*;

    /// Set for the victim only.
    const VICTIM: &str = "CROSSWIRE_TEST_VICTIM";

    /// Processes that were started with this text in their environment, zombies excluded.
    fn processes_with(text: &str) -> Vec<ProcessInfo> {
        let mut all = all_processes().unwrap();
        all.retain(|process| {
            let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            process.pid != getpid() && String::from_utf8_lossy(&environment).contains(text)
        });
        all
    }

    /// The victim of the next test: on its own it does nothing.
    #[test]
    fn a_panicking_demo() {
        if env::var_os(VICTIM).is_none() {
            return;
        }
        clean_up_on_panic().unwrap();
        let scratch = Scratch::new().unwrap();
        fs::write(scratch.path().join("file"), "x").unwrap();
        // The grandchild is an orphan by the time of the panic, in a session of its own.
        let mut shell = Command::new("sh").args(["-c", "setsid sleep 1000 & sleep 1000"]).spawn().unwrap();
        let marker = format!("{VICTIM}={}", env::var(VICTIM).unwrap());
        wait_until("both sleeps", Duration::from_secs(30), || {
            Ok(processes_with(&marker).iter().filter(|process| process.name == "sleep").count() == 2)
        })
        .unwrap();
        shell.kill().unwrap();
        shell.wait().unwrap();
        let thread = thread::spawn(|| panic!("on purpose"));
        let _ = thread.join();
        unreachable!("a panic of any thread ends the demo");
    }

    #[test]
    fn a_panic_of_any_thread_leaves_no_process_and_no_file() {
        let place = tempfile::tempdir().unwrap();
        let id = process::id().to_string();
        let mut victim = Command::new(env::current_exe().unwrap());
        victim.args(["workbench::demo::tidy::tests::a_panicking_demo", "--exact", "--nocapture"]);
        victim.env(VICTIM, &id).env("TMPDIR", place.path()).stdin(Stdio::null());
        let output = victim.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(PANICKED), "{said}");
        assert!(said.contains("on purpose"), "{said}");
        assert_eq!(processes_with(&format!("{VICTIM}={id}")), []);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "the scratch directory is gone");
    }

    #[test]
    fn a_family_is_found_to_the_last_grandchild_and_no_stranger() {
        let process = |pid, parent| ProcessInfo {
            pid: Pid::from_raw(pid),
            parent: Pid::from_raw(parent),
            name: String::new(),
        };
        let all = [process(1, 0), process(9, 5), process(5, 3), process(4, 1), process(3, 1), process(7, 3)];
        let mut found = descendants(Pid::from_raw(3), &all);
        found.sort_unstable();
        assert_eq!(found, [5, 7, 9].map(Pid::from_raw));
    }
}
