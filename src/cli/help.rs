//! What `--help` shows of a command's table.

use std::fmt::Write as _;

use super::option::{Kind, Spec, Word};
use crate::gather::Gather;

/// No line is longer, unless one word is.
const LINE_CHARS: usize = 100;
const ABOUT: &str = "Keeps one of two gateways serving, over a null-modem cable and Ethernet.";
const HELP: &str = "Prints help information";
const VERSION: &str = "Prints version information";

/// What people type most, by command.
const EXAMPLES: [(&str, &[&str]); 14] = [
    ("run", &["crosswire run --foreground", "crosswire run --check && /etc/init.d/crosswire restart"]),
    ("check", &["crosswire check", "crosswire check --offline --config new.toml", "crosswire check --peer"]),
    (
        "status",
        &["crosswire status -v", "crosswire status --watch", "crosswire status -q || mail -s gateway root"],
    ),
    ("why", &["crosswire why", "crosswire why --at 10m", "crosswire why --json --last 100"]),
    ("peer", &["crosswire peer status", "crosswire peer --cable why"]),
    ("handover", &["crosswire handover gateway --reason 'new kernel'"]),
    ("takeover", &["crosswire takeover gateway", "crosswire takeover gateway --peer-is-off"]),
    ("standby", &["crosswire standby --reason 'new disk'"]),
    ("maintenance", &["crosswire maintenance on --for 90m", "crosswire maintenance off"]),
    ("drill", &["crosswire drill gateway"]),
    ("fence", &["crosswire fence --test"]),
    ("keygen", &["crosswire keygen", "crosswire keygen --rotate", "crosswire keygen --witness gateway"]),
    ("witness", &["crosswire witness --check", "crosswire witness --foreground --listen 10.0.0.254"]),
    ("import", &["crosswire import /etc/ha.d"]),
];

/// The examples of a command.
pub fn examples(spec: &Spec) -> &'static [&'static str] {
    EXAMPLES.iter().find(|(name, _)| *name == spec.name).map_or(&[], |(_, lines)| lines)
}

/// One entry: what to type, what it is for, what is used if it is not given.
type Entry = (String, &'static str, Option<&'static str>);

/// The help of crosswire: its commands.
pub fn overview(specs: &mut dyn Iterator<Item = &'static Spec>) -> String {
    let mut text = format!("{ABOUT}\n\nUsage: crosswire COMMAND ...\n");
    let options = [("-h, --help".to_owned(), HELP, None), ("-V, --version".to_owned(), VERSION, None)];
    section(&mut text, "Available options", &options);
    let commands: Vec<Entry> = specs.map(|spec| (spec.name.to_owned(), spec.about, None)).gather();
    section(&mut text, "Available commands", &commands);
    text
}

/// The help of one command.
pub fn of_command(spec: &Spec) -> String {
    let mut text = format!("{}\n\nUsage: crosswire {}\n", spec.about.trim(), synopsis(spec));
    let entry = |word: &Word| (shape(word), word.help, word.default);
    let of_kind =
        |kinds: &[Kind]| spec.words.iter().filter(|word| kinds.contains(&word.kind)).map(entry).gather();
    let operands: Vec<Entry> = of_kind(&[Kind::Operand]);
    let mut options: Vec<Entry> = of_kind(&[Kind::Flag, Kind::Option]);
    options.push(("-h, --help".to_owned(), HELP, None));
    if !operands.is_empty() {
        section(&mut text, "Available positional items", &operands);
    }
    section(&mut text, "Available options", &options);
    for (index, line) in examples(spec).iter().enumerate() {
        let heading = if index == 0 { "\nExamples:\n" } else { "" };
        let _ = writeln!(text, "{heading}    {line}");
    }
    text
}

/// `run [--config=FILE] [--foreground]`
pub fn synopsis(spec: &Spec) -> String {
    let mut text = spec.name.to_owned();
    for word in spec.words.iter().filter(|word| word.kind != Kind::Hidden) {
        let shape = shape(word);
        let shape = shape.trim_start();
        // Writing to a string cannot fail.
        let _ = if word.is_optional { write!(text, " [{shape}]") } else { write!(text, " {shape}") };
    }
    text
}

/// `    --config=FILE`, beside which `-h, --help` has its short form.
fn shape(word: &Word) -> String {
    match word.kind {
        Kind::Flag => format!("    {}", word.name),
        Kind::Option | Kind::Hidden => format!("    {}={}", word.name, word.value),
        Kind::Operand => word.value.to_owned(),
    }
}

fn section(text: &mut String, title: &str, entries: &[Entry]) {
    let width = entries.iter().map(|(shape, ..)| shape.len()).max().unwrap_or(0);
    let _ = write!(text, "\n{title}:");
    for (shape, about, default) in entries {
        let _ = write!(text, "\n    {shape:width$} ");
        let indent = width + 6;
        let mut at = indent - 1;
        for word in about.split_whitespace() {
            if at + 1 + word.len() > LINE_CHARS {
                let _ = write!(text, "\n{:at$}", "", at = indent - 1);
                at = indent - 1;
            }
            let _ = write!(text, " {word}");
            at += 1 + word.len();
        }
        if let Some(default) = default {
            let _ = write!(text, "\n{:indent$}[default: {default}]", "");
        }
    }
    text.push('\n');
}
