//! Running a service script: in a session of its own, for a bounded time, without ever waiting for it.
//!
//! Arguments, environment and exit codes are those of the standard that the script goes by.

use std::ffi::CString;
use std::fmt;
use std::os::fd::OwnedFd;

use crosswire::custody::{Action, End};
use crosswire::time::{Instant, Span};
use log::{info, warn};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::guard::scripts::output::{Output, Said};
use crate::guard::scripts::spawn::{spawn, timeout};
use crate::operator::words::ScriptEnd;
use crate::settings::{INTERRUPT_GRACE, Script, Standard};

/// How long after SIGKILL a process may still be there (it hangs in the kernel) before it is left to itself.
const KILL_GRACE: Span = Span::from_s(5);
/// Exit code of LSB and OCF for a program that is not running: for `stop` the state that was asked for.
/// What systemctl answers for a unit that is not loaded (systemctl(1), EXIT STATUS).
const NOT_LOADED: i32 = 5;
const NOT_RUNNING: i32 = 7;
/// Exit codes of an OCF agent whose resource runs, but in another state than 0 says: promoted, degraded, or
/// both (OCF 1.1, 3.3.2).
const OCF_RUNNING: [i32; 3] = [8, 190, 191];

/// What counts as the exit code of a child that is not there any more.
const UNKNOWN: i32 = 1;

