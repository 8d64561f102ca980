//! What the TOML parser found wrong, in our words.

use toml::de::Error;

use super::error::{Report, quote};

const DUPLICATE: &str = "duplicate key";

/// Reports every syntax error; false if what was read cannot be trusted. A key that is set twice does no harm
/// to the rest. A table that is there twice does; the keys that it repeats are no further errors.
pub(super) fn is_readable(text: &str, errors: &[Error], report: &mut Report<'_>) -> bool {
    let mut is_readable = true;
    for error in errors {
        let span = error.span().unwrap_or_default();
        let found = text.get(span.clone()).unwrap_or_default();
        if error.message() == DUPLICATE {
            let line = line_at(text, span.start);
            let is_table = line.starts_with('[');
            if is_table || is_readable {
                report_duplicate(line, span.start, found, report);
            }
            is_readable &= !is_table;
        } else {
            is_readable = false;
            let first_line = error.message().lines().next().unwrap_or_default();
            report.add(span.start, format_args!("this is not TOML: {first_line}"), "correct the line");
        }
    }
    is_readable
}

/// The line in which a byte offset lies.
fn line_at(text: &str, at: usize) -> &str {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default().trim()
}

fn report_duplicate(line: &str, at: usize, found: &str, report: &mut Report<'_>) {
    let name = found.trim_matches(|c| matches!(c, '[' | ']' | '"' | '\'' | ' '));
    let name = name.strip_prefix("node.").unwrap_or(name);
    if line.starts_with("[node.") {
        let what = format!("two nodes are called {}", quote(name));
        report.add(at, what, "give each box a name of its own, its `uname -n`");
    } else if line.starts_with('[') {
        report.add(
            at,
            format!("{} is there twice", quote(line)),
            "put the two together, or use [[...]] for several paths",
        );
    } else {
        report.add(at, format!("{} is set twice", quote(name)), "remove one of the two");
    }
}
