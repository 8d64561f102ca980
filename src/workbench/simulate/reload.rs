//! Another file for a daemon that runs: read anew, or by a program that is executed in the daemon's place.

use crosswire::custody::{Custody, Event};
use crosswire::pair::Side;
use crosswire::quorum::succession::Differences;
use crosswire::quorum::timing;
use crosswire::time::{Instant, Span};

use super::guard::Started;
use super::world::{What, World};

/// How long it takes at most until the program that was executed goes on.
const EXECUTION_TAKES: Span = Span::from_ms(100);
/// The lease has to last so many times as long.
const MARGIN: u64 = 3;

impl World {
    /// Reads the configuration anew. That is refused if a change needs a restart, or if custody says that it
    /// is not the time.
    pub(super) fn reload(&mut self, side: Side) {
        let Some(new) = self.other_file(side) else { return };
        self.hear_said(side);
        let guard = self.boxes[side.index()].guard.as_ref();
        if guard.is_some_and(|guard| guard.is_free_to_reload()) {
            self.go_on_with(side, new);
        }
    }

    /// What the box has been given for its daemon; none if that needs a restart.
    fn other_file(&self, side: Side) -> Option<Started> {
        let gateway = &self.boxes[side.index()];
        let (old, new) = (gateway.started_with, (gateway.key, gateway.pair, gateway.digest));
        let is_petted_too_seldom = self.setup.watchdog.is_some()
            && timing::is_petted_too_seldom(self.setup.file(old.2), self.setup.file(new.2));
        let may_run_on = old.1 == new.1 && self.setup.have_same_groups(old.2, new.2) && !is_petted_too_seldom;
        (gateway.does_guard_work() && may_run_on).then_some(new)
    }

    fn go_on_with(&mut self, side: Side, new: Started) {
        let gateway = &mut self.boxes[side.index()];
        let (before, after) = (self.setup.file(gateway.started_with.2), self.setup.file(new.2));
        let differences = Differences {
            has_other_witnesses: before.witnesses != after.witnesses,
            has_other_vote: before.has_vote != after.has_vote,
            ..Differences::default()
        };
        gateway.guard.iter_mut().for_each(|guard| guard.differences.add(differences.clone()));
        gateway.started_with = new;
        let plan = self.setup.custody_plan(new.2);
        self.guard_hears(side, Event::Reloaded(&plan));
        self.guard_turn(side);
    }

    /// Begins to execute the daemon anew, at rest: the agent is dismissed as by a reload. The rehearsal is
    /// over.
    pub(super) fn upgrade(&mut self, side: Side) {
        let Some(new) = self.other_file(side) else { return };
        self.hear_said(side);
        let gateway = &mut self.boxes[side.index()];
        let (old, local) = (gateway.started_with, gateway.clock.local(self.now));
        let needs = EXECUTION_TAKES.fraction(MARGIN, 1) + self.setup.file(old.2).longest_late_after();
        let does_a_script_run = gateway.running.iter().any(Option::is_some);
        let guard = gateway.guard.as_mut().filter(|guard| guard.is_free_to_reload() && !does_a_script_run);
        let Some(guard) = guard.filter(|guard| !guard.deposit.is_empty()) else { return };
        if guard.custody.is_at_rest(local) && guard.custody.all_held_until() >= local + needs {
            guard.upgrade = Some(new);
            let plan = self.setup.custody_plan(old.2);
            self.guard_hears(side, Event::Reloaded(&plan));
            self.guard_turn(side);
        }
    }

    /// Where another agent would be started: executes the program, if there is an upgrade on its way.
    pub(super) fn execute_upgrade(&mut self, side: Side) -> bool {
        let Some(guard) = &mut self.boxes[side.index()].guard else { return false };
        let Some(new) = guard.upgrade.take() else { return false };
        let takes = Span::from_us(self.chance.below(EXECUTION_TAKES.as_us() + 1));
        (guard.execution, guard.is_agent_there) = (Some((new, self.now + takes)), false);
        let run = guard.run;
        self.schedule(takes, side, run, What::GuardTurn);
        true
    }

    /// If the daemon was executed anew by now, it goes on with what it was handed.
    pub(super) fn end_execution(&mut self, side: Side) {
        let now = self.now;
        let gateway = &mut self.boxes[side.index()];
        let (old, local) = (gateway.started_with, gateway.clock.local(now));
        let Some(guard) = &mut gateway.guard else { return };
        let Some((ordered, _)) = guard.execution.take_if(|(_, until)| now >= *until) else { return };
        let legacy = guard.custody.legacy();
        guard.custody = Custody::new(self.setup.custody_plan(old.2), local);
        guard.custody.take_over(local, &legacy, &legacy.groups);
        guard.wakes_at.1 = Instant::NEVER;
        self.arm_watchdog(side);
        // The program reads its files when it begins, and not when it was ordered.
        let new = self.other_file(side).unwrap_or(ordered);
        self.go_on_with(side, new);
    }
}
