//! The test itself, on both ends: find each other, try every line, try every speed. The leading end asks, the
//! other answers.

use std::thread::sleep;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use nix::libc::c_int;

use super::link::Link;
use super::outcome::Outcome;
use crate::clock;
use crate::tty::lines::{self, CTS, DCD, DSR, DTR, INPUTS, RTS};
use crate::tty::test_protocol::{ECHO_BYTES, Message, Speed, Wires};

/// The speeds that are tried: those from [`MEETS_AT`] on, or the slower ones if `--max-baud` is lower.
pub const BAUDS: [u32; 9] = [9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 4_800, 2_400, 1_200];
/// Where both ends meet, and meet again when a speed fails.
pub const MEETS_AT: u32 = BAUDS[0];
/// The slowest of them.
pub const SLOWEST: u32 = 1_200;
/// Frames that are sent back and forth at each speed.
const TRIPS: u32 = 40;
/// A speed that has lost this many is not tried any further.
const MAX_LOST: u32 = 4;
/// Time between two calls for the other end.
const CALLS_EVERY: Span = Span::from_ms(200);
/// How long to listen at one speed: longer than between two beats of a daemon.
const LISTENS: Span = Span::from_ms(2_500);
/// Text of an echo that a daemon sends back: it has to find room between two beats that fill half the line.
const DAEMON_ECHO_BYTES: usize = 24;
/// How long to wait for late frames in the end: not so long that the other end goes back to the first speed.
const STRAGGLERS_WAIT: Span = Span::from_ms(1_000);
/// After this much silence the end that answers goes back to the first speed; the other end waits longer
/// before it does.
const FALLS_BACK_AFTER: Span = Span::from_ms(1_500);
const MEETS_AGAIN_AFTER: Duration = Duration::from_millis(2_000);
/// After this much silence the other end is gone.
const GONE_AFTER: Span = Span::from_s(8);
/// Time for a port to send its last frame at 9600 baud, and for a line to settle.
const SETTLES: Duration = Duration::from_millis(100);

/// Calls until both ends have heard each other, or `wait` is over. If only noise comes in, a daemon may talk
/// at its own speed: then the other speeds are tried, one after the other.
pub fn meet(link: &mut Link, wait: Span) -> bool {
    let give_up_at = clock::now() + wait;
    while clock::now() < give_up_at {
        if call(link, give_up_at.min(clock::now() + LISTENS)) {
            return true;
        }
        let at = BAUDS.iter().position(|baud| *baud == link.baud()).unwrap_or(0);
        let next = if link.is_puzzled() { at + 1 } else { 0 };
        // Nothing is heard at a speed that the port cannot make.
        let _ = link.go(*BAUDS.get(next).unwrap_or(&MEETS_AT));
    }
    false
}

/// Calls where a test meets us, or a daemon was heard.
fn call(link: &mut Link, give_up_at: Instant) -> bool {
    while clock::now() < give_up_at {
        if link.baud() == MEETS_AT || link.is_at_daemon() {
            link.say(&Message::Hello);
        }
        link.heard.lines |= inputs(link);
        let until = clock::now() + CALLS_EVERY;
        while let Some((_, is_for_us)) = link.hear(until) {
            if is_for_us {
                // The other end must hear that we have heard it.
                link.say(&Message::Hello);
                return true;
            }
        }
    }
    false
}

/// The end that asks.
pub fn lead(link: &mut Link, max_baud: u32, outcome: &mut Outcome) {
    let Some(wires) = try_lines(link) else {
        outcome.is_cut_short = true;
        return;
    };
    outcome.wires = wires;
    let _ = link.ask(&Message::Wires(wires));
    if link.heard.is_answered_by_daemon {
        // It stays at its own speed, which is ours by now.
        let mut speed = Speed { baud: link.baud(), ..Speed::default() };
        measure(link, &mut speed);
        outcome.speeds.push(speed);
        return;
    }
    for baud in BAUDS {
        if !is_wanted(baud, max_baud) || !outcome.can(baud) {
            continue;
        }
        let speed = match try_speed(link, baud) {
            Tried::Done(speed) => speed,
            Tried::Refused => continue,
            Tried::Gone => {
                outcome.is_cut_short = true;
                return;
            }
        };
        outcome.speeds.push(speed);
        let _ = link.ask(&Message::Speed(speed));
    }
    let _ = link.ask(&Message::Done);
}

