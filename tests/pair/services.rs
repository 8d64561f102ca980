//! What an operator wants moved, with the real things: dnsmasq (DHCP and DNS) and busybox httpd by LSB
//! scripts, a mounted directory and a second address by OCF agents, a third address by a script of
//! Heartbeat's resource.d; and a client that keeps its lease, resolves a name and fetches a page all the
//! while.
//!
//! Debian's dnsmasq, busybox, kmod, resource-agents and heartbeat are needed; `.ci/run machine` installs
//! them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crosswire::pair::Side;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::lab::executable::write_executable;
use crate::lab::setup::{GROUP, Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};

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
/// An address that dnsmasq would not give to the client by itself: only its file of leases says that it is
/// the client's.
const LEASED: &str = "10.77.0.157";
/// Longest that the client may go without a name or a page: death of the active node, five scripts, and a
/// busy machine.
const LONGEST_GAP: Duration = Duration::from_secs(20);
const CUSTOMER: &str = include_str!("../fixtures/services/customer");
const LEASE_SCRIPT: &str = include_str!("../fixtures/services/leased");
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
        write_executable(&at("leased"), LEASE_SCRIPT);
        write_executable(&at("customer"), &CUSTOMER.replace("SERVICE", &VIP.to_string()));
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
            more: "safety = \"probe\"\nfailback = \"immediate\"".into(),
            ..Setup::default()
        }
    }

    /// The client asks at all three addresses.
    fn assert_served(&self, what: &str, scene: &Scene) {
        let said = scene.at_client(&["nslookup", "-type=a", "service.lab", &VIP.to_string()]);
        assert!(said.text.contains("Name:\tservice.lab"), "{what}: {said:?}");
        for ip in [VIP.to_string().as_str(), "10.77.0.101", "10.77.0.102"] {
            let said = scene.at_client(&["wget", "-O", "-", &format!("http://{ip}/")]);
            assert!(said.code == Some(0) && said.text.contains(PAGE), "{what}: {ip}: {said:?}");
        }
    }
}

/// A client whose programs run all the while: udhcpc, which holds one lease, and the customer, which asks for
/// names and pages.
struct Client {
    directory: PathBuf,
    dhcp: Child,
    customer: Child,
}

impl Client {
    fn start(scene: &Scene, directory: &Path) -> Self {
        let spawn = |command: &mut Command| {
            scene.client().command_in(command).expect("the client's namespace");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
        };
        let mut dhcp = Command::new("/bin/busybox");
        dhcp.args(["udhcpc", "-i", "eth0", "-f", "-t", "10", "-T", "2", "-r", LEASED, "-s"])
            .arg(directory.join("leased"));
        let client = Self {
            directory: directory.to_owned(),
            dhcp: spawn(&mut dhcp),
            customer: spawn(&mut Command::new(directory.join("customer"))),
        };
        scene.expect_soon("a lease", PATIENCE, |_| {
            client.leases().last().is_some_and(|said| said.starts_with("bound "))
        });
        scene.expect_soon("a page", PATIENCE, |_| !client.served_at().is_empty());
        client
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What became of the lease, from the beginning.
    fn leases(&self) -> Vec<String> {
        self.lines("customer.leases")
    }

    /// When it had got a name and a page, seconds since the machine's start.
    fn served_at(&self) -> Vec<f64> {
        self.lines("customer.served").iter().filter_map(|line| line.parse().ok()).collect()
    }

    /// Has the lease prolonged now instead of after half its time, and waits until that is done.
    fn renew(&self, scene: &Scene) {
        let before = self.leases().len();
        let pid = Pid::from_raw(i32::try_from(self.dhcp.id()).expect("a process id"));
        kill(pid, Signal::SIGUSR1).expect("udhcpc runs");
        scene.expect_soon("a renewal", PATIENCE, |_| self.leases().len() > before);
    }

    /// Waits until it is served again; the longest gap after its `since` first pages.
    fn gap_since(&self, scene: &Scene, since: usize) -> Duration {
        let so_far = self.served_at().len();
        scene.expect_soon("three more pages", PATIENCE, |_| self.served_at().len() > so_far + 3);
        let served_at = self.served_at();
        let gaps = served_at.windows(2).skip(since.saturating_sub(1)).map(|pair| pair[1] - pair[0]);
        Duration::from_secs_f64(gaps.fold(0.0, f64::max))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for child in [&mut self.dhcp, &mut self.customer] {
            // One that has ended needs neither.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What happens to the pair, and who serves then.
type Move = (&'static str, fn(&mut Scene), Side);

const MOVES: [Move; 3] =
    [("takeover", lose_power, Side::B), ("failback", come_back, Side::A), ("handover", hand_over, Side::B)];

fn lose_power(scene: &mut Scene) {
    scene.power_cut(Side::A).expect("the power is cut");
}

fn come_back(scene: &mut Scene) {
    scene.power_on(Side::A).expect("power");
    scene.begin(Side::A);
}

fn hand_over(scene: &mut Scene) {
    let said = scene.say(Side::A, &["handover", GROUP]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// Fault: the active node loses power. Operator: it comes back, `failback = "immediate"`; later a handover.
/// Required: the client that asks all the while has its one lease, prolonged by whoever serves, resolves the
/// name and gets the page from all three addresses; what the operator moved stays; the two kernels never hold
/// the service address at once.
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
        services.assert_served("at first", &scene);
        let client = Client::start(&scene, services.directory.path());
        for (what, begin, holder) in MOVES {
            let before = client.served_at().len();
            begin(&mut scene);
            scene.wait_for_service_by(holder);
            scene.expect_service_by(holder);
            let gap = client.gap_since(&scene, before);
            eprintln!("{what}: the client went without a name or a page for {} ms", gap.as_millis());
            assert!(gap <= LONGEST_GAP, "{what}: {gap:?}");
            client.renew(&scene);
            services.assert_served(what, &scene);
        }
        let kept = ["deconfig ", &format!("bound {LEASED}")].map(str::to_owned).into_iter();
        let kept: Vec<String> = kept.chain(MOVES.map(|_| format!("renew {LEASED}"))).collect();
        assert_eq!(client.leases(), kept);
        scene.assert_never_both();
    });
}
