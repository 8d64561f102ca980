//! Two boxes whose files differ for a while, and operators who do not know of each other.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use crosswire::pair::Side;

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::ledger::Hold;
use crate::lab::setup::{CLIENT, GROUP, PREFIX, Setup, VIP};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms};

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 102));
/// `run` with a file that cannot be used.
const EXIT_CONFIGURATION: i32 = 78;
const SLOW: &str =
    "interval = \"250ms\"\nlate_after = \"750ms\"\ndead_after = \"1500ms\"\nlease = \"3000ms\"\n";
const FAST: &str =
    "interval = \"100ms\"\nlate_after = \"300ms\"\ndead_after = \"500ms\"\nlease = \"1000ms\"\n";

/// Operator: shorter times in the file of the standby, which is reloaded, and seconds later in that of the
/// active node; then the same the other way round and with longer times. A witness is configured. Required:
/// nothing moves, and the standby takes over on time afterwards.
#[test]
fn a_rolling_change_of_times_moves_nothing() {
    testing::in_fair_lab(|| {
        let slow = Setup {
            interval_ms: 250,
            late_after_ms: 750,
            dead_after_ms: 1_500,
            lease_ms: 3_000,
            ..Setup::default()
        };
        let mut scene = Scene::serving_with(Setup { quorum: format!("witness = [\"{CLIENT}\"]\n"), ..slow });
        let since = now();
        for (sides, from, to) in [([Side::B, Side::A], SLOW, FAST), ([Side::A, Side::B], FAST, SLOW)] {
            for side in sides {
                scene.rewrite(side, from, to);
                let said = scene.say(side, &["reload"]);
                assert_eq!(said.code, Some(0), "{said:?}");
                thread::sleep(ms(5_000));
            }
        }
        scene.assert_nothing_moved(Side::A, since);
        scene.power_cut(Side::A).expect("cut");
        scene.wait_for_service_by(Side::B);
        scene.assert_never_both();
    });
}

/// Operators: `standby` on one node, and three seconds later `standby --force` on the other one; then the
/// other way round. Required: both stand by until one of them is told otherwise.
#[test]
fn a_forced_standby_cancels_no_other() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        for first in [Side::A, Side::B] {
            let said = scene.say(first, &["standby"]);
            assert_eq!(said.code, Some(0), "{said:?}");
            scene.settle(first.peer());
            thread::sleep(ms(3_000));
            let said = scene.say(first.peer(), &["standby", "--force"]);
            assert_eq!(said.code, Some(0), "{said:?}");
            scene.expect_soon("nobody serves", PATIENCE, |scene| {
                scene.holds().iter().all(|hold| hold.until.is_some())
            });
            thread::sleep(ms(3_000));
            assert!(scene.holds().iter().all(|hold| hold.until.is_some()), "{:?}", scene.holds());
            for side in [Side::A, Side::B] {
                assert_eq!(scene.status(side)["standby"], true);
                assert_eq!(scene.say(side, &["online"]).code, Some(0));
            }
            scene.expect_soon("somebody serves", PATIENCE, |scene| {
                scene.holder().is_ok_and(|side| side.is_some())
            });
        }
        scene.assert_never_both();
    });
}

/// Fault: each file prefers its own node; both boxes boot, without a cable, and the switch between them comes
/// up later than both, when each has waited for the other for as long as it has to. Eight times. Required:
/// one node serves, whichever; overlap 0.
#[test]
fn two_files_that_prefer_different_nodes_settle_on_one() {
    testing::in_fair_lab(|| {
        for wait_ms in [500, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000, 6_000] {
            let mut scene = Scene::new(Setup { cold_start_ms: Some(2_700), ..Setup::default() });
            scene.cable().cut();
            for side in [Side::A, Side::B] {
                scene.reconfigure(side, |setup| setup.prefer = Some(side)).expect("written");
                scene.set_carrier(side, false).expect("the switch is down");
                scene.begin(side);
            }
            scene.expect_soon("both run", PATIENCE, |scene| {
                [Side::A, Side::B].into_iter().all(|side| scene.role(side) == "backup")
            });
            thread::sleep(ms(wait_ms));
            [Side::A, Side::B].into_iter().for_each(|side| scene.set_carrier(side, true).expect("it is up"));
            scene.wait_for(Wanted::One, PATIENCE).unwrap_or_else(|e| panic!("{e}"));
            thread::sleep(ms(3_000));
            println!("{wait_ms}: {:?}", scene.holds());
            assert!(scene.holder().expect("known").is_some());
        }
    });
}

