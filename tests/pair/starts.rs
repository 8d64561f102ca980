//! Rows 17 and 20: boots, and ports that others use.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;

use crosswire::pair::Side;
use nix::libc;

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::setup::{Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

/// How long a lone node listens here.
const COLD_START_MS: u32 = 2_000;

/// Fault: both nodes boot at once.
/// Required: one active within 1 s; never both.
#[test]
fn row_17_both_boot_at_once() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::new(Setup::default());
        let start = now();
        scene.begin(Side::B);
        scene.begin(Side::A);
        let held = scene.wait_for(Wanted::One, PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        println!("row 17: one active after {}", held.since(start));
        assert!(held.since(start) <= at_most(1_000));
        scene.settle(Side::A);
        assert_eq!(scene.holds().len(), 1, "and there it stays: {:?}", scene.holds());
    });
}

/// Fault: both nodes boot at once, and the other one is preferred.
/// Required: that one serves.
#[test]
fn row_17_the_preferred_node_serves() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::new(Setup { prefer: Some(Side::B), ..Setup::default() });
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::B);
        assert_eq!(scene.holds().len(), 1, "{:?}", scene.holds());
    });
}

/// Fault: one node boots alone, then the other.
/// Required: it serves after cold_start and not before; the other one joins it without a move.
#[test]
fn row_17_one_boots_alone() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::new(Setup { cold_start_ms: Some(COLD_START_MS), ..Setup::default() });
        let start = now();
        scene.begin(Side::A);
        let (held, served) = scene.wait_for_service_by(Side::A);
        println!("row 17, alone: serves after {}", held.since(start));
        assert!(held.since(start).as_ms() >= u64::from(COLD_START_MS), "before cold_start was over");
        assert!(served.since(start) <= at_most(u64::from(COLD_START_MS)));
        scene.begin(Side::B);
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, served);
    });
}

/// Fault: the second node boots alone, after a power cut of both.
/// Required: as the first, a little later.
#[test]
fn row_17_the_second_boots_alone() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::new(Setup { cold_start_ms: Some(1_000), ..Setup::default() });
        let start = now();
        scene.begin(Side::B);
        let (held, _) = scene.wait_for_service_by(Side::B);
        assert!(
            held.since(start).as_ms() >= 1_600,
            "the other node goes first: it is given interval + dead_after more"
        );
        assert!(held.since(start) <= at_most(1_600));
    });
}

/// Fault: the daemon of the active node is killed and started again before dead_after has passed; its kernel
/// still has the address. Required: one active, never both, and not the old address without its owner.
#[test]
fn row_17_restart_faster_than_dead_after() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let start = now();
        scene.kill(Side::A).expect("both die");
        scene.begin(Side::A);
        let held = scene.expect_soon("one active by its own account too", PATIENCE, |scene| {
            let active = [Side::A, Side::B].map(|side| {
                scene.try_status(side).is_some_and(|status| status["groups"][0]["role"] == "active")
            });
            active[0] != active[1] && scene.log().holders(VIP).is_ok_and(|holders| holders == active)
        });
        let holder = scene.holder().expect("the observer lost nothing").expect("one of them");
        scene.settle(holder);
        let outage = scene.ping().longest_gap_since(start);
        println!("row 17, restart: {holder:?} serves after {}, outage {outage}", held.since(start));
        scene.assert_never_both();
    });
}

/// Fault: another program opens the serial port of the active node and swallows what arrives there.
/// Required: no move; the port is back by itself when that program goes.
#[test]
fn row_20_another_program_opens_the_port() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        let device = scene.cable().device(Side::A).to_owned();
        let open =
            || File::options().read(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(&device);
        // The daemon's exclusive mark binds a program in a user namespace; the laboratory takes it off again
        // and again.
        scene.expect_soon("a way into the port", PATIENCE, |_| open().is_ok());
        let mut port = (0..30_000)
            .find_map(|_| {
                thread::sleep(ms(1));
                open().ok()
            })
            .expect("the port opens");
        let mut swallowed = 0;
        while now().since(start).as_ms() < 2_000 {
            swallowed += port.read(&mut [0; 64]).unwrap_or(0);
        }
        assert!(swallowed > 0, "it got some of the bytes");
        drop(port);
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, start);
    });
}
