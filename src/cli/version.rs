//! `crosswire --version`: which build this is.

use std::env::consts::ARCH;

use crosswire::frame::{BUILD, Version};

/// From git, by `config/build-static.sh`. `cargo build` alone does not ask:
/// every commit would build everything anew.
const COMMIT: Option<&str> = option_env!("CROSSWIRE_COMMIT");
/// The target's whole name, by the same script.
const TARGET: Option<&str> = option_env!("CROSSWIRE_TARGET");

/// What is shown.
pub fn text() -> String {
    let (commit, target) = (COMMIT.unwrap_or("unknown"), TARGET.unwrap_or(ARCH));
    let (newest, before) = (Version::NEWEST.number(), Version::NEWEST.after().number());
    format!("Version: {BUILD}\nCommit: {commit}\nProtocol: {newest}, {before}\nTarget: {target}\n")
}
