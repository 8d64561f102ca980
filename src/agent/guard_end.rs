//! The agent's end of the socket pair.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crosswire::quorum::succession::{self, Deposit};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, send};

use crate::guard::wire::{FromGuard, MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES, ToGuard};

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
}

impl GuardEnd {
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, control: nix::cmsg_space!([RawFd; 1]) }
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Gives an order. A guard that has no room for it does not run any more; that its orders stay unconfirmed says the rest.
    pub fn send(&self, message: &ToGuard) {
        let mut room = [0; MAX_MESSAGE_BYTES];
        if let Ok(bytes) = postcard::to_slice(message, &mut room) {
            let _ = send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
    }

    /// Leaves a deposit with it.
    pub fn deposit(&self, deposit: &Deposit) {
        let mut room = [0; MAX_DATAGRAM_BYTES];
        let word = postcard::to_slice(&ToGuard::Deposit, &mut room).map_or(0, |word| word.len());
        let left = room.get_mut(word..).and_then(|rest| succession::encode(deposit, rest).ok()).map_or(0, |b| b.len());
        if let Some(bytes) = room.get(..word + left).filter(|_| left > 0) {
            let _ = send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
    }

    /// The next message, if any.
    pub fn receive(&mut self) -> FromGuardEnd {
        let mut room = [0; MAX_MESSAGE_BYTES];
        let (length, descriptor) = {
            let mut parts = [IoSliceMut::new(&mut room)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut self.control), flags) {
                Ok(message) => (message.bytes, message.cmsgs().ok().and_then(|mut list| list.find_map(descriptor_of))),
                Err(Errno::EAGAIN | Errno::EINTR) => return FromGuardEnd::Nothing,
                Err(_) => return FromGuardEnd::Gone,
            }
        };
        if length == 0 {
            return FromGuardEnd::Gone;
        }
        match room.get(..length).map(postcard::take_from_bytes) {
            Some(Ok((message, []))) => FromGuardEnd::Message(message, descriptor),
            // The guard is the same program as we are: what does not decode did not come from it.
            Some(Ok(_) | Err(_)) | None => FromGuardEnd::Gone,
        }
    }
}

fn descriptor_of(message: ControlMessageOwned) -> Option<OwnedFd> {
    match message {
        ControlMessageOwned::ScmRights(descriptors) => {
            // SAFETY: the kernel made this descriptor for us with this message, and nobody else knows it.
            descriptors.first().map(|descriptor| unsafe { OwnedFd::from_raw_fd(*descriptor) })
        }
        _ => None,
    }
}
