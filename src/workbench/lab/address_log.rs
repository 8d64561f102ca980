//! The observer: which node holds which address, according to the kernels of both.
//!
//! A kernel reports address changes of *all* namespaces that have a number in the observer's own to a routing
//! socket that asked for it (NETLINK_LISTEN_ALL_NSID, since Linux 4.2), and says with each message from which
//! namespace it came. Both nodes' events thus stand in one queue, in the order in which they happened: an
//! address is in its list before its RTM_NEWADDR is queued and out of it before its RTM_DELADDR is. So the
//! order is exact: an overlap cannot hide between two readings, and none can be seen that never was. Two
//! readers could see one: if one of them is late, it stamps the end of a hold after the other has stamped the
//! beginning of the next. Instants are read when an event is taken from the queue, so they lag by the wake-up
//! of one thread; only the reported length of an overlap depends on them.

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind,
    recvmsg, setsockopt, socket, sockopt,
};

use super::clock::{duration, go_first, now, span};
use super::doing;
use super::ledger::{Event, Fact, Hold, Ledger};
use super::namespace::Namespace;
use super::rtnl::{held_in, messages_in};
use super::worker::{Bell, Worker};

/// linux/netlink.h; missing from libc for this target.
const NETLINK_LISTEN_ALL_NSID: libc::c_int = 8;
/// linux/rtnetlink.h: RTNLGRP_IPV4_IFADDR (5) and RTNLGRP_IPV6_IFADDR (9) as bits of a bind mask.
const ADDRESS_GROUPS: u32 = 1 << 4 | 1 << 8;
/// Room for thousands of events, should the reader be kept waiting.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Numbers of the nodes' namespaces in the observer's.
const NUMBERS: [i32; 2] = [0, 1];
/// Larger than any one event.
const EVENT_BYTES: usize = 8_192;

/// Who shall hold an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// This node and not the other.
    Only(Side),
    /// Neither.
    Nobody,
    /// Exactly one of them, whichever.
    One,
}

impl Wanted {
    fn is_met(self, holders: [bool; 2]) -> bool {
        match self {
            Self::Only(side) => holders[side.index()] && !holders[side.peer().index()],
            Self::Nobody => holders == [false, false],
            Self::One => holders[0] != holders[1],
        }
    }
}

/// The log of both kernels' address events since it was started; ends when dropped.
pub struct AddressLog {
    shared: Arc<Shared>,
    _worker: Worker,
    _namespace: Namespace,
}

struct Shared {
    socket: OwnedFd,
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Default)]
struct Book {
    ledger: Ledger,
    failure: Option<String>,
}

