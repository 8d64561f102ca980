//! The agent's loop, in virtual time: it hands in what has arrived, then the tick, and does what the node
//! asks for.

use crosswire::custody::{HeldGroup, Word};
use crosswire::pair::{PathId, Side};
use crosswire::quorum::event::Demand;
use crosswire::quorum::record::Record;
use crosswire::quorum::timing::goes_on_without_guard;
use crosswire::quorum::{Effect, Effects, Event};
use crosswire::resource::{Condition, Outcome};
use crosswire::time::{Instant, Span};
use crosswire::turn::{Ready, Source, Step, Waking};

use super::checkers::LineEvidence;
use super::gateway::{Brain, Packet, SOCKET_DATAGRAMS, Who};
use super::guard::Told;
use super::rival::Rule;
use super::story::Line;
use super::wire::{Frame, STRANGER, mac};
use super::world::{What, World};

/// Frames that a recorder keeps, by path and receiver.
const RECORDED_FRAMES: usize = 48;
/// A busy processor holds a turn up after one of this many steps.
const HOLD_UP_EVERY: u64 = 300;

impl World {
    /// The agent finds out what has arrived, and takes one turn in the order of the shipped
    /// [`crosswire::turn::Turn`].
    pub(super) fn agent_turn(&mut self, side: Side) {
        let gateway = &mut self.boxes[side.index()];
        if !gateway.does_agent_work() || gateway.is_in_turn() {
            return;
        }
        gateway.polled = Some(gateway.ready(gateway.clock.local(self.now)));
        self.hold_up(side);
        self.go_on(side);
    }

    /// Goes on with the turn until it is over, or until the processor does something else.
    fn go_on(&mut self, side: Side) {
        while self.boxes[side.index()].does_agent_work() {
            let gateway = &mut self.boxes[side.index()];
            let local = gateway.clock.local(self.now);
            if let Some(ready) = gateway.polled.take() {
                gateway.turn.begin(Waking { ready, deadline: gateway.waits_until, woke_at: local });
                let paths = self.setup.policy.path_ids().filter(|path| local < gateway.waits_until(*path));
                let mut waiting = Ready::default();
                paths.for_each(|path| waiting.note(Source::Path(path)));
                gateway.turn.read_too(waiting);
            }
            let is_stirred = gateway.agent.as_ref().is_none_or(Brain::is_stirred);
            match gateway.turn.next(|| local, is_stirred) {
                Step::Read(source) => self.read(side, source),
                Step::Tick(_) => {
                    gateway.is_judged = true;
                    self.check_short_tick(side);
                    self.note_gone(side);
                    self.step(side, Event::Tick);
                    self.check_leases(side);
                    self.check_deadlines(side);
                    self.check_scripts(side);
                    self.check_routes(side);
                }
                Step::Rest(_) => {
                    if !std::mem::take(&mut gateway.is_judged) {
                        self.check_routine(side);
                    }
                    self.overhear(side);
                }
                Step::Wait => return self.wait(side),
            }
            self.hold_up(side);
        }
    }

    /// Waits until the node's deadline; what came after its source was read is found at once.
    fn wait(&mut self, side: Side) {
        self.schedule_wake(side);
        let gateway = &self.boxes[side.index()];
        if !gateway.ready(gateway.clock.local(self.now)).is_empty() {
            self.rouse(side);
        }
    }

    /// Something has arrived. Where processes are held up, more may arrive before the agent looks.
    pub(super) fn rouse(&mut self, side: Side) {
        if self.setup.held_up == Span::ZERO {
            return self.agent_turn(side);
        }
        let gateway = &mut self.boxes[side.index()];
        if !gateway.does_agent_work() || gateway.is_in_turn() || gateway.is_roused {
            return;
        }
        gateway.is_roused = true;
        let run = gateway.run;
        let late = Span::from_us(self.chance.below(self.setup.wakes_late.as_us() + 1));
        self.schedule(late, side, run, What::Roused);
    }

