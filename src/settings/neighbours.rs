//! What this box's kernel knows of an interface: which of its own addresses are there, and who else can be.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

use super::values::parse_mac;
use super::{GroupSettings, VirtualAddress};
use crate::gather::Gather;

/// Prefix lengths that leave room for two boxes.
const V4_FOR_TWO: u32 = 30;
const V6_FOR_TWO: u32 = 126;
/// How much of each of the kernel's tables is read.
const READ_BYTES: usize = 4_096;

/// Every address of this box, with its interface and its network's mask.
pub fn addresses_of_box() -> Vec<(String, IpAddr, IpAddr)> {
    let own = |found: InterfaceAddress| {
        Some((found.interface_name, address(found.address?)?, address(found.netmask?)?))
    };
    getifaddrs().map(|all| all.filter_map(own).gather()).unwrap_or_default()
}

fn address(storage: SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// Whether this box has the address itself, as it has all of 127.0.0.0/8.
pub fn is_own(ip: IpAddr) -> bool {
    ip.is_loopback() || addresses_of_box().iter().any(|(_, own, _)| *own == ip)
}

/// Service addresses that this box has on an interface on which no group has them: on `lo`, for a balancer,
/// or by mistake. The box answers for them there, whoever serves.
pub fn misplaced(groups: &[GroupSettings], box_has: &[(String, IpAddr, IpAddr)]) -> Vec<(IpAddr, String)> {
    let all = || groups.iter().flat_map(|group| &group.addresses);
    let is_misplaced = |interface: &str, ip: IpAddr| {
        let is_placed = |address: &VirtualAddress| address.ip == ip && address.device() == interface;
        all().any(|address| address.ip == ip) && !all().any(is_placed)
    };
    let device = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
    let found = box_has.iter().map(|(name, ip, _)| (*ip, device(name)));
    found.filter(|(ip, interface)| is_misplaced(interface, *ip)).gather()
}

/// Whether an interface has addresses of its own, in none of whose networks `ip` is.
pub fn is_outside(interface: &str, ip: IpAddr) -> bool {
    let mut is_elsewhere = false;
    for (name, own, mask) in addresses_of_box() {
        let is_telling =
            own.is_ipv4() == ip.is_ipv4() && own != ip && !own.is_loopback() && !is_link_local(own);
        if name == interface && is_telling {
            if (bits(own) ^ bits(ip)) & bits(mask) == 0 {
                return false;
            }
            is_elsewhere = true;
        }
    }
    is_elsewhere && !is_link_local(ip)
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// Whether the kernel would take such an address there: with IPv6 switched off, or an MTU too small for the
/// protocol, it does not.
pub fn takes(interface: &str, ip: IpAddr) -> bool {
    let (family, switch) = if ip.is_ipv4() { ("ipv4", "forwarding") } else { ("ipv6", "disable_ipv6") };
    let said = fs::read(format!("/proc/sys/net/{family}/conf/{interface}/{switch}"));
    // If nothing can be read, nothing is known.
    said.map_or(!Path::new("/proc/sys/net").exists(), |said| ip.is_ipv4() || said.starts_with(b"0"))
}

/// An address that every interface gives itself.
pub fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether nobody but the peer can be a neighbour on an interface, as far as this box can tell: its network
/// has room for two, or nobody else has ever been asked for there.
pub fn can_only_be(interface: &str, local: IpAddr, peer: IpAddr) -> bool {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    match local {
        IpAddr::V4(local) => {
            is_for_two(&read("/proc/net/route"), interface, local)
                || is_only_neighbour(&read("/proc/net/arp"), interface, peer)
        }
        IpAddr::V6(local) => {
            is_for_two_v6(&read("/proc/net/if_inet6"), interface, &format!("{:032x}", local.to_bits()))
        }
    }
}

/// The kernel's tables of routes and of hardware addresses (IPv4; proc(5)): opened while `/proc` is in sight,
/// and read anew from the beginning by a process that sees no file any more.
#[derive(Default)]
pub struct KernelTables {
    routes: Option<File>,
    arp: Option<File>,
}

impl KernelTables {
    /// Opens both. One that cannot be opened is empty.
    pub fn open() -> Self {
        Self { routes: File::open("/proc/net/route").ok(), arp: File::open("/proc/net/arp").ok() }
    }

    /// The hardware address of somebody on an interface.
    pub fn hardware_address(&self, interface: &str, ip: IpAddr) -> Option<[u8; 6]> {
        let top = top_of(self.arp.as_ref());
        let (_, text) = resolved(&top, interface).find(|(known, _)| *known == ip)?;
        parse_mac(text)
    }

    /// Whom the kernel knows on an interface.
    pub fn known(&self, interface: &str) -> Vec<IpAddr> {
        resolved(&top_of(self.arp.as_ref()), interface).map(|(ip, _)| ip).gather()
    }

    /// The gateway of an interface: the default one, which is at the top, or else one that is there.
    pub fn gateway(&self, interface: &str) -> Option<IpAddr> {
        gateway(&top_of(self.routes.as_ref()), interface)
    }
}

/// The first lines of a table. A router may know a million routes: they are not all read.
fn top_of(table: Option<&File>) -> String {
    let mut top = [0; READ_BYTES];
    let length = table.and_then(|file| file.read_at(&mut top, 0).ok()).unwrap_or(0);
    str::from_utf8(top.get(..length).unwrap_or_default()).unwrap_or_default().to_owned()
}

/// The first gateway of an interface in `/proc/net/route`: name, destination, gateway, ..
fn gateway(route: &str, interface: &str) -> Option<IpAddr> {
    route.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let gateway = words.next().filter(|name| *name == interface).and(words.nth(1))?;
        let bits = u32::from_str_radix(gateway, 16).ok().filter(|bits| *bits != 0)?;
        Some(IpAddr::V4(Ipv4Addr::from(bits.to_ne_bytes())))
    })
}

