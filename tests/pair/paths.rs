//! Rows 6, 9, 10 and 13: paths fail, both nodes live.

use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::Span;

use crate::lab::address_log::Wanted;
use crate::lab::cable::LineRule;
use crate::lab::clock::{duration, now};
use crate::lab::setup::{LAN_PORT, Setup};
use crate::lab::switch::{PortRules, Rule};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

const BOTH: [Side; 2] = [Side::A, Side::B];
const CABLE: usize = 0;
const LAN: usize = 1;
/// How long a path stays cut in both directions, or in one.
const CUT: Duration = Duration::from_secs(5);
const CUT_ONE_WAY: Duration = Duration::from_secs(2);
/// dead_after + interval.
const JEOPARDY_SHOWS_MS: u64 = 600;

/// One path fails for a while, in one direction or both, and is mended. Nothing moves; each node shows
/// jeopardy in time, with the exit code for it, and all is well again after the repair.
fn one_path_fails(scene: &Scene, path: usize, lasting: Duration, fail: impl Fn(), mend: impl Fn()) {
    let start = now();
    fail();
    for side in BOTH {
        let shown =
            scene.expect_soon("jeopardy", duration(at_most(JEOPARDY_SHOWS_MS)), |s| s.is_in_jeopardy(side));
        println!("{side:?} shows jeopardy after {}", shown.since(start));
        assert_eq!(scene.say(side, &["status"]).code, Some(4), "jeopardy has an exit code of its own");
    }
    thread::sleep(lasting);
    for side in BOTH {
        assert!(scene.is_in_jeopardy(side));
        assert_eq!(scene.path_state(side, 1 - path), "on time", "the other path carries on");
    }
    scene.assert_nothing_moved(Side::A, start);
    let mended = now();
    mend();
    for side in BOTH {
        let well = scene.expect_soon("the end of jeopardy", PATIENCE, |s| !s.is_in_jeopardy(side));
        assert!(
            well.since(mended) <= at_most(JEOPARDY_SHOWS_MS),
            "jeopardy ended {} late",
            well.since(mended)
        );
    }
    scene.settle(Side::A);
    scene.assert_nothing_moved(Side::A, start);
    scene.assert_never_both();
}

/// Fault: the cable is cut for 5 s.
/// Required: no move; jeopardy shows on both nodes within dead_after + interval, and clears on repair.
#[test]
fn row_6_cable_cut() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        one_path_fails(&scene, CABLE, CUT, || scene.cable().cut(), || scene.cable().heal());
    });
}

/// Fault: the heartbeats of the LAN are blocked for 5 s; carrier, ARP and the clients' traffic are not.
/// Required: no move; jeopardy shows on both nodes within dead_after + interval, and clears on repair.
#[test]
fn row_6_lan_beats_blocked() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        one_path_fails(&scene, LAN, CUT, || scene.block_lan_beats(true), || scene.block_lan_beats(false));
    });
}

/// Fault: the wire on which the active node sends breaks; it still hears the standby.
/// Required: no move, and the node that is not heard knows it.
#[test]
fn row_10_active_unheard_on_the_cable() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let cut = LineRule { cut: true, ..LineRule::default() };
        let fail = || scene.cable().set(Side::A, cut);
        one_path_fails(&scene, CABLE, CUT_ONE_WAY, fail, || scene.cable().heal());
    });
}

/// Fault: the LAN loses every beat that the standby sends; it still hears the active node.
/// Required: no move, and the node that is not heard knows it.
#[test]
fn row_10_standby_unheard_on_the_lan() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let fail = || scene.set_lan(Side::B, beats_lost_from_node());
        let mend = || scene.set_lan(Side::B, PortRules::default());
        one_path_fails(&scene, LAN, CUT_ONE_WAY, fail, mend);
    });
}

fn beats_lost_from_node() -> PortRules {
    let lost = Rule { blocked_udp_port: Some(LAN_PORT), ..Rule::default() };
    PortRules { from_node: lost, to_node: Rule::default() }
}

/// Fault: nothing that the active node sends arrives, on either path; it still hears the standby, and clients
/// still reach it. Required: it learns from the standby that it is heard no more and lets go before the
/// standby takes over; overlap 0.
#[test]
fn row_10_active_unheard_on_both_paths() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        scene.cable().set(Side::A, LineRule { cut: true, ..LineRule::default() });
        scene.set_lan(Side::A, beats_lost_from_node());
        let (_, served) = scene.wait_for_service_by(Side::B);
        let outage = scene.ping().longest_gap_since(start);
        println!("row 10, both paths: peer serves after {}, outage {outage}", served.since(start));
        assert!(served.since(start) <= at_most(550 + 300));
        assert!(scene.log_of(Side::A).contains("gw2 hears us on no path and will take over"));
        scene.assert_never_both();
        scene.heal().expect("mended");
        scene.settle(Side::B);
        assert_eq!(scene.holds().len(), 2, "nothing moves back: {:?}", scene.holds());
        scene.assert_never_both();
    });
}

