//! `crosswire handover` and `takeover`: planned moves of a group, asked of the running daemon and followed to
//! their end.

use std::io::Write;
use std::path::{Path, PathBuf};

use crosswire::pair::Role;
use crosswire::quorum::event::Demand;

use super::option::{flag, operand, option, options};
use super::progress::Progress;
use super::request::{Patience, demand, my_name, peer_of, report, unless_accepted};
use crate::clock::now;
use crate::operator::control::{DEFAULT_RUN_DIR, Question, Report};
use crate::operator::exit::{Exit, complain};
use crate::operator::words;

options! {
    /// Let the peer serve a group that this node serves
    pub struct HandoverOptions("handover") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// Why, for the log
        reason: Option<String> = option("--reason", "TEXT"),
        /// The group
        group: String = operand("GROUP"),
    }
}

options! {
    /// Serve a group that the peer serves
    pub struct TakeoverOptions("takeover") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// You have seen that the peer is off: replaces missing evidence, never the probe
        peer_is_off: bool = flag("--peer-is-off"),
        /// Why, for the log
        reason: Option<String> = option("--reason", "TEXT"),
        /// The group
        group: String = operand("GROUP"),
    }
}

/// Asks for a handover and follows it.
pub fn handover(options: &HandoverOptions, out: &mut impl Write) -> Exit {
    let question = demand(Demand::Handover(options.group.clone()), &options.reason);
    follow(&options.run_dir, &question, &options.group, Role::Backup, out)
}

/// Asks for a takeover and follows it.
pub fn takeover(options: &TakeoverOptions, out: &mut impl Write) -> Exit {
    let group = options.group.clone();
    let what = if options.peer_is_off { Demand::TakeoverPeerIsOff(group) } else { Demand::Takeover(group) };
    let question = demand(what, &options.reason);
    follow(&options.run_dir, &question, &options.group, Role::Active, out)
}

fn follow(run_dir: &Path, question: &Question, group: &str, wanted: Role, out: &mut impl Write) -> Exit {
    let before = report(run_dir).and_then(|report| newest_term(&report, group));
    let progress = Progress::begin(run_dir);
    unless_accepted(run_dir, question, &format!("group {group}: "))
        .unwrap_or_else(|| follow_to_end(run_dir, (group, wanted, before), progress, out))
}

/// Follows the move of a group; `wanted` is the role that this node shall have, `before` the term before the
/// request. A move that fails is followed until one of the nodes serves again.
fn follow_to_end(
    run_dir: &Path,
    (group, wanted, before): (&str, Role, Option<u32>),
    mut progress: Progress,
    out: &mut impl Write,
) -> Exit {
    let start = now();
    let mut patience = Patience::begin(start);
    let (mut failure, mut block) = (None, None);
    while !patience.is_over(now()) {
        let Some(report) = patience.look(run_dir) else { continue };
        progress.look(run_dir, &report);
        block = blocked(&report, group).filter(|_| wanted == Role::Active);
        let ms = now().since(start).as_ms();
        match moved(&report, group, wanted) {
            Moved::Done => {
                let server = if wanted == Role::Active { my_name(&report) } else { peer_of(&report) };
                let verb = if report.is_shadow { "shadow: now would serve" } else { "serves" };
                let _ = writeln!(out, "done: {server} {verb} group {group} ({ms} ms)");
                return Exit::Done;
            }
            Moved::Failed(why) => failure = Some(why),
            Moved::NotYet if failure.is_some() => {}
            // Each move adds one to the term: two steps mean that the group came and went between two looks.
            Moved::NotYet
                if before.is_some_and(|term| newest_term(&report, group) > Some(term.saturating_add(1))) =>
            {
                let what = format_args!("group {group} has moved, and another request has moved it back");
                return complain(Exit::Refused, false, &what);
            }
            Moved::NotYet => {}
        }
        if let (Some(why), Some(server)) = (&failure, server(&report, group)) {
            let what = format_args!("failed: group {group}: {why}; {server} serves it ({ms} ms)");
            return complain(Exit::Refused, false, &what);
        }
    }
    let waited_s = now().since(start).as_ms() / 1_000;
    let what = match failure {
        Some(why) => format!("failed: group {group}: {why}, and nobody serves it yet"),
        None => {
            let why = block.unwrap_or_else(|| "`crosswire status` says why".to_owned());
            format!("group {group} has not moved within {waited_s} s: {why}")
        }
    };
    complain(Exit::Refused, false, &what)
}

/// Why this node does not take a group, as `why` says it.
fn blocked(report: &Report, group: &str) -> Option<String> {
    let index = report.groups.iter().position(|(name, _)| name == group)?;
    Some(words::block(report.node.groups.get(index)?.block?, peer_of(report)))
}

/// Who serves a group.
fn server<'a>(report: &'a Report, group: &str) -> Option<&'a str> {
    match roles(report, group)? {
        (Role::Active, _) => Some(my_name(report)),
        (_, Some(Role::Active)) => Some(peer_of(report)),
        _ => None,
    }
}

/// Our role for a group, and the peer's.
fn roles(report: &Report, group: &str) -> Option<(Role, Option<Role>)> {
    let index = report.groups.iter().position(|(name, _)| name == group)?;
    Some((report.node.groups.get(index)?.role, report.theirs(index).map(|said| said.role)))
}

/// How far a move is.
pub(super) enum Moved {
    Done,
    Failed(String),
    NotYet,
}

/// How far the move is: who serves now, by this node's own role and by what its peer says.
pub(super) fn moved(report: &Report, group: &str, wanted: Role) -> Moved {
    let Some((ours, theirs)) = roles(report, group) else { return Moved::NotYet };
    match (wanted, ours, theirs) {
        (Role::Active, Role::Active, _) | (Role::Backup, Role::Backup, Some(Role::Active)) => Moved::Done,
        (_, Role::Faulty, _) => Moved::Failed("it failed here".to_string()),
        (Role::Backup, _, Some(Role::Faulty)) => Moved::Failed(format!("it failed on {}", peer_of(report))),
        _ => Moved::NotYet,
    }
}

/// The newest term of a group that either node reports.
fn newest_term(report: &Report, group: &str) -> Option<u32> {
    let index = report.groups.iter().position(|(name, _)| name == group)?;
    let ours = report.node.groups.get(index)?.term;
    Some(report.theirs(index).map_or(ours, |said| said.term.max(ours)))
}
