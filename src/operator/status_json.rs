//! The JSON of `crosswire status --json`: names that stay, times in milliseconds, no key that comes and goes.
//!
//! The status changes with the code; this document does not. Its types say what a program may rely on, in the
//! order of the text. Its schema is `firmware-notes/status.schema.json`.

use crosswire::frame::Refusal;
use crosswire::frame::refusal::REFUSALS;
use crosswire::health::LineReading;
use crosswire::pair::Interface;
use crosswire::status::{NeighbourStatus, PathStatus, PeerStatus};
use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::assessment::Reason;
use super::codes;
use super::control::{LostKind, PortReport, Report};
use super::forecast::{self, ForecastDocument};
use super::inability::{blocked, fault_words};
use super::json;
use super::status_witnesses::groups_in;
use super::testimony::is_seen;
use super::words;
use crate::clock;
use crate::gather::Gather;
use crate::plain;
use crate::tty::lines;

/// Grows when a key goes or changes its meaning. New keys leave it alone.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    version: &'static str,
    monotonic_ms: u64,
    assessment: AssessmentDocument,
    pair: &'a str,
    shadow: bool,
    node: &'a str,
    peer_node: &'a str,
    up_ms: u64,
    incarnation: String,
    verdict: &'static str,
    jeopardy: bool,
    configurations_differ: bool,
    trouble: &'static str,
    lifetime_ignored: bool,
    stopping: bool,
    misplaced_addresses: &'a [String],
    probe_impossible: &'a [String],
    watchdog: Option<WatchdogDocument>,
    standby: bool,
    maintenance_ms: Option<u64>,
    reason: Option<&'a str>,
    agent_replaced: bool,
    worst_stall_ms: u64,
    worst_stall_age_ms: u64,
    paths: Vec<PathDocument<'a>>,
    groups: Vec<GroupDocument<'a>>,
    forecasts: Vec<ForecastDocument<'a>>,
    witnesses: Vec<WitnessDocument<'a>>,
    voting_witness: Option<VoteDocument<'a>>,
    neighbours: Vec<NeighbourDocument<'a>>,
    dropped: Vec<DroppedDocument>,
    journal: Option<JournalDocument<'a>>,
    peer: Option<PeerDocument>,
}

#[derive(Serialize)]
struct NeighbourDocument<'a> {
    interface: &'a str,
    state: &'static str,
    heard_ms: Option<u64>,
    peer_state: Option<&'static str>,
}

/// What was dropped or cut short since this agent began.
#[derive(Serialize)]
struct DroppedDocument {
    what: &'static str,
    count: u32,
    age_ms: Option<u64>,
}

#[derive(Serialize)]
struct JournalDocument<'a> {
    file: &'a str,
    written: bool,
    trouble: Option<String>,
}

#[derive(Serialize)]
struct AssessmentDocument {
    code: u32,
    reason: &'static str,
    text: String,
}

#[derive(Serialize)]
struct WatchdogDocument {
    timeout_s: u32,
    last_reset: &'static str,
}

#[derive(Serialize)]
struct PathDocument<'a> {
    name: &'a str,
    state: &'static str,
    away: Option<&'static str>,
    heard_ms: Option<u64>,
    heard_by_peer_ms: Option<u64>,
    beats_heard: u32,
    beats_sent: u32,
    skipped: u32,
    looped: bool,
    lines: &'static str,
    quality: QualityDocument<'a>,
    port: Option<PortDocument>,
    refused: Refused<'a>,
}

#[derive(Serialize)]
struct QualityDocument<'a> {
    gaps: &'a [u32],
    worst_gap_ms: u64,
    margin_tenths: Option<u64>,
    jitter_us: u64,
    best_answer_us: Option<u64>,
    resyncs: u32,
    lag_ms: u64,
}

#[derive(Serialize)]
struct PortDocument {
    up: Option<String>,
    bridged: Option<String>,
    baud: u32,
    load_in_permille: u32,
    load_out_permille: u32,
    uart: Option<&'static str>,
    framing_errors: Option<u32>,
    overruns: Option<u32>,
    breaks: Option<u32>,
}

#[derive(Serialize)]
struct GroupDocument<'a> {
    name: &'a str,
    contents: &'a [String],
    role: &'static str,
    term: u32,
    carrier: bool,
    scripts: String,
    block: Option<String>,
    block_code: Option<&'static str>,
    wait_ms: Option<u64>,
    fault: Option<String>,
    script_end: Option<&'static str>,
    script_end_value: Option<u32>,
    both_serve_ms: Option<u64>,
    unserved_ms: Option<u64>,
    unable_ms: Option<u64>,
    peer_unable_ms: Option<u64>,
    foreign_mac: Option<String>,
    peer_role: Option<&'static str>,
    peer_term: Option<u32>,
    peer_word: Option<&'static str>,
}

