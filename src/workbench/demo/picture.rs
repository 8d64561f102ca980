//! The picture: two boxes, the cable between them, the LAN below, in plain ASCII of less than 80 columns.

use crosswire::config::Side;
use crosswire::frame::message::Role;

use super::judge::seconds;
use super::view::{NodeView, Told, View};
use crate::words;
use crate::workbench::lab::setup::{NODE_NAMES, VIP};

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
/// Left of everything.
const MARGIN: &str = "  ";

/// The lines of the picture, without ends.
pub(super) fn picture(view: &View) -> Vec<String> {
    let [a, b] = [Side::A, Side::B].map(|side| inside(view, side));
    let mut lines = vec![heading(view), String::new(), tops()];
    for (index, (left, right)) in a.iter().zip(&b).enumerate() {
        let (edge, gap) = gap(view, index);
        lines.push(format!("{MARGIN}|{left:BOX_COLUMNS$}{edge}{gap:^GAP_COLUMNS$}{edge}{right:BOX_COLUMNS$}|"));
    }
    lines.push(bottoms());
    lines.extend(lan(view));
    lines
}

fn heading(view: &View) -> String {
    let columns = MARGIN.len() + ALL_COLUMNS - "crosswire demo".len();
    format!("crosswire demo{:>columns$}", format!("{} s", seconds(view.elapsed)))
}

fn tops() -> String {
    let top = |side: Side| format!("+{:-^BOX_COLUMNS$}+", format!(" {} ", NODE_NAMES[side.index()]));
    format!("{MARGIN}{}{:GAP_COLUMNS$}{}", top(Side::A), "", top(Side::B))
}

fn bottoms() -> String {
    let bottom = format!("+{:-^BOX_COLUMNS$}+", "+");
    format!("{MARGIN}{bottom}{:GAP_COLUMNS$}{bottom}", "")
}

/// What a box says of its node.
fn inside(view: &View, side: Side) -> [String; BOX_LINES] {
    let blank = String::new;
    match view.nodes[side.index()] {
        NodeView::NoPower => [blank(), blank(), format!("{:^BOX_COLUMNS$}", "NO POWER"), blank(), blank()],
        NodeView::Silent => [" starting".to_string(), blank(), blank(), blank(), blank()],
        NodeView::Up(told) => told_lines(view, side, &told),
    }
}

fn told_lines(view: &View, side: Side, told: &Told) -> [String; BOX_LINES] {
    let role = match told.role {
        Role::Active => "ACTIVE".to_string(),
        role @ (Role::Backup | Role::Acquiring | Role::Releasing | Role::Faulty) => words::role(role).to_string(),
    };
    let held = if view.holders[side.index()] { format!(" holds {VIP}") } else { String::new() };
    let [serial, lan] = told.paths.map(words::path_state);
    let peer = format!(" {} is {}", NODE_NAMES[side.peer().index()], words::verdict(told.verdict));
    [
        format!(" {role}, term {}", told.term),
        held,
        format!(" serial {serial}"),
        format!(" lan    {lan}"),
        if told.is_jeopardy { format!("{peer}, JEOPARDY") } else { peer },
    ]
}

/// What stands between the boxes at one of their lines: the sides that face each other, and the cable.
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
            " : "
        } else if view.faults.lan == Some(side) {
            "CUT"
        } else {
            " | "
        }
    };
    let legs = format!("{MARGIN} {:^BOX_COLUMNS$} {:GAP_COLUMNS$} {:^BOX_COLUMNS$}", leg(Side::A), "", leg(Side::B));
    let wire = format!("{:=^BOX_COLUMNS$}=={:=^GAP_COLUMNS$}=={:=^BOX_COLUMNS$}", "+", " LAN ", "+");
    // The client hangs under the second letter of LAN.
    let client = if view.is_answering { "answers" } else { "DOES NOT ANSWER" };
    [
        legs.trim_end().to_string(),
        format!("{MARGIN}{wire}"),
        format!("{MARGIN}{:^ALL_COLUMNS$}", "|").trim_end().to_string(),
        format!("{MARGIN}{:^ALL_COLUMNS$}", format!("client: {VIP} {client}")).trim_end().to_string(),
    ]
}
