//! The processes of a node: real daemons, started inside the node's namespace, that cannot outlive the
//! laboratory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid, setsid};

use super::clock::{now, span, wait_until};
use super::doing;
use super::namespace::Namespace;

/// Longest until killed processes have left the process table.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Starts processes from a thread that lives as long as the laboratory.
///
/// The kernel's parent-death signal is tied to the *thread* that forked: a daemon started from a test's
/// helper thread would die with that thread. All daemons are therefore forked here, and are killed by the
/// kernel if the laboratory dies however suddenly. (The signal does not reach a daemon's own children; those
/// notice the loss of their parent themselves.)
pub struct Nursery {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

struct Order {
    command: Command,
    answer: SyncSender<io::Result<Child>>,
}

impl Nursery {
    /// Starts the thread.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new() -> io::Result<Self> {
        let (orders, inbox): (SyncSender<Order>, Receiver<Order>) = sync_channel(1);
        let work = move || {
            for mut order in inbox {
                // If nobody takes the answer, the asking thread is gone, and the process must go too.
                if let Err(unheard) = order.answer.send(order.command.spawn())
                    && let Ok(mut child) = unheard.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        };
        let thread = thread::Builder::new().name("lab-nursery".into()).spawn(work)?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Starts `command` in a session of its own, to be killed with the laboratory.
    ///
    /// # Errors
    /// What fork, exec or the preparation says.
    pub fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let parent = getpid();
        let prepare = move || {
            setsid()?;
            set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the line above.
            if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
        };
        // SAFETY: four system calls without allocation, as is allowed between fork and exec.
        unsafe { command.pre_exec(prepare) };
        let (answer, answered) = sync_channel(1);
        let gone = || io::Error::other("the thread that starts processes is gone");
        let orders = self.orders.as_ref().ok_or_else(gone)?;
        orders.send(Order { command, answer }).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // It cannot panic; and if it did, it has said so.
            let _ = thread.join();
        }
    }
}

/// A daemon that the laboratory started. Dropping it kills it, but not what it started itself: see
/// [`kill_all_in`].
pub struct NodeProcess {
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
}

/// A line of the process table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessInfo {
    /// Process id.
    pub pid: Pid,
    /// Its parent's.
    pub parent: Pid,
    /// Its command name, 15 bytes at most.
    pub name: String,
}

impl NodeProcess {
    /// Starts `command` inside `namespace`, with empty input, and standard output and error appended to
    /// `log`.
    ///
    /// # Errors
    /// What opening the log, fork or exec says.
    pub fn start(
        nursery: &Nursery,
        namespace: &Namespace,
        mut command: Command,
        log: &Path,
    ) -> io::Result<Self> {
        let output =
            File::options().create(true).append(true).open(log).map_err(doing("opening a daemon's log"))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        namespace.command_in(&mut command)?;
        let what = format!("starting {}", command.get_program().display());
        let child = nursery.spawn(command).map_err(doing(&what))?;
        Ok(Self { child, log: log.to_owned(), status: None })
    }

    /// Process id of the process that was started (the guard).
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// Its oldest child that is not the one that writes the journal: the agent, of which the writer is older
    /// once it was replaced. `None` if it has none.
    ///
    /// # Errors
    /// What reading /proc says.
    pub fn first_child(&self) -> io::Result<Option<Pid>> {
        let parent = self.pid();
        let children = all_processes()?.into_iter().filter(|process| process.parent == parent);
        Ok(children.map(|process| process.pid).filter(|pid| !writes_journal(*pid)).min())
    }

    /// What it has written so far.
    ///
    /// # Errors
    /// What reading the file says.
    pub fn output(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    /// What waitpid says.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// `TimedOut`, or what waitpid says.
    pub fn wait_for_end(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        wait_until("a daemon's end", timeout, || Ok(self.ended()?.is_some()))?;
        self.status.ok_or_else(|| io::Error::other("a daemon ended without a status"))
    }

    /// Sends it a signal, unless it has ended (its number may be another's by now).
    ///
    /// # Errors
    /// ESRCH if it has ended.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_some() {
            return Err(Errno::ESRCH.into());
        }
        Ok(kill(self.pid(), signal)?)
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All processes whose network namespace is this one, whoever their parents are now; never the caller's own.
///
/// # Errors
/// What reading /proc says.
pub fn processes_in(namespace: &Namespace) -> io::Result<Vec<ProcessInfo>> {
    let mut inside = all_processes()?;
    inside.retain(|process| {
        let link = format!("/proc/{}/ns/net", process.pid);
        process.pid != getpid() && fs::metadata(link).is_ok_and(|file| file.ino() == namespace.inode())
    });
    Ok(inside)
}

/// Kills every process of a namespace, including those that start meanwhile, and waits until none is left.
///
/// # Errors
/// `TimedOut` if the kernel does not let go of one; what reading /proc says.
pub fn kill_all_in(namespace: &Namespace) -> io::Result<()> {
    let deadline = now() + span(KILL_WAIT);
    loop {
        let left = processes_in(namespace)?;
        if left.is_empty() {
            return Ok(());
        }
        for process in &left {
            // ESRCH: it was faster.
            let _ = kill(process.pid, Signal::SIGKILL);
        }
        if now() >= deadline {
            let text = format!("processes of {} survive SIGKILL: {left:?}", namespace.name());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a process has a journal open, which no other one of a node has.
pub fn writes_journal(pid: Pid) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut files = open.filter_map(|open| fs::read_link(open.path()).ok());
    files.any(|file| file.to_string_lossy().contains(".journal."))
}

/// Every process of this machine that is not a zombie.
///
/// # Errors
/// What reading /proc says.
pub fn all_processes() -> io::Result<Vec<ProcessInfo>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may have ended meanwhile.
        if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
            all.extend(parse_stat(Pid::from_raw(pid), &stat));
        }
    }
    Ok(all)
}

/// A line of /proc/PID/stat (proc(5)); the name may hold spaces and brackets, so its end is the last bracket.
/// A zombie is no process any more.
fn parse_stat(pid: Pid, stat: &str) -> Option<ProcessInfo> {
    let (start, rest) = stat.rsplit_once(')')?;
    let (_, name) = start.split_once('(')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then(|| ProcessInfo { pid, parent: Pid::from_raw(parent), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_table_is_read_whatever_a_process_calls_itself() {
        let pid = Pid::from_raw(7);
        let line = "7 (a) Z 1 (b) S 42 7 7 0 -1";
        let expected = ProcessInfo { pid, parent: Pid::from_raw(42), name: "a) Z 1 (b".into() };
        assert_eq!(parse_stat(pid, line), Some(expected));
        assert_eq!(parse_stat(pid, "7 (x) Z 1 7"), None, "a zombie");
        assert_eq!(parse_stat(pid, ""), None);
    }
}
