//! The probe: asking the wire who answers for a group's addresses, and for the peer's own.
//!
//! The answers are heard by the agent, on the listeners of the same interfaces.

use std::net::{IpAddr, Ipv6Addr};

use crosswire::resource::Fault;
use log::debug;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use crate::gather::Gather;
use crate::guard::kernel::ethernet::{Hears, Listener, Outlet, Sender};
use crate::guard::kernel::packets::{open_query, query};
use crate::settings::{PathDevice, Settings, VirtualAddress};

/// Sends one query for every address of a group, and one for the peer's own address on every LAN path.
///
/// The questions for the peer come last: if its answer is there, that of a VIP on the same box would be there
/// too. The group's questions must all leave. Those for the peer are a help, which a LAN from which we are
/// cut off cannot give.
pub fn send(sender: &Sender, settings: &Settings, addresses: &[VirtualAddress]) -> Result<(), Fault> {
    addresses.iter().try_for_each(|address| match ask_for(sender, address) {
        // A link without hardware addresses has nobody who could answer.
        Ok(()) | Err(Errno::EAFNOSUPPORT) => Ok(()),
        // An interface that is down answers nobody, and does not keep the others from being served.
        Err(Errno::ENETDOWN) if !address.needs_carrier => Ok(()),
        Err(Errno::ENODEV) => Err(Fault::NoInterface),
        Err(errno) => Err(Fault::Kernel(errno as i32)),
    })?;
    ask_for_peers(sender, settings);
    Ok(())
}

/// Asks for the peer's own address on every LAN path.
pub fn ask_for_peers(sender: &Sender, settings: &Settings) {
    for path in &settings.paths {
        if let PathDevice::Lan { interface, local, peer, .. } = &path.device
            && let Err(errno) = ask_for_peer(sender, interface, *local, *peer)
        {
            debug!("cannot ask for {peer} on {interface}: {}", errno.desc());
        }
    }
}

fn ask_for(sender: &Sender, address: &VirtualAddress) -> nix::Result<()> {
    let outlet = sender.outlet(&address.interface)?;
    ask_by(sender, &outlet, address.ip, None)?;
    let Some(vmac) = &address.vmac else { return Ok(()) };
    // The kernel hands a macvlan what is for everybody through a queue, late on a busy box: its silence would
    // seem to say that the address is gone. What is for the macvlan alone reaches it at once, as what is for
    // the peer's own address does.
    let mut frame = query(address.ip, None, outlet.mac);
    frame.get_mut(..vmac.mac.len()).into_iter().for_each(|to| to.copy_from_slice(&vmac.mac));
    sender.send(&outlet, &frame)
}

fn ask_for_peer(sender: &Sender, interface: &str, local: IpAddr, peer: IpAddr) -> nix::Result<()> {
    let local = if let IpAddr::V6(local) = local { Some(local) } else { None };
    ask(sender, interface, peer, local)
}

/// Asks who has an address, in every form that is answered; `local` is the source of a question over IPv6.
pub fn ask(sender: &Sender, interface: &str, ip: IpAddr, local: Option<Ipv6Addr>) -> nix::Result<()> {
    ask_by(sender, &sender.outlet(interface)?, ip, local)
}

fn ask_by(sender: &Sender, outlet: &Outlet, ip: IpAddr, local: Option<Ipv6Addr>) -> nix::Result<()> {
    sender.send(outlet, &query(ip, local, outlet.mac))?;
    open_query(ip, outlet.mac).map_or(Ok(()), |frame| sender.send(outlet, &frame))
}

/// Opens the listeners of one interface: one for each protocol in which an answer may come, each with whether
/// it is for IPv6.
pub fn listeners(settings: &Settings, interface: &str) -> Vec<(bool, nix::Result<Listener>)> {
    let addresses = asked_for_on(settings, interface);
    let open = |is_v6: bool| {
        let hears = if is_v6 { Hears::NeighbourDiscovery } else { Hears::Arp };
        (is_v6, Listener::open(interface, hears, &addresses))
    };
    families(&addresses).map(open).gather()
}

/// Opens the sockets on which the neighbours of one interface are heard and asked, each with whether it is
/// for IPv6. They keep little: what a flood brings between two looks is dropped.
pub fn lookouts(settings: &Settings, interface: &str) -> Vec<(bool, nix::Result<Listener>)> {
    let addresses = asked_for_on(settings, interface);
    let open = |is_v6: bool| {
        let hears = if is_v6 { Hears::AnyNeighbourDiscovery } else { Hears::AnyArp };
        let listener = Listener::open(interface, hears, &[]);
        if let Ok(listener) = &listener {
            let _ = setsockopt(&listener.socket, RcvBuf, &LOOKOUT_BYTES);
        }
        (is_v6, listener)
    };
    families(&addresses).map(open).gather()
}

/// Of which families these addresses are: whether of IPv6.
fn families(addresses: &[IpAddr]) -> impl Iterator<Item = bool> {
    [false, true].into_iter().filter(|is_v6| addresses.iter().any(|ip| ip.is_ipv6() == *is_v6))
}

/// Room of a socket on which neighbours are heard: some ten frames, with what the kernel keeps for each.
const LOOKOUT_BYTES: usize = 8_192;

