//! Conversations with the kernel's routing tables (rtnetlink, RFC 3549): requests that are acknowledged.
//!
//! Every request carries a sequence number and is answered before the call returns. Events have a socket of
//! their own (`links.rs`), so that an answer is never lost among them.
//!
//! No table is ever read as a whole: on a box with thousands of addresses it would change while it is read.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crosswire::time::Span;
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, NetlinkBuffer};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, connect, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::clock::now;

/// Length of the header before every message (`struct nlmsghdr`).
const HEADER_BYTES: usize = 16;
/// Length of the header before every attribute (`struct rtattr`).
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// Room for the longest answer: what the kernel says of an interface with many virtual functions.
const RECEIVE_BYTES: usize = 16_384;
/// The answers to this many requests fit the default receive buffer with room to spare.
const MAX_BATCH: usize = 64;
/// How long an answer may take. The kernel answers before `send` returns; one that takes longer is broken.
const ANSWER_WITHIN: Span = Span::from_s(1);

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

    /// Sends all requests, as many as possible in one system call, and returns the kernel's answer to each,
    /// in order. One that gets none in time has the answer `ETIMEDOUT`.
    ///
    /// The kernel carries a batch out in order and does not stop at a request that fails.
    pub fn run(&mut self, requests: &[Request]) -> Vec<nix::Result<()>> {
        self.ask(requests, &mut |_| {})
    }

    /// The same for requests whose answer is more than yes or no: the payload of every other answer goes to
    /// `hear`.
    pub fn ask(&mut self, requests: &[Request], hear: &mut dyn FnMut(&[u8])) -> Vec<nix::Result<()>> {
        let mut answers = Vec::with_capacity(requests.len());
        for batch in requests.chunks(MAX_BATCH) {
            answers.append(&mut self.ask_batch(batch, hear));
        }
        answers
    }

    fn ask_batch(&mut self, batch: &[Request], hear: &mut dyn FnMut(&[u8])) -> Vec<nix::Result<()>> {
        let first = self.sequence.wrapping_add(1);
        let whole = |request: &Request| (HEADER_BYTES + request.body.len()).next_multiple_of(4);
        let mut bytes = Vec::with_capacity(batch.iter().map(whole).sum());
        for request in batch {
            self.sequence = self.sequence.wrapping_add(1);
            append_message(&mut bytes, request, NLM_F_REQUEST | NLM_F_ACK, self.sequence);
        }
        let mut answers = vec![Err(Errno::ETIMEDOUT); batch.len()];
        let mut missing = batch.len();
        if send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty()).is_ok() {
            self.receive_until(&mut |header, payload| {
                let index = header.sequence.wrapping_sub(first) as usize;
                if let Some(answer) = answers.get_mut(index) {
                    if header.kind == NLMSG_ERROR {
                        *answer = error_of(payload);
                        missing = missing.saturating_sub(1);
                    } else {
                        hear(payload);
                    }
                }
                missing == 0
            });
        }
        answers
    }

    /// Receives until `is_last` says that a message was the last one, for as long as the kernel may take.
    fn receive_until(&mut self, is_last: &mut dyn FnMut(Header, &[u8]) -> bool) {
        let give_up = now() + ANSWER_WITHIN;
        let mut is_done = false;
        while !is_done && now() < give_up {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => {
                    for_each_message(self.buffer.get(..length).unwrap_or_default(), |header, payload| {
                        is_done |= is_last(header, payload);
                    })
                }
                Err(Errno::EINTR) => {}
                // Nothing in time, or more than there was room for.
                Err(_) => return,
            }
        }
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
    /// Of the request that it answers; 0 for events.
    pub sequence: u32,
}

/// Hands every message of a datagram to `each`; stops at the first one that is not whole.
pub fn for_each_message(datagram: &[u8], mut each: impl FnMut(Header, &[u8])) {
    let mut rest = datagram;
    // A datagram that ends early is no error: it would cost more to say what is wrong with it than all the
    // rest.
    while rest.len() >= HEADER_BYTES
        && let Ok(message) = NetlinkBuffer::new_checked(rest)
    {
        let length = message.length() as usize;
        let header = Header { kind: message.message_type(), sequence: message.sequence_number() };
        each(header, rest.get(HEADER_BYTES..length).unwrap_or_default());
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// Appends an attribute to a message's body, padded to four bytes.
pub fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len()).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Appends an attribute that is an IP address.
pub fn ip_attribute(body: &mut Vec<u8>, kind: u16, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => attribute(body, kind, &ip.octets()),
        IpAddr::V6(ip) => attribute(body, kind, &ip.octets()),
    }
}

/// The address family of a message about such an address.
pub fn family_of(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }.to_le_bytes()[0]
}

/// Appends one message, padded to four bytes.
pub fn append_message(bytes: &mut Vec<u8>, request: &Request, flags: u16, sequence: u32) {
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
        for_each_message(&datagram, |header, payload| {
            seen.push((header.kind, header.sequence, payload.to_vec()))
        });
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
            for_each_message(&datagram, |_, payload| {
                assert!(payload.len() <= datagram.len());
                count += 1;
            });
            prop_assert!(count <= datagram.len() / HEADER_BYTES);
        }
    }
}
