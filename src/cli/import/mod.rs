//! `crosswire import DIR`: a configuration and a key from Heartbeat's ha.cf, haresources and authkeys, and for each of
//! their lines what became of it.
//!
//! `directives.rs` is the table of all directives, `readers.rs` and `resources.rs` read what is taken over into a
//! `draft.rs`, `places.rs` looks up what Heartbeat would have looked up, `compose.rs` writes the file.

mod compose;
mod directives;
mod draft;
mod places;
mod readers;
mod report;
mod resources;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crosswire::config::MAX_GROUPS;

use super::exit::Exit;
use super::keygen;
use super::option::{operand, option, options};
use crate::settings::{ConfigError, Settings, nearest};
use directives::{DIRECTIVES, Treatment};
use draft::Draft;
use places::{Names, Routes};
use report::{Account, Fate, Place, Wrong};
use resources::Around;

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 64 * 1024;

options! {
    /// Make a configuration from Heartbeat's
    pub struct ImportOptions("import") {
        /// Where crosswire.toml and key are written; what is there already stays
        to: PathBuf = option("--to", "DIR").or("/etc/crosswire"),
        /// The nodes' own addresses, where neither ucast nor /etc/hosts says them; one for each LAN
        addresses: Option<String> = option("--addresses", "NODE=IP,..."),
        /// Heartbeat's directory: /etc/ha.d
        directory: PathBuf = operand("DIR"),
    }
}

/// Files of the box that Heartbeat would look at.
struct Surroundings<'a> {
    hosts: &'a Path,
    routes: &'a Path,
}

/// Writes both files and accounts for every line, or says what is wrong and writes nothing.
pub fn run(options: &ImportOptions, out: &mut impl Write) -> Exit {
    let here = Surroundings { hosts: Path::new("/etc/hosts"), routes: Path::new("/proc/net/route") };
    // A reader that has gone away cannot be told.
    import(options, &here, out).unwrap_or(Exit::Refused)
}

fn import(options: &ImportOptions, here: &Surroundings<'_>, out: &mut dyn Write) -> io::Result<Exit> {
    let names = match Names::load(options.addresses.as_deref().unwrap_or_default(), here.hosts) {
        Ok(names) => names,
        Err(word) => {
            writeln!(
                out,
                "--addresses {word}: is not a name and an address; write --addresses gw1=10.0.0.1,gw2=10.0.0.2"
            )?;
            return Ok(Exit::Usage);
        }
    };
    let mut draft = Draft::new();
    read_files(&mut draft, &options.directory, &Routes::load(here.routes));
    let text = finish(&mut draft, options, &names);
    let Some(text) = text.filter(|_| draft.errors.is_empty()) else {
        for error in &draft.errors {
            writeln!(out, "{error}")?;
        }
        return Ok(Exit::Configuration);
    };
    if let Err(why) = write_files(&options.to, &text) {
        writeln!(out, "{why}")?;
        return Ok(Exit::Refused);
    }
    tell(&draft, options, out)?;
    Ok(Exit::Done)
}

fn read_files(draft: &mut Draft, directory: &Path, routes: &Routes) {
    let around = Around { directory, routes };
    read_file(draft, directory, "ha.cf", true, &mut |draft, words| read_directive(draft, words));
    check_directives(draft, directory);
    if draft.nodes.len() != 2 {
        return;
    }
    read_file(draft, directory, "haresources", true, &mut |draft, words| resources::read(draft, words, &around));
    if draft.groups.is_empty() && draft.errors.is_empty() {
        draft.place = Place { file: "haresources", line: 0 };
        fail(draft, directory, ("says nothing".to_string(), "add a line: a node, and what it serves"));
    }
    let mut keys = Keys::default();
    read_file(draft, directory, "authkeys", false, &mut |draft, words| keys.read(draft.place.line, words));
    if let Some(what) = keys.lack() {
        draft.place = Place { file: "authkeys", line: keys.chosen_at };
        fail(draft, directory, (what, "add the line, or remove the file: a fresh key is made anyway"));
    }
}

/// What has to be there, once all of ha.cf was understood.
fn check_directives(draft: &mut Draft, directory: &Path) {
    if !draft.errors.is_empty() {
        return;
    }
    draft.place = Place { file: "ha.cf", line: 0 };
    if draft.nodes.len() != 2 {
        fail(draft, directory, ("does not name two nodes".to_string(), "add node NAME NAME: the `uname -n` of both"));
    }
    if draft.serials.is_empty() && draft.lans.is_empty() {
        fail(draft, directory, ("names no way to hear the peer".to_string(), "add serial /dev/ttyS0, and bcast eth0"));
    }
}

/// One line's words: what became of it.
type Read<'a> = &'a mut dyn FnMut(&mut Draft, &[&str]) -> Result<Fate, Wrong>;

