//! A world in virtual time for two nodes of the shipped decision core: a cable, a LAN, two kernels whose addresses expire,
//! two guards. Everything is deterministic; chance comes from a seed.
//!
//! The world is what the nodes cannot see: it knows who really holds an address, and keeps the times at which both do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crosswire::config::{GroupId, PathId, PathKind, Policy, Side};
use crosswire::frame::delimit::wrap;
use crosswire::frame::session::Entropy;
use crosswire::frame::{Key, Keyring};
use crosswire::quorum::event::Request;
use crosswire::quorum::record::Record;
use crosswire::quorum::{Effect, Effects, Event, Node};
use crosswire::resource::{Fault, Order, Outcome, ReleaseOrder, Ticket, Token};
use crosswire::time::{Instant, Span};

/// How long the guard takes to carry out an order.
const GUARD_TAKES: Span = Span::from_us(400);
/// How long a frame takes over the LAN, and an ARP answer each way.
const LAN_TAKES: Span = Span::from_us(200);
/// Bit rate of the cable.
const BAUD: u64 = 19_200;

/// Something that will happen.
#[derive(Clone, Debug)]
enum What {
    /// The agent's own deadline.
    Wake,
    /// Bytes arrive on a path.
    Arrive(PathId, Vec<u8>),
    /// An order reaches the guard.
    Order(Ticket),
    /// An outcome reaches the agent.
    Done(Token, Outcome),
    /// An ARP answer for a VIP.
    VipAnswered(GroupId),
    /// An ARP answer for the peer's own address.
    PeerAnswered,
    /// The kernel's lifetime of a group's addresses may have ended.
    Expire(GroupId),
}

#[derive(Clone, Debug)]
struct Due {
    at: Instant,
    seq: u64,
    side: Side,
    /// For which run of the agent; `None`: for the box.
    run: Option<u8>,
    what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// One box.
struct Gateway {
    is_powered: bool,
    node: Option<Node>,
    run: u8,
    /// The agent is stopped: what arrives waits.
    is_agent_stopped: bool,
    is_guard_stopped: bool,
    waiting: Vec<What>,
    /// The one wake-up that counts: an earlier one was overtaken.
    wake: u64,
    /// Until when the kernel keeps each group's addresses; `None`: not held.
    held_until: Vec<Option<Instant>>,
    has_exited: bool,
}

/// Faults of one direction of one path.
#[derive(Clone, Copy, Default, Debug)]
pub struct Direction {
    /// Nothing gets through.
    pub is_cut: bool,
    /// Frames lost, in permille.
    pub loss_permille: u32,
}

/// Two boxes, a cable, a LAN.
pub struct World {
    policy: Policy,
    key_of: [u8; 2],
    now: Instant,
    seq: u64,
    queue: BinaryHeap<Reverse<Due>>,
    boxes: [Gateway; 2],
    /// By path, then by the side that sends.
    pub directions: Vec<[Direction; 2]>,
    chance: Chance,
    /// What the nodes recorded, in order.
    pub records: Vec<(Instant, Side, Record)>,
    /// When both kernels held a group's addresses although the nodes could have known: since and for how long.
    pub overlaps: Vec<(Instant, Span)>,
    /// The documented split: both kernels held a group's addresses, and no way to know was left when that began.
    pub splits: Vec<(Instant, Span)>,
    overlap_since: Vec<Option<(Instant, bool)>>,
}

/// xorshift64*: small, seeded, good enough to break things with.
pub struct Chance(u64);

impl Chance {
    /// A source with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit.max(1)
    }
}

impl World {
    /// Two boxes that are off, everything plugged in.
    pub fn new(policy: Policy, seed: u64) -> Self {
        let gateway = || Gateway {
            is_powered: false,
            node: None,
            run: 0,
            is_agent_stopped: false,
            is_guard_stopped: false,
            waiting: Vec::new(),
            wake: 0,
            held_until: vec![None; policy.groups.len()],
            has_exited: false,
        };
        Self {
            key_of: [7, 7],
            now: Instant::from_us(1_000_000),
            seq: 0,
            queue: BinaryHeap::new(),
            boxes: [gateway(), gateway()],
            directions: vec![[Direction::default(); 2]; policy.paths.len()],
            chance: Chance::new(seed),
            records: Vec::new(),
            overlaps: Vec::new(),
            splits: Vec::new(),
            overlap_since: vec![None; policy.groups.len()],
            policy,
        }
    }

