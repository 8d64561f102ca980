//! The last things that happened or were decided, in a bounded ring: what `why` tells.

use crosswire::quorum::record::Record;
use crosswire::time::Instant;

/// Most entries that are kept; a whole incident with both paths is about thirty.
const MAX_ENTRIES: usize = 96;

/// The ring.
pub struct Journal {
    entries: Vec<(Instant, Record)>,
    /// Where the oldest entry is, once the ring is full.
    oldest: usize,
    count: u32,
}

impl Journal {
    /// An empty one; it never grows beyond what it takes now.
    pub fn new() -> Self {
        Self { entries: Vec::with_capacity(MAX_ENTRIES), oldest: 0, count: 0 }
    }

    /// Keeps an entry, at the cost of the oldest.
    pub fn note(&mut self, now: Instant, record: Record) {
        self.count = self.count.saturating_add(1);
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push((now, record));
        } else if let Some(slot) = self.entries.get_mut(self.oldest) {
            *slot = (now, record);
            self.oldest = (self.oldest + 1) % MAX_ENTRIES;
        }
    }

    /// How many entries it was given in all.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The last `count` entries, the oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &(Instant, Record)> {
        let (newer, older) = self.entries.split_at(self.oldest.min(self.entries.len()));
        let skipped = self.entries.len().saturating_sub(count);
        older.iter().chain(newer).skip(skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entries_are_kept_in_their_order() {
        let mut journal = Journal::new();
        for ms in 0..250 {
            journal.note(Instant::from_us(ms), Record::Leaving);
        }
        let kept: Vec<u64> = journal.last(usize::MAX).map(|(at, _)| at.as_us()).collect();
        assert!(kept.iter().copied().eq(250 - MAX_ENTRIES as u64..250), "{kept:?}");
        assert_eq!(journal.last(2).count(), 2);
    }
}
