//! One group in custody: its state, how its scripts are watched, and what goes with its reign.

use super::event::{Action, Effect, Effects, End, Note, Reason};
use super::held_group::{HeldGroup, Next};
use super::monitors::Monitors;
use super::newcomers::Newcomers;
use super::plan::{GroupPlan, ScriptPlans};
use super::script_set::ScriptSet;
use super::{Custody, emit};
use crate::pair::GroupId;
use crate::quorum::succession::{Holding, Stage};
use crate::resource::{Fault, Outcome, ReleaseOrder, Ticket, Token};
use crate::time::Instant;

/// One group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GroupCustody {
    pub(super) held: HeldGroup,
    pub(super) monitors: Monitors,
    /// How its scripts will be watched, once the scripts of before have stopped.
    next_scripts: Option<ScriptPlans>,
    /// The reign for which it was acquired last.
    pub(super) term: u32,
    /// Why its scripts run.
    pub(super) reason: Reason,
    /// The order for which its addresses and routes are being added.
    pub(super) adding: Option<Ticket>,
    /// Its addresses are being removed.
    pub(super) is_removing: bool,
    /// The script that runs was told to end.
    is_interrupted: bool,
    /// What went wrong with the last renewal, so that it is said once.
    pub(super) renewal_fault: Option<Fault>,
    /// When the kernel was last asked for another lease.
    pub(super) asked_at: Instant,
    /// Until when the kernel keeps the addresses at least.
    pub(super) held_until: Instant,
    /// Its agent was lost, and the one in its place has not renewed it yet.
    pub(super) is_on_trial: bool,
    /// Which of its scripts are written down as started.
    marked: ScriptSet,
    /// The newest fence that was ordered for it.
    pub(super) newest_fence: Option<Token>,
    /// The fence that has to be answered.
    pub(super) awaited_fence: Option<Token>,
    /// Addresses that are asked for before they come.
    pub(super) newcomers: Option<Newcomers>,
    /// Only one box may ever run its scripts.
    pub(super) is_exclusive: bool,
    /// Its safety rule asks for a fence.
    pub(super) may_fence: bool,
}

impl GroupCustody {
    pub(super) fn new(plan: &GroupPlan) -> Self {
        let scripts = u8::try_from(plan.scripts.len()).unwrap_or(u8::MAX);
        Self {
            held: HeldGroup::new(scripts, plan.before),
            monitors: Monitors::new(&plan.scripts),
            next_scripts: None,
            term: 0,
            reason: Reason::Acquire,
            adding: None,
            is_removing: false,
            is_interrupted: false,
            renewal_fault: None,
            asked_at: Instant::ORIGIN,
            held_until: Instant::ORIGIN,
            is_on_trial: false,
            marked: ScriptSet::EMPTY,
            newest_fence: None,
            awaited_fence: None,
            newcomers: None,
            is_exclusive: plan.is_exclusive,
            may_fence: plan.may_fence,
        }
    }

    /// Nothing is held, nothing runs, and nothing is on its way.
    pub(super) fn is_free(&self) -> bool {
        self.held.is_free() && self.adding.is_none()
    }

    /// Its addresses may come: it is free, or waits for them.
    fn is_wanted(&self) -> bool {
        self.held.is_free() || self.held.is_preparing()
    }

    /// It is held, and the new agent has still to show that it renews it.
    pub(super) fn is_tried(&self) -> bool {
        self.is_on_trial && self.held.is_held()
    }

    pub(super) fn holding(&self) -> Option<Holding> {
        let stage = self.held.stage().or(self.adding.map(|ticket| Stage::Starting(ticket.token)))?;
        Some(Holding { term: self.term, lease_until: self.held_until, stage })
    }

    /// It serves for another run of the guard, with all its scripts, which are looked at again from now on.
    pub(super) fn take_over(&mut self, now: Instant) {
        self.held.take_over();
        self.marked = self.held.may_run();
        self.monitors.begin(now);
    }

    /// When there is something to do for it.
    pub(super) fn due_at(&self) -> Instant {
        let asks = self.newcomers.map_or(Instant::NEVER, |newcomers| newcomers.due_at());
        self.looks_at().min(asks)
    }

    fn looks_at(&self) -> Instant {
        if self.held.may_be_watched() { self.monitors.due() } else { Instant::NEVER }
    }

    /// The reason for which this is run.
    fn reason_for(&mut self, action: Action) -> Reason {
        if self.reason == Reason::Acquire && action == Action::Stop {
            self.reason = Reason::FailedStart;
        }
        if action == Action::Monitor { Reason::Monitor } else { self.reason }
    }

    /// Takes the next list of scripts, once what had to be stopped has stopped.
    fn take_next_scripts(&mut self, now: Instant) -> bool {
        let Some(scripts) = self.next_scripts.take_if(|_| self.held.is_on_new_list()) else { return false };
        self.monitors.change(&scripts);
        if self.held.may_be_watched() {
            self.monitors.begin(now);
        }
        true
    }
}

