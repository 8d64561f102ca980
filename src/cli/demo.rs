//! `crosswire demo`: a whole pair on this machine, shown live while it is broken on purpose.

use std::io::Write;
use std::path::PathBuf;

use super::option::{flag, option, options};
use crate::operator::exit::Exit;
use crate::workbench::demo;

options! {
    /// Show a whole pair on this machine while its LAN, its cable and its power are cut
    pub struct DemoOptions("demo") {
        /// As one JSON document, without the live view
        json: bool = flag("--json"),
        /// Draw what the node knows that serves in the end
        svg: Option<PathBuf> = option("--svg", "FILE"),
    }
}

/// Done only if everything was as required.
pub fn run(options: &DemoOptions, out: &mut impl Write) -> Exit {
    if demo::run(options.json, options.svg.as_deref(), out) { Exit::Done } else { Exit::Refused }
}
