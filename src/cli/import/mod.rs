//! `crosswire import DIR`: a configuration and a key from Heartbeat's ha.cf, haresources and authkeys, and
//! for each of their lines what became of it.
//!
//! `lines.rs` takes comments off, `directives.rs` is the table of all directives, `readers.rs`,
//! `resources.rs` and `authkeys.rs` read what is taken over into a `draft.rs`. `places.rs` looks up what
//! Heartbeat would have looked up, `settle.rs` decides what shows only when all is read, `compose.rs` writes
//! the file, and the fate of each line follows from what is written. A keepalived.conf is read by
//! `keepalived/`, which the router build leaves out.

mod authkeys;
mod compose;
mod directives;
mod draft;
#[cfg(feature = "keepalived")]
mod keepalived;
mod lines;
mod places;
mod readers;
mod report;
mod resources;
mod settle;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::keygen;
use super::option::{operand, option, options};
use crate::operator::exit::Exit;
use crate::settings::{ConfigError, Settings, nearest, shorten};
use authkeys::Keys;
use directives::{DIRECTIVES, Treatment, WHOLE_LINE};
use draft::Draft;
use lines::Layout;
use places::{Names, OwnBox, Resolve, Routes};
use report::{Account, Fate, Place, Reading, Wrong};
use resources::Around;

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 64 * 1024;

#[cfg(feature = "keepalived")]
options! {
    /// Make a configuration from Heartbeat's or keepalived's
    pub struct ImportOptions("import") {
        /// Where crosswire.toml and key are written; what is there already stays
        to: PathBuf = option("--to", "DIR").or("/etc/crosswire"),
        /// The nodes' own addresses, where the files and /etc/hosts do not say them; one for each LAN
        addresses: Option<String> = option("--addresses", "NODE=IP,..."),
        /// The other node's keepalived.conf
        peer: Option<PathBuf> = option("--peer", "FILE"),
        /// Heartbeat's directory, /etc/ha.d, or a keepalived.conf
        from: PathBuf = operand("FILE-OR-DIR"),
    }
}

// The router build reads Heartbeat's files only.
#[cfg(not(feature = "keepalived"))]
options! {
    /// Make a configuration from Heartbeat's
    pub struct ImportOptions("import") {
        /// Where crosswire.toml and key are written; what is there already stays
        to: PathBuf = option("--to", "DIR").or("/etc/crosswire"),
        /// The nodes' own addresses, where neither ucast nor /etc/hosts says them; one for each LAN
        addresses: Option<String> = option("--addresses", "NODE=IP,..."),
        /// Heartbeat's directory: /etc/ha.d
        from: PathBuf = operand("DIR"),
    }
}

/// What to do about files that cannot be read.
#[cfg(feature = "keepalived")]
const WHAT_TO_GIVE: &str = "give Heartbeat's directory, /etc/ha.d, or a keepalived.conf";
#[cfg(not(feature = "keepalived"))]
const WHAT_TO_GIVE: &str =
    "give Heartbeat's directory: /etc/ha.d; a keepalived.conf needs the build of `cargo build`";

/// What Heartbeat would look at beside its files.
struct Surroundings<'a> {
    hosts: &'a Path,
    routes: &'a Path,
    own: OwnBox,
    resolve: Resolve,
}

/// Writes both files and accounts for every line, or says what is wrong and writes nothing.
pub fn run(options: &ImportOptions, out: &mut impl Write) -> Exit {
    let here = Surroundings {
        hosts: Path::new("/etc/hosts"),
        routes: Path::new("/proc/net/route"),
        own: OwnBox::look(),
        resolve: places::resolve,
    };
    // A reader that has gone away cannot be told.
    import(options, &here, out).unwrap_or(Exit::Refused)
}

