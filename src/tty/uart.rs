//! What sits behind a port, and what it has counted.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::libc::c_int;
use nix::sys::stat::{fstat, major, minor};
use serde::{Deserialize, Serialize};

use super::speed::is_near;
use crate::sys;

/// A UART, as far as the driver tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Uart {
    /// `PORT_*` of linux/serial_core.h.
    kind: i32,
    /// Input clock over 16: the fastest speed, which divisors make slower. Zero: not told.
    pub baud_base: u32,
}

/// Above this a UART without a FIFO loses bytes on a busy Pentium: it has to be served within one byte, 520
/// us at 19200 baud.
pub const MAX_BAUD_WITHOUT_FIFO: u32 = 19_200;

/// The first kinds of linux/serial_core.h (`PORT_*`); later ones are embedded or fast, and all have FIFOs.
const KINDS: [&str; 17] = [
    "unknown", "8250", "16450", "16550", "16550A", "Cirrus", "16650", "16650V2", "16750", "Startech",
    "16C950", "16654", "16850", "RSA", "NS16550A", "XScale", "RM9000",
];
/// Stands for the kind of a USB adapter, whose driver names no UART.
const ADAPTER: i32 = -1;
/// Majors of USB adapters: ttyACM, ttyUSB (Linux's devices.txt).
const ADAPTERS: [u64; 2] = [166, 188];
/// 8250, 16450, and the first 16550, whose FIFO does not work.
const WITHOUT_FIFO: std::ops::RangeInclusive<i32> = 1..=3;

impl Uart {
    /// Asks the driver; `None` where the port is a pseudo-terminal or the driver does not tell.
    pub fn of(port: &OwnedFd) -> Option<Self> {
        let told = sys::tty::serial(port).ok()?;
        let is_adapter = fstat(port).is_ok_and(|found| ADAPTERS.contains(&major(found.st_rdev)));
        Some(Self {
            kind: if is_adapter { ADAPTER } else { told.kind },
            baud_base: u32::try_from(told.baud_base).unwrap_or(0),
        })
    }

    /// What the kernel says of a device without opening it; `None` if it does not tell (before Linux 3.8, and
    /// for most ports that are no UART of the board).
    pub fn of_device(device: &Path) -> Option<Self> {
        let id = std::fs::metadata(device).ok()?.rdev();
        let folder = format!("/sys/dev/char/{}:{}", major(id), minor(id));
        let number =
            |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).ok()?.trim().parse::<i32>().ok();
        Some(Self { kind: number("type")?, baud_base: number("uartclk").unwrap_or(0).cast_unsigned() / 16 })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match usize::try_from(self.kind) {
            Ok(kind) => KINDS.get(kind).copied().unwrap_or("other"),
            Err(_) => "behind USB",
        }
    }

    /// Whether the driver knows no UART there, since the board lacks it.
    pub const fn is_unknown(self) -> bool {
        self.kind == 0
    }

    /// The speed that it would run at instead of `baud`, if that is too far off: its clock is divided by
    /// whole numbers. `None` for all but the plain kinds, since others multiply their clocks.
    pub fn misses(self, baud: u32) -> Option<u32> {
        let is_plain = WITHOUT_FIFO.contains(&self.kind) || self.kind == *WITHOUT_FIFO.end() + 1;
        let divisor = self.baud_base.saturating_add(baud / 2).checked_div(baud)?.max(1);
        let found = self.baud_base / divisor;
        (is_plain && self.baud_base > 0 && !is_near(baud, found)).then_some(found)
    }

    /// Whether it has no FIFO and `baud` is too fast for that.
    pub fn is_too_slow_for(self, baud: u32) -> bool {
        WITHOUT_FIFO.contains(&self.kind) && baud > MAX_BAUD_WITHOUT_FIFO
    }
}

/// What the driver has counted since the box started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Bytes whose stop bit was missing: wrong speed, noise.
    pub framing: u32,
    /// Bytes that the UART or the driver's buffer lost: interrupts came too late.
    pub overrun: u32,
    /// Bytes of wrong parity: of no meaning at 8N1.
    pub parity: u32,
    /// BREAKs.
    pub breaks: u32,
}

impl Counts {
    /// Asks the driver; `None` where it does not count.
    pub fn of(port: &OwnedFd) -> Option<Self> {
        let told = sys::tty::counts(port).ok()?;
        let count = |n: c_int| n.cast_unsigned();
        Some(Self {
            framing: count(told.frame),
            overrun: count(told.overrun).wrapping_add(count(told.buf_overrun)),
            parity: count(told.parity),
            breaks: count(told.brk),
        })
    }

    /// What was counted since `earlier`.
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            framing: self.framing.wrapping_sub(earlier.framing),
            overrun: self.overrun.wrapping_sub(earlier.overrun),
            parity: self.parity.wrapping_sub(earlier.parity),
            breaks: self.breaks.wrapping_sub(earlier.breaks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uart_without_a_fifo_is_named_and_too_slow_for_high_speeds() {
        let uart = |kind| Uart { kind, baud_base: 115_200 };
        let rows = [
            (0, "unknown", false),
            (1, "8250", true),
            (2, "16450", true),
            (3, "16550", true),
            (4, "16550A", false),
            (99, "other", false),
            (ADAPTER, "behind USB", false),
        ];
        for (kind, name, is_slow) in rows {
            assert_eq!((uart(kind).name(), uart(kind).is_too_slow_for(38_400)), (name, is_slow), "{kind}");
            assert!(!uart(kind).is_too_slow_for(19_200), "{kind}");
        }
    }

    #[test]
    fn a_clock_divides_to_some_speeds_only() {
        let uart = |kind, baud_base| Uart { kind, baud_base };
        for (kind, base, baud, expected) in [
            (4, 115_200, 230_400, Some(115_200)),
            (1, 115_200, 230_400, Some(115_200)),
            (4, 115_200, 100_000, Some(115_200)),
            (4, 115_200, 31_250, Some(28_800)),
            (4, 115_200, 19_200, None),
            (4, 115_200, 115_200, None),
            (4, 115_200, 300, None),
            (4, 1_843_200, 230_400, None),
            // A clock that is not told, a kind that multiplies its clock, an adapter.
            (4, 0, 230_400, None),
            (7, 115_200, 230_400, None),
            (0, 115_200, 230_400, None),
        ] {
            assert_eq!(uart(kind, base).misses(baud), expected, "{kind} {base} {baud}");
        }
    }

    #[test]
    fn a_pseudo_terminal_has_neither_uart_nor_counters() {
        let pty = nix::pty::openpty(None, None).expect("a pty");
        assert_eq!(Uart::of(&pty.slave), None);
        assert_eq!(Counts::of(&pty.slave), None);
    }

    #[test]
    fn counters_may_wrap() {
        let at = |framing| Counts { framing, ..Counts::default() };
        assert_eq!(at(2).since(at(u32::MAX)), at(3));
    }
}