    /// Gives a box another key than its peer has.
    pub fn set_key(&mut self, side: Side, fill: u8) {
        self.key_of[side.index()] = fill;
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The node of a box, if its agent runs.
    pub fn node(&self, side: Side) -> Option<&Node> {
        self.boxes[side.index()].node.as_ref()
    }

    /// Whether a box's kernel holds a group's addresses.
    pub fn holds(&self, side: Side, group: GroupId) -> bool {
        let gateway = &self.boxes[side.index()];
        gateway.is_powered && gateway.held_until[group.index()].is_some_and(|until| self.now < until)
    }

    /// The sides that hold a group.
    pub fn holders(&self, group: GroupId) -> Vec<Side> {
        [Side::A, Side::B].into_iter().filter(|side| self.holds(*side, group)).collect()
    }

    /// Whether the agent ended by itself.
    pub fn has_exited(&self, side: Side) -> bool {
        self.boxes[side.index()].has_exited
    }

    /// Starts a box, or its agent and guard anew. Addresses that an earlier run left behind are removed first.
    pub fn start(&mut self, side: Side) {
        let fill = self.key_of[side.index()];
        let key = Key { id: 1, bytes: std::iter::repeat_n(fill, 16).collect() };
        let run = self.boxes[side.index()].run.wrapping_add(1);
        let random = |chance: &mut Chance| u8::try_from(chance.below(256)).unwrap_or(0);
        let incarnation = std::array::from_fn(|_| random(&mut self.chance));
        let secret = std::array::from_fn(|_| random(&mut self.chance));
        let entropy = Entropy { incarnation, secret };
        let keys = Keyring::new("pair", &[key]);
        let node = Node::new("pair", self.policy.clone(), side, keys, entropy, self.now);
        let gateway = &mut self.boxes[side.index()];
        gateway.is_powered = true;
        gateway.node = Some(node);
        gateway.run = run;
        (gateway.is_agent_stopped, gateway.is_guard_stopped, gateway.has_exited) = (false, false, false);
        gateway.waiting.clear();
        for id in self.policy.group_ids() {
            self.set_held(side, id, None);
            self.step(side, Event::Carrier(id, true));
        }
        for id in self.policy.path_ids() {
            self.step(side, Event::PathOpened(id));
        }
        self.step(side, Event::Tick);
        self.schedule_wake(side);
    }

    /// The mains fail: kernel, agent and guard are gone at once.
    pub fn power_cut(&mut self, side: Side) {
        for id in self.policy.group_ids() {
            self.set_held(side, id, None);
        }
        let gateway = &mut self.boxes[side.index()];
        gateway.is_powered = false;
        gateway.node = None;
    }

    /// `kill -9` of agent and guard: the kernel keeps the addresses for the rest of their lifetime.
    pub fn kill(&mut self, side: Side) {
        self.boxes[side.index()].node = None;
    }

    /// SIGSTOP of agent and guard.
    pub fn freeze(&mut self, side: Side) {
        let gateway = &mut self.boxes[side.index()];
        (gateway.is_agent_stopped, gateway.is_guard_stopped) = (true, true);
    }

    /// SIGCONT: what arrived in the meantime is read first, as the agent does.
    pub fn thaw(&mut self, side: Side) {
        let gateway = &mut self.boxes[side.index()];
        (gateway.is_agent_stopped, gateway.is_guard_stopped) = (false, false);
        let (orders, events): (Vec<_>, Vec<_>) =
            gateway.waiting.drain(..).partition(|what| matches!(what, What::Order(_)));
        for what in events.into_iter().chain(orders) {
            self.deliver(side, what);
        }
        if self.boxes[side.index()].node.is_some() {
            self.step(side, Event::Tick);
            self.schedule_wake(side);
        }
    }

    /// Cuts or heals both directions of a path.
    pub fn cut(&mut self, path: PathId, is_cut: bool) {
        for direction in &mut self.directions[path.index()] {
            direction.is_cut = is_cut;
        }
    }

    /// The operator's request to one node.
    pub fn ask(&mut self, side: Side, request: Request) {
        self.step(side, Event::Operator(request));
        self.step(side, Event::Tick);
        self.schedule_wake(side);
    }

    /// SIGTERM.
    pub fn stop(&mut self, side: Side) {
        self.step(side, Event::Stop);
        self.step(side, Event::Tick);
        self.schedule_wake(side);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Span) {
        let until = self.now + span;
        while self.queue.peek().is_some_and(|Reverse(due)| due.at <= until) {
            let Some(Reverse(due)) = self.queue.pop() else { break };
            self.now = self.now.max(due.at);
            self.happen(due);
        }
        self.now = until;
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
        let gateway = &mut self.boxes[due.side.index()];
        if !gateway.is_powered || due.run.is_some_and(|run| run != gateway.run) {
            return;
        }
        if matches!(due.what, What::Wake) && due.seq != gateway.wake {
            return;
        }
        let is_for_guard = matches!(due.what, What::Order(_));
        let is_for_agent = !is_for_guard && !matches!(due.what, What::Expire(_));
        if (is_for_agent && gateway.is_agent_stopped) || (is_for_guard && gateway.is_guard_stopped) {
            if !matches!(due.what, What::Wake) {
                gateway.waiting.push(due.what);
            }
            return;
        }
        self.deliver(due.side, due.what);
        if is_for_agent && self.boxes[due.side.index()].node.is_some() {
            self.step(due.side, Event::Tick);
            self.schedule_wake(due.side);
        }
    }

    fn deliver(&mut self, side: Side, what: What) {
        match what {
            What::Wake => {}
            What::Arrive(path, bytes) => match self.policy.paths[path.index()].kind {
                PathKind::Serial => self.step(side, Event::Bytes(path, &bytes)),
                PathKind::Lan => self.step(side, Event::Datagram(path, &bytes)),
            },
            What::Order(ticket) => self.carry_out(side, ticket),
            What::Done(token, outcome) => self.step(side, Event::Done(token, outcome)),
            What::VipAnswered(group) => self.step(side, Event::VipAnswered(group, [2; 6])),
            What::PeerAnswered => self.step(side, Event::PeerAnswered),
            What::Expire(group) => {
                if self.boxes[side.index()].held_until[group.index()].is_some_and(|until| until <= self.now) {
                    self.set_held(side, group, None);
                }
            }
        }
    }

    fn step(&mut self, side: Side, event: Event<'_>) {
        let Some(node) = &mut self.boxes[side.index()].node else { return };
        let mut effects = Effects::new();
        node.step(self.now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send(path, body) => self.transmit(side, path, &body),
                Effect::Order(ticket) => {
                    let run = self.boxes[side.index()].run;
                    self.schedule(GUARD_TAKES, side, Some(run), What::Order(ticket));
                }
                Effect::Record(record) => self.records.push((self.now, side, record)),
                Effect::Reply(_) | Effect::AskWitnesses | Effect::ShowHolding(_) => {}
                Effect::Exit => {
                    self.boxes[side.index()].node = None;
                    self.boxes[side.index()].has_exited = true;
                    return;
                }
            }
        }
    }

