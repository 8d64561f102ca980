//! A hardware address that both nodes share: a client whose ARP entry never changes is served by either node.

use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;
use std::thread;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use nix::sys::signal::Signal;

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::ping::Ping;
use crate::lab::rtnl::VethEnd;
use crate::lab::setup::{GROUP, PREFIX, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Said, Scene, at_most, ms, run, unwrapped};

const BOTH: [Side; 2] = [Side::A, Side::B];
const VMAC: &str = "02:00:5e:00:01:33";
const OCTETS: [u8; 6] = [2, 0, 0x5e, 0, 1, 0x33];
/// The planned move of an address-only group, at the client.
const HANDOVER_MS: u64 = 15;
/// Silence after a power cut, and what it takes to serve then.
const POWER_CUT_MS: u64 = 550;
/// A lease of 1 s, what the kernel may let its end slip, and how soon that is seen.
const KILLED_MS: u64 = 1_000 + 1_100 + 350;
/// So long the kernel of a dead node may have something to tell routers.
const LAST_WORDS_MS: u64 = 3_000;

fn plain() -> String {
    format!("\"{VIP}/{PREFIX}@eth0\"")
}

fn shared(vmac: &str) -> String {
    format!("{{ address = {}, vmac = {vmac} }}", plain())
}

/// A pair whose files say so, and that does not run yet.
fn scene_with(vmac: &str) -> Scene {
    let scene = Scene::new(Setup::default());
    BOTH.into_iter().for_each(|side| scene.rewrite(side, &plain(), &shared(vmac)));
    scene
}

/// A pair at work, before a client that never changes the entry of its ARP table.
fn serving() -> Scene {
    let mut scene = scene_with(&format!("{VMAC:?}"));
    BOTH.into_iter().for_each(|side| scene.begin(side));
    scene.settle(Side::A);
    let frozen = scene.at_client(&["arp", "-s", &VIP.to_string(), VMAC]);
    assert_eq!(frozen.code, Some(0), "{frozen:?}");
    scene
}

/// What a line of a shell writes in a node's namespace.
fn ask(scene: &Scene, side: Side, line: &str) -> Said {
    let mut command = Command::new("/bin/busybox");
    command.args(["sh", "-c", line]);
    scene.namespace(side).command_in(&mut command).expect("the node's namespace");
    run(command)
}

/// Each of a node's interfaces with a name of ours, and whether it is up.
fn macvlans(scene: &Scene, side: Side) -> Vec<(String, bool)> {
    let text = ask(scene, side, "ip -o link").text;
    let named = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once(": ")?.1.split_once([':', '@'])?;
        let flags = rest.split_once('<')?.1.split_once('>')?.0;
        name.starts_with("cw").then(|| (name.to_owned(), flags.split(',').any(|flag| flag == "UP")))
    });
    named.collect()
}

/// Whether a node has one macvlan, which is up or down.
fn has_one(scene: &Scene, side: Side, is_up: bool) -> bool {
    matches!(macvlans(scene, side)[..], [(_, up)] if up == is_up)
}

/// The switch knows the shared hardware address behind one port, which is that of the node that serves. Its
/// peer's macvlan is down.
fn assert_only_behind(scene: &Scene, side: Side) {
    let learned = scene.switch().learned(0, OCTETS);
    assert_eq!(learned, Some(scene.port(side, 0)), "{side:?} serves");
    assert!(has_one(scene, side, true), "{:?}", macvlans(scene, side));
    if scene.try_status(side.peer()).is_some() {
        assert!(has_one(scene, side.peer(), false), "{:?}", macvlans(scene, side.peer()));
    }
}

fn assert_no_alarm(scene: &Scene) {
    for side in BOTH {
        let log = scene.log_of(side);
        assert!(!log.contains("claims an address") && !log.contains("split"), "{log}");
    }
    scene.assert_never_both();
}

/// Operator: handover and back, before a client with a frozen entry. Required: no longer than any planned
/// move; the switch knows the address behind the one port; every status shows it.
#[test]
fn a_frozen_client_is_served_by_either_node() {
    testing::in_fair_lab(|| {
        let scene = serving();
        assert_only_behind(&scene, Side::A);
        for (from, to) in [(Side::A, Side::B), (Side::B, Side::A)] {
            let since = now();
            let said = scene.say(from, &["handover", GROUP]);
            assert_eq!(said.code, Some(0), "{said:?}");
            scene.settle(to);
            thread::sleep(ms(1_000));
            let outage = scene.assert_outage_below(at_most(HANDOVER_MS), since);
            println!("vmac: handover, the frozen client waited for {outage}");
            assert_only_behind(&scene, to);
        }
        for side in BOTH {
            let said = unwrapped(&scene.say(side, &["status"]).text);
            assert!(said.contains(&format!("{VIP}/{PREFIX}@eth0 vmac {VMAC}")), "{said}");
        }
        assert_no_alarm(&scene);
        let mut scene = scene;
        for side in BOTH {
            scene.stop(side, PATIENCE).expect("it ends");
            assert_eq!(macvlans(&scene, side), [], "an orderly end leaves nothing");
        }
    });
}

