//! `crosswire handover`, `takeover`, `standby`, `online`: planned moves, asked of the running daemon and
//! followed to their end; and `crosswire maintenance`, which forbids them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crosswire::pair::Role;
use crosswire::quorum::event::Demand;
use crosswire::quorum::facts::Standby;
use crosswire::time::{Instant, Span};

use super::option::{flag, operand, option, options};
use super::progress::Progress;
use super::status::not_answered;
use crate::clock::{self, now};
use crate::operator::control::{Answer, DEFAULT_RUN_DIR, Question, Report, ask};
use crate::operator::exit::{Exit, complain};
use crate::operator::restraint::{self, LONGEST_MAINTENANCE, SavedRestraint};
use crate::operator::words;
use crate::settings::parse_span;

/// How long a move is followed on which nothing is seen to go on. The daemon goes on all the same.
const PATIENCE: Span = Span::from_s(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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

options! {
    /// Have nothing moved for a while: `on` or `off`
    pub struct MaintenanceOptions("maintenance") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// When it ends by itself, as in 90m
        lasts: String = option("--for", "TIME").or("1h"),
        /// Why, for the log
        reason: Option<String> = option("--reason", "TEXT"),
        /// on or off
        what: String = operand("WHAT"),
    }
}

/// How long a move is followed: as long as a script may be on its way, and no longer than all of them may
/// take.
struct Patience {
    begun: Instant,
    /// When a role was last seen to change hands.
    moving_at: Instant,
    longest_move: Span,
}

impl Patience {
    fn begin(now: Instant) -> Self {
        Self { begun: now, moving_at: now, longest_move: Span::ZERO }
    }

