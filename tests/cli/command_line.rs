//! The command line itself.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::unistd::geteuid;

use crate::lab::executable::copy_executable;
use crate::place::{Place, binary_file, crosswire, say, workstation_file};

const COMMANDS: [&str; 9] =
    ["run", "check", "status", "handover", "takeover", "standby", "online", "maintenance", "keygen"];

/// Code 2, nothing on stdout, and no panic, whatever the words.
#[test]
fn nonsense_is_a_usage_error() {
    let cases: [&[&str]; 12] = [
        &["nonsense"],
        &["maintenance"],
        &["maintenance", "maybe"],
        &["maintenance", "on", "--for", "ever"],
        &[],
        &["status", "--nonsense"],
        &["status", "more"],
        &["handover"],
        &["takeover"],
        &["takeover", "--peer-is-off"],
        &["handover", "a", "b"],
        &["run", "--config"],
    ];
    for arguments in cases {
        let said = say(crosswire(arguments));
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{arguments:?}: {said:?}");
        assert!(!said.err.is_empty() && !said.err.contains("panicked"), "{arguments:?}: {said:?}");
    }
}

#[test]
fn a_near_miss_is_told_what_was_meant() {
    let said = say(crosswire(&["statsu"]));
    assert!(said.err.contains("status"), "{said:?}");
}

#[test]
fn every_command_explains_itself() {
    let overview = say(crosswire(&["--help"]));
    assert_eq!(overview.code, Some(0));
    for command in COMMANDS {
        assert!(overview.out.contains(&format!("\n    {command} ")), "{command} is not in\n{}", overview.out);
        let said = say(crosswire(&[command, "--help"]));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{command}");
        assert!(said.out.starts_with(|c: char| c.is_uppercase()), "{command}: {}", said.out);
        assert!(said.out.contains(&format!("Usage: crosswire {command}")), "{command}: {}", said.out);
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let said = say(crosswire(&["--version"]));
    assert_eq!(said.code, Some(0));
    let lines: Vec<(&str, &str)> = said.out.lines().filter_map(|line| line.split_once(": ")).collect();
    let [("Version", version), ("Commit", commit), ("Protocol", "2, 1"), ("Target", target)] = lines[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert!(!commit.is_empty() && !target.is_empty(), "{said:?}");
}

/// What `status | head -0` does: nobody reads.
#[test]
fn a_closed_pipe_is_no_panic() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("every Linux has it"));
    let cases: [&[&str]; 4] = [
        &["--help"],
        &["status", "--run-dir", "/nonexistent"],
        &["check", "--config", "/nonexistent"],
        &["nonsense"],
    ];
    for arguments in cases {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        for (out, err) in [(Stdio::from(writer), full()), (full(), full())] {
            let status = crosswire(arguments).stdin(Stdio::null()).stdout(out).stderr(err).status();
            let code = status.expect("the binary can be run").code();
            // A panic ends with 101, or with SIGABRT in a release build; SIGPIPE has no code either.
            assert!(matches!(code, Some(0..=3 | 78)), "{arguments:?}: {code:?}");
        }
    }
}

/// Errors go to standard error; what a program asks for in JSON is told in JSON.
#[test]
fn without_a_daemon_every_question_ends_with_3_and_a_remedy() {
    let cases: [&[&str]; 9] = [
        &["status"],
        &["status", "-q"],
        &["why"],
        &["standby"],
        &["online"],
        &["maintenance", "on"],
        &["handover", "gateway"],
        &["takeover", "gateway"],
        &["takeover", "--peer-is-off", "gateway"],
    ];
    let text = "no daemon runs in /nonexistent: start it with its init script or `crosswire run`";
    let ask = |arguments: &[&str]| say(crosswire(&[arguments, &["--run-dir", "/nonexistent"]].concat()));
    for arguments in cases {
        let said = ask(arguments);
        assert_eq!(
            (said.code, said.out.as_str(), said.err),
            (Some(3), "", format!("{text}\n")),
            "{arguments:?}"
        );
    }
    for command in ["status", "why"] {
        let said = ask(&[command, "--json"]);
        assert_eq!((said.code, said.out.as_str()), (Some(3), ""), "{command}");
        let told: serde_json::Value = serde_json::from_str(&said.err).expect("one JSON object");
        assert_eq!(told, serde_json::json!({ "code": 3, "error": "no_daemon", "text": text }), "{command}");
    }
    let said = ask(&["status", "--nagios"]);
    assert_eq!((said.code, said.out), (Some(2), format!("CROSSWIRE CRITICAL: {text}\n")));
    let said = ask(&["status", "--nagios", "--nonsense"]);
    assert!(said.code == Some(3) && said.out.starts_with("CROSSWIRE UNKNOWN: no such flag"), "{said:?}");
}

