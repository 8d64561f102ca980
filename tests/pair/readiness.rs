//! Whether the backup is ready: checks that run on it, and interfaces that are dark on both nodes.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use crosswire::pair::Side;
use nix::sys::signal::{Signal, kill};

use crate::lab::clock::now;
use crate::lab::setup::{PREFIX, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms, unwrapped};
use crate::scripts::Service;

const BOTH: [Side; 2] = [Side::A, Side::B];
/// The service address outside.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 78, 0, 100));

/// Both nodes check themselves once a second with what is a service elsewhere.
fn checked_by(service: &Service) -> Setup {
    let run = service.label();
    let more = format!("\nready = [{{ run = \"{run}\", monitor = \"1s\", monitor_timeout = \"1s\" }}]\n");
    Setup { more, ..Setup::default() }
}

/// How often a node was checked.
fn looks_at(service: &Service, name: &str) -> usize {
    service.story().iter().filter(|line| line.starts_with(&format!("{name} monitor"))).count()
}

fn code(scene: &Scene, side: Side) -> Option<i32> {
    scene.say(side, &["status"]).code
}

/// Fault: a check fails on the backup. Required: both nodes say within a second of the next look that the
/// pair is without redundancy, the backup by the name of the check and how it failed; nothing is handed
/// over on request; after the check works again, it is. The node that serves is not checked.
#[test]
fn a_check_that_fails_is_named_and_nothing_is_handed_to_that_node() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let scene = Scene::serving_with(checked_by(&service));
        scene.expect_soon("two nodes that are well", PATIENCE, |scene| {
            BOTH.iter().all(|side| code(scene, *side) == Some(0))
        });
        let began = now();
        service.does("gw2-monitor", "exit 9");
        scene.expect_soon("word of it", PATIENCE, |scene| {
            BOTH.iter().all(|side| code(scene, *side) == Some(4))
        });
        println!("a check every second: said after {}", now().since(began));
        let [near, far] = BOTH.map(|side| unwrapped(&scene.say(side, &["status"]).text));
        let all_the_same = "it takes over from a dead peer all the same";
        let there = format!("gw2 is not ready: a check of gateway fails there; {all_the_same}");
        assert!(near.contains(&there), "{near}");
        let name = format!("{} fails: this node is not ready to serve; exit code 9", service.label());
        assert!(far.contains(&name), "{far}");
        let said = scene.say(Side::A, &["handover", "gateway"]);
        assert!(said.code == Some(1) && said.text.starts_with("refused: "), "{said:?}");
        thread::sleep(ms(3_000));
        let log = scene.log_of(Side::B);
        assert_eq!(log.matches("failed with exit code 9").count(), 1, "one line for each change: {log}");
        service.works("gw2-monitor");
        scene.expect_soon("two nodes that are well", PATIENCE, |scene| {
            BOTH.iter().all(|side| code(scene, *side) == Some(0))
        });
        let by_a = looks_at(&service, "gw1");
        assert!(by_a <= 1, "who serves is not checked, but for once before: {:?}", service.story());
        let said = scene.say(Side::A, &["handover", "gateway"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.expect_service_by(Side::B);
        scene.expect_soon("checks of the new backup", PATIENCE, |_| looks_at(&service, "gw1") > by_a);
        scene.assert_never_both();
    });
}

/// Fault: the check hangs, then the agent of the backup is killed, then the active node loses its power.
/// Required: it counts as failed; the new agent says so too; the backup takes over all the same.
#[test]
fn a_node_that_is_not_ready_is_better_than_none() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let mut scene = Scene::serving_with(checked_by(&service));
        service.does("gw2-monitor", "sleep 600");
        let is_said =
            |scene: &Scene| unwrapped(&scene.say(Side::B, &["status"]).text).contains("not done in 1 s");
        scene.expect_soon("word of it", PATIENCE, is_said);
        let agent = scene.agent(Side::B).expect("an agent");
        kill(agent, Signal::SIGKILL).expect("killed");
        thread::sleep(ms(1_000));
        scene.expect_soon("a new agent that says so too", PATIENCE, is_said);
        thread::sleep(ms(1_000));
        let lost = scene.power_cut(Side::A).expect("off");
        let (held, _) = scene.wait_for_service_by(Side::B);
        assert!(held.since(lost) <= at_most(600), "held only after {}", held.since(lost));
        scene.assert_never_both();
    });
}

/// Fault: one of the group's two interfaces is dark on both nodes, as a line that only one box can be plugged
/// into; then the active node loses its power; then the agent of the other one is killed; then that one's
/// interface is repaired, and dark once more. Required: nothing moves; the backup takes over on time; and it
/// goes on, alone.
#[test]
fn the_rest_is_served_where_an_interface_is_dark_on_both() {
    testing::in_fair_lab(|| {
        let addresses = vec![format!("{VIP}/{PREFIX}@eth0"), format!("{OUTSIDE}/24@eth1")];
        let mut scene = Scene::serving_with(Setup { addresses, second_lan: true, ..Setup::default() });
        let began = now();
        for side in [Side::B, Side::A] {
            scene.set_second_carrier(side, false).expect("no carrier");
        }
        thread::sleep(ms(2_000));
        scene.assert_nothing_moved(Side::A, began);
        let said = scene.say(Side::B, &["status"]);
        assert!(said.code == Some(0) && said.text.contains("NO CARRIER"), "{said:?}");
        let lost = scene.power_cut(Side::A).expect("off");
        let (held, _) = scene.wait_for_service_by(Side::B);
        println!("dark on both: held after {}", held.since(lost));
        assert!(held.since(lost) <= at_most(600), "held only after {}", held.since(lost));
        let agent = scene.agent(Side::B).expect("an agent");
        kill(agent, Signal::SIGKILL).expect("killed");
        thread::sleep(ms(4_000));
        for is_lit in [true, false] {
            scene.set_second_carrier(Side::B, is_lit).expect("done");
            thread::sleep(ms(2_000));
            let holds = scene.holds();
            assert!(
                matches!(&holds[..], [_, last] if last.side == Side::B && last.until.is_none()),
                "lit: {is_lit}, {holds:?}"
            );
        }
        scene.assert_never_both();
    });
}