#[derive(Serialize)]
struct WitnessDocument<'a> {
    address: &'a str,
    seen: bool,
    answered_ms: Option<u64>,
    unseen_by_peer_ms: Option<u64>,
}

#[derive(Serialize)]
struct VoteDocument<'a> {
    address: &'a str,
    counts: bool,
    answered_ms: Option<u64>,
    restarted: bool,
    granted: Vec<&'a str>,
    granted_to_peer: Vec<&'a str>,
}

#[derive(Serialize)]
struct PeerDocument {
    age_ms: u64,
    protocol: u32,
    build: String,
    cold_start: bool,
    left: bool,
    standby: bool,
    maintenance: bool,
    no_carrier: bool,
    trouble: &'static str,
}

/// How many frames were refused, a key for each kind.
struct Refused<'a>(&'a [u32; REFUSALS]);

impl Serialize for Refused<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Refused", REFUSALS)?;
        for (refusal, count) in Refusal::ALL.iter().zip(self.0) {
            object.serialize_field(codes::refusal(*refusal), count)?;
        }
        object.end()
    }
}

/// One object and a line end; `reason` is the assessment.
pub fn text(report: &Report, reason: &Reason) -> String {
    let node = &report.node;
    let [me, peer] = report.names();
    let document = Document {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        monotonic_ms: clock::now().since(Instant::ORIGIN).as_ms(),
        assessment: AssessmentDocument {
            code: u32::from(reason.exit.code()),
            reason: reason.name,
            text: reason.sentence(report),
        },
        pair: &report.pair,
        shadow: report.is_shadow,
        node: me,
        peer_node: peer,
        up_ms: node.up.as_ms(),
        incarnation: plain::hex(&node.incarnation),
        verdict: words::verdict(node.verdict),
        jeopardy: node.jeopardy.is_some(),
        configurations_differ: node.is_digest_different,
        trouble: words::trouble(node.trouble),
        lifetime_ignored: node.is_lifetime_ignored,
        stopping: node.is_stopping,
        misplaced_addresses: &report.misplaced,
        probe_impossible: &report.deaf,
        watchdog: report.watchdog.map(|watchdog| WatchdogDocument {
            timeout_s: u32::from(watchdog.timeout_s),
            last_reset: words::reset_cause(watchdog.boot_status),
        }),
        standby: node.is_standby,
        maintenance_ms: ms(node.maintenance),
        reason: report.reason(),
        agent_replaced: report.is_replaced,
        worst_stall_ms: node.worst_stall.as_ms(),
        worst_stall_age_ms: node.stalled.as_ms(),
        paths: paths(report),
        groups: groups(report),
        forecasts: report.forecasts.iter().map(|told| forecast::document(report, told)).gather(),
        witnesses: witnesses(report),
        voting_witness: voting_witness(report),
        neighbours: neighbours(report),
        dropped: dropped(report),
        journal: report.journal.as_ref().map(|(file, trouble)| JournalDocument {
            file,
            written: *trouble == 0,
            trouble: (*trouble != 0).then(|| words::journal_trouble(*trouble)),
        }),
        peer: node.peer.as_ref().map(peer_document),
    };
    json::line(&document) + "\n"
}

fn paths(report: &Report) -> Vec<PathDocument<'_>> {
    let ports = report.skipped.iter().zip(&report.ports).zip(&report.away);
    let mut paths = Vec::new();
    for ((name, path), ((skipped, port), away)) in report.paths.iter().zip(&report.node.paths).zip(ports) {
        paths.push(PathDocument {
            name,
            state: words::path_state(path.state),
            away: away.map(|away| Errno::from_raw(away.errno).desc()),
            heard_ms: ms(path.heard),
            heard_by_peer_ms: ms(path.heard_by_peer),
            beats_heard: path.beats_heard,
            beats_sent: path.beats_sent,
            skipped: *skipped,
            looped: path.is_looped,
            lines: line_reading(path.lines),
            quality: quality(path),
            port: port.as_ref().map(port_document),
            refused: Refused(&path.refusals),
        });
    }
    paths
}

