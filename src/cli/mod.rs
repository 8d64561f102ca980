//! One file per command.

#[cfg(feature = "cable-test")]
pub mod cable_test;
pub mod check;
#[cfg(feature = "workbench")]
mod completion;
#[cfg(feature = "workbench")]
pub mod demo;
#[cfg(feature = "drill")]
pub mod drill;
mod entropy;
pub mod fence;
mod handover;
mod help;
#[cfg(feature = "import")]
pub mod import;
pub mod keygen;
mod keygen_witness;
mod maintenance;
#[cfg(feature = "workbench")]
pub mod man;
pub mod option;
mod parse;
pub mod peer;
#[cfg(feature = "upgrade")]
mod placed;
pub mod progress;
pub mod reload;
#[cfg(feature = "workbench")]
mod replay;
mod request;
pub mod run;
#[cfg(feature = "workbench")]
pub mod simulate;
#[cfg(feature = "workbench")]
mod simulate_picture;
mod standby;
pub mod status;
mod status_watch;
#[cfg(feature = "upgrade")]
mod upgrade;
mod version;
pub mod why;
#[cfg(feature = "witness")]
pub mod witness;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::gather::Gather;
use crate::operator::exit::{Exit, complain};
use option::{Given, Options, Spec};

/// One command: what it can be told, and what does it.
struct Command {
    spec: &'static Spec,
    run: fn(&mut Given) -> Result<ExitCode, String>,
}

/// The command that does this with these options.
macro_rules! command {
    ($Options:ty, $run:expr) => {
        Command {
            spec: <$Options as Options>::SPEC,
            run: |given| {
                let options = <$Options as Options>::take(given)?;
                let run: fn(&$Options, &mut std::io::Stdout) -> ExitCode = $run;
                Ok(run(&options, &mut std::io::stdout()))
            },
        }
    };
}

/// Everything that crosswire can be asked to do.
static COMMANDS: &[Command] = &[
    command!(run::RunOptions, |options, _| run::run(options)),
    command!(check::CheckOptions, |options, out| check::run(options, out).into()),
    #[cfg(feature = "cable-test")]
    command!(cable_test::CableTestOptions, |options, out| cable_test::run(options, out).into()),
    command!(status::StatusOptions, |options, out| status::run(options, out)),
    command!(why::WhyOptions, |options, out| why::run(options, out).into()),
    command!(peer::PeerOptions, |options, out| peer::run(options, out).into()),
    command!(handover::HandoverOptions, |options, out| handover::handover(options, out).into()),
    command!(handover::TakeoverOptions, |options, out| handover::takeover(options, out).into()),
    #[cfg(feature = "drill")]
    command!(drill::DrillOptions, |options, out| drill::run(options, out).into()),
    command!(fence::FenceOptions, |options, out| fence::run(options, out).into()),
    command!(standby::StandbyOptions, |options, out| standby::standby(options, out).into()),
    command!(standby::OnlineOptions, |options, out| standby::online(options, out).into()),
    command!(maintenance::MaintenanceOptions, |options, out| maintenance::maintenance(options, out).into()),
    command!(reload::ReloadOptions, |options, out| reload::run(options, out).into()),
    #[cfg(feature = "upgrade")]
    command!(upgrade::UpgradeOptions, |options, out| upgrade::run(options, out).into()),
    command!(keygen::KeygenOptions, |options, out| keygen_witness::run(options, out).into()),
    #[cfg(feature = "witness")]
    command!(witness::WitnessOptions, |options, _| witness::run(options)),
    #[cfg(feature = "import")]
    command!(import::ImportOptions, |options, out| import::run(options, out).into()),
    #[cfg(feature = "workbench")]
    command!(demo::DemoOptions, |options, out| demo::run(options, out).into()),
    #[cfg(feature = "workbench")]
    command!(simulate::SimulateOptions, |options, out| simulate::run(options, out).into()),
    #[cfg(feature = "workbench")]
    command!(man::ManOptions, |options, out| man::run(options, specs(), out).into()),
];

/// What makes a build that has this command, if this one has not.
fn left_out(name: &str) -> Option<&'static str> {
    let is_here = match name {
        "import" => cfg!(feature = "import"),
        "cable-test" => cfg!(feature = "cable-test"),
        "drill" => cfg!(feature = "drill"),
        "upgrade" => cfg!(feature = "upgrade"),
        "witness" => cfg!(feature = "witness"),
        "demo" | "simulate" | "man" if cfg!(feature = "workbench") => true,
        "demo" | "simulate" | "man" => return Some("cargo build --release"),
        _ => true,
    };
    (!is_here).then_some(FULL_BUILD)
}

/// What makes a build for a box with all that a box can use.
pub const FULL_BUILD: &str = "config/build-static.sh --full";

/// The tables of all commands.
fn specs() -> impl Iterator<Item = &'static Spec> + Clone {
    COMMANDS.iter().map(|command| command.spec)
}

/// Carries out the command line.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).gather();
    done(&arguments).unwrap_or_else(|complaint| {
        let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
        if has("--nagios") {
            return status::tell_nagios(Exit::Usage, &complaint, &mut std::io::stdout());
        }
        complain(Exit::Usage, has("--json"), &format_args!("crosswire: {complaint}")).into()
    })
}

/// Carries it out, or returns a line with what is wrong with the command line.
fn done(arguments: &[OsString]) -> Result<ExitCode, String> {
    let Some((first, rest)) = arguments.split_first() else {
        return Err("expected `COMMAND ...`, pass `--help` for usage information".to_owned());
    };
    let first_is = |long, short| first == long || first == short;
    if first_is("--help", "-h") {
        return Ok(show(&help::overview(&mut specs())));
    }
    if first_is("--version", "-V") {
        return Ok(show(&version::text()));
    }
    let is_help = first == "help";
    let (first, rest) = match rest.split_first() {
        None if is_help => return Ok(show(&help::overview(&mut specs()))),
        Some((command, more)) if is_help => (command, more),
        _ => (first, rest),
    };
    if let Some(build) = first.to_str().and_then(left_out) {
        return Err(format!("`{}` is not in this build: that of `{build}` has it", first.display()));
    }
    let command = &COMMANDS[parse::command(specs(), first)?];
    if is_help {
        return Ok(show(&help::of_command(command.spec)));
    }
    if parse::asks_for_help(rest) {
        return Ok(show(&help::of_command(command.spec)));
    }
    let values = parse::values(command.spec, rest)?;
    (command.run)(&mut Given::new(command.spec.words, values))
}

/// Help goes to stdout; what is wrong with a command line to stderr.
fn show(text: &str) -> ExitCode {
    let _ = write!(std::io::stdout(), "{text}");
    Exit::Done.into()
}
