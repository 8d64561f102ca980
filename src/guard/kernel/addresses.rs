//! Service addresses in the kernel. They are added for one lease, renewed in one batch, removed, and read
//! back each time.
//!
//! What counts is what the kernel says afterwards. An address is held when the kernel shows it, and gone when
//! the kernel has none like it to remove on its interface. (Addresses have a lifetime since Linux 3.9; IPv6
//! ones always had.)
//!
//! An IPv6 address is deprecated from the start: it answers, but nothing that the box sends of its own accord
//! leaves from it. The on-link route of its network is one of ours (`routes.rs`), not the kernel's: that may
//! be the one of a router's advertisement.

use std::net::{IpAddr, Ipv4Addr};

use crosswire::resource::Fault;
use crosswire::time::{Instant, Span};
use log::{info, warn};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_REPLACE, NlasIterator};
use nix::errno::Errno;

use crate::clock::now;
use crate::gather::Gather;
use crate::guard::kernel::interface::{self, set_switch};
use crate::guard::kernel::netlink::{Netlink, Request, attribute, family_of, ip_attribute};
use crate::settings::neighbours::addresses_of_box;
use crate::settings::{Route, VirtualAddress};

// linux/rtnetlink.h, linux/if_addr.h
pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_F_SECONDARY: u8 = 0x01;
/// No duplicate address detection: the probe has asked already, and it would only keep the address silent for
/// a second.
const IFA_F_NODAD: u8 = 0x02;
/// The kernel adds no route for the address (Linux 3.14).
const IFA_F_NOPREFIXROUTE: u16 = 0x200;
/// Length of `struct ifaddrmsg`.
const HEADER_BYTES: usize = 8;
/// `INFINITY_LIFE_TIME`: the address never expires.
const FOREVER_S: u32 = u32::MAX;
/// How often it is tried to add an address while the request gets no answer, within the time that its order
/// has.
const MAX_ADD_TRIES: usize = 3;
/// How often a removal is tried: once for each prefix length under which the kernel may know it, then until
/// it knows none.
const MAX_REMOVAL_TRIES: usize = 4;
/// The longest prefix of an IPv4 network that has a broadcast address (RFC 3021).
const LONGEST_BROADCAST_PREFIX: u8 = 30;

/// The service addresses of this box.
pub struct Addresses {
    pub(super) netlink: Netlink,
    pub(super) lifetime_s: u32,
    was_lifetime_ignored: bool,
    /// The addresses that were put, each with its interface's name and what the kernel showed of it there
    /// last: an interface that was renamed meanwhile still has them.
    put: Vec<(String, Seen)>,
    /// Addresses that are taken away for an instant with their next renewal, so that an address of the box's
    /// own comes before them.
    to_reorder: Vec<Place>,
    /// Why a route is missing, so that it is said once.
    pub(super) route_fault: Option<Errno>,
    /// The kernel does not say of a rule that it is there already.
    pub(super) has_repeated_rules: bool,
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

impl Place {
    /// It is the same address on the same interface, with whatever prefix length.
    fn is_beside(&self, other: &Self) -> bool {
        self.ip == other.ip && self.interface_index == other.interface_index
    }
}

/// An address as the kernel shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Where it is.
    pub place: Place,
    /// Whole seconds left; `u32::MAX` for ever.
    pub valid_s: u32,
    /// Of an IPv4 address: another address of its network was there before, and packets leave from that one.
    pub is_secondary: bool,
}

/// One group's part in a batch of renewals.
#[derive(Clone, Copy)]
pub struct Renewal<'a> {
    /// What to renew.
    pub addresses: &'a [VirtualAddress],
    /// The routes that have to be there beside them.
    pub routes: &'a [Route],
    /// Not after this.
    pub valid_until: Instant,
    /// What is missing is put back; otherwise nothing is renewed.
    pub puts_back: bool,
}

impl Addresses {
    /// Opens a request socket; every address will be given one `lease` at a time.
    pub fn open(lease: Span) -> nix::Result<Self> {
        let (netlink, lifetime_s) = (Netlink::open()?, lifetime_s(lease));
        let (put, to_reorder) = (Vec::new(), Vec::new());
        Ok(Self {
            netlink,
            lifetime_s,
            was_lifetime_ignored: false,
            put,
            to_reorder,
            route_fault: None,
            has_repeated_rules: false,
        })
    }

