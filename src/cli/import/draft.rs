//! What the three files ask for, while they are read; then the times that fit, and the addresses of the nodes.

use std::net::IpAddr;

use crosswire::config::{MAX_DEAD_AFTER, MAX_DEAD_AFTER_INTERVALS, MAX_INTERVAL, MIN_INTERVAL};
use crosswire::time::Span;

use super::report::{Account, Fate, Place, Time};
use crate::settings::{ConfigError, exact};

/// Heartbeat's own, where ha.cf says nothing.
const USUAL_INTERVAL: Span = Span::from_s(1);
const USUAL_DEAD_AFTER: Span = Span::from_s(30);
/// Room for a beat on the line and for the kernel, in the arithmetic of a path.
const SLACK: Span = Span::from_ms(30);
const MAX_COLD_START: Span = Span::from_s(3_600);

/// A LAN between the nodes.
#[derive(Clone, Debug)]
pub struct Lan {
    /// Its interface.
    pub interface: String,
    /// The nodes' addresses on it, as far as ucast names them.
    pub ips: Vec<IpAddr>,
    /// UDP port, where it is not the usual one.
    pub port: Option<u16>,
    /// Who asks for it.
    pub place: Place,
}

/// One line of haresources.
#[derive(Clone, Debug)]
pub struct Group {
    /// What it is called here.
    pub name: String,
    /// Who asks for it.
    pub place: Place,
    /// The preferred node.
    pub prefer: String,
    /// In our notation.
    pub addresses: Vec<String>,
    /// In our notation.
    pub scripts: Vec<String>,
}

/// A device of `stonith_host`.
#[derive(Clone, Debug)]
pub struct Fence {
    /// What must be added, or done instead.
    pub remark: String,
    /// Method and program; none where nothing here knows the device.
    pub known: Option<(&'static str, String)>,
    /// Options that are no secret.
    pub options: Vec<String>,
}

/// Everything that was read.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The line that is being read.
    pub place: Place,
    /// What became of every line so far.
    pub accounts: Vec<Account>,
    /// What is wrong.
    pub errors: Vec<ConfigError>,
    /// The nodes, in the order of ha.cf.
    pub nodes: Vec<String>,
    /// `cluster`
    pub pair: Option<String>,
    /// Serial ports.
    pub serials: Vec<String>,
    /// `baud`
    pub baud: Option<u32>,
    /// LANs.
    pub lans: Vec<Lan>,
    /// `udpport`, for the media after it.
    pub port: Option<u16>,
    /// interval, late_after, dead_after, cold_start: as asked for.
    pub times: [Option<Span>; 4],
    /// Witnesses.
    pub witnesses: Vec<IpAddr>,
    /// `failback` of every group.
    pub failback: &'static str,
    /// `watchdog`
    pub watchdog: Option<String>,
    /// Fences.
    pub fences: Vec<Fence>,
    /// Groups.
    pub groups: Vec<Group>,
}

/// The times that are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// interval, late_after, dead_after, cold_start
    pub all: [Span; 4],
    /// Kernel lifetime of an address.
    pub lease: Span,
}

impl Draft {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self {
            place: Place { file: "ha.cf", line: 0 },
            accounts: Vec::new(),
            errors: Vec::new(),
            nodes: Vec::new(),
            pair: None,
            serials: Vec::new(),
            baud: None,
            lans: Vec::new(),
            port: None,
            times: [None; 4],
            witnesses: Vec::new(),
            // What Heartbeat does when it is not told.
            failback: "immediate",
            watchdog: None,
            fences: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// The LAN on an interface, made if it is not there yet; true if it was.
    pub fn lan(&mut self, interface: &str, port: Option<u16>) -> (&mut Lan, bool) {
        let known = self.lans.iter().position(|lan| lan.interface == interface);
        let index = known.unwrap_or(self.lans.len());
        if known.is_none() {
            let place = self.place;
            self.lans.push(Lan { interface: interface.to_string(), ips: Vec::new(), port, place });
        }
        (&mut self.lans[index], known.is_some())
    }

    /// The nearest times to those asked for that keep the promises of `crosswire check`, and what became of the lines
    /// that asked.
    pub fn settle_times(&mut self) -> Times {
        let times = fit(self.times);
        let names = ["interval", "late_after", "dead_after", "cold_start"];
        for account in &mut self.accounts {
            let Fate::Timed(which) = account.fate else { continue };
            let index = which as usize;
            let said = format!("{} = \"{}\"", names[index], exact(times.all[index]));
            account.fate = if self.times[index] == Some(times.all[index]) {
                Fate::Taken(said)
            } else {
                Fate::Replaced(format!("{said}: {}", WHY[index]))
            };
        }
        times
    }
}

/// Why a time was not taken over as it was, by [`Time`].
const WHY: [&str; 4] = [
    "four beats fit into dead_after, and 5 s is the longest interval",
    "it lies between the interval and dead_after, early enough to let go before the peer takes over",
    "16.383 s is the longest that is offered; two paths that must agree need no more",
    "it is longer than dead_after",
];

fn fit(asked: [Option<Span>; 4]) -> Times {
    let [interval, late, dead, cold] = asked;
    let interval = interval.unwrap_or(USUAL_INTERVAL).min(MAX_INTERVAL).max(MIN_INTERVAL);
    let dead = dead.unwrap_or(USUAL_DEAD_AFTER).min(MAX_DEAD_AFTER).max(MIN_INTERVAL.fraction(8, 1));
    let interval = interval.min(dead.fraction(1, 4)).max(MIN_INTERVAL);
    let dead = dead.min(interval.fraction(MAX_DEAD_AFTER_INTERVALS, 1));
    let latest = dead.saturating_sub(interval.fraction(3, 2) + SLACK);
    let late = late.unwrap_or(dead.fraction(1, 2)).min(latest).max(interval.fraction(5, 4));
    let least = dead.fraction(102, 100);
    let cold = cold.unwrap_or(Span::from_s(60)).max(whole_s(least)).min(MAX_COLD_START);
    let lease = whole_s(dead.max(interval.fraction(2, 1)));
    Times { all: [interval, late, dead, cold], lease }
}

fn whole_s(span: Span) -> Span {
    Span::from_s(span.as_s_ceil())
}

/// A wanted time.
pub fn set(draft: &mut Draft, which: Time, span: Span) -> Fate {
    draft.times[which as usize] = Some(span);
    Fate::Timed(which)
}
