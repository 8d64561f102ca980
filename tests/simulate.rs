//! Random schedules, and every schedule that ever failed and was mended.
//!
//! Each run repeats the same ones, so that a change is judged by what it changes. `CROSSWIRE_SEED=fresh`
//! draws others and prints their first seed (`CROSSWIRE_SEED=N` sets it, `CROSSWIRE_RUNS` their number). A
//! failure prints its seed and the smallest trace that shows it: put that into `tests/traces`, with a remark.
//! A seed means a schedule only as long as the drawing of schedules stays as it is; a trace stays what it
//! was.

use std::hash::{BuildHasher, Hasher};
use std::io::Write;

#[path = "../src/workbench/simulate/mod.rs"]
#[expect(dead_code, reason = "the tests use a part of the simulator")]
mod simulate;

use simulate::schedule::Schedule;
use simulate::shrink::shrink;
use simulate::trace::Trace;
use simulate::{exhaustive, many};

const RUNS: u64 = 20_000;

/// The first seed of a usual run.
const SEED: u64 = 338_052_401_091;

/// Small enough to be typed.
fn fresh_seed() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish() % 1_000_000_000_000
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Past the test runner, which shows what a test prints only if it fails.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn report(seed: u64) -> String {
    let schedule = Schedule::random(seed).settled();
    let small = shrink(&schedule).unwrap_or(schedule);
    format!("seed {seed}, as small as it gets:\n{}", Trace::text(&small, &small.run()))
}

#[test]
fn random_schedules_break_no_invariant() {
    let is_fresh = std::env::var("CROSSWIRE_SEED").is_ok_and(|value| value == "fresh");
    let seed = if is_fresh { fresh_seed() } else { number("CROSSWIRE_SEED").unwrap_or(SEED) };
    let runs = number("CROSSWIRE_RUNS").unwrap_or(RUNS);
    say(&format!("{runs} random schedules from seed {seed}"));
    let campaign = many::run(seed..seed + runs);
    let (took, speed) = (campaign.took.as_secs_f64(), campaign.pair_hours_per_cpu_second());
    say(&format!("took {took:.1} s, {speed:.2} pair-hours a second of CPU"));
    if let Some((seed, violation)) = campaign.failures.first() {
        panic!("{violation:?}\n{}", report(*seed));
    }
    assert_eq!(campaign.runs, runs);
}

#[test]
fn no_trace_that_ever_failed_fails_again() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("tests/traces") {
        let file = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&file).expect("a trace");
        let trace = Trace::parse(&text).expect("a trace");
        assert_eq!(trace.schedule.run().violation, None, "{}", file.display());
        count += 1;
    }
    assert!(count > 0, "the folder is not empty");
}

#[test]
fn every_sequence_of_two_events_breaks_no_invariant() {
    for universe in &exhaustive::UNIVERSES {
        let count = exhaustive::run_all(universe, 2);
        let (schedules, states) = (count.schedules, count.states);
        say(&format!(
            "{}: every sequence of two events: {schedules} schedules, {states} distinct states",
            universe.name
        ));
        let shown = count.violation.map(|(schedule, violation)| {
            format!("{violation:?}\n{}", Trace::text(&schedule, &schedule.run()))
        });
        assert_eq!(shown, None);
        assert!(schedules > 2_000, "{schedules}");
    }
}

#[test]
fn a_trace_is_read_back_and_repeats_to_the_same_effects() {
    for seed in 0..200 {
        let schedule = Schedule::random(seed).settled();
        let outcome = schedule.run();
        let text = Trace::text(&schedule, &outcome);
        let trace = Trace::parse(&text).expect("what we wrote");
        assert_eq!(trace.schedule, schedule, "{text}");
        assert_eq!(trace.schedule.run().hash, outcome.hash, "seed {seed}");
        assert_eq!(trace.hash, Some(outcome.hash));
    }
}

#[test]
fn different_schedules_have_different_effects() {
    let hashes: std::collections::HashSet<u64> =
        (0..200).map(|seed| Schedule::random(seed).run().hash).collect();
    assert_eq!(hashes.len(), 200);
}