    /// Goes on with addresses that another run of the guard has put, as far as they are still there.
    pub fn take_over(&mut self, held: &[VirtualAddress], is_lifetime_ignored: bool) {
        self.was_lifetime_ignored |= is_lifetime_ignored;
        let there = addresses_of_box();
        for address in held {
            if let Some(place) = self.place_of(address) {
                let is_it =
                    |(name, ip, _): &(String, IpAddr, IpAddr)| name == address.device() && *ip == address.ip;
                let valid_s = if there.iter().any(is_it) { self.lifetime_s } else { 0 };
                self.put.push((address.device().to_owned(), Seen { place, valid_s, is_secondary: true }));
            }
        }
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
        let mut outcome = Ok(());
        for _ in 0..MAX_ADD_TRIES {
            outcome = self.add_once(Renewal { addresses, routes: &[], valid_until, puts_back: true });
            if !matches!(outcome, Err(Fault::Kernel(_))) {
                break;
            }
        }
        if outcome.is_err() && outcome != Err(Fault::TooLate) {
            // The cause matters more than how the clean-up went: if that misses something, the lifetime ends
            // it.
            let _ = self.remove(addresses);
        }
        outcome
    }

    fn add_once(&mut self, renewal: Renewal) -> Result<(), Fault> {
        let mut seen = Vec::new();
        let added = self.renew_and_hear(&[renewal], NLM_F_ECHO, &mut |payload| seen.extend(parse(payload)));
        added.into_iter().collect::<Result<(), Fault>>()?;
        // All that the kernel tells of an IPv6 address is that it was added.
        let v6: Vec<_> = renewal.addresses.iter().filter(|address| address.ip.is_ipv6()).gather();
        let questions: Vec<_> = v6.iter().filter_map(|address| self.place_of(address)).map(question).gather();
        let answers = self.netlink.ask(&questions, &mut |payload| seen.extend(parse(payload)));
        if let Some(errno) = answers.into_iter().filter_map(Result::err).find(|errno| !is_absence(*errno)) {
            return Err(Fault::Kernel(errno as i32));
        }
        self.read_back(renewal.addresses, &seen)
    }

    /// Gives every address of every renewal another lease, in one batch, and puts back any that is missing,
    /// where it may. If the kernel refuses one address, the others are renewed all the same.
    ///
    /// `valid_until` is looked at right before the batch, and again after it. The kernel may keep the batch
    /// waiting on its own lock: what came too late is taken away again, and fails as [`Fault::TooLate`].
    pub fn renew(&mut self, renewals: &[Renewal]) -> Vec<Result<(), Fault>> {
        self.renew_and_hear(renewals, 0, &mut |_| {})
    }

    fn renew_and_hear(
        &mut self,
        renewals: &[Renewal],
        more_flags: u16,
        hear: &mut dyn FnMut(&[u8]),
    ) -> Vec<Result<(), Fault>> {
        let started = now();
        let (mut late, mut batch) = (Vec::new(), Vec::new());
        let refused: Vec<_> = renewals.iter().map(|renewal| self.refusal(renewal, started)).gather();
        let due = renewals.iter().zip(&refused).filter(|(_, refused)| refused.is_none());
        let due: Vec<Renewal> = due.map(|(renewal, _)| *renewal).gather();
        for renewal in &due {
            for address in renewal.addresses {
                // Without an interface the kernel itself refuses: there is none with the number 0.
                let place =
                    self.place_of(address).unwrap_or(Place { interface_index: 0, ..place_on(address, 0) });
                self.note_put(address, place);
                if self.to_reorder.contains(&place) {
                    late.push(request(RTM_DELADDR, 0, place, 0));
                }
                let flags = NLM_F_CREATE | NLM_F_REPLACE | more_flags;
                batch.push(request_for(RTM_NEWADDR, flags, place, (self.lifetime_s, Some(address))));
            }
        }
        // Gateways are reached by these.
        let on_link = self.on_link_requests(&due, started);
        let on_link_count = on_link.len();
        batch.extend(on_link);
        let routes = self.renew_requests(&due, started);
        let has_routes = !routes.is_empty();
        batch.extend(routes);
        if !late.is_empty() {
            self.netlink.run(&late);
            self.to_reorder.clear();
        }
        let mut answers = self.netlink.ask(&batch, hear).into_iter();
        let ended = now();
        let mut outcomes = Vec::with_capacity(renewals.len());
        for (renewal, refused) in renewals.iter().zip(refused) {
            let count = if refused.is_none() { renewal.addresses.len() } else { 0 };
            let outcome = first_fault(answers.by_ref().take(count));
            outcomes.push(if let Some(fault) = refused {
                Err(fault)
            } else if ended > renewal.valid_until {
                warn!(
                    "the kernel took {} over a renewal: it came too late and is undone",
                    ended.since(started)
                );
                self.remove(renewal.addresses).and(Err(Fault::TooLate))
            } else {
                outcome
            });
        }
        if has_routes {
            self.note_routes(answers.skip(on_link_count));
        }
        outcomes
    }

