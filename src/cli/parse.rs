//! A command line, taken apart by a command's table.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::option::{Kind, Spec, Word};
use crate::gather::Gather;

/// How many typing errors a word may be away to be offered instead.
const NEAR: usize = 2;

/// One value for each word of the command's table; a flag that is there has an empty one.
pub type Values = Vec<Option<OsString>>;

/// Takes the words after the command apart.
///
/// # Errors
/// What is wrong, in a line.
pub fn values(spec: &Spec, arguments: &[OsString]) -> Result<Values, String> {
    let mut values: Values = vec![None; spec.words.len()];
    let mut rest = arguments.iter();
    let mut has_options = true;
    while let Some(argument) = rest.next() {
        if has_options && argument == "--" {
            has_options = false;
        } else if has_options && looks_like_option(argument) {
            let (index, value) = named(spec, argument, &mut rest)?;
            put(&mut values, index, value, spec.words[index].name)?;
        } else {
            let free =
                |(word, value): (&Word, &Option<OsString>)| word.kind == Kind::Operand && value.is_none();
            let place = spec.words.iter().zip(&values).position(free);
            let index = place.ok_or_else(|| unexpected(spec.name, argument))?;
            values[index] = Some(argument.clone());
        }
    }
    Ok(values)
}

/// Whether the arguments ask for help: at any place before a `--`.
pub fn asks_for_help(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == "--help" || argument == "-h")
}

/// The command of that name.
///
/// # Errors
/// What is wrong, in a line.
pub fn command<'a>(mut specs: impl Iterator<Item = &'a Spec> + Clone, name: &OsStr) -> Result<usize, String> {
    if let Some(index) = specs.clone().position(|spec| name == spec.name) {
        return Ok(index);
    }
    if looks_like_option(name) {
        return Err(format!(
            "expected `COMMAND ...`, got `{}`. Pass `--help` for usage information",
            name.display()
        ));
    }
    Err(format!(
        "no such command: `{}`{}",
        name.display(),
        meant(name.as_bytes(), &mut specs.by_ref().map(|s| s.name))
    ))
}

fn looks_like_option(argument: &OsStr) -> bool {
    argument.as_bytes().starts_with(b"-") && argument != "-"
}

/// The index of the option in the table, and its value: after a `=`, or the next argument.
fn named<'a>(
    spec: &Spec,
    argument: &OsStr,
    rest: &mut impl Iterator<Item = &'a OsString>,
) -> Result<(usize, OsString), String> {
    let bytes = argument.as_bytes();
    let (name, attached) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
        None => (bytes, None),
    };
    let Some(index) = spec.words.iter().position(|word| word.name.as_bytes() == name) else {
        let mut shown = spec.words.iter().filter(|word| word.kind != Kind::Hidden).map(|word| word.name);
        return Err(format!("no such flag: `{}`{}", argument.display(), meant(name, &mut shown)));
    };
    let word = &spec.words[index];
    match (word.kind, attached) {
        (Kind::Flag, None) => Ok((index, OsString::new())),
        (Kind::Flag, Some(value)) => Err(unexpected(word.name, value)),
        (Kind::Option | Kind::Hidden | Kind::Operand, Some(value)) => Ok((index, value.to_owned())),
        (Kind::Option | Kind::Hidden | Kind::Operand, None) => match rest.next() {
            Some(value) if looks_like_option(value) => Err(format!(
                "`{0}` requires an argument `{1}`, got a flag `{2}`, try `{0}={2}` to use it as an argument",
                word.name,
                word.value,
                value.display()
            )),
            Some(value) => Ok((index, value.clone())),
            None => Err(format!("`{}` requires an argument `{}`", word.name, word.value)),
        },
    }
}

fn put(values: &mut Values, index: usize, value: OsString, name: &str) -> Result<(), String> {
    match values[index].replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("argument `{name}` cannot be used multiple times")),
    }
}

fn unexpected(place: &str, argument: &OsStr) -> String {
    format!("`{place}` takes no `{}`", argument.display())
}

