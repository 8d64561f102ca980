//! What a test finds, and what it is called.

use crosswire::time::Span;
use serde::{Deserialize, Serialize};

use crate::tty::lines::{CTS, DCD, DSR};
use crate::tty::uart::Uart;

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
    /// A daemon of the pair with this id talks there.
    pub daemon_of_pair: Option<u16>,
    /// Lines that were on while we called: two tests of a cable that carries nothing end at the same time, and drop theirs.
    pub lines: std::ffi::c_int,
}

/// Which lines arrive where: for each output the inputs that follow it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Wires {
    /// Inputs of the far end that follow our DTR, and our RTS.
    pub out: [u16; 2],
    /// Inputs of ours that follow the far end's DTR, and its RTS.
    pub back: [u16; 2],
    /// Inputs that follow the outputs of their own side: here, there.
    pub bridged: [u16; 2],
}

impl Wires {
    /// The same, seen from the other end.
    pub fn turned(self) -> Self {
        let [here, there] = self.bridged;
        Self { out: self.back, back: self.out, bridged: [there, here] }
    }
}

/// What was found of one speed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Speed {
    /// Bits a second.
    pub baud: u32,
    /// Frames of a heartbeat's length that were sent to be sent back; none: the far end was not heard at all.
    pub sent: u32,
    /// Those that did not come back whole.
    pub lost: u32,
    /// The quickest, the mean and the slowest way there and back, microseconds.
    pub trip_us: [u32; 3],
}

impl Speed {
    /// Carries everything.
    pub const fn is_clean(&self) -> bool {
        self.sent > 0 && self.lost == 0
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
        Heard { is_peer_there: true, is_heard_there: true, .. } => lines_of(wires),
        Heard { is_peer_there: true, is_heard_there: false, .. } => Wiring::OneWay,
        Heard { echoes: 1.., .. } => Wiring::Loopback,
        Heard { daemon_of_pair: Some(_), .. } => Wiring::Daemon,
        Heard { noise: 1.., .. } => Wiring::Noise,
        _ => Wiring::Nothing,
    }
}

fn lines_of(wires: &Wires) -> Wiring {
    let bits = |line: std::ffi::c_int| u16::try_from(line).unwrap_or(0);
    let has = |[dtr, rts]: [u16; 2]| [dtr & bits(DSR | DCD) != 0, rts & bits(CTS) != 0];
    let all = [has(wires.out), has(wires.back)];
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
    pub idle_lines: i32,
    pub speeds: Vec<Speed>,
    pub uart: Option<Uart>,
    /// The far end was lost before the test was done.
    pub is_cut_short: bool,
}

impl Outcome {
    /// What the cable is.
    pub fn wiring(&self) -> Wiring {
        wiring(&self.heard, &self.wires)
    }

    /// The fastest speed that lost nothing and that the UART can stand.
    pub fn best(&self) -> Option<&Speed> {
        let can = |speed: &&Speed| speed.is_clean() && !self.uart.is_some_and(|uart| uart.is_too_slow_for(speed.baud));
        self.speeds.iter().filter(can).max_by_key(|speed| speed.baud)
    }

    /// The shortest interval for a pair with one cable, one LAN and one group at that speed.
    pub fn interval(speed: &Speed) -> Span {
        let beat = crosswire::quorum::timing::line_time(crosswire::frame::heartbeat_bytes(2, 1), speed.baud);
        crate::settings::least_interval(beat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: u16 = 0x140;
    const C: u16 = 0x20;

    #[test]
    fn cables_are_named_by_what_arrives() {
        let peer = Heard { is_peer_there: true, is_heard_there: true, ..Heard::default() };
        let wires = |out, back| Wires { out, back, bridged: [0, 0] };
        let rows = [
            (peer, wires([D, C], [D, C]), Wiring::Full),
            (peer, wires([0x100, C], [0x40, C]), Wiring::Full),
            (peer, wires([D, 0], [D, C]), Wiring::Partial),
            (peer, wires([C, 0], [0, 0]), Wiring::Three),
            (peer, wires([0, 0], [0, 0]), Wiring::Three),
            (Heard { is_heard_there: false, ..peer }, wires([0, 0], [0, 0]), Wiring::OneWay),
            (Heard { echoes: 3, noise: 1, ..Heard::default() }, Wires::default(), Wiring::Loopback),
            (Heard { daemon_of_pair: Some(7), noise: 1, ..Heard::default() }, Wires::default(), Wiring::Daemon),
            (Heard { noise: 1, ..Heard::default() }, Wires::default(), Wiring::Noise),
            (Heard::default(), Wires::default(), Wiring::Nothing),
        ];
        for (heard, wires, expected) in rows {
            assert_eq!(wiring(&heard, &wires), expected, "{heard:?} {wires:?}");
        }
    }

    #[test]
    fn the_far_end_sees_the_same_cable() {
        let wires = Wires { out: [D, 0], back: [0, C], bridged: [C, 0] };
        assert_eq!(wires.turned(), Wires { out: [0, C], back: [D, 0], bridged: [0, C] });
        assert_eq!(wires.turned().turned(), wires);
    }
}
