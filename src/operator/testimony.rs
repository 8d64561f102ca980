//! Who is heard and seen: the peer, the witnesses, and what the voting one says of the peer.

use crosswire::status::{NodeStatus, WitnessStatus};
use crosswire::time::Span;
use crosswire::vote::GroupBits;

use super::control::{LASTS, Report};

/// Whether the peer is heard on any path.
pub fn is_heard(report: &Report) -> bool {
    report.node.paths.iter().any(|path| path.state.is_heard())
}

/// The groups that the voting witness keeps for a peer that nobody hears, as bits.
pub fn granted_there(report: &Report) -> GroupBits {
    report.node.vote.filter(|_| !is_heard(report)).map_or(0, |vote| vote.granted_to_peer)
}

/// The first witness that a node does not see: its name, whether this node is the one, and for how long.
pub fn unseen_witness(report: &Report) -> Option<(&str, bool, Span)> {
    if let Some((name, vote)) = report.vote.as_ref().zip(report.node.vote.as_ref())
        && !vote.does_count
        && !vote.is_waiting
        && vote.lasts >= VOTE_LASTS
    {
        let is_here = vote.answered.is_none_or(|ago| ago >= vote.lasts.min(VOTE_LASTS));
        return Some((name, is_here, vote.lasts));
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

/// At rest a voting witness is asked every five seconds, and both nodes have to hear of its answers.
const VOTE_LASTS: Span = Span::from_s(8);

/// This node sees it: it has answered lately.
pub fn is_seen(node: &NodeStatus, witness: &WitnessStatus) -> bool {
    let lately = node.paths.iter().map(|path| path.dead_after).max().unwrap_or_default();
    witness.answered.is_some_and(|age| age <= lately.max(LASTS))
}
