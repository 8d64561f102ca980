//! The JSON of `crosswire status --json`: names that stay, times in milliseconds, no key that comes and goes.

use std::io::{self, Write};

use crosswire::frame::Refusal;
use crosswire::time::Span;

use super::json::{Value, json};
use crate::control::Report;
use crate::words;

/// Writes one object and a line end.
pub fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let node = &report.node;
    let paths = report.paths.iter().zip(&node.paths).zip(&report.skipped);
    let value = json!({
        "pair": &report.pair,
        "node": &report.nodes[node.me.index()],
        "peer_node": &report.nodes[node.me.peer().index()],
        "up_ms": node.up.as_ms(),
        "incarnation": node.incarnation.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "verdict": words::verdict(node.verdict),
        "jeopardy": node.is_jeopardy,
        "configurations_differ": node.is_digest_different,
        "trouble": words::trouble(node.trouble),
        "lifetime_ignored": node.is_lifetime_ignored,
        "stopping": node.is_stopping,
        "standby": node.is_standby,
        "maintenance_ms": ms(node.maintenance),
        "worst_stall_ms": node.worst_stall.as_ms(),
        "paths": paths.map(|((name, path), skipped)| json!({
            "name": name,
            "state": words::path_state(path.state),
            "heard_ms": ms(path.heard),
            "heard_by_peer_ms": ms(path.heard_by_peer),
            "beats_heard": path.beats_heard,
            "beats_sent": path.beats_sent,
            "skipped": *skipped,
            "looped": path.is_looped,
            "refused": refusals(&path.refusals),
        })).collect::<Value>(),
        "groups": groups(report),
        "peer": node.peer.as_ref().map(|peer| json!({
            "age_ms": peer.age.as_ms(),
            "cold_start": peer.is_cold_start,
            "left": peer.has_left,
            "standby": peer.is_standby,
            "maintenance": peer.is_maintenance,
            "no_carrier": peer.has_no_carrier,
            "trouble": words::trouble(peer.trouble),
        })),
    });
    writeln!(out, "{value}")
}

fn groups(report: &Report) -> Value {
    let group =
        |(index, ((name, contents), ours)): (usize, (&(String, Vec<String>), &crosswire::status::GroupStatus))| {
            let theirs = report.node.peer.as_ref().and_then(|peer| peer.groups.get(index).copied().flatten());
            let peer = report.nodes[report.node.me.peer().index()].as_str();
            json!({
                "name": name,
                "contents": contents.as_slice(),
                "role": words::role(ours.role),
                "term": ours.term,
                "carrier": ours.has_carrier,
                "block": ours.block.map(|block| words::block(block, peer)),
                "peer_role": theirs.map(|(role, _)| words::role(role)),
                "peer_term": theirs.map(|(_, term)| term),
            })
        };
    report.groups.iter().zip(&report.node.groups).enumerate().map(group).collect()
}

fn refusals(counts: &[u32]) -> Value {
    let named = Refusal::ALL.iter().zip(counts);
    named.map(|(refusal, count)| (words::refusal(*refusal).replace(' ', "_"), Value::from(*count))).collect()
}

fn ms(span: Option<Span>) -> Option<u64> {
    span.map(Span::as_ms)
}