/// Whether a speed is tried if none may be faster than `max_baud`.
pub const fn is_wanted(baud: u32, max_baud: u32) -> bool {
    baud <= max_baud && (baud >= MEETS_AT || max_baud < MEETS_AT)
}

/// Drives each output alone, ours and theirs, and notes which inputs come and go with it.
fn try_lines(link: &mut Link) -> Option<Wires> {
    // The far end looks for its own bridges when it is first asked, and we look after that: never both at
    // once.
    drive(link, 0, 0)?;
    let bridged_here = lines::bridged(link.port(), Side::A).cast_unsigned();
    let mut wires = Wires { bridged: [bridged_here, 0], ..Wires::default() };
    let (idle_here, (idle_there, _)) = drive(link, 0, 0)?;
    for (index, output) in [DTR, RTS].into_iter().enumerate() {
        let (_, (there, bridged_there)) = drive(link, output, 0)?;
        let (here, _) = drive(link, 0, output)?;
        wires.bridged[1] |= bridged_there;
        wires.out[index] = there & !idle_there;
        wires.back[index] = here & !idle_here;
    }
    if link.heard.is_answered_by_daemon {
        // A daemon drives nothing for us: its lines show its own state.
        let standing = idle_here & !bridged_here;
        wires.back = [standing & (DSR | DCD).cast_unsigned(), standing & CTS.cast_unsigned()];
    }
    lines::set(link.port(), DTR);
    Some(wires)
}

/// Drives our lines and theirs; returns what both then see. The far end also says which inputs follow its own
/// outputs.
fn drive(link: &mut Link, ours: c_int, theirs: c_int) -> Option<(u32, (u32, u32))> {
    lines::set(link.port(), ours);
    let Message::Seen(bits, bridged) = link.ask(&Message::Drive(theirs.cast_unsigned()))? else {
        return None;
    };
    Some((inputs(link), (bits, bridged)))
}

fn inputs(link: &Link) -> u32 {
    (lines::get(link.port()).unwrap_or(0) & INPUTS).cast_unsigned()
}

/// What came of one speed.
enum Tried {
    Done(Speed),
    /// The other end does not go there.
    Refused,
    /// It is gone even at the speed where both have met.
    Gone,
}

fn try_speed(link: &mut Link, baud: u32) -> Tried {
    let mut speed = Speed { baud, ..Speed::default() };
    match link.ask(&Message::Go(baud)) {
        None => return Tried::Gone,
        Some(Message::Done) => return Tried::Refused,
        Some(_) => {}
    }
    sleep(SETTLES);
    // The other end changes its speed when it likes, and drops what came before that.
    if link.go(baud).is_ok() && link.ask(&Message::Hello).is_some() {
        measure(link, &mut speed);
    }
    if speed.is_clean() {
        return Tried::Done(speed);
    }
    // Back to the speed at which both ends meet, before the next one is tried.
    sleep(MEETS_AGAIN_AFTER);
    let is_back = link.go(MEETS_AT).is_ok() && link.ask(&Message::Go(MEETS_AT)).is_some();
    if is_back { Tried::Done(speed) } else { Tried::Gone }
}

/// Sends frames there and back. A late frame is not lost: a busy box is no bad cable.
fn measure(link: &mut Link, speed: &mut Speed) {
    let bytes = if link.heard.is_answered_by_daemon { DAEMON_ECHO_BYTES } else { ECHO_BYTES };
    let mut trips = Trips { bytes, all: Vec::new(), missing: 0 };
    while speed.sent < TRIPS && speed.lost < MAX_LOST {
        trips.all.push(Trip { sent_at: clock::now(), us: None });
        trips.missing += 1;
        link.say(&Message::Echo(text_of(trips.all.len() - 1, bytes)));
        speed.sent += 1;
        trips.collect(link, false, link.answer_until());
        speed.lost = trips.missing;
    }
    if speed.lost > 0 {
        trips.collect(link, true, clock::now() + STRAGGLERS_WAIT);
        speed.lost = trips.missing;
    }
    let (mut count, mut total, mut best, mut worst) = (0, 0u32, u32::MAX, 0);
    for us in trips.all.iter().filter_map(|trip| trip.us) {
        count += 1;
        total = total.saturating_add(us);
        (best, worst) = (best.min(us), worst.max(us));
    }
    match total.checked_div(count) {
        Some(mean) => speed.trip_us = [best, mean, worst],
        // Nobody understands us at this speed.
        None => (speed.sent, speed.lost) = (0, 0),
    }
}

