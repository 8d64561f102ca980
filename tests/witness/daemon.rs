//! A witness with a directory of its own, and the nodes of its pairs.

use std::fs::{self, File, Permissions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant as Clock};

use crosswire::frame::Key;
use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use crosswire::vote::claimant::Claimant;
use crosswire::vote::keys::{WitnessKey, secret_of};
use crosswire::vote::wire::Reply;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// For how long the nodes of these tests claim: longer than a restart takes on a busy machine.
pub const LENGTH: Span = Span::from_ms(6_000);
pub const LEASE: Span = Span::from_s(3);
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_millis(500);

static BEGAN: LazyLock<Clock> = LazyLock::new(Clock::now);

/// The clock of all nodes.
pub fn now() -> Instant {
    let us = u64::try_from(BEGAN.elapsed().as_micros()).expect("it began just now");
    Instant::from_us(1_000_000 + us)
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Clock::now() + PATIENCE;
    while !is_so() {
        assert!(Clock::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The key of a pair's witness; each pair of these tests has the key that its number makes.
pub fn secret(pair: &str, number: u8) -> [u8; 16] {
    secret_of(pair, &Key { id: 0, bytes: [number; 32].into_iter().collect() })
}

/// The line of a key file for it.
pub fn line(id: u8, pair: &str, number: u8) -> String {
    let hex: String = secret(pair, number).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{id} {hex}\n")
}

/// A witness.
pub struct Witness {
    pub directory: TempDir,
    pub address: SocketAddr,
    child: Option<Child>,
}

/// A port that nobody has just now.
fn free_port(ip: IpAddr) -> u16 {
    UdpSocket::bind((ip, 0)).and_then(|socket| socket.local_addr()).expect("a port").port()
}

impl Witness {
    /// Its directory, without keys; it does not run yet.
    pub fn new(ip: IpAddr) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("its mode");
        fs::create_dir(directory.path().join("keys")).expect("made");
        fs::set_permissions(directory.path().join("keys"), Permissions::from_mode(0o700)).expect("its mode");
        Self { address: SocketAddr::new(ip, free_port(ip)), directory, child: None }
    }

    /// One that runs on loopback, with a key for each of these pairs.
    pub fn with(pairs: &[&str]) -> Self {
        let mut witness = Self::new(Ipv4Addr::LOCALHOST.into());
        pairs.iter().for_each(|pair| witness.write(pair, &line(0, pair, 1)));
        witness.start();
        witness
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a key file.
    pub fn write(&self, name: &str, text: &str) {
        let file = self.path("keys").join(name);
        fs::write(&file, text).expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("its mode");
    }

    /// `crosswire witness` with its directory and address.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswire"));
        command.arg("witness").arg("--keys").arg(self.path("keys")).arg("--run-dir").arg(self.path("run"));
        command.arg("--listen").arg(self.address.to_string()).stdin(Stdio::null());
        command
    }

    /// Starts it in the foreground, and waits until it answers.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let before = self.log().matches("info: answers; ").count();
        let mut command = self.command();
        command.arg("--foreground").stderr(log);
        self.child = Some(command.spawn().expect("it starts"));
        wait_until("a witness that answers", || self.log().matches("info: answers; ").count() > before);
    }

    /// What a run that ends by itself says.
    pub fn output(&self, more: &[&str]) -> Output {
        self.command().args(more).output().expect("it can be run")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits for a line in the log.
    pub fn wait_for(&self, text: &str) {
        wait_until(text, || self.log().contains(text) || self.child.is_none());
        assert!(self.log().contains(text), "{}", self.log());
    }

    pub fn keeper(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// The process that hears the network; `None` while there is none.
    pub fn worker(&self) -> Option<u32> {
        let keeper = self.keeper();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    pub fn signal(&self, process: u32, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(process).expect("a pid")), signal).expect("told");
    }

    /// Has it read its keys anew, and waits until it says how that went.
    pub fn reload(&self) {
        let ends = |log: &str| {
            log.matches("info: answers; ").count() + log.matches("the keys of before stay").count()
        };
        let before = ends(&self.log());
        self.signal(self.keeper(), Signal::SIGHUP);
        wait_until("the end of a reload", || ends(&self.log()) > before);
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("gone");
    }

    /// Ends it, and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(self.keeper(), Signal::SIGTERM);
        let mut child = self.child.take().expect("it runs");
        wait_until("the end of the witness", || child.try_wait().expect("known").is_some());
        child.wait().expect("ended").code()
    }

    /// A node of a pair, by the key that the number makes.
    pub fn node(&self, pair: &str, number: u8, side: Side) -> Node {
        Node::new(self.address, pair, number, side)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the witness wrote:\n{}", self.log());
        }
    }
}

/// A node that asks.
pub struct Node {
    pub socket: UdpSocket,
    pub witness: SocketAddr,
    pub claimant: Claimant,
    pub key: WitnessKey,
}

impl Node {
    pub fn new(witness: SocketAddr, pair: &str, number: u8, side: Side) -> Self {
        let any: IpAddr =
            if witness.is_ipv6() { "::".parse().expect("it is one") } else { Ipv4Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).expect("a socket");
        socket.set_read_timeout(Some(ANSWER)).expect("set");
        let run = (now().as_us() << 1 | u64::from(side == Side::B)).to_le_bytes();
        let claimant = Claimant::new(side, run, LENGTH, LEASE);
        Self { socket, witness, claimant, key: WitnessKey::new(&secret(pair, number)) }
    }

    /// Asks once; `None` if nobody answers in time.
    pub fn ask(&mut self, claims: u8) -> Option<Reply> {
        let question = self.claimant.ask(now(), claims).seal(&self.key);
        self.socket.send_to(&question, self.witness).ok()?;
        let end = Clock::now() + ANSWER;
        let mut room = [0; 128];
        while Clock::now() < end {
            let Ok((length, from)) = self.socket.recv_from(&mut room) else { continue };
            assert_eq!(from, self.witness, "answered from another address");
            let reply = Reply::open(&room[..length], &self.key);
            if reply.is_some_and(|reply| self.claimant.hear(now(), &reply)) {
                return reply;
            }
        }
        None
    }

    /// Asks until it is heard and known.
    pub fn greet(&mut self) {
        wait_until("a session", || self.ask(0).is_some_and(|reply| reply.is_counted));
    }
}
