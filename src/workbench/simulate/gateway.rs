//! One box: its clock, its kernel, its two processes and what waits for them.

use std::collections::VecDeque;

use crosswire::custody::{Action, ScriptSet};
use crosswire::frame::session::Entropy;
use crosswire::frame::{Key, Keyring};
use crosswire::pair::{GroupId, PathId, Side};
use crosswire::quorum::event::Demand;
use crosswire::quorum::{Effects, Event};
use crosswire::station::Station;
use crosswire::time::{Instant, Span};
use crosswire::turn::{Ready, Source, Turn};
use crosswire::vote::wire::REPLY_BYTES;

use super::clock::Clock;
use super::fault::WitnessId;
use super::guard::{Guard, Kernel, Started, Told};
use super::rival::Rival;
use super::setup::Setup;
use super::wire::{Frame, Mark};

/// Bytes that a tty keeps for a process that does not read.
pub const TTY_BYTES: usize = 4_095;
/// Datagrams that a socket keeps.
pub const SOCKET_DATAGRAMS: usize = 256;

/// Who decides.
#[derive(Clone)]
pub enum Brain {
    /// The shipped core.
    Core(Box<Station>),
    /// Another rule, for comparison.
    Rival(Box<Rival>),
}

impl Brain {
    /// As [`Station::step`].
    pub fn step(&mut self, now: Instant, event: Event<'_>, effects: &mut Effects) {
        match self {
            Self::Core(station) => station.step(now, event, effects),
            Self::Rival(rival) => rival.step(now, event, effects),
        }
    }

    /// As [`Station::hear`].
    pub fn hear(&mut self, now: Instant, path: PathId, bytes: &[u8], effects: &mut Effects) {
        match self {
            Self::Core(station) => station.hear(now, path, bytes, effects),
            Self::Rival(rival) => rival.hear(now, path, bytes, effects),
        }
    }

    /// As [`crosswire::quorum::Node::is_stirred`].
    pub fn is_stirred(&self) -> bool {
        match self {
            Self::Core(station) => station.is_stirred(),
            Self::Rival(_) => true,
        }
    }

    /// As [`crosswire::quorum::Node::waits_until`].
    pub fn waits_until(&self, path: PathId) -> Instant {
        match self {
            Self::Core(station) => station.waits_until(path),
            Self::Rival(_) => Instant::ORIGIN,
        }
    }

    /// As [`crosswire::quorum::Node::due_at`].
    pub fn next_deadline(&self, now: Instant) -> Instant {
        match self {
            Self::Core(station) => station.due_at(now),
            Self::Rival(rival) => rival.next_deadline(),
        }
    }
}

/// Whose packet shows an address of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The peer's kernel answers a question.
    Peer,
    /// The peer's guard announces it.
    Announcer,
    /// A stranger answers.
    Stranger,
}

/// A packet that the agent's listeners hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet {
    /// Somebody answers for, or announces, the address of the group.
    Vip(GroupId, Who),
    /// The peer's own address answers on the LAN of that path.
    Peer(PathId),
}

/// What waits for the agent, by source.
#[derive(Clone, Default)]
pub struct Inbox {
    /// Renewals that the guard has confirmed.
    pub confirmed: VecDeque<Told>,
    /// From the guard.
    pub told: VecDeque<Told>,
    /// By path.
    pub frames: Vec<VecDeque<Frame>>,
    /// From the listeners.
    pub packets: VecDeque<Packet>,
    /// From witnesses: which one, and when it was asked by the box's own clock.
    pub sightings: VecDeque<(WitnessId, Instant)>,
    /// From the voting witness.
    pub votes: VecDeque<[u8; REPLY_BYTES]>,
    /// From neighbours: when each was asked, by the box's own clock.
    pub neighbours: VecDeque<Instant>,
    /// From operators.
    pub requests: VecDeque<Demand>,
}

impl Inbox {
    /// Nothing waits.
    pub fn empty(paths: usize) -> Self {
        Self { frames: vec![VecDeque::new(); paths], ..Self::default() }
    }

    /// Where something waits that cannot wait longer.
    pub fn ready(&self, can_wait: impl Fn(PathId) -> bool) -> Ready {
        let path = |(number, frames): (u8, &VecDeque<Frame>)| {
            (Source::Path(PathId(number)), frames.is_empty() || can_wait(PathId(number)))
        };
        let paths = (0..).zip(&self.frames).map(path);
        let others = [
            (Source::Guard, self.told.is_empty()),
            (Source::Wire, self.packets.is_empty() && self.neighbours.is_empty()),
            (Source::Witnesses, self.sightings.is_empty() && self.votes.is_empty()),
            (Source::Operators, self.requests.is_empty()),
        ];
        let mut ready = Ready::default();
        paths.chain(others).filter(|(_, is_empty)| !is_empty).for_each(|(source, _)| ready.note(source));
        ready
    }

