//! `crosswire handover` and `crosswire takeover`: planned moves, asked of the running daemon and followed to their end.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bpaf::Bpaf;
use crosswire::frame::message::Role;

use super::exit::Exit;
use super::status::not_running;
use crate::control::{Answer, DEFAULT_RUN_DIR, Question, Report, ask};
use crate::words;

/// How long a move is followed. Scripts may take longer; the daemon goes on all the same.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Let the peer serve a group that this node serves
#[derive(Clone, Debug, Bpaf)]
#[bpaf(command("handover"))]
pub struct HandoverOptions {
    /// Where the daemon's control socket is
    #[bpaf(argument("DIR"), fallback(PathBuf::from(DEFAULT_RUN_DIR)), debug_fallback)]
    run_dir: PathBuf,
    /// The group
    #[bpaf(positional("GROUP"))]
    group: String,
}

/// Serve a group that the peer serves
#[derive(Clone, Debug, Bpaf)]
#[bpaf(command("takeover"))]
pub struct TakeoverOptions {
    /// Where the daemon's control socket is
    #[bpaf(argument("DIR"), fallback(PathBuf::from(DEFAULT_RUN_DIR)), debug_fallback)]
    run_dir: PathBuf,
    /// You have seen that the peer is off: replaces missing evidence, never the probe
    peer_is_off: bool,
    /// The group
    #[bpaf(positional("GROUP"))]
    group: String,
}

/// Asks for a handover and follows it.
pub fn handover(options: &HandoverOptions, out: &mut impl Write) -> Exit {
    let question = Question::Handover(options.group.clone());
    follow(&options.run_dir, &question, &options.group, Role::Backup, out)
}

/// Asks for a takeover and follows it.
pub fn takeover(options: &TakeoverOptions, out: &mut impl Write) -> Exit {
    let group = options.group.clone();
    let question = if options.peer_is_off { Question::TakeoverPeerIsOff(group) } else { Question::Takeover(group) };
    follow(&options.run_dir, &question, &options.group, Role::Active, out)
}

fn follow(run_dir: &Path, question: &Question, group: &str, wanted: Role, out: &mut impl Write) -> Exit {
    let before = report(run_dir).and_then(|report| newest_term(&report, group));
    match ask(run_dir, question) {
        Ok(Answer::Accepted) => follow_to_end(run_dir, group, wanted, before, out),
        Ok(Answer::Denied(denial)) => {
            let peer = report(run_dir).map_or_else(|| "the peer".to_string(), |report| peer_of(&report).to_string());
            let _ = writeln!(out, "refused: group {group}: {}", words::denial(denial, &peer));
            Exit::Refused
        }
        Ok(Answer::Status(_) | Answer::History(_) | Answer::PeerSays(_)) => Exit::Refused,
        Err(error) => not_running(run_dir, &error, out),
    }
}

/// `before`: the group's term before the request.
fn follow_to_end(run_dir: &Path, group: &str, wanted: Role, before: Option<u32>, out: &mut impl Write) -> Exit {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        std::thread::sleep(LOOK_EVERY);
        let Some(report) = report(run_dir) else { continue };
        match moved(&report, group, wanted) {
            Moved::Done => {
                let server = if wanted == Role::Active { my_name(&report) } else { peer_of(&report) };
                let _ = writeln!(out, "done: {server} serves group {group} ({} ms)", start.elapsed().as_millis());
                return Exit::Done;
            }
            Moved::Failed(why) => {
                let _ = writeln!(out, "failed: group {group}: {why}");
                return Exit::Refused;
            }
            // Each move adds one to the term: this one came and went between two looks.
            Moved::NotYet if before.is_some_and(|term| newest_term(&report, group) > Some(term.saturating_add(1))) => {
                let _ = writeln!(out, "group {group} has moved, and another request has moved it back");
                return Exit::Refused;
            }
            Moved::NotYet => {}
        }
    }
    let _ = writeln!(out, "group {group} has not moved within {} s; `crosswire status` says why", PATIENCE.as_secs());
    Exit::Refused
}

enum Moved {
    Done,
    Failed(String),
    NotYet,
}

/// How far the move is: who serves now, by this node's own role and by what its peer says.
fn moved(report: &Report, group: &str, wanted: Role) -> Moved {
    let Some(index) = report.groups.iter().position(|(name, _)| name == group) else { return Moved::NotYet };
    let Some(ours) = report.node.groups.get(index) else { return Moved::NotYet };
    let theirs = report.node.peer.as_ref().and_then(|peer| peer.groups.get(index).copied().flatten());
    match (wanted, ours.role, theirs) {
        (Role::Active, Role::Active, _) | (Role::Backup, Role::Backup, Some((Role::Active, _))) => Moved::Done,
        (_, Role::Faulty, _) => Moved::Failed("it failed here".to_string()),
        (Role::Backup, _, Some((Role::Faulty, _))) => Moved::Failed(format!("it failed on {}", peer_of(report))),
        _ => Moved::NotYet,
    }
}

/// The newest term of a group that either node reports.
fn newest_term(report: &Report, group: &str) -> Option<u32> {
    let index = report.groups.iter().position(|(name, _)| name == group)?;
    let theirs = report.node.peer.as_ref().and_then(|peer| peer.groups.get(index).copied().flatten());
    let ours = report.node.groups.get(index)?.term;
    Some(theirs.map_or(ours, |(_, term)| term.max(ours)))
}

fn report(run_dir: &Path) -> Option<Box<Report>> {
    match ask(run_dir, &Question::Status) {
        Ok(Answer::Status(report)) => Some(report),
        Ok(Answer::History(_) | Answer::Accepted | Answer::Denied(_) | Answer::PeerSays(_)) | Err(_) => None,
    }
}

fn my_name(report: &Report) -> &str {
    &report.nodes[report.node.me.index()]
}

fn peer_of(report: &Report) -> &str {
    &report.nodes[report.node.me.peer().index()]
}
