//! The init script and the installer, by real shells: dash, and BusyBox's ash with nothing but BusyBox beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crosswire::config::Side;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::lab::Lab;
use crate::lab::clock::wait_until;
use crate::lab::setup::Setup;
use crate::lab::testing::{has_tools, in_lab};
use crate::place::{Said, binary, binary_file, say_within};

/// The script's own waits, with room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A shell and where it finds its programs.
struct Shell {
    words: &'static [&'static str],
    path: Option<TempDir>,
}

/// Debian's busybox-static.
const BUSYBOX: &str = "/bin/busybox";

impl Shell {
    fn dash() -> Self {
        Self { words: &["dash"], path: None }
    }

    /// With every applet and no other program.
    fn busybox() -> Self {
        let path = tempfile::tempdir().expect("a directory");
        let installed = Command::new(BUSYBOX).arg("--install").arg("-s").arg(path.path()).status();
        assert!(installed.expect("it is there").success());
        Self { words: &["busybox", "ash"], path: Some(path) }
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
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
        command.env("CROSSWIRE_CONFIG", self.file("crosswire.toml")).env("CROSSWIRE_RUN_DIR", self.file("run"));
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
    assert!(refused.out.contains("gw2 is not heard"), "there is no peer that could serve: {refused:?}");
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

    for text in
        [format!("{}\n", std::process::id()), "1\n".to_owned(), "-1\n".to_owned(), "x\n".to_owned(), String::new()]
    {
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

/// LSB 5.0: who may not do it is told so with 4. Whoever is nobody in a user namespace of its own has no rights outside.
#[test]
fn the_init_script_is_for_root() {
    for (shell, is_there) in [("dash", true), (BUSYBOX, has_tools(&[BUSYBOX]))] {
        for action in ["start", "stop", "restart", "reload", "standby", "force-stop"].into_iter().filter(|_| is_there) {
            let mut command = Command::new("unshare");
            command.args(["--user", shell]).args((shell == BUSYBOX).then_some("ash"));
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/init/crosswire")).arg(action);
            let said = say_within(command, PATIENCE);
            assert_eq!((said.code, said.err), (Some(4), format!("crosswire: {action} is for root\n")), "{shell}");
        }
    }
}

/// Links are made by what the header says: on before nothing that it needs, off before the network.
#[test]
fn the_init_script_stops_before_the_network_does() {
    let script =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/init/crosswire")).expect("a script");
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

/// Everything below a directory with its mode, but the directories.
fn files_below(root: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                directories.push(entry);
            } else {
                let mode = entry.metadata().expect("a file").permissions().mode() & 0o777;
                found.push((entry.strip_prefix(root).expect("below it").display().to_string(), mode));
            }
        }
    }
    found.sort();
    found
}

fn install(shell: &Shell, root: &Path, arguments: &[&str]) -> Said {
    let mut command = shell.command("install.sh", arguments);
    command.env("DESTDIR", root);
    say_within(command, PATIENCE)
}

const CONFIGURATION: &str = "etc/crosswire/crosswire.toml";
const KEY: &str = "etc/crosswire/key";

fn installs_and_uninstalls(shell: Shell) {
    let file = binary_file().display().to_string();
    let binary = ["--binary", file.as_str()];
    for (init, file, mode) in [
        ("sysv", "etc/init.d/crosswire", 0o755),
        ("openwrt", "etc/init.d/crosswire", 0o755),
        ("systemd", "etc/systemd/system/crosswire.service", 0o644),
    ] {
        let root = tempfile::tempdir().expect("a directory");
        let said = install(&shell, root.path(), &[&binary[..], &["--init", init]].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        let inittab = (init == "sysv").then_some(("etc/crosswire/inittab.example", 0o644));
        let mut expected: Vec<(String, u32)> = [
            (CONFIGURATION, 0o644),
            ("etc/crosswire/crosswire.toml.example", 0o644),
            (KEY, 0o600),
            (file, mode),
            ("usr/local/sbin/crosswire", 0o755),
            ("usr/local/share/bash-completion/completions/crosswire", 0o644),
            ("usr/local/share/man/man5/crosswire.toml.5", 0o644),
            ("usr/local/share/man/man8/crosswire.8", 0o644),
        ]
        .into_iter()
        .chain(inittab)
        .map(|(name, mode)| (name.to_owned(), mode))
        .collect();
        expected.sort();
        assert_eq!(files_below(root.path()), expected, "{said:?}");

        fs::write(root.path().join(CONFIGURATION), "mine\n").expect("written");
        let key = fs::read(root.path().join(KEY)).expect("a key");
        let said = install(&shell, root.path(), &[&binary[..], &["--init", init]].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(fs::read_to_string(root.path().join(CONFIGURATION)).expect("there"), "mine\n");
        assert_eq!(fs::read(root.path().join(KEY)).expect("a key"), key);

        let said = install(&shell, root.path(), &["--uninstall"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let kept = [(CONFIGURATION.to_owned(), 0o644), (KEY.to_owned(), 0o600)];
        assert_eq!(files_below(root.path()), kept, "what is the owner's stays: {said:?}");
    }
}

#[test]
fn what_is_installed_is_uninstalled_but_for_what_is_yours_in_dash() {
    installs_and_uninstalls(Shell::dash());
}

#[test]
fn what_is_installed_is_uninstalled_but_for_what_is_yours_in_busybox() {
    if has_tools(&[BUSYBOX]) {
        installs_and_uninstalls(Shell::busybox());
    }
}

#[test]
fn the_init_system_of_another_root_is_known_by_its_init() {
    for (init, file) in [
        ("/lib/systemd/systemd", "etc/systemd/system/crosswire.service"),
        ("/usr/lib/systemd/systemd", "etc/systemd/system/crosswire.service"),
        ("/bin/busybox", "etc/init.d/crosswire"),
    ] {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("sbin")).expect("a directory");
        std::os::unix::fs::symlink(init, root.path().join("sbin/init")).expect("a link");
        let binary = binary_file().display().to_string();
        let said = install(&Shell::dash(), root.path(), &["--binary", &binary]);
        assert!(said.code == Some(0) && root.path().join(file).exists(), "{init}: {said:?}");
    }
}

#[test]
fn an_installation_that_cannot_be_done_does_nothing() {
    for arguments in [&["--binary", "/nonexistent"][..], &["--init", "upstart"], &["--nonsense"], &["--init"]] {
        let root = tempfile::tempdir().expect("a directory");
        let said = install(&Shell::dash(), root.path(), arguments);
        assert_eq!((said.code, files_below(root.path())), (Some(1), Vec::new()), "{said:?}");
        assert!(said.err.starts_with("install: "), "{said:?}");
    }
}

/// Every file that is shipped is sound to the shipped binary, on either node; whether this machine has the ports is another matter.
#[test]
fn the_shipped_configurations_are_sound() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut files: Vec<PathBuf> =
        fs::read_dir(config.join("examples")).expect("examples").map(|f| f.expect("a file").path()).collect();
    files.push(config.join("crosswire.toml"));
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        let nodes: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("[node.")?.split(']').next()).collect();
        assert_eq!(nodes.len(), 2, "{}", file.display());
        for node in nodes {
            let mut command = binary();
            command.args(["check", "--node", node]).arg("--config").arg(&file);
            let said = say_within(command, PATIENCE);
            assert!(
                said.out.contains("\nIf ") && said.out.contains("\nThe file is sound"),
                "{}: {said:?}",
                file.display()
            );
        }
    }
}
