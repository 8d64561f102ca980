//! Custody from the outside: events in, effects out.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::orders::{State, accepts};
use super::rig::{GROUP, Rig, at, plan, plan_with};
use super::*;
use crate::quorum::succession::Stage;
use crate::resource::{Fault, Order, ReleaseOrder};

/// Every order in every state, in words: what an agent may have done at all.
#[test]
fn an_order_is_accepted_in_these_states_and_in_no_other() {
    let orders = [
        ("acquire", Order::Acquire { group: GROUP, term: 1 }),
        ("renew", Order::Renew { group: GROUP, puts_back: true }),
        ("release", Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst }),
        ("fence", Order::Fence { group: GROUP }),
        ("announce", Order::Announce { group: GROUP }),
        ("probe", Order::Probe { group: GROUP }),
    ];
    let states = [
        State::Free,
        State::Stuck,
        State::Preparing,
        State::Prepared,
        State::Coming,
        State::Held,
        State::Going,
    ];
    let row = |order: Order, phase: Phase| -> String {
        let cell = |state: &State| if accepts(order, *state, phase).is_ok() { "x" } else { "." };
        states.iter().map(cell).collect()
    };
    let running: Vec<String> =
        orders.iter().map(|(name, order)| format!("{name} {}", row(*order, Phase::Running))).collect();
    let expected = [
        "acquire x..x...",
        "renew .....x.",
        "release xxxxxxx",
        "fence x......",
        "announce .....x.",
        "probe xxxxxxx",
    ];
    assert_eq!(running, expected);
    let until = at(0);
    assert_eq!(
        row(Order::Fence { group: GROUP }, Phase::Stopping { until }),
        ".......",
        "who leaves takes nothing"
    );
    for phase in [Phase::Farewell { until }, Phase::Leaving { until, is_well: true }] {
        for (name, order) in orders {
            let expected = if name == "release" { "xxxxxxx" } else { "......." };
            assert_eq!(row(order, phase), expected, "{name} in {phase:?}");
        }
    }
}

#[test]
fn a_group_is_held_renewed_and_let_go() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.acquire(), "add, Start 0 (Acquire), 1: Serving");
    rig.order(Order::Renew { group: GROUP, puts_back: true });
    assert_eq!(rig.told(), "", "renewals wait until everything was read");
    rig.hand_in(Event::AllSaid);
    assert_eq!(rig.told(), "renew, 2: Renewed");
    rig.order(Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst });
    assert_eq!(rig.told(), "Stop 0 (Release), remove, 3: Released");
}

#[test]
fn what_comes_before_the_addresses_starts_first_and_stops_last() {
    let mut rig = Rig::with(plan_with(3, 2));
    assert_eq!(rig.acquire(), "Start 0 (Acquire), Start 1 (Acquire), 1: Prepared");
    assert_eq!(rig.custody.holdings()[0].map(|holding| holding.stage), Some(Stage::Preparing(None)));
    rig.order(Order::Renew { group: GROUP, puts_back: true });
    rig.hand_in(Event::AllSaid);
    assert_eq!(rig.told(), "2: Failed(OutOfOrder)", "nothing is held yet");
    rig.order(Order::Acquire { group: GROUP, term: 8 });
    assert_eq!(rig.told(), "3: Failed(OutOfOrder)", "the scripts were told another term");
    rig.order(Order::Acquire { group: GROUP, term: 7 });
    assert_eq!(rig.told(), "add, Start 2 (Acquire), 4: Serving");
    rig.order(Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst });
    assert_eq!(rig.told(), "Stop 2 (Release), remove, Stop 1 (Release), Stop 0 (Release), 5: Released");
}

#[test]
fn a_forced_release_takes_the_addresses_before_any_script() {
    let mut rig = Rig::with(plan_with(2, 1));
    rig.acquire();
    rig.order(Order::Acquire { group: GROUP, term: 7 });
    rig.told();
    rig.order(Order::Release { group: GROUP, first: ReleaseOrder::AddressesFirst });
    assert_eq!(
        rig.told(),
        "remove, 3: AddressesGone, Stop 1 (ForcedRelease), Stop 0 (ForcedRelease), 3: Released"
    );
}

