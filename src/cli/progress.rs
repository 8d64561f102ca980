//! What an operator sees of a planned move while it goes on, where standard error is a terminal.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use crosswire::frame::aside::Subject;
use crosswire::pair::Role;
use crosswire::time::{Instant, Span};

use super::request::{is_on_its_way, report};
use crate::clock::now;
use crate::gather::Gather;
use crate::operator::control::{Answer, History, Question, Report, ask, ask_within};
use crate::operator::words::{self, ScriptEnd};

/// Entries of the journal that one look can show.
const MAX_SHOWN: u16 = 20;
/// Time between two questions to the peer.
const PEER_ASKED_EVERY: Span = Span::from_ms(200);
/// How long its answer is waited for: a second or so at 9600 baud.
const PEER_PATIENCE: Duration = Duration::from_secs(2);

/// What an operator sees of a move while it goes on: everything that both nodes note; on a terminal only.
pub struct Progress {
    is_shown: bool,
    /// Entries of the journal that were shown, or were there before.
    seen: u32,
    /// The same for the peer's journal, once it has answered.
    seen_there: Option<u32>,
    peer_asked_at: Instant,
    theirs: Vec<Option<Role>>,
}

impl Progress {
    /// Begins to follow.
    pub fn begin(run_dir: &Path) -> Self {
        let is_shown = std::io::stderr().is_terminal();
        let seen = is_shown.then(|| history(run_dir, 0)).flatten().map_or(u32::MAX, |history| history.count);
        let seen_there = is_shown.then(|| steps_of_peer(run_dir)).flatten().map(|(count, _)| count);
        let theirs = is_shown
            .then(|| report(run_dir))
            .flatten()
            .map_or_else(Vec::new, |report| roles_of_peer(&report));
        Self { is_shown, seen, seen_there, peer_asked_at: now(), theirs }
    }

    /// Shows what is new.
    pub fn look(&mut self, run_dir: &Path, report: &Report) {
        let Some(history) = self.is_shown.then(|| history(run_dir, MAX_SHOWN)).flatten() else { return };
        let names = history.names();
        let lines = history
            .entries
            .iter()
            .map(|(_, record, _, end)| words::sentence(record, ScriptEnd(*end), &names).1);
        show(&history.node, fresh(lines.gather(), history.count, self.seen));
        self.seen = self.seen.max(history.count);
        self.look_there(run_dir, report, &names);
    }

    /// Asks the peer while it is at work, and when its roles have changed; if it does not answer, shows its
    /// roles.
    fn look_there(&mut self, run_dir: &Path, report: &Report, names: &words::Names) {
        let before = std::mem::replace(&mut self.theirs, roles_of_peer(report));
        let is_at_work = self.theirs.iter().flatten().any(|role| is_on_its_way(*role));
        let is_due = is_at_work && now().since(self.peer_asked_at) >= PEER_ASKED_EVERY;
        if self.theirs == before && !is_due {
            return;
        }
        self.peer_asked_at = now();
        if let (Some(seen), Some((count, lines))) = (self.seen_there, steps_of_peer(run_dir)) {
            show(&names.peer, fresh(lines, count, seen));
            self.seen_there = Some(count);
            return;
        }
        let changed =
            self.theirs.iter().zip(&before).zip(&names.groups).filter(|((now, before), _)| now != before);
        let lines =
            changed.filter_map(|((now, _), group)| Some(format!("group {group}: {}", words::role((*now)?))));
        show(&names.peer, lines.gather());
    }
}

/// The new ones of these lines: there were `count` entries in all, and `seen` of them were known.
fn fresh(mut lines: Vec<String>, count: u32, seen: u32) -> Vec<String> {
    let fresh = count.saturating_sub(seen) as usize;
    lines.drain(..lines.len().saturating_sub(fresh));
    lines
}

fn show(node: &str, lines: Vec<String>) {
    let mut stderr = std::io::stderr();
    for line in lines {
        let _ = writeln!(stderr, "  {node}: {line}");
    }
}

fn roles_of_peer(report: &Report) -> Vec<Option<Role>> {
    let groups = report.node.peer.iter().flat_map(|peer| &peer.groups);
    groups.map(|group| group.map(|said| said.role)).gather()
}

/// How many entries the peer's journal has had, and the newest.
fn steps_of_peer(run_dir: &Path) -> Option<(u32, Vec<String>)> {
    let Ok(Answer::PeerSays(Ok(text))) =
        ask_within(run_dir, &Question::Peer(Subject::Progress, false), PEER_PATIENCE)
    else {
        return None;
    };
    let (count, lines) = text.split_once('\n')?;
    Some((count.parse().ok()?, lines.lines().map(str::to_owned).gather()))
}

fn history(run_dir: &Path, last: u16) -> Option<Box<History>> {
    ask(run_dir, &Question::Why(last)).ok()?.history()
}
