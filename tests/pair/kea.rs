//! Recipes beside Kea: leases that two servers tell each other, and a prefix that a provider delegates to
//! whoever serves.
//!
//! Debian's kea-dhcp4-server, kea-dhcp6-server, wide-dhcpv6-client, busybox and iproute2 are needed, which
//! `.ci/run machine` does not install.

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::Command;
use std::thread;

use crosswire::pair::Side;

use crate::dhcp::{Asker, Running, assert_kept_over_moves, place};
use crate::lab::clock::now;
use crate::lab::executable::write_executable;
use crate::lab::namespace::Namespace;
use crate::lab::setup::{NODE_NAMES, Setup, VIP};
use crate::lab::testing;
use crate::scene::{Scene, ms, run};

/// Where Debian has Kea's hooks.
const HOOKS: &str = "/usr/lib/x86_64-linux-gnu/kea/hooks";
const KEA: [&str; 3] = ["/usr/sbin/kea-dhcp4", "/usr/sbin/kea-dhcp6", "/bin/busybox"];

/// Starts one of Kea's servers in a namespace.
fn start_kea(scene: &Scene, namespace: &Namespace, program: &str, configuration: (&Path, &str)) -> Running {
    let (file, text) = configuration;
    fs::write(file, text).expect("a configuration");
    let mut command = Command::new(format!("/usr/sbin/{program}"));
    let directory = file.with_extension("run");
    fs::create_dir_all(&directory).expect("a directory");
    command.arg("-c").arg(file);
    command.env("KEA_PIDFILE_DIR", &directory).env("KEA_LOCKFILE_DIR", &directory);
    Running::start(scene, namespace, command)
}

/// What the node's Kea is told: Kea's mode hot-standby, with gw1 first, as quick as the pair.
fn hot_standby(node: &str) -> String {
    let peer = |name: &str, host: u8, role: &str| {
        format!(r#"{{"name": "{name}", "url": "http://10.77.0.{host}:8001/", "role": "{role}"}}"#)
    };
    let peers = [peer("gw1", 1, "primary"), peer("gw2", 2, "standby")].join(", ");
    let threads = r#"{"enable-multi-threading": true, "http-dedicated-listener": true}"#;
    format!(
        r#"{{"Dhcp4": {{
        "interfaces-config": {{"interfaces": ["eth0"]}},
        "lease-database": {{"type": "memfile", "persist": false}}, "valid-lifetime": 600,
        "multi-threading": {{"enable-multi-threading": true}},
        "hooks-libraries": [{{"library": "{HOOKS}/libdhcp_lease_cmds.so"}},
          {{"library": "{HOOKS}/libdhcp_ha.so", "parameters": {{"high-availability": [{{
            "this-server-name": "{node}", "mode": "hot-standby", "heartbeat-delay": 500,
            "max-response-delay": 2000, "max-ack-delay": 1000, "max-unacked-clients": 0,
            "multi-threading": {threads}, "peers": [{peers}] }}] }} }}],
        "subnet4": [{{"subnet": "10.77.0.0/24", "pools": [{{"pool": "10.77.0.150 - 10.77.0.160"}}],
          "option-data": [{{"name": "routers", "data": "{VIP}"}}] }}] }} }}"#
    )
}

/// Situation: Kea runs on both boxes, outside of the group; the active node loses its power. Required: the
/// client's lease is known to the other server.
#[test]
#[ignore = "needs Kea, which no other test needs"]
fn leases_of_kea_outlive_a_box() {
    if !testing::has_tools(&[KEA[0], KEA[2], &format!("{HOOKS}/libdhcp_ha.so")]) {
        return;
    }
    testing::in_lab(|| {
        let place = place();
        let mut scene = Scene::serving();
        let _servers = [Side::A, Side::B].map(|side| {
            let node = NODE_NAMES[side.index()];
            let file = place.path().join(format!("{node}.conf"));
            start_kea(&scene, scene.namespace(side), "kea-dhcp4", (&file, &hot_standby(node)))
        });
        let client = Asker::start(&scene, place.path(), "eth0", None);
        let first = client.bound(&scene);
        // The first server tells the second one before it answers.
        let cut = scene.power_cut(Side::A).expect("its processes die");
        scene.wait_for_service_by(Side::B);
        thread::sleep(ms(4_000));
        assert_eq!(client.renew(&scene), first);
        println!("Kea: prolonged {} after the power cut", now().since(cut));
    });
}

