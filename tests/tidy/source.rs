//! The files of `src` and `tests`, and what of them is code.

use std::fs;
use std::path::{Path, PathBuf};

/// One file.
pub struct Source {
    /// From the root of the project: `src/time.rs`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// Without comments, and without what is in quotes.
    pub code: String,
}

impl Source {
    /// The folder of `src`, or the file beside the folders without its ending; not for the roots of the two
    /// halves.
    pub fn folder(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let top = inside.split('/').next()?;
        let top = top.strip_suffix(".rs").unwrap_or(top);
        (top != "lib" && top != "main").then_some(top)
    }

    /// The types that the whole half can name.
    pub fn public_types(&self) -> Vec<String> {
        let mut found = Vec::new();
        for line in self.code.lines().map(str::trim_start) {
            let Some(item) = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")) else {
                continue;
            };
            let mut words = words(item);
            if words.next().is_some_and(|kind| ["struct", "enum", "trait", "type", "union"].contains(&kind)) {
                found.extend(words.next().map(String::from));
            }
        }
        found
    }
}

/// All of them, in the order of their paths.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for part in ["src", "tests"] {
        collect(&root.join(part), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = code_of(&text);
        Source { path: path.strip_prefix(root).unwrap().to_str().unwrap().to_string(), text, code }
    };
    let sources: Vec<_> = paths.into_iter().map(read).collect();
    assert!(sources.len() > 100, "the sources are not there");
    sources
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The words of a text: names, keywords and numbers.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// A source without comments and without what is in quotes; its lines stay.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_in_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = if rest.starts_with("//") { rest.find('\n').unwrap_or(rest.len()) } else { 0 };
        let length = length.max(if is_in_word { 0 } else { raw_string(rest) }).max(quoted(rest));
        if length == 0 {
            code.push(c);
        } else {
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
        }
        rest = &rest[length.max(c.len_utf8())..];
    }
    code
}

/// How long the raw string is that a text begins with; 0: it begins with none.
fn raw_string(text: &str) -> usize {
    let inner = text.strip_prefix('b').or_else(|| text.strip_prefix('c')).unwrap_or(text);
    let Some(inner) = inner.strip_prefix('r') else { return 0 };
    let body = inner.trim_start_matches('#');
    let end = format!("\"{}", &inner[..inner.len() - body.len()]);
    let Some(body) = body.strip_prefix('"') else { return 0 };
    let length = body.find(&end).expect("a raw string ends");
    text.len() - body.len() + length + end.len()
}

/// How long the string or the character is that a text begins with; 0: it begins with none.
fn quoted(text: &str) -> usize {
    let Some(quote @ ('"' | '\'')) = text.chars().next() else { return 0 };
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            // `'a` in front of anything but a quote is a lifetime.
            _ if quote == '\'' && !is_escaped && at > 1 && c != '\'' && !text[1..].starts_with('\\') => {
                return 0;
            }
            c if c == quote && !is_escaped => return at + 1,
            _ => is_escaped = c == '\\' && !is_escaped,
        }
    }
    0
}

#[test]
fn what_is_code_is_found() {
    let text = "let a = \"x // \\\" unsafe\"; // unsafe\nfn f<'a>(c: &'a str) \
        { '\\'' ; 'x' ; r#\"unsafe \" \"#; b\"un\" }\n";
    assert_eq!(code_of(text), "let a = ; \nfn f<'a>(c: &'a str) {  ;  ; ; b }\n");
    assert_eq!(words("unsafe { a_b(1) }").collect::<Vec<_>>(), ["unsafe", "a_b", "1"]);
}
