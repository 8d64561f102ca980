//! The neighbours on a real interface, and what is remembered of them.

use std::time::Duration;

use super::*;
use crate::guard::kernel::addresses::Addresses;
use crate::guard::kernel::ethernet::{Hears, Listener, Sender};
use crate::guard::kernel::packets::announcement;
use crate::guard::testing::{Stranger, address, in_namespace};

const THERE: [&str; 2] = ["10.9.0.77/24@far", "fd00::77/64@far"];

fn lookout(neighbourhood: &mut Neighbourhood) {
    for (is_v6, hears) in [(false, Hears::AnyArp), (true, Hears::AnyNeighbourDiscovery)] {
        let Listener { socket, mac } = Listener::open("near", hears, &[]).expect("a socket");
        neighbourhood.become_lookout(0, ("near", None), (is_v6, mac), socket);
    }
}

/// Who was heard until somebody was, or until a while has passed.
fn heard(neighbourhood: &mut Neighbourhood) -> Heard {
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(10));
        let heard = neighbourhood.listen(clock::now());
        if !heard.is_empty() {
            return heard;
        }
    }
    Heard::new()
}

#[test]
fn a_neighbour_that_was_heard_is_asked_and_its_answer_counts_from_the_question() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        let mut neighbourhood = Neighbourhood::new();
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
            neighbourhood.ask(asked_at, 0, "near");
            assert_eq!(heard(&mut neighbourhood)[..], [(0, asked_at)], "{ip}");
            assert_eq!(neighbourhood.known[0].answered_at, Some(asked_at));
        }
    });
}

#[test]
fn the_peer_and_this_box_are_no_neighbours() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        let mut neighbourhood = Neighbourhood::new();
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
        neighbourhood.is_no_neighbour(theirs);
        assert_eq!(neighbourhood.known.len(), 0, "it was the peer");
        say();
        assert_eq!(heard(&mut neighbourhood)[..], []);
        let own = neighbourhood.lookouts[0].mac;
        assert!(neighbourhood.others.contains(&own), "{:?}", neighbourhood.others);
    });
}

#[test]
fn who_was_heard_before_the_peer_was_known_counts_once_it_is_known_not_to_be_the_peer() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        for is_peer in [false, true] {
            let mut neighbourhood = Neighbourhood::new();
            lookout(&mut neighbourhood);
            neighbourhood.unmet = 1;
            stranger.run(|| {
                let sender = Sender::open().expect("a sender");
                let far = sender.outlet("far").expect("an Ethernet");
                sender.send(&far, &announcement(address(THERE[0]).ip, far.mac, false)[0]).expect("sent");
            });
            assert_eq!(heard(&mut neighbourhood)[..], [], "it may be the peer");
            let mac = neighbourhood.known[0].mac;
            neighbourhood.meet_peer(0, if is_peer { mac } else { [2; 6] });
            assert_eq!(heard(&mut neighbourhood).is_empty(), is_peer);
        }
    });
}

#[test]
fn who_was_only_heard_never_takes_the_place_of_who_has_answered() {
    let mut neighbourhood = Neighbourhood::new();
    let known = |number: u8, answered: bool| Known {
        interface: 0,
        ip: IpAddr::from([10, 0, 0, number]),
        mac: [2, 0, 0, 0, 0, number],
        answered_at: answered.then(|| Instant::from_us(u64::from(number))),
        untold_at: None,
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