    /// Keeps a frame if there is room; says whether there was.
    pub fn keep(&mut self, frame: Frame, is_serial: bool) -> bool {
        let queue = &mut self.frames[frame.path.index()];
        let has_room = if is_serial {
            queue.iter().map(|frame| frame.bytes.len()).sum::<usize>() + frame.bytes.len() <= TTY_BYTES
        } else {
            queue.len() < SOCKET_DATAGRAMS
        };
        if has_room {
            queue.push_back(frame);
        }
        has_room
    }
}

/// How the scripts of a box behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scripts {
    /// How long each takes.
    pub take: Span,
    /// They do not start.
    pub are_starts_bad: bool,
    /// They do not stop.
    pub are_stops_bad: bool,
}

impl Default for Scripts {
    fn default() -> Self {
        Self { take: Span::from_ms(20), are_starts_bad: false, are_stops_bad: false }
    }
}

/// One run of a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScriptRun {
    /// Its number on its box.
    pub number: u64,
    /// Of which group.
    pub group: GroupId,
    /// Which of its scripts.
    pub script: u8,
    /// What it does.
    pub action: Action,
}

/// One box.
#[derive(Clone)]
pub struct Gateway {
    /// Its own time.
    pub clock: Clock,
    /// It has power.
    pub is_powered: bool,
    /// It stands still as a whole.
    pub is_frozen: bool,
    /// The agent, while it runs.
    pub agent: Option<Brain>,
    /// It was stopped, by a signal or for the length of a stall.
    pub is_agent_stopped: bool,
    /// Which stall ends next.
    pub stall: u32,
    /// The number of this run of the daemon.
    pub run: u32,
    /// The number of this agent.
    pub agent_run: u32,
    /// The guard, while it runs.
    pub guard: Option<Guard>,
    /// What waits for the agent.
    pub inbox: Inbox,
    /// How far it is with its turn.
    pub turn: Turn,
    /// Its turn had a tick.
    pub is_judged: bool,
    /// Until when it waits, by its own clock.
    pub waits_until: Instant,
    /// It is about to find out that something has arrived.
    pub is_roused: bool,
    /// The processor does something else in the middle of its turn.
    pub is_held_up: bool,
    /// The number of that interruption.
    pub hold_up: u32,
    /// After how many more steps it does so next, and for how long, if that was ordered.
    pub next_hold_up: Option<(u64, Span)>,
    /// What the kernel said had arrived, if the agent has not gone on since.
    pub polled: Option<Ready>,
    /// The wake-up that counts; earlier ones are void.
    pub wake: u64,
    /// Its addresses.
    pub kernel: Kernel,
    /// When its watchdog resets it, if nobody pets it (true time).
    pub resets_at: Instant,
    /// How its scripts behave.
    pub scripts: Scripts,
    /// By group: what its scripts have started and not stopped. It goes on without the daemon.
    pub services: Vec<ScriptSet>,
    /// By group: what the guard has written down of them, in a file that a boot makes void.
    pub marks: Vec<(ScriptSet, u32)>,
    /// How many scripts were run.
    pub script_runs: u64,
    /// By group: the script run that goes on.
    pub running: Vec<Option<u64>>,
    /// By group: the interface besides the LAN has carrier.
    pub own_links: Vec<bool>,
    /// By group: the check of whether this box is ready for it succeeds.
    pub is_ready: Vec<bool>,
    /// The agent raised the line 'I hold services'.
    pub is_showing_holding: bool,
    /// Its fence, if it has one, works.
    pub is_fence_good: bool,
    /// When its agent last looked whether a neighbour was heard, by its own clock.
    pub overheard_at: Instant,
    /// With what the next run starts: key, pair, configuration.
    pub key: u8,
    /// See `key`.
    pub pair: u8,
    /// See `key`.
    pub digest: u8,
    /// With what the present run was started.
    pub started_with: Started,
    /// The number of the socket pair between guard and agent.
    pub link: u32,
    /// It has power.
    pub powers: Mark,
    /// The agent exists and its box runs.
    pub runs: Mark,
    /// It also gets to run.
    pub works: Mark,
    /// The guard works.
    pub guards: Mark,
    /// The kernel answers.
    pub answers: Mark,
}

