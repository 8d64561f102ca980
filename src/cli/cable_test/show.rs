//! What was found, for people and as JSON.

use std::io::{self, Write};

use crate::cli::json::{Value, json};

use super::outcome::{Outcome, Wiring};
use crate::tty::exchange::Speed;
use crate::tty::lines::{self, INPUTS};
use crate::tty::uart::MAX_BAUD_WITHOUT_FIFO;

/// What the cable is, why that matters, and what to do.
fn verdict(outcome: &Outcome) -> (&'static str, String) {
    let text = |text: &str| text.to_string();
    match outcome.wiring() {
        Wiring::Full => {
            ("full", text("a full null modem: data and modem lines both ways. A power loss is seen at once."))
        }
        Wiring::Partial => (
            "partial",
            text(
                "a null modem with some of its modem lines only: beats are carried, but the lines are not relied on where \
                  they do not work both ways.",
            ),
        ),
        Wiring::Three => (
            "three-wire",
            text(
                "a null modem with three wires: beats are carried; without modem lines a power loss takes dead_after to see.",
            ),
        ),
        Wiring::OneWay => (
            "one-way",
            text("the other end is heard but does not hear us: our TXD (pin 3 of DB9) does not reach its RXD (pin 2)."),
        ),
        Wiring::Loopback => (
            "loopback",
            text(
                "our own bytes come back: a loopback plug, or TXD and RXD touch. Put a null-modem cable between the two boxes.",
            ),
        ),
        Wiring::Daemon => ("daemon", daemon_text(outcome)),
        Wiring::Noise => (
            "noise",
            text(
                "bytes arrive that are no frames: a console or a login at the other end, another speed, or a bad cable. Run \
                  this test there too.",
            ),
        ),
        Wiring::Nothing if outcome.idle_lines != 0 => (
            "nothing",
            text(
                "no byte arrives, but a powered port is at the other end: run this test there too. If it runs, its TXD does not \
                  reach our RXD, or the cable is straight.",
            ),
        ),
        Wiring::Nothing => (
            "nothing",
            text(
                "nothing arrives: the test does not run at the other end, the cable is not plugged in, it is straight and no \
                  null modem, or this is the wrong port.",
            ),
        ),
    }
}

fn daemon_text(outcome: &Outcome) -> String {
    let (pair, baud) = outcome.heard.daemon.unwrap_or_default();
    format!(
        "a running crosswire of the pair with id {pair:04x} talks there at {baud} baud: data reaches us. If it is the right \
         box, say `crosswire maintenance on` there first, or stop it; if it is another pair's, the cables are crossed."
    )
}

/// Everything else that an operator should know.
fn hazards(outcome: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(uart) = outcome.uart {
        if uart.is_unknown() {
            found.push(
                "the driver finds no UART here: the board may lack the port, or the BIOS has it disabled".to_string(),
            );
        } else if uart.is_too_slow_for(MAX_BAUD_WITHOUT_FIFO + 1) {
            let name = uart.name();
            found.push(format!(
                "the UART ({name}) has no FIFO: above {MAX_BAUD_WITHOUT_FIFO} baud a busy box loses bytes"
            ));
        }
    }
    if outcome.heard.is_answered_by_daemon {
        found.push(
            "a running daemon answered: its own speed alone was tried; its DTR and RTS were not driven, only seen as they stand"
                .to_string(),
        );
    }
    for (bridged, place) in
        outcome.wires.bridged.iter().zip(["here", "at the other end"]).filter(|(bits, _)| **bits != 0)
    {
        found.push(format!(
            "{} bridged {place}: these lines say nothing of the peer",
            lines::names(i32::from(*bridged))
        ));
    }
    for speed in outcome.speeds.iter().filter(|speed| !speed.is_clean()) {
        found.push(match speed.sent {
            0 => format!("{} baud: nobody understands the other", speed.baud),
            sent => format!("{} baud: {} of {sent} frames were lost or broken", speed.baud, speed.lost),
        });
    }
    if outcome.is_cut_short {
        found.push("the other end was lost before the test was done: run it again on both ends".to_string());
    }
    found
}

