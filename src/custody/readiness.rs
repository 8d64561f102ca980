//! The checks of a group that is not held here: is this node ready for it? They change nothing, so that they
//! run beside everything else, and nobody waits for them.

use heapless::Vec;

use super::MAX_SCRIPTS;
use super::monitors::MonitorPlan;
use crate::resource::Condition;
use crate::time::Instant;

/// One check.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Check {
    plan: MonitorPlan,
    due: Instant,
    /// Failures in a row.
    failed: u8,
}

/// All checks of one group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    checks: Vec<Check, MAX_SCRIPTS>,
    /// Where they begin in the group's list: behind its scripts.
    first: u8,
    /// They are looked at, since nothing of the group is held here.
    is_on: bool,
    /// What the agent was told last.
    told: Condition,
}

impl Readiness {
    /// These checks of a group with so many scripts. Nothing is due before [`Readiness::follow`].
    pub fn new(plans: impl IntoIterator<Item = MonitorPlan>, scripts: usize) -> Self {
        let check = |plan| Check { plan, due: Instant::NEVER, failed: 0 };
        Self {
            checks: plans.into_iter().take(MAX_SCRIPTS).map(check).collect(),
            first: u8::try_from(scripts).unwrap_or(u8::MAX),
            ..Self::default()
        }
    }

    /// Notes whether the group is free here. What has just become free is checked at once, and nothing of
    /// before counts.
    pub fn follow(&mut self, now: Instant, is_free: bool) {
        if is_free == self.is_on {
            return;
        }
        self.is_on = is_free;
        self.told = Condition::Well;
        for check in &mut self.checks {
            (check.due, check.failed) = (if is_free { now } else { Instant::NEVER }, 0);
        }
    }

    /// Nothing of the group is held here, as far as was told.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// When the next look is due.
    pub fn due(&self) -> Instant {
        self.checks.iter().map(|check| check.due).min().unwrap_or(Instant::NEVER)
    }

    /// The check to run now.
    pub fn next(&self, now: Instant) -> Option<u8> {
        let (index, check) = (0_u8..).zip(&self.checks).min_by_key(|(_, check)| check.due)?;
        (now >= check.due).then_some(index)
    }

    /// Puts off all looks: what is due comes an interval later.
    pub fn put_off(&mut self, now: Instant) {
        for check in self.checks.iter_mut().filter(|check| now >= check.due) {
            check.due = now + check.plan.every;
        }
    }

    /// A look is over.
    pub fn looked(&mut self, now: Instant, index: u8, is_well: bool) {
        let Some(check) = self.checks.get_mut(usize::from(index)).filter(|_| self.is_on) else { return };
        check.due = now + check.plan.every;
        check.failed = if is_well { 0 } else { check.failed.saturating_add(1) };
    }

    /// A check has failed as often in a row as it may.
    pub fn is_failing(&self, index: u8) -> bool {
        let check = self.checks.get(usize::from(index));
        check.is_some_and(|check| check.failed >= check.plan.failures)
    }

    /// Where a check stands in the group's list.
    pub fn place(&self, index: u8) -> u8 {
        self.first.saturating_add(index)
    }

    /// Whether the node is ready: the first check that fails, if one does.
    pub fn condition(&self) -> Condition {
        let failing = (0_u8..).take(self.checks.len()).find(|index| self.is_failing(*index));
        failing.map_or(Condition::Well, |index| Condition::Unready(self.place(index)))
    }

    /// What the agent has to be told, once.
    pub fn take_news(&mut self) -> Option<Condition> {
        let condition = self.condition();
        let is_news = core::mem::replace(&mut self.told, condition) != condition;
        is_news.then_some(condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    fn at(s: u64) -> Instant {
        Instant::from_us(1_000_000) + Span::from_s(s)
    }

    /// Two checks behind three scripts: one failure, two failures.
    fn checks() -> Readiness {
        let plan = |failures| MonitorPlan {
            every: Span::from_s(10),
            timeout: Span::from_s(1),
            failures,
            restarts: 0,
        };
        Readiness::new([plan(1), plan(2)], 3)
    }

    #[test]
    fn what_becomes_free_is_checked_at_once_and_then_in_its_interval() {
        let mut checks = checks();
        assert_eq!(
            (checks.due(), checks.next(at(0))),
            (Instant::NEVER, None),
            "nobody knows whether it is free"
        );
        checks.follow(at(0), true);
        assert_eq!(checks.next(at(0)), Some(0));
        checks.looked(at(1), 0, true);
        assert_eq!(checks.next(at(1)), Some(1));
        checks.looked(at(2), 1, true);
        assert_eq!((checks.due(), checks.next(at(10))), (at(11), None));
        checks.put_off(at(11));
        assert_eq!(checks.due(), at(12));
    }

    #[test]
    fn the_first_that_fails_often_enough_is_named_until_it_succeeds() {
        let mut checks = checks();
        checks.follow(at(0), true);
        checks.looked(at(0), 1, false);
        assert_eq!(checks.take_news(), None, "it may fail once");
        checks.looked(at(0), 1, false);
        assert_eq!((checks.take_news(), checks.take_news()), (Some(Condition::Unready(4)), None));
        checks.looked(at(0), 0, false);
        assert_eq!(checks.take_news(), Some(Condition::Unready(3)));
        checks.looked(at(0), 0, true);
        assert_eq!(checks.take_news(), Some(Condition::Unready(4)), "the other one fails still");
        checks.looked(at(0), 1, true);
        assert_eq!(checks.take_news(), Some(Condition::Well));
    }

    #[test]
    fn what_is_held_is_not_checked_and_what_is_let_go_begins_anew() {
        let mut checks = checks();
        checks.follow(at(0), true);
        checks.looked(at(0), 0, false);
        assert_eq!(checks.take_news(), Some(Condition::Unready(3)));
        checks.follow(at(1), false);
        checks.looked(at(1), 0, false);
        assert_eq!((checks.condition(), checks.due()), (Condition::Well, Instant::NEVER));
        assert_eq!(checks.take_news(), None, "the agent has forgotten it with the role");
        checks.follow(at(2), true);
        checks.looked(at(2), 0, false);
        assert_eq!(checks.take_news(), Some(Condition::Unready(3)), "told again");
    }
}
