//! `why --svg`: an incident as a picture. It has a lane for each path and its modem lines, for the peer and
//! for each group, and marks the moment that the first line of `why` is about. It is readable on light paper
//! and on a dark screen. A run of the simulator is drawn likewise, with the lanes of both nodes.

use std::fmt::{self, Write as _};

use crosswire::health::{LineReading, PathState};
use crosswire::pair::{GroupId, PathId, Role};
use crosswire::quorum::record::Record;
use crosswire::reasons::Verdict;
use crosswire::time::Span;

use super::cause::Entry;
use super::words::{self, Names};

/// Where lanes begin and end, and how far apart they are, in units of the picture.
const LEFT: u64 = 150;
const WIDTH: u64 = 800;
const TOP: u64 = 70;
const LANE: u64 = 34;
const BAR: u64 = 22;
/// What is shown before and after the marked moment.
const BEFORE: Span = Span::from_s(10);
const AFTER: Span = Span::from_s(10);
/// More marks of time than these are hard to read.
const MAX_STEPS: u64 = 12;

/// Colours by what a state means; a dark screen has its own.
const STYLE: &str = "\
    svg{font:13px sans-serif;background:#fff}text{fill:#222}.lane{fill:#eee}.good{fill:#bfe3c3}\
    .warn{fill:#f6e0a0}.bad{fill:#f3bcb4}.odd{fill:#d8cdee}.idle{fill:#dde3ea}\
    .mark{stroke:#222;stroke-dasharray:4 3}.tick{stroke:#bbb}\
    @media(prefers-color-scheme:dark){svg{background:#181a1b}text{fill:#e6e6e6}.lane{fill:#2a2d2f}\
    .good{fill:#2c5b36}.warn{fill:#6d5716}.bad{fill:#7a2f28}.odd{fill:#4b3d70}.idle{fill:#3a424a}\
    .mark{stroke:#e6e6e6}.tick{stroke:#555}}";

/// One state of a lane: how long ago it began, its name, and its colour.
type Turn = (Span, &'static str, &'static str);

/// What one node has on record, and what it calls things.
#[derive(Clone, Copy)]
pub struct OnRecord<'a> {
    pub me: &'a str,
    pub entries: &'a [Entry],
    pub names: &'a Names,
}

/// The picture of all entries round the one at `marked`, with its headline.
pub fn svg(seen: OnRecord<'_>, marked: Option<(usize, &str)>) -> String {
    let OnRecord { entries, .. } = seen;
    let at =
        marked.and_then(|(index, _)| entries.get(index)).or(entries.last()).map_or(AFTER, |(age, ..)| *age);
    let window = Window { from: at + BEFORE, to: at.saturating_sub(AFTER), marked: at };
    draw(&window, &lanes(seen, ""), marked.map_or("", |(_, headline)| headline))
}

/// The picture of a run that has taken so long, as both nodes saw it, with what befell them so long ago, at
/// `marked`.
#[cfg(feature = "workbench")]
pub fn of_run(both: [OnRecord<'_>; 2], took: Span, (marked, what): (Span, &str)) -> String {
    let each = both.map(|seen| lanes(seen, &format!("{}: ", seen.me)));
    draw(&Window { from: took, to: Span::ZERO, marked }, &each.concat(), what)
}

fn draw(window: &Window, lanes: &[(String, Vec<Turn>)], headline: &str) -> String {
    let mut out = String::new();
    // Writing into memory cannot fail.
    let _ = window.write(lanes, headline, &mut out);
    out
}

/// Name and states of each lane, the oldest first.
fn lanes(OnRecord { entries, me, names }: OnRecord<'_>, prefix: &str) -> Vec<(String, Vec<Turn>)> {
    let paths = (0u8..).map(PathId).zip(&names.paths);
    let groups = (0u8..).map(GroupId).zip(&names.groups);
    let mut lanes: Vec<(String, Vec<Turn>)> = Vec::new();
    for (id, name) in paths {
        lanes.push((
            name.clone(),
            turns(entries, |record| match record {
                Record::Path { path, from, to } if *path == id => Some((path_turn(*from), path_turn(*to))),
                _ => None,
            }),
        ));
        lanes.push((
            format!("{name}: lines"),
            turns(entries, |record| match record {
                Record::Lines { path, reading } if *path == id => Some((("", "idle"), line_turn(*reading))),
                _ => None,
            }),
        ));
    }
    lanes.push((
        names.peer.clone(),
        turns(entries, |record| match record {
            Record::Verdict { from, to } => Some((verdict_turn(*from), verdict_turn(*to))),
            _ => None,
        }),
    ));
    for (id, name) in groups {
        lanes.push((
            if prefix.is_empty() { format!("{name} on {me}") } else { name.clone() },
            turns(entries, |record| match record {
                Record::Role { group, from, to } if *group == id => Some((role_turn(*from), role_turn(*to))),
                _ => None,
            }),
        ));
    }
    // Ports without modem lines and LANs have no such lane.
    lanes.retain(|(name, turns)| !turns.is_empty() || !name.ends_with(": lines"));
    lanes.iter_mut().for_each(|(name, _)| name.insert_str(0, prefix));
    lanes
}

/// The states of one lane. The first change also tells the state before it.
fn turns(
    entries: &[Entry],
    of: impl Fn(&Record) -> Option<((&'static str, &'static str), (&'static str, &'static str))>,
) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for (age, record, ..) in entries {
        let Some(((before, was), (after, is))) = of(record) else { continue };
        if turns.is_empty() {
            turns.push((Span::from_us(u64::MAX), before, was));
        }
        turns.push((*age, after, is));
    }
    turns
}

