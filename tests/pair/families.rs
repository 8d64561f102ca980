//! An IPv4 address and an IPv6 address: on two interfaces in one group, and on one interface in two.

use std::net::{IpAddr, Ipv6Addr};
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;

use crate::lab::address_log::Wanted;
use crate::lab::ping::Ping;
use crate::lab::setup::{Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

/// The service address outside.
const OUTSIDE: IpAddr = outside(0x100);
/// Row 1: dead_after and 50 ms.
const POWER_ROW_MS: u64 = 550;
/// How long is watched that nothing happens: four times dead_after and lease.
const WATCHED_MS: u64 = 6_000;

const fn outside(host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, host))
}

/// A pair that serves both; everybody has an IPv6 address of its own outside.
fn serving() -> Scene {
    let addresses = vec![format!("{VIP}/24@eth0"), format!("{OUTSIDE}/64@eth1")];
    let mut scene = Scene::new(Setup { addresses, second_lan: true, ..Setup::default() });
    for (side, host) in [(Side::A, 1), (Side::B, 2)] {
        let index = scene.switch().node_interface(scene.port(side, 1));
        scene.namespace(side).rtnl().add_address(index, outside(host), 64, None).expect("a node's own");
    }
    scene
        .client()
        .rtnl()
        .add_address(client_outside(&scene), outside(0x10), 64, None)
        .expect("the client's own");
    scene.begin(Side::A);
    scene.begin(Side::B);
    scene.settle(Side::A);
    wait_for_outside(&scene, Side::A);
    scene
}

/// Index of the client's second interface.
fn client_outside(scene: &Scene) -> u32 {
    scene.switch().node_interface(scene.client_port(1))
}

fn wait_for_outside(scene: &Scene, side: Side) {
    scene.log().wait_for(OUTSIDE, Wanted::Only(side), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
}

fn assert_never_both(scene: &Scene) {
    scene.assert_never_both();
    let overlap = scene.log().overlap(OUTSIDE).expect("the observer lost nothing");
    if overlap > Span::ZERO {
        crate::lab::fair::never_excused();
        panic!("both kernels held {OUTSIDE} for {overlap}");
    }
}

/// Fault: the active node loses its power.
/// Required: row 1 for the client of either address; overlap 0 of both.
#[test]
fn row_1_both_families_are_taken_over() {
    testing::in_fair_lab(|| {
        let mut scene = serving();
        let ping = Ping::start(scene.client(), OUTSIDE, scene.setup().ping_step).expect("another client");
        ping.wait_for_answer_after(crate::lab::clock::now(), PATIENCE).expect("it is served");
        let cut = scene.power_cut(Side::A).expect("its processes die");
        let (held, _) = scene.wait_for_service_by(Side::B);
        wait_for_outside(&scene, Side::B);
        ping.wait_for_answer_after(held, PATIENCE).expect("it is served again");
        let inside = scene.assert_outage_below(at_most(POWER_ROW_MS), cut);
        let outside = ping.longest_gap_since(cut);
        println!("row 1: outage {inside} of the IPv4 address, {outside} of the IPv6 address");
        assert!(outside.worst() <= at_most(POWER_ROW_MS), "the client outside was not served for {outside}");
        assert_never_both(&scene);
    });
}

/// Fault: the active node loses its power, and a stranger on the second network has the IPv6 address by then.
/// Required: no takeover by blind fight, of neither address: alarm with its MAC; once it is gone, the peer
/// takes both.
#[test]
fn row_23_a_stranger_has_the_other_familys_address() {
    testing::in_lab(|| {
        let mut scene = serving();
        let index = client_outside(&scene);
        scene.client().rtnl().add_address(index, OUTSIDE, 64, None).expect("the stranger has it");
        scene.power_cut(Side::A).expect("its processes die");
        let mac = |scene: &Scene| {
            let status = scene.try_status(Side::B)?;
            status["groups"][0]["foreign_mac"].as_str().map(str::to_owned)
        };
        scene.expect_soon("an alarm", PATIENCE, |scene| mac(scene).is_some());
        thread::sleep(ms(WATCHED_MS));
        for ip in [VIP, OUTSIDE] {
            let holds = scene.log().holds(ip).expect("the observer lost nothing");
            assert!(holds.iter().all(|hold| hold.side == Side::A), "{ip}: {holds:?}");
        }
        let mac = mac(&scene).expect("still");
        assert!(scene.log_of(Side::B).contains(&format!("{mac} answers for an address of it")));
        scene.client().rtnl().delete_address(index, OUTSIDE, 64).expect("the stranger goes");
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        wait_for_outside(&scene, Side::B);
        assert_never_both(&scene);
    });
}

/// A pair that serves both on one interface, each as a group of its own.
fn serving_on_one() -> Scene {
    let more = format!("[group.six]\nprefer = \"gw1\"\naddresses = [\"{OUTSIDE}/64@eth0\"]");
    let mut scene = Scene::new(Setup { more, ..Setup::default() });
    for side in [Side::A, Side::B] {
        scene.begin(side);
    }
    scene.settle(Side::A);
    wait_for_outside(&scene, Side::A);
    scene
}

/// Fault: both addresses are on one interface, the cable is cut, and the LAN drops the beats alone.
/// Required: the probe finds the IPv4 address, whatever listens for the IPv6 one: nothing moves.
#[test]
fn both_families_on_one_interface_are_asked_for() {
    testing::in_lab(|| {
        let scene = serving_on_one();
        scene.block_lan_beats(true);
        scene.cable().cut();
        thread::sleep(ms(WATCHED_MS));
        assert_never_both(&scene);
        for ip in [VIP, OUTSIDE] {
            let holds = scene.log().holds(ip).expect("the observer lost nothing");
            assert!(holds.iter().all(|hold| hold.side == Side::A), "{ip}: {holds:?}");
        }
    });
}

/// Fault: both addresses are on one interface, and both processes of the active node are killed.
/// Required: the peer takes over when the kernel has let go, never before.
#[test]
fn both_families_on_one_interface_are_waited_for() {
    testing::in_lab(|| {
        let mut scene = serving_on_one();
        scene.kill(Side::A).expect("both processes die");
        scene.wait_for_service_by(Side::B);
        wait_for_outside(&scene, Side::B);
        assert_never_both(&scene);
    });
}
