//! What the switch forwards, and what it does not when told so.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;

use crate::lab::Lab;
use crate::lab::address_log::Wanted;
use crate::lab::clock::{now, wait_until};
use crate::lab::ping::Ping;
use crate::lab::setup::{PREFIX, Setup, node_address};
use crate::lab::switch::{PortRules, Rule};
use crate::lab::testing::{in_fair_lab, in_lab};
use crate::{SOON, build, drop_vip, hold_vip, ms};

const PORT: u16 = 694;

/// One UDP socket per node, as the daemons will have.
fn udp_pair(lab: &Lab, port: u16) -> [UdpSocket; 2] {
    [Side::A, Side::B].map(|side| {
        let socket =
            lab.namespace(side).run_in(|| UdpSocket::bind((node_address(side, 0), port))).unwrap().unwrap();
        socket.set_read_timeout(Some(ms(20))).unwrap();
        socket
    })
}

/// How many of `count` datagrams arrive, until nothing has come for half a second after the last was sent.
/// They are taken as they come, so that the receiving socket never overflows.
fn arrivals(sockets: &[UdpSocket; 2], from: Side, port: u16, count: u32) -> u32 {
    let receiver = &sockets[from.peer().index()];
    let is_sent = AtomicBool::new(false);
    thread::scope(|scope| {
        let counter = scope.spawn(|| {
            let mut buffer = [0; 2_000];
            let (mut arrived, mut quiet_since) = (0, now());
            while arrived < count
                && !(is_sent.load(Ordering::SeqCst) && now().since(quiet_since) > Span::from_ms(500))
            {
                if receiver.recv(&mut buffer).is_ok() {
                    arrived += 1;
                    quiet_since = now();
                } else if !is_sent.load(Ordering::SeqCst) {
                    quiet_since = now();
                }
            }
            arrived
        });
        for number in 0..count {
            let to = (node_address(from.peer(), 0), port);
            sockets[from.index()].send_to(&number.to_be_bytes(), to).unwrap();
            if number % 16 == 15 {
                thread::sleep(ms(1));
            }
        }
        is_sent.store(true, Ordering::SeqCst);
        counter.join().unwrap()
    })
}

#[test]
fn ping_goes_through_the_switch() {
    in_fair_lab(|| {
        let lab = build(Setup { ping_step: ms(1), ..Setup::default() });
        assert!(!lab.ping().answering());
        hold_vip(&lab, Side::A, None);
        let since = now();
        let first = lab.ping().wait_for_answer_after(since, SOON).unwrap();
        thread::sleep(ms(500));
        assert!(lab.ping().answering());
        // The client's kernel had kept requests from before the address existed; those prove nothing.
        let answers = lab.ping().answers().into_iter().filter(|answer| answer.sent > first);
        let mut trips: Vec<u64> = answers.map(|answer| answer.received.since(answer.sent).as_us()).collect();
        trips.sort_unstable();
        let (median, most, max) =
            (trips[trips.len() / 2], trips[trips.len() * 99 / 100], trips[trips.len() - 1]);
        println!(
            "echo through the switch, of {}: median {median} us, 99 % {most} us, longest {max} us",
            trips.len()
        );
        assert!(
            median < 1_000,
            "forwarding must cost well below a millisecond, but an echo takes {median} us"
        );
        assert!(lab.ping().median_round_trip().unwrap() < Span::from_ms(1));
        assert!(lab.ping().longest_gap_since(first).worst() < Span::from_ms(100));
    });
}

#[test]
fn ipv6_addresses_answer_too() {
    in_lab(|| {
        let lab = build(Setup::default());
        let ip = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100));
        let client_ip = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x10));
        let client_interface = lab.switch().node_interface(lab.client_port(0));
        lab.client().rtnl().add_address(client_interface, client_ip, 64, None).unwrap();
        lab.namespace(Side::B).rtnl().add_address(lab.interface(Side::B), ip, 64, Some(5)).unwrap();
        lab.log().wait_for(ip, Wanted::Only(Side::B), SOON).unwrap();
        let ping = Ping::start(lab.client(), ip, ms(5)).unwrap();
        ping.wait_for_answer_after(now(), SOON).unwrap();
    });
}

