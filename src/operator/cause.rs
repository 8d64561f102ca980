//! What a history comes to: its newest entry that matters and is not over, with its cause, in a line.

use std::mem::{Discriminant, discriminant};

use crosswire::health::{LineReading, PathState};
use crosswire::pair::{Inability, PathId, Trouble};
use crosswire::quorum::probe::Finding;
use crosswire::quorum::record::{Evidence, Record};
use crosswire::reasons::{Block, TakeReason, Verdict};
use crosswire::resource::Condition;
use crosswire::time::Span;

use super::words::{self, Names, ScriptEnd};

/// An entry of a history: how long ago, what, how many more like it, and how a script failed
/// ([`words::ScriptEnd`]).
pub type Entry = (Span, Record, u32, u32);
/// Modem lines that dropped at most this long before a decision belong to it.
const OF_ONE_CAUSE: Span = Span::from_s(10);

/// What a history comes to.
pub struct Headline {
    /// The entry that it stands on.
    pub index: usize,
    /// In words.
    pub said: String,
    /// What the status says now, where all is not well, tells more.
    pub is_quiet: bool,
}

/// The newest entry that matters and is not over, and what it means on the node named `me`.
pub fn headline(entries: &[Entry], me: &str, names: &Names) -> Option<Headline> {
    let mut over: Vec<Discriminant<Record>> = Vec::new();
    // A peer that could not take a group over, right after it was taken from it: the move tells more.
    let mut after: Option<(Span, Headline)> = None;
    for (index, (age, record, _, end)) in entries.iter().enumerate().rev() {
        if after.as_ref().is_some_and(|(newer, _)| *age > *newer + OF_ONE_CAUSE) {
            break;
        }
        if is_end(record) {
            over.push(discriminant(record));
        } else if let Record::Jeopardy(_) = record {
            // The end of jeopardy is recorded only once it has lasted, and another path may be down by now.
            if let Some((index, path, state)) =
                bad_path(entries).filter(|_| !over.contains(&discriminant(record)))
            {
                let said = format!("DEGRADED: {} is {}", names.path(path), words::path_state(state));
                return Some(after.map_or(Headline { index, said, is_quiet: true }, |(_, newer)| newer));
            }
        } else if !over.contains(&discriminant(record))
            && let Some((said, is_quiet)) =
                said(entries.get(..index).unwrap_or_default(), (ScriptEnd(*end), record), me, names)
        {
            let found = Headline { index, said, is_quiet };
            match (record, &after) {
                (Record::PeerUnable { .. }, None) => after = Some((*age, found)),
                (_, Some(_)) if is_quiet => break,
                _ => return Some(found),
            }
        }
    }
    after.map(|(_, newer)| newer)
}

/// The record says that what an earlier record of its kind said is over.
fn is_end(record: &Record) -> bool {
    match record {
        Record::Jeopardy(is) | Record::DigestDiffers(is) | Record::GuardSilent(is) | Record::Standby(is) => {
            !is
        }
        Record::PeerTrouble(trouble) => *trouble == Trouble::None,
        Record::Maintenance(left) => left.is_none(),
        Record::PeerUnable { inability, .. } => *inability == Inability::None,
        Record::CutOff { is_cut_off, .. } => !is_cut_off,
        Record::Vote { does_count } => *does_count,
        Record::Scripts { condition, .. } => *condition == Condition::Well,
        Record::Blocked { block, .. } => *block == Block::PeerServes,
        Record::Path { .. }
        | Record::Refused { .. }
        | Record::Verdict { .. }
        | Record::PeerStarted
        | Record::TermsUsedUp(_)
        | Record::Taking { .. }
        | Record::Releasing { .. }
        | Record::Role { .. }
        | Record::Fault { .. }
        | Record::Fence { .. }
        | Record::Lines { .. }
        | Record::Deaf { .. }
        | Record::VipAnswered { .. }
        | Record::VipContested { .. }
        | Record::Script { .. }
        | Record::Stall(_)
        | Record::Succeeded
        | Record::Reloaded
        | Record::Upgraded(..)
        | Record::GuardLost
        | Record::StandbyYielded
        | Record::BothServe(_)
        | Record::Incident(_)
        | Record::Leaving => false,
    }
}

