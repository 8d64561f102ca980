//! The text of `why`: the newest decision or fault and its cause in the first line; then what happened here
//! and on the peer, and for each decision its evidence.

use std::fmt::Write as _;

use crosswire::quorum::record::{Evidence, Record};

use super::cause::{Entry, Headline, headline};
use super::control::History;
use super::recall::{Item, What};
use super::words::{self, Names, ScriptEnd};
use crate::gather::Gather;
use crate::logger::And;

/// The headline, and how long ago that was.
pub fn first_line(history: &History) -> String {
    let line = newest(history);
    if cfg!(feature = "shadow") && history.is_shadow {
        format!("SHADOW, nothing of it was done: {line}")
    } else {
        line
    }
}

fn newest(history: &History) -> String {
    match (headline(&history.entries, &history.node, &history.names()), &history.state) {
        (None | Some(Headline { is_quiet: true, .. }), Some(state)) => state.clone(),
        (Some(Headline { index, said, .. }), _) => {
            let age = history.entries.get(index).map(|(age, ..)| *age).unwrap_or_default();
            format!("{said} ({age} ago)")
        }
        (None, None) => format!("{} has decided nothing that is on record here", history.node),
    }
}

/// What an agent tells the peer's operator of itself; `has_evidence` adds the first line and the evidence of
/// each decision.
pub fn text(history: &History, has_evidence: bool) -> String {
    let (names, mut text) = (history.names(), String::new());
    if has_evidence {
        let _ = writeln!(text, "{}\n", first_line(history));
    }
    for entry in &history.entries {
        write_entry(&mut text, &entry.0.to_string(), entry, (&names, has_evidence));
    }
    text
}

/// Writes an entry with its age, and its evidence if that is wanted. Writing into a string cannot fail.
fn write_entry(
    text: &mut String,
    age: &str,
    (_, record, more, end): &Entry,
    (names, has_evidence): (&Names, bool),
) {
    let (_, sentence) = words::sentence(record, ScriptEnd(*end), names);
    let _ = writeln!(text, "{age:>10} ago  {sentence}{}", And(*more));
    if let Some(evidence) = evidence_of(record).filter(|_| has_evidence) {
        for line in evidence_lines(evidence, names) {
            let _ = writeln!(text, "                  {line}");
        }
    }
}

/// What happened on both nodes, for people. Where an agent begins, a line says so: what is above it was
/// before that. `peer` is what the peer is called.
pub fn text_of<'a>(
    first_line: &str,
    shown: impl Iterator<Item = &'a Item>,
    (runs, peer): (&[Names], &str),
) -> String {
    let mut text = format!("{first_line}\n\n");
    let mut before: Option<&Item> = None;
    for item in shown {
        // The peer tells later what it did then.
        if let What::Own(_) = item.what {
            if let Some(what) = before.and_then(|before| what_began(before, item)) {
                let _ = writeln!(text, "            --  {what}");
            }
            before = Some(item);
        }
        let age = if item.is_at_least { format!("over {}", item.age) } else { item.age.to_string() };
        match (&item.what, runs.get(item.run)) {
            (What::Own(entry), Some(names)) => write_entry(&mut text, &age, entry, (names, true)),
            (What::Own(_), None) => {}
            (What::Theirs(said), _) => {
                let _ = writeln!(text, "{age:>10} ago  {peer}: {said}");
            }
        }
    }
    text
}

/// What began between two that follow each other.
fn what_began(before: &Item, item: &Item) -> Option<&'static str> {
    if before.boots_since > item.boots_since {
        Some("this box started again")
    } else if item.run > before.run {
        Some("the agent started again")
    } else {
        None
    }
}

/// The evidence of a decision, in a few short lines.
fn evidence_lines(evidence: &Evidence, names: &Names) -> Vec<String> {
    let s = evidence;
    let paths = names.paths.iter().zip(evidence.paths);
    let paths: Vec<String> =
        paths.map(|(name, state)| format!("{name} {}", words::path_state(state))).gather();
    let peer = &names.peer;
    let first = format!(
        "{}; {peer} {}, {}",
        paths.join(", "),
        words::verdict(s.verdict),
        words::claim(s.claim, peer)
    );
    let second = format!(
        "{}; {}{}{}",
        words::finding(s.finding, peer),
        words::witness(s, peer),
        words::neighbours(s),
        words::vote_view(s, peer)
    );
    vec![first, second]
}

pub(super) fn evidence_of(record: &Record) -> Option<&Evidence> {
    match record {
        Record::Taking { evidence, .. }
        | Record::Releasing { evidence, .. }
        | Record::Blocked { evidence, .. } => Some(evidence),
        Record::Path { .. }
        | Record::Refused { .. }
        | Record::Verdict { .. }
        | Record::Jeopardy(_)
        | Record::PeerStarted
        | Record::DigestDiffers(_)
        | Record::TermsUsedUp(_)
        | Record::Role { .. }
        | Record::Fault { .. }
        | Record::Fence { .. }
        | Record::Lines { .. }
        | Record::Deaf { .. }
        | Record::CutOff { .. }
        | Record::Vote { .. }
        | Record::VipAnswered { .. }
        | Record::VipContested { .. }
        | Record::Script { .. }
        | Record::Stall(_)
        | Record::Succeeded
        | Record::Reloaded
        | Record::Upgraded(..)
        | Record::GuardLost
        | Record::GuardSilent(_)
        | Record::PeerTrouble(_)
        | Record::Standby(_)
        | Record::StandbyYielded
        | Record::Maintenance(_)
        | Record::BothServe(_)
        | Record::Incident(_)
        | Record::Scripts { .. }
        | Record::PeerUnable { .. }
        | Record::Leaving => None,
    }
}

/// What a node tells a command that follows a move from the other node: the count of entries, then each in
/// words.
pub fn steps(history: &History) -> String {
    let names = history.names();
    let mut text = format!("{}\n", history.count);
    for (_, record, _, end) in &history.entries {
        // Writing into memory cannot fail.
        let _ = writeln!(text, "{}", words::sentence(record, ScriptEnd(*end), &names).1);
    }
    text
}
