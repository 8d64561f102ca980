//! An Ethernet switch whose every port can be made to misbehave.
//!
//! Each network interface of a node or the client is one end of a veth; the other end lies in the switch's
//! namespace, where one thread reads it through a packet socket, learns hardware addresses, and sends frames
//! out of the right ports.
//!
//! Why not the kernel's bridge: a test must lose 40 % of the frames by a seed, block one direction or one UDP
//! port, and delay. On a bridge that needs traffic control or netfilter, whose modules some kernels lack,
//! whose randomness has no seed, and whose tools may not be installed. Packet sockets and veth are in every
//! kernel that has namespaces, work inside a user namespace, and a fault here takes effect between two
//! frames: when [`Switch::set`] has returned, no frame passes any more under the old rules. The price is two
//! thread wake-ups per echo, some ten microseconds each (`tests/lab` prints the figure), against outages of
//! 10 ms and more that are measured through it.
//!
//! Frames that a kernel sends into a veth may have checksums that only hardware would fill in, and be larger
//! than the MTU; [`plug`](Switch::plug) turns both offloads off, or the receiving kernel would discard what
//! comes out of the packet socket.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crosswire::time::{Instant, Span};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{MsgFlags, send};

use super::clock::{go_first, now, sleep_until, span, wait_until};
use super::dice::Dice;
use super::doing;
use super::frames::{Mac, destination, is_for_many, is_udp_of, source};
use super::namespace::Namespace;
use super::packet::{open_packet_socket, without_offloads};
use super::rtnl::VethEnd;
use super::stamp::receive;
use super::worker::{Bell, Worker};

/// Longest frame: an Ethernet frame of the default MTU, with room for tags.
const FRAME_BYTES: usize = 2_048;
/// Frames taken from one port before the others are looked at.
const FRAMES_A_TURN: usize = 32;
/// Frames that may be on their way when a delay is set; more are lost, as in a real queue.
const MAX_DELAYED_FRAMES: usize = 10_000;
/// Longest until the kernel has noticed that both ends of a link are up.
const LINK_WAIT: Duration = Duration::from_secs(2);
/// Shortest time that a frame has lain to be told of.
const STALL: Span = Span::from_ms(1);
/// Index of the first switch-side interface; those of nodes start at [`FIRST_NODE_INDEX`], so that no pair
/// shares one.
const FIRST_PORT_INDEX: u32 = 100;
/// Index of the first interface of a node.
const FIRST_NODE_INDEX: u32 = 2;

/// What is wrong with one direction of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// Nothing passes; carrier is kept.
    pub blocked: bool,
    /// How many of 100 frames are lost, at random by the switch's seed.
    pub loss_percent: u32,
    /// UDP from or to this port is lost, everything else passes.
    pub blocked_udp_port: Option<u16>,
    /// Every frame is late by this.
    pub delay: Duration,
}

/// What is wrong with a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortRules {
    /// Frames that the node sends.
    pub from_node: Rule,
    /// Frames that the node receives.
    pub to_node: Rule,
}

impl PortRules {
    /// Both directions alike.
    pub fn both(rule: Rule) -> Self {
        Self { from_node: rule, to_node: rule }
    }

    /// Nothing passes in either direction; the node keeps its carrier.
    pub fn silent() -> Self {
        Self::both(Rule { blocked: true, ..Rule::default() })
    }
}

/// A port of the switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PortId(usize);

/// What a port has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortCounters {
    /// Frames that the node sent and the switch saw.
    pub from_node: u64,
    /// Frames handed to the node.
    pub to_node: u64,
    /// Frames lost by a rule of this port.
    pub lost: u64,
}

/// The switch; it stops when dropped.
pub struct Switch {
    shared: Arc<Mutex<Fabric>>,
    worker: Worker,
    namespace: Namespace,
}

struct Port {
    socket: Arc<OwnedFd>,
    /// Index of the switch's end of the veth.
    index: u32,
    /// Broadcast domain: frames never leave it.
    lan: u8,
    rules: PortRules,
    counters: PortCounters,
}

struct Late {
    due: Instant,
    from: usize,
    to: usize,
    frame: Vec<u8>,
}

/// Everything that the thread and the owner share.
struct Fabric {
    ports: Vec<Port>,
    learned: BTreeMap<(u8, Mac), usize>,
    late: VecDeque<Late>,
    /// Two ports between which nothing passes, whatever else they reach.
    parted: Option<[usize; 2]>,
    dice: Dice,
    /// When frames came and were taken that had lain.
    stalls: Vec<(Instant, Instant)>,
}

