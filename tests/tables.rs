//! The tables of the decision, cell by cell, against the text files beside this one. The files are the
//! specification: a cell that changes is a changed rule, and wants a reason.

use crosswire::config::{InJeopardy, SafetyRule};
use crosswire::health::{LineReading, PathState, WitnessView};
use crosswire::pair::{PathKind, Role};
use crosswire::quorum::decide::decide;
use crosswire::quorum::facts::{
    Claim, Clock, Decision, Fence, PeerFacts, Situation, Standby, Tie, Wait, WireFacts, Wish,
};
use crosswire::quorum::moves::{Standbys, asks_back, claims, yields_standby};
use crosswire::quorum::probe::Finding;
use crosswire::quorum::roles::{RoleEvent, next};
use crosswire::quorum::takeover::{asks_the_wire, take_prepared};
use crosswire::quorum::verdict::{Testimony, verdict};
use crosswire::reasons::Verdict;
use crosswire::time::{Instant, Span};

/// The lines of a table without remarks: a `#` at the start of a line.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The name of a value as the tables write it: its Rust name in small letters.
fn name(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

/// A grid: the first line names the columns, each further line a row and its cells.
fn check_grid(text: &str, columns: &[String], rows: &[String], cell: impl Fn(usize, usize) -> String) {
    let mut lines = lines(text);
    let head: Vec<&str> = lines.next().expect("a head").split_whitespace().skip(1).collect();
    assert_eq!(head, columns, "columns");
    let mut seen = 0;
    for (row, line) in lines.enumerate() {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some(rows[row].as_str()), "row {row}");
        let cells: Vec<&str> = words.collect();
        assert_eq!(cells.len(), columns.len(), "every cell of row {line}");
        for (column, expected) in cells.into_iter().enumerate() {
            assert_eq!(cell(row, column), expected, "row {}, column {}", rows[row], columns[column]);
        }
        seen += 1;
    }
    assert_eq!(seen, rows.len(), "every row");
}

fn testimony(kind: PathKind, state: PathState) -> Testimony {
    Testimony { kind, state, lines: LineReading::Unknown, is_cut_short: false, is_broken_briefly: false }
}

#[test]
fn one_cable_and_one_lan_to_verdict() {
    let states: Vec<String> = PathState::ALL.map(name).to_vec();
    check_grid(include_str!("tables/verdict.txt"), &states, &states, |serial, lan| {
        let paths = [
            testimony(PathKind::Serial, PathState::ALL[serial]),
            testimony(PathKind::Lan, PathState::ALL[lan]),
        ];
        name(verdict(&paths, false))
    });
}

#[test]
fn a_cable_whose_lines_dropped_and_one_lan_to_verdict() {
    let states: Vec<String> = PathState::ALL.map(name).to_vec();
    let rows = ["broken-briefly", "broken-long"].map(str::to_string);
    check_grid(include_str!("tables/power-loss.txt"), &states, &rows, |row, lan| {
        let cable = Testimony { is_cut_short: true, ..testimony(PathKind::Serial, PathState::OnTime) };
        let lan = Testimony { is_broken_briefly: row == 0, ..testimony(PathKind::Lan, PathState::ALL[lan]) };
        name(verdict(&[cable, lan], false))
    });
}

#[test]
fn a_goodbye_outweighs_everything_but_somebody_on_the_cable() {
    for serial in PathState::ALL {
        for lan in PathState::ALL {
            let paths = [testimony(PathKind::Serial, serial), testimony(PathKind::Lan, lan)];
            let is_refused = serial == PathState::Refused || lan == PathState::Refused;
            let expected = match (is_refused, serial.is_heard() || lan.is_heard()) {
                (true, true) => Verdict::Present,
                (true, false) => Verdict::Unintelligible,
                (false, _) => Verdict::Departed,
            };
            assert_eq!(verdict(&paths, true), expected);
        }
    }
}

