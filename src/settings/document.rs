//! From the text of a TOML file to its [`Tree`]. What cannot be read goes into a list of errors, and the rest
//! is read all the same.
//!
//! `toml_parser` finds the parts. They are put together as the crate `toml` does it, and a test holds this to
//! it; its own tree, values and errors do more than is needed here, and the router build has no room.

use std::borrow::Cow;
use std::mem::{replace, take};

use toml_parser::decoder::ScalarKind;
use toml_parser::parser::{Event, EventKind, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ParseError, Source, Span};

use super::tree::{Array, At, Entry, Integer, Tree, Value};

/// How deep values may lie in one another, and keys in one key.
const MAX_DEPTH: u32 = 80;
/// What the error says of a key, or of a table, that is there twice.
pub(super) const DUPLICATE: &str = "duplicate key";

/// A key, or a part of one that has dots.
struct Key<'t> {
    name: Cow<'t, str>,
    span: Span,
}

impl<'t> Key<'t> {
    /// The name and where it stands.
    fn placed(&self) -> At<Cow<'t, str>> {
        At { at: self.span.start(), value: self.name.clone() }
    }

    /// What is wrong with it.
    fn error(&self, what: impl Into<Cow<'static, str>>) -> ParseError {
        ParseError::new(what).with_unexpected(self.span)
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
    /// `None` if it could not be read.
    name: Option<FullKey<'t>>,
    at: usize,
    is_array: bool,
}

/// Reads a whole file: all that can be read of it, and everything that is wrong with the rest.
pub(super) fn parse(text: &str) -> (Tree<'_>, Vec<ParseError>) {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut events: Vec<Event> = Vec::with_capacity(tokens.len());
    let mut errors: Vec<ParseError> = Vec::new();
    let mut strict = ValidateWhitespace::new(&mut events, source);
    parse_document(&tokens, &mut RecursionGuard::new(&mut strict, MAX_DEPTH), &mut errors);
    let root = Builder { events: &events, source, errors: &mut errors }.document();
    (root, errors)
}

/// What has not been put into the tree yet.
struct Builder<'e, 't> {
    events: &'e [Event],
    source: Source<'t>,
    errors: &'e mut Vec<ParseError>,
}

