//! The output of `check` for programs, and what it finds out on this box by asking.

use std::fmt::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crosswire::vote::claimant::Claimant;
use serde::Serialize;

use crate::agent::vote::Voter;
use crate::agent::witness::Asker;
use crate::clock::now;
use crate::gather::Gather;
use crate::guard::kernel::witness::{open, protocols};
use crate::operator::exit::Exit;
use crate::operator::json;
use crate::plain;
use crate::settings::{ConfigError, KeyFile, Settings, Witness, neighbours};

/// How often the witnesses are asked, and how long they have after each question.
const QUESTIONS: u8 = 4;
const PATIENCE: Duration = Duration::from_millis(250);

/// What was found, for a program: the exit code, and one object for each error; without errors, one for each
/// warning, which is a line of the note with a code.
#[derive(Serialize)]
struct Document<'a> {
    code: u8,
    findings: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    severity: &'static str,
    code: &'a str,
    place: &'a str,
    text: &'a str,
    remedy: &'a str,
}

/// What was found as JSON: one object and a line end.
pub fn json_text(found: &Result<String, Vec<ConfigError>>) -> String {
    let (exit, findings) = match found {
        Ok(note) => (Exit::Done, note.lines().filter_map(warning).gather()),
        Err(errors) => (Exit::Configuration, errors.iter().map(error).gather()),
    };
    json::line(&Document { code: exit.code(), findings }) + "\n"
}

/// What has to be read of a note in which all is well: the warnings, and one line that says whose it is.
pub fn summary(note: &str) -> String {
    let (whose, rest) = plain::cut(note, ".\n").unwrap_or_default();
    let is_needed = |line: &&str| [WARNING, SHADOW].iter().any(|mark| plain::cut(line, mark).is_some());
    let mut said = String::new();
    for line in rest.lines().filter(is_needed) {
        said.push_str(line.trim_start());
        said.push('\n');
    }
    if let Some((_, verdict)) = plain::cut(rest, OK) {
        said.extend([OK, whose, ": ", verdict]);
    }
    said
}

fn warning(line: &str) -> Option<Finding<'_>> {
    let (code, text) = plain::cut(plain::cut(line, WARNING)?.1, "]: ")?;
    Some(Finding { severity: "warning", code, place: "", text, remedy: "" })
}

fn error(found: &ConfigError) -> Finding<'_> {
    let ConfigError { code, place, what, remedy } = found;
    Finding { severity: "error", code, place, text: what, remedy }
}

/// The text before the code of a warning.
const WARNING: &str = "WARNING [";
/// The text before what a node in shadow does not do.
pub const SHADOW: &str = "SHADOW: ";
/// The text before the verdict on a good file.
pub const OK: &str = "OK: ";

/// Warns of addresses that nobody would look for on their interface, and of witnesses that do not answer.
pub fn write_doubts(settings: &Settings, out: &mut String) {
    for group in &settings.groups {
        for address in &group.addresses {
            if neighbours::is_outside(&address.interface, address.ip) {
                // Writing into memory cannot fail.
                let _ = writeln!(
                    out,
                    "\nWARNING [outside]: {} is in no network of {}",
                    address.ip, address.interface
                );
            }
        }
    }
    let vote = settings.vote.filter(|_| cfg!(feature = "witness"));
    if let Some(to) = vote.filter(|to| !does_vote_answer(settings, *to)) {
        let _ = writeln!(
            out,
            "\nWARNING [vote]: the voting witness {to} does not answer this box: it is off, out of reach, or \
                has no key of this pair (`crosswire keygen --witness` makes it)"
        );
    }
    let answered = answering_witnesses(&settings.witnesses);
    for (index, witness) in settings.witnesses.iter().enumerate() {
        if answered.is_some_and(|bits| bits >> index & 1 == 0) {
            let _ =
                writeln!(out, "\nWARNING [witness]: {witness} does not answer this box, and decides nothing");
        }
    }
}

/// Whether the voting witness answers: the first question of a run that nobody knows changes nothing there.
/// No answer also means that it does not have the pair's key.
fn does_vote_answer(settings: &Settings, to: SocketAddr) -> bool {
    let Ok(keys) = KeyFile::load(&settings.key_file) else { return false };
    let Some(mut voter) = Voter::new(to, &settings.pair, &keys) else { return false };
    let run = now().as_us().to_le_bytes();
    let mut claimant = Claimant::new(settings.me, run, settings.policy.interval(), settings.policy.lease);
    for _ in 0..QUESTIONS {
        voter.ask(&claimant.ask(now(), 0));
        thread::sleep(PATIENCE);
        while let Some(read) = voter.read() {
            if read.is_some_and(|reply| claimant.hear(now(), &reply)) {
                return true;
            }
        }
    }
    false
}

/// Which witnesses answer in time, as bits; `None` if nobody can be asked.
fn answering_witnesses(witnesses: &[Witness]) -> Option<u32> {
    // The nonce need not be secret: a forged answer deceives only the reader of this note.
    let mut asker = Asker::new(witnesses.to_vec(), [0; 16]);
    for is_v6 in protocols(witnesses) {
        asker.become_able(is_v6, open(is_v6).ok()?);
    }
    let mut answered = 0_u32;
    for _ in 0..QUESTIONS {
        if answered.count_ones() as usize == witnesses.len() {
            break;
        }
        asker.ask(now());
        thread::sleep(PATIENCE);
        for (index, _) in asker.answers() {
            answered |= 1 << index;
        }
    }
    Some(answered)
}
