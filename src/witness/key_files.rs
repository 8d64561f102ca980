//! The directory of a witness's keys: one file for each pair, called like the pair. `crosswire keygen
//! --witness` makes them, in the lines of every key file.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crosswire::frame::Key;
use crosswire::vote::keys::{PairName, SECRET_BYTES, WitnessKey, WitnessSecret};

use crate::gather::Gather;
use crate::settings::{ConfigError, KeyFile};
use crate::{plain, private};

/// The most pairs of one witness: for each it keeps about a kilobyte.
pub const MAX_PAIRS: usize = 65_536;
/// The longest name of a file.
pub const LABEL_BYTES: usize = 64;
/// What has to be made, and where.
const HOW: &str = "make it on a node of that pair with `crosswire keygen --witness FILE`";

/// How a pair is called in the log: by the name of its file.
pub type Label = heapless::String<LABEL_BYTES>;

/// What a witness has of one pair.
#[derive(Clone)]
pub struct PairKeys {
    /// The name of its file.
    pub label: Label,
    /// Each with the id that it has in the file.
    pub keys: Vec<(u8, WitnessSecret)>,
}

impl Drop for PairKeys {
    /// Leaves no secret in memory; `black_box` hides from the compiler that nobody reads the zeroes.
    fn drop(&mut self) {
        self.keys.iter_mut().for_each(|(_, secret)| secret.fill(0));
        std::hint::black_box(&self.keys);
    }
}

/// The keys of all pairs, in the order of their labels. No key is there twice.
#[derive(Clone, Default)]
pub struct KeySet {
    /// The pairs.
    pub pairs: Vec<PairKeys>,
}

/// A key by its name on the wire, and whose it is.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    name: PairName,
    pair: usize,
    id: u8,
}

impl KeySet {
    /// What is good of a directory, and what is wrong with the rest of it.
    pub fn read(directory: &Path) -> (Self, Vec<ConfigError>) {
        let names = match names_in(directory) {
            Ok(names) => names,
            Err(error) => return (Self::default(), vec![error]),
        };
        let (mut set, mut errors) = (Self::default(), Vec::new());
        for name in names {
            match read_pair(&directory.join(&name), &name) {
                Ok(pair) => set.pairs.push(pair),
                Err(error) => errors.push(error),
            }
        }
        set.drop_twins(directory, &mut errors);
        if set.pairs.is_empty() && errors.is_empty() {
            errors.push(ConfigError::new(directory, None, "holds no key file", HOW));
        }
        (set, errors)
    }

    /// Any key: its bytes are known to nobody else.
    pub fn any_key(&self) -> Vec<Key> {
        let first = self.pairs.first().and_then(|pair| pair.keys.first());
        first
            .map(|(id, secret)| Key { id: *id, bytes: secret.iter().copied().collect() })
            .into_iter()
            .gather()
    }

    /// The keys by their names.
    fn entries(&self) -> Vec<Entry> {
        let all = self.pairs.iter().enumerate().flat_map(|(pair, keys)| {
            keys.keys.iter().map(move |(id, secret)| Entry {
                name: WitnessKey::new(secret).name(),
                pair,
                id: *id,
            })
        });
        let mut all = all.gather();
        all.sort_unstable();
        all
    }

    /// A pair that is known by a key of another file is left out: with two places at the witness, each of its
    /// nodes could be granted the same group.
    fn drop_twins(&mut self, directory: &Path, errors: &mut Vec<ConfigError>) {
        let entries = self.entries();
        let mut is_twin = vec![false; self.pairs.len()];
        for pair in entries.windows(2) {
            let [first, second] = pair else { continue };
            if first.name == second.name {
                is_twin[second.pair] = true;
                let (file, other) = (&self.pairs[second.pair].label, &self.pairs[first.pair].label);
                let what = format!("key {} is key {} of {other}", second.id, first.id);
                let remedy = "keep one file for each pair, and each key once";
                errors.push(ConfigError::new(&directory.join(file.as_str()), None, what, remedy));
            }
        }
        let mut is_twin = is_twin.into_iter();
        self.pairs.retain(|_| !is_twin.next().unwrap_or(false));
    }

