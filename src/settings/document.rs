//! From the text of a TOML file to its [`Tree`]. What cannot be read goes into a list of faults, and the rest
//! is read all the same.
//!
//! A file is read as the crate `toml` reads it, and a test holds this to it. That crate, and the parser below
//! it, do more than is needed here, and the router build has no room.

use std::borrow::Cow;
use std::mem::{replace, take};

use super::scan::{Fault, Read, Scanner};
use super::tree::{Array, At, Entry, Tree, Value};

/// How deep values may lie in one another, and keys in one key.
const MAX_DEPTH: usize = 80;
/// What is said of a key, or of a table, that is there twice.
pub(super) const DUPLICATE: &str = "duplicate key";

/// A key, or a part of one that has dots.
struct Key<'t> {
    name: Cow<'t, str>,
    at: usize,
    end: usize,
}

impl<'t> Key<'t> {
    /// The name and where it stands.
    fn placed(&self) -> At<Cow<'t, str>> {
        At { at: self.at, value: self.name.clone() }
    }

    /// What is wrong with it.
    fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, end: self.end, what, remedy: "give it another name" }
    }
}

/// What names a table that lies in others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Header,
    Key,
    KeyInBraces,
}

/// A key with the tables that it lies in.
struct FullKey<'t> {
    path: Vec<Key<'t>>,
    last: Key<'t>,
}

/// `[name]` or `[[name]]`.
struct Header<'t> {
    name: FullKey<'t>,
    at: usize,
    is_array: bool,
}

/// Reads a whole file: all that can be read of it, and everything that is wrong with the rest.
pub(super) fn parse(text: &str) -> (Tree<'_>, Vec<Fault>) {
    let mut reader = Reader { scanner: Scanner::new(text), depth: 0, faults: Vec::new() };
    let root = reader.document();
    (root, reader.faults)
}

/// A file that is being read.
struct Reader<'t> {
    scanner: Scanner<'t>,
    /// How many arrays and tables in braces are open.
    depth: usize,
    faults: Vec<Fault>,
}

