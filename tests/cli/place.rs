//! A directory with a configuration and a key, and the shipped binary run on it.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use tempfile::TempDir;

use crate::lab::clock::wait_until;

/// Longest that a command may run.
const COMMAND_WAIT: Duration = Duration::from_secs(60);
/// A good key.
pub const SECRET: &str = "00112233445566778899aabbccddeeff";

/// Tells the pairs of this process apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What a command wrote, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A directory of its own, and a serial port: a pseudo-terminal, which is there as long as its master.
pub struct Place {
    directory: TempDir,
    /// The port of the file.
    pub device: PathBuf,
    _port: PtyMaster,
}

impl Place {
    /// The shortest useful file, of which every box has everything, as gw1: a port of its own, `lo` for a
    /// LAN. Every pair has a name of its own, so that two tests never meet.
    pub fn new() -> Self {
        let (port, device) = port();
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("its mode");
        let place = Self { directory, device, _port: port };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let text = format!(
            "pair = \"t{}-{number}\"\nkey = \"{}\"\n[node.gw1]\nlan = \"127.0.0.1\"\n[node.gw2]\nlan \
                = \"127.0.0.2\"\n\
             [serial]\ndevice = \"{}\"\n[lan]\ninterface = \"lo\"\n[group.gateway]\naddresses = \
             [\"10.0.0.100/24\"]\n",
            std::process::id(),
            place.path("key").display(),
            place.device.display()
        );
        fs::write(place.path("c.toml"), text).expect("a configuration");
        place.write_key(&format!("1 {SECRET}\n"), 0o600);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a part of the configuration, which has to be there.
    pub fn with(self, from: &str, to: &str) -> Self {
        let text = fs::read_to_string(self.path("c.toml")).expect("a configuration");
        assert!(text.contains(from), "{from:?} is not in\n{text}");
        fs::write(self.path("c.toml"), text.replace(from, to)).expect("written");
        self
    }

    /// With another device for a port.
    pub fn on(self, device: &str) -> Self {
        let port = self.device.display().to_string();
        self.with(&port, device)
    }

    pub fn write_key(&self, text: &str, mode: u32) {
        fs::write(self.path("key"), text).expect("a key file");
        fs::set_permissions(self.path("key"), Permissions::from_mode(mode)).expect("its mode");
    }

    /// `run --foreground` as gw1.
    pub fn run(&self) -> Command {
        let mut command = binary();
        command.args(["run", "--foreground", "--node", "gw1"]);
        command.arg("--config").arg(self.path("c.toml")).arg("--run-dir").arg(self.path("run"));
        command
    }

    /// `check` as gw1.
    pub fn check(&self) -> Command {
        let mut command = binary();
        command.args(["check", "-v", "--node", "gw1"]).arg("--config").arg(self.path("c.toml"));
        command
    }

    /// What was said, with the directory called `DIR`.
    pub fn say(&self, command: Command) -> Said {
        let name = self.directory.path().display().to_string();
        let Said { code, out, err } = say(command);
        Said { code, out: out.replace(&name, "DIR"), err: err.replace(&name, "DIR") }
    }
}

/// A new pseudo-terminal, and its name.
fn port() -> (PtyMaster, PathBuf) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a pseudo-terminal");
    grantpt(&master).expect("its owner");
    unlockpt(&master).expect("its lock");
    let device = PathBuf::from(ptsname_r(&master).expect("its name"));
    (master, device)
}

/// The shipped binary, or the one that `CROSSWIRE_BINARY` names: the router's.
pub fn binary() -> Command {
    Command::new(binary_file())
}

/// Where it is: `CROSSWIRE_BINARY`, or what cargo has built.
pub fn binary_file() -> PathBuf {
    std::env::var_os("CROSSWIRE_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_crosswire").into()).into()
}

/// What cargo has built, with everything in it.
pub fn workstation_file() -> PathBuf {
    env!("CARGO_BIN_EXE_crosswire").into()
}

/// The shipped binary with arguments.
pub fn crosswire(arguments: &[&str]) -> Command {
    let mut command = binary();
    command.args(arguments);
    command
}

/// Runs a command to its end.
pub fn say(command: Command) -> Said {
    say_within(command, COMMAND_WAIT)
}

/// Runs a command that may take that long to its end.
pub fn say_within(mut command: Command, patience: Duration) -> Said {
    let scratch = tempfile::tempdir().expect("a directory");
    let [out, err] = ["out", "err"].map(|name| scratch.path().join(name));
    command.stdin(Stdio::null());
    command.stdout(File::create(&out).expect("a file")).stderr(File::create(&err).expect("a file"));
    let mut child = command.spawn().expect("the binary can be run");
    let ended = wait_until("a command's end", patience, || Ok(child.try_wait()?.is_some()));
    if ended.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().expect("it has ended");
    let said = Said { code: status.code(), out: read(&out), err: read(&err) };
    ended.unwrap_or_else(|e| panic!("{e}: {command:?} {said:?}"));
    said
}

fn read(file: &Path) -> String {
    let mut bytes = Vec::new();
    File::open(file).expect("it was made").read_to_end(&mut bytes).expect("it can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}
