//! A TOML table with its name and place, read key by key; whatever is wrong goes into the report.

use std::ops::RangeInclusive;

use crosswire::time::Span;

use super::error::{Report, quote, shorten};
pub(super) use super::tree::At;
use super::tree::{Entry, Integer, Tree, Value};
use super::values::{longest_instead_of, nearest, parse_span};
use crate::gather::Gather;

/// A table.
#[derive(Clone)]
pub(super) struct Table<'t> {
    /// Its name in messages: `[serial]`; empty for the top of the file.
    pub(super) name: String,
    /// Byte offset of its header.
    pub(super) at: usize,
    map: &'t Tree<'t>,
}

/// An element of a list: a string, or a table that says more.
pub(super) enum Element<'t> {
    /// A string.
    Text(At<&'t str>),
    /// A table.
    Table(Table<'t>),
}

impl Element<'_> {
    /// Its byte offset.
    pub(super) fn at(&self) -> usize {
        match self {
            Self::Text(text) => text.at,
            Self::Table(table) => table.at,
        }
    }
}

/// How a key was read, for the test that holds the schema of the file to it.
#[cfg(test)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// The keys that a table may have.
    Known(Vec<String>),
    /// A string.
    Text,
    /// A string, or several.
    Texts,
    /// Strings or tables.
    Elements,
    /// A number in this range.
    Number(u32, u32),
    /// A length of time.
    Span,
    /// True or false.
    Flag,
    /// A string, or true or false.
    TextOrFlag,
    /// One of these words.
    Choice(Vec<String>),
}

#[cfg(test)]
thread_local! {
    /// Table, key, and how it was read.
    pub(super) static READ: std::cell::RefCell<Vec<(String, String, Reading)>> = const {
        std::cell::RefCell::new(Vec::new())
    };
}

impl<'t> Table<'t> {
    #[cfg(test)]
    fn note(&self, key: &str, reading: Reading) {
        READ.with_borrow_mut(|read| read.push((self.name.clone(), key.to_owned(), reading)));
    }

    /// The top of the file.
    pub(super) fn root(map: &'t Tree<'t>) -> Self {
        Self { name: String::new(), at: 0, map }
    }

    /// The value of `key`, whatever its type.
    fn find(&self, key: &str) -> Option<At<&'t Value<'t>>> {
        self.map.get(key).map(|entry| located(&entry.value))
    }

    /// Whether `key` is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Where `key` stands, or the table if it is not there.
    pub(super) fn place_of(&self, key: &str) -> usize {
        self.map.get(key).map_or(self.at, |entry| entry.key.at)
    }

    /// `of [serial]`, `at the top of the file`: for messages.
    fn of(&self) -> String {
        if self.name.is_empty() { "at the top of the file".to_string() } else { format!("in {}", self.name) }
    }

    /// Reports every key that is not in `known`, with the nearest one that is.
    pub(super) fn refuse_unknown(&self, known: &[&str], report: &mut Report<'_>) {
        #[cfg(test)]
        self.note("", Reading::Known(known.iter().map(|key| (*key).to_owned()).gather()));
        for Entry { key: At { at, value: word }, .. } in &self.map.entries {
            let (at, word) = (*at, word.as_ref());
            if known.contains(&word) {
                continue;
            }
            let what = format!("unknown key {} {}", quote(word), self.of());
            match nearest(word, known) {
                Some(near) => report.add(at, what, format_args!("did you mean \"{near}\"?")),
                None => report.add(at, what, format_args!("known here: {}", known.join(", "))),
            }
        }
    }

    /// All entries, each of which should be a table: `[node.gw1]`, `[node.gw2]`.
    pub(super) fn named_tables(&self, key: &str, report: &mut Report<'_>) -> Vec<At<(&'t str, Table<'t>)>> {
        let Some(outer) = self.table(key, report) else { return Vec::new() };
        let mut tables = Vec::new();
        for Entry { key: name, value } in &outer.map.entries {
            let (at, text) = (name.at, name.value.as_ref());
            match &value.value {
                Value::Table(map) => {
                    let table = Table { name: format!("[{key}.{text}]"), at, map };
                    tables.push(At { at, value: (text, table) });
                }
                other => {
                    let what = format!("{key}.{} is {}, not a table", quote(text), type_of(other));
                    report.add(at, what, format_args!("write it as [{key}.NAME] with its keys below"));
                }
            }
        }
        tables
    }

