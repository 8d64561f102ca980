//! What the TOML parser found wrong, in our words.

use toml_parser::{Expected, ParseError};

use super::document::DUPLICATE;
use super::error::{Report, quote};

/// Reports every syntax error; false if what was read cannot be trusted. A key that is set twice does no harm
/// to the rest. A table that is there twice does; the keys that it repeats are no further errors.
pub(super) fn is_readable(text: &str, errors: &[ParseError], report: &mut Report<'_>) -> bool {
    let mut is_readable = true;
    for error in errors {
        let (start, end) = error.unexpected().map_or((0, 0), |span| (span.start(), span.end()));
        if error.description() == DUPLICATE {
            let line = line_at(text, start);
            let found = text.get(start..end).unwrap_or_default();
            let is_table = line.starts_with('[');
            if is_table || is_readable {
                report_duplicate(line, start, found, report);
            }
            is_readable &= !is_table;
        } else {
            is_readable = false;
            report.add(start, format_args!("this is not TOML: {}", message(error)), "correct the line");
        }
    }
    is_readable
}

/// What is wrong, and what would have been right, on one line.
pub(super) fn message(error: &ParseError) -> String {
    let mut message = error.description().lines().next().unwrap_or_default().to_owned();
    let Some(expected) = error.expected() else { return message };
    message.push_str(", expected ");
    for (index, expected) in expected.iter().enumerate() {
        message.push_str(if index == 0 { "" } else { ", " });
        match expected {
            Expected::Literal("\n") => message.push_str("newline"),
            Expected::Literal(literal) => message.extend(["`", literal, "`"]),
            Expected::Description(what) => message.push_str(what),
            _ => message.push_str("etc"),
        }
    }
    if expected.is_empty() {
        message.push_str("nothing");
    }
    message
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
