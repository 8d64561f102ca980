//! One group as the guard holds it: what is to be done next, and what the agent is owed.
//!
//! Pure. The guard does what [`Group::next`] says, one step at a time, and tells the group how it went; reports for
//! the agent pile up in [`Group::take_reports`]. Scripts start left to right and stop in reverse, one at a time.

use crosswire::quorum::succession::Stage;
use crosswire::resource::{Fault, Outcome, ReleaseOrder, Token};

/// Most releases that wait for one group to let go; the agent never has more than a planned and a forced one.
const MAX_WAITING: usize = 8;

/// What a script is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// `start`
    Start,
    /// `stop`
    Stop,
}

/// The next step of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing until an order comes or a script ends.
    Wait,
    /// Run a script of this index; then [`Group::script_began`], and once [`Group::script_ended`].
    Run(Action, usize),
    /// Cut short the script that is starting; its end comes as usual.
    Interrupt,
    /// Take the addresses away and confirm it; then [`Group::addresses_removed`].
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
pub struct Group {
    scripts: usize,
    goal: Goal,
    /// The kernel has the addresses, as far as we know.
    is_held: bool,
    /// Scripts before this index were started, and not all of them successfully.
    started: usize,
    running: Option<(Action, usize)>,
    failed_start: Option<usize>,
    /// Scripts that did not stop, of earlier releases too: nobody knows what they still do.
    stuck: Vec<usize>,
    /// Those of earlier releases that this one has yet to stop.
    again: Vec<usize>,
    acquire: Option<Token>,
    releases: Vec<Waiting>,
    address_fault: Option<Fault>,
    reports: Vec<(Token, Outcome)>,
}

impl Group {
    /// A free group with this many scripts.
    pub fn new(scripts: usize) -> Self {
        Self {
            scripts,
            goal: Goal::Free,
            is_held: false,
            started: 0,
            running: None,
            failed_start: None,
            stuck: Vec::new(),
            again: Vec::new(),
            acquire: None,
            releases: Vec::new(),
            address_fault: None,
            reports: Vec::new(),
        }
    }

    /// Nothing is held, nothing runs, nobody waits.
    pub fn is_free(&self) -> bool {
        self.goal == Goal::Free
    }

    /// A script did not stop: the group is not to be taken before a release has stopped it.
    pub fn is_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// The addresses are ours to renew, also while scripts start or stop.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Held, and not on the way out: worth announcing.
    pub fn is_serving(&self) -> bool {
        self.is_held && self.goal == Goal::Serve
    }

    /// How far it is, for an agent that was not there when it began; none if it is free.
    pub fn stage(&self) -> Option<Stage> {
        match (self.goal, self.releases.last(), self.acquire) {
            (Goal::Free, _, _) => None,
            (Goal::Serve, _, None) => Some(Stage::Serving),
            // A start that failed is undone, and answers who ordered it.
            (Goal::Serve, _, Some(token)) | (Goal::LetGo(_), None, Some(token)) => Some(Stage::Starting(token)),
            (Goal::LetGo(first), Some(waiting), _) => Some(Stage::Releasing(first, Some(waiting.token))),
            (Goal::LetGo(first), None, None) => Some(Stage::Releasing(first, None)),
        }
    }

    /// The addresses were added and read back: start the scripts.
    pub fn acquired(&mut self, token: Token) {
        self.goal = Goal::Serve;
        self.is_held = true;
        self.acquire = Some(token);
        self.report_serving();
    }

    /// Lets go, whatever was going on; a forced release overtakes a planned one. Addresses that nobody is known to
    /// hold are looked for all the same, since only the kernel knows. `token` is none when the guard itself lets go.
    pub fn release(&mut self, token: Option<Token>, first: ReleaseOrder) {
        if let Some(token) = token {
            if self.releases.len() == MAX_WAITING {
                self.reports.push((token, Outcome::Failed(Fault::OutOfOrder)));
                return;
            }
            self.releases.push(Waiting { token, first, knows_addresses_gone: false });
        }
        match self.goal {
            Goal::Free => {
                self.is_held = true;
                self.again = std::mem::take(&mut self.stuck);
            }
            Goal::LetGo(ReleaseOrder::AddressesFirst) => {
                self.report_addresses_gone();
                return;
            }
            Goal::Serve | Goal::LetGo(ReleaseOrder::ScriptsFirst) => {}
        }
        self.goal = Goal::LetGo(first);
    }

