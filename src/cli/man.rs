//! `crosswire man`: the manual and the shells' completions, from the tables that `--help` shows.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::completion;
use super::help;
use super::option::{Kind, Spec, Word, operand, options};
use crate::operator::exit::Exit;

/// The annotated configuration: what crosswire.toml(5) shows.
const CONFIGURATION: &str = include_str!("../../config/crosswire.toml");
/// Commands that the router build lacks.
const WORKBENCH: [&str; 3] = ["demo", "simulate", "man"];
/// What comes before the options in crosswire(8).
const WHAT_IT_IS: &str = "crosswire keeps one gateway out of two alive: two boxes share a service address \
    and some \
    services, and when one of them is gone the other takes over. The two hear each other over a null-modem \
    cable first \
    and the Ethernet second; one takes over only when both show that the other is dead, or, where one of \
    them was broken \
    before, when a witness is in sight.";
/// Files that a pair has.
const FILES: [(&str, &str); 7] = [
    ("/etc/crosswire/crosswire.toml", "The configuration, the same on both boxes: crosswire.toml(5)."),
    ("/etc/crosswire/key", "The shared secret, mode 0600: crosswire keygen."),
    (
        "/etc/crosswire/witness-keys",
        "On a voting witness: a file for each pair, mode 0600: crosswire keygen --witness.",
    ),
    (
        "/run/crosswire/crosswire.pid",
        "The process to send SIGTERM to: it hands over first, and at once when it gets a second one.",
    ),
    ("/run/crosswire/control", "The socket on which root asks and orders."),
    (
        "/var/lib/crosswire/journal/PAIR.NODE.journal.0, .1",
        "What has been decided, for crosswire why, if the configuration names that directory.",
    ),
    (
        "/run/crosswire/query",
        "The socket on which members of the group crosswire may ask for status, why and peer.",
    ),
];

/// What the daemon does at a signal.
const SIGNALS: [(&str, &str); 3] = [
    ("SIGTERM, SIGINT", "Hands over, says goodbye and ends; a second one ends it at once."),
    ("SIGHUP", "Reads the configuration anew, as crosswire reload does; a witness its keys."),
    ("SIGUSR1", "Has a witness log what it has answered and refused."),
];

options! {
    /// Write the manual pages and the shells' completions into a directory
    pub struct ManOptions("man") {
        /// Where crosswire.8, crosswire.toml.5 and crosswire.bash, .zsh and .fish go
        directory: PathBuf = operand("DIR"),
    }
}

/// Writes the files; `specs` are those of all commands.
pub fn run(options: &ManOptions, specs: impl Iterator<Item = &'static Spec>, out: &mut impl Write) -> Exit {
    let specs: Vec<&Spec> = specs.filter(|spec| !WORKBENCH.contains(&spec.name)).collect();
    match write_all(&options.directory, &specs) {
        Ok(()) => Exit::Done,
        Err(error) => {
            let _ = writeln!(out, "{}: cannot be written: {error}", options.directory.display());
            Exit::Refused
        }
    }
}

fn write_all(directory: &Path, specs: &[&Spec]) -> io::Result<()> {
    files(specs).into_iter().try_for_each(|(name, text)| fs::write(directory.join(name), text))
}

