//! When this process runs: its scheduling class, its nice value, and how long it may go before others.

use nix::errno::Errno;
use nix::libc;

/// Limits how long a process of a real-time class may compute without waiting (`RLIMIT_RTTIME`,
/// microseconds). It never exceeds an earlier hard limit. A limit for good cannot be raised again.
///
/// # Errors
/// What the kernel says.
pub fn limit_run_time(most_us: libc::rlim_t, is_for_good: bool) -> nix::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which outlives the call.
    Errno::result(unsafe { libc::getrlimit(libc::RLIMIT_RTTIME, &raw mut limit) })?;
    limit.rlim_cur = most_us.min(limit.rlim_max);
    if is_for_good {
        limit.rlim_max = limit.rlim_cur;
    }
    // SAFETY: the kernel reads one rlimit, which outlives the call.
    Errno::result(unsafe { libc::setrlimit(libc::RLIMIT_RTTIME, &raw const limit) }).map(drop)
}

/// Gives this thread a scheduling class and a priority in it (sched(7)); processes and threads that it starts
/// have the ordinary ones. It makes the system call itself: musl's function only returns ENOSYS.
///
/// # Errors
/// `EPERM` where the priority is not granted.
pub fn set_scheduler(policy: libc::c_int, priority: libc::c_int) -> nix::Result<()> {
    // SAFETY: sched_param is plain numbers, for which all zeroes is a value.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    let policy = policy | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the kernel reads one sched_param, which outlives the call; 0 is this thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameters) };
    Errno::result(done).map(drop)
}

/// The scheduling class of this thread.
#[cfg(test)]
pub fn scheduler() -> libc::c_long {
    // SAFETY: takes a number and touches no memory.
    unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) }
}

/// Gives this thread a nice value; false where the kernel does not grant it.
pub fn set_nice(nice: libc::c_int) -> bool {
    // SAFETY: this call takes numbers and touches no memory; 0 is this thread.
    (unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }) == 0
}

/// The nice value of this thread.
pub fn nice() -> libc::c_int {
    // SAFETY: this call takes numbers and touches no memory; 0 is this thread.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}
