//! What the cable carries, and how badly when told so.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{BaudRate, SetArg, cfsetspeed, tcgetattr, tcsetattr};

use crate::lab::cable::{Cable, LineRule};
use crate::lab::clock::{now, span, wait_until};
use crate::lab::testing::in_fair_lab;
use crate::{SOON, ms};

fn open_port(cable: &Cable, side: Side) -> File {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(cable.device(side))
        .expect("a port can be opened")
}

/// Whatever arrives until nothing has come for `quiet`.
fn receive(port: &mut File, quiet: Duration) -> Vec<u8> {
    let mut received = Vec::new();
    let mut buffer = [0; 4_096];
    let mut last = now();
    while now().since(last) < span(quiet) {
        match port.read(&mut buffer) {
            Ok(length) => {
                received.extend_from_slice(&buffer[..length]);
                last = now();
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => thread::sleep(Duration::from_micros(50)),
            Err(e) => panic!("reading a port: {e}"),
        }
    }
    received
}

/// Every byte value, control characters that a terminal would act on included.
fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}

#[test]
fn the_cable_carries_every_byte_both_ways() {
    in_fair_lab(|| {
        let cable = Cable::new(1).unwrap();
        let mut ports = [open_port(&cable, Side::A), open_port(&cable, Side::B)];
        for from in [Side::A, Side::B] {
            ports[from.index()].write_all(&all_bytes()).unwrap();
            assert_eq!(receive(&mut ports[from.peer().index()], ms(100)), all_bytes());
            assert_eq!(receive(&mut ports[from.index()], ms(20)), [], "no echo");
            assert_eq!((cable.delivered_bytes(from), cable.lost_bytes(from)), (256, 0));
            assert_eq!(cable.recorded(from), all_bytes());
        }
    });
}

#[test]
fn the_cable_is_fast() {
    in_fair_lab(|| {
        let cable = Cable::new(1).unwrap();
        let mut ports = [open_port(&cable, Side::A), open_port(&cable, Side::B)];
        let mut trips: Vec<u64> = (0..200)
            .map(|_| {
                let sent = now();
                ports[0].write_all(&[0x55; 64]).unwrap();
                let mut buffer = [0; 64];
                wait_for_bytes(&ports[1]);
                let received = now();
                assert_eq!(ports[1].read(&mut buffer).unwrap(), 64);
                thread::sleep(ms(1));
                received.since(sent).as_us()
            })
            .collect();
        trips.sort_unstable();
        println!("cable, 64 bytes one way: median {} us, longest {} us", trips[100], trips[199]);
        assert!(trips[100] < 10_000, "median {} us", trips[100]);
    });
}

fn wait_for_bytes(port: &File) {
    let mut polled = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut polled, PollTimeout::from(1_000u16)).unwrap(), 1, "bytes must arrive");
}

#[test]
fn a_cut_cable_carries_nothing_and_a_half_cut_one_half() {
    in_fair_lab(|| {
        let cable = Cable::new(1).unwrap();
        let mut ports = [open_port(&cable, Side::A), open_port(&cable, Side::B)];
        let mut exchange = || {
            ports[0].write_all(b"from A").unwrap();
            ports[1].write_all(b"from B").unwrap();
            (receive(&mut ports[1], ms(100)).len(), receive(&mut ports[0], ms(20)).len())
        };
        assert_eq!(exchange(), (6, 6));
        cable.cut();
        assert_eq!(exchange(), (0, 0));
        cable.heal();
        assert_eq!(exchange(), (6, 6), "what was sent into the cut is gone");
        cable.set(Side::A, LineRule { cut: true, ..LineRule::default() });
        assert_eq!(exchange(), (0, 6));
        assert_eq!((cable.lost_bytes(Side::A), cable.lost_bytes(Side::B)), (12, 6));
    });
}

#[test]
fn bits_flip_at_the_rate_and_in_the_way_of_the_seed() {
    in_fair_lab(|| {
        let flipped = |seed| {
            let cable = Cable::new(seed).unwrap();
            let mut ports = [open_port(&cable, Side::A), open_port(&cable, Side::B)];
            cable.set(Side::A, LineRule { bit_errors_per_million: 10_000, ..LineRule::default() });
            let mut received = Vec::new();
            for _ in 0..40 {
                ports[0].write_all(&[0; 500]).unwrap();
                received.extend(receive(&mut ports[1], ms(20)));
            }
            received
        };
        let received = flipped(1);
        assert_eq!(received.len(), 20_000);
        let errors: u32 = received.iter().map(|byte| byte.count_ones()).sum();
        // 1,600 expected; six standard deviations are 239.
        assert!((1_361..=1_839).contains(&errors), "{errors} flipped bits of 160,000 at one in a hundred");
        assert_eq!(received, flipped(1));
        assert_ne!(received, flipped(2));
    });
}

