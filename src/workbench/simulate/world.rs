//! The world in virtual time: two boxes, their paths, and a queue of what will happen.
//!
//! It knows what the nodes cannot: who really holds an address, whose frame it is, what was damaged. The checkers judge
//! by that. Everything is deterministic; chance comes from the seed.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use crosswire::config::{GroupId, PathId, PathKind, Side};
use crosswire::frame::session::Entropy;
use crosswire::quorum::record::Record;
use crosswire::quorum::{Effect, Effects, Event};
use crosswire::time::{Instant, Span};

use super::chance::Chance;
use super::checkers::Watch;
use super::gateway::{Brain, Gateway, Packet};
use super::guard::{Phase, Told};
use super::hash::Hash;
use super::rival::{Rival, Rule};
use super::setup::Setup;
use super::wire::{Frame, Link, Stamp, damage};

/// How long a message between the two processes of a box takes, with what its reader does first.
const SOCKET_TAKES: Span = Span::from_us(60);
/// How long the guard takes to carry out an order.
pub const GUARD_TAKES: Span = Span::from_us(300);
/// How long a frame takes over a healthy LAN.
pub const LAN_TAKES: Span = Span::from_us(150);
/// Frames that a recorder keeps, by path and receiver.
const RECORDED_FRAMES: usize = 48;
/// When the world begins.
pub const BEGINNING: Instant = Instant::from_us(1_000_000);

/// Both sides.
pub const SIDES: [Side; 2] = [Side::A, Side::B];

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum What {
    /// The agent's own deadline.
    Wake,
    /// Bytes arrive.
    Arrive(Frame),
    /// The guard reads its orders.
    GuardTurn,
    /// The guard tells the agent something.
    Told(Told),
    /// The agent's listeners hear something.
    Packet(Packet),
    /// The lifetime of a group's addresses may have ended.
    Expire(GroupId),
    /// A script ends: of which group, which run of it, and whether well.
    ScriptEnds(GroupId, u32, bool),
    /// The guard looks whether the agent has said anything.
    JudgeAgent,
    /// A stall is over.
    StallEnds(u32),
    /// An agent whose guard is gone has seen the lease out.
    AgentEnds,
    /// The daemon is started.
    Boot,
}

/// For whom: any run of the daemon, or only this one.
const ANY_RUN: u32 = 0;

#[derive(Clone, Debug)]
struct Due {
    at: Instant,
    seq: u64,
    side: Side,
    run: u32,
    what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// Room for effects that is used again and again; a copy of a world needs none of it.
#[derive(Default)]
struct Spare(Option<Box<Effects>>);

impl Clone for Spare {
    fn clone(&self) -> Self {
        Self(None)
    }
}

/// Two boxes, their paths, and what will happen.
#[derive(Clone)]
pub struct World {
    /// What it is made of.
    pub setup: Setup,
    pub(super) now: Instant,
    seq: u64,
    queue: BinaryHeap<Reverse<Due>>,
    pub(super) boxes: [Gateway; 2],
    pub(super) links: Vec<Link>,
    pub(super) chance: Chance,
    frames: u64,
    recorded: Vec<[VecDeque<Frame>; 2]>,
    rule: Rule,
    /// The checkers.
    pub watch: Watch,
    /// What the nodes recorded, in order, if anybody wants to know.
    pub records: Option<Vec<(Instant, Side, Record)>>,
    /// A hash over all effects.
    pub hash: Hash,
    /// How many steps the nodes took.
    pub steps: u64,
    spare: Spare,
}

impl World {
    /// Two boxes that are off, everything plugged in. The nodes are of the shipped core.
    pub fn new(setup: Setup, seed: u64) -> Self {
        Self::with_rule(setup, seed, Rule::Crosswire)
    }

