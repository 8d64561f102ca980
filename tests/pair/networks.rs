//! Kernels and networks as real gateways have them: a kernel that refuses an address, a box with thousands of
//! them, addresses and routes that are the box's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::socket::{MsgFlags, send};

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::packet::open_packet_socket;
use crate::lab::rtnl::Rtnl;
use crate::lab::setup::{GROUP, NODE_NAMES, PREFIX, Setup, VIP, client_address, node_address};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Said, Scene, at_most, ms, run, shipped};

/// The IPv6 service address, on the second network.
const OUTSIDE: IpAddr = outside(0x100);
/// From a refusal until the peer serves, and the longest outage of what was not refused.
const REFUSED_MS: u64 = 100;
/// The same for a change of the box that the kernel has to be asked about first.
const NOTICED_MS: u64 = 200;
/// How many addresses a large box has.
const MANY: u16 = 4_000;

const fn outside(host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, host))
}

/// A pair that serves an IPv4 address inside and an IPv6 address outside, with a lease of ten seconds.
fn serving() -> Scene {
    let addresses = vec![format!("{VIP}/24@eth0"), format!("{OUTSIDE}/64@eth1")];
    let mut scene = Scene::new(Setup { addresses, second_lan: true, lease_ms: 10_000, ..Setup::default() });
    for (side, host) in [(Side::A, 1), (Side::B, 2)] {
        let index = scene.second_interface(side);
        scene.namespace(side).rtnl().add_address(index, outside(host), 64, None).expect("a node's own");
    }
    scene.begin(Side::A);
    scene.begin(Side::B);
    scene.settle(Side::A);
    scene
}

/// Fault: the kernel of the active node refuses an address, beside a healthy peer. Required: handed over at
/// the refusal, with no outage of the other address; the address and the kernel's word are named, and the
/// guard is not blamed.
fn handed_over_at_the_refusal(command: &str, word: &str) {
    let scene = serving();
    let refused = now();
    scene.at_node(Side::A, command);
    let (held, served) = scene.wait_for_service_by(Side::B);
    println!(
        "refused: held by the peer after {}, client served after {}",
        held.since(refused),
        served.since(refused)
    );
    assert!(held.since(refused) <= at_most(NOTICED_MS), "handed over only after {}", held.since(refused));
    scene.assert_outage_below(at_most(REFUSED_MS), refused);
    let log = scene.log_of(Side::A);
    assert!(log.contains(&format!("{OUTSIDE}/64@eth1: {word}")), "the address is not named:\n{log}");
    assert!(!log.contains("the guard does not"), "the guard is blamed:\n{log}");
    let why = scene.say(Side::A, &["why"]).text;
    assert!(why.contains("the kernel refuses an address"), "{why}");
    scene.assert_never_both();
}

/// Fault: IPv6 is switched off on the interface.
#[test]
fn a_refused_address_is_handed_over_without_ipv6() {
    testing::in_fair_lab(|| {
        handed_over_at_the_refusal("echo 1 >/proc/sys/net/ipv6/conf/eth1/disable_ipv6", "Permission denied");
    });
}

/// Fault: the MTU of the interface is made too small for IPv6.
#[test]
fn a_refused_address_is_handed_over_with_a_small_mtu() {
    testing::in_fair_lab(|| {
        handed_over_at_the_refusal("ip link set eth1 mtu 1000", "Invalid argument");
    });
}