/// Whom the kernel knows on an interface by `/proc/net/arp`, with the hardware address: address, type, flags,
/// hardware address, mask, name.
fn resolved<'a>(arp: &'a str, interface: &'a str) -> impl Iterator<Item = (IpAddr, &'a str)> {
    arp.lines().filter_map(move |line| {
        let words: Vec<&str> = line.split_whitespace().gather();
        let [ip, _, flags, mac, _, on] = words.as_slice() else { return None };
        let is_known = *on == interface && *flags != "0x0";
        Some((ip.parse().ok().filter(|_| is_known)?, *mac))
    })
}

/// Another interface of this box in the same LAN, by its addresses or as a macvlan, that answers ARP for
/// every address of the box.
pub fn answers_beside(interface: &str) -> Option<String> {
    let all: Vec<InterfaceAddress> = getifaddrs().map(Gather::gather).unwrap_or_default();
    let of = |name: &str| all.iter().filter(|one| device_of(one) == name).filter_map(network_of).gather();
    let here = of(interface);
    let is_beside = |name: &str| {
        let there = of(name);
        let is_one = here.iter().any(|a| there.iter().any(|b| are_one_network(*a, *b)));
        is_one || are_macvlans(Path::new("/sys/class/net"), interface, name)
    };
    let others = all.iter().map(device_of).filter(|name| *name != interface);
    others.into_iter().find(|name| answers_for_all(name) && is_beside(name)).map(str::to_owned)
}

/// The interface, without the label of an address.
fn device_of(found: &InterfaceAddress) -> &str {
    found.interface_name.split(':').next().unwrap_or_default()
}

/// An IPv4 address and its mask, if ARP finds it.
fn network_of(found: &InterfaceAddress) -> Option<(u32, u32)> {
    let bits = |storage: Option<SockaddrStorage>| Some(storage?.as_sockaddr_in()?.ip().to_bits());
    let is_asked = found.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_BROADCAST)
        && !found.flags.contains(InterfaceFlags::IFF_NOARP);
    Some((bits(found.address)?, bits(found.netmask)?)).filter(|_| is_asked)
}

/// Whether both are in one network; a single address is none.
fn are_one_network((a, mask): (u32, u32), (b, other): (u32, u32)) -> bool {
    let narrow = mask | other;
    narrow != u32::MAX && a & narrow == b & narrow
}

/// Whether one is a macvlan of the other, or both are of the same interface. A VLAN has a lower interface
/// too, but is another LAN.
fn are_macvlans(sys: &Path, a: &str, b: &str) -> bool {
    let read = |name: &str, file| fs::read_to_string(sys.join(name).join(file)).unwrap_or_default();
    let lower = |name: &str| {
        let is_macvlan = read(name, "uevent").lines().any(|line| line == "DEVTYPE=macvlan");
        read(name, if is_macvlan { "iflink" } else { "ifindex" })
    };
    let (a, b) = (lower(a), lower(b));
    !a.is_empty() && a == b
}

