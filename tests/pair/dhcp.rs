//! Recipes about DHCP: an uplink that only the node that serves dials, and a server whose leases the other
//! box gets by a copy.
//!
//! Debian's dnsmasq, busybox and iproute2 are needed; `.ci/run machine` installs them.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crosswire::pair::Side;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::lab::clock::now;
use crate::lab::executable::write_executable;
use crate::lab::namespace::Namespace;
use crate::lab::setup::{GROUP, Setup};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, run};

const NEEDED: [&str; 4] = ["/usr/sbin/dnsmasq", "/bin/busybox", "/sbin/ip", "/sbin/start-stop-daemon"];
/// What udhcpc runs: as the scripts of distributions, without DNS. It notes what became of the lease.
const LEASED: &str = r#"#!/bin/sh
echo "$interface $1 $ip" >>"$(dirname "$0")/leased.$interface"
case "$1" in bound | renew) /sbin/ip address replace "$ip/24" dev "$interface" ;; esac
"#;

/// The script that firmware-notes/recipes.md wants at that place.
pub fn script(place: &str) -> String {
    let text = include_str!("../../firmware-notes/recipes.md");
    let mut blocks = text.split("```\n").filter(|block| block.starts_with("#!/bin/sh\n"));
    let found =
        blocks.find(|block| block.lines().nth(1).is_some_and(|line| line.starts_with(&format!("# {place}"))));
    found.unwrap_or_else(|| panic!("no script for {place}")).to_owned()
}

/// A directory with the script that udhcpc runs.
pub fn place() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    write_executable(&directory.path().join("leased"), LEASED);
    directory
}

/// A process of the laboratory's that ends with its test.
pub struct Running(Child);

impl Running {
    /// Starts it in a namespace.
    pub fn start(scene: &Scene, namespace: &Namespace, mut command: Command) -> Self {
        namespace.command_in(&mut command).expect("the namespace");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(scene.spawn(command).expect("it runs"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended needs neither.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The address that an interface of a node has; none without either.
fn address_of(scene: &Scene, side: Side, interface: &str) -> Option<String> {
    let mut command = Command::new("/sbin/ip");
    command.args(["-4", "-o", "address", "show", "dev", interface]);
    scene.namespace(side).command_in(&mut command).expect("the node's namespace");
    let said = run(command).text;
    Some(said.split_once(" inet ")?.1.split_once('/')?.0.to_owned())
}

/// A provider on the second LAN, which gives one address for each hardware address, and asks the wire for
/// none.
fn start_provider(scene: &Scene, place: &Path) -> Running {
    let mut provider = Command::new("/usr/sbin/dnsmasq");
    provider.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth1"]);
    provider.args(["--bind-interfaces", "--user=root", "--no-ping", "--pid-file="]);
    provider.args(["--dhcp-range=10.78.0.150,10.78.0.160,10m"]);
    provider.arg(format!("--dhcp-leasefile={}", place.join("provided").display()));
    Running::start(scene, scene.client(), provider)
}

/// A handover, then the node that serves by then loses its power. `of` says what a node has as long as it
/// serves: it has to stay the same.
pub fn assert_kept_over_moves<T: PartialEq + Debug>(
    scene: &mut Scene,
    what: &str,
    of: impl Fn(&Scene, Side) -> Option<T>,
) {
    let wait_for = |scene: &Scene, side| {
        scene.expect_soon(what, PATIENCE, |scene| of(scene, side).is_some());
        of(scene, side).expect("still")
    };
    let first = wait_for(scene, Side::A);
    let moved = now();
    assert_eq!(scene.say(Side::A, &["handover", GROUP]).code, Some(0));
    scene.settle(Side::B);
    assert_eq!(wait_for(scene, Side::B), first);
    println!("handover: {what}, {first:?}, after {}", now().since(moved));
    assert_eq!(of(scene, Side::A), None);
    let cut = scene.power_cut(Side::B).expect("its processes die");
    scene.wait_for_service_by(Side::A);
    assert_eq!(wait_for(scene, Side::A), first);
    println!("power cut: {what}, {first:?}, after {}", now().since(cut));
    scene.assert_never_both();
}

/// Situation: the uplink of the recipes; a handover, then the active node loses its power. Required: the
/// provider sees one client and gives it one address, wherever it is; the node that does not serve shows
/// nothing of it.
#[test]
fn the_uplink_by_dhcp_keeps_its_address() {
    if !testing::has_tools(&NEEDED) {
        return;
    }
    testing::in_lab(|| {
        let place = place();
        let at = |name: &str| place.path().join(name);
        // What both boxes have at one place is two files here.
        let own = format!("{}/$CROSSWIRE_NODE.pid", place.path().display());
        let dials = script("/usr/local/sbin/dhcp-uplink").replace("/run/dhcp-uplink.pid", &own);
        let asks = format!("/bin/busybox udhcpc -s {} ", at("leased").display());
        write_executable(&at("uplink"), &dials.replace("udhcpc ", &asks));
        let mut scene = Scene::new(Setup {
            second_lan: true,
            scripts: vec![format!("exec:{}", at("uplink").display())],
            more: "safety = \"probe\"\ntrack = [\"eth1\"]".to_owned(),
            ..Setup::default()
        });
        let _provider = start_provider(&scene, place.path());
        for side in [Side::A, Side::B] {
            scene.at_node(side, "/sbin/ip address flush dev eth1");
            scene.begin(side);
        }
        scene.settle(Side::A);
        assert_kept_over_moves(&mut scene, "an address of the provider's", |scene, side| {
            address_of(scene, side, "wan")
        });
        let provided = fs::read_to_string(at("provided")).expect("leases");
        assert_eq!(provided.lines().count(), 1, "{provided}");
    });
}

/// One interface of the client's machine that asks for an address, on and on.
pub struct Asker {
    process: Running,
    noted: PathBuf,
}

impl Asker {
    pub fn start(scene: &Scene, place: &Path, interface: &str, wanted: Option<&str>) -> Self {
        let mut command = Command::new("/bin/busybox");
        command.args(["udhcpc", "-f", "-i", interface, "-t", "10", "-T", "2", "-s"]);
        command.arg(place.join("leased"));
        if let Some(ip) = wanted {
            command.args(["-r", ip]);
        }
        Self {
            process: Running::start(scene, scene.client(), command),
            noted: place.join(format!("leased.{interface}")),
        }
    }

    /// The address, and how often it was bound or renewed.
    fn leased(&self) -> (String, usize) {
        let noted = fs::read_to_string(&self.noted).unwrap_or_default();
        let leased = noted.lines().filter(|line| line.contains(" bound ") || line.contains(" renew "));
        let address = leased.clone().next_back().and_then(|line| line.rsplit(' ').next()).unwrap_or_default();
        (address.to_owned(), leased.count())
    }

    /// Waits until it has had so many leases; the last one.
    fn wait(&self, scene: &Scene, count: usize) -> String {
        scene.expect_soon("a lease", PATIENCE, |_| self.leased().1 >= count);
        self.leased().0
    }

    /// Waits for the first lease.
    pub fn bound(&self, scene: &Scene) -> String {
        self.wait(scene, 1)
    }

    /// Has the lease prolonged now; the address that it is for.
    pub fn renew(&self, scene: &Scene) -> String {
        let before = self.leased().1;
        let pid = i32::try_from(self.process.0.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGUSR1).expect("udhcpc runs");
        self.wait(scene, before + 1)
    }
}

/// What the group runs; each box has a file of leases.
const SERVER: &str = r#"#!/bin/sh
pid_file=PLACE/$CROSSWIRE_NODE.pid
case "$1" in
start) exec /usr/sbin/dnsmasq --conf-file=/dev/null --port=0 --interface=eth0 --bind-dynamic --user=root \
    --dhcp-authoritative --dhcp-range=10.77.0.150,10.77.0.160,10m --pid-file="$pid_file" \
    --dhcp-leasefile=PLACE/$CROSSWIRE_NODE.leases ;;
stop) exec start-stop-daemon --stop --oknodo --quiet --retry 5 --remove-pidfile --pidfile "$pid_file" \
    --exec /usr/sbin/dnsmasq ;;
monitor) exec start-stop-daemon --status --pidfile "$pid_file" --exec /usr/sbin/dnsmasq ;;
*) exit 3 ;;
esac
"#;

