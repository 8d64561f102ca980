//! The role in `config/ansible`, run by Ansible on two boxes with their own /etc, with the shipped binary and
//! init script: a first start, nothing to do, one more address, and files that must not get far.
//!
//! `.ci/run ansible` installs Ansible and names its place in `CROSSWIRE_ANSIBLE`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use crosswire::pair::Side;
use crosswire::time::Span;
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::clock::now;
use crate::lab::executable::write_executable;
use crate::lab::setup::{NODE_NAMES, PREFIX, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Said, Scene, at_most, run, run_within, shipped};

const BOX: &str = include_str!("../fixtures/ansible/box");
const BOTH: [Side; 2] = [Side::A, Side::B];
const CONFIG: &str = "/etc/crosswire/crosswire.toml";
/// The longest that one run of the playbook may take.
const PLAY_WAIT: Duration = Duration::from_secs(600);
/// The longest that all of it may take on a busy machine.
const HANGS_AFTER: Duration = Duration::from_secs(1_800);

/// Two boxes without a daemon, and what Ansible is given for them.
struct Fleet {
    scene: Scene,
    boxes: Vec<Child>,
    files: TempDir,
    tools: PathBuf,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A daemon that is left dies with its network.
        self.boxes.iter_mut().for_each(|child| drop(child.kill()));
    }
}

