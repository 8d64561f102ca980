//! How the scripts of one group are watched while they run: when each is looked at, and what a failure leads
//! to.
//!
//! A script that has failed as often in a row as it may is started again here, with those to its right, since
//! they were started after it. When it has used up its restarts, the group is unfit: the agent hands it to a
//! healthy peer. If there is none, the script is tried again and again, an interval apart, and the addresses
//! stay.

use heapless::Vec;

use super::MAX_SCRIPTS;
use crate::resource::Condition;
use crate::time::{Instant, Span};

/// If a script has run this long since its last restart, it has all its restarts again.
const FORGET_AFTER: Span = Span::from_s(3_600);

/// How a script is watched while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MonitorPlan {
    /// How long after one look the next one begins.
    pub every: Span,
    /// Longest that a look may take: one that hangs is a failure.
    pub timeout: Span,
    /// How many failures in a row it takes until something is done.
    pub failures: u8,
    /// How often it is started again here before the peer should have it.
    pub restarts: u8,
}

/// One script that is watched.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Watched {
    script: u8,
    plan: MonitorPlan,
    due: Instant,
    /// Failures in a row.
    failed: u8,
    restarts: u8,
    restarted_at: Instant,
}

/// How long after a failed restart a script is tried again that is not watched.
const RETRY_AFTER: Span = Span::from_s(10);

/// All watched scripts of one group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Monitors {
    list: Vec<Watched, MAX_SCRIPTS>,
    /// When a restart that did not come to its end is tried again.
    retry_at: Instant,
    condition: Condition,
    /// What the agent was told last.
    told: Condition,
}

impl Monitors {
    /// Nothing is due before [`Monitors::begin`].
    pub fn new(plans: &[Option<MonitorPlan>]) -> Self {
        let watch = |(script, plan)| Watched {
            script,
            plan,
            due: Instant::NEVER,
            failed: 0,
            restarts: 0,
            restarted_at: Instant::ORIGIN,
        };
        let planned = (0u8..).zip(plans).filter_map(|(index, plan)| Some((index, (*plan)?)));
        Self {
            list: planned.take(MAX_SCRIPTS).map(watch).collect(),
            retry_at: Instant::NEVER,
            condition: Condition::Well,
            told: Condition::Well,
        }
    }

    /// A new reign: nothing of the last one counts.
    pub fn reset(&mut self) {
        for watch in &mut self.list {
            (watch.due, watch.failed, watch.restarts) = (Instant::NEVER, 0, 0);
            watch.restarted_at = Instant::ORIGIN;
        }
        self.retry_at = Instant::NEVER;
        (self.condition, self.told) = (Condition::Well, Condition::Well);
    }

    /// Takes other scripts, which have yet to begin.
    pub fn change(&mut self, plans: &[Option<MonitorPlan>]) {
        *self = Self { told: self.told, ..Self::new(plans) };
    }

    /// All scripts have been started, for the first time or again: each is looked at an interval from now.
    pub fn begin(&mut self, now: Instant) {
        for watch in &mut self.list {
            (watch.due, watch.failed) = (now + watch.plan.every, 0);
        }
        self.retry_at = Instant::NEVER;
        if self.culprit().is_some_and(|culprit| self.watch(culprit).is_none()) {
            self.condition = Condition::Well;
        }
    }

    /// When the next look is due.
    pub fn due(&self) -> Instant {
        self.list.iter().map(|watch| watch.due).min().unwrap_or(Instant::NEVER).min(self.retry_at)
    }

    /// The script to look at now.
    pub fn next(&self, now: Instant) -> Option<u8> {
        let first = self.list.iter().min_by_key(|watch| watch.due)?;
        (now >= first.due).then_some(first.script)
    }

    /// Puts off all looks: what is due comes an interval later.
    pub fn put_off(&mut self, now: Instant) {
        for watch in self.list.iter_mut().filter(|watch| now >= watch.due) {
            watch.due = now + watch.plan.every;
        }
        if now >= self.retry_at {
            self.retry_at = now + RETRY_AFTER;
        }
    }

    /// A look is over. Returns the script that has to be started again.
    pub fn looked(&mut self, now: Instant, script: u8, is_well: bool) -> Option<u8> {
        let watch = self.list.iter_mut().find(|watch| watch.script == script)?;
        watch.due = now + watch.plan.every;
        if !is_well {
            watch.failed = watch.failed.saturating_add(1);
            return if watch.failed < watch.plan.failures { None } else { self.fail(now, script) };
        }
        watch.failed = 0;
        if now.since(watch.restarted_at) >= FORGET_AFTER {
            watch.restarts = 0;
        }
        if self.culprit() == Some(script) {
            self.condition = Condition::Well;
        }
        None
    }

    /// A script did not start again: the next try is an interval away.
    pub fn start_failed(&mut self, now: Instant, script: u8) {
        let culprit = self.culprit().unwrap_or(script);
        let watch = self.watch(culprit);
        let is_used_up = watch.is_none_or(|watch| watch.restarts >= watch.plan.restarts);
        self.retry_at = now + watch.map_or(RETRY_AFTER, |watch| watch.plan.every);
        if is_used_up {
            self.condition = Condition::Unfit(culprit);
        } else if self.condition == Condition::Well {
            self.condition = Condition::Restarting(culprit);
        }
        self.list.iter_mut().for_each(|watch| watch.due = Instant::NEVER);
    }

