//! Everybody asks at once: watchers, a member of the group, and somebody who sends what is no question on
//! both sockets.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crosswire::pair::Side;
use nix::pty::openpty;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use nix::unistd::{Pid, read};

use crate::beats::Beats;
use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::scene::{Scene, ms};
use crate::scripts::assert_on_time;

const WATCHERS: usize = 50;
const LASTS_MS: u64 = 3_000;
/// What either process may have more of afterwards, KB.
const MAX_GROWTH_KB: u64 = 256;
/// A console at 9600 baud.
const CONSOLE_BYTES_PER_S: usize = 960;
/// A group of every box, and nobody's number.
const GROUP: (&str, u32) = ("games", 60);

/// Connects and sends what is no question, as fast as it can, for as long as it lasts.
fn flood(path: &Path, is_over: &AtomicBool) -> u32 {
    let mut sent = 0;
    let address = UnixAddr::new(path).expect("short");
    while !is_over.load(Ordering::Relaxed) {
        let client = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_NONBLOCK, None)
            .expect("a socket");
        if connect(client.as_raw_fd(), &address).is_ok() {
            let says: &[u8] = [&[0xff; 4_000][..], &[0], &[7; 256]][sent as usize % 3];
            let _ = send(client.as_raw_fd(), says, MsgFlags::MSG_NOSIGNAL);
            sent += 1;
        } else {
            thread::sleep(ms(1));
        }
    }
    sent
}

/// Asks as a member may, which is not what is tried here: what comes back is thrown away.
fn ask_as_member(path: &Path, is_over: &AtomicBool) -> u32 {
    let (mut answered, mut room) = (0, vec![0; 128 * 1024]);
    let address = UnixAddr::new(path).expect("short");
    while !is_over.load(Ordering::Relaxed) {
        let client =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::empty(), None).expect("a socket");
        setsockopt(&client, sockopt::ReceiveTimeout, &TimeVal::new(1, 0)).expect("set");
        if connect(client.as_raw_fd(), &address).is_ok()
            // The first question that there is: everything that `status` shows.
            && send(client.as_raw_fd(), &[0], MsgFlags::MSG_NOSIGNAL).is_ok()
        {
            answered += u32::from(read(&client, &mut room).is_ok_and(|length| length > 100));
        }
        thread::sleep(ms(50));
    }
    answered
}

/// Resident memory, KB.
fn memory_kb(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What a terminal is sent by `status --watch`: of the first screen, and of each second after it.
fn redraws(scene: &Scene) -> (usize, usize) {
    let pty = openpty(None, None).expect("a terminal");
    let mut command = scene.command(Side::A, &["status", "--watch"]).expect("a command");
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(pty.slave.try_clone().expect("a descriptor"));
    let mut child = command.spawn().expect("it starts");
    drop(command);
    let mut room = [0; 64 * 1024];
    let mut take = |waits: u64| {
        thread::sleep(ms(waits));
        // The other end is held open here, and a screen is never empty at first.
        read(&pty.master, &mut room).expect("something is shown")
    };
    let first = take(1_000);
    // Two looks at least.
    let then = take(5_000);
    end(&mut child);
    (first, then / 5)
}

fn end(child: &mut Child) {
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
}

/// Fault: fifty watchers of one node, a member of the group who asks twenty times a second, and floods of
/// what is no question on both sockets.
/// Required: beats on time; nobody is replaced or grows; the node answers, and a console at 9600 baud keeps
/// up.
#[test]
fn a_crowd_that_asks_delays_no_beat() {
    testing::in_fair_lab(|| {
        let more = format!("[system]\ngroup = \"{}\"", GROUP.0);
        let mut scene = Scene::serving_with(Setup { more, ..Setup::default() });
        let pids = [scene.guard(Side::A).expect("a guard"), scene.agent(Side::A).expect("an agent")];
        let run_dir = scene.directory(Side::A).join("run");
        let [root, members] = ["control", "query"].map(|name| run_dir.join(name));
        let before = pids.map(memory_kb);
        let beats = [Side::A, Side::B].map(|side| Beats::of(&scene, side));
        let is_over = AtomicBool::new(false);
        let mut watchers: Vec<Child> = (0..WATCHERS)
            .map(|_| {
                let mut command = scene.command(Side::A, &["status", "--watch"]).expect("a command");
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                command.spawn().expect("it starts")
            })
            .collect();
        let counts = thread::scope(|scope| {
            let floods = [&root, &members].map(|path| scope.spawn(|| flood(path, &is_over)));
            let asked = scope.spawn(|| ask_as_member(&members, &is_over));
            thread::sleep(ms(LASTS_MS));
            is_over.store(true, Ordering::Relaxed);
            let [a, b] = floods.map(|flood| flood.join().expect("it ends"));
            [a, b, asked.join().expect("it ends")]
        });
        watchers.iter_mut().for_each(end);
        assert_on_time("a crowd asks", beats);
        let after = pids.map(memory_kb);
        println!("a crowd: {counts:?} floods and answers, memory {before:?} and then {after:?} KB");
        for (before, after) in before.into_iter().zip(after) {
            assert!(after <= before + MAX_GROWTH_KB, "{before} KB have become {after}");
        }
        let now = [scene.guard(Side::A).expect("a guard"), scene.agent(Side::A).expect("an agent")];
        assert_eq!(now, pids, "nobody was replaced");
        assert_eq!(scene.say(Side::A, &["status", "-q"]).code, Some(0));
        let (first, then) = redraws(&scene);
        println!("status --watch: {first} bytes of a first screen, then {then} a second");
        assert!(first <= 2 * CONSOLE_BYTES_PER_S && then <= CONSOLE_BYTES_PER_S / 4, "{first}, {then}");
        scene.assert_never_both();
    });
}
