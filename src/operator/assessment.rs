//! What a status comes to, for a monitor: is every group served, and could the second node take over? One
//! table leads from the facts to an exit code and a reason. A fault that passes within a moment wakes nobody.

use crosswire::health::PathState;
use crosswire::pair::{Role, Trouble};
use crosswire::reasons::{Block, Verdict};
use crosswire::status::{GroupStatus, PathStatus, PeerStatus};
use crosswire::time::Span;
use crosswire::vote::group_bit;

use super::control::{LASTS, Report};
use super::exit::Exit;
use super::forecast;
use super::inability::{
    blocked, dead_words, down_words, fault_words, is_failing_there, is_failing_there_of, own_inability,
    peers_inability, refused_for, unreadiness, unstopped,
};
use super::testimony::{granted_there, has_failed_on_both, is_heard, is_known_unserved, unseen_witness};
use super::words;
use crate::gather::Gather;

/// What a reason speaks of.
#[derive(Clone, Copy)]
enum Subject {
    Me,
    Peer,
    Pair,
    /// The groups for which this is true; their names follow the words.
    Groups(fn(&GroupStatus) -> bool),
    /// The first witness that a node does not see.
    Witness,
}

/// Why `status` ends as it does.
pub struct Reason {
    /// Its name for programs.
    pub name: &'static str,
    /// How `status` ends.
    pub exit: Exit,
    subject: Subject,
    words: &'static str,
    applies: fn(&Facts) -> bool,
}

const fn reason(
    exit: Exit,
    name: &'static str,
    subject: Subject,
    words: &'static str,
    applies: fn(&Facts) -> bool,
) -> Reason {
    Reason { name, exit, subject, words, applies }
}

/// The first reason that applies is told. The gravest come first, then what people have asked for, then
/// causes before their consequences.
static REASONS: [Reason; 25] = {
    use Exit::{Alone, Unserved};
    use Subject::{Groups, Me, Pair, Peer, Witness};
    [
        reason(Alone, "shadow", Pair, "SHADOW: decides and does nothing", |f| f.is_shadow),
        reason(Unserved, "both_serve", Groups(do_both_serve), "BOTH NODES SERVE", |f| f.do_both_serve),
        reason(Unserved, "cannot_serve", Me, "CANNOT SERVE what it holds", |f| f.is_long_failing),
        reason(Unserved, "peer_cannot_serve", Peer, "CANNOT SERVE what it holds", |f| f.is_peer_long_failing),
        reason(Unserved, "cold_start", Groups(is_unserved), "NOBODY SERVES", |f| f.is_cold_start),
        reason(Unserved, "nobody_serves", Groups(is_unserved), "NOBODY SERVES", |f| f.is_overdue),
        reason(Alone, "standby", Me, "is in standby", |f| f.is_standby),
        reason(Alone, "maintenance", Me, "is in maintenance", |f| f.is_maintenance),
        reason(Alone, "peer_standby", Peer, "is in standby", |f| f.is_peer_standby),
        reason(Alone, "peer_maintenance", Peer, "is in maintenance", |f| f.is_peer_maintenance),
        reason(Alone, "keys_differ", Peer, "answers, but is not understood", |f| f.is_peer_refused),
        // It asks the witness and has the grant, so it serves, as far as can be known: alone. Nobody knows it
        // of one that asks no more, and only people can find out. So that counts as not served.
        reason(
            Alone,
            "granted_to_peer",
            Peer,
            "is not heard, and holds the grant of the voting witness for",
            |f| f.is_granted_there,
        ),
        reason(Alone, "peer_departed", Peer, "said goodbye and is gone", |f| {
            f.away == Some(Verdict::Departed)
        }),
        reason(Alone, "peer_dead", Peer, "is off or hangs", |f| f.away == Some(Verdict::Dead)),
        reason(
            Alone,
            "peer_unheard",
            Peer,
            "is not heard, which proves nothing: it may be off, or be cut off and serve",
            |f| f.away == Some(Verdict::Doubtful),
        ),
        reason(Alone, "configurations_differ", Pair, "the CONFIGURATIONS DIFFER", |f| {
            f.is_configuration_different
        }),
        reason(Alone, "failing", Me, "CANNOT SERVE what it holds", |f| f.is_failing),
        reason(Alone, "peer_unable", Peer, "could not take over", |f| f.is_peer_unable),
        reason(Alone, "unable", Me, "could not take over", |f| f.is_unable),
        reason(Alone, "foreign_claim", Groups(is_contested), "somebody else CLAIMS an address of", |f| {
            f.is_contested
        }),
        reason(
            Alone,
            "misplaced_address",
            Me,
            "has a service address where it does not belong, and answers for it",
            |f| f.is_misplaced,
        ),
        reason(Alone, "jeopardy", Pair, "DEGRADED", |f| f.is_jeopardy),
        reason(Alone, "witness_unseen", Witness, "", |f| f.is_witness_unseen),
        reason(Alone, "moving", Groups(is_unserved), "on its way:", |f| f.is_unserved),
        reason(Exit::Done, "well", Pair, "either node could serve", |_| true),
    ]
};

