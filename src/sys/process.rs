//! Processes: how they begin, what they inherit, and how they end.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid};

use crate::gather::sort_by_key;

/// A descriptor above this is closed only where the kernel can close a range (Linux 5.9).
const MAX_DESCRIPTOR: RawFd = 4_096;

/// Makes a child that is a copy of this process, with one thread.
///
/// A lock that another thread holds stays locked in the child for ever. Of the daemon's processes only the
/// guard has a second thread, which waits for signals and holds no lock.
///
/// # Errors
/// `EAGAIN` and `ENOMEM` where there is no room for a process.
pub fn fork() -> nix::Result<ForkResult> {
    // SAFETY: the child goes on alone, on a copy of all memory: what another thread was changing is behind
    // its lock, which stays locked. glibc and musl reset the lock of the allocator.
    unsafe { nix::unistd::fork() }
}

/// Runs `child` in a child of this process, which leaves with the code that it returns.
///
/// # Errors
/// As [`fork`].
pub fn fork_into(child: impl FnOnce() -> i32) -> nix::Result<Pid> {
    match fork()? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => leave(child()),
    }
}

/// Ends this process at once: nothing that it inherited is dropped, flushed or run.
pub fn leave(code: i32) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Gives these signals their default actions back.
///
/// # Errors
/// What the kernel says; it refuses no signal that can be handled.
pub fn handle_by_default(signals: &[Signal]) -> nix::Result<()> {
    signals.iter().try_for_each(|handled| {
        // SAFETY: the default action is no code of ours.
        unsafe { signal(*handled, SigHandler::SigDfl) }.map(drop)
    })
}

/// Makes this process ignore these signals.
pub fn ignore(signals: &[Signal]) {
    for ignored in signals {
        // SAFETY: ignoring a signal runs no code of ours.
        let _ = unsafe { signal(*ignored, SigHandler::SigIgn) };
    }
}

/// Sets the stack size of the threads that this process starts from now on. It must have no other thread yet.
pub fn limit_thread_stacks(bytes: &str) {
    // SAFETY: there is no other thread that could read the environment.
    unsafe { std::env::set_var("RUST_MIN_STACK", bytes) };
}

/// Takes over a descriptor that was left open for this process when it was executed.
///
/// # Errors
/// `EBADF` if there is none of that number.
pub fn take_over(descriptor: RawFd) -> nix::Result<OwnedFd> {
    keep_on_exec(descriptor, false)?;
    // SAFETY: it is open, and whoever executed this process has named it to one owner alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Whether a descriptor stays open when another program is executed.
///
/// # Errors
/// `EBADF` if there is none of that number.
pub fn keep_on_exec(descriptor: RawFd, is_kept: bool) -> nix::Result<()> {
    let flags = if is_kept { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: sets a flag, and takes numbers only.
    Errno::result(unsafe { libc::fcntl(descriptor, libc::F_SETFD, flags) }).map(drop)
}

/// Closes every descriptor above standard error that is not listed. Only for a child that neither uses nor
/// drops the values of its parent that own them.
pub fn close_all_but(kept: &mut [RawFd]) {
    sort_by_key(kept, |descriptor| *descriptor);
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(MAX_DESCRIPTOR, |(soft, _)| {
        RawFd::try_from(soft).unwrap_or(MAX_DESCRIPTOR).min(MAX_DESCRIPTOR)
    });
    let above = kept.last().map_or(3, |last| last + 1);
    let end = if close_range_from(above).is_ok() { above } else { limit };
    for descriptor in (3..end).filter(|descriptor| kept.binary_search(descriptor).is_err()) {
        // SAFETY: its owner is a value of the parent's, which this process neither uses nor drops.
        unsafe { libc::close(descriptor) };
    }
}

/// `close_range(first, ~0, 0)`.
fn close_range_from(first: RawFd) -> nix::Result<()> {
    // SAFETY: as for every single one of them, see the caller.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    Errno::result(done).map(drop)
}
