//! `crosswire drill`: a rehearsal. Hands a group over and back, and says for how long nobody answered for its
//! address.

mod watch;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crosswire::pair::Role;
use crosswire::quorum::event::Demand;
use crosswire::time::Span;

use super::handover::{Moved, moved};
use super::option::{flag, operand, option, options};
use super::request::{Patience, demand, my_name, peer_of, report, unless_accepted};
use super::status;
use crate::clock::now;
use crate::operator::assessment::assess;
use crate::operator::control::{Answer, DEFAULT_RUN_DIR, Question, Report, ask};
use crate::operator::exit::{Exit, complain};
use watch::Watch;

options! {
    /// Rehearse: hand a group over and back, and say for how long nobody answered
    pub struct DrillOptions("drill") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// Do not ask first
        yes: bool = flag("--yes"),
        /// The group
        group: String = operand("GROUP"),
    }
}

/// Time between two looks at the roles: a look holds up the measuring.
const LOOK_EVERY: Span = Span::from_ms(50);
/// How long a node that has just let a group go may refuse to take it back.
const REFUSED_FOR: Span = Span::from_s(15);
/// How long an address may stay silent after the role has changed.
const SILENT_FOR: Span = Span::from_s(3);

/// Hands the group over, then back. A pair that is not well is left alone.
pub fn run(options: &DrillOptions, out: &mut impl Write) -> Exit {
    let report = match status::report(&options.run_dir) {
        Ok(report) => report,
        Err((exit, why)) => return complain(exit, false, &why),
    };
    let group = &options.group;
    let Some(index) = report.groups.iter().position(|(name, _)| name == group) else {
        return complain(Exit::Refused, false, &format_args!("refused: there is no group {group}"));
    };
    let reason = assess(&report);
    if reason.exit != Exit::Done {
        let what = format!("refused: {}. A rehearsal is for a pair that is well", reason.sentence(&report));
        return complain(Exit::Refused, false, &what);
    }
    let serves_here = report.server(index) == Some(report.node.me);
    let (me, peer) = (my_name(&report).to_owned(), peer_of(&report).to_owned());
    let (from, to) = if serves_here { (&me, &peer) } else { (&peer, &me) };
    if !options.yes && !is_wanted(&format!("{from} hands {group} to {to}, then takes it back")) {
        return complain(Exit::Refused, false, &"not done: say y, or --yes where nobody can be asked");
    }
    let contents = report.groups.get(index).map(|(_, contents)| contents.as_slice()).unwrap_or_default();
    let mut watch = match Watch::open(contents) {
        Ok(watch) => watch,
        Err(error) => return status::not_answered(&options.run_dir, &error, false),
    };
    let roles = if serves_here { [Role::Backup, Role::Active] } else { [Role::Active, Role::Backup] };
    for (wanted, what) in roles.into_iter().zip(["handed over", "handed back"]) {
        match rehearse(&options.run_dir, group, wanted, watch.as_mut()) {
            Ok(told) => {
                let server = if wanted == Role::Active { &me } else { &peer };
                let _ = writeln!(out, "{what}: {server} serves {group}{told}");
            }
            Err(exit) => return exit,
        }
    }
    Exit::Done
}

/// Asks on the terminal, if there is one.
fn is_wanted(what: &str) -> bool {
    let mut answer = String::new();
    if !std::io::stdin().is_terminal() {
        return false;
    }
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{what}; clients miss it for a moment, twice. Go on? [y/N] ");
    let _ = stderr.flush();
    std::io::stdin().read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
}

/// Makes one move and measures it.
fn rehearse(
    run_dir: &Path,
    group: &str,
    wanted: Role,
    mut watch: Option<&mut Watch>,
) -> Result<String, Exit> {
    let name = group.to_owned();
    let what = if wanted == Role::Active { Demand::Takeover(name) } else { Demand::Handover(name) };
    let question = demand(what, &Some("drill".to_owned()));
    watch.iter_mut().for_each(|watch| watch.begin());
    let mut pause = || match &mut watch {
        Some(watch) => watch.look(),
        None => std::thread::sleep(Duration::from_millis(5)),
    };
    accept(run_dir, &question, group, &mut pause)?;
    let begun = now();
    let mut patience = Patience::begin(begun);
    let mut looked_at = begun;
    let done_at = loop {
        pause();
        if now().since(looked_at) < LOOK_EVERY {
            continue;
        }
        let seen = report(run_dir);
        looked_at = now();
        match seen.as_deref().map(|report| how_far(report, group, wanted, &mut patience)) {
            Some(Moved::Done) => break looked_at,
            Some(Moved::Failed(why)) => {
                let what = format!("failed: group {group}: {why}; `crosswire why` says more");
                return Err(complain(Exit::Refused, false, &what));
            }
            Some(Moved::NotYet) | None if patience.is_over(looked_at) => {
                let what = format!("group {group} has not moved; `crosswire status` says why");
                return Err(complain(Exit::Refused, false, &what));
            }
            Some(Moved::NotYet) | None => {}
        }
    };
    let Some(watch) = watch else { return Ok(format!(" after {}", done_at.since(begun))) };
    while watch.seen().0 < done_at && now().since(done_at) < SILENT_FOR {
        watch.look();
    }
    let (seen_at, longest) = watch.seen();
    if seen_at < done_at {
        let what = format!("failed: nobody answers for {} any more, whoever serves {group}", watch.ip);
        return Err(complain(Exit::Refused, false, &what));
    }
    let took = done_at.since(begun);
    Ok(format!(" after {took}; nobody answered for {} for {longest} at most", watch.ip))
}

fn how_far(report: &Report, group: &str, wanted: Role, patience: &mut Patience) -> Moved {
    patience.see(report);
    moved(report, group, wanted)
}

/// Asks until the move is accepted. A node that has just let the group go refuses for a moment.
fn accept(run_dir: &Path, question: &Question, group: &str, pause: &mut dyn FnMut()) -> Result<(), Exit> {
    let begun = now();
    while now().since(begun) < REFUSED_FOR {
        match ask(run_dir, question) {
            Ok(Answer::Accepted) => return Ok(()),
            Ok(Answer::Denied(_)) => (0..50).for_each(|_| pause()),
            Ok(_) | Err(_) => break,
        }
    }
    unless_accepted(run_dir, question, &format!("group {group}: ")).map_or(Ok(()), Err)
}
