//! What an operator wants moved, with the real things: dnsmasq (DHCP and DNS) and busybox httpd by LSB scripts, a mounted
//! directory and a second address by OCF agents, a third address by a script of Heartbeat's resource.d; and a client that
//! keeps its lease, resolves a name and fetches a page.
//!
//! Debian's dnsmasq, busybox, kmod, resource-agents and heartbeat are needed; `.ci/run machine` installs them.

use std::fs;

use crosswire::config::Side;
use tempfile::TempDir;

use crate::lab::executable::write_executable;
use crate::lab::setup::{GROUP, Setup, VIP};
use crate::lab::testing;
use crate::scene::Scene;

const HTTPD: &str = include_str!("../fixtures/services/httpd");
/// What the services are made of.
const NEEDED: [&str; 6] = [
    "/etc/init.d/dnsmasq",
    "/bin/busybox",
    "/sbin/modprobe",
    "/usr/lib/ocf/resource.d/heartbeat/IPaddr2",
    "/usr/lib/ocf/resource.d/heartbeat/Filesystem",
    "/etc/ha.d/resource.d/IPaddr2",
];
/// An address that dnsmasq would not give to the client by itself: only its file of leases says that it is the client's.
const LEASED: &str = "10.77.0.157";
const PAGE: &str = "a page from the shared disk\n";
/// Gives a node's daemon a box of its own: /run, /etc/init.d with httpd, and a configuration of dnsmasq.
const BOX: &str = include_str!("../fixtures/services/box");

/// The files of the services, the same disk for both nodes.
struct Services {
    directory: TempDir,
}

impl Services {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let (disk, www) = (at("disk"), at("www"));
        fs::create_dir(&disk).and_then(|()| fs::create_dir(&www)).expect("directories");
        fs::write(disk.join("index.html"), PAGE).expect("a page");
        fs::write(at("leases"), "").expect("no leases");
        let conf = format!(
            "user=root\nno-resolv\nno-hosts\ninterface=eth0\naddress=/service.lab/{VIP}\ndhcp-authoritative\n\
             dhcp-range=10.77.0.150,10.77.0.160,255.255.255.0,10m\ndhcp-leasefile={}\n",
            at("leases").display()
        );
        fs::write(at("dnsmasq.conf"), conf).expect("a configuration");
        write_executable(&at("httpd"), &HTTPD.replace("DOCUMENTS", &www.display().to_string()));
        write_executable(&at("box"), &BOX.replace("REAL", env!("CARGO_BIN_EXE_crosswire")));
        write_executable(&at("leased"), "#!/bin/sh\n[ \"$1\" != bound ] || echo \"leased $ip\"\n");
        Self { directory }
    }

    fn setup(&self) -> Setup {
        let at = |name: &str| self.directory.path().join(name).display().to_string();
        Setup {
            prefer: Some(Side::A),
            scripts: vec![
                format!(
                    "ocf:heartbeat:Filesystem device={} directory={} fstype=none options=bind",
                    at("disk"),
                    at("www")
                ),
                "ocf:heartbeat:IPaddr2 ip=10.77.0.101 nic=eth0 cidr_netmask=24".into(),
                "ha:IPaddr2::10.77.0.102/24/eth0".into(),
                "lsb:dnsmasq".into(),
                "lsb:httpd".into(),
            ],
            more: "safety = \"probe\"".into(),
            ..Setup::default()
        }
    }

    /// The client asks for everything; `wish` is the address that it asks for, if it has none yet.
    fn assert_served(&self, what: &str, scene: &Scene, wish: Option<&str>) {
        let script = self.directory.path().join("leased").display().to_string();
        let mut dhcp = vec!["udhcpc", "-i", "eth0", "-f", "-n", "-q", "-t", "10", "-T", "2", "-s", &script];
        dhcp.extend(wish.iter().flat_map(|wish| ["-r", *wish]));
        let said = scene.at_client(&dhcp);
        assert!(said.text.contains(&format!("leased {LEASED}")), "{what}: {said:?}");
        let said = scene.at_client(&["nslookup", "-type=a", "service.lab", &VIP.to_string()]);
        assert!(said.text.contains("Name:\tservice.lab"), "{what}: {said:?}");
        for ip in [VIP.to_string().as_str(), "10.77.0.101", "10.77.0.102"] {
            let said = scene.at_client(&["wget", "-O", "-", &format!("http://{ip}/")]);
            assert!(said.code == Some(0) && said.text.contains(PAGE), "{what}: {ip}: {said:?}");
        }
    }
}

/// Operator: handover, the return, then the active node loses power.
/// Required: after each, the client has its lease, resolves the name and gets the page from all three addresses; the two
/// kernels never hold the service address at once.
#[test]
fn real_services_follow_the_address() {
    if !testing::has_tools(&NEEDED) {
        return;
    }
    testing::in_fair_lab(|| {
        let services = Services::new();
        let mut scene = Scene::with_binary(&services.directory.path().join("box"), services.setup());
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        services.assert_served("at first", &scene, Some(LEASED));
        for (what, command, holder) in
            [("after the handover", "handover", Side::B), ("after the return", "takeover", Side::A)]
        {
            let said = scene.say(Side::A, &[command, GROUP]);
            assert_eq!(said.code, Some(0), "{what}: {said:?}");
            scene.settle(holder);
            services.assert_served(what, &scene, None);
        }
        scene.power_cut(Side::A).expect("the power is cut");
        scene.wait_for_service_by(Side::B);
        scene.expect_service_by(Side::B);
        services.assert_served("after the power cut", &scene, None);
        scene.assert_never_both();
    });
}
