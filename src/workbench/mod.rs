//! The workbench: what runs a whole pair on one machine. Off in the router build.

pub mod demo;
#[expect(dead_code, reason = "demo and each test program use different parts of it")]
pub mod lab;
pub mod simulate;
