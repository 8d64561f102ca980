//! The small protocol that two tests speak with each other: not the pair's, so that a daemon at the other end takes it for a
//! stranger's and stays where it is.
//!
//! Frames go over the line as the pair's do: `00 COBS(body) 00`, body = `ct` · from 4 · to 4 · postcard message · CRC-32.

use std::os::fd::{AsFd, OwnedFd};

use crosswire::frame::delimit::{Collector, Gathered, wrap};
use crosswire::frame::message::decode_all;
use crosswire::frame::seal::{crc32, open};
use crosswire::frame::{Body, CRC_BYTES};
use crosswire::time::{Instant, Span};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::termios::{FlushArg, tcflush};
use nix::unistd::{read, write};
use serde::{Deserialize, Serialize};

use super::outcome::{Heard, Speed, Wires};
use crate::clock;
use crate::guard::ports::{OpenError, set_speed};

const MAGIC: [u8; 2] = *b"ct";
/// Magic, sender, receiver.
const HEAD_BYTES: usize = 10;
/// Text of an echo: a frame of it is as long as a heartbeat.
pub const ECHO_BYTES: usize = 40;

/// Tells one run of the test from any other.
pub type Nonce = [u8; 4];

/// What is said.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// 'Here I am'; addressed to whom we hear.
    Hello,
    /// 'Drive these lines, and say what you see.'
    Drive(u16),
    /// The lines that the answering side sees, and those that follow its own.
    Seen(u16, u16),
    /// 'Go to this speed when you have answered.'
    Go(u32),
    /// To whatever needs no other answer.
    Yes,
    /// To be sent back.
    Echo(heapless::Vec<u8, ECHO_BYTES>),
    /// What was found of the lines, as the asking side sees it.
    Wires(Wires),
    /// What was found of a speed.
    Speed(Speed),
    /// That was all.
    Done,
}

/// One end.
pub struct Link {
    port: OwnedFd,
    name: String,
    me: Nonce,
    peer: Option<Nonce>,
    collector: Collector,
    /// What has come in so far.
    pub heard: Heard,
}

impl Link {
    /// An end on an open port.
    pub fn new(port: OwnedFd, name: String, me: Nonce) -> Self {
        Self { port, name, me, peer: None, collector: Collector::default(), heard: Heard::default() }
    }

    /// The port.
    pub fn port(&self) -> &OwnedFd {
        &self.port
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
        set_speed(&self.port, &self.name, baud)?;
        // Half a frame of the old speed is worth nothing.
        let _ = tcflush(&self.port, FlushArg::TCIFLUSH);
        self.collector = Collector::default();
        Ok(())
    }

    /// Sends; what does not fit into the port's buffer is lost, as on the line.
    pub fn say(&self, message: &Message) {
        let mut body = Body::new();
        let mut room = [0; 96];
        let text = postcard::to_slice(message, &mut room).unwrap_or(&mut []);
        for part in [&MAGIC[..], &self.me, &self.peer.unwrap_or_default(), text] {
            let _ = body.extend_from_slice(part);
        }
        let _ = body.extend_from_slice(&crc32(&body).to_le_bytes());
        let _ = write(&self.port, &wrap(&body));
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
                    let _ = ppoll(&mut [PollFd::new(self.port.as_fd(), PollFlags::POLLIN)], Some(timeout), None);
                }
            }
        }
    }

    fn take(&mut self, byte: u8) -> Option<(Message, bool)> {
        let body = match self.collector.push(byte)? {
            Gathered::Noise => {
                self.heard.noise = self.heard.noise.saturating_add(1);
                return None;
            }
            Gathered::Body(body) => Body::from_slice(body).unwrap_or_default(),
        };
        let (message, from, to) = match parse(&body) {
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
        let is_for_us = to == self.me;
        self.heard.is_heard_there |= is_for_us;
        Some((message, is_for_us))
    }

    /// Something that frames, but not as a test: a daemon of a pair, or a broken frame.
    fn note_stranger(&mut self, body: &[u8]) {
        match open(body) {
            Ok(frame) => self.heard.daemon_of_pair = Some(frame.header.pair),
            Err(_) => self.heard.noise = self.heard.noise.saturating_add(1),
        }
    }

    /// Asks until an answer comes that fits, five times at most: half of all frames may be lost.
    pub fn ask<T>(&mut self, question: &Message, patience: Span, fits: impl Fn(&Message) -> Option<T>) -> Option<T> {
        for _ in 0..5 {
            self.say(question);
            let until = clock::now() + patience;
            while let Some((answer, is_for_us)) = self.hear(until) {
                if let Some(found) = fits(&answer).filter(|_| is_for_us) {
                    return Some(found);
                }
            }
        }
        None
    }
}

fn parse(body: &[u8]) -> Option<(Message, Nonce, Nonce)> {
    let (covered, crc) = body.split_last_chunk::<CRC_BYTES>()?;
    let (head, text) = covered.split_first_chunk::<HEAD_BYTES>()?;
    let [c, t, f0, f1, f2, f3, t0, t1, t2, t3] = *head;
    if [c, t] != MAGIC || crc32(covered).to_le_bytes() != *crc {
        return None;
    }
    decode_all(text).map(|message| (message, [f0, f1, f2, f3], [t0, t1, t2, t3]))
}
