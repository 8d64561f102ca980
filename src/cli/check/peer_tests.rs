//! The difference between a file and what a peer goes by.

use std::fs;

use crosswire::frame::aside::MAX_TEXT_BYTES;
use crosswire::pair::Side;
use proptest::prelude::*;
use serde_json::Value;

use super::agreed::Agreed;
use super::peer::{Outcome, document, judge, line, said};
use super::*;

const FILE: &str = "pair = 'gateway'\n[node.gw1]\nlan = '10.0.0.1'\n[node.gw2]\nlan = '10.0.0.2'\n\
    [serial]\ndevice = '/dev/ttyS0'\n[lan]\ninterface = 'eth0'\n[quorum]\nin_jeopardy = 'hold'\n\
    [timing]\nlease = '3s'\n\
    [group.web]\naddresses = ['10.0.0.100/24', '10.0.0.101/24']\nprefer = 'gw1'\n\
    scripts = ['ocf:heartbeat:Filesystem device=a', \
    { run = 'ocf:heartbeat:Filesystem device=b', stop_timeout = '9s' }, \
    'lsb:x', 'exec:/bin/y secret=hunter2']\n";

fn settings(text: &str, side: Side) -> Settings {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("crosswire.toml");
    fs::write(&file, text).expect("written");
    Settings::load_as(&file, side).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"))
}

const READY: &str = "ready = [{ run = 'exec:/bin/ok secret=hunter2', monitor = '30s', \
    monitor_timeout = '5s' }]\nprefer";

/// What gw1 with one file is told by gw2 with another.
fn judged(here: &str, there: &str) -> Outcome {
    let text = settings(there, Side::B).agreed();
    judged_by(here, text.get(..text.len().min(MAX_TEXT_BYTES)).expect("plain letters"))
}

fn judged_by(here: &str, text: &str) -> Outcome {
    let ours = Agreed::of(&settings(here, Side::A)).expect("our own");
    let theirs = Agreed::told(text).expect("settings");
    judge(&ours, &theirs).expect("one form")
}

/// The lines of the screen that name keys.
fn named(here: &str, there: &str) -> Vec<String> {
    match judged(here, there) {
        Outcome::Same => vec!["the same".to_owned()],
        Outcome::Differs(found, true) => found.iter().map(|difference| line(difference, "gw2")).collect(),
        Outcome::Differs(_, false) | Outcome::NotAsked(..) => panic!("all of it was told"),
    }
}

#[test]
fn each_key_that_differs_is_named_once_with_both_values() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("pair = ", "# a remark\npair = ", &["the same"]),
        ("/dev/ttyS0", "/dev/ttyS1", &["the same"]),
        ("pair = 'gateway'", "pair = 'door'", &["pair: here gateway, on gw2 door"]),
        ("lan = '10.0.0.2'", "lan = '10.0.0.3'", &["node.gw2.lan: here [10.0.0.2], on gw2 [10.0.0.3]"]),
        ("'eth0'", "'eth0'\nport = 700", &["lan.port: here 694, on gw2 700"]),
        ("'/dev/ttyS0'", "'/dev/ttyS0'\nbaud = 9600", &["serial.baud: here 19200, on gw2 9600"]),
        ("lease = '3s'", "lease = '4s'", &["timing.lease: here 3 s, on gw2 4 s"]),
        (
            "lease = '3s'",
            "lease = '3s'\ncarrier_delay = '1s'",
            &["timing.carrier_delay: here 300 ms, on gw2 1 s"],
        ),
        (
            "lease = '3s'",
            "lease = '3s'\ninterval = '300ms'",
            &["serial.interval: here 250 ms, on gw2 300 ms", "lan.interval: here 250 ms, on gw2 300 ms"],
        ),
        (
            "[quorum]",
            "[quorum]\nneighbours = false\nwitness = ['10.0.0.9']",
            &["quorum.neighbours: here true, on gw2 false", "quorum.witness: here [], on gw2 [10.0.0.9]"],
        ),
        ("[group.web]", "[watchdog]\ntimeout = '4s'\n[group.web]", &["watchdog: only on gw2"]),
        (
            "prefer = 'gw1'",
            "failback = '10m'\nprefer = 'gw2'",
            &["group.web.prefer: here gw1, on gw2 gw2", "group.web.failback: here manual, on gw2 600 s"],
        ),
        (
            ", '10.0.0.101/24'",
            ", '10.0.0.102/24'",
            &["group.web.addresses: here [10.0.0.100/24, 10.0.0.101/24], on gw2 [10.0.0.100/24, \
                    10.0.0.102/24]"],
        ),
        (
            "prefer",
            "routes = ['default via 10.0.0.9']\ntrack = ['eth7']\nprefer",
            &[
                "group.web.track: here 0 interfaces, on gw2 1 interface",
                "group.web.routes: here [], on gw2 [default via 10.0.0.9 src 10.0.0.100]",
            ],
        ),
        ("'9s'", "'8s'", &["group.web.ocf:heartbeat:Filesystem#2.stop_timeout: here 9 s, on gw2 8 s"]),
        (
            "hunter2",
            "hunter3",
            &["group.web.exec:/bin/y.parameters: not the same (not shown: it may hold a password)"],
        ),
        (
            "'lsb:x', ",
            "",
            &["group.web.scripts: here [ocf:heartbeat:Filesystem, ocf:heartbeat:Filesystem, lsb:x, \
                exec:/bin/y], on gw2 [ocf:heartbeat:Filesystem, ocf:heartbeat:Filesystem, exec:/bin/y]"],
        ),
        (
            "'lsb:x', ",
            "{ run = 'lsb:x', monitor = '10s' }, ",
            &[
                "group.web.lsb:x.monitor: here never, on gw2 10 s",
                "group.web.lsb:x.monitor_timeout: on gw2 20 s, not here",
                "group.web.lsb:x.failures: on gw2 2, not here",
                "group.web.lsb:x.restarts: on gw2 3, not here",
            ],
        ),
        ("prefer", READY, &["group.web.ready: here [], on gw2 [exec:/bin/ok]"]),
        ("[group.web]", "[group.ftp]\naddresses = ['10.0.0.7/24']\n[group.web]", &["group.ftp: only on gw2"]),
    ];
    for (from, to, expected) in cases {
        assert!(FILE.contains(from), "{from}");
        assert_eq!(named(FILE, &FILE.replacen(from, to, 1)), *expected, "{to}");
    }
}

