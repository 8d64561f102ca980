//! What a node remembers beyond its agent of now: the journal's files, read back for `why`, and what the peer
//! told of itself, in one order of time.
//!
//! The files may hold anything. What was written in an earlier boot of the box is placed by the clock of day,
//! if that can be right; else it is only known how long ago it was at least.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use crosswire::decode::from_bytes;
use crosswire::frame::seal::crc32;
use crosswire::journal::{Head, Kind, Reader};
use crosswire::time::{Instant, Span};
use nix::libc;

use super::cause::Entry;
use super::control::History;
use super::restraint::boot_id;
use super::words::Names;
use crate::{clock, private};

/// Largest of the two files. Both together are what a journal takes on disk.
pub const MAX_FILE_BYTES: u64 = 512 * 1024;
/// In the run directory: root's link to where the journal is. An agent that was taken over cannot change it.
const LINK: &str = "journal";
/// No clock of day that works has shown an earlier time to this program: November 2023.
const EARLIEST_S: u32 = 1_700_000_000;

/// One of the two files.
pub fn file(base: &Path, number: u8) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The path of a journal, of which `path` may be one of the files.
pub fn base_of(path: &Path) -> PathBuf {
    let is_numbered = ["0", "1"].iter().any(|number| path.extension().is_some_and(|end| end == *number));
    if is_numbered { path.with_extension("") } else { path.to_owned() }
}

/// Begins a run of the daemon, whose journal is there, if it has one.
///
/// # Errors
/// What the file system says.
pub fn begin(run_dir: &Path, base: Option<&Path>) -> io::Result<()> {
    let link = run_dir.join(LINK);
    private::remove(&link)?;
    base.map_or(Ok(()), |base| symlink(base, link))
}

/// Where the journal of this run of the daemon is, or of the last one since the boot.
pub fn of_run(run_dir: &Path) -> Option<PathBuf> {
    fs::read_link(run_dir.join(LINK)).ok()
}

/// Something that happened, here or on the peer.
pub struct Item {
    /// How long ago.
    pub age: Span,
    /// It was so long ago or longer.
    pub is_at_least: bool,
    /// How often the box has started since then.
    pub boots_since: u32,
    /// Of which run of an agent it is, counted from the oldest; and what its names are.
    pub run: usize,
    /// What happened.
    pub what: What,
}

/// What happened.
pub enum What {
    /// Here.
    Own(Entry),
    /// On the peer, in its own words.
    Theirs(String),
}

/// All that is remembered, the oldest first.
#[derive(Default)]
pub struct Memory {
    /// What happened.
    pub items: Vec<Item>,
    /// The names of each run.
    pub runs: Vec<Names>,
    /// The newest run, without entries; none if there was none.
    pub last_run: Option<History>,
}

/// Which moment it is.
#[derive(Clone, Copy)]
pub struct Moment {
    /// Since the boot.
    pub now: Instant,
    /// By the clock of day.
    pub wall_s: u32,
    /// Which boot it is.
    pub boot: u32,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        Self { now: clock::now(), wall_s: clock::wall_s(), boot: crc32(boot_id().as_bytes()) }
    }
}

impl Memory {
    /// Reads a journal back; empty if there is none.
    pub fn of(base: &Path, moment: Moment) -> Self {
        let mut memory = Self::default();
        let [first, second] = [0, 1].map(|number| lines(&file(base, number)));
        let number = |lines: &[Line]| lines.first().map_or(u32::MAX, |line| line.0.number);
        let (older, newer) =
            if number(&first) <= number(&second) { (first, second) } else { (second, first) };
        let mut boots: Vec<Boot> = Vec::new();
        for (head, payload) in older.iter().chain(&newer) {
            let Some((at, what)) = memory.parse(*head, payload) else { continue };
            if boots.last().is_none_or(|boot| boot.boot != head.boot) {
                boots.push(Boot { boot: head.boot, from: memory.items.len(), lasted: Span::ZERO, wall_s: 0 });
            }
            if let Some(boot) = boots.last_mut() {
                (boot.lasted, boot.wall_s) = (boot.lasted.max(at), head.wall_s);
            }
            let run = memory.runs.len().saturating_sub(1);
            memory.items.push(Item { age: at, is_at_least: false, boots_since: 0, run, what });
        }
        memory.place(&boots, moment);
        // What the peer told was written after what happened here meanwhile.
        for item in std::mem::take(&mut memory.items) {
            memory.put(item);
        }
        memory
    }

    /// What a line says, and when after the boot that was.
    fn parse(&mut self, head: Head, payload: &[u8]) -> Option<(Span, What)> {
        match head.kind {
            Kind::Run => {
                let run: History = from_bytes(payload)?;
                self.runs.push(run.names());
                self.last_run = Some(run);
                None
            }
            Kind::Entry => from_bytes::<Entry>(payload).map(|entry| (entry.0, What::Own(entry))),
            Kind::Peer => from_bytes(payload).map(|(at, said)| (at, What::Theirs(said))),
            Kind::Unknown => None,
        }
    }

