//! Lines as one node's keepalived sees them: without comments, with included files and definitions, without
//! lines for the other node (keepalived.conf(5); lib/parser.c of keepalived 2.2).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::glob;
use super::ledger::{Key, Ledger};
use crate::cli::import::read_bytes;
use crate::cli::import::report::Wrong;
use crate::settings::{ConfigError, is_name, shorten};

/// Most files of one node.
const MAX_FILES: usize = 64;
/// Most files that include each other.
const MAX_DEPTH: usize = 8;
/// Most lines of one node, definitions put in.
const MAX_LINES: usize = 20_000;
/// Longest line, definitions put in.
const MAX_LINE_BYTES: usize = 4_096;
/// Most definitions.
const MAX_DEFINITIONS: usize = 256;
/// Words that read another file; they differ in what is an error.
const INCLUDES: [&str; 6] = ["include", "includea", "includeb", "includem", "includer", "includew"];

/// What a node reads, line by line.
pub struct Line {
    /// Where it stands.
    pub at: Key,
    /// What it says.
    pub text: String,
}

/// All files that were opened so far, and what is wrong with them.
#[derive(Default)]
pub struct Sources {
    paths: Vec<PathBuf>,
    /// What is wrong.
    pub errors: Vec<ConfigError>,
    /// The names that stand behind an `@`.
    pub ids: BTreeSet<String>,
    /// Statements, and what became of them.
    pub ledger: Ledger,
    /// Lines that a node did not read, and for whom they are.
    left_out: Vec<(Key, String)>,
}

/// The reading of one node.
struct Reader<'s> {
    sources: &'s mut Sources,
    id: &'s str,
    lines: Vec<Line>,
    defined: Vec<(String, String)>,
    files: usize,
    /// The files that are being read, each included by the one before.
    stack: Vec<PathBuf>,
}

impl Sources {
    /// What the node named `id` reads of `file`; its name up to the first dot counts too.
    pub fn read(&mut self, file: &Path, id: &str) -> Vec<Line> {
        let mut reader =
            Reader { sources: self, id, lines: Vec::new(), defined: Vec::new(), files: 0, stack: Vec::new() };
        if let Err(wrong) = reader.file(file) {
            let error = ConfigError::new(file, None, wrong.0, wrong.1);
            reader.sources.errors.push(error);
        }
        reader.lines
    }

    /// Something is wrong with a line.
    pub fn fail(&mut self, at: Key, (what, remedy): Wrong) {
        let path = self.paths.get(at.file).map_or(Path::new("?"), PathBuf::as_path);
        self.errors.push(ConfigError::new(path, Some(at.line), what, remedy));
    }

    /// The path of a file.
    pub fn path(&self, file: usize) -> &Path {
        self.paths.get(file).map_or(Path::new("?"), PathBuf::as_path)
    }

    fn number_of(&mut self, path: &Path) -> usize {
        if let Some(known) = self.paths.iter().position(|known| known == path) {
            return known;
        }
        self.paths.push(path.to_path_buf());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Both nodes' files may have one name.
        let is_twin = self.ledger.names.contains(&name);
        self.ledger.names.push(if is_twin { path.display().to_string() } else { name });
        self.paths.len() - 1
    }

