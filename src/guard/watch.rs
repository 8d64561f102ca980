//! Looking at the scripts that run, and what comes of it. A look is a process like any other: nobody waits for it, and one
//! that hangs is killed with its group.

use crosswire::config::GroupId;
use log::warn;

use super::duty::Reason;
use super::group::{Action, End};
use super::turns::Guard;
use super::wire::FromGuard;
use crate::clock::now;

impl Guard<'_> {
    /// A script's process has ended, or is given up.
    pub(super) fn script_ended(&mut self, index: usize, end: End) {
        let action = self.duties.get(index).and_then(|duty| duty.group.running_action());
        if let Some(action) = action {
            self.note_script_end(index, action, end);
        }
        self.advance(index);
    }

    /// What the end of a script means for its group and for those who watch it.
    pub(super) fn note_script_end(&mut self, index: usize, action: Action, end: End) {
        let is_exclusive = self.settings.policy.groups.get(index).is_some_and(|policy| policy.is_exclusive);
        let Some(duty) = self.duties.get_mut(index) else { return };
        let was_serving = duty.group.is_serving();
        // What only one box may have is not let go on a script's word that there was nothing to stop.
        let taken = if is_exclusive && end == End::Refused { End::Unknown } else { end };
        let script = duty.group.script_ended(taken);
        if !was_serving {
            return;
        }
        let now = now();
        match action {
            Action::Monitor => {
                if let Some(script) = script.and_then(|script| duty.watches.looked(now, script, end == End::Done)) {
                    self.restart(index, script);
                }
            }
            Action::Start if duty.group.is_halted() => duty.watches.start_failed(now, script.unwrap_or_default()),
            Action::Start if duty.group.may_be_watched() => duty.watches.begin(now),
            Action::Stop if duty.group.is_stuck() => duty.watches.stop_failed(),
            Action::Start | Action::Stop => {}
        }
        self.tell_news(index);
    }

    fn restart(&mut self, index: usize, script: usize) {
        let (Some(duty), Some(group)) = (self.duties.get_mut(index), self.settings.groups.get(index)) else { return };
        let label = duty.scripts.get(script).map_or("?", |script| script.label());
        warn!("group {}: {label} is started again", group.name);
        duty.reason = Reason::Restart;
        duty.group.restart(script);
    }

    /// Looks at the script whose turn it is, or goes on with a restart that did not come to its end.
    pub(super) fn look_if_due(&mut self, index: usize) {
        let (Some(duty), Some(group)) = (self.duties.get_mut(index), self.settings.groups.get(index)) else { return };
        if !duty.group.may_be_watched() || now() < duty.watches.due() {
            return;
        }
        if self.is_hands_off {
            return duty.watches.put_off(now());
        }
        if duty.group.is_halted() {
            let script = duty.watches.retry(now());
            self.restart(index, script);
            self.tell_news(index);
            return self.advance(index);
        }
        let Some(script) = duty.watches.next(now()) else { return };
        duty.group.look_began(script);
        if !duty.start_script(self.settings, group, (Action::Monitor, script), now()) {
            self.script_ended(index, End::Unknown);
        }
    }

    /// The operator wants nothing changed, or not any longer.
    pub(super) fn keep_hands_off(&mut self, is_on: bool) {
        self.is_hands_off = is_on;
    }

    fn tell_news(&mut self, index: usize) {
        let news = self.duties.get_mut(index).and_then(|duty| duty.watches.take_news());
        if let (Some(condition), Ok(group)) = (news, u8::try_from(index)) {
            self.tell(&FromGuard::Scripts { group: GroupId(group), condition }, None);
        }
    }

    /// What an agent has to know that was not there when it was said.
    pub(super) fn tell_conditions(&mut self) {
        let conditions: Vec<_> = self.duties.iter().map(|duty| duty.watches.condition()).collect();
        for (group, condition) in (0u8..).map(GroupId).zip(conditions) {
            self.tell(&FromGuard::Scripts { group, condition }, None);
        }
    }
}
