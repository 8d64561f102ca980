//! The arithmetic that keeps one node from taking what the other still holds.
//!
//! The decision, `check` and the loader all reckon with these functions, so that what is printed, what is
//! refused and what is done cannot drift apart. All spans that describe a dead or deaf peer are reckoned from
//! the peer's last frame (taking) or from the send time of our newest acknowledged beat (holding). A beat
//! arrives after it was sent, so the second never begins later than the first.

use heapless::Vec;

use crate::config::{GroupPolicy, MAX_GROUPS, MAX_PATHS, MIN_INTERVAL, PathTiming, Policy, SafetyRule};
use crate::frame::message::PathReport;
use crate::pair::Mechanisms;
use crate::time::Span;

/// How far the clocks of the two boxes may run apart, in per cent: every wait before taking is this much
/// longer.
pub const DRIFT_PERCENT: u64 = 1;
/// The longest time that a release of addresses is planned to take, and so how long before the ack deadline
/// it starts.
pub const MAX_RELEASE_LEAD: Span = Span::from_ms(50);
/// How much later than its lifetime Linux may remove an address: each time a lifetime of any other address on
/// the box is set, the expiry can slip by up to a second (1.92 s were seen for a lifetime of 1 s), and 0.1 s
/// for the timer itself.
pub const LIFETIME_SLIP: Span = Span::from_ms(1_100);
/// How long it may take to end an agent that hangs, to start another one, and for that one to renew.
pub const ANOTHER_AGENT_TAKES: Span = Span::from_ms(300);
/// What is left of a lease at its latest renewal.
const LEASE_RESERVE: Span = Span::from_ms(100);
/// Most of a serial line that beats may fill, in permille: the rest is for answers, handshakes and catching
/// up.
pub const MAX_LINE_LOAD_PERMILLE: u64 = 500;

/// How long `span` may seem to a node whose clock runs fast: rounded up, the safe direction for every wait
/// before taking.
pub const fn with_drift(span: Span) -> Span {
    Span::from_us(span.as_us().saturating_mul(100 + DRIFT_PERCENT).div_ceil(100))
}

/// How long after the arrival of the peer's newest beat its groups may be taken, on the strength of silence
/// alone.
pub const fn takeover_after(dead_after: Span) -> Span {
    with_drift(dead_after)
}

/// How long before the ack deadline a forced release starts: 50 ms, or a fifth of `dead_after` if that is
/// less.
pub fn release_lead(dead_after: Span) -> Span {
    MAX_RELEASE_LEAD.min(dead_after.fraction(1, 5))
}

/// When a forced release starts, reckoned like the ack deadline from the send time of the newest acknowledged
/// beat.
pub fn release_start(dead_after: Span) -> Span {
    dead_after.saturating_sub(release_lead(dead_after))
}

/// How long after the newest acknowledged beat a question has to leave. Only the answer to such a question
/// shows that a witness is in sight of a holder that is no longer acknowledged: an earlier question may have
/// been answered right before a cut that nobody knows of yet. The cut shows with the next beat, which the
/// peer would acknowledge in its own next one. late_after is longer than that takes. It is less where the
/// deadline of `hold` would come before such a question can be answered. Questions leave with beats.
pub fn sight_wait(late_after: Span, interval: Span, hold: Span) -> Span {
    let last_question = release_start(hold).saturating_sub(interval + release_lead(hold).fraction(1, 2));
    late_after.min(last_question)
}

/// When the addresses of a node are gone if nobody lets them go and only the kernel ends them. Reckoned from
/// the last frame of the node that arrived; after that it may have gone on to order renewals for as long as
/// `goes_on_for`.
///
/// A node that says that it cannot serve, or that died in the middle of its beats, has renewed for one
/// interval at most. A node that is only not heard any more goes on until its ack deadline, for dead_after,
/// and may die only then.
pub fn lifetime_bound(goes_on_for: Span, lease: Span) -> Span {
    goes_on_for + lease + LIFETIME_SLIP
}

/// When the scripts of a peer that still works have stopped: it lets go by the ack deadline, then they have
/// their time.
pub fn scripts_bound(dead_after: Span, stop_timeout: Span) -> Span {
    dead_after + stop_timeout
}

/// The mechanisms that make a node of this configuration let go, as it announces them. Its watchdog, if any,
/// resets it after `watchdog_s` seconds.
pub fn mechanisms(policy: &Policy, watchdog_s: u8) -> Mechanisms {
    let stop_s = policy.groups.iter().map(|group| group.stop_timeout.as_s_ceil()).max().unwrap_or(0);
    Mechanisms {
        lease_s: u8::try_from(policy.lease.as_s_ceil()).unwrap_or(u8::MAX),
        watchdog_s,
        stop_s: u16::try_from(stop_s).unwrap_or(u16::MAX),
    }
}