    /// Turns instants since a boot into ages, from the newest boot to the oldest.
    fn place(&mut self, boots: &[Boot], Moment { now, wall_s, boot }: Moment) {
        let up = now.since(Instant::ORIGIN);
        let mut end = self.items.len();
        // How long ago the boot that comes next in this order had ended, at least.
        let mut ended = up;
        for (since, of) in (0..).zip(boots.iter().rev()) {
            let is_now = since == 0 && of.boot == boot && of.lasted <= up;
            let by_clock = Span::from_s(u64::from(wall_s.saturating_sub(of.wall_s)));
            let is_known = is_now || (of.wall_s >= EARLIEST_S && by_clock >= ended);
            if is_now {
                ended = up.saturating_sub(of.lasted);
            } else if is_known {
                ended = by_clock;
            }
            for item in self.items.get_mut(of.from..end).unwrap_or_default() {
                item.age = ended + of.lasted.saturating_sub(item.age);
                item.is_at_least = !is_known;
                // Without a line of this boot, the newest boot in the files is an earlier one.
                item.boots_since = since + u32::from(boots.last().is_some_and(|last| last.boot != boot));
            }
            ended = ended + of.lasted;
            end = of.from;
        }
    }

    /// Adds what the agent of now remembers, unless the files tell it too.
    pub fn add(&mut self, history: &History) {
        if self.runs.is_empty() {
            self.runs.push(history.names());
        }
        for entry in &history.entries {
            self.insert(entry.0, What::Own(*entry));
        }
        for (age, said) in &history.theirs {
            self.insert(*age, What::Theirs(said.clone()));
        }
    }

    fn insert(&mut self, age: Span, what: What) {
        let run = self.runs.len().saturating_sub(1);
        self.put(Item { age, is_at_least: false, boots_since: 0, run, what });
    }

    /// Puts something in its place in the order of time, unless it is there already.
    fn put(&mut self, new: Item) {
        let at = self.items.partition_point(|item| item.age >= new.age);
        let before = self.items.get(..at).unwrap_or_default();
        let mut same_age = before.iter().rev().take_while(|item| item.age == new.age);
        if !same_age.any(|item| item.what.is_same(&new.what)) {
            self.items.insert(at, new);
        }
    }

    /// What happened here, for whoever looks at nothing else.
    pub fn own(&self) -> impl Iterator<Item = Entry> {
        self.items.iter().filter_map(|item| match &item.what {
            What::Own((_, record, more, end)) => Some((item.age, *record, *more, *end)),
            What::Theirs(_) => None,
        })
    }
}

impl What {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Own((_, record, ..)), Self::Own((_, other, ..))) => record == other,
            (Self::Theirs(said), Self::Theirs(other)) => said == other,
            (Self::Own(_), Self::Theirs(_)) | (Self::Theirs(_), Self::Own(_)) => false,
        }
    }
}

/// Lines of one boot.
struct Boot {
    boot: u32,
    /// Which item is its first one.
    from: usize,
    /// When its last one was, since the boot.
    lasted: Span,
    /// The same by the clock of day.
    wall_s: u32,
}

type Line = (Head, Vec<u8>);

/// The sound lines of a file; none where it cannot be read.
fn lines(path: &Path) -> Vec<Line> {
    let mut bytes = Vec::new();
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let is_file = |file: &File| file.metadata().is_ok_and(|found| found.is_file());
    if let Some(file) = opened.ok().filter(is_file) {
        // What was read before an error counts.
        let _ = file.take(MAX_FILE_BYTES).read_to_end(&mut bytes);
    }
    let (mut reader, mut lines) = (Reader::default(), Vec::new());
    for byte in bytes {
        lines.extend(reader.push(byte).map(|(head, payload)| (head, payload.to_vec())));
    }
    lines
}

#[cfg(test)]
mod tests {
    use crosswire::encode::to_slice;
    use crosswire::journal::{MAX_LINE_BYTES, line};
    use crosswire::quorum::record::Record;
    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60;

    /// A journal with an entry for each of these: boot, seconds since it, clock of day.
    fn journal(dir: &Path, entries: &[(u32, u64, u32)]) -> PathBuf {
        let base = dir.join("pair.gw1.journal");
        let mut bytes = Vec::new();
        for (number, (boot, at_s, wall_s)) in (0..).zip(entries) {
            let head = Head { kind: Kind::Entry, number, boot: *boot, wall_s: *wall_s };
            let (mut room, mut payload) = ([0; MAX_LINE_BYTES], [0; 64]);
            let entry: Entry = (Span::from_s(*at_s), Record::Leaving, 0, 0);
            let payload = to_slice(&entry, &mut payload).expect("short");
            bytes.extend_from_slice(line(head, payload, &mut room).expect("short"));
        }
        fs::write(file(&base, 0), bytes).expect("written");
        base
    }

