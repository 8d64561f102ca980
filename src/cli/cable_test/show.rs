//! What was found, for people and as JSON.

use std::fmt::{self, Write};

use serde::Serialize;

use super::outcome::{Outcome, Wiring};
use super::steps::{BAUDS, is_wanted};
use crate::gather::Gather;
use crate::operator::json;
use crate::tty::lines;
use crate::tty::test_protocol::{Speed, Wires};
use crate::tty::uart::MAX_BAUD_WITHOUT_FIFO;

/// The default of `--max-baud`.
const DEFAULT_BAUD: u32 = 115_200;

/// What the cable is, why that matters, and what to do.
fn verdict(outcome: &Outcome) -> (&'static str, String) {
    let (name, text) = match outcome.wiring() {
        Wiring::Full => {
            ("full", "a full null modem: data and modem lines both ways. A power loss is seen at once.")
        }
        Wiring::Partial => (
            "partial",
            "a null modem with some of its modem lines only: beats are carried; where a box's DTR does not \
                arrive, its \
             power loss takes dead_after to see.",
        ),
        Wiring::Three => (
            "three-wire",
            "a null modem with three wires: beats are carried; without modem lines a power loss takes \
                dead_after to see.",
        ),
        Wiring::OneWay => (
            "one-way",
            "the other end is heard but does not hear us: our TXD (pin 3 of DB9) does not reach its RXD (pin \
                2).",
        ),
        Wiring::Loopback => (
            "loopback",
            "our own bytes come back: a loopback plug, or TXD and RXD touch. Put a null-modem cable between \
                the two boxes.",
        ),
        Wiring::Daemon => return ("daemon", daemon_text(outcome)),
        Wiring::Noise => (
            "noise",
            "bytes arrive that are no frames: a console or a login at the other end, another speed, or a bad \
                cable. Run \
             this test there too.",
        ),
        Wiring::Nothing if outcome.idle_lines != 0 => (
            "nothing",
            "no byte arrives, but a powered port is at the other end: run this test there too. If it runs, \
                its TXD does not \
             reach our RXD, or the cable is straight.",
        ),
        Wiring::Nothing => (
            "nothing",
            "nothing arrives: the test does not run at the other end, the cable is not plugged in, it is \
                straight and no \
             null modem, or this is the wrong port.",
        ),
    };
    // What is wrong comes first.
    let first = if outcome.is_cut_short {
        "the other end was lost before the test was done: run it again on both ends. Until then: "
    } else if outcome.is_lossy() {
        "frames are lost at every speed that was tried: look for a loose plug, a missing ground wire (pin 5 \
            of DB9), a cable \
         that is too long, and a busy box; do not use it so. Its wires: "
    } else {
        ""
    };
    (name, format!("{first}{text}"))
}

fn daemon_text(outcome: &Outcome) -> String {
    let (pair, baud) = outcome.heard.daemon.unwrap_or_default();
    format!(
        "a running crosswire of the pair with id {pair:04x} talks there at {baud} baud. If it is the right \
            box, \
         say `crosswire maintenance on` there first, or stop it; if it is another pair's, the cables are \
         crossed."
    )
}

/// Everything else that an operator should know.
fn hazards(outcome: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |text: fmt::Arguments<'_>| found.push(text.to_string());
    if let Some(uart) = outcome.uart {
        if uart.is_unknown() {
            note(format_args!(
                "the driver finds no UART: the board may lack the port, or the BIOS has it disabled"
            ));
        } else if uart.is_too_slow_for(MAX_BAUD_WITHOUT_FIFO + 1) {
            let name = uart.name();
            note(format_args!(
                "the UART ({name}) has no FIFO: above {MAX_BAUD_WITHOUT_FIFO} baud a busy box loses bytes"
            ));
        }
    }
    if outcome.heard.is_answered_by_daemon {
        note(format_args!(
            "a running daemon answered, between its beats and at its own speed only; its DTR and RTS were \
                not driven"
        ));
    }
    for (bridged, place) in outcome.wires.bridged.iter().zip(["here", "at the other end"]) {
        if *bridged != 0 {
            note(format_args!(
                "{} bridged {place}: these lines say nothing of the peer",
                lines::names(bridged.cast_signed())
            ));
        }
    }
    for Speed { baud, sent, lost, .. } in outcome.speeds.iter().filter(|speed| !speed.is_clean()) {
        match sent {
            0 => note(format_args!("{baud} baud: nobody understands the other")),
            sent => note(format_args!("{baud} baud: {lost} of {sent} frames lost or broken")),
        }
    }
    let mut untried = String::new();
    for baud in BAUDS {
        let is_untried = outcome.speeds.iter().all(|speed| speed.baud != baud);
        if is_untried && is_wanted(baud, outcome.max_baud.max(DEFAULT_BAUD)) {
            let _ = write!(untried, " {baud}");
        }
    }
    if outcome.heard.is_heard_there && !outcome.heard.is_answered_by_daemon && !untried.is_empty() {
        note(format_args!("not tried:{untried} baud: more than --max-baud at one end, or than a port can"));
    }
    found
}

