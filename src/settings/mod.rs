//! The configuration file, read and checked.

mod digest;
mod error;
mod groups;
mod keys;
mod line;
mod loader;
pub(crate) mod needs;
mod nodes;
mod paths;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod times;
mod values;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crosswire::config::{PathId, Policy, Side};
use crosswire::quorum::timing::{Proof, line_time};
use crosswire::time::Span;

pub(crate) use error::ConfigError;
pub(crate) use keys::{KeyFile, MAX_KEY_FILE_BYTES, MAX_KEY_ID};
pub(crate) use values::exact;

/// Everything one node has to know, checked: built only by the loader.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where it was read from.
    pub(crate) file: PathBuf,
    /// The pair's id.
    pub(crate) pair: String,
    /// Which of the two nodes this box is.
    pub(crate) me: Side,
    /// Names of the nodes, by [`Side::index`].
    pub(crate) names: [String; 2],
    /// The key file, not yet read.
    pub(crate) key_file: PathBuf,
    /// The paths, in the order of [`Policy::paths`].
    pub(crate) paths: Vec<PathSettings>,
    /// The groups, in the order of [`Policy::groups`].
    pub groups: Vec<GroupSettings>,
    /// Every interface that holds a VIP, in order of appearance, then those of the LAN paths; without repeats. The
    /// guard reports the carrier of each, and opens its listeners on each.
    pub interfaces: Vec<String>,
    /// What the decision needs.
    pub(crate) policy: Policy,
    /// What this box must have, and where the file says so.
    pub(crate) needs: Vec<needs::Need>,
}

/// One path as this node sees it.
#[derive(Clone, Debug)]
pub(crate) struct PathSettings {
    /// What status and logs call it: `serial`, `lan`, from the second of a kind on `serial2`, `lan2`.
    pub(crate) name: String,
    /// How to open it.
    pub(crate) device: PathDevice,
}

/// How to open a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PathDevice {
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
    },
}

/// One group.
#[derive(Clone, Debug)]
pub(crate) struct GroupSettings {
    /// Its name.
    pub(crate) name: String,
    /// Its addresses, in order.
    pub(crate) addresses: Vec<VirtualAddress>,
    /// Its scripts, in starting order.
    pub(crate) scripts: Vec<Script>,
}

/// A service address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct VirtualAddress {
    /// The address.
    pub(crate) ip: IpAddr,
    /// Its prefix length.
    pub(crate) prefix: u8,
    /// The interface it lives on.
    pub(crate) interface: String,
}

/// A service script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Script {
    /// As written: `lsb:dnsmasq`.
    pub(crate) text: String,
    /// The program to run: `/etc/init.d/dnsmasq`.
    pub(crate) program: PathBuf,
    /// Longest a start may take.
    pub(crate) start_timeout: Duration,
    /// Longest a stop may take.
    pub(crate) stop_timeout: Duration,
}

impl Settings {
    /// Reads and checks `file` for this box: the node called `node`, or else what `uname -n` says.
    ///
    /// # Errors
    /// Everything that is wrong with the file, at once, in the order of the file. Things that the box lacks are not
    /// among it: see [`Settings::absent`].
    pub(crate) fn load(file: &Path, node: Option<&str>) -> Result<Self, Vec<ConfigError>> {
        let wanted = match node {
            Some(name) => nodes::Wanted::Asked(name.to_string()),
            None => nodes::Wanted::Host(host_name()),
        };
        let text = loader::read_text(file).map_err(|error| vec![error])?;
        loader::parse(file, &text, &wanted)
    }

    /// Interfaces, serial ports and scripts that this box lacks right now. `check` fails on them; `run` starts all the
    /// same, since network cards and USB adapters come late.
    pub(crate) fn absent(&self) -> Vec<ConfigError> {
        self.needs.iter().filter_map(needs::Need::lack).collect()
    }

    /// How long one beat occupies each path, in the order of the paths; nothing on a LAN.
    pub(crate) fn beats(&self) -> Vec<Span> {
        let bytes = crosswire::frame::heartbeat_bytes(self.paths.len(), self.groups.len());
        let beat = |path: &PathSettings| match path.device {
            PathDevice::Serial { baud, .. } => line_time(bytes, baud),
            PathDevice::Lan { .. } => Span::ZERO,
        };
        self.paths.iter().map(beat).collect()
    }

    /// The timing proof of these settings.
    pub(crate) fn proof(&self) -> Proof {
        Proof::new(&self.policy, &self.beats())
    }

    /// Name of this node.
    pub(crate) fn my_name(&self) -> &str {
        &self.names[self.me.index()]
    }

    /// Name of the peer.
    pub(crate) fn peer_name(&self) -> &str {
        &self.names[self.me.peer().index()]
    }

    /// Name of a path.
    pub(crate) fn path_name(&self, path: PathId) -> &str {
        self.paths.get(path.index()).map_or("?", |p| p.name.as_str())
    }
}

/// `uname -n`; empty, and so unknown to every file, if the kernel does not say.
fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
