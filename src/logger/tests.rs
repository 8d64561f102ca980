use std::fs;
use std::io::Read;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::{Duration, Instant as Clock};

use super::*;

/// A directory with a place where a syslogd can listen.
fn place_for_log() -> (tempfile::TempDir, &'static str) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log").display().to_string();
    (dir, String::leak(path))
}

fn outlet(path: &'static str) -> Outlet<Syslog> {
    Outlet::new(Syslog::at(path).expect("a socket"))
}

/// What has arrived, without priority, name and process.
fn heard(log: &UnixDatagram) -> Vec<String> {
    log.set_nonblocking(true).expect("set");
    let mut room = [0; 2_000];
    let next =
        || log.recv(&mut room).ok().map(|length| String::from_utf8_lossy(&room[..length]).into_owned());
    std::iter::from_fn(next).map(|line| line.split_once(": ").expect("a line of ours").1.to_owned()).collect()
}

#[test]
fn a_syslogd_that_comes_late_is_told_first_how_much_was_lost() {
    let (_dir, path) = place_for_log();
    let mut outlet = outlet(path);
    (0..3).for_each(|n| outlet.write(Level::Info, &format!("early {n}")));
    assert_eq!(outlet.lost, 3);
    let log = UnixDatagram::bind(path).expect("a log");
    outlet.to.connect();
    outlet.tell_lost();
    outlet.write(Level::Info, "late");
    assert_eq!(heard(&log), ["3 lines were lost here: the log took no more", "late"]);
}

/// The process that sees the socket loses nothing, and connects the other one, which shares a socket.
#[test]
fn a_syslogd_that_is_restarted_is_found_again_by_both() {
    let (_dir, path) = place_for_log();
    let before = UnixDatagram::bind(path).expect("a log");
    let (mut ours, mut of_agent) = (outlet(path), Syslog::at(path).expect("a socket"));
    ours.to.connect();
    assert!(!of_agent.connect(), "the socket stays");
    let mut theirs = Outlet::new(Syslog::of_others(of_agent.share().expect("a descriptor")));
    ours.write(Level::Info, "one");
    theirs.write(Level::Info, "two");
    assert_eq!(heard(&before), ["one", "two"]);
    drop(before);
    fs::remove_file(path).expect("removed");
    theirs.write(Level::Info, "nobody hears it");
    let after = UnixDatagram::bind(path).expect("another log");
    ours.write(Level::Info, "three");
    assert!(!of_agent.connect(), "the socket stays");
    theirs.write(Level::Info, "four");
    assert_eq!(heard(&after), ["three", "1 line was lost here: the log took no more", "four"]);
}

#[test]
fn a_stuck_syslogd_holds_nobody_up_and_is_told_how_much_it_missed() {
    let (_dir, path) = place_for_log();
    let log = UnixDatagram::bind(path).expect("a log");
    let mut outlet = outlet(path);
    outlet.to.connect();
    let began = Clock::now();
    (0..5_000).for_each(|n| outlet.write(Level::Info, &format!("line {n}")));
    assert!(began.elapsed() < Duration::from_secs(5), "it waited");
    let taken = heard(&log);
    assert_eq!(taken.len() + outlet.lost as usize, 5_000);
    outlet.write(Level::Warn, "last");
    assert_eq!(
        heard(&log),
        [format!("{} lines were lost here: the log took no more", 5_000 - taken.len()), "last".into()]
    );
}

