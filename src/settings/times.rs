//! Speed, `[timing]` and the overrides of a path, with their bounds.

use crosswire::config::{
    CARRIER_DELAY, MAX_DEAD_AFTER, MAX_DEAD_AFTER_INTERVALS, MAX_INTERVAL, MIN_INTERVAL, PathPolicy,
    PathTiming, Policy, Speed,
};
use crosswire::quorum::timing::{self, Margin, Proof};
use crosswire::time::Span;

use super::error::Report;
use super::line;
use super::table::{At, Table};
use super::values::exact;

const KEYS: [&str; 6] = ["interval", "late_after", "dead_after", "lease", "cold_start", "carrier_delay"];
const SPEEDS: [(&str, Speed); 3] =
    [("gentle", Speed::Gentle), ("normal", Speed::Normal), ("fast", Speed::Fast)];
/// Fewest intervals in `dead_after`: one beat may be lost and one be late.
const MIN_DEAD_AFTER_INTERVALS: u64 = 3;
/// Longest lease: an address without an owner for longer helps nobody.
const MAX_LEASE: Span = Span::from_s(60);
/// Longest cold start.
const MAX_COLD_START: Span = Span::from_s(3_600);
/// Longest wait before a group leaves a node without carrier.
const MAX_CARRIER_DELAY: Span = Span::from_s(60);
const DEFAULT_COLD_START: Span = Span::from_s(60);

/// Interval, late_after and dead_after of one path, and where each was set.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// Time between two beats.
    pub(super) interval: At<Span>,
    late_after: At<Span>,
    pub(super) dead_after: At<Span>,
}

/// The times of the whole pair.
pub(super) struct Pace {
    /// The default times of a path.
    pub(super) times: Times,
    /// Kernel lifetime of a held address.
    pub(super) lease: At<Span>,
    /// How long a node that never heard its peer listens before it serves.
    pub(super) cold_start: At<Span>,
    /// How long the peer has to have had carrier before a group is handed over for that.
    pub(super) carrier_delay: At<Span>,
}

impl Times {
    /// `self`, with the values that `table` sets.
    pub(super) fn overridden_by(self, table: &Table<'_>, report: &mut Report<'_>) -> Self {
        Self {
            interval: table.span("interval", report).unwrap_or(self.interval),
            late_after: table.span("late_after", report).unwrap_or(self.late_after),
            dead_after: table.span("dead_after", report).unwrap_or(self.dead_after),
        }
    }

    /// The times as the decision needs them.
    pub(super) fn timing(self) -> PathTiming {
        PathTiming {
            interval: self.interval.value,
            late_after: self.late_after.value,
            dead_after: self.dead_after.value,
        }
    }

    /// Checks the bounds of a path on which a beat takes `beat`; stops at the first broken one, since others
    /// follow from it.
    pub(super) fn check(self, beat: Span, report: &mut Report<'_>) -> bool {
        self.check_order(report) && self.check_dead_after(report) && self.check_margin(beat, report)
    }

    /// Whether a box can keep the interval and a beat can announce it.
    pub(super) fn check_interval(self, report: &mut Report<'_>) -> bool {
        let At { at, value } = self.interval;
        let good = (MIN_INTERVAL..=MAX_INTERVAL).contains(&value);
        if !good {
            let remedy = format!("use {} to {}", exact(MIN_INTERVAL), exact(MAX_INTERVAL));
            report.add(at, format!("an interval of {} cannot be kept", exact(value)), remedy);
        }
        good
    }

    fn check_order(self, report: &mut Report<'_>) -> bool {
        let (interval, late, dead) = (self.interval.value, self.late_after.value, self.dead_after.value);
        let good = interval < late && late < dead;
        if !good {
            let what = format!(
                "late_after {} is not between the interval {} and dead_after {}",
                exact(late),
                exact(interval),
                exact(dead)
            );
            report.add(self.late_after.at, what, "set it to two or three intervals, and dead_after to five");
        }
        good
    }

    fn check_dead_after(self, report: &mut Report<'_>) -> bool {
        let At { at, value: dead } = self.dead_after;
        let interval = self.interval.value;
        let least = interval.fraction(MIN_DEAD_AFTER_INTERVALS, 1);
        let most = MAX_DEAD_AFTER.min(interval.fraction(MAX_DEAD_AFTER_INTERVALS, 1));
        let good = (least..=most).contains(&dead);
        if dead < least {
            let what =
                format!("dead_after {} is less than three intervals of {}", exact(dead), exact(interval));
            report.add(at, what, format_args!("set it to {} or more, or shorten the interval", exact(least)));
        } else if !good {
            let what = format!("dead_after {} is more than {}", exact(dead), exact(most));
            let remedy =
                format!("set it to {} or less: at most {MAX_DEAD_AFTER_INTERVALS} intervals", exact(most));
            report.add(at, what, remedy);
        }
        good
    }

    fn check_margin(self, beat: Span, report: &mut Report<'_>) -> bool {
        let margin = timing::path_margin(self.timing(), beat);
        if let Margin::Missing(missing) = margin {
            let what = format!(
                "dead_after {} leaves a negative margin: a node that is not heard would learn it {} too late \
                    to let go",
                exact(self.dead_after.value),
                exact(whole_ms(missing))
            );
            let least = least_that(self.dead_after.value, |dead_after| {
                timing::path_margin(PathTiming { dead_after, ..self.timing() }, beat)
            });
            report.add_first(
                self.dead_after.at,
                what,
                format_args!("set it to {} or more, or shorten late_after or interval", exact(least)),
            );
        }
        margin.is_safe()
    }
}