pub(super) const fn path_turn(state: PathState) -> (&'static str, &'static str) {
    let colour = match state {
        PathState::OnTime => "good",
        PathState::Late => "warn",
        PathState::Silent | PathState::Broken => "bad",
        PathState::Noisy | PathState::Refused => "odd",
        PathState::Unproven | PathState::Blind => "idle",
    };
    (words::path_state(state), colour)
}

const fn line_turn(reading: LineReading) -> (&'static str, &'static str) {
    match reading {
        LineReading::Unknown => ("not believed", "idle"),
        LineReading::Running { holds: true } => ("on, serves", "good"),
        LineReading::Running { holds: false } => ("on", "good"),
        LineReading::Dropped => ("dropped", "bad"),
    }
}

pub(super) const fn verdict_turn(verdict: Verdict) -> (&'static str, &'static str) {
    let colour = match verdict {
        Verdict::Present | Verdict::Unintelligible => "good",
        Verdict::Departed => "idle",
        Verdict::Doubtful => "warn",
        Verdict::Dead => "bad",
    };
    (words::verdict(verdict), colour)
}

pub(super) const fn role_turn(role: Role) -> (&'static str, &'static str) {
    let colour = match role {
        Role::Active => "good",
        Role::Acquiring | Role::Releasing => "warn",
        Role::Faulty => "bad",
        Role::Backup => "idle",
    };
    (words::role(role), colour)
}

/// The part of time that is shown, as ages.
struct Window {
    from: Span,
    to: Span,
    marked: Span,
}

impl Window {
    /// Where an age is in the picture.
    fn x(&self, age: Span) -> u64 {
        let length = self.from.saturating_sub(self.to).as_us().max(1);
        let into = self.from.saturating_sub(age.max(self.to)).as_us().min(length);
        LEFT + into.saturating_mul(WIDTH) / length
    }

    fn write(&self, lanes: &[(String, Vec<Turn>)], headline: &str, out: &mut String) -> fmt::Result {
        let bottom = TOP + LANE * u64::try_from(lanes.len()).unwrap_or(0);
        let (width, height) = (LEFT + WIDTH + 20, bottom + 40);
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <title>{0}</title>\n\
             <style>{STYLE}</style>\n<text x=\"10\" y=\"26\" font-weight=\"bold\">{0}</text>",
            escaped(headline)
        )?;
        for age in self.marks_of_time() {
            let x = self.x(age);
            writeln!(out, "<line class=\"tick\" x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{bottom}\"/>", TOP - 8)?;
            let label = relative(age, self.marked);
            writeln!(
                out,
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-size=\"11\">{label}</text>",
                TOP - 14
            )?;
        }
        for (index, (name, turns)) in (0u64..).zip(lanes) {
            self.write_lane(TOP + index * LANE, name, turns, out)?;
        }
        let x = self.x(self.marked);
        writeln!(
            out,
            "<line class=\"mark\" x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{}\"/>",
            TOP - 8,
            bottom + 10
        )?;
        writeln!(out, "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">decided</text>\n</svg>", bottom + 26)
    }

    /// So long ago; one of them is the marked moment.
    fn marks_of_time(&self) -> impl Iterator<Item = Span> {
        let step = Span::from_s(step_s(self.from.saturating_sub(self.to).as_us() / 1_000_000));
        let before = self.from.saturating_sub(self.marked).as_us() / step.as_us();
        let first = self.marked + step.fraction(before, 1);
        let next = move |age: &Span| (*age >= step).then(|| age.saturating_sub(step));
        let to = self.to;
        std::iter::successors(Some(first), next).take_while(move |age| *age >= to)
    }

