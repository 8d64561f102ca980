//! The program that is executed in the place of this one: where it stands, whether it may be, and how far
//! that is.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crosswire::time::{Instant, Span};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::guard::scripts::run::Run;
use crate::private;

/// How long an upgrade waits for rest.
const WAITS_FOR_REST: Span = Span::from_s(10);

/// An upgrade on its way.
pub struct Upgrade {
    /// What is executed: the file is checked once, and is not looked for by its name again.
    pub program: File,
    /// The rehearsal, until it has ended.
    pub rehearsal: Option<Run>,
    /// When that began.
    pub began_at: Instant,
    /// How long the lease has to last when the agent is dismissed.
    pub needs: Span,
    /// The agent is dismissed.
    pub is_going: bool,
}

impl Upgrade {
    /// The rehearsal that runs.
    pub fn run(&self) -> Option<&Run> {
        self.rehearsal.as_ref()
    }

    /// When there is something to do beside what wakes the guard.
    pub fn deadline(&self) -> Instant {
        self.run().map_or(self.rests_until(), Run::deadline)
    }

    /// Until when it waits for rest.
    pub fn rests_until(&self) -> Instant {
        self.began_at + WAITS_FOR_REST
    }
}

/// The file that a process was started from, even if another stands in its place by now, by its `exe` in
/// /proc.
///
/// # Errors
/// What the kernel says.
pub fn program_of(exe: &Path) -> io::Result<PathBuf> {
    let mut name = fs::read_link(exe)?.into_os_string().into_vec();
    if name.ends_with(GONE) {
        name.truncate(name.len() - GONE.len());
    }
    Ok(OsString::from_vec(name).into())
}

/// What the kernel appends to the name of a file that is there no more.
const GONE: &[u8] = b" (deleted)";

/// Opens a program that root may execute as itself: nobody else can have put it there.
///
/// # Errors
/// What is wrong with it, and what the file system says.
pub fn open_program(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = File::from(open(path, flags, Mode::empty())?);
    let found = opened.metadata()?;
    let place = path.parent().map(fs::metadata).transpose()?;
    if found.is_file() && private::is_own(&found) && place.is_none_or(|place| private::is_own(&place)) {
        return Ok(opened);
    }
    let what = "it, or its directory, is not root's alone: chown root, chmod go-w";
    Err(io::Error::other(what))
}
