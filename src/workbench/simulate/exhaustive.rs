//! Nothing left to chance, within bounds: every sequence of a few events, with each of a few gaps between
//! them.
//!
//! The pair is the reference pair with perfect clocks, once as it is and once with a witness on its LAN.
//! After each event the world goes on for a short or a long while, with all checkers on; then every sequence,
//! also a short one, is healed, and one active node is demanded.

use crosswire::config::InJeopardy;
use crosswire::pair::{GroupId, PathId, Side};
use crosswire::time::Span;

use super::checkers::Violation;
use super::fault::{Fault, Way, WitnessId};
use super::schedule::{Schedule, begin, demand_one_active};
use super::setup::{Place, Setup};
use super::world::World;

const SERIAL: PathId = PathId(0);
const LAN: PathId = PathId(1);
const GROUP: GroupId = GroupId(0);
const WITNESS: WitnessId = WitnessId(0);

/// How long after an event the next one comes: before the next beat, while paths are late, once they are
/// silent, once a lease is over.
pub const GAPS: [Span; 4] = [Span::from_ms(7), Span::from_ms(390), Span::from_ms(620), Span::from_ms(2_300)];

/// What can happen to two boxes, a cable and a switch. Both nodes are alike but for the preferred one, which
/// serves at the beginning.
const PLAIN: [Fault; 25] = [
    Fault::Cut(SERIAL, Way::Both),
    Fault::Cut(SERIAL, Way::From(Side::A)),
    Fault::Cut(SERIAL, Way::From(Side::B)),
    Fault::Mend(SERIAL),
    Fault::Cut(LAN, Way::Both),
    Fault::Cut(LAN, Way::From(Side::A)),
    Fault::Cut(LAN, Way::From(Side::B)),
    Fault::LinkDown(LAN, Side::A),
    Fault::LinkUp(LAN, Side::A),
    Fault::Mend(LAN),
    Fault::PowerCut(Side::A),
    Fault::PowerOn(Side::A),
    Fault::Kill(Side::A),
    Fault::Kill(Side::B),
    Fault::Start(Side::A),
    Fault::Start(Side::B),
    Fault::Hang(Side::A),
    Fault::Continue(Side::A),
    Fault::HangGuard(Side::A),
    Fault::AddressGone(Side::A, GROUP),
    Fault::Freeze(Side::A),
    Fault::Thaw(Side::A),
    Fault::Handover(Side::A, GROUP),
    Fault::Takeover(Side::B, GROUP),
    Fault::Stop(Side::A),
];

/// What can happen to a pair with a witness, and to the agents alone; and what operators forbid.
const WITNESSED: [Fault; 24] = [
    Fault::Cut(SERIAL, Way::Both),
    Fault::Cut(SERIAL, Way::From(Side::A)),
    Fault::Cut(SERIAL, Way::From(Side::B)),
    Fault::Mend(SERIAL),
    Fault::Cut(LAN, Way::Both),
    Fault::Isolate(LAN, Side::A),
    Fault::Isolate(LAN, Side::B),
    Fault::Mend(LAN),
    Fault::WitnessDown(WITNESS),
    Fault::WitnessUp(WITNESS),
    Fault::WitnessCut(WITNESS, Side::A),
    Fault::WitnessCut(WITNESS, Side::B),
    Fault::WitnessMend(WITNESS),
    Fault::PowerCut(Side::A),
    Fault::PowerOn(Side::A),
    Fault::Kill(Side::A),
    Fault::Start(Side::A),
    Fault::KillAgent(Side::A),
    Fault::KillAgent(Side::B),
    Fault::Stall(Side::A, Span::from_ms(450)),
    Fault::Standby(Side::A),
    Fault::Online(Side::A),
    Fault::Maintenance(Side::A, Span::from_s(2)),
    Fault::Takeover(Side::B, GROUP),
];

