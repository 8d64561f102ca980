//! The recipe of an IPv6 gateway, with the real radvd: it speaks from the link-local service address, on the
//! node that serves.
//!
//! Debian's radvd and busybox are needed; `.ci/run machine` installs them.

use std::fs;

use crosswire::pair::Side;

use crate::lab::executable::write_executable;
use crate::lab::setup::{GROUP, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};

/// As in firmware-notes/recipes.md, with a prefix and a place of the test's own.
const CONFIGURATION: &str = "interface eth0 {\n    AdvSendAdvert on;\n    MinRtrAdvInterval 3;\n    \
     MaxRtrAdvInterval 4;\n    AdvRASrcAddress { fe80::1; };\n    prefix fd78:0:0:1::/64 { };\n};\n";
const SCRIPT: &str = r#"#!/bin/sh
pid_file=PLACE/$(readlink /proc/self/ns/net | tr -dc 0-9).pid
case "$1" in
start) exec /usr/sbin/radvd -C PLACE/radvd.conf -p "$pid_file" -m stderr ;;
stop) exec start-stop-daemon --stop --oknodo --quiet --retry 5 --remove-pidfile --pidfile "$pid_file" \
    --exec /usr/sbin/radvd ;;
monitor) exec start-stop-daemon --status --pidfile "$pid_file" --exec /usr/sbin/radvd ;;
*) exit 3 ;;
esac
"#;

/// The client has learned its way out, by the link-local service address.
fn expect_way_out(what: &str, scene: &Scene) {
    scene.expect_soon(&format!("{what}: a way out by fe80::1"), PATIENCE, |scene| {
        scene.at_client(&["ip", "-6", "route"]).text.contains("default via fe80::1 ")
    });
}

/// Fault: the active node loses its power, after a handover to it.
/// Required: the client's way out stays the same; whoever serves goes on to tell it; the other one is silent.
#[test]
fn radvd_speaks_from_the_link_local_service_address() {
    if !testing::has_tools(&["/usr/sbin/radvd", "/bin/busybox", "/sbin/start-stop-daemon"]) {
        return;
    }
    testing::in_lab(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().display().to_string();
        fs::write(directory.path().join("radvd.conf"), CONFIGURATION).expect("a configuration");
        let script = directory.path().join("radvd");
        write_executable(&script, &SCRIPT.replace("PLACE", &place));
        let addresses = vec![format!("{VIP}/24@eth0"), "fe80::1/64@eth0".to_owned()];
        let scripts = vec![format!("exec:{}", script.display())];
        let more = "safety = \"probe\"".to_owned();
        let mut scene = Scene::new(Setup { addresses, scripts, more, ..Setup::default() });
        for side in [Side::A, Side::B] {
            scene.at_node(side, "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
            scene.begin(side);
        }
        scene.settle(Side::A);
        let pid_files = || fs::read_dir(directory.path()).expect("the directory").flatten();
        let speakers = || pid_files().filter(|file| file.path().extension() == Some("pid".as_ref())).count();
        expect_way_out("at first", &scene);
        assert_eq!(speakers(), 1, "the backup is silent");
        assert_eq!(scene.say(Side::A, &["handover", GROUP]).code, Some(0));
        scene.wait_for_service_by(Side::B);
        scene.settle(Side::B);
        assert_eq!(speakers(), 1, "the node that has handed over is silent");
        expect_way_out("after a handover", &scene);
        scene.power_cut(Side::B).expect("its processes die");
        scene.wait_for_service_by(Side::A);
        assert!(
            scene.at_client(&["ip", "-6", "route"]).text.contains("default via fe80::1 "),
            "it never went"
        );
        scene.at_client(&["ip", "-6", "route", "del", "default"]);
        expect_way_out("told by the survivor", &scene);
        scene.assert_never_both();
    });
}
