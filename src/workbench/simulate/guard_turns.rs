//! The guard's loop and the kernel's part, in virtual time.

use crosswire::config::{GroupId, PathKind, Side};
use crosswire::quorum::timing::LIFETIME_SLIP;
use crosswire::resource::{Fault, Order, Outcome, ReleaseOrder, Ticket, Token};
use crosswire::time::{Instant, Span};

use super::gateway::Packet;
use super::guard::group::{Action, End, Next};
use super::guard::{Phase, Told};
use super::succession::tenure::Loss;
use super::world::{GUARD_TAKES, LAN_TAKES, What, World};

/// How long a start that is cut short takes to end.
const INTERRUPT_TAKES: Span = Span::from_ms(10);
/// How late a lifetime ends at most when nobody disturbs it.
const TIMER_SLACK: Span = Span::from_ms(30);

impl World {
    pub(super) fn wake_guard(&mut self, side: Side) {
        let late = Span::from_us(self.chance.below(self.setup.wakes_late.as_us() / 4 + 1));
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        if !guard.is_turn_due && !guard.is_stopped {
            guard.is_turn_due = true;
            let run = guard.run;
            self.schedule(GUARD_TAKES + late, side, run, What::GuardTurn);
        }
    }

    /// Reads all orders and carries them out, renewals last and in one batch.
    pub(super) fn guard_turn(&mut self, side: Side) {
        let now = self.now;
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        guard.is_turn_due = false;
        if guard.is_stopped || guard.phase == Phase::Leaving {
            return;
        }
        let orders: Vec<Ticket> = guard.orders.drain(..).collect();
        if let Some(last) = orders.last() {
            guard.agent_heard = now;
            guard.tenure.last_token = last.token;
        }
        let (renewals, others): (Vec<_>, Vec<_>) =
            orders.into_iter().partition(|ticket| matches!(ticket.order, Order::Renew { .. }));
        for ticket in others.into_iter().chain(renewals) {
            self.carry_out(side, ticket);
        }
        self.watch_agent(side);
        if self.boxes[side.index()].has_exited {
            self.guard_leaves(side);
        } else if self.boxes[side.index()].agent.is_none() {
            self.lose_agent(side, Loss::Died);
        }
    }

    fn carry_out(&mut self, side: Side, ticket: Ticket) {
        let gateway = &self.boxes[side.index()];
        let is_late = gateway.clock.local(self.now) > ticket.valid_until;
        let Some(guard) = &gateway.guard else { return };
        let outcome = match ticket.order {
            Order::Release { group, first } => return self.guard_releases(side, group, Some(ticket.token), first),
            Order::Announce { group } => return self.announce(side, group),
            Order::Fence { .. } if is_late => Outcome::Failed(Fault::TooLate),
            Order::Fence { .. } => match self.setup.fence {
                None => Outcome::Failed(Fault::NoFence),
                Some(takes) => {
                    let run = gateway.run;
                    return self.schedule(takes, side, run, What::FenceEnds(ticket.token));
                }
            },
            Order::Acquire { group, .. } if !guard.groups[group.index()].is_free() => {
                Outcome::Failed(Fault::OutOfOrder)
            }
            Order::Renew { group } if !guard.groups[group.index()].is_held() => Outcome::Failed(Fault::OutOfOrder),
            Order::Acquire { .. } | Order::Renew { .. } | Order::Probe { .. } if is_late => {
                Outcome::Failed(Fault::TooLate)
            }
            Order::Acquire { .. } | Order::Renew { .. } if gateway.kernel.is_bad => Outcome::Failed(Fault::Kernel(105)),
            Order::Acquire { group, term } => {
                self.hold(side, group);
                self.announce(side, group);
                if let Some(guard) = &mut self.boxes[side.index()].guard {
                    guard.terms[group.index()] = term;
                    guard.groups[group.index()].acquired(ticket.token);
                }
                return self.advance(side, group);
            }
            Order::Renew { group } => {
                self.hold(side, group);
                Outcome::Renewed
            }
            Order::Probe { group } => self.probe(side, group),
        };
        self.tell(side, Told::Done(ticket.token, outcome));
    }

    /// Gives a group's addresses another lease.
    fn hold(&mut self, side: Side, group: GroupId) {
        let slack = if self.setup.does_slip && self.chance.below(2) == 0 { LIFETIME_SLIP } else { TIMER_SLACK };
        let slip = Span::from_us(self.chance.below(slack.as_us() + 1));
        let lease = if self.setup.has_no_lifetime { Span::from_s(1_000_000_000) } else { self.setup.policy.lease };
        let span = self.boxes[side.index()].clock.true_span(lease) + slip;
        self.set_held(side, group, Some(self.now + span));
        let now = self.now;
        let lease = self.boxes[side.index()].clock.true_span(self.setup.policy.lease);
        if let Some(guard) = &mut self.boxes[side.index()].guard {
            guard.held_until[group.index()] = now + lease;
            guard.is_on_trial[group.index()] = false;
        }
        if !self.setup.has_no_lifetime {
            self.schedule_for_any(span, side, What::Expire(group));
        }
    }