/// The facts of a status that the reasons go by.
struct Facts {
    /// The verdict on a peer that is not heard; `None` while it is.
    away: Option<Verdict>,
    is_shadow: bool,
    do_both_serve: bool,
    /// We hold a group and cannot serve it.
    is_failing: bool,
    /// We have held a group that we cannot serve for longer than a takeover may take.
    is_long_failing: bool,
    /// The same of the peer.
    is_peer_long_failing: bool,
    /// Nobody serves a group, since we listen for a peer that was never heard.
    is_cold_start: bool,
    /// Nobody has served a group for longer than a takeover may take, or nothing goes on that would end it.
    is_overdue: bool,
    is_unserved: bool,
    is_standby: bool,
    is_maintenance: bool,
    is_peer_standby: bool,
    is_peer_maintenance: bool,
    /// It is not heard, and the voting witness keeps a group for it.
    is_granted_there: bool,
    /// Somebody is there who is not understood.
    is_peer_refused: bool,
    is_configuration_different: bool,
    /// The peer could not take what we hold.
    is_peer_unable: bool,
    /// We could not take what the peer holds.
    is_unable: bool,
    is_contested: bool,
    /// This box has a service address on an interface on which no group has it.
    is_misplaced: bool,
    is_jeopardy: bool,
    is_witness_unseen: bool,
}

impl Facts {
    fn of(report: &Report) -> Self {
        let node = &report.node;
        let is_any = |is: fn(&GroupStatus) -> bool| node.groups.iter().any(is);
        let is_any_longer = |is: fn(&GroupStatus, &[Span; 2]) -> bool| {
            node.groups.iter().zip(&report.bounds).any(|(group, bounds)| is(group, bounds))
        };
        let is_refused = node.paths.iter().any(|path| path.state == PathState::Refused);
        let is_gone =
            node.verdict == Verdict::Departed || node.peer.as_ref().is_none_or(|peer| peer.age >= LASTS);
        let away = Some(node.verdict).filter(|verdict| *verdict != Verdict::Present && is_gone);
        let is_peer = |is: fn(&PeerStatus) -> bool| away.is_none() && node.peer.as_ref().is_some_and(is);
        Self {
            away,
            is_shadow: report.is_shadow,
            do_both_serve: is_any(do_both_serve),
            is_failing: (0..node.groups.len()).any(|index| report.failing(index).is_some()),
            is_long_failing: is_any_longer(|group, [_, bound]| {
                group.role.is_holding() && group.unable.is_some_and(|span| span > *bound)
            }),
            is_peer_long_failing: is_failing_there(report, true),
            is_cold_start: is_any(|group| is_unserved(group) && group.block == Some(Block::ColdStart)),
            is_overdue: (0..node.groups.len()).any(|index| has_failed_on_both(report, index))
                || is_any(is_held_up)
                || is_any_longer(|group, [idle, unserved]| {
                    group.idle.is_some_and(|span| span > *idle)
                        || group.unserved.is_some_and(|span| span > *unserved)
                }),
            is_unserved: is_any(is_unserved),
            is_standby: node.is_standby,
            is_maintenance: node.maintenance.is_some(),
            is_peer_standby: is_peer(|peer| peer.is_standby),
            is_peer_maintenance: is_peer(|peer| peer.is_maintenance),
            is_granted_there: away.is_some()
                && node.vote.is_some_and(|vote| !vote.is_peer_quiet)
                && granted_there(report) != 0,
            is_peer_refused: is_refused && !is_heard(report),
            is_configuration_different: node.is_digest_different,
            is_peer_unable: node.groups.iter().enumerate().any(|(index, group)| {
                let is_leaving = report.theirs(index).is_some_and(|said| said.role == Role::Releasing);
                does_last(group.peer_unable) && !(is_leaving && is_unserved(group))
            }),
            is_unable: node.is_stopping
                || node.trouble != Trouble::None
                || !report.deaf.is_empty()
                || is_any(|group| does_last(group.unable)),
            is_contested: is_any(is_contested),
            is_misplaced: !report.misplaced.is_empty(),
            // Jeopardy counts at once: it begins only when a path has been silent for dead_after.
            is_jeopardy: node.jeopardy.is_some(),
            is_witness_unseen: unseen_witness(report).is_some(),
        }
    }
}