#[test]
fn delay_and_baud_rate_are_kept() {
    in_fair_lab(|| {
        let cable = Cable::new(1).unwrap();
        let mut ports = [open_port(&cable, Side::A), open_port(&cable, Side::B)];
        let mut time_for = |bytes: usize| {
            let sent = now();
            ports[0].write_all(&vec![1; bytes]).unwrap();
            let mut received = 0;
            let mut buffer = [0; 512];
            while received < bytes {
                wait_for_bytes(&ports[1]);
                received += ports[1].read(&mut buffer).unwrap();
            }
            now().since(sent)
        };
        cable.set(Side::A, LineRule { delay: ms(50), ..LineRule::default() });
        let delayed = time_for(64);
        assert!((50..80).contains(&delayed.as_ms()), "{delayed}");
        cable.heal();
        cable.set_baud(Some(9_600));
        let slow = time_for(64);
        println!("64 bytes at 9600 baud: {slow}");
        assert!((66..90).contains(&slow.as_ms()), "64 bytes take 66.7 ms at 9600 baud, not {slow}");
    });
}

#[test]
fn ports_of_different_speeds_hear_only_noise_of_each_other() {
    in_fair_lab(|| {
        let cable = Cable::new(1).unwrap();
        let mut ports = [open_port(&cable, Side::A), open_port(&cable, Side::B)];
        let set = |port: &File, speed| {
            let mut mode = tcgetattr(port).unwrap();
            cfsetspeed(&mut mode, speed).unwrap();
            tcsetattr(port, SetArg::TCSANOW, &mode).unwrap();
        };
        let mut exchange = || {
            ports[0].write_all(b"from A").unwrap();
            receive(&mut ports[1], ms(100))
        };
        set(&open_port(&cable, Side::A), BaudRate::B9600);
        assert_eq!(exchange(), b"from A", "this cable does not mind");
        cable.mind_speeds();
        let noise = exchange();
        assert!(noise.len() == 6 && noise != b"from A", "{noise:?}");
        set(&open_port(&cable, Side::B), BaudRate::B9600);
        assert_eq!(exchange(), b"from A");
    });
}

#[test]
fn what_is_injected_arrives_at_one_side_even_through_a_cut() {
    in_fair_lab(|| {
        let cable = Cable::new(1).unwrap();
        let mut ports = [open_port(&cable, Side::A), open_port(&cable, Side::B)];
        cable.cut();
        assert_eq!(cable.inject(Side::B, b"login: ").unwrap(), 7);
        assert_eq!(receive(&mut ports[1], ms(50)), b"login: ");
        assert_eq!(receive(&mut ports[0], ms(20)), []);
    });
}

#[test]
fn a_port_can_be_opened_again_after_an_exclusive_user_has_closed_it() {
    in_fair_lab(|| {
        let cable = Cable::new(1).unwrap();
        let first = open_port(&cable, Side::A);
        // SAFETY: TIOCEXCL takes no argument.
        assert_eq!(unsafe { libc::ioctl(first.as_raw_fd(), libc::TIOCEXCL as _) }, 0);
        drop(first);
        thread::sleep(ms(120));
        let mut again = open_port(&cable, Side::A);
        again.write_all(b"back").unwrap();
        assert_eq!(receive(&mut open_port(&cable, Side::B), ms(50)), b"back");
        assert_eq!(cable.lost_bytes(Side::A), 0);
    });
}

#[test]
fn nobody_reading_costs_bytes_but_never_the_relay() {
    in_fair_lab(|| {
        let cable = Cable::new(1).unwrap();
        let mut ports = [open_port(&cable, Side::A), open_port(&cable, Side::B)];
        let mut sent = 0;
        while sent < 200_000 {
            match ports[0].write(&[0x55; 1_000]) {
                Ok(length) => sent += length as u64,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => thread::sleep(ms(1)),
                Err(e) => panic!("{e}"),
            }
        }
        wait_until("all bytes to be accounted for", SOON, || {
            Ok(cable.delivered_bytes(Side::A) + cable.lost_bytes(Side::A) == sent)
        })
        .unwrap();
        assert!(cable.lost_bytes(Side::A) > 0, "no port buffers 200,000 bytes");
        ports[1].write_all(b"still here").unwrap();
        assert_eq!(receive(&mut ports[0], ms(50)), b"still here");
    });
}