impl AddressLog {
    /// Starts listening. Addresses that a node has already are not known: start it before any daemon.
    ///
    /// # Errors
    /// The kernel's: EPERM without CAP_NET_BROADCAST over the namespaces, EINVAL before Linux 4.2.
    pub fn start(nodes: [&Namespace; 2]) -> io::Result<Self> {
        let namespace = Namespace::new("observer")?;
        for (node, number) in nodes.into_iter().zip(NUMBERS) {
            namespace.rtnl().number_namespace(node, number).map_err(doing("numbering a node's namespace"))?;
        }
        let socket =
            namespace.run_in(listen)?.map_err(doing("listening to the address events of both nodes"))?;
        let shared = Arc::new(Shared { socket, book: Mutex::default(), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let worker = Worker::start("observer", move |bell| observe(&theirs, bell))?;
        Ok(Self { shared, _worker: worker, _namespace: namespace })
    }

    /// Whether each node holds `ip` now, by [`Side::index`].
    ///
    /// # Errors
    /// If an event was lost (the kernel's buffer overflowed) or could not be read: then nothing is known for
    /// certain.
    pub fn holders(&self, ip: IpAddr) -> io::Result<[bool; 2]> {
        Ok(self.read_up()?.ledger.holders(ip))
    }

    /// Every hold of `ip` so far, by its start.
    ///
    /// # Errors
    /// As [`Self::holders`].
    pub fn holds(&self, ip: IpAddr) -> io::Result<Vec<Hold>> {
        Ok(self.read_up()?.ledger.holds(ip))
    }

    /// How long both nodes held `ip` at once, in all; zero only if they never did.
    ///
    /// # Errors
    /// As [`Self::holders`].
    pub fn overlap(&self, ip: IpAddr) -> io::Result<Span> {
        Ok(self.read_up()?.ledger.overlap(ip, now()))
    }

    /// Every event so far, in order.
    ///
    /// # Errors
    /// As [`Self::holders`].
    pub fn events(&self) -> io::Result<Vec<Event>> {
        Ok(self.read_up()?.ledger.events().to_vec())
    }

    /// Waits until `ip` is held as wanted. Returns the instant of the event that made it so, which lies in
    /// the past if it was so already ([`Instant::ORIGIN`] if it was so from the start).
    ///
    /// # Errors
    /// `TimedOut`, saying who holds it instead; and as [`Self::holders`].
    pub fn wait_for(&self, ip: IpAddr, wanted: Wanted, timeout: Duration) -> io::Result<Instant> {
        let deadline = now() + span(timeout);
        let mut book = self.read_up()?;
        loop {
            if let Some(since) = book.ledger.since(ip, |holders| wanted.is_met(holders)) {
                return Ok(since);
            }
            let left = deadline.since(now());
            if left == Span::ZERO {
                let holders = book.ledger.holders(ip);
                let text = format!("{ip}: waited {timeout:?} for {wanted:?}, held by (A, B): {holders:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            let waited = self.shared.changed.wait_timeout(book, duration(left));
            book = waited.unwrap_or_else(PoisonError::into_inner).0;
            book.check()?;
        }
    }

    /// From now on `side` counts as holding nothing. Call it when its links are cut.
    pub fn note_power_cut(&self, side: Side) {
        self.note(side, Fact::PowerCut);
    }

    /// `side` has power again and its kernel no addresses of before.
    pub fn note_power_on(&self, side: Side) {
        self.note(side, Fact::PowerOn);
    }

    fn note(&self, side: Side, fact: Fact) {
        let mut book = self.shared.lock();
        // Events in the queue happened before this one.
        self.shared.read_all(&mut book);
        book.ledger.push(Event { side, at: now(), fact });
        drop(book);
        self.shared.changed.notify_all();
    }

    /// The book, with everything read that the kernels have said until now.
    fn read_up(&self) -> io::Result<MutexGuard<'_, Book>> {
        let mut book = self.shared.lock();
        self.shared.read_all(&mut book);
        book.check()?;
        Ok(book)
    }
}

impl Book {
    fn check(&self) -> io::Result<()> {
        self.failure.as_ref().map_or(Ok(()), |failure| Err(io::Error::other(failure.clone())))
    }
}

/// A socket on which the address events of every numbered namespace arrive.
fn listen() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    // Beyond the system's limit if we may. Less would do as well, and an overflow is noticed.
    let _ = setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)
        .or_else(|_| setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES));
    let yes: libc::c_int = 1;
    // SAFETY: setsockopt(2) reads one int that lives until it returns.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            NETLINK_LISTEN_ALL_NSID,
            (&raw const yes).cast(),
            size_of_val(&yes) as libc::socklen_t,
        )
    };
    Errno::result(done)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, ADDRESS_GROUPS))?;
    Ok(fd)
}

