//! The pair of the classic two-node HOWTO, from Heartbeat's own files: an alias of IP, and DHCP, DNS, HTTP
//! and FTP on node1, with node2 as its backup; imported, checked, and run with the real services.
//!
//! Debian's dnsmasq, vsftpd, busybox and kmod are needed; `.ci/run machine` installs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crosswire::pair::Side;
use tempfile::TempDir;

use crate::lab::executable::write_executable;
use crate::lab::setup::{Setup, VIP};
use crate::lab::testing;
use crate::scene::{Scene, run};

const HTTPD: &str = include_str!("../fixtures/services/httpd");
const BOX: &str = include_str!("../fixtures/services/box");
const NEEDED: [&str; 4] = ["/etc/init.d/dnsmasq", "/etc/init.d/vsftpd", "/bin/busybox", "/sbin/modprobe"];
const PAGE: &str = "a page of node1 or node2\n";

/// Heartbeat's directory and the files of the services.
struct Howto(TempDir);

impl Howto {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        for name in ["www", "ha.d", "ha.d/resource.d"] {
            fs::create_dir(at(name)).expect("a directory");
        }
        // vsftpd serves nobody from a place that others cannot enter.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("set");
        fs::write(at("www/index.html"), PAGE).expect("a page");
        fs::write(at("leases"), "").expect("no leases");
        let www = at("www").display().to_string();
        let dnsmasq = format!(
            "user=root\nno-resolv\nno-hosts\ninterface=eth0\naddress=/service.lab/{VIP}\ndhcp-authoritative\n\
             dhcp-range=10.77.0.150,10.77.0.160,255.255.255.0,10m\ndhcp-leasefile={}\n",
            at("leases").display()
        );
        let vsftpd = format!(
            "listen=YES\nanonymous_enable=YES\nlocal_enable=NO\nanon_root={www}\nno_anon_password=YES\n\
                run_as_launching_user=YES\n\
             seccomp_sandbox=NO\nisolate_network=NO\nbackground=NO\n"
        );
        fs::write(at("dnsmasq.conf"), dnsmasq)
            .and_then(|()| fs::write(at("vsftpd.conf"), vsftpd))
            .expect("written");
        write_executable(&at("httpd"), &HTTPD.replace("DOCUMENTS", &www));
        write_executable(&at("box"), &BOX.replace("REAL", env!("CARGO_BIN_EXE_crosswire")));
        write_executable(&at("leased"), "#!/bin/sh\n[ \"$1\" != bound ] || echo \"leased $ip\"\n");
        Self(directory)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the HOWTO tells to write, faster than in 1999.
    fn write_ha_d(&self, serial: &Path) {
        let ha_cf = format!(
            "logfacility daemon\nkeepalive 100ms\nwarntime 300ms\ndeadtime 600ms\ninitdead 5\nserial {}\n\
                baud 19200\n\
             udpport 694\nbcast eth0\nauto_failback on\nnode gw1\nnode gw2\n",
            serial.display()
        );
        fs::write(self.at("ha.d/ha.cf"), ha_cf).expect("written");
        fs::write(self.at("ha.d/haresources"), format!("gw1 {VIP} dnsmasq httpd vsftpd\n")).expect("written");
        fs::write(self.at("ha.d/authkeys"), "auth 1\n1 sha1 not-a-real-secret\n").expect("written");
    }

