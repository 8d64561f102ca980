//! The privileged process: it holds what the agent decides to hold, and lets go when the agent can no longer
//! decide.
//!
//! It parses nothing from outside, and waits for nobody: it is one poll loop, in which every call to the
//! kernel is bounded. [`Custody`](crosswire::custody::Custody) decides what is held and for whom, which
//! orders are accepted, and what is done about a lost agent; the guard is its hands. [`open`] takes the lock
//! and opens the paths, while there is still a terminal to complain to; [`run`] is all that comes after.
//! These are its folders, each of which uses those before it:
//!
//! * [`kernel`]: addresses, routes, interfaces, announcements and probes, over rtnetlink and packet sockets;
//! * [`serial`]: the paths to the peer, opened;
//! * [`scripts`]: processes that are started, listened to and ended;
//! * [`fencing`]: the end of the peer, and of a box that hangs;
//! * [`run_dir`]: the lock, the pid file, and what the next run has to know of this one;
//! * [`agent_process`]: the socket pair to the agent, and what the agent gives up;
//! * [`journal`]: the process that writes decisions to disk;
//! * [`carried`]: what is handed to a program that is executed in the place of this one;
//! * [`program`]: that program;
//! * [`event_loop`]: what woke the guard, and what it does about it.
//!
//! Beside them [`scheduling`] keeps guard and agent on time, and `sd_notify.rs` tells the service manager
//! that the guard lives.

pub mod agent_process;
pub mod carried;
mod event_loop;
pub mod fencing;
pub mod journal;
pub mod kernel;
pub mod program;
pub mod run_dir;
pub mod scheduling;
pub mod scripts;
pub mod sd_notify;
pub mod serial;
mod signals;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use log::error;
use thiserror::Error;

use crate::settings::Settings;
pub use agent_process::recipe::{Inheritance, Recipe};
use carried::{Carried, Fitted};
pub use event_loop::reload;
use event_loop::state::{Beginning, Guard};
use event_loop::turn::FAILED;
use run_dir::lock::{Lock, LockError, PID_FILE, PidFile, PidRoom};
use run_dir::marker::{self, LeftBehind};
use serial::ports::{self, OpenError};
#[cfg(feature = "upgrade")]
pub use signals::UPGRADE;
pub use signals::block_child_signal;

/// Settings for one group on `near`, for tests elsewhere.
#[cfg(test)]
pub fn settings_for_tests() -> Settings {
    testing::settings("near", &[])
}

/// What was opened while there was still a terminal to complain to.
pub struct Opened {
    lock: Lock,
    /// None in the place of another run, which has written the file.
    pid_room: Option<PidRoom>,
    paths: Vec<Result<OwnedFd, OpenError>>,
    left: LeftBehind,
    carried: Option<(Carried, Fitted)>,
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

/// Takes the lock, makes sure that no script runs that this file does not know, opens every path, and makes
/// room for the pid file. A path that is absent is tried again later; one that is refused stops the run. In
/// the place of another run, which has `carried` over what it had, the paths are opened with the agent.
pub fn open(
    settings: &Settings,
    run_dir: &Path,
    carried: Option<(Carried, Fitted)>,
) -> Result<Opened, StartError> {
    let (pair, node) = (&settings.pair, settings.my_name());
    let carried = carried.filter(|_| cfg!(feature = "upgrade"));
    let lock = match &carried {
        Some((carried, _)) => Lock::take_over(carried.own[0], pair, node, run_dir)?,
        None => Lock::take(pair, node, run_dir)?,
    };
    let left = LeftBehind::read(run_dir, &settings.groups);
    if carried.is_some() {
        return Ok(Opened { lock, pid_room: None, paths: Vec::new(), left, carried });
    }
    let count = left.strange(&settings.groups);
    if count > 0 && !settings.is_shadow() {
        return Err(StartError::Strange { count, file: run_dir.join(marker::FILE) });
    }
    let paths = open_paths(settings)?;
    let no_room =
        |error: io::Error| StartError::PidFile { file: run_dir.join(PID_FILE), why: error.to_string() };
    let pid_room = Some(PidRoom::take(run_dir).map_err(no_room)?);
    Ok(Opened { lock, pid_room, paths, left, carried: None })
}

/// Opens what can be opened of the paths, once.
///
/// # Errors
/// What no retry can mend.
pub fn open_paths(settings: &Settings) -> Result<Vec<Result<OwnedFd, OpenError>>, StartError> {
    let mut all = Vec::new();
    for path in &settings.paths {
        match ports::open_path(path) {
            Err(error @ OpenError::Refused { .. }) => {
                return Err(StartError::Path { name: path.name.clone(), error });
            }
            opened => all.push(opened),
        }
    }
    Ok(all)
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
    let Opened { lock, pid_room, paths, left, carried } = opened;
    let _pid_file = pid_room.map_or_else(|| Some(PidFile::ours(run_dir)), PidRoom::fill);
    let beginning = Beginning { stop, left, lock: lock.as_raw_fd(), carried };
    let code = match Guard::start(settings, run_dir, recipe, beginning) {
        Ok(mut guard) => {
            guard.begin(paths);
            guard.run_to_end()
        }
        Err(errno) => {
            // If an agent was started already, it ends when its end of the socket pair is closed.
            error!("the kernel gives the guard no process or socket to work with: {}", errno.desc());
            FAILED
        }
    };
    lock.give_back();
    code
}
