//! `crosswire why`: what it comes to and why, in the first line; then the last decisions of this node, and
//! its decisions not to act, with the evidence and the rule.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use crosswire::health::PathState;
use crosswire::quorum::record::{Evidence, Record};
use crosswire::time::Span;

use super::cause::{Entry, headline};
use super::codes;
use super::exit::{Exit, complain};
use super::json::{Value, json};
use super::option::{flag, option, options};
#[cfg(feature = "picture")]
use super::picture;
use super::status::not_answered;
use crate::control::{Answer, DEFAULT_RUN_DIR, History, Question, ask};
use crate::logger::And;
use crate::settings::parse_span;
use crate::words::{self, Names};

options! {
    /// Tell why this node did what it did, and why it did not
    pub struct WhyOptions("why") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// How many entries at most
        last: usize = option("--last", "COUNT").or("30"),
        /// What happened so long ago (90s, 10m, 2h), a minute before and after it
        at: Option<String> = option("--at", "TIME"),
        /// As JSON
        json: bool = flag("--json"),
        /// Draw it: paths, lines, the peer and the groups over time
        svg: Option<PathBuf> = option("--svg", "FILE"),
    }
}

/// What `--at` shows of before and after that instant.
const AROUND: Span = Span::from_s(60);

/// Asks, and tells the answer, the oldest entry first.
pub fn run(options: &WhyOptions, out: &mut impl Write) -> Exit {
    let at = match options.at.as_deref().map(|text| (text, parse_span(text))) {
        Some((text, None)) => {
            let what = format!("--at {text}: say how long ago, as in 90s, 10m or 2h");
            return complain(Exit::Usage, options.json, &what);
        }
        other => other.and_then(|(_, span)| span),
    };
    let is_all = at.is_some() || options.svg.is_some();
    let count = if is_all { u16::MAX } else { u16::try_from(options.last).unwrap_or(u16::MAX) };
    let mut history = match ask(&options.run_dir, &Question::Why(count)) {
        Ok(Answer::History(history)) => history,
        Ok(Answer::Status(_) | Answer::Accepted | Answer::Denied(_) | Answer::PeerSays(_)) => {
            return Exit::Refused;
        }
        Err(error) => return not_answered(&options.run_dir, &error, options.json),
    };
    if let Some(at) = at {
        // What was so by then is told by what came before it.
        history.entries.retain(|(age, ..)| *age + AROUND >= at);
    }
    if let Some(file) = &options.svg {
        return draw(&history, file);
    }
    let is_shown = |(age, ..): &Entry| at.is_none_or(|at| *age <= at + AROUND);
    let text = if options.json { json(&history, is_shown) } else { text_of(&history, true, is_shown) };
    // A reader that closed the pipe has seen enough.
    let _ = out.write_all(text.as_bytes());
    Exit::Done
}

#[cfg(feature = "picture")]
fn draw(history: &History, file: &std::path::Path) -> Exit {
    let names = names(history);
    let first = first_line(history);
    let marked = headline(&history.entries, &history.node, &names).map(|(index, _)| (index, first.as_str()));
    let drawn = picture::svg(&history.entries, marked, &history.node, &names);
    match std::fs::write(file, drawn) {
        Ok(()) => Exit::Done,
        Err(error) => complain(Exit::Refused, false, &format_args!("{}: {error}", file.display())),
    }
}

#[cfg(not(feature = "picture"))]
fn draw(_: &History, _: &std::path::Path) -> Exit {
    complain(Exit::Usage, false, &"crosswire: this build draws nothing; see --json")
}

/// What it comes to, and how long ago.
fn first_line(history: &History) -> String {
    match headline(&history.entries, &history.node, &names(history)) {
        Some((index, said)) => {
            let age = history.entries.get(index).map(|(age, ..)| *age).unwrap_or_default();
            format!("{said} ({age} ago)")
        }
        None => format!("{} has decided nothing yet", history.node),
    }
}