/// Fault: power cut of the active node. Required: a client with a frozen entry waits for no more than any
/// other one.
#[test]
fn a_frozen_client_survives_a_power_cut() {
    testing::in_fair_lab(|| {
        let mut scene = serving();
        let cut = scene.power_cut(Side::A).expect("cut");
        scene.wait_for_service_by(Side::B);
        thread::sleep(ms(1_000));
        let outage = scene.assert_outage_below(at_most(POWER_CUT_MS), cut);
        println!("vmac: power cut, the frozen client waited for {outage}");
        assert_only_behind(&scene, Side::B);
    });
}

/// Fault: kill -9 of both processes of the active node, whose box lives on and answers for its own address.
/// Required: its kernel lets the address go; the peer, for whom the shared hardware address was that node's,
/// sees it gone and serves; nothing that the dead node's kernel still says draws the clients back. Its next
/// guard takes the macvlan down.
#[test]
fn what_a_killed_node_leaves_up_draws_nobody() {
    testing::in_fair_lab(|| {
        let mut scene = serving();
        let killed = now();
        scene.signal_all(Side::A, Signal::SIGKILL).expect("both are dead");
        let (held, _) = scene.wait_for_service_by(Side::B);
        let gone = scene.holds()[0].until.expect("gw1 holds it no more");
        let gap = held.since(gone);
        println!("vmac: killed, nobody had the address for {gap}");
        assert!(gap <= at_most(350), "nobody had it for {gap}");
        thread::sleep(ms(LAST_WORDS_MS));
        let outage = scene.assert_outage_below(at_most(KILLED_MS), killed);
        println!("vmac: killed, the frozen client waited for {outage}");
        assert!(has_one(&scene, Side::A, true), "{:?}", macvlans(&scene, Side::A));
        assert_eq!(scene.switch().learned(0, OCTETS), Some(scene.port(Side::B, 0)));
        scene.assert_never_both();
        assert!(has_heard_no(&scene, "claims an address"));
        let again = now();
        scene.kill(Side::A).expect("reaped");
        scene.begin(Side::A);
        scene.expect_soon("a macvlan that is down", PATIENCE, |scene| has_one(scene, Side::A, false));
        scene.settle(Side::B);
        scene.assert_outage_below(Span::from_ms(150), again);
        assert_only_behind(&scene, Side::B);
        scene.assert_never_both();
    });
}

fn has_heard_no(scene: &Scene, words: &str) -> bool {
    BOTH.iter().all(|side| !scene.log_of(*side).contains(words))
}

/// Operator: a reload gives the address a hardware address that is derived, then takes it away; the macvlan
/// is deleted and switched off by hand. Required: made and removed on both nodes, the same on both; made anew
/// and switched on.
#[test]
fn a_reload_makes_it_and_removes_it_and_by_hand_it_stays_what_it_is() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let reload_to = |from: &str, to: &str| {
            for side in [Side::B, Side::A] {
                scene.rewrite(side, from, to);
                let said = scene.say(side, &["reload"]);
                assert_eq!(said.code, Some(0), "{said:?}");
            }
            scene.settle(Side::A);
        };
        reload_to(&plain(), &shared("true"));
        let macs = BOTH.map(|side| {
            assert!(has_one(&scene, side, side == Side::A), "{:?}", macvlans(&scene, side));
            let line = "ip -o link | grep ': cw' | sed 's/.*ether \\([^ ]*\\).*/\\1/'";
            ask(&scene, side, line).text
        });
        assert!(macs[0] == macs[1] && macs[0].starts_with("02:63:"), "{macs:?}");
        let name = macvlans(&scene, Side::A)[0].0.clone();
        for line in [format!("ip link set {name} down"), format!("ip link del {name}")] {
            let since = served_again(&scene, &line);
            println!("vmac: `{line}`: served again after {since}");
        }
        scene.at_node(Side::B, &format!("ip link set {name} up"));
        scene.expect_soon("down again", PATIENCE, |scene| has_one(scene, Side::B, false));
        reload_to(&shared("true"), &plain());
        BOTH.into_iter().for_each(|side| assert_eq!(macvlans(&scene, side), []));
        assert!(has_heard_no(&scene, "claims an address"));
        scene.assert_never_both();
    });
}

