//! The speed of a port, also speeds without a `B` constant; and the mode, which other programs may change.

use std::os::fd::OwnedFd;

use nix::libc::{self, termios2};

use crate::sys::tty::{mode, set_mode};

/// Percent by which a divisor may miss a speed: two ends that are off by this in opposite directions still
/// meet in the middle of the stop bit (half a bit in ten is 5 %, shared by two).
const MAX_ERROR_PERCENT: u32 = 2;

/// The speed in bits a second at which the port sends now, as the driver has set it.
///
/// # Errors
/// `ENOTTY`, and what else the driver says.
pub fn get(port: &OwnedFd) -> nix::Result<u32> {
    mode(port).map(|mode| mode.c_ospeed)
}

/// Sets any speed (`BOTHER`). A driver takes the nearest that its clock divides to.
///
/// # Errors
/// `ENOTTY`, and what else the driver says.
pub fn set(port: &OwnedFd, baud: u32) -> nix::Result<()> {
    let mut wanted = mode(port)?;
    wanted.c_cflag = wanted.c_cflag & !(libc::CBAUD | libc::CIBAUD) | libc::BOTHER;
    (wanted.c_ispeed, wanted.c_ospeed) = (baud, baud);
    set_mode(port, &wanted)
}

/// The mode of a port: speed, raw or not, flow control.
#[derive(Clone, Copy)]
pub struct Mode(termios2);

impl Mode {
    /// The present mode, as the driver reports it after it was set; `None` if the driver does not say.
    pub fn of(port: &OwnedFd) -> Option<Self> {
        Self(mode(port).ok()?).set(port).ok()?;
        mode(port).map(Self).ok()
    }

    /// Sets the port to this mode again if it has another one; returns the speed that it had then.
    pub fn put_right(&self, port: &OwnedFd) -> Option<u32> {
        let facts = |mode: &termios2| {
            let flags = [mode.c_iflag, mode.c_oflag, mode.c_cflag, mode.c_lflag];
            (flags, mode.c_ispeed, mode.c_ospeed, mode.c_cc)
        };
        let found = mode(port).ok().filter(|found| facts(found) != facts(&self.0))?;
        self.set(port).ok()?;
        Some(found.c_ospeed)
    }

    fn set(&self, port: &OwnedFd) -> nix::Result<()> {
        set_mode(port, &self.0)
    }
}

/// Whether the other end understands a port that runs at `found` instead of `wanted`.
pub const fn is_near(wanted: u32, found: u32) -> bool {
    wanted.abs_diff(found) as u64 * 100 <= wanted as u64 * MAX_ERROR_PERCENT as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_speed_can_be_set_and_read_back() {
        let pty = nix::pty::openpty(None, None).expect("a pty");
        for baud in [9_600, 31_250, 115_200, 250_000] {
            set(&pty.slave, baud).expect("set");
            assert_eq!(get(&pty.slave), Ok(baud));
        }
    }

    #[test]
    fn what_another_program_has_set_is_put_right() {
        let pty = nix::pty::openpty(None, None).expect("a pty");
        set(&pty.slave, 19_200).expect("set");
        let before = Mode::of(&pty.slave).expect("a mode");
        assert_eq!(before.put_right(&pty.slave), None);
        set(&pty.slave, 9_600).expect("set");
        assert_eq!(before.put_right(&pty.slave), Some(9_600));
        assert_eq!(get(&pty.slave), Ok(19_200));
        let mut other = mode(&pty.slave).expect("a mode");
        other.c_iflag ^= libc::IXON;
        Mode(other).set(&pty.slave).expect("set");
        assert_eq!(before.put_right(&pty.slave), Some(19_200));
        assert_eq!(before.put_right(&pty.slave), None);
    }

    #[test]
    fn two_percent_are_near() {
        assert!(is_near(115_200, 115_384));
        assert!(is_near(100, 98));
        assert!(!is_near(100, 97));
        assert!(!is_near(230_400, 115_200));
        assert!(is_near(4_000_000, 4_000_000));
    }
}
