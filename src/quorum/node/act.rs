//! From decisions to orders, and from outcomes to roles.

use super::{GuardState, Leaving, Node, emit};
use crate::config::GroupId;
use crate::frame::message::{MAX_TERM, Role};
use crate::quorum::decide::{Claim, Decision, Situation, Tie, decide};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::group::{Group, RETRY_AFTER, Renewal};
use crate::quorum::record::{Block, Record, ReleaseReason, TakeReason};
use crate::quorum::timing;
use crate::resource::{Fault, Order, Outcome, ReleaseOrder, Token};
use crate::time::{Instant, Span};

impl Node {
    /// Lets go of what may not be held any longer. Runs before any event is looked at.
    pub(super) fn release_what_is_due(&mut self, now: Instant, effects: &mut Effects) {
        for id in self.policy.group_ids() {
            let Some(group) = self.groups.get(id.index()) else { continue };
            match decide(group.role, &self.situation(now, id, group)) {
                Decision::Release { first: first @ ReleaseOrder::AddressesFirst, reason, offer } => {
                    self.release(id, first, reason, offer, effects);
                }
                Decision::Release { first: ReleaseOrder::ScriptsFirst, .. }
                | Decision::Wait(_)
                | Decision::Take(_)
                | Decision::Keep => {}
            }
        }
    }

    /// Decides and acts on every group.
    pub(super) fn act(&mut self, now: Instant, effects: &mut Effects) {
        for id in self.policy.group_ids() {
            self.keep_time(now, id, effects);
            let Some(group) = self.groups.get(id.index()) else { continue };
            let situation = self.situation(now, id, group);
            self.probe_if_needed(now, id, &situation, effects);
            match decide(group_role(&self.groups, id), &situation) {
                Decision::Wait(block) => self.note_block(id, block, effects),
                Decision::Take(reason) => self.take(now, id, reason, effects),
                Decision::Keep => self.keep(now, id, &situation, effects),
                Decision::Release { first, reason, offer } => self.release(id, first, reason, offer, effects),
            }
        }
    }

    /// What only the clock does to a group.
    fn keep_time(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let is_heard = self.is_heard(now);
        let theirs = self.peer.group(id, &self.policy).filter(|_| is_heard).map(|report| report.role);
        let is_peer_able = self.is_peer_able(id);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        group.forget_lapsed(now);
        if theirs.is_some_and(Role::is_holding) {
            // The peer has taken what we offered, or has what we asked for no longer to itself.
            group.offered_until = None;
        }
        // The wait of the node that goes second begins when both could serve: before that nobody was waited for.
        let could_both = group.has_carrier && is_peer_able;
        let is_vacant = group.role == Role::Backup && could_both && theirs.is_some_and(|role| !role.is_holding());
        group.vacant_since = is_vacant.then(|| group.vacant_since.unwrap_or(now));
        if group.role == Role::Faulty && group.retry_at.is_some_and(|at| now >= at) {
            group.retry_at = None;
            self.become_role(id, Role::Backup, effects);
        }
        self.release_again(now, id, effects);
    }

    /// A release that failed is ordered again until the kernel confirms it: nothing is ever left half released.
    fn release_again(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let is_due = |group: &Group| group.release_again_at.is_some_and(|at| now >= at);
        if self.groups.get(id.index()).is_some_and(is_due) {
            let first = ReleaseOrder::AddressesFirst;
            let token = self.order(Instant::NEVER, Order::Release { group: id, first }, effects);
            if let Some(group) = self.groups.get_mut(id.index()) {
                group.release_again_at = None;
                group.pending = Some(token);
            }
        }
    }

    fn take(&mut self, now: Instant, id: GroupId, reason: TakeReason, effects: &mut Effects) {
        let (late_after, lease) = (self.shortest_late_after(), self.policy.lease);
        let interval = timing::renewal_every(self.policy.interval(), lease);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let term = group.term.saturating_add(1).min(MAX_TERM);
        (group.term, group.held_term) = (term, term);
        group.lease_until = now + lease;
        group.renew_at = now + interval;
        group.renewal = None;
        group.offered_until = None;
        group.wanted_until = None;
        group.peer_is_off_until = None;
        group.said = None;
        group.probe.reset();
        emit(effects, Effect::Record(Record::Taking { group: id, term, reason }));
        let token = self.order(now + late_after, Order::Acquire { group: id, term }, effects);
        self.set_pending(id, Some(token));
        self.become_role(id, Role::Acquiring, effects);
    }

