//! What a status comes to, case by case.

use crosswire::config::MAX_GROUPS;
use crosswire::frame::message::{Build, GroupReport};
use crosswire::frame::refusal::REFUSALS;
use crosswire::health::{LineReading, Quality};
use crosswire::pair::{PathId, Side, Trouble, Word};
use crosswire::quorum::forecast::{Forecast, NextFault, Prospect};
use crosswire::resource::Condition;
use crosswire::status::{NodeStatus, PathStatus, WitnessStatus};

#[path = "assessment_facts.rs"]
mod facts;

use super::*;
use facts::FACTS;
pub use facts::voting;

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
        wait: None,
        both_serve: None,
        unable: None,
        peer_unable: None,
        unserved: None,
        idle: None,
        foreign_mac: None,
        is_foreign_mac_doubtful: false,
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

fn witness() -> WitnessStatus {
    WitnessStatus { answered: Some(Span::from_ms(100)), peer_misses: None }
}

fn peer(role: Role) -> PeerStatus {
    let said = GroupReport { tag: 1, role, term: 7, word: Word::None };
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
        groups: [Some(said)].into_iter().collect::<heapless::Vec<_, MAX_GROUPS>>(),
    }
}

/// A pair that is well: gw1, which is asked, has `role`, and gw2 has the other one.
pub fn well(role: Role) -> Report {
    let other = if role == Role::Active { Role::Backup } else { Role::Active };
    let node = NodeStatus {
        me: Side::A,
        up: Span::from_s(100),
        incarnation: [1; 8],
        verdict: Verdict::Present,
        jeopardy: None,
        is_digest_different: false,
        is_lifetime_ignored: false,
        trouble: Trouble::None,
        is_stopping: false,
        is_standby: false,
        maintenance: None,
        paths: [path(PathState::OnTime), path(PathState::OnTime)].into_iter().collect(),
        groups: [group(role)].into_iter().collect(),
        witnesses: [witness()].into_iter().collect(),
        neighbours: heapless::Vec::new(),
        vote: None,
        peer: Some(peer(other)),
        worst_stall: Span::ZERO,
        stalled: Span::ZERO,
    };
    Report {
        pair: "lab".to_owned(),
        is_shadow: false,
        nodes: ["gw1".to_owned(), "gw2".to_owned()],
        paths: vec!["serial".to_owned(), "lan".to_owned()],
        skipped: vec![0, 0],
        away: vec![None, None],
        ports: vec![None, None],
        groups: vec![("gateway".to_owned(), Vec::new())],
        scripts: vec![String::new()],
        ends: vec![0],
        witnesses: vec!["10.0.0.254".to_owned()],
        vote: None,
        longest_move: Span::ZERO,
        bounds: vec![[IDLE, ON_ITS_WAY]],
        file: String::new(),
        key_file: String::new(),
        interfaces: Vec::new(),
        misplaced: Vec::new(),
        deaf: Vec::new(),
        said_because: None,
        watchdog: None,
        is_replaced: false,
        drops: Vec::new(),
        journal: None,
        forecasts: Vec::new(),
        node,
    }
}

fn silent(report: &mut Report, verdict: Verdict) {
    report.node.verdict = verdict;
    report.node.peer.iter_mut().for_each(|peer| peer.age = Span::from_s(5));
    report.node.paths.iter_mut().for_each(|path| path.state = PathState::Silent);
}

/// Nobody has served for so many seconds.
fn unserved(report: &mut Report, seconds: u64, block: Block) {
    let group = &mut report.node.groups[0];
    let span = Some(Span::from_s(seconds));
    (group.unserved, group.idle, group.block) = (span, span, Some(block));
}

fn not_understood(report: &mut Report) {
    report.node.paths[0].state = PathState::Refused;
    report.node.paths[1].state = PathState::Silent;
}

const HICCUP: Option<Span> = Some(Span::from_ms(300));
const A_WHILE: Option<Span> = Some(Span::from_s(5));
const LONG: Option<Span> = Some(Span::from_s(61));

type Change = fn(&mut Report);

fn groups(report: &mut Report, change: fn(&mut GroupStatus)) {
    report.node.groups.iter_mut().for_each(change);
}

type Case = (Role, Change, u8, &'static str, &'static str);

const SHADOWED: &str = "SHADOW: decides and does nothing; gw1 would serve gateway; gw2 could take over";

