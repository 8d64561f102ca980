//! A network of its own for every test that touches the kernel.

// The laboratory's helpers, also where it is not built.
#[cfg(not(feature = "workbench"))]
#[path = "../workbench/lab/executable.rs"]
pub mod executable;
#[cfg(not(feature = "workbench"))]
#[path = "../workbench/lab/fair.rs"]
mod fair;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crosswire::config::{GroupPolicy, InJeopardy, PathPolicy, PathTiming, Policy};
use crosswire::pair::{PathKind, Side};
use crosswire::time::Span;

use netlink_packet_core::{Emitable, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{MsgFlags, NetlinkAddr, SockFlag, recv, sendto};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, getegid, geteuid, gettid, pipe, read, write};

use crate::clock::now;
use crate::guard::kernel::addresses::{self, Addresses, Seen};
use crate::guard::kernel::ethernet::{self, Hears, Listener, Outlet};
use crate::guard::kernel::netlink::{Netlink, Request, append_message, for_each_message, open_socket};
use crate::guard::kernel::packets::announcement;
use crate::settings::{GroupSettings, PathDevice, PathSettings, Settings, VirtualAddress};
use crate::sys::process::{close_all_but, fork, leave};
#[cfg(feature = "workbench")]
pub use crate::workbench::lab::executable;
#[cfg(feature = "workbench")]
use crate::workbench::lab::fair;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
/// Tells a child of ours that it already has a user namespace.
const INSIDE: &str = "CROSSWIRE_TEST_INSIDE";

/// What a child of ours reports, which ends then.
pub fn told_by_a_child(report: impl FnOnce() -> String) -> String {
    let (from_child, to_parent) = pipe().expect("a pipe");
    match fork().expect("a child") {
        ForkResult::Child => {
            // What tests beside this one have open would use up what a process may open.
            close_all_but(&mut [to_parent.as_raw_fd()]);
            let _ = write(&to_parent, report().as_bytes());
            leave(0)
        }
        ForkResult::Parent { child } => {
            drop(to_parent);
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            let mut text = vec![0; 4_096];
            let length = read(&from_child, &mut text).expect("a report");
            String::from_utf8_lossy(&text[..length]).into_owned()
        }
    }
}

