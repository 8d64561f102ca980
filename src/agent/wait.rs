//! Waiting, and what woke us.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crosswire::time::{Instant, Span};
use crosswire::turn::{Ready, Source, Waking};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::Agent;
use super::vote::Voter;
use crate::clock;
use crate::logger;

/// The most descriptors that are waited for: eight paths, a few listeners for each, the guard, both sockets
/// on which commands ask, and their clients.
const MAX_DESCRIPTORS: usize = 56;
/// The loop turns at least this often.
const MAX_WAIT: Span = Span::from_s(60);

impl Agent<'_> {
    /// Waits for something to read, or for the next deadline. Also returns when it began to wait, and which
    /// sources could wake nobody.
    pub(super) fn wait(&self) -> (Instant, Waking, Ready) {
        let now = clock::now();
        let (waiting, waiting_until) = self.waiting(now);
        let deadline = self.deadline(now).min(waiting_until);
        let mut sources: heapless::Vec<Source, MAX_DESCRIPTORS> = heapless::Vec::new();
        let mut fds: heapless::Vec<PollFd<'_>, MAX_DESCRIPTORS> = heapless::Vec::new();
        self.each_descriptor((now, waiting), &mut |source, descriptor| {
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
                    .zip(&sources)
                    .filter(|(fd, _)| is_ready(fd))
                    .for_each(|(_, source)| ready.note(*source));
            }
            // EINTR, or a kernel that is out of memory.
            Err(_) => ready = Ready::ALL,
        }
        (now, Waking { ready, deadline, woke_at: clock::now() }, waiting)
    }

    /// The paths that wake nobody now, and when the first of them does again: they are read whenever
    /// something else wakes the agent.
    fn waiting(&self, now: Instant) -> (Ready, Instant) {
        let (mut waiting, mut earliest) = (Ready::default(), Instant::NEVER);
        for port in self.ports.iter().filter(|_| now >= self.asides_until) {
            let until = self.station.waits_until(port.id);
            if now < until {
                waiting.note(Source::Path(port.id));
                earliest = earliest.min(until);
            }
        }
        (waiting, earliest)
    }

    fn deadline(&self, now: Instant) -> Instant {
        let (own, told) = (self.station.due_at(now), self.control.due_at(now));
        let each = [own, told, self.end_at, self.limiter.due_at(), logger::due_at()];
        let mut earliest = each.into_iter().fold(now + MAX_WAIT, Instant::min);
        // A guard that gives no sign of life is not asked.
        for port in self.ports.iter().filter(|_| self.station.is_guard_heard()) {
            earliest = earliest.min(port.retry_at());
        }
        earliest
    }

    fn each_descriptor<'a>(
        &'a self,
        (now, waiting): (Instant, Ready),
        each: &mut dyn FnMut(Source, BorrowedFd<'a>),
    ) {
        if self.end_at == Instant::NEVER {
            each(Source::Guard, self.guard.descriptor());
        }
        for port in self.ports.iter().filter(|port| !waiting.has(Source::Path(port.id))) {
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
