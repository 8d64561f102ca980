//! What the live view changes of the terminal, and how every end of the demo takes it back.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp, write};

use crate::sys;

/// Smallest terminal on which a picture can be updated in place.
const MIN_COLUMNS: u16 = 79;
const MIN_ROWS: u16 = 24;

/// Cursor and line wrapping off, and on again (DEC private modes 25 and 7).
const BEGIN: &[u8] = b"\x1b[?25l\x1b[?7l";
const END: &[u8] = b"\x1b[?7h\x1b[?25h";

/// Whether the terminal is in a state that has to be taken back.
static IS_CHANGED: AtomicBool = AtomicBool::new(false);
/// Whether this process switched off the echo of what is typed.
static HAS_LOST_ECHO: AtomicBool = AtomicBool::new(false);

/// Hides the cursor and what is typed, which would get between the lines (and `^C` into an escape sequence).
pub(super) fn begin() {
    if !IS_CHANGED.swap(true, Ordering::SeqCst) {
        // A terminal that is gone is noticed by the next picture.
        let _ = write(io::stdout().as_fd(), BEGIN);
        HAS_LOST_ECHO.store(set_echo(false), Ordering::SeqCst);
    }
}

/// Takes everything back, from any thread; does nothing a second time.
pub(super) fn restore() {
    if IS_CHANGED.swap(false, Ordering::SeqCst) {
        // Not through std's lock, which a panicking thread may hold; nothing can be done about a terminal
        // that is gone.
        let _ = write(io::stdout().as_fd(), END);
        if HAS_LOST_ECHO.swap(false, Ordering::SeqCst) {
            set_echo(true);
        }
    }
}

/// Switches the echo; returns whether it was the other way before. A process in the background must not touch
/// it: the kernel would stop it.
fn set_echo(is_on: bool) -> bool {
    let stdout = io::stdout();
    if tcgetpgrp(&stdout) != Ok(getpgrp()) {
        return false;
    }
    let Ok(mut modes) = tcgetattr(&stdout) else { return false };
    let was_on = modes.local_flags.contains(LocalFlags::ECHO);
    modes.local_flags.set(LocalFlags::ECHO, is_on);
    was_on != is_on && tcsetattr(&stdout, SetArg::TCSANOW, &modes).is_ok()
}

/// Whether the terminal is large enough. One that does not know its size (a serial console) counts as 80 x
/// 24.
pub(super) fn is_large_enough() -> bool {
    let Ok(size) = sys::tty::window_size(&io::stdout()) else { return false };
    (size.ws_col == 0 || size.ws_col >= MIN_COLUMNS) && (size.ws_row == 0 || size.ws_row >= MIN_ROWS)
}