/// The thread: sleeps until the kernels say something.
fn observe(shared: &Shared, bell: &Bell) {
    go_first();
    loop {
        let mut polled = [
            PollFd::new(bell.as_fd(), PollFlags::POLLIN),
            PollFd::new(shared.socket.as_fd(), PollFlags::POLLIN),
        ];
        // EINTR and ENOMEM: look and sleep again.
        let _ = poll(&mut polled, PollTimeout::NONE);
        if bell.answered() {
            return;
        }
        let mut book = shared.lock();
        shared.read_all(&mut book);
        let failed = book.failure.is_some();
        drop(book);
        shared.changed.notify_all();
        if failed {
            return;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes everything out of the queue. A loss is final: from then on every question is refused.
    fn read_all(&self, book: &mut Book) {
        while book.failure.is_none() {
            match self.read_one() {
                Ok(Some(events)) => events.into_iter().for_each(|event| book.ledger.push(event)),
                Ok(None) => return,
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {
                    book.failure =
                        Some("address events were lost: the kernel's buffer overflowed (ENOBUFS)".into());
                }
                Err(e) => book.failure = Some(format!("address events cannot be read: {e}")),
            }
        }
    }

    /// The events of one datagram; `None` when the queue is empty.
    fn read_one(&self) -> io::Result<Option<Vec<Event>>> {
        let mut buffer = [0; EVENT_BYTES];
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let mut control = cmsg_space!(libc::c_int);
        let flags = MsgFlags::MSG_DONTWAIT;
        let (length, number) =
            match recvmsg::<NetlinkAddr>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Ok(message) => (message.bytes, message.cmsgs()?.find_map(number_in)),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => return Ok(Some(Vec::new())),
                Err(e) => return Err(e.into()),
            };
        let at = now();
        // The observer's own namespace has no number, and nothing to say.
        let Some(side) = number.and_then(side_of) else { return Ok(Some(Vec::new())) };
        let facts = messages_in(&buffer[..length])?.into_iter().filter_map(|message| match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => learned(&address, true),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(address)) => {
                learned(&address, false)
            }
            _ => None,
        });
        Ok(Some(facts.map(|fact| Event { side, at, fact }).collect()))
    }
}

fn number_in(message: ControlMessageOwned) -> Option<i32> {
    match message {
        ControlMessageOwned::Unknown(unknown)
            if unknown.cmsg_header.cmsg_level == libc::SOL_NETLINK
                && unknown.cmsg_header.cmsg_type == NETLINK_LISTEN_ALL_NSID =>
        {
            Some(i32::from_ne_bytes(unknown.data_bytes.get(..4)?.try_into().ok()?))
        }
        _ => None,
    }
}

fn side_of(number: i32) -> Option<Side> {
    [Side::A, Side::B].into_iter().find(|side| NUMBERS[side.index()] == number)
}

/// An address that is still being checked for duplicates, or was found to be one, is not in use: nobody
/// answers for it.
fn learned(message: &AddressMessage, is_there: bool) -> Option<Fact> {
    let held = held_in(message)?;
    let flags = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let unusable = flags.is_some_and(|flags| {
        flags.contains(AddressFlags::Dadfailed)
            || flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic)
    });
    Some(if is_there && !unusable {
        Fact::Has(held.ip, held.interface)
    } else {
        Fact::HasNot(held.ip, held.interface)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::in_lab;
    use super::*;

    #[test]
    fn a_lost_event_spoils_every_answer() {
        in_lab(|| {
            let node = Namespace::new("node").unwrap();
            let observer = Namespace::new("observer").unwrap();
            observer.rtnl().number_namespace(&node, NUMBERS[0]).unwrap();
            let socket = observer.run_in(listen).unwrap().unwrap();
            setsockopt(&socket, sockopt::RcvBuf, &1).unwrap();
            let shared = Shared { socket, book: Mutex::default(), changed: Condvar::new() };
            for last in 1..=100 {
                node.rtnl().add_address(1, IpAddr::from([10, 1, 1, last]), 32, None).unwrap();
            }
            let mut book = shared.lock();
            shared.read_all(&mut book);
            let failure = book.check().unwrap_err().to_string();
            assert!(failure.contains("ENOBUFS"), "{failure}");
        });
    }
}
