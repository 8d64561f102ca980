//! Runs the checks of groups that are not held here, and tells the agent whether this node is ready for them.

use crosswire::custody::{Action, End, HeldGroup, Phase, Reason};
use crosswire::pair::GroupId;
use crosswire::time::Instant;

use super::state::Guard;
use crate::clock::now;
use crate::ipc::FromGuard;
use crate::operator::words::ScriptEnd;

impl Guard<'_> {
    /// Runs what is due, ends what has taken too long, and tells what is new.
    pub(super) fn tend_checks(&mut self, now: Instant) {
        let may_check = !self.settings.is_shadow() && self.custody.phase() == Phase::Running;
        for (index, id) in (0..self.resources.len()).zip((0u8..).map(GroupId)) {
            let is_free = may_check && self.custody.group(id).is_some_and(HeldGroup::is_clean);
            let Some(own) = self.resources.get_mut(index) else { continue };
            own.readiness.follow(now, is_free);
            if !is_free {
                own.drop_check();
            }
            if own.check.as_mut().is_some_and(|(_, run)| !run.pass_deadline(now)) {
                self.check_ended(index, End::Unknown);
            }
            self.start_check(now, index, id);
            self.tell_readiness(index, id);
        }
    }

    fn start_check(&mut self, now: Instant, index: usize, id: GroupId) {
        let is_hands_off = self.custody.is_hands_off();
        let term = self.custody.term(id);
        let (Some(own), Some(group)) = (self.resources.get_mut(index), self.settings.groups.get(index))
        else {
            return;
        };
        if is_hands_off {
            return own.readiness.put_off(now);
        }
        let Some(check) = own.readiness.next(now).filter(|_| own.check.is_none()) else { return };
        let Some(script) = group.ready.get(usize::from(check)) else { return };
        let place = own.readiness.place(check);
        let what = (Action::Monitor, Reason::Monitor);
        match own.run(self.settings, group, (place, script), what, term, now) {
            Ok(mut run) => {
                run.hush(own.readiness.is_failing(check));
                own.check = Some((check, run));
            }
            Err(errno) => {
                own.readiness.looked(now, check, false);
                self.tell_failure(id, (place, Action::Monitor), ScriptEnd::not_run(errno));
            }
        }
    }

    /// A check is over: its process has ended, or cannot be ended.
    pub(super) fn check_ended(&mut self, index: usize, end: End) {
        let Some(own) = self.resources.get_mut(index) else { return };
        let Some((check, run)) = own.check.take() else { return };
        let place = own.readiness.place(check);
        let is_wanted = own.readiness.is_on();
        own.readiness.looked(now(), check, end == End::Done);
        if let (Some((action, end)), Ok(id), true) = (run.failure(), u8::try_from(index), is_wanted) {
            self.tell_failure(GroupId(id), (place, action), end);
        }
        self.lingering.keep(run.into_output());
    }

    fn tell_readiness(&mut self, index: usize, group: GroupId) {
        let news = self.resources.get_mut(index).and_then(|own| own.readiness.take_news());
        if let Some(condition) = news {
            self.tell(&FromGuard::Scripts { group, condition }, None);
        }
    }
}
