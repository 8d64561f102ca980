//! Which children have ended: scripts, the fence, the operator's program, the agent.

use crosswire::custody::{Action, End, Event};
use crosswire::pair::GroupId;
use nix::sys::wait::WaitPidFlag;

use super::hear::MAX_LAST_WORDS;
use super::state::Guard;
use crate::guard::scripts::run::{Run, how_ended};
use crate::ipc::FromGuard;
use crate::operator::words::ScriptEnd;

impl Guard<'_> {
    /// Sees which scripts have ended. They are looked at before they are reaped: until then the id of their
    /// process group is theirs, and what is left of the group can be killed.
    pub(super) fn reap_scripts(&mut self) {
        let fence = self.fence.run().map(Run::pid);
        if let Some((pid, how)) = fence.and_then(|pid| Some((pid, how_ended(pid, WaitPidFlag::WNOWAIT)?))) {
            self.fence_ended(Some(how));
            how_ended(pid, WaitPidFlag::empty());
        }
        let notice = self.notifier.run.as_ref().map(Run::pid);
        if let Some((pid, how)) = notice.and_then(|pid| Some((pid, how_ended(pid, WaitPidFlag::WNOWAIT)?))) {
            self.notifier.ended(self.settings, Some((pid, how)));
        }
        for index in 0..self.resources.len() {
            let Some(own) = self.resources.get_mut(index) else { continue };
            if let Some(end) = own.check.as_mut().and_then(|(_, run)| run.reap()) {
                self.check_ended(index, end);
            }
            let Some(own) = self.resources.get_mut(index) else { continue };
            let Some(end) = own.run.as_mut().and_then(Run::reap) else { continue };
            let Some(run) = own.run.take() else { continue };
            self.note_failure(index, &run);
            self.lingering.keep(run.into_output());
            self.script_ended(index, end);
        }
    }

    /// The agent has to know how a script failed before it hears what follows from it.
    pub(super) fn note_failure(&mut self, index: usize, run: &Run) {
        if let (Some((action, end)), Ok(id), Some(own)) =
            (run.failure(), u8::try_from(index), self.resources.get(index))
        {
            self.tell_failure(GroupId(id), (own.script, action), end);
        }
    }

    pub(super) fn tell_failure(&mut self, group: GroupId, (script, action): (u8, Action), end: ScriptEnd) {
        let is_stop = action == Action::Stop;
        self.tell(&FromGuard::ScriptFailed { group, script, is_stop, end: end.0 }, None);
    }

    pub(super) fn script_ended(&mut self, index: usize, end: End) {
        if let Ok(id) = u8::try_from(index) {
            self.marker.note_run(GroupId(id), None);
            self.hand_in(Event::ScriptEnded(GroupId(id), end));
        }
    }

    pub(super) fn reap_agent(&mut self) {
        if self.agent.has_ended() {
            self.hear_agent(MAX_LAST_WORDS);
            self.hand_in(Event::AgentReaped);
        }
    }
}
