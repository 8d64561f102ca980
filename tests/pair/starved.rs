//! Row 35: a box whose processors all have something else to do. Both processes run before everything else;
//! their scripts do not.

use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use crate::beats::Beats;
use crate::lab::clock::{now, wait_until};
use crate::lab::executable::write_executable;
use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};

/// How long each pair is watched, unless `CROSSWIRE_STARVED_S` says otherwise.
const WATCHED_S: u64 = 5;
/// The cable, the switch and the client are not what is tried: they come before the daemons.
const LAB_PRIORITY: libc::c_int = 30;
/// Fields of proc_pid_stat(5), counted from the one after the name.
const NICE: usize = 16;
const POLICY: usize = 38;

/// Loops that want all of every processor, twice over.
struct Hogs(Vec<Child>);

impl Hogs {
    fn start() -> Self {
        let count = 2 * thread::available_parallelism().map_or(2, usize::from);
        let hog = || Command::new("/bin/sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell");
        Self((0..count).map(|_| hog()).collect())
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

/// Puts all threads of this process, and so the laboratory, before the daemons, but nobody whom they start;
/// false where that is not granted.
fn run_the_lab_first() -> bool {
    let tasks = fs::read_dir("/proc/self/task").expect("tasks").flatten();
    let ids =
        tasks.filter_map(|task| task.file_name().to_str().and_then(|name| name.parse::<libc::pid_t>().ok()));
    ids.map(|id| set_scheduler(id, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, LAB_PRIORITY))
        .all(|done| done.is_ok())
}

fn set_scheduler(task: libc::pid_t, policy: libc::c_int, priority: libc::c_int) -> nix::Result<()> {
    // SAFETY: sched_param is plain numbers, for which all zeroes is a value.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: the kernel reads one sched_param, which outlives the call.
    let done = unsafe { libc::syscall(libc::SYS_sched_setscheduler, task, policy, &raw const parameters) };
    Errno::result(done).map(drop)
}

/// Scheduling policy and nice value of a process.
fn rank(stat: &str) -> (i32, i32) {
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split_whitespace().collect();
    let number = |index: usize| fields[index].parse().expect("a number");
    (number(POLICY), number(NICE))
}

fn rank_of(process: Pid) -> (i32, i32) {
    rank(&fs::read_to_string(format!("/proc/{process}/stat")).expect("it lives"))
}

/// Where nobody is granted real-time priority there is nothing to try.
fn is_granted(scene: &Scene) -> bool {
    let is_granted = !scene.log_of(Side::A).contains("real-time");
    if !is_granted {
        println!("not tried: this box grants no real-time priority");
    }
    is_granted
}

fn fast() -> Setup {
    Setup { interval_ms: 50, late_after_ms: 150, dead_after_ms: 250, baud: 115_200, ..Setup::default() }
}

fn normal() -> Setup {
    Setup { interval_ms: 250, late_after_ms: 750, dead_after_ms: 1_500, lease_ms: 3_000, ..Setup::default() }
}

fn watched_s() -> u64 {
    std::env::var("CROSSWIRE_STARVED_S").ok().and_then(|s| s.parse().ok()).unwrap_or(WATCHED_S)
}

fn hangs_after() -> Duration {
    Duration::from_secs(watched_s()) + PATIENCE.saturating_mul(4)
}

fn watch_starved(name: &str, setup: Setup) {
    let mut scene = Scene::serving_with(Setup { prefer: Some(Side::A), ..setup });
    let agents = [Side::A, Side::B].map(|side| scene.agent(side).expect("an agent"));
    if !is_granted(&scene) {
        return;
    }
    let beats = [Side::A, Side::B].map(|side| Beats::of(&scene, side));
    let hogs = Hogs::start();
    assert!(run_the_lab_first(), "what the daemons are granted");
    let since = now();
    thread::sleep(Duration::from_secs(watched_s()));
    drop(hogs);
    let gaps = beats.map(Beats::largest_gap);
    let outage = scene.ping().longest_gap_since(since);
    println!(
        "row 35, {name}: {} s, longest gap between beats {} and {}, client {outage}",
        watched_s(),
        gaps[0],
        gaps[1]
    );
    scene.assert_nothing_moved(Side::A, since);
    assert_eq!(
        [Side::A, Side::B].map(|side| scene.agent(side).expect("an agent")),
        agents,
        "none was replaced"
    );
    scene.assert_never_both();
}

/// Fault: two busy loops for each processor.
/// Required: no move, and the address is not gone for an instant.
#[test]
fn row_35_every_processor_hogged_r() {
    testing::in_long_fair_lab(hangs_after(), || watch_starved("R", Setup::default()));
}

/// The same with the preset `fast`.
#[test]
fn row_35_every_processor_hogged_fast() {
    testing::in_long_fair_lab(hangs_after(), || watch_starved("fast", fast()));
}

/// The same with the fastest times.
#[test]
fn row_35_every_processor_hogged_fastest() {
    testing::in_long_fair_lab(hangs_after(), || watch_starved("fastest", Setup::fastest()));
}

/// The same with the preset `normal`.
#[test]
fn row_35_every_processor_hogged_normal() {
    testing::in_long_fair_lab(hangs_after(), || watch_starved("normal", normal()));
}

/// A jump to itself, where the agent comes back from the kernel.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn make_it_spin(process: Pid) {
    const SPIN: libc::c_long = 0xfeeb;
    let ptrace = |request: libc::c_uint, address: usize, data: usize| {
        // SAFETY: of our memory only `registers` below is written, whose address and size are right.
        let done = unsafe { libc::ptrace(request, process.as_raw(), address, data) };
        Errno::result(done).expect("ptrace")
    };
    ptrace(libc::PTRACE_ATTACH, 0, 0);
    // SAFETY: no status is asked for; __WALL sees a process that is not our child.
    unsafe { libc::waitpid(process.as_raw(), std::ptr::null_mut(), libc::__WALL) };
    // SAFETY: user_regs_struct is plain numbers, for which all zeroes is a value.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    ptrace(libc::PTRACE_GETREGS, 0, (&raw mut registers).addr());
    #[cfg(target_arch = "x86_64")]
    let next = usize::try_from(registers.rip).expect("an address");
    #[cfg(target_arch = "x86")]
    let next = usize::try_from(registers.eip).expect("an address");
    let word = ptrace(libc::PTRACE_PEEKTEXT, next, 0);
    let spin = (word & !0xffff) | SPIN;
    ptrace(libc::PTRACE_POKETEXT, next, spin.cast_unsigned().try_into().expect("a word"));
    ptrace(libc::PTRACE_DETACH, 0, 0);
}

/// Fault: the agent computes for ever, before everything else on the box.
/// Required: as row 2: it is ended, another goes on, nothing moves.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
#[test]
fn an_agent_that_spins_is_ended_and_another_goes_on() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let agent = scene.agent(Side::A).expect("an agent");
        let since = now();
        make_it_spin(agent);
        let is_another = || Ok(scene.agent(Side::A).is_ok_and(|other| other != agent));
        wait_until("another agent", PATIENCE, is_another).unwrap_or_else(|e| panic!("{e}"));
        scene.settle(Side::A);
        println!("an agent that spins: served on through {}", now().since(since));
        scene.assert_nothing_moved(Side::A, since);
        scene.assert_never_both();
    });
}