impl Switch {
    /// A switch without ports, in a namespace of its own; `seed` decides which frames are lost.
    ///
    /// # Errors
    /// The kernel's, without the right to make namespaces.
    pub fn new(seed: u64) -> io::Result<Self> {
        let namespace = Namespace::new("switch")?;
        let fabric = Fabric {
            ports: Vec::new(),
            learned: BTreeMap::new(),
            late: VecDeque::new(),
            parted: None,
            dice: Dice::new(seed),
            stalls: Vec::new(),
        };
        let shared = Arc::new(Mutex::new(fabric));
        let theirs = Arc::clone(&shared);
        let worker = Worker::start("switch", move |bell| forward(&theirs, bell))?;
        Ok(Self { shared, worker, namespace })
    }

    /// Plugs a new interface `name` of `node` in: a port in broadcast domain `lan`. Both ends are up on
    /// return.
    ///
    /// # Errors
    /// The kernel's: EOPNOTSUPP without veth, EEXIST for a name that the node has.
    pub fn plug(&self, node: &Namespace, name: &str, lan: u8) -> io::Result<PortId> {
        let mut fabric = lock(&self.shared);
        let id = fabric.ports.len();
        let number = u32::try_from(id).unwrap_or(u32::MAX);
        let mac = |side| [0x02, 0x77, lan, 0, side, u8::try_from(id).unwrap_or(u8::MAX)];
        let port = VethEnd { name: format!("port{id}"), index: FIRST_PORT_INDEX + number, mac: mac(1) };
        let nic = VethEnd { name: name.to_owned(), index: FIRST_NODE_INDEX + number, mac: mac(0) };
        let what = format!("plugging {name} of {} into the switch", node.name());
        self.namespace.rtnl().add_veth(&port, &nic, node).map_err(doing(&what))?;
        // Without IPv6 in the kernel there is nothing to switch off.
        let _ = self.namespace.rtnl().without_ipv6_autoconfiguration(port.index);
        node.run_in(|| without_offloads(&nic.name))?.map_err(doing(&what))?;
        let socket = self.namespace.run_in(|| open_packet_socket(port.index))?.map_err(doing(&what))?;
        let (rules, counters) = (PortRules::default(), PortCounters::default());
        fabric.ports.push(Port { socket: Arc::new(socket), index: port.index, lan, rules, counters });
        drop(fabric);
        self.worker.ring();
        self.namespace.rtnl().set_up(port.index, true).map_err(doing(&what))?;
        node.rtnl().set_up(nic.index, true).map_err(doing(&what))?;
        self.wait_until_running(port.index)?;
        wait_until(&what, LINK_WAIT, || Ok(node.rtnl().link_state(nic.index)?.running))?;
        Ok(PortId(id))
    }

    /// Interface index, inside the node, of what is plugged into `port`.
    pub fn node_interface(&self, port: PortId) -> u32 {
        FIRST_NODE_INDEX + u32::try_from(port.0).unwrap_or(u32::MAX)
    }

    /// Sets what is wrong with `port` from now on; on return the old rules let no further frame pass. Frames
    /// already delayed arrive late unless the new rules block their port.
    pub fn set(&self, port: PortId, rules: PortRules) {
        if let Some(port) = lock(&self.shared).ports.get_mut(port.0) {
            port.rules = rules;
        }
    }

    /// From now on nothing passes between these two ports, whatever else they reach; `None` mends that.
    pub fn part(&self, ports: Option<[PortId; 2]>) {
        lock(&self.shared).parted = ports.map(|ports| ports.map(|port| port.0));
    }

    /// Gives or takes the carrier that the node sees, as when the switch port goes down. A port that was
    /// given its carrier back forwards again on return.
    ///
    /// # Errors
    /// The kernel's; `TimedOut` if the node keeps its interface down.
    pub fn set_carrier(&self, port: PortId, present: bool) -> io::Result<()> {
        let index = lock(&self.shared).ports.get(port.0).map(|port| port.index);
        let index = index.ok_or_else(|| io::Error::other(format!("no switch port {}", port.0)))?;
        if self.namespace.rtnl().link_state(index)?.up == present {
            return Ok(());
        }
        self.namespace.rtnl().set_up(index, present).map_err(doing("the carrier of a switch port"))?;
        if present { self.wait_until_running(index) } else { Ok(()) }
    }

    /// The kernel discards frames for a link until its own worker has noticed the carrier; a lost neighbour
    /// query would only be repeated a second later.
    fn wait_until_running(&self, index: u32) -> io::Result<()> {
        wait_until("the carrier of a switch port", LINK_WAIT, || {
            Ok(self.namespace.rtnl().link_state(index)?.running)
        })
        .map(drop)
    }

    /// The one port behind which the switch has learned a hardware address.
    pub fn learned(&self, lan: u8, mac: Mac) -> Option<PortId> {
        lock(&self.shared).learned.get(&(lan, mac)).copied().map(PortId)
    }

    /// From when until when, since then, a frame lay before the machine ran the switch, where that was a
    /// millisecond and more. It is a delay of the laboratory, which no node and no client has made.
    pub fn stalls_since(&self, since: Instant) -> Vec<(Instant, Instant)> {
        lock(&self.shared).stalls.iter().copied().filter(|(_, taken)| *taken > since).collect()
    }