fn read_file(draft: &mut Draft, directory: &Path, name: &'static str, is_needed: bool, read: Read<'_>) {
    let file = directory.join(name);
    let text = match read_text(&file) {
        Ok(text) => text,
        Err(error) if !is_needed && error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            let what = format!("cannot be read ({error})");
            return draft.errors.push(ConfigError::new(&file, None, what, "give Heartbeat's directory: /etc/ha.d"));
        }
    };
    let is_secret = name == "authkeys";
    for (number, line) in joined(&text, name == "haresources") {
        draft.place = Place { file: name, line: number };
        let line = line.find('#').map_or(line.as_str(), |at| &line[..at]).trim();
        // A comma separates in ha.cf alone: in haresources it is part of an argument, as in the options of a mount.
        let is_blank = |c: char| matches!(c, ' ' | '\t') || (c == ',' && name == "ha.cf");
        let words: Vec<&str> = line.split(is_blank).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            continue;
        }
        let fate = if line.chars().any(|c| c.is_control() && c != '\t') {
            Err(("holds what cannot be printed".to_string(), "write the line anew"))
        } else {
            read(draft, &words)
        };
        match fate {
            Ok(fate) => draft.accounts.push(Account { place: draft.place, text: shown(&words, is_secret), fate }),
            Err(wrong) => fail(draft, directory, wrong),
        }
    }
}

fn fail(draft: &mut Draft, directory: &Path, (what, remedy): Wrong) {
    let Place { file, line } = draft.place;
    // Line 0 is the file as a whole.
    let line = Some(line).filter(|line| *line > 0);
    draft.errors.push(ConfigError::new(&directory.join(file), line, what, remedy));
}

fn read_text(file: &Path) -> io::Result<String> {
    let metadata = fs::metadata(file)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("it is no file, or too long"));
    }
    fs::read_to_string(file)
}

/// Lines with their numbers; those that end in `\` go on in the next where the file says so.
fn joined(text: &str, goes_on: bool) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (number, line) in (1..).zip(text.lines()) {
        let (part, more) = match line.strip_suffix('\\') {
            Some(part) if goes_on => (part, true),
            _ => (line, false),
        };
        match all.last_mut().filter(|_| is_open) {
            Some((_, begun)) => begun.push_str(part),
            None => all.push((number, part.to_string())),
        }
        is_open = more;
    }
    all
}

/// The line as it is repeated: without what may be a secret.
fn shown(words: &[&str], is_secret: bool) -> String {
    let keep = match words {
        ["stonith_host", ..] => 3,
        _ if is_secret => 2,
        _ => words.len(),
    };
    let rest = if words.len() > keep { " ..." } else { "" };
    format!("{}{rest}", words[..keep.min(words.len())].join(" "))
}

fn read_directive(draft: &mut Draft, words: &[&str]) -> Result<Fate, Wrong> {
    let [name, values @ ..] = words else { return Err((String::new(), "")) };
    match DIRECTIVES.iter().find(|(known, _)| known == name) {
        Some((_, Treatment::Read(read))) => read(draft, values),
        Some((_, Treatment::Replaced(by))) => Ok(Fate::Replaced((*by).to_string())),
        Some((_, Treatment::Meaningless(why))) => Ok(Fate::Meaningless(why)),
        Some((_, Treatment::Lost(why))) => Ok(Fate::Lost((*why).to_string())),
        None => {
            let known: Vec<&str> = DIRECTIVES.iter().map(|(known, _)| *known).collect();
            let near = nearest(name, &known).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            Err((format!("\"{name}\" is no directive of Heartbeat 3.0.6{near}"), "correct it, or remove the line"))
        }
    }
}

/// What authkeys says of itself; its secrets are not looked at.
#[derive(Default)]
struct Keys {
    chosen: Vec<String>,
    chosen_at: usize,
    there: Vec<String>,
}

impl Keys {
    fn read(&mut self, line: usize, words: &[&str]) -> Result<Fate, Wrong> {
        let number = |word: &str| word.parse().is_ok_and(|number: u8| (1..=15).contains(&number));
        match words {
            ["auth", numbers @ ..] if !numbers.is_empty() && numbers.iter().all(|word| number(word)) => {
                self.chosen = numbers.iter().map(ToString::to_string).collect();
                self.chosen_at = line;
                Ok(Fate::Replaced("key 0, the first of the key file, which sends".to_string()))
            }
            [id, "crc"] if number(id) => {
                self.there.push((*id).to_string());
                Ok(Fate::Replaced("a fresh random key: crc let anybody speak for a node".to_string()))
            }
            [id, "sha1" | "md5", _secret, ..] if number(id) => {
                self.there.push((*id).to_string());
                Ok(Fate::Replaced("a fresh random key of 256 bits: a key need not be typed".to_string()))
            }
            // The line may be a secret: it is not repeated.
            _ => Err((
                "is neither `auth NUMBER` nor `NUMBER METHOD SECRET`".to_string(),
                "use numbers from 1 to 15, and sha1, md5 or crc",
            )),
        }
    }

