//! A group that plays its own part.

use std::borrow::ToOwned;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::*;
use Action::{Start, Stop};
use ReleaseOrder::{AddressesFirst, ScriptsFirst};

const ACQUIRE: Token = Token(1);
const RELEASE: Token = Token(2);
const FORCED: Token = Token(3);

/// A group that plays its own part: everything succeeds except what is listed; what hangs is cut short.
struct Play {
    group: HeldGroup,
    story: Vec<String>,
    failing: Vec<(Action, u8)>,
    hanging: Vec<(Action, u8)>,
    address_fault: Result<(), Fault>,
}

impl Play {
    fn new(scripts: u8, failing: &[(Action, u8)]) -> Self {
        let (group, failing) = (HeldGroup::new(scripts, 0), failing.to_vec());
        Self { group, story: Vec::new(), failing, hanging: Vec::new(), address_fault: Ok(()) }
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
                self.end(End::Unknown);
            }
            Next::RemoveAddresses => {
                self.story.push("Remove".to_owned());
                self.group.addresses_removed(self.address_fault);
            }
        }
        self.hear();
        true
    }

    fn end(&mut self, end: End) {
        self.group.script_ended(end);
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
                    self.end(match (action, index) {
                        what if self.hanging.contains(&what) => End::Unknown,
                        what if self.failing.contains(&what) => End::Refused,
                        _ => End::Done,
                    });
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
fn a_script_before_the_addresses_that_fails_is_undone_without_any_address() {
    let mut play = Play::new(3, &[(Start, 1)]);
    play.group = HeldGroup::new(3, 2);
    assert!(play.group.prepare(ACQUIRE));
    assert_eq!(play.rest(), "Start 0, Start 1, Stop 1, Stop 0, 1: Failed(ScriptStart(1))");
    play.failing = vec![(Start, 0), (Stop, 0)];
    play.hanging = vec![(Stop, 0)];
    assert!(play.group.prepare(ACQUIRE));
    assert_eq!(play.rest(), "Start 0, Stop 0, 1: Failed(ScriptStop(0))");
    assert!(play.group.is_stuck());
}

#[test]
fn a_script_before_the_addresses_is_watched_and_restarted_as_any_other() {
    let mut play = Play::new(2, &[]);
    play.group = HeldGroup::new(2, 1);
    play.group.prepare(ACQUIRE);
    play.rest();
    assert!(!play.group.may_be_watched() && !play.group.is_at_rest(), "it has not begun to serve");
    assert_eq!(play.acquire(), "Start 1, 1: Serving");
    play.group.restart(0);
    assert_eq!(play.rest(), "Stop 1, Stop 0, Start 0, Start 1");
    assert!(play.group.is_held(), "the addresses stay");
}

#[test]
fn a_failed_start_is_undone_from_itself_back() {
    let mut play = Play::new(3, &[(Start, 1), (Stop, 1)]);
    assert_eq!(
        play.acquire(),
        "Start 0, Start 1, Stop 1, Stop 0, Remove, 1: Failed(ScriptStart(1))",
        "a script that says that it did not start need not stop well"
    );
    assert!(play.group.is_free() && !play.group.is_stuck());
}

/// Nobody knows what a script that was cut short has done, nor what one still does whose stop was.
#[test]
fn a_stop_is_excused_only_if_start_and_stop_ended_by_themselves() {
    for (failing, hanging) in [
        (&[(Start, 1)][..], &[(Stop, 1)][..]),
        (&[(Stop, 1)], &[(Start, 1)]),
        (&[], &[(Start, 1), (Stop, 1)]),
    ] {
        let mut play = Play::new(2, failing);
        play.hanging = hanging.to_vec();
        assert_eq!(play.acquire(), "Start 0, Start 1, Stop 1, Remove, Stop 0, 1: Failed(ScriptStop(1))");
        assert!(play.group.is_stuck());
        // What it says later, of a start that nobody remembers, is no excuse either.
        play.hanging.clear();
        play.failing = vec![(Stop, 1)];
        play.release(RELEASE, ScriptsFirst);
        assert_eq!(play.rest(), "Stop 1, Remove, 2: Failed(ScriptStop(1))");
    }
}

#[test]
fn a_start_that_a_release_cut_short_has_to_be_undone() {
    for (first, expected) in [
        (ScriptsFirst, "Interrupt, Stop 0, Remove, 1: Failed(ScriptStop(0)), 2: Failed(ScriptStop(0))"),
        (
            AddressesFirst,
            "Remove, 2: AddressesGone, Interrupt, Stop 0, 1: Failed(ScriptStop(0)), 2: Failed(ScriptStop(0))",
        ),
    ] {
        let mut play = Play::new(2, &[(Stop, 0)]);
        play.group.acquired(ACQUIRE);
        play.step();
        play.story.clear();
        play.release(RELEASE, first);
        assert_eq!(play.rest(), expected);
        assert!(play.group.is_stuck());
    }
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
        (
            AddressesFirst,
            "Remove, 2: AddressesGone, Interrupt, Stop 0, 1: Failed(ScriptStart(0)), 2: Released",
        ),
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
    play.end(End::Done);
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
    play.end(End::Done);
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
    assert_eq!(play.group.stage(), Some(Stage::Releasing(AddressesFirst, None)), "a successor hears of it");
    play.release(FORCED, AddressesFirst);
    assert_eq!(play.rest(), "Remove, 3: AddressesGone, Stop 1, 3: Failed(ScriptStop(1))");
    play.failing.clear();
    play.release(Token(4), AddressesFirst);
    assert_eq!(play.rest(), "Remove, 4: AddressesGone, Stop 1, 4: Released");
    assert_eq!((play.group.is_stuck(), play.group.stage()), (false, None));
    play.release(Token(5), AddressesFirst);
    assert_eq!(play.rest(), "Remove, 5: Released", "and not once more");
}

/// The agent repeats what was not answered; nothing of it is done twice.
#[test]
fn a_release_that_comes_again_is_the_same_one() {
    let mut play = Play::new(1, &[]);
    play.acquire();
    play.release(RELEASE, ScriptsFirst);
    play.step();
    play.release(RELEASE, ScriptsFirst);
    play.end(End::Done);
    assert_eq!(play.rest(), "Stop 0, Remove, 2: Released");
    play.release(RELEASE, ScriptsFirst);
    assert_eq!(play.rest(), "", "it is answered already");
}

/// An address that stayed is still ours, whoever asks.
#[test]
fn addresses_that_stayed_are_told_to_a_successor() {
    let mut play = Play::new(0, &[]);
    play.acquire();
    play.address_fault = Err(Fault::StillThere);
    play.release(RELEASE, AddressesFirst);
    assert_eq!(play.rest(), "Remove, 2: Failed(StillThere)");
    assert_eq!(play.group.stage(), Some(Stage::Releasing(AddressesFirst, None)));
    play.address_fault = Ok(());
    play.release(FORCED, AddressesFirst);
    assert_eq!((play.rest().as_str(), play.group.stage()), ("Remove, 3: Released", None));
}

#[test]
fn what_an_earlier_run_has_started_is_stopped_before_anything_else() {
    let mut play = Play::new(3, &[]);
    play.group.inherit(ScriptSet::from_bits(0b101));
    assert!(play.group.is_free() && !play.group.is_clean());
    play.group.release(None, AddressesFirst);
    assert_eq!(play.group.may_run(), ScriptSet::from_bits(0b101));
    assert_eq!(play.rest(), "Remove, Stop 2, Stop 0");
    assert!(play.group.is_clean() && play.group.may_run().is_empty());
}

#[test]
fn a_group_serves_a_second_time_as_if_it_were_new() {
    let mut play = Play::new(1, &[]);
    for token in [2, 3] {
        assert_eq!(play.acquire(), "Start 0, 1: Serving");
        play.release(Token(token), ScriptsFirst);
        assert_eq!(play.rest(), format!("Stop 0, Remove, {token}: Released"));
    }
}

/// A group that serves, with its story begun anew.
fn serving(scripts: u8, failing: &[(Action, u8)]) -> Play {
    let mut play = Play::new(scripts, &[]);
    play.acquire();
    play.failing = failing.to_vec();
    play
}

#[test]
fn a_script_is_started_again_with_those_to_its_right_and_the_addresses_stay() {
    let mut play = serving(3, &[]);
    assert!(play.group.may_be_watched());
    play.group.restart(1);
    assert!(!play.group.may_be_watched());
    assert_eq!(play.rest(), "Stop 2, Stop 1, Start 1, Start 2");
    assert!(play.group.may_be_watched() && play.group.is_serving());
}

#[test]
fn a_script_that_does_not_start_again_halts_the_rest_and_costs_nothing_else() {
    let mut play = serving(3, &[(Start, 1), (Stop, 1)]);
    play.group.restart(0);
    assert_eq!(play.rest(), "Stop 2, Stop 1, Remove, Stop 0", "a stop that fails is no small matter");
    let mut play = serving(3, &[(Start, 1)]);
    play.group.restart(0);
    assert_eq!(play.rest(), "Stop 2, Stop 1, Stop 0, Start 0, Start 1");
    assert!(play.group.is_halted() && play.group.is_serving() && play.group.may_be_watched());
    play.failing = vec![(Stop, 1)];
    play.group.restart(0);
    assert_eq!(
        play.rest(),
        "Stop 1, Stop 0, Start 0, Start 1, Start 2",
        "what did not start need not stop well"
    );
    assert!(!play.group.is_halted());
    let mut play = serving(2, &[(Stop, 1)]);
    play.hanging = vec![(Start, 1)];
    play.group.restart(1);
    assert_eq!(play.rest(), "Stop 1, Remove, Stop 0", "it had started the first time");
    let mut play = serving(2, &[]);
    play.hanging = vec![(Start, 1)];
    play.group.restart(1);
    assert_eq!(play.rest(), "Stop 1, Start 1");
    play.failing = vec![(Stop, 1)];
    play.group.restart(1);
    assert_eq!(play.rest(), "Stop 1, Remove, Stop 0", "what was cut short may have started");
}

#[test]
fn a_release_wins_over_a_look_and_over_a_restart() {
    let mut play = serving(2, &[]);
    play.group.look_began(0);
    play.release(RELEASE, ScriptsFirst);
    assert_eq!(play.rest(), "Interrupt, Stop 1, Stop 0, Remove, 2: Released");
    let mut play = serving(2, &[]);
    play.group.restart(0);
    play.step();
    play.release(FORCED, AddressesFirst);
    play.step();
    play.end(End::Done);
    assert_eq!(play.rest(), "Stop 1, Remove, 3: AddressesGone, Stop 0, 3: Released");
}
