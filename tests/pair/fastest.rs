//! The fastest times that a line of 115200 baud carries, beside keepalived's fastest.

use std::sync::Mutex;
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;

use crate::expired::{print_median, with_lines};
use crate::lab::address_log::Wanted;
use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms};
use crate::shadow::{KEEPALIVED, start_keepalived};

impl Setup {
    /// What `check` calls the fastest times of the laboratory's pair at 115200 baud.
    pub fn fastest() -> Self {
        Self { interval_ms: 12, late_after_ms: 30, dead_after_ms: 60, baud: 115_200, ..Self::default() }
    }
}

/// What `check` says of that pair is what the tests take.
#[test]
fn check_names_the_fastest_times() {
    testing::in_lab(|| {
        let scene = Scene::new(Setup { baud: 115_200, ..Setup::default() });
        let said = scene.check(Side::A, Side::A, &["-v"]).text;
        let Setup { interval_ms, late_after_ms, dead_after_ms, .. } = Setup::fastest();
        for span_ms in [interval_ms, late_after_ms, dead_after_ms] {
            assert!(said.contains(&format!(" {span_ms} ms  ")), "{span_ms} ms: {said}");
        }
    });
}

fn keepalived(_: Setup) -> Scene {
    let scene = Scene::new(Setup::default()).may_split();
    [Side::A, Side::B].into_iter().for_each(|side| start_keepalived(&scene, side, "0.01"));
    scene.wait_for(Wanted::Only(Side::A), PATIENCE).expect("its master serves");
    scene
}

/// Figures: how long the client gets no answer after a power cut, as medians of ten, in turns.
#[test]
#[ignore = "prints figures; takes two minutes"]
fn power_cuts_beside_keepalived() {
    if !testing::has_tools(&[KEEPALIVED]) {
        return;
    }
    type Kind = (&'static str, fn(Setup) -> Scene);
    let kinds: [Kind; 3] = [
        ("12 ms / 30 ms / 60 ms", Scene::serving_with),
        ("the same behind a full cable", with_lines),
        ("keepalived, adverts every 10 ms", keepalived),
    ];
    let gaps = [const { Mutex::new(Vec::new()) }; 3];
    for _ in 0..10 {
        for ((_, scene), gaps) in kinds.iter().zip(&gaps) {
            testing::in_fair_lab(|| {
                let mut scene = scene(Setup::fastest());
                thread::sleep(ms(1_000));
                let cut = scene.power_cut(Side::A).expect("its processes die");
                scene.wait_for_service_by(Side::B);
                let gap: Span = scene.assert_outage_below(Span::from_s(2), cut);
                gaps.lock().expect("no panic").push(gap);
            });
        }
    }
    for ((what, _), gaps) in kinds.iter().zip(gaps) {
        print_median(&format!("{what}: no answer"), gaps);
    }
}
