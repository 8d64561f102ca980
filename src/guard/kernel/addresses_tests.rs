//! Addresses on real kernels.

use std::thread::sleep;
use std::time::Duration;

use super::*;
use crate::guard::testing::{Veth, address, in_fair_namespace, in_namespace, seen};

const LEASE: Span = Span::from_s(2);
/// A lease that no test outlives by accident.
const LONG: Span = Span::from_s(60);

/// Time enough, however busy the machine is.
fn soon() -> Instant {
    now() + Span::from_s(30)
}

fn valid_s(ip: &str) -> Option<u32> {
    let ip: IpAddr = ip.parse().expect("an address");
    seen().iter().find(|seen| seen.place.ip == ip).map(|seen| seen.valid_s)
}

fn ours() -> [VirtualAddress; 2] {
    [address("10.9.0.100/24@near"), address("fd00::100/64@near")]
}

/// How many of ours the kernel shows where they belong.
fn there(addresses: &Addresses) -> usize {
    let places = ours().map(|address| addresses.place_of(&address));
    let is_ours = |seen: &Seen| {
        let same =
            |place: &Place| place.ip == seen.place.ip && place.interface_index == seen.place.interface_index;
        places.iter().flatten().any(same)
    };
    seen().iter().filter(|seen| is_ours(seen)).count()
}

#[test]
fn labels_and_other_ends_come_with_the_address_and_go_with_it() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let labelled = VirtualAddress { label: Some("near:0".into()), ..address("10.9.0.100/24@near") };
        let end = |ip: &str| Some(ip.parse().expect("an address"));
        let tunnel = VirtualAddress { peer: end("10.8.0.2"), ..address("10.8.0.1/32@near") };
        let tunnel6 = VirtualAddress { peer: end("fd08::2"), ..address("fd08::1/128@near") };
        let all = [labelled, tunnel, tunnel6];
        let mut addresses = Addresses::open(LEASE).expect("a socket");
        assert_eq!(addresses.add(&all, soon()), Ok(()));
        let said =
            std::process::Command::new("ip").args(["-o", "address", "show", "near"]).output().expect("ip");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        for expected in ["near:0", "10.8.0.1 peer 10.8.0.2/32", "fd08::1 peer fd08::2/128"] {
            assert!(said.contains(expected), "{expected} in {said}");
        }
        assert_eq!(
            addresses.renew(&[Renewal {
                addresses: &all,
                routes: &[],
                valid_until: soon(),
                puts_back: true
            }]),
            [Ok(())]
        );
        assert_eq!(addresses.remove(&all), Ok(()));
        assert!(["10.9.0.100", "10.8.0.1", "fd08::1"].iter().all(|ip| valid_s(ip).is_none()));
    });
}

#[test]
fn what_has_gone_is_put_back_only_where_it_may_and_what_is_new_comes_in_any_case() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let [v4, v6] = ours();
        let mut addresses = Addresses::open(LONG).expect("a socket");
        assert_eq!(addresses.add(std::slice::from_ref(&v4), soon()), Ok(()));
        let both = [v4.clone(), v6];
        let renew = |addresses: &mut Addresses, puts_back| {
            addresses.renew(&[Renewal { addresses: &both, routes: &[], valid_until: soon(), puts_back }])
        };
        assert_eq!(renew(&mut addresses, false), [Ok(())], "one of them has come with a reload");
        assert_eq!(there(&addresses), 2);
        let place = addresses.place_of(&v4).expect("an interface");
        addresses.netlink.run(&[exact_removal(place)]);
        addresses.note_gone(place);
        assert_eq!(renew(&mut addresses, false), [Err(Fault::AddressGone)]);
        assert_eq!(there(&addresses), 1);
        assert_eq!(renew(&mut addresses, true), [Ok(())]);
        assert_eq!(there(&addresses), 2);
        let shown = *seen().iter().find(|seen| seen.place == place).expect("shown");
        addresses.note_seen(shown);
        assert_eq!(renew(&mut addresses, false), [Ok(())], "it is there");
    });
}

