//! The hardware address that both nodes share for a group, and the interface that has it.

use std::fmt;
use std::fs;
use std::path::Path;

use super::values::{checksum, parse_mac};
use crate::plain;
use crate::sys::directory::names_in;

/// What a derived one begins with: locally administered, for one box (IEEE 802).
const DERIVED: [u8; 2] = [0x02, b'c'];

/// What the name of a macvlan of ours begins with.
pub const NAME_BEGINS: &str = "cw";
const NAME_BYTES: usize = 10;

/// What cannot carry a second hardware address, by what the kernel shows of it: a radio's access point knows
/// one, and who belongs to a bridge or a bond has given its frames away.
const UNFIT: [(&str, &str); 3] =
    [("phy80211", "is wireless"), ("brport", "belongs to a bridge"), ("bonding_slave", "belongs to a bond")];

/// A hardware address that goes with the addresses of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vmac {
    /// The same on both nodes.
    pub mac: [u8; 6],
    name: [u8; NAME_BYTES],
}

impl Vmac {
    /// That of a group on an interface: as it is written, or derived from the pair and the group.
    pub fn new(written: Option<[u8; 6]>, pair: &str, group: &str, interface: &str) -> Self {
        let group = format!("{pair} {group}");
        let [a, b] = DERIVED;
        let [c, d, e, f] = checksum(&group).to_be_bytes();
        let mac @ [_, _, tail @ ..] = written.unwrap_or([a, b, c, d, e, f]);
        // Two of a group on one interface have two names.
        let number = checksum(&format!("{group} {interface}")) ^ u32::from_be_bytes(tail);
        let mut name = [0; NAME_BYTES];
        let text = format!("{NAME_BEGINS}{number:08x}");
        name.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Self { mac, name }
    }

    /// The macvlan that has it on this node. Who starts after a crash computes the same name.
    pub fn name(&self) -> &str {
        str::from_utf8(&self.name).unwrap_or_default()
    }

    /// Whether macvlans of ours are called so.
    pub fn is_name(name: &str) -> bool {
        let number = name.strip_prefix(NAME_BEGINS);
        number.is_some_and(|number| number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    /// Who is up with this hardware address on the interface below, or is that interface: beside it the
    /// kernel lets no other one be up. `root` is empty outside a test.
    pub fn rival(&self, root: &str, below: &str) -> Option<String> {
        let net = format!("{root}/sys/class/net");
        names_in(Path::new(&net)).into_iter().find(|name| {
            let read = |file| fs::read_to_string(format!("{net}/{name}/{file}")).unwrap_or_default();
            let is_there = name == below || Path::new(&format!("{net}/{name}/lower_{below}")).exists();
            // `IFF_UP` is the lowest bit of the flags.
            let is_up = || read("flags").trim_ascii_end().ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f']);
            is_there && name != self.name() && read("address").trim_ascii_end() == self.to_string() && is_up()
        })
    }

    /// Why there can be no such macvlan on an interface of this box, as far as everybody may see it, and what
    /// to do. `root` is empty outside a test.
    pub fn lack(&self, root: &str, interface: &str) -> Option<(String, &'static str)> {
        let (name, net) = (self.name(), format!("{root}/sys/class/net"));
        let read = |file: String| fs::read_to_string(file).unwrap_or_default();
        for (file, why) in UNFIT {
            if Path::new(&format!("{net}/{interface}/{file}")).exists() {
                let what = format!("{interface} {why}, and carries no vmac");
                return Some((what, "name the bridge or the bond, or remove vmac"));
            }
        }
        let uevent = read(format!("{net}/{name}/uevent"));
        // Not every kernel names the kind of a macvlan there.
        let is_other = uevent.starts_with("DEVTYPE=") && !uevent.starts_with("DEVTYPE=macvlan\n");
        let is_on_another =
            || names_in(&Path::new(&net).join(name)).iter().any(|file| file.starts_with("lower_"));
        if !uevent.is_empty() && (is_other || !is_on_another()) {
            let what = format!("the vmac needs the name {name}, which another interface of this box has");
            return Some((what, "rename that interface"));
        }
        if let Some(rival) = self.rival(root, interface) {
            let what =
                format!("{rival} is up and has {self}: the kernel takes no vmac with it on {interface}");
            return Some((what, "remove that interface, or give it or the vmac another hardware address"));
        }
        let release = read(format!("{root}/proc/sys/kernel/osrelease"));
        let modules = format!("{root}/lib/modules/{}/modules.", release.trim_ascii_end());
        let all = read(format!("{modules}builtin")) + &read(format!("{modules}dep"));
        // Without a list of its modules nobody knows what the kernel has.
        let lacks_it = !all.is_empty() && plain::cut(&all, "/macvlan.ko").is_none();
        lacks_it.then(|| ("this kernel has no macvlan".to_owned(), "install its modules, or remove vmac"))
    }
}

/// The hardware address.
impl fmt::Display for Vmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain::mac(self.mac))
    }
}

