//! `crosswire why`: the newest decision or fault and its cause in the first line; then the last decisions of
//! this node, also those not to act, with their evidence.

use std::io::Write;
use std::path::PathBuf;

use crosswire::time::Span;

use super::option::{flag, option, options};
use super::status::not_answered;
use crate::operator::cause::Entry;
use crate::operator::control::{Answer, DEFAULT_RUN_DIR, History, MAX_PIECE_BYTES, Question, ask};
use crate::operator::exit::{Exit, complain};
use crate::operator::{why_json, why_text};
use crate::plain;
use crate::settings::parse_span;

options! {
    /// Tell why this node did what it did, and why it did not
    pub struct WhyOptions("why") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// How many entries at most
        last: usize = option("--last", "COUNT").or("30"),
        /// What happened so long ago (90s, 10m, 2h), a minute before and after it
        at: Option<String> = option("--at", "TIME"),
        /// As JSON
        json: bool = flag("--json"),
        /// Draw it: paths, lines, the peer and the groups over time
        svg: Option<PathBuf> = option("--svg", "FILE"),
        /// Write what the decision was told last, for `simulate --replay`
        record: Option<PathBuf> = option("--record", "FILE"),
    }
}

/// How long before and after its instant `--at` shows.
const AROUND: Span = Span::from_s(60);

/// Asks, and tells the answer, the oldest entry first.
pub fn run(options: &WhyOptions, out: &mut impl Write) -> Exit {
    let at = match options.at.as_deref().map(|text| (text, parse_span(text))) {
        Some((text, None)) => {
            let what = format!("--at {text}: say how long ago, as in 90s, 10m or 2h");
            return complain(Exit::Usage, options.json, &what);
        }
        other => other.and_then(|(_, span)| span),
    };
    if let Some(file) = &options.record {
        return record(options, file);
    }
    let answer = match ask(&options.run_dir, &Question::Why(u16::MAX)) {
        Ok(answer) => answer,
        Err(error) => return not_answered(&options.run_dir, &error, options.json),
    };
    let Some(mut history) = answer.history() else { return Exit::Refused };
    if let Some(at) = at {
        // The state at that instant follows from earlier entries, so only later ones are dropped.
        history.entries.retain(|(age, ..)| *age + AROUND >= at);
        history.state = None;
    }
    if let Some(file) = &options.svg {
        return draw(&history, file);
    }
    // The first line comes of all of them, however few are shown.
    let mut left = history.entries.len();
    let is_shown = |(age, ..): &Entry| {
        left = left.saturating_sub(1);
        at.map_or(left < options.last, |at| *age <= at + AROUND)
    };
    let text = if options.json {
        why_json::text(&history, is_shown)
    } else {
        plain::lines(&why_text::text_of(&history, true, is_shown))
    };
    // A reader that closed the pipe has seen enough.
    let _ = out.write_all(text.as_bytes());
    Exit::Done
}

/// Fetches the recording piece by piece, and writes it when it is whole.
fn record(options: &WhyOptions, file: &std::path::Path) -> Exit {
    let mut recording = Vec::new();
    let mut number = 0;
    while recording.len() < MAX_RECORDING_BYTES {
        let from = u32::try_from(recording.len()).unwrap_or(u32::MAX);
        match ask(&options.run_dir, &Question::Recording { number, from }) {
            Ok(Answer::Recording { number: given, bytes: piece }) if number == 0 || number == given => {
                number = given;
                recording.extend_from_slice(&piece);
                if piece.len() < MAX_PIECE_BYTES {
                    return save(options, file, &recording);
                }
            }
            Ok(Answer::Recording { .. }) => {
                let what = format_args!("somebody else has asked for a recording meanwhile: ask again");
                return complain(Exit::Refused, options.json, &what);
            }
            Ok(
                Answer::Status(_)
                | Answer::History(_)
                | Answer::Accepted
                | Answer::Denied(_)
                | Answer::PeerSays(_),
            ) => return Exit::Refused,
            Err(error) => return not_answered(&options.run_dir, &error, options.json),
        }
    }
    complain(Exit::Refused, options.json, &format_args!("the daemon sends more than a recording has"))
}

fn save(options: &WhyOptions, file: &std::path::Path, recording: &[u8]) -> Exit {
    match std::fs::write(file, recording) {
        Ok(()) => Exit::Done,
        Err(error) => complain(Exit::Refused, options.json, &format_args!("{}: {error}", file.display())),
    }
}

/// Longer than any recording.
const MAX_RECORDING_BYTES: usize = 1024 * 1024;

#[cfg(feature = "picture")]
fn draw(history: &History, file: &std::path::Path) -> Exit {
    use crate::operator::{cause::headline, picture};

    let names = history.names();
    let marked = headline(&history.entries, &history.node, &names);
    let marked = marked.as_ref().map(|headline| (headline.index, headline.said.as_str()));
    let drawn = picture::svg(&history.entries, marked, &history.node, &names);
    match std::fs::write(file, drawn) {
        Ok(()) => Exit::Done,
        Err(error) => complain(Exit::Refused, false, &format_args!("{}: {error}", file.display())),
    }
}

#[cfg(not(feature = "picture"))]
fn draw(_: &History, _: &std::path::Path) -> Exit {
    complain(Exit::Usage, false, &"crosswire: this build draws nothing; see --json")
}