/// How a script ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// By itself, with this exit code.
    Exited(i32),
    /// By somebody else's signal.
    Killed(Signal),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Killed(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl From<Ended> for ScriptEnd {
    fn from(how: Ended) -> Self {
        match how {
            Ended::Exited(code) => Self::exited(code),
            Ended::Killed(signal) => Self::killed(signal),
        }
    }
}

/// How a child has ended, if it has; with `WNOWAIT` it is not reaped. A child that is not there has ended
/// somehow.
pub fn how_ended(pid: Pid, more: WaitPidFlag) -> Option<Ended> {
    match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | more) {
        Ok(WaitStatus::Exited(_, code)) => Some(Ended::Exited(code)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(Ended::Killed(signal)),
        Ok(_) | Err(Errno::EINTR) => None,
        Err(_) => Some(Ended::Exited(UNKNOWN)),
    }
}

/// One action of one script that is running.
pub struct Run {
    action: Action,
    standard: Standard,
    label: String,
    pid: Pid,
    stage: Stage,
    deadline: Instant,
    /// The time within which it has to be done.
    limit: Span,
    /// How it failed, once it has.
    failure: Option<ScriptEnd>,
    /// None once everybody has closed it.
    output: Option<Output>,
    /// What it said until then.
    said: Said,
    /// That it fails is no news.
    is_hushed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Running,
    Terminated,
    Killed,
}

impl Run {
    /// Starts it and returns at once. `environment` is all that the script sees.
    pub fn start(
        script: &Script,
        action: Action,
        environment: &[CString],
        now: Instant,
    ) -> nix::Result<Self> {
        let (word, timeout) = (word(script, action), timeout(script, action));
        let label = format!("{} {word}", script.label());
        let (pid, pipe) = spawn(script, word, environment)?;
        let is_monitor = action == Action::Monitor;
        if !is_monitor {
            info!("{label}: process {pid}, at most {timeout}");
        }
        let output = if is_monitor { Output::unlogged(pipe) } else { Output::new(pipe, label.clone()) };
        let run = Self::with(label, (action, script.standard), pid, output, now + timeout);
        Ok(Self { limit: timeout, ..run })
    }

    /// A process that was started already, and leads a session.
    pub fn of(label: String, pid: Pid, pipe: OwnedFd, timeout: Span, now: Instant) -> Self {
        info!("{label}: process {pid}, at most {timeout}");
        let output = Output::new(pipe, label.clone());
        Self::with(label, (Action::Start, Standard::Exec), pid, output, now + timeout)
    }

    /// The same for a process that is not logged as long as it works, and whose last line is shown.
    pub fn quiet(label: String, pid: Pid, pipe: OwnedFd, deadline: Instant) -> Self {
        Self::with(label, (Action::Monitor, Standard::Exec), pid, Output::told(pipe), deadline)
    }

    fn with(label: String, what: (Action, Standard), pid: Pid, output: Output, deadline: Instant) -> Self {
        Self {
            action: what.0,
            standard: what.1,
            label,
            pid,
            stage: Stage::Running,
            deadline,
            limit: Span::ZERO,
            failure: None,
            output: Some(output),
            said: Said::default(),
            is_hushed: false,
        }
    }

    /// Its failure is logged, or not, since that of the last run was.
    pub fn hush(&mut self, is_hushed: bool) {
        self.is_hushed = is_hushed;
    }

    /// Its process, which is also its group and session.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// What the script was asked to do, and how it failed; none if it has not failed by itself.
    pub fn failure(&self) -> Option<(Action, ScriptEnd)> {
        Some((self.action, self.failure?))
    }

    /// The last line that it wrote, if it is not logged.
    pub fn said(&self) -> &str {
        &self.said.last
    }

    /// What it writes.
    pub fn output(&self) -> Option<&Output> {
        self.output.as_ref()
    }

    /// Logs what it wrote.
    pub fn read_output(&mut self) {
        if let Some(ended) = self.output.take_if(|output| !output.read()) {
            self.said = ended.into_said();
        }
    }

    /// What is left of its output once it has ended: a daemon that it started may go on writing.
    pub fn into_output(mut self) -> Option<Output> {
        let is_open = self.output.as_mut().is_some_and(Output::read);
        self.output.iter_mut().for_each(Output::finish_run);
        self.output.filter(|_| is_open)
    }

    /// When [`Run::pass_deadline`] has to be called.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Asks the script to end before its time. One that is only looking is not asked.
    pub fn interrupt(&mut self, now: Instant) {
        if self.stage == Stage::Running && self.action == Action::Monitor {
            self.kill(now);
        } else if self.stage == Stage::Running {
            info!("{}: interrupted", self.label);
            self.terminate(now);
        }
    }

    /// Goes from waiting to TERM to KILL. False when even that did not end it, and waiting on is no use.
    pub fn pass_deadline(&mut self, now: Instant) -> bool {
        if now < self.deadline {
            return true;
        }
        match self.stage {
            Stage::Running => {
                if !self.is_hushed {
                    warn!("{}: not done in time, terminating process group {}", self.label, self.pid);
                }
                self.failure = Some(ScriptEnd::timed_out(self.limit));
                self.terminate(now);
            }
            Stage::Terminated => {
                warn!("{}: still there, killing process group {}", self.label, self.pid);
                self.kill(now);
            }
            Stage::Killed => {
                warn!("{}: process {} cannot be killed, it hangs in the kernel", self.label, self.pid);
                return false;
            }
        }
        true
    }

    /// Reaps the script's first process, if it has ended, and says what that means. It is looked at before
    /// it is reaped: until then the id of its process group is its own, and what is left of the group can be
    /// killed.
    pub fn reap(&mut self) -> Option<End> {
        let how = how_ended(self.pid, WaitPidFlag::WNOWAIT)?;
        let end = self.ended(how);
        how_ended(self.pid, WaitPidFlag::empty());
        Some(end)
    }

    /// The script's first process has ended and is about to be reaped. Returns what that means. If the script
    /// was cut short, what is left of its group is killed; until the reaping, its id cannot be another
    /// group's.
    pub fn ended(&mut self, how: Ended) -> End {
        if self.stage != Stage::Running {
            self.signal_group(Signal::SIGKILL);
            return End::Unknown;
        }
        if self.action == Action::Monitor {
            return if self.looked(how) { End::Done } else { End::Refused };
        }
        let is_success = is_success(self.standard, self.action, how);
        if is_success {
            info!("{}: done", self.label);
            return End::Done;
        }
        warn!("{}: failed with {how}", self.label);
        self.failure = Some(how.into());
        if matches!(how, Ended::Exited(_)) { End::Refused } else { End::Unknown }
    }

    /// A look is over: one that finds everything well is no news.
    fn looked(&mut self, how: Ended) -> bool {
        if let Some(output) = self.output.take() {
            self.said = output.into_said();
        }
        let is_well = match self.standard {
            Standard::Ha => self.said.is_running,
            Standard::Lsb | Standard::Ocf | Standard::Exec | Standard::Systemd => {
                is_success(self.standard, self.action, how)
            }
        };
        if !is_well {
            if !self.is_hushed {
                warn!("{}: failed with {how}: {}", self.label, self.said.last);
            }
            self.failure = Some(how.into());
        }
        is_well
    }

    fn terminate(&mut self, now: Instant) {
        self.signal_group(Signal::SIGTERM);
        self.stage = Stage::Terminated;
        self.deadline = now + INTERRUPT_GRACE;
    }

    fn kill(&mut self, now: Instant) {
        self.signal_group(Signal::SIGKILL);
        self.stage = Stage::Killed;
        self.deadline = now + KILL_GRACE;
    }

    fn signal_group(&self, signal: Signal) {
        // The group may be empty by now, and between fork and setsid it does not exist yet: then only the
        // process is told.
        if killpg(self.pid, signal).is_err() {
            let _ = nix::sys::signal::kill(self.pid, signal);
        }
    }
}

/// What a script is called with.
fn word(script: &Script, action: Action) -> &'static str {
    match (action, script.standard) {
        (Action::Start, _) => "start",
        (Action::Stop, _) => "stop",
        (Action::Monitor, Standard::Lsb | Standard::Ha) => "status",
        (Action::Monitor, Standard::Ocf | Standard::Exec) => "monitor",
        (Action::Monitor, Standard::Systemd) => "is-active",
    }
}

/// Whether a script that ended by itself did what it was asked to do.
///
/// LSB core 5.0, 22.2 and OCF 1.1, 3.3.2: 0 is success, and a stop of what does not run may say so. Heartbeat
/// looks for 0 alone, but what it runs may be an init script; the status of its own scripts it reads from
/// what they write ([`Said::is_running`]). A program of the operator's says 0 or has failed.
fn is_success(standard: Standard, action: Action, how: Ended) -> bool {
    match (standard, action, how) {
        (_, _, Ended::Exited(0)) => true,
        (Standard::Lsb | Standard::Ocf | Standard::Ha, Action::Stop, Ended::Exited(NOT_RUNNING)) => true,
        (Standard::Systemd, Action::Stop, Ended::Exited(NOT_LOADED)) => true,
        (Standard::Ocf, Action::Monitor, Ended::Exited(code)) => OCF_RUNNING.contains(&code),
        (
            Standard::Lsb | Standard::Ocf | Standard::Ha | Standard::Exec | Standard::Systemd,
            Action::Start | Action::Stop | Action::Monitor,
            Ended::Exited(_) | Ended::Killed(_),
        ) => false,
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
