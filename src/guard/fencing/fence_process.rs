//! The fence at work: a child of the guard, which waits in its place.

use std::os::fd::OwnedFd;

use crosswire::time::{Instant, Span};
use log::error;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, setsid, write};

use crate::guard::fencing::fence::{Task, carry_out};
use crate::guard::scripts::run::Run;
use crate::settings::Settings;
use crate::sys::process::{close_all_but, fork_into, handle_by_default};

/// What the child may take beyond the time of its fences before it is ended.
const SPARE: Span = Span::from_s(5);

/// Starts a process that fences the peer; none without a fence, or where there is no process for it.
pub fn start(settings: &Settings, now: Instant) -> Option<Run> {
    if settings.fences.is_empty() {
        return None;
    }
    let timeout = settings.fences.iter().fold(SPARE, |sum, fence| sum + fence.timeout);
    let started = spawn(settings);
    match started {
        Ok((pid, pipe)) => Some(Run::of("fence".to_owned(), pid, pipe, timeout, now)),
        Err(errno) => {
            error!("no process for the fence: {}", errno.desc());
            None
        }
    }
}

fn spawn(settings: &Settings) -> nix::Result<(Pid, OwnedFd)> {
    let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // A signal to the child waits until it has let go of our handlers: they would take it for one to the
    // guard.
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
