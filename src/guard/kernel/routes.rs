//! Routes of a group in the kernel. They come after its addresses and go before them, and never outlive the
//! daemon.
//!
//! An IPv4 route has a source address, which is one of the group's: when the lease of that address ends, the
//! kernel removes the route with it (fib_sync_down_addr in net/ipv4/fib_semantics.c). IPv6 only forgets the
//! source then, so there a route has a lifetime of its own, one lease, and is renewed in the same batch as
//! the address (Linux 4.2).
//!
//! Each IPv6 address comes with a route to its own network, which has a lifetime too, at a metric of our own.
//! The kernel's might be that of a router's advertisement: it would get our lease and go with us.
//!
//! Every route is marked as ours (`proto 194` in `ip route`), and only such routes are removed. A route of
//! the operator's to the same network with the same metric is never replaced: then the group cannot be held,
//! and the log says why.

use std::net::IpAddr;

use crosswire::resource::Fault;
use crosswire::time::Instant;
use log::{info, warn};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;
use nix::libc;

use crate::clock::now;
use crate::gather::Gather;
use crate::guard::kernel::addresses::{Addresses, Place, Renewal, network_of};
use crate::guard::kernel::interface;
use crate::guard::kernel::netlink::{Request, attribute, family_of, ip_attribute};
use crate::settings::{Route, VirtualAddress};

// linux/rtnetlink.h
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTA_EXPIRES: u16 = 23;
/// The mark of our routes (`rtm_protocol`): nobody else's in /etc/iproute2/rt_protos.
const PROTOCOL: u8 = 194;
/// The metric of the on-link routes that come with IPv6 addresses: every other route comes first, and none
/// has the same.
const ON_LINK_METRIC: u32 = 19_400;

impl Addresses {
    /// Adds routes whose addresses are there; all of them, or none.
    pub fn add_routes(&mut self, routes: &[Route], valid_until: Instant) -> Result<(), Fault> {
        if routes.is_empty() {
            return Ok(());
        }
        // Routes that an earlier run has left would look like the operator's.
        self.remove_routes(routes);
        if now() > valid_until {
            return Err(Fault::TooLate);
        }
        let added: Vec<_> = routes.iter().filter_map(|route| self.add_request(route, NLM_F_EXCL)).gather();
        if added.len() < routes.len() {
            return Err(Fault::NoInterface);
        }
        let mut outcome = Ok(());
        for (route, answer) in routes.iter().zip(self.netlink.run(&added)) {
            if let Err(errno) = answer {
                warn!("route {route} cannot be added: {}", said(errno));
                outcome = outcome.and(Err(Fault::Kernel(errno as i32)));
            }
        }
        if outcome.is_err() {
            self.remove_routes(routes);
        }
        outcome
    }

    /// Removes those of ours that are there.
    pub fn remove_routes(&mut self, routes: &[Route]) {
        let on = |route| Some(request(RTM_DELROUTE, 0, route, self.index_of(route)?, None));
        let requests: Vec<_> = routes.iter().filter_map(on).gather();
        for errno in self.netlink.run(&requests).into_iter().filter_map(Result::err) {
            // Gone already: by hand, with its address, or with its interface.
            if !matches!(errno, Errno::ESRCH | Errno::ENODEV | Errno::ENETUNREACH) {
                warn!("a route cannot be removed: {}", errno.desc());
            }
        }
    }

    /// The requests of a renewal beside the addresses: routes that were removed come back, and IPv6 ones live
    /// on.
    pub(super) fn renew_requests(&self, renewals: &[Renewal], at: Instant) -> Vec<Request> {
        let timely = renewals.iter().filter(|renewal| at <= renewal.valid_until);
        // For an IPv6 route that is there the kernel answers EEXIST all the same; but only without EXCL it
        // takes the new lifetime.
        let flags = |route: &Route| if route.to.is_ipv4() { NLM_F_EXCL } else { 0 };
        timely
            .flat_map(|renewal| renewal.routes)
            .filter_map(|route| self.add_request(route, flags(route)))
            .gather()
    }

    /// Notes what became of these requests. Addresses matter more than their routes: a fault is said once,
    /// and the route is tried again with each renewal.
    pub(super) fn note_routes(&mut self, answers: impl Iterator<Item = nix::Result<()>>) {
        let fault = answers.filter_map(Result::err).find(|errno| *errno != Errno::EEXIST);
        match (self.route_fault, fault) {
            (before, Some(errno)) if before != fault => warn!("a route is not there: {}", said(errno)),
            (Some(_), None) => info!("every route is there again"),
            _ => {}
        }
        self.route_fault = fault;
    }

