//! Policy rules and routes in tables, which the active node alone has; and what the other one has instead.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crosswire::pair::Side;

use crate::lab::clock::now;
use crate::lab::namespace::Namespace;
use crate::lab::setup::{CLIENT, GROUP, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms, run};

const IP: &str = "/sbin/ip";
const SIDES: [Side; 2] = [Side::A, Side::B];

/// What `ip` says in a node's namespace.
fn ip(scene: &Scene, side: Side, line: &str) -> String {
    let mut command = Command::new(IP);
    command.args(line.split(' '));
    scene.namespace(side).command_in(&mut command).expect("the node's namespace");
    run(command).text
}

/// The rules of ours that a node has.
fn rules(scene: &Scene, side: Side) -> Vec<String> {
    let shown = ip(scene, side, "rule show");
    let ours = shown.lines().filter(|line| line.ends_with("proto 194"));
    ours.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// How many routes a node has in the table 100.
fn routes(scene: &Scene, side: Side) -> usize {
    ip(scene, side, "route show table 100").lines().filter(|line| line.contains("proto 194")).count()
}

const FROM_VIP: &str = "19400: from 10.77.0.100 lookup 100 proto 194";
const MARKED: &str = "7: from all fwmark 0x1 lookup 100 proto 194";

fn expect_only(scene: &Scene, side: Side, wanted: &[&str]) {
    scene.expect_soon(&format!("{side:?} alone has {wanted:?}"), PATIENCE, |scene| {
        rules(scene, side) == wanted
            && routes(scene, side) == 1
            && rules(scene, side.peer()).is_empty()
            && routes(scene, side.peer()) == 0
    });
}

/// Operator: a route in a table, and two rules that lead there; a rule of the operator's own. Fault: route
/// and rules are removed by hand; a handover; a rule is struck out of the file; guard and agent are killed,
/// and started again. Required: they are back; they move; the rule that stays is not touched; the node that
/// was killed has none when it stands by; the operator's rule is never touched.
#[test]
fn rules_and_tables_go_where_the_group_goes() {
    if !testing::has_tools(&[IP]) {
        return;
    }
    testing::in_fair_lab(|| {
        let more = format!(
            "routes = [\"10.9.0.0/16 via {CLIENT} table 100\"]\n\
             rules = [\"from {VIP} table 100\", \"fwmark 1 table 100 priority 7\"]"
        );
        let mut scene = Scene::new(Setup { prefer: Some(Side::A), more, ..Setup::default() });
        let own = "rule add from 10.1.1.1 lookup 100 pref 19400";
        SIDES.iter().for_each(|side| assert_eq!(ip(&scene, *side, own), ""));
        SIDES.iter().for_each(|side| scene.begin(*side));
        scene.settle(Side::A);
        let since = now();
        let both = [MARKED, FROM_VIP];
        expect_only(&scene, Side::A, &both);
        let status = scene.status(Side::A).to_string();
        assert!(status.contains("rule from 10.77.0.100/32 priority 19400 table 100"), "{status}");

        ip(&scene, Side::A, "rule del pref 7");
        ip(&scene, Side::A, "rule del from 10.77.0.100 pref 19400");
        ip(&scene, Side::A, "route flush table 100");
        assert_eq!(scene.log_of(Side::A).matches("is not there").count(), 0, "nothing is wrong yet");
        expect_only(&scene, Side::A, &both);
        scene.assert_nothing_moved(Side::A, since);

        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        expect_only(&scene, Side::B, &both);
        scene.settle(Side::B);

        let watch = Watch::begin(&scene, Side::B);
        for side in [Side::A, Side::B] {
            scene.rewrite(side, ", \"fwmark 1 table 100 priority 7\"", "");
            let said = scene.say(side, &["reload"]);
            let text =
                format!("group {GROUP}: rule fwmark 0x1/0xffffffff priority 7 table 100 is removed\ndone\n");
            assert_eq!((said.code, said.text), (Some(0), text));
        }
        expect_only(&scene, Side::B, &[FROM_VIP]);
        assert!(!watch.end().contains("19400"), "the other rule is not touched");
        scene.settle(Side::B);

        scene.kill(Side::B).expect("both processes die");
        scene.expect_soon("A has them", PATIENCE, |scene| rules(scene, Side::A) == [FROM_VIP]);
        assert_eq!(rules(&scene, Side::B), [FROM_VIP], "nobody has removed it");
        scene.begin(Side::B);
        scene.settle(Side::A);
        expect_only(&scene, Side::A, &[FROM_VIP]);
        for side in SIDES {
            scene.stop(side, PATIENCE).expect("it ends");
            assert_eq!((rules(&scene, side).len(), routes(&scene, side)), (0, 0), "{side:?} has ended");
            assert!(ip(&scene, side, "rule show").contains("from 10.1.1.1 lookup 100"), "the operator's");
        }
        scene.assert_never_both();
    });
}

/// `ip monitor rule` in a node's namespace.
struct Watch(std::process::Child);

impl Watch {
    fn begin(scene: &Scene, side: Side) -> Self {
        let mut command = Command::new(IP);
        command.args(["monitor", "rule"]).stdout(std::process::Stdio::piped());
        scene.namespace(side).command_in(&mut command).expect("the node's namespace");
        let child = command.spawn().expect("ip");
        sleep(ms(300));
        Self(child)
    }

    /// All that it has seen.
    fn end(mut self) -> String {
        self.0.kill().expect("it runs");
        String::from_utf8(self.0.wait_with_output().expect("it ends").stdout).expect("text")
    }
}

/// Where a node sends what is for the world; empty for nowhere.
fn way_out(scene: &Scene, side: Side) -> String {
    ip(scene, side, "route show default").trim().to_owned()
}

/// Operator: the node that stands by has a way out through the one that serves, and a rule; another route of
/// it can never be added. Fault: they are removed by hand; a handover; a reload; an orderly end. Required:
/// the node that does not serve has them, and the one that serves never; what cannot be added is said once
/// and changes nothing; nothing is left at the end.
#[test]
fn the_node_that_stands_by_has_its_own_way_out() {
    if !testing::has_tools(&[IP]) {
        return;
    }
    testing::in_fair_lab(|| {
        let backup = |what: &str| format!("{{ {what}, when = \"backup\" }}");
        let more = format!(
            "routes = [{}, {}]\nrules = [{}]",
            backup(&format!("route = \"default via {VIP}\"")),
            backup("route = \"10.9.0.0/16 via 10.99.0.1 dev eth7\""),
            backup("rule = \"fwmark 1 table 100 priority 7\"")
        );
        let mut scene = Scene::serving_with(Setup { prefer: Some(Side::A), more, ..Setup::default() });
        let wanted = format!("default via {VIP} dev eth0 proto 194");
        let expect_at = |scene: &Scene, side: Side| {
            scene.expect_soon(&format!("{side:?} alone goes through the other"), PATIENCE, |scene| {
                way_out(scene, side) == wanted
                    && rules(scene, side) == [MARKED]
                    && way_out(scene, side.peer()).is_empty()
                    && rules(scene, side.peer()).is_empty()
            });
        };
        expect_at(&scene, Side::B);
        ip(&scene, Side::B, "rule del pref 7");
        ip(&scene, Side::B, "route del default");
        expect_at(&scene, Side::B);
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        expect_at(&scene, Side::A);
        scene.settle(Side::B);
        assert_eq!(
            scene.log_of(Side::A).matches("10.9.0.0/16 via 10.99.0.1 when backup cannot be added").count(),
            2
        );

        scene.rewrite(Side::A, "rules = [", "#rules = [");
        assert_eq!(scene.say(Side::A, &["reload"]).code, Some(0));
        scene.expect_soon("no rule", PATIENCE, |scene| rules(scene, Side::A).is_empty());
        assert_eq!(way_out(&scene, Side::A), wanted);
        scene.rewrite(Side::A, "#rules = [", "rules = [");
        assert_eq!(scene.say(Side::A, &["reload"]).code, Some(0));
        expect_at(&scene, Side::A);
        scene.settle(Side::B);

        scene.stop(Side::A, PATIENCE).expect("it ends");
        assert_eq!((way_out(&scene, Side::A), rules(&scene, Side::A).len()), (String::new(), 0));
        scene.begin(Side::A);
        expect_at(&scene, Side::A);
        scene.assert_never_both();
    });
}

const BEYOND: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));
/// The second client inside.
const OTHER_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 130));
const PORT: u16 = 9_999;

