//! One group as the guard holds it: what is to be done next, and what the agent is owed.
//!
//! What [`HeldGroup::next`] says is done one step at a time, and the group is told how it went. Answers for
//! the agent pile up in [`HeldGroup::take_reports`]. Scripts start from left to right and stop in reverse,
//! one at a time. The first of them may come before the addresses; those stop after the addresses are gone.

use heapless::Vec;

use super::event::{Action, End, MAX_REPORTS, MAX_WAITING};
use super::script_set::ScriptSet;
use crate::quorum::succession::Stage;
use crate::resource::{Fault, Outcome, ReleaseOrder, Token};

/// Answers for the agent: to which order, and what.
pub type Reports = Vec<(Token, Outcome), MAX_REPORTS>;

/// The next step of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing until an order comes or a script ends.
    Wait,
    /// Run the script of this index. Then call [`HeldGroup::script_began`], and once it ended
    /// [`HeldGroup::script_ended`].
    Run(Action, u8),
    /// Cut short the script that is starting, or being looked at; its end comes as usual.
    Interrupt,
    /// Take the addresses away and confirm it. Then call [`HeldGroup::addresses_removed`].
    RemoveAddresses,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goal {
    Free,
    Serve,
    LetGo(ReleaseOrder),
}

/// A release that waits for its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Waiting {
    token: Token,
    first: ReleaseOrder,
    knows_addresses_gone: bool,
}

/// One group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldGroup {
    scripts: u8,
    /// How many of them start before the addresses come.
    before: u8,
    goal: Goal,
    /// The kernel has the addresses, as far as we know.
    is_held: bool,
    /// Scripts before this index were started, and not all of them successfully.
    started: u8,
    running: Option<(Action, u8)>,
    /// During a restart: the scripts are stopped down to this one, then started again.
    stop_to: Option<u8>,
    /// A script did not start again: the rest waits for the next restart.
    is_halted: bool,
    failed_start: Option<u8>,
    /// The script that said that it did not start, until it is stopped: it may well have nothing to stop.
    unstarted: Option<u8>,
    /// Scripts that did not stop, of earlier releases too: nobody knows what they still do.
    stuck: ScriptSet,
    /// Scripts that did not stop in an earlier release, and that this release has yet to stop.
    again: ScriptSet,
    acquire: Option<Token>,
    /// Why the addresses did not come, although the scripts before them run.
    not_held: Option<Fault>,
    releases: Vec<Waiting, MAX_WAITING>,
    address_fault: Option<Fault>,
    /// An earlier release could not take the addresses away.
    has_left_addresses: bool,
    /// The newest release that was ordered. If it comes again, it was only not answered yet.
    newest_release: Option<Token>,
    reports: Reports,
}

impl HeldGroup {
    /// A free group with this many scripts, of which so many start before the addresses come.
    pub fn new(scripts: u8, before: u8) -> Self {
        Self {
            scripts,
            before,
            goal: Goal::Free,
            is_held: false,
            started: 0,
            running: None,
            stop_to: None,
            is_halted: false,
            failed_start: None,
            unstarted: None,
            stuck: ScriptSet::EMPTY,
            again: ScriptSet::EMPTY,
            acquire: None,
            not_held: None,
            releases: Vec::new(),
            address_fault: None,
            has_left_addresses: false,
            newest_release: None,
            reports: Vec::new(),
        }
    }

    /// Takes over what an earlier run of the daemon has started and, as far as is known, not stopped. Nothing
    /// else is done before that was stopped.
    pub fn inherit(&mut self, started: ScriptSet) {
        self.stuck = started;
    }

    /// Takes over a group that serves, with all its scripts, from another run of the guard.
    pub fn take_over(&mut self) {
        (self.goal, self.is_held, self.started) = (Goal::Serve, true, self.scripts);
    }

    /// Nothing is held, nothing runs, nobody waits.
    pub fn is_free(&self) -> bool {
        self.goal == Goal::Free
    }

