//! What a status comes to, for a monitor: is every group served, and could the second node take over? One table, from what is so
//! to an exit code and a reason.

use crosswire::frame::message::{Role, Trouble};
use crosswire::health::PathState;
use crosswire::quorum::Verdict;
use crosswire::quorum::record::Block;
use crosswire::resource::Condition;
use crosswire::status::{GroupStatus, PeerStatus};

use super::exit::Exit;
use crate::control::Report;
use crate::words;

/// Of whom a reason tells.
enum Subject {
    Me,
    Peer,
    Pair,
    /// Of those groups, whose names come behind the words.
    Groups(fn(&GroupStatus) -> bool),
}

/// Why `status` ends as it does.
pub struct Reason {
    /// What a program is told.
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

/// The first one that applies is told: the gravest, then what people have asked for, then causes before what follows from them.
static REASONS: [Reason; 18] = {
    use Exit::{Alone, Unserved};
    use Subject::{Groups, Me, Pair, Peer};
    [
        reason(Unserved, "both_serve", Groups(do_both_serve), "BOTH NODES SERVE", |f| f.do_both_serve),
        reason(Unserved, "cannot_serve", Me, "CANNOT SERVE what it holds", |f| f.is_holder_unable),
        reason(Unserved, "cold_start", Groups(is_unserved), "NOBODY SERVES", |f| f.is_cold_start),
        reason(Unserved, "nobody_serves", Groups(is_unserved), "NOBODY SERVES", |f| f.is_overdue),
        reason(Alone, "standby", Me, "is in standby", |f| f.is_standby),
        reason(Alone, "maintenance", Me, "is in maintenance", |f| f.is_maintenance),
        reason(Alone, "peer_standby", Peer, "is in standby", |f| f.is_peer_standby),
        reason(Alone, "peer_maintenance", Peer, "is in maintenance", |f| f.is_peer_maintenance),
        reason(Alone, "keys_differ", Peer, "is there, and is not understood", |f| f.is_peer_refused),
        reason(Alone, "peer_departed", Peer, "said goodbye", |f| f.verdict == Verdict::Departed),
        reason(Alone, "peer_dead", Peer, "is dead", |f| f.verdict == Verdict::Dead),
        reason(Alone, "peer_unheard", Peer, "is not heard", |f| f.verdict == Verdict::Doubtful),
        reason(Alone, "configurations_differ", Pair, "the CONFIGURATIONS DIFFER", |f| f.is_configuration_different),
        reason(Alone, "peer_unable", Peer, "could not take over", |f| f.is_peer_unable),
        reason(Alone, "unable", Me, "could not take over", |f| f.is_unable),
        reason(Alone, "jeopardy", Pair, "JEOPARDY", |f| f.is_jeopardy),
        reason(Alone, "moving", Groups(is_unserved), "on its way:", |f| f.is_unserved),
        reason(Exit::Done, "well", Pair, "either node could serve", |_| true),
    ]
};

/// What of a status bears on it.
struct Facts {
    verdict: Verdict,
    do_both_serve: bool,
    /// We hold a group and cannot serve it.
    is_holder_unable: bool,
    /// Nobody serves a group, since we listen for a peer that was never heard.
    is_cold_start: bool,
    /// Nobody has served a group for longer than a takeover may take.
    is_overdue: bool,
    is_unserved: bool,
    is_standby: bool,
    is_maintenance: bool,
    is_peer_standby: bool,
    is_peer_maintenance: bool,
    /// Somebody is there who is not understood.
    is_peer_refused: bool,
    is_configuration_different: bool,
    /// The peer could not take what we hold.
    is_peer_unable: bool,
    /// We could not take what the peer holds.
    is_unable: bool,
    is_jeopardy: bool,
}

impl Facts {
    fn of(report: &Report) -> Self {
        let node = &report.node;
        let is_any = |is: fn(&GroupStatus) -> bool| node.groups.iter().any(is);
        let is_peer = |is: fn(&PeerStatus) -> bool| node.peer.as_ref().is_some_and(is);
        let has_trouble = node.trouble != Trouble::None;
        let is_refused = node.paths.iter().any(|path| path.state == PathState::Refused);
        Self {
            verdict: node.verdict,
            do_both_serve: is_any(do_both_serve),
            is_holder_unable: has_trouble && is_any(|group| group.role.is_holding()) || is_any(is_failing),
            is_cold_start: is_any(|group| is_unserved(group) && group.block == Some(Block::ColdStart)),
            is_overdue: node.groups.iter().zip(&report.bounds).any(|(group, [idle, unserved])| {
                group.idle.is_some_and(|span| span > *idle) || group.unserved.is_some_and(|span| span > *unserved)
            }),
            is_unserved: is_any(is_unserved),
            is_standby: node.is_standby,
            is_maintenance: node.maintenance.is_some(),
            is_peer_standby: is_peer(|peer| peer.is_standby),
            is_peer_maintenance: is_peer(|peer| peer.is_maintenance),
            is_peer_refused: is_refused && !is_heard(report),
            is_configuration_different: node.is_digest_different,
            is_peer_unable: is_peer(is_peer_unable),
            is_unable: has_trouble || node.is_stopping || !report.deaf.is_empty() || is_any(is_unfit),
            is_jeopardy: node.is_jeopardy,
        }
    }
}

/// Whether the peer is heard on any path.
pub fn is_heard(report: &Report) -> bool {
    report.node.paths.iter().any(|path| path.state.is_heard())
}

fn do_both_serve(group: &GroupStatus) -> bool {
    group.both_serve.is_some()
}

fn is_unserved(group: &GroupStatus) -> bool {
    group.unserved.is_some()
}

/// What is served here, and is not.
fn is_failing(group: &GroupStatus) -> bool {
    let is_failing = match group.condition {
        Condition::Well | Condition::Restarting(_) => !group.has_carrier,
        Condition::Unfit(_) | Condition::Stuck(_) => true,
    };
    group.role == Role::Active && is_failing
}

fn is_unfit(group: &GroupStatus) -> bool {
    !group.has_carrier || group.role == Role::Faulty
}

fn is_peer_unable(peer: &PeerStatus) -> bool {
    let is_faulty = peer.groups.iter().any(|group| group.is_none_or(|(role, _)| role == Role::Faulty));
    peer.trouble != Trouble::None || peer.is_cold_start || peer.has_no_carrier || is_faulty
}

/// What a status comes to.
pub fn assess(report: &Report) -> &'static Reason {
    let facts = Facts::of(report);
    REASONS.iter().find(|reason| (reason.applies)(&facts)).unwrap_or(&REASONS[0])
}

