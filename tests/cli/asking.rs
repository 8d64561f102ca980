//! Who may ask a daemon that runs, and what: root, the members of a group, and nobody else.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crosswire::pair::Side;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept, bind, connect, listen, recv,
    send, socket,
};
use nix::unistd::close;
use serde_json::Value;
use std::os::fd::{AsRawFd, RawFd};

use crate::lab::Lab;
use crate::lab::clock::wait_until;
use crate::lab::executable::copy_executable;
use crate::lab::setup::Setup;
use crate::lab::testing::{in_lab, is_given};
use crate::place::{Said, binary_file, say};

const PATIENCE: Duration = Duration::from_secs(30);
/// A group that every box has, and nobody uses.
const GROUP: (&str, u32) = ("games", 60);
/// Nobody's numbers.
const USER: u32 = 60_500;
const NO_GROUP: u32 = 60_501;

/// A laboratory whose nodes let members of the group ask, and in which others can find their way.
fn lab(sides: &[Side]) -> Lab {
    let mut lab = Lab::new(&binary_file(), Setup::default()).expect("a laboratory");
    for side in [Side::A, Side::B] {
        let directory = lab.directory(side).to_owned();
        for directory in [directory.parent().expect("a directory"), &directory] {
            fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("its mode");
        }
        let file = directory.join("crosswire.toml");
        let text = fs::read_to_string(&file).expect("a configuration");
        fs::write(&file, format!("{text}\n[system]\ngroup = \"{}\"\n", GROUP.0)).expect("written");
    }
    for side in sides {
        lab.start(*side).expect("it can be started");
        let asked =
            || Ok(as_root(&lab, *side, &["status"]).code.is_some_and(|code| [0, 4, 5].contains(&code)));
        wait_until("an answer", PATIENCE, asked).expect("it answers");
    }
    lab
}

fn run_dir(lab: &Lab, side: Side) -> PathBuf {
    lab.directory(side).join("run")
}

/// What a command says to whoever has that group, and is not root.
fn as_user(run_dir: &Path, group: u32, words: &[&str]) -> Said {
    // The build may lie where only root comes.
    let binary = run_dir.join("../crosswire-for-all");
    if !binary.exists() {
        copy_executable(&binary_file(), &binary);
    }
    let mut command = Command::new(binary);
    command.args(words).arg("--run-dir").arg(run_dir).uid(USER).gid(group);
    say(command)
}

fn as_root(lab: &Lab, side: Side, words: &[&str]) -> Said {
    say(lab.command(side, words).expect("a command"))
}

/// In a user namespace there is no other user.
fn has_others() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").expect("proc is mounted");
    is_given("a map of all users", map.contains("4294967295"))
}

/// The first group of a status in JSON.
fn first_group(status: &str) -> Value {
    serde_json::from_str::<Value>(status).expect("JSON")["groups"][0].clone()
}

fn not_allowed(run_dir: &Path) -> String {
    format!(
        "not allowed to ask the daemon in {}: run this as root, or ask for status, why or peer as a member \
            of its group\n",
        run_dir.display()
    )
}

/// Each node says that all is well: the one that is asked may know that before its peer does. A group that
/// nobody serves counts only once that has lasted: one of them has to serve it.
fn wait_until_both_are_well(lab: &Lab) {
    let is_well = |side| as_root(lab, side, &["status"]).code == Some(0);
    let does_serve = |side| first_group(&as_root(lab, side, &["status", "--json"]).out)["role"] == "active";
    let sides = [Side::A, Side::B];
    let are_well = || Ok(sides.into_iter().all(is_well) && sides.into_iter().any(does_serve));
    wait_until("a pair at rest", PATIENCE, are_well).expect("a pair at rest");
}

