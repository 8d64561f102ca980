//! Kills and stops of guard, agent or both, on either node, at random instants, under traffic.
//!
//! `CROSSWIRE_KILLS` is how many (12), `CROSSWIRE_SEED` where they begin (elsewhere each time). Every fourth
//! blow is followed by another one before the pair has come to rest. Then it has to: one node serves, the
//! other stands by, both hear each other on both paths. Overlap is zero in all; what the client missed of a
//! single blow stays within the bound of the catalogue's row; and no process, zombie, descriptor or address
//! is left over.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, SystemTime};

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::clock::{now, span};
use crate::lab::dice::Dice;
use crate::lab::fair::HANGS_AFTER;
use crate::lab::ledger::Hold;
use crate::lab::testing;
use crate::scene::{Scene, at_most, ms};

/// A node that let go because its guard was silent is faulty for 10 s; then everything else has its time.
const REST_WAIT: Duration = Duration::from_secs(60);
/// One blow and what it takes to come to rest, on a machine that has other things to do.
const BLOW_HANGS_AFTER: Duration = Duration::from_secs(30);
/// Within how long after the first blow a second one falls: the peer takes 2.6 s at most until it is certain.
const AFTERWARDS_MS: u64 = 3_000;
/// Rows 3 and 4: the peer serves that long after it may.
const SERVES_MS: u64 = 300;
/// From the last beat until a peer whose box still answers is believed to hold nothing.
const CERTAIN: Span = Span::from_ms(2_626);
/// An address was renewed at most one interval before its guard was lost: so long it stays, at least.
const STAYS_MS: u64 = 900;
/// A lease, and what the kernel may let its end slip.
const LASTS_MS: u64 = 2_100;
/// The lease that an agent waits before it takes its guard for hung, and what it may be late.
const HUNG_MS: u64 = 1_100;
/// The switch, the client and two kernels have their hiccups on a busy machine.
const HICCUP: Span = Span::from_ms(450);

/// Which processes of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Victim {
    Agent,
    Guard,
    Both,
}

/// One blow.
#[derive(Clone, Copy, Debug)]
struct Blow {
    side: Side,
    victim: Victim,
    /// None: killed.
    stopped_for: Option<Duration>,
}

impl Blow {
    fn draw(dice: &mut Dice) -> Self {
        let pick = |dice: &mut Dice, of: u64| dice.roll() % of;
        let side = if pick(dice, 3) < 2 { Side::A } else { Side::B };
        let victim =
            [Victim::Agent, Victim::Guard, Victim::Both][usize::try_from(pick(dice, 3)).unwrap_or(0)];
        let stopped_for = dice.hits(1, 2).then(|| ms(50 + pick(dice, 3_000)));
        Self { side, victim, stopped_for }
    }

    /// What has ended already is left out: a second blow may find a node that lies on the ground.
    fn strike(self, scene: &mut Scene) {
        let (guard, agent) = (scene.guard(self.side).ok(), scene.agent(self.side).ok());
        let pids: Vec<Pid> = match self.victim {
            Victim::Agent => agent.into_iter().collect(),
            Victim::Guard => guard.into_iter().collect(),
            Victim::Both => guard.into_iter().chain(agent).collect(),
        };
        let signal = if self.stopped_for.is_some() { Signal::SIGSTOP } else { Signal::SIGKILL };
        for pid in &pids {
            // ESRCH: it has just ended.
            let _ = kill(*pid, signal);
        }
        if self.stopped_for.is_none() && self.victim != Victim::Agent && guard.is_some() {
            let guard = scene.process(self.side).expect("it was started");
            guard.wait_for_end(Duration::from_secs(10)).expect("it is dead");
        }
        if let Some(stop) = self.stopped_for {
            thread::sleep(stop);
            for pid in pids {
                // ESRCH: the guard has killed its agent.
                let _ = kill(pid, Signal::SIGCONT);
            }
        }
    }

    /// Whether the row says that nothing moves.
    fn moves_nothing(self, active: Side, agent_deaths: usize) -> bool {
        self.side != active || self.victim == Victim::Agent && agent_deaths < 3
    }

