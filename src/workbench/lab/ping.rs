//! The client: asks an address for an echo every few milliseconds and notes when answers come.
//!
//! An answer has come when the client's kernel has it, which stamps it: whether the client's thread is run by
//! then is no matter of the service.
//!
//! Only the echo socket is ours. The client kernel's own neighbour cache decides whom the requests reach, so
//! a new holder that does not announce itself costs here what it would cost a real client.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crosswire::time::{Instant, Span};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
};

use super::clock::{go_first, now, sleep_until, span, wait_until};
use super::doing;
use super::gap::{Answer, Gap, Record};
use super::namespace::Namespace;
use super::stamp::{receive, stamp};
use super::worker::{Bell, Worker};

/// ICMP types (RFC 792, RFC 4443).
const ECHO_REQUEST: [u8; 2] = [8, 128];
const ECHO_REPLY: [u8; 2] = [0, 129];
/// Type, code, checksum, identifier, sequence number.
const ICMP_HEADER_BYTES: usize = 8;
/// Header and the instant of sending.
const ECHO_BYTES: usize = ICMP_HEADER_BYTES + 8;
/// Steps without an answer after which the address counts as not answering.
const QUIET_STEPS: u32 = 4;
/// Shortest such time, for a busy scheduler.
const MIN_QUIET: Duration = Duration::from_millis(30);

/// Tells the pings of one process apart: their sockets hear each other's answers.
static NEXT_IDENTIFIER: AtomicU16 = AtomicU16::new(0);

/// A client that keeps asking until it is dropped.
pub struct Ping {
    shared: Arc<Mutex<Record>>,
    step: Duration,
    _worker: Worker,
}

/// What the thread owns.
struct Caller {
    socket: OwnedFd,
    ip: IpAddr,
    identifier: u16,
    sequence: u16,
}

impl Ping {
    /// Asks `ip` every `step` from within `client`.
    ///
    /// # Errors
    /// The kernel's: EPERM without CAP_NET_RAW.
    pub fn start(client: &Namespace, ip: IpAddr, step: Duration) -> io::Result<Self> {
        let socket = client.run_in(|| open(ip))?.map_err(doing("opening the client's echo socket"))?;
        // The process id keeps two laboratories apart, should they ever share a namespace.
        let base = process::id().to_le_bytes();
        let identifier =
            u16::from_le_bytes([base[0], base[1]]) ^ NEXT_IDENTIFIER.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Mutex::new(Record::new(now())));
        let theirs = Arc::clone(&shared);
        let caller = Caller { socket, ip, identifier, sequence: 0 };
        let worker = Worker::start("ping", move |bell| caller.run(bell, step, &theirs))?;
        Ok(Self { shared, step, _worker: worker })
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every answer so far, in the order of arrival.
    pub fn answers(&self) -> Vec<Answer> {
        self.record().answers.clone()
    }

    /// Requests sent so far, including those that the kernel refused for want of a neighbour.
    pub fn sent(&self) -> u64 {
        self.record().asked.len() as u64
    }

    /// Whether an answer came within the last four steps (30 ms at least).
    pub fn answering(&self) -> bool {
        let quiet = span((self.step * QUIET_STEPS).max(MIN_QUIET));
        self.answers().last().is_some_and(|answer| now().since(answer.received) < quiet)
    }

    /// The longest times without an answer, and without a request, that reach beyond `since`, up to now.
    pub fn longest_gap_since(&self, since: Instant) -> Gap {
        self.record().longest_gap(span(self.step), since, now())
    }

    /// Waits for an answer to a request that was sent after `since`; returns when it came.
    ///
    /// # Errors
    /// `TimedOut`.
    pub fn wait_for_answer_after(&self, since: Instant, timeout: Duration) -> io::Result<Instant> {
        let first = || self.answers().iter().find(|answer| answer.sent > since).map(|answer| answer.received);
        wait_until("an answer to the client's echo requests", timeout, || Ok(first().is_some()))?;
        Ok(first().unwrap_or_else(now))
    }

    /// The median time from request to answer; `None` without answers.
    pub fn median_round_trip(&self) -> Option<Span> {
        let mut trips: Vec<Span> =
            self.answers().iter().map(|answer| answer.received.since(answer.sent)).collect();
        trips.sort_unstable();
        trips.get(trips.len() / 2).copied()
    }
}

fn open(ip: IpAddr) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (family, protocol) = match ip {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let socket = socket(family, SockType::Raw, flags, protocol)?;
    stamp(&socket)?;
    Ok(socket)
}

