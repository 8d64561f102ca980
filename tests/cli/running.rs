//! Commands about a daemon that runs, and daemons that start although something is missing.

use std::fs::{self, File};
use std::io::pipe;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crosswire::pair::Side;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use serde_json::Value;

use crate::lab::Lab;
use crate::lab::clock::wait_until;
use crate::lab::setup::Setup;
use crate::lab::testing::in_lab;
use crate::place::{Said, binary, binary_file, say, workstation_file};

const PATIENCE: Duration = Duration::from_secs(30);

fn lab() -> Lab {
    Lab::new(&binary_file(), Setup::default()).expect("a laboratory")
}

fn status(lab: &Lab, side: Side) -> Option<Value> {
    serde_json::from_str(&say(lab.command(side, &["status", "--json"]).expect("a command")).out).ok()
}

/// Waits until a node's status is as it should be.
fn wait_for_status(lab: &Lab, side: Side, what: &str, is_so: impl Fn(&Value) -> bool) {
    let found = wait_until(what, PATIENCE, || Ok(status(lab, side).is_some_and(|status| is_so(&status))));
    found.unwrap_or_else(|e| panic!("{e}\n{:?}\n{}", status(lab, side), lab.story()));
}

fn started(lab: &mut Lab, side: Side) {
    lab.start(side).expect("it can be started");
    wait_for_status(lab, side, "an answer", |_| true);
}

fn rewrite(lab: &Lab, side: Side, from: &str, to: &str) {
    let file = lab.directory(side).join("crosswire.toml");
    let text = fs::read_to_string(&file).expect("a configuration");
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    fs::write(&file, text.replace(from, to)).expect("written");
}

/// A command with a node's configuration, inside the node.
fn with_config(lab: &Lab, side: Side, arguments: &[&str]) -> Command {
    let mut command = binary();
    command.args(arguments).arg("--config").arg(lab.directory(side).join("crosswire.toml"));
    lab.namespace(side).command_in(&mut command).expect("a descriptor");
    command
}

#[test]
fn what_an_earlier_run_has_left_is_read_and_complained_of_once() {
    in_lab(|| {
        let mut lab = lab();
        let run_dir = lab.directory(Side::A).join("run");
        fs::create_dir_all(&run_dir).expect("a directory");
        fs::write(run_dir.join("started"), "half of a pa").expect("written");
        started(&mut lab, Side::A);
        let log = fs::read_to_string(lab.directory(Side::A).join("log")).expect("a log");
        assert_eq!(log.matches("cannot be understood").count(), 1, "{log}");
    });
}

#[test]
fn a_second_run_refuses_and_disturbs_nothing() {
    in_lab(|| {
        let mut lab = lab();
        started(&mut lab, Side::A);
        let guard = lab.guard(Side::A).expect("it runs");
        let run_dirs = [lab.directory(Side::A).join("run"), lab.directory(Side::A).join("elsewhere")];
        for (run_dir, process) in run_dirs.iter().zip([format!(" (process {guard})"), String::new()]) {
            let mut command = with_config(&lab, Side::A, &["run", "--foreground", "--node", "gw1"]);
            command.arg("--run-dir").arg(run_dir);
            let Said { code, out, err } = say(command);
            let expected = format!(
                "crosswire: a daemon runs already for pair lab, node gw1 on this box{process}: stop that \
                    one first\n"
            );
            assert_eq!((code, out.as_str(), err), (Some(1), "", expected));
        }
        assert!(status(&lab, Side::A).is_some(), "the first one still answers");
        assert_eq!(lab.guard(Side::A).expect("it runs"), guard);
        assert_eq!(lab.stop(Side::A, PATIENCE).expect("it ends").code(), Some(0));
        started(&mut lab, Side::A);
    });
}