/// What a record means, after those `before` it, and whether that is quiet; none if it is only a step.
fn said(
    before: &[Entry],
    (end, record): (ScriptEnd, &Record),
    me: &str,
    names: &Names,
) -> Option<(String, bool)> {
    let peer = names.peer.as_str();
    Some(match record {
        Record::Taking { group, reason, evidence, .. } => {
            let (cause, is_quiet) = match take_cause(before, *reason, evidence, names) {
                Some(cause) => (cause, false),
                None => (words::take_reason(*reason, peer), is_usual(*reason)),
            };
            (
                format!("{me} {} {}: {cause}", names.done("took", "would have taken"), names.group(*group)),
                is_quiet,
            )
        }
        Record::Releasing { group, reason, .. } => (
            format!(
                "{me} {} {} go: {}",
                names.done("let", "would have let"),
                names.group(*group),
                words::release_reason(*reason, peer)
            ),
            !reason.is_unplanned(),
        ),
        Record::Blocked { group, block, .. } if !is_passing(*block) => (
            format!("{me} does not take {}: {}", names.group(*group), words::block(*block, peer)),
            matches!(block, Block::Refused | Block::VipAnswers | Block::Faulty),
        ),
        Record::Fault { .. }
        | Record::Scripts { .. }
        | Record::PeerTrouble(_)
        | Record::GuardSilent(_)
        | Record::GuardLost
        | Record::DigestDiffers(_)
        | Record::Standby(_)
        | Record::StandbyYielded
        | Record::Maintenance(_)
        | Record::BothServe(_)
        | Record::Incident(_)
        | Record::VipContested { .. }
        | Record::PeerUnable { .. }
        | Record::CutOff { .. }
        | Record::Vote { .. }
        | Record::Fence { .. }
        | Record::Succeeded
        | Record::TermsUsedUp(_)
        | Record::Leaving => {
            let is_quiet = matches!(
                record,
                Record::PeerUnable { .. } | Record::CutOff { .. } | Record::Vote { .. } | Record::Succeeded
            );
            (words::sentence(record, end, names).1, is_quiet)
        }
        Record::Blocked { .. }
        | Record::Path { .. }
        | Record::Refused { .. }
        | Record::Verdict { .. }
        | Record::PeerStarted
        | Record::Role { .. }
        | Record::Lines { .. }
        | Record::Deaf { .. }
        | Record::VipAnswered { .. }
        | Record::Script { .. }
        | Record::Stall(_)
        | Record::Jeopardy(_)
        | Record::Reloaded
        | Record::Upgraded(..) => return None,
    })
}

/// So a group is taken where nothing is wrong.
const fn is_usual(reason: TakeReason) -> bool {
    matches!(reason, TakeReason::Vacant | TakeReason::Offered | TakeReason::ColdStart)
}

/// What usually keeps a node from taking a group for a moment, on the way to it.
const fn is_passing(block: Block) -> bool {
    matches!(
        block,
        Block::PeerServes
            | Block::PeerReleases
            | Block::NoReport
            | Block::PeersTurn
            | Block::JustOffered
            | Block::Drift
            | Block::ProbePending
    )
}

/// The path that failed last and on which nothing was heard since: index of the entry, path, state.
fn bad_path(entries: &[Entry]) -> Option<(usize, PathId, PathState)> {
    let mut seen: Vec<PathId> = Vec::new();
    for (index, (_, record, ..)) in entries.iter().enumerate().rev() {
        let Record::Path { path, to, .. } = record else { continue };
        if !seen.contains(path) && !to.is_heard() {
            return Some((index, *path, *to));
        }
        seen.push(*path);
    }
    None
}

