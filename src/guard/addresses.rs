//! Service addresses in the kernel: added for one lease, renewed in one batch, removed, and always asked for again.
//!
//! What counts is what the kernel says afterwards. An address is held when a dump shows it, and gone when a dump no
//! longer shows it on any interface. (Addresses have a lifetime since Linux 3.9, IPv6 ones always had.)

use std::net::{IpAddr, Ipv4Addr};

use crosswire::resource::Fault;
use crosswire::time::{Instant, Span};
use log::{info, warn};
use netlink_packet_core::{Emitable, NLM_F_CREATE, NLM_F_REPLACE, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, CacheInfo};
use nix::errno::Errno;

use super::interface;
use super::netlink::{Netlink, Request};
use crate::clock::now;
use crate::settings::{Route, VirtualAddress};

// linux/rtnetlink.h
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
/// `struct ifaddrmsg`, all zero: the addresses of every family on every interface.
const ALL_ADDRESSES: [u8; 8] = [0; 8];
/// `INFINITY_LIFE_TIME` of linux/if_addr.h: the address never expires.
const FOREVER_S: u32 = u32::MAX;
/// How often a removal is tried: as configured, then as the kernel shows the address, then once more.
const MAX_REMOVAL_TRIES: usize = 3;
/// The longest prefix of an IPv4 network that has a broadcast address (RFC 3021).
const LONGEST_BROADCAST_PREFIX: u8 = 30;

/// The service addresses of this box.
pub struct Addresses {
    pub(super) netlink: Netlink,
    pub(super) lifetime_s: u32,
    was_lifetime_ignored: bool,
    /// Why a route is missing, so that it is said once.
    pub(super) route_fault: Option<Errno>,
}

/// Where an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// Index of its interface.
    pub interface_index: u32,
}

/// An address as the kernel shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Where it is.
    pub place: Place,
    /// Whole seconds left; `u32::MAX` for ever.
    pub valid_s: u32,
}

/// One group's part in a batch of renewals.
#[derive(Clone, Copy)]
pub struct Renewal<'a> {
    /// What to renew.
    pub addresses: &'a [VirtualAddress],
    /// What has to be there beside them.
    pub routes: &'a [Route],
    /// Not after this.
    pub valid_until: Instant,
}

impl Addresses {
    /// Opens a request socket; every address will be given one `lease` at a time.
    pub fn open(lease: Span) -> nix::Result<Self> {
        let (netlink, lifetime_s) = (Netlink::open()?, lifetime_s(lease));
        Ok(Self { netlink, lifetime_s, was_lifetime_ignored: false, route_fault: None })
    }

    /// From now on every address is given another `lease` at a time.
    pub fn set_lease(&mut self, lease: Span) {
        self.lifetime_s = lifetime_s(lease);
    }

    /// The kernel was seen to keep an address for longer than it was told to.
    pub fn is_lifetime_ignored(&self) -> bool {
        self.was_lifetime_ignored
    }

    /// Adds all addresses for one lease and reads them back. If any of it fails, none of them is left behind.
    pub fn add(&mut self, addresses: &[VirtualAddress], valid_until: Instant) -> Result<(), Fault> {
        prepare(addresses);
        let added = self.renew(&[Renewal { addresses, routes: &[], valid_until }]).pop().unwrap_or(Ok(()));
        let outcome = added.and_then(|()| self.read_back(addresses));
        if outcome.is_err() && outcome != Err(Fault::TooLate) {
            // The cause is worth more than how the clean-up went, and the lifetime ends what that should miss.
            let _ = self.remove(addresses);
        }
        outcome
    }

