//! `crosswire keygen`: the shared secret of the pair, made on one node and copied to the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::option::{flag, operand, option, options};
use crate::gather::Gather;
use crate::operator::exit::{Exit, complain};
use crate::plain;
use crosswire::frame::Key;

use crate::settings::{KeyFile, MAX_KEY_FILE_BYTES, MAX_KEY_ID};

/// Bytes of a new key.
const KEY_BYTES: usize = 32;
/// The pair's key file, unless told otherwise.
pub(super) const DEFAULT_KEY_FILE: &str = "/etc/crosswire/key";
/// Suffix of the file that becomes the key file once it is whole.
const FRESH: &str = "new";

options! {
    /// Make a key file, or add a new key to it
    pub struct KeygenOptions("keygen") {
        /// Add a new key in front of those that are there; they stay accepted
        rotate: bool = flag("--rotate"),
        /// Make FILE, the keys of the pair's voting witness, from the pair's keys
        witness: Option<PathBuf> = option("--witness", "FILE"),
        /// Configuration of the pair whose witness it is
        config: PathBuf = option("--config", "FILE").or("/etc/crosswire/crosswire.toml"),
        /// Key file
        file: PathBuf = operand("FILE").or(DEFAULT_KEY_FILE),
    }
}

impl KeygenOptions {
    /// The file for the pair's witness, the configuration and the pair's key file, where such a file is
    /// wanted.
    pub(super) fn of_witness(&self) -> Option<[&Path; 3]> {
        self.witness.as_ref().map(|witness| [witness, &self.config, &self.file].map(PathBuf::as_path))
    }

    /// Whether a new key is wanted.
    pub(super) const fn is_rotation(&self) -> bool {
        self.rotate
    }
}

/// Makes the file, or rotates its keys, and says how to get it to the peer. Never overwrites, never shows a
/// key. May wait for entropy on a box that has just booted.
pub fn run(options: &KeygenOptions, out: &mut impl Write) -> Exit {
    match make(options) {
        // A reader that has gone away cannot be told.
        Ok(made) => tell(&options.file, &made, out).map_or(Exit::Refused, |()| Exit::Done),
        Err(failure) => complain(failure.exit, false, &failure.what),
    }
}

fn make(options: &KeygenOptions) -> Result<Made, Failure> {
    if options.rotate { rotate(&options.file) } else { create(&options.file) }
}

fn tell(file: &Path, made: &Made, out: &mut impl Write) -> io::Result<()> {
    match made {
        Made::Fresh(id) => tell_fresh(file, *id, out),
        Made::Rotated { new, old } => tell_rotated(file, *new, old, out),
    }
}

/// What was made.
pub(super) enum Made {
    /// A file with one key of this id.
    Fresh(u8),
    /// A file with a new first key.
    Rotated {
        /// Id of the new key.
        new: u8,
        /// Ids of the others, in order.
        old: Vec<u8>,
    },
}

/// Why nothing was made: a line with a remedy, and the exit code.
pub(super) struct Failure {
    pub(super) what: String,
    exit: Exit,
}

impl Failure {
    fn refused(what: String) -> Self {
        Self { what, exit: Exit::Refused }
    }
}

/// A fresh file with one key.
pub(super) fn create(file: &Path) -> Result<Made, Failure> {
    let text = format!("# crosswire keys: ID HEX; the first sends, all are accepted\n{}\n", fresh_line(0)?);
    write_new(file, &text).map_err(|error| Failure::refused(explain(file, &error)))?;
    Ok(Made::Fresh(0))
}

pub(super) fn explain(file: &Path, error: &io::Error) -> String {
    let (name, directory) = (file.display(), file.parent().unwrap_or(Path::new("/")).display());
    match error.kind() {
        ErrorKind::AlreadyExists => {
            format!(
                "{name}: is there already and stays as it is; use --rotate to add a key, or give another file"
            )
        }
        ErrorKind::NotFound => format!("{name}: its directory does not exist; mkdir -p {directory}"),
        _ => format!("{name}: cannot be written ({error}); run as root, or check the disk"),
    }
}

