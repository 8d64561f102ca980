//! A sign of life of a guard that has no agent: nobody else answers for the daemon then.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crosswire::time::Span;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_gettime};

use super::lock::PID_FILE;

/// How often it is given.
pub const SIGN_EVERY: Span = Span::from_ms(200);

/// Gives it: the pid file is of now. That a file system refuses it is no reason to do anything else.
pub fn give_sign(run_dir: &Path) {
    let now = TimeSpec::UTIME_NOW;
    let _ = utimensat(AT_FDCWD, &run_dir.join(PID_FILE), &now, &now, UtimensatFlags::NoFollowSymlink);
}

/// Whether one has just been given, by the clock of day.
pub fn has_given_sign(run_dir: &Path) -> bool {
    let (Ok(given), Ok(now)) = (fs::metadata(run_dir.join(PID_FILE)), clock_gettime(ClockId::CLOCK_REALTIME))
    else {
        return false;
    };
    let passed_ns = now.num_nanoseconds() - given.mtime().wrapping_mul(1_000_000_000) - given.mtime_nsec();
    (0..2 * 1_000 * SIGN_EVERY.as_us().cast_signed()).contains(&passed_ns)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_sign_of_life_is_believed_for_two_turns() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(!has_given_sign(dir.path()), "no daemon runs");
        give_sign(dir.path());
        assert!(!dir.path().join(PID_FILE).exists(), "no file is made for it");
        let file = File::create(dir.path().join(PID_FILE)).expect("a file");
        for (ms, is_believed) in [(-100, true), (-450, false), (60_000, false), (-3_600_000, false)] {
            let span = std::time::Duration::from_millis(i64::unsigned_abs(ms));
            let now = std::time::SystemTime::now();
            file.set_modified(if ms < 0 { now - span } else { now + span }).expect("set");
            assert_eq!(has_given_sign(dir.path()), is_believed, "{ms} ms");
        }
        give_sign(dir.path());
        assert!(has_given_sign(dir.path()));
    }
}
