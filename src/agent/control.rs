//! The agent's end of the control socket: a few commands at a time, one question each.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockFlag, recv, send};

use crate::operator::control::{Answer, Question, decode, encode};
use crate::sys::sockets::accept;

/// Commands that may wait for an answer at once.
const MAX_CLIENTS: usize = 4;

/// Longest question: the name of a group, and room.
const MAX_QUESTION_BYTES: usize = 256;

/// The control socket and whoever has connected to it.
pub struct Control {
    listener: OwnedFd,
    clients: Vec<OwnedFd>,
}

impl Control {
    pub fn new(listener: OwnedFd) -> Self {
        Self { listener, clients: Vec::with_capacity(MAX_CLIENTS) }
    }

    /// What to poll.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.clients.iter().map(AsFd::as_fd))
    }

    /// The next question, and whom to answer. Who asks nothing is dropped as soon as its place is needed.
    pub fn next_question(&mut self) -> Option<(OwnedFd, Question)> {
        self.let_in();
        let mut room = [0; MAX_QUESTION_BYTES];
        let mut index = 0;
        while let Some(client) = self.clients.get(index) {
            match recv(client.as_raw_fd(), &mut room, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => index += 1,
                Err(_) => drop(self.clients.remove(index)),
                Ok(length) => {
                    let client = self.clients.remove(index);
                    if let Some(question) = room.get(..length).and_then(decode) {
                        return Some((client, question));
                    }
                }
            }
        }
        None
    }

    fn let_in(&mut self) {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        while let Ok(client) = accept(&self.listener, flags) {
            if self.clients.len() >= MAX_CLIENTS {
                self.clients.remove(0);
            }
            self.clients.push(client);
        }
    }
}

/// Answers, without waiting for whoever asked to read it.
pub fn reply(client: &OwnedFd, answer: &Answer) {
    if let Some(packet) = encode(answer) {
        let _ = send(client.as_raw_fd(), &packet, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
    }
}
