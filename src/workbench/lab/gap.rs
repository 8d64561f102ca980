//! What a client's requests and answers say of a service: for how long it gave none, and for how long nobody
//! asked.
//!
//! A client that a busy machine does not run asks nothing. What it then sees is no outage, and no service
//! either: it is told apart from requests that were sent and not answered.

use std::fmt;

use crosswire::time::{Instant, Span};

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// When its request was sent.
    pub sent: Instant,
    /// When the client's kernel had it.
    pub received: Instant,
}

/// The longest times within some time, of which neither is part of the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Gap {
    /// Without an answer to what was asked; an outage is too long by at most one step of the client.
    pub unserved: Span,
    /// Between two requests. Of what was between them nothing is known.
    pub unasked: Span,
}

impl Gap {
    /// What limits are for: an outage was no longer, as far as anybody asked, and somebody asked as often.
    pub fn worst(self) -> Span {
        self.unserved.max(self.unasked)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.unserved)?;
        if self.unasked > self.unserved {
            write!(f, " (and did not ask for {})", self.unasked)?;
        }
        Ok(())
    }
}

/// What a client has done and heard so far.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it began.
    pub started: Instant,
    /// When it asked, requests that the kernel refused for want of a neighbour included.
    pub asked: Vec<Instant>,
    /// In the order of arrival.
    pub answers: Vec<Answer>,
    /// Until when it has looked for answers.
    pub heard_until: Instant,
}

impl Record {
    /// Of a client that begins now.
    pub fn new(now: Instant) -> Self {
        Self { started: now, asked: Vec::new(), answers: Vec::new(), heard_until: now }
    }

    /// The longest times that reach beyond `since`. `step` is the time between requests of a client that is
    /// never late.
    pub fn longest_gap(&self, step: Span, since: Instant, now: Instant) -> Gap {
        Gap { unserved: self.unserved(step, since), unasked: self.unasked(since, now) }
    }

    /// From the last answer before it, or the start, up to the next one or to the last look. What passed
    /// before the first request that it did not answer, but for a step, was not asked for.
    fn unserved(&self, step: Span, since: Instant) -> Span {
        let (mut longest, mut before, mut next) = (Span::ZERO, self.started, 0);
        let looked = Answer { sent: self.heard_until, received: self.heard_until };
        for answer in self.answers.iter().chain([&looked]) {
            let waits_since = self.asked.get(next).copied().filter(|asked| *asked <= answer.received);
            let begins = waits_since.map_or(answer.received, |asked| before.max(less(asked, step)));
            if answer.received > since {
                longest = longest.max(answer.received.since(begins));
            }
            before = before.max(answer.received);
            next += self.asked[next..].iter().take_while(|asked| **asked <= answer.sent).count();
        }
        longest
    }

    fn unasked(&self, since: Instant, now: Instant) -> Span {
        let (mut longest, mut before) = (Span::ZERO, self.started);
        for at in self.asked.iter().copied().chain([now]) {
            if at > since {
                longest = longest.max(at.since(before));
            }
            before = at;
        }
        longest
    }
}

fn less(at: Instant, span: Span) -> Instant {
    Instant::from_us(at.as_us().saturating_sub(span.as_us()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_MS: u64 = 5;

    fn at(ms: u64) -> Instant {
        Instant::from_us(ms * 1_000)
    }

    /// Unserved and unasked: requests that were asked and when each was answered, if it was.
    fn gap_ms(requests: &[(u64, Option<u64>)], since_ms: u64, now_ms: u64) -> (u64, u64) {
        let answers = requests.iter().filter_map(|(sent, received)| {
            received.map(|received| Answer { sent: at(*sent), received: at(received) })
        });
        let record = Record {
            started: at(0),
            asked: requests.iter().map(|(sent, _)| at(*sent)).collect(),
            answers: answers.collect(),
            heard_until: at(now_ms),
        };
        let gap = record.longest_gap(Span::from_ms(STEP_MS), at(since_ms), at(now_ms));
        (gap.unserved.as_ms(), gap.unasked.as_ms())
    }

    /// Requests every step from `from_ms` on, which are answered at once or not at all.
    fn steady(from_ms: u64, to_ms: u64, answered: bool) -> Vec<(u64, Option<u64>)> {
        let steps = (from_ms..to_ms).step_by(5);
        steps.map(|sent| (sent, answered.then_some(sent))).collect()
    }

    #[test]
    fn a_gap_counts_from_the_last_answer_before_the_fault() {
        let all = [steady(5, 20, true), steady(20, 615, false), steady(615, 625, true)].concat();
        assert_eq!(gap_ms(&all, 17, 622), (600, 5));
        let all = [steady(5, 20, true), steady(20, 400, false), steady(400, 410, true)].concat();
        let all = [all, steady(410, 615, false), steady(615, 625, true)].concat();
        assert_eq!(gap_ms(&all, 410, 622), (210, 5), "what ended before is not counted");
    }

    #[test]
    fn a_gap_that_lasts_is_counted_up_to_now() {
        assert_eq!(gap_ms(&[steady(5, 15, true), steady(15, 905, false)].concat(), 12, 900).0, 890);
        assert_eq!(gap_ms(&steady(0, 900, false), 12, 900).0, 900);
    }

    #[test]
    fn an_answer_that_is_late_is_a_gap_and_a_request_that_is_late_is_none() {
        let late = [(5, Some(5)), (10, Some(40)), (15, Some(40)), (40, Some(40))];
        assert_eq!(gap_ms(&late[..3], 6, 40), (35, 25));
        assert_eq!(gap_ms(&[(5, Some(5)), (40, Some(40))], 6, 41), (5, 35), "nobody asked for 35 ms");
        assert_eq!(gap_ms(&[(5, Some(5))], 6, 900), (0, 895), "nor since");
    }

    #[test]
    fn an_outage_beside_a_client_that_is_late_is_not_hidden() {
        // Not answered on either side of the time in which nobody asked: nothing says that it was served.
        assert_eq!(gap_ms(&[(5, Some(5)), (10, None), (500, None), (505, Some(505))], 6, 506), (500, 490));
        // From the first request that was not answered.
        assert_eq!(gap_ms(&[(5, Some(5)), (300, None), (310, Some(310))], 6, 311), (15, 295));
    }

    #[test]
    fn answers_that_come_together_are_as_late_as_the_first_of_them() {
        assert_eq!(gap_ms(&[(5, Some(5)), (10, Some(90)), (15, Some(90)), (20, Some(90))], 6, 91).0, 85);
    }

    #[test]
    fn what_a_client_saw_is_said_with_what_it_did_not_ask_for() {
        let gap =
            |unserved, unasked| Gap { unserved: Span::from_ms(unserved), unasked: Span::from_ms(unasked) };
        assert_eq!(gap(20, 5).to_string(), "20 ms");
        assert_eq!(gap(5, 60).to_string(), "5 ms (and did not ask for 60 ms)");
        assert_eq!((gap(5, 60).worst(), gap(20, 5).worst()), (Span::from_ms(60), Span::from_ms(20)));
    }
}
