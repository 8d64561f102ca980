//! What `check` says of secrets, and of programs: whether others can read or change them, and whether the
//! keys work.

use std::fmt::{self, Write as _};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crosswire::frame::message::{Beat, Incarnation, Message, SessionValue};
use crosswire::frame::seal::{Header, crc32, open, pair_id, seal};
use crosswire::frame::{Key, Keyring, Version};
use crosswire::pair::PathId;

use crate::gather::Gather;
use crate::plain;
use crate::private;
use crate::settings::{FenceMethod, GroupSettings, Settings};

/// Warns of passwords in a file that others may read.
pub(super) fn write_secrets(settings: &Settings, out: &mut String) -> fmt::Result {
    let mode = std::fs::metadata(&settings.file).map_or(0, |found| found.mode());
    let is_open = mode & 0o044 != 0;
    let options = settings.fences.iter().flat_map(|fence| match &fence.method {
        FenceMethod::Program { options, .. } => options.as_slice(),
        FenceMethod::SysRq { .. } | FenceMethod::ResetCable { .. } => &[],
    });
    let fences = options.filter_map(|option| option.split_once('=').map(|(key, _)| key));
    let scripts =
        settings.groups.iter().flat_map(GroupSettings::programs).flat_map(|script| &script.parameters);
    let mut keys = fences.chain(scripts.map(|(key, _)| key.as_str()));
    match keys.find(|key| is_open && is_secret(key)) {
        Some(key) => writeln!(
            out,
            "\nWARNING [secret]: {} holds a secret ({key}) and every user of this box may read it: chmod 600 \
                {0}",
            settings.file.display()
        ),
        None => Ok(()),
    }
}

/// Warns of programs that somebody else than root may change, and that the daemon starts as root.
pub(super) fn write_programs(settings: &Settings, out: &mut String) -> fmt::Result {
    let mut programs: Vec<&PathBuf> = Vec::new();
    for script in settings.groups.iter().flat_map(GroupSettings::programs) {
        // Of the places of a script the first one that is there counts.
        programs.extend(script.programs.iter().find(|program| program.exists()));
    }
    programs.extend(&settings.notify);
    for fence in &settings.fences {
        match &fence.method {
            FenceMethod::Program { program, .. } => programs.push(program),
            FenceMethod::SysRq { .. } | FenceMethod::ResetCable { .. } => {}
        }
    }
    for (index, program) in programs.iter().enumerate() {
        if is_others(program) && !programs.iter().take(index).any(|before| before == program) {
            writeln!(
                out,
                "\nWARNING [program]: {} is started as root, and it, or its directory, is not root's alone: \
                    chown root, chmod go-w",
                program.display()
            )?;
        }
    }
    Ok(())
}

/// Somebody else may change what stands there: the file, or the directory in which it, or a link to it, is.
fn is_others(program: &Path) -> bool {
    let is_own = |place: &Path| fs::metadata(place).is_ok_and(|found| private::is_own(&found));
    let mut place = program.to_owned();
    if !place.exists() {
        return false;
    }
    while place.parent().is_some_and(is_own) {
        match fs::read_link(&place) {
            Ok(next) => place = place.with_file_name("").join(next),
            Err(_) => return !is_own(&place),
        }
    }
    true
}

/// Whether fence agents, cluster-glue or resource agents name a password like this.
fn is_secret(key: &str) -> bool {
    const WORDS: [&str; 5] = ["pass", "pwd", "secret", "community", "token"];
    let key = key.to_ascii_lowercase();
    // The name of a program or a file that holds the password is no secret.
    let is_elsewhere = key.ends_with("_script") || key.ends_with("_file");
    WORDS.iter().any(|word| plain::cut(&key, word).is_some()) && !is_elsewhere
}

pub(super) fn write_keys(settings: &Settings, keys: &[Key], out: &mut String) -> fmt::Result {
    let ids: Vec<String> = keys.iter().map(|key| key.id.to_string()).gather();
    let first = ids.first().map_or("?", String::as_str);
    let file = settings.key_file.display();
    writeln!(out, "\nKeys\n  {file}: ids {}; {first} authenticates what we send", ids.join(", "))?;
    let verdict = if authenticates(settings, keys) {
        "was sealed with it and opened; one that was changed was refused"
    } else {
        "could NOT be sealed and opened: this processor or this binary is not as it must be"
    };
    writeln!(out, "  a frame {verdict}")
}

/// Whether this processor seals and opens a heartbeat, and refuses one that was changed.
fn authenticates(settings: &Settings, keys: &[Key]) -> bool {
    let keyring = Keyring::new(&settings.pair, keys);
    let header = Header {
        version: Version::NEWEST,
        pair: pair_id(&settings.pair),
        sender: settings.me,
        path: PathId(0),
        incarnation: Incarnation([1; 8]),
        echo: SessionValue([1; 4]),
        number: 1,
    };
    let mut body = seal(&header, &Message::Beat(Beat::largest(2, 1, 2)), &keyring);
    let is_whole = open(&body).is_ok_and(|frame| frame.verify(&keyring).is_ok() && frame.decode().is_ok());
    // Changes the last byte of the authenticator, which stands before the checksum, and corrects the
    // checksum.
    let Some((changed, crc)) = body.split_last_chunk_mut::<4>() else { return false };
    changed.last_mut().into_iter().for_each(|byte| *byte ^= 1);
    *crc = crc32(changed).to_le_bytes();
    is_whole && open(&body).is_ok_and(|frame| frame.verify(&keyring).is_err())
}
