//! What became of each line.

use std::fmt;

use crate::settings::shorten;

/// What is wrong with a line, and what to do about it.
pub type Wrong = (String, &'static str);

/// A line of one of the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// `ha.cf`
    pub file: &'static str,
    /// Counted from 1.
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

/// What became of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Taken over: as what.
    Taken(String),
    /// Taken over if it fits, which shows when all is read.
    Timed(Time),
    /// Replaced: by what, and why.
    Replaced(String),
    /// Meaningless here: why.
    Meaningless(&'static str),
    /// Cannot be had: why, and what else there is.
    Lost(String),
}

/// A line and what became of it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Which line.
    pub place: Place,
    /// What it says, without secrets.
    pub text: String,
    /// What became of it.
    pub fate: Fate,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fate, note) = match &self.fate {
            Fate::Taken(note) => ("taken over", note.as_str()),
            Fate::Timed(_) => ("taken over", ""),
            Fate::Replaced(note) => ("replaced by", note.as_str()),
            Fate::Meaningless(note) => ("meaningless here", *note),
            Fate::Lost(note) => ("cannot be had", note.as_str()),
        };
        write!(f, "{}: {}\n    {fate}: {note}", self.place, shorten(&self.text))
    }
}