/// Why a group was taken of a peer that was silent: what became of it, where the evidence tells more than the
/// reason.
fn take_cause(before: &[Entry], reason: TakeReason, s: &Evidence, names: &Names) -> Option<String> {
    let peer = names.peer.as_str();
    let is_of_silence = matches!(reason, TakeReason::Dead | TakeReason::Jeopardy | TakeReason::Vacant);
    let cause = if is_of_silence && s.are_lines_on && s.verdict != Verdict::Present {
        "'s box has power and hangs (its modem lines are on): it must have let go by then"
    } else if is_of_silence && s.is_peer_troubled {
        " could not serve any more, and its kernel has let the addresses go"
    } else {
        match (reason, s.finding) {
            (TakeReason::Dead | TakeReason::Jeopardy, Finding::VipLetGo) => {
                "'s box lives, its daemon does not: its kernel let the address go when the lease was over"
            }
            (TakeReason::Dead | TakeReason::Jeopardy, Finding::PeerAnswers) => {
                "'s box lives, its daemon does not: the lease of its addresses is over"
            }
            (TakeReason::Dead, _) if have_lines_dropped(before) => {
                " is off: its modem lines dropped, and nothing is heard of it"
            }
            (TakeReason::Vacant, _) if has_come_back(before) => {
                " fell silent, and came back without it: its agent died or hung"
            }
            _ => return None,
        }
    };
    Some(format!("{peer}{cause}"))
}

/// Shortly before that the peer was silent, and another agent of it spoke then.
fn has_come_back(before: &[Entry]) -> bool {
    let mut recent = of_one_cause(before).skip_while(|record| !matches!(record, Record::PeerStarted));
    recent.any(|record| matches!(record, Record::Verdict { from: Verdict::Present, .. }))
}

/// What was recorded shortly before, the newest first.
fn of_one_cause(before: &[Entry]) -> impl Iterator<Item = &Record> {
    let newest = before.last().map_or(Span::ZERO, |(newest, ..)| *newest);
    let recent = before.iter().rev().take_while(move |(age, ..)| *age <= newest + OF_ONE_CAUSE);
    recent.map(|(_, record, ..)| record)
}

/// Modem lines dropped shortly before the end of `before`, and have not come back.
fn have_lines_dropped(before: &[Entry]) -> bool {
    let mut readings = of_one_cause(before).filter_map(|record| match record {
        Record::Lines { reading, .. } => Some(*reading),
        _ => None,
    });
    readings.next() == Some(LineReading::Dropped)
}

#[cfg(test)]
mod tests {
    use crosswire::config::MAX_PATHS;
    use crosswire::health::WitnessView;
    use crosswire::pair::{GroupId, PathId, Role};
    use crosswire::quorum::facts::Situation;
    use crosswire::reasons::ReleaseReason;

    use super::*;

    const GROUP: GroupId = GroupId(0);

    fn evidence() -> Evidence {
        Evidence::of([PathState::Silent; MAX_PATHS], &Situation::BESIDE_A_DEAD_PEER)
    }

    fn taking(evidence: Evidence) -> Record {
        Record::Taking { group: GROUP, term: 2, reason: TakeReason::Dead, evidence }
    }

    fn blocked(block: Block) -> Record {
        Record::Blocked { group: GROUP, block, wait: None, evidence: evidence() }
    }

    const fn path(to: PathState) -> Record {
        Record::Path { path: PathId(0), from: PathState::OnTime, to }
    }

    fn names() -> Names {
        Names {
            peer: "gw1".to_owned(),
            paths: vec!["serial".to_owned()],
            groups: vec!["gateway".to_owned()],
            interfaces: vec!["eth0".to_owned()],
            scripts: Vec::new(),
            key_file: String::new(),
            is_shadow: false,
        }
    }

    /// The headline of these records, one a second.
    fn said_of(records: &[Record]) -> Option<String> {
        let count = u64::try_from(records.len()).expect("few");
        let entries: Vec<Entry> = (0..count)
            .map(|index| Span::from_s(count - index))
            .zip(records)
            .map(|(age, record)| (age, *record, 0, 0))
            .collect();
        headline(&entries, "gw2", &names()).map(|headline| headline.said)
    }

