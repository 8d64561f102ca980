//! Rows 22 and 23, and the fence: an address that somebody takes away or has, and a peer of which nobody can
//! be sure.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::socket::{MsgFlags, recv, send};

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::executable::write_executable;
use crate::lab::ledger::Hold;
use crate::lab::namespace::Namespace;
use crate::lab::packet::open_packet_socket;
use crate::lab::setup::{GROUP, PREFIX, Setup, VIP, node_address};
use crate::lab::switch::{PortRules, Rule};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

const BOTH: [Side; 2] = [Side::A, Side::B];
/// How long is watched that nothing happens: four times dead_after and lease.
const WATCHED_MS: u64 = 6_000;
/// A hardware address that nobody else has.
const STRANGER: [u8; 6] = [0x02, 0xde, 0xad, 0xbe, 0xef, 0x01];
const STRANGER_TEXT: &str = "02:de:ad:be:ef:01";
/// Below late_after.
const LATE_ANNOUNCEMENT_MS: u64 = 150;

/// Fault: the service address is deleted by hand on the active node.
/// Required: it is back with the next order; no move.
#[test]
fn row_22_address_deleted_by_hand() {
    testing::in_lab(|| {
        let scene = Scene::serving();
        let start = now();
        scene
            .namespace(Side::A)
            .rtnl()
            .delete_address(scene.interface(Side::A), VIP, PREFIX)
            .expect("deleted");
        let back = scene.expect_soon("the address", PATIENCE, |scene| {
            scene.holds().len() == 2 && scene.holder().expect("the observer lost nothing") == Some(Side::A)
        });
        println!("row 22: back after {}", back.since(start));
        assert!(back.since(start) <= at_most(500), "back only after {}", back.since(start));
        thread::sleep(ms(1_500));
        assert!(scene.holds().iter().all(|hold| hold.side == Side::A), "no move: {:?}", scene.holds());
        scene.settle(Side::A);
        scene.assert_never_both();
    });
}