    /// A script did not stop. A release has to stop it before the group may be taken.
    pub fn is_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// Free, and nothing is left of an earlier reign: no script that did not stop, no address that stayed.
    pub fn is_clean(&self) -> bool {
        self.is_free() && !self.is_stuck() && !self.has_left_addresses
    }

    /// The scripts that may run at present: those that were started, and those whose state nobody knows.
    pub fn may_run(&self) -> ScriptSet {
        let mut scripts = self.stuck.with(self.again);
        (0..self.started).for_each(|script| scripts.insert(script));
        if let Some((Action::Stop, script)) = self.running {
            scripts.insert(script);
        }
        scripts
    }

    /// The addresses are ours to renew, also while scripts start or stop.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Held, and not on its way out, so that it is announced.
    pub fn is_serving(&self) -> bool {
        self.is_held && self.goal == Goal::Serve
    }

    /// It serves, and no script starts or stops, so that the scripts may be looked at.
    pub fn may_be_watched(&self) -> bool {
        let is_complete = self.started == self.scripts || self.is_halted;
        let is_busy = self.running.is_some() || self.acquire.is_some() || self.stop_to.is_some();
        self.is_serving() && !is_busy && is_complete
    }

    /// A script did not start again; nothing goes on before another [`HeldGroup::restart`].
    pub fn is_halted(&self) -> bool {
        self.is_halted
    }

    /// Stops this script and those to its right, which may need it, then starts them again. The addresses
    /// stay.
    pub fn restart(&mut self, script: u8) {
        if self.may_be_watched() {
            (self.stop_to, self.is_halted) = ((script < self.started).then_some(script), false);
        }
    }

    /// Nothing is under way, so that the list of scripts may change.
    pub fn is_at_rest(&self) -> bool {
        self.is_clean() || (self.may_be_watched() && !self.is_halted)
    }

    /// Takes a list of so many scripts, of which the first `kept` are the same. The rest is stopped by the
    /// old list, then started by the new one.
    pub fn change_scripts(&mut self, kept: u8, scripts: u8, before: u8) {
        self.restart(kept);
        (self.scripts, self.before) = (scripts, before);
    }

    /// Whatever is run or stopped from now on is on the new list.
    pub fn is_on_new_list(&self) -> bool {
        (self.goal == Goal::Serve && self.stop_to.is_none()) || (self.is_free() && !self.is_stuck())
    }

    /// How far it is, for an agent that was not there when it began; none if it is free, and nothing is left
    /// of it. What could not be let go counts as being let go, until it is.
    pub fn stage(&self) -> Option<Stage> {
        match (self.goal, self.releases.last(), self.acquire) {
            (Goal::Free, _, _) if self.is_clean() => None,
            (Goal::Free, _, _) => Some(Stage::Releasing(ReleaseOrder::AddressesFirst, None)),
            (Goal::Serve, _, token) if !self.is_held => Some(Stage::Preparing(token)),
            (Goal::Serve, _, None) => Some(Stage::Serving),
            // A failed start is being undone, and the agent that ordered it gets the answer.
            (Goal::Serve, _, Some(token)) | (Goal::LetGo(_), None, Some(token)) => {
                Some(Stage::Starting(token))
            }
            (Goal::LetGo(first), Some(waiting), _) => Some(Stage::Releasing(first, Some(waiting.token))),
            (Goal::LetGo(first), None, None) => Some(Stage::Releasing(first, None)),
        }
    }

    /// Starts the scripts that come before the addresses; false if none has to be started.
    pub fn prepare(&mut self, token: Token) -> bool {
        let has_to = self.is_free() && self.before > 0;
        if has_to {
            (self.goal, self.acquire) = (Goal::Serve, Some(token));
        }
        has_to
    }

    /// Scripts run, or are about to, and no address has come.
    pub fn is_preparing(&self) -> bool {
        self.goal == Goal::Serve && !self.is_held
    }

    /// All of them run.
    pub fn is_prepared(&self) -> bool {
        self.is_preparing() && self.acquire.is_none()
    }

