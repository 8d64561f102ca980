//! Why a group is taken, released, or not taken.

use crosswire::reasons::{Block, ReleaseReason, TakeReason};

/// Why a group is taken.
pub fn take_reason(reason: TakeReason, peer: &str) -> String {
    match reason {
        TakeReason::Offered => format!("{peer} let it go for us"),
        TakeReason::Departed => format!("{peer} said goodbye"),
        TakeReason::Dead => format!("{peer} is off or hangs: every path that testifies is silent"),
        TakeReason::Vacant => "nobody serves it and it is our turn".to_string(),
        TakeReason::ColdStart => format!("{peer} was not heard during cold start"),
        TakeReason::Jeopardy => format!("{peer} is doubtful, and in_jeopardy lets us take over"),
        TakeReason::PeerIsOff => format!("the operator says that {peer} is off"),
        TakeReason::Granted => format!("no path hears {peer}, and the voting witness grants it to this node"),
    }
}

/// Why a group is released.
pub fn release_reason(reason: ReleaseReason, peer: &str) -> String {
    match reason {
        ReleaseReason::Stopping => "we were told to stop".to_string(),
        ReleaseReason::Handover => "the operator asked for a handover".to_string(),
        ReleaseReason::PeerWants => format!("{peer} asked for it, by an order there or as its failback"),
        ReleaseReason::Standby => "the operator wants this node in standby".to_string(),
        ReleaseReason::WorseOff => format!("{peer} is better off: an interface of it has no carrier here"),
        ReleaseReason::Outseen => format!("{peer} is better off: it sees more witnesses"),
        ReleaseReason::NoCarrier => {
            "an interface of it has no carrier, and nobody acknowledged us in time".to_string()
        }
        ReleaseReason::UnheardByPeer => format!("{peer} hears us on no path and will take over"),
        ReleaseReason::CutOff => {
            format!("no neighbour answers on an interface of it: this node is cut off, and {peer} may not be")
        }
        ReleaseReason::NotGranted => {
            "the voting witness does not grant it, and nobody acknowledged us in time".to_string()
        }
        ReleaseReason::LeaseLapsed => "its lease was not renewed in time".to_string(),
        ReleaseReason::LostTie => format!("{peer} is active too, and wins"),
        ReleaseReason::ScriptFailed => "one of its scripts does not run here".to_string(),
        ReleaseReason::AddressRefused => "the kernel refuses an address of it here".to_string(),
        ReleaseReason::AddressGone => {
            format!("an address of it has gone here, which {peer} may have seen: it is not put back")
        }
        ReleaseReason::Overtaken => {
            "it may not be taken now that the scripts before its addresses ran".to_string()
        }
        ReleaseReason::WitnessUnseen => "no witness answers, and nobody acknowledged us in time".to_string(),
    }
}

/// What people may do where no proof is to be had.
pub fn by_force(peer: &str) -> String {
    format!("; if you have seen that {peer} is off, say `takeover GROUP --peer-is-off`")
}

/// Why a group is not taken.
pub fn block(block: Block, peer: &str) -> String {
    match block {
        Block::PeerServes => format!("{peer} serves it"),
        Block::PeerReleases => format!("{peer} is releasing it"),
        Block::NoReport => format!("{peer} is there but has not said what it holds"),
        Block::PeersTurn => format!("nobody serves it; {peer} goes first"),
        Block::JustOffered => format!("just handed to {peer}"),
        Block::Unsteady => format!("it was lost to {peer} again and again, and waits"),
        Block::Unheard => format!("{peer} hears us on no path and would not know that we serve"),
        Block::ColdStart => format!("cold start: listening for {peer}"),
        Block::Stopping => "this node is stopping".to_string(),
        Block::GuardLost => "the guard cannot act".to_string(),
        Block::NoCarrier => "an interface of it has no carrier here".to_string(),
        Block::Stalled => "it has just started, or was paused: two beats have to pass first".to_string(),
        Block::Refused => {
            format!(
                "somebody on the cable is not understood: the keys or configurations of the two nodes \
                    differ, {peer} is another version, or the cable leads to another pair (`status` says \
                    what is known)"
            )
        }
        Block::Jeopardy => {
            format!(
                "no path hears {peer}, and too few testify for that to prove anything (in_jeopardy \
                    = \"hold\")"
            )
        }
        Block::ProbePending => "the probe for its addresses is not done".to_string(),
        Block::VipAnswers => "somebody answers for an address of it".to_string(),
        Block::ProbeImpossible => {
            format!("probe impossible: who holds its addresses cannot be asked{}", by_force(peer))
        }
        Block::PeerAnswers => {
            format!("{peer}'s box has power and may be hung: waiting until it must have let go")
        }
        Block::Lease => {
            format!(
                "{peer}'s box may be hung, with an address or a script of it still in use: waiting until it \
                    must have let go"
            )
        }
        Block::Drift => {
            format!("waiting until {peer} has been silent for long enough, with 1 % for clocks that drift")
        }
        Block::WitnessUnseen => "no witness answers: it may be this node that is cut off".to_string(),
        Block::CutOff => "no neighbour answers here: it may be this node that is cut off".to_string(),
        Block::NotGranted => "the voting witness has not granted it to this node".to_string(),
        Block::GrantedToPeer => {
            format!(
                "the voting witness keeps it for {peer}, which serves it or is not known to have let it go"
            )
        }
        Block::FencePending => format!("waiting for the fence of {peer} to be confirmed"),
        Block::FenceFailed => format!("the fence of {peer} could not be confirmed"),
        Block::Exclusive => format!("it is exclusive, and {peer}'s scripts may still run"),
        Block::Faulty => "it failed here; trying again later".to_string(),
        Block::Standby => "this node is in standby; `crosswire online` ends that".to_string(),
        Block::Maintenance => {
            "maintenance: nothing is moved; `crosswire maintenance off` ends that".to_string()
        }
        Block::PeerMaintenance => {
            format!("{peer} was last heard in maintenance: nothing is moved until that is over")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a peer wants is one flag: it does not say who has decided that.
    #[test]
    fn what_the_peer_asks_for_is_not_said_to_be_an_order() {
        let said = release_reason(ReleaseReason::PeerWants, "gw1");
        assert_eq!(said, "gw1 asked for it, by an order there or as its failback");
    }
}
