//! The failure catalogue (section 11 of the design) on the shipped binary: two network namespaces, a switch,
//! a pseudo-terminal cable, kernels with real addresses, and a client that pings the service address.
//!
//! Every scenario is headed by three lines: the fault, and what has to happen. Overlap is taken from both
//! kernels' address events and has to be exactly zero; durations may be three times what the catalogue says,
//! because the machine that runs the tests may be busy. A scenario that fails shows what both daemons wrote.

#[path = "../../src/workbench/lab/mod.rs"]
#[expect(dead_code, reason = "demo and each test program use different parts of it")]
pub mod lab;

mod ansible;
mod beats;
mod bereaved;
#[cfg(feature = "upgrade")]
mod builds;
mod cable;
mod carrier;
mod comparison;
mod connections;
mod crossover;
mod crowd;
mod custody;
mod dhcp;
mod disk;
mod ending;
mod erring;
mod exit_codes;
mod expired;
mod families;
mod fastest;
mod floods;
mod frozen;
mod howto;
#[cfg(feature = "keepalived")]
mod imports;
mod incidents;
mod interfaces;
mod journal;
mod kea;
#[cfg(feature = "keepalived")]
#[path = "../cli/keepalived_files.rs"]
mod keepalived_files;
mod kills;
mod last_resorts;
mod liars;
mod lines;
mod log;
mod monitors;
mod moves;
mod neighbours;
mod networks;
mod notify;
#[cfg(feature = "upgrade")]
mod orders;
mod paths;
mod peer;
#[cfg(feature = "workbench")]
mod pictures;
mod planned;
mod port;
mod power;
mod processes;
mod readiness;
mod recipes;
mod recording;
mod reload;
mod restraint;
mod routers;
mod routes;
mod rules;
mod scarcity;
mod scene;
mod schema;
mod scripts;
mod services;
mod shadow;
mod soak;
mod starts;
mod starved;
mod strangers;
mod tunnel;
mod two_files;
#[cfg(feature = "upgrade")]
mod upgrades;
mod versions;
mod vmac;
mod votes;
mod witness;
