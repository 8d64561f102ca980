//! The guard's end of the socket pair: messages both ways, and descriptors to the agent. It never waits.

use crosswire::encode::to_slice;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, recv, send, sendmsg};

use crate::gather::Gather;
use crate::ipc::{FromGuard, MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES, OpaqueDeposit, ToGuard};

/// An agent that leaves so many messages unread does not run any more.
const MAX_QUEUED: usize = 256;

/// What came from the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// An order.
    Message(ToGuard),
    /// Bytes that are no order: the agent is not what it should be.
    Garbage,
    /// Nothing for now.
    Nothing,
    /// The agent closed its end, or died.
    Gone,
}

/// The agent does not read what it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unread;

/// One end of a non-blocking sequenced-packet socket pair.
pub struct AgentLink {
    socket: OwnedFd,
    /// What the socket had no room for. A descriptor is closed as soon as it was sent: the guard keeps no
    /// copy.
    queue: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    /// Where renewals are confirmed and signs of life are given, so that nobody is woken by it.
    confirmations: Option<OwnedFd>,
    /// Room for a datagram, made once.
    room: Box<[u8]>,
    /// What is left there of the agent's last one: messages that share it are handed out one by one.
    rest: Range<usize>,
}

impl AgentLink {
    /// Takes over our end of the pair.
    pub fn new(socket: OwnedFd) -> Self {
        // One byte more than the longest datagram, so that a longer one does not pass for it.
        let room = vec![0; MAX_DATAGRAM_BYTES + 1].into_boxed_slice();
        Self { socket, queue: VecDeque::new(), confirmations: None, room, rest: 0..0 }
    }

    /// Takes over our end of the pair on which renewals are confirmed, and gives the agent its own.
    pub fn confirm_on(&mut self, ours: OwnedFd, theirs: OwnedFd) {
        self.confirmations = Some(ours);
        self.send(&FromGuard::Confirmations, Some(theirs));
    }

    /// Tells the agent something that wakes nobody. An agent that has no room for it does not run any more.
    pub fn confirm(&mut self, message: &FromGuard) {
        match &self.confirmations {
            Some(socket) => {
                let mut room = [0; MAX_MESSAGE_BYTES];
                let bytes = encode(message, &mut room);
                let _ = send(socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
            }
            None => self.send(message, None),
        }
    }

    /// The last datagram holds more messages.
    pub fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The next message, if any; a deposit goes to `deposit`, as it is.
    pub fn receive(&mut self, deposit: &mut OpaqueDeposit) -> Received {
        while !self.has_rest() {
            match recv(self.socket.as_raw_fd(), &mut self.room, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Received::Gone,
                Ok(length) => self.rest = 0..length,
                // An agent that dies before it has read all is announced so, once, before its last words.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(Errno::EAGAIN) => return Received::Nothing,
                Err(_) => return Received::Gone,
            }
        }
        let (received, left) = take_message(self.room.get(self.rest.clone()).unwrap_or_default(), deposit);
        self.rest.start = self.rest.end - left;
        received
    }

    /// Tells the agent something, now or when there is room.
    pub fn send(&mut self, message: &FromGuard, descriptor: Option<OwnedFd>) {
        self.queue.push_back((encode(message, &mut [0; MAX_MESSAGE_BYTES]).to_vec(), descriptor));
    }

    /// Sends what is queued, as far as there is room.
    pub fn flush(&mut self) -> Result<(), Unread> {
        while let Some((bytes, descriptor)) = self.queue.front() {
            let descriptors: Vec<_> = descriptor.iter().map(AsRawFd::as_raw_fd).gather();
            let rights = [ControlMessage::ScmRights(&descriptors)];
            let control = if descriptors.is_empty() { &[] } else { &rights[..] };
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                // If the agent is gone, that shows in what is received.
                Ok(_) | Err(_) => drop(self.queue.pop_front()),
            }
        }
        if self.queue.len() > MAX_QUEUED { Err(Unread) } else { Ok(()) }
    }

    /// Something waits for room.
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }
}