#[test]
fn a_member_of_the_group_is_told_what_goes_on_and_nobody_else_is() {
    in_lab(|| {
        if !has_others() {
            return;
        }
        let lab = lab(&[Side::A, Side::B]);
        let dir = run_dir(&lab, Side::A);
        let found = ["control", "query"].map(|name| fs::symlink_metadata(dir.join(name)).expect("a socket"));
        let is = found.map(|found| (found.uid(), found.gid(), found.mode() & 0o7777));
        assert_eq!(is, [(0, 0, 0o600), (0, GROUP.1, 0o660)]);
        wait_until_both_are_well(&lab);
        for words in
            [&["status"][..], &["status", "--json"], &["status", "--nagios"], &["why"], &["peer", "status"]]
        {
            let said = as_user(&dir, GROUP.1, words);
            assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{words:?}: {said:?}");
            assert!(!said.out.contains("00112233"), "no key: {said:?}");
        }
        let before = as_root(&lab, Side::A, &["status", "--json"]).out;
        let recording = dir.join("recording").display().to_string();
        for words in [
            &["handover", "gateway"][..],
            &["takeover", "gateway", "--peer-is-off"],
            &["standby", "--force"],
            &["online"],
            &["maintenance", "on"],
            &["why", "--record", &recording],
        ] {
            let said = as_user(&dir, GROUP.1, words);
            if said.err.contains("this build records nothing") {
                // The router's: nobody is told more.
                assert_eq!(said.code, Some(1), "{words:?}");
                continue;
            }
            assert_eq!((said.code, said.err), (Some(77), not_allowed(&dir)), "{words:?}");
        }
        let after = as_root(&lab, Side::A, &["status", "--json"]).out;
        assert_eq!(first_group(&after)["term"], first_group(&before)["term"], "nothing has moved");
        for words in [&["status"][..], &["why"], &["peer", "status"], &["online"]] {
            let said = as_user(&dir, NO_GROUP, words);
            assert_eq!(
                (said.code, said.out.as_str(), said.err),
                (Some(77), "", not_allowed(&dir)),
                "{words:?}"
            );
        }
        for words in [&["status", "--json"][..], &["why", "--json"]] {
            let said = as_user(&dir, NO_GROUP, words);
            let object: Value = serde_json::from_str(&said.err).expect("one object");
            let text = not_allowed(&dir);
            let expected = serde_json::json!({ "code": 77, "error": "not_allowed", "text": text.trim_end() });
            assert_eq!((said.code, said.out.as_str(), object), (Some(77), "", expected), "{words:?}");
        }
        let said = as_user(&dir, NO_GROUP, &["status", "--nagios"]);
        assert!(said.code == Some(3) && said.out.starts_with("CROSSWIRE UNKNOWN: not allowed"), "{said:?}");
    });
}

/// Each is another thing to do about it.
#[test]
fn a_member_is_told_a_daemon_that_hangs_from_one_that_was_killed() {
    in_lab(|| {
        if !has_others() {
            return;
        }
        let mut lab = lab(&[Side::A]);
        let dir = run_dir(&lab, Side::A);
        lab.signal_all(Side::A, Signal::SIGSTOP).expect("stopped");
        let said = as_user(&dir, GROUP.1, &["status"]);
        assert!(said.code == Some(6) && said.err.contains("does not answer: it hangs"), "{said:?}");
        lab.kill(Side::A).expect("killed");
        let gone = || Ok(as_user(&dir, GROUP.1, &["status"]).code == Some(3));
        wait_until("the agent's end", PATIENCE, gone).expect("no daemon");
        let said = as_user(&dir, GROUP.1, &["status"]);
        assert!(said.err.starts_with("no daemon runs in "), "{said:?}");
    });
}

