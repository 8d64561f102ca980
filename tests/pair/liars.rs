//! A host on the LAN that lies. It has recorded whatever reached either node, and says it again to both: as
//! it was, for the other node, with a bit changed, and among answers of neighbours that there are not. It may
//! keep a group from being taken or make it move once. It never makes both nodes serve.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use nix::sys::socket::{MsgFlags, recv, send};

use crate::lab::address_log::Wanted;
use crate::lab::clock::{now, span};
use crate::lab::dice::Dice;
use crate::lab::frames::{Mac, destination, is_for_many, source};
use crate::lab::ledger::Hold;
use crate::lab::namespace::Namespace;
use crate::lab::packet::open_packet_socket;
use crate::lab::ping::checksum;
use crate::lab::setup::{CLIENT, Setup, node_address};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::neighbours::{silence_port, wait_until_known};
use crate::scene::{PATIENCE, Scene, at_most, ms};
use crate::votes::Voted;

const SIDES: [Side; 2] = [Side::A, Side::B];
const ETHERNET_HEADER_BYTES: usize = 14;
const IPV4_HEADER_BYTES: usize = 20;
const ARP: [u8; 2] = [8, 6];
const IPV4: [u8; 2] = [8, 0];
/// The newest of what it has recorded at each node.
const FRAMES: usize = 60;
/// Neighbours that there are not.
const INVENTED: u8 = 20;

/// What reached a node, and whom its frames are for.
struct Recording {
    socket: OwnedFd,
    frames: Vec<Vec<u8>>,
    node: Option<(Mac, IpAddr)>,
}

impl Recording {
    fn begin(scene: &Scene, side: Side) -> Self {
        let interface = scene.interface(side);
        let socket = scene.namespace(side).run_in(|| open_packet_socket(interface).expect("a socket"));
        Self { socket: socket.expect("the namespace"), frames: Vec::new(), node: None }
    }

    fn end(&mut self, side: Side) {
        let mut buffer = [0; 2048];
        while let Ok(bytes) = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            self.frames.push(buffer[..bytes].to_vec());
        }
        let mac = self.frames.iter().filter_map(|frame| destination(frame)).find(|mac| !is_for_many(*mac));
        self.node = mac.map(|mac| (mac, node_address(side, 0)));
        self.frames.drain(..self.frames.len().saturating_sub(FRAMES));
        assert!(self.frames.len() > 10, "{} frames reached {side:?}", self.frames.len());
    }

    /// The hardware address from which somebody's IPv4 packets reached the node.
    fn mac_of(&self, ip: IpAddr) -> Mac {
        let mut buffer = [0; 2048];
        while let Ok(bytes) = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            if buffer[12..14] == IPV4 && buffer[26..30] == octets(ip) {
                return source(&buffer[..bytes]).expect("a frame");
            }
        }
        panic!("no packet of {ip}");
    }
}

/// A host with a port of its own.
struct Liar {
    namespace: Namespace,
    interface: u32,
    recordings: [Recording; 2],
}

impl Liar {
    /// It records from here on.
    fn new(scene: &Scene) -> Self {
        let namespace = Namespace::new("liar").expect("a namespace");
        let port = scene.switch().plug(&namespace, "eth0", 0).expect("another port");
        let interface = scene.switch().node_interface(port);
        Self { namespace, interface, recordings: SIDES.map(|side| Recording::begin(scene, side)) }
    }

    /// What it says, once: the recorded, and the invented.
    fn lies(&mut self) -> Vec<Vec<u8>> {
        for side in SIDES {
            self.recordings[side.index()].end(side);
        }
        let mut dice = Dice::new(1);
        let nodes = self.recordings.each_ref().map(|recording| recording.node.expect("a frame for it alone"));
        let mut lies = Vec::new();
        for frame in self.recordings.iter().flat_map(|recording| &recording.frames) {
            lies.push(frame.clone());
            lies.extend(nodes.iter().filter_map(|(mac, ip)| sent_to(frame, *mac, *ip)));
            let mut changed = frame.clone();
            let at = ETHERNET_HEADER_BYTES + dice.roll() as usize % (frame.len() - ETHERNET_HEADER_BYTES);
            changed[at] ^= 1 << (dice.roll() % 8);
            lies.push(changed);
        }
        for host in 0..INVENTED {
            lies.extend(nodes.iter().map(|(mac, ip)| invented_neighbour(host, *mac, *ip)));
        }
        lies
    }

    /// Says something once.
    fn say(&self, lies: &[Vec<u8>]) {
        let interface = self.interface;
        let say = || {
            let socket = open_packet_socket(interface).expect("a socket");
            lies.iter().for_each(|lie| assert!(send(socket.as_raw_fd(), lie, MsgFlags::empty()).is_ok()));
        };
        self.namespace.run_in(say).expect("the namespace");
    }

