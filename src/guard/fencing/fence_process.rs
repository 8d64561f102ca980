//! The fence at work: a child of the guard, which waits so that the guard need not.

use std::os::fd::OwnedFd;

use crosswire::custody::End;
use crosswire::time::{Instant, Span};
use log::error;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, setsid, write};

use crate::guard::fencing::fence::{Task, carry_out};
use crate::guard::scripts::run::{Ended, Run};
use crate::settings::Settings;
use crate::sys::process::{close_all_but, fork_into, handle_by_default};

/// How long the child may take beyond the time of its fences before it is ended.
const SPARE: Span = Span::from_s(5);

/// The fence of the peer: at most one process at a time.
#[derive(Default)]
pub struct FenceProcess(Option<Run>);

impl FenceProcess {
    /// Starts it. False without a fence, or where there is no process for it.
    pub fn start(&mut self, settings: &Settings, now: Instant) -> bool {
        let timeout = settings.fences.iter().fold(SPARE, |sum, fence| sum + fence.timeout);
        if settings.fences.is_empty() {
            return false;
        }
        self.0 = match spawn(settings) {
            Ok((pid, pipe)) => Some(Run::of("fence".to_owned(), pid, pipe, timeout, now)),
            Err(errno) => {
                error!("no process for the fence: {}", errno.desc());
                None
            }
        };
        self.0.is_some()
    }

    /// It runs.
    pub fn run(&self) -> Option<&Run> {
        self.0.as_ref()
    }

    /// It runs.
    pub fn run_mut(&mut self) -> Option<&mut Run> {
        self.0.as_mut()
    }

    /// The fence has ended, or is given up. Returns whether it is confirmed; none if there was no fence.
    pub fn end(&mut self, how: Option<Ended>) -> Option<bool> {
        let mut run = self.0.take()?;
        let is_confirmed = how.is_some_and(|how| run.ended(how) == End::Done);
        run.into_output();
        Some(is_confirmed)
    }

    /// Nobody waits for it any more.
    pub fn give_up(&mut self, now: Instant) {
        self.0.iter_mut().for_each(|run| run.interrupt(now));
    }
}

fn spawn(settings: &Settings) -> nix::Result<(Pid, OwnedFd)> {
    let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // Signals are blocked until the child has dropped our handlers, which would take a signal to the child
    // for one to the guard.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let child = fork_into(|| if become_fence(&null, &writer).is_ok() { fence_alone(settings) } else { 1 });
    before.thread_set_mask()?;
    Ok((child?, reader))
}

/// In the child: a session of its own, default signals, no input, output into the pipe.
fn become_fence(null: &OwnedFd, output: &OwnedFd) -> nix::Result<()> {
    setsid()?;
    handle_by_default(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])?;
    SigSet::empty().thread_set_mask()?;
    dup2_stdin(null)?;
    dup2_stdout(output)?;
    dup2_stderr(output)
}

/// In the child. It keeps no descriptor of the guard: the agent has to notice the guard's end, and the
/// watchdog its close.
fn fence_alone(settings: &Settings) -> i32 {
    close_all_but(&mut []);
    let say = |line: &str| {
        let _ = write(std::io::stdout(), format!("{line}\n").as_bytes());
    };
    let is_confirmed = carry_out(&settings.fences, settings.peer_name(), Task::Fence, say);
    i32::from(!is_confirmed)
}
