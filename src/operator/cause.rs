//! What a history comes to: its newest entry that matters and is not over, with its cause, in a line.

use std::mem::{Discriminant, discriminant};

use crosswire::health::{LineReading, PathState};
use crosswire::pair::{PathId, Trouble};
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

/// The newest entry that matters and is not over: its index, and what it means on the node named `me`.
pub fn headline(entries: &[Entry], me: &str, names: &Names) -> Option<(usize, String)> {
    let mut over: Vec<Discriminant<Record>> = Vec::new();
    for (index, (_, record, _, end)) in entries.iter().enumerate().rev() {
        if is_end(record) {
            over.push(discriminant(record));
        } else if let Record::Jeopardy(_) = record {
            // The end of jeopardy is recorded only once it has lasted, and another path may be down by now.
            if let Some((index, path, state)) =
                bad_path(entries).filter(|_| !over.contains(&discriminant(record)))
            {
                return Some((
                    index,
                    format!("DEGRADED: {} is {}", names.path(path), words::path_state(state)),
                ));
            }
        } else if !over.contains(&discriminant(record))
            && let Some(said) =
                said(entries.get(..index).unwrap_or_default(), (ScriptEnd(*end), record), me, names)
        {
            return Some((index, said));
        }
    }
    None
}

/// The record says that what an earlier record of its kind said is over.
fn is_end(record: &Record) -> bool {
    match record {
        Record::Jeopardy(is) | Record::DigestDiffers(is) | Record::GuardSilent(is) | Record::Standby(is) => {
            !is
        }
        Record::PeerTrouble(trouble) => *trouble == Trouble::None,
        Record::Maintenance(left) => left.is_none(),
        Record::PeerUnable { is_unable, .. } => !is_unable,
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
        | Record::GuardLost
        | Record::StandbyYielded
        | Record::BothServe(_)
        | Record::Incident(_)
        | Record::Leaving => false,
    }
}

/// What a record means, after those `before` it; `None` if it is only a step on the way.
fn said(before: &[Entry], (end, record): (ScriptEnd, &Record), me: &str, names: &Names) -> Option<String> {
    let peer = names.peer.as_str();
    Some(match record {
        Record::Taking { group, reason, evidence, .. } => {
            let cause = take_cause(before, *reason, evidence, names);
            format!("{me} took {}: {cause}", names.group(*group))
        }
        Record::Releasing { group, reason, .. } => {
            format!("{me} let {} go: {}", names.group(*group), words::release_reason(*reason, peer))
        }
        Record::Blocked { group, block, .. } if !is_passing(*block) => {
            format!("{me} does not take {}: {}", names.group(*group), words::block(*block, peer))
        }
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
        | Record::Fence { .. }
        | Record::Succeeded
        | Record::TermsUsedUp(_)
        | Record::Leaving => words::sentence(record, end, names).1,
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
        | Record::Reloaded => return None,
    })
}

/// Blocks that usually last for a moment, on the way to a takeover or while all is well.
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

/// Why a group was taken; after a silence, what became of the peer as far as the evidence tells.
fn take_cause(before: &[Entry], reason: TakeReason, s: &Evidence, names: &Names) -> String {
    let peer = names.peer.as_str();
    let is_of_silence = matches!(reason, TakeReason::Dead | TakeReason::Jeopardy | TakeReason::Vacant);
    if is_of_silence && s.are_lines_on && s.verdict != Verdict::Present {
        return format!(
            "{peer}'s box has power and hangs (its modem lines are on): it must have let go by then"
        );
    }
    if is_of_silence && s.is_peer_troubled {
        return format!("{peer} could not serve any more, and its kernel has let the addresses go");
    }
    match (reason, s.finding) {
        (TakeReason::Dead | TakeReason::Jeopardy, Finding::VipLetGo) => {
            format!(
                "{peer}'s box lives, its daemon does not: its kernel let the address go when the lease was \
                over"
            )
        }
        (TakeReason::Dead | TakeReason::Jeopardy, Finding::PeerAnswers) => {
            format!("{peer}'s box lives, its daemon does not: the lease of its addresses is over")
        }
        (TakeReason::Dead, _) if have_lines_dropped(before) => {
            format!("{peer} is off: its modem lines dropped, and nothing is heard of it")
        }
        _ => words::take_reason(reason, peer),
    }
}

/// Modem lines dropped shortly before the end of `before`, and have not come back.
fn have_lines_dropped(before: &[Entry]) -> bool {
    let Some((newest, ..)) = before.last() else { return false };
    let recent = before.iter().rev().take_while(|(age, ..)| *age <= *newest + OF_ONE_CAUSE);
    let mut readings = recent.filter_map(|(_, record, ..)| match record {
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
            scripts: Vec::new(),
            key_file: String::new(),
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
        headline(&entries, "gw2", &names()).map(|(_, said)| said)
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
