//! What a guard holds, whoever comes after its agent or after itself: scripts that do not stop, daemons that
//! are killed and started again at once, guards that hang while something is ordered, and addresses that
//! stand somewhere else too.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::address_log::Wanted;
use crate::lab::cable::LineRule;
use crate::lab::clock::now;
use crate::lab::dice::Dice;
use crate::lab::fair::HANGS_AFTER;
use crate::lab::setup::{GROUP, LAN_PORT, PREFIX, Setup, VIP};
use crate::lab::switch::{PortRules, Rule};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};
use crate::scripts::{HANG, Service, begin};

const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 101));
/// In memory, as in every Linux.
const LOOPBACK: u32 = 1;
/// One kill and what it takes to come to rest.
const KILL_HANGS_AFTER: Duration = Duration::from_secs(30);

/// The second address stands on this node's kernel.
fn has_second(scene: &Scene, side: Side) -> bool {
    let holds = scene.log().holds(SECOND).expect("the observer lost nothing");
    holds.iter().any(|hold| hold.side == side && hold.until.is_none())
}

/// A script ran on one node at a time, and never twice: each start comes after the stop of the last one.
fn assert_one_at_a_time(story: &[String]) {
    let mut running = BTreeSet::new();
    for line in story {
        let (node, what) = line.split_once(' ').expect("a node and what it did");
        if what.starts_with("start") {
            assert!(running.is_empty(), "{node} started it while it ran on {running:?}: {story:?}");
            running.insert(node);
        } else {
            running.remove(node);
        }
    }
}

/// Kills guard and agent of a node, and starts the daemon again at once, as init does.
fn respawn(scene: &mut Scene, side: Side) {
    let pids: Vec<Pid> = [scene.guard(side), scene.agent(side)].into_iter().flatten().collect();
    for pid in &pids {
        // ESRCH: it has just ended.
        let _ = kill(*pid, Signal::SIGKILL);
    }
    if let Some(guard) = scene.process(side) {
        guard.wait_for_end(Duration::from_secs(10)).expect("it is dead");
    }
    scene.begin(side);
}

fn stuck(service: &Service, scene: &Scene) {
    service.does("gw1-stop", HANG);
    let said = scene.say(Side::A, &["handover", GROUP]);
    assert_ne!(said.code, Some(0), "{said:?}");
    scene.expect_soon("the stop is given up", PATIENCE, |scene| {
        scene.log_of(Side::A).contains("did not stop")
    });
}

/// It still runs on gw1, and both nodes know it; once it stops, gw2 serves.
fn expect_release_then_service(service: &Service, scene: &Scene) {
    thread::sleep(ms(2_000));
    assert_eq!((scene.role(Side::A), scene.role(Side::B)), ("releasing".to_owned(), "backup".to_owned()));
    assert!(!service.story().iter().any(|line| line.starts_with("gw2")), "{:?}", service.story());
    service.works("gw1-stop");
    scene.expect_service_by(Side::B);
    assert_eq!(service.story().last().map(String::as_str), Some("gw2 start 2"), "{:?}", service.story());
    scene.assert_never_both();
}

/// Fault: a script cannot be stopped, then the agent is killed. Required: the next agent says 'releasing'
/// too, the stop is tried again, and the peer does not start before it has worked.
#[test]
fn a_script_that_does_not_stop_outlives_the_agent() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let (mut scene, _beats) = begin(&service);
        scene.settle(Side::A);
        stuck(&service, &scene);
        let agent = scene.agent(Side::A).expect("an agent");
        kill(agent, Signal::SIGKILL).expect("killed");
        scene.expect_soon("another agent", PATIENCE, |scene| {
            scene.log_of(Side::A).contains("another agent goes on in its place")
                && !scene.role(Side::A).is_empty()
        });
        expect_release_then_service(&service, &scene);
    });
}

/// Operator: a script cannot be stopped, and the configuration is read anew for something else.
/// Required: as above.
#[test]
fn a_script_that_does_not_stop_outlives_a_reload() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let (scene, _beats) = begin(&service);
        scene.settle(Side::A);
        stuck(&service, &scene);
        for side in [Side::A, Side::B] {
            scene.rewrite(side, "late_after = \"300ms\"", "late_after = \"310ms\"");
            let said = scene.say(side, &["reload"]);
            assert_eq!(said.code, Some(0), "{said:?}");
        }
        expect_release_then_service(&service, &scene);
    });
}