/// Every address that a probe may ask for on an interface.
fn asked_for_on(settings: &Settings, interface: &str) -> Vec<IpAddr> {
    let ours = settings.groups.iter().flat_map(|group| &group.addresses);
    let ours = ours.filter(|address| address.interface == interface).map(|address| address.ip);
    let peers = settings.paths.iter().filter_map(|path| match &path.device {
        PathDevice::Lan { interface: lan, peer, .. } if lan == interface => Some(*peer),
        PathDevice::Lan { .. } | PathDevice::Serial { .. } => None,
    });
    ours.chain(peers).gather()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::unistd::read;

    use super::*;
    use crate::agent::probe_replies;
    use crate::clock::now;
    use crate::guard::kernel::addresses::Addresses;
    use crate::guard::testing::{Stranger, address, in_namespace, settings};
    use crate::settings::Vmac;
    use crosswire::time::Span;

    /// What a listener of `near` hears until it has heard of `last`, and a quarter of a second later, without
    /// repeats.
    fn answers((_, listener): &(bool, nix::Result<Listener>), last: Option<&str>) -> Vec<String> {
        let listener = listener.as_ref().expect("a listener");
        let mut ips: Vec<String> = Vec::new();
        let mut frame = [0; 2_048];
        loop {
            let is_complete = last.is_none_or(|last| ips.iter().any(|ip| ip == last));
            let wait_ms: u16 = if is_complete { 250 } else { 30_000 };
            if poll(
                &mut [PollFd::new(listener.socket.as_fd(), PollFlags::POLLIN)],
                PollTimeout::from(wait_ms),
            ) != Ok(1)
            {
                ips.dedup();
                return ips;
            }
            let length = read(&listener.socket, &mut frame).expect("a frame");
            ips.extend(
                probe_replies::parse(&frame[..length], listener.mac).map(|answer| answer.ip.to_string()),
            );
        }
    }

    #[test]
    fn a_kernel_that_holds_the_addresses_answers_and_one_that_does_not_is_silent() {
        in_namespace(|| {
            let settings = settings("near", &["10.9.0.100/24@near", "fd00::100/64@near"]);
            let stranger = Stranger::behind("near");
            let group = &settings.groups[0];
            let listeners = listeners(&settings, "near");
            let sender = Sender::open().expect("a sender");
            let families: Vec<bool> = listeners.iter().map(|(is_v6, _)| *is_v6).collect();
            assert_eq!(families, [false, true]);
            assert_eq!(send(&sender, &settings, &group.addresses), Ok(()));
            assert_eq!(answers(&listeners[0], Some("10.9.0.2")), ["10.9.0.2"], "only the peer itself");
            assert_eq!(answers(&listeners[1], None), Vec::<String>::new());
            let theirs = ["10.9.0.100/24@far", "fd00::100/64@far"].map(address);
            stranger.run(move || {
                let mut addresses = Addresses::open(Span::from_s(5)).expect("a socket");
                addresses.add(&theirs, now() + Span::from_s(1)).expect("added");
                // The kernel joins the group of a new IPv6 address, and answers for it, a moment later.
                std::thread::sleep(Duration::from_millis(300));
            });
            assert_eq!(send(&sender, &settings, &group.addresses), Ok(()));
            let v4 = answers(&listeners[0], Some("10.9.0.2"));
            assert_eq!(v4, ["10.9.0.100", "10.9.0.2"], "the peer itself after its IPv4 VIP");
            assert_eq!(answers(&listeners[1], Some("fd00::100")), ["fd00::100"]);
        });
    }

    /// A macvlan that is handed nothing of what is for everybody, as on a box that has no time for it.
    #[test]
    fn a_shared_hardware_address_is_asked_by_itself_too() {
        const MACVLAN: &str = "ip link add cw0 link far address 02:00:5e:00:01:33 type macvlan mode bridge \
            bcqueuelen 0 && ip address add 10.9.0.100/24 dev cw0 && ip link set cw0 up && \
            ip address add fd00::100/64 dev cw0 nodad && \
            echo 1 >/proc/sys/net/ipv4/conf/far/arp_ignore && echo 2 >/proc/sys/net/ipv4/conf/cw0/rp_filter";
        in_namespace(|| {
            let stranger = Stranger::behind("near");
            stranger.run(|| {
                let made = std::process::Command::new("sh").args(["-c", MACVLAN]).status().expect("a shell");
                assert!(made.success(), "a macvlan");
            });
            let settings = settings("near", &["10.9.0.100/24@near", "fd00::100/64@near"]);
            let listeners = listeners(&settings, "near");
            let sender = Sender::open().expect("a sender");
            for (plain, listener) in settings.groups[0].addresses.iter().zip(&listeners) {
                let ip = plain.ip.to_string();
                assert_eq!(ask_for(&sender, plain), Ok(()));
                assert_eq!(answers(listener, None), Vec::<String>::new(), "{ip}: it is not heard");
                let vmac = Some(Vmac::new(Some([2, 0, 0x5e, 0, 1, 0x33]), "lab", "gateway", "near"));
                assert_eq!(ask_for(&sender, &VirtualAddress { vmac, ..plain.clone() }), Ok(()));
                assert_eq!(answers(listener, Some(&ip)), [ip]);
            }
        });
    }

    #[test]
    fn a_probe_that_cannot_ask_for_the_group_fails() {
        in_namespace(|| {
            let settings = settings("near", &["10.9.0.100/24@near"]);
            let sender = Sender::open().expect("a sender");
            assert_eq!(send(&sender, &settings, &settings.groups[0].addresses), Err(Fault::NoInterface));
            assert_eq!(
                send(&sender, &settings, &[address("127.0.0.9/8@lo")]),
                Ok(()),
                "nobody can answer there"
            );
        });
    }
}