    fn release(&mut self, id: GroupId, first: ReleaseOrder, reason: ReleaseReason, offer: bool, effects: &mut Effects) {
        emit(effects, Effect::Record(Record::Releasing { group: id, reason }));
        let token = self.order(Instant::NEVER, Order::Release { group: id, first }, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.pending = Some(token);
            group.is_offering = offer;
            // Who could not keep its lease is not fit to take the group again at once.
            group.is_failing = reason == ReleaseReason::LeaseLapsed;
            group.handover_until = None;
            // A planned release may take as long as the scripts take; until then the addresses stay, and are renewed.
            match first {
                ReleaseOrder::ScriptsFirst => {}
                ReleaseOrder::AddressesFirst => {
                    (group.renewal, group.renew_at, group.lease_until) = (None, Instant::NEVER, Instant::NEVER);
                }
            }
            group.release_again_at = None;
        }
        if reason == ReleaseReason::LeaseLapsed && self.guard == GuardState::Fine {
            self.guard = GuardState::Silent;
            emit(effects, Effect::Record(Record::GuardSilent(true)));
        }
        self.become_role(id, Role::Releasing, effects);
    }

    /// A holder renews its lease in time, and announces itself again once a rival has let go.
    fn keep(&mut self, now: Instant, id: GroupId, situation: &Situation, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let is_planned = group.role == Role::Releasing && group.renew_at != Instant::NEVER;
        let must_hurry = is_planned && (now >= group.lease_until || situation.claim == Claim::Serves);
        if group.role == Role::Active && situation.tie == Tie::WeWin {
            group.was_tied = true;
        } else if group.was_tied && situation.claim != Claim::Serves && situation.claim != Claim::Releases {
            group.was_tied = false;
            if group.role == Role::Active {
                self.order(now + Span::from_s(1), Order::Announce { group: id }, effects);
            }
        }
        if must_hurry {
            return self.hurry_release(id, effects);
        }
        self.renew_if_due(now, id, effects);
    }

    /// A planned release keeps its addresses while scripts stop. Not once the lease has lapsed or the peer serves: what
    /// the kernel has dropped by then must not come back.
    fn hurry_release(&mut self, id: GroupId, effects: &mut Effects) {
        let first = ReleaseOrder::AddressesFirst;
        let token = self.order(Instant::NEVER, Order::Release { group: id, first }, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.pending = Some(token);
            (group.renewal, group.renew_at, group.lease_until) = (None, Instant::NEVER, Instant::NEVER);
        }
    }

    fn renew_if_due(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        // After a stall the peer may have taken over: what it says is heard first.
        let is_sure = now >= self.judge_from || self.peer.beat_at().is_some_and(|at| self.is_since_stall(at));
        let interval = self.policy.interval();
        let every = timing::renewal_every(interval, self.policy.lease);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if !group.role.is_holding() || now < group.renew_at || !is_sure {
            return;
        }
        // Keep the rhythm, but never try to catch up.
        group.renew_at = if now < group.renew_at + every { group.renew_at + every } else { now + every };
        let token = self.order(now + interval, Order::Renew { group: id }, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.renewal = Some(Renewal { token, sent_at: now });
        }
    }

    fn is_since_stall(&self, at: Instant) -> bool {
        let interval = self.policy.interval();
        at + interval + interval >= self.judge_from
    }

    /// Asks the wire as soon as a takeover may come, so that the answer costs no time.
    fn probe_if_needed(&mut self, now: Instant, id: GroupId, situation: &Situation, effects: &mut Effects) {
        let interval = self.policy.interval();
        let is_needed = self.is_probe_needed(now, id, situation);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if !is_needed {
            if group.role != Role::Backup || self.verdict == crate::quorum::Verdict::Present {
                group.probe.reset();
            }
            return;
        }
        if group.probe.is_due(now, interval) {
            let token = self.order(now + interval, Order::Probe { group: id }, effects);
            if let Some(group) = self.groups.get_mut(id.index()) {
                group.probe.ask(now, token);
            }
        }
    }

    fn is_probe_needed(&self, now: Instant, id: GroupId, s: &Situation) -> bool {
        let is_backup = group_role(&self.groups, id) == Role::Backup;
        if !is_backup || !s.has_carrier || s.is_stopping || !s.is_able {
            return false;
        }
        let is_vacant = s.claim == Claim::Free && s.is_our_turn && !s.has_offered;
        let lead = self.probe_wait() + self.policy.interval();
        let is_cold_start_over = now + lead >= self.cold_start_ends(id);
        let is_unheard = self.was_ever_heard && !self.is_on_time(now);
        is_vacant || is_unheard || s.is_peer_off || (!self.was_ever_heard && is_cold_start_over)
    }

    fn note_block(&mut self, id: GroupId, block: Block, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if group.said != Some(block) {
            group.said = Some(block);
            emit(effects, Effect::Record(Record::Blocked { group: id, block }));
        }
    }

    /// What became of an order.
    pub(super) fn done(&mut self, now: Instant, token: Token, outcome: Outcome, effects: &mut Effects) {
        for id in self.policy.group_ids() {
            let Some(group) = self.groups.get_mut(id.index()) else { continue };
            if group.pending == Some(token) {
                return self.pending_done(now, id, outcome, effects);
            }
            if group.renewal.is_some_and(|renewal| renewal.token == token) {
                return self.renewal_done(id, outcome, effects);
            }
            if group.probe.is_waiting_for(token) {
                match outcome {
                    Outcome::Probed { at } => group.probe.sent(at),
                    _ => group.probe.fail(),
                }
                return;
            }
        }
    }

