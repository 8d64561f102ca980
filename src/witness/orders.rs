//! What the keeper says to the worker: keys, that a report is wanted, a socket to another syslogd. One
//! datagram each, over a socket pair. The worker says one byte a second, which nobody reads: that it lives.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crosswire::vote::grants::Office;
use crosswire::vote::keys::{SECRET_BYTES, WitnessSecret};
use nix::errno::Errno;
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, setsockopt, socketpair,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::key_files::{KeySet, LABEL_BYTES, Label, PairKeys};
use crate::gather::Gather;
use crate::sys::sockets::receive_with_descriptor;

const BEGIN: u8 = 1;
const PAIR: u8 = 2;
const END: u8 = 3;
const REPORT: u8 = 4;
const LOG: u8 = 5;

/// The most keys of a file.
const MAX_KEYS: usize = 16;
/// The longest order: a pair with all its keys.
const MAX_ORDER_BYTES: usize = 2 + LABEL_BYTES + MAX_KEYS * SECRET_BYTES;
/// A worker that reads no order for so long does not run any more.
const PATIENCE_S: i64 = 5;

/// One order.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Order {
    /// Keys follow, for so many pairs. Pairs that are new get this office.
    Begin {
        /// What the worker is to new pairs.
        office: Office,
        /// How many pairs follow.
        pairs: usize,
    },
    /// The keys of one pair.
    Pair {
        /// Its label.
        label: Label,
        /// Its keys.
        secrets: heapless::Vec<WitnessSecret, MAX_KEYS>,
    },
    /// That was the last pair.
    End,
    /// Log what was counted.
    Report,
    /// Another socket for the log.
    Log(OwnedFd),
}

/// What the worker found at its end.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Hearing {
    /// An order.
    Order(Order),
    /// None now.
    Nothing,
    /// The keeper is gone, or wants an end.
    Gone,
}

/// Both ends: the keeper's, which waits while the worker reads, and the worker's.
///
/// # Errors
/// What the kernel says.
pub fn pair() -> nix::Result<(Orders, Ear)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    setsockopt(&ours, SendTimeout, &TimeVal::seconds(PATIENCE_S))?;
    Ok((Orders(ours), Ear(theirs)))
}

/// The keeper's end.
pub struct Orders(OwnedFd);

impl Orders {
    /// Sends the keys of all pairs.
    ///
    /// # Errors
    /// The worker is gone, or reads nothing.
    pub fn send_keys(&self, office: &Office, set: &KeySet) -> nix::Result<()> {
        let pairs = u32::try_from(set.pairs.len()).map_err(|_| Errno::E2BIG)?;
        self.send(&[&[BEGIN], &office.run, &office.secret, &pairs.to_le_bytes()], None)?;
        set.pairs.iter().try_for_each(|pair| self.send_pair(pair))?;
        self.send(&[&[END]], None)
    }

    fn send_pair(&self, pair: &PairKeys) -> nix::Result<()> {
        let length = [u8::try_from(pair.label.len()).map_err(|_| Errno::E2BIG)?];
        let head: [&[u8]; 3] = [&[PAIR], &length, pair.label.as_bytes()];
        let parts: Vec<&[u8]> =
            head.into_iter().chain(pair.keys.iter().map(|(_, secret)| &secret[..])).gather();
        self.send(&parts, None)
    }

    /// Asks for a report.
    ///
    /// # Errors
    /// As [`send_keys`](Self::send_keys).
    pub fn ask_for_report(&self) -> nix::Result<()> {
        self.send(&[&[REPORT]], None)
    }

    /// Hands over a socket for the log.
    ///
    /// # Errors
    /// As [`send_keys`](Self::send_keys).
    pub fn hand_over_log(&self, socket: &OwnedFd) -> nix::Result<()> {
        self.send(&[&[LOG]], Some(socket))
    }

    fn send(&self, parts: &[&[u8]], descriptor: Option<&OwnedFd>) -> nix::Result<()> {
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).gather();
        let descriptors: Vec<_> = descriptor.iter().map(|fd| fd.as_raw_fd()).gather();
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let control = if descriptors.is_empty() { &[] } else { &rights[..] };
        loop {
            match sendmsg::<()>(self.0.as_raw_fd(), &slices, control, MsgFlags::MSG_NOSIGNAL, None) {
                Err(Errno::EINTR) => {}
                sent => return sent.map(drop),
            }
        }
    }

    /// Whether the worker has given a sign of life since the last call; `None`: it is gone.
    pub fn is_alive(&self) -> Option<bool> {
        let mut is_alive = false;
        loop {
            match recv(self.0.as_raw_fd(), &mut [0; 1], MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return None,
                Ok(_) => is_alive = true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Some(is_alive),
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Orders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The worker's end.
pub struct Ear(OwnedFd);

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Ear {
    /// Gives a sign of life, unless the keeper has not read the earlier ones.
    pub fn tell_alive(&self) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _ = nix::sys::socket::send(self.0.as_raw_fd(), &[0], flags);
    }

    /// The next order.
    pub fn hear(&self) -> Hearing {
        let mut room = [0; MAX_ORDER_BYTES + 1];
        let mut control = nix::cmsg_space!([std::os::fd::RawFd; 1]);
        loop {
            let got = receive_with_descriptor(&self.0, &mut room, &mut control, MsgFlags::MSG_DONTWAIT);
            return match got {
                Ok((0, _)) => Hearing::Gone,
                Ok((length, descriptor)) => {
                    let order = read(room.get(..length).unwrap_or_default(), descriptor);
                    room.fill(0);
                    std::hint::black_box(&room);
                    order.map_or(Hearing::Gone, Hearing::Order)
                }
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => Hearing::Nothing,
                Err(_) => Hearing::Gone,
            };
        }
    }
}

/// An order from its bytes; `None`: the keeper is another program.
fn read(bytes: &[u8], descriptor: Option<OwnedFd>) -> Option<Order> {
    match bytes.split_first()? {
        (&BEGIN, rest) => {
            let (run, rest) = rest.split_first_chunk()?;
            let (secret, rest) = rest.split_first_chunk()?;
            let pairs = usize::try_from(u32::from_le_bytes(rest.try_into().ok()?)).ok()?;
            Some(Order::Begin { office: Office { run: *run, secret: *secret }, pairs })
        }
        (&PAIR, rest) => {
            let (length, rest) = rest.split_first()?;
            let (label, keys) = rest.split_at_checked(usize::from(*length))?;
            let label = std::str::from_utf8(label).ok().and_then(|label| Label::try_from(label).ok())?;
            let (secrets, rest) = keys.as_chunks::<SECRET_BYTES>();
            let secrets = heapless::Vec::from_slice(secrets).ok()?;
            rest.is_empty().then_some(Order::Pair { label, secrets })
        }
        (&END, []) => Some(Order::End),
        (&REPORT, []) => Some(Order::Report),
        (&LOG, []) => descriptor.map(Order::Log),
        _ => None,
    }
}