    fn write_lane(&self, y: u64, name: &str, turns: &[Turn], out: &mut String) -> fmt::Result {
        let middle = y + BAR / 2 + 5;
        writeln!(
            out,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
            LEFT - 10,
            escaped(name)
        )?;
        writeln!(out, "<rect class=\"lane\" x=\"{LEFT}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{BAR}\"/>")?;
        for (index, (age, called, colour)) in turns.iter().enumerate() {
            let end = turns.get(index + 1).map_or(Span::ZERO, |(age, ..)| *age);
            let (from, to) = (self.x(*age), self.x(end));
            if from == to {
                continue;
            }
            let width = to - from;
            writeln!(
                out,
                "<g><title>{}: {called}</title><rect class=\"{colour}\" x=\"{from}\" y=\"{y}\" \
                width=\"{width}\" height=\"{BAR}\"/>",
                escaped(name)
            )?;
            // About seven units a letter.
            let is_wide = width > 8 * u64::try_from(called.len()).unwrap_or(u64::MAX);
            if is_wide {
                write!(out, "<text x=\"{}\" y=\"{middle}\">{called}</text>", from + 4)?;
            }
            writeln!(out, "</g>")?;
        }
        Ok(())
    }
}

/// How far apart marks of time are, in seconds, where so many are shown.
fn step_s(seconds: u64) -> u64 {
    let steps = [2, 5, 10, 30, 60, 300, 600, 1_800, 3_600];
    steps.into_iter().find(|step| seconds / step <= MAX_STEPS).unwrap_or(86_400)
}

/// How long before or after the marked moment.
fn relative(age: Span, marked: Span) -> String {
    if age >= marked {
        let before = age.saturating_sub(marked).as_us() / 1_000_000;
        if before == 0 { "0".to_owned() } else { format!("-{before} s") }
    } else {
        format!("+{} s", marked.saturating_sub(age).as_us() / 1_000_000)
    }
}

/// Text of others, escaped for use between tags and in attributes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_is_drawn_and_the_decision_is_marked() {
        let s = Span::from_s;
        let path = |path, from, to| Record::Path { path: PathId(path), from, to };
        let role = |from, to| Record::Role { group: GroupId(0), from, to };
        let entries: Vec<Entry> = vec![
            (s(600), role(Role::Acquiring, Role::Backup), 0, 0),
            (s(31), Record::Lines { path: PathId(0), reading: LineReading::Dropped }, 0, 0),
            (s(31), path(0, PathState::OnTime, PathState::Late), 0, 0),
            (s(30), path(1, PathState::OnTime, PathState::Silent), 0, 0),
            (s(30), Record::Verdict { from: Verdict::Present, to: Verdict::Dead }, 0, 0),
            (s(29), role(Role::Backup, Role::Active), 0, 0),
        ];
        let names = Names {
            peer: "gw1".to_owned(),
            paths: vec!["serial".to_owned(), "lan".to_owned()],
            groups: vec!["a<b".to_owned()],
            interfaces: Vec::new(),
            scripts: Vec::new(),
            key_file: String::new(),
            is_shadow: false,
        };
        let seen = OnRecord { me: "gw2", entries: &entries, names: &names };
        let drawn = svg(seen, Some((4, "gw2 took a<b over")));
        for lane in [">serial<", ">serial: lines<", ">lan<", ">gw1<", ">a&lt;b on gw2<"] {
            assert!(drawn.contains(lane), "{lane}: {drawn}");
        }
        for state in [
            ">on time<",
            ">dropped<",
            ">silent<",
            ">dead<",
            ">active<",
            ">decided<",
            "prefers-color-scheme:dark",
        ] {
            assert!(drawn.contains(state), "{state}: {drawn}");
        }
        assert!(!drawn.contains("lan: lines"), "a LAN has none");
        assert_eq!(drawn.matches("<g>").count(), drawn.matches("</g>").count());
        let nothing = OnRecord { entries: &[], ..seen };
        assert!(svg(nothing, None).ends_with("</svg>\n"), "nothing has happened yet");
        #[cfg(feature = "workbench")]
        assert_both_are_drawn(seen, nothing);
    }

    #[cfg(feature = "workbench")]
    fn assert_both_are_drawn(seen: OnRecord<'_>, nothing: OnRecord<'_>) {
        let s = Span::from_s;
        let both = of_run([OnRecord { me: "gw1", ..nothing }, seen], s(700), (s(31), "power-cut gw1"));
        for lane in [
            ">gw1: lan<",
            ">gw2: lan<",
            ">gw2: a&lt;b<",
            ">power-cut gw1<",
            ">-600 s<",
            ">gw2: a&lt;b: active<",
        ] {
            assert!(both.contains(lane), "{lane}: {both}");
        }
    }
}
