//! What the years do to many pairs, by several rules in the same world.
//!
//! Event-driven: between two faults nothing happens that matters, so each pair's world is run only for a
//! while after each fault and each repair, until it has come to rest; whatever clients see then goes on until
//! the next. All pairs of all rules suffer the same faults at the same times.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crosswire::config::{InJeopardy, PathTiming, Speed};
use crosswire::pair::{GroupId, PathId, Side};
use crosswire::reasons::Block;
use crosswire::time::Span;

use super::chance::Chance;
use super::fault::{Fault, Way, WitnessId};
use super::rival::Rule;
use super::schedule::begin;
use super::service::Seen;
use super::setup::{Place, Setup};
use super::world::World;

const SERIAL: PathId = PathId(0);
const LAN: PathId = PathId(1);
const GROUP: GroupId = GroupId(0);
const YEAR_S: f64 = 365.25 * 86_400.0;

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contender {
    /// By which rule it decides.
    pub rule: Rule,
    /// In words.
    pub name: &'static str,
    /// Whether its neighbours are witnesses.
    has_neighbours: bool,
    /// Whether it pings a witness on the LAN.
    has_witness: bool,
    /// Whether a witness on the LAN votes.
    has_vote: bool,
    in_jeopardy: InJeopardy,
}

const fn crosswire(name: &'static str, has_neighbours: bool, in_jeopardy: InJeopardy) -> Contender {
    let has_witness = matches!(in_jeopardy, InJeopardy::Witness);
    Contender { rule: Rule::Crosswire, name, has_neighbours, has_witness, has_vote: false, in_jeopardy }
}

const fn rival(name: &'static str, rule: Rule) -> Contender {
    let in_jeopardy = InJeopardy::Hold;
    Contender { rule, name, has_neighbours: false, has_witness: false, has_vote: false, in_jeopardy }
}

/// All of them.
pub const CONTENDERS: [Contender; 7] = [
    crosswire("crosswire, out of the box", true, InJeopardy::Hold),
    crosswire("crosswire, in_jeopardy = neighbours", true, InJeopardy::Neighbours),
    crosswire("crosswire, a witness that is pinged", true, InJeopardy::Witness),
    Contender { has_vote: true, ..crosswire("crosswire, a witness that votes", true, InJeopardy::Hold) },
    crosswire("crosswire, neighbours = false", false, InJeopardy::Hold),
    rival("one path only (as VRRP)", Rule::OnePath),
    rival("all paths silent (as Heartbeat)", Rule::AllSilent),
];

/// One cause of trouble.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// In words.
    pub name: &'static str,
    /// How often in a pair's year; for a cause of a box or a port, on both sides together.
    pub per_year: f64,
    /// How long it lasts on average, in seconds (exponential).
    pub lasts_s: f64,
    /// What it does and what ends it; half of the time on each side.
    pub what: fn(Side) -> (Fault, Fault),
}