/// Runs a test in a fresh network namespace.
///
/// As root: on a thread of its own. Otherwise the same test runs again as root of a new user namespace, in a
/// child. Where the kernel forbids that the test cannot prove anything: it says so, and fails under `CI`.
pub fn in_namespace(test: impl FnOnce() + Send) {
    let _dog = fair::Dog::watch(fair::HANGS_AFTER);
    if !geteuid().is_root() {
        return again_as_root();
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            set_up("lo", true);
            test();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// As [`in_namespace`], for a test that judges how long things take: tried again where the machine was too
/// busy for that, see [`fair::when_the_machine_has_time`].
pub fn in_fair_namespace(test: impl Fn() + Sync) {
    fair::when_the_machine_has_time(|| in_namespace(&test));
}

/// Runs the calling test alone, as root of a user namespace.
fn again_as_root() {
    assert!(std::env::var_os(INSIDE).is_none(), "a user namespace that does not make us root");
    let name = std::thread::current().name().expect("the harness names its threads").to_owned();
    let mut child = Command::new(std::env::current_exe().expect("the test program"));
    child.args([&name, "--exact", "--nocapture"]).env(INSIDE, "1");
    let (uid, gid) = (geteuid(), getegid());
    let enter = move || {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
    };
    // SAFETY: the closure runs between fork and exec and touches no lock that another thread of ours may
    // hold, except the allocator's, which glibc and musl reset in the child of a fork.
    unsafe { child.pre_exec(enter) };
    match child.status() {
        Ok(status) => assert!(status.success(), "{name} failed in its user namespace: {status}"),
        Err(error) if std::env::var_os("CI").is_some() => {
            panic!("{name} needs root or user namespaces: {error}")
        }
        Err(error) => eprintln!("{name} proved nothing: it needs root or user namespaces ({error})"),
    }
}

/// `10.0.0.1/24@eth0`
pub fn address(text: &str) -> VirtualAddress {
    let (cidr, interface) = text.split_once('@').expect("an interface");
    let (ip, prefix) = cidr.split_once('/').expect("a prefix");
    let ip: IpAddr = ip.parse().expect("an address");
    VirtualAddress::plain(ip, prefix.parse().expect("a prefix length"), interface.to_owned())
}

/// Every address of this network namespace, as its kernel shows them in one go.
pub fn seen() -> Vec<Seen> {
    const RTM_GETADDR: u16 = 22;
    let socket = open_socket(0, SockFlag::SOCK_CLOEXEC).expect("a socket");
    let mut bytes = Vec::new();
    let all = Request { kind: RTM_GETADDR, flags: 0, body: vec![0; 8] };
    append_message(&mut bytes, &all, NLM_F_REQUEST | NLM_F_DUMP, 1);
    sendto(socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty()).expect("sent");
    let (mut seen, mut is_done, mut buffer) = (Vec::new(), false, vec![0; 32_768]);
    while !is_done {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("an answer");
        for_each_message(&buffer[..length], |header, payload| match header.kind {
            NLMSG_DONE => is_done = true,
            _ => seen.extend(addresses::parse(payload)),
        });
    }
    seen
}

/// Two interfaces joined by a wire, in the same namespace; gone with it.
pub struct Veth {
    near: &'static str,
    far: &'static str,
}

impl Veth {
    /// Plugged in and up on both sides.
    pub fn up(near: &'static str, far: &'static str) -> Self {
        let mut peer = LinkMessage::default();
        peer.attributes = vec![LinkAttribute::IfName(far.to_owned())];
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName(near.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        run(RTM_NEWLINK, netlink_packet_core::NLM_F_CREATE | netlink_packet_core::NLM_F_EXCL, &link);
        set_up(near, true);
        set_up(far, true);
        wait_for_wire(&[End::of(near), End::of(far)]);
        Self { near, far }
    }

    /// Pulls the far end: the near one loses its carrier.
    pub fn pull(&self) {
        set_up(self.far, false);
    }

    /// Plugs it in again.
    pub fn plug(&self) {
        set_up(self.far, true);
    }

    /// Removes both interfaces.
    pub fn remove(&self) {
        let mut link = LinkMessage::default();
        link.header.index = if_nametoindex(self.near).expect("an interface");
        run(RTM_DELLINK, 0, &link);
    }
}

/// One end of a wire, for trying it.
struct End {
    sender: ethernet::Sender,
    outlet: Outlet,
    listener: Listener,
}

impl End {
    fn of(interface: &str) -> Self {
        let sender = ethernet::Sender::open().expect("a sender");
        let outlet = sender.outlet(interface).expect("an Ethernet");
        let listener = Listener::open(interface, Hears::Arp, &[NOBODY]).expect("a listener");
        Self { sender, outlet, listener }
    }
}

/// An address that no test uses.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 77, 77));

/// Waits until frames pass both ways: for up to some seconds after an interface was switched on the kernel
/// shows no carrier yet, or swallows what is sent.
fn wait_for_wire(ends: &[End; 2]) {
    let give_up = now() + Span::from_s(30);
    for (from, to) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
        while read(&to.listener.socket, &mut [0; 64]).is_err() {
            assert!(now() < give_up, "nothing passes");
            from.sender.send(&from.outlet, &announcement(NOBODY, from.outlet.mac, false)[0]).expect("sent");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A network namespace at the far end of a wire, in which the peer 10.9.0.2 and fd00::2 lives.
pub struct Stranger {
    jobs: Sender<Job>,
    thread: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Stranger {
    /// Makes the wire: `near` here, `far` in a namespace of its own.
    pub fn behind(near: &'static str) -> Self {
        Veth::up(near, "far");
        let (jobs, waiting) = channel::<Job>();
        let (ready, is_ready) = channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            ready.send(gettid().as_raw()).expect("somebody waits");
            waiting.into_iter().for_each(|job| job());
        });
        let mut link = LinkMessage::default();
        link.header.index = if_nametoindex("far").expect("an interface");
        let id = is_ready.recv().expect("a namespace");
        link.attributes = vec![LinkAttribute::NetNsPid(id.cast_unsigned())];
        run(RTM_NEWLINK, 0, &link);
        let stranger = Self { jobs, thread: Some(thread) };
        stranger.run(|| {
            set_up("lo", true);
            set_up("far", true);
            let mut addresses = Addresses::open(Span::from_s(600)).expect("a socket");
            let own = ["10.9.0.2/24@far", "fd00::2/64@far"].map(address);
            addresses.add(&own, now() + Span::from_s(1)).expect("the peer's own addresses");
        });
        wait_for_wire(&[End::of(near), stranger.run(|| End::of("far"))]);
        stranger
    }

    /// Does something over there and waits until it is done.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, is_done) = channel();
        let job = Box::new(move || done.send(job()).expect("somebody waits"));
        self.jobs.send(job).expect("the stranger lives");
        is_done.recv().expect("the job was done")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.jobs = channel().0;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the stranger panicked");
        }
    }
}

/// Settings of a pair whose peer is 10.9.0.2 on `interface`, with one group.
pub fn settings(interface: &str, addresses: &[&str]) -> Settings {
    let group = GroupSettings {
        name: "gateway".to_owned(),
        addresses: addresses.iter().map(|text| address(text)).collect(),
        tracked: Vec::new(),
        routes: Vec::new(),
        scripts: Vec::new(),
        ready: Vec::new(),
        before: 0,
        on_stop_failure: crate::settings::StopFailure::Hold,
    };
    let lan = PathDevice::Lan {
        interface: interface.to_owned(),
        local: IpAddr::from([10, 9, 0, 1]),
        peer: IpAddr::from([10, 9, 0, 2]),
        port: 694,
        is_crossover: false,
    };
    Settings {
        file: "crosswire.toml".into(),
        text: String::new(),
        pair: "test".to_owned(),
        is_shadow: false,
        me: Side::A,
        names: ["gw1".to_owned(), "gw2".to_owned()],
        key_file: "key".into(),
        paths: vec![PathSettings { name: "lan".to_owned(), device: lan }],
        groups: vec![group],
        interfaces: vec![interface.to_owned()],
        has_neighbours: false,
        needs: Vec::new(),
        witnesses: Vec::new(),
        vote: None,
        is_realtime: false,
        group: None,
        reset: None,
        state: "/nonexistent".into(),
        journal: None,
        notify: None,
        watchdog: None,
        fences: Vec::new(),
        policy: policy(),
    }
}

/// Interval 100 ms, and a lease and a late_after that no test outlives by accident.
fn policy() -> Policy {
    let (interval, late_after, dead_after) = (Span::from_ms(100), Span::from_s(20), Span::from_s(30));
    let timing = PathTiming { interval, late_after, dead_after };
    let group = GroupPolicy::addresses_only(0, None);
    Policy {
        paths: [PathPolicy::new(PathKind::Lan, timing)].into_iter().collect(),
        groups: [group].into_iter().collect(),
        lease: Span::from_s(60),
        cold_start: Span::from_s(1),
        in_jeopardy: InJeopardy::Hold,
        witnesses: 0,
        has_vote: false,
        carrier_delay: crosswire::config::CARRIER_DELAY,
        digest: [0; 4],
    }
}

/// Switches an interface on or off.
pub fn set_up(interface: &str, up: bool) {
    let mut link = LinkMessage::default();
    link.header.index = if_nametoindex(interface).expect("an interface");
    link.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    link.header.change_mask = LinkFlags::Up;
    run(RTM_NEWLINK, 0, &link);
}

/// Gives an interface another name.
pub fn rename(interface: &str, name: &str) {
    let mut link = LinkMessage::default();
    link.header.index = if_nametoindex(interface).expect("an interface");
    link.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    run(RTM_NEWLINK, 0, &link);
}

fn run(kind: u16, flags: u16, link: &LinkMessage) {
    let mut body = vec![0; link.buffer_len()];
    link.emit(&mut body);
    let answers = Netlink::open().expect("a socket").run(&[Request { kind, flags, body }]);
    assert_eq!(answers, [Ok(())]);
}

/// An executable shell script. It is written by another process, so that no other test's fork can hold it
/// open for writing when it is executed.
pub fn script_file(dir: &tempfile::TempDir, name: &str, body: &str) -> std::path::PathBuf {
    let path = dir.path().join(name);
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(&path).stdin(std::process::Stdio::piped());
    let mut child = shell.spawn().expect("a shell");
    let text = format!("#!/bin/sh\n{body}\n");
    std::io::Write::write_all(&mut child.stdin.take().expect("its input"), text.as_bytes()).expect("written");
    assert!(child.wait().expect("it ends").success());
    path
}
