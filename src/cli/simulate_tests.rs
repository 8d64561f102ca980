//! A configuration that the loader accepts is one for which the arithmetic holds: files are drawn, read by
//! the loader that ships, and each that it accepts is simulated: one-way loss of all paths, a power cut, a
//! cold start. No invariant is broken, and the takeover comes in the time that `check` prints.
//!
//! `CROSSWIRE_CONFIGS=10000` tries as many, `CROSSWIRE_SEED=N` repeats from there; the seed is always
//! printed.

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crosswire::pair::GroupId;
use crosswire::quorum::timing;
use crosswire::time::Span;

use super::*;
use crate::settings::exact;
use crate::workbench::simulate::chance::Chance;
use crate::workbench::simulate::fault::{Fault, Way};

/// Accepted configurations of one run: a few seconds.
const CONFIGS: u64 = 60;
/// Most configurations that are drawn for each accepted one.
const DRAWN_FOR_EACH: u64 = 100;
/// What a takeover may take beside the arithmetic: two ticks of a busy kernel, and the probe's last answer.
const SLACK: Span = Span::from_ms(50);
/// A probe at the end of a cold start begins with a beat, and may take this longer: two questions, each with
/// its wait.
const PROBE_TAKES: Span = Span::from_ms(200);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// A length of time that nobody would write, in whole microseconds.
fn odd(chance: &mut Chance, least: u64, most: u64) -> u64 {
    least + chance.below(most.saturating_sub(least) + 1)
}

fn ms(us: u64) -> String {
    exact(Span::from_us(us)).replace(' ', "")
}

/// Times of a path around the limits of what can be: a long interval is as likely as a short one.
fn times(chance: &mut Chance) -> String {
    let interval = 20_000 * (1 << chance.below(8)) * (1_000 + chance.below(1_000)) / 1_000;
    let interval = interval.min(5_000_000);
    let dead = match chance.below(4) {
        0 => odd(chance, interval * 3, interval * 4),
        1 => odd(chance, interval * 10, interval * 100),
        _ => odd(chance, interval * 3, interval * 10),
    };
    let dead = dead.min(16_383_000);
    let late = match chance.below(3) {
        // A late_after close to the latest that is allowed.
        0 => dead.saturating_sub(interval + 50_000 + chance.below(interval)).max(interval + 1),
        _ => odd(chance, interval + 1, dead),
    };
    format!("interval = '{}'\nlate_after = '{}'\ndead_after = '{}'\n", ms(interval), ms(late), ms(dead))
}

/// The text of a whole file.
fn draw(chance: &mut Chance) -> String {
    let mut text = String::from("pair = 'p'\n");
    let (cables, lans) = chance.pick(&[(1, 1), (1, 1), (1, 1), (2, 1), (1, 2), (0, 1), (1, 0), (2, 2)]);
    if chance.below(4) == 0 {
        let _ = writeln!(text, "speed = '{}'", chance.pick(&["gentle", "normal", "fast"]));
    }
    for (node, last) in [("gw1", 1), ("gw2", 2)] {
        let addresses: Vec<String> = (0..lans).map(|lan| format!("'10.{lan}.0.{last}'")).collect();
        let _ = writeln!(text, "[node.{node}]\nlan = [{}]", addresses.join(", "));
    }
    let own_times = |chance: &mut Chance| if chance.below(5) == 0 { times(chance) } else { String::new() };
    for cable in 0..cables {
        let baud = chance.pick(&[2_400, 9_600, 19_200, 38_400, 57_600, 115_200, 115_200]);
        let _ = write!(text, "[[serial]]\ndevice = '/dev/ttyS{cable}'\nbaud = {baud}\n{}", own_times(chance));
    }
    for lan in 0..lans {
        let _ = write!(text, "[[lan]]\ninterface = 'eth{lan}'\n{}", own_times(chance));
    }
    let _ = writeln!(text, "[timing]\ncold_start = '{}'", ms(odd(chance, 100_000, 30_000_000)));
    if chance.below(4) > 0 {
        let _ = writeln!(text, "{}lease = '{}s'", times(chance), chance.pick(&[1, 1, 2, 3, 7, 20, 60]));
    }
    let witnesses = chance.pick(&["", "", "'10.0.0.254'", "'10.0.0.254', '10.0.0.253'"]);
    let jeopardy = chance.pick(&["hold", "takeover", "witness"]);
    if jeopardy != "witness" || !witnesses.is_empty() {
        let _ = writeln!(text, "[quorum]\nin_jeopardy = '{jeopardy}'\nwitness = [{witnesses}]");
    }
    text.push_str("[fence]\nmethod = 'exec'\nprogram = '/bin/true'\n");
    for (index, name) in ["web", "mail", "files"].iter().take(chance.pick(&[1, 1, 2, 3])).enumerate() {
        let interface = chance.pick(&["eth0", "eth0", "eth9"]);
        let _ = writeln!(text, "[group.{name}]\naddresses = ['10.0.0.{}/24@{interface}']", 100 + index);
        let _ = writeln!(text, "prefer = '{}'", chance.pick(&["gw1", "gw2"]));
        if chance.below(3) == 0 {
            let stop = ms(odd(chance, 1_000_000, 5_000_000));
            let _ = writeln!(
                text,
                "scripts = ['lsb:{name}']\nstop_timeout = '{stop}'\nexclusive = {}",
                chance.below(3) == 0
            );
        }
        if chance.below(3) > 0 {
            let _ = writeln!(text, "safety = '{}'", chance.pick(&["probe", "lease", "fence"]));
        }
    }
    text
}

