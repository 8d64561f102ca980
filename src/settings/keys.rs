//! The key file: `ID HEX` lines. The first key authenticates what we send, all of them are accepted.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crosswire::frame::Key;
use crosswire::frame::keys::{MAX_KEY_BYTES, MIN_KEY_BYTES};
use nix::fcntl::OFlag;
use nix::unistd::Uid;

use super::error::ConfigError;
use crate::gather::Gather;

/// Largest key id (four bits on the wire).
pub const MAX_KEY_ID: u8 = 15;
/// Largest key file: sixteen of the longest keys, with comments.
pub const MAX_KEY_FILE_BYTES: u64 = 8 * 1024;

/// Reads key files.
pub struct KeyFile;

impl KeyFile {
    /// All keys of the file in its order, at least one.
    ///
    /// # Errors
    /// If it cannot be read, if anybody but its owner may read or write it, if that owner is neither root nor
    /// the running user, or at the first line that is not `ID HEX`. No error shows any part of a key.
    pub fn load(path: &Path) -> Result<Vec<Key>, ConfigError> {
        let mut bytes = read_private(path)?;
        let text = std::str::from_utf8(&bytes);
        let wrong = |_| ConfigError::new(path, None, "is not text", "write lines `ID HEX`");
        let keys = text.map_err(wrong).and_then(|text| Self::parse(path, text));
        // This process lives on, so the secrets are overwritten; `black_box` hides from the compiler that
        // nobody reads the zeroes.
        bytes.fill(0);
        std::hint::black_box(&bytes);
        keys
    }

    /// The keys of a text that was read from `path`.
    fn parse(path: &Path, text: &str) -> Result<Vec<Key>, ConfigError> {
        let mut keys: Vec<Key> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
            if line.is_empty() {
                continue;
            }
            let key = parse_line(line)
                .map_err(|(what, remedy)| ConfigError::new(path, Some(number), what, remedy))?;
            if keys.iter().any(|other| other.id == key.id) {
                let what = format!("key id {} is used twice", key.id);
                return Err(ConfigError::new(
                    path,
                    Some(number),
                    what,
                    "give each key an id of its own, 0 to 15",
                ));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            let remedy = "make one on one node with `crosswire keygen`, and copy it to the other";
            return Err(ConfigError::new(path, None, "holds no key", remedy));
        }
        Ok(keys)
    }
}

