//! The crate `toml` makes the same of any text that is TOML, and refuses what we refuse. Dates, and numbers
//! with a fraction, may be any: no key takes one.

use proptest::prelude::*;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::*;

/// Lines of a file that get in each other's way.
const LINES: [&str; 32] = [
    "a = 1\n",
    "a = \"x\\ny\"\n",
    "b = 0x1F\n",
    "b = -1_000\n",
    "c = 1.5\n",
    "c = true\n",
    "a.b = 1\n",
    "a.b.c = 'x'\n",
    "a . \"b\" = 2\n",
    "b.a.c = 3\n",
    "[a]\n",
    "[a.b]\n",
    "[a.b.c]\n",
    "[\"a\" . b]\n",
    "[b]\n",
    "[[a]]\n",
    "[[a.b]]\n",
    "[[b]]\n",
    "a = {}\n",
    "a = {b = 1, c.d = 2, c.e = {f = 3}}\n",
    "a = {b = {c = 1}, b.d = 2}\n",
    "a = {b.c = 1, b = 2, b.c = 3}\n",
    "b = {c = [1], c.d = 1, e = 1979-05-27, e.f = 1}\n",
    "b = [1, [\"x\", {y = 1}], ]\n",
    "d = 1979-05-27T07:32:00Z\n",
    "d = 1979-13-27\n",
    "d = 07:99:00\n",
    "e = \"\"\"\nmany\nlines\"\"\"\n",
    "f = [\n 1, # one\n 2\n]\n",
    "# nothing\n",
    "= 1\n",
    "g =\n",
];
/// Pieces that make sense of nothing.
const PIECES: [&str; 38] = [
    "a",
    "b",
    ".",
    "=",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ",",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\"",
    "'",
    "\"\"\"",
    "\\u00e9",
    "0x",
    "1_",
    "+1",
    "inf",
    "\u{e9}",
    "\u{7f}",
    "#",
    "\\",
    "\\x41",
    "\\U0001F600",
    "\\e",
    "\\\n  ",
    "\r",
    "0b1",
    "0o7",
    "01",
    "+0x1",
    "-0",
    "'''",
];

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(&LINES[..]),
        1 => prop::sample::select(&PIECES[..]),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn is_same_table(ours: &Tree<'_>, theirs: &DeTable<'_>) -> bool {
    ours.entries.len() == theirs.len()
        && ours.entries.iter().zip(theirs.iter()).all(|(Entry { key, value }, (name, other))| {
            key.at == name.span().start
                && key.value == *name.get_ref()
                && ours.get(&key.value).is_some_and(|found| found.key.at == key.at)
                && is_same(value, other)
        })
}

fn is_same(ours: &At<Value<'_>>, theirs: &Spanned<DeValue<'_>>) -> bool {
    let is_same_value = match (&ours.value, theirs.get_ref()) {
        (Value::Text(text), DeValue::String(other)) => text == other,
        (Value::Integer(number), DeValue::Integer(other)) => {
            number.digits == other.as_str() && number.radix == other.radix()
        }
        (Value::Flag(flag), DeValue::Boolean(other)) => flag == other,
        (Value::Fraction, DeValue::Float(_)) | (Value::Date, DeValue::Datetime(_)) => true,
        (Value::Array(array), DeValue::Array(other)) => {
            array.elements.len() == other.len()
                && array.elements.iter().zip(other.iter()).all(|(ours, theirs)| is_same(ours, theirs))
        }
        (Value::Table(tree), DeValue::Table(other)) => is_same_table(tree, other),
        _ => false,
    };
    is_same_value && ours.at == theirs.span().start
}

/// Whether a date, or a number with a fraction, is somewhere in it.
fn holds_what_no_key_takes(tree: &Tree<'_>) -> bool {
    fn is_one(value: &Value<'_>) -> bool {
        match value {
            Value::Fraction | Value::Date => true,
            Value::Array(array) => array.elements.iter().any(|element| is_one(&element.value)),
            Value::Table(tree) => holds_what_no_key_takes(tree),
            Value::Text(_) | Value::Integer(_) | Value::Flag(_) => false,
        }
    }
    tree.entries.iter().any(|entry| is_one(&entry.value.value))
}