    fn transmit(&mut self, from: Side, path: PathId, body: &crosswire::frame::Body) {
        let direction = self.directions[path.index()][from.index()];
        if direction.is_cut || self.chance.below(1_000) < u64::from(direction.loss_permille) {
            return;
        }
        let (bytes, takes) = match self.policy.paths[path.index()].kind {
            PathKind::Serial => {
                let line = wrap(body).to_vec();
                let takes = Span::from_us(line.len() as u64 * 10 * 1_000_000 / BAUD);
                (line, takes)
            }
            PathKind::Lan => (body.to_vec(), LAN_TAKES),
        };
        self.schedule(takes, from.peer(), None, What::Arrive(path, bytes));
    }

    /// The guard's part, against this box's kernel.
    fn carry_out(&mut self, side: Side, ticket: Ticket) {
        let is_late = self.now > ticket.valid_until;
        let until = self.now + self.policy.lease;
        let outcome = match ticket.order {
            Order::Acquire { .. } | Order::Renew { .. } | Order::Probe { .. } if is_late => {
                Outcome::Failed(Fault::TooLate)
            }
            Order::Acquire { group, .. } => {
                self.set_held(side, group, Some(until));
                Outcome::Serving
            }
            Order::Renew { group } if self.holds(side, group) => {
                self.set_held(side, group, Some(until));
                Outcome::Renewed
            }
            Order::Renew { .. } => Outcome::Failed(Fault::OutOfOrder),
            Order::Release { group, first: ReleaseOrder::ScriptsFirst | ReleaseOrder::AddressesFirst } => {
                self.set_held(side, group, None);
                Outcome::Released
            }
            Order::Announce { .. } => return,
            Order::Fence { .. } => Outcome::Failed(Fault::NoFence),
            Order::Probe { group } => {
                self.probe(side, group);
                Outcome::Probed { at: self.now }
            }
        };
        if let Order::Acquire { group, .. } | Order::Renew { group } = ticket.order {
            self.schedule(self.policy.lease, side, None, What::Expire(group));
        }
        let run = self.boxes[side.index()].run;
        self.schedule(Span::from_us(50), side, Some(run), What::Done(ticket.token, outcome));
    }

