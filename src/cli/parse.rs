//! A command line, taken apart by a command's table.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::option::{Kind, Spec, Word};

/// How far from what was typed a word may be to be offered instead: typing errors.
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
            let free = |(word, value): (&Word, &Option<OsString>)| word.kind == Kind::Operand && value.is_none();
            let place = spec.words.iter().zip(&values).position(free);
            let index = place.ok_or_else(|| unexpected(argument))?;
            values[index] = Some(argument.clone());
        }
    }
    Ok(values)
}

/// Whether somebody wants to know what there is to say: before a `--`, at any place.
pub fn asks_for_help(arguments: &[OsString]) -> bool {
    arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--help" || argument == "-h")
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
        return Err(format!("expected `COMMAND ...`, got `{}`. Pass `--help` for usage information", name.display()));
    }
    Err(format!("no such command: `{}`{}", name.display(), meant(name.as_bytes(), &mut specs.by_ref().map(|s| s.name))))
}

fn looks_like_option(argument: &OsStr) -> bool {
    argument.as_bytes().starts_with(b"-") && argument != "-"
}

/// The index of the option in the table, and its value: behind a `=` or the next argument.
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
        (Kind::Flag, Some(value)) => Err(unexpected(value)),
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

fn unexpected(argument: &OsStr) -> String {
    format!("`{}` is not expected in this context", argument.display())
}

/// `, did you mean ...?`, if one of the names is near.
fn meant(typed: &[u8], names: &mut dyn Iterator<Item = &'static str>) -> String {
    let near = names.map(|name| (distance(typed, name.as_bytes()), name)).min();
    match near {
        Some((distance, name)) if distance <= NEAR => format!(", did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// How many letters were forgotten, added, mistaken or swapped with their neighbour (optimal string alignment).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
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
