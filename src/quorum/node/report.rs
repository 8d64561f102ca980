//! A node's state as plain values.

use super::act::group_role;
use super::{Leaving, Node};
use crate::config::GroupId;
use crate::frame::Version;
use crate::frame::message::Role;
use crate::frame::refusal::Refusal;
use crate::quorum::decide::Standby;
use crate::quorum::record::Block;
use crate::status::{GroupStatus, NodeStatus, PathStatus, PeerStatus};
use crate::time::{Instant, Span};

/// How long a foreign claim for what we serve is shown.
const CLAIM_SHOWN: Span = Span::from_s(60);

impl Node {
    /// The state of this node at `now`, and what it knows of its peer.
    pub fn status(&self, now: Instant) -> NodeStatus {
        NodeStatus {
            me: self.me,
            up: now.since(self.started_at),
            incarnation: self.session.incarnation().0,
            verdict: self.verdict,
            is_jeopardy: self.is_jeopardy,
            is_digest_different: self.is_digest_different,
            is_lifetime_ignored: self.is_lifetime_ignored,
            trouble: self.standing(now).trouble,
            is_stopping: self.leaving != Leaving::No,
            is_standby: self.restraint.standby != Standby::No,
            maintenance: self.restraint.maintenance_until.map(|until| until.since(now)),
            paths: (0..self.paths.len()).filter_map(|index| self.path_status(now, index)).collect(),
            groups: self
                .groups
                .iter()
                .zip(&self.policy.groups)
                .map(|(group, policy)| {
                    let report = group.report(policy.tag);
                    GroupStatus {
                        role: report.role,
                        term: report.term,
                        has_carrier: group.has_carrier,
                        condition: group.condition,
                        fault: group.fault,
                        block: group.said,
                        both_serve: group.tied.map(|tied| now.since(tied.seen_at)),
                        unserved: group.unserved_since.map(|since| now.since(since)),
                        idle: group.idle_since.map(|since| now.since(since)),
                        foreign_mac: group.said_mac.filter(|_| {
                            (report.role == Role::Active && now < group.defend_from + CLAIM_SHOWN)
                                || group.said == Some(Block::VipAnswers)
                        }),
                    }
                })
                .collect(),
            peer: self.peer_status(now),
            worst_stall: self.worst_stall,
        }
    }

    /// Whether a group is held, or on its way here or away.
    pub fn is_holding(&self, id: GroupId) -> bool {
        group_role(&self.groups, id).is_holding()
    }

    /// Whether the line 'I hold services' has to be on.
    pub fn is_showing_holding(&self) -> bool {
        self.is_showing_holding
    }

    /// Whether the operator has put this node into maintenance.
    pub fn is_in_maintenance(&self) -> bool {
        self.restraint.maintenance_until.is_some()
    }

    fn path_status(&self, now: Instant, index: usize) -> Option<PathStatus> {
        let path = self.paths.get(index)?;
        Some(PathStatus {
            state: path.state,
            heard: path.detector.heard_at().map(|at| now.since(at)),
            heard_by_peer: self.heard_by_peer(now, index),
            beats_heard: path.beats_heard,
            beats_sent: path.beats_sent,
            quality: path.detector.quality,
            dead_after: path.detector.timing().dead_after,
            lines: path.detector.lines(),
            is_looped: path.detector.is_looped(now),
            is_deaf: path.detector.self_test.is_deaf(),
            refusals: Refusal::ALL.map(|refusal| path.refusals.of(refusal)),
        })
    }

    /// How long ago the peer heard us on a path, by its own newest report.
    pub(super) fn heard_by_peer(&self, now: Instant, index: usize) -> Option<Span> {
        let age = self.peer.beat()?.paths.get(index)?.age()?;
        Some(age + self.peer.beat_at().map(|at| now.since(at)).unwrap_or_default())
    }

    fn peer_status(&self, now: Instant) -> Option<PeerStatus> {
        let beat = self.peer.beat()?;
        let group = |id| self.peer.group(id, &self.policy).map(|report| (report.role, report.term));
        Some(PeerStatus {
            age: self.peer.beat_at().map(|at| now.since(at)).unwrap_or_default(),
            protocol: self.session.version().map_or(0, Version::number),
            build: self.session.peers_build().clone(),
            is_cold_start: beat.standing.cold_start,
            has_left: beat.standing.leaving,
            is_standby: beat.standing.standby,
            is_maintenance: beat.standing.maintenance.is_some(),
            has_no_carrier: beat.standing.no_carrier,
            trouble: beat.standing.trouble,
            groups: self.policy.group_ids().map(group).collect(),
        })
    }
}
