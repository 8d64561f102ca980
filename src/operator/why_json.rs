//! The JSON of `crosswire why --json`.

use crosswire::health::PathState;
use crosswire::quorum::record::{Evidence, Record};
use crosswire::time::Span;

use super::cause::Entry;
use super::codes;
use super::control::History;
use super::json::{Value, json};
use super::why_text::{evidence_of, first_line};
use super::words::{self, Names};

/// Counts what a reader has to know of: a key that goes, or means something else. New ones come without.
const SCHEMA: u32 = 1;

pub fn text(history: &History, is_shown: impl Fn(&Entry) -> bool) -> String {
    let names = history.names();
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
