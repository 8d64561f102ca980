//! How the agent gives up root, before it reads the first byte from outside, and the writer of the journal.
//!
//! If a step fails, that is said, and the rest is done all the same: inside a user namespace some steps are
//! not possible. But no capability may remain: that is an error.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::{set_dumpable, set_no_new_privs};
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use nix::sys::stat::fstat;
use nix::unistd::{Gid, Uid, chdir, chroot, fchdir, setgroups, setresgid, setresuid};
use thiserror::Error;

use crate::sys::{calls, capabilities, names};

/// The agent's user, where it exists.
const USER: &str = "crosswire";
/// Where there is no such user, a number that neither distributions nor systemd hand out
/// (systemd.io/UIDS-GIDS), and that a container with 16 bits of numbers has too. Never `nobody`: other
/// programs run as that user too, and any of them could end the agent.
const FIRST_OWN_ID: u32 = 60_600;
/// How many there are.
const OWN_IDS: u32 = 500;
/// Paths, listeners, the guard, the log and some room.
const MAX_OPEN_FILES: rlim_t = 64;
/// What became of our privileges.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Dropped {
    /// What could not be dropped and why, one phrase each, to be logged; empty when all is gone.
    pub kept: Vec<String>,
}

/// Some capability is still there: the agent must not go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum StillPrivileged {
    /// The kernel refused to take them back.
    #[error("the kernel does not take its capabilities back: {}", .0.desc())]
    Capset(Errno),
    /// They are still there afterwards.
    #[error("it still has capabilities {0:#x} after giving them up")]
    Capabilities(u64),
    /// Root can be had again.
    #[error("it can become root again")]
    RootAgain,
}

/// Gives up everything that the agent does not need, for good: root directory, user, groups, capabilities,
/// new processes, and being looked into. `/dev/log` is out of sight afterwards: the guard connects the
/// agent's socket to it. No file may grow beyond `max_file_bytes`.
pub fn drop_all(run_dir: &Path, max_file_bytes: rlim_t) -> Result<Dropped, StillPrivileged> {
    let mut dropped = Dropped::default();
    // Looked up now, while /etc is in sight.
    let (uid, gid) = names::user(USER).unwrap_or_else(|| own_ids(own_id_of(run_dir), names::is_known));
    dropped.note("the root directory", enter_empty_root(&run_dir.join("empty")));
    dropped.note("open files", limit(Resource::RLIMIT_NOFILE, MAX_OPEN_FILES));
    dropped.note("core dumps", limit(Resource::RLIMIT_CORE, 0));
    dropped.note("files of any size", limit_files(max_file_bytes));
    dropped.note("message queues", limit(Resource::RLIMIT_MSGQUEUE, 0));
    dropped.note("the bounding set", capabilities::clear_bounding_set().map_err(io::Error::from));
    dropped.note("supplementary groups", setgroups(&[]).map_err(io::Error::from));
    dropped.note("the group", setresgid(gid, gid, gid).map_err(io::Error::from));
    let became = setresuid(uid, uid, uid);
    dropped.note("the user", became.map_err(io::Error::from));
    dropped.note("new privileges on exec", set_no_new_privs().map_err(io::Error::from));
    capabilities::clear().map_err(StillPrivileged::Capset)?;
    // After the user: older kernels count the new user's processes when it changes.
    dropped.note("new processes", limit(Resource::RLIMIT_NPROC, 0));
    dropped.note("being traced", set_dumpable(false).map_err(io::Error::from));
    match capabilities::all() {
        0 if became.is_ok() && setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() => {
            Err(StillPrivileged::RootAgain)
        }
        0 => Ok(dropped),
        left => Err(StillPrivileged::Capabilities(left)),
    }
}

/// Where the search for a number begins: elsewhere for each run directory, and so for each daemon on the box.
fn own_id_of(run_dir: &Path) -> u32 {
    crosswire::frame::seal::crc32(run_dir.as_os_str().as_bytes()) % OWN_IDS
}

/// A number that no user or group of this box has.
fn own_ids(begin: u32, is_known: impl Fn(u32) -> bool) -> (Uid, Gid) {
    let mut ids = (0..OWN_IDS).map(|step| FIRST_OWN_ID + (begin + step) % OWN_IDS);
    let id = ids.find(|id| !is_known(*id)).unwrap_or(FIRST_OWN_ID + begin);
    (Uid::from_raw(id), Gid::from_raw(id))
}

impl Dropped {
    /// Gives up every system call that the agent does not need. `no_new_privs` has to be set.
    pub fn drop_calls(&mut self) {
        self.note("other system calls", calls::restrict().map_err(io::Error::from));
    }

