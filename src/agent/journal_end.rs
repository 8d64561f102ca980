//! The agent's end of the socket from which the journal is written. Nothing here waits: what has no room is
//! counted.

use std::os::fd::{AsRawFd, OwnedFd};

use crosswire::encode::to_slice;
use crosswire::journal::{Kind, MAX_PAYLOAD_BYTES};
use nix::sys::socket::{MsgFlags, send};
use serde::Serialize;

use crate::operator::control::History;

/// Longest entry, and longest line of the peer's.
const MAX_ENTRY_BYTES: usize = 768;

/// Where entries go.
#[derive(Default)]
pub struct JournalEnd {
    socket: Option<OwnedFd>,
    /// Why nothing is written, as the number of an error; 0 if nothing is wrong.
    pub trouble: u8,
}

impl JournalEnd {
    /// Entries go there from now on.
    pub fn open(&mut self, socket: OwnedFd) {
        self.socket = Some(socket);
    }

    /// Begins a run: its entries are told with these names. Those that would not fit are left out.
    pub fn begin(&self, mut run: History) {
        let mut room = vec![0; 1 + MAX_PAYLOAD_BYTES];
        if !self.put(Kind::Run, &run, &mut room) {
            run.scripts.clear();
            self.put(Kind::Run, &run, &mut room);
        }
    }

    /// Has something written; false if it will not be. Without a journal there is nothing to do.
    pub fn write<T: Serialize>(&self, kind: Kind, what: &T) -> bool {
        self.put(kind, what, &mut [0; MAX_ENTRY_BYTES])
    }

    fn put<T: Serialize>(&self, kind: Kind, what: &T, room: &mut [u8]) -> bool {
        let Some(socket) = &self.socket else { return true };
        let Some((first, rest)) = room.split_first_mut() else { return false };
        *first = kind.number();
        let Some(length) = to_slice(what, rest).map(|bytes| 1 + bytes.len()) else { return false };
        let packet = room.get(..length).unwrap_or_default();
        send(socket.as_raw_fd(), packet, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL).is_ok()
    }
}
