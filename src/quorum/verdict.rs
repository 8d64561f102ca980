//! What the paths together say of the peer.

use crate::health::{LineReading, PathState};
use crate::pair::PathKind;
use crate::reasons::Verdict;

/// What one path testifies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Testimony {
    /// Serial or LAN.
    pub kind: PathKind,
    /// What it says.
    pub state: PathState,
    /// What its modem lines say.
    pub lines: LineReading,
    /// Its lines dropped within dead_after of the last frame, and none has come since on any path.
    pub is_cut_short: bool,
    /// It is broken, for less than [`crate::health::path::BRIEFLY_BROKEN`].
    pub is_broken_briefly: bool,
}

/// The verdict of a set of paths. `has_left`: the newest thing that the peer said was goodbye. If somebody on
/// the cable is not understood, that outweighs the goodbye: the peer may be back, with another key.
///
/// Silence is proof when two paths of different kinds, which share no cause of failure, testify to it, or
/// every configured path does. A path that another path outlived is broken and does not testify. So all paths
/// that testify fell silent before any of them heard the peer again.
pub fn verdict(paths: &[Testimony], has_left: bool) -> Verdict {
    let is_any = |wanted: fn(PathState) -> bool| paths.iter().any(|path| wanted(path.state));
    let is_heard = is_any(PathState::is_heard);
    if is_any(|state| state == PathState::Refused) {
        if is_heard { Verdict::Present } else { Verdict::Unintelligible }
    } else if has_left {
        Verdict::Departed
    } else if is_power_loss(paths) {
        Verdict::Dead
    } else if is_heard {
        Verdict::Present
    } else if is_silence_proof(paths) {
        Verdict::Dead
    } else {
        Verdict::Doubtful
    }
}

fn is_silence_proof(paths: &[Testimony]) -> bool {
    let is_silent = |kind| paths.iter().any(|path| path.kind == kind && path.state == PathState::Silent);
    let both_kinds = is_silent(PathKind::Serial) && is_silent(PathKind::Lan);
    both_kinds || (!paths.is_empty() && paths.iter().all(|path| path.state == PathState::Silent))
}

/// The lines of a cable dropped in the middle of its beats, and no LAN is on time: a box that loses power
/// does this. A cable that is pulled leaves the LAN on time; one that is pulled long after the LAN broke is
/// no proof.
pub fn is_power_loss(paths: &[Testimony]) -> bool {
    let of = |kind| paths.iter().filter(move |path| path.kind == kind);
    let is_lan_failing = |path: &Testimony| match path.state {
        PathState::Late | PathState::Silent => true,
        PathState::Broken => path.is_broken_briefly,
        PathState::Unproven
        | PathState::OnTime
        | PathState::Noisy
        | PathState::Refused
        | PathState::Blind => false,
    };
    let is_cable_gone = |path: &Testimony| path.is_cut_short || path.state == PathState::Silent;
    of(PathKind::Serial).any(|path| path.is_cut_short)
        && of(PathKind::Serial).all(is_cable_gone)
        && of(PathKind::Lan).next().is_some()
        && of(PathKind::Lan).all(is_lan_failing)
}

/// Whether one more fault would make silence prove nothing: some configured path does not testify. While the
/// peer is on time somewhere, a path testifies if both nodes hear each other on it. While it is not, a path
/// also testifies by falling silent.
pub fn is_jeopardy(paths: &[Testimony], is_unheard_there: impl Fn(usize) -> bool) -> bool {
    let is_on_time_somewhere = paths.iter().any(|path| path.state == PathState::OnTime);
    let testifies = |(index, path): (usize, &Testimony)| match path.state {
        PathState::OnTime | PathState::Late => !is_unheard_there(index),
        PathState::Silent => !is_on_time_somewhere,
        PathState::Unproven
        | PathState::Broken
        | PathState::Noisy
        | PathState::Refused
        | PathState::Blind => false,
    };
    paths.len() > 1 && !paths.iter().enumerate().all(testifies)
}
