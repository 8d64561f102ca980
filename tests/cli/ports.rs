//! Serial ports that must not, or may not, be used: `run` refuses with 78 and says how to free them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{geteuid, setsid};

use crate::lab::executable::copy_executable;
use crate::lab::namespace::Namespace;
use crate::lab::testing::in_lab;
use crate::place::{Place, Said};

/// Somebody without any rights.
const NOBODY: u32 = 65_534;

fn name_of_port(place: &Place) -> String {
    place.device.display().to_string()
}

fn open_port(place: &Place) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(&place.device)
        .expect("the port")
}

/// What `run` says in a network namespace of its own, where nothing that it might do would matter.
fn run_apart(place: &Place, change: impl FnOnce(&mut Command)) -> Said {
    say_apart(place, place.run(), change)
}

fn say_apart(place: &Place, mut command: Command, change: impl FnOnce(&mut Command)) -> Said {
    let namespace = Namespace::new("box").expect("a namespace");
    namespace.command_in(&mut command).expect("a descriptor");
    change(&mut command);
    place.say(command)
}

fn assert_refused(said: &Said, expected: &str) {
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(78), "", expected));
}

#[test]
fn another_program_has_locked_the_port() {
    in_lab(|| {
        let port = Place::new();
        let lock = Flock::lock(open_port(&port), FlockArg::LockExclusiveNonblock).expect("the lock");
        let name = name_of_port(&port);
        let expected = format!(
            "crosswire: path serial: {name} is in use by another program: stop it (`fuser -v {name}` names \
                it)\n"
        );
        // It may be gone in a moment: no reason for a service manager not to try again.
        let said = run_apart(&port, |_| {});
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(1), "", expected.as_str()));
        drop(lock);
    });
}

/// A program in a session of its own, whose controlling terminal is the port: what a getty is.
fn login_on(port: &Place) -> Child {
    let terminal = open_port(port);
    let descriptor = terminal.as_raw_fd();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "echo ready; exec sleep 1000"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let take = move || {
        setsid()?;
        // SAFETY: TIOCSCTTY takes a number; the descriptor is open until exec.
        nix::errno::Errno::result(unsafe { libc::ioctl(descriptor, libc::TIOCSCTTY, 0) })?;
        Ok(())
    };
    // SAFETY: two system calls without allocation, as is allowed between fork and exec.
    unsafe { command.pre_exec(take) };
    let mut child = command.spawn().expect("a shell");
    let mut ready = [0; 6];
    child.stdout.take().expect("piped").read_exact(&mut ready).expect("it is ready");
    child
}

#[test]
fn a_login_lives_on_the_port() {
    in_lab(|| {
        let port = Place::new();
        let mut login = login_on(&port);
        let said = run_apart(&port, |_| {});
        let checked = port.say(port.check());
        login.kill().expect("it lives");
        login.wait().expect("it ends");
        let (name, number) = (name_of_port(&port), name_of_port(&port).replace("/dev/pts/", ""));
        let expected = |program: &str| {
            format!(
                "DIR/c.toml:8:10: {name} is the terminal of {program} (process {}); take {number} out of \
                 /etc/inittab or run `systemctl disable --now serial-getty@{number}`, or use another port\n",
                login.id()
            )
        };
        // The shell may not yet have become what it executes.
        for said in [said, checked] {
            assert!([expected("sleep"), expected("sh")].contains(&said.err), "{said:?}");
            assert_eq!(said.code, Some(78));
        }
    });
}

/// Shows a list of consoles of ours in place of the kernel's, to this process alone. Without allocating.
fn pretend_consoles(list: &std::ffi::CStr) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&std::ffi::CStr> = None;
    mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some(list), c"/proc/consoles", none, MsFlags::MS_BIND, none)
}

#[test]
fn the_port_is_the_kernels_console() {
    in_lab(|| {
        let port = Place::new();
        let number = name_of_port(&port).replace("/dev/pts/", "");
        let list = port.path("consoles");
        fs::write(&list, format!("pts/{number}                -W- (EC  p a)  136:{number}\n"))
            .expect("a list");
        let list = std::ffi::CString::new(list.display().to_string()).expect("a path");
        let name = name_of_port(&port);
        let expected = format!(
            "DIR/c.toml:8:10: {name} is the kernel's console; remove console={number} from the kernel's \
                command line \
             and reboot, or use another port\n"
        );
        for command in [port.run(), port.check()] {
            let list = list.clone();
            let said = say_apart(&port, command, |command| {
                let pretend = move || Ok(pretend_consoles(&list)?);
                // SAFETY: three system calls without allocation, as is allowed between fork and exec.
                unsafe { command.pre_exec(pretend) };
            });
            assert_refused(&said, &expected);
        }
    });
}

/// `check` asks what `run` asks, before and after the port is opened.
#[test]
fn the_port_is_no_serial_port() {
    in_lab(|| {
        for (device, what) in [("DIR/key", ""), ("/dev/null", ""), ("/dev/tty", "a console, ")] {
            let place = Place::new();
            let file = device.replace("DIR/key", &place.path("key").display().to_string());
            let place = place.on(&file);
            let expected =
                format!("DIR/c.toml:8:10: {device} is {what}not a serial port; set `device` to a tty\n");
            assert_refused(&run_apart(&place, |_| {}), &expected);
            assert_refused(&place.say(place.check()), &expected);
            let mut command = place.run();
            command.arg("--check");
            assert_refused(&place.say(command), &expected);
        }
    });
}

/// `run` by somebody without rights, on a copy of the binary that anybody may execute.
fn run_as_nobody(place: &Place) -> Said {
    let copy = place.path("crosswire");
    copy_executable(Path::new(env!("CARGO_BIN_EXE_crosswire")), &copy);
    let mut command = Command::new(copy);
    command.args(["run", "--foreground", "--node", "gw1"]);
    command.arg("--config").arg(place.path("c.toml")).arg("--run-dir").arg(place.path("run"));
    if geteuid().is_root() {
        chown(place.path("key"), Some(NOBODY), Some(NOBODY)).expect("its owner");
        command.uid(NOBODY).gid(NOBODY);
    }
    place.say(command)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
}

/// Not in the laboratory, where everybody is root.
#[test]
fn no_permission_for_the_port() {
    let port = Place::new();
    set_mode(&port.device, 0o000);
    let name = name_of_port(&port);
    let expected = format!("crosswire: path serial: {name}: permission denied: start crosswire as root\n");
    assert_refused(&run_as_nobody(&port), &expected);
}

/// The serial port is open to everybody, the UDP port is not.
#[test]
fn no_permission_for_the_lan() {
    let port = Place::new();
    set_mode(&port.device, 0o666);
    let said = run_as_nobody(&port);
    assert_eq!(said.code, Some(78), "{said:?}");
    assert!(said.err.starts_with("crosswire: path lan: "), "{said:?}");
    assert!(said.err.contains("start crosswire as root"), "{said:?}");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
}
