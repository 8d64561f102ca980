//! Row 19: what watches the scripts. A script that fails is started again, then handed over; whoever looks at
//! it may hang, fork and flood, and heartbeats go on.

use std::thread;

use crosswire::pair::Side;

use crate::lab::clock::now;
use crate::lab::setup::{GROUP, Setup};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms};
use crate::scripts::{Service, assert_on_time, begin_with};

/// Forks, floods its output, hears no TERM, and never ends.
const WILD: &str = "trap '' TERM
for child in 1 2 3 4 5 6 7 8 9 10; do (trap '' TERM; while :; do sleep 1; done) & done
(trap '' TERM; while :; do echo one line of a flood that never ends; done) &
while :; do sleep 1; done";
const WATCHED: &str = "\nmonitor = \"1s\"\nmonitor_timeout = \"1s\"\nfailures = 2\nrestarts = 1";

fn watched(service: &Service) -> Setup {
    let setup = service.setup();
    Setup { more: setup.more.clone() + WATCHED, ..setup }
}

/// What the scripts did, without being looked at.
fn deeds(service: &Service) -> Vec<String> {
    service.story().into_iter().filter(|line| !line.contains("monitor")).collect()
}

fn scripts(scene: &Scene, side: Side) -> String {
    scene.try_status(side).unwrap_or_default()["groups"][0]["scripts"].as_str().unwrap_or_default().to_owned()
}

/// Fault: the monitor fails until the script is started again.
/// Required: it is started again where it is; the address never moves.
#[test]
fn row_19_monitor_fails_until_a_restart() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let (scene, beats) = begin_with(watched(&service));
        scene.settle(Side::A);
        let since = now();
        service.does("gw1-start", "rm -f gw1-monitor");
        service.does("gw1-monitor", "exit 1");
        scene.expect_soon("a restart", PATIENCE, |_| deeds(&service).len() == 3);
        scene.expect_soon("a script that is well", PATIENCE, |scene| {
            scripts(scene, Side::A) == "its scripts are well"
        });
        thread::sleep(ms(2_000));
        assert_eq!(deeds(&service), ["gw1 start 1", "gw1 stop 1", "gw1 start 1"]);
        let why = scene.say(Side::A, &["why"]).text;
        assert!(why.contains(" has failed: it is started again here") && !why.contains("script 1"), "{why}");
        scene.assert_nothing_moved(Side::A, since);
        assert_on_time("monitor fails until a restart", beats);
    });
}

/// Fault: the monitor forks, floods its output, hears no TERM and never ends, again and again.
/// Required: each is killed with all that it started; after the one restart the peer serves.
#[test]
fn row_19_monitor_hangs() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let (scene, beats) = begin_with(watched(&service));
        scene.settle(Side::A);
        service.does("gw1-monitor", WILD);
        scene.expect_service_by(Side::B);
        let expected = ["gw1 start 1", "gw1 stop 1", "gw1 start 1", "gw1 stop 1", "gw2 start 2"];
        assert_eq!(deeds(&service), expected);
        let log = scene.log_of(Side::A);
        assert!(log.contains("fails again and again, not done in "), "{log}");
        assert!(log.matches("one line of a flood").count() < 10, "a look is not logged");
        let left = scene.processes(Side::A).expect("/proc");
        assert!(left.iter().all(|process| process.name == "crosswire"), "something is left: {left:?}");
        assert_on_time("monitor hangs, forks and floods", beats);
        scene.assert_never_both();
    });
}

/// Fault: the monitor fails for good, while the peer is in standby; then the peer comes back.
/// Required: the script is tried on, the address stays; the peer gets it as soon as it may serve.
#[test]
fn row_19_monitor_fails_and_the_peer_cannot() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let (scene, beats) = begin_with(watched(&service));
        scene.settle(Side::A);
        let since = now();
        let said = scene.say(Side::B, &["standby"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        service.does("gw1-monitor", "exit 7");
        scene.expect_soon("several restarts", PATIENCE, |_| deeds(&service).len() >= 7);
        assert!(
            scripts(&scene, Side::A).contains("fails again and again, exit code 7: gw2 shall serve"),
            "{}",
            scripts(&scene, Side::A)
        );
        scene.assert_nothing_moved(Side::A, since);
        let said = scene.say(Side::B, &["online"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.expect_service_by(Side::B);
        assert_on_time("monitor fails for good", beats);
        scene.assert_never_both();
    });
}

/// Operator: maintenance, in which the service is stopped by hand.
/// Required: nobody looks, nothing is started again; after it, it is.
#[test]
fn row_19_nobody_looks_during_maintenance() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let (scene, beats) = begin_with(watched(&service));
        scene.settle(Side::A);
        let said = scene.say(Side::A, &["maintenance", "on", "--for", "1h"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        // A look that had begun may still end.
        thread::sleep(ms(1_500));
        service.does("gw1-monitor", "exit 3");
        let looks = service.story().len();
        thread::sleep(ms(4_000));
        assert_eq!(service.story().len(), looks, "somebody looked");
        let said = scene.say(Side::A, &["maintenance", "off"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.expect_soon("a restart", PATIENCE, |_| deeds(&service).len() >= 3);
        assert_eq!(deeds(&service)[..3], ["gw1 start 1", "gw1 stop 1", "gw1 start 1"]);
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_on_time("maintenance", beats);
        scene.assert_never_both();
    });
}
