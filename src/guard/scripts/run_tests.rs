//! Real scripts, run as the guard runs them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{SigHandler, kill, signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{ForkResult, getpgid, pipe2 as make_pipe};

use super::*;
use crate::clock::now;
use crate::guard::scripts::spawn::{NODE_VARIABLE, environment};
use crate::guard::testing::executable::write_executable;
use crate::settings::Monitor;
use crate::sys::process::{fork, leave};

/// Longer than any script of these tests takes, however busy the machine is.
const LONG: Span = Span::from_s(60);

/// A script in a directory of its own that may take its time.
fn script(body: &str) -> (tempfile::TempDir, Script) {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("script");
    write_executable(&program, &format!("#!/bin/sh\ncd {}\n{body}", dir.path().display()));
    let script = Script::lsb("script", program, LONG);
    (dir, script)
}

fn start(script: &Script, action: Action) -> Run {
    let variables = [("CROSSWIRE_GROUP", "gateway"), (NODE_VARIABLE, "gw1")];
    let environment = environment(script, action, "gateway", 2, &variables);
    Run::start(script, action, &environment, now()).expect("a process")
}

/// How its first process has ended, if it has; not reaped.
fn how_it_ended(run: &Run) -> Option<Ended> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(run.pid()), flags).expect("a child") {
        WaitStatus::Exited(_, code) => Some(Ended::Exited(code)),
        WaitStatus::Signaled(_, signal, _) => Some(Ended::Killed(signal)),
        _ => None,
    }
}

/// Lives through the run as the guard's loop does; returns whether it succeeded.
fn to_end(run: &mut Run) -> bool {
    end_of(run) == End::Done
}

