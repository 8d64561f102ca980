//! `crosswire run`: the daemon.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crosswire::frame::Key;
use crosswire::quorum::timing::goes_on_without_guard;
use log::{error, info, warn};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl::{set_dumpable, set_name};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid, write};

use super::entropy::{draw, draw_entropy};
use super::option::{flag, option, options};
use crate::gather::Gather;
use crate::guard::agent_process::privileges;
use crate::guard::carried::{Carried, Fitted};
use crate::guard::scheduling::Process;
use crate::guard::serial::ports::OpenError;
use crate::operator::control::{self, DEFAULT_GROUP, DEFAULT_RUN_DIR};
use crate::operator::exit::{Exit, complain, complain_of};
use crate::operator::{recall, restraint};
use crate::settings::neighbours::KernelTables;
use crate::settings::{self, AppliedBy, KeyFile, Settings};
use crate::sys::names;
use crate::sys::process::{close_all_but, fork, ignore, limit_thread_stacks, take_over};
use crate::{agent, clock, guard, logger, private};

options! {
    /// Run the daemon
    pub struct RunOptions("run") {
        /// Configuration file
        config: PathBuf = option("--config", "FILE").or("/etc/crosswire/crosswire.toml"),
        /// Which node this box is (default: uname -n)
        node: Option<String> = option("--node", "NAME"),
        /// Where pid file and control socket go
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// Stay in the foreground and log to stderr too (under systemd to stderr alone)
        foreground: bool = flag("--foreground"),
        /// Only say why it would not start, if so
        check: bool = flag("--check"),
        /// The descriptor on which the run whose place this one takes hands over
        state: Option<u64> = option("--state", "FD").hidden(),
    }
}

/// Runs until it is told to stop. Everything that can be wrong with the configuration is said before it goes
/// into the background.
pub fn run(options: &RunOptions) -> ExitCode {
    let state = options.state.filter(|_| cfg!(feature = "upgrade"));
    let carried = match state.map(|state| Carried::read(RawFd::try_from(state).unwrap_or(-1))) {
        Some(Err(why)) => return complain(Exit::Refused, false, &format_args!("crosswire: {why}")).into(),
        Some(Ok(carried)) => Some(carried),
        None => None,
    };
    forget_the_caller(&mut carried.as_ref().map(Carried::descriptors).unwrap_or_default());
    let options = &options.made_absolute();
    let carried = match carried {
        Some(carried) if !options.check => return go_on(options, carried),
        carried => carried,
    };
    let settings = match Settings::load(&options.config, options.node.as_deref()) {
        Ok(settings) => settings,
        Err(list) => return complain_of(&list).into(),
    };
    let contradicted = settings.contradicted();
    if !contradicted.is_empty() {
        return complain_of(&contradicted).into();
    }
    let keys = match KeyFile::load(&settings.key_file) {
        Ok(keys) => keys,
        Err(error) => return complain_of(&[error]).into(),
    };
    if let Some(carried) = &carried {
        return rehearse(options, settings, carried).into();
    }
    if options.check {
        // The daemon would start all the same, since ports and interfaces may come late; whoever checks
        // before a restart has to know.
        for lack in settings.absent() {
            let _ = complain(Exit::Done, false, &format_args!("warning: {lack}"));
        }
        return Exit::Done.into();
    }
    match start(options, &settings) {
        Ok(started) => live(options, &settings, keys, started),
        Err((exit, line)) => complain(exit, false, &format_args!("crosswire: {line}")).into(),
    }
}

/// Whether this build could go on with what the running daemon would hand over.
fn rehearse(options: &RunOptions, settings: Settings, carried: &Carried) -> Exit {
    let refused = |why: &str| complain(Exit::Refused, false, &format_args!("crosswire: {why}"));
    if let Err(why) = fit(carried, settings) {
        return refused(&why);
    }
    // From here on something is read that somebody may have written who has taken over an agent.
    match privileges::drop_all(&options.run_dir, 0) {
        Ok(_) if agent::can_succeed(&carried.deposit) => Exit::Done,
        Ok(_) => refused("this version cannot read what the agent would leave to it"),
        Err(error) => refused(&error.to_string()),
    }
}

