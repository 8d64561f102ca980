//! How long nobody had a service address, as seen from this box. While this box has the address, its kernel
//! says so; else it asks the wire, and whoever answers has it. So each move is measured by the node that
//! waits for the other one's answer, not by the node that has just taken the address.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crosswire::time::{Instant, Span};
use nix::unistd::read;

use crate::agent::probe_replies;
use crate::clock::now;
use crate::guard::kernel::ethernet::{Hears, Listener, Sender};
use crate::guard::kernel::probe;
use crate::settings::VirtualAddress;
use crate::settings::neighbours::is_own;

/// Time between two questions: a measured time may be too long by this much.
const ASK_EVERY: Duration = Duration::from_millis(4);
/// Room for an ARP packet or a neighbour advertisement.
const FRAME_BYTES: usize = 256;

/// Sees who has an address.
pub struct Watch {
    sender: Sender,
    listener: Listener,
    interface: String,
    /// The address.
    pub ip: IpAddr,
    seen_at: Instant,
    longest: Span,
}

impl Watch {
    /// A watch on the first address among a group's contents; `None` if there is none.
    ///
    /// # Errors
    /// What the kernel says, such as `PermissionDenied`.
    pub fn open(contents: &[String]) -> io::Result<Option<Self>> {
        let Some((ip, interface)) = contents.iter().find_map(|held| VirtualAddress::place(held)) else {
            return Ok(None);
        };
        let hears = if ip.is_ipv4() { Hears::Arp } else { Hears::NeighbourDiscovery };
        let listener = Listener::open(interface, hears, &[ip])?;
        let (sender, interface) = (Sender::open()?, interface.to_owned());
        Ok(Some(Self { sender, listener, interface, ip, seen_at: now(), longest: Span::ZERO }))
    }

    /// Begins to measure.
    pub fn begin(&mut self) {
        (self.seen_at, self.longest) = (now(), Span::ZERO);
    }

    /// When somebody was last seen to have the address, and the longest time since the beginning in which
    /// nobody was.
    pub fn seen(&self) -> (Instant, Span) {
        (self.seen_at, self.longest)
    }

    /// Asks, and waits for the answer.
    pub fn look(&mut self) {
        if is_own(self.ip) {
            self.note();
        } else {
            let _ = probe::ask(&self.sender, &self.interface, self.ip, None);
        }
        std::thread::sleep(ASK_EVERY);
        let mut frame = [0; FRAME_BYTES];
        while let Ok(length) = read(&self.listener.socket, &mut frame) {
            let answer = probe_replies::parse(frame.get(..length).unwrap_or_default(), self.listener.mac);
            if answer.is_some_and(|answer| answer.ip == self.ip && answer.mac != self.listener.mac) {
                self.note();
            }
        }
    }

    fn note(&mut self) {
        let at = now();
        self.longest = self.longest.max(at.since(self.seen_at));
        self.seen_at = at;
    }
}
