//! The agent's loop, in virtual time: what has arrived is handed in, then the tick; what the node asks for is done.

use crosswire::config::{PathId, PathKind, Side};
use crosswire::custody::Word;
use crosswire::quorum::record::Record;
use crosswire::quorum::timing::lifetime_bound;
use crosswire::quorum::{Effect, Event};
use crosswire::turn::{Source, Step, Waking};

use super::checkers::LineEvidence;
use super::gateway::Packet;
use super::guard::Told;
use super::story::Line;
use super::wire::Frame;
use super::world::{What, World, mac};

/// Frames that a recorder keeps, by path and receiver.
const RECORDED_FRAMES: usize = 48;

impl World {
    /// The agent gets to run: one turn, in the order of the shipped [`crosswire::turn::Turn`].
    pub(super) fn agent_turn(&mut self, side: Side) {
        let gateway = &mut self.boxes[side.index()];
        if !gateway.does_agent_work() {
            return;
        }
        let (ready, deadline) = (gateway.inbox.ready(), gateway.waits_until);
        gateway.turn.begin(Waking { ready, deadline });
        loop {
            let local = self.boxes[side.index()].clock.local(self.now);
            match self.boxes[side.index()].turn.next(|| local) {
                Step::Read(source) => self.read(side, source),
                Step::Tick(_) => self.step(side, Event::Tick),
                Step::Rest(_) => {
                    self.check_leases(side);
                    self.check_deadlines(side);
                    self.check_scripts(side);
                }
                Step::Wait => return self.schedule_wake(side),
            }
        }
    }

    /// Hands in what waits there.
    fn read(&mut self, side: Side, source: Source) {
        let index = side.index();
        match source {
            // Here the guard confirms renewals among everything else that it says.
            Source::Confirmations => {}
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
            }
            Source::Witnesses => {
                while let Some((witness, asked_at)) = self.boxes[index].inbox.sightings.pop_front() {
                    self.note_sighting(side, witness, asked_at);
                    self.step(side, Event::WitnessAnswered(witness.0, asked_at));
                }
            }
            Source::Operators => {
                while let Some(request) = self.boxes[index].inbox.requests.pop_front() {
                    self.step(side, Event::Operator(request));
                }
            }
        }
    }

    fn hear_packet(&mut self, side: Side, packet: Packet) {
        match packet {
            Packet::Vip(group) => {
                self.watch.answered[side.index()][group.index()] = Some(self.now);
                self.step(side, Event::VipAnswered(group, mac(side.peer())));
            }
            Packet::Peer(path) => self.step(side, Event::PeerAnswered(Some(path))),
        }
    }

    fn hear_told(&mut self, side: Side, told: Told) {
        match told {
            Told::Done(token, outcome) => {
                self.note_outcome(side, token, outcome);
                self.step(side, Event::Done(token, outcome));
            }
            Told::Scripts(group, condition) => self.step(side, Event::Scripts(group, condition)),
            Told::Stop => self.step(side, Event::Stop),
            Told::Links => self.tell_links(side),
            Told::Lost => {
                self.step(side, Event::GuardLost);
                let interval = self.setup.policy.interval();
                let bound = lifetime_bound(interval, self.setup.policy.lease);
                let run = self.boxes[side.index()].run;
                self.schedule(bound, side, run, What::AgentEnds);
            }
        }
    }

    /// Tells the node which paths and interfaces it has. The addresses of all groups live on the first LAN.
    fn tell_links(&mut self, side: Side) {
        let is_up = |world: &Self, path: PathId| world.links[path.index()].has_carrier(side);
        let home = self.home();
        let has_carrier = home.is_none_or(|path| is_up(self, path));
        for group in self.setup.policy.group_ids() {
            let has_own = self.boxes[side.index()].own_links[group.index()];
            self.watch.carriers[side.index()][group.index()] = has_carrier && has_own;
            self.step(side, Event::Carrier(group, has_carrier && has_own));
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
        let event = match self.kind(path) {
            PathKind::Serial => Event::Bytes(path, &frame.bytes),
            PathKind::Lan => Event::Datagram(path, &frame.bytes),
        };
        match frame.stamp {
            Some(stamp) => {
                let was_known = self.watch.hearing[side.index()].adopted == stamp.runs[0];
                self.watch.reading = Some((path, stamp));
                self.step(side, event);
                self.watch.reading = None;
                self.note_consumption(side, path, &stamp);
                // A beat for this run that did not count, because the handshake was not done, is not recorded: sent again
                // later it is to its receiver what a delayed frame is, and nobody can tell the two apart.
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
                self.step(side, event);
                self.check_not_heard(side, before);
            }
        }
    }

    /// One step of a node, and what it asks for.
    pub(super) fn step(&mut self, side: Side, event: Event<'_>) {
        let local = self.boxes[side.index()].clock.local(self.now);
        let Some(agent) = &mut self.boxes[side.index()].agent else { return };
        let mut effects = self.spare.0.take().unwrap_or_default();
        agent.step(local, event, &mut effects);
        self.steps += 1;
        for effect in effects.iter() {
            self.hash.effect(side, local, effect);
            match effect {
                Effect::Send(path, body) => self.transmit(side, *path, body),
                Effect::Order(ticket) => {
                    self.note_order(side, local, ticket);
                    self.say_to_guard(side, Word::Order(*ticket), Vec::new());
                    self.wake_guard(side);
                }
                Effect::Record(record) => self.note_record(side, record),
                Effect::AskWitnesses => self.ask_witnesses(side),
                Effect::AskForPeer => self.ask_for_peer(side),
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