/// Does something on the active node, and returns how long it takes until its macvlan is up and has the
/// address.
fn served_again(scene: &Scene, line: &str) -> Span {
    let done = now();
    scene.at_node(Side::A, line);
    let is_well = |scene: &Scene| {
        has_one(scene, Side::A, true) && scene.holds().last().is_some_and(|hold| hold.until.is_none())
    };
    let at: Instant = scene.expect_soon("what was served before", PATIENCE, is_well);
    scene.wait_for(Wanted::Only(Side::A), PATIENCE).expect("still here");
    at.since(done)
}

/// Fault: on the backup somebody else has an interface of that name. Required: it is never touched, the node
/// says that it could not take the group, and why; the other one serves on.
#[test]
fn an_interface_of_somebody_elses_is_left_alone() {
    testing::in_fair_lab(|| {
        let mut scene = scene_with("true");
        scene.begin(Side::A);
        scene.expect_soon("its macvlan", PATIENCE, |scene| !macvlans(scene, Side::A).is_empty());
        let name = macvlans(&scene, Side::A)[0].0.clone();
        let end =
            |name: &str, index, last| VethEnd { name: name.to_owned(), index, mac: [2, 0, 0, 0, 9, last] };
        let (here, there) = (end(&name, 50, 1), end("far", 50, 2));
        scene.namespace(Side::B).rtnl().add_veth(&here, &there, scene.client()).expect("made");
        scene.at_node(Side::B, &format!("ip link set {name} up"));
        scene.begin(Side::B);
        scene.wait_for(Wanted::Only(Side::A), PATIENCE).expect("it serves");
        scene.expect_soon("what is wrong", PATIENCE, |scene| {
            let refused = format!("the kernel refuses {VIP}/{PREFIX}@eth0 vmac 02:63:");
            scene.log_of(Side::B).contains(&refused) && scene.log_of(Side::A).contains("gw2 could not take")
        });
        scene.expect_soon("no redundancy", PATIENCE, |scene| scene.say(Side::A, &["status"]).code == Some(4));
        scene.stop(Side::B, PATIENCE).expect("it ends");
        let still = ask(&scene, Side::B, &format!("ip link show {name}")).text;
        assert!(still.contains(",UP") && still.contains("02:00:00:00:09:01"), "{still}");
        assert_eq!(scene.holds().len(), 1, "{:?}", scene.holds());
    });
}

/// Operator: kills both processes of the backup, takes the hardware address out of its file, and starts it
/// again. Required: what the earlier run left up is gone.
#[test]
fn a_macvlan_that_no_file_names_any_more_is_removed() {
    testing::in_lab(|| {
        let mut scene = serving();
        scene.kill(Side::A).expect("both are dead");
        assert!(has_one(&scene, Side::A, true), "{:?}", macvlans(&scene, Side::A));
        scene.rewrite(Side::A, &shared(&format!("{VMAC:?}")), &plain());
        scene.begin(Side::A);
        scene.expect_soon("none is left", PATIENCE, |scene| macvlans(scene, Side::A).is_empty());
    });
}

/// Operator: sets the switches of the active node's interfaces back. Required: they are set again, since the
/// interface below would answer with its own hardware address.
#[test]
fn switches_that_are_set_back_are_set_again() {
    testing::in_lab(|| {
        let scene = serving();
        let name = macvlans(&scene, Side::A)[0].0.clone();
        for switch in [format!("{name}/arp_ignore"), "eth0/arp_ignore".to_owned()] {
            let file = format!("/proc/sys/net/ipv4/conf/{switch}");
            scene.at_node(Side::A, &format!("echo 0 > {file}"));
            scene.expect_soon("set again", ms(2_500), |scene| {
                ask(scene, Side::A, &format!("cat {file}")).text.trim() == "1"
            });
        }
    });
}

/// Fault: the backup's interface has a small MTU for a while. Required: its macvlan has the large one again.
#[test]
fn the_mtu_follows_that_of_the_interface_below() {
    testing::in_lab(|| {
        let scene = serving();
        let has = |scene: &Scene, mtu: &str| {
            let said = ask(scene, Side::B, "ip -o link | grep ': cw'").text;
            said.contains(&format!(" mtu {mtu} "))
        };
        for mtu in ["1200", "1500"] {
            scene.at_node(Side::B, &format!("ip link set eth0 mtu {mtu}"));
            scene.expect_soon(mtu, PATIENCE, |scene| has(scene, mtu));
        }
    });
}

/// The IPv6 service address, in a network in which everybody has one of his own, and the client's.
const V6: IpAddr = v6(0x100);
const V6_PREFIX: u8 = 64;
/// The link-local one, which clients have for their way out.
const WAY_OUT: &str = "fe80::1";

const fn v6(host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, host))
}