    /// Says all of it again and again.
    fn lie(&mut self, lasts: Duration) {
        let lies = self.lies();
        let interface = self.interface;
        let end = now() + span(lasts);
        let said = self.namespace.run_in(|| {
            let socket = open_packet_socket(interface).expect("a socket");
            let mut said = 0;
            while now() < end {
                for lie in &lies {
                    said += usize::from(send(socket.as_raw_fd(), lie, MsgFlags::empty()).is_ok());
                }
                // A round of questions takes longer: each finds a lie that comes after it.
                thread::sleep(ms(10));
            }
            said
        });
        println!("{} lies, {} times in all", lies.len(), said.expect("the namespace"));
    }
}

/// The same IPv4 packet for that node; `None` if it is none.
fn sent_to(frame: &[u8], mac: Mac, ip: IpAddr) -> Option<Vec<u8>> {
    let IpAddr::V4(ip) = ip else { return None };
    let mut frame = frame.to_vec();
    if frame.get(12..14)? != IPV4 || frame.len() < ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + 8 {
        return None;
    }
    frame[..6].copy_from_slice(&mac);
    let packet = &mut frame[ETHERNET_HEADER_BYTES..];
    packet[16..20].copy_from_slice(&ip.octets());
    packet[10..12].fill(0);
    let sum = checksum(&packet[..IPV4_HEADER_BYTES]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    // UDP without a checksum (RFC 768).
    if packet[9] == 17 {
        packet[IPV4_HEADER_BYTES + 6..IPV4_HEADER_BYTES + 8].fill(0);
    }
    Some(frame)
}

/// 'Here I am', an ARP reply to a node from a host that there is not.
fn invented_neighbour(host: u8, mac: Mac, ip: IpAddr) -> Vec<u8> {
    let own_mac = [2, 0, 0x5e, 0, 0, host];
    let own_ip = Ipv4Addr::new(10, 77, 0, 200 + host).octets();
    let reply = [0, 1, 8, 0, 6, 4, 0, 2];
    [&mac[..], &own_mac, &ARP, &reply, &own_mac, &own_ip, &mac, &octets(ip)].concat()
}

/// Says to everybody that an address lives at a hardware address, which is not its own.
fn forged_announcement(ip: IpAddr, mac: Mac) -> Vec<u8> {
    let (everybody, own_mac) = ([0xff; 6], [2, 0, 0x5e, 0, 0, 0x66]);
    let request = [0, 1, 8, 0, 6, 4, 0, 1];
    [&everybody[..], &own_mac, &ARP, &request, &mac, &octets(ip), &[0; 6], &octets(ip)].concat()
}

fn octets(ip: IpAddr) -> [u8; 4] {
    let IpAddr::V4(ip) = ip else { unreachable!("the laboratory has IPv4 addresses") };
    ip.octets()
}

/// The active node loses its power. Required: taken over as always.
fn assert_taken_over(mut scene: Scene) {
    let lost = scene.power_cut(Side::A).expect("its processes die");
    let (held, _) = scene.wait_for_service_by(Side::B);
    println!("held after {}", held.since(lost));
    assert!(held.since(lost) <= at_most(600), "held only after {}", held.since(lost));
    scene.assert_never_both();
}

/// Fault: a host says once that the active node's own address lives at the hardware address of the client,
/// the only third party; then the active node loses its power.
/// Required: taken over as always.
#[test]
fn one_forged_frame_takes_no_neighbour_away() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let liar = Liar::new(&scene);
        wait_until_known(&scene);
        thread::sleep(Duration::from_secs(8));
        let active = node_address(Side::A, 0);
        liar.say(&[forged_announcement(active, liar.recordings[Side::A.index()].mac_of(CLIENT))]);
        // The kernel has believed it too, and would send to the client for a while.
        scene.at_node(Side::B, &format!("arp -d {active}"));
        thread::sleep(Duration::from_secs(2));
        assert!(SIDES.into_iter().all(|side| !scene.is_in_jeopardy(side)));
        assert_taken_over(scene);
    });
}

