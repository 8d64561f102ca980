//! `status --html`: one page that needs nothing else, for any web server: the first line, the two boxes with
//! the paths between them, and the screen of `status`. The page greys itself when it is old: otherwise a box
//! that died an hour ago would look like one that serves.

use std::fmt::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use crosswire::pair::{Role, Side, Trouble};
use crosswire::reasons::Verdict;

use super::assessment::assess;
use super::control::Report;
use super::exit::Exit;
use super::picture::{escaped, path_turn, role_turn, verdict_turn};
use super::testimony::is_heard;
use super::{status_text, words};
use crate::plain;

/// The page is made about every minute; three missing pages grey it, one does not.
const MAX_AGE: Duration = Duration::from_secs(180);
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page of a daemon that answers.
pub fn of(report: &Report, made: Duration) -> String {
    let reason = assess(report);
    let mut main = String::new();
    // Writing into memory cannot fail.
    let _ = write_pair(report, &mut main);
    let _ = write!(main, "<pre>{}</pre>", escaped(&status_text::text(report, false, false)));
    page(&report.pair, (reason.exit, &reason.sentence(report)), &main, made)
}

/// The page of a daemon that does not answer, and why.
pub fn of_none((exit, why): (Exit, &str), made: Duration) -> String {
    page("crosswire", (exit, why), "", made)
}

/// The time since 1970, by the clock of this box.
pub fn now() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default()
}

fn page(pair: &str, (exit, sentence): (Exit, &str), main: &str, made: Duration) -> String {
    let colour = match exit {
        Exit::Done => "good",
        Exit::Alone => "warn",
        Exit::Refused
        | Exit::Usage
        | Exit::NotRunning
        | Exit::Unserved
        | Exit::Hangs
        | Exit::NotAllowed
        | Exit::Configuration => "bad",
    };
    let (pair, sentence) = (escaped(pair), escaped(&plain::lines(sentence)));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{pair}: {sentence}</title>\n<style>\n{STYLE}</style>\n\
         <body data-made=\"{}\" data-limit=\"{}\">\n\
         <p id=\"old\">OLD, or the clocks of that box and yours differ: nobody knows from this page what \
         is so now.</p>\n<main>\n\
         <h1 class=\"{colour}\">{sentence}</h1>\n\
         <p>pair {pair}, as of {}, <span id=\"age\">to be compared with your clock</span></p>\n\
         {main}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        made.as_secs(),
        MAX_AGE.as_secs(),
        date(made.as_secs())
    )
}

/// Writes both nodes, the lower name on the left as on every screen, and the paths between them.
fn write_pair(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "<div class=\"pair\">")?;
    write_node(report, Side::A, out)?;
    writeln!(out, "<div class=\"wires\">")?;
    for (name, path) in report.paths.iter().zip(&report.node.paths) {
        let (state, colour) = path_turn(path.state);
        let kind = if name.starts_with("lan") { "lan" } else { "cable" };
        let name = escaped(name);
        writeln!(out, "<div class=\"wire {kind}\"><i class=\"{colour}\"></i><b>{name}: {state}</b></div>")?;
    }
    writeln!(out, "</div>")?;
    write_node(report, Side::B, out)?;
    writeln!(out, "</div>")
}

fn write_node(report: &Report, side: Side, out: &mut String) -> fmt::Result {
    let (state, colour) = state(report, side);
    let name = escaped(report.name(side));
    writeln!(out, "<div class=\"node\"><h2>{name}</h2><div class=\"{colour}\">{state}</div>\n<ul>")?;
    for (index, (name, contents)) in report.groups.iter().enumerate() {
        let role = role(report, side, index);
        let (called, colour) = role.map_or(("unknown", "idle"), role_turn);
        let name = escaped(name);
        write!(out, "<li>{name} <span class=\"{colour}\">{called}</span>")?;
        if role == Some(Role::Active) {
            contents.iter().try_for_each(|held| write!(out, "<small>{}</small>", escaped(held)))?;
        }
        writeln!(out, "</li>")?;
    }
    writeln!(out, "</ul></div>")
}

