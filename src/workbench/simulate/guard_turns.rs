//! What the guard's shell does, in virtual time: it wakes, hands in what has happened, and carries out what
//! custody asks for.

use std::collections::VecDeque;

use crosswire::custody::orders::group_of;
use crosswire::custody::{Action, Effect, Effects, End, Event, Word};
use crosswire::pair::{GroupId, PathKind, Side};
use crosswire::quorum::succession::Differences;
use crosswire::quorum::timing::LIFETIME_SLIP;
use crosswire::resource::{Fault, Outcome};
use crosswire::time::{Instant, Span};

use super::gateway::{Packet, ScriptRun, Who};
use super::guard::Told;
use super::rival::Rule;
use super::world::{GUARD_TAKES, LAN_TAKES, What, World};

/// How long a script that is cut short takes to end.
const INTERRUPT_TAKES: Span = Span::from_ms(10);
/// How late a lifetime ends at most when nobody disturbs it.
const TIMER_SLACK: Span = Span::from_ms(30);

impl World {
    /// The agent has said something that is to be acted on.
    pub(super) fn wake_guard(&mut self, side: Side) {
        let late = Span::from_us(self.chance.below(self.setup.wakes_late.as_us() / 4 + 1));
        self.wake_guard_after(side, GUARD_TAKES + late);
    }

    pub(super) fn wake_guard_after(&mut self, side: Side, after: Span) {
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        if !guard.is_turn_due && !guard.is_stopped {
            guard.is_turn_due = true;
            let run = guard.run;
            self.schedule(after, side, run, What::GuardTurn);
        }
    }

    /// One turn of the guard's loop: everything that has happened is handed in, then the tick.
    pub(super) fn guard_turn(&mut self, side: Side) {
        let is_up = self.boxes[side.index()].is_up();
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        guard.is_turn_due = false;
        if guard.is_stopped || !is_up {
            return;
        }
        self.end_execution(side);
        let guard = self.boxes[side.index()].guard.as_ref();
        let Some(guard) = guard.filter(|guard| guard.execution.is_none()) else { return };
        let wanted = guard.wakes_at.1;
        self.guard_hears(side, Event::Woke(wanted));
        self.hear_ended_scripts(side);
        self.hear_fence(side);
        self.hear_said(side);
        self.reap_agent(side);
        self.hear_operator(side);
        if !self.setup.has_no_lifetime {
            self.guard_hears(side, Event::Tick);
            self.reap_agent(side);
            self.guard_hears(side, Event::Tick);
        }
        self.guard_may_exit(side);
        self.schedule_guard(side);
    }

    fn hear_ended_scripts(&mut self, side: Side) {
        while let Some((group, end)) =
            self.boxes[side.index()].guard.as_mut().and_then(|guard| guard.ended.pop_front())
        {
            self.guard_hears(side, Event::ScriptEnded(group, end));
        }
    }

    pub(super) fn hear_said(&mut self, side: Side) {
        while let Some((word, deposit)) =
            self.boxes[side.index()].guard.as_mut().and_then(|guard| guard.said.pop_front())
        {
            if let (Word::Deposit, Some(guard)) = (word, &mut self.boxes[side.index()].guard) {
                guard.deposit = deposit;
                guard.differences = Differences::default();
            }
            self.guard_hears(side, Event::Said(word));
        }
        self.guard_hears(side, Event::AllSaid);
    }

    fn hear_operator(&mut self, side: Side) {
        let guard = self.boxes[side.index()].guard.as_mut();
        if guard.is_some_and(|guard| std::mem::take(&mut guard.is_stop_asked)) {
            self.guard_hears(side, Event::Stop);
        }
    }

    /// Sees that the agent's process has ended. Only the shipped core leaves something behind; a daemon of
    /// another rule ends with it.
    fn reap_agent(&mut self, side: Side) {
        let gateway = &mut self.boxes[side.index()];
        let is_gone = gateway.agent.is_none();
        let Some(guard) =
            gateway.guard.as_mut().filter(|guard| is_gone && guard.is_agent_there && !guard.is_forking)
        else {
            return;
        };
        guard.is_agent_there = false;
        if self.rule == Rule::Crosswire {
            return self.guard_hears(side, Event::AgentReaped);
        }
        gateway.guard = None;
        if !self.setup.has_no_lifetime {
            self.drop_all(side);
        }
        self.note_marks();
    }