/// The groups that nobody serves, as far as is known.
fn nobody_serves(report: &Report) -> String {
    let perhaps = groups(report, |index, group| is_unserved(group) && !is_known_unserved(report, index));
    let surely = groups(report, |index, group| is_unserved(group) && is_known_unserved(report, index));
    if surely.is_empty() && !perhaps.is_empty() {
        format!("PERHAPS NOBODY SERVES {perhaps}")
    } else {
        format!("NOBODY SERVES {surely}")
    }
}

fn does_last(span: Option<Span>) -> bool {
    span.is_some_and(|span| span >= LASTS)
}

fn do_both_serve(group: &GroupStatus) -> bool {
    group.both_serve.is_some()
}

/// Nobody serves the group, and not for a moment only. A group that failed here counts at once.
fn is_unserved(group: &GroupStatus) -> bool {
    does_last(group.unserved) || (group.role == Role::Faulty && group.unserved.is_some())
}

/// Nobody serves the group, and no move of it goes on: a script did not stop, or it is maintenance.
fn is_held_up(group: &GroupStatus) -> bool {
    let is_kept = matches!(group.block, Some(Block::Maintenance | Block::PeerMaintenance));
    let is_idle = !group.role.is_holding();
    is_unserved(group) && (is_kept && is_idle || unstopped(group).is_some())
}

/// Another box has claimed an address of the group within the last minute, or keeps this node from taking it.
fn is_contested(group: &GroupStatus) -> bool {
    group.foreign_mac.is_some()
}

/// What is not well and why; none of what no more than one path is to blame for, or of a move.
pub fn state(report: &Report) -> Option<String> {
    let reason = assess_if_live(report);
    (!matches!(reason.name, "well" | "moving" | "jeopardy")).then(|| reason.why(report))
}

/// What a status comes to.
pub fn assess(report: &Report) -> &'static Reason {
    assess_facts(&Facts::of(report))
}

/// What it would come to if the node acted.
fn assess_if_live(report: &Report) -> &'static Reason {
    assess_facts(&Facts { is_shadow: false, ..Facts::of(report) })
}

fn assess_facts(facts: &Facts) -> &'static Reason {
    REASONS.iter().find(|reason| (reason.applies)(facts)).unwrap_or(&REASONS[0])
}

