//! The LAN as a witness: when its neighbours are asked, and what they say for a group.
//!
//! At rest one neighbour is asked in half a minute, and only where nobody was heard meanwhile. When beats are
//! missing, questions follow each other fast, so that the answers are there when something has to be decided.
//! They never make a silent peer dead: they only show which of two nodes is the one that is cut off.

use heapless::Vec;

use super::{GuardState, Node, Path, emit};
use crate::config::{GroupPolicy, MAX_INTERFACES, interface_bit};
use crate::health::neighbours::{HANDS_OVER_AFTER, ROUNDS};
use crate::health::neighbours::{NeighbourView, Neighbours, Pace, SLOWEST_ROUND, together};
use crate::pair::{GroupId, Interface, PathId, PathKind};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::group::Group;
use crate::quorum::record::Record;
use crate::status::NeighbourStatus;
use crate::time::{Instant, Span};

/// How long a LAN may be quiet while the peer is heard.
const QUIET: Span = Span::from_s(30);
/// The least that it may be quiet while it is not.
const QUIET_ALONE: Span = Span::from_s(5);
/// Rounds follow each other no faster than a switch and a small stack can follow.
const FASTEST_ROUND: Span = Span::from_ms(5);

impl Node {
    /// A neighbour was heard on an interface, at this instant or later.
    pub(super) fn neighbour_heard(&mut self, now: Instant, index: usize, at: Instant) {
        if let Some(neighbours) = self.neighbours.get_mut(index) {
            self.is_stirred |= neighbours.heard(now, at);
        }
    }

    /// The peer's beat came by a LAN: its interface leads to the peer. That has to be noted here, and not to
    /// be read from the path's detector, whose instants shift by every stall of our own.
    pub(super) fn peer_heard_on_the_lan(&mut self, path: PathId, at: Instant) {
        let interface = self.policy.paths.get(path.index()).and_then(|path| path.interface);
        let Some(neighbours) = interface.and_then(|index| self.neighbours.get_mut(usize::from(index))) else {
            return;
        };
        let before = neighbours.state();
        neighbours.peer_heard(at);
        self.is_urgent |= neighbours.state() != before;
    }

    /// Notes the carrier of an interface; the peer is told with the next beat.
    pub(super) fn note_interface(&mut self, index: usize, is_up: bool) {
        while self.neighbours.len() <= index && self.neighbours.push(Neighbours::default()).is_ok() {}
        if let Some(neighbours) = self.neighbours.get_mut(index) {
            neighbours.note_carrier(is_up);
        }
        self.note_carriers();
    }

    /// Notes which groups have carrier enough: on all their interfaces, or on all but those that are dark on
    /// both nodes, so that nobody could do better. Both are read from one table, as soon as all interfaces of
    /// a group are in it: between two words of one change a group would have no carrier for a moment, and be
    /// let go.
    pub(super) fn note_carriers(&mut self) {
        let (mut known, mut dark, mut excused) = (0_u32, 0_u32, 0_u32);
        for (index, neighbours) in self.neighbours.iter().enumerate() {
            known |= if neighbours.is_carrier_known() { interface_bit(index) } else { 0 };
            dark |= if neighbours.is_dark() { interface_bit(index) } else { 0 };
            excused |= if neighbours.is_dark_on_both() { interface_bit(index) } else { 0 };
        }
        for (policy, group) in self.policy.groups.iter().zip(&mut self.groups) {
            let (lit, missing) = (policy.carriers & !dark, policy.carriers & dark);
            if policy.carriers != 0 && policy.carriers & !known == 0 {
                group.is_lit = missing == 0;
            }
            let is_rest_lit = lit != 0 && missing != 0 && missing & !excused == 0;
            let has_carrier = group.is_lit || is_rest_lit;
            self.is_urgent |= core::mem::replace(&mut group.has_carrier, has_carrier) != has_carrier;
        }
    }

    /// Notes what the peer says of its interfaces. Those of another file may be others.
    pub(super) fn note_peers_interfaces(&mut self, now: Instant) {
        let said = self.peer.beat().filter(|_| !self.is_digest_different);
        for (index, neighbours) in self.neighbours.iter_mut().enumerate() {
            let said = said.and_then(|beat| beat.interfaces.get(index));
            neighbours.note_peer(now, said.copied().unwrap_or_default());
        }
        self.note_carriers();
    }

