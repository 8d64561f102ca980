//! What the three files ask for, collected while they are read, and the times that fit.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crosswire::config::{MAX_DEAD_AFTER, MAX_DEAD_AFTER_INTERVALS, MAX_INTERVAL, MIN_INTERVAL, PathTiming};
use crosswire::frame::seal::group_tag;
use crosswire::quorum::timing::{self, Margin};
use crosswire::time::Span;

use super::places::{Lan, Names};
use super::report::{Account, Fate, Named, Place, Reading, Time, Wrong};
use crate::settings::{ConfigError, exact};

/// Heartbeat's interval, if ha.cf names none.
const USUAL_INTERVAL: Span = Span::from_s(1);
const USUAL_DEAD_AFTER: Span = Span::from_s(30);
/// Room for a beat on the line and for the kernel, in the arithmetic of a path.
const SLACK: Span = Span::from_ms(30);
const MAX_COLD_START: Span = Span::from_s(3_600);

/// One script of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// What it is called.
    pub name: String,
    /// In our notation.
    pub text: String,
    /// The line that asks for it.
    pub line: usize,
}

/// One line of haresources, or several.
#[derive(Clone, Debug)]
pub struct Group {
    /// What it is called here.
    pub name: String,
    /// The lines that ask for it.
    pub lines: Vec<usize>,
    /// The preferred node.
    pub prefer: String,
    /// Each also in our notation.
    pub addresses: Vec<(IpAddr, String)>,
    /// What it starts.
    pub scripts: Vec<Script>,
}

