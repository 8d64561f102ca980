//! `crosswire upgrade`: has the running daemon executed anew in its place, from a new file or from the one
//! that is there, and shows what became of it.
//!
//! The file comes to where the daemon was started from, which it looks at itself: the daemon is told nothing
//! but a signal. Until it has taken the new one the old one is kept under a name that nobody else has, and
//! comes back if it refuses. Only then does the old one take the place of one that was kept before.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use nix::unistd::Uid;

use super::option::{operand, option, options};
use super::reload::{Asked, asked_for};
use crate::guard::UPGRADE;
use crate::guard::carried::UNREADABLE;
use crate::guard::program::{open_program, program_of};
use crate::operator::control::DEFAULT_RUN_DIR;
use crate::operator::exit::{Exit, complain};
use crate::private;

options! {
    /// Go on in place with a new binary, or with the configuration read afresh; nothing moves
    pub struct UpgradeOptions("upgrade") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// The new binary; without it what stands where the daemon was started from
        file: Option<PathBuf> = operand("FILE").optional(),
    }
}

/// The rehearsal, the wait for rest, and the start of another agent take less.
const PATIENCE: Duration = Duration::from_secs(60);
/// The next agent answers within this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// So far into a program its machine is named (elf(5)).
const HEAD_BYTES: u64 = 20;

/// Puts the file in its place, asks, waits, and shows.
pub fn run(options: &UpgradeOptions, out: &mut impl Write) -> Exit {
    if !Uid::effective().is_root() {
        return complain(Exit::NotAllowed, false, &"only root upgrades the daemon");
    }
    let daemon = match asked_for(&options.run_dir) {
        Ok(daemon) => daemon,
        Err(exit) => return exit,
    };
    let refused = |why: &str| complain(Exit::Refused, false, &format_args!("{why}: nothing is changed"));
    if !knows_upgrades(daemon.pid) {
        return refused("the daemon that runs cannot be upgraded in place: stop and start it");
    }
    let placed = match options.file.as_deref().map(|file| place(file, daemon.pid)).transpose() {
        Ok(placed) => placed.flatten(),
        Err(why) => return refused(&why),
    };
    let exit = daemon.ask(UPGRADE, PATIENCE, out);
    let has_begun = exit != Exit::Done || has_begun(&daemon);
    let settled = placed.map_or(Ok(()), |placed| placed.settle(exit == Exit::Done));
    match settled {
        Err(why) => complain(exit, false, &why),
        Ok(()) if !has_begun => {
            complain(Exit::Hangs, false, &"its agent does not answer yet: see status and the log")
        }
        Ok(()) => exit,
    }
}

fn has_begun(daemon: &Asked) -> bool {
    let start = Instant::now();
    while !daemon.is_replaced() {
        if start.elapsed() > ANSWERS_WITHIN {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    true
}

/// Whether a daemon waits for that signal; any other one would ignore it.
fn knows_upgrades(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let blocked = blocked.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    blocked.is_some_and(|bits| bits >> (UPGRADE as i32 - 1) & 1 == 1)
}

/// A new program, where the daemon was started from.
struct Placed {
    path: PathBuf,
    /// What stood there; none if nothing did.
    before: Option<PathBuf>,
}

impl Placed {
    /// What stood there is kept beside it, or comes back.
    fn settle(self, is_done: bool) -> Result<(), String> {
        let Self { path, before } = self;
        match before {
            None if is_done => Ok(()),
            None => fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display())),
            Some(before) => {
                let to = if is_done { kept(&path) } else { path };
                let what = |error| format!("{} is not {} yet: {error}", before.display(), to.display());
                rename(&before, &to).map_err(what)
            }
        }
    }
}

/// Where the program before is kept.
fn kept(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

/// Puts the file where the daemon was started from, if it is one of ours for this machine. None if it stands
/// there already.
fn place(file: &Path, pid: i32) -> Result<Option<Placed>, String> {
    let of = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let read = |opened: File, most: u64| {
        let mut bytes = Vec::new();
        opened.take(most).read_to_end(&mut bytes).map(|_| bytes)
    };
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    let path = program_of(&exe).map_err(|error| of(&exe, error))?;
    let own = File::open(&exe).and_then(|exe| read(exe, HEAD_BYTES)).map_err(|error| of(&exe, error))?;
    let new = open_program(file).and_then(|file| read(file, u64::MAX)).map_err(|error| of(file, error))?;
    // Magic, class and byte order, and the machine.
    let is_for_machine = own.get(..6) == new.get(..6) && own.get(18..20) == new.get(18..20);
    let mut texts = new.windows(UNREADABLE.len());
    if !is_for_machine || !texts.any(|text| text == UNREADABLE.as_bytes()) {
        return Err(format!("{} is no crosswire for this machine that can go on in place", file.display()));
    }
    // What was kept before that program stays kept.
    if fs::read(&path).is_ok_and(|now| now == new) {
        return Ok(None);
    }
    // From here on nobody interrupts: what was put in its place may have to be taken back.
    let _ = SigSet::all().thread_block();
    put(&path, &new).map(Some).map_err(|error| of(&path, error))
}

/// Puts a program in a place. If that fails everything is as it was.
fn put(path: &Path, program: &[u8]) -> io::Result<Placed> {
    let (mut file, fresh) = private::create_fresh(path, 0o755)?;
    let written = file.write_all(program).and_then(|()| file.sync_all());
    drop(file);
    let before = written.and_then(|()| keep(path));
    let placed = before.and_then(|before| match rename(&fresh, path) {
        Ok(()) => Ok(Placed { path: path.to_owned(), before }),
        Err(error) => {
            before.iter().for_each(|before| drop(fs::remove_file(before)));
            Err(error)
        }
    });
    if placed.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    placed
}

/// Renames a file over another one, at once and whole. Where both are names of one file, Linux leaves both
/// (rename(2)): the first goes.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to).and_then(|()| private::remove(from))
}