/// Fault: the interface of the active node is flushed: its own address goes too, and comes back after a
/// second. Required: the service address is back with the next order or at the peer; never both; at the end
/// the pair is at rest.
#[test]
fn row_22_interface_flushed() {
    testing::in_lab(|| {
        let scene = Scene::serving();
        let (rtnl, interface) = (scene.namespace(Side::A).rtnl(), scene.interface(Side::A));
        for ip in [VIP, node_address(Side::A, 0)] {
            rtnl.delete_address(interface, ip, PREFIX).expect("deleted");
        }
        thread::sleep(ms(1_000));
        rtnl.add_address(interface, node_address(Side::A, 0), PREFIX, None).expect("its own address is back");
        scene.wait_for(Wanted::One, PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        scene.expect_soon("a pair without jeopardy", PATIENCE, |scene| {
            !BOTH.iter().any(|s| scene.is_in_jeopardy(*s))
        });
        let holder = scene.holder().expect("the observer lost nothing").expect("one of them");
        scene.settle(holder);
        scene.assert_never_both();
    });
}

/// Fault: the interface of the active node is destroyed, and made anew after two seconds with another index
/// and another hardware address, as when a USB adapter is pulled and plugged in again; its own address comes
/// with it. Required: the peer serves, told by cable; never both; at the end the pair is at rest, on both
/// paths.
#[test]
fn row_22_interface_destroyed_and_made_anew() {
    testing::in_lab(|| {
        let scene = Scene::serving();
        let start = now();
        scene.namespace(Side::A).rtnl().delete_link(scene.interface(Side::A)).expect("destroyed");
        let (held, _) = scene.wait_for_service_by(Side::B);
        println!("row 22: the peer serves {} after the interface went", held.since(start));
        assert!(held.since(start) <= at_most(500), "only after {}", held.since(start));
        thread::sleep(ms(2_000));
        let port = scene.switch().plug(scene.namespace(Side::A), "eth0", 0).expect("made anew");
        let index = scene.switch().node_interface(port);
        let rtnl = scene.namespace(Side::A).rtnl();
        rtnl.add_address(index, node_address(Side::A, 0), PREFIX, None).expect("its own address");
        scene.settle(Side::B);
        let said = scene.say(Side::A, &["takeover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.settle(Side::A);
        scene.assert_never_both();
    });
}

/// Where an ARP frame has what (RFC 826 behind an Ethernet header).
const ARP_TYPE: Range<usize> = 12..14;
const ARP_OPERATION: usize = 21;
const ARP_SENDER: Range<usize> = 22..28;
const ARP_SENDER_IP: Range<usize> = 28..32;
const ARP_TARGET_IP: Range<usize> = 38..42;

/// A gratuitous ARP request: 'I, the stranger, am the service address' (RFC 5227 section 3).
fn claim() -> Vec<u8> {
    let std::net::IpAddr::V4(vip) = VIP else { unreachable!("the laboratory has an IPv4 address") };
    let arp = [0, 1, 8, 0, 6, 4, 0, 1];
    [&[0xff; 6][..], &STRANGER, &[8, 6], &arp, &STRANGER, &vip.octets(), &[0; 6], &vip.octets()].concat()
}

/// Lets an interface send a frame.
fn send_from(namespace: &Namespace, interface: u32, frame: &[u8]) {
    let sent = namespace.run_in(|| {
        let socket = open_packet_socket(interface).expect("a socket");
        send(socket.as_raw_fd(), frame, MsgFlags::empty())
    });
    sent.expect("the namespace").expect("sent");
}

/// What the client's kernel takes for the hardware address of the service address.
fn neighbour_at_client(scene: &Scene) -> Option<String> {
    let table = scene.client().run_in(|| fs::read_to_string("/proc/thread-self/net/arp"));
    let table = table.expect("the client's namespace").expect("a table");
    let vip = VIP.to_string();
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(&vip))?;
    line.split_whitespace().nth(3).map(str::to_owned)
}

/// The operations (1 request, 2 reply) of the ARP frames by which another one than the stranger claims the
/// service address.
fn operations_heard(socket: &OwnedFd) -> BTreeSet<u8> {
    let claim = claim();
    let (mut operations, mut frame) = (BTreeSet::new(), [0; 2_048]);
    while let Ok(length) = recv(socket.as_raw_fd(), &mut frame, MsgFlags::empty()) {
        // Its type, its sender's and its target's protocol address.
        let is_about_vip =
            [ARP_TYPE, ARP_SENDER_IP, ARP_TARGET_IP].into_iter().all(|at| frame[at.clone()] == claim[at]);
        if length >= claim.len() && is_about_vip && frame[ARP_SENDER] != STRANGER {
            operations.insert(frame[ARP_OPERATION]);
        }
    }
    operations
}

fn foreign_mac(scene: &Scene, side: Side) -> Option<String> {
    scene.status(side)["groups"][0]["foreign_mac"].as_str().map(str::to_owned)
}

/// Fault: a stranger holds the service address when the pair starts, and goes later. Required: no fight:
/// neither node takes it; alarm with its MAC in log, status and `why`; once it is gone, one serves.
#[test]
fn row_23_a_stranger_holds_the_address_at_the_start() {
    testing::in_lab(|| {
        let mut scene = Scene::new(Setup::default());
        let index = scene.switch().node_interface(scene.client_port(0));
        scene.client().rtnl().add_address(index, VIP, PREFIX, None).expect("the stranger has it");
        for side in BOTH {
            scene.begin(side);
        }
        let named = |scene: &Scene| BOTH.iter().find_map(|side| foreign_mac(scene, *side));
        scene.expect_soon("an alarm", PATIENCE, |scene| {
            BOTH.iter().all(|side| scene.try_status(*side).is_some()) && named(scene).is_some()
        });
        let mac = named(&scene).expect("just seen");
        let alarmed = BOTH.into_iter().find(|side| foreign_mac(&scene, *side).is_some()).expect("just seen");
        assert!(scene.log_of(alarmed).contains("not taking it: somebody answers for an address of it"));
        assert!(scene.log_of(alarmed).contains(&format!("{mac} answers for an address of it")));
        assert!(scene.say(alarmed, &["status"]).text.contains(&format!("{mac} CLAIMS an address of it")));
        assert!(scene.say(alarmed, &["why"]).text.contains(&format!("{mac} answers for an address of it")));
        thread::sleep(ms(WATCHED_MS));
        assert_eq!(scene.holds(), [], "neither fights");
        scene.client().rtnl().delete_address(index, VIP, PREFIX).expect("the stranger goes");
        scene.wait_for(Wanted::One, PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        scene.assert_never_both();
    });
}

/// Fault: the active node loses its power, and a stranger has the service address by then.
/// Required: no takeover by blind fight: alarm with its MAC.
#[test]
fn row_23_a_stranger_holds_the_address_after_a_power_cut() {
    testing::in_lab(|| {
        let mut scene = Scene::serving();
        let index = scene.switch().node_interface(scene.client_port(0));
        scene.client().rtnl().add_address(index, VIP, PREFIX, None).expect("the stranger has it");
        scene.power_cut(Side::A).expect("its processes die");
        scene.expect_soon("an alarm", PATIENCE, |scene| foreign_mac(scene, Side::B).is_some());
        thread::sleep(ms(WATCHED_MS));
        assert!(scene.holds().iter().all(|hold| hold.side == Side::A), "{:?}", scene.holds());
        let mac = foreign_mac(&scene, Side::B).expect("still");
        assert!(scene.log_of(Side::B).contains(&format!("{mac} answers for an address of it")));
        scene.client().rtnl().delete_address(index, VIP, PREFIX).expect("the stranger goes");
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        scene.assert_never_both();
    });
}

/// Fault: a stranger on another port of the switch claims the service address while it is served. Required:
/// no move; alarm with its MAC on both nodes, which say what it would do to a takeover; the neighbours are
/// told again at once, in both forms of ARP: the client, which had believed the stranger, knows the active
/// node again within a second.
#[test]
fn row_23_a_stranger_claims_the_address_that_is_served() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let namespace = Namespace::new("stranger").expect("a namespace");
        let port = scene.switch().plug(&namespace, "eth0", 0).expect("another port");
        // The bursts of the takeover itself must not pass for the answer.
        thread::sleep(ms(3_000));
        let right = neighbour_at_client(&scene).expect("it is served");
        // What the active node says arrives late, or nobody could see that the client was deceived.
        let delay = ms(LATE_ANNOUNCEMENT_MS);
        let late = PortRules { from_node: Rule { delay, ..Rule::default() }, ..PortRules::default() };
        scene.set_lan(Side::A, late);
        thread::sleep(delay * 2);
        let interface = scene.switch().node_interface(scene.client_port(0));
        let heard =
            scene.client().run_in(|| open_packet_socket(interface)).expect("a namespace").expect("a socket");
        let start = now();
        send_from(&namespace, scene.switch().node_interface(port), &claim());
        scene.expect_soon("a client that is deceived", ms(LATE_ANNOUNCEMENT_MS), |scene| {
            neighbour_at_client(scene).as_deref() == Some(STRANGER_TEXT)
        });
        let again = scene.expect_soon("a client that is put right", PATIENCE, |scene| {
            neighbour_at_client(scene).as_deref() == Some(&right)
        });
        println!("row 23: put right {} after the claim", again.since(start));
        assert!(again.since(start) <= Span::from_s(1), "only {} after the claim", again.since(start));
        scene.expect_soon("an alarm", PATIENCE, |scene| {
            foreign_mac(scene, Side::A).as_deref() == Some(STRANGER_TEXT)
        });
        let alarm = format!("{STRANGER_TEXT} claims an address of it, which is served here");
        assert!(scene.log_of(Side::A).contains(&alarm));
        thread::sleep(ms(1_500));
        assert_eq!(operations_heard(&heard), BTreeSet::from([1, 2]), "request and reply");
        let told = scene.status(Side::A)["assessment"].clone();
        assert_eq!((&told["code"], &told["reason"]), (&4.into(), &"foreign_claim".into()), "{told}");
        // The node that would not take over from gw1 as long as the stranger is there says so beforehand.
        assert_eq!(foreign_mac(&scene, Side::B).as_deref(), Some(STRANGER_TEXT));
        let told = scene.status(Side::B)["assessment"].clone();
        assert_eq!((&told["code"], &told["reason"]), (&4.into(), &"foreign_claim".into()), "{told}");
        for side in BOTH {
            let text = scene.say(side, &["status"]).text;
            assert!(
                text.contains("gw1       NOBODY SERVES: somebody answers for an address of it"),
                "{text}"
            );
        }
        assert!(
            matches!(scene.holds()[..], [Hold { side: Side::A, until: None, .. }]),
            "no move: {:?}",
            scene.holds()
        );
        scene.assert_outage_below(Span::from_s(1), start);
        scene.assert_never_both();
    });
}

