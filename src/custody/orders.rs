//! Which orders are accepted, and how they are carried out.

use super::budget::Request;
use super::event::{Effect, Effects, Lapse, Reason, Word};
use super::groups::GroupCustody;
use super::{Custody, HeldGroup, Phase, emit};
use crate::pair::GroupId;
use crate::resource::{Fault, Order, Outcome, Ticket, Token};
use crate::time::Instant;

/// The state of a group, as far as an order depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing is held.
    Free,
    /// Something of an earlier reign is left: a script that was not stopped, an address that stayed.
    Stuck,
    /// The scripts that come before its addresses are being started.
    Preparing,
    /// The scripts that come before its addresses run, and wait for another order to acquire.
    Prepared,
    /// Its addresses are on their way.
    Coming,
    /// Its addresses are held.
    Held,
    /// It is being let go, and its addresses are gone, or about to be.
    Going,
}

/// Whether an order is accepted in this state of its group and in this phase of the daemon. Nothing else
/// decides that.
///
/// # Errors
/// Why not.
pub fn accepts(order: Order, state: State, phase: Phase) -> Result<(), Fault> {
    let is_over = matches!(phase, Phase::Farewell { .. } | Phase::Leaving { .. });
    let is_accepted = match (order, state) {
        // Nothing ever stands in the way of letting go.
        (Order::Release { .. }, _) => true,
        // An agent that has said farewell, or was told to go, has nothing else to order.
        _ if is_over => false,
        (Order::Acquire { .. }, State::Free | State::Prepared) => true,
        // What was let go is not revived.
        (
            Order::Acquire { .. },
            State::Stuck | State::Preparing | State::Coming | State::Held | State::Going,
        ) => false,
        (Order::Renew { .. } | Order::Announce { .. }, State::Held) => true,
        (
            Order::Renew { .. } | Order::Announce { .. },
            State::Free | State::Stuck | State::Preparing | State::Prepared | State::Coming | State::Going,
        ) => false,
        // A holder of the group needs nobody fenced for it, and a node that cannot take it gains nothing.
        (Order::Fence { .. }, State::Free) => phase == Phase::Running,
        (
            Order::Fence { .. },
            State::Stuck | State::Preparing | State::Prepared | State::Coming | State::Held | State::Going,
        ) => false,
        (Order::Probe { .. }, _) => true,
    };
    if is_accepted { Ok(()) } else { Err(Fault::OutOfOrder) }
}

impl GroupCustody {
    fn state(&self) -> State {
        if self.adding.is_some() {
            State::Coming
        } else if self.held.is_held() && !self.is_removing {
            State::Held
        } else if self.held.is_prepared() {
            State::Prepared
        } else if self.held.is_preparing() {
            State::Preparing
        } else if !self.held.is_free() {
            State::Going
        } else if self.held.is_clean() {
            State::Free
        } else {
            State::Stuck
        }
    }
}

impl Custody {
    /// Hears what the agent says. That also shows that the agent lives.
    pub(super) fn hear(&mut self, now: Instant, word: Word, effects: &mut Effects) {
        if !self.is_listening {
            return;
        }
        self.agent_heard = now;
        self.restarts.note_word();
        match word {
            Word::Order(ticket) => self.take_order(now, ticket, effects),
            Word::Deposit => self.restarts.note_deposit(),
            Word::Farewell => self.hear_farewell(now, effects),
            Word::Answered(group) => self.answered(now, group, effects),
            Word::HandsOff(is_on) => self.is_hands_off = is_on,
            Word::Reopen(path) => self.want_path(now, path, effects),
            Word::AskForPeer if self.may_have(now, Request::AskForPeer, effects) => {
                emit(effects, Effect::AskForPeer)
            }
            Word::Notice if self.may_have(now, Request::Notice, effects) => emit(effects, Effect::Notify),
            Word::AskForPeer | Word::Notice => {}
        }
    }

    /// Carries out an order, or puts a renewal aside for the batch. So a renewal that came before a release
    /// in the same batch is carried out after it, and finds nothing to revive.
    fn take_order(&mut self, now: Instant, ticket: Ticket, effects: &mut Effects) {
        // An order that comes again has the token that it had.
        self.last_token = self.last_token.max(ticket.token);
        let id = group_of(ticket.order);
        if self.groups.get(id.index()).is_none() {
            return self.lose_agent(now, Lapse::UnknownGroup, effects);
        }
        if let (Order::Renew { .. }, Some(renewal)) = (ticket.order, self.renewals.get_mut(id.index())) {
            if let Some(older) = renewal.replace(ticket) {
                refuse(older.token, Fault::OutOfOrder, effects);
            }
            return;
        }
        match self.judge(now, &ticket) {
            Err(Fault::OutOfOrder) if matches!(ticket.order, Order::Announce { .. }) => {}
            Err(fault) => refuse(ticket.token, fault, effects),
            Ok(()) => self.carry_out(now, ticket, effects),
        }
    }