#[test]
fn what_is_on_one_node_only_is_named_from_either_side() {
    let more = format!("{FILE}[group.zoo]\naddresses = ['10.0.0.7/24']\n[watchdog]\ntimeout = '4s'\n");
    assert_eq!(named(&more, FILE), ["watchdog: only here", "group.zoo: only here"]);
    assert_eq!(named(FILE, &more), ["watchdog: only on gw2", "group.zoo: only on gw2"]);
}

#[test]
fn no_parameter_of_a_script_travels() {
    let text = settings(&FILE.replace("prefer", READY), Side::A).agreed();
    assert!(
        text.contains("ready 30000000 5000000 ")
            && text.contains("exec:/bin/y ")
            && !text.contains("hunter2")
            && !text.contains("device"),
        "{text}"
    );
}

/// Groups with as many addresses as there may be, and as many more or less in the last of them.
fn long(last: usize) -> String {
    let group = |group: usize, count: usize| {
        let addresses: Vec<String> = (0..count).map(|at| format!("'10.{group}.200.{at}/8'")).collect();
        format!("[group.g{group}]\naddresses = [{}]\n", addresses.join(", "))
    };
    let head = FILE.split("[group.web]").next().expect("a head");
    (0..8).fold(head.to_owned(), |text, at| text + &group(at, if at == 7 { last } else { 64 }))
}

#[test]
fn of_a_text_that_was_cut_only_what_was_told_is_compared() {
    assert!(settings(&long(64), Side::B).agreed().len() > MAX_TEXT_BYTES);
    assert!(matches!(judged(&long(64), &long(64)), Outcome::Same), "the checksum says so");
    let Outcome::Differs(found, false) = judged(&long(64), &long(63)) else {
        panic!("cut, and not the same")
    };
    assert_eq!(found, []);
    let Outcome::Differs(found, false) = judged(&long(64), &long(63).replace("'3s'", "'4s'")) else {
        panic!("cut, and not the same")
    };
    assert_eq!(found.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["timing.lease"]);
    let said = said(&settings(&long(64), Side::A), &judged(&long(64), &long(63)));
    assert!(said.contains("CUT: what gw2 goes by is too long"), "{said}");
}

#[test]
fn what_is_no_settings_or_has_another_form_is_not_compared() {
    let ours = settings(FILE, Side::A).agreed();
    for text in ["", "gw2 serves gateway\n", "digest ", "digest 00000000\n"] {
        assert!(Agreed::told(text).is_none(), "{text:?}");
    }
    let other = Agreed::told(&ours.replace("crosswire 2\n", "crosswire 3\n")).expect("settings");
    assert!(judge(&Agreed::of(&settings(FILE, Side::A)).expect("our own"), &other).is_none());
    let more = ours
        .replace("digest ", "digest 1")
        .replace("address 10.0.0.100/24", "later yes\naddress 10.0.0.100/24");
    let Outcome::Differs(found, true) = judged_by(FILE, &more) else { panic!("they differ") };
    assert!(
        found.iter().any(|one| line(one, "gw2") == "group.web.later: on gw2 [yes], not here"),
        "{found:?}"
    );
}

#[test]
fn a_program_is_told_the_same() {
    let (ours, theirs) = (FILE.replace("hunter2", "x"), FILE.replace("'3s'", "'4s'"));
    let text = document(&settings(&ours, Side::A), &judged(&ours, &theirs), Exit::Refused);
    let object: Value = serde_json::from_str(&text).expect("one object");
    assert_eq!(object["verdict"], "differs");
    let expected = serde_json::json!([
        { "key": "timing.lease", "is_here": true, "is_there": true, "here": "3 s", "there": "4 s" },
        { "key": "group.web.exec:/bin/y.parameters", "is_here": true, "is_there": true, "here": null,
          "there": null },
    ]);
    assert_eq!((&object["differences"], &object["code"]), (&expected, &Value::from(1)));
}

/// Anything, and lines that are nearly right.
const LINES: &str = "\\PC{0,40}|[a-z]{1,9}( [0-9a-z]{1,4}){0,7}|\
    (group|lan|serial|script|monitor|before|nodes|exclusive|self-fence)( [0-9a-z]{1,4}){0,8}\x1b?";

proptest! {
    #[test]
    fn no_text_of_a_peer_does_harm(lines in prop::collection::vec(LINES, 0..60)) {
        let text = format!("digest 0\ncrosswire 2\n{}\n", lines.join("\n"));
        let outcome = judged_by(FILE, &text);
        let settings = settings(FILE, Side::A);
        let said = said(&settings, &outcome);
        prop_assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
        let text = document(&settings, &outcome, Exit::Refused);
        let _: Value = serde_json::from_str(&text).expect("one object");
    }
}