impl<'t> Reader<'t> {
    fn document(&mut self) -> Tree<'t> {
        let (mut root, mut table, mut header) = (Tree::default(), Tree::default(), None);
        let mut is_lost = false;
        while self.scanner.ahead().is_some() {
            let line = self.line(&mut root, &mut table, &mut header);
            // What follows a line that cannot be read may belong to it.
            is_lost = match line {
                Ok(()) => false,
                Err(fault) => {
                    if !is_lost {
                        self.faults.push(fault);
                    }
                    self.scanner.skip_line();
                    self.scanner.end_of_line();
                    true
                }
            };
        }
        self.finish_table(&mut root, table, header);
        root
    }

    /// A header, a key with its value, or nothing; then the end of the line.
    fn line(
        &mut self,
        root: &mut Tree<'t>,
        table: &mut Tree<'t>,
        header: &mut Option<Header<'t>>,
    ) -> Read<()> {
        self.scanner.skip_blanks();
        let at = self.scanner.at();
        if self.scanner.take(b'[') {
            self.finish_table(root, take(table), header.take());
            let next = self.header(at)?;
            *table = self.start_table(root, &next);
            *header = Some(next);
        } else if !matches!(self.scanner.ahead(), None | Some(b'#' | b'\r' | b'\n')) {
            let (key, value) = self.pair()?;
            self.enter(table, &key, value);
        }
        self.scanner.skip_blanks();
        self.scanner.comment()?;
        if self.scanner.end_of_line() {
            return Ok(());
        }
        let at = self.scanner.at();
        self.scanner.skip_line();
        Err(self.scanner.fault(at, "the line goes on after its end", "one key and one value make a line"))
    }

    fn header(&mut self, at: usize) -> Read<Header<'t>> {
        let is_array = self.scanner.take(b'[');
        let close = if is_array { "close it with ]]" } else { "close it with ]" };
        self.scanner.skip_blanks();
        let name = self.key()?;
        for _ in 0..if is_array { 2 } else { 1 } {
            self.scanner.expect(b']', "a table's name is not closed", close)?;
        }
        Ok(Header { name, at, is_array })
    }

    /// A key and its value.
    fn pair(&mut self) -> Read<(FullKey<'t>, At<Value<'t>>)> {
        let key = self.key()?;
        self.scanner.expect(b'=', "a key has no value", "write KEY = VALUE")?;
        self.scanner.skip_blanks();
        Ok((key, self.value()?))
    }

    /// The table that a header begins: a new one, or one that had only been named by longer names.
    fn start_table(&mut self, root: &mut Tree<'t>, header: &Header<'t>) -> Tree<'t> {
        let FullKey { path, last } = &header.name;
        if header.is_array {
            return Tree::default();
        }
        let Some(parent) = self.descend(root, path, By::Header) else { return Tree::default() };
        let Ok(index) = parent.position(&last.name) else { return Tree::default() };
        let old = parent.entries.remove(index).value.value;
        if !matches!(&old, Value::Table(table) if table.is_implicit && !table.is_dotted) {
            self.faults.push(last.fault(DUPLICATE));
        }
        let Value::Table(table) = old else { return Tree::default() };
        Tree { is_implicit: false, is_dotted: false, ..table }
    }

    /// Puts a table, which ends here, where its header says. What stands before the first header is the root.
    fn finish_table(&mut self, root: &mut Tree<'t>, table: Tree<'t>, header: Option<Header<'t>>) {
        let Some(Header { name, at, is_array }) = header else {
            *root = table;
            return;
        };
        let FullKey { path, last } = name;
        let Some(parent) = self.descend(root, &path, By::Header) else { return };
        let table = At { at, value: Value::Table(table) };
        if !is_array {
            match parent.position(&last.name) {
                Ok(index) => parent.entries[index].value = table,
                Err(index) => parent.entries.insert(index, Entry { key: last.placed(), value: table }),
            }
            return;
        }
        let new = At { at, value: Value::Array(Array { elements: Vec::new(), is_of_tables: true }) };
        match parent.value_or(last.placed(), new) {
            Value::Array(array) if array.is_of_tables => array.elements.push(table),
            _ => self.faults.push(last.fault(DUPLICATE)),
        }
    }

    /// The table that a path leads to from a table; it is made where there is none.
    fn descend<'r>(
        &mut self,
        mut table: &'r mut Tree<'t>,
        path: &[Key<'t>],
        by: By,
    ) -> Option<&'r mut Tree<'t>> {
        let (is_dotted, is_inline) = (by != By::Header, by == By::KeyInBraces);
        for key in path {
            let new = Value::Table(Tree { is_implicit: true, is_dotted, is_inline, ..Tree::default() });
            let value = table.value_or(key.placed(), At { at: key.at, value: new });
            table = match inner(value, by) {
                Ok(table) => table,
                Err(what) => {
                    self.faults.push(key.fault(what));
                    return None;
                }
            };
        }
        Some(table)
    }

    /// Puts a value into a table that a header has begun.
    fn enter(&mut self, table: &mut Tree<'t>, key: &FullKey<'t>, value: At<Value<'t>>) {
        let is_dotted = !key.path.is_empty();
        let Some(parent) = self.descend(table, &key.path, By::Key) else { return };
        let is_mixed = is_dotted && !parent.is_implicit;
        self.insert(parent, &key.last, value, is_mixed);
    }

    /// Puts a value into a table in braces.
    fn enter_inline(&mut self, table: &mut Tree<'t>, key: &FullKey<'t>, value: At<Value<'t>>) {
        let Some(parent) = self.descend(table, &key.path, By::KeyInBraces) else { return };
        let is_mixed = parent.is_dotted == key.path.is_empty();
        self.insert(parent, &key.last, value, is_mixed);
    }

    fn insert(&mut self, parent: &mut Tree<'t>, key: &Key<'t>, value: At<Value<'t>>, is_mixed: bool) {
        match parent.position(&key.name) {
            Err(index) if !is_mixed => parent.entries.insert(index, Entry { key: key.placed(), value }),
            _ => self.faults.push(key.fault(DUPLICATE)),
        }
    }

    /// A key, with the blanks behind it.
    fn key(&mut self) -> Read<FullKey<'t>> {
        let (at, mut path) = (self.scanner.at(), Vec::new());
        let mut last = self.part()?;
        while self.scanner.take(b'.') {
            self.scanner.skip_blanks();
            path.push(replace(&mut last, self.part()?));
        }
        if path.len() >= MAX_DEPTH { Err(self.too_deep(at)) } else { Ok(FullKey { path, last }) }
    }

    fn part(&mut self) -> Read<Key<'t>> {
        let at = self.scanner.at();
        let name = self.scanner.key()?;
        let end = self.scanner.at();
        self.scanner.skip_blanks();
        Ok(Key { name, at, end })
    }

    fn too_deep(&self, at: usize) -> Fault {
        self.scanner.fault(at, "this lies too deep", "no key of this file lies in more than four others")
    }

    fn value(&mut self) -> Read<At<Value<'t>>> {
        let at = self.scanner.at();
        let value = match self.scanner.ahead() {
            Some(b'"' | b'\'') => Value::Text(self.scanner.string(true)?),
            Some(open @ (b'[' | b'{')) => {
                if self.depth >= MAX_DEPTH {
                    return Err(self.too_deep(at));
                }
                self.depth += 1;
                self.scanner.take(open);
                let value = if open == b'[' { self.array() } else { self.inline_table() };
                self.depth -= 1;
                value?
            }
            _ => self.scanner.scalar()?,
        };
        Ok(At { at, value })
    }

    fn array(&mut self) -> Read<Value<'t>> {
        let mut elements = Vec::new();
        while !self.closes(b']')? {
            elements.push(self.value()?);
            self.separates(
                b']',
                "an array is not closed",
                "put , between its elements and ] after the last",
            )?;
        }
        Ok(Value::Array(Array { elements, is_of_tables: false }))
    }

    fn inline_table(&mut self) -> Read<Value<'t>> {
        let mut table = Tree { is_inline: true, ..Tree::default() };
        while !self.closes(b'}')? {
            let (key, value) = self.pair()?;
            self.enter_inline(&mut table, &key, value);
            self.separates(
                b'}',
                "a table in braces is not closed",
                "put , between its keys and } after the last",
            )?;
        }
        Ok(Value::Table(table))
    }

    /// The end comes next.
    fn closes(&mut self, close: u8) -> Read<bool> {
        self.scanner.skip_between()?;
        Ok(self.scanner.take(close))
    }

    /// A comma comes next, or the end, which is left for [`Self::closes`].
    fn separates(&mut self, close: u8, what: &'static str, remedy: &'static str) -> Read<()> {
        self.scanner.skip_between()?;
        if self.scanner.ahead() == Some(close) { Ok(()) } else { self.scanner.expect(b',', what, remedy) }
    }
}

/// The table that a value is, or the newest one of an array of tables; else why nothing can be added to it.
fn inner<'r, 't>(value: &'r mut Value<'t>, by: By) -> Result<&'r mut Tree<'t>, &'static str> {
    let (is_dotted, is_inline) = (by != By::Header, by == By::KeyInBraces);
    match value {
        Value::Table(table) if table.is_inline && !is_inline => Err("is a table that its brace has closed"),
        Value::Table(table) if is_dotted && !table.is_implicit => Err(DUPLICATE),
        Value::Table(table) => {
            table.is_dotted |= is_dotted;
            Ok(table)
        }
        Value::Array(array) if array.is_of_tables && !is_inline => {
            match array.elements.last_mut().map(|last| &mut last.value) {
                Some(Value::Table(table)) => Ok(table),
                _ => Err(NO_TABLE),
            }
        }
        Value::Array(_)
        | Value::Text(_)
        | Value::Integer(_)
        | Value::Fraction
        | Value::Flag(_)
        | Value::Date => Err(NO_TABLE),
    }
}

/// Said of a key below something that holds no keys.
const NO_TABLE: &str = "has a value, and cannot be a table too";

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
