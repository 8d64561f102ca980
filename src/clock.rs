//! The clock of the binary: monotonic, and running on while the box sleeps. Beside it the clock of day, by
//! which nothing is decided.

use crosswire::time::{Instant, Span};
use nix::time::{ClockId, clock_getres, clock_gettime};

/// Now on `CLOCK_BOOTTIME` (Linux 2.6.39 and later), in microseconds since the boot of the box.
///
/// It is the same clock in agent and guard, so that a deadline may cross the process border, and it counts
/// the time for which the box was suspended, so that nobody wakes up believing that an old deadline still
/// lies ahead. Where the clock cannot be read every deadline has passed: the safe way.
pub fn now() -> Instant {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Instant::NEVER, |t| {
        let seconds = u64::try_from(t.tv_sec()).unwrap_or(0);
        // A processor of 32 bits divides by 64 bits in a loop.
        let nanoseconds = u32::try_from(t.tv_nsec()).unwrap_or(0);
        Instant::from_us(seconds * 1_000_000 + u64::from(nanoseconds / 1_000))
    })
}

/// How late the kernel's timers may fire: its tick where it has no timers of high resolution, else nothing
/// (`clock_getres(2)`).
pub fn tick() -> Span {
    let resolution = clock_getres(ClockId::CLOCK_MONOTONIC).ok();
    let nanoseconds = resolution.and_then(|t| u32::try_from(t.tv_nsec()).ok()).unwrap_or(0);
    Span::from_us(u64::from(nanoseconds / 1_000))
}

/// The clock of day, seconds since 1970; 0 where the kernel gives none that we can read: after 2038 on a
/// system whose C library counts in 32 bits, where the standard library would panic. It may be wrong by
/// decades.
pub fn wall_s() -> u32 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME);
    now.ok().and_then(|t| u32::try_from(t.tv_sec()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_counts_microseconds_and_never_goes_back() {
        let before = now();
        std::thread::sleep(Duration::from_millis(20));
        let passed_ms = now().since(before).as_ms();
        assert!((20..60_000).contains(&passed_ms), "{passed_ms} ms");
    }
}
