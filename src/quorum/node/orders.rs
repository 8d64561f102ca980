//! What the guard is ordered to do: to acquire, to release, to fence, and the same once more.

use super::{Node, emit};
use crate::pair::{GroupId, Role};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::facts::{Fence, Release, Situation};
use crate::quorum::group::{Group, PREPARED_FOR, REPEAT_AFTER};
use crate::quorum::record::Record;
use crate::quorum::roles::RoleEvent;
use crate::quorum::timers::Timer;
use crate::reasons::{ReleaseReason, TakeReason};
use crate::resource::{Fault, Order, ReleaseOrder, Ticket};
use crate::time::{Instant, Span};

/// A fence that was not begun within this time is ordered anew.
const FENCE_STARTS_WITHIN: Span = Span::from_s(5);

impl Node {
    fn order_release(&mut self, now: Instant, id: GroupId, first: ReleaseOrder, effects: &mut Effects) {
        let token = self.order(Instant::NEVER, Order::Release { group: id, first }, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            (group.pending, group.letting_go) = (Some(token), first);
            group.timers.stop(Timer::ReleaseAgain);
            group.timers.set(Timer::Repeat, now + REPEAT_AFTER);
        }
    }

    /// A release that failed is ordered again until the kernel confirms it: nothing is ever left half
    /// released.
    pub(super) fn release_again(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let is_due = |group: &Group| group.timers.is_due(Timer::ReleaseAgain, now);
        if self.groups.get(id.index()).is_some_and(is_due) {
            self.order_release(now, id, ReleaseOrder::AddressesFirst, effects);
        }
        self.repeat(now, id, effects);
    }

    /// Repeats an order that was not answered. No order on which something waits may be lost: a guard that
    /// hung may not have got it. Under the same token it is the same order, and no second one.
    fn repeat(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if !group.timers.is_due(Timer::Repeat, now) {
            return;
        }
        group.timers.set(Timer::Repeat, now + REPEAT_AFTER);
        let (first, until) = (group.letting_go, now + FENCE_STARTS_WITHIN);
        let order = match (group.role, group.pending, group.fence_token) {
            (Role::Releasing, Some(token), _) => {
                Some((token, Instant::NEVER, Order::Release { group: id, first }))
            }
            (Role::Backup, _, Some(token)) => Some((token, until, Order::Fence { group: id })),
            (Role::Backup | Role::Acquiring | Role::Active | Role::Releasing | Role::Faulty, _, _) => None,
        };
        match order {
            Some((token, valid_until, order)) => {
                emit(effects, Effect::Order(Ticket { token, valid_until, order }))
            }
            None => group.timers.stop(Timer::Repeat),
        }
    }

    pub(super) fn take(
        &mut self,
        now: Instant,
        id: GroupId,
        (reason, s): (TakeReason, &Situation),
        effects: &mut Effects,
    ) {
        let before = self.policy.groups.get(id.index()).map_or(Span::ZERO, |group| group.before);
        let lease = self.policy.lease;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let is_last = group.note_term(group.term.saturating_add(1));
        let term = group.term;
        group.held_term = term;
        for ended in [Timer::Offer, Timer::Wanted, Timer::ReleaseAgain, Timer::Retry] {
            group.timers.stop(ended);
        }
        group.is_given_away = false;
        group.claims_since = None;
        group.fault = None;
        let is_on_word = matches!(reason, TakeReason::Offered | TakeReason::Departed);
        group.taken_from = is_on_word.then_some((group.said_mac, now));
        // The operator's word counts until the addresses come, unless the peer is heard.
        let is_off = group.timers.is_set(Timer::PeerOff);
        if reason == TakeReason::PeerIsOff {
            self.overrule_vote();
        }
        if is_last {
            emit(effects, Effect::Record(Record::TermsUsedUp(id)));
        }
        let evidence = self.evidence(s);
        emit(effects, Effect::Record(Record::Taking { group: id, term, reason, evidence }));
        self.order_acquire(now, id, term, effects);
        if let Some(group) = self.groups.get_mut(id.index()).filter(|_| before > Span::ZERO) {
            let until = now + before + lease;
            group.lease_until = Instant::NEVER;
            group.timers.stop(Timer::Renewal);
            group.timers.set(Timer::Prepare, until);
            group.timers.set_to(Timer::PeerOff, is_off.then_some(until + PREPARED_FOR));
        }
        if is_on_word {
            // The peer's word costs no time. Meanwhile it is asked whether its kernel knows of it, and whose
            // kernel that is.
            self.ask_who_the_peer_is(effects);
            self.order(now + self.times.interval, Order::Probe { group: id }, effects);
        }
        self.change_role(now, id, RoleEvent::Take, effects);
    }