#[test]
fn a_stream_takes_the_place_of_datagrams_and_gives_it_back() {
    let (_dir, path) = place_for_log();
    let mut syslog = Syslog::at(path).expect("a socket");
    let listener = UnixListener::bind(path).expect("a log");
    assert!(syslog.connect(), "another socket");
    assert!(!syslog.connect(), "it is well");
    let mut theirs = Outlet::new(Syslog::of_others(syslog.share().expect("a descriptor")));
    theirs.write(Level::Warn, "one");
    theirs.write(Level::Warn, "two");
    let (mut stream, _) = listener.accept().expect("we are there");
    let mut room = [0; 500];
    let length = stream.read(&mut room).expect("two lines");
    let text = String::from_utf8_lossy(&room[..length]).into_owned();
    assert_eq!(
        text.lines().map(|line| line.split_once(": ").expect("ours").1).collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert!(text.ends_with('\n'), "a line has an end: {text:?}");
    // The stream's syslogd stops, and another one takes datagrams.
    drop((stream, listener));
    fs::remove_file(path).expect("removed");
    let log = UnixDatagram::bind(path).expect("a log");
    assert!(syslog.connect(), "another socket");
    let mut theirs = Outlet::new(Syslog::of_others(syslog.share().expect("a descriptor")));
    theirs.write(Level::Warn, "three");
    assert_eq!(heard(&log), ["three"]);
}

/// A stream whose reader hangs: no line follows half a line.
#[test]
fn a_stuck_stream_holds_nobody_up() {
    let (_dir, path) = place_for_log();
    let listener = UnixListener::bind(path).expect("a log");
    let mut outlet = outlet(path);
    outlet.to.connect();
    let (mut stream, _) = listener.accept().expect("we are there");
    let text = "x".repeat(900);
    (0..5_000).for_each(|_| outlet.write(Level::Info, &text));
    assert!(outlet.lost > 0);
    drop(outlet);
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("whole lines");
    let ours = |line: &str| line.starts_with("<30>crosswire[") && line.ends_with(&text);
    assert!(all.lines().rev().skip(1).all(ours), "every line but the last is whole");
}

fn state(path: &'static str) -> State {
    let mut outlet = outlet(path);
    outlet.to.connect();
    State {
        syslog: Some(outlet),
        stderr: None,
        of_agent: None,
        look_at: Instant::NEVER,
        tell_at: Instant::NEVER,
        limiter: Limiter::new(),
        held_back: 0,
    }
}

fn at(s: u64) -> Instant {
    Instant::from_us(1_000_000) + Span::from_s(s)
}

/// As in a build for routers, which does not know where in the program it is.
fn say(state: &mut State, target: &str, text: &str, now: Instant) {
    let mut record = Record::builder();
    record.level(Level::Info).target(target);
    state.log(&record.args(format_args!("{text}")).build(), now);
}

/// An agent in an attacker's hands takes and releases as fast as it can, and the guard logs each time.
#[test]
fn a_place_that_logs_again_and_again_is_a_line_and_a_count() {
    let (_dir, path) = place_for_log();
    let log = UnixDatagram::bind(path).expect("a log");
    let mut state = state(path);
    let mut lines = Vec::new();
    for n in 0..10_000 {
        say(&mut state, "guard", &format!("group gateway: released {n}"), at(0));
        lines.extend(heard(&log));
    }
    say(&mut state, "guard", "another place", at(1));
    lines.extend(heard(&log));
    assert_eq!(lines.len(), usize::from(MOST_OF_A_PLACE) + 1, "{lines:?}");
    state.tell_floods(at(60), false);
    assert_eq!(heard(&log), ["group gateway: released 9999 ... and 9967 more like this in 60 s"]);
    say(&mut state, RECORD, "a record was limited before", at(61));
    assert_eq!(heard(&log), ["a record was limited before"]);
}

/// Everything that a guard says of a pair that is moved to and fro, and what a stranger makes it say.
#[test]
fn lines_are_told_apart_by_their_words_alone() {
    let places = |lines: &[&str], target: &str| {
        let mut record = Record::builder();
        record.level(Level::Warn).target(target);
        let mut found: Vec<u32> = lines.iter().map(|text| place(&record.build(), text)).collect();
        found.sort_unstable();
        found.dedup();
        found.len()
    };
    let alike = [
        "the agent asks for more than it can need: 17 requests were dropped",
        "the agent asks for more than it can need: 180 requests were dropped",
    ];
    assert_eq!(places(&alike, "guard"), 1);
    let alike = ["an operator asks: standby, since \"a disk\"", "an operator asks: standby, since \"rain\""];
    assert_eq!(places(&alike, "guard"), 1);
    let kinds = [
        "group gateway: 1 address held for term 2",
        "group gateway: serving",
        "group gateway: released",
        "group gateway: not renewed: Permission denied",
        "group gateway: renewed again",
        "the agent has died: another agent goes on in its place",
        "the agent (process 17) has ended: signal SIGKILL",
        "agent started, process 18",
    ];
    assert_eq!(places(&kinds, "guard"), kinds.len());
    assert_eq!(places(&kinds, SCRIPT), 1, "whatever scripts write");
}

#[test]
fn no_text_begins_another_line() {
    let line = Line::of(format_args!("a\nb\x1b[31m{}", "é".repeat(2_000)));
    assert!(line.as_str().starts_with("a?b?[31mé") && line.as_str().len() <= line::MAX_LINE_BYTES);
}