#[test]
fn datagrams_arrive_with_good_checksums_and_whole() {
    in_fair_lab(|| {
        let lab = build(Setup::default());
        let sockets = udp_pair(&lab, PORT);
        assert_eq!(arrivals(&sockets, Side::A, PORT, 200), 200);
        assert_eq!(arrivals(&sockets, Side::B, PORT, 200), 200);
        let largest = [7; 1_472];
        sockets[0].send_to(&largest, (node_address(Side::B, 0), PORT)).unwrap();
        let mut buffer = [0; 2_000];
        sockets[1].set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(sockets[1].recv(&mut buffer).unwrap(), largest.len());
    });
}

#[test]
fn one_direction_can_be_blocked_alone() {
    in_fair_lab(|| {
        let lab = build(Setup::default());
        let sockets = udp_pair(&lab, PORT);
        assert_eq!(arrivals(&sockets, Side::A, PORT, 10), 10, "the neighbour caches are warm from here on");
        let blocked = Rule { blocked: true, ..Rule::default() };
        lab.set_lan(Side::A, PortRules { from_node: blocked, ..PortRules::default() });
        assert_eq!((arrivals(&sockets, Side::A, PORT, 10), arrivals(&sockets, Side::B, PORT, 10)), (0, 10));
        lab.set_lan(Side::A, PortRules { to_node: blocked, ..PortRules::default() });
        assert_eq!((arrivals(&sockets, Side::A, PORT, 10), arrivals(&sockets, Side::B, PORT, 10)), (10, 0));
        lab.heal().unwrap();
        assert_eq!((arrivals(&sockets, Side::A, PORT, 10), arrivals(&sockets, Side::B, PORT, 10)), (10, 10));
    });
}

#[test]
fn a_blocked_udp_port_blocks_nothing_else() {
    in_fair_lab(|| {
        let lab = build(Setup::default());
        hold_vip(&lab, Side::A, None);
        let beats = udp_pair(&lab, PORT);
        let others = udp_pair(&lab, PORT + 1);
        assert_eq!(arrivals(&beats, Side::A, PORT, 10), 10);
        lab.set_lan(Side::A, PortRules::both(Rule { blocked_udp_port: Some(PORT), ..Rule::default() }));
        assert_eq!((arrivals(&beats, Side::A, PORT, 10), arrivals(&beats, Side::B, PORT, 10)), (0, 0));
        assert_eq!(arrivals(&others, Side::A, PORT + 1, 10), 10);
        lab.ping().wait_for_answer_after(now(), SOON).unwrap();
        assert!(lab.link_state(Side::A).unwrap().running);
    });
}

#[test]
fn loss_is_as_large_as_said() {
    in_fair_lab(|| {
        let lab = build(Setup::default());
        let sockets = udp_pair(&lab, PORT);
        assert_eq!(arrivals(&sockets, Side::A, PORT, 10), 10);
        lab.set_lan(Side::B, PortRules::both(Rule { loss_percent: 40, ..Rule::default() }));
        let before = lab.switch().counters(lab.port(Side::B, 0)).lost;
        let arrived = arrivals(&sockets, Side::A, PORT, 1_000);
        let lost = lab.switch().counters(lab.port(Side::B, 0)).lost - before;
        // Six standard deviations of a binomial distribution are 93.
        assert!((507..=693).contains(&arrived), "{arrived} of 1000 arrived at 40 % loss");
        assert!(
            lost >= u64::from(1_000 - arrived),
            "what does not arrive is counted: {lost} lost, {arrived} arrived"
        );
    });
}

#[test]
fn a_delay_adds_up_both_ways() {
    in_fair_lab(|| {
        let lab = build(Setup::default());
        hold_vip(&lab, Side::A, None);
        lab.ping().wait_for_answer_after(now(), SOON).unwrap();
        lab.set_lan(Side::A, PortRules::both(Rule { delay: ms(20), ..Rule::default() }));
        let since = now();
        thread::sleep(ms(300));
        let late: Vec<_> = lab.ping().answers().into_iter().filter(|answer| answer.sent > since).collect();
        assert!(late.len() > 20, "{} answers", late.len());
        assert!(late.iter().all(|answer| answer.received.since(answer.sent) >= Span::from_ms(40)));
        lab.set_lan(Side::A, PortRules::silent());
        let cut = now();
        thread::sleep(ms(100));
        let after = lab.ping().answers().iter().filter(|a| a.received > cut + Span::from_ms(25)).count();
        assert_eq!(
            after, 0,
            "a cut also takes what is on its way, but for what has left the port of the node"
        );
    });
}

