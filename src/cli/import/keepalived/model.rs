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
    /// `vrrp_version`
    pub version: Option<u8>,
    /// `vrrp_down_timer_adverts`
    pub adverts: At<u8>,
}

impl Node {
    /// The sync group of an instance: keepalived heeds only the first one that names it.
    pub fn group_of(&self, one: &Instance) -> Option<&SyncGroup> {
        self.groups.iter().find(|group| group.members.iter().any(|(name, _)| *name == one.name))
    }

    /// Whether the name is that of an instance of this very group.
    pub fn is_member(&self, name: &str, group: &SyncGroup) -> bool {
        let one = self.instances.iter().find(|one| one.name == name);
        one.and_then(|one| self.group_of(one)).is_some_and(|own| std::ptr::eq(own, group))
    }
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
    /// `version`
    pub version: Option<u8>,
    /// `down_timer_adverts`
    pub adverts: At<u8>,
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
    pub checks: Vec<Tracked>,
    /// `notify*`
    pub notify: Vec<Notify>,
    /// `dont_track_primary`
    pub is_untracked: bool,
    /// `use_vmac`, and the hardware address, if it names one.
    pub vmac: At<Option<String>>,
    /// `use_vmac_addr`
    pub has_vmac_addr: bool,
}

/// Priority of an instance that names none.
const USUAL_PRIORITY: u8 = 100;
/// Priority of the owner of the addresses, and of an instance that names none and is MASTER.
const OWNER: u8 = 255;

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
            version: None,
            adverts: None,
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
            has_vmac_addr: false,
        }
    }

    /// What decides who serves.
    pub fn rank(&self) -> u8 {
        let usual =
            if self.is_master.is_some_and(|(is_master, _)| is_master) { OWNER } else { USUAL_PRIORITY };
        self.priority.map_or(usual, |(priority, _)| priority)
    }

    /// Whether it begins as the one that serves: by its state, else as the owner of the addresses.
    pub fn is_master(&self) -> bool {
        self.is_master.map_or(self.rank() == OWNER, |(is_master, _)| is_master)
    }

    /// Whether it takes over again whatever `nopreempt` says, and at once if it is MASTER.
    pub fn is_owner(&self) -> bool {
        self.rank() == OWNER
    }

    /// Whether it is one of IPv4: the family of its packets, as the first line tells that knows it.
    pub fn is_v4(&self) -> bool {
        let source = self.source.map(|(ip, at)| (at, ip));
        let peer = self.peers.first().map(|(ip, at)| (*at, *ip));
        let address = self.addresses.iter().find(|address| !address.is_excluded);
        let address = address.map(|address| (address.at, address.ip));
        let all = [source, peer, address].into_iter().flatten();
        all.min_by_key(|(at, _)| *at).is_none_or(|(_, ip)| ip.is_ipv4())
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
    /// `sync_group_tracking_weight`
    pub has_weights: bool,
    /// `track_interface`
    pub tracks: Vec<Track>,
    /// `track_script`
    pub checks: Vec<Tracked>,
    /// `notify*`
    pub notify: Vec<Notify>,
}

impl SyncGroup {
    /// Where each of its statements stands.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let checks = self.checks.iter().map(|check| check.at);
        let named = self.members.iter().map(|(_, at)| *at).chain(checks);
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
    /// It stands in `virtual_ipaddress_excluded`.
    pub is_excluded: bool,
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
    /// By how much it changes the priority; without one, the node is out.
    pub weight: Option<i16>,
    /// `reverse`: whether the node is the worse one with it.
    pub is_reverse: bool,
}

/// A check that counts.
pub struct Tracked {
    /// The statement.
    pub at: Key,
    /// Its name.
    pub name: String,
    /// Whether it changes the priority only, if the statement says so.
    pub is_weighted: Option<bool>,
    /// `reverse`: whether the node is the worse one with it.
    pub is_reverse: bool,
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
    /// `weight`
    pub is_weighted: bool,
    /// `weight NUMBER reverse`
    pub is_reverse: bool,
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
