//! What the exit code of every command means, documented and stable; and how a command says why it failed.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::json;
use crate::settings::ConfigError;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Exit {
    /// It is done. `status`: every group is served, and the second node could take over.
    Done,
    /// It was refused, or failed.
    Refused,
    /// The command line makes no sense.
    Usage,
    /// No daemon runs.
    NotRunning,
    /// `status`: served, but by the last node that can.
    Alone,
    /// `status`: a group is served by nobody, by both nodes, or held by a node that cannot serve it.
    Unserved,
    /// The daemon does not answer.
    Hangs,
    /// The caller may not ask this.
    NotAllowed,
    /// The configuration, the key file or this box is not as it must be (EX_CONFIG of sysexits.h).
    Configuration,
}

impl Exit {
    /// All ways to end.
    #[cfg(feature = "workbench")]
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Refused,
        Self::Usage,
        Self::NotRunning,
        Self::Alone,
        Self::Unserved,
        Self::Hangs,
        Self::NotAllowed,
        Self::Configuration,
    ];

    /// Its text in the manual.
    #[cfg(feature = "workbench")]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "Done. status: every group is served, and the second node could take over.",
            Self::Refused => "Refused, or failed. check --peer: the files differ.",
            Self::Usage => "The command line makes no sense.",
            Self::NotRunning => "No daemon runs. check --peer: the peer was not asked.",
            Self::Alone => "status: served, without redundancy.",
            Self::Unserved => {
                "status: a group is not served that should be, or by both nodes, or by one that cannot."
            }
            Self::Hangs => "The daemon does not answer.",
            Self::NotAllowed => {
                "Not allowed: ask as root, or for status, why, peer and check --peer as a member of the \
                    group crosswire."
            }
            Self::Configuration => "The configuration, the key file or this box is not as it must be.",
        }
    }

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::NotRunning => 3,
            Self::Alone => 4,
            Self::Unserved => 5,
            Self::Hangs => 6,
            Self::NotAllowed => 77,
            Self::Configuration => 78,
        }
    }

    /// Its name for programs, beside the number.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::NotRunning => "no_daemon",
            Self::Alone => "alone",
            Self::Unserved => "unserved",
            Self::Hangs => "hangs",
            Self::NotAllowed => "not_allowed",
            Self::Configuration => "configuration",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What a program reads of a command that failed.
#[derive(Serialize)]
struct Complaint {
    code: u8,
    error: &'static str,
    text: String,
}

/// Says on standard error why a command ends like this: one line, or one JSON object for a program. Returns
/// `exit`.
pub fn complain(exit: Exit, is_json: bool, text: &dyn Display) -> Exit {
    let mut stderr = std::io::stderr();
    // It is no reason to panic if nobody reads.
    let _ = if is_json {
        let complaint = Complaint { code: exit.code(), error: exit.name(), text: text.to_string() };
        writeln!(stderr, "{}", json::line(&complaint))
    } else {
        writeln!(stderr, "{text}")
    };
    exit
}

/// The same for a configuration or a key file: a line for each mistake.
pub fn complain_of(errors: &[ConfigError]) -> Exit {
    for error in errors {
        let _ = complain(Exit::Configuration, false, error);
    }
    Exit::Configuration
}
