//! A node's state as plain values.

use super::act::group_role;
use super::{Leaving, Node};
use crate::frame::message::Build;
use crate::frame::refusal::REFUSALS;
use crate::pair::{GroupId, Role};
use crate::quorum::facts::Standby;
use crate::quorum::group::{CLAIM_SHOWN, Group};
use crate::reasons::Block;
use crate::status::{GroupStatus, NodeStatus, PathStatus, PeerStatus, WitnessStatus};
use crate::time::{Instant, Span};

impl Node {
    /// The state of this node at `now`, and what it knows of its peer; the receiver's part is left out
    /// ([`crate::station::Station::status`]).
    pub fn status(&self, now: Instant) -> NodeStatus {
        NodeStatus {
            me: self.me,
            up: now.since(self.started_at),
            incarnation: [0; 8],
            verdict: self.verdict.told(),
            jeopardy: self.jeopardy_since.map(|since| now.since(since)),
            is_digest_different: self.is_digest_different,
            is_lifetime_ignored: self.is_lifetime_ignored,
            trouble: self.standing(now).trouble,
            is_stopping: self.leaving != Leaving::No,
            is_standby: self.restraint.standby != Standby::No,
            maintenance: self.restraint.maintenance_until.map(|until| until.since(now)),
            paths: (0..self.paths.len()).filter_map(|index| self.path_status(now, index)).collect(),
            groups: self
                .policy
                .group_ids()
                .zip(&self.groups)
                .map(|(id, it)| self.group_status(now, id, it))
                .collect(),
            witnesses: self.witnesses.each().map(|witness| self.witness_status(now, witness)).collect(),
            neighbours: self.neighbour_statuses(now).collect(),
            vote: self.vote_status(now),
            peer: self.peer_status(now),
            worst_stall: self.worst_stall.0,
            stalled: now.since(self.worst_stall.1),
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
            refusals: [0; REFUSALS],
        })
    }

    fn group_status(&self, now: Instant, id: GroupId, group: &Group) -> GroupStatus {
        let lasts = |since: Option<Instant>| since.map(|since| now.since(since));
        let Group { role, is_lit, condition, fault, .. } = *group;
        let block = group.said.map(|wait| wait.block);
        let ends_at = group.said.map(|wait| wait.until).filter(|at| *at < Instant::NEVER);
        let is_contested = role == Role::Active && now < group.defend_from + CLAIM_SHOWN;
        // If the peer is not heard but claims the group on the wire, both have served it since its newest
        // frame at the earliest.
        let split_at = self.newest_frame_at().filter(|_| is_contested && self.is_peer_claiming(group));
        let is_told = is_contested || block == Some(Block::VipAnswers);
        let strangers_mac = group.strangers_mac(now).filter(|_| role != Role::Active);
        let both_since = group.tied.map(|tied| tied.seen_at).or(split_at);
        GroupStatus {
            role,
            term: group.said_term(),
            has_carrier: is_lit,
            condition,
            fault,
            block,
            wait: ends_at.map(|at| at.since(now)),
            both_serve: lasts(both_since),
            unable: lasts(group.unable_since),
            peer_unable: lasts(group.peer_unable_since),
            unserved: lasts(group.unserved_since),
            idle: lasts(group.idle_since),
            foreign_mac: group.said_mac.filter(|_| is_told).or(strangers_mac),
            is_foreign_mac_doubtful: block == Some(Block::VipAnswers) && self.is_peers_answer(id).is_none(),
        }
    }

    fn witness_status(&self, now: Instant, (at, is_seen_there): (Option<Instant>, bool)) -> WitnessStatus {
        let misses_since = self.peer_misses_since.filter(|_| !is_seen_there);
        WitnessStatus {
            answered: at.map(|at| now.since(at)),
            peer_misses: misses_since.map(|since| now.since(since)),
        }
    }

    /// How long ago the peer heard us on a path, by its own newest report.
    pub(super) fn heard_by_peer(&self, now: Instant, index: usize) -> Option<Span> {
        let age = self.peer.beat()?.paths.get(index)?.age()?;
        Some(age + self.peer.beat_at().map(|at| now.since(at)).unwrap_or_default())
    }

    fn peer_status(&self, now: Instant) -> Option<PeerStatus> {
        let beat = self.peer.beat()?;
        Some(PeerStatus {
            age: self.peer.beat_at().map(|at| now.since(at)).unwrap_or_default(),
            protocol: 0,
            build: Build::new(),
            is_cold_start: beat.standing.cold_start,
            has_left: beat.standing.leaving,
            is_standby: beat.standing.standby,
            is_maintenance: beat.standing.maintenance.is_some(),
            has_no_carrier: beat.standing.no_carrier,
            trouble: beat.standing.trouble,
            groups: self.policy.group_ids().map(|id| self.peer.group(id, &self.policy)).collect(),
        })
    }
}