    /// The agent is not stopped any more: it goes on where it was.
    pub(super) fn run_agent(&mut self, side: Side) {
        if self.boxes[side.index()].is_in_turn() { self.go_on(side) } else { self.agent_turn(side) }
    }

    /// Now and then, or when it was ordered, the processor does something else in the middle of a turn,
    /// mostly for a moment only.
    fn hold_up(&mut self, side: Side) {
        let Some(span) = self.next_hold_up(side) else { return };
        let gateway = &mut self.boxes[side.index()];
        gateway.is_held_up = true;
        gateway.hold_up += 1;
        let (run, hold_up) = (gateway.run, gateway.hold_up);
        self.schedule(span, side, run, What::GoOn(hold_up));
        self.note_marks();
    }

    fn next_hold_up(&mut self, side: Side) -> Option<Span> {
        let ordered = &mut self.boxes[side.index()].next_hold_up;
        if let Some((steps, span)) = ordered {
            let span = *span;
            if *steps == 0 {
                *ordered = None;
                return Some(span);
            }
            *steps -= 1;
        }
        let longest = self.setup.held_up;
        if longest == Span::ZERO || self.chance.below(HOLD_UP_EVERY) > 0 {
            return None;
        }
        let longest = if self.chance.below(3) == 0 { longest } else { longest.fraction(1, 8) };
        Some(Span::from_us(self.chance.below(longest.as_us() + 1)))
    }

    pub(super) fn end_hold_up(&mut self, side: Side, hold_up: u32) {
        let gateway = &mut self.boxes[side.index()];
        if gateway.hold_up == hold_up && std::mem::take(&mut gateway.is_held_up) {
            self.note_marks();
            self.run_agent(side);
        }
    }

    /// The guard says something. A sign of life or a renewed lease wakes nobody.
    pub(super) fn hear_of(&mut self, side: Side, told: Told) {
        let inbox = &mut self.boxes[side.index()].inbox;
        let is_quiet = match told {
            Told::Alive => true,
            Told::Done(_, Outcome::Renewed) => self.setup.held_up > Span::ZERO,
            Told::Done(..)
            | Told::Scripts(..)
            | Told::Missing(_)
            | Told::Watchdog(_)
            | Told::Stop
            | Told::Links
            | Told::Lost => false,
        };
        if is_quiet {
            return inbox.confirmed.push_back(told);
        }
        inbox.told.push_back(told);
        self.rouse(side);
    }

    /// A packet shows somebody on a LAN, if this side hears anything there.
    pub(super) fn catch(&mut self, side: Side, packet: Packet) {
        let path = match packet {
            Packet::Vip(..) => self.home(),
            Packet::Peer(path) => Some(path),
        };
        let is_filtered = path.is_some_and(|path| self.links[path.index()].is_filtered[side.index()]);
        let gateway = &mut self.boxes[side.index()];
        if !is_filtered && gateway.agent.is_some() && gateway.inbox.packets.len() < SOCKET_DATAGRAMS {
            gateway.inbox.packets.push_back(packet);
            self.rouse(side);
        }
    }

    /// Hands in what waits there.
    fn read(&mut self, side: Side, source: Source) {
        let index = side.index();
        match source {
            Source::Confirmations => {
                while let Some(told) = self.boxes[index].inbox.confirmed.pop_front() {
                    self.hear_told(side, told);
                }
            }
            Source::Guard => {
                while let Some(told) = self.boxes[index].inbox.told.pop_front() {
                    self.hear_told(side, told);
                }
            }
            Source::Lines => self.poll_lines(side),
            Source::Path(path) => {
                while let Some(frame) = self.boxes[index].inbox.frames[path.index()].pop_front() {
                    self.hear_frame(side, frame);
                }
            }
            Source::Wire => {
                while let Some(packet) = self.boxes[index].inbox.packets.pop_front() {
                    self.hear_packet(side, packet);
                }
                while let Some(asked_at) = self.boxes[index].inbox.neighbours.pop_front() {
                    self.hear_neighbour(side, asked_at);
                }
            }
            Source::Witnesses => {
                while let Some((witness, asked_at)) = self.boxes[index].inbox.sightings.pop_front() {
                    self.note_sighting(side, witness, asked_at);
                    self.step(side, Event::WitnessAnswered(witness.0, asked_at));
                }
                while let Some(reply) = self.boxes[index].inbox.votes.pop_front() {
                    self.hear_vote(side, &reply);
                }
            }
            Source::Operators => {
                while let Some(request) = self.boxes[index].inbox.requests.pop_front() {
                    if matches!(request, Demand::TakeoverPeerIsOff(_)) {
                        // The operator's word: what neighbours have said before counts no more.
                        self.watch.knows_neighbours[side.index()] = false;
                        self.watch.is_left_cut_off[side.index()] = false;
                    }
                    self.step(side, Event::Operator(request));
                }
            }
        }
    }

