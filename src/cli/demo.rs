//! `crosswire demo`: a whole pair on this machine, shown live while it is broken on purpose.

use std::io::Write;

use bpaf::Bpaf;

use super::exit::Exit;
use crate::workbench::demo;

/// Show a whole pair on this machine while its LAN, its cable and its power are cut
#[derive(Clone, Debug, Bpaf)]
#[bpaf(command("demo"))]
pub struct DemoOptions {
    /// As one JSON document, without the live view
    json: bool,
}

/// Done only if everything was as required.
pub fn run(options: &DemoOptions, out: &mut impl Write) -> Exit {
    if demo::run(options.json, out) { Exit::Done } else { Exit::Refused }
}
