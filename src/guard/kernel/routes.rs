//! Routes of a group in the kernel, and the policy rules that lead to them. They come after its addresses and
//! go before them, and never outlive the daemon.
//!
//! An IPv4 route has a source address, which is one of the group's: when the lease of that address ends, the
//! kernel removes the route with it, out of the table `main` (fib_sync_down_addr in
//! net/ipv4/fib_semantics.c). IPv6 only forgets the source then, so there a route has a lifetime of its own,
//! one lease, and is renewed in the same batch as the address (Linux 4.2). IPv4 routes in other tables stay
//! if the daemon is killed, and so do rules: the next run removes them.
//!
//! Each IPv6 address comes with a route to its own network, which has a lifetime too, at a metric of our own.
//! The kernel's might be that of a router's advertisement: it would get our lease and go with us.
//!
//! Every route and rule is marked as ours (`proto 194` in `ip route` and `ip rule`), and only such ones are
//! removed; a kernel before Linux 4.17 marks no rules. A route of the operator's to the same network with the
//! same metric is never replaced, nor such a rule: then the group is held without ours, and the log says so.
//!
//! What a node has while it does not serve the group has no lifetime, and stands in nobody's way: what cannot
//! be added is said, and tried again.

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
use crate::guard::kernel::netlink::{Request, attribute, ip_attribute};
use crate::settings::{PARTS, Part, PartValue, Route, VirtualAddress};

// linux/rtnetlink.h
const RTM_NEWROUTE: u16 = 24;
const RTA_EXPIRES: u16 = 23;
// linux/fib_rules.h. A rule is told as a route is, with the same numbers for what both have.
const RTM_NEWRULE: u16 = 32;
/// From the message that adds something to the one that removes it.
const TO_REMOVE: u16 = 1;
const FRA_IIFNAME: u16 = 3;
const FRA_FWMASK: u16 = 16;
const FRA_PROTOCOL: u16 = 21;
/// Stands for a table whose number needs more than the byte in the header.
const RT_TABLE_COMPAT: u8 = 252;
/// The mark of our routes (`rtm_protocol`): nobody else's in /etc/iproute2/rt_protos.
const PROTOCOL: u8 = 194;
/// The metric of the on-link routes that come with IPv6 addresses: every other route comes first, and none
/// has the same.
const ON_LINK_METRIC: u32 = 19_400;

impl Addresses {
    /// Adds routes whose addresses are there; all of them, or none. One of which the operator has the like is
    /// left out: renewals add it when that is gone.
    pub fn add_routes(&mut self, routes: &[Route], valid_until: Instant) -> Result<(), Fault> {
        if routes.is_empty() {
            return Ok(());
        }
        // Routes that an earlier run has left would look like the operator's.
        self.remove_routes(routes);
        if now() > valid_until {
            return Err(Fault::TooLate);
        }
        let outcome = self.add_each(routes, false);
        if outcome.is_err() {
            self.remove_routes(routes);
        }
        outcome
    }

    /// Adds what a node has that does not serve the group, as far as it can be had. Where it was added
    /// before, it puts back what has gone, without a word.
    pub fn keep_backup_routes(&mut self, routes: &[Route], was_added: bool) {
        if was_added {
            let missing = routes.iter().filter_map(|route| self.request_to_keep(route, true)).gather();
            self.netlink.run(&missing);
        } else {
            self.remove_routes(routes);
            // What cannot be added was said.
            let _ = self.add_each(routes, true);
        }
    }

