//! The two files of a journal. One grows until it is full; then the other one is emptied and grows, so that
//! there is always as much as one file holds.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt, fchown};
use std::path::Path;

use crosswire::frame::seal::crc32;
use crosswire::journal::{Head, Kind, MAX_LINE_BYTES, Reader, line};
use nix::errno::Errno;
use nix::libc;

use crate::clock::wall_s;
use crate::operator::recall::{MAX_FILE_BYTES, file};
use crate::operator::restraint::boot_id;
use crate::private;

/// How much is read at a time.
const PIECE_BYTES: usize = 4_096;

/// The open files, and what the next line continues.
pub struct Files {
    files: [File; 2],
    /// How much of each is in use.
    lengths: [u64; 2],
    /// Which of them grows.
    current: usize,
    number: u32,
    boot: u32,
    /// The names of this run, which each file begins with.
    run: Vec<u8>,
}

impl Files {
    /// Opens both, and finds out where the last writer stopped. They are `group`'s to read, if there is one.
    ///
    /// # Errors
    /// What the file system says; `ESPIPE` for what is no file, `PermissionDenied` for what is somebody
    /// else's, `WouldBlock` if another process writes to them.
    pub fn open(base: &Path, group: Option<u32>) -> io::Result<Self> {
        private::directory(base.parent().unwrap_or(Path::new("/")))?;
        let files = [open_one(&file(base, 0), group)?, open_one(&file(base, 1), group)?];
        files[0].try_lock()?;
        let mut opened = Self {
            lengths: [files[0].metadata()?.len(), files[1].metadata()?.len()],
            files,
            current: 0,
            number: 0,
            boot: crc32(boot_id().as_bytes()),
            run: Vec::new(),
        };
        opened.look_where_to_go_on()?;
        Ok(opened)
    }

    /// What the process has to keep open.
    pub fn descriptors(&self) -> [RawFd; 2] {
        self.files.each_ref().map(File::as_raw_fd)
    }