#[test]
fn an_interface_on_which_an_address_comes_lets_the_others_live_on() {
    in_namespace(|| {
        let mut addresses = Addresses::open(LONG).expect("a socket");
        let v4 = address("10.9.0.100/24@near");
        let switch = "/proc/sys/net/ipv4/conf/near/promote_secondaries";
        for is_first in [true, false] {
            // Made anew, with the same name.
            let veth = Veth::up("near", "far");
            std::fs::write(switch, "0").expect("set");
            if is_first {
                assert_eq!(addresses.add(std::slice::from_ref(&v4), soon()), Ok(()));
            } else {
                let addresses_of = std::slice::from_ref(&v4);
                let (routes, valid_until) = (&[][..], soon());
                let renewal = Renewal { addresses: addresses_of, routes, valid_until, puts_back: true };
                assert_eq!(addresses.renew(&[renewal]), [Ok(())]);
            }
            assert_eq!(std::fs::read_to_string(switch).expect("read").trim(), "1", "first: {is_first}");
            veth.remove();
        }
    });
}

#[test]
fn a_group_of_64_addresses_is_held_renewed_and_let_go() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let all: Vec<_> = (1..=64).map(|n| address(&format!("10.9.1.{n}/16@near"))).collect();
        let mut addresses = Addresses::open(LONG).expect("a socket");
        assert_eq!(addresses.add(&all, soon()), Ok(()));
        assert_eq!(
            addresses.renew(&[Renewal {
                addresses: &all,
                routes: &[],
                valid_until: soon(),
                puts_back: true
            }]),
            [Ok(())]
        );
        assert_eq!(addresses.remove(&all), Ok(()));
        assert_eq!(valid_s("10.9.1.64"), None);
    });
}

#[test]
fn the_broadcast_address_ends_the_subnet() {
    let ip = Ipv4Addr::new(192, 0, 2, 10);
    assert_eq!(broadcast_of(ip, 29), Some(Ipv4Addr::new(192, 0, 2, 15)));
    assert_eq!(broadcast_of(ip, 0), Some(Ipv4Addr::BROADCAST));
    assert_eq!(broadcast_of(ip, 31), None);
    assert_eq!(broadcast_of(ip, 32), None);
}

#[test]
fn only_a_kernel_that_says_so_knows_no_such_address() {
    let there_or_not =
        [Errno::ENOBUFS, Errno::ENOMEM, Errno::EAGAIN, Errno::ETIMEDOUT, Errno::EPERM, Errno::EINVAL];
    assert!(!there_or_not.into_iter().any(is_absence));
    // Without IPv6 there is none of its addresses, and nothing that could keep a release from its end.
    for errno in [Errno::EADDRNOTAVAIL, Errno::ENODEV, Errno::ENXIO, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT] {
        assert!(is_absence(errno), "{errno}");
    }
}

#[test]
fn an_interface_that_has_lost_its_ipv6_has_no_such_address() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(LONG).expect("a socket");
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        std::fs::write("/proc/sys/net/ipv6/conf/near/disable_ipv6", "1").expect("a switch");
        assert_eq!(addresses.remove(&ours()), Ok(()));
    });
}

#[test]
fn an_added_address_has_a_lifetime_and_expires_by_itself() {
    in_fair_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(LEASE).expect("a socket");
        let added = now();
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        assert!(valid_s("10.9.0.100").expect("IPv4 is there") <= 2);
        assert!(valid_s("fd00::100").expect("IPv6 is there") <= 2);
        while there(&addresses) > 0 {
            assert!(now() < added + (LEASE + Span::from_ms(1_100)).fraction(3, 1), "still there");
            sleep(Duration::from_millis(10));
        }
        assert!(now() > added + LEASE - Span::from_ms(100), "gone after {}", now().since(added));
    });
}

#[test]
fn renewing_in_one_batch_extends_what_is_held_and_puts_back_what_is_missing() {
    in_fair_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(LEASE).expect("a socket");
        let [first, second] = ours();
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        assert_eq!(addresses.remove(std::slice::from_ref(&second)), Ok(()));
        for _ in 0..4 {
            sleep(Duration::from_millis(800));
            let groups = [std::slice::from_ref(&first), std::slice::from_ref(&second)];
            let batch = groups.map(|addresses| Renewal {
                addresses,
                routes: &[],
                valid_until: soon(),
                puts_back: true,
            });
            assert_eq!(addresses.renew(&batch), [Ok(()), Ok(())]);
        }
        assert_eq!(there(&addresses), 2, "3.2 s after a lease of 2 s");
    });
}