#[test]
fn roles_and_events_to_roles() {
    let roles = [Role::Backup, Role::Acquiring, Role::Active, Role::Releasing, Role::Faulty];
    let columns: Vec<String> = RoleEvent::ALL.map(name).to_vec();
    check_grid(include_str!("tables/roles.txt"), &columns, &roles.map(name), |role, event| {
        next(roles[role], RoleEvent::ALL[event]).map_or("-".to_string(), name)
    });
}

/// What the tables begin with.
const BACKUP: Situation = Situation::BESIDE_A_DEAD_PEER;

/// A node that serves beside a peer that could.
const HOLDER: Situation = Situation {
    peer: PeerFacts {
        verdict: Verdict::Present,
        claim: Claim::Free,
        is_on_time: true,
        is_able: true,
        ..BACKUP.peer
    },
    wire: WireFacts { finding: Finding::Unknown, ..BACKUP.wire },
    ..BACKUP
};

/// A column of the clock: whether `yes` says that its time has come, or that it lasts; and its place.
type Column = (&'static str, bool, fn(&mut Clock) -> &mut Instant);

const CLOCK: [Column; 22] = [
    ("stalled", false, |clock| &mut clock.judged_at),
    ("maintenance", false, |clock| &mut clock.maintained_until),
    ("peer-maintenance", false, |clock| &mut clock.peer_maintained_until),
    ("offered", false, |clock| &mut clock.offered_until),
    ("unsteady", false, |clock| &mut clock.unsteady_until),
    ("offer-unused", false, |clock| &mut clock.offer_unused_until),
    ("listened", true, |clock| &mut clock.listened_at),
    ("nearly-listened", true, |clock| &mut clock.listening_asks_at),
    ("drift", true, |clock| &mut clock.silent_at),
    ("released", true, |clock| &mut clock.released_at),
    ("reset", true, |clock| &mut clock.reset_at),
    ("fence-again", true, |clock| &mut clock.fence_again_at),
    ("second", true, |clock| &mut clock.second_at),
    ("claimed", true, |clock| &mut clock.claimed_at),
    ("retry", true, |clock| &mut clock.retry_at),
    ("lapsed", true, |clock| &mut clock.lease_until),
    ("renewal", true, |clock| &mut clock.renew_at),
    ("deadline", true, |clock| &mut clock.deadline_at),
    ("alone", true, |clock| &mut clock.alone_at),
    ("dark", true, |clock| &mut clock.dark_at),
    ("outseen", true, |clock| &mut clock.outseen_at),
    ("failback", true, |clock| &mut clock.failback_at),
];

/// When the time of a column comes, where it has not come yet.
fn later(column: usize) -> Instant {
    BACKUP.clock.now + Span::from_s(u64::try_from(column).expect("few")) + Span::from_s(1)
}

/// `yes`, `no`, and `never` for what time alone does not bring about.
fn set_clock(clock: &mut Clock, column: usize, value: &str) {
    let (key, is_reached, place) = CLOCK[column];
    let has_come = match value {
        "never" => None,
        "yes" => Some(is_reached),
        "no" => Some(!is_reached),
        other => panic!("{key} = {other}: yes, no or never"),
    };
    *place(clock) = match has_come {
        None => Instant::NEVER,
        Some(true) => Instant::ORIGIN,
        Some(false) => later(column),
    };
}

fn set(s: &mut Situation, key: &str, value: &str) {
    if let Some(column) = CLOCK.iter().position(|(name, ..)| *name == key) {
        return set_clock(&mut s.clock, column, value);
    }
    let yes = || match value {
        "yes" => true,
        "no" => false,
        other => panic!("{key} = {other}: yes or no"),
    };
    macro_rules! one_of {
        ($($variant:expr),+) => {
            [$($variant),+].into_iter().find(|v| name(v) == value).unwrap_or_else(|| panic!("{key} = \
                {value}"))
        };
    }
    let Situation { peer, own, wire, rule, .. } = s;
    match key {
        "verdict" => {
            peer.verdict = one_of!(
                Verdict::Present,
                Verdict::Departed,
                Verdict::Dead,
                Verdict::Doubtful,
                Verdict::Unintelligible
            );
        }
        "ever-heard" => peer.was_ever_heard = yes(),
        "was-known" => peer.was_known = yes(),
        "on-time" => peer.is_on_time = yes(),
        "heard-since-stall" => peer.is_heard_since_stall = yes(),
        "cut-short" => peer.is_cut_short = yes(),
        "deaf" => peer.is_deaf = yes(),
        "claim" => {
            peer.claim = one_of!(Claim::Unknown, Claim::Serves, Claim::Releases, Claim::Offers, Claim::Free)
        }
        "wants" => peer.does_want = yes(),
        "able-there" => peer.is_able = yes(),
        "tie" => peer.tie = one_of!(Tie::None, Tie::WeWin, Tie::TheyWin),
        "troubled" => peer.is_troubled = yes(),
        "estranged" => peer.is_estranged = yes(),
        "lines-on" => peer.are_lines_on = yes(),
        "peer-off" => peer.is_off = yes(),
        "file-differs" => peer.is_file_different = yes(),
        "fence" => peer.fence = one_of!(Fence::Untried, Fence::Pending, Fence::Confirmed, Fence::Failed),
        "carrier" => own.has_carrier = yes(),
        "able" => own.is_able = yes(),
        "stopping" => own.is_stopping = yes(),
        "standby" => own.standby = one_of!(Standby::No, Standby::Asked, Standby::Forced),
        "wish" => own.wish = one_of!(Wish::None, Wish::Handover, Wish::PeerWants),
        "refused-address" => own.is_address_refused = yes(),
        "unfit" => own.is_unfit = yes(),
        "stuck" => own.is_stuck = yes(),
        "given-away" => own.is_given_away = yes(),
        "first" => own.goes_first = yes(),
        "claim-heard" => own.is_claim_heard = yes(),
        "keeps-addresses" => own.keeps_addresses = yes(),
        "probe" => {
            wire.finding = one_of!(
                Finding::Unknown,
                Finding::Impossible,
                Finding::VipAnswers,
                Finding::VipLetGo,
                Finding::PeerAnswers,
                Finding::Clear
            );
        }
        "witness" => wire.witness = one_of!(WitnessView::None, WitnessView::Seen, WitnessView::Unseen),
        "safety" => rule.safety = one_of!(SafetyRule::Probe, SafetyRule::Lease, SafetyRule::Fence),
        "exclusive" => rule.is_exclusive = yes(),
        "scripts" => rule.has_scripts = yes(),
        "address-gone" => own.is_address_gone = yes(),
        "in-jeopardy" => {
            rule.in_jeopardy = one_of!(InJeopardy::Hold, InJeopardy::Witness, InJeopardy::Takeover)
        }
        other => panic!("no such column: {other}"),
    }
}

/// `take dead`, `wait lease until released`, `wait jeopardy`, `keep`, `renew`, `hurry`, `fence`, `release
/// lease-lapsed addressesfirst`, `release stopping scriptsfirst offer`
fn told(decision: Decision) -> String {
    match decision {
        Decision::Wait(Wait { block, until: Instant::NEVER }) => format!("wait {}", name(block)),
        Decision::Wait(wait) => {
            let column = (0..CLOCK.len()).find(|column| later(*column) == wait.until);
            let (until, ..) = CLOCK[column.unwrap_or_else(|| panic!("{wait:?} ends with no column"))];
            format!("wait {} until {until}", name(wait.block))
        }
        Decision::Take(reason) => format!("take {}", name(reason)),
        Decision::Fence | Decision::Keep | Decision::Renew | Decision::Hurry => name(decision),
        Decision::Release(release) => {
            let offer = if release.offer { " offer" } else { "" };
            format!("release {} {}{offer}", name(release.reason), name(release.first))
        }
    }
}

/// A row without its first word: what is set on top of what is usual, and what comes of it.
fn row(line: &str, usual: Situation) -> (Situation, &str) {
    let (left, expected) = line.split_once("->").unwrap_or_else(|| panic!("no arrow: {line}"));
    let mut situation = usual;
    for word in left.split_whitespace().skip(1) {
        let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("no value: {word}"));
        set(&mut situation, key, value);
    }
    (situation, expected.trim())
}

