//! One run for each pair and node in a network namespace: a lock that dies with its owner, and a pid file
//! for people.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use log::warn;
use nix::libc;
use nix::unistd::getpid;
use thiserror::Error;

use crate::operator::control::DEFAULT_RUN_DIR;
use crate::private;
use crate::sys::process::take_over;

/// In the run directory.
pub const PID_FILE: &str = "crosswire.pid";
/// The lock's directory, in the usual run directory whichever one is used: only root comes in.
const LOCK_DIR: &str = "lock";

/// The lock, which is held as long as this lives, and by every process that inherited it.
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Why the lock could not be taken.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("a daemon runs already for pair {pair}, node {node} on this box{}: stop that one \
        first", process(*.pid))]
    AlreadyRuns {
        /// The pair.
        pair: String,
        /// The node.
        node: String,
        /// From the pid file, if there is one.
        pid: Option<u32>,
    },
    /// The kernel refused for another reason.
    #[error("cannot take the lock of this pair and node: {0}")]
    Kernel(String),
}

fn process(pid: Option<u32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}

impl Lock {
    /// Takes the lock of a pair and node: a lock (flock(2)) on a file of theirs in a directory that only root
    /// can enter, so that nobody else can hold it, or take it away. There is one for each network namespace,
    /// which is a box of its own. `run_dir` is where the pid file of the holder may be, and the lock's place
    /// if it cannot be in the usual run directory.
    ///
    /// # Errors
    /// If another run has it, or no such file can be made.
    pub fn take(pair: &str, node: &str, run_dir: &Path) -> Result<Self, LockError> {
        let name = file_name(pair, node);
        let usual = Path::new(DEFAULT_RUN_DIR);
        let taken = lock_in(usual, &name).or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Err(error),
            // Read-only, full, or not ours.
            _ if run_dir != usual => lock_in(run_dir, &name),
            _ => Err(error),
        });
        taken.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                let (pair, node) = (pair.to_owned(), node.to_owned());
                LockError::AlreadyRuns { pair, node, pid: read_pid(&run_dir.join(PID_FILE)) }
            }
            _ => LockError::Kernel(error.to_string()),
        })
    }

    /// Takes the lock of a run directory: one process of that name in it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process has it, and what the file system says.
    pub fn of_run_dir(run_dir: &Path, name: &str) -> io::Result<Self> {
        lock_in(run_dir, name)
    }

    /// Goes on with the lock that another run has left open for us, whose arguments were the same.
    ///
    /// # Errors
    /// If there is none of that number.
    pub fn take_over(descriptor: RawFd, pair: &str, node: &str, run_dir: &Path) -> Result<Self, LockError> {
        let kept = take_over(descriptor).map_err(|errno| LockError::Kernel(errno.desc().to_owned()))?;
        let file = File::from(kept);
        let places =
            [Path::new(DEFAULT_RUN_DIR), run_dir].map(|dir| dir.join(LOCK_DIR).join(file_name(pair, node)));
        let path = places.into_iter().find(|path| is_at(&file, path)).unwrap_or_default();
        Ok(Self { file, path })
    }

    /// Its descriptor.
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Gives it back and leaves no file behind. A process that has opened that file meanwhile notices that it
    /// is gone.
    pub fn give_back(self) {
        if is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The name of the lock file, one for each pair, node and network namespace (`net:[4026531840]`, from Linux
/// 3.8 on). No two can have the same name, whatever the parts contain.
fn file_name(pair: &str, node: &str) -> String {
    // A process may have threads in several; its main one need not be ours.
    let namespace = fs::read_link("/proc/thread-self/ns/net").or_else(|_| fs::read_link("/proc/self/ns/net"));
    let namespace = namespace.unwrap_or_default();
    let digits: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    let hex = |name: &str| name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let whole = format!("{}.{}.{digits}", hex(pair), hex(node));
    // A file's name has 255 bytes.
    if whole.len() < 250 { whole } else { format!("{}.{digits}", hash(&whole)) }
}

fn hash(text: &str) -> String {
    format!("{:016x}", siphasher::sip::SipHasher24::new().hash(text.as_bytes()))
}

fn lock_dir(run_dir: &Path) -> io::Result<PathBuf> {
    private::directory(run_dir)?;
    let path = run_dir.join(LOCK_DIR);
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(&path)?;
    if !found.is_dir() || !private::is_own(&found) || found.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "{} is not a directory of root's alone (mode 700)",
            path.display()
        )));
    }
    Ok(path)
}

/// Opens and locks it; again, if its holder has removed it in between.
fn lock_in(run_dir: &Path, name: &str) -> io::Result<Lock> {
    let path = lock_dir(run_dir)?.join(name);
    loop {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&path)?;
        file.try_lock()?;
        if is_at(&file, &path) {
            return Ok(Lock { file, path });
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let id = |found: io::Result<fs::Metadata>| found.map(|found| (found.dev(), found.ino())).ok();
    let (ours, there) = (id(file.metadata()), id(fs::symlink_metadata(path)));
    ours.is_some() && ours == there
}

/// Room for our pid file, made while there is still a terminal to complain to: without the file nothing finds
/// the daemon again, neither to stop it nor to reload it.
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
        private::directory(run_dir)?;
        let path = run_dir.join(PID_FILE);
        let (mut file, new) = private::create_beside(&path, 0o644)?;
        if let Err(error) = file.write_all(&[b'\n'; PID_BYTES]) {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        Ok(Self { path, new, file })
    }

    /// Writes the file of this process in that room.
    pub fn fill(self) -> Option<PidFile> {
        let pid = getpid().as_raw().cast_unsigned();
        let text = format!("{pid}\n");
        let filled =
            self.file.write_all_at(text.as_bytes(), 0).and_then(|()| self.file.set_len(text.len() as u64));
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

impl PidFile {
    /// The file that this process has written, before it was executed again.
    pub fn ours(run_dir: &Path) -> Self {
        Self { path: run_dir.join(PID_FILE), pid: getpid().as_raw().cast_unsigned() }
    }
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

/// The process that the file names.
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
                    "a daemon runs already for pair gateway, node gw1 on this box (process {pid}): stop \
                        that one first"
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
            in_namespace(|| Lock::take("gateway", "gw1", dir.path()).expect("free here").give_back());
        });
    }

    #[test]
    fn names_of_any_length_and_content_have_a_lock_of_their_own() {
        let long = "x".repeat(300);
        let names: Vec<String> =
            [("a", "b.c"), ("a.b", "c"), ("../../etc", "passwd"), (&long, "b"), (&long, "c")]
                .iter()
                .map(|(pair, node)| file_name(pair, node))
                .collect();
        assert!(names.iter().all(|name| name.len() < 255 && !name.contains('/')), "{names:?}");
        let different: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }

    /// The abstract socket of earlier versions could be bound by anybody.
    #[test]
    fn a_local_user_keeps_no_daemon_from_starting() {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
        use std::os::fd::AsRawFd;
        in_namespace(|| {
            let address = UnixAddr::new_abstract(b"crosswire/gateway/gw1").expect("an address");
            let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
                .expect("a socket");
            bind(socket.as_raw_fd(), &address).expect("anybody may");
            let dir = tempfile::tempdir().expect("a directory");
            let lock = Lock::take("gateway", "gw1", dir.path()).expect("free");
            let place = lock.path.parent().expect("a directory").to_owned();
            assert_eq!(
                fs::metadata(&place).expect("it is there").mode() & 0o7777,
                0o700,
                "only root comes in"
            );
            let path = lock.path.clone();
            lock.give_back();
            assert!(!path.exists(), "nothing is left");
        });
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