    pub(super) fn expire(&mut self, side: Side, group: GroupId) {
        if self.boxes[side.index()].kernel.until[group.index()].is_some_and(|until| until <= self.now) {
            self.set_held(side, group, None);
        }
    }

    pub(super) fn set_held(&mut self, side: Side, group: GroupId, until: Option<Instant>) {
        self.boxes[side.index()].kernel.until[group.index()] = until;
        self.watch_overlap(group);
        self.narrate_holders();
    }

    /// A fence that works cuts the peer's power, and says so only then. It goes on without its guard; nobody hears of it.
    pub(super) fn fence_ends(&mut self, side: Side, token: Token) {
        let is_done = self.boxes[side.index()].is_fence_good;
        if is_done && self.boxes[side.peer().index()].is_powered {
            self.befall(super::fault::Fault::PowerCut(side.peer()));
        }
        if self.boxes[side.index()].guard.as_ref().is_some_and(|guard| !guard.is_stopped) {
            let outcome = if is_done { Outcome::Fenced } else { Outcome::Failed(Fault::NoFence) };
            self.tell(side, Told::Done(token, outcome));
        }
    }

    /// Asks the LAN who answers. The peer's kernel does, whatever its processes do.
    fn probe(&mut self, side: Side, group: GroupId) -> Outcome {
        let peer = side.peer();
        let takes = LAN_TAKES + LAN_TAKES;
        let home = self.home();
        if home.is_some_and(|home| !self.links[home.index()].has_carrier(side)) {
            return Outcome::Failed(Fault::Kernel(100));
        }
        for path in self.setup.policy.path_ids() {
            let link = &self.links[path.index()];
            let is_lan = self.kind(path) == PathKind::Lan;
            let both_ways = is_lan
                && self.boxes[peer.index()].is_up()
                && link.lets_through(side, &mut self.chance)
                && link.lets_through(peer, &mut self.chance);
            if !both_ways {
                continue;
            }
            self.schedule_for_any(takes, side, What::Packet(Packet::Peer(path)));
            if home == Some(path) && self.holds(peer, group) {
                self.schedule_for_any(takes, side, What::Packet(Packet::Vip(group)));
            }
        }
        let is_strange = self.strangers[group.index()].is_some();
        if is_strange && home.is_some_and(|home| self.links[home.index()].reaches_switch(side, &mut self.chance)) {
            self.schedule_for_any(takes, side, What::Packet(Packet::Vip(group)));
        }
        Outcome::Probed { at: self.boxes[side.index()].clock.local(self.now) }
    }

    /// Asks every LAN for the peer's own address. The answer waits until the agent wakes for something else: nothing hangs on
    /// it at once.
    pub(super) fn ask_for_peer(&mut self, side: Side) {
        let peer = side.peer();
        let is_asked = self.boxes[side.index()].does_guard_work() && self.boxes[peer.index()].is_up();
        let paths: Vec<_> = self.setup.policy.path_ids().filter(|path| self.kind(*path) == PathKind::Lan).collect();
        for path in paths {
            let link = &self.links[path.index()];
            let both_ways = link.lets_through(side, &mut self.chance) && link.lets_through(peer, &mut self.chance);
            if is_asked && both_ways {
                self.boxes[side.index()].inbox.packets.push_back(Packet::Peer(path));
            }
        }
    }

    /// The peer's listeners hear who announces a group's addresses.
    fn announce(&mut self, side: Side, group: GroupId) {
        let is_heard = self.home().is_some_and(|home| self.links[home.index()].lets_through(side, &mut self.chance));
        if is_heard && self.boxes[side.peer().index()].is_up() {
            self.schedule_for_any(LAN_TAKES, side.peer(), What::Packet(Packet::Vip(group)));
        }
    }

    pub(super) fn guard_releases(&mut self, side: Side, group: GroupId, token: Option<Token>, first: ReleaseOrder) {
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        if token.is_none() && guard.groups[group.index()].is_free() {
            return;
        }
        guard.groups[group.index()].release(token, first);
        self.advance(side, group);
    }