    /// Reads both: the one with the newest line grows.
    fn look_where_to_go_on(&mut self) -> io::Result<()> {
        let mut piece = [0; PIECE_BYTES];
        for (index, file) in self.files.iter().enumerate() {
            let (mut reader, mut at) = (Reader::default(), 0);
            while at < MAX_FILE_BYTES {
                let length = file.read_at(&mut piece, at)?;
                let bytes = piece.get(..length).unwrap_or_default();
                if bytes.is_empty() {
                    break;
                }
                at += bytes.len() as u64;
                for byte in bytes {
                    let Some((head, payload)) = reader.push(*byte) else { continue };
                    if head.number >= self.number {
                        (self.number, self.current) = (head.number.wrapping_add(1), index);
                        if head.kind == Kind::Run {
                            self.run = payload.to_vec();
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a line. What was written of one that failed is taken back, so that nothing is lost but itself.
    /// Returns how many bytes that took.
    ///
    /// # Errors
    /// What the file system says.
    pub fn append(&mut self, kind: Kind, payload: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        if self.lengths[self.current] + MAX_LINE_BYTES as u64 > MAX_FILE_BYTES {
            self.current = 1 - self.current;
            self.files[self.current].set_len(0)?;
            self.lengths[self.current] = 0;
            if kind != Kind::Run {
                let run = self.run.clone();
                written = self.put(Kind::Run, &run)?;
            }
        }
        if kind == Kind::Run {
            self.run = payload.to_vec();
        }
        Ok(written + self.put(kind, payload)?)
    }

    fn put(&mut self, kind: Kind, payload: &[u8]) -> io::Result<usize> {
        let head = Head { kind, number: self.number, boot: self.boot, wall_s: wall_s() };
        let mut room = [0; MAX_LINE_BYTES];
        let Some(line) = line(head, payload, &mut room) else { return Ok(0) };
        let (file, at) = (&self.files[self.current], self.lengths[self.current]);
        if let Err(error) = file.write_all_at(line, at) {
            let _ = file.set_len(at);
            return Err(error);
        }
        self.lengths[self.current] += line.len() as u64;
        self.number = self.number.wrapping_add(1);
        Ok(line.len())
    }

    /// Returns once what was written survives a power cut.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(File::sync_data)
    }
}

/// Opens a file that only root writes to, without following a link or waiting for whoever reads a pipe.
fn open_one(path: &Path, group: Option<u32>) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mode = if group.is_some() { 0o640 } else { 0o600 };
    let opened =
        OpenOptions::new().read(true).write(true).create(true).mode(mode).custom_flags(flags).open(path)?;
    let found = opened.metadata()?;
    if !found.is_file() {
        return Err(Errno::ESPIPE.into());
    }
    if !private::is_own(&found) {
        return Err(ErrorKind::PermissionDenied.into());
    }
    if group.is_some() {
        fchown(&opened, None, group)?;
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::thread::sleep;
    use std::time::Duration;

    use crosswire::encode::to_slice;
    use crosswire::quorum::record::Record;
    use crosswire::time::{Instant, Span};
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;
    use crate::operator::cause::Entry;
    use crate::operator::recall::{Memory, Moment};

    fn base(dir: &tempfile::TempDir) -> std::path::PathBuf {
        dir.path().join("journal/pair.gw1.journal")
    }

    fn entry(number: u64) -> Entry {
        (Span::from_us(number), Record::Stall(Span::from_ms(number)), 0, 0)
    }

    /// Opens the files. A process that another test has forked may have them for a moment longer.
    fn open(base: &Path) -> Files {
        for _ in 0..1_000 {
            match Files::open(base, None) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(Duration::from_millis(10)),
                opened => return opened.expect("opened"),
            }
        }
        panic!("somebody has the files of {}", base.display());
    }

    fn append(files: &mut Files, number: u64) {
        let mut room = [0; 64];
        let payload = to_slice(&entry(number), &mut room).expect("short");
        files.append(Kind::Entry, payload).expect("written");
    }

    /// The numbers of the entries that are read back, the oldest first.
    fn read_back(base: &Path) -> Vec<u64> {
        let now = Instant::from_us(1_000_000_000);
        let memory = Memory::of(base, Moment { now, ..Moment::now() });
        let number = |entry: Entry| match entry.1 {
            Record::Stall(span) => span.as_ms(),
            other => panic!("{other:?}"),
        };
        memory.own().map(number).collect()
    }

    #[test]
    fn a_cut_at_any_byte_and_any_damaged_byte_costs_one_entry() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = base(&dir);
        let mut ends = Vec::new();
        {
            let mut files = Files::open(&base, None).expect("made");
            for number in 0..5 {
                append(&mut files, number);
                ends.push(usize::try_from(files.lengths[0]).expect("short"));
            }
        }
        let path = file(&base, 0);
        let whole = fs::read(&path).expect("written");
        for at in 0..=whole.len() {
            fs::write(&path, &whole[..at]).expect("cut");
            let before: Vec<u64> = (0..5).filter(|number| ends[*number as usize] <= at).collect();
            assert_eq!(read_back(&base), before, "cut at {at}");
            // The next run goes on behind it.
            append(&mut open(&base), 77);
            // Where only the end of a line was lost, the next one ends it.
            let after = (0..5).filter(|number| ends[*number as usize] <= at + 1).chain([77]);
            let after: Vec<u64> = after.collect();
            assert_eq!(read_back(&base), after, "cut at {at}, and more after it");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).expect("damaged");
            let spoilt = ends.iter().filter(|end| **end <= at).count() as u64;
            let left: Vec<u64> = (0..5).filter(|number| *number != spoilt).collect();
            assert_eq!(read_back(&base), left, "damaged at {at}");
        }
    }

    #[test]
    fn two_files_take_turns_and_each_says_its_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = base(&dir);
        let mut files = Files::open(&base, None).expect("made");
        files.append(Kind::Run, &[0; 3]).expect("written");
        let mut number = 0;
        let mut turns = 0;
        while turns < 5 {
            let current = files.current;
            append(&mut files, number);
            number += 1;
            turns += u32::from(files.current != current);
            assert!(files.lengths.iter().all(|length| *length <= MAX_FILE_BYTES), "{:?}", files.lengths);
        }
        let told = read_back(&base);
        assert!(told.len() > 5_000 && told.iter().copied().eq(number - told.len() as u64..number));
        drop(files);
        let mut files = open(&base);
        assert_eq!(files.run, [0; 3], "the names outlive the file in which they were first");
        append(&mut files, number);
        assert_eq!(read_back(&base).last(), Some(&number));
        assert_eq!(read_back(&base).len(), told.len() + 1);
    }

    #[test]
    fn what_is_no_file_of_ours_is_left_alone_and_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = base(&dir);
        let path = file(&base, 1);
        fs::create_dir(base.parent().expect("a directory")).expect("made");
        let error = || Files::open(&base, None).map(drop).expect_err("refused");
        mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
        assert_eq!(error().raw_os_error(), Some(Errno::ESPIPE as i32));
        fs::remove_file(&path).expect("gone");
        symlink("/etc/passwd", &path).expect("a link");
        assert_eq!(error().raw_os_error(), Some(Errno::ELOOP as i32));
        fs::remove_file(&path).expect("gone");
        fs::write(&path, "of others").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("its mode");
        assert_eq!(error().kind(), ErrorKind::PermissionDenied);
        fs::remove_file(&path).expect("gone");
        fs::set_permissions(base.parent().expect("it"), fs::Permissions::from_mode(0o777)).expect("its mode");
        assert_eq!(error().kind(), ErrorKind::PermissionDenied);
        fs::set_permissions(base.parent().expect("it"), fs::Permissions::from_mode(0o755)).expect("its mode");
        let files = Files::open(&base, None).expect("in order");
        assert_eq!(error().kind(), ErrorKind::WouldBlock, "one writer at a time");
        drop(files);
    }
}
