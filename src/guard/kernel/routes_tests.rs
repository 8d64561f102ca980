use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crosswire::time::Span;

use super::*;
use crate::guard::testing::{Veth, address, in_fair_namespace, in_namespace, set_up};
use crate::settings::parsed_route;

fn soon() -> Instant {
    now() + Span::from_s(30)
}

fn ours() -> [VirtualAddress; 2] {
    [address("10.9.0.100/24@near"), address("fd00::100/64@near")]
}

fn routes() -> [Route; 3] {
    let route = |text: &str| parsed_route(&format!("route {text} metric 5"), "near");
    [
        route("default via 10.9.0.1 src 10.9.0.100"),
        route("10.8.0.0/16 via 10.9.0.1 src 10.9.0.100"),
        route("fd08::/16 via fd00::1 src fd00::100"),
    ]
}

/// How many routes by gateways there are, IPv4 and IPv6, as /proc shows them.
fn shown() -> (usize, usize) {
    let of = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("a table");
    let v4 = of("route").lines().filter(|line| line.contains("\t0100090A\t")).count();
    let v6 = of("ipv6_route")
        .lines()
        .filter(|line| line.contains("fd000000000000000000000000000001 00000005"))
        .count();
    (v4, v6)
}

fn renew(addresses: &mut Addresses, routes: &[Route]) {
    let renewal = Renewal { addresses: &ours(), routes, valid_until: soon(), puts_back: true };
    assert_eq!(addresses.renew(&[renewal]), [Ok(())]);
}

#[test]
fn routes_come_after_the_addresses_and_go_alone() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
        assert_eq!(addresses.add_routes(&routes(), soon()), Err(Fault::Kernel(Errno::ENETUNREACH as i32)));
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        assert_eq!(addresses.add_routes(&routes(), now() - Span::from_ms(1)), Err(Fault::TooLate));
        assert_eq!(shown(), (0, 0));
        for _ in 0..2 {
            assert_eq!(
                addresses.add_routes(&routes(), soon()),
                Ok(()),
                "ours of an earlier run are no obstacle"
            );
            assert_eq!(shown(), (2, 1));
        }
        addresses.remove_routes(&routes());
        assert_eq!(shown(), (0, 0));
        assert_eq!(addresses.remove(&ours()), Ok(()));
    });
}

#[test]
fn a_renewal_puts_back_what_was_removed_and_removal_by_the_kernel_is_no_fault() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        assert_eq!(addresses.add_routes(&routes(), soon()), Ok(()));
        addresses.remove_routes(&routes()[1..]);
        assert_eq!(shown(), (1, 0));
        renew(&mut addresses, &routes());
        assert_eq!(shown(), (2, 1));
        assert_eq!(addresses.remove(&ours()), Ok(()));
        assert_eq!(shown().0, 0, "the kernel has removed them with their source");
        addresses.remove_routes(&routes());
        set_up("near", false);
        renew(&mut addresses, &routes());
        assert!(addresses.route_fault.is_some(), "the addresses stay");
        set_up("near", true);
        renew(&mut addresses, &routes());
        assert_eq!((addresses.route_fault, shown().0), (None, 2));
    });
}

#[test]
fn no_route_outlives_its_lease_and_every_one_lives_as_long_as_it_is_renewed() {
    in_fair_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(Span::from_s(2)).expect("a socket");
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        assert_eq!(addresses.add_routes(&routes(), soon()), Ok(()));
        for _ in 0..4 {
            sleep(Duration::from_millis(800));
            renew(&mut addresses, &routes());
            assert_eq!(shown(), (2, 1));
            assert!(goes_out("fd08::1"), "a renewed route is used");
        }
        sleep(Duration::from_millis(3_200));
        assert_eq!(shown().0, 0);
        assert!(
            !goes_out("fd08::1"),
            "one that has expired is used no more, even if it is shown for a while"
        );
    });
}

