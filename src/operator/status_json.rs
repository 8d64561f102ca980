//! The JSON of `crosswire status --json`: names that stay, times in milliseconds, no key that comes and goes.

use crosswire::frame::Refusal;
use crosswire::health::LineReading;
use crosswire::status::PathStatus;
use crosswire::time::{Instant, Span};
use nix::errno::Errno;

use super::assessment::{Reason, is_seen};
use super::codes;
use super::control::{PortReport, Report};
use super::forecast;
use super::json::{Value, json};
use super::words;
use crate::clock;
use crate::tty::lines;

/// Counts what a reader has to know of: a key that goes, or means something else. New ones come without.
const SCHEMA: u32 = 1;

/// One object and a line end. `reason` is what it comes to.
pub fn text(report: &Report, reason: &Reason) -> String {
    let node = &report.node;
    let ports = report.skipped.iter().zip(&report.ports).zip(&report.away);
    let paths = report.paths.iter().zip(&node.paths).zip(ports);
    let value = json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "monotonic_ms": clock::now().since(Instant::ORIGIN).as_ms(),
        "assessment": json!({
            "code": u32::from(reason.exit.code()),
            "reason": reason.name,
            "text": reason.sentence(report),
        }),
        "pair": &report.pair,
        "node": &report.nodes[node.me.index()],
        "peer_node": &report.nodes[node.me.peer().index()],
        "up_ms": node.up.as_ms(),
        "incarnation": node.incarnation.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "verdict": words::verdict(node.verdict),
        "jeopardy": node.jeopardy.is_some(),
        "configurations_differ": node.is_digest_different,
        "trouble": words::trouble(node.trouble),
        "lifetime_ignored": node.is_lifetime_ignored,
        "stopping": node.is_stopping,
        "probe_impossible": report.deaf.as_slice(),
        "watchdog": report.watchdog.map(|watchdog| json!({
            "timeout_s": u32::from(watchdog.timeout_s),
            "last_reset": words::reset_cause(watchdog.boot_status),
        })),
        "standby": node.is_standby,
        "maintenance_ms": ms(node.maintenance),
        "reason": report.reason().map(str::to_owned),
        "agent_replaced": report.is_replaced,
        "worst_stall_ms": node.worst_stall.as_ms(),
        "worst_stall_age_ms": node.stalled.as_ms(),
        "paths": paths.map(|((name, path), ((skipped, port), away))| json!({
            "name": name,
            "state": words::path_state(path.state),
            "away": away.map(|away| Errno::from_raw(away.errno).desc()),
            "heard_ms": ms(path.heard),
            "heard_by_peer_ms": ms(path.heard_by_peer),
            "beats_heard": path.beats_heard,
            "beats_sent": path.beats_sent,
            "skipped": *skipped,
            "looped": path.is_looped,
            "lines": line_reading(path.lines),
            "quality": quality_json(path),
            "port": port.as_ref().map(port_json),
            "refused": refusals(&path.refusals),
        })).collect::<Value>(),
        "groups": groups(report),
        "forecasts": forecasts(report),
        "witnesses": report.witnesses.iter().zip(&node.witnesses).map(|(address, witness)| json!({
            "address": address,
            "seen": is_seen(report, witness),
            "answered_ms": ms(witness.answered),
            "unseen_by_peer_ms": ms(witness.peer_misses),
        })).collect::<Value>(),
        "peer": node.peer.as_ref().map(|peer| json!({
            "age_ms": peer.age.as_ms(),
            "protocol": u32::from(peer.protocol),
            "build": peer.build.to_string(),
            "cold_start": peer.is_cold_start,
            "left": peer.has_left,
            "standby": peer.is_standby,
            "maintenance": peer.is_maintenance,
            "no_carrier": peer.has_no_carrier,
            "trouble": words::trouble(peer.trouble),
        })),
    });
    format!("{value}\n")
}

fn forecasts(report: &Report) -> Value {
    report.forecasts.iter().map(|told| forecast::json(report, told)).collect()
}

fn groups(report: &Report) -> Value {
    let group = |(index, ((name, contents), ours)): (
        usize,
        (&(String, Vec<String>), &crosswire::status::GroupStatus),
    )| {
        let theirs = report.theirs(index);
        let peer = report.nodes[report.node.me.peer().index()].as_str();
        json!({
            "name": name,
            "contents": contents.as_slice(),
            "role": words::role(ours.role),
            "term": ours.term,
            "carrier": ours.has_carrier,
            "scripts": words::condition(ours.condition, peer, report.scripts(index)),
            "block": ours.block.map(|block| words::block(block, peer)),
            "block_code": ours.block.map(codes::block),
            "wait_ms": ms(ours.wait),
            "fault": ours.fault.map(|fault| words::fault(fault, report.scripts(index))),
            "both_serve_ms": ms(ours.both_serve),
            "unserved_ms": ms(ours.unserved),
            "unable_ms": ms(ours.unable),
            "peer_unable_ms": ms(ours.peer_unable),
            "foreign_mac": ours.foreign_mac.map(words::mac),
            "peer_role": theirs.map(|said| words::role(said.role)),
            "peer_term": theirs.map(|said| said.term),
            "peer_word": theirs.map(|said| words::word(said.word)),
        })
    };
    report.groups.iter().zip(&report.node.groups).enumerate().map(group).collect()
}

fn port_json(port: &PortReport) -> Value {
    json!({
        "up": port.lines.map(|(bits, _)| lines::names(bits)),
        "bridged": port.lines.map(|(_, bridged)| lines::names(bridged)),
        "baud": port.baud,
        "load_in_permille": port.load_in_permille,
        "load_out_permille": port.load_out_permille,
        "uart": port.uart.map(|uart| uart.name()),
        "framing_errors": port.counts.map(|counts| counts.framing),
        "overruns": port.counts.map(|counts| counts.overrun),
        "breaks": port.counts.map(|counts| counts.breaks),
    })
}

fn quality_json(path: &PathStatus) -> Value {
    let quality = &path.quality;
    json!({
        "gaps": quality.gaps.into_iter().map(Value::from).collect::<Value>(),
        "worst_gap_ms": quality.worst_gap.as_ms(),
        "margin_tenths": quality.margin_tenths(path.dead_after),
        "jitter_us": quality.jitter.as_us(),
        "best_answer_us": quality.best_answer.map(Span::as_us),
        "resyncs": quality.resyncs,
        "lag_ms": quality.lag.as_ms(),
    })
}

const fn line_reading(reading: LineReading) -> &'static str {
    match reading {
        LineReading::Unknown => "unknown",
        LineReading::Running { holds: false } => "running",
        LineReading::Running { holds: true } => "running and holding",
        LineReading::Dropped => "dropped",
    }
}

fn refusals(counts: &[u32]) -> Value {
    let named = Refusal::ALL.iter().zip(counts);
    named.map(|(refusal, count)| (words::refusal_code(*refusal), Value::from(*count))).collect()
}

fn ms(span: Option<Span>) -> Option<u64> {
    span.map(Span::as_ms)
}