impl Reason {
    /// In one line: why, and who serves what.
    pub fn sentence(&self, report: &Report) -> String {
        let [me, peer] = report.names();
        let mut parts = vec![match self.subject {
            Subject::Me => format!("{me} {}", self.words),
            Subject::Peer => format!("{peer} {}", self.words),
            Subject::Pair => self.words.to_string(),
            Subject::Groups(is_meant) => format!("{} {}", self.words, groups(report, |_, group| is_meant(group))),
        }];
        let unserved = report.node.groups.iter().find(|group| is_unserved(group)).and_then(|group| group.block);
        parts.extend(unserved.map(|block| words::block(block, peer)));
        let is_heard = is_heard(report);
        let theirs = |index| is_heard && role_there(report, index) == Some(Role::Active);
        for (name, served) in [
            (me, groups(report, |_, group| group.role == Role::Active)),
            (peer, groups(report, |index, group| group.unserved.is_none() && theirs(index))),
        ] {
            if !served.is_empty() {
                parts.push(format!("{name} serves {served}"));
            }
        }
        parts.join("; ")
    }
}

/// What the peer said last that it is for a group.
fn role_there(report: &Report, index: usize) -> Option<Role> {
    report.node.peer.as_ref()?.groups.get(index)?.map(|(role, _)| role)
}

