//! The keeper: it reads the keys, starts the worker, and tells it what it has to know.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use crosswire::time::{Instant, Span};
use crosswire::vote::grants::Office;
use log::{error, info, warn};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::wait::WaitPidFlag;
use nix::unistd::{ForkResult, Pid};

use super::key_files::KeySet;
use super::orders::{self, Ear, Orders};
use super::worker::Worker;
use crate::guard::agent_process::privileges;
use crate::guard::scripts::run::{Ended, how_ended};
use crate::guard::sd_notify::ServiceManager;
use crate::settings::ConfigError;
use crate::sys::process::{close_all_but, fork};
use crate::{clock, gather::Gather, logger};

/// The exit code of a worker that will not run, which another one would not either.
const REFUSED: i32 = 1;
/// How long after the last one another worker is started.
const AGAIN_AFTER: Span = Span::from_s(1);
/// How long a worker may take to end.
const END_WITHIN: Span = Span::from_s(2);
/// The loop turns at least this often.
const MAX_WAIT: Span = Span::from_s(60);
/// The most findings about the directory of keys that are logged at a time.
const MAX_FINDINGS: usize = 20;

/// What a keeper is given.
pub struct Keeper<'a> {
    /// Where the worker's empty root is.
    pub run_dir: PathBuf,
    /// The directory of keys.
    pub keys_dir: PathBuf,
    /// What is good of it.
    pub keys: KeySet,
    /// What is listened to.
    pub sockets: Vec<OwnedFd>,
    /// Draws another office: at each start of a worker, and for keys that are new.
    pub draw: &'a dyn Fn(&KeySet) -> Option<Office>,
}

/// The worker of now.
struct Child {
    /// `None` once nobody listens to it any more.
    orders: Option<Orders>,
    /// `None` once it was reaped.
    pid: Option<Pid>,
    started_at: Instant,
}

/// The keeper at work.
struct Loop<'a> {
    keeper: Keeper<'a>,
    child: Child,
    signals: SignalFd,
    service_manager: Option<ServiceManager>,
    is_ready: bool,
    /// When a worker has to be gone; [`Instant::NEVER`] before the end.
    end_at: Instant,
    has_failed: bool,
}

/// The signals that the keeper reads from a descriptor.
fn signals() -> SigSet {
    [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1].into_iter().collect()
}

/// Lives until it is told to stop. Returns whether it ended as it should; never returns in a child.
///
/// # Errors
/// What the kernel says to the first worker, or to the descriptor of the signals.
pub fn run(keeper: Keeper<'_>) -> nix::Result<bool> {
    signals().thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let mut running = Loop {
        child: Child { orders: None, pid: None, started_at: Instant::ORIGIN },
        signals: SignalFd::with_flags(&signals(), flags)?,
        service_manager: ServiceManager::of_environment(),
        is_ready: false,
        end_at: Instant::NEVER,
        has_failed: false,
        keeper,
    };
    running.start()?;
    while !running.is_over() {
        running.wait();
        running.turn(clock::now());
    }
    Ok(!running.has_failed)
}

/// Logs what is wrong with the directory of keys.
pub fn tell_findings(errors: &[ConfigError]) {
    errors.iter().take(MAX_FINDINGS).for_each(|finding| error!("{finding}"));
    if let Some(more) = errors.len().checked_sub(MAX_FINDINGS).filter(|more| *more > 0) {
        error!("{more} more findings in the directory of keys: `crosswire witness --check` shows them all");
    }
}

