//! When a holder lets go at once, when it renews what it holds, and when a release stops waiting for scripts.

use super::facts::{Claim, Decision, Release, Situation, Tie};
use super::takeover::{is_silenced, is_ungranted, is_unheard, is_witness_missed};
use crate::reasons::ReleaseReason;
use crate::resource::ReleaseOrder;

/// What makes a holder let go, whether it serves already or is about to: the first one that applies.
///
/// Past its ack deadline a node serves on, alone, unless it is plainly the one that is cut off: it has no
/// carrier, the peer says that it hears us on no path, or no witness is seen, or no neighbour answers. Where
/// a voting witness counts, it needs a grant, however long it has served.
pub fn let_go(s: &Situation) -> Option<Decision> {
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
    match rules.into_iter().find(|(applies, _)| *applies) {
        Some((_, reason)) => {
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

/// A planned release keeps its addresses, and renews them, while scripts stop. Not once the lease has lapsed
/// or the peer serves: what the kernel has dropped by then must not come back.
pub fn go_on_releasing(s: &Situation) -> Decision {
    let is_over = s.clock.is_past(s.clock.lease_until) || s.peer.claim == Claim::Serves;
    if s.own.keeps_addresses && is_over { Decision::Hurry } else { hold_on(s) }
}
