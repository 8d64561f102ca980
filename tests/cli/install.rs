//! The init script, by real shells: dash, and BusyBox's ash with nothing but BusyBox beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crosswire::pair::Side;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::lab::Lab;
use crate::lab::clock::wait_until;
use crate::lab::setup::Setup;
use crate::lab::testing::{has_tools, in_lab};
use crate::place::{Said, binary_file, say_within};

/// The script's own waits, with room for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A shell and where it finds its programs.
pub struct Shell {
    words: &'static [&'static str],
    path: Option<TempDir>,
}

/// Debian's busybox-static.
pub const BUSYBOX: &str = "/bin/busybox";

impl Shell {
    pub fn dash() -> Self {
        Self { words: &["dash"], path: None }
    }

    /// With every applet and no other program.
    pub fn busybox() -> Self {
        let path = tempfile::tempdir().expect("a directory");
        let installed = Command::new(BUSYBOX).arg("--install").arg("-s").arg(path.path()).status();
        assert!(installed.expect("it is there").success());
        Self { words: &["busybox", "ash"], path: Some(path) }
    }

    pub fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.words[0]);
        command.args(&self.words[1..]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(script));
        if let Some(path) = &self.path {
            command.env("PATH", path.path());
            // The shell itself is found by the old PATH.
            let busybox = fs::read_link(path.path().join("ash")).expect("a link to busybox");
            let mut inside = Command::new(busybox);
            inside.args(command.get_args()).env("PATH", path.path());
            command = inside;
        }
        command.args(arguments);
        command
    }
}

/// The init script on one box of a laboratory.
struct Service {
    lab: Lab,
    shell: Shell,
}

impl Service {
    fn new(shell: Shell) -> Self {
        let lab = Lab::new(&binary_file(), Setup::default()).expect("a laboratory");
        Self { lab, shell }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.lab.directory(Side::A).join(name)
    }

    fn pid_file(&self) -> PathBuf {
        self.file("run/crosswire.pid")
    }

    fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        text.trim().parse().ok().map(Pid::from_raw)
    }

    fn say_with(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Said {
        let mut command = self.shell.command("init/crosswire", arguments);
        command.env("CROSSWIRE_DEFAULTS", "/nonexistent").env("CROSSWIRE", binary_file());
        command
            .env("CROSSWIRE_CONFIG", self.file("crosswire.toml"))
            .env("CROSSWIRE_RUN_DIR", self.file("run"));
        command.env("CROSSWIRE_ARGUMENTS", "--node gw1").env("CROSSWIRE_START_SECONDS", "60");
        change(&mut command);
        self.lab.namespace(Side::A).command_in(&mut command).expect("a descriptor");
        say_within(command, PATIENCE)
    }

    /// Asserts the exit code of an action.
    fn expect(&self, action: &str, code: i32) -> Said {
        let said = self.say_with(&[action], |_| {});
        assert_eq!(said.code, Some(code), "{action} by {:?}: {said:?}", self.shell.words);
        said
    }

    fn wait_for_status(&self, code: i32) {
        let is_so = || Ok(self.say_with(&["status"], |_| {}).code == Some(code));
        wait_until("a state", PATIENCE, is_so).unwrap_or_else(|e| panic!("status {code}: {e}"));
    }
}

/// LSB 5.0, chapter 22.2: what each action ends with, whatever the daemon's state.
fn states_and_exit_codes(shell: Shell) {
    let service = Service::new(shell);
    service.expect("status", 3);
    service.expect("stop", 0);
    service.expect("reload", 7);
    service.expect("standby", 7);
    for action in ["try-restart", "force-reload"] {
        service.expect(action, 0);
        service.expect("status", 3);
    }
    service.expect("start", 0);
    let first = service.pid().expect("a pid file");
    service.expect("status", 0);
    service.expect("start", 0);
    assert_eq!(service.pid(), Some(first), "a second start changes nothing");
    for action in ["restart", "try-restart", "force-reload"] {
        let before = service.pid().expect("a pid file");
        service.expect(action, 0);
        assert_ne!(service.pid().expect("a pid file"), before, "{action}");
        service.expect("status", 0);
    }
    let before = service.pid();
    assert_eq!(service.expect("reload", 0).out, "nothing has changed\ndone\n");
    assert_eq!(service.pid(), before, "a reload restarts nothing");
    let refused = service.expect("standby", 1);
    assert!(refused.err.contains("gw2 is not heard"), "there is no peer that could serve: {refused:?}");
    assert_eq!(service.pid(), before, "nor does standby");
    service.expect("nonsense", 2);
    assert_eq!(service.say_with(&[], |_| {}).code, Some(2));
    service.expect("stop", 0);
    service.expect("status", 3);
    service.expect("restart", 0);
    service.expect("stop", 0);
    assert!(!service.pid_file().exists());

    let refused = service.say_with(&["start"], |command| {
        command.env("CROSSWIRE", "/nonexistent");
    });
    assert_eq!(refused.code, Some(5), "{refused:?}");
    let refused = service.say_with(&["start"], |command| {
        command.env("CROSSWIRE_CONFIG", "/nonexistent");
    });
    assert_eq!(refused.code, Some(6), "{refused:?}");
    fs::write(service.file("crosswire.toml"), "nonsense\n").expect("written");
    let refused = service.expect("start", 6);
    assert!(refused.err.contains("crosswire.toml:1:"), "it is said why: {refused:?}");
    service.expect("status", 3);
}

