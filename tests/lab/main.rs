//! The laboratory itself, on real kernel interfaces: before it may judge the daemons, it has to measure
//! right.

#[path = "../../src/workbench/lab/mod.rs"]
#[expect(dead_code, reason = "demo and each test program use different parts of it")]
pub mod lab;

mod cable;
mod coming_and_going;
mod observer;
mod processes;
mod switch;

use std::path::Path;
use std::time::Duration;

use crosswire::pair::Side;

use lab::Lab;
use lab::setup::{PREFIX, Setup, VIP};

const SOON: Duration = Duration::from_secs(30);

/// No daemon is started by most tests.
fn build(setup: Setup) -> Lab {
    Lab::new(Path::new("/bin/false"), setup).expect("the laboratory can be built")
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn hold_vip(lab: &Lab, side: Side, valid_s: Option<u32>) {
    lab.namespace(side)
        .rtnl()
        .add_address(lab.interface(side), VIP, PREFIX, valid_s)
        .expect("the VIP can be added");
}

fn drop_vip(lab: &Lab, side: Side) {
    lab.namespace(side)
        .rtnl()
        .delete_address(lab.interface(side), VIP, PREFIX)
        .expect("the VIP can be removed");
}