/// A provider: a router of its own on the network outside, behind which the world is.
struct Provider {
    _namespace: Namespace,
    world: UdpSocket,
}

impl Provider {
    fn plug(scene: &Scene, name: &str, own: Ipv4Addr) -> Self {
        let namespace = Namespace::new(name).expect("a namespace");
        let port = scene.switch().plug(&namespace, "eth1", 1).expect("a port");
        let index = scene.switch().node_interface(port);
        for (ip, prefix) in [(IpAddr::V4(own), 29), (BEYOND, 32)] {
            namespace.rtnl().add_address(index, ip, prefix, None).expect("an address");
        }
        let world = namespace.run_in(|| UdpSocket::bind((BEYOND, PORT))).expect("a namespace");
        let world = world.expect("a socket");
        world.set_read_timeout(Some(ms(300))).expect("a limit");
        Self { _namespace: namespace, world }
    }

    /// From where the packets come that it has carried since it was asked last.
    fn carried(&self) -> Vec<IpAddr> {
        let mut from = Vec::new();
        while let Ok((_, who)) = self.world.recv_from(&mut [0; 16]) {
            from.push(who.ip());
        }
        from.sort();
        from.dedup();
        from
    }
}

/// Which clients' packets each of the two providers carries.
fn carried(scene: &Scene, providers: &[Provider; 2]) -> [Vec<IpAddr>; 2] {
    // What is on its way of an earlier round.
    providers.iter().for_each(|provider| drop(provider.carried()));
    for from in [CLIENT, OTHER_CLIENT] {
        let ask = || {
            let socket = UdpSocket::bind((from, 0)).expect("an address of the client's");
            (0..3).for_each(|_| drop(socket.send_to(b"hello", (BEYOND, PORT))));
        };
        scene.client().run_in(ask).expect("the client's namespace");
    }
    providers.each_ref().map(Provider::carried)
}

