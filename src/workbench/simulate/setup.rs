//! What a simulated pair is made of: its policy, its lines, its clocks.

use crosswire::config::{
    CARRIER_DELAY, Failback, GroupPolicy, InJeopardy, MIN_INTERVAL, PathPolicy, PathTiming, Policy,
    SafetyRule, Speed,
};
use crosswire::custody::{Plan, ScriptPlans};
use crosswire::pair::{GroupId, PathKind, Side};
use crosswire::quorum::timing;
use crosswire::time::Span;

use super::chance::Chance;
use super::clock::{MAX_OFF, TRUE_RATE};
use super::files::{OTHER_DIGEST, OtherFile};

/// How the modem lines of a cable are wired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wiring {
    /// The port has no lines: a pseudo-terminal.
    None,
    /// Three wires: the lines read as off.
    Three,
    /// A full null-modem cable: DTR to DSR and DCD, RTS to CTS.
    Full,
    /// Each plug loops its own lines back.
    Looped,
}

/// Where a witness is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the LAN of the groups: it needs that link.
    Lan,
    /// On an interface of its own.
    Own,
}

/// Everything about a world that does not change while it runs.
#[derive(Clone, PartialEq, Debug)]
pub struct Setup {
    /// What both nodes decide by.
    pub policy: Policy,
    /// Another file; a box that was started with its checksum decides by it.
    pub other: Option<OtherFile>,
    /// Which box has the other file while nothing is wrong; `None`: neither.
    pub differs: Option<Side>,
    /// Bit rate of each path; 0 on a LAN.
    pub bauds: Vec<u32>,
    /// How the modem lines of each path are wired; none on a LAN.
    pub wirings: Vec<Wiring>,
    /// How many scripts each group has.
    pub scripts: Vec<usize>,
    /// How many of them start before its addresses come.
    pub before: Vec<u8>,
    /// Which groups need another interface besides the LAN.
    pub own_links: Vec<bool>,
    /// Where each witness is.
    pub witnesses: Vec<Place>,
    /// Where the voting witness is, if the pair has one.
    pub vote: Option<Place>,
    /// By side: whether third parties are on its half of the groups' LAN while nothing is wrong; `None` where
    /// neighbours are no witnesses.
    pub neighbours: Option<[bool; 2]>,
    /// How long a fence takes; `None` without one.
    pub fence: Option<Span>,
    /// The timeout of each box's watchdog; `None` without one.
    pub watchdog: Option<Span>,
    /// How fast each box's clock runs.
    pub rates: [u64; 2],
    /// How late a process may wake: the scheduler of a loaded box, or a tick of 10 ms.
    pub wakes_late: Span,
    /// How long a process may be held up in the middle of its turn. If this is not zero, an arrival is found
    /// up to `wakes_late` later, together with all that came until then; if it is zero, each arrival wakes
    /// the agent at once.
    pub held_up: Span,
    /// By side: a filter swallows ARP there from the beginning, long enough for the node to have found out.
    pub is_filtered: [bool; 2],
    /// Other lifetimes are set on both boxes, so that those of the groups slip by up to 1.1 s.
    pub does_slip: bool,
    /// Nothing ends the life of an address but its holder: for rules that know no lifetime.
    pub has_no_lifetime: bool,
}

impl Setup {
    /// The pair of the failure catalogue: one cable, one LAN, one group of addresses, perfect clocks.
    pub fn reference() -> Self {
        let timing = PathTiming {
            interval: Span::from_ms(100),
            late_after: Span::from_ms(300),
            dead_after: Span::from_ms(500),
        };
        let group = GroupPolicy::addresses_only(1, Some(Side::A));
        Self::of(policy(&[PathKind::Serial, PathKind::Lan], timing, 1, &[group]))
    }