/// Goes on in the place of another run, which has executed this one. By its rehearsal all of this is as it
/// should be. If the file has become another one since, everything goes on by the one of then.
fn go_on(options: &RunOptions, carried: Carried) -> ExitCode {
    let _ = set_name(c"crosswire");
    let node = options.node.as_deref();
    let now = Settings::load(&options.config, node).ok().and_then(|new| fit(&carried, new).ok());
    let then = || carried.fit(carried.settings_of_then(&options.config, node)?);
    let fitted = now.map_or_else(then, Ok);
    let lived = fitted.and_then(|(settings, fitted)| be_next(options, &settings, carried, fitted));
    lived.unwrap_or_else(|why| complain(Exit::Refused, false, &format_args!("crosswire: {why}")).into())
}

fn be_next(
    options: &RunOptions,
    settings: &Settings,
    carried: Carried,
    fitted: Fitted,
) -> Result<ExitCode, String> {
    let keys = KeyFile::load(&fitted.new.key_file).map_err(|error| error.to_string())?;
    let mut control = carried.control.iter().map(|descriptor| take_over(*descriptor));
    let (Some(Ok(root)), members) = (control.next(), control.next().and_then(Result::ok)) else {
        return Err("no control socket was handed over".to_owned());
    };
    let _ = recall::begin(&options.run_dir, fitted.new.journal_base().as_deref());
    let opened = guard::open(settings, &options.run_dir, Some((carried, fitted)));
    let opened = opened.map_err(|error| error.to_string())?;
    Ok(live(options, settings, keys, Started { opened, control: root, members }))
}

/// How what was handed over fits these settings.
fn fit(carried: &Carried, new: Settings) -> Result<(Settings, Fitted), String> {
    let (old, fitted) = carried.fit(new)?;
    let changes = settings::changes(&old, &fitted.new, AppliedBy::Upgrade);
    changes.map(|_| (old, fitted)).map_err(|lines| lines.join("; "))
}

/// Drops what the caller left us: its descriptors and its umask reach neither us nor our scripts, and its
/// directory is not kept busy.
pub(super) fn forget_the_caller(kept: &mut [RawFd]) {
    close_all_but(kept);
    umask(Mode::from_bits_truncate(0o022));
}

impl RunOptions {
    /// The options with full paths, since the daemon goes to the root directory.
    fn made_absolute(&self) -> Self {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let there = Self { config: absolute(&self.config), run_dir: absolute(&self.run_dir), ..self.clone() };
        let _ = chdir(c"/");
        there
    }

    /// The command line that says the same.
    fn command(&self) -> Vec<CString> {
        let mut words = vec![OsStr::new("crosswire"), OsStr::new("run"), OsStr::new("--config")];
        words.extend([self.config.as_os_str(), OsStr::new("--run-dir"), self.run_dir.as_os_str()]);
        words.extend(self.node.iter().flat_map(|node| [OsStr::new("--node"), OsStr::new(node)]));
        words.extend(self.foreground.then_some(OsStr::new("--foreground")));
        words.into_iter().filter_map(|word| CString::new(word.as_bytes()).ok()).gather()
    }
}

/// What was opened while there was still a terminal to complain to.
struct Started {
    opened: guard::Opened,
    control: OwnedFd,
    /// For members of the group, where there is one.
    members: Option<OwnedFd>,
}

fn start(options: &RunOptions, settings: &Settings) -> Result<Started, (Exit, String)> {
    let refused = |what: &str, why: &dyn std::fmt::Display| (Exit::Refused, format!("{what}: {why}"));
    let not_started = |error: guard::StartError| {
        let exit = match error {
            guard::StartError::Lock(_)
            | guard::StartError::Strange { .. }
            | guard::StartError::PidFile { .. } => Exit::Refused,
            // The user of the port may leave it soon.
            guard::StartError::Path { error: OpenError::Refused { errno: Errno::EBUSY, .. }, .. } => {
                Exit::Refused
            }
            guard::StartError::Path { .. } => Exit::Configuration,
        };
        (exit, error.to_string())
    };
    if let Err(error) = private::directory(&options.run_dir) {
        // If we are not root, we may not open the ports either, and that error says more.
        if !Uid::effective().is_root() {
            guard::open_paths(settings).map_err(not_started)?;
        }
        return Err(refused("the run directory", &error));
    }
    let opened = open(options, settings).map_err(not_started)?;
    restraint::begin(&options.run_dir, &restraint::file(&settings.state, &settings.pair, settings.my_name()))
        .and_then(|()| recall::begin(&options.run_dir, settings.journal_base().as_deref()))
        .map_err(|error| refused("the run directory", &error))?;
    let control = control::listen_in(&options.run_dir)
        .map_err(|error| refused(&format!("the control socket in {}", options.run_dir.display()), &error))?;
    let group = settings.group.as_deref().unwrap_or(DEFAULT_GROUP);
    let members = control::listen_to_members(&options.run_dir, names::group(group)).unwrap_or_else(|error| {
        let what = format_args!("warning: members of the group {group} cannot ask: {error}");
        let _ = complain(Exit::Done, false, &what);
        None
    });
    Ok(Started { opened, control, members })
}

