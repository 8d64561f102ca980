//! A soak: moves, kills, reloads and cuts at random on two running daemons, for as long as is asked.
//!
//! `CROSSWIRE_SOAK_S` is how many seconds (60), `CROSSWIRE_SEED` where it begins (elsewhere each time):
//!
//! ```sh
//! CROSSWIRE_SOAK_S=7200 cargo test --test pair -- soak:: --nocapture
//! ```
//!
//! After each blow the pair has to come to rest. In all of it the two kernels never hold the address at once,
//! no process, zombie or descriptor is left over, and memory and log do not grow with time: what the second
//! half has is what the first half had.
//!
//! Overlap is judged by the order in which the kernels queued their events, of both in one queue, and not by
//! when somebody read them ([`crate::lab::address_log`]). Two readers, one for each kernel, see overlaps that
//! never were: the one that is woken late stamps the end of a hold after the other one has stamped the
//! beginning of the next, by as much as it was late, up to a slice of the scheduler or a round of polling
//! (`the_observer_sees_no_overlap_where_a_late_reader_does` in tests/lab).

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kills::{assert_nothing_left, fresh_seed, open_files, rest, setting};
use crate::lab::clock::{now, span};
use crate::lab::dice::Dice;
use crate::lab::setup::GROUP;
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{Scene, ms};

/// What the last blow may take to come to rest, and what stands before and after them all.
const MORE: Duration = Duration::from_secs(180);
/// A third agent that dies within a minute has everything released, which other tests are about.
const DEATHS_APART: Span = Span::from_s(61);
/// What a process may have more in the second half than at most in the first: pages come and go.
const MORE_KB: u64 = 512;
/// Lines that one blow may leave in the logs of both nodes together.
const MOST_LINES: usize = 120;
/// How long nothing is done in the end.
const QUIET: Duration = Duration::from_secs(5);

/// What is done to the pair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Blow {
    Handover,
    KillAgent,
    KillAll,
    Reload,
    CutCable,
    CutLan,
}

const BLOWS: [Blow; 6] =
    [Blow::Handover, Blow::KillAgent, Blow::KillAll, Blow::Reload, Blow::CutCable, Blow::CutLan];

/// What is known of one blow and the rest after it.
struct Entry {
    blow: Blow,
    outage: Span,
    lines: usize,
    /// Of guard and agent of both nodes, kilobytes.
    resident: [u64; 4],
}

struct Soak {
    scene: Scene,
    dice: Dice,
    active: Side,
    /// When an agent was killed last, by side.
    killed_at: [Option<Instant>; 2],
    entries: Vec<Entry>,
}

impl Soak {
    fn draw(&mut self) -> (Blow, Side) {
        let pick = |dice: &mut Dice, of: u64| usize::try_from(dice.roll() % of).unwrap_or(0);
        let blow = BLOWS[pick(&mut self.dice, 6)];
        let side = [Side::A, Side::B][pick(&mut self.dice, 2)];
        let is_early = self.killed_at[side.index()].is_some_and(|at| now().since(at) < DEATHS_APART);
        match blow {
            Blow::KillAgent if is_early => (Blow::Handover, side),
            blow => (blow, side),
        }
    }

    /// Some time between nothing and the one that is given.
    fn moment(&mut self, at_most_ms: u64) -> Duration {
        ms(self.dice.roll() % at_most_ms)
    }

    fn strike(&mut self, blow: Blow, side: Side) {
        match blow {
            Blow::Handover => {
                let said = self.scene.say(self.active, &["handover", GROUP]);
                assert_eq!(said.code, Some(0), "{said:?}");
            }
            Blow::KillAgent => {
                self.killed_at[side.index()] = Some(now());
                kill(self.scene.agent(side).expect("an agent"), Signal::SIGKILL).expect("killed");
            }
            Blow::KillAll => {
                self.killed_at[side.index()] = None;
                for pid in
                    [self.scene.guard(side).expect("a guard"), self.scene.agent(side).expect("an agent")]
                {
                    // ESRCH: it has just ended.
                    let _ = kill(pid, Signal::SIGKILL);
                }
                let guard = self.scene.process(side).expect("it was started");
                guard.wait_for_end(Duration::from_secs(10)).expect("it is dead");
            }
            Blow::Reload => {
                let said = self.scene.say(side, &["reload"]);
                assert_eq!(said.code, Some(0), "{said:?}");
            }
            Blow::CutCable => {
                self.scene.cable().cut();
                thread::sleep(self.moment(2_000));
                self.scene.cable().heal();
            }
            Blow::CutLan => {
                self.scene.set_lan(side, PortRules::silent());
                thread::sleep(self.moment(2_000));
                self.scene.set_lan(side, PortRules::default());
            }
        }
    }