/// When all mechanisms of `armed` must have made a peer let go, reckoned from its last frame, without the
/// drift of the clocks. After that frame it may have gone on to order renewals for as long as `goes_on_for`.
pub fn released_after(goes_on_for: Span, dead_after: Span, armed: Mechanisms) -> Span {
    let scripts = scripts_bound(dead_after, Span::from_s(u64::from(armed.stop_s)));
    let addresses = lifetime_bound(goes_on_for, Span::from_s(u64::from(armed.lease_s)));
    let watchdog = goes_on_for + Span::from_s(u64::from(armed.watchdog_s));
    scripts.max(addresses).max(watchdog)
}

/// How long a node listens before it serves a group of this rule, if it has not heard its peer since it
/// started. It knows no beat from which a lease could be reckoned, but the peer's last beat may have left
/// right before the start.
pub fn listens_for(policy: &Policy, safety: SafetyRule, armed: Mechanisms) -> Span {
    let dead_after = slowest_timing(policy).dead_after;
    match safety {
        SafetyRule::Probe | SafetyRule::Fence => policy.cold_start,
        SafetyRule::Lease => policy.cold_start.max(with_drift(released_after(dead_after, dead_after, armed))),
    }
}

/// How long an agent goes on after its guard is gone: until the peer has waited for the kernel to let go, has
/// claimed what was held, and was told that its claim was heard. The agent holds nothing then, and says so.
pub fn goes_on_without_guard(policy: &Policy) -> Span {
    let slowest = slowest_timing(policy);
    let claims = slowest.interval.fraction(4, 1) + slowest.dead_after.fraction(2, 1);
    with_drift(lifetime_bound(policy.interval(), policy.lease)) + claims + Span::from_s(2)
}

/// How long an agent may say nothing before it is taken for hung: it has a word at every beat.
pub fn hang_after(policy: &Policy) -> Span {
    policy.shortest_late_after().max(policy.interval().fraction(3, 1))
}

/// How often held addresses are renewed: with every so many beats. It is often enough that an agent which
/// hangs right before a renewal is replaced in time, at least three times a lease, and never more often than
/// with every beat.
pub fn renewal_every(policy: &Policy) -> Span {
    let interval = policy.interval();
    let replaced = hang_after(policy) + ANOTHER_AGENT_TAKES + interval + LEASE_RESERVE;
    let longest = policy.lease.saturating_sub(replaced).min(policy.lease.fraction(1, 3));
    let beats = longest.as_us() / interval.as_us().max(1);
    interval.fraction(beats.max(1), 1)
}

/// How old the agent's newest word may be while the guard still pets the watchdog. The agent has a word at
/// every beat, and one may be late.
pub fn pets_for(interval: Span) -> Span {
    interval + interval
}

/// When the watchdog has reset a box whose agent, guard or kernel stopped, reckoned from its last frame: the
/// driver's real timeout, after the last pet.
pub fn watchdog_bound(timeout: Span, interval: Span) -> Span {
    timeout + interval + pets_for(interval)
}

/// What a node announces of its watchdog: how long after its agent's last word the box has been reset.
pub fn watchdog_announced(timeout: Span, interval: Span) -> Span {
    timeout + pets_for(interval)
}

/// Whether a watchdog of this timeout has reset a box before a peer takes the group that waits for the box's
/// scripts.
pub fn is_watchdog_in_time(timeout: Span, policy: &Policy, group: &GroupPolicy) -> bool {
    let waits = group.safety == SafetyRule::Lease && group.stop_timeout != Span::ZERO;
    let relied_on = scripts_bound(policy.longest_dead_after(), group.stop_timeout);
    !waits || watchdog_bound(timeout, policy.interval()) <= relied_on
}

/// Whether a watchdog that was armed under `old` needs words more often than an agent under `new` has them.
/// Only a restart can change that, since the peer was told how long this node needs to be reset.
pub fn is_petted_too_seldom(old: &Policy, new: &Policy) -> bool {
    new.interval() > old.interval()
}

/// How long `bytes` occupy a line of `baud` bits a second, with a start and a stop bit for each byte (8N1).
pub fn line_time(bytes: u64, baud: u32) -> Span {
    Span::from_us(bytes.saturating_mul(10_000_000).div_ceil(u64::from(baud.max(1))))
}

