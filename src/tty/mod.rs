//! What a serial port of Linux can say and do beyond bytes: modem lines, any speed, the kind of UART, error
//! counters, and who else lives on it.
//!
//! All of it is `ioctl_tty(2)`. A pseudo-terminal, and many a USB adapter, knows only a part: what a port
//! does not know is `None`, never an error.

mod consoles;
pub mod fit;
pub mod lines;
pub mod speed;
#[cfg(feature = "cable-test")]
pub mod test_protocol;
pub mod uart;
