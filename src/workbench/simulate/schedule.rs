//! Random schedules: a pair, faults at random instants, then everything healed and one active demanded.

use crosswire::config::{MAX_GROUPS, Policy};
use crosswire::custody::restart_policy::LONGEST_BACK_OFF;
use crosswire::pair::{GroupId, PathId, PathKind, Role, Side};
use crosswire::quorum::group::RETRY_AFTER;
use crosswire::quorum::node::Waiting;
use crosswire::quorum::timing::LIFETIME_SLIP;
use crosswire::time::{Instant, Span};

use super::chance::Chance;
use super::checkers::Violation;
use super::fault::{Fault, LineFault, Noise, Way, WitnessId};
use super::setup::Setup;
use super::world::{SIDES, World};

/// Ten questions in a row, two seconds apart, and some time for the two nodes to meet.
const FOUND_DEAF_AFTER: Span = Span::from_s(30);
/// Most faults of one schedule.
const MAX_FAULTS: u64 = 14;

/// Everything that decides what will happen.
#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {
    /// The world's chance.
    pub seed: u64,
    /// The pair.
    pub setup: Setup,
    /// How long after the previous one each fault comes.
    pub faults: Vec<(Span, Fault)>,
    /// By fault: the deadline of a node at which it comes instead; empty once the schedule is settled.
    pub aims: Vec<Option<Aim>>,
    /// How long after the last fault everything is healed.
    pub heal_after: Span,
    /// Which paths are healed.
    pub healed: Vec<PathId>,
}

/// One of the deadlines that a node has when the fault before has befallen, or an instant close to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aim {
    side: Side,
    /// Which of the deadlines to come.
    number: u64,
    /// How much later than [`MAX_AHEAD`] before it, in microseconds.
    later_us: u64,
}

/// How long before a deadline an aim lies at most, and how long after it.
const MAX_AHEAD: Span = Span::from_ms(1);
/// A deadline further in the future is no aim.
const MAX_AIM: Span = Span::from_s(20);

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What went wrong, if anything did.
    pub violation: Option<Violation>,
    /// The hash over all effects.
    pub hash: u64,
    /// Virtual time that passed.
    pub lasted: Span,
    /// Steps of both nodes.
    pub steps: u64,
    /// How many overlaps were excused.
    pub splits: usize,
    /// How long after the previous one each fault came.
    pub gaps: Vec<Span>,
}

impl Schedule {
    /// The schedule of a seed.
    pub fn random(seed: u64) -> Self {
        let chance = &mut Chance::new(seed);
        let setup = Setup::random(chance);
        let interval = setup.policy.interval();
        let count = 1 + chance.below(MAX_FAULTS);
        let faults = (0..count).map(|_| (gap(&setup, chance), random_fault(&setup, chance))).collect();
        let aims = (0..count).map(|_| random_aim(chance)).collect();
        let all: Vec<PathId> = setup.policy.path_ids().collect();
        let healed = if chance.below(3) == 0 { vec![chance.pick(&all)] } else { all };
        let heal_after = interval.fraction(chance.below(20), 1);
        Self { seed, setup, faults, aims, heal_after, healed }
    }

    /// The same schedule with the instants at which its faults turn out to come, without aims.
    pub fn settled(&self) -> Self {
        let gaps = self.run().gaps;
        let faults = gaps.into_iter().zip(&self.faults).map(|(gap, (_, fault))| (gap, *fault)).collect();
        Self { faults, aims: Vec::new(), ..self.clone() }
    }

    /// Runs it to its end, or to the first violation.
    pub fn run(&self) -> Outcome {
        let mut world = World::new(self.setup.clone(), self.seed);
        self.run_in(&mut world)
    }

    /// Runs it in a fresh world of its own setup and seed.
    pub fn run_in(&self, world: &mut World) -> Outcome {
        let start = world.now();
        begin(world);
        let mut gaps = Vec::with_capacity(self.faults.len());
        for (index, (gap, fault)) in self.faults.iter().enumerate() {
            let aim = self.aims.get(index).copied().flatten();
            let gap = aim.and_then(|aim| world.time_to(aim)).unwrap_or(*gap);
            world.run_for(gap);
            gaps.push(gap);
            if world.watch.violation.is_some() {
                break;
            }
            world.befall_aloud(*fault);
        }
        if world.watch.violation.is_none() {
            world.run_for(self.heal_after);
        }
        if world.watch.violation.is_none() {
            world.heal(&self.healed);
            demand_one_active(world);
        }
        Outcome {
            violation: world.watch.violation.clone(),
            hash: world.hash.value(),
            lasted: world.now().since(start),
            steps: world.steps,
            splits: world.watch.past_overlaps.len(),
            gaps,
        }
    }
}

