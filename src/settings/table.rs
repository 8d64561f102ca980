//! A TOML table with its name and place, read key by key; whatever is wrong goes into the report.

use std::ops::RangeInclusive;

use crosswire::time::Span;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Report, quote, shorten};
use super::values::{nearest, parse_span};
use crate::gather::Gather;

/// A value and where it stands, as a byte offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct At<T> {
    /// Byte offset of the value.
    pub(super) at: usize,
    /// The value.
    pub(super) value: T,
}

impl<T> At<T> {
    /// The same place, another value.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At { at: self.at, value: change(self.value) }
    }
}

/// A table.
#[derive(Clone)]
pub(super) struct Table<'t> {
    /// Its name in messages: `[serial]`; empty for the top of the file.
    pub(super) name: String,
    /// Byte offset of its header.
    pub(super) at: usize,
    map: &'t DeTable<'t>,
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
    pub(super) fn root(map: &'t DeTable<'t>) -> Self {
        Self { name: String::new(), at: 0, map }
    }

    /// The value of `key`, whatever its type.
    fn find(&self, key: &str) -> Option<At<&'t DeValue<'t>>> {
        self.map.get(key).map(located)
    }

    /// Whether `key` is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Where `key` stands, or the table if it is not there.
    pub(super) fn place_of(&self, key: &str) -> usize {
        self.map.get_key_value(key).map_or(self.at, |(key, _)| key.span().start)
    }

    /// `of [serial]`, `at the top of the file`: for messages.
    fn of(&self) -> String {
        if self.name.is_empty() { "at the top of the file".to_string() } else { format!("in {}", self.name) }
    }

    /// Reports every key that is not in `known`, with the nearest one that is.
    pub(super) fn refuse_unknown(&self, known: &[&str], report: &mut Report<'_>) {
        #[cfg(test)]
        self.note("", Reading::Known(known.iter().map(|key| (*key).to_owned()).gather()));
        for (key, _) in self.map {
            let word = key.get_ref().as_ref();
            if known.contains(&word) {
                continue;
            }
            let what = format!("unknown key {} {}", quote(word), self.of());
            match nearest(word, known) {
                Some(near) => report.add(key.span().start, what, format_args!("did you mean \"{near}\"?")),
                None => report.add(key.span().start, what, format_args!("known here: {}", known.join(", "))),
            }
        }
    }

    /// All entries, each of which should be a table: `[node.gw1]`, `[node.gw2]`.
    pub(super) fn named_tables(&self, key: &str, report: &mut Report<'_>) -> Vec<At<(&'t str, Table<'t>)>> {
        let Some(outer) = self.table(key, report) else { return Vec::new() };
        let mut tables = Vec::new();
        for (name, value) in outer.map {
            let (at, text) = (name.span().start, name.get_ref().as_ref());
            match value.get_ref() {
                DeValue::Table(map) => {
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
            DeValue::Table(map) => Some(Table { name: format!("[{key}]"), at, map }),
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
        let DeValue::Array(array) = found.value else {
            return self.table(key, report).into_iter().gather();
        };
        let mut tables = Vec::new();
        for element in array.iter() {
            match located(element) {
                At { at, value: DeValue::Table(map) } => {
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

    fn string(&self, key: &str, found: At<&'t DeValue<'t>>, report: &mut Report<'_>) -> Option<At<&'t str>> {
        match found.value {
            DeValue::String(text) => Some(At { at: found.at, value: text.as_ref() }),
            other => {
                let what = format!("\"{key}\" {} is {}, not a string", self.of(), type_of(other));
                report.add(found.at, what, "put it in quotes");
                None
            }
        }
    }

    /// Whether `key` is exactly this string.
    pub(super) fn is_text(&self, key: &str, text: &str) -> bool {
        matches!(self.find(key), Some(At { value: DeValue::String(found), .. }) if found == text)
    }

    /// An array of strings, or a single string for an array of one; empty if it is not there.
    pub(super) fn texts(&self, key: &str, report: &mut Report<'_>) -> Vec<At<&'t str>> {
        #[cfg(test)]
        self.note(key, Reading::Texts);
        match self.find(key) {
            None => Vec::new(),
            Some(At { value: DeValue::Array(array), .. }) => {
                array.iter().filter_map(|element| self.string(key, located(element), report)).gather()
            }
            Some(found) => self.string(key, found, report).into_iter().gather(),
        }
    }

    /// All keys with their strings.
    pub(super) fn all_texts(&self, report: &mut Report<'_>) -> Vec<[At<&'t str>; 2]> {
        let mut all = Vec::new();
        for (key, value) in self.map {
            let name: &'t str = key.get_ref().as_ref();
            let text = self.string(name, located(value), report);
            all.extend(text.map(|text| [At { at: key.span().start, value: name }, text]));
        }
        all
    }

    /// An array of strings and tables, or a single one of them; empty if it is not there.
    pub(super) fn elements(&self, key: &str, report: &mut Report<'_>) -> Vec<Element<'t>> {
        #[cfg(test)]
        self.note(key, Reading::Elements);
        let all = match self.find(key) {
            None => Vec::new(),
            Some(At { value: DeValue::Array(array), .. }) => array.iter().map(located).gather(),
            Some(found) => vec![found],
        };
        let element = |found: At<&'t DeValue<'t>>| match found.value {
            DeValue::Table(map) => {
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
        let DeValue::Integer(integer) = found.value else {
            let what = format!("\"{key}\" {} is {}, not a number", self.of(), type_of(found.value));
            report.add(found.at, what, "write a whole number without quotes");
            return None;
        };
        let number =
            u32::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n));
        if number.is_none() {
            let what = format!("\"{key}\" {} is {}", self.of(), shorten(&integer.to_string()));
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
        let (value, what) = match found.value {
            DeValue::String(text) => {
                (parse_span(text), format!("\"{key}\" is {}, not a length of time", quote(text)))
            }
            other => (None, format!("\"{key}\" is {}, not a length of time", type_of(other))),
        };
        if value.is_none() {
            report.add(
                found.at,
                what,
                "write a number with its unit in quotes, as in \"100ms\", \"1.5s\" or \"10m\"",
            );
        }
        value.map(|value| At { at: found.at, value })
    }

    /// True or false; false if it is not there.
    pub(super) fn flag(&self, key: &str, usual: bool, report: &mut Report<'_>) -> bool {
        #[cfg(test)]
        self.note(key, Reading::Flag);
        match self.find(key) {
            None => usual,
            Some(At { value: DeValue::Boolean(flag), .. }) => *flag,
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

fn located<'t>(value: &'t Spanned<DeValue<'t>>) -> At<&'t DeValue<'t>> {
    At { at: value.span().start, value: value.get_ref() }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