    fn note(&mut self, what: &str, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            self.kept.push(format!("{what} ({error})"));
        }
    }
}

/// Makes an empty directory that only root could fill, and locks us into it.
fn enter_empty_root(empty: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o555).create(empty) {
        Ok(()) => {}
        // On a read-only root the directory may be there already.
        Err(error) if !empty.is_dir() => return Err(error),
        Err(_) => {}
    }
    let directory = fs::OpenOptions::new().read(true).open(empty)?;
    let found = fs::symlink_metadata(empty)?;
    let is_sound = found.is_dir()
        && found.uid() == 0
        && found.mode() & 0o022 == 0
        && fs::read_dir(empty)?.next().is_none();
    if !is_sound {
        return Err(io::Error::other(format!(
            "{} is not an empty directory of root's alone",
            empty.display()
        )));
    }
    fchdir(&directory)?;
    chroot(".")?;
    chdir("/")?;
    Ok(())
}

fn limit(what: Resource, to: rlim_t) -> io::Result<()> {
    setrlimit(what, to, to).map_err(io::Error::from)
}

/// Limits how far any file grows, even one that comes as a descriptor; except where the log is a file, in the
/// foreground.
fn limit_files(to: rlim_t) -> io::Result<()> {
    let is_file = |what: nix::libc::mode_t| what & libc::S_IFMT == libc::S_IFREG;
    if fstat(io::stderr()).is_ok_and(|stat| is_file(stat.st_mode)) {
        return Ok(());
    }
    limit(Resource::RLIMIT_FSIZE, to)
}

#[cfg(test)]
mod tests {

    use nix::sched::{CloneFlags, unshare};
    use nix::sys::prctl::{get_dumpable, get_no_new_privs};
    use nix::sys::resource::getrlimit;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    use nix::unistd::{ForkResult, getgroups};

    use super::*;
    use crate::clock::now;
    use crate::guard::kernel::addresses::Addresses;
    use crate::guard::testing::{Veth, address, in_namespace, told_by_a_child};
    use crate::sys::process::{fork, leave};
    use crosswire::time::Span;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::{chroot, execv};

    /// Drops everything in a child and returns what the child says of itself.
    fn in_child(
        before: impl FnOnce(),
        report: impl FnOnce(Result<Dropped, StillPrivileged>) -> String,
    ) -> String {
        let run_dir = tempfile::tempdir().expect("a directory");
        told_by_a_child(|| {
            before();
            report(drop_all(run_dir.path(), 0))
        })
    }

