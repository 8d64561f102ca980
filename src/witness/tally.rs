//! What was answered and what was refused: counted, and logged as one line and a count where it is a flood.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};

use crosswire::limit::{HeldBack, Limiter};
use crosswire::time::{Instant, Span};
use log::{Level, info, log};

use super::registry::{Refused, Registry};
use crate::logger::{And, RECORD};
use crate::plain;

/// How many lines of a kind are logged in a minute, one by one; one more says how many others there were.
const MOST_OF_A_KIND: u16 = 5;
/// Kinds of lines: why something is refused.
const KINDS: usize = 5;
/// How often the counts are logged.
const REPORT_EVERY: Span = Span::from_s(3_600);

/// One datagram that was refused.
#[derive(Clone, Copy)]
struct Stranger {
    why: Refused,
    bytes: usize,
    from: Option<IpAddr>,
}

/// The counts since the start of the worker.
pub struct Tally {
    counted: u64,
    greeted: u64,
    refused: [u64; KINDS],
    unsent: u64,
    limiter: Limiter<usize, Stranger, KINDS>,
    report_at: Instant,
}

/// Which kind it is.
const fn kind(why: Refused) -> usize {
    match why {
        Refused::NoQuestion => 0,
        Refused::UnknownKey(_) => 1,
        Refused::Forged(_) => 2,
        Refused::Repeated(_) => 3,
        Refused::TooMany(_) => 4,
    }
}

impl Tally {
    /// Nothing was counted yet.
    pub fn new(now: Instant) -> Self {
        let limiter = Limiter::new();
        Self {
            counted: 0,
            greeted: 0,
            refused: [0; KINDS],
            unsent: 0,
            limiter,
            report_at: now + REPORT_EVERY,
        }
    }

    /// A question was answered.
    pub fn note_answer(&mut self, is_counted: bool) {
        *(if is_counted { &mut self.counted } else { &mut self.greeted }) += 1;
    }

    /// Answers that the kernel did not take at once.
    pub fn note_unsent(&mut self, count: usize) {
        self.unsent += u64::try_from(count).unwrap_or(0);
    }

    /// Something was refused: it is logged, unless there is much of the kind.
    pub fn note_refused(
        &mut self,
        now: Instant,
        why: Refused,
        (bytes, from): (usize, Option<SocketAddr>),
        registry: &Registry,
    ) {
        self.refused[kind(why)] += 1;
        let stranger = Stranger { why, bytes, from: from.map(|from| from.ip()) };
        if let Some(stranger) = self.limiter.admit(now, kind(why), MOST_OF_A_KIND, stranger) {
            tell(stranger, 0, registry);
        }
    }

    /// When [`tell_due`](Self::tell_due) has something to say.
    pub fn due_at(&self) -> Instant {
        self.limiter.due_at().min(self.report_at)
    }

    /// Logs what was held back, and the counts once an hour; all of it at the end.
    pub fn tell_due(&mut self, now: Instant, is_end: bool, registry: &Registry) {
        while let Some(HeldBack { newest, more }) = self.limiter.next_due(now, is_end) {
            tell(newest, more, registry);
        }
        if now >= self.report_at || is_end {
            self.report_at = now + REPORT_EVERY;
            self.report(registry);
        }
    }

    /// Logs the counts.
    pub fn report(&self, registry: &Registry) {
        let (pairs, keys) = registry.counts();
        let [no_question, unknown, forged, repeated, too_many] = self.refused;
        info!(
            target: RECORD,
            "pairs: {pairs}, keys: {keys}; answered since the start: {} questions, {} first ones; refused: \
                {unknown} under unknown keys, {forged} not authentic, {repeated} heard before, \
                {too_many} first ones too many, {no_question} that were no question; \
                {} answers could not be sent",
            self.counted,
            self.greeted,
            self.unsent
        );
    }
}

/// Where something came from.
struct From(Option<IpAddr>);

impl Display for From {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ip) => ip.to_canonical().fmt(out),
            None => out.write_str("somewhere"),
        }
    }
}

fn tell(stranger: Stranger, more: u32, registry: &Registry) {
    let Stranger { why, bytes, from } = stranger;
    let (from, more) = (From(from), And(more));
    let label = |pair: usize| registry.label(pair);
    match why {
        Refused::NoQuestion => log!(
            target: RECORD,
            Level::Info,
            "{bytes} bytes from {from} are no question: not answered{more}"
        ),
        Refused::UnknownKey(name) => log!(
            target: RECORD,
            Level::Warn,
            "a question from {from} is under the key {}, which no file here holds: not answered. If that is \
                a node of yours, make its pair's file with `crosswire keygen --witness`{more}",
            plain::hex(&name)
        ),
        Refused::Forged(pair) => log!(
            target: RECORD,
            Level::Warn,
            "pair {}: a question from {from} is not authentic: not answered{more}",
            label(pair)
        ),
        Refused::Repeated(pair) => log!(
            target: RECORD,
            Level::Info,
            "pair {}: a question from {from} was heard before: not answered{more}",
            label(pair)
        ),
        Refused::TooMany(pair) => log!(
            target: RECORD,
            Level::Info,
            "pair {}: a first question from {from} is one of too many: not answered{more}",
            label(pair)
        ),
    }
}