/// Fault: IPv6 is switched off for a moment, while the peer cannot take the group. Required: nothing moves,
/// the address that is not refused is served on beyond its lease, and the other one comes back.
#[test]
fn what_is_not_refused_is_served_on_where_nobody_else_can() {
    testing::in_fair_lab(|| {
        let addresses = vec![format!("{VIP}/24@eth0"), format!("{OUTSIDE}/64@eth1")];
        let scene = Scene::serving_with(Setup { addresses, second_lan: true, ..Setup::default() });
        let start = now();
        assert_eq!(scene.say(Side::B, &["standby"]).code, Some(0));
        scene.at_node(Side::A, "echo 1 >/proc/sys/net/ipv6/conf/eth1/disable_ipv6");
        thread::sleep(ms(4_000));
        let status = scene.say(Side::A, &["status"]).text;
        assert!(status.contains("the kernel refuses an address"), "{status}");
        scene.at_node(Side::A, "echo 0 >/proc/sys/net/ipv6/conf/eth1/disable_ipv6");
        let wanted = Wanted::Only(Side::A);
        scene.log().wait_for(OUTSIDE, wanted, PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        scene.assert_nothing_moved(Side::A, start);
    });
}

/// Fault: an address of the group is deleted by hand, with a lease of ten seconds.
/// Required: it is back at once, not with the next third of the lease.
#[test]
fn an_address_deleted_by_hand_is_back_at_once() {
    testing::in_fair_lab(|| {
        let scene = serving();
        let start = now();
        scene
            .namespace(Side::A)
            .rtnl()
            .delete_address(scene.interface(Side::A), VIP, PREFIX)
            .expect("deleted");
        let back = scene.expect_soon("the address", PATIENCE, |scene| {
            scene.holds().len() == 2 && scene.holder().expect("the observer lost nothing") == Some(Side::A)
        });
        assert!(back.since(start) <= at_most(NOTICED_MS), "back only after {}", back.since(start));
        scene.assert_never_both();
    });
}

/// Condition: both boxes have thousands of addresses, of which 1,500 a second change.
/// Required: planned moves and renewals as on any box: nobody reads the whole table.
#[test]
fn thousands_of_addresses_that_change_disturb_nothing() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let is_over = AtomicBool::new(false);
        let number = |n: u16| IpAddr::V4(Ipv4Addr::from([10, 200, n.to_be_bytes()[0], n.to_be_bytes()[1]]));
        for side in [Side::A, Side::B] {
            let rtnl = scene.namespace(side).rtnl();
            (0..MANY).for_each(|n| rtnl.add_address(1, number(n), 32, None).expect("one of many"));
        }
        thread::scope(|scope| {
            for side in [Side::A, Side::B] {
                let rtnl = scene.namespace(side).run_in(Rtnl::open).expect("a namespace").expect("a socket");
                let is_over = &is_over;
                scope.spawn(move || {
                    for n in (0..MANY).cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                        rtnl.delete_address(1, number(n), 32).expect("it was there");
                        rtnl.add_address(1, number(n), 32, None).expect("one of many");
                        thread::sleep(ms(1));
                    }
                });
            }
            let moves = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for turn in 0..12 {
                    let from = if turn % 2 == 0 { Side::A } else { Side::B };
                    let start = now();
                    let said = scene.say(from, &["handover", GROUP]);
                    assert_eq!(said.code, Some(0), "move {turn}: {}", said.text);
                    scene.settle(from.peer());
                    scene.assert_outage_below(at_most(NOTICED_MS), start);
                }
            }));
            is_over.store(true, Ordering::Relaxed);
            moves.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        for side in [Side::A, Side::B] {
            let log = scene.log_of(side);
            assert!(!log.contains("refuse") && !log.contains("not renewed"), "{log}");
        }
        scene.assert_never_both();
    });
}

/// The address from which a node's packets to `to` come; none if it has no way there.
fn source_at(scene: &Scene, side: Side, to: IpAddr) -> Option<IpAddr> {
    let ask = || {
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        socket.connect((to, 9))?;
        Ok::<_, std::io::Error>(socket.local_addr()?.ip())
    };
    scene.namespace(side).run_in(ask).expect("the node's namespace").ok()
}

