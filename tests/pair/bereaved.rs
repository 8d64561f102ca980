//! A guard without an agent, and an agent without a guard: what commands say, and what a start does.

use crosswire::pair::Side;
use nix::sys::signal::{Signal, kill};

use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms};

/// Fault: the guard alone is killed, on either node. Operator: starts the daemon again at once.
/// Required: the start waits for the agent of the run before, says so, and goes on; so says `check`; `reload`
/// says that the guard is gone.
#[test]
fn a_start_waits_for_the_agent_that_a_killed_guard_has_left() {
    testing::in_fair_lab(|| {
        for victim in [Side::A, Side::B] {
            let mut scene = Scene::serving();
            kill(scene.guard(victim).expect("a guard"), Signal::SIGKILL).expect("it lives");
            scene.process(victim).expect("started").wait_for_end(PATIENCE).expect("it is dead");
            let said = scene.check(victim, victim, &[]);
            assert!(said.code == Some(0) && said.text.contains("at most: a start waits"), "{said:?}");
            assert!(!said.text.contains("OK"), "{said:?}");
            let said = scene.say(victim, &["reload"]);
            assert!(said.code == Some(3) && said.text.contains("guard is gone: start it"), "{said:?}");
            scene.begin(victim);
            scene.expect_soon("a start that waits", PATIENCE, |scene| {
                scene.log_of(victim).contains("at most: a start waits")
            });
            // Until then the agent of the run before answers.
            scene.expect_soon("a start that goes on", PATIENCE, |scene| {
                let log = scene.log_of(victim);
                log.split("at most: a start waits").nth(1).is_some_and(|rest| rest.contains("this is"))
            });
            scene.settle(victim.peer());
            assert_eq!(scene.process(victim).expect("started").ended().expect("known"), None);
            let said = scene.check(victim, victim, &[]);
            assert!(said.code == Some(0) && said.text.contains("OK"), "{said:?}");
            scene.assert_never_both();
        }
    });
}

/// Fault: the agent dies again and again, and the guard waits before it starts another one; then the guard
/// hangs. Required: `status` says each, and takes neither for the other.
#[test]
fn a_guard_that_is_about_to_start_another_agent_does_not_hang() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let kill_agent = |scene: &mut Scene| {
            let agent = scene.agent(Side::A).expect("an agent");
            kill(agent, Signal::SIGKILL).expect("it lives");
        };
        for _ in 0..2 {
            let before = scene.status(Side::A)["incarnation"].clone();
            kill_agent(&mut scene);
            scene.expect_soon("another agent", PATIENCE, |scene| {
                scene.try_status(Side::A).is_some_and(|status| status["incarnation"] != before)
            });
        }
        // The guard waits for a second, and after the next death for two.
        for is_stopped in [false, true] {
            kill_agent(&mut scene);
            std::thread::sleep(ms(100));
            let said = scene.say(Side::A, &["status"]);
            assert!(said.code == Some(6) && said.text.contains("has no agent now"), "{said:?}");
            if is_stopped {
                let guard = scene.guard(Side::A).expect("a guard");
                kill(guard, Signal::SIGSTOP).expect("it lives");
                let said = scene.say(Side::A, &["status"]);
                kill(guard, Signal::SIGCONT).expect("it lives");
                assert!(said.code == Some(6) && said.text.contains("it hangs"), "{said:?}");
            }
            scene.expect_soon("another agent", PATIENCE, |scene| scene.try_status(Side::A).is_some());
        }
    });
}
