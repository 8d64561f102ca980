//! Row 33, and interfaces that change under a pair: down, renamed, with another hardware address.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::signal::{Signal, kill};

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::setup::{PREFIX, Setup, VIP, node_address};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms, unwrapped};

const BOTH: [Side; 2] = [Side::A, Side::B];
/// The service address outside.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 78, 0, 100));
/// One that a reload adds.
const MORE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 101));
/// From a change of an interface until all that follows from it has been done.
const NOTICED_MS: u64 = 200;
/// A node could serve again so long after its interface is back.
const BACK_MS: u64 = 2_500;
/// So often an interface is made anew until the programs that make it need less than a lease.
const MAX_TRIES: usize = 10;
/// The announcements that every takeover makes are over.
const BURST_OVER_MS: u64 = 11_000;

fn serving() -> Scene {
    let addresses = vec![format!("{VIP}/24@eth0"), format!("{OUTSIDE}/24@eth1")];
    Scene::serving_with(Setup { addresses, second_lan: true, ..Setup::default() })
}

fn has(scene: &Scene, side: Side, ip: IpAddr) -> bool {
    scene.namespace(side).rtnl().addresses().expect("addresses").iter().any(|held| held.ip == ip)
}

/// Fault: an interface of the group is switched off on the standby; heartbeats have another way. Required:
/// both nodes say at once that the second one could not serve, with what and where; no exit code says that
/// all is well.
#[test]
fn a_standby_whose_interface_is_down_is_unfit_and_both_say_so() {
    testing::in_lab(|| {
        let scene = serving();
        let set_up = |is_up| {
            let index = scene.second_interface(Side::B);
            scene.namespace(Side::B).rtnl().set_up(index, is_up).expect("done");
            now()
        };
        let are_said = |line: &str, there: &str| {
            scene.expect_soon("what the logs say", PATIENCE, |scene| {
                scene.log_of(Side::A).contains(line) && scene.log_of(Side::B).contains(there)
            })
        };
        let down = set_up(false);
        let said = are_said(
            "gw2 could not take it over: an interface there has no carrier",
            "not taking it: an interface of it has no carrier",
        );
        assert!(said.since(down) <= at_most(1_000), "said only after {}", said.since(down));
        let [near, far] = BOTH.map(|side| unwrapped(&scene.say(side, &["status"]).text));
        assert!(near.contains("an interface of it has no carrier"), "{near}");
        assert!(far.contains("NO CARRIER"), "{far}");
        assert_eq!(scene.holds().len(), 1, "{:?}", scene.holds());
        set_up(true);
        are_said("gw2 could take it over", "not taking it: gw1 serves it");
    });
}

/// Row 33. Fault: the service address is added by hand on the backup.
/// Required: removed at once, and said; the active node serves on.
#[test]
fn row_33_added_by_hand_on_the_backup() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving().may_split();
        for prefix in [PREFIX, 32] {
            let added = now();
            let (rtnl, interface) = (scene.namespace(Side::B).rtnl(), scene.interface(Side::B));
            rtnl.add_address(interface, VIP, prefix, None).expect("added");
            let gone = scene.wait_for(Wanted::Only(Side::A), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
            assert!(gone.since(added) <= at_most(NOTICED_MS), "removed only after {}", gone.since(added));
        }
        let log = scene.log_of(Side::B);
        assert!(log.contains(&format!("{VIP}")) && log.contains("removed"), "{log}");
        thread::sleep(ms(1_500));
        scene.settle(Side::A);
    });
}

