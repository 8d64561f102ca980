//! The way into the laboratory, and what is left after it has gone: nothing.

use std::env;
use std::fs;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, geteuid};

use crate::lab::Lab;
use crate::lab::clock::wait_until;
use crate::lab::entry::{Standing, again_as_root, become_root, enter, standing};
use crate::lab::process::Nursery;
use crate::lab::setup::Setup;
use crate::lab::testing::{in_fair_lab, in_lab, take_turn};
use crate::processes::start_family;
use crate::{SOON, build};

/// The user and group number without rights on every Linux.
const NOBODY: u32 = 65_534;

fn open_files() -> Vec<String> {
    let links =
        fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let mut names: Vec<String> = links.map(|link| link.display().to_string()).collect();
    names.retain(|name| !name.starts_with("/proc/"));
    names.sort();
    names
}

fn lab_threads() -> Vec<String> {
    // The first thread is called after the program, which is called after this file.
    let first = std::process::id().to_string();
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten().filter(|task| *task.file_name() != *first);
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lab-")).collect()
}

#[test]
fn nothing_is_left_after_the_last_lab_has_gone() {
    in_lab(|| {
        let files = open_files();
        let (directory, pids) = {
            let lab = build(Setup { second_lan: true, ..Setup::default() });
            let log = lab.directory(Side::B).join("log");
            let nursery = Nursery::new().unwrap();
            // Forgotten on purpose: the node must take it along.
            mem::forget(start_family(&nursery, lab.namespace(Side::B), &log));
            assert!(lab_threads().len() >= 4, "{:?}", lab_threads());
            assert!(open_files().len() > files.len());
            let pids: Vec<Pid> = lab.processes(Side::B).unwrap().iter().map(|process| process.pid).collect();
            (lab.directory(Side::A).parent().unwrap().to_owned(), pids)
        };
        assert_eq!(lab_threads(), Vec::<String>::new());
        // Other tests of this process open and close files meanwhile.
        let are_closed = || {
            let (now, mut before) = (open_files(), files.clone());
            let mut is_known =
                |file: &String| before.iter().position(|known| known == file).map(|at| before.remove(at));
            Ok(now.iter().all(|file| is_known(file).is_some()))
        };
        wait_until("the files of the laboratory to be closed", SOON, are_closed).unwrap();
        assert!(!directory.exists());
        assert_eq!(pids.len(), 3);
        for pid in pids {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            assert!(stat.is_empty() || stat.contains(") Z"), "{stat}");
        }
    });
}

/// Processor time of a lab thread so far, in the kernel's ticks of 10 ms (proc(5), fields 14 and 15); none
/// until the new thread has given itself its name.
fn ticks_of(thread: &str) -> Option<u64> {
    let stats = fs::read_dir("/proc/self/task").unwrap().flatten();
    let mut stats = stats.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let stat = stats.find(|stat| stat.contains(&format!("({thread})")))?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
}

#[test]
fn threads_sleep_when_nothing_happens_also_with_everything_broken() {
    in_fair_lab(|| {
        let lab = build(Setup { ping_step: Duration::from_millis(100), ..Setup::default() });
        let threads = ["lab-switch", "lab-cable", "lab-observer", "lab-ping"];
        wait_until("all threads", SOON, || Ok(threads.iter().all(|name| ticks_of(name).is_some()))).unwrap();
        let all_ticks = || threads.iter().filter_map(|name| ticks_of(name)).sum::<u64>();
        let idle_ticks = || {
            let before = all_ticks();
            thread::sleep(Duration::from_secs(1));
            all_ticks() - before
        };
        let whole = idle_ticks();
        lab.set_carrier(Side::A, false).unwrap();
        lab.cable().cut();
        // A node whose interface has vanished altogether.
        lab.namespace(Side::B).rtnl().delete_link(lab.interface(Side::B)).unwrap();
        let broken = idle_ticks();
        println!("threads of an idle lab: {whole} ticks of 100, of a broken one {broken}");
        assert!(whole <= 10 && broken <= 10, "{whole} and {broken} ticks of 100");
    });
}

