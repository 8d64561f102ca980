//! The hardware watchdog (Documentation/watchdog/watchdog-api.rst), which resets a box whose guard or kernel
//! hangs.
//!
//! It is armed before anything is held, and stays so until everything is released. Custody decides when it is
//! petted. Only the magic character stops it; a killed guard cannot have written that.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use crosswire::quorum::timing::watchdog_announced;
use crosswire::time::Span;
use log::{error, info, warn};

use crate::operator::words::reset_cause;
use crate::settings::{Settings, Watchdog as Wanted};
use crate::sys::process::take_over;
use crate::sys::watchdog::{WatchdogRequest, ask};

/// The most seconds that a beat can announce.
const MAX_ANNOUNCED_S: u64 = 255;

/// An open device. Opening starts it.
enum Hardware {
    Driver(File),
    /// A plain file in the place of a driver: its first line is the timeout that it has, whatever is asked
    /// for, and its boot status, and its options if they are not the usual ones; what is written to it is
    /// added below.
    #[cfg(test)]
    Pretended(File, [u32; 3]),
}

impl Hardware {
    fn open(device: &Path) -> io::Result<Self> {
        #[cfg(test)]
        if std::fs::metadata(device)?.is_file() {
            let text = std::fs::read_to_string(device)?;
            let mut numbers: Vec<u32> =
                text.lines().next().unwrap_or("").split(' ').filter_map(|n| n.parse().ok()).collect();
            numbers.extend((numbers.len() == 2).then_some(MAGIC_CLOSE));
            let numbers: [u32; 3] =
                numbers.try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            return Ok(Self::Pretended(OpenOptions::new().append(true).open(device)?, numbers));
        }
        // The standard library's files close on exec.
        Ok(Self::Driver(OpenOptions::new().write(true).open(device)?))
    }

    fn ask(&self, request: WatchdogRequest) -> nix::Result<u32> {
        match self {
            Self::Driver(file) => ask(file, request),
            #[cfg(test)]
            Self::Pretended(_, [timeout_s, boot_status, options]) => Ok(match request {
                WatchdogRequest::Options => *options,
                WatchdogRequest::BootStatus => *boot_status,
                WatchdogRequest::Timeout | WatchdogRequest::SetTimeout(_) => *timeout_s,
            }),
        }
    }

    /// Any byte but the magic one puts the reset off by a timeout.
    fn write(&mut self, byte: u8) -> io::Result<()> {
        match self {
            Self::Driver(file) => file.write_all(&[byte]),
            #[cfg(test)]
            Self::Pretended(file, _) => file.write_all(if byte == MAGIC { b"stopped\n" } else { b"pet\n" }),
        }
    }
}

/// Written right before the close, it stops the watchdog.
const MAGIC: u8 = b'V';
const PET: u8 = 0;
/// `WDIOF_MAGICCLOSE`: the driver goes on when it is closed without the magic character.
const MAGIC_CLOSE: u32 = 0x0100;

/// What is armed, as the agent and the peer have to know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Armed {
    /// What the driver really set.
    pub timeout_s: u8,
    /// How long after the last sign of life of agent and guard the box has been reset at the latest. Zero if
    /// nobody may count on that, since a killed guard takes the watchdog along.
    pub bound_s: u8,
    /// Why the box was reset last, in the bits of `WDIOC_GETBOOTSTATUS`.
    pub boot_status: u32,
}

/// The watchdog of this box.
pub struct Watchdog<'a> {
    wanted: &'a Wanted,
    /// How often the agent has a word, by the settings under which the watchdog is armed.
    interval: Span,
    running: Option<(Hardware, Armed)>,
    /// The last thing that was wrong with it, so that it is said once.
    said: Option<io::ErrorKind>,
}

impl<'a> Watchdog<'a> {
    /// That of the settings, not armed yet; none if none is wanted, or in shadow.
    pub fn of(settings: &'a Settings) -> Option<Self> {
        let wanted = settings.watchdog.as_ref().filter(|_| !settings.is_shadow())?;
        Some(Self { wanted, interval: settings.policy.interval(), running: None, said: None })
    }

    /// The open device, for the program that is executed in the place of this one.
    pub fn carried(&self) -> Option<(RawFd, Armed)> {
        match self.running.as_ref()? {
            (Hardware::Driver(file), armed) => Some((file.as_raw_fd(), *armed)),
            #[cfg(test)]
            (Hardware::Pretended(..), _) => None,
        }
    }

    /// Goes on with a device that was opened by another run of the guard, and runs.
    pub fn take_over(&mut self, (descriptor, armed): (RawFd, Armed)) {
        let device = take_over(descriptor).map(|device| (Hardware::Driver(File::from(device)), armed));
        self.running = device.ok();
    }

    /// Whether it runs.
    pub fn armed(&self) -> Option<Armed> {
        self.running.as_ref().map(|(_, armed)| *armed)
    }

    /// Arms it, if it is not. Nothing may be held where this fails.
    pub fn arm(&mut self) -> Option<Armed> {
        if self.running.is_none() {
            let device = self.wanted.device.display();
            match self.start() {
                Ok((hardware, armed)) => {
                    let real = armed.timeout_s;
                    info!(
                        "watchdog {device}: armed, resets this box after {real} s; last reset: {}",
                        reset_cause(armed.boot_status)
                    );
                    if u64::from(real) * 1_000 != self.wanted.timeout.as_ms() {
                        warn!(
                            "watchdog {device}: the driver set {real} s instead of {}",
                            self.wanted.timeout
                        );
                    }
                    if armed.bound_s == 0 {
                        warn!(
                            "watchdog {device}: its driver stops with a guard that is killed: the peer is \
                                not told to count on it"
                        );
                    }
                    self.running = Some((hardware, armed));
                }
                Err(error) if self.said != Some(error.kind()) => {
                    error!("watchdog {device}: {error}: this node will hold nothing without it");
                    self.said = Some(error.kind());
                }
                Err(_) => {}
            }
        }
        self.armed()
    }

