//! The agent's end of a path: bytes in, bytes out, never a wait, never a queue of stale beats.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crosswire::frame::aside::MAX_CHUNK_BYTES;
use crosswire::frame::{Body, MIN_BODY_BYTES, delimit};
use crosswire::health::Lines;
use crosswire::pair::{PathId, PathKind, Side};
use crosswire::quorum::timing::{line_load_permille, line_time};
use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use nix::libc::c_int;
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::{read, write};

#[cfg(feature = "cable-test")]
use super::cable_test::Tester;
use crate::guard::kernel::interface;
use crate::operator::control::{Away, PortReport};
use crate::sys;
use crate::tty::lines;
use crate::tty::speed::Mode;
use crate::tty::uart::{Counts, Uart};

/// The first wait before a lost port is tried again. It doubles up to [`LAST_RETRY`].
const FIRST_RETRY: Span = Span::from_s(1);
/// Longest wait.
const LAST_RETRY: Span = Span::from_s(30);
/// How often we look whether a serial port is still set as it was, and say that it was not.
const LOOK_AGAIN_AFTER: Span = Span::from_ms(200);
const TELL_AGAIN_AFTER: Span = Span::from_s(60);
/// Delimiters and stuffing of a frame on the line.
const LINE_OVERHEAD_BYTES: usize = 3;
/// The bytes of an aside beside its text: the frame, and the piece's number, place, total and length.
const ASIDE_OVERHEAD_BYTES: usize = MIN_BODY_BYTES + LINE_OVERHEAD_BYTES + 8;
/// The longest time before a beat in which no aside begins: a test of a cable waits half a second for an
/// answer.
const ASIDE_MARGIN: Span = Span::from_ms(100);

/// One path's port.
pub struct Port {
    pub id: PathId,
    side: Side,
    kind: PathKind,
    descriptor: Option<OwnedFd>,
    /// The LAN interface has no carrier.
    is_without_carrier: bool,
    retry_at: Instant,
    retry_after: Span,
    /// If a serial port has more than this still to send, it gets nothing more.
    max_queued_bytes: usize,
    /// Bits a second; zero on a LAN.
    baud: u32,
    /// How many bytes of asides may still be in the queue: no beat is skipped because of them.
    aside_bytes: usize,
    bytes_in: u64,
    bytes_out: u64,
    opened_at: Instant,
    skipped: u32,
    /// What the kernel said when it was lost or could not be opened.
    lost_by: Option<Errno>,
    /// It was said already that it cannot be opened.
    is_told: bool,
    /// We hold services: shown on RTS.
    is_holding: bool,
    /// The driver knew of modem lines when the port was opened.
    has_lines: bool,
    /// Modem lines that follow our own outputs.
    bridged_lines: c_int,
    /// What the driver had counted when the port was opened.
    counts_before: Counts,
    /// How a serial port was set when it was opened; when that is compared again; and from when on a
    /// difference is said again.
    mode: Option<Mode>,
    look_again_at: Instant,
    tell_again_at: Instant,
    /// The test of the cable at the other end, in a box of its own, since it is large and seldom there.
    #[cfg(feature = "cable-test")]
    pub tester: Box<Tester>,
}

/// The result of one read of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// This many bytes, or one datagram of this length.
    Bytes(usize),
    /// Nothing that means anything; there may be more.
    Skip,
    /// All that had arrived was read.
    Empty,
    /// The port is gone.
    Lost(Errno),
}

impl Port {
    /// A port that is not open yet; the guard will hand it over.
    pub fn new(id: PathId, side: Side, kind: PathKind, baud: u32, max_queued_bytes: usize) -> Self {
        Self {
            id,
            side,
            kind,
            descriptor: None,
            is_without_carrier: false,
            retry_at: Instant::NEVER,
            retry_after: FIRST_RETRY,
            max_queued_bytes,
            baud,
            aside_bytes: 0,
            bytes_in: 0,
            bytes_out: 0,
            opened_at: Instant::ORIGIN,
            skipped: 0,
            lost_by: None,
            is_told: false,
            is_holding: false,
            has_lines: false,
            bridged_lines: 0,
            counts_before: Counts::default(),
            mode: None,
            look_again_at: Instant::ORIGIN,
            tell_again_at: Instant::ORIGIN,
            #[cfg(feature = "cable-test")]
            tester: Box::default(),
        }
    }

    /// What to poll.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// The port was opened. On a serial port we show that we run, after a moment in which we find lines that
    /// only show ourselves.
    pub fn become_open(&mut self, now: Instant, descriptor: OwnedFd) {
        if self.kind == PathKind::Serial {
            self.bridged_lines = lines::bridged(&descriptor, self.side);
            lines::set(&descriptor, self.outputs());
            self.has_lines = lines::get(&descriptor).is_some();
            self.counts_before = Counts::of(&descriptor).unwrap_or_default();
            self.mode = Mode::of(&descriptor);
        }
        (self.bytes_in, self.bytes_out, self.opened_at) = (0, 0, now);
        self.descriptor = Some(descriptor);
        self.retry_at = Instant::NEVER;
        self.retry_after = FIRST_RETRY;
        self.is_told = false;
    }