    fn lines(&self) -> usize {
        [Side::A, Side::B].map(|side| self.scene.log_of(side).lines().count()).into_iter().sum()
    }

    fn resident(&mut self) -> [u64; 4] {
        let mut of = |side| {
            let (guard, agent) =
                (self.scene.guard(side).expect("a guard"), self.scene.agent(side).expect("an agent"));
            [resident_kb(guard), resident_kb(agent)]
        };
        let ([guard_a, agent_a], [guard_b, agent_b]) = (of(Side::A), of(Side::B));
        [guard_a, agent_a, guard_b, agent_b]
    }

    fn one_more(&mut self, open: &[usize]) {
        let wait = self.moment(300);
        thread::sleep(wait);
        let (blow, side) = self.draw();
        let (struck, lines) = (now(), self.lines());
        self.strike(blow, side);
        self.active = rest(&mut self.scene);
        let entry = Entry {
            blow,
            outage: self.scene.ping().longest_gap_since(struck).worst(),
            lines: self.lines() - lines,
            resident: self.resident(),
        };
        self.scene.assert_never_both();
        assert!(entry.lines <= MOST_LINES, "{blow:?}: {} lines", entry.lines);
        assert_nothing_left(&mut self.scene, open, self.active);
        self.entries.push(entry);
    }

    fn tell(&self) {
        println!("{:<10}{:>6}{:>11}{:>11}{:>8}{:>8}", "blow", "count", "median", "worst", "lines", "at most");
        let mut by_blow: BTreeMap<Blow, Vec<(Span, usize)>> = BTreeMap::new();
        for entry in &self.entries {
            by_blow.entry(entry.blow).or_default().push((entry.outage, entry.lines));
        }
        for (blow, mut all) in by_blow {
            all.sort_unstable();
            let lines: usize = all.iter().map(|(_, lines)| lines).sum();
            let most = all.iter().map(|(_, lines)| *lines).max().unwrap_or(0);
            let (count, median, worst) =
                (all.len(), all[all.len() / 2].0.as_ms(), all[all.len() - 1].0.as_ms());
            let name = format!("{blow:?}");
            println!("{name:<10}{count:>6}{median:>8} ms{worst:>8} ms{:>8}{most:>8}", lines / count);
        }
    }

    /// What each process had at most in either half.
    fn assert_memory_is_flat(&self) {
        let (first, second) = self.entries.split_at(self.entries.len() / 2);
        let most = |entries: &[Entry], index: usize| entries.iter().map(|entry| entry.resident[index]).max();
        for (index, process) in
            ["guard of A", "agent of A", "guard of B", "agent of B"].into_iter().enumerate()
        {
            let (Some(before), Some(after)) = (most(first, index), most(second, index)) else { continue };
            println!("{process}: at most {before} KB resident in the first half, {after} KB in the second");
            assert!(after <= before + MORE_KB, "{process}: {before} KB, then {after} KB");
        }
    }
}

fn resident_kb(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_soak_leaves_nothing_behind_and_grows_nothing() {
    let lasts = Duration::from_secs(setting("CROSSWIRE_SOAK_S").unwrap_or(60));
    testing::in_long_lab(lasts + MORE, move || {
        let seed = setting("CROSSWIRE_SEED").unwrap_or_else(|| u64::from(fresh_seed()));
        println!("CROSSWIRE_SEED={seed} CROSSWIRE_SOAK_S={}", lasts.as_secs());
        let mut scene = Scene::serving();
        let active = rest(&mut scene);
        let open = open_files(&mut scene);
        let mut soak =
            Soak { scene, dice: Dice::new(seed), active, killed_at: [None; 2], entries: Vec::new() };
        let until = now() + span(lasts);
        while now() < until {
            soak.one_more(&open);
        }
        let lines = soak.lines();
        thread::sleep(QUIET);
        soak.tell();
        println!("{} lines in {} s without a blow", soak.lines() - lines, QUIET.as_secs());
        assert!(soak.lines() - lines <= 4, "a pair at rest has nothing to tell");
        soak.assert_memory_is_flat();
        println!("overlap in all: {}", soak.scene.overlap().expect("the observer lost nothing"));
    });
}
