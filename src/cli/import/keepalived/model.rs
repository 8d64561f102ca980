//! What one node's keepalived.conf asks for.

use std::net::IpAddr;

use crosswire::time::Span;

use super::ledger::Key;
use crate::cli::import::report::Fate;

/// A value, and the statement that gives it.
pub type At<T> = Option<(T, Key)>;

/// The file of one node.
#[derive(Default)]
pub struct Node {
    /// `router_id`
    pub router_id: At<String>,
    /// `vrrp_instance`
    pub instances: Vec<Instance>,
    /// `vrrp_sync_group`
    pub groups: Vec<SyncGroup>,
    /// `vrrp_script`
    pub checks: Vec<Check>,
    /// `vrrp_track_process` and `vrrp_track_file`: names and what they look at.
    pub tracked: Vec<(String, Key)>,
    /// `default_interface`
    pub interface: At<String>,
}

/// A virtual router.
pub struct Instance {
    /// Its first line.
    pub at: Key,
    /// Its name.
    pub name: String,
    /// Where its packets are, and addresses that name no interface.
    pub interface: At<String>,
    /// `virtual_router_id`
    pub router: At<u8>,
    /// `priority`
    pub priority: At<u8>,
    /// `state`: whether it is MASTER.
    pub is_master: At<bool>,
    /// `nopreempt`; `preempt` takes it back.
    pub nopreempt: At<()>,
    /// `preempt_delay`
    pub preempt_delay: At<Span>,
    /// `advert_int`
    pub advert: At<Span>,
    /// `unicast_src_ip`, or `mcast_src_ip`
    pub source: At<IpAddr>,
    /// `unicast_peer`
    pub peers: Vec<(IpAddr, Key)>,
    /// `virtual_ipaddress` and `virtual_ipaddress_excluded`
    pub addresses: Vec<Address>,
    /// `virtual_routes`
    pub routes: Vec<Route>,
    /// `virtual_rules`
    pub rules: Vec<Route>,
    /// `track_interface`
    pub tracks: Vec<Track>,
    /// `track_script`
    pub checks: Vec<(String, Key)>,
    /// `notify*`
    pub notify: Vec<Notify>,
    /// `dont_track_primary`
    pub is_untracked: bool,
    /// `use_vmac`, and the hardware address, if it names one.
    pub vmac: At<Option<String>>,
}

/// Priority of an instance that names none.
pub const USUAL_PRIORITY: u8 = 100;

impl Instance {
    /// Nothing said yet.
    pub fn new(at: Key, name: String) -> Self {
        Self {
            at,
            name,
            interface: None,
            router: None,
            priority: None,
            is_master: None,
            nopreempt: None,
            preempt_delay: None,
            advert: None,
            source: None,
            peers: Vec::new(),
            addresses: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            tracks: Vec::new(),
            checks: Vec::new(),
            notify: Vec::new(),
            is_untracked: false,
            vmac: None,
        }
    }

    /// What decides who serves.
    pub fn rank(&self) -> u8 {
        self.priority.map_or(USUAL_PRIORITY, |(priority, _)| priority)
    }

    /// Whether it says of itself that it begins as the one that serves.
    pub fn is_master(&self) -> bool {
        self.is_master.is_some_and(|(is_master, _)| is_master)
    }

    /// Whether both are one virtual router: there is one of a number for each family on a LAN.
    pub fn is_same(&self, other: &Self) -> bool {
        let family = |one: &Self| one.addresses.first().map(|address| address.ip.is_ipv4());
        let number = |one: &Self| one.router.map(|(number, _)| number);
        number(self) == number(other) && (family(self) == family(other) || self.name == other.name)
    }
}

/// Instances that move together.
pub struct SyncGroup {
    /// Its first line.
    pub at: Key,
    /// Its name.
    pub name: String,
    /// Names of its instances.
    pub members: Vec<(String, Key)>,
    /// `track_interface`
    pub tracks: Vec<Track>,
    /// `track_script`
    pub checks: Vec<(String, Key)>,
    /// `notify*`
    pub notify: Vec<Notify>,
}

impl SyncGroup {
    /// Where each of its statements stands.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let named = self.members.iter().chain(&self.checks).map(|(_, at)| *at);
        let others =
            self.tracks.iter().map(|track| track.at).chain(self.notify.iter().map(|notify| notify.at));
        std::iter::once(self.at).chain(named).chain(others)
    }
}

/// A service address.
#[derive(Clone)]
pub struct Address {
    /// The statement.
    pub at: Key,
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// Its interface, if it says so.
    pub interface: Option<String>,
    /// `label`
    pub label: Option<String>,
    /// `peer`
    pub peer: Option<IpAddr>,
    /// `no_track`
    pub is_untracked: bool,
    /// `use_vmac`
    pub has_vmac: bool,
    /// What has to be said of what else it says.
    pub notes: Vec<Fate>,
}

/// A route, or a policy rule.
#[derive(Clone)]
pub struct Route {
    /// The statement.
    pub at: Key,
    /// As `ip route add` takes it, or `ip rule add`.
    pub words: Vec<String>,
}

/// An interface that counts.
pub struct Track {
    /// The statement.
    pub at: Key,
    /// Its name.
    pub interface: String,
    /// Whether it changes the priority only.
    pub is_weighted: bool,
}

/// A check.
pub struct Check {
    /// Its first line.
    pub at: Key,
    /// Its name.
    pub name: String,
    /// The program and its arguments.
    pub script: At<Vec<String>>,
    /// `interval`
    pub every: Option<Span>,
    /// The lines that say how: interval, timeout, weight, fall, rise and others.
    pub details: Vec<Key>,
}

/// When a program is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// `notify_master`
    Master,
    /// `notify_backup`
    Backup,
    /// `notify_fault`
    Fault,
    /// `notify_stop`
    Stop,
    /// `notify`
    Any,
}

/// A program that is told.
#[derive(Clone)]
pub struct Notify {
    /// The statement.
    pub at: Key,
    /// When.
    pub when: When,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// As whom, if it says so.
    pub user: Option<String>,
}
