//! Whether the observer tells the truth about who holds what.

use std::io;
use std::thread;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::setup::{Setup, VIP, node_address};
use crate::lab::testing::{in_fair_lab, in_lab};
use crate::{SOON, build, drop_vip, hold_vip, ms};

#[test]
fn the_observer_measures_an_overlap_made_on_purpose() {
    in_fair_lab(|| {
        let lab = build(Setup::default());
        hold_vip(&lab, Side::A, None);
        lab.wait_for(Wanted::Only(Side::A), SOON).unwrap();
        hold_vip(&lab, Side::B, None);
        let both = now();
        thread::sleep(ms(50));
        drop_vip(&lab, Side::A);
        let made = now().since(both);
        lab.wait_for(Wanted::Only(Side::B), SOON).unwrap();
        let overlap = lab.overlap().unwrap();
        let error = overlap.as_us().abs_diff(made.as_us());
        println!("overlap made {made}, measured {overlap}, error {error} us");
        assert!(overlap >= Span::from_ms(49) && error < 20_000);
        assert_eq!(lab.overlap().unwrap(), overlap, "it is over and grows no more");
    });
}

#[test]
fn the_observer_keeps_the_order_of_two_kernels_at_full_speed() {
    in_lab(|| {
        let lab = build(Setup::default());
        for _ in 0..500 {
            hold_vip(&lab, Side::A, Some(5));
            drop_vip(&lab, Side::A);
            hold_vip(&lab, Side::B, Some(5));
            drop_vip(&lab, Side::B);
        }
        assert_eq!(lab.overlap().unwrap(), Span::ZERO, "each released before the other took");
        let sides: Vec<Side> = lab.log().holds(VIP).unwrap().iter().map(|hold| hold.side).collect();
        assert_eq!(sides, [Side::A, Side::B].repeat(500));

        hold_vip(&lab, Side::A, Some(5));
        for round in 1..=200 {
            hold_vip(&lab, Side::B, Some(5));
            drop_vip(&lab, Side::A);
            assert!(
                lab.overlap().unwrap() >= Span::from_us(2 * round - 1),
                "however short, each overlap counts"
            );
            hold_vip(&lab, Side::A, Some(5));
            drop_vip(&lab, Side::B);
        }
        assert!(lab.overlap().unwrap() >= Span::from_us(400));
    });
}

/// Whoever asks one kernel after the other, or stamps each kernel's events when it gets round to them, sees
/// an overlap as long as it was late, where there was none.
#[test]
fn the_observer_sees_no_overlap_where_a_late_reader_does() {
    in_lab(|| {
        let lab = build(Setup::default());
        let reads = |side| {
            let held = lab.namespace(side).rtnl().addresses().unwrap();
            (now(), held.iter().any(|held| held.ip == VIP))
        };
        hold_vip(&lab, Side::A, None);
        let (_, has_a) = reads(Side::A);
        // The reader is held up; meanwhile the address moves, as it should.
        drop_vip(&lab, Side::A);
        hold_vip(&lab, Side::B, None);
        let (seen_b, has_b) = reads(Side::B);
        thread::sleep(ms(16));
        let (seen_a, still_has_a) = reads(Side::A);
        assert!(has_a && has_b && !still_has_a, "it has seen both, and A's gone only now");
        assert!(seen_a.since(seen_b) >= Span::from_ms(16), "as long as it was late");
        assert_eq!(
            lab.overlap().unwrap(),
            Span::ZERO,
            "the events of both stand in one queue, in their order"
        );
    });
}

#[test]
fn the_observer_is_quick() {
    in_fair_lab(|| {
        let lab = build(Setup::default());
        let mut lags: Vec<u64> = Vec::new();
        for _ in 0..100 {
            let before = now();
            hold_vip(&lab, Side::A, None);
            thread::sleep(ms(2));
            let event = *lab.log().events().unwrap().last().unwrap();
            lags.push(event.at.since(before).as_us());
            drop_vip(&lab, Side::A);
        }
        lags.sort_unstable();
        println!(
            "address event, from before the request to its stamp: median {} us, longest {} us",
            lags[50], lags[99]
        );
        assert!(lags[50] < 2_000, "median {} us", lags[50]);
    });
}

#[test]
fn a_lifetime_that_runs_out_ends_the_hold_and_a_renewal_starts_none() {
    in_fair_lab(|| {
        let lab = build(Setup::default());
        let added = now();
        hold_vip(&lab, Side::A, Some(1));
        thread::sleep(ms(500));
        hold_vip(&lab, Side::A, Some(1));
        let renewed = now();
        let gone = lab.wait_for(Wanted::Nobody, SOON).unwrap();
        println!("an address with a lifetime of 1 s is gone {} after its renewal", gone.since(renewed));
        assert!((990..1_500).contains(&gone.since(renewed).as_ms()));
        let holds = lab.log().holds(VIP).unwrap();
        assert_eq!(holds.len(), 1, "{holds:?}");
        assert!(holds[0].from >= added && holds[0].from < added + Span::from_ms(400));
        assert_eq!(holds[0].until, Some(gone));
    });
}

#[test]
fn a_node_without_power_holds_nothing_and_is_heard_by_nobody() {
    in_fair_lab(|| {
        let mut lab = build(Setup::default());
        hold_vip(&lab, Side::A, None);
        lab.ping().wait_for_answer_after(now(), SOON).unwrap();
        let cut = lab.power_cut(Side::A).unwrap();
        assert_eq!(lab.holder().unwrap(), None);
        hold_vip(&lab, Side::B, None);
        lab.wait_for(Wanted::Only(Side::B), SOON).unwrap();
        lab.heal().unwrap();
        thread::sleep(ms(200));
        let heard = lab.ping().answers().iter().filter(|answer| answer.sent > cut).count();
        assert_eq!(heard, 0, "healing the network must not wake the dead: its kernel still has the VIP");
        assert_eq!(lab.overlap().unwrap(), Span::ZERO);

        lab.power_on(Side::A).unwrap();
        assert_eq!(lab.holder().unwrap(), Some(Side::B));
        let left = lab.namespace(Side::A).rtnl().addresses().unwrap();
        assert!(left.iter().all(|held| held.ip != VIP), "{left:?}");
        assert!(left.iter().any(|held| held.ip == node_address(Side::A, 0)), "{left:?}");
        hold_vip(&lab, Side::A, None);
        assert!(lab.overlap().unwrap() > Span::ZERO, "alive again, it counts again");
    });
}

#[test]
fn waiting_in_vain_says_who_holds_it() {
    in_lab(|| {
        let lab = build(Setup::default());
        hold_vip(&lab, Side::B, None);
        let e = lab.log().wait_for(VIP, Wanted::Only(Side::A), ms(30)).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::TimedOut);
        assert!(e.to_string().contains("[false, true]"), "{e}");
        let since = lab.log().wait_for(VIP, Wanted::One, ms(30)).unwrap();
        assert!(since > Instant::ORIGIN && since < now());
    });
}