/// Takes the first message; also returns how many bytes follow it. Behind the word 'deposit' comes what is
/// deposited, to the end of the datagram; it must not be empty.
fn take_message(bytes: &[u8], deposit: &mut OpaqueDeposit) -> (Received, usize) {
    match crosswire::decode::take_from_bytes::<ToGuard>(bytes) {
        Some((ToGuard::Deposit, left)) if deposit.replace(left) => (Received::Message(ToGuard::Deposit), 0),
        Some((ToGuard::Deposit, _)) => (Received::Garbage, 0),
        Some((message, rest)) => (Received::Message(message), rest.len()),
        None => (Received::Garbage, 0),
    }
}

/// There is room for every message.
#[inline(never)]
fn encode<'a>(message: &FromGuard, room: &'a mut [u8; MAX_MESSAGE_BYTES]) -> &'a [u8] {
    to_slice(message, room).map_or(&[], |bytes| bytes)
}

impl AsFd for AgentLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;

    use crosswire::pair::PathId;
    use crosswire::time::Instant;
    use nix::cmsg_space;
    use nix::sys::socket::{
        AddressFamily, ControlMessageOwned, SockFlag, SockType, recvmsg, send, socketpair,
    };
    use proptest::prelude::*;

    use super::*;
    use crosswire::pair::GroupId;
    use crosswire::quorum::succession::MAX_DEPOSIT_BYTES;
    use crosswire::resource::{Order, Outcome, ReleaseOrder, Ticket, Token};

    fn pair() -> (AgentLink, OwnedFd) {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("a socket pair");
        (AgentLink::new(ours), theirs)
    }

    fn kept(bytes: &[u8]) -> OpaqueDeposit {
        OpaqueDeposit::new(bytes).expect("some, and not too many")
    }

    #[test]
    fn messages_are_read_one_by_one_until_the_agent_is_gone() {
        let (mut link, agent) = pair();
        let order = Order::Release { group: GroupId(3), first: ReleaseOrder::AddressesFirst };
        let ticket = ToGuard::Order(Ticket { token: Token(u32::MAX), valid_until: Instant::NEVER, order });
        for message in [ticket, ToGuard::Reopen(PathId(1)), ToGuard::Farewell] {
            let bytes = postcard::to_slice(&message, &mut [0; MAX_MESSAGE_BYTES]).expect("short").to_vec();
            send(agent.as_raw_fd(), &bytes, MsgFlags::empty()).expect("sent");
        }
        let mut deposit = OpaqueDeposit::default();
        let received: [_; 4] = std::array::from_fn(|_| link.receive(&mut deposit));
        let expected = [ticket, ToGuard::Reopen(PathId(1)), ToGuard::Farewell].map(Received::Message);
        assert_eq!(received[..3], expected);
        assert_eq!(received[3], Received::Nothing);
        drop(agent);
        assert_eq!(link.receive(&mut deposit), Received::Gone);
    }

    #[test]
    fn a_deposit_is_kept_as_it_is_and_one_that_is_empty_or_too_long_is_garbage() {
        let word = postcard::to_slice(&ToGuard::Deposit, &mut [0; 8]).expect("short").to_vec();
        let mut deposit = kept(&[9; 3]);
        let longest = [0xee; MAX_DEPOSIT_BYTES];
        let received = take_message(&[&word[..], &longest].concat(), &mut deposit).0;
        assert_eq!((received, &deposit), (Received::Message(ToGuard::Deposit), &kept(&longest)));
        assert_eq!(take_message(&word, &mut deposit).0, Received::Garbage);
        let too_long = [&word[..], &longest, &[0xee]].concat();
        assert_eq!(take_message(&too_long, &mut deposit).0, Received::Garbage);
        assert_eq!(deposit, kept(&longest));
    }

    #[test]
    fn messages_that_share_a_datagram_are_read_one_by_one_and_a_deposit_ends_it() {
        let bytes = |message: &ToGuard| postcard::to_slice(message, &mut [0; 8]).expect("short").to_vec();
        let (mut link, agent) = pair();
        let mut deposit = OpaqueDeposit::default();
        let datagram = [
            bytes(&ToGuard::Reopen(PathId(1))),
            bytes(&ToGuard::Farewell),
            bytes(&ToGuard::Deposit),
            vec![0, 4],
        ];
        send(agent.as_raw_fd(), &datagram.concat(), MsgFlags::empty()).expect("sent");
        let expected =
            [ToGuard::Reopen(PathId(1)), ToGuard::Farewell, ToGuard::Deposit].map(Received::Message);
        let received: [_; 3] = std::array::from_fn(|_| link.receive(&mut deposit));
        assert_eq!(received, expected);
        assert_eq!(
            (link.has_rest(), link.receive(&mut deposit), deposit),
            (false, Received::Nothing, kept(&[0, 4]))
        );
    }

    #[test]
    fn what_is_no_message_is_garbage() {
        let mut deposit = OpaqueDeposit::default();
        assert_eq!(take_message(&[250], &mut deposit).0, Received::Garbage);
        assert_eq!(take_message(&[], &mut deposit).0, Received::Garbage);
    }

    #[test]
    fn a_renewal_is_confirmed_where_nobody_waits() {
        let (mut link, agent) = pair();
        let renewed = FromGuard::Done { token: Token(7), outcome: Outcome::Renewed };
        let mut room = [0; MAX_MESSAGE_BYTES];
        link.confirm(&renewed);
        link.flush().expect("there is room");
        let length =
            recv(agent.as_raw_fd(), &mut room, MsgFlags::empty()).expect("as long as there is no other way");
        assert_eq!(postcard::from_bytes(&room[..length]), Ok(renewed));
        let (ours, theirs) = (pair().1, pair().1);
        link.confirm_on(ours, theirs);
        link.flush().expect("there is room");
        let length = recv(agent.as_raw_fd(), &mut room, MsgFlags::empty()).expect("the other way");
        assert_eq!(postcard::from_bytes(&room[..length]), Ok(FromGuard::Confirmations));
        link.confirm(&renewed);
        link.flush().expect("nothing is queued");
        let more = recv(agent.as_raw_fd(), &mut room, MsgFlags::MSG_DONTWAIT);
        assert_eq!(more, Err(Errno::EAGAIN));
    }

    #[test]
    fn a_descriptor_rides_along_and_no_copy_is_kept() {
        let (mut link, agent) = pair();
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let message = FromGuard::Path { path: PathId(0), errno: 0 };
        link.send(&message, Some(reader));
        assert_eq!(link.flush(), Ok(()));
        let mut bytes = [0; MAX_MESSAGE_BYTES];
        let mut control = cmsg_space!([std::os::fd::RawFd; 1]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg::<()>(agent.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty());
        let received = received.expect("a message");
        let length = received.bytes;
        let rights = received.cmsgs().expect("control data").next();
        let Some(ControlMessageOwned::ScmRights(descriptors)) = rights else { panic!("{rights:?}") };
        nix::unistd::close(descriptors[0]).expect("ours now");
        assert_eq!(postcard::from_bytes(&bytes[..length]), Ok(message));
        assert_eq!(nix::unistd::write(&writer, b"x"), Err(Errno::EPIPE), "every reading end is closed");
    }

    #[test]
    fn an_agent_that_does_not_read_is_noticed_and_one_that_does_loses_nothing() {
        let (mut link, agent) = pair();
        let mut told = 0u32;
        while link.flush().is_ok() {
            link.send(&FromGuard::Done { token: Token(told), outcome: Outcome::Renewed }, None);
            told += 1;
            assert!(told < 100_000, "the queue has an end");
        }
        assert!(link.has_queued());
        let mut heard = Vec::new();
        let mut bytes = [0; MAX_MESSAGE_BYTES];
        while heard.len() < told as usize {
            if let Ok(length) = recv(agent.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
                let message = postcard::from_bytes(&bytes[..length]).expect("a message");
                let FromGuard::Done { token, .. } = message else { panic!("{message:?}") };
                heard.push(token.0);
            }
            let _ = link.flush();
        }
        assert!(heard.into_iter().eq(0..told));
    }

    proptest! {
        #[test]
        fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 1..MAX_MESSAGE_BYTES + 1)) {
            if let Received::Message(message) = take_message(&bytes, &mut OpaqueDeposit::default()).0 {
                let mut buffer = [0; MAX_MESSAGE_BYTES];
                prop_assert!(postcard::to_slice(&message, &mut buffer).is_ok());
            }
        }
    }
}
