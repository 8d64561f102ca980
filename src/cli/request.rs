//! What an operator's requests have in common: asking the running daemon, following what it does, and saving
//! what outlives it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crosswire::pair::Role;
use crosswire::quorum::event::Demand;
use crosswire::time::{Instant, Span};

use super::status::not_answered;
use crate::clock::{self, now};
use crate::operator::control::{Answer, Question, Report, ask};
use crate::operator::exit::{Exit, complain};
use crate::operator::restraint::{self, MAX_REASON, SavedRestraint};
use crate::operator::words;
use crate::settings::MAX_NAME_BYTES;

/// How long a move is followed while no role is seen to change. The daemon goes on all the same.
const PATIENCE: Span = Span::from_s(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a move is followed: as long as a script may be running, and no longer than all of them may take.
pub(super) struct Patience {
    begun: Instant,
    /// When a role was last seen to change hands.
    moving_at: Instant,
    longest_move: Span,
}

impl Patience {
    pub(super) fn begin(now: Instant) -> Self {
        Self { begun: now, moving_at: now, longest_move: Span::ZERO }
    }

    /// Takes note of a report that the caller has fetched.
    #[cfg(feature = "drill")]
    pub(super) fn see(&mut self, report: &Report) {
        self.note(is_moving(report), report.longest_move, now());
    }

    /// Takes note of a look.
    fn note(&mut self, is_moving: bool, longest_move: Span, now: Instant) {
        self.longest_move = longest_move;
        if is_moving {
            self.moving_at = now;
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.since(self.moving_at) >= PATIENCE || now.since(self.begun) >= self.longest_move + PATIENCE
    }

    /// Waits for the next look. `None` if the daemon does not answer this time.
    pub(super) fn look(&mut self, run_dir: &Path) -> Option<Box<Report>> {
        std::thread::sleep(LOOK_EVERY);
        let report = report(run_dir)?;
        self.note(is_moving(&report), report.longest_move, now());
        Some(report)
    }
}

/// Whether one of the nodes takes a group, or lets one go.
fn is_moving(report: &Report) -> bool {
    (0..).zip(&report.node.groups).any(|(index, group)| {
        is_on_its_way(group.role) || report.theirs(index).is_some_and(|said| is_on_its_way(said.role))
    })
}

/// Whether a node in this role is about to serve the group, or to stop serving it.
pub fn is_on_its_way(role: Role) -> bool {
    matches!(role, Role::Acquiring | Role::Releasing)
}

/// Changes what is saved for later agents and daemons; tells the operator if that fails.
pub(super) fn keep(run_dir: &Path, change: impl FnOnce(&mut SavedRestraint)) {
    if let Err((file, error)) = restraint::change(run_dir, clock::now(), change) {
        let _ = writeln!(std::io::stderr(), "this ends when the daemon does: {}: {error}", file.display());
    }
}

/// Asks once more if the request was accepted and is not in force: the agent that accepted it died before it
/// was saved.
pub(super) fn insist(run_dir: &Path, question: &Question, is_in_force: impl Fn(&Report) -> bool) {
    if report(run_dir).is_some_and(|report| !is_in_force(&report)) {
        // The caller sees whether it is in force now.
        let _ = ask(run_dir, question);
    }
}

pub(super) fn demand(what: Demand<String>, reason: &Option<String>) -> Question {
    Question::Demand { what, reason: reason.clone() }
}

/// Asks. `None` if the daemon does it; else says why not, with `about` in front, and returns the exit code.
pub(super) fn unless_accepted(run_dir: &Path, question: &Question, about: &str) -> Option<Exit> {
    if let Some((name, length, most)) = too_long(question) {
        let what = format_args!("crosswire: {name} has {length} characters, and {most} are the most");
        return Some(complain(Exit::Usage, false, &what));
    }
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
        Ok(Answer::Status(_) | Answer::History(_) | Answer::Recording { .. } | Answer::PeerSays(_)) => {
            Some(Exit::Refused)
        }
        Err(error) => Some(not_answered(run_dir, &error, false)),
    }
}

/// What is longer than the daemon takes it: its name, its length, and the longest.
fn too_long(question: &Question) -> Option<(&'static str, usize, usize)> {
    let Question::Demand { what, reason } = question else { return None };
    let group = match what {
        Demand::Handover(group) | Demand::Takeover(group) | Demand::TakeoverPeerIsOff(group) => group,
        Demand::Standby { .. } | Demand::Online | Demand::Maintenance(_) => "",
    };
    let reason = reason.as_deref().unwrap_or_default();
    [("GROUP", group, MAX_NAME_BYTES), ("--reason", reason, MAX_REASON)]
        .map(|(name, text, most)| (name, text.chars().count(), most))
        .into_iter()
        .find(|(_, length, most)| length > most)
}

/// The daemon's status, if it answers.
pub fn report(run_dir: &Path) -> Option<Box<Report>> {
    ask(run_dir, &Question::Status).ok()?.status()
}

pub(super) fn my_name(report: &Report) -> &str {
    &report.nodes[report.node.me.index()]
}

pub(super) fn peer_of(report: &Report) -> &str {
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
        // A move that never ends.
        patience.note(true, Span::from_s(248), at(270));
        assert!(!patience.is_over(at(277)) && patience.is_over(at(278)));
    }

    #[test]
    fn what_is_longer_than_the_daemon_takes_is_named() {
        let asks = |group: usize, reason: &str| {
            demand(Demand::Handover("x".repeat(group)), &Some(reason.to_owned()))
        };
        assert_eq!(too_long(&asks(MAX_NAME_BYTES, &"\u{1f980}".repeat(MAX_REASON))), None);
        assert_eq!(
            too_long(&asks(MAX_NAME_BYTES + 1, "")),
            Some(("GROUP", MAX_NAME_BYTES + 1, MAX_NAME_BYTES))
        );
        let reason = "\u{e4}".repeat(MAX_REASON + 1);
        assert_eq!(too_long(&asks(1, &reason)), Some(("--reason", MAX_REASON + 1, MAX_REASON)));
        assert_eq!(too_long(&Question::Status), None);
    }

    #[test]
    fn a_move_on_which_nothing_goes_on_is_followed_for_30_s() {
        let mut patience = Patience::begin(at(0));
        patience.note(false, Span::from_s(248), at(1));
        assert!(!patience.is_over(at(29)) && patience.is_over(at(30)));
    }
}