/// A pair whose IPv6 address has a hardware address of its own, and whose IPv4 address has none, before a
/// client that never changes its entry for it; what that client has seen.
fn serving_v6() -> (Scene, Ping) {
    let shared = [V6.to_string(), WAY_OUT.to_owned()]
        .map(|ip| format!("{{ address = \"{ip}/{V6_PREFIX}@eth0\", vmac = {VMAC:?} }}"))
        .join(", ");
    let mut scene = Scene::new(Setup::default());
    for (side, host) in [(Side::A, 1), (Side::B, 2)] {
        scene.rewrite(side, &plain(), &format!("{}, {shared}", plain()));
        let (rtnl, interface) = (scene.namespace(side).rtnl(), scene.interface(side));
        rtnl.add_address(interface, v6(host), V6_PREFIX, None).expect("a node's own");
        // A router's kernel has more to say.
        scene.at_node(side, "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
    }
    let index = scene.switch().node_interface(scene.client_port(0));
    scene.client().rtnl().add_address(index, v6(0x10), V6_PREFIX, None).expect("the client's own");
    let mut freeze = Command::new("/sbin/ip");
    freeze.args([
        "-6",
        "neigh",
        "replace",
        &V6.to_string(),
        "lladdr",
        VMAC,
        "nud",
        "permanent",
        "dev",
        "eth0",
    ]);
    scene.client().command_in(&mut freeze).expect("the client's namespace");
    let frozen = run(freeze);
    assert_eq!(frozen.code, Some(0), "{frozen:?}");
    BOTH.into_iter().for_each(|side| scene.begin(side));
    scene.settle(Side::A);
    // Who has no link-local address yet asks for no neighbour.
    scene.expect_soon("boxes with their own addresses", PATIENCE, |scene| {
        BOTH.iter().all(|side| ask(scene, *side, "/sbin/ip -6 address show tentative").text.is_empty())
    });
    let ping = Ping::start(scene.client(), V6, scene.setup().ping_step).expect("a client");
    ping.wait_for_answer_after(now(), PATIENCE).expect("it is served");
    (scene, ping)
}

/// Waits until that node alone has the IPv6 address and the client has had answers for a second; the client
/// was served but for so long, and the switch knows one place.
fn expect_v6(scene: &Scene, ping: &Ping, side: Side, (since, limit_ms): (Instant, u64)) {
    let held = scene.log().wait_for(V6, Wanted::Only(side), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
    ping.wait_for_answer_after(held, PATIENCE).expect("it is served");
    thread::sleep(ms(LAST_WORDS_MS));
    let outage = ping.longest_gap_since(since);
    println!("vmac: IPv6, to {side:?}: the frozen client waited for {outage}");
    assert!(outage.worst() <= at_most(limit_ms), "the client was not served for {outage}");
    assert_eq!(scene.switch().learned(0, OCTETS), Some(scene.port(side, 0)), "{side:?} serves");
    let overlap = scene.log().overlap(V6).expect("the observer lost nothing");
    assert_eq!(overlap, Span::ZERO, "both kernels held {V6}");
    let said = scene.at_client(&["ping6", "-c", "1", "-W", "1", &format!("{WAY_OUT}%eth0")]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// Operator: handover and back; then the active node loses its power. Required: what is required of IPv4, of
/// a client whose IPv6 neighbour entry never changes.
#[test]
fn a_frozen_ipv6_client_is_served_by_either_node() {
    if !testing::has_tools(&["/sbin/ip"]) {
        return;
    }
    testing::in_fair_lab(|| {
        let (mut scene, ping) = serving_v6();
        for (from, to) in [(Side::A, Side::B), (Side::B, Side::A)] {
            let since = now();
            let said = scene.say(from, &["handover", GROUP]);
            assert_eq!(said.code, Some(0), "{said:?}");
            expect_v6(&scene, &ping, to, (since, HANDOVER_MS));
            assert_only_behind(&scene, to);
        }
        assert_no_alarm(&scene);
        let cut = scene.power_cut(Side::A).expect("cut");
        expect_v6(&scene, &ping, Side::B, (cut, POWER_CUT_MS));
    });
}

/// Fault: kill -9 of both processes of the active node. Required: its kernel takes leave of the IPv6 address
/// at the routers with the shared hardware address, and that draws no client back.
#[test]
fn what_a_killed_node_says_of_an_ipv6_address_draws_nobody() {
    if !testing::has_tools(&["/sbin/ip"]) {
        return;
    }
    testing::in_fair_lab(|| {
        let (scene, ping) = serving_v6();
        let killed = now();
        scene.signal_all(Side::A, Signal::SIGKILL).expect("both are dead");
        expect_v6(&scene, &ping, Side::B, (killed, KILLED_MS));
        assert!(has_heard_no(&scene, "claims an address"));
    });
}
