//! The pair in virtual time: the shipped core on two simulated boxes, broken in every way that a seed can
//! think of.
//!
//! * [`world`] is what happens: boxes, paths, a queue. [`gateway`], [`guard`], [`wire`], `lines`, `witness`,
//!   [`clock`] are its parts, [`act`] what faults do to it
//! * [`files`] is what two boxes with different configurations go by, `translate` which group of one file is
//!   which of the other
//! * `observe` is what is seen of it from outside: its [`story`], and what its clients see ([`service`])
//! * [`checkers`] judge it, one invariant each
//! * [`schedule`] draws faults from a seed, runs them, heals everything and demands one active
//! * [`shrink`] and [`trace`] make a failure small and repeatable
//! * [`exhaustive`] leaves nothing to chance, within bounds
//! * [`fleet`] counts what ten years do to ten thousand pairs, and what other rules would have done

pub mod act;
mod agent_turns;
pub mod bench;
pub mod chance;
pub mod checkers;
pub mod clock;
pub mod exhaustive;
pub mod fault;
pub mod fault_text;
pub mod files;
pub mod fleet;
mod frozen;
pub mod gateway;
pub mod guard;
mod guard_turns;
pub mod hash;
mod lines;
pub mod many;
mod neighbours;
mod observe;
mod reload;
pub mod rival;
pub mod schedule;
pub mod script;
pub mod service;
pub mod setup;
mod setup_text;
pub mod shrink;
pub mod story;
mod succession;
pub mod svg;
pub mod trace;
mod translate;
mod transmit;
mod vote;
mod watchdog;
pub mod wire;
mod witness;
pub mod world;
