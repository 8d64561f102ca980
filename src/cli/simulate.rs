//! `crosswire simulate`: the shipped decision in virtual time, against a script, against chance, against
//! everything.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crosswire::config::{GroupPolicy, SafetyRule};
use crosswire::pair::Side;

use super::option::{flag, option, options};
use super::simulate_picture::draw;
use crate::operator::exit::{Exit, complain};
use crate::operator::{recording, words};
use crate::settings::{GroupSettings, PathDevice, Settings};
use crate::workbench::simulate::clock::BEGINNING;
use crate::workbench::simulate::fault_text::Names;
use crate::workbench::simulate::schedule::Schedule;
use crate::workbench::simulate::script::Script;
use crate::workbench::simulate::setup::{Setup, Wiring};
use crate::workbench::simulate::shrink::shrink;
use crate::workbench::simulate::story::Line;
use crate::workbench::simulate::trace::Trace;
use crate::workbench::simulate::world::{SIDES, World};
use crate::workbench::simulate::{bench, exhaustive, fleet, many};

options! {
    /// Run the decision in virtual time: your configuration against a script, or random faults
    pub struct SimulateOptions("simulate") {
        /// Run this many random schedules
        faults: Option<u64> = option("--faults", "N"),
        /// The first seed; without it one is drawn and printed
        seed: Option<u64> = option("--seed", "N"),
        /// Repeat a trace, or what `why --record` has written, and compare what was decided
        replay: Option<PathBuf> = option("--replay", "FILE"),
        /// Run all sequences of up to this many events
        exhaustive: Option<usize> = option("--exhaustive", "DEPTH"),
        /// Count what the years do to this many pairs, by several rules
        fleet: Option<u64> = option("--fleet", "PAIRS"),
        /// How many years each pair of the fleet lives
        years: u64 = option("--years", "N").or("10"),
        /// Draw the fleet, a trace or a script
        svg: Option<PathBuf> = option("--svg", "FILE"),
        /// Measure speed
        bench: bool = flag("--bench"),
        /// Exchange beats between two nodes for this many intervals: for an instruction counter
        bench_steps: Option<u64> = option("--bench-steps", "N").hidden(),
        /// Write so many frames: for an instruction counter
        bench_out: Option<u64> = option("--bench-out", "N").hidden(),
        /// Read so many frames: for an instruction counter
        bench_in: Option<u64> = option("--bench-in", "N").hidden(),
        /// Configuration file, for --script
        config: Option<PathBuf> = option("--config", "FILE"),
        /// Faults and their times, one a line: `at 10s cut serial`
        script: Option<PathBuf> = option("--script", "FILE"),
    }
}

/// Does what the options ask for; [`Exit::Refused`] if an invariant was broken or a trace did not repeat.
pub fn run(options: &SimulateOptions, out: &mut impl Write) -> Exit {
    // a reader that has gone away cannot be told
    try_run(options, out).unwrap_or(Exit::Refused)
}

/// What does not go together: nothing that was asked for is left out in silence.
fn contradiction(options: &SimulateOptions) -> Option<String> {
    let SimulateOptions { faults, replay, exhaustive, fleet, script, bench, seed, svg, .. } = options;
    let asked = [
        ("--faults", faults.is_some()),
        ("--replay", replay.is_some()),
        ("--exhaustive", exhaustive.is_some()),
        ("--fleet", fleet.is_some()),
        ("--script", script.is_some()),
        ("--bench", *bench),
    ];
    let mut asked = asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(name, _)| name);
    let (first, second) = (asked.next(), asked.next());
    let is_random = first.is_none() || faults.is_some() || fleet.is_some();
    let is_drawn = replay.is_some() || script.is_some() || fleet.is_some();
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first} and {second} do not go together")),
        _ if svg.is_some() && !is_drawn => {
            Some("--svg draws a trace (--replay), a script (--script) or a fleet (--fleet)".to_string())
        }
        _ if seed.is_some() && !is_random => Some("--seed goes with --faults or --fleet".to_string()),
        _ => None,
    }
}

