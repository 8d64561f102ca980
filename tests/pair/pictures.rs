//! What can be looked at in a browser: the page of a pair and the drawing of what happened, by light and by
//! dark, as Chromium shows them. The pictures stay in `target/tmp/pictures`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crosswire::pair::Side;

use crate::lab::setup::GROUP;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, shipped};

const CHROMIUM: &str = "/usr/bin/chromium";
/// A run of the simulator in which the group moves.
const TRACE: &str = "filter-gone-as-the-lines-drop.txt";
/// `prefers-color-scheme`, as Chromium counts.
const SCHEMES: [(&str, &str); 2] = [("dark", "0"), ("light", "1")];

/// What a picture shows: the brightness of its average and of its edge (0 to 255), how many colours, and how
/// much of it is of another colour than the edge, in thousandths.
struct Look {
    edge: u32,
    colours: u32,
    drawn: u32,
}

/// Chromium's picture of a file.
fn picture(file: &Path, (scheme, number): (&str, &str)) -> PathBuf {
    let name = file.file_name().expect("a file").to_string_lossy().replace('.', "-");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&directory).expect("a directory");
    let picture = directory.join(format!("{name}-{scheme}.png"));
    let profile = tempfile::tempdir().expect("a profile");
    let mut chromium = Command::new(CHROMIUM);
    chromium
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,1400"])
        .arg(format!("--blink-settings=preferredColorScheme={number}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", file.display()));
    let shown = chromium.output().expect("Chromium runs");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    picture
}

fn look_at(picture: &Path) -> Look {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pair/look_at.py");
    let said = Command::new("python3").arg(script).arg(picture).output().expect("Python runs");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let figures: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [edge, colours, drawn] = figures[..] else {
        panic!("{text}{}", String::from_utf8_lossy(&said.stderr));
    };
    Look { edge, colours, drawn }
}

/// Operator: draws the page of the pair and what has happened, on a pair that was moved and whose cable is
/// cut; and a run of the simulator.
/// Required: by dark the ground is dark and by light it is light; something is drawn on it, in more colours
/// than black and white.
#[test]
fn pages_and_drawings_can_be_read_by_light_and_by_dark() {
    if !testing::has_tools(&[CHROMIUM]) {
        return;
    }
    testing::in_lab(|| {
        let scene = Scene::serving();
        assert_eq!(scene.say(Side::A, &["handover", GROUP]).code, Some(0));
        scene.settle(Side::B);
        scene.cable().cut();
        scene.expect_soon("the cable is missed", PATIENCE, |scene| {
            scene.say(Side::B, &["status"]).text.contains("DEGRADED")
        });
        let place = tempfile::tempdir().expect("a directory");
        let [page, drawing] = ["status.html", "why.svg"].map(|name| place.path().join(name));
        for (words, file) in [(["status", "--html"], &page), (["why", "--svg"], &drawing)] {
            let said = scene.say(Side::B, &[words[0], words[1], file.to_str().expect("UTF-8")]);
            assert!(file.exists(), "{}", said.text);
            assert_readable(file);
        }
        let run = place.path().join("run.svg");
        let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(TRACE);
        let mut simulator = Command::new(shipped());
        simulator.arg("simulate").arg("--replay").arg(trace).arg("--svg").arg(&run);
        assert!(simulator.output().expect("it runs").status.success());
        assert_readable(&run);
        let told = fs::read_to_string(&run).expect("a drawing");
        assert!(told.contains(">A: lan<") && told.contains(">B: lan<"), "the lanes of both nodes");
    });
}

fn assert_readable(file: &Path) {
    for scheme in SCHEMES {
        let Look { edge, colours, drawn } = look_at(&picture(file, scheme));
        let is_ground_right = if scheme.0 == "dark" { edge < 80 } else { edge > 175 };
        assert!(is_ground_right, "{}: the ground is {edge} of 255 by {}", file.display(), scheme.0);
        assert!(colours >= 10 && drawn >= 20, "{}: {colours} colours, {drawn} ‰ drawn", file.display());
    }
}