    /// Judges the questions that nobody has answered, and asks what is due. While the guard hangs, nothing
    /// can be taken, and nobody is asked.
    pub(super) fn ask_neighbours(&mut self, now: Instant, effects: &mut Effects) {
        let mut due = 0_u32;
        for index in 0..self.neighbours.len() {
            if !self.policy.counts_on(index) {
                continue;
            }
            let pace = self.pace_of(now, index);
            let is_able = self.guard == GuardState::Fine;
            let Some(neighbours) = self.neighbours.get_mut(index) else { continue };
            let before = neighbours.state();
            if !is_able {
                neighbours.forget_questions();
            } else {
                neighbours.judge(now, pace);
                if now >= neighbours.due_at(pace) {
                    neighbours.ask(now);
                    due |= interface_bit(index);
                }
            }
            let state = neighbours.state();
            self.is_urgent |= state != before;
        }
        self.say_states(effects);
        if due != 0 {
            emit(effects, Effect::AskNeighbours(due));
        }
    }

    /// Records that an interface is cut off, or not any more: one in each turn, so that the effects have
    /// room.
    fn say_states(&mut self, effects: &mut Effects) {
        let mut states = (0_u8..).zip(self.neighbours.iter().map(Neighbours::state));
        let is_news = |(index, state): &(u8, Interface)| {
            let was_said = self.said_cut_off & interface_bit(usize::from(*index)) != 0;
            *state != Interface::Dark && was_said != (*state == Interface::CutOff)
        };
        let Some((interface, state)) = states.find(is_news) else { return };
        self.said_cut_off ^= interface_bit(usize::from(interface));
        let is_cut_off = state == Interface::CutOff;
        emit(effects, Effect::Record(Record::CutOff { interface, is_cut_off }));
    }

    /// What we tell the peer of our interfaces.
    pub(super) fn interface_states(&self) -> Vec<Interface, MAX_INTERFACES> {
        self.neighbours.iter().map(Neighbours::state).collect()
    }

    /// The LAN path on an interface.
    fn lan_on(&self, index: usize) -> Option<&Path> {
        let is_there = |interface: Option<u8>| interface.map(usize::from) == Some(index);
        let mut paths = self.policy.paths.iter().zip(&self.paths);
        paths
            .find(|(policy, _)| policy.kind == PathKind::Lan && is_there(policy.interface))
            .map(|(_, path)| path)
    }

    /// How fast questions follow each other on an interface now.
    ///
    /// A series begins half an interval after the first beat that is missing, and has to end a fifth of
    /// dead_after before the deadline. If our lines dropped, that deadline is late_after.
    pub(super) fn pace_of(&self, now: Instant, index: usize) -> Pace {
        let patience = self.neighbours_patience();
        let every = patience.fraction(1, u64::from(ROUNDS)).max(FASTEST_ROUND).min(SLOWEST_ROUND);
        let is_pressing = self.is_pressing(now, self.beats_missing(index), index);
        let quiet = if is_pressing { every } else { self.quiet_for(now, index) };
        Pace { every, patience, quiet }
    }

    /// How long an interface may be quiet while nothing has to be decided.
    fn quiet_for(&self, now: Instant, index: usize) -> Span {
        if self.is_on_time(now) && self.peer_interface(index) != Some(Interface::CutOff) {
            QUIET
        } else {
            QUIET_ALONE.max(self.slowest_dead_after().fraction(2, 1))
        }
    }

    /// How long nobody may answer.
    fn neighbours_patience(&self) -> Span {
        let half_beat = self.pace().fraction(1, 2);
        let usual = self.holds_by().fraction(4, 5).saturating_sub(self.pace() + half_beat);
        let hasty = self
            .policy
            .shortest_late_after()
            .fraction(4, 5)
            .saturating_sub(self.pace() + half_beat.fraction(1, 2));
        let patience = if self.is_in_haste() { hasty.min(usual) } else { usual };
        patience.clamp(FASTEST_ROUND.fraction(u64::from(ROUNDS), 1), HANDS_OVER_AFTER)
    }

    /// Something may have to be decided soon: beats are missing here or there, or the peer is cut off.
    fn is_pressing(&self, now: Instant, [missing_from, missing_until]: [Instant; 2], index: usize) -> bool {
        let is_missing = now >= missing_from && now < missing_until;
        let acknowledged = self.peer.acknowledged();
        let is_unheard = acknowledged.is_some_and(|at| now >= at + self.times.shortest_late_after);
        let is_unacknowledged = is_unheard && now < self.alone_at() && self.is_showing_holding;
        let peer_cut_off_at = self.neighbours.get(index).and_then(Neighbours::peer_cut_off_at);
        let is_cold = self.policy.group_ids().any(|id| {
            let from = self.cold_start_asks_at(id);
            now >= from && now < from + self.slowest_dead_after().fraction(2, 1)
        });
        let is_peer_new = peer_cut_off_at.is_some_and(|at| now < at + HANDS_OVER_AFTER.fraction(2, 1));
        is_missing
            || is_unacknowledged
            || is_cold
            || is_peer_new
            || (self.is_in_haste() && !self.is_settled(now))
    }

