//! Becoming a script: a process in a session of its own, with the environment of its standard.

use std::ffi::{CStr, CString};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, pipe2, setsid, write};

use crosswire::custody::Action;
use crosswire::time::Span;

use crate::guard::scheduling::become_ordinary;
use crate::settings::{Script, Standard};
use crate::sys::process::{close_all_but, fork_into, handle_by_default, leave};

/// What the shell answers for a program that cannot be executed.
const CANNOT_EXECUTE: i32 = 126;

/// Starts a program and returns its process and the reading end of its output.
///
/// The standard library would wait until the program is executed, and so for a dead network disk. This does
/// not wait.
pub fn spawn(script: &Script, action: &str, environment: &[CString]) -> nix::Result<(Pid, OwnedFd)> {
    let mut programs = Vec::new();
    for path in &script.programs {
        programs.push(c_string(path.as_os_str().as_bytes())?);
    }
    let action = c_string(action.as_bytes())?;
    let is_action_first = script.standard == Standard::Systemd;
    let mut arguments = Vec::new();
    arguments.extend(programs.first().cloned());
    if is_action_first {
        arguments.push(action.clone());
    }
    for word in &script.arguments {
        arguments.push(c_string(word.as_bytes())?);
    }
    if !is_action_first {
        arguments.push(action);
    }
    let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    spawn_program(&programs, &arguments, environment, &null, None)
}

/// Starts the first of these programs that exists, with that input. One descriptor may be kept open for it
/// until it is executed. Returns its process and the reading end of its output.
///
/// # Errors
/// What the kernel says.
pub fn spawn_program(
    programs: &[CString],
    arguments: &[CString],
    environment: &[CString],
    input: &OwnedFd,
    kept: Option<RawFd>,
) -> nix::Result<(Pid, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // Signals are blocked until the child has dropped our handlers, which would take a signal to the child
    // for one to the guard.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // The child makes system calls only, on memory that was set up before, and ends in exec or _exit.
    let child = fork_into(|| become_program(programs, arguments, environment, input, &writer, kept));
    before.thread_set_mask()?;
    Ok((child?, reader))
}

/// Runs the first of these programs that exists, and returns what it wrote; nothing if it cannot be run. This
/// waits, so it is only for commands, never for the daemon's loop.
#[cfg(feature = "import")]
pub fn ask(programs: &[CString], arguments: &[&str]) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = try_to_ask(programs, arguments, &mut said);
    said
}

#[cfg(feature = "import")]
fn try_to_ask(programs: &[CString], arguments: &[&str], said: &mut Vec<u8>) -> nix::Result<()> {
    let arguments: Vec<CString> =
        arguments.iter().map(|word| c_string(word.as_bytes())).collect::<nix::Result<_>>()?;
    let environment = [SEARCH_PATH.to_owned()];
    let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let child = fork_into(|| become_program(programs, &arguments, &environment, &null, &writer, None))?;
    drop(writer);
    let mut bytes = [0; 256];
    loop {
        match nix::unistd::read(&reader, &mut bytes) {
            Ok(0) => break,
            Ok(length) => said.extend_from_slice(bytes.get(..length).unwrap_or_default()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    nix::sys::wait::waitpid(child, None).map(|_| ())
}

/// In the child: a session of its own, default signals, the given input and output, then the first of the
/// programs that exists. One descriptor may be kept open until then.
pub fn become_program<S: AsRef<CStr>>(
    programs: &[S],
    arguments: &[S],
    environment: &[CString],
    input: &OwnedFd,
    output: &OwnedFd,
    mut kept: Option<RawFd>,
) -> ! {
    let mut prepare = || -> nix::Result<()> {
        setsid()?;
        handle_by_default(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE])?;
        SigSet::empty().thread_set_mask()?;
        // The guard's priority and limits are not for its scripts.
        become_ordinary();
        umask(Mode::from_bits_truncate(0o022));
        dup2_stdin(input)?;
        dup2_stdout(output)?;
        dup2_stderr(output)?;
        // Neither our descriptors nor those of the process that started us.
        close_all_but(kept.as_mut_slice());
        chdir(c"/")
    };
    let mut failed = prepare().err();
    for program in programs {
        if matches!(failed, None | Some(Errno::ENOENT)) {
            failed = execve(program.as_ref(), arguments, environment).err();
        }
    }
    for part in ["cannot be executed: ", failed.map_or("", Errno::desc), "\n"] {
        let _ = write(std::io::stdout(), part.as_bytes());
    }
    leave(CANNOT_EXECUTE)
}

/// Everything that a script sees of the world: a search path, what `variables` say, and what its standard
/// wants. `instance` is one more than its place among the scripts of the group called `group`.
pub fn environment(
    script: &Script,
    action: Action,
    group: &str,
    instance: usize,
    variables: &[(&str, &str)],
) -> Vec<CString> {
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
            // An OCF agent takes a look with interval 0 for a look at something that was perhaps never
            // started (ocf_is_probe of its shell functions). Our looks come after the start.
            let every =
                script.monitor.filter(|_| action == Action::Monitor).map_or(Span::ZERO, |plan| plan.every);
            for (name, span) in [("interval", every), ("timeout", timeout(script, action))] {
                add(&format!("OCF_RESKEY_CRM_meta_{name}"), &span.as_ms().to_string());
            }
            for (name, value) in &script.parameters {
                // How thorough a look is; that is no parameter of the resource.
                let prefix = if name == CHECK_LEVEL { "" } else { "OCF_RESKEY_" };
                add(&format!("{prefix}{name}"), value);
            }
        }
        // What Heartbeat's own scripts ask for, beside what they set themselves.
        Standard::Ha => variables
            .iter()
            .filter(|(name, _)| *name == NODE_VARIABLE)
            .for_each(|(_, node)| add("HA_CURHOST", node)),
        Standard::Lsb | Standard::Exec | Standard::Systemd => {}
    }
    all
}

/// The longest that an action may take.
pub fn timeout(script: &Script, action: Action) -> Span {
    match action {
        Action::Start => script.start_timeout,
        Action::Stop => script.stop_timeout,
        Action::Monitor => script.monitor_timeout(),
    }
}

/// Where programs look for others.
pub const SEARCH_PATH: &CStr = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The name that OCF has for how thorough a look is.
const CHECK_LEVEL: &str = "OCF_CHECK_LEVEL";

/// Name of the variable that tells a script on which node it runs.
pub const NODE_VARIABLE: &str = "CROSSWIRE_NODE";

/// A text for the kernel.
pub fn c_string(bytes: &[u8]) -> nix::Result<CString> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}