fn rotate(file: &Path) -> Result<Made, Failure> {
    let wrong =
        |error: &dyn std::fmt::Display| Failure { what: error.to_string(), exit: Exit::Configuration };
    let keys = KeyFile::load(file).map_err(|error| wrong(&error))?;
    let unwritable = |error: io::Error| Failure::refused(explain(file, &error));
    // a link stays a link: its target is replaced (it was read just now, so no links lead round)
    let mut target = file.to_path_buf();
    while let Ok(next) = fs::read_link(&target) {
        target.set_file_name(next);
    }
    let text = fs::read_to_string(&target).map_err(unwritable)?;
    let new = free_id(&keys).ok_or_else(|| {
        wrong(&format!(
            "{}: all ids from 0 to {MAX_KEY_ID} are taken; remove keys that neither node uses",
            file.display()
        ))
    })?;
    let text = format!("{}\n{text}", fresh_line(new)?);
    if text.len() as u64 > MAX_KEY_FILE_BYTES {
        return Err(wrong(&format!(
            "{}: has no room for another key; remove comments or old keys",
            file.display()
        )));
    }
    replace(&target, &text).map_err(Failure::refused)?;
    Ok(Made::Rotated { new, old: keys.iter().map(|key| key.id).gather() })
}

/// The first free id after that of the present first key.
fn free_id(keys: &[Key]) -> Option<u8> {
    let count = MAX_KEY_ID + 1;
    let current = keys.first().map_or(0, |key| key.id);
    (1..count).map(|step| (current + step) % count).find(|id| keys.iter().all(|key| key.id != *id))
}

fn fresh_line(id: u8) -> Result<String, Failure> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::refused(format!("the kernel gives no random numbers ({error}); try again later"))
    })?;
    Ok(format!("{id} {}", plain::hex(&bytes)))
}

/// Writes a file that was not there, readable by its owner alone, and leaves nothing behind if that fails.
pub(super) fn write_new(file: &Path, text: &str) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    let written = opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(file);
    }
    written?;
    sync_directory(file)
}

/// Replaces the text of a file atomically, or says why not.
fn replace(file: &Path, text: &str) -> Result<(), String> {
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".");
    fresh.push(FRESH);
    let fresh = PathBuf::from(fresh);
    write_new(&fresh, text).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            format!("{}: was left by another rotation; remove it, then try again", fresh.display())
        }
        _ => explain(&fresh, &error),
    })?;
    let replaced = fs::rename(&fresh, file);
    if replaced.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    replaced.and_then(|()| sync_directory(file)).map_err(|error| explain(file, &error))
}

/// Makes a new name survive a power cut, where the file system can.
fn sync_directory(file: &Path) -> io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match File::open(directory)?.sync_all() {
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}

fn tell_fresh(file: &Path, id: u8, out: &mut impl Write) -> io::Result<()> {
    let file = file.display();
    writeln!(out, "{file}: key {id} made, readable by its owner alone.")?;
    writeln!(out, "Copy it to the peer, which needs the same file with the same mode, and nowhere else:")?;
    writeln!(out, "  scp -p {file} PEER:{file}")
}

