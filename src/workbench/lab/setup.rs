//! The configuration and key files of both nodes.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crosswire::pair::Side;

use super::doing;
use super::modem::Wiring;

/// Names of the nodes, by [`Side::index`].
pub const NODE_NAMES: [&str; 2] = ["gw1", "gw2"];
/// The group of every laboratory.
pub const GROUP: &str = "gateway";
/// UDP port of the heartbeats.
pub const LAN_PORT: u16 = 694;
/// The service address.
pub const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100));
/// The client's address, usable as a witness.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 10));
/// Prefix length of the laboratory's networks.
pub const PREFIX: u8 = 24;

/// What the files of a pair say. [`Setup::default`] has the reference timing of the design.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Time between beats.
    pub interval_ms: u32,
    /// When a path is late.
    pub late_after_ms: u32,
    /// When a path is silent.
    pub dead_after_ms: u32,
    /// Kernel lifetime of the VIP.
    pub lease_ms: u32,
    /// How long a lone node listens first; `None`: the daemon's default.
    pub cold_start_ms: Option<u32>,
    /// Bits per second, in the configuration and, if `emulate_baud`, on the cable.
    pub baud: u32,
    /// Whether the cable carries no more than a real one.
    pub emulate_baud: bool,
    /// How the line pins of the cable are connected; `None` for a port without lines.
    pub lines: Option<Wiring>,
    /// The preferred node, if any.
    pub prefer: Option<Side>,
    /// VIPs in the notation of the configuration.
    pub addresses: Vec<String>,
    /// Scripts in the notation of the configuration.
    pub scripts: Vec<String>,
    /// Lines at the top, verbatim.
    pub top: String,
    /// Lines for `[quorum]`, verbatim.
    pub quorum: String,
    /// Further tables, verbatim, at the end.
    pub more: String,
    /// Secret of each node, 32 hex digits, by [`Side::index`]; the same unless a test wants otherwise.
    pub keys: [String; 2],
    /// A second network: `eth1` in both nodes and the client, 10.78.0.0/24.
    pub second_lan: bool,
    /// How often the client asks.
    pub ping_step: Duration,
    /// Decides which frames and bits are lost.
    pub seed: u64,
}

impl Default for Setup {
    fn default() -> Self {
        let key = "00112233445566778899aabbccddeeff";
        Self {
            interval_ms: 100,
            late_after_ms: 300,
            dead_after_ms: 500,
            lease_ms: 1_000,
            cold_start_ms: None,
            baud: 19_200,
            emulate_baud: true,
            lines: None,
            prefer: None,
            addresses: vec![format!("{VIP}/{PREFIX}@eth0")],
            scripts: Vec::new(),
            top: String::new(),
            quorum: String::new(),
            more: String::new(),
            keys: [key.into(), key.into()],
            second_lan: false,
            ping_step: Duration::from_millis(5),
            seed: 1,
        }
    }
}

/// Address of a node on a network (0 is eth0).
pub fn node_address(side: Side, lan: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77 + lan, 0, 1 + u8::from(side == Side::B)))
}

/// Address of the client on a network.
pub fn client_address(lan: u8) -> IpAddr {
    match CLIENT {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::new(10, 77 + lan, ip.octets()[2], ip.octets()[3])),
        v6 @ IpAddr::V6(_) => v6,
    }
}

impl Setup {
    /// The configuration file: the same for both nodes, except for the paths of the key and of the state.
    pub fn configuration(&self, key: &Path, devices: [&Path; 2]) -> String {
        let mut text = format!(
            "pair = \"lab\"\nkey = {}\nstate = {}\n{}\n",
            quoted(key),
            quoted(&key.with_file_name("state")),
            self.top
        );
        let [a, b] = NODE_NAMES;
        // Writing into a String cannot fail.
        let _ = write!(text, "[node.{a}]\nlan = \"{}\"\n\n", node_address(Side::A, 0));
        let _ = write!(
            text,
            "[node.{b}]\nlan = \"{}\"\nserial = {}\n\n",
            node_address(Side::B, 0),
            quoted(devices[1])
        );
        let _ = write!(text, "[serial]\ndevice = {}\nbaud = {}\n\n", quoted(devices[0]), self.baud);
        let _ = write!(text, "[lan]\ninterface = \"eth0\"\nport = {LAN_PORT}\n\n");
        let _ = write!(
            text,
            "[timing]\ninterval = \"{}ms\"\nlate_after = \"{}ms\"\ndead_after = \"{}ms\"\nlease = \"{}ms\"\n",
            self.interval_ms, self.late_after_ms, self.dead_after_ms, self.lease_ms
        );
        if let Some(cold_start_ms) = self.cold_start_ms {
            let _ = writeln!(text, "cold_start = \"{cold_start_ms}ms\"");
        }
        if !self.quorum.is_empty() {
            let _ = write!(text, "\n[quorum]\n{}\n", self.quorum);
        }
        let _ = write!(text, "\n[group.{GROUP}]\n");
        if let Some(side) = self.prefer {
            let _ = writeln!(text, "prefer = \"{}\"", NODE_NAMES[side.index()]);
        }
        let _ = writeln!(text, "addresses = {:?}", self.addresses);
        if !self.scripts.is_empty() {
            let _ = writeln!(text, "scripts = {:?}", self.scripts);
        }
        if !self.more.is_empty() {
            let _ = write!(text, "\n{}\n", self.more);
        }
        text
    }
}

/// A TOML string; paths of the laboratory hold nothing that Rust and TOML would escape differently.
fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// A directory that goes when it is dropped.
pub struct Scratch {
    path: PathBuf,
}

/// Tells the laboratories of one process apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Scratch {
    /// Makes an empty directory in memory, or else in the system's place for such, closed to others.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> io::Result<Self> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = place().join(format!("{}{number}", scratch_prefix()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                // Left by a killed laboratory whose process number has come round.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(doing(&format!("making {}", path.display()))(e)),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about what cannot be deleted.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A daemon in the foreground logs to a file of the laboratory's: a slow disk would hold it up. `TMPDIR` says
/// otherwise.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if std::env::var_os("TMPDIR").is_none() && memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// How the names of all scratch directories of this process begin.
fn scratch_prefix() -> String {
    format!("crosswire-lab-{}-", process::id())
}

/// Removes the directories of every laboratory of this process: for a panic in a build that aborts, where
/// nothing is dropped.
pub fn remove_all_scratch() {
    let prefix = scratch_prefix();
    let entries = fs::read_dir(place()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)) {
        // Nothing can be done about what cannot be deleted.
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// Writes a key file: mode 0600, one key with id 1.
///
/// # Errors
/// The kernel's.
pub fn write_key(path: &Path, secret: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "1 {secret}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_nodes_get_the_same_text() {
        let setup = Setup { prefer: Some(Side::A), cold_start_ms: Some(2_000), ..Setup::default() };
        let devices = [Path::new("/dev/pts/3"), Path::new("/dev/pts/4")];
        let text = setup.configuration(Path::new("/tmp/x/key"), devices);
        for line in [
            "key = \"/tmp/x/key\"",
            "[node.gw1]\nlan = \"10.77.0.1\"\n",
            "[node.gw2]\nlan = \"10.77.0.2\"\nserial = \"/dev/pts/4\"\n",
            "device = \"/dev/pts/3\"\nbaud = 19200\n",
            "dead_after = \"500ms\"\nlease = \"1000ms\"\ncold_start = \"2000ms\"\n",
            "[group.gateway]\nprefer = \"gw1\"\naddresses = [\"10.77.0.100/24@eth0\"]\n",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
    }
}
