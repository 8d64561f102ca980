//! A new program in the place of another one: put there, taken back or kept, also if the command is killed
//! that did the first of this.
//!
//! Until the daemon has taken the new program the one before is kept under a name that nobody else has, and
//! comes back if it refuses. Only then does it take the place of one that was kept before. What is where
//! stands in a note from before anything is, so that the next command can do what is left to do:
//!
//! | killed | where the daemon was started from | beside it |
//! |---|---|---|
//! | before the note | the program before | an empty file, `.NAME.PROCESS-NUMBER`, which stays |
//! | before the new program is in its place | the program before | that file, perhaps a second name |
//! | before the daemon answers, or after that | the new program | the program before, by such a name |
//! | when all is settled | what the daemon executes | nothing but the note |
//!
//! Nothing is known by its name alone: what somebody else has put there since stays there.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use siphasher::sip::SipHasher24;

use crate::gather::Gather;
use crate::guard::program::open_program;
use crate::private;

/// A new program, where the daemon was started from.
pub(super) struct Placed {
    path: PathBuf,
    /// Under which name it was written.
    fresh: PathBuf,
    /// What is in it.
    hash: u64,
    /// What stood there; none if nothing did.
    before: Option<PathBuf>,
    /// Where this is written.
    note: PathBuf,
}

/// In the note; no name of a file has one.
const BETWEEN: u8 = 0;

impl Placed {
    /// Puts a program in a place. If that fails everything is as it was.
    pub(super) fn put(path: &Path, program: &[u8], note: &Path) -> io::Result<Self> {
        let (mut file, fresh) = private::create_fresh(path, 0o755)?;
        let hash = SipHasher24::new().hash(program);
        let mut placed = Self { path: path.to_owned(), fresh, hash, before: None, note: note.to_owned() };
        let noted = placed.write_down();
        let written = noted.and_then(|()| file.write_all(program)).and_then(|()| file.sync_all());
        drop(file);
        let put = written.and_then(|()| keep(path)).and_then(|before| {
            placed.before = before;
            placed.write_down()?;
            rename(&placed.fresh, path)
        });
        if let Err(error) = put {
            placed.forget();
            return Err(error);
        }
        Ok(placed)
    }

    /// What stood there is kept beside it, or comes back. An error is what is left to do.
    pub(super) fn settle(self, is_done: bool) -> Result<(), String> {
        let settled = self.try_to_settle(is_done);
        let _ = private::remove(&self.note);
        settled
    }

    fn try_to_settle(&self, is_done: bool) -> Result<(), String> {
        let path = &self.path;
        let before = self.before.as_ref().filter(|before| fs::symlink_metadata(before).is_ok());
        if hash_of(path).is_none_or(|hash| hash != self.hash) {
            let Some(before) = before else { return Ok(()) };
            let (path, before) = (path.display(), before.display());
            return Err(format!("{path} is another file by now, and stays; before stood there {before}"));
        }
        match before {
            Some(before) => {
                let to = if is_done { kept(path) } else { path.clone() };
                let what = |error| format!("{} is not {} yet: {error}", before.display(), to.display());
                rename(before, &to).map_err(what)
            }
            // It is settled already.
            None if is_done || self.before.is_some() => Ok(()),
            None => fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display())),
        }
    }

    /// Settles what a command has left that was killed. `is_done` says whether the daemon has taken what it
    /// put there.
    pub(super) fn settle_left(note: &Path, is_done: impl FnOnce() -> bool) -> Result<(), String> {
        let Some(left) = Self::read(note) else { return Ok(()) };
        if fs::symlink_metadata(&left.fresh).is_ok() {
            left.forget();
            return Ok(());
        }
        left.settle(is_done())
    }

    /// Removes a program that has not come to its place.
    fn forget(&self) {
        for file in [&self.fresh, &self.note].into_iter().chain(&self.before) {
            let _ = private::remove(file);
        }
    }

    fn write_down(&self) -> io::Result<()> {
        let hash = self.hash.to_string();
        let before = self.before.as_ref().map_or(&b""[..], |before| before.as_os_str().as_bytes());
        let [path, fresh] = [&self.path, &self.fresh].map(|file| file.as_os_str().as_bytes());
        private::replace(&self.note, &[path, fresh, hash.as_bytes(), before].join(&BETWEEN), 0o600)
    }

    fn read(note: &Path) -> Option<Self> {
        let bytes = fs::read(note).ok()?;
        let parts: Vec<&[u8]> = bytes.split(|byte| *byte == BETWEEN).gather();
        let [path, fresh, hash, before] = parts[..] else { return None };
        let name = |name: &[u8]| PathBuf::from(OsString::from_vec(name.to_vec()));
        let hash = std::str::from_utf8(hash).ok()?.parse().ok()?;
        let before = (!before.is_empty()).then(|| name(before));
        Some(Self { path: name(path), fresh: name(fresh), hash, before, note: note.to_owned() })
    }
}

