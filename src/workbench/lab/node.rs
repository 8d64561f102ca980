//! One node of the laboratory, from its network card to its files.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crosswire::pair::Side;
use nix::libc;

use super::namespace::Namespace;
use super::process::{NodeProcess, kill_all_in};
use super::setup::{PREFIX, node_address};
use super::switch::{PortId, Switch};

/// A node: its kernel's network, its daemon while one runs, and its files.
pub(super) struct Node {
    pub(super) process: Option<NodeProcess>,
    pub(super) has_power: bool,
    pub(super) namespace: Namespace,
    pub(super) ports: Vec<PortId>,
    pub(super) directory: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        // This also kills orphans of the daemon. An error cannot be handled here; the daemon's own drop
        // follows.
        let _ = kill_all_in(&self.namespace);
    }
}

impl Node {
    /// A node with a port on each LAN, and no daemon yet.
    pub(super) fn new(
        name: &str,
        side: Side,
        switch: &Switch,
        lans: impl Iterator<Item = u8>,
        scratch: &Path,
    ) -> io::Result<Self> {
        let namespace = Namespace::new(name)?;
        let ports = plug_all(switch, &namespace, lans, |lan| node_address(side, lan))?;
        let directory = scratch.join(name);
        fs::create_dir_all(directory.join("run"))?;
        Ok(Self { process: None, has_power: true, namespace, ports, directory })
    }

    /// Brings the node to the state after a boot: no address but the configured one, and no trace of an
    /// earlier run.
    pub(super) fn forget_addresses(&self, side: Side) -> io::Result<()> {
        // A new boot id would make this file void, but in the laboratory nothing boots.
        let _ = fs::remove_file(self.directory.join("run/started"));
        let rtnl = self.namespace.rtnl();
        for held in rtnl.addresses()? {
            let is_own = (0u8..).take(self.ports.len()).any(|lan| node_address(side, lan) == held.ip);
            let is_system =
                held.ip.is_loopback() || matches!(held.ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            if is_own || is_system {
                continue;
            }
            match rtnl.delete_address(held.interface, held.ip, held.prefix) {
                // Its lifetime ran out meanwhile.
                Err(e) if e.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {}
                done => done?,
            }
        }
        Ok(())
    }
}

/// Plugs a namespace into each LAN, with its address there.
pub(super) fn plug_all(
    switch: &Switch,
    namespace: &Namespace,
    lans: impl Iterator<Item = u8>,
    address: impl Fn(u8) -> IpAddr,
) -> io::Result<Vec<PortId>> {
    let mut ports = Vec::new();
    for lan in lans {
        let port = switch.plug(namespace, &format!("eth{lan}"), lan)?;
        namespace.rtnl().add_address(switch.node_interface(port), address(lan), PREFIX, None)?;
        ports.push(port);
    }
    Ok(ports)
}
