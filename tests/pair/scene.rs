//! What the scenarios share: a pair that serves, what its operator sees, and what must hold at the end.

use std::fs::{self, File};
use std::io::Read;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use serde_json::Value;

use crate::lab::Lab;
use crate::lab::address_log::Wanted;
use crate::lab::clock::{now, wait_until};
use crate::lab::fair;
use crate::lab::ledger::Hold;
use crate::lab::setup::{CLIENT, LAN_PORT, NODE_NAMES, Setup, VIP};
use crate::lab::switch::{PortRules, Rule};

/// Longest wait for something that has no limit of its own.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Longest that a command may run.
const COMMAND_WAIT: Duration = Duration::from_secs(60);
/// Durations may be as many times what the catalogue says.
const ALLOWANCE: u32 = 3;
/// The client asks every 5 ms; a busy machine may hold up it, the switch or a kernel for as long without a
/// move.
const HICCUP: Span = Span::from_ms(150);
/// What a standstill of the machine has to last for a move to be its doing: silence is judged after 500 ms,
/// and the beat before may be 100 ms old.
const LONG_STALL: Duration = Duration::from_millis(150);

/// A length of time.
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What the catalogue says, with the allowance.
pub const fn at_most(row_ms: u64) -> Span {
    Span::from_ms(row_ms * ALLOWANCE as u64)
}

/// A laboratory whose story is told when a test fails.
pub struct Scene {
    lab: Lab,
    may_split: bool,
}

/// What a command wrote, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub text: String,
}

impl Deref for Scene {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("holds of {VIP}: {:#?}\n{}", self.lab.log().holds(VIP), self.lab.story());
            // Whatever else went wrong, and however busy the machine is.
            if !self.may_split && self.lab.overlap().is_ok_and(|overlap| overlap > Span::ZERO) {
                eprintln!("both kernels held {VIP}");
                fair::never_excused();
            }
        }
    }
}

