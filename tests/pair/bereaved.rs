//! A guard without an agent, and an agent without a guard: what commands say, and what a start does.

use crosswire::pair::Side;
use nix::sys::signal::{Signal, kill};

use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};

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
            let config = scene.directory(victim).join("crosswire.toml").display().to_string();
            let node = if victim == Side::A { "gw1" } else { "gw2" };
            let said = scene.say(victim, &["check", "--config", &config, "--node", node]);
            assert!(said.code == Some(0) && said.text.contains("a start waits for its end"), "{said:?}");
            assert!(!said.text.contains("OK"), "{said:?}");
            let said = scene.say(victim, &["reload"]);
            assert!(said.code == Some(3) && said.text.contains("is gone: start it"), "{said:?}");
            scene.begin(victim);
            scene.expect_soon("a start that waits", PATIENCE, |scene| {
                scene.log_of(victim).contains("a start waits for its end")
            });
            // Until then the agent of the run before answers.
            scene.expect_soon("a start that goes on", PATIENCE, |scene| {
                let log = scene.log_of(victim);
                log.split("a start waits for its end").nth(1).is_some_and(|rest| rest.contains("this is"))
            });
            scene.settle(victim.peer());
            assert_eq!(scene.process(victim).expect("started").ended().expect("known"), None);
            let said = scene.say(victim, &["check", "--config", &config, "--node", node]);
            assert!(said.code == Some(0) && said.text.contains("OK"), "{said:?}");
            scene.assert_never_both();
        }
    });
}
