//! What every fault does to the world.

use crosswire::custody::ScriptSet;
use crosswire::pair::{GroupId, PathId, PathKind, Side};
use crosswire::quorum::event::Demand;
use crosswire::time::{Instant, Span};

use super::fault::{Fault, Noise, Way};
use super::guard::Told;
use super::story::Line;
use super::wire::Frame;
use super::world::{SIDES, What, World};

/// How long a box takes to boot.
const BOOT_TAKES: Span = Span::from_ms(300);
/// Time between two chunks of noise.
const NOISE_EVERY: Span = Span::from_ms(20);
/// Most chunks of one noise.
const MAX_NOISE_CHUNKS: u64 = 200;
const CONSOLE_TEXT: &[u8] = b"\r\nDebian GNU/Linux gw2 ttyS0\r\n\r\ngw2 login: ";

impl World {
    /// Something happens, now.
    pub fn befall(&mut self, fault: Fault) {
        self.act(fault);
        self.note_marks();
        self.watch_overlaps();
        self.narrate_holders();
    }

    fn act(&mut self, fault: Fault) {
        match fault {
            Fault::PowerCut(side) => self.power_cut(side),
            Fault::PowerOn(side) => {
                let gateway = &mut self.boxes[side.index()];
                if !gateway.is_powered {
                    gateway.is_powered = true;
                    self.schedule_for_any(BOOT_TAKES, side, What::Boot);
                }
            }
            Fault::Freeze(side) => self.boxes[side.index()].is_frozen = true,
            Fault::Thaw(side) => self.boxes[side.index()].is_frozen = false,
            Fault::Start(side) => self.start(side),
            Fault::KillAgent(side) => self.kill_agent(side),
            Fault::KillGuard(side) => self.kill_guard(side),
            Fault::Kill(side) => {
                let gateway = &mut self.boxes[side.index()];
                (gateway.agent, gateway.guard) = (None, None);
            }
            Fault::Respawn(side) => {
                let gateway = &mut self.boxes[side.index()];
                if gateway.guard.is_some() {
                    (gateway.agent, gateway.guard) = (None, None);
                    self.start(side);
                }
            }
            Fault::Reload(side) => self.reload(side),
            Fault::ReloadTo(side, digest) => {
                self.boxes[side.index()].digest = digest;
                self.reload(side);
            }
            Fault::Upgrade(side) => self.upgrade(side),
            Fault::UpgradeTo(side, digest) => {
                self.boxes[side.index()].digest = digest;
                self.upgrade(side);
            }
            Fault::HangAgent(side) => self.stop_agent(side),
            Fault::HangGuard(side) => self.stop_guard(side),
            Fault::Hang(side) => {
                self.stop_agent(side);
                self.stop_guard(side);
            }
            Fault::Continue(side) => {
                self.continue_agent(side);
                self.continue_guard(side);
            }
            Fault::Stall(side, span) => self.stall(side, span),
            Fault::HoldUp(side, steps, span) => self.boxes[side.index()].next_hold_up = Some((steps, span)),
            Fault::SlowScripts(side, span) => self.boxes[side.index()].scripts.take = span,
            Fault::BadStarts(side) => self.boxes[side.index()].scripts.are_starts_bad = true,
            Fault::BadStops(side) => self.boxes[side.index()].scripts.are_stops_bad = true,
            Fault::GoodScripts(side) => self.boxes[side.index()].scripts = Default::default(),
            Fault::BadKernel(side) => self.boxes[side.index()].kernel.is_bad = true,
            Fault::GoodKernel(side) => {
                let kernel = &mut self.boxes[side.index()].kernel;
                (kernel.is_bad, kernel.refuses_routes) = (false, false);
            }
            Fault::BadRoutes(side) => self.boxes[side.index()].kernel.refuses_routes = true,
            Fault::Key(side, key) => self.boxes[side.index()].key = key,
            Fault::Pair(side, pair) => self.boxes[side.index()].pair = pair,
            Fault::Digest(side, digest) => self.boxes[side.index()].digest = digest,
            Fault::Handover(side, group) => self.ask(side, Demand::Handover(group)),
            Fault::Takeover(side, group) => self.ask(side, Demand::Takeover(group)),
            Fault::Standby(side) => self.ask(side, Demand::Standby { force: false }),
            Fault::ForceStandby(side) => self.ask(side, Demand::Standby { force: true }),
            Fault::Online(side) => self.ask(side, Demand::Online),
            Fault::Maintenance(side, span) => self.ask(side, Demand::Maintenance(span)),
            Fault::PeerIsOff(side, group) => self.say_peer_is_off(side, group),
            Fault::Stop(side) => {
                if let Some(guard) = &mut self.boxes[side.index()].guard {
                    guard.is_stop_asked = true;
                    self.guard_turn(side);
                }
            }
            Fault::BadFence(side) => self.boxes[side.index()].is_fence_good = false,
            Fault::GoodFence(side) => self.boxes[side.index()].is_fence_good = true,
            Fault::AddressGone(side, group) => self.take_address_away(side, group),
            Fault::Unready(side, group) => self.set_ready(side, group, false),
            Fault::Ready(side, group) => self.set_ready(side, group, true),
            Fault::CarrierDown(side, group) => self.set_own_link(side, group, false),
            Fault::CarrierUp(side, group) => self.set_own_link(side, group, true),
            Fault::StrangerComes(group) => self.strangers[group.index()] = Some(self.now()),
            Fault::StrangerGoes(group) => self.strangers[group.index()] = None,
            Fault::NeighboursGo(half) => self.neighbours[half.index()] = false,
            Fault::NeighboursCome(half) => self.neighbours[half.index()] = true,
            Fault::WitnessDown(_)
            | Fault::WitnessUp(_)
            | Fault::WitnessCut(..)
            | Fault::WitnessMend(_)
            | Fault::WitnessLoss(..)
            | Fault::WitnessDelay(..) => self.act_on_witness(fault),
            Fault::Cut(..)
            | Fault::Isolate(..)
            | Fault::Lines(..)
            | Fault::Flap(..)
            | Fault::Mend(_)
            | Fault::Loss(..)
            | Fault::Delay(..)
            | Fault::Duplicate(..)
            | Fault::BitErrors(..)
            | Fault::Noise(..)
            | Fault::Loop(..)
            | Fault::Replay(..)
            | Fault::LinkDown(..)
            | Fault::LinkUp(..)
            | Fault::SwitchOff(_)
            | Fault::SwitchOn(_)
            | Fault::PortLost(..)
            | Fault::PortBack(..)
            | Fault::FilterOn(..)
            | Fault::FilterOff(..) => self.act_on_path(fault),
        }
    }