/// Condition: a node with addresses of its own beside those of the group. Required: what it sends of its own
/// accord leaves from its own addresses, of either family; also after the interface was flushed and the
/// service address was the first one to be back.
#[test]
fn what_a_node_sends_itself_never_leaves_from_a_service_address() {
    testing::in_lab(|| {
        let scene = serving();
        assert_eq!(source_at(&scene, Side::A, outside(0x10)), Some(outside(1)), "IPv6");
        assert_eq!(source_at(&scene, Side::A, client_address(0)), Some(node_address(Side::A, 0)), "IPv4");
        let (rtnl, interface) = (scene.namespace(Side::A).rtnl(), scene.interface(Side::A));
        for ip in [VIP, node_address(Side::A, 0)] {
            rtnl.delete_address(interface, ip, PREFIX).expect("deleted");
        }
        scene.expect_soon("the service address", PATIENCE, |_| {
            rtnl.addresses().expect("addresses").iter().any(|held| held.ip == VIP)
        });
        rtnl.add_address(interface, node_address(Side::A, 0), PREFIX, None).expect("its own address is back");
        scene.expect_soon("packets from its own address", ms(3_000), |scene| {
            source_at(scene, Side::A, client_address(0)) == Some(node_address(Side::A, 0))
        });
        scene.assert_never_both();
    });
}

/// The metrics of a node's on-link routes outside, as /proc/net/ipv6_route has them.
fn on_link_routes(scene: &Scene, side: Side) -> Vec<String> {
    let read = || std::fs::read_to_string("/proc/thread-self/net/ipv6_route");
    let text = scene.namespace(side).run_in(read).expect("the node's namespace").expect("a table");
    let ours = text.lines().filter(|line| line.starts_with("fd780000000000000000000000000000 40"));
    let words = ours.map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    words.map(|words| words[5].to_owned()).collect()
}

