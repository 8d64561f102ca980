//! The neighbours on a real interface, and what is remembered of them.

use std::time::Duration;

use super::*;
use crate::guard::kernel::addresses::Addresses;
use crate::guard::kernel::ethernet::{Hears, Listener, Sender};
use crate::guard::kernel::packets::announcement;
use crate::guard::testing::{Stranger, address, in_namespace};

const THERE: [&str; 2] = ["10.9.0.77/24@far", "fd00::77/64@far"];
/// A service address of ours.
const SERVED: &str = "10.9.0.100/24@far";

fn lookout(neighbourhood: &mut Neighbourhood) {
    for (is_v6, hears) in [(false, Hears::AnyArp), (true, Hears::AnyNeighbourDiscovery)] {
        let Listener { socket, mac } = Listener::open("near", hears, &[]).expect("a socket");
        let served = [address(SERVED).ip];
        neighbourhood.become_lookout(0, ("near", None, &served), (is_v6, mac), socket);
    }
}

/// Who was heard until somebody was, or until a while has passed.
fn heard(neighbourhood: &mut Neighbourhood) -> Heard {
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(10));
        neighbourhood.listen(clock::now());
        if !neighbourhood.heard.is_empty() {
            return std::mem::take(&mut neighbourhood.heard);
        }
    }
    Heard::new()
}

/// Says in every form that the other end of the wire has an address.
fn announce(stranger: &Stranger, text: &'static str) {
    stranger.run(move || {
        let sender = Sender::open().expect("a sender");
        let far = sender.outlet("far").expect("an Ethernet");
        for frame in announcement(address(text).ip, far.mac, false) {
            sender.send(&far, &frame).expect("sent");
        }
    });
}

/// It has the address for a while, and is asked for it in vain afterwards.
#[test]
fn a_stranger_with_a_service_address_is_no_neighbour() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        let mut neighbourhood = Neighbourhood::new(KernelTables::default());
        lookout(&mut neighbourhood);
        announce(&stranger, SERVED);
        assert!(heard(&mut neighbourhood).is_empty() && neighbourhood.known.is_empty());
        announce(&stranger, THERE[0]);
        assert_eq!(heard(&mut neighbourhood).len(), 1);
    });
}

#[test]
fn a_neighbour_that_was_heard_is_asked_and_its_answer_counts_from_the_question() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        let mut neighbourhood = Neighbourhood::new(KernelTables::default());
        lookout(&mut neighbourhood);
        stranger.run(|| {
            let theirs = THERE.map(address);
            Addresses::open(Span::from_s(60))
                .expect("a socket")
                .add(&theirs, clock::now() + Span::from_s(1))
                .expect("added");
            std::thread::sleep(Duration::from_millis(300));
            let sender = Sender::open().expect("a sender");
            let far = sender.outlet("far").expect("an Ethernet");
            for frame in THERE.iter().flat_map(|text| announcement(address(text).ip, far.mac, false)) {
                sender.send(&far, &frame).expect("sent");
            }
        });
        let before = clock::now();
        let by_itself = heard(&mut neighbourhood);
        assert!(matches!(by_itself[..], [(0, at)] if at < before), "since the last look: {by_itself:?}");
        let all = neighbourhood.known.clone();
        for ip in THERE.map(|text| address(text).ip) {
            neighbourhood.known = all.iter().filter(|known| known.ip == ip).copied().collect();
            let asked_at = clock::now();
            neighbourhood.ask(asked_at, 1, &["near".to_owned()]);
            assert_eq!(heard(&mut neighbourhood)[..], [(0, asked_at)], "{ip}");
            assert_eq!(neighbourhood.known[0].answered_at, Some(asked_at));
        }
    });
}

#[test]
fn a_hardware_address_that_both_nodes_share_is_no_neighbours() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        let mut neighbourhood = Neighbourhood::new(KernelTables::default());
        lookout(&mut neighbourhood);
        let vmac = [2, 0, 0x5e, 0, 1, 0x33];
        let says = move || {
            let sender = Sender::open().expect("a sender");
            let far = sender.outlet("far").expect("an Ethernet");
            for frame in THERE.iter().flat_map(|text| announcement(address(text).ip, vmac, false)) {
                sender.send(&far, &frame).expect("sent");
            }
        };
        stranger.run(says);
        assert_eq!(heard(&mut neighbourhood).len(), 1, "a third party's would count");
        neighbourhood.known.clear();
        neighbourhood.share(vmac);
        stranger.run(says);
        assert_eq!(heard(&mut neighbourhood).len(), 0);
        assert!(neighbourhood.known.is_empty());
        neighbourhood.meet_peer(clock::now(), 0, vmac, true);
        assert!(!neighbourhood.claims.is_peer(0, vmac), "nor is it the peer's alone");
    });
}

