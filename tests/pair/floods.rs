//! What a stranger on the LAN, text on a line that nobody drives, and modem lines that flap can write into
//! our log: a line and a count. What `why` tells of a takeover outlives it.

use std::os::fd::AsRawFd;
use std::thread;

use crosswire::pair::Side;
use nix::sys::socket::{MsgFlags, send};

use crate::lab::clock::{now, span};
use crate::lab::modem::Wiring;
use crate::lab::namespace::Namespace;
use crate::lab::packet::open_packet_socket;
use crate::lab::setup::{Setup, VIP};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, ms};

/// What a kernel that goes down, or a getty, prints.
const TEXT: &[u8] = b"\r\n[   12.345678] reboot: System halted\r\n\r\ngw1 login: ";
/// Frames of the stranger, each from another address.
const FORGED: u32 = 5_000;
/// A flood is some lines of each of its kinds.
const FEW: usize = 12;

/// 'I am the service address', from the `n`th of many strangers.
fn claim(n: u32) -> Vec<u8> {
    let std::net::IpAddr::V4(vip) = VIP else { unreachable!("the laboratory has an IPv4 address") };
    let [_, a, b, c] = n.to_be_bytes();
    let mac = [2, 0, 0x5e, a, b, c];
    let arp = [0, 1, 8, 0, 6, 4, 0, 1];
    [&[0xff; 6][..], &mac, &[8, 6], &arp, &mac, &vip.octets(), &[0; 6], &vip.octets()].concat()
}

fn lines_with(scene: &Scene, side: Side, text: &str) -> usize {
    scene.log_of(side).lines().filter(|line| line.contains(text)).count()
}

fn why(scene: &Scene, side: Side) -> String {
    scene.say(side, &["why", "--last", "500"]).text
}

/// Fault: somebody on the LAN claims the service address 5,000 times, each time as another one. Required: no
/// move; a few lines in the log of either node and no more; `why` still tells why the active node serves.
#[test]
fn strangers_without_number_are_a_line_and_a_count() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        let stranger = Namespace::new("stranger").expect("a namespace");
        let port = scene.switch().plug(&stranger, "eth0", 0).expect("another port");
        let interface = scene.switch().node_interface(port);
        let sent = stranger.run_in(|| {
            let socket = open_packet_socket(interface).expect("a socket");
            for n in 0..FORGED {
                send(socket.as_raw_fd(), &claim(n), MsgFlags::empty()).expect("sent");
                if n % 10 == 0 {
                    thread::sleep(ms(2));
                }
            }
        });
        sent.expect("the namespace");
        let (claimed, answered) = ("claims an address of it", "answers for an address of it");
        scene.expect_soon("word of it", PATIENCE, |s| lines_with(s, Side::B, answered) > 0);
        for side in [Side::A, Side::B] {
            let lines = lines_with(&scene, side, claimed) + lines_with(&scene, side, answered);
            println!("{FORGED} strangers: {lines} lines at {side:?}");
            assert!(lines <= FEW, "{lines} lines at {side:?}:\n{}", scene.log_of(side));
        }
        assert!(why(&scene, Side::A).contains("taking it as term 1"), "{}", why(&scene, Side::A));
        assert!(matches!(scene.holds()[..], [crate::lab::ledger::Hold { side: Side::A, until: None, .. }]));
        assert!(now() > start);
        scene.assert_never_both();
    });
}

/// Fault: the peer is off, and its kernel, its BIOS or a getty print a line on the cable every second.
/// Required: a few lines of each kind; jeopardy is not over because nobody is there; `why` still tells of the
/// takeover.
#[test]
fn text_on_the_line_of_a_peer_that_is_off_is_a_line_and_a_count() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        scene.power_cut(Side::A).expect("its processes die");
        scene.wait_for_service_by(Side::B);
        let quiet = scene.log_of(Side::B).lines().count();
        let over = lines_with(&scene, Side::B, "jeopardy is over");
        let until = now() + span(ms(30_000));
        while now() < until {
            scene.cable().inject(Side::B, TEXT).expect("the port takes bytes");
            thread::sleep(ms(1_000));
        }
        let log = scene.log_of(Side::B);
        let lines = log.lines().count() - quiet;
        println!("text every second for 30 s: {lines} lines");
        assert_eq!(lines_with(&scene, Side::B, "jeopardy is over"), over, "nobody is there:\n{log}");
        assert!(lines_with(&scene, Side::B, "jeopardy:") <= 2, "{log}");
        // Noisy and silent, doubtful and dead.
        assert!(lines <= 2 * FEW, "{lines} lines:\n{log}");
        assert!(why(&scene, Side::B).contains("gw1 is dead"), "{}", why(&scene, Side::B));
        scene.assert_never_both();
    });
}

/// Fault: a loose wire: CTS flaps twice a second while everything else is well.
/// Required: a few lines, no move.
#[test]
fn lines_that_flap_are_a_line_and_a_count() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving_with(Setup { lines: Some(Wiring::Full), ..Setup::default() });
        let reading =
            |s: &Scene| s.status(Side::B)["paths"][0]["lines"].as_str() == Some("running and holding");
        scene.expect_soon("lines that are believed", PATIENCE, reading);
        let start = now();
        for _ in 0..15 {
            for wiring in [Wiring::WithoutCts, Wiring::Full] {
                scene.modem().rewire(wiring);
                thread::sleep(ms(500));
            }
        }
        for side in [Side::A, Side::B] {
            let lines = lines_with(&scene, side, "lines");
            println!("lines that flap: {lines} lines at {side:?}");
            assert!(lines <= 2 * FEW, "{}", scene.log_of(side));
        }
        scene.assert_nothing_moved(Side::A, start);
    });
}