impl Gateway {
    /// A box that is off.
    pub fn new(setup: &Setup, side: Side, now: Instant) -> Self {
        let rate = setup.rates[side.index()];
        // Two boxes never show the same time; nothing may depend on it.
        let offset_us = [5_000_000, 77_777_777][side.index()];
        Self {
            clock: Clock::new(rate, offset_us),
            is_powered: false,
            is_frozen: false,
            agent: None,
            is_agent_stopped: false,
            stall: 0,
            run: 0,
            agent_run: 0,
            guard: None,
            inbox: Inbox::empty(setup.policy.paths.len()),
            turn: Turn::new(&setup.policy),
            is_judged: false,
            waits_until: Instant::ORIGIN,
            is_roused: false,
            is_held_up: false,
            hold_up: 0,
            next_hold_up: None,
            polled: None,
            wake: 0,
            kernel: Kernel {
                until: vec![None; setup.policy.groups.len()],
                has_routes: vec![false; setup.policy.groups.len()],
                is_bad: false,
                refuses_routes: false,
            },
            resets_at: Instant::NEVER,
            scripts: Scripts::default(),
            services: vec![ScriptSet::EMPTY; setup.policy.groups.len()],
            marks: vec![(ScriptSet::EMPTY, 0); setup.policy.groups.len()],
            script_runs: 0,
            running: vec![None; setup.policy.groups.len()],
            own_links: vec![true; setup.policy.groups.len()],
            is_ready: vec![true; setup.policy.groups.len()],
            is_showing_holding: false,
            is_fence_good: true,
            overheard_at: Instant::ORIGIN,
            key: 7,
            pair: 0,
            digest: setup.usual_digest(side),
            started_with: (7, 0, setup.usual_digest(side)),
            link: 0,
            powers: Mark::new(now),
            runs: Mark::new(now),
            works: Mark::new(now),
            guards: Mark::new(now),
            answers: Mark::new(now),
        }
    }

    /// A fresh agent has nothing to read and is in no turn.
    pub fn begin_afresh(&mut self, setup: &Setup) {
        self.inbox = Inbox::empty(setup.policy.paths.len());
        self.turn = Turn::new(&setup.policy);
        (self.is_agent_stopped, self.is_roused, self.is_held_up) = (false, false, false);
        self.polled = None;
        self.hold_up += 1;
    }

    /// Until when what that path brings may wait, by the box's own clock.
    pub fn waits_until(&self, path: PathId) -> Instant {
        self.agent.as_ref().map_or(Instant::ORIGIN, |agent| agent.waits_until(path))
    }

    /// Where something has arrived that wakes the agent at this local instant.
    pub fn ready(&self, local: Instant) -> Ready {
        self.inbox.ready(|path| local < self.waits_until(path))
    }

    /// Whether the agent is in its turn and waits for nothing.
    pub fn is_in_turn(&self) -> bool {
        self.polled.is_some() || self.turn.is_under_way()
    }

    /// The kernel runs.
    pub fn is_up(&self) -> bool {
        self.is_powered && !self.is_frozen
    }

    /// The agent gets to run.
    pub fn does_agent_work(&self) -> bool {
        self.is_up() && self.agent.is_some() && !self.is_agent_stopped && !self.is_held_up
    }

    /// The guard gets to run.
    pub fn does_guard_work(&self) -> bool {
        self.is_up() && self.guard.as_ref().is_some_and(|guard| !guard.is_stopped)
    }

    /// Brings the marks up to date.
    pub fn note(&mut self, now: Instant) {
        self.powers.set(now, self.is_powered);
        self.runs.set(now, self.is_up() && self.agent.is_some());
        self.works.set(now, self.does_agent_work());
        self.guards.set(now, self.does_guard_work());
        self.answers.set(now, self.is_up());
    }

    /// A fresh node of the shipped core for this box, with what the daemon was started with.
    pub fn core(&self, setup: &Setup, side: Side, entropy: Entropy, now: Instant) -> Brain {
        let (key, pair, digest) = self.started_with;
        let mut policy = setup.file(digest).clone();
        policy.digest[0] = digest;
        let pair = format!("pair{pair}");
        let key = Key { id: 1, bytes: std::iter::repeat_n(key, 16).collect() };
        let keys = Keyring::new(&pair, &[key]);
        Brain::Core(Box::new(Station::new(&pair, policy, side, keys, entropy, self.clock.local(now))))
    }
}
