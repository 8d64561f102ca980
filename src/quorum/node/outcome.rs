//! From outcomes to roles.

use super::{Node, emit};
use crate::pair::{GroupId, Role};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::facts::Fence;
use crate::quorum::group::{FENCE_AGAIN_AFTER, Group, RETRY_AFTER};
use crate::quorum::probe;
use crate::quorum::record::Record;
use crate::quorum::roles::{RoleEvent, next};
use crate::quorum::timers::Timer;
use crate::resource::{Condition, Fault, Outcome, Token};
use crate::time::Instant;

impl Node {
    /// What became of an order.
    pub(super) fn done(&mut self, now: Instant, token: Token, outcome: Outcome, effects: &mut Effects) {
        let freshness = probe::freshness(self.times.interval, self.probe_wait());
        self.guard_heard(now, effects);
        self.is_stirred |= outcome != Outcome::Renewed;
        for id in self.policy.group_ids() {
            let believed = self.believed(id, outcome);
            let Some(group) = self.groups.get_mut(id.index()) else { continue };
            if group.pending == Some(token) {
                return self.pending_done(now, id, outcome, effects);
            }
            if group.renewal.is_some_and(|renewal| renewal.token == token) {
                return self.renewal_done(id, outcome, effects);
            }
            if group.fence_token == Some(token) {
                return self.fence_done(now, id, outcome, effects);
            }
            if group.probe.is_waiting_for(token) {
                match believed {
                    Outcome::Probed { at } => group.probe.sent(at, freshness),
                    Outcome::Failed(fault) if group.probe.fail(fault) => {
                        emit(effects, Effect::Record(Record::Fault { group: id, fault }));
                    }
                    Outcome::Failed(_)
                    | Outcome::Serving
                    | Outcome::Renewed
                    | Outcome::AddressesGone
                    | Outcome::Released
                    | Outcome::Fenced
                    | Outcome::Prepared => {}
                }
                return;
            }
        }
    }

    fn renewal_done(&mut self, id: GroupId, outcome: Outcome, effects: &mut Effects) {
        let lease = self.policy.lease;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let Some(renewal) = group.renewal.take() else { return };
        // A renewal that came while its group was let go is no fault.
        let fault = outcome.fault();
        let is_news = core::mem::replace(&mut group.fault, fault) != fault && group.role != Role::Releasing;
        if let Some(fault) = fault.filter(|_| is_news) {
            emit(effects, Effect::Record(Record::Fault { group: id, fault }));
        }
        if fault.is_some_and(|fault| !fault.is_refusal()) {
            return;
        }
        if group.role.is_holding() {
            group.lease_until = renewal.sent_at + lease;
        }
    }

    fn pending_done(&mut self, now: Instant, id: GroupId, outcome: Outcome, effects: &mut Effects) {
        if let Some(fault) = outcome.fault() {
            emit(effects, Effect::Record(Record::Fault { group: id, fault }));
        }
        let lease = self.policy.lease;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if group.role == Role::Acquiring {
            group.fault = outcome.fault();
        }
        let is_done = outcome == Outcome::Prepared && group.is_preparing();
        // A guard that hung has not carried out the second order, and the scripts of the first still run.
        let is_put_off = outcome == Outcome::Failed(Fault::TooLate) && group.is_prepared;
        if group.role == Role::Acquiring && (is_done || is_put_off) {
            group.stay_prepared(now, lease);
            self.is_urgent = true;
            return;
        }
        if let Some(event) = role_event(group, outcome) {
            self.change_role(now, id, event, effects);
        }
    }

