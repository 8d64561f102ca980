//! The null-modem cable: two pseudo-terminals, whose slaves are the nodes' serial ports, and a thread that
//! carries bytes between their masters, as badly as it is told to.
//!
//! A pseudo-terminal has no modem lines (TIOCMGET fails with ENOTTY), so this is a three-wire cable.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::{self, c_int};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{FlushArg, SetArg, cfmakeraw, tcflush, tcgetattr, tcsetattr};
use nix::unistd::{read, write};

use super::clock::{go_first, now, sleep_until, span};
use super::dice::Dice;
use super::doing;
use super::worker::{Bell, Worker};

/// Bytes that may be on the wire before the sender's port counts as full, like the transmit buffer of a real
/// driver.
const WIRE_BYTES: usize = 4_096;
/// Bytes that arrive together when a baud rate is emulated: a 16550 interrupts after 8 of its 16.
const FIFO_BYTES: usize = 8;
/// Start bit, eight data bits, stop bit.
const BITS_A_BYTE: u64 = 10;
/// Newest bytes that are remembered per direction, for replaying.
const MAX_RECORDED_BYTES: usize = 65_536;
/// How often an exclusive mark is wiped off the ports, see [`Wires::wipe_exclusive`].
const WIPE_EVERY: Span = Span::from_ms(50);

/// What is wrong with one direction of the cable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LineRule {
    /// The wire is broken: nothing arrives, not even what is on its way.
    pub cut: bool,
    /// Every byte is late by this.
    pub delay: Duration,
    /// How many of a million bits are flipped, at random by the cable's seed.
    pub bit_errors_per_million: u32,
}

/// The cable with its two ports; gone when dropped.
pub struct Cable {
    shared: Arc<Mutex<Wires>>,
    devices: [PathBuf; 2],
    worker: Worker,
}

mod ioctl {
    //! `ioctl_tty(2)`

    use nix::libc;

    nix::ioctl_read!(tcgets2, b'T', 0x2a, libc::termios2);
}

struct Wires {
    ports: Arc<[Port; 2]>,
    /// Whether two ports of different speeds hear only noise of each other, as real ones do.
    minds_speeds: bool,
    /// By the side that sends.
    wires: [Wire; 2],
    byte_time: Option<Span>,
    dice: Dice,
    wiped: Instant,
}

struct Port {
    master: PtyMaster,
    /// Kept open, so that the master never sees a hang-up between two runs of a daemon.
    slave: File,
}

impl Port {
    /// Bits a second, as its user has set it.
    fn speed(&self) -> Option<u32> {
        let mut mode = std::mem::MaybeUninit::<libc::termios2>::zeroed();
        // SAFETY: TCGETS2 writes one termios2, to which the pointer is.
        unsafe { ioctl::tcgets2(self.slave.as_raw_fd(), mode.as_mut_ptr()) }.ok()?;
        // SAFETY: plain numbers, for which zeroes are a value, and the kernel has filled them in.
        Some(unsafe { mode.assume_init() }.c_ospeed)
    }
}

struct Wire {
    rule: LineRule,
    chunks: VecDeque<Chunk>,
    /// When the wire has carried all that was put on it.
    idle_at: Instant,
    delivered_bytes: u64,
    lost_bytes: u64,
    recorded: VecDeque<u8>,
}

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

impl Cable {
    /// A whole cable at unlimited speed; `seed` decides which bits are flipped.
    ///
    /// # Errors
    /// The kernel's, when there is no /dev/ptmx or no pseudo-terminal is left.
    pub fn new(seed: u64) -> io::Result<Self> {
        let (port_a, device_a) = open_port().map_err(doing("making a pseudo-terminal"))?;
        let (port_b, device_b) = open_port().map_err(doing("making a pseudo-terminal"))?;
        let wires = Wires {
            ports: Arc::new([port_a, port_b]),
            minds_speeds: false,
            wires: [Wire::new(), Wire::new()],
            byte_time: None,
            dice: Dice::new(seed),
            wiped: Instant::ORIGIN,
        };
        let shared = Arc::new(Mutex::new(wires));
        let theirs = Arc::clone(&shared);
        let worker = Worker::start("cable", move |bell| relay(&theirs, bell))?;
        Ok(Self { shared, devices: [device_a, device_b], worker })
    }

    /// The serial device of a node.
    pub fn device(&self, side: Side) -> &Path {
        &self.devices[side.index()]
    }

    /// Sets what is wrong with the direction in which `from` sends. After a cut has returned, not one more
    /// byte arrives.
    pub fn set(&self, from: Side, rule: LineRule) {
        let mut wires = self.lock();
        let wire = &mut wires.wires[from.index()];
        wire.rule = rule;
        if rule.cut {
            wire.lose_all();
        }
        drop(wires);
        self.worker.ring();
    }

