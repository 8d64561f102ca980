//! What is served: a group, its addresses and its scripts.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crosswire::custody::Readiness;
use crosswire::time::Span;

use super::{Monitor, Route, Vmac};

/// One group.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// Its name.
    pub name: String,
    /// Its addresses, in order.
    pub addresses: Vec<VirtualAddress>,
    /// Interfaces whose carrier counts although it has no address there.
    pub tracked: Vec<String>,
    /// Its routes, in order, then the policy rules that lead to them.
    pub routes: Vec<Route>,
    /// Its scripts, in starting order.
    pub scripts: Vec<Script>,
    /// The checks of whether a node that does not hold it is ready for it; each has a monitor.
    pub ready: Vec<Script>,
    /// How many of the scripts, from the left, start before any address comes and stop after all are gone.
    pub before: u8,
    /// What is done about a script that does not stop.
    pub on_stop_failure: StopFailure,
}

impl GroupSettings {
    /// The interfaces that need carrier for it; one may come twice.
    pub fn watched(&self) -> impl Iterator<Item = &String> {
        let of_addresses = self.addresses.iter().filter(|address| address.needs_carrier);
        of_addresses.map(|address| &address.interface).chain(&self.tracked)
    }

    /// The hardware addresses of its own; one may come twice.
    pub fn vmacs(&self) -> impl Iterator<Item = &Vmac> {
        self.addresses.iter().filter_map(|address| address.vmac.as_ref())
    }

    /// Its scripts, then its checks: the order in which both are counted.
    pub fn programs(&self) -> impl Iterator<Item = &Script> {
        self.scripts.iter().chain(&self.ready)
    }

    /// The labels of its scripts and checks, a line each, in their order.
    pub fn script_labels(&self) -> String {
        let mut out = String::new();
        for script in self.programs() {
            out.push_str(script.label());
            out.push('\n');
        }
        out
    }

    /// What is known of its checks before any has run.
    pub fn readiness(&self) -> Readiness {
        Readiness::new(self.ready.iter().filter_map(|check| check.monitor), self.scripts.len())
    }

    /// The scripts that start before any address comes, and the others.
    pub fn phases(&self) -> (&[Script], &[Script]) {
        self.scripts.split_at_checked(usize::from(self.before)).unwrap_or((&[], &self.scripts))
    }

    /// The longest time of its scripts for a move that fails and comes back: each is stopped and started on
    /// both nodes, and cut short if it does not end.
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
    /// Stopping is tried again and again; until it succeeds, the peer does not start the script.
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
    /// Whether the group needs carrier on this interface.
    pub needs_carrier: bool,
    /// The hardware address that it has on both nodes, if that is not the interface's own.
    pub vmac: Option<Vmac>,
}

impl VirtualAddress {
    /// An address of which nothing else is said.
    pub fn plain(ip: IpAddr, prefix: u8, interface: String) -> Self {
        Self { ip, prefix, interface, label: None, peer: None, needs_carrier: true, vmac: None }
    }

    /// The address and the interface in the text of one, as operators read it; `None` if that is the text of
    /// something else: of a route or a script.
    pub fn place(text: &str) -> Option<(IpAddr, &str)> {
        let (ip, rest) = text.split_once('/')?;
        let (_, more) = rest.split_once('@')?;
        // What is said of it beside its place stands behind a blank.
        Some((ip.parse().ok()?, more.split(' ').next()?))
    }

    /// What the kernel has it on: its interface, or a macvlan there.
    pub fn device(&self) -> &str {
        self.vmac.as_ref().map_or(&self.interface, Vmac::name)
    }
}

/// As an operator reads it.
impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.ip, self.prefix, self.interface)?;
        self.vmac.as_ref().map_or(Ok(()), |vmac| write!(f, " vmac {vmac}"))
    }
}

/// Equal means the same address to the kernel: a held address that gets another label, peer or rule stays.
impl PartialEq for VirtualAddress {
    fn eq(&self, other: &Self) -> bool {
        let is_same_place =
            (self.ip, self.prefix, &self.interface) == (other.ip, other.prefix, &other.interface);
        is_same_place && self.vmac == other.vmac
    }
}

/// How long a script that is cut short may go on: it is asked to end, and killed after this.
pub const INTERRUPT_GRACE: Span = Span::from_s(2);

/// The standard of a script: its place, its arguments, its environment and its exit codes.
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
    /// A unit of systemd (systemctl(1)): the action first, then the unit.
    Systemd,
}

/// A service script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// As written: `ocf:heartbeat:Filesystem device=/dev/sdc1`.
    pub text: String,
    /// Its standard.
    pub standard: Standard,
    /// The program to run: the first of these that exists.
    pub programs: Vec<PathBuf>,
    /// Arguments before the action.
    pub arguments: Vec<String>,
    /// OCF parameters.
    pub parameters: Vec<(String, String)>,
    /// Longest a start may take.
    pub start_timeout: Span,
    /// Longest a stop may take.
    pub stop_timeout: Span,
    /// Its monitor, if it has one.
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

    /// Whether both are started and stopped in the same way; timeouts and monitors may differ.
    pub fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// What it starts, as others call that: the unit, or the name of the program.
    pub fn service(&self) -> Option<&str> {
        match self.standard {
            Standard::Systemd => self.arguments.first().map(String::as_str),
            Standard::Lsb | Standard::Ocf | Standard::Ha | Standard::Exec => {
                self.programs.first()?.file_name()?.to_str()
            }
        }
    }

    /// The timeout of its monitor.
    pub fn monitor_timeout(&self) -> Span {
        self.monitor.map_or(self.start_timeout, |monitor| monitor.timeout)
    }

    /// Its name in logs and status: without parameters, which may hold a password.
    pub fn label(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_address_is_read_from_what_operators_read() {
        for ip in [IpAddr::from([10, 0, 0, 100]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1])] {
            let plain = VirtualAddress::plain(ip, 24, "eth0".to_owned());
            let vmac = Some(Vmac::new(None, "lab", "gateway", "eth0"));
            for address in [plain.clone(), VirtualAddress { vmac, ..plain }] {
                assert_eq!(VirtualAddress::place(&address.to_string()), Some((ip, "eth0")), "{address}");
            }
        }
        for text in ["route default via 10.0.0.1", "exec:/a/b@c", "lsb:x"] {
            assert_eq!(VirtualAddress::place(text), None, "{text}");
        }
    }
}