    /// Why a renewal is not carried out at all.
    fn refusal(&self, renewal: &Renewal, now: Instant) -> Option<Fault> {
        let has_gone = |address: &VirtualAddress| {
            let is_it = |(interface, seen): &(String, Seen)| {
                seen.valid_s == 0 && seen.place.ip == address.ip && interface == address.device()
            };
            self.put.iter().any(is_it)
        };
        if now > renewal.valid_until {
            return Some(Fault::TooLate);
        }
        let is_wanting = !renewal.puts_back && renewal.addresses.iter().any(has_gone);
        is_wanting.then_some(Fault::AddressGone)
    }

    /// Removes all addresses and returns only when the kernel knows none of them any more on its interface.
    ///
    /// An address that the kernel shows there with another prefix length goes too. On another interface it is
    /// not ours, and the box does not answer for it: direct routing keeps it on `lo`.
    pub fn remove(&mut self, addresses: &[VirtualAddress]) -> Result<(), Fault> {
        self.remove_left_over(addresses).map(drop)
    }

    /// The same. Returns which of them were there.
    pub fn remove_left_over(&mut self, addresses: &[VirtualAddress]) -> Result<Vec<IpAddr>, Fault> {
        let mut places: Vec<_> = addresses.iter().flat_map(|address| self.places_of(address)).gather();
        let all = places.clone();
        let mut were_there = Vec::new();
        let mut fault = Fault::StillThere;
        for _ in 0..MAX_REMOVAL_TRIES {
            self.keep_what_is_there(&mut places);
            let requests: Vec<_> = places.iter().map(|place| request(RTM_DELADDR, 0, *place, 0)).gather();
            let mut answers = self.netlink.run(&requests).into_iter();
            // An address that was removed may be there once more, with another prefix length.
            places.retain(|place| match answers.next() {
                Some(Ok(())) => {
                    were_there.push(place.ip);
                    true
                }
                // Gone already is as good: by hand, by its lifetime, or with the address to which it was
                // secondary.
                Some(Err(errno)) if is_absence(errno) => false,
                Some(Err(errno)) => {
                    fault = Fault::Kernel(errno as i32);
                    true
                }
                None => false,
            });
            if places.is_empty() {
                self.put.retain(|(_, put)| !all.contains(&put.place));
                self.remove_on_link(&all);
                were_there.dedup();
                return Ok(were_there);
            }
        }
        Err(fault)
    }

    /// Keeps only those IPv6 addresses that are there, and learns their prefix lengths: they cannot be
    /// removed without.
    fn keep_what_is_there(&mut self, places: &mut Vec<Place>) {
        let questions: Vec<_> =
            places.iter().filter(|place| place.ip.is_ipv6()).map(|place| question(*place)).gather();
        let mut seen = Vec::new();
        let answers = self.netlink.ask(&questions, &mut |payload| seen.extend(parse(payload)));
        let mut answers = answers.into_iter();
        places.retain_mut(|place| {
            let there = seen.iter().find(|seen| seen.place.is_beside(place));
            there.into_iter().for_each(|seen| place.prefix = seen.place.prefix);
            place.ip.is_ipv4() || !answers.next().is_some_and(|answer| answer.is_err_and(is_absence))
        });
    }

