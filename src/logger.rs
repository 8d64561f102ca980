//! The log: syslog's datagrams, and stderr in the foreground. A stuck log never holds anybody up: what cannot be written at
//! once is dropped and counted.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::plain;

/// Where syslogd listens.
const DEV_LOG: &str = "/dev/log";
/// RFC 3164: facility daemon.
const FACILITY_DAEMON: u8 = 3;
/// Characters of a line, far more than any of ours has.
const MAX_LINE: usize = 2_000;

struct Logger {
    syslog: Option<UnixDatagram>,
    to_stderr: bool,
    dropped: AtomicU32,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Starts logging. Opens syslog now, since the agent cannot see `/dev/log` later.
pub fn start(to_stderr: bool) {
    let logger = LOGGER.get_or_init(|| Logger { syslog: open_syslog(), to_stderr, dropped: AtomicU32::new(0) });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// The socket to syslog, which an agent needs too.
pub fn descriptor() -> Option<RawFd> {
    LOGGER.get()?.syslog.as_ref().map(AsRawFd::as_raw_fd)
}

fn open_syslog() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(DEV_LOG).ok()?;
    Some(socket)
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Whatever a text was made of: one record is one line.
        let text = plain::line(&record.args().to_string(), MAX_LINE);
        let to_syslog = self.syslog.as_ref().map(|syslog| write_syslog(syslog, record.level(), &text));
        let to_stderr = self.to_stderr.then(|| write_stderr(record.level(), &text));
        if to_syslog == Some(false) || to_stderr == Some(false) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// syslogd stamps the line itself: the clock of an old box may be wrong by decades.
fn write_syslog(syslog: &UnixDatagram, level: Level, text: &str) -> bool {
    let priority = FACILITY_DAEMON * 8 + severity(level);
    let line = format!("<{priority}>crosswire[{}]: {text}", std::process::id());
    syslog.send(line.as_bytes()).is_ok()
}

fn write_stderr(level: Level, text: &str) -> bool {
    let stderr = std::io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    // A pipe that is ready takes a line without waiting.
    if !poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0) {
        return false;
    }
    let line = format!("{}: {text}\n", word(level));
    stderr.lock().write_all(line.as_bytes()).is_ok()
}

const fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}
