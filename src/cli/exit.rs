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
    /// The configuration, the key file or this box is not as it must be (EX_CONFIG of sysexits.h).
    Configuration,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::NotRunning => 3,
            Self::Jeopardy => 4,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