impl Custody {
    /// Takes a group's steps until it has to wait.
    pub(super) fn advance(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        answer(id, group, effects);
        while let Some(effect) = next_of(now, id, group) {
            // Before anything is started, since the next run after a crash has to know of it.
            mark(id, group, effects);
            emit(effects, effect);
        }
        mark(id, group, effects);
        answer(id, group, effects);
        if group.is_free() && group.held.is_stuck() {
            emit(effects, Effect::StopFailed(id));
            self.let_watchdog_fire(id, effects);
        }
    }

    /// Lets a group go; `token` is none when nobody ordered it.
    pub(super) fn release(
        &mut self,
        now: Instant,
        id: GroupId,
        token: Option<Token>,
        first: ReleaseOrder,
        effects: &mut Effects,
    ) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if token.is_none() && group.adding.is_none() && group.held.is_clean() {
            return;
        }
        group.reason = match first {
            ReleaseOrder::ScriptsFirst => Reason::Release,
            ReleaseOrder::AddressesFirst => Reason::ForcedRelease,
        };
        group.held.release(token, first);
        self.advance(now, id, effects);
    }

    /// Takes over scripts that ran, or may have, when an earlier run of the daemon was killed: they are
    /// stopped before anything else.
    pub(super) fn inherit(
        &mut self,
        now: Instant,
        id: GroupId,
        (started, term): (ScriptSet, u32),
        effects: &mut Effects,
    ) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if !started.is_empty() && group.held.is_clean() {
            group.held.inherit(started);
            (group.marked, group.term) = (started, term);
            self.release(now, id, None, ReleaseOrder::AddressesFirst, effects);
        }
    }

    pub(super) fn release_all(&mut self, now: Instant, effects: &mut Effects) {
        for id in self.ids() {
            self.release(now, id, None, ReleaseOrder::AddressesFirst, effects);
        }
    }

    /// The addresses have come; now the routes, which need them.
    pub(super) fn added(
        &mut self,
        now: Instant,
        id: GroupId,
        outcome: Result<(), Fault>,
        effects: &mut Effects,
    ) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let Some(ticket) = group.adding else { return };
        match outcome {
            Err(fault) => {
                group.adding = None;
                self.not_added(now, id, ticket.token, fault, effects);
            }
            Ok(()) if group.is_wanted() => emit(effects, Effect::Route(id, ticket.valid_until)),
            // It was let go meanwhile; its addresses are removed after they came.
            Ok(()) => {
                group.adding = None;
                emit(effects, Effect::Answer(ticket.token, Outcome::Failed(Fault::OutOfOrder)));
                self.advance(now, id, effects);
            }
        }
    }

    /// Addresses and routes have come, or neither of them stays: a node that cannot have its routes leaves
    /// the group to a peer that may.
    pub(super) fn routed(
        &mut self,
        now: Instant,
        id: GroupId,
        outcome: Result<(), Fault>,
        effects: &mut Effects,
    ) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let Some(Ticket { token, .. }) = group.adding.take() else { return };
        if let Err(fault) = outcome {
            // The cause matters more than how the clean-up goes: if that misses something, the lifetime ends
            // it.
            emit(effects, Effect::Remove(id));
            return self.not_added(now, id, token, fault, effects);
        }
        let lease = self.plan.lease;
        debug_assert!(group.is_wanted(), "nothing lets {id:?} go between its addresses and its routes");
        emit(effects, Effect::Note(Note::Held(id, group.term)));
        emit(effects, Effect::Announce(id));
        (group.held_until, group.is_on_trial) = (group.asked_at + lease, false);
        (group.reason, group.renewal_fault) = (Reason::Acquire, None);
        // All of them were asked for before the group was taken.
        group.newcomers = None;
        group.held.acquired(token);
        group.monitors.reset();
        self.advance(now, id, effects);
    }

    /// Nothing of it is held.
    fn not_added(&mut self, now: Instant, id: GroupId, token: Token, fault: Fault, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        emit(effects, Effect::Note(Note::NotHeld(id, fault)));
        if group.held.is_preparing() {
            // The scripts that came first are stopped before the agent is told.
            group.held.not_acquired(token, fault);
        } else {
            emit(effects, Effect::Answer(token, Outcome::Failed(fault)));
        }
        self.advance(now, id, effects);
    }

    pub(super) fn renewed(
        &mut self,
        now: Instant,
        id: GroupId,
        (token, outcome): (Token, Result<(), Fault>),
        effects: &mut Effects,
    ) {
        let lease = self.plan.lease;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        // If the kernel refuses one address, the others are renewed all the same.
        if outcome.err().is_none_or(Fault::is_refusal) {
            (group.held_until, group.is_on_trial) = (group.asked_at + lease, false);
        }
        if core::mem::replace(&mut group.renewal_fault, outcome.err()) != outcome.err() {
            emit(effects, Effect::Note(Note::Renewal(id, outcome.err())));
        }
        if outcome.is_ok() {
            // The answer is a sign of life.
            self.told_alive_at = now;
        }
        emit(effects, Effect::Answer(token, outcome.map_or_else(Outcome::Failed, |()| Outcome::Renewed)));
    }

    pub(super) fn removed(
        &mut self,
        now: Instant,
        id: GroupId,
        outcome: Result<(), Fault>,
        effects: &mut Effects,
    ) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if core::mem::take(&mut group.is_removing) {
            group.held.addresses_removed(outcome);
            self.advance(now, id, effects);
        }
    }

    /// A script has ended: tells its group, and those who watch it.
    pub(super) fn script_ended(&mut self, now: Instant, id: GroupId, end: End, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let Some(action) = group.held.running_action() else { return };
        let was_serving = group.held.is_serving();
        // If only one box may run the scripts, no script's word suffices that there was nothing to stop.
        let taken = if group.is_exclusive && end == End::Refused { End::Unknown } else { end };
        let script = group.held.script_ended(taken).unwrap_or_default();
        group.is_interrupted = false;
        if was_serving {
            match action {
                Action::Monitor => {
                    if let Some(script) = group.monitors.looked(now, script, end == End::Done) {
                        restart(id, group, script, effects);
                    }
                }
                Action::Start if group.held.is_halted() => group.monitors.start_failed(now, script),
                Action::Start if group.held.may_be_watched() => group.monitors.begin(now),
                Action::Stop if group.held.is_stuck() => group.monitors.stop_failed(),
                Action::Start | Action::Stop => {}
            }
            tell_news(id, group, effects);
        }
        self.advance(now, id, effects);
    }

    /// Looks at the script that is due, or goes on with a restart that did not come to its end.
    pub(super) fn look_if_due(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let is_hands_off = self.is_hands_off;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if now < group.looks_at() {
            return;
        }
        if is_hands_off {
            return group.monitors.put_off(now);
        }
        if group.held.is_halted() {
            let script = group.monitors.retry(now);
            restart(id, group, script, effects);
            tell_news(id, group, effects);
            return self.advance(now, id, effects);
        }
        let Some(script) = group.monitors.next(now) else { return };
        group.held.look_began(script);
        emit(effects, Effect::Run(id, script, Action::Monitor, Reason::Monitor));
    }

    /// Takes another list of scripts. Those that are the same from the left go on. The others are stopped by
    /// the old list, then the new ones are started. Only at rest.
    pub(super) fn change_scripts(
        &mut self,
        now: Instant,
        id: GroupId,
        kept: u8,
        (before, scripts): (u8, &ScriptPlans),
        effects: &mut Effects,
    ) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        group.reason = Reason::Reload;
        group.held.change_scripts(kept, u8::try_from(scripts.len()).unwrap_or(u8::MAX), before);
        group.next_scripts = Some(scripts.clone());
        self.advance(now, id, effects);
    }
}

