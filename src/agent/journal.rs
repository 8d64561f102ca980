//! The last things that happened or were decided, in bounded memory: what `why` tells.

use crosswire::quorum::record::Record;
use crosswire::time::Instant;

/// The most entries that are kept. A whole incident with both paths is about thirty.
const MAX_ENTRIES: usize = 96;

/// An entry: when, what, how many more like it in the minute before, and how the script failed of which it
/// tells.
pub type Noted = (Instant, Record, u32, u32);

/// The last entries, the oldest first.
pub struct Journal {
    entries: Vec<Noted>,
    count: u32,
}

impl Journal {
    /// An empty one; it never grows beyond what it takes now.
    pub fn new() -> Self {
        Self { entries: Vec::with_capacity(MAX_ENTRIES), count: 0 }
    }

    /// Keeps an entry. If there is no room, the oldest entry of the most numerous kind goes: a flood drives
    /// out nothing but itself.
    pub fn note(&mut self, now: Instant, record: Record, more: u32, end: u32) {
        self.count = self.count.saturating_add(1);
        if self.entries.len() == MAX_ENTRIES {
            self.entries.remove(self.most_numerous());
        }
        self.entries.push((now, record, more, end));
    }

    /// Where the oldest entry of the most numerous kind is; of several such kinds, of the one that began
    /// first.
    fn most_numerous(&self) -> usize {
        let like = |record: &Record| {
            self.entries.iter().filter(|(_, other, ..)| other.kind() == record.kind()).count()
        };
        let counted = self.entries.iter().map(|(_, record, ..)| like(record)).enumerate();
        // Of equals the last one counts as the greatest, so they are counted backwards.
        counted.rev().max_by_key(|(_, count)| *count).map_or(0, |(index, _)| index)
    }

    /// How many entries it was given in all.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The last `count` entries, the oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &Noted> {
        self.entries.iter().skip(self.entries.len().saturating_sub(count))
    }
}

#[cfg(test)]
mod tests {
    use crosswire::health::PathState;
    use crosswire::pair::Role;
    use crosswire::pair::{GroupId, PathId};

    use super::*;

    #[test]
    fn the_newest_entries_are_kept_in_their_order() {
        let mut journal = Journal::new();
        for ms in 0..250 {
            journal.note(Instant::from_us(ms), Record::Leaving, 0, 0);
        }
        let kept: Vec<u64> = journal.last(usize::MAX).map(|(at, ..)| at.as_us()).collect();
        assert!(kept.iter().copied().eq(250 - MAX_ENTRIES as u64..250), "{kept:?}");
        assert_eq!(journal.last(2).count(), 2);
        assert_eq!(journal.count(), 250);
    }

    /// A takeover of some days ago, then a line that flaps without end.
    #[test]
    fn a_flood_drives_out_nothing_but_itself() {
        let mut journal = Journal::new();
        let takeover = [(Role::Backup, Role::Acquiring), (Role::Acquiring, Role::Active)];
        for (from, to) in takeover {
            journal.note(Instant::from_us(1), Record::Role { group: GroupId(0), from, to }, 0, 0);
        }
        for at in 0..10_000 {
            let (from, to) = if at % 2 == 0 {
                (PathState::Silent, PathState::Noisy)
            } else {
                (PathState::Noisy, PathState::Silent)
            };
            journal.note(Instant::from_us(2 + at), Record::Path { path: PathId(0), from, to }, 0, 0);
            journal.note(
                Instant::from_us(2 + at),
                Record::VipContested { group: GroupId(0), mac: [0; 6] },
                27,
                0,
            );
        }
        let kept: Vec<Record> = journal.last(usize::MAX).map(|(_, record, ..)| *record).collect();
        assert!(
            matches!(kept[..2], [Record::Role { .. }, Record::Role { to: Role::Active, .. }]),
            "{kept:?}"
        );
        assert_eq!(kept.len(), MAX_ENTRIES);
        assert!(journal.last(1).eq(&[(Instant::from_us(10_001), kept[MAX_ENTRIES - 1], 27, 0)]));
    }
}