    /// Gives every address of every renewal another lease, in one batch, putting back any that is missing.
    ///
    /// `valid_until` is looked at right before the batch, and again after it: what the kernel kept waiting for too
    /// long (it may, on its own lock) is taken away again, and fails as [`Fault::TooLate`].
    pub fn renew(&mut self, renewals: &[Renewal]) -> Vec<Result<(), Fault>> {
        let mut prepared: Vec<_> = renewals.iter().map(|renewal| self.requests_of(renewal.addresses)).collect();
        let started = now();
        for (renewal, requests) in renewals.iter().zip(&mut prepared) {
            if started > renewal.valid_until {
                *requests = Err(Fault::TooLate);
            }
        }
        let counts: Vec<_> = prepared.iter().map(|requests| requests.as_ref().map(Vec::len).map_err(|f| *f)).collect();
        let mut batch: Vec<_> = prepared.into_iter().flatten().flatten().collect();
        let routes = self.renew_requests(renewals, started);
        let has_routes = !routes.is_empty();
        batch.extend(routes);
        let mut answers = self.netlink.run(&batch).into_iter();
        let ended = now();
        let mut outcomes = Vec::with_capacity(renewals.len());
        for (renewal, count) in renewals.iter().zip(counts) {
            let outcome = count.and_then(|n| first_fault(answers.by_ref().take(n)));
            outcomes.push(match outcome {
                Ok(()) if ended > renewal.valid_until => {
                    warn!("the kernel took {} over a renewal: it came too late and is undone", ended.since(started));
                    self.remove(renewal.addresses).and(Err(Fault::TooLate))
                }
                outcome => outcome,
            });
        }
        if has_routes {
            self.note_routes(answers);
        }
        outcomes
    }

    /// Removes all addresses and returns only when a dump no longer shows any of them on its interface.
    ///
    /// What the kernel shows with another prefix length there goes too. On another interface it is not ours, and it does not
    /// answer for us: direct routing keeps it on `lo`.
    pub fn remove(&mut self, addresses: &[VirtualAddress]) -> Result<(), Fault> {
        let mut targets: Vec<_> = addresses.iter().filter_map(|address| self.place_of(address)).collect();
        let mut fault = Fault::StillThere;
        for _ in 0..MAX_REMOVAL_TRIES {
            let requests: Vec<_> = targets.iter().map(|place| request(RTM_DELADDR, 0, *place, &[])).collect();
            for errno in self.netlink.run(&requests).into_iter().filter_map(Result::err) {
                // Gone already is as good as gone: by hand, by its lifetime, or with the address it was secondary to.
                if errno != Errno::EADDRNOTAVAIL && errno != Errno::ENODEV {
                    fault = Fault::Kernel(errno as i32);
                }
            }
            let left = self.seen_of(addresses)?;
            if left.is_empty() {
                return Ok(());
            }
            targets = left.iter().map(|seen| seen.place).collect();
        }
        Err(fault)
    }

    /// Removes whatever an earlier run left behind, and says what it was.
    pub fn remove_left_over(&mut self, addresses: &[VirtualAddress]) -> Result<Vec<IpAddr>, Fault> {
        let left = self.seen_of(addresses)?;
        let ips: Vec<_> = left.iter().map(|seen| seen.place.ip).collect();
        if ips.is_empty() {
            return Ok(ips);
        }
        let ours: Vec<_> = addresses.iter().filter(|a| ips.contains(&a.ip)).cloned().collect();
        self.remove(&ours).map(|()| ips)
    }

    /// Every address of the box, whoever it belongs to.
    pub fn dump(&mut self) -> nix::Result<Vec<Seen>> {
        let all = Request { kind: RTM_GETADDR, flags: 0, body: ALL_ADDRESSES.to_vec() };
        self.netlink.dump(&all, parse_seen)
    }

    /// Those that the kernel has where they belong, with whatever prefix.
    fn seen_of(&mut self, addresses: &[VirtualAddress]) -> Result<Vec<Seen>, Fault> {
        let mut seen = self.dump().map_err(|errno| Fault::Kernel(errno as i32))?;
        let ours: Vec<_> = addresses.iter().filter_map(|address| self.place_of(address)).collect();
        let is_same = |own: &Place, place: Place| own.ip == place.ip && own.interface_index == place.interface_index;
        seen.retain(|seen| ours.iter().any(|own| is_same(own, seen.place)));
        Ok(seen)
    }

