//! When the watchdog is petted, and when never again.

use super::rig::{GROUP, Rig, plan};
use super::{End, Event, Plan};
use crate::quorum::timing;
use crate::resource::{Order, ReleaseOrder};
use crate::time::Span;

/// A rig whose box has a watchdog of ten seconds.
fn watched(plan: Plan) -> Rig {
    let mut rig = Rig::with(plan);
    rig.hand_in(Event::WatchdogArmed(Span::from_s(10)));
    rig
}

#[test]
fn a_watchdog_is_petted_five_times_a_timeout_while_the_loop_is_on_time() {
    let mut rig = Rig::new(0);
    assert_eq!(rig.pass(100).matches("pet").count(), 0, "it is not armed");
    let mut rig = watched(plan(0));
    let pets = (0..200).filter(|_| rig.pass(50).contains("pet")).count();
    assert_eq!(pets, 5);
    let late = rig.now;
    rig.now = rig.now + Span::from_ms(2_500);
    rig.hand_in(Event::Woke(late));
    assert_eq!(rig.pass(0), "", "not by a loop that was late");
    rig.hand_in(Event::Woke(rig.now));
    assert_eq!(rig.pass(100), "pet", "and again as soon as it is on time");
}

#[test]
fn a_watchdog_is_not_petted_for_an_agent_that_orders_nothing() {
    let mut patient = plan(0);
    patient.hang_after = Span::from_s(60);
    let mut rig = watched(patient);
    rig.pass(100);
    rig.acquire();
    let fresh_for = timing::pets_for(plan(0).interval);
    rig.pass(fresh_for.as_ms() + 2_000);
    assert!(!rig.told().contains("pet") && !rig.pass(5_000).contains("pet"), "it serves, and says nothing");
    rig.now = rig.now + Span::from_ms(100);
    rig.order(Order::Renew { group: GROUP, puts_back: true });
    assert_eq!(rig.pass(0), "pet", "it says something again");
    rig.order(Order::Release { group: GROUP, first: ReleaseOrder::AddressesFirst });
    rig.told();
    assert_eq!(rig.pass(2_500), "pet", "nobody has to order what is not held");
}

#[test]
fn a_watchdog_is_left_to_fire_for_what_has_to_end_with_the_box() {
    for must_end_with_box in [false, true] {
        let mut plan = plan(1);
        plan.groups[0].must_end_with_box = must_end_with_box;
        let mut rig = watched(plan);
        rig.pass(100);
        rig.acquire();
        rig.is_slow = true;
        rig.order(Order::Release { group: GROUP, first: ReleaseOrder::AddressesFirst });
        rig.hand_in(Event::ScriptEnded(GROUP, End::Unknown));
        assert_eq!(rig.told().contains("watchdog fires"), must_end_with_box);
        assert_eq!(rig.pass(2_500).contains("pet"), !must_end_with_box);
        assert_eq!(rig.custody.must_watchdog_fire(), must_end_with_box);
    }
}
