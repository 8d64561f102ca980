//! `crosswire why`: the newest decision or fault and its cause in the first line; then the last decisions of
//! both nodes, also those not to act, with their evidence: what the agent knows, and what is in the journal.

use std::io::Write;
use std::path::{Path, PathBuf};

use crosswire::quorum::record::Record;
use crosswire::time::{Instant, Span};

use super::option::{flag, option, options};
use super::status::not_answered;
use crate::gather::Gather;
use crate::operator::cause::headline;
use crate::operator::control::{Answer, DEFAULT_RUN_DIR, History, MAX_PIECE_BYTES, Question, ask};
use crate::operator::exit::{Exit, complain};
use crate::operator::recall::{self, Item, Memory, Moment};
use crate::operator::{why_json, why_text};
use crate::plain;
use crate::settings::{Settings, parse_span};

options! {
    /// Tell why this node did what it did, and why it did not
    pub struct WhyOptions("why") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// How many entries at most
        last: usize = option("--last", "COUNT").or("30"),
        /// What happened so long ago (90s, 10m, 2h), a minute before and after it
        at: Option<String> = option("--at", "TIME"),
        /// The journal that is here, and no daemon
        journal: Option<PathBuf> = option("--journal", "FILE"),
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

/// Asks, and tells the answer, the oldest entry first. Where no daemon answers, the journal that it left is
/// told.
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
    let asked = options.journal.is_none().then(|| ask(&options.run_dir, &Question::Why(u16::MAX)));
    let (exit, told) = match asked {
        None => (Exit::Done, None),
        Some(Ok(answer)) => match answer.history() {
            Some(history) => (Exit::Done, Some(history)),
            None => return Exit::Refused,
        },
        Some(Err(error)) => (not_answered(&options.run_dir, &error, options.json), None),
    };
    let (memory, history) = match remember(options, told) {
        Ok(Some(all)) => all,
        Ok(None) => return exit,
        Err(why) => return complain(Exit::Refused, options.json, &why),
    };
    if let Some(file) = &options.svg {
        return draw(&history, (&memory, at), file);
    }
    show(options, (at, &history), &memory, out);
    exit
}

/// What the daemon has told and what is on disk, together; none if neither tells anything.
fn remember(
    options: &WhyOptions,
    told: Option<Box<History>>,
) -> Result<Option<(Memory, Box<History>)>, String> {
    let base = match &options.journal {
        Some(path) => Some(recall::base_of(path)),
        None => recall::of_run(&options.run_dir).or_else(usual_base),
    };
    let moment = Moment::now();
    let up = told.as_ref().map_or(moment.now, |history| Instant::ORIGIN + history.up);
    let mut memory = match base.as_deref() {
        Some(base) => Memory::of(base, Moment { now: up, ..moment }),
        None => Memory::default(),
    };
    if let (Some(path), None) = (&options.journal, &memory.last_run) {
        return Err(format!(
            "{}: no journal of this version: name a file PAIR.NODE.journal.0",
            path.display()
        ));
    }
    let is_told = told.is_some();
    let Some(mut history) = told.or_else(|| memory.last_run.take().map(Box::new)) else { return Ok(None) };
    memory.add(&history);
    if history.state.is_none() && headline(&history.entries, &history.node, &history.names()).is_none() {
        // What was decided before the agent of now tells more; what was not well then may be well now.
        history.entries = memory.own().filter(|(_, record, ..)| !is_told || is_move(record)).gather();
    }
    Ok(Some((memory, history)))
}

const fn is_move(record: &Record) -> bool {
    matches!(record, Record::Taking { .. } | Record::Releasing { .. } | Record::Incident(_))
}

/// Where the journal is by the usual configuration: for a box on which no daemon has run since its boot.
fn usual_base() -> Option<PathBuf> {
    Settings::load(Path::new("/etc/crosswire/crosswire.toml"), None).ok()?.journal_base()
}

fn show(
    options: &WhyOptions,
    (at, history): (Option<Span>, &History),
    Memory { items, runs, .. }: &Memory,
    out: &mut impl Write,
) {
    let skipped = if at.is_some() { 0 } else { items.len().saturating_sub(options.last) };
    let is_near = |item: &&Item| at.is_none_or(|at| item.age <= at + AROUND && item.age + AROUND >= at);
    let shown = items.iter().skip(skipped).filter(is_near);
    let first_line = why_text::first_line(history);
    let nodes = [history.node.as_str(), history.peer.as_str()];
    let text = if options.json {
        why_json::text(first_line, shown, (runs, nodes))
    } else {
        plain::lines(&why_text::text_of(&first_line, shown, (runs, nodes[1])))
    };
    // A reader that closed the pipe has seen enough.
    let _ = out.write_all(text.as_bytes());
}

/// Fetches the recording piece by piece, and writes it when it is whole.
fn record(options: &WhyOptions, file: &std::path::Path) -> Exit {
    if !cfg!(feature = "recorder") {
        let what = "--record: this build records nothing; a build with the feature \"recorder\" does";
        return complain(Exit::Refused, options.json, &what);
    }
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
fn draw(history: &History, (memory, at): (&Memory, Option<Span>), file: &Path) -> Exit {
    use crate::operator::picture;

    let names = history.names();
    // The state at that instant follows from earlier entries, so only later ones are dropped.
    let entries: Vec<_> = memory.own().filter(|(age, ..)| at.is_none_or(|at| *age + AROUND >= at)).gather();
    let marked = headline(&entries, &history.node, &names);
    let marked = marked.as_ref().map(|headline| (headline.index, headline.said.as_str()));
    let seen = picture::OnRecord { me: &history.node, entries: &entries, names: &names };
    let drawn = picture::svg(seen, marked);
    match std::fs::write(file, drawn) {
        Ok(()) => Exit::Done,
        Err(error) => complain(Exit::Refused, false, &format_args!("{}: {error}", file.display())),
    }
}

#[cfg(not(feature = "picture"))]
fn draw(_: &History, _: (&Memory, Option<Span>), _: &Path) -> Exit {
    complain(Exit::Usage, false, &"crosswire: this build draws nothing; see --json")
}