/// What a screen shows, as if its lines were endless.
pub fn unwrapped(screen: &str) -> String {
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Scene {
    /// Everything but the daemons.
    pub fn new(setup: Setup) -> Self {
        Self::with_binary(&shipped(), setup)
    }

    /// The same with a program that becomes the shipped binary.
    pub fn with_binary(binary: &Path, setup: Setup) -> Self {
        let lab = Lab::new(binary, setup).expect("a laboratory");
        Self { lab, may_split: false }
    }

    /// A pair at work: gw1 serves, and both nodes know it, on both paths.
    pub fn serving() -> Self {
        Self::serving_with(Setup::default())
    }

    /// The same with two files that differ in what both must agree on.
    pub fn serving_with_two_files() -> Self {
        let mut scene = Self::new(Setup::default());
        scene.reconfigure(Side::B, |setup| setup.cold_start_ms = Some(7_000)).expect("written");
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        scene
    }

    /// Here both may hold the address for a time, as the design says of this fault.
    pub fn may_split(mut self) -> Self {
        self.may_split = true;
        self
    }

    /// As [`Scene::serving`], told otherwise.
    pub fn serving_with(setup: Setup) -> Self {
        let mut scene = Self::new(setup);
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        scene
    }

    /// Starts a daemon.
    pub fn begin(&mut self, side: Side) {
        self.lab.start(side).expect("the daemon can be started");
    }

    /// Waits until `holder` serves, the other node stands by, and neither is in jeopardy.
    pub fn settle(&self, holder: Side) {
        self.wait_for(Wanted::Only(holder), PATIENCE).unwrap_or_else(|e| {
            fair::excused_only_by(LONG_STALL);
            panic!("{e}")
        });
        self.expect_soon("a pair at rest", PATIENCE, |scene| {
            scene.is_at_rest(holder, "active") && scene.is_at_rest(holder.peer(), "backup")
        });
        self.ping().wait_for_answer_after(now(), PATIENCE).expect("the client is served");
        self.show_client();
    }

    /// What `settle` waits for, of one node.
    pub fn is_at_rest(&self, side: Side, role: &str) -> bool {
        self.try_status(side).is_some_and(|status| {
            let paths = status["paths"].as_array().cloned().unwrap_or_default();
            status["jeopardy"] == false
                && status["groups"][0]["role"] == role
                && paths.len() == 2
                && paths.iter().all(|path| path["state"] == "on time")
        })
    }

    /// Waits until something is so.
    pub fn expect_soon(&self, what: &str, timeout: Duration, condition: impl Fn(&Self) -> bool) -> Instant {
        wait_until(what, timeout, || Ok(condition(self))).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The node's role for the first group; empty while nobody answers.
    pub fn role(&self, side: Side) -> String {
        let status = self.try_status(side).unwrap_or_default();
        status["groups"][0]["role"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the node serves the first group, whatever the other one does.
    pub fn expect_service_by(&self, side: Side) {
        self.expect_soon("a node that serves", PATIENCE, |scene| scene.role(side) == "active");
    }

    /// The client says on the LAN where it is: from then on it is a neighbour that both nodes know.
    pub fn show_client(&self) {
        self.at_client(&["arping", "-A", "-c", "1", "-I", "eth0", &CLIENT.to_string()]);
    }

    /// Runs an applet of busybox at the client.
    pub fn at_client(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new("/bin/busybox");
        command.args(arguments);
        self.client().command_in(&mut command).expect("the client's namespace");
        run(command)
    }

    /// Runs a line of a shell in a node's namespace; it has to succeed.
    pub fn at_node(&self, side: Side, line: &str) {
        let mut command = Command::new("/bin/busybox");
        command.args(["sh", "-c", line]);
        self.namespace(side).command_in(&mut command).expect("the node's namespace");
        let said = run(command);
        assert_eq!(said.code, Some(0), "{line}: {}", said.text);
    }

    /// Index of a node's eth1.
    pub fn second_interface(&self, side: Side) -> u32 {
        self.switch().node_interface(self.port(side, 1))
    }

    /// Runs a command of the shipped binary about a node, to its end.
    pub fn say(&self, side: Side, arguments: &[&str]) -> Said {
        run(self.command(side, arguments).expect("a command"))
    }

    /// What `check` says of the file of a node, as another node or as that one.
    pub fn check(&self, side: Side, file_of: Side, more: &[&str]) -> Said {
        let file = self.directory(file_of).join("crosswire.toml").display().to_string();
        let words = ["check", "--config", &file, "--node", NODE_NAMES[side.index()]];
        self.say(side, &[&words[..], more].concat())
    }

    /// What `status --json` says; none while nobody answers.
    pub fn try_status(&self, side: Side) -> Option<Value> {
        let said = self.say(side, &["status", "--json"]);
        serde_json::from_str(&said.text).ok().filter(|told: &Value| told["pair"].is_string())
    }

    /// What `status --json` says.
    pub fn status(&self, side: Side) -> Value {
        self.try_status(side).expect("a daemon that answers")
    }

    /// State of a path: 0 is the cable, 1 the LAN.
    pub fn path_state(&self, side: Side, path: usize) -> String {
        self.status(side)["paths"][path]["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether a node says that it is in jeopardy.
    pub fn is_in_jeopardy(&self, side: Side) -> bool {
        self.status(side)["jeopardy"] == true
    }

    /// Everything a node's daemon has written.
    pub fn log_of(&self, side: Side) -> String {
        fs::read_to_string(self.directory(side).join("log")).unwrap_or_default()
    }

    /// The kernels' account of the service address.
    pub fn holds(&self) -> Vec<Hold> {
        self.log().holds(VIP).expect("the observer lost nothing")
    }

    /// The two kernels never held the service address at once.
    pub fn assert_never_both(&self) {
        let overlap = self.overlap().expect("the observer lost nothing");
        if overlap > Span::ZERO {
            fair::never_excused();
            panic!("both kernels held {VIP} for {overlap}");
        }
    }

    /// Since the beginning one node has held the service address without a break, and `since` then the client
    /// noticed nothing.
    pub fn assert_nothing_moved(&self, holder: Side, since: Instant) {
        let holds = self.holds();
        let is_one = matches!(holds[..], [Hold { side, until: None, .. }] if side == holder);
        if !is_one {
            fair::excused_only_by(LONG_STALL);
            panic!("the address moved: {holds:?}");
        }
        self.assert_outage_below(HICCUP, since);
    }

    /// Returns the outage at the client.
    pub fn assert_outage_below(&self, limit: Span, since: Instant) -> Span {
        let gap = self.ping().longest_gap_since(since);
        assert!(gap.worst() <= limit, "the client was not served for {gap}, more than {limit}");
        gap.unserved
    }

    /// Waits until only `side` holds the service address, then until the client is served; returns the two
    /// instants.
    pub fn wait_for_service_by(&self, side: Side) -> (Instant, Instant) {
        let held = self.wait_for(Wanted::Only(side), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        (held, self.ping().wait_for_answer_after(held, PATIENCE).expect("the client is served"))
    }

    /// Neither node hears the other any more; both reach everybody else. Returns since when.
    pub fn part(&self) -> Instant {
        let since = now();
        self.switch().part(Some([Side::A, Side::B].map(|side| self.port(side, 0))));
        self.cable().cut();
        since
    }

    /// Blocks or passes the heartbeats of the LAN; everything else passes, and carrier is kept.
    pub fn block_lan_beats(&self, blocked: bool) {
        let rule = Rule { blocked_udp_port: blocked.then_some(LAN_PORT), ..Rule::default() };
        self.set_lan(Side::A, PortRules::both(rule));
    }

    /// Changes the text of a node's configuration.
    pub fn rewrite(&self, side: Side, from: &str, to: &str) {
        let file = self.directory(side).join("crosswire.toml");
        let text = fs::read_to_string(&file).expect("a configuration");
        assert!(text.contains(from), "{from:?} is not in\n{text}");
        fs::write(&file, text.replace(from, to)).expect("written");
    }
}

/// The shipped binary; `CROSSWIRE_BINARY` names another build of it.
pub fn shipped() -> PathBuf {
    std::env::var_os("CROSSWIRE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_crosswire").into(), PathBuf::from)
}

/// Runs a command to its end; what it writes on both streams comes in one text.
pub fn run(command: Command) -> Said {
    run_within(command, COMMAND_WAIT)
}

/// The same for a command that may run so long.
pub fn run_within(mut command: Command, longest: Duration) -> Said {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    command.stdin(Stdio::from(File::open("/dev/null").expect("/dev/null")));
    command.stdout(writer.try_clone().expect("a descriptor")).stderr(writer);
    let mut child = command.spawn().expect("the binary can be run");
    // Our copies of the writing end go, or the pipe would never end.
    drop(command);
    let ended = wait_until("a command's end", longest, || Ok(child.try_wait()?.is_some()));
    if let Err(e) = ended {
        let _ = child.kill();
        let _ = child.wait();
        panic!("{e}");
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("what the command wrote");
    let code = child.wait().expect("it has ended").code();
    Said { code, text: String::from_utf8_lossy(&bytes).into_owned() }
}