/// The role of a node for a group; `None` for a peer that is not heard.
fn role(report: &Report, side: Side, index: usize) -> Option<Role> {
    if side == report.node.me {
        return report.node.groups.get(index).map(|group| group.role);
    }
    report.theirs(index).filter(|_| is_heard(report)).map(|said| said.role)
}

/// The state of a node in words, and its colour. What keeps it from serving comes first.
fn state(report: &Report, side: Side) -> (String, &'static str) {
    let node = &report.node;
    let is_me = side == node.me;
    let peer = node.peer.as_ref().filter(|_| !is_me);
    let trouble = if is_me { node.trouble } else { peer.map_or(Trouble::None, |peer| peer.trouble) };
    let is_standby = if is_me { node.is_standby } else { peer.is_some_and(|peer| peer.is_standby) };
    let is_maintenance =
        if is_me { node.maintenance.is_some() } else { peer.is_some_and(|peer| peer.is_maintenance) };
    if !is_me && (node.verdict != Verdict::Present || !is_heard(report)) {
        let (called, colour) = verdict_turn(node.verdict);
        return match peer {
            None => ("not heard yet".to_owned(), "idle"),
            Some(peer) => (format!("{called}, last beat {} ago", peer.age), colour),
        };
    }
    match (trouble, is_standby, is_maintenance) {
        (Trouble::None, false, false) => ("works".to_owned(), "good"),
        (Trouble::None, true, _) => ("standby".to_owned(), "warn"),
        (Trouble::None, false, true) => ("maintenance".to_owned(), "warn"),
        (trouble, ..) => (format!("cannot serve: {}", words::trouble(trouble)), "bad"),
    }
}

/// A second since 1970 as a date (days to years and months: Howard Hinnant, chrono-compatible low-level date
/// algorithms).
fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * march + 2) / 5 + 1, (march + 2) % 12 + 1);
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
}

#[cfg(test)]
mod tests {
    use super::super::assessment::tests::well;
    use super::*;

    const MADE: Duration = Duration::from_secs(1_795_900_000);

    #[test]
    fn a_page_shows_both_boxes_and_what_is_between_and_needs_nothing_else() {
        let mut report = well(Role::Active);
        report.pair = "a<b".to_owned();
        report.groups[0].1 = vec!["10.0.0.100/24@eth0".to_owned()];
        let page = of(&report, MADE);
        for part in [
            "<h2>gw1</h2><div class=\"good\">works</div>",
            "gateway <span class=\"good\">active</span><small>10.0.0.100/24@eth0</small>",
            "gateway <span class=\"idle\">backup</span></li>",
            "<div class=\"wire cable\"><i class=\"good\"></i><b>serial: on time</b></div>",
            "<div class=\"wire lan\"><i class=\"good\"></i><b>lan: on time</b></div>",
            "<h1 class=\"good\">gw1 serves gateway",
            "pair a&lt;b, as of 2026-11-28 ",
            "data-made=\"1795900000\" data-limit=\"180\"",
            "prefers-color-scheme:dark",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        for part in ["a<b", "src=", "href=", "//", "@import", "url("] {
            let part_of = page.replace("// Greys", "");
            assert!(!part_of.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn a_peer_that_is_not_heard_is_shown_with_nothing_that_it_said() {
        let mut report = well(Role::Active);
        report.node.verdict = Verdict::Dead;
        report.node.paths.iter_mut().for_each(|path| path.state = crosswire::health::PathState::Silent);
        let page = of(&report, MADE);
        assert!(page.contains("<div class=\"bad\">dead, last beat 20 ms ago</div>"), "{page}");
        assert!(page.contains("gateway <span class=\"idle\">unknown</span></li>"), "{page}");
        report.node.trouble = Trouble::GuardSilent;
        assert!(of(&report, MADE).contains("cannot serve: its guard does not answer"));
    }

    #[test]
    fn a_daemon_that_does_not_answer_has_a_page_that_says_so() {
        let page = of_none((Exit::Hangs, "the daemon in /run does not answer: it hangs"), MADE);
        assert!(page.contains("<h1 class=\"bad\">the daemon in /run does not answer: it hangs</h1>"));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (1_795_900_000, "2026-11-28 21:06:40 UTC"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(date(seconds), expected);
        }
    }
}