    /// What to do now.
    pub fn next(&self) -> Next {
        match (self.goal, self.running) {
            (Goal::Free, _) => Next::Wait,
            (Goal::LetGo(ReleaseOrder::AddressesFirst), _) if self.is_held => Next::RemoveAddresses,
            (Goal::LetGo(_), Some((Action::Start, _))) => Next::Interrupt,
            (Goal::LetGo(_), Some((Action::Stop, _))) | (Goal::Serve, Some(_)) => Next::Wait,
            (Goal::Serve, None) if self.started < self.scripts => Next::Run(Action::Start, self.started),
            (Goal::Serve, None) => Next::Wait,
            (Goal::LetGo(_), None) => match self.to_stop() {
                Some(script) => Next::Run(Action::Stop, script),
                None if self.is_held => Next::RemoveAddresses,
                None => Next::Wait,
            },
        }
    }

    /// The script that is stopped next: from the last that was started back, then what did not stop before.
    fn to_stop(&self) -> Option<usize> {
        self.started.checked_sub(1).or(self.again.last().copied())
    }

    /// The script of the last [`Next::Run`] is about to run.
    pub fn script_began(&mut self, action: Action) {
        let script = match action {
            Action::Start => self.started,
            Action::Stop => self.to_stop().unwrap_or_default(),
        };
        self.running = Some((action, script));
        if action == Action::Start {
            self.started += 1;
        }
    }

    /// It ended, or could not be run at all.
    pub fn script_ended(&mut self, is_success: bool) {
        match self.running.take() {
            Some((Action::Start, _)) if is_success => self.report_serving(),
            Some((Action::Start, script)) => {
                self.failed_start.get_or_insert(script);
                if self.goal == Goal::Serve {
                    self.goal = Goal::LetGo(ReleaseOrder::ScriptsFirst);
                }
            }
            Some((Action::Stop, script)) => {
                if self.started > 0 {
                    self.started = script;
                } else {
                    self.again.pop();
                }
                // One that failed to start may well have nothing to stop.
                if !is_success && self.failed_start != Some(script) {
                    self.stuck.push(script);
                    // Nobody knows what this one still does: it must not do it under our address.
                    self.goal = Goal::LetGo(ReleaseOrder::AddressesFirst);
                }
                self.finish_if_done();
            }
            None => {}
        }
    }

    /// The addresses are confirmed gone, or a fault says what is left.
    pub fn addresses_removed(&mut self, outcome: Result<(), Fault>) {
        self.is_held = false;
        self.address_fault = outcome.err();
        self.report_addresses_gone();
        self.finish_if_done();
    }

    /// What the agent is owed since the last call.
    pub fn take_reports(&mut self) -> Vec<(Token, Outcome)> {
        std::mem::take(&mut self.reports)
    }

    fn report_serving(&mut self) {
        if self.goal == Goal::Serve && self.started == self.scripts {
            self.reports.extend(self.acquire.take().map(|token| (token, Outcome::Serving)));
        }
    }

    /// Forced releases hear at once that the addresses are gone, unless that is the end of it anyway.
    fn report_addresses_gone(&mut self) {
        if self.is_held || self.address_fault.is_some() || self.is_done() {
            return;
        }
        let forced = self.releases.iter_mut().filter(|waiting| waiting.first == ReleaseOrder::AddressesFirst);
        for waiting in forced {
            if !std::mem::replace(&mut waiting.knows_addresses_gone, true) {
                self.reports.push((waiting.token, Outcome::AddressesGone));
            }
        }
    }

    fn is_done(&self) -> bool {
        !self.is_held && self.to_stop().is_none() && self.running.is_none()
    }

    /// Answers everybody who waits: first the acquisition that came to nothing, then the releases.
    fn finish_if_done(&mut self) {
        if !matches!(self.goal, Goal::LetGo(_)) || !self.is_done() {
            return;
        }
        let stop_fault = self.stuck.first().map(|script| Fault::ScriptStop(script_number(*script)));
        let left = self.address_fault.or(stop_fault);
        if let Some(token) = self.acquire {
            let cause = self.failed_start.map(|index| Fault::ScriptStart(script_number(index)));
            self.reports.push((token, Outcome::Failed(left.or(cause).unwrap_or(Fault::OutOfOrder))));
        }
        let outcome = left.map_or(Outcome::Released, Outcome::Failed);
        self.reports.extend(self.releases.iter().map(|waiting| (waiting.token, outcome)));
        let (reports, stuck) = (std::mem::take(&mut self.reports), std::mem::take(&mut self.stuck));
        *self = Self { reports, stuck, ..Self::new(self.scripts) };
    }
}

