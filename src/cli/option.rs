//! What a command can be told, as a table: the parser, `--help`, the manual and the shell's completion all
//! read it.
//!
//! This is written by hand because a library's code is compiled anew for each command: seven commands cost 80
//! KB of the router's 700, these tables and their reader a tenth of that.

use std::ffi::OsString;
use std::path::PathBuf;

/// What one word on the command line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `--json`: there or not.
    Flag,
    /// `--config FILE` or `--config=FILE`.
    Option,
    /// A word without a name; its place says what it is.
    Operand,
    /// An option that no help shows.
    Hidden,
}

/// One flag, option or operand of a command.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// What it is.
    pub kind: Kind,
    /// `--config`; empty for an operand.
    pub name: &'static str,
    /// The name of its value in the help; empty for a flag.
    pub value: &'static str,
    /// Its value if it is not given.
    pub default: Option<&'static str>,
    /// What it is for, as the doc comment of the field says it.
    pub help: &'static str,
    /// Whether the command works without it.
    pub is_optional: bool,
}

/// A flag that is there or not.
pub const fn flag(name: &'static str) -> Word {
    Word { kind: Kind::Flag, name, value: "", default: None, help: "", is_optional: true }
}

/// An option that takes a value.
pub const fn option(name: &'static str, value: &'static str) -> Word {
    Word { kind: Kind::Option, name, value, default: None, help: "", is_optional: true }
}

/// A word without a name, which has to be there unless it has a default.
pub const fn operand(value: &'static str) -> Word {
    Word { kind: Kind::Operand, name: "", value, default: None, help: "", is_optional: false }
}

impl Word {
    /// Gives it a default value.
    pub const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), is_optional: true, ..self }
    }

    /// The command works without it.
    #[cfg(feature = "upgrade")]
    pub const fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    /// Keeps it out of help, manual and completion.
    pub const fn hidden(self) -> Self {
        Self { kind: Kind::Hidden, ..self }
    }

    /// What it is for.
    pub const fn says(self, help: &'static str) -> Self {
        Self { help, ..self }
    }

    /// `--config` or `GROUP`: its name in messages.
    pub const fn called(&self) -> &'static str {
        if self.name.is_empty() { self.value } else { self.name }
    }
}

/// One command.
#[derive(Debug)]
pub struct Spec {
    /// `run`
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What it can be told, operands last.
    pub words: &'static [Word],
}

/// What was on the command line, in the order of the command's table; taken out one by one.
pub struct Given {
    words: std::slice::Iter<'static, Word>,
    values: std::vec::IntoIter<Option<OsString>>,
}

impl Given {
    /// `values`: one for each word of the command; a flag that is there has an empty one.
    pub fn new(words: &'static [Word], values: Vec<Option<OsString>>) -> Self {
        Self { words: words.iter(), values: values.into_iter() }
    }

    /// The next word's value, or its default.
    ///
    /// # Errors
    /// What is wrong with it, in a line.
    pub fn take<T: Value>(&mut self) -> Result<T, String> {
        let value = self.values.next().flatten();
        match self.words.next() {
            Some(word) => T::read(word, value.or_else(|| word.default.map(OsString::from))),
            None => Err(String::new()),
        }
    }
}

/// A type that a word can have.
pub trait Value: Sized {
    /// What the word says.
    ///
    /// # Errors
    /// What is wrong with it, in a line.
    fn read(word: &Word, text: Option<OsString>) -> Result<Self, String>;
}

impl Value for bool {
    fn read(_: &Word, text: Option<OsString>) -> Result<Self, String> {
        Ok(text.is_some())
    }
}

impl Value for OsString {
    fn read(word: &Word, text: Option<OsString>) -> Result<Self, String> {
        text.ok_or_else(|| format!("expected `{}`, pass `--help` for usage information", word.called()))
    }
}

impl Value for PathBuf {
    fn read(word: &Word, text: Option<OsString>) -> Result<Self, String> {
        OsString::read(word, text).map(Self::from)
    }
}

impl Value for String {
    fn read(word: &Word, text: Option<OsString>) -> Result<Self, String> {
        let text = OsString::read(word, text)?.into_string();
        text.map_err(|bytes| format!("{}: `{}` is not UTF-8", word.called(), bytes.display()))
    }
}

impl Value for u64 {
    fn read(word: &Word, text: Option<OsString>) -> Result<Self, String> {
        let text = String::read(word, text)?;
        text.parse().map_err(|_| format!("{} {text}: not a number", word.called()))
    }
}

/// A number that has to fit a smaller type than the one it is read as.
macro_rules! smaller_numbers {
    ($($Number:ty),+) => {
        $(impl Value for $Number {
            fn read(word: &Word, text: Option<OsString>) -> Result<Self, String> {
                let number = u64::read(word, text)?;
                Self::try_from(number).map_err(|_| format!("{}: `{number}` is too large", word.called()))
            }
        })+
    };
}
smaller_numbers!(usize, u32, u16);

impl<T: Value> Value for Option<T> {
    fn read(word: &Word, text: Option<OsString>) -> Result<Self, String> {
        text.map(|text| T::read(word, Some(text))).transpose()
    }
}

/// Options that can be read from a command line.
pub trait Options: Sized {
    /// The command's table.
    const SPEC: &'static Spec;

    /// Takes every field's value.
    ///
    /// # Errors
    /// What is wrong with one of them, in a line.
    fn take(given: &mut Given) -> Result<Self, String>;
}

/// The options of a command as a struct, and its table from the same lines: doc comments are the help, and
/// each field says after its type which word it is.
macro_rules! options {
    (
        $(#[doc = $about:literal])+
        pub struct $Name:ident($command:literal) {
            $( $(#[doc = $help:literal])+ $field:ident: $Type:ty = $word:expr, )*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub struct $Name {
            $( $(#[doc = $help])+ $field: $Type, )*
        }

        impl $crate::cli::option::Options for $Name {
            const SPEC: &'static $crate::cli::option::Spec = &$crate::cli::option::Spec {
                name: $command,
                about: concat!($($about),+),
                words: &[$( $word.says(concat!($($help),+)) ),*],
            };

            fn take(given: &mut $crate::cli::option::Given) -> Result<Self, String> {
                Ok(Self { $( $field: given.take()?, )* })
            }
        }
    };
}
pub(crate) use options;