/// However an agent ends that had begun to take a group: nothing that was started is left.
#[test]
fn what_was_prepared_is_undone_with_its_agent() {
    for is_ready in [true, false] {
        let mut rig = Rig::with(plan_with(2, 1));
        rig.is_slow = !is_ready;
        rig.acquire();
        rig.hand_in(Event::AgentLost(Lapse::Garbage));
        let undone =
            if is_ready { "dismiss agent, Stop 0 (ForcedRelease)" } else { "dismiss agent, interrupt" };
        assert!(rig.told().starts_with(undone));
        rig.is_slow = false;
        rig.hand_in(Event::ScriptEnded(GROUP, End::Done));
        assert!(rig.custody.group(GROUP).is_some_and(HeldGroup::is_free));
    }
}

#[test]
fn a_group_that_was_prepared_outlives_an_agent_that_is_replaced() {
    let mut rig = Rig::with(plan_with(1, 1));
    rig.acquire();
    rig.hand_in(Event::AgentReaped);
    rig.pass(1);
    assert_eq!(rig.custody.holdings()[0].map(|holding| holding.stage), Some(Stage::Preparing(None)));
    rig.hand_in(Event::Said(Word::Deposit));
    rig.order(Order::Acquire { group: GROUP, term: 7 });
    assert_eq!(rig.told(), "add, 2: Serving");
}

#[test]
fn addresses_that_cannot_come_undo_what_came_before_them() {
    let mut rig = Rig::with(plan_with(2, 1));
    rig.acquire();
    let mut effects = Effects::new();
    let ticket =
        Ticket { token: Token(9), valid_until: rig.now, order: Order::Acquire { group: GROUP, term: 7 } };
    rig.custody.step(rig.now, Event::Said(Word::Order(ticket)), &mut effects);
    assert!(matches!(effects.as_slice(), [Effect::Add(..)]));
    rig.hand_in(Event::Added(GROUP, Err(Fault::NoInterface)));
    assert_eq!(rig.told(), "Stop 0 (FailedStart), 9: Failed(NoInterface)");
    assert!(rig.custody.group(GROUP).is_some_and(HeldGroup::is_clean));
}

#[test]
fn who_cannot_have_its_routes_keeps_no_address_and_starts_nothing() {
    for (before, told) in [
        (0, "add, remove, 1: Failed(Kernel(101))"),
        (1, "Start 0 (Acquire), 1: Prepared, add, remove, Stop 0 (FailedStart), 2: Failed(Kernel(101))"),
    ] {
        let mut rig = Rig::with(plan_with(2, before));
        rig.routes = Err(Fault::Kernel(101));
        let mut story = rig.acquire();
        if before > 0 {
            story = format!("{story}, {}", rig.acquire());
        }
        assert_eq!(story, told);
        assert!(rig.custody.group(GROUP).is_some_and(HeldGroup::is_clean));
    }
}

#[test]
fn a_renewal_that_came_before_a_release_revives_nothing() {
    let mut rig = Rig::new(0);
    rig.acquire();
    rig.order(Order::Renew { group: GROUP, puts_back: true });
    rig.order(Order::Release { group: GROUP, first: ReleaseOrder::AddressesFirst });
    rig.hand_in(Event::AllSaid);
    assert_eq!(rig.told(), "remove, 3: Released, 2: Failed(OutOfOrder)");
}

#[test]
fn an_order_that_comes_after_its_last_moment_is_not_carried_out() {
    let mut rig = Rig::new(0);
    let order = Order::Acquire { group: GROUP, term: 7 };
    let late = Ticket { token: Token(1), valid_until: at(0), order };
    rig.now = at(1);
    rig.hand_in(Event::Said(Word::Order(late)));
    assert_eq!(rig.told(), "1: Failed(TooLate)");
}