/// What is tried with one configuration.
struct Trial {
    text: String,
    settings: Settings,
    setup: Setup,
    seed: u64,
}

impl Trial {
    /// The pair of a seed, if the loader accepts it.
    fn draw(seed: u64) -> Option<Self> {
        let chance = &mut Chance::new(seed);
        let text = draw(chance);
        let settings = Settings::parse(Path::new("f"), &text, Some("gw1")).ok()?;
        let mut setup = setup_of(&settings);
        setup.rates = chance.pick(&[[1_000_000, 1_000_000], [995_025, 1_004_975], [1_004_975, 995_025]]);
        // Half of the lead of a release is the kernel's: two late wake-ups have to fit.
        let dead_after =
            setup.policy.paths.iter().map(|path| path.timing.dead_after).min().unwrap_or_default();
        let latest = timing::release_lead(dead_after).fraction(1, 5);
        setup.wakes_late = Span::from_us(chance.pick(&[200, 2_000, 10_000])).min(latest);
        setup.does_slip = chance.below(2) == 0;
        Some(Self { text, settings, setup, seed })
    }

    fn dead_after(&self) -> Span {
        self.setup.policy.longest_dead_after()
    }

    fn ids(&self) -> impl Iterator<Item = GroupId> {
        self.setup.policy.group_ids()
    }

    /// Both nodes up, and every group served.
    fn begin(&self) -> Result<World, String> {
        let mut world = World::new(self.setup.clone(), self.seed);
        SIDES.into_iter().for_each(|side| world.befall(Fault::PowerOn(side)));
        let is_served = |world: &World| self.ids().all(|group| world.holders(group).len() == 1);
        let limit = self.dead_after().fraction(4, 1) + Span::from_s(20);
        world
            .run_until(limit, is_served)
            .ok_or_else(|| "nobody serves after both have started".to_string())?;
        // Every path has been heard both ways, and the lines are learned.
        world.run_for(self.dead_after().fraction(2, 1) + Span::from_s(1));
        let phase = Chance::new(self.seed ^ 1).below(self.setup.policy.interval().as_us().saturating_mul(3));
        world.run_for(Span::from_us(phase));
        self.sound(&world)?;
        Ok(world)
    }

    fn sound(&self, world: &World) -> Result<(), String> {
        match &world.watch.violation {
            None => Ok(()),
            Some(violation) => Err(format!("{}: {}", violation.rule, violation.text)),
        }
    }

    /// Everything that one node sends is lost: there are never two holders, and not for ever none.
    fn lose_one_way(&self, from: Side) -> Result<(), String> {
        let mut world = self.begin()?;
        self.setup.policy.path_ids().for_each(|path| world.befall(Fault::Cut(path, Way::From(from))));
        world.run_for(self.dead_after().fraction(4, 1) + Span::from_s(5));
        self.sound(&world)?;
        if world.watch.past_overlaps.is_empty() && self.ids().all(|group| world.holders(group).len() < 2) {
            return Ok(());
        }
        Err(format!("two holders while what {from:?} says is lost"))
    }

    /// The node that serves the first group loses power.
    fn cut_power(&self) -> Result<(), String> {
        let mut world = self.begin()?;
        let Some(holder) = world.holders(GroupId(0)).first().copied() else {
            return Err("nobody serves".to_string());
        };
        let groups: Vec<_> = self.ids().filter(|group| world.holds(holder, *group)).collect();
        let cut = world.now();
        world.befall(Fault::PowerCut(holder));
        let proof = self.settings.proof();
        for group in groups.into_iter().filter(|group| self.is_taken_on_silence(*group)) {
            // A beat that was on the line when the power failed still arrives, and is the last one.
            let beat = self.settings.beats().into_iter().max().unwrap_or_default();
            let promised = beat + proof.groups[group.index()].takeover + self.fence_takes(group);
            let limit = promised.fraction(101, 100) + SLACK;
            let left = limit.saturating_sub(world.now().since(cut));
            let took = world.run_until(left, |world| world.holds(holder.peer(), group));
            if took.is_none() {
                return Err(format!("{group:?} is not taken {limit} after a power cut"));
            }
        }
        self.sound(&world)
    }

