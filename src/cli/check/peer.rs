//! `check --peer`: our file beside what the peer goes by, as a difference of keys. No file travels: the peer
//! tells what both must agree on, over the pair's own paths.

use std::fmt::Write as _;
use std::io::Write;

use crosswire::frame::aside::Subject;
use serde::Serialize;

use super::CheckOptions;
use super::agreed::{Agreed, Difference};
use crate::cli::peer::{ask_peer, unheard};
use crate::cli::status::unanswered;
use crate::gather::Gather;
use crate::operator::control::Answer;
use crate::operator::exit::{Exit, complain};
use crate::operator::json;
use crate::plain;
use crate::settings::Settings;

/// What came of it.
pub(super) enum Outcome {
    Same,
    /// In these keys; and whether that is all that was told.
    Differs(Vec<Difference>, bool),
    NotAsked(Exit, String),
}

#[derive(Serialize)]
struct Document<'a> {
    code: u8,
    verdict: &'static str,
    node: &'a str,
    peer: &'a str,
    /// Not all of what the peer goes by was told: more may differ.
    is_cut: bool,
    text: String,
    differences: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    key: &'a str,
    /// One that is on the other node alone, or that differs in what is not shown, has no value.
    is_here: bool,
    is_there: bool,
    here: Option<&'a str>,
    there: Option<&'a str>,
}

/// Asks the peer, and says what differs.
pub fn run(options: &CheckOptions, settings: &Settings, out: &mut impl Write) -> Exit {
    let outcome = compare(options, settings);
    let exit = match &outcome {
        Outcome::Same => Exit::Done,
        Outcome::Differs(..) => Exit::Refused,
        Outcome::NotAsked(exit, _) => *exit,
    };
    let text = match &outcome {
        _ if options.json => document(settings, &outcome, exit),
        Outcome::NotAsked(exit, why) => return complain(*exit, false, why),
        outcome => plain::wrapped(&said(settings, outcome)),
    };
    // A reader that has gone away cannot be told.
    out.write_all(text.as_bytes()).map_or(Exit::Refused, |()| exit)
}

fn compare(options: &CheckOptions, settings: &Settings) -> Outcome {
    let not_asked = |why: &str| Outcome::NotAsked(Exit::NotRunning, format!("not asked: {why}"));
    let text = match ask_peer(&options.run_dir, Subject::Settings, false) {
        Ok(Answer::PeerSays(Ok(text))) => text,
        Ok(Answer::PeerSays(Err(why))) => return not_asked(unheard(why)),
        Ok(_) => return not_asked("the daemon here is of another version: restart it"),
        Err(error) => {
            let (exit, why) = unanswered(&options.run_dir, &error);
            return Outcome::NotAsked(exit, format!("not asked: {why}"));
        }
    };
    let (Some(ours), Some(theirs)) = (Agreed::of(settings), Agreed::told(&text)) else {
        let peer = settings.peer_name();
        return not_asked(&format!(
            "{peer}, or the daemon here, is of an older version, which tells no settings"
        ));
    };
    judge(&ours, &theirs).unwrap_or_else(|| {
        not_asked(&format!(
            "{} is of another version, which tells them in another form",
            settings.peer_name()
        ))
    })
}

/// The checksum covers all of it, also what is not told.
pub(super) fn judge(ours: &Agreed, theirs: &Agreed) -> Option<Outcome> {
    if !ours.is_like(theirs) {
        return None;
    }
    Some(if ours.is_same(theirs) {
        Outcome::Same
    } else {
        Outcome::Differs(ours.differences(theirs), theirs.is_whole())
    })
}

/// What a person reads.
pub(super) fn said(settings: &Settings, outcome: &Outcome) -> String {
    let (file, peer) = (settings.file.display(), settings.peer_name());
    let (differences, is_whole) = match outcome {
        Outcome::Same => return format!("the same: {peer} goes by what {file} says\n"),
        Outcome::NotAsked(_, why) => return why.clone(),
        Outcome::Differs(differences, is_whole) => (differences, *is_whole),
    };
    let keys = match differences.len() {
        0 => "no key that is told".to_owned(),
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    };
    let mut text = format!("different: {peer} does not go by what {file} says, in {keys}\n");
    for difference in differences {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  {}", line(difference, peer));
    }
    if !is_whole {
        let _ = writeln!(text, "  CUT: what {peer} goes by is too long to be told whole: more may differ");
    } else if differences.is_empty() {
        text.push_str("  the checksums differ, and only they tell it\n");
    }
    let _ = writeln!(text, "Have the right file on both nodes, then `crosswire reload` where it was not.");
    text
}

/// One key as a person reads it.
pub(super) fn line(difference: &Difference, peer: &str) -> String {
    let Difference { key, is_in, values } = difference;
    match (is_in, values) {
        (_, [Some(here), Some(there)]) => format!("{key}: here {here}, on {peer} {there}"),
        ([true, true], _) => format!("{key}: not the same (not shown: it may hold a password)"),
        ([true, false], [Some(here), _]) => format!("{key}: here {here}, not on {peer}"),
        ([true, false], _) => format!("{key}: only here"),
        (_, [_, Some(there)]) => format!("{key}: on {peer} {there}, not here"),
        _ => format!("{key}: only on {peer}"),
    }
}

pub(super) fn document(settings: &Settings, outcome: &Outcome, exit: Exit) -> String {
    let none = Vec::new();
    let (verdict, differences, is_whole) = match outcome {
        Outcome::Same => ("same", &none, true),
        Outcome::Differs(differences, is_whole) => ("differs", differences, *is_whole),
        Outcome::NotAsked(..) => ("not_asked", &none, true),
    };
    let differences =
        differences.iter().map(|Difference { key, is_in: [is_here, is_there], values: [here, there] }| {
            Entry {
                key,
                is_here: *is_here,
                is_there: *is_there,
                here: here.as_deref(),
                there: there.as_deref(),
            }
        });
    let text = said(settings, outcome);
    let document = Document {
        code: exit.code(),
        verdict,
        node: settings.my_name(),
        peer: settings.peer_name(),
        is_cut: !is_whole,
        text: text.lines().next().unwrap_or_default().to_owned(),
        differences: differences.gather(),
    };
    json::line(&document) + "\n"
}
