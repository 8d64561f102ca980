//! What keeps both processes on time on a box that is busy or short of memory: locked pages, real-time
//! priority or else the best nice value, and a word to the kernel's OOM killer. Each is taken where it is
//! granted; where it is not, the daemon runs all the same.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::stat::Mode;
use nix::unistd::write;

use crate::clock::now;
use crate::sys::capabilities;
use crate::sys::scheduling::{limit_run_time, nice, set_nice, set_scheduler};

/// Which of the two processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Process {
    /// Runs before the agent does, so that it can end one that loops.
    Guard,
    /// Runs before everything else on the box.
    Agent,
}

/// `SCHED_RR` priorities (1 to 99, sched(7)): far below the kernel's own threads of drivers, above everybody
/// else.
const GUARD_PRIORITY: libc::c_int = 20;
const AGENT_PRIORITY: libc::c_int = 10;
/// The best nice value (setpriority(2)).
const BEST_NICE: libc::c_int = -20;
/// How long either process may compute without waiting for anything (`RLIMIT_RTTIME`, microseconds): a
/// hundred turns that read all that a flood has left. Even where a flood leaves the agent no time, it waits a
/// little now and then.
const MAX_RUN_US: libc::rlim_t = 1_000_000;
/// The shortest wait that counts as one.
const WAITED: Span = Span::from_us(100);
/// After so long without a wait, a process rests for a moment: four fifths of one processor are enough for
/// any flood.
const MAX_BUSY: Span = Span::from_ms(20);
/// How long that moment is.
const REST: Duration = Duration::from_millis(5);
/// The value of a process that the OOM killer never chooses (proc_pid_oom_score_adj(5)).
const OOM_NEVER: &str = "-1000";
/// The value of an ordinary process: everybody may raise it to this.
const OOM_ORDINARY: &[u8] = b"0";
/// How much a process may grow after it was locked. Neither allocates much after its start, and an agent that
/// was taken over must not have the whole box's memory.
const GROWTH_BYTES: rlim_t = 16 * 1024 * 1024;
/// With less than this left of a limit that cannot be raised, nothing is locked. A stack that is locked does
/// not grow past the limit: the kernel ends its process.
const LEAST_GROWTH_BYTES: rlim_t = 4 * 1024 * 1024;
/// How much memory could be locked when we were started.
static LOCKABLE_BEFORE: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();
/// `CAP_IPC_LOCK`, as [`capabilities::all`] has it.
const MAY_LOCK: u64 = 1 << 14;
/// Stack that is touched before it is locked: more than a turn needs, so that none waits for memory. A turn
/// of the router build's agent was seen to take 28 KB, one of its guard less than 52 KB, which the kernel had
/// made room for by then. Code that was not optimized takes several times as much.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 160 * 1024 } else { 64 * 1024 };

/// When a loop last had nothing to do. A flood leaves it nothing to wait for, and it runs before everything
/// else on the box. It rests all the same, or the kernel would end its process.
pub struct Idleness(Instant);

impl Idleness {
    /// It has just had nothing to do.
    pub fn begin() -> Self {
        Self(now())
    }

    /// The loop began to wait at `began_at`, and was woken at `woke_at`, just now.
    pub fn note(&mut self, began_at: Instant, woke_at: Instant) {
        if woke_at.since(began_at) >= WAITED {
            self.0 = woke_at;
        } else if woke_at.since(self.0) >= MAX_BUSY {
            std::thread::sleep(REST);
            self.0 = now();
        }
    }
}

/// Takes what is granted, and says what is not: one phrase each, with its reason.
pub fn become_realtime(process: Process, is_realtime: bool) -> Vec<String> {
    let mut missed = Vec::new();
    let mut note = |what: &str, outcome: Result<(), Errno>| {
        if let Err(errno) = outcome {
            missed.push(format!("{what} ({})", errno.desc()));
        }
    };
    if process == Process::Agent {
        // The agent inherits the guard's value. The guard can start another agent, but nobody another guard.
        let _ = set_ordinary_oom();
        note("its memory cannot be bounded", limit_memory(Resource::RLIMIT_AS));
    } else {
        let written = fs::write("/proc/self/oom_score_adj", OOM_NEVER);
        note(
            "oom_score_adj cannot be set",
            written.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0))),
        );
    }
    if let Err(why) = lock_memory(process) {
        missed.push(format!("its memory cannot be locked ({why})"));
    }
    if is_realtime && let Err(errno) = take_priority(process) {
        let nice = take_best_nice();
        missed.push(format!("no real-time priority ({}): its nice value is {nice}", errno.desc()));
    }
    missed
}