/// How much of a line the beats fill, in permille, rounded up.
pub fn line_load_permille(beat: Span, interval: Span) -> u64 {
    beat.as_us().saturating_mul(1_000).div_ceil(interval.as_us().max(1))
}

/// The fastest times that a path carries: the shortest interval of which a `beat` fills no more than
/// [`MAX_LINE_LOAD_PERMILLE`]. It is an even number of milliseconds, so that the other two are whole ones.
/// Whether the boxes keep it is another question.
pub fn fastest(beat: Span) -> PathTiming {
    let half_ms = beat.fraction(500, MAX_LINE_LOAD_PERMILLE).as_us().div_ceil(1_000);
    PathTiming::shortest(MIN_INTERVAL.max(Span::from_ms(half_ms.saturating_mul(2))))
}

/// When the addresses of an active node that is no longer heard are gone, reckoned from its last beat that
/// was heard.
///
/// The peer's next beat reports that it does not hear us ([`PathReport::deaf_after`]), and we let go on
/// hearing that. One half of the release lead is for the kernel, the other for the report's way to us. `beat`
/// counts where a slow line needs more than that half.
pub fn told_release(deaf_after: Span, interval: Span, beat: Span, release_lead: Span) -> Span {
    let half = release_lead.fraction(1, 2);
    deaf_after + interval + release_lead.saturating_sub(half) + half.max(beat)
}

/// Whether a holder that hears from its peer alone can let go before that peer takes over by the shortcut of
/// a power loss.
///
/// The peer takes the group late_after after our last beat. We let go on its report that it has not heard us
/// on any path for half of late_after. The report counts in sixteenths of dead_after, rounded down, and
/// leaves with its next beat. Where dead_after is long compared with late_after these steps are too coarse,
/// and there is no shortcut.
pub fn is_haste_in_time(policy: &Policy) -> bool {
    let late_after = policy.longest_late_after();
    policy.paths.iter().all(|path| {
        let step = path.timing.dead_after.fraction(1, 16);
        let steps = path.timing.late_after.fraction(1, 2).as_us().div_ceil(step.as_us().max(1));
        let told = step.fraction(steps, 1) + path.timing.interval;
        told + release_lead(late_after).fraction(1, 2) <= late_after
    })
}

/// How long after we saw lines drop a living holder, whose lines dropped too, has let go. It looks at its
/// lines once an interval, and by then its deadline of late_after may have passed. Where
/// [`is_haste_in_time`], this is never later than late_after after the drop, although we too may see the drop
/// an interval late.
pub fn hasty_release(interval: Span, late_after: Span) -> Span {
    with_drift(interval + release_lead(late_after))
}

/// The time between two instants that must come in this order, or how far they are the wrong way round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Margin {
    /// The first comes this much before the second.
    Spare(Span),
    /// The first comes this much after the second: unsafe.
    Missing(Span),
}

impl Margin {
    /// The margin between `first` and `second`.
    pub fn between(first: Span, second: Span) -> Self {
        if first <= second {
            Self::Spare(second.saturating_sub(first))
        } else {
            Self::Missing(first.saturating_sub(second))
        }
    }

    /// Whether the order is kept.
    pub const fn is_safe(self) -> bool {
        match self {
            Self::Spare(_) => true,
            Self::Missing(_) => false,
        }
    }
}

/// Whether an active node on this path alone hears that it is unheard before its ack deadline.
pub fn path_margin(timing: PathTiming, beat: Span) -> Margin {
    let deaf_after = PathReport::deaf_after(timing);
    let told = told_release(deaf_after, timing.interval, beat, release_lead(timing.dead_after));
    Margin::between(told, timing.dead_after)
}

/// The figures of one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathProof {
    /// How much of the line the beats fill, in permille; zero on a LAN.
    pub load_permille: u64,
    /// What is left between the report that we are unheard and the ack deadline.
    pub margin: Margin,
}

/// The figures of one group, all reckoned from the last frame of the peer that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupProof {
    /// When the slowest release mechanism that applies to the group must have fired.
    pub released: Span,
    /// When the group is taken over, given a clear probe.
    pub takeover: Span,
    /// How long a node that starts and hears nobody listens, before it serves the group.
    pub listens: Span,
}

