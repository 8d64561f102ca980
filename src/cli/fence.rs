//! `crosswire fence --test`: would the peer be fenced if it had to be? Asked before it has to be.

use std::io::Write;
use std::path::PathBuf;

use super::option::{flag, option, options};
use crate::guard::fencing::fence::{Task, carry_out};
use crate::operator::exit::{Exit, complain, complain_of};
use crate::settings::Settings;

options! {
    /// Try the fences without a failure
    pub struct FenceOptions("fence") {
        /// Configuration file
        config: PathBuf = option("--config", "FILE").or("/etc/crosswire/crosswire.toml"),
        /// Which node this box is (default: uname -n)
        node: Option<String> = option("--node", "NAME"),
        /// Ask for the status only; nothing is switched off
        test: bool = flag("--test"),
    }
}

/// Tests every fence of the configuration. Done if all of them work.
pub fn run(options: &FenceOptions, out: &mut impl Write) -> Exit {
    // There is no such command without the flag, so that nobody fences a box by a typing error.
    if !options.test {
        return complain(Exit::Usage, false, &"crosswire: expected `--test`: nobody is fenced by hand");
    }
    let settings = match Settings::load(&options.config, options.node.as_deref()) {
        Ok(settings) => settings,
        Err(errors) => return complain_of(&errors),
    };
    if settings.fences.is_empty() {
        let what = format_args!("{}: there is no [fence]: nobody can be fenced", options.config.display());
        return complain(Exit::Refused, false, &what);
    }
    // a reader that has gone away cannot be told
    let say = |line: &str| drop(writeln!(out, "{line}"));
    if carry_out(&settings.fences, settings.peer_name(), Task::Test, say) {
        Exit::Done
    } else {
        Exit::Refused
    }
}