    /// What may not follow `before`: a pair whose keys were in one file, and are in two now. The witness
    /// would take it for two pairs.
    pub fn split_since(&self, before: &Self, directory: &Path) -> Vec<ConfigError> {
        let known = before.entries();
        let mut now_in: Vec<Option<usize>> = vec![None; before.pairs.len()];
        let mut errors = Vec::new();
        for Entry { name, pair, id } in self.entries() {
            let found = known.binary_search_by(|entry| entry.name.cmp(&name)).ok();
            let Some(before_in) = found.and_then(|at| now_in.get_mut(known[at].pair)) else { continue };
            let first = *before_in.get_or_insert(pair);
            if first != pair {
                let (file, other) = (&self.pairs[pair].label, &self.pairs[first].label);
                let what = format!("key {id} is of the same pair as a key in {other}");
                let remedy = "keep all keys of a pair in one file";
                errors.push(ConfigError::new(&directory.join(file.as_str()), None, what, remedy));
            }
        }
        errors
    }
}

/// The files of a directory in their order; hidden ones are none.
fn names_in(directory: &Path) -> Result<Vec<OsString>, ConfigError> {
    let wrong = |what: String, remedy: &str| Err(ConfigError::new(directory, None, what, remedy));
    let unreadable = |error: std::io::Error| {
        let what = format!("the directory of keys cannot be read ({error})");
        let remedy = "mkdir -m 700 it, with a file for each pair, or name another with --keys";
        ConfigError::new(directory, None, what, remedy)
    };
    let found = fs::metadata(directory).map_err(unreadable)?;
    if !found.is_dir() {
        return wrong("is not a directory".to_owned(), "name the directory of the key files with --keys");
    }
    if !private::is_own(&found) {
        let what = "others may change this directory, and so say who is a pair".to_owned();
        return wrong(what, "chown root, chmod 700");
    }
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        if names.len() == MAX_PAIRS {
            let what = format!("holds more than {MAX_PAIRS} files");
            return wrong(what, "run a second witness for the other pairs, on another box or port");
        }
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

fn read_pair(path: &Path, name: &OsString) -> Result<PairKeys, ConfigError> {
    let wrong = |what: String, remedy: &str| ConfigError::new(path, None, what, remedy);
    let is_plain = |name: &&str| name.len() <= LABEL_BYTES && plain::line(name, LABEL_BYTES) == *name;
    let label = name.to_str().filter(is_plain).and_then(|name| Label::try_from(name).ok());
    let Some(label) = label else {
        let what = format!("its name is no text of at most {LABEL_BYTES} bytes");
        return Err(wrong(what, "call the file like its pair"));
    };
    let keys = KeyFile::load(path).map_err(with_remedy)?;
    let secrets = keys.iter().map(|key| match <WitnessSecret>::try_from(&key.bytes[..]) {
        Ok(secret) => Ok((key.id, secret)),
        Err(_) => Err(key),
    });
    let mut pair = PairKeys { label, keys: Vec::with_capacity(keys.len()) };
    for secret in secrets {
        match secret {
            Ok(secret) => pair.keys.push(secret),
            Err(key) => {
                let (id, found) = (key.id, key.bytes.len());
                let what = format!("key {id} has {found} bytes, and a witness's has {SECRET_BYTES}");
                let remedy = "if it is the pair's own, remove it: a witness must not have that one; ";
                return Err(wrong(what, &format!("{remedy}{HOW}")));
            }
        }
    }
    Ok(pair)
}

/// Nobody makes the keys of a witness with `keygen` alone.
fn with_remedy(error: ConfigError) -> ConfigError {
    let remedy = if error.remedy.contains("keygen") { HOW.to_owned() } else { error.remedy };
    ConfigError { remedy, ..error }
}
