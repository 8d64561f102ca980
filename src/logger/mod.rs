//! The log: syslog, and stderr in the foreground. It never holds anybody up: a line that cannot be written at
//! once is lost and counted, and the count is the first line that is written again. A place that logs again
//! and again is limited (`crosswire::limit`).
//!
//! Agent and guard each have a socket to syslogd. The agent sees no `/dev/log`, so the guard connects both
//! anew, about twice a second. A datagram socket stays the same for the agent when it is connected again; a
//! new socket is handed over. The agent's lines do not pass through the guard, so the agent cannot flood the
//! guard, and a hung guard cannot silence the agent.

mod line;
mod stderr;
mod syslog;

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crosswire::limit::{HeldBack, Limiter, WINDOW};
use crosswire::time::{Instant, Span};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::clock::now;
use crate::gather::Gather;
use line::Line;
use stderr::Stderr;
use syslog::Syslog;

/// Target of lines that were limited as records before.
pub const RECORD: &str = "record";
/// Target of what scripts write, which is limited by the run.
pub const SCRIPT: &str = "script";

/// Where syslogd listens.
const DEV_LOG: &str = "/dev/log";
/// How often a loop that turns anyway looks for another syslogd.
const LOOK_EVERY: Span = Span::from_ms(400);
/// How much later a sleeping loop is woken for that: with [`TELL_EVERY`], a new syslogd is found within a
/// second.
const LOOK_LATER: Span = Span::from_ms(250);
/// How often a loop tries to report lost lines, until somebody takes the report.
const TELL_EVERY: Span = Span::from_ms(250);
/// How many lines one place in the program logs in [`WINDOW`]; the rest is counted.
const MOST_OF_A_PLACE: u16 = 32;
/// How many lines of scripts are logged in [`WINDOW`].
const MOST_OF_SCRIPTS: u16 = 256;
/// By so many words they are told apart.
const WORDS_OF_A_PLACE: usize = 6;
/// Places that can be told apart at a time.
const MAX_PLACES: usize = 24;
/// Bytes that are kept of a line that stands for many.
const SAMPLE_BYTES: usize = 160;

/// A line that stands for those like it.
type Sample = (Level, heapless::String<SAMPLE_BYTES>);

/// Somewhere to write to, and what could not be written there.
struct Outlet<T> {
    to: T,
    lost: u32,
    /// The same since the start.
    lost_in_all: u32,
}

/// What can be written to without waiting.
trait Write {
    /// Whether somebody is there to take a line: otherwise none is prepared.
    fn is_there(&mut self) -> bool {
        true
    }

    /// Whether all of it was taken.
    fn write(&mut self, level: Level, text: &str) -> bool;
}

impl<T: Write> Outlet<T> {
    fn new(to: T) -> Self {
        Self { to, lost: 0, lost_in_all: 0 }
    }

    fn write(&mut self, level: Level, text: &str) {
        self.tell_lost();
        if self.lost > 0 || !self.to.write(level, text) {
            self.lost = self.lost.saturating_add(1);
            self.lost_in_all = self.lost_in_all.saturating_add(1);
        }
    }

    /// Writes how many lines were lost, before anything else.
    fn tell_lost(&mut self) {
        if self.lost > 0 && self.to.is_there() {
            let lines = if self.lost == 1 { "line was" } else { "lines were" };
            let text = Line::of(format_args!("{} {lines} lost here: the log took no more", self.lost));
            if self.to.write(Level::Warn, text.as_str()) {
                self.lost = 0;
            }
        }
    }
}

/// All outlets of this process.
struct State {
    syslog: Option<Outlet<Syslog>>,
    stderr: Option<Outlet<Stderr>>,
    /// The guard's handle on the socket that the agent writes to; `None` in the agent itself.
    of_agent: Option<Syslog>,
    /// When syslogd is looked for.
    look_at: Instant,
    /// When lost lines are told again.
    tell_at: Instant,
    limiter: Limiter<u32, Sample, MAX_PLACES>,
    /// How many lines the limiter has held back, each of which is told as part of a count.
    held_back: u32,
}

/// Boxed: as an empty static it would take its 4 KB in the binary too.
struct Logger(Mutex<Option<Box<State>>>);

static LOGGER: Logger = Logger(Mutex::new(None));

