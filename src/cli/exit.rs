//! What the exit code of every command means: documented, and stable.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Exit {
    /// It is done.
    Done,
    /// It was refused, or failed.
    Refused,
    /// The command line makes no sense.
    Usage,
    /// No daemon answers.
    NotRunning,
    /// The pair serves, but one more fault may not be told from a dead peer.
    Jeopardy,
    /// Both nodes serve a group.
    BothServe,
    /// The configuration, the key file or this box is not as it must be (EX_CONFIG of sysexits.h).
    Configuration,
}

impl Exit {
    /// All of them.
    #[cfg(feature = "workbench")]
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Refused,
        Self::Usage,
        Self::NotRunning,
        Self::Jeopardy,
        Self::BothServe,
        Self::Configuration,
    ];

    /// What the manual says of it.
    #[cfg(feature = "workbench")]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "Done.",
            Self::Refused => "Refused, or failed.",
            Self::Usage => "The command line makes no sense.",
            Self::NotRunning => "No daemon answers.",
            Self::Jeopardy => "status: jeopardy; one more fault may not be told from a dead peer.",
            Self::BothServe => "status: both nodes serve a group.",
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
            Self::Jeopardy => 4,
            Self::BothServe => 5,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
