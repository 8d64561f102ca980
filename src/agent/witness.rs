//! Asking the witnesses: ICMP echo requests (RFC 792, RFC 4443) whose answers prove that they answer *this*
//! request.
//!
//! The payload carries when the request left and a keyed hash of that, so that nothing has to be remembered,
//! and neither a forged nor a recorded answer counts.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use constant_time_eq::constant_time_eq;
use crosswire::time::Instant;
use nix::sys::socket::{MsgFlags, SockaddrStorage, recv, sendto};
use siphasher::sip::SipHasher24;
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet};

use crate::guard::kernel::interface;
use crate::guard::serial::ports::endpoint;
use crate::settings::Witness;

/// ICMPv6 echo request and reply (RFC 4443 4.1, 4.2).
const V6_REQUEST: u8 = 128;
const V6_REPLY: u8 = 129;
/// Type, code, checksum, identifier, sequence number.
const HEADER_BYTES: usize = 8;
/// The instant at which it left, and the hash of that.
const PAYLOAD_BYTES: usize = 16;
const ECHO_BYTES: usize = HEADER_BYTES + PAYLOAD_BYTES;
/// The most packets that are looked at in a turn.
const MAX_PACKETS: usize = 16;

/// The witnesses of a pair, as the agent asks them.
pub struct Asker {
    witnesses: Vec<Witness>,
    secret: [u8; 16],
    v4: Option<OwnedFd>,
    v6: Option<OwnedFd>,
}

impl Asker {
    /// Asks nobody until it is given sockets.
    pub fn new(witnesses: Vec<Witness>, secret: [u8; 16]) -> Self {
        Self { witnesses, secret, v4: None, v6: None }
    }

    /// Takes over a raw ICMP socket.
    pub fn become_able(&mut self, is_v6: bool, socket: OwnedFd) {
        *(if is_v6 { &mut self.v6 } else { &mut self.v4 }) = Some(socket);
    }

    /// What to poll.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.v4, &self.v6].into_iter().flatten().map(AsFd::as_fd)
    }

    /// Asks every witness. A request that cannot leave is not answered.
    pub fn ask(&self, now: Instant) {
        for (index, Witness { ip, interface }) in self.witnesses.iter().enumerate() {
            let socket = if ip.is_ipv6() { &self.v6 } else { &self.v4 };
            let Some(socket) = socket else { continue };
            let request = self.request(now, index, ip.is_ipv6());
            // An interface that comes back has another number.
            let scope = interface.as_ref().map_or(Ok(0), |name| interface::index(socket, name));
            let Ok(scope) = scope else { continue };
            let to = SockaddrStorage::from(endpoint(*ip, 0, scope));
            let _ =
                sendto(socket.as_raw_fd(), &request, &to, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
    }

    /// The witnesses that have answered, each with the instant of the request.
    pub fn answers(&self) -> heapless::Vec<(u8, Instant), { 2 * MAX_PACKETS }> {
        let mut found = heapless::Vec::new();
        let mut room = [0; 256];
        for (socket, is_v6) in [(&self.v4, false), (&self.v6, true)] {
            let Some(socket) = socket else { continue };
            for _ in 0..MAX_PACKETS {
                let Ok(length) = recv(socket.as_raw_fd(), &mut room, MsgFlags::MSG_DONTWAIT) else { break };
                found.extend(room.get(..length).and_then(|packet| self.answer(packet, is_v6)));
            }
        }
        found
    }

    fn request(&self, now: Instant, index: usize, is_v6: bool) -> [u8; ECHO_BYTES] {
        let kind = if is_v6 { V6_REQUEST } else { u8::from(Icmpv4Message::EchoRequest) };
        let sequence = u8::try_from(index).unwrap_or(u8::MAX);
        let mut echo = [0; ECHO_BYTES];
        let (header, payload) = echo.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&[kind, 0, 0, 0, 0, 0, 0, sequence]);
        payload.copy_from_slice(&self.payload(now.as_us(), index));
        if !is_v6 {
            // The kernel reckons the checksum of ICMPv6 (it covers addresses that only the kernel knows), not
            // of ICMP.
            Icmpv4Packet::new_unchecked(&mut echo[..]).fill_checksum();
        }
        echo
    }

    fn payload(&self, asked_us: u64, index: usize) -> [u8; PAYLOAD_BYTES] {
        let mut payload = [0; PAYLOAD_BYTES];
        let asked = asked_us.to_le_bytes();
        let mut input = [0; 9];
        let (head, tail) = input.split_at_mut(asked.len());
        head.copy_from_slice(&asked);
        tail.copy_from_slice(&[u8::try_from(index).unwrap_or(u8::MAX)]);
        let hash = SipHasher24::new_with_key(&self.secret).hash(&input).to_le_bytes();
        let (first, second) = payload.split_at_mut(asked.len());
        first.copy_from_slice(&asked);
        second.copy_from_slice(&hash);
        payload
    }

    /// Reads a packet as an answer, if it is one to a request of ours. IPv4 raw sockets hand in the IP header
    /// too.
    fn answer(&self, packet: &[u8], is_v6: bool) -> Option<(u8, Instant)> {
        let header_bytes = if is_v6 { 0 } else { usize::from(packet.first()? & 0x0f) * 4 };
        let echo = packet.get(header_bytes..)?.first_chunk::<ECHO_BYTES>()?;
        let (header, payload) = echo.split_at(HEADER_BYTES);
        let reply = if is_v6 { V6_REPLY } else { u8::from(Icmpv4Message::EchoReply) };
        if *header.first()? != reply {
            return None;
        }
        let index = *header.last()?;
        let asked_us = u64::from_le_bytes(*payload.first_chunk()?);
        let is_ours = usize::from(index) < self.witnesses.len()
            && constant_time_eq(payload, &self.payload(asked_us, usize::from(index)));
        is_ours.then(|| (index, Instant::from_us(asked_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(secret: u8) -> Asker {
        let ips = ["10.0.0.254", "::1"].map(|ip| Witness { ip: ip.parse().unwrap(), interface: None });
        Asker::new(ips.to_vec(), [secret; 16])
    }

    /// What an IPv4 witness sends back: the request with another type, behind an IP header of 20 bytes.
    fn reply(request: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet.extend_from_slice(request);
        packet[20] = 0;
        packet
    }

    #[test]
    fn an_answer_tells_when_it_was_asked_for() {
        let asked_at = Instant::from_us(123_456_789);
        let request = asker(1).request(asked_at, 0, false);
        assert_eq!(asker(1).answer(&reply(&request), false), Some((0, asked_at)));
        let mut v6 = asker(1).request(asked_at, 1, true);
        v6[0] = V6_REPLY;
        assert_eq!(asker(1).answer(&v6, true), Some((1, asked_at)));
    }

    #[test]
    fn nothing_else_is_an_answer() {
        let packet = reply(&asker(1).request(Instant::from_us(5), 0, false));
        assert_eq!(asker(2).answer(&packet, false), None, "another run's");
        for index in 20..packet.len() {
            let mut changed = packet.clone();
            changed[index] ^= 0x10;
            // Code, checksum and identifier mean nothing to us.
            let matters = index == 20 || index >= 27;
            assert_eq!(asker(1).answer(&changed, false).is_none(), matters, "byte {index}");
        }
        for length in 0..packet.len() {
            assert_eq!(asker(1).answer(&packet[..length], false), None);
        }
    }
}
