//! The JSON of `crosswire why --json`.

use crosswire::health::PathState;
use crosswire::quorum::record::{Evidence, Record};
use crosswire::time::Span;
use serde::{Serialize, Serializer};

use super::cause::Entry;
use super::codes;
use super::json;
use super::recall::{Item, What};
use super::why_text::evidence_of;
use super::words::{self, Names, ScriptEnd};

/// Grows when a key goes or changes its meaning. New keys leave it alone.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    version: &'static str,
    node: &'a str,
    peer_node: &'a str,
    text: String,
    entries: Vec<EntryDocument<'a>>,
}

#[derive(Serialize)]
struct EntryDocument<'a> {
    node: &'a str,
    age_ms: u64,
    age_is_least: bool,
    boots_since: u32,
    agent_run: u64,
    event: &'static str,
    rule: Option<&'static str>,
    level: String,
    text: String,
    more_like_it: u32,
    wait_ms: Option<u64>,
    evidence: Option<EvidenceDocument<'a>>,
}

#[derive(Serialize)]
struct EvidenceDocument<'a> {
    paths: PathStates<'a>,
    verdict: &'static str,
    peer_says: String,
    probe: String,
    witness: String,
    carrier: bool,
    stalled: bool,
    drift_passed: bool,
    peer_must_have_released: bool,
    ack_deadline_due: bool,
    lease_lapsed: bool,
}

/// The state of each path, by its name.
struct PathStates<'a> {
    names: &'a [String],
    states: &'a [PathState],
}

impl Serialize for PathStates<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let states = self.states.iter().map(|state| words::path_state(*state));
        serializer.collect_map(self.names.iter().map(String::as_str).zip(states))
    }
}

/// One object and a line end, with the entries that are to be shown.
pub fn text<'a>(
    text: String,
    shown: impl Iterator<Item = &'a Item>,
    (runs, [node, peer_node]): (&'a [Names], [&'a str; 2]),
) -> String {
    let mut entries = Vec::new();
    for item in shown {
        entries.extend(match (&item.what, runs.get(item.run)) {
            (What::Own(entry), Some(names)) => Some(entry_document((node, item), entry, names)),
            (What::Own(_), None) => None,
            (What::Theirs(said), _) => Some(report_document((peer_node, item), said)),
        });
    }
    let version = env!("CARGO_PKG_VERSION");
    json::line(&Document { schema: SCHEMA, version, node, peer_node, text, entries }) + "\n"
}

/// What the peer has told of itself.
fn report_document<'a>((node, item): (&'a str, &Item), said: &str) -> EntryDocument<'a> {
    EntryDocument {
        node,
        age_ms: item.age.as_ms(),
        age_is_least: item.is_at_least,
        boots_since: item.boots_since,
        agent_run: item.run as u64,
        event: "peer_report",
        rule: None,
        level: "info".to_owned(),
        text: said.to_owned(),
        more_like_it: 0,
        wait_ms: None,
        evidence: None,
    }
}

fn entry_document<'a>(
    (node, item): (&'a str, &Item),
    (_, record, more, end): &'a Entry,
    names: &'a Names,
) -> EntryDocument<'a> {
    let (level, sentence) = words::sentence(record, ScriptEnd(*end), names);
    EntryDocument {
        node,
        age_ms: item.age.as_ms(),
        age_is_least: item.is_at_least,
        boots_since: item.boots_since,
        agent_run: item.run as u64,
        event: codes::event(record),
        rule: codes::rule(record),
        level: level.as_str().to_ascii_lowercase(),
        text: sentence,
        more_like_it: *more,
        wait_ms: match record {
            Record::Blocked { wait, .. } => wait.map(Span::as_ms),
            _ => None,
        },
        evidence: evidence_of(record).map(|evidence| evidence_document(evidence, names)),
    }
}

fn evidence_document<'a>(evidence: &'a Evidence, names: &'a Names) -> EvidenceDocument<'a> {
    EvidenceDocument {
        paths: PathStates { names: &names.paths, states: &evidence.paths },
        verdict: words::verdict(evidence.verdict),
        peer_says: words::claim(evidence.claim, &names.peer),
        probe: words::finding(evidence.finding, &names.peer),
        witness: words::witness(evidence, &names.peer),
        carrier: evidence.has_carrier,
        stalled: evidence.is_stalled,
        drift_passed: evidence.has_drift_passed,
        peer_must_have_released: evidence.must_have_released,
        ack_deadline_due: evidence.is_deadline_due,
        lease_lapsed: evidence.has_lease_lapsed,
    }
}
