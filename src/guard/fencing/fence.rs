//! Fencing: making certain that the peer holds nothing, or saying that it is not certain.
//!
//! This code waits, so it never runs in the guard's loop, but in a child of its own (`fence_process.rs`) or
//! in `crosswire fence --test`. Whatever cannot be confirmed within its time counts as not done.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::{self, c_int};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::sys::termios::tcsendbreak;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup, pipe2, read, write};

use crate::clock::now;
use crate::gather::Gather;
use crate::guard::scripts::spawn::{SEARCH_PATH, become_program, c_string};
use crate::guard::serial::ports::open_serial;
use crate::settings::{Convention, Fence, FenceAction, FenceMethod, ModemLine};
use crate::sys;
use crate::sys::process::fork_into;

/// How long a line of a reset cable is pulled; a reset switch is pressed for less.
const PULSE: Span = Span::from_ms(500);
/// How often a child, a port or a line is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What the kernel writes on its console before it resets (drivers/tty/sysrq.c).
const RESETTING: &[u8] = b"Resetting";
/// What it answers to a key that it does not know, and to `h`.
const HELP: &[u8] = b"HELP";
/// Answer of a fence agent to `status`: the peer is off (FenceAgentAPI.md).
const AGENT_SAYS_OFF: i32 = 2;

/// What is asked of a fence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// Fence the peer.
    Fence,
    /// Find out whether that would work, without doing it.
    Test,
}

/// Why a fence is not confirmed: one line.
type Unconfirmed = String;

/// Fences the peer by the first way that can be confirmed, or tests every way, and says how each went. True
/// if the peer certainly holds nothing, or if every test succeeded.
pub fn carry_out(fences: &[Fence], peer: &str, task: Task, mut say: impl FnMut(&str)) -> bool {
    let mut is_all_well = !fences.is_empty();
    for fence in fences {
        let done = one(fence, peer, task);
        let how = match (&done, task) {
            (Ok(()), Task::Fence) => format!("confirmed, {peer} holds nothing"),
            (Ok(()), Task::Test) => "works".to_owned(),
            (Err(why), _) => format!("NOT confirmed: {why}"),
        };
        say(&format!("{}: {how}", name(&fence.method)));
        match task {
            Task::Fence if done.is_ok() => return true,
            Task::Fence => {}
            Task::Test => is_all_well &= done.is_ok(),
        }
    }
    task == Task::Test && is_all_well
}

fn name(method: &FenceMethod) -> String {
    match method {
        FenceMethod::Program { program, convention: Convention::FenceAgent, .. } => {
            format!("exec {}", program.display())
        }
        FenceMethod::Program { program, .. } => format!("stonith {}", program.display()),
        FenceMethod::SysRq { port, .. } => format!("sysrq {}", port.display()),
        FenceMethod::ResetCable { port, .. } => format!("reset-cable {}", port.display()),
    }
}

fn one(fence: &Fence, peer: &str, task: Task) -> Result<(), Unconfirmed> {
    let until = now() + fence.timeout;
    match &fence.method {
        FenceMethod::Program { program, convention, action, options } => {
            let call = Call::new(*convention, *action, options, peer, task);
            let code = run(program, &call, until)?;
            let is_off =
                task == Task::Test && *convention == Convention::FenceAgent && code == AGENT_SAYS_OFF;
            if code == 0 || is_off { Ok(()) } else { Err(format!("exit code {code}")) }
        }
        FenceMethod::SysRq { port, baud } => {
            let port = open(port, *baud)?;
            let (key, answer) = if task == Task::Fence { (b"b", RESETTING) } else { (b"h", HELP) };
            ask_console(&port, key, answer, until)
        }
        FenceMethod::ResetCable { port, pulse, sense } => {
            let port = open(port, 9_600)?;
            reset(&mut Port(port), bits(*pulse), bits(*sense), task, until)
        }
    }
}

/// How a program is called.
struct Call {
    arguments: Vec<String>,
    environment: Vec<CString>,
    input: String,
}

impl Call {
    fn new(convention: Convention, action: FenceAction, options: &[String], peer: &str, task: Task) -> Self {
        let action = match (task, convention, action) {
            (Task::Test, _, _) => "status",
            (Task::Fence, _, FenceAction::Off) => "off",
            (Task::Fence, Convention::FenceAgent, FenceAction::Reboot) => "reboot",
            (Task::Fence, Convention::ClusterGlue, FenceAction::Reboot) => "reset",
        };
        match convention {
            Convention::FenceAgent => Self {
                arguments: Vec::new(),
                environment: vec![SEARCH_PATH.to_owned()],
                input: format!("action={action}\nnodename={peer}\n{}\n", options.join("\n")),
            },
            Convention::ClusterGlue => {
                let named = task == Task::Fence;
                let options: Vec<_> = options.iter().filter_map(|option| option.split_once('=')).gather();
                // Plugins source their helpers by name.
                let path = (
                    "PATH",
                    "/usr/share/cluster-glue:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                );
                Self {
                    arguments: [action].into_iter().chain(named.then_some(peer)).map(str::to_owned).gather(),
                    environment: options
                        .iter()
                        .chain([&path])
                        .filter_map(|(k, v)| CString::new(format!("{k}={v}")).ok())
                        .gather(),
                    input: String::new(),
                }
            }
        }
    }
}

/// Runs a program until its end, which has to come in time. Its output goes where our own output goes.
fn run(program: &Path, call: &Call, until: Instant) -> Result<i32, Unconfirmed> {
    let cannot = |errno: Errno| format!("cannot be run: {}", errno.desc());
    let pid = spawn(program, call).map_err(cannot)?;
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)).map_err(cannot)? {
            WaitStatus::Exited(_, code) => return Ok(code),
            WaitStatus::Signaled(_, signal, _) => return Err(format!("ended by {signal}")),
            _ if now() >= until => {
                // It leads a group of its own. It needs no grace, since it is not believed any more.
                let _ = killpg(pid, Signal::SIGKILL);
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
                return Err("not done in time".to_owned());
            }
            _ => std::thread::sleep(LOOK_EVERY),
        }
    }
}