impl Loop<'_> {
    /// Starts a worker and gives it the keys.
    fn start(&mut self) -> nix::Result<()> {
        let (orders, ear) = orders::pair()?;
        let office = (self.keeper.draw)(&self.keeper.keys).ok_or(nix::errno::Errno::EAGAIN)?;
        match fork()? {
            ForkResult::Child => {
                drop(orders);
                // Nothing of the keeper's may be dropped by its child.
                std::process::exit(self.be_worker(ear));
            }
            ForkResult::Parent { child } => {
                self.child = Child { orders: Some(orders), pid: Some(child), started_at: clock::now() };
            }
        }
        self.tell(|orders, keys| orders.send_keys(&office, keys));
        Ok(())
    }

    /// The life of a worker, in a child of the keeper. Returns its exit code.
    fn be_worker(&mut self, ear: Ear) -> i32 {
        let mut keeps = logger::become_agent();
        keeps.push(ear.as_fd().as_raw_fd());
        keeps.extend(self.keeper.sockets.iter().map(AsRawFd::as_raw_fd));
        close_all_but(&mut keeps);
        // The keys come once it can see nothing else: it needs no copy of the keeper's.
        self.keeper.keys = KeySet::default();
        match privileges::drop_all(&self.keeper.run_dir, 0) {
            Ok(dropped) => dropped.kept.iter().for_each(|kept| warn!("the witness could not give up {kept}")),
            Err(error) => {
                error!("the witness will not run: {error}");
                return REFUSED;
            }
        }
        Worker::new(std::mem::take(&mut self.keeper.sockets), ear).run();
        0
    }

    /// Says something to the worker; one that does not listen is ended.
    fn tell(&mut self, say: impl FnOnce(&Orders, &KeySet) -> nix::Result<()>) {
        let Some(orders) = &self.child.orders else { return };
        if let Err(errno) = say(orders, &self.keeper.keys) {
            error!("the witness's worker does not listen: {}; another one is started", errno.desc());
            self.child.dismiss(Signal::SIGKILL);
        }
    }

    fn is_over(&self) -> bool {
        self.end_at != Instant::NEVER && self.child.pid.is_none()
    }

    fn wait(&self) {
        let now = clock::now();
        let again_at = match self.child.pid {
            None => self.child.started_at + AGAIN_AFTER,
            Some(_) => Instant::NEVER,
        };
        let due_at = again_at.min(self.end_at).min(logger::due_at());
        let timeout = Duration::from_micros(due_at.since(now).as_us().min(MAX_WAIT.as_us()));
        let descriptors = [self.signals.as_fd()].into_iter().chain(self.child.orders.iter().map(AsFd::as_fd));
        let mut fds: Vec<PollFd<'_>> = descriptors.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).gather();
        // A signal or a kernel out of memory: the turn finds out what there is.
        let _ = ppoll(&mut fds, Some(TimeSpec::from(timeout)), None);
    }

    fn turn(&mut self, now: Instant) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                Some(Signal::SIGHUP) => self.reload(),
                Some(Signal::SIGUSR1) => self.tell(|orders, _| orders.ask_for_report()),
                Some(Signal::SIGTERM | Signal::SIGINT) => self.end(now),
                // The end of a child is looked for below.
                _ => {}
            }
        }
        self.hear(now);
        self.reap(now);
        if self.child.pid.is_none()
            && self.end_at == Instant::NEVER
            && now >= self.child.started_at + AGAIN_AFTER
        {
            self.start_again(now);
        }
        if now >= self.end_at {
            self.child.dismiss(Signal::SIGKILL);
        }
        if let Some(socket) = logger::turn(now) {
            self.tell(|orders, _| orders.hand_over_log(&socket));
        }
    }

    /// Passes the worker's sign of life on. Nothing else is read of what it says.
    fn hear(&mut self, now: Instant) {
        match self.child.orders.as_ref().map(Orders::is_alive) {
            Some(Some(true)) => {
                if !self.is_ready {
                    self.is_ready = true;
                    self.service_manager.iter().for_each(ServiceManager::tell_ready);
                }
                self.service_manager.iter_mut().for_each(|manager| manager.tell_alive(now));
            }
            Some(None) => self.child.orders = None,
            Some(Some(false)) | None => {}
        }
    }

    /// Notices that the worker has ended.
    fn reap(&mut self, now: Instant) {
        let Some(pid) = self.child.pid else { return };
        let Some(how) = how_ended(pid, WaitPidFlag::empty()) else { return };
        (self.child.pid, self.child.orders) = (None, None);
        if self.end_at != Instant::NEVER {
            return;
        }
        if matches!(how, Ended::Exited(REFUSED)) {
            // It has said why.
            (self.has_failed, self.end_at) = (true, now);
            return;
        }
        error!("the witness's worker (process {pid}) has ended: {how}; another one is started");
    }

    fn start_again(&mut self, now: Instant) {
        if let Err(errno) = self.start() {
            error!("no other worker can be started: {}; tried again", errno.desc());
            self.child.started_at = now;
        }
    }

    /// Reads the directory anew. Unless all of it is good, everything stays as it is.
    fn reload(&mut self) {
        let (keys, mut errors) = KeySet::read(&self.keeper.keys_dir);
        errors.extend(keys.split_since(&self.keeper.keys, &self.keeper.keys_dir));
        let Some(office) = (self.keeper.draw)(&keys).filter(|_| errors.is_empty()) else {
            tell_findings(&errors);
            error!("the keys of before stay");
            return;
        };
        info!("read {} anew", self.keeper.keys_dir.display());
        self.keeper.keys = keys;
        self.tell(|orders, keys| orders.send_keys(&office, keys));
    }

    fn end(&mut self, now: Instant) {
        self.service_manager.iter().for_each(ServiceManager::tell_stopping);
        // It sees that our end is closed.
        self.child.orders = None;
        self.end_at = self.end_at.min(now + END_WITHIN);
    }
}

impl Child {
    /// Listens to it no longer, and ends it.
    fn dismiss(&mut self, signal: Signal) {
        self.orders = None;
        if let Some(pid) = self.pid {
            let _ = kill(pid, signal);
        }
    }
}