    /// One table, if it is there.
    pub(super) fn table(&self, key: &str, report: &mut Report<'_>) -> Option<Table<'t>> {
        let at = self.place_of(key);
        match self.find(key)?.value {
            Value::Table(map) => Some(Table { name: format!("[{key}]"), at, map }),
            other => {
                let what = format!("\"{key}\" is {}, not a table", type_of(other));
                report.add(at, what, format_args!("write it as [{key}] with its keys below"));
                None
            }
        }
    }

    /// One table or an array of tables: `[serial]` or several `[[serial]]`.
    pub(super) fn tables(&self, key: &str, report: &mut Report<'_>) -> Vec<Table<'t>> {
        let Some(found) = self.find(key) else { return Vec::new() };
        let Value::Array(array) = found.value else {
            return self.table(key, report).into_iter().gather();
        };
        let mut tables = Vec::new();
        for element in array.elements.iter() {
            match located(element) {
                At { at, value: Value::Table(map) } => {
                    tables.push(Table { name: format!("[[{key}]]"), at, map })
                }
                At { at, value } => {
                    let what = format!("an element of \"{key}\" is {}, not a table", type_of(value));
                    report.add(at, what, format_args!("write each as [[{key}]] with its keys below"));
                }
            }
        }
        tables
    }

    /// A string.
    pub(super) fn text(&self, key: &str, report: &mut Report<'_>) -> Option<At<&'t str>> {
        #[cfg(test)]
        self.note(key, Reading::Text);
        self.string(key, self.find(key)?, report)
    }

    /// A string, or none for `true`; `false` is as if it were not there.
    pub(super) fn text_or_flag(&self, key: &str, report: &mut Report<'_>) -> Option<Option<At<&'t str>>> {
        #[cfg(test)]
        self.note(key, Reading::TextOrFlag);
        let found = self.find(key)?;
        match found.value {
            Value::Flag(flag) => flag.then_some(None),
            _ => self.string(key, found, report).map(Some),
        }
    }

    fn string(&self, key: &str, found: At<&'t Value<'t>>, report: &mut Report<'_>) -> Option<At<&'t str>> {
        match found.value {
            Value::Text(text) => Some(At { at: found.at, value: text.as_ref() }),
            other => {
                let what = format!("\"{key}\" {} is {}, not a string", self.of(), type_of(other));
                report.add(found.at, what, "put it in quotes");
                None
            }
        }
    }

    /// Whether `key` is exactly this string.
    pub(super) fn is_text(&self, key: &str, text: &str) -> bool {
        matches!(self.find(key), Some(At { value: Value::Text(found), .. }) if found == text)
    }

    /// An array of strings, or a single string for an array of one; empty if it is not there.
    pub(super) fn texts(&self, key: &str, report: &mut Report<'_>) -> Vec<At<&'t str>> {
        #[cfg(test)]
        self.note(key, Reading::Texts);
        match self.find(key) {
            None => Vec::new(),
            Some(At { value: Value::Array(array), .. }) => array
                .elements
                .iter()
                .filter_map(|element| self.string(key, located(element), report))
                .gather(),
            Some(found) => self.string(key, found, report).into_iter().gather(),
        }
    }

    /// All keys with their strings.
    pub(super) fn all_texts(&self, report: &mut Report<'_>) -> Vec<[At<&'t str>; 2]> {
        let mut all = Vec::new();
        for Entry { key, value } in &self.map.entries {
            let name: &'t str = key.value.as_ref();
            let text = self.string(name, located(value), report);
            all.extend(text.map(|text| [At { at: key.at, value: name }, text]));
        }
        all
    }

    /// An array of strings and tables, or a single one of them; empty if it is not there.
    pub(super) fn elements(&self, key: &str, report: &mut Report<'_>) -> Vec<Element<'t>> {
        #[cfg(test)]
        self.note(key, Reading::Elements);
        let all = match self.find(key) {
            None => Vec::new(),
            Some(At { value: Value::Array(array), .. }) => array.elements.iter().map(located).gather(),
            Some(found) => vec![found],
        };
        let element = |found: At<&'t Value<'t>>| match found.value {
            Value::Table(map) => {
                Some(Element::Table(Table { name: format!("an element of {key}"), at: found.at, map }))
            }
            _ => self.string(key, found, report).map(Element::Text),
        };
        all.into_iter().filter_map(element).gather()
    }

    /// A whole number within `range`.
    pub(super) fn number(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
        report: &mut Report<'_>,
    ) -> Option<At<u32>> {
        #[cfg(test)]
        self.note(key, Reading::Number(*range.start(), *range.end()));
        let found = self.find(key)?;
        let Value::Integer(integer) = found.value else {
            let what = format!("\"{key}\" {} is {}, not a number", self.of(), type_of(found.value));
            report.add(found.at, what, "write a whole number without quotes");
            return None;
        };
        let number = u32::from_str_radix(&integer.digits, integer.radix).ok().filter(|n| range.contains(n));
        if number.is_none() {
            let what = format!("\"{key}\" {} is {}", self.of(), shorten(&written(integer)));
            report.add(
                found.at,
                what,
                format_args!("write a number from {} to {}", range.start(), range.end()),
            );
        }
        number.map(|value| At { at: found.at, value })
    }

    /// A length of time.
    pub(super) fn span(&self, key: &str, report: &mut Report<'_>) -> Option<At<Span>> {
        #[cfg(test)]
        self.note(key, Reading::Span);
        let found = self.find(key)?;
        let (value, written, longest) = match found.value {
            Value::Text(text) => (parse_span(text), quote(text), longest_instead_of(text)),
            other => (None, type_of(other).to_string(), None),
        };
        match (value, longest) {
            (Some(_), _) => {}
            (None, Some(longest)) => report.add(
                found.at,
                format!("\"{key}\" is {written}, which is too long"),
                format_args!("write \"{longest}\" at most"),
            ),
            (None, None) => report.add(
                found.at,
                format!("\"{key}\" is {written}, not a length of time"),
                "write a number with its unit in quotes, as in \"100ms\", \"1.5s\" or \"10m\"",
            ),
        }
        value.map(|value| At { at: found.at, value })
    }

    /// True or false; false if it is not there.
    pub(super) fn flag(&self, key: &str, usual: bool, report: &mut Report<'_>) -> bool {
        #[cfg(test)]
        self.note(key, Reading::Flag);
        match self.find(key) {
            None => usual,
            Some(At { value: Value::Flag(flag), .. }) => *flag,
            Some(At { at, value }) => {
                let what = format!("\"{key}\" {} is {}, not true or false", self.of(), type_of(value));
                report.add(at, what, "write true or false without quotes");
                usual
            }
        }
    }

    /// One of a few words, each with its meaning.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        report: &mut Report<'_>,
    ) -> Option<At<T>> {
        #[cfg(test)]
        self.note(key, Reading::Choice(choices.iter().map(|(word, _)| (*word).to_owned()).gather()));
        let text = self.text(key, report)?;
        let found = choices.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).gather();
            let what = format!("\"{key}\" is {}", quote(text.value));
            report.add(text.at, what, format_args!("use {}", words.join(" or ")));
        }
        found.map(|(_, meaning)| At { at: text.at, value: *meaning })
    }
}

fn located<'t>(found: &'t At<Value<'t>>) -> At<&'t Value<'t>> {
    At { at: found.at, value: &found.value }
}

/// A whole number as it stands in the file, but for its underscores.
fn written(integer: &Integer<'_>) -> String {
    let prefix = match integer.radix {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    format!("{prefix}{}", integer.digits)
}

fn type_of(value: &Value<'_>) -> &'static str {
    match value {
        Value::Text(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Fraction => "a number with a fraction",
        Value::Flag(_) => "true or false",
        Value::Date => "a date",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
    }
}