    fn act_on_path(&mut self, fault: Fault) {
        match fault {
            Fault::Cut(path, way) => {
                for side in SIDES.into_iter().filter(|side| way == Way::Both || way == Way::From(*side)) {
                    self.links[path.index()].directions[side.index()].is_cut = true;
                }
            }
            Fault::Isolate(path, side) => {
                self.both(path, |direction| direction.is_cut = true);
                self.links[path.index()].is_isolated[side.index()] = true;
                self.hide_witnesses(side);
            }
            Fault::Lines(path, side, fault) => {
                self.links[path.index()].line_ends[side.index()].fault = fault;
            }
            Fault::Flap(path, side, span) => self.flap(path, side, span),
            Fault::Mend(path) => {
                let was_off = self.links[path.index()].is_switch_off;
                self.links[path.index()].mend();
                if was_off {
                    self.tell_all_links();
                }
            }
            Fault::Loss(path, permille) => self.both(path, |direction| direction.loss_permille = permille),
            Fault::Delay(path, span) => self.both(path, |direction| direction.delay = span),
            Fault::Duplicate(path, permille) => {
                self.both(path, |direction| direction.duplicate_permille = permille)
            }
            Fault::BitErrors(path, per_million) => {
                self.both(path, |direction| direction.bit_errors = per_million)
            }
            Fault::Noise(path, side, noise, span) => self.make_noise(path, side, noise, span),
            Fault::FilterOn(path, side) => self.set_filter(path, side, true),
            Fault::FilterOff(path, side) => self.set_filter(path, side, false),
            Fault::Loop(path, side) => self.links[path.index()].is_looped[side.index()] = true,
            Fault::Replay(path, side) => self.replay(path, side),
            Fault::LinkDown(path, side) | Fault::PortLost(path, side) => self.set_up(path, side, false),
            Fault::LinkUp(path, side) | Fault::PortBack(path, side) => self.set_up(path, side, true),
            Fault::SwitchOff(path) => {
                self.links[path.index()].is_switch_off = true;
                self.tell_all_links();
            }
            Fault::SwitchOn(path) => {
                self.links[path.index()].is_switch_off = false;
                self.tell_all_links();
            }
            _ => {}
        }
    }

