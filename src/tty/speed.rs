//! The speed of a port, read back, and speeds that have no `B` constant.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc::{self, termios2};

mod ioctl {
    //! `ioctl_tty(2)`

    use nix::libc;

    nix::ioctl_read!(tcgets2, b'T', 0x2a, libc::termios2);
    nix::ioctl_write_ptr!(tcsets2, b'T', 0x2b, libc::termios2);
}

/// Percent by which a divisor may miss a speed: two ends that are off by this in opposite directions still meet in the
/// middle of the stop bit (half a bit in ten is 5 %, shared by two).
const MAX_ERROR_PERCENT: u32 = 2;

fn mode_of(port: &OwnedFd) -> nix::Result<termios2> {
    let mut mode = std::mem::MaybeUninit::<termios2>::zeroed();
    // SAFETY: TCGETS2 writes one termios2, to which the pointer is.
    unsafe { ioctl::tcgets2(port.as_raw_fd(), mode.as_mut_ptr()) }?;
    // SAFETY: plain numbers, for which zeroes are a value.
    Ok(unsafe { mode.assume_init() })
}

/// The speed in bits a second at which the port sends now, as the driver has set it.
///
/// # Errors
/// `ENOTTY`, and what else the driver says.
pub fn get(port: &OwnedFd) -> nix::Result<u32> {
    mode_of(port).map(|mode| mode.c_ospeed)
}

/// Sets any speed (`BOTHER`). A driver takes the nearest that its clock divides to.
///
/// # Errors
/// `ENOTTY`, and what else the driver says.
pub fn set(port: &OwnedFd, baud: u32) -> nix::Result<()> {
    let mut mode = mode_of(port)?;
    mode.c_cflag = mode.c_cflag & !(libc::CBAUD | libc::CIBAUD) | libc::BOTHER;
    (mode.c_ispeed, mode.c_ospeed) = (baud, baud);
    // SAFETY: TCSETS2 reads one termios2, and `mode` is one.
    unsafe { ioctl::tcsets2(port.as_raw_fd(), &raw const mode) }.map(|_| ())
}

/// Whether a port that was asked for `wanted` and runs at `found` will be understood.
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
    fn two_percent_are_near() {
        assert!(is_near(115_200, 115_384));
        assert!(is_near(100, 98));
        assert!(!is_near(100, 97));
        assert!(!is_near(230_400, 115_200));
        assert!(is_near(4_000_000, 4_000_000));
    }
}