    /// What the client may miss. Only what the row promises is allowed threefold: a lease and the peer's
    /// certainty are spans of the clock.
    fn bound(self, active: Side, agent_deaths: usize) -> Span {
        let serves = at_most(SERVES_MS);
        let address_stays = Span::from_ms(STAYS_MS);
        match (self.victim, self.stopped_for) {
            _ if self.moves_nothing(active, agent_deaths) => HICCUP,
            // The third death of an agent within a minute: everything is let go at once.
            (Victim::Agent, _) => CERTAIN + serves,
            // Nobody speaks for the node any more: the address goes, and the peer asks the kernel.
            (Victim::Both, None) => serves,
            // The agent says that it cannot serve: the peer waits until it is certain.
            (Victim::Guard, None) => CERTAIN.saturating_sub(address_stays) + serves,
            // Longer than the address can last: it has gone and the peer serves before they wake.
            (Victim::Both, Some(stop)) if span(stop) > Span::from_ms(LASTS_MS) + serves => serves,
            // The last beat comes when the agent gives up, or when both wake.
            (Victim::Guard, Some(_)) => {
                (CERTAIN + Span::from_ms(HUNG_MS)).saturating_sub(address_stays) + serves
            }
            (Victim::Both, Some(stop)) => (CERTAIN + span(stop)).saturating_sub(address_stays) + serves,
        }
    }

    fn name(self) -> String {
        match self.stopped_for {
            None => format!("{:?} killed", self.victim),
            Some(stop) if span(stop) < Span::from_ms(STAYS_MS) => {
                format!("{:?} stopped < 0.9 s", self.victim)
            }
            Some(_) => format!("{:?} stopped longer", self.victim),
        }
    }
}

/// Waits until the pair is at rest, starting again what has ended, and says who serves.
pub fn rest(scene: &mut Scene) -> Side {
    let give_up = std::time::Instant::now() + REST_WAIT;
    loop {
        for side in [Side::A, Side::B] {
            let is_over =
                scene.process(side).is_none_or(|process| process.ended().expect("waited for").is_some());
            // The agent of a dead guard stays until the lease is over.
            if is_over && scene.processes(side).expect("/proc").is_empty() {
                scene.begin(side);
            }
        }
        // An agent whose guard is dead still answers, as if nothing were wrong.
        let is_whole = [Side::A, Side::B].into_iter().all(|side| {
            let runs =
                scene.process(side).is_some_and(|process| process.ended().expect("waited for").is_none());
            runs && scene.agent(side).is_ok()
        });
        let at_rest = [Side::A, Side::B].into_iter().find(|side| {
            is_whole && scene.is_at_rest(*side, "active") && scene.is_at_rest(side.peer(), "backup")
        });
        if let Some(side) = at_rest {
            return side;
        }
        assert!(std::time::Instant::now() < give_up, "the pair does not come to rest");
        thread::sleep(ms(20));
    }
}

/// How many descriptors a process has open.
fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Descriptors of guard and agent of both nodes.
pub fn open_files(scene: &mut Scene) -> Vec<usize> {
    let mut counts = Vec::new();
    for side in [Side::A, Side::B] {
        counts.push(descriptors(scene.guard(side).expect("a guard")));
        counts.push(descriptors(scene.agent(side).expect("an agent")));
    }
    counts
}

pub fn assert_nothing_left(scene: &mut Scene, before: &[usize], active: Side) {
    // A command that has just asked may not have hung up yet.
    let give_up = std::time::Instant::now() + Duration::from_secs(5);
    while open_files(scene) != before {
        assert!(
            std::time::Instant::now() < give_up,
            "open files: {:?}, at first {before:?}",
            open_files(scene)
        );
        thread::sleep(ms(50));
    }
    for side in [Side::A, Side::B] {
        let processes = scene.processes(side).expect("/proc");
        assert_eq!(processes.len(), 2, "guard and agent: {processes:?}");
        let guard = scene.guard(side).expect("a guard");
        let children = crate::lab::process::all_processes().expect("/proc");
        let children: Vec<_> = children.into_iter().filter(|process| process.parent == guard).collect();
        assert_eq!(children.len(), 1, "the agent, and no zombie: {children:?}");
    }
    let holding: Vec<Hold> = scene.holds().into_iter().filter(|hold| hold.until.is_none()).collect();
    assert!(matches!(holding[..], [Hold { side, .. }] if side == active), "one address: {holding:?}");
}

pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// When agents died, by the node; the guard counts those of the last minute.
#[derive(Default)]
struct AgentDeaths([Vec<Instant>; 2]);