/// Fault: guard and agent are killed while a script runs, and are started again at once.
/// Required: the new run stops what the old one started before either node starts it again.
#[test]
fn what_a_killed_daemon_had_started_is_stopped_first_by_the_next() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let (mut scene, _beats) = begin(&service);
        scene.settle(Side::A);
        service.does("gw1-stop", "sleep 0.6");
        respawn(&mut scene, Side::A);
        scene.expect_soon("somebody serves", PATIENCE, |scene| {
            [Side::A, Side::B].into_iter().any(|side| scene.role(side) == "active")
        });
        let story = service.story();
        assert_one_at_a_time(&story);
        assert_eq!(story[..2], ["gw1 start 1", "gw1 stop 1"], "{story:?}");
        scene.assert_never_both();
    });
}

/// Fault: as above, in the middle of a start that takes its time.
/// Required: as above; the start does not go on beside the stop.
#[test]
fn a_start_that_a_killed_daemon_had_begun_is_undone_by_the_next() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        service.does("gw1-start", "sleep 0.8\necho \"gw1 was late\" >>story");
        let (mut scene, _beats) = begin(&service);
        scene.expect_soon("it starts", PATIENCE, |_| !service.story().is_empty());
        respawn(&mut scene, Side::A);
        scene.expect_soon("somebody serves", PATIENCE, |scene| {
            [Side::A, Side::B].into_iter().any(|side| scene.role(side) == "active")
        });
        let story = service.story();
        assert_eq!(story[..2], ["gw1 start 1", "gw1 stop 1"], "{story:?}");
        scene.assert_never_both();
    });
}

fn respawn_often(kills: u64, seed: u64) {
    let hangs_after = HANGS_AFTER + KILL_HANGS_AFTER * u32::try_from(kills).expect("a number of kills");
    testing::in_long_fair_lab(hangs_after, || {
        println!("CROSSWIRE_SEED={seed} CROSSWIRE_RESPAWNS={kills}");
        let mut dice = Dice::new(seed);
        let service = Service::new();
        let (mut scene, _beats) = begin(&service);
        scene.settle(Side::A);
        for number in 0..kills {
            let side = if dice.hits(2, 3) { Side::A } else { Side::B };
            thread::sleep(ms(dice.roll() % 1_500));
            respawn(&mut scene, side);
            scene.expect_soon("one serves, the other stands by", Duration::from_secs(60), |scene| {
                [Side::A, Side::B]
                    .into_iter()
                    .any(|side| scene.is_at_rest(side, "active") && scene.is_at_rest(side.peer(), "backup"))
            });
            assert_one_at_a_time(&service.story());
            println!("{number}: {side:?} was killed; {} lines of the script so far", service.story().len());
        }
        scene.assert_never_both();
    });
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Fault: guard and agent of either node are killed at random and started again at once. `CROSSWIRE_RESPAWNS`
/// is how often (6). Required: no script twice, overlap 0, and each time the pair comes to rest.
#[test]
fn random_kills_with_immediate_respawn_start_no_script_twice() {
    respawn_often(setting("CROSSWIRE_RESPAWNS", 6), setting("CROSSWIRE_SEED", u64::from(std::process::id())));
}

/// Fault: the active node's guard is stopped for so long that its socket is full; meanwhile the agent has to
/// let go, since nobody hears it. Then the guard goes on, long before the lease is over. Required: the order
/// to let go has not been lost: it is carried out at once.
#[test]
fn an_order_to_let_go_reaches_a_guard_that_hung() {
    let hangs_after = HANGS_AFTER + Duration::from_secs(60);
    testing::in_long_fair_lab(hangs_after, || {
        let mut scene = Scene::serving_with(Setup { lease_ms: 60_000, ..Setup::default() });
        let guard = scene.guard(Side::A).expect("a guard");
        kill(guard, Signal::SIGSTOP).expect("stopped");
        thread::sleep(Duration::from_secs(40));
        scene.cable().set(Side::A, LineRule { cut: true, ..LineRule::default() });
        let lost = Rule { blocked_udp_port: Some(LAN_PORT), ..Rule::default() };
        scene.set_lan(Side::A, PortRules { from_node: lost, to_node: Rule::default() });
        scene.expect_soon("it has to let go", PATIENCE, |scene| scene.role(Side::A) == "releasing");
        thread::sleep(ms(500));
        let woken = now();
        kill(guard, Signal::SIGCONT).expect("woken");
        let gone = scene.wait_for(Wanted::Nobody, PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        println!("let go {} after it woke", gone.since(woken));
        assert!(gone.since(woken) <= at_most(1_500), "{}", gone.since(woken));
        scene.expect_soon("it is known", PATIENCE, |scene| scene.role(Side::A) != "releasing");
        scene.assert_never_both();
    });
}

/// Operator: an address of the group stands on `lo` of both nodes too, as direct routing wants it; a
/// handover. Required: done at once; what stands on `lo` stays.
#[test]
fn an_address_that_stands_on_lo_too_does_not_keep_a_group_from_moving() {
    testing::in_fair_lab(|| {
        let addresses = [VIP, SECOND].map(|ip| format!("{ip}/{PREFIX}@eth0")).to_vec();
        let scene = Scene::serving_with(Setup { addresses, ..Setup::default() });
        for side in [Side::A, Side::B] {
            scene.namespace(side).rtnl().add_address(LOOPBACK, SECOND, 32, None).expect("added");
        }
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::B);
        for side in [Side::A, Side::B] {
            let held = scene.namespace(side).rtnl().addresses().expect("a dump");
            assert!(
                held.iter().any(|held| held.interface == LOOPBACK && held.ip == SECOND),
                "{side:?}: {held:?}"
            );
        }
        scene.assert_never_both();
    });
}

/// Operator: an address on a second interface is added to the group, node by node, by reloads; then the
/// active node loses power. Required: interfaces, paths and probes are as a fresh start sees them: nothing
/// moves, and the peer takes both over.
#[test]
fn a_reload_that_changes_the_list_of_interfaces_costs_nothing() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving_with(Setup { second_lan: true, ..Setup::default() });
        let since = now();
        let from = format!("addresses = [\"{VIP}/{PREFIX}@eth0\"]");
        let to = format!("addresses = [\"10.78.0.100/{PREFIX}@eth1\", \"{VIP}/{PREFIX}@eth0\"]");
        for side in [Side::B, Side::A] {
            scene.rewrite(side, &from, &to);
            let said = scene.say(side, &["reload"]);
            assert_eq!(said.code, Some(0), "{said:?}");
        }
        scene.settle(Side::A);
        thread::sleep(ms(2_000));
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, since);
        let cut = scene.power_cut(Side::A).expect("the power is cut");
        let (_, served) = scene.wait_for_service_by(Side::B);
        assert!(served.since(cut) <= at_most(550) + Span::from_ms(500), "{}", served.since(cut));
        scene.assert_never_both();
    });
}

