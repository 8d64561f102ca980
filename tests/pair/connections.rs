//! The recipe of connections that outlive the move: one through NAT, with conntrackd told by `before`.
//!
//! Debian's conntrackd, nftables and iproute2 are needed; `.ci/run machine` installs them.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};

use crate::dhcp::{Running, script};
use crate::lab::clock::now;
use crate::lab::executable::write_executable;
use crate::lab::namespace::Namespace;
use crate::lab::setup::{GROUP, NODE_NAMES, Setup, VIP, node_address};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

const EXAMPLE: &str = "/usr/share/doc/conntrackd/examples/sync/primary-backup.sh";
const NEEDED: [&str; 4] = ["/usr/sbin/conntrackd", "/usr/sbin/nft", "/sbin/ip", EXAMPLE];
const BOTH: [Side; 2] = [Side::A, Side::B];
/// The source that the server sees, and the server behind its router's address.
const OUTSIDE: &str = "10.78.0.100";
const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 78, 0, 9));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 9));
/// Longest pause of a stream: a handover; a power cut, with the pause of TCP that has doubled meanwhile.
const HANDOVER_MS: u64 = 400;
const POWER_CUT_MS: u64 = 1_700;

/// What comes on a connection while the other end sends on and on.
struct Stream {
    received: Arc<Mutex<Vec<Instant>>>,
    client: TcpStream,
}

impl Stream {
    fn open(scene: &Scene, server: &Namespace) -> Self {
        let to = SocketAddr::new(SERVER, 9_000);
        let listening = server.run_in(|| TcpListener::bind(to)).expect("a thread").expect("a port");
        let client = scene.client().run_in(|| TcpStream::connect(to)).expect("a thread").expect("connected");
        let (mut sending, _) = listening.accept().expect("a client");
        thread::spawn(move || {
            // It ends when the client has closed its end.
            while sending.write_all(&[b'x'; 64]).is_ok() {
                thread::sleep(ms(5));
            }
        });
        let received = Arc::new(Mutex::new(Vec::new()));
        let (mut reading, noted) = (client.try_clone().expect("a copy"), Arc::clone(&received));
        thread::spawn(move || {
            let mut room = [0; 4_096];
            loop {
                match reading.read(&mut room) {
                    Ok(1..) => noted.lock().expect("no panic").push(now()),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => return,
                }
            }
        });
        Self { received, client }
    }

    fn received(&self) -> Vec<Instant> {
        self.received.lock().expect("no panic").clone()
    }

    /// Waits until it has gone on for half a second after that; the longest pause since.
    fn pause_since(&self, scene: &Scene, since: Instant, served: Instant) -> Span {
        let lives = |_: &Scene| self.received().last().is_some_and(|at| *at > served + Span::from_ms(500));
        scene.expect_soon("a connection that lives", PATIENCE, lives);
        let received = self.received();
        let pairs = received.windows(2).filter(|pair| pair[1] > since);
        pairs.map(|pair| pair[1].since(pair[0])).max().unwrap_or(Span::ZERO)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // One that is reset is closed.
        let _ = self.client.shutdown(std::net::Shutdown::Both);
    }
}

/// Starts a node's conntrackd, whose script is told its role.
fn start_conntrackd(scene: &Scene, place: &Path, side: Side) -> Running {
    let at = place.join(NODE_NAMES[side.index()]);
    fs::create_dir(&at).expect("a directory");
    let (file, directory) = (at.join("conntrackd.conf"), at.display());
    let text = format!(
        "Sync {{\n Mode FTFW {{ }}\n UDP {{\n IPv4_address {}\n IPv4_Destination_Address {}\n Port 3780\n \
         Interface eth0\n Checksum on\n }}\n}}\nGeneral {{\n LogFile {directory}/log\n \
         LockFile {directory}/lock\n \
         UNIX {{ Path {directory}/ctl }}\n Filter From Userspace {{ Protocol Accept {{ TCP }} Address Ignore \
         {{ IPv4_address 127.0.0.1 }} }}\n}}\n",
        node_address(side, 0),
        node_address(side.peer(), 0)
    );
    fs::write(&file, text).expect("a configuration");
    let example = fs::read_to_string(EXAMPLE).expect("the example");
    let example = example
        .replace("/etc/conntrackd/conntrackd.conf", &file.display().to_string())
        .replace("/var/lock/conntrack.lock", &at.join("lock").display().to_string());
    write_executable(&at.join("primary-backup.sh"), &example);
    let mut command = Command::new(NEEDED[0]);
    command.arg("-C").arg(&file);
    Running::start(scene, scene.namespace(side), command)
}

