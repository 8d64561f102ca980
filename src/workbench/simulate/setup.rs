//! What a simulated pair is made of: its policy, its lines, its clocks.

use crosswire::config::{GroupPolicy, InJeopardy, PathKind, PathPolicy, PathTiming, Policy, SafetyRule, Side, Speed};
use crosswire::quorum::timing;
use crosswire::time::Span;

use super::chance::Chance;
use super::clock::{MAX_OFF, TRUE_RATE};
use super::fault::{Names, Time, parse_time};

/// Everything about a world that does not change while it runs.
#[derive(Clone, PartialEq, Debug)]
pub struct Setup {
    /// What both nodes decide by.
    pub policy: Policy,
    /// Bit rate of each path; 0 on a LAN.
    pub bauds: Vec<u32>,
    /// How many scripts each group has.
    pub scripts: Vec<usize>,
    /// How fast each box's clock runs.
    pub rates: [u64; 2],
    /// How late a process may wake: the scheduler of a loaded box, or a tick of 10 ms.
    pub wakes_late: Span,
    /// Other lifetimes are set on both boxes, so that those of the groups slip by up to 1.1 s.
    pub does_slip: bool,
    /// Nothing ends the life of an address but its holder: for rules that know no lifetime.
    pub has_no_lifetime: bool,
}

impl Setup {
    /// The pair of the failure catalogue: one cable, one LAN, one group of addresses, perfect clocks.
    pub fn reference() -> Self {
        let timing =
            PathTiming { interval: Span::from_ms(100), late_after: Span::from_ms(300), dead_after: Span::from_ms(500) };
        let group = GroupPolicy::addresses_only(1, Some(Side::A));
        Self::of(policy(&[PathKind::Serial, PathKind::Lan], timing, 1, &[group]))
    }

    /// Perfect boxes with this policy.
    pub fn of(policy: Policy) -> Self {
        Self {
            bauds: bauds(&policy, 19_200),
            scripts: policy.groups.iter().map(|group| usize::from(group.stop_timeout > Span::ZERO)).collect(),
            rates: [TRUE_RATE; 2],
            wakes_late: Span::from_us(200),
            does_slip: false,
            has_no_lifetime: false,
            policy,
        }
    }

    /// Any pair that the loader would accept.
    pub fn random(chance: &mut Chance) -> Self {
        let reference = Self::reference().policy.paths[0].timing;
        let (timing, lease_s, bauds): (_, _, &[u32]) = match chance.below(4) {
            0 | 1 => (reference, 1, &[19_200, 38_400, 115_200]),
            2 => (Speed::Fast.timing(), 1, &[57_600, 115_200]),
            _ => (Speed::Normal.timing(), 3, &[9_600, 19_200]),
        };
        let kinds: &[PathKind] = match chance.below(6) {
            0 => &[PathKind::Serial, PathKind::Lan, PathKind::Lan],
            1 => &[PathKind::Serial, PathKind::Serial, PathKind::Lan],
            _ => &[PathKind::Serial, PathKind::Lan],
        };
        let group_count = 1 + u8::from(chance.below(4) == 0);
        let groups: Vec<_> = (0..group_count).map(|index| random_group(index, chance)).collect();
        let mut setup = Self::of(policy(kinds, timing, lease_s, &groups));
        // Short, so that runs are, and no shorter than what a killed peer's kernel takes to let go.
        let let_go = timing::lifetime_bound(setup.policy.interval(), setup.policy.lease);
        setup.policy.cold_start = timing::with_drift(let_go) + Span::from_ms(chance.below(1_500));
        setup.bauds = self::bauds(&setup.policy, chance.pick(bauds));
        for count in setup.scripts.iter_mut().filter(|count| **count > 0) {
            *count += usize::from(chance.below(2) == 0);
        }
        setup.rates = random_rates(chance);
        setup.wakes_late = Span::from_us(chance.pick(&[200, 200, 2_000, 10_000]));
        setup.does_slip = chance.below(2) == 0;
        setup
    }

    /// Names of nodes, paths and groups, as a configuration without names of its own would have them.
    pub fn names(&self) -> Names {
        let numbered = |kind: PathKind, index: usize| {
            let before = self.policy.paths[..index].iter().filter(|path| path.kind == kind).count();
            let name = match kind {
                PathKind::Serial => "serial",
                PathKind::Lan => "lan",
            };
            if before == 0 { name.to_string() } else { format!("{name}{}", before + 1) }
        };
        Names {
            nodes: ["A".to_string(), "B".to_string()],
            paths: self.policy.paths.iter().enumerate().map(|(index, path)| numbered(path.kind, index)).collect(),
            groups: (1..=self.policy.groups.len()).map(|number| format!("g{number}")).collect(),
        }
    }

    /// One line that [`Setup::parse`] reads back.
    pub fn text(&self) -> String {
        let paths = self.policy.paths.iter().zip(&self.bauds).map(|(path, baud)| {
            let PathTiming { interval, late_after, dead_after } = path.timing;
            let kind = if path.kind == PathKind::Serial { "serial" } else { "lan" };
            format!("{kind}:{}/{}/{}:{baud}", Time(interval), Time(late_after), Time(dead_after))
        });
        let groups = self.policy.groups.iter().zip(&self.scripts).map(|(group, scripts)| {
            let prefer = group.prefer.map_or("-", |side| if side == Side::A { "A" } else { "B" });
            let safety = if group.safety == SafetyRule::Probe { "probe" } else { "lease" };
            format!("{prefer}:{safety}:{}:{scripts}", Time(group.stop_timeout))
        });
        format!(
            "paths={} groups={} lease={} cold_start={} in_jeopardy={} rates={},{} wakes_late={} slips={} lifetime={}",
            paths.collect::<Vec<_>>().join(","),
            groups.collect::<Vec<_>>().join(","),
            Time(self.policy.lease),
            Time(self.policy.cold_start),
            if self.policy.in_jeopardy == InJeopardy::Hold { "hold" } else { "takeover" },
            self.rates[0],
            self.rates[1],
            Time(self.wakes_late),
            self.does_slip,
            !self.has_no_lifetime,
        )
    }