    fn lack(&self) -> Option<String> {
        let missing = self.chosen.iter().find(|number| !self.there.contains(number));
        let is_unchosen = self.chosen.is_empty() && !self.there.is_empty();
        match missing {
            Some(number) => Some(format!("auth names key {number}, which is not there")),
            None => is_unchosen.then(|| "no auth line chooses a key".to_string()),
        }
    }
}

/// The configuration, if all that was read makes one.
fn finish(draft: &mut Draft, options: &ImportOptions, names: &Names) -> Option<String> {
    let times = draft.settle_times();
    if !draft.errors.is_empty() {
        return None;
    }
    let addresses = addresses(draft, &options.directory, names);
    merge_groups(draft);
    if !draft.errors.is_empty() {
        return None;
    }
    // The daemon starts elsewhere: the key has its full path.
    let key = std::env::current_dir().unwrap_or_default().join(options.to.join("key"));
    let text = compose::compose(draft, times, &addresses, &options.directory, &key);
    if let Err(errors) = Settings::parse(&options.to.join("crosswire.toml"), &text, &draft.nodes[0]) {
        let moved = errors.into_iter().map(|error| blame(draft, &options.directory, &text, error));
        draft.errors = moved.collect();
        return None;
    }
    Some(text)
}

/// The file is not written, so what is wrong with it is said of the line that asks for it.
fn blame(draft: &Draft, directory: &Path, text: &str, error: ConfigError) -> ConfigError {
    let before = text.lines().take(error.line().unwrap_or_default());
    let header = before.filter(|line| line.starts_with('[')).last().unwrap_or_default();
    let group = draft.groups.iter().find(|group| header == format!("[group.\"{}\"]", group.name));
    let place = group.map_or(Place { file: "ha.cf", line: 0 }, |group| group.place);
    error.moved(&directory.join(place.file), Some(place.line).filter(|line| *line > 0))
}

/// The nodes' addresses on each LAN.
fn addresses(draft: &mut Draft, directory: &Path, names: &Names) -> Vec<Vec<IpAddr>> {
    let mut all = Vec::new();
    for (number, lan) in draft.lans.clone().iter().enumerate() {
        let found = names.on_lan(lan, number, &draft.nodes);
        for (node, _) in draft.nodes.clone().iter().zip(&found).filter(|(_, ip)| ip.is_none()) {
            let what = format!("nothing says which address {node} has on {}", lan.interface);
            draft.place = lan.place;
            fail(
                draft,
                directory,
                (what, "give --addresses NODE=IP,... with one for each node and LAN, in this order"),
            );
        }
        all.push(found.into_iter().flatten().collect());
    }
    all
}

/// All lines of a node move with it: where there are too many groups, they become one.
fn merge_groups(draft: &mut Draft) {
    if draft.groups.len() <= MAX_GROUPS {
        return;
    }
    let mut merged: Vec<draft::Group> = Vec::new();
    for group in std::mem::take(&mut draft.groups) {
        match merged.iter_mut().find(|known| known.prefer == group.prefer) {
            Some(known) => {
                known.addresses.extend(group.addresses);
                known.scripts.extend(group.scripts);
            }
            None => merged.push(group),
        }
    }
    draft.groups = merged;
}

/// Both files or none.
fn write_files(directory: &Path, text: &str) -> Result<(), String> {
    let (config, key) = (directory.join("crosswire.toml"), directory.join("key"));
    if key.exists() {
        return Err(format!(
            "{}: is there already and stays as it is; give another directory with --to",
            key.display()
        ));
    }
    if let Err(error) = fs::create_dir(directory)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(format!("{}: cannot be made ({error}); give another directory with --to", directory.display()));
    }
    keygen::write_new(&config, text).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{}: is there already and stays as it is; give another directory with --to", config.display())
        }
        _ => format!("{}: cannot be written ({error}); run as root, or check the disk", config.display()),
    })?;
    keygen::create(&key).map_err(|failure| {
        // Nothing can be done about what cannot be removed.
        let _ = fs::remove_file(&config);
        failure.what
    })?;
    Ok(())
}

fn tell(draft: &Draft, options: &ImportOptions, out: &mut dyn Write) -> io::Result<()> {
    for account in &draft.accounts {
        writeln!(out, "{account}")?;
    }
    let count = |is: fn(&Fate) -> bool| draft.accounts.iter().filter(|account| is(&account.fate)).count();
    writeln!(
        out,
        "\n{} lines: {} taken over, {} replaced, {} meaningless here, {} cannot be had.",
        draft.accounts.len(),
        count(|fate| matches!(fate, Fate::Taken(_) | Fate::Timed(_))),
        count(|fate| matches!(fate, Fate::Replaced(_))),
        count(|fate| matches!(fate, Fate::Meaningless(_))),
        count(|fate| matches!(fate, Fate::Lost(_)))
    )?;
    let (config, key) = (options.to.join("crosswire.toml"), options.to.join("key"));
    writeln!(out, "Written: {} and {}, for both nodes: copy them to the peer.", config.display(), key.display())?;
    writeln!(out, "Then on each: crosswire check --config {}", config.display())
}
