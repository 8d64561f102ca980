//! Row 26: the configuration is read anew while the pair serves.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::thread;

use crosswire::pair::Side;

use crate::lab::clock::now;
use crate::lab::executable::write_executable;
use crate::lab::setup::{GROUP, PREFIX, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Said, Scene, ms, run};
use crate::scripts::{Service, assert_on_time, begin_with};

const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 101));
const DIFFERS: &str = "runs with another configuration";

fn one() -> String {
    format!("addresses = [\"{VIP}/{PREFIX}@eth0\"]")
}

fn both() -> String {
    format!("addresses = [\"{VIP}/{PREFIX}@eth0\", \"{SECOND}/{PREFIX}@eth0\"]")
}

fn reload(scene: &Scene, side: Side) -> Said {
    scene.say(side, &["reload"])
}

/// Whether a kernel holds the second address.
fn has_second(scene: &Scene) -> bool {
    scene.log().holds(SECOND).expect("the observer lost nothing").iter().any(|hold| hold.until.is_none())
}

/// Operator: an address is added on the node that serves, later on the other one; then it is removed from
/// both. Required: the address that stays never blinks; while the two files differ both nodes say so.
#[test]
fn row_26_an_address_comes_on_one_node_then_on_both_and_goes() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let since = now();
        scene.rewrite(Side::A, &one(), &both());
        let said = reload(&scene, Side::A);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(said.text, format!("group {GROUP}: address {SECOND}/{PREFIX}@eth0 is added\ndone\n"));
        scene.expect_soon("the second address", PATIENCE, has_second);
        for side in [Side::A, Side::B] {
            scene.expect_soon("the difference is named", PATIENCE, |scene| {
                scene.log_of(side).contains(DIFFERS)
            });
            assert_eq!(scene.status(side)["configurations_differ"], true, "{}", scene.status(side));
        }
        scene.rewrite(Side::B, &one(), &both());
        assert_eq!(reload(&scene, Side::B).code, Some(0));
        for side in [Side::A, Side::B] {
            scene.expect_soon("no difference", PATIENCE, |scene| {
                scene.status(side)["configurations_differ"] == false
            });
        }
        for side in [Side::B, Side::A] {
            scene.rewrite(side, &both(), &one());
            let said = reload(&scene, side);
            assert_eq!(
                said.text,
                format!("group {GROUP}: address {SECOND}/{PREFIX}@eth0 is removed\ndone\n")
            );
        }
        scene.expect_soon("the second address is gone", PATIENCE, |scene| !has_second(scene));
        scene.settle(Side::A);
        thread::sleep(ms(1_500));
        scene.assert_nothing_moved(Side::A, since);
        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.assert_never_both();
    });
}

/// Situation: the run directory takes no new file (it is full).
/// Required: a reload that was done ends as done, and says why it says no more.
#[test]
fn a_reload_whose_answer_has_no_place_is_done_all_the_same() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let run_dir = scene.directory(Side::A).join("run");
        fs::create_dir_all(run_dir.join("reload/in the way")).expect("made");
        scene.rewrite(Side::A, &one(), &both());
        let said = reload(&scene, Side::A);
        assert!(said.code == Some(0) && said.text.starts_with("done: another agent runs"), "{said:?}");
        scene.expect_soon("the second address", PATIENCE, has_second);
    });
}

/// Operator: files that are wrong, and one that asks for what only a restart can bring.
/// Required: refused whole, with the place; nothing changes.
#[test]
fn row_26_what_is_wrong_is_refused_whole() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let since = now();
        let agent = scene.status(Side::A)["incarnation"].clone();
        let broken = both().replace("addresses", "adresses");
        scene.rewrite(Side::A, &one(), &broken);
        let said = reload(&scene, Side::A);
        assert!(said.code == Some(1) && said.text.contains("did you mean \"addresses\"?"), "{said:?}");
        let place = said
            .text
            .split("crosswire.toml:")
            .nth(1)
            .and_then(|rest| rest.split(':').next())
            .unwrap_or_default();
        assert!(place.parse::<u32>().is_ok(), "the line is named: {said:?}");
        scene.rewrite(Side::A, &broken, &both());
        scene.rewrite(Side::A, "baud = 19200", "baud = 38400");
        let said = reload(&scene, Side::A);
        assert!(said.code == Some(1) && said.text.contains("this needs `crosswire upgrade`"), "{said:?}");
        scene.rewrite(Side::A, "baud = 38400", "baud = 19200");
        scene.rewrite(Side::A, &both(), &one());
        let said = reload(&scene, Side::A);
        assert_eq!((said.code, said.text.as_str()), (Some(0), "nothing has changed\ndone\n"));
        assert!(!has_second(&scene));
        assert_eq!(scene.status(Side::A)["incarnation"], agent, "not even the agent was replaced");
        assert!(!scene.log_of(Side::B).contains(DIFFERS));
        scene.assert_nothing_moved(Side::A, since);
    });
}

