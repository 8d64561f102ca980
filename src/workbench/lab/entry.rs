//! The way in: namespaces need root, or a user namespace in which one is root.

use std::env;
use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{getegid, geteuid, getpid, getppid, write};

use super::doing;

/// Marks a process that is already inside, so that a refusal there is final.
const INSIDE: &str = "CROSSWIRE_LAB_INSIDE";

/// Milliseconds to wait for a joined thread to be gone.
const MAX_TRIES: u32 = 200;

/// Whether this process may make network namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It may: go on.
    Root,
    /// It may not, but perhaps inside a user namespace: call [`become_root`] or [`again_as_root`].
    Outside,
}

/// Finds out by trying.
///
/// # Errors
/// If this process is already inside a user namespace and may not all the same; says how to go on.
pub fn standing() -> io::Result<Standing> {
    match try_network_namespace() {
        Ok(()) => Ok(Standing::Root),
        Err(e) if env::var_os(INSIDE).is_some() => Err(forbidden(e)),
        Err(_) => Ok(Standing::Outside),
    }
}

/// Runs this very program again in place of this process (same number, same terminal, same signals), as root
/// of a new user namespace and a new network namespace. Only for a process without other threads. Returns
/// only if that fails; then this process may be half way inside, and should end.
pub fn become_root<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> io::Error {
    let maps = match Maps::of_this_user() {
        Ok(maps) => maps,
        Err(e) => return e,
    };
    if let Err(e) = settle_alone().and_then(|()| maps.write()) {
        return forbidden(e);
    }
    this_program(arguments).exec()
}

/// A command that runs this very program again, with `arguments`, as root of a new user namespace and a new
/// network namespace. It is killed when the calling *thread* dies, so wait for it where you start it.
///
/// # Errors
/// If a mapping cannot be written down.
pub fn again_as_root<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> io::Result<Command> {
    let mut command = this_program(arguments);
    let maps = Maps::of_this_user()?;
    let parent = getpid();
    let enter = move || {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
        maps.write()?;
        // After unshare, which clears it.
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: a fixed sequence of system calls on strings that were made before the fork: nothing is
    // allocated. The forked child has a single thread, as unshare(CLONE_NEWUSER) requires.
    unsafe { command.pre_exec(enter) };
    Ok(command)
}

/// By its descriptor, not by its path: directories on the way may be closed to this user.
fn this_program<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = env::args_os().next() {
        command.arg0(name);
    }
    command.args(arguments).env(INSIDE, "1");
    command
}

/// Unshares this process itself. A thread that has been joined may still be on its way out of the kernel,
/// which then says EINVAL; it is gone within a moment.
fn settle_alone() -> io::Result<()> {
    for _ in 0..MAX_TRIES {
        match unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET) {
            Err(Errno::EINVAL) => thread::sleep(Duration::from_millis(1)),
            done => return Ok(done?),
        }
    }
    Err(io::Error::other("a process with threads cannot enter a user namespace"))
}

/// Starts what [`again_as_root`] gives.
///
/// # Errors
/// If the kernel forbids user namespaces; says how to go on.
pub fn enter(command: &mut Command) -> io::Result<Child> {
    command.spawn().map_err(forbidden)
}

/// What goes into the files that say who is who inside.
struct Maps {
    users: CString,
    groups: CString,
}

impl Maps {
    fn of_this_user() -> io::Result<Self> {
        Ok(Self {
            users: CString::new(format!("0 {} 1\n", geteuid()))?,
            groups: CString::new(format!("0 {} 1\n", getegid()))?,
        })
    }

    /// setgroups(2) must be given up before a group may be mapped without privilege (user_namespaces(7)).
    fn write(&self) -> io::Result<()> {
        write_file(c"/proc/self/setgroups", c"deny")?;
        write_file(c"/proc/self/uid_map", &self.users)?;
        write_file(c"/proc/self/gid_map", &self.groups)
    }
}

/// As `fs::write`, without allocating.
fn write_file(path: &CStr, text: &CStr) -> io::Result<()> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    write(&file, text.to_bytes())?;
    Ok(())
}

/// On a thread that ends at once, and its namespace with it.
fn try_network_namespace() -> io::Result<()> {
    let attempt =
        thread::Builder::new().name("lab-visit".into()).spawn(|| unshare(CloneFlags::CLONE_NEWNET))?;
    let answer = attempt.join().map_err(|_| io::Error::other("the thread that tried unshare(2) panicked"))?;
    Ok(answer?)
}

/// Says how to go on; names the setting that stands in the way, where it can be seen.
fn forbidden(cause: io::Error) -> io::Error {
    let settings = [
        ("kernel.unprivileged_userns_clone", "/proc/sys/kernel/unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "/proc/sys/user/max_user_namespaces", "0", "1000"),
        ("user.max_net_namespaces", "/proc/sys/user/max_net_namespaces", "0", "1000"),
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "0",
        ),
    ];
    let in_the_way = settings.iter().find_map(|(name, file, forbids, allows)| {
        let now = fs::read_to_string(file).ok()?;
        (now.trim() == *forbids).then(|| format!("or allow it: sysctl {name}={allows} (now {forbids})"))
    });
    let hint = in_the_way
        .unwrap_or_else(|| "or where user namespaces are allowed (containers often forbid them)".into());
    let cause = doing("this needs network namespaces, which this user may not make")(cause);
    io::Error::new(cause.kind(), format!("{cause}; run it as root, {hint}"))
}