fn hash_of(path: &Path) -> Option<u64> {
    fs::read(path).ok().map(|bytes| SipHasher24::new().hash(&bytes))
}

/// Where the program before is kept.
fn kept(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    name.into()
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

    /// Puts a program into a place, whose note is in another directory.
    fn put(path: &Path, program: &[u8]) -> io::Result<Placed> {
        Placed::put(path, program, &note_of(path))
    }

    fn note_of(path: &Path) -> PathBuf {
        let name = path.parent().and_then(Path::file_name).expect("a directory");
        std::env::temp_dir().join(name).with_extension("note")
    }

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

    /// A command is killed at each instant. The next one finds it, and the daemon goes on as the old program
    /// or as the new one.
    #[test]
    fn what_a_killed_command_has_left_is_settled_by_the_next_one() {
        for is_done in [false, true] {
            for settled in [None, Some(false), Some(true)] {
                let place = filled(&NAMES);
                let path = place.path().join("crosswire");
                let before = files(place.path());
                let placed = put(&path, b"another").expect("put");
                let note = fs::read(note_of(&path)).expect("a note");
                if let Some(settled) = settled {
                    placed.settle(settled).expect("settled");
                    // It was killed right before it removed the note.
                    fs::write(note_of(&path), &note).expect("written");
                }
                Placed::settle_left(&note_of(&path), || is_done).expect("settled");
                let is_done = settled.unwrap_or(is_done);
                let mut expected = before;
                if is_done {
                    expected.retain(|(name, _)| name != "crosswire" && name != "crosswire.old");
                    expected.push(("crosswire".to_owned(), "another".to_owned()));
                    expected.push(("crosswire.old".to_owned(), "crosswire".to_owned()));
                    expected.sort();
                }
                assert_eq!(files(place.path()), expected, "{settled:?}");
                assert!(!note_of(&path).exists());
            }
        }
    }

    #[test]
    fn what_a_killed_command_has_not_put_in_its_place_is_removed() {
        for has_kept in [false, true] {
            let place = filled(&NAMES);
            let (path, expected) = (place.path().join("crosswire"), files(place.path()));
            let (_, fresh) = private::create_fresh(&path, 0o755).expect("a file");
            let before = has_kept.then(|| keep(&path).expect("kept")).flatten();
            let left = Placed { path: path.clone(), fresh, hash: 1, before, note: note_of(&path) };
            left.write_down().expect("noted");
            Placed::settle_left(&note_of(&path), || false).expect("settled");
            assert_eq!(files(place.path()), expected);
        }
    }

    /// A package or an operator has put something there while the command ran, or after it was killed.
    #[test]
    fn what_somebody_else_has_put_there_stays() {
        for is_done in [false, true] {
            let place = filled(&NAMES);
            let path = place.path().join("crosswire");
            let placed = put(&path, b"another").expect("put");
            fs::write(&path, "theirs").expect("written");
            let kept = placed.before.clone().expect("something stood there");
            let why = placed.settle(is_done).expect_err("it is said");
            assert!(why.contains(&kept.display().to_string()), "{why}");
            assert_eq!(fs::read(&path).expect("it is there"), b"theirs");
            assert_eq!(fs::read(&kept).expect("it is there"), b"crosswire");
        }
    }

    #[test]
    fn without_a_note_or_with_a_damaged_one_nothing_is_touched() {
        let place = filled(&NAMES);
        let (path, expected) = (place.path().join("crosswire"), files(place.path()));
        for text in [None, Some(""), Some("crosswire"), Some("a\0b\0c\0d")] {
            text.iter().for_each(|text| fs::write(note_of(&path), text).expect("written"));
            Placed::settle_left(&note_of(&path), || false).expect("nothing to do");
            assert_eq!(files(place.path()), expected);
        }
        fs::remove_file(note_of(&path)).expect("removed");
    }
}