/// The shortest `dead_after`, from this one on, that leaves a margin. A longer one also makes the peer's
/// reports coarser.
fn least_that(dead_after: Span, margin: impl Fn(Span) -> Margin) -> Span {
    let mut least = whole_ms(dead_after);
    while let Margin::Missing(missing) = margin(least)
        && least <= MAX_DEAD_AFTER
    {
        least = least + whole_ms(missing);
    }
    least
}

/// Reads `speed` and `[timing]`.
pub(super) fn read(root: &Table<'_>, report: &mut Report<'_>) -> Pace {
    let speed = root.choice("speed", &SPEEDS, report);
    let speed = speed.unwrap_or(At { at: root.place_of("speed"), value: Speed::Normal });
    let preset = speed.value.timing();
    let at = speed.at;
    let times = Times {
        interval: At { at, value: preset.interval },
        late_after: At { at, value: preset.late_after },
        dead_after: At { at, value: preset.dead_after },
    };
    let lease = At { at, value: speed.value.lease() };
    let cold_start = At { at, value: DEFAULT_COLD_START };
    let carrier_delay = At { at, value: CARRIER_DELAY };
    let Some(table) = root.table("timing", report) else {
        return Pace { times, lease, cold_start, carrier_delay };
    };
    table.refuse_unknown(&KEYS, report);
    Pace {
        times: times.overridden_by(&table, report),
        lease: table.span("lease", report).unwrap_or(lease),
        cold_start: table.span("cold_start", report).unwrap_or(cold_start),
        carrier_delay: table.span("carrier_delay", report).unwrap_or(carrier_delay),
    }
}

impl Pace {
    /// Checks lease and cold start against the paths, and the margin of all paths together.
    pub(super) fn check(&self, policy: &Policy, beats: &[Span], slowest: Times, report: &mut Report<'_>) {
        // A watchdog does not matter for these checks.
        let proof_of = |policy: &Policy| Proof::new(policy, beats, Span::ZERO);
        let proof = proof_of(policy);
        self.check_lease(proof.renewal_every, report);
        let At { at, value: cold } = self.cold_start;
        if !(proof.takeover..=MAX_COLD_START).contains(&cold) {
            let what = format!("a cold_start of {} is out of bounds", exact(cold));
            let remedy =
                format!("use {} (dead_after and 1 %) to {}", exact(proof.takeover), exact(MAX_COLD_START));
            report.add(at, what, remedy);
        }
        let At { at, value: delay } = self.carrier_delay;
        if delay > MAX_CARRIER_DELAY {
            let what = format!("a carrier_delay of {} leaves clients unserved for too long", exact(delay));
            report.add(at, what, format_args!("use {} or less", exact(MAX_CARRIER_DELAY)));
        }
        if let Margin::Missing(_) = proof.margin {
            let what = format!(
                "the paths together leave a negative margin: a node that is not heard lets go after {}, its \
                    peer takes over after {}",
                exact(whole_ms(proof.released)),
                exact(proof.takeover)
            );
            let least = least_that(slowest.dead_after.value, |dead_after| {
                let mut slower = policy.clone();
                let is_slowest = |path: &&mut PathPolicy| path.timing == slowest.timing();
                if let Some(path) = slower.paths.iter_mut().find(is_slowest) {
                    path.timing.dead_after = dead_after;
                }
                proof_of(&slower).margin
            });
            report.add(
                slowest.dead_after.at,
                what,
                format_args!(
                    "set dead_after to {} or more on one path, or bring the paths' late_after and interval \
                        closer",
                    exact(least)
                ),
            );
        }
    }

    fn check_lease(&self, renewal_every: Span, report: &mut Report<'_>) {
        let At { at, value: lease } = self.lease;
        if lease.as_us() % 1_000_000 != 0 || lease == Span::ZERO || lease > MAX_LEASE {
            let what = format!("a lease of {} cannot be had from the kernel", exact(lease));
            report.add(at, what, format_args!("use whole seconds from 1 s to {}", exact(MAX_LEASE)));
        } else if renewal_every > lease.fraction(1, 2) {
            let what =
                format!("a lease of {} would be renewed only every {}", exact(lease), exact(renewal_every));
            let remedy = format!(
                "use a lease of 2 s or more, or an interval of {} or less",
                exact(lease.fraction(1, 2))
            );
            report.add(at, what, remedy);
        }
    }
}

/// Rounded up to whole milliseconds, as one would write it.
fn whole_ms(span: Span) -> Span {
    Span::from_ms(span.as_us().div_ceil(1_000))
}

/// Refuses a line that beats would fill by more than half, and says which baud or interval would do.
pub(super) fn check_load(
    baud: At<u32>,
    interval: Span,
    beat: Span,
    bytes: u64,
    report: &mut Report<'_>,
) -> bool {
    if timing::line_load_permille(beat, interval) <= timing::MAX_LINE_LOAD_PERMILLE {
        return true;
    }
    let least = line::least_interval(beat);
    let by_baud = match line::least_baud(bytes, interval) {
        Some(baud) => format!("set baud to {baud} or more, or "),
        None => String::new(),
    };
    let what = format!(
        "a beat of {bytes} bytes takes {} ms at {} baud, more than half of the interval of {}",
        beat.as_us().div_ceil(1_000),
        baud.value,
        exact(interval)
    );
    report.add(baud.at, what, format_args!("{by_baud}set interval to {} or more", exact(least)));
    false
}