impl Reason {
    /// One line: who serves what, and why `status` ends as it does. The reason comes first if the service
    /// itself is at fault, or if people have asked for the state.
    pub fn sentence(&self, report: &Report) -> String {
        if self.name == "shadow" {
            return format!("{}; {}", self.words, assess_if_live(report).sentence(report));
        }
        let served = served(report);
        let why = self.why(report);
        let is_asked_for =
            matches!(self.name, "standby" | "maintenance" | "peer_standby" | "peer_maintenance");
        let is_why_first = self.exit == Exit::Unserved || is_asked_for;
        let parts = if is_why_first { [why, served] } else { [served, why] };
        let parts = parts.iter().filter(|part| !part.is_empty());
        parts.map(String::as_str).gather().join("; ")
    }

    /// The reason in words, with its cause.
    fn why(&self, report: &Report) -> String {
        let [me, peer] = report.names();
        let words = match (self.name, self.subject) {
            ("well", _) => could(report),
            ("jeopardy", _) => degraded(report),
            ("peer_dead", _) => after_a_death(report, dead_words(report)),
            ("peer_departed", _) => after_a_death(report, self.words),
            ("nobody_serves" | "cold_start", _) => nobody_serves(report),
            ("granted_to_peer", _) => {
                let kept = granted_there(report);
                let names = groups(report, |index, _| kept & group_bit(index) != 0);
                format!("{peer} {} {names}: it may serve", self.words)
            }
            ("peer_unable", _) if is_failing_there(report, false) => {
                format!("{peer} CANNOT SERVE what it holds")
            }
            (_, Subject::Me) => format!("{me} {}", self.words),
            (_, Subject::Peer) => format!("{peer} {}", self.words),
            (_, Subject::Pair) => self.words.to_owned(),
            (_, Subject::Groups(is_meant)) => {
                format!("{} {}", self.words, groups(report, |_, group| is_meant(group)))
            }
            (_, Subject::Witness) => {
                let (name, is_mine, lasts) = unseen_witness(report).unwrap_or_default();
                format!("{} has not seen witness {name} for {lasts}", if is_mine { me } else { peer })
            }
        };
        let cause = self.cause(report);
        let is_inability = matches!(self.name, "peer_unable" | "unable");
        let unready =
            if is_inability && cause.is_empty() { unreadiness(report, self.name == "unable") } else { None };
        let colon = if cause.is_empty() { "" } else { ": " };
        let said = unready.unwrap_or_else(|| format!("{words}{colon}{cause}"));
        // Which path to repair is said too: it may be the cause.
        let is_degraded = is_inability && report.node.jeopardy.is_some();
        let more = if is_degraded { format!("; {}", degraded(report)) } else { String::new() };
        format!("{said}{more}")
    }

    /// The cause, as far as it is known; empty if the words say it all.
    fn cause(&self, report: &Report) -> String {
        match self.name {
            "cannot_serve" | "failing" | "unable" => own_inability(report),
            "peer_cannot_serve" | "peer_unable" => peers_inability(report),
            "keys_differ" => refused_for(report).to_owned(),
            "misplaced_address" => report.misplaced.join(", "),
            "nobody_serves" | "cold_start" | "moving" => {
                let mut all = report.node.groups.iter().enumerate();
                let unstopped = all.clone().find_map(|(index, group)| Some((index, unstopped(group)?)));
                if let Some((index, fault)) = unstopped {
                    return fault_words(report, index, fault);
                }
                let waits = all.find(|(_, group)| is_unserved(group)).map(|(_, group)| group);
                let [me, peer] = report.names();
                let is_doubtful = waits.is_some_and(|group| group.is_foreign_mac_doubtful);
                let whose = if is_doubtful { format!(": {peer} or a stranger") } else { String::new() };
                match waits.map(|group| (group, group.block)) {
                    Some((GroupStatus { role: Role::Acquiring, .. }, _)) => format!("{me} takes it"),
                    Some((_, Some(Block::PeerServes))) => format!("{peer} takes it"),
                    Some((GroupStatus { foreign_mac: Some(mac), .. }, Some(Block::VipAnswers))) => {
                        let mac = words::mac(*mac);
                        format!("{mac} answers for an address of it{whose}")
                    }
                    Some((group, Some(block))) => words::waiting(blocked(report, block), group.wait),
                    Some((_, None)) | None => String::new(),
                }
            }
            _ => String::new(),
        }
    }
}