/// The text of one trip: every bit pattern has its turn, and no two trips have the same.
fn text_of(trip: usize, bytes: usize) -> heapless::Vec<u8, ECHO_BYTES> {
    (0..bytes).map(|i| (i as u8).wrapping_mul(37) ^ trip as u8).collect()
}

/// What became of one frame.
struct Trip {
    sent_at: Instant,
    /// Its round trip in microseconds; `None`: it has not come back yet.
    us: Option<u32>,
}

/// What became of each frame.
struct Trips {
    /// The length of their texts.
    bytes: usize,
    all: Vec<Trip>,
    /// How many have not come back.
    missing: u32,
}

impl Trips {
    /// Takes in what comes back, until the last frame has come, or every frame.
    fn collect(&mut self, link: &mut Link, is_every_one: bool, until: Instant) {
        while self.missing > 0 && (is_every_one || self.all.last().is_some_and(|trip| trip.us.is_none())) {
            let Some((answer, _)) = link.hear(until) else { return };
            let Message::Echo(text) = answer else { continue };
            // The first byte of a text is its trip's number.
            let number = text.first().map_or(usize::MAX, |byte| usize::from(*byte));
            let Some(trip) = self.all.get_mut(number).filter(|trip| trip.us.is_none()) else { continue };
            if text == text_of(number, self.bytes) {
                trip.us = Some(u32::try_from(clock::now().since(trip.sent_at).as_us()).unwrap_or(u32::MAX));
                self.missing -= 1;
            }
        }
    }
}

/// The end that answers.
pub fn follow(link: &mut Link, max_baud: u32, outcome: &mut Outcome) {
    let mut bridged = None;
    let mut heard_at = clock::now();
    let mut is_fast = false;
    loop {
        let patience = if is_fast { FALLS_BACK_AFTER } else { GONE_AFTER };
        let Some((question, is_for_us)) = link.hear(heard_at + patience) else {
            if !is_fast {
                outcome.is_cut_short = true;
                return;
            }
            (is_fast, heard_at) = (false, clock::now());
            let _ = link.go(MEETS_AT);
            continue;
        };
        if !is_for_us {
            continue;
        }
        heard_at = clock::now();
        match question {
            Message::Hello => link.say(&Message::Hello),
            Message::Drive(outputs) => {
                let port = link.port();
                let bridged = *bridged.get_or_insert_with(|| lines::bridged(port, Side::B).cast_unsigned());
                lines::set(port, outputs.cast_signed());
                sleep(Duration::from_millis(5));
                link.say(&Message::Seen(inputs(link), bridged));
            }
            Message::Echo(text) => link.say(&Message::Echo(text)),
            Message::Go(baud) if baud > max_baud || !outcome.can(baud) => link.say(&Message::Done),
            Message::Go(baud) => {
                link.say(&Message::Yes);
                sleep(SETTLES);
                is_fast = baud != MEETS_AT;
                let _ = link.go(baud);
                heard_at = clock::now();
            }
            Message::Wires(wires) => {
                outcome.wires = wires.turned();
                link.say(&Message::Yes);
            }
            Message::Speed(speed) => {
                outcome.speeds.retain(|known| known.baud != speed.baud);
                outcome.speeds.push(speed);
                link.say(&Message::Yes);
            }
            Message::Done => {
                // Said twice, in case one is lost: the other end waits for it.
                link.say(&Message::Yes);
                sleep(SETTLES);
                link.say(&Message::Yes);
                return;
            }
            Message::Seen(..) | Message::Yes => {}
        }
    }
}
