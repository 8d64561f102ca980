//! What groups must not have in common, with each other or with the pair.

use std::net::IpAddr;

use crosswire::frame::seal::group_tag;

use super::super::StopFailure;
use super::super::error::{Report, quote};
use super::super::neighbours::is_link_local;
use super::super::nodes::Node;
use super::super::paths::Link;
use super::super::script;
use super::super::table::At;
use super::super::witness::OwnAddress;
use super::Plan;
use super::addresses::Vip;
use crate::gather::{Gather, sort_by_key};

const SHARED: &str =
    "list it once, or if it keeps nothing running in both with { run = \"...\", shared = true }";

/// If two groups start the same script, one of them stops it while the other needs it. So that is refused,
/// unless both say that it does not matter.
pub(super) fn check_script_repeats(plans: &[Plan<'_>], report: &mut Report<'_>) {
    let mut all: Vec<(&script::Draft<'_>, &str)> =
        plans.iter().flat_map(|plan| plan.scripts.iter().map(|script| (script, plan.name.value))).gather();
    sort_by_key(&mut all, |(script, _)| script.text.at);
    for (index, (script, _)) in all.iter().enumerate() {
        let is_allowed = |(earlier, group): &(&script::Draft<'_>, &str)| {
            script.is_shared && earlier.is_shared && *group != all[index].1
        };
        let collides = |other: &&(&script::Draft<'_>, &str)| other.0.is_same(script) && !is_allowed(other);
        if let Some((_, group)) = all[..index].iter().find(collides) {
            let what = format!("{} is already a script of group {}", quote(script.text.value), quote(group));
            let is_elsewhere = *group != all[index].1;
            let remedy = if is_elsewhere { SHARED } else { "list it once" };
            report.add(script.text.at, what, remedy);
        }
    }
}

/// Groups move one by one, and a switch sends all that is for one hardware address to one box.
pub(super) fn check_vmac_repeats(plans: &[Plan<'_>], report: &mut Report<'_>) {
    for (index, plan) in plans.iter().enumerate() {
        for At { at, value: vip } in &plan.addresses {
            let is_same = |other: &At<Vip<'_>>| {
                vip.vmac.flatten().is_some()
                    && (other.value.vmac, other.value.interface) == (vip.vmac, vip.interface)
            };
            if let Some(first) = plans[..index].iter().find(|plan| plan.addresses.iter().any(is_same)) {
                let what = format!("this vmac is already that of group {}", quote(first.name.value));
                report.add(*at, what, "give each group one of its own, or write true");
            }
        }
    }
}

/// A box that is to reset itself needs a means to do so.
pub(in crate::settings) fn check_self_fences(plans: &[Plan<'_>], has_means: bool, report: &mut Report<'_>) {
    let asked =
        plans.iter().map(|plan| plan.on_stop_failure).filter(|found| found.value == StopFailure::SelfFence);
    for At { at, .. } in asked.filter(|_| !has_means) {
        let remedy = "add a [watchdog], or reset = \"/proc/sysrq-trigger\" in [system]; or use \"hold\"";
        report.add(at, "on_stop_failure = \"self-fence\", but nothing here can reset this box", remedy);
    }
}

/// Reports every service address that is listed twice or belongs to a node itself; returns all addresses of
/// the pair.
pub(in crate::settings) fn check_repeats(
    plans: &[Plan<'_>],
    own: Vec<OwnAddress>,
    report: &mut Report<'_>,
) -> Vec<OwnAddress> {
    let mut all: Vec<_> = plans
        .iter()
        .flat_map(|plan| plan.addresses.iter().map(|vip| (vip.at, vip.value, plan.name.value)))
        .gather();
    sort_by_key(&mut all, |(at, ..)| *at);
    let mut taken = own;
    let mut links: Vec<(IpAddr, Option<&str>)> = Vec::new();
    for (at, Vip { ip, prefix, interface, .. }, group) in all {
        // The same one may stand on every link (RFC 4291 2.5.6).
        let is_elsewhere = |other: &OwnAddress| {
            let mut known = links.iter().filter(|(known, _)| *known == ip);
            let is_apart = |(_, link): &(IpAddr, Option<&str>)| {
                link.is_some() && interface.is_some() && *link != interface
            };
            is_link_local(ip) && other.prefix.is_some() && known.all(is_apart)
        };
        if let Some(first) = taken.iter().find(|other| other.ip == ip && !is_elsewhere(other)) {
            report.add(
                at,
                format_args!("{ip} is already {}", first.what),
                "give each service an address of its own",
            );
        }
        let what = format!("an address of group {}", quote(group));
        taken.push(OwnAddress { ip, prefix: Some(prefix), what });
        links.push((ip, interface));
    }
    taken
}

/// A cable from box to box loses its carrier with the peer's power, and nobody else is on it: an address
/// there could never be taken over from a peer that has lost its power.
pub(in crate::settings) fn check_links(
    plans: &[Plan<'_>],
    links: &[Link<'_>],
    nodes: &[Node<'_>; 2],
    report: &mut Report<'_>,
) {
    let lans = || links.iter().filter(|link| link.is_lan());
    for vip in plans.iter().flat_map(|plan| &plan.addresses) {
        let crossover = lans().find(|link| match vip.value.interface {
            Some(interface) => link.is_crossover_on(nodes.each_ref().map(|node| node.local(interface))),
            None => link.is_crossover(),
        });
        if let Some(link) = crossover {
            let what = format!(
                "{} would live on {}, a cable to the peer alone (link = \"crossover\")",
                vip.value.ip, link.name
            );
            report.add(vip.at, what, "put it on the interface to its clients, as in \"10.0.0.100/24@eth1\"");
        }
    }
}

/// Highest number that is tried behind a name to find one with another tag.
const MAX_OTHER_NAMES: u32 = 99;

/// Beats name a group by eight bits of its name's checksum: a node with a different file could not tell two
/// groups with the same bits apart.
pub(in crate::settings) fn check_tags(plans: &[Plan<'_>], report: &mut Report<'_>) {
    let is_taken = |name: &str| plans.iter().any(|plan| group_tag(plan.name.value) == group_tag(name));
    for (index, plan) in plans.iter().enumerate() {
        let At { at, value: name } = plan.name;
        let twin = plans[..index]
            .iter()
            .map(|other| other.name.value)
            .find(|other| group_tag(other) == group_tag(name));
        let Some(twin) = twin else { continue };
        let what = format!("groups {} and {} cannot be told apart on the wire", quote(twin), quote(name));
        let other =
            (2..=MAX_OTHER_NAMES).map(|number| format!("{name}{number}")).find(|other| !is_taken(other));
        let other = other.map(|other| format!(", as in [group.{other}]")).unwrap_or_default();
        report.add(
            at,
            what,
            format_args!("rename one of them on both nodes{other}: their checksums are too much alike"),
        );
    }
}