/// Operator: an address moves from one group to another; the node that holds the new group is reloaded first.
/// Required: it is not added there before the other node has let go of it.
#[test]
fn an_address_that_moves_to_another_group_is_probed_before_it_is_added() {
    testing::in_fair_lab(|| {
        let third = format!("10.77.0.102/{PREFIX}@eth0");
        let (vip, second) = (format!("{VIP}/{PREFIX}@eth0"), format!("{SECOND}/{PREFIX}@eth0"));
        let setup = Setup {
            prefer: Some(Side::A),
            addresses: vec![vip.clone(), second.clone()],
            more: format!("[group.other]\nprefer = \"gw2\"\naddresses = [\"{third}\"]"),
            ..Setup::default()
        };
        let scene = Scene::serving_with(setup);
        scene.expect_soon("gw2 serves the other group", PATIENCE, |scene| {
            scene.status(Side::B)["groups"][1]["role"] == "active"
        });
        let changes = [
            (format!("addresses = [\"{vip}\", \"{second}\"]"), format!("addresses = [\"{vip}\"]")),
            (format!("addresses = [\"{third}\"]"), format!("addresses = [\"{third}\", \"{second}\"]")),
        ];
        let reload = |side: Side| {
            changes.iter().for_each(|(from, to)| scene.rewrite(side, from, to));
            let said = scene.say(side, &["reload"]);
            assert_eq!(said.code, Some(0), "{said:?}");
        };
        reload(Side::B);
        thread::sleep(ms(3_000));
        assert!(
            has_second(&scene, Side::A) && !has_second(&scene, Side::B),
            "{:?}",
            scene.log().holds(SECOND)
        );
        reload(Side::A);
        scene.expect_soon("gw2 has it", PATIENCE, |scene| has_second(scene, Side::B));
        let holds = scene.log().holds(SECOND).expect("the observer lost nothing");
        let end_here = holds.iter().filter(|hold| hold.side == Side::A).filter_map(|hold| hold.until).max();
        let begin_there = holds.iter().filter(|hold| hold.side == Side::B).map(|hold| hold.from).min();
        assert!(end_here.is_some() && end_here <= begin_there, "{holds:?}");
        scene.assert_never_both();
    });
}