/// A pid file that was left behind, or names somebody else, hinders nothing and harms nobody.
fn after_a_crash(shell: Shell) {
    let service = Service::new(shell);
    service.expect("start", 0);
    let crashed = service.pid().expect("a pid file");
    kill(crashed, Signal::SIGKILL).expect("it runs");
    service.wait_for_status(1);
    service.expect("start", 0);
    assert_ne!(service.pid().expect("a pid file"), crashed);
    service.expect("status", 0);
    service.expect("stop", 0);

    for text in [
        format!("{}\n", std::process::id()),
        "1\n".to_owned(),
        "-1\n".to_owned(),
        "x\n".to_owned(),
        String::new(),
    ] {
        fs::create_dir_all(service.file("run")).expect("the run directory");
        fs::write(service.pid_file(), &text).expect("written");
        service.expect("status", 1);
        service.expect("stop", 0);
        service.expect("status", 3);
        fs::write(service.pid_file(), &text).expect("written");
        service.expect("start", 0);
        service.expect("status", 0);
        service.expect("stop", 0);
    }
}

/// One that hears nothing any more is ended all the same, and its agent with it.
fn by_force(shell: Shell) {
    let service = Service::new(shell);
    service.expect("start", 0);
    kill(service.pid().expect("a pid file"), Signal::SIGSTOP).expect("it runs");
    let stopped = service.say_with(&["force-stop"], |command| {
        command.env("CROSSWIRE_FORCE_SECONDS", "2");
    });
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    service.expect("status", 3);
    let left = service.lab.processes(Side::A).expect("the processes of a box");
    assert!(left.is_empty(), "{left:?}");
    // Stopping takes its time, but not for ever.
    service.expect("start", 0);
    kill(service.pid().expect("a pid file"), Signal::SIGSTOP).expect("it runs");
    let stopped = service.say_with(&["stop"], |command| {
        command.env("CROSSWIRE_STOP_SECONDS", "2").env("CROSSWIRE_FORCE_SECONDS", "2");
    });
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    service.expect("status", 3);
    service.lab.signal_all(Side::A, Signal::SIGKILL).expect("nothing is left");
}