#[test]
fn the_peer_and_this_box_are_no_neighbours() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        let mut neighbourhood = Neighbourhood::new(KernelTables::default());
        lookout(&mut neighbourhood);
        let say = || {
            stranger.run(|| {
                let sender = Sender::open().expect("a sender");
                let far = sender.outlet("far").expect("an Ethernet");
                for frame in announcement(address(THERE[0]).ip, far.mac, false) {
                    sender.send(&far, &frame).expect("sent");
                }
            });
        };
        say();
        assert_eq!(heard(&mut neighbourhood).len(), 1);
        let theirs = neighbourhood.known[0].mac;
        neighbourhood.meet_peer(clock::now(), 0, theirs, true);
        assert_eq!(neighbourhood.known.len(), 0, "it was the peer");
        say();
        assert_eq!(heard(&mut neighbourhood)[..], []);
        let own = neighbourhood.lookouts[0].mac;
        assert!(neighbourhood.own.contains(&own), "{:?}", neighbourhood.own);
    });
}

#[test]
fn who_was_heard_before_the_peer_was_known_counts_once_it_is_known_not_to_be_the_peer() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        for is_peer in [false, true] {
            let mut neighbourhood = Neighbourhood::new(KernelTables::default());
            lookout(&mut neighbourhood);
            neighbourhood.expected = 1;
            stranger.run(|| {
                let sender = Sender::open().expect("a sender");
                let far = sender.outlet("far").expect("an Ethernet");
                sender.send(&far, &announcement(address(THERE[0]).ip, far.mac, false)[0]).expect("sent");
            });
            assert_eq!(heard(&mut neighbourhood)[..], [], "it may be the peer");
            let mac = neighbourhood.known[0].mac;
            neighbourhood.meet_peer(clock::now(), 0, if is_peer { mac } else { [2; 6] }, false);
            assert_eq!(heard(&mut neighbourhood).is_empty(), is_peer);
        }
    });
}

/// A peer that is dead by then answers nobody, and would stay unmet for ever.
#[test]
fn a_peer_that_was_met_stays_met_when_the_interface_comes_anew() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        let mut neighbourhood = Neighbourhood::new(KernelTables::default());
        let dead = Some(IpAddr::from([10, 9, 0, 2]));
        for (is_met, count) in [(false, 0), (true, 1), (true, 1)] {
            if is_met {
                neighbourhood.meet_peer(clock::now(), 0, [2; 6], false);
            }
            let Listener { socket, mac } = Listener::open("near", Hears::AnyArp, &[]).expect("a socket");
            neighbourhood.become_lookout(0, ("near", dead, &[]), (false, mac), socket);
            neighbourhood.heard.clear();
            announce(&stranger, THERE[0]);
            assert_eq!(heard(&mut neighbourhood).len(), count, "met: {is_met}");
        }
    });
}

#[test]
fn who_was_only_heard_never_takes_the_place_of_who_has_answered() {
    let mut neighbourhood = Neighbourhood::new(KernelTables::default());
    let known = |number: u8, answered: bool| Known {
        answered_at: answered.then(|| Instant::from_us(u64::from(number))),
        ..host(Instant::ORIGIN, number)
    };
    (1..=12).for_each(|number| neighbourhood.remember(known(number, true)));
    (100..200).for_each(|number| neighbourhood.remember(known(number, false)));
    assert!(neighbourhood.known.iter().all(|known| known.answered_at.is_some()));
    neighbourhood.remember(known(50, true));
    assert_eq!(neighbourhood.known.len(), MAX_KNOWN);
    assert!(
        neighbourhood.known.iter().all(|known| known.ip != IpAddr::from([10, 0, 0, 1])),
        "the oldest goes"
    );
    neighbourhood.remember(known(50, false));
    assert!(
        neighbourhood.known.iter().all(|known| known.answered_at.is_some()),
        "an answer is not forgotten"
    );
}

/// The host of that number, heard at an instant.
fn host(now: Instant, number: u8) -> Known {
    Known::new(now, 0, IpAddr::from([10, 0, 0, number]), [2, 0, 0, 0, 0, number])
}

fn at(s: u64) -> Instant {
    Instant::from_us(1_000_000) + Span::from_s(s)
}

const ROUTER: Mac = [2, 0, 0, 0, 0, 254];
const PEER: Mac = [2, 0, 0, 0, 0, 2];

/// The peer has said twice where it lives, and a router is known.
fn met() -> Neighbourhood {
    let mut neighbourhood = Neighbourhood::new(KernelTables::default());
    neighbourhood.meet_peer(at(0), 0, PEER, false);
    neighbourhood.meet_peer(at(5), 0, PEER, false);
    neighbourhood.remember(host(at(6), 254));
    neighbourhood
}

#[test]
fn a_lie_about_the_peer_does_not_take_a_known_neighbour_away() {
    let mut neighbourhood = met();
    neighbourhood.meet_peer(at(10), 0, ROUTER, false);
    assert!(!neighbourhood.claims.is_peer(0, ROUTER));
    assert_eq!(neighbourhood.known.len(), 1);
    assert!(neighbourhood.claims.is_peer(0, PEER));
}