    /// Something happened; does what follows from it until nothing does.
    pub(super) fn guard_hears(&mut self, side: Side, event: Event<'_>) {
        let local = self.boxes[side.index()].clock.local(self.now);
        let guard = &mut self.boxes[side.index()].guard;
        let Some(guard) = guard.as_mut().filter(|guard| guard.execution.is_none()) else { return };
        let mut effects = Effects::new();
        guard.custody.step(local, event, &mut effects);
        let mut waiting: VecDeque<Effect> = effects.into_iter().collect();
        while let Some(effect) = waiting.pop_front() {
            let event = self.guard_does(side, effect);
            let (Some(event), Some(guard)) = (event, &mut self.boxes[side.index()].guard) else { continue };
            let mut effects = Effects::new();
            guard.custody.step(local, event, &mut effects);
            waiting.extend(effects);
        }
    }

    fn guard_does(&mut self, side: Side, effect: Effect) -> Option<Event<'static>> {
        let is_bad = self.boxes[side.index()].kernel.is_bad;
        let asked = if is_bad { Err(Fault::Kernel(105)) } else { Ok(()) };
        match effect {
            Effect::Add(group, _) => {
                self.check_before(side, group);
                self.hold_unless(is_bad, side, group);
                return Some(Event::Added(group, asked));
            }
            Effect::Renew(group, token, _, false) if !self.holds(side, group) => {
                return Some(Event::Renewed(group, token, Err(Fault::AddressGone)));
            }
            Effect::Renew(group, token, ..) => {
                self.hold_unless(is_bad, side, group);
                // What is put back comes back as a whole. A route that the kernel refuses by then is said,
                // and the group stays.
                self.boxes[side.index()].kernel.has_routes[group.index()] |= !is_bad;
                return Some(Event::Renewed(group, token, asked));
            }
            Effect::Route(group, _) => {
                let kernel = &mut self.boxes[side.index()].kernel;
                kernel.has_routes[group.index()] = !kernel.refuses_routes;
                let outcome = if kernel.refuses_routes { Err(Fault::Kernel(101)) } else { Ok(()) };
                return Some(Event::Routed(group, outcome));
            }
            Effect::Remove(group) => {
                self.set_held(side, group, None);
                return Some(Event::Removed(group, Ok(())));
            }
            Effect::StartAgent { is_in_place, .. } => return self.start_agent(side, is_in_place),
            Effect::Run(group, script, action, _) => self.run_script(side, group, (script, action)),
            Effect::Interrupt(group) => self.interrupt_script(side, group),
            Effect::Announce(group) => self.announce(side, group),
            Effect::Probe(ticket) => {
                let outcome = self.probe(side, group_of(ticket.order));
                self.tell(side, Told::Done(ticket.token, outcome));
            }
            Effect::Fence(_) => return self.fence(side),
            Effect::Answer(token, outcome) => {
                self.tell(side, Told::Done(token, outcome));
                if self.boxes[side.index()].is_ready.contains(&false) {
                    // What has just been let go is checked at once.
                    self.tell(side, Told::Links);
                }
            }
            Effect::Condition(group, condition) => self.tell(side, Told::Scripts(group, condition)),
            Effect::Pet => self.pet(side),
            Effect::TellAlive => self.tell(side, Told::Alive),
            Effect::TellStop => self.tell(side, Told::Stop),
            Effect::DismissAgent => {
                let gateway = &mut self.boxes[side.index()];
                gateway.agent = None;
                gateway.guard.iter_mut().for_each(|guard| guard.is_forking = false);
                self.note_marks();
            }
            Effect::Mark(group, started, term) => {
                self.boxes[side.index()].marks[group.index()] = (started, term)
            }
            // A fence goes on without its guard; nobody hears of it.
            // No reload adds an address here.
            Effect::AskForNew(_) | Effect::Admit(_) => {}
            // Agents here ask for none of it.
            Effect::Reopen(_) | Effect::AskForPeer | Effect::Notify => {}
            Effect::GiveUpFence | Effect::UseNewScripts(_) | Effect::StopFailed(_) | Effect::Note(_) => {}
        }
        None
    }

    /// Wakes the guard when custody wants it.
    pub(super) fn schedule_guard(&mut self, side: Side) {
        let clock = self.boxes[side.index()].clock;
        let local = clock.local(self.now);
        let has_no_lifetime = self.setup.has_no_lifetime;
        let Some(guard) = self.boxes[side.index()].guard.as_mut().filter(|_| !has_no_lifetime) else {
            return;
        };
        let due = guard.custody.due_at(local);
        guard.wakes_at.1 = due;
        if due == Instant::NEVER {
            return;
        }
        let (at, run) = (clock.true_time(due), guard.run);
        if at < guard.wakes_at.0 {
            guard.wakes_at.0 = at;
            self.schedule(at.since(self.now), side, run, What::GuardWakes);
        }
    }

    /// The instant has come at which the guard wanted to wake up.
    pub(super) fn guard_wakes(&mut self, side: Side) {
        if let Some(guard) = &mut self.boxes[side.index()].guard {
            guard.wakes_at.0 = Instant::NEVER;
            self.guard_turn(side);
        }
    }

    fn fence(&mut self, side: Side) -> Option<Event<'static>> {
        let Some(takes) = self.setup.fence else { return Some(Event::FenceEnded(Err(Fault::NoFence))) };
        let run = self.boxes[side.index()].run;
        self.schedule(takes, side, run, What::FenceEnds);
        None
    }

    fn hear_fence(&mut self, side: Side) {
        let guard = self.boxes[side.index()].guard.as_mut().filter(|guard| !guard.is_stopped);
        if let Some(outcome) = guard.and_then(|guard| guard.fenced.take()) {
            self.guard_hears(side, Event::FenceEnded(outcome));
        }
    }

    fn hold_unless(&mut self, is_bad: bool, side: Side, group: GroupId) {
        if !is_bad {
            self.hold(side, group);
        }
    }

    /// The kernel has none of the addresses any more.
    pub(super) fn drop_all(&mut self, side: Side) {
        for group in self.setup.policy.group_ids() {
            self.set_held(side, group, None);
        }
    }

    /// Gives a group's addresses another lease.
    fn hold(&mut self, side: Side, group: GroupId) {
        let slack =
            if self.setup.does_slip && self.chance.below(2) == 0 { LIFETIME_SLIP } else { TIMER_SLACK };
        let slip = Span::from_us(self.chance.below(slack.as_us() + 1));
        let lease =
            if self.setup.has_no_lifetime { Span::from_s(1_000_000_000) } else { self.file(side).lease };
        let span = self.boxes[side.index()].clock.true_span(lease) + slip;
        self.set_held(side, group, Some(self.now + span));
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
        let kernel = &mut self.boxes[side.index()].kernel;
        kernel.until[group.index()] = until;
        kernel.has_routes[group.index()] &= until.is_some();
        self.watch_overlap(group);
        self.narrate_holders();
    }

    /// A fence that works cuts the peer's power, and only then reports success. It goes on without its guard,
    /// and then nobody hears of it.
    pub(super) fn fence_ends(&mut self, side: Side) {
        let is_done = self.boxes[side.index()].is_fence_good;
        if is_done && self.boxes[side.peer().index()].is_powered {
            self.befall(super::fault::Fault::PowerCut(side.peer()));
        }
        if let Some(guard) = &mut self.boxes[side.index()].guard {
            guard.fenced = Some(if is_done { Ok(()) } else { Err(Fault::NoFence) });
            self.hear_fence(side);
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
            if home == Some(path) && self.holds(peer, group) {
                self.schedule_for_any(takes, side, What::Packet(Packet::Vip(group, Who::Peer)));
            }
            self.schedule_for_any(takes, side, What::Packet(Packet::Peer(path)));
        }
        let is_strange = self.strangers[group.index()].is_some();
        if is_strange
            && home.is_some_and(|home| self.links[home.index()].reaches_switch(side, &mut self.chance))
        {
            self.schedule_for_any(takes, side, What::Packet(Packet::Vip(group, Who::Stranger)));
        }
        Outcome::Probed { at: self.boxes[side.index()].clock.local(self.now) }
    }

    /// Asks every LAN for the peer's own address. The answer waits until the agent wakes for something else:
    /// nothing hangs on it at once.
    pub(super) fn ask_for_peer(&mut self, side: Side) {
        let peer = side.peer();
        let is_asked = self.boxes[side.index()].does_guard_work() && self.boxes[peer.index()].is_up();
        let paths: Vec<_> =
            self.setup.policy.path_ids().filter(|path| self.kind(*path) == PathKind::Lan).collect();
        for path in paths {
            let link = &self.links[path.index()];
            let both_ways =
                link.lets_through(side, &mut self.chance) && link.lets_through(peer, &mut self.chance);
            if is_asked && both_ways && !link.is_filtered[side.index()] {
                self.boxes[side.index()].inbox.packets.push_back(Packet::Peer(path));
            }
        }
    }

    /// The peer's listeners hear who announces a group's addresses.
    fn announce(&mut self, side: Side, group: GroupId) {
        let is_heard =
            self.home().is_some_and(|home| self.links[home.index()].lets_through(side, &mut self.chance));
        if is_heard && self.boxes[side.peer().index()].is_up() {
            self.schedule_for_any(LAN_TAKES, side.peer(), What::Packet(Packet::Vip(group, Who::Announcer)));
        }
    }

    /// A script begins: what it starts may run from now on.
    fn run_script(&mut self, side: Side, group: GroupId, (script, action): (u8, Action)) {
        let gateway = &mut self.boxes[side.index()];
        gateway.script_runs += 1;
        let number = gateway.script_runs;
        gateway.running[group.index()] = Some(number);
        if action == Action::Start {
            self.script_starts(side, group, script);
        }
        let (takes, end) = self.script(side, group, action);
        let run = ScriptRun { number, group, script, action };
        self.schedule_for_any(takes, side, What::ScriptEnds(run, end));
    }

    fn interrupt_script(&mut self, side: Side, group: GroupId) {
        let Some(number) = self.boxes[side.index()].running[group.index()] else { return };
        // Nobody knows whether the script that was cut short has done its work.
        let run = ScriptRun { number, group, script: 0, action: Action::Monitor };
        self.schedule_for_any(INTERRUPT_TAKES, side, What::ScriptEnds(run, End::Unknown));
    }

    /// How long a script takes, and how it comes to its end. Each has its share of the group's stop timeout.
    fn script(&self, side: Side, group: GroupId, action: Action) -> (Span, End) {
        let scripts = self.boxes[side.index()].scripts;
        let count = self.setup.scripts[group.index()].max(1) as u64;
        let timeout = self.group_policy(side, group).stop_timeout.fraction(1, count);
        let is_bad = match action {
            Action::Start => scripts.are_starts_bad,
            Action::Stop => scripts.are_stops_bad,
            // No monitor runs here.
            Action::Monitor => false,
        };
        if scripts.take > timeout {
            return (timeout, End::Unknown);
        }
        (scripts.take, if is_bad { End::Refused } else { End::Done })
    }

    /// A script has ended, whoever is there to see it.
    pub(super) fn script_ends(&mut self, side: Side, run: ScriptRun, end: End) {
        let gateway = &mut self.boxes[side.index()];
        if gateway.running[run.group.index()] != Some(run.number) {
            return;
        }
        gateway.running[run.group.index()] = None;
        // A start that reports failure has started nothing.
        if matches!((run.action, end), (Action::Stop, End::Done) | (Action::Start, End::Refused)) {
            gateway.services[run.group.index()].remove(run.script);
        }
        let is_unstopped = run.action == Action::Stop && end != End::Done;
        let known = &mut self.watch.is_unstopped[side.index()][run.group.index()];
        *known = !gateway.services[run.group.index()].is_empty() && (*known || is_unstopped);
        if let Some(guard) = &mut gateway.guard {
            guard.ended.push_back((run.group, end));
            self.guard_turn(side);
        }
    }

    fn guard_may_exit(&mut self, side: Side) {
        if self.boxes[side.index()].guard.as_ref().is_some_and(|guard| guard.custody.exit().is_some()) {
            self.stop_watchdog(side);
            self.boxes[side.index()].guard = None;
            self.drop_all(side);
            self.note_marks();
        }
    }
}
