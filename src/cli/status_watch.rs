//! `status --watch`: the screen of `status`, kept up to date in place. What has not changed is not sent
//! again, so that a console at 9600 baud is enough; a daemon that is away, hangs or was started anew is one
//! more thing to show.

use std::io::{self, IsTerminal, Write};
use std::thread::sleep;
use std::time::Duration;

use crate::gather::Gather;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What a console at 9600 baud shows.
const SLOWEST_BYTES_PER_S: u64 = 960;
/// Rows of a terminal that does not say how many it has.
const ROWS: usize = 24;

/// Shows what each `look` gives, a sentence and a whole screen, until the terminal is gone or the process is
/// ended. Where nobody can move a cursor, it writes the sentence whenever it changes.
pub fn run(look: impl Fn() -> (String, String), out: &mut impl Write) {
    let is_terminal = io::stdout().is_terminal();
    let rows = std::env::var("LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(ROWS);
    let mut before: Vec<String> = Vec::new();
    if is_terminal && out.write_all(b"\x1b[H\x1b[2J").is_err() {
        return;
    }
    loop {
        let (sentence, screen) = look();
        let (lines, update) = if is_terminal {
            let lines: Vec<String> = screen.lines().take(rows.saturating_sub(1)).map(str::to_owned).gather();
            let update = update(&before, &lines);
            (lines, update)
        } else {
            let is_new = before.first() != Some(&sentence);
            let update = if is_new { format!("{sentence}\n") } else { String::new() };
            (vec![sentence], update)
        };
        // A reader that is gone has seen enough.
        if out.write_all(update.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
        before = lines;
        sleep(pause_after(update.len()));
    }
}

/// Until the next look: a slow line has shown all of it by then, and no screen waits behind another one.
fn pause_after(bytes: usize) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or_default();
    LOOK_EVERY.max(Duration::from_millis(bytes.saturating_mul(1_000) / SLOWEST_BYTES_PER_S))
}

/// The bytes that turn one screen into the other: of each line only what follows its unchanged beginning.
fn update(before: &[String], after: &[String]) -> String {
    let mut bytes = String::new();
    for row in 0..before.len().max(after.len()) {
        let old = before.get(row).map_or("", String::as_str);
        let new = after.get(row).map_or("", String::as_str);
        if old == new {
            continue;
        }
        let same = old.char_indices().zip(new.chars()).find(|((_, one), other)| one != other);
        let at = same.map_or(old.len().min(new.len()), |((at, _), _)| at);
        let column = new.get(..at).map_or(0, |begin| begin.chars().count());
        bytes += &format!("\x1b[{};{}H{}", row + 1, column + 1, new.get(at..).unwrap_or_default());
        if new.chars().count() < old.chars().count() {
            bytes += "\x1b[K";
        }
    }
    if !bytes.is_empty() {
        bytes += &format!("\x1b[{};1H", after.len() + 1);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn only_what_has_changed_is_sent() {
        let before = lines("gw1 serves\nup 12.1 s\nsame");
        assert_eq!(update(&before, &before), "");
        assert_eq!(update(&before, &lines("gw1 serves\nup 14.1 s\nsame")), "\x1b[2;5H4.1 s\x1b[4;1H");
        assert_eq!(update(&before, &lines("gw1 serves\nup 9 s\nsame")), "\x1b[2;4H9 s\x1b[K\x1b[4;1H");
        assert_eq!(update(&before, &lines("gw1 serves")), "\x1b[2;1H\x1b[K\x1b[3;1H\x1b[K\x1b[2;1H");
        assert_eq!(update(&[], &lines("ä")), "\x1b[1;1Hä\x1b[2;1H");
    }

    #[test]
    fn a_console_at_9600_baud_keeps_up_with_any_screen() {
        assert_eq!(pause_after(0), LOOK_EVERY);
        assert_eq!(pause_after(1_920), Duration::from_secs(2));
        // 25 lines of 80 characters, all of them new.
        assert_eq!(pause_after(2_400), Duration::from_millis(2_500));
    }
}
