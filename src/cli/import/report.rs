//! What became of each line.

use std::fmt;
use std::net::IpAddr;

use crate::settings::shorten;

/// What is wrong with a line, and what to do about it.
pub type Wrong = (String, &'static str);

/// A line of one of the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// `ha.cf`
    pub file: &'static str,
    /// Counted from 1; 0 is the file as a whole.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One of the three times that have to fit each other, and the cold start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    /// `keepalive`
    Interval,
    /// `warntime`
    LateAfter,
    /// `deadtime`
    DeadAfter,
    /// `initdead`
    ColdStart,
}

/// An address, and how the line names it where it names it otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The address.
    pub ip: IpAddr,
    /// The host name that stands there instead.
    pub name: Option<String>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} (as {} resolves now)", self.ip, shorten(name)),
            None => write!(f, "{}", self.ip),
        }
    }
}

/// What a reader makes of a line. Its fate is reported only when all lines are read, since it depends on what
/// is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reading {
    /// No other line matters.
    Known(Fate),
    /// A time, if it fits the others.
    Time(Time),
    /// A UDP port, if a medium takes it.
    Port(u16),
    /// A speed, if a cable takes it.
    Baud(u32),
    /// Broadcast or multicast on LANs, by their numbers, and what it is replaced by.
    Media(Vec<usize>, &'static str),
    /// One node's address on the LAN of that number.
    Unicast(usize, Named),
    /// Witnesses, and whether they were a group in which one was enough.
    Witnesses(Vec<Named>, bool),
    /// A group, and what has to be said of it.
    Group(Vec<String>),
}

impl From<Fate> for Reading {
    fn from(fate: Fate) -> Self {
        Self::Known(fate)
    }
}

/// What became of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Taken over: as what.
    Taken(String),
    /// Replaced: by what, and why.
    Replaced(String),
    /// Replaced by a later line of the same file, which counts.
    Overridden(usize),
    /// Meaningless here: why.
    Meaningless(String),
    /// Cannot be had: why, and what else there is.
    Lost(String),
}

/// A line and what was made of it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Which line.
    pub place: Place,
    /// What it says, without secrets.
    pub text: String,
    /// What was made of it.
    pub reading: Reading,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(note) => write!(f, "taken over: {note}"),
            Self::Replaced(note) => write!(f, "replaced by: {note}"),
            Self::Overridden(line) => write!(f, "replaced by line {line}, which counts"),
            Self::Meaningless(note) => write!(f, "meaningless here: {note}"),
            Self::Lost(note) => write!(f, "cannot be had: {note}"),
        }
    }
}
