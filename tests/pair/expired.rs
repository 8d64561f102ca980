//! What the wire shows of a kernel that has let the service address go, while its box lives on.

use std::sync::Mutex;
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::signal::{Signal, kill};

use crate::lab::clock::now;
use crate::lab::modem::Wiring;
use crate::lab::setup::{PREFIX, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

/// From the end of the address in the one kernel until the other one has it: a question, which leaves once an
/// interval, and four more soon after; while the peer is heard, also a claim and its acknowledgement.
const SEEN_MS: u64 = 350;

/// gw1 has lost its daemon, or a part of it: its kernel lets the address go when its lifetime ends, and gw2
/// has seen that soon after. Returns how long nobody had it.
fn gap_after(scene: &Scene) -> Span {
    let (held, _) = scene.wait_for_service_by(Side::B);
    let gone = scene.holds()[0].until.expect("gw1 holds it no more");
    scene.assert_never_both();
    held.since(gone)
}

fn kill_guard(scene: &mut Scene) {
    kill(scene.guard(Side::A).expect("a guard"), Signal::SIGKILL).expect("it lives");
}

fn stop_all(scene: &mut Scene) {
    scene.signal_all(Side::A, Signal::SIGSTOP).expect("both stop");
}

/// A pair on a cable with all lines, which both nodes believe.
pub fn with_lines(setup: Setup) -> Scene {
    let scene = Scene::serving_with(Setup { lines: Some(Wiring::Full), ..setup });
    for (side, reading) in [(Side::A, "running"), (Side::B, "running and holding")] {
        scene.expect_soon("lines that are believed", PATIENCE, |scene| {
            scene.status(side)["paths"][0]["lines"] == reading
        });
    }
    scene
}

/// Fault: kill -9 of the guard of the active node. Required: its agent says that it cannot serve, and the
/// peer, which hears that, waits for nothing but the end of the address in that kernel.
#[test]
fn a_killed_guard_costs_what_its_kernel_needs_and_no_more() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        kill_guard(&mut scene);
        let gap = gap_after(&scene);
        println!("killed guard: nobody had the address for {gap}");
        assert!(gap <= at_most(SEEN_MS), "nobody had it for {gap}");
    });
}

/// Fault: both processes of the active node stop behind a full cable, whose lines stay on. Required: taken
/// over once its kernel has let the address go, not when it must have done so at the latest.
#[test]
fn a_daemon_that_stands_still_behind_a_full_cable_is_seen_to_have_let_go() {
    testing::in_fair_lab(|| {
        let mut scene = with_lines(Setup::default());
        let stopped = now();
        stop_all(&mut scene);
        let gap = gap_after(&scene);
        println!("stopped behind a full cable: nobody had the address for {gap}");
        assert!(gap <= at_most(SEEN_MS), "nobody had it for {gap}");
        assert!(now().since(stopped) < Span::from_ms(2_600) + at_most(SEEN_MS));
    });
}

/// Fault: both paths of a pair are cut for heartbeats, while questions pass; then the address is taken away
/// from the active node by hand. Required: nothing moves as long as it answers; then it is not put back: that
/// node lets go, and the peer, which has seen it gone, serves. Overlap 0.
#[test]
fn what_is_taken_away_by_hand_from_a_node_that_nobody_hears_is_not_put_back() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        scene.block_lan_beats(true);
        scene.cable().cut();
        thread::sleep(ms(2_000));
        assert_eq!(scene.holds().len(), 1, "it answers: {:?}", scene.holds());
        let (rtnl, interface) = (scene.namespace(Side::A).rtnl(), scene.interface(Side::A));
        rtnl.delete_address(interface, VIP, PREFIX).expect("taken away");
        let (_, served) = scene.wait_for_service_by(Side::B);
        println!("by hand: served {} after it has gone", served.since(scene.holds()[0].until.expect("gone")));
        thread::sleep(ms(2_000));
        scene.assert_never_both();
        assert_eq!(scene.holds().len(), 2, "{:?}", scene.holds());
        assert!(scene.log_of(Side::A).contains("is not put back"), "{}", scene.log_of(Side::A));
        scene.block_lan_beats(false);
        scene.cable().heal();
        scene.settle(Side::B);
        scene.assert_never_both();
    });
}

/// Fault: the same on a node whose peer acknowledges it. Required: it is back with the next order, and
/// nothing moves.
#[test]
fn what_is_taken_away_by_hand_beside_a_peer_comes_back() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let (rtnl, interface) = (scene.namespace(Side::A).rtnl(), scene.interface(Side::A));
        for _ in 0..5 {
            let gone = now();
            rtnl.delete_address(interface, VIP, PREFIX).expect("taken away");
            let back = scene.expect_soon("the address", PATIENCE, |scene| {
                scene.holds().last().is_some_and(|hold| hold.until.is_none() && hold.from > gone)
            });
            println!("back after {}", back.since(gone));
            thread::sleep(ms(150));
        }
        assert!(scene.holds().iter().all(|hold| hold.side == Side::A), "{:?}", scene.holds());
    });
}

/// Prints what lasted so long: the median, and all.
pub fn print_median(what: &str, spans: Mutex<Vec<Span>>) {
    let mut spans = spans.into_inner().expect("no panic");
    spans.sort();
    println!("{what} for {} (median), of {spans:?}", spans[spans.len() / 2]);
}

/// Figures: how long nobody has the address after its daemon was lost, as medians of ten.
#[test]
#[ignore = "prints figures; takes two minutes"]
fn medians_of_ten() {
    type Loss = (&'static str, fn(Setup) -> Scene, fn(&mut Scene));
    let lost: [Loss; 4] = [
        ("killed guard", Scene::serving_with, kill_guard),
        ("killed guard, full cable", with_lines, kill_guard),
        ("both stopped", Scene::serving_with, stop_all),
        ("both stopped, full cable", with_lines, stop_all),
    ];
    for (what, scene, lose) in lost {
        let gaps = Mutex::new(Vec::new());
        for _ in 0..10 {
            testing::in_fair_lab(|| {
                let mut scene = scene(Setup::default());
                thread::sleep(ms(500));
                lose(&mut scene);
                let gap = gap_after(&scene);
                gaps.lock().expect("no panic").push(gap);
            });
        }
        print_median(&format!("{what}: nobody had the address"), gaps);
    }
}
