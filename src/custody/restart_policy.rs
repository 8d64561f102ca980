//! What is done when an agent is lost: another one at once, or an empty-handed one later, or none.

use crate::time::{Instant, Span};

/// So many deaths within [`WINDOW`] are one too many.
const MAX_DEATHS: usize = 3;
/// See [`MAX_DEATHS`]. Once an agent has lived this long, earlier deaths are forgotten.
const WINDOW: Span = Span::from_s(60);
/// The first wait before an agent is started that finds nothing held. It doubles up to [`LONGEST_BACK_OFF`].
const FIRST_BACK_OFF: Span = Span::from_s(1);
/// Longest wait before another agent is started.
pub const LONGEST_BACK_OFF: Span = Span::from_s(60);

/// How an agent was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// It died, or closed its end.
    Died,
    /// It said nothing, or did not read what it was told.
    Hung,
    /// It was started in the place of another, and has not renewed what is held within the lease.
    NotServing,
    /// It asked for something that is not configured: nothing that it left can be trusted.
    Untrusted,
}

/// What to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Another one goes on in its place at once, with everything that is held.
    InPlace,
    /// Everything is released. Then, not before this instant, an agent is started that finds nothing held.
    EmptyHanded(Instant),
    /// The daemon ends: this box runs no agent at all.
    End,
}

/// The agents of one run of the guard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestartPolicy {
    /// The last agent left something with which another one can go on.
    has_deposit: bool,
    /// Some agent of this run has said something.
    has_any_spoken: bool,
    deaths: [Option<Instant>; MAX_DEATHS],
    back_off: Span,
}

impl RestartPolicy {
    /// There was no agent yet.
    pub(crate) fn new() -> Self {
        Self {
            has_deposit: false,
            has_any_spoken: false,
            deaths: [None; MAX_DEATHS],
            back_off: FIRST_BACK_OFF,
        }
    }

    /// The agent has said something.
    pub fn note_word(&mut self) {
        self.has_any_spoken = true;
    }

    /// It has left something for a successor.
    pub fn note_deposit(&mut self) {
        self.has_deposit = true;
    }

    /// Another one can go on with what the last one left.
    pub fn has_deposit(&self) -> bool {
        self.has_deposit
    }

    /// Nobody may go on with what was left.
    pub fn forget_deposit(&mut self) {
        self.has_deposit = false;
    }

    /// The agent was lost.
    pub fn lose(&mut self, now: Instant, loss: Loss) -> Next {
        let is_calm = self.deaths.iter().flatten().all(|at| now.since(*at) >= WINDOW);
        if is_calm {
            self.back_off = FIRST_BACK_OFF;
        }
        self.deaths.rotate_right(1);
        if let Some(newest) = self.deaths.first_mut() {
            *newest = Some(now);
        }
        let is_worn_out = self.deaths.iter().all(|at| at.is_some_and(|at| now.since(at) < WINDOW));
        match loss {
            Loss::Died if !self.has_any_spoken => Next::End,
            Loss::Died | Loss::Hung if !is_worn_out && self.has_deposit => Next::InPlace,
            Loss::Died | Loss::Hung | Loss::NotServing | Loss::Untrusted => {
                self.has_deposit = false;
                let wait = self.back_off;
                self.back_off = (wait + wait).min(LONGEST_BACK_OFF);
                Next::EmptyHanded(now + wait)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_us(1_000_000) + Span::from_s(s)
    }

    /// An agent that has left something.
    fn settled() -> RestartPolicy {
        let mut policy = RestartPolicy::new();
        policy.note_word();
        policy.note_deposit();
        policy
    }

    #[test]
    fn who_dies_now_and_then_is_replaced_in_place() {
        let mut policy = settled();
        for s in [0, 1, 61, 62, 122] {
            assert_eq!(policy.lose(at(s), Loss::Died), Next::InPlace, "at {s} s");
        }
        assert_eq!(policy.lose(at(200), Loss::Hung), Next::InPlace);
    }

    #[test]
    fn the_third_death_within_a_minute_costs_everything_and_the_wait_doubles() {
        let mut policy = settled();
        policy.lose(at(0), Loss::Died);
        policy.lose(at(30), Loss::Hung);
        assert_eq!(policy.lose(at(59), Loss::Died), Next::EmptyHanded(at(60)));
        assert!(!policy.has_deposit(), "what the dead one knew dies with it");
        assert_eq!(policy.lose(at(61), Loss::Died), Next::EmptyHanded(at(63)));
        assert_eq!(policy.lose(at(64), Loss::Died), Next::EmptyHanded(at(68)));
        policy.note_deposit();
        assert_eq!(policy.lose(at(200), Loss::Died), Next::InPlace, "a minute of peace is forgiveness");
    }

    #[test]
    fn who_cannot_be_trusted_or_does_not_serve_hands_nothing_on() {
        for loss in [Loss::Untrusted, Loss::NotServing] {
            let mut policy = settled();
            assert_eq!(policy.lose(at(0), loss), Next::EmptyHanded(at(1)));
            assert!(!policy.has_deposit());
        }
    }

    #[test]
    fn a_box_on_which_no_agent_ever_spoke_runs_none() {
        assert_eq!(RestartPolicy::new().lose(at(0), Loss::Died), Next::End);
        let mut mute = RestartPolicy::new();
        assert_eq!(mute.lose(at(0), Loss::Hung), Next::EmptyHanded(at(1)));
        mute.note_word();
        assert_eq!(
            mute.lose(at(9), Loss::Died),
            Next::EmptyHanded(at(11)),
            "it never had anything to hand on"
        );
    }
}