    /// Perfect boxes with this policy, and all groups on the first LAN.
    pub fn of(mut policy: Policy) -> Self {
        place_groups(&mut policy);
        Self {
            bauds: bauds(&policy, 19_200),
            wirings: vec![Wiring::None; policy.paths.len()],
            scripts: policy.groups.iter().map(|group| usize::from(group.stop_timeout > Span::ZERO)).collect(),
            before: vec![0; policy.groups.len()],
            own_links: vec![false; policy.groups.len()],
            witnesses: vec![Place::Lan; usize::from(policy.witnesses)],
            vote: None,
            neighbours: None,
            fence: None,
            watchdog: None,
            rates: [TRUE_RATE; 2],
            wakes_late: Span::from_us(200),
            held_up: Span::ZERO,
            is_filtered: [false; 2],
            does_slip: false,
            has_no_lifetime: false,
            other: None,
            differs: None,
            policy,
        }
    }

    /// Any pair that the loader would accept.
    pub fn random(chance: &mut Chance) -> Self {
        let reference = Self::reference().policy.paths[0].timing;
        let (timing, lease_s, bauds): (_, _, &[u32]) = match chance.below(9) {
            0..4 => (reference, 1, &[19_200, 38_400, 115_200]),
            4 | 5 => (Speed::Fast.timing(), 1, &[57_600, 115_200]),
            6 => (PathTiming::shortest(MIN_INTERVAL), 1, &[115_200]),
            _ => (Speed::Normal.timing(), 3, &[9_600, 19_200]),
        };
        let kinds: &[PathKind] = match chance.below(6) {
            0 => &[PathKind::Serial, PathKind::Lan, PathKind::Lan],
            1 => &[PathKind::Serial, PathKind::Serial, PathKind::Lan],
            _ => &[PathKind::Serial, PathKind::Lan],
        };
        let groups: Vec<_> =
            (0..chance.pick(&[1, 1, 1, 2, 2, 3])).map(|index| random_group(index, chance)).collect();
        let mut setup = Self::of(policy(kinds, timing, lease_s, &groups));
        setup.draw_slow_cables(chance);
        // Short, to keep runs short, but no shorter than a killed peer's kernel takes to let go.
        let let_go = timing::lifetime_bound(setup.policy.interval(), setup.policy.lease);
        setup.policy.cold_start = timing::with_drift(let_go) + Span::from_ms(chance.below(1_500));
        setup.bauds = self::bauds(&setup.policy, chance.pick(bauds));
        for count in setup.scripts.iter_mut().filter(|count| **count > 0) {
            *count += usize::from(chance.below(2) == 0);
        }
        setup.draw_phases(chance);
        setup.draw_neighbourhood(chance);
        setup.draw_vote(chance);
        setup.draw_other_file(chance);
        setup.rates = random_rates(chance);
        setup.wakes_late = Span::from_us(chance.pick(&[200, 200, 2_000, 10_000]));
        setup.does_slip = chance.below(2) == 0;
        setup.held_up = Span::from_ms(chance.pick(&[0, 0, 0, 0, 5, 30, 30, 300]));
        if chance.below(16) == 0 {
            setup.is_filtered = chance.pick(&[[true, false], [false, true], [true, true]]);
        }
        let timeout = Span::from_s(chance.pick(&[1, 1, 2, 4]));
        setup.draw_neighbours(chance);
        setup.watchdog = (chance.below(4) == 0 && setup.is_fast_enough(timeout)).then_some(timeout);
        setup
    }

    /// In two thirds of all pairs the neighbours are witnesses, mostly on both halves of the LAN.
    fn draw_neighbours(&mut self, chance: &mut Chance) {
        let halves =
            [None, None, Some([true, true]), Some([true, true]), Some([true, false]), Some([false, true])];
        self.neighbours = chance.pick(&halves);
        if self.neighbours.is_some() && chance.below(3) == 0 {
            self.policy.in_jeopardy = InJeopardy::Neighbours;
            self.other.iter_mut().for_each(|other| other.policy.in_jeopardy = InJeopardy::Neighbours);
        }
    }

    /// The same pair, on a LAN with such neighbours.
    pub fn among(mut self, neighbours: [bool; 2]) -> Self {
        self.neighbours = Some(neighbours);
        self
    }

