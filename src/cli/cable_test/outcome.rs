//! What a test finds, and the name of the cable.

use crate::tty::lines::{CTS, DCD, DSR};
use crate::tty::test_protocol::{Speed, Wires};
use crate::tty::uart::Uart;
use crosswire::time::Span;

/// What has come in on the port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// Another test.
    pub is_peer_there: bool,
    /// It has heard us.
    pub is_heard_there: bool,
    /// Frames of our own.
    pub echoes: u32,
    /// Bytes that are no frames.
    pub noise: u32,
    /// A daemon of the pair with this id talks there, at this speed.
    pub daemon: Option<(u16, u32)>,
    /// It is in maintenance, and answers in the place of a test.
    pub is_answered_by_daemon: bool,
    /// Lines that were on while we called. They are noted then, since two tests of a cable that carries no
    /// data end at the same time and drop their lines.
    pub lines: u32,
}

impl Heard {
    /// A daemon that holds nothing keeps its RTS down, so nobody can see whether RTS would arrive.
    pub const fn is_rts_unknown(&self, wires: &Wires) -> bool {
        self.is_answered_by_daemon && wires.back[1] == 0
    }
}

/// What the cable is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wiring {
    /// Data both ways, and all lines.
    Full,
    /// Data both ways, and some lines.
    Partial,
    /// Data both ways, no line.
    Three,
    /// We hear the far end, which does not hear us.
    OneWay,
    /// Our own bytes come back.
    Loopback,
    /// A daemon of a pair talks there.
    Daemon,
    /// Bytes that are no frames.
    Noise,
    /// Nothing at all.
    Nothing,
}

/// Names the cable.
pub fn wiring(heard: &Heard, wires: &Wires) -> Wiring {
    match heard {
        Heard { is_peer_there: true, is_heard_there: true, .. } => lines_of(heard, wires),
        Heard { is_peer_there: true, is_heard_there: false, .. } => Wiring::OneWay,
        Heard { echoes: 1.., .. } => Wiring::Loopback,
        Heard { daemon: Some(_), .. } => Wiring::Daemon,
        Heard { noise: 1.., .. } => Wiring::Noise,
        _ => Wiring::Nothing,
    }
}

fn lines_of(heard: &Heard, wires: &Wires) -> Wiring {
    let has = |[dtr, rts]: [u32; 2]| [dtr & (DSR | DCD).cast_unsigned() != 0, rts & CTS.cast_unsigned() != 0];
    let mut all = [has(wires.out), has(wires.back)];
    if heard.is_rts_unknown(wires) {
        // Then the line outwards stands for the one inwards.
        all[1][1] = all[0][1];
    }
    let works = all.iter().flatten().filter(|works| **works).count();
    match works {
        0 => Wiring::Three,
        4 => Wiring::Full,
        _ => Wiring::Partial,
    }
}

/// Everything that a test found.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub device: String,
    pub heard: Heard,
    pub wires: Wires,
    /// Lines that are on although nobody was heard: a powered port at the far end.
    pub idle_lines: u32,
    pub speeds: Vec<Speed>,
    /// The fastest speed that was asked for at this end.
    pub max_baud: u32,
    pub uart: Option<Uart>,
    /// The far end was lost before the test was done.
    pub is_cut_short: bool,
}

impl Outcome {
    /// What the cable is.
    pub fn wiring(&self) -> Wiring {
        wiring(&self.heard, &self.wires)
    }

    /// Whether our UART makes this speed.
    pub fn can(&self, baud: u32) -> bool {
        self.uart.is_none_or(|uart| uart.misses(baud).is_none())
    }

    /// Whether frames were lost at every speed that was tried.
    pub fn is_lossy(&self) -> bool {
        !self.speeds.is_empty() && !self.speeds.iter().any(Speed::is_clean)
    }

    /// The fastest speed that lost nothing and that the UART can stand.
    pub fn best(&self) -> Option<&Speed> {
        let can = |speed: &&Speed| {
            speed.is_clean() && !self.uart.is_some_and(|uart| uart.is_too_slow_for(speed.baud))
        };
        self.speeds.iter().filter(can).max_by_key(|speed| speed.baud)
    }

    /// The shortest interval for a pair with one cable, one LAN and one group at that speed.
    pub fn interval(speed: &Speed) -> Span {
        let beat =
            crosswire::quorum::timing::line_time(crosswire::frame::heartbeat_bytes(2, 1, 2), speed.baud);
        crate::settings::least_interval(beat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: u32 = 0x140;
    const C: u32 = 0x20;

    #[test]
    fn cables_are_named_by_what_arrives() {
        let peer = Heard { is_peer_there: true, is_heard_there: true, ..Heard::default() };
        let daemon = Heard { is_answered_by_daemon: true, ..peer };
        let wires = |out, back| Wires { out, back, bridged: [0, 0] };
        let rows = [
            (peer, wires([D, C], [D, C]), Wiring::Full),
            (peer, wires([0x100, C], [0x40, C]), Wiring::Full),
            (peer, wires([D, 0], [D, C]), Wiring::Partial),
            (peer, wires([C, 0], [0, 0]), Wiring::Three),
            (peer, wires([0, 0], [0, 0]), Wiring::Three),
            (daemon, wires([D, C], [D, C]), Wiring::Full),
            (daemon, wires([D, C], [D, 0]), Wiring::Full),
            (daemon, wires([D, 0], [D, 0]), Wiring::Partial),
            (daemon, wires([D, C], [0, 0]), Wiring::Partial),
            (daemon, wires([0, 0], [0, 0]), Wiring::Three),
            (peer, wires([D, C], [D, 0]), Wiring::Partial),
            (Heard { is_heard_there: false, ..peer }, wires([0, 0], [0, 0]), Wiring::OneWay),
            (Heard { echoes: 3, noise: 1, ..Heard::default() }, Wires::default(), Wiring::Loopback),
            (
                Heard { daemon: Some((7, 9_600)), noise: 1, ..Heard::default() },
                Wires::default(),
                Wiring::Daemon,
            ),
            (Heard { noise: 1, ..Heard::default() }, Wires::default(), Wiring::Noise),
            (Heard::default(), Wires::default(), Wiring::Nothing),
        ];
        for (heard, wires, expected) in rows {
            assert_eq!(wiring(&heard, &wires), expected, "{heard:?} {wires:?}");
        }
    }
}