#[test]
fn a_service_manager_is_told_that_it_is_ready_that_it_lives_and_that_it_ends() {
    in_lab(|| {
        let lab = lab();
        let path = lab.directory(Side::A).join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        manager.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut command = with_config(&lab, Side::A, &["run", "--foreground", "--node", "gw1"]);
        command.arg("--run-dir").arg(lab.directory(Side::A).join("run"));
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "600000").stderr(Stdio::null());
        let mut daemon = command.spawn().expect("it starts");
        let next = || {
            let mut room = [0; 64];
            let length = manager.recv(&mut room).expect("it says something");
            String::from_utf8_lossy(&room[..length]).into_owned()
        };
        assert_eq!([next(), next(), next()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
        kill(Pid::from_raw(i32::try_from(daemon.id()).expect("a pid")), Signal::SIGTERM).expect("told");
        while next() != "STOPPING=1" {}
        assert_eq!(daemon.wait().expect("it ends").code(), Some(0));
    });
}

/// Whoever starts it may have no mask, sit in a directory that is to be taken away, and have something open
/// that is secret.
#[test]
fn nothing_of_the_caller_reaches_the_daemon_and_nothing_of_the_daemon_a_disk() {
    in_lab(|| {
        let lab = lab();
        let directory = lab.directory(Side::A);
        let (run_dir, secret) = (directory.join("run"), directory.join("secret"));
        let leak = File::create(&secret).expect("a file");
        let mut command = with_config(&lab, Side::A, &["run", "--foreground", "--node", "gw1"]);
        command
            .arg("--run-dir")
            .arg(&run_dir)
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let leaked = leak.as_raw_fd();
        let prepare = move || {
            umask(Mode::empty());
            // SAFETY: it lives until the end of the test.
            fcntl(unsafe { BorrowedFd::borrow_raw(leaked) }, FcntlArg::F_SETFD(FdFlag::empty()))?;
            setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY)?;
            Ok(())
        };
        // SAFETY: the closure makes system calls only, on a descriptor that lives until the end of the test.
        unsafe { command.pre_exec(prepare) };
        let mut daemon = command.spawn().expect("it starts");
        wait_for_status(&lab, Side::A, "an answer", |_| true);
        let guard = daemon.id();
        let children = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap_or_default();
        let agent: u32 = children.trim().parse().expect("one child");
        for process in [guard, agent] {
            let open = fs::read_dir(format!("/proc/{process}/fd")).expect("its descriptors").flatten();
            let files: Vec<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
            assert!(!files.contains(&secret), "process {process}: {files:?}");
        }
        assert_eq!(fs::read_link(format!("/proc/{guard}/cwd")).expect("a directory"), Path::new("/"));
        let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
        let modes =
            [&run_dir, &run_dir.join("crosswire.pid"), &run_dir.join("control")].map(|path| mode(path));
        assert_eq!(modes, [0o755, 0o644, 0o600]);
        kill(Pid::from_raw(i32::try_from(guard).expect("a pid")), Signal::SIGABRT).expect("hit");
        let end = daemon.wait().expect("it ends");
        assert!(!end.core_dumped(), "{end}: the keys are in its memory");
        drop(leak);
    });
}

#[test]
fn an_interface_that_is_absent_fails_check_but_not_run() {
    in_lab(|| {
        let mut lab = lab();
        for side in [Side::A, Side::B] {
            rewrite(&lab, side, "interface = \"eth0\"", "interface = \"eth9\"");
        }
        let checked = say(with_config(&lab, Side::A, &["check", "--node", "gw1"]));
        assert_eq!(checked.code, Some(78), "{checked:?}");
        let expected = "there is no interface \"eth9\" on this box; see `ip link` for those that there are, \
            and correct the name\n";
        assert!(checked.err.ends_with(expected), "{checked:?}");
        let asked = say(with_config(&lab, Side::A, &["run", "--check", "--node", "gw1"]));
        assert!(
            asked.code == Some(0) && asked.err.starts_with("warning: ") && asked.err.ends_with(expected),
            "{asked:?}"
        );
        starts_with_one_path(&mut lab, "lan");
    });
}

#[test]
fn a_serial_port_that_is_absent_fails_check_but_not_run() {
    in_lab(|| {
        let mut lab = lab();
        for side in [Side::A, Side::B] {
            let device = lab.cable().device(side).display().to_string();
            rewrite(&lab, side, &device, "/dev/no-such-tty");
        }
        let checked = say(with_config(&lab, Side::A, &["check", "--node", "gw1"]));
        assert_eq!(checked.code, Some(78), "{checked:?}");
        let expected = "there is no serial port \"/dev/no-such-tty\" on this box (No such file or directory \
            (os error 2)); \
                        plug it in, or set serial in the node's table if it differs here\n";
        assert!(checked.err.ends_with(expected), "{checked:?}");
        starts_with_one_path(&mut lab, "serial");
    });
}

/// What only the box itself can know: the address is its own, on another interface.
#[test]
fn a_witness_that_this_box_is_itself_is_refused_by_check_and_run() {
    in_lab(|| {
        let lab =
            Lab::new(&binary_file(), Setup { second_lan: true, ..Setup::default() }).expect("a laboratory");
        rewrite(&lab, Side::A, "[group.gateway]", "[quorum]\nwitness = [\"10.78.0.1\"]\n[group.gateway]");
        let what = "10.78.0.1 is an address of this box: as a witness it says nothing of who is cut off; ";
        for words in [&["check", "--node", "gw1"][..], &["run", "--foreground", "--node", "gw1"]] {
            let said = say(with_config(&lab, Side::A, words));
            assert_eq!(said.code, Some(78), "{words:?}: {said:?}");
            assert!(format!("{}{}", said.out, said.err).contains(what), "{words:?}: {said:?}");
        }
        rewrite(&lab, Side::A, "10.78.0.1", "10.78.0.2");
        let said = say(with_config(&lab, Side::A, &["check", "--node", "gw1"]));
        assert_eq!(said.code, Some(0), "{said:?}");
    });
}

