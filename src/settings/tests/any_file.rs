//! Every file gets an answer, and the files that the project ships are sound.

use proptest::prelude::*;

use super::*;

#[test]
fn every_shipped_configuration_is_sound_for_both_nodes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut files = vec![root.join("crosswire.toml")];
    files.extend(std::fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path()));
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let text = loader::read_text(&file).unwrap();
        let names = load_as(&text, &asked("nobody")).unwrap_err();
        let names: Vec<&str> = names[0].split('"').collect();
        for node in [names[3], names[5]] {
            let settings = Settings::load(&file, Some(node)).unwrap_or_else(|errors| panic!("{errors:?}"));
            assert!(settings.proof().margin.is_safe());
        }
    }
}

#[test]
fn every_recipe_is_sound_for_both_nodes() {
    const HEAD: &str = "pair = \"p\"\n[node.gw1]\nlan = \"10.0.0.1\"\n[node.gw2]\nlan = \"10.0.0.2\"\n\
                        [serial]\ndevice = \"/dev/ttyS0\"\n[lan]\ninterface = \"eth0\"\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware-notes/recipes.md");
    let text = std::fs::read_to_string(file).unwrap();
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 7, "{} blocks", blocks.len());
    for block in blocks {
        for node in ["gw1", "gw2"] {
            assert!(good_as(&format!("{HEAD}{block}"), node).proof().margin.is_safe(), "{block}");
        }
    }
}

#[test]
fn every_line_of_the_annotated_configuration_can_be_switched_on() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/crosswire.toml");
    let text = loader::read_text(&file).unwrap();
    let is_setting = |line: &&str| {
        line.starts_with('#') && line.chars().nth(1).is_some_and(|c| c.is_ascii_lowercase() || c == '[')
    };
    assert!(text.lines().filter(is_setting).count() > 10);
    let on: Vec<&str> = text.lines().map(|line| if is_setting(&line) { &line[1..] } else { line }).collect();
    let off = good_as(&text, "gw1").policy;
    let on = good_as(&on.join("\n"), "gw1").policy;
    assert_eq!(
        (on.paths, on.lease, on.cold_start, on.in_jeopardy),
        (off.paths, off.lease, off.cold_start, off.in_jeopardy)
    );
}

/// Every error stays on one line and names the file and a remedy.
fn assert_well_said(errors: &[ConfigError]) {
    assert!(!errors.is_empty());
    for line in errors.iter().map(ToString::to_string) {
        assert!(
            line.starts_with("f:") && line.contains("; ") && !line.contains(char::is_control),
            "{line:?}"
        );
    }
}

fn assert_answered(text: &str) {
    if let Err(errors) = loader::parse(Path::new("f"), text, &asked("gw1")) {
        assert_well_said(&errors);
    }
}

/// Pieces of configuration, good and bad, from which odd files are made.
const PIECES: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "\"",
    "'",
    "=",
    "\n",
    ",",
    ".",
    "{",
    "}",
    "#",
    "serial",
    "lan",
    "[serial]",
    "[[serial]]",
    "[lan]",
    "[[lan]]",
    "[timing]",
    "[quorum]",
    "[node.gw1]",
    "[node.gw2]",
    "[group.g]",
    "node.gw1 = ",
    "interval = ",
    "dead_after = ",
    "late_after = ",
    "lease = ",
    "baud = ",
    "port = ",
    "device = ",
    "addresses = ",
    "scripts = ",
    "\"100ms\"",
    "\"999999999m\"",
    "\"10.0.0.1\"",
    "[\"10.0.0.1/24@eth0\"]",
    "\"::ffff:1.2.3.4\"",
    "0",
    "-1",
    "0xffff",
    "1e9",
    "99999999999999999999",
    "true",
    "1979-05-27",
    "\u{0}",
    "\u{1b}[2J",
    "\u{202e}",
    "ä",
    "\r\n",
    "\"\"\"",
];

proptest! {
    #[test]
    fn arbitrary_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        match loader::text_of(Path::new("f"), bytes) {
            Ok(text) => assert_answered(&text),
            Err(error) => assert_well_said(&[error]),
        }
    }

    #[test]
    fn odd_files_are_answered(picks in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        assert_answered(&picks.iter().map(|&pick| PIECES[pick]).collect::<String>());
    }

    #[test]
    fn damaged_files_are_answered(
        cut in 0..GOOD.len(),
        length in 0..40usize,
        picks in proptest::collection::vec(0..PIECES.len(), 0..4),
    ) {
        let end = GOOD.len().min(cut + length);
        let patch: String = picks.iter().map(|&pick| PIECES[pick]).collect();
        assert_answered(&format!("{}{patch}{}", &GOOD[..cut], &GOOD[end..]));
    }

    #[test]
    fn any_times_that_are_accepted_leave_a_margin(
        interval in 20..3_000u64, late in 11..40u64, dead in 30..60u64, lan_interval in 20..400u64,
        baud in 0..line::BAUDS.len(),
    ) {
        let (late, dead) = (interval * late / 10, interval * dead / 10);
        let times = format!(
            "baud = {}\n[timing]\ninterval = '{interval}ms'\nlate_after = '{late}ms'\ndead_after = \
                '{dead}ms'\nlease = '20s'\n[lan]\ninterval = '{lan_interval}ms'\n",
            line::BAUDS[baud]
        );
        if let Ok(settings) = load_as(&GOOD.replace("[lan]\n", &times), &asked("gw1")) {
            let proof = settings.proof();
            prop_assert!(proof.margin.is_safe());
            prop_assert!(proof.paths.iter().all(|path| path.margin.is_safe() && path.load_permille <= 500));
            prop_assert!(proof.released <= proof.takeover);
        }
    }
}