fn spawn(program: &Path, call: &Call) -> nix::Result<Pid> {
    let program = c_string(program.as_os_str().as_bytes())?;
    let mut arguments = vec![program.clone()];
    for text in &call.arguments {
        arguments.push(c_string(text.as_bytes())?);
    }
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    // Options are far shorter than a pipe is deep.
    write(&writer, call.input.as_bytes())?;
    drop(writer);
    let output = dup(std::io::stdout())?;
    // The child makes system calls only, on memory that was set up before, and ends in exec or _exit.
    fork_into(|| {
        // It ends with the process that waits for it.
        let _ = set_pdeathsig(Signal::SIGKILL);
        let programs = arguments.get(..1).unwrap_or_default();
        become_program(programs, &arguments, &call.environment, &reader, &output, None)
    })
}

fn open(port: &Path, baud: u32) -> Result<OwnedFd, Unconfirmed> {
    open_serial(port, baud).map_err(|error| error.to_string())
}

/// Sends BREAK and a key, and waits until the kernel itself says that it obeys: it does if its console
/// listens there (Documentation/admin-guide/sysrq.rst).
fn ask_console(port: &OwnedFd, key: &[u8; 1], answer: &[u8], until: Instant) -> Result<(), Unconfirmed> {
    let broken = |errno: Errno| format!("the port fails: {}", errno.desc());
    tcsendbreak(port, 0).map_err(broken)?;
    write(port, key).map_err(broken)?;
    let mut heard: Vec<u8> = Vec::new();
    let mut bytes = [0; 256];
    while now() < until {
        match read(port, &mut bytes) {
            Ok(length) => heard.extend_from_slice(bytes.get(..length).unwrap_or_default()),
            Err(Errno::EAGAIN | Errno::EINTR) => std::thread::sleep(LOOK_EVERY),
            Err(errno) => return Err(broken(errno)),
        }
        if heard.windows(answer.len()).any(|window| window == answer) {
            return Ok(());
        }
        // A console that chatters must not fill our memory; an answer that lies across the cut is kept whole.
        let surplus = heard.len().saturating_sub(answer.len());
        heard.drain(..surplus);
    }
    Err("no console answers there (is sysrq enabled on the peer, and its console on this line?)".to_owned())
}

/// The lines of a serial port, as bits of `TIOCM_*` (ioctl_tty(2)).
trait Lines {
    fn get(&mut self) -> nix::Result<c_int>;
    fn set(&mut self, lines: c_int, is_up: bool) -> nix::Result<()>;
}

struct Port(OwnedFd);

impl Lines for Port {
    fn get(&mut self) -> nix::Result<c_int> {
        sys::tty::lines(&self.0)
    }

    fn set(&mut self, lines: c_int, is_up: bool) -> nix::Result<()> {
        if is_up { sys::tty::raise_lines(&self.0, lines) } else { sys::tty::drop_lines(&self.0, lines) }
    }
}

const fn bits(line: ModemLine) -> c_int {
    match line {
        ModemLine::Rts => libc::TIOCM_RTS,
        ModemLine::Dtr => libc::TIOCM_DTR,
        ModemLine::Dsr => libc::TIOCM_DSR,
        ModemLine::Dcd => libc::TIOCM_CD,
        ModemLine::Cts => libc::TIOCM_CTS,
    }
}

/// Pulls the reset. Opening the port has raised both outputs. The cable pulls the peer's reset only while one
/// of them is down and the other up, so that neither a box without power nor a port that is opened or closed
/// resets it. The reset shows in an input that the peer kept up until then.
fn reset(
    port: &mut impl Lines,
    pulse: c_int,
    sense: c_int,
    task: Task,
    until: Instant,
) -> Result<(), Unconfirmed> {
    let broken = |errno: Errno| format!("the port shows no lines: {}", errno.desc());
    if port.get().map_err(broken)? & sense == 0 {
        return Err(
            "the line that would show the reset is down already: nothing could be confirmed".to_owned()
        );
    }
    if task == Task::Test {
        return Ok(());
    }
    port.set(pulse, false).map_err(broken)?;
    let pulled_at = now();
    let mut has_fallen = false;
    while now() < pulled_at + PULSE || (!has_fallen && now() < until) {
        has_fallen |= port.get().is_ok_and(|lines| lines & sense == 0);
        if now() >= pulled_at + PULSE {
            port.set(pulse, true).map_err(broken)?;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    port.set(pulse, true).map_err(broken)?;
    if has_fallen { Ok(()) } else { Err("the peer shows no reset".to_owned()) }
}

#[cfg(test)]
#[path = "fence_tests.rs"]
mod tests;