/// What a router of the network outside tells all nodes (RFC 4861 4.2): for half an hour its network is on
/// the link.
fn router_advertisement() -> Vec<u8> {
    let [router, all_nodes] =
        ["fe80::10", "ff02::1"].map(|ip| ip.parse::<Ipv6Addr>().expect("an address").octets());
    let IpAddr::V6(network) = outside(0) else { unreachable!() };
    let valid = 1_800_u32.to_be_bytes();
    let mut icmp = [
        [134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [3, 4, 64, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    icmp[20..24].copy_from_slice(&valid);
    icmp[24..28].copy_from_slice(&valid);
    icmp.extend_from_slice(&network.octets());
    let length = u16::try_from(icmp.len()).expect("short");
    let words = [&router[..], &all_nodes, &[0, 0], &length.to_be_bytes(), &[0, 58], &icmp].concat();
    let sum: u32 = words.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded once");
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let ethernet = [0x33, 0x33, 0, 0, 0, 1, 2, 0, 0x5e, 0, 1, 9, 0x86, 0xdd];
    let header = [&[0x60, 0, 0, 0], &length.to_be_bytes()[..], &[58, 255]].concat();
    [&ethernet[..], &header, &router, &all_nodes, &icmp].concat()
}

/// Condition: the on-link route outside is a router advertisement's, and the service address lies in the same
/// network. Fault: the group moves away. Required: that route gets no lease of ours while the group is here,
/// and stays when it goes.
#[test]
fn an_on_link_route_of_a_router_is_left_alone() {
    testing::in_lab(|| {
        let addresses = vec![format!("{VIP}/24@eth0"), format!("{OUTSIDE}/64@eth1")];
        let mut scene = Scene::new(Setup { addresses, second_lan: true, ..Setup::default() });
        let client = scene.client();
        let index = scene.switch().node_interface(scene.client_port(1));
        let socket = client.run_in(|| open_packet_socket(index)).expect("a namespace").expect("a socket");
        scene.expect_soon("the router's route", PATIENCE, |scene| {
            send(socket.as_raw_fd(), &router_advertisement(), MsgFlags::empty()).expect("sent");
            on_link_routes(scene, Side::A) == ["00000100"] && on_link_routes(scene, Side::B) == ["00000100"]
        });
        let index = scene.second_interface(Side::A);
        scene.namespace(Side::A).rtnl().add_address(index, outside(1), 128, None).expect("a node's own");
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        thread::sleep(ms(1_500));
        assert_eq!(scene.say(Side::A, &["handover", GROUP]).code, Some(0));
        scene.settle(Side::B);
        thread::sleep(ms(3_000));
        // The kernel shows one that has expired for a while.
        assert_eq!(
            source_at(&scene, Side::A, outside(0x10)),
            Some(outside(1)),
            "{:?}",
            on_link_routes(&scene, Side::A)
        );
        scene.assert_never_both();
    });
}

/// Condition: nothing but the service address says that its IPv6 network is on the link.
/// Required: the active node reaches its neighbours there; the standby does not, a moment after the move.
#[test]
fn a_service_address_brings_its_network_along() {
    testing::in_lab(|| {
        let addresses = vec![format!("{VIP}/24@eth0"), format!("{OUTSIDE}/64@eth1")];
        let scene = Scene::serving_with(Setup { addresses, second_lan: true, ..Setup::default() });
        let has_route = |scene: &Scene, side| !on_link_routes(scene, side).is_empty();
        assert!(has_route(&scene, Side::A) && !has_route(&scene, Side::B));
        thread::sleep(ms(3_000));
        assert!(has_route(&scene, Side::A), "three leases later");
        assert_eq!(scene.say(Side::A, &["handover", GROUP]).code, Some(0));
        scene.settle(Side::B);
        scene.expect_soon("the route at the peer", PATIENCE, |scene| {
            has_route(scene, Side::B) && !has_route(scene, Side::A)
        });
        assert!(Span::ZERO == scene.overlap().expect("the observer lost nothing"));
    });
}

/// Fault: the interface of the service address has the same hardware address on both boxes; then nothing but
/// that network is left between them. Required: the other one's answers count although they come from our own
/// hardware address: never both. Both the log and `check` say what is wrong, before anything fails.
#[test]
fn the_same_hardware_address_on_both_boxes_is_named_and_blinds_no_probe() {
    testing::in_lab(|| {
        let addresses = vec![format!("{VIP}/{PREFIX}@eth1")];
        let mut scene = Scene::new(Setup { addresses, second_lan: true, ..Setup::default() });
        for side in [Side::A, Side::B] {
            scene.at_node(
                side,
                "ip link set eth1 down; ip link set eth1 address 02:00:5e:00:01:07; ip link set eth1 up",
            );
            scene.begin(side);
        }
        scene.wait_for(Wanted::Only(Side::A), PATIENCE).expect("gw1 serves");
        scene.expect_soon("two nodes", PATIENCE, |scene| {
            scene.role(Side::A) == "active" && scene.role(Side::B) == "backup"
        });
        thread::sleep(ms(1_000));
        scene.cable().cut();
        scene.set_lan(Side::A, PortRules::silent());
        thread::sleep(ms(4_000));
        scene.assert_never_both();
        assert_eq!(scene.holder().expect("one holder"), Some(Side::A), "{}", scene.log_of(Side::B));
        let log = scene.log_of(Side::B);
        assert!(
            log.contains("eth1: another box on it (is it gw1?) has its hardware address, 02:00:5e:00:01:07"),
            "{log}"
        );
        scene.heal().expect("healed");
        let said = check(&scene, Side::B);
        assert!(said.text.contains("WARNING [lan]: eth1: another box on it (is it gw1?)"), "{said:?}");
    });
}

/// What `check` says on a node, with the configuration that its daemon has.
fn check(scene: &Scene, side: Side) -> Said {
    let mut command = Command::new(shipped());
    command.args(["check", "--node", NODE_NAMES[side.index()], "--config"]);
    command.arg(scene.directory(side).join("crosswire.toml"));
    scene.namespace(side).command_in(&mut command).expect("a command");
    run(command)
}

/// The same link-local address on two networks, as routers have it.
/// Required: it is served on both, and moves from both.
#[test]
fn a_link_local_address_is_served_on_several_networks() {
    testing::in_lab(|| {
        let everywhere: IpAddr = "fe80::100".parse().expect("an address");
        let [first, second] = ["eth0", "eth1"].map(|name| format!("{everywhere}/64@{name}"));
        let addresses = vec![format!("{VIP}/{PREFIX}@eth0"), first, second];
        let scene = Scene::serving_with(Setup { addresses, second_lan: true, ..Setup::default() });
        let interfaces = |scene: &Scene, side: Side| {
            let held = scene.namespace(side).rtnl().addresses().expect("addresses");
            held.iter().filter(|held| held.ip == everywhere).map(|held| held.interface).collect::<Vec<_>>()
        };
        let both = |side| vec![scene.interface(side), scene.second_interface(side)];
        assert_eq!((interfaces(&scene, Side::A), interfaces(&scene, Side::B)), (both(Side::A), vec![]));
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::B);
        assert_eq!((interfaces(&scene, Side::A), interfaces(&scene, Side::B)), (vec![], both(Side::B)));
        thread::sleep(ms(2_500));
        assert_eq!(interfaces(&scene, Side::B), both(Side::B), "renewed on both");
        scene.assert_never_both();
    });
}

/// Fault: no kernel of the pair takes one address of the group: the MTU there is too small for IPv6.
/// Required: `check` finds it beforehand; log and `status` say which one keeps the group down.
#[test]
fn an_address_that_no_box_takes_is_named_by_check_log_and_status() {
    testing::in_lab(|| {
        let addresses = vec![format!("{VIP}/{PREFIX}@eth0"), format!("{OUTSIDE}/64@eth1")];
        let mut scene = Scene::new(Setup { addresses, second_lan: true, ..Setup::default() });
        for side in [Side::A, Side::B] {
            scene.at_node(side, "ip link set eth1 mtu 576");
            scene.begin(side);
        }
        let which = format!("({OUTSIDE}/64@eth1)");
        for side in [Side::A, Side::B] {
            scene.expect_soon("the address", PATIENCE, |scene| {
                scene.say(side, &["status"]).text.contains(&which)
            });
            let log = scene.log_of(side);
            assert!(log.contains(&format!("takes no address like {OUTSIDE} on eth1")), "{log}");
            let said = check(&scene, side);
            assert!(
                said.code != Some(0) && said.text.contains(&format!("eth1 takes no address like {OUTSIDE}")),
                "{said:?}"
            );
        }
    });
}

/// Fault: a second interface of a box is in the same LAN, and its kernel answers ARP for every address on any
/// interface. Required: `check` and `status` name it, with the sysctl that cures it, and are silent once it
/// is set.
#[test]
fn two_interfaces_in_one_lan_are_named_with_their_cure() {
    testing::in_lab(|| {
        let scene = Scene::serving_with(Setup { second_lan: true, ..Setup::default() });
        let own = |ip: [u8; 4]| IpAddr::V4(Ipv4Addr::from(ip));
        let second = scene.second_interface(Side::A);
        let says = |what: &str| {
            let said = [check(&scene, Side::A), scene.say(Side::A, &["status"])];
            said.map(|said| said.text.contains(what))
        };
        let named = "eth1 is in the LAN of eth0 too, and answers ARP";
        assert_eq!(says(named), [false; 2], "another network");
        scene
            .namespace(Side::A)
            .rtnl()
            .add_address(second, own([10, 77, 0, 61]), PREFIX, None)
            .expect("added");
        assert_eq!(says(named), [true; 2]);
        assert_eq!(says("sysctl -w net.ipv4.conf.all.arp_ignore=1"), [true; 2]);
        scene.at_node(Side::A, "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore");
        assert_eq!(says(named), [false; 2]);
    });
}