    fn act_on_witness(&mut self, fault: Fault) {
        let (Fault::WitnessDown(id)
        | Fault::WitnessUp(id)
        | Fault::WitnessCut(id, _)
        | Fault::WitnessMend(id)
        | Fault::WitnessLoss(id, _)
        | Fault::WitnessDelay(id, _)) = fault
        else {
            return;
        };
        let is_voting = id.index() == self.setup.witnesses.len();
        let Some(witness) = self.witnesses.get_mut(id.index()) else { return };
        match fault {
            Fault::WitnessDown(_) => witness.is_up = false,
            Fault::WitnessUp(_) if witness.is_up => {}
            Fault::WitnessUp(_) => {
                witness.is_up = true;
                if is_voting {
                    self.voting.restart();
                }
            }
            Fault::WitnessCut(_, side) => witness.is_in_sight[side.index()] = false,
            Fault::WitnessMend(_) => self.mend_witness(id.index()),
            Fault::WitnessLoss(_, permille) => witness.loss_permille = permille,
            Fault::WitnessDelay(_, span) => witness.delay = span,
            _ => {}
        }
    }

    /// Takes a group's addresses away by hand. A guard that works tells its agent.
    fn take_address_away(&mut self, side: Side, group: GroupId) {
        if self.holds(side, group) {
            self.set_held(side, group, None);
            let gateway = &self.boxes[side.index()];
            if gateway.does_guard_work() {
                self.tell(side, Told::Missing(group));
            }
        }
    }

    /// Sets the interface that a group has besides the LAN, if it has one.
    fn set_own_link(&mut self, side: Side, group: GroupId, is_up: bool) {
        if self.setup.own_links[group.index()] {
            self.boxes[side.index()].own_links[group.index()] = is_up;
            self.tell(side, Told::Links);
        }
    }

    fn set_ready(&mut self, side: Side, group: GroupId, is_ready: bool) {
        self.boxes[side.index()].is_ready[group.index()] = is_ready;
        self.tell(side, Told::Links);
    }

    fn both(&mut self, path: PathId, change: impl Fn(&mut super::wire::Direction)) {
        self.links[path.index()].directions.iter_mut().for_each(change);
    }

    fn set_up(&mut self, path: PathId, side: Side, is_up: bool) {
        self.links[path.index()].is_up[side.index()] = is_up;
        self.note_marks();
        self.tell(side, Told::Links);
    }

    fn set_filter(&mut self, path: PathId, side: Side, is_on: bool) {
        self.links[path.index()].is_filtered[side.index()] = is_on;
    }

    fn tell_all_links(&mut self) {
        self.note_marks();
        for side in SIDES {
            self.tell(side, Told::Links);
        }
    }

    fn power_cut(&mut self, side: Side) {
        self.drop_all(side);
        let gateway = &mut self.boxes[side.index()];
        gateway.services.fill(ScriptSet::EMPTY);
        self.watch.is_unstopped[side.index()].fill(false);
        gateway.running.fill(None);
        gateway.resets_at = Instant::NEVER;
        gateway.marks.fill((ScriptSet::EMPTY, 0));
        (gateway.is_powered, gateway.is_frozen) = (false, false);
        (gateway.agent, gateway.guard) = (None, None);
        gateway.is_agent_stopped = false;
    }

    fn kill_agent(&mut self, side: Side) {
        self.boxes[side.index()].agent = None;
        // The agent's last messages are read first.
        self.guard_turn(side);
    }

    fn kill_guard(&mut self, side: Side) {
        let gateway = &mut self.boxes[side.index()];
        if gateway.guard.take().is_some() && gateway.agent.is_some() {
            self.tell(side, Told::Lost);
        }
    }

    fn stop_agent(&mut self, side: Side) {
        let gateway = &mut self.boxes[side.index()];
        gateway.stall += 1;
        gateway.is_agent_stopped = gateway.agent.is_some();
    }

    fn stall(&mut self, side: Side, span: Span) {
        self.stop_agent(side);
        let stall = self.boxes[side.index()].stall;
        self.schedule_for_any(span, side, What::StallEnds(stall));
    }