    /// The on-link routes of the IPv6 addresses that are renewed, each for one lease.
    pub(super) fn on_link_requests(&self, renewals: &[Renewal], at: Instant) -> Vec<Request> {
        let timely = renewals.iter().filter(|renewal| at <= renewal.valid_until);
        let of = |address: &VirtualAddress| {
            let index = interface::index(&self.netlink, address.device()).ok()?;
            let mut request = on_link(RTM_NEWROUTE, address.ip, address.prefix, index)?;
            attribute(&mut request.body, RTA_EXPIRES, &self.lifetime_s.to_ne_bytes());
            Some(request)
        };
        timely.flat_map(|renewal| renewal.addresses).filter_map(of).gather()
    }

    /// Removes the on-link routes of addresses that are gone, unless another address needs them.
    pub(super) fn remove_on_link(&mut self, gone: &[Place]) {
        let is_needed = |place: &&Place| {
            self.has_in(network_of(place.ip, place.prefix), place.prefix, place.interface_index)
        };
        let unneeded = gone.iter().filter(|place| !is_needed(place));
        let requests =
            unneeded.filter_map(|place| on_link(RTM_DELROUTE, place.ip, place.prefix, place.interface_index));
        // A route that stays expires.
        self.netlink.run(&requests.gather());
    }

    fn add_request(&self, route: &Route, flags: u16) -> Option<Request> {
        let expires_s = (!route.to.is_ipv4()).then_some(self.lifetime_s);
        Some(request(RTM_NEWROUTE, NLM_F_CREATE | flags, route, self.index_of(route)?, expires_s))
    }

    fn index_of(&self, route: &Route) -> Option<u32> {
        interface::index(&self.netlink, &route.interface).ok()
    }
}

/// A request for the on-link route of an IPv6 address; none if its network is this one address.
fn on_link(kind: u16, ip: IpAddr, prefix: u8, interface_index: u32) -> Option<Request> {
    let flags = if kind == RTM_NEWROUTE { NLM_F_CREATE } else { 0 };
    let to = (network_of(ip, prefix), prefix);
    (ip.is_ipv6() && prefix < 128).then(|| route_message(kind, flags, to, interface_index, ON_LINK_METRIC))
}

/// What the kernel says, and what may be done about it.
fn said(errno: Errno) -> String {
    let remedy = match errno {
        Errno::EEXIST => {
            "; this box has another route there with the same metric: remove it, or give ours another \
                `metric`"
        }
        Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL => {
            "; its interface is down, or its gateway on no network of that interface"
        }
        _ => "",
    };
    format!("{}{remedy}", errno.desc())
}

/// An `RTM_NEWROUTE` or `RTM_DELROUTE`.
fn request(kind: u16, flags: u16, route: &Route, interface_index: u32, expires_s: Option<u32>) -> Request {
    let mut request = route_message(kind, flags, (route.to, route.prefix), interface_index, route.metric);
    ip_attribute(&mut request.body, libc::RTA_GATEWAY, route.via);
    ip_attribute(&mut request.body, libc::RTA_PREFSRC, route.src);
    expires_s.into_iter().for_each(|s| attribute(&mut request.body, RTA_EXPIRES, &s.to_ne_bytes()));
    request
}

