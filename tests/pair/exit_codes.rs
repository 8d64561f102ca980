//! What a monitor is told: the exit code of `status` and its line, while what it tells of is so. (Every case
//! has a row in `src/operator/assessment_tests.rs`; here are the grave ones on real processes.)

use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::signal::{Signal, kill};

use crate::lab::clock::now;
use crate::lab::setup::{CLIENT, NODE_NAMES, PREFIX, Setup, VIP};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms, unwrapped};
use crate::schema;

const BOTH: [Side; 2] = [Side::A, Side::B];
/// A daemon that hangs is told from one that works within this.
const HANGS_MS: u64 = 500;

fn code(scene: &Scene, side: Side) -> i32 {
    scene.say(side, &["status", "-q"]).code.expect("an exit code")
}

/// The exit code and the reason of one answer.
fn told(scene: &Scene, side: Side) -> (u64, String) {
    let told = &scene.try_status(side).unwrap_or_default()["assessment"];
    (told["code"].as_u64().unwrap_or_default(), told["reason"].as_str().unwrap_or_default().to_owned())
}

/// Waits until a node says so in its JSON; then its exit code is the same.
fn expect_told(scene: &Scene, side: Side, expected: i32, reason: &str) {
    let wanted = (u64::try_from(expected).expect("an exit code"), reason.to_owned());
    scene.expect_soon(&format!("{reason} on {side:?}"), PATIENCE, |scene| told(scene, side) == wanted);
    assert_eq!(code(scene, side), expected, "{reason} on {side:?}");
    let schema = include_str!("../../firmware-notes/status.schema.json");
    let schema = serde_json::from_str(schema).expect("JSON");
    assert_eq!(schema::faults(&schema, &scene.status(side)), Vec::<String>::new(), "{reason} on {side:?}");
}

/// Fault: none.
/// Required: 0 on both nodes, silence where it is asked for, and a line for Nagios.
#[test]
fn a_pair_at_rest_is_well() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        for side in BOTH {
            expect_told(&scene, side, 0, "well");
            assert_eq!(scene.say(side, &["status", "-q"]).text, "");
            let said = scene.say(side, &["status", "--nagios"]);
            let expected = "CROSSWIRE OK: gw1 serves gateway; gw2 could take over\n";
            assert_eq!((said.code, said.text.as_str()), (Some(0), expected), "{side:?}");
        }
    });
}

/// Fault: the active node loses its power while the cable is broken, and the other one holds.
/// Required: 4 while it might still be taken over; then 5, and CRITICAL for Nagios: nobody serves.
#[test]
fn nobody_serves() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        scene.cable().cut();
        expect_told(&scene, Side::B, 4, "jeopardy");
        let screen = scene.say(Side::B, &["status"]).text;
        println!("{screen}");
        let said = unwrapped(&screen);
        let first = "gw1 serves gateway; DEGRADED: serial is down. If lan fails too, nobody takes over by \
            itself. Repair \
                     serial. pair lab: this is gw2";
        assert!(said.starts_with(first), "{screen}");
        assert!(
            said.contains("gw1 NOBODY SERVES: gw2 cannot be certain that gw1 is off gw2 gw1 serves on"),
            "{screen}"
        );
        assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
        scene.power_cut(Side::A).expect("its processes die");
        expect_told(&scene, Side::B, 4, "peer_unheard");
        expect_told(&scene, Side::B, 5, "nobody_serves");
        let said = scene.say(Side::B, &["status", "--nagios"]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(
            said.text.starts_with("CROSSWIRE CRITICAL: PERHAPS NOBODY SERVES gateway: no path hears gw1, "),
            "{said:?}"
        );
    });
}

/// Time in which each node learns by what MAC it knows the other one.
const ACQUAINTED_MS: u64 = 5_000;
/// Longer than a takeover may take.
const LONG_MS: u64 = 4_000;

/// Fault: both paths are cut at once, without a witness; later frames pass on the LAN again, but no beats.
/// Required: the documented split, in which each can know only that it is alone: 4 on both. As soon as each
/// sees on the wire that the other one claims the address too: 5 on both. When it is healed: 0 on both.
#[test]
fn two_nodes_serve() {
    testing::in_fair_lab(|| {
        let quorum = "neighbours = false\n".to_owned();
        let scene = Scene::serving_with(Setup { quorum, ..Setup::default() }).may_split();
        thread::sleep(ms(ACQUAINTED_MS));
        scene.cable().cut();
        scene.set_lan(Side::A, PortRules::silent());
        for side in BOTH {
            scene.expect_service_by(side);
        }
        for side in BOTH {
            expect_told(&scene, side, 4, "peer_dead");
        }
        scene.block_lan_beats(true);
        for side in BOTH {
            expect_told(&scene, side, 5, "both_serve");
            let said = scene.say(side, &["status", "--nagios"]);
            assert!(
                said.code == Some(2) && said.text.starts_with("CROSSWIRE CRITICAL: BOTH NODES SERVE gateway"),
                "{said:?}"
            );
        }
        scene.heal().expect("healed");
        for side in BOTH {
            scene.expect_soon("a pair again", PATIENCE, |scene| code(scene, side) == 0);
        }
    });
}