#[test]
fn both_nodes_get_their_files() {
    in_lab(|| {
        let mut lab = build(Setup::default());
        let read = |lab: &Lab, side, name: &str| fs::read_to_string(lab.directory(side).join(name)).unwrap();
        let own = |lab: &Lab, side| format!("{}/", lab.directory(side).display());
        let text_a = read(&lab, Side::A, "crosswire.toml");
        let text_b = read(&lab, Side::B, "crosswire.toml");
        assert_eq!(text_a.replace(&own(&lab, Side::A), ""), text_b.replace(&own(&lab, Side::B), ""));
        assert_ne!(text_a, text_b);
        assert_eq!(read(&lab, Side::A, "key"), read(&lab, Side::B, "key"));
        lab.reconfigure(Side::B, |setup| setup.keys[1] = "ff".repeat(16)).unwrap();
        assert_eq!(read(&lab, Side::B, "key"), format!("1 {}\n", "ff".repeat(16)));
        let mode = fs::metadata(lab.directory(Side::B).join("key")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}

/// Without root, everything above runs inside user namespaces anyway; with root, this shows that it would.
#[test]
fn the_laboratory_needs_no_root() {
    if !geteuid().is_root() || env::var_os("CROSSWIRE_LAB_INSIDE").is_some() {
        return;
    }
    let _turn = take_turn();
    for test in [
        "switch::ping_goes_through_the_switch",
        "switch::ipv6_addresses_answer_too",
        "switch::a_lost_carrier_is_seen_by_that_node_alone_and_a_silent_port_by_none",
        "switch::a_client_clings_to_the_old_holder_until_the_new_one_announces_itself",
        "cable::a_port_can_be_opened_again_after_an_exclusive_user_has_closed_it",
        "observer::the_observer_keeps_the_order_of_two_kernels_at_full_speed",
        "observer::a_lifetime_that_runs_out_ends_the_hold_and_a_renewal_starts_none",
        "processes::every_process_of_a_node_is_found_and_killed_orphans_included",
        "coming_and_going::nothing_is_left_after_the_last_lab_has_gone",
    ] {
        let mut command = Command::new("/proc/self/exe");
        command
            .args([test, "--exact", "--nocapture"])
            .uid(NOBODY)
            .gid(NOBODY)
            .current_dir("/")
            .env_remove("TMPDIR");
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{test} fails without root:\n{text}\n{errors}");
        assert_eq!(text.matches("1 passed").count(), 2, "{test}: once outside, once inside:\n{text}");
    }
}

/// Which part of the next two tests a program that was started again shall play.
const PART: &str = "CROSSWIRE_LAB_TEST_PART";

#[test]
fn a_program_can_turn_into_root_in_place() {
    let test = "coming_and_going::a_program_can_turn_into_root_in_place";
    let again = [test, "--exact", "--nocapture"];
    match env::var(PART).as_deref() {
        Ok("before") => {
            // The test harness has threads, `crosswire demo` has none yet: a forked child is like it. SAFETY:
            // the only other thread waits for this one, so it holds no lock that the child would wait for.
            match unsafe { fork() }.unwrap() {
                ForkResult::Parent { child } => {
                    assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0))
                }
                ForkResult::Child => {
                    // SAFETY: the child has a single thread.
                    unsafe { env::set_var(PART, "after") };
                    println!("\nnumber {}", std::process::id());
                    eprintln!("{}", become_root(again));
                    std::process::exit(9);
                }
            }
        }
        Ok("after") => {
            assert_eq!(standing().unwrap(), Standing::Root);
            println!("\nroot with number {}", std::process::id());
        }
        _ => {
            let _turn = take_turn();
            let mut command = Command::new("/proc/self/exe");
            command.args(again).env(PART, "before");
            if geteuid().is_root() {
                command.uid(NOBODY).gid(NOBODY).current_dir("/");
            }
            let output = command.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            print!("{text}");
            assert!(output.status.success(), "{text}");
            let number =
                |mark: &str| text.lines().find_map(|line| line.strip_prefix(mark)).map(str::to_owned);
            assert!(
                number("number ").is_some() && number("number ") == number("root with number "),
                "{text}"
            );
        }
    }
}

#[test]
fn a_refusal_names_the_setting_and_the_way_out() {
    let test = "coming_and_going::a_refusal_names_the_setting_and_the_way_out";
    if env::var_os(PART).is_some() {
        // Counts for this user namespace alone.
        fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
        let e = enter(&mut again_as_root(["never run"]).unwrap()).unwrap_err().to_string();
        assert!(
            e.contains("run it as root") && e.contains("sysctl user.max_user_namespaces=1000 (now 0)"),
            "{e}"
        );
        println!("refused: {e}");
        return;
    }
    let _turn = take_turn();
    let mut command = again_as_root([test, "--exact", "--nocapture"]).unwrap();
    let output = enter(command.env(PART, "inside").stdout(Stdio::piped()).stderr(Stdio::piped()));
    let output = output.unwrap().wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    print!("{text}");
    assert!(output.status.success() && text.contains("refused: "), "{text}");
}
