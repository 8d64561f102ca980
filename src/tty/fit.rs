//! Whether a device can be a cable, found out without opening it: opening a port raises its lines, and the
//! daemon may have it.

use std::fs::{Metadata, read_link};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{major, minor};

use super::consoles;
use super::uart::Uart;

/// Why the device must not be used at that speed and what to do, with an errno that fits; `found` is its
/// metadata.
pub fn refusal(device: &Path, found: &Metadata, baud: u32) -> Option<(String, Errno)> {
    let name = device.display();
    if !is_tty(found) {
        return Some((format!("{name} is not a serial port: set `device` to a tty"), Errno::ENOTTY));
    }
    if is_screen(found.rdev()) {
        return Some((
            format!("{name} is a console, not a serial port: set `device` to a tty"),
            Errno::ENOTTY,
        ));
    }
    if let Some(conflict) = consoles::conflict(found.rdev(), &name.to_string()) {
        return Some((conflict, Errno::EBUSY));
    }
    let found = Uart::of_device(device).and_then(|uart| uart.misses(baud))?;
    Some((wrong_speed(&name.to_string(), found, baud), Errno::EINVAL))
}

/// The message for a port that would not run at the wanted speed.
pub fn wrong_speed(name: &str, found: u32, baud: u32) -> String {
    format!("{name} would run at {found} instead of {baud} baud: set another `baud` on both nodes")
}

/// Whether this is a character device of the kernel's tty layer, as far as the kernel tells; it tells nothing
/// of pseudo-terminals.
fn is_tty(found: &Metadata) -> bool {
    let link = format!("/sys/dev/char/{}:{}/subsystem", major(found.rdev()), minor(found.rdev()));
    let is_of_ttys =
        read_link(link).map_or(true, |class| class.file_name().is_some_and(|name| name == "tty"));
    found.file_type().is_char_device() && is_of_ttys
}

/// Whether this is a screen and its keyboard, or a name for the console or the terminal of the caller (majors
/// 4 and 5 in Linux's devices.txt).
fn is_screen(rdev: u64) -> bool {
    matches!((major(rdev), minor(rdev)), (4 | 5, 0..64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tty_or_a_screen_is_no_cable() {
        for (device, expected) in [
            ("/dev/null", "/dev/null is not a serial port"),
            ("/dev/urandom", "/dev/urandom is not a serial port"),
            ("/", "/ is not a serial port"),
            ("/dev/tty", "/dev/tty is a console"),
        ] {
            let found = std::fs::metadata(device).expect("every box has it");
            let said =
                refusal(Path::new(device), &found, 9_600).map(|(reason, _)| reason).unwrap_or_default();
            assert!(said.starts_with(expected), "{device}: {said}");
        }
        let pty = nix::pty::openpty(None, None).expect("a pty");
        let device = nix::unistd::ttyname(&pty.slave).expect("its name");
        let found = std::fs::metadata(&device).expect("it is there");
        assert_eq!(refusal(&device, &found, 9_600), None);
    }
}
