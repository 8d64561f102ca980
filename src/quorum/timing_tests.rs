//! The arithmetic, with figures that a reader can follow.

use super::*;
use crate::config::{CARRIER_DELAY, InJeopardy, PathPolicy, Speed};
use crate::pair::PathKind;

const MS: fn(u64) -> Span = Span::from_ms;

fn policy(paths: &[(PathKind, [u64; 3])], lease_s: u64, groups: &[GroupPolicy]) -> Policy {
    let path = |&(kind, [interval, late_after, dead_after]): &(PathKind, [u64; 3])| {
        PathPolicy::new(
            kind,
            PathTiming { interval: MS(interval), late_after: MS(late_after), dead_after: MS(dead_after) },
        )
    };
    Policy {
        paths: paths.iter().map(path).collect(),
        groups: groups.iter().copied().collect(),
        lease: Span::from_s(lease_s),
        cold_start: Span::from_s(60),
        carrier_delay: CARRIER_DELAY,
        in_jeopardy: InJeopardy::Hold,
        witnesses: 0,
        has_vote: false,
        digest: [0; 4],
    }
}

fn group(safety: SafetyRule, stop_timeout_s: u64) -> GroupPolicy {
    let stop_timeout = Span::from_s(stop_timeout_s);
    GroupPolicy { safety, stop_timeout, ..GroupPolicy::addresses_only(0, None) }
}

#[test]
fn the_reference_pair_adds_up() {
    let r = [100, 300, 500];
    let groups = [group(SafetyRule::Probe, 0), group(SafetyRule::Lease, 0), group(SafetyRule::Lease, 60)];
    let proof = Proof::new(
        &policy(&[(PathKind::Serial, r), (PathKind::Lan, r)], 1, &groups),
        &[line_time(64, 19_200)],
        Span::ZERO,
    );
    assert_eq!(proof.late, MS(300));
    assert_eq!(proof.detection, MS(500));
    assert_eq!(proof.takeover, MS(505));
    assert_eq!(proof.ack_deadline, MS(500));
    assert_eq!(proof.release_start, MS(450));
    // 300 + 100 until the report leaves, 33.334 on the line, 25 for the kernel: the deadline is later
    // still
    assert_eq!(proof.released, MS(500));
    assert_eq!(proof.margin, Margin::Spare(MS(5)));
    assert_eq!(proof.lifetime_bound, MS(2_600));
    assert_eq!(proof.renewal_every, MS(200));
    assert_eq!(proof.paths[0].load_permille, 334);
    assert_eq!(proof.paths[1].load_permille, 0);
    assert_eq!(proof.groups[0].takeover, MS(505));
    // what a peer announces for its scripts is not told apart by groups
    let (released, takeover) = (MS(60_500), MS(61_105));
    assert_eq!(proof.groups[1], GroupProof { released, takeover, listens: takeover });
    assert_eq!(proof.groups[2], proof.groups[1]);
    assert_eq!(proof.groups[0].listens, Span::from_s(60));
    let alone = Proof::new(&policy(&[(PathKind::Lan, r)], 1, &groups[..2]), &[], Span::ZERO);
    let (released, takeover) = (MS(2_600), MS(2_626));
    assert_eq!(alone.groups[1], GroupProof { released, takeover, listens: Span::from_s(60) });
    let watched = Proof::new(&policy(&[(PathKind::Lan, r)], 1, &groups[..2]), &[], MS(9_300));
    assert_eq!(watched.groups[1].released, MS(10_500), "from the last order that it may have had");
    assert_eq!(proof.slowest_release(), MS(60_500));
}

/// Beats of every length: the times are whole milliseconds, the line is at most half full, and both margins
/// are kept.
#[test]
fn the_fastest_times_are_safe_on_every_line() {
    let of_line = |bytes, baud| fastest(line_time(bytes, baud));
    let ms = |timing: PathTiming| [timing.interval, timing.late_after, timing.dead_after].map(Span::as_ms);
    assert_eq!(ms(fastest(Span::ZERO)), [10, 25, 50]);
    assert_eq!(ms(of_line(34, 115_200)), [10, 25, 50]);
    assert_eq!(ms(of_line(70, 115_200)), [14, 35, 70]);
    assert_eq!(ms(of_line(34, 19_200)), [36, 90, 180]);
    for beat in (0..400_000).step_by(997).map(Span::from_us) {
        let timing = fastest(beat);
        assert!([timing.late_after, timing.dead_after].iter().all(|span| span.as_us() % 1_000 == 0));
        assert!(line_load_permille(beat, timing.interval) <= MAX_LINE_LOAD_PERMILLE, "{beat:?}");
        assert!(path_margin(timing, beat).is_safe(), "{beat:?}");
        assert!(is_haste_in_time(&policy(&[(PathKind::Serial, ms(timing))], 1, &[])), "{beat:?}");
    }
}