    fn stop_guard(&mut self, side: Side) {
        if let Some(guard) = &mut self.boxes[side.index()].guard {
            guard.is_stopped = true;
        }
    }

    pub(super) fn continue_agent(&mut self, side: Side) {
        self.boxes[side.index()].is_agent_stopped = false;
        self.note_marks();
        self.run_agent(side);
    }

    /// The guard goes on; it reads what waited before anything else.
    fn continue_guard(&mut self, side: Side) {
        let Some(guard) = &mut self.boxes[side.index()].guard else { return };
        if std::mem::take(&mut guard.is_stopped) {
            guard.is_turn_due = false;
            self.note_marks();
            self.wake_guard(side);
        }
    }

    /// An operator asks the agent of a box, if it runs.
    pub fn ask(&mut self, side: Side, request: Demand) {
        if self.boxes[side.index()].agent.is_some() {
            self.boxes[side.index()].inbox.requests.push_back(request);
            self.rouse(side);
        }
    }

    /// The operator says that the peer is off. He has seen it: while the peer has power, he says nothing.
    fn say_peer_is_off(&mut self, side: Side, group: GroupId) {
        if !self.boxes[side.peer().index()].is_powered {
            self.ask(side, Demand::TakeoverPeerIsOff(group));
        }
    }

    fn make_noise(&mut self, path: PathId, side: Side, noise: Noise, span: Span) {
        if self.kind(path) != PathKind::Serial {
            return;
        }
        let chunks = (span.as_us() / NOISE_EVERY.as_us()).clamp(1, MAX_NOISE_CHUNKS);
        for number in 0..chunks {
            let bytes = match noise {
                Noise::Random => (0..=self.chance.below(60))
                    .map(|_| u8::try_from(self.chance.below(256)).unwrap_or(0))
                    .collect(),
                Noise::Text => CONSOLE_TEXT.to_vec(),
                Noise::Zeros => vec![0; 20],
            };
            let frame = Frame { path, bytes, stamp: None };
            self.schedule_for_any(NOISE_EVERY.fraction(number, 1), side, What::Arrive(frame));
        }
    }

    /// Everything is repaired, switched on and started, with the same key and configuration everywhere. Only
    /// the paths that are listed are mended; the others are cut.
    pub fn heal(&mut self, paths: &[PathId]) {
        self.narrate(Line::Healed);
        // The processors are not busy any more.
        self.setup.held_up = Span::ZERO;
        self.boxes.iter_mut().for_each(|gateway| gateway.next_hold_up = None);
        for path in self.setup.policy.path_ids() {
            self.act(Fault::Mend(path));
            for side in SIDES {
                self.act(Fault::LinkUp(path, side));
            }
            if !paths.contains(&path) {
                self.act(Fault::Cut(path, Way::Both));
            }
        }
        self.mend_witnesses();
        self.neighbours = self.setup.neighbours.unwrap_or_default();
        self.strangers.fill(None);
        for side in SIDES {
            for group in self.setup.policy.group_ids() {
                self.act(Fault::CarrierUp(side, group));
            }
            self.heal_box(side);
        }
        self.note_marks();
    }

    fn heal_box(&mut self, side: Side) {
        let digest = self.setup.usual_digest(side);
        let good = [Fault::GoodScripts(side), Fault::GoodKernel(side), Fault::GoodFence(side)];
        self.boxes[side.index()].is_ready.fill(true);
        for fault in [Fault::Thaw(side)].into_iter().chain(good).chain([Fault::Continue(side)]) {
            self.act(fault);
        }
        let gateway = &mut self.boxes[side.index()];
        let is_other = gateway.started_with != (7, 0, digest);
        (gateway.key, gateway.pair, gateway.digest) = (7, 0, digest);
        if is_other {
            self.act(Fault::Kill(side));
            self.stop_strangers(side);
        }
        self.act(Fault::PowerOn(side));
        self.schedule_for_any(BOOT_TAKES, side, What::Boot);
    }

    /// The last instant at which any process of a box did not work.
    pub(super) fn hung_until(&self, side: Side) -> Instant {
        let gateway = &self.boxes[side.index()];
        gateway.works.bad_until(self.now()).max(gateway.guards.bad_until(self.now()))
    }
}