/// The next thing that has to be done for a group, marked as begun; none while it has to wait.
fn next_of(now: Instant, id: GroupId, group: &mut GroupCustody) -> Option<Effect> {
    if group.take_next_scripts(now) {
        return Some(Effect::UseNewScripts(id));
    }
    match group.held.next() {
        Next::Wait => None,
        Next::Interrupt if group.is_interrupted => None,
        Next::Interrupt => {
            group.is_interrupted = true;
            Some(Effect::Interrupt(id))
        }
        Next::Run(action, script) => {
            group.held.script_began(action);
            Some(Effect::Run(id, script, action, group.reason_for(action)))
        }
        Next::RemoveAddresses if group.is_removing => None,
        Next::RemoveAddresses => {
            group.is_removing = true;
            Some(Effect::Remove(id))
        }
    }
}

/// Tells the agent what it is owed, before the next thing begins.
fn answer(id: GroupId, group: &mut GroupCustody, effects: &mut Effects) {
    for (token, outcome) in group.held.take_reports() {
        emit(effects, Effect::Note(Note::Ended(id, outcome)));
        emit(effects, Effect::Answer(token, outcome));
    }
}

/// Has it written down which scripts may run, if that has changed.
fn mark(id: GroupId, group: &mut GroupCustody, effects: &mut Effects) {
    let may_run = group.held.may_run();
    if core::mem::replace(&mut group.marked, may_run) != may_run {
        emit(effects, Effect::Mark(id, may_run, group.term));
    }
}

fn restart(id: GroupId, group: &mut GroupCustody, script: u8, effects: &mut Effects) {
    emit(effects, Effect::Note(Note::Restart(id, script)));
    group.reason = Reason::Restart;
    group.held.restart(script);
}

fn tell_news(id: GroupId, group: &mut GroupCustody, effects: &mut Effects) {
    if let Some(condition) = group.monitors.take_news() {
        emit(effects, Effect::Condition(id, condition));
    }
}
