//! Conversations with the kernel's routing tables (rtnetlink, RFC 3549): requests that are acknowledged, and dumps.
//!
//! Every request carries a sequence number and is answered before the call returns. Events have a socket of
//! their own (`carrier.rs`), so that an answer is never lost among them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crosswire::time::Span;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, connect, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::clock::now;

/// Length of the header before every message (`struct nlmsghdr`).
const HEADER_BYTES: usize = 16;
/// As large as the kernel ever makes one datagram of a dump.
const RECEIVE_BYTES: usize = 32_768;
/// Acknowledgements of this many requests fit the default receive buffer with room to spare.
const MAX_BATCH: usize = 64;
/// The kernel answers before `send` returns; one that takes longer is broken.
const ANSWER_WITHIN: Span = Span::from_s(1);
/// How often a dump is repeated that the kernel marked as inconsistent.
const MAX_DUMP_TRIES: usize = 4;

/// A request: the message without its header.
pub struct Request {
    /// `RTM_NEWADDR`, `RTM_DELADDR` ...
    pub kind: u16,
    /// `NLM_F_CREATE` and the like; `REQUEST` and `ACK` are added.
    pub flags: u16,
    /// Everything after the header.
    pub body: Vec<u8>,
}

/// A request socket.
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket that talks to the kernel and to nobody else.
    pub fn open() -> nix::Result<Self> {
        let socket = open_socket(0, SockFlag::SOCK_CLOEXEC)?;
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(1, 0))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; RECEIVE_BYTES] })
    }

    /// Sends all requests, as many as possible in one system call, and returns the kernel's answer to each, in order.
    ///
    /// The kernel carries a batch out in order and does not stop at a request that fails.
    pub fn run(&mut self, requests: &[Request]) -> Vec<nix::Result<()>> {
        requests.chunks(MAX_BATCH).flat_map(|batch| self.run_batch(batch)).collect()
    }

    fn run_batch(&mut self, batch: &[Request]) -> Vec<nix::Result<()>> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        for request in batch {
            self.sequence = self.sequence.wrapping_add(1);
            append_message(&mut bytes, request, NLM_F_REQUEST | NLM_F_ACK, self.sequence);
        }
        if let Err(errno) = self.send(&bytes) {
            return vec![Err(errno); batch.len()];
        }
        let mut answers = vec![None; batch.len()];
        let outcome = self.receive_until(|header, payload| {
            let index = header.sequence.wrapping_sub(first) as usize;
            if let (Some(answer), NLMSG_ERROR) = (answers.get_mut(index), header.kind) {
                *answer = Some(error_of(payload));
            }
            answers.iter().all(Option::is_some)
        });
        let unanswered = outcome.err().unwrap_or(Errno::EPROTO);
        answers.into_iter().map(|answer| answer.unwrap_or(Err(unanswered))).collect()
    }

    /// Asks for a whole table and hands each message's payload to `each`.
    ///
    /// A dump that the kernel marks as interrupted by a change is asked for again, after `restart` was called.
    pub fn dump<T>(&mut self, request: &Request, parse: impl Fn(&[u8]) -> Option<T>) -> nix::Result<Vec<T>> {
        for _ in 0..MAX_DUMP_TRIES {
            let mut found = Vec::new();
            if self.dump_once(request, &mut |payload| found.extend(parse(payload)))? {
                return Ok(found);
            }
        }
        Err(Errno::EINTR)
    }

    /// One pass over a table; false if it changed meanwhile.
    fn dump_once(&mut self, request: &Request, each: &mut dyn FnMut(&[u8])) -> nix::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut bytes = Vec::new();
        append_message(&mut bytes, request, NLM_F_REQUEST | NLM_F_DUMP, sequence);
        self.send(&bytes)?;
        let mut is_consistent = true;
        let mut end = Ok(());
        self.receive_until(|header, payload| {
            if header.sequence != sequence {
                return false;
            }
            is_consistent &= header.flags & NLM_F_DUMP_INTR == 0;
            match header.kind {
                NLMSG_DONE => return true,
                NLMSG_ERROR => {
                    end = error_of(payload);
                    return true;
                }
                _ => each(payload),
            }
            false
        })?;
        end.map(|()| is_consistent)
    }

    fn send(&self, bytes: &[u8]) -> nix::Result<()> {
        send(self.socket.as_raw_fd(), bytes, MsgFlags::empty()).map(drop)
    }

    /// Receives until `is_last` says that a message was the last one.
    fn receive_until(&mut self, mut is_last: impl FnMut(Header, &[u8]) -> bool) -> nix::Result<()> {
        let give_up = now() + ANSWER_WITHIN;
        while now() < give_up {
            let length = match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno),
            };
            let mut is_done = false;
            for_each_message(self.buffer.get(..length).unwrap_or_default(), |header, payload| {
                is_done |= is_last(header, payload);
            });
            if is_done {
                return Ok(());
            }
        }
        Err(Errno::ETIMEDOUT)
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Opens a routing socket that hears the multicast `groups` (`RTMGRP_*`).
pub fn open_socket(groups: u32, flags: SockFlag) -> nix::Result<OwnedFd> {
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

/// What a reader needs of a message's header.
#[derive(Clone, Copy)]
pub struct Header {
    /// Message type.
    pub kind: u16,
    /// `NLM_F_*`
    pub flags: u16,
    /// Of the request that it answers; 0 for events.
    pub sequence: u32,
}

/// Hands every message of a datagram to `each`; stops at the first one that is not whole.
pub fn for_each_message(datagram: &[u8], mut each: impl FnMut(Header, &[u8])) {
    let mut rest = datagram;
    while let Ok(message) = NetlinkBuffer::new_checked(rest) {
        let length = message.length() as usize;
        let header =
            Header { kind: message.message_type(), flags: message.flags(), sequence: message.sequence_number() };
        each(header, rest.get(HEADER_BYTES..length).unwrap_or_default());
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// Appends one message, padded to four bytes.
fn append_message(bytes: &mut Vec<u8>, request: &Request, flags: u16, sequence: u32) {
    let length = HEADER_BYTES + request.body.len();
    let mut header = NetlinkBuffer::new([0; HEADER_BYTES]);
    header.set_length(u32::try_from(length).unwrap_or(u32::MAX));
    header.set_message_type(request.kind);
    header.set_flags(request.flags | flags);
    header.set_sequence_number(sequence);
    bytes.extend_from_slice(&header.into_inner());
    bytes.extend_from_slice(&request.body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The verdict in an `NLMSG_ERROR` payload: a negative errno, or zero for an acknowledgement.
fn error_of(payload: &[u8]) -> nix::Result<()> {
    match payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw(code.saturating_neg())),
        None => Err(Errno::EPROTO),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        append_message(&mut bytes, &Request { kind, flags: 0, body: body.to_vec() }, 0, sequence);
        bytes
    }

    #[test]
    fn a_datagram_of_several_messages_is_walked_in_order_past_the_padding() {
        let datagram = [message(20, 1, &[1, 2, 3]), message(21, 2, &[]), message(22, 3, &[9; 5])].concat();
        let mut seen = Vec::new();
        for_each_message(&datagram, |header, payload| seen.push((header.kind, header.sequence, payload.to_vec())));
        assert_eq!(seen, [(20, 1, vec![1, 2, 3]), (21, 2, vec![]), (22, 3, vec![9; 5])]);
    }

    #[test]
    fn an_error_message_carries_a_negative_errno() {
        assert_eq!(error_of(&(-19i32).to_ne_bytes()), Err(Errno::ENODEV));
        assert_eq!(error_of(&0i32.to_ne_bytes()), Ok(()));
        assert_eq!(error_of(&[0, 0]), Err(Errno::EPROTO));
    }

    proptest! {
        #[test]
        fn any_datagram_is_walked_to_an_end(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut count = 0;
            for_each_message(&datagram, |_, payload| { assert!(payload.len() <= datagram.len()); count += 1; });
            prop_assert!(count <= datagram.len() / HEADER_BYTES);
        }
    }
}