    /// Reads what [`Setup::text`] wrote.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut setup = Self::reference();
        setup.policy.paths.clear();
        setup.policy.groups.clear();
        (setup.bauds, setup.scripts) = (Vec::new(), Vec::new());
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("`{word}` has no value"))?;
            setup.read(key, value)?;
        }
        Ok(setup)
    }

    fn read(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = || format!("`{key}={value}` is not understood");
        match key {
            "paths" => value.split(',').try_for_each(|path| self.read_path(path).ok_or_else(wrong))?,
            "groups" => value.split(',').try_for_each(|group| self.read_group(group).ok_or_else(wrong))?,
            "lease" => self.policy.lease = parse_time(value)?,
            "cold_start" => self.policy.cold_start = parse_time(value)?,
            "in_jeopardy" if value == "hold" => self.policy.in_jeopardy = InJeopardy::Hold,
            "in_jeopardy" if value == "takeover" => self.policy.in_jeopardy = InJeopardy::Takeover,
            "rates" => {
                let (a, b) = value.split_once(',').ok_or_else(wrong)?;
                self.rates = [a.parse().map_err(|_| wrong())?, b.parse().map_err(|_| wrong())?];
            }
            "wakes_late" => self.wakes_late = parse_time(value)?,
            "slips" => self.does_slip = value.parse().map_err(|_| wrong())?,
            "lifetime" => self.has_no_lifetime = !value.parse::<bool>().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
        Ok(())
    }

    fn read_path(&mut self, text: &str) -> Option<()> {
        let [kind, times, baud] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
        let times: Vec<Span> = times.split('/').map(parse_time).collect::<Result<_, _>>().ok()?;
        let [interval, late_after, dead_after] = times.try_into().ok()?;
        let kind = match kind {
            "serial" => PathKind::Serial,
            "lan" => PathKind::Lan,
            _ => return None,
        };
        self.bauds.push(baud.parse().ok()?);
        self.policy.paths.push(PathPolicy { kind, timing: PathTiming { interval, late_after, dead_after } }).ok()
    }

    fn read_group(&mut self, text: &str) -> Option<()> {
        let [prefer, safety, stop, scripts] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
        let prefer = match prefer {
            "A" => Some(Side::A),
            "B" => Some(Side::B),
            "-" => None,
            _ => return None,
        };
        let safety = match safety {
            "probe" => SafetyRule::Probe,
            "lease" => SafetyRule::Lease,
            _ => return None,
        };
        let tag = u8::try_from(self.policy.groups.len() + 1).ok()?;
        self.scripts.push(scripts.parse().ok()?);
        let stop_timeout = parse_time(stop).ok()?;
        self.policy.groups.push(GroupPolicy { safety, stop_timeout, ..GroupPolicy::addresses_only(tag, prefer) }).ok()
    }
}

/// The same rate for all cables, none for LANs.
fn bauds(policy: &Policy, baud: u32) -> Vec<u32> {
    let of = |path: &PathPolicy| if path.kind == PathKind::Serial { baud } else { 0 };
    policy.paths.iter().map(of).collect()
}

fn policy(kinds: &[PathKind], timing: PathTiming, lease_s: u64, groups: &[GroupPolicy]) -> Policy {
    Policy {
        paths: kinds.iter().map(|kind| PathPolicy { kind: *kind, timing }).collect(),
        groups: groups.iter().copied().collect(),
        lease: Span::from_s(lease_s),
        cold_start: Span::from_s(60),
        in_jeopardy: InJeopardy::Hold,
        witnesses: 0,
        digest: [1, 2, 3, 4],
    }
}

fn random_group(index: u8, chance: &mut Chance) -> GroupPolicy {
    let prefer = chance.pick(&[Some(Side::A), Some(Side::B), None]);
    let (safety, stop_s) = chance.pick(&[
        (SafetyRule::Probe, 0),
        (SafetyRule::Probe, 0),
        (SafetyRule::Lease, 0),
        (SafetyRule::Lease, 1),
        (SafetyRule::Lease, 2),
    ]);
    let stop_timeout = Span::from_s(stop_s);
    GroupPolicy { safety, stop_timeout, ..GroupPolicy::addresses_only(index + 1, prefer) }
}

/// Two clocks, each off by up to 1 %, and no further apart than the waits before a takeover allow for.
fn random_rates(chance: &mut Chance) -> [u64; 2] {
    let any = |chance: &mut Chance| TRUE_RATE - MAX_OFF + chance.below(2 * MAX_OFF + 1);
    match chance.below(3) {
        0 => [TRUE_RATE; 2],
        1 => chance.pick(&[[995_025, 1_004_975], [1_004_975, 995_025], [990_000, 999_900], [1_010_000, 1_000_000]]),
        _ => loop {
            let [a, b] = [any(chance), any(chance)];
            if a.max(b) * 100 <= a.min(b) * 101 {
                return [a, b];
            }
        },
    }
}
