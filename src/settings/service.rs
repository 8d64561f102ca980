//! What is served: a group, its addresses and its scripts.

use std::net::IpAddr;
use std::path::PathBuf;

use crosswire::time::Span;

use super::{Monitor, Route};

/// One group.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// Its name.
    pub name: String,
    /// Its addresses, in order.
    pub addresses: Vec<VirtualAddress>,
    /// Interfaces whose carrier counts although it has no address there.
    pub tracked: Vec<String>,
    /// Its routes, in order.
    pub routes: Vec<Route>,
    /// Its scripts, in starting order.
    pub scripts: Vec<Script>,
    /// So many of them, from the left, start before any address comes, and stop after all are gone.
    pub before: u8,
    /// What is done about one that does not stop.
    pub on_stop_failure: StopFailure,
}

impl GroupSettings {
    /// The interfaces that need carrier for it; one may come twice.
    pub fn watched(&self) -> impl Iterator<Item = &String> {
        let of_addresses = self.addresses.iter().filter(|address| address.needs_carrier);
        of_addresses.map(|address| &address.interface).chain(&self.tracked)
    }

    /// The scripts that start before any address comes, and the others.
    pub fn phases(&self) -> (&[Script], &[Script]) {
        self.scripts.split_at_checked(usize::from(self.before)).unwrap_or((&[], &self.scripts))
    }

    /// The longest that its scripts may take for a move that fails and comes back: each is stopped and
    /// started on both nodes, and cut short where it does not end.
    pub fn longest_move(&self) -> Span {
        let takes = |sum, script: &Script| {
            sum + script.start_timeout + script.stop_timeout + INTERRUPT_GRACE.fraction(2, 1)
        };
        self.scripts.iter().fold(Span::ZERO, takes).fraction(2, 1)
    }
}

/// What is done about a script that does not stop, once the addresses are gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopFailure {
    /// It is stopped again and again; until it has, the peer does not start it.
    Hold,
    /// This box is reset, so that the peer can be sure.
    SelfFence,
}

/// A service address.
#[derive(Clone, Eq, Debug)]
pub struct VirtualAddress {
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// The interface it lives on.
    pub interface: String,
    /// Its label (IPv4), as old tools show it: `eth0:1`.
    pub label: Option<String>,
    /// The other end, on a link between two.
    pub peer: Option<IpAddr>,
    /// Without carrier on its interface the group is not served.
    pub needs_carrier: bool,
}

impl VirtualAddress {
    /// One of which nothing else is said.
    pub fn plain(ip: IpAddr, prefix: u8, interface: String) -> Self {
        Self { ip, prefix, interface, label: None, peer: None, needs_carrier: true }
    }
}

/// One and the same to the kernel: a held address that gets another label, peer or rule stays where it is.
impl PartialEq for VirtualAddress {
    fn eq(&self, other: &Self) -> bool {
        (self.ip, self.prefix, &self.interface) == (other.ip, other.prefix, &other.interface)
    }
}

/// Longest that a script which is cut short goes on: asked to end, it is killed after this.
pub const INTERRUPT_GRACE: Span = Span::from_s(2);

/// What a script goes by: its place, its arguments, its environment and its exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standard {
    /// Init scripts (LSB core 5.0, chapter 22).
    Lsb,
    /// Resource agents (OCF resource agent API 1.1).
    Ocf,
    /// Heartbeat's resource scripts: arguments first, then the action.
    Ha,
    /// A program of the operator's: arguments first, then the action.
    Exec,
}

/// A service script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// As written: `ocf:heartbeat:Filesystem device=/dev/sdc1`.
    pub text: String,
    /// What it goes by.
    pub standard: Standard,
    /// The program to run: the first of these that exists.
    pub programs: Vec<PathBuf>,
    /// What stands before the action.
    pub arguments: Vec<String>,
    /// OCF parameters.
    pub parameters: Vec<(String, String)>,
    /// Longest a start may take.
    pub start_timeout: Span,
    /// Longest a stop may take.
    pub stop_timeout: Span,
    /// How it is watched while it runs, if it is.
    pub monitor: Option<Monitor>,
}

impl Script {
    /// A program without arguments, with this much time for each action.
    pub fn plain(text: String, standard: Standard, program: PathBuf, timeout: Span) -> Self {
        Self {
            text,
            standard,
            programs: vec![program],
            arguments: Vec::new(),
            parameters: Vec::new(),
            start_timeout: timeout,
            stop_timeout: timeout,
            monitor: None,
        }
    }

    /// An init script at a place of its own, with this much time for each action.
    #[cfg(test)]
    pub fn lsb(name: &str, program: PathBuf, timeout: Span) -> Self {
        Self::plain(format!("lsb:{name}"), Standard::Lsb, program, timeout)
    }

    /// Whether both are started and stopped in the same way; how long that may take, and how it is watched,
    /// may differ.
    pub fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// Longest that a look at it may take.
    pub fn monitor_timeout(&self) -> Span {
        self.monitor.map_or(self.start_timeout, |monitor| monitor.timeout)
    }

    /// As logs and status call it: without parameters, which may hold a password.
    pub fn label(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }
}