/// Row 33. Fault: the service address is added by hand on the backup in maintenance, or on another interface;
/// the agent is killed, and the configuration read anew. Required: it stays there; when the maintenance is
/// over it goes from where it would be served.
#[test]
fn row_33_added_by_hand_where_it_is_nobodys_business() {
    testing::in_lab(|| {
        let mut scene = Scene::serving().may_split();
        scene.namespace(Side::B).rtnl().add_address(1, VIP, 32, None).expect("added to lo");
        assert_eq!(scene.say(Side::B, &["maintenance", "on"]).code, Some(0));
        let interface = scene.interface(Side::B);
        scene.namespace(Side::B).rtnl().add_address(interface, VIP, PREFIX, None).expect("added");
        let count = |scene: &Scene| {
            let held = scene.namespace(Side::B).rtnl().addresses().expect("addresses");
            held.iter().filter(|held| held.ip == VIP).count()
        };
        thread::sleep(ms(1_500));
        assert_eq!(count(&scene), 2);
        kill(scene.agent(Side::B).expect("an agent"), Signal::SIGKILL).expect("killed");
        scene.expect_soon("another agent", PATIENCE, |scene| scene.try_status(Side::B).is_some());
        let vip = format!("\"{VIP}/{PREFIX}@eth0\"");
        scene.rewrite(Side::B, &vip, &format!("{vip}, \"{MORE}/{PREFIX}@eth0\""));
        let said = scene.say(Side::B, &["reload"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        thread::sleep(ms(500));
        assert_eq!(count(&scene), 2);
        assert_eq!(scene.say(Side::B, &["maintenance", "off"]).code, Some(0));
        scene.expect_soon("its end", PATIENCE, |scene| count(scene) == 1);
    });
}

/// Row 33. Fault: the service address is added by hand on the active node, for ever.
/// Required: it has the lease again at once.
#[test]
fn row_33_made_to_stay_for_ever_on_the_active() {
    testing::in_lab(|| {
        let scene = Scene::serving();
        let (rtnl, interface) = (scene.namespace(Side::A).rtnl(), scene.interface(Side::A));
        rtnl.add_address(interface, VIP, PREFIX, None).expect("made to stay");
        scene.expect_soon("the lease", PATIENCE, |_| {
            let held = rtnl.addresses().expect("addresses");
            held.iter().any(|held| held.ip == VIP && held.valid_s.is_some())
        });
    });
}

/// Row 33. Fault: the hardware address of the active node's interface is changed. Required: announced at
/// once: the client notices nothing, and no probe takes the node's own answers for those of somebody else.
#[test]
fn row_33_another_hardware_address() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        thread::sleep(ms(BURST_OVER_MS));
        let start = now();
        scene.at_node(Side::A, "ip link set eth0 address 02:00:5e:00:01:07");
        thread::sleep(ms(2_000));
        let outage = scene.assert_outage_below(at_most(NOTICED_MS), start);
        println!("row 33: the client waited for {outage}");
        scene.settle(Side::A);
        assert!(!scene.log_of(Side::A).contains("claims an address"), "{}", scene.log_of(Side::A));
        assert_eq!(scene.holds().len(), 1, "{:?}", scene.holds());
    });
}

/// An interface that leads to nobody, on which the group has an address too, and the box one of its own.
const SECOND: &str = "lan7";
const ON_SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 79, 0, 100));

/// The lines that make it.
fn make_second(side: Side) -> String {
    format!(
        "/sbin/ip link add name {SECOND} type veth peer name far7 && ip link set far7 up && \
         echo 0 >/proc/sys/net/ipv4/conf/{SECOND}/promote_secondaries && \
         ip link set {SECOND} up && ip address add {}/24 dev {SECOND}",
        node_address(side, 2)
    )
}

/// Makes it anew where it is, without an address. Both processes stand still meanwhile: the kernel tells at
/// once that the address has gone, a renewal follows at once, and hands the group over if it finds no such
/// interface. It would in four cases of five.
fn make_second_anew(scene: &mut Scene, side: Side) {
    scene.signal_all(side, Signal::SIGSTOP).expect("both stop");
    scene.at_node(
        side,
        &format!(
            "printf 'link delete {SECOND}\\nlink add name {SECOND} type veth peer name far7\\n\
             link set far7 up\\nlink set {SECOND} up\\n' | /sbin/ip -batch -"
        ),
    );
    scene.signal_all(side, Signal::SIGCONT).expect("both go on");
}