/// A route without a gateway: `struct rtmsg` and its attributes, by hand. The type `RouteMessage` would bring
/// MPLS, SRv6 and multipath into the binary.
fn route_message(
    kind: u16,
    flags: u16,
    (to, prefix): (IpAddr, u8),
    interface_index: u32,
    metric: u32,
) -> Request {
    let (table, scope, unicast) = (libc::RT_TABLE_MAIN, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST);
    let mut body = vec![family_of(to), prefix, 0, 0, table, PROTOCOL, scope, unicast, 0, 0, 0, 0];
    ip_attribute(&mut body, libc::RTA_DST, to);
    attribute(&mut body, libc::RTA_OIF, &interface_index.to_ne_bytes());
    if metric > 0 {
        attribute(&mut body, libc::RTA_PRIORITY, &metric.to_ne_bytes());
    }
    Request { kind, flags, body }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread::sleep;
    use std::time::Duration;

    use crosswire::time::Span;

    use super::*;
    use crate::guard::testing::{Veth, address, in_fair_namespace, in_namespace, set_up};

    fn soon() -> Instant {
        now() + Span::from_s(30)
    }

    fn ours() -> [VirtualAddress; 2] {
        [address("10.9.0.100/24@near"), address("fd00::100/64@near")]
    }

    fn route(to: &str, prefix: u8, via: &str, src: &str) -> Route {
        let ip = |text: &str| text.parse().expect("an address");
        Route { to: ip(to), prefix, via: ip(via), src: ip(src), metric: 5, interface: "near".to_owned() }
    }

    fn routes() -> [Route; 3] {
        [
            route("0.0.0.0", 0, "10.9.0.1", "10.9.0.100"),
            route("10.8.0.0", 16, "10.9.0.1", "10.9.0.100"),
            route("fd08::", 16, "fd00::1", "fd00::100"),
        ]
    }

    /// How many routes by gateways there are, IPv4 and IPv6, as /proc shows them.
    fn shown() -> (usize, usize) {
        let of = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("a table");
        let v4 = of("route").lines().filter(|line| line.contains("\t0100090A\t")).count();
        let v6 = of("ipv6_route")
            .lines()
            .filter(|line| line.contains("fd000000000000000000000000000001 00000005"))
            .count();
        (v4, v6)
    }

    fn renew(addresses: &mut Addresses, routes: &[Route]) {
        let renewal = Renewal { addresses: &ours(), routes, valid_until: soon(), puts_back: true };
        assert_eq!(addresses.renew(&[renewal]), [Ok(())]);
    }

    #[test]
    fn routes_come_after_the_addresses_and_go_alone() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
            assert_eq!(
                addresses.add_routes(&routes(), soon()),
                Err(Fault::Kernel(Errno::ENETUNREACH as i32))
            );
            assert_eq!(addresses.add(&ours(), soon()), Ok(()));
            assert_eq!(addresses.add_routes(&routes(), now() - Span::from_ms(1)), Err(Fault::TooLate));
            assert_eq!(shown(), (0, 0));
            for _ in 0..2 {
                assert_eq!(
                    addresses.add_routes(&routes(), soon()),
                    Ok(()),
                    "ours of an earlier run are no obstacle"
                );
                assert_eq!(shown(), (2, 1));
            }
            addresses.remove_routes(&routes());
            assert_eq!(shown(), (0, 0));
            assert_eq!(addresses.remove(&ours()), Ok(()));
        });
    }

    #[test]
    fn a_renewal_puts_back_what_was_removed_and_removal_by_the_kernel_is_no_fault() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
            assert_eq!(addresses.add(&ours(), soon()), Ok(()));
            assert_eq!(addresses.add_routes(&routes(), soon()), Ok(()));
            addresses.remove_routes(&routes()[1..]);
            assert_eq!(shown(), (1, 0));
            renew(&mut addresses, &routes());
            assert_eq!(shown(), (2, 1));
            assert_eq!(addresses.remove(&ours()), Ok(()));
            assert_eq!(shown().0, 0, "the kernel has removed them with their source");
            addresses.remove_routes(&routes());
            set_up("near", false);
            renew(&mut addresses, &routes());
            assert!(addresses.route_fault.is_some(), "the addresses stay");
            set_up("near", true);
            renew(&mut addresses, &routes());
            assert_eq!((addresses.route_fault, shown().0), (None, 2));
        });
    }

    #[test]
    fn no_route_outlives_its_lease_and_every_one_lives_as_long_as_it_is_renewed() {
        in_fair_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(Span::from_s(2)).expect("a socket");
            assert_eq!(addresses.add(&ours(), soon()), Ok(()));
            assert_eq!(addresses.add_routes(&routes(), soon()), Ok(()));
            for _ in 0..4 {
                sleep(Duration::from_millis(800));
                renew(&mut addresses, &routes());
                assert_eq!(shown(), (2, 1));
                assert!(goes_out("fd08::1"), "a renewed route is used");
            }
            sleep(Duration::from_millis(3_200));
            assert_eq!(shown().0, 0);
            assert!(
                !goes_out("fd08::1"),
                "one that has expired is used no more, even if it is shown for a while"
            );
        });
    }

    /// Whether the kernel has a way to an IPv6 address.
    fn goes_out(ip: &str) -> bool {
        let socket = std::net::UdpSocket::bind("[::]:0").expect("a socket");
        socket.connect((ip.parse::<IpAddr>().expect("an address"), 9)).is_ok()
    }

    #[test]
    fn a_route_of_the_operators_is_neither_replaced_nor_removed() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
            assert_eq!(addresses.add(&ours(), soon()), Ok(()));
            let [first, second, third] = routes();
            for theirs in [&second, &third] {
                let mut request = request(
                    RTM_NEWROUTE,
                    NLM_F_CREATE | NLM_F_EXCL,
                    theirs,
                    addresses.index_of(theirs).unwrap(),
                    None,
                );
                request.body[5] = 4; // RTPROT_STATIC
                assert_eq!(addresses.netlink.run(&[request]), [Ok(())]);
            }
            let before = shown();
            assert_eq!(before, (1, 1));
            for theirs in [&second, &third] {
                let both = [first.clone(), theirs.clone()];
                assert_eq!(addresses.add_routes(&both, soon()), Err(Fault::Kernel(Errno::EEXIST as i32)));
                assert_eq!(shown(), before, "nothing of ours is left behind");
            }
            assert!(said(Errno::EEXIST).contains("give ours another `metric`"));
        });
    }
}
