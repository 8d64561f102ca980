//! Key files come, go and are broken while it runs; and what a start says of them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crosswire::pair::Side;
use nix::sys::signal::Signal;
use nix::unistd::Uid;

use crate::daemon::{Witness, line, secret, wait_until};

/// A file that is broken is named with its line and a remedy, and all keys of before stay.
#[test]
fn a_broken_file_changes_nothing_and_is_named() {
    let witness = Witness::with(&["gateway"]);
    let mut node = witness.node("gateway", 1, Side::A);
    node.greet();
    witness.write("north", &line(0, "north", 1));
    witness.write("gateway", &(line(0, "gateway", 1) + "1 zz\n"));
    witness.reload();
    let finding =
        format!("{}:2: key 1 is not hexadecimal; make it on a node", witness.path("keys/gateway").display());
    assert!(witness.log().contains(&finding), "{}", witness.log());
    assert!(witness.log().contains("the keys of before stay"));
    assert!(node.ask(0).is_some_and(|reply| reply.is_counted));
    assert!(witness.node("north", 1, Side::A).ask(0).is_none());
    witness.write("gateway", &line(0, "gateway", 1));
    witness.reload();
    assert!(node.ask(0).is_some_and(|reply| reply.is_counted), "its session goes on");
    witness.node("north", 1, Side::A).greet();
}

/// A pair whose keys are in two files would have two witnesses.
#[test]
fn a_pair_cannot_be_split_while_it_runs() {
    let mut witness = Witness::new([127, 0, 0, 1].into());
    witness.write("gateway", &(line(1, "gateway", 2) + &line(0, "gateway", 1)));
    witness.start();
    witness.write("gateway", &line(0, "gateway", 1));
    witness.write("other", &line(0, "gateway", 2));
    witness.reload();
    assert!(witness.log().contains("is of the same pair as a key in"), "{}", witness.log());
}

/// One broken file does not take the witness from all the others, and `--check` says that it is there.
#[test]
fn a_start_serves_whoever_it_can() {
    let mut witness = Witness::new([127, 0, 0, 1].into());
    let said = witness.output(&[]);
    assert_eq!(said.status.code(), Some(78));
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("holds no key file; make it on a node"),
        "{said:?}"
    );
    witness.write("gateway", &line(0, "gateway", 1));
    assert_eq!(witness.output(&["--check"]).status.code(), Some(0));
    let mistyped = Command::new(env!("CARGO_BIN_EXE_crosswire"))
        .args(["witness", "--check", "--listen", "10.0.0"])
        .output()
        .expect("it can be run");
    assert_eq!(mistyped.status.code(), Some(2), "{mistyped:?}");
    witness.write("north", "0 77\n");
    let checked = witness.output(&["--check"]);
    assert_eq!(checked.status.code(), Some(78));
    assert!(
        String::from_utf8_lossy(&checked.stderr).contains("north:1: key 0 has 2 hexadecimal digits"),
        "{checked:?}"
    );
    witness.start();
    assert!(witness.log().contains("north:1: key 0 has 2 hexadecimal digits"), "{}", witness.log());
    witness.node("gateway", 1, Side::A).greet();
}

