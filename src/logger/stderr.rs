//! Standard error in the foreground: a terminal that may be held, a pipe that nobody reads, a file, or a
//! service manager.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use log::Level;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};

use super::line::Line;
use super::{Write, severity};

/// How it is written to without waiting.
enum How {
    /// A terminal or pipe, opened once more, so that its flags do not change for others that share standard
    /// error.
    Opened(File),
    Socket,
    /// A file takes everything; anything else is written to when it is ready.
    Plain,
}

/// Standard error.
pub struct Stderr {
    how: How,
    /// Whether a line begins with the priority that a service manager reads (`sd-daemon(3)`), not with a word
    /// for people.
    has_priority: bool,
}

impl Stderr {
    /// Standard error, as this process has it.
    pub fn new(has_priority: bool) -> Self {
        let kind = fstat(io::stderr())
            .map_or(SFlag::empty(), |stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT);
        let how = match kind {
            SFlag::S_IFSOCK => How::Socket,
            SFlag::S_IFCHR | SFlag::S_IFIFO => {
                let mut options = OpenOptions::new();
                options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
                options.open("/proc/self/fd/2").map_or(How::Plain, How::Opened)
            }
            _ => How::Plain,
        };
        Self { how, has_priority }
    }

    /// The descriptor of the terminal or pipe that was opened once more.
    pub fn descriptor(&self) -> Option<RawFd> {
        match &self.how {
            How::Opened(file) => Some(file.as_raw_fd()),
            How::Socket | How::Plain => None,
        }
    }
}

impl Write for Stderr {
    fn write(&mut self, level: Level, text: &str) -> bool {
        let line = match self.has_priority {
            true => Line::of(format_args!("<{}>{text}", severity(level))),
            false => Line::of(format_args!("{}: {text}", word(level))),
        };
        let mut bytes: heapless::Vec<u8, { super::line::MAX_LINE_BYTES + 1 }> =
            line.as_str().bytes().collect();
        // A line is shorter than its room.
        let _ = bytes.push(b'\n');
        let written = match &mut self.how {
            How::Opened(file) => file.write(&bytes).ok(),
            How::Socket => {
                send(io::stderr().as_raw_fd(), &bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL).ok()
            }
            How::Plain => is_ready().then(|| io::stderr().write(&bytes).ok()).flatten(),
        };
        written == Some(bytes.len())
    }
}

/// A pipe that is ready takes a line without waiting.
fn is_ready() -> bool {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}
