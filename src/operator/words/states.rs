//! The states of paths, modem lines, nodes and boxes.

use crosswire::health::{LineReading, NeighbourView, PathState, WitnessView};
use crosswire::pair::{Interface, Role, Trouble, Word};
use crosswire::quorum::facts::Claim;
use crosswire::quorum::probe::Finding;
use crosswire::quorum::record::Evidence;
use crosswire::reasons::Verdict;
use crosswire::vote::VoteView;

/// A path's state.
pub const fn path_state(state: PathState) -> &'static str {
    match state {
        PathState::Unproven => "unproven",
        PathState::OnTime => "on time",
        PathState::Late => "late",
        PathState::Silent => "silent",
        PathState::Broken => "broken",
        PathState::Noisy => "noisy",
        PathState::Refused => "refused",
        PathState::Blind => "blind",
    }
}

/// What a path's modem lines say.
pub fn line_reading(reading: LineReading, peer: &str) -> String {
    match reading {
        LineReading::Unknown => format!(
            "its modem lines are not believed: not on for dead_after while {peer} was heard, or off while it \
                was"
        ),
        LineReading::Running { holds: true } => {
            format!("lines on: {peer}'s agent, or a login on its port, runs and holds services")
        }
        LineReading::Running { holds: false } => {
            format!("lines on: {peer}'s agent, or a login on its port, runs and holds nothing")
        }
        LineReading::Dropped => {
            format!("lines dropped: {peer}'s port is closed, its box is off, or the cable is pulled")
        }
    }
}

/// A verdict.
pub const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Present | Verdict::Unintelligible => "present",
        Verdict::Departed => "departed",
        Verdict::Dead => "dead",
        Verdict::Doubtful => "doubtful",
    }
}

/// What a node says to its peer about a group.
pub const fn word(word: Word) -> &'static str {
    match word {
        Word::None => "none",
        Word::Offered => "offered",
        Word::Wanted => "wanted",
        Word::Yielded => "yielded",
        Word::Unable => "unable",
        Word::Unready => "unready",
    }
}

/// What the peer says that it is for a group.
pub fn claim(claim: Claim, peer: &str) -> String {
    match claim {
        Claim::Unknown => format!("{peer} says nothing of the group"),
        Claim::Serves => format!("{peer} says that it serves"),
        Claim::Releases => format!("{peer} says that it is releasing"),
        Claim::Offers => format!("{peer} says that it let go for us"),
        Claim::Free => format!("{peer} says that it holds nothing"),
    }
}

/// What the wire says of a group's addresses.
pub fn finding(finding: Finding, peer: &str) -> String {
    match finding {
        Finding::Unknown => "no probe has run".to_string(),
        Finding::Impossible => "the wire cannot be probed".to_string(),
        Finding::VipAnswers => "somebody answers for the address".to_string(),
        Finding::VipLetGo => format!("{peer}'s box answers, and has let the address go"),
        Finding::PeerAnswers => {
            format!("{peer}'s box answers or did so lately; nobody answers for the address")
        }
        Finding::Clear => "nobody answers the probe".to_string(),
    }
}

/// What the witnesses say. Only an answer to a request that left after the peer's last frame counts: while
/// the peer is heard there is none, and right after that none has come yet.
pub fn witness(s: &Evidence, peer: &str) -> String {
    match s.witness {
        WitnessView::None => "no witness".to_owned(),
        WitnessView::Seen => "a witness answers".to_owned(),
        WitnessView::Unseen if s.verdict == Verdict::Present => {
            format!("witness: not asked, {peer} is heard")
        }
        WitnessView::Unseen if !s.has_drift_passed => "witness: asked, no answer yet".to_owned(),
        WitnessView::Unseen => "no witness answers".to_owned(),
    }
}

/// What the neighbours on a group's interfaces say, where there ever were any. Only one who was heard after
/// the peer's last frame counts.
pub fn neighbours(s: &Evidence) -> &'static str {
    match s.neighbours {
        NeighbourView::Unknown => "",
        NeighbourView::Proven => "; a neighbour answers",
        NeighbourView::Unproven if s.verdict == Verdict::Present => "",
        NeighbourView::Unproven => "; no neighbour has answered yet",
        NeighbourView::CutOff => "; no neighbour answers",
    }
}

/// What the voting witness granted, where it counts.
pub fn vote_view(s: &Evidence, peer: &str) -> String {
    match s.vote {
        VoteView::NotNeeded => String::new(),
        VoteView::Missing if s.verdict == Verdict::Present => String::new(),
        VoteView::Granted => "; the voting witness grants it".to_owned(),
        VoteView::Missing => "; the voting witness has not granted it".to_owned(),
        VoteView::Elsewhere => format!("; the voting witness keeps it for {peer}"),
    }
}

/// What a node knows of an interface.
pub const fn interface_state(state: Interface) -> &'static str {
    match state {
        Interface::Unknown => "no neighbour heard",
        Interface::Proven => "neighbours answer",
        Interface::CutOff => "CUT OFF",
        Interface::Dark => "no carrier",
    }
}

/// A role.
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Backup => "backup",
        Role::Acquiring => "acquiring",
        Role::Active => "active",
        Role::Releasing => "releasing",
        Role::Faulty => "faulty",
    }
}

/// Why a node cannot serve; empty if it can.
pub const fn trouble(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::None => "",
        Trouble::GuardLost => "its guard is gone",
        Trouble::GuardSilent => "its guard does not answer",
        Trouble::Other => "for a reason that this version does not know",
    }
}

/// Why a box was reset last, from the bits of `WDIOC_GETBOOTSTATUS` (linux/watchdog.h).
pub fn reset_cause(boot_status: u32) -> &'static str {
    let causes = [
        (0x20, "by the watchdog"),
        (0x01, "too hot"),
        (0x02, "a fan failed"),
        (0x10, "power bad"),
        (0x40, "power too high"),
        (0x04 | 0x08, "by an external relay"),
    ];
    causes.iter().find(|(bit, _)| boot_status & bit != 0).map_or("not by the watchdog", |(_, cause)| cause)
}