/// Opens what there has to be. Whether or not the last guard has ended as planned, its agent may still have
/// the ports; it holds nothing, ends within a known time, and is waited for.
fn open(options: &RunOptions, settings: &Settings) -> Result<guard::Opened, guard::StartError> {
    let until = clock::now() + goes_on_without_guard(&settings.policy);
    let mut is_awaited = false;
    loop {
        let opened = guard::open(settings, &options.run_dir, None);
        let Err(guard::StartError::Path { error, .. }) = &opened else { return opened };
        let is_in_use = matches!(error.errno(), Errno::EBUSY | Errno::EADDRINUSE);
        // We have the lock: no guard of ours runs.
        if !is_in_use || clock::now() >= until || !(is_awaited || is_agent_there(&options.run_dir)) {
            return opened;
        }
        if !is_awaited {
            let _ = complain(Exit::Done, false, &awaited(settings));
            is_awaited = true;
        }
        std::thread::sleep(TRY_EVERY);
    }
}

/// How often a port is tried that an agent still has.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Whether an agent answers in a run directory.
fn is_agent_there(run_dir: &Path) -> bool {
    control::ask(run_dir, &control::Question::Status).is_ok()
}

/// Whether the guard of a daemon was killed, and its agent is still there.
#[cfg(feature = "moments")]
pub(super) fn has_lost_guard(run_dir: &Path) -> bool {
    use crate::guard::run_dir::lock::{PID_FILE, read_pid};

    let guard = read_pid(&run_dir.join(PID_FILE)).map(|pid| nix::unistd::Pid::from_raw(pid.cast_signed()));
    let is_gone = |pid| nix::sys::signal::kill(pid, None) == Err(Errno::ESRCH);
    guard.is_some_and(is_gone) && is_agent_there(run_dir)
}

#[cfg(not(feature = "moments"))]
pub(super) const fn has_lost_guard(_: &Path) -> bool {
    false
}

/// What a start does while the agent of an earlier run has its ports.
pub(super) fn awaited(settings: &Settings) -> String {
    let bound = goes_on_without_guard(&settings.policy);
    format!("the agent of a killed guard has the ports, for {bound} at most: a start waits")
}

/// Goes into the background, becomes the guard, and lives.
fn live(options: &RunOptions, settings: &Settings, keys: Vec<Key>, started: Started) -> ExitCode {
    if !options.foreground
        && options.state.is_none()
        && let Err(end) = go_into_background()
    {
        return end.into();
    }
    logger::start(options.foreground);
    info!("pair {}, this is {}, its peer is {}", settings.pair, settings.my_name(), settings.peer_name());
    let code = be_guard(options, settings, keys, started).unwrap_or_else(|errno| {
        error!("cannot become a guard: {}", errno.desc());
        Exit::Refused.into()
    });
    log::logger().flush();
    code
}