fn try_run(options: &SimulateOptions, out: &mut impl Write) -> io::Result<Exit> {
    if let Some(what) = contradiction(options) {
        return Ok(complain(Exit::Usage, false, &format!("crosswire: simulate: {what}")));
    }
    if let Some(file) = &options.replay {
        return replay(file, options.svg.as_deref(), out);
    }
    if let Some(depth) = options.exhaustive {
        return run_exhaustive(depth, out);
    }
    let seed = options.seed.unwrap_or_else(fresh_seed);
    if let Some(pairs) = options.fleet {
        let fleet = fleet::run(pairs, options.years, seed);
        write!(out, "{}", fleet.text())?;
        if let Some(file) = &options.svg {
            std::fs::write(file, fleet.svg())?;
        }
        return Ok(Exit::Done);
    }
    if options.bench {
        write!(out, "{}", bench::run())?;
        return Ok(Exit::Done);
    }
    if let Some(rounds) = options.bench_steps {
        writeln!(out, "{} steps", bench::exchange(rounds))?;
        return Ok(Exit::Done);
    }
    if let Some(times) = options.bench_out {
        writeln!(out, "{} bytes", bench::write_frames(times))?;
        return Ok(Exit::Done);
    }
    if let Some(times) = options.bench_in {
        writeln!(out, "{} whole", bench::read_frames(times))?;
        return Ok(Exit::Done);
    }
    match (&options.config, &options.script) {
        (Some(config), Some(script)) => play((config, script), options.svg.as_deref(), out),
        (None, None) if options.faults.or(options.seed).is_none() => {
            let what = "crosswire: simulate: say what: --faults N, --replay FILE, --exhaustive DEPTH, \
                --fleet PAIRS, or --config FILE \
                        --script FILE";
            Ok(complain(Exit::Usage, false, &what))
        }
        (None, None) => run_many(seed, options.faults.unwrap_or(10_000), out),
        (Some(_), None) | (None, Some(_)) => {
            writeln!(out, "--config and --script go together: the pair, and what befalls it.")?;
            Ok(Exit::Usage)
        }
    }
}

/// A seed from the time of day: it only has to differ.
fn fresh_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

fn run_many(seed: u64, runs: u64, out: &mut impl Write) -> io::Result<Exit> {
    writeln!(out, "{runs} random schedules from seed {seed}")?;
    let report = many::run(seed..seed.saturating_add(runs));
    let seconds = report.took.as_secs_f64();
    writeln!(
        out,
        "{} runs in {seconds:.1} s on {} threads: {:.0} a second",
        report.runs,
        report.threads,
        report.runs as f64 / seconds
    )?;
    writeln!(
        out,
        "{:.1} simulated pair-hours, {:.2} for each second of a processor; {} steps; {} splits that nobody \
            could avoid",
        report.lasted.as_us() as f64 / 3.6e9,
        report.pair_hours_per_cpu_second(),
        report.steps,
        report.splits
    )?;
    let Some((first, _)) = report.failures.first() else {
        writeln!(out, "No invariant was broken.")?;
        return Ok(Exit::Done);
    };
    for (seed, violation) in &report.failures {
        writeln!(out, "seed {seed}: {}: {}", violation.rule, violation.text)?;
    }
    writeln!(
        out,
        "\nSeed {first}, as small as it gets (repeat it with `crosswire simulate --replay FILE`):\n"
    )?;
    let schedule = Schedule::random(*first).settled();
    let small = shrink(&schedule).unwrap_or(schedule);
    write!(out, "{}", Trace::text(&small, &small.run()))?;
    Ok(Exit::Refused)
}

