//! What is left where nothing can be let go: the fence that ends the peer (`fence.rs`), and the watchdog that
//! resets this box (`watchdog.rs`).

pub mod fence;
pub mod watchdog;
