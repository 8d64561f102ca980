//! Many random schedules on all processors.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crosswire::time::Span;

use super::checkers::Violation;
use super::schedule::Schedule;

/// What a campaign came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Schedules that were run.
    pub runs: u64,
    /// Those that broke an invariant: seed and violation.
    pub failures: Vec<(u64, Violation)>,
    /// Virtual time of all of them.
    pub lasted: Span,
    /// Steps of all nodes.
    pub steps: u64,
    /// Overlaps that nobody could have avoided.
    pub splits: u64,
    /// Wall-clock time.
    pub took: Duration,
    /// How many threads ran.
    pub threads: usize,
}

impl Report {
    /// Hours of a pair's life for each second of one processor.
    pub fn pair_hours_per_cpu_second(&self) -> f64 {
        let hours = self.lasted.as_us() as f64 / 3.6e9;
        hours / (self.took.as_secs_f64() * self.threads as f64)
    }
}

/// Runs the schedules of `seeds`. Stops early after some failures: one is enough to look at.
pub fn run(seeds: std::ops::Range<u64>) -> Report {
    const MAX_FAILURES: usize = 20;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    name_the_seed_of_a_panic();
    let next = AtomicU64::new(seeds.start);
    let total = std::sync::Mutex::new(Report {
        runs: 0,
        failures: Vec::new(),
        lasted: Span::ZERO,
        steps: 0,
        splits: 0,
        took: Duration::ZERO,
        threads,
    });
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            RUNNING.set(seed);
            let outcome = Schedule::random(seed).run();
            let Ok(mut total) = total.lock() else { return };
            total.runs += 1;
            total.lasted = total.lasted + outcome.lasted;
            total.steps += outcome.steps;
            total.splits += outcome.splits as u64;
            total.failures.extend(outcome.violation.map(|violation| (seed, violation)));
            if total.failures.len() >= MAX_FAILURES {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut report = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report.took = started.elapsed();
    report.failures.sort_by_key(|(seed, _)| *seed);
    report
}

thread_local! {
    /// The seed that a thread runs.
    static RUNNING: Cell<u64> = const { Cell::new(0) };
}

/// Where assertions of the decision are on, one that fails ends the campaign: with it goes the seed.
fn name_the_seed_of_a_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |what| {
        eprintln!("seed {}", RUNNING.get());
        usual(what);
    }));
}