    /// The same for another rule.
    pub fn with_rule(setup: Setup, seed: u64, rule: Rule) -> Self {
        let now = BEGINNING;
        let mut world = Self {
            boxes: [Gateway::new(&setup, Side::A, now), Gateway::new(&setup, Side::B, now)],
            links: vec![Link::new(now); setup.policy.paths.len()],
            recorded: vec![Default::default(); setup.policy.paths.len()],
            watch: Watch::new(&setup),
            now,
            seq: 0,
            queue: BinaryHeap::new(),
            chance: Chance::new(seed),
            frames: 0,
            rule,
            records: None,
            hash: Hash::default(),
            steps: 0,
            spare: Spare::default(),
            setup,
        };
        world.note_marks();
        world
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A box.
    pub fn gateway(&self, side: Side) -> &Gateway {
        &self.boxes[side.index()]
    }

    /// The node of the shipped core on a box, while its agent runs.
    pub fn node(&self, side: Side) -> Option<&crosswire::quorum::Node> {
        match &self.boxes[side.index()].agent {
            Some(Brain::Core(node)) => Some(node),
            Some(Brain::Rival(_)) | None => None,
        }
    }

    /// Whether a box's kernel has a group's addresses and answers for them.
    pub fn holds(&self, side: Side, group: GroupId) -> bool {
        let gateway = &self.boxes[side.index()];
        gateway.is_up() && gateway.kernel.until[group.index()].is_some_and(|until| self.now < until)
    }

    /// The sides that hold a group.
    pub fn holders(&self, group: GroupId) -> Vec<Side> {
        SIDES.into_iter().filter(|side| self.holds(*side, group)).collect()
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Span) {
        self.run_to(self.now + span);
    }

    /// Lets time pass until then.
    pub fn run_to(&mut self, until: Instant) {
        while self.queue.peek().is_some_and(|Reverse(due)| due.at <= until) {
            let Some(Reverse(due)) = self.queue.pop() else { break };
            self.now = self.now.max(due.at);
            self.happen(due);
        }
        self.now = self.now.max(until);
    }

    /// Lets time pass until a condition holds, for `limit` at most; says how long it took.
    pub fn run_until(&mut self, limit: Span, holds: impl Fn(&Self) -> bool) -> Option<Span> {
        let start = self.now;
        while !holds(self) {
            if self.now.since(start) >= limit {
                return None;
            }
            self.run_for(Span::from_ms(1));
        }
        Some(self.now.since(start))
    }

    fn happen(&mut self, due: Due) {
        let Due { seq, side, run, what, .. } = due;
        let gateway = &mut self.boxes[side.index()];
        if !gateway.is_powered || (run != ANY_RUN && run != gateway.run) {
            return;
        }
        if gateway.is_frozen {
            return self.meet_frozen(side, run, what);
        }
        match what {
            What::Wake => {
                if seq == gateway.wake {
                    self.agent_turn(side);
                }
            }
            What::Arrive(frame) => self.arrive(side, frame),
            What::GuardTurn => self.guard_turn(side),
            What::Told(told) => {
                gateway.inbox.told.push_back(told);
                self.agent_turn(side);
            }
            What::Packet(packet) => {
                if gateway.agent.is_some() && gateway.inbox.packets.len() < super::gateway::SOCKET_DATAGRAMS {
                    gateway.inbox.packets.push_back(packet);
                    self.agent_turn(side);
                }
            }
            What::Expire(group) => self.expire(side, group),
            What::ScriptEnds(group, script_run, is_success) => {
                self.script_ends(side, group, script_run, is_success);
            }
            What::JudgeAgent => self.judge_agent(side),
            What::StallEnds(stall) => {
                if gateway.stall == stall {
                    self.continue_agent(side);
                }
            }
            What::AgentEnds => {
                gateway.agent = None;
                self.note_marks();
            }
            What::Boot => self.start(side),
        }
        self.watch_overlaps();
    }

    /// A box that stands still: what is its own waits until it goes on; a LAN card keeps some frames, a UART none.
    fn meet_frozen(&mut self, side: Side, run: u32, what: What) {
        match what {
            What::Arrive(frame) => {
                let is_serial = self.kind(frame.path) == PathKind::Serial;
                let gateway = &mut self.boxes[side.index()];
                if !is_serial && gateway.agent.is_some() {
                    gateway.inbox.keep(frame, false);
                }
            }
            What::Packet(_) => {}
            What::Expire(_) => self.schedule(Span::from_ms(100), side, run, what),
            What::Wake
            | What::GuardTurn
            | What::Told(_)
            | What::ScriptEnds(..)
            | What::JudgeAgent
            | What::StallEnds(_)
            | What::AgentEnds
            | What::Boot => {
                let is_wake = matches!(what, What::Wake);
                self.schedule(Span::from_ms(20), side, run, what);
                if is_wake {
                    self.boxes[side.index()].wake = self.seq;
                }
            }
        }
    }

    fn arrive(&mut self, side: Side, frame: Frame) {
        let is_serial = self.kind(frame.path) == PathKind::Serial;
        let gateway = &mut self.boxes[side.index()];
        // No process, no port, no socket: nobody keeps it.
        if gateway.agent.is_none() || !self.links[frame.path.index()].is_up[side.index()] {
            return;
        }
        let (path, stamp) = (frame.path, frame.stamp);
        if gateway.inbox.keep(frame, is_serial) {
            if let Some(stamp) = stamp {
                self.note_arrival(side, path, is_serial, &stamp);
            }
            self.agent_turn(side);
        }
    }

    /// One turn of the agent's loop: everything that has arrived is handed in, then the tick.
    pub(super) fn agent_turn(&mut self, side: Side) {
        if !self.boxes[side.index()].does_agent_work() {
            return;
        }
        while let Some(told) = self.boxes[side.index()].inbox.told.pop_front() {
            self.hear_told(side, told);
        }
        for path in self.setup.policy.path_ids() {
            while let Some(frame) = self.boxes[side.index()].inbox.frames[path.index()].pop_front() {
                self.hear_frame(side, frame);
            }
        }
        while let Some(packet) = self.boxes[side.index()].inbox.packets.pop_front() {
            match packet {
                Packet::Vip(group) => {
                    self.watch.answered[side.index()][group.index()] = Some(self.now);
                    self.step(side, Event::VipAnswered(group, mac(side.peer())));
                }
                Packet::Peer => self.step(side, Event::PeerAnswered),
            }
        }
        while let Some(request) = self.boxes[side.index()].inbox.requests.pop_front() {
            self.step(side, Event::Operator(request));
        }
        self.step(side, Event::Tick);
        self.check_leases(side);
        self.schedule_wake(side);
    }

    fn hear_told(&mut self, side: Side, told: Told) {
        match told {
            Told::Done(token, outcome) => {
                self.note_outcome(side, token, outcome);
                self.step(side, Event::Done(token, outcome));
            }
            Told::Stop => self.step(side, Event::Stop),
            Told::Links => self.tell_links(side),
            Told::Lost => {
                self.step(side, Event::GuardLost);
                let interval = self.setup.policy.interval();
                let bound = crosswire::quorum::timing::lifetime_bound(interval, self.setup.policy.lease);
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
            self.step(side, Event::Carrier(group, has_carrier));
        }
        for path in self.setup.policy.path_ids() {
            let event = if is_up(self, path) { Event::PathOpened(path) } else { Event::PathLost(path) };
            let is_news = self.watch.open_paths[side.index()][path.index()] != is_up(self, path);
            if is_news {
                self.watch.open_paths[side.index()][path.index()] = is_up(self, path);
                self.watch.hearing[side.index()].opened_at[path.index()] = Some(self.now);
                self.step(side, event);
            }
        }
    }

    /// The LAN on which the groups' addresses live.
    pub fn home(&self) -> Option<PathId> {
        self.setup.policy.path_ids().find(|path| self.kind(*path) == PathKind::Lan)
    }

    /// What a path is made of.
    pub fn kind(&self, path: PathId) -> PathKind {
        self.setup.policy.paths[path.index()].kind
    }

    fn hear_frame(&mut self, side: Side, frame: Frame) {
        let path = frame.path;
        let event = match self.kind(path) {
            PathKind::Serial => Event::Bytes(path, &frame.bytes),
            PathKind::Lan => Event::Datagram(path, &frame.bytes),
        };
        match frame.stamp {
            Some(stamp) => {
                let before = self.beats_heard(side);
                self.watch.reading = Some(stamp);
                self.step(side, event);
                self.watch.reading = None;
                self.note_consumption(side, path, &stamp);
                // A beat for this run that did not count, because the handshake was not done, is not recorded: sent again
                // later it is to its receiver what a delayed frame is, and nobody can tell the two apart.
                let is_for_this_run = stamp.is_beat && stamp.runs[1] == self.boxes[side.index()].run;
                if is_for_this_run && self.beats_heard(side) == before {
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
                    if let Some(guard) = &mut self.boxes[side.index()].guard {
                        guard.orders.push_back(*ticket);
                        self.wake_guard(side);
                    }
                }
                Effect::Record(record) => self.note_record(side, record),
                Effect::Reply(_) | Effect::AskWitnesses | Effect::ShowHolding(_) => {}
                Effect::Exit => self.agent_exits(side),
            }
        }
        effects.clear();
        self.spare.0 = Some(effects);
    }

    fn note_record(&mut self, side: Side, record: &Record) {
        if let Some(records) = &mut self.records {
            records.push((self.now, side, *record));
        }
        self.judge_record(side, record);
    }

    fn agent_exits(&mut self, side: Side) {
        let gateway = &mut self.boxes[side.index()];
        gateway.agent = None;
        gateway.has_exited = true;
        self.note_marks();
        self.guard_turn(side);
        if self.boxes[side.index()].guard.as_ref().is_some_and(|guard| guard.phase == Phase::Running) {
            self.guard_leaves(side);
        }
    }

    fn transmit(&mut self, from: Side, path: PathId, body: &crosswire::frame::Body) {
        self.frames += 1;
        let index = path.index();
        let stamp = Stamp {
            runs: [self.boxes[from.index()].run, self.watch.hearing[from.index()].adopted],
            number: self.frames,
            is_beat: body.first().is_some_and(|first| first & 0x0f == 3),
            terms: self.watch.held_terms(from),
        };
        match self.kind(path) {
            PathKind::Serial => self.transmit_serial(from, path, body, stamp),
            PathKind::Lan => {
                let bytes = body.to_vec();
                let copies = 1 + u8::from(
                    self.chance.below(1_000) < self.links[index].directions[from.index()].duplicate_permille,
                );
                for _ in 0..copies {
                    if self.links[index].lets_through(from, &mut self.chance) {
                        let delay = self.links[index].directions[from.index()].delay;
                        let takes = LAN_TAKES + Span::from_us(self.chance.below(delay.as_us() + 1));
                        let frame = Frame { path, bytes: bytes.clone(), stamp: Some(stamp) };
                        self.schedule(takes, from.peer(), ANY_RUN, What::Arrive(frame));
                    }
                }
            }
        }
    }

    /// A port that has not sent the last frame yet does not take another one.
    fn transmit_serial(&mut self, from: Side, path: PathId, body: &crosswire::frame::Body, stamp: Stamp) {
        let mut bytes = crosswire::frame::delimit::wrap(body).to_vec();
        let baud = self.setup.bauds[path.index()];
        let policy = &self.setup.policy;
        let limit = crosswire::frame::heartbeat_bytes(policy.paths.len(), policy.groups.len());
        let line_time = |bytes: u64| crosswire::quorum::timing::line_time(bytes, baud);
        let direction = &mut self.links[path.index()].directions[from.index()];
        if direction.busy_until.since(self.now) > line_time(limit) {
            return;
        }
        direction.busy_until = direction.busy_until.max(self.now) + line_time(bytes.len() as u64);
        let takes = direction.busy_until.since(self.now);
        let is_damaged = damage(&mut bytes, direction.bit_errors, &mut self.chance);
        let stamp = Some(stamp).filter(|_| !is_damaged);
        let link = &self.links[path.index()];
        if link.is_looped[from.index()] {
            self.schedule(takes, from, ANY_RUN, What::Arrive(Frame { path, bytes, stamp: None }));
        } else if link.lets_through(from, &mut self.chance) {
            self.schedule(takes, from.peer(), ANY_RUN, What::Arrive(Frame { path, bytes, stamp }));
        }
    }

    /// Sends once more what was recorded on its way to a side.
    pub(super) fn replay(&mut self, path: PathId, to: Side) {
        let frames: Vec<Frame> = self.recorded[path.index()][to.index()].iter().cloned().collect();
        for (number, frame) in (1u64..).zip(frames) {
            let frame = Frame { stamp: None, ..frame };
            self.schedule(Span::from_ms(3).fraction(number, 1), to, ANY_RUN, What::Arrive(frame));
        }
    }

    /// Starts the daemon on a box that has power and no daemon. What an earlier run left behind is removed first.
    pub(super) fn start(&mut self, side: Side) {
        let index = side.index();
        let gateway = &self.boxes[index];
        if !gateway.is_up() || gateway.agent.is_some() || gateway.guard.is_some() {
            return;
        }
        for group in self.setup.policy.group_ids() {
            self.set_held(side, group, None);
        }
        let byte = |chance: &mut Chance| u8::try_from(chance.below(256)).unwrap_or(0);
        let incarnation = std::array::from_fn(|_| byte(&mut self.chance));
        let secret = std::array::from_fn(|_| byte(&mut self.chance));
        let brain = match self.rule {
            Rule::Crosswire => self.boxes[index].core(&self.setup, side, Entropy { incarnation, secret }, self.now),
            rule => {
                Brain::Rival(Box::new(Rival::new(rule, &self.setup, side, self.boxes[index].clock.local(self.now))))
            }
        };
        let gateway = &mut self.boxes[index];
        gateway.run += 1;
        gateway.agent = Some(brain);
        gateway.is_agent_stopped = false;
        gateway.has_exited = false;
        gateway.started_with = (gateway.key, gateway.pair, gateway.digest);
        gateway.inbox = super::gateway::Inbox::empty(self.setup.policy.paths.len());
        gateway.guard = Some(super::guard::Guard::new(gateway.run, &self.setup.scripts, self.now));
        self.watch.become_started(side, self.now);
        self.note_marks();
        self.boxes[index].inbox.told.push_back(Told::Links);
        self.agent_turn(side);
    }

    pub(super) fn schedule_wake(&mut self, side: Side) {
        let gateway = &self.boxes[side.index()];
        let Some(agent) = &gateway.agent else { return };
        let at = agent.next_deadline(gateway.clock.local(self.now));
        if at == Instant::NEVER {
            return;
        }
        let (at, run) = (gateway.clock.true_time(at), gateway.run);
        let late = Span::from_us(self.chance.below(self.setup.wakes_late.as_us() + 1));
        self.schedule(at.since(self.now) + late, side, run, What::Wake);
        self.boxes[side.index()].wake = self.seq;
    }

    pub(super) fn tell(&mut self, side: Side, told: Told) {
        let run = self.boxes[side.index()].run;
        self.schedule(SOCKET_TAKES, side, run, What::Told(told));
    }

    pub(super) fn schedule(&mut self, after: Span, side: Side, run: u32, what: What) {
        self.seq += 1;
        self.queue.push(Reverse(Due { at: self.now + after, seq: self.seq, side, run, what }));
    }

    /// For whatever run of the daemon there is by then.
    pub(super) fn schedule_for_any(&mut self, after: Span, side: Side, what: What) {
        self.schedule(after, side, ANY_RUN, what);
    }

    /// Brings all marks up to date. After everything that changes what works.
    pub(super) fn note_marks(&mut self) {
        for link in &mut self.links {
            link.note(self.now);
        }
        for gateway in &mut self.boxes {
            gateway.note(self.now);
        }
    }
}

/// The address of a side's network card.
pub const fn mac(side: Side) -> [u8; 6] {
    match side {
        Side::A => [2, 0, 0, 0, 0, 0xa],
        Side::B => [2, 0, 0, 0, 0, 0xb],
    }
}