#[test]
fn situations_to_decisions() {
    let mut rows = 0;
    for line in lines(include_str!("tables/decisions.txt")) {
        let said = match line.split_whitespace().next() {
            Some("backup") => told(decide(Role::Backup, &row(line, BACKUP).0)),
            Some("faulty") => told(decide(Role::Faulty, &row(line, BACKUP).0)),
            Some("acquiring") => told(decide(Role::Acquiring, &row(line, HOLDER).0)),
            Some("active") => told(decide(Role::Active, &row(line, HOLDER).0)),
            Some("releasing") => told(decide(Role::Releasing, &row(line, HOLDER).0)),
            // Scripts run that come before the addresses; they run, and nothing was allowed to take the
            // group.
            Some("preparing") => told(take_prepared(&row(line, BACKUP).0, false, false)),
            Some("prepared") => told(take_prepared(&row(line, BACKUP).0, true, false)),
            Some("overdue") => told(take_prepared(&row(line, BACKUP).0, true, true)),
            other => panic!("no such role: {other:?}"),
        };
        assert_eq!(said, row(line, BACKUP).1, "{line}");
        rows += 1;
    }
    assert!(rows > 60, "only {rows} rows");
}

/// What a node does beside deciding: it asks the wire, says that it would take the group, asks for it back.
#[test]
fn situations_to_what_is_asked_and_said() {
    let mut rows = 0;
    for line in lines(include_str!("tables/questions.txt")) {
        let (situation, expected) = row(line, BACKUP);
        let (is_said, yes) = match line.split_whitespace().next() {
            Some("backup") => (asks_the_wire(Role::Backup, &situation, false), "ask"),
            Some("active") => (asks_the_wire(Role::Active, &situation, false), "ask"),
            Some("preparing") => (asks_the_wire(Role::Acquiring, &situation, true), "ask"),
            Some("would-take") => (claims(Role::Backup, &situation), "claim"),
            Some("faulty-would-take") => (claims(Role::Faulty, &situation), "claim"),
            Some("preferred") => (asks_back(Role::Backup, &situation), "ask back"),
            Some("preferred-active") => (asks_back(Role::Active, &situation), "ask back"),
            other => panic!("no such question: {other:?}"),
        };
        assert_eq!(if is_said { yes } else { "-" }, expected, "{line}");
        rows += 1;
    }
    assert!(rows > 30, "only {rows} rows");
}