    /// Cuts both directions.
    pub fn cut(&self) {
        for side in [Side::A, Side::B] {
            self.set(side, LineRule { cut: true, ..LineRule::default() });
        }
    }

    /// Takes all faults away; the baud rate stays.
    pub fn heal(&self) {
        for side in [Side::A, Side::B] {
            self.set(side, LineRule::default());
        }
    }

    /// Carries as many bits a second as a real line at this rate would; `None`: as fast as the machine can.
    pub fn set_baud(&self, baud: Option<u32>) {
        self.lock().byte_time =
            baud.map(|baud| Span::from_us(BITS_A_BYTE * 1_000_000 / u64::from(baud.max(1))));
    }

    /// From now on two ports that are set to different speeds hear only noise of each other.
    pub fn mind_speeds(&self) {
        self.lock().minds_speeds = true;
    }

    /// Makes `bytes` arrive at the port of `to`, whatever the cable's faults: noise, console text, a
    /// recording. Returns how many found room in the port.
    ///
    /// # Errors
    /// The kernel's.
    pub fn inject(&self, to: Side, bytes: &[u8]) -> io::Result<usize> {
        let wires = self.lock();
        match write(wires.ports[to.index()].master.as_fd(), bytes) {
            Ok(written) => Ok(written),
            Err(Errno::EAGAIN) => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    /// Empties the port of `side`: what it has received and not read, and what it has written and not sent.
    ///
    /// # Errors
    /// The kernel's.
    pub fn flush(&self, side: Side) -> io::Result<()> {
        Ok(tcflush(&self.lock().ports[side.index()].slave, FlushArg::TCIOFLUSH)?)
    }

    /// Bytes that `from` sent and that arrived.
    pub fn delivered_bytes(&self, from: Side) -> u64 {
        self.lock().wires[from.index()].delivered_bytes
    }

    /// Bytes that `from` sent and that were lost: cut, or the other port's buffer was full.
    pub fn lost_bytes(&self, from: Side) -> u64 {
        self.lock().wires[from.index()].lost_bytes
    }

    /// The newest bytes that `from` put on the wire (64 KB at most), as it sent them.
    pub fn recorded(&self, from: Side) -> Vec<u8> {
        self.lock().wires[from.index()].recorded.iter().copied().collect()
    }

    /// What waits in the ports, for the driver that the laboratory emulates.
    pub fn queues(&self) -> Queues {
        Queues(Arc::clone(&self.shared))
    }

    fn lock(&self) -> MutexGuard<'_, Wires> {
        lock(&self.shared)
    }
}

/// What the two ports were given to send and have not sent: a pseudo-terminal always reports nothing.
#[derive(Clone)]
pub struct Queues(Arc<Mutex<Wires>>);

impl Queues {
    /// Bytes that the port of `side` still has to send.
    pub fn of(&self, side: Side) -> c_int {
        let mut wires = lock(&self.0);
        wires.take_from(side);
        wires.wires[side.index()].bytes_on_it().try_into().unwrap_or(c_int::MAX)
    }
}

fn lock(wires: &Mutex<Wires>) -> MutexGuard<'_, Wires> {
    wires.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pseudo-terminal whose slave is raw from the start. All descriptors are closed on exec, or a daemon would
/// hold both ends.
fn open_port() -> io::Result<(Port, PathBuf)> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let device = PathBuf::from(ptsname_r(&master)?);
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(&device)?;
    let mut settings = tcgetattr(&slave)?;
    cfmakeraw(&mut settings);
    tcsetattr(&slave, SetArg::TCSANOW, &settings)?;
    Ok((Port { master, slave }, device))
}

/// The thread: sleeps until bytes are sent or due. The timeout is for [`Wires::wipe_exclusive`] alone.
fn relay(shared: &Mutex<Wires>, bell: &Bell) {
    go_first();
    let ports = Arc::clone(&lock(shared).ports);
    loop {
        let (deadline, wanted) = lock(shared).agenda();
        let mut polled = [
            PollFd::new(bell.as_fd(), PollFlags::POLLIN),
            PollFd::new(ports[0].master.as_fd(), wanted[0]),
            PollFd::new(ports[1].master.as_fd(), wanted[1]),
        ];
        // EINTR and ENOMEM: look at everything and sleep again.
        let _ = ppoll(&mut polled, sleep_until(Some(deadline)), None);
        if bell.answered() {
            return;
        }
        let mut wires = lock(shared);
        for from in [Side::A, Side::B] {
            wires.take_from(from);
            wires.deliver_from(from);
        }
        wires.wipe_exclusive();
    }
}