#[test]
fn without_a_daemon_its_metrics_say_so() {
    let mut status = Command::new(workstation_file());
    status.args(["status", "--prometheus", "--run-dir", "/nonexistent"]);
    let said = say(status);
    let is_told =
        said.out.contains("\ncrosswire_up 0\n") && said.out.ends_with("\ncrosswire_status_code 3\n");
    assert!(said.code == Some(3) && (is_told || !cfg!(feature = "metrics")), "{said:?}");
}

/// The page from before would go on looking well.
#[cfg(feature = "picture")]
#[test]
fn without_a_daemon_its_page_says_so() {
    let place = Place::new();
    let file = place.path("status.html");
    let mut status = Command::new(workstation_file());
    status.args(["status", "--run-dir", "/nonexistent", "--html"]).arg(&file);
    let said = say(status);
    let text = "no daemon runs in /nonexistent: start it with its init script or `crosswire run`";
    assert_eq!((said.code, said.out.as_str(), said.err), (Some(3), "", format!("{text}\n")));
    let page = fs::read_to_string(&file).expect("a page");
    assert!(page.contains(&format!("<h1 class=\"bad\">{text}</h1>")), "{page}");
}

/// On a pipe: a line when something changes, daemon or none.
#[test]
fn a_watch_without_a_daemon_says_so_and_goes_on() {
    let mut command = crosswire(&["status", "--watch", "--run-dir", "/nonexistent"]);
    let mut watch = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut line = String::new();
    BufReader::new(watch.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert!(line.starts_with("no daemon runs in /nonexistent: "), "{line}");
    assert!(matches!(watch.try_wait(), Ok(None)), "it waits for one");
    watch.kill().and_then(|()| watch.wait().map(|_| ())).expect("ended");
}

#[cfg(feature = "workbench")]
#[test]
fn a_simulation_of_nothing_is_asked_what_it_shall_be() {
    let mut simulate = Command::new(workstation_file());
    simulate.arg("simulate");
    let said = say(simulate);
    assert!(
        said.code == Some(2) && said.err.starts_with("crosswire: simulate: say what: --faults N"),
        "{said:?}"
    );
}

/// Nothing that was asked for is left out in silence.
#[cfg(feature = "workbench")]
#[test]
fn a_simulation_is_of_one_kind_and_draws_only_what_can_be_drawn() {
    for (words, said) in [
        (&["--faults", "1", "--replay", "x"][..], "--faults and --replay do not go together"),
        (&["--fleet", "1", "--exhaustive", "1"], "--exhaustive and --fleet do not go together"),
        (
            &["--faults", "1", "--svg", "x"],
            "--svg draws a trace (--replay), a script (--script) or a fleet (--fleet)",
        ),
        (&["--exhaustive", "1", "--seed", "1"], "--seed goes with --faults or --fleet"),
    ] {
        let mut simulate = Command::new(workstation_file());
        simulate.arg("simulate").args(words);
        let said_there = say(simulate);
        assert_eq!((said_there.code, said_there.err), (Some(2), format!("crosswire: simulate: {said}\n")));
    }
}

/// A socket on which nobody ever answers: what a daemon that hangs leaves.
fn silent_daemon(run_dir: &Path) -> OwnedFd {
    let socket =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    let path = UnixAddr::new(&run_dir.join("control")).expect("a short path");
    bind(socket.as_raw_fd(), &path).expect("bound");
    listen(&socket, Backlog::new(1).expect("a number")).expect("it listens");
    socket
}

#[test]
fn a_daemon_that_does_not_answer_is_told_from_one_that_may_not_be_asked() {
    let place = Place::new();
    let run_dir = place.path("run");
    fs::create_dir(&run_dir).expect("a directory");
    let _daemon = silent_daemon(&run_dir);
    let words = ["status", "--run-dir", &run_dir.display().to_string()];
    let asked = Instant::now();
    // The second question finds its queue full.
    for _ in 0..3 {
        let said = place.say(crosswire(&words));
        let what = "the daemon in DIR/run does not answer: it hangs. Its init script ends it: force-stop, \
            then start\n";
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(6), "", what));
    }
    assert!(asked.elapsed() < 3 * 3 * Duration::from_millis(500), "{:?}", asked.elapsed());
    if !geteuid().is_root() {
        return;
    }
    fs::set_permissions(run_dir.join("control"), Permissions::from_mode(0o600)).expect("its mode");
    let copy = place.path("crosswire");
    copy_executable(&binary_file(), &copy);
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(&copy);
        command.args(words).args(arguments).uid(NOBODY).gid(NOBODY);
        place.say(command)
    };
    let what = "not allowed to ask the daemon in DIR/run: run this as root";
    let said = ask(&[]);
    assert_eq!((said.code, said.out.as_str(), said.err), (Some(77), "", format!("{what}\n")));
    let said = ask(&["--nagios"]);
    assert_eq!((said.code, said.out), (Some(3), format!("CROSSWIRE UNKNOWN: {what}\n")));
}

/// Somebody without any rights.
const NOBODY: u32 = 65_534;
