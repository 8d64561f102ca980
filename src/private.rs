//! Files of ours in directories that only root can change: nobody else can replace one, or make us follow a
//! link.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::Uid;

/// Makes a directory, if need be, in which only root (and whoever runs us) may change anything.
///
/// # Errors
/// What the file system says; or that somebody else may change the directory.
pub fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    // A link in its place is followed: the directory that it names counts.
    let found = fs::metadata(path)?;
    if !is_own(&found) {
        let text = format!("{} is not a directory of root's alone: chown root, chmod 755", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// Whether only root, or whoever runs us, may write to it.
pub fn is_own(found: &fs::Metadata) -> bool {
    let owner = found.uid();
    (owner == 0 || owner == Uid::effective().as_raw()) && found.mode() & 0o022 == 0
}

/// Removes a file, or a link itself. It is no error if there is none.
///
/// # Errors
/// What the file system says.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A new file beside `path` in a directory of ours, to be renamed once it is whole. What an earlier run has
/// left under its name is removed, and no link is followed.
///
/// # Errors
/// What the file system says.
pub fn create_beside(path: &Path, mode: u32) -> io::Result<(File, PathBuf)> {
    let new = path.with_extension("new");
    remove(&new)?;
    create_new(&new, mode).map(|file| (file, new))
}

fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// The same where files of others stand: no name is taken that is there.
///
/// # Errors
/// What the file system says.
pub fn create_fresh(path: &Path, mode: u32) -> io::Result<(File, PathBuf)> {
    under_fresh_name(path, |fresh| create_new(fresh, mode))
}

/// Makes something under a name beside `path` that nobody has given to a file; also returns the name. `make`
/// fails where its name is taken.
///
/// # Errors
/// The first other one that `make` returns.
pub fn under_fresh_name<T>(path: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    let mut failed = io::Error::from(io::ErrorKind::AlreadyExists);
    for fresh in fresh_names(path) {
        match make(&fresh) {
            Ok(made) => return Ok((made, fresh)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => failed = error,
            Err(error) => return Err(error),
        }
    }
    Err(failed)
}

fn fresh_names(path: &Path) -> impl Iterator<Item = PathBuf> {
    let name = path.file_name().unwrap_or_default().display();
    let stem = format!(".{name}.{}", std::process::id());
    (0..MAX_FRESH_NAMES).map(move |number| path.with_file_name(format!("{stem}-{number}")))
}

/// So many are tried.
const MAX_FRESH_NAMES: u8 = 100;

/// Writes a file, whole or not at all.
///
/// # Errors
/// What the file system says.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (mut file, new) = create_fresh(path, mode)?;
    let written = io::Write::write_all(&mut file, bytes).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let run_dir = dir.path().join("a/run");
        directory(&run_dir).expect("made");
        assert_eq!(fs::metadata(&run_dir).expect("it is there").mode() & 0o022, 0);
        for mode in [0o1777, 0o775, 0o757] {
            fs::set_permissions(&run_dir, fs::Permissions::from_mode(mode)).expect("changed");
            assert!(directory(&run_dir).is_err(), "{mode:o}");
        }
        fs::set_permissions(&run_dir, fs::Permissions::from_mode(0o755)).expect("changed");
        if std::os::unix::fs::chown(&run_dir, Some(1_234), None).is_ok() {
            assert!(directory(&run_dir).is_err(), "somebody else's");
        }
    }

    #[test]
    fn a_link_that_waits_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, victim) = (dir.path().join("reload"), dir.path().join("victim"));
        fs::write(&victim, "precious").expect("written");
        let first = fresh_names(&path).next().expect("a name");
        for link in [&dir.path().join("reload.new"), &path, &first] {
            symlink(&victim, link).expect("a link");
        }
        replace(&path, b"done\n", 0o644).expect("written");
        let link = |path: &Path| fs::symlink_metadata(path).expect("it is there").is_symlink();
        assert!(link(&first) && link(&dir.path().join("reload.new")), "what is another's is left alone");
        drop(create_beside(&path, 0o644).expect("a file"));
        assert_eq!(fs::read_to_string(&victim).expect("it is there"), "precious");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "done\n");
        assert!(fs::symlink_metadata(&path).expect("it is there").is_file());
    }
}
