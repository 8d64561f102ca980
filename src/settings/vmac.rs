//! The hardware address that both nodes share for a group, and the interface that has it.

use std::fmt;
use std::fs;
use std::path::Path;

use super::digest;
use super::neighbours::parse_mac;
use crate::gather::Gather;

/// What a derived one begins with: locally administered, for one box (IEEE 802).
const DERIVED: [u8; 2] = [0x02, b'c'];

/// What the name of a macvlan of ours begins with.
pub const NAME_BEGINS: &str = "cw";

/// A hardware address that goes with the addresses of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vmac {
    /// The same on both nodes.
    pub mac: [u8; 6],
    /// The macvlan that has it on this node. Who starts after a crash computes the same name.
    pub name: String,
}

impl Vmac {
    /// That of a group on an interface: as it is written, or derived from the pair and the group.
    pub(super) fn new(written: Option<[u8; 6]>, pair: &str, group: &str, interface: &str) -> Self {
        let group = format!("{pair} {group}");
        let [a, b] = DERIVED;
        let [c, d, e, f] = digest::checksum(&group).to_be_bytes();
        let vmac = Self { mac: written.unwrap_or([a, b, c, d, e, f]), name: String::new() };
        let name = format!("{NAME_BEGINS}{:08x}", digest::checksum(&format!("{group} {interface} {vmac}")));
        Self { name, ..vmac }
    }
}

/// The hardware address.
impl fmt::Display for Vmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = self.mac.iter().map(|octet| format!("{octet:02x}")).gather();
        f.write_str(&octets.join(":"))
    }
}

/// Reads the hardware address of one box; none of those that a group of boxes has, or nobody.
pub(super) fn parse(text: &str) -> Option<[u8; 6]> {
    let mac = parse_mac(text)?;
    (mac[0] & 1 == 0 && mac != [0; 6]).then_some(mac)
}

/// Why there can be no macvlan called `name` on an interface of this box, as far as everybody may see it,
/// and what to do. An interface that is not there lacks nothing else.
pub(super) fn lack(interface: &str, name: &str) -> Option<(String, &'static str)> {
    lack_in(Path::new("/"), interface, name)
}

fn lack_in(root: &Path, interface: &str, name: &str) -> Option<(String, &'static str)> {
    let net = root.join("sys/class/net");
    let (base, own) = (net.join(interface), net.join(name));
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    if !base.exists() {
        return None;
    }
    if own.exists() && !read(&own.join("uevent")).lines().any(|line| line == "DEVTYPE=macvlan") {
        let what =
            format!("the vmac would be called {name}, and this box has another interface of that name");
        return Some((what, "rename that interface"));
    }
    if read(&base.join("type")).trim() != "1" {
        let what = format!("{interface} is no Ethernet, and carries no vmac");
        return Some((what, "remove vmac there"));
    }
    if base.join("phy80211").exists() {
        let what = format!("{interface} is wireless, and carries no hardware address but its own");
        return Some((what, "remove vmac there"));
    }
    if base.join("brport").exists() || base.join("bonding_slave").exists() {
        let what = format!("{interface} is part of a bridge or a bond, and carries no vmac itself");
        return Some((what, "name the bridge or the bond"));
    }
    let what = || "this kernel has no macvlan (CONFIG_MACVLAN)".to_owned();
    (!has_macvlan(root)).then(|| (what(), "install the kernel's modules, or remove vmac"))
}

/// Whether the kernel has macvlans, or may have them: without a list of its modules nobody knows.
fn has_macvlan(root: &Path) -> bool {
    let release = fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
    let modules = root.join("lib/modules").join(release.trim());
    let lists = ["modules.builtin", "modules.dep"].map(|list| fs::read_to_string(modules.join(list)));
    let is_listed = lists.iter().flatten().any(|list| list.contains("/macvlan.ko"));
    is_listed || lists.iter().any(Result::is_err) || root.join("sys/module/macvlan").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_that_of_one_box() {
        assert_eq!(parse("02:00:5e:00:01:33"), Some([2, 0, 0x5e, 0, 1, 0x33]));
        assert_eq!(parse("00:00:5E:00:01:0a"), Some([0, 0, 0x5e, 0, 1, 10]));
        let bad = [
            "",
            "yes",
            "01:00:5e:00:01:33",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
            "02:00:5e:00:01",
            "02:00:5e:00:01:33:44",
            "02:00:5e:00:01:133",
            "+2:00:5e:00:01:33",
            "02-00-5e-00-01-33",
        ];
        bad.into_iter().for_each(|text| assert_eq!(parse(text), None, "{text}"));
    }

    #[test]
    fn both_nodes_derive_the_same_and_every_group_has_its_own() {
        let here = Vmac::new(None, "lab", "gateway", "eth0");
        let there = Vmac::new(None, "lab", "gateway", "enp2s0");
        assert_eq!(here.mac, there.mac);
        assert_eq!(here.mac[0] & 3, 2, "locally administered, and of one box");
        assert_ne!(here.name, there.name, "each interface has one");
        assert_eq!(here, Vmac::new(None, "lab", "gateway", "eth0"), "who comes later finds it");
        assert!(here.name.starts_with("cw") && here.name.len() <= 15, "{}", here.name);
        for (pair, group) in [("lab", "other"), ("other", "gateway")] {
            let other = Vmac::new(None, pair, group, "eth0");
            assert!(other.mac != here.mac && other.name != here.name, "{other}");
        }
        let written = Vmac::new(parse("02:00:5e:00:01:33"), "lab", "gateway", "eth0");
        assert_eq!(written.to_string(), "02:00:5e:00:01:33");
        assert_ne!(written.name, here.name);
    }

    #[test]
    fn what_everybody_can_see_is_found_before_a_macvlan_is_made() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let said =
            |interface| lack_in(root.path(), interface, "cw0").map(|(what, _)| what).unwrap_or_default();
        for (name, kind) in [("eth0", "1"), ("wlan0", "1"), ("tun0", "65534"), ("eth1", "1"), ("eth2", "1")] {
            make(&format!("sys/class/net/{name}/type"), kind);
        }
        make("sys/class/net/wlan0/phy80211/name", "phy0");
        make("sys/class/net/eth1/brport/path_cost", "2");
        make("sys/class/net/eth2/bonding_slave/state", "active");
        assert_eq!(said("absent"), "");
        assert_eq!(said("eth0"), "", "nobody knows what that kernel has");
        assert!(said("wlan0").contains("wireless"));
        assert!(said("tun0").contains("no Ethernet"));
        assert!(said("eth1").contains("bridge") && said("eth2").contains("bond"));
        make("proc/sys/kernel/osrelease", "6.1\n");
        make("lib/modules/6.1/modules.builtin", "kernel/drivers/net/tun.ko\n");
        make("lib/modules/6.1/modules.dep", "kernel/drivers/net/dummy.ko:\n");
        assert!(said("eth0").contains("no macvlan"));
        make("lib/modules/6.1/modules.dep", "kernel/drivers/net/macvlan.ko.xz:\n");
        assert_eq!(said("eth0"), "");
        make("sys/class/net/cw0/uevent", "INTERFACE=cw0\n");
        assert!(said("eth0").contains("another interface of that name"));
        make("sys/class/net/cw0/uevent", "DEVTYPE=macvlan\nINTERFACE=cw0\n");
        assert_eq!(said("eth0"), "");
    }
}
