//! What the wire answers, and whether its silence can be believed.

use super::{GuardState, Node, Path, emit};
use crate::health::PathState;
use crate::health::self_test::Pass;
use crate::pair::{GroupId, PathId, PathKind};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::record::Record;
use crate::resource::{Fault, Outcome};
use crate::time::Instant;

impl Node {
    /// Asks for the peer's own address now and then, on every LAN on which both nodes hear each other.
    pub(super) fn test_probes(&mut self, now: Instant, effects: &mut Effects) {
        let mut must_ask = false;
        for index in 0..self.paths.len() {
            let is_well = self.is_heard_both_ways(now, index);
            let Some(path) = self.paths.get_mut(index).filter(|path| path.detector.kind() == PathKind::Lan)
            else {
                continue;
            };
            let pass = path.detector.self_test.pass(now, is_well);
            must_ask |= pass != Pass::Nothing;
            if let (Pass::AskTheDeaf, Ok(number)) = (pass, u8::try_from(index)) {
                emit(effects, Effect::Record(Record::Deaf { path: PathId(number), is_deaf: true }));
            }
        }
        if must_ask {
            emit(effects, Effect::AskForPeer);
        }
    }

    /// Asks who the peer is: the MAC with which its own address answers tells it from a stranger.
    pub(super) fn ask_who_the_peer_is(&self, effects: &mut Effects) {
        let is_unknown = |path: &Path| path.detector.kind() == PathKind::Lan && path.peer_mac.is_none();
        if self.paths.iter().any(is_unknown) {
            emit(effects, Effect::AskForPeer);
        }
    }

    /// Whether both nodes hear each other on a path. After a stall nobody knows yet what is heard, and while
    /// the guard hangs no question leaves.
    fn is_heard_both_ways(&self, now: Instant, index: usize) -> bool {
        let Some(path) = self.paths.get(index) else { return false };
        let heard_there = self.heard_by_peer(now, index);
        now >= self.judge_from
            && self.guard == GuardState::Fine
            && path.state == PathState::OnTime
            && heard_there.is_some_and(|age| age <= path.detector.timing().dead_after)
    }

    /// The peer's own address has answered.
    pub(super) fn peer_answered(
        &mut self,
        now: Instant,
        path: Option<PathId>,
        mac: [u8; 6],
        effects: &mut Effects,
    ) {
        let wait = self.probe_wait();
        for group in self.groups.iter_mut().filter(|group| group.probe.is_expecting(now, wait)) {
            group.probe.peer_answered(now, path);
        }
        for group in &mut self.groups {
            group.stranger.take_if(|(stranger, _)| *stranger == mac);
        }
        let Some(path) = path else { return };
        let Some(here) = self.paths.get_mut(path.index()) else { return };
        here.peer_mac = Some(mac);
        if here.detector.self_test.answered(now) {
            emit(effects, Effect::Record(Record::Deaf { path, is_deaf: false }));
        }
    }

    /// What a probe's outcome is worth. On a LAN where not even a peer that is heard answers, it proves
    /// nothing.
    pub(super) fn believed(&self, id: GroupId, outcome: Outcome) -> Outcome {
        let is_deaf = || {
            let policy = self.policy.groups.get(id.index());
            let mut paths = self.policy.path_ids().zip(&self.paths);
            paths.any(|(path, here)| {
                here.detector.self_test.is_deaf() && policy.is_some_and(|group| group.is_on(path))
            })
        };
        let is_probed = matches!(outcome, Outcome::Probed { .. });
        if is_probed && is_deaf() { Outcome::Failed(Fault::ProbeUnanswered) } else { outcome }
    }
}