    /// A node starts alone, hears nobody, and waits for the one that goes first.
    fn start_alone(&self, side: Side) -> Result<(), String> {
        let mut world = World::new(self.setup.clone(), self.seed);
        let start = world.now();
        world.befall(Fault::PowerOn(side));
        let proof = self.settings.proof();
        let second = self.setup.policy.interval() + self.dead_after();
        for group in self.ids().filter(|group| self.is_taken_on_silence(*group)) {
            let listens = proof.groups[group.index()].listens;
            let limit =
                (listens + second).fraction(101, 100) + self.fence_takes(group) + BOOT + PROBE_TAKES + SLACK;
            let left = limit.saturating_sub(world.now().since(start));
            let took = world.run_until(left, |world| world.holds(side, group));
            if took.is_none() {
                return Err(format!("{group:?} is not served {limit} after a start alone"));
            }
        }
        self.sound(&world)
    }

    /// Whether the group may be taken on silence: an exclusive group only after a fence.
    fn is_taken_on_silence(&self, group: GroupId) -> bool {
        let policy = self.setup.policy.groups[group.index()];
        !policy.is_exclusive || policy.safety == SafetyRule::Fence
    }

    fn fence_takes(&self, group: GroupId) -> Span {
        let is_fenced = self.setup.policy.groups[group.index()].safety == SafetyRule::Fence;
        if is_fenced { FENCE_TAKES + self.setup.policy.interval() } else { Span::ZERO }
    }

    fn run(&self) -> Result<(), String> {
        self.lose_one_way(Side::A)?;
        self.lose_one_way(Side::B)?;
        self.cut_power()?;
        self.start_alone(Side::A)?;
        self.start_alone(Side::B)
    }
}

/// A simulated box takes so long from its power to its daemons.
const BOOT: Span = Span::from_ms(300);

#[test]
fn the_arithmetic_holds_for_every_configuration_that_is_accepted() {
    let drawn = std::collections::hash_map::RandomState::new().build_hasher().finish() % 1_000_000_000_000;
    let seed = number("CROSSWIRE_SEED").unwrap_or(drawn);
    let wanted = number("CROSSWIRE_CONFIGS").unwrap_or(CONFIGS);
    let _ = writeln!(std::io::stderr(), "{wanted} accepted configurations from seed {seed}");
    let (next, accepted) = (AtomicU64::new(seed), AtomicU64::new(0));
    let failures = std::sync::Mutex::new(Vec::new());
    let work = || {
        while accepted.load(Ordering::Relaxed) < wanted {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let Some(trial) = Trial::draw(seed) else { continue };
            accepted.fetch_add(1, Ordering::Relaxed);
            if let Err(why) = trial.run() {
                failures.lock().expect("no panic beside").push(format!("seed {seed}: {why}\n{}", trial.text));
            }
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from))
            .for_each(|_| drop(scope.spawn(work)));
    });
    let drawn = next.into_inner() - seed;
    let failures = failures.into_inner().expect("no panic beside");
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} of {wanted}; the first ten:\n{}",
        failures[..count.min(10)].join("\n")
    );
    assert!(
        drawn <= wanted * DRAWN_FOR_EACH + 1_000,
        "{wanted} of {drawn} were accepted: what is drawn is too wild"
    );
}

/// Whether a story keeps the promise of its first line, and says that both serve only where they do.
fn keeps_its_promise(script: &str, told: &str) -> bool {
    let holds = |line: &&str| line.contains("==> the addresses of");
    let last = told.lines().rfind(holds).unwrap_or_default();
    let promised =
        script.lines().next().and_then(|line| line.strip_prefix("# in the end ")?.strip_suffix(" serves"));
    let is_split = told.lines().filter(holds).any(|line| line.contains(" AND "));
    promised.is_none_or(|node| last.ends_with(&format!("held by {node}")))
        && (is_split || !told.contains("BOTH NODES SERVE"))
}

/// Stories of whole files that once made two nodes serve, or nobody. Two holders are no failure if nobody
/// could know of both.
#[test]
fn no_story_of_a_file_that_ever_failed_fails_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("tests/stories") {
        let script = entry.expect("readable").path();
        if script.extension().is_some_and(|extension| extension == "story") {
            let mut told = Vec::new();
            let exit =
                play((&script.with_extension("toml"), &script), None, &mut told).expect("memory takes all");
            let (told, text) =
                (String::from_utf8_lossy(&told), std::fs::read_to_string(&script).expect("a story"));
            assert!(exit == Exit::Done && keeps_its_promise(&text, &told), "{}:\n{told}", script.display());
            count += 1;
        }
    }
    assert_ne!(count, 0);
}