#[test]
fn a_lost_agent_is_replaced_once_it_was_reaped_and_what_it_held_is_let_go_if_nobody_renews_it() {
    let mut rig = Rig::new(1);
    rig.acquire();
    rig.hand_in(Event::AgentLost(Lapse::ClosedItsEnd));
    assert_eq!(rig.told(), "dismiss agent");
    assert_eq!(rig.pass(10), "", "two agents at once there are never");
    rig.hand_in(Event::AgentReaped);
    assert_eq!(rig.pass(10), "start agent, in place: true");
    assert_eq!(rig.pass(900), "");
    assert_eq!(rig.custody.due_at(rig.now), at(1_000), "when the lease is over");
    let story = rig.pass(80);
    assert_eq!(story, "dismiss agent, remove, Stop 0 (ForcedRelease)");
    assert!(rig.custody.is_everything_free());
}

#[test]
fn an_agent_that_says_nothing_hangs_unless_the_loop_slept() {
    let mut rig = Rig::new(0);
    assert_eq!(rig.pass(299), "");
    let wanted = rig.now;
    rig.now = rig.now + Span::from_s(10);
    rig.hand_in(Event::Woke(wanted));
    assert_eq!(rig.pass(0), "", "what the loop slept through does not count");
    assert_eq!(rig.pass(300), "dismiss agent");
}

#[test]
fn the_daemon_ends_when_nothing_is_held_and_the_agent_was_reaped() {
    let mut rig = Rig::new(1);
    rig.acquire();
    rig.hand_in(Event::Stop);
    assert_eq!(rig.told(), "tell stop");
    rig.order(Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst });
    rig.hand_in(Event::Said(Word::Farewell));
    rig.told();
    assert_eq!(rig.custody.exit(), None);
    rig.order(Order::Acquire { group: GROUP, term: 8 });
    assert_eq!(rig.told(), "3: Failed(OutOfOrder)", "who has said farewell has nothing to order");
    rig.hand_in(Event::AgentReaped);
    assert_eq!((rig.told(), rig.custody.exit()), ("dismiss agent".to_string(), Some(true)));
}

#[test]
fn a_second_stop_lets_everything_go() {
    let mut rig = Rig::new(1);
    rig.acquire();
    rig.hand_in(Event::Stop);
    rig.hand_in(Event::Stop);
    rig.hand_in(Event::AgentReaped);
    assert_eq!(rig.told(), "tell stop, dismiss agent, remove, Stop 0 (ForcedRelease)");
    assert_eq!(rig.custody.exit(), Some(false));
}

#[test]
fn a_release_overtakes_a_start_that_hangs() {
    let mut rig = Rig::new(1);
    rig.is_slow = true;
    assert_eq!(rig.acquire(), "add, Start 0 (Acquire)");
    rig.is_slow = false;
    rig.order(Order::Release { group: GROUP, first: ReleaseOrder::AddressesFirst });
    let expected =
        "remove, 2: AddressesGone, interrupt, Stop 0 (ForcedRelease), 1: Failed(ScriptStart(0)), 2: Released";
    assert_eq!(rig.told(), expected);
}

/// The peer may hold it in another group: a reload reaches the two nodes one after the other.
#[test]
fn an_address_that_a_reload_adds_comes_when_nobody_answers_for_it() {
    let mut rig = Rig::new(0);
    rig.acquire();
    rig.hand_in(Event::NewAddresses(GROUP));
    assert_eq!(rig.custody.due_at(rig.now), rig.now);
    let pass = |rig: &mut Rig, ms| {
        rig.hand_in(Event::Said(Word::Deposit));
        rig.pass(ms)
    };
    assert_eq!([pass(&mut rig, 0), pass(&mut rig, 250), pass(&mut rig, 250)].join("|"), "ask||ask");
    rig.hand_in(Event::Said(Word::Answered(GROUP)));
    let quiet: Vec<String> = (0..7).map(|_| pass(&mut rig, 250)).collect();
    assert_eq!(quiet.concat(), "", "somebody has it");
    let story: Vec<String> = (0..7).map(|_| pass(&mut rig, 250)).collect();
    assert_eq!(story.join("|"), "ask||ask||ask||admit");
    assert_eq!(pass(&mut rig, 250), "");
}