/// All of it, for people, with the evidence and what it comes to, or without.
pub fn text(history: &History, has_evidence: bool) -> String {
    text_of(history, has_evidence, |_| true)
}

fn text_of(history: &History, has_evidence: bool, is_shown: impl Fn(&Entry) -> bool) -> String {
    let (names, mut text) = (names(history), String::new());
    if has_evidence {
        let _ = writeln!(text, "{}\n", first_line(history));
    }
    for (age, record, more) in history.entries.iter().filter(|entry| is_shown(entry)) {
        let (_, sentence) = words::sentence(record, &names);
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:>10} ago  {sentence}{}", age.to_string(), And(*more));
        if let Some(evidence) = evidence_of(record).filter(|_| has_evidence) {
            for line in evidence_lines(evidence, &names) {
                let _ = writeln!(text, "                  {line}");
            }
        }
    }
    text
}

/// What a decision was made of, in a few short lines.
fn evidence_lines(evidence: &Evidence, names: &Names) -> Vec<String> {
    let s = evidence;
    let paths = names.paths.iter().zip(evidence.paths);
    let paths: Vec<String> =
        paths.map(|(name, state)| format!("{name} {}", words::path_state(state))).collect();
    let peer = &names.peer;
    let first = format!(
        "{}; {peer} {}, {}",
        paths.join(", "),
        words::verdict(s.verdict),
        words::claim(s.claim, peer)
    );
    let second = format!("{}; {}", words::finding(s.finding, peer), words::witness(s, peer));
    vec![first, second]
}

fn evidence_of(record: &Record) -> Option<&Evidence> {
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
        | Record::VipAnswered { .. }
        | Record::VipContested { .. }
        | Record::Script { .. }
        | Record::Stall(_)
        | Record::Succeeded
        | Record::Reloaded
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

/// Counts what a reader has to know of: a key that goes, or means something else. New ones come without.
const SCHEMA: u32 = 1;

fn json(history: &History, is_shown: impl Fn(&Entry) -> bool) -> String {
    let names = names(history);
    let entry = |(age, record, more): &Entry| {
        let (level, sentence) = words::sentence(record, &names);
        json!({
            "age_ms": age.as_ms(),
            "event": codes::event(record),
            "rule": codes::rule(record),
            "level": level.as_str().to_ascii_lowercase(),
            "text": sentence,
            "more_like_it": *more,
            "wait_ms": match record {
                Record::Blocked { wait, .. } => wait.map(Span::as_ms),
                _ => None,
            },
            "evidence": evidence_of(record).map(|evidence| evidence_json(evidence, &names)),
        })
    };
    let entries: Value = history.entries.iter().filter(|entry| is_shown(entry)).map(entry).collect();
    let value = json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "node": &history.node,
        "peer_node": &history.peer,
        "text": first_line(history),
        "entries": entries,
    });
    format!("{value}\n")
}

fn evidence_json(evidence: &Evidence, names: &Names) -> Value {
    let s = evidence;
    let state = |(name, state): (&String, PathState)| (name.clone(), Value::from(words::path_state(state)));
    let paths: Value = names.paths.iter().zip(evidence.paths).map(state).collect();
    json!({
        "paths": paths,
        "verdict": words::verdict(s.verdict),
        "peer_says": words::claim(s.claim, &names.peer),
        "probe": words::finding(s.finding, &names.peer),
        "witness": words::witness(s, &names.peer),
        "carrier": s.has_carrier,
        "stalled": s.is_stalled,
        "drift_passed": s.has_drift_passed,
        "peer_must_have_released": s.must_have_released,
        "ack_deadline_due": s.is_deadline_due,
        "lease_lapsed": s.has_lease_lapsed,
    })
}

/// The names that its records are told with.
pub fn names(history: &History) -> Names {
    Names {
        peer: history.peer.clone(),
        paths: history.paths.clone(),
        groups: history.groups.clone(),
        scripts: history.scripts.clone(),
        key_file: history.key_file.clone(),
    }
}