fn replay(file: &Path, svg: Option<&Path>, out: &mut impl Write) -> io::Result<Exit> {
    let bytes = std::fs::read(file)?;
    if recording::is_one(&bytes) {
        if svg.is_some() {
            let what = "crosswire: simulate: --svg draws a trace, and this is a recording: use why --svg";
            return Ok(complain(Exit::Usage, false, &what));
        }
        return super::replay::replay(file, &bytes, out);
    }
    let text = String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    let trace = match Trace::parse(&text) {
        Ok(trace) => trace,
        Err(error) => {
            writeln!(out, "{}: {error}", file.display())?;
            return Ok(Exit::Usage);
        }
    };
    let mut world = World::new(trace.schedule.setup.clone(), trace.schedule.seed);
    world.begin_story();
    let outcome = trace.schedule.run_in(&mut world);
    let names = trace.schedule.setup.names();
    let lines = world.story.take().unwrap_or_default().lines;
    let words = SIDES.map(|side| words_between(&names, side));
    write_story(&lines, &names, &words, out)?;
    if let Some(svg) = svg {
        draw(svg, (&lines, world.now().since(BEGINNING)), &names, &words)?;
    }
    match &outcome.violation {
        Some(violation) => writeln!(out, "{}: {}", violation.rule, violation.text)?,
        None => writeln!(out, "No invariant is broken.")?,
    }
    match trace.hash {
        Some(hash) if hash != outcome.hash => {
            writeln!(
                out,
                "The effects are not those of the trace: {:016x} instead of {hash:016x}.",
                outcome.hash
            )?;
        }
        Some(_) => writeln!(out, "The effects are those of the trace.")?,
        None => writeln!(out, "hash {:016x}", outcome.hash)?,
    }
    let is_same = trace.hash.is_none_or(|hash| hash == outcome.hash);
    Ok(if is_same && outcome.violation.is_none() { Exit::Done } else { Exit::Refused })
}