    /// The addresses could not be added. The scripts that came first are stopped, then the agent is told.
    pub fn not_acquired(&mut self, token: Token, fault: Fault) {
        (self.acquire, self.not_held) = (Some(token), Some(fault));
        self.goal = Goal::LetGo(ReleaseOrder::ScriptsFirst);
    }

    /// The addresses were added and read back: start the scripts.
    pub fn acquired(&mut self, token: Token) {
        self.goal = Goal::Serve;
        self.is_held = true;
        self.has_left_addresses = false;
        self.acquire = Some(token);
        self.report_serving();
    }

    /// Lets go, whatever was going on. A forced release overtakes a planned one. Addresses are looked for
    /// even if nobody is known to hold them, since only the kernel knows. `token` is none when the guard
    /// itself lets go.
    pub fn release(&mut self, token: Option<Token>, first: ReleaseOrder) {
        if let Some(token) = token {
            if self.newest_release.replace(token) == Some(token) {
                return;
            }
            if self.releases.len() == MAX_WAITING {
                self.report(token, Outcome::Failed(Fault::OutOfOrder));
                return;
            }
            let _ = self.releases.push(Waiting { token, first, knows_addresses_gone: false });
        }
        match self.goal {
            Goal::Free => {
                self.is_held = true;
                self.again = core::mem::take(&mut self.stuck);
            }
            Goal::LetGo(ReleaseOrder::AddressesFirst) => {
                self.report_addresses_gone();
                return;
            }
            Goal::Serve | Goal::LetGo(ReleaseOrder::ScriptsFirst) => {}
        }
        self.goal = Goal::LetGo(first);
        (self.stop_to, self.is_halted) = (None, false);
    }

    /// What to do now.
    pub fn next(&self) -> Next {
        match (self.goal, self.running) {
            (Goal::Free, _) => Next::Wait,
            (Goal::LetGo(ReleaseOrder::AddressesFirst), _) if self.is_held => Next::RemoveAddresses,
            (Goal::LetGo(_), Some((Action::Start | Action::Monitor, _))) => Next::Interrupt,
            (Goal::LetGo(_), Some((Action::Stop, _))) | (Goal::Serve, Some(_)) => Next::Wait,
            (Goal::Serve, None) if self.stop_to.is_some() => {
                Next::Run(Action::Stop, self.started.saturating_sub(1))
            }
            (Goal::Serve, None) if self.started < self.due() && !self.is_halted => {
                Next::Run(Action::Start, self.started)
            }
            (Goal::Serve, None) => Next::Wait,
            (Goal::LetGo(_), None) => match self.to_stop() {
                Some(script) if script >= self.before || !self.is_held => Next::Run(Action::Stop, script),
                Some(_) | None if self.is_held => Next::RemoveAddresses,
                Some(_) | None => Next::Wait,
            },
        }
    }

    /// How many scripts should run at present.
    fn due(&self) -> u8 {
        if self.is_held { self.scripts } else { self.before }
    }

    /// The script that is stopped next: the last that was started, and so back to the first; then those that
    /// did not stop before.
    fn to_stop(&self) -> Option<u8> {
        self.started.checked_sub(1).or(self.again.last())
    }

    /// The script of the last [`Next::Run`] is about to run.
    pub fn script_began(&mut self, action: Action) {
        let script = match action {
            Action::Start => self.started,
            Action::Stop => self.to_stop().unwrap_or_default(),
            Action::Monitor => return,
        };
        self.running = Some((action, script));
        if action == Action::Start {
            self.started = self.started.saturating_add(1);
        }
    }

    /// This script is about to be looked at. [`HeldGroup::script_ended`] says that this is over, however it
    /// ended.
    pub fn look_began(&mut self, script: u8) {
        self.running = Some((Action::Monitor, script));
    }