/// Whether the interface answers for all addresses of the box. The kernel takes the larger `arp_ignore` of
/// the interface and of `all`.
fn answers_for_all(interface: &str) -> bool {
    ["all", interface].iter().all(|name| {
        fs::read(format!("/proc/sys/net/ipv4/conf/{name}/arp_ignore"))
            .is_ok_and(|said| said.starts_with(b"0"))
    })
}

/// Whether the network has room for two only, by the kernel's routes (`/proc/net/route`: Iface, Destination,
/// Gateway, Flags, RefCnt, Use, Metric, Mask; in hexadecimal, network byte order in a word of this machine).
fn is_for_two(routes: &str, interface: &str, local: Ipv4Addr) -> bool {
    let longest = routes.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (name, to, gateway, mask) = (words.next()?, words.next()?, words.next()?, words.nth(4)?);
        let hex = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::from_be);
        let (to, mask) = (hex(to)?, hex(mask)?);
        (name == interface && hex(gateway)? == 0 && local.to_bits() & mask == to)
            .then_some(mask.leading_ones())
    });
    longest.max().is_some_and(|longest| longest >= V4_FOR_TWO)
}

/// Whether the peer is the only neighbour, by the kernel's table (`/proc/net/arp`: IP, type, flags, MAC,
/// mask, device).
fn is_only_neighbour(neighbours: &str, interface: &str, peer: IpAddr) -> bool {
    let there = neighbours.lines().map(|line| line.split_ascii_whitespace().gather());
    let mut there = there.filter(|words| words.last() == Some(&interface)).peekable();
    there.peek().is_some() && there.all(|words| words.first().and_then(|ip| ip.parse().ok()) == Some(peer))
}

