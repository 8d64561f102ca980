//! `crosswire why`: the last decisions of this node, and its decisions not to act, with the evidence and the
//! rule.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use crosswire::health::PathState;
use crosswire::quorum::record::{Evidence, Record};
use crosswire::time::Span;

use super::exit::Exit;
use super::json::{Value, json};
use super::option::{flag, option, options};
use super::status::not_answered;
use crate::control::{Answer, DEFAULT_RUN_DIR, History, Question, ask};
use crate::logger::And;
use crate::words::{self, Names};

options! {
    /// Tell why this node did what it did, and why it did not
    pub struct WhyOptions("why") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// How many entries at most
        last: usize = option("--last", "COUNT").or("30"),
        /// As JSON
        json: bool = flag("--json"),
    }
}

/// Asks, and tells the answer, the oldest entry first.
pub fn run(options: &WhyOptions, out: &mut impl Write) -> Exit {
    let count = u16::try_from(options.last).unwrap_or(u16::MAX);
    match ask(&options.run_dir, &Question::Why(count)) {
        Ok(Answer::History(history)) => {
            let shown = if options.json { json(&history) } else { text(&history, true) };
            // A reader that closed the pipe has seen enough.
            let _ = out.write_all(shown.as_bytes());
            Exit::Done
        }
        Ok(Answer::Status(_) | Answer::Accepted | Answer::Denied(_) | Answer::PeerSays(_)) => Exit::Refused,
        Err(error) => not_answered(&options.run_dir, &error, options.json),
    }
}

/// All of it, for people, with the evidence or without.
pub fn text(history: &History, has_evidence: bool) -> String {
    let (names, mut text) = (names(history), String::new());
    for (age, record, more) in &history.entries {
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
    let s = &evidence.situation;
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
    let second = format!("{}; {}", words::finding(s.finding, peer), words::witness(s.witness));
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

fn json(history: &History) -> String {
    let names = names(history);
    let entry = |(age, record, more): &(Span, Record, u32)| {
        let (level, sentence) = words::sentence(record, &names);
        json!({
            "age_ms": age.as_ms(),
            "level": level.as_str().to_ascii_lowercase(),
            "text": sentence,
            "more_like_it": *more,
            "evidence": evidence_of(record).map(|evidence| evidence_json(evidence, &names)),
        })
    };
    let entries: Value = history.entries.iter().map(entry).collect();
    format!("{}\n", json!({ "node": &history.node, "peer_node": &history.peer, "entries": entries }))
}

fn evidence_json(evidence: &Evidence, names: &Names) -> Value {
    let s = &evidence.situation;
    let state = |(name, state): (&String, PathState)| (name.clone(), Value::from(words::path_state(state)));
    let paths: Value = names.paths.iter().zip(evidence.paths).map(state).collect();
    json!({
        "paths": paths,
        "verdict": words::verdict(s.verdict),
        "peer_says": words::claim(s.claim, &names.peer),
        "probe": words::finding(s.finding, &names.peer),
        "witness": words::witness(s.witness),
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