/// `, did you mean ...?`, if one of the names is near.
fn meant(typed: &[u8], names: &mut dyn Iterator<Item = &'static str>) -> String {
    let near = names.map(|name| (distance(typed, name.as_bytes()), name)).min();
    match near {
        Some((distance, name)) if distance <= NEAR => format!(", did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// How many letters were forgotten, added, mistaken or swapped with their neighbour (optimal string
/// alignment).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).gather();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row[j] = least;
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

/// What a command line says: for tests.
#[cfg(test)]
pub fn options<T: super::option::Options>(words: &[&str]) -> Result<T, String> {
    let arguments: Vec<OsString> = words.iter().map(OsString::from).gather();
    let values = values(T::SPEC, &arguments)?;
    T::take(&mut super::option::Given::new(T::SPEC.words, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::option::{flag, operand, option, options};

    options! {
        /// Try everything
        /// that there is.
        pub struct All("all") {
            /// A flag
            json: bool = flag("--json"),
            /// A text
            name: Option<String> = option("--name", "NAME"),
            /// A number
            last: usize = option("--last", "COUNT").or("30"),
            /// First
            group: String = operand("GROUP"),
            /// Second
            file: std::path::PathBuf = operand("FILE").or("/x"),
        }
    }

    fn all(words: &[&str]) -> Result<(bool, Option<String>, usize, String, String), String> {
        super::options::<All>(words).map(|o| (o.json, o.name, o.last, o.group, o.file.display().to_string()))
    }

    #[test]
    fn words_in_any_order_with_values_behind_or_after() {
        let text = |text: &str| text.to_owned();
        for (words, expected) in [
            (&["g"][..], (false, None, 30, text("g"), text("/x"))),
            (&["g", "f", "--json"], (true, None, 30, text("g"), text("f"))),
            (&["--last", "5", "g", "--name=a=b"], (false, Some(text("a=b")), 5, text("g"), text("/x"))),
            (&["--name", "n", "--", "--json", "-"], (false, Some(text("n")), 30, text("--json"), text("-"))),
            (&["--name=", ""], (false, Some(text("")), 30, text(""), text("/x"))),
            (&["--name=-5", "-"], (false, Some(text("-5")), 30, text("-"), text("/x"))),
        ] {
            assert_eq!(all(words), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, expected) in [
            (&[][..], "expected `GROUP`, pass `--help` for usage information"),
            (&["a", "b", "c"], "`all` takes no `c`"),
            (&["--jsno", "g"], "no such flag: `--jsno`, did you mean `--json`?"),
            (&["--nothing-like-it"], "no such flag: `--nothing-like-it`"),
            (&["--json=1", "g"], "`--json` takes no `1`"),
            (&["--json", "--json", "g"], "argument `--json` cannot be used multiple times"),
            (&["--name", "a", "--name=b", "g"], "argument `--name` cannot be used multiple times"),
            (&["g", "--name"], "`--name` requires an argument `NAME`"),
            (
                &["--name", "--json", "g"],
                "`--name` requires an argument `NAME`, got a flag `--json`, try `--name=--json` to use it as \
                    an argument",
            ),
            (&["--last", "x", "g"], "--last x: not a number"),
        ] {
            assert_eq!(all(words), Err(expected.to_owned()), "{words:?}");
        }
        let bytes = OsStr::from_bytes(b"\xff").to_owned();
        let values =
            values(<All as super::super::option::Options>::SPEC, &[bytes]).expect("any bytes are a word");
        let error = <All as super::super::option::Options>::take(&mut super::super::option::Given::new(
            <All as super::super::option::Options>::SPEC.words,
            values,
        ));
        assert_eq!(error.expect_err("not a text"), "GROUP: `\u{fffd}` is not UTF-8");
    }

    #[test]
    fn a_near_miss_is_near_and_nothing_else() {
        for (a, b, expected) in [
            ("status", "statsu", 1),
            ("status", "status", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("run", "rung", 1),
            ("check", "chalk", 2),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        }
        let specs = || crate::cli::specs();
        let said = |name: &str| command(specs(), OsStr::new(name)).map(|_| ());
        assert_eq!(said("keygn"), Err("no such command: `keygn`, did you mean `keygen`?".to_owned()));
        assert_eq!(said("xyzzy"), Err("no such command: `xyzzy`".to_owned()));
        assert_eq!(
            said("-x"),
            Err("expected `COMMAND ...`, got `-x`. Pass `--help` for usage information".to_owned())
        );
        assert_eq!(said("run"), Ok(()));
    }

    #[test]
    fn help_is_asked_for_before_the_dashes_only() {
        let asks = |words: &[&str]| asks_for_help(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(asks(&["--x", "-h"]) && asks(&["--help", "--nonsense"]));
        assert!(!asks(&["--", "--help"]) && !asks(&["x"]));
    }
}
