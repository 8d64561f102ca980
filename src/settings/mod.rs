//! The configuration file, read and checked.

mod difference;
mod digest;
mod document;
mod error;
mod fencing;
mod groups;
mod interfaces;
mod keys;
mod last_resort;
mod line;
mod loader;
pub mod needs;
pub mod neighbours;
mod nodes;
mod paths;
pub mod routes;
mod scan;
mod script;
mod service;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod times;
mod tree;
mod values;
mod vmac;
mod witness;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crosswire::config::{GroupPolicy, Policy, SafetyRule};
pub use crosswire::custody::MonitorPlan as Monitor;
use crosswire::pair::{PathId, Side};
use crosswire::quorum::timing::{GroupProof, Proof, line_time, watchdog_bound};
use crosswire::time::Span;

use crate::gather::Gather;

pub use difference::{AppliedBy, changes};
pub use error::ConfigError;
#[cfg(feature = "import")]
pub use error::shorten;
#[cfg(feature = "import")]
pub use groups::{MAX_ADDRESSES, MAX_SCRIPTS};
pub use keys::{KeyFile, MAX_KEY_FILE_BYTES, MAX_KEY_ID};
pub use last_resort::{Convention, Fence, FenceAction, FenceMethod, ModemLine, Watchdog};
#[cfg(feature = "cable-test")]
pub use line::least_interval;
#[cfg(test)]
pub use routes::parsed as parsed_route;
pub use routes::{PARTS, Part, PartValue, Route};
pub use service::{GroupSettings, INTERRUPT_GRACE, Script, Standard, StopFailure, VirtualAddress};
pub use values::{MAX_NAME_BYTES, exact, parse_span};
#[cfg(feature = "import")]
pub use values::{is_interface, is_name, is_unicast, nearest};
pub use vmac::{NAME_BEGINS, Vmac};
pub use witness::Witness;
#[cfg(feature = "import")]
pub use witness::{EVERY_LINK, OwnAddress, is_on_every_link, why_no_witness};

/// Everything one node has to know, checked: built only by the loader.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it was read from.
    pub file: PathBuf,
    /// What stood there.
    pub text: String,
    /// The pair's id.
    pub pair: String,
    /// It only says what it would do, beside another cluster that serves.
    pub is_shadow: bool,
    /// Which of the two nodes this box is.
    pub me: Side,
    /// Names of the nodes, by [`Side::index`].
    pub names: [String; 2],
    /// The key file, not yet read.
    pub key_file: PathBuf,
    /// The directory in which the operator's standby and maintenance are kept.
    pub state: PathBuf,
    /// The directory in which decisions are written down.
    pub journal: Option<PathBuf>,
    /// The program that is told what changes.
    pub notify: Option<PathBuf>,
    /// The paths, in the order of [`Policy::paths`].
    pub paths: Vec<PathSettings>,
    /// The groups, in the order of [`Policy::groups`].
    pub groups: Vec<GroupSettings>,
    /// Whether both processes run before everything else on the box.
    pub is_realtime: bool,
    /// The group whose members may ask what goes on, if it is not the usual one.
    pub group: Option<String>,
    /// The file in which a `b` resets this box at once: `/proc/sysrq-trigger`.
    pub reset: Option<PathBuf>,
    /// The watchdog, if one is wanted.
    pub watchdog: Option<Watchdog>,
    /// How the peer can be fenced, in the order in which it is tried.
    pub fences: Vec<Fence>,
    /// The witnesses, in the order of the configuration.
    pub witnesses: Vec<Witness>,
    /// Where the witness that votes is asked.
    pub vote: Option<SocketAddr>,
    /// Every interface that holds a VIP, in order of appearance, then those of the LAN paths; without
    /// repeats. The guard reports the carrier of each, and opens its listeners on each.
    pub interfaces: Vec<String>,
    /// Third parties on the LANs are witnesses.
    pub has_neighbours: bool,
    /// What the decision needs.
    pub policy: Policy,
    /// What this box must have, and where the file says so.
    pub needs: Vec<needs::Need>,
}

/// One path as this node sees it.
#[derive(Clone, Debug)]
pub struct PathSettings {
    /// Its name in status and logs: `serial`, `lan`; from the second of a kind on `serial2`, `lan2`.
    pub name: String,
    /// How to open it.
    pub device: PathDevice,
}

/// How to open a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathDevice {
    /// A tty.
    Serial {
        /// `/dev/ttyS0`
        device: PathBuf,
        /// Bits per second.
        baud: u32,
    },
    /// A UDP socket bound to an interface.
    Lan {
        /// `eth0`
        interface: String,
        /// Our own address on it.
        local: IpAddr,
        /// The peer's.
        peer: IpAddr,
        /// Source and destination port.
        port: u16,
        /// A cable from box to box, without a switch: its carrier goes with the peer's power.
        is_crossover: bool,
    },
}

