//! One line of text in memory of its own: nothing is allocated for it, and nothing in it begins another line.

use std::fmt::{Arguments, Write};

use crate::plain;

/// A longer line is cut. BusyBox's syslogd reads 256 bytes, others about a thousand.
pub const MAX_LINE_BYTES: usize = 1_000;

/// A line.
pub struct Line(heapless::String<MAX_LINE_BYTES>);

impl Line {
    /// The text, without anything that moves a cursor or begins another line, and cut if it is too long.
    pub fn of(text: Arguments<'_>) -> Self {
        let mut line = Self(heapless::String::new());
        // What does not fit is left out.
        let _ = line.write_fmt(text);
        line
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As much of the text as fits.
    pub fn prefix<const N: usize>(&self) -> heapless::String<N> {
        let mut prefix = heapless::String::new();
        let _ = self.0.chars().try_for_each(|c| prefix.push(c));
        prefix
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        text.chars().try_for_each(|c| self.0.push(plain::character(c)).map_err(|_| std::fmt::Error))
    }
}