    fn hear_packet(&mut self, side: Side, packet: Packet) {
        match packet {
            Packet::Vip(group, who) => {
                self.watch.answered[side.index()][group.index()] =
                    Some((self.now, self.watch.asked[side.index()][group.index()]));
                let mac = if who == Who::Stranger { STRANGER } else { mac(side.peer()) };
                let shown = self.home().filter(|_| who != Who::Announcer).map(|home| (0, home));
                self.step(side, Event::VipAnswered(group, mac, shown));
            }
            Packet::Peer(path) => self.step(side, Event::PeerAnswered(Some(path), mac(side.peer()))),
        }
    }

    fn hear_told(&mut self, side: Side, told: Told) {
        match told {
            Told::Done(token, outcome) => {
                self.note_outcome(side, token, outcome);
                self.step(side, Event::Done(token, outcome));
            }
            Told::Scripts(group, condition) => self.step(side, Event::Scripts(group, condition)),
            Told::Alive => self.step(side, Event::GuardAlive),
            Told::Missing(group) => self.step(side, Event::AddressMissing(group)),
            Told::Watchdog(bound_s) => self.step(side, Event::Watchdog(bound_s)),
            Told::Stop => self.step(side, Event::Stop),
            Told::Links => {
                self.tell_links(side);
                self.tell_readiness(side);
            }
            Told::Lost => {
                self.step(side, Event::GuardLost);
                let bound = goes_on_without_guard(self.file(side));
                let run = self.boxes[side.index()].run;
                self.schedule(bound, side, run, What::AgentEnds);
            }
        }
    }

    /// Tells the node for which of the groups that its guard does not hold it is ready.
    fn tell_readiness(&mut self, side: Side) {
        for group in self.setup.policy.group_ids() {
            let gateway = &self.boxes[side.index()];
            let is_free = gateway
                .guard
                .as_ref()
                .and_then(|guard| guard.custody.group(group))
                .is_some_and(HeldGroup::is_clean);
            let condition =
                if gateway.is_ready[group.index()] { Condition::Well } else { Condition::Unready(0) };
            if is_free {
                self.step(side, Event::Scripts(group, condition));
            }
        }
    }

    /// Tells the node which paths and interfaces it has. The addresses of all groups live on the first LAN.
    fn tell_links(&mut self, side: Side) {
        let is_up = |world: &Self, path: PathId| world.links[path.index()].has_carrier(side);
        let home = self.home();
        let has_carrier = home.is_none_or(|path| is_up(self, path));
        // What is overdue goes by what was known before.
        self.step(side, Event::Interface(0, has_carrier));
        self.watch.dark[side.index()][0] = !has_carrier;
        for (interface, group) in (1_u8..).zip(self.setup.policy.group_ids()) {
            let has_own = self.boxes[side.index()].own_links[group.index()];
            self.step(side, Event::Interface(interface, has_own));
            self.watch.dark[side.index()][usize::from(interface)] = !has_own;
            // The shipped node reads the carrier of a group off its interfaces, as all of them have a place.
            if self.rule != Rule::Crosswire {
                self.step(side, Event::Carrier(group, has_carrier && has_own));
            }
        }
        for path in self.setup.policy.path_ids() {
            let event = if is_up(self, path) { Event::PathOpened(path) } else { Event::PathLost(path) };
            let is_news = self.watch.open_paths[side.index()][path.index()] != is_up(self, path);
            if is_news {
                self.watch.open_paths[side.index()][path.index()] = is_up(self, path);
                let hearing = &mut self.watch.hearing[side.index()];
                hearing.opened_at[path.index()] = Some(self.now);
                // Another cable may be in the port: what its lines say has to be learned anew.
                hearing.lines[path.index()] = LineEvidence::default();
                self.step(side, event);
            }
        }
    }