/// Fault: nothing that the standby sends arrives, on either path; it still hears the active node.
/// Required: no move: the active node serves on alone.
#[test]
fn row_10_standby_unheard_on_both_paths() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        scene.cable().set(Side::B, LineRule { cut: true, ..LineRule::default() });
        scene.set_lan(Side::B, beats_lost_from_node());
        thread::sleep(ms(2_000));
        assert!(scene.is_in_jeopardy(Side::B), "it knows that it is not heard");
        scene.heal().expect("mended");
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, start);
    });
}

/// Fault: both paths are cut at once and the LAN with all its traffic, both nodes live, no witness; then all
/// is mended. Required: the documented split, and one active node two intervals after the first frame (which
/// leaves within one); the winner is the one with the higher term, and clients stay with it.
#[test]
fn row_9_split_and_healed() {
    testing::in_fair_lab(|| {
        // Neighbours would show which of the two is cut off.
        let quorum = "neighbours = false\n".to_owned();
        let scene = Scene::serving_with(Setup { quorum, ..Setup::default() }).may_split();
        scene.cable().cut();
        scene.set_lan(Side::A, PortRules::silent());
        scene.expect_soon("the split", PATIENCE, |scene| {
            scene.overlap().is_ok_and(|overlap| overlap > Span::ZERO)
        });
        thread::sleep(ms(1_000));
        let healed = now();
        scene.heal().expect("mended");
        let one = scene.wait_for(Wanted::Only(Side::B), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        println!("row 9: one active {} after the repair", one.since(healed));
        assert!(one.since(healed) <= at_most(300), "two actives for {}", one.since(healed));
        scene.settle(Side::B);
        scene.assert_outage_below(at_most(50), healed);
        assert_eq!(scene.holds().len(), 2, "the loser stays away: {:?}", scene.holds());
        for (side, end) in [(Side::A, "this node let it go"), (Side::B, "gw1 let it go")] {
            let log = scene.log_of(side);
            let incidents: Vec<&str> = log.lines().filter(|line| line.contains("INCIDENT")).collect();
            assert!(
                matches!(incidents[..], [line] if line.contains(end)),
                "one record on {side:?}: {incidents:?}"
            );
            assert!(scene.say(side, &["why"]).text.contains("INCIDENT"), "{side:?} can tell why");
        }
    });
}

/// Fault: the LAN carries no beats for 3 s. Then the backup's interface goes down and up, and the cable is
/// cut right after that.
/// Required: a path that came anew proves nothing: nothing moves, overlap 0.
#[test]
fn a_broken_path_that_comes_anew_moves_nothing_when_the_other_one_is_cut() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving_with(Setup { quorum: "neighbours = false\n".into(), ..Setup::default() });
        let since = now();
        scene.block_lan_beats(true);
        // So that no question of the backup's is answered either.
        scene.set_lan(Side::B, PortRules::silent());
        thread::sleep(ms(3_000));
        scene.at_node(Side::B, "ip link set eth0 down && ip link set eth0 up");
        scene.expect_soon("a path that was opened again", PATIENCE, |scene| {
            scene.path_state(Side::B, 1) == "unproven"
        });
        scene.cable().cut();
        thread::sleep(ms(3_000));
        assert_eq!(scene.role(Side::B), "backup");
        assert!(scene.is_in_jeopardy(Side::B));
        scene.assert_nothing_moved(Side::A, since);
        scene.assert_never_both();
    });
}

/// Fault: the LAN loses 40 % of the frames of the standby; then both paths lose about 20 %.
/// Required: no move.
#[test]
fn row_13_lossy_paths() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        scene.set_lan(Side::B, PortRules::both(Rule { loss_percent: 40, ..Rule::default() }));
        thread::sleep(ms(2_000));
        scene.set_lan(Side::B, PortRules::both(Rule { loss_percent: 20, ..Rule::default() }));
        for side in BOTH {
            // A frame of 64 bytes has 512 bits: 0.9996 to the power of 512 is 0.81.
            scene.cable().set(side, LineRule { bit_errors_per_million: 400, ..LineRule::default() });
        }
        thread::sleep(ms(2_000));
        scene.heal().expect("mended");
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, start);
        assert!(
            scene.status(Side::A)["paths"][CABLE]["refused"]["bad_CRC"].as_u64() > Some(0),
            "the errors were counted"
        );
    });
}
