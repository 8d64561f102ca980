//! Asking the voting witness: questions and replies as datagrams.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crosswire::frame::Key;
use crosswire::vote::keys::{WitnessKey, secret_of};
use crosswire::vote::wire::{Question, REPLY_BYTES, Reply};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, recv, sendto, socket};

/// The voting witness of a pair, as the agent asks it.
pub struct Voter {
    to: SockaddrStorage,
    is_v6: bool,
    key: WitnessKey,
    /// Opened with the first question; none where the box lacks the protocol.
    socket: Option<OwnedFd>,
}

impl Voter {
    /// Asks the witness at this address, with the key that the pair sends with; `None` if there is no key.
    pub fn new(to: SocketAddr, pair: &str, keys: &[Key]) -> Option<Self> {
        let key = WitnessKey::new(&secret_of(pair, keys.first()?));
        let mut voter = Self { to: SockaddrStorage::from(to), is_v6: to.is_ipv6(), key, socket: None };
        voter.open();
        Some(voter)
    }

    fn open(&mut self) {
        let family = if self.is_v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        self.socket = socket(family, SockType::Datagram, flags, None).ok();
    }

    /// What to poll.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Sends a question. One that cannot leave is not answered.
    pub fn ask(&mut self, question: &Question) {
        if self.socket.is_none() {
            self.open();
        }
        let Some(socket) = &self.socket else { return };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _ = sendto(socket.as_raw_fd(), &question.seal(&self.key), &self.to, flags);
    }

    /// Reads a datagram: its reply if it is authentic, whoever sent it. `None` if there is none to read.
    pub fn read(&self) -> Option<Option<Reply>> {
        let socket = self.socket.as_ref()?;
        // One byte more tells a longer datagram from a reply.
        let mut room = [0; REPLY_BYTES + 1];
        match recv(socket.as_raw_fd(), &mut room, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Some(Reply::open(room.get(..length).unwrap_or_default(), &self.key)),
            // A router said that an earlier question did not get through.
            Err(Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH) => Some(None),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use crosswire::pair::Side;
    use crosswire::time::{Instant, Span};
    use crosswire::vote::claimant::Claimant;
    use crosswire::vote::grants::{Grants, Office};

    use super::*;

    #[test]
    fn a_question_is_answered_and_what_is_no_reply_is_passed_over() {
        let witness = UdpSocket::bind("127.0.0.1:0").unwrap();
        let keys = [Key { id: 3, bytes: (0..32).collect() }];
        let mut voter = Voter::new(witness.local_addr().unwrap(), "gateway", &keys).unwrap();
        let mut claimant = Claimant::new(Side::A, [1; 8], Span::from_ms(500), Span::from_s(1));
        let question = claimant.ask(Instant::from_us(1_000), 0);
        voter.ask(&question);
        let mut room = [0; 256];
        let (length, from) = witness.recv_from(&mut room).unwrap();
        let key = WitnessKey::new(&secret_of("gateway", &keys[0]));
        let office = Office { run: [9; 8], secret: [9; 16] };
        let mut grants = Grants::new();
        let reply = grants.hear(&office, &key, Instant::from_us(5), &room[..length]).unwrap();
        let sealed = reply.seal(&key);
        witness.send_to(&[0; 900], from).unwrap();
        witness.send_to(&[], from).unwrap();
        witness.send_to(&sealed[..REPLY_BYTES - 1], from).unwrap();
        witness.send_to(&sealed, from).unwrap();
        let read = || loop {
            if let Some(read) = voter.read() {
                break read;
            }
        };
        assert_eq!([read(), read(), read()], [None; 3]);
        assert_eq!(read(), Some(reply));
        assert!(voter.read().is_none());
    }
}
