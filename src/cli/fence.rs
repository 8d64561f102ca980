//! `crosswire fence --test`: would the peer be fenced if it had to be? Asked before it has to be.

use std::io::Write;
use std::path::PathBuf;

use bpaf::Bpaf;

use super::exit::Exit;
use crate::guard::fence::{Task, carry_out};
use crate::settings::Settings;

/// Try the fences without a failure
#[derive(Clone, Debug, Bpaf)]
#[bpaf(command("fence"))]
pub struct FenceOptions {
    /// Configuration file
    #[bpaf(argument("FILE"), fallback(PathBuf::from("/etc/crosswire/crosswire.toml")), debug_fallback)]
    config: PathBuf,
    /// Which node this box is (default: uname -n)
    #[bpaf(argument("NAME"), optional)]
    node: Option<String>,
    /// Ask for the status only; nothing is switched off
    #[bpaf(req_flag(()))]
    test: (),
}

/// Tests every fence of the configuration. Done if all of them work.
pub fn run(options: &FenceOptions, out: &mut impl Write) -> Exit {
    // Without the flag there is no such command: nobody is fenced by a slip of the finger.
    let () = options.test;
    let settings = match Settings::load(&options.config, options.node.as_deref()) {
        Ok(settings) => settings,
        Err(errors) => {
            for error in errors {
                let _ = writeln!(out, "{error}");
            }
            return Exit::Configuration;
        }
    };
    if settings.fences.is_empty() {
        let _ = writeln!(out, "{}: there is no [fence]: nobody can be fenced", options.config.display());
        return Exit::Refused;
    }
    // a reader that has gone away cannot be told
    let say = |line: &str| drop(writeln!(out, "{line}"));
    if carry_out(&settings.fences, settings.peer_name(), Task::Test, say) { Exit::Done } else { Exit::Refused }
}
