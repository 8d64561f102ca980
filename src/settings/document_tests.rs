//! The crate `toml` makes the same of any text, and finds the same wrong with it, but for days and hours that
//! there are not: no key takes a date.

use proptest::prelude::*;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::syntax::message;
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
const PIECES: [&str; 26] = [
    "a", "b", ".", "=", "[", "]", "[[", "]]", "{", "}", ",", "\n", "\r\n", " ", "\t", "\"", "'", "\"\"\"",
    "\\u00e9", "0x", "1_", "+1", "inf", "\u{e9}", "\u{7f}", "#",
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

/// Whether this is said of a date that is none.
fn is_of_a_date(said: &str) -> bool {
    ["invalid date", "invalid time", "invalid offset"].iter().any(|of_a_date| said.starts_with(of_a_date))
}

fn check(text: &str) {
    let (tree, errors) = parse(text);
    let (table, expected) = DeTable::parse_recoverable(text);
    let span = |error: &ParseError| error.unexpected().map(|span| span.start()..span.end());
    let errors: Vec<_> = errors.iter().map(|error| (span(error), message(error))).collect();
    let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let expected: Vec<_> = expected
        .iter()
        .map(|error| (error.span(), first_line(error.message())))
        .filter(|(_, said)| !is_of_a_date(said))
        .collect();
    assert_eq!(errors, expected, "{text}");
    assert!(is_same_table(&tree, table.get_ref()), "{text}\n{tree:?}\n{table:?}");
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
fn what_lies_too_deep_is_refused_as_toml_refuses_it() {
    for depth in [78, 79, 80, 81, 200] {
        check(&format!("a = {}{}", "[".repeat(depth), "]".repeat(depth)));
        check(&format!("a = {}1{}\nb = 1", "{x = ".repeat(depth), "}".repeat(depth)));
        check(&format!("{}a = 1\nb = 1", "a.".repeat(depth)));
        check(&format!("[{}a]\nb = 1\n[c]\nd = 1", "a.".repeat(depth)));
    }
}