    /// Takes a group's steps until it has to wait.
    fn advance(&mut self, side: Side, group: GroupId) {
        loop {
            let Some(guard) = &mut self.boxes[side.index()].guard else { return };
            let run = guard.run;
            let here = &mut guard.groups[group.index()];
            match here.next() {
                Next::Wait => break,
                Next::Interrupt => {
                    let script = guard.script_runs[group.index()];
                    self.schedule(INTERRUPT_TAKES, side, run, What::ScriptEnds(group, script, End::Unknown));
                    break;
                }
                Next::Run(action, _) => {
                    here.script_began(action);
                    guard.script_runs[group.index()] += 1;
                    let script = guard.script_runs[group.index()];
                    let (takes, end) = self.script(side, group, action);
                    self.schedule(takes, side, run, What::ScriptEnds(group, script, end));
                }
                Next::RemoveAddresses => {
                    self.set_held(side, group, None);
                    if let Some(guard) = &mut self.boxes[side.index()].guard {
                        guard.groups[group.index()].addresses_removed(Ok(()));
                    }
                }
            }
        }
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        for (token, outcome) in guard.groups[group.index()].take_reports() {
            self.tell(side, Told::Done(token, outcome));
        }
    }

    /// How long a script takes, and how it comes to its end. Each has its share of the group's stop timeout.
    fn script(&self, side: Side, group: GroupId, action: Action) -> (Span, End) {
        let scripts = self.boxes[side.index()].scripts;
        let count = self.setup.scripts[group.index()].max(1) as u64;
        let timeout = self.setup.policy.groups[group.index()].stop_timeout.fraction(1, count);
        let is_bad = match action {
            Action::Start => scripts.are_starts_bad,
            Action::Stop => scripts.are_stops_bad,
            // Nobody watches here: what comes of it is the guard's own affair until it tells the node.
            Action::Monitor => false,
        };
        if scripts.take > timeout {
            return (timeout, End::Unknown);
        }
        (scripts.take, if is_bad { End::Refused } else { End::Done })
    }

    pub(super) fn script_ends(&mut self, side: Side, group: GroupId, script: u32, end: End) {
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        if guard.script_runs[group.index()] != script {
            return;
        }
        if guard.is_stopped {
            // The script ends, but nobody looks.
            let run = guard.run;
            return self.schedule(Span::from_ms(20), side, run, What::ScriptEnds(group, script, end));
        }
        guard.script_runs[group.index()] += 1;
        guard.groups[group.index()].script_ended(end);
        self.advance(side, group);
        self.guard_may_exit(side);
    }

    /// How long an agent may say nothing: the shortest late_after, or three intervals.
    fn hang_after(&self) -> Span {
        let late_after = self.policy().paths.iter().map(|path| path.timing.late_after).min().unwrap_or_default();
        late_after.max(self.policy().interval().fraction(3, 1))
    }

    /// Begins to watch the agent's silence.
    fn watch_agent(&mut self, side: Side) {
        let limit = self.hang_after();
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        if !guard.is_watching && !self.setup.has_no_lifetime {
            guard.is_watching = true;
            let run = guard.run;
            self.schedule(limit, side, run, What::JudgeAgent);
        }
    }

    /// An agent that has said nothing for late_after is taken for hung.
    pub(super) fn judge_agent(&mut self, side: Side) {
        let limit = self.hang_after();
        let now = self.now;
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        guard.is_watching = false;
        if guard.phase == Phase::Leaving {
            return;
        }
        guard.is_watching = true;
        let run = guard.run;
        if guard.is_stopped || guard.is_office_vacant || now.since(guard.agent_heard) < limit {
            let wait = (guard.agent_heard + limit).since(now).max(limit.fraction(1, 4));
            return self.schedule(wait, side, run, What::JudgeAgent);
        }
        self.schedule(limit, side, run, What::JudgeAgent);
        self.lose_agent(side, Loss::Hung);
    }

    /// Ends the agent and lets everything go: addresses first, then scripts.
    pub(super) fn guard_leaves(&mut self, side: Side) {
        let keeps = self.setup.has_no_lifetime;
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        if guard.is_stopped || guard.phase == Phase::Leaving {
            return;
        }
        guard.phase = Phase::Leaving;
        self.boxes[side.index()].agent = None;
        for group in self.setup.policy.group_ids().filter(|_| !keeps) {
            self.guard_releases(side, group, None, ReleaseOrder::AddressesFirst);
        }
        self.guard_may_exit(side);
        self.note_marks();
    }

    fn guard_may_exit(&mut self, side: Side) {
        let keeps = self.setup.has_no_lifetime;
        let is_over =
            |guard: &super::guard::Guard| guard.phase == Phase::Leaving && (keeps || guard.is_everything_free());
        if self.boxes[side.index()].guard.as_ref().is_some_and(is_over) {
            self.boxes[side.index()].guard = None;
            self.note_marks();
        }
    }
}