    /// Whether it should be said that the port is away: once, until it is back.
    pub fn tell_away(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }

    /// It is gone, or could not be opened: try again later.
    pub fn become_closed(&mut self, now: Instant, errno: Errno) {
        self.descriptor = None;
        self.lost_by = Some(errno);
        self.retry_at = now + self.retry_after;
        self.retry_after = (self.retry_after + self.retry_after).min(LAST_RETRY);
    }

    /// Whether frames can come and go.
    pub fn is_usable(&self) -> bool {
        self.descriptor.is_some() && !self.is_without_carrier
    }

    /// Why it is not usable, and when it is tried again.
    pub fn away(&self, now: Instant) -> Option<Away> {
        match (&self.descriptor, self.lost_by) {
            (Some(_), _) if self.is_without_carrier => {
                Some(Away { errno: Errno::ENETDOWN as i32, wait_s: 0 })
            }
            (None, Some(errno)) if self.retry_at != Instant::NEVER => {
                let wait_s = self.retry_at.since(now).as_ms().div_ceil(1_000);
                Some(Away { errno: errno as i32, wait_s })
            }
            (Some(_) | None, _) => None,
        }
    }

    /// Notes the carrier of a LAN path's interface.
    pub fn set_carrier(&mut self, is_up: bool) {
        self.is_without_carrier = !is_up;
    }

    /// Whether the interface of a LAN path is there and switched on.
    pub fn is_switched_on(&self, interface: &str) -> bool {
        self.descriptor.as_ref().is_some_and(|socket| interface::is_up(socket, interface))
    }

    /// When the guard should be asked to open it again.
    pub fn retry_at(&self) -> Instant {
        self.retry_at
    }

    /// The port may be tried again without a wait.
    pub fn retry_now(&mut self, now: Instant) {
        self.retry_at = now;
    }

    /// The guard was asked to open it.
    pub fn note_retry(&mut self) {
        self.retry_at = Instant::NEVER;
    }

    const fn outputs(&self) -> c_int {
        lines::DTR | if self.is_holding { lines::RTS } else { 0 }
    }

    /// Shows on a serial port whether we hold services.
    pub fn show_holding(&mut self, is_holding: bool) {
        self.is_holding = is_holding;
        if let (Some(descriptor), PathKind::Serial) = (&self.descriptor, self.kind) {
            lines::set(descriptor, self.outputs());
        }
    }

    /// Looks at the modem lines of an open serial port. The inner `None` means that they say nothing of the
    /// peer. A port that had no lines when it was opened is not asked again. Our own outputs are set right:
    /// if another program opens the port, the kernel raises both.
    pub fn look_at_lines(&self) -> Option<Option<Lines>> {
        let descriptor = self.descriptor.as_ref().filter(|_| self.has_lines)?;
        let bits = lines::get(descriptor);
        if bits.is_some_and(|bits| bits & (lines::DTR | lines::RTS) != self.outputs()) {
            lines::set(descriptor, self.outputs());
        }
        Some(bits.and_then(|bits| lines::of_peer(bits, self.bridged_lines)))
    }

    /// Sees to it now and then that a serial port is set as it was when it was opened. If another program has
    /// set it otherwise, returns the speed at which it was found, to be said; not each time while that goes
    /// on.
    pub fn put_right(&mut self, now: Instant) -> Option<u32> {
        let (Some(descriptor), Some(mode)) = (&self.descriptor, &self.mode) else { return None };
        if now < self.look_again_at {
            return None;
        }
        self.look_again_at = now + LOOK_AGAIN_AFTER;
        let found = mode.put_right(descriptor).filter(|_| now >= self.tell_again_at)?;
        self.tell_again_at = now + TELL_AGAIN_AFTER;
        Some(found)
    }

    /// Bytes without boundaries arrive here, so a read that does not fill its room was the last one.
    pub fn is_stream(&self) -> bool {
        self.kind == PathKind::Serial
    }

    /// What an open serial port says of itself.
    pub fn report(&self, now: Instant) -> Option<PortReport> {
        let descriptor = self.descriptor.as_ref().filter(|_| self.kind == PathKind::Serial)?;
        Some(PortReport {
            lines: lines::get(descriptor).map(|bits| (bits, self.bridged_lines)),
            uart: Uart::of(descriptor),
            baud: self.baud,
            load_in_permille: self.load_permille(now, self.bytes_in),
            load_out_permille: self.load_permille(now, self.bytes_out),
            counts: Counts::of(descriptor).map(|counts| counts.since(self.counts_before)),
        })
    }