/// The same for IPv6, by the kernel's addresses (`/proc/net/if_inet6`: address, index, prefix length, scope,
/// flags, interface; hexadecimal).
fn is_for_two_v6(addresses: &str, interface: &str, local: &str) -> bool {
    addresses.lines().any(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().gather();
        let [address, _, prefix, .., name] = words[..] else { return false };
        let is_long = u32::from_str_radix(prefix, 16).is_ok_and(|prefix| prefix >= V6_FOR_TWO);
        address == local && name == interface && is_long
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_for_two_is_known_by_its_route_or_its_address() {
        // 10.9.0.0/30 on eth1, 10.0.0.0/24 on eth0, as a little-endian kernel writes them
        let be = |ip: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(ip));
        let row = |name: &str, to, mask| {
            format!("{name}\t{}\t00000000\t0001\t0\t0\t0\t{}\t0\t0\t0\n", be(to), be(mask))
        };
        let routes = format!(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask\n{}{}",
            row("eth1", [10, 9, 0, 0], [255, 255, 255, 252]),
            row("eth0", [10, 0, 0, 0], [255, 255, 255, 0])
        );
        assert!(is_for_two(&routes, "eth1", Ipv4Addr::new(10, 9, 0, 1)));
        assert!(!is_for_two(&routes, "eth0", Ipv4Addr::new(10, 0, 0, 1)));
        assert!(!is_for_two("", "eth1", Ipv4Addr::new(10, 9, 0, 1)));
        let addresses = "fd000000000000000000000000000001 03 7e 00 80     eth1\n\
            fe800000000000000000000000000001 03 40 20 80 eth1\n";
        assert!(is_for_two_v6(addresses, "eth1", "fd000000000000000000000000000001"));
        assert!(!is_for_two_v6(addresses, "eth1", "fe800000000000000000000000000001"));
    }

    #[test]
    fn who_is_the_only_neighbour_is_known_by_the_table() {
        let head = "IP address       HW type     Flags       HW address            Mask     Device\n";
        let peer = "10.9.0.2         0x1         0x2         52:54:00:00:00:02     *        eth1\n";
        let other = "10.9.0.9         0x1         0x2         52:54:00:00:00:09     *        eth1\n";
        let far = "10.0.0.9         0x1         0x2         52:54:00:00:00:08     *        eth0\n";
        let ip = "10.9.0.2".parse().unwrap();
        assert!(is_only_neighbour(&format!("{head}{peer}{far}"), "eth1", ip));
        assert!(!is_only_neighbour(&format!("{head}{peer}{other}"), "eth1", ip));
        assert!(!is_only_neighbour(&format!("{head}{far}"), "eth1", ip));
    }

    #[test]
    fn the_kernel_tells_whom_it_knows_on_an_interface() {
        let route = "Iface Destination Gateway\neth0 00000000 FE00000A 0003\neth0 0000000A 00000000 0001\n";
        let expected = u32::from_str_radix("FE00000A", 16).map(|bits| IpAddr::from(bits.to_ne_bytes()));
        assert_eq!(gateway(route, "eth0"), Some(expected.unwrap()));
        assert_eq!(gateway(route, "eth1"), None);
        let arp = "IP address HW type Flags HW address Mask Device\n\
                   10.0.0.2 0x1 0x2 02:00:00:00:00:02 * eth0\n10.0.0.3 0x1 0x0 00:00:00:00:00:00 * eth0\n";
        let known: Vec<_> = resolved(arp, "eth0").collect();
        assert_eq!(
            known,
            [("10.0.0.2".parse().unwrap(), "02:00:00:00:00:02")],
            "an unanswered question is nobody"
        );
        assert_eq!(resolved(arp, "eth1").count(), 0);
    }

    #[test]
    fn two_interfaces_are_in_one_lan_by_their_networks_or_as_macvlans() {
        let v4 = |ip: [u8; 4], prefix: u32| (u32::from_be_bytes(ip), u32::MAX << (32 - prefix));
        assert!(are_one_network(v4([10, 0, 0, 1], 24), v4([10, 0, 0, 11], 24)));
        assert!(!are_one_network(v4([10, 0, 0, 1], 24), v4([10, 0, 1, 1], 24)));
        assert!(!are_one_network(v4([10, 0, 0, 1], 8), v4([10, 0, 1, 1], 24)));
        assert!(
            !are_one_network(v4([10, 0, 0, 1], 24), v4([10, 0, 0, 100], 32)),
            "a service address of its own"
        );
        let sys = tempfile::tempdir().unwrap();
        for (name, index, lower, kind) in
            [("eth0", 2, 2, ""), ("mv0", 5, 2, "macvlan"), ("eth0.7", 6, 2, "vlan")]
        {
            let dir = sys.path().join(name);
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("ifindex"), format!("{index}\n")).unwrap();
            fs::write(dir.join("iflink"), format!("{lower}\n")).unwrap();
            fs::write(dir.join("uevent"), format!("DEVTYPE={kind}\nINTERFACE={name}\n")).unwrap();
        }
        assert!(are_macvlans(sys.path(), "eth0", "mv0") && are_macvlans(sys.path(), "mv0", "eth0"));
        assert!(!are_macvlans(sys.path(), "eth0", "eth0.7") && !are_macvlans(sys.path(), "eth0", "absent"));
    }

    #[test]
    fn a_service_address_is_misplaced_where_no_group_has_it() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let address = |text, name: &str| VirtualAddress::plain(ip(text), 24, name.to_owned());
        let group = GroupSettings {
            name: "gateway".to_owned(),
            addresses: vec![
                address("10.0.0.100", "eth0"),
                address("fe80::100", "eth0"),
                address("fe80::100", "eth1"),
            ],
            tracked: Vec::new(),
            routes: Vec::new(),
            scripts: Vec::new(),
            ready: Vec::new(),
            before: 0,
            on_stop_failure: super::super::StopFailure::Hold,
        };
        let there = |name: &str, text| (name.to_owned(), ip(text), ip("255.255.255.0"));
        let well = [
            there("lo", "127.0.0.1"),
            there("eth0", "10.0.0.1"),
            there("eth0:1", "10.0.0.100"),
            there("eth1", "fe80::100"),
        ];
        assert_eq!(misplaced(std::slice::from_ref(&group), &well), []);
        let ill = [there("lo", "10.0.0.100"), there("eth2", "fe80::100")];
        let expected = [(ip("10.0.0.100"), "lo".to_owned()), (ip("fe80::100"), "eth2".to_owned())];
        assert_eq!(misplaced(&[group], &ill), expected);
    }

    #[test]
    fn own_addresses_are_told_from_others() {
        assert!(is_own(IpAddr::from([127, 0, 0, 1])));
        assert!(!is_own(IpAddr::from([203, 0, 113, 7])));
    }
}