/// Makes a node route, and its NAT, with a service address as the source.
fn make_gateway(scene: &Scene, side: Side) {
    for line in [
        "echo 1 >/proc/sys/net/ipv4/ip_forward".to_owned(),
        format!("/sbin/ip route add {SERVER} via {ROUTER}"),
        "/usr/sbin/nft add table ip nat".to_owned(),
        "/usr/sbin/nft add chain ip nat post '{ type nat hook postrouting priority 100; }'".to_owned(),
        format!("/usr/sbin/nft add rule ip nat post oifname eth1 snat to {OUTSIDE}"),
    ] {
        scene.at_node(side, &line);
    }
}

/// A server behind a router outside, and the client's way to it through the pair.
fn make_server(scene: &Scene) -> Namespace {
    let server = Namespace::new("server").expect("a namespace");
    let port = scene.switch().plug(&server, "eth0", 1).expect("plugged in");
    let index = scene.switch().node_interface(port);
    for (ip, prefix) in [(ROUTER, 24), (SERVER, 32)] {
        server.rtnl().add_address(index, ip, prefix, None).expect("added");
    }
    let said = scene.at_client(&["sh", "-c", &format!("/sbin/ip route add {SERVER} via {VIP}")]);
    assert_eq!(said.code, Some(0), "{said:?}");
    server
}

/// Operator: a handover; then the active node loses its power. Required: a connection through the pair's NAT
/// goes on, without a reset.
#[test]
fn a_connection_through_nat_outlives_the_move() {
    if !testing::has_tools(&NEEDED) {
        return;
    }
    testing::in_fair_lab(|| {
        let place = tempfile::tempdir().expect("a directory");
        let role = place.path().join("role");
        let own = format!("{}/$CROSSWIRE_NODE/", place.path().display());
        write_executable(&role, &script("/usr/local/sbin/conntrackd-role").replace("/etc/conntrackd/", &own));
        let mut scene = Scene::new(Setup {
            second_lan: true,
            addresses: vec![format!("{VIP}/24@eth0"), format!("{OUTSIDE}/24@eth1")],
            more: format!("before = [\"exec:{}\"]\nsafety = \"probe\"", role.display()),
            ..Setup::default()
        });
        let server = make_server(&scene);
        let _conntrackd = BOTH.map(|side| start_conntrackd(&scene, place.path(), side));
        for side in BOTH {
            make_gateway(&scene, side);
            scene.begin(side);
        }
        scene.settle(Side::A);
        let stream = Stream::open(&scene, &server);
        stream.pause_since(&scene, now(), now());
        let moved = now();
        assert_eq!(scene.say(Side::A, &["handover", GROUP]).code, Some(0));
        let (_, served) = scene.wait_for_service_by(Side::B);
        let pause = stream.pause_since(&scene, moved, served);
        println!("NAT: handover, the stream paused for {pause}");
        assert!(pause <= at_most(HANDOVER_MS), "{pause}");
        let cut = scene.power_cut(Side::B).expect("its processes die");
        let (_, served) = scene.wait_for_service_by(Side::A);
        let pause = stream.pause_since(&scene, cut, served);
        println!("NAT: power cut, the stream paused for {pause}");
        assert!(pause <= at_most(POWER_CUT_MS), "{pause}");
        scene.assert_never_both();
    });
}
