//! What an operator sees of a planned move while it goes on, where standard error is a terminal.

use std::io::{IsTerminal, Write};
use std::path::Path;

use crosswire::frame::message::Role;

use super::operate::report;
use super::why;
use crate::control::{Answer, History, Question, Report, ask};
use crate::words;

/// Entries of the journal that one look can show.
const MAX_SHOWN: u16 = 20;

/// What an operator sees of a move while it goes on: everything that this node notes, and the peer's roles; on a terminal only.
pub struct Progress {
    is_shown: bool,
    /// Entries of the journal that were shown, or were there before.
    seen: u32,
    theirs: Vec<Option<Role>>,
}

impl Progress {
    /// From now on.
    pub fn begin(run_dir: &Path) -> Self {
        let is_shown = std::io::stderr().is_terminal();
        let seen = is_shown.then(|| history(run_dir, 0)).flatten().map_or(u32::MAX, |history| history.count);
        let theirs = is_shown.then(|| report(run_dir)).flatten().map_or_else(Vec::new, |report| roles_of_peer(&report));
        Self { is_shown, seen, theirs }
    }

    /// Shows what is new.
    pub fn look(&mut self, run_dir: &Path, report: &Report) {
        let Some(history) = self.is_shown.then(|| history(run_dir, MAX_SHOWN)).flatten() else { return };
        let names = why::names(&history);
        let fresh = history.count.saturating_sub(self.seen) as usize;
        let mut stderr = std::io::stderr();
        for (_, record) in history.entries.iter().skip(history.entries.len().saturating_sub(fresh)) {
            let _ = writeln!(stderr, "  {}: {}", history.node, words::sentence(record, &names).1);
        }
        self.seen = self.seen.max(history.count);
        let theirs = roles_of_peer(report);
        let changed = theirs.iter().zip(&self.theirs).zip(&names.groups).filter(|((now, before), _)| now != before);
        for (role, group) in changed.filter_map(|((now, _), group)| Some(((*now)?, group))) {
            let _ = writeln!(stderr, "  {}: group {group}: {}", names.peer, words::role(role));
        }
        self.theirs = theirs;
    }
}

fn roles_of_peer(report: &Report) -> Vec<Option<Role>> {
    let groups = report.node.peer.iter().flat_map(|peer| &peer.groups);
    groups.map(|group| group.map(|(role, _)| role)).collect()
}

fn history(run_dir: &Path, last: u16) -> Option<Box<History>> {
    match ask(run_dir, &Question::Why(last)) {
        Ok(Answer::History(history)) => Some(history),
        Ok(Answer::Status(_) | Answer::Accepted | Answer::Denied(_) | Answer::PeerSays(_)) | Err(_) => None,
    }
}
