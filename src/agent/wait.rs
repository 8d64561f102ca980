//! Waiting, and what woke us.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crosswire::time::{Instant, Span};
use crosswire::turn::{Ready, Source, Waking};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::Agent;
use super::ports::Port;
use super::vote::Voter;
use crate::clock;
use crate::logger;

/// The most descriptors that are waited for: eight paths, a few listeners for each, the guard, both sockets
/// on which commands ask, and their clients.
const MAX_DESCRIPTORS: usize = 56;
/// The loop turns at least this often.
const MAX_WAIT: Span = Span::from_s(60);

impl Agent<'_> {
    /// Waits for something to read, or for the next deadline. Also returns when it began to wait.
    pub(super) fn wait(&self) -> (Instant, Waking) {
        let now = clock::now();
        let deadline = self.deadline(now);
        let mut sources: heapless::Vec<Source, MAX_DESCRIPTORS> = heapless::Vec::new();
        let mut fds: heapless::Vec<PollFd<'_>, MAX_DESCRIPTORS> = heapless::Vec::new();
        self.each_descriptor(now, &mut |source, descriptor| {
            let _ = sources.push(source);
            let _ = fds.push(PollFd::new(descriptor, PollFlags::POLLIN));
        });
        let timeout =
            TimeSpec::from(Duration::from_micros(deadline.since(now).as_us().min(MAX_WAIT.as_us())));
        let mut ready = Ready::default();
        match ppoll(&mut fds, Some(timeout), None) {
            Ok(_) => {
                let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
                fds.iter()
                    .zip(sources)
                    .filter(|(fd, _)| is_ready(fd))
                    .for_each(|(_, source)| ready.note(source));
            }
            // EINTR, or a kernel that is out of memory.
            Err(_) => ready = Ready::ALL,
        }
        (now, Waking { ready, deadline, woke_at: clock::now() })
    }

    /// Until when this port wakes nobody: it is read whenever something else does.
    fn waits_until(&self, now: Instant, port: &Port) -> Instant {
        if now < self.asides_until { Instant::ORIGIN } else { self.station.waits_until(port.id) }
    }

    pub(super) fn can_wait(&self, now: Instant, port: &Port) -> bool {
        now < self.waits_until(now, port)
    }

    fn deadline(&self, now: Instant) -> Instant {
        let (own, told) = (self.station.due_at(now), self.control.due_at(now));
        let each = [own, told, self.end_at, self.limiter.due_at(), logger::due_at()];
        let mut earliest = each.into_iter().fold(now + MAX_WAIT, Instant::min);
        for port in &self.ports {
            // A guard that gives no sign of life is not asked.
            if self.station.is_guard_heard() {
                earliest = earliest.min(port.retry_at());
            }
            let waits_until = self.waits_until(now, port);
            if now < waits_until {
                earliest = earliest.min(waits_until);
            }
        }
        earliest
    }

    fn each_descriptor<'a>(&'a self, now: Instant, each: &mut dyn FnMut(Source, BorrowedFd<'a>)) {
        if self.end_at == Instant::NEVER {
            each(Source::Guard, self.guard.descriptor());
        }
        for port in self.ports.iter().filter(|port| !self.can_wait(now, port)) {
            port.descriptor().into_iter().for_each(|descriptor| each(Source::Path(port.id), descriptor));
        }
        self.listeners.iter().for_each(|listener| each(Source::Wire, listener.descriptor.as_fd()));
        self.neighbourhood.descriptors(now).for_each(|descriptor| each(Source::Wire, descriptor));
        let voter = self.voter.as_ref().and_then(Voter::descriptor);
        voter.into_iter().for_each(|descriptor| each(Source::Witnesses, descriptor));
        self.asker.descriptors().for_each(|descriptor| each(Source::Witnesses, descriptor));
        self.control.descriptors(now).for_each(|descriptor| each(Source::Operators, descriptor));
    }
}
