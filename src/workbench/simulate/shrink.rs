//! Makes a failing schedule small: the fewest faults, the roundest times, that break the same invariant.

use crosswire::time::Span;

use super::schedule::Schedule;

/// The smallest schedule that was found, or nothing if this one does not fail.
pub fn shrink(schedule: &Schedule) -> Option<Schedule> {
    let rule = schedule.run().violation?.rule;
    let fails =
        |candidate: &Schedule| candidate.run().violation.is_some_and(|violation| violation.rule == rule);
    let mut best = schedule.clone();
    loop {
        let before = best.clone();
        drop_faults(&mut best, &fails);
        round_times(&mut best, &fails);
        if best == before {
            return Some(best);
        }
    }
}

/// Delta debugging: halves first, then ever smaller parts.
fn drop_faults(best: &mut Schedule, fails: &impl Fn(&Schedule) -> bool) {
    let mut size = best.faults.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        while from < best.faults.len() {
            let until = (from + size).min(best.faults.len());
            if let Some(smaller) =
                [true, false].into_iter().map(|keeps_time| without(best, from, until, keeps_time)).find(fails)
            {
                *best = smaller;
            } else {
                from = until;
            }
        }
        if size == 1 {
            return;
        }
        size = size.div_ceil(2);
    }
}

/// Without these faults; what comes later keeps its time, or moves up.
fn without(schedule: &Schedule, from: usize, until: usize, keeps_time: bool) -> Schedule {
    let mut smaller = schedule.clone();
    let gone = smaller.faults.drain(from..until).fold(Span::ZERO, |sum, (gap, _)| sum + gap);
    if keeps_time {
        match smaller.faults.get_mut(from) {
            Some((gap, _)) => *gap = *gap + gone,
            None => smaller.heal_after = smaller.heal_after + gone,
        }
    }
    smaller
}

fn round_times(best: &mut Schedule, fails: &impl Fn(&Schedule) -> bool) {
    for index in 0..best.faults.len() {
        for grain in [Span::from_ms(100), Span::from_ms(10), Span::from_ms(1)] {
            let mut rounder = best.clone();
            if let Some((gap, _)) = rounder.faults.get_mut(index) {
                *gap = Span::from_us(gap.as_us() / grain.as_us() * grain.as_us());
            }
            if rounder != *best && fails(&rounder) {
                *best = rounder;
                break;
            }
        }
    }
}
