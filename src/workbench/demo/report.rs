//! The end of the demo: the table for people, one JSON document for machines.

use std::fmt::Write;

use crosswire::config::Side;
use crosswire::time::Span;
use serde_json::{Value, json};

use super::judge::{Act, Grade, Row, pass_limit, tenths};
use crate::workbench::lab::setup::{NODE_NAMES, Setup, VIP};

/// Everything that the demo found out.
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    /// Both kernels held the VIP for so long, in all.
    pub(super) overlap: Span,
    pub(super) took: Span,
    pub(super) setup: Setup,
    /// Why it was not played to its end.
    pub(super) error: Option<String>,
}

impl Report {
    /// Every act was played, and every one was as required.
    pub(super) fn has_passed(&self) -> bool {
        self.error.is_none()
            && self.rows.len() == Act::ALL.len()
            && self.rows.iter().all(|row| row.grade != Grade::Failed)
            && self.overlap == Span::ZERO
    }

    /// The table, with what its words mean.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{:<4} {:<12} {:<24} {:<24} {:>6} {:>7}\n",
            "", "fault", "what had to happen", "what happened", "outage", "overlap"
        );
        for row in &self.rows {
            let (outage, overlap) = (tenths(row.measured.outage), tenths(row.measured.overlap));
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "{:<4} {:<12} {:<24} {:<24} {outage:>6} {overlap:>7}",
                row.grade.word(),
                row.act.name(),
                row.required,
                row.happened,
            );
        }
        text + &self.notes()
    }

    fn notes(&self) -> String {
        let mut notes = String::from("\n");
        let Setup { interval_ms, dead_after_ms, lease_ms, ping_step, .. } = &self.setup;
        for act in [Act::CutLan, Act::PowerCut] {
            if let Some(row) = self.rows.iter().find(|row| row.act == act) {
                let _ = writeln!(notes, "{}: {}", act.name(), act.done(row.measured.before));
            }
        }
        let _ = writeln!(
            notes,
            "outage, ms: longest time without an answer, beyond the client's {} ms step",
            ping_step.as_millis()
        );
        let _ = writeln!(notes, "overlap, ms: both kernels held {VIP}, by their own address events");
        if self.rows.iter().any(|row| row.grade == Grade::Slow) {
            notes.push_str("slow: later than it had to, but within what a busy machine explains (three times)\n");
        }
        let result = if self.has_passed() { "as required" } else { "NOT as required" };
        let _ = writeln!(
            notes,
            "{result}, in {} s, at interval {interval_ms} ms, dead_after {dead_after_ms} ms, lease {lease_ms} ms",
            super::judge::seconds(self.took)
        );
        notes
    }

    /// One document. Times are in milliseconds.
    pub(super) fn json(&self) -> Value {
        json!({
            "crosswire": env!("CARGO_PKG_VERSION"),
            "as_required": self.has_passed(),
            "error": self.error,
            "took_ms": self.took.as_ms(),
            "overlap_ms": ms(self.overlap),
            "nodes": NODE_NAMES,
            "vip": VIP.to_string(),
            "client_step_ms": self.setup.ping_step.as_millis(),
            "timing": {
                "interval_ms": self.setup.interval_ms,
                "late_after_ms": self.setup.late_after_ms,
                "dead_after_ms": self.setup.dead_after_ms,
                "lease_ms": self.setup.lease_ms,
            },
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

fn row(row: &Row) -> Value {
    let name = |side: Side| NODE_NAMES[side.index()];
    let holders = [Side::A, Side::B].into_iter().filter(|side| row.measured.holders[side.index()]);
    let reaction_limit = row.act.reaction().map(|_| row.limits.reaction);
    json!({
        "fault": row.act.name(),
        "done": row.act.done(row.measured.before),
        "required": row.required,
        "happened": row.happened,
        "as_required": row.grade != Grade::Failed,
        "slow": row.grade == Grade::Slow,
        "active_before": name(row.measured.before),
        "holders_after": holders.map(name).collect::<Vec<_>>(),
        "outage_ms": ms(row.measured.outage),
        "outage_limit_ms": ms(row.limits.outage),
        "outage_passes_up_to_ms": ms(pass_limit(row.limits.outage)),
        "overlap_ms": ms(row.measured.overlap),
        "reaction_ms": row.measured.reaction_after.map(ms),
        "reaction_limit_ms": reaction_limit.map(ms),
        "reaction_passes_up_to_ms": reaction_limit.map(|limit| ms(pass_limit(limit))),
    })
}

/// Milliseconds to the microsecond.
fn ms(span: Span) -> f64 {
    // No run lasts so long that a microsecond of it would be lost in 53 bits.
    span.as_us() as f64 / 1_000.0
}
