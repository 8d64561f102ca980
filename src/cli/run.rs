//! `crosswire run`: the daemon.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crosswire::frame::Key;
use crosswire::frame::session::Entropy;
use log::{error, info, warn};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid, write};

use super::exit::Exit;
use super::option::{flag, option, options};
use crate::control::{self, DEFAULT_RUN_DIR};
use crate::guard::privileges;
use crate::settings::{ConfigError, KeyFile, Settings};
use crate::{agent, guard, logger};

options! {
    /// Run the daemon
    pub struct RunOptions("run") {
        /// Configuration file
        config: PathBuf = option("--config", "FILE").or("/etc/crosswire/crosswire.toml"),
        /// Which node this box is (default: uname -n)
        node: Option<String> = option("--node", "NAME"),
        /// Where pid file and control socket go
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// Stay in the foreground and log to stderr too
        foreground: bool = flag("--foreground"),
    }
}

/// Runs until it is told to stop. Everything that can be wrong with the configuration is said before it goes into the background.
pub fn run(options: &RunOptions) -> ExitCode {
    let errors = |errors: Vec<ConfigError>| complain(&errors);
    let settings = match Settings::load(&options.config, options.node.as_deref()) {
        Ok(settings) => settings,
        Err(list) => return errors(list).into(),
    };
    let keys = match KeyFile::load(&settings.key_file) {
        Ok(keys) => keys,
        Err(error) => return errors(vec![error]).into(),
    };
    match start(options, &settings) {
        Ok(started) => live(options, &settings, &keys, started),
        Err((exit, line)) => {
            let _ = writeln!(std::io::stderr(), "crosswire: {line}");
            exit.into()
        }
    }
}

fn complain(errors: &[ConfigError]) -> Exit {
    let mut stderr = std::io::stderr().lock();
    for error in errors {
        let _ = writeln!(stderr, "{error}");
    }
    Exit::Configuration
}

/// What was opened while there was still a terminal to complain to.
struct Started {
    opened: guard::Opened,
    control: OwnedFd,
    entropy: Entropy,
}

fn start(options: &RunOptions, settings: &Settings) -> Result<Started, (Exit, String)> {
    let refused = |what: &str, why: &dyn std::fmt::Display| (Exit::Refused, format!("{what}: {why}"));
    let opened = guard::open(settings, &options.run_dir).map_err(|error| match error {
        guard::StartError::Lock(error) => (Exit::Refused, error.to_string()),
        guard::StartError::Path { .. } => (Exit::Configuration, error.to_string()),
    })?;
    let control = control::listen_in(&options.run_dir)
        .map_err(|error| refused(&format!("the control socket in {}", options.run_dir.display()), &error))?;
    let entropy = draw_entropy().map_err(|error| refused("the kernel gives no random numbers", &error))?;
    Ok(Started { opened, control, entropy })
}

/// A box without entropy starts all the same: only the making of keys may wait.
fn draw_entropy() -> Result<Entropy, getrandom::Error> {
    let mut entropy = Entropy { incarnation: [0; 8], secret: [0; 16] };
    match std::fs::File::open("/dev/urandom").and_then(|mut urandom| {
        std::io::Read::read_exact(&mut urandom, &mut entropy.incarnation)?;
        std::io::Read::read_exact(&mut urandom, &mut entropy.secret)
    }) {
        Ok(()) => {}
        Err(_) => {
            getrandom::fill(&mut entropy.incarnation)?;
            getrandom::fill(&mut entropy.secret)?;
        }
    }
    Ok(entropy)
}

/// Goes into the background, splits into guard and agent, and lives.
fn live(options: &RunOptions, settings: &Settings, keys: &[Key], started: Started) -> ExitCode {
    if !options.foreground {
        match go_into_background() {
            Ok(Part::Parent) => return Exit::Done.into(),
            Ok(Part::Daemon) => {}
            Err(errno) => {
                let _ = writeln!(std::io::stderr(), "crosswire: cannot go into the background: {}", errno.desc());
                return Exit::Refused.into();
            }
        }
    }
    logger::start(options.foreground);
    info!("pair {}, this is {}, its peer is {}", settings.pair, settings.my_name(), settings.peer_name());
    split(options, settings, keys, started).unwrap_or_else(|errno| {
        error!("cannot split into guard and agent: {}", errno.desc());
        Exit::Refused.into()
    })
}

fn split(options: &RunOptions, settings: &Settings, keys: &[Key], started: Started) -> nix::Result<ExitCode> {
    let Started { opened, control, entropy } = started;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let (guard_end, agent_end) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    // SAFETY: this process has no other thread yet, so the child may do whatever it likes.
    match unsafe { fork()? } {
        ForkResult::Child => {
            drop((opened, guard_end));
            Ok(be_agent(&options.run_dir, settings, keys, entropy, agent_end, control))
        }
        ForkResult::Parent { child } => {
            drop((control, agent_end));
            be_guard(&options.run_dir, settings, guard_end, child, opened)
        }
    }
}

fn be_agent(
    run_dir: &Path,
    settings: &Settings,
    keys: &[Key],
    entropy: Entropy,
    guard: OwnedFd,
    control: OwnedFd,
) -> ExitCode {
    // A terminal's Ctrl-C reaches both processes; the guard decides what it means.
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: ignoring a signal runs no code of ours.
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
    match privileges::drop_all(run_dir) {
        Ok(dropped) => {
            for kept in dropped.kept {
                warn!("the agent could not give up {kept}");
            }
        }
        Err(error) => {
            error!("the agent will not run: {error}");
            return Exit::Refused.into();
        }
    }
    agent::run(settings, keys, entropy, guard, control)
}

fn be_guard(
    run_dir: &Path,
    settings: &Settings,
    agent: OwnedFd,
    agent_pid: Pid,
    opened: guard::Opened,
) -> nix::Result<ExitCode> {
    guard::block_child_signal()?;
    let stop = OwnedFd::from(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
    let wakes = stop.try_clone().map_err(|_| Errno::EMFILE)?;
    // An eventfd takes eight bytes, and this one wakes the guard's loop.
    let wake = move || {
        let _ = write(&wakes, &1u64.to_ne_bytes());
    };
    if let Err(error) = ctrlc::set_handler(wake) {
        warn!("SIGTERM will not hand over: {error}");
    }
    Ok(guard::run(settings, run_dir, agent, agent_pid, stop, opened))
}

/// Which of the two we are after going into the background.
enum Part {
    Parent,
    Daemon,
}

fn go_into_background() -> nix::Result<Part> {
    let null = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    // SAFETY: this process has no other thread yet, so the child may do whatever it likes.
    match unsafe { fork()? } {
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