    /// From when on a node that has never heard its peer wants to know whether it is cut off itself: so long
    /// before its cold start is over that five rounds fit in.
    fn cold_start_asks_at(&self, id: GroupId) -> Instant {
        if self.was_ever_heard {
            return Instant::NEVER;
        }
        self.cold_start_ends(id) - self.neighbours_patience() - self.two_beats()
    }

    /// The peer has been silent for so long that its fate is decided.
    fn is_settled(&self, now: Instant) -> bool {
        self.newest_frame_at().is_none_or(|at| now >= at + self.slowest_dead_after().fraction(3, 1))
    }

    /// From when on beats are missing that would have come on an interface, or on any path; and until when
    /// that is news.
    fn beats_missing(&self, index: usize) -> [Instant; 2] {
        let lan = self.lan_on(index).and_then(|path| path.detector.heard_at());
        let newest = self.newest_frame_at();
        let wait = self.pace() + self.pace().fraction(1, 2);
        let lasts = self.slowest_dead_after().fraction(2, 1);
        let since = |at: Option<Instant>| at.map(|at| at + wait);
        // An interface without a path is asked once no path hears the peer.
        match (since(lan), since(newest)) {
            (Some(lan), Some(newest)) => [lan, newest + lasts],
            (None, Some(newest)) => [newest, newest + lasts],
            (_, None) => [Instant::NEVER; 2],
        }
    }

    /// When questions are due, or judged. Beats come once an interval: only one that has not come by then is
    /// waited for.
    pub(super) fn neighbours_due_at(&self, now: Instant) -> Instant {
        let due = |(index, neighbours): (usize, &Neighbours)| {
            let pace = self.pace_of(now, index);
            let [missing_from, _] = self.beats_missing(index);
            let is_late = now + self.pace().fraction(1, 2) >= missing_from;
            let missing_at = if is_late { missing_from } else { Instant::NEVER };
            let asked_at = neighbours.due_at(pace).min(neighbours.judged_at(pace));
            let hands_over_at = neighbours.hands_over_at().unwrap_or(Instant::NEVER);
            [asked_at, missing_at, hands_over_at].into_iter().filter(|at| *at > now).min()
        };
        self.counted().filter_map(due).min().unwrap_or(Instant::NEVER)
    }

    /// A tick would ask, or judge, or would name a beat that is missing as the next deadline.
    pub(super) fn is_question_due(&self, now: Instant) -> bool {
        let is_due = |(index, neighbours): (usize, &Neighbours)| {
            let missing = self.beats_missing(index);
            let [missing_from, missing_until] = missing;
            if now + self.pace().fraction(1, 2) >= missing_from && now < missing_until {
                return true;
            }
            // The usual case at every beat: how fast questions would follow does not matter.
            if let Some(quiet_since) =
                neighbours.quiet_since().filter(|_| !self.is_pressing(now, missing, index))
            {
                return now >= quiet_since + self.quiet_for(now, index);
            }
            let pace = self.pace_of(now, index);
            now >= neighbours.due_at(pace) || now >= neighbours.judged_at(pace)
        };
        self.guard == GuardState::Fine && self.counted().any(is_due)
    }

    /// The interfaces whose neighbours are witnesses.
    fn counted(&self) -> impl Iterator<Item = (usize, &Neighbours)> {
        self.neighbours.iter().enumerate().filter(|(index, _)| self.policy.counts_on(*index))
    }

