//! What `check` says of a good box, of a bad file, and of what a box lacks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crosswire::time::Span;

use super::proof::{is_late_by_ticks, keeps_for_ever};
use super::*;

/// A pair for which this box has everything: the loopback interface and a pseudo-terminal will do.
const GOOD: &str = r#"pair = "gateway"
key = "DIR/key"
[node.gw1]
lan = "127.0.0.1"
[node.gw2]
lan = "127.0.0.2"
[serial]
device = "TTY"
[lan]
interface = "lo"
[group.gateway]
prefer = "gw1"
addresses = ["10.0.0.100/24", "10.0.0.101/24"]
[group.web]
addresses = ["10.0.0.80/24"]
safety = "lease"
"#;

const NOTE: &str = "\
DIR/crosswire.toml: pair gateway, this is gw1, its peer is gw2.

Paths
  serial  TTY at 19200 baud: 69 bytes every 250 ms, 14.4 % of the line
  lan     lo, 127.0.0.1 to 127.0.0.2, UDP port 694: a beat every 250 ms
       72 ms  is the shortest interval that they carry, with
      180 ms  late_after and
      360 ms  dead_after, on boxes that are never late for as long

If gw2 falls silent, counted from its last beat
      750 ms  every path is late: a warning, and the probe for its addresses starts
     1500 ms  every path is silent: gw2 counts as dead
     1515 ms  what it served is taken over (1 % later, for clocks that drift)
     5656 ms  the same if its modem lines stay on: it stands still; sooner if its kernel lets go
  If a path was broken before, silence proves nothing: nothing moves (in_jeopardy = \"hold\").
  A box that has heard nobody since it started listens for 60 s (cold_start) before it serves.

If gw2 no longer hears gw1, counted from the last beat of ours that it acknowledged
     1450 ms  we begin to let go, once its report says so
     1500 ms  our addresses are gone
     1515 ms  gw2 takes over at the earliest: a margin of 15 ms

If both processes of a node are killed, the kernel removes its addresses
     5600 ms  at the latest, from the last beat of it that arrived (lease 3 s, renewed every 1 s)

Groups
  gateway: prefers gw1; 10.0.0.100/24 on lo, 10.0.0.101/24 on lo
    taken from a silent peer 1515 ms after its last beat, if the probe is clear
  web: prefers neither node; 10.0.0.80/24 on lo
    taken from a silent peer 5656 ms after its last beat: the slowest release takes 5600 ms
  Slowest release of all: 5600 ms.
";

/// What `check` says of `text`, with the directory called `DIR`.
fn check(text: &str, key: Option<&str>) -> (Exit, String) {
    check_as(text, key, false)
}

fn options(config: PathBuf, offline: bool) -> CheckOptions {
    let node = Some("gw1".to_string());
    let run_dir = DEFAULT_RUN_DIR.into();
    CheckOptions { config, node, offline, peer: false, json: false, verbose: false, run_dir }
}

fn check_as(text: &str, key: Option<&str>, offline: bool) -> (Exit, String) {
    let directory = tempfile::tempdir().unwrap();
    let name = directory.path().display().to_string();
    let config = directory.path().join("crosswire.toml");
    let pty = nix::pty::openpty(None, None).unwrap();
    let tty = nix::unistd::ttyname(&pty.slave).unwrap().display().to_string();
    fs::write(&config, text.replace("DIR", &name).replace("TTY", &tty)).unwrap();
    if let Some(key) = key {
        write_key(&directory.path().join("key"), key);
    }
    let options = options(config, offline);
    let (exit, said) = match examine(&options) {
        Ok(note) => (Exit::Done, note),
        Err(errors) => (Exit::Configuration, errors.iter().map(|error| format!("{error}\n")).collect()),
    };
    (exit, said.replace(&name, "DIR").replace(&tty, "TTY"))
}

fn write_key(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn kernels_that_keep_addresses_for_ever_are_known_by_their_release() {
    for (release, keeps) in [
        ("2.6.32-5-686", true),
        ("3.2.0", true),
        ("3.8.13\n", true),
        ("3.9.0", false),
        ("6.18.5+", false),
        ("", false),
    ] {
        assert_eq!(keeps_for_ever(release), keeps, "{release}");
    }
}

#[test]
fn timers_that_fire_by_ticks_are_too_slow_for_short_times() {
    for (interval_ms, late_after_ms, tick_ms, is_late) in [
        (50, 150, 0, false),
        (50, 150, 10, false),
        (10, 25, 4, false),
        (10, 25, 10, true),
        (10, 25, 0, false),
    ] {
        let [interval, late_after, tick] = [interval_ms, late_after_ms, tick_ms].map(Span::from_ms);
        assert_eq!(is_late_by_ticks(interval, late_after, tick), is_late, "{interval_ms} ms, {tick_ms} ms");
    }
}

#[test]
fn a_good_box_gets_the_whole_proof() {
    let secret = "00112233445566778899aabbccddeeff";
    let (exit, said) = check(GOOD, Some(&format!("3 {secret}\n0 {secret}\n")));
    let keys = "\nKeys\n  DIR/key: ids 3, 0; 3 authenticates what we send\n  a frame was sealed with it \
        and opened; one that was changed was refused\n\nOK: gw1 has what it takes.\n";
    assert_eq!(said, format!("{NOTE}{keys}"));
    assert_eq!(exit, Exit::Done);
    assert_eq!(exit.code(), 0);
}

#[test]
fn what_the_box_lacks_is_all_that_is_said_unless_the_file_alone_is_asked_for() {
    let text = GOOD.replace("TTY", "/dev/no-such-tty");
    let (exit, said) = check(&text, None);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].starts_with("DIR/crosswire.toml:8:10: there is no serial port \"/dev/no-such-tty\""),
        "{said}"
    );
    assert!(lines[1].starts_with("DIR/key: the key file cannot be read"), "{said}");
    assert_eq!(exit, Exit::Configuration);
    let proof = NOTE.replace("TTY", "/dev/no-such-tty");
    let ending = "\nOK: the file is sound for gw1. The file alone was read: no box was looked at.\n";
    assert_eq!(check_as(&text, None, true), (Exit::Done, format!("{proof}{ending}")));
}

