//! `crosswire check`: is the configuration sound, what does it promise, and does this box have all that it
//! needs?

#[cfg(feature = "compare")]
mod agreed;
mod boot;
mod groups;
mod lans;
#[cfg(feature = "compare")]
mod peer;
mod proof;
mod secrets;
mod survey;

use std::fmt::{self, Write as _};
use std::io::Write;
use std::path::PathBuf;

use crosswire::pair::Side;
#[cfg(feature = "import")]
use crosswire::time::Span;

#[cfg(feature = "import")]
pub use groups::is_mounting;

use self::survey::OK;
use super::option::{flag, option, options};
use super::run::{awaited, has_lost_guard};
use crate::clock;
use crate::operator::control::DEFAULT_RUN_DIR;
use crate::operator::exit::{Exit, complain, complain_of};
use crate::operator::words;
use crate::settings::{ConfigError, KeyFile, Settings, exact};

options! {
    /// Check the configuration and this box; -v adds the timing proof
    pub struct CheckOptions("check") {
        /// Configuration file
        config: PathBuf = option("--config", "FILE").or("/etc/crosswire/crosswire.toml"),
        /// Which node this box is, if not the one that `uname -n` says (offline: both)
        node: Option<String> = option("--node", "NAME"),
        /// Check the file alone: this is another box
        offline: bool = flag("--offline"),
        /// Ask the peer what it goes by, and show the keys in which the file differs
        peer: bool = flag("--peer"),
        /// Say only what is wrong, as JSON
        json: bool = flag("--json"),
        /// The timing proof too: what happens when, and what every group waits for
        verbose: bool = flag("-v"),
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
    }
}

/// Says that all is well, beside warnings, with the timing proof if it is asked for; or on standard error, a
/// line each, what is wrong with the file, or what this box lacks: a device, an interface, a script or a good
/// key file. Without the key file the daemon does not start; without the others it does.
pub fn run(options: &CheckOptions, out: &mut impl Write) -> Exit {
    if options.peer {
        return compare(options, out);
    }
    let found = examine(options);
    let exit = if found.is_ok() { Exit::Done } else { Exit::Configuration };
    let text = match found {
        found if options.json => survey::json_text(&found),
        Ok(note) if options.verbose => note,
        Ok(note) => survey::summary(&note),
        Err(errors) => return complain_of(&errors),
    };
    // A reader that has gone away cannot be told.
    out.write_all(text.as_bytes()).map_or(Exit::Refused, |()| exit)
}

/// The file beside what the peer goes by; or what is wrong with it.
#[cfg(feature = "compare")]
fn compare(options: &CheckOptions, out: &mut impl Write) -> Exit {
    if options.offline {
        return complain(
            Exit::Usage,
            false,
            &"crosswire: check: --offline asks nobody, --peer asks the peer",
        );
    }
    match Settings::load(&options.config, options.node.as_deref()) {
        Ok(settings) => peer::run(options, &settings, out),
        Err(errors) if options.json => {
            let text = survey::json_text(&Err(errors));
            out.write_all(text.as_bytes()).map_or(Exit::Refused, |()| Exit::Configuration)
        }
        Err(errors) => complain_of(&errors),
    }
}

#[cfg(not(feature = "compare"))]
fn compare(options: &CheckOptions, _: &mut impl Write) -> Exit {
    let run_dir = options.run_dir.display();
    let what =
        format_args!("crosswire: this build has no check --peer; see `peer status --run-dir {run_dir}`");
    complain(Exit::Usage, false, &what)
}

fn examine(options: &CheckOptions) -> Result<String, Vec<ConfigError>> {
    let settings = match &options.node {
        // This box may be neither node: the file has to be sound for both.
        None if options.offline => {
            Settings::load_as(&options.config, Side::B)?;
            Settings::load_as(&options.config, Side::A)?
        }
        node => Settings::load(&options.config, node.as_deref())?,
    };
    let mut note = String::new();
    let is_both = options.offline && options.node.is_none();
    let [me, peer] = [settings.my_name(), settings.peer_name()];
    let (whose, whom) = if is_both {
        (format!("nodes {me} and {peer}; the figures are those of {me}"), "both nodes")
    } else {
        (format!("this is {me}, its peer is {peer}"), me)
    };
    // Writing into a string cannot fail.
    let _ = writeln!(note, "{}: pair {}, {whose}.", settings.file.display(), settings.pair);
    if settings.is_shadow() {
        note.extend([
            survey::SHADOW,
            "it decides and does nothing; what follows is true of the LAN alone.\n",
        ]);
    }
    let _ = write_proof(&settings, &mut note);
    if options.offline {
        let _ = writeln!(
            note,
            "\n{OK}the file is sound for {whom}. The file alone was read: no box was looked at."
        );
        return Ok(note);
    }
    boot::write_doubly_started(&settings, &mut note);
    for warning in lans::twins(&settings).into_iter().chain(words::answering_beside(&settings.interfaces)) {
        let _ = writeln!(note, "\nWARNING [lan]: {warning}");
    }
    let (policy, tick) = (&settings.policy, clock::tick());
    if proof::is_late_by_ticks(policy.interval(), policy.shortest_late_after(), tick) {
        let _ = writeln!(
            note,
            "\nWARNING [tick]: late_after is too short for timers with ticks of {}",
            exact(tick)
        );
    }
    let _ = secrets::write_programs(&settings, &mut note);
    let mut problems = settings.absent();
    match KeyFile::load(&settings.key_file) {
        Ok(keys) => drop(secrets::write_keys(&settings, &keys, &mut note)),
        Err(error) => problems.push(ConfigError { code: "key", ..error }),
    }
    if problems.is_empty() {
        survey::write_doubts(&settings, &mut note);
    }
    if has_lost_guard(&options.run_dir) {
        let _ = writeln!(note, "\nWARNING [guard]: {}", awaited(&settings));
    } else {
        let _ = writeln!(note, "\n{OK}{me} has what it takes.");
    }
    if problems.is_empty() { Ok(note) } else { Err(problems) }
}

/// The whole note: paths, what happens when, groups, what remains.
fn write_proof(settings: &Settings, out: &mut String) -> fmt::Result {
    let proof = settings.proof();
    proof::write_paths(settings, &proof, out)?;
    proof::write_silence(settings, &proof, out)?;
    proof::write_release(settings, &proof, out)?;
    groups::write_groups(settings, &proof, out)?;
    groups::write_last_resorts(settings, out)?;
    secrets::write_secrets(settings, out)
}

/// How long after a silent peer's last beat the group of that name is taken over.
#[cfg(feature = "import")]
pub fn waits(settings: &Settings, group: &str) -> Option<Span> {
    let index = settings.groups.iter().position(|known| known.name == group)?;
    Some(settings.proof().groups.get(index)?.takeover)
}

#[cfg(all(test, feature = "compare"))]
mod peer_tests;
#[cfg(test)]
mod tests;
