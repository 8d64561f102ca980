//! The tables of the decision, cell by cell, against the text files beside this one. The files are the
//! specification: a cell that changes is a changed rule, and wants a reason.

use crosswire::config::{InJeopardy, SafetyRule};
use crosswire::health::{LineReading, PathState, WitnessView};
use crosswire::pair::{PathKind, Role};
use crosswire::quorum::decide::{Claim, Decision, Fence, Situation, Standby, Tie, Wish, decide};
use crosswire::quorum::probe::Finding;
use crosswire::quorum::roles::{RoleEvent, next};
use crosswire::quorum::verdict::{Testimony, verdict};
use crosswire::reasons::Verdict;

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
            let expected = if is_refused { Verdict::Present } else { Verdict::Departed };
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
    verdict: Verdict::Present,
    claim: Claim::Free,
    finding: Finding::Unknown,
    can_offer: true,
    ..BACKUP
};

fn set(s: &mut Situation, key: &str, value: &str) {
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
    match key {
        "verdict" => {
            s.verdict = one_of!(Verdict::Present, Verdict::Departed, Verdict::Dead, Verdict::Doubtful)
        }
        "refused" => s.is_refused = yes(),
        "claim" => {
            s.claim = one_of!(Claim::Unknown, Claim::Serves, Claim::Releases, Claim::Offers, Claim::Free)
        }
        "probe" => {
            s.finding = one_of!(
                Finding::Unknown,
                Finding::Impossible,
                Finding::VipAnswers,
                Finding::VipLetGo,
                Finding::PeerAnswers,
                Finding::Clear
            );
        }
        "carrier" => s.has_carrier = yes(),
        "able" => s.is_able = yes(),
        "stopping" => s.is_stopping = yes(),
        "standby" => s.standby = one_of!(Standby::No, Standby::Asked, Standby::Forced),
        "maintenance" => s.is_in_maintenance = yes(),
        "peer-maintenance" => s.is_peer_in_maintenance = yes(),
        "stalled" => s.is_stalled = yes(),
        "ever-heard" => s.was_ever_heard = yes(),
        "listened" => s.has_listened = yes(),
        "our-turn" => s.is_our_turn = yes(),
        "offered" => s.has_offered = yes(),
        "unsteady" => s.is_unsteady = yes(),
        "drift" => s.has_drift_passed = yes(),
        "released" => s.must_have_released = yes(),
        "reset" => s.must_have_reset = yes(),
        "estranged" => s.is_estranged = yes(),
        "troubled" => s.is_peer_troubled = yes(),
        "lines-on" => s.are_lines_on = yes(),
        "witness" => s.witness = one_of!(WitnessView::None, WitnessView::Seen, WitnessView::Unseen),
        "fence" => s.fence = one_of!(Fence::Untried, Fence::Pending, Fence::Confirmed, Fence::Failed),
        "peer-off" => s.is_peer_off = yes(),
        "safety" => s.safety = one_of!(SafetyRule::Probe, SafetyRule::Lease, SafetyRule::Fence),
        "exclusive" => s.is_exclusive = yes(),
        "in-jeopardy" => s.in_jeopardy = one_of!(InJeopardy::Hold, InJeopardy::Witness, InJeopardy::Takeover),
        "lapsed" => s.has_lease_lapsed = yes(),
        "deadline" => s.is_deadline_due = yes(),
        "deaf" => s.is_peer_deaf = yes(),
        "alone" => s.has_served_alone = yes(),
        "better-off" => s.is_peer_better_off = yes(),
        "unfit" => s.is_unfit = yes(),
        "stuck" => s.is_stuck = yes(),
        "refused-address" => s.is_address_refused = yes(),
        "can-offer" => s.can_offer = yes(),
        "offer-unused" => s.is_offer_unused = yes(),
        "tie" => s.tie = one_of!(Tie::None, Tie::WeWin, Tie::TheyWin),
        "wish" => s.wish = one_of!(Wish::None, Wish::Handover, Wish::PeerWants),
        other => panic!("no such column: {other}"),
    }
}

/// `take dead`, `wait lease`, `keep`, `fence`, `release lease-lapsed addressesfirst`, `release stopping
/// scriptsfirst offer`
fn told(decision: Decision) -> String {
    match decision {
        Decision::Wait(block) => format!("wait {}", name(block)),
        Decision::Take(reason) => format!("take {}", name(reason)),
        Decision::Fence => "fence".to_string(),
        Decision::Keep => "keep".to_string(),
        Decision::Release(release) => {
            let offer = if release.offer { " offer" } else { "" };
            format!("release {} {}{offer}", name(release.reason), name(release.first))
        }
    }
}

#[test]
fn situations_to_decisions() {
    let mut rows = 0;
    for line in lines(include_str!("tables/decisions.txt")) {
        let (left, expected) = line.split_once("->").unwrap_or_else(|| panic!("no arrow: {line}"));
        let mut words = left.split_whitespace();
        let (role, mut situation) = match words.next() {
            Some("backup") => (Role::Backup, BACKUP),
            Some("acquiring") => (Role::Acquiring, HOLDER),
            Some("active") => (Role::Active, HOLDER),
            Some("releasing") => (Role::Releasing, HOLDER),
            Some("faulty") => (Role::Faulty, BACKUP),
            other => panic!("no such role: {other:?}"),
        };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("no value: {word}"));
            set(&mut situation, key, value);
        }
        assert_eq!(told(decide(role, &situation)), expected.trim(), "{line}");
        rows += 1;
    }
    assert!(rows > 60, "only {rows} rows");
}
