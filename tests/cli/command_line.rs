//! The command line itself.

use std::fs::File;
use std::io::pipe;
use std::process::Stdio;

use crate::place::{crosswire, say};

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
    assert!(said.out.contains(env!("CARGO_PKG_VERSION")), "{said:?}");
}

/// What `status | head -0` does: nobody reads.
#[test]
fn a_closed_pipe_is_no_panic() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("every Linux has it"));
    let cases: [&[&str]; 4] =
        [&["--help"], &["status", "--run-dir", "/nonexistent"], &["check", "--config", "/nonexistent"], &["nonsense"]];
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

#[test]
fn without_a_daemon_every_question_ends_with_3_and_a_remedy() {
    let cases: [&[&str]; 8] = [
        &["status"],
        &["standby"],
        &["online"],
        &["maintenance", "on"],
        &["status", "--json"],
        &["handover", "gateway"],
        &["takeover", "gateway"],
        &["takeover", "--peer-is-off", "gateway"],
    ];
    for arguments in cases {
        let said = say(crosswire(&[arguments, &["--run-dir", "/nonexistent"]].concat()));
        let expected = "no daemon runs in /nonexistent: start it with its init script or `crosswire run`\n";
        assert_eq!((said.code, said.out + &said.err), (Some(3), expected.to_owned()), "{arguments:?}");
    }
}