impl Caller {
    /// The thread: sleeps until the next request is due or an answer is there.
    fn run(mut self, bell: &Bell, step: Duration, record: &Mutex<Record>) {
        go_first();
        let mut next = now();
        loop {
            if now() >= next {
                let asked = self.ask();
                record.lock().unwrap_or_else(PoisonError::into_inner).asked.push(asked);
                // Late steps are left out, not made up for: the client asks at most once a step.
                next = (next + span(step)).max(now());
            }
            let mut polled = [
                PollFd::new(bell.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            ];
            // EINTR and ENOMEM: look at everything and sleep again.
            let _ = ppoll(&mut polled, sleep_until(Some(next)), None);
            if bell.answered() {
                return;
            }
            // Whatever arrives from here on is heard the next time.
            let looked = now();
            while let Some(answer) = self.hear() {
                record.lock().unwrap_or_else(PoisonError::into_inner).answers.extend(answer);
            }
            record.lock().unwrap_or_else(PoisonError::into_inner).heard_until = looked;
        }
    }

    /// One request; returns when. The kernel refuses it (EHOSTUNREACH) while it knows no neighbour; that is
    /// the client's experience.
    fn ask(&mut self) -> Instant {
        self.sequence = self.sequence.wrapping_add(1);
        let asked = now();
        let request = echo_request(self.ip, self.identifier, self.sequence, asked);
        let to = SockaddrStorage::from(SocketAddr::new(self.ip, 0));
        let _ = sendto(self.socket.as_raw_fd(), &request, &to, MsgFlags::MSG_DONTWAIT);
        asked
    }

    /// The next datagram: none if there is no more; some(none) if it is not for us.
    fn hear(&self) -> Option<Option<Answer>> {
        let mut buffer = [0; 512];
        // An error that the kernel reports for an earlier request (EHOSTUNREACH) is taken off by reading it.
        let read = match receive(&self.socket, &mut buffer) {
            Ok(read) => read,
            Err(nix::errno::Errno::EAGAIN) => return None,
            Err(_) => return Some(None),
        };
        let from_ip = read.from.and_then(|from| match (from.as_sockaddr_in(), from.as_sockaddr_in6()) {
            (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
            (_, Some(v6)) => Some(IpAddr::V6(v6.ip())),
            _ => None,
        });
        let sent =
            echo_reply(self.ip, self.identifier, &buffer[..read.length]).filter(|_| from_ip == Some(self.ip));
        Some(sent.map(|sent| Answer { sent, received: read.came.max(sent) }))
    }
}

/// An echo request that carries the instant of its sending. The kernel fills in the checksum of ICMPv6 (RFC
/// 3542, 3.1).
fn echo_request(ip: IpAddr, identifier: u16, sequence: u16, sent: Instant) -> [u8; ECHO_BYTES] {
    let mut request = [0; ECHO_BYTES];
    request[0] = ECHO_REQUEST[usize::from(ip.is_ipv6())];
    request[4..6].copy_from_slice(&identifier.to_be_bytes());
    request[6..8].copy_from_slice(&sequence.to_be_bytes());
    request[ICMP_HEADER_BYTES..].copy_from_slice(&sent.as_us().to_be_bytes());
    if ip.is_ipv4() {
        let sum = checksum(&request);
        request[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    request
}

/// When the request that this datagram answers was sent; `None` if it answers none of ours. Raw IPv4 sockets
/// deliver the IP header too.
fn echo_reply(ip: IpAddr, identifier: u16, datagram: &[u8]) -> Option<Instant> {
    let header_bytes = if ip.is_ipv4() { usize::from(datagram.first()? & 0x0f) * 4 } else { 0 };
    let message = datagram.get(header_bytes..)?;
    let is_ours = message.first() == Some(&ECHO_REPLY[usize::from(ip.is_ipv6())])
        && message.get(4..6) == Some(&identifier.to_be_bytes()[..]);
    let sent = message.get(ICMP_HEADER_BYTES..ECHO_BYTES).filter(|_| is_ours)?;
    Some(Instant::from_us(u64::from_be_bytes(sent.try_into().ok()?)))
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_known_again_and_a_strangers_is_not() {
        let ip: IpAddr = "10.77.0.100".parse().unwrap();
        let request = echo_request(ip, 7, 1, Instant::from_us(42));
        assert_eq!(checksum(&request), 0, "a message with its checksum sums up to zero");
        let mut reply = vec![0x45; 20];
        reply.extend(request);
        assert_eq!(echo_reply(ip, 7, &reply), None, "a request is no reply");
        reply[20] = ECHO_REPLY[0];
        assert_eq!(echo_reply(ip, 7, &reply), Some(Instant::from_us(42)));
        assert_eq!(echo_reply(ip, 8, &reply), None);
        for length in 0..reply.len() {
            assert_eq!(echo_reply(ip, 7, &reply[..length]), None);
        }
    }
}