impl Fleet {
    fn new(tools: PathBuf) -> Self {
        let setup = Setup { prefer: Some(Side::A), ..Setup::default() };
        let files = tempfile::tempdir().expect("a directory");
        let fleet = Self { scene: Scene::new(setup), boxes: Vec::new(), files, tools };
        write_executable(&fleet.file("box"), BOX);
        let key = format!("1 {}\n", Setup::default().keys[0]);
        fs::write(fleet.file("key"), key).expect("a key");
        fleet.configure(|setup| setup);
        fleet.with_boxes()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Writes the configuration that both boxes are to have.
    fn configure(&self, change: impl FnOnce(Setup) -> Setup) {
        let devices = BOTH.map(|side| self.scene.cable().device(side));
        let text = change(self.scene.setup().clone()).configuration(Path::new("/etc/crosswire/key"), devices);
        fs::write(self.file("crosswire.toml"), text).expect("a configuration");
    }

    fn with_boxes(mut self) -> Self {
        let mut hosts = String::new();
        for (side, name) in BOTH.into_iter().zip(NODE_NAMES) {
            let directory = self.file(name);
            fs::create_dir(&directory).expect("a directory");
            let mut command = Command::new(self.file("box"));
            command.arg(&directory).arg(name);
            self.scene.namespace(side).command_in(&mut command).expect("the node's namespace");
            let child = self.scene.spawn(command).expect("a box");
            let enter =
                format!("#!/bin/sh\nexec nsenter --target {} --mount --uts --net \"$@\"\n", child.id());
            write_executable(&directory.join("enter"), &enter);
            let python =
                format!("#!/bin/sh\nexec {} /usr/bin/python3 \"$@\"\n", directory.join("enter").display());
            write_executable(&directory.join("python"), &python);
            hosts += &format!(
                "{name} ansible_connection=local ansible_become=false ansible_python_interpreter={}\n",
                directory.join("python").display()
            );
            self.boxes.push(child);
            self.scene.expect_soon("a box", PATIENCE, |_| directory.join("ready").exists());
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let at = |path: PathBuf| path.display().to_string();
        hosts += &format!(
            "[gateways]\ngw1\ngw2\n[gateways:vars]\ncrosswire_config={}\ncrosswire_key={}\n\
             crosswire_binary={}\n\
             crosswire_init_script={}\ncrosswire_service_manager=sysvinit\ncrosswire_patience_s=20\n",
            at(self.file("crosswire.toml")),
            at(self.file("key")),
            at(shipped()),
            at(here.join("config/init/crosswire"))
        );
        fs::write(self.file("hosts"), hosts).expect("an inventory");
        self
    }

    /// Runs the playbook; returns what it said, and how many changes it counts on each box.
    fn play(&self, arguments: &[&str]) -> (Said, Vec<u32>) {
        let mut command = Command::new(self.tools.join("bin/ansible-playbook"));
        command.arg("--inventory").arg(self.file("hosts")).args(arguments).arg("pair.yml");
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/ansible"));
        command.env("HOME", self.files.path()).env("ANSIBLE_NOCOLOR", "1").env("ANSIBLE_PIPELINING", "1");
        let said = run_within(command, PLAY_WAIT);
        let count = |line: &str| line.split("changed=").nth(1)?.split(' ').next()?.parse().ok();
        let changes = said.text.lines().filter_map(count).collect();
        (said, changes)
    }

    /// Runs a command on a box.
    fn at_box(&self, side: Side, arguments: &[&str]) -> Said {
        let mut command = Command::new(self.file(NODE_NAMES[side.index()]).join("enter"));
        command.args(arguments);
        run(command)
    }

    fn status(&self, side: Side) -> Value {
        let said = self.at_box(side, &["/usr/local/sbin/crosswire", "status", "--json"]);
        serde_json::from_str(&said.text).unwrap_or_else(|_| panic!("{said:?}"))
    }

    /// What must stay as it is where nothing is touched: the file, and the run of the daemon.
    fn state(&self, side: Side) -> (String, String) {
        let text = self.at_box(side, &["cat", CONFIG, "/run/crosswire/crosswire.pid"]).text;
        let left = self
            .at_box(side, &["sh", "-c", "ls -A /etc/crosswire /tmp | grep -e unfinished -e '[.]crosswire$'"]);
        (text, left.text)
    }

    /// When its daemon was started.
    fn started(&self, side: Side) -> SystemTime {
        let pid = self.at_box(side, &["cat", "/run/crosswire/crosswire.pid"]).text;
        let process = fs::metadata(format!("/proc/{}", pid.trim())).and_then(|metadata| metadata.modified());
        process.unwrap_or_else(|error| panic!("{error}: {pid}"))
    }

    /// Waits until that node serves and the other one could take over.
    fn expect_pair(&self, holder: Side) {
        let line = format!(
            "{} serves gateway; {} could take over",
            NODE_NAMES[holder.index()],
            NODE_NAMES[holder.peer().index()]
        );
        let is_well =
            |_: &Scene| BOTH.into_iter().all(|side| self.status(side)["assessment"]["text"] == line.as_str());
        self.scene.expect_soon(&line, PATIENCE, is_well);
    }
}

/// Required: what the role promises, in this order.
#[test]
fn a_pair_is_configured_by_ansible_the_standby_first() {
    let tools = std::env::var_os("CROSSWIRE_ANSIBLE").map(PathBuf::from);
    if !testing::is_given("CROSSWIRE_ANSIBLE", tools.is_some()) {
        return;
    }
    let tools = tools.expect("given");
    assert!(tools.join("bin/ansible-playbook").exists(), "no Ansible in {}", tools.display());
    testing::in_long_fair_lab(HANGS_AFTER, || {
        let fleet = Fleet::new(tools.clone());
        first_run(&fleet);
        nothing_to_do(&fleet);
        one_more_address(&fleet);
        a_file_with_a_mistake(&fleet);
        a_file_that_the_box_cannot_keep(&fleet);
        fleet.scene.assert_never_both();
    });
}

/// Neither box has ever had anything of it.
fn first_run(fleet: &Fleet) {
    let (said, changes) = fleet.play(&["--check"]);
    assert_eq!((said.code, changes), (Some(0), vec![0, 0]), "{}", said.text);
    assert_eq!(fleet.at_box(Side::A, &["ls", "-A", "/usr/local/sbin"]).text, "", "a look leaves nothing");
    let (said, changes) = fleet.play(&[]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert!(changes.iter().all(|count| *count > 0), "{changes:?}");
    fleet.expect_pair(Side::A);
    fleet.scene.wait_for_service_by(Side::A);
    let links = fleet.at_box(Side::A, &["sh", "-c", "ls /etc/rc2.d"]).text;
    assert!(links.contains("crosswire"), "it starts at boot: {links}");
    let mode = fleet.at_box(Side::B, &["stat", "-c", "%a", "/etc/crosswire/key"]).text;
    assert_eq!(mode.trim(), "600");
}

fn nothing_to_do(fleet: &Fleet) {
    let before = BOTH.map(|side| fleet.state(side));
    let (said, changes) = fleet.play(&[]);
    assert_eq!((said.code, changes), (Some(0), vec![0, 0]), "{}", said.text);
    assert_eq!(BOTH.map(|side| fleet.state(side)), before);
}

fn one_more_address(fleet: &Fleet) {
    let more = format!("10.77.0.101/{PREFIX}@eth0");
    fleet.configure(|setup| Setup { addresses: vec![format!("{VIP}/{PREFIX}@eth0"), more.clone()], ..setup });
    let begun = now();
    let (said, _) = fleet.play(&[]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert!(fleet.started(Side::B) < fleet.started(Side::A), "the standby first");
    let outage = fleet.scene.assert_outage_below(at_most(100), begun);
    println!("the client missed the address for {outage} while both boxes were restarted");
    fleet.expect_pair(Side::B);
    let held = fleet.at_box(Side::B, &["ip", "-4", "-o", "address", "show", "dev", "eth0"]).text;
    assert!(held.contains("10.77.0.101/"), "{held}");
}

/// `check --offline` finds it.
fn a_file_with_a_mistake(fleet: &Fleet) {
    let before = BOTH.map(|side| fleet.state(side));
    fleet.configure(|setup| Setup { top: "lese = 1\n".to_owned(), ..setup });
    let (said, changes) = fleet.play(&[]);
    assert_ne!(said.code, Some(0));
    assert!(
        said.text.contains("unknown key \\\"lese\\\"") || said.text.contains("unknown key \"lese\""),
        "{}",
        said.text
    );
    assert_eq!(changes, [0, 0]);
    assert_eq!(BOTH.map(|side| fleet.state(side)), before, "nothing was touched");
}

/// Only the box shows that it is wrong: the standby cannot take over with it, so the node that serves is left
/// alone.
fn a_file_that_the_box_cannot_keep(fleet: &Fleet) {
    let (before, begun) = (fleet.state(Side::B), now());
    fleet.configure(|setup| Setup { addresses: vec![format!("{VIP}/{PREFIX}@eth9")], ..setup });
    let (said, _) = fleet.play(&["--extra-vars", "crosswire_patience_s=5"]);
    assert_ne!(said.code, Some(0));
    assert_eq!(fleet.state(Side::B), before, "who serves was not touched: {}", said.text);
    fleet.scene.assert_outage_below(Span::from_ms(150), begun);
    fleet.configure(|setup| setup);
    let (said, _) = fleet.play(&[]);
    assert_eq!(said.code, Some(0), "{}", said.text);
}