    /// Insists that the kernel shows every address where it belongs, and looks whether it honours the lifetime.
    fn read_back(&mut self, addresses: &[VirtualAddress]) -> Result<(), Fault> {
        let seen = self.seen_of(addresses)?;
        for address in addresses {
            let place = self.place_of(address).ok_or(Fault::NoInterface)?;
            let shown = seen.iter().find(|seen| seen.place == place);
            let valid_s = shown.ok_or(Fault::Kernel(Errno::EADDRNOTAVAIL as i32))?.valid_s;
            if valid_s > self.lifetime_s && !self.was_lifetime_ignored {
                self.was_lifetime_ignored = true;
                warn!(
                    "this kernel ignores the lifetime of addresses (Linux before 3.9): {} stays until somebody \
                     removes it, should both processes of this node be killed",
                    address.ip
                );
            }
        }
        Ok(())
    }

    fn requests_of(&self, addresses: &[VirtualAddress]) -> Result<Vec<Request>, Fault> {
        let leased = |address| {
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_preferred = self.lifetime_s;
            lifetime.ifa_valid = self.lifetime_s;
            let place = self.place_of(address)?;
            let attributes = [AddressAttribute::CacheInfo(lifetime)];
            Some(request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, place, &attributes))
        };
        addresses.iter().map(leased).collect::<Option<_>>().ok_or(Fault::NoInterface)
    }

    /// Where the address belongs now; none while its interface does not exist.
    fn place_of(&self, address: &VirtualAddress) -> Option<Place> {
        let interface_index = interface::index(&self.netlink, &address.interface).ok()?;
        Some(Place { ip: address.ip, prefix: address.prefix, interface_index })
    }
}

/// In the whole seconds that the kernel counts.
fn lifetime_s(lease: Span) -> u32 {
    u32::try_from(lease.as_s_ceil()).unwrap_or(FOREVER_S - 1).max(1)
}

/// What the interfaces need before an address comes.
pub fn prepare(addresses: &[VirtualAddress]) {
    addresses.iter().filter(|a| a.ip.is_ipv4()).for_each(|a| promote_secondaries(&a.interface));
}

fn first_fault(answers: impl Iterator<Item = nix::Result<()>>) -> Result<(), Fault> {
    // Every answer is taken, so that the next group finds its own first.
    let faults: Vec<_> = answers.filter_map(Result::err).collect();
    match faults.first() {
        None => Ok(()),
        Some(Errno::ENODEV) => Err(Fault::NoInterface),
        Some(errno) => Err(Fault::Kernel(*errno as i32)),
    }
}

/// An `RTM_NEWADDR` or `RTM_DELADDR` for one address.
fn request(kind: u16, flags: u16, place: Place, more: &[AddressAttribute]) -> Request {
    let mut message = AddressMessage::default();
    message.header.prefix_len = place.prefix;
    message.header.index = place.interface_index;
    message.attributes = vec![AddressAttribute::Local(place.ip), AddressAttribute::Address(place.ip)];
    match place.ip {
        IpAddr::V4(ip) => {
            message.header.family = AddressFamily::Inet;
            message.attributes.extend(broadcast_of(ip, place.prefix).map(AddressAttribute::Broadcast));
        }
        IpAddr::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            // The probe has asked already; duplicate address detection would only keep the address silent for a second.
            message.header.flags = AddressHeaderFlags::Nodad;
        }
    }
    message.attributes.extend_from_slice(more);
    let mut body = vec![0; message.buffer_len()];
    message.emit(&mut body);
    Request { kind, flags, body }
}

fn broadcast_of(ip: Ipv4Addr, prefix: u8) -> Option<Ipv4Addr> {
    let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    (prefix <= LONGEST_BROADCAST_PREFIX).then(|| Ipv4Addr::from_bits(ip.to_bits() | host_bits))
}

fn parse_seen(payload: &[u8]) -> Option<Seen> {
    let message = AddressMessage::parse(payload).ok()?;
    // On a point-to-point link IFA_ADDRESS is the other end; where IFA_LOCAL exists it is our own.
    let local =
        message.attributes.iter().find_map(|a| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None });
    let any =
        message.attributes.iter().find_map(|a| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None });
    let info =
        message.attributes.iter().find_map(|a| if let AddressAttribute::CacheInfo(i) = a { Some(*i) } else { None });
    Some(Seen {
        place: Place { ip: local.or(any)?, prefix: message.header.prefix_len, interface_index: message.header.index },
        valid_s: info.map_or(FOREVER_S, |info| info.ifa_valid),
    })
}