/// Operator: a witness is added that is none: the peer, the service address, and one that only this box knows
/// to be its own. Required: each is refused with its place; nothing changes.
#[test]
fn row_26_a_witness_of_the_pair_itself_is_refused() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving_with(Setup { second_lan: true, ..Setup::default() });
        let since = now();
        let group = format!("[group.{GROUP}]");
        for (ip, why) in [
            ("10.77.0.2".to_owned(), "is the address of node \"gw2\""),
            (VIP.to_string(), "is an address of group"),
            ("10.78.0.1".to_owned(), "is an address of this box"),
            ("127.0.0.1".to_owned(), "is answered by whichever box asks it"),
        ] {
            let wrong = format!("[quorum]\nwitness = [\"{ip}\"]\n{group}");
            scene.rewrite(Side::A, &group, &wrong);
            let said = reload(&scene, Side::A);
            assert!(said.code == Some(1) && said.text.contains(why), "{ip}: {said:?}");
            scene.rewrite(Side::A, &wrong, &group);
        }
        scene.assert_nothing_moved(Side::A, since);
    });
}

/// Operator: a new key, in the order that `keygen --rotate` tells; in the end the old key goes.
/// Required: nothing is refused, no path is lost, nothing moves; afterwards the old key counts no longer.
#[test]
fn row_26_the_key_is_rotated_by_reloads() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let since = now();
        let [ours, theirs] = [Side::A, Side::B].map(|side| scene.directory(side).join("key"));
        let old = fs::read_to_string(&ours).expect("a key");
        let mut rotate = Command::new(env!("CARGO_BIN_EXE_crosswire"));
        rotate.args(["keygen", "--rotate"]).arg(&ours);
        let said = run(rotate);
        assert!(said.text.contains("Do not reload this node yet"), "{said:?}");
        let both = fs::read_to_string(&ours).expect("two keys");
        let new = both.strip_suffix(&old).expect("the new key is in front");
        let steps = [
            (Side::B, &theirs, format!("{old}{new}")),
            (Side::A, &ours, both.clone()),
            (Side::B, &theirs, both.clone()),
            (Side::A, &ours, new.to_owned()),
            (Side::B, &theirs, new.to_owned()),
        ];
        for (side, file, text) in steps {
            fs::write(file, text).expect("written");
            let said = reload(&scene, side);
            assert_eq!((said.code, said.text.as_str()), (Some(0), "the keys have changed\ndone\n"));
            scene.settle(Side::A);
        }
        for side in [Side::A, Side::B] {
            assert!(!scene.log_of(side).contains("refused"), "{}", scene.log_of(side));
        }
        scene.assert_nothing_moved(Side::A, since);
        fs::write(&theirs, old).expect("written");
        assert_eq!(reload(&scene, Side::B).code, Some(0));
        scene.expect_soon("the old key is refused", PATIENCE, |scene| {
            scene.path_state(Side::A, 0) == "refused"
        });
    });
}

/// Operator: a script comes to the right of another one, changes its times, and goes.
/// Required: the first is not touched, nor are the addresses; beats are on time.
#[test]
fn row_26_only_the_script_that_changes_is_touched() {
    testing::in_fair_lab(|| {
        let service = Service::new();
        let setup = service.setup();
        let first = setup.scripts[0].clone();
        let second = first.replace("service", "second");
        let program = second.trim_start_matches("exec:");
        let directory = program.trim_end_matches("/second");
        let text =
            format!("#!/bin/sh\necho \"$CROSSWIRE_NODE second $1 $CROSSWIRE_REASON\" >>{directory}/story\n");
        write_executable(program.as_ref(), &text);
        let (scene, beats) = begin_with(Setup { ..setup });
        scene.settle(Side::A);
        let since = now();
        let alone = format!("scripts = [\"{first}\"]");
        let more = format!("scripts = [\"{first}\", \"{second}\"]");
        for (from, to) in [
            (&alone, &more),
            (&"start_timeout = \"1s\"".into(), &"start_timeout = \"2s\"".into()),
            (&more, &alone),
        ] {
            for side in [Side::B, Side::A] {
                scene.rewrite(side, from, to);
                let said = reload(&scene, side);
                assert_eq!(said.code, Some(0), "{said:?}");
            }
            thread::sleep(ms(1_000));
        }
        scene.expect_soon("the second has stopped", PATIENCE, |_| service.story().len() == 3);
        assert_eq!(service.story(), ["gw1 start 1", "gw1 second start reload", "gw1 second stop reload"]);
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, since);
        assert_on_time("reload", beats);
    });
}