    /// Says in the policies which interfaces there are: that of the LAN, where neighbours may be witnesses,
    /// then one for each group that has one of its own.
    pub(super) fn place_interfaces(&mut self) {
        let counts = self.neighbours.is_some();
        let policies = [Some(&mut self.policy), self.other.as_mut().map(|other| &mut other.policy)];
        for policy in policies.into_iter().flatten() {
            let home = policy.paths.iter_mut().find(|path| path.kind == PathKind::Lan);
            home.into_iter().for_each(|path| path.interface = counts.then_some(0));
            policy.groups.iter_mut().for_each(|group| group.interfaces = u32::from(counts));
        }
        let carriers: Vec<u32> = (1_u32..)
            .zip(&self.own_links)
            .map(|(index, has_own)| if *has_own { 1 | 1 << index } else { 1 })
            .collect();
        for (group, carriers) in self.policy.groups.iter_mut().zip(&carriers) {
            group.carriers = *carriers;
        }
        if let Some(other) = &mut self.other {
            for (group, id) in other.policy.groups.iter_mut().zip(&other.groups) {
                group.carriers = carriers[id.index()];
            }
        }
    }

    /// In a fifth of all pairs the cables have slower times than the LAN, as far as the loader takes that.
    fn draw_slow_cables(&mut self, chance: &mut Chance) {
        if chance.below(5) > 0 {
            return;
        }
        let slower =
            chance.pick(&[(250, 750, 1_500), (200, 600, 1_000), (150, 300, 600), (500, 1_500, 2_500)]);
        let [interval, late_after, dead_after] = [slower.0, slower.1, slower.2].map(Span::from_ms);
        let mut policy = self.policy.clone();
        for path in policy.paths.iter_mut().filter(|path| path.kind == PathKind::Serial) {
            path.timing = PathTiming { interval, late_after, dead_after };
        }
        let beat = |path: &PathPolicy| {
            if path.kind == PathKind::Serial { timing::line_time(64, 9_600) } else { Span::ZERO }
        };
        let beats: Vec<Span> = policy.paths.iter().map(beat).collect();
        let proof = timing::Proof::new(&policy, &beats, Span::ZERO);
        if proof.margin.is_safe() && proof.paths.iter().all(|path| path.margin.is_safe()) {
            self.policy = policy;
        }
    }

    /// In a third of the groups with scripts some start before the addresses.
    fn draw_phases(&mut self, chance: &mut Chance) {
        let groups = self.policy.groups.iter_mut().zip(&self.scripts).zip(&mut self.before);
        for ((group, scripts), before) in groups.filter(|((_, scripts), _)| **scripts > 0) {
            *before =
                chance.pick(&[0, 0, 1]).min(*scripts as u8) + u8::from(*scripts > 1 && chance.below(8) == 0);
            group.before = group.stop_timeout.fraction(u64::from(*before), *scripts as u64);
        }
    }

    /// In a third of all pairs there is another file. In half of those one box has it from beginning to end;
    /// in the others a box may be started with it.
    fn draw_other_file(&mut self, chance: &mut Chance) {
        if chance.below(3) > 0 {
            return;
        }
        let reference = Self::reference().policy.paths[0].timing;
        let other = match self.policy.lease.as_s_ceil() {
            1 => [(reference, 1), (Speed::Normal.timing(), 3)],
            _ => [(reference, 1), (Speed::Fast.timing(), 1)],
        };
        if chance.below(4) == 0 {
            // All groups have the same tag, as an older build may accept: beats cannot tell them apart.
            self.policy.groups.iter_mut().for_each(|group| group.tag = 1);
        }
        let mut file = OtherFile::random(&self.policy, !self.witnesses.is_empty(), &other, chance);
        let slowest = self.policies().chain([&file.policy]).map(let_go_takes).max().unwrap_or_default();
        self.policy.cold_start = self.policy.cold_start.max(slowest);
        file.policy.cold_start = self.policy.cold_start + Span::from_ms(chance.below(500));
        if file.policy.interval() < self.policy.interval() {
            // The line has to carry the beats of either.
            self.bauds = bauds(&self.policy, 115_200);
        }
        self.other = Some(file);
        self.differs = chance.pick(&[None, None, Some(Side::A), Some(Side::B)]);
    }

