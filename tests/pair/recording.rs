//! What the survivor has recorded, and whether it is decided again.

use std::fs;
use std::process::Command;

use crosswire::pair::Side;

use crate::scene::{PATIENCE, Scene, run, shipped};

/// Fault: the active node loses its power. Required: what the survivor was told is recorded, arrives at the
/// same decisions again, and holds no key.
#[test]
fn a_takeover_is_recorded_and_decided_again() {
    let mut scene = Scene::serving();
    scene.power_cut(Side::A).expect("its processes die");
    scene.expect_service_by(Side::B);
    scene.expect_soon("gw2 is active", PATIENCE, |scene| scene.role(Side::B) == "active");
    let file = scene.directory(Side::B).join("recording");
    let name = file.to_str().expect("a plain name");
    let said = scene.say(Side::B, &["why", "--record", name]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let recording = fs::read(&file).expect("written");
    assert!(recording.len() > 1_000 && recording.len() < 70_000, "{}", recording.len());
    for key in &scene.setup().keys {
        let raw: Vec<u8> = (0..key.len() / 2)
            .map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).expect("hex"))
            .collect();
        for material in [key.as_bytes(), &raw] {
            let piece = &material[..8];
            assert!(!recording.windows(8).any(|window| window == piece), "key material is recorded");
        }
    }
    let replay = || {
        let mut command = Command::new(shipped());
        command.args(["simulate", "--replay", name]);
        run(command)
    };
    let told = replay();
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.text.contains("The decisions are those of the recording."), "{told:?}");
    assert!(told.text.contains("the peer is dead") || told.text.contains("active"), "{told:?}");
    fs::write(&file, &recording[..recording.len() / 2]).expect("written");
    let told = replay();
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.text.contains("cut short"), "{told:?}");
}
