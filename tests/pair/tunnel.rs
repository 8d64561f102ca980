//! The recipe of WireGuard on the node that serves, with its implementation outside of the kernel.
//!
//! Debian's wireguard-go and wireguard-tools are needed, which `.ci/run machine` does not install, and
//! /dev/net/tun.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

use crosswire::pair::Side;
use crosswire::time::Span;

use crate::dhcp::Running;
use crate::lab::clock::now;
use crate::lab::executable::write_executable;
use crate::lab::ping::Ping;
use crate::lab::setup::{CLIENT, GROUP, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms, run};

/// The pair's end of the tunnel, whoever serves.
const INNER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
/// Where the peer listens.
const PEER_PORT: u16 = 51821;
/// A peer begins anew when it has sent for so long without an answer: KEEPALIVE_TIMEOUT and REKEY_TIMEOUT of
/// WireGuard.
const GIVES_UP_AFTER: Span = Span::from_s(15);
/// The pair's end begins anew as soon as it is up, and the kernel's neighbours may have to be asked.
const BEGINS_WITHIN: Span = Span::from_s(1);
const SLACK: Span = Span::from_s(3);

/// What the group runs. The control sockets of all namespaces lie in one directory here, so each node's
/// interface has a name of its own.
const SCRIPT: &str = r#"#!/bin/sh
name=wg-$CROSSWIRE_NODE
case "$1" in
start)
    wireguard-go $name && /sbin/ip address add 10.99.0.1/24 dev $name && ip link set $name up &&
    wg set $name listen-port 51820 private-key PLACE/pair.key peer PEER ;;
stop) /sbin/ip link del $name 2>/dev/null; exit 0 ;;
*) exit 3 ;;
esac
"#;

/// Makes a key; its public half.
fn make_key(file: &Path) -> String {
    let line = format!("umask 077; wg genkey >{0} && wg pubkey <{0}", file.display());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &line]);
    run(command).text.trim().to_owned()
}

/// A handover, then a power cut of the active node; how long a peer waited for each. The pair's end is told
/// of that peer what `known` says.
fn outages(known: &str) -> [Span; 2] {
    let place = tempfile::tempdir().expect("a directory");
    let at = |name: &str| place.path().join(name);
    let (pair, peer) = (make_key(&at("pair.key")), make_key(&at("peer.key")));
    let script = SCRIPT.replace("PLACE", &place.path().display().to_string());
    let told = format!("{peer} allowed-ips 10.99.0.2/32 {known}");
    write_executable(&at("tunnel"), &script.replace("PEER", &told));
    let mut scene = Scene::serving_with(Setup {
        scripts: vec![format!("exec:{}", at("tunnel").display())],
        more: "safety = \"probe\"".to_owned(),
        ..Setup::default()
    });
    let name = format!("wg-{}", std::process::id() % 100_000);
    let socket = format!("/var/run/wireguard/{name}.sock");
    // That of an earlier one, if any, answers nobody.
    let _ = fs::remove_file(&socket);
    let mut tunnel = Command::new("/usr/bin/wireguard-go");
    tunnel.args(["-f", &name]);
    let _tunnel = Running::start(&scene, scene.client(), tunnel);
    scene.expect_soon("an interface", PATIENCE, |_| fs::exists(&socket).unwrap_or(false));
    let line = format!(
        "wg set {name} listen-port {PEER_PORT} private-key {} peer {pair} endpoint {VIP}:51820 \
         persistent-keepalive 1 allowed-ips {INNER}/32 && /sbin/ip address add 10.99.0.2/24 dev {name} && \
         ip link set {name} up",
        at("peer.key").display()
    );
    let said = scene.at_client(&["sh", "-c", &line]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let ping = Ping::start(scene.client(), INNER, ms(50)).expect("a client");
    ping.wait_for_answer_after(now(), PATIENCE).expect("a tunnel");
    let waited = |scene: &Scene, since, side| {
        let (held, _) = scene.wait_for_service_by(side);
        ping.wait_for_answer_after(held, PATIENCE).expect("a tunnel");
        ping.longest_gap_since(since).worst()
    };
    let moved = now();
    assert_eq!(scene.say(Side::A, &["handover", GROUP]).code, Some(0));
    let handover = waited(&scene, moved, Side::B);
    let cut = scene.power_cut(Side::B).expect("its processes die");
    let power_cut = waited(&scene, cut, Side::A);
    println!("WireGuard: handover, the peer waited for {handover}; power cut, for {power_cut}");
    [handover, power_cut]
}

/// Operator: a handover; then the active node loses its power. Required: a peer whose place nobody knows is
/// served again as soon as it has given its old session up; one whose place is in the file at once.
#[test]
#[ignore = "needs wireguard-go, which no other test needs; takes a minute"]
fn a_peer_of_wireguard_begins_anew() {
    let needed = ["/usr/bin/wireguard-go", "/usr/bin/wg", "/sbin/ip"];
    if !testing::has_tools(&needed) || !testing::is_allowed("/dev/net/tun") {
        return;
    }
    testing::in_long_lab(ms(120_000), || {
        assert!(outages("").iter().all(|outage| *outage <= GIVES_UP_AFTER + SLACK));
        let known = format!("endpoint {CLIENT}:{PEER_PORT} persistent-keepalive 25");
        assert!(outages(&known).iter().all(|outage| *outage <= BEGINS_WITHIN + SLACK));
    });
}
