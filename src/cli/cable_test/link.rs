//! One end of a test: frames out, frames in, and whatever else comes in.

use std::os::fd::{AsFd, OwnedFd};

use crosswire::frame::Body;
use crosswire::frame::delimit::{Collector, Gathered, wrap};
use crosswire::frame::seal::open;
use crosswire::quorum::timing::line_time;
use crosswire::time::{Instant, Span};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::termios::{FlushArg, tcflush};
use nix::unistd::{read, write};

use super::outcome::Heard;
use crate::clock;
use crate::guard::serial::ports::{OpenError, set_speed};
use crate::tty::test_protocol::{DAEMON, Message, Nonce, decode, encode};

/// Longest round trip besides the line's time: a USB adapter's latency, a busy Pentium, a daemon's beat.
const ANSWER_WAIT: Span = Span::from_ms(400);
/// Bytes of the longest question and its answer on the line.
const LINE_BYTES: u64 = 2 * 60;

/// One end.
pub struct Link {
    port: OwnedFd,
    name: String,
    /// The speed in bits a second.
    baud: u32,
    me: Nonce,
    peer: Option<Nonce>,
    /// Something has come in at this speed, whatever it was.
    has_heard: bool,
    collector: Collector,
    /// What has come in so far.
    pub heard: Heard,
}

impl Link {
    /// An end on a port that is open at this speed.
    pub fn new(port: OwnedFd, name: String, baud: u32, me: Nonce) -> Self {
        let (collector, heard) = (Collector::default(), Heard::default());
        Self { port, name, baud, me, peer: None, has_heard: false, collector, heard }
    }

    /// The port.
    pub fn port(&self) -> &OwnedFd {
        &self.port
    }

    /// The present speed, in bits a second.
    pub fn baud(&self) -> u32 {
        self.baud
    }

    /// Whether the daemon of a pair talks at this speed.
    pub fn is_at_daemon(&self) -> bool {
        self.heard.daemon.is_some_and(|(_, baud)| baud == self.baud)
    }

    /// Whether nothing that came in at this speed means anything; at another speed it may.
    pub fn is_puzzled(&self) -> bool {
        let Heard { is_peer_there, echoes, .. } = self.heard;
        self.has_heard && !is_peer_there && echoes == 0 && !self.is_at_daemon()
    }

    /// Whether we drive the test: the end with the higher number does.
    pub fn leads(&self) -> bool {
        self.peer.is_some_and(|peer| self.me > peer)
    }

    /// Changes the speed; what came in at the old one is dropped.
    ///
    /// # Errors
    /// As [`set_speed`].
    pub fn go(&mut self, baud: u32) -> Result<(), OpenError> {
        (self.baud, self.has_heard) = (baud, false);
        set_speed(&self.port, &self.name, baud)?;
        // Half a frame of the old speed is useless.
        let _ = tcflush(&self.port, FlushArg::TCIFLUSH);
        self.collector = Collector::default();
        Ok(())
    }

    /// Sends; what does not fit into the port's buffer is lost, as on the line.
    pub fn say(&self, message: &Message) {
        let _ = write(&self.port, &wrap(&encode(self.me, self.peer.unwrap_or_default(), message)));
    }

    /// The next message of the other test, and whether it was meant for us; `None` if none comes in time.
    pub fn hear(&mut self, until: Instant) -> Option<(Message, bool)> {
        loop {
            let mut byte = [0; 1];
            match read(&self.port, &mut byte) {
                Ok(1) => {
                    if let Some(found) = self.take(byte[0]) {
                        return Some(found);
                    }
                }
                Ok(_) | Err(_) => {
                    let left = until.since(clock::now());
                    if left == Span::ZERO {
                        return None;
                    }
                    let timeout = std::time::Duration::from_micros(left.as_us()).into();
                    let _ =
                        ppoll(&mut [PollFd::new(self.port.as_fd(), PollFlags::POLLIN)], Some(timeout), None);
                }
            }
        }
    }

    fn take(&mut self, byte: u8) -> Option<(Message, bool)> {
        self.has_heard = true;
        let body = match self.collector.push(byte)? {
            Gathered::Noise => {
                self.heard.noise = self.heard.noise.saturating_add(1);
                return None;
            }
            Gathered::Body(body) => Body::from_slice(body).unwrap_or_default(),
        };
        let (message, from, to) = match decode(&body) {
            Some(parts) => parts,
            None => {
                self.note_stranger(&body);
                return None;
            }
        };
        if from == self.me {
            self.heard.echoes = self.heard.echoes.saturating_add(1);
            return None;
        }
        self.peer = Some(from);
        self.heard.is_peer_there = true;
        self.heard.is_answered_by_daemon = from == DAEMON;
        let is_for_us = to == self.me;
        self.heard.is_heard_there |= is_for_us;
        Some((message, is_for_us))
    }

    /// Notes a frame that is no test's: of a pair's daemon, or broken.
    fn note_stranger(&mut self, body: &[u8]) {
        match open(body) {
            Ok(frame) => self.heard.daemon = Some((frame.header.pair, self.baud)),
            Err(_) => self.heard.noise = self.heard.noise.saturating_add(1),
        }
    }

    /// Asks until a fitting answer comes, five times at most: half of all frames may be lost. Each time waits
    /// for [`ANSWER_WAIT`] and the line's time.
    pub fn ask(&mut self, question: &Message) -> Option<Message> {
        for _ in 0..5 {
            self.say(question);
            let until = self.answer_until();
            while let Some((answer, is_for_us)) = self.hear(until) {
                if is_for_us && fits(question, &answer) {
                    return Some(answer);
                }
            }
        }
        None
    }

    /// Until when an answer to the message just sent is in time.
    pub fn answer_until(&self) -> Instant {
        clock::now() + ANSWER_WAIT + line_time(LINE_BYTES, self.baud)
    }
}

/// Whether this can be the answer. An end that will not go to a speed answers that it is done.
fn fits(question: &Message, answer: &Message) -> bool {
    match question {
        Message::Hello => matches!(answer, Message::Hello),
        Message::Drive(_) => matches!(answer, Message::Seen(..)),
        Message::Go(_) => matches!(answer, Message::Yes | Message::Done),
        _ => matches!(answer, Message::Yes),
    }
}