    /// What stands around the pair: lines, witnesses, a fence, other interfaces.
    fn draw_neighbourhood(&mut self, chance: &mut Chance) {
        for (wiring, path) in self.wirings.iter_mut().zip(&self.policy.paths) {
            if path.kind == PathKind::Serial {
                *wiring = chance.pick(&[
                    Wiring::Full,
                    Wiring::Full,
                    Wiring::Full,
                    Wiring::Three,
                    Wiring::None,
                    Wiring::Looped,
                ]);
            }
        }
        for own_link in &mut self.own_links {
            *own_link = chance.below(3) == 0;
        }
        let witnesses = chance.pick(&[0, 0, 0, 1, 1, 2]);
        self.witnesses = (0..witnesses).map(|_| chance.pick(&[Place::Lan, Place::Own])).collect();
        self.policy.witnesses = witnesses;
        self.policy.in_jeopardy = chance.pick(if witnesses > 0 {
            &[InJeopardy::Witness, InJeopardy::Witness, InJeopardy::Hold, InJeopardy::Takeover]
        } else {
            &[InJeopardy::Hold, InJeopardy::Hold, InJeopardy::Hold, InJeopardy::Takeover]
        });
        let is_fenced = |group: &GroupPolicy| group.safety == SafetyRule::Fence || group.is_exclusive;
        if self.policy.groups.iter().any(is_fenced) && chance.below(5) > 0 {
            self.fence = Some(Span::from_ms(20 + chance.below(600)));
        }
    }
}

impl Setup {
    /// A quarter of the pairs have a voting witness, mostly on an interface of its own.
    fn draw_vote(&mut self, chance: &mut Chance) {
        if chance.below(4) == 0 {
            *self = self.clone().with_vote(chance.pick(&[Place::Own, Place::Own, Place::Lan]));
        }
    }

    /// The same pair with a voting witness.
    pub fn with_vote(mut self, place: Place) -> Self {
        (self.vote, self.policy.has_vote) = (Some(place), true);
        self
    }

    /// The policy of a box that was started with a file of this checksum.
    pub fn file(&self, digest: u8) -> &Policy {
        self.other_file(digest).map_or(&self.policy, |other| &other.policy)
    }

    /// The file of this checksum has that group.
    pub fn has_group(&self, digest: u8, group: GroupId) -> bool {
        self.other_file(digest).is_none_or(|other| other.groups.contains(&group))
    }

    /// Both files have the same groups, in the same order: a daemon goes from one to the other without a
    /// restart.
    pub fn have_same_groups(&self, one: u8, other: u8) -> bool {
        one == other
            || self.other.as_ref().is_none_or(|file| file.groups.iter().copied().eq(self.policy.group_ids()))
    }

    pub(super) fn other_file(&self, digest: u8) -> Option<&OtherFile> {
        self.other.as_ref().filter(|_| digest == OTHER_DIGEST)
    }

    /// The checksum of the file that a box has while nothing is wrong.
    pub fn usual_digest(&self, side: Side) -> u8 {
        if self.differs == Some(side) { OTHER_DIGEST } else { self.policy.digest[0] }
    }

    /// What custody goes by on a box that was started with a file of this checksum. It counts groups as the
    /// world does.
    pub fn custody_plan(&self, digest: u8) -> Plan {
        let mut policy = self.file(digest).clone();
        policy.groups = self.policy.groups.clone();
        if let Some(other) = self.other_file(digest) {
            for (group, rules) in other.groups.iter().zip(&other.policy.groups) {
                policy.groups[group.index()] = *rules;
            }
        }
        let unwatched = |count: &usize| -> ScriptPlans { std::iter::repeat_n(None, *count).collect() };
        Plan::new(&policy, self.before.iter().copied().zip(self.scripts.iter().map(unwatched)))
    }