/// Locks the memory that there is, and later memory too if there is room for some. Where the limit cannot be
/// raised and leaves none, an agent would die of its lock as soon as it grows: it gives its capabilities
/// away. So its memory is not locked. A guard that keeps the capability may grow past the limit.
fn lock_memory(process: Process) -> Result<(), String> {
    if let Ok(before) = getrlimit(Resource::RLIMIT_MEMLOCK) {
        LOCKABLE_BEFORE.get_or_init(|| before);
    }
    touch_stack();
    let said = |errno: Errno| errno.desc().to_owned();
    let mut flags = MlockAllFlags::MCL_CURRENT;
    if limit_memory(Resource::RLIMIT_MEMLOCK).is_ok() {
        flags |= MlockAllFlags::MCL_FUTURE;
    } else if process == Process::Agent || capabilities::all() & MAY_LOCK == 0 {
        let bytes = memory_bytes().map_err(said)?;
        if !has_room(bytes.saturating_add(LEAST_GROWTH_BYTES)) {
            let wanted_kb = bytes.saturating_add(GROWTH_BYTES).div_ceil(1_024);
            return Err(format!("raise the limit of locked memory to {wanted_kb} kB"));
        }
        flags |= MlockAllFlags::MCL_FUTURE;
    }
    mlockall(flags).map_err(said)
}

/// Takes all that may be locked without a capability. Returns whether that is so much.
fn has_room(bytes: rlim_t) -> bool {
    let Ok((_, most)) = getrlimit(Resource::RLIMIT_MEMLOCK) else { return false };
    most >= bytes && setrlimit(Resource::RLIMIT_MEMLOCK, most, most).is_ok()
}

/// Limits the memory to what there is and [`GROWTH_BYTES`].
fn limit_memory(what: Resource) -> nix::Result<()> {
    let most = memory_bytes()?.saturating_add(GROWTH_BYTES);
    setrlimit(what, most, most)
}

/// How much memory this process has, whether it was used or not.
fn memory_bytes() -> nix::Result<rlim_t> {
    let size = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: rlim_t = size.split(' ').next().and_then(|pages| pages.parse().ok()).ok_or(Errno::ENOENT)?;
    Ok(pages.saturating_mul(page_bytes()))
}

fn page_bytes() -> rlim_t {
    let bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    bytes.and_then(|bytes| rlim_t::try_from(bytes).ok()).unwrap_or(4_096)
}

/// Gives a script's process back what is ordinary, before it begins: our priorities and limits are not for
/// the programs that we start. Makes system calls only.
pub fn become_ordinary() {
    let _ = set_ordinary_oom();
    give_back_limits();
}

/// Gives the limits back with which this process began, for the program that is executed in its place: what
/// that one reads at its start must not exceed the computing time of a real-time process.
pub fn give_back_limits() {
    forget_run_time();
    if let Some((soft, hard)) = LOCKABLE_BEFORE.get() {
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, *soft, *hard);
    }
}