/// For people: a picture, the speeds, what to use.
pub fn text(outcome: &Outcome) -> String {
    let (_, verdict) = verdict(outcome);
    let uart = outcome.uart.map_or("no UART known".to_string(), |uart| format!("UART {}", uart.name()));
    let mut out = format!("{} ({uart}): {verdict}\n\n", outcome.device);
    if outcome.heard.is_peer_there {
        picture(outcome, &mut out);
    }
    for speed in &outcome.speeds {
        speed_line(speed, &mut out);
    }
    for hazard in hazards(outcome) {
        let _ = writeln!(out, "  ! {hazard}");
    }
    if let Some(best) = outcome.best() {
        let interval = Outcome::interval(best).as_ms();
        let _ = writeln!(out, "\nUse baud = {}; it carries beats every {interval} ms and slower.", best.baud);
    }
    out
}

fn picture(outcome: &Outcome, out: &mut String) {
    let mut row = |left: &str, wire: &str, right: &str| {
        let _ = writeln!(out, "  {left:>7} {wire:<13} {right}");
    };
    const NO_WIRE: &str = "     x";
    const OUT: &str = "------------>";
    const BACK: &str = "<------------";
    let wires = &outcome.wires;
    let sent = outcome.heard.is_heard_there;
    row("here", "", "  the other end");
    row("TXD", if sent { OUT } else { NO_WIRE }, "RXD");
    row("RXD", BACK, "TXD");
    // Without an answer no line was tried.
    if sent {
        let name = |bits: u32| if bits == 0 { "-".to_string() } else { lines::names(bits.cast_signed()) };
        for (output, inputs) in ["DTR", "RTS"].iter().zip(wires.out) {
            row(output, if inputs != 0 { OUT } else { NO_WIRE }, &name(inputs));
        }
        for (output, inputs) in ["DTR", "RTS"].iter().zip(wires.back) {
            let is_unknown = *output == "RTS" && outcome.heard.is_rts_unknown(wires);
            let wire = if is_unknown { "     ?" } else { NO_WIRE };
            row(&name(inputs), if inputs != 0 { BACK } else { wire }, output);
        }
    }
    out.push('\n');
}

fn speed_line(speed: &Speed, out: &mut String) {
    let Speed { baud, sent, lost, trip_us: [best, mean, worst] } = *speed;
    let ms = |us: u32| format!("{}.{}", us / 1_000, us % 1_000 / 100);
    let _ = if sent == 0 {
        writeln!(out, "  {baud:>6} baud: no answer")
    } else {
        writeln!(
            out,
            "  {baud:>6} baud: {lost:>2} of {sent} frames lost; there and back {} ms, mean {}, worst {}",
            ms(best),
            ms(mean),
            ms(worst)
        )
    };
}

#[derive(Serialize)]
struct Document<'a> {
    device: &'a str,
    wiring: &'static str,
    one_end: bool,
    verdict: String,
    uart: Option<&'static str>,
    lines: LinesDocument,
    speeds: Vec<SpeedDocument>,
    hazards: Vec<String>,
    use_baud: Option<u32>,
    use_interval_ms: Option<u64>,
    complete: bool,
}

/// For each output the inputs that follow it.
#[derive(Serialize)]
struct LinesDocument {
    our_dtr_reaches: String,
    our_rts_reaches: String,
    their_dtr_reaches: String,
    their_rts_reaches: String,
    bridged_here: String,
    bridged_there: String,
}

#[derive(Serialize)]
struct SpeedDocument {
    baud: u32,
    sent: u32,
    lost: u32,
    best_us: u32,
    mean_us: u32,
    worst_us: u32,
}

/// One object and a line end.
pub fn json(outcome: &Outcome) -> String {
    let (wiring, verdict) = verdict(outcome);
    let best = outcome.best();
    let document = Document {
        device: &outcome.device,
        wiring,
        one_end: outcome.heard.is_answered_by_daemon,
        verdict,
        uart: outcome.uart.map(|uart| uart.name()),
        lines: lines_document(outcome.wires),
        speeds: outcome.speeds.iter().map(speed_document).gather(),
        hazards: hazards(outcome),
        use_baud: best.map(|best| best.baud),
        use_interval_ms: best.map(|best| Outcome::interval(best).as_ms()),
        complete: !outcome.is_cut_short,
    };
    json::line(&document) + "\n"
}

fn lines_document(wires: Wires) -> LinesDocument {
    let names = |bits: u32| lines::names(bits.cast_signed());
    let Wires { out, back, bridged } = wires;
    let ([our_dtr_reaches, our_rts_reaches], [their_dtr_reaches, their_rts_reaches]) =
        (out.map(names), back.map(names));
    let [bridged_here, bridged_there] = bridged.map(names);
    LinesDocument {
        our_dtr_reaches,
        our_rts_reaches,
        their_dtr_reaches,
        their_rts_reaches,
        bridged_here,
        bridged_there,
    }
}

fn speed_document(speed: &Speed) -> SpeedDocument {
    let Speed { baud, sent, lost, trip_us: [best_us, mean_us, worst_us] } = *speed;
    SpeedDocument { baud, sent, lost, best_us, mean_us, worst_us }
}
