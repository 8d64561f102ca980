//! One file per command.

pub mod check;
#[cfg(feature = "workbench")]
pub mod demo;
pub mod exit;
#[cfg(feature = "import")]
pub mod import;
pub mod keygen;
pub mod operate;
pub mod run;
#[cfg(feature = "workbench")]
pub mod simulate;
pub mod status;
mod status_json;
pub mod why;

use std::io::Write;
use std::process::ExitCode;

use bpaf::{Bpaf, ParseFailure};

use exit::Exit;

/// Everything that crosswire can be asked to do.
#[derive(Clone, Debug, Bpaf)]
#[bpaf(options, version, descr("Keeps one of two gateways serving, over a null-modem cable and Ethernet."))]
enum Command {
    Run(#[bpaf(external(run::run_options))] run::RunOptions),
    Check(#[bpaf(external(check::check_options))] check::CheckOptions),
    Status(#[bpaf(external(status::status_options))] status::StatusOptions),
    Why(#[bpaf(external(why::why_options))] why::WhyOptions),
    Handover(#[bpaf(external(operate::handover_options))] operate::HandoverOptions),
    Takeover(#[bpaf(external(operate::takeover_options))] operate::TakeoverOptions),
    Keygen(#[bpaf(external(keygen::keygen_options))] keygen::KeygenOptions),
    #[cfg(feature = "import")]
    Import(#[bpaf(external(import::import_options))] import::ImportOptions),
    #[cfg(feature = "workbench")]
    Demo(#[bpaf(external(demo::demo_options))] demo::DemoOptions),
    #[cfg(feature = "workbench")]
    Simulate(#[bpaf(external(simulate::simulate_options))] simulate::SimulateOptions),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let command = match command().run_inner(bpaf::Args::current_args()) {
        Ok(command) => command,
        Err(failure) => return explain(failure).into(),
    };
    let out = &mut std::io::stdout();
    match command {
        Command::Run(options) => run::run(&options),
        Command::Check(options) => check::run(&options, out).into(),
        Command::Status(options) => status::run(&options, out).into(),
        Command::Why(options) => why::run(&options, out).into(),
        Command::Handover(options) => operate::handover(&options, out).into(),
        Command::Takeover(options) => operate::takeover(&options, out).into(),
        Command::Keygen(options) => keygen::run(&options, out).into(),
        #[cfg(feature = "import")]
        Command::Import(options) => import::run(&options, out).into(),
        #[cfg(feature = "workbench")]
        Command::Demo(options) => demo::run(&options, out).into(),
        #[cfg(feature = "workbench")]
        Command::Simulate(options) => simulate::run(&options, out).into(),
    }
}

/// Help goes to stdout; what is wrong with a command line to stderr.
fn explain(failure: ParseFailure) -> Exit {
    match failure {
        ParseFailure::Stdout(help, full) => {
            let _ = writeln!(std::io::stdout(), "{}", help.monochrome(full));
            Exit::Done
        }
        ParseFailure::Completion(text) => {
            let _ = write!(std::io::stdout(), "{text}");
            Exit::Done
        }
        ParseFailure::Stderr(message) => {
            // The failure's own way to print itself panics when nobody reads.
            let _ = writeln!(std::io::stderr(), "crosswire: {}", message.monochrome(true));
            Exit::Usage
        }
    }
}
