//! Ioctls of terminals and serial ports (ioctl_tty(2)).

use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

#[cfg(feature = "workbench")]
use nix::libc;
use nix::libc::{c_char, c_int, c_uchar, c_uint, c_ulong, c_ushort, termios2};

/// `struct serial_struct` of linux/serial.h.
#[repr(C)]
pub struct SerialStruct {
    /// `PORT_*` of linux/serial_core.h.
    pub kind: c_int,
    line: c_int,
    port: c_uint,
    irq: c_int,
    flags: c_int,
    xmit_fifo_size: c_int,
    custom_divisor: c_int,
    /// Input clock over 16.
    pub baud_base: c_int,
    close_delay: c_ushort,
    io_type: c_char,
    reserved: c_char,
    hub6: c_int,
    closing_wait: c_ushort,
    closing_wait2: c_ushort,
    iomem_base: *mut c_uchar,
    iomem_reg_shift: c_ushort,
    port_high: c_uint,
    iomap_base: c_ulong,
}

/// `struct serial_icounter_struct` of linux/serial.h.
#[repr(C)]
#[derive(Default)]
pub struct SerialCounts {
    cts: c_int,
    dsr: c_int,
    rng: c_int,
    dcd: c_int,
    rx: c_int,
    tx: c_int,
    pub frame: c_int,
    pub overrun: c_int,
    pub parity: c_int,
    pub brk: c_int,
    pub buf_overrun: c_int,
    reserved: [c_int; 9],
}

mod ioctl {
    use nix::libc::{self, c_int};

    nix::ioctl_read!(tcgets2, b'T', 0x2a, libc::termios2);
    nix::ioctl_write_ptr!(tcsets2, b'T', 0x2b, libc::termios2);
    nix::ioctl_read_bad!(tiocmget, libc::TIOCMGET, c_int);
    nix::ioctl_write_ptr_bad!(tiocmbis, libc::TIOCMBIS, c_int);
    nix::ioctl_write_ptr_bad!(tiocmbic, libc::TIOCMBIC, c_int);
    nix::ioctl_read_bad!(tiocoutq, libc::TIOCOUTQ, c_int);
    nix::ioctl_none_bad!(tiocnxcl, libc::TIOCNXCL);
    // ioctl_tty(2) does not know these; linux/drivers/tty/serial/serial_core.c does.
    nix::ioctl_read_bad!(tiocgserial, libc::TIOCGSERIAL, super::SerialStruct);
    nix::ioctl_read_bad!(tiocgicount, libc::TIOCGICOUNT, super::SerialCounts);
}

/// The descriptor of a port that was opened.
pub fn descriptor_of(port: serialport::TTYPort) -> OwnedFd {
    // SAFETY: the port gives its descriptor away and forgets it, so that from here on it is ours alone.
    unsafe { OwnedFd::from_raw_fd(port.into_raw_fd()) }
}

/// The mode of a port: speed, raw or not, flow control.
///
/// # Errors
/// `ENOTTY`, and what else the driver says.
pub fn mode(port: &impl AsFd) -> nix::Result<termios2> {
    let mut mode = std::mem::MaybeUninit::<termios2>::zeroed();
    // SAFETY: TCGETS2 writes one termios2, to which the pointer is.
    unsafe { ioctl::tcgets2(port.as_fd().as_raw_fd(), mode.as_mut_ptr()) }?;
    // SAFETY: plain numbers, for which zeroes are a value.
    Ok(unsafe { mode.assume_init() })
}

/// Sets a port to this mode.
///
/// # Errors
/// `ENOTTY`, and what else the driver says.
pub fn set_mode(port: &impl AsFd, mode: &termios2) -> nix::Result<()> {
    // SAFETY: TCSETS2 reads one termios2, and there is one.
    unsafe { ioctl::tcsets2(port.as_fd().as_raw_fd(), mode) }.map(drop)
}

/// The modem lines as they are now, in bits of `TIOCM_*`.
///
/// # Errors
/// `ENOTTY` where the port has none.
pub fn lines(port: &impl AsFd) -> nix::Result<c_int> {
    let mut bits = 0;
    // SAFETY: TIOCMGET writes one int, and `bits` is one.
    unsafe { ioctl::tiocmget(port.as_fd().as_raw_fd(), &raw mut bits) }?;
    Ok(bits)
}

/// Raises the outputs in `bits`.
///
/// # Errors
/// `ENOTTY` where the port has none.
pub fn raise_lines(port: &impl AsFd, bits: c_int) -> nix::Result<()> {
    // SAFETY: TIOCMBIS reads one int, and `bits` is one.
    unsafe { ioctl::tiocmbis(port.as_fd().as_raw_fd(), &raw const bits) }.map(drop)
}

/// Drops the outputs in `bits`.
///
/// # Errors
/// `ENOTTY` where the port has none.
pub fn drop_lines(port: &impl AsFd, bits: c_int) -> nix::Result<()> {
    // SAFETY: TIOCMBIC reads one int, and `bits` is one.
    unsafe { ioctl::tiocmbic(port.as_fd().as_raw_fd(), &raw const bits) }.map(drop)
}

/// How many bytes have not left the port yet.
///
/// # Errors
/// What the driver says.
pub fn queued_bytes(port: &impl AsFd) -> nix::Result<usize> {
    let mut bytes = 0;
    // SAFETY: TIOCOUTQ writes one int, and `bytes` is one.
    unsafe { ioctl::tiocoutq(port.as_fd().as_raw_fd(), &raw mut bytes) }?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Takes the exclusive flag off a port: others may open it again.
///
/// # Errors
/// What the driver says.
pub fn share(port: &impl AsFd) -> nix::Result<()> {
    // SAFETY: this ioctl takes no argument.
    unsafe { ioctl::tiocnxcl(port.as_fd().as_raw_fd()) }.map(drop)
}

/// What the driver tells of the chip behind a port.
///
/// # Errors
/// `ENOTTY` where there is none.
pub fn serial(port: &impl AsFd) -> nix::Result<SerialStruct> {
    let mut told = std::mem::MaybeUninit::<SerialStruct>::zeroed();
    // SAFETY: TIOCGSERIAL writes one serial_struct, to which the pointer is.
    unsafe { ioctl::tiocgserial(port.as_fd().as_raw_fd(), told.as_mut_ptr()) }?;
    // SAFETY: plain numbers and a pointer that nobody follows, for all of which zeroes are a value.
    Ok(unsafe { told.assume_init() })
}

/// What the driver has counted since it found the port.
///
/// # Errors
/// `ENOTTY` where it counts nothing.
pub fn counts(port: &impl AsFd) -> nix::Result<SerialCounts> {
    let mut told = SerialCounts::default();
    // SAFETY: TIOCGICOUNT writes one serial_icounter_struct, and `told` is one.
    unsafe { ioctl::tiocgicount(port.as_fd().as_raw_fd(), &raw mut told) }?;
    Ok(told)
}

/// How large the window of a terminal is.
///
/// # Errors
/// `ENOTTY` where it is no terminal.
#[cfg(feature = "workbench")]
pub fn window_size(terminal: &impl AsFd) -> nix::Result<libc::winsize> {
    nix::ioctl_read_bad!(tiocgwinsz, libc::TIOCGWINSZ, libc::winsize);
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, and `size` is one.
    unsafe { tiocgwinsz(terminal.as_fd().as_raw_fd(), &raw mut size) }?;
    Ok(size)
}