    /// DHCP, DNS, HTTP and FTP, all of the service address.
    fn assert_served(&self, what: &str, scene: &Scene, leased: &str) {
        let script = self.at("leased").display().to_string();
        let dhcp =
            ["udhcpc", "-i", "eth0", "-f", "-n", "-q", "-t", "10", "-T", "2", "-r", leased, "-s", &script];
        let said = scene.at_client(&dhcp);
        assert!(said.text.contains(&format!("leased {leased}")), "{what}: {said:?}");
        let said = scene.at_client(&["nslookup", "-type=a", "service.lab", &VIP.to_string()]);
        assert!(said.text.contains("Name:\tservice.lab"), "{what}: {said:?}");
        let said = scene.at_client(&["wget", "-O", "-", &format!("http://{VIP}/")]);
        assert!(said.code == Some(0) && said.text.contains(PAGE), "{what}: {said:?}");
        let fetched = self.at("fetched");
        let local = fetched.display().to_string();
        let said = scene.at_client(&["ftpget", &VIP.to_string(), &local, "index.html"]);
        assert_eq!(said.code, Some(0), "{what}: {said:?}");
        assert_eq!(fs::read_to_string(&fetched).expect("fetched"), PAGE, "{what}");
        fs::remove_file(&fetched).expect("removed");
    }
}

/// Gives both nodes what the import has written; each has its own end of the cable, as two boxes may have.
fn hand_out(scene: &Scene, from: &Path) {
    let text = fs::read_to_string(from.join("crosswire.toml")).expect("imported");
    for side in [Side::A, Side::B] {
        let directory = scene.directory(side);
        let own = format!("state = {:?}\n", directory.join("state").display().to_string());
        let text = text
            .replace(&from.join("key").display().to_string(), &directory.join("key").display().to_string())
            .replace(
                &scene.cable().device(Side::A).display().to_string(),
                &scene.cable().device(side).display().to_string(),
            );
        fs::write(directory.join("crosswire.toml"), own + &text).expect("written");
        let key = directory.join("key");
        fs::copy(from.join("key"), &key).expect("copied");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("set");
    }
}

/// Situation: node1 of the HOWTO loses its power, and comes back. Required: import and check end with 0;
/// node2 gives the client its lease, names, page and file; node1 takes all of it back by itself, since
/// `auto_failback on` says so; the two kernels never hold the address at once.
#[test]
fn the_pair_of_the_howto_runs_from_its_imported_configuration() {
    if !testing::has_tools(&NEEDED) {
        return;
    }
    testing::in_fair_lab(|| {
        let howto = Howto::new();
        let mut scene = Scene::with_binary(&howto.at("box"), Setup::default());
        howto.write_ha_d(scene.cable().device(Side::A));
        let (to, from) = (howto.at("imported"), howto.at("ha.d"));
        let _ = fs::remove_dir_all(&to);
        let mut import = Command::new(env!("CARGO_BIN_EXE_crosswire"));
        import
            .arg("import")
            .arg("--to")
            .arg(&to)
            .args(["--addresses", "gw1=10.77.0.1,gw2=10.77.0.2"])
            .arg(&from);
        scene.namespace(Side::A).command_in(&mut import).expect("the node's namespace");
        let said = run(import);
        assert!(said.code == Some(0) && said.text.contains(" 0 cannot be had."), "{said:?}");
        hand_out(&scene, &to);
        for (side, node) in [(Side::A, "gw1"), (Side::B, "gw2")] {
            let mut check = Command::new(howto.at("box"));
            check
                .args(["check", "--node", node, "--config"])
                .arg(scene.directory(side).join("crosswire.toml"));
            scene.namespace(side).command_in(&mut check).expect("the node's namespace");
            let said = run(check);
            assert!(
                said.code == Some(0) && said.text.ends_with(&format!(": {node} has what it takes.\n")),
                "{node}: {said:?}"
            );
        }
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        howto.assert_served("at first", &scene, "10.77.0.155");
        scene.power_cut(Side::A).expect("node1 goes");
        scene.wait_for_service_by(Side::B);
        scene.expect_service_by(Side::B);
        howto.assert_served("after the power cut", &scene, "10.77.0.155");
        scene.power_on(Side::A).expect("node1 comes back");
        scene.begin(Side::A);
        scene.settle(Side::A);
        howto.assert_served("after the return", &scene, "10.77.0.155");
        scene.assert_never_both();
    });
}