    /// What a look has shown.
    fn note(&mut self, is_moving: bool, longest_move: Span, now: Instant) {
        self.longest_move = longest_move;
        if is_moving {
            self.moving_at = now;
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.since(self.moving_at) >= PATIENCE || now.since(self.begun) >= self.longest_move + PATIENCE
    }

    /// Waits for the next look. None when the daemon does not answer this time.
    fn look(&mut self, run_dir: &Path) -> Option<Box<Report>> {
        std::thread::sleep(LOOK_EVERY);
        let report = report(run_dir)?;
        self.note(is_moving(&report), report.longest_move, now());
        Some(report)
    }
}

/// One of the nodes takes a group, or lets one go.
fn is_moving(report: &Report) -> bool {
    (0..).zip(&report.node.groups).any(|(index, group)| {
        is_on_its_way(group.role) || report.theirs(index).is_some_and(|said| is_on_its_way(said.role))
    })
}

/// Whoever has that role for a group is about to serve it, or to serve it no longer.
pub fn is_on_its_way(role: Role) -> bool {
    matches!(role, Role::Acquiring | Role::Releasing)
}

/// Asks for a handover and follows it.
pub fn handover(options: &HandoverOptions, out: &mut impl Write) -> Exit {
    let question = demand(Demand::Handover(options.group.clone()), &options.reason);
    follow(&options.run_dir, &question, &options.group, Role::Backup, out)
}

/// Asks for standby and follows it until nothing is held here, and the peer serves what was; with `--force`,
/// whether it does or not.
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

/// Begins or ends maintenance.
pub fn maintenance(options: &MaintenanceOptions, out: &mut impl Write) -> Exit {
    let lasts = match maintenance_span(options) {
        Ok(lasts) => lasts,
        Err(line) => {
            return complain(Exit::Usage, false, &format_args!("crosswire: {line}"));
        }
    };
    let question = demand(Demand::Maintenance(lasts), &options.reason);
    unless_accepted(&options.run_dir, &question, "").unwrap_or_else(|| {
        let _ = match lasts {
            Span::ZERO => writeln!(out, "done: maintenance is over"),
            _ => writeln!(out, "done: nothing is moved for {lasts}"),
        };
        keep(&options.run_dir, |saved| {
            saved.restraint.maintenance_until = (lasts > Span::ZERO).then(|| clock::now() + lasts);
            if lasts > Span::ZERO {
                (saved.lasts, saved.reason) = (lasts, options.reason.clone());
            }
        });
        Exit::Done
    })
}

/// How long it is to last; zero ends it.
fn maintenance_span(options: &MaintenanceOptions) -> Result<Span, String> {
    let is_fit = |span: &Span| *span > Span::ZERO && *span <= LONGEST_MAINTENANCE;
    match options.what.as_str() {
        "on" => parse_span(&options.lasts)
            .filter(is_fit)
            .ok_or_else(|| format!("--for {}: say a time such as 90m or 2h, 168h at most", options.lasts)),
        "off" => Ok(Span::ZERO),
        other => Err(format!("maintenance {other}: say `on` or `off`")),
    }
}

fn end_standby(saved: &mut SavedRestraint) {
    saved.restraint.standby = Standby::No;
}

/// Changes what is saved for agents and daemons to come; where that cannot be, the operator has to know.
fn keep(run_dir: &Path, change: impl FnOnce(&mut SavedRestraint)) {
    if let Err((file, error)) = restraint::change(run_dir, clock::now(), change) {
        let _ = writeln!(std::io::stderr(), "this ends when the daemon does: {}: {error}", file.display());
    }
}

fn demand(what: Demand<String>, reason: &Option<String>) -> Question {
    Question::Demand { what, reason: reason.clone() }
}

/// Asks. None if the daemon does it; else the exit code, after the reason was said, with what it is `about`
/// in front.
fn unless_accepted(run_dir: &Path, question: &Question, about: &str) -> Option<Exit> {
    match ask(run_dir, question) {
        Ok(Answer::Accepted) => None,
        Ok(Answer::Denied(denial)) => {
            let peer =
                report(run_dir).map_or_else(|| "the peer".to_string(), |report| peer_of(&report).to_string());
            Some(complain(
                Exit::Refused,
                false,
                &format_args!("refused: {about}{}", words::denial(denial, &peer)),
            ))
        }
        Ok(Answer::Status(_) | Answer::History(_) | Answer::PeerSays(_)) => Some(Exit::Refused),
        Err(error) => Some(not_answered(run_dir, &error, false)),
    }
}

/// The groups that this node holds, by their places.
fn held_here(report: &Report) -> Vec<usize> {
    let groups = (0..).zip(&report.node.groups);
    groups.filter(|(_, group)| group.role.is_holding()).map(|(index, _)| index).collect()
}

/// `held` are the groups that were held here, and have to be served by the peer.
fn follow_until_free(run_dir: &Path, held: &[usize], mut progress: Progress, out: &mut impl Write) -> Exit {
    let start = now();
    let mut patience = Patience::begin(start);
    let mut unserved = String::new();
    while !patience.is_over(now()) {
        let Some(report) = patience.look(run_dir) else { continue };
        progress.look(run_dir, &report);
        if !report.node.is_standby {
            keep(run_dir, end_standby);
            let peer = peer_of(&report);
            let what =
                format_args!("{peer} is in standby too: this node is back online, so that somebody serves");
            return complain(Exit::Refused, false, &what);
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
        // It tries again later, but what has failed once is for the operator to see.
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

/// Of a group, the role that is wanted and its term before the request. A move that fails is followed until
/// one of the nodes serves again.
fn follow_to_end(
    run_dir: &Path,
    (group, wanted, before): (&str, Role, Option<u32>),
    mut progress: Progress,
    out: &mut impl Write,
) -> Exit {
    let start = now();
    let mut patience = Patience::begin(start);
    let mut failure = None;
    while !patience.is_over(now()) {
        let Some(report) = patience.look(run_dir) else { continue };
        progress.look(run_dir, &report);
        let ms = now().since(start).as_ms();
        match moved(&report, group, wanted) {
            Moved::Done => {
                let server = if wanted == Role::Active { my_name(&report) } else { peer_of(&report) };
                let _ = writeln!(out, "done: {server} serves group {group} ({ms} ms)");
                return Exit::Done;
            }
            Moved::Failed(why) => failure = Some(why),
            Moved::NotYet if failure.is_some() => {}
            // Each move adds one to the term: this one came and went between two looks.
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
        None => format!("group {group} has not moved within {waited_s} s; `crosswire status` says why"),
    };
    complain(Exit::Refused, false, &what)
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

enum Moved {
    Done,
    Failed(String),
    NotYet,
}

/// How far the move is: who serves now, by this node's own role and by what its peer says.
fn moved(report: &Report, group: &str, wanted: Role) -> Moved {
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

/// What the daemon says of itself, if it does.
pub fn report(run_dir: &Path) -> Option<Box<Report>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_us(1_000_000) + Span::from_s(s)
    }

    /// Scripts with the usual 60 s each: a start that takes 50 s is followed to its end.
    #[test]
    fn a_move_is_followed_while_a_script_may_be_on_its_way_and_no_longer_than_all_may_take() {
        let mut patience = Patience::begin(at(0));
        for second in 0..50 {
            let now = at(second);
            assert!(!patience.is_over(now), "after {second} s");
            patience.note(true, Span::from_s(248), now);
        }
        // Between two roles nobody is seen to move.
        patience.note(false, Span::from_s(248), at(50));
        assert!(!patience.is_over(at(78)) && patience.is_over(at(79)), "30 s after the last move");
        // One that never ends.
        patience.note(true, Span::from_s(248), at(270));
        assert!(!patience.is_over(at(277)) && patience.is_over(at(278)));
    }

    #[test]
    fn a_move_on_which_nothing_goes_on_is_followed_for_30_s() {
        let mut patience = Patience::begin(at(0));
        patience.note(false, Span::from_s(248), at(1));
        assert!(!patience.is_over(at(29)) && patience.is_over(at(30)));
    }
}