/// Situation: the recipe with two providers, each a router of its own; one half of the clients goes out by
/// the first one, the other by the second; then a handover, and the loss of a node's power. Required:
/// before and after, each client's packets leave by its provider alone.
#[test]
fn each_client_leaves_by_its_provider_before_and_after_a_takeover() {
    let recipe = include_str!("../../firmware-notes/recipes.md");
    let lists = "routes = [\n    \"default via 192.0.2.9 metric 5\",\n    \"default via 192.0.2.9 table \
                 101\",\n    \"default via 198.51.100.9 table 102\",\n]\nrules = [\n    \"from 192.0.2.10 \
                 table 101\",\n    \"from 198.51.100.10 table 102\",\n    \"from 10.0.0.128/25 table \
                 102\",\n]";
    assert!(recipe.contains(lists), "the recipe has other lists");
    if !testing::has_tools(&[IP]) {
        return;
    }
    testing::in_fair_lab(|| {
        let more = lists.replace("10.0.0.128/25", "10.77.0.128/25");
        let addresses = vec![
            format!("{VIP}/24@eth0"),
            "192.0.2.10/29@eth1".to_owned(),
            "198.51.100.10/29@eth1".to_owned(),
        ];
        let setup = Setup { addresses, second_lan: true, prefer: Some(Side::A), more, ..Setup::default() };
        let mut scene = Scene::new(setup);
        let providers = [
            Provider::plug(&scene, "first", Ipv4Addr::new(192, 0, 2, 9)),
            Provider::plug(&scene, "second", Ipv4Addr::new(198, 51, 100, 9)),
        ];
        SIDES.iter().for_each(|side| scene.at_node(*side, "echo 1 > /proc/sys/net/ipv4/ip_forward"));
        let index = scene.switch().node_interface(scene.client_port(0));
        scene.client().rtnl().add_address(index, OTHER_CLIENT, 24, None).expect("a second client");
        let route = ["ip", "route", "add", &BEYOND.to_string(), "via", &VIP.to_string()].map(str::to_owned);
        let said = scene.at_client(&route.each_ref().map(String::as_str));
        assert_eq!(said.code, Some(0), "{said:?}");
        SIDES.iter().for_each(|side| scene.begin(*side));
        let wanted = [vec![CLIENT], vec![OTHER_CLIENT]];
        let expect = |scene: &Scene, what: &str| {
            scene.expect_soon(what, Duration::from_secs(60), |scene| carried(scene, &providers) == wanted);
            assert_eq!(carried(scene, &providers), wanted, "{what}");
        };
        scene.settle(Side::A);
        expect(&scene, "gw1 serves");
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        expect(&scene, "gw2 serves");
        scene.settle(Side::B);
        scene.power_cut(Side::B).expect("its processes die");
        scene.wait_for_service_by(Side::A);
        expect(&scene, "gw1 serves again");
    });
}
