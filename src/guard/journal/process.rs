//! The process that writes the journal, as the guard has it: both ends of the socket outlive it, so that what
//! it had not written yet is written by the next one.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crosswire::time::{Instant, Span};
use log::{error, info, warn};
use nix::sys::signal::SigSet;
use nix::sys::signal::SigmaskHow;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::WaitPidFlag;
use nix::unistd::Pid;

use super::writer::{self, JournalPlace};
use crate::guard::scripts::run::{Ended, how_ended};
use crate::operator::control::DEFAULT_GROUP;
use crate::operator::words;
use crate::settings::Settings;
use crate::sys::names;
use crate::sys::process::fork_into;

/// A writer that has lived for so long writes.
const PROVEN_AFTER: Span = Span::from_s(2);
/// How soon another one is started, at first and at last.
const WAITS: [Span; 2] = [Span::from_s(1), Span::from_s(300)];
/// How often it is looked for the end of the last writer, and how long to wait between two looks.
const LAST_LOOKS: u32 = 30;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The process of now, or what is known of the last one.
pub struct JournalProcess {
    base: PathBuf,
    group: Option<u32>,
    run_dir: PathBuf,
    /// What is to be written goes in at the first, and comes out at the second.
    ends: [OwnedFd; 2],
    pid: Option<Pid>,
    started_at: Instant,
    start_at: Instant,
    wait: Span,
    trouble: u8,
}

/// What the agent was told last of what was dropped: notices and lines of the log, and when.
#[derive(Default)]
pub struct ToldDrops {
    /// Notices, and lines of the log.
    pub counts: (u32, u32),
    /// When.
    pub at: Option<Instant>,
}

/// The process that writes the journal, where there is to be one.
pub fn process_of(settings: &Settings, run_dir: &Path) -> Option<JournalProcess> {
    let base = settings.journal_base()?;
    let group = names::group(settings.group.as_deref().unwrap_or(DEFAULT_GROUP)).map(|gid| gid.as_raw());
    JournalProcess::new(base, group, run_dir)
        .inspect_err(|errno| error!("journal: no socket for its process: {}", errno.desc()))
        .ok()
}

impl JournalProcess {
    /// None yet.
    ///
    /// # Errors
    /// `EMFILE` and the like.
    pub fn new(base: PathBuf, group: Option<u32>, run_dir: &Path) -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (put, take) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok(Self {
            base,
            group,
            run_dir: run_dir.to_path_buf(),
            ends: [put, take],
            pid: None,
            started_at: Instant::ORIGIN,
            start_at: Instant::ORIGIN,
            wait: WAITS[0],
            trouble: 0,
        })
    }

    /// Its process; 0 if there is none.
    pub fn pid(&self) -> i32 {
        self.pid.map_or(0, Pid::as_raw)
    }

    /// A process of another run of the guard still writes what it was given; the next one begins after it.
    pub fn take_over(&mut self, pid: i32, now: Instant) {
        (self.pid, self.started_at) = ((pid > 0).then_some(Pid::from_raw(pid)), now);
    }

    /// Where an agent puts what is to be written.
    pub fn end_of_agent(&self) -> Option<OwnedFd> {
        self.ends[0].try_clone().ok()
    }

    /// Why it is not written, as the number of an error; 0 if nothing is wrong.
    pub const fn trouble(&self) -> u8 {
        self.trouble
    }

    /// When [`tend`](Self::tend) has something to do.
    pub fn due_at(&self) -> Instant {
        match self.pid {
            None => self.start_at,
            Some(_) if self.trouble != 0 => self.started_at + PROVEN_AFTER,
            Some(_) => Instant::NEVER,
        }
    }

    /// Starts a writer if one is due. Returns whether the agent has to be told of the trouble of now.
    pub fn tend(&mut self, now: Instant) -> bool {
        if now < self.due_at() {
            return false;
        }
        if self.pid.is_some() {
            info!("journal: {} is written again", self.base.display());
            self.trouble = 0;
            return true;
        }
        match self.spawn() {
            Ok(pid) => (self.pid, self.started_at) = (Some(pid), now),
            Err(errno) => return self.put_off(now, errno as i32),
        }
        false
    }

    fn spawn(&self) -> nix::Result<Pid> {
        let place = JournalPlace { base: &self.base, group: self.group, run_dir: &self.run_dir };
        // No signal may meet the child before it ignores those that are for the guard.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let child = fork_into(|| writer::live(&place, &self.ends[1]));
        before.thread_set_mask()?;
        child
    }

    /// Sees whether the writer has ended, and why. Returns whether the agent has to be told.
    pub fn reap(&mut self, now: Instant) -> bool {
        let Some(how) = self.pid.and_then(|pid| how_ended(pid, WaitPidFlag::empty())) else { return false };
        self.pid = None;
        if now.since(self.started_at) >= WAITS[1] {
            self.wait = WAITS[0];
        }
        match how {
            Ended::Exited(code) => self.put_off(now, code),
            Ended::Killed(signal) => {
                info!("journal: its process has ended: signal {signal}");
                self.wait_longer(now);
                false
            }
        }
    }

    /// The daemon ends, and nobody else sends anything: gives the writer a moment for what is left. A service
    /// manager kills what it finds after us.
    pub fn finish(self) {
        let Self { ends, pid, .. } = self;
        drop(ends);
        let Some(pid) = pid else { return };
        for _ in 0..LAST_LOOKS {
            if how_ended(pid, WaitPidFlag::empty()).is_some() {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Another one is started later, and longer later each time.
    fn wait_longer(&mut self, now: Instant) {
        self.start_at = now + self.wait;
        self.wait = self.wait.fraction(2, 1).min(WAITS[1]);
    }

    /// Tries again later. What is wrong is said once.
    fn put_off(&mut self, now: Instant, code: i32) -> bool {
        self.wait_longer(now);
        let trouble = u8::try_from(code).unwrap_or(u8::MAX);
        let is_new = trouble != self.trouble;
        self.trouble = trouble;
        if is_new && trouble != 0 {
            warn!("journal: {} is not written: {}", self.base.display(), words::journal_trouble(trouble));
        }
        is_new
    }
}