    /// From now on the lease counts.
    pub(super) fn order_acquire(&mut self, now: Instant, id: GroupId, term: u32, effects: &mut Effects) {
        let lease = self.policy.lease;
        let every = self.times.renewal_every;
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.lease_until = now + lease;
            group.timers.set(Timer::Renewal, now + every);
            (group.renewal, group.said) = (None, None);
            group.timers.stop(Timer::Prepare);
            group.timers.stop(Timer::PeerOff);
            group.probe.reset();
        }
        let valid_until = self.within_grant(now, id, now + self.times.shortest_late_after);
        let token = self.order(valid_until, Order::Acquire { group: id, term }, effects);
        self.set_pending(id, Some(token));
    }

    pub(super) fn fence(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        emit(effects, Effect::Record(Record::Fence { group: id, confirmed: None }));
        let token = self.order(now + FENCE_STARTS_WITHIN, Order::Fence { group: id }, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            (group.fence, group.fence_token) = (Fence::Pending, Some(token));
            // What it waited for before is over.
            group.said = None;
            group.timers.set(Timer::Repeat, now + REPEAT_AFTER);
        }
    }

    pub(super) fn release(
        &mut self,
        now: Instant,
        id: GroupId,
        (release, s): (Release, &Situation),
        effects: &mut Effects,
    ) {
        let Release { first, reason, offer } = release;
        let evidence = self.evidence(s);
        emit(effects, Effect::Record(Record::Releasing { group: id, reason, evidence }));
        if reason == ReleaseReason::LostTie {
            self.note_tie(now, id);
        }
        self.order_release(now, id, first, effects);
        let dead_after = self.slowest_dead_after();
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.is_offering = offer;
            // A node that could not keep its lease or its scripts is not fit to take the group again at once.
            group.is_failing = matches!(reason, ReleaseReason::LeaseLapsed | ReleaseReason::ScriptFailed);
            if reason.is_unplanned() {
                let is_peers_doing = matches!(reason, ReleaseReason::LostTie | ReleaseReason::UnheardByPeer);
                group.note_loss(now, is_peers_doing, dead_after);
            }
            let is_hasty = group.active_since.is_none_or(|since| now.since(since) < dead_after);
            if is_hasty && reason == ReleaseReason::PeerWants {
                group.note_hasty_wish(now);
            }
            group.timers.stop(Timer::Handover);
            group.fault = group.fault.filter(|fault| *fault != Fault::AddressGone);
            // A peer that is not the preferred one asks only when its operator does.
            group.is_given_away = matches!(reason, ReleaseReason::Handover | ReleaseReason::PeerWants);
            // A planned release may take as long as the scripts take; until then the addresses stay, and are
            // renewed.
            match first {
                ReleaseOrder::ScriptsFirst => {}
                ReleaseOrder::AddressesFirst => {
                    group.drop_lease();
                }
            }
        }
        self.change_role(now, id, RoleEvent::LetGo, effects);
    }

    /// Lets the addresses go of a group that is on its way out, without waiting for its scripts any longer.
    pub(super) fn hurry_release(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        self.order_release(now, id, ReleaseOrder::AddressesFirst, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.drop_lease();
        }
    }
}
