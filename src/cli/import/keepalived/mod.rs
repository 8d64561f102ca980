//! `crosswire import keepalived.conf`: a configuration and a key from keepalived's, of one node or of both.
//!
//! `source.rs` gives the lines that a node reads, `tree.rs` makes statements of them, `read.rs`, `lists.rs`
//! and the table in `keywords.rs` read those into a `model.rs`. `people.rs` finds out who the nodes are,
//! `groups.rs` what moves together, `notify.rs` what becomes of programs and checks, `routes.rs` of routes
//! and rules; `settle.rs` puts that into a plan, and `compose.rs` writes it. What became of each statement is
//! noted in `ledger.rs`, and said at the end. `addresses.rs` has what is served.

mod addresses;
mod compose;
mod glob;
mod groups;
mod keywords;
mod ledger;
mod lists;
mod model;
mod notify;
mod people;
mod read;
mod routes;
mod settle;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod values;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::places::Names;
use super::{ImportOptions, count_fates, tell_end, write_files};
use crate::operator::exit::Exit;
use crate::settings::{ConfigError, Settings};
use compose::Page;
use model::Node;
use settle::Plan;
use source::Sources;

/// keepalived.conf, where that is what is to be imported: the file itself, or a directory that has it and no
/// ha.cf.
pub fn file_of(from: &Path) -> Option<PathBuf> {
    if !from.is_dir() {
        return Some(from.to_path_buf());
    }
    let inside = from.join("keepalived.conf");
    (inside.is_file() && !from.join("ha.cf").exists()).then_some(inside)
}

/// Writes both files and accounts for every line, or says what is wrong and writes nothing.
pub fn import(file: &Path, options: &ImportOptions, told: &Names, out: &mut dyn Write) -> io::Result<Exit> {
    let mut sources = Sources::default();
    let Some((text, has_both)) = read_all(file, options, told, &mut sources) else {
        for error in &sources.errors {
            writeln!(out, "{error}")?;
        }
        return Ok(Exit::Configuration);
    };
    if let Err(why) = write_files(&options.to, &text) {
        writeln!(out, "{why}")?;
        return Ok(Exit::Refused);
    }
    debug_assert!(
        sources.ledger.forgotten().is_empty(),
        "nothing is said of {:?}",
        sources.ledger.forgotten()
    );
    write!(out, "{}", sources.ledger)?;
    count_fates(&sources.ledger.worst(), out)?;
    let unless = if text.lines().any(|line| line.starts_with("witness = ")) {
        "if both see the witness, until you add a null-modem cable, [serial]"
    } else {
        "too, until you add a null-modem cable, [serial], or a witness"
    };
    writeln!(
        out,
        "keepalived has no cable, and a LAN that is cut makes both nodes serve. Here both serve then \
            {unless}: see the file."
    )?;
    writeln!(
        out,
        "A node that has not heard the other one since it started serves after cold_start, which is 60 s or \
         more: keepalived waits for three intervals."
    )?;
    if !has_both {
        writeln!(
            out,
            "Only one node's file was read: whether the other one differs, and what its priority is, is not \
                known. \
             Give it with --peer FILE."
        )?;
    }
    tell_end(options, out)?;
    Ok(Exit::Done)
}

fn read_all(
    file: &Path,
    options: &ImportOptions,
    told: &Names,
    sources: &mut Sources,
) -> Option<(String, bool)> {
    let (nodes, names) = read_nodes(file, options, told, sources)?;
    if nodes.iter().flatten().all(|node| node.instances.is_empty()) && sources.errors.is_empty() {
        let what = "has no vrrp_instance: there is nothing that moves";
        let remedy = "give the file that has; balancing alone is another trade (ldirectord, HAProxy, nginx)";
        sources.errors.push(ConfigError::new(file, None, what, remedy));
    }
    if !sources.errors.is_empty() {
        return None;
    }
    let mut plan = settle::settle(&nodes, names, told, sources);
    sources.close();
    if !sources.errors.is_empty() {
        return None;
    }
    let text = accepted(&mut plan, options, sources)?;
    Some((text, nodes[1].is_some()))
}