    /// What `port` has done so far.
    pub fn counters(&self, port: PortId) -> PortCounters {
        lock(&self.shared).ports.get(port.0).map(|port| port.counters).unwrap_or_default()
    }
}

fn lock(fabric: &Mutex<Fabric>) -> MutexGuard<'_, Fabric> {
    fabric.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread: sleeps until a frame arrives or a late one is due.
fn forward(shared: &Mutex<Fabric>, bell: &Bell) {
    go_first();
    let mut sockets: Vec<Arc<OwnedFd>> = Vec::new();
    let mut buffer = vec![0; FRAME_BYTES];
    loop {
        let timeout = sleep_until(lock(shared).late.iter().map(|late| late.due).min());
        let mut polled = vec![PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        polled.extend(sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        // EINTR and ENOMEM: look at everything and sleep again.
        let _ = ppoll(&mut polled, timeout, None);
        let ready: Vec<bool> =
            polled.iter().map(|p| p.revents().is_none_or(|events| !events.is_empty())).collect();
        let mut fabric = lock(shared);
        fabric.send_late();
        for (port, _) in ready.iter().skip(1).enumerate().filter(|(_, ready)| **ready) {
            fabric.take_from(port, &mut buffer);
        }
        if ready.first().is_some_and(|rung| *rung) {
            if bell.answered() {
                return;
            }
            sockets = fabric.ports.iter().map(|port| Arc::clone(&port.socket)).collect();
        }
    }
}

impl Fabric {
    /// Forwards what has arrived at a port. ENETDOWN (the port lost its carrier) and EAGAIN end the turn.
    fn take_from(&mut self, from: usize, buffer: &mut [u8]) {
        for _ in 0..FRAMES_A_TURN {
            let socket = Arc::clone(&self.ports[from].socket);
            let Ok(read) = receive(&socket, buffer) else { return };
            self.note_stall(read.came);
            self.accept(from, &buffer[..read.length]);
        }
    }

    /// Of the frames that lay meanwhile the first one tells.
    fn note_stall(&mut self, came: Instant) {
        let (present, last) = (now(), self.stalls.last().map(|(_, taken)| *taken));
        if present.since(came) >= STALL && last.is_none_or(|last| came > last) {
            self.stalls.push((came, present));
        }
    }

    fn accept(&mut self, from: usize, frame: &[u8]) {
        let (Some(source), Some(destination)) = (source(frame), destination(frame)) else { return };
        self.ports[from].counters.from_node += 1;
        let rule = self.ports[from].rules.from_node;
        if self.is_lost(rule, frame) {
            self.ports[from].counters.lost += 1;
            return;
        }
        let lan = self.ports[from].lan;
        if !is_for_many(source) {
            self.learned.insert((lan, source), from);
        }
        let known = self.learned.get(&(lan, destination)).copied().filter(|_| !is_for_many(destination));
        for to in 0..self.ports.len() {
            let is_parted = self.parted.is_some_and(|parted| parted.contains(&from) && parted.contains(&to));
            let is_there = to != from && self.ports[to].lan == lan && !is_parted;
            if is_there && known.is_none_or(|known| known == to) {
                self.pass(from, to, frame);
            }
        }
    }

    /// Hands a frame to the rules of the port where it leaves.
    fn pass(&mut self, from: usize, to: usize, frame: &[u8]) {
        let rule = self.ports[to].rules.to_node;
        if self.is_lost(rule, frame) {
            self.ports[to].counters.lost += 1;
            return;
        }
        let delay = self.ports[from].rules.from_node.delay + rule.delay;
        if delay.is_zero() {
            self.emit(to, frame);
        } else if self.late.len() < MAX_DELAYED_FRAMES {
            self.late.push_back(Late { due: now() + span(delay), from, to, frame: frame.to_vec() });
        } else {
            self.ports[to].counters.lost += 1;
        }
    }

    fn send_late(&mut self) {
        let present = now();
        let (due, rest): (Vec<Late>, Vec<Late>) = self.late.drain(..).partition(|late| late.due <= present);
        self.late = rest.into();
        for late in due {
            let cut =
                self.ports[late.from].rules.from_node.blocked || self.ports[late.to].rules.to_node.blocked;
            if cut {
                self.ports[late.to].counters.lost += 1;
            } else {
                self.emit(late.to, &late.frame);
            }
        }
    }

    /// A port without carrier refuses (ENETDOWN) and a full queue too: the frame is lost, as on a real wire.
    fn emit(&mut self, to: usize, frame: &[u8]) {
        let port = &mut self.ports[to];
        match send(port.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
            Ok(_) => port.counters.to_node += 1,
            Err(_) => port.counters.lost += 1,
        }
    }

    fn is_lost(&mut self, rule: Rule, frame: &[u8]) -> bool {
        rule.blocked
            || rule.blocked_udp_port.is_some_and(|port| is_udp_of(frame, port))
            || self.dice.hits(rule.loss_percent, 100)
    }
}