/// What runs is not stopped for what would not start.
fn the_file_comes_first(shell: Shell) {
    let service = Service::new(shell);
    let config = service.file("crosswire.toml");
    let good = fs::read_to_string(&config).expect("a configuration");
    service.expect("start", 0);
    let pid = service.pid().expect("a pid file");
    let refused = |code: i32, why: &str, change: &dyn Fn(&mut Command)| {
        for action in ["restart", "try-restart", "force-reload", "reload"] {
            let said = service.say_with(&[action], |command| change(command));
            assert_eq!(said.code, Some(code), "{action}: {said:?}");
            assert!(said.err.contains(why), "{action}: {said:?}");
            assert_eq!(service.pid(), Some(pid), "{action} with {why}");
            service.expect("status", 0);
        }
    };
    fs::write(&config, good.replace("interface", "interfaces")).expect("written");
    refused(6, "unknown key \"interfaces\"", &|_| {});
    fs::write(&config, &good).expect("written");
    let key = service.file("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("its mode");
    refused(6, "has mode 0644", &|_| {});
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its mode");
    refused(5, "is not there", &|command| {
        command.env("CROSSWIRE", "/nonexistent/crosswire");
    });
    refused(6, "is not there", &|command| {
        command.env("CROSSWIRE_CONFIG", "/nonexistent");
    });
    // One that is older than the question is started all the same.
    let older = service.file("crosswire");
    let script =
        format!("#!/bin/sh\ncase $* in *--check*) exit 2 ;; esac\nexec {} \"$@\"\n", binary_file().display());
    fs::write(&older, script).expect("written");
    fs::set_permissions(&older, fs::Permissions::from_mode(0o755)).expect("its mode");
    let said = service.say_with(&["restart"], |command| {
        command.env("CROSSWIRE", &older);
    });
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_ne!(service.pid(), Some(pid), "it was restarted");
    service.expect("stop", 0);
}

#[test]
fn the_init_script_looks_at_the_file_before_it_stops_anything_in_dash() {
    in_lab(|| the_file_comes_first(Shell::dash()));
}

#[test]
fn the_init_script_looks_at_the_file_before_it_stops_anything_in_busybox() {
    if has_tools(&[BUSYBOX]) {
        in_lab(|| the_file_comes_first(Shell::busybox()));
    }
}

/// LSB 5.0: whoever may not look is told 4, not that nothing runs.
#[test]
fn the_init_script_does_not_guess_a_status() {
    let scratch = tempfile::tempdir().expect("a directory");
    let run_dir = scratch.path().join("run");
    fs::create_dir(&run_dir).expect("a directory");
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
    fs::set_permissions(&run_dir, fs::Permissions::from_mode(0o700)).expect("its mode");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/init/crosswire");
    let mut inside = Command::new("sh");
    inside.arg("-c").arg(format!(
        "CROSSWIRE_RUN_DIR={} CROSSWIRE_DEFAULTS=/nonexistent setpriv --reuid 65534 --clear-groups dash -s \
            status <{}",
        run_dir.display(),
        script.display()
    ));
    let said = say_within(inside, PATIENCE);
    assert_eq!(said.code, Some(4), "{said:?}");
}

#[test]
fn the_init_script_has_the_exit_codes_of_lsb_in_dash() {
    in_lab(|| states_and_exit_codes(Shell::dash()));
}

#[test]
fn the_init_script_has_the_exit_codes_of_lsb_in_busybox() {
    if has_tools(&[BUSYBOX]) {
        in_lab(|| states_and_exit_codes(Shell::busybox()));
    }
}

#[test]
fn the_init_script_survives_a_crash_in_dash() {
    in_lab(|| after_a_crash(Shell::dash()));
}

#[test]
fn the_init_script_survives_a_crash_in_busybox() {
    if has_tools(&[BUSYBOX]) {
        in_lab(|| after_a_crash(Shell::busybox()));
    }
}

#[test]
fn the_init_script_ends_a_hanging_daemon_in_dash() {
    in_lab(|| by_force(Shell::dash()));
}

#[test]
fn the_init_script_ends_a_hanging_daemon_in_busybox() {
    if has_tools(&[BUSYBOX]) {
        in_lab(|| by_force(Shell::busybox()));
    }
}

/// LSB 5.0: who may not do it is told so with 4. Whoever is nobody in a user namespace of its own has no
/// rights outside.
#[test]
fn the_init_script_is_for_root() {
    for (shell, is_there) in [("dash", true), (BUSYBOX, has_tools(&[BUSYBOX]))] {
        for action in
            ["start", "stop", "restart", "reload", "standby", "force-stop"].into_iter().filter(|_| is_there)
        {
            let mut command = Command::new("unshare");
            command.args(["--user", shell]).args((shell == BUSYBOX).then_some("ash"));
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/init/crosswire")).arg(action);
            let said = say_within(command, PATIENCE);
            assert_eq!(
                (said.code, said.err),
                (Some(4), format!("crosswire: {action} is for root\n")),
                "{shell}"
            );
        }
    }
}

/// Links are made by what the header says: on before nothing that it needs, off before the network.
#[test]
fn the_init_script_stops_before_the_network_does() {
    let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/init/crosswire"))
        .expect("a script");
    let header: Vec<&str> = script
        .lines()
        .skip_while(|line| *line != "### BEGIN INIT INFO")
        .take_while(|line| *line != "### END INIT INFO")
        .collect();
    for key in ["# Required-Start:", "# Required-Stop:"] {
        let line = header.iter().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key}"));
        assert!(line.contains("$network"), "{line}");
    }
    assert!(header.contains(&"# Default-Stop:      0 1 6"), "{header:?}");
}
