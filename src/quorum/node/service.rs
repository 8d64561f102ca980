//! Whether each group is served, and which node could serve it. This is only shown: nothing is decided by it.

use super::{Node, Path, emit};
use crate::config::interface_bit;
use crate::frame::message::Standing;
use crate::health::neighbours::Neighbours;
use crate::pair::{GroupId, Inability, Role, Trouble, Word};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::facts::{Claim, Situation};
use crate::quorum::group::Group;
use crate::quorum::probe::Finding;
use crate::quorum::record::Record;
use crate::reasons::Verdict;
use crate::time::Instant;

impl Node {
    /// Notes whether the peer could take over, by what it says of itself while it is heard. A node that
    /// serves has to know that.
    pub(super) fn note_peer_ability(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let is_on_time = self.is_on_time(now);
        let Some(report) = self.peer.group(id, &self.policy) else { return };
        let inability = match (report.role, report.word) {
            (Role::Faulty, _) => Inability::Failed,
            (_, Word::Unready) => Inability::Unready,
            (_, Word::Unable) if self.is_dark_there(id) => Inability::NoCarrier,
            (_, Word::Unable) => Inability::Unsaid,
            (_, Word::None | Word::Offered | Word::Wanted | Word::Yielded) => Inability::None,
        };
        let is_unable = inability != Inability::None;
        let Some(group) = self.groups.get_mut(id.index()).filter(|group| group.role == Role::Active) else {
            return;
        };
        if is_on_time && core::mem::replace(&mut group.is_peer_unable, is_unable) != is_unable {
            emit(effects, Effect::Record(Record::PeerUnable { group: id, inability }));
        }
    }

    /// Notes since when somebody serves the group, and since when either node could.
    pub(super) fn note_service(&mut self, now: Instant, id: GroupId, s: &Situation) {
        let (is_peer_fit, is_served_there) = (self.is_peer_fit(id), self.is_served_there(now, id, s));
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let is_refused = s.own.is_address_refused;
        let is_hampered = s.own.is_unfit
            || !s.own.is_ready
            || s.own.is_stuck
            || is_refused
            || s.own.is_cut_off
            || group.is_hindered;
        let is_fit = s.own.is_able && s.own.has_carrier && group.role != Role::Faulty && !is_hampered;
        let is_served = group.role == Role::Active && is_fit || is_served_there;
        let is_moving = group.role.is_holding()
            || matches!(s.peer.claim, Claim::Serves | Claim::Releases | Claim::Offers);
        let marks = [
            (&mut group.unable_since, is_fit),
            (&mut group.peer_unable_since, is_peer_fit),
            (&mut group.unserved_since, is_served),
            (&mut group.idle_since, is_served || is_moving),
        ];
        for (since, is_well) in marks {
            *since = if is_well { None } else { since.or(Some(now)) };
        }
    }

    /// Whether the peer serves the group, by what it says. If nobody hears or understands it, but its box
    /// lives, by who answers for an address of the group, or by a grant of the voting witness.
    fn is_served_there(&self, now: Instant, id: GroupId, s: &Situation) -> bool {
        let theirs = self.peer.group(id, &self.policy).map(|report| report.role);
        let is_said = s.peer.claim == Claim::Serves
            && theirs == Some(Role::Active)
            && !self.is_lease_over_there(now, id);
        let is_unheard = s.peer.verdict != Verdict::Present;
        let is_answered = s.wire.finding == Finding::VipAnswers && self.is_peers_answer(id) == Some(true);
        is_said || is_unheard && (is_answered || self.is_granted_there(now, id))
    }

    /// Whether the one that answered last for an address of the group is the peer; `None` where nobody knows
    /// the peer's MAC on the LANs of the group. Where the group is on no LAN path the peer is never asked for
    /// its MAC, and who answers counts as the peer.
    pub(super) fn is_peers_answer(&self, id: GroupId) -> Option<bool> {
        let said_mac = self.groups.get(id.index()).and_then(|group| group.said_mac);
        let policy = self.policy.groups.get(id.index())?;
        let there = self.policy.path_ids().zip(&self.paths).filter(|(path, _)| policy.is_on(*path));
        let mut macs = there.map(|(_, there)| there.peer_mac).peekable();
        let is_never_asked = macs.peek().is_none();
        let mut known = macs.flatten().peekable();
        if is_never_asked {
            return Some(true);
        }
        known.peek()?;
        Some(known.any(|mac| Some(mac) == said_mac))
    }

    /// Nothing that the peer says of itself keeps it from serving the group.
    fn is_peer_fit(&self, id: GroupId) -> bool {
        let Some((report, beat)) = self.peer.group(id, &self.policy).zip(self.peer.beat()) else {
            return false;
        };
        let Standing { trouble, cold_start, shadow, .. } = beat.standing;
        let is_ready = match report.role {
            Role::Backup | Role::Acquiring | Role::Active => !report.word.is_inability(),
            // It may hold what cannot be stopped.
            Role::Releasing | Role::Faulty => false,
        };
        is_ready && trouble == Trouble::None && !cold_start && !shadow && !self.is_dark_there(id)
    }

    /// The peer has too little carrier for the group: an interface of it is dark there, and either not here,
    /// or with all the others. A peer that does not say which interface is dark may mean any.
    pub(super) fn is_dark_there(&self, id: GroupId) -> bool {
        let Some(policy) = self.policy.groups.get(id.index()) else { return false };
        let bits = |is_meant: fn(&Neighbours) -> bool| {
            let meant = self.neighbours.iter().enumerate().filter(|(_, neighbours)| is_meant(neighbours));
            meant.fold(0, |bits, (index, _)| bits | interface_bit(index))
        };
        let dark = bits(Neighbours::is_dark_there);
        let missing = policy.carriers & dark;
        let is_excused = missing & !bits(Neighbours::is_dark_on_both) == 0 && policy.carriers & !dark != 0;
        let is_said = self.peer.beat().is_some_and(|beat| beat.standing.no_carrier);
        is_said && (dark == 0 || missing != 0 && !is_excused)
    }

    /// The peer is not heard, and it was its box that claimed an address of the group last.
    pub(super) fn is_peer_claiming(&self, group: &Group) -> bool {
        let is_theirs = |path: &Path| path.peer_mac.is_some() && path.peer_mac == group.said_mac;
        !self.verdict.is_somebody() && self.paths.iter().any(is_theirs)
    }
}