    fn probe(&mut self, side: Side, group: GroupId) {
        let both_ways = self.policy.path_ids().any(|path| {
            self.policy.paths[path.index()].kind == PathKind::Lan
                && self.directions[path.index()].iter().all(|direction| !direction.is_cut)
        });
        let peer = side.peer();
        if !both_ways || !self.boxes[peer.index()].is_powered {
            return;
        }
        self.schedule(LAN_TAKES + LAN_TAKES, side, None, What::PeerAnswered);
        if self.holds(peer, group) {
            self.schedule(LAN_TAKES + LAN_TAKES, side, None, What::VipAnswered(group));
        }
    }

    fn set_held(&mut self, side: Side, group: GroupId, until: Option<Instant>) {
        self.boxes[side.index()].held_until[group.index()] = until;
        let both = [Side::A, Side::B].into_iter().all(|side| self.holds(side, group));
        let is_apart = self.is_apart();
        let since = &mut self.overlap_since[group.index()];
        match (*since, both) {
            (None, true) => *since = Some((self.now, is_apart)),
            (Some((at, was_apart)), false) => {
                *since = None;
                let list = if was_apart { &mut self.splits } else { &mut self.overlaps };
                list.push((at, self.now.since(at)));
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// No way is left by which a node could learn of the other's kernel: every LAN is cut, so that no probe gets through,
    /// and every cable is cut or has nobody at one of its ends. What happens then, physics forces.
    fn is_apart(&self) -> bool {
        let has_nobody = self.boxes.iter().any(|gateway| gateway.node.is_none() || gateway.is_agent_stopped);
        self.policy.paths.iter().zip(&self.directions).all(|(path, directions)| {
            directions.iter().any(|direction| direction.is_cut) || (path.kind == PathKind::Serial && has_nobody)
        })
    }

    fn schedule_wake(&mut self, side: Side) {
        let gateway = &self.boxes[side.index()];
        let Some(node) = &gateway.node else { return };
        let (at, _) = node.next_deadline(self.now);
        if at < Instant::NEVER {
            let run = gateway.run;
            self.schedule(at.since(self.now), side, Some(run), What::Wake);
            self.boxes[side.index()].wake = self.seq;
        }
    }

    fn schedule(&mut self, after: Span, side: Side, run: Option<u8>, what: What) {
        self.seq += 1;
        self.queue.push(Reverse(Due { at: self.now + after, seq: self.seq, side, run, what }));
    }
}
