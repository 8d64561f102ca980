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
    /// What the file system says; `ESPIPE` for what is no file, `EPERM` for what is somebody else's, `EAGAIN`
    /// if another process writes to them.
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