/// Both processes run before everything else and are never swapped; what they start is as everybody else.
#[test]
fn scripts_have_ordinary_ranks_and_both_processes_do_not() {
    testing::in_fair_lab(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let (script, found) = (directory.path().join("service"), directory.path().join("found"));
        let text = format!(
            "#!/bin/sh\n[ \"$1\" != start ] || cat /proc/$$/stat /proc/$$/limits >{}\n[ \"$1\" != status ] \
                || exit 3\n",
            found.display()
        );
        write_executable(&script, &text);
        let mut scene = Scene::serving_with(Setup {
            scripts: vec![format!("exec:{}", script.display())],
            ..Setup::default()
        });
        let seen = fs::read_to_string(&found).expect("it was started");
        assert_eq!(rank(seen.lines().next().expect("a line")), (libc::SCHED_OTHER, 0), "{seen}");
        let limit = seen.lines().find(|line| line.contains("realtime timeout")).expect("a limit");
        assert_eq!(limit.matches("unlimited").count(), 2, "{limit}");
        for process in [scene.guard(Side::A).expect("a guard"), scene.agent(Side::A).expect("an agent")] {
            let (policy, nice) = rank_of(process);
            assert!(!is_granted(&scene) || policy & 0xff == libc::SCHED_RR, "{policy} {nice}");
            let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
            let locked = status.lines().find(|line| line.starts_with("VmLck")).expect("a line");
            assert!(
                !locked.ends_with(" 0 kB") || scene.log_of(Side::A).contains("cannot be locked"),
                "{locked}"
            );
        }
    });
}
