//! The smallest parts of a TOML file (version 1.1): keys, strings, numbers, and what stands between them.

use std::borrow::Cow;

use super::tree::{Integer, Value};

/// What cannot be read, where it stands, and what to do about it.
#[derive(Debug)]
pub(super) struct Fault {
    /// From this byte on.
    pub(super) at: usize,
    /// Up to this byte.
    pub(super) end: usize,
    /// What is wrong.
    pub(super) what: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
}

/// What is read, or why it cannot be.
pub(super) type Read<T> = Result<T, Fault>;

/// A text, and how far it has been read.
pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    /// Begins after the mark of the byte order, if there is one.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } }
    }

    /// The byte that comes next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next byte; `None` at the end.
    pub(super) fn ahead(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn since(&self, from: usize) -> &'t str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// Takes the next byte if it is this one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_there = self.ahead() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn skip_while(&mut self, is_meant: impl Fn(u8) -> bool) {
        self.at += self.rest().bytes().take_while(|byte| is_meant(*byte)).count();
    }

    /// Skips blanks.
    pub(super) fn skip_blanks(&mut self) {
        self.skip_while(is_blank);
    }

    /// Skips what is left of the line.
    pub(super) fn skip_line(&mut self) {
        self.skip_while(|byte| byte != b'\n');
    }

    /// What cannot be read begins at `at` and goes on to here.
    pub(super) fn fault(&self, at: usize, what: &'static str, remedy: &'static str) -> Fault {
        Fault { at, end: self.at, what, remedy }
    }

    /// Takes this byte, or says what is missing.
    pub(super) fn expect(&mut self, byte: u8, what: &'static str, remedy: &'static str) -> Read<()> {
        if self.take(byte) { Ok(()) } else { Err(self.fault(self.at, what, remedy)) }
    }

    /// Takes the end of a line; the end of the text is one.
    pub(super) fn end_of_line(&mut self) -> bool {
        self.ahead().is_none() || self.newline()
    }

    fn newline(&mut self) -> bool {
        let length = newline_length(self.rest());
        self.at += length;
        length > 0
    }

    /// Takes a comment, if one begins here.
    pub(super) fn comment(&mut self) -> Read<()> {
        if !self.take(b'#') {
            return Ok(());
        }
        self.skip_while(is_text);
        if self.ahead().is_none() || newline_length(self.rest()) > 0 {
            return Ok(());
        }
        Err(self.fault(self.at, "a comment holds a control character", "remove it"))
    }

    /// Skips what stands between values: blanks, comments and ends of lines.
    pub(super) fn skip_between(&mut self) -> Read<()> {
        loop {
            self.skip_blanks();
            self.comment()?;
            if !self.newline() {
                return Ok(());
            }
        }
    }

    /// A key, or a part of one that has dots.
    pub(super) fn key(&mut self) -> Read<Cow<'t, str>> {
        if matches!(self.ahead(), Some(b'"' | b'\'')) {
            return self.string(false);
        }
        let from = self.at;
        self.skip_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if from == self.at {
            let remedy = "write a name of letters, digits, _ and -, or put it in quotes";
            return Err(self.fault(from, "a key is missing", remedy));
        }
        Ok(Cow::Borrowed(self.since(from)))
    }

    /// A string in quotes; one in three quotes may go over many lines, where that is allowed.
    pub(super) fn string(&mut self, may_be_long: bool) -> Read<Cow<'t, str>> {
        let (from, quote) = (self.at, self.ahead().unwrap_or(b'"'));
        let is_long = may_be_long && self.quotes(quote) >= 3;
        self.at += if is_long { 3 } else { 1 };
        if is_long {
            self.newline();
        }
        let (mut said, mut plain_from) = (Cow::Borrowed(""), self.at);
        loop {
            match self.ahead() {
                Some(byte) if byte == quote => {
                    let quotes = if is_long { self.quotes(quote).min(5) } else { 1 };
                    // The last three end it.
                    let closing = if is_long { 3 } else { 1 };
                    self.at += quotes;
                    if quotes >= closing {
                        let end = self.at - closing;
                        append(&mut said, self.text.get(plain_from..end).unwrap_or_default());
                        return Ok(said);
                    }
                }
                Some(b'\\') if quote == b'"' => {
                    append(&mut said, self.since(plain_from));
                    self.escape(is_long, &mut said)?;
                    plain_from = self.at;
                }
                Some(byte) if is_text(byte) => self.at += 1,
                _ if is_long && self.newline() => {}
                None | Some(b'\n' | b'\r') => {
                    return Err(self.fault(from, "a quote is not closed", "close it"));
                }
                Some(_) => {
                    let remedy = "write it as \\u and four digits";
                    return Err(self.fault(self.at, "a string holds a control character", remedy));
                }
            }
        }
    }

    /// How many of these quotes follow.
    fn quotes(&self, quote: u8) -> usize {
        self.rest().bytes().take_while(|byte| *byte == quote).count()
    }

    /// What a backslash stands for.
    fn escape(&mut self, is_long: bool, said: &mut Cow<'t, str>) -> Read<()> {
        let from = self.at;
        let remedy = "write \\\\ for a backslash, or use '...'";
        self.at += 1;
        let letter = self.ahead();
        if is_long && letter.is_some_and(|byte| is_blank(byte) || matches!(byte, b'\n' | b'\r')) {
            return self.joined_line(from);
        }
        self.at += usize::from(letter.is_some_and(|byte| byte.is_ascii()));
        let digits = match letter {
            Some(b'x') => 2,
            Some(b'u') => 4,
            Some(b'U') => 8,
            _ => 0,
        };
        let meant = match letter {
            Some(b'b') => Some('\u{8}'),
            Some(b't') => Some('\t'),
            Some(b'n') => Some('\n'),
            Some(b'f') => Some('\u{c}'),
            Some(b'r') => Some('\r'),
            Some(b'e') => Some('\u{1b}'),
            Some(b'"') => Some('"'),
            Some(b'\\') => Some('\\'),
            _ => self.code(digits),
        };
        let meant =
            meant.ok_or_else(|| self.fault(from, "a backslash stands for nothing that is known", remedy))?;
        said.to_mut().push(meant);
        Ok(())
    }

    /// The character of so many hexadecimal digits.
    fn code(&mut self, digits: usize) -> Option<char> {
        let code = self.rest().get(..digits).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.at += digits;
        u32::from_str_radix(code, 16).ok().and_then(char::from_u32)
    }

    /// A backslash at the end of a line takes all space up to the next word away.
    fn joined_line(&mut self, from: usize) -> Read<()> {
        self.skip_blanks();
        if !self.newline() {
            let remedy = "write \\\\ for a backslash, or use '''...'''";
            return Err(self.fault(from, "a backslash stands for nothing that is known", remedy));
        }
        loop {
            self.skip_blanks();
            if !self.newline() {
                return Ok(());
            }
        }
    }

    /// A value without quotes.
    pub(super) fn scalar(&mut self) -> Read<Value<'t>> {
        let from = self.at;
        self.skip_while(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b']' | b'}' | b'#'));
        match self.since(from) {
            "true" => Ok(Value::Flag(true)),
            "false" => Ok(Value::Flag(false)),
            "" => Err(self.fault(from, "a value is missing", "write one")),
            text => match (integer(text), other_number(text)) {
                (Some(integer), _) => Ok(Value::Integer(integer)),
                (None, Some(number)) => Ok(number),
                (None, None) => {
                    Err(self.fault(from, "a value is no number, and not true or false", "put it in quotes"))
                }
            },
        }
    }
}