impl<'t> Builder<'_, 't> {
    fn next(&mut self) -> Option<Event> {
        let (event, rest) = self.events.split_first()?;
        self.events = rest;
        Some(*event)
    }

    fn kind_ahead(&self, index: usize) -> Option<EventKind> {
        self.events.get(index).map(Event::kind)
    }

    fn skip_space(&mut self) {
        if self.kind_ahead(0) == Some(EventKind::Whitespace) {
            self.next();
        }
    }

    fn document(&mut self) -> Tree<'t> {
        let (mut root, mut table, mut header) = (Tree::default(), Tree::default(), None);
        while let Some(event) = self.next() {
            match event.kind() {
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                    self.finish_table(&mut root, take(&mut table), header.take());
                    let next = self.header(event);
                    table = self.start_table(&mut root, &next);
                    header = Some(next);
                }
                EventKind::SimpleKey => {
                    let Some(key) = self.key(event) else { break };
                    self.skip_space();
                    if self.next().is_none_or(|event| event.kind() != EventKind::KeyValSep) {
                        break;
                    }
                    self.skip_space();
                    let value = self.value();
                    self.enter(&mut table, &key, value);
                }
                _ => {}
            }
        }
        self.finish_table(&mut root, table, header);
        root
    }

    fn header(&mut self, open: Event) -> Header<'t> {
        let is_array = open.kind() == EventKind::ArrayTableOpen;
        let mut name = None;
        while let Some(event) = self.next() {
            match event.kind() {
                EventKind::ArrayTableClose | EventKind::StdTableClose => break,
                EventKind::SimpleKey => name = self.key(event),
                _ => {}
            }
        }
        Header { name, at: open.span().start(), is_array }
    }

    /// The table that a header begins: a new one, or one that had only been named by longer names.
    fn start_table(&mut self, root: &mut Tree<'t>, header: &Header<'t>) -> Tree<'t> {
        let Some(FullKey { path, last }) = header.name.as_ref().filter(|_| !header.is_array) else {
            return Tree::default();
        };
        let Some(parent) = self.descend(root, path, By::Header) else { return Tree::default() };
        let Ok(index) = parent.position(&last.name) else { return Tree::default() };
        let old = parent.entries.remove(index).value.value;
        if !matches!(&old, Value::Table(table) if table.is_implicit && !table.is_dotted) {
            self.errors.push(last.error(DUPLICATE));
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
        let Some(FullKey { path, last }) = name else { return };
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
            _ => self.errors.push(last.error(DUPLICATE)),
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
            let value = table.value_or(key.placed(), At { at: key.span.start(), value: new });
            table = match inner(value, by) {
                Ok(table) => table,
                Err(what) => {
                    self.errors.push(key.error(what));
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
            _ => self.errors.push(key.error(DUPLICATE)),
        }
    }

    /// A key of which the first part has been read; `None` if it has too many parts.
    fn key(&mut self, first: Event) -> Option<FullKey<'t>> {
        let mut path = Vec::new();
        let mut last = self.part(first);
        while self.is_key_continued() {
            while self.kind_ahead(0).is_some_and(|kind| kind != EventKind::SimpleKey) {
                self.next();
            }
            let Some(event) = self.next() else { break };
            path.push(replace(&mut last, self.part(event)));
        }
        if path.len() >= MAX_DEPTH as usize {
            self.errors.push(ParseError::new("recursion limit"));
            return None;
        }
        Some(FullKey { path, last })
    }

    /// Whether a dot follows.
    fn is_key_continued(&self) -> bool {
        let dot = usize::from(self.kind_ahead(0) == Some(EventKind::Whitespace));
        self.kind_ahead(dot) == Some(EventKind::KeySep)
    }

    fn part(&mut self, event: Event) -> Key<'t> {
        let mut name = Cow::Borrowed("");
        if let Some(raw) = self.source.get(event) {
            raw.decode_key(&mut name, self.errors);
        }
        Key { name, span: event.span() }
    }

    fn value(&mut self) -> At<Value<'t>> {
        let event = self.next().filter(|event| is_value(event.kind()));
        let nothing = Value::Integer(Integer { digits: Cow::Borrowed("0"), radix: 10 });
        event.map_or(At { at: 0, value: nothing }, |event| self.value_from(event))
    }

    fn value_from(&mut self, event: Event) -> At<Value<'t>> {
        let value = match event.kind() {
            EventKind::ArrayOpen => self.array(),
            EventKind::InlineTableOpen => self.inline_table(),
            _ => self.scalar(event),
        };
        At { at: event.span().start(), value }
    }

    fn scalar(&mut self, event: Event) -> Value<'t> {
        let mut text = Cow::Borrowed("");
        let Some(raw) = self.source.get(event) else { return Value::Text(text) };
        match raw.decode_scalar(&mut text, self.errors) {
            ScalarKind::String => Value::Text(text),
            ScalarKind::Boolean(flag) => Value::Flag(flag),
            ScalarKind::Integer(radix) => Value::Integer(Integer { digits: text, radix: radix.value() }),
            ScalarKind::Float => Value::Fraction,
            // No key takes one: whether there is such a day does not matter.
            ScalarKind::DateTime => Value::Date,
        }
    }

    fn array(&mut self) -> Value<'t> {
        let (mut elements, mut current) = (Vec::new(), None);
        while let Some(event) = self.next() {
            match event.kind() {
                kind if is_value(kind) => current = Some(self.value_from(event)),
                EventKind::ValueSep => elements.extend(current.take()),
                EventKind::ArrayClose => {
                    elements.extend(current.take());
                    break;
                }
                kind if is_between(kind) => {}
                _ => break,
            }
        }
        Value::Array(Array { elements, is_of_tables: false })
    }

    fn inline_table(&mut self) -> Value<'t> {
        let mut table = Tree { is_inline: true, ..Tree::default() };
        let (mut current_key, mut current) = (None, None);
        while let Some(event) = self.next() {
            match event.kind() {
                kind if is_value(kind) => current = Some(self.value_from(event)),
                EventKind::SimpleKey => current_key = self.key(event).or(current_key),
                kind @ (EventKind::ValueSep | EventKind::InlineTableClose) => {
                    if let (Some(key), Some(value)) = (current_key.take(), current.take()) {
                        self.enter_inline(&mut table, &key, value);
                    }
                    if kind == EventKind::InlineTableClose {
                        break;
                    }
                }
                kind if kind == EventKind::KeyValSep || is_between(kind) => {}
                _ => break,
            }
        }
        Value::Table(table)
    }
}

/// Whether a value begins here.
fn is_value(kind: EventKind) -> bool {
    matches!(kind, EventKind::InlineTableOpen | EventKind::ArrayOpen | EventKind::Scalar)
}

/// What says nothing between values: spaces, comments, and what has been reported already.
fn is_between(kind: EventKind) -> bool {
    matches!(kind, EventKind::Error | EventKind::Whitespace | EventKind::Comment | EventKind::Newline)
}

/// The table that a value is, or the newest one of an array of tables; else why nothing can be added to it.
fn inner<'r, 't>(value: &'r mut Value<'t>, by: By) -> Result<&'r mut Tree<'t>, Cow<'static, str>> {
    let (is_dotted, is_inline) = (by != By::Header, by == By::KeyInBraces);
    let kind = match value {
        Value::Table(table) if table.is_inline && !is_inline => "inline table",
        Value::Table(table) => {
            if is_dotted && !table.is_implicit {
                return Err(Cow::Borrowed(DUPLICATE));
            }
            table.is_dotted |= is_dotted;
            return Ok(table);
        }
        Value::Array(array) if array.is_of_tables && !is_inline => {
            match array.elements.last_mut().map(|last| &mut last.value) {
                Some(Value::Table(table)) => return Ok(table),
                _ => "array",
            }
        }
        Value::Array(_) => "array",
        Value::Text(_) => "string",
        Value::Integer(_) => "integer",
        Value::Fraction => "float",
        Value::Flag(_) => "boolean",
        Value::Date => "datetime",
    };
    Err(Cow::Owned(format!("cannot extend value of type {kind} with a dotted key")))
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
