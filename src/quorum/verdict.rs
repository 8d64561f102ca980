//! What the paths together say of the peer.

use serde::{Deserialize, Serialize};

use crate::config::PathKind;
use crate::health::PathState;

/// What the evidence says of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Some path hears it, or somebody unintelligible is on the cable.
    Present,
    /// It said goodbye: it released everything and left.
    Departed,
    /// Every path that testifies is silent, and enough of them do.
    Dead,
    /// No path hears it, and that proves nothing.
    Doubtful,
}

/// The verdict of a set of paths. `has_left`: the newest thing that the peer said was goodbye.
///
/// Silence is proof when two paths of different kinds, which share no cause of failure, testify to it, or every configured
/// path does. A path that another one outlived is broken and does not testify, so that all who testify fell silent before
/// any of them heard the peer again.
pub fn verdict(paths: &[(PathKind, PathState)], has_left: bool) -> Verdict {
    let is_any = |wanted: fn(PathState) -> bool| paths.iter().any(|(_, state)| wanted(*state));
    if is_any(|state| state == PathState::Refused) {
        return Verdict::Present;
    }
    if has_left {
        return Verdict::Departed;
    }
    if is_any(PathState::is_heard) {
        return Verdict::Present;
    }
    let is_silent = |kind| paths.contains(&(kind, PathState::Silent));
    let both_kinds = is_silent(PathKind::Serial) && is_silent(PathKind::Lan);
    let all_configured = !paths.is_empty() && paths.iter().all(|(_, state)| *state == PathState::Silent);
    if both_kinds || all_configured { Verdict::Dead } else { Verdict::Doubtful }
}

/// Whether one more fault would make silence prove nothing: some configured path does not testify. While the peer is heard
/// a path testifies by hearing it, both ways; while it is heard nowhere, by being silent.
pub fn is_jeopardy(paths: &[(PathKind, PathState)], is_unheard_there: impl Fn(usize) -> bool) -> bool {
    let is_heard_somewhere = paths.iter().any(|(_, state)| state.is_heard());
    let testifies = |(index, (_, state)): (usize, &(PathKind, PathState))| match state {
        PathState::OnTime | PathState::Late => !is_unheard_there(index),
        PathState::Silent => !is_heard_somewhere,
        PathState::Unproven | PathState::Broken | PathState::Noisy | PathState::Refused | PathState::Blind => false,
    };
    paths.len() > 1 && !paths.iter().enumerate().all(testifies)
}
