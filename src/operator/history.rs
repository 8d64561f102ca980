//! What happened on a node, and what of it was not told in all, as the agent tells it to a command.

use crosswire::quorum::record::Record;
use crosswire::time::Span;
use serde::{Deserialize, Serialize};

use super::words::Names;

/// What happened on a node, with the names that people use.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// This node.
    pub node: String,
    /// Its peer.
    pub peer: String,
    /// Names of the paths.
    pub paths: Vec<String>,
    /// Names of the groups.
    pub groups: Vec<String>,
    /// Names of the interfaces.
    pub interfaces: Vec<String>,
    /// By group, the names of its scripts, one a line.
    pub scripts: Vec<String>,
    /// The key file.
    pub key_file: String,
    /// Nothing of it was done.
    pub is_shadow: bool,
    /// When that was, since the boot.
    pub up: Span,
    /// What is not well and why, as the status says it, where that is more than a path.
    pub state: Option<String>,
    /// How many entries there have been in all, up to the newest.
    pub count: u32,
    /// Age, record, how many more like it, and how the script that it names failed
    /// ([`ScriptEnd`](super::words::ScriptEnd)); the oldest first.
    pub entries: Vec<(Span, Record, u32, u32)>,
    /// What the peer told of itself when it was asked last: how long ago, and what, in its own words.
    pub theirs: Vec<(Span, String)>,
}

impl History {
    /// The names that its records are told with.
    pub fn names(&self) -> Names {
        Names {
            peer: self.peer.clone(),
            paths: self.paths.clone(),
            groups: self.groups.clone(),
            interfaces: self.interfaces.clone(),
            scripts: self.scripts.clone(),
            key_file: self.key_file.clone(),
            is_shadow: self.is_shadow,
        }
    }
}

/// What can be dropped or cut short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LostKind {
    /// Decisions and events of a flood, of which a count is told.
    Records,
    /// What the operator's program was not told, or not to the end.
    Notices,
    /// Lines of the log.
    Lines,
    /// What was not written to the journal.
    Entries,
}

impl LostKind {
    /// All of them, in the order of [`Report::drops`](super::control::Report::drops).
    pub const ALL: [Self; 4] = [Self::Records, Self::Notices, Self::Lines, Self::Entries];

    /// Its name for programs, and what it is for people.
    pub const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Records => ["records", "records of floods"],
            Self::Notices => ["notices", "notices"],
            Self::Lines => ["log_lines", "lines of the log"],
            Self::Entries => ["journal_entries", "entries of the journal"],
        }
    }
}