    #[test]
    fn the_first_line_names_the_cause() {
        let dropped = Record::Lines { path: PathId(0), reading: LineReading::Dropped };
        let on = Record::Lines { path: PathId(0), reading: LineReading::Running { holds: true } };
        let active = Record::Role { group: GROUP, from: Role::Acquiring, to: Role::Active };
        let lost =
            Record::Releasing { group: GROUP, reason: ReleaseReason::LeaseLapsed, evidence: evidence() };
        let plain = taking(evidence());
        let frozen = taking(Evidence { are_lines_on: true, must_have_released: true, ..evidence() });
        let expired = taking(Evidence { finding: Finding::VipLetGo, ..evidence() });
        let troubled = taking(Evidence { is_peer_troubled: true, ..evidence() });
        let silent = Record::Verdict { from: Verdict::Present, to: Verdict::Dead };
        let heard = Evidence { verdict: Verdict::Present, ..evidence() };
        let vacant = Record::Taking { group: GROUP, term: 2, reason: TakeReason::Vacant, evidence: heard };
        let unable = Record::PeerUnable { group: GROUP, inability: Inability::Unsaid };
        let cases: &[(&[Record], Option<&str>)] = &[
            (&[], None),
            (&[path(PathState::OnTime), blocked(Block::Drift)], None),
            (
                &[dropped, path(PathState::Late), plain, active],
                Some("gw2 took gateway: gw1 is off: its modem lines dropped"),
            ),
            (
                &[dropped, on, plain],
                Some("gw2 took gateway: gw1 is off or hangs: every path that testifies is silent"),
            ),
            (
                &[frozen, active],
                Some("gw2 took gateway: gw1's box has power and hangs (its modem lines are on)"),
            ),
            (&[expired, active], Some("gw2 took gateway: gw1's box lives, its daemon does not")),
            (&[troubled, active], Some("gw2 took gateway: gw1 could not serve any more")),
            (&[lost], Some("gw2 let gateway go: its lease was not renewed in time")),
            (&[plain, blocked(Block::WitnessUnseen)], Some("gw2 does not take gateway: no witness answers")),
            (&[blocked(Block::Jeopardy), blocked(Block::PeerServes)], None),
            (&[path(PathState::Broken), Record::Jeopardy(true)], Some("DEGRADED: serial is broken")),
            (&[plain, Record::Jeopardy(true), Record::Jeopardy(false)], Some("gw2 took gateway: ")),
            (
                &[plain, path(PathState::Broken), Record::Jeopardy(true), path(PathState::OnTime)],
                Some("gw2 took"),
            ),
            (
                &[silent, Record::PeerStarted, vacant, unable],
                Some("gw2 took gateway: gw1 fell silent, and came back without it: its agent died or hung"),
            ),
            (&[Record::PeerStarted, vacant], Some("gw2 took gateway: nobody serves it and it is our turn")),
            (&[vacant, unable], Some("group gateway: gw1 could not take it over")),
            (&[Record::GuardSilent(true)], Some("the guard gives no sign of life")),
            (&[Record::GuardSilent(true), Record::GuardSilent(false)], None),
        ];
        for (records, expected) in cases {
            let said = said_of(records);
            let is_as_expected = match expected {
                Some(begin) => said.as_ref().is_some_and(|said| said.starts_with(begin)),
                None => said.is_none(),
            };
            assert!(is_as_expected, "{said:?} instead of {expected:?}");
        }
    }

    #[test]
    fn a_witness_that_is_not_asked_is_none_that_does_not_answer() {
        let unseen = Evidence { witness: WitnessView::Unseen, ..evidence() };
        assert_eq!(words::witness(&unseen, "gw1"), "no witness answers");
        let heard = Evidence { verdict: Verdict::Present, ..unseen };
        assert_eq!(words::witness(&heard, "gw1"), "witness: not asked, gw1 is heard");
        let just_now = Evidence { has_drift_passed: false, ..unseen };
        assert_eq!(words::witness(&just_now, "gw1"), "witness: asked, no answer yet");
    }
}
