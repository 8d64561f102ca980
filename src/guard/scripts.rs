//! Running a service script: in a session of its own, for a bounded time, without ever waiting for it.
//!
//! Arguments, environment and exit codes are those of the standard that the script goes by.

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use crosswire::time::{Instant, Span};
use log::{info, warn};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, killpg, signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fork, pipe2, setsid, write};

use super::group::Action;
use super::output::Output;
use super::punctual::OOM_ORDINARY;
use crate::settings::{INTERRUPT_GRACE, Script, Standard};

/// A killed process that is still there after this (it hangs in the kernel) is left to itself.
const KILL_GRACE: Span = Span::from_s(5);
/// Exit code of LSB and OCF for a program that is not running: for `stop` the state that was asked for.
const NOT_RUNNING: i32 = 7;
/// What the shell answers for a program that cannot be executed.
const CANNOT_EXECUTE: i32 = 126;

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

/// One action of one script that is running.
pub struct Run {
    action: Action,
    standard: Standard,
    label: String,
    pid: Pid,
    stage: Stage,
    deadline: Instant,
    /// None once everybody has closed it.
    output: Option<Output>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Running,
    Terminated,
    Killed,
}

impl Run {
    /// Starts it and returns at once. `environment` is all that the script sees.
    pub fn start(script: &Script, action: Action, environment: &[CString], now: Instant) -> nix::Result<Self> {
        let (word, timeout) = match action {
            Action::Start => ("start", script.start_timeout),
            Action::Stop => ("stop", script.stop_timeout),
        };
        let label = format!("{} {word}", script.label());
        let (pid, pipe) = spawn(script, word, environment)?;
        Ok(Self { action, standard: script.standard, ..Self::of(label, pid, pipe, timeout, now) })
    }

    /// A process that was started already, and leads a session.
    pub fn of(label: String, pid: Pid, pipe: OwnedFd, timeout: Span, now: Instant) -> Self {
        info!("{label}: process {pid}, at most {timeout}");
        let output = Some(Output::new(pipe, label.clone()));
        let (action, standard, stage) = (Action::Start, Standard::Exec, Stage::Running);
        Self { action, standard, label, pid, stage, deadline: now + timeout, output }
    }

    /// Its process, which is also its group and session.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// What it writes.
    pub fn output(&self) -> Option<&Output> {
        self.output.as_ref()
    }

    /// Logs what it wrote.
    pub fn read_output(&mut self) {
        self.output.take_if(|output| !output.read());
    }

    /// What is left of its output once it has ended: a daemon that it started may go on writing.
    pub fn into_output(mut self) -> Option<Output> {
        let is_open = self.output.as_mut().is_some_and(Output::read);
        self.output.iter_mut().for_each(Output::finish_run);
        self.output.filter(|_| is_open)
    }

    /// When [`Run::pass_deadline`] wants to be called.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Asks the script to end before its time.
    pub fn interrupt(&mut self, now: Instant) {
        if self.stage == Stage::Running {
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
                warn!("{}: not done in time, terminating process group {}", self.label, self.pid);
                self.terminate(now);
            }
            Stage::Terminated => {
                warn!("{}: still there, killing process group {}", self.label, self.pid);
                self.signal_group(Signal::SIGKILL);
                self.stage = Stage::Killed;
                self.deadline = now + KILL_GRACE;
            }
            Stage::Killed => {
                warn!("{}: process {} cannot be killed, it hangs in the kernel", self.label, self.pid);
                return false;
            }
        }
        true
    }

    /// The script's first process has ended and is about to be reaped: says whether it did what was asked. What is
    /// left of the group of a script that was cut short goes with it; until the reaping its id cannot be another's.
    pub fn ended(&mut self, how: Ended) -> bool {
        if self.stage != Stage::Running {
            self.signal_group(Signal::SIGKILL);
            return false;
        }
        let is_success = is_success(self.standard, self.action, how);
        if is_success {
            info!("{}: done", self.label);
        } else {
            warn!("{}: failed with {how}", self.label);
        }
        is_success
    }

    fn terminate(&mut self, now: Instant) {
        self.signal_group(Signal::SIGTERM);
        self.stage = Stage::Terminated;
        self.deadline = now + INTERRUPT_GRACE;
    }

    fn signal_group(&self, signal: Signal) {
        // The group may be empty by now, and between fork and setsid it does not exist yet: then the process alone.
        if killpg(self.pid, signal).is_err() {
            let _ = nix::sys::signal::kill(self.pid, signal);
        }
    }
}

