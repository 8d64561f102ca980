//! One run for each pair and node in a network namespace: a lock that dies with its owner, and a pid file for people.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use log::warn;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use nix::unistd::getpid;
use thiserror::Error;

/// In the run directory.
pub const PID_FILE: &str = "crosswire.pid";

/// Held as long as it lives, and by every process that inherited it.
pub struct Lock {
    _socket: OwnedFd,
}

/// Why the lock could not be taken.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("crosswire already runs for pair {pair}, node {node} on this box{}: stop that one first", process(*.pid))]
    AlreadyRuns {
        /// The pair.
        pair: String,
        /// The node.
        node: String,
        /// From the pid file, if there is one.
        pid: Option<u32>,
    },
    /// The names are too long together for a socket address.
    #[error("the names of pair {pair} and node {node} are too long together: shorten one to make 90 bytes of both")]
    NamesTooLong {
        /// The pair.
        pair: String,
        /// The node.
        node: String,
    },
    /// The kernel refused for another reason.
    #[error("cannot take the lock of this pair and node: {}", .0.desc())]
    Kernel(Errno),
}

fn process(pid: Option<u32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}

impl Lock {
    /// Takes the lock of a pair and node: the abstract socket `\0crosswire/PAIR/NODE` (unix(7)), which exists once in
    /// a network namespace, needs no writable disk, and cannot be left behind. `run_dir` is where the pid file of
    /// whoever has it may be.
    pub fn take(pair: &str, node: &str, run_dir: &Path) -> Result<Self, LockError> {
        let names = || (pair.to_owned(), node.to_owned());
        let address = UnixAddr::new_abstract(format!("crosswire/{pair}/{node}").as_bytes()).map_err(|_| {
            let (pair, node) = names();
            LockError::NamesTooLong { pair, node }
        })?;
        let socket =
            socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(LockError::Kernel)?;
        match bind(socket.as_raw_fd(), &address) {
            Ok(()) => Ok(Self { _socket: socket }),
            Err(Errno::EADDRINUSE) => {
                let (pair, node) = names();
                Err(LockError::AlreadyRuns { pair, node, pid: read_pid(&run_dir.join(PID_FILE)) })
            }
            Err(errno) => Err(LockError::Kernel(errno)),
        }
    }
}

/// Room for our pid file, made while there is still a terminal to complain to: without the file nothing finds the daemon again,
/// neither to stop it nor to reload it.
#[derive(Debug)]
pub struct PidRoom {
    path: PathBuf,
    new: PathBuf,
    file: fs::File,
}

/// The most digits of a process number, and the end of the line.
const PID_BYTES: usize = 11;

impl PidRoom {
    /// Takes the room in a run directory, which is made if it is not there.
    ///
    /// # Errors
    /// What the file system says: no space, read-only.
    pub fn take(run_dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(run_dir)?;
        let (path, new) = (run_dir.join(PID_FILE), run_dir.join(format!(".{PID_FILE}")));
        let _ = fs::remove_file(&new);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&new)?;
        if let Err(error) = file.write_all(&[b'\n'; PID_BYTES]) {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        Ok(Self { path, new, file })
    }

    /// The file of this process, in its place.
    pub fn fill(self) -> Option<PidFile> {
        let pid = getpid().as_raw().cast_unsigned();
        let text = format!("{pid}\n");
        let filled = self.file.write_all_at(text.as_bytes(), 0).and_then(|()| self.file.set_len(text.len() as u64));
        match filled.and_then(|()| fs::rename(&self.new, &self.path)) {
            Ok(()) => Some(PidFile { path: self.path, pid }),
            Err(error) => {
                warn!("no pid file: {}: {error}", self.path.display());
                None
            }
        }
    }
}

/// Our pid file; removed when dropped, unless it has become somebody else's.
pub struct PidFile {
    path: PathBuf,
    pid: u32,
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A fork of ours drops its copy, too.
        let is_ours = getpid().as_raw().cast_unsigned() == self.pid && read_pid(&self.path) == Some(self.pid);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

/// Which process the file names.
pub fn read_pid(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use crosswire::time::Span;

    use super::*;
    use crate::clock::now;
    use crate::guard::testing::in_namespace;

    #[test]
    fn a_second_run_refuses_and_names_the_first_until_that_is_gone() {
        in_namespace(|| {
            let dir = tempfile::tempdir().expect("a directory");
            let lock = Lock::take("gateway", "gw1", dir.path()).expect("free");
            let file = PidRoom::take(dir.path()).expect("room").fill().expect("written");
            let error = Lock::take("gateway", "gw1", dir.path()).err().expect("taken").to_string();
            let pid = std::process::id();
            assert_eq!(
                error,
                format!(
                    "crosswire already runs for pair gateway, node gw1 on this box (process {pid}): stop that one first"
                )
            );
            Lock::take("gateway", "gw2", dir.path()).expect("another node has its own");
            drop((file, lock));
            // A test that forks beside this one has a copy of the lock until it executes something.
            let give_up = now() + Span::from_s(30);
            while let Err(error) = Lock::take("gateway", "gw1", dir.path()) {
                assert!(now() < give_up, "{error}");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
    }

    #[test]
    fn another_network_namespace_is_another_box() {
        in_namespace(|| {
            let dir = tempfile::tempdir().expect("a directory");
            let _lock = Lock::take("gateway", "gw1", dir.path()).expect("free");
            in_namespace(|| drop(Lock::take("gateway", "gw1", dir.path()).expect("free here")));
        });
    }

    #[test]
    fn names_too_long_are_said_so() {
        let long = "x".repeat(120);
        let error = Lock::take(&long, "gw1", Path::new("/nowhere")).err();
        assert!(matches!(error, Some(LockError::NamesTooLong { .. })));
    }

    #[test]
    fn the_pid_file_is_removed_only_by_its_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let run_dir = dir.path().join("run");
        let path = run_dir.join(PID_FILE);
        let file = PidRoom::take(&run_dir).expect("room").fill().expect("written");
        assert_eq!(read_pid(&path), Some(std::process::id()));
        fs::write(&path, "1\n").expect("somebody else's");
        drop(file);
        assert_eq!(read_pid(&path), Some(1));
        drop(PidRoom::take(&run_dir).expect("room").fill().expect("replaced"));
        assert_eq!(fs::read_dir(&run_dir).expect("a directory").count(), 0, "nothing is left");
    }

    #[test]
    fn a_run_directory_that_cannot_be_is_an_error() {
        assert!(PidRoom::take(Path::new("/proc/crosswire")).is_err());
    }
}
