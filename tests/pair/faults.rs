use std::path::Path;
use std::time::Duration;

use crate::lab::address_log::Wanted;
use crate::lab::setup::Setup;
use crate::lab::{Lab, testing};
use crosswire::config::Side;

const PATIENCE: Duration = Duration::from_secs(10);

fn pair() -> Lab {
    let mut lab = Lab::new(Path::new(env!("CARGO_BIN_EXE_crosswire")), Setup::default()).expect("a laboratory");
    lab.start(Side::A).expect("gw1 starts");
    lab.start(Side::B).expect("gw2 starts");
    lab.wait_for(Wanted::Only(Side::A), PATIENCE).expect("the preferred node serves");
    lab
}

#[test]
fn row_1_power_cut_of_the_active() {
    testing::in_lab(|| {
        let mut lab = pair();
        std::thread::sleep(Duration::from_secs(1));
        eprintln!("{}", lab.story());
    });
}
