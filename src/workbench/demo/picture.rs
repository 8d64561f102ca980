//! The picture: two boxes, the cable between them, the LAN below, in plain ASCII of less than 80 columns.

use crosswire::pair::{Role, Side};

use super::judge::seconds;
use super::view::{NodeView, Told, View};
use crate::operator::words;
use crate::workbench::lab::setup::{NODE_NAMES, VIP};

/// The first line.
const TITLE: &str = "crosswire demo: a pair of gateways on this machine";
/// Columns inside a box.
const BOX_COLUMNS: usize = 25;
/// Columns between the two boxes: the length of the cable.
const GAP_COLUMNS: usize = 20;
/// Columns of everything that is centred.
const ALL_COLUMNS: usize = 2 * (BOX_COLUMNS + 2) + GAP_COLUMNS;
/// Lines inside a box.
const BOX_LINES: usize = 5;
/// The line of a box at which the cable is plugged in.
const CABLE_LINE: usize = 2;
/// The column of the client, in the middle.
const CLIENT_COLUMN: usize = MARGIN.len() + ALL_COLUMNS / 2;
/// The left margin of all lines.
const MARGIN: &str = "  ";

/// The lines of the picture, without ends.
pub(super) fn picture(view: &View) -> Vec<String> {
    let [a, b] = [Side::A, Side::B].map(|side| inside(view, side));
    let mut lines = vec![heading(view), String::new(), tops()];
    for (index, (left, right)) in a.iter().zip(&b).enumerate() {
        let (edge, gap) = gap(view, index);
        lines.push(format!(
            "{MARGIN}|{left:BOX_COLUMNS$.BOX_COLUMNS$}{edge}\
             {gap:^GAP_COLUMNS$}{edge}{right:BOX_COLUMNS$.BOX_COLUMNS$}|"
        ));
    }
    lines.push(bottoms());
    lines.extend(lan(view));
    lines
}

fn heading(view: &View) -> String {
    let columns = MARGIN.len() + ALL_COLUMNS - TITLE.len();
    format!("{TITLE}{:>columns$}", format!("{} s", seconds(view.elapsed)))
}

fn tops() -> String {
    let top = |side: Side| format!("+{:-^BOX_COLUMNS$}+", format!(" {} ", NODE_NAMES[side.index()]));
    format!("{MARGIN}{}{:GAP_COLUMNS$}{}", top(Side::A), "", top(Side::B))
}

fn bottoms() -> String {
    let bottom = format!("+{:-^BOX_COLUMNS$}+", "+");
    format!("{MARGIN}{bottom}{:GAP_COLUMNS$}{bottom}", "")
}

/// The lines inside a node's box.
fn inside(view: &View, side: Side) -> [String; BOX_LINES] {
    let blank = String::new;
    match view.nodes[side.index()] {
        NodeView::NoPower => [blank(), blank(), format!("{:^BOX_COLUMNS$}", "NO POWER"), blank(), blank()],
        NodeView::Silent => [" no daemon answers".to_string(), blank(), blank(), blank(), blank()],
        NodeView::Up(told) => told_lines(view, side, &told),
    }
}

fn told_lines(view: &View, side: Side, told: &Told) -> [String; BOX_LINES] {
    let role = match told.role {
        Role::Active => "ACTIVE".to_string(),
        role @ (Role::Backup | Role::Acquiring | Role::Releasing | Role::Faulty) => {
            words::role(role).to_string()
        }
    };
    let held = if view.holders[side.index()] { format!(" holds {VIP}") } else { String::new() };
    let [serial, lan] = told.paths.map(words::path_state);
    let peer = format!(" {} {}", NODE_NAMES[side.peer().index()], words::verdict(told.verdict));
    [
        format!(" {role}, term {}", told.term),
        held,
        format!(" serial {serial}"),
        format!(" lan    {lan}"),
        if told.is_jeopardy { format!("{peer}, JEOPARDY") } else { peer },
    ]
}

/// One line between the boxes: the sides that face each other, and the cable.
fn gap(view: &View, line: usize) -> (char, String) {
    match line.checked_sub(CABLE_LINE) {
        None if line + 1 == CABLE_LINE => ('|', "null-modem cable".to_string()),
        Some(0) if view.faults.power.is_some() => ('o', " -".repeat(GAP_COLUMNS / 2)),
        Some(0) if view.faults.cable => ('o', format!("{:=^GAP_COLUMNS$}", "  CUT  ")),
        Some(0) => ('o', "=".repeat(GAP_COLUMNS)),
        None | Some(_) => ('|', String::new()),
    }
}

