//! Who is heard and seen: the peer, the witnesses, and what the voting one says of the peer.

use crosswire::pair::Role;
use crosswire::reasons::{Block, Verdict};
use crosswire::status::{NodeStatus, WitnessStatus};
use crosswire::time::Span;
use crosswire::vote::{GroupBits, IDLE_GAP, group_bit};

use super::control::{LASTS, Report};

/// Whether the peer is heard on any path.
pub fn is_heard(report: &Report) -> bool {
    report.node.paths.iter().any(|path| path.state.is_heard())
}

/// The groups that the voting witness keeps for a peer that nobody hears, as bits.
pub fn granted_there(report: &Report) -> GroupBits {
    report.node.vote.filter(|_| !is_heard(report)).map_or(0, |vote| vote.granted_to_peer)
}

/// Whether this node knows that nobody serves a group which it sees nobody serve. A peer that it does not
/// hear may serve: with the grant of the voting witness, or where this node is the one that is cut off. That
/// neighbours answer says nothing of the other half of a LAN that has parted.
pub fn is_known_unserved(report: &Report, index: usize) -> bool {
    let Some(group) = report.node.groups.get(index) else { return true };
    let is_silence_enough = match report.node.verdict {
        Verdict::Present | Verdict::Departed | Verdict::Unintelligible => true,
        Verdict::Doubtful => false,
        Verdict::Dead => !is_cut_off_perhaps(report, group.block),
    };
    is_silence_enough && granted_there(report) & group_bit(index) == 0 && !group.is_foreign_mac_doubtful
}

/// The group has failed on both nodes: no move is on its way.
pub fn has_failed_on_both(report: &Report, index: usize) -> bool {
    let is_faulty_here = report.node.groups.get(index).is_some_and(|group| group.role == Role::Faulty);
    let is_faulty_there = report.theirs(index).is_some_and(|said| said.role == Role::Faulty);
    is_faulty_here && is_faulty_there && is_heard(report)
}

/// No voting witness answers this node.
pub fn is_witness_silent(report: &Report) -> bool {
    report.node.vote.is_none_or(|vote| vote.answered.is_none_or(|ago| ago >= UNANSWERED))
}

/// It is for this that a node does not take what a silent peer held: it may be the one that is cut off. A
/// voting witness that answers says who has its grant.
fn is_cut_off_perhaps(report: &Report, block: Option<Block>) -> bool {
    match block {
        Some(
            Block::CutOff
            | Block::WitnessUnseen
            | Block::ProbeImpossible
            | Block::NoCarrier
            | Block::Jeopardy,
        ) => true,
        Some(Block::NotGranted) => is_witness_silent(report),
        Some(
            Block::GrantedToPeer
            | Block::PeerServes
            | Block::PeerReleases
            | Block::NoReport
            | Block::PeersTurn
            | Block::JustOffered
            | Block::Unsteady
            | Block::Unheard
            | Block::ColdStart
            | Block::Stalled
            | Block::Refused
            | Block::ProbePending
            | Block::VipAnswers
            | Block::PeerAnswers
            | Block::Lease
            | Block::Drift
            | Block::FencePending
            | Block::FenceFailed
            | Block::Exclusive
            | Block::Faulty
            | Block::Standby
            | Block::Maintenance
            | Block::PeerMaintenance
            | Block::GuardLost
            | Block::Stopping,
        )
        | None => false,
    }
}

/// The first witness that a node does not see: its name, whether this node is the one, and for how long.
pub fn unseen_witness(report: &Report) -> Option<(&str, bool, Span)> {
    if let Some((name, vote)) = report.vote.as_ref().zip(report.node.vote.as_ref())
        && !vote.does_count
        && !vote.is_waiting
        && vote.lasts >= LASTS
    {
        return Some((name, is_witness_silent(report), vote.lasts));
    }
    for (name, witness) in report.witnesses.iter().zip(&report.node.witnesses) {
        let here = witness.answered.unwrap_or(report.node.up);
        if !is_seen(&report.node, witness) && here >= LASTS {
            return Some((name, true, here));
        }
        if let Some(there) = witness.peer_misses.filter(|span| *span >= LASTS) {
            return Some((name, false, there));
        }
    }
    None
}

/// At rest a voting witness is asked every second. One that has not answered for longer is not seen from
/// here.
pub const UNANSWERED: Span = Span::from_s(2);
const _: () = assert!(UNANSWERED.as_us() > IDLE_GAP.as_us());

/// This node sees it: it has answered lately.
pub fn is_seen(node: &NodeStatus, witness: &WitnessStatus) -> bool {
    let lately = node.paths.iter().map(|path| path.dead_after).max().unwrap_or_default();
    witness.answered.is_some_and(|age| age <= lately.max(LASTS))
}

#[cfg(test)]
mod tests {
    use crosswire::status::VoteStatus;

    use super::super::assessment::tests::{voting, well};
    use super::*;

    /// A second after both nodes know, and on the side that does not see it.
    #[test]
    fn a_voting_witness_that_is_lost_is_told_after_a_second() {
        let ms = Span::from_ms;
        for (lasts, answered, told) in [
            (ms(900), Some(ms(3_000)), None),
            (ms(1_000), Some(ms(3_000)), Some(true)),
            (ms(1_000), Some(ms(1_100)), Some(false)),
            (ms(1_000), None, Some(true)),
        ] {
            let vote = VoteStatus { does_count: false, lasts, answered, ..voting() };
            let mut report = well(Role::Backup);
            (report.node.vote, report.vote) = (Some(vote), Some("10.0.0.253".to_owned()));
            let said = unseen_witness(&report).map(|(_, is_here, _)| is_here);
            assert_eq!(said, told, "{lasts}, {answered:?}");
        }
    }
}