/// All causes. Every figure is a guess of the order of magnitude for old hardware that somebody looks after;
/// none was measured. Only differences between rules mean anything, and the command can be run with other
/// figures.
pub const CAUSES: [Cause; 14] = [
    Cause {
        name: "cable or serial port dead",
        per_year: 0.10,
        lasts_s: 7.0 * 86_400.0,
        what: |_| (Fault::Cut(SERIAL, Way::Both), Fault::Mend(SERIAL)),
    },
    Cause {
        name: "cable works one way only",
        per_year: 0.02,
        lasts_s: 7.0 * 86_400.0,
        what: |side| (Fault::Cut(SERIAL, Way::From(side)), Fault::Mend(SERIAL)),
    },
    Cause {
        name: "cable unplugged by hand",
        per_year: 0.50,
        lasts_s: 3_600.0,
        what: |_| (Fault::Cut(SERIAL, Way::Both), Fault::Mend(SERIAL)),
    },
    Cause {
        name: "network card or its cable dead",
        per_year: 0.10,
        lasts_s: 86_400.0,
        what: |side| (Fault::LinkDown(LAN, side), Fault::LinkUp(LAN, side)),
    },
    Cause {
        name: "LAN loses what one box sends, link light on",
        per_year: 0.02,
        lasts_s: 86_400.0,
        what: |side| (Fault::Cut(LAN, Way::From(side)), Fault::Mend(LAN)),
    },
    Cause {
        name: "LAN cut between the boxes, link lights on",
        per_year: 0.10,
        lasts_s: 3_600.0,
        what: |_| (Fault::Cut(LAN, Way::Both), Fault::Mend(LAN)),
    },
    Cause {
        name: "switch port of a box silent, link light on",
        per_year: 0.05,
        lasts_s: 86_400.0,
        what: |side| (Fault::Isolate(LAN, side), Fault::Mend(LAN)),
    },
    Cause {
        name: "switch dead or rebooted",
        per_year: 1.05,
        lasts_s: 600.0,
        what: |_| (Fault::SwitchOff(LAN), Fault::SwitchOn(LAN)),
    },
    Cause {
        name: "box dead",
        per_year: 0.40,
        lasts_s: 86_400.0,
        what: |side| (Fault::PowerCut(side), Fault::PowerOn(side)),
    },
    Cause {
        name: "box rebooted",
        per_year: 2.0,
        lasts_s: 90.0,
        what: |side| (Fault::PowerCut(side), Fault::PowerOn(side)),
    },
    Cause {
        name: "daemon killed, started again by init",
        per_year: 0.50,
        lasts_s: 10.0,
        what: |side| (Fault::Kill(side), Fault::Start(side)),
    },
    Cause {
        name: "daemon hangs",
        per_year: 0.20,
        lasts_s: 600.0,
        what: |side| (Fault::Hang(side), Fault::Continue(side)),
    },
    Cause {
        name: "box stands still (virtual machine moved)",
        per_year: 1.0,
        lasts_s: 8.0,
        what: |side| (Fault::Freeze(side), Fault::Thaw(side)),
    },
    Cause {
        name: "planned handover",
        per_year: 2.0,
        lasts_s: 600.0,
        what: |side| (Fault::Handover(side, GROUP), Fault::Handover(side.peer(), GROUP)),
    },
];

/// What one rule came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Seconds in which nobody answered although the LAN worked.
    pub nobody_s: f64,
    /// Those of them in which a node held back since a path had been broken before.
    pub held_back_s: f64,
    /// Seconds in which two answered.
    pub two_s: f64,
    /// How often two began to answer: takeovers from a peer that served.
    pub doubles: u64,
    /// Pairs that ever had two.
    pub pairs_with_two: u64,
    /// Faults and repairs that were simulated.
    pub events: u64,
    /// Virtual time that was simulated, in seconds.
    pub simulated_s: f64,
}

/// The whole comparison.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Pairs.
    pub pairs: u64,
    /// Years of each.
    pub years: u64,
    /// Seed of the first pair; the others follow.
    pub seed: u64,
    /// In the order of [`CONTENDERS`].
    pub sums: [Sum; CONTENDERS.len()],
    /// Wall-clock time.
    pub took: Duration,
}