/// What the provider's Kea is told: it delegates prefixes on the second LAN.
fn delegating() -> String {
    r#"{"Dhcp6": {
        "interfaces-config": {"interfaces": ["eth1"]}, "server-id": {"type": "LL", "persist": false},
        "lease-database": {"type": "memfile", "persist": false},
        "preferred-lifetime": 600, "valid-lifetime": 900,
        "subnet6": [{"subnet": "fd79::/64", "interface": "eth1",
          "pd-pools": [{"prefix": "fd7a::", "prefix-len": 40, "delegated-len": 56}]}] }}"#
        .to_owned()
}

/// The client of the recipe, with the file of the DUID that both boxes have.
const CLIENT: &str = r#"#!/bin/sh
case "$1" in
start) exec unshare --mount sh -c 'mount --bind PLACE/duid /var/lib/dhcpv6 &&
    exec /usr/sbin/dhcp6c -c PLACE/dhcp6c.conf -p "PLACE/$CROSSWIRE_NODE.pid" eth1' ;;
stop)
    # TERM would release the prefix.
    kill -9 "$(cat "PLACE/$CROSSWIRE_NODE.pid")"
    rm -f "PLACE/$CROSSWIRE_NODE.pid"
    /sbin/ip -6 address flush dev eth0 to fd7a::/40 ;;
*) exit 3 ;;
esac
"#;
const DELEGATED: &str =
    "interface eth1 { send ia-pd 1; };\nid-assoc pd 1 { prefix-interface eth0 { sla-id 1; sla-len 8; }; };\n";

/// The first 64 bits of what a node has inside by the delegated prefix, if any.
fn prefix_of(scene: &Scene, side: Side) -> Option<Ipv6Addr> {
    let mut command = Command::new("/sbin/ip");
    command.args(["-6", "-o", "address", "show", "dev", "eth0", "to", "fd7a::/40"]);
    scene.namespace(side).command_in(&mut command).expect("the node's namespace");
    let said = run(command).text;
    let address: Ipv6Addr = said.split_once(" inet6 ")?.1.split_once('/')?.0.parse().ok()?;
    Some(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
}

/// Situation: one client of a provider, on the node that serves; a handover, then the active node loses its
/// power. Required: the same prefix inside, although the hardware addresses differ; the node that does not
/// serve has none.
#[test]
#[ignore = "needs Kea and wide-dhcpv6-client, which no other test needs"]
fn a_delegated_prefix_moves_with_the_group() {
    if !testing::has_tools(&[KEA[1], KEA[2], "/usr/sbin/dhcp6c", "/sbin/ip"]) {
        return;
    }
    testing::in_lab(|| {
        let place = place();
        let at = |name: &str| place.path().join(name);
        write_executable(&at("client"), &CLIENT.replace("PLACE", &place.path().display().to_string()));
        fs::write(at("dhcp6c.conf"), DELEGATED).expect("a configuration");
        fs::create_dir(at("duid")).expect("a directory");
        let mut scene = Scene::new(Setup {
            second_lan: true,
            scripts: vec![format!("exec:{}", at("client").display())],
            more: "safety = \"probe\"".to_owned(),
            ..Setup::default()
        });
        // Kea wants its link-local address to be there.
        thread::sleep(ms(2_500));
        let provider = (at("provider.conf"), delegating());
        let _provider = start_kea(&scene, scene.client(), "kea-dhcp6", (&provider.0, &provider.1));
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        assert_kept_over_moves(&mut scene, "a prefix", prefix_of);
    });
}