    fn renewal_done(&mut self, id: GroupId, outcome: Outcome, effects: &mut Effects) {
        let lease = self.policy.lease;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let Some(renewal) = group.renewal.take() else { return };
        if let Outcome::Failed(fault) = outcome {
            // A renewal that met its group's release on the way is no fault.
            if group.role != Role::Releasing {
                emit(effects, Effect::Record(Record::Fault { group: id, fault }));
            }
            return;
        }
        if group.role.is_holding() {
            group.lease_until = renewal.sent_at + lease;
        }
        self.guard_answered(effects);
    }

    fn pending_done(&mut self, now: Instant, id: GroupId, outcome: Outcome, effects: &mut Effects) {
        match (group_role(&self.groups, id), outcome) {
            (Role::Acquiring, Outcome::Serving) => {
                self.set_pending(id, None);
                self.become_role(id, Role::Active, effects);
                self.guard_answered(effects);
            }
            (Role::Acquiring, Outcome::Failed(fault)) => self.acquire_failed(now, id, fault, effects),
            (Role::Releasing, Outcome::AddressesGone) => self.is_urgent = true,
            (Role::Releasing, Outcome::Released) => self.released(now, id, effects),
            (Role::Releasing, Outcome::Failed(fault)) => self.release_failed(now, id, fault, effects),
            (
                Role::Backup | Role::Acquiring | Role::Active | Role::Releasing | Role::Faulty,
                Outcome::Serving
                | Outcome::Renewed
                | Outcome::AddressesGone
                | Outcome::Released
                | Outcome::Probed { .. }
                | Outcome::Failed(_),
            ) => {} // an answer to a question that was not asked: the guard is ours, but believing it would be worse
        }
    }

    fn acquire_failed(&mut self, now: Instant, id: GroupId, fault: Fault, effects: &mut Effects) {
        emit(effects, Effect::Record(Record::Fault { group: id, fault }));
        self.set_pending(id, None);
        if fault == Fault::TooLate {
            self.become_role(id, Role::Backup, effects);
        } else {
            self.become_faulty(now, id, effects);
        }
    }

    fn release_failed(&mut self, now: Instant, id: GroupId, fault: Fault, effects: &mut Effects) {
        emit(effects, Effect::Record(Record::Fault { group: id, fault }));
        self.set_pending(id, None);
        if let Fault::ScriptStop(_) = fault {
            self.become_faulty(now, id, effects);
        } else if let Some(group) = self.groups.get_mut(id.index()) {
            group.release_again_at = Some(now + self.policy.interval());
        }
    }

    fn released(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let offer_lasts = self.second_waits();
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        group.pending = None;
        group.offered_until = group.is_offering.then(|| now + offer_lasts);
        if group.is_failing {
            self.become_faulty(now, id, effects);
        } else {
            self.become_role(id, Role::Backup, effects);
        }
        self.guard_answered(effects);
    }

    fn become_faulty(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.retry_at = Some(now + RETRY_AFTER);
        }
        self.become_role(id, Role::Faulty, effects);
    }

    /// The only place in which a role changes.
    fn become_role(&mut self, id: GroupId, to: Role, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let from = core::mem::replace(&mut group.role, to);
        if !to.is_holding() {
            (group.renewal, group.renew_at, group.lease_until) = (None, Instant::NEVER, Instant::NEVER);
            group.was_tied = false;
            group.vacant_since = None;
        }
        group.said = None;
        self.is_urgent = true;
        emit(effects, Effect::Record(Record::Role { group: id, from, to }));
    }

    fn set_pending(&mut self, id: GroupId, token: Option<Token>) {
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.pending = token;
        }
    }

    fn guard_answered(&mut self, effects: &mut Effects) {
        if self.guard == GuardState::Silent {
            self.guard = GuardState::Fine;
            emit(effects, Effect::Record(Record::GuardSilent(false)));
        }
    }

    fn shortest_late_after(&self) -> Span {
        self.policy.paths.iter().map(|path| path.timing.late_after).min().unwrap_or_default()
    }

    /// Everything is released: say goodbye a few times, then go.
    pub(super) fn leave(&mut self, effects: &mut Effects) {
        let is_holding = self.groups.iter().any(|group| group.role.is_holding());
        if self.leaving == Leaving::Stopping && !is_holding {
            let has_company = self.session.peer().is_some();
            self.leaving = if has_company { Leaving::Goodbyes(GOODBYES) } else { Leaving::Left };
            self.is_urgent = true;
            emit(effects, Effect::Record(Record::Leaving));
            if !has_company {
                emit(effects, Effect::Exit);
            }
        }
    }
}

/// A goodbye is said this often, an interval apart, before the agent exits: any one of them is enough.
const GOODBYES: u8 = 3;

pub(super) fn group_role(groups: &[Group], id: GroupId) -> Role {
    groups.get(id.index()).map_or(Role::Faulty, |group| group.role)
}