    fn start(&self) -> io::Result<(Hardware, Armed)> {
        let mut hardware = Hardware::open(&self.wanted.device)?;
        let armed = self.set(&hardware);
        if armed.is_err() {
            // Opening the device may have started it.
            let _ = hardware.write(MAGIC);
        }
        armed.map(|armed| (hardware, armed))
    }

    fn set(&self, hardware: &Hardware) -> io::Result<Armed> {
        let boot_status = hardware.ask(WatchdogRequest::BootStatus).unwrap_or(0);
        // Some drivers have a fixed timeout. What counts is what it really is.
        let _ = hardware.ask(WatchdogRequest::SetTimeout(
            u32::try_from(self.wanted.timeout.as_s_ceil()).unwrap_or(u32::MAX),
        ));
        let real = hardware.ask(WatchdogRequest::Timeout)?;
        let bound_s = watchdog_announced(Span::from_s(u64::from(real)), self.interval).as_s_ceil();
        let too_slow =
            || io::Error::other(format!("its timeout of {real} s is more than the peer can be told"));
        if real == 0 || bound_s > MAX_ANNOUNCED_S {
            return Err(too_slow());
        }
        let goes_on = hardware.ask(WatchdogRequest::Options).is_ok_and(|options| options & MAGIC_CLOSE != 0);
        let short = |seconds: u64| u8::try_from(seconds).map_err(|_| too_slow());
        let bound_s = if goes_on { short(bound_s)? } else { 0 };
        Ok(Armed { timeout_s: short(u64::from(real))?, bound_s, boot_status })
    }

    /// Puts the reset off.
    pub fn pet(&mut self) {
        let Some((hardware, _)) = &mut self.running else { return };
        if let Err(error) = hardware.write(PET)
            && self.said != Some(error.kind())
        {
            error!(
                "watchdog {}: cannot be petted ({error}): it will reset this box",
                self.wanted.device.display()
            );
            self.said = Some(error.kind());
        }
    }

    /// Everything is released: stops it.
    pub fn disarm(&mut self) {
        if let Some((mut hardware, _)) = self.running.take() {
            match hardware.write(MAGIC) {
                Ok(()) => info!("watchdog {}: stopped", self.wanted.device.display()),
                Err(error) => warn!("watchdog {}: cannot be stopped ({error})", self.wanted.device.display()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::settings;

    /// Settings with a pretended device whose driver has that timeout and boot status.
    fn pretended(first_line: &str) -> (tempfile::NamedTempFile, Settings) {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        writeln!(file, "{first_line}").expect("written");
        let mut settings = settings("near", &[]);
        settings.watchdog = Some(Wanted { device: file.path().to_owned(), timeout: Span::from_s(10) });
        (file, settings)
    }

    fn written(file: &tempfile::NamedTempFile) -> Vec<String> {
        let text = std::fs::read_to_string(file.path()).expect("it is there");
        text.lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn the_timeout_that_the_driver_really_has_is_announced_with_the_allowance_for_fresh_orders() {
        let (_file, settings) = pretended("16 32");
        let mut watchdog = Watchdog::of(&settings).expect("wanted");
        assert_eq!(watchdog.armed(), None);
        // a word every 100 ms: 0.2 s, rounded up
        let armed = Armed { timeout_s: 16, bound_s: 17, boot_status: 32 };
        assert_eq!(watchdog.arm(), Some(armed));
    }

    #[test]
    fn one_that_a_killed_guard_would_stop_is_armed_and_not_counted_on() {
        for (first_line, bound_s) in [("16 0 33024", 17), ("16 0 32768", 0)] {
            let (_file, settings) = pretended(first_line);
            let mut watchdog = Watchdog::of(&settings).expect("wanted");
            assert_eq!(
                watchdog.arm(),
                Some(Armed { timeout_s: 16, bound_s, boot_status: 0 }),
                "{first_line}"
            );
        }
    }

    #[test]
    fn it_is_petted_while_it_is_armed_and_stopped_at_the_end() {
        let (file, settings) = pretended("10 0");
        let mut watchdog = Watchdog::of(&settings).expect("wanted");
        watchdog.pet();
        assert_eq!(written(&file), [""; 0], "not armed");
        watchdog.arm();
        watchdog.pet();
        watchdog.disarm();
        watchdog.pet();
        assert_eq!(written(&file), ["pet", "stopped"]);
        assert_eq!(watchdog.armed(), None);
    }

    #[test]
    fn a_shadow_has_none() {
        let (file, mut settings) = pretended("10 0");
        settings.is_shadow = true;
        assert!(Watchdog::of(&settings).is_none());
        assert_eq!(written(&file), [""; 0]);
    }

    #[test]
    fn what_is_no_watchdog_or_too_slow_for_a_beat_is_not_armed() {
        for line in ["0 0", "255 0", "300 0", "nonsense"] {
            let (_file, settings) = pretended(line);
            assert_eq!(Watchdog::of(&settings).expect("wanted").arm(), None, "{line}");
        }
        let (_file, mut settings) = pretended("10 0");
        for device in ["/dev/null", "/dev/no-such-watchdog"] {
            settings.watchdog = Some(Wanted { device: device.into(), timeout: Span::from_s(10) });
            assert_eq!(Watchdog::of(&settings).expect("wanted").arm(), None, "{device}");
        }
    }
}