/// Situation: the file of leases was copied; somebody gets an address after that, and the active node loses
/// its power. Required: who is in the copy keeps his address, and so does who is not in it; nobody else is
/// given it, although he asks for it.
#[test]
fn leases_since_the_last_copy_are_kept() {
    if !testing::has_tools(&NEEDED) {
        return;
    }
    testing::in_lab(|| {
        let place = place();
        let at = |name: &str| place.path().join(name);
        write_executable(&at("server"), &SERVER.replace("PLACE", &place.path().display().to_string()));
        let mut scene = Scene::serving_with(Setup {
            scripts: vec![format!("exec:{}", at("server").display())],
            more: "safety = \"probe\"".to_owned(),
            ..Setup::default()
        });
        for name in ["late", "other"] {
            let line = format!("/sbin/ip link add link eth0 name {name} type macvlan mode bridge");
            scene.at_client(&["sh", "-c", &format!("{line} && ip link set {name} up")]);
        }
        let early = Asker::start(&scene, place.path(), "eth0", None);
        let copied = early.bound(&scene);
        fs::copy(at("gw1.leases"), at("gw2.leases")).expect("a copy");
        let late = Asker::start(&scene, place.path(), "late", None);
        let since = late.bound(&scene);
        assert_ne!(copied, since);
        scene.power_cut(Side::A).expect("its processes die");
        scene.wait_for_service_by(Side::B);
        scene.expect_service_by(Side::B);
        let other = Asker::start(&scene, place.path(), "other", Some(&since));
        let given = other.bound(&scene);
        assert!(given != since && given != copied, "{given} was given twice");
        assert_eq!([early.renew(&scene), late.renew(&scene)], [copied, since]);
        scene.assert_never_both();
    });
}
