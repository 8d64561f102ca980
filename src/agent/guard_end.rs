//! The agent's end of the socket pair.

use crosswire::decode::from_bytes;
use crosswire::encode::to_slice;
use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crosswire::quorum::succession::{self, Deposit, MAX_DEPOSIT_BYTES};
use crosswire::resource::{Order, Ticket};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use crate::ipc::{FromGuard, MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES, ToGuard};
use crate::sys::sockets::receive_with_descriptor;

/// What came from the guard.
#[derive(Debug)]
pub enum FromGuardEnd {
    /// A message, and the descriptor that rode along.
    Message(FromGuard, Option<OwnedFd>),
    /// Nothing for now.
    Nothing,
    /// The guard is gone.
    Gone,
}

/// One end of a non-blocking sequenced-packet socket pair.
pub struct GuardEnd {
    socket: OwnedFd,
    /// Room for a descriptor that rides along, made once.
    control: Vec<u8>,
    /// Where the guard confirms renewals and gives signs of life. Nobody waits for it.
    confirmations: Option<OwnedFd>,
    /// Messages that leave together.
    outbox: RefCell<Vec<u8>>,
}

impl GuardEnd {
    pub fn new(socket: OwnedFd) -> Self {
        let control = nix::cmsg_space!([RawFd; 1]);
        // As much as ever leaves together: it never grows.
        let outbox = RefCell::new(Vec::with_capacity(MAX_DATAGRAM_BYTES));
        Self { socket, control, confirmations: None, outbox }
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Renewals are confirmed here from now on.
    pub fn listen_to(&mut self, confirmations: Option<OwnedFd>) {
        self.confirmations = confirmations;
    }

    /// Says something now, after what is waiting to leave; false if the guard has no room for it.
    pub fn send(&self, message: &ToGuard) -> bool {
        self.put(message, &[]);
        self.flush()
    }

    /// The same for something that is said again as long as it matters, or that may be lost if the guard
    /// gives no sign of life.
    pub fn tell(&self, message: &ToGuard) {
        self.send(message);
    }

    /// Gives an order. A renewal waits for the deposit that follows it in the same turn.
    pub fn order(&mut self, ticket: &Ticket) {
        self.put(&ToGuard::Order(*ticket), &[]);
        if !matches!(ticket.order, Order::Renew { .. }) {
            self.flush();
        }
    }

    /// Leaves a deposit with the guard, always at the end of a datagram. Each one also says what the operator
    /// wants, so that a full socket keeps that from the guard for one beat at most.
    pub fn deposit(&self, deposit: &Deposit, is_in_maintenance: bool) {
        self.put(&ToGuard::Maintenance(is_in_maintenance), &[]);
        let mut room = [0; MAX_DEPOSIT_BYTES];
        if let Some(bytes) = succession::encode(deposit, &mut room) {
            self.put(&ToGuard::Deposit, bytes);
        }
        self.flush();
    }

    /// Puts a message, and what belongs behind it, into the datagram that leaves next.
    fn put(&self, message: &ToGuard, behind: &[u8]) {
        let mut room = [0; MAX_MESSAGE_BYTES];
        let Some(bytes) = to_slice(message, &mut room) else { return };
        if self.outbox.borrow().len() + bytes.len() + behind.len() > MAX_DATAGRAM_BYTES {
            self.flush();
        }
        let mut outbox = self.outbox.borrow_mut();
        outbox.extend_from_slice(bytes);
        outbox.extend_from_slice(behind);
    }

    /// Sends what waits; false if the guard has no room for it. Such a guard does not run any more, and its
    /// silence shows that.
    pub fn flush(&self) -> bool {
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_empty() {
            return true;
        }
        let sent = send(self.socket.as_raw_fd(), &outbox, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        outbox.clear();
        sent.is_ok()
    }

    /// What the guard has said without waking anybody.
    pub fn confirmation(&self) -> Option<FromGuard> {
        let mut room = [0; MAX_MESSAGE_BYTES];
        let length =
            recv(self.confirmations.as_ref()?.as_raw_fd(), &mut room, MsgFlags::MSG_DONTWAIT).unwrap_or(0);
        room.get(..length).and_then(decode)
    }

    /// The next message, if any.
    pub fn receive(&mut self) -> FromGuardEnd {
        let mut room = [0; MAX_MESSAGE_BYTES];
        let received =
            receive_with_descriptor(&self.socket, &mut room, &mut self.control, MsgFlags::MSG_DONTWAIT);
        let (length, descriptor) = match received {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return FromGuardEnd::Nothing,
            Err(_) => return FromGuardEnd::Gone,
        };
        if length == 0 {
            return FromGuardEnd::Gone;
        }
        // The guard is the same program as we are: what does not decode did not come from it.
        room.get(..length)
            .and_then(decode)
            .map_or(FromGuardEnd::Gone, |message| FromGuardEnd::Message(message, descriptor))
    }
}

/// Decodes a message, which fills its datagram exactly.
#[inline(never)]
fn decode(bytes: &[u8]) -> Option<FromGuard> {
    from_bytes(bytes)
}