    /// Both files of the pair, or the one.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        [Some(&self.policy), self.other.as_ref().map(|other| &other.policy)].into_iter().flatten()
    }

    /// Whether the loader takes a watchdog of this timeout for the pair.
    fn is_fast_enough(&self, timeout: Span) -> bool {
        let is_in_time = |policy: &Policy| {
            policy.groups.iter().all(|group| timing::is_watchdog_in_time(timeout, policy, group))
        };
        self.policies().all(is_in_time)
    }
}

/// The addresses of all groups live on the first LAN.
pub fn place_groups(policy: &mut Policy) {
    let home =
        policy.path_ids().zip(&policy.paths).find(|(_, path)| path.kind == PathKind::Lan).map(|(id, _)| id);
    for group in &mut policy.groups {
        *group = group.on(home);
        group.vips_beside_peer = u8::from(home.is_some());
    }
}

/// What a killed peer's kernel takes to let go, by the waiting node's clock.
fn let_go_takes(policy: &Policy) -> Span {
    timing::with_drift(timing::lifetime_bound(policy.interval(), policy.lease))
}

/// The same rate for all cables, none for LANs.
fn bauds(policy: &Policy, baud: u32) -> Vec<u32> {
    let of = |path: &PathPolicy| if path.kind == PathKind::Serial { baud } else { 0 };
    policy.paths.iter().map(of).collect()
}

fn policy(kinds: &[PathKind], timing: PathTiming, lease_s: u64, groups: &[GroupPolicy]) -> Policy {
    Policy {
        paths: kinds.iter().map(|kind| PathPolicy::new(*kind, timing)).collect(),
        groups: groups.iter().copied().collect(),
        lease: Span::from_s(lease_s),
        cold_start: Span::from_s(60),
        carrier_delay: CARRIER_DELAY,
        in_jeopardy: InJeopardy::Hold,
        witnesses: 0,
        has_vote: false,
        digest: [1, 2, 3, 4],
    }
}

fn random_group(index: u8, chance: &mut Chance) -> GroupPolicy {
    let prefer = chance.pick(&[Some(Side::A), Some(Side::B), None]);
    let (safety, stop_s) = chance.pick(&[
        (SafetyRule::Probe, 0),
        (SafetyRule::Probe, 2),
        (SafetyRule::Lease, 0),
        (SafetyRule::Lease, 1),
        (SafetyRule::Lease, 2),
        (SafetyRule::Fence, 0),
        (SafetyRule::Fence, 1),
    ]);
    let stop_timeout = Span::from_s(stop_s);
    let wait = Span::from_ms(chance.below(2_000));
    let failback = match chance.below(4) {
        0 if prefer.is_some() => Failback::After(Span::ZERO),
        1 if prefer.is_some() => Failback::After(wait),
        _ => Failback::Manual,
    };
    let is_exclusive = stop_s > 0 && chance.below(4) == 0;
    GroupPolicy {
        safety,
        stop_timeout,
        failback,
        is_exclusive,
        ..GroupPolicy::addresses_only(index + 1, prefer)
    }
}

/// Two clocks, each off by up to 1 %, and no further apart than the waits before a takeover allow for.
fn random_rates(chance: &mut Chance) -> [u64; 2] {
    let any = |chance: &mut Chance| TRUE_RATE - MAX_OFF + chance.below(2 * MAX_OFF + 1);
    match chance.below(3) {
        0 => [TRUE_RATE; 2],
        1 => chance.pick(&[
            [995_025, 1_004_975],
            [1_004_975, 995_025],
            [990_000, 999_900],
            [1_010_000, 1_000_000],
        ]),
        _ => loop {
            let [a, b] = [any(chance), any(chance)];
            if a.max(b) * 100 <= a.min(b) * 101 {
                return [a, b];
            }
        },
    }
}