/// Both nodes as far as there are files, and their names. Lines with conditions are read first to see whom
/// they are for.
fn read_nodes(
    file: &Path,
    options: &ImportOptions,
    told: &Names,
    sources: &mut Sources,
) -> Option<([Option<Node>; 2], [String; 2])> {
    let mut trial = Sources::default();
    let files = [Some(file), options.peer.as_deref()];
    let ids: Vec<Option<String>> = files.map(|file| router_id(file?, &mut trial)).into();
    let names = people::names(told, &trial.ids, [ids[0].as_deref(), ids[1].as_deref()]);
    if !trial.errors.is_empty() {
        sources.errors = trial.errors;
        return None;
    }
    let names = names.map_err(|why| {
        let remedy = "give --addresses NODE=IP,NODE=IP, this file's node first";
        sources.errors.push(ConfigError::new(file, None, why, remedy));
    });
    let mut names = names.ok()?;
    // One file with conditions is both nodes'.
    let other = options.peer.as_deref().or((!trial.ids.is_empty()).then_some(file));
    let one = |file: &Path, name: &str, sources: &mut Sources| {
        let lines = sources.read(file, name);
        let statements = tree::build(&lines, sources);
        // After an error, a statement may stand in the wrong block and only look wrong.
        let statements = if sources.errors.is_empty() { statements } else { Vec::new() };
        read::read(&statements, sources)
    };
    let first = one(file, &names[0], sources);
    // The names were given in the other order if the address that this file gives itself is the second
    // node's.
    if trial.ids.is_empty()
        && first.instances.iter().filter_map(|one| one.source).any(|(ip, _)| told.is_told(&names[1], ip))
    {
        names.swap(0, 1);
    }
    let second = other.map(|other| one(other, &names[1], sources));
    Some(([Some(first), second], names))
}

/// What a file says of its node's name, and who is named behind an `@`.
fn router_id(file: &Path, trial: &mut Sources) -> Option<String> {
    let lines = trial.read(file, "");
    let words = lines.iter().map(|line| line.text.split_ascii_whitespace().collect::<Vec<_>>());
    words
        .filter(|words| words.first() == Some(&"router_id"))
        .filter_map(|words| Some(words.get(1)?.trim_matches('"').to_string()))
        .next_back()
}

/// The text, once the loader accepts it for both nodes. A route or a rule that it refuses is left out, which
/// is reported.
fn accepted(plan: &mut Plan, options: &ImportOptions, sources: &mut Sources) -> Option<String> {
    // The daemon starts elsewhere: the key has its full path.
    let key = std::env::current_dir().unwrap_or_default().join(options.to.join("key"));
    loop {
        let page = compose::compose(plan, &options.from, &key);
        let file = options.to.join("crosswire.toml");
        let parsed = Settings::parse(&file, &page.text, Some(&plan.names[0]));
        let Err(errors) = parsed else { return Some(page.text) };
        if !leave_out_routes(plan, &page, &errors, sources) {
            sources.errors = errors.into_iter().map(|error| blame(&page, plan, error, sources)).collect();
            return None;
        }
    }
}

/// Leaves out routes and rules that the loader refuses; returns whether there were any.
fn leave_out_routes(plan: &mut Plan, page: &Page, errors: &[ConfigError], sources: &mut Sources) -> bool {
    let mut is_changed = false;
    for error in errors {
        let Some(at) = error.line().and_then(|line| page.asked_by(line)) else { continue };
        for group in &mut plan.groups {
            for (list, command) in [(&mut group.routes, "route"), (&mut group.rules, "rule")] {
                let Some(text) = list.iter().find(|(by, _)| *by == at).map(|(_, text)| text.clone()) else {
                    continue;
                };
                is_changed = true;
                for (by, _) in list.extract_if(.., |(_, other)| *other == text) {
                    sources.ledger.forget(by);
                    sources.ledger.lost(by, routes::lost_route(&error.what, command));
                }
            }
        }
    }
    is_changed
}

/// The user has not seen the new file, so an error in it is reported at the line that asks for it.
fn blame(page: &Page, plan: &Plan, error: ConfigError, sources: &Sources) -> ConfigError {
    let at = error.line().and_then(|line| page.asked_by(line));
    let usual = plan.groups.first().map(|group| group.at);
    let path = at.or(usual).map_or(Path::new("keepalived.conf"), |at| sources.path(at.file));
    error.moved(path, at.map(|at| at.line))
}
