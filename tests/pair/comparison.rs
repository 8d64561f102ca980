//! `check --peer`: the file here beside what the other node goes by.

use crosswire::pair::Side;
use serde_json::Value;

use crate::lab::setup::{PREFIX, Setup};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Said, Scene, unwrapped};

const SCRIPT: [&str; 2] = ["exec:/bin/true password=rosebud", "exec:/bin/true password=sesame"];

fn compare(scene: &Scene, side: Side, file_of: Side, more: &[&str]) -> Said {
    scene.check(side, file_of, &[&["--peer"], more].concat())
}

/// A pair at work whose files differ in a time, an address and the password of a script.
fn two_files() -> Scene {
    let mut scene = Scene::new(Setup::default());
    for side in [Side::A, Side::B] {
        let change = |setup: &mut Setup| {
            setup.scripts = vec![SCRIPT[side.index()].to_owned()];
            if side == Side::B {
                setup.cold_start_ms = Some(7_000);
                setup.addresses.push(format!("10.77.0.101/{PREFIX}@eth0"));
            }
        };
        scene.reconfigure(side, change).expect("written");
        scene.begin(side);
    }
    scene.settle(Side::A);
    scene
}

/// Operator: `check --peer` on both nodes, whose files differ in three keys; then with a dead LAN. Required:
/// exactly these keys, with both values, over the cable too; no password; exit code 1. With the peer's file
/// in place of ours: the same, 0.
#[test]
fn the_keys_in_which_two_files_differ_are_named_over_the_lan_and_over_the_cable() {
    testing::in_fair_lab(|| {
        let scene = two_files();
        let expected = "different: gw2 does not go by what FILE says, in 3 keys \
            timing.cold_start: here 60 s, on gw2 7 s \
            group.gateway.addresses: here [10.77.0.100/24], on gw2 [10.77.0.100/24, 10.77.0.101/24] \
            group.gateway.exec:/bin/true.parameters: not the same (not shown: it may hold a password) \
            Have the right file on both nodes, then `crosswire reload` where it was not.";
        for is_cut in [false, true] {
            if is_cut {
                scene.set_lan(Side::B, PortRules::silent());
                scene.expect_soon("a dead LAN", PATIENCE, |s| s.path_state(Side::A, 1) == "broken");
            }
            let said = compare(&scene, Side::A, Side::A, &[]);
            let file = scene.directory(Side::A).join("crosswire.toml").display().to_string();
            assert_eq!(unwrapped(&said.text).replace(&file, "FILE"), expected, "{said:?}");
            assert_eq!(said.code, Some(1));
            let said = compare(&scene, Side::B, Side::B, &["--json"]);
            let told: Value = serde_json::from_str(&said.text).expect("one object");
            let (key, [here, there]) = ("timing.cold_start", ["7 s", "60 s"]);
            let time = serde_json::json!(
                { "key": key, "is_here": true, "is_there": true, "here": here, "there": there }
            );
            assert_eq!(
                (&told["verdict"], &told["differences"][0]),
                (&Value::from("differs"), &time),
                "{said:?}"
            );
            assert!(said.code == Some(1) && !said.text.contains("rosebud"), "{said:?}");
            let said = compare(&scene, Side::A, Side::B, &[]);
            assert!(said.code == Some(0) && said.text.starts_with("the same: gw2 goes by"), "{said:?}");
        }
        scene.assert_never_both();
    });
}

/// Situation: one file on both nodes; then the peer is gone; then no daemon runs. Required: the same, 0; not
/// asked, and why, 3.
#[test]
fn what_cannot_be_compared_is_told_from_what_is_the_same() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let said = compare(&scene, Side::B, Side::B, &[]);
        assert!(said.code == Some(0) && said.text.starts_with("the same: gw1 goes by"), "{said:?}");
        assert_eq!(compare(&scene, Side::B, Side::B, &["--offline"]).code, Some(2));
        scene.stop(Side::A, PATIENCE).expect("it ends");
        scene.expect_soon("a peer that is gone", PATIENCE, |scene| {
            [0, 1].iter().all(|path| scene.path_state(Side::B, *path) == "silent")
        });
        let said = compare(&scene, Side::B, Side::B, &[]);
        assert!(said.text.starts_with("not asked: the peer is not heard there"), "{said:?}");
        scene.stop(Side::B, PATIENCE).expect("it ends");
        let said = compare(&scene, Side::B, Side::B, &["--json"]);
        let told: Value = serde_json::from_str(&said.text).expect("one object");
        assert_eq!((said.code, &told["verdict"]), (Some(3), &Value::from("not_asked")), "{said:?}");
        let text = told["text"].as_str().unwrap_or_default();
        assert!(text.starts_with("not asked: no daemon runs in "), "{said:?}");
    });
}