#[test]
fn a_group_that_this_box_lacks_fails_check_and_nobody_but_root_may_ask() {
    in_lab(|| {
        if !has_others() {
            return;
        }
        let mut lab = lab(&[]);
        let file = lab.directory(Side::A).join("crosswire.toml");
        let text = fs::read_to_string(&file).expect("a configuration");
        fs::write(&file, text.replace("\"games\"", "\"no-such-group\"")).expect("written");
        let mut command = Command::new(binary_file());
        command.args(["check", "--node", "gw1", "--config"]).arg(&file);
        lab.namespace(Side::A).command_in(&mut command).expect("a descriptor");
        let said = say(command);
        let what = "there is no group \"no-such-group\" in /etc/group of this box; make it with \
            `groupadd -r`, or name another one\n";
        assert!(said.code == Some(78) && said.err.ends_with(what), "{said:?}");
        lab.start(Side::A).expect("it starts all the same");
        let asked = || Ok(as_root(&lab, Side::A, &["status"]).code == Some(5));
        wait_until("an answer", PATIENCE, asked).expect("it answers");
        let dir = run_dir(&lab, Side::A);
        assert!(!dir.join("query").exists());
        let said = as_user(&dir, GROUP.1, &["status"]);
        let expected = format!("not allowed to ask the daemon in {}: run this as root\n", dir.display());
        assert_eq!((said.code, said.err), (Some(77), expected));
    });
}

/// Somebody who listens in the daemon's place, and does that with each who asks.
fn stand_in(dir: &Path, serve: impl Fn(RawFd) + Send + 'static) {
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
    let listener = listener.expect("a socket");
    let address = UnixAddr::new(&dir.join("control")).expect("short");
    bind(listener.as_raw_fd(), &address).expect("bound");
    listen(&listener, Backlog::new(4).expect("few")).expect("it listens");
    std::thread::spawn(move || {
        while let Ok(client) = accept(listener.as_raw_fd()) {
            serve(client);
        }
    });
}

/// A daemon that does not run, hangs, is of another version or ends the connection. In text and as JSON, on
/// standard error alone, with the code of each.
#[test]
fn why_nobody_answers_is_told_apart_for_people_and_programs() {
    let places = [(); 4].map(|()| tempfile::tempdir().expect("a directory"));
    let [_, hanging, other, ending] = &places;
    stand_in(hanging.path(), |_| {});
    // What is asked is read, or its end would be a reset.
    stand_in(other.path(), |client| {
        let _ = recv(client, &mut [0; 256], MsgFlags::empty());
        let _ = send(client, &[0xff; 9], MsgFlags::MSG_NOSIGNAL);
        close(client).expect("it was open");
    });
    stand_in(ending.path(), |client| {
        let _ = recv(client, &mut [0; 256], MsgFlags::empty());
        close(client).expect("it was open");
    });
    let causes = [
        (3, "no_daemon", "no daemon runs in "),
        (6, "hangs", "does not answer: it hangs."),
        (1, "refused", "it is of another version: restart it"),
        (1, "refused", " ended the connection: ask again"),
    ];
    for (place, (code, error, words)) in places.iter().zip(causes) {
        for what in ["status", "why"] {
            let ask = |more: &[&str]| {
                let mut command = Command::new(binary_file());
                command.arg(what).args(more).arg("--run-dir").arg(place.path());
                say(command)
            };
            let said = ask(&[]);
            assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{what}: {said:?}");
            assert!(said.err.contains(words) && said.err.lines().count() == 1, "{what}: {said:?}");
            let told = ask(&["--json"]);
            assert_eq!((told.code, told.out.as_str()), (Some(code), ""), "{what}: {told:?}");
            let object: Value = serde_json::from_str(&told.err).expect("one object");
            let expected = serde_json::json!({ "code": code, "error": error, "text": said.err.trim_end() });
            assert_eq!(object, expected, "{what}");
        }
    }
}

/// What the daemon answers to a question for its peer: the peer's text.
fn peer_says(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short");
    // The sixth kind of answer, a text; its length in seven bits a byte.
    let low = u8::try_from(length & 0x7f).expect("seven bits") | 0x80;
    let high = u8::try_from(length >> 7).expect("seven bits");
    [&[5, 0, low, high], text.as_bytes()].concat()
}

