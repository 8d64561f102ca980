//! The live view on a terminal of 80 x 24: drawn in place, and the terminal is as before when it ends.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;

use crate::{Demo, SOON, take_turn};

/// Every picture begins so.
const TITLE: &str = "crosswire demo: a pair";
/// Off and on again.
const CURSOR: (&str, &str) = ("\x1b[?25l", "\x1b[?25h");
const WRAP: (&str, &str) = ("\x1b[?7l", "\x1b[?7h");

/// A demo on a terminal, interrupted when its last picture shows all of `wanted`; all that it wrote there.
fn watch(terminal: &str, rows: u16, wanted: &[&str]) -> String {
    let size = Winsize { ws_row: rows, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosswire"));
    let place = tempfile::tempdir().unwrap();
    command.arg("demo").env("TERM", terminal).env_remove("NO_COLOR").env("TMPDIR", place.path());
    command.stdin(Stdio::null()).stdout(pty.slave.try_clone().unwrap()).stderr(pty.slave);
    let mut demo = Demo { child: command.spawn().unwrap(), place };
    // The last copies of the slave go with the demo, which then ends the reading.
    drop(command);
    let said = Mutex::new(String::new());
    thread::scope(|scope| {
        scope.spawn(|| read_all(pty.master, &said));
        let deadline = Instant::now() + SOON;
        while !shows(&said.lock().unwrap(), wanted) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        demo.interrupt(Signal::SIGINT);
        assert_eq!(demo.wait_for_end(SOON).code(), Some(1));
        demo.assert_nothing_is_left();
    });
    let said = said.into_inner().unwrap();
    assert!(shows(&said, wanted), "{wanted:?} is not shown:\n{said}");
    said
}

/// Whether the last picture, or all that was said if there is none, contains all of `wanted`.
fn shows(said: &str, wanted: &[&str]) -> bool {
    let last = without_escapes(said.rsplit(TITLE).next().unwrap_or_default());
    wanted.iter().all(|wanted| last.contains(wanted))
}

/// Reads until the last writer has gone, which a terminal reports as EIO.
fn read_all(master: OwnedFd, said: &Mutex<String>) {
    let mut master = File::from(master);
    let mut room = [0; 4_096];
    while let Ok(length) = master.read(&mut room) {
        // Plain ASCII and escape sequences: nothing that could be cut in two.
        said.lock().unwrap().push_str(str::from_utf8(&room[..length]).expect("ASCII"));
    }
}

/// Without escape sequences: ESC [ parameters letter.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        plain + part.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).get(1..).unwrap_or("")
    })
}

#[test]
fn a_terminal_shows_one_picture_in_place_and_is_given_back() {
    let _turn = take_turn();
    // In the first act.
    let wanted =
        ["ACTIVE", "backup", "JEOPARDY", "CUT", "null-modem cable", "10.77.0.100 answers", "gw1", "gw2"];
    let said = watch("xterm", 24, &wanted);
    let pictures: Vec<&str> = said.split(TITLE).skip(1).collect();
    assert!(pictures.len() > 4, "{} pictures", pictures.len());
    // The last one is followed by the farewell.
    for picture in &pictures[..pictures.len() - 1] {
        let plain = without_escapes(picture);
        assert!(plain.lines().count() <= 24, "{plain}");
        assert!(plain.lines().all(|line| line.len() < 80), "{plain}");
    }
    let lines = pictures[0].matches("\r\n").count();
    assert!(pictures[0].ends_with(&format!("\x1b[{lines}A")), "the next picture covers it");
    let last = without_escapes(pictures.last().unwrap());
    for (off, on) in [CURSOR, WRAP] {
        assert!(said.find(off) < said.find(on) && said.contains(off), "{off:?} has to come first");
        assert!(said.rfind(off) < said.rfind(on), "the terminal is not given back: {on:?} is missing");
    }
    assert!(last.contains("interrupted"), "{last}");
}

#[test]
fn a_dumb_or_tiny_terminal_gets_plain_lines() {
    let _turn = take_turn();
    for (terminal, rows) in [("dumb", 24), ("xterm", 10)] {
        let said = watch(terminal, rows, &["start both nodes"]);
        assert!(!said.contains('\x1b'), "{said:?}");
        assert!(said.contains("start both nodes"), "{said}");
    }
}