    /// Changes a role by the table of [`roles`](crate::quorum::roles), and does what goes with each event. A
    /// successor alone finds its roles elsewhere: in what the guard has in hand.
    pub(super) fn change_role(&mut self, now: Instant, id: GroupId, event: RoleEvent, effects: &mut Effects) {
        let offer_lasts = self.second_waits();
        let release_again_at = now + self.times.interval;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let Some(to) = next(group.role, event) else { return };
        match event {
            RoleEvent::Take | RoleEvent::LetGo | RoleEvent::AddressesGone => {}
            RoleEvent::Released => {
                let offer = group.is_offering.then(|| now + offer_lasts);
                group.timers.set_to(Timer::Offer, offer);
                group.timers.set_to(Timer::Yield, group.tied.map(|_| now + offer_lasts));
                group.timers.set_to(Timer::Retry, group.is_refused().then(|| now + RETRY_AFTER));
            }
            RoleEvent::CannotServe | RoleEvent::ReleasedUnfit => {
                group.timers.set(Timer::Retry, now + RETRY_AFTER)
            }
            // The addresses are gone: there is nothing to renew.
            RoleEvent::CannotStop => {
                group.drop_lease();
                group.is_failing = true;
                group.timers.set(Timer::ReleaseAgain, now + RETRY_AFTER);
            }
            RoleEvent::NotReleased => {
                group.is_failing |= group.role == Role::Acquiring;
                group.timers.set(Timer::ReleaseAgain, release_again_at);
            }
            RoleEvent::Retry => group.timers.stop(Timer::Retry),
            RoleEvent::Serving | RoleEvent::TooLate => {}
        }
        if !matches!(event, RoleEvent::Take | RoleEvent::LetGo | RoleEvent::AddressesGone) {
            group.pending = None;
            group.timers.stop(Timer::Repeat);
        }
        self.is_urgent = true;
        self.become_role(now, id, to, effects);
    }

    fn become_role(&mut self, now: Instant, id: GroupId, to: Role, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()).filter(|group| group.role != to) else { return };
        let from = core::mem::replace(&mut group.role, to);
        group.active_since = (to == Role::Active).then_some(now);
        group.condition = Condition::Well;
        if from == Role::Acquiring {
            group.timers.stop(Timer::Prepare);
            group.timers.stop(Timer::PeerOff);
            group.is_prepared = false;
        }
        if !to.is_holding() {
            group.drop_lease();
            group.vacant_since = None;
            self.vote.iter_mut().for_each(|vote| vote.give_back(id));
        }
        (group.said, group.said_mac) = (None, None);
        if let Some(tied) = group.tied.take_if(|_| !to.is_holding()) {
            emit(effects, Effect::Record(Record::Incident(tied.incident(now, id, false))));
        }
        emit(effects, Effect::Record(Record::Role { group: id, from, to }));
        let is_holding = self.groups.iter().any(|group| group.role.is_holding());
        if core::mem::replace(&mut self.is_showing_holding, is_holding) != is_holding {
            emit(effects, Effect::ShowHolding(is_holding));
        }
    }

    fn fence_done(&mut self, now: Instant, id: GroupId, outcome: Outcome, effects: &mut Effects) {
        let is_confirmed = outcome == Outcome::Fenced;
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.fence = if is_confirmed { Fence::Confirmed } else { Fence::Failed };
            group.fence_token = None;
            group.timers.set_to(Timer::FenceAgain, (!is_confirmed).then(|| now + FENCE_AGAIN_AFTER));
        }
        emit(effects, Effect::Record(Record::Fence { group: id, confirmed: Some(is_confirmed) }));
    }

    pub(super) fn set_pending(&mut self, id: GroupId, token: Option<Token>) {
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.pending = token;
        }
    }
}

/// What an outcome means for a group's role; none if nobody waits for it.
fn role_event(group: &Group, outcome: Outcome) -> Option<RoleEvent> {
    match (group.role, outcome) {
        (_, Outcome::Serving) => Some(RoleEvent::Serving),
        (_, Outcome::AddressesGone) => Some(RoleEvent::AddressesGone),
        (_, Outcome::Released) if group.is_failing => Some(RoleEvent::ReleasedUnfit),
        (_, Outcome::Released) => Some(RoleEvent::Released),
        (Role::Acquiring, Outcome::Failed(Fault::TooLate)) => Some(RoleEvent::TooLate),
        (Role::Acquiring | Role::Releasing, Outcome::Failed(Fault::ScriptStop(_))) => {
            Some(RoleEvent::CannotStop)
        }
        // It has refused the order, and says nothing of what it has in hand: scripts may run that came first.
        (Role::Acquiring, Outcome::Failed(Fault::OutOfOrder)) => Some(RoleEvent::NotReleased),
        (Role::Acquiring, Outcome::Failed(_)) => Some(RoleEvent::CannotServe),
        (Role::Releasing, Outcome::Failed(_)) => Some(RoleEvent::NotReleased),
        (Role::Backup | Role::Active | Role::Faulty, Outcome::Failed(_))
        | (_, Outcome::Renewed | Outcome::Probed { .. } | Outcome::Fenced | Outcome::Prepared) => None,
    }
}