#[test]
fn a_lost_carrier_is_seen_by_that_node_alone_and_a_silent_port_by_none() {
    in_fair_lab(|| {
        let lab = build(Setup::default());
        hold_vip(&lab, Side::A, None);
        lab.ping().wait_for_answer_after(now(), SOON).unwrap();

        lab.set_lan(Side::A, PortRules::silent());
        let silent = now();
        thread::sleep(ms(100));
        assert!(!lab.ping().answering());
        let state = lab.link_state(Side::A).unwrap();
        assert!(state.up && state.running && state.lower_up, "carrier is kept: {state:?}");
        lab.heal().unwrap();
        lab.ping().wait_for_answer_after(now(), SOON).unwrap();
        assert!(lab.ping().longest_gap_since(silent).unserved >= Span::from_ms(100));

        lab.set_carrier(Side::A, false).unwrap();
        let pulled = now();
        let gone = || lab.link_state(Side::A).map(|state| !state.running && !state.lower_up && state.up);
        let seen = wait_until("the loss of the carrier", SOON, gone).unwrap();
        println!("carrier loss seen after {}", seen.since(pulled));
        assert!(seen.since(pulled) < Span::from_ms(100), "as on a real card, not at the kernel's leisure");
        assert!(lab.link_state(Side::B).unwrap().running);
        thread::sleep(ms(50));
        assert!(!lab.ping().answering());

        lab.set_carrier(Side::A, true).unwrap();
        wait_until("the carrier", SOON, || lab.link_state(Side::A).map(|state| state.running)).unwrap();
        lab.ping().wait_for_answer_after(now(), SOON).unwrap();
    });
}

#[test]
fn networks_are_apart() {
    in_fair_lab(|| {
        let lab = build(Setup { second_lan: true, ..Setup::default() });
        let ip = IpAddr::V4(Ipv4Addr::new(10, 78, 0, 200));
        let second = lab.switch().node_interface(lab.port(Side::B, 1));
        lab.namespace(Side::B).rtnl().add_address(second, ip, PREFIX, None).unwrap();
        let ping = Ping::start(lab.client(), ip, ms(5)).unwrap();
        ping.wait_for_answer_after(now(), SOON).unwrap();
        let first = lab.switch().counters(lab.port(Side::B, 0)).to_node;
        thread::sleep(ms(200));
        let second = lab.switch().counters(lab.port(Side::B, 1)).to_node;
        assert!(second > 30, "{second}");
        // The client asks for the VIP on eth0 about once a second, and kernels greet their IPv6 routers.
        assert!(lab.switch().counters(lab.port(Side::B, 0)).to_node - first < 20);
    });
}

#[test]
fn a_client_clings_to_the_old_holder_until_the_new_one_announces_itself() {
    in_fair_lab(|| {
        let lab = build(Setup::default());
        hold_vip(&lab, Side::A, None);
        lab.ping().wait_for_answer_after(now(), SOON).unwrap();
        drop_vip(&lab, Side::A);
        hold_vip(&lab, Side::B, None);
        let moved = now();
        thread::sleep(ms(300));
        let answered = lab.ping().answers().iter().filter(|answer| answer.sent > moved).count();
        assert_eq!(answered, 0, "nothing told the client's neighbour cache that the VIP has moved");

        // The kernel announces the addresses of an interface that comes up, if told to.
        let announce = || fs::write("/proc/sys/net/ipv4/conf/eth0/arp_notify", "1");
        lab.namespace(Side::B).run_in(announce).unwrap().unwrap();
        lab.namespace(Side::B).rtnl().set_up(lab.interface(Side::B), false).unwrap();
        lab.namespace(Side::B).rtnl().set_up(lab.interface(Side::B), true).unwrap();
        let announced = now();
        let back = lab.ping().wait_for_answer_after(announced, SOON).unwrap();
        println!("answered {} after the announcement", back.since(announced));
    });
}
