//! The worker: it answers questions, and can do nothing else.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crosswire::time::{Instant, Span};
use log::{error, info};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::orders::{Ear, Hearing, Order};
use super::registry::{Incoming, Registry};
use super::tally::Tally;
use crate::sys::datagrams::{BATCH, Batch};
use crate::{clock, logger};

/// How often it says that it lives.
const ALIVE_EVERY: Span = Span::from_s(1);
/// The most datagrams of a socket in one turn, so that orders and the other socket get theirs.
const MAX_BATCHES: usize = 16;
/// The most orders in one turn: keys for many pairs come while questions are answered.
const MAX_ORDERS: usize = 256;
/// A socket and an ear for each protocol.
const MAX_DESCRIPTORS: usize = 4;

/// The worker.
pub struct Worker {
    sockets: Vec<OwnedFd>,
    ear: Ear,
    registry: Registry,
    incoming: Option<Incoming>,
    batch: Batch,
    tally: Tally,
    alive_at: Instant,
}

impl Worker {
    /// Has no keys yet.
    pub fn new(sockets: Vec<OwnedFd>, ear: Ear) -> Self {
        let now = clock::now();
        Self {
            sockets,
            ear,
            registry: Registry::default(),
            incoming: None,
            batch: Batch::new(),
            tally: Tally::new(now),
            // Not before there are keys.
            alive_at: Instant::NEVER,
        }
    }

    /// Works until the keeper wants an end, or is gone.
    pub fn run(mut self) {
        while self.obey() {
            self.wait();
            for index in 0..self.sockets.len() {
                self.answer(index);
            }
            self.tell_due(clock::now(), false);
        }
        self.tell_due(clock::now(), true);
        log::logger().flush();
    }

    /// Carries out what the keeper has said. False at the end.
    fn obey(&mut self) -> bool {
        for _ in 0..MAX_ORDERS {
            match self.ear.hear() {
                Hearing::Order(order) => self.carry_out(order),
                Hearing::Nothing => return true,
                Hearing::Gone => return false,
            }
        }
        true
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Begin { office, pairs } => self.incoming = Some(Incoming::new(office, pairs)),
            Order::Pair { label, secrets } => {
                if let Some(incoming) = &mut self.incoming {
                    incoming.push(label, &secrets);
                }
            }
            Order::End => self.take_keys(),
            Order::Report => self.tally.report(&self.registry),
            Order::Log(socket) => logger::take(socket),
        }
    }

    fn take_keys(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        self.registry.replace(incoming);
        let (pairs, keys) = self.registry.counts();
        info!("answers; pairs: {pairs}, keys: {keys}");
        self.ear.tell_alive();
        self.alive_at = clock::now() + ALIVE_EVERY;
    }

    /// Waits for a datagram, an order, or the next thing that is due.
    fn wait(&self) {
        let now = clock::now();
        let due_at = self.alive_at.min(self.tally.due_at()).min(logger::due_at());
        let timeout = Duration::from_micros(due_at.since(now).as_us().min(ALIVE_EVERY.as_us()));
        let mut fds: heapless::Vec<PollFd<'_>, MAX_DESCRIPTORS> = heapless::Vec::new();
        let descriptors = self.sockets.iter().map(AsFd::as_fd).chain([self.ear.as_fd()]);
        fds.extend(descriptors.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        // A signal or a kernel out of memory: the turn finds out what there is.
        let _ = ppoll(&mut fds, Some(TimeSpec::from(timeout)), None);
    }

    /// Answers what waits at a socket.
    fn answer(&mut self, socket: usize) {
        let Some(socket) = self.sockets.get(socket) else { return };
        for _ in 0..MAX_BATCHES {
            let count = match self.batch.receive(socket) {
                Ok(count) => count,
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(errno) => return error!("datagrams cannot be received: {}", errno.desc()),
            };
            // Later than they came: what is granted is kept for longer than the holder reckons.
            let now = clock::now();
            for index in 0..count {
                let bytes = self.batch.bytes(index);
                match self.registry.answer(now, bytes) {
                    Ok((reply, is_counted)) => {
                        self.tally.note_answer(is_counted);
                        self.batch.answer(index, &reply);
                    }
                    Err(why) => {
                        let seen = (bytes.len(), self.batch.sender(index));
                        self.tally.note_refused(now, why, seen, &self.registry);
                    }
                }
            }
            self.tally.note_unsent(self.batch.send(socket));
            if count < BATCH {
                return;
            }
        }
    }

    fn tell_due(&mut self, now: Instant, is_end: bool) {
        if now >= self.alive_at {
            self.alive_at = now + ALIVE_EVERY;
            self.ear.tell_alive();
        }
        self.tally.tell_due(now, is_end, &self.registry);
        let _ = logger::turn(now);
    }
}
