//! The one clock of the laboratory: CLOCK_MONOTONIC, which both nodes, the cable, the switch and the observer
//! share.

use std::io;
use std::thread;
use std::time::Duration;

use crosswire::time::{Instant, Span};
use nix::libc;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// The present instant.
///
/// # Panics
/// If the kernel has no monotonic clock, which no Linux lacks.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has CLOCK_MONOTONIC");
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let microseconds = u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000;
    Instant::from_us(seconds * 1_000_000 + microseconds)
}

/// A span as std's type.
pub fn duration(span: Span) -> Duration {
    Duration::from_micros(span.as_us())
}

/// A std duration as a span.
pub fn span(duration: Duration) -> Span {
    Span::from_us(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// How long `ppoll` may sleep so that it wakes at `deadline`; `None` means for ever.
pub fn sleep_until(deadline: Option<Instant>) -> Option<TimeSpec> {
    deadline.map(|at| TimeSpec::from_duration(duration(at.since(now()))))
}

/// Asks `condition` every 2 ms until it holds.
///
/// # Errors
/// `TimedOut`, naming `what`, when it does not hold within `timeout`; whatever `condition` returns.
pub fn wait_until(
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut() -> io::Result<bool>,
) -> io::Result<Instant> {
    let deadline = now() + span(timeout);
    loop {
        if condition()? {
            return Ok(now());
        }
        if now() >= deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("waited {timeout:?} in vain: {what}"),
            ));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Lets the calling thread go before ordinary work where the kernel permits it (real root), because its
/// delays would be measured as delays of the daemons. Without permission the figures are only a little worse,
/// so a refusal is no error. Processes started from such a thread would inherit nothing
/// (SCHED_RESET_ON_FORK).
pub fn go_first() {
    let parameters = libc::sched_param { sched_priority: 1 };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: sched_setscheduler(2) reads one sched_param, which lives until the call returns; 0 is the
    // calling thread. The raw call is used because musl's wrapper always answers ENOSYS.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameters) };
}
