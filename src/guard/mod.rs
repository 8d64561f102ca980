//! The privileged process: it holds what the agent decides to hold, and lets go when the agent can no longer
//! decide.
//!
//! It parses nothing from outside, and waits for nobody: one poll loop, in which every call to the kernel is
//! bounded. What is held and for whom, which orders are accepted and what is done about a lost agent is
//! decided by [`Custody`](crosswire::custody::Custody); the guard is its hands. From top to bottom:
//!
//! * [`open`] takes the lock and opens the paths, while there is still a terminal to complain to; [`run`] is
//!   all that comes after;
//! * `turns.rs` is the loop: what woke us, and in which order it is handed in;
//! * `effects.rs` carries out what custody asks for, `notes.rs` puts it into words;
//! * `marker.rs` is what the next run of the daemon knows of this one, should both processes be killed;
//! * `agent_process.rs` starts the agent as a child ([`privileges`] is that child's first act), and another
//!   one in its place; `agent_link.rs` is the socket pair to it, in the words of [`wire`];
//! * `duty.rs` is one group beside its state: its script (`scripts.rs`, `spawn.rs`, `output.rs`), its
//!   announcements (`announce.rs`);
//! * [`reload`] reads the configuration anew, and changes what it can;
//! * `notify.rs` tells the operator's program what changes, `supervisor.rs` the service manager that we live;
//! * [`punctual`] keeps both processes on time;
//! * `addresses.rs` (over `netlink.rs`), `probe.rs` (over `ethernet.rs` and `packets.rs`), `links.rs`,
//!   `interface.rs` and `ports.rs` are the hands, `fence.rs` (in a child, `fence_run.rs`) is the end of the
//!   peer, `watchdog.rs` of a box that hangs, `self_fence.rs` of one that cannot let go, `lock.rs` makes sure
//!   that there is one pair of them.

mod addresses;
mod agent_link;
mod agent_process;
mod announce;
mod duty;
mod effects;
pub mod ethernet;
pub mod fence;
mod fence_run;
pub mod interface;
mod links;
pub mod lock;
mod marker;
mod netlink;
mod notes;
mod notify;
mod output;
pub mod packets;
pub mod ports;
pub mod privileges;
pub mod probe;
pub mod punctual;
pub mod reload;
mod routes;
mod scripts;
mod self_fence;
pub mod spawn;
mod strays;
mod supervisor;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod turns;
mod watchdog;
pub mod wire;
pub mod witness;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use log::error;
use nix::sys::signal::{SigSet, Signal};
use thiserror::Error;

use crate::settings::Settings;
pub use agent_process::{Inheritance, Recipe, close_all_but};
use lock::{Lock, LockError, PID_FILE, PidRoom};
use marker::LeftBehind;
pub use ports::OpenError;
use supervisor::Supervisor;
use turns::Guard;

/// Settings for one group on `near`, for tests elsewhere.
#[cfg(test)]
pub fn settings_for_tests() -> Settings {
    testing::settings("near", &[])
}

/// The exit code of a run that ended otherwise than planned.
const FAILED: u8 = 1;

/// What was opened while there was still a terminal to complain to.
pub struct Opened {
    lock: Lock,
    pid_room: PidRoom,
    paths: Vec<Result<OwnedFd, OpenError>>,
    left: LeftBehind,
}

/// Why a run cannot begin: one line with its remedy.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum StartError {
    /// Another run has the lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Something may run that it could not stop.
    #[error(
        "an earlier run was killed, and {count} scripts that it has started are not in this file: they may \
            still run; \
         start with the file of then, or stop them by hand and remove {}",
        .file.display()
    )]
    Strange {
        /// How many.
        count: usize,
        /// Where it says so.
        file: PathBuf,
    },
    /// Nothing would find the daemon again.
    #[error("the pid file {} cannot be written: {why}; make room there, or give another \
        --run-dir", .file.display())]
    PidFile {
        /// Where it should be.
        file: PathBuf,
        /// What the file system says.
        why: String,
    },
    /// A path must not be used.
    #[error("path {name}: {error}")]
    Path {
        /// The path's name.
        name: String,
        /// What is wrong with it.
        error: OpenError,
    },
}

/// Takes the lock, sees that nothing runs that this file does not know, opens every path, and makes room for
/// the pid file. A path that is absent is tried again later; one that is refused stops the run.
pub fn open(settings: &Settings, run_dir: &Path) -> Result<Opened, StartError> {
    let lock = Lock::take(&settings.pair, settings.my_name(), run_dir)?;
    let left = LeftBehind::read(run_dir, &settings.groups);
    let count = left.strange(&settings.groups);
    if count > 0 {
        return Err(StartError::Strange { count, file: run_dir.join(marker::FILE) });
    }
    let paths = open_paths(settings)?;
    let no_room =
        |error: io::Error| StartError::PidFile { file: run_dir.join(PID_FILE), why: error.to_string() };
    let pid_room = PidRoom::take(run_dir).map_err(no_room)?;
    Ok(Opened { lock, pid_room, paths, left })
}

/// Opens what can be opened of the paths, once.
///
/// # Errors
/// What no retry can mend.
pub fn open_paths(settings: &Settings) -> Result<Vec<Result<OwnedFd, OpenError>>, StartError> {
    let open_one = |path: &crate::settings::PathSettings| match ports::open_path(path) {
        Err(error @ OpenError::Refused { .. }) => Err(StartError::Path { name: path.name.clone(), error }),
        opened => Ok(opened),
    };
    settings.paths.iter().map(open_one).collect()
}

/// What the guard reads from a descriptor: the end of children, and the wish for a reload.
fn signals_of_guard() -> SigSet {
    [Signal::SIGCHLD, Signal::SIGHUP].into_iter().collect()
}

/// Blocks `SIGCHLD` and `SIGHUP` in this thread and in those that it starts. The parent calls it before
/// anything starts a thread (ctrlc does), since a thread that does not block them swallows them, and the
/// guard reads them from a descriptor.
pub fn block_child_signal() -> nix::Result<()> {
    signals_of_guard().thread_block()
}

/// The guard's life: starts the agent, carries out what it orders until the daemon ends, and returns the exit
/// code: 0 after a farewell with nothing held, else 1. Nothing is held any more when it returns. It never
/// returns in a child.
///
/// `stop` is an eventfd that is written for every SIGTERM or SIGINT. The second one does not wait for the
/// agent any longer.
pub fn run(
    settings: &Settings,
    run_dir: &Path,
    recipe: Recipe<'_>,
    stop: OwnedFd,
    opened: Opened,
) -> ExitCode {
    ExitCode::from(run_to_end(settings, run_dir, recipe, stop, opened))
}

fn run_to_end(settings: &Settings, run_dir: &Path, recipe: Recipe<'_>, stop: OwnedFd, opened: Opened) -> u8 {
    let Opened { lock, pid_room, paths, left } = opened;
    let _pid_file = pid_room.fill();
    let code = match Guard::start(settings, run_dir, recipe, (stop, left)) {
        Ok(mut guard) => {
            guard.hand_over(paths);
            guard.supervisor.iter().for_each(Supervisor::tell_ready);
            guard.run_to_end()
        }
        Err(errno) => {
            // An agent that was started already ends when its end of the socket pair is closed.
            error!("the kernel gives the guard no process or socket to work with: {}", errno.desc());
            FAILED
        }
    };
    lock.give_back();
    code
}