    #[test]
    fn nothing_is_left_that_root_could_do() {
        in_namespace(|| {
            let report = in_child(
                || (),
                |dropped| {
                    let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None);
                    let forked = fork().map(|result| {
                        if matches!(result, ForkResult::Child) {
                            leave(0)
                        }
                    });
                    format!(
                        "{dropped:?} caps={:x} raw={raw:?} root={} fork={forked:?} nnp={:?} dumpable={:?} \
                            files={:?} groups={:?}",
                        capabilities::all(),
                        fs::read_dir("/").map_or(99, Iterator::count),
                        get_no_new_privs(),
                        get_dumpable(),
                        getrlimit(Resource::RLIMIT_NOFILE),
                        getgroups().map(|groups| groups.len()),
                    )
                },
            );
            assert!(report.contains("caps=0 raw=Err(EPERM) root=0"), "{report}");
            assert!(report.contains("nnp=Ok(true) dumpable=Ok(false) files=Ok((64, 64))"), "{report}");
            if !is_user_namespace() {
                assert!(report.contains("Ok(Dropped { kept: [] })"), "{report}");
                assert!(report.contains("fork=Err(EAGAIN)") && report.contains("groups=Ok(0)"), "{report}");
            }
        });
    }

    /// What somebody could do who has taken over the agent through what it parses.
    #[test]
    fn who_takes_over_the_agent_opens_no_file_adds_no_address_runs_no_program_and_ends_nobody() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let parent = nix::unistd::getpid();
            // There every process may be ours.
            let is_nested = is_user_namespace();
            let report = in_child(
                || (),
                |_| {
                    let read = fs::read("/etc/passwd").map(drop).map_err(|error| error.kind());
                    let written = fs::write("/left-behind", "x").map_err(|error| error.kind());
                    let process = fs::read("/proc/self/environ").map(drop).map_err(|error| error.kind());
                    let run = execv(c"/bin/sh", &[c"sh"]).map(drop);
                    let wanted = [address("10.9.0.66/24@near")];
                    let until = now() + Span::from_s(9);
                    let added =
                        Addresses::open(Span::from_s(1)).map(|mut addresses| addresses.add(&wanted, until));
                    let mounted = chroot("/");
                    let killed = if is_nested { Err(Errno::EPERM) } else { kill(parent, Signal::SIGUSR2) };
                    format!("{read:?} {written:?} {process:?} {run:?} {added:?} {mounted:?} {killed:?}")
                },
            );
            let nowhere = "Err(NotFound)";
            let errno = Errno::EPERM as i32;
            let expected = format!(
                "{nowhere} Err(PermissionDenied) {nowhere} Err(ENOENT) Ok(Err(Refused(0, {errno}))) \
                    Err(EPERM) Err(EPERM)"
            );
            assert_eq!(report, expected);
        });
    }

    /// Where assertions are compiled in, a call that is not among the agent's ends it.
    #[test]
    fn a_call_that_the_agent_does_not_make_is_refused() {
        use nix::sys::wait::{WaitStatus, waitpid};
        in_namespace(|| {
            let run_dir = tempfile::tempdir().expect("a directory");
            let ends = |call: fn() -> bool| match fork().expect("forked") {
                ForkResult::Parent { child } => waitpid(child, None).expect("it ends"),
                ForkResult::Child => {
                    let mut dropped = drop_all(run_dir.path(), 0).expect("dropped");
                    dropped.drop_calls();
                    leave(i32::from(!dropped.kept.iter().all(|kept| !kept.contains("calls")) || !call()))
                }
            };
            let is_well = |status| matches!(status, WaitStatus::Exited(_, 0));
            let asks_for_addresses = || !crate::settings::neighbours::addresses_of_box().is_empty();
            assert!(is_well(ends(clock_is_read)) && is_well(ends(asks_for_addresses)));
            let opens_a_file = || fs::File::open("/x").is_err();
            let opens_a_socket =
                || socket(AddressFamily::Unix, SockType::Datagram, SockFlag::empty(), None).is_err();
            for call in [opens_a_file, opens_a_socket] {
                let status = ends(call);
                assert!(matches!(status, WaitStatus::Signaled(_, Signal::SIGSYS, _)), "{status:?}");
            }
        });
    }

    fn clock_is_read() -> bool {
        now() > crosswire::time::Instant::ORIGIN
    }

    #[test]
    fn a_user_that_cannot_be_had_is_said_and_the_rest_is_dropped() {
        in_namespace(|| {
            // A user namespace without a map knows neither our user nor a number of our own.
            let enter = || unshare(CloneFlags::CLONE_NEWUSER).expect("a user namespace");
            let report = in_child(enter, |dropped| format!("{dropped:?} caps={:x}", capabilities::all()));
            assert!(report.starts_with("Ok(") && report.ends_with("caps=0"), "{report}");
            assert!(
                report.contains("the user (Invalid") && report.contains("the group (Invalid"),
                "{report}"
            );
        });
    }

    #[test]
    fn the_agent_is_nobody_whom_others_are_too() {
        let never = |_| false;
        let id = |begin, is_known: &dyn Fn(u32) -> bool| own_ids(begin, is_known).0.as_raw();
        assert_eq!(id(0, &never), FIRST_OWN_ID);
        assert_eq!(
            id(OWN_IDS - 1, &|id| id == FIRST_OWN_ID + OWN_IDS - 1),
            FIRST_OWN_ID,
            "who has it keeps it"
        );
        assert_ne!(own_id_of(Path::new("/run/crosswire")), own_id_of(Path::new("/run/crosswire-2")));
        if names::user(USER).is_some() {
            return;
        }
        in_namespace(|| {
            let report = in_child(|| (), |_| nix::unistd::getuid().as_raw().to_string());
            let uid: u32 = report.parse().expect("a number");
            let is_own = (FIRST_OWN_ID..FIRST_OWN_ID + OWN_IDS).contains(&uid);
            assert!(is_user_namespace() || (is_own && !names::is_known(uid)), "{uid}");
        });
    }

    fn is_user_namespace() -> bool {
        !fs::read_to_string("/proc/self/uid_map").expect("proc is mounted").contains("4294967295")
    }

    #[test]
    fn a_directory_with_something_in_it_is_no_empty_root() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("secret"), "x").expect("written");
        let error = enter_empty_root(dir.path()).expect_err("not empty").to_string();
        assert!(error.contains("is not an empty directory of root's alone"), "{error}");
    }
}
