//! A lease runs from when its renewal was ordered, is never extended once it has lapsed, and nobody serves on
//! without one.

use crosswire::pair::{Role, Side};
use crosswire::resource::{Fault, Order, Outcome, Ticket, Token};
use crosswire::time::{Instant, Span};

use super::super::world::World;

/// What a side may believe of one group's lease, by its own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    until: Option<Instant>,
    newest_order: Option<(Token, Instant)>,
    /// The order that took it.
    acquire: Option<Token>,
}

impl super::Watch {
    /// An agent takes over a group with this lease.
    pub fn inherit_lease(&mut self, side: Side, group: usize, until: Option<Instant>) {
        self.held[side.index()][group] = Held { until, newest_order: None, acquire: None };
    }
}

impl World {
    /// An order leaves the agent.
    pub(in super::super) fn note_order(&mut self, side: Side, local: Instant, ticket: &Ticket) {
        let lease = self.file(side).lease;
        self.check_last_moment(side, local, ticket);
        match ticket.order {
            Order::Acquire { group, .. } => {
                // The first order only starts the scripts that come before the addresses.
                let is_going_on = self.watch.roles[side.index()][group.index()] == Role::Acquiring;
                let is_to_hold = is_going_on || self.setup.before[group.index()] == 0;
                let held = &mut self.watch.held[side.index()][group.index()];
                let until = is_to_hold.then(|| local + lease);
                *held = Held { until, newest_order: None, acquire: Some(ticket.token) };
            }
            Order::Renew { group, .. } => {
                let held = &mut self.watch.held[side.index()][group.index()];
                held.newest_order = Some((ticket.token, local));
                let is_lapsed = held.until.is_some_and(|until| local >= until);
                if is_lapsed {
                    self.complain("lease", format!("{side:?} renewed {group:?} after its lease had lapsed"));
                }
            }
            Order::Probe { group } => self.watch.asked[side.index()][group.index()] = self.now,
            Order::Release { .. } | Order::Fence { .. } | Order::Announce { .. } => {}
        }
    }

    /// An order that adds or renews is good for a moment only: a guard that wakes late must not do what was
    /// wanted long ago. An order that lets go is good for ever.
    fn check_last_moment(&mut self, side: Side, local: Instant, ticket: &Ticket) {
        let late_after = self.shortest_late_after(side);
        let is_good = match ticket.order {
            Order::Acquire { .. } => ticket.valid_until.since(local) <= late_after,
            Order::Renew { .. } | Order::Probe { .. } => {
                ticket.valid_until.since(local) <= self.file(side).interval()
            }
            Order::Release { .. } => ticket.valid_until == Instant::NEVER,
            Order::Fence { .. } | Order::Announce { .. } => true,
        };
        if !is_good {
            self.complain("last-moment", format!("{side:?} orders what may be done too late: {ticket:?}"));
        }
    }

    /// An outcome reaches the agent.
    pub(in super::super) fn note_outcome(&mut self, side: Side, token: Token, outcome: Outcome) {
        let lease = self.file(side).lease;
        for held in &mut self.watch.held[side.index()] {
            if held.acquire == Some(token) && outcome == Outcome::Failed(Fault::TooLate) {
                // The guard hung, and nothing has come.
                held.until = None;
            }
            if let Some((_, sent_at)) = held.newest_order.filter(|(renewal, _)| *renewal == token)
                && outcome == Outcome::Renewed
            {
                held.until = Some(sent_at + lease);
            }
        }
    }

    /// After a turn: nobody serves on whose lease has lapsed.
    pub(in super::super) fn check_leases(&mut self, side: Side) {
        if self.node(side).is_none() {
            return;
        }
        let local = self.boxes[side.index()].clock.local(self.now);
        let tolerance = self.setup.wakes_late + Span::from_ms(1);
        for group in self.setup.policy.group_ids() {
            let role = self.watch.roles[side.index()][group.index()];
            let until = self.watch.held[side.index()][group.index()].until;
            let is_serving = matches!(role, Role::Acquiring | Role::Active);
            if is_serving && until.is_some_and(|until| local > until + tolerance) {
                self.complain("lease", format!("{side:?} serves {group:?} on after its lease has lapsed"));
            }
        }
    }
}