#[test]
fn whoever_is_known_by_a_link_local_address_alone_or_serves_may_be_the_peer() {
    let other: Mac = [2, 0, 0, 0, 0, 3];
    for (ip, is_serving) in [("fe80::3", false), ("10.0.0.3", true)] {
        let mut neighbourhood = met();
        neighbourhood.remember(Known::new(at(7), 0, ip.parse().expect("an address"), other));
        neighbourhood.meet_peer(at(10), 0, other, is_serving);
        assert!(neighbourhood.claims.is_peer(0, other), "{ip}");
        assert!(neighbourhood.known.iter().all(|known| known.mac != other), "{ip}");
    }
}

#[test]
fn who_claims_the_address_of_a_neighbour_that_has_answered_does_not_take_its_place() {
    let mut neighbourhood = Neighbourhood::new(KernelTables::default());
    neighbourhood.remember(Known { answered_at: Some(at(1)), ..host(at(1), 254) });
    neighbourhood.remember(Known { mac: [2; 6], ..host(at(2), 254) });
    assert_eq!(neighbourhood.known[0].mac, ROUTER);
    neighbourhood.remember(Known { mac: [2; 6], answered_at: Some(at(3)), ..host(at(3), 254) });
    assert_eq!(neighbourhood.known[0].mac, [2; 6]);
}

fn gateway_is(neighbourhood: &mut Neighbourhood, number: u8) {
    let gateway = Some(IpAddr::from([10, 0, 0, number]));
    let place = Place { gateway, learn_at: Instant::NEVER, unanswered_at: None };
    neighbourhood.places.push(place);
}

/// Who is asked in five rounds of a series, by number.
fn series(neighbourhood: &mut Neighbourhood, from: Instant) -> Vec<Vec<u8>> {
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(_) => 0,
    };
    let round = |index: u64| neighbourhood.whom_to_ask(from + Span::from_ms(20 * index), 0, "near");
    (0..5).map(round).map(|all| all.into_iter().map(number).collect()).collect()
}

#[test]
fn five_rounds_ask_the_gateway_each_time_and_everybody_who_is_known_once() {
    for has_answered in [false, true] {
        let mut neighbourhood = Neighbourhood::new(KernelTables::default());
        gateway_is(&mut neighbourhood, 254);
        // Twelve that have left since; the gateway was heard first, and had to make room.
        neighbourhood.remember(host(at(0), 254));
        for number in 1..=12 {
            let answered_at = has_answered.then(|| at(u64::from(number)));
            neighbourhood.remember(Known { answered_at, ..host(at(u64::from(number)), number) });
        }
        let rounds = series(&mut neighbourhood, at(20));
        assert_eq!(rounds[0], [12], "the newest one");
        assert!(rounds[1..].iter().all(|round| round.contains(&254) && round.len() == MAX_ASKED));
        for number in 1..=12 {
            assert!(rounds[..3].iter().flatten().any(|asked| *asked == number), "{number} of {rounds:?}");
        }
        let again = series(&mut neighbourhood, at(60));
        assert_eq!(again[0], [12], "a series of its own begins with the best one");
    }
}

#[test]
fn where_nobody_has_answered_yet_the_gateway_is_asked_first_and_then_who_was_heard_last() {
    let mut neighbourhood = Neighbourhood::new(KernelTables::default());
    gateway_is(&mut neighbourhood, 5);
    (1..=12).for_each(|number| neighbourhood.remember(host(at(u64::from(number)), number)));
    let rounds = series(&mut neighbourhood, at(20));
    assert_eq!(rounds[..2], [vec![5], vec![5, 12, 11, 10, 9, 8, 7, 6]]);
}

#[test]
fn a_cut_off_interface_is_tried_with_several() {
    let mut neighbourhood = Neighbourhood::new(KernelTables::default());
    (1..=12).for_each(|number| neighbourhood.remember(host(at(u64::from(number)), number)));
    let once_a_second = (20..23).map(|s| neighbourhood.whom_to_ask(at(s), 0, "near").len());
    assert_eq!(once_a_second.collect::<Vec<_>>(), [1, MAX_ASKED, MAX_ASKED]);
}

/// The questions on all interfaces leave at one instant: the answer on the first one is there before the
/// question on the last one has left.
#[test]
fn an_answer_that_comes_while_another_interface_is_asked_counts() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        let mut neighbourhood = Neighbourhood::new(KernelTables::default());
        lookout(&mut neighbourhood);
        neighbourhood.remember(Known::new(clock::now(), 0, address("10.9.0.2/24@far").ip, [0; 6]));
        let asked_at = clock::now();
        neighbourhood.ask(asked_at, 1, &["near".to_owned()]);
        std::thread::sleep(Duration::from_millis(200));
        neighbourhood.ask(clock::now(), 2, &["near".to_owned(), "lo".to_owned()]);
        let heard = std::mem::take(&mut neighbourhood.heard);
        assert!(heard.contains(&(0, asked_at)), "{heard:?}");
        drop(stranger);
    });
}