/// Fault: a node that may not take over hears nothing of the one that serves, which later loses its power.
/// Required: 4 as long as the wire says that it serves, since nobody has to be woken up; then 5.
#[test]
fn a_node_that_may_not_take_over_knows_who_serves() {
    testing::in_fair_lab(|| {
        for (command, reason) in [(&["standby"][..], "standby"), (&["maintenance", "on"], "maintenance")] {
            let mut scene = Scene::serving();
            assert_eq!(scene.say(Side::B, command).code, Some(0));
            scene.cable().cut();
            scene.block_lan_beats(true);
            scene.expect_soon("silence", PATIENCE, |scene| scene.status(Side::B)["verdict"] == "dead");
            thread::sleep(ms(LONG_MS));
            assert_eq!(told(&scene, Side::B), (4, reason.to_owned()), "{}", scene.status(Side::B));
            scene.power_cut(Side::A).expect("its processes die");
            expect_told(&scene, Side::B, 5, "nobody_serves");
            assert_eq!(scene.role(Side::B), "backup");
        }
    });
}

/// Fault: the active node loses its power, and a stranger has the service address.
/// Required: 5: who answers is not the peer.
#[test]
fn a_stranger_serves_nothing() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        thread::sleep(ms(ACQUAINTED_MS));
        let index = scene.switch().node_interface(scene.client_port(0));
        scene.client().rtnl().add_address(index, VIP, PREFIX, None).expect("the stranger has it");
        scene.power_cut(Side::A).expect("its processes die");
        expect_told(&scene, Side::B, 5, "nobody_serves");
    });
}

/// Fault: the kernels refuse an address of the group, first on the standby, then on the active node too.
/// Required: 4 on both while the second one could not take it; 5 on the node that serves no longer all that
/// it holds.
#[test]
fn an_address_is_refused() {
    testing::in_fair_lab(|| {
        let addresses = vec![format!("{VIP}/24@eth0"), "fd78::100/64@eth1".to_owned()];
        let scene = Scene::serving_with(Setup { addresses, second_lan: true, ..Setup::default() });
        let without_ipv6 = "echo 1 >/proc/sys/net/ipv6/conf/eth1/disable_ipv6";
        scene.at_node(Side::B, without_ipv6);
        expect_told(&scene, Side::A, 4, "peer_unable");
        expect_told(&scene, Side::B, 4, "unable");
        assert_eq!(scene.status(Side::A)["groups"][0]["peer_word"], "unable");
        let said = scene.say(Side::A, &["status"]).text;
        assert!(said.contains("gw2 backup (term 1), could NOT serve it"), "{said}");
        scene.at_node(Side::A, without_ipv6);
        expect_told(&scene, Side::A, 5, "cannot_serve");
        assert_eq!(code(&scene, Side::B), 4);
    });
}

/// Fault: one of two witnesses does not answer.
/// Required: 4 on both, and which one it is.
#[test]
fn a_witness_is_not_seen() {
    testing::in_fair_lab(|| {
        let quorum = format!("witness = [\"{CLIENT}\", \"10.77.0.99\"]\n");
        let scene = Scene::serving_with(Setup { quorum, ..Setup::default() });
        for (side, name) in BOTH.into_iter().zip(NODE_NAMES) {
            expect_told(&scene, side, 4, "witness_unseen");
            let said = scene.say(side, &["status"]).text;
            assert!(
                said.starts_with(&format!("gw1 serves gateway; {name} has not seen witness 10.77.0.99")),
                "{said}"
            );
            assert!(
                said.contains(&format!("  {CLIENT} seen\n  10.77.0.99 NOT SEEN since the start; ")),
                "{said}"
            );
            let told = &scene.status(side)["witnesses"];
            assert_eq!((&told[0]["seen"], &told[1]["seen"]), (&true.into(), &false.into()), "{told}");
        }
    });
}

/// Fault: one of two nodes starts alone.
/// Required: 5 while it listens and nobody serves; 4 when it serves, since there is no other.
#[test]
fn a_cold_start_alone() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::new(Setup { cold_start_ms: Some(4_000), ..Setup::default() });
        scene.begin(Side::A);
        expect_told(&scene, Side::A, 5, "cold_start");
        scene.wait_for_service_by(Side::A);
        scene.expect_soon("service alone", PATIENCE, |scene| code(scene, Side::A) == 4);
    });
}