/// Reads the hardware address of one box; none of those that a group of boxes has, or nobody.
pub(super) fn parse(text: &str) -> Option<[u8; 6]> {
    parse_mac(text).filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6])
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
        assert_ne!(here.name(), there.name(), "each interface has one");
        assert_eq!(here, Vmac::new(None, "lab", "gateway", "eth0"), "who comes later finds it");
        assert!(here.name().starts_with("cw") && here.name().len() <= 15, "{}", here.name());
        for (pair, group) in [("lab", "other"), ("other", "gateway")] {
            let other = Vmac::new(None, pair, group, "eth0");
            assert!(other.mac != here.mac && other.name() != here.name(), "{other}");
        }
        let written = Vmac::new(parse("02:00:5e:00:01:33"), "lab", "gateway", "eth0");
        assert_eq!(written.to_string(), "02:00:5e:00:01:33");
        assert_ne!(written.name(), here.name());
    }

    #[test]
    fn what_everybody_can_see_is_found_before_a_macvlan_is_made() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let vmac = Vmac::new(None, "lab", "gateway", "eth0");
        let text = root.path().display().to_string();
        let said = |interface| vmac.lack(&text, interface).map(|(what, _)| what).unwrap_or_default();
        make("sys/class/net/wlan0/phy80211/name", "phy0");
        make("sys/class/net/eth1/brport/path_cost", "2");
        make("sys/class/net/eth2/bonding_slave/state", "active");
        assert_eq!(said("eth0"), "", "nobody knows what that kernel has");
        assert!(said("wlan0").contains("wireless"));
        assert!(said("eth1").contains("bridge") && said("eth2").contains("bond"));
        make("proc/sys/kernel/osrelease", "6.1\n");
        make("lib/modules/6.1/modules.builtin", "kernel/drivers/net/tun.ko\n");
        make("lib/modules/6.1/modules.dep", "kernel/drivers/net/dummy.ko:\n");
        assert!(said("eth0").contains("no macvlan"));
        make("lib/modules/6.1/modules.dep", "kernel/drivers/net/macvlan.ko.xz:\n");
        assert_eq!(said("eth0"), "");
        let uevent = format!("sys/class/net/{}/uevent", vmac.name());
        make(&uevent, "INTERFACE=x\n");
        assert!(said("eth0").contains("which another interface"));
        make(&format!("sys/class/net/{}/lower_eth0/mtu", vmac.name()), "1500\n");
        assert_eq!(said("eth0"), "");
        make(&uevent, "DEVTYPE=vlan\nINTERFACE=x\n");
        assert!(said("eth0").contains("which another interface"));
        make(&uevent, "DEVTYPE=macvlan\nINTERFACE=x\n");
        assert_eq!(said("eth0"), "");
    }

    #[test]
    fn a_name_of_ours_is_two_letters_and_a_number() {
        assert!(Vmac::is_name(Vmac::new(None, "lab", "gateway", "eth0").name()));
        ["cw", "cw0", "cwfedcba987", "cwfedcba9g", "eth0"]
            .iter()
            .for_each(|name| assert!(!Vmac::is_name(name)));
    }
}
