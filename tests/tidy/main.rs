//! The house keeps itself clean: this reads the sources and says where they are not what they promise to be.
//!
//! What is not true yet is listed in `today.rs`, each entry with its reason. An entry that nothing needs any
//! more fails the test as well: the lists only become shorter.

mod circles;
mod source;
mod today;

use std::collections::{BTreeMap, BTreeSet};

use source::{Source, sources, words};

/// No line is longer.
const COLUMNS: usize = 110;

/// No file is longer.
const LINES: usize = 450;

/// The library's folders: each uses those before it, never those behind it.
const LIBRARY: [&str; 18] = [
    "time", "pair", "config", "reasons", "resource", "limit", "encode", "decode", "frame", "journal", "vote",
    "health", "turn", "status", "quorum", "recorder", "station", "custody",
];

/// The binary's folders, in the same way.
const BINARY: [&str; 15] = [
    "gather",
    "plain",
    "sys",
    "private",
    "clock",
    "tty",
    "logger",
    "settings",
    "operator",
    "ipc",
    "guard",
    "agent",
    "witness",
    "workbench",
    "cli",
];

/// Fails unless `found` are exactly the `listed`; `found` says of each where it is.
fn only_the_listed(what: &str, found: &BTreeMap<String, String>, listed: &[(&str, &str)]) {
    let is_listed = |key: &str| listed.iter().any(|(name, _)| *name == key);
    let new = found.iter().filter(|(key, _)| !is_listed(key)).map(|(key, at)| format!("{what}: {key}: {at}"));
    let gone = listed.iter().filter(|(name, _)| !found.contains_key(*name));
    let gone = gone.map(|(name, _)| format!("{what}: {name} is listed in today.rs, and nothing needs it"));
    let faults: Vec<_> = new.chain(gone).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let is_said = listed.iter().all(|(_, reason)| reason.split(' ').count() >= 3);
    assert!(is_said, "{what}: an entry without a reason");
}

#[test]
fn no_line_is_too_long() {
    let sources = sources();
    let lines =
        sources.iter().flat_map(|source| source.text.lines().enumerate().map(move |line| (source, line)));
    let long: Vec<_> = lines
        .filter(|(_, (_, line))| line.chars().count() > COLUMNS)
        .map(|(source, (index, _))| format!("{}:{}", source.path, index + 1))
        .collect();
    assert!(long.is_empty(), "over {COLUMNS} columns:\n{}", long.join("\n"));
}

#[test]
fn no_file_is_too_long_or_empty() {
    let mut long = BTreeMap::new();
    for source in sources() {
        assert!(!source.text.trim().is_empty(), "{} is empty", source.path);
        let lines = source.text.lines().count();
        if lines > LINES {
            long.insert(source.path, format!("{lines} lines"));
        }
    }
    only_the_listed("a file that is too long", &long, today::LONG);
}

#[test]
fn unsafe_is_where_it_is_expected() {
    let is_used = |source: &Source| words(&source.code).any(|word| word == "unsafe");
    let found = sources().into_iter().filter(is_used).map(|source| (source.path, "unsafe".to_string()));
    only_the_listed("unsafe code", &found.collect(), today::UNSAFE);
}

/// The places of `order` that the code of a file names: what follows `root::`.
fn named<'a>(source: &'a Source, root: &str, order: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let path = format!("{root}::");
    let found: Vec<_> =
        source.code.match_indices(&path).filter_map(|(at, _)| words(&source.code[at..]).nth(1)).collect();
    found.into_iter().filter(|name| order.contains(name))
}

#[test]
fn a_folder_uses_only_those_above_it() {
    let mut wrong = BTreeMap::new();
    for source in sources() {
        for order in [&LIBRARY[..], &BINARY[..]] {
            let place = |name: &str| order.iter().position(|other| *other == name);
            let Some(own) = source.folder().and_then(place) else { continue };
            for name in named(&source, "crate", order).filter(|name| place(name) > Some(own)) {
                wrong.insert(format!("{} -> {name}", source.path), "an arrow that runs up".to_string());
            }
        }
    }
    only_the_listed("order of the folders", &wrong, today::UPWARDS);
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let found = circles::circles(&sources());
    let found = found.into_iter().map(|circle| (circle, "take one of the uses out".to_string()));
    only_the_listed("circles of files", &found.collect(), today::CIRCLES);
}

/// What turns the bytes of an agent into something.
const DECODERS: [&str; 6] =
    ["decode", "decode_all", "Deserialize", "from_bytes", "from_bytes_cobs", "take_from_bytes"];

#[test]
fn root_decodes_nothing_that_an_agent_wrote_but_its_orders() {
    let mut found = BTreeMap::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/guard/")) {
        let code = circles::without_tests(&source.code).0;
        let code =
            code.replace("crosswire::decode::take_from_bytes::<ToGuard>", "take_from_bytes::<ToGuard>");
        for word in words(&code).filter(|word| DECODERS.contains(word)) {
            found.insert(format!("{}: {word}", source.path), "it decodes".to_string());
        }
        let orders = code.matches("take_from_bytes::<ToGuard>").count();
        assert_eq!(orders, code.matches("take_from_bytes").count(), "{}: not an order", source.path);
    }
    found.retain(|key, _| !key.contains("tests"));
    only_the_listed("decoding as root", &found, today::DECODING);
}

#[test]
fn every_folder_has_its_place() {
    let known: BTreeSet<_> = LIBRARY.iter().chain(&BINARY).copied().collect();
    for source in sources() {
        let Some(folder) = source.folder() else { continue };
        assert!(known.contains(folder), "{}: {folder} has no place in the order", source.path);
    }
}

/// Which of the worlds that have names of their own a file belongs to.
fn world(source: &Source) -> Option<&'static str> {
    let folder = source.folder()?;
    let worlds =
        ["workbench/simulate", "workbench/lab", "workbench/demo", "cli/import/keepalived", "cli/import"];
    let own = worlds.into_iter().find(|world| source.path.starts_with(&format!("src/{world}/")));
    Some(own.unwrap_or(if LIBRARY.contains(&folder) { "library" } else { "binary" }))
}

#[test]
fn a_public_type_has_its_name_alone() {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let Some(world) = world(&source) else { continue };
        for name in source.public_types() {
            places.entry(format!("{world}: {name}")).or_default().insert(source.path.clone());
        }
    }
    let twins = places.into_iter().filter(|(_, files)| files.len() > 1);
    let twins = twins.map(|(name, files)| (name, files.into_iter().collect::<Vec<_>>().join(", ")));
    only_the_listed("types of one name", &twins.collect(), today::TWINS);
}
