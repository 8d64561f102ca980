//! Fencing: making certain that the peer holds nothing, or saying that it is not certain.
//!
//! What is here waits, so it never runs in the guard's loop, but in a child of its own
//! (`guard/event_loop/fence.rs`) or in `crosswire fence --test`. Whatever cannot be confirmed within its time
//! counts as not done.

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

/// Fences the peer by the first way that can be confirmed; or tests every way. Says how each went. True if
/// the peer is certain to hold nothing, or if every test succeeded.
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
                let options: Vec<_> = options.iter().filter_map(|option| option.split_once('=')).collect();
                // Plugins source their helpers by name.
                let path = (
                    "PATH",
                    "/usr/share/cluster-glue:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                );
                Self {
                    arguments: [action].into_iter().chain(named.then_some(peer)).map(str::to_owned).collect(),
                    environment: options
                        .iter()
                        .chain([&path])
                        .filter_map(|(k, v)| CString::new(format!("{k}={v}")).ok())
                        .collect(),
                    input: String::new(),
                }
            }
        }
    }
}

/// Runs a program until its end, which has to come in time; what it writes goes where our own output goes.
fn run(program: &Path, call: &Call, until: Instant) -> Result<i32, Unconfirmed> {
    let cannot = |errno: Errno| format!("cannot be run: {}", errno.desc());
    let pid = spawn(program, call).map_err(cannot)?;
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)).map_err(cannot)? {
            WaitStatus::Exited(_, code) => return Ok(code),
            WaitStatus::Signaled(_, signal, _) => return Err(format!("ended by {signal}")),
            _ if now() >= until => {
                // Its group is its own; what is killed needs no grace, since it is not believed any more.
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
    let arguments = call.arguments.iter().map(|text| c_string(text.as_bytes()));
    let arguments: Vec<CString> =
        [Ok(program.clone())].into_iter().chain(arguments).collect::<Result<_, _>>()?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    // Options are far shorter than a pipe is deep.
    write(&writer, call.input.as_bytes())?;
    drop(writer);
    let output = dup(std::io::stdout())?;
    // The child makes system calls only, on memory that was set up before, and ends in exec or _exit.
    fork_into(|| {
        // Given up with whoever waits for it.
        let _ = set_pdeathsig(Signal::SIGKILL);
        let programs = arguments.get(..1).unwrap_or_default();
        become_program(programs, &arguments, &call.environment, &reader, &output)
    })
}

fn open(port: &Path, baud: u32) -> Result<OwnedFd, Unconfirmed> {
    open_serial(port, baud).map_err(|error| error.to_string())
}

/// Sends BREAK and a key, which a kernel whose console listens there obeys
/// (Documentation/admin-guide/sysrq.rst), and waits for its own word that it does.
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

/// Opening the port has raised both outputs. The cable pulls the peer's reset only while one of them is down
/// and the other up, so that neither a box without power nor a port that is opened or closed resets it. That
/// the peer resets shows in an input that it kept up until then.
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
mod tests {
    use super::*;
    use crate::guard::testing::script_file;

    /// The standard error is no place for these: what is said is kept.
    fn carry(fence: Fence, task: Task) -> (bool, String) {
        let mut said = String::new();
        let done = carry_out(&[fence], "gw2", task, |line| said.push_str(line));
        (done, said)
    }

    fn program(dir: &tempfile::TempDir, body: &str, convention: Convention, action: FenceAction) -> Fence {
        let program = script_file(dir, "fence", &format!("cd {}\n{body}", dir.path().display()));
        let options = vec!["ip=10.0.0.9".to_owned(), "passwd=a b'c".to_owned(), "plug=2".to_owned()];
        let method = FenceMethod::Program { program, convention, action, options };
        Fence { method, timeout: Span::from_s(20) }
    }

    fn file(dir: &tempfile::TempDir, name: &str) -> String {
        std::fs::read_to_string(dir.path().join(name)).unwrap_or_default()
    }

    #[test]
    fn a_fence_agent_reads_its_options_line_by_line() {
        for (task, action, word) in [
            (Task::Fence, FenceAction::Reboot, "reboot"),
            (Task::Fence, FenceAction::Off, "off"),
            (Task::Test, FenceAction::Off, "status"),
        ] {
            let dir = tempfile::tempdir().expect("a directory");
            let fence = program(&dir, "cat > input; echo $# > count", Convention::FenceAgent, action);
            assert!(carry(fence, task).0);
            let expected = format!("action={word}\nnodename=gw2\nip=10.0.0.9\npasswd=a b'c\nplug=2\n");
            assert_eq!((file(&dir, "input"), file(&dir, "count")), (expected, "0\n".to_owned()));
        }
    }

    #[test]
    fn a_cluster_glue_plugin_gets_arguments_and_variables() {
        for (task, action, words) in [
            (Task::Fence, FenceAction::Reboot, "reset gw2\n"),
            (Task::Fence, FenceAction::Off, "off gw2\n"),
            (Task::Test, FenceAction::Off, "status\n"),
        ] {
            let dir = tempfile::tempdir().expect("a directory");
            let body = "echo $* > words; echo \"$ip|$passwd|$plug\" > options; cat > input";
            assert!(carry(program(&dir, body, Convention::ClusterGlue, action), task).0);
            assert_eq!(file(&dir, "words"), words);
            assert_eq!(
                (file(&dir, "options"), file(&dir, "input")),
                ("10.0.0.9|a b'c|2\n".to_owned(), String::new())
            );
        }
    }

    #[test]
    fn only_success_confirms_and_a_peer_that_is_off_passes_the_test() {
        let cases = [
            ("exit 1", Task::Fence, false),
            ("exit 2", Task::Fence, false),
            ("exit 2", Task::Test, true),
            ("exit 1", Task::Test, false),
            ("kill -9 $$", Task::Fence, false),
        ];
        for (body, task, is_done) in cases {
            let dir = tempfile::tempdir().expect("a directory");
            let fence = program(&dir, body, Convention::FenceAgent, FenceAction::Off);
            let (done, said) = carry(fence, task);
            assert_eq!(
                (done, said.contains("NOT confirmed")),
                (is_done, !is_done),
                "{body} {task:?}: {said}"
            );
        }
        let dir = tempfile::tempdir().expect("a directory");
        let glue = program(&dir, "exit 2", Convention::ClusterGlue, FenceAction::Off);
        assert!(!carry(glue, Task::Test).0);
        assert!(!carry_out(&[], "gw2", Task::Fence, |_| ()) && !carry_out(&[], "gw2", Task::Test, |_| ()));
    }

    #[test]
    fn a_program_that_hangs_or_is_not_there_confirms_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut fence = program(&dir, "trap '' TERM; sleep 60", Convention::FenceAgent, FenceAction::Off);
        fence.timeout = Span::from_ms(300);
        let started = now();
        assert!(!carry(fence.clone(), Task::Fence).0);
        assert!(now().since(started) < Span::from_s(20));
        if let FenceMethod::Program { program, .. } = &mut fence.method {
            *program = "/no/such/fence".into();
        }
        fence.timeout = Span::from_s(20);
        let (done, said) = carry(fence, Task::Fence);
        assert!(!done && said.ends_with("exit code 126"), "{said}");
    }

    #[test]
    fn the_next_fence_is_tried_when_the_first_is_not_confirmed() {
        let dirs = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
        let fences = [
            program(&dirs[0], "exit 1", Convention::FenceAgent, FenceAction::Off),
            program(&dirs[1], "exit 0", Convention::FenceAgent, FenceAction::Off),
        ];
        let mut said = Vec::new();
        assert!(carry_out(&fences, "gw2", Task::Fence, |line| said.push(line.to_owned())));
        assert_eq!(said.len(), 2);
        assert!(!carry_out(&fences, "gw2", Task::Test, |_| ()), "every way is tested");
    }

    /// A console at the other end of a pseudo-terminal, which answers a key with a text.
    fn ask(answers_to: u8, text: &'static [u8], task: Task, timeout: Span) -> bool {
        use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
        let pty = nix::pty::openpty(None, None).expect("a pseudo-terminal");
        // As a line is: nothing is echoed.
        let mut mode = tcgetattr(&pty.slave).expect("a terminal");
        cfmakeraw(&mut mode);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &mode).expect("set");
        let port = nix::unistd::ttyname(&pty.slave).expect("its name");
        let master = pty.master.try_clone().expect("a descriptor");
        let peer = std::thread::spawn(move || {
            let mut byte = [0];
            // Until every other end is closed.
            while read(&master, &mut byte) == Ok(1) {
                if byte[0] == answers_to {
                    write(&master, b"login: ").expect("room");
                    write(&master, text).expect("room");
                }
            }
        });
        let done = carry(Fence { method: FenceMethod::SysRq { port, baud: 9_600 }, timeout }, task).0;
        drop(pty.slave);
        peer.join().expect("it ends");
        done
    }

    #[test]
    fn a_console_confirms_by_its_own_word_that_it_resets() {
        let (long, short) = (Span::from_s(20), Span::from_ms(400));
        assert!(ask(b'b', b"\r\n[  12.3] sysrq: Resetting\r\n", Task::Fence, long));
        assert!(ask(b'b', b"\r\nSysRq : Resetting\r\n", Task::Fence, long), "older kernels");
        assert!(!ask(b'b', b"\r\nsysrq: This sysrq operation is disabled.\r\n", Task::Fence, short));
        assert!(!ask(b'x', b"sysrq: Resetting", Task::Fence, short), "nobody listens");
        assert!(ask(b'h', b"\r\nsysrq: HELP : loglevel(0-9) reboot(b)\r\n", Task::Test, long));
        assert!(!ask(b'b', b"sysrq: HELP", Task::Test, short), "a test sends no b");
    }

    /// A cable whose peer drops its line `delay` looks after it was reset, if ever.
    struct Wired {
        lines: c_int,
        falls_after: Option<u32>,
        looks: u32,
        pulses: u32,
    }

    impl Lines for Wired {
        fn get(&mut self) -> nix::Result<c_int> {
            if self.pulses > 0 {
                self.looks += 1;
            }
            let has_fallen = self.falls_after.is_some_and(|after| self.pulses > 0 && self.looks > after);
            Ok(if has_fallen { self.lines & !libc::TIOCM_DSR } else { self.lines })
        }

        fn set(&mut self, lines: c_int, is_up: bool) -> nix::Result<()> {
            self.pulses += u32::from(!is_up && self.lines & lines != 0);
            self.lines = if is_up { self.lines | lines } else { self.lines & !lines };
            Ok(())
        }
    }

    fn pull(lines: c_int, falls_after: Option<u32>, task: Task) -> (bool, u32, c_int) {
        let mut wired = Wired { lines, falls_after, looks: 0, pulses: 0 };
        let until = now() + Span::from_ms(900);
        let done = reset(&mut wired, libc::TIOCM_RTS, libc::TIOCM_DSR, task, until);
        (done.is_ok(), wired.pulses, wired.lines)
    }

    #[test]
    fn a_reset_is_confirmed_by_the_line_that_falls_and_by_nothing_else() {
        let up = libc::TIOCM_RTS | libc::TIOCM_DTR | libc::TIOCM_DSR;
        assert_eq!(pull(up, Some(3), Task::Fence), (true, 1, up), "one pulse, and the line is up again");
        assert_eq!(pull(up, None, Task::Fence), (false, 1, up), "a peer that goes on");
        let down = libc::TIOCM_RTS | libc::TIOCM_DTR;
        assert_eq!(pull(down, Some(0), Task::Fence), (false, 0, down), "nothing to be seen: not even tried");
        assert_eq!(pull(up, None, Task::Test), (true, 0, up), "a test pulls nothing");
        assert_eq!(pull(down, None, Task::Test), (false, 0, down));
    }

    #[test]
    fn a_port_without_lines_is_no_reset_cable() {
        let pty = nix::pty::openpty(None, None).expect("a pseudo-terminal");
        let port = nix::unistd::ttyname(&pty.slave).expect("its name");
        let method = FenceMethod::ResetCable { port, pulse: ModemLine::Rts, sense: ModemLine::Dsr };
        let (done, said) = carry(Fence { method, timeout: Span::from_s(5) }, Task::Fence);
        assert!(!done && said.contains("shows no lines"), "{said}");
    }
}