fn set_ordinary_oom() -> nix::Result<()> {
    let file = open(c"/proc/self/oom_score_adj", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    write(&file, OOM_ORDINARY).map(drop)
}

/// A page of the stack exists once it was written.
#[inline(never)]
fn touch_stack() {
    let mut pages = [0u8; STACK_BYTES];
    std::hint::black_box(&mut pages).iter_mut().step_by(4_096).for_each(|byte| *byte = 1);
    std::hint::black_box(&pages);
}

/// Takes a round-robin priority, which the programs that we start do not inherit. A process that computes
/// without ever waiting would have the box to itself, so the kernel ends it. The guard's own children must be
/// able to have another limit, so only the soft limit is set for it.
fn take_priority(process: Process) -> nix::Result<()> {
    let priority = match process {
        Process::Guard => GUARD_PRIORITY,
        Process::Agent => AGENT_PRIORITY,
    };
    limit_run_time(MAX_RUN_US, process == Process::Agent)?;
    set_scheduler(libc::SCHED_RR, priority)
}

/// For a child of the guard: our limit does not hold for it, whatever priority it takes.
fn forget_run_time() {
    let _ = limit_run_time(libc::RLIM_INFINITY, false);
}

/// Takes the lowest nice value that is granted, and returns it. The programs that we start have an ordinary
/// one.
fn take_best_nice() -> libc::c_int {
    // Without it, the programs that we start would have the value too.
    if set_scheduler(libc::SCHED_OTHER, 0).is_ok() {
        let _ = (BEST_NICE..0).find(|nice| set_nice(*nice));
    }
    nice()
}

#[cfg(test)]
mod tests {
    use nix::sys::mman::munlockall;
    use nix::sys::wait::waitpid;
    use nix::unistd::ForkResult;

    use super::*;
    use crate::guard::testing::told_by_a_child;
    use crate::sys::process::{fork, leave};
    use crate::sys::scheduling::scheduler;

    /// What `process` says of itself in a child with real-time scheduling; an agent is started by a guard.
    fn in_child(process: Process, is_realtime: bool) -> String {
        told_by_a_child(|| {
            if process == Process::Agent {
                become_realtime(Process::Guard, false);
                // As a fork does.
                munlockall().expect("unlocked");
            }
            let missed = become_realtime(process, is_realtime);
            let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
            let locked = status.lines().find(|line| line.starts_with("VmLck")).unwrap_or_default();
            let policy = scheduler();
            let oom = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
            format!("{missed:?}|{locked}|{policy}|{oom}")
        })
    }

    #[test]
    fn what_is_granted_is_taken_and_what_is_not_is_said() {
        for process in [Process::Guard, Process::Agent] {
            let text = in_child(process, true);
            let parts: Vec<&str> = text.trim_end().split('|').collect();
            let [missed, locked, policy, oom] = parts[..] else { panic!("{text}") };
            let is_locked = !locked.is_empty() && !locked.ends_with(" 0 kB");
            assert_ne!(is_locked, missed.contains("cannot be locked"), "{text}");
            let is_realtime = policy.parse::<i32>().expect("a policy") & 0xff == libc::SCHED_RR;
            assert_ne!(is_realtime, missed.contains("real-time"), "{text}");
            let is_safe = oom == OOM_NEVER;
            let wants = process == Process::Guard;
            assert_eq!(is_safe, wants && !missed.contains("oom_score_adj"), "{text}");
        }
    }

    #[test]
    fn neither_an_agent_nor_a_script_may_have_the_memory_of_the_whole_box() {
        let before = getrlimit(Resource::RLIMIT_MEMLOCK).expect("a limit");
        let text = told_by_a_child(|| {
            become_realtime(Process::Guard, false);
            become_realtime(Process::Agent, false);
            let limits = [Resource::RLIMIT_MEMLOCK, Resource::RLIMIT_AS].map(getrlimit);
            become_ordinary();
            let after = getrlimit(Resource::RLIMIT_MEMLOCK);
            format!("{limits:?} {:?}", after == Ok(before))
        });
        // Where a limit cannot be raised it was there before.
        assert!(!text.contains(&nix::sys::resource::RLIM_INFINITY.to_string()), "{text}");
        assert!(!nix::unistd::geteuid().is_root() || text.ends_with("true"), "{text}");
    }

    #[test]
    fn priority_is_left_alone_unless_it_is_asked_for() {
        let text = in_child(Process::Agent, false);
        assert!(!text.contains("real-time") && text.contains("|0|"), "{text}");
    }

    /// What is said of the nice value is so, granted or not.
    #[test]
    fn where_real_time_is_refused_the_best_nice_value_is_taken_and_children_have_an_ordinary_one() {
        let text = told_by_a_child(|| {
            let said = take_best_nice();
            let theirs = match fork() {
                Ok(ForkResult::Child) => leave(40 + nice()),
                Ok(ForkResult::Parent { child }) => waitpid(child, None),
                Err(errno) => Err(errno),
            };
            format!("{said} {} {theirs:?}", nice())
        });
        let mut words = text.split(' ');
        let (said, ours) = (words.next(), words.next());
        assert_eq!(said, ours, "{text}");
        assert!(text.ends_with(", 40))"), "its child is an ordinary one: {text}");
    }
}
