//! Whatever is sent, and whatever lies in the directory of keys: the pairs are answered all the same.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::symlink;

use crosswire::pair::Side;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::daemon::{Witness, line, now};

/// Every length up to the largest datagram that loopback takes, of three fillings; every damage to a byte of
/// a good question.
#[test]
fn no_datagram_is_answered_but_questions_and_none_does_harm() {
    let mut witness = Witness::with(&["gateway"]);
    let mut node = witness.node("gateway", 1, Side::A);
    node.greet();
    let good = node.claimant.ask(now(), 1).seal(&node.key);
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    stranger.set_nonblocking(true).expect("set");
    let send = |bytes: &[u8]| drop(stranger.send_to(bytes, witness.address));
    let mut sent = 0;
    for length in (0..300).chain([1_472, 9_000, 65_507]) {
        let repeated: Vec<u8> = good.iter().copied().cycle().take(length).collect();
        let fillings = [vec![0; length], vec![0x11; length], repeated];
        for filling in fillings.iter().filter(|filling| filling[..] != good) {
            send(filling);
            sent += 1;
        }
        if length % 50 == 0 {
            assert!(node.ask(0).is_some(), "after {length} bytes");
        }
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut damaged = good;
            damaged[at] ^= 1 << bit;
            send(&damaged);
            sent += 1;
        }
        assert!(node.ask(0).is_some(), "after damage to byte {at}");
    }
    assert!(stranger.recv(&mut [0; 128]).is_err(), "something was answered");
    assert_eq!(witness.stop(), Some(0));
    let log = witness.log();
    assert!(!log.contains("has ended:") && sent > 1_000, "{log}");
}

/// Tens of thousands of files, links, pipes, devices and a file of a terabyte.
#[test]
fn any_directory_is_read() {
    let mut witness = Witness::new([127, 0, 0, 1].into());
    for pair in 0..20_000 {
        let name = format!("p{pair:05}");
        let key = format!("0 {:032x}\n", 0xfeed_0000_u128 + pair);
        witness.write(&name, &key);
    }
    witness.write("gateway", &line(0, "gateway", 1));
    let keys = witness.path("keys");
    symlink("gateway", keys.join("x-gateway")).expect("made");
    symlink(".", keys.join("x-itself")).expect("made");
    symlink("/dev/zero", keys.join("x-zero")).expect("made");
    mkfifo(&keys.join("x-pipe"), Mode::from_bits_truncate(0o600)).expect("made");
    fs::File::create(keys.join("x-huge")).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    witness.start();
    witness.node("gateway", 1, Side::A).greet();
    let log = witness.log();
    assert!(log.contains("answers; pairs: 20001, keys: 20001"), "{log}");
    for name in ["x-gateway", "x-itself", "x-zero", "x-pipe", "x-huge"] {
        assert!(log.contains(&format!("keys/{name}: ")), "{name}\n{log}");
    }
    let worker = witness.worker().expect("it runs");
    let status = fs::read_to_string(format!("/proc/{worker}/status")).expect("its status");
    let kb = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let kb: u64 = kb.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kb < 64 * 1024, "{kb} KB for 20,001 pairs");
    assert_eq!(witness.stop(), Some(0));
}