/// A device of `stonith_host`.
#[derive(Clone, Debug)]
pub struct Fence {
    /// What must be added, or done instead.
    pub remark: String,
    /// Method and program; `None` if nothing here knows the device.
    pub known: Option<(&'static str, String)>,
    /// Options that are no secret.
    pub options: Vec<String>,
}

/// Everything that was read.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Heartbeat's directory.
    pub directory: PathBuf,
    /// The line that is being read.
    pub place: Place,
    /// What it sets, if only one line can set that.
    pub setting: Option<String>,
    /// What was made of every line so far.
    pub accounts: Vec<Account>,
    /// The lines that set what only one can set.
    set_by: Vec<(&'static str, String, usize)>,
    /// What is wrong.
    pub errors: Vec<ConfigError>,
    /// Addresses of names.
    pub names: Names,
    /// The nodes, in the order of ha.cf.
    pub nodes: Vec<String>,
    /// `cluster`
    pub pair: Option<String>,
    /// Serial ports.
    pub serials: Vec<String>,
    /// `baud` before the first of them, which is the one that they have, and its line.
    pub baud: Option<(u32, usize)>,
    /// LANs.
    pub lans: Vec<Lan>,
    /// `udpport`, for the media after it, and its line.
    pub port: Option<(u16, usize)>,
    /// The port of each kind of media: all of a kind keep that of the first.
    ports: Vec<(&'static str, Option<(u16, usize)>)>,
    /// The services are not in these files.
    pub is_elsewhere: bool,
    /// interval, late_after, dead_after, cold_start: as asked for.
    pub times: [Option<Span>; 4],
    /// The boxes that are pinged.
    pub witnesses: Vec<Named>,
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
    pub fn new(directory: &Path, names: Names) -> Self {
        Self {
            directory: directory.to_path_buf(),
            place: Place { file: "ha.cf", line: 0 },
            setting: None,
            accounts: Vec::new(),
            set_by: Vec::new(),
            errors: Vec::new(),
            names,
            nodes: Vec::new(),
            pair: None,
            serials: Vec::new(),
            baud: None,
            lans: Vec::new(),
            port: None,
            ports: Vec::new(),
            is_elsewhere: false,
            times: [None; 4],
            witnesses: Vec::new(),
            // What Heartbeat does when it is not told.
            failback: "immediate",
            watchdog: None,
            fences: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Something is wrong with a line, or with a file.
    pub fn fail(&mut self, Place { file, line }: Place, (what, remedy): Wrong) {
        let line = Some(line).filter(|line| *line > 0);
        self.errors.push(ConfigError::new(&self.directory.join(file), line, what, remedy));
    }

    /// Notes what was made of the line that was read. An earlier line that set the same counts no longer.
    pub fn account(&mut self, text: String, reading: Reading) {
        let place = self.place;
        if let Some(setting) = self.setting.take() {
            let earlier =
                self.set_by.iter_mut().find(|(file, what, _)| *file == place.file && *what == setting);
            match earlier {
                Some((_, _, at)) => {
                    self.accounts[*at].reading = Fate::Overridden(place.line).into();
                    *at = self.accounts.len();
                }
                None => self.set_by.push((place.file, setting, self.accounts.len())),
            }
        }
        self.accounts.push(Account { place, text, reading });
    }

    /// The number of the LAN on an interface; it is added if it is not there yet. `own` is the port that this
    /// line itself names; else media of a kind have the port that stood above the first of them.
    pub fn lan(&mut self, interface: &str, kind: &'static str, own: Option<u16>) -> usize {
        let place = self.place;
        let port = match own {
            Some(port) => Some((port, place.line)),
            None => self.port_of(kind),
        };
        let known = self.lans.iter().position(|lan| lan.interface == interface);
        known.unwrap_or_else(|| {
            self.lans.push(Lan { interface: interface.to_string(), ips: Vec::new(), port, place });
            self.lans.len() - 1
        })
    }

    fn port_of(&mut self, kind: &'static str) -> Option<(u16, usize)> {
        if let Some((_, port)) = self.ports.iter().find(|(known, _)| *known == kind) {
            return *port;
        }
        self.ports.push((kind, self.port));
        self.port
    }

    /// A name for a group that prefers this node: the node's name, or that with a number. No two groups have
    /// the same tag in beats.
    pub fn name_for_group(&self, prefer: &str) -> String {
        let is_free =
            |name: &String| self.groups.iter().all(|group| group_tag(&group.name) != group_tag(name));
        let numbered = (2..).map(|number| format!("{prefer}-{number}"));
        std::iter::once(prefer.to_string()).chain(numbered.take(1_000)).find(is_free).unwrap_or_default()
    }

    /// The nearest times to those asked for that keep the promises of `crosswire check`.
    pub fn times(&self) -> Times {
        fit(self.times)
    }

    /// What became of a line that asked for a time.
    pub fn fate_of_time(&self, which: Time, times: Times) -> Fate {
        let names = ["interval", "late_after", "dead_after", "cold_start"];
        let index = which as usize;
        let said = format!("{} = \"{}\"", names[index], exact(times.all[index]));
        if self.times[index] == Some(times.all[index]) {
            Fate::Taken(said)
        } else {
            Fate::Replaced(format!("{said}: {}", WHY[index]))
        }
    }
}

/// Why a time was not taken over as it was, by [`Time`].
const WHY: [&str; 4] = [
    "four beats fit into dead_after, and 5 s is the longest interval",
    "it lies between the interval and dead_after, early enough to let go before the peer takes over",
    "16.383 s is the longest that is offered; two paths that must agree need no more",
    "it is longer than dead_after",
];

/// The nearest times to those asked for that keep the promises of `crosswire check`.
pub fn fit(asked: [Option<Span>; 4]) -> Times {
    let [interval, late, dead, cold] = asked;
    let interval = interval.unwrap_or(USUAL_INTERVAL).min(MAX_INTERVAL).max(MIN_INTERVAL);
    let dead = dead.unwrap_or(USUAL_DEAD_AFTER).min(MAX_DEAD_AFTER).max(MIN_INTERVAL.fraction(8, 1));
    let interval = interval.min(dead.fraction(1, 4)).max(MIN_INTERVAL);
    let dead = dead.min(interval.fraction(MAX_DEAD_AFTER_INTERVALS, 1));
    let latest = dead.saturating_sub(interval.fraction(3, 2) + SLACK);
    let late = late.unwrap_or(dead.fraction(1, 2)).min(latest).max(interval.fraction(5, 4));
    // A longer dead_after leaves more time for a release, which has to fit in too.
    let timing = PathTiming { interval, late_after: late, dead_after: dead };
    let late = match timing::path_margin(timing, SLACK) {
        Margin::Spare(_) => late,
        Margin::Missing(missing) => {
            let missing = Span::from_ms(missing.as_ms().saturating_add(1));
            late.saturating_sub(missing).max(interval.fraction(5, 4))
        }
    };
    let least = dead.fraction(102, 100);
    let cold = cold.unwrap_or(Span::from_s(60)).max(whole_s(least)).min(MAX_COLD_START);
    let lease = whole_s(dead.max(interval.fraction(2, 1)));
    Times { all: [interval, late, dead, cold], lease }
}

fn whole_s(span: Span) -> Span {
    Span::from_s(span.as_s_ceil())
}

/// A wanted time.
pub fn set(draft: &mut Draft, which: Time, span: Span) -> Reading {
    draft.times[which as usize] = Some(span);
    // By number: the router build prints nothing for `{:?}`.
    draft.setting = Some(format!("time {}", which as usize));
    Reading::Time(which)
}