/// Runs all pairs by all rules, on all processors.
pub fn run(pairs: u64, years: u64, seed: u64) -> Fleet {
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let total = std::sync::Mutex::new([Sum::default(); CONTENDERS.len()]);
    let work = || {
        loop {
            let pair = next.fetch_add(1, Ordering::Relaxed);
            if pair >= pairs {
                return;
            }
            let events = events_of(seed.wrapping_add(pair), years);
            let sums = CONTENDERS.map(|who| live(who, seed.wrapping_add(pair), &events, years));
            let Ok(mut total) = total.lock() else { return };
            for (total, sum) in total.iter_mut().zip(sums) {
                total.nobody_s += sum.nobody_s;
                total.held_back_s += sum.held_back_s;
                total.two_s += sum.two_s;
                total.doubles += sum.doubles;
                total.pairs_with_two += sum.pairs_with_two;
                total.events += sum.events;
                total.simulated_s += sum.simulated_s;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let sums = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Fleet { pairs, years, seed, sums, took: started.elapsed() }
}

/// Everything that befalls one pair, in order (seconds since it was built).
fn events_of(seed: u64, years: u64) -> Vec<(f64, Fault)> {
    let mut chance = Chance::new(seed);
    let end = years as f64 * YEAR_S;
    let mut events = Vec::new();
    for cause in CAUSES {
        let mut at = 0.0;
        loop {
            at -= chance.unit().ln() * YEAR_S / cause.per_year;
            if at >= end {
                break;
            }
            let side = chance.pick(&[Side::A, Side::B]);
            let (begins, ends) = (cause.what)(side);
            let until = at - chance.unit().ln() * cause.lasts_s;
            events.push((at, begins));
            events.push((until, ends));
            // The same thing does not break again before it is mended.
            at = until;
        }
    }
    events.retain(|(at, _)| *at < end);
    events.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    events
}

/// The pair of an operator who sets nothing but the rule: the preset `normal`.
fn setup(who: Contender) -> Setup {
    let mut setup = Setup::reference();
    let timing: PathTiming = Speed::Normal.timing();
    for path in &mut setup.policy.paths {
        path.timing = timing;
    }
    setup.policy.lease = Speed::Normal.lease();
    setup.does_slip = true;
    setup.has_no_lifetime = who.rule != Rule::Crosswire;
    setup.policy.in_jeopardy = who.in_jeopardy;
    if who.has_witness {
        setup.witnesses = vec![Place::Lan];
        setup.policy.witnesses = 1;
    }
    if who.has_vote {
        setup = setup.with_vote(Place::Lan);
    }
    if who.has_neighbours { setup.among([true, true]) } else { setup }
}

/// A node has been told by its rules to hold back.
fn is_held_back(world: &World) -> bool {
    [Side::A, Side::B].into_iter().any(|side| {
        let now = world.gateway(side).clock.local(world.now());
        let status = world.node(side).map(|node| node.status(now));
        status.is_some_and(|status| status.groups.iter().any(|group| group.block == Some(Block::Jeopardy)))
    })
}

fn live(who: Contender, seed: u64, events: &[(f64, Fault)], years: u64) -> Sum {
    let mut world = World::with_rule(setup(who), seed, who.rule);
    world.watch.is_off = who.rule != Rule::Crosswire;
    world.watch.is_for_figures = true;
    begin(&mut world);
    world.run_for(Span::from_s(4));
    world.watch.service = Default::default();
    world.note_service();
    // The time before the first look does not count.
    world.watch.service.nobody = Span::ZERO;
    let mut sum = Sum::default();
    let end = years as f64 * YEAR_S;
    for (index, (at, fault)) in events.iter().enumerate() {
        let until = events.get(index + 1).map_or(end, |(at, _)| *at);
        let gap = Span::from_us(((until - at) * 1e6) as u64);
        world.befall(*fault);
        if (who.has_witness || who.has_vote) && *fault == Fault::Mend(LAN) {
            world.befall(Fault::WitnessMend(WitnessId(0)));
        }
        let simulated = come_to_rest(&mut world, gap);
        world.note_service();
        let left = gap.saturating_sub(simulated);
        world.watch.service.pass(left);
        if world.watch.service.seen() == Seen::Nobody && is_held_back(&world) {
            sum.held_back_s += left.as_us() as f64 / 1e6;
        }
        world.watch.past_overlaps.clear();
        sum.events += 1;
        sum.simulated_s += simulated.as_us() as f64 / 1e6;
    }
    sum.nobody_s = world.watch.service.nobody.as_us() as f64 / 1e6;
    sum.two_s = world.watch.service.two.as_us() as f64 / 1e6;
    sum.doubles = world.watch.service.doubles;
    sum.pairs_with_two = u64::from(sum.doubles > 0);
    sum
}

/// Runs until nothing has changed for longer than any wait of the rules, or `gap` is over; says how long.
fn come_to_rest(world: &mut World, gap: Span) -> Span {
    const STEP: Span = Span::from_ms(500);
    // dead_after, lease and its slip come to 5.6 s; cold start to 60 s.
    const QUIET_STEPS: u32 = 16;
    const QUIET_STEPS_IF_NOBODY: u32 = 140;
    const RESTART_STEPS: u32 = 10;
    let mut simulated = Span::ZERO;
    let (mut quiet, mut steps) = (0, 0);
    let look = |world: &World| {
        (
            world.watch.roles,
            world.watch.service.seen(),
            world.gateway(Side::A).run,
            world.gateway(Side::B).run,
        )
    };
    let mut before = look(world);
    while simulated < gap {
        let step = STEP.min(gap.saturating_sub(simulated));
        world.run_for(step);
        simulated = simulated + step;
        // Whatever started a daemon starts it again when it has ended.
        if steps % RESTART_STEPS == RESTART_STEPS - 1 {
            world.befall(Fault::Start(Side::A));
            world.befall(Fault::Start(Side::B));
        }
        steps += 1;
        let now = look(world);
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
        let enough =
            if world.watch.service.seen() == Seen::Nobody { QUIET_STEPS_IF_NOBODY } else { QUIET_STEPS };
        if quiet >= enough {
            break;
        }
    }
    simulated
}

impl Fleet {
    /// Pair-years.
    pub fn pair_years(&self) -> f64 {
        (self.pairs * self.years) as f64
    }

    /// Share of the time in which somebody answered, given a working LAN.
    pub fn availability(&self, sum: &Sum) -> f64 {
        1.0 - sum.nobody_s / (self.pair_years() * YEAR_S)
    }

    /// The table, as Markdown.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let years = self.pair_years();
        let _ = writeln!(
            text,
            "{} pairs, {} years each, seed {}; computed in {:.0} s\n",
            self.pairs,
            self.years,
            self.seed,
            self.took.as_secs_f64()
        );
        let _ = writeln!(
            text,
            "| rule | availability | down, s per pair-year | of that held back, s | two holders, times per \
                1,000 pair-years | two holders, s per pair-year | pairs that ever had two |"
        );
        let _ = writeln!(text, "|---|---|---|---|---|---|---|");
        for (Contender { name, .. }, sum) in CONTENDERS.iter().zip(&self.sums) {
            let _ = writeln!(
                text,
                "| {name} | {:.5} % | {:.1} | {:.1} | {:.1} | {:.4} | {:.2} % |",
                self.availability(sum) * 100.0,
                sum.nobody_s / years,
                sum.held_back_s / years,
                sum.doubles as f64 * 1_000.0 / years,
                sum.two_s / years,
                sum.pairs_with_two as f64 * 100.0 / self.pairs as f64,
            );
        }
        let _ = writeln!(text, "\n| cause | times a pair-year | lasts on average |\n|---|---|---|");
        for cause in CAUSES {
            let _ = writeln!(text, "| {} | {} | {} |", cause.name, cause.per_year, lasting(cause.lasts_s));
        }
        let events: u64 = self.sums.iter().map(|sum| sum.events).sum();
        let simulated: f64 = self.sums.iter().map(|sum| sum.simulated_s).sum();
        let _ = writeln!(
            text,
            "\n{events} faults and repairs, {:.0} hours of them simulated beat by beat.",
            simulated / 3_600.0
        );
        text
    }

    /// The same as bars.
    pub fn svg(&self) -> String {
        let years = self.pair_years();
        let rows = |value: fn(&Sum) -> f64| {
            CONTENDERS
                .iter()
                .zip(&self.sums)
                .map(|(who, sum)| (who.name.to_string(), value(sum) / years))
                .collect::<Vec<_>>()
        };
        super::svg::bars(&[
            ("nobody answers, seconds per pair-year", rows(|sum| sum.nobody_s)),
            ("two answer, seconds per pair-year", rows(|sum| sum.two_s)),
            ("two begin to answer, times per pair-year", rows(|sum| sum.doubles as f64)),
        ])
    }
}

fn lasting(seconds: f64) -> String {
    match seconds {
        s if s >= 86_400.0 => format!("{} d", s / 86_400.0),
        s if s >= 3_600.0 => format!("{} h", s / 3_600.0),
        s if s >= 60.0 => format!("{} min", s / 60.0),
        s => format!("{s} s"),
    }
}
