//! What is wrong with a file, where, and what to do about it: one line each, all at once.

use std::fmt;
use std::path::Path;

use crate::gather::{Gather, sort_by_key};

/// Most errors that are reported of one file.
const MAX_ERRORS: usize = 50;
/// Longest value that is quoted whole.
const MAX_QUOTED_CHARS: usize = 60;

/// One finding: `FILE:LINE:COL: what is wrong; remedy`, always one line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {what}; {remedy}")]
pub struct ConfigError {
    /// The name of its kind, for programs.
    pub code: &'static str,
    /// `FILE:LINE:COL`, or less.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// [`ConfigError::code`] of an error in the file itself.
const FILE: &str = "file";

impl ConfigError {
    /// A finding about a file as a whole, or its line (counted from 1).
    pub fn new(file: &Path, line: Option<usize>, what: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self::of_texts(file, line, &what, &remedy)
    }

    // Compiled once, not for every type of text.
    fn of_texts(
        file: &Path,
        line: Option<usize>,
        what: &dyn fmt::Display,
        remedy: &dyn fmt::Display,
    ) -> Self {
        let place = match line {
            Some(line) => format!("{}:{line}", printable(file)),
            None => printable(file),
        };
        Self { code: FILE, place, what: what.to_string(), remedy: remedy.to_string() }
    }

    /// The line that it is about, counted from 1, if it has a column too.
    #[cfg(feature = "import")]
    pub fn line(&self) -> Option<usize> {
        self.place.rsplit(':').nth(1)?.parse().ok()
    }

    /// The same finding at another place.
    #[cfg(feature = "import")]
    pub fn moved(self, file: &Path, line: Option<usize>) -> Self {
        Self::new(file, line, self.what, self.remedy)
    }

    /// A finding at a place that was worked out before.
    pub(super) fn at(code: &'static str, place: &str, what: String, remedy: &str) -> Self {
        Self { code, place: place.to_string(), what, remedy: remedy.to_string() }
    }
}

/// Everything found in one file so far, each with its byte offset.
pub(super) struct Report<'t> {
    file: &'t Path,
    text: &'t str,
    found: Vec<Finding>,
}

#[derive(PartialEq, Eq)]
struct Finding {
    at: usize,
    what: String,
    remedy: String,
}

impl<'t> Report<'t> {
    /// Nothing found yet.
    pub(super) fn new(file: &'t Path, text: &'t str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// One more. The same finding from two sides (two paths share one `[timing]`) counts once.
    pub(super) fn add(&mut self, at: usize, what: impl fmt::Display, remedy: impl fmt::Display) {
        self.add_texts(at, &what, &remedy);
    }

    // Compiled once, not for every type of text.
    #[inline(never)]
    fn add_texts(&mut self, at: usize, what: &dyn fmt::Display, remedy: &dyn fmt::Display) {
        let finding = Finding { at, what: what.to_string(), remedy: remedy.to_string() };
        if self.found.len() < MAX_ERRORS && !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    /// One more, unless something is wrong there already: two paths that share a value may each blame it.
    pub(super) fn add_first(&mut self, at: usize, what: impl fmt::Display, remedy: impl fmt::Display) {
        if self.found.iter().all(|f| f.at != at) {
            self.add(at, what, remedy);
        }
    }

    /// How much was found so far: what grows while something is read was not sound.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// Whether nothing was found.
    pub(super) fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// `FILE:LINE:COL` of a byte offset.
    pub(super) fn place(&self, at: usize) -> String {
        let (line, column) = line_and_column(self.text, at);
        format!("{}:{line}:{column}", printable(self.file))
    }

    /// All findings in the order of the file.
    pub(super) fn finish(mut self) -> Vec<ConfigError> {
        sort_by_key(&mut self.found, |f| f.at);
        let found = std::mem::take(&mut self.found);
        found
            .into_iter()
            .map(|f| ConfigError { code: FILE, place: self.place(f.at), what: f.what, remedy: f.remedy })
            .gather()
    }
}

/// Line and column (in characters) of a byte offset, both counted from 1.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
    let is_char_start = |&&b: &&u8| b & 0xC0 != 0x80;
    let column = before.iter().skip(start).filter(is_char_start).count() + 1;
    (line, column)
}

/// A value from outside, in quotes, on one line and not too long.
pub(super) fn quote(value: &str) -> String {
    format!("\"{}\"", shorten(value))
}

/// A value from outside, on one line and not too long.
pub fn shorten(value: &str) -> String {
    let mut short = String::new();
    for (count, c) in value.chars().enumerate() {
        if count == MAX_QUOTED_CHARS {
            short.push_str("...");
            break;
        }
        push_printable(&mut short, c);
    }
    short
}

fn printable(file: &Path) -> String {
    let mut text = String::new();
    for c in file.to_string_lossy().chars() {
        push_printable(&mut text, c);
    }
    text
}

/// Line breaks, terminal escapes and their like must not reach a log or a screen as they are.
fn push_printable(text: &mut String, c: char) {
    if c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    {
        text.extend(c.escape_default());
    } else {
        text.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        assert_eq!(line_and_column("", 0), (1, 1));
        assert_eq!(line_and_column("ä = 1", 3), (1, 3));
        assert_eq!(line_and_column("a\nbc\n", 3), (2, 2));
        assert_eq!(line_and_column("a\n", 99), (2, 1));
    }

    #[test]
    fn values_stay_on_one_line() {
        assert_eq!(quote("a\nb\u{1b}[0m"), "\"a\\nb\\u{1b}[0m\"");
        assert_eq!(quote(&"x".repeat(61)), format!("\"{}...\"", "x".repeat(60)));
        let error = ConfigError::new(Path::new("a\nb"), Some(3), "is wrong", "mend it");
        assert_eq!(error.to_string(), "a\\nb:3: is wrong; mend it");
    }

    #[test]
    fn the_same_finding_counts_once_and_the_order_is_that_of_the_file() {
        let mut report = Report::new(Path::new("f"), "a\nb\n");
        report.add(2, "second", "x");
        report.add(0, "first", "x");
        report.add(2, "second", "x");
        let lines: Vec<String> = report.finish().iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["f:1:1: first; x", "f:2:1: second; x"]);
    }
}
