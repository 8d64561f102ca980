//! Daemons: started, found, killed, never left over.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::Lab;
use crate::lab::clock::wait_until;
use crate::lab::executable::write_executable;
use crate::lab::namespace::Namespace;
use crate::lab::process::{NodeProcess, Nursery, kill_all_in, processes_in};
use crate::lab::setup::{Scratch, Setup};
use crate::lab::testing::in_lab;
use crate::{SOON, ms};

/// Two generations, the younger one orphaned: what a daemon that lost its guard looks like.
fn family() -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "(sleep 1000 & echo orphan >&2); sleep 1000 & echo ready >&2; wait"]);
    command
}

pub(crate) fn start_family(nursery: &Nursery, namespace: &Namespace, log: &Path) -> NodeProcess {
    let process = NodeProcess::start(nursery, namespace, family(), log).unwrap();
    wait_until("a family", SOON, || {
        Ok(process.output()?.contains("ready")
            && process.first_child()?.is_some()
            && processes_in(namespace)?.len() == 3)
    })
    .unwrap();
    process
}

#[test]
fn every_process_of_a_node_is_found_and_killed_orphans_included() {
    in_lab(|| {
        let nursery = Nursery::new().unwrap();
        let namespace = Namespace::new("node").unwrap();
        let other = Namespace::new("other").unwrap();
        let scratch = Scratch::new().unwrap();
        let mut process = start_family(&nursery, &namespace, &scratch.path().join("log"));
        let bystander = start_family(&nursery, &other, &scratch.path().join("other"));
        assert!(process.ended().unwrap().is_none());
        process.signal(Signal::SIGSTOP).unwrap();
        let child = process.first_child().unwrap().unwrap();
        assert!(
            processes_in(&namespace)
                .unwrap()
                .iter()
                .any(|found| found.pid == child && found.parent == process.pid())
        );
        kill_all_in(&namespace).unwrap();
        assert_eq!(processes_in(&namespace).unwrap(), []);
        assert!(!process.wait_for_end(SOON).unwrap().success());
        assert!(process.signal(Signal::SIGTERM).is_err(), "its number may be another's by now");
        assert_eq!(processes_in(&other).unwrap().len(), 3, "and nobody else");
        kill_all_in(&other).unwrap();
        drop(bystander);
    });
}

#[test]
fn a_daemon_outlives_the_thread_that_asked_for_it() {
    in_lab(|| {
        let nursery = Nursery::new().unwrap();
        let namespace = Namespace::new("node").unwrap();
        let scratch = Scratch::new().unwrap();
        let log = scratch.path().join("log");
        let mut process =
            thread::scope(|scope| scope.spawn(|| start_family(&nursery, &namespace, &log)).join().unwrap());
        thread::sleep(ms(50));
        assert!(process.ended().unwrap().is_none());
        kill_all_in(&namespace).unwrap();
    });
}

/// Set for the program that is to be killed in the next test.
const VICTIM: &str = "CROSSWIRE_LAB_TEST_VICTIM";

#[test]
fn daemons_die_with_a_laboratory_that_is_killed() {
    in_lab(|| {
        if std::env::var_os(VICTIM).is_some() {
            let mut lab = Lab::new(Path::new("/bin/sh"), Setup::default()).unwrap();
            let log = lab.directory(Side::A).join("log");
            let nursery = Nursery::new().unwrap();
            let process = start_family(&nursery, lab.namespace(Side::A), &log);
            println!("\nstarted {}", process.pid());
            thread::sleep(Duration::from_secs(30));
            lab.kill(Side::A).unwrap();
            return;
        }
        // What it leaves lies in our directory and goes with it.
        let scratch = Scratch::new().unwrap();
        let mut victim = Command::new("/proc/self/exe")
            .args(["processes::daemons_die_with_a_laboratory_that_is_killed", "--exact", "--nocapture"])
            .env(VICTIM, "1")
            .env("TMPDIR", scratch.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let started =
            lines.map_while(Result::ok).find_map(|line| line.strip_prefix("started ")?.parse().ok());
        let daemon = Pid::from_raw(started.expect("the victim starts a daemon"));
        assert!(kill(daemon, None).is_ok());
        victim.kill().unwrap();
        victim.wait().unwrap();
        wait_until("the daemon's death", SOON, || {
            let stat = fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap_or_default();
            Ok(stat.is_empty() || stat.contains(") Z"))
        })
        .unwrap();
        // Its children are not covered by the kernel's promise; here nobody else ends them.
        end_strays();
    });
}

/// Kills the sleeping children of the killed daemon, which belong to no namespace that we hold.
fn end_strays() {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("environ")).unwrap_or_default();
        let is_ours = String::from_utf8_lossy(&line).split('\0').any(|pair| pair == format!("{VICTIM}=1"));
        if let (true, Ok(pid)) = (is_ours, entry.file_name().to_string_lossy().parse()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Stands in for the shipped binary: says what it was told, has a child, ends when asked.
const DAEMON: &str = "#!/bin/sh\ntrap 'echo asked to end >&2; kill $!; exit 3' TERM\nsleep 1000 &\n\
    echo \"started: $*\" >&2\nwait\n";

#[test]
fn a_lab_starts_stops_and_kills_the_binary_it_was_given() {
    in_lab(|| {
        let scratch = Scratch::new().unwrap();
        let binary = scratch.path().join("daemon");
        write_executable(&binary, DAEMON);
        let mut lab = Lab::new(&binary, Setup::default()).unwrap();
        assert!(lab.guard(Side::A).is_err(), "nothing runs yet");
        for side in [Side::A, Side::B] {
            lab.start(side).unwrap();
            let number = side.index() + 1;
            let runs =
                |lab: &mut Lab| lab.story().matches("started").count() == number && lab.agent(side).is_ok();
            wait_until("the daemon", SOON, || Ok(runs(&mut lab))).unwrap();
            assert_eq!(lab.processes(side).unwrap().len(), 2);
        }
        let directory = lab.directory(Side::B).display().to_string();
        let told = format!(
            "started: run --foreground --node gw2 --config {directory}/crosswire.toml --run-dir \
                {directory}/run"
        );
        assert!(lab.story().contains(&told), "{}", lab.story());
        assert!(lab.start(Side::B).is_err(), "it runs already");

        assert_eq!(lab.stop(Side::B, SOON).unwrap().code(), Some(3));
        assert!(lab.story().contains("asked to end"), "{}", lab.story());
        lab.start(Side::B).unwrap();

        let agent = lab.agent(Side::A).unwrap();
        lab.power_cut(Side::A).unwrap();
        assert_eq!(lab.processes(Side::A).unwrap(), []);
        let stat = fs::read_to_string(format!("/proc/{agent}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z"), "{stat}");
        assert!(lab.process(Side::B).unwrap().ended().unwrap().is_none(), "the other node is left alone");
        lab.power_on(Side::A).unwrap();
        lab.start(Side::A).unwrap();
    });
}

#[test]
fn a_command_about_a_node_runs_in_its_namespace() {
    in_lab(|| {
        let lab = Lab::new(Path::new("/bin/sh"), Setup::default()).unwrap();
        let output =
            lab.command(Side::B, &["-c", "readlink /proc/self/ns/net; echo $1"]).unwrap().output().unwrap();
        let run_dir = lab.directory(Side::B).join("run");
        let expected = format!("net:[{}]\n{}\n", lab.namespace(Side::B).inode(), run_dir.display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    });
}
