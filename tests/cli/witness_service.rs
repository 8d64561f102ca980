//! The init script of a voting witness and its installation, by real shells.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use crate::install::{BUSYBOX, PATIENCE, Shell};
use crate::lab::clock::wait_until;
use crate::lab::testing::has_tools;
use crate::place::{Said, say_within, workstation_file};

/// A witness by the script, with a directory of its own.
struct Service {
    place: TempDir,
    shell: Shell,
    port: u16,
}

impl Service {
    fn new(shell: Shell) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        fs::create_dir(place.path().join("keys")).expect("made");
        let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        Self { place, shell, port: free.port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn write_key(&self, name: &str, text: &str) {
        let file = self.path("keys").join(name);
        fs::write(&file, text).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
    }

    fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.path("run/crosswire.pid")).ok()?.trim().parse().ok()
    }

    fn expect(&self, action: &str, code: i32) -> Said {
        let mut command = self.shell.command("init/crosswire-witness", &[action]);
        command.env("CROSSWIRE_WITNESS_DEFAULTS", "/nonexistent").env("CROSSWIRE", workstation_file());
        command.env("CROSSWIRE_WITNESS_KEYS", self.path("keys")).env("CROSSWIRE_WITNESS_SECONDS", "60");
        command.env("CROSSWIRE_WITNESS_RUN_DIR", self.path("run"));
        command.env("CROSSWIRE_WITNESS_ARGUMENTS", format!("--listen 127.0.0.1:{}", self.port));
        let said = say_within(command, PATIENCE);
        assert_eq!(said.code, Some(code), "{action}: {said:?}");
        said
    }
}

const GOOD: &str = "0 00112233445566778899aabbccddeeff\n";

/// LSB 5.0, chapter 22.2, and: what runs is not touched for a broken key file.
fn states_and_exit_codes(shell: Shell) {
    let service = Service::new(shell);
    service.expect("status", 3);
    service.expect("stop", 0);
    service.expect("reload", 7);
    service.expect("try-restart", 0);
    let refused = service.expect("start", 6);
    assert!(refused.err.contains("holds no key file"), "{refused:?}");
    service.write_key("gateway", GOOD);
    service.expect("start", 0);
    let first = service.pid().expect("a pid file");
    service.expect("start", 0);
    service.expect("reload", 0);
    service.expect("status", 0);
    assert_eq!(service.pid(), Some(first), "neither starts another one");
    service.write_key("north", "0 xyz\n");
    for action in ["reload", "restart", "try-restart", "force-reload"] {
        let refused = service.expect(action, 6);
        assert!(refused.err.contains("north:1: key 0 is not hexadecimal"), "{action}: {refused:?}");
        assert!(refused.err.contains("what runs was not touched"), "{action}: {refused:?}");
        assert_eq!(service.pid(), Some(first), "{action}");
    }
    fs::remove_file(service.path("keys/north")).expect("removed");
    service.expect("restart", 0);
    let second = service.pid().expect("a pid file");
    assert_ne!(second, first);
    kill(Pid::from_raw(second), Signal::SIGKILL).expect("it runs");
    let is_dead =
        || Ok(fs::read_to_string(format!("/proc/{second}/stat")).map_or(true, |stat| stat.contains(") Z ")));
    wait_until("its end", Duration::from_secs(30), is_dead).expect("killed");
    service.expect("status", 1);
    service.expect("start", 0);
    service.expect("stop", 0);
    service.expect("status", 3);
    service.expect("nonsense", 2);
}

#[test]
fn the_script_of_a_witness_ends_as_lsb_says_in_dash() {
    if Uid::effective().is_root() {
        states_and_exit_codes(Shell::dash());
    }
}

#[test]
fn the_script_of_a_witness_ends_as_lsb_says_in_busybox() {
    if Uid::effective().is_root() && has_tools(&[BUSYBOX]) {
        states_and_exit_codes(Shell::busybox());
    }
}

/// In the place of a gateway: no configuration, a directory of keys, and the script of the witness alone.
#[test]
fn a_witness_is_installed_in_the_place_of_a_gateway() {
    let binary = workstation_file().display().to_string();
    for (init, file) in [
        ("sysv", "etc/init.d/crosswire-witness"),
        ("openwrt", "etc/init.d/crosswire-witness"),
        ("systemd", "etc/systemd/system/crosswire-witness.service"),
    ] {
        let root = tempfile::tempdir().expect("a directory");
        let install = |arguments: &[&str]| {
            let mut command = Shell::dash().command("install.sh", arguments);
            command.env("DESTDIR", root.path());
            let said = say_within(command, PATIENCE);
            assert_eq!(said.code, Some(0), "{said:?}");
            said
        };
        let said = install(&["--binary", &binary, "--init", init, "--witness"]);
        assert!(said.out.contains("keygen --witness") && said.out.contains("crosswire-witness"), "{said:?}");
        let there = |file: &str| root.path().join(file).exists();
        assert!(there(file) && there("usr/local/sbin/crosswire"), "{said:?}");
        for other in
            ["etc/init.d/crosswire", "etc/systemd/system/crosswire.service", "etc/crosswire/crosswire.toml"]
        {
            assert!(!there(other), "{other}: {said:?}");
        }
        let keys = root.path().join("etc/crosswire/witness-keys");
        assert_eq!(fs::metadata(&keys).expect("there").permissions().mode() & 0o7777, 0o700);
        fs::write(keys.join("gateway"), "mine").expect("written");
        install(&["--uninstall"]);
        assert!(!there(file) && there("etc/crosswire/witness-keys/gateway"), "a key is the owner's");
    }
}
