//! Files that a test writes and then executes.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes `file` a program that consists of `text`.
///
/// A process of its own writes it. If this one did, a fork in another of its threads could hold a copy of the
/// writing descriptor at the very moment when the file is executed, and the kernel would refuse that
/// (ETXTBSY).
///
/// # Panics
/// If it cannot be written.
pub fn write_executable(file: &Path, text: &str) {
    shell(r#"printf %s "$1" >"$2" && chmod 755 "$2""#, &[text.as_ref(), file.as_os_str()]);
}

/// Makes `to` a copy of the program `from`, which everybody may execute; see [`write_executable`].
///
/// # Panics
/// If it cannot be written.
pub fn copy_executable(from: &Path, to: &Path) {
    shell(r#"cp "$1" "$2" && chmod 755 "$2""#, &[from.as_os_str(), to.as_os_str()]);
}

fn shell(line: &str, arguments: &[&OsStr]) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line, "sh"]).args(arguments).stdin(Stdio::null());
    let output = command.output().expect("a shell");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_what_was_written_and_can_be_executed_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let (first, second) = (dir.path().join("it's \"one\""), dir.path().join("two"));
        write_executable(&first, "#!/bin/sh\nprintf '%s %s' '100% \\n' \"$1\"\nexit 3");
        copy_executable(&first, &second);
        for program in [first, second] {
            let output = Command::new(program).arg("x").output().expect("it can be executed");
            assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"100% \\n x"[..], Some(3)));
        }
    }
}