/// Both boxes up, one after the other; a little longer than they need to agree.
pub fn begin(world: &mut World) {
    world.befall(Fault::PowerOn(Side::A));
    world.run_for(Span::from_ms(37));
    world.befall(Fault::PowerOn(Side::B));
    let interval = world.setup.policy.interval();
    world.run_for(Span::from_ms(400) + interval.fraction(10, 1));
    if world.setup.is_filtered != [false; 2] {
        world.run_for(FOUND_DEAF_AFTER);
    }
}

/// The longest time from when everything is healed until each group has one active node.
///
/// A fault is forgotten after [`RETRY_AFTER`], and one node may fail just when the other's fault is
/// forgotten; then come all the waits of a takeover, one after the other.
pub fn bound(setup: &Setup) -> Span {
    let longest = |of: fn(&Policy) -> Span| setup.policies().map(of).max().unwrap_or_default();
    let dead_after = longest(Policy::longest_dead_after);
    let stop =
        longest(|policy| policy.groups.iter().map(|group| group.stop_timeout).max().unwrap_or_default());
    let lease = longest(|policy| policy.lease + policy.interval()) + LIFETIME_SLIP;
    let fence = setup.fence.unwrap_or_default();
    let watchdog = setup.watchdog.unwrap_or_default();
    let waits = longest(|policy| policy.cold_start)
        + RETRY_AFTER
        + RETRY_AFTER
        + lease
        + lease
        + stop.fraction(4, 1)
        + fence
        + watchdog;
    // A quiet LAN is asked again after this long, and a cut that is over has to last.
    let asked =
        if setup.neighbours.is_some() { dead_after.fraction(4, 1) + Span::from_s(7) } else { Span::ZERO };
    waits + asked + dead_after.fraction(8, 1) + Span::from_s(1)
}

/// Waits until each group has one active and has had it for a while.
pub fn demand_one_active(world: &mut World) {
    let interval = world.setup.policy.interval();
    let healed_at = world.now();
    let mut until = healed_at + bound(&world.setup);
    let mut calm = 0;
    while calm < 8 {
        world.run_for(interval);
        // Whatever started the daemon starts it again when it ends.
        for side in SIDES {
            // A fence may have been on its way when everything was healed.
            world.befall(Fault::PowerOn(side));
            world.befall(Fault::Start(side));
            end_restraint(world, side);
        }
        if world.watch.violation.is_some() {
            return;
        }
        // Where agents have died too often, the next one waits.
        let is_absent = SIDES.into_iter().any(|side| !world.gateway(side).does_agent_work());
        if is_absent && world.now() < healed_at + LONGEST_BACK_OFF {
            until = world.now() + bound(&world.setup);
        }
        calm = if is_settled(world) { calm + 1 } else { 0 };
        if calm == 0 && world.now() >= until {
            let roles = world.watch.roles;
            let shown = |side: Side| {
                roles[side.index()].iter().take(world.setup.policy.groups.len()).collect::<Vec<_>>()
            };
            let text = format!(
                "no one active after {}: {:?} and {:?}",
                bound(&world.setup),
                shown(Side::A),
                shown(Side::B)
            );
            return world.complain("converges", text);
        }
    }
}

/// The operator takes back what was forbidden; once more if the agent that was told has died meanwhile.
fn end_restraint(world: &mut World, side: Side) {
    let now = world.gateway(side).clock.local(world.now());
    let Some(status) = world.node(side).map(|node| node.status(now)) else { return };
    if status.is_standby {
        world.befall(Fault::Online(side));
    }
    if status.maintenance.is_some() {
        world.befall(Fault::Maintenance(side, Span::ZERO));
    }
}

/// Each group has one holder, which says that it is active, and the other one says that it is backup.
pub fn is_settled(world: &World) -> bool {
    // A group that only one file has waits until the other file has it too.
    let mut ids = world.setup.policy.group_ids().filter(|group| world.is_common(*group));
    ids.all(|group| {
        let roles = SIDES.map(|side| world.watch.roles[side.index()][group.index()]);
        let holds = SIDES.map(|side| world.holds(side, group));
        let is_one = |active: usize| {
            roles[active] == Role::Active
                && roles[1 - active] == Role::Backup
                && holds[active]
                && !holds[1 - active]
        };
        is_one(0) || is_one(1)
    }) && SIDES.into_iter().all(|side| world.gateway(side).does_agent_work())
}

