//! The neighbours on one interface: third parties whose packets show that the interface leads somewhere.
//!
//! A cable to the switch, a link light and a network card say nothing of the port behind them. Whoever else
//! lives on the LAN does: a node that hears nobody there, and gets no answer where it did before, is the one
//! that is cut off. Which packets count, and who is asked, is the agent's business; here it counts when a
//! neighbour was heard, and which questions nobody has answered.

use serde::{Deserialize, Serialize};

use crate::pair::Interface;
use crate::time::{Instant, Span};

/// What the neighbours on the interfaces of a group say of us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum NeighbourView {
    /// Nobody was ever heard there: nothing can be said.
    Unknown,
    /// Somebody was heard since the instant that matters.
    Proven,
    /// Somebody was heard before, and not since.
    Unproven,
    /// Nobody answers any more.
    CutOff,
}

/// How fast questions follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Between two rounds of a series.
    pub every: Span,
    /// How long nobody may answer until the interface counts as cut off.
    pub patience: Span,
    /// How long nothing may be heard until somebody is asked.
    pub quiet: Span,
}

/// This many rounds stay unanswered before an interface is cut off.
pub const ROUNDS: u8 = 5;
/// This many, for as long as [`HANDS_OVER_AFTER`], before a group is handed over for that.
pub const ROUNDS_TO_HAND_OVER: u8 = 10;
/// How long nobody answers before a group is handed over.
pub const HANDS_OVER_AFTER: Span = Span::from_s(1);
/// The longest time between two rounds of a series: a handover takes ten of them in a second.
pub const SLOWEST_ROUND: Span = Span::from_ms(100);
/// How often a cut-off interface is tried.
const TRIES_EVERY: Span = Span::from_s(1);
/// After a cut that lasted longer than any peer is silent between two beats, somebody may be back who was not
/// after the last one.
const ANOTHER_CUT: Span = Span::from_s(10);

/// Questions that nobody has answered yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Series {
    began_at: Instant,
    asked: u8,
}

/// The neighbours on one interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Neighbours {
    /// Whether the interface has carrier, once that is known.
    has_carrier: Option<bool>,
    /// A neighbour was heard at this instant, or later.
    heard_at: Option<Instant>,
    asked_at: Option<Instant>,
    series: Option<Series>,
    cut_off_at: Option<Instant>,
    /// When a neighbour was heard again after the interface had been cut off.
    back_at: Option<Instant>,
    /// Since when the peer says that its interface is cut off.
    peer_cut_off_at: Option<Instant>,
    /// When the peer last spoke of it, its interface had no carrier.
    is_peer_dark: bool,
    /// How many questions have stayed unanswered in a row until the peer was heard.
    unanswered: u8,
    /// So many more questions follow each other fast, since the peer is back after a cut, and others may be;
    /// none if somebody was heard since the last cut.
    again: Option<u8>,
}

/// What a successor has to know of one interface. Not whether somebody was heard on it: the successor does
/// not know whom it could ask, so that nobody would answer, and it would take itself for cut off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NeighboursDeposit {
    /// It is cut off.
    pub is_cut_off: bool,
    /// The peer had no carrier there when it last spoke.
    pub is_peer_dark: bool,
}

impl Neighbours {
    /// Notes whether the interface has carrier. Questions that left without are none.
    pub fn note_carrier(&mut self, is_up: bool) {
        if self.is_dark() == is_up {
            self.forget_questions();
        }
        self.has_carrier = Some(is_up);
    }

    /// A neighbour was heard at `at` or later. Returns whether that is news: it was cut off, or asked.
    pub fn heard(&mut self, now: Instant, at: Instant) -> bool {
        let is_first = self.heard_at.is_none();
        (self.unanswered, self.again) = (0, None);
        self.heard_at = self.heard_at.max(Some(at));
        let is_answer = self.series.is_none_or(|series| at >= series.began_at);
        let was_asked = self.series.is_some();
        if !is_answer {
            return is_first;
        }
        if self.cut_off_at.take().is_some() {
            self.back_at = Some(now);
        }
        self.series = None;
        is_first || was_asked || self.peer_cut_off_at.is_some()
    }