#[test]
fn a_second_one_refuses_and_says_why() {
    let mut witness = Witness::with(&["gateway"]);
    let second = witness.output(&["--foreground"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("a witness runs already with"), "{second:?}");
    // In a run directory of its own it finds the port taken.
    let mut command = witness.command();
    let elsewhere = witness.path("elsewhere");
    let port = witness.address.port();
    let mut arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    arguments[4] = elsewhere.into();
    command = Command::new(env!("CARGO_BIN_EXE_crosswire"));
    let third = command.args(arguments).output().expect("it can be run");
    let said = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(
        third.status.code() == Some(1) && said.contains(&format!("UDP port {port} is taken")),
        "{third:?}"
    );
    assert_eq!(witness.stop(), Some(0));
}

/// In the background: a pid file that names the keeper, gone with it.
#[test]
fn it_goes_into_the_background_and_ends_by_its_pid_file() {
    let witness = Witness::new([127, 0, 0, 1].into());
    witness.write("gateway", &line(0, "gateway", 1));
    let started = witness.output(&[]);
    assert_eq!(started.status.code(), Some(0), "{started:?}");
    let pid_file = witness.path("run/crosswire.pid");
    wait_until("a pid file", || pid_file.exists());
    let pid: u32 = fs::read_to_string(&pid_file).expect("read").trim().parse().expect("a pid");
    witness.node("gateway", 1, Side::A).greet();
    witness.signal(pid, Signal::SIGTERM);
    wait_until("its end", || !pid_file.exists());
    wait_until("nobody at the port", || std::net::UdpSocket::bind(witness.address).is_ok());
}

/// Root is given up before anything is heard: user, groups, root directory, capabilities, for good.
#[test]
fn whoever_hears_the_network_is_not_root() {
    if !Uid::effective().is_root() {
        return; // who is not root has nothing to give up
    }
    let witness = Witness::with(&["gateway"]);
    let worker = witness.worker().expect("it runs");
    let status = fs::read_to_string(format!("/proc/{worker}/status")).expect("its status");
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("{name}\n{status}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    for name in ["Uid:", "Gid:"] {
        let ids = field(name);
        assert!(ids.len() == 4 && ids.iter().all(|id| *id == ids[0] && id != "0"), "{name} {ids:?}");
    }
    assert_eq!(field("Groups:"), [""; 0]);
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(name), ["0000000000000000"], "{name}");
    }
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(fs::read_link(format!("/proc/{worker}/root")).expect("its root"), witness.path("run/empty"));
    assert_eq!(fs::read_dir(witness.path("run/empty")).expect("there").count(), 0);
    let keeper = witness.keeper();
    for descriptor in fs::read_dir(format!("/proc/{worker}/fd")).expect("its descriptors").flatten() {
        let file = fs::read_link(descriptor.path()).unwrap_or_default();
        assert!(!file.starts_with(witness.path("keys")), "process {worker}: {}", file.display());
    }
    let modes = [keeper, worker].map(|pid| fs::metadata(format!("/proc/{pid}/mem")).expect("there").uid());
    assert_eq!(modes, [0, 0], "neither can be looked into by its own user");
}

/// `keygen --witness` on a node, the file at the witness, and an answer: by the bytes of the pair's key.
#[test]
fn what_keygen_makes_is_what_the_nodes_ask_by() {
    let mut witness = Witness::new([127, 0, 0, 1].into());
    let (key, config) = (witness.path("key"), witness.path("c.toml"));
    fs::write(&key, format!("4 {}\n0 {}\n", "09".repeat(32), "01".repeat(32))).expect("written");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("its mode");
    let text = format!(
        "pair = \"gateway\"\nkey = \"{}\"\n[node.gw1]\nlan = \"10.0.0.1\"\n[node.gw2]\nlan = \"10.0.0.2\"\n\
         [serial]\ndevice = \"/dev/ttyS0\"\n[lan]\ninterface = \"lo\"\n[group.gateway]\n\
         addresses = [\"10.0.0.100/24\"]\n",
        key.display()
    );
    fs::write(&config, text).expect("written");
    let keygen = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswire"));
        command.args(["keygen", "--witness"]).arg(witness.path("keys/gateway")).arg("--config").arg(&config);
        command.args(more).output().expect("it can be run")
    };
    let made = keygen(&[]);
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.code() == Some(0) && said.contains("scp -p"), "{made:?}");
    let file = witness.path("keys/gateway");
    assert_eq!(fs::metadata(&file).expect("there").mode() & 0o7777, 0o600);
    let text = fs::read_to_string(&file).expect("read");
    for (id, number) in [(4, 9), (0, 1)] {
        let hex: String = secret("gateway", number).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(text.contains(&format!("{id} {hex}\n")), "{text}");
        assert!(!said.contains(&hex[..8]), "{said}");
    }
    assert_eq!(keygen(&[]).status.code(), Some(1), "it overwrites nothing");
    assert_eq!(keygen(&["--rotate"]).status.code(), Some(2));
    witness.start();
    witness.node("gateway", 9, Side::A).greet();
    witness.node("gateway", 1, Side::B).greet();
}
