//! `crosswire reload`: has the running daemon read its configuration anew, and shows what became of it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::option::{option, options};
use super::status::not_answered;
use crate::guard::reload::{DONE, answer_file};
use crate::guard::run_dir::lock::{PID_FILE, read_pid};
use crate::operator::control::{DEFAULT_RUN_DIR, Question, ask};
use crate::operator::exit::{Exit, complain};

options! {
    /// Read the configuration anew; only what has changed is touched
    pub struct ReloadOptions("reload") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
    }
}

/// The guard reads the file within a turn of its loop.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The answer is written before the next agent speaks.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Asks, waits, and shows.
pub fn run(options: &ReloadOptions, out: &mut impl Write) -> Exit {
    asked_for(&options.run_dir).map_or_else(|exit| exit, |daemon| daemon.ask(Signal::SIGHUP, PATIENCE, out))
}

/// A daemon that runs.
pub(super) struct Asked {
    run_dir: PathBuf,
    /// The process of its guard.
    pub(super) pid: i32,
    /// Its agent.
    before: Option<[u8; 8]>,
}

/// The daemon of a run directory. If there is none, that was said.
pub(super) fn asked_for(run_dir: &Path) -> Result<Asked, Exit> {
    let before = incarnation(run_dir).map_err(|error| not_answered(run_dir, &error, false))?;
    let pid_file = run_dir.join(PID_FILE);
    let pid = read_pid(&pid_file).and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 1);
    let what = format_args!("no process can be told: see {}", pid_file.display());
    let pid = pid.ok_or_else(|| complain(Exit::Refused, false, &what))?;
    Ok(Asked { run_dir: run_dir.to_path_buf(), pid, before })
}

impl Asked {
    /// Tells it to do what the signal says, waits for so long, and shows what became of it.
    pub(super) fn ask(&self, signal: Signal, patience: Duration, out: &mut impl Write) -> Exit {
        let answer = answer_file(&self.run_dir);
        let _ = fs::remove_file(&answer);
        if kill(Pid::from_raw(self.pid), signal).is_err() {
            let what = format_args!("process {} cannot be told: run this as root", self.pid);
            return complain(Exit::Refused, false, &what);
        }
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Ok(text) = fs::read_to_string(&answer) {
                let (word, lines) = text.split_once('\n').unwrap_or_default();
                if word != DONE {
                    return complain(
                        Exit::Refused,
                        false,
                        &format_args!("{lines}refused: nothing is changed"),
                    );
                }
                let _ = writeln!(out, "{lines}done");
                return Exit::Done;
            }
            std::thread::sleep(LOOK_EVERY);
            if kill(Pid::from_raw(self.pid), None).is_err() {
                return complain(Exit::NotRunning, false, &"the daemon has ended: see the log");
            }
            // The guard reports in a file, for which its directory may have no room.
            if start.elapsed() > ANSWERED_WITHIN && self.is_replaced() {
                let _ = writeln!(
                    out,
                    "done: another agent runs; the log says what has changed, since {} cannot be written",
                    answer.display()
                );
                return Exit::Done;
            }
        }
        let what = format_args!(
            "nothing has changed yet: {} was not written (is there room?); see the log",
            answer.display()
        );
        complain(Exit::Refused, false, &what)
    }

    /// Whether another run of the agent answers than before.
    pub(super) fn is_replaced(&self) -> bool {
        incarnation(&self.run_dir).is_ok_and(|now| now.is_some() && now != self.before)
    }
}

/// The run of the agent that answers: a reload takes effect with the next one.
fn incarnation(run_dir: &Path) -> io::Result<Option<[u8; 8]>> {
    Ok(ask(run_dir, &Question::Status)?.status().map(|report| report.node.incarnation))
}