/// Every file with its name.
fn files(specs: &[&Spec]) -> [(&'static str, String); 5] {
    [
        ("crosswire.8", commands_page(specs)),
        ("crosswire.toml.5", configuration_page()),
        ("crosswire.bash", completion::bash(specs)),
        ("crosswire.zsh", completion::zsh(specs)),
        ("crosswire.fish", completion::fish(specs)),
    ]
}

/// crosswire(8), in the macros of man(7).
fn commands_page(specs: &[&Spec]) -> String {
    let mut page = title("CROSSWIRE", 8);
    section(&mut page, "NAME", "crosswire \\- keeps one of two gateways serving");
    section(&mut page, "SYNOPSIS", ".B crosswire\n.I COMMAND\n[options]");
    section(&mut page, "DESCRIPTION", &roff(WHAT_IT_IS));
    section(&mut page, "COMMANDS", "Every command explains itself with\n.BR \\-\\-help .");
    let mut examples: Vec<&str> = Vec::new();
    for spec in specs {
        let _ = write!(page, ".SS crosswire {}\n{}.\n", roff(&help::synopsis(spec)), roff(spec.about.trim()));
        for word in spec.words.iter().filter(|word| word.kind != Kind::Hidden) {
            entry(&mut page, &shape(word), &with_default(word));
        }
        examples.extend(help::examples(spec));
    }
    section(&mut page, "EXIT STATUS", "");
    for exit in Exit::ALL {
        entry(&mut page, &exit.code().to_string(), exit.meaning());
    }
    section(&mut page, "FILES", "");
    for (file, what) in FILES {
        entry(&mut page, file, what);
    }
    section(&mut page, "SIGNALS", "");
    for (signal, what) in SIGNALS {
        entry(&mut page, signal, what);
    }
    section(&mut page, "ENVIRONMENT", "");
    entry(&mut page, "LINES", "How many lines status --watch may use; 24 if it is not set.");
    section(&mut page, "EXAMPLES", ".nf");
    for line in examples {
        let _ = writeln!(page, "{}", roff(line));
    }
    page.push_str(".fi\n");
    section(&mut page, "SEE ALSO", ".BR crosswire.toml (5)");
    page
}

/// crosswire.toml(5): the annotated file as it is shipped.
fn configuration_page() -> String {
    let mut page = title("CROSSWIRE.TOML", 5);
    section(&mut page, "NAME", "crosswire.toml \\- what a pair of gateways has to know");
    section(
        &mut page,
        "DESCRIPTION",
        "One file, the same on both boxes, in TOML. An unknown key is an error. What it promises, with all \
            times, is said by\n\
         .BR \"crosswire check\" .\nEvery key with its meaning and default:\n.PP\n.nf",
    );
    for line in CONFIGURATION.lines() {
        let _ = writeln!(page, "{}", roff(line));
    }
    page.push_str(".fi\n");
    section(&mut page, "SEE ALSO", ".BR crosswire (8)");
    page
}

fn title(name: &str, number: u8) -> String {
    format!(
        ".\\\" Made by `crosswire man`.\n.TH {name} {number} \"\" \"crosswire {}\"\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn section(page: &mut String, name: &str, text: &str) {
    let _ = writeln!(page, ".SH {name}");
    if !text.is_empty() {
        let _ = writeln!(page, "{text}");
    }
}

fn entry(page: &mut String, what: &str, meaning: &str) {
    let _ = write!(page, ".TP\n.B {}\n{}\n", roff(what), roff(meaning.trim()));
}

fn shape(word: &Word) -> String {
    match word.kind {
        Kind::Flag => word.name.to_owned(),
        Kind::Option | Kind::Hidden => format!("{}={}", word.name, word.value),
        Kind::Operand => word.value.to_owned(),
    }
}

fn with_default(word: &Word) -> String {
    match word.default {
        Some(default) => format!("{} (default: {default})", word.help.trim()),
        None => word.help.trim().to_owned(),
    }
}

/// Text as man(7) wants it: its control characters at the start of a line and its escapes are only text.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_taken_for_a_request() {
        assert_eq!(roff(".TH is text, \\fB too, --x"), "\\&.TH is text, \\efB too, \\-\\-x");
        assert_eq!(roff("'quoted'"), "\\&'quoted'");
    }

    /// The files that are installed are those of this source; `crosswire man config/man` makes them anew.
    #[test]
    fn the_shipped_pages_are_those_of_this_source() {
        let specs: Vec<&Spec> =
            super::super::specs().filter(|spec| !WORKBENCH.contains(&spec.name)).collect();
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/man");
        for (file, expected) in files(&specs) {
            let shipped = fs::read_to_string(config.join(file)).unwrap_or_default();
            assert!(
                shipped == expected,
                "config/man/{file} is old: make it with `cargo run -- man config/man`"
            );
        }
    }
}
