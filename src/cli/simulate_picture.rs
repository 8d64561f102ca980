//! A run of the simulator as a picture: the lanes of both nodes, with the last move marked.

use std::io;
use std::path::Path;

use crosswire::pair::Side;
use crosswire::time::Span;

use crate::operator::cause::Entry;
use crate::operator::picture::{OnRecord, of_run};
use crate::operator::words;
use crate::workbench::simulate::fault_text::Names;
use crate::workbench::simulate::story::Line;
use crate::workbench::simulate::world::SIDES;

/// Draws a story that has taken so long.
pub fn draw(
    file: &Path,
    (lines, took): (&[(Span, Line)], Span),
    names: &Names,
    words: &[words::Names; 2],
) -> io::Result<()> {
    let entries = SIDES.map(|side| entries_of(side, lines, took));
    let seen = SIDES.map(|side| OnRecord {
        me: &names.nodes[side.index()],
        entries: &entries[side.index()],
        names: &words[side.index()],
    });
    let (at, what) = marked(lines, names);
    std::fs::write(file, of_run(seen, took, (took.saturating_sub(at), &what)))
}

fn entries_of(side: Side, lines: &[(Span, Line)], took: Span) -> Vec<Entry> {
    let entry = |(at, line): &(Span, Line)| match line {
        Line::Recorded(who, record) if *who == side => Some((took.saturating_sub(*at), *record, 0, 0)),
        Line::Recorded(..) | Line::Happened(_) | Line::Healed | Line::Holders(_) => None,
    };
    lines.iter().filter_map(entry).collect()
}

/// When somebody else held the addresses last, and what had befallen the pair before that.
fn marked(lines: &[(Span, Line)], names: &Names) -> (Span, String) {
    let is_move = |(_, line): &(Span, Line)| matches!(line, Line::Holders(_));
    let last = lines.iter().rposition(is_move).unwrap_or(lines.len().saturating_sub(1));
    let at = lines.get(last).map_or(Span::ZERO, |(at, _)| *at);
    let what = lines.iter().take(last + 1).rev().find_map(|(_, line)| match line {
        Line::Happened(fault) => Some(fault.text(names)),
        Line::Healed => Some("everything is mended".to_owned()),
        Line::Recorded(..) | Line::Holders(_) => None,
    });
    (at, what.unwrap_or_default())
}