fn groups(report: &Report) -> Vec<GroupDocument<'_>> {
    let [_, peer] = report.names();
    let mut groups = Vec::new();
    for (index, ((name, contents), ours)) in report.groups.iter().zip(&report.node.groups).enumerate() {
        let theirs = report.theirs(index);
        let end = report.end(index).code();
        groups.push(GroupDocument {
            name,
            contents,
            role: words::role(ours.role),
            term: ours.term,
            carrier: ours.has_carrier,
            scripts: words::condition(ours.condition, peer, report.scripts(index), report.end(index)),
            block: ours.block.map(|block| blocked(report, block)),
            block_code: ours.block.map(codes::block),
            wait_ms: ms(ours.wait),
            fault: ours.fault.map(|fault| fault_words(report, index, fault)),
            script_end: end.map(|(code, _)| code),
            script_end_value: end.map(|(_, value)| value),
            both_serve_ms: ms(ours.both_serve),
            unserved_ms: ms(ours.unserved),
            unable_ms: ms(ours.unable),
            peer_unable_ms: ms(ours.peer_unable),
            foreign_mac: ours.foreign_mac.map(words::mac),
            peer_role: theirs.map(|said| words::role(said.role)),
            peer_term: theirs.map(|said| said.term),
            peer_word: theirs.map(|said| words::word(said.word)),
        });
    }
    groups
}

fn dropped(report: &Report) -> Vec<DroppedDocument> {
    let document = |(what, (count, age)): (&LostKind, &(u32, Span))| DroppedDocument {
        what: what.names()[0],
        count: *count,
        age_ms: ms(Some(*age).filter(|_| *count > 0)),
    };
    LostKind::ALL.iter().zip(&report.drops).map(document).gather()
}

fn witnesses(report: &Report) -> Vec<WitnessDocument<'_>> {
    let witnesses = report.witnesses.iter().zip(&report.node.witnesses);
    let document = witnesses.map(|(address, witness)| WitnessDocument {
        address,
        seen: is_seen(&report.node, witness),
        answered_ms: ms(witness.answered),
        unseen_by_peer_ms: ms(witness.peer_misses),
    });
    document.gather()
}

fn voting_witness(report: &Report) -> Option<VoteDocument<'_>> {
    let (address, vote) = report.vote.as_ref().zip(report.node.vote.as_ref())?;
    Some(VoteDocument {
        address,
        counts: vote.does_count,
        answered_ms: ms(vote.answered),
        restarted: vote.is_waiting,
        granted: groups_in(report, vote.granted),
        granted_to_peer: groups_in(report, vote.granted_to_peer),
    })
}

fn neighbours(report: &Report) -> Vec<NeighbourDocument<'_>> {
    let document = |neighbours: &NeighbourStatus| NeighbourDocument {
        interface: report.interfaces.get(usize::from(neighbours.interface)).map_or("", String::as_str),
        state: interface_state(neighbours.state),
        heard_ms: ms(neighbours.heard),
        peer_state: neighbours.peer.map(interface_state),
    };
    report.node.neighbours.iter().map(document).gather()
}

const fn interface_state(state: Interface) -> &'static str {
    match state {
        Interface::Unknown => "unknown",
        Interface::Proven => "proven",
        Interface::CutOff => "cut_off",
        Interface::Dark => "no_carrier",
    }
}

fn peer_document(peer: &PeerStatus) -> PeerDocument {
    PeerDocument {
        age_ms: peer.age.as_ms(),
        protocol: u32::from(peer.protocol),
        build: peer.build.to_string(),
        cold_start: peer.is_cold_start,
        left: peer.has_left,
        standby: peer.is_standby,
        maintenance: peer.is_maintenance,
        no_carrier: peer.has_no_carrier,
        trouble: words::trouble(peer.trouble),
    }
}

fn port_document(port: &PortReport) -> PortDocument {
    PortDocument {
        up: port.lines.map(|(bits, _)| lines::names(bits)),
        bridged: port.lines.map(|(_, bridged)| lines::names(bridged)),
        baud: port.baud,
        load_in_permille: port.load_in_permille,
        load_out_permille: port.load_out_permille,
        uart: port.uart.map(|uart| uart.name()),
        framing_errors: port.counts.map(|counts| counts.framing),
        overruns: port.counts.map(|counts| counts.overrun),
        breaks: port.counts.map(|counts| counts.breaks),
    }
}

fn quality(path: &PathStatus) -> QualityDocument<'_> {
    let quality = &path.quality;
    QualityDocument {
        gaps: &quality.gaps,
        worst_gap_ms: quality.worst_gap.as_ms(),
        margin_tenths: quality.margin_tenths(path.dead_after),
        jitter_us: quality.jitter.as_us(),
        best_answer_us: quality.best_answer.map(Span::as_us),
        resyncs: quality.resyncs,
        lag_ms: quality.lag.as_ms(),
    }
}

const fn line_reading(reading: LineReading) -> &'static str {
    match reading {
        LineReading::Unknown => "unknown",
        LineReading::Running { holds: false } => "running",
        LineReading::Running { holds: true } => "running and holding",
        LineReading::Dropped => "dropped",
    }
}

fn ms(span: Option<Span>) -> Option<u64> {
    span.map(Span::as_ms)
}