/// Both operators have put their nodes into standby: the lower name comes back, if they did not know.
#[test]
fn of_two_standbys_that_crossed_the_lower_name_ends() {
    let at = Instant::from_us;
    let crossed = Standbys {
        standby: Standby::Asked,
        is_lower: true,
        is_on_time: true,
        asked_at: Some(at(1_000)),
        theirs_since: Some(at(1_050)),
        acked_at: Some(at(900)),
        late_after: Span::from_us(100),
    };
    let cases = [
        (true, crossed),
        (false, Standbys { standby: Standby::No, ..crossed }),
        (false, Standbys { standby: Standby::Forced, ..crossed }),
        (false, Standbys { is_lower: false, ..crossed }),
        (false, Standbys { is_on_time: false, ..crossed }),
        (false, Standbys { asked_at: None, ..crossed }),
        (false, Standbys { theirs_since: None, ..crossed }),
        (true, Standbys { acked_at: None, theirs_since: Some(at(5_000)), ..crossed }),
        (true, Standbys { acked_at: Some(at(1_000)), ..crossed }),
        (false, Standbys { acked_at: Some(at(1_000)), theirs_since: Some(at(1_100)), ..crossed }),
    ];
    for (expected, standbys) in cases {
        assert_eq!(yields_standby(&standbys), expected, "{standbys:?}");
    }
}