/// The order matters: a node must accept a key before its peer sends with it.
fn tell_rotated(file: &Path, new: u8, old: &[u8], out: &mut impl Write) -> io::Result<()> {
    let file = file.display();
    let old: Vec<String> = old.iter().map(u8::to_string).gather();
    let (old, current) = (old.join(", "), old.first().map_or("?", String::as_str));
    writeln!(out, "{file}: key {new} added in front; still accepted: {old}.")?;
    writeln!(
        out,
        "Do not reload this node yet: the peer would refuse key {new}, which it does not know. In this order:"
    )?;
    writeln!(out, "  1. copy the file to the peer: scp -p {file} PEER:{file}")?;
    writeln!(
        out,
        "  2. there, move the line of key {new} to the end, and `crosswire reload`: it accepts {new} and \
            sends with {current}"
    )?;
    writeln!(out, "  3. `crosswire reload` here: this node sends with {new}")?;
    writeln!(
        out,
        "  4. on the peer, move the line back to the top, and `crosswire reload`: it sends with {new} too"
    )?;
    writeln!(out, "  5. once both do, the old keys may go from both files")
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Runs the command on `file`; what it says calls the file's directory `DIR`.
    fn keygen(file: &Path, rotate: bool) -> (Exit, String) {
        let mut out = Vec::new();
        let (file, config) = (file.to_path_buf(), PathBuf::new());
        let exit = match make(&KeygenOptions { rotate, witness: None, config, file: file.clone() }) {
            Ok(made) => tell(&file, &made, &mut out).map(|()| Exit::Done).unwrap(),
            Err(failure) => writeln!(out, "{}", failure.what).map(|()| failure.exit).unwrap(),
        };
        let directory = file.parent().unwrap().display().to_string();
        (exit, String::from_utf8(out).unwrap().replace(&directory, "DIR"))
    }

    fn ids(file: &Path) -> Vec<u8> {
        KeyFile::load(file).unwrap().iter().map(|key| key.id).collect()
    }

    fn names_in(directory: &Path) -> Vec<String> {
        let names =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_fresh_key_is_private_random_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        let (exit, said) = keygen(&one, false);
        assert_eq!(exit, Exit::Done);
        let copy = "Copy it to the peer, which needs the same file with the same mode, and nowhere else:";
        let made = "DIR/one: key 0 made, readable by its owner alone.";
        assert_eq!(said, format!("{made}\n{copy}\n  scp -p DIR/one PEER:DIR/one\n"));
        assert_eq!(fs::metadata(&one).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(keygen(&two, false).0, Exit::Done);
        let (one, two) = (KeyFile::load(&one).unwrap(), KeyFile::load(&two).unwrap());
        assert_eq!((one.len(), one[0].id, one[0].bytes.len()), (1, 0, KEY_BYTES));
        assert_ne!(one[0].bytes, two[0].bytes);
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        fs::write(&file, "mine").unwrap();
        let (exit, said) = keygen(&file, false);
        assert_eq!(exit, Exit::Refused);
        assert_eq!(
            said,
            "DIR/key: is there already and stays as it is; use --rotate to add a key, or give another file\n"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        // not through a link that leads nowhere either
        let link = directory.path().join("link");
        symlink(directory.path().join("elsewhere"), &link).unwrap();
        assert_eq!(keygen(&link, false).0, Exit::Refused);
        assert_eq!(names_in(directory.path()), ["key", "link"]);
    }

    #[test]
    fn a_missing_directory_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (exit, said) = keygen(&directory.path().join("no").join("key"), false);
        assert_eq!(
            (exit, said.as_str()),
            (Exit::Refused, "DIR/key: its directory does not exist; mkdir -p DIR\n")
        );
    }

    #[test]
    fn rotation_puts_a_new_key_in_front_and_keeps_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        assert_eq!(keygen(&file, false).0, Exit::Done);
        let before = fs::read_to_string(&file).unwrap();
        let (exit, said) = keygen(&file, true);
        assert_eq!(exit, Exit::Done);
        assert!(
            said.starts_with(
                "DIR/key: key 1 added in front; still accepted: 0.\nDo not reload this node yet"
            ),
            "{said}"
        );
        assert_eq!(ids(&file), [1, 0]);
        assert!(fs::read_to_string(&file).unwrap().ends_with(&before));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(keygen(&file, true).0, Exit::Done);
        assert_eq!(ids(&file), [2, 1, 0]);
        for key in KeyFile::load(&file).unwrap() {
            let start: String = key.bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            assert!(!said.contains(&start));
        }
        assert_eq!(names_in(directory.path()), ["key"], "nothing is left behind");
    }

    #[test]
    fn rotation_ends_when_the_ids_do() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        assert_eq!(keygen(&file, false).0, Exit::Done);
        for _ in 0..MAX_KEY_ID {
            assert_eq!(keygen(&file, true).0, Exit::Done);
        }
        let (exit, said) = keygen(&file, true);
        assert_eq!(exit, Exit::Configuration);
        assert_eq!(said, "DIR/key: all ids from 0 to 15 are taken; remove keys that neither node uses\n");
        assert_eq!(ids(&file).len(), 16);
    }

    #[test]
    fn rotation_wants_a_good_file_and_leaves_a_stranger_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        assert_eq!(keygen(&file, true).0, Exit::Configuration);
        assert_eq!(keygen(&file, false).0, Exit::Done);
        let before = fs::read_to_string(&file).unwrap();
        fs::write(directory.path().join("key.new"), "another").unwrap();
        let (exit, said) = keygen(&file, true);
        assert_eq!(exit, Exit::Refused);
        assert_eq!(said, "DIR/key.new: was left by another rotation; remove it, then try again\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        assert_eq!(fs::read_to_string(directory.path().join("key.new")).unwrap(), "another");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let (exit, said) = keygen(&file, true);
        assert_eq!((exit, said.contains("chmod 600")), (Exit::Configuration, true));
    }

    #[test]
    fn rotation_replaces_what_a_link_leads_to() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("key"), directory.path().join("link"));
        assert_eq!(keygen(&file, false).0, Exit::Done);
        symlink(&file, &link).unwrap();
        assert_eq!(keygen(&link, true).0, Exit::Done);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(ids(&file), [1, 0]);
    }

    #[test]
    fn the_command_line_is_read() {
        let parse = |words: &[&str]| crate::cli::parse::options::<KeygenOptions>(words).unwrap();
        let options = parse(&["--rotate", "/x"]);
        assert_eq!((options.rotate, options.file), (true, PathBuf::from("/x")));
        let options = parse(&[]);
        assert_eq!((options.rotate, options.file), (false, PathBuf::from("/etc/crosswire/key")));
    }
}