/// Whether the kernel has a way to an IPv6 address.
fn goes_out(ip: &str) -> bool {
    let socket = std::net::UdpSocket::bind("[::]:0").expect("a socket");
    socket.connect((ip.parse::<IpAddr>().expect("an address"), 9)).is_ok()
}

#[test]
fn a_route_of_the_operators_is_neither_replaced_nor_removed() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        let [first, second, third] = routes();
        for theirs in [&second, &third] {
            let mut request =
                request(true, NLM_F_CREATE | NLM_F_EXCL, theirs, addresses.index_of(theirs).unwrap(), None);
            request.body[5] = 4; // RTPROT_STATIC
            assert_eq!(addresses.netlink.run(&[request]), [Ok(())]);
        }
        let before = shown();
        assert_eq!(before, (1, 1));
        for theirs in [&second, &third] {
            let both = [first.clone(), theirs.clone()];
            assert_eq!(addresses.add_routes(&both, soon()), Ok(()));
            assert_ne!(shown(), before, "the other one of ours is there");
            addresses.remove_routes(&both);
            assert_eq!(shown(), before, "nothing of ours is left behind, and theirs stays");
        }
        assert!(said(Errno::EEXIST).contains("give ours another `metric` or `priority`"));
    });
}

fn rules() -> [Route; 4] {
    [
        parsed_route("rule from 10.9.0.100 table 100", ""),
        parsed_route("rule to 10.8.0.0/16 table 4294967295 priority 7", "near"),
        parsed_route("rule fwmark 0x10/0xf0 table local priority 8", ""),
        parsed_route("rule from fd00::/16 table main priority 9", ""),
    ]
}

/// What `ip` says of the rules, but for those that every box has.
fn rules_shown() -> Vec<String> {
    let shown = |family: &str| {
        let said = Command::new("ip").args([family, "rule", "show"]).output().expect("ip");
        String::from_utf8(said.stdout).expect("text")
    };
    let is_own = |line: &String| !["0:", "32766:", "32767:"].iter().any(|number| line.starts_with(number));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    (shown("-4") + &shown("-6")).lines().map(words).filter(is_own).collect()
}

const SHOWN: [&str; 4] = [
    "7: from all to 10.8.0.0/16 iif near lookup 4294967295 proto 194",
    "8: from all fwmark 0x10/0xf0 lookup local proto 194",
    "19400: from 10.9.0.100 lookup 100 proto 194",
    "9: from fd00::/16 lookup main proto 194",
];

#[test]
fn a_rule_is_told_as_the_kernel_tells_it() {
    use netlink_packet_core::Parseable;
    use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
    let decoded =
        |rule: &Route| RuleMessage::parse(request(true, 0, rule, 0, None).body.as_slice()).expect("a rule");
    let [first, second, third, _] = rules().map(|rule| decoded(&rule));
    assert_eq!((first.header.src_len, first.header.dst_len), (32, 0));
    assert!(first.attributes.contains(&RuleAttribute::Source("10.9.0.100".parse().unwrap())));
    assert!(first.attributes.contains(&RuleAttribute::Table(100)));
    assert!(first.attributes.contains(&RuleAttribute::Priority(19_400)));
    assert!(first.attributes.contains(&RuleAttribute::Protocol(PROTOCOL.into())));
    assert_eq!((second.header.src_len, second.header.dst_len), (0, 16));
    assert!(second.attributes.contains(&RuleAttribute::Iifname("near".to_owned())));
    assert!(second.attributes.contains(&RuleAttribute::Table(u32::MAX)));
    assert!(third.attributes.contains(&RuleAttribute::FwMark(0x10)));
    assert!(third.attributes.contains(&RuleAttribute::FwMask(0xf0)));
    assert_eq!(third.attributes.len(), 5, "nothing is said of where packets come from or go to");
}

