//! Has the journal written, and tells the agent what was not told in all.

use crosswire::time::{Instant, Span};

use super::state::Guard;
use crate::clock::now;
use crate::guard::journal::process::{JournalProcess, ToldDrops};
use crate::ipc::FromGuard;
use crate::logger;

/// The agent is told of drops so often at most.
const TELL_EVERY: Span = Span::from_s(1);

impl Guard<'_> {
    /// Tells the agent where to put what is to be written.
    pub(super) fn hand_over_journal(&mut self) {
        // A new agent knows of no drops.
        self.told_drops = ToldDrops::default();
        let Some(journal) = &self.journal else { return };
        let (trouble, end) = (journal.trouble(), journal.end_of_agent());
        self.tell(&FromGuard::Journal { trouble }, end);
    }

    pub(super) fn reap_journal(&mut self) {
        if self.journal.as_mut().is_some_and(|journal| journal.reap(now())) {
            self.tell_journal();
        }
    }

    /// Starts what writes the journal, if it does not run.
    pub(super) fn tend_journal(&mut self, now: Instant) {
        if self.journal.as_mut().is_some_and(|journal| journal.tend(now)) {
            self.tell_journal();
        }
    }

    fn tell_journal(&mut self) {
        if let Some(trouble) = self.journal.as_ref().map(JournalProcess::trouble) {
            self.tell(&FromGuard::Journal { trouble }, None);
        }
    }

    /// Tells the agent how much was dropped here, for the status.
    pub(super) fn tell_drops(&mut self, now: Instant) {
        let counts = (self.notifier.lost(), logger::lost());
        if counts != self.told_drops.counts && self.told_drops.at.is_none_or(|at| now >= at + TELL_EVERY) {
            self.told_drops = ToldDrops { counts, at: Some(now) };
            let (notices, lines) = counts;
            self.tell(&FromGuard::Dropped { notices, lines }, None);
        }
    }
}