/// For people: a picture, the speeds, what to use.
pub fn text(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let (_, verdict) = verdict(outcome);
    let uart = outcome.uart.map_or("no UART known".to_string(), |uart| format!("UART {}", uart.name()));
    writeln!(out, "{} ({uart}): {verdict}\n", outcome.device)?;
    if outcome.heard.is_peer_there {
        picture(outcome, out)?;
    }
    for speed in &outcome.speeds {
        speed_line(speed, out)?;
    }
    for hazard in hazards(outcome) {
        writeln!(out, "  ! {hazard}")?;
    }
    if let Some(best) = outcome.best() {
        let interval = Outcome::interval(best).as_ms();
        writeln!(out, "\nUse baud = {}; it carries beats every {interval} ms and slower.", best.baud)?;
    }
    Ok(())
}

fn picture(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let name = |bits: u16| match lines::names(i32::from(bits) & INPUTS) {
        names if names.is_empty() => "-".to_string(),
        names => names,
    };
    let wire = |works: bool, right: bool| match (works, right) {
        (true, true) => "------------>",
        (true, false) => "<------------",
        (false, _) => "     x       ",
    };
    let wires = &outcome.wires;
    let sent = outcome.heard.is_heard_there;
    writeln!(out, "  {:>7}                 the other end", "here")?;
    writeln!(out, "  {:>7} {} RXD", "TXD", wire(sent, true))?;
    writeln!(out, "  {:>7} {} TXD", "RXD", wire(true, false))?;
    if !sent {
        // Without an answer no line was tried.
        return writeln!(out);
    }
    for (output, inputs) in ["DTR", "RTS"].iter().zip(wires.out) {
        writeln!(out, "  {output:>7} {} {}", wire(inputs != 0, true), name(inputs))?;
    }
    for (output, inputs) in ["DTR", "RTS"].iter().zip(wires.back) {
        if *output == "RTS" && outcome.heard.is_rts_unknown(wires) {
            writeln!(out, "        ?      not seen  RTS")?;
        } else {
            writeln!(out, "  {:>7} {} {output}", name(inputs), wire(inputs != 0, false))?;
        }
    }
    writeln!(out)
}

fn speed_line(speed: &Speed, out: &mut impl Write) -> io::Result<()> {
    let [best, mean, worst] = speed.trip_us.map(|us| (us / 1_000, us % 1_000 / 100));
    if speed.sent == 0 {
        return writeln!(out, "  {:>6} baud: no answer", speed.baud);
    }
    writeln!(
        out,
        "  {:>6} baud: {:>2} of {} frames lost; there and back {}.{} ms, mean {}.{}, worst {}.{}",
        speed.baud, speed.lost, speed.sent, best.0, best.1, mean.0, mean.1, worst.0, worst.1
    )
}

/// One object and a line end.
pub fn json(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let (wiring, verdict) = verdict(outcome);
    let names = |bits: u16| lines::names(i32::from(bits));
    let speed = |speed: &Speed| {
        let [best, mean, worst] = speed.trip_us;
        json!({ "baud": speed.baud, "sent": speed.sent, "lost": speed.lost, "best_us": best, "mean_us": mean, "worst_us": worst })
    };
    let wires = &outcome.wires;
    let value = json!({
        "device": &outcome.device,
        "wiring": wiring,
        "one_end": outcome.heard.is_answered_by_daemon,
        "verdict": verdict,
        "uart": outcome.uart.map(|uart| uart.name()),
        "lines": json!({
            "our_dtr_reaches": names(wires.out[0]),
            "our_rts_reaches": names(wires.out[1]),
            "their_dtr_reaches": names(wires.back[0]),
            "their_rts_reaches": names(wires.back[1]),
            "bridged_here": names(wires.bridged[0]),
            "bridged_there": names(wires.bridged[1]),
        }),
        "speeds": outcome.speeds.iter().map(speed).collect::<Value>(),
        "hazards": hazards(outcome).as_slice(),
        "use_baud": outcome.best().map(|best| best.baud),
        "use_interval_ms": outcome.best().map(|best| Outcome::interval(best).as_ms()),
        "complete": !outcome.is_cut_short,
    });
    writeln!(out, "{value}")
}
