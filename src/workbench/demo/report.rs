//! The end of the demo: the table for people, one JSON document for machines.

use std::fmt::Write;

use crosswire::pair::Side;
use crosswire::time::Span;
use serde_json::{Value, json};

use super::judge::{Act, Grade, Row, pass_limit, seconds, tenths};
use crate::workbench::lab::setup::{NODE_NAMES, Setup, VIP};

/// Everything that the demo found out.
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    /// How long both kernels held the VIP at once, in all.
    pub(super) overlap: Span,
    pub(super) took: Span,
    pub(super) setup: Setup,
    /// Why it was not played to its end.
    pub(super) error: Option<String>,
    /// What both daemons wrote, if something was not as required.
    pub(super) log: Option<String>,
}

impl Report {
    /// Whether every act was played and was as required.
    pub(super) fn has_passed(&self) -> bool {
        self.error.is_none()
            && self.rows.len() == Act::ALL.len()
            && self.rows.iter().all(|row| row.grade != Grade::Failed)
            && self.overlap == Span::ZERO
    }

    /// The table, with the meaning of its words; empty if nothing was done.
    pub(super) fn text(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut text = format!(
            "{:<4} {:<9} {:<24} {:<24} {:>6} {:>7}\n",
            "", "fault", "what had to happen", "what happened", "outage", "overlap"
        );
        for row in &self.rows {
            let (outage, overlap) = (tenths(row.measured.outage), tenths(row.measured.overlap));
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "{:<4} {:<9} {:<24} {:<24} {outage:>6} {overlap:>7}",
                row.grade.word(),
                row.act.label(),
                row.required,
                row.happened,
            );
        }
        if self.error.is_none() {
            text.push_str(&self.notes());
        }
        text
    }

    fn notes(&self) -> String {
        let mut notes = String::new();
        let Setup { interval_ms, dead_after_ms, lease_ms, ping_step, .. } = &self.setup;
        for row in self.rows.iter().filter(|row| matches!(row.act, Act::CutLan | Act::PowerCut)) {
            let _ = writeln!(notes, "{}: {}", row.act.name(), row.act.done(row.measured.before));
        }
        let step_ms = ping_step.as_millis();
        let _ = writeln!(
            notes,
            "ms: outage as the client saw it (asks every {step_ms}), overlap by both kernels' events"
        );
        if self.rows.iter().any(|row| row.grade == Grade::Slow) {
            notes.push_str("slow: later than it should be, but within what a busy machine explains\n");
        }
        let result = if self.has_passed() { "as required" } else { "NOT as required" };
        let took = seconds(self.took);
        let _ = writeln!(
            notes,
            "{result} ({took} s, interval {interval_ms} ms, dead_after {dead_after_ms} ms, lease {lease_ms} \
                ms)"
        );
        notes
    }

    /// What else there is to say if something was not as required: why the demo ended early, and what both
    /// daemons wrote.
    pub(super) fn aside(&self) -> String {
        let log: String =
            self.log.iter().flat_map(|log| log.lines()).map(|line| format!("{line}\n")).collect();
        let error = self.error.as_ref().map(|error| format!("crosswire demo: {error}\n"));
        log + &error.unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::super::judge::{Limits, Measured};
    use super::*;

    fn rows() -> Vec<Row> {
        let setup = Setup::default();
        let row = |act: Act| {
            let measured = Measured {
                before: Side::A,
                holders: [!act.moves(), act.moves()],
                times_taken: usize::from(act.moves()),
                reaction_after: act.reaction().map(|_| Span::from_ms(555)),
                has_obeyed: true,
                outage: Span::from_us(9_960),
                overlap: Span::ZERO,
            };
            Row::new(act, Limits::new(act, &setup), measured)
        };
        Act::ALL.map(row).to_vec()
    }

    fn report(rows: Vec<Row>) -> Report {
        let (overlap, took, setup) = (Span::ZERO, Span::from_ms(14_800), Setup::default());
        Report { rows, overlap, took, setup, error: None, log: None }
    }

    #[test]
    fn the_table_fits_a_terminal_and_says_everything() {
        let text = report(rows()).text();
        let expected = [
            "     fault     what had to happen       what happened            outage overlap",
            "ok   LAN cut   no move, jeopardy <0.6 s no move, jeopardy 555 ms   10.0     0.0",
            "ok   - healed  no move, clear <0.6 s    no move, clear 555 ms      10.0     0.0",
            "ok   cable cut no move, jeopardy <0.6 s no move, jeopardy 555 ms   10.0     0.0",
            "ok   - healed  no move, clear <0.6 s    no move, clear 555 ms      10.0     0.0",
            "ok   handover  gw2 serves within 15 ms  gw2 serves                 10.0     0.0",
            "ok   power cut gw2 serves within 550 ms gw2 serves                 10.0     0.0",
            "LAN cut: gw2's link (backup) went dead at the switch, its carrier stayed",
            "power cut: gw1's link and cable went dead, then its processes were killed",
            "ms: outage as the client saw it (asks every 5), overlap by both kernels' events",
            "as required (14.8 s, interval 100 ms, dead_after 500 ms, lease 1000 ms)",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert!(text.lines().all(|line| line.len() < 80));
    }

    #[test]
    fn nothing_passes_that_is_not_whole() {
        assert!(report(rows()).has_passed());
        let short = report(rows().split_off(1));
        let overlapped = Report { overlap: Span::from_us(1), ..report(rows()) };
        let stopped = Report { error: Some("interrupted".into()), ..report(rows()) };
        let mut failed = report(rows());
        failed.rows[3].grade = Grade::Failed;
        for bad in [short, overlapped, stopped, failed, report(Vec::new())] {
            assert!(!bad.has_passed());
            assert_eq!(bad.json()["as_required"], json!(false));
            assert!(!bad.text().contains("\nas required"));
        }
    }

    #[test]
    fn machines_get_figures_that_need_no_parsing() {
        let document = report(rows()).json();
        let power = &document["rows"][5];
        assert_eq!(power["fault"], "power cut");
        assert_eq!(power["outage_ms"], 9.96);
        assert_eq!(power["outage_limit_ms"], 550.0);
        assert_eq!(power["holders_after"], json!(["gw2"]));
        assert_eq!(power["reaction_ms"], Value::Null);
        assert_eq!(document["rows"][0]["reaction_ms"], 555.0);
        assert_eq!(document["error"], Value::Null);
    }
}