fn be_guard(
    options: &RunOptions,
    settings: &Settings,
    keys: Vec<Key>,
    started: Started,
) -> nix::Result<ExitCode> {
    let Started { opened, control, members } = started;
    guard::block_child_signal()?;
    // Since Linux 5.18, the first process that asks a box without entropy makes some in the kernel, without
    // waiting. A real-time process, as an agent is from its first instant, would exceed its limit of
    // computing time by that. So the guard asks first.
    let _ = draw();
    become_realtime(Process::Guard, settings);
    // The keys are in our memory, and must not get onto a disk.
    if let Err(errno) = set_dumpable(false) {
        warn!("a crash of the guard may leave its memory on a disk: {}", errno.desc());
    }
    let stop = OwnedFd::from(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
    let wakes = stop.try_clone().map_err(|_| Errno::EMFILE)?;
    // An eventfd takes eight bytes, and this one wakes the guard's loop.
    let wake = move || {
        let _ = write(&wakes, &1u64.to_ne_bytes());
    };
    // All memory is locked: a thread that only waits must not use two megabytes of it for its stack.
    limit_thread_stacks(SIGNAL_THREAD_STACK_BYTES);
    if let Err(error) = ctrlc::set_handler(wake) {
        warn!("SIGTERM will not hand over: {error}");
    }
    // They wait since another run has executed this one.
    [Signal::SIGINT, Signal::SIGTERM].into_iter().collect::<SigSet>().thread_unblock()?;
    let keeps: Vec<_> = [&control].into_iter().chain(&members).map(AsRawFd::as_raw_fd).gather();
    let become_agent =
        |settings: &Settings, keys: &[Key], link: OwnedFd, inheritance: Option<guard::Inheritance>| {
            // The guard's own copies stay open in the child: their owners are never dropped there.
            let copies = control.try_clone().and_then(|control| {
                let members = members.as_ref().map(OwnedFd::try_clone).transpose()?;
                Ok(agent::Sockets { guard: link, control, members })
            });
            be_agent(&options.run_dir, settings, keys, copies, inheritance)
        };
    let command = if cfg!(feature = "upgrade") { options.command() } else { Vec::new() };
    let recipe = guard::Recipe { become_agent: &become_agent, keys, keeps: &keeps, command: &command };
    Ok(guard::run(settings, &options.run_dir, recipe, stop, opened))
}

fn become_realtime(process: Process, settings: &Settings) {
    let missed = guard::scheduling::become_realtime(process, settings.is_realtime);
    if !missed.is_empty() {
        let who = if process == Process::Guard { "guard" } else { "agent" };
        warn!("the {who}: {}", missed.join(", "));
    }
}

/// The life of an agent, in a child of the guard. Returns its exit code.
fn be_agent(
    run_dir: &Path,
    settings: &Settings,
    keys: &[Key],
    sockets: std::io::Result<agent::Sockets>,
    inheritance: Option<guard::Inheritance>,
) -> u8 {
    // A terminal's Ctrl-C reaches both processes; the guard decides what it means.
    ignore(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE]);
    // The first agent has logged what this box does not grant.
    if inheritance.is_none() {
        become_realtime(Process::Agent, settings);
    } else {
        let _ = guard::scheduling::become_realtime(Process::Agent, settings.is_realtime);
    }
    // Entropy is drawn while there is a /dev, and the restraint is read while this process may.
    let entropy = draw_entropy(keys);
    let restraint = restraint::of_run(run_dir, clock::now());
    let tables = KernelTables::open();
    match privileges::drop_all(run_dir, 0) {
        Ok(mut dropped) => {
            dropped.drop_calls();
            for kept in dropped.kept {
                warn!("the agent could not give up {kept}");
            }
        }
        Err(error) => {
            error!("the agent will not run: {error}");
            return REFUSED;
        }
    }
    match (entropy, sockets) {
        (Ok(entropy), Ok(sockets)) => {
            agent::run(settings, keys, entropy, sockets, inheritance, restraint, tables)
        }
        (Err(error), _) => {
            error!("the kernel gives no random numbers: {error}");
            REFUSED
        }
        (_, Err(error)) => {
            error!("the agent has no control socket: {error}");
            REFUSED
        }
    }
}

/// The exit code of an agent that will not run.
const REFUSED: u8 = 1;

/// Stack of the thread that turns a signal into a wake-up.
const SIGNAL_THREAD_STACK_BYTES: &str = "65536";

/// Goes on as a daemon.
///
/// # Errors
/// How the process that is no daemon ends: whoever started it, or one that cannot become one, which says why.
pub(super) fn go_into_background() -> Result<(), Exit> {
    match part() {
        Ok(Part::Parent) => Err(Exit::Done),
        Ok(Part::Daemon) => Ok(()),
        Err(errno) => {
            let what = format_args!("crosswire: cannot go into the background: {}", errno.desc());
            Err(complain(Exit::Refused, false, &what))
        }
    }
}

/// Which of the two we are after going into the background.
enum Part {
    /// Whoever started us.
    Parent,
    /// The process that lives on.
    Daemon,
}

fn part() -> nix::Result<Part> {
    let null = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    match fork()? {
        ForkResult::Parent { .. } => Ok(Part::Parent),
        ForkResult::Child => {
            setsid()?;
            dup2_stdin(&null)?;
            dup2_stdout(&null)?;
            dup2_stderr(&null)?;
            Ok(Part::Daemon)
        }
    }
}
