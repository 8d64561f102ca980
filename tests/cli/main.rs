//! Bad input to the shipped binary: one line that says what is wrong, where, and what to do, and the
//! documented exit code (section 9 of the design): 0 done, 1 refused or failed, 2 usage, 3 daemon not
//! running, 4 jeopardy, 78 configuration.

#[path = "../../src/workbench/lab/mod.rs"]
#[expect(dead_code, reason = "demo and each test program use different parts of it")]
pub mod lab;

mod asking;
mod command_line;
mod files;
mod import;
mod import_addresses;
#[cfg(feature = "keepalived")]
mod import_keepalived;
mod install;
mod installer;
#[cfg(feature = "keepalived")]
mod keepalived_files;
mod packages;
mod place;
mod ports;
mod recipes;
mod refusals;
mod running;
#[cfg(feature = "witness")]
mod witness_service;