    /// The script ended, or could not be run at all. Returns which one that was.
    pub fn script_ended(&mut self, end: End) -> Option<u8> {
        let ended = self.running.take();
        match ended {
            Some((Action::Monitor, _)) | None => {}
            Some((Action::Start, script)) if end == End::Done => {
                self.failed_start.take_if(|failed| *failed == script);
                self.report_serving();
            }
            Some((Action::Start, script)) => {
                self.failed_start.get_or_insert(script);
                self.unstarted = (end == End::Refused).then_some(script);
                if self.goal == Goal::Serve && self.acquire.is_none() {
                    self.is_halted = true;
                } else if self.goal == Goal::Serve {
                    self.goal = Goal::LetGo(ReleaseOrder::ScriptsFirst);
                }
            }
            Some((Action::Stop, script)) => {
                if self.started > 0 {
                    self.started = script;
                    self.stop_to.take_if(|to| *to >= script);
                } else {
                    self.again.remove(script);
                }
                let has_nothing_to_stop = end == End::Refused && self.unstarted == Some(script);
                self.unstarted = None;
                if end != End::Done && !has_nothing_to_stop {
                    self.stuck.insert(script);
                    // Nobody knows what this script still does: it must not do it under our address.
                    self.goal = Goal::LetGo(ReleaseOrder::AddressesFirst);
                    self.stop_to = None;
                }
                self.finish_if_done();
            }
        }
        ended.map(|(_, script)| script)
    }

    /// What a script is asked to do at present.
    pub fn running_action(&self) -> Option<Action> {
        self.running.map(|(action, _)| action)
    }

    /// The addresses are confirmed gone, or a fault says what is left.
    pub fn addresses_removed(&mut self, outcome: Result<(), Fault>) {
        self.is_held = false;
        self.address_fault = outcome.err();
        self.report_addresses_gone();
        self.finish_if_done();
    }

    /// What the agent is owed since the last call.
    pub fn take_reports(&mut self) -> Reports {
        core::mem::take(&mut self.reports)
    }

    fn report(&mut self, token: Token, outcome: Outcome) {
        let has_room = self.reports.push((token, outcome)).is_ok();
        debug_assert!(has_room, "answers are taken after every step");
    }

    fn report_serving(&mut self) {
        if self.goal == Goal::Serve
            && self.started == self.due()
            && let Some(token) = self.acquire.take()
        {
            self.report(token, if self.is_held { Outcome::Serving } else { Outcome::Prepared });
        }
    }

    /// Tells forced releases at once that the addresses are gone, unless the release is over with that
    /// anyway.
    fn report_addresses_gone(&mut self) {
        if self.is_held || self.address_fault.is_some() || self.is_done() {
            return;
        }
        let forced = self.releases.iter_mut().filter(|waiting| waiting.first == ReleaseOrder::AddressesFirst);
        for waiting in forced {
            if !core::mem::replace(&mut waiting.knows_addresses_gone, true) {
                let _ = self.reports.push((waiting.token, Outcome::AddressesGone));
            }
        }
    }

    fn is_done(&self) -> bool {
        !self.is_held && self.to_stop().is_none() && self.running.is_none()
    }

    /// Answers everybody who waits: first the acquisition that failed, then the releases.
    fn finish_if_done(&mut self) {
        if !matches!(self.goal, Goal::LetGo(_)) || !self.is_done() {
            return;
        }
        let stop_fault = self.stuck.first().map(Fault::ScriptStop);
        let left = self.address_fault.or(stop_fault);
        if let Some(token) = self.acquire {
            let cause = self.failed_start.map(Fault::ScriptStart).or(self.not_held);
            self.report(token, Outcome::Failed(left.or(cause).unwrap_or(Fault::OutOfOrder)));
        }
        let outcome = left.map_or(Outcome::Released, Outcome::Failed);
        for waiting in core::mem::take(&mut self.releases) {
            self.report(waiting.token, outcome);
        }
        let (reports, stuck) = (core::mem::take(&mut self.reports), core::mem::take(&mut self.stuck));
        let (has_left_addresses, newest_release) = (self.address_fault.is_some(), self.newest_release);
        *self = Self {
            reports,
            stuck,
            has_left_addresses,
            newest_release,
            ..Self::new(self.scripts, self.before)
        };
    }
}

#[cfg(test)]
#[path = "held_group_tests.rs"]
mod tests;
