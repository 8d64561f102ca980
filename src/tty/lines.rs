//! The modem lines of a port. We drive two of them and see three.

use std::os::fd::OwnedFd;
use std::time::Duration;

use crosswire::health::Lines;
use crosswire::pair::Side;
use nix::libc::{self, c_int};

use crate::gather::Gather;
use crate::sys;

/// Output: 'my agent runs'.
pub const DTR: c_int = libc::TIOCM_DTR;
/// Output: 'I hold services'.
pub const RTS: c_int = libc::TIOCM_RTS;
/// Input: the peer's DTR, on a full null-modem cable.
pub const DSR: c_int = libc::TIOCM_DSR;
/// Input: the peer's DTR too.
pub const DCD: c_int = libc::TIOCM_CAR;
/// Input: the peer's RTS.
pub const CTS: c_int = libc::TIOCM_CTS;
/// All lines that we see.
pub const INPUTS: c_int = DSR | DCD | CTS;

/// The lines as they are now, outputs and inputs; `None` if the port has none.
pub fn get(port: &OwnedFd) -> Option<c_int> {
    sys::tty::lines(port).ok()
}

/// Raises the outputs in `bits` and drops the other one. A port without lines takes no notice.
pub fn set(port: &OwnedFd, bits: c_int) {
    let (raised, dropped) = (bits & (DTR | RTS), !bits & (DTR | RTS));
    let _ = sys::tty::drop_lines(port, dropped);
    let _ = sys::tty::raise_lines(port, raised);
}

/// How long a change of an output may take to reach an input of the same plug; a transceiver needs
/// microseconds.
const SETTLES: Duration = Duration::from_millis(1);
/// In which order the outputs go up and down. Neither rhythm occurs anywhere in the other, whatever comes
/// before and after it: two nodes that open their ports in the same millisecond do not take each other for a
/// bridge.
const RHYTHMS: [[bool; 6]; 2] =
    [[true, false, true, false, false, true], [true, true, false, false, true, false]];

/// The inputs that follow our own outputs: they are bridged in the plug, as in many cables with three wires,
/// and say nothing of the peer. Takes 6 ms, and leaves the outputs as the rhythm ends. The two ends of a
/// cable have to be of different `side`.
pub fn bridged(port: &OwnedFd, side: Side) -> c_int {
    let mut follow = INPUTS;
    for is_up in RHYTHMS[side.index()] {
        set(port, if is_up { DTR | RTS } else { 0 });
        std::thread::sleep(SETTLES);
        let Some(seen) = get(port) else { return 0 };
        follow &= if is_up { seen } else { !seen };
    }
    follow
}

/// What the lines in `bits` say of the peer, without those that are `bridged`; `None` if nothing is left that
/// could.
///
/// Cables lead the peer's DTR to DSR, to DCD or to both: one that is up is enough, and all have to drop.
pub const fn of_peer(bits: c_int, bridged: c_int) -> Option<Lines> {
    if bridged & (DSR | DCD) == DSR | DCD {
        return None;
    }
    let own = bits & !bridged;
    Some(Lines { peer_runs: own & (DSR | DCD) != 0, peer_holds: own & CTS != 0 })
}

/// The names of the lines in `bits`: `DTR RTS DSR DCD CTS`.
pub fn names(bits: c_int) -> String {
    let named = [(DTR, "DTR"), (RTS, "RTS"), (DSR, "DSR"), (DCD, "DCD"), (CTS, "CTS")];
    let set: Vec<&str> = named.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).gather();
    set.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_dsr_and_dcd_is_enough_and_bridged_lines_say_nothing() {
        let lines = |peer_runs, peer_holds| Some(Lines { peer_runs, peer_holds });
        let rows = [
            (0, 0, lines(false, false)),
            (DSR | DCD | CTS, 0, lines(true, true)),
            (DSR, 0, lines(true, false)),
            (DCD | CTS, 0, lines(true, true)),
            (CTS, 0, lines(false, true)),
            (DSR | DCD | CTS, CTS, lines(true, false)),
            (DSR | DCD, DSR, lines(true, false)),
            (DSR, DSR, lines(false, false)),
            (DSR | DCD | CTS, DSR | DCD, None),
            (0, INPUTS, None),
            (DTR | RTS, 0, lines(false, false)),
        ];
        for (bits, bridged, expected) in rows {
            assert_eq!(of_peer(bits, bridged), expected, "{bits:#x} {bridged:#x}");
        }
    }

    #[test]
    fn neither_rhythm_occurs_in_the_other() {
        for (own, other) in [(RHYTHMS[0], RHYTHMS[1]), (RHYTHMS[1], RHYTHMS[0])] {
            for (before, after) in [(false, false), (false, true), (true, false), (true, true)] {
                let stream: Vec<bool> = [[before; 6], other, [after; 6]].concat();
                assert!(!stream.windows(6).any(|window| window == own), "{own:?} in {stream:?}");
            }
        }
    }

    #[test]
    fn a_pseudo_terminal_has_no_lines_and_does_not_mind() {
        let pty = nix::pty::openpty(None, None).expect("a pty");
        assert_eq!(get(&pty.slave), None);
        set(&pty.slave, DTR);
        assert_eq!(bridged(&pty.slave, Side::A), 0);
    }
}