/// Row 33. Fault: an interface of the group is deleted and made anew, and the box's own address comes back
/// after the service address; then the group is handed over. Required: served again at once, nothing moves;
/// and the handover leaves the box its own address.
#[test]
fn row_33_an_interface_made_anew() {
    if !testing::has_tools(&["/sbin/ip"]) {
        return;
    }
    testing::in_fair_lab(|| {
        let addresses = vec![format!("{VIP}/24@eth0"), format!("{ON_SECOND}/24@{SECOND}")];
        let mut scene = Scene::new(Setup { addresses, ..Setup::default() });
        for side in BOTH {
            // However slowly it is made.
            scene.rewrite(side, "[timing]\n", "[timing]\ncarrier_delay = \"20s\"\n");
            scene.at_node(side, &make_second(side));
            scene.begin(side);
        }
        scene.settle(Side::A);
        let mut made_anew = now();
        make_second_anew(&mut scene, Side::A);
        thread::sleep(ms(1_000));
        for _ in 1..MAX_TRIES {
            if scene.role(Side::B) != "active" {
                break;
            }
            scene.settle(Side::B);
            assert_eq!(scene.say(Side::A, &["takeover", "gateway"]).code, Some(0));
            scene.settle(Side::A);
            made_anew = now();
            make_second_anew(&mut scene, Side::A);
            thread::sleep(ms(1_000));
        }
        scene.expect_soon("the service address", PATIENCE, |scene| has(scene, Side::A, ON_SECOND));
        let own = node_address(Side::A, 2);
        scene.at_node(Side::A, &format!("ip address add {own}/24 dev {SECOND}"));
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, made_anew);
        // What came later has to come first, which takes a renewal.
        thread::sleep(ms(500));
        assert!(has(&scene, Side::A, own) && has(&scene, Side::A, ON_SECOND));
        assert_eq!(scene.say(Side::A, &["handover", "gateway"]).code, Some(0));
        scene.settle(Side::B);
        assert!(!has(&scene, Side::A, ON_SECOND) && has(&scene, Side::A, own), "the box keeps its own");
        scene.assert_never_both();
    });
}

/// Fault: an interface of the group is renamed on the active node.
/// Required: handed over at once; the address does not stay under the other name; once the interface has its
/// name again, the node could serve again, and says so.
#[test]
fn a_renamed_interface_is_handed_over_at_once() {
    testing::in_fair_lab(|| {
        let scene = serving();
        let renamed = now();
        scene.at_node(
            Side::A,
            "ip link set eth1 name wan0 || \
                { ip link set eth1 down; ip link set eth1 name wan0; ip link set wan0 up; }",
        );
        scene.wait_for_service_by(Side::B);
        let gone =
            scene.expect_soon("an address that is gone", PATIENCE, |scene| !has(scene, Side::A, OUTSIDE));
        assert!(gone.since(renamed) <= at_most(NOTICED_MS), "gone only after {}", gone.since(renamed));
        assert_eq!(scene.log().overlap(OUTSIDE).expect("the observer lost nothing"), Span::ZERO);
        scene.assert_outage_below(at_most(NOTICED_MS), renamed);
        scene.assert_never_both();
        // It could not serve by then, and what the kernel refused is no reason any more.
        thread::sleep(ms(2_000));
        scene.at_node(
            Side::A,
            "ip link set wan0 name eth1 || \
                { ip link set wan0 down; ip link set wan0 name eth1; ip link set eth1 up; }",
        );
        let back = now();
        let well = scene.expect_soon("a standby that could serve", PATIENCE, |scene| {
            scene.say(Side::A, &["status"]).code == Some(0)
        });
        assert!(well.since(back) <= at_most(BACK_MS), "only after {}", well.since(back));
        scene.settle(Side::B);
    });
}

/// Fault: the active node's own address on the LAN is deleted, and comes back. Required: its path is blind by
/// our own fault, said at once with the address and the interface; nothing moves; the path is back with the
/// address.
#[test]
fn a_lan_address_that_is_gone_is_named() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let (rtnl, interface, own) =
            (scene.namespace(Side::A).rtnl(), scene.interface(Side::A), node_address(Side::A, 0));
        let gone = now();
        rtnl.delete_address(interface, own, PREFIX).expect("deleted");
        let named = scene.expect_soon("its name", PATIENCE, |scene| {
            scene.log_of(Side::A).contains(&format!("path lan: {own} on eth0"))
        });
        assert!(named.since(gone) <= at_most(NOTICED_MS), "named only after {}", named.since(gone));
        scene.expect_soon("a blind path", PATIENCE, |scene| scene.path_state(Side::A, 1) == "blind");
        rtnl.add_address(interface, own, PREFIX, None).expect("back");
        let back = now();
        let healed =
            scene.expect_soon("the path", PATIENCE, |scene| scene.path_state(Side::A, 1) == "on time");
        assert!(healed.since(back) <= at_most(1_000), "back only after {}", healed.since(back));
        scene.settle(Side::A);
        scene.assert_never_both();
        assert!(scene.holds().iter().all(|hold| hold.side == Side::A), "{:?}", scene.holds());
    });
}

