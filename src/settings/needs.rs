//! What the configuration names and this box may lack. `check` finds it; `run` starts all the same, unless
//! the box has something else in its place.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::net::if_::if_nametoindex;

use super::error::{ConfigError, quote};
use super::neighbours::{addresses_of_box, is_link_local, is_own, takes};
use super::{Vmac, witness};
use crate::plain;
use crate::sys::names;
use crate::tty::fit;

/// Something that has to be there, and the `FILE:LINE:COL` that says so.
#[derive(Clone, Debug)]
pub struct Need {
    /// Where it is asked for.
    pub(super) place: String,
    /// What it is.
    pub(super) what: Thing,
}

/// What can be absent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Thing {
    /// A network interface.
    Interface(String),
    /// An interface that takes addresses of this family, with that hardware address.
    Family(String, IpAddr, Option<Vmac>),
    /// An address of our own on a LAN.
    Address {
        /// The LAN's interface.
        interface: String,
        /// Ours.
        own: IpAddr,
        /// The peer's, and the peer's name.
        peer: (IpAddr, String),
        /// Addresses of the groups, which come and go.
        served: Vec<IpAddr>,
    },
    /// A serial port, and the speed at which it is to run.
    Device(PathBuf, u32),
    /// The program of a script, in one of these places.
    Program(Vec<PathBuf>),
    /// A watchdog.
    Watchdog(PathBuf),
    /// A group of users.
    Group(String),
    /// What resets this box.
    Reset(PathBuf),
    /// The program or the port of a fence.
    Fence(PathBuf),
    /// A witness, which has to be another box.
    Witness(IpAddr),
}

impl Need {
    /// What the box lacks of it now, if anything; errors come from [`Need::error`] instead.
    pub(super) fn lack(&self) -> Option<ConfigError> {
        if self.error().is_some() { None } else { self.said() }
    }

    fn said(&self) -> Option<ConfigError> {
        let (what, remedy) = match &self.what {
            Thing::Interface(name) => lack_of_interface(name)?,
            Thing::Family(name, ip, vmac) => {
                lack_of_family(name, *ip).or_else(|| vmac.as_ref()?.lack("", name))?
            }
            Thing::Address { interface, own, peer, .. } => lack_of_address(interface, *own, peer)?,
            Thing::Device(path, baud) => {
                let (what, remedy) = lack_of_device(path).or_else(|| unfit(path, *baud))?;
                return Some(ConfigError::at(self.code(), &self.place, what, &remedy));
            }
            Thing::Program(paths) => lack_of_program(paths)?,
            Thing::Watchdog(path) => lack_of_watchdog(path)?,
            Thing::Group(name) => lack_of_group(name)?,
            Thing::Reset(path) => lack_of_reset(path)?,
            Thing::Fence(path) => lack_of_fence(path)?,
            Thing::Witness(ip) => lack_of_witness(*ip)?,
        };
        Some(ConfigError::at(self.code(), &self.place, what, remedy))
    }

    /// The name of its kind, for programs.
    const fn code(&self) -> &'static str {
        match &self.what {
            Thing::Interface(_) => "interface",
            Thing::Family(.., None) => "family",
            Thing::Family(.., Some(_)) => "vmac",
            Thing::Address { .. } => "address",
            Thing::Device(..) => "device",
            Thing::Program(_) => "program",
            Thing::Watchdog(_) => "watchdog",
            Thing::Group(_) => "group",
            Thing::Reset(_) => "reset",
            Thing::Fence(_) => "fence",
            Thing::Witness(_) => "witness",
        }
    }

    /// An error with which no box may start: a witness that it would see even when it is cut off.
    pub(super) fn error(&self) -> Option<ConfigError> {
        if matches!(self.what, Thing::Witness(_)) { self.said() } else { None }
    }

    /// A lack that waiting cannot mend: an interface that has addresses, but not ours; a device that cannot
    /// be a port of ours.
    pub(super) fn contradiction(&self) -> Option<ConfigError> {
        let is_here = match &self.what {
            Thing::Address { interface, own, served, .. } => has_others(interface, *own, served),
            Thing::Device(path, _) => lack_of_device(path).is_none(),
            Thing::Interface(_)
            | Thing::Family(..)
            | Thing::Program(_)
            | Thing::Watchdog(_)
            | Thing::Group(_)
            | Thing::Reset(_)
            | Thing::Fence(_)
            | Thing::Witness(_) => false,
        };
        if is_here { self.said() } else { None }
    }
}

