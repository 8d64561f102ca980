//! The configuration file, read and checked.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crosswire::config::{PathId, PathKind, Policy, Side};

/// Everything one node has to know, checked: built only by the loader.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it was read from.
    pub file: PathBuf,
    /// The pair's id.
    pub pair: String,
    /// Which of the two nodes this box is.
    pub me: Side,
    /// Names of the nodes, by [`Side::index`].
    pub names: [String; 2],
    /// The key file, not yet read.
    pub key_file: PathBuf,
    /// The paths, in the order of [`Policy::paths`].
    pub paths: Vec<PathSettings>,
    /// The groups, in the order of [`Policy::groups`].
    pub groups: Vec<GroupSettings>,
    /// Every interface that holds a VIP, in order of appearance, then those of the LAN paths; without repeats. The
    /// guard reports the carrier of each, and opens its listeners on each.
    pub interfaces: Vec<String>,
    /// What the decision needs.
    pub policy: Policy,
}

/// One path as this node sees it.
#[derive(Clone, Debug)]
pub struct PathSettings {
    /// What status and logs call it: `serial`, `lan`, from the second of a kind on `serial2`, `lan2`.
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
    },
}

/// One group.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// Its name.
    pub name: String,
    /// Its addresses, in order.
    pub addresses: Vec<VirtualAddress>,
    /// Its scripts, in starting order.
    pub scripts: Vec<Script>,
}

/// A service address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VirtualAddress {
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// The interface it lives on.
    pub interface: String,
}

/// A service script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// As written: `lsb:dnsmasq`.
    pub text: String,
    /// The program to run: `/etc/init.d/dnsmasq`.
    pub program: PathBuf,
    /// Longest a start may take.
    pub start_timeout: Duration,
    /// Longest a stop may take.
    pub stop_timeout: Duration,
}

impl PathDevice {
    /// Serial or LAN.
    pub fn kind(&self) -> PathKind {
        match self {
            Self::Serial { .. } => PathKind::Serial,
            Self::Lan { .. } => PathKind::Lan,
        }
    }
}

impl Settings {
    /// Name of this node.
    pub fn my_name(&self) -> &str {
        &self.names[self.me.index()]
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
