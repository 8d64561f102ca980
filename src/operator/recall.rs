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
        let (older, newer) = if number(&first) <= number(&second) { (first, second) } else { (second, first) };
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
        let mut at = self.items.partition_point(|item| item.age >= age);
        let same_age = self.items.get(..at).unwrap_or_default().iter().rev().take_while(|item| item.age == age);
        if same_age.into_iter().any(|item| item.what.is_same(&what)) {
            return;
        }
        at = at.min(self.items.len());
        let run = self.runs.len().saturating_sub(1);
        self.items.insert(at, Item { age, is_at_least: false, boots_since: 0, run, what });
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