/// Adds to a string, which is borrowed as long as it has one piece.
fn append<'t>(said: &mut Cow<'t, str>, more: &'t str) {
    if said.is_empty() {
        *said = Cow::Borrowed(more);
    } else {
        said.to_mut().push_str(more);
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// What may stand in a comment or in a string.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn newline_length(text: &str) -> usize {
    match text.as_bytes() {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    }
}

/// A whole number. A decimal one may have a sign, and begins with no zero.
fn integer(text: &str) -> Option<Integer<'_>> {
    let radix = match text.as_bytes() {
        [b'0', b'x', ..] => 16,
        [b'0', b'o', ..] => 8,
        [b'0', b'b', ..] => 2,
        _ => 10,
    };
    let digits = if radix == 10 { text } else { text.get(2..)? };
    let unsigned = if radix == 10 { digits.strip_prefix(['+', '-']).unwrap_or(digits) } else { digits };
    let is_good = unsigned
        .split('_')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| char::from(byte).is_digit(radix)));
    if !is_good || (radix == 10 && unsigned.len() > 1 && unsigned.starts_with('0')) {
        return None;
    }
    let digits = match digits.contains('_') {
        true => Cow::Owned(digits.split('_').collect()),
        false => Cow::Borrowed(digits),
    };
    Some(Integer { digits, radix })
}

/// A number with a fraction, or a date. No key takes one, so that it need not be a good one.
fn other_number(text: &str) -> Option<Value<'static>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_numeric = |byte: u8| byte.is_ascii_digit() || b"_+-.:eETtZz".contains(&byte);
    if matches!(unsigned, "inf" | "nan") {
        return Some(Value::Fraction);
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit()) || !unsigned.bytes().all(is_numeric) {
        return None;
    }
    // 1979-05-27 and 07:32: no number has its first sign there.
    let is_date = matches!(unsigned.as_bytes(), [_, _, b':', ..] | [_, _, _, _, b'-', ..]);
    let has_fraction = unsigned.contains(['.', 'e', 'E']);
    if is_date { Some(Value::Date) } else { has_fraction.then_some(Value::Fraction) }
}