impl Settings {
    /// This node decides and says, and acts never. A build without that refuses such a file.
    pub const fn is_shadow(&self) -> bool {
        cfg!(feature = "shadow") && self.is_shadow
    }

    /// Reads and checks `file` for this box: the node called `node`, or else what `uname -n` says.
    ///
    /// # Errors
    /// Everything that is wrong with the file, or impossible on this box, at once and in the order of the
    /// file. Things that the box lacks are no errors: see [`Settings::absent`].
    pub fn load(file: &Path, node: Option<&str>) -> Result<Self, Vec<ConfigError>> {
        let text = loader::read_text(file).map_err(|error| vec![error])?;
        let settings = Self::parse(file, &text, node)?;
        let errors: Vec<_> = settings.needs.iter().filter_map(needs::Need::error).collect();
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// Reads and checks `file` as the box on that side does: side A is the one with the lower name.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_as(file: &Path, side: Side) -> Result<Self, Vec<ConfigError>> {
        let text = loader::read_text(file).map_err(|error| vec![error])?;
        loader::parse(file, &text, &nodes::Wanted::Side(side))
    }

    /// Checks the text of a file that is not there yet, or not any more, for the same node.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn parse(file: &Path, text: &str, node: Option<&str>) -> Result<Self, Vec<ConfigError>> {
        let wanted = match node {
            Some(name) => nodes::Wanted::Asked(name.to_string()),
            None => nodes::Wanted::Host(host_name()),
        };
        loader::parse(file, text, &wanted)
    }

    /// Interfaces, serial ports and scripts that this box lacks right now. `check` fails on them; `run`
    /// starts all the same, since network cards and USB adapters come late.
    pub fn absent(&self) -> Vec<ConfigError> {
        self.needs.iter().filter_map(needs::Need::lack).gather()
    }

    /// The part of [`Settings::absent`] that no waiting mends: the box has something else in its place, or a
    /// device that cannot be a port of ours. `run` does not start then.
    pub fn contradicted(&self) -> Vec<ConfigError> {
        self.needs.iter().filter_map(needs::Need::contradiction).gather()
    }

    /// How long one beat occupies each path, in the order of the paths; nothing on a LAN.
    pub fn beats(&self) -> Vec<Span> {
        let bytes =
            crosswire::frame::heartbeat_bytes(self.paths.len(), self.groups.len(), self.interfaces.len());
        let beat = |path: &PathSettings| match path.device {
            PathDevice::Serial { baud, .. } => line_time(bytes, baud),
            PathDevice::Lan { .. } => Span::ZERO,
        };
        self.paths.iter().map(beat).gather()
    }

    /// What both nodes must agree on, for the peer's operator: the checksum, then what it is over, a fact a
    /// line. No secret is in it: of a script's parameters only a short checksum.
    pub fn agreed(&self) -> String {
        digest::told(self)
    }

    /// The timing proof of these settings.
    pub fn proof(&self) -> Proof {
        Proof::new(&self.policy, &self.beats(), self.watchdog_bound())
    }

    /// By group, for how long nobody may serve it before that is a fault: while nothing is seen to move, and
    /// at most. The first is the slowest takeover: detection, the release mechanisms of a hung peer, and the
    /// fences if the group waits for them. The second adds the longest move of its scripts.
    pub fn bounds(&self) -> Vec<[Span; 2]> {
        let proof = self.proof();
        let fences = self.fences.iter().fold(Span::ZERO, |sum, fence| sum + fence.timeout);
        let groups = self.groups.iter().zip(&self.policy.groups).zip(&proof.groups);
        let bound = |((group, policy), figures): ((&GroupSettings, &GroupPolicy), &GroupProof)| {
            let fenced = if policy.safety == SafetyRule::Fence { fences } else { Span::ZERO };
            let idle = figures.takeover.max(proof.lifetime_bound) + proof.detection + fenced;
            [idle, idle + group.longest_move()]
        };
        groups.map(bound).gather()
    }

    /// The longest time from the last beat of a hung box until the watchdog has reset it; zero without one.
    pub fn watchdog_bound(&self) -> Span {
        let bound = |watchdog: &Watchdog| watchdog_bound(watchdog.timeout, self.policy.interval());
        self.watchdog.as_ref().map_or(Span::ZERO, bound)
    }

    /// Name of this node.
    pub fn my_name(&self) -> &str {
        &self.names[self.me.index()]
    }

    /// The path of the journal's files, without their numbers.
    pub fn journal_base(&self) -> Option<PathBuf> {
        let name = format!("{}.{}.journal", self.pair, self.my_name());
        self.journal.as_ref().map(|directory| directory.join(name))
    }

    /// Name of the peer.
    pub fn peer_name(&self) -> &str {
        &self.names[self.me.peer().index()]
    }

    /// Name of a path.
    pub fn path_name(&self, path: PathId) -> &str {
        self.paths.get(path.index()).map_or("?", |p| p.name.as_str())
    }
}

/// `uname -n`; empty, and so unknown to every file, if the kernel does not say.
fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