/// A fence agent made of shell.
pub fn fence_script(dir: &Path, body: &str) -> PathBuf {
    let path = dir.join("fence");
    write_executable(&path, &format!("#!/bin/sh\ncd {}\n{body}\n", dir.display()));
    path
}

/// A group that is taken only after that fence.
pub fn with_fence(program: &Path) -> Setup {
    let fence = format!(
        "[fence]\nmethod = \"exec\"\nprogram = {:?}\noptions = [\"plug=x\"]\naction = \"off\"",
        program.display().to_string()
    );
    Setup { more: format!("safety = \"fence\"\n\n{fence}"), ..Setup::default() }
}

/// Fault: both paths are cut at once and both nodes live; the group wants a fence, which cuts the active
/// node's power. Required: the fence comes first, then the takeover; overlap 0; recorded.
#[test]
fn a_fence_that_cuts_the_power_is_followed_by_a_takeover() {
    testing::in_lab(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let body = "cat > asked.new; mv asked.new asked; while [ ! -e cut ]; do sleep 0.05; done";
        // Neighbours would show the active node that it is the one that is cut off.
        let quorum = "neighbours = false\n".to_owned();
        let setup = Setup { quorum, ..with_fence(&fence_script(dir.path(), body)) };
        let mut scene = Scene::serving_with(setup);
        let said = scene.say(Side::B, &["status"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scene.cable().cut();
        scene.set_lan(Side::A, PortRules::silent());
        scene.expect_soon("the fence", PATIENCE, |_| dir.path().join("asked").exists());
        let asked = std::fs::read_to_string(dir.path().join("asked")).expect("written");
        assert_eq!(asked, "action=off\nnodename=gw1\nplug=x\n");
        thread::sleep(ms(3_000));
        assert_eq!(
            scene.holder().expect("the observer lost nothing"),
            Some(Side::A),
            "not before it is confirmed"
        );
        scene.power_cut(Side::A).expect("its processes die");
        std::fs::write(dir.path().join("cut"), "").expect("written");
        scene.wait_for_service_by(Side::B);
        scene.assert_never_both();
        let why = scene.say(Side::B, &["why"]).text;
        assert!(
            why.contains("fencing gw1") && why.contains("the fence is confirmed: gw1 holds nothing"),
            "{why}"
        );
    });
}

/// Fault: as above, but the fence refuses.
/// Required: never a takeover; said in log, status and `why`.
#[test]
fn a_fence_that_refuses_is_never_followed_by_a_takeover() {
    testing::in_lab(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let quorum = "neighbours = false\n".to_owned();
        let fence = with_fence(&fence_script(dir.path(), "echo x >> runs; exit 1"));
        let scene = Scene::serving_with(Setup { quorum, ..fence });
        scene.cable().cut();
        scene.set_lan(Side::A, PortRules::silent());
        let failed = "the fence of gw1 could not be confirmed";
        scene.expect_soon("the refusal", PATIENCE, |scene| scene.log_of(Side::B).contains(failed));
        thread::sleep(ms(WATCHED_MS));
        assert_eq!(scene.holds().len(), 1, "{:?}", scene.holds());
        assert_eq!(scene.holder().expect("the observer lost nothing"), Some(Side::A));
        assert!(scene.say(Side::B, &["status"]).text.contains(failed));
        assert!(scene.say(Side::B, &["why"]).text.contains(failed));
        assert_eq!(
            std::fs::read_to_string(dir.path().join("runs")).expect("written"),
            "x\n",
            "not again and again"
        );
        scene.heal().expect("mended");
        scene.settle(Side::A);
        assert_eq!(scene.holds().len(), 1, "{GROUP}: {:?}", scene.holds());
        scene.assert_never_both();
    });
}