/// The LAN: a leg from each box, the wire, and the client on it.
fn lan(view: &View) -> [String; 4] {
    let leg = |side: Side| {
        if view.faults.power == Some(side) {
            ":"
        } else if view.faults.lan == Some(side) {
            "CUT"
        } else {
            "|"
        }
    };
    let client = if view.is_answering { "answers" } else { "DOES NOT ANSWER" };
    let wire = format!("{MARGIN}{}", "=".repeat(ALL_COLUMNS));
    let wire = put(&put(&put(&wire, "+", middle(Side::A)), "+", middle(Side::B)), " LAN ", CLIENT_COLUMN);
    [
        put(&put("", leg(Side::A), middle(Side::A)), leg(Side::B), middle(Side::B)),
        wire,
        put("", "|", CLIENT_COLUMN),
        put("", &format!("client: {VIP} {client}"), CLIENT_COLUMN),
    ]
}

/// The column in the middle of a box.
const fn middle(side: Side) -> usize {
    let left = MARGIN.len() + 1 + BOX_COLUMNS / 2;
    match side {
        Side::A => left,
        Side::B => left + BOX_COLUMNS + 2 + GAP_COLUMNS,
    }
}

/// `line` with `text` over it, its middle at `column`. Both are ASCII, and `text` fits to the left.
fn put(line: &str, text: &str, column: usize) -> String {
    let from = column.saturating_sub(text.len() / 2);
    let before = line.get(..from).unwrap_or(line);
    let after = line.get(from + text.len()..).unwrap_or("");
    format!("{before:from$}{text}{after}")
}

#[cfg(test)]
mod tests {
    use crosswire::health::PathState;
    use crosswire::reasons::Verdict;
    use crosswire::time::Span;

    use super::super::view::Faults;
    use super::*;

    fn told(role: Role, serial: PathState, lan: PathState) -> Told {
        Told { role, term: 7, verdict: Verdict::Present, is_jeopardy: serial != lan, paths: [serial, lan] }
    }

    #[test]
    fn a_cut_lan_is_seen_at_a_glance() {
        let cut = |role| NodeView::Up(told(role, PathState::OnTime, PathState::Broken));
        let view = View {
            elapsed: Span::from_ms(3_456),
            nodes: [cut(Role::Active), cut(Role::Backup)],
            holders: [true, false],
            is_answering: true,
            faults: Faults { lan: Some(Side::B), ..Faults::default() },
        };
        let expected = "\
crosswire demo: a pair of gateways on this machine                     3.5 s

  +---------- gw1 ----------+                    +---------- gw2 ----------+
  | ACTIVE, term 7          |                    | backup, term 7          |
  | holds 10.77.0.100       |  null-modem cable  |                         |
  | serial on time          o====================o serial on time          |
  | lan    broken           |                    | lan    broken           |
  | gw2 present, JEOPARDY   |                    | gw1 present, JEOPARDY   |
  +------------+------------+                    +------------+------------+
               |                                             CUT
  =============+===================== LAN ====================+=============
                                       |
                          client: 10.77.0.100 answers";
        assert_eq!(picture(&view).join("\n"), expected);
    }

    #[test]
    fn a_node_without_power_has_no_cable_and_no_line_is_too_long_for_a_terminal() {
        let alone = Told {
            verdict: Verdict::Departed,
            is_jeopardy: true,
            ..told(Role::Releasing, PathState::Unproven, PathState::Unproven)
        };
        let view = View {
            nodes: [NodeView::NoPower, NodeView::Up(Told { term: u32::MAX, ..alone })],
            holders: [false, true],
            is_answering: false,
            faults: Faults { power: Some(Side::A), cable: true, lan: None },
            ..View::new()
        };
        let lines = picture(&view);
        assert!(lines[5].contains("NO POWER         o - - - - - - - - - -o serial unproven"), "{}", lines[5]);
        assert!(lines[9].starts_with("               :"), "{}", lines[9]);
        assert!(lines[12].contains("DOES NOT ANSWER"));
        for line in lines.iter().chain(&picture(&View::new())) {
            assert!(line.len() < 80 && line.is_ascii(), "{line}");
        }
        let widths: Vec<usize> = lines[2..9].iter().map(String::len).collect();
        assert_eq!(widths, [76; 7], "the boxes are straight");
    }
}