    #[test]
    fn what_the_peer_told_later_stands_where_it_belongs_and_nothing_is_told_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = journal(dir.path(), &[(1, 10, 0), (1, 40, 0)]);
        let mut bytes = fs::read(file(&base, 0)).expect("written");
        let (mut room, mut payload) = ([0; MAX_LINE_BYTES], [0; 64]);
        let head = Head { kind: Kind::Peer, number: 9, boot: 1, wall_s: 0 };
        let payload = to_slice(&(Span::from_s(20), "let go"), &mut payload).expect("short");
        bytes.extend_from_slice(line(head, payload, &mut room).expect("short"));
        fs::write(file(&base, 0), bytes).expect("written");
        let mut memory = Memory::of(&base, moment(1, 100, 0));
        let entries = Vec::from([90, 60].map(|age_s| (Span::from_s(age_s), Record::Leaving, 0, 0)));
        let theirs = Vec::from([(Span::from_s(80), "let go".to_owned())]);
        memory.add(&History { entries, theirs, ..History::default() });
        let told: Vec<_> = memory.items.iter().map(|item| item.age.as_ms() / 1_000).collect();
        assert_eq!(told, [90, 80, 60]);
    }

    /// The age of each entry in seconds, whether it may be older, and how many boots ago.
    fn placed(entries: &[(u32, u64, u32)], moment: Moment) -> Vec<(u64, bool, u32)> {
        let dir = tempfile::tempdir().expect("a directory");
        let memory = Memory::of(&journal(dir.path(), entries), moment);
        let place = |item: &Item| (item.age.as_ms() / 1_000, item.is_at_least, item.boots_since);
        memory.items.iter().map(place).collect()
    }

    fn moment(boot: u32, up_s: u64, wall_s: u32) -> Moment {
        Moment { now: Instant::ORIGIN + Span::from_s(up_s), wall_s, boot }
    }

    #[test]
    fn entries_of_an_earlier_boot_are_placed_by_a_clock_that_can_be_right() {
        let noon = EARLIEST_S + 1_000_000;
        let entries = [(1, 30, noon), (1, 90, noon + 60), (2, 10, noon + 600)];
        let placed = placed(&entries, moment(2, MINUTE, noon + 650));
        assert_eq!(placed, [(650, false, 1), (590, false, 1), (50, false, 0)]);
    }

    /// Clocks that begin anew at each boot, in 1970, 2106 or some year of the board's maker; that were put
    /// right in between; that are not there at all.
    #[test]
    fn a_dead_clock_only_says_how_long_ago_it_was_at_least() {
        let noon = EARLIEST_S + 1_000_000;
        for [before, now] in
            [[0, 0], [5, 9], [u32::MAX, 7], [noon, noon + 3], [9, noon], [u32::MAX - 1, noon]]
        {
            let placed = placed(&[(1, 30, before), (1, 90, before), (2, 10, now)], moment(2, MINUTE, now));
            assert_eq!(placed, [(120, true, 1), (60, true, 1), (50, false, 0)], "{before} {now}");
        }
    }

    #[test]
    fn without_an_entry_of_this_boot_all_are_of_earlier_ones() {
        assert_eq!(placed(&[(1, 30, 0), (2, 20, 0)], moment(3, 5, 0)), [(25, true, 2), (5, true, 1)]);
    }

    #[test]
    fn what_the_agent_and_the_files_both_tell_is_told_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = moment(1, 100, 0);
        let mut memory = Memory::of(&journal(dir.path(), &[(1, 10, 0), (1, 40, 0)]), now);
        let entry = |age_s| (Span::from_s(age_s), Record::Leaving, 0, 0);
        let mut history = History { entries: Vec::from([60, 20].map(entry)), ..History::default() };
        history.theirs.push((Span::from_s(70), "let go".to_owned()));
        memory.add(&history);
        let told: Vec<_> = memory.items.iter().map(|item| item.age.as_ms() / 1_000).collect();
        assert_eq!(told, [90, 70, 60, 20]);
        memory.add(&history);
        assert_eq!(memory.items.len(), 4, "nor told twice");
    }

    proptest! {
        #[test]
        fn any_files_are_read_without_harm(
            bytes in proptest::collection::vec(any::<u8>(), 0..4_000),
            entries in proptest::collection::vec(any::<(u32, u64, u32)>(), 0..9),
            up_s in any::<u32>(),
            wall_s in any::<u32>(),
        ) {
            let dir = tempfile::tempdir().expect("a directory");
            let base = journal(dir.path(), &entries);
            fs::write(file(&base, 1), bytes).expect("written");
            let memory = Memory::of(&base, moment(1, u64::from(up_s), wall_s));
            // What is the same at the same time counts once.
            prop_assert!(memory.items.len() <= entries.len());
        }
    }
}