/// Operator: adds two groups whose names the wire cannot tell apart, by a reload and by a start.
/// Required: refused, with both names; nothing moves.
#[test]
fn groups_that_the_wire_cannot_tell_apart_are_refused() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let since = now();
        let group = |name: &str, host: u8| {
            format!("\n[group.{name}]\naddresses = [\"10.77.0.{host}/{PREFIX}@eth0\"]\n")
        };
        let header = format!("[group.{GROUP}]");
        let to = format!("{}{}\n{header}", group("files", 111), group("vpn", 112));
        for side in [Side::A, Side::B] {
            scene.rewrite(side, &header, &to);
        }
        scene.stop(Side::B, PATIENCE).expect("it ends");
        scene.begin(Side::B);
        let status = scene.process(Side::B).expect("a daemon").wait_for_end(PATIENCE).expect("it ends");
        assert_eq!(status.code(), Some(EXIT_CONFIGURATION));
        let said = scene.say(Side::A, &["reload"]);
        assert_ne!(said.code, Some(0), "{said:?}");
        assert!(["files", "vpn"].iter().all(|name| said.text.contains(name)), "{said:?}");
        thread::sleep(ms(1_000));
        scene.assert_nothing_moved(Side::A, since);
    });
}

/// Fault: the two files name the groups in another order and prefer different nodes; both paths are cut, both
/// nodes serve both groups (the documented split), and the paths come back. Required: each group is settled,
/// within two intervals of the first frame.
#[test]
fn a_split_between_two_files_is_settled() {
    testing::in_fair_lab(|| {
        let other = format!("[group.other]\naddresses = [\"{OTHER}/{PREFIX}@eth0\"]");
        // Neighbours would tell who is cut off.
        let quorum = "neighbours = false\n".to_owned();
        let mut scene = Scene::new(Setup { more: other.clone(), quorum, ..Setup::default() }).may_split();
        let from = format!("[group.{GROUP}]\n");
        scene.rewrite(Side::B, &format!("\n{other}\n"), "");
        scene.rewrite(Side::B, &from, &format!("{other}\nprefer = \"gw2\"\n\n{from}prefer = \"gw2\"\n"));
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        let holders = |ip| scene.log().holders(ip).expect("the observer lost nothing");
        scene.cable().cut();
        scene.set_lan(Side::A, PortRules::silent());
        for ip in [VIP, OTHER] {
            scene.expect_soon("the split", PATIENCE, |_| holders(ip) == [true; 2]);
        }
        scene.heal().expect("healed");
        let healed = now();
        for ip in [VIP, OTHER] {
            let settled = scene.expect_soon("one of them", PATIENCE, |_| {
                holders(ip).iter().filter(|held| **held).count() == 1
            });
            println!("{ip}: settled {} after the paths were whole", settled.since(healed));
        }
        thread::sleep(ms(2_000));
        for ip in [VIP, OTHER] {
            assert_eq!(holders(ip).iter().filter(|held| **held).count(), 1, "{ip}");
        }
    });
}

/// Fault: the standby has no carrier when the active node says goodbye; the cable is cut, and the other one
/// comes back with another key and serves alone. Then the standby's link is there again. Required: the
/// goodbye is worth nothing by then; the wire is asked, and nothing is taken.
#[test]
fn an_old_goodbye_is_no_leave_to_take() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving_with(Setup { cold_start_ms: Some(3_000), ..Setup::default() });
        scene.set_carrier(Side::B, false).expect("its link is down");
        thread::sleep(ms(500));
        scene.stop(Side::A, PATIENCE).expect("it says goodbye");
        scene.expect_soon("the goodbye is heard", PATIENCE, |scene| {
            scene.status(Side::B)["peer"]["left"] == true
        });
        scene.cable().cut();
        let key = "ffeeddccbbaa99887766554433221100".to_owned();
        scene.reconfigure(Side::A, |setup| setup.keys[0] = key).expect("written");
        scene.begin(Side::A);
        scene.wait_for(Wanted::Only(Side::A), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        scene.set_carrier(Side::B, true).expect("its link is up");
        thread::sleep(ms(4_000));
        assert_eq!(scene.holder().expect("known"), Some(Side::A));
        assert_eq!((scene.role(Side::A), scene.role(Side::B)), ("active".to_owned(), "backup".to_owned()));
        scene.assert_never_both();
    });
}

/// Operator: adds a witness to one file alone, and reloads it: first on the standby, then (from the
/// beginning) on the active node; then the witness goes. Required: nothing moves, as long as the files
/// differ.
#[test]
fn a_witness_of_one_file_moves_nothing() {
    testing::in_fair_lab(|| {
        for side in [Side::B, Side::A] {
            let scene = Scene::serving();
            let since = now();
            scene.rewrite(side, "\n[group", &format!("\n[quorum]\nwitness = [\"{CLIENT}\"]\n\n[group"));
            let said = scene.say(side, &["reload"]);
            assert_eq!(said.code, Some(0), "{said:?}");
            thread::sleep(ms(5_000));
            scene.assert_nothing_moved(Side::A, since);
            assert_eq!(scene.status(side)["configurations_differ"], true);
            scene.switch().set(scene.client_port(0), PortRules::silent());
            thread::sleep(ms(3_000));
            let holds = scene.holds();
            assert!(matches!(holds[..], [Hold { side: Side::A, until: None, .. }]), "{holds:?}");
        }
    });
}
