//! The LAN itself as a witness, out of the box: the client is the third party that nobody has configured.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::Instant;

use crate::expired::print_median;
use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::setup::{PREFIX, Setup, VIP, client_address};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most};

/// Handed over by cable within this of the last frame that was heard from the LAN.
const HANDED_OVER_MS: u64 = 2_000;
/// After a cut its end is known, and who is there.
const KNOWN_MS: u64 = 3_000;

fn status(scene: &Scene, side: Side) -> String {
    scene.say(side, &["status"]).text
}

/// The switch port of a box carries nothing any more; its link light stays on. Returns since when.
pub fn silence_port(scene: &Scene, side: Side) -> Instant {
    let since = now();
    scene.set_lan(side, PortRules::silent());
    since
}

/// Until each node has heard that somebody else is there.
pub fn wait_until_known(scene: &Scene) {
    for side in [Side::A, Side::B] {
        scene.expect_soon("a neighbour that was heard", PATIENCE, |scene| {
            status(scene, side).contains("eth0      neighbours answer")
        });
    }
}

/// Fault: the active's switch port goes silent; carrier stays, the cable works, no witness is configured.
/// Required: handed over by cable within 2 s of the last frame heard from the LAN; overlap 0. Once the port
/// is back, the node soon knows that others are there.
#[test]
fn row_27_silent_port_of_the_active() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        wait_until_known(&scene);
        let since = silence_port(&scene, Side::A);
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).expect("gw2 serves");
        let outage = scene.assert_outage_below(at_most(HANDED_OVER_MS), since);
        println!("row 27: outage {outage}");
        thread::sleep(Duration::from_secs(2));
        scene.assert_never_both();
        assert!(scene.log_of(Side::A).contains("eth0 is cut off"), "{}", scene.log_of(Side::A));
        let why = scene.say(Side::A, &["why"]).text;
        assert!(why.contains("no neighbour answers"), "{why}");
        let healed = now();
        scene.heal().expect("healed");
        scene.expect_soon("the end of the cut", PATIENCE, |scene| {
            scene.log_of(Side::A).contains("eth0 is not cut off any more")
        });
        // The client speaks to the other node by now: it has to be asked.
        let known = scene.expect_soon("a neighbour that was heard", PATIENCE, |scene| {
            status(scene, Side::A).contains("eth0      neighbours answer")
        });
        assert!(known.since(healed) <= at_most(KNOWN_MS), "only after {}", known.since(healed));
        scene.settle(Side::B);
        scene.assert_never_both();
    });
}

/// No fault. On the second LAN nobody speaks by himself but the nodes; their kernels know a gateway there.
/// Required: each node asks it, and knows that somebody else is there.
#[test]
fn a_gateway_that_never_speaks_is_asked() {
    testing::in_fair_lab(|| {
        let addresses = vec![format!("{VIP}/{PREFIX}@eth0"), format!("10.78.0.100/{PREFIX}@eth1")];
        let mut scene = Scene::new(Setup { second_lan: true, addresses, ..Setup::default() });
        for side in [Side::A, Side::B] {
            scene.at_node(side, &format!("ip route add default via {}", client_address(1)));
            scene.begin(side);
        }
        for side in [Side::A, Side::B] {
            scene.expect_soon("a gateway that was asked", PATIENCE, |scene| {
                status(scene, side).contains("eth1      neighbours answer")
            });
        }
    });
}

/// Fault: the same, and the cable is cut at the same instant.
/// Required: only the side with neighbours serves; overlap 0.
#[test]
fn row_28_silent_port_of_the_active_and_cut_cable() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        wait_until_known(&scene);
        let since = silence_port(&scene, Side::A);
        scene.cable().cut();
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).expect("gw2 serves");
        let outage = scene.assert_outage_below(at_most(1_000), since);
        println!("row 28: outage {outage}");
        thread::sleep(Duration::from_secs(3));
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).expect("gw2 goes on");
        scene.assert_never_both();
        assert!(scene.log_of(Side::A).contains("no neighbour answers"), "{}", scene.log_of(Side::A));
    });
}

/// Fault: the same on the backup.
/// Required: the active serves on; the backup takes nothing, and says why.
#[test]
fn row_28_silent_port_of_the_backup_and_cut_cable() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        wait_until_known(&scene);
        let since = silence_port(&scene, Side::B);
        scene.cable().cut();
        thread::sleep(Duration::from_secs(4));
        scene.assert_nothing_moved(Side::A, since);
        scene.assert_never_both();
        let said = scene.say(Side::B, &["why"]).text;
        assert!(said.contains("it may be this node that is cut off"), "{said}");
    });
}

/// Fault: the cable has been dead for a while, then the active loses power; `in_jeopardy = "neighbours"`.
/// Required: taken over at dead_after.
#[test]
fn row_30_dead_cable_then_power_cut_among_neighbours() {
    testing::in_fair_lab(|| {
        let quorum = "in_jeopardy = \"neighbours\"\n".to_owned();
        let mut scene = Scene::serving_with(Setup { quorum, ..Setup::default() });
        wait_until_known(&scene);
        scene.cable().cut();
        thread::sleep(Duration::from_secs(3));
        let cut = scene.power_cut(Side::A).expect("its processes die");
        scene.wait_for_service_by(Side::B);
        let outage = scene.assert_outage_below(at_most(600), cut);
        println!("row 30: outage {outage}");
        scene.assert_never_both();
    });
}

/// Fault: the active loses power; then the interface of the other one goes down and up, twice.
/// Required: each time the survivor serves again, since somebody else is there.
#[test]
fn a_lone_survivor_whose_interface_comes_anew_twice_serves_again() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        wait_until_known(&scene);
        scene.power_cut(Side::A).expect("its processes die");
        scene.wait_for_service_by(Side::B);
        for _ in 0..2 {
            thread::sleep(Duration::from_secs(7));
            scene.at_node(Side::B, "ip link set eth0 down && sleep 1 && ip link set eth0 up");
            scene.wait_for_service_by(Side::B);
            scene.expect_soon("a neighbour that was heard", PATIENCE, |scene| {
                status(scene, Side::B).contains("eth0      neighbours answer")
            });
        }
    });
}

/// No fault: a quiet LAN at rest.
/// Required: at most one question to the neighbours in 30 s.
#[test]
fn a_quiet_lan_is_asked_seldom() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        wait_until_known(&scene);
        let before = scene.switch().counters(scene.client_port(0)).to_node;
        let echoes = scene.ping().sent();
        thread::sleep(Duration::from_secs(20));
        let more = scene.switch().counters(scene.client_port(0)).to_node - before;
        let answered = scene.ping().sent() - echoes;
        println!("{more} frames to the client, {answered} of them answers to it");
        assert!(more <= answered + 40, "{more} frames, {answered} echoes");
    });
}

/// Figures: the outage after a silent port, and after a silent port and a cut cable, as medians of ten.
#[test]
#[ignore = "prints figures; takes two minutes"]
fn medians_of_ten() {
    for cut in [false, true] {
        let outages = Mutex::new(Vec::new());
        for _ in 0..10 {
            testing::in_fair_lab(|| {
                let scene = Scene::serving();
                wait_until_known(&scene);
                let since = silence_port(&scene, Side::A);
                if cut {
                    scene.cable().cut();
                }
                scene.wait_for(Wanted::Only(Side::B), PATIENCE).expect("gw2 serves");
                let outage = scene.assert_outage_below(at_most(HANDED_OVER_MS), since);
                scene.assert_never_both();
                outages.lock().expect("no panic").push(outage);
            });
        }
        print_median(&format!("silent port, cable cut {cut}: outage"), outages);
    }
}
