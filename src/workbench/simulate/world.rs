//! The world in virtual time: two boxes, their paths, and a queue of what will happen.
//!
//! It knows what the nodes cannot: who really holds an address, whose frame it is, what was damaged. The
//! checkers judge by that. Everything is deterministic; chance comes from the seed.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use crosswire::custody::End;
use crosswire::frame::session::Entropy;
use crosswire::pair::{GroupId, PathId, PathKind, Side};
use crosswire::quorum::Effects;
use crosswire::quorum::succession::Succession;
use crosswire::time::{Instant, Span};
use crosswire::vote::wire::{QUESTION_BYTES, REPLY_BYTES};

use super::chance::Chance;
use super::checkers::Watch;
use super::clock::BEGINNING;
use super::fault::WitnessId;
use super::gateway::{Brain, Gateway, Packet, ScriptRun};
use super::guard::Told;
use super::hash::Hash;
use super::rival::{Rival, Rule};
use super::setup::Setup;
use super::story::Story;
use super::wire::{Frame, Link, VotingWitness, Witness};

/// How long a message between the two processes of a box takes, until its reader has it.
const SOCKET_TAKES: Span = Span::from_us(60);
/// How long the guard takes to carry out an order.
pub const GUARD_TAKES: Span = Span::from_us(300);
/// How long a frame takes over a healthy LAN.
pub const LAN_TAKES: Span = Span::from_us(150);
/// Both sides.
pub const SIDES: [Side; 2] = [Side::A, Side::B];

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum What {
    /// The agent's own deadline.
    Wake,
    /// The agent finds out that something has arrived.
    Roused,
    /// The agent goes on in the middle of its turn.
    GoOn(u32),
    /// Bytes arrive.
    Arrive(Frame),
    /// The guard reads its orders.
    GuardTurn,
    /// The guard tells the agent something, over this socket pair.
    Told(u32, Told),
    /// The agent's listeners hear something.
    Packet(Packet),
    /// A witness answers what it was asked at this instant of the box's own clock.
    Sighting(WitnessId, Instant),
    /// A question reaches the voting witness.
    Question(Box<[u8; QUESTION_BYTES]>),
    /// A reply of the voting witness arrives.
    Reply(Box<[u8; REPLY_BYTES]>),
    /// A neighbour answers what it was asked at this instant of the box's own clock.
    Neighbour(Instant),
    /// The fence that was begun for this order ends.
    FenceEnds,
    /// The lifetime of a group's addresses may have ended.
    Expire(GroupId),
    /// A script ends: which run of it, and whether well.
    ScriptEnds(ScriptRun, End),
    /// The guard's own deadline.
    GuardWakes,
    /// A box's watchdog may not have been petted.
    WatchdogFires,
    /// A stall is over.
    StallEnds(u32),
    /// An agent whose guard is gone has seen the lease out.
    AgentEnds,
    /// An agent begins on this socket pair, with what its predecessor left.
    AgentBegins(u32, Box<Succession>),
    /// The daemon is started.
    Boot,
}

/// For whom: any run of the daemon, or only this one.
pub(super) const ANY_RUN: u32 = 0;

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
pub(super) struct Spare(pub(super) Option<Box<Effects>>);

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
    pub(super) seq: u64,
    queue: BinaryHeap<Reverse<Due>>,
    pub(super) boxes: [Gateway; 2],
    pub(super) links: Vec<Link>,
    pub(super) witnesses: Vec<Witness>,
    pub(super) voting: VotingWitness,
    /// By side: third parties are on its half of the groups' LAN.
    pub(super) neighbours: [bool; 2],
    /// How often a box has asked its neighbours.
    pub asked_neighbours: u64,
    /// By group: since when a stranger has had its addresses.
    pub(super) strangers: Vec<Option<Instant>>,
    pub(super) chance: Chance,
    pub(super) frames: u64,
    pub(super) recorded: Vec<[VecDeque<Frame>; 2]>,
    pub(super) rule: Rule,
    /// The checkers.
    pub watch: Watch,
    /// Everything that happened, if a story was asked for.
    pub story: Option<Story>,
    /// A hash over all effects.
    pub hash: Hash,
    /// How many steps the nodes took.
    pub steps: u64,
    pub(super) spare: Spare,
}