    /// Removes the same addresses with another prefix length, on the interfaces on which they are held:
    /// nobody would renew those or take them away.
    pub fn remove_copies(&mut self, addresses: &[VirtualAddress]) {
        let mut copies = Vec::new();
        for address in addresses {
            let Some(own) = self.place_of(address) else { continue };
            match own.ip {
                // IPv4 addresses cannot be asked for one by one.
                IpAddr::V4(_) => copies.extend((0..=32).map(|prefix| Place { prefix, ..own })),
                IpAddr::V6(_) => {
                    let mut there = |payload: &[u8]| copies.extend(parse(payload).map(|seen| seen.place));
                    self.netlink.ask(&[question(own)], &mut there);
                }
            }
            copies.retain(|copy| *copy != own);
        }
        let requests: Vec<_> = copies.iter().map(|copy| exact_removal(*copy)).gather();
        let removed =
            self.netlink.run(&requests).into_iter().zip(&copies).filter(|(answer, _)| answer.is_ok());
        removed.for_each(|(_, copy)| {
            warn!("{}/{} was added by somebody else and is removed", copy.ip, copy.prefix)
        });
    }

    /// Insists that the kernel shows every address where it belongs, and looks whether it honours the
    /// lifetime.
    fn read_back(&mut self, addresses: &[VirtualAddress], seen: &[Seen]) -> Result<(), Fault> {
        for (index, address) in (0u8..).zip(addresses) {
            let place = self.place_of(address);
            let shown = seen.iter().find(|seen| Some(seen.place) == place);
            let valid_s = shown.ok_or(Fault::Refused(index, Errno::EADDRNOTAVAIL as i32))?.valid_s;
            if valid_s > self.lifetime_s && !self.was_lifetime_ignored {
                self.was_lifetime_ignored = true;
                warn!(
                    "this kernel ignores the lifetime of addresses (Linux before 3.9): {} stays until \
                        somebody \
                     removes it, should both processes of this node be killed",
                    address.ip
                );
            }
        }
        Ok(())
    }

    /// The interface is there, and switched on.
    pub fn is_up(&self, interface: &str) -> bool {
        interface::is_up(&self.netlink, interface)
    }

    /// Where the address belongs now; none while its interface does not exist.
    fn place_of(&self, address: &VirtualAddress) -> Option<Place> {
        Some(place_on(address, interface::index(&self.netlink, address.device()).ok()?))
    }

    /// All its places: where it belongs now, and where it was put when another interface had that name. An
    /// address with a vmac may stand on the interface below: put there by somebody, or by an earlier run.
    fn places_of(&self, address: &VirtualAddress) -> Vec<Place> {
        let now = self.place_of(address);
        let below =
            address.vmac.as_ref().and_then(|_| interface::index(&self.netlink, &address.interface).ok());
        let below = below.map(|index| place_on(address, index));
        // A link-local address may be one of ours on another interface too.
        let before = self
            .put
            .iter()
            .filter(|(interface, put)| interface == address.device() && put.place.ip == address.ip);
        let before = before.map(|(_, put)| put.place).filter(|put| Some(*put) != now);
        now.into_iter().chain(before).chain(below).gather()
    }

    /// Whether it stands where it was put.
    pub fn is_put(&self, place: Place) -> bool {
        self.put.iter().any(|(_, put)| put.place == place)
    }

    fn note_put(&mut self, address: &VirtualAddress, place: Place) {
        let is_there = |(_, put): &(String, Seen)| put.place == place && put.valid_s != 0;
        if !self.put.iter().any(is_there) && place.ip.is_ipv4() {
            // It comes anew, perhaps on an interface that was made anew.
            promote_secondaries(address.device());
        }
        if place.interface_index != 0 && !self.is_put(place) {
            let seen = Seen { place, valid_s: self.lifetime_s, is_secondary: true };
            self.put.push((address.device().to_owned(), seen));
        }
    }