/// Reads a file that only its owner may read.
fn read_private(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let wrong = |what: String, remedy: String| ConfigError::new(path, None, what, remedy);
    let unreadable = |error: std::io::Error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "make one on one node with `crosswire keygen`, and copy it to the other"
            }
            _ => "run as root, or check its permissions",
        };
        wrong(format!("the key file cannot be read ({error})"), remedy.to_string())
    };
    let file = open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    check_private(path, &metadata)?;
    // Room for the whole file: a vector that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(MAX_KEY_FILE_BYTES as usize + 64);
    file.take(MAX_KEY_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_KEY_FILE_BYTES {
        return Err(wrong(
            "is too long for a key file".to_string(),
            format!("keep it below {MAX_KEY_FILE_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}

/// Opens without waiting, in case the file is a pipe.
fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

fn check_private(path: &Path, metadata: &Metadata) -> Result<(), ConfigError> {
    if !metadata.is_file() {
        return Err(ConfigError::new(
            path,
            None,
            "is not a file",
            "name the key file with key = \"...\" in the configuration",
        ));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let what = format!("the key file has mode {mode:04o}: others may get at the key");
        return Err(ConfigError::new(path, None, what, format_args!("chmod 600 {}", path.display())));
    }
    let owner = metadata.uid();
    if owner != 0 && owner != Uid::effective().as_raw() {
        let what = format!("the key file belongs to user {owner}, who could replace the key");
        return Err(ConfigError::new(path, None, what, format_args!("chown root {}", path.display())));
    }
    Ok(())
}

/// One `ID HEX`, or what is wrong and what to do.
fn parse_line(line: &str) -> Result<Key, (String, &'static str)> {
    let mut words = line.split_ascii_whitespace();
    let (Some(id), Some(hex), None) = (words.next(), words.next(), words.next()) else {
        return Err(("is not a key".to_string(), "write the line as `ID HEX`, as `crosswire keygen` does"));
    };
    let id = id.parse().ok().filter(|n| *n <= MAX_KEY_ID && id.bytes().all(|b| b.is_ascii_digit()));
    let Some(id) = id else {
        // the first word could be a key that lost its id: not shown
        return Err((
            "the line does not begin with a key id".to_string(),
            "write `ID HEX` with an ID from 0 to 15",
        ));
    };
    let mut bytes = parse_hex(hex).ok_or_else(|| {
        (
            format!("key {id} is not hexadecimal"),
            "write an even number of digits 0-9 and a-f, or make it with `crosswire keygen`",
        )
    })?;
    if !(MIN_KEY_BYTES..=MAX_KEY_BYTES).contains(&bytes.len()) {
        let what = format!("key {id} has {} hexadecimal digits", bytes.len() * 2);
        return Err((what, "write 32 to 128 of them, or make a key with `crosswire keygen`"));
    }
    // fits: the length was just checked
    let key = Key { id, bytes: bytes.iter().copied().collect() };
    bytes.fill(0);
    std::hint::black_box(&bytes);
    Ok(key)
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).gather_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};

    use proptest::prelude::*;

    const SECRET: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn a_key_that_is_needed_no_more_leaves_nothing_in_memory() {
        let mut room = std::mem::MaybeUninit::<Key>::zeroed();
        let place: *mut Key = room.write(Key { id: 3, bytes: [0xa5; 32].into_iter().collect() });
        let bytes = |place: *mut Key| {
            // SAFETY: the room lives, every byte of it was zeroed or written, and nobody else uses it.
            (0..size_of::<Key>())
                .filter(|at| unsafe { place.cast::<u8>().add(*at).read_volatile() } == 0xa5)
                .count()
        };
        assert_eq!(bytes(place), 32);
        // SAFETY: it is dropped once, here.
        unsafe { std::ptr::drop_in_place(place) };
        assert_eq!(bytes(place), 0);
    }

    /// The result for a file with this text and mode; its path reads `K`.
    fn load(text: &str, mode: u32) -> Result<Vec<Key>, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        KeyFile::load(&file).map_err(|error| error.to_string().replace(&file.display().to_string(), "K"))
    }

    #[test]
    fn keys_are_read_in_their_order_without_comments() {
        let keys = load(&format!("# two\n\n  7 {SECRET} # new\n0\t{}\n", "AB".repeat(64)), 0o600).unwrap();
        assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>(), [7, 0]);
        assert_eq!(keys[0].bytes[..3], [0x00, 0x11, 0x22]);
        assert_eq!(keys[1].bytes, [0xab; 64]);
        assert_eq!(format!("{:?}", keys[0]), "Key 7 (16 bytes)");
        assert!(load(&format!("0 {SECRET}"), 0o400).is_ok());
    }

    #[test]
    fn bad_key_files_are_told_what_is_wrong() {
        let hint = "make one on one node with `crosswire keygen`, and copy it to the other";
        let line = "write `ID HEX` with an ID from 0 to 15";
        let size = "write 32 to 128 of them, or make a key with `crosswire keygen`";
        let hex = "write an even number of digits 0-9 and a-f, or make it with `crosswire keygen`";
        let cases = [
            ("# nothing\n".to_string(), format!("K: holds no key; {hint}")),
            (
                format!("0 {SECRET}\n0 {SECRET}"),
                "K:2: key id 0 is used twice; give each key an id of its own, 0 to 15".into(),
            ),
            (format!("16 {SECRET}"), format!("K:1: the line does not begin with a key id; {line}")),
            (format!("+1 {SECRET}"), format!("K:1: the line does not begin with a key id; {line}")),
            (
                SECRET.to_string(),
                "K:1: is not a key; write the line as `ID HEX`, as `crosswire keygen` does".into(),
            ),
            ("3 0011223344556677".to_string(), format!("K:1: key 3 has 16 hexadecimal digits; {size}")),
            (format!("3 {}", "0".repeat(130)), format!("K:1: key 3 has 130 hexadecimal digits; {size}")),
            (format!("3 {SECRET}0"), format!("K:1: key 3 is not hexadecimal; {hex}")),
            (format!("3 {}", "xy".repeat(16)), format!("K:1: key 3 is not hexadecimal; {hex}")),
            ("#".repeat(9_000), "K: is too long for a key file; keep it below 8192 bytes".into()),
        ];
        for (text, said) in cases {
            assert_eq!(load(&text, 0o600).unwrap_err(), said);
        }
    }

    #[test]
    fn a_key_that_others_can_reach_is_refused() {
        let said = |mode: u32| load(&format!("0 {SECRET}"), mode).unwrap_err();
        assert_eq!(said(0o640), "K: the key file has mode 0640: others may get at the key; chmod 600 K");
        for mode in [0o604, 0o620, 0o602, 0o610, 0o601] {
            assert!(said(mode).contains("chmod 600"), "{mode:o}");
        }
    }

    #[test]
    fn a_key_of_another_user_is_refused() {
        if !Uid::effective().is_root() {
            return; // only root can give a file away
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        fs::write(&file, format!("0 {SECRET}")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(1234), None).unwrap();
        let said = KeyFile::load(&file).unwrap_err().to_string();
        let name = file.display();
        assert_eq!(
            said,
            format!(
                "{name}: the key file belongs to user 1234, who could replace the key; chown root {name}"
            )
        );
    }

    #[test]
    fn missing_files_and_directories_are_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        let said = KeyFile::load(&file).unwrap_err().to_string();
        let hint = "make one on one node with `crosswire keygen`, and copy it to the other";
        let missing = "the key file cannot be read (No such file or directory (os error 2))";
        assert_eq!(said, format!("{}: {missing}; {hint}", file.display()));
        assert!(KeyFile::load(directory.path()).unwrap_err().to_string().contains("is not a file"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_error_shows_a_key(text in "([0-9]{0,3}[ \t#]{0,2}[0-9a-fxyzä]{0,70}\n\
            ){0,4}") {
            if let Err(error) = KeyFile::parse(Path::new("K"), &text) {
                let said = error.to_string();
                prop_assert!(said.starts_with("K") && !said.contains('\n'));
                let secrets = text.split_whitespace().filter(|word| word.len() > 6);
                prop_assert!(secrets.into_iter().all(|word| !said.contains(word)), "{said}");
            }
        }
    }
}
