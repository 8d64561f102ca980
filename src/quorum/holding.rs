//! When a holder lets go at once, when it renews what it holds, and when a release stops waiting for scripts.

use super::facts::{Claim, Decision, Release, Situation, Tie};
use super::takeover::{is_silenced, is_ungranted, is_unheard, is_witness_missed};
use crate::reasons::ReleaseReason;
use crate::resource::ReleaseOrder;

/// What ends the right to hold a group, whether it is served already, is about to be, or is on its way out:
/// the first one that applies.
///
/// Past its ack deadline a node serves on, alone, unless it is plainly the one that is cut off: it has no
/// carrier, the peer says that it hears us on no path, or no witness is seen, or no neighbour answers. Where
/// a voting witness counts, it needs a grant, however long it has served.
fn lost_right(s: &Situation) -> Option<ReleaseReason> {
    let is_deadline_due = s.clock.is_past(s.clock.deadline_at);
    let rules = [
        (s.clock.is_past(s.clock.lease_until), ReleaseReason::LeaseLapsed),
        (s.own.is_stuck, ReleaseReason::ScriptFailed),
        (s.peer.tie == Tie::TheyWin, ReleaseReason::LostTie),
        (s.own.is_address_gone, ReleaseReason::AddressGone),
        (is_deadline_due && !s.own.has_carrier, ReleaseReason::NoCarrier),
        (is_deadline_due && is_unheard(s), ReleaseReason::UnheardByPeer),
        (is_deadline_due && is_witness_missed(s), ReleaseReason::WitnessUnseen),
        (is_deadline_due && is_silenced(s), ReleaseReason::CutOff),
        (is_ungranted(s), ReleaseReason::NotGranted),
    ];
    rules.into_iter().find_map(|(applies, reason)| applies.then_some(reason))
}

/// What makes a holder let go: at once if it has lost its right, in good order if it was told to stop.
pub fn let_go(s: &Situation) -> Option<Decision> {
    match lost_right(s) {
        Some(reason) => {
            let first = ReleaseOrder::AddressesFirst;
            Some(Decision::Release(Release { first, reason, offer: false }))
        }
        None => s.own.is_stopping.then(|| stop(s)),
    }
}

/// We were told to stop: in good order, and for the peer if it could take the group and nobody has forbidden
/// to move it.
fn stop(s: &Situation) -> Decision {
    let offer = s.could_peer_take() && !s.is_in_maintenance();
    let first = ReleaseOrder::ScriptsFirst;
    Decision::Release(Release { first, reason: ReleaseReason::Stopping, offer })
}

/// A holder renews its lease in time. Not while its guard fails: the peer has been told that this node cannot
/// serve. And after a stall the peer may have taken over: what it says is heard first, or its silence judged.
pub fn hold_on(s: &Situation) -> Decision {
    let is_sure = s.clock.is_past(s.clock.judged_at) || s.peer.is_heard_since_stall;
    let is_due = s.clock.is_past(s.clock.renew_at);
    if is_due && is_sure && s.own.is_able { Decision::Renew } else { Decision::Keep }
}

/// A planned release keeps its addresses, and renews them, while scripts stop, as long as they could be held.
/// They go at once when the right to them is lost or the peer serves: however long a script takes to stop,
/// the peer takes over when a holder would have let go.
pub fn go_on_releasing(s: &Situation) -> Decision {
    let is_over = lost_right(s).is_some() || s.peer.claim == Claim::Serves;
    if s.own.keeps_addresses && is_over { Decision::Hurry } else { hold_on(s) }
}