#[test]
fn a_late_or_impossible_renewal_fails_alone() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(LONG).expect("a socket");
        let groups = [
            [address("10.9.0.1/24@near")],
            [address("10.9.0.2/24@near")],
            [address("10.9.0.3/24@absent")],
            [address("10.9.0.4/24@near")],
        ];
        let until = [soon(), now() - Span::from_ms(1), soon(), soon()];
        let batch: Vec<_> = groups
            .iter()
            .zip(until)
            .map(|(addresses, valid_until)| Renewal { addresses, routes: &[], valid_until, puts_back: true })
            .collect();
        let expected = [Ok(()), Err(Fault::TooLate), Err(Fault::Refused(0, Errno::ENODEV as i32)), Ok(())];
        assert_eq!(addresses.renew(&batch), expected);
        assert!(valid_s("10.9.0.1").is_some());
        assert!(valid_s("10.9.0.2").is_none(), "a late order must not add");
        assert!(valid_s("10.9.0.4").is_some());
    });
}

#[test]
fn a_failed_add_leaves_nothing_behind() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(LONG).expect("a socket");
        let absent = [address("10.9.0.1/24@near"), address("10.9.0.2/24@absent")];
        assert_eq!(addresses.add(&absent, soon()), Err(Fault::Refused(1, Errno::ENODEV as i32)));
        let refused = [address("10.9.0.1/24@near"), address("10.9.0.2/33@near")];
        assert_eq!(addresses.add(&refused, soon()), Err(Fault::Refused(1, Errno::EINVAL as i32)));
        assert_eq!(addresses.add(&ours(), now() - Span::from_ms(1)), Err(Fault::TooLate));
        assert_eq!(valid_s("10.9.0.1"), None);
        assert_eq!(there(&addresses), 0);
    });
}

#[test]
fn removal_is_confirmed_and_is_fine_with_what_is_gone_already() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(LONG).expect("a socket");
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        assert_eq!(addresses.remove(&ours()), Ok(()));
        assert_eq!(there(&addresses), 0);
        assert_eq!(addresses.remove(&ours()), Ok(()));
        assert_eq!(addresses.remove(&[address("10.9.0.2/24@absent")]), Ok(()));
    });
}

#[test]
fn an_address_that_stands_on_another_interface_too_is_not_ours_there() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(LONG).expect("a socket");
        assert_eq!(addresses.add(&[address("10.9.0.100/32@far")], soon()), Ok(()));
        assert_eq!(addresses.add(&ours(), soon()), Ok(()));
        assert_eq!(addresses.remove(&ours()), Ok(()));
        assert!(valid_s("10.9.0.100").is_some(), "it stays there");
        assert_eq!(addresses.add(&[address("10.9.0.200/32@far")], soon()), Ok(()));
        let absent = [address("10.9.0.200/24@near")];
        assert_eq!(addresses.remove_left_over(&absent), Ok(vec![]), "nor is it left over from us");
    });
}

#[test]
fn left_overs_go_whatever_their_prefix_and_others_stay() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(LONG).expect("a socket");
        let left = [address("10.9.0.100/32@near"), address("10.9.0.7/24@near")];
        assert_eq!(addresses.add(&left, soon()), Ok(()));
        let removed = addresses.remove_left_over(&ours()).expect("removed");
        assert_eq!(removed, [left[0].ip]);
        assert!(valid_s("10.9.0.7").is_some());
        assert_eq!(addresses.remove_left_over(&ours()), Ok(vec![]));
    });
}

#[test]
fn the_box_keeps_its_own_address_when_ours_came_first() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        std::fs::write("/proc/sys/net/ipv4/conf/near/promote_secondaries", "0").expect("a switch");
        let mut addresses = Addresses::open(LONG).expect("a socket");
        let [vip, _] = ours();
        assert_eq!(addresses.add(std::slice::from_ref(&vip), soon()), Ok(()));
        assert_eq!(addresses.add(&[address("10.9.0.7/24@near")], soon()), Ok(()));
        assert_eq!(addresses.remove(&[vip]), Ok(()));
        assert!(valid_s("10.9.0.7").is_some());
    });
}
