#[cfg(feature = "workbench")]
pub mod workbench;

fn main() {}