impl World {
    /// Two boxes that are off, everything plugged in. The nodes are of the shipped core.
    pub fn new(setup: Setup, seed: u64) -> Self {
        Self::with_rule(setup, seed, Rule::Crosswire)
    }

    /// The same for another rule.
    pub fn with_rule(mut setup: Setup, seed: u64, rule: Rule) -> Self {
        setup.place_interfaces();
        let now = BEGINNING;
        let mut world = Self {
            boxes: [Gateway::new(&setup, Side::A, now), Gateway::new(&setup, Side::B, now)],
            links: vec![Link::new(now); setup.policy.paths.len()],
            neighbours: setup.neighbours.unwrap_or_default(),
            asked_neighbours: 0,
            witnesses: setup.witnesses.iter().chain(&setup.vote).map(|place| Witness::new(*place)).collect(),
            voting: VotingWitness::settled(),
            strangers: vec![None; setup.policy.groups.len()],
            recorded: vec![Default::default(); setup.policy.paths.len()],
            watch: Watch::new(&setup),
            now,
            seq: 0,
            queue: BinaryHeap::new(),
            chance: Chance::new(seed),
            frames: 0,
            rule,
            story: None,
            hash: Hash::default(),
            steps: 0,
            spare: Spare::default(),
            setup,
        };
        if let Some(home) = world.home() {
            world.links[home.index()].is_filtered = world.setup.is_filtered;
        }
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
    pub fn node(&self, side: Side) -> Option<&crosswire::station::Station> {
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
        if let What::Question(question) = &what {
            // What becomes of the box that asked does not matter any more.
            return self.answer_vote(side, question);
        }
        let gateway = &mut self.boxes[side.index()];
        if !gateway.is_powered || (run != ANY_RUN && run != gateway.run) {
            return;
        }
        if matches!(what, What::WatchdogFires) {
            return self.watchdog_fires(side);
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
            What::Roused => {
                gateway.is_roused = false;
                if !gateway.ready(gateway.clock.local(self.now)).is_empty() {
                    self.agent_turn(side);
                }
            }
            What::GoOn(hold_up) => self.end_hold_up(side, hold_up),
            What::Arrive(frame) => self.arrive(side, frame),
            What::GuardTurn => self.guard_turn(side),
            What::Told(link, told) => {
                if link == gateway.link {
                    self.hear_of(side, told);
                }
            }
            What::Packet(packet) => self.catch(side, packet),
            What::Sighting(witness, asked_at) => self.sight(side, witness, asked_at),
            What::Question(_) => {}
            What::Reply(reply) => self.receive_vote(side, &reply),
            What::Neighbour(asked_at) => self.meet_neighbour(side, asked_at),
            What::FenceEnds => self.fence_ends(side),
            What::Expire(group) => self.expire(side, group),
            What::ScriptEnds(script, end) => self.script_ends(side, script, end),
            What::GuardWakes => self.guard_wakes(side),
            What::WatchdogFires => {}
            What::StallEnds(stall) => {
                if gateway.stall == stall {
                    self.continue_agent(side);
                }
            }
            What::AgentEnds => {
                gateway.agent = None;
                self.note_marks();
            }
            What::AgentBegins(link, succession) => self.agent_begins(side, link, &succession),
            What::Boot => self.start(side),
        }
        self.watch_overlaps();
        self.narrate_holders();
    }

    fn arrive(&mut self, side: Side, frame: Frame) {
        let is_serial = self.kind(frame.path) == PathKind::Serial;
        let gateway = &mut self.boxes[side.index()];
        // Without a process, a port or a socket nobody keeps the frame.
        if gateway.agent.is_none() || !self.links[frame.path.index()].is_up[side.index()] {
            return;
        }
        let (path, stamp) = (frame.path, frame.stamp);
        if gateway.inbox.keep(frame, is_serial) {
            if let Some(stamp) = stamp {
                self.note_arrival(side, path, is_serial, &stamp);
            }
            let gateway = &self.boxes[side.index()];
            if gateway.clock.local(self.now) >= gateway.waits_until(path) {
                self.rouse(side);
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

    /// Starts the daemon on a box that has power and no daemon. What an earlier run left behind is removed
    /// first.
    pub(super) fn start(&mut self, side: Side) {
        let index = side.index();
        let gateway = &self.boxes[index];
        if !gateway.is_up()
            || gateway.agent.is_some()
            || gateway.guard.is_some()
            || self.has_strange_marks(side)
        {
            return;
        }
        self.drop_all(side);
        let byte = |chance: &mut Chance| u8::try_from(chance.below(256)).unwrap_or(0);
        let incarnation = std::array::from_fn(|_| byte(&mut self.chance));
        let secret = std::array::from_fn(|_| byte(&mut self.chance));
        let gateway = &mut self.boxes[index];
        gateway.started_with = (gateway.key, gateway.pair, gateway.digest);
        let brain = match self.rule {
            Rule::Crosswire => {
                self.boxes[index].core(&self.setup, side, Entropy { incarnation, secret }, self.now)
            }
            rule => Brain::Rival(Box::new(Rival::new(
                rule,
                &self.setup,
                side,
                self.boxes[index].clock.local(self.now),
            ))),
        };
        let gateway = &mut self.boxes[index];
        gateway.run += 1;
        gateway.agent_run += 1;
        gateway.agent = Some(brain);
        gateway.link += 1;
        gateway.is_showing_holding = false;
        gateway.begin_afresh(&self.setup);
        let local = gateway.clock.local(self.now);
        let plan = self.setup.custody_plan(gateway.started_with.2);
        gateway.guard = Some(super::guard::Guard::new(gateway.run, plan, local));
        self.watch.become_started(side, self.now);
        self.arm_watchdog(side);
        self.inherit_scripts(side);
        self.note_marks();
        self.boxes[index].inbox.told.push_back(Told::Links);
        self.agent_turn(side);
    }

    pub(super) fn schedule_wake(&mut self, side: Side) {
        let gateway = &self.boxes[side.index()];
        let Some(agent) = &gateway.agent else { return };
        let local = gateway.clock.local(self.now);
        let waiting = self.setup.policy.path_ids().map(|path| agent.waits_until(path));
        let at = waiting.filter(|at| *at > local).fold(agent.next_deadline(local), Instant::min);
        self.boxes[side.index()].waits_until = at;
        if at == Instant::NEVER {
            return;
        }
        let gateway = &self.boxes[side.index()];
        let (at, run) = (gateway.clock.true_time(at), gateway.run);
        let late = Span::from_us(self.chance.below(self.setup.wakes_late.as_us() + 1));
        self.schedule(at.since(self.now) + late, side, run, What::Wake);
        self.boxes[side.index()].wake = self.seq;
    }

    pub(super) fn tell(&mut self, side: Side, told: Told) {
        let (run, link) = (self.boxes[side.index()].run, self.boxes[side.index()].link);
        self.schedule(SOCKET_TAKES, side, run, What::Told(link, told));
    }

    pub(super) fn schedule(&mut self, after: Span, side: Side, run: u32, what: What) {
        self.seq += 1;
        self.queue.push(Reverse(Due { at: self.now + after, seq: self.seq, side, run, what }));
    }

    /// Schedules something for whichever run of the daemon there is by then.
    pub(super) fn schedule_for_any(&mut self, after: Span, side: Side, what: What) {
        self.schedule(after, side, ANY_RUN, what);
    }

    /// Brings all marks up to date. Call it after everything that changes what works.
    pub(super) fn note_marks(&mut self) {
        for link in &mut self.links {
            link.note(self.now);
        }
        for gateway in &mut self.boxes {
            gateway.note(self.now);
        }
        for side in SIDES {
            let is_alone = !self.has_neighbour(side);
            self.watch.neighbourless[side.index()].set(self.now, is_alone);
        }
    }
}