/// The interface of the LAN path where it can be deleted: eth0 is the laboratory's.
const BEATS_ON: &str = "lan8";
/// A path whose interface is back is on time within this, however long it was away.
const PATH_BACK_MS: u64 = 500;

/// What makes it, switches it on, and gives it the node's address.
fn make_lan(side: Side) -> [String; 3] {
    [
        format!("/sbin/ip link add link eth0 name {BEATS_ON} type macvlan mode bridge"),
        format!("ip link set {BEATS_ON} up"),
        format!("ip address add {}/24 dev {BEATS_ON}", node_address(side, 3)),
    ]
}

/// A pair that beats on it.
fn beating_on_another() -> Scene {
    let mut scene = Scene::new(Setup::default());
    for side in BOTH {
        scene.rewrite(side, "[lan]\ninterface = \"eth0\"", &format!("[lan]\ninterface = \"{BEATS_ON}\""));
        for node in BOTH {
            let lan = |number| format!("lan = \"{}\"", node_address(node, number));
            scene.rewrite(side, &lan(0), &lan(3));
        }
        // Or eth0 would answer for it.
        scene.at_node(side, "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore");
        make_lan(side).iter().for_each(|line| scene.at_node(side, line));
        scene.begin(side);
    }
    scene.settle(Side::A);
    scene
}

/// Fault: the interface of a LAN path is deleted, and made anew when the path is tried seldom: its address
/// comes last, or before it is switched on. Required: the path is on time again at once, not with its next
/// try; nothing moves.
#[test]
fn a_lan_path_is_back_as_soon_as_its_interface_is() {
    if !testing::has_tools(&["/sbin/ip"]) {
        return;
    }
    testing::in_fair_lab(|| {
        let scene = beating_on_another();
        let start = now();
        for (side, order) in [(Side::B, [0, 1, 2]), (Side::A, [0, 2, 1])] {
            scene.at_node(side, &format!("ip link delete {BEATS_ON}"));
            scene.expect_soon("seldom tries", PATIENCE, |scene| {
                let said = unwrapped(&scene.say(side, &["status"]).text);
                (6..=8).any(|wait_s| said.contains(&format!("again in {wait_s} s")))
            });
            let lines = make_lan(side);
            order.iter().for_each(|step| scene.at_node(side, &lines[*step]));
            let back = now();
            let healed = scene.expect_soon("the path", PATIENCE, |scene| {
                BOTH.iter().all(|side| scene.path_state(*side, 1) == "on time")
            });
            println!("LAN path of {side:?}: on time {} after its interface was back", healed.since(back));
            assert!(healed.since(back) <= at_most(PATH_BACK_MS), "only after {}", healed.since(back));
        }
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, start);
    });
}

/// Fault: IPv6 is switched off on the standby, on an interface of the group that has no IPv6 address there.
/// Required: both nodes say that the second one could not take the group, before it has to; and that it can
/// again.
#[test]
fn a_standby_that_takes_no_ipv6_says_so_before_it_has_to() {
    testing::in_lab(|| {
        let addresses = vec![format!("{VIP}/24@eth0"), "fd78::100/64@eth1".to_owned()];
        let scene = Scene::serving_with(Setup { addresses, second_lan: true, ..Setup::default() });
        let (line, there) = ("gw2 could not take it over", "takes no address like fd78::100 on eth1");
        for (switch, line, there) in [("1", line, there), ("0", "gw2 could take it over", there)] {
            scene.at_node(Side::B, &format!("echo {switch} >/proc/sys/net/ipv6/conf/eth1/disable_ipv6"));
            scene.expect_soon("what the logs say", PATIENCE, |scene| {
                scene.log_of(Side::A).contains(line) && scene.log_of(Side::B).contains(there)
            });
        }
        assert_eq!(scene.holds().len(), 1, "{:?}", scene.holds());
    });
}