fn import(options: &ImportOptions, here: &Surroundings<'_>, out: &mut dyn Write) -> io::Result<Exit> {
    let told = options.addresses.as_deref().unwrap_or_default();
    let names = match Names::load(told, here.hosts, here.own.clone(), here.resolve) {
        Ok(names) => names,
        Err(word) => {
            writeln!(
                out,
                "--addresses {word}: is not a name and an address; write --addresses \
                    gw1=10.0.0.1,gw2=10.0.0.2"
            )?;
            return Ok(Exit::Usage);
        }
    };
    #[cfg(feature = "keepalived")]
    if let Some(file) = keepalived::file_of(&options.from) {
        return keepalived::import(&file, options, &names, out);
    }
    let mut draft = Draft::new(&options.from, names);
    read_files(&mut draft, &Routes::load(here.routes));
    let finished = if draft.errors.is_empty() { finish(&mut draft, options) } else { None };
    let Some((text, fates)) = finished else {
        for error in &draft.errors {
            writeln!(out, "{error}")?;
        }
        return Ok(Exit::Configuration);
    };
    if let Err(why) = write_files(&options.to, &text) {
        writeln!(out, "{why}")?;
        return Ok(Exit::Refused);
    }
    tell(&draft, &fates, options, out)?;
    Ok(Exit::Done)
}

fn read_files(draft: &mut Draft, routes: &Routes) {
    read_file(draft, "ha.cf", Layout::Plain, &mut |draft, words| read_directive(draft, words));
    if draft.is_elsewhere {
        return;
    }
    check_directives(draft);
    if draft.nodes.len() != 2 {
        return;
    }
    let directory = draft.directory.clone();
    let around = Around { directory: &directory, routes };
    read_file(draft, "haresources", Layout::Joined, &mut |draft, words| {
        resources::read(draft, words, &around)
    });
    if draft.groups.is_empty() && draft.errors.is_empty() {
        let place = Place { file: "haresources", line: 0 };
        draft.fail(place, ("says nothing".to_string(), "add a line: a node, and what it serves"));
    }
    let mut keys = Keys::default();
    read_file(draft, "authkeys", Layout::Secret, &mut |draft, words| keys.read(draft, words));
    if let Some(what) = keys.lack() {
        let place = Place { file: "authkeys", line: keys.chosen_at };
        draft.fail(place, (what, "add the line, or remove the file: a fresh key is made anyway"));
    }
}

/// What has to be there, once all of ha.cf was understood.
fn check_directives(draft: &mut Draft) {
    if !draft.errors.is_empty() {
        return;
    }
    let place = Place { file: "ha.cf", line: 0 };
    if draft.nodes.len() != 2 {
        draft.fail(
            place,
            ("does not name two nodes".to_string(), "add node NAME NAME: the `uname -n` of both"),
        );
    }
    if draft.serials.is_empty() && draft.lans.is_empty() {
        draft.fail(
            place,
            ("names no way to hear the peer".to_string(), "add serial /dev/ttyS0, and bcast eth0"),
        );
    }
}

/// One line's words: what is made of it.
type Read<'a> = &'a mut dyn FnMut(&mut Draft, &[&str]) -> Result<Reading, Wrong>;

fn read_file(draft: &mut Draft, name: &'static str, layout: Layout, read: Read<'_>) {
    let bytes = match read_bytes(&draft.directory.join(name)) {
        Ok(bytes) => bytes,
        Err(error) if layout == Layout::Secret && error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            let what = format!("cannot be read ({error})");
            return draft.fail(Place { file: name, line: 0 }, (what, WHAT_TO_GIVE));
        }
    };
    for (line, bytes) in lines::split(&bytes, layout) {
        draft.place = Place { file: name, line };
        // A secret may be any bytes; it is not repeated.
        let text = if layout == Layout::Secret {
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        } else {
            String::from_utf8(bytes).map_err(|_| ("is not UTF-8 text".to_string(), "write it in ASCII"))
        };
        if let Err(wrong) = text.and_then(|text| read_line(draft, &text, layout, read)) {
            draft.fail(draft.place, wrong);
        }
    }
}

fn read_line(draft: &mut Draft, text: &str, layout: Layout, read: Read<'_>) -> Result<(), Wrong> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if words.is_empty() {
        return Ok(());
    }
    if words.iter().any(|word| word.contains(char::is_control)) {
        return Err(("holds what cannot be printed".to_string(), "write the line anew"));
    }
    let reading = read(draft, &words)?;
    draft.account(shown(&words, layout == Layout::Secret), reading);
    Ok(())
}

fn read_bytes(file: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(file)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("it is no file, or too long"));
    }
    fs::read(file)
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

