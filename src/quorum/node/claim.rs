//! What a backup asks and says before it takes a group: who answers on the wire, whether it could take it,
//! and whether it would.

use super::Node;
use crate::pair::{GroupId, Role};
use crate::quorum::event::Effects;
use crate::quorum::facts::{Claim, Situation};
use crate::quorum::group::{STILL_HELD_WITHIN, WISH_LASTS};
use crate::quorum::moves::{asks_back, claims};
use crate::quorum::probe::Finding;
use crate::quorum::takeover::asks_the_wire;
use crate::quorum::timers::Timer;
use crate::resource::Order;
use crate::time::Instant;

impl Node {
    /// Has the guard remove what our kernel still answers for, although the peer serves the group and we do
    /// not hold it.
    pub(super) fn let_go_of_leftovers(&mut self, now: Instant, id: GroupId) {
        let does_hear = self.is_on_time(now) && self.peer.beat().is_some_and(|beat| beat.standing.still_held);
        let does_serve = self.peer.group(id, &self.policy).is_some_and(|report| report.role == Role::Active);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let is_idle = group.role == Role::Backup && !group.timers.is_set(Timer::ReleaseAgain);
        if does_hear && does_serve && is_idle {
            group.timers.set(Timer::ReleaseAgain, now + STILL_HELD_WITHIN);
            self.is_urgent = true;
        }
    }

    /// Notes whether we could take a group. Neither node may take what a stranger has, and a guard may hang
    /// at any time. So each node says when it could not take a group, and when it can again.
    pub(super) fn note_hindrance(&mut self, now: Instant, id: GroupId) {
        let Some(group) = self.groups.get(id.index()) else { return };
        let is_asking = group.role == Role::Backup && group.probe.is_running();
        // If the peer serves it, the peer's own kernel answers.
        let is_served = matches!(self.claim(now, id), Claim::Serves | Claim::Releases);
        let is_answered = || !is_served && self.finding(now, id, group) == Finding::VipAnswers;
        let is_hindered = is_asking && (group.probe.is_guard_late() || is_answered());
        let is_cut_off = self.is_cut_off(now, id);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let before = core::mem::replace(&mut group.is_hindered, is_hindered);
        let was_cut_off = core::mem::replace(&mut group.is_cut_off, is_cut_off);
        self.is_urgent |= before != is_hindered || was_cut_off != is_cut_off;
    }

    /// Notes whether we would take what nobody holds. A node says so first, and takes it once the peer has
    /// heard that.
    pub(super) fn note_claim(&mut self, now: Instant, id: GroupId, situation: &Situation) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let is_claiming = claims(group.role, situation) && !group.is_hindered;
        self.is_urgent |= group.claims_since.is_some() != is_claiming;
        group.claims_since = is_claiming.then(|| group.claims_since.unwrap_or(now));
    }

    /// Asks for the group back, on the preferred node. A request that has lapsed is made anew with the next
    /// tick. A node that has just stopped being faulty says that first: `role` is what it was before this
    /// tick.
    pub(super) fn ask_for_failback(&mut self, now: Instant, id: GroupId, role: Role, situation: &Situation) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if asks_back(role, situation) && !group.timers.is_set(Timer::Wanted) {
            group.timers.set(Timer::Wanted, now + WISH_LASTS);
            self.is_urgent = true;
        } else if group.timers.is_due(Timer::Wanted, now) {
            group.timers.stop(Timer::Wanted);
        }
    }

    /// Asks the wire who holds the group.
    pub(super) fn probe_if_needed(
        &mut self,
        now: Instant,
        id: GroupId,
        situation: &Situation,
        effects: &mut Effects,
    ) {
        let (interval, wait, heard_at) = (self.times.interval, self.probe_wait(), self.newest_frame_at());
        let (since, count) = (self.nothing_is_put_back_since(), self.watched_vips(id));
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if !asks_the_wire(group.role, situation, group.is_preparing()) {
            if group.role != Role::Backup {
                group.probe.reset();
            } else if self.verdict.is_somebody() {
                group.probe.stop(heard_at);
            }
            return;
        }
        group.probe.watch(since, count);
        if group.probe.is_due(now, interval, wait) {
            let token = self.order(now + interval, Order::Probe { group: id }, effects);
            if let Some(group) = self.groups.get_mut(id.index()) {
                group.probe.ask(now, token);
            }
        }
    }
}