impl AgentDeaths {
    /// Notes what a blow adds, and says how many there are on its node.
    fn note(&mut self, blow: Blow) -> usize {
        let (struck, deaths) = (now(), &mut self.0[blow.side.index()]);
        match (blow.victim, blow.stopped_for) {
            // A guard that wakes beside an agent that was stopped too takes it for hung, and kills it.
            (Victim::Agent, _) | (Victim::Both, Some(_)) => deaths.push(struck),
            (Victim::Guard | Victim::Both, None) => deaths.clear(),
            // It remembers what it has seen before.
            (Victim::Guard, Some(_)) => {}
        }
        deaths.retain(|at| struck.since(*at) < Span::from_s(61));
        deaths.len()
    }
}

/// What the client missed, by what was hit.
#[derive(Default)]
struct Summary(BTreeMap<String, Vec<Span>>);

impl Summary {
    fn note(&mut self, name: String, outage: Span) {
        self.0.entry(name).or_default().push(outage);
    }

    fn print(&mut self, overlap: Span) {
        println!("{:<34}{:>6}{:>12}{:>12}", "hit", "count", "median", "worst");
        for (name, outages) in &mut self.0 {
            outages.sort_unstable();
            let (median, worst) = (outages[outages.len() / 2], outages[outages.len() - 1]);
            println!("{name:<34}{:>6}{:>9} ms{:>9} ms", outages.len(), median.as_ms(), worst.as_ms());
        }
        println!("overlap in all: {overlap}");
    }
}

/// One blow, and perhaps another one soon after; then the pair has come to rest. Returns who serves then.
fn try_one(
    number: u64,
    scene: &mut Scene,
    dice: &mut Dice,
    tally: (&mut AgentDeaths, &mut Summary),
    active: Side,
) -> Side {
    let (deaths, summary) = tally;
    thread::sleep(ms(dice.roll() % 700));
    let (blow, struck, holds) = (Blow::draw(dice), now(), scene.holds().len());
    let agent_deaths = deaths.note(blow);
    let bound = blow.bound(active, agent_deaths);
    blow.strike(scene);
    let second = dice.hits(1, 4).then(|| Blow::draw(dice));
    if let Some(second) = second {
        thread::sleep(ms(dice.roll() % AFTERWARDS_MS));
        deaths.note(second);
        second.strike(scene);
    }
    let now_active = rest(scene);
    let outage = scene.ping().longest_gap_since(struck).worst();
    println!(
        "{number}: {blow:?}, then {second:?}, while {active:?} served; now {now_active:?}, outage {outage}"
    );
    let place = if blow.side == active { "active" } else { "standby" };
    // Of two faults at once no row promises more than that the pair comes to rest, and never serves twice.
    if second.is_none() {
        assert!(
            outage <= bound,
            "{number}: {blow:?}: the client was not served for {outage}, more than {bound}"
        );
        if blow.moves_nothing(active, agent_deaths) {
            assert_eq!(
                (now_active, scene.holds().len()),
                (active, holds),
                "{number}: {blow:?} moved {:?}",
                scene.holds()
            );
        }
        summary.note(format!("{}, {place}", blow.name()), outage);
    } else {
        summary.note("two blows".into(), outage);
    }
    scene.assert_never_both();
    now_active
}

#[test]
fn random_kills_and_stops_never_make_two_and_leave_nothing_behind() {
    let kills = setting("CROSSWIRE_KILLS").unwrap_or(12);
    let hangs_after = HANGS_AFTER + BLOW_HANGS_AFTER * u32::try_from(kills).expect("a number of blows");
    testing::in_long_fair_lab(hangs_after, || {
        let seed = setting("CROSSWIRE_SEED").unwrap_or_else(|| u64::from(fresh_seed()));
        println!("CROSSWIRE_SEED={seed} CROSSWIRE_KILLS={kills}");
        let mut dice = Dice::new(seed);
        let mut scene = Scene::serving();
        let mut active = rest(&mut scene);
        let before = open_files(&mut scene);
        let (mut deaths, mut summary) = (AgentDeaths::default(), Summary::default());
        for number in 0..kills {
            active = try_one(number, &mut scene, &mut dice, (&mut deaths, &mut summary), active);
            assert_nothing_left(&mut scene, &before, active);
        }
        summary.print(scene.overlap().expect("the observer lost nothing"));
    });
}

/// Another one each time; it is printed, so that a run can be had again.
pub fn fresh_seed() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(1, |since| since.subsec_nanos())
}