    /// Reads once, without waiting.
    pub fn read(&mut self, room: &mut [u8]) -> Read {
        let Some(descriptor) = &self.descriptor else { return Read::Empty };
        let result = match self.kind {
            PathKind::Serial => read(descriptor, room),
            PathKind::Lan => recv(descriptor.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT),
        };
        match (result, self.kind) {
            (Ok(0), PathKind::Serial) => Read::Lost(Errno::EIO),
            (Ok(length), _) => {
                self.bytes_in = self.bytes_in.saturating_add(length as u64);
                Read::Bytes(length)
            }
            (Err(Errno::EAGAIN), _) => Read::Empty,
            // The peer's daemon is down, as its box says; that proves nothing.
            (Err(Errno::EINTR | Errno::ECONNREFUSED | Errno::EHOSTUNREACH), _) => Read::Skip,
            (Err(Errno::ENETUNREACH | Errno::ENETDOWN), PathKind::Lan) => Read::Empty,
            (Err(errno), _) => Read::Lost(errno),
        }
    }

    /// Sends a body now, or skips it. A frame that cannot leave at once would be stale when it does.
    pub fn send(&mut self, body: &Body) {
        let Some(descriptor) = &self.descriptor else { return };
        // If beats fill half of the line, hellos behind them would leave no time for the answer to a test of
        // the cable.
        #[cfg(feature = "cable-test")]
        if body.len() == MIN_BODY_BYTES && !self.tester.owed.is_empty() && queued_bytes(descriptor) > 0 {
            return;
        }
        let has_left = match self.kind {
            PathKind::Serial => {
                let queued = queued_bytes(descriptor);
                if queued == 0 {
                    self.aside_bytes = 0;
                }
                queued <= self.max_queued_bytes + self.aside_bytes && self.put(body) > 0
            }
            PathKind::Lan => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                // An error of an earlier datagram is reported, and taken away, by the next call.
                (0..2).any(|_| send(descriptor.as_raw_fd(), body, flags) == Ok(body.len()))
            }
        };
        if !has_left {
            self.skipped = self.skipped.saturating_add(1);
        }
    }

    /// Puts a frame into the queue of a serial port. Returns how many bytes it takes there; none if there is
    /// no room for them.
    fn put(&mut self, body: &Body) -> usize {
        let line = delimit::wrap(body);
        self.bytes_out = self.bytes_out.saturating_add(line.len() as u64);
        let has_room = self.descriptor.as_ref().is_some_and(|port| write(port, &line) == Ok(line.len()));
        if has_room { line.len() } else { 0 }
    }

    /// The most bytes of text that an aside may carry now, so that it has left an eighth of an interval or
    /// [`ASIDE_MARGIN`] before the next beat is due, and takes no more than half an interval of the line.
    pub fn aside_room(&self, now: Instant, next_beat_at: Instant, interval: Span) -> usize {
        let Some(descriptor) = &self.descriptor else { return 0 };
        if self.kind == PathKind::Lan {
            return MAX_CHUNK_BYTES;
        }
        let left = next_beat_at.since(now + interval.fraction(1, 8).min(ASIDE_MARGIN));
        let bytes_in =
            |span: Span| usize::try_from(span.as_us() * u64::from(self.baud) / 10_000_000).unwrap_or(0);
        let free = bytes_in(left).saturating_sub(queued_bytes(descriptor));
        free.min(bytes_in(interval.fraction(1, 2))).saturating_sub(ASIDE_OVERHEAD_BYTES)
    }

    /// Sends an aside, for which there is room: behind whatever is in the queue, since the line has time for
    /// both.
    pub fn send_aside(&mut self, body: &Body) {
        match self.kind {
            PathKind::Serial => self.aside_bytes += self.put(body),
            PathKind::Lan => self.send(body),
        }
    }

    /// Hears a test of the cable at the other end.
    #[cfg(feature = "cable-test")]
    pub fn hear_test(&mut self, bytes: &[u8]) {
        let descriptor = self.descriptor.as_ref();
        let inputs = || descriptor.and_then(lines::get).unwrap_or(0) & lines::INPUTS;
        self.tester.hear(bytes, inputs);
    }

    /// Answers the test, if there is room for an aside with `room` bytes of text.
    #[cfg(feature = "cable-test")]
    pub fn answer_test(&mut self, room: usize) {
        if room > 0 && self.tester.owed.len() + LINE_OVERHEAD_BYTES <= room + ASIDE_OVERHEAD_BYTES {
            let answer = std::mem::take(&mut self.tester.owed);
            self.send_aside(&answer);
        }
    }

    /// How much of the line these bytes have filled since the port was opened.
    fn load_permille(&self, now: Instant, bytes: u64) -> u32 {
        let carried = line_time(bytes, self.baud);
        u32::try_from(line_load_permille(carried, now.since(self.opened_at))).unwrap_or(u32::MAX)
    }

    /// Frames that could not leave.
    pub fn skipped(&self) -> u32 {
        self.skipped
    }
}

/// The bytes that are queued; none if the driver does not say.
fn queued_bytes(descriptor: &OwnedFd) -> usize {
    sys::tty::queued_bytes(descriptor).unwrap_or(0)
}