/// The role of the node that is asked, the change, the exit code, the reason, the line.
const CASES: [Case; 30] = [
    (Role::Active, |_| {}, 0, "well", "gw1 serves gateway; gw2 could take over"),
    (Role::Backup, |_| {}, 0, "well", "gw2 serves gateway; gw1 could take over"),
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
    // A group is held here and cannot be served: nobody is woken up before the peer has had time to take it.
    (
        Role::Active,
        |r| groups(r, |group| (group.unable, group.unserved) = (A_WHILE, A_WHILE)),
        4,
        "failing",
        "gw1 CANNOT SERVE what it holds",
    ),
    (
        Role::Active,
        |r| groups(r, |group| (group.unable, group.unserved) = (LONG, LONG)),
        5,
        "cannot_serve",
        "gw1 CANNOT SERVE what it holds",
    ),
    (
        Role::Releasing,
        |r| groups(r, |group| group.unable = LONG),
        5,
        "cannot_serve",
        "gw1 CANNOT SERVE what it holds; gw2 serves gateway",
    ),
    (Role::Active, |r| r.node.groups[0].condition = Condition::Restarting(0), 0, "well", ""),
    (
        Role::Backup,
        |r| groups(r, |group| group.unable = A_WHILE),
        4,
        "unable",
        "gw2 serves gateway; gw1 could not take over",
    ),
    (
        Role::Active,
        |r| groups(r, |group| group.peer_unable = A_WHILE),
        4,
        "peer_unable",
        "gw1 serves gateway; gw2 could not take over: for a reason that it tells in its own status",
    ),
    (
        Role::Active,
        |r| silent(r, Verdict::Dead),
        4,
        "peer_dead",
        "gw1 serves gateway; gw2 is off, hangs or is cut off: nobody could take over",
    ),
    (
        Role::Active,
        |r| {
            silent(r, Verdict::Dead);
            r.node.paths[0].lines = LineReading::Dropped;
        },
        4,
        "peer_dead",
        "gw1 serves gateway; gw2 is off (its modem lines dropped): nobody could take over",
    ),
    (
        Role::Active,
        |r| {
            silent(r, Verdict::Dead);
            r.node.paths[0].lines = LineReading::Running { holds: true };
        },
        4,
        "peer_dead",
        "gw1 serves gateway; gw2 has power and hangs (its modem lines are on): nobody could take over",
    ),
    (
        Role::Backup,
        |r| {
            silent(r, Verdict::Doubtful);
            unserved(r, 7, Block::Jeopardy);
        },
        5,
        "nobody_serves",
        "PERHAPS NOBODY SERVES gateway: no path hears gw2, and too few testify for that to prove anything \
        (in_jeopardy = \"hold\"); if you have seen that gw2 is off, say `takeover GROUP --peer-is-off`",
    ),
    (
        Role::Backup,
        |r| unserved(r, 1, Block::PeersTurn),
        4,
        "moving",
        "on its way: gateway: nobody serves it; gw2 goes first",
    ),
    // A script may take its time while it moves, and no longer.
    (Role::Acquiring, |r| r.node.groups[0].unserved = Some(Span::from_s(59)), 4, "moving", ""),
    (Role::Acquiring, |r| r.node.groups[0].unserved = Some(Span::from_s(61)), 5, "nobody_serves", ""),
    // A group that has failed on both nodes is not on its way, also right after an agent was replaced.
    (
        Role::Faulty,
        |r| {
            r.node.peer = Some(peer(Role::Faulty));
            unserved(r, 0, Block::Faulty);
        },
        5,
        "nobody_serves",
        "NOBODY SERVES gateway: it failed here; trying again later",
    ),
    (
        Role::Active,
        |r| r.node.groups[0].peer_unable = HICCUP,
        0,
        "well",
        "gw1 serves gateway; gateway changed just now: look again in a second",
    ),
    (
        Role::Backup,
        |r| {
            silent(r, Verdict::Doubtful);
            r.node.peer = None;
            unserved(r, 1, Block::ColdStart);
        },
        5,
        "cold_start",
        "PERHAPS NOBODY SERVES gateway: cold start: listening for gw2",
    ),
    // Keys differ: on the node that serves, and on the backup.
    (
        Role::Active,
        not_understood,
        4,
        "keys_differ",
        "gw1 serves gateway; gw2 answers, but is not understood",
    ),
    (Role::Backup, not_understood, 4, "keys_differ", "gw2 answers, but is not understood"),
    // What people have asked for comes before what is wrong, but not if they asked it of a peer that has died
    // since.
    (
        Role::Backup,
        |r| (r.node.is_standby, r.node.jeopardy) = (true, A_WHILE),
        4,
        "standby",
        "gw1 is in standby; gw2 serves gateway",
    ),
    (Role::Active, |r| r.node.peer.iter_mut().for_each(|peer| peer.is_standby = true), 4, "peer_standby", ""),
    (
        Role::Active,
        |r| r.node.peer.iter_mut().for_each(|peer| peer.is_maintenance = true),
        4,
        "peer_maintenance",
        "",
    ),
    (
        Role::Active,
        |r| {
            r.node.peer.iter_mut().for_each(|peer| peer.is_standby = true);
            silent(r, Verdict::Dead);
        },
        4,
        "peer_dead",
        "",
    ),
    // In shadow nobody is woken up, whatever it would come to.
    (Role::Active, |r| r.is_shadow = true, 4, "shadow", SHADOWED),
    // Both are in standby: the reason first, and nobody is woken up before a takeover would have been done.
    (
        Role::Backup,
        |r| {
            r.node.is_standby = true;
            r.node.peer = Some(PeerStatus { is_standby: true, ..peer(Role::Backup) });
            unserved(r, 5, Block::Standby);
        },
        4,
        "standby",
        "gw1 is in standby",
    ),
    (
        Role::Backup,
        |r| {
            r.node.is_standby = true;
            r.node.peer = Some(PeerStatus { is_standby: true, ..peer(Role::Backup) });
            unserved(r, 7, Block::Standby);
        },
        5,
        "nobody_serves",
        "NOBODY SERVES gateway: this node is in standby; `crosswire online` ends that",
    ),
    (
        Role::Backup,
        |r| r.misplaced.push("10.0.0.100@lo".to_owned()),
        4,
        "misplaced_address",
        "gw2 serves gateway; gw1 has a service address where it does not belong, and answers for it: \
        10.0.0.100@lo",
    ),
    (
        Role::Active,
        |r| r.node.witnesses[0].peer_misses = A_WHILE,
        4,
        "witness_unseen",
        "gw1 serves gateway; gw2 has not seen witness 10.0.0.254 for 5 s",
    ),
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

/// The holder's guard is stopped, and its lease runs out or has run out.
#[test]
fn of_what_a_holder_cannot_serve_nobody_is_told_that_it_serves() {
    let serves_on = |loss| Forecast {
        loss,
        groups: [Prospect::ServedOn].into_iter().collect(),
        then: [Prospect::ServedOn].into_iter().collect(),
    };
    let cases = [(Role::Backup, 300, 4), (Role::Backup, 5_000, 4), (Role::Backup, 61_000, 5)];
    for (peer_is, ms, code) in cases.into_iter().chain([(Role::Active, 61_000, 5)]) {
        let mut report = well(Role::Active);
        report.node.trouble = Trouble::GuardSilent;
        report.node.peer = Some(peer(peer_is));
        let unable = Some(Span::from_ms(ms));
        (report.node.groups[0].unable, report.node.groups[0].unserved) = (unable, unable);
        report.forecasts = vec![serves_on(NextFault::Path(PathId(0))), serves_on(NextFault::Power(Side::B))];
        let said = super::super::status_text::text(&report, false, true);
        let reason = assess(&report);
        assert_eq!(reason.exit.code(), code, "{said}");
        let what = "gw1 CANNOT SERVE what it holds: its guard does not answer";
        let is_said = reason.sentence(&report).contains(what);
        assert!(is_said && !said.contains("gw1 serves") && !said.contains("serves on"), "{said}");
    }
}

#[test]
fn every_reason_has_a_case_and_a_name_of_its_own() {
    let alone =
        FACTS.iter().copied().flatten().map(|(.., reason)| *reason).filter(|reason| !reason.is_empty());
    let told: std::collections::HashSet<_> = CASES.iter().map(|case| case.3).chain(alone).collect();
    assert_eq!(told.len(), REASONS.len());
    for reason in &REASONS {
        assert!(told.contains(reason.name), "{}", reason.name);
    }
}

/// The most that a file may list: eight groups with 64 addresses and 16 scripts each.
#[test]
fn the_largest_status_fits_its_answer() {
    let mut report = well(Role::Active);
    let address = "fd00:1111:2222:3333:4444:5555:6666:7777/128@enp12s0f1np12".to_owned();
    report.groups = vec![("gateway".to_owned(), vec![address; 64]); MAX_GROUPS];
    report.scripts = vec![
        "exec:/usr/local/libexec/a-directory-of-ours/with-a-long-name/start-a-service\n"
            .repeat(16);
        MAX_GROUPS
    ];
    let answer = super::super::control::Answer::Status(Box::new(report));
    assert!(super::super::control::encode(&answer).is_some());
}

/// Two versions of crosswire are a remark, never an alarm.
#[test]
fn another_version_of_the_peer_is_shown() {
    use super::super::status_text;
    let shown = |build: &str, protocol| {
        let mut report = well(Role::Active);
        let peer = report.node.peer.as_mut().expect("it is heard");
        (peer.build, peer.protocol) = (Build::try_from(build).expect("short"), protocol);
        assert_eq!(assess(&report).exit, Exit::Done);
        let text = status_text::text(&report, false, true);
        text.lines().find(|line| line.contains("version")).map(str::to_owned)
    };
    use crosswire::frame::BUILD;
    assert_eq!([shown(BUILD, 2), shown("", 2), shown("", 0)], [None, None, None]);
    assert_eq!(shown("0.9.1", 2), Some(format!("  gw2 runs version 0.9.1, this node {BUILD}")));
    let old = format!("  gw2 runs an older version (protocol 1), this node {BUILD}");
    assert_eq!(shown("", 1), Some(old));
}
