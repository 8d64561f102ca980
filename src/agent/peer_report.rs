//! What the peer tells of itself when the nodes meet, and after something has happened. It is kept, so that
//! the node that survives knows what the other one did last.
//!
//! It is asked as an operator would ask it, over the lifeline, in the time that beats leave; an operator's
//! question goes first. The answer is the text of `peer log`: a line for each event, with its age. Ages are
//! exact to a tenth of a second at first and to six seconds later, so a line keeps the instant that it came
//! with first.

use crosswire::time::{Instant, Span};

use crate::gather::Gather;
use crate::plain;

/// How long after something has happened the peer is asked: an incident is over by then.
const ASK_AFTER: Span = Span::from_s(5);
/// It is asked so often at most.
const ASK_EVERY: Span = Span::from_s(60);
/// The most lines that are kept, and the most characters of one.
const MAX_LINES: usize = 48;
const MAX_LINE: usize = 160;
/// What one line's age may differ by from one answer to the next.
const TOLERANCE: Span = Span::from_s(10);

/// What is kept, and when the peer is asked again.
pub struct PeerReport {
    lines: Vec<(Instant, String)>,
    due_at: Instant,
    not_before: Instant,
}

impl PeerReport {
    pub fn new() -> Self {
        Self { lines: Vec::new(), due_at: Instant::NEVER, not_before: Instant::ORIGIN }
    }

    /// Something has happened: the peer may know more of it.
    pub fn want(&mut self, now: Instant) {
        if self.due_at == Instant::NEVER {
            self.due_at = (now + ASK_AFTER).max(self.not_before);
        }
    }

    /// Whether it is to be asked now.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.due_at
    }

    /// It is asked.
    pub fn asked(&mut self, now: Instant) {
        (self.due_at, self.not_before) = (Instant::NEVER, now + ASK_EVERY);
    }

    /// The answer to a question of then. Returns the lines that are new, the oldest first.
    pub fn hear(&mut self, asked_at: Instant, text: &str) -> &[(Instant, String)] {
        let mut told = text.lines().filter_map(|line| parse(asked_at, line)).gather();
        if let Some(newest) = self.lines.last() {
            // Of what was told before, all is older than the newest line of that.
            let is_same =
                |line: &(Instant, String)| line.1 == newest.1 && distance(line.0, newest.0) <= TOLERANCE;
            let known = told.iter().rposition(is_same).map(|at| at + 1);
            let older = || told.iter().filter(|line| line.0 <= newest.0).count();
            told.drain(..known.unwrap_or_else(older));
        }
        let fresh = told.len().min(MAX_LINES);
        self.lines.extend(told);
        self.lines.drain(..self.lines.len().saturating_sub(MAX_LINES));
        self.lines.get(self.lines.len() - fresh..).unwrap_or_default()
    }

    /// All that is kept, the oldest first.
    pub fn lines(&self) -> &[(Instant, String)] {
        &self.lines
    }
}

fn distance(one: Instant, other: Instant) -> Span {
    one.since(other).max(other.since(one))
}

/// When that was, and what; none if it is no line of a log.
fn parse(asked_at: Instant, line: &str) -> Option<(Instant, String)> {
    let (age, said) = plain::cut(line.trim_start_matches(' '), " ago  ")?;
    Some((asked_at - parse_age(age)?, plain::line(said, MAX_LINE)))
}

/// Reads what [`Span`] shows: `120 m`, `1.5 s`, `250 ms`, `90 us`.
fn parse_age(age: &str) -> Option<Span> {
    let (number, unit) = plain::cut(age, " ")?;
    let (whole, tenths) = plain::cut(number, ".").unwrap_or((number, "0"));
    let unit_us = match unit {
        "m" => 60_000_000,
        "s" => 1_000_000,
        "ms" => 1_000,
        "us" => 1,
        _ => return None,
    };
    let tenths =
        whole.parse::<u64>().ok()?.saturating_mul(10).saturating_add(tenths.parse::<u8>().ok()?.into());
    Some(Span::from_us(tenths.saturating_mul(unit_us) / 10))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_us(0) + Span::from_s(10_000 + s)
    }

    fn said(lines: &[(Instant, String)]) -> Vec<&str> {
        lines.iter().map(|(_, said)| said.as_str()).collect()
    }

    #[test]
    fn a_line_keeps_the_instant_that_it_came_with_first_and_is_new_once() {
        let mut report = PeerReport::new();
        assert_eq!(said(report.hear(at(10), "     8.1 s ago  one\n      20 ms ago  two\n")), ["one", "two"]);
        let first = report.lines()[0].0;
        assert_eq!(first, at(10) - Span::from_ms(8_100));
        let later = "    15.0 m ago  one\n    15.0 m ago  two\n     1.5 s ago  one\n";
        assert_eq!(said(report.hear(at(907), later)), ["one"], "the same words, but later");
        assert_eq!(said(report.lines()), ["one", "two", "one"]);
        assert_eq!(report.lines()[0].0, first);
    }

    #[test]
    fn what_a_peer_did_before_it_started_again_is_kept() {
        let mut report = PeerReport::new();
        report.hear(at(10), "     2.0 s ago  let go\n");
        assert_eq!(said(report.hear(at(300), "    10.0 s ago  started\n")), ["started"]);
        assert_eq!(said(report.lines()), ["let go", "started"]);
        assert!(report.hear(at(301), "").is_empty());
        assert_eq!(said(report.lines()), ["let go", "started"], "an answer of nothing takes nothing away");
    }

    #[test]
    fn it_is_bounded_and_a_stranger_moves_no_cursor() {
        let mut report = PeerReport::new();
        let long: String =
            (0..500).rev().map(|s| format!("{s} s ago  \x1b[2J{}\n", "x".repeat(999))).collect();
        assert_eq!(report.hear(at(900), &long).len(), MAX_LINES);
        assert_eq!(report.lines().len(), MAX_LINES);
        assert!(report.lines().iter().all(|(_, said)| said.len() <= MAX_LINE && !said.contains('\x1b')));
    }

    #[test]
    fn the_peer_is_asked_after_a_moment_and_not_too_often() {
        let mut report = PeerReport::new();
        assert!(!report.is_due(at(0)));
        report.want(at(0));
        report.want(at(3));
        assert!(!report.is_due(at(4)) && report.is_due(at(5)));
        report.asked(at(5));
        report.want(at(6));
        assert!(!report.is_due(at(64)) && report.is_due(at(65)));
    }

    proptest! {
        #[test]
        fn what_a_span_shows_is_read_to_its_last_digit(magnitude in 0_u32..40, more in any::<u64>()) {
            let us = more % (1 << magnitude);
            let shown = Span::from_us(us).to_string();
            let read_us = parse_age(&shown).expect("an age").as_us();
            let digit_us = match us {
                600_000_000.. => 6_000_000,
                1_000_000.. => 100_000,
                1_000.. => 1_000,
                _ => 1,
            };
            prop_assert!(read_us <= us && us - read_us < digit_us, "{shown} of {us}");
        }

        #[test]
        fn any_text_is_taken_without_harm(text in any::<String>()) {
            let mut report = PeerReport::new();
            report.hear(at(1), &text);
            prop_assert!(report.lines().len() <= MAX_LINES);
        }
    }
}
