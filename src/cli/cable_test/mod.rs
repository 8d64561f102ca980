//! `crosswire cable-test`: run on both ends of a cable, or on one while the daemon at the other is in
//! maintenance, it says what the cable is and what it can carry.

mod link;
mod outcome;
mod show;
mod steps;

use std::io::{self, Write};
use std::path::PathBuf;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::libc::c_int;

use super::option::{flag, operand, option, options};
use crate::guard::serial::ports::open_serial;
use crate::operator::exit::Exit;
use crate::tty::lines;
use crate::tty::test_protocol::{Nonce, Wires};
use crate::tty::uart::Uart;
use link::Link;
use outcome::{Heard, Outcome};

options! {
    /// Test a null-modem cable, on both ends or facing a daemon in maintenance
    pub struct CableTestOptions("cable-test") {
        /// Fastest speed to try
        max_baud: u32 = option("--max-baud", "BAUD").or("115200"),
        /// How long to wait for the other end, in seconds
        wait: u16 = option("--wait", "SECONDS").or("60"),
        /// As JSON
        json: bool = flag("--json"),
        /// The serial port: /dev/ttyS0
        device: PathBuf = operand("DEVICE"),
    }
}

/// Tests, and shows what was found. [`Exit::Done`] if a peer was found, and a speed that loses nothing.
pub fn run(options: &CableTestOptions, out: &mut impl Write) -> Exit {
    match test(options) {
        Ok(outcome) => {
            // A reader that closed the pipe has seen enough.
            let told = if options.json { show::json(&outcome) } else { show::text(&outcome) };
            let _ = write!(out, "{told}");
            if outcome.best().is_some() && !outcome.is_cut_short { Exit::Done } else { Exit::Refused }
        }
        Err(reason) => {
            let _ = writeln!(io::stderr(), "crosswire: {reason}");
            Exit::Refused
        }
    }
}

fn test(options: &CableTestOptions) -> Result<Outcome, String> {
    let device = options.device.display().to_string();
    if options.max_baud < steps::SLOWEST {
        return Err("--max-baud: no speed is tried below 1200".to_owned());
    }
    let port = open_serial(&options.device, steps::MEETS_AT).map_err(|error| error.to_string())?;
    let uart = Uart::of(&port);
    lines::set(&port, lines::DTR);
    let mut me = [0; 4];
    getrandom::fill(&mut me).map_err(|error| format!("the kernel gives no random numbers: {error}"))?;
    let mut link = Link::new(port, device.clone(), steps::MEETS_AT, me);
    let mut outcome = Outcome {
        device,
        heard: Heard::default(),
        wires: Wires::default(),
        idle_lines: 0,
        speeds: Vec::new(),
        max_baud: options.max_baud,
        uart,
        is_cut_short: false,
    };
    if steps::meet(&mut link, Span::from_s(u64::from(options.wait))) {
        if link.leads() {
            steps::lead(&mut link, options.max_baud, &mut outcome);
        } else {
            steps::follow(&mut link, options.max_baud, &mut outcome);
        }
    } else {
        let bridged = bridged(&link, me).cast_unsigned();
        outcome.wires.bridged[0] = bridged;
        outcome.idle_lines = link.heard.lines & !bridged;
    }
    outcome.heard = link.heard;
    Ok(outcome)
}

/// The inputs that follow our outputs. The other end may stop calling in the same millisecond and look for
/// its own bridges: the order in which they use the rhythms tells two such ends apart.
fn bridged(link: &Link, me: Nonce) -> c_int {
    let order = u32::from_le_bytes(me);
    (0..u32::BITS / 2).fold(lines::INPUTS, |found, bit| {
        let side = if order >> bit & 1 == 0 { Side::A } else { Side::B };
        if found == 0 { 0 } else { found & lines::bridged(link.port(), side) }
    })
}