#[test]
fn what_a_killed_daemon_had_started_is_stopped_before_the_first_agent_orders_anything() {
    let mut custody = Custody::new(plan(2), at(0));
    let mut effects = Effects::new();
    custody.step(at(0), Event::Inherited(GROUP, ScriptSet::from_bits(0b10), 7), &mut effects);
    assert_eq!(effects[..], [Effect::Remove(GROUP)]);
    effects.clear();
    custody.step(at(0), Event::Removed(GROUP, Ok(())), &mut effects);
    assert_eq!(effects[..], [Effect::Run(GROUP, 1, Action::Stop, Reason::ForcedRelease)]);
    let [holding] = custody.holdings()[..] else { panic!("one group") };
    assert_eq!(holding.map(|holding| holding.term), Some(7), "the agent says 'releasing'");
    effects.clear();
    custody.step(at(1), Event::ScriptEnded(GROUP, End::Done), &mut effects);
    assert_eq!(effects[..], [Effect::Mark(GROUP, ScriptSet::EMPTY, 7)]);
    assert_eq!(custody.holdings()[..], [None]);
}

#[test]
fn what_may_run_is_written_down_before_it_starts_and_until_it_has_stopped() {
    let mut rig = Rig::new(2);
    let mut effects = Effects::new();
    let order = Order::Acquire { group: GROUP, term: 7 };
    let ticket = Ticket { token: Token(1), valid_until: Instant::NEVER, order };
    rig.custody.step(at(0), Event::Said(Word::Order(ticket)), &mut effects);
    effects.clear();
    rig.custody.step(at(0), Event::Added(GROUP, Ok(())), &mut effects);
    rig.custody.step(at(0), Event::Routed(GROUP, Ok(())), &mut effects);
    let marks = |effects: &Effects| -> Vec<String> {
        let said = |effect: &Effect| match effect {
            Effect::Mark(_, scripts, term) => Some(format!("mark {:b} {term}", scripts.bits())),
            Effect::Run(_, script, action, _) => Some(format!("{action:?} {script}")),
            _ => None,
        };
        effects.iter().filter_map(said).collect()
    };
    assert_eq!(marks(&effects), ["mark 1 7", "Start 0"]);
    effects.clear();
    rig.custody.step(at(0), Event::ScriptEnded(GROUP, End::Done), &mut effects);
    assert_eq!(marks(&effects), ["mark 11 7", "Start 1"]);
    effects.clear();
    rig.custody.step(at(0), Event::ScriptEnded(GROUP, End::Done), &mut effects);
    let release = Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst };
    let ticket = Ticket { token: Token(2), valid_until: Instant::NEVER, order: release };
    rig.custody.step(at(0), Event::Said(Word::Order(ticket)), &mut effects);
    assert_eq!(marks(&effects), ["Stop 1"]);
    effects.clear();
    rig.custody.step(at(0), Event::ScriptEnded(GROUP, End::Refused), &mut effects);
    assert!(!marks(&effects).iter().any(|line| line.starts_with("mark")), "nobody knows what it still does");
}

/// A second fence would meet a peer that boots.
#[test]
fn a_fence_that_is_ordered_again_is_the_same_one() {
    let mut rig = Rig::new(0);
    let fence = Order::Fence { group: GROUP };
    let mut begun = |token: u32| {
        let mut effects = Effects::new();
        let ticket = Ticket { token: Token(token), valid_until: Instant::NEVER, order: fence };
        rig.custody.step(at(0), Event::Said(Word::Order(ticket)), &mut effects);
        effects.iter().any(|effect| matches!(effect, Effect::Fence(_)))
    };
    assert_eq!([begun(1), begun(1), begun(2)], [true, false, false]);
    assert_eq!(rig.custody.last_token(), Token(2));
}

/// An agent that hears nothing for long says that this node cannot serve. It hears what the guard has
/// renewed too.
#[test]
fn a_renewal_that_is_confirmed_is_a_sign_of_life() {
    let mut rig = Rig::new(0);
    rig.acquire();
    let due_at = rig.custody.alive_due_at();
    rig.now = rig.now + Span::from_ms(30);
    rig.order(Order::Renew { group: GROUP, puts_back: true });
    rig.hand_in(Event::AllSaid);
    assert_eq!(rig.custody.alive_due_at(), due_at + Span::from_ms(30));
}