/// The whole timing proof of a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// When every path is late: the probe starts.
    pub late: Span,
    /// When every path is silent: the verdict may be dead.
    pub detection: Span,
    /// When addresses are taken, given a clear probe: detection, and the drift of the clocks.
    pub takeover: Span,
    /// Until when an active node may serve without a newer acknowledgement.
    pub ack_deadline: Span,
    /// How long before the ack deadline a forced release starts.
    pub release_lead: Span,
    /// When a forced release starts.
    pub release_start: Span,
    /// When a node's addresses are gone if it lets them go, by its ack deadline or on the peer's report that
    /// it is unheard.
    pub released: Span,
    /// What is left between that and the takeover.
    pub margin: Margin,
    /// When addresses are gone if nobody lets them go, because both processes died within dead_after of that
    /// frame.
    pub lifetime_bound: Span,
    /// How often held addresses are renewed.
    pub renewal_every: Span,
    /// The [`fastest`] times that all paths carry.
    pub fastest: PathTiming,
    /// In the order of [`Policy::paths`].
    pub paths: Vec<PathProof, MAX_PATHS>,
    /// In the order of [`Policy::groups`].
    pub groups: Vec<GroupProof, MAX_GROUPS>,
}

impl Proof {
    /// Reckons with everything in `policy`; `beats` says how long one beat occupies each path (zero, or left
    /// out, for a LAN), `watchdog` after which time one resets a box that hangs (zero without one).
    ///
    /// Where paths differ, holding reckons with the smallest `dead_after` and taking with the largest.
    pub fn new(policy: &Policy, beats: &[Span], watchdog: Span) -> Self {
        let armed = mechanisms(policy, u8::try_from(watchdog.as_s_ceil()).unwrap_or(u8::MAX));
        let slowest = slowest_timing(policy);
        let ack_deadline = policy.paths.iter().map(|p| p.timing.dead_after).min().unwrap_or_default();
        let lead = release_lead(ack_deadline);
        let longest_beat = beats.iter().copied().max().unwrap_or_default();
        let deaf_after =
            policy.paths.iter().map(|path| PathReport::deaf_after(path.timing)).max().unwrap_or_default();
        let told = told_release(deaf_after, slowest.interval, longest_beat, lead);
        let takeover = takeover_after(slowest.dead_after);
        let released = ack_deadline.max(told);
        Self {
            late: slowest.late_after,
            detection: slowest.dead_after,
            takeover,
            ack_deadline,
            release_lead: lead,
            release_start: release_start(ack_deadline),
            released,
            margin: Margin::between(released, takeover),
            lifetime_bound: lifetime_bound(slowest.dead_after, policy.lease),
            renewal_every: renewal_every(policy),
            fastest: fastest(longest_beat),
            paths: path_proofs(policy, beats),
            groups: policy.groups.iter().map(|g| group_proof(policy, g, armed)).collect(),
        }
    }

    /// When the last group is let go by whatever means: the wait of the most careful takeover, before drift.
    pub fn slowest_release(&self) -> Span {
        self.groups.iter().map(|g| g.released).max().unwrap_or(self.released)
    }
}

/// The largest of each time over all paths.
fn slowest_timing(policy: &Policy) -> PathTiming {
    let zero = PathTiming { interval: Span::ZERO, late_after: Span::ZERO, dead_after: Span::ZERO };
    policy.paths.iter().fold(zero, |slowest, path| PathTiming {
        interval: slowest.interval.max(path.timing.interval),
        late_after: slowest.late_after.max(path.timing.late_after),
        dead_after: slowest.dead_after.max(path.timing.dead_after),
    })
}

fn path_proofs(policy: &Policy, beats: &[Span]) -> Vec<PathProof, MAX_PATHS> {
    let beats = beats.iter().copied().chain(core::iter::repeat(Span::ZERO));
    let proof = |(path, beat): (&crate::config::PathPolicy, Span)| PathProof {
        load_permille: line_load_permille(beat, path.timing.interval),
        margin: path_margin(path.timing, beat),
    };
    policy.paths.iter().zip(beats).map(proof).collect()
}

/// The slowest mechanism of the peer, which announces one time for the scripts of all its groups, and the
/// takeover that waits for it where the safety rule says so.
fn group_proof(policy: &Policy, group: &GroupPolicy, armed: Mechanisms) -> GroupProof {
    let dead_after = slowest_timing(policy).dead_after;
    let released = released_after(dead_after, dead_after, armed);
    let silent = takeover_after(dead_after);
    let takeover = match group.safety {
        // A confirmed fence has released everything.
        SafetyRule::Probe | SafetyRule::Fence => silent,
        SafetyRule::Lease => silent.max(with_drift(released)),
    };
    GroupProof { released, takeover, listens: listens_for(policy, group.safety, armed) }
}

#[cfg(test)]
#[path = "timing_tests.rs"]
mod tests;