    /// A restart that did not come to its end has to be tried again; returns the script from which on.
    pub fn retry(&mut self, now: Instant) -> u8 {
        self.retry_at = Instant::NEVER;
        let culprit = self.culprit().unwrap_or_default();
        self.fail(now, culprit).unwrap_or(culprit)
    }

    /// A script did not stop.
    pub fn stop_failed(&mut self) {
        self.condition = Condition::Stuck(self.culprit().unwrap_or_default());
    }

    /// It has failed as often as it may. If its restarts are used up, the agent hears of it first, and has
    /// until the next failure to hand over.
    fn fail(&mut self, now: Instant, script: u8) -> Option<u8> {
        let is_unfit = matches!(self.condition, Condition::Unfit(_));
        let watch = self.list.iter_mut().find(|watch| watch.script == script)?;
        watch.failed = 0;
        if watch.restarts >= watch.plan.restarts && !is_unfit {
            self.condition = Condition::Unfit(watch.script);
            return None;
        }
        (watch.restarts, watch.restarted_at) = (watch.restarts.saturating_add(1), now);
        if !is_unfit {
            self.condition = Condition::Restarting(watch.script);
        }
        Some(script)
    }

    /// What the agent has to be told, once.
    pub fn take_news(&mut self) -> Option<Condition> {
        let is_news = core::mem::replace(&mut self.told, self.condition) != self.condition;
        is_news.then_some(self.condition)
    }

    /// How the scripts are.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    fn watch(&self, script: u8) -> Option<&Watched> {
        self.list.iter().find(|watch| watch.script == script)
    }

    /// The script that is not well.
    fn culprit(&self) -> Option<u8> {
        match self.condition {
            Condition::Well => None,
            Condition::Restarting(script)
            | Condition::Unfit(script)
            | Condition::Stuck(script)
            | Condition::Unready(script) => Some(script),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_us(1_000_000) + Span::from_s(s)
    }

    /// Three scripts, of which the first and the last are watched: two failures, one restart.
    fn watches() -> Monitors {
        let plan =
            |s| MonitorPlan { every: Span::from_s(s), timeout: Span::from_s(1), failures: 2, restarts: 1 };
        let mut watches = Monitors::new(&[Some(plan(10)), None, Some(plan(3))]);
        assert_eq!(watches.due(), Instant::NEVER, "nothing runs yet");
        watches.begin(at(0));
        watches
    }

    #[test]
    fn each_is_looked_at_in_its_own_interval() {
        let mut watches = watches();
        assert_eq!((watches.next(at(2)), watches.next(at(3))), (None, Some(2)));
        assert_eq!(watches.looked(at(4), 2, true), None);
        assert_eq!(watches.due(), at(7), "an interval after the last look has ended");
        watches.put_off(at(7));
        assert_eq!(watches.due(), at(10));
        assert_eq!(watches.next(at(10)), Some(0), "the one that is due longest, or comes first");
    }

    #[test]
    fn failures_in_a_row_lead_to_a_restart_and_then_to_the_peer() {
        let mut watches = watches();
        for (is_well, expected) in [(false, None), (true, None), (false, None), (false, Some(2))] {
            assert_eq!(watches.looked(at(3), 2, is_well), expected);
        }
        assert_eq!(watches.take_news(), Some(Condition::Restarting(2)));
        watches.begin(at(5));
        assert_eq!(watches.looked(at(8), 0, true), None);
        assert_eq!(watches.take_news(), None, "another script says nothing of this one");
        watches.looked(at(8), 2, false);
        assert_eq!(watches.looked(at(11), 2, false), None, "the agent hears of it first");
        assert_eq!((watches.take_news(), watches.take_news()), (Some(Condition::Unfit(2)), None));
        watches.looked(at(14), 2, false);
        assert_eq!(watches.looked(at(17), 2, false), Some(2), "nobody took it: tried on here");
        assert_eq!(watches.condition(), Condition::Unfit(2));
        watches.begin(at(18));
        watches.looked(at(21), 2, true);
        assert_eq!(watches.take_news(), Some(Condition::Well));
    }

    #[test]
    fn who_does_not_start_again_is_tried_an_interval_later() {
        let mut watches = watches();
        watches.looked(at(3), 2, false);
        assert_eq!(watches.looked(at(6), 2, false), Some(2));
        watches.start_failed(at(7), 2);
        assert_eq!(
            (watches.condition(), watches.due()),
            (Condition::Unfit(2), at(10)),
            "its only restart is used up"
        );
        assert_eq!((watches.retry(at(10)), watches.due()), (2, Instant::NEVER));
        watches.stop_failed();
        assert_eq!(watches.take_news(), Some(Condition::Stuck(2)));
    }

    #[test]
    fn a_restart_of_long_ago_is_forgotten() {
        let mut watches = watches();
        watches.looked(at(3), 2, false);
        watches.looked(at(6), 2, false);
        watches.looked(at(9), 2, true);
        watches.looked(at(3_606), 2, true);
        watches.looked(at(3_609), 2, false);
        assert_eq!(watches.looked(at(3_612), 2, false), Some(2));
    }
}