/// Lets the other addresses of a subnet live on when its first one goes.
///
/// Without this the kernel deletes them along with it: on an interface that was flushed and set up again our address
/// may come first, and the box would lose its own when the service moves away.
fn promote_secondaries(interface: &str) {
    let switch = format!("/proc/sys/net/ipv4/conf/{interface}/promote_secondaries");
    if std::fs::read(&switch).is_ok_and(|value| value.starts_with(b"0")) {
        match std::fs::write(&switch, "1") {
            Ok(()) => info!("{interface}: promote_secondaries is now 1, so that no other address goes with ours"),
            Err(error) => warn!("{switch} is 0 and cannot be set: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;
    use crate::guard::testing::{Veth, address, in_fair_namespace, in_namespace};

    const LEASE: Span = Span::from_s(2);
    /// A lease that no test outlives by accident.
    const LONG: Span = Span::from_s(60);

    /// Time enough, however busy the machine is.
    fn soon() -> Instant {
        now() + Span::from_s(30)
    }

    fn valid_s(addresses: &mut Addresses, ip: &str) -> Option<u32> {
        let ip: IpAddr = ip.parse().expect("an address");
        addresses.dump().expect("a dump").iter().find(|seen| seen.place.ip == ip).map(|seen| seen.valid_s)
    }

    fn ours() -> [VirtualAddress; 2] {
        [address("10.9.0.100/24@near"), address("fd00::100/64@near")]
    }

    #[test]
    fn the_broadcast_address_ends_the_subnet() {
        let ip = Ipv4Addr::new(192, 0, 2, 10);
        assert_eq!(broadcast_of(ip, 29), Some(Ipv4Addr::new(192, 0, 2, 15)));
        assert_eq!(broadcast_of(ip, 0), Some(Ipv4Addr::BROADCAST));
        assert_eq!(broadcast_of(ip, 31), None);
        assert_eq!(broadcast_of(ip, 32), None);
    }

    #[test]
    fn an_added_address_has_a_lifetime_and_expires_by_itself() {
        in_fair_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(LEASE).expect("a socket");
            let added = now();
            assert_eq!(addresses.add(&ours(), soon()), Ok(()));
            assert!(valid_s(&mut addresses, "10.9.0.100").expect("IPv4 is there") <= 2);
            assert!(valid_s(&mut addresses, "fd00::100").expect("IPv6 is there") <= 2);
            while !addresses.seen_of(&ours()).expect("a dump").is_empty() {
                assert!(now() < added + (LEASE + Span::from_ms(1_100)).fraction(3, 1), "still there");
                sleep(Duration::from_millis(10));
            }
            assert!(now() > added + LEASE - Span::from_ms(100), "gone after {}", now().since(added));
        });
    }

    #[test]
    fn renewing_in_one_batch_extends_what_is_held_and_puts_back_what_is_missing() {
        in_fair_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(LEASE).expect("a socket");
            let [first, second] = ours();
            assert_eq!(addresses.add(&ours(), soon()), Ok(()));
            assert_eq!(addresses.remove(std::slice::from_ref(&second)), Ok(()));
            for _ in 0..4 {
                sleep(Duration::from_millis(800));
                let groups = [std::slice::from_ref(&first), std::slice::from_ref(&second)];
                let batch = groups.map(|addresses| Renewal { addresses, routes: &[], valid_until: soon() });
                assert_eq!(addresses.renew(&batch), [Ok(()), Ok(())]);
            }
            assert_eq!(addresses.seen_of(&ours()).expect("a dump").len(), 2, "3.2 s after a lease of 2 s");
        });
    }

    #[test]
    fn a_late_or_impossible_renewal_fails_alone() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(LONG).expect("a socket");
            let groups = [
                [address("10.9.0.1/24@near")],
                [address("10.9.0.2/24@near")],
                [address("10.9.0.3/24@absent")],
                [address("10.9.0.4/24@near")],
            ];
            let until = [soon(), now() - Span::from_ms(1), soon(), soon()];
            let batch: Vec<_> = groups
                .iter()
                .zip(until)
                .map(|(addresses, valid_until)| Renewal { addresses, routes: &[], valid_until })
                .collect();
            let expected = [Ok(()), Err(Fault::TooLate), Err(Fault::NoInterface), Ok(())];
            assert_eq!(addresses.renew(&batch), expected);
            assert!(valid_s(&mut addresses, "10.9.0.1").is_some());
            assert!(valid_s(&mut addresses, "10.9.0.2").is_none(), "a late order must not add");
            assert!(valid_s(&mut addresses, "10.9.0.4").is_some());
        });
    }

    #[test]
    fn a_failed_add_leaves_nothing_behind() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(LONG).expect("a socket");
            let absent = [address("10.9.0.1/24@near"), address("10.9.0.2/24@absent")];
            assert_eq!(addresses.add(&absent, soon()), Err(Fault::NoInterface));
            let refused = [address("10.9.0.1/24@near"), address("10.9.0.2/33@near")];
            assert_eq!(addresses.add(&refused, soon()), Err(Fault::Kernel(Errno::EINVAL as i32)));
            assert_eq!(addresses.add(&ours(), now() - Span::from_ms(1)), Err(Fault::TooLate));
            assert_eq!(valid_s(&mut addresses, "10.9.0.1"), None);
            assert!(addresses.seen_of(&ours()).expect("a dump").is_empty());
        });
    }

    #[test]
    fn removal_is_confirmed_and_is_fine_with_what_is_gone_already() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(LONG).expect("a socket");
            assert_eq!(addresses.add(&ours(), soon()), Ok(()));
            assert_eq!(addresses.remove(&ours()), Ok(()));
            assert!(addresses.seen_of(&ours()).expect("a dump").is_empty());
            assert_eq!(addresses.remove(&ours()), Ok(()));
            assert_eq!(addresses.remove(&[address("10.9.0.2/24@absent")]), Ok(()));
        });
    }

    #[test]
    fn an_address_that_stands_on_another_interface_too_is_not_ours_there() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(LONG).expect("a socket");
            assert_eq!(addresses.add(&[address("10.9.0.100/32@far")], soon()), Ok(()));
            assert_eq!(addresses.add(&ours(), soon()), Ok(()));
            assert_eq!(addresses.remove(&ours()), Ok(()));
            assert!(valid_s(&mut addresses, "10.9.0.100").is_some(), "it stays there");
            assert_eq!(addresses.add(&[address("10.9.0.200/32@far")], soon()), Ok(()));
            let absent = [address("10.9.0.200/24@near")];
            assert_eq!(addresses.remove_left_over(&absent), Ok(vec![]), "nor is it left over from us");
        });
    }

    #[test]
    fn left_overs_go_whatever_their_prefix_and_others_stay() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(LONG).expect("a socket");
            let left = [address("10.9.0.100/32@near"), address("10.9.0.7/24@near")];
            assert_eq!(addresses.add(&left, soon()), Ok(()));
            let removed = addresses.remove_left_over(&ours()).expect("removed");
            assert_eq!(removed, [left[0].ip]);
            assert!(valid_s(&mut addresses, "10.9.0.7").is_some());
            assert_eq!(addresses.remove_left_over(&ours()), Ok(vec![]));
        });
    }

    #[test]
    fn the_box_keeps_its_own_address_when_ours_came_first() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            std::fs::write("/proc/sys/net/ipv4/conf/near/promote_secondaries", "0").expect("a switch");
            let mut addresses = Addresses::open(LONG).expect("a socket");
            let [vip, _] = ours();
            assert_eq!(addresses.add(std::slice::from_ref(&vip), soon()), Ok(()));
            assert_eq!(addresses.add(&[address("10.9.0.7/24@near")], soon()), Ok(()));
            assert_eq!(addresses.remove(&[vip]), Ok(()));
            assert!(valid_s(&mut addresses, "10.9.0.7").is_some());
        });
    }
}
