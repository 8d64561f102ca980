//! What cannot be read of a TOML file, in our words.

use super::document::DUPLICATE;
use super::error::{Report, quote};
use super::scan::Fault;

/// Reports everything that could not be read; false if what was read cannot be trusted. A key that is set
/// twice does no harm to the rest. A table that is there twice does; the keys that it repeats are no further
/// errors.
pub(super) fn is_readable(text: &str, faults: &[Fault], report: &mut Report<'_>) -> bool {
    let mut is_readable = true;
    for Fault { at, end, what, remedy } in faults {
        if *what == DUPLICATE {
            let line = line_at(text, *at);
            let found = text.get(*at..*end).unwrap_or_default();
            let is_table = line.starts_with('[');
            if is_table || is_readable {
                report_duplicate(line, *at, found, report);
            }
            is_readable &= !is_table;
        } else {
            is_readable = false;
            report.add(*at, format_args!("this is not TOML: {what}"), remedy);
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