    /// Whether an order comes in time. A release always does, and so does an order that only makes something
    /// certain.
    fn judge(&self, now: Instant, ticket: &Ticket) -> Result<(), Fault> {
        let group = self.groups.get(group_of(ticket.order).index()).ok_or(Fault::OutOfOrder)?;
        accepts(ticket.order, group.state(), self.phase)?;
        let is_late = match ticket.order {
            Order::Release { .. } | Order::Announce { .. } => false,
            Order::Acquire { .. } | Order::Renew { .. } | Order::Probe { .. } | Order::Fence { .. } => {
                now > ticket.valid_until
            }
        };
        if is_late { Err(Fault::TooLate) } else { Ok(()) }
    }

    fn carry_out(&mut self, now: Instant, ticket: Ticket, effects: &mut Effects) {
        match ticket.order {
            Order::Release { group, first } => self.release(now, group, Some(ticket.token), first, effects),
            // If the scripts were begun under one term, the group is not taken under another: they were told
            // the first.
            Order::Acquire { group, term } if self.is_prepared(group) && self.term(group) != term => {
                refuse(ticket.token, Fault::OutOfOrder, effects);
            }
            // The second order of an acquisition was counted with the first.
            Order::Acquire { group, term }
                if self.is_prepared(group) || self.may_have(now, Request::Acquire(group), effects) =>
            {
                self.acquire(now, ticket, (group, term), effects);
            }
            Order::Acquire { .. } => refuse(ticket.token, Fault::OutOfOrder, effects),
            Order::Announce { group } if self.may_have(now, Request::Announce(group), effects) => {
                emit(effects, Effect::Announce(group));
            }
            Order::Announce { .. } => {}
            Order::Probe { group } if self.may_have(now, Request::Probe(group), effects) => {
                emit(effects, Effect::Probe(ticket));
            }
            // That says nothing of the wire, and the agent asks again an interval later.
            Order::Probe { .. } => refuse(ticket.token, Fault::TooLate, effects),
            Order::Fence { group } => self.fence(now, group, ticket, effects),
            Order::Renew { group, puts_back } => self.ask_for_lease(now, group, (ticket, puts_back), effects),
        }
    }

    fn acquire(&mut self, now: Instant, ticket: Ticket, (id, term): (GroupId, u32), effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        group.term = term;
        if group.held.prepare(ticket.token) {
            group.reason = Reason::Acquire;
            return self.advance(now, id, effects);
        }
        (group.adding, group.asked_at) = (Some(ticket), now);
        emit(effects, Effect::Add(id, ticket.valid_until));
    }

    fn is_prepared(&self, id: GroupId) -> bool {
        self.group(id).is_some_and(HeldGroup::is_prepared)
    }

    fn ask_for_lease(
        &mut self,
        now: Instant,
        id: GroupId,
        (ticket, puts_back): (Ticket, bool),
        effects: &mut Effects,
    ) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        group.asked_at = now;
        emit(effects, Effect::Renew(id, ticket.token, ticket.valid_until, puts_back));
    }

    /// Carries out the renewals, all in one batch, once everything else was carried out.
    pub(super) fn renew_all(&mut self, now: Instant, effects: &mut Effects) {
        for ticket in core::mem::take(&mut self.renewals).into_iter().flatten() {
            match self.judge(now, &ticket) {
                Ok(()) => self.carry_out(now, ticket, effects),
                Err(fault) => refuse(ticket.token, fault, effects),
            }
        }
    }
}

pub(super) fn refuse(token: Token, fault: Fault, effects: &mut Effects) {
    emit(effects, Effect::Answer(token, Outcome::Failed(fault)));
}

/// The group that an order is about.
pub fn group_of(order: Order) -> GroupId {
    match order {
        Order::Acquire { group, .. }
        | Order::Renew { group, .. }
        | Order::Announce { group }
        | Order::Fence { group }
        | Order::Release { group, .. }
        | Order::Probe { group } => group,
    }
}