/// Fault: the guard of the active node is stopped.
/// Required: 4 there, then 5, when a takeover would have been done; 4 on the node that has taken over.
#[test]
fn a_guard_that_hangs() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let guard = scene.guard(Side::A).expect("a guard");
        kill(guard, Signal::SIGSTOP).expect("it lives");
        expect_told(&scene, Side::A, 5, "cannot_serve");
        scene.wait_for_service_by(Side::B);
        expect_told(&scene, Side::B, 4, "peer_unable");
        kill(guard, Signal::SIGCONT).expect("it lives");
        for side in BOTH {
            expect_told(&scene, side, 0, "well");
        }
        scene.assert_never_both();
    });
}

/// Fault: both processes of the active node are stopped.
/// Required: `status` there says so at once, with 6; the peer has taken over, and says that it is alone.
#[test]
fn a_daemon_that_hangs() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        scene.signal_all(Side::A, Signal::SIGSTOP).expect("both stop");
        let asked = now();
        let said = scene.say(Side::A, &["status"]);
        let waited = now().since(asked);
        assert_eq!(said.code, Some(6), "{said:?}");
        assert!(said.text.contains("does not answer: it hangs"), "{said:?}");
        assert!(waited <= at_most(HANGS_MS), "{waited}");
        // However many have asked before: its queue is full.
        for _ in 0..8 {
            assert_eq!(code(&scene, Side::A), 6);
        }
        let said = scene.say(Side::A, &["status", "--nagios"]);
        assert!(
            said.code == Some(2) && said.text.starts_with("CROSSWIRE CRITICAL: the daemon in "),
            "{said:?}"
        );
        scene.wait_for_service_by(Side::B);
        scene.expect_soon("the peer, alone", PATIENCE, |scene| code(scene, Side::B) == 4);
        scene.signal_all(Side::A, Signal::SIGCONT).expect("both go on");
        scene.expect_soon("both", PATIENCE, |scene| BOTH.into_iter().all(|side| code(scene, side) == 0));
    });
}

/// Fault: the second node starts with another key; later both start so.
/// Required: 4 on both while the first one serves, 5 on both where neither does.
#[test]
fn keys_that_differ() {
    testing::in_fair_lab(|| {
        let ours = Setup::default().keys[0].clone();
        let other = "ffeeddccbbaa99887766554433221100".to_owned();
        let mut scene =
            Scene::new(Setup { cold_start_ms: Some(1_000), keys: [ours, other], ..Setup::default() });
        scene.begin(Side::A);
        scene.wait_for_service_by(Side::A);
        scene.begin(Side::B);
        for side in BOTH {
            expect_told(&scene, side, 4, "keys_differ");
        }
        // It is known that somebody serves.
        thread::sleep(ms(LONG_MS));
        for side in BOTH {
            assert_eq!(told(&scene, side), (4, "keys_differ".to_owned()), "{side:?}: {}", scene.status(side));
        }
        for side in BOTH {
            scene.kill(side).expect("both die");
        }
        thread::sleep(ms(2_500));
        for side in BOTH {
            scene.begin(side);
        }
        for side in BOTH {
            expect_told(&scene, side, 5, "nobody_serves");
        }
    });
}

/// Fault: the two files differ.
/// Required: 4 on both.
#[test]
fn configurations_that_differ() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving_with_two_files();
        for side in BOTH {
            expect_told(&scene, side, 4, "configurations_differ");
        }
    });
}

/// Fault: somebody puts a service address on `lo` of the node that stands by.
/// Required: 4 there, with that reason and a line in its log; nothing is removed. 0 when it is gone.
#[test]
fn a_service_address_on_lo_of_the_standby() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving().may_split();
        scene.at_node(Side::B, &format!("ip address add {VIP}/32 dev lo"));
        expect_told(&scene, Side::B, 4, "misplaced_address");
        let said = format!("{VIP} is on lo too");
        scene.expect_soon("a line in its log", PATIENCE, |scene| scene.log_of(Side::B).contains(&said));
        scene.at_node(Side::B, &format!("ip address del {VIP}/32 dev lo"));
        expect_told(&scene, Side::B, 0, "well");
    });
}

/// Fault: none; a planned move, and standby.
/// Required: nobody is woken up by either: never 5.
#[test]
fn a_planned_move_wakes_nobody() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let until = now() + Span::from_s(3);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut seen = Vec::new();
                while now() < until {
                    seen.extend(BOTH.map(|side| code(&scene, side)));
                }
                seen
            });
            assert_eq!(scene.say(Side::A, &["standby"]).code, Some(0));
            expect_told(&scene, Side::A, 4, "standby");
            expect_told(&scene, Side::B, 4, "peer_standby");
            assert_eq!(scene.say(Side::A, &["online"]).code, Some(0));
            assert_eq!(scene.say(Side::A, &["takeover", "gateway"]).code, Some(0));
            let seen = watcher.join().expect("it ended");
            assert!(seen.iter().all(|code| matches!(code, 0 | 4)), "{seen:?}");
        });
        expect_told(&scene, Side::A, 0, "well");
    });
}
