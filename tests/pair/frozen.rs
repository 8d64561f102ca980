//! Row 25: a whole box stands still and goes on, as under a hypervisor that pauses it.

use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::signal::Signal;

use crate::lab::clock::now;
use crate::lab::testing;
use crate::processes::{assert_peer_takes_what_the_kernel_let_go, sleep_until_ms};
use crate::scene::{PATIENCE, Scene, at_most, ms};

/// How long it stands still.
const FROZEN_MS: u64 = 10_000;
/// Two intervals of timing R.
const QUIET_MS: u64 = 200;

/// Fault: every process of the active node stands still for 10 s and goes on; its kernel lives, as that of a
/// box does whose clock was stopped with it. Required: the peer serves at most 300 ms after the lifetime has
/// taken the address from that kernel; overlap 0. The thawed node takes nothing back, and has let go two
/// intervals after its first exchange; the client notices nothing of its return.
#[test]
fn row_25_frozen_and_thawed() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        scene.signal_all(Side::A, Signal::SIGSTOP).expect("it stands still");
        let frozen = now();
        // No later than a lease, what its end may slip, and three intervals.
        assert_peer_takes_what_the_kernel_let_go("row 25", &scene, frozen, Span::ZERO);
        sleep_until_ms(frozen, FROZEN_MS);
        let thawed = now();
        scene.signal_all(Side::A, Signal::SIGCONT).expect("it goes on");
        let quiet = scene.expect_soon("a word of the thawed node", PATIENCE, |scene| {
            scene.try_status(Side::A).is_some_and(|status| {
                let role = status["groups"][0]["role"].as_str().unwrap_or_default().to_owned();
                role == "backup" || role == "faulty"
            })
        });
        println!("row 25: quiet {} after the thaw", quiet.since(thawed));
        assert!(
            quiet.since(thawed) <= at_most(QUIET_MS),
            "quiet only {} after the thaw",
            quiet.since(thawed)
        );
        thread::sleep(ms(2_000));
        assert_eq!(scene.holds().len(), 2, "nothing is taken back: {:?}", scene.holds());
        scene.assert_outage_below(at_most(50), thawed);
        scene.assert_never_both();
        scene.expect_soon("a pair at rest", PATIENCE, |scene| scene.is_at_rest(Side::B, "active"));
    });
}