/// Whether a script that ended by itself did what it was asked to do.
///
/// LSB core 5.0, 22.2 and OCF 1.1, 3.3.2: 0 is success, and a stop of what does not run may say so. Heartbeat looks for
/// 0 alone, but what it runs may be an init script. A program of the operator's says 0 or has failed.
fn is_success(standard: Standard, action: Action, how: Ended) -> bool {
    match (standard, action, how) {
        (_, _, Ended::Exited(0)) => true,
        (Standard::Lsb | Standard::Ocf | Standard::Ha, Action::Stop, Ended::Exited(NOT_RUNNING)) => true,
        (
            Standard::Lsb | Standard::Ocf | Standard::Ha | Standard::Exec,
            Action::Start | Action::Stop,
            Ended::Exited(_) | Ended::Killed(_),
        ) => false,
    }
}

/// Starts a program and returns its process and the reading end of its output.
///
/// The standard library would wait until the program is executed, and so for a dead network disk; this does not.
fn spawn(script: &Script, action: &str, environment: &[CString]) -> nix::Result<(Pid, OwnedFd)> {
    let programs = script.programs.iter().map(|path| c_string(path.as_os_str().as_bytes()));
    let programs: Vec<CString> = programs.collect::<nix::Result<_>>()?;
    let more = script.arguments.iter().map(String::as_str).chain([action]).map(|word| c_string(word.as_bytes()));
    let arguments: Vec<CString> =
        programs.first().cloned().map(Ok).into_iter().chain(more).collect::<nix::Result<_>>()?;
    let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // A signal to the child waits until it has let go of our handlers: they would take it for one to the guard.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the child makes system calls only, on memory that was set up before, and ends in exec or _exit.
    let forked = match unsafe { fork() } {
        Ok(ForkResult::Child) => become_program(&programs, &arguments, environment, &null, &writer),
        Ok(ForkResult::Parent { child }) => Ok(child),
        Err(errno) => Err(errno),
    };
    before.thread_set_mask()?;
    Ok((forked?, reader))
}

/// In the child: a session of its own, default signals, the given input and output, then the first of the programs that
/// exists.
pub(super) fn become_program<S: AsRef<CStr>>(
    programs: &[S],
    arguments: &[S],
    environment: &[CString],
    input: &OwnedFd,
    output: &OwnedFd,
) -> ! {
    let prepare = || -> nix::Result<()> {
        setsid()?;
        for handled in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
            // SAFETY: the default action is no handler of ours.
            unsafe { signal(handled, SigHandler::SigDfl) }?;
        }
        SigSet::empty().thread_set_mask()?;
        // What spares the guard must not spare its scripts.
        if let Ok(file) = open(c"/proc/self/oom_score_adj", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()) {
            let _ = write(&file, OOM_ORDINARY);
        }
        umask(Mode::from_bits_truncate(0o022));
        dup2_stdin(input)?;
        dup2_stdout(output)?;
        dup2_stderr(output)?;
        chdir(c"/")
    };
    let mut failed = prepare().err();
    for program in programs {
        if matches!(failed, None | Some(Errno::ENOENT)) {
            failed = execve(program.as_ref(), arguments, environment).err();
        }
    }
    for part in ["cannot be executed: ", failed.map_or("", Errno::desc), "\n"] {
        let _ = write(output, part.as_bytes());
    }
    // SAFETY: ends this process at once, without running anything of the guard's.
    unsafe { libc::_exit(CANNOT_EXECUTE) }
}

/// Everything that a script sees of the world: a search path, what `variables` say, and what its standard wants.
/// `instance` is one more than its place among the scripts of the group called `group`.
pub fn environment(script: &Script, group: &str, instance: usize, variables: &[(&str, &str)]) -> Vec<CString> {
    let mut all = vec![SEARCH_PATH.to_owned()];
    let mut add = |name: &str, value: &str| all.extend(c_string(format!("{name}={value}").as_bytes()));
    for (name, value) in variables {
        add(name, value);
    }
    match script.standard {
        // OCF resource agent API 1.1, section 3.4.
        Standard::Ocf => {
            let mut parts = script.label().split(':').skip(1);
            add("OCF_ROOT", "/usr/lib/ocf");
            add("OCF_RA_VERSION_MAJOR", "1");
            add("OCF_RA_VERSION_MINOR", "1");
            add("OCF_RESOURCE_PROVIDER", parts.next().unwrap_or_default());
            add("OCF_RESOURCE_TYPE", parts.next().unwrap_or_default());
            add("OCF_RESOURCE_INSTANCE", &format!("{group}-{instance}"));
            for (name, value) in &script.parameters {
                add(&format!("OCF_RESKEY_{name}"), value);
            }
        }
        // What Heartbeat's own scripts ask for, beside what they set themselves.
        Standard::Ha => {
            variables.iter().filter(|(name, _)| *name == NODE_VARIABLE).for_each(|(_, node)| add("HA_CURHOST", node))
        }
        Standard::Lsb | Standard::Exec => {}
    }
    all
}