/// Who serves what.
fn served(report: &Report) -> String {
    let [me, peer] = report.names();
    let is_heard = is_heard(report);
    let theirs = |index| is_heard && report.theirs(index).is_some_and(|said| said.role == Role::Active);
    let of = [
        (
            me,
            groups(report, |index, group| {
                let is_served = report.failing(index).is_none() && !is_unserved(group);
                group.role == Role::Active && is_served && !does_last(group.unable)
            }),
        ),
        (
            peer,
            groups(report, |index, group| {
                !is_unserved(group) && theirs(index) && !is_failing_there_of(report, index, LASTS)
            }),
        ),
    ];
    let served = of.iter().filter(|(_, groups)| !groups.is_empty());
    let verb = if report.is_shadow { "would serve" } else { "serves" };
    served.map(|(name, groups)| format!("{name} {verb} {groups}")).gather().join("; ")
}

/// All is well: says who could take over. It names nobody while something has just changed, since that may
/// last.
fn could(report: &Report) -> String {
    let [me, peer] = report.names();
    if report.node.verdict != Verdict::Present {
        return format!("{peer} has just fallen silent: look again in a second");
    }
    let is_new = |group: &GroupStatus| group.unserved.or(group.peer_unable).or(group.unable).is_some();
    if report.node.groups.iter().any(is_new) {
        let changed = groups(report, |_, group| is_new(group));
        return format!("{changed} changed just now: look again in a second");
    }
    let is_held_here = |group: &GroupStatus| group.role.is_holding();
    let held_here = report.node.groups.iter().filter(|group| is_held_here(group)).count();
    let other = match held_here {
        0 => me,
        held if held == report.node.groups.len() => peer,
        _ => "either",
    };
    format!("{other} could take over")
}

/// The peer is dead or has left: says whether somebody serves, and if not, how long that lasts at least.
fn after_a_death(report: &Report, how: &str) -> String {
    let [me, peer] = report.names();
    let unserved = report.node.groups.iter().filter(|group| is_unserved(group)).gather();
    let Some(first) = unserved.first() else { return format!("{peer} {how}: nobody could take over") };
    let wait = first.wait.filter(|wait| *wait > Span::ZERO);
    let waits = wait.map(|wait| format!("; {me} waits {wait} more")).unwrap_or_default();
    format!("{} yet; {peer} {how}{waits}", nobody_serves(report))
}

/// Says which path is down, what the next fault would do, and what to repair.
fn degraded(report: &Report) -> String {
    let peer = report.names()[1];
    let is_one_way = |path: &PathStatus| {
        path.state.is_heard() && path.heard_by_peer.is_none_or(|age| age >= path.dead_after)
    };
    let (mut down, mut up, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for (name, path) in report.paths.iter().zip(&report.node.paths) {
        if is_one_way(path) {
            said.push(format!("{peer} does not hear us on {name}"));
            down.push(name.as_str());
        } else if path.state.is_heard() {
            up.push(name.as_str());
        } else {
            said.push(format!("{name} is {}", down_words(path.state)));
            down.push(name.as_str());
        }
    }
    let (said, up, down) = (said.join(", "), up.join(" and "), down.join(" and "));
    let then = match forecast::is_followed(report) {
        _ if up.is_empty() => String::new(),
        true => format!(" If {up} fails too, one of both may still take over."),
        false => format!(" If {up} fails too, nobody takes over by itself."),
    };
    format!("DEGRADED: {said}.{then} Repair {down}.")
}

/// The names of the groups that are meant.
fn groups(report: &Report, is_meant: impl Fn(usize, &GroupStatus) -> bool) -> String {
    let all = report.groups.iter().zip(&report.node.groups).enumerate();
    let meant =
        all.filter(|(index, (_, group))| is_meant(*index, group)).map(|(_, ((name, _), _))| name.as_str());
    meant.gather().join(", ")
}

#[cfg(test)]
#[path = "assessment_tests.rs"]
pub(super) mod tests;