/// Whether an interface has addresses that are no group's, while the box lacks `own`.
fn has_others(interface: &str, own: IpAddr, served: &[IpAddr]) -> bool {
    let is_settled =
        |ip: &IpAddr| ip.is_ipv4() == own.is_ipv4() && !is_link_local(*ip) && !served.contains(ip);
    !is_own(own) && addresses_of_box().iter().any(|(name, ip, _)| name == interface && is_settled(ip))
}

fn lack_of_address(
    interface: &str,
    own: IpAddr,
    (peer, name): &(IpAddr, String),
) -> Option<(String, &'static str)> {
    if lack_of_interface(interface).is_some() || is_own(own) {
        return None;
    }
    let what = format!("there is no address {own} on this box");
    Some(if is_own(*peer) {
        (
            format!("{what}, but {peer}, which is said to be {name}'s"),
            "are the two swapped? correct lan of both nodes",
        )
    } else {
        (what, "see `ip address`, and correct lan of this node, or give the address to its interface")
    })
}

fn lack_of_witness(ip: IpAddr) -> Option<(String, &'static str)> {
    let what = || format!("{ip} is an address of this box: as a witness it says nothing of who is cut off");
    is_own(ip).then(|| (what(), witness::REMEDY))
}

fn lack_of_interface(name: &str) -> Option<(String, &'static str)> {
    if_nametoindex(name).err()?;
    Some((
        format!("there is no interface \"{name}\" on this box"),
        "see `ip link` for those that there are, and correct the name",
    ))
}

fn lack_of_family(name: &str, ip: IpAddr) -> Option<(String, &'static str)> {
    if lack_of_interface(name).is_some() || takes(name, ip) {
        return None;
    }
    let what = format!(
        "{name} takes no address like {ip}: IPv6 is switched off there, or its MTU is too small (1280 for \
            IPv6)"
    );
    Some((
        what,
        "see /proc/sys/net/ipv6/conf/*/disable_ipv6 and `ip link`, or remove the address from the group",
    ))
}

fn lack_of_device(path: &Path) -> Option<(String, String)> {
    let error = fs::metadata(path).err()?;
    let what = format!("there is no serial port \"{}\" on this box ({error})", path.display());
    Some((what, "plug it in, or set serial in the node's table if it differs here".to_string()))
}

/// Why a port that is there must not be used.
fn unfit(path: &Path, baud: u32) -> Option<(String, String)> {
    let (reason, _) = fit::refusal(path, &fs::metadata(path).ok()?, baud)?;
    let (what, remedy) = plain::cut(&reason, ": ")?;
    Some((what.to_string(), remedy.to_string()))
}

/// Only looks: opening a watchdog would start it.
fn lack_of_watchdog(path: &Path) -> Option<(String, &'static str)> {
    let is_there = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device());
    let remedy = "load its driver (softdog where there is no hardware), or name another device";
    (!is_there).then(|| (format!("there is no watchdog \"{}\" on this box", path.display()), remedy))
}

fn lack_of_group(name: &str) -> Option<(String, &'static str)> {
    let what = format!("there is no group {} in /etc/group of this box", quote(name));
    names::group(name).is_none().then_some((what, "make it with `groupadd -r`, or name another one"))
}

/// Only looks: the file is written to only when the box has to be reset.
fn lack_of_reset(path: &Path) -> Option<(String, &'static str)> {
    let error = fs::metadata(path).err()?;
    let what =
        format!("\"{}\", with which this box would reset itself, is not on it ({error})", path.display());
    Some((what, "use \"/proc/sysrq-trigger\" (a kernel with CONFIG_MAGIC_SYSRQ)"))
}

/// Only looks whether it is there: `fence --test` finds out the rest.
fn lack_of_fence(path: &Path) -> Option<(String, &'static str)> {
    let error = fs::metadata(path).err()?;
    let what =
        format!("\"{}\", with which the peer would be fenced, is not on this box ({error})", path.display());
    Some((what, "install it or plug it in, and try it with `crosswire fence --test`"))
}

/// The first of the paths that exists has to be executable.
fn lack_of_program(paths: &[PathBuf]) -> Option<(String, &'static str)> {
    let found = paths.iter().map(|path| (path, fs::metadata(path)));
    let mut missing = Vec::new();
    for (path, metadata) in found {
        let name = path.display();
        match metadata {
            Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => return None,
            Ok(_) => return Some((format!("\"{name}\" is not an executable file"), "chmod +x it")),
            Err(error) => missing.push(format!("no script \"{name}\" on this box ({error})")),
        }
    }
    Some((format!("there is {}", missing.join(", and ")), "install the service, or correct the name"))
}
