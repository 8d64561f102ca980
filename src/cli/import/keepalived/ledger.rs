//! Which lines there are, and what became of each. A line that both nodes read has one entry.

use std::collections::BTreeMap;
use std::fmt;

use crate::cli::import::report::Fate;
use crate::settings::shorten;

/// Where a statement stands: the number of its file, its line counted from 1, and its number within that
/// line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    /// In the order in which files were opened.
    pub file: usize,
    /// The line.
    pub line: usize,
    /// Several statements may stand in a line.
    pub part: usize,
}

/// One statement, or a block that is reported as a whole.
#[derive(Debug)]
struct Entry {
    /// The last line of it.
    end: usize,
    text: String,
    fates: Vec<Fate>,
}

/// All statements, in the order of the files.
#[derive(Default, Debug)]
pub struct Ledger {
    /// What the files are called.
    pub names: Vec<String>,
    entries: BTreeMap<Key, Entry>,
}

impl Ledger {
    /// A statement is there; something has to be said of it before the end.
    pub fn open(&mut self, at: Key, text: &str) {
        let new = || Entry { end: at.line, text: text.to_string(), fates: Vec::new() };
        self.entries.entry(at).or_insert_with(new);
    }

    /// The statement goes on to line `end`; its fate holds for all of its lines.
    pub fn extend(&mut self, at: Key, end: usize) {
        self.entries.entry(at).and_modify(|entry| entry.end = end);
    }

    /// Whether a statement has no fate yet.
    pub fn is_open(&self, at: Key) -> bool {
        self.entries.get(&at).is_some_and(|entry| entry.fates.is_empty())
    }

    /// Notes a fate of a statement, once if it is the same for both nodes.
    pub fn say(&mut self, at: Key, fate: Fate) {
        self.entries.entry(at).and_modify(|entry| {
            if !entry.fates.contains(&fate) {
                entry.fates.push(fate);
            }
        });
    }

    /// Drops the fates of a statement.
    pub fn forget(&mut self, at: Key) {
        self.entries.entry(at).and_modify(|entry| entry.fates.clear());
    }

    /// Taken over.
    pub fn taken(&mut self, at: Key, note: impl Into<String>) {
        self.say(at, Fate::Taken(note.into()));
    }

    /// Replaced.
    pub fn replaced(&mut self, at: Key, note: impl Into<String>) {
        self.say(at, Fate::Replaced(note.into()));
    }

    /// Cannot be had.
    pub fn lost(&mut self, at: Key, note: impl Into<String>) {
        self.say(at, Fate::Lost(note.into()));
    }

    /// Without an object here.
    pub fn meaningless(&mut self, at: Key, note: impl Into<String>) {
        self.say(at, Fate::Meaningless(note.into()));
    }

    /// A later one sets the same.
    pub fn overridden(&mut self, at: Key, by: Key) {
        self.say(
            at,
            match at.file == by.file {
                true => Fate::Overridden(by.line),
                false => {
                    Fate::Replaced(format!("{}, which is read later and counts", self.place(by, by.line)))
                }
            },
        );
    }

    /// `keepalived.conf:7`
    pub fn place(&self, at: Key, end: usize) -> String {
        let file = self.names.get(at.file).map_or("?", String::as_str);
        if end > at.line { format!("{file}:{}-{end}", at.line) } else { format!("{file}:{}", at.line) }
    }

    /// Statements without a fate, which is a bug.
    pub fn forgotten(&self) -> Vec<String> {
        let open = self.entries.iter().filter(|(_, entry)| entry.fates.is_empty());
        open.map(|(at, entry)| format!("{} {}", self.place(*at, entry.end), entry.text)).collect()
    }

    /// Whether a line has an entry.
    pub fn has(&self, file: usize, line: usize) -> bool {
        self.entries.iter().any(|(at, entry)| at.file == file && (at.line..=entry.end).contains(&line))
    }

    /// The heaviest fate of each statement, for counting.
    pub fn worst(&self) -> Vec<Fate> {
        let weight = |fate: &&Fate| match fate {
            Fate::Lost(_) => 4,
            Fate::Replaced(_) => 3,
            Fate::Taken(_) => 2,
            Fate::Overridden(_) => 1,
            Fate::Meaningless(_) => 0,
        };
        self.entries.values().filter_map(|entry| entry.fates.iter().max_by_key(weight).cloned()).collect()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Entry { end, text, fates }) in &self.entries {
            writeln!(f, "{}: {}", self.place(*at, *end), shorten(text))?;
            fates.iter().try_for_each(|fate| writeln!(f, "    {fate}"))?;
        }
        Ok(())
    }
}
