//! Addresses of ours that somebody else puts there, at whatever moment.

use std::time::Duration;

use crosswire::resource::{Fault, Outcome, ReleaseOrder};
use crosswire::time::Span;
use nix::libc;

use super::rig::{GROUP, NOTHING, Rig, VIP, vip_alone, with_scripts};
use crate::clock::now;
use crate::guard::kernel::addresses::Addresses;
use crate::guard::testing::{Veth, address, in_namespace, rename, seen};
use crate::ipc::{FromGuard, ToGuard};

/// Adds an address as an operator would, who knows of no lease. The guard may have removed it before it is
/// read back.
fn add_by_hand(text: &str) {
    let mut addresses = Addresses::open(Span::from_s(600)).expect("a socket");
    match addresses.add(&[address(text)], now() + Span::from_s(30)) {
        Ok(()) | Err(Fault::Refused(_, libc::EADDRNOTAVAIL)) => {}
        Err(fault) => panic!("{text} cannot be added: {fault:?}"),
    }
}

/// Nothing is to be touched, and the guard knows it.
fn begin_maintenance(rig: &mut Rig) {
    rig.say(&ToGuard::Maintenance(true));
    rig.find(|message| (*message == FromGuard::Alive).then_some(()));
}

/// A rig whose agent serves what is configured.
fn serving() -> Rig {
    let mut rig = Rig::start(&vip_alone());
    let token = rig.acquire();
    assert_eq!(rig.outcome(token), Outcome::Serving);
    rig
}

/// As the kernel shows them, without their interfaces.
fn there() -> Vec<String> {
    let ours = [VIP, "fd00::100/64@near"].map(|text| address(text).ip);
    let seen = seen().into_iter().filter(|seen| ours.contains(&seen.place.ip));
    seen.map(|seen| format!("{}/{}", seen.place.ip, seen.place.prefix)).collect()
}

/// Waits until exactly these are there.
fn expect(wanted: &[&str]) {
    let give_up = now() + Span::from_s(30);
    loop {
        let there = there();
        if there == wanted {
            return;
        }
        assert!(now() < give_up, "{there:?}, and not {wanted:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Insists that exactly these stay there, for longer than any turn of the guard takes.
fn expect_still(wanted: &[&str]) {
    for _ in 0..40 {
        assert_eq!(there(), wanted);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_added_in_maintenance_stays_and_goes_when_it_is_over() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        begin_maintenance(&mut rig);
        add_by_hand(VIP);
        expect_still(&["10.9.0.100/24"]);
        rig.die();
        assert_ne!(rig.next_agent(), NOTHING);
        expect_still(&["10.9.0.100/24"]);
        rig.say(&ToGuard::Maintenance(false));
        expect(&[]);
    });
}

#[test]
fn what_is_added_in_maintenance_outlives_an_agent_that_begins_anew_and_the_daemon() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        begin_maintenance(&mut rig);
        add_by_hand(VIP);
        for is_last in [false, false, true] {
            std::thread::sleep(Duration::from_millis(200));
            rig.die();
            assert_eq!(rig.next_agent() == NOTHING, is_last);
        }
        expect_still(&["10.9.0.100/24"]);
        rig.stop_at_once();
        assert_eq!(there(), ["10.9.0.100/24"]);
    });
}

#[test]
fn what_is_added_while_scripts_stop_goes() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, settings) =
            with_scripts(&["[ $1 = stop ] && while [ ! -e go ]; do sleep 0.1; done\nsay $1"]);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        let token = rig.release(ReleaseOrder::AddressesFirst);
        assert_eq!(rig.outcome(token), Outcome::AddressesGone);
        add_by_hand(VIP);
        std::thread::sleep(Duration::from_millis(200));
        std::fs::write(scripts.path().join("go"), "").expect("written");
        assert_eq!(rig.outcome(token), Outcome::Released);
        expect(&[]);
    });
}

#[test]
fn a_copy_with_another_prefix_goes_from_beside_what_is_held() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = serving();
        for copy in ["10.9.0.100/32@near", "10.9.0.100/8@near"] {
            add_by_hand(copy);
            expect(&["10.9.0.100/24", "fd00::100/64"]);
        }
        begin_maintenance(&mut rig);
        add_by_hand("10.9.0.100/32@near");
        expect_still(&["10.9.0.100/24", "10.9.0.100/32", "fd00::100/64"]);
        rig.say(&ToGuard::Maintenance(false));
        expect(&["10.9.0.100/24", "fd00::100/64"]);
    });
}

#[test]
fn an_ipv6_address_that_was_put_back_with_another_prefix_gets_its_own_again() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = serving();
        Addresses::open(Span::from_s(60))
            .expect("a socket")
            .remove(&[address("fd00::100/64@near")])
            .expect("removed");
        add_by_hand("fd00::100/128@near");
        expect(&["10.9.0.100/24"]);
        let missing = |message: &FromGuard| (*message == FromGuard::Missing { group: GROUP }).then_some(());
        rig.find(missing);
        let token = rig.renew();
        assert_eq!(rig.outcome(token), Outcome::Renewed);
        expect(&["10.9.0.100/24", "fd00::100/64"]);
    });
}

#[test]
fn an_interface_that_gets_our_name_brings_no_address_of_ours_along() {
    in_namespace(|| {
        let _veth = Veth::up("other", "far");
        let _rig = Rig::start(&vip_alone());
        add_by_hand("fd00::100/64@other");
        rename("other", "near");
        expect(&[]);
    });
}