#[test]
fn a_bad_file_gets_its_errors_and_nothing_else() {
    let (exit, said) = check(&GOOD.replace("prefer = \"gw1\"", "prefer = \"gw3\"\nadresses = []"), None);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "DIR/crosswire.toml:12:10: there is no node \"gw3\" to prefer; use \"gw1\" or \"gw2\"",
            "DIR/crosswire.toml:13:1: unknown key \"adresses\" in [group.gateway]; did you \
                mean \"addresses\"?",
        ]
    );
    assert_eq!(exit, Exit::Configuration);
}

#[test]
fn a_single_kind_of_path_is_remarked_upon() {
    let (_, said) = check_as(&GOOD.replace("[serial]\ndevice = \"TTY\"\n", ""), None, true);
    assert!(said.contains("WARNING [paths]: only one kind of path"), "{said}");
    let lines = survey::summary(&said);
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("WARNING [paths]: only one kind of path"), "{lines:?}");
    let verdict = "OK: DIR/crosswire.toml: pair gateway, this is gw1, its peer is gw2: the file is sound for \
                   gw1. The \
                   file alone was read: no box was looked at.";
    assert_eq!(lines[1], verdict);
}

#[test]
fn a_closed_pipe_is_no_panic() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("crosswire.toml");
    fs::write(&config, GOOD.replace("DIR", "/etc").replace("TTY", "/dev/ttyS0")).unwrap();
    let options = options(config, true);
    assert_eq!(run(&options, &mut Closed), Exit::Refused);
}

#[test]
fn the_command_line_is_read() {
    let parse = |words: &[&str]| crate::cli::parse::options::<CheckOptions>(words).unwrap();
    let options = parse(&["--config", "/x.toml", "--node", "gw2"]);
    assert_eq!((options.config, options.node), (PathBuf::from("/x.toml"), Some("gw2".to_string())));
    let options = parse(&[]);
    assert_eq!((options.config, options.node), (PathBuf::from("/etc/crosswire/crosswire.toml"), None));
}