/// Where programs look for others.
pub const SEARCH_PATH: &CStr = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Name of the variable that tells a script on which node it runs.
pub const NODE_VARIABLE: &str = "CROSSWIRE_NODE";

/// A text for the kernel.
pub(super) fn c_string(bytes: &[u8]) -> nix::Result<CString> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use nix::sys::signal::kill;
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
    use nix::unistd::{getpgid, pipe2 as make_pipe};

    use super::*;
    use crate::clock::now;
    use crate::guard::testing::executable::write_executable;

    /// Longer than any script of these tests takes, however busy the machine is.
    const LONG: Span = Span::from_s(60);

    /// A script in a directory of its own that may take its time.
    fn script(body: &str) -> (tempfile::TempDir, Script) {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("script");
        write_executable(&program, &format!("#!/bin/sh\ncd {}\n{body}", dir.path().display()));
        let script = Script::lsb("script", program, LONG);
        (dir, script)
    }

    fn start(script: &Script, action: Action) -> Run {
        let environment = environment(script, "gateway", 2, &[("CROSSWIRE_GROUP", "gateway"), (NODE_VARIABLE, "gw1")]);
        Run::start(script, action, &environment, now()).expect("a process")
    }

    /// How its first process has ended, if it has; not reaped.
    fn how_it_ended(run: &Run) -> Option<Ended> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(run.pid()), flags).expect("a child") {
            WaitStatus::Exited(_, code) => Some(Ended::Exited(code)),
            WaitStatus::Signaled(_, signal, _) => Some(Ended::Killed(signal)),
            _ => None,
        }
    }

    /// Lives through the run as the guard's loop does; returns whether it succeeded.
    fn to_end(run: &mut Run) -> bool {
        loop {
            run.read_output();
            assert!(run.pass_deadline(now()), "it cannot be killed");
            if let Some(how) = how_it_ended(run) {
                let is_success = run.ended(how);
                waitpid(run.pid(), None).expect("reaped");
                return is_success;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets the clock reach the deadline, whatever time it is.
    fn expire(run: &mut Run) {
        assert!(run.pass_deadline(run.deadline()), "there is something left to try");
    }

    fn file(dir: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(dir.path().join(name)).unwrap_or_default()
    }

    /// The process whose number the script writes into `child`.
    fn child_of(dir: &tempfile::TempDir) -> Pid {
        wait_for("the script's child", || file(dir, "child").ends_with('\n'));
        Pid::from_raw(file(dir, "child").trim().parse().expect("a pid"))
    }

    fn is_alive(pid: Pid) -> bool {
        // A zombie that nobody reaps still has its pid, but no program.
        kill(pid, None).is_ok() && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
    }

    fn wait_for(what: &str, is_so: impl Fn() -> bool) {
        let give_up = now() + Span::from_s(30);
        while !is_so() {
            assert!(now() < give_up, "{what}: it does not happen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_script_sees_its_argument_and_environment_and_nothing_else() {
        let (dir, script) = script(
            "env | sort > env; echo $1 > argument; readlink /proc/self/fd/0 > input\ncut -d' ' -f6 /proc/$$/stat > session; grep SigBlk /proc/self/status > mask",
        );
        let mut run = start(&script, Action::Start);
        let pid = run.pid();
        assert!(to_end(&mut run));
        let env = file(&dir, "env");
        assert!(env.contains("CROSSWIRE_GROUP=gateway\n") && env.contains("PATH=/usr/local/sbin:"), "{env}");
        assert!(!env.contains("HOME=") && !env.contains("CARGO"), "{env}");
        assert_eq!(file(&dir, "argument"), "start\n");
        assert_eq!(file(&dir, "input"), "/dev/null\n");
        assert_eq!(file(&dir, "session").trim(), pid.to_string());
        assert!(file(&dir, "mask").ends_with("0000000000000000\n"), "no signal stays blocked");
    }

    #[test]
    fn exit_codes_mean_what_each_standard_says() {
        use Standard::{Exec, Ha, Lsb, Ocf};
        for (standards, action, code, expected) in [
            (&[Lsb, Ocf, Ha, Exec][..], Action::Start, 0, true),
            (&[Lsb, Ocf, Ha, Exec], Action::Start, 1, false),
            (&[Lsb, Ocf, Ha, Exec], Action::Start, 7, false),
            (&[Lsb, Ocf, Ha, Exec], Action::Stop, 0, true),
            (&[Lsb, Ocf, Ha], Action::Stop, 7, true),
            (&[Exec], Action::Stop, 7, false),
            (&[Lsb, Ocf, Ha, Exec], Action::Stop, 5, false),
        ] {
            for standard in standards {
                let said = is_success(*standard, action, Ended::Exited(code));
                assert_eq!(said, expected, "{standard:?} {action:?} {code}");
                assert!(!is_success(*standard, action, Ended::Killed(Signal::SIGHUP)));
            }
        }
        for (action, code, expected) in [(Action::Start, 0, true), (Action::Start, 3, false), (Action::Stop, 7, true)] {
            let (_dir, script) = script(&format!("exit {code}"));
            assert_eq!(to_end(&mut start(&script, action)), expected, "{action:?} {code}");
        }
    }

    #[test]
    fn an_ocf_agent_sees_its_parameters_and_who_it_is() {
        let (dir, mut script) = script("env | grep OCF | sort > env; echo \"$@\" > arguments");
        script.standard = Standard::Ocf;
        script.text = "ocf:heartbeat:Filesystem device=/dev/sdc1 options='noatime, ro'".to_owned();
        script.parameters = vec![("device".into(), "/dev/sdc1".into()), ("options".into(), "noatime, ro".into())];
        assert!(to_end(&mut start(&script, Action::Stop)));
        let expected = "OCF_RA_VERSION_MAJOR=1\nOCF_RA_VERSION_MINOR=1\nOCF_RESKEY_device=/dev/sdc1\n\
                        OCF_RESKEY_options=noatime, ro\nOCF_RESOURCE_INSTANCE=gateway-2\n\
                        OCF_RESOURCE_PROVIDER=heartbeat\nOCF_RESOURCE_TYPE=Filesystem\nOCF_ROOT=/usr/lib/ocf\n";
        assert_eq!((file(&dir, "env").as_str(), file(&dir, "arguments").as_str()), (expected, "stop\n"));
    }

    #[test]
    fn arguments_stand_before_the_action_and_the_first_program_that_exists_is_run() {
        let (dir, mut script) = script("echo \"$#: $*, $HA_CURHOST\" > said");
        script.standard = Standard::Ha;
        script.programs.insert(0, dir.path().join("no-such-script"));
        script.arguments = vec!["/dev/sdc1".into(), "/srv".into()];
        assert!(to_end(&mut start(&script, Action::Start)));
        assert_eq!(file(&dir, "said"), "3: /dev/sdc1 /srv start, gw1\n");
        // One that is there but cannot be run is not passed over.
        fs::write(&script.programs[0], "").expect("written");
        assert!(!to_end(&mut start(&script, Action::Start)));
    }

    #[test]
    fn a_script_that_takes_too_long_is_ended_by_the_clock() {
        let (_dir, mut script) = script("exec sleep 1000");
        script.start_timeout = Span::from_ms(300);
        let started = now();
        assert!(!to_end(&mut start(&script, Action::Start)));
        assert!(now().since(started) >= Span::from_ms(300), "not before its time");
    }

    #[test]
    fn a_script_that_hangs_and_ignores_term_is_killed_with_its_group() {
        let (dir, script) = script("trap '' TERM\nsleep 1000 & echo $! > child\nwhile :; do sleep 1; done");
        let mut run = start(&script, Action::Start);
        let child = child_of(&dir);
        let timeout = run.deadline();
        expire(&mut run);
        assert_eq!(run.deadline(), timeout + INTERRUPT_GRACE);
        std::thread::sleep(Duration::from_millis(200));
        assert!(how_it_ended(&run).is_none() && is_alive(child), "it ignores TERM");
        expire(&mut run);
        assert_eq!(run.deadline(), timeout + INTERRUPT_GRACE + KILL_GRACE);
        assert!(!to_end(&mut run));
        wait_for("the end of its child", || !is_alive(child));
    }

    #[test]
    fn what_a_hanging_script_leaves_behind_when_it_obeys_goes_too() {
        let (dir, script) = script("(trap '' TERM; sleep 1000 & echo $! > child; wait) &\nsleep 1000");
        let mut run = start(&script, Action::Start);
        let child = child_of(&dir);
        expire(&mut run);
        assert!(!to_end(&mut run));
        assert_eq!(run.stage, Stage::Terminated, "it obeyed");
        wait_for("the end of its child", || !is_alive(child));
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_open_holds_nothing_up_and_lives_on() {
        let daemon = "while [ ! -e go ]; do sleep 0.1; done; echo later; echo again; : > said; exec sleep 1000";
        let (dir, script) = script(&format!("({daemon}) & echo $! > child\necho started"));
        let mut run = start(&script, Action::Start);
        assert!(to_end(&mut run), "although its child has not said all that it has to say");
        let child = child_of(&dir);
        let mut output = run.into_output().expect("the daemon has the other end");
        fs::write(dir.path().join("go"), "").expect("written");
        wait_for("its words", || dir.path().join("said").exists());
        assert!(output.read(), "the daemon's words are read and it is not cut off");
        assert!(is_alive(child));
        killpg(getpgid(Some(child)).expect("it lives"), Signal::SIGKILL).expect("ours");
        wait_for("the end of the daemon", || !is_alive(child));
    }

    #[test]
    fn a_program_that_cannot_be_executed_fails_like_any_other() {
        let (_dir, mut script) = script("exit 0");
        script.programs = vec![PathBuf::from("/etc/init.d/does-not-exist")];
        assert!(!to_end(&mut start(&script, Action::Start)));
    }

    #[test]
    fn a_flood_of_output_is_drained_and_the_script_ends() {
        let (_dir, script) =
            script("i=0; while [ $i -lt 3000 ]; do echo a line of some length that fills the pipe; i=$((i+1)); done");
        assert!(to_end(&mut start(&script, Action::Start)));
    }

    #[test]
    fn an_interrupted_start_ends_soon_and_is_no_success() {
        let (_dir, script) = script("exec sleep 1000");
        let mut run = start(&script, Action::Start);
        run.interrupt(now());
        assert!(!to_end(&mut run));
        assert_eq!(run.stage, Stage::Terminated, "TERM was enough");
    }

    /// Writing end of a pipe on which [`tell`] says that it was called.
    static TOLD: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);

    extern "C" fn tell(_signal: libc::c_int) {
        // SAFETY: one byte of a constant; a bad descriptor is refused.
        unsafe { libc::write(TOLD.load(std::sync::atomic::Ordering::SeqCst), c"!".as_ptr().cast(), 1) };
    }

    /// A process with a handler for SIGTERM, as the guard is one, that starts scripts and ends them at once. Returns how
    /// many times its own handler heard of that, or the script did not.
    fn interrupt_at_once(script: &Script) -> i32 {
        let (reader, writer) = make_pipe(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).expect("a pipe");
        TOLD.store(std::os::fd::AsRawFd::as_raw_fd(&writer), std::sync::atomic::Ordering::SeqCst);
        // SAFETY: the handler makes one system call.
        unsafe { signal(Signal::SIGTERM, SigHandler::Handler(tell)) }.expect("a handler");
        let missed = (0..50).filter(|_| {
            let run = start(script, Action::Start);
            let obeyed = kill(run.pid(), Signal::SIGTERM).and_then(|()| waitpid(run.pid(), None));
            obeyed != Ok(WaitStatus::Signaled(run.pid(), Signal::SIGTERM, false))
        });
        let missed = missed.count();
        let heard = nix::unistd::read(&reader, &mut [0; 100]).unwrap_or(0);
        i32::try_from(missed + heard).unwrap_or(100)
    }

    #[test]
    fn a_script_that_is_ended_before_it_begins_does_not_end_the_guard() {
        let (_dir, script) = script("exec sleep 1");
        // In a process of its own: a handler belongs to all threads.
        // SAFETY: the child runs on an allocator that survives a fork, and leaves by _exit.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Parent { child } => assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0))),
            ForkResult::Child => {
                let code = interrupt_at_once(&script);
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(code) }
            }
        }
    }
}
