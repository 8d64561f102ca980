//! Recipes of firmware-notes/recipes.md that need more than one group or one LAN.

use std::net::{IpAddr, Ipv4Addr};

use crosswire::pair::Side;

use crate::lab::executable::write_executable;
use crate::lab::setup::{Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};

/// The address of the second group, or of the other side of a gateway.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 101));
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 78, 0, 100));

/// Which nodes' kernels have an address.
fn holders(scene: &Scene, ip: IpAddr) -> Vec<Side> {
    let has = |side: &Side| {
        let held = scene.namespace(*side).rtnl().addresses().expect("the kernel's addresses");
        held.iter().any(|held| held.ip == ip)
    };
    [Side::A, Side::B].into_iter().filter(has).collect()
}

fn expect_holders(scene: &Scene, wanted: [(IpAddr, Side); 2]) {
    scene.expect_soon(&format!("{wanted:?}"), PATIENCE, |scene| {
        wanted.iter().all(|(ip, side)| holders(scene, *ip) == [*side])
    });
}

/// A web server for one address, as a script of the group that has it; each box has its own.
const WEB: &str = r#"#!/bin/sh
# web ADDRESS start|stop|monitor
pid_file=PLACE/$(readlink /proc/self/ns/net | tr -dc 0-9)-$1.pid
case "$2" in
start) exec start-stop-daemon --start --oknodo --quiet --background --make-pidfile --pidfile "$pid_file" \
    --exec /bin/busybox -- httpd -f -p "$1:80" -h PLACE ;;
stop) exec start-stop-daemon --stop --oknodo --quiet --retry 5 --remove-pidfile --pidfile "$pid_file" \
    --exec /bin/busybox ;;
monitor) exec start-stop-daemon --status --pidfile "$pid_file" --exec /bin/busybox ;;
*) exit 3 ;;
esac
"#;

/// The client gets the page at both addresses.
fn assert_both_served(what: &str, scene: &Scene) {
    for ip in [VIP, OTHER] {
        scene.expect_soon(&format!("{what}: a page at {ip}"), PATIENCE, |scene| {
            scene.at_client(&["wget", "-O", "-", &format!("http://{ip}/")]).text.contains("a page\n")
        });
    }
}

/// Situation: two groups, each an address with its web server and another preferred node; then the one node
/// loses its power, and comes back. Required: each serves its own; then one serves both; then each its own
/// again, as `failback` says; the client gets its pages throughout; never both the same.
#[test]
fn active_active() {
    if !testing::has_tools(&["/bin/busybox", "/sbin/start-stop-daemon"]) {
        return;
    }
    testing::in_fair_lab(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let web = directory.path().join("web");
        write_executable(&web, &WEB.replace("PLACE", &directory.path().display().to_string()));
        std::fs::write(directory.path().join("index.html"), "a page\n").expect("a page");
        let serves = |ip: IpAddr| format!("exec:{} {ip}", web.display());
        let more = format!(
            "safety = \"probe\"\nfailback = \"immediate\"\n[group.other]\nprefer = \"gw2\"\nfailback \
                = \"immediate\"\n\
             addresses = [\"{OTHER}/24@eth0\"]\nscripts = [{:?}]\nsafety = \"probe\"",
            serves(OTHER)
        );
        let mut scene =
            Scene::new(Setup { prefer: Some(Side::A), scripts: vec![serves(VIP)], more, ..Setup::default() });
        scene.begin(Side::A);
        scene.begin(Side::B);
        expect_holders(&scene, [(VIP, Side::A), (OTHER, Side::B)]);
        assert_both_served("at first", &scene);
        scene.power_cut(Side::A).expect("its processes die");
        // The kernel of a node without power has its address still, in a namespace that nobody reaches.
        scene.expect_soon("both at gw2", PATIENCE, |scene| {
            [VIP, OTHER].iter().all(|ip| holders(scene, *ip).contains(&Side::B))
        });
        assert_both_served("by one alone", &scene);
        scene.power_on(Side::A).expect("power");
        scene.begin(Side::A);
        expect_holders(&scene, [(VIP, Side::A), (OTHER, Side::B)]);
        assert_both_served("after the return", &scene);
        // One flag says what a peer wants: an operator who did nothing is not named.
        let log = scene.log_of(Side::B);
        assert!(log.contains("gw1 asked for it, by an order there or as its failback"), "{log}");
        scene.assert_never_both();
    });
}

/// Situation: a gateway whose group has an address inside and one outside; the outside loses its carrier on
/// the active node. Required: both addresses move together.
#[test]
fn a_gateway_moves_with_both_its_sides() {
    testing::in_fair_lab(|| {
        let addresses = vec![format!("{VIP}/24@eth0"), format!("{OUTSIDE}/24@eth1")];
        let scene = Scene::serving_with(Setup {
            addresses,
            second_lan: true,
            prefer: Some(Side::A),
            ..Setup::default()
        });
        expect_holders(&scene, [(VIP, Side::A), (OUTSIDE, Side::A)]);
        scene.switch().set_carrier(scene.port(Side::A, 1), false).expect("no carrier outside");
        expect_holders(&scene, [(VIP, Side::B), (OUTSIDE, Side::B)]);
        scene.wait_for_service_by(Side::B);
        scene.switch().set_carrier(scene.port(Side::A, 1), true).expect("carrier outside");
        scene.settle(Side::B);
        scene.assert_never_both();
    });
}

/// Situation: data are copied by cron, on the box of which `status` says that it stands by; then the active
/// box loses its power. Required: those are the words on the backup alone, and on nobody afterwards: what is
/// served is never overwritten.
#[test]
fn copies_are_made_by_the_box_that_stands_by() {
    let recipes = include_str!("../../firmware-notes/recipes.md");
    assert!(recipes.contains("crosswire status --json | grep -q '\"role\":\"backup\"' && rsync "));
    testing::in_lab(|| {
        let mut scene = Scene::serving();
        let stands_by = |scene: &Scene, side: Side| {
            scene.say(side, &["status", "--json"]).text.contains("\"role\":\"backup\"")
        };
        assert!(stands_by(&scene, Side::B) && !stands_by(&scene, Side::A));
        scene.power_cut(Side::A).expect("its processes die");
        scene.wait_for_service_by(Side::B);
        scene.expect_service_by(Side::B);
        assert!(!stands_by(&scene, Side::B));
    });
}
