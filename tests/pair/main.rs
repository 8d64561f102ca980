//! The shipped binary as a real pair: two network namespaces, a switch, a pseudo-terminal cable, kernels with real addresses.
//! Rows are those of the failure catalogue in the design. Overlap is taken from both kernels' address events.

#[path = "../../src/workbench/lab/mod.rs"]
#[expect(dead_code, reason = "demo and each test program use different parts of it")]
pub mod lab;

mod faults;
mod witness;