/// A gap between faults: mostly short, since faults that come together matter most.
fn gap(setup: &Setup, chance: &mut Chance) -> Span {
    let interval = setup.policy.interval();
    let (intervals, more) = match chance.below(10) {
        0 | 1 => (0, interval.fraction(1, 10)),
        2..=4 => (0, interval.fraction(2, 1)),
        5..=7 => (2, interval.fraction(6, 1)),
        8 => (6, interval.fraction(15, 1)),
        _ => (20, interval.fraction(30, 1)),
    };
    interval.fraction(intervals, 1) + Span::from_us(chance.below(more.as_us() + 1))
}

/// An aim for half of all faults: they come when a node is about to decide.
fn random_aim(chance: &mut Chance) -> Option<Aim> {
    let aim = Aim {
        side: chance.pick(&SIDES),
        number: chance.below(8),
        later_us: chance.below(2 * MAX_AHEAD.as_us() + 1),
    };
    (chance.below(2) == 0).then_some(aim)
}

impl World {
    /// How long it is until then; `None` if that node waits for nothing but its beats.
    fn time_to(&self, aim: Aim) -> Option<Span> {
        let node = self.node(aim.side)?;
        let clock = self.gateway(aim.side).clock;
        let start = clock.local(self.now());
        let next = |(at, _): &(Instant, Waiting)| {
            Some(node.next_deadline(*at)).filter(|(at, _)| *at < start + MAX_AIM)
        };
        let all = std::iter::successors(Some((start, Waiting::Nothing)), next).skip(1).take(64);
        let is_aim = |why: Waiting| !matches!(why, Waiting::Beat | Waiting::Deposit | Waiting::Nothing);
        let aims: Vec<Instant> = all.filter(|(_, why)| is_aim(*why)).map(|(at, _)| at).collect();
        let chosen = aims.get(usize::try_from(aim.number).ok()? % aims.len().max(1))?;
        Some((clock.true_time(*chosen) + Span::from_us(aim.later_us)).since(self.now() + MAX_AHEAD))
    }
}

/// A fault that this pair can suffer.
pub fn random_fault(setup: &Setup, chance: &mut Chance) -> Fault {
    let side = chance.pick(&SIDES);
    let groups: Vec<GroupId> = setup.policy.group_ids().take(MAX_GROUPS).collect();
    let group = chance.pick(&groups);
    match chance.below(108) {
        100..=101 => Fault::Respawn(side),
        102 => chance.pick(&[Fault::Reload(side), Fault::ReloadTo(side, 1), Fault::ReloadTo(side, 2)]),
        106..=107 => {
            chance.pick(&[Fault::Upgrade(side), Fault::UpgradeTo(side, 1), Fault::UpgradeTo(side, 2)])
        }
        103 => Fault::BadStops(side),
        104 => Fault::HangGuard(side),
        105 => Fault::SlowScripts(side, Span::from_ms(chance.below(3_000))),
        0..=5 => Fault::PowerCut(side),
        6..=10 => Fault::PowerOn(side),
        11..=12 => Fault::Freeze(side),
        13..=15 => Fault::Thaw(side),
        16..=23 => Fault::Start(side),
        24..=26 => Fault::KillAgent(side),
        27..=29 => Fault::KillGuard(side),
        30..=32 => Fault::Kill(side),
        33..=34 => Fault::HangAgent(side),
        35..=36 => Fault::HangGuard(side),
        37..=38 => Fault::Hang(side),
        39..=44 => Fault::Continue(side),
        45..=48 => Fault::Stall(side, Span::from_ms(chance.below(600))),
        49..=73 => random_path_fault(setup, chance),
        74..=79 => random_neighbour_fault(setup, chance),
        81 => Fault::Key(side, chance.pick(&[7, 7, 9])),
        82 => Fault::Pair(side, chance.pick(&[0, 0, 1])),
        83 => chance.pick(&[Fault::Digest(side, 1), Fault::Digest(side, 2), Fault::ReloadTo(side, 2)]),
        84 => Fault::SlowScripts(side, Span::from_ms(chance.below(3_000))),
        85 => chance.pick(&[Fault::BadStarts(side), Fault::BadStops(side)]),
        86 => Fault::GoodScripts(side),
        80 => chance.pick(&[
            Fault::AddressGone(side, group),
            Fault::AddressGone(side, group),
            Fault::Unready(side, group),
            Fault::Ready(side, group),
        ]),
        87 => chance.pick(&[Fault::BadKernel(side), Fault::BadRoutes(side), Fault::GoodKernel(side)]),
        88..=89 => Fault::Handover(side, group),
        90..=91 => Fault::Takeover(side, group),
        92..=95 => random_restraint(side, chance),
        96 => Fault::PeerIsOff(side, group),
        _ => Fault::Stop(side),
    }
}