    /// The peer itself was heard on the interface at `at`: it leads to the peer, if to nobody else.
    pub fn peer_heard(&mut self, at: Instant) {
        if self.series.is_some_and(|series| at > series.began_at)
            || self.cut_off_at.is_some_and(|cut| at > cut)
        {
            let asked = self.series.map_or(0, |series| series.asked);
            let is_another = self.cut_off_at.is_some_and(|cut| at > cut + ANOTHER_CUT);
            if is_another || asked > 1 && self.again.is_none() {
                self.again = Some(ROUNDS);
            }
            self.unanswered = self.unanswered.saturating_add(asked);
            (self.series, self.cut_off_at) = (None, None);
        }
    }

    /// Notes what the peer says of its own interface.
    pub fn note_peer(&mut self, now: Instant, said: Interface) {
        let is_cut_off = said == Interface::CutOff;
        self.peer_cut_off_at = is_cut_off.then(|| self.peer_cut_off_at.unwrap_or(now));
        self.is_peer_dark = said == Interface::Dark;
    }

    /// Somebody was heard before, and nobody but the peer answers there now.
    pub fn is_lonely(&self) -> bool {
        // The answer to one question may be on its way.
        self.unanswered > 1 && self.heard_at.is_some()
    }

    /// It has no carrier here.
    pub fn is_dark(&self) -> bool {
        self.has_carrier == Some(false)
    }

    /// It is known whether it has carrier.
    pub fn is_carrier_known(&self) -> bool {
        self.has_carrier.is_some()
    }

    /// It had no carrier there when the peer last spoke.
    pub fn is_dark_there(&self) -> bool {
        self.is_peer_dark
    }

    /// It has no carrier here, and had none there when the peer last spoke.
    pub fn is_dark_on_both(&self) -> bool {
        self.is_dark() && self.is_peer_dark
    }

    /// Since when the peer says that its own interface is cut off.
    pub fn peer_cut_off_at(&self) -> Option<Instant> {
        self.peer_cut_off_at
    }

    /// When the next question is due. `pace.quiet` says how urgent it is to know.
    pub fn due_at(&self, pace: Pace) -> Instant {
        let Some(asked_at) = self.asked_at.filter(|_| !self.is_dark()) else {
            let never_asked = self.heard_at.map_or(Instant::ORIGIN, |at| at + pace.quiet);
            return if self.is_dark() { Instant::NEVER } else { never_asked };
        };
        match (self.series, self.cut_off_at) {
            (Some(series), Some(_)) if asked_at >= series.began_at + HANDS_OVER_AFTER => {
                asked_at + TRIES_EVERY
            }
            (None, Some(_)) => asked_at + TRIES_EVERY,
            (Some(_), _) => asked_at + pace.every,
            (None, None) if self.asks_again() => asked_at + pace.every,
            (None, None) => Some(asked_at).max(self.heard_at).unwrap_or(asked_at) + pace.quiet,
        }
    }

    /// Since when it has been quiet, if nothing but quiet makes a question due ([`Self::due_at`]), and none
    /// is under way.
    pub fn quiet_since(&self) -> Option<Instant> {
        if self.series.is_some() || self.cut_off_at.is_some() || self.asks_again() || self.is_dark() {
            return None;
        }
        self.heard_at.max(self.asked_at)
    }

    /// The peer was heard instead of a neighbour: questions go on.
    fn asks_again(&self) -> bool {
        self.unanswered == 1 || self.again.is_some_and(|left| left > 0)
    }

    /// A question leaves.
    pub fn ask(&mut self, now: Instant) {
        let series = self.series.get_or_insert(Series { began_at: now, asked: 0 });
        series.asked = series.asked.saturating_add(1);
        self.again = self.again.map(|left| left.saturating_sub(1));
        self.asked_at = Some(now);
    }

    /// When the questions that nobody answers make the interface cut off; never, if none is under way.
    pub fn judged_at(&self, pace: Pace) -> Instant {
        let Some((series, asked_at)) = self.series.zip(self.asked_at).filter(|_| self.cut_off_at.is_none())
        else {
            return Instant::NEVER;
        };
        let left = u64::from(ROUNDS.saturating_sub(series.asked));
        (series.began_at + pace.patience).max(asked_at + pace.every.fraction(left.saturating_add(1), 1))
    }