#[test]
fn rules_come_after_the_routes_and_come_back_alone() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        let all: Vec<Route> = routes().into_iter().chain(rules()).collect();
        for _ in 0..2 {
            assert_eq!(addresses.add_routes(&all, soon()), Ok(()), "ours of an earlier run are no obstacle");
            assert_eq!((shown(), rules_shown()), ((2, 1), SHOWN.map(str::to_owned).to_vec()));
        }
        assert!(!addresses.has_repeated_rules);
        for _ in 0..3 {
            renew(&mut addresses, &all);
            assert_eq!(rules_shown(), SHOWN, "none is there twice");
        }
        addresses.remove_routes(&rules()[1..]);
        assert_eq!(rules_shown(), [SHOWN[2]]);
        renew(&mut addresses, &all);
        assert_eq!((rules_shown().len(), addresses.route_fault), (4, None));
        addresses.remove_routes(&all);
        assert_eq!((shown(), rules_shown()), ((0, 0), Vec::<String>::new()));
        // A kernel that adds a rule as often as it is asked is not asked again.
        addresses.has_repeated_rules = true;
        renew(&mut addresses, &all);
        assert_eq!((shown(), rules_shown()), ((2, 1), Vec::<String>::new()));
    });
}

#[test]
fn a_rule_of_the_operators_is_neither_replaced_nor_removed() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        let theirs = ["rule", "add", "from", "10.9.0.100", "table", "100", "pref", "19400"];
        assert!(Command::new("ip").args(theirs).status().expect("ip").success());
        // A kernel that does not tell them apart says EEXIST, and the group is not held.
        assert_eq!(addresses.add_routes(&rules()[..1], soon()), Ok(()));
        assert_eq!(rules_shown(), ["19400: from 10.9.0.100 lookup 100", SHOWN[2]], "one beside the other");
        addresses.remove_routes(&rules());
        assert_eq!(rules_shown(), ["19400: from 10.9.0.100 lookup 100"]);
    });
}

#[test]
fn a_route_in_a_table_is_there_and_goes_when_it_is_let_go() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        let all = routes().map(|mut route| {
            route.parts[Part::Table as usize] = Some(PartValue::Number(100_000));
            route
        });
        assert_eq!(addresses.add_routes(&all, soon()), Ok(()));
        let of_table = |family: &str| {
            let said = Command::new("ip").args([family, "route", "show", "table", "100000"]).output();
            String::from_utf8(said.expect("ip").stdout).expect("text").lines().count()
        };
        assert_eq!([of_table("-4"), of_table("-6")], [2, 1]);
        let main = Command::new("ip").args(["route", "show", "proto", "194"]).output().expect("ip");
        assert!(main.stdout.is_empty(), "nothing of it is in the table main");
        addresses.remove_routes(&all);
        assert_eq!([of_table("-4"), of_table("-6")], [0, 0]);
    });
}

#[test]
fn what_a_node_has_that_stands_by_is_added_as_far_as_it_goes() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
        assert_eq!(addresses.add(&ours()[..1], soon()), Ok(()));
        let all = [
            parsed_route("route 10.7.0.0/16 via 10.9.0.1 metric 5", "gone"),
            parsed_route("route 10.8.0.0/16 via 10.9.0.1 metric 5", "near"),
            rules()[0].clone(),
        ];
        let all = all.map(|route| Route { is_backup: true, ..route });
        addresses.keep_backup_routes(&all, false);
        assert_eq!((shown().0, rules_shown().len()), (1, 1), "one that fails holds up no other");
        addresses.remove_routes(&all);
        assert_eq!((shown().0, rules_shown().len()), (0, 0));
        assert_eq!(addresses.add_routes(&all, soon()), Ok(()));
        renew(&mut addresses, &all);
        assert_eq!((shown().0, rules_shown().len()), (0, 0), "a node that serves has none of them");
        for _ in 0..2 {
            addresses.keep_backup_routes(&all, true);
            assert_eq!((shown().0, rules_shown().len()), (1, 1));
        }
    });
}