fn check(text: &str) {
    let (tree, faults) = parse(text);
    let (table, expected) = DeTable::parse_recoverable(text);
    let is_refused = !faults.is_empty() || holds_what_no_key_takes(&tree);
    if expected.is_empty() && is_refused {
        let read = format!("{table:?}");
        let holds_one = read.contains("Datetime(") || read.contains("Float(");
        assert!(holds_one, "{text}\n{faults:?}");
        return;
    }
    assert_eq!(expected.is_empty(), !is_refused, "{text}\n{expected:?}");
    // What is there twice does no harm to the rest.
    let is_harmless = faults.iter().all(|fault| fault.what == DUPLICATE)
        && expected.iter().all(|error| error.message() == DUPLICATE);
    if is_harmless {
        assert!(is_same_table(&tree, table.get_ref()), "{text}\n{tree:?}\n{table:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_file_is_read_as_toml_reads_it(text in any_text()) {
        check(&text);
    }

    #[test]
    fn any_file_with_a_byte_changed_is_too(
        at in any::<prop::sample::Index>(),
        piece in prop::sample::select(&PIECES[..]),
    ) {
        let text = include_str!("../../config/crosswire.toml");
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let at = places[at.index(places.len())];
        let shown = text.lines().filter(|line| !line.starts_with("# ")).collect::<Vec<_>>().join("\n");
        check(&format!("{}{piece}{}", &text[..at], &text[at..]));
        check(&shown.replace("\n#", "\n"));
    }
}

#[test]
fn what_lies_too_deep_is_refused() {
    for (depth, is_good) in [(79, true), (80, true), (81, false), (100_000, false)] {
        let is_read = |text: &str| parse(text).1.is_empty();
        assert_eq!(is_read(&format!("a = {}{}", "[".repeat(depth), "]".repeat(depth))), is_good, "{depth}");
        assert_eq!(is_read(&format!("a = {}1{}", "{x = ".repeat(depth), "}".repeat(depth))), is_good);
        assert_eq!(is_read(&format!("{}a = 1", "a.".repeat(depth - 1))), is_good, "{depth}");
        assert_eq!(is_read(&format!("[{}a]", "a.".repeat(depth - 1))), is_good, "{depth}");
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    for (text, at, what) in [
        ("a = 'x", 4, "a quote is not closed"),
        ("a = \"x\n", 4, "a quote is not closed"),
        ("a = \"\"\"x\n", 4, "a quote is not closed"),
        ("a = \"\\q\"", 5, "a backslash stands for nothing that is known"),
        ("a = \"\\ud800\"", 5, "a backslash stands for nothing that is known"),
        ("a = \"\u{1}\"", 5, "a string holds a control character"),
        ("# \u{7f}", 2, "a comment holds a control character"),
        ("a = x", 4, "a value is no number, and not true or false"),
        ("a = 01", 4, "a value is no number, and not true or false"),
        ("a =", 3, "a value is missing"),
        ("= 1", 0, "a key is missing"),
        ("a.", 2, "a key is missing"),
        ("a 1", 2, "a key has no value"),
        ("a = 1 b = 2", 6, "the line goes on after its end"),
        ("[a", 2, "a table's name is not closed"),
        ("[[a]", 4, "a table's name is not closed"),
        ("a = [1 2]", 7, "an array is not closed"),
        ("a = {b = 1 c = 2}", 11, "a table in braces is not closed"),
        ("a = 1\na.b = 1", 6, "has a value, and cannot be a table too"),
        ("a = {}\n[a.b]", 8, "is a table that its brace has closed"),
        ("a = 1\na = 2", 6, DUPLICATE),
    ] {
        let mut said: Vec<_> = parse(text).1.iter().map(|fault| (fault.at, fault.what)).collect();
        // What is reported twice is shown once.
        said.dedup();
        assert_eq!(said, [(at, what)], "{text}");
    }
}

#[test]
fn a_line_that_cannot_be_read_does_not_hide_a_later_one() {
    let said: Vec<_> = parse("a = x\nb = 1\nc = \n").1.iter().map(|fault| fault.at).collect();
    assert_eq!(said, [4, 16]);
}
