//! What a test owes to a busy machine: it is not judged when the machine did not run the processes, and it
//! never waits for ever.
//!
//! Only time is excused. What must not happen at any speed (two holders) is said with [`never_excused`]
//! before the panic.

use std::cell::Cell;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::abort;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Longest that one try of a test may take.
pub const HANGS_AFTER: Duration = Duration::from_secs(240);
/// Tries of a test that the machine disturbs.
const MAX_TRIES: usize = 6;
/// A sleeping thread that wakes up this much late may have cost a test its limit.
const DISTURBED: Duration = Duration::from_millis(20);
/// Time for the watchers to report how late they were.
const SETTLES_WITHIN: Duration = Duration::from_millis(100);
/// Between two looks at the clock.
const STEP: Duration = Duration::from_millis(4);

thread_local! {
    /// The shortest stall that excuses a panic of the test on this thread; `None` if nothing does.
    static EXCUSE: Cell<Option<Duration>> = const { Cell::new(Some(DISTURBED)) };
}

/// The panic that follows on this thread is excused only if the machine stood still for at least this long.
pub fn excused_only_by(stall: Duration) {
    EXCUSE.set(Some(stall));
}

/// The panic that follows on this thread counts, whatever the machine did.
pub fn never_excused() {
    EXCUSE.set(None);
}

/// Which other tests run beside a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Company {
    /// Other tests may run.
    Others,
    /// No other test runs.
    None,
}

/// Runs a test that judges how long things take, or that rests on time-outs of real processes. If it fails
/// although the machine had run what was ready with at most 20 ms delay, it has failed. Otherwise it is tried
/// again, six times in all.
///
/// # Panics
/// As `test` does, with its own words.
pub fn when_the_machine_has_time(test: impl Fn()) {
    try_in_turn(&[Company::None; MAX_TRIES], |_| (), test);
}

/// The same, first among other tests, where only a panic that is never excused counts, then alone.
///
/// # Panics
/// As `test` does, with its own words.
pub fn in_company_then_alone<T>(turn: impl Fn(Company) -> T, test: impl Fn()) {
    let mut tries = [Company::None; MAX_TRIES];
    tries[0] = Company::Others;
    try_in_turn(&tries, turn, test);
}

fn try_in_turn<T>(tries: &[Company], turn: impl Fn(Company) -> T, test: impl Fn()) {
    for (company, left) in tries.iter().zip((0..tries.len()).rev()) {
        let _turn = turn(*company);
        excused_only_by(DISTURBED);
        let stalls = Stalls::watch();
        let Err(panic) = catch_unwind(AssertUnwindSafe(&test)) else { return };
        let longest = stalls.longest();
        let is_excused = EXCUSE.get().is_some_and(|excuse| *company == Company::Others || longest >= excuse);
        if left == 0 || !is_excused {
            println!("it counts: the machine ran what was ready at most {longest:?} late");
            resume_unwind(panic);
        }
        println!(
            "not judged: in company of {company:?}, what was ready ran up to {longest:?} late; {left} more \
                tries"
        );
    }
}

/// Measures, on every processor, how late a sleeping thread of ordinary rank wakes up; the tested processes
/// are of that rank too.
pub struct Stalls {
    is_over: Arc<AtomicBool>,
    longest_us: Arc<AtomicU64>,
    watchers: Vec<JoinHandle<()>>,
}

impl Stalls {
    /// Begins.
    pub fn watch() -> Self {
        let (is_over, longest_us) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let count = thread::available_parallelism().map_or(1, usize::from);
        let watcher = |processor| {
            let (is_over, longest_us) = (Arc::clone(&is_over), Arc::clone(&longest_us));
            let watch = move || watch_one(processor, &is_over, &longest_us);
            thread::Builder::new().name("test-stalls".into()).spawn(watch).expect("a thread")
        };
        let watchers = (0..count).map(watcher).collect();
        Self { is_over, longest_us, watchers }
    }

    /// The longest delay since the beginning, one that has only just ended included.
    pub fn longest(&self) -> Duration {
        // A watcher that is late at this moment has not reported it yet.
        thread::sleep(SETTLES_WITHIN);
        Duration::from_micros(self.longest_us.load(Ordering::SeqCst))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        for watcher in self.watchers.drain(..) {
            // It cannot panic, and if it did, it has said so.
            let _ = watcher.join();
        }
    }
}

fn watch_one(processor: usize, is_over: &AtomicBool, longest_us: &AtomicU64) {
    let mut only = CpuSet::new();
    // If the processors are numbered otherwise, it watches from any of them.
    let _ = only.set(processor).and_then(|()| sched_setaffinity(Pid::from_raw(0), &only));
    while !is_over.load(Ordering::SeqCst) {
        let asleep = Instant::now();
        thread::sleep(STEP);
        let late = asleep.elapsed().saturating_sub(STEP);
        longest_us.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

/// Ends the whole test program, with words, if it is not dropped in time: a test that hangs says nothing by
/// itself.
pub struct Dog {
    leash: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Dog {
    /// Begins to wait; the test of the calling thread is named.
    pub fn watch(limit: Duration) -> Self {
        let name = thread::current().name().unwrap_or("a test").to_owned();
        let (leash, is_gone) = channel();
        let wait = move || {
            if is_gone.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // Past the harness, which keeps what a test prints until it ends.
                let _ =
                    writeln!(std::io::stderr(), "\n{name}: HANGS, has not ended within {limit:?}; giving up");
                abort();
            }
        };
        let thread = thread::Builder::new().name("test-dog".into()).spawn(wait).expect("a thread");
        Self { leash: Some(leash), thread: Some(thread) }
    }
}

impl Drop for Dog {
    fn drop(&mut self) {
        self.leash = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// How often a failing test is tried, and its last words.
    fn tries_of(test: impl Fn()) -> (usize, &'static str) {
        let tries = Cell::new(0);
        let counted = || {
            tries.set(tries.get() + 1);
            test();
        };
        let panic =
            catch_unwind(AssertUnwindSafe(|| when_the_machine_has_time(counted))).expect_err("it fails");
        (tries.get(), panic.downcast_ref::<&str>().expect("words"))
    }

    #[test]
    fn what_must_never_happen_is_never_excused() {
        let fail = || {
            excused_only_by(Duration::ZERO);
            never_excused();
            panic!("two holders");
        };
        assert_eq!(tries_of(fail), (1, "two holders"));
    }

    #[test]
    fn a_failure_without_a_stall_counts_and_one_with_a_stall_is_tried_again_for_a_while() {
        let fail = |stall| {
            move || {
                excused_only_by(stall);
                panic!("too slow");
            }
        };
        assert_eq!(tries_of(fail(Duration::MAX)).0, 1);
        assert_eq!(tries_of(fail(Duration::ZERO)).0, MAX_TRIES);
    }

    #[test]
    fn what_fails_in_company_is_tried_alone() {
        let told = RefCell::new(Vec::new());
        let turn = |company| told.borrow_mut().push(company);
        let test = || assert!(told.borrow().len() > 1, "too slow");
        in_company_then_alone(turn, test);
        assert_eq!(*told.borrow(), [Company::Others, Company::None]);
    }

    #[test]
    fn the_longest_delay_is_kept() {
        let stalls = Stalls::watch();
        let give_up = Instant::now() + Duration::from_secs(30);
        while stalls.longest() == Duration::ZERO {
            assert!(Instant::now() < give_up, "nobody wakes up to the microsecond");
        }
    }
}