/// What can happen to a pair among neighbours, who may live on either half of the LAN.
const AMONG_NEIGHBOURS: [Fault; 24] = [
    Fault::Cut(SERIAL, Way::Both),
    Fault::Cut(SERIAL, Way::From(Side::A)),
    Fault::Cut(SERIAL, Way::From(Side::B)),
    Fault::Mend(SERIAL),
    Fault::Cut(LAN, Way::Both),
    Fault::Isolate(LAN, Side::A),
    Fault::Isolate(LAN, Side::B),
    Fault::LinkDown(LAN, Side::A),
    Fault::LinkUp(LAN, Side::A),
    Fault::Mend(LAN),
    Fault::NeighboursGo(Side::A),
    Fault::NeighboursGo(Side::B),
    Fault::NeighboursCome(Side::B),
    Fault::PowerCut(Side::A),
    Fault::PowerOn(Side::A),
    Fault::Kill(Side::A),
    Fault::Start(Side::A),
    Fault::KillAgent(Side::A),
    Fault::KillAgent(Side::B),
    Fault::HangGuard(Side::B),
    Fault::Continue(Side::B),
    Fault::Stall(Side::A, Span::from_ms(450)),
    Fault::Handover(Side::A, GROUP),
    Fault::PeerIsOff(Side::B, GROUP),
];

/// What can happen to a pair with a voting witness.
const VOTED: [Fault; 24] = [
    Fault::Cut(SERIAL, Way::Both),
    Fault::Cut(SERIAL, Way::From(Side::A)),
    Fault::Cut(SERIAL, Way::From(Side::B)),
    Fault::Mend(SERIAL),
    Fault::Cut(LAN, Way::Both),
    Fault::Cut(LAN, Way::From(Side::A)),
    Fault::Cut(LAN, Way::From(Side::B)),
    Fault::Mend(LAN),
    Fault::WitnessDown(WITNESS),
    Fault::WitnessUp(WITNESS),
    Fault::WitnessCut(WITNESS, Side::A),
    Fault::WitnessCut(WITNESS, Side::B),
    Fault::WitnessMend(WITNESS),
    Fault::PowerCut(Side::A),
    Fault::PowerOn(Side::A),
    Fault::Kill(Side::A),
    Fault::Start(Side::A),
    Fault::KillAgent(Side::A),
    Fault::KillAgent(Side::B),
    Fault::HangGuard(Side::A),
    Fault::Stall(Side::A, Span::from_ms(450)),
    Fault::Stop(Side::A),
    Fault::Handover(Side::A, GROUP),
    Fault::PeerIsOff(Side::B, GROUP),
];

/// A pair, and what befalls it.
#[derive(Clone, Copy, Debug)]
pub struct Universe {
    /// For the report.
    pub name: &'static str,
    /// Everything that can happen.
    pub events: &'static [Fault],
    third: Third,
}

/// Who else can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Third {
    Nobody,
    Witness,
    Neighbours,
    Vote,
}

/// All that are searched.
pub const UNIVERSES: [Universe; 4] = [
    Universe { name: "the reference pair", events: &PLAIN, third: Third::Nobody },
    Universe { name: "the same with a witness", events: &WITNESSED, third: Third::Witness },
    Universe { name: "the same among neighbours", events: &AMONG_NEIGHBOURS, third: Third::Neighbours },
    Universe { name: "the same with a voting witness", events: &VOTED, third: Third::Vote },
];

impl Universe {
    fn setup(&self) -> Setup {
        let mut setup = Setup::reference();
        setup.policy.cold_start = Span::from_s(2);
        match self.third {
            Third::Nobody => setup,
            Third::Witness => {
                setup.policy.witnesses = 1;
                setup.policy.in_jeopardy = InJeopardy::Witness;
                setup.witnesses = vec![Place::Lan];
                setup
            }
            Third::Neighbours => setup.among([true, true]),
            Third::Vote => setup.with_vote(Place::Own),
        }
    }
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Sequences that were run, each to its own healed end.
    pub schedules: u64,
    /// Steps of both nodes.
    pub steps: u64,
    /// Distinct states of the two nodes, as the effects that led to them tell.
    pub states: u64,
    /// The first violation, with the schedule that gives it.
    pub violation: Option<(Schedule, Violation)>,
}

