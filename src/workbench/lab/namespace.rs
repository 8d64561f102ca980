//! Network namespaces without names: each lives as long as this process holds its descriptor, so that nothing
//! can be left behind in /run/netns whatever way the process ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::panic;
use std::process::Command;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};

use super::doing;
use super::rtnl::Rtnl;

/// Index of the loopback interface in every namespace.
const LOOPBACK: u32 = 1;

/// A network namespace, its loopback up.
pub struct Namespace {
    name: String,
    file: File,
    inode: u64,
    rtnl: Rtnl,
}

impl Namespace {
    /// Makes an empty namespace; `name` is only for messages.
    ///
    /// # Errors
    /// Whatever unshare(2) says: EPERM without CAP_SYS_ADMIN (see [`super::entry`]).
    pub fn new(name: &str) -> io::Result<Self> {
        let made = on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let file = File::open("/proc/thread-self/ns/net")?;
            Ok::<_, io::Error>((file, Rtnl::open()?))
        })?;
        let (file, rtnl) = made.map_err(doing(&format!("making the network namespace {name}")))?;
        rtnl.set_up(LOOPBACK, true).map_err(doing(&format!("loopback of {name}")))?;
        let inode = file.metadata()?.ino();
        Ok(Self { name: name.to_owned(), file, inode, rtnl })
    }

    /// The name given at birth.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What identifies it in `/proc/PID/ns/net`.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Its routing socket.
    pub fn rtnl(&self) -> &Rtnl {
        &self.rtnl
    }

    /// Runs `work` on a thread of its own inside this namespace and returns what it returns. Sockets made
    /// there stay there. A panic of `work` goes on in the caller.
    ///
    /// # Errors
    /// If the thread cannot be made or cannot enter.
    pub fn run_in<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_own_thread(|| {
            setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok::<T, Errno>(work())
        })?
        .map_err(|e| doing(&format!("entering the network namespace {}", self.name))(e.into()))
    }

    /// Makes `command` start inside this namespace.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn command_in(&self, command: &mut Command) -> io::Result<()> {
        let file = self.file.try_clone()?;
        let enter = move || Ok(setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?);
        // SAFETY: the closure makes one system call and allocates nothing, so it may run between fork and
        // exec.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A thread of its own, because a namespace belongs to a thread and ours must not change.
fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("lab-visit".into()).spawn_scoped(scope, work)?;
        worker.join().map_or_else(|panic| panic::resume_unwind(panic), Ok)
    })
}
