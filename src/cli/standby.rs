//! `crosswire standby` and `online`: this node holds nothing until it is told that it may again.

use std::io::Write;
use std::path::{Path, PathBuf};

use crosswire::pair::Role;
use crosswire::quorum::event::Demand;
use crosswire::quorum::facts::Standby;

use super::option::{flag, option, options};
use super::progress::Progress;
use super::request::{Patience, demand, insist, keep, my_name, peer_of, report, unless_accepted};
use crate::clock::now;
use crate::gather::Gather;
use crate::operator::control::{DEFAULT_RUN_DIR, Report};
use crate::operator::exit::{Exit, complain};
use crate::operator::restraint::SavedRestraint;

options! {
    /// Hold nothing until told `online`: the peer serves everything
    pub struct StandbyOptions("standby") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// Even if the peer cannot serve instead
        force: bool = flag("--force"),
        /// Why, for the log
        reason: Option<String> = option("--reason", "TEXT"),
    }
}

options! {
    /// End standby: this node may serve again
    pub struct OnlineOptions("online") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
    }
}

/// Asks for standby and follows it until nothing is held here and the peer serves what was held; with
/// `--force`, whether the peer serves or not.
pub fn standby(options: &StandbyOptions, out: &mut impl Write) -> Exit {
    let question = demand(Demand::Standby { force: options.force }, &options.reason);
    let progress = Progress::begin(&options.run_dir);
    let held = report(&options.run_dir)
        .filter(|_| !options.force)
        .map_or_else(Vec::new, |report| held_here(&report));
    let standby = if options.force { Standby::Forced } else { Standby::Asked };
    unless_accepted(&options.run_dir, &question, "").unwrap_or_else(|| {
        keep(&options.run_dir, |saved| {
            saved.restraint.standby = standby;
            saved.reason.clone_from(&options.reason);
        });
        insist(&options.run_dir, &question, |report| report.node.is_standby);
        follow_until_free(&options.run_dir, &held, progress, out)
    })
}

/// Asks for the end of standby.
pub fn online(options: &OnlineOptions, out: &mut impl Write) -> Exit {
    unless_accepted(&options.run_dir, &demand(Demand::Online, &None), "").unwrap_or_else(|| {
        keep(&options.run_dir, end_standby);
        let _ = writeln!(out, "done: this node may serve again");
        Exit::Done
    })
}

/// The groups that this node holds, by their places.
fn held_here(report: &Report) -> Vec<usize> {
    let groups = (0..).zip(&report.node.groups);
    groups.filter(|(_, group)| group.role.is_holding()).map(|(index, _)| index).gather()
}

/// Follows until nothing is held here; the peer has to serve the groups in `held`, which were held here.
fn follow_until_free(run_dir: &Path, held: &[usize], mut progress: Progress, out: &mut impl Write) -> Exit {
    let start = now();
    let mut patience = Patience::begin(start);
    let mut unserved = String::new();
    while !patience.is_over(now()) {
        let Some(report) = patience.look(run_dir) else { continue };
        progress.look(run_dir, &report);
        if !report.node.is_standby {
            keep(run_dir, end_standby);
            let is_peer_too = report.node.peer.as_ref().is_some_and(|peer| peer.is_standby);
            let what = if is_peer_too {
                format!(
                    "{} is in standby too: this node is back online, so that somebody serves",
                    peer_of(&report)
                )
            } else {
                "this node is in standby no longer: somebody has said `online`".to_owned()
            };
            return complain(Exit::Refused, false, &format_args!("{what}"));
        }
        if !held_here(&report).is_empty() {
            unserved.clear();
            continue;
        }
        unserved.clear();
        let mut has_failed = false;
        for index in held {
            let role = report.theirs(*index).map(|said| said.role);
            if role == Some(Role::Active) {
                continue;
            }
            has_failed |= role == Some(Role::Faulty);
            unserved.push(' ');
            unserved.push_str(report.groups.get(*index).map_or("?", |(name, _)| name));
        }
        if unserved.is_empty() {
            let _ =
                writeln!(out, "done: {} holds nothing ({} ms)", my_name(&report), now().since(start).as_ms());
            return Exit::Done;
        }
        // The daemon tries again later, but the operator shall see the failure.
        if has_failed {
            break;
        }
    }
    let waited_s = now().since(start).as_ms() / 1_000;
    let what = match unserved.as_str() {
        "" => format!("still held after {waited_s} s; `crosswire status` says what and why"),
        _ => format!(
            "failed: nothing is held here, and the peer does not serve{unserved}: nobody does; see \
                `crosswire why` there, or \
             say `crosswire online` here"
        ),
    };
    complain(Exit::Refused, false, &what)
}

fn end_standby(saved: &mut SavedRestraint) {
    saved.restraint.standby = Standby::No;
}