/// Nobody but the peer was ever met on the interface: is it a cable from box to box?
#[test]
fn check_asks_whether_a_lan_of_two_boxes_is_a_cable() {
    in_lab(|| {
        let mut lab =
            Lab::new(&binary_file(), Setup { second_lan: true, ..Setup::default() }).expect("a laboratory");
        for side in [Side::A, Side::B] {
            rewrite(&lab, side, "lan = \"10.77.0.1\"", "lan = \"10.78.0.1\"");
            rewrite(&lab, side, "lan = \"10.77.0.2\"", "lan = \"10.78.0.2\"");
            rewrite(&lab, side, "[lan]\ninterface = \"eth0\"", "[lan]\ninterface = \"eth1\"");
        }
        started(&mut lab, Side::A);
        started(&mut lab, Side::B);
        wait_for_status(&lab, Side::A, "a pair at rest", |status| status["paths"][1]["state"] == "on time");
        let check = || say(with_config(&lab, Side::A, &["check", "-v", "--node", "gw1"])).out;
        let question = "only gw2 can be at its other end. If no switch is between: set link = \"crossover\"";
        assert!(check().contains(question), "{}", check());
        rewrite(&lab, Side::A, "interface = \"eth1\"", "interface = \"eth1\"\nlink = \"crossover\"");
        let said = check();
        assert!(!said.contains(question) && said.contains("by a cable to the peer alone"), "{said}");
    });
}

/// Without its pid file nothing would find the daemon again: the init script could neither stop nor reload
/// it.
#[test]
fn a_start_without_room_for_the_pid_file_fails_and_says_so() {
    in_lab(|| {
        let lab = lab();
        let run_dir = lab.directory(Side::A).join("run");
        fs::create_dir_all(&run_dir).expect("a directory");
        let script = format!(
            "mount -t tmpfs -o size=4k,mode=755 full {0} && head -c 4096 /dev/zero >{0}/fill && exec \"$@\"",
            run_dir.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", &script, "sh"]);
        command.arg(binary_file()).args(["run", "--node", "gw1", "--config"]);
        command.arg(lab.directory(Side::A).join("crosswire.toml")).arg("--run-dir").arg(&run_dir);
        lab.namespace(Side::A).command_in(&mut command).expect("a descriptor");
        let said = say(command);
        assert_eq!(said.code, Some(1), "{said:?}");
        let what = format!(
            "crosswire: the pid file {} cannot be written: No space left",
            run_dir.join("crosswire.pid").display()
        );
        assert!(said.err.starts_with(&what), "{said:?}");
    });
}

/// Both nodes start, one path blind; that is said once by each agent, and the other path is enough to serve.
fn starts_with_one_path(lab: &mut Lab, blind: &str) {
    started(lab, Side::A);
    started(lab, Side::B);
    wait_for_status(lab, Side::A, "service with one path", |status| {
        let paths = status["paths"].as_array().cloned().unwrap_or_default();
        let state = |path: &Value| if path["name"] == blind { "blind" } else { "on time" };
        status["groups"][0]["role"] == "active"
            && paths.len() == 2
            && paths.iter().all(|path| path["state"] == state(path))
    });
    wait_for_status(lab, Side::A, "jeopardy", |status| status["jeopardy"] == true);
    assert_eq!(say(lab.command(Side::A, &["status"]).expect("a command")).code, Some(4));
    // Longer than it takes to try again.
    std::thread::sleep(Duration::from_millis(2_500));
    let story = lab.story();
    // On a busy machine a guard may have put another agent in the place of one that was late.
    let agents = 2 + story.matches("another one goes on in its place").count();
    let said = story.matches(&format!("path {blind}: the port is away")).count();
    assert!((2..=agents).contains(&said), "{said} times by {agents} agents:\n{story}");
}

#[test]
fn status_of_a_pair_at_rest_ends_with_0_and_a_closed_pipe_is_no_panic() {
    in_lab(|| {
        let mut lab = lab();
        started(&mut lab, Side::A);
        started(&mut lab, Side::B);
        wait_for_status(&lab, Side::A, "a pair at rest", |status| {
            status["jeopardy"] == false && status["groups"][0]["role"] == "active"
        });
        for arguments in [&["status"][..], &["status", "--json"]] {
            let said = say(lab.command(Side::A, arguments).expect("a command"));
            assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
            let (reader, writer) = pipe().expect("a pipe");
            drop(reader);
            let mut command = lab.command(Side::A, arguments).expect("a command");
            command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
            let code = command.status().expect("the binary can be run").code();
            assert_eq!(code, Some(0), "{arguments:?}");
        }
        if cfg!(feature = "picture") {
            let file = lab.directory(Side::A).join("status.html");
            let mut command = Command::new(workstation_file());
            command.args(["status", "--html"]).arg(&file);
            command.arg("--run-dir").arg(lab.directory(Side::A).join("run"));
            let said = say(command);
            assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "", ""));
            let page = fs::read_to_string(&file).expect("a page");
            assert!(page.contains(">gw1 serves gateway; gw2 could take over</h1>"), "{page}");
        }
        assert!(!lab.story().contains("00112233"), "no key in a log");
    });
}
