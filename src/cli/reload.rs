//! `crosswire reload`: has the running daemon read its configuration anew, and shows what became of it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::option::{option, options};
use super::status::not_answered;
use crate::guard::reload::{DONE, answer_file};
use crate::guard::run_dir::lock::{Lock, PID_FILE, read_pid};
use crate::operator::control::{DEFAULT_RUN_DIR, Question, ask};
use crate::operator::exit::{Exit, complain};
use crate::private;

options! {
    /// Read the configuration anew; only what has changed is touched
    pub struct ReloadOptions("reload") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
    }
}

/// What a guard is told to do, and answers.
pub(super) struct Order {
    /// What tells it.
    pub(super) signal: Signal,
    /// By this name it answers.
    pub(super) name: &'static str,
    /// How long that may take.
    pub(super) patience: Duration,
    /// Whether it is done, as far as the guard's process shows that, where another agent runs.
    pub(super) is_seen_in: fn(i32) -> bool,
}

/// The guard reads the file within a turn of its loop.
const RELOAD: Order =
    Order { signal: Signal::SIGHUP, name: "reload", patience: Duration::from_secs(10), is_seen_in: |_| true };
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The answer is written before the next agent speaks.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// Who tells the guard something and waits for its answer has the lock of this name in the run directory.
const LOCK: &str = "orders";
/// What stands in the place of an answer that is waited for, with the process that owes it.
const ASKED: &str = "asked";

/// Asks, waits, and shows.
pub fn run(options: &ReloadOptions, out: &mut impl Write) -> Exit {
    asked_for(&options.run_dir, &RELOAD).map_or_else(|exit| exit, |daemon| daemon.ask(&RELOAD, out))
}

/// A daemon that runs, and is told something by nobody else as long as this lives.
pub(super) struct Asked {
    run_dir: PathBuf,
    /// The process of its guard.
    pub(super) pid: i32,
    /// Its agent.
    before: Option<[u8; 8]>,
    _lock: Option<Lock>,
}

/// The daemon of a run directory, which will be told this. If there is none, or another command waits for its
/// answer, that was said.
pub(super) fn asked_for(run_dir: &Path, order: &Order) -> Result<Asked, Exit> {
    let agent = || incarnation(run_dir).map_err(|error| not_answered(run_dir, &error, false));
    let before = agent()?;
    let pid_file = run_dir.join(PID_FILE);
    let pid = read_pid(&pid_file).and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 1);
    let what = format_args!("no process can be told: see {}", pid_file.display());
    let pid = pid.ok_or_else(|| complain(Exit::Refused, false, &what))?;
    let daemon = Asked { run_dir: run_dir.to_path_buf(), pid, before, _lock: None };
    if !cfg!(feature = "upgrade") {
        return Ok(daemon);
    }
    daemon.tell(None)?;
    let lock = Lock::of_run_dir(run_dir, LOCK).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::WouldBlock => "another reload or upgrade is not over yet".to_owned(),
            _ => error.to_string(),
        };
        complain(Exit::Refused, false, &format_args!("{why}: nothing is changed"))
    })?;
    daemon.await_earlier(order);
    // What was asked before may have brought another agent.
    Ok(Asked { before: agent()?, _lock: Some(lock), ..daemon })
}

impl Asked {
    /// Sends it a signal, or sees whether it could be sent. If not, that was said.
    fn tell(&self, signal: Option<Signal>) -> Result<(), Exit> {
        let what = format_args!("process {} cannot be told: run this as root", self.pid);
        kill(Pid::from_raw(self.pid), signal).map_err(|errno| match errno {
            Errno::ESRCH => complain(Exit::NotRunning, false, &"the daemon's guard is gone: start it again"),
            _ => complain(Exit::Refused, false, &what),
        })
    }

    /// Tells it to do something, waits, and shows what became of it.
    pub(super) fn ask(&self, order: &Order, out: &mut impl Write) -> Exit {
        let answer = answer_file(&self.run_dir, order.name);
        let _ = fs::remove_file(&answer);
        if cfg!(feature = "upgrade") {
            let _ = private::replace(&answer, self.owed().as_bytes(), 0o644);
        }
        if let Err(exit) = self.tell(Some(order.signal)) {
            return exit;
        }
        let start = Instant::now();
        while start.elapsed() < order.patience {
            if let Some(text) = self.answer(&answer) {
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
            if start.elapsed() > ANSWERED_WITHIN && self.is_replaced() && (order.is_seen_in)(self.pid) {
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

    /// What the guard has answered.
    fn answer(&self, file: &Path) -> Option<String> {
        let text = fs::read_to_string(file).ok()?;
        (!cfg!(feature = "upgrade") || text != self.owed()).then_some(text)
    }

    /// What stands in the place of the answer until it is there.
    fn owed(&self) -> String {
        format!("{ASKED} {}\n", self.pid)
    }

    /// Waits until the guard has answered what a command asked that has not lived to hear it.
    fn await_earlier(&self, order: &Order) {
        let (file, start) = (answer_file(&self.run_dir, order.name), Instant::now());
        let is_owed = || fs::read_to_string(&file).is_ok_and(|text| text == self.owed());
        while start.elapsed() < order.patience && is_owed() {
            std::thread::sleep(LOOK_EVERY);
        }
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
