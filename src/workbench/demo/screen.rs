//! Where the demo is watched: a terminal on which one picture is updated in place, or plain lines, or nothing
//! (JSON).

use std::env;
use std::io::{self, IsTerminal, Write};

use crosswire::time::{Instant, Span};

use super::terminal;
use crate::workbench::lab::clock::now;

/// Time between two pictures.
const DRAW_EVERY: Span = Span::from_ms(100);
/// Clears the rest of the line, and all lines below.
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

const RESET: &str = "\x1b[0m";
const GOOD: &str = "\x1b[1;32m";
const WARN: &str = "\x1b[33m";
const BAD: &str = "\x1b[1;31m";

/// Words that stand out on a terminal with colours. A word is painted where it stands alone.
const PAINTED: [(&str, &str); 16] = [
    ("ACTIVE", GOOD),
    ("answers", GOOD),
    ("ok", GOOD),
    ("as required", GOOD),
    ("JEOPARDY", WARN),
    ("late", WARN),
    ("silent", WARN),
    ("broken", WARN),
    ("unproven", WARN),
    ("slow", WARN),
    ("CUT", BAD),
    ("NO POWER", BAD),
    ("DOES NOT ANSWER", BAD),
    ("NOT as required", BAD),
    ("FAIL", BAD),
    ("BOTH HOLD THE VIP", BAD),
];

/// Where the demo is watched.
pub(super) struct Screen<'a> {
    out: &'a mut dyn Write,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// Nothing until the end.
    Quiet,
    /// One line a step.
    Plain,
    /// A picture in place: how many lines of it are above the cursor, and when they were drawn.
    Live { lines: usize, drawn: Instant, has_colours: bool },
}

impl<'a> Screen<'a> {
    /// A terminal gets pictures, unless it is dumb or too small; everything else gets plain lines.
    pub(super) fn new(is_quiet: bool, out: &'a mut dyn Write) -> Self {
        let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let mode = if is_quiet {
            Mode::Quiet
        } else if is_dumb || !io::stdout().is_terminal() || !terminal::is_large_enough() {
            Mode::Plain
        } else {
            let has_colours = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            Mode::Live { lines: 0, drawn: Instant::ORIGIN, has_colours }
        };
        Self { out, mode }
    }

    /// Draws what `picture` gives in place of the last picture, if it is time for a new one or `is_due`.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(super) fn draw(&mut self, is_due: bool, picture: impl FnOnce() -> Vec<String>) -> io::Result<()> {
        let Mode::Live { lines, drawn, has_colours } = self.mode else { return Ok(()) };
        let now = now();
        if !is_due && now.since(drawn) < DRAW_EVERY {
            return Ok(());
        }
        let picture = picture();
        terminal::begin();
        let mut text = up(lines);
        for line in &picture {
            text.extend([paint(line, has_colours).as_str(), CLEAR_LINE, "\r\n"]);
        }
        text.push_str(CLEAR_BELOW);
        self.mode = Mode::Live { lines: picture.len(), drawn: now, has_colours };
        self.write(&text)
    }

    /// Writes a line, if there are no pictures.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        match self.mode {
            Mode::Plain => self.write(&format!("{line}\n")),
            Mode::Quiet | Mode::Live { .. } => Ok(()),
        }
    }

    /// Writes the final text: on a terminal in place of the last picture, else below the lines.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub(super) fn finish(&mut self, picture: &[String], text: &str) -> io::Result<()> {
        match self.mode {
            Mode::Quiet => self.write(text),
            Mode::Plain if text.is_empty() => Ok(()),
            Mode::Plain => self.write(&format!("\n{text}")),
            // Nothing was shown yet, so there is nothing to take back.
            Mode::Live { lines: 0, .. } => self.write(text),
            Mode::Live { lines, has_colours, .. } => {
                let mut all = up(lines);
                for line in picture.iter().map(String::as_str).chain(text.lines()) {
                    all.extend([paint(line, has_colours).as_str(), CLEAR_LINE, "\r\n"]);
                }
                self.mode = Mode::Live { lines: 0, drawn: Instant::ORIGIN, has_colours };
                self.write(&format!("{all}{CLEAR_BELOW}"))?;
                terminal::restore();
                Ok(())
            }
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        terminal::restore();
    }
}

/// To the first column, `lines` lines up; a terminal takes zero for one.
fn up(lines: usize) -> String {
    if lines == 0 { "\r".to_string() } else { format!("\r\x1b[{lines}A") }
}

/// The line with the words of [`PAINTED`] in colour.
fn paint(line: &str, has_colours: bool) -> String {
    if !has_colours {
        return line.to_string();
    }
    let mut painted = String::with_capacity(line.len() * 2);
    let mut rest = line;
    while !rest.is_empty() {
        let is_start = !painted.ends_with(|c: char| c.is_alphanumeric());
        let found = PAINTED.iter().filter(|_| is_start).find(|(word, _)| {
            let tail = rest.strip_prefix(word);
            tail.is_some_and(|tail| !tail.starts_with(|c: char| c.is_alphanumeric()))
        });
        let taken =
            found.map_or_else(|| rest.chars().next().map_or(1, char::len_utf8), |(word, _)| word.len());
        let (now, later) = rest.split_at(taken);
        match found {
            Some((_, colour)) => painted.extend([colour, now, RESET]),
            None => painted.push_str(now),
        }
        rest = later;
    }
    painted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_are_painted_and_nothing_else_changes() {
        assert_eq!(paint("ok   token ok", true), format!("{GOOD}ok{RESET}   token {GOOD}ok{RESET}"));
        assert_eq!(paint("NOT as required", true), format!("{BAD}NOT as required{RESET}"));
        assert_eq!(paint("ok CUT", false), "ok CUT");
        let line = "| silentia late, JEOPARDY|";
        let plain = paint(line, true).replace(WARN, "").replace(RESET, "");
        assert_eq!(plain, line);
    }

    #[test]
    fn a_pipe_gets_plain_lines_and_json_nothing_but_its_end() {
        let mut said = Vec::new();
        let mut screen = Screen::new(true, &mut said);
        screen.line("a step").unwrap();
        screen.draw(true, || panic!("nobody looks")).unwrap();
        screen.finish(&["picture".into()], "{}\n").unwrap();
        drop(screen);
        assert_eq!(said, b"{}\n");
    }
}