impl Wire {
    fn new() -> Self {
        Self {
            rule: LineRule::default(),
            chunks: VecDeque::new(),
            idle_at: Instant::ORIGIN,
            delivered_bytes: 0,
            lost_bytes: 0,
            recorded: VecDeque::new(),
        }
    }

    fn bytes_on_it(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.len()).sum()
    }

    fn lose_all(&mut self) {
        self.lost_bytes += self.bytes_on_it() as u64;
        self.chunks.clear();
    }

    fn record(&mut self, bytes: &[u8]) {
        self.recorded.extend(bytes);
        let surplus = self.recorded.len().saturating_sub(MAX_RECORDED_BYTES);
        self.recorded.drain(..surplus);
    }
}

impl Wires {
    /// When to wake at the latest, and for what of each port: a full wire does not listen to its sender.
    fn agenda(&self) -> (Instant, [PollFlags; 2]) {
        let next = self.wires.iter().filter_map(|wire| wire.chunks.front()).map(|chunk| chunk.due).min();
        let wipe = self.wiped + WIPE_EVERY;
        let wanted = |wire: &Wire| {
            if wire.bytes_on_it() < WIRE_BYTES { PollFlags::POLLIN } else { PollFlags::empty() }
        };
        (next.map_or(wipe, |next| next.min(wipe)), [wanted(&self.wires[0]), wanted(&self.wires[1])])
    }

    /// Puts on the wire what a node has sent.
    fn take_from(&mut self, from: Side) {
        let mut buffer = [0; 512];
        while self.wires[from.index()].bytes_on_it() < WIRE_BYTES {
            let ports = Arc::clone(&self.ports);
            // EAGAIN: nothing more was sent.
            let Ok(length) = read(ports[from.index()].master.as_fd(), &mut buffer) else { return };
            if length == 0 {
                return;
            }
            self.send(from, &mut buffer[..length]);
        }
    }

    fn send(&mut self, from: Side, bytes: &mut [u8]) {
        let wire = &mut self.wires[from.index()];
        wire.record(bytes);
        if wire.rule.cut {
            wire.lost_bytes += bytes.len() as u64;
            return;
        }
        if self.minds_speeds && self.ports[0].speed() != self.ports[1].speed() {
            // A real port would hear more bytes or fewer, and none of their meaning.
            bytes.iter_mut().for_each(|byte| *byte = byte.rotate_left(3) ^ 0xa5);
        }
        if wire.rule.bit_errors_per_million > 0 {
            for bit in 0..bytes.len() * 8 {
                if self.dice.hits(wire.rule.bit_errors_per_million, 1_000_000) {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
        }
        let present = now();
        let chunk_bytes = if self.byte_time.is_some() { FIFO_BYTES } else { bytes.len() };
        for bytes in bytes.chunks(chunk_bytes) {
            let takes = self.byte_time.map_or(Span::ZERO, |byte| byte.fraction(bytes.len() as u64, 1));
            wire.idle_at = wire.idle_at.max(present) + takes;
            wire.chunks.push_back(Chunk { due: wire.idle_at + span(wire.rule.delay), bytes: bytes.to_vec() });
        }
    }

    /// Hands over what is due. What finds no room is lost, as in an overrun UART.
    fn deliver_from(&mut self, from: Side) {
        let ports = Arc::clone(&self.ports);
        let wire = &mut self.wires[from.index()];
        let present = now();
        while let Some(chunk) = wire.chunks.pop_front_if(|chunk| chunk.due <= present) {
            let written = write(ports[from.peer().index()].master.as_fd(), &chunk.bytes).unwrap_or(0);
            wire.delivered_bytes += written as u64;
            wire.lost_bytes += (chunk.bytes.len() - written) as u64;
        }
    }

    /// Takes a TIOCEXCL mark off the ports again. On a real port it goes with the last close; a
    /// pseudo-terminal keeps it as long as its master lives, and without CAP_SYS_ADMIN outside any user
    /// namespace a restarted daemon could never reopen its port. The mark does not keep out root, as which
    /// daemons run, anyway.
    fn wipe_exclusive(&mut self) {
        if now() < self.wiped + WIPE_EVERY {
            return;
        }
        self.wiped = now();
        for port in self.ports.iter() {
            // SAFETY: TIOCNXCL takes no argument. It cannot fail on an open terminal.
            unsafe { libc::ioctl(port.slave.as_raw_fd(), libc::TIOCNXCL as _) };
        }
    }
}
