//! The half of crosswire that touches the box.

mod cli;
mod settings;

fn main() {}
