//! `crosswire demo`: a whole pair on this machine, shown live while it is broken on purpose.

use std::io::Write;

use super::option::{flag, options};
use crate::operator::exit::Exit;
use crate::workbench::demo;

options! {
    /// Show a whole pair on this machine while its LAN, its cable and its power are cut
    pub struct DemoOptions("demo") {
        /// As one JSON document, without the live view
        json: bool = flag("--json"),
    }
}

/// Done only if everything was as required.
pub fn run(options: &DemoOptions, out: &mut impl Write) -> Exit {
    if demo::run(options.json, out) { Exit::Done } else { Exit::Refused }
}