#[test]
fn every_preset_is_safe_on_a_line_that_it_fills_to_the_limit() {
    for speed in [Speed::Gentle, Speed::Normal, Speed::Fast] {
        let timing = speed.timing();
        let half = timing.interval.fraction(MAX_LINE_LOAD_PERMILLE, 1_000);
        let us = [timing.interval, timing.late_after, timing.dead_after].map(Span::as_ms);
        let proof =
            Proof::new(&policy(&[(PathKind::Serial, us), (PathKind::Lan, us)], 1, &[]), &[half], Span::ZERO);
        assert!(proof.margin.is_safe(), "{speed:?}: {:?}", proof.margin);
        assert!(proof.paths.iter().all(|p| p.margin.is_safe()), "{speed:?}: {:?}", proof.paths);
    }
}

#[test]
fn a_report_that_comes_too_late_is_a_missing_margin() {
    let timing =
        |dead_after| PathTiming { interval: MS(100), late_after: MS(400), dead_after: MS(dead_after) };
    assert_eq!(path_margin(timing(550), Span::ZERO), Margin::Spare(Span::ZERO));
    assert_eq!(path_margin(timing(549), Span::ZERO), Margin::Missing(MS(1)));
    // up to half the lead of 50 ms the line is free of charge
    assert_eq!(path_margin(timing(550), MS(25)), Margin::Spare(Span::ZERO));
    assert_eq!(path_margin(timing(550), MS(26)), Margin::Missing(MS(1)));
}

#[test]
fn a_report_counts_by_the_age_that_it_may_mean_at_most() {
    for (interval, late, dead) in
        [(955, 15_365, 16_383), (1_000, 3_800, 5_000), (50, 150, 250), (20, 21, 2_000)]
    {
        let timing = PathTiming { interval: MS(interval), late_after: MS(late), dead_after: MS(dead) };
        let told = |age| {
            let age_sixteenths = PathReport::sixteenths(Some(age), timing.dead_after);
            PathReport { dead_after: timing.dead_after, age_sixteenths }.longest_age()
                >= Some(PathReport::deaf_after(timing))
        };
        let from = PathReport::deaf_after(timing);
        assert!((0..1_000).all(|ms| told(from + MS(ms))), "{timing:?}: never later than reckoned");
        assert!(!told(timing.interval.fraction(9, 10)), "{timing:?}: nor for a peer that hears every beat");
    }
}

#[test]
fn paths_that_are_safe_alone_can_be_unsafe_together() {
    // unheard is said only when the slowest path is late, and perhaps only by the path with the longest
    // interval
    let paths = [(PathKind::Serial, [300, 600, 1_000]), (PathKind::Lan, [20, 900, 1_000])];
    let proof = Proof::new(&policy(&paths, 3, &[]), &[], Span::ZERO);
    assert!(proof.paths.iter().all(|p| p.margin.is_safe()));
    assert_eq!(proof.released, MS(1_250));
    assert_eq!(proof.margin, Margin::Missing(MS(240)));
}

#[test]
fn holding_reckons_with_the_smallest_and_taking_with_the_largest() {
    let paths = [(PathKind::Serial, [250, 750, 1_500]), (PathKind::Lan, [100, 300, 500])];
    let proof = Proof::new(&policy(&paths, 3, &[]), &[], Span::ZERO);
    assert_eq!((proof.ack_deadline, proof.takeover), (MS(500), MS(1_515)));
    assert_eq!(proof.released, MS(1_050));
    assert_eq!(proof.lifetime_bound, MS(5_600));
    assert_eq!(proof.renewal_every, Span::from_s(1));
}

#[test]
fn release_starts_a_fifth_early_where_that_is_less_than_50_ms() {
    assert_eq!(release_lead(MS(5_000)), MS(50));
    assert_eq!(release_lead(MS(250)), MS(50));
    assert_eq!(release_lead(MS(100)), MS(20));
    assert_eq!(release_start(MS(100)), MS(80));
}

#[test]
fn waits_round_up_and_never_wrap() {
    assert_eq!(with_drift(Span::from_us(1)), Span::from_us(2));
    assert!(with_drift(Span::from_us(u64::MAX)).as_us() >= u64::MAX / 100);
    assert_eq!(line_time(64, 9_600), Span::from_us(66_667));
    assert!(line_time(64, 0) > Span::from_s(600));
    assert_eq!(line_load_permille(MS(25), MS(50)), 500);
    assert!(line_load_permille(MS(25), Span::ZERO) > 1_000);
}

#[test]
fn a_holder_can_hurry_with_every_preset_and_not_beside_a_long_dead_after() {
    for (interval, late, dead, expected) in [
        (1_000, 3_000, 5_000, true),
        (250, 750, 1_500, true),
        (50, 150, 250, true),
        (100, 300, 500, true),
        (100, 300, 2_000, false),
        (100, 200, 500, false),
    ] {
        let policy = policy(&[(PathKind::Serial, [interval, late, dead])], 1, &[]);
        assert_eq!(is_haste_in_time(&policy), expected, "{interval} {late} {dead}");
    }
}

#[test]
fn no_paths_and_no_groups_are_no_panic() {
    let proof = Proof::new(&policy(&[], 1, &[]), &[], Span::ZERO);
    assert_eq!(proof.slowest_release(), Span::ZERO);
}
