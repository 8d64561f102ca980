//! `crosswire keygen --witness`: what a voting witness is given of a pair's keys. It can answer the pair, and
//! make no beat of it.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crosswire::frame::Key;
use crosswire::pair::Side;
use crosswire::vote::keys::{WitnessKey, secret_of};

use super::keygen::{self, DEFAULT_KEY_FILE, KeygenOptions};
use crate::operator::exit::{Exit, complain, complain_of};
use crate::plain;
use crate::settings::{KeyFile, Settings};

/// `crosswire keygen`, for the pair or for its witness.
pub fn run(options: &KeygenOptions, out: &mut impl Write) -> Exit {
    match options.of_witness() {
        None => keygen::run(options, out),
        Some(_) if options.is_rotation() => {
            let what = "crosswire: --rotate and --witness: rotate first, and make the witness's file then";
            complain(Exit::Usage, false, &what)
        }
        Some(_) if !cfg!(feature = "witness") => {
            let what =
                "crosswire: --witness: this build makes no such file; one with the feature \"witness\" does";
            complain(Exit::Refused, false, &what)
        }
        Some([file, config, key_file]) => make(file, config, key_file, out),
    }
}

/// Makes `file` for the pair of a configuration, of all its keys: those of `key_file`, or of the file that
/// the configuration names where `key_file` is the default. Says how to get it to the witness. Never
/// overwrites, never shows a key.
fn make(file: &Path, config: &Path, key_file: &Path, out: &mut impl Write) -> Exit {
    // This box may be neither node of the pair.
    let settings = match Settings::load_as(config, Side::A) {
        Ok(settings) => settings,
        Err(errors) => return complain_of(&errors),
    };
    let key_file = if key_file == Path::new(DEFAULT_KEY_FILE) { &settings.key_file } else { key_file };
    let keys = match KeyFile::load(key_file) {
        Ok(keys) => keys,
        Err(error) => return complain_of(&[error]),
    };
    let (text, names) = lines(&settings.pair, &keys);
    if let Err(error) = keygen::write_new(file, &text) {
        let what = match error.kind() {
            ErrorKind::AlreadyExists => {
                format!(
                    "{}: is there already and stays as it is; remove it, or give another file",
                    file.display()
                )
            }
            _ => keygen::explain(file, &error),
        };
        return complain(Exit::Refused, false, &what);
    }
    tell(file, &settings.pair, &names, out).map_or(Exit::Refused, |()| Exit::Done)
}

/// The text of the file, and how each key is called on the wire.
fn lines(pair: &str, keys: &[Key]) -> (String, String) {
    let mut text = format!("# crosswire witness keys of pair {pair}: ID HEX; all are accepted\n");
    let mut names = String::new();
    for key in keys {
        let secret = secret_of(pair, key);
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{} {}", key.id, plain::hex(&secret));
        let _ = writeln!(names, "  key {}: {}", key.id, plain::hex(&WitnessKey::new(&secret).name()));
    }
    (text, names)
}

fn tell(file: &Path, pair: &str, names: &str, out: &mut impl Write) -> io::Result<()> {
    let file = file.display();
    write!(
        out,
        "{file}: made for the witness of pair {pair}. Its log calls the keys by these names:\n{names}"
    )?;
    writeln!(out, "Take it to the witness, and nowhere else, and have it read its keys:")?;
    writeln!(out, "  scp -p {file} WITNESS:/etc/crosswire/witness-keys/{pair}")?;
    writeln!(
        out,
        "  ssh WITNESS /etc/init.d/crosswire-witness reload     (start, where it does not run yet)"
    )?;
    writeln!(out, "After `crosswire keygen --rotate` make it anew, before a node sends with the new key.")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// A configuration of the pair `gateway`, with two keys.
    fn place() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        fs::write(&key, format!("7 {}\n2 {}\n", "0f".repeat(32), "a5".repeat(16))).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let named = format!("key = \"{}\"", key.display());
        let text =
            include_str!("../../config/crosswire.toml").replace("#key = \"/etc/crosswire/key\"", &named);
        fs::write(directory.path().join("c.toml"), text).unwrap();
        directory
    }

    fn made(directory: &Path) -> (Exit, String, PathBuf) {
        let (file, mut out) = (directory.join("gateway"), Vec::new());
        let exit = make(&file, &directory.join("c.toml"), Path::new(DEFAULT_KEY_FILE), &mut out);
        (exit, String::from_utf8(out).unwrap(), file)
    }

    #[test]
    fn the_witness_gets_what_the_nodes_derive_and_nothing_else() {
        let place = place();
        let (exit, said, file) = made(place.path());
        assert_eq!(exit, Exit::Done, "{said}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        let (pairs, witness) =
            (KeyFile::load(&place.path().join("key")).unwrap(), KeyFile::load(&file).unwrap());
        let settings = Settings::load_as(&place.path().join("c.toml"), Side::B).unwrap();
        assert_eq!(witness.iter().map(|key| key.id).collect::<Vec<_>>(), [7, 2]);
        for (own, of_witness) in pairs.iter().zip(&witness) {
            let secret = secret_of(&settings.pair, own);
            assert_eq!(of_witness.bytes, secret[..]);
            assert!(
                !said.contains(&format!("{:02x}{:02x}{:02x}", secret[0], secret[1], secret[2])),
                "{said}"
            );
            let name: String =
                WitnessKey::new(&secret).name().iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(said.contains(&format!("key {}: {name}\n", own.id)), "{said}");
        }
    }

    #[test]
    fn a_file_that_is_there_stays() {
        let place = place();
        fs::write(place.path().join("gateway"), "mine").unwrap();
        assert_eq!(made(place.path()).0, Exit::Refused);
        assert_eq!(fs::read_to_string(place.path().join("gateway")).unwrap(), "mine");
    }
}