/// Fault: nine hosts were heard, and have left, before the gateway of both nodes was heard, which nobody has
/// asked yet; then the active node loses its power.
/// Required: taken over as always.
#[test]
fn the_gateway_is_asked_however_many_have_left() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::new(Setup::default());
        scene.switch().set(scene.client_port(0), PortRules::silent());
        for side in SIDES {
            scene.at_node(side, &format!("ip route add default via {CLIENT}"));
            scene.begin(side);
        }
        scene.wait_for(Wanted::Only(Side::A), PATIENCE).expect("gw1 serves");
        let left = |host: u8| {
            let ip = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 200 + host));
            forged_announcement(ip, [2, 0, 0x5e, 0, 0, host])
        };
        Liar::new(&scene).say(&(0..9).map(left).collect::<Vec<_>>());
        thread::sleep(Duration::from_secs(1));
        scene.switch().set(scene.client_port(0), PortRules::default());
        scene.settle(Side::A);
        thread::sleep(Duration::from_secs(1));
        assert_taken_over(scene);
    });
}

/// No fault but the liar, who sends as either node and as the client, so that the switch leads their frames
/// to it.
/// Required: nothing moves, and the client is answered once the liar is quiet.
#[test]
fn a_liar_beside_a_pair_at_rest_moves_nothing() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let mut liar = Liar::new(&scene);
        wait_until_known(&scene);
        thread::sleep(Duration::from_secs(2));
        liar.lie(Duration::from_secs(6));
        let quiet = now();
        scene.assert_never_both();
        let held = scene.holds();
        assert!(matches!(held[..], [Hold { side: Side::A, until: None, .. }]), "{held:?}");
        scene.ping().wait_for_answer_after(quiet, PATIENCE).expect("the client is answered");
        scene.expect_soon("both paths", PATIENCE, |scene| {
            SIDES.into_iter().all(|side| !scene.is_in_jeopardy(side))
        });
    });
}

/// Fault: the switch port of the active node goes silent and the cable is cut, and a host on the other side
/// invents neighbours and says again what the active node has said.
/// Required: never both; when it is quiet again the other node serves.
#[test]
fn forged_neighbours_make_no_two_nodes_serve() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let mut liar = Liar::new(&scene);
        wait_until_known(&scene);
        thread::sleep(Duration::from_secs(2));
        silence_port(&scene, Side::A);
        scene.cable().cut();
        liar.lie(Duration::from_secs(6));
        scene.assert_never_both();
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).expect("gw2 serves");
        scene.assert_never_both();
        assert!(scene.log_of(Side::A).contains("no neighbour answers"), "{}", scene.log_of(Side::A));
    });
}

/// Fault: nothing passes between the nodes, the witness that both ping is gone, and a host says its echo
/// replies again.
/// Required: they prove nothing. The active node lets go, the other one takes nothing.
#[test]
fn forged_echo_replies_make_no_two_nodes_serve() {
    testing::in_fair_lab(|| {
        let quorum = format!("neighbours = false\nwitness = [\"{CLIENT}\"]\n");
        let scene = Scene::serving_with(Setup { quorum, ..Setup::default() });
        let mut liar = Liar::new(&scene);
        // The witness is asked often while a path is late.
        scene.cable().cut();
        thread::sleep(Duration::from_secs(2));
        scene.cable().heal();
        thread::sleep(Duration::from_secs(2));
        scene.part();
        scene.switch().set(scene.client_port(0), PortRules::silent());
        liar.lie(Duration::from_secs(8));
        scene.assert_never_both();
        let held = scene.holds();
        assert!(held.iter().all(|hold| hold.until.is_some()), "nobody serves: {held:?}");
        let why = scene.say(Side::B, &["why"]).text;
        assert!(why.contains("it may be this node that is cut off"), "{why}");
    });
}

/// Fault: nothing passes between the nodes, the voting witness has died, and a host says its replies again,
/// those to each node also to the other one.
/// Required: they grant nothing to anybody.
#[test]
fn forged_votes_make_no_two_nodes_serve() {
    testing::in_fair_lab(|| {
        let mut voted = Voted::new(Setup { quorum: "neighbours = false\n".to_owned(), ..Setup::default() });
        let mut liar = Liar::new(&voted.scene);
        // A witness is asked for its grant while a path is broken.
        voted.scene.cable().cut();
        thread::sleep(Duration::from_secs(4));
        voted.scene.cable().heal();
        thread::sleep(Duration::from_secs(2));
        voted.end_witness();
        voted.scene.part();
        liar.lie(Duration::from_secs(10));
        let scene = &voted.scene;
        scene.assert_never_both();
        let held = scene.holds();
        assert!(held.iter().all(|hold| hold.side == Side::A), "{held:?}");
        let why = scene.say(Side::B, &["why"]).text;
        assert!(why.contains("the voting witness has not granted it"), "{why}");
        voted.mend();
        voted.scene.expect_soon("service", PATIENCE, |scene| scene.ping().answering());
        voted.scene.assert_never_both();
    });
}