    /// Once all nodes are read: the lines that none of them reads.
    pub fn close(&mut self) {
        for (at, who) in std::mem::take(&mut self.left_out) {
            if !self.ledger.has(at.file, at.line) {
                self.ledger.open(at, &who);
                self.ledger.meaningless(at, "it is for neither of the two nodes");
            }
        }
    }
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) -> Result<(), Wrong> {
        let real = fs::canonicalize(path).map_err(|error| cannot_read(&error))?;
        if self.stack.contains(&real) {
            return Err((
                format!("includes itself: {}", path.display()),
                "take one include of the circle out",
            ));
        }
        if self.stack.len() == MAX_DEPTH || self.files == MAX_FILES {
            return Err((
                format!("more than {MAX_FILES} files, or {MAX_DEPTH} within each other"),
                "put them together",
            ));
        }
        let bytes = read_bytes(path).map_err(|error| cannot_read(&error))?;
        self.files += 1;
        let file = self.sources.number_of(path);
        self.stack.push(real);
        let mut definition: Option<(String, String)> = None;
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let at = Key { file, line, part: 0 };
            if let Err(wrong) = self.line(at, bytes, path, &mut definition) {
                self.sources.fail(at, wrong);
            }
        }
        self.stack.pop();
        Ok(())
    }

    fn line(
        &mut self,
        at: Key,
        bytes: &[u8],
        path: &Path,
        definition: &mut Option<(String, String)>,
    ) -> Result<(), Wrong> {
        let bytes = without_comment(bytes);
        let text =
            std::str::from_utf8(bytes).map_err(|_| ("is not UTF-8 text".to_string(), "write it in ASCII"))?;
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        if text.contains(|c: char| c.is_control() && c != '\t') {
            return Err(("holds what cannot be printed".to_string(), "write the line anew"));
        }
        if definition.is_some() {
            return self.go_on(at, text, definition);
        }
        let first = text.split_ascii_whitespace().next().unwrap_or_default();
        if INCLUDES.contains(&first) {
            return self.include(at, text, path);
        }
        let Some(text) = self.for_us(at, text)? else { return Ok(()) };
        if let Some((name, value)) = as_definition(text) {
            return self.begin(at, (name, value, text), definition);
        }
        let text = self.substituted(text)?;
        for (part, text) in (0..).zip(text.lines()) {
            if self.lines.len() == MAX_LINES {
                return Err((format!("more than {MAX_LINES} lines"), "a pair has no use for so many"));
            }
            // A statement's number within the line begins anew for each line of a definition.
            self.lines.push(Line { at: Key { part: part * 100, ..at }, text: text.to_string() });
        }
        Ok(())
    }

    /// The first line of a definition; where it ends in `\`, it goes on in the next one.
    fn begin(
        &mut self,
        at: Key,
        (name, value, text): (&str, &str, &str),
        definition: &mut Option<(String, String)>,
    ) -> Result<(), Wrong> {
        self.sources.ledger.open(at, text);
        self.sources.ledger.taken(at, "it is put in where it is used");
        let (value, goes_on) = value.strip_suffix('\\').map_or((value, false), |value| (value, true));
        let new = (name.to_string(), self.substituted(value.trim())?);
        if !goes_on {
            return self.define(new);
        }
        *definition = Some(new);
        Ok(())
    }

    /// A further line of it.
    fn go_on(&mut self, at: Key, text: &str, definition: &mut Option<(String, String)>) -> Result<(), Wrong> {
        self.sources.ledger.open(at, text);
        self.sources.ledger.taken(at, "it is put in where the definition is used");
        let (part, goes_on) = text.strip_suffix('\\').map_or((text, false), |part| (part, true));
        let part = self.substituted(part.trim())?;
        if let Some((_, value)) = definition {
            value.push('\n');
            value.push_str(&part);
            if value.len() > MAX_LINE_BYTES {
                *definition = None;
                return Err((format!("makes a definition longer than {MAX_LINE_BYTES} bytes"), "split it"));
            }
        }
        let done = if goes_on { None } else { definition.take() };
        done.map_or(Ok(()), |done| self.define(done))
    }

    fn define(&mut self, (name, value): (String, String)) -> Result<(), Wrong> {
        if self.defined.len() == MAX_DEFINITIONS {
            return Err((
                format!("more than {MAX_DEFINITIONS} definitions"),
                "write their values where they are used",
            ));
        }
        self.defined.retain(|(known, _)| *known != name);
        self.defined.push((name, value));
        Ok(())
    }

    /// What stands behind `@NAME` for that node, and behind `@^NAME` for all others.
    fn for_us<'t>(&mut self, at: Key, text: &'t str) -> Result<Option<&'t str>, Wrong> {
        let Some(condition) = text.strip_prefix('@') else { return Ok(Some(text)) };
        let (is_other, condition) =
            condition.strip_prefix('^').map_or((false, condition), |rest| (true, rest));
        let (name, rest) = condition.split_once([' ', '\t']).unwrap_or((condition, ""));
        if !is_name(name) {
            return Err((
                format!("\"@{}\" names no node", shorten(name)),
                "write @NAME or @^NAME, and a blank",
            ));
        }
        self.sources.ids.insert(name.to_string());
        let rest = rest.trim();
        if INCLUDES.contains(&rest.split_ascii_whitespace().next().unwrap_or_default()) {
            let what = "keepalived does not include a file behind a condition";
            return Err((
                what.to_string(),
                "take the condition into the included file, or the lines into this one",
            ));
        }
        let is_us = name == self.id || Some(name) == self.id.split('.').next();
        if is_us == is_other || rest.is_empty() {
            self.sources.left_out.push((at, text.to_string()));
            return Ok(None);
        }
        Ok(Some(rest))
    }

    /// With the values of `$NAME` and `${NAME}`.
    fn substituted(&self, text: &str) -> Result<String, Wrong> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, behind) = match after.strip_prefix('{') {
                Some(inner) => inner
                    .split_once('}')
                    .ok_or_else(|| ("has a ${ that is not closed".to_string(), "write ${NAME}"))?,
                None => after.split_at(after.find(|c: char| !is_of_name(c)).unwrap_or(after.len())),
            };
            let value = match name {
                "_HASH" => Some("#"),
                "_BANG" => Some("!"),
                _ => self.defined.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()),
            };
            let remedy = "define it in a line above, $NAME=VALUE, or write its value; arguments are not read";
            out.push_str(value.ok_or_else(|| (format!("${} is not defined", shorten(name)), remedy))?);
            rest = behind;
            if out.len() + rest.len() > MAX_LINE_BYTES {
                return Err((format!("is longer than {MAX_LINE_BYTES} bytes"), "split it"));
            }
        }
        if rest.len() > MAX_LINE_BYTES {
            return Err((format!("is longer than {MAX_LINE_BYTES} bytes"), "split it"));
        }
        if ["~SEQ(", "~LST("].iter().any(|mark| text.contains(mark)) {
            return Err(("makes several lines out of one".to_string(), "write those lines"));
        }
        Ok(out + rest)
    }

    fn include(&mut self, at: Key, text: &str, path: &Path) -> Result<(), Wrong> {
        let pattern = text.split_once([' ', '\t']).map_or("", |(_, rest)| rest).trim();
        if pattern.is_empty() {
            return Err(("names no file".to_string(), "write include FILE"));
        }
        if pattern.contains(['"', '\'']) {
            let what = format!("{} is in quotes, and keepalived finds no such file", shorten(pattern));
            return Err((what, "write the name without quotes"));
        }
        if pattern.contains('{') {
            return Err(("has alternatives in braces".to_string(), "write an include for each"));
        }
        let base = path.parent().unwrap_or(Path::new("."));
        let found = glob::find(base, pattern, MAX_FILES + 1);
        let found = found.map_err(|directory| {
            let remedy = "copy it here too, or read the files where they stand";
            (format!("\"{}\": there is no directory {}", shorten(pattern), directory.display()), remedy)
        })?;
        if found.is_empty() && !pattern.contains(['*', '?', '[']) {
            return Err((
                format!("\"{}\" is not there", shorten(pattern)),
                "copy it here too, or remove the line",
            ));
        }
        self.sources.ledger.open(at, text);
        if found.is_empty() {
            self.sources.ledger.meaningless(at, "no file matches it");
        }
        for file in found {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.file(&file)?;
            self.sources.ledger.taken(at, format!("the lines of {}", shorten(&name)));
        }
        Ok(())
    }
}

fn cannot_read(error: &std::io::Error) -> Wrong {
    (format!("cannot be read ({error})"), "give keepalived.conf itself")
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// `$NAME=VALUE`
fn as_definition(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.strip_prefix('$')?.split_once('=')?;
    (!name.is_empty() && name.chars().all(is_of_name)).then_some((name, value))
}

/// Up to a `#` or `!` that does not stand in quotes.
fn without_comment(line: &[u8]) -> &[u8] {
    let mut quote = None;
    let mut is_escaped = false;
    for (index, byte) in line.iter().copied().enumerate() {
        match (quote, byte) {
            _ if is_escaped => is_escaped = false,
            (Some(_), b'\\') => is_escaped = true,
            (Some(open), _) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'#' | b'!') => return &line[..index],
            _ => {}
        }
    }
    line
}