    /// Notes that the kernel has an address no more, whoever took it away.
    pub fn note_gone(&mut self, place: Place) {
        self.put.iter_mut().filter(|(_, put)| put.place == place).for_each(|(_, put)| put.valid_s = 0);
    }

    /// Notes an address of the box that the kernel shows. It may come after one of ours in the same network,
    /// which was first only because the interface had lost its own address. Then what the box sends would
    /// leave from ours: returns which one has to make room.
    pub fn note_seen(&mut self, seen: Seen) -> Option<IpAddr> {
        if let Some((_, put)) = self.put.iter_mut().find(|(_, put)| put.place == seen.place) {
            *put = seen;
            return None;
        }
        let Place { ip, prefix, interface_index } = seen.place;
        let has_to_go = |(_, put): &&(String, Seen)| {
            let is_there = put.place.interface_index == interface_index && put.place.prefix == prefix;
            is_there && !put.is_secondary && network_of(put.place.ip, prefix) == network_of(ip, prefix)
        };
        let first = self.put.iter().find(has_to_go).filter(|_| seen.is_secondary)?.1.place;
        self.to_reorder.push(first);
        Some(first.ip)
    }

    /// Whether one of the addresses that were put on that interface lies in that network.
    pub(super) fn has_in(&self, network: IpAddr, prefix: u8, interface_index: u32) -> bool {
        let is_in = |put: &Place| put.interface_index == interface_index && put.prefix == prefix;
        self.put.iter().any(|(_, put)| is_in(&put.place) && network_of(put.place.ip, prefix) == network)
    }
}

fn place_on(address: &VirtualAddress, interface_index: u32) -> Place {
    Place { ip: address.ip, prefix: address.prefix, interface_index }
}

/// The first address of the network in which `ip` lies.
pub(super) fn network_of(ip: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() & !u32::MAX.checked_shr(prefix).unwrap_or(0)).into()),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::MAX.checked_shr(prefix).unwrap_or(0)).into()),
    }
}

/// A lease in the whole seconds that the kernel counts.
fn lifetime_s(lease: Span) -> u32 {
    u32::try_from(lease.as_s_ceil()).unwrap_or(FOREVER_S - 1).max(1)
}

/// The first address that was refused; an answer that did not come counts before that. A kernel without
/// lifetimes says that an address exists already when it should be renewed.
fn first_fault(answers: impl Iterator<Item = nix::Result<()>>) -> Result<(), Fault> {
    let mut first = Ok(());
    // Every answer is taken, so that the next group finds its own first.
    for (index, answer) in (0u8..).zip(answers) {
        first = match answer {
            Ok(()) | Err(Errno::EEXIST) => first,
            Err(Errno::ETIMEDOUT) => Err(Fault::Kernel(Errno::ETIMEDOUT as i32)),
            Err(errno) => first.and(Err(Fault::Refused(index, errno as i32))),
        };
    }
    first
}

/// Asks whether that very IPv6 address is on that very interface, and how (IPv4 addresses cannot be asked for
/// one by one).
fn question(place: Place) -> Request {
    request(RTM_GETADDR, 0, place, 0)
}

/// Whether this answer means that there is no such address; any other answer means nothing. `ENXIO`: the
/// interface has no IPv6 at present. The last two: this kernel has none.
fn is_absence(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EADDRNOTAVAIL | Errno::ENODEV | Errno::ENXIO | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT
    )
}

/// Removes the address with that prefix length alone.
fn exact_removal(place: Place) -> Request {
    let mut request = request(RTM_DELADDR, 0, place, 0);
    if place.ip.is_ipv4() {
        ip_attribute(&mut request.body, IFA_ADDRESS, place.ip);
    }
    request
}

/// An `RTM_NEWADDR`, `RTM_DELADDR` or `RTM_GETADDR` for one address: `struct ifaddrmsg` and its attributes,
/// by hand.
fn request(kind: u16, flags: u16, place: Place, lifetime_s: u32) -> Request {
    request_for(kind, flags, place, (lifetime_s, None))
}

