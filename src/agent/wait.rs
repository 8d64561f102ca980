//! Waiting, and what woke us. A turn reads what the kernel says is there, and no more; but silence is judged only after
//! everything that had arrived was read.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crosswire::config::{MAX_PATHS, PathId};
use crosswire::time::{Instant, Span};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::Agent;
use super::ports::Port;
use crate::clock;

/// Most descriptors that are waited for: eight paths, a few listeners for each, guard, control and its clients.
const MAX_DESCRIPTORS: usize = 48;
/// The loop turns at least this often.
const MAX_WAIT: Span = Span::from_s(60);
/// What the kernel has said counts for this long: a loop that is held up for longer between reading and judging reads again.
const PROMPT: Span = Span::from_ms(2);
/// How often it reads again at most. A flood may take longer to read than that.
const MAX_READINGS: usize = 3;

/// What a descriptor is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Guard,
    Path(PathId),
    Listeners,
    Witnesses,
    Operators,
}

/// Where something has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ready {
    pub guard: bool,
    paths: [bool; MAX_PATHS],
    pub listeners: bool,
    pub witnesses: bool,
    pub operators: bool,
}

impl Ready {
    /// Everything is read, whatever the kernel says.
    const ALL: Self = Self { guard: true, paths: [true; MAX_PATHS], listeners: true, witnesses: true, operators: true };

    fn note(&mut self, source: Source) {
        match source {
            Source::Guard => self.guard = true,
            Source::Path(path) => self.paths.iter_mut().skip(path.index()).take(1).for_each(|is| *is = true),
            Source::Listeners => self.listeners = true,
            Source::Witnesses => self.witnesses = true,
            Source::Operators => self.operators = true,
        }
    }

    pub fn path(&self, index: usize) -> bool {
        self.paths.get(index).copied().unwrap_or(true)
    }
}

/// Why the wait is over.
#[derive(Clone, Copy, Debug)]
pub struct Waking {
    pub ready: Ready,
    /// Until when there was nothing to judge.
    deadline: Instant,
    /// The wait lasted until then, and nothing had arrived.
    is_empty: bool,
}

impl Agent<'_> {
    /// Waits for something to read, or for the next deadline.
    pub(super) fn wait(&self) -> Waking {
        let now = clock::now();
        let deadline = self.deadline(now);
        let mut sources: heapless::Vec<Source, MAX_DESCRIPTORS> = heapless::Vec::new();
        let mut fds: heapless::Vec<PollFd<'_>, MAX_DESCRIPTORS> = heapless::Vec::new();
        self.each_descriptor(&mut |source, descriptor| {
            let _ = sources.push(source);
            let _ = fds.push(PollFd::new(descriptor, PollFlags::POLLIN));
        });
        let timeout = TimeSpec::from(Duration::from_micros(deadline.since(now).as_us().min(MAX_WAIT.as_us())));
        let mut ready = Ready::default();
        let is_empty = match ppoll(&mut fds, Some(timeout), None) {
            Ok(count) => {
                let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
                fds.iter().zip(sources).filter(|(fd, _)| is_ready(fd)).for_each(|(_, source)| ready.note(source));
                count == 0
            }
            // EINTR, or a kernel that is out of memory.
            Err(_) => {
                ready = Ready::ALL;
                false
            }
        };
        Waking { ready, deadline, is_empty }
    }

    fn deadline(&self, now: Instant) -> Instant {
        let retries = self.ports.iter().map(Port::retry_at);
        let own = [self.node.due_at(now), self.end_at, self.self_test.deadline(), now + MAX_WAIT];
        retries.chain(own).min().unwrap_or(now)
    }

    fn each_descriptor<'a>(&'a self, each: &mut dyn FnMut(Source, BorrowedFd<'a>)) {
        if self.end_at == Instant::NEVER {
            each(Source::Guard, self.guard.descriptor());
        }
        for port in &self.ports {
            port.descriptor().into_iter().for_each(|descriptor| each(Source::Path(port.id), descriptor));
        }
        self.listeners.iter().for_each(|listener| each(Source::Listeners, listener.descriptor.as_fd()));
        self.asker.descriptors().for_each(|descriptor| each(Source::Witnesses, descriptor));
        self.control.descriptors().for_each(|descriptor| each(Source::Operators, descriptor));
    }

    /// Hands in what has arrived, and says at which instant that was everything. Before a deadline there is nothing to judge
    /// that what is still unread could change. From then on the kernel must have said a moment ago that nothing is left:
    /// whoever was stopped in between, by a debugger or a busy machine, reads whatever may have come.
    pub(super) fn hear_everything(&mut self, waking: &Waking) -> Instant {
        self.hear(&waking.ready);
        let mut now = clock::now();
        let mut asked_at = if waking.is_empty { waking.deadline } else { Instant::ORIGIN };
        for _ in 0..MAX_READINGS {
            if now < waking.deadline || now.since(asked_at) <= PROMPT {
                break;
            }
            asked_at = now;
            self.hear(&Ready::ALL);
            now = clock::now();
        }
        now
    }
}
