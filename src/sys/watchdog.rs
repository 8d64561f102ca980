//! Ioctls of a watchdog (linux/watchdog.h).

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc::c_int;

mod ioctl {
    use nix::libc::c_int;

    /// `struct watchdog_info`.
    #[repr(C)]
    #[derive(Default)]
    pub struct Info {
        pub options: u32,
        pub firmware_version: u32,
        pub identity: [u8; 32],
    }

    nix::ioctl_read!(support, b'W', 0, Info);
    nix::ioctl_read!(boot_status, b'W', 2, c_int);
    nix::ioctl_readwrite!(set_timeout, b'W', 6, c_int);
    nix::ioctl_read!(timeout, b'W', 7, c_int);
}

/// What a driver can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchdogRequest {
    /// What it can do, in bits of `WDIOF_*`.
    Options,
    /// Why the box was reset last.
    BootStatus,
    /// To reset the box this many seconds after the last sign of life; the driver answers with what it has
    /// set.
    SetTimeout(u32),
    /// The timeout, in seconds.
    Timeout,
}

/// Asks the driver.
///
/// # Errors
/// What it says; `EINVAL` for numbers that do not fit.
pub fn ask(device: &impl AsFd, request: WatchdogRequest) -> nix::Result<u32> {
    let device = device.as_fd().as_raw_fd();
    let mut value: c_int = 0;
    match request {
        WatchdogRequest::Options => {
            let mut info = ioctl::Info::default();
            // SAFETY: the driver writes one such structure, which outlives the call.
            unsafe { ioctl::support(device, &raw mut info) }?;
            return Ok(info.options);
        }
        // SAFETY: the driver writes one int, and `value` is one.
        WatchdogRequest::BootStatus => unsafe { ioctl::boot_status(device, &raw mut value) }?,
        // SAFETY: the driver writes one int, and `value` is one.
        WatchdogRequest::Timeout => unsafe { ioctl::timeout(device, &raw mut value) }?,
        WatchdogRequest::SetTimeout(seconds) => {
            value = c_int::try_from(seconds).map_err(|_| Errno::EINVAL)?;
            // SAFETY: the driver reads and writes one int, and `value` is one.
            unsafe { ioctl::set_timeout(device, &raw mut value) }?
        }
    };
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}