/// Runs all sequences of up to `depth` events that begin with `first`.
fn run(universe: &Universe, depth: usize, first: Fault) -> Count {
    let mut world = World::new(universe.setup(), 1);
    begin(&mut world);
    let mut search = Search {
        events: universe.events,
        count: Count::default(),
        seen: std::collections::HashSet::new(),
        prefix: Vec::new(),
    };
    search.go(&world, first, Span::ZERO, depth);
    search.count.states = search.seen.len() as u64;
    search.count
}

/// Runs all sequences of up to `depth` events, on all processors.
pub fn run_all(universe: &Universe, depth: usize) -> Count {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let total = std::sync::Mutex::new(Count::default());
    let work = || {
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(first) = universe.events.get(index) else { return };
            let count = run(universe, depth, *first);
            let Ok(mut total) = total.lock() else { return };
            total.schedules += count.schedules;
            total.steps += count.steps;
            total.states += count.states;
            total.violation = total.violation.take().or(count.violation);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Search {
    events: &'static [Fault],
    count: Count,
    seen: std::collections::HashSet<u64>,
    prefix: Vec<(Span, Fault)>,
}

impl Search {
    fn go(&mut self, before: &World, event: Fault, gap: Span, depth: usize) {
        if self.count.violation.is_some() {
            return;
        }
        let mut world = before.clone();
        world.befall(event);
        self.prefix.push((gap, event));
        self.check_end(&world);
        if depth > 1 && self.seen.insert(world.hash.value()) | has_changed(before, &world) {
            for gap in GAPS {
                let mut later = world.clone();
                later.run_for(gap);
                self.seen.insert(later.hash.value());
                if self.note(&later, Span::ZERO) {
                    break;
                }
                for next in self.events.iter().filter(|next| **next != event) {
                    self.go(&later, *next, gap, depth - 1);
                }
            }
        }
        self.prefix.pop();
    }

    /// Goes on for a lease and a half without another event, then heals.
    fn check_end(&mut self, world: &World) {
        const WAIT: Span = Span::from_ms(1_300);
        let mut end = world.clone();
        let steps = end.steps;
        end.run_for(WAIT);
        if !self.note(&end, WAIT) {
            let all: Vec<PathId> = end.setup.policy.path_ids().collect();
            end.heal(&all);
            demand_one_active(&mut end);
            self.note(&end, WAIT);
        }
        self.count.schedules += 1;
        self.count.steps += end.steps - steps;
        self.seen.insert(end.hash.value());
    }

    fn note(&mut self, world: &World, heal_after: Span) -> bool {
        let Some(violation) = &world.watch.violation else { return false };
        if self.count.violation.is_none() {
            let schedule = Schedule {
                aims: Vec::new(),
                seed: 1,
                setup: world.setup.clone(),
                faults: self.prefix.clone(),
                heal_after,
                healed: world.setup.policy.path_ids().collect(),
            };
            self.count.violation = Some((schedule, violation.clone()));
        }
        true
    }
}

/// Whether an event did anything. If not, it is not followed up: its successors were seen without it.
fn has_changed(before: &World, after: &World) -> bool {
    format!("{:?}", (&before.links, &before.witnesses)) != format!("{:?}", (&after.links, &after.witnesses))
        || before.hash != after.hash
        || [Side::A, Side::B].into_iter().any(|side| {
            let key = |world: &World| {
                let gateway = world.gateway(side);
                let guard = gateway.guard.as_ref().map(|guard| (guard.is_stopped, guard.custody.phase()));
                (
                    gateway.is_powered,
                    gateway.is_frozen,
                    gateway.is_agent_stopped,
                    gateway.agent.is_some(),
                    guard,
                )
            };
            key(before) != key(after)
        })
}
