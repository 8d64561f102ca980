//! Text of others, made harmless for a terminal and a log. This is the one filter, both where text comes in
//! and where it is shown.

/// Replaces a character that is taken out.
const INSTEAD: char = '?';

/// Columns of the oldest terminals.
const SCREEN_COLUMNS: usize = 80;
/// Where the text of a named line begins.
const NAMED_COLUMN: usize = 12;

/// One line of text in which nothing moves a cursor, colours a terminal, begins another line, or turns the
/// direction of what is read. At most `max` characters.
pub fn line(text: &str, max: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(max) {
        out.push(character(c));
    }
    out
}

/// A hardware address.
pub fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| hex(&[byte])).join(":")
}

/// Two hexadecimal digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for half in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        out.extend(char::from_digit(u32::from(half), 16));
    }
    out
}

/// One character, or its replacement.
pub fn character(c: char) -> char {
    if is_plain(c) { c } else { INSTEAD }
}

/// The same for a text of several lines, which stay.
pub fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(if c == '\n' { c } else { character(c) });
    }
    out
}

/// The same text with lines that fit a screen: what is longer goes on below, further to the right than it
/// began.
pub fn wrapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        // Text beside a name in a column stays in its column.
        let hang = if indent == 2 && line.len() > NAMED_COLUMN { NAMED_COLUMN } else { indent + 2 };
        let mut at = 0;
        for (index, word) in line.split(' ').enumerate() {
            let length = word.chars().count();
            if index > 0 && at + 1 + length > SCREEN_COLUMNS && at > hang {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', hang));
                at = hang;
            } else if index > 0 {
                out.push(' ');
                at += 1;
            }
            out.push_str(word);
            at += length;
        }
        out.push('\n');
    }
    out
}

/// The text before the first `mark`, and the text after it. The standard library's search is faster in long
/// texts, and three kilobytes larger.
pub fn cut<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let at = (0..=text.len()).find(|at| text.get(*at..).is_some_and(|rest| rest.starts_with(mark)))?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

/// Whether a character only shows itself: no control character (C0, DEL, C1), no line separator, none that
/// changes the direction of writing (Unicode 15, 23.2 and UAX #9), no invisible one.
fn is_plain(c: char) -> bool {
    let is_format =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !is_format
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_cut_at_the_first_mark() {
        assert_eq!(cut("a::b::c", "::"), Some(("a", "b::c")));
        assert_eq!((cut("::", "::"), cut("ä: b", ": ")), (Some(("", "")), Some(("ä", "b"))));
        assert_eq!((cut("", "::"), cut("a:b", "::"), cut("日", "\u{65e5}本")), (None, None, None));
    }

    #[test]
    fn what_is_too_long_for_a_screen_goes_on_below() {
        assert_eq!(wrapped("short\n\n  two\n"), "short\n\n  two\n");
        let long = format!("  gateway   {}\n", ["word"; 20].join(" "));
        let shown = wrapped(&long);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.contains("\n            word"), "{shown}");
        assert_eq!(shown.split_whitespace().count(), 21);
        let endless = "x".repeat(200);
        assert_eq!(wrapped(&endless), endless.clone() + "\n", "a word stays whole");
    }

    #[test]
    fn nothing_that_moves_a_cursor_or_begins_a_line_is_left() {
        assert_eq!(line("a\x1b[2Jb\rc\nd\u{9b}e\u{202e}f\x7fg", 99), "a?[2Jb?c?d?e?f?g");
        assert_eq!(line("grüße, 日本", 99), "grüße, 日本", "what can be read stays");
        assert_eq!(line("abcdef", 3), "abc");
        assert_eq!(lines("one\ntwo\x1b[31m\r\n"), "one\ntwo?[31m?\n");
    }

    proptest! {
        #[test]
        fn every_text_becomes_one_line(text in any::<String>()) {
            let line = line(&text, 100);
            prop_assert!(line.chars().all(|c| !c.is_control()) && line.lines().count() <= 1);
            prop_assert!(lines(&text).chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
