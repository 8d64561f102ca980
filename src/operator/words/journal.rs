//! Why the journal is not written, and what to do.

use nix::errno::Errno;

/// The error of that number, as it comes from the process that writes the journal, with its remedy.
pub fn journal_trouble(error: u8) -> String {
    let errno = Errno::from_raw(i32::from(error));
    let (what, remedy) = match errno {
        Errno::EPERM => {
            ("it, or its directory, is not root's alone", "chown root and chmod go-w, or name another place")
        }
        Errno::ESPIPE => ("what stands there is no file", "remove it"),
        Errno::ELOOP => ("a link stands there", "remove it"),
        Errno::EAGAIN => ("another process writes it", "stop that one"),
        Errno::ENOSPC | Errno::EDQUOT => (errno.desc(), "make room there"),
        Errno::EROFS => (errno.desc(), "name a place that can be written"),
        Errno::ENOENT | Errno::ENOTDIR | Errno::EEXIST => (errno.desc(), "make its directory"),
        _ => (errno.desc(), "look at that disk"),
    };
    format!("{what}: {remedy}; decisions are kept in memory alone meanwhile")
}