/// The bytes of a request about an IPv6 address without a label.
const REQUEST_BYTES: usize = 80;

/// The same, with what is said of the address beside its place.
fn request_for(
    kind: u16,
    flags: u16,
    place: Place,
    (lifetime_s, address): (u32, Option<&VirtualAddress>),
) -> Request {
    let peer = address.and_then(|address| address.peer);
    let [a, b, c, d] = place.interface_index.to_ne_bytes();
    let (is_new, is_v6) = (kind == RTM_NEWADDR, place.ip.is_ipv6());
    let nodad = if is_new && is_v6 { IFA_F_NODAD } else { 0 };
    let mut body = Vec::with_capacity(REQUEST_BYTES);
    body.extend([family_of(place.ip), place.prefix, nodad, 0, a, b, c, d]);
    ip_attribute(&mut body, IFA_LOCAL, place.ip);
    // Without this an IPv4 address is removed whatever its prefix length.
    if is_new || is_v6 {
        ip_attribute(&mut body, IFA_ADDRESS, peer.unwrap_or(place.ip));
    }
    if let Some(label) = address.and_then(|address| address.label.as_ref()) {
        attribute(&mut body, IFA_LABEL, &[label.as_bytes(), &[0]].concat());
    }
    if is_new {
        match place.ip {
            IpAddr::V4(ip) => {
                let broadcast = broadcast_of(ip, place.prefix).filter(|_| peer.is_none());
                broadcast.into_iter().for_each(|ip| ip_attribute(&mut body, IFA_BROADCAST, IpAddr::V4(ip)));
            }
            IpAddr::V6(_) => {
                let flags = u32::from(IFA_F_NOPREFIXROUTE) | u32::from(IFA_F_NODAD);
                attribute(&mut body, IFA_FLAGS, &flags.to_ne_bytes());
            }
        }
        let preferred_s = if is_v6 { 0 } else { lifetime_s };
        let lifetime = [preferred_s, lifetime_s, 0, 0].map(u32::to_ne_bytes);
        attribute(&mut body, IFA_CACHEINFO, lifetime.as_flattened());
    }
    Request { kind, flags, body }
}

/// The broadcast address that every service address has: that of its network, if it has one.
pub fn broadcast_of(ip: Ipv4Addr, prefix: u8) -> Option<Ipv4Addr> {
    let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    (prefix <= LONGEST_BROADCAST_PREFIX).then(|| Ipv4Addr::from_bits(ip.to_bits() | host_bits))
}

/// Reads an address message.
pub fn parse(payload: &[u8]) -> Option<Seen> {
    let [_, prefix, flags, _, index @ ..] = *payload.first_chunk::<HEADER_BYTES>()?;
    let (mut local, mut address, mut valid_s) = (None, None, FOREVER_S);
    for found in NlasIterator::new(payload.get(HEADER_BYTES..)?).flatten() {
        match found.kind() {
            IFA_LOCAL => local = ip_of(found.value()),
            IFA_ADDRESS => address = ip_of(found.value()),
            // The second one of four numbers.
            IFA_CACHEINFO => valid_s = u32::from_ne_bytes(*found.value().get(4..)?.first_chunk()?),
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the other end; where IFA_LOCAL exists it is our own.
    let place = Place { ip: local.or(address)?, prefix, interface_index: u32::from_ne_bytes(index) };
    let is_secondary = place.ip.is_ipv4() && flags & IFA_F_SECONDARY != 0;
    Some(Seen { place, valid_s, is_secondary })
}

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(*bytes.first_chunk::<4>()?)),
        _ => Some(IpAddr::from(*bytes.first_chunk::<16>()?)),
    }
}

/// Lets the other addresses of a subnet live on when its first one goes.
///
/// Without this the kernel deletes them along with it: on an interface that was flushed and set up again our
/// address may come first, and the box would lose its own when the service moves away.
fn promote_secondaries(interface: &str) {
    if set_switch("ipv4", interface, "promote_secondaries", "1", |said, value| said < value) {
        info!("{interface}: promote_secondaries is now 1, so that no other address goes with ours");
    }
}

#[cfg(test)]
#[path = "addresses_tests.rs"]
mod tests;