fn script_number(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Start, Stop};
    use ReleaseOrder::{AddressesFirst, ScriptsFirst};

    const ACQUIRE: Token = Token(1);
    const RELEASE: Token = Token(2);
    const FORCED: Token = Token(3);

    /// A group that plays its own part: everything succeeds except what is listed.
    struct Play {
        group: Group,
        story: Vec<String>,
        failing: Vec<(Action, usize)>,
        address_fault: Result<(), Fault>,
    }

    impl Play {
        fn new(scripts: usize, failing: &[(Action, usize)]) -> Self {
            Self { group: Group::new(scripts), story: Vec::new(), failing: failing.to_vec(), address_fault: Ok(()) }
        }

        /// Carries out one step; false when there is none.
        fn step(&mut self) -> bool {
            let next = self.group.next();
            match next {
                Next::Wait => return false,
                Next::Run(action, index) => {
                    self.story.push(format!("{action:?} {index}"));
                    self.group.script_began(action);
                }
                Next::Interrupt => {
                    self.story.push("Interrupt".to_owned());
                    self.end(false);
                }
                Next::RemoveAddresses => {
                    self.story.push("Remove".to_owned());
                    self.group.addresses_removed(self.address_fault);
                }
            }
            self.hear();
            true
        }

        fn end(&mut self, is_success: bool) {
            self.group.script_ended(is_success);
            self.hear();
        }

        fn hear(&mut self) {
            let reports = self.group.take_reports();
            self.story.extend(reports.into_iter().map(|(token, outcome)| format!("{}: {outcome:?}", token.0)));
        }

        /// Steps until nothing is left to do, ending every script that runs.
        fn rest(&mut self) -> String {
            for _ in 0..100 {
                let next = self.group.next();
                if self.step() {
                    if let Next::Run(action, index) = next {
                        let is_success = !self.failing.contains(&(action, index));
                        self.end(is_success);
                    }
                } else {
                    break;
                }
            }
            std::mem::take(&mut self.story).join(", ")
        }

        fn acquire(&mut self) -> String {
            self.group.acquired(ACQUIRE);
            self.hear();
            self.rest()
        }

        fn release(&mut self, token: Token, first: ReleaseOrder) {
            self.group.release(Some(token), first);
            self.hear();
        }
    }

    #[test]
    fn addresses_alone_serve_at_once_and_go_in_one_step() {
        for first in [ScriptsFirst, AddressesFirst] {
            let mut play = Play::new(0, &[]);
            assert_eq!(play.acquire(), "1: Serving");
            play.release(RELEASE, first);
            assert_eq!(play.rest(), "Remove, 2: Released");
            assert!(play.group.is_free() && !play.group.is_held());
        }
    }

    #[test]
    fn scripts_start_left_to_right_and_stop_in_reverse_before_the_addresses_go() {
        let mut play = Play::new(2, &[]);
        assert_eq!(play.acquire(), "Start 0, Start 1, 1: Serving");
        play.release(RELEASE, ScriptsFirst);
        assert!(play.group.is_held(), "renewals go on while scripts stop");
        assert_eq!(play.rest(), "Stop 1, Stop 0, Remove, 2: Released");
    }

    #[test]
    fn a_forced_release_takes_the_addresses_first_and_says_so() {
        let mut play = Play::new(2, &[]);
        play.acquire();
        play.release(FORCED, AddressesFirst);
        assert_eq!(play.rest(), "Remove, 3: AddressesGone, Stop 1, Stop 0, 3: Released");
    }

    #[test]
    fn a_failed_start_is_undone_from_itself_back() {
        let mut play = Play::new(3, &[(Start, 1), (Stop, 1)]);
        assert_eq!(
            play.acquire(),
            "Start 0, Start 1, Stop 1, Stop 0, Remove, 1: Failed(ScriptStart(1))",
            "a script that did not start need not stop well"
        );
        assert!(play.group.is_free());
    }

    #[test]
    fn a_failed_start_that_cannot_be_undone_says_what_is_left() {
        let mut play = Play::new(2, &[(Start, 1), (Stop, 0)]);
        assert_eq!(play.acquire(), "Start 0, Start 1, Stop 1, Stop 0, Remove, 1: Failed(ScriptStop(0))");
    }

    #[test]
    fn after_a_failed_stop_the_addresses_go_first_and_the_rest_is_stopped() {
        let mut play = Play::new(3, &[(Stop, 1)]);
        play.acquire();
        play.release(RELEASE, ScriptsFirst);
        assert_eq!(play.rest(), "Stop 2, Stop 1, Remove, Stop 0, 2: Failed(ScriptStop(1))");
    }

    #[test]
    fn an_address_that_stays_is_worse_than_a_script_that_does() {
        let mut play = Play::new(1, &[(Stop, 0)]);
        play.acquire();
        play.address_fault = Err(Fault::StillThere);
        play.release(FORCED, AddressesFirst);
        assert_eq!(play.rest(), "Remove, Stop 0, 3: Failed(StillThere)");
    }

    #[test]
    fn a_release_wins_over_a_start_in_progress() {
        for (first, expected) in [
            (ScriptsFirst, "Interrupt, Stop 0, Remove, 1: Failed(ScriptStart(0)), 2: Released"),
            (AddressesFirst, "Remove, 2: AddressesGone, Interrupt, Stop 0, 1: Failed(ScriptStart(0)), 2: Released"),
        ] {
            let mut play = Play::new(2, &[]);
            play.group.acquired(ACQUIRE);
            play.step();
            assert_eq!(std::mem::take(&mut play.story), ["Start 0"]);
            play.release(RELEASE, first);
            assert_eq!(play.rest(), expected);
        }
    }

    #[test]
    fn an_acquisition_overtaken_between_two_scripts_fails_without_blaming_one() {
        let mut play = Play::new(2, &[]);
        play.group.acquired(ACQUIRE);
        play.step();
        play.end(true);
        play.story.clear();
        play.release(RELEASE, ScriptsFirst);
        assert_eq!(play.rest(), "Stop 0, Remove, 1: Failed(OutOfOrder), 2: Released");
    }

    #[test]
    fn a_forced_release_overtakes_a_planned_one_and_both_are_answered() {
        let mut play = Play::new(2, &[]);
        play.acquire();
        play.release(RELEASE, ScriptsFirst);
        play.step();
        play.release(FORCED, AddressesFirst);
        assert!(play.step());
        play.end(true);
        assert_eq!(play.rest(), "Stop 1, Remove, 3: AddressesGone, Stop 0, 2: Released, 3: Released");
    }

    #[test]
    fn a_planned_release_does_not_hold_up_a_forced_one() {
        let mut play = Play::new(1, &[]);
        play.acquire();
        play.release(FORCED, AddressesFirst);
        play.step();
        play.release(RELEASE, ScriptsFirst);
        assert_eq!(play.rest(), "Remove, 3: AddressesGone, Stop 0, 3: Released, 2: Released");
    }

    #[test]
    fn releasing_what_is_free_asks_the_kernel() {
        let mut play = Play::new(1, &[]);
        play.release(RELEASE, ScriptsFirst);
        assert_eq!(play.rest(), "Remove, 2: Released");
    }

    #[test]
    fn more_releases_than_anybody_needs_are_refused() {
        let mut play = Play::new(1, &[]);
        play.acquire();
        for n in 0..10 {
            play.release(Token(10 + n), ScriptsFirst);
        }
        let story = play.rest();
        assert!(story.starts_with("18: Failed(OutOfOrder), 19: Failed(OutOfOrder), Stop 0"), "{story}");
        assert_eq!(story.matches("Released").count(), MAX_WAITING);
    }

    #[test]
    fn the_guard_lets_go_without_being_asked() {
        let mut play = Play::new(1, &[]);
        play.acquire();
        play.group.release(None, AddressesFirst);
        assert_eq!(play.rest(), "Remove, Stop 0");
        assert!(play.group.is_free());
    }

    #[test]
    fn what_did_not_stop_is_stopped_again_by_every_release_until_it_has() {
        let mut play = Play::new(3, &[(Stop, 1)]);
        play.acquire();
        play.release(RELEASE, ScriptsFirst);
        assert_eq!(play.rest(), "Stop 2, Stop 1, Remove, Stop 0, 2: Failed(ScriptStop(1))");
        assert!(play.group.is_free() && play.group.is_stuck());
        play.release(FORCED, AddressesFirst);
        assert_eq!(play.rest(), "Remove, 3: AddressesGone, Stop 1, 3: Failed(ScriptStop(1))");
        play.failing.clear();
        play.release(FORCED, AddressesFirst);
        assert_eq!(play.rest(), "Remove, 3: AddressesGone, Stop 1, 3: Released");
        assert!(!play.group.is_stuck());
        play.release(FORCED, AddressesFirst);
        assert_eq!(play.rest(), "Remove, 3: Released", "and not once more");
    }

    #[test]
    fn a_group_serves_a_second_time_as_if_it_were_new() {
        let mut play = Play::new(1, &[]);
        for _ in 0..2 {
            assert_eq!(play.acquire(), "Start 0, 1: Serving");
            play.release(RELEASE, ScriptsFirst);
            assert_eq!(play.rest(), "Stop 0, Remove, 2: Released");
        }
    }
}