fn run_exhaustive(depth: usize, out: &mut impl Write) -> io::Result<Exit> {
    for universe in &exhaustive::UNIVERSES {
        let exit = search(universe, depth, out)?;
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    Ok(Exit::Done)
}

fn search(universe: &exhaustive::Universe, depth: usize, out: &mut impl Write) -> io::Result<Exit> {
    let started = std::time::Instant::now();
    let count = exhaustive::run_all(universe, depth);
    writeln!(
        out,
        "{}: all sequences of up to {depth} of {} events at {} distances: {} schedules, {} distinct states, \
            {} steps, {:.1} s",
        universe.name,
        universe.events.len(),
        exhaustive::GAPS.len(),
        count.schedules,
        count.states,
        count.steps,
        started.elapsed().as_secs_f64()
    )?;
    let Some((schedule, violation)) = &count.violation else {
        writeln!(out, "No invariant was broken.")?;
        return Ok(Exit::Done);
    };
    writeln!(out, "{}: {}\n", violation.rule, violation.text)?;
    write!(out, "{}", Trace::text(schedule, &schedule.run()))?;
    Ok(Exit::Refused)
}

fn play((config, script): (&Path, &Path), svg: Option<&Path>, out: &mut impl Write) -> io::Result<Exit> {
    let (settings, peer) = match load_both(config) {
        Ok(both) => both,
        Err(errors) => {
            errors.iter().try_for_each(|error| writeln!(out, "{error}"))?;
            return Ok(Exit::Configuration);
        }
    };
    let names = Names {
        nodes: settings.names.clone(),
        paths: settings.paths.iter().map(|path| path.name.clone()).collect(),
        groups: settings.groups.iter().map(|group| group.name.clone()).collect(),
        witnesses: settings.witnesses.iter().map(ToString::to_string).collect(),
    };
    let text = std::fs::read_to_string(script)?;
    let parsed = match Script::parse(&text, &names) {
        Ok(parsed) => parsed,
        Err(error) => {
            writeln!(out, "{}: {error}", script.display())?;
            return Ok(Exit::Usage);
        }
    };
    let (timeline, world) = parsed.play(setup_of(&settings));
    let words = [words_of(&settings), words_of(&peer)];
    write_story(&timeline, &names, &words, out)?;
    writeln!(out, "{}  the end", seconds(parsed.until))?;
    if let Some(svg) = svg {
        draw(svg, (&timeline, parsed.until), &names, &words)?;
    }
    match &world.watch.violation {
        Some(violation) => {
            writeln!(out, "\nThis must not be, please report it: {}: {}", violation.rule, violation.text)?
        }
        None => writeln!(out, "\nNo invariant was broken.")?,
    }
    Ok(if world.watch.violation.is_none() { Exit::Done } else { Exit::Refused })
}

/// The same file as both boxes read it: that of side A first.
fn load_both(config: &Path) -> Result<(Settings, Settings), Vec<crate::settings::ConfigError>> {
    Ok((Settings::load_as(config, Side::A)?, Settings::load_as(config, Side::B)?))
}

/// The operator's pair with a full null-modem cable; witnesses on the LAN.
fn setup_of(settings: &Settings) -> Setup {
    let mut setup = Setup::of(settings.policy.clone());
    let baud = |device: &PathDevice| match device {
        PathDevice::Serial { baud, .. } => *baud,
        PathDevice::Lan { .. } => 0,
    };
    setup.bauds = settings.paths.iter().map(|path| baud(&path.device)).collect();
    setup.scripts = settings.groups.iter().map(|group| group.scripts.len()).collect();
    setup.before = settings.groups.iter().map(|group| group.before).collect();
    let wiring = |device: &PathDevice| match device {
        PathDevice::Serial { .. } => Wiring::Full,
        PathDevice::Lan { .. } => Wiring::None,
    };
    setup.wirings = settings.paths.iter().map(|path| wiring(&path.device)).collect();
    let home = settings.paths.iter().find_map(|path| match &path.device {
        PathDevice::Lan { interface, .. } => Some(interface),
        PathDevice::Serial { .. } => None,
    });
    let is_elsewhere = |group: &GroupSettings| group.addresses.iter().any(|vip| Some(&vip.interface) != home);
    setup.own_links = settings.groups.iter().map(is_elsewhere).collect();
    let is_fenced = |group: &GroupPolicy| group.safety == SafetyRule::Fence;
    setup.fence = settings.policy.groups.iter().any(is_fenced).then_some(FENCE_TAKES);
    setup
}

/// How long the fence of an operator's pair is taken to need: a switched power strip answers within seconds.
const FENCE_TAKES: crosswire::time::Span = crosswire::time::Span::from_s(2);

fn words_of(settings: &Settings) -> words::Names {
    words::Names {
        peer: settings.peer_name().to_string(),
        paths: settings.paths.iter().map(|path| path.name.clone()).collect(),
        groups: settings.groups.iter().map(|group| group.name.clone()).collect(),
        interfaces: settings.interfaces.clone(),
        scripts: Vec::new(),
        key_file: settings.key_file.display().to_string(),
        is_shadow: false,
    }
}

/// The names in a schedule, as `side` uses them.
fn words_between(names: &Names, side: Side) -> words::Names {
    words::Names {
        peer: name(names, side.peer()).to_string(),
        paths: names.paths.clone(),
        groups: names.groups.clone(),
        interfaces: vec!["lan".to_string()],
        scripts: Vec::new(),
        key_file: "the key file".to_string(),
        is_shadow: false,
    }
}

fn write_story(
    lines: &[(crosswire::time::Span, Line)],
    names: &Names,
    words: &[words::Names; 2],
    out: &mut impl Write,
) -> io::Result<()> {
    for (at, line) in lines {
        write!(out, "{}  ", seconds(*at))?;
        write_line(line, names, words, out)?;
    }
    Ok(())
}

fn write_line(line: &Line, names: &Names, words: &[words::Names; 2], out: &mut impl Write) -> io::Result<()> {
    match line {
        Line::Happened(fault) => writeln!(out, "--- {} ---", fault.text(names)),
        Line::Healed => writeln!(out, "--- everything is mended ---"),
        Line::Recorded(side, record) => {
            let (_, sentence) = words::sentence(record, words::ScriptEnd::UNKNOWN, &words[side.index()]);
            writeln!(out, "{}: {sentence}", names.nodes[side.index()])
        }
        Line::Holders(holders) => {
            for (group, held) in names.groups.iter().zip(holders) {
                let who: Vec<&str> =
                    SIDES.iter().filter(|side| held[side.index()]).map(|side| name(names, *side)).collect();
                let who = if who.is_empty() { "nobody".to_string() } else { who.join(" AND ") };
                writeln!(out, "==> the addresses of {group} are held by {who}")?;
            }
            Ok(())
        }
    }
}

/// Seconds with three places, in a column.
fn seconds(at: crosswire::time::Span) -> String {
    format!("{:>6}.{:03} s", at.as_us() / 1_000_000, at.as_ms() % 1_000)
}

fn name(names: &Names, side: Side) -> &str {
    &names.nodes[side.index()]
}

#[cfg(test)]
#[path = "simulate_tests.rs"]
mod tests;