    /// The interfaces of a group whose neighbours are witnesses.
    fn neighbours_of<'a>(&'a self, policy: &'a GroupPolicy) -> impl Iterator<Item = (usize, &'a Neighbours)> {
        self.neighbours.iter().enumerate().filter(|(index, _)| policy.counts_on(*index))
    }

    /// What the neighbours of a group say. A backup wants one who was heard after its own questions, which
    /// begin when a beat of the peer's is missing. A holder wants one who was heard late enough before its
    /// deadline: every cut that silenced the peer came before that.
    pub(super) fn neighbour_view(&self, id: GroupId, group: &Group) -> NeighbourView {
        let Some(policy) = self.policy.groups.get(id.index()) else { return NeighbourView::Unknown };
        let since = if group.role.is_holding() {
            self.forced_release_at().min(self.usual_release_at()) - self.neighbours_patience()
        } else {
            let wait = self.pace() + self.pace().fraction(1, 2);
            self.newest_frame_at().map_or_else(|| self.cold_start_asks_at(id), |at| at + wait)
        };
        together(self.neighbours_of(policy).map(|(_, neighbours)| neighbours.view(since)))
    }

    /// What the neighbours of a group say of this node or of the peer, by what each says now.
    pub(super) fn neighbours_now(&self, id: GroupId, is_mine: bool) -> NeighbourView {
        let Some(policy) = self.policy.groups.get(id.index()) else { return NeighbourView::Unknown };
        let view = |(index, neighbours): (usize, &Neighbours)| {
            let theirs = self.peer_interface(index).unwrap_or_default();
            match if is_mine { neighbours.state() } else { theirs } {
                // Whoever falls silent next leaves the other one alone there.
                Interface::Unknown | Interface::Proven if neighbours.is_lonely() => NeighbourView::CutOff,
                Interface::Unknown | Interface::Dark => NeighbourView::Unknown,
                Interface::Proven => NeighbourView::Proven,
                Interface::CutOff => NeighbourView::CutOff,
            }
        };
        together(self.neighbours_of(policy).map(view))
    }

    /// When a group may be taken from a silent peer after our interface was cut off: if the cut has moved to
    /// the peer's, the peer has to find that out first.
    pub(super) fn neighbours_back_at(&self, id: GroupId) -> Instant {
        let Some(policy) = self.policy.groups.get(id.index()) else { return Instant::ORIGIN };
        let wait = self.neighbours_patience().fraction(2, 1) + self.two_beats();
        let is_sound = |(_, neighbours): &(usize, &Neighbours)| neighbours.state() == Interface::Proven;
        let back = self.neighbours_of(policy).filter(is_sound).map(|(_, neighbours)| neighbours.back_at());
        back.min().flatten().map_or(Instant::ORIGIN, |at| at + wait)
    }

    /// What the peer says of an interface.
    fn peer_interface(&self, index: usize) -> Option<Interface> {
        let said = self.peer.beat().filter(|_| !self.is_digest_different);
        said.and_then(|beat| beat.interfaces.get(index)).copied()
    }

    /// We are the one that is cut off on an interface of the group: the peer says that its own is not.
    pub(super) fn is_cut_off(&self, now: Instant, id: GroupId) -> bool {
        let Some(policy) = self.policy.groups.get(id.index()).filter(|_| self.is_on_time(now)) else {
            return false;
        };
        let is_ours = |(index, neighbours): (usize, &Neighbours)| {
            let theirs = self.peer_interface(index);
            neighbours.cut_off_at().is_some() && theirs.is_some_and(|theirs| theirs != Interface::CutOff)
        };
        self.neighbours_of(policy).any(is_ours)
    }

    /// When a group is handed over since we are cut off: ten of our questions have stayed unanswered for a
    /// second, and the peer's neighbours have answered a question that it put after we had told it.
    pub(super) fn hands_over_at(&self, now: Instant, id: GroupId) -> Instant {
        let Some(policy) = self.policy.groups.get(id.index()).filter(|_| self.is_on_time(now)) else {
            return Instant::NEVER;
        };
        let at = |(index, neighbours): (usize, &Neighbours)| {
            let is_told = self.peer.acked_at() >= neighbours.cut_off_at();
            let is_proven = self.peer_interface(index) == Some(Interface::Proven);
            neighbours.hands_over_at().filter(|_| is_told && is_proven)
        };
        self.neighbours_of(policy).filter_map(at).min().unwrap_or(Instant::NEVER)
    }

    /// The interfaces whose neighbours are witnesses, as `status` tells them.
    pub(super) fn neighbour_statuses(&self, now: Instant) -> impl Iterator<Item = NeighbourStatus> {
        self.counted().map(move |(interface, neighbours)| NeighbourStatus {
            interface: u8::try_from(interface).unwrap_or(u8::MAX),
            state: neighbours.state(),
            heard: neighbours.heard_at().map(|at| now.since(at)),
            peer: self.peer_interface(interface),
        })
    }

    /// The operator has said that the peer is off: that nobody is left on the LAN says nothing of us.
    pub(super) fn forget_neighbours(&mut self) {
        for neighbours in self.neighbours.iter_mut().filter(|one| one.cut_off_at().is_some()) {
            neighbours.forget();
        }
    }
}