    /// Adds what it can of these. The outcome is the first fault.
    fn add_each(&mut self, routes: &[Route], is_backup: bool) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for route in routes.iter().filter(|route| route.is_backup == is_backup) {
            // A rule is asked for twice. Before Linux 4.8 a kernel adds the same one as often as it is asked:
            // there none is put back.
            let requests: Vec<_> =
                (0..=u8::from(route.is_rule)).filter_map(|_| self.add_request(route, NLM_F_EXCL)).gather();
            let answers = self.netlink.run(&requests);
            if answers.get(1) == Some(&Ok(())) {
                self.has_repeated_rules = true;
                self.remove_routes(std::slice::from_ref(route));
            }
            if let Err(errno) = answers.first().copied().unwrap_or(Err(Errno::ENODEV)) {
                warn!("{route} cannot be added: {}", said(errno));
                // Where the operator's own leads to the same, the service goes out by that: better than none.
                if errno != Errno::EEXIST {
                    outcome = outcome.and(Err(Fault::Kernel(errno as i32)));
                }
            }
        }
        outcome
    }

    /// Removes those of ours that are there, the last first: no rule leads to a table without its routes.
    pub fn remove_routes(&mut self, routes: &[Route]) {
        let on = |route| Some(request(false, 0, route, self.index_of(route)?, None));
        let requests: Vec<_> = routes.iter().rev().filter_map(on).gather();
        for errno in self.netlink.run(&requests).into_iter().filter_map(Result::err) {
            // Gone already: by hand, with its address, or with its interface.
            if !matches!(errno, Errno::ESRCH | Errno::ENOENT | Errno::ENODEV | Errno::ENETUNREACH) {
                warn!("a route or a rule cannot be removed: {}", errno.desc());
            }
        }
    }

    /// The requests of a renewal beside the addresses: routes that were removed come back, and IPv6 ones live
    /// on.
    pub(super) fn renew_requests(&self, renewals: &[Renewal], at: Instant) -> Vec<Request> {
        let timely = renewals.iter().filter(|renewal| at <= renewal.valid_until);
        let requests = |route| self.request_to_keep(route, false);
        timely.flat_map(|renewal| renewal.routes).filter_map(requests).gather()
    }

    /// The request that puts it back if it is missing.
    fn request_to_keep(&self, route: &Route, is_backup: bool) -> Option<Request> {
        if route.is_backup != is_backup || route.is_rule && self.has_repeated_rules {
            return None;
        }
        // For an IPv6 route that is there the kernel answers EEXIST all the same; but only without EXCL it
        // takes the new lifetime.
        let may_repeat = !route.is_v4 && !route.is_rule && !is_backup;
        self.add_request(route, if may_repeat { 0 } else { NLM_F_EXCL })
    }

    /// Notes what became of these requests. Addresses matter more than their routes: a fault is said once,
    /// and the route is tried again with each renewal.
    pub(super) fn note_routes(&mut self, answers: impl Iterator<Item = nix::Result<()>>) {
        let fault = answers.filter_map(Result::err).find(|errno| *errno != Errno::EEXIST);
        match (self.route_fault, fault) {
            (before, Some(errno)) if before != fault => {
                warn!("a route or a rule is not there: {}", said(errno))
            }
            (Some(_), None) => info!("every route and rule is there again"),
            _ => {}
        }
        self.route_fault = fault;
    }

    /// The on-link routes of the IPv6 addresses that are renewed, each for one lease.
    pub(super) fn on_link_requests(&self, renewals: &[Renewal], at: Instant) -> Vec<Request> {
        let timely = renewals.iter().filter(|renewal| at <= renewal.valid_until);
        let of = |address: &VirtualAddress| {
            let index = interface::index(&self.netlink, address.device()).ok()?;
            on_link(true, (address.ip, address.prefix), index, Some(self.lifetime_s))
        };
        timely.flat_map(|renewal| renewal.addresses).filter_map(of).gather()
    }

    /// Removes the on-link routes of addresses that are gone, unless another address needs them.
    pub(super) fn remove_on_link(&mut self, gone: &[Place]) {
        let is_needed = |place: &&Place| {
            self.has_in(network_of(place.ip, place.prefix), place.prefix, place.interface_index)
        };
        let unneeded = gone.iter().filter(|place| !is_needed(place));
        let requests = unneeded
            .filter_map(|place| on_link(false, (place.ip, place.prefix), place.interface_index, None));
        // A route that stays expires.
        self.netlink.run(&requests.gather());
    }

    fn add_request(&self, route: &Route, flags: u16) -> Option<Request> {
        let expires_s = Some(self.lifetime_s).filter(|_| !route.is_backup);
        Some(request(true, flags, route, self.index_of(route)?, expires_s))
    }

    /// The interface of a route; a rule knows its own by the name.
    fn index_of(&self, route: &Route) -> Option<u32> {
        if route.is_rule { Some(0) } else { interface::index(&self.netlink, &route.interface).ok() }
    }
}

