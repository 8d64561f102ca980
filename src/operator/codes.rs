//! What programs are told of records: codes that stay, even when the words beside them change.

use crosswire::frame::Refusal;
use crosswire::quorum::record::Record;
use crosswire::reasons::{Block, ReleaseReason, TakeReason};

/// What happened.
pub const fn event(record: &Record) -> &'static str {
    match record {
        Record::Path { .. } => "path",
        Record::Refused { .. } => "refused",
        Record::Verdict { .. } => "verdict",
        Record::Jeopardy(..) => "jeopardy",
        Record::PeerStarted => "peer_started",
        Record::DigestDiffers(..) => "digest_differs",
        Record::TermsUsedUp(..) => "terms_used_up",
        Record::Taking { .. } => "taking",
        Record::Releasing { .. } => "releasing",
        Record::Role { .. } => "role",
        Record::Blocked { .. } => "blocked",
        Record::Fault { .. } => "fault",
        Record::Scripts { .. } => "scripts",
        Record::Fence { .. } => "fence",
        Record::Lines { .. } => "lines",
        Record::Deaf { .. } => "deaf",
        Record::CutOff { .. } => "cut_off",
        Record::Vote { .. } => "vote",
        Record::VipAnswered { .. } => "vip_answered",
        Record::VipContested { .. } => "vip_contested",
        Record::Script { .. } => "script",
        Record::Stall(..) => "stall",
        Record::Succeeded => "succeeded",
        Record::Reloaded => "reloaded",
        Record::Upgraded(..) => "upgraded",
        Record::GuardLost => "guard_lost",
        Record::GuardSilent(..) => "guard_silent",
        Record::PeerTrouble(..) => "peer_trouble",
        Record::Standby(..) => "standby",
        Record::StandbyYielded => "standby_yielded",
        Record::Maintenance(..) => "maintenance",
        Record::BothServe(..) => "both_serve",
        Record::Incident(..) => "incident",
        Record::Leaving => "leaving",
        Record::PeerUnable { .. } => "peer_unable",
    }
}

/// Why a group is acquired.
pub const fn take(reason: TakeReason) -> &'static str {
    match reason {
        TakeReason::Offered => "offered",
        TakeReason::Departed => "departed",
        TakeReason::Dead => "dead",
        TakeReason::Vacant => "vacant",
        TakeReason::ColdStart => "cold_start",
        TakeReason::Jeopardy => "jeopardy",
        TakeReason::PeerIsOff => "peer_is_off",
        TakeReason::Granted => "granted",
    }
}

/// Why a group is released.
pub const fn release(reason: ReleaseReason) -> &'static str {
    match reason {
        ReleaseReason::Stopping => "stopping",
        ReleaseReason::Handover => "handover",
        ReleaseReason::PeerWants => "peer_wants",
        ReleaseReason::Standby => "standby",
        ReleaseReason::WorseOff => "worse_off",
        ReleaseReason::NoCarrier => "no_carrier",
        ReleaseReason::CutOff => "cut_off",
        ReleaseReason::NotGranted => "not_granted",
        ReleaseReason::UnheardByPeer => "unheard_by_peer",
        ReleaseReason::LeaseLapsed => "lease_lapsed",
        ReleaseReason::LostTie => "lost_tie",
        ReleaseReason::WitnessUnseen => "witness_unseen",
        ReleaseReason::ScriptFailed => "script_failed",
        ReleaseReason::AddressRefused => "address_refused",
        ReleaseReason::AddressGone => "address_gone",
        ReleaseReason::Overtaken => "overtaken",
        ReleaseReason::Outseen => "outseen",
    }
}

/// Why a group is not acquired.
pub const fn block(block: Block) -> &'static str {
    match block {
        Block::PeerServes => "peer_serves",
        Block::PeerReleases => "peer_releases",
        Block::NoReport => "no_report",
        Block::PeersTurn => "peers_turn",
        Block::JustOffered => "just_offered",
        Block::Unsteady => "unsteady",
        Block::Unheard => "unheard",
        Block::ColdStart => "cold_start",
        Block::Stopping => "stopping",
        Block::GuardLost => "guard_lost",
        Block::NoCarrier => "no_carrier",
        Block::CutOff => "cut_off",
        Block::NotGranted => "not_granted",
        Block::GrantedToPeer => "granted_to_peer",
        Block::Stalled => "stalled",
        Block::Refused => "refused",
        Block::Jeopardy => "jeopardy",
        Block::ProbePending => "probe_pending",
        Block::VipAnswers => "vip_answers",
        Block::ProbeImpossible => "probe_impossible",
        Block::PeerAnswers => "peer_answers",
        Block::Lease => "lease",
        Block::Drift => "drift",
        Block::WitnessUnseen => "witness_unseen",
        Block::FencePending => "fence_pending",
        Block::FenceFailed => "fence_failed",
        Block::Exclusive => "exclusive",
        Block::Faulty => "faulty",
        Block::Standby => "standby",
        Block::Maintenance => "maintenance",
        Block::PeerMaintenance => "peer_maintenance",
    }
}

/// The rule that acted or blocked, if one did.
pub const fn rule(record: &Record) -> Option<&'static str> {
    match record {
        Record::Taking { reason, .. } => Some(take(*reason)),
        Record::Releasing { reason, .. } => Some(release(*reason)),
        Record::Blocked { block, .. } => Some(self::block(*block)),
        _ => None,
    }
}

/// What was refused.
pub const fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Length => "noise",
        Refusal::Crc => "bad_CRC",
        Refusal::Version => "other_protocol_version",
        Refusal::Pair => "other_pair",
        Refusal::Looped => "own_echo",
        Refusal::SameNode => "same_node_name",
        Refusal::Path => "wrong_path",
        Refusal::TooOften => "too_often",
        Refusal::Session => "stale_session",
        Refusal::UnknownKey => "unknown_key_id",
        Refusal::Authenticator => "wrong_key",
        Refusal::Number => "repeated",
        Refusal::Decode => "undecodable",
    }
}