fn read_directive(draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
    let [name, values @ ..] = words else { return Err((String::new(), "")) };
    let is_whole = WHOLE_LINE.contains(name);
    let separate =
        |value: &&'_ str| value.split(|c| c == ',' && !is_whole).map(str::to_string).collect::<Vec<_>>();
    let values: Vec<String> = values.iter().flat_map(separate).filter(|value| !value.is_empty()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    match DIRECTIVES.iter().find(|(known, _)| known == name) {
        Some((_, Treatment::Read(read))) => read(draft, &values),
        Some((_, Treatment::Replaced(by))) => Ok(Fate::Replaced((*by).to_string()).into()),
        Some((_, Treatment::Meaningless(why))) => Ok(Fate::Meaningless((*why).to_string()).into()),
        Some((_, Treatment::Lost(why))) => Ok(Fate::Lost((*why).to_string()).into()),
        None => {
            let known: Vec<&str> = DIRECTIVES.iter().map(|(known, _)| *known).collect();
            let near =
                nearest(name, &known).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            Err((
                format!("\"{name}\" is no directive of Heartbeat 3.0.6{near}"),
                "correct it, or remove the line",
            ))
        }
    }
}

/// The configuration and what became of each line, if all that was read makes one.
fn finish(draft: &mut Draft, options: &ImportOptions) -> Option<(String, Vec<Fate>)> {
    let settled = settle::settle(draft);
    if !draft.errors.is_empty() {
        return None;
    }
    // The daemon starts elsewhere: the key has its full path.
    let key = std::env::current_dir().unwrap_or_default().join(options.to.join("key"));
    let text = compose::compose(draft, &settled, &key);
    match Settings::parse(&options.to.join("crosswire.toml"), &text, Some(&draft.nodes[0])) {
        Ok(settings) => {
            let fates = settle::fates(draft, &settled, &settings);
            Some((text, fates))
        }
        Err(errors) => {
            draft.errors = errors.into_iter().map(|error| blame(draft, &text, error)).collect();
            None
        }
    }
}

/// The user has not seen the new file, so an error in it is reported at the line that asks for it.
fn blame(draft: &Draft, text: &str, error: ConfigError) -> ConfigError {
    let before = text.lines().take(error.line().unwrap_or_default());
    let header = before.filter(|line| line.starts_with('[')).last().unwrap_or_default();
    let group = draft.groups.iter().find(|group| header == format!("[group.\"{}\"]", group.name));
    let (file, line) = group.map_or(("ha.cf", None), |group| ("haresources", group.lines.first().copied()));
    error.moved(&draft.directory.join(file), line)
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
        return Err(format!(
            "{}: cannot be made ({error}); give another directory with --to",
            directory.display()
        ));
    }
    keygen::write_new(&config, text).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!(
                "{}: is there already and stays as it is; give another directory with --to",
                config.display()
            )
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

fn tell(draft: &Draft, fates: &[Fate], options: &ImportOptions, out: &mut dyn Write) -> io::Result<()> {
    for (Account { place, text, .. }, fate) in draft.accounts.iter().zip(fates) {
        writeln!(out, "{place}: {}\n    {fate}", shorten(text))?;
    }
    count_fates(fates, out)?;
    tell_end(options, out)
}

fn count_fates(fates: &[Fate], out: &mut dyn Write) -> io::Result<()> {
    let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
    writeln!(
        out,
        "\n{} lines: {} taken over, {} replaced, {} meaningless here, {} cannot be had.",
        fates.len(),
        count(|fate| matches!(fate, Fate::Taken(_))),
        count(|fate| matches!(fate, Fate::Replaced(_) | Fate::Overridden(_))),
        count(|fate| matches!(fate, Fate::Meaningless(_))),
        count(|fate| matches!(fate, Fate::Lost(_)))
    )
}

fn tell_end(options: &ImportOptions, out: &mut dyn Write) -> io::Result<()> {
    let (config, key) = (options.to.join("crosswire.toml"), options.to.join("key"));
    writeln!(
        out,
        "Written: {} and {}, for both nodes: copy them to the peer.",
        config.display(),
        key.display()
    )?;
    if options.to != Path::new("/etc/crosswire") {
        writeln!(out, "Where the key goes to /etc/crosswire/key, take the line `key` out of the first one.")?;
    }
    writeln!(out, "Then on each: crosswire check --config {}", config.display())
}