/// Gives what stands there a second name, or copies it where files have one name only. None if nothing
/// stands there.
fn keep(path: &Path) -> io::Result<Option<PathBuf>> {
    match private::under_fresh_name(path, |fresh| fs::hard_link(path, fresh)) {
        Ok(((), fresh)) => Ok(Some(fresh)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(_) => copy(path).map(Some),
    }
}

fn copy(path: &Path) -> io::Result<PathBuf> {
    let mut from = open_program(path)?;
    let mode = from.metadata()?.permissions();
    let (mut file, fresh) = private::create_fresh(path, 0o600)?;
    let copied = io::copy(&mut from, &mut file)
        .and_then(|_| file.set_permissions(mode))
        .and_then(|()| file.sync_all());
    if copied.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    copied.map(|()| fresh)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Everything in a directory, by its name.
    fn files(place: &Path) -> Vec<(String, String)> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.expect("an entry");
            let text = fs::read_to_string(entry.path()).expect("a file");
            (entry.file_name().into_string().expect("text"), text)
        };
        let mut all: Vec<_> = fs::read_dir(place).expect("a directory").map(entry).collect();
        all.sort();
        all
    }

    fn filled(names: &[&str]) -> tempfile::TempDir {
        let place = tempfile::tempdir().expect("a directory");
        names.iter().for_each(|name| fs::write(place.path().join(name), *name).expect("written"));
        place
    }

    /// The files of an operator beside a program, one of which it was started from.
    const NAMES: [&str; 5] =
        ["crosswire", "crosswire.before", "crosswire.new", "crosswire.old", "crosswire-0.2.0"];

    #[test]
    fn after_a_refusal_every_file_is_as_it_was() {
        for name in NAMES {
            let place = filled(&NAMES);
            let before = files(place.path());
            let path = place.path().join(name);
            let placed = put(&path, b"another").expect("put");
            assert_eq!(fs::read(&path).expect("it is there"), b"another");
            placed.settle(false).expect("taken back");
            assert_eq!(files(place.path()), before, "{name}");
        }
    }

    #[test]
    fn only_the_program_before_takes_the_place_of_the_one_before_that() {
        let of = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        for name in NAMES {
            let place = filled(&NAMES);
            let mut expected = files(place.path());
            let kept = format!("{name}.old");
            expected.retain(|(other, _)| *other != name && *other != kept);
            expected.extend([of(name, "another"), of(&kept, name)]);
            expected.sort();
            put(&place.path().join(name), b"another")
                .and_then(|placed| placed.settle(true).map_err(io::Error::other))
                .expect("put");
            assert_eq!(files(place.path()), expected, "{name}");
        }
    }

    /// Linux renames nothing if both names are of one file.
    #[test]
    fn a_program_with_a_second_name_leaves_no_third_one() {
        for is_done in [false, true] {
            let place = filled(&["crosswire"]);
            let path = place.path().join("crosswire");
            fs::hard_link(&path, kept(&path)).expect("a second name");
            put(&path, b"another").expect("put").settle(is_done).expect("settled");
            let count = files(place.path()).len();
            assert_eq!((count, fs::read(kept(&path)).expect("it is there")), (2, b"crosswire".to_vec()));
        }
    }

    #[test]
    fn where_nothing_stood_nothing_stays() {
        for (is_done, left) in [(false, 0), (true, 1)] {
            let place = filled(&[]);
            put(&place.path().join("crosswire"), b"new").expect("put").settle(is_done).expect("settled");
            assert_eq!(files(place.path()).len(), left);
        }
    }

    #[test]
    fn where_files_have_one_name_a_copy_is_kept() {
        let place = filled(&["crosswire"]);
        let path = place.path().join("crosswire");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
        let copied = copy(&path).expect("copied");
        assert_eq!(fs::read(&copied).expect("it is there"), b"crosswire");
        assert_eq!(fs::metadata(&copied).expect("it is there").mode() & 0o7777, 0o755);
    }
}