    fn hear_frame(&mut self, side: Side, frame: Frame) {
        let path = frame.path;
        match frame.stamp {
            Some(stamp) => {
                let was_known = self.watch.hearing[side.index()].adopted == stamp.runs[0];
                self.watch.reading = Some((path, stamp));
                self.hear(side, path, &frame.bytes);
                self.watch.reading = None;
                self.note_consumption(side, path, &stamp);
                // A beat for this run that did not count, because the handshake was not done, is not
                // recorded: if it were sent again later, its receiver could not tell it from a delayed frame.
                let is_for_this_run = stamp.is_beat && stamp.runs[1] == self.boxes[side.index()].agent_run;
                if is_for_this_run && !was_known {
                    return;
                }
                let record = &mut self.recorded[path.index()][side.index()];
                if record.len() == RECORDED_FRAMES {
                    record.pop_front();
                }
                record.push_back(frame);
            }
            None => {
                let before = self.beats_heard(side);
                self.hear(side, path, &frame.bytes);
                self.check_not_heard(side, before);
            }
        }
    }

    /// One step of a node, and what it asks for.
    pub(super) fn step(&mut self, side: Side, event: Event<'_>) {
        let local = self.boxes[side.index()].clock.local(self.now);
        let Some(event) = self.localize(side, event) else { return };
        let Some(agent) = &mut self.boxes[side.index()].agent else { return };
        let mut effects = self.spare.0.take().unwrap_or_default();
        agent.step(local, event, &mut effects);
        self.carry_out(side, local, effects);
    }

    /// What a path has brought, and what the node asks for.
    fn hear(&mut self, side: Side, path: PathId, bytes: &[u8]) {
        let local = self.boxes[side.index()].clock.local(self.now);
        let Some(agent) = &mut self.boxes[side.index()].agent else { return };
        let mut effects = self.spare.0.take().unwrap_or_default();
        agent.hear(local, path, bytes, &mut effects);
        self.carry_out(side, local, effects);
    }

    fn carry_out(&mut self, side: Side, local: Instant, mut effects: Box<Effects>) {
        self.steps += 1;
        for effect in effects.iter_mut() {
            self.globalize(side, effect);
            self.hash.effect(side, local, effect);
            match &*effect {
                Effect::Send(path, body) => self.transmit(side, *path, body),
                Effect::Order(ticket) => {
                    self.note_order(side, local, ticket);
                    self.say_to_guard(side, Word::Order(*ticket), Vec::new());
                    self.wake_guard(side);
                }
                Effect::Record(record) => self.note_record(side, record),
                Effect::AskWitnesses => self.ask_witnesses(side),
                Effect::AskVote(question) => self.ask_vote(side, question),
                Effect::AskForPeer => self.ask_for_peer(side),
                Effect::AskNeighbours(_) => self.ask_neighbours(side),
                Effect::ShowHolding(holds) => self.boxes[side.index()].is_showing_holding = *holds,
                Effect::Deposit => self.deposit(side),
                Effect::Reply(_) | Effect::Aside(..) => {}
                Effect::Exit => self.agent_exits(side),
            }
        }
        effects.clear();
        self.spare.0 = Some(effects);
    }

    pub(super) fn note_record(&mut self, side: Side, record: &Record) {
        self.narrate(Line::Recorded(side, *record));
        self.judge_record(side, record);
    }

    fn agent_exits(&mut self, side: Side) {
        let gateway = &mut self.boxes[side.index()];
        gateway.agent = None;
        self.note_marks();
        self.say_to_guard(side, Word::Farewell, Vec::new());
        self.guard_turn(side);
    }
}
