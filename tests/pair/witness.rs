//! A third party that both nodes can ask: here the client's own address.

use std::path::Path;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::Span;

use crate::lab::address_log::Wanted;
use crate::lab::fair;
use crate::lab::setup::{CLIENT, Setup};
use crate::lab::switch::PortRules;
use crate::lab::{Lab, testing};
use crate::scene::{Scene, run};

const PATIENCE: Duration = Duration::from_secs(30);

fn pair_with_witness() -> Lab {
    let quorum = format!("witness = [\"{CLIENT}\"]\n");
    let setup = Setup { quorum, ..Setup::default() };
    let mut lab = Lab::new(Path::new(env!("CARGO_BIN_EXE_crosswire")), setup).expect("a laboratory");
    lab.start(Side::A).expect("gw1 starts");
    lab.start(Side::B).expect("gw2 starts");
    lab.wait_for(Wanted::Only(Side::A), PATIENCE).expect("the first name serves");
    std::thread::sleep(Duration::from_secs(1));
    lab
}

fn assert_no_overlap(lab: &Lab) {
    let overlap = lab.overlap().expect("a complete log");
    if overlap > Span::ZERO {
        fair::never_excused();
        panic!("both held it for {overlap}\n{}", lab.story());
    }
}

/// Row 8. Fault: both paths of the active are cut at once, and with its LAN its sight of the witness. What
/// has to happen: it lets go by its ack deadline, the backup sees the witness and takes over; never both.
#[test]
fn the_cut_off_active_lets_go_and_the_other_serves() {
    testing::in_fair_lab(|| {
        let lab = pair_with_witness();
        lab.cable().cut();
        lab.set_lan(Side::A, PortRules::silent());
        lab.wait_for(Wanted::Only(Side::B), PATIENCE).expect("gw2 serves");
        std::thread::sleep(Duration::from_secs(3));
        lab.wait_for(Wanted::Only(Side::B), PATIENCE).expect("and goes on serving");
        assert_no_overlap(&lab);
        assert!(
            lab.story().contains("no witness answers, and nobody acknowledged us in time"),
            "{}",
            lab.story()
        );
        lab.heal().expect("healed");
        std::thread::sleep(Duration::from_secs(2));
        lab.wait_for(Wanted::Only(Side::B), PATIENCE).expect("nothing moves back by itself");
        assert_no_overlap(&lab);
    });
}

/// Row 8, the other way round. Fault: both paths of the backup are cut, and with its LAN its sight of the
/// witness. What has to happen: the active serves on, the backup knows that it may be the one who is cut off.
#[test]
fn the_cut_off_backup_takes_nothing() {
    testing::in_fair_lab(|| {
        let lab = pair_with_witness();
        lab.cable().cut();
        lab.set_lan(Side::B, PortRules::silent());
        std::thread::sleep(Duration::from_secs(4));
        assert_eq!(lab.holder().expect("one holder"), Some(Side::A), "{}", lab.story());
        assert_no_overlap(&lab);
        assert!(lab.story().contains("it may be this node that is cut off"), "{}", lab.story());
    });
}

/// Row 6, with a witness that only the backup still sees. What has to happen: handed over by cable, in good
/// order.
#[test]
fn a_witness_that_only_the_backup_sees_moves_the_group_by_cable() {
    testing::in_fair_lab(|| {
        let lab = pair_with_witness();
        lab.set_lan(Side::A, PortRules::silent());
        lab.wait_for(Wanted::Only(Side::B), PATIENCE).expect("gw2 serves");
        assert_no_overlap(&lab);
        assert!(lab.story().contains("gw2 is better off: it sees more witnesses"), "{}", lab.story());
    });
}

/// How many answers to ICMPv6 echo requests the node's kernel has seen.
fn echo_replies(scene: &Scene, side: Side) -> u64 {
    let mut command = std::process::Command::new("/bin/busybox");
    command.args(["grep", "Icmp6InEchoReplies", "/proc/net/snmp6"]);
    scene.namespace(side).command_in(&mut command).expect("the node's namespace");
    let said = run(command);
    said.text.split_whitespace().nth(1).and_then(|count| count.parse().ok()).expect("a number")
}

/// A witness by its link-local address, which another box has on another link. Required: it is asked behind
/// the interface that is named, on both nodes; without an interface it is refused.
#[test]
fn a_link_local_witness_is_asked_on_its_own_link() {
    testing::in_lab(|| {
        let quorum = "witness = [\"fe80::9%eth1\"]\n".to_owned();
        let mut scene = Scene::new(Setup { quorum, second_lan: true, ..Setup::default() });
        let port = scene.switch().node_interface(scene.client_port(1));
        let nine = "fe80::9".parse().expect("an address");
        scene.client().rtnl().add_address(port, nine, 64, None).expect("the witness");
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        for side in [Side::A, Side::B] {
            let before = echo_replies(&scene, side);
            scene.expect_soon("answers", PATIENCE, |scene| echo_replies(scene, side) > before + 2);
        }
        // Who has it on the other link is not the one who is meant.
        scene.client().rtnl().delete_address(port, nine, 64).expect("removed");
        let other = scene.switch().node_interface(scene.client_port(0));
        scene.client().rtnl().add_address(other, nine, 64, None).expect("another box");
        std::thread::sleep(Duration::from_millis(500));
        let before = [Side::A, Side::B].map(|side| echo_replies(&scene, side));
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!([Side::A, Side::B].map(|side| echo_replies(&scene, side)), before);
        scene.rewrite(Side::B, "fe80::9%eth1", "fe80::9");
        let said = scene.say(Side::B, &["reload"]);
        assert!(said.code != Some(0) && said.text.contains("fe80::9%eth0"), "{said:?}");
    });
}