fn random_restraint(side: Side, chance: &mut Chance) -> Fault {
    match chance.below(8) {
        0..=1 => Fault::Standby(side),
        2 => Fault::ForceStandby(side),
        3..=4 => Fault::Online(side),
        5..=6 => Fault::Maintenance(side, Span::from_ms(chance.below(5_000))),
        _ => Fault::Maintenance(side, Span::ZERO),
    }
}

fn random_path_fault(setup: &Setup, chance: &mut Chance) -> Fault {
    let paths: Vec<PathId> = setup.policy.path_ids().collect();
    let path = chance.pick(&paths);
    let side = chance.pick(&SIDES);
    let is_serial = setup.policy.paths[path.index()].kind == PathKind::Serial;
    let lan = setup.policy.path_ids().find(|path| setup.policy.paths[path.index()].kind == PathKind::Lan);
    match chance.below(29) {
        24..=25 if is_serial => {
            let faults = [LineFault::StuckOn, LineFault::StuckOff, LineFault::HoldsOn, LineFault::Good];
            Fault::Lines(path, side, chance.pick(&faults))
        }
        26 if is_serial => Fault::Flap(path, side, Span::from_ms(chance.below(1_500))),
        24..=28 => Fault::Isolate(lan.unwrap_or(path), side),
        0..=4 => Fault::Cut(path, Way::Both),
        5..=7 => Fault::Cut(path, Way::From(side)),
        8..=12 => Fault::Mend(path),
        13..=14 => Fault::Loss(path, chance.pick(&[20, 50, 200, 400])),
        15 if is_serial => Fault::BitErrors(path, chance.pick(&[10, 100, 1_000, 10_000])),
        15 => Fault::Delay(path, Span::from_ms(chance.below(8))),
        16 if is_serial => Fault::Loop(path, side),
        16 => Fault::Duplicate(path, 300),
        17..=18 if is_serial => {
            let noise = chance.pick(&[Noise::Random, Noise::Text, Noise::Zeros]);
            Fault::Noise(path, side, noise, Span::from_ms(chance.below(1_500)))
        }
        17 => chance.pick(&[Fault::FilterOn(path, side), Fault::FilterOff(path, side)]),
        18 => chance.pick(&[Fault::SwitchOff(path), Fault::SwitchOn(path)]),
        19..=20 if is_serial => chance.pick(&[Fault::PortLost(path, side), Fault::PortBack(path, side)]),
        19..=20 => chance.pick(&[Fault::LinkDown(path, side), Fault::LinkUp(path, side)]),
        _ => Fault::Replay(path, side),
    }
}

/// A witness, a fence or an interface; where the pair has none of them, a path.
fn random_neighbour_fault(setup: &Setup, chance: &mut Chance) -> Fault {
    let side = chance.pick(&SIDES);
    let linked: Vec<GroupId> =
        setup.policy.group_ids().filter(|group| setup.own_links[group.index()]).collect();
    let count = setup.witnesses.len() + usize::from(setup.vote.is_some());
    let witnesses: Vec<WitnessId> = (0u8..).take(count).map(WitnessId).collect();
    match chance.below(10) {
        0..=5 if !witnesses.is_empty() => {
            let witness = chance.pick(&witnesses);
            match chance.below(8) {
                0 => Fault::WitnessDown(witness),
                1 => Fault::WitnessUp(witness),
                2..=4 => Fault::WitnessCut(witness, side),
                5 => Fault::WitnessMend(witness),
                6 => Fault::WitnessLoss(witness, chance.pick(&[100, 300, 700])),
                _ => Fault::WitnessDelay(witness, Span::from_ms(chance.below(400))),
            }
        }
        8..=9 if setup.neighbours.is_some() && chance.below(2) == 0 => chance.pick(&[
            Fault::NeighboursGo(side),
            Fault::NeighboursCome(side),
            Fault::NeighboursCome(side),
        ]),
        6 if chance.below(3) > 0 => {
            let groups: Vec<GroupId> = setup.policy.group_ids().collect();
            let group = chance.pick(&groups);
            chance.pick(&[Fault::StrangerComes(group), Fault::StrangerGoes(group)])
        }
        6..=7 if setup.fence.is_some() => chance.pick(&[Fault::BadFence(side), Fault::GoodFence(side)]),
        4..=9 if !linked.is_empty() => {
            let group = chance.pick(&linked);
            chance.pick(&[
                Fault::CarrierDown(side, group),
                Fault::CarrierDown(side, group),
                Fault::CarrierUp(side, group),
            ])
        }
        _ => random_path_fault(setup, chance),
    }
}