/// The same; returns how its end is to be taken.
fn end_of(run: &mut Run) -> End {
    loop {
        run.read_output();
        assert!(run.pass_deadline(now()), "it cannot be killed");
        if let Some(how) = how_it_ended(run) {
            let end = run.ended(how);
            waitpid(run.pid(), None).expect("reaped");
            return end;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Lets the clock reach the deadline, whatever time it is.
fn expire(run: &mut Run) {
    assert!(run.pass_deadline(run.deadline()), "there is something left to try");
}

fn file(dir: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(dir.path().join(name)).unwrap_or_default()
}

/// The process whose number the script writes into `child`.
fn child_of(dir: &tempfile::TempDir) -> Pid {
    wait_for("the script's child", || file(dir, "child").ends_with('\n'));
    Pid::from_raw(file(dir, "child").trim().parse().expect("a pid"))
}

fn is_alive(pid: Pid) -> bool {
    // A zombie that nobody reaps still has its pid. Its command line would not do: it is empty during an exec
    // too.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let give_up = now() + Span::from_s(30);
    while !is_so() {
        assert!(now() < give_up, "{what}: it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_script_sees_its_argument_and_environment_and_nothing_else() {
    let (dir, script) = script(
        "env | sort > env; echo $1 > argument; readlink /proc/self/fd/0 > input\ncut -d' ' -f6 /proc/$$/stat \
            > session; grep SigBlk /proc/self/status > mask",
    );
    let mut run = start(&script, Action::Start);
    let pid = run.pid();
    assert!(to_end(&mut run));
    let env = file(&dir, "env");
    assert!(env.contains("CROSSWIRE_GROUP=gateway\n") && env.contains("PATH=/usr/local/sbin:"), "{env}");
    assert!(!env.contains("HOME=") && !env.contains("CARGO"), "{env}");
    assert_eq!(file(&dir, "argument"), "start\n");
    assert_eq!(file(&dir, "input"), "/dev/null\n");
    assert_eq!(file(&dir, "session").trim(), pid.to_string());
    assert!(file(&dir, "mask").ends_with("0000000000000000\n"), "no signal stays blocked");
}

#[test]
fn exit_codes_mean_what_each_standard_says() {
    use Standard::{Exec, Ha, Lsb, Ocf, Systemd};
    for (standards, action, code, expected) in [
        (&[Lsb, Ocf, Ha, Exec, Systemd][..], Action::Start, 0, true),
        (&[Lsb, Ocf, Ha, Exec, Systemd], Action::Start, 1, false),
        (&[Lsb, Ocf, Ha, Exec, Systemd], Action::Start, 7, false),
        (&[Lsb, Ocf, Ha, Exec, Systemd], Action::Stop, 0, true),
        (&[Lsb, Ocf, Ha], Action::Stop, 7, true),
        (&[Exec, Systemd], Action::Stop, 7, false),
        (&[Lsb, Ocf, Ha, Exec], Action::Stop, 5, false),
        // The unit is not loaded.
        (&[Systemd], Action::Stop, 5, true),
        (&[Systemd], Action::Start, 5, false),
    ] {
        for standard in standards {
            let said = is_success(*standard, action, Ended::Exited(code));
            assert_eq!(said, expected, "{standard:?} {action:?} {code}");
            assert!(!is_success(*standard, action, Ended::Killed(Signal::SIGHUP)));
        }
    }
    for (action, code, expected) in
        [(Action::Start, 0, true), (Action::Start, 3, false), (Action::Stop, 7, true)]
    {
        let (_dir, script) = script(&format!("exit {code}"));
        assert_eq!(to_end(&mut start(&script, action)), expected, "{action:?} {code}");
    }
}

/// systemctl takes the action first.
#[test]
fn a_unit_is_named_after_the_action() {
    let (dir, mut script) = script("echo \"$@\" > arguments");
    (script.standard, script.arguments) = (Standard::Systemd, vec!["wg-quick@wg0".to_owned()]);
    assert!(to_end(&mut start(&script, Action::Stop)));
    assert_eq!(file(&dir, "arguments"), "stop wg-quick@wg0\n");
}

#[test]
fn an_ocf_agent_sees_its_parameters_and_who_it_is() {
    let (dir, mut script) = script("env | grep OCF | sort > env; echo \"$@\" > arguments");
    script.standard = Standard::Ocf;
    script.text = "ocf:heartbeat:Filesystem device=/dev/sdc1 options='noatime, ro'".to_owned();
    script.parameters = vec![("device".into(), "/dev/sdc1".into()), ("options".into(), "noatime, ro".into())];
    assert!(to_end(&mut start(&script, Action::Stop)));
    let expected = "OCF_RA_VERSION_MAJOR=1\nOCF_RA_VERSION_MINOR=1\nOCF_RESKEY_CRM_meta_interval=0\n\
                    OCF_RESKEY_CRM_meta_timeout=60000\nOCF_RESKEY_device=/dev/sdc1\n\
                    OCF_RESKEY_options=noatime, ro\nOCF_RESOURCE_INSTANCE=gateway-2\n\
                    OCF_RESOURCE_PROVIDER=heartbeat\nOCF_RESOURCE_TYPE=Filesystem\nOCF_ROOT=/usr/lib/ocf\n";
    assert_eq!((file(&dir, "env").as_str(), file(&dir, "arguments").as_str()), (expected, "stop\n"));
}

/// Resource agents take a look without an interval for a probe of what was never started.
#[test]
fn an_ocf_agent_is_told_what_is_a_look_at_what_runs_and_how_long_it_may_take() {
    let (dir, mut script) = script("env | grep 'CRM_meta\\|CHECK_LEVEL' | sort > env");
    script.standard = Standard::Ocf;
    (script.start_timeout, script.stop_timeout) = (Span::from_s(40), Span::from_ms(20_500));
    let (every, timeout) = (Span::from_s(10), Span::from_s(30));
    script.monitor = Some(Monitor { every, timeout, failures: 2, restarts: 1 });
    script.parameters = vec![("OCF_CHECK_LEVEL".into(), "20".into())];
    for (action, interval, timeout) in
        [(Action::Start, 0, 40_000), (Action::Stop, 0, 20_500), (Action::Monitor, 10_000, 30_000)]
    {
        assert!(to_end(&mut start(&script, action)));
        let expected = format!(
            "OCF_CHECK_LEVEL=20\nOCF_RESKEY_CRM_meta_interval={interval}\n\
                OCF_RESKEY_CRM_meta_timeout={timeout}\n"
        );
        assert_eq!(file(&dir, "env"), expected, "{action:?}");
    }
}

#[test]
fn arguments_stand_before_the_action_and_the_first_program_that_exists_is_run() {
    let (dir, mut script) = script("echo \"$#: $*, $HA_CURHOST\" > said");
    script.standard = Standard::Ha;
    script.programs.insert(0, dir.path().join("no-such-script"));
    script.arguments = vec!["/dev/sdc1".into(), "/srv".into()];
    assert!(to_end(&mut start(&script, Action::Start)));
    assert_eq!(file(&dir, "said"), "3: /dev/sdc1 /srv start, gw1\n");
    // One that is there but cannot be run is not passed over.
    fs::write(&script.programs[0], "").expect("written");
    assert!(!to_end(&mut start(&script, Action::Start)));
}

#[test]
fn a_script_that_takes_too_long_is_ended_by_the_clock() {
    let (_dir, mut script) = script("exec sleep 1000");
    script.start_timeout = Span::from_ms(300);
    let started = now();
    assert!(!to_end(&mut start(&script, Action::Start)));
    assert!(now().since(started) >= Span::from_ms(300), "not before its time");
}

#[test]
fn a_script_that_hangs_and_ignores_term_is_killed_with_its_group() {
    let (dir, script) = script("trap '' TERM\nsleep 1000 & echo $! > child\nwhile :; do sleep 1; done");
    let mut run = start(&script, Action::Start);
    let child = child_of(&dir);
    let timeout = run.deadline();
    expire(&mut run);
    assert_eq!(run.deadline(), timeout + INTERRUPT_GRACE);
    std::thread::sleep(Duration::from_millis(200));
    assert!(how_it_ended(&run).is_none() && is_alive(child), "it ignores TERM");
    expire(&mut run);
    assert_eq!(run.deadline(), timeout + INTERRUPT_GRACE + KILL_GRACE);
    assert!(!to_end(&mut run));
    wait_for("the end of its child", || !is_alive(child));
}

#[test]
fn what_a_hanging_script_leaves_behind_when_it_obeys_goes_too() {
    let (dir, script) = script("(trap '' TERM; sleep 1000 & echo $! > child; wait) &\nsleep 1000");
    let mut run = start(&script, Action::Start);
    let child = child_of(&dir);
    expire(&mut run);
    assert!(!to_end(&mut run));
    assert_eq!(run.stage, Stage::Terminated, "it obeyed");
    wait_for("the end of its child", || !is_alive(child));
}

#[test]
fn a_daemon_that_keeps_the_pipe_open_holds_nothing_up_and_lives_on() {
    let daemon = "while [ ! -e go ]; do sleep 0.1; done; echo later; echo again; : > said; exec sleep 1000";
    let (dir, script) = script(&format!("({daemon}) & echo $! > child\necho started"));
    let mut run = start(&script, Action::Start);
    assert!(to_end(&mut run), "although its child has not said all that it has to say");
    let child = child_of(&dir);
    let mut output = run.into_output().expect("the daemon has the other end");
    fs::write(dir.path().join("go"), "").expect("written");
    wait_for("its words", || dir.path().join("said").exists());
    assert!(output.read(), "the daemon's words are read and it is not cut off");
    assert!(is_alive(child));
    killpg(getpgid(Some(child)).expect("it lives"), Signal::SIGKILL).expect("ours");
    wait_for("the end of the daemon", || !is_alive(child));
}

#[test]
fn a_program_that_cannot_be_executed_fails_like_any_other() {
    let (_dir, mut script) = script("exit 0");
    script.programs = vec![PathBuf::from("/etc/init.d/does-not-exist")];
    assert!(!to_end(&mut start(&script, Action::Start)));
}

#[test]
fn a_flood_of_output_is_drained_and_the_script_ends() {
    let (_dir, script) = script(
        "i=0; while [ $i -lt 3000 ]; do echo a line of some length that fills the pipe; i=$((i+1)); done",
    );
    assert!(to_end(&mut start(&script, Action::Start)));
}

#[test]
fn an_interrupted_start_ends_soon_and_is_no_success() {
    let (_dir, script) = script("exec sleep 1000");
    let mut run = start(&script, Action::Start);
    run.interrupt(now());
    assert!(!to_end(&mut run));
    assert_eq!(run.stage, Stage::Terminated, "TERM was enough");
}

#[test]
fn only_a_script_that_ends_by_itself_says_something() {
    for (body, expected) in [
        ("exit 0", End::Done),
        ("exit 1", End::Refused),
        ("kill -HUP $$; sleep 1000", End::Unknown),
        ("trap 'exit 1' TERM; while :; do sleep 0.1; done", End::Unknown),
    ] {
        let (_dir, mut script) = script(body);
        if body.starts_with("trap") {
            script.stop_timeout = Span::from_ms(300);
        }
        assert_eq!(end_of(&mut start(&script, Action::Stop)), expected, "{body}");
    }
    let (_dir, mut absent) = script("exit 0");
    absent.programs = vec![PathBuf::from("/etc/init.d/does-not-exist")];
    assert_eq!(end_of(&mut start(&absent, Action::Start)), End::Refused, "it is not installed");
}

/// Writing end of a pipe on which [`tell`] says that it was called.
static TOLD: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);

extern "C" fn tell(_signal: libc::c_int) {
    // SAFETY: one byte of a constant; a bad descriptor is refused.
    unsafe { libc::write(TOLD.load(std::sync::atomic::Ordering::SeqCst), c"!".as_ptr().cast(), 1) };
}

/// A process with a handler for SIGTERM, as the guard is one, that starts scripts and ends them at once.
/// Returns how many times its own handler heard of that, or the script did not.
fn interrupt_at_once(script: &Script) -> i32 {
    let (reader, writer) = make_pipe(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).expect("a pipe");
    TOLD.store(std::os::fd::AsRawFd::as_raw_fd(&writer), std::sync::atomic::Ordering::SeqCst);
    // SAFETY: the handler makes one system call.
    unsafe { signal(Signal::SIGTERM, SigHandler::Handler(tell)) }.expect("a handler");
    let missed = (0..50).filter(|_| {
        let run = start(script, Action::Start);
        let obeyed = kill(run.pid(), Signal::SIGTERM).and_then(|()| waitpid(run.pid(), None));
        obeyed != Ok(WaitStatus::Signaled(run.pid(), Signal::SIGTERM, false))
    });
    let missed = missed.count();
    let heard = nix::unistd::read(&reader, &mut [0; 100]).unwrap_or(0);
    i32::try_from(missed + heard).unwrap_or(100)
}

#[test]
fn a_script_that_is_ended_before_it_begins_does_not_end_the_guard() {
    let (_dir, script) = script("exec sleep 1");
    // In a process of its own: a handler belongs to all threads.
    match fork().expect("a process") {
        ForkResult::Parent { child } => assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0))),
        ForkResult::Child => {
            let code = interrupt_at_once(&script);
            leave(code)
        }
    }
}

#[test]
fn a_look_is_judged_as_each_standard_says_and_logged_only_if_it_fails() {
    use Standard::{Exec, Ha, Lsb, Ocf, Systemd};
    for (standards, body, expected) in [
        (&[Lsb, Ocf, Exec, Systemd][..], "exit 0", true),
        (&[Lsb, Ocf, Exec, Systemd], "echo running; exit 1", false),
        (&[Lsb, Ocf, Exec, Systemd], "exit 3", false),
        (&[Lsb, Ocf, Exec], "exit 7", false),
        (&[Ocf], "exit 8", true),
        (&[Ocf], "exit 190", true),
        (&[Lsb, Exec], "exit 190", false),
        (&[Ha], "echo 'web is Running'; exit 1", true),
        (&[Ha], "echo OK", true),
        (&[Ha], "echo 'web is not running'; echo running", false),
        (&[Ha], "exit 0", false),
    ] {
        for standard in standards {
            let (dir, mut script) = script(&format!("echo $1 >word\n{body}"));
            script.standard = *standard;
            assert_eq!(to_end(&mut start(&script, Action::Monitor)), expected, "{standard:?} {body}");
            let word = match standard {
                Lsb | Ha => "status\n",
                Ocf | Exec => "monitor\n",
                Systemd => "is-active\n",
            };
            assert_eq!(file(&dir, "word"), word);
        }
    }
}

#[test]
fn a_look_that_is_in_the_way_is_killed_without_a_word() {
    let (dir, script) = script("trap '' TERM; sleep 60 & echo $! > child; wait");
    let mut run = start(&script, Action::Monitor);
    let child = child_of(&dir);
    run.interrupt(now());
    assert!(!to_end(&mut run));
    wait_for("the end of the look's child", || !is_alive(child));
}