impl Logger {
    fn state(&self) -> MutexGuard<'_, Option<Box<State>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts logging: in the background to syslog, in the foreground to stderr too; to stderr alone if it is a
/// service manager's.
pub fn start(is_foreground: bool) {
    let is_set = |name: &&str| std::env::var_os(name).is_some();
    let is_managed = is_foreground && ["JOURNAL_STREAM", "NOTIFY_SOCKET"].iter().any(is_set);
    let syslog = || if is_managed { None } else { Syslog::at(DEV_LOG) };
    let mut state = State {
        syslog: syslog().map(Outlet::new),
        of_agent: syslog(),
        stderr: is_foreground.then(|| Outlet::new(Stderr::new(is_managed))),
        look_at: Instant::NEVER,
        tell_at: Instant::NEVER,
        limiter: Limiter::new(),
        held_back: 0,
    };
    if !is_managed {
        state.look(now());
    }
    *LOGGER.state() = Some(Box::new(state));
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// For a child that becomes the agent: it writes to its own socket, and has lost nothing yet. Returns the
/// descriptors that it needs.
pub fn become_agent() -> Vec<RawFd> {
    let mut state = LOGGER.state();
    let Some(state) = state.as_mut() else { return Vec::new() };
    state.syslog = state.of_agent.take().map(Syslog::into_shared).map(Outlet::new);
    state.stderr.iter_mut().for_each(|stderr| (stderr.lost, stderr.lost_in_all) = (0, 0));
    state.held_back = 0;
    (state.look_at, state.tell_at) = (Instant::NEVER, Instant::NEVER);
    state.limiter = Limiter::new();
    let syslog = state.syslog.as_ref().map(|syslog| syslog.to.as_raw_fd());
    syslog.into_iter().chain(state.stderr.as_ref().and_then(|stderr| stderr.to.descriptor())).gather()
}

/// The agent's new socket, from its guard.
pub fn take(socket: OwnedFd) {
    if let Some(state) = LOGGER.state().as_mut() {
        let before = state.syslog.as_ref().map_or((0, 0), |syslog| (syslog.lost, syslog.lost_in_all));
        let (lost, lost_in_all) = before;
        state.syslog = Some(Outlet { to: Syslog::of_others(socket), lost, lost_in_all });
        state.tell_lost(now());
    }
}

/// How many lines of this process were lost or held back since its start.
pub fn lost() -> u32 {
    let state = LOGGER.state();
    let Some(state) = state.as_ref() else { return 0 };
    let lost = state.syslog.as_ref().map_or(0, |syslog| syslog.lost_in_all);
    let more = state.stderr.as_ref().map_or(0, |stderr| stderr.lost_in_all);
    lost.saturating_add(more).saturating_add(state.held_back)
}

/// When a loop has to turn for the log; [`Instant::NEVER`] if nothing is due.
pub fn due_at() -> Instant {
    let state = LOGGER.state();
    let Some(state) = state.as_ref() else { return Instant::NEVER };
    let later = |at: Instant| if at == Instant::NEVER { at } else { at + LOOK_LATER };
    later(state.look_at.min(state.tell_at)).min(state.limiter.due_at())
}

/// Does what is due: looks for another syslogd, reports lost lines and floods. Returns a new socket for the
/// agent, if it needs one.
pub fn turn(now: Instant) -> Option<OwnedFd> {
    let mut state = LOGGER.state();
    let state = state.as_mut()?;
    let handed_over = if now >= state.look_at { state.look(now) } else { None };
    if now >= state.tell_at {
        state.tell_lost(now);
    }
    state.tell_floods(now, false);
    handed_over
}

impl State {
    /// Connects both sockets to whoever listens now.
    fn look(&mut self, now: Instant) -> Option<OwnedFd> {
        self.look_at = now + LOOK_EVERY;
        if let Some(syslog) = &mut self.syslog {
            syslog.to.connect();
        }
        let of_agent = self.of_agent.as_mut()?;
        if of_agent.connect() { of_agent.share() } else { None }
    }

    fn tell_lost(&mut self, now: Instant) {
        self.syslog.iter_mut().for_each(Outlet::tell_lost);
        self.stderr.iter_mut().for_each(Outlet::tell_lost);
        self.note_lost(now);
    }

    fn note_lost(&mut self, now: Instant) {
        let lost = self.syslog.as_ref().map_or(0, |syslog| syslog.lost);
        let is_lost = lost > 0 || self.stderr.as_ref().is_some_and(|stderr| stderr.lost > 0);
        self.tell_at = if is_lost { now + TELL_EVERY } else { Instant::NEVER };
    }

    fn tell_floods(&mut self, now: Instant, is_end: bool) {
        while let Some(HeldBack { newest: (level, text), more }) = self.limiter.next_due(now, is_end) {
            let line = Line::of(format_args!("{text}{}", And(more)));
            self.write(level, line.as_str(), now);
        }
    }

    fn log(&mut self, record: &Record<'_>, now: Instant) {
        let line = Line::of(*record.args());
        let most = match record.target() {
            RECORD => u16::MAX,
            SCRIPT => MOST_OF_SCRIPTS,
            _ => MOST_OF_A_PLACE,
        };
        let is_limited = most < u16::MAX;
        let sample = || (record.level(), line.prefix());
        if !is_limited || self.limiter.admit(now, place(record, line.as_str()), most, sample()).is_some() {
            self.write(record.level(), line.as_str(), now);
        } else {
            self.held_back = self.held_back.saturating_add(1);
        }
    }

    fn write(&mut self, level: Level, text: &str, now: Instant) {
        if let Some(syslog) = &mut self.syslog {
            syslog.write(level, text);
        }
        if let Some(stderr) = &mut self.stderr {
            stderr.write(level, text);
        }
        if self.tell_at == Instant::NEVER {
            self.note_lost(now);
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(state) = self.state().as_mut().filter(|_| self.enabled(record.metadata())) {
            state.log(record, now());
        }
    }

    /// Reports what was held back, since this process ends.
    fn flush(&self) {
        if let Some(state) = self.state().as_mut() {
            state.tell_floods(now(), true);
        }
    }
}

/// The remark behind a line that stands for others too.
pub struct And(pub u32);

impl std::fmt::Display for And {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            more => write!(out, " ... and {more} more like this in {} s", WINDOW.as_ms() / 1_000),
        }
    }
}

/// What tells lines of one kind from others (FNV-1a of target, level and the first words of the text): a
/// build for routers does not know where in the program a line is made. Numbers, addresses and what somebody
/// else has written differ from line to line; a group's name may.
fn place(record: &Record<'_>, text: &str) -> u32 {
    let is_varying = |word: &&str| word.bytes().any(|byte| byte.is_ascii_digit());
    let is_foreign = |word: &&str| word.contains(['"', '`']);
    let words = text.split(' ').take_while(|word| !is_foreign(word)).filter(|word| !is_varying(word));
    // What scripts write is of one kind, whatever it is.
    let count = if record.target() == SCRIPT { 0 } else { WORDS_OF_A_PLACE };
    let level = [severity(record.level())];
    let words = words.take(count).flat_map(str::bytes);
    let bytes = record.target().bytes().chain(level).chain(words);
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// RFC 5424, 6.2.1.
const fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests;