/// The names of those groups.
fn groups(report: &Report, is_meant: impl Fn(usize, &GroupStatus) -> bool) -> String {
    let all = report.groups.iter().zip(&report.node.groups).enumerate();
    let meant = all.filter(|(index, (_, group))| is_meant(*index, group)).map(|(_, ((name, _), _))| name.as_str());
    meant.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crosswire::config::{MAX_GROUPS, Side};
    use crosswire::frame::message::Build;
    use crosswire::frame::refusal::REFUSALS;
    use crosswire::health::{LineReading, Quality};
    use crosswire::status::{NodeStatus, PathStatus};
    use crosswire::time::Span;

    use super::*;

    const IDLE: Span = Span::from_s(6);
    const ON_ITS_WAY: Span = Span::from_s(60);

    fn group(role: Role) -> GroupStatus {
        GroupStatus {
            role,
            term: 7,
            has_carrier: true,
            condition: Condition::Well,
            fault: None,
            block: None,
            both_serve: None,
            unserved: None,
            idle: None,
            foreign_mac: None,
        }
    }

    fn path(state: PathState) -> PathStatus {
        PathStatus {
            state,
            heard: None,
            heard_by_peer: None,
            beats_heard: 1,
            beats_sent: 1,
            quality: Quality::default(),
            dead_after: Span::from_s(1),
            lines: LineReading::Unknown,
            is_looped: false,
            is_deaf: false,
            refusals: [0; REFUSALS],
        }
    }

    fn peer(role: Role) -> PeerStatus {
        PeerStatus {
            age: Span::from_ms(20),
            protocol: 2,
            build: Build::default(),
            is_cold_start: false,
            has_left: false,
            is_standby: false,
            is_maintenance: false,
            has_no_carrier: false,
            trouble: Trouble::None,
            groups: [Some((role, 7))].into_iter().collect::<heapless::Vec<_, MAX_GROUPS>>(),
        }
    }

    /// A pair that is well: gw1, which is asked, has that role, and gw2 the other one.
    fn well(role: Role) -> Report {
        let other = if role == Role::Active { Role::Backup } else { Role::Active };
        let node = NodeStatus {
            me: Side::A,
            up: Span::from_s(100),
            incarnation: [1; 8],
            verdict: Verdict::Present,
            is_jeopardy: false,
            is_digest_different: false,
            is_lifetime_ignored: false,
            trouble: Trouble::None,
            is_stopping: false,
            is_standby: false,
            maintenance: None,
            paths: [path(PathState::OnTime), path(PathState::OnTime)].into_iter().collect(),
            groups: [group(role)].into_iter().collect(),
            peer: Some(peer(other)),
            worst_stall: Span::ZERO,
        };
        Report {
            pair: "lab".to_owned(),
            nodes: ["gw1".to_owned(), "gw2".to_owned()],
            paths: vec!["serial".to_owned(), "lan".to_owned()],
            skipped: vec![0, 0],
            away: vec![None, None],
            ports: vec![None, None],
            groups: vec![("gateway".to_owned(), Vec::new())],
            longest_move: Span::ZERO,
            bounds: vec![[IDLE, ON_ITS_WAY]],
            file: String::new(),
            key_file: String::new(),
            interfaces: Vec::new(),
            deaf: Vec::new(),
            said_because: None,
            watchdog: None,
            node,
        }
    }

    fn silent(report: &mut Report, verdict: Verdict) {
        report.node.verdict = verdict;
        report.node.paths.iter_mut().for_each(|path| path.state = PathState::Silent);
    }

    /// For so many seconds nobody has served.
    fn unserved(report: &mut Report, seconds: u64, block: Block) {
        let group = &mut report.node.groups[0];
        let span = Some(Span::from_s(seconds));
        (group.unserved, group.idle, group.block) = (span, span, Some(block));
    }

    fn not_understood(report: &mut Report) {
        report.node.paths[0].state = PathState::Refused;
        report.node.paths[1].state = PathState::Silent;
    }

    type Case = (Role, fn(&mut Report), u8, &'static str, &'static str);

    /// The role of the node that is asked, what is so, the exit code, the reason, the line.
    const CASES: [Case; 36] = [
        (Role::Active, |_| {}, 0, "well", "either node could serve; gw1 serves gateway"),
        (Role::Backup, |_| {}, 0, "well", "either node could serve; gw2 serves gateway"),
        (
            Role::Active,
            |r| {
                r.node.groups[0].both_serve = Some(Span::from_ms(300));
                r.node.peer = Some(peer(Role::Active));
            },
            5,
            "both_serve",
            "BOTH NODES SERVE gateway; gw1 serves gateway; gw2 serves gateway",
        ),
        // A guard that hangs or is gone, on the node that holds and on the one that does not; and the peer's.
        (Role::Active, |r| r.node.trouble = Trouble::GuardSilent, 5, "cannot_serve", ""),
        (Role::Releasing, |r| r.node.trouble = Trouble::GuardLost, 5, "cannot_serve", ""),
        (
            Role::Backup,
            |r| r.node.trouble = Trouble::GuardSilent,
            4,
            "unable",
            "gw1 could not take over; gw2 serves gateway",
        ),
        (
            Role::Active,
            |r| r.node.peer.iter_mut().for_each(|peer| peer.trouble = Trouble::GuardSilent),
            4,
            "peer_unable",
            "gw2 could not take over; gw1 serves gateway",
        ),
        // What is held, and cannot be served.
        (Role::Active, |r| r.node.groups[0].condition = Condition::Unfit(0), 5, "cannot_serve", ""),
        (Role::Active, |r| r.node.groups[0].condition = Condition::Stuck(0), 5, "cannot_serve", ""),
        (Role::Active, |r| r.node.groups[0].has_carrier = false, 5, "cannot_serve", ""),
        (Role::Active, |r| r.node.groups[0].condition = Condition::Restarting(0), 0, "well", ""),
        // The second node could not serve it: ours, theirs.
        (Role::Backup, |r| r.node.groups[0].has_carrier = false, 4, "unable", ""),
        (Role::Faulty, |_| {}, 4, "unable", ""),
        (Role::Backup, |r| r.deaf.push("eth0".to_owned()), 4, "unable", ""),
        (Role::Backup, |r| r.node.is_stopping = true, 4, "unable", ""),
        (Role::Active, |r| r.node.peer = Some(peer(Role::Faulty)), 4, "peer_unable", ""),
        (Role::Active, |r| r.node.peer.iter_mut().for_each(|peer| peer.has_no_carrier = true), 4, "peer_unable", ""),
        (Role::Active, |r| r.node.peer.iter_mut().for_each(|peer| peer.is_cold_start = true), 4, "peer_unable", ""),
        (Role::Active, |r| r.node.peer.iter_mut().for_each(|peer| peer.groups[0] = None), 4, "peer_unable", ""),
        // A peer that is away.
        (Role::Active, |r| silent(r, Verdict::Dead), 4, "peer_dead", "gw2 is dead; gw1 serves gateway"),
        (Role::Active, |r| silent(r, Verdict::Departed), 4, "peer_departed", ""),
        (Role::Active, |r| silent(r, Verdict::Doubtful), 4, "peer_unheard", ""),
        // While it may still be taken over, nobody is woken up; then everybody.
        (
            Role::Backup,
            |r| {
                silent(r, Verdict::Dead);
                unserved(r, 5, Block::Drift);
            },
            4,
            "peer_dead",
            "",
        ),
        (
            Role::Backup,
            |r| {
                silent(r, Verdict::Doubtful);
                unserved(r, 7, Block::Jeopardy);
            },
            5,
            "nobody_serves",
            "NOBODY SERVES gateway; no path hears gw2, and too few testify for that to prove anything (in_jeopardy = \"hold\")",
        ),
        (
            Role::Backup,
            |r| unserved(r, 1, Block::PeersTurn),
            4,
            "moving",
            "on its way: gateway; nobody serves it; gw2 goes first",
        ),
        // A script may take its time while it moves, and no longer.
        (Role::Acquiring, |r| r.node.groups[0].unserved = Some(Span::from_s(59)), 4, "moving", ""),
        (Role::Acquiring, |r| r.node.groups[0].unserved = Some(Span::from_s(61)), 5, "nobody_serves", ""),
        (
            Role::Backup,
            |r| {
                silent(r, Verdict::Doubtful);
                r.node.peer = None;
                unserved(r, 1, Block::ColdStart);
            },
            5,
            "cold_start",
            "NOBODY SERVES gateway; cold start: listening for gw2",
        ),
        // Keys differ: who serves, who knows that the other one does, and where nobody does.
        (Role::Active, not_understood, 4, "keys_differ", "gw2 is there, and is not understood; gw1 serves gateway"),
        (Role::Backup, not_understood, 4, "keys_differ", "gw2 is there, and is not understood"),
        (
            Role::Backup,
            |r| {
                not_understood(r);
                unserved(r, 7, Block::Refused);
            },
            5,
            "nobody_serves",
            "",
        ),
        (Role::Active, |r| r.node.is_digest_different = true, 4, "configurations_differ", ""),
        // What people have asked for comes before what is wrong.
        (
            Role::Backup,
            |r| {
                (r.node.is_standby, r.node.is_jeopardy) = (true, true);
            },
            4,
            "standby",
            "gw1 is in standby; gw2 serves gateway",
        ),
        (Role::Active, |r| r.node.maintenance = Some(Span::from_s(60)), 4, "maintenance", ""),
        (Role::Active, |r| r.node.peer.iter_mut().for_each(|peer| peer.is_standby = true), 4, "peer_standby", ""),
        (Role::Active, |r| r.node.is_jeopardy = true, 4, "jeopardy", "JEOPARDY; gw1 serves gateway"),
    ];

    #[test]
    fn every_case_has_its_exit_code_and_its_reason() {
        for (index, (role, change, code, name, line)) in CASES.iter().enumerate() {
            let mut report = well(*role);
            change(&mut report);
            let reason = assess(&report);
            assert_eq!((reason.exit.code(), reason.name), (*code, *name), "case {index}");
            if !line.is_empty() {
                assert_eq!(reason.sentence(&report), *line, "case {index}");
            }
        }
    }

    #[test]
    fn every_reason_has_a_case_and_a_name_of_its_own() {
        let maintenance = |mut report: Report| {
            report.node.peer.iter_mut().for_each(|peer| peer.is_maintenance = true);
            assess(&report).name
        };
        let told: std::collections::HashSet<_> =
            CASES.iter().map(|case| case.3).chain([maintenance(well(Role::Active))]).collect();
        assert_eq!(told.len(), REASONS.len());
        for reason in &REASONS {
            assert!(told.contains(reason.name), "{}", reason.name);
        }
    }
}
