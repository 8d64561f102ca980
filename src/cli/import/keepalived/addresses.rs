//! The addresses of a group, as both files name them.

use super::groups::{Router, Vip};
use super::lists::NOTHING_LEAVES;
use super::model::{Address, Instance};
use super::source::Sources;
use crate::cli::import::report::Fate;
use crate::settings::shorten;

/// Adds those of one instance, and what the second node calls their interfaces.
pub fn add(
    (all, renamed): (&mut Vec<Vip>, &mut Vec<[String; 2]>),
    (side, one): (usize, &Instance),
    router: &Router<'_>,
    names: &[String; 2],
    group: &str,
    sources: &mut Sources,
) {
    for address in &one.addresses {
        let own = vip(one, address, sources);
        let known = all.iter().find(|vip| vip.ip == address.ip && vip.at != address.at);
        let is_twin = side == 1 && router.by[0].is_some();
        let text = own.text();
        match known {
            Some(vip) if vip.prefix == own.prefix && vip.interface == own.interface => {
                let note = format!("{text} of [group.\"{group}\"], as said before");
                sources.ledger.taken(address.at, note);
                tell_other(vip, &own, sources);
            }
            Some(vip)
                if is_twin
                    && vip.prefix == own.prefix
                    && rename(renamed, [vip.interface.as_str(), own.interface.as_str()]) =>
            {
                let note =
                    format!("interface_names: {} is called {} on {}", vip.interface, own.interface, names[1]);
                sources.ledger.taken(address.at, note);
                tell_other(vip, &own, sources);
            }
            Some(vip) if is_twin => sources.ledger.lost(
                address.at,
                format!(
                    "{} has it as {}/{}@{}, and one file serves both: give the interface one name on both \
                        boxes (systemd.link(5), \
                     udev), and one prefix",
                    names[0], vip.ip, vip.prefix, vip.interface
                ),
            ),
            Some(_) | None => {
                let is_lacking =
                    |other: &&Instance| other.addresses.iter().all(|there| there.ip != address.ip);
                let lacking =
                    router.by[1 - side].as_ref().is_some_and(is_lacking).then_some(&names[1 - side]);
                take(all, own, (address, one), (group, lacking), sources);
            }
        }
        for note in &address.notes {
            sources.ledger.say(address.at, note.clone());
        }
    }
}

/// A new one, with a node whose file lacks it.
fn take(
    all: &mut Vec<Vip>,
    own: Vip,
    (address, one): (&Address, &Instance),
    (group, lacking): (&str, Option<&String>),
    sources: &mut Sources,
) {
    let is_said =
        |note: &Fate| matches!(note, Fate::Taken(text) | Fate::Lost(text) if text.contains(NOTHING_LEAVES));
    let is_quiet = address.ip.is_ipv6() && address.prefix < 128 && !address.notes.iter().any(is_said);
    let aside = if is_quiet { format!("; {NOTHING_LEAVES}") } else { String::new() };
    sources.ledger.taken(address.at, format!("{} of [group.\"{group}\"]{aside}", own.text()));
    if let Some(node) = lacking {
        sources.ledger.lost(address.at, format!("{node} does not name it, and will serve it too"));
    }
    if one.vmac.is_some() && own.vmac.is_none() && address.ip.is_ipv4() != one.is_v4() {
        let note = "no vmac: keepalived gives none to an address of the other family";
        sources.ledger.meaningless(address.at, note);
    }
    if all.iter().all(|vip| vip.at != address.at) {
        all.push(own);
    }
}

/// The second file may say the same address otherwise.
fn tell_other(first: &Vip, second: &Vip, sources: &mut Sources) {
    let word = |vip: &Vip| Some(vip.label.as_ref()?.strip_prefix(vip.interface.as_str())?.to_string());
    let of = |vip: &Vip| (vip.peer, vip.is_untracked, vip.vmac.clone(), word(vip));
    if of(first) != of(second) {
        let note = format!("the first file has it as {}, and one file serves both", first.text());
        sources.ledger.lost(second.at, note);
    }
}

/// The address as an instance has it. A label that it cannot have is left out, which is said.
fn vip(one: &Instance, address: &Address, sources: &mut Sources) -> Vip {
    let usual = one.interface.as_ref().map(|(name, _)| name.as_str()).unwrap_or_default();
    let interface = address.interface.as_deref().unwrap_or(usual);
    let mut vip = Vip {
        at: address.at,
        ip: address.ip,
        prefix: address.prefix,
        interface: interface.to_string(),
        label: None,
        peer: address.peer.filter(|peer| peer.is_ipv4() == address.ip.is_ipv4() && *peer != address.ip),
        is_untracked: address.is_untracked || one.is_untracked && interface == usual,
        vmac: vmac_of(one, address, interface == usual),
    };
    if let Some(label) = &address.label {
        match why_no_label(&vip, label) {
            None => vip.label = Some(label.clone()),
            Some(why) => {
                sources.ledger.lost(address.at, format!("the label {} is left out: {why}", shorten(label)));
            }
        }
    }
    vip
}

/// The hardware address of VRRP (RFC 9568 7.3), unless the instance names another one. An instance has it for
/// the addresses of its own family on its own interface.
fn vmac_of(one: &Instance, address: &Address, is_on_own: bool) -> Option<String> {
    let is_v4 = address.ip.is_ipv4();
    let is_own = is_on_own && is_v4 == one.is_v4();
    let is_wanted = address.has_vmac || if is_own { one.vmac.is_some() } else { one.has_vmac_addr };
    let router = one.router.as_ref().map_or(0, |(router, _)| *router);
    let usual = || format!("00:00:5e:00:{:02x}:{router:02x}", if is_v4 { 1 } else { 2 });
    let named = one.vmac.as_ref().and_then(|(mac, _)| mac.clone());
    is_wanted.then(|| named.unwrap_or_else(usual))
}

/// Whether the second node may call an interface of the first so: no two may be one.
fn rename(renamed: &mut Vec<[String; 2]>, [a, b]: [&str; 2]) -> bool {
    let is_same = |[known, other]: &[String; 2]| known == a && other == b;
    let is_free = renamed.iter().all(|[known, other]| known != a && other != b);
    let is_known = renamed.iter().any(is_same);
    if is_free {
        renamed.push([a.to_string(), b.to_string()]);
    }
    is_free || is_known
}

/// Why an address cannot have its label, if so: old tools could not show it.
fn why_no_label(vip: &Vip, label: &str) -> Option<String> {
    match label.strip_prefix(vip.interface.as_str()) {
        _ if vip.ip.is_ipv6() => Some("IPv6 addresses have none".to_string()),
        _ if vip.vmac.is_some() => Some("an address with a vmac has none".to_string()),
        Some(rest) if rest.starts_with(':') && label.len() < 16 => None,
        Some("") => Some("it is the interface, which every address has".to_string()),
        Some(_) | None => Some(format!("write {}:WORD, of 15 letters at most", vip.interface)),
    }
}
