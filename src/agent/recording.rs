//! The flight recorder of this agent, as `why --record` writes it.

use super::Agent;
use crate::operator::control::{Answer, MAX_PIECE_BYTES};
use crate::operator::recording::{self, Caption};

/// The room for both halves: with two paths at ten beats a second they hold at least the last half minute.
pub const ROOM_BYTES: usize = if cfg!(feature = "recorder") { 64 * 1024 } else { 0 };

impl Agent<'_> {
    /// The piece of a recording that begins there. All pieces are of the instant at which the first one was
    /// asked for. A recording that is not fetched to its end is kept until somebody asks for a new one.
    pub(super) fn recording_from(&mut self, number: u32, from: u32) -> Answer {
        if !cfg!(feature = "recorder") {
            return Answer::Recording { number: 1, bytes: Vec::new() };
        }
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        if number == 0 {
            self.recording_number = self.recording_number.wrapping_add(1).max(1);
            let told = Caption {
                node: self.settings.my_name().to_owned(),
                peer: self.names.peer.clone(),
                paths: self.names.paths.clone(),
                groups: self.names.groups.clone(),
                interfaces: self.names.interfaces.clone(),
                scripts: self.names.scripts.clone(),
            };
            self.recording = recording::written(&told, self.station.tape().halves());
        }
        let is_other = number != 0 && number != self.recording_number;
        let end = self.recording.len().min(from.saturating_add(MAX_PIECE_BYTES));
        let bytes = self.recording.get(from..end).filter(|_| !is_other).unwrap_or_default().to_vec();
        if end == self.recording.len() && !is_other {
            self.recording = Vec::new();
        }
        Answer::Recording { number: self.recording_number, bytes }
    }
}
