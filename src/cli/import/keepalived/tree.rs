//! Statements: the words of a line, and what stands in braces behind them, on the same line or the next.

use super::ledger::{Key, Ledger};
use super::source::{Line, Sources};
use crate::cli::import::report::Wrong;
use crate::settings::shorten;

/// Deepest blocks: keepalived itself has five.
const MAX_DEPTH: usize = 12;

/// One statement.
#[derive(Debug)]
pub struct Statement {
    /// Where it begins.
    pub at: Key,
    /// Its last line, the closing brace's.
    pub end: usize,
    /// Its words, without quotes; there is one at least.
    pub words: Vec<String>,
    /// What stands in braces, if there are any.
    pub block: Option<Vec<Statement>>,
}

impl Statement {
    /// A statement is repeated as it stands, without what is secret.
    pub fn open(&self, ledger: &mut Ledger) {
        let is_secret = ["auth_pass", "auth_data", "password"].contains(&self.words[0].as_str());
        let shown = if is_secret { &self.words[..1] } else { &self.words[..] };
        let rest = if shown.len() < self.words.len() { " ..." } else { "" };
        ledger.open(self.at, &(shown.join(" ") + rest));
    }
}

/// Calls `read` for each statement of a block, and reports its errors at the statement.
pub fn each(
    statement: &Statement,
    sources: &mut Sources,
    mut read: impl FnMut(&Statement, &mut Sources) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let Some(block) = &statement.block else {
        return Err((
            format!("{} has no block", statement.words[0]),
            "write what belongs to it in braces { }",
        ));
    };
    for inner in block {
        inner.open(&mut sources.ledger);
        if let Err(wrong) = read(inner, sources) {
            sources.fail(inner.at, wrong);
        }
    }
    Ok(())
}

enum Token {
    Word(String),
    Open,
    Close,
}

/// The statements of these lines. What is wrong with them is noted at the sources.
pub fn build(lines: &[Line], sources: &mut Sources) -> Vec<Statement> {
    let mut tree = Tree { levels: vec![Vec::new()], opened: Vec::new() };
    for line in lines {
        let read = tokens(&line.text).and_then(|tokens| tree.add(line.at, tokens));
        if let Err(wrong) = read {
            sources.fail(line.at, wrong);
        }
    }
    if let Some(at) = tree.opened.last().copied() {
        sources.fail(at, ("is opened and not closed".to_string(), "add the brace } that ends it"));
    }
    while !tree.opened.is_empty() {
        tree.close(tree.opened.last().map_or(0, |at| at.line));
    }
    tree.levels.pop().unwrap_or_default()
}

struct Tree {
    /// The statements of each block that is open, the outermost first; there is one at least.
    levels: Vec<Vec<Statement>>,
    /// The statements that opened the inner blocks.
    opened: Vec<Key>,
}

impl Tree {
    fn add(&mut self, at: Key, tokens: Vec<Token>) -> Result<(), Wrong> {
        let mut part = at.part;
        let mut words = Vec::new();
        for token in tokens {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open | Token::Close => {
                    self.push(Key { part, ..at }, std::mem::take(&mut words));
                    part += 1;
                    match token {
                        Token::Open => self.open()?,
                        _ if self.opened.is_empty() => {
                            return Err((
                                "closes what is not open".to_string(),
                                "remove the brace }, or add the { that is missing above",
                            ));
                        }
                        _ => self.close(at.line),
                    }
                }
            }
        }
        self.push(Key { part, ..at }, words);
        Ok(())
    }

    fn push(&mut self, at: Key, words: Vec<String>) {
        if !words.is_empty()
            && let Some(level) = self.levels.last_mut()
        {
            level.push(Statement { at, end: at.line, words, block: None });
        }
    }

    fn open(&mut self) -> Result<(), Wrong> {
        let before = self.levels.last().and_then(|level| level.last()).filter(|one| one.block.is_none());
        let Some(before) = before else {
            return Err((
                "opens a block without a name".to_string(),
                "write the name of the block before the brace {",
            ));
        };
        if self.levels.len() > MAX_DEPTH {
            return Err((format!("is deeper than {MAX_DEPTH} blocks"), "close the ones that are done"));
        }
        self.opened.push(before.at);
        self.levels.push(Vec::new());
        Ok(())
    }

    fn close(&mut self, end: usize) {
        let block = self.levels.pop().unwrap_or_default();
        self.opened.pop();
        if let Some(owner) = self.levels.last_mut().and_then(|level| level.last_mut()) {
            (owner.block, owner.end) = (Some(block), end);
        }
    }
}

/// Splits at blanks and braces; quoted text stays together, and with what follows the quote directly.
fn tokens(text: &str) -> Result<Vec<Token>, Wrong> {
    let (mut all, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(_), '\\') => word.get_or_insert_default().extend(letters.next().map(plain).transpose()?),
            (Some(open), _) if open == c => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => all.extend(word.take().map(Token::Word)),
            (None, '{' | '}') => {
                all.extend(word.take().map(Token::Word));
                all.push(if c == '{' { Token::Open } else { Token::Close });
            }
            (Some(_) | None, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err((
            format!("has a quote that is not closed: {}", shorten(text)),
            "close it in the same line",
        ));
    }
    all.extend(word.map(Token::Word));
    Ok(all)
}

/// An escaped letter that stands for itself.
fn plain(c: char) -> Result<char, Wrong> {
    match c {
        c if c.is_ascii_alphanumeric() => {
            Err((format!("has an escape that is not read here: \\{c}"), "write the letter itself"))
        }
        c => Ok(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(statements: &[Statement]) -> String {
        let one = |statement: &Statement| {
            let block =
                statement.block.as_ref().map(|block| format!("{{{}}}", shown(block))).unwrap_or_default();
            statement.words.join("_") + &block
        };
        statements.iter().map(one).collect::<Vec<_>>().join(";")
    }

    #[test]
    fn braces_stand_where_they_like() {
        for (text, expected) in [
            ("a b {\n c\n}\nd", "a_b{c};d"),
            ("a b\n{\n c { d\n }\n}", "a_b{c{d}}"),
            ("a{b}", "a{b}"),
            ("a \"b { c\" 'd e'f", "a_b { c_d ef"),
            ("a { } b", "a{};b"),
            ("\ta\tb\t{\n\n}", "a_b{}"),
            ("a \"x \\\" y\"", "a_x \" y"),
        ] {
            let lines = (1..).zip(text.lines());
            let lines: Vec<Line> = lines
                .map(|(line, text)| Line { at: Key { file: 0, line, part: 0 }, text: text.to_string() })
                .collect();
            let mut sources = Sources::default();
            assert_eq!(shown(&build(&lines, &mut sources)), expected, "{text}");
            assert!(sources.errors.is_empty(), "{text}");
        }
        for text in ["a {", "}", "{", "a { }\n{", "a \"b", &"a {\n".repeat(99), "a \"\\x41\""] {
            let lines = (1..).zip(text.lines());
            let lines: Vec<Line> = lines
                .map(|(line, text)| Line { at: Key { file: 0, line, part: 0 }, text: text.to_string() })
                .collect();
            let mut sources = Sources::default();
            build(&lines, &mut sources);
            assert!(!sources.errors.is_empty(), "{text}");
        }
    }
}