    /// Judges the questions that nobody has answered. Everything that had arrived was handed in. Returns
    /// whether the interface has just become cut off. One on which nobody was ever heard never does.
    pub fn judge(&mut self, now: Instant, pace: Pace) -> bool {
        if now < self.judged_at(pace) {
            return false;
        }
        if self.heard_at.is_none() {
            self.series = None;
            return false;
        }
        self.cut_off_at = Some(now);
        true
    }

    /// Questions that may never have left, or whose answers nobody has read, prove nothing.
    pub fn forget_questions(&mut self) {
        if self.cut_off_at.is_none() {
            (self.series, self.asked_at) = (None, None);
        }
    }

    /// What its neighbours say; only one who was heard after `since` counts. Where there is no carrier nobody
    /// can be asked: that is for the rules of carriers.
    pub fn view(&self, since: Instant) -> NeighbourView {
        match (self.heard_at, self.cut_off_at) {
            _ if self.is_dark() => NeighbourView::Unknown,
            (None, None) => NeighbourView::Unknown,
            (_, Some(_)) => NeighbourView::CutOff,
            (Some(at), None) if at > since => NeighbourView::Proven,
            (Some(_), None) => NeighbourView::Unproven,
        }
    }

    /// Since when it has been cut off.
    pub fn cut_off_at(&self) -> Option<Instant> {
        self.cut_off_at
    }

    /// When nobody has answered for so long that a group is handed over; `None` while somebody may.
    pub fn hands_over_at(&self) -> Option<Instant> {
        let series = self.series.filter(|series| series.asked >= ROUNDS_TO_HAND_OVER);
        self.cut_off_at.and(series).map(|series| series.began_at + HANDS_OVER_AFTER)
    }

    /// When a neighbour was heard again after it had been cut off.
    pub fn back_at(&self) -> Option<Instant> {
        self.back_at
    }

    /// When a neighbour was heard last.
    pub fn heard_at(&self) -> Option<Instant> {
        self.heard_at
    }

    /// Whoever was a neighbour is none any more.
    pub fn forget(&mut self) {
        *self = Self { has_carrier: self.has_carrier, is_peer_dark: self.is_peer_dark, ..Self::default() };
    }

    /// Nobody is asked, and nothing is wrong.
    pub fn is_at_rest(&self) -> bool {
        self.series.is_none() && self.cut_off_at.is_none() && self.peer_cut_off_at.is_none()
    }

    /// Somebody is asked, and an answer may come at any moment.
    pub fn is_asking(&self) -> bool {
        self.series.is_some()
    }

    /// What our beats say of it. If the peer's is cut off, only somebody who was heard after the peer had
    /// said so proves ours.
    pub fn state(&self) -> Interface {
        let since = self.peer_cut_off_at.unwrap_or(Instant::ORIGIN);
        match self.view(since) {
            _ if self.is_dark() => Interface::Dark,
            NeighbourView::CutOff => Interface::CutOff,
            NeighbourView::Proven if !self.is_lonely() => Interface::Proven,
            NeighbourView::Proven | NeighbourView::Unknown | NeighbourView::Unproven => Interface::Unknown,
        }
    }

    /// What a successor has to know.
    pub fn deposit(&self) -> NeighboursDeposit {
        NeighboursDeposit { is_cut_off: self.cut_off_at.is_some(), is_peer_dark: self.is_peer_dark }
    }

    /// Goes on with what another agent left.
    pub fn succeed(now: Instant, left: NeighboursDeposit) -> Self {
        let cut_off_at = left.is_cut_off.then_some(now);
        Self { cut_off_at, asked_at: cut_off_at, is_peer_dark: left.is_peer_dark, ..Self::default() }
    }
}

/// What the neighbours on several interfaces say together. Those on which nobody was ever heard say nothing;
/// of the others one that is proven is enough.
pub fn together(views: impl Iterator<Item = NeighbourView>) -> NeighbourView {
    views.fold(NeighbourView::Unknown, |all, view| match (all, view) {
        (NeighbourView::Proven, _) | (_, NeighbourView::Proven) => NeighbourView::Proven,
        (NeighbourView::Unproven, _) | (_, NeighbourView::Unproven) => NeighbourView::Unproven,
        (NeighbourView::CutOff, _) | (_, NeighbourView::CutOff) => NeighbourView::CutOff,
        (NeighbourView::Unknown, NeighbourView::Unknown) => NeighbourView::Unknown,
    })
}

#[cfg(test)]
#[path = "neighbours_tests.rs"]
mod tests;