/// A request for the on-link route of an IPv6 address; none if its network is this one address.
fn on_link(
    is_new: bool,
    (ip, prefix): (IpAddr, u8),
    interface_index: u32,
    expires_s: Option<u32>,
) -> Option<Request> {
    let mut parts = [None; PARTS.len()];
    parts[Part::To as usize] = Some(PartValue::Network(network_of(ip, prefix), prefix));
    parts[Part::Metric as usize] = Some(PartValue::Number(ON_LINK_METRIC));
    parts[Part::Table as usize] = Some(PartValue::Number(libc::RT_TABLE_MAIN.into()));
    let (interface, iif) = (String::new(), String::new());
    let route = Route { is_rule: false, is_backup: false, is_v4: false, parts, interface, iif };
    (ip.is_ipv6() && prefix < 128).then(|| request(is_new, 0, &route, interface_index, expires_s))
}

/// What the kernel says, and what may be done about it.
fn said(errno: Errno) -> String {
    let remedy = match errno {
        Errno::EEXIST => {
            "; this box has another one like it: remove that, or give ours another `metric` or `priority`"
        }
        Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL => {
            "; its interface is down, or its gateway on no network of that interface"
        }
        _ => "",
    };
    format!("{}{remedy}", errno.desc())
}

/// The request that adds or removes it: `struct rtmsg`, which is laid out as `struct fib_rule_hdr`, and
/// attributes, by hand. The type `RouteMessage` would bring MPLS, SRv6 and multipath into the binary.
fn request(is_new: bool, flags: u16, route: &Route, interface_index: u32, expires_s: Option<u32>) -> Request {
    let family = if route.is_v4 { libc::AF_INET } else { libc::AF_INET6 }.to_le_bytes()[0];
    // In a rule the byte of the protocol is reserved. A unicast route's type says of it that it leads to a
    // table.
    let (kind, protocol) = if route.is_rule { (RTM_NEWRULE, 0) } else { (RTM_NEWROUTE, PROTOCOL) };
    let (scope, unicast) = (libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST);
    let mut body = vec![family, 0, 0, 0, RT_TABLE_COMPAT, protocol, scope, unicast, 0, 0, 0, 0];
    for (attribute_kind, value) in PARTS.iter().zip(&route.parts) {
        match value {
            None => {}
            Some(PartValue::Ip(ip)) => ip_attribute(&mut body, *attribute_kind, *ip),
            Some(PartValue::Network(ip, prefix)) => {
                // The length of the destination has the number of its attribute, and so has the source's.
                body.get_mut(usize::from(*attribute_kind)).into_iter().for_each(|length| *length = *prefix);
                ip_attribute(&mut body, *attribute_kind, *ip);
            }
            Some(PartValue::Number(number)) => attribute(&mut body, *attribute_kind, &number.to_ne_bytes()),
            Some(PartValue::Mark(mark, mask)) => {
                attribute(&mut body, *attribute_kind, &mark.to_ne_bytes());
                attribute(&mut body, FRA_FWMASK, &mask.to_ne_bytes());
            }
        }
    }
    if route.is_rule {
        attribute(&mut body, FRA_PROTOCOL, &[PROTOCOL]);
        if !route.interface.is_empty() {
            attribute(&mut body, FRA_IIFNAME, &[route.interface.as_bytes(), &[0]].concat());
        }
    } else {
        attribute(&mut body, libc::RTA_OIF, &interface_index.to_ne_bytes());
        let expires_s = expires_s.filter(|_| !route.is_v4);
        expires_s.into_iter().for_each(|s| attribute(&mut body, RTA_EXPIRES, &s.to_ne_bytes()));
    }
    let (kind, flags) = if is_new { (kind, NLM_F_CREATE | flags) } else { (kind + TO_REMOVE, flags) };
    Request { kind, flags, body }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