/// A peer of an older version tells nothing, one of a later version something else, and one that means harm
/// whatever moves a terminal.
#[test]
fn a_peer_that_tells_no_settings_or_harmful_ones_is_compared_with_nothing() {
    let harm = "digest 1\ncrosswire 2\npair \x1b[2Jlab\rx\nx\u{202e}y \u{9b}31m\n";
    let cases = [
        ("", 3, "not asked: gw2, or the daemon here, is of an older version"),
        ("digest 1\ncrosswire 99\n", 3, "not asked: gw2 is of another version"),
        (harm, 1, "pair: here lab, on gw2 ?[2Jlab?x"),
    ];
    in_lab(|| {
        let lab = lab(&[]);
        let file = lab.directory(Side::A).join("crosswire.toml");
        for (text, code, words) in cases {
            let dir = tempfile::tempdir().expect("a directory");
            stand_in(dir.path(), move |client| {
                let _ = recv(client, &mut [0; 256], MsgFlags::empty());
                let _ = send(client, &peer_says(text), MsgFlags::MSG_NOSIGNAL);
                close(client).expect("it was open");
            });
            let mut command = Command::new(binary_file());
            command.args(["check", "--peer", "--node", "gw1", "--config"]).arg(&file);
            command.arg("--run-dir").arg(dir.path());
            lab.namespace(Side::A).command_in(&mut command).expect("a descriptor");
            let said = say(command);
            if said.err.contains("this build has no check --peer") {
                // The router's build compares nothing.
                assert_eq!(said.code, Some(2), "{said:?}");
                return;
            }
            let all = format!("{}{}", said.out, said.err);
            assert!(said.code == Some(code) && all.contains(words), "{text:?}: {said:?}");
            let is_plain = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
            assert!(all.chars().all(is_plain), "{text:?}: {said:?}");
        }
    });
}

/// Connects and sends without end, as fast as it can: what is no question, and questions.
fn flood(path: &Path, is_over: &AtomicBool) -> u32 {
    let mut sent = 0;
    let address = UnixAddr::new(path).expect("short");
    while !is_over.load(Ordering::Relaxed) {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let client = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("a socket");
        if connect(client.as_raw_fd(), &address).is_ok() {
            let says: &[u8] = if sent % 2 == 0 { &[0xff; 4_000] } else { &[0] };
            let _ = send(client.as_raw_fd(), says, MsgFlags::MSG_NOSIGNAL);
            sent += 1;
        }
    }
    sent
}

#[test]
fn a_flood_by_a_member_delays_no_beat_and_shuts_root_out_of_nothing() {
    in_lab(|| {
        let mut lab = lab(&[Side::A, Side::B]);
        wait_until_both_are_well(&lab);
        let path = run_dir(&lab, Side::A).join("query");
        if !is_given("the group of the test", path.exists()) {
            return;
        }
        let agent = lab.agent(Side::A).expect("it runs");
        let cpu = || {
            let stat = fs::read_to_string(format!("/proc/{agent}/stat")).expect("it runs");
            let fields: Vec<u64> = stat.split(' ').filter_map(|field| field.parse().ok()).collect();
            // utime and stime: the name and the state before them are no numbers.
            fields[11] + fields[12]
        };
        let is_over = AtomicBool::new(false);
        let before = cpu();
        let sent = std::thread::scope(|scope| {
            let flood = scope.spawn(|| flood(&path, &is_over));
            for _ in 0..20 {
                let said = as_root(&lab, Side::A, &["status"]);
                assert!(said.code == Some(0), "{said:?}\n{}", lab.story());
                std::thread::sleep(Duration::from_millis(100));
            }
            is_over.store(true, Ordering::Relaxed);
            flood.join().expect("it ends")
        });
        let ticks = cpu() - before;
        assert!(sent > 20, "{sent}");
        // Two seconds at least, in ticks of 10 ms.
        assert!(ticks < 60, "{ticks} ticks for {sent} questions");
        assert_eq!(lab.agent(Side::A).expect("it runs"), agent, "the same agent");
        for side in [Side::A, Side::B] {
            let status: Value =
                serde_json::from_str(&as_root(&lab, side, &["status", "--json"]).out).expect("JSON");
            assert_eq!(status["jeopardy"], false, "{status}");
        }
        kill(agent, None).expect("it lives");
    });
}
