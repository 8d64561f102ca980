//! What happened, in words: one line for each event, for the log and for people.

mod denials;
mod interfaces;
mod journal;
mod reasons;
mod records;
mod refusals;
mod scripts;
mod states;

pub use crate::plain::mac;
pub use denials::denial;
pub use interfaces::{answering_beside, twin};
pub use journal::journal_trouble;
pub use reasons::{block, by_force, release_reason, take_reason};
pub use records::sentence;
pub use refusals::{refusal, refusal_advice};
pub use scripts::{ScriptEnd, condition, failed, fault};
pub use states::{
    claim, finding, interface_state, line_reading, neighbours, path_state, reset_cause, role, trouble,
    verdict, vote_view, witness, word,
};

use crosswire::pair::{GroupId, PathId};
use crosswire::time::Span;
use scripts::script;

/// The names that a record's ids stand for.
pub struct Names {
    pub peer: String,
    pub paths: Vec<String>,
    pub groups: Vec<String>,
    pub interfaces: Vec<String>,
    /// By group, the names of its scripts, one a line.
    pub scripts: Vec<String>,
    pub key_file: String,
    /// Nothing of it was done.
    pub is_shadow: bool,
}

impl Names {
    pub fn path(&self, path: PathId) -> &str {
        self.paths.get(path.index()).map_or("?", String::as_str)
    }

    fn interface(&self, index: u8) -> &str {
        self.interfaces.get(usize::from(index)).map_or("?", String::as_str)
    }

    /// The names of a group's scripts, one a line.
    fn scripts(&self, group: GroupId) -> &str {
        self.scripts.get(group.index()).map_or("", String::as_str)
    }

    /// What was done, or in shadow what would be.
    pub fn done<'w>(&self, was: &'w str, would_be: &'w str) -> &'w str {
        if cfg!(feature = "shadow") && self.is_shadow { would_be } else { was }
    }

    pub fn group(&self, group: GroupId) -> &str {
        self.groups.get(group.index()).map_or("?", String::as_str)
    }
}

/// A count with its noun: `1 frame`, `2 frames`.
pub fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Why something is not done, and how much longer.
pub fn waiting(why: String, wait: Option<Span>) -> String {
    match wait.filter(|wait| *wait > Span::ZERO) {
        Some(wait) => format!("{why}, {wait} more"),
        None => why,
    }
}

/// The three numbers of a version.
pub fn version([major, minor, patch]: [u8; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}
